"""The interface of a transport. It also gives a handler that is written as `async def` a sync entry.

A transport overrides `handle` once, for both entries. The base class makes two context managers from it: `arequest`
awaits `handle`, and `request` runs it to its end with one `send(None)`. So under the sync entry every await of a
handler must block the thread and never suspend. There `request.backend` is the backend of threads, whose calls block in
this way.

An exchange owns every response that was opened for it. When the exchange is closed, all of them are closed, including
those that a handler received and did not return because it failed or was cancelled. Closing is done by plain calls, so
no cancellation can interrupt it. If the clean-up of a transport may wait (`aclose=`), that part is done afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Final, Self, TypeVar, cast

from .._backends import current_backend, threads_backend
from .._backends.base import Backend
from .._errors import LocalProtocolError
from .._message.body import Body, BodyTypes
from .._message.fields import Headers
from .._message.lookup import HeaderLookup
from .._message.request import HeaderTypes, Request, header_pairs
from .._message.url import URL
from .._pool.stats import RequestInFlight
from .._public import public
from .._sync import SyncRawStream
from .._trace import Earlier
from .extensions import RequestExtensions, ResponseExtensions, SyncResponseExtensions, has_connection

__all__ = [
    "AsyncParts",
    "Parts",
    "Transport",
    "TransportRequest",
    "TransportResponse",
    "blocking",
    "drive",
]

T = TypeVar("T")

Parts = tuple[int, Headers, Iterable[bytes], SyncResponseExtensions]
"""Status code, headers, stream and extensions: the value of the context manager of `Transport.request`."""

AsyncParts = tuple[int, Headers, AsyncIterable[bytes], ResponseExtensions]
"""Status code, headers, stream and extensions: the value of the context manager of `Transport.arequest`."""

Plain = Callable[[], object]
Waiting = Callable[[], Awaitable[object]]


def drive(coroutine: Coroutine[object, None, T], of: object) -> T:
    """Run a coroutine to its end in this thread. `of` is its owner, for the error message.

    Raises:
        RuntimeError: the coroutine suspended, so only an event loop could continue it.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    coroutine.close()
    raise RuntimeError(
        f"{type(of).__name__} suspended and yielded a value of type {type(awaited).__name__} in its sync entry: "
        "expected a handler whose awaits block the thread (those of request.backend do), got one that needs an event "
        "loop; use arequest() inside asyncio or trio"
    )


