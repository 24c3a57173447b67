"""Makes the records of one request for a trace. A tracer is made only where there is a trace, so that other requests do
not pay for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from .._config import SSLConfig
from .._connect.contexts import alpn_of
from .._errors import Timeout
from .._trace import (
    CloseReason,
    Connected,
    ConnectionClosed,
    ConnectionOpened,
    ConnectStarted,
    DialFailed,
    DialStarted,
    EngineDifference,
    HeadSent,
    InterimResponse,
    LookupDone,
    LookupStarted,
    RequestCancelled,
    RequestClosed,
    RequestDropped,
    RequestEnded,
    RequestFailed,
    RequestQueued,
    RequestRetried,
    RequestSent,
    RequestStarted,
    ResponseComplete,
    ResponseStarted,
    ResponseUnusual,
    TLSDone,
    TLSStarted,
    Trace,
    TraceEvent,
    TunnelOpened,
    TunnelStarted,
)

if TYPE_CHECKING:
    from .._backends.base import Backend, StreamInfo
    from .._connect.route import Route
    from .._message.head import Head
    from .._message.request import Request
    from .._message.rules import Leniency

__all__ = ["Tracer", "both", "clock_offset", "close_reason"]


Pair = tuple[bytes, bytes]


def both(first: Trace | None, second: Trace | None) -> Trace | None:
    """One trace that calls the pool's and then the request's; either may be missing."""
    if first is None or second is None or first is second:
        return second if first is None else first
    return _CombinedTrace(first, second)


class _CombinedTrace:
    """One trace that calls two."""

    __slots__ = ("_traces",)

    def __init__(self, *traces: Trace) -> None:
        self._traces = traces

    def __call__(self, event: TraceEvent) -> None:
        for trace in self._traces:
            trace(event)

    def request_fields(self, number: int) -> list[Pair]:
        found: list[Pair] = []
        for trace in self._traces:
            ask = getattr(trace, "request_fields", None)
            if ask is not None:
                found += ask(number)
        return found


def clock_offset(backend: Backend) -> float:
    """The seconds to add to a reading of the runtime's clock, so that it becomes one of `time.monotonic`, as in all
    records, or one of a simulation's own clock."""
    offset: float = getattr(backend, "clock_offset", 0.0)
    return offset


def close_reason(error: BaseException) -> CloseReason:
    """Why a connection is closed after an exchange on it has ended with `error`."""
    if isinstance(error, Timeout):
        return CloseReason.TIMED_OUT
    return CloseReason.FAILED if isinstance(error, Exception) else CloseReason.CANCELLED


_HTTP11_ALONE: Final = (
    'only HTTP/1.1 is used with this SSLContext: httpcore.ssl_context(alpn=("h2", "http/1.1")) makes one that '
    "offers HTTP/2 where the pool speaks it"
)


