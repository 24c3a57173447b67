"""The interface: two entries over one handler, context managers, releases and their moments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from seam import entered, fetch, opened

import httpcore
from httpcore import TransportRequest, TransportResponse

URL = "http://example.com/"


class RecordingTransport(httpcore.Transport):
    """Answers, and records which of its responses are closed."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.events: list[str] = []

    async def handle(self, request: TransportRequest) -> TransportResponse:
        def note() -> None:
            self.closed.append(request.verb)

        return TransportResponse(200, [(b"x-a", b"1")], [b"one", b"two"], {"http_version": "HTTP/1.1"}, close=note)

    def close(self) -> None:
        self.events.append("close")


@each_runtime
def test_one_handler_serves_both_entries(runtime: Runtime) -> None:
    async def body() -> None:
        transport = RecordingTransport()
        async with opened(runtime, transport, "GET", URL) as (status_code, headers, stream, extensions):
            assert (status_code, headers) == (200, [(b"x-a", b"1")])
            assert extensions == {"http_version": "HTTP/1.1"}
            assert transport.closed == []
            assert [piece async for piece in stream] == [b"one", b"two"]
        assert transport.closed == ["GET"]

    runtime.run(body)


@each_runtime
def test_every_transport_is_both_kinds_of_context_manager(runtime: Runtime) -> None:
    async def body() -> None:
        transport = RecordingTransport()
        async with entered(runtime, transport) as same:
            assert same is transport
        assert transport.events == ["close"]

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("read", [False, True])
def test_leaving_by_an_exception_releases_and_raises_it(runtime: Runtime, read: bool) -> None:
    async def body() -> None:
        transport = RecordingTransport()
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the whole block is under test
            async with opened(runtime, transport, "GET", URL) as (_, _, stream, _):
                if read:
                    assert await anext(aiter(stream)) == b"one"
                raise ZeroDivisionError
        assert transport.closed == ["GET"]

    runtime.run(body)


class Failing(httpcore.Middleware):
    """Receives a response and then fails."""

    async def handle(self, request: TransportRequest) -> TransportResponse:
        await self.send(request)
        raise ZeroDivisionError


@each_runtime
def test_a_handler_that_fails_leaves_no_response_open(runtime: Runtime) -> None:
    async def body() -> None:
        below = RecordingTransport()
        with pytest.raises(ZeroDivisionError):
            await fetch(runtime, Failing(below), "GET", URL)
        assert below.closed == ["GET"]

    runtime.run(body)


class Suspending(httpcore.Transport):
    cleaned = False

    async def handle(self, request: TransportRequest) -> TransportResponse:
        try:
            await asyncio.sleep(0)
        finally:
            self.cleaned = True
        return TransportResponse(204)


def test_the_sync_entry_refuses_a_handler_that_suspends() -> None:
    transport = Suspending()
    words = r"Suspending suspended and yielded a value of type NoneType in its .* use arequest\(\) inside asyncio"
    with pytest.raises(RuntimeError, match=words), transport.request("GET", URL):
        pass
    assert transport.cleaned

    async def allowed() -> None:
        async with transport.arequest("GET", URL) as response:
            assert response[0] == 204

    asyncio.run(allowed())


def test_a_body_that_suspends_is_refused_by_the_sync_entry() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(0)
        yield b"never"

    class Streaming(httpcore.Transport):
        async def handle(self, request: TransportRequest) -> TransportResponse:
            return TransportResponse(200, [], pieces())

    with (
        Streaming().request("GET", URL) as (_, _, stream, _),
        pytest.raises(RuntimeError, match="Streaming suspended and yielded"),
    ):
        list(stream)


@each_runtime
def test_an_exchange_is_entered_once(runtime: Runtime) -> None:
    async def body() -> None:
        transport = RecordingTransport()
        if runtime.name == "threads":
            plain = transport.request("GET", URL)
            with plain:
                pass
            with pytest.raises(httpcore.LocalProtocolError, match="entered once"):
                plain.__enter__()
        else:
            exchange = transport.arequest("GET", URL)
            async with exchange:
                pass
            with pytest.raises(httpcore.LocalProtocolError, match="entered once"):
                await exchange.__aenter__()

    runtime.run(body)


