"""A response made by hand has every attribute of one that was received; and one `async def` for tasks and threads."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import re
from typing import Any, TypeVar

import pytest
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, ok
from trials import HostileServer

import httpcore

AWAITS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
INFO = httpcore.ResponseInfo(peer="192.0.2.1:443", attempts=2)
HINTS = httpcore.Informational(103, [(b"link", b"</x>")])


class Raw(httpcore.RawStream):
    closed = 0

    async def recv(self, max_bytes: int = 5) -> bytes:
        return b""

    async def send(self, data: bytes | bytearray | memoryview) -> None: ...

    async def end(self, trailers: Any = None) -> None: ...

    def close(self) -> Any:
        self.closed += 1


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
    sync = httpcore.SyncResponse(response)
    assert (sync.reason_phrase, sync.protocol, sync.trailers) == ("Fine", "HTTP/2", [(b"x-end", b"yes")])
    assert (sync.informational, sync.info) == ([HINTS], INFO)
    assert sync.connection is not None


def test_a_response_for_threads_is_made_alike() -> None:
    raw = Raw()
    response = httpcore.SyncResponse(
        200,
        headers={"X-A": "b"},
        body=[b"one", b"two"],
        reason_phrase="Fine",
        protocol="HTTP/2",
        trailers={"X-End": "yes"},
        informational=[HINTS],
        info=INFO,
        connection=httpcore.SyncRawStream(raw),
    )
    assert (response.status_code, response.reason, response.protocol) == (200, "Fine", "HTTP/2")
    assert (response.header("x-a"), response.raw_headers) == ("b", [(b"X-A", b"b")])
    assert response.trailers == [(b"x-end", b"yes")]
    assert (response.informational, response.info) == ([HINTS], INFO)
    assert response.read() == response.body == b"onetwo"
    assert response.connection is not None
    with response.connection as connection:
        assert connection.recv() == b""
    assert raw.closed == 1
    plain = httpcore.SyncResponse(404)
    assert (plain.reason_phrase, plain.body, plain.connection) == ("Not Found", b"", None)


def test_a_response_for_threads_refuses_an_async_body() -> None:
    async def pieces() -> Any:
        yield b""

    with pytest.raises(httpcore.LocalProtocolError, match="body is asynchronous"):
        httpcore.SyncResponse(200, body=pieces())


def test_a_response_is_made_of_another_or_of_arguments() -> None:
    with pytest.raises(httpcore.LocalProtocolError, match=r"^response: expected a status code beside further"):
        httpcore.SyncResponse(httpcore.Response(200), body=b"x")
    with pytest.raises(httpcore.LocalProtocolError, match=r"^status_code is 1000:"):
        httpcore.SyncResponse(1000)


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


async def run_example(thing: object, url: str, **names: Any) -> dict[str, Any]:
    """Run the code in a docstring, which is its indented lines up to the sections."""
    text = re.split(r"(?m)^(?:Returns|Raises):", inspect.getdoc(thing) or "")[0]
    code = "\n".join([line[4:] for line in text.splitlines() if line.startswith("    ")])
    names |= {"httpcore": httpcore, "TypeVar": TypeVar}
    ran = eval(compile(code.replace("https://example.com/", url), "example", "exec", AWAITS), names)
    if ran is not None:
        await ran
    return names


def test_examples_in_docstrings_of_async_and_sync_classes_work() -> None:
    async def main() -> None:
        names = await run_example(httpcore.run_sync, server.url)
        assert names["body"] == b"fine"
        await names["pool"].close()
        with httpcore.SyncConnectionPool() as blocking_pool:
            async with httpcore.ConnectionPool() as pool:
                names = await run_example(httpcore.AnyPool, server.url, pool=pool, blocking_pool=blocking_pool)
                assert names["response"].body == b"fine"

    with ScriptedServer(lambda peer: (peer.head(), peer.send(ok(b"fine")))) as server:  # type: ignore[func-returns-value]
        asyncio.run(main())


def test_a_coroutine_that_suspends_is_refused() -> None:
    with pytest.raises(
        RuntimeError, match=r"sleep.* suspended and yielded a value of type NoneType: run_sync expected a backend"
    ):
        httpcore.run_sync(asyncio.sleep(0))  # asyncio.sleep(0) needs no loop, but suspends


def test_only_a_coroutine_can_be_driven() -> None:
    for thing, name in ((fetch, "function"), (httpcore.SyncResponse(200), "SyncResponse"), (None, "NoneType")):
        with pytest.raises(
            TypeError, match=f"^coroutine is of type {name}: expected the coroutine of an async function"
        ):
            httpcore.run_sync(thing)  # type: ignore[arg-type]


# Raw streams.


def test_a_raw_stream_is_a_context_manager_with_aclose() -> None:
    async def main() -> None:
        raw = Raw()
        async with raw as same:
            assert same is raw
        await raw.aclose()
        async with contextlib.aclosing(raw):
            pass
        assert raw.closed == 3

    asyncio.run(main())


def tunnel(peer: Peer) -> bool:
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    peer.send(peer.exactly(3))
    return not peer.socket.recv(1)


@each_runtime
def test_the_block_of_a_raw_stream_closes_it_however_it_is_left(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(tunnel) as server:
            async with runtime.pool() as http:
                pool = getattr(http, "sync", http)
                for fails in (False, True):
                    response = await http.request("GET", server.url, {"Connection": "upgrade", "Upgrade": "x"})
                    with contextlib.suppress(ZeroDivisionError):
                        await in_block(response, fails)
                    assert pool.stats().open == 0
                response = await http.request("GET", server.url, {"Connection": "upgrade", "Upgrade": "x"})
                await closed(response)
                assert pool.stats().open == 0

    async def in_block(response: Any, fails: bool) -> None:
        if runtime.name == "threads":
            with response.sync.connection as connection:
                connection.send(b"abc")
                assert connection.recv() == b"abc"
                assert not fails or 1 / 0
        else:
            async with response.connection as connection:
                await connection.send(b"abc")
                assert await connection.recv() == b"abc"
                assert not fails or 1 / 0

    async def closed(response: Any) -> None:
        """`close` has acted when it returns; on an event loop it may be awaited too."""
        if runtime.name == "threads":
            assert response.sync.connection.close() is None
        else:
            await response.connection.close()

    runtime.run(body)
