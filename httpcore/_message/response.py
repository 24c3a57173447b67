"""A response: its head as values, and its body, which can be read once, whole or in pieces.

Bodies are classes with `__anext__` and a plain `close()`, not async generators: the finaliser of a half-read generator
runs in another task (PEP 789). Closing is plain calls throughout, so it cannot be interrupted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from enum import Enum
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self, TypeVar

from .._backends.base import PIECE, StreamInfo, TLSInfo
from .._config import UNSET, Unset, checked_size
from .._errors import (
    DecodingError,
    HTTPCoreError,
    LimitExceeded,
    LocalProtocolError,
    ResponseBusy,
    ResponseClosed,
    ResponseNotRead,
    StreamConsumed,
    of_attribute,
    printable,
    show_value,
)
from .._exact import exact_int
from .._public import public, resolvable
from .._timing import RequestTiming
from .body import Body, BodyReader, BodyTypes
from .content import Content, ContentSource, check_size, collected, decoded
from .decoders import is_coded
from .fields import Headers
from .head import Head
from .lookup import HeaderLookup
from .raw import RawStream
from .request import HeaderTypes, header_pairs
from .rules import Leniency, noted

__all__ = ["BodyStream", "Informational", "Response", "ResponseInfo", "Source"]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


@public
class Informational(NamedTuple):
    """A 1xx response that was received before the final one (RFC 9110 15.2)."""

    status_code: int
    headers: list[tuple[bytes, bytes]]


@public
@resolvable
class ResponseInfo(NamedTuple):
    """The facts about how a response was received. Times are seconds since `request()` was called.

    Attributes:
        peer, local: addresses of both ends of the connection, as text.
        tls: the facts of TLS, or None.
        engine: library and version that parsed the response.
        reused: whether the connection was open before: it had served another request, or `connect` had made it.
        attempts: 1, or more if the request was sent again: because its connection had died in the pool, because the
            server had refused it unprocessed, or by `retries`.
        connected_after: when the request had a connection.
        head_after: when the head of the final response was received.
        request_number: the number of the request in this process, as in its trace and on its errors.
        timing: when each step was, see `RequestTiming`. It is a snapshot: read it after the body.
        bytes_sent, bytes_received: bytes on the wire so far, of the attempt that was answered: heads (interim ones
            too), framing, bodies as sent, and the bytes of a raw stream; without the overhead of TLS. Over HTTP/2 these
            are the HEADERS, CONTINUATION and DATA frames of its stream, each with its 9 bytes of frame header.
        body_received: bytes of the response's body so far, without framing and before decoding.
        body_decoded: the same after decoding; equal to `body_received` if nothing was decoded.
        stream_id: over HTTP/2 the identifier of the stream, as a server's log may have it; None over HTTP/1.1.
        lenient: the deviations of the response, by the names of `httpcore.Leniency`; `strict=True` refuses them. Read
            it after the body: deviations of its framing and coding are known only at its end.
    """

    peer: str = ""
    local: str = ""
    tls: TLSInfo | None = None
    engine: str = ""
    reused: bool = False
    attempts: int = 1
    connected_after: float | None = None
    head_after: float | None = None
    stream_id: int | None = None
    lenient: tuple[Leniency, ...] = ()
    request_number: int | None = None
    timing: RequestTiming | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None
    body_received: int | None = None
    body_decoded: int | None = None

    @classmethod
    def of(cls, stream: StreamInfo, **rest: object) -> ResponseInfo:
        """Return the info with the addresses and TLS facts of a stream; `rest` are fields of this class."""
        return cls(stream.peer, stream.local, stream.tls, **rest)  # type: ignore[arg-type]


class Source(ContentSource, Protocol):
    """The source of a body: a connection, or a value in a response made by hand."""

    @property
    def informational(self) -> list[Informational]: ...
    @property
    def trailers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def info(self) -> ResponseInfo: ...
    @property
    def connection(self) -> RawStream | None: ...
    @property
    def is_strict(self) -> bool: ...
    def buffered_body(self) -> bytes | None:
        """The whole rest of the body, if it is available without waiting."""
        ...

    def add_request_context(self, error: HTTPCoreError) -> None:
        """Add the request's facts to an error about the body."""
        ...

    def close(self) -> None:
        """Discard the rest of the body. A plain function that may be called repeatedly."""
        ...


