"""A transport for tests: a function of the caller, or a table of functions and responses, answers the requests."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import partial
from inspect import isawaitable
from typing import Any, TypeAlias, cast

from .._errors import LocalProtocolError, show
from .._message.body import BodyReader, is_async_function
from .._message.fields import Headers
from .._message.request import Request
from .._message.response import Response
from .._public import public
from .base import Transport, TransportRequest, TransportResponse
from .extensions import RequestExtensions, ResponseExtensions

__all__ = ["MockTransport"]

Four = tuple[
    int,
    "Headers | tuple[()]",
    "bytes | Iterable[bytes] | AsyncIterable[bytes]",
    "ResponseExtensions | dict[str, object]",
]
Given: TypeAlias = "Response | TransportResponse | Four"
Handler = Callable[[str, str, Headers, "RequestBody", RequestExtensions], "Given | Awaitable[Given]"]
Routes = Mapping[str, "Handler | Given"]


@public
class MockTransport(Transport):
    """Answers by calling `handler(method, url, headers, stream, extensions)`; nothing reaches the network.

    Arguments:
        handler: a function, plain or `async def`, or a table of routes. A function gets method and URL as text, the
            headers as a server would receive them, the body (`for piece in stream` in a plain handler, `async for` in
            an async one), and the extensions. It returns a `Response`, a `TransportResponse`, or `(status_code,
            headers, stream, extensions)`. A table is e.g. `{"GET /users": handler, "/ping": httpcore.Response(204)}`: a
            path without a method matches every method, and a response stands for a handler that returns it. Any other
            request gets 404.

    Under `request` an async handler must not suspend; if it does, the request ends with `RuntimeError`.

    Raises:
        TypeError: `handler` is neither a callable nor a table of routes.
    """

    def __init__(self, handler: Handler | Routes) -> None:
        if isinstance(handler, Mapping):
            self._handler: Handler = partial(_routed, {key: _checked_row(key, row) for key, row in handler.items()})
        elif callable(handler):
            self._handler = handler
        else:
            raise TypeError(f"handler is of type {type(handler).__name__}: expected a callable, or a table of routes")

    async def handle(self, request: TransportRequest) -> TransportResponse:
        wire = request.complete()
        reader = wire.body.start(request.backend.run_blocking)
        try:
            handler = _choose_handler(self._handler, wire)
            called = getattr(type(handler), "__call__", None)  # noqa: B004 - the method itself is inspected
            plain = not is_async_function(handler) and not is_async_function(called)
            body = RequestBody(reader, await _collect_pieces(reader) if plain else None)
            method = wire.method.decode("ascii")
            given = handler(method, _absolute(wire), wire.headers, body, request.extensions)
            result = await given if isawaitable(given) else given
        except BaseException:
            reader.close()
            raise
        return _as_response(result, reader)


class RequestBody:
    """The body of a request, as a handler sees it."""

    __slots__ = ("_pieces", "_reader")

    def __init__(self, reader: BodyReader, pieces: list[bytes] | None) -> None:
        self._reader = reader
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        if self._pieces is None:
            raise LocalProtocolError("an async handler iterates over the body with `async for`, got `for`")
        return iter(self._pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces or ():
            yield piece
        while self._pieces is None and (piece := await self._reader.next() or b""):
            yield piece


async def _collect_pieces(reader: BodyReader) -> list[bytes]:
    pieces = []
    while piece := await reader.next():
        pieces.append(piece)
    return pieces


def _absolute(wire: Request) -> str:
    url = wire.url
    return f"{url.scheme}://{url.host_header.decode('ascii')}{url.target.decode('ascii')}"


def _checked_row(key: object, row: object) -> Handler | Given:
    if not isinstance(key, str) or not key.rpartition(" ")[2].startswith("/"):
        seen = show(key) if isinstance(key, (str, bytes)) else f"of type {type(key).__name__}"
        raise TypeError(f'handler has the key {seen}: expected "/path" or "METHOD /path"')
    if callable(row) or isinstance(row, (Response, TransportResponse, tuple)):
        return cast("Handler | Given", row)
    raise TypeError(
        f"handler has an item of type {type(row).__name__} for {show(key)}: expected a handler or a response"
    )


def _choose_handler(handler: Handler, wire: Request) -> Handler:
    """The handler itself, or the handler of the matching row of a table."""
    if not isinstance(handler, partial) or handler.func is not _routed:
        return handler
    rows: Mapping[str, Handler | Given] = handler.args[0]
    path = wire.url.target.decode("ascii").partition("?")[0]
    row = rows.get(f"{wire.method.decode('ascii')} {path}", rows.get(path))
    return row if callable(row) else partial(_routed, row)


def _routed(row: Any, *_: object) -> Given:
    return cast("Given", (404, [], b"", {}) if row is None else row)


def _as_response(given: object, reader: BodyReader) -> TransportResponse:
    close = reader.close
    if isinstance(given, TransportResponse):  # a copy, since the handler may return the same object again
        made = copy(given)
        made.on_close(close)
        return made
    if isinstance(given, Response):
        extensions: ResponseExtensions = {"http_version": given.protocol, "reason_phrase": given.reason_phrase}
        return TransportResponse(
            given.status_code, given.headers, given.raw(), extensions, close=close, aclose=given.close
        )
    if isinstance(given, tuple) and len(given) == 4:
        checked = Response(given[0], headers=given[1])
        extensions = cast("ResponseExtensions", dict(given[3] or {}))
        return TransportResponse(checked.status_code, checked.headers, given[2], extensions, close=close)
    size = f" of length {len(given)}" if isinstance(given, tuple) else ""
    raise TypeError(
        f"the handler returned type {type(given).__name__}{size}: expected a Response, "
        "or (status_code, headers, stream, extensions)"
    )