@public
class TransportRequest:
    """One request on its way through transports. A handler may change the request before passing it on.

    Attributes:
        method, url, headers, stream: as given. The method `fields` replaces `headers` by a list.
        extensions: a `RequestExtensions`; each exchange has a copy of its own.
        is_sync: the request was made through the sync entry, `request`.
    """

    __slots__ = (
        "_body",
        "_body_of",
        "_checked_fields",
        "_opened",
        "extensions",
        "headers",
        "is_sync",
        "method",
        "stream",
        "url",
    )

    def __init__(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: HeaderTypes = None,
        stream: BodyTypes = None,
        extensions: RequestExtensions | None = None,
        *,
        is_sync: bool = False,
    ) -> None:
        self.method: str | bytes = method
        self.url: str | bytes = url
        self.headers: HeaderTypes = headers
        self.stream: BodyTypes = stream
        self.extensions: RequestExtensions = {**extensions} if extensions else {}
        self.is_sync: bool = is_sync
        self._opened: list[TransportResponse] = []
        self._body: Body | None = None
        self._body_of: BodyTypes = None
        self._checked_fields: Headers | None = None

    @property
    def backend(self) -> Backend:
        """The backend of the runtime that the request runs in: to sleep, to wait for an event, to read the clock."""
        return threads_backend() if self.is_sync else current_backend()

    @property
    def verb(self) -> str:
        """The method as text: "GET"."""
        return self.method if isinstance(self.method, str) else self.method.decode("latin-1")

    def parsed_url(self) -> URL:
        """Scheme, host, port and target of the URL, checked.

        Raises:
            InvalidURL, UnsupportedProtocol: the URL cannot be requested.
        """
        return URL.parse(self.url)

    def fields(self) -> Headers:
        """The headers as a checked list of pairs of bytes. Each call returns the same list, which a handler may change.

        Raises:
            LocalProtocolError: a header cannot be sent.
        """
        listed = self._checked_fields
        if listed is None or self.headers is not listed:
            listed = self.headers = self._checked_fields = header_pairs(self.headers)
        return listed

    def complete(self) -> Request:
        """The request as a server would receive it: checked, with `Host` and the framing of the body added if absent.

        Raises:
            InvalidURL, UnsupportedProtocol, LocalProtocolError: the request cannot be sent as given.
        """
        target, trailers = self.extensions.get("target"), self.extensions.get("trailers")
        return Request.of(self.method, self.url, self.headers, self.body(), target, trailers)

    def body(self) -> Body:
        """The body as a `Body`, made from `stream` once, so that every transport on the way gets the same object.

        Raises:
            LocalProtocolError: `stream` has an unsupported type, or is asynchronous under the sync entry.
        """
        body = self._body
        if body is None or self._body_of is not self.stream:
            body, self._body_of = Body.of(self.stream), self.stream
            if self.is_sync and body.is_async:
                raise LocalProtocolError(
                    "stream is asynchronous: expected a plain iterable of bytes; arequest() accepts async ones"
                )
            self._body = body
        return body

    def opened(self, response: TransportResponse) -> None:
        """Have `response` closed with the exchange, whether or not the handler returns it."""
        self._opened.append(response)

    def release(self) -> list[TransportResponse]:
        """Close the opened responses by plain calls. Returns the responses whose clean-up must also wait."""
        opened, self._opened = self._opened, []
        waiting = []
        # In reverse order: a response that a middleware opened over another response may still use it.
        for response in reversed(opened):
            if response._close is not None:
                response._close()
            if response._aclose is not None:
                waiting.append(response)
        return waiting

    def __repr__(self) -> str:
        return f"<TransportRequest {self.verb} {self.parsed_url().redacted}>"


@public
class TransportResponse(HeaderLookup):
    """The result of a handler: status, headers, body stream and extensions, and how the response is released.

    Arguments:
        status_code: e.g. 200.
        headers: pairs of bytes, names in lower case.
        stream: the body: bytes, or an (async) iterable of bytes, as sent, not decoded.
        extensions: a `ResponseExtensions`.
        close: a plain function that releases the response; further calls of it must have no effect. Default None: there
            is nothing to release.
        aclose: an async function with the part of the clean-up that must wait, called after `close`. Default None:
            there is no such part.
    """

    __slots__ = ("_aclose", "_close", "_earlier", "extensions", "headers", "status_code", "stream")

    def __init__(
        self,
        status_code: int,
        headers: Headers | tuple[()] = (),
        stream: bytes | Iterable[bytes] | AsyncIterable[bytes] = b"",
        extensions: ResponseExtensions | None = None,
        *,
        close: Plain | None = None,
        aclose: Waiting | None = None,
    ) -> None:
        self.status_code: int = status_code
        self.headers: Headers = headers if isinstance(headers, list) else list(headers)
        self.stream: bytes | Iterable[bytes] | AsyncIterable[bytes] = stream
        self.extensions: ResponseExtensions = {} if extensions is None else extensions
        self._close = close
        self._aclose = aclose
        # Set by a middleware that made several requests: the ones before that of this response.
        self._earlier: Earlier | None = None

    def on_close(self, function: Plain) -> None:
        """Have a plain function called after the response is released. The function may be called several times."""
        before = self._close

        def both() -> None:
            try:
                if before is not None:
                    before()
            finally:
                function()

        self._close = both

    def close(self) -> None:
        """Release the resources of the response at once. May be called again."""
        if self._close is not None:
            self._close()

    async def aclose(self) -> None:
        """Call `close`, and wait for the rest of the clean-up, once."""
        self.close()
        # `_aclose` is cleared before it is awaited, so that it is not awaited again after a cancellation.
        aclose, self._aclose = self._aclose, None
        if aclose is not None:
            await aclose()

    def __repr__(self) -> str:
        return f"<TransportResponse [{self.status_code}]>"


