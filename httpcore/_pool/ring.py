"""The order of turns between origins. See `ledger` for why this is fair."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from .tickets import Origin

__all__ = ["Ring"]


class Ring(OrderedDict[Origin, None]):
    """The origins whose first waiter would be helped by room for a connection, the next one first.

    Arguments:
        limit: how many connections that other origins free may pass over the head; the next one closes to make room for
            it.
    """

    def __init__(self, limit: float) -> None:
        OrderedDict.__init__(self)
        self._limit = limit
        self._missed = 0  # freed connections that the head did not get since it became the head

    def of(self, origins: Iterable[Origin]) -> Ring:
        """A new ring with these origins, and the same count of freed connections."""
        ring = Ring(self._limit)
        ring._missed = self._missed
        for origin in origins:
            ring[origin] = None
        return ring

    def head(self) -> Origin:
        """The first origin. The ring must not be empty."""
        return next(iter(self))

    def rank(self, origin: Origin, *, wants: bool) -> None:
        """Put the origin into the ring if it wants room, else remove it."""
        if wants:
            self.setdefault(origin, None)
        elif origin in self:
            # The count belongs to the head: the next head begins a new one.
            if self.head() is origin:
                self._missed = 0
            del self[origin]

    def turn(self, origin: Origin) -> None:
        """Move the origin to the end: it has had its turn."""
        self._missed = 0
        self.move_to_end(origin)

    def must_yield(self, origin: Origin) -> bool:
        """Whether a connection that this origin has freed must make room for the head. Each call counts one freed
        connection."""
        if self.head() is origin:
            self.turn(origin)  # a connection of its own serves it: that is its turn
            return False
        self._missed += 1
        return self._missed > self._limit

    def yields(self) -> None:
        """Begin a new count: one connection closes to make room for the head, and no other connection needs to close in
        the meantime."""
        self._missed = 0
