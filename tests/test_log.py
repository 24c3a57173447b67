"""The lines of the log: those of docs/reference/log.md, one for each request, and no secret in any."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clients import client
from origins import Answer, Origin, ReceivedRequest
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, free_port, ok

import httpcore
from httpcore import HeadSent, RequestSent, RequestStarted, ResponseComplete, ResponseStarted, TraceEvent
from httpcore._log import log_by_environment
from httpcore._log_lines import RequestLines
from httpcore._trace import Earlier

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reference" / "log.md").read_text(encoding="utf-8")
LINES = dict(re.findall(r"^\| ([a-z][^|]+) \| `(\w+ http.+)` \|$", PAGE, re.MULTILINE))


def answered(*, reused: bool = True, headers: Any = ()) -> list[TraceEvent]:
    dial = [] if reused else [httpcore.DialStarted(0.5, 7, "http://a.test:80")]
    return [
        *dial,
        HeadSent(1.0, 7, "a.test:80", reused, protocol="HTTP/1.1"),
        RequestSent(1.5, 7, "a.test:80", reused),
        ResponseStarted(2.5, 7, 200, headers),
    ]


STARTED = RequestStarted(0.0, 7, "GET", "http://a.test/")
COMPLETE = ResponseComplete(3.0, 7, 5)
SLOW = httpcore.ConnectTimeout("too slow", phase="connect")
SECRET = ValueError("hunter2")
RECORDS: dict[str, list[TraceEvent]] = {
    "complete": [STARTED, *answered(), COMPLETE],
    "complete, over a new connection": [STARTED, *answered(reused=False), COMPLETE],
    "the second of a call": [STARTED, *answered(), COMPLETE],
    "closed early, with a tag": [STARTED, *answered(), httpcore.RequestClosed(3.0, 7, 3, tag="a b")],
    "sent again": [STARTED, httpcore.RequestRetried(0.1, 7, "status 503", 2, 0.0), *answered(), COMPLETE],
    "failed": [STARTED, httpcore.RequestFailed(3.0, 7, "ConnectTimeout: too slow", exception=SLOW)],
    "an error that is not of this library": [
        RequestStarted(0.0, 7, "POST", "http://a.test/"),
        httpcore.RequestFailed(3.0, 7, "ValueError: hunter2", exception=SECRET),
    ],
}


EARLIER = {"the second of a call": Earlier(3, 1, 6)}


def lines_of(records: list[TraceEvent], lines: RequestLines) -> list[str]:
    return [line.text for record in records for line in lines.lines(record)]


def test_the_page_has_each_line() -> None:
    assert LINES.keys() == RECORDS.keys()


@pytest.mark.parametrize("name", RECORDS)
def test_each_request_gives_the_line_of_the_page(name: str) -> None:
    assert lines_of(RECORDS[name], RequestLines(earlier=EARLIER.get(name, Earlier()))) == [LINES[name]]


@pytest.mark.parametrize("name", RECORDS)
def test_debug_gives_a_line_for_each_record_too(name: str) -> None:
    lines = lines_of(RECORDS[name], RequestLines(debug=True, earlier=EARLIER.get(name, Earlier())))
    assert lines[-1] == LINES[name]
    assert [line.split(" ")[0] for line in lines[:-1]] == [type(record).__name__ for record in RECORDS[name]]
    assert "hunter2" not in "".join(lines)


FIELDS = {
    "set-cookie": "id=hunter2",
    "authorization": "hunter2",
    "www-authenticate": "hunter2",
    "x-api-key": "hunter2",
    "x-session": "hunter2",
    "x-csrf-token": "hunter2",
    "client-secret": "hunter2",
    "location": "http://user:hunter2@b.test/",
    "refresh": "0; url=http://user:hunter2@b.test/",
}


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", FIELDS)
def test_a_named_field_never_shows_a_secret(name: str, debug: bool) -> None:
    headers = ((name.encode(), FIELDS[name].encode()), (b"server", b"one\x1btwo"), (b"x-other", b"not named"))
    records = [STARTED, *answered(headers=headers), COMPLETE]
    text = "\n".join(lines_of(records, RequestLines(frozenset([name, "server"]), debug=debug)))
    assert "hunter2" not in text
    assert "***" in text
    assert "header.server=one\\x1btwo" in text
    assert "not named" not in text


@pytest.mark.parametrize("tag", ["two\nlines", b"\n", "\x1b[31m", 7, None])
def test_a_line_stays_one_line_with_any_tag(tag: object) -> None:
    records = [RequestStarted(0.0, 7, "GET", "http://a.test/", tag=tag), ResponseComplete(3.0, 7, 5, tag=tag)]
    for line in lines_of(records, RequestLines(debug=True)):
        assert line.isprintable()


def serve(peer: Peer) -> None:
    while peer.head():
        peer.send(ok(b"Hello", b"Server: here"))


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(serve) as server:
        yield server


@each_runtime
def test_each_request_has_one_line(
    runtime: Runtime, server: ScriptedServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPCORE_LOG_HEADERS", "Server, x-none")
    port = free_port()

    async def body() -> None:
        async with runtime.pool() as pool:
            await pool.request("GET", f"{server.url}/before")
            caplog.set_level(logging.INFO, "httpcore")
            await pool.request("GET", f"{server.url.replace('//', '//user:hunter2@')}/one", tag="first")
            with pytest.raises(httpcore.ConnectError):
                await pool.request("GET", f"http://127.0.0.1:{port}/two")
            caplog.set_level(logging.DEBUG, "httpcore")
            await pool.request("GET", f"{server.url}/three")

    runtime.run(body)
    info = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert len(info) == 3
    assert info[0].startswith(f"GET {server.url}/one 200 HTTP/1.1 attempts=1 peer=127.0.0.1:{server.port} reused=True")
    assert "tag=first" in info[0]
    assert "header.server=here" in info[0]
    assert "outcome=failed" in info[1]
    assert "error=ConnectError phase=connect" in info[1]
    debug = [record.getMessage().split(" ")[0] for record in caplog.records if record.levelno == logging.DEBUG]
    # The connection had served an unlogged request before; its close is logged nevertheless.
    assert debug == [
        "RequestStarted",
        "HeadSent",
        "RequestSent",
        "ResponseStarted",
        "ResponseComplete",
        "ConnectionClosed",
    ]
    assert "hunter2" not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


@each_runtime
def test_lines_of_one_call_are_joined_by_its_first(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """This holds also if another task makes calls in between, and if a hop is sent again."""
    caplog.set_level(logging.DEBUG, "httpcore")

    async def main() -> None:
        async with client(runtime) as http:

            async def call(tag: str) -> None:
                await http.get(origin.url, tag=tag, auth=httpcore.DigestAuth("me", "hunter2"))

            await runtime.gather(*[partial(call, tag) for tag in "ab"])
            await call("alone")

    def answer(seen: ReceivedRequest) -> Answer:
        if seen.target == "/":
            return Answer(302, [("Location", "/asks")])
        if not seen.has("authorization"):
            return Answer(401, [("WWW-Authenticate", 'Digest realm="a", nonce="b", qop="auth"')])
        return Answer(302, [("Location", "/there")]) if seen.target == "/asks" else Answer()

    with Origin("site", [], answer) as origin:
        runtime.run(main)
    ended = [record.httpcore for record in caplog.records if record.levelno == logging.INFO]  # type: ignore[attr-defined]
    begun = [record.httpcore for record in caplog.records if record.getMessage().startswith("RequestStarted")]  # type: ignore[attr-defined]
    for facts in (ended, begun):
        firsts = {one["request"]: one["tag"] for one in facts if "first" not in one}
        assert sorted(firsts.values()) == ["a", "alone", "b"]
        for first, tag in firsts.items():
            later = [one for one in facts if one.get("first") == first]
            assert [one["hop"] for one in later] == list(range(2, len(later) + 2))
            assert {one["tag"] for one in later} == {tag}
            assert len(later) == 3
    assert "hunter2" not in caplog.text


@each_runtime
def test_lines_of_a_retried_call_are_joined_by_its_first(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """The middleware `Retries` makes a request for each attempt, and a redirect after it makes one more."""
    caplog.set_level(logging.INFO, "httpcore")
    answers = [Answer(503), Answer(503), Answer(302, [("Location", "/there")]), Answer(503), Answer()]

    async def main() -> None:
        policy = httpcore.RetryPolicy(attempts=4, backoff=0.001)
        async with client(runtime, transport=httpcore.Retries(policy)) as http:
            await http.get(origin.url)

    with Origin("site", [], lambda seen: answers.pop(0)) as origin:
        runtime.run(main)
    ended = [record.httpcore for record in caplog.records]  # type: ignore[attr-defined]
    assert [one["status"] for one in ended] == [503, 503, 302, 503, 200]
    assert [one.get("hop") for one in ended] == [None, 2, 3, 4, 5]
    assert {one["first"] for one in ended[1:]} == {ended[0]["request"]}


@pytest.mark.parametrize("kept", ["complete", "another version"])
def test_lines_of_a_resumed_download_are_joined(kept: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "httpcore")
    target = tmp_path / "file"

    def answer(seen: ReceivedRequest) -> Answer:
        if seen.has("range"):
            return Answer(416, [("Content-Range", "bytes */3")])
        return Answer(200, [("ETag", '"a"')], b"whole")

    with Origin("site", [], answer) as origin, httpcore.Client(trust_env=False) as http:
        (tmp_path / "file.part").write_bytes(b"abc" if kept == "complete" else b"abcdef")
        url = f"{origin.url}/file"
        note = {"url": url, "validator": '"a"'}
        (tmp_path / "file.part.json").write_text(json.dumps(note))
        http.download(url, target, resume=True)
    ended = [record.httpcore for record in caplog.records]  # type: ignore[attr-defined]
    assert [one["status"] for one in ended] == ([416] if kept == "complete" else [416, 200])
    assert [(one["hop"], one["first"]) for one in ended[1:]] == [(2, ended[0]["request"])] * (len(ended) - 1)


def test_a_first_hop_without_a_pool_has_no_number(server: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "httpcore")
    moved = httpcore.MockTransport(lambda *requested: (302, [(b"location", server.url.encode())], b"", {}))
    transport = httpcore.Mounts({"all://a.test": moved}, httpcore.HTTPTransport())
    with httpcore.Client(transport=transport, trust_env=False) as http:
        assert http.get("http://a.test/").status_code == 200
    (line,) = [record.getMessage() for record in caplog.records]
    assert " hop=2 outcome=complete" in line


PROGRAM = """
import sys, httpcore
with httpcore.SyncConnectionPool() as http:
    http.request("GET", sys.argv[1], tag="t")
