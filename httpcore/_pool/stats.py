"""The counts of a pool: connections and requests, in all and for each origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._config import PoolLimits
from .._public import public, resolvable
from .._totals import Totals
from .._trace import RequestPhase
from .._values import dataclass, field

__all__ = ["OriginStats", "PoolStats", "PoolTotals", "RequestInFlight", "TimeoutTotals", "totals_of"]


@public
@dataclass(frozen=True, slots=True)
class TimeoutTotals:
    """How often a timeout expired, by the setting of `TimeoutConfig` for it. Each attempt of a request counts.

    Attributes:
        pool, connect, read, write, total: as `PoolTimeout`, `ConnectTimeout`, and so on.
    """

    pool: int = 0
    connect: int = 0
    read: int = 0
    write: int = 0
    total: int = 0


@public
@resolvable
@dataclass(frozen=True, slots=True)
class PoolTotals:
    """The counts of a pool since it was made; in the child of a fork, since the fork. No count ever falls.

    Each event is counted when it happens, so one count may be a step ahead of another. A Ctrl-C in the middle of a
    system call may leave the bytes of this one call uncounted.

    Attributes:
        requests: calls of `request()` and `stream()` whose arguments were valid.
        dials: attempts to make a connection; `failed_dials` of them failed, because of an error or a
            cancellation.
        reuses: attempts on a connection that was already open.
        resends: times that a request was silently sent again: because its connection had died in the pool, or the
            server had refused to process it, or required another form of it.
        retries: how often a request was sent again because of `retries`.
        streams: HTTP/2 streams that were opened.
        timeouts: timeouts that expired.
        bytes_sent, bytes_received: the bytes of HTTP on all connections: heads, framing, bodies as sent, all frames of
            HTTP/2, and what raw streams carry; without TLS, and without the bytes that open a tunnel through a proxy.
    """

    requests: int = 0
    dials: int = 0
    failed_dials: int = 0
    reuses: int = 0
    resends: int = 0
    retries: int = 0
    streams: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    timeouts: TimeoutTotals = TimeoutTotals()


def totals_of(totals: Totals, open_counts: Sequence[tuple[int, int]]) -> PoolTotals:
    """The current numbers. `open_counts`: reuses and streams of each connection that is open."""
    return PoolTotals(
        totals.requests,
        totals.dials,
        totals.failed_dials,
        totals.reuses + sum([reuses for reuses, _ in open_counts]),
        totals.resends,
        totals.retries,
        totals.streams + sum([streams for _, streams in open_counts]),
        totals.bytes_sent,
        totals.bytes_received,
        TimeoutTotals(
            totals.pool_timeouts,
            totals.connect_timeouts,
            totals.read_timeouts,
            totals.write_timeouts,
            totals.total_timeouts,
        ),
    )


@public
@dataclass(frozen=True, slots=True)
class OriginStats:
    """One origin's part of `PoolStats`; the fields are the same."""

    connections: int = 0
    idle: int = 0
    busy: int = 0
    dialing: int = 0
    leased: int = 0
    waiting: int = 0

    @property
    def open(self) -> int:
        """Connections that are established: idle + busy."""
        return self.idle + self.busy


@public
@resolvable
@dataclass(frozen=True, slots=True)
class PoolStats:
    """The state of a pool at one moment.

    Attributes:
        connections: idle + busy + dialing; never more than `max_connections`.
        idle: open, and no request uses it.
        busy: open, and at least one request uses it.
        dialing: being established.
        leased: requests that hold a connection, raw streams included. Over HTTP/2 several hold one.
        waiting: requests that wait for a connection or for another request's dial.
        origins: the same counts for each origin with a connection or a request, by name.
        limits: the limits of the pool.
        totals: its counts since it was made. Two snapshots that differ in nothing else are equal.
    """

    connections: int
    idle: int
    busy: int
    dialing: int
    leased: int
    waiting: int
    origins: Mapping[str, OriginStats]
    limits: PoolLimits = field(default=PoolLimits(), compare=False)
    totals: PoolTotals = field(default=PoolTotals(), compare=False)

    def of_pool(self, totals: PoolTotals, limits: PoolLimits) -> PoolStats:
        """The same counts, with the totals and limits of the pool."""
        counts = self.connections, self.idle, self.busy, self.dialing, self.leased, self.waiting
        return PoolStats(*counts, self.origins, limits, totals)

    @property
    def open(self) -> int:
        """Connections that are established: idle + busy."""
        return self.idle + self.busy


@public
@resolvable
@dataclass(frozen=True, slots=True)
class RequestInFlight:
    """A request that has begun and not ended, at one moment.

    Attributes:
        number: the number of the request in this process, as on `response.info.request_number` and in the records of a
            trace.
        tag: the value of `request(..., tag=)`.
        method, url: those of the request; `url` has no credentials.
        phase: its current step; see `RequestPhase`, whose values are text.
        peer: the address of its peer ("127.0.0.1:8080", or a path); None before it has a connection.
        age: seconds since it began.
    """

    number: int
    tag: object
    method: str
    url: str
    phase: RequestPhase
    peer: str | None
    age: float
