"""Idle connections that expire early, because their servers announce how long they keep them (`Keep-Alive: timeout=`),
and connections that are too old to serve another ticket."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush
from math import inf

from .tickets import _OPEN, Slot

__all__ = ["Lifetimes", "IdleExpiry"]


class IdleExpiry:
    """A heap of notes, each of a slot and the time when it expires. A note may stay here when its slot is no longer
    idle."""

    __slots__ = ("notes",)

    def __init__(self) -> None:
        self.notes: list[tuple[float, int, Slot]] = []

    def note(self, slot: Slot, idle: Collection[Slot]) -> None:
        heappush(self.notes, (slot.expires, slot.number, slot))
        if len(self.notes) > 64 + 2 * len(idle):  # most notes are stale: their slots were used again
            self.begin_anew(idle)

    def begin_anew(self, idle: Collection[Slot]) -> None:
        """Start again with one note for each idle slot."""
        notes = [(slot.expires, slot.number, slot) for slot in idle]
        heapify(notes)
        self.notes = notes

    def pop(self, now: float, idle: Collection[Slot]) -> Slot | None:
        """Remove and return a slot that is idle and has expired; None when there is none."""
        notes = self.notes
        while notes and notes[0][0] <= now:
            when, _, slot = heappop(notes)
            # A note is stale if its slot has been used since, or expires at another time now. Stale notes are skipped
            # here, and not searched for before.
            if slot in idle and slot.expires == when:
                return slot
        return None

    def next(self, never: float) -> float:
        """The time before which no slot expires."""
        return self.notes[0][0] if self.notes else never


class Lifetimes:
    """The connections of a pool that has a `max_connection_lifetime`, the oldest first. All lifetimes are equal, so
    this is the order in which they end. Without a lifetime nothing is kept here.
    """

    __slots__ = ("_lifetime", "_slots")

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._slots: dict[Slot, None] = {}

    def begin(self, slot: Slot, now: float) -> float:
        """Record that the slot is open from now on. Returns when its lifetime ends."""
        slot.retires_at = now + self._lifetime
        if slot.retires_at < inf:
            self._slots[slot] = None
        return slot.retires_at

    def pop(self, now: float) -> Slot | None:
        """Remove and return a slot whose lifetime has ended; None when there is none."""
        first = next(iter(self._slots), None)
        if first is None or first.retires_at > now:
            return None
        del self._slots[first]
        return first

    def next(self, never: float) -> float:
        """The time before which no lifetime ends."""
        first = next(iter(self._slots), None)
        return never if first is None else first.retires_at

    def forget(self, slot: Slot) -> None:
        self._slots.pop(slot, None)

    def begin_anew(self, slots: Iterable[Slot]) -> None:
        """Start again with the open slots among these whose lifetime is limited."""
        mortal = [slot for slot in slots if slot.state is _OPEN and slot.retires_at < inf]
        self._slots = dict.fromkeys(sorted(mortal, key=_retires_at))


def _retires_at(slot: Slot) -> float:
    return slot.retires_at
