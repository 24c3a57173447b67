"""The bytes that one HTTP/2 connection has to send and the system has not accepted yet. Plain: nothing here waits.

The methods are called under the connection's lock, with three exceptions: `call_marks`; `is_unsent`, if it only decides
how long to wait; and the last writes of a connection (`Pump._part_in_time`), when `writing` excludes all other tasks.
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
    """The engine's frames, and the rest of a write that was accepted in part.

    Attributes:
        unsent: bytes that were taken from the engine and that the stream has not accepted yet.
        written: the total of the bytes that the stream has accepted.
        writing: the waiter whose task has passed `unsent` to the stream: no other task may write. None: no task has.
        parting: whether the stream is to be closed once the queued bytes and a GOAWAY after them have been sent.
        over: whether nothing more can be sent.
        leaving: inboxes whose request is queued completely but not yet written completely, in order.
        totals: the pool's counts of written bytes.
        marks: byte counts with functions to call when so many bytes are written, in order; only traced requests have
            any.
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
        """The number of bytes that wait to be sent."""
        return len(self.unsent) + self._engine.pending

    def is_unsent(self) -> bool:
        """Whether there is something to write, if only in the buffer of the stream (TLS keeps encrypted bytes)."""
        if self.over:
            return False
        return bool(self.unsent) or self._engine.pending > 0 or self._stream.owes

    def fill(self) -> bytes | memoryview:
        """The bytes to send next. Bytes are taken from the engine only when all earlier ones are written: the
        engine bounds the answers to a peer that does not read, and cannot count answers that were moved here."""
        data = self.unsent = self.unsent or self._engine.take()
        return data

    def write_nowait(self) -> None:
        """Pass the queued bytes to the stream as far as there is room, unless a call already does so."""
        # Nothing is written during another write call: that call has the beginning of `unsent`, and our bytes would
        # overtake the rest.
        while not self.writing and (data := self.unsent or self._engine.take()):
            count = self._stream.give(data)
            # Called even if `count` is 0: `unsent` must keep bytes that were taken from the engine and not accepted.
            self.wrote(data, count)
            if not count:
                break

    def wrote(self, data: bytes | memoryview, count: int) -> None:
        self.written += count
        self.totals.bytes_sent += count
        self.unsent = b"" if count == len(data) else memoryview(data)[count:] if count else data
        leaving = self.leaving
        # TLS may still hold accepted bytes: only when it holds none, all written bytes were sent.
        if leaving and leaving[0].ends <= self.written and not self._stream.owes:
            at = self._now()
            while leaving and leaving[0].ends <= self.written:
                leaving.popleft().sent_at = at

    def call_marks(self) -> None:
        """Call the marks whose bytes have been written. To be called without the lock."""
        while self.marks and self.marks[0][0] <= self.written and not self._stream.owes:
            try:
                _, call = self.marks.popleft()
            except IndexError:  # another thread has called this mark
                return
            call()

    def part(self) -> None:
        """Record that the GOAWAY was sent, or can no longer be sent, and close the stream."""
        self.parting = False
        self._stream.close()

    def part_if_sent(self) -> None:
        if not (self.writing or self.unsent or self._engine.pending or self._stream.owes):
            self.part()
