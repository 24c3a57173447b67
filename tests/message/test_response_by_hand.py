"""A response made by hand has every attribute of one that was received; and one `async def` for tasks and threads."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from servers import ScriptedServer, ok

import httpcore

INFO = httpcore.ResponseInfo(peer="192.0.2.1:443", attempts=2)
HINTS = httpcore.Informational(103, [(b"link", b"</x>")])


class Raw:
    async def recv(self, max_bytes: int = 5) -> bytes:
        return b""

    async def send(self, data: bytes | bytearray | memoryview) -> None: ...

    async def end(self, trailers: Any = None) -> None: ...

    def close(self) -> None: ...


def test_each_attribute_can_be_given() -> None:
    raw: Any = Raw()
    response = httpcore.Response(
        200,
        body=b"x",
        reason_phrase="Fine",
        protocol="HTTP/2",
        trailers={"X-End": "yes"},
        informational=[HINTS],
        info=INFO,
        connection=raw,
    )
    assert (response.reason_phrase, response.protocol) == ("Fine", "HTTP/2")
    assert response.trailers == [(b"x-end", b"yes")]
    assert (response.informational, response.info, response.connection) == ([HINTS], INFO, raw)
    face = httpcore.SyncResponse(response)
    assert (face.reason_phrase, face.protocol, face.trailers) == ("Fine", "HTTP/2", [(b"x-end", b"yes")])
    assert (face.informational, face.info) == ([HINTS], INFO)
    assert face.connection is not None


def test_defaults_are_those_of_a_plain_response() -> None:
    response = httpcore.Response(404)
    assert (response.reason_phrase, response.protocol, response.trailers) == ("Not Found", "HTTP/1.1", [])
    assert (response.informational, response.info, response.connection) == ([], httpcore.ResponseInfo(), None)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("reason_phrase", b"OK"),
        ("reason_phrase", 5),
        ("protocol", "HTTP/3"),
        ("protocol", None),
        ("protocol", b"HTTP/2"),
    ],
)
def test_an_attribute_of_another_kind_is_refused_by_name(argument: str, value: Any) -> None:
    with pytest.raises(httpcore.LocalProtocolError, match=rf"^{argument}: expected .*, got "):
        httpcore.Response(200, **{argument: value})


async def fetch(pool: httpcore.ConnectionPool, url: str) -> bytes:
    async with pool:
        return (await pool.request("GET", url)).body


def test_one_function_serves_an_event_loop_and_threads() -> None:
    with ScriptedServer(lambda peer: (peer.head(), peer.send(ok(b"fine")))) as server:  # type: ignore[func-returns-value]
        assert asyncio.run(fetch(httpcore.ConnectionPool(), server.url)) == b"fine"
        pool = httpcore.ConnectionPool(backend=httpcore.threads_backend())
        assert httpcore.run_sync(fetch(pool, server.url)) == b"fine"


def test_a_coroutine_that_suspends_is_refused() -> None:
    with pytest.raises(RuntimeError, match="suspended"):
        httpcore.run_sync(asyncio.sleep(0))  # which needs no loop, and suspends
