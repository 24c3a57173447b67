"""What a pool counts: connections and requests, in all and for each origin."""

from __future__ import annotations

from collections.abc import Mapping

from .._public import public, resolvable
from .._trace import RequestPhase
from .._values import dataclass


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
    """What a pool has, at one moment.

    Attributes:
        connections: idle + busy + dialing; never more than `max_connections`.
        idle: open, and no request uses it.
        busy: open, and at least one request uses it.
        dialing: being established.
        leased: requests that hold a connection, raw streams included. Over HTTP/2 several hold one.
        waiting: requests that wait for a connection or for another request's dial.
        origins: the same for each origin that has anything, by name.
    """

    connections: int
    idle: int
    busy: int
    dialing: int
    leased: int
    waiting: int
    origins: Mapping[str, OriginStats]

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
        number: of the request in this process, as on `response.info.request_number` and in the records of a trace.
        tag: what was given as `request(..., tag=)`.
        method, url: of the request; `url` has no credentials.
        phase: what it is doing; see `RequestPhase`, whose values are text.
        peer: what it is connected to ("127.0.0.1:8080", a path), None before it is.
        age: seconds since it began.
    """

    number: int
    tag: object
    method: str
    url: str
    phase: RequestPhase
    peer: str | None
    age: float