class OwnEntries(httpcore.Transport):
    def __init__(self) -> None:
        self.left: list[str] = []

    @contextmanager
    def request(self, method: Any, url: Any, headers: Any = None, stream: Any = None, extensions: Any = None) -> Any:
        try:
            yield 200, [], iter([b"sync"]), {}
        finally:
            self.left.append("sync")

    @asynccontextmanager
    async def arequest(
        self, method: Any, url: Any, headers: Any = None, stream: Any = None, extensions: Any = None
    ) -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"async"

        try:
            yield 200, [], pieces(), {}
        finally:
            self.left.append("async")


@each_runtime
def test_middleware_works_over_a_transport_with_own_entries(runtime: Runtime) -> None:
    async def body() -> None:
        below = OwnEntries()
        kind = "sync" if runtime.name == "threads" else "async"
        fetched = await fetch(runtime, httpcore.Middleware(httpcore.Middleware(below)), "GET", URL)
        assert fetched.body == kind.encode()
        assert below.left == [kind]

    runtime.run(body)


def test_a_transport_that_overrides_nothing_is_an_error() -> None:
    class Empty(httpcore.Transport): ...

    with pytest.raises(NotImplementedError, match="Empty overrides neither"), Empty().request("GET", URL):
        pass


def test_an_async_body_is_refused_by_the_sync_entry() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b""

    for stream in (pieces(), pieces):
        with (
            pytest.raises(httpcore.LocalProtocolError, match="stream is asynchronous"),
            RecordingTransport().request("GET", URL, stream=stream),
        ):
            pass


@pytest.mark.parametrize("transport", [None, "http", httpcore.SyncConnectionPool()])
def test_an_object_that_is_no_transport_is_refused(transport: Any) -> None:
    if transport is not None:
        with pytest.raises(TypeError, match=f"transport is of type {type(transport).__name__}: expected a Transport"):
            httpcore.HTTPSOnly(transport)


# Accepted arguments, and added fields.

TAKEN: list[tuple[Any, Any, Any]] = [
    ("GET", URL, None),
    (b"GET", URL.encode(), [(b"X-A", b"1")]),
    ("GET", URL, {"X-A": "1"}),
    ("GET", URL, [("X-A", b"1"), (b"X-B", "2")]),
    ("GET", URL, ((name, "1") for name in ("X-A",))),
]


@each_runtime
@pytest.mark.parametrize(("method", "url", "headers"), TAKEN[:-1])
def test_str_and_bytes_are_accepted_for_every_argument(runtime: Runtime, method: Any, url: Any, headers: Any) -> None:
    async def body() -> None:
        seen = []

        def handler(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> httpcore.Response:
            seen.append((method, url, headers))
            return httpcore.Response(204)

        await fetch(runtime, httpcore.MockTransport(handler), method, url, headers)
        assert seen[0][:2] == ("GET", URL)
        assert (b"Host", b"example.com") in seen[0][2]
        assert all(type(name) is type(value) is bytes for name, value in seen[0][2])

    runtime.run(body)


def pieces() -> Iterator[bytes]:
    yield b"abc"


LENGTH, CHUNKED = (b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")


@each_runtime
@pytest.mark.parametrize("headers", [None, [("X-A", "1")]])
@pytest.mark.parametrize(
    ("method", "stream", "added"),
    [
        ("GET", None, []),
        ("POST", None, [(b"Content-Length", b"0")]),
        ("POST", b"abc", [LENGTH]),
        ("POST", "abc", [LENGTH]),
        ("POST", pieces, [CHUNKED]),
        ("PUT", [b"a", b"bc"], [CHUNKED]),
    ],
)
def test_mandatory_headers_are_added_also_beside_others(
    runtime: Runtime, headers: Any, method: str, stream: Any, added: Any
) -> None:
    async def body() -> None:
        seen: list[Any] = []

        def handler(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> httpcore.Response:
            seen.extend((headers, b"".join(stream)))
            return httpcore.Response(204)

        await fetch(runtime, httpcore.MockTransport(handler), method, URL, headers, stream)
        assert seen[0] == [(b"Host", b"example.com"), *([(b"X-A", b"1")] if headers else []), *added]
        assert seen[1] == (b"abc" if stream else b"")

    runtime.run(body)