@public
class Transport:
    """Answers a request: over the network, by an app in this process, or through another transport.

    A subclass overrides `handle`, which then serves both entries, `request` and `arequest`. A subclass that cannot
    share the code overrides `request` and `arequest` instead. `close` and `aclose` each close the connections of both
    entries.
    """

    async def handle(self, request: TransportRequest) -> TransportResponse:
        """Answer one request. `arequest` awaits this method, and `request` runs it to its end without suspending.

        Arguments:
            request: the handler may change it and pass it on.

        Returns:
            A response. When the exchange is closed, `close` is called on each response that was opened for it; this
            call alone must release the response.
        """
        if type(self).request is Transport.request and type(self).arequest is Transport.arequest:
            raise NotImplementedError(f"{type(self).__name__} overrides neither handle() nor request() and arequest()")
        if request.is_sync:
            return _enter_sync(self.request(*_arguments(request)))
        manager = self.arequest(*_arguments(request))
        status_code, headers, stream, extensions = await manager.__aenter__()
        exit_once = _ExitOnce(manager)
        return TransportResponse(status_code, headers, stream, extensions, aclose=exit_once.aclose)

    def request(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: HeaderTypes = None,
        stream: BodyTypes = None,
        extensions: RequestExtensions | None = None,
    ) -> AbstractContextManager[Parts]:
        """Send a request from a plain thread: `with transport.request("GET", url) as (status, headers, stream, ext)`.

        Arguments:
            method: e.g. "GET".
            url: absolute, http or https.
            headers: pairs of bytes or ASCII str, or a mapping. `Host`, and `Content-Length` or `Transfer-Encoding`, are
                added when absent; nothing else is.
            stream: the body: bytes, str, an iterable of bytes, a binary file, or a `ReplayableBody`.
            extensions: see `RequestExtensions`.

        Returns:
            A context manager that sends the request when it is entered, returns `(status_code, headers, stream,
            extensions)` when the response head has been received, and releases all resources on exit. `stream` is an
            iterable of bytes, as the peer sent them.
        """
        return Exchange(self, TransportRequest(method, url, headers, stream, extensions, is_sync=True))

    def arequest(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: HeaderTypes = None,
        stream: BodyTypes = None,
        extensions: RequestExtensions | None = None,
    ) -> AbstractAsyncContextManager[AsyncParts]:
        """Send a request from a task of asyncio or trio, with `async with`. The rest is as in `request`, but `stream`
        may also be an async iterable of bytes, and the returned `stream` always is one.
        """
        return AsyncExchange(self, TransportRequest(method, url, headers, stream, extensions))

    def close(self) -> None:
        """Close the resources of both entries, as far as that needs no waiting."""

    async def aclose(self) -> None:
        """Call `close`, and wait for the rest of the clean-up."""
        self.close()

    def abort(self) -> None:
        """Call `close`, and end the running exchanges on the network. Never waits."""
        self.close()

    def requests(self) -> list[RequestInFlight]:
        """Return the requests that are in flight on the network, if any are."""
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _arguments(
    request: TransportRequest,
) -> tuple[str | bytes, str | bytes, HeaderTypes, BodyTypes, RequestExtensions]:
    return request.method, request.url, request.headers, request.stream, request.extensions


def _enter_sync(manager: AbstractContextManager[Parts]) -> TransportResponse:
    """Enter the sync entry of a transport that overrides the entries, and return its response."""
    status_code, headers, stream, extensions = manager.__enter__()
    exit_once = _ExitOnce(manager)
    return TransportResponse(
        status_code, headers, stream, cast("ResponseExtensions", extensions), close=exit_once.close
    )


class _ExitOnce:
    """Exits a context manager, once."""

    __slots__ = ("_manager",)

    def __init__(self, manager: object) -> None:
        self._manager: object | None = manager

    def close(self) -> None:
        manager, self._manager = self._manager, None
        if manager is not None:
            cast("AbstractContextManager[Parts]", manager).__exit__(None, None, None)

    async def aclose(self) -> None:
        manager, self._manager = self._manager, None
        if manager is not None:
            await cast("AbstractAsyncContextManager[AsyncParts]", manager).__aexit__(None, None, None)


