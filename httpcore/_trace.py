"""What happened, as frozen records handed to one callable.

The callable is plain, is called in the task or thread of the request (never under a lock), and should be quick. What it
raises ends the request like any other error. Nothing here is made unless somebody listens.
"""

from __future__ import annotations

from collections.abc import Callable

from ._public import public
from ._values import dataclass

__all__ = [
    "ConnectionClosed",
    "ConnectionOpened",
    "DialStarted",
    "EngineDifference",
    "InterimResponse",
    "RequestFailed",
    "RequestQueued",
    "RequestRetried",
    "RequestSent",
    "RequestStarted",
    "ResponseComplete",
    "ResponseStarted",
    "ResponseUnusual",
    "Trace",
    "TraceEvent",
]


@public
@dataclass(frozen=True, slots=True)
class TraceEvent:
    """`at`: seconds on the monotonic clock of the request's world. `request`: its number in this process, from 1."""

    at: float
    request: int


@public
@dataclass(frozen=True, slots=True)
class RequestStarted(TraceEvent):
    """`request()` was called with valid arguments. `url` has no credentials."""

    method: str
    url: str


@public
@dataclass(frozen=True, slots=True)
class RequestQueued(TraceEvent):
    """The pool is at a limit: the request waits for a connection."""

    origin: str


@public
@dataclass(frozen=True, slots=True)
class DialStarted(TraceEvent):
    """A new connection is being made."""

    origin: str


@public
@dataclass(frozen=True, slots=True)
class ConnectionOpened(TraceEvent):
    """A new connection is there. `alpn` is what TLS agreed on, if anything.

    `hint`: why HTTP/2 was not offered, where that is a surprise: an `SSLContext` decides it.
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
    """With `engines="shadow"`: the library beside the native engine read otherwise what a peer sent.

    `engine`: that library and its version. `difference`: what differs, without a value that the peer sent. `request`:
    the one that told it; over HTTP/2 it may have been found while another one ran on the same pool.
    """

    engine: str
    difference: str


@public
@dataclass(frozen=True, slots=True)
class RequestSent(TraceEvent):
    """The request left us, or was cut short by an early answer. `reused`: the connection had served others before."""

    peer: str
    reused: bool


def _shown(event: InterimResponse | ResponseStarted) -> str:
    """The record as text, for logs: what a cookie says, and user name and password in a Location, are not in it."""
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
class InterimResponse(TraceEvent):
    """A 1xx response came."""

    status_code: int
    headers: tuple[tuple[bytes, bytes], ...]

    def __repr__(self) -> str:
        return _shown(self)


@public
@dataclass(frozen=True, slots=True)
class ResponseStarted(TraceEvent):
    """The final status line and header section came."""

    status_code: int
    headers: tuple[tuple[bytes, bytes], ...]

    def __repr__(self) -> str:
        return _shown(self)


@public
@dataclass(frozen=True, slots=True)
class ResponseUnusual(TraceEvent):
    """The response has something unusual about it, which a strict pool refuses. `lenient`: names of `Leniency`."""

    lenient: tuple[str, ...]


@public
@dataclass(frozen=True, slots=True)
class ResponseComplete(TraceEvent):
    """The body was read to its end. `received`: its bytes as sent, before decoding."""

    received: int


@public
@dataclass(frozen=True, slots=True)
class ConnectionClosed(TraceEvent):
    """The request's connection will not be used again."""

    peer: str
    reason: str


@public
@dataclass(frozen=True, slots=True)
class RequestRetried(TraceEvent):
    """An attempt failed in a way that allows another one.

    `reason`: the error's text, or "status 503". `attempt`: which one comes now, from 2. `pause`: after so many seconds.
    """

    reason: str
    attempt: int
    pause: float


@public
@dataclass(frozen=True, slots=True)
class RequestFailed(TraceEvent):
    """The request ended with an error, or was cancelled; or its body, which had come, could not be decoded.

    `error`: the class's name and text.
    """

    error: str


Trace = Callable[[TraceEvent], object]
"""What is called with each event. It must not wait, and what it returns is not looked at."""
