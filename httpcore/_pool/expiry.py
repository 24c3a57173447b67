"""Idle connections that expire before their turn: servers say how long they keep one (`Keep-Alive: timeout=`)."""

from __future__ import annotations

from collections.abc import Collection
from heapq import heapify, heappop, heappush

from .tickets import Slot

__all__ = ["Early"]


class Early:
    """A heap of notes, by the time when each slot expires. A note is left here when its slot is idle no more."""

    __slots__ = ("notes",)

    def __init__(self) -> None:
        self.notes: list[tuple[float, int, Slot]] = []

    def note(self, slot: Slot, idle: Collection[Slot]) -> None:
        heappush(self.notes, (slot.expires, slot.number, slot))
        if len(self.notes) > 64 + 2 * len(idle):  # mostly notes of idle times that ended in time
            self.begin_anew(idle)

    def begin_anew(self, idle: Collection[Slot]) -> None:
        """With a note for each that is idle, and no other."""
        notes = [(slot.expires, slot.number, slot) for slot in idle]
        heapify(notes)
        self.notes = notes

    def pop(self, now: float, idle: Collection[Slot]) -> Slot | None:
        """One that is idle and has expired; None when there is no other."""
        notes = self.notes
        while notes and notes[0][0] <= now:
            when, _, slot = heappop(notes)
            if slot in idle and slot.expires == when:
                return slot
        return None

    def next(self, never: float) -> float:
        """Before this no slot has expired."""
        return self.notes[0][0] if self.notes else never
