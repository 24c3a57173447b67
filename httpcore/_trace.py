"""The steps of requests and connections, as frozen records for one callable.

The callable is a plain function, is never called under a lock, and should be quick. It is called in the task or thread
that took the recorded step. Mostly this is the task of the request; but over HTTP/2 the task of another request may
write for all, and a finaliser notices dropped objects. An exception of the callable ends the request like any other
error. If there is no request, or at a close, `sys.excepthook` receives the exception. Without such a callable no record
is made.

Each request ends with exactly one record of a subclass of `RequestEnded`, and each opened connection with one
`ConnectionClosed`. So the number of opened connections minus the number of closed ones is `stats().open`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from enum import StrEnum
from typing import NamedTuple, Protocol

from ._public import public
from ._values import dataclass, field

__all__ = [
    "CloseReason",
    "ConnectStarted",
    "Connected",
    "ConnectionClosed",
    "ConnectionOpened",
    "DialFailed",
    "DialStarted",
    "HeadSent",
    "EngineDifference",
    "InterimResponse",
    "LookupDone",
    "LookupStarted",
    "Progress",
    "RequestCancelled",
    "RequestEnded",
    "RequestFailed",
    "RequestPhase",
    "RequestQueued",
    "RequestRetried",
    "RequestSent",
    "RequestStarted",
    "RequestClosed",
    "ResponseComplete",
    "RequestDropped",
    "ResponseStarted",
    "TLSDone",
    "TLSStarted",
    "ResponseUnusual",
    "Trace",
    "TraceEvent",
    "TunnelOpened",
    "TunnelStarted",
    "Earlier",
    "earlier",
]


@public
class CloseReason(StrEnum):
    """Why a connection was closed. Each member is also a str, the text of the reason."""

    EXPIRED = "it was idle for too long"
    OLD = "it was open for max_connection_lifetime"
    EVICTED = "it was idle, and its slot was needed"
    PEER = "the peer closed it, or sent unrequested data"
    STALE = "it was found closed when a request was about to use it"
    NOT_REUSABLE = "it cannot carry another exchange"
    CLOSED_EARLY = "the response was closed early"
    RAW_CLOSED = "the raw stream was closed"
    DROPPED = "the response was dropped unread"
    FAILED = "a request on it failed"
    TIMED_OUT = "a request on it took too long"
    CANCELLED = "a request on it was cancelled"
    POOL_CLOSED = "the pool was closed"
    LOOP_CLOSED = "its event loop was closed"
    INTERRUPTED = "a step of the pool was interrupted"


@public
class RequestPhase(StrEnum):
    """The current step of a request in flight. Each member is also a str, the text of the step."""

    QUEUED = "wait for a connection"
    RESOLVE = "resolve"
    CONNECT = "connect"
    TUNNEL = "open the tunnel"
    TLS = "TLS handshake"
    CHECK = "check the connection"
    WRITE = "write the request"
    READ_HEAD = "read the response head"
    READ_BODY = "read the response body"
    RAW = "use the raw stream"
    PAUSE = "pause before another attempt"


@public
@dataclass(frozen=True, slots=True)
class TraceEvent:
    """The base class of all records.

    Attributes:
        at: seconds on the monotonic clock (`time.monotonic`); in a simulation, on the clock of the simulation.
        request: the number of the request in this process, from 1; 0 if there is no request.
        tag: the value of `request(..., tag=)`.
    """

    at: float
    request: int
    tag: object = field(default=None, kw_only=True)


@public
@dataclass(frozen=True, slots=True)
class RequestStarted(TraceEvent):
    """`request()` was called with valid arguments. `url` has no credentials."""

    method: str
    url: str


@public
@dataclass(frozen=True, slots=True)
class RequestQueued(TraceEvent):
    """The pool is at a limit, or another request makes a connection that may be shared: the request waits."""

    origin: str


@public
@dataclass(frozen=True, slots=True)
class DialStarted(TraceEvent):
    """A new connection is being made. It ends with `ConnectionOpened` or `DialFailed`."""

    origin: str


@public
@dataclass(frozen=True, slots=True)
class LookupStarted(TraceEvent):
    """The addresses of a name are looked up: by the pool's resolver, if there is one, or by the operating system."""

    host: str


