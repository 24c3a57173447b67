"""The time of a run: the records of its requests as spans, each a phase with start and end. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from .._trace import (
    Connected,
    ConnectionOpened,
    ConnectStarted,
    DialFailed,
    DialStarted,
    HeadSent,
    LookupDone,
    LookupStarted,
    RequestEnded,
    RequestFailed,
    RequestQueued,
    RequestRetried,
    RequestSent,
    RequestStarted,
    ResponseStarted,
    TLSDone,
    TLSStarted,
    TraceEvent,
    TunnelOpened,
    TunnelStarted,
)

__all__ = ["PHASES", "Exchange", "Span", "exchanges_of"]

PHASES: Final = ("queue", "DNS", "connect", "tunnel", "TLS", "send", "wait", "body", "pause")
"""The phases of a request: waiting for a connection, ..., waiting for the response, its body, and the pause before
it is sent again.
"""


class Span(NamedTuple):
    """A phase, in seconds since the first record of the run; `failed`: it ended with an error."""

    phase: str
    start: float
    end: float
    failed: bool = False


class Exchange(NamedTuple):
    """One request of the run.

    Attributes:
        method, url: as its first record has them: without credentials.
        start, end: seconds since the first record of the run.
        outcome: the status, the name of the error, or both; "" if there is neither.
        spans: in their order.
    """

    method: str
    url: str
    start: float
    end: float
    outcome: str
    spans: tuple[Span, ...]


def exchanges_of(records: Iterable[TraceEvent]) -> list[Exchange]:
    """The requests among these records, in their order."""
    readers: dict[int, _Reader] = {}
    begin: float | None = None
    for record in records:
        begin = record.at if begin is None else begin
        if isinstance(record, RequestStarted):
            readers[record.request] = _Reader(record, begin)
        elif record.request in readers:
            readers[record.request].take(record)
    return [reader.exchange() for reader in readers.values()]


_BEGINS: Final[dict[type[TraceEvent], str]] = {
    RequestQueued: "queue",
    LookupStarted: "DNS",
    ConnectStarted: "connect",
    TunnelStarted: "tunnel",
    TLSStarted: "TLS",
    RequestSent: "wait",
    ResponseStarted: "body",
    RequestRetried: "pause",
}
"""The phase that a record begins."""

_ENDS: Final = (DialStarted, LookupDone, Connected, TunnelOpened, TLSDone, ConnectionOpened, DialFailed, RequestEnded)
"""Records that end a phase and begin none."""


class _Reader:
    """Reads the records of one request."""

    def __init__(self, first: RequestStarted, begin: float) -> None:
        self._first = first
        self._begin = begin
        self._spans: list[Span] = []
        self._open: tuple[str, float] | None = None
        self._last = first.at
        self._outcome = ""

    def take(self, record: TraceEvent) -> None:
        if isinstance(record, HeadSent):
            # If a phase is still open, it was a wait for this record, and sending begins now. Otherwise sending began
            # at the last record, when the connection was found.
            self._close(record.at)
            self._open = "send", self._last
        elif type(record) in _BEGINS:
            self._close(record.at)
            self._open = _BEGINS[type(record)], record.at
        elif isinstance(record, _ENDS):
            self._close(record.at, failed=isinstance(record, (DialFailed, RequestFailed)))
        else:
            return
        self._last = record.at
        if isinstance(record, ResponseStarted):
            self._outcome = str(record.status_code)
        elif isinstance(record, RequestRetried):
            self._outcome = ""
        elif isinstance(record, RequestFailed):
            self._outcome = f"{self._outcome} {record.error.partition(':')[0]}".strip()

    def _close(self, at: float, *, failed: bool = False) -> None:
        if self._open is not None:
            phase, start = self._open
            self._spans.append(Span(phase, start - self._begin, at - self._begin, failed))
            self._open = None
            self._last = at

    def exchange(self) -> Exchange:
        first = self._first
        start, end = first.at - self._begin, self._last - self._begin
        return Exchange(first.method, first.url, start, end, self._outcome, tuple(self._spans))
