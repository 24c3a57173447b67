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
        end: when it was complete; None while it lasts, and also if it failed.
    """

    start: float
    end: float | None

    @property
    def seconds(self) -> float | None:
        """How long the step took; None if `end` is None."""
        return None if self.end is None else self.end - self.start


@public
@resolvable
@dataclass(frozen=True, slots=True)
class RequestTiming:
    """When the steps of a request were, in seconds since `request()` was called. A step that did not take place, or not
    yet, is None.

    For a request that was sent several times, the times are those of the last attempt. All are readings of one clock,
    that of the request's runtime, and are the same as in the records of its trace.

    Attributes:
        started: the clock when `request()` was called, as `TraceEvent.at`: `time.monotonic()`, or in a simulation its
            own clock.
        queued: the wait for a connection of the pool, or for one that another request makes. None: it did not wait.
        dns: the lookup of the name of the peer, which is the origin or a proxy; or of the origin's name, if it is
            resolved here for a proxy. None: it was an address, or the connection was open before.
        connect: connecting the socket. None, here and for the three below: the connection was open before.
        proxy_tls: the TLS handshake with the proxy. None: there was none.
        tunnel: asking the proxy for a tunnel. None: there is no proxy, or it forwards.
        tls: the TLS handshake with the origin. None: it is not https.
        connected: the request had a connection.
        request_sent: all of the request was handed to the system. None if an early response has ended it.
        first_byte: the first bytes of a response, final or interim (1xx), were received.
        head: the head of the final response was received.
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