class Tracer:
    """Makes the records of one request, with its number (0: a connection without a request), its tag and its clock.

    The argument `at` of the methods is a time that was already read; `RequestTiming` has the same time.

    Attributes:
        awaits_policy: whether a retry policy decides before the request has ended.
        awaits_reading: whether a received body may still be too long, or fail to be decoded.
    """

    __slots__ = (
        "_ended",
        "_fields",
        "_head_sent",
        "_last",
        "_now",
        "_number",
        "_offset",
        "_peer",
        "_protocol",
        "_request_sent",
        "_reused",
        "_tag",
        "_trace",
        "awaits_policy",
        "awaits_reading",
    )

    def __init__(self, trace: Trace, number: int, tag: object, backend: Backend) -> None:
        self._trace = trace
        self._fields: Callable[[int], Iterable[Pair]] | None = getattr(trace, "request_fields", None)
        self._number = number
        self._tag = tag
        self._now = backend.now
        self._offset = clock_offset(backend)
        self._ended = False
        self._last: RequestEnded | None = None
        self._peer = ""
        self._protocol: str | None = None
        self._reused = self._head_sent = self._request_sent = False
        self.awaits_policy = self.awaits_reading = False

    def _record(self, kind: type[TraceEvent], *facts: object, at: float | None = None, **more: object) -> None:
        if not self._ended:  # bytes of a cancelled request may still be sent after its last record
            self._trace(self._event(kind, *facts, at=at, **more))

    def _event(self, kind: type[TraceEvent], *facts: object, at: float | None = None, **more: object) -> TraceEvent:
        at = (self._now() if at is None else at) + self._offset
        return kind(at, self._number, *facts, tag=self._tag, **more)

    # Before there is a connection.

    def started(self, request: Request, began: float) -> None:
        """Make the first record; its time is the one from which the request's timeouts count."""
        self._record(RequestStarted, request.method.decode("ascii"), request.url.redacted, at=began)

    def queued(self, route: Route, at: float) -> None:
        self._record(RequestQueued, str(route), at=at)

    def dialing(self, route: Route, at: float) -> None:
        self._record(DialStarted, str(route), at=at)

    def looking_up(self, host: str, at: float) -> None:
        self._record(LookupStarted, host, at=at)

    def looked_up(self, host: str, addresses: Sequence[str], at: float) -> None:
        self._record(LookupDone, host, tuple(addresses), at=at)

    def connecting(self, addresses: Sequence[str], port: int | None, at: float) -> None:
        self._record(ConnectStarted, tuple(addresses), port, at=at)

    def connected(self, peer: str, at: float) -> None:
        self._record(Connected, peer, at=at)

    def tunneling(self, proxy: str, at: float) -> None:
        self._record(TunnelStarted, proxy, at=at)

    def tunneled(self, proxy: str, at: float) -> None:
        self._record(TunnelOpened, proxy, at=at)

    def securing(self, host: str, at: float) -> None:
        self._record(TLSStarted, host, at=at)

    def secured(self, host: str, version: str | None, alpn: str | None, at: float) -> None:
        self._record(TLSDone, host, version, alpn, at=at)

    def dial_failed(self, route: Route, error: BaseException) -> None:
        self._record(DialFailed, str(route), _text(error), exception=error)

    def opened(self, route: Route, info: StreamInfo, engine: str) -> None:
        tls, alpn = (info.tls.version, info.tls.alpn) if info.tls is not None else (None, None)
        self._record(ConnectionOpened, str(route), info.peer, tls, alpn, engine, _hint(route))

    def closed(self, peer: str, reason: CloseReason) -> None:
        self._trace(self._event(ConnectionClosed, peer, reason))

    # On the connection.

    def using(self, peer: str, reused: bool, protocol: str) -> None:
        """Record that an attempt begins."""
        self._peer, self._reused, self._protocol = peer, reused, protocol
        self._head_sent = self._request_sent = False

    def with_fields(self, request: Request) -> Request:
        """The request as this attempt sends it: with the fields that the trace adds."""
        return request if self._fields is None else request.with_fields(self._fields(self._number))

    def head_sent(self, at: float | None = None) -> None:
        if not self._head_sent:
            self._head_sent = True
            self._record(HeadSent, self._peer, self._reused, at=at, protocol=self._protocol)

    def request_sent(self, at: float | None, *, complete: bool = True) -> None:
        if not self._request_sent:
            # A small request is sent in one write, which includes its head: the head is recorded first.
            self.head_sent(at)
            self._request_sent = True
            self._record(RequestSent, self._peer, self._reused, at=at, complete=complete)

    def interim(self, head: Head) -> None:
        self._record(InterimResponse, head.status, head.headers)

    def answered(self, head: Head, at: float, *, goes_on: bool) -> None:
        """Record the head of the response. `goes_on`: more of the request may follow, on the two-way stream after the
        head."""
        if not goes_on:
            self.request_sent(at, complete=False)
        self._record(ResponseStarted, head.status, head.headers, at=at, version=head.version.decode("latin-1"))
        if head.lenient:
            self.unusual(head.lenient)

    def unusual(self, names: tuple[Leniency, ...]) -> None:
        self._record(ResponseUnusual, names)

    def differed(self, reports: deque[tuple[str, str]]) -> None:
        """Record the differences that the shadow of an engine has found."""
        while reports:
            self._trace(self._event(EngineDifference, *reports.popleft()))

    def retried(self, reason: BaseException | str, attempt: int, pause: float) -> None:
        self._last = None
        self.awaits_reading = False
        error = reason if isinstance(reason, BaseException) else None
        self._record(RequestRetried, str(reason), attempt, pause, exception=error)

    # The end of the request: only the first of these is recorded.

    def complete(self, received: int, at: float) -> None:
        self._end(ResponseComplete, received, at=at)

    def closed_early(self, received: int) -> None:
        self._end(RequestClosed, received)

    def dropped(self, received: int) -> None:
        self._end(RequestDropped, received)

    def failed(self, error: BaseException) -> None:
        self._last = None  # the body was complete, but could not be decoded
        self.awaits_policy = self.awaits_reading = False
        self._end(RequestFailed if isinstance(error, Exception) else RequestCancelled, _text(error), exception=error)

    def _end(
        self,
        kind: type[RequestEnded],
        *facts: object,
        at: float | None = None,
        exception: BaseException | None = None,
    ) -> None:
        # Only the first end is recorded: a response that is complete and then closed has ended once.
        if self._ended or self._last is not None:
            return
        record = self._event(kind, *facts, at=at, exception=exception)
        assert isinstance(record, RequestEnded)
        self._last = record
        self._record_last()

    def accepted(self) -> None:
        """Record that no retry policy sends the request again."""
        self.awaits_policy = False
        self._record_last()

    def was_read(self) -> None:
        """Record that the body can no longer fail."""
        self.awaits_reading = False
        self._record_last()

    def _record_last(self) -> None:
        last = self._last
        # The last record is delayed while a retry, or the decoding of the body, may still change the end.
        if last is not None and not (self.awaits_policy or self.awaits_reading):
            self._last = None
            self._ended = True
            self._trace(last)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _hint(route: Route) -> str | None:
    tls = route.tls
    if tls is None or isinstance(tls, SSLConfig) or "h2" in route.offers or "h2" in alpn_of(tls):
        return None
    return _HTTP11_ALONE