class _BodyState(Enum):
    UNREAD = "not read yet"
    READING = "being read"
    STREAMING = "being streamed"
    READ = "read"
    STREAMED = "streamed"
    CLOSED = "closed"


# The lookup of an Enum's member costs more than the comparison.
_UNREAD: Final = _BodyState.UNREAD
_READING: Final = _BodyState.READING
_READ: Final = _BodyState.READ


@public
class Response(HeaderLookup):
    """The response to a request.

    Tests and in-process servers make responses by hand: `Response(200, headers=[(b"x-a", b"b")], body=b"...")`. `body`
    is then bytes, str, or an (async) iterable of bytes, as a server would send them. `reason_phrase`, `protocol`,
    `trailers`, `informational`, `info` and `connection` set the attributes of those names. Their defaults are the
    standard reason phrase, "HTTP/1.1", no trailers, no 1xx responses, an empty `ResponseInfo` and None. `max_body` is
    that of `ConnectionPool.request`.

    Use it as an async context manager, or read the body to its end, or call `await close()`: until then it holds its
    connection.

    Attributes:
        status_code: the status, e.g. 200 (RFC 9110, section 15).
        reason_phrase: the reason phrase as text. It may be empty; over HTTP/2 a server sends none.
        protocol: the version of the protocol: "HTTP/1.1", "HTTP/1.0" or "HTTP/2".
        headers: the header fields in wire order, names lower-cased.
        raw_headers: the header fields in wire order, names as they were sent.
    """

    __slots__ = (
        "_body",
        "_head",
        "_headers",
        "_marked",
        "_max_body",
        "_raw_headers",
        "_source",
        "_state",
        "protocol",
        "reason_phrase",
        "status_code",
    )

    def __init__(
        self,
        status_code: int,
        *,
        headers: HeaderTypes = (),
        body: BodyTypes = b"",
        max_body: int | Unset | None = UNSET,
        reason_phrase: str | None = None,
        protocol: str = "HTTP/1.1",
        trailers: HeaderTypes = (),
        informational: Iterable[Informational] = (),
        info: ResponseInfo | None = None,
        connection: RawStream | None = None,
    ) -> None:
        self.status_code: int = _checked_status(status_code)
        pairs = header_pairs(headers)
        self.reason_phrase: str = _checked_phrase(reason_phrase, self.status_code)
        self.protocol: str = _checked_protocol(protocol)
        self._head: Head | None = None
        self._raw_headers: Headers | None = pairs
        self._headers: Headers | None = [(name.lower(), value) for name, value in pairs]
        self._marked: Iterable[tuple[bytes, bytes]] = self._headers
        given = Body.of(body)
        source = _ConstructedBody(given)
        source.trailers = [(name.lower(), value) for name, value in header_pairs(trailers)]
        source.informational = list(informational)
        source.info = ResponseInfo() if info is None else info
        source.connection = connection
        self._source: Source = source
        self._state = _BodyState.UNREAD if given.data is None else _BodyState.READ
        self._body: bytes | None = None
        self._max_body = checked_size("max_body", max_body)

    @classmethod
    def received(cls, head: Head, source: Source, max_body: int | Unset | None = UNSET) -> Self:
        """Return the response with the received `head`, whose body is read from `source`."""
        self = cls.__new__(cls)
        self.status_code = head.status
        self.reason_phrase = head.reason.decode("latin-1")
        self.protocol = "HTTP/1.1" if head.version == b"1.1" else "HTTP/" + head.version.decode("ascii")
        self._head = head
        self._headers = self._raw_headers = None
        self._marked = head.marked
        self._source = source
        self._state = _BodyState.UNREAD
        self._body = None
        self._max_body = max_body
        return self

    # The lists of a received head are made when they are first read. They are copies, which the caller may change.

    @property
    def headers(self) -> Headers:
        """The header fields in wire order, names lower-cased."""
        headers = self._headers
        if headers is None:
            assert self._head is not None
            self._headers = headers = list(self._head.headers)
        return headers

    @headers.setter
    def headers(self, headers: Headers) -> None:
        self._headers = headers

    @property
    def raw_headers(self) -> Headers:
        """The header fields in wire order, names as they were sent."""
        headers = self._raw_headers
        if headers is None:
            assert self._head is not None
            self._raw_headers = headers = list(self._head.raw_headers)
        return headers

    @raw_headers.setter
    def raw_headers(self, headers: Headers) -> None:
        self._raw_headers = headers

    def __repr__(self) -> str:
        status = f"{self.status_code} {printable(self.reason_phrase)}".rstrip()
        return f"<Response [{status}] {self._state.value}>"

    @property
    def reason(self) -> str:
        """The reason phrase, as `http.client` names it."""
        return self.reason_phrase

    @property
    def is_closed(self) -> bool:
        """True when the body has been read to its end or the response was closed: it holds no connection."""
        return self._state in (_BodyState.READ, _BodyState.STREAMED, _BodyState.CLOSED)

    @property
    def body(self) -> bytes:
        """The whole body, decoded. The errors below are also AttributeErrors, so `hasattr` tells whether it is there.

        Raises:
            ResponseNotRead: the body was not read yet: call `await response.read()`.
            StreamConsumed, ResponseClosed: the body was streamed, or the response closed, so the body was not kept.
            DecodingError, LimitExceeded: as `read()`, for a response made by hand with bytes, which needs no `read()`.
        """
        if self._body is None:
            if self._state is _BodyState.UNREAD:
                raise self._with_request_context(ResponseNotRead("the body was not read yet: call read() first"))
            if self._state is not _BodyState.READ:
                self._check_unread()
            try:
                self._body = decoded(
                    self._source.buffered_body() or b"", self._marked, self._max_body, self._source.note
                )
            except (DecodingError, LimitExceeded) as error:
                raise self._with_request_context(of_attribute(error)) from error
        return self._body

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """Trailer fields, names lower-cased (RFC 9110 6.5). Empty until the body has been read to its end."""
        return self._source.trailers

    @property
    def informational(self) -> list[Informational]:
        """The 1xx responses that were received before this one."""
        return self._source.informational

    @property
    def connection(self) -> RawStream | None:
        """The raw two-way stream (see `RawStream`) after 101, after a 2xx response to CONNECT, or with `duplex=True`;
        else None. It occupies its connection in the pool until it is closed: `async with response.connection as raw`.
        The response's body is then empty.
        """
        return self._source.connection

    @property
    def info(self) -> ResponseInfo:
        """Peer, TLS, engine, whether the connection was reused, timings."""
        return self._source.info

    async def read(self) -> bytes:
        """Read the whole body, decode it, keep it in `body` and return it.

        Raises:
            ReadTimeout, TotalTimeout, ReadError: the network failed or was too slow.
            RemoteProtocolError: the body was cut short or breaks the grammar.
            DecodingError: a coding is damaged, truncated or unknown, or its library is not installed.
            LimitExceeded: the body has more bytes than `max_body`, as sent or decoded. If `max_body` was left out: it
                decodes to more than 64 MiB and more than 32 times the bytes received. `stream()` returns it in pieces.
            StreamConsumed: the body was streamed before, or another task or thread is reading it.
            ResponseClosed: the response is closed, or another task or thread closes it meanwhile.
        """
        state = self._state
        if state is not _UNREAD:
            if state is _READ:
                return self.body
            self._check_unread()
        self._state = _READING  # before any call, so that only one of two threads gets here
        source, limit = self._source, self._max_body
        try:
            whole = source.buffered_body()
            if whole is None or (whole and is_coded(self._marked)):
                whole = await collected(source, self._marked, limit, whole)
                self._check_open()
                # The body is complete, so the connection is released even if the caller never closes the response.
                source.close()
            elif limit is not UNSET:
                check_size(len(whole), limit)
                source.close()
        except BaseException as error:
            self._fail(error)
            raise
        self._body = whole
        self._state = _READ
        return whole

    def stream(self) -> BodyStream:
        """Return an iterator over the body in pieces of at most 512 KiB, decoded. It can be iterated once, unless
        `read()` has kept the body.

        Raises (while iterating): as `read()`, but no LimitExceeded; and ResponseBusy while another task or thread waits
            for the next piece of the same iterator.
        """
        if self._state is _BodyState.READ:
            given = self._new_source()
            return BodyStream(self, given or _ConstructedBody(Body.of(self._body)), decoded=given is not None)
        self._check_unread()
        self._state = _BodyState.STREAMING
        return BodyStream(self, self._source, decoded=True)

    def raw(self) -> BodyStream:
        """Return an iterator over the body in pieces as the peer sent it: without transfer codings, and not decoded.

        Raises (while iterating): as `stream()`, but no DecodingError.
        """
        if self._state is _BodyState.READ:
            given = self._new_source()
            if given is not None or not is_coded(self._marked):
                return BodyStream(self, given or _ConstructedBody(Body.of(self._body)), decoded=False)
        self._check_unread()
        self._state = _BodyState.STREAMING
        return BodyStream(self, self._source, decoded=False)

    async def close(self) -> None:
        """Release the connection. It stays open if the rest of the body is small and was received, else it closes.

        A task or thread that waits for the body gets ResponseClosed. This method awaits nothing, so it cannot be
        interrupted; closing twice does nothing. (For a response made by hand from an async generator, it also closes
        the generator, and this waits if the generator's own clean-up does.)
        """
        self._close()
        if isinstance(self._source, _ConstructedBody):
            await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _buffered_body(self) -> bytes | None:
        """Return the whole body as `raw()` does and mark it as streamed, if it is available without waiting. Return
        None otherwise, and also if there is a `max_body` to check.
        """
        if self._state is not _UNREAD or self._max_body is not UNSET:
            return None
        whole = self._source.buffered_body()
        if whole is not None:
            self._state = _BodyState.STREAMED
            self._source.close()
        return whole

    # The state of the response.

    def _new_source(self) -> _ConstructedBody | None:
        """Return a new source of the bytes that this response was made with, if it was made by hand: such a body can be
        read any number of times. Else None.
        """
        source = self._source
        return source.again() if isinstance(source, _ConstructedBody) and source.buffered_body() is not None else None

    def _close(self) -> None:
        # The state is set first: a reader that `close` wakes up must see that the response was closed.
        if not self.is_closed:
            self._state = _BodyState.CLOSED
        self._source.close()

    def _fail(self, error: BaseException) -> None:
        """Close the response, since reading its body raised `error`. Raises ResponseClosed if it was closed already."""
        # Before `_close` below changes the state.
        is_closed = self._state is _BodyState.CLOSED
        self._with_request_context(error)
        if is_closed and isinstance(error, HTTPCoreError) and not isinstance(error, ResponseClosed):
            raise self._with_request_context(_closed_error()) from error
        self._close()

    def _check_open(self) -> None:
        """Check, at the end of the body, that the response was not closed: closing discards received bytes."""
        if self._state is _BodyState.CLOSED:
            raise self._with_request_context(_closed_error())

    def _streamed(self) -> None:
        """Note that the stream has reached the end of the body."""
        if self._state is _BodyState.STREAMING:
            self._state = _BodyState.STREAMED
            self._source.close()

    def _check_unread(self) -> None:
        if self._state is _BodyState.CLOSED:
            raise self._with_request_context(ResponseClosed("the response was closed before its body was read"))
        if self._state is _READING:
            text = "the body can be read once; it is being read by another task or thread"
            raise self._with_request_context(StreamConsumed(text))
        if self._state is not _BodyState.UNREAD:
            raise self._with_request_context(StreamConsumed(f"the body can be read once; it is {self._state.value}"))

    def _with_request_context(self, error: E) -> E:
        """Add the request's facts to `error` and return it. Called for each error about the body."""
        if isinstance(error, HTTPCoreError):
            self._source.add_request_context(error)
            error.add(status_code=self.status_code)
        return error


