"""Keeps the records of a trace, and checks them against the pool that made them and against the simulated wire."""

from __future__ import annotations

from collections import Counter, defaultdict

import httpcore
from httpcore import ConnectionClosed, ConnectionOpened, HeadSent, RequestEnded, RequestSent, RequestStarted, TraceEvent
from httpcore.testing import Simulation

ENDS = {httpcore.DialStarted: (ConnectionOpened, httpcore.DialFailed)}


class Records:
    """A trace.

    Attributes:
        events: all records, in order.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.events: list[TraceEvent] = []
        self._simulation = simulation
        self._paths: dict[int, bytes] = {}

    def __call__(self, event: TraceEvent) -> None:
        assert not self.events or event.at >= self.events[-1].at, "the clock runs on"
        assert event.at == self._simulation.now, "a record is made when it happens"
        if isinstance(event, RequestStarted):
            self._paths[event.request] = event.url.split(".test")[-1].encode()
        if isinstance(event, (HeadSent, RequestSent)):
            assert any(connection.sent for connection in self._simulation.connections)
        self.events.append(event)

    def was_sent(self, path: str) -> bool:
        """Over HTTP/1.1: whether any server was sent something of a request for it."""
        target = f" {path} ".encode()
        return any(target in connection.sent for connection in self._simulation.connections)

    def check_heads(self) -> None:
        """Over HTTP/1.1: a head that was recorded as sent is on the wire, and the other way round."""
        recorded = {self._paths[event.request] for event in self.events if isinstance(event, HeadSent)}
        for path in self._paths.values():
            assert (path in recorded) is self.was_sent(path.decode()), path

    def check_open(self, pool: httpcore.ConnectionPool) -> None:
        """Connections opened less those closed are what the pool has."""
        stats = pool.stats()
        kinds = Counter(type(event) for event in self.events)
        assert kinds[ConnectionOpened] - kinds[ConnectionClosed] == stats.open

    def check_requests(self) -> None:
        """Each request has one record of its end, and nothing behind it but the close of its connection; each dial has
        an end."""
        by_request: dict[int, list[TraceEvent]] = defaultdict(list)
        for event in self.events:
            if event.request:
                by_request[event.request].append(event)
        for events in by_request.values():
            assert isinstance(events[0], RequestStarted)
            ends = [number for number, event in enumerate(events) if isinstance(event, RequestEnded)]
            assert len(ends) == 1, events
            assert {type(event) for event in events[ends[0] + 1 :]} <= {ConnectionClosed}, events
            kinds = Counter(type(event) for event in events)
            for begin, finishes in ENDS.items():
                assert kinds[begin] == sum(kinds[kind] for kind in finishes), events