print("logging" in sys.modules)
"""


def run(server: ScriptedServer, value: str) -> tuple[str, str]:
    """The output and the log of a program, under HTTPCORE_LOG."""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", PROGRAM, server.url],
        env={"HTTPCORE_LOG": value, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), done.stderr


def test_nothing_is_imported_where_nothing_is_logged(server: ScriptedServer) -> None:
    assert run(server, "") == ("False", "")


def test_the_environment_turns_the_log_on(server: ScriptedServer) -> None:
    printed, logged = run(server, "info")
    assert printed == "True"
    (line,) = logged.splitlines()
    assert f" INFO httpcore GET {server.url}/ 200 HTTP/1.1 " in line
    assert len(run(server, "debug")[1].splitlines()) > 5


def test_json_is_one_object_on_each_line(server: ScriptedServer) -> None:
    (line,) = run(server, "json")[1].splitlines()
    facts = json.loads(line)
    assert (facts["event"], facts["status"], facts["received"], facts["tag"]) == ("request", 200, 5, "t")
    assert (facts["level"], facts["url"], facts["outcome"]) == ("info", f"{server.url}/", "complete")
    documented = set(re.findall(r"`([\w.]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE))))
    assert facts.keys() <= documented | {"time", "level"}


def test_another_value_of_httpcore_log_is_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match="HTTPCORE_LOG is 'verbose': expected info, debug or json"):
        log_by_environment("verbose")
