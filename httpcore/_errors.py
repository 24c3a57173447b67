"""The errors: they say which fault it was, on whose side, and whether the caller may try again.

All have the base `HTTPCoreError`. Below it the classes are split by the cause: the caller, the peer, the network, time,
a limit, or misuse of a response. Network errors are also `OSError`. Timeouts are not, because code written to this API
catches `OSError` first and the timeouts after it. Where an error is raised, only some of its facts are known (a stream
has its peer, but not the URL). So each layer that the error passes adds further facts with `add`, and the text is made
when it is used.
"""

from __future__ import annotations

from copyreg import __newobj__  # type: ignore[attr-defined]  # private by its name, but part of the pickle format
from enum import IntEnum

from ._exact import exact_bytes, exact_str
from ._public import public

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._timing import RequestTiming

__all__ = [
    "HTTPCoreError",
    "LocalProtocolError",
    "InvalidURL",
    "UnsupportedProtocol",
    "RemoteProtocolError",
    "StreamReset",
    "GoAway",
    "DecodingError",
    "ProxyError",
    "NetworkError",
    "ConnectError",
    "TLSError",
    "ReadError",
    "WriteError",
    "Timeout",
    "ConnectTimeout",
    "ReadTimeout",
    "WriteTimeout",
    "PoolTimeout",
    "TotalTimeout",
    "ReadTooSlow",
    "WriteTooSlow",
    "LimitExceeded",
    "PolicyError",
    "RedirectError",
    "TooManyRedirects",
    "RedirectLoop",
    "RedirectBodyUnavailable",
    "PoolClosed",
    "ResponseError",
    "ResponseBusy",
    "ResponseClosed",
    "ResponseNotRead",
    "StreamConsumed",
    "Code",
    "of_attribute",
    "printable",
    "show",
    "show_value",
]

_SHOWN = 200


def show(raw: bytes | str) -> str:
    """Text of a peer's or a caller's value, safe to print: escaped, at most 200 characters."""
    if isinstance(raw, str):  # the methods of the built-in classes: those of a subclass might return anything
        length, text = str.__len__(raw), repr(exact_str(str.__getitem__(raw, slice(_SHOWN))))
    else:
        octets = raw if isinstance(raw, bytes) else bytes(raw)
        length, text = bytes.__len__(octets), repr(exact_bytes(bytes.__getitem__(octets, slice(_SHOWN))))[1:]
    return text if length <= _SHOWN and len(text) <= _SHOWN + 2 else f"{text[:_SHOWN]}... ({length} long)"


def show_value(value: object) -> str:
    """Text of an argument of any type: its repr, safe to print, at most about 200 characters."""
    if isinstance(value, str):
        return show(value)
    if isinstance(value, bytes):
        return f"b{show(value)}"
    try:
        text = repr(value)
    except Exception:  # also of an int with more digits than Python converts, see `sys.set_int_max_str_digits`
        return f"a value of type {type(value).__name__} that has no repr"
    return printable(text) if len(text) <= _SHOWN else f"{printable(text[:_SHOWN])}... ({len(text)} long)"


def printable(text: str) -> str:
    """Return `text` with unprintable characters escaped, e.g. control characters, including C1."""
    return text if text.isprintable() else "".join([c if c.isprintable() else repr(c)[1:-1] for c in text])


