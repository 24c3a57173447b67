"""Each error of a request has its phase, request, peer, time and status."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer

import httpcore

BODY = "read the response body"
HEAD = b"HTTP/1.1 203 Odd\r\n"
BOMB = gzip.compress(bytes(80 << 20))


def answer(fields: bytes, body: bytes = b"", then: Callable[[Peer], object] | None = None) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(HEAD + fields + b"\r\n" + body)
        if then is not None:
            then(peer)

    return script


def coded(coding: bytes, body: bytes) -> Callable[[Peer], None]:
    return answer(b"Content-Encoding: %b\r\nContent-Length: %d\r\n" % (coding, len(body)), body, Peer.rest)


def silence(peer: Peer) -> None:
    peer.rest()


def drip(peer: Peer) -> None:
    try:
        while True:
            peer.send(b"x")
            time.sleep(0.02)
    except OSError:
        pass


def over_http2(*steps: str) -> Callable[[Peer], None]:
    """Answer the first request with these fields, DATA and reset."""

    def script(peer: Peer) -> None:
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        conn.initiate_connection()
        peer.send(conn.data_to_send())
        while data := peer.socket.recv(65536):
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    assert event.stream_id is not None
                    coding = [("content-encoding", "gzip")] if "gzip" in steps else []
                    conn.send_headers(event.stream_id, [(":status", "203"), *coding])
                    conn.send_data(event.stream_id, b"xxxx", end_stream="end" in steps)
                    if "reset" in steps:
                        conn.reset_stream(event.stream_id, 2)
            peer.send(conn.data_to_send())

    return script


LENGTH = b"Content-Length: 1000\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CASES: dict[str, tuple[Callable[[Peer], None], type[httpcore.HTTPCoreError], dict[str, Any]]] = {
    "a coding that is damaged": (coded(b"gzip", b"x" * 20), httpcore.DecodingError, {}),
    "a coding that is cut": (coded(b"gzip", gzip.compress(b"x" * 99)[:-9]), httpcore.DecodingError, {}),
    "a coding that is unknown": (coded(b"nothing", b"x"), httpcore.DecodingError, {}),
    "a bomb": (coded(b"gzip", BOMB), httpcore.LimitExceeded, {}),
    "a body that is cut": (answer(LENGTH, b"x"), httpcore.RemoteProtocolError, {}),
    "a reset": (answer(LENGTH, b"x", Peer.reset), httpcore.ReadError, {}),
    "no chunk": (answer(CHUNKED, b"nothing\r\n", silence), httpcore.RemoteProtocolError, {}),
    "trailers without end": (
        answer(CHUNKED, b"0\r\n" + b"a: b\r\n" * 1100 + b"\r\n", silence),
        httpcore.LimitExceeded,
        {},
    ),
    "silence": (answer(LENGTH, b"x", silence), httpcore.ReadTimeout, {"read_timeout": 0.05}),
    "a drip": (answer(LENGTH, b"x", drip), httpcore.TotalTimeout, {"total_timeout": 0.2}),
    "HTTP/2: a coding that is damaged": (over_http2("gzip", "end"), httpcore.DecodingError, {}),
    "HTTP/2: a reset": (over_http2("reset"), httpcore.StreamReset, {}),
    "HTTP/2: silence": (over_http2(), httpcore.ReadTimeout, {"read_timeout": 0.05}),
}


async def read_whole(pool: Any, **given: Any) -> None:
    await pool.request(**given)


async def read_later(pool: Any, **given: Any) -> None:
    await (await pool.request(**given, stream=True)).read()


async def piece_by_piece(pool: Any, **given: Any) -> None:
    async for _ in (await pool.request(**given, stream=True)).stream():
        pass


def check(error: httpcore.HTTPCoreError, port: int, phase: str, status: int = 203) -> None:
    assert error.phase == phase
    assert (error.method, error.url) == ("PUT", f"http://127.0.0.1:{port}/a?b")
    assert error.peer == f"127.0.0.1:{port}"
    assert error.elapsed is not None
    assert 0 < error.elapsed < 30
    assert error.status_code == status
    assert str(error).endswith(f" s; status: {status}]")


@each_runtime
@pytest.mark.parametrize("use", [read_whole, read_later, piece_by_piece], ids=lambda use: use.__name__)
@pytest.mark.parametrize("case", CASES)
def test_an_error_about_a_body_has_every_fact(runtime: Runtime, case: str, use: Any) -> None:
    script, kind, timeouts = CASES[case]
    if case == "a bomb" and use is piece_by_piece:
        return  # a bomb that is read piece by piece is no error
    records: list[httpcore.TraceEvent] = []

    async def body() -> None:
        options = {"http1": False} if case.startswith("HTTP/2") else {}
        options["strict"] = case == "a coding that is unknown"  # without it such content is returned undecoded
        async with runtime.pool(timeout=httpcore.TimeoutConfig(**timeouts), trace=records.append, **options) as pool:
            with pytest.raises(kind) as caught:
                await use(pool, method="PUT", url=f"http://user:pass@127.0.0.1:{server.port}/a?b")
            check(caught.value, server.port, BODY)
            assert pool.stats().leased == 0

    with ScriptedServer(script) as server:
        runtime.run(body)
    failures = [record for record in records if isinstance(record, httpcore.RequestFailed)]
    assert len(failures) == 1
    assert failures[0].error.startswith(f"{kind.__name__}: ")


@each_runtime
def test_misuse_of_a_response_names_its_request(runtime: Runtime) -> None:
    async def body() -> None:
        async with runtime.pool() as pool:
            response = await pool.request("PUT", f"{server.url}/a?b", stream=True)
            with pytest.raises(httpcore.ResponseNotRead) as not_read:
                _ = response.body
            stream = response.stream()
            with pytest.raises(httpcore.StreamConsumed) as consumed:
                await response.read()
            await response.close()
            with pytest.raises(httpcore.ResponseClosed) as closed:
                await stream.__anext__()
            for caught in (not_read, consumed, closed):
                check(caught.value, server.port, BODY)

    with ScriptedServer(answer(LENGTH, b"x", silence)) as server:
        runtime.run(body)


# Raw streams.


def switching(then: Callable[[Peer], None]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        then(peer)

    return script


async def receive(raw: Any) -> None:
    while await raw.recv():
        pass


async def send(raw: Any) -> None:
    while True:
        await raw.send(bytes(1 << 20))


async def end(raw: Any) -> None:
    await raw.end({"a": "b"})


RAW: dict[str, tuple[Callable[[Peer], None], Any, str, type[httpcore.HTTPCoreError], dict[str, Any]]] = {
    "silence": (switching(silence), receive, "receive on", httpcore.ReadTimeout, {"read_timeout": 0.05}),
    "a reset": (switching(Peer.reset), receive, "receive on", httpcore.ReadError, {}),
    "a drip": (switching(drip), receive, "receive on", httpcore.TotalTimeout, {"total_timeout": 0.2}),
    "a reset while sending": (switching(Peer.reset), send, "send on", httpcore.WriteError, {}),
    "no reader": (
        switching(lambda peer: time.sleep(0.5)),
        send,
        "send on",
        httpcore.WriteTimeout,
        {"write_timeout": 0.05},
    ),
    "trailers": (switching(silence), end, "end", httpcore.LocalProtocolError, {}),
    "HTTP/2: a reset": (over_http2("reset"), receive, "receive on", httpcore.StreamReset, {}),
    "HTTP/2: a reset while sending": (over_http2("reset"), send, "send on", httpcore.StreamReset, {}),
    "HTTP/2: silence": (over_http2(), receive, "receive on", httpcore.ReadTimeout, {"read_timeout": 0.05}),
}


@each_runtime
@pytest.mark.parametrize("case", RAW)
def test_an_error_of_a_raw_stream_has_every_fact(runtime: Runtime, case: str) -> None:
    script, use, phase, kind, timeouts = RAW[case]
    is_http2 = case.startswith("HTTP/2")

    async def body() -> None:
        options = {"http1": False} if is_http2 else {}
        async with runtime.pool(timeout=httpcore.TimeoutConfig(**timeouts), **options) as pool:
            fields = {} if is_http2 else {"Connection": "upgrade", "Upgrade": "x"}
            response = await pool.request("PUT", f"{server.url}/a?b", fields, stream=True, duplex=is_http2)
            raw = response.connection
            try:
                with pytest.raises(kind) as caught:
                    await use(raw)
            finally:
                raw.close()
            check(caught.value, server.port, f"{phase} the raw stream", 203 if is_http2 else 101)
            assert pool.stats().leased == 0

    with ScriptedServer(script) as server:
        runtime.run(body)
