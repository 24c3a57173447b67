"""The bytes that one HTTP/2 connection has to send and the system has not taken yet. Plain: nothing here waits.

All but `can_send` is used under the connection's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .._backends.base import Stream
from .._totals import Totals
from .election import Waiter
from .engine import H2Engine
from .inbox import Inbox

__all__ = ["Outbox"]


class Outbox:
    """The engine's frames, and the rest of a write that was taken in part.

    Attributes:
        unsent: bytes that were taken from the engine and that the stream has not taken yet.
        written: bytes that the stream has taken, in all.
        writing: the wait whose call of the stream has `unsent`: no other may send. None: there is none.
        parting: only a GOAWAY is left to be sent, then the stream is closed.
        over: nothing can be sent any more.
        leaving: inboxes with a request that is queued whole and not yet written whole, in order.
        totals: the pool's counts of written bytes.
        marks: functions to be called when so many bytes are written, in order; only traced requests have any.
    """

    __slots__ = (
        *("_engine", "_now", "_stream"),
        *("leaving", "marks", "over", "parting", "totals", "unsent", "writing", "written"),
    )

    def __init__(self, stream: Stream, engine: H2Engine, now: Callable[[], float], totals: Totals) -> None:
        self._stream = stream
        self._engine = engine
        self._now = now
        self.totals = totals
        self.leaving: deque[Inbox] = deque()
        self.unsent: bytes | memoryview = b""
        self.written = 0
        self.writing: Waiter | None = None
        self.parting = False
        self.over = False
        self.marks: deque[tuple[int, Callable[[], None]]] = deque()

    def size(self) -> int:
        """Bytes that wait to be sent."""
        return len(self.unsent) + self._engine.pending

    def is_unsent(self) -> bool:
        """There is something to write, if only in the buffer of the stream (TLS keeps encrypted bytes)."""
        if self.over:
            return False
        return bool(self.unsent) or self._engine.pending > 0 or self._stream.owes

    def fill(self) -> bytes | memoryview:
        """The bytes to send next. The engine's are taken only when all before have left: it bounds the answers to a
        peer that does not read, and cannot count those that were moved here."""
        data = self.unsent = self.unsent or self._engine.take()
        return data

    def write_nowait(self) -> None:
        """Hand over the queued bytes as far as there is room, unless a call of the stream has it."""
        # Never beside a call of the stream: that has the beginning of `unsent`, and ours would overtake the rest.
        while not self.writing and (data := self.unsent or self._engine.take()):
            count = self._stream.give(data)
            # Before the look at `count`: accepted bytes are removed from `unsent`, or the next call would send them
            # again.
            self.wrote(data, count)
            if not count:
                break

    def wrote(self, data: bytes | memoryview, count: int) -> None:
        self.written += count
        self.totals.bytes_sent += count
        self.unsent = b"" if count == len(data) else memoryview(data)[count:] if count else data
        leaving = self.leaving
        # TLS may still hold bytes that it took: only when it owes none, all that was written has left.
        if leaving and leaving[0].ends <= self.written and not self._stream.owes:
            at = self._now()
            while leaving and leaving[0].ends <= self.written:
                leaving.popleft().sent_at = at

    def tell_marks(self) -> None:
        """Call the marks whose bytes are written by now. Without the lock."""
        while self.marks and self.marks[0][0] <= self.written and not self._stream.owes:
            try:
                _, tell = self.marks.popleft()
            except IndexError:  # another thread was faster
                return
            tell()

    def part(self) -> None:
        """The GOAWAY is out, or never will be."""
        self.parting = False
        self._stream.close()

    def part_if_sent(self) -> None:
        if not (self.writing or self.unsent or self._engine.pending or self._stream.owes):
            self.part()