@public
class HTTPCoreError(Exception):
    """Base of every error that this library raises on purpose.

    Attributes, each `None` where it is not known:
        phase: the step that failed, e.g. "connect", "write the request", "read the response body".
        method, url: the request, as text; user name and password are removed from the URL.
        peer: the address at the other end, e.g. "127.0.0.1:443".
        status_code: the status of the response whose body or raw stream failed; in a `ProxyError`, of the proxy's
            response.
        limit: the timeout in seconds, or the size in bytes, that was exceeded.
        elapsed: seconds since the request began.
        safe_to_retry: True if no peer can have acted on any attempt of the request; False if a peer may have.
        request_number: the number of the request in this process, as in its trace and on `response.info`.
        timing: when the steps of the request were, up to the error: see `RequestTiming`.

    An error about an argument is raised before anything is sent, and its text names the argument. Of the attributes
    above, only its `safe_to_retry` is set.
    """

    def __init__(self, message: str = "", **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.phase: str | None = None
        self.method: str | None = None
        self.url: str | None = None
        self.peer: str | None = None
        self.status_code: int | None = None
        self.limit: float | None = None
        self.elapsed: float | None = None
        self.safe_to_retry: bool | None = None
        self.request_number: int | None = None
        self.timing: RequestTiming | None = None
        if facts:
            self.add(**facts)

    def add(self, **facts: object) -> None:
        """Fill in facts that are not known yet; known ones stay."""
        for name, value in facts.items():
            # The innermost layer has the most exact phase: outer layers do not overwrite it.
            if getattr(self, name) is None:
                setattr(self, name, value)

    def __str__(self) -> str:
        where = []
        if self.phase is not None:
            where.append(f"phase: {self.phase}")
        if self.url is not None:
            where.append(f"url: {self.url}" if self.method is None else f"request: {self.method} {self.url}")
        if self.peer is not None:
            where.append(f"peer: {self.peer}")
        if self.limit is not None:
            limit = f"{self.limit:,}" if isinstance(self.limit, int) else f"{self.limit:g}"
            where.append(f"limit: {limit}")
        if self.elapsed is not None:
            where.append(f"elapsed: {self.elapsed:.3f} s")
        if self.status_code is not None:
            where.append(f"status: {self.status_code}")
        message = self.message or type(self).__name__
        return f"{message} [{'; '.join(where)}]" if where else message

    def __reduce__(self) -> tuple[object, tuple[type], dict[str, object]]:
        # Unpickling does not call `__init__`, since its arguments differ between the classes.
        state = {name: value for name, value in self.__dict__.items() if name != "__notes__"}
        return __newobj__, (type(self),), {"args": self.args, **state}


# The caller's fault.


@public
class LocalProtocolError(HTTPCoreError):
    """The request cannot be sent as given: the message has the argument, the given and the expected value."""


@public
class InvalidURL(HTTPCoreError, ValueError):
    """The URL has no usable scheme, host, port or target."""


@public
class UnsupportedProtocol(HTTPCoreError):
    """The URL's scheme, or the protocol that the peer chose, is not supported."""


# The peer's fault.


@public
class RemoteProtocolError(HTTPCoreError):
    """The peer sent bytes that HTTP does not allow, or stopped in the middle of a message."""


class Code(IntEnum):
    """Error codes of HTTP/2 (RFC 9113, section 7). A peer may send others, which are ints."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def _named(code: int) -> str:
    return f"{Code(code).name} ({code})" if code in Code._value2member_map_ else f"an unknown code ({code})"


@public
class StreamReset(RemoteProtocolError):
    """The server ended this request's HTTP/2 stream before its response was complete (RST_STREAM, RFC 9113 6.4).

    Attributes:
        code: the reason, as the server sent it (RFC 9113, section 7).
    """

    def __init__(self, code: int, message: str = "", **facts: object) -> None:
        super().__init__(message or f"the server reset the stream: {_named(code)}", **facts)
        self.code = code


@public
class GoAway(RemoteProtocolError):
    """The server ended the HTTP/2 connection before this request was answered (GOAWAY, RFC 9113 6.8).

    Attributes:
        code: the reason, as the server sent it (RFC 9113, section 7).
        last_stream_id: the last stream that the server may have acted on.
        debug_data: the debug data of the GOAWAY frame.
    """

    def __init__(
        self, code: int, last_stream_id: int, debug_data: bytes = b"", message: str = "", **facts: object
    ) -> None:
        debug = f", debug data {show(debug_data)}" if debug_data else ""
        text = f"the server sent GOAWAY: {_named(code)}, last stream {last_stream_id}{debug}"
        super().__init__(message or text, **facts)
        self.code = code
        self.last_stream_id = last_stream_id
        self.debug_data = debug_data


@public
class DecodingError(HTTPCoreError):
    """A content coding is damaged, truncated or unknown, or its library is not installed."""


@public
class ProxyError(HTTPCoreError):
    """A proxy refused or broke the connection to the origin.

    Attributes:
        status_code: the status of an HTTP proxy's response to CONNECT, e.g. 407; None if there was none.
        reason: the reason phrase of that response.
        headers: the header fields of that response, with lower-cased names.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int | None = None,
        reason: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        **facts: object,
    ) -> None:
        super().__init__(message, **facts)
        self.status_code = status_code
        self.reason = reason
        self.headers = headers


# Failures of the network.


@public
class NetworkError(HTTPCoreError, OSError):
    """The connection failed. Also an `OSError`; `errno` is set when the system gave one."""

    def __init__(self, message: str = "", *, errno: int | None = None, **facts: object) -> None:
        super().__init__(message, **facts)
        self.errno = errno

    def __reduce__(self) -> tuple[object, tuple[type], dict[str, object]]:
        make, arguments, state = super().__reduce__()
        return make, arguments, {**state, "errno": self.errno}


@public
class ConnectError(NetworkError):
    """No connection: the name does not resolve, an address refuses or cannot be reached, or a handshake failed."""


@public
class TLSError(ConnectError):
    """The TLS handshake failed: by the certificate, host name or protocol version, or the peer does not use TLS."""


@public
class ReadError(NetworkError):
    """The connection broke while reading."""


@public
class WriteError(NetworkError):
    """The connection broke while writing."""


# Time.