@public
class BodyStream:
    """An async iterator over a body. `close()` is a plain method, which closes the response. If the iteration stops
    early, the response stays open until it is closed or garbage-collected.
    """

    __slots__ = ("_content", "_done", "_reading", "_response")

    def __init__(self, response: Response, source: Source, *, decoded: bool) -> None:
        self._response = response
        self._content: Content | Source = Content(source, response._marked) if decoded else source
        self._done = False
        self._reading = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._done:
            raise StopAsyncIteration
        if self._response._state is _BodyState.CLOSED:
            text = "the response was closed before its body was read to the end"
            raise self._response._with_request_context(ResponseClosed(text))
        # Neither Ctrl-C nor another thread can run between this test and setting `_reading`: there is no call between.
        if self._reading:
            raise self._response._with_request_context(ResponseBusy("another task or thread is reading this body"))
        try:
            self._reading = True
            piece = await self._content.next()
            if not piece:
                self._response._check_open()
        except BaseException as error:
            # After an error the next call ends the iteration, and does not continue after the damaged bytes.
            self._done = True
            self._response._fail(error)
            raise
        finally:
            self._reading = False
        if piece:
            return piece
        self._done = True
        self._response._streamed()
        raise StopAsyncIteration

    def close(self) -> None:
        """Close the response: the rest of the body is not wanted."""
        self._done = True
        self._response._close()

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`. If the response was made by hand, it may wait, as `Response.close`."""
        self._done = True
        await self._response.close()


def _closed_error() -> ResponseClosed:
    return ResponseClosed("the response was closed by another task or thread while its body was being read")


def _checked_status(status_code: object) -> int:
    number = exact_int(status_code) if isinstance(status_code, int) else 0
    if isinstance(status_code, bool) or not 100 <= number <= 999:
        seen = show_value(number or status_code)
        raise LocalProtocolError(f"status_code is {seen}: expected a number from 100 to 999")
    return number


def _checked_phrase(phrase: object, status_code: int) -> str:
    if phrase is None:
        return _phrase(status_code)
    if not isinstance(phrase, str):
        raise LocalProtocolError(f"reason_phrase: expected text or None, got {show_value(phrase)}")
    return phrase


def _checked_protocol(protocol: object) -> str:
    if protocol not in ("HTTP/1.0", "HTTP/1.1", "HTTP/2"):
        raise LocalProtocolError(f'protocol: expected "HTTP/1.0", "HTTP/1.1" or "HTTP/2", got {show_value(protocol)}')
    return str(protocol)


def _phrase(status_code: int) -> str:
    from http import HTTPStatus  # only for responses that are made by hand

    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return ""


class _ConstructedBody:
    """The body of a response made by hand."""

    def __init__(self, body: Body) -> None:
        self.connection: RawStream | None = None
        self.info = ResponseInfo()
        self.informational: list[Informational] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self._body = body
        self._reader: BodyReader | None = None
        self._rest = memoryview(b"")

    @property
    def length(self) -> int | None:
        return self._body.length

    def buffered_body(self) -> bytes | None:
        return self._body.data

    def again(self) -> _ConstructedBody:
        return _ConstructedBody(self._body)

    async def next(self) -> bytes:
        if self._reader is None:
            self._reader = self._body.start(_call_directly)
        if not self._rest:
            self._rest = memoryview(await self._reader.next() or b"")
        piece, self._rest = self._rest[:PIECE], self._rest[PIECE:]
        return bytes(piece)

    @property
    def is_strict(self) -> bool:
        """Whether unusual content is an error."""
        return False

    def note(self, name: Leniency) -> bool:
        self.info = self.info._replace(lenient=noted(self.info.lenient, name))
        return True

    def made(self, size: int) -> None:
        """Do nothing: no pool counts the bytes."""

    async def turn(self) -> None:
        """No runtime is known here."""

    def add_request_context(self, error: HTTPCoreError) -> None:
        error.add(phase="read the response body")

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    async def aclose(self) -> None:
        if self._reader is not None:
            await self._reader.aclose()


async def _call_directly(function: Callable[[], T]) -> T:
    return function()