@public
@dataclass(frozen=True, slots=True)
class LookupDone(TraceEvent):
    """The name has these addresses."""

    host: str
    addresses: tuple[str, ...]


@public
@dataclass(frozen=True, slots=True)
class ConnectStarted(TraceEvent):
    """A socket is being connected: to one of these addresses, or to the path of a unix domain socket."""

    addresses: tuple[str, ...]
    port: int | None


@public
@dataclass(frozen=True, slots=True)
class Connected(TraceEvent):
    """The socket is connected: to a proxy if there is one, else to the origin."""

    peer: str


@public
@dataclass(frozen=True, slots=True)
class TunnelStarted(TraceEvent):
    """A proxy is asked to connect to the origin. `proxy` has no credentials."""

    proxy: str


@public
@dataclass(frozen=True, slots=True)
class TunnelOpened(TraceEvent):
    """The proxy has connected to the origin."""

    proxy: str


@public
@dataclass(frozen=True, slots=True)
class TLSStarted(TraceEvent):
    """The TLS handshake begins, with a proxy or with the origin."""

    host: str


@public
@dataclass(frozen=True, slots=True)
class TLSDone(TraceEvent):
    """The TLS handshake is complete."""

    host: str
    version: str | None
    alpn: str | None


@public
@dataclass(frozen=True, slots=True)
class DialFailed(TraceEvent):
    """The connection was not made, because of an error or a cancellation in the last step whose start was recorded."""

    origin: str
    error: str
    exception: BaseException | None = field(default=None, kw_only=True, compare=False)


@public
@dataclass(frozen=True, slots=True)
class ConnectionOpened(TraceEvent):
    """A new connection is open. `alpn` is the protocol that was negotiated in the TLS handshake, if any.

    `hint`: why HTTP/2 was not offered, if this may be unexpected, e.g. because a given `SSLContext` does not offer it.
    """

    origin: str
    peer: str
    tls: str | None
    alpn: str | None
    engine: str
    hint: str | None = None


@public
@dataclass(frozen=True, slots=True)
class EngineDifference(TraceEvent):
    """With `engines="shadow"`: the reference library read a peer's bytes differently from the native engine.

    `engine`: the reference library and its version. `difference`: a description without any value that the peer sent.
    `request`: the request that reported the difference; over HTTP/2 another request on the same pool may have caused
    it.
    """

    engine: str
    difference: str


@public
@dataclass(frozen=True, slots=True)
class HeadSent(TraceEvent):
    """The request's head was handed to the system. `reused`: whether the connection had served other requests before.
    `protocol`: "HTTP/1.1" or "HTTP/2".
    """

    peer: str
    reused: bool
    protocol: str | None = field(default=None, kw_only=True, compare=False)


def _shown(event: InterimResponse | ResponseStarted) -> str:
    """The record as text, for logs: values of cookies, and user name and password in a Location, are not in it."""
    fields = []
    for name, value in event.headers:
        if name in (b"set-cookie", b"set-cookie2"):
            value = b"***"
        elif name in (b"location", b"content-location", b"link", b"refresh") and b"@" in value:
            value = b"***@" + value.rpartition(b"@")[2]
        fields.append((name, value))
    rest = f"at={event.at!r}, request={event.request!r}, status_code={event.status_code!r}"
    return f"{type(event).__name__}({rest}, headers={tuple(fields)!r})"


@public
@dataclass(frozen=True, slots=True)
class RequestSent(TraceEvent):
    """All of the request was handed to the system, its body included.

    `complete`: False if an early response ended the request. `reused`: whether the connection had served other requests
    before.
    """

    peer: str
    reused: bool
    complete: bool = field(default=True, kw_only=True)


@public
@dataclass(frozen=True, slots=True)
class InterimResponse(TraceEvent):
    """A 1xx response was received."""

    status_code: int
    headers: tuple[tuple[bytes, bytes], ...]

    def __repr__(self) -> str:
        return _shown(self)


