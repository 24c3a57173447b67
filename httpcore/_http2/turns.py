"""Who reads for all and who writes for all on a shared connection; the rest wait for their news, or for their turn.

There are two turns, and whoever waits may get either. A turn that is let go while somebody waits goes straight to one
of the waiting, in constant time, so no turn is ever free while somebody who could take it sleeps. It goes to whoever
came last: where answers come in the order of their questions he stays longest, and turns change hands least.

All of this is plain, and is called under the connection's lock; only the event that `wait` returns is awaited. Whoever
is woken is woken first and given the turn then, so that Ctrl-C between the two loses neither.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from .._backends.base import Event

__all__ = ["Baton", "Seat"]


class Seat:
    """One who waits, for one wait. It must `leave` in the end, however the wait ended."""

    __slots__ = ("event",)

    event: Event


class Baton:
    """The two turns of one connection.

    Attributes:
        reader: who has the turn to read, if anybody does. He reads, or is about to.
        writer: the same, to write.
    """

    __slots__ = ("_event", "_waiting", "reader", "writer")

    def __init__(self, event: Callable[[], Event]) -> None:
        self.reader: Seat | None = None
        self.writer: Seat | None = None
        self._event = event
        self._waiting: OrderedDict[Seat, None] = OrderedDict()

    def may_read(self, seat: Seat) -> bool:
        """Take the turn to read if it is free; True for the one who has it."""
        if self.reader is None:
            self.reader = seat
        return self.reader is seat

    def may_write(self, seat: Seat) -> bool:
        """Take the turn to write if it is free; True for the one who has it."""
        if self.writer is None:
            self.writer = seat
        return self.writer is seat

    def wait(self, seat: Seat) -> Event:
        """What to wait for when both turns are taken: it is set when there is news, or a turn."""
        seat.event = event = self._event()
        self._waiting[seat] = None
        return event

    def call(self, seat: Seat) -> None:
        """There is news for this one. One who does not wait looks for himself before he does."""
        if seat in self._waiting:
            seat.event.set()
            del self._waiting[seat]

    def leave(self, seat: Seat, *, unsent: bool) -> None:
        """Let go of what this one has, in favour of one who waits. `unsent`: there is something to write."""
        self._waiting.pop(seat, None)
        if self.reader is seat:
            self.reader = None
        if self.writer is seat:
            self.writer = None
        self.pass_on(unsent=unsent)

    def forget(self) -> None:
        """In the child of a fork: those who have the turns, or wait for them, do not exist, and their events may be
        locked for ever."""
        self.reader = self.writer = None
        self._waiting = OrderedDict()

    def pass_on(self, *, unsent: bool) -> None:
        """Give a turn that is free, if it is of use, to one who waits."""
        waiting = self._waiting
        reads = self.reader is None
        writes = unsent and self.writer is None
        if waiting and (reads or writes):
            seat = next(reversed(waiting))
            seat.event.set()
            if reads:
                self.reader = seat
            if writes:
                self.writer = seat
            del waiting[seat]
