"""When each step of a request began and ended, as values."""

from __future__ import annotations

from ._public import public, resolvable
from ._values import dataclass

__all__ = ["RequestTiming", "TimeSpan"]


@public
@dataclass(frozen=True, slots=True)
class TimeSpan:
    """A step of a request, in seconds since `request()` was called.

    Attributes:
        start: when it began.
        end: when it was done; None while it lasts, and for ever where it failed.
    """

    start: float
    end: float | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None where it has no end."""
        return None if self.end is None else self.end - self.start


@public
@resolvable
@dataclass(frozen=True, slots=True)
class RequestTiming:
    """When the steps of a request were, in seconds since `request()` was called; None for steps that did not take
    place, or not yet.

    Of a request that was sent several times they are those of the last attempt. All are readings of one clock, that of
    the request's runtime, and the same readings as in the records of its trace.

    Attributes:
        started: the clock when `request()` was called, as `TraceEvent.at`: `time.monotonic()`, of a simulation its own.
        queued: waiting for a connection of the pool, or for one that another request makes. None: it did not wait.
        dns: looking up the name of the peer, origin or proxy; or that of the origin, where it is this side
            that resolves it for a proxy. None: an address, or the connection was there before.
        connect: connecting the socket. None, as the three below: the connection was there before.
        proxy_tls: the TLS handshake with the proxy. None: no such proxy.
        tunnel: the proxy was asked for a tunnel. None: no proxy, or one that forwards.
        tls: the TLS handshake with the origin. None: it is not https.
        connected: a connection was there for the request.
        request_sent: all of the request was handed to the system. None where an early answer has cut it short.
        first_byte: the first bytes of a response were there, those of an interim (1xx) one count.
        head: the head of the final response was there.
        complete: the body was received to its end. None if it was not, and for raw streams.
    """

    started: float
    queued: TimeSpan | None = None
    dns: TimeSpan | None = None
    connect: TimeSpan | None = None
    proxy_tls: TimeSpan | None = None
    tunnel: TimeSpan | None = None
    tls: TimeSpan | None = None
    connected: float | None = None
    request_sent: float | None = None
    first_byte: float | None = None
    head: float | None = None
    complete: float | None = None