# The two entries.

_USED: Final = "an exchange is entered once: call request() or arequest() again for another one"


class AsyncExchange(AbstractAsyncContextManager[AsyncParts]):
    """The result of `arequest`: one exchange, to be entered once."""

    __slots__ = ("_request", "_transport")

    def __init__(self, transport: Transport, request: TransportRequest) -> None:
        self._transport: Transport | None = transport
        self._request = request

    async def __aenter__(self) -> AsyncParts:
        transport, self._transport = self._transport, None
        if transport is None:
            raise LocalProtocolError(_USED)
        request = self._request
        try:
            response = await transport.handle(request)
        except BaseException:
            # `release` does the plain part first, so that no connection stays occupied if the wait is cancelled.
            await _wait_for(request.release())
            raise
        # Appended last and so closed first: this response is the outermost.
        request._opened.append(response)
        return response.status_code, response.headers, async_pieces(response.stream), response.extensions

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        waiting = self._request.release()
        if waiting:
            await _wait_for(waiting)


class Exchange(AbstractContextManager[Parts]):
    """The result of `request`: one exchange, to be entered once."""

    __slots__ = ("_request", "_served", "_transport")

    def __init__(self, transport: Transport, request: TransportRequest) -> None:
        self._transport: Transport | None = transport
        self._served: Transport = transport
        self._request = request

    def __enter__(self) -> Parts:
        transport, self._transport = self._transport, None
        if transport is None:
            raise LocalProtocolError(_USED)
        request = self._request
        try:
            # Checked before the handler runs: an async body is refused here, and not in the middle of a request.
            if request.stream is not None:
                request.body()
            response = drive(transport.handle(request), transport)
        except BaseException:
            drive(_wait_for(request.release()), transport)
            raise
        request._opened.append(response)
        extensions = response.extensions
        if has_connection(extensions):
            extensions = blocking(extensions)
        plain = sync_pieces(response.stream, transport)
        return response.status_code, response.headers, plain, cast("SyncResponseExtensions", extensions)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        waiting = self._request.release()
        if waiting:
            drive(_wait_for(waiting), self._served)


def blocking(extensions: ResponseExtensions) -> ResponseExtensions:
    """The extensions with a raw stream whose calls block, for the caller of a sync entry."""
    connection: object = extensions["connection"]
    if isinstance(connection, SyncRawStream):  # from a transport that overrides the entries
        return extensions
    return cast("ResponseExtensions", {**extensions, "connection": SyncRawStream(extensions["connection"])})


async def _wait_for(responses: list[TransportResponse]) -> None:
    for response in responses:
        await response.aclose()


def async_pieces(stream: bytes | Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterable[bytes]:
    """Any body, to be iterated with `async for`."""
    if isinstance(stream, bytes):
        return PlainPieces(iter((stream,) if stream else ()))
    if hasattr(stream, "__aiter__"):
        return cast("AsyncIterable[bytes]", stream)
    return PlainPieces(iter(stream))


def sync_pieces(stream: bytes | Iterable[bytes] | AsyncIterable[bytes], of: object) -> Iterable[bytes]:
    """Any body, to be iterated with `for`."""
    if isinstance(stream, bytes):
        return iter((stream,) if stream else ())
    if hasattr(stream, "__aiter__"):
        return DrivenPieces(stream.__aiter__(), of)
    return stream


class PlainPieces:
    """An async iterator over a plain one."""

    __slots__ = ("_iterator",)

    def __init__(self, iterator: Iterator[bytes]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._iterator:
            return piece
        raise StopAsyncIteration


class DrivenPieces:
    """A plain iterator over an async one that never suspends."""

    __slots__ = ("_iterator", "_subject")

    def __init__(self, iterator: AsyncIterator[bytes], of: object) -> None:
        self._iterator = iterator
        self._subject = of

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return drive(cast("Coroutine[object, None, bytes]", self._iterator.__anext__()), self._subject)
        except StopAsyncIteration:
            raise StopIteration from None