@public
class Timeout(HTTPCoreError):
    """A step of the request took longer than its limit. Not an `OSError`."""


@public
class ConnectTimeout(Timeout):
    """Resolving, connecting and the TLS handshake took longer than `connect_timeout`."""


@public
class ReadTimeout(Timeout):
    """No byte was received for `read_timeout` seconds."""


@public
class WriteTimeout(Timeout):
    """No byte could be sent for `write_timeout` seconds, because there was no buffer space."""


@public
class PoolTimeout(Timeout):
    """No connection was available for `pool_timeout` seconds."""


@public
class TotalTimeout(Timeout):
    """The whole exchange, the response body included, took longer than `total_timeout`."""


class _TooSlow(Timeout):
    """A body was transferred more slowly than `min_rate`."""

    def __init__(
        self,
        message: str = "",
        *,
        min_rate: float | None = None,
        window: float | None = None,
        transferred: int | None = None,
        waited: float | None = None,
        **facts: object,
    ) -> None:
        super().__init__(message, **facts)
        self.min_rate = min_rate
        self.window = window
        self.transferred = transferred
        self.waited = waited


@public
class ReadTooSlow(_TooSlow, ReadTimeout):
    """The body of the response fell behind `min_rate`: bytes were received, but too few.

    Attributes:
        min_rate, window: bytes per second, and the seconds that a body may fall behind, as in the `TimeoutConfig`.
        transferred, waited: the bytes that were received, and the seconds spent waiting for them.
    """


@public
class WriteTooSlow(_TooSlow, WriteTimeout):
    """The body of the request fell behind `min_rate`: bytes were sent, but too few.

    Attributes:
        min_rate, window: bytes per second, and the seconds that a body may fall behind, as in the `TimeoutConfig`.
        transferred, waited: the bytes that were sent, and the seconds spent waiting for buffer space.
    """


# Limits and policy.


@public
class LimitExceeded(HTTPCoreError):
    """The peer sent more than one of our limits allows, e.g. `max_body` or `max_head_bytes`."""


@public
class PolicyError(HTTPCoreError):
    """The network policy denies the address. No connection to it was begun.

    Attributes:
        address, port: the denied address and port.
        rule: the rule that denies the address, as text.
    """

    def __init__(
        self,
        message: str = "",
        *,
        address: str | None = None,
        port: int | None = None,
        rule: str | None = None,
        **facts: object,
    ) -> None:
        super().__init__(message, **facts)
        self.address = address
        self.port = port
        self.rule = rule


# Redirects, which the client follows.


@public
class RedirectError(HTTPCoreError):
    """A redirect cannot be followed: its Location is no http or https URL, or it has two different Locations."""


@public
class TooManyRedirects(RedirectError):
    """There were more redirects than `max_redirects`."""


@public
class RedirectLoop(RedirectError):
    """A redirect led to a request that was sent before in the same chain, with the same cookies."""


@public
class RedirectBodyUnavailable(RedirectError):
    """A redirect requires the request's body again, but the body was an iterator that has been read."""


# Misuse.


@public
class PoolClosed(HTTPCoreError):
    """The pool was closed before the request had a connection, or `close(abort=True)` ended the request."""


@public
class ResponseError(HTTPCoreError):
    """A response was used in a way that its state does not allow."""


@public
class ResponseBusy(ResponseError):
    """Another task or thread is reading the body, or using this direction of the raw stream. It is not disturbed."""


class _OfAttribute(HTTPCoreError, AttributeError):
    """An error that reading an attribute may raise. As an `AttributeError` it makes `hasattr` False."""

    def __init__(self, message: str = "", **facts: object) -> None:
        super().__init__(message, **facts)
        self.obj: object = None  # else Python sets the object here, and the traceback suggests another attribute of it


@public
class ResponseClosed(ResponseError, _OfAttribute):
    """The response was closed before its body was read to the end. Also an `AttributeError`: `body` raises it."""


@public
class ResponseNotRead(ResponseError, _OfAttribute):
    """`body` was used before `read()`. Also an `AttributeError`."""


@public
class StreamConsumed(ResponseError, _OfAttribute):
    """The body has been read once and was not kept. Also an `AttributeError`: `body` raises it."""


class _DecodingErrorOfAttribute(DecodingError, _OfAttribute):
    """`body` of a response made by hand cannot be decoded."""


class _LimitExceededOfAttribute(LimitExceeded, _OfAttribute):
    """`body` of a response made by hand decodes to more bytes than allowed."""


def of_attribute(error: DecodingError | LimitExceeded) -> HTTPCoreError:
    """Return the same error as one that reading an attribute may raise."""
    kind = _DecodingErrorOfAttribute if isinstance(error, DecodingError) else _LimitExceededOfAttribute
    made = kind(error.message)
    made.__dict__.update(error.__dict__)
    made.__cause__ = error.__cause__
    return made
