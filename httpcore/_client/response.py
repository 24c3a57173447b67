"""A response as the caller reads it, made from the response of a transport.

`Headers`, the text and other values are made at their first use: most callers read only the status and the content. A
body that was received whole and has no content coding is stored at once; any other body is read through the pool's
`Response`, which reads a body once, decodes it within limits, and closes it. `Client` returns a `ClientResponse`;
`AsyncClient` returns an `AsyncClientResponse`, whose reading methods are awaited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from http import HTTPStatus
from json import loads
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, Self, cast

from .._config import Unset
from .._errors import HTTPCoreError, LocalProtocolError, printable, show_value
from .._message.fields import Headers as Pairs
from .._message.head import Head
from .._message.response import BodyStream, Informational, Response, ResponseInfo
from .._public import public
from .._transports.base import TransportResponse, drive
from .._transports.extensions import ResponseExtensions
from .cookies import Cookies
from .delivery import Delivery
from .headers import Headers, HeaderTypes
from .links import parse_links
from .reading import Awaited, AwaitedParts, Driven, DrivenParts, Lines, Text
from .redirects import STATUSES
from .request import Request, pairs_of
from .text import JSONLines, TextDecoder, decode_text, known_encoding

if TYPE_CHECKING:
    from datetime import timedelta

    from .text import DefaultEncoding
    from .urls import URL

__all__ = ["AsyncClientResponse", "ClientResponse", "HTTPStatusError", "Readable"]

_KNOWN_STATUSES: Final[Mapping[int, HTTPStatus]] = {status.value: status for status in HTTPStatus}
_NO_INFO: Final = ResponseInfo()


@public
class HTTPStatusError(HTTPCoreError):
    """Raised by `raise_for_status()` for a response with a status of 400 or more.

    Attributes:
        request, response: the request and its response; None after pickling.
    """

    def __init__(
        self,
        message: str = "",
        *,
        request: Request | None = None,
        response: Readable | None = None,
        **facts: object,
    ) -> None:
        super().__init__(message, **facts)
        self.request = request
        self.response = response

    def __reduce__(self) -> tuple[object, tuple[type], dict[str, object]]:
        make, arguments, state = super().__reduce__()
        return make, arguments, {**state, "request": None, "response": None}


class Follows(Protocol):
    """Sends the next request of a redirect."""

    def __call__(self, response: Readable) -> Awaitable[Readable]: ...


class Readable:
    """The part that both kinds of response share: the head as values, the content once it has been read.

    Arguments:
        status_code: e.g. 200.
        headers: a mapping, pairs or `Headers`. Default None: none.
        content: the body, as a server would send it. Default b"".
        request: the request that it responds to. Default None.
        default_encoding: as for the client.

    Attributes:
        status_code: an `HTTPStatus` where the number is a known one, else an int.
        extensions: further facts from the transport, see `ResponseExtensions`.
    """

    # Defaults are class attributes: most responses are complete, and few of their values are used.
    _content: bytes | None = None
    _delivery: Delivery | None = None
    _downloaded = 0
    _elapsed = 0.0
    _encoding: str | None = None
    _follows: Follows | None = None
    _headers: Headers | None = None
    _history: list[Self] | None = None
    _inner: Response | None = None
    _text: str | None = None

    def __init__(
        self,
        status_code: int,
        *,
        headers: HeaderTypes = None,
        content: bytes | str = b"",
        request: Request | None = None,
        default_encoding: DefaultEncoding = None,
    ) -> None:
        made = Response(status_code, headers=pairs_of(headers) if headers else [], body=content)
        self._start(made.status_code, made.headers, {}, request, default_encoding, made)

    def _start(
        self,
        status_code: int,
        pairs: Pairs,
        extensions: ResponseExtensions,
        request: Request | None,
        default_encoding: DefaultEncoding,
        inner: Response | None = None,
    ) -> None:
        known = _KNOWN_STATUSES.get(status_code)
        self.status_code: int = status_code if known is None else known
        self.extensions = extensions
        self._pairs = pairs
        self._request = request
        self._default_encoding = default_encoding
        if inner is not None:
            self._inner = inner

    @classmethod
    def complete(
        cls,
        request: Request,
        answer: TransportResponse,
        elapsed: float,
        default_encoding: DefaultEncoding,
        content: bytes,
    ) -> Self:
        """A response that has been received completely."""
        self = cls.__new__(cls)
        self._start(answer.status_code, answer.headers, answer.extensions, request, default_encoding)
        self._elapsed = elapsed
        self._content = content
        self._downloaded = len(content)
        return self

    @classmethod
    def received(cls, delivery: Delivery, default_encoding: DefaultEncoding, max_body: int | Unset | None) -> Self:
        """A response whose head has been received, and whose body `delivery` reads."""
        self = cls.__new__(cls)
        answer = delivery.answer
        self._start(answer.status_code, answer.headers, answer.extensions, delivery.request, default_encoding)
        self._elapsed = delivery.elapsed
        self._delivery = delivery
        version = self.protocol.removeprefix("HTTP/").encode("latin-1")
        head = Head(answer.status_code, self.reason_phrase.encode("latin-1", "replace"), version, answer.headers, ())
        self._inner = Response.received(head, delivery, max_body)
        return self

    # The received values. The extensions are made at their first use.

    @property
    def reason_phrase(self) -> str:
        """The reason phrase; the usual one where the server sent none."""
        known = _KNOWN_STATUSES.get(self.status_code)
        return self.extensions.get("reason_phrase") or ("" if known is None else known.phrase)

    @property
    def protocol(self) -> str:
        """The version of the protocol: "HTTP/1.1", "HTTP/1.0" or "HTTP/2"."""
        return self.extensions.get("http_version", "HTTP/1.1")

    @property
    def history(self) -> list[Self]:
        """The responses before this one, oldest first: redirects, and refusals that authentication answered."""
        if self._history is None:
            self._history = []
        return self._history

    @history.setter
    def history(self, history: list[Self]) -> None:
        self._history = history

    @property
    def headers(self) -> Headers:
        """The header fields."""
        headers = self._headers
        if headers is None:
            self._headers = headers = Headers.received(self._pairs)
        return headers

    @property
    def request(self) -> Request:
        """The request of this response: after redirects, the last request.

        Raises:
            LocalProtocolError: the response was made by hand, without a request.
        """
        if self._request is None:
            raise LocalProtocolError("the response was made without a request: expected ClientResponse(..., request=)")
        return self._request

    @property
    def url(self) -> URL:
        """The URL of the request: after redirects, of the last request."""
        return self.request.url

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def elapsed(self) -> timedelta:
        """The time from sending the last request to the head of its response."""
        from datetime import timedelta  # imported at first use: it takes as long as most of the client

        return timedelta(seconds=self._elapsed)

    @property
    def is_redirect(self) -> bool:
        """Whether the status is 301, 302, 303, 307 or 308, and there is a Location field."""
        return self.status_code in STATUSES and any(name == b"location" for name, _ in self._pairs)

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """The Link fields (RFC 8288): the parameters of each link by relation, or by URL if it has no relation."""
        return parse_links([value for name, value in self._pairs if name == b"link"])

    @property
    def cookies(self) -> Cookies:
        """The cookies that this response sets."""
        cookies = Cookies()
        if self._request is not None:
            cookies.extract(self._request.url, self.headers)
        return cookies

    @property
    def info(self) -> ResponseInfo:
        """Facts about this hop alone: peer, TLS, whether the connection was reused, timings, sizes. Values that depend
        on the end of the body are known when the body has been read. Responses of an app in this process, or of a mock,
        have none of these values.
        """
        info = self.extensions.get("info", _NO_INFO)
        decoded = None if self._delivery is None else self._delivery.decoded
        return info if decoded is None else info._replace(body_decoded=decoded)

    @property
    def informational(self) -> list[Informational]:
        """The 1xx responses that were received before this one."""
        return self.extensions.get("informational", [])

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """Trailer fields; empty until the body has been read to its end."""
        return self.extensions.get("trailing_headers", [])

    @property
    def num_bytes_downloaded(self) -> int:
        """The number of received bytes of the body, before decoding."""
        return self._downloaded if self._delivery is None else self._delivery.received

    @property
    def is_closed(self) -> bool:
        """True when the body has been read to its end or the response was closed: it holds no connection."""
        return self._content is not None or self._inner is None or self._inner.is_closed

    # The body, once it was read.

    @property
    def content(self) -> bytes:
        """The whole body, decoded.

        Raises:
            ResponseNotRead: the request had `stream=True`, and `read()` has not been called.
            StreamConsumed, ResponseClosed: the body was streamed, or the response was closed.
            DecodingError, LimitExceeded: for a response in `history`, whose body is decoded at its first use.
        """
        content = self._content
        if content is None:
            assert self._inner is not None  # a response has one of the two
            self._content = content = self._inner.body
        return content

    @property
    def encoding(self) -> str:
        """The encoding of `text`. May be set before or after reading."""
        if self._encoding is None:
            self._decoded()
        assert self._encoding is not None
        return self._encoding

    @encoding.setter
    def encoding(self, encoding: str | None) -> None:
        if encoding is not None and known_encoding(encoding) is None:
            raise LocalProtocolError(f"encoding is {show_value(encoding)}: expected the name of an encoding of text")
        self._encoding = encoding
        self._text = None

    @property
    def text(self) -> str:
        """The content as text. The encoding is the first that is present: the charset of Content-Type, a byte order
        mark, the client's `default_encoding`, UTF-8 if the content is valid UTF-8, the guess of charset-normalizer or
        chardet if one of them is installed, else UTF-8 with replacement characters.
        """
        return self._text if self._text is not None else self._decoded()

    def _decoded(self) -> str:
        if self._encoding is not None:
            text = self.content.decode(self._encoding, "replace")
        else:
            text, self._encoding = decode_text(self.content, self._content_type(), self._default_encoding)
        self._text = text
        return text

    def _content_type(self) -> str | None:
        for name, value in self._pairs:
            if name == b"content-type":
                return value.decode("latin-1")
        return None

    def json(self) -> Any:
        """The content as JSON (RFC 8259).

        Raises:
            ValueError: the content is not JSON (`json.JSONDecodeError`), or cannot be decoded (UnicodeDecodeError).
        """
        content = self.content
        return loads(content if self._encoding is None else self.text)

    def raise_for_status(self) -> None:
        """Raise an error if the status is 400 or more; otherwise do nothing.

        Raises:
            HTTPStatusError: the status is 400 or more.
        """
        status = int(self.status_code)
        if status < 400:
            return
        kind = "a client error" if status < 500 else "a server error"
        request = self._request
        raise HTTPStatusError(
            f"status {_status_text(self)}: {kind}",
            request=request,
            response=self,
            method=None if request is None else request.method,
            url=None if request is None else request.url.redacted,
            status_code=status,
        )

    # The work of methods that are plain in `ClientResponse` and awaited in `AsyncClientResponse`.

    def _text_decoder(self) -> TextDecoder:
        if self._encoding is not None:
            return TextDecoder(f"text/plain; charset={self._encoding}")
        return TextDecoder(self._content_type(), self._default_encoding)

    async def _read(self) -> bytes:
        if self._content is None:
            assert self._inner is not None  # a response has one of the two
            try:
                self._content = await self._inner.read()
            finally:
                await self._released()
        return self._content

    async def _piece(self, stream: BodyStream) -> bytes:
        """The next item of `stream`. Raises StopAsyncIteration at the end."""
        try:
            return await stream.__anext__()
        except BaseException:
            await self._released()
            raise

    def _body_stream(self, *, decoded: bool) -> BodyStream:
        if self._content is not None and (decoded or self._inner is None):
            return Response(200, body=self._content).stream()
        assert self._inner is not None
        return self._inner.stream() if decoded else self._inner.raw()

    async def _released(self) -> None:
        if self._delivery is not None:
            await self._delivery.aclose()

    async def _close(self) -> None:
        if self._inner is not None:
            await self._inner.close()
        await self._released()

    async def _next(self) -> Readable:
        if self._follows is None:
            raise LocalProtocolError(
                "next(): expected a redirect that a client received (is_redirect is True), got another response"
            )
        return await self._follows(self)

    def _keep(self, raw: bytes) -> None:
        """Set the received body, which is decoded at its first use."""
        self._inner = Response(int(self.status_code), headers=self._pairs, body=raw)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{_status_text(self)}]>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} may hold a connection and cannot be pickled")


def _status_text(response: Readable) -> str:
    """The status and its reason phrase, if there is one: "404 Not Found"."""
    return f"{int(response.status_code)} {printable(response.reason_phrase)}".rstrip()


@public
class ClientResponse(Readable):
    """The response to a request of a `Client`. Tests may make one by hand.

    Arguments:
        status_code: e.g. 200.
        headers: a mapping, pairs or `Headers`. Default None: none.
        content: the body, as a server would send it. Default b"".
        request: the request that it responds to. Default None.
        default_encoding: as for the client.

    Attributes:
        status_code: an `HTTPStatus` where the number is a known one, else an int.
        extensions: further facts from the transport, see `ResponseExtensions`.
    """

    def read(self) -> bytes:
        """Read the whole body, decode it, keep it in `content` and return it.

        Raises: as `Response.read`.
        """
        return self._content if self._content is not None else drive(self._read(), self)

    def stream(self) -> Iterator[bytes]:
        """Return an iterator over the body in pieces, decoded. It can be iterated once, unless `read()` has kept the
        body.

        Raises (while iterating): as `Response.stream`.
        """
        return Driven(self, self._body_stream(decoded=True))

    def raw(self) -> Iterator[bytes]:
        """Return an iterator over the body in pieces as the peer sent it: without transfer codings, and not decoded.

        Raises (while iterating): as `Response.raw`.
        """
        return Driven(self, self._body_stream(decoded=False))

    def iter_text(self) -> Iterator[str]:
        """The body in pieces of text. The encoding is chosen as for `text`, but without detection."""
        return DrivenParts(self, self._body_stream(decoded=True), Text(self._text_decoder()))

    def iter_lines(self) -> Iterator[str]:
        """The lines of the text, without their ends (LF, CRLF, CR)."""
        return DrivenParts(self, self._body_stream(decoded=True), Lines(self._text_decoder()))

    def iter_json(self) -> Iterator[Any]:
        """The values of newline-delimited JSON.

        Raises (while iterating):
            DecodingError: a line is not a JSON text, or not UTF-8.
        """
        return DrivenParts(self, self._body_stream(decoded=True), JSONLines())

    def next(self) -> ClientResponse:
        """Follow this redirect by one step, after a request with `allow_redirects=False`, and return the response.

        Raises:
            LocalProtocolError: the response is not a redirect that a client received.
            RedirectError: the redirect cannot be followed.
        """
        return cast("ClientResponse", drive(self._next(), self))

    def close(self) -> None:
        """Release the connection. It stays open if the rest of the body is small and was received, else it closes."""
        drive(self._close(), self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Awaiting(Readable):
    """The methods of `AsyncClientResponse` that differ from those of `ClientResponse`."""

    async def read(self) -> bytes:
        """Read the whole body, decode it, keep it in `content` and return it.

        Raises: as `Response.read`.
        """
        return await self._read()

    def stream(self) -> AsyncIterator[bytes]:
        """Return an iterator over the body in pieces, decoded. It can be iterated once, unless `read()` has kept the
        body.

        Raises (while iterating): as `Response.stream`.
        """
        return Awaited(self, self._body_stream(decoded=True))

    def raw(self) -> AsyncIterator[bytes]:
        """Return an iterator over the body in pieces as the peer sent it: without transfer codings, and not decoded.

        Raises (while iterating): as `Response.raw`.
        """
        return Awaited(self, self._body_stream(decoded=False))

    def iter_text(self) -> AsyncIterator[str]:
        """The body in pieces of text. The encoding is chosen as for `text`, but without detection."""
        return AwaitedParts(self, self._body_stream(decoded=True), Text(self._text_decoder()))

    def iter_lines(self) -> AsyncIterator[str]:
        """The lines of the text, without their ends (LF, CRLF, CR)."""
        return AwaitedParts(self, self._body_stream(decoded=True), Lines(self._text_decoder()))

    def iter_json(self) -> AsyncIterator[Any]:
        """The values of newline-delimited JSON.

        Raises (while iterating):
            DecodingError: a line is not a JSON text, or not UTF-8.
        """
        return AwaitedParts(self, self._body_stream(decoded=True), JSONLines())

    async def next(self) -> AsyncClientResponse:
        """Follow this redirect by one step, after a request with `allow_redirects=False`, and return the response.

        Raises:
            LocalProtocolError: the response is not a redirect that a client received.
            RedirectError: the redirect cannot be followed.
        """
        return cast("AsyncClientResponse", await self._next())

    async def close(self) -> None:
        """Release the connection. It stays open if the rest of the body is small and was received, else it closes."""
        await self._close()


@public
class AsyncClientResponse(_Awaiting, ClientResponse):  # type: ignore[misc]  # the same names, to be awaited
    """The response to a request of an `AsyncClient`: a `ClientResponse` whose reading is awaited.

    `await response.read()`, `await response.next()`, `await response.close()`; `stream()`, `raw()` and the other
    iterators are for `async for`; the response is for `async with`.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    def __enter__(self) -> Self:
        raise TypeError("AsyncClientResponse: expected `async with`, got `with`")
