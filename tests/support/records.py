"""Keeps the records of a trace, and checks them, timings and totals against each other and the simulated wire."""

from __future__ import annotations

from collections import Counter, defaultdict

import httpcore
from httpcore import ConnectionClosed, ConnectionOpened, HeadSent, RequestEnded, RequestSent, RequestStarted, TraceEvent
from httpcore.testing import Simulation

ENDS = {httpcore.DialStarted: (ConnectionOpened, httpcore.DialFailed)}

SPANS = {
    "dns": (httpcore.LookupStarted, httpcore.LookupDone),
    "connect": (httpcore.ConnectStarted, httpcore.Connected),
    "tunnel": (httpcore.TunnelStarted, httpcore.TunnelOpened),
}
POINTS = {"request_sent": RequestSent, "head": httpcore.ResponseStarted, "complete": httpcore.ResponseComplete}


def check_timing(timing: httpcore.RequestTiming | None, events: list[TraceEvent], *, has_tls: bool = False) -> None:
    """Each time equals that of its record, and no time exists without a record. `events`: the records of the one
    request.
    """
    assert timing is not None
    assert isinstance(events[0], RequestStarted)
    began = timing.started
    assert events[0].at == began
    attempt = list(events)
    for number, event in enumerate(events):
        if isinstance(event, httpcore.RequestRetried):
            attempt = events[number + 1 :]
    waits = [event.at for event in attempt if isinstance(event, httpcore.RequestQueued)]
    if timing.queued is None:
        assert waits == []
    else:
        assert any(is_same(timing.queued.start, at - began) for at in waits)
    dials = [number for number, event in enumerate(attempt) if isinstance(event, httpcore.DialStarted)]
    dial = attempt[dials[-1] :] if dials else []
    for name, kinds in SPANS.items():
        check_span(getattr(timing, name), *[_first(dial, kind, began) for kind in kinds])
    if has_tls:
        pairs = [(event.at - began) for event in dial if isinstance(event, (httpcore.TLSStarted, httpcore.TLSDone))]
        assert timing.tls is not None
        check_span(timing.tls, *pairs[-2:])
    else:
        assert timing.tls is timing.proxy_tls is None
    for name, kind in POINTS.items():
        found = [event for event in attempt if isinstance(event, kind) and getattr(event, "complete", True)]
        at, expected = getattr(timing, name), found[-1].at - began if found else None
        assert (at is None) == (expected is None), (name, events)
        assert at is None or is_same(at, expected), (name, events)
    check_order(timing)


def check_order(timing: httpcore.RequestTiming) -> None:
    """No step ends before it begins, and consecutive steps do not overlap."""
    spans = (timing.dns, timing.connect, timing.proxy_tls, timing.tunnel, timing.tls)
    times = [at for span in spans if span is not None for at in (span.start, span.end)]
    points = [0.0, *times, timing.connected, timing.first_byte, timing.head, timing.complete]
    known = [at for at in points if at is not None]
    assert known == sorted(known), timing
    if timing.request_sent is not None and timing.connected is not None:
        assert timing.request_sent >= timing.connected


def check_span(span: httpcore.TimeSpan | None, start: float | None, end: float | None) -> None:
    if start is None:
        assert span is None
        return
    assert span is not None
    assert is_same(span.start, start)
    assert (span.end is None) == (end is None)
    assert span.end is None or is_same(span.end, end)


def is_same(one: float, other: float | None) -> bool:
    """Equal except for rounding of floats: a record has the value of the clock, a timing has a difference."""
    return other is not None and abs(one - other) < 1e-8


def _first(events: list[TraceEvent], kind: type[TraceEvent], began: float) -> float | None:
    return next((event.at - began for event in events if isinstance(event, kind)), None)


class Records:
    """A trace that keeps all records.

    Attributes:
        events: all records, in order.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.events: list[TraceEvent] = []
        self._simulation = simulation
        self._paths: dict[int, bytes] = {}

    def __call__(self, event: TraceEvent) -> None:
        assert not self.events or event.at >= self.events[-1].at, "times of records never decrease"
        assert event.at == self._simulation.now, "a record has the current time"
        if isinstance(event, RequestStarted):
            self._paths[event.request] = event.url.split(".test")[-1].encode()
        if isinstance(event, (HeadSent, RequestSent)):
            assert any(connection.sent for connection in self._simulation.connections)
        self.events.append(event)

    def was_sent(self, path: str) -> bool:
        """Over HTTP/1.1: whether any part of the request was sent to any server."""
        target = f" {path} ".encode()
        return any(target in connection.sent for connection in self._simulation.connections)

    def check_heads(self) -> None:
        """Over HTTP/1.1: each head that was recorded as sent is on the wire, and each head on the wire was recorded."""
        recorded = {self._paths[event.request] for event in self.events if isinstance(event, HeadSent)}
        for path in self._paths.values():
            assert (path in recorded) is self.was_sent(path.decode()), path

    def check_totals(self, pool: httpcore.ConnectionPool) -> None:
        """The pool's counts agree with the records, and its bytes with those of the network."""
        totals = pool.stats().totals
        kinds = Counter(type(event) for event in self.events)
        assert totals.requests == kinds[RequestStarted]
        assert totals.dials == kinds[httpcore.DialStarted]
        assert totals.failed_dials == kinds[httpcore.DialFailed]
        assert totals.resends == kinds[httpcore.RequestRetried]
        assert len(self._simulation.connections) <= len(self._simulation.attempts) <= totals.dials
        assert len(self._simulation.connections) <= totals.dials - totals.failed_dials + self._unopened()
        assert totals.bytes_sent == sum(len(connection.sent) for connection in self._simulation.connections)
        assert totals.bytes_received == sum(connection.bytes_read for connection in self._simulation.connections)
        assert totals.reuses >= sum(isinstance(event, HeadSent) and event.reused for event in self.events)

    def _unopened(self) -> int:
        """Sockets that were connected, and have not become connections of the pool."""
        kinds = Counter(type(event) for event in self.events)
        return kinds[httpcore.Connected] - kinds[ConnectionOpened]

    def of(self, number: int) -> list[TraceEvent]:
        """The records of one request."""
        return [event for event in self.events if event.request == number]

    def check_open(self, pool: httpcore.ConnectionPool) -> None:
        """The number of opened connections minus the number of closed ones is the number that the pool counts."""
        stats = pool.stats()
        kinds = Counter(type(event) for event in self.events)
        assert kinds[ConnectionOpened] - kinds[ConnectionClosed] == stats.open

    def check_requests(self) -> None:
        """Each request ends with one record, followed by at most the close of its connection; each dial has an end."""
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
