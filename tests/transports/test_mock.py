"""A transport whose responses a function returns: plain or async, under both entries, or by a table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from seam import fetch, opened

import httpcore

URL = "http://example.com/a?b=c"


def plain(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> Any:
    return httpcore.Response(200, headers={"X-Url": url}, body=method.encode() + b"".join(stream))


async def waiting(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> Any:
    body = b"".join([piece async for piece in stream])
    return 200, [("X-Url", url)], method.encode() + body, {"template": "index.html"}


class Callable:
    async def __call__(self, *arguments: Any) -> Any:
        return await waiting(*arguments)


async def pieces(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> Any:
    async def answer() -> AsyncIterator[bytes]:
        yield method.encode()
        async for piece in stream:  # the request's body is read while the response is streamed
            yield piece

    return httpcore.TransportResponse(200, [(b"x-url", url.encode())], answer())


@each_runtime
@pytest.mark.parametrize("handler", [plain, waiting, Callable(), pieces], ids=["plain", "async", "callable", "pieces"])
@pytest.mark.parametrize("stream", [b"body", [b"bo", b"dy"]], ids=["bytes", "pieces"])
def test_one_handler_is_used_by_both_entries(runtime: Runtime, handler: Any, stream: Any) -> None:
    async def body() -> None:
        fetched = await fetch(runtime, httpcore.MockTransport(handler), "POST", URL, stream=stream)
        assert (fetched.status_code, fetched.headers) == (200, [(b"x-url", URL.encode())])
        assert fetched.body == b"POSTbody"

    runtime.run(body)


def test_an_async_body_reaches_both_kinds_of_handler() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(2):
            await asyncio.sleep(0)
            yield b"ab"

    async def main() -> None:
        for handler in (plain, waiting):
            async with httpcore.MockTransport(handler).arequest("PUT", URL, stream=stream()) as (_, _, parts, _):
                assert b"".join([piece async for piece in parts]) == b"PUTabab"

    asyncio.run(main())


@each_runtime
def test_extensions_travel_in_both_directions(runtime: Runtime) -> None:
    def handler(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> Any:
        return 200, [], b"", {"context": extensions["client_addr"]}

    async def body() -> None:
        fetched = await fetch(
            runtime, httpcore.MockTransport(handler), "GET", URL, extensions={"client_addr": ("127.0.0.1", 7)}
        )
        assert fetched.extensions == {"context": ("127.0.0.1", 7)}

    runtime.run(body)


ROUTES: Any = {
    "/ping": httpcore.Response(204),
    "GET /users": (200, [], b"users", None),
    "POST /users": plain,
}


@each_runtime
@pytest.mark.parametrize(
    ("method", "path", "status_code", "text"),
    [
        ("GET", "/ping", 204, b""),
        ("PUT", "/ping?x=1", 204, b""),
        ("GET", "/users", 200, b"users"),
        ("POST", "/users", 200, b"POST"),
        ("PUT", "/users", 404, b""),
        ("GET", "/", 404, b""),
    ],
)
def test_a_table_of_routes_gives_each_request_its_response(
    runtime: Runtime, method: str, path: str, status_code: int, text: bytes
) -> None:
    async def body() -> None:
        transport = httpcore.MockTransport(ROUTES)
        for _ in range(2):
            fetched = await fetch(runtime, transport, method, f"https://example.com{path}")
            assert (fetched.status_code, fetched.body) == (status_code, text)

    runtime.run(body)


@pytest.mark.parametrize("routes", [{"users": plain}, {"GET": plain}, {1: plain}, {"/": 1}])
def test_a_malformed_table_of_routes_is_refused(routes: Any) -> None:
    with pytest.raises(TypeError, match="handler has"):
        httpcore.MockTransport(routes)


@each_runtime
@pytest.mark.parametrize("answer", [None, b"", (200, [], b""), 200])
def test_a_malformed_response_is_named(runtime: Runtime, answer: Any) -> None:
    async def body() -> None:
        size = " of length 3" if isinstance(answer, tuple) else ""
        with pytest.raises(TypeError, match=f"returned type {type(answer).__name__}{size}: expected a Response, or "):
            await fetch(runtime, httpcore.MockTransport(lambda *_: answer), "GET", URL)

    runtime.run(body)


@each_runtime
def test_unsendable_values_are_refused_as_by_the_network(runtime: Runtime) -> None:
    async def body() -> None:
        transport = httpcore.MockTransport(plain)
        for arguments in (("G T", URL), ("GET", "ftp://x/"), ("GET", URL, {"a": "b\r\n"})):
            with pytest.raises(httpcore.HTTPCoreError) as mocked:
                await fetch(runtime, transport, *arguments)
            with pytest.raises(type(mocked.value)):
                await fetch(runtime, httpcore.HTTPTransport(), *arguments)

    runtime.run(body)


@each_runtime
def test_a_handlers_exception_reaches_the_caller(runtime: Runtime) -> None:
    def handler(*_: object) -> Any:
        raise httpcore.ConnectTimeout("too slow")

    async def body() -> None:
        with pytest.raises(httpcore.ConnectTimeout, match="too slow"):
            async with opened(runtime, httpcore.MockTransport(handler), "GET", URL):
                pass

    runtime.run(body)
