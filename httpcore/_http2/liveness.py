"""When to ask an HTTP/2 peer whether it is there, and when to believe that it is not. No I/O, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

__all__ = ["DOUBT", "Liveness"]

DOUBT: Final = 1.0
"""Seconds of silence after which an exchange that is given up makes us ask whether the peer is there. Within as many it
has to answer, before the next exchange begins here; those that are under way have their own patience."""


class Liveness:
    """What one connection knows of its peer. All times are seconds of the connection's clock.

    Attributes:
        interval: seconds of silence after which the peer is asked; it has as long to answer. None: it is not asked.
        heard: when something came last.
        asked: since when it has been doubted that the peer is there; None when something has come since.
        pinged: when it was asked last because of the interval.
    """

    __slots__ = ("asked", "heard", "interval", "pinged")

    def __init__(self, now: float, interval: float | None) -> None:
        self.interval = interval
        self.heard = now
        self.asked: float | None = None
        self.pinged = -inf

    def hear(self, now: float) -> None:
        """Something came."""
        self.heard = now
        self.asked = None

    def doubt(self, now: float) -> bool:
        """An exchange is given up. True if nothing has come for long, so that the peer is to be asked: the next
        exchange sees what becomes of it."""
        if self.asked is not None or now < self.heard + DOUBT:
            return False
        self.asked = now
        return True

    def answer_due(self) -> float | None:
        """Until when a peer that is doubted must have answered; None if it is not doubted."""
        return None if self.asked is None else self.asked + DOUBT

    def is_silent(self, now: float) -> bool:
        """Nothing has come for the interval."""
        return self.interval is not None and now >= self.heard + self.interval

    def until_ping(self, now: Callable[[], float]) -> float | None:
        """Seconds until it is time to ask, or to give up waiting for the answer; None: never. The clock is asked only
        if need be."""
        if self.interval is None:
            return None
        return max(0.0, max(self.heard, self.pinged) + self.interval - now())

    def is_ping_due(self, now: float) -> bool:
        return self.interval is not None and now >= max(self.heard, self.pinged) + self.interval

    @property
    def is_unanswered(self) -> bool:
        return self.pinged > self.heard