@public
@dataclass(frozen=True, slots=True)
class ResponseStarted(TraceEvent):
    """The final status line and header section were received. `version`: of HTTP, "1.1", "1.0" or "2"."""

    status_code: int
    headers: tuple[tuple[bytes, bytes], ...]
    version: str = field(default="", kw_only=True, compare=False)

    def __repr__(self) -> str:
        return _shown(self)


@public
@dataclass(frozen=True, slots=True)
class ResponseUnusual(TraceEvent):
    """The response has deviations that a strict pool refuses. `lenient`: their names in `Leniency`."""

    lenient: tuple[str, ...]


@public
@dataclass(frozen=True, slots=True)
class ConnectionClosed(TraceEvent):
    """A connection was closed. `request`: the request that used it, or 0; over HTTP/2 always 0. `reason`: a
    `CloseReason`, which is also a str.
    """

    peer: str
    reason: str


@public
@dataclass(frozen=True, slots=True)
class RequestRetried(TraceEvent):
    """An attempt failed in a way that allows another one.

    `reason`: the error's text, or e.g. "status 503". `attempt`: the number of the next attempt, from 2. `pause`: the
    seconds before it.
    """

    reason: str
    attempt: int
    pause: float
    exception: BaseException | None = field(default=None, kw_only=True, compare=False)


@public
@dataclass(frozen=True, slots=True)
class RequestEnded(TraceEvent):
    """The last record of a request, always of a subclass. `exception`: the one that ended the request, if any."""

    exception: BaseException | None = field(default=None, kw_only=True, compare=False)


@public
@dataclass(frozen=True, slots=True)
class ResponseComplete(RequestEnded):
    """The body was received to its end, and decoded if it was read. `received`: its bytes as sent, before decoding."""

    received: int


@public
@dataclass(frozen=True, slots=True)
class RequestClosed(RequestEnded):
    """The caller closed the response or its raw stream. `received`: the bytes of the body received until then."""

    received: int


@public
@dataclass(frozen=True, slots=True)
class RequestDropped(RequestEnded):
    """The response was garbage-collected before it was read to its end or closed. `received`: as in `RequestClosed`."""

    received: int


@public
@dataclass(frozen=True, slots=True)
class RequestFailed(RequestEnded):
    """The request ended with an error, or the received body could not be decoded.

    `error`: the class's name and text.
    """

    error: str


@public
@dataclass(frozen=True, slots=True)
class RequestCancelled(RequestFailed):
    """The request was cancelled, or interrupted by Ctrl-C; its exception is no subclass of `Exception`."""


Trace = Callable[[TraceEvent], object]
"""A callable that is called with each record. It must not wait, and its result is ignored.

It may have a method `request_fields(number)`. This is called in the request's task or thread, each time when the
request is about to be sent on a connection. It returns further header fields for this sending, as pairs of bytes. A
field with a name that the request already has is left out.
"""


class Earlier(NamedTuple):
    """The requests that a call made before the current request: because of redirects, of refusals that authentication
    answered, of the middleware `Retries`, or of a download that began again.

    Attributes:
        sends: how often these requests were sent, with all attempts.
        requests: how many these requests are.
        first: the number of the first of them; None if none of them was sent over the network.
    """

    sends: int = 0
    requests: int = 0
    first: int | None = None


earlier: ContextVar[Earlier] = ContextVar("httpcore.earlier", default=Earlier())  # noqa: B039 - a frozen value
"""The earlier requests of the current call. A trace or a log may read it when a request starts."""


class Progress(Protocol):
    """Receives the steps of a request, to make records if there is a trace. `at`: the time of the step, on the clock of
    the request's runtime; None: now.
    """

    def looking_up(self, host: str, at: float) -> None: ...
    def looked_up(self, host: str, addresses: Sequence[str], at: float) -> None: ...
    def connecting(self, addresses: Sequence[str], port: int | None, at: float) -> None: ...
    def connected(self, peer: str, at: float) -> None: ...
    def tunneling(self, proxy: str, at: float) -> None: ...
    def tunneled(self, proxy: str, at: float) -> None: ...
    def securing(self, host: str, at: float) -> None: ...
    def secured(self, host: str, version: str | None, alpn: str | None, at: float) -> None: ...
    def head_sent(self) -> None: ...
    def request_sent(self, at: float | None) -> None: ...
