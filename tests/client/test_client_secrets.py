"""No secret is in any log, repr, trace record, warning or error of the client, whatever goes wrong."""

from __future__ import annotations

import gc
import logging
import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clients import client
from origins import Answer, Origin, ReceivedRequest
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer

import httpcore

CANARY = "canary-3b9c"
CASES: dict[str, dict[str, Any]] = {
    "pair": {"auth": ("user", CANARY)},
    "bearer": {"auth": httpcore.BearerAuth(CANARY)},
    "digest": {"auth": httpcore.DigestAuth("user", CANARY)},
    "header": {"headers": {"Authorization": CANARY, "X-Api-Key": CANARY}},
    "cookies": {"cookies": {"session": CANARY}},
    "form": {"data": {"password": CANARY}},
    "json": {"json": {"password": CANARY}},
    "URL": {},
}


def hang_up(peer: Peer) -> None:
    peer.head()


def cut(peer: Peer) -> None:
    peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")


def stall(peer: Peer) -> None:
    peer.head()
    peer.head()


def answer(status: bytes, *fields: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        while peer.head():
            lines = [b"HTTP/1.1 " + status, b"Content-Length: 0", *fields]
            peer.send(b"\r\n".join(lines) + b"\r\n\r\n")

    return script


def loop(peer: Peer) -> None:
    while head := peer.head():
        place = b"/" if b" /b " in head else b"/b"
        peer.send(b"HTTP/1.1 302 X\r\nContent-Length: 0\r\nLocation: " + place + b"\r\n\r\n")


SECRET = CANARY.encode()
FAULTS: dict[str, Callable[[Peer], None]] = {
    "hang up": hang_up,
    "cut": cut,
    "stall": stall,
    "status": answer(b"500 Oh"),
    "refused": answer(b"401 No", b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'),
    "no HTTP": answer(b"20x"),
    "file": answer(b"302 X", b"Location: file:///" + SECRET),
    "user info": answer(b"302 X", b"Location: ftp://user:" + SECRET + b"@b.test/"),
    "two places": answer(b"302 X", b"Location: /a", b"Location: /b"),
    "loop": loop,
    "cookie": answer(b"500 Oh", b"Set-Cookie: session=" + SECRET),
}


@pytest.fixture
def records() -> Iterator[list[str]]:
    """Everything that is logged, at any level."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, root = Handler(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(0)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def texts_of(error: BaseException | None) -> str:
    """All texts of an error, with its causes, and after a pickle."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), *getattr(error, "__notes__", ())]
        texts += [repr(getattr(error, name, "")) for name in ("request", "response", "url", "args")]
        texts.append("".join(traceback.format_exception(error)))
        if isinstance(error, httpcore.HTTPCoreError):
            texts.append(str(pickle.loads(pickle.dumps(error))))
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@each_runtime
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", CASES)
def test_nothing_of_a_client_shows_a_secret(runtime: Runtime, case: str, fault: str, records: list[str]) -> None:
    shown: list[str] = []

    async def main() -> None:
        transport = httpcore.HTTPTransport(timeout=0.2, trace=lambda event: shown.append(repr(event)))
        async with client(runtime, transport=transport) as http:
            url = server.url if case != "URL" else server.url.replace("://", f"://user:{CANARY}@")
            try:
                response = await http.post(f"{url}/", **CASES[case])
                shown.extend(repr(each) for each in (response, response.request, response.headers, response.history))
                shown.extend(repr(each) for each in (response.url, response.cookies, response.request.headers))
                response.raise_for_status()
            except Exception as error:
                shown.append(texts_of(error))
            shown.extend(repr(each) for each in (http, http.cookies, http.auth, http.headers, http.transport))

    with ScriptedServer(FAULTS[fault]) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        runtime.run(main)
        gc.collect()
    everything = "\n".join([*shown, *records, *[str(each.message) for each in warned]])
    allowed = {"file": f"file:///{CANARY}"}.get(fault, "\0")  # the server sent this text, so it is no secret of ours
    assert CANARY not in everything.replace(allowed, "")
    assert "dXNlcjpjYW5hcnkt" not in everything  # the credentials in base64


def test_hooks_and_on_progress_that_fail_show_nothing() -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a hook of the caller's")

    def quiet(seen: ReceivedRequest) -> Answer:
        return Answer()

    with Origin("site", [], quiet) as origin, httpcore.Client(trust_env=False, auth=("user", CANARY)) as http:
        http.event_hooks["response"].append(fail)
        with pytest.raises(RuntimeError) as caught:
            http.get(origin.url)
        assert CANARY not in texts_of(caught.value)
        http.event_hooks["response"].clear()
        with pytest.raises(RuntimeError):
            http.post(origin.url, b"x", on_progress=fail)
        assert http.get(origin.url).ok
