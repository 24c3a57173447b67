"""The upstreams that are in use: steps on results and their times, without I/O and without a clock of its own."""

from __future__ import annotations

from collections.abc import Sequence

from .settings import Health

__all__ = ["Member", "available"]


class Member:
    """What is known of one upstream.

    Attributes:
        weight: its share.
        outstanding: requests that it has not answered completely.
        is_up: as the checks say.
        ejected_until: when requests that failed let it take part again; 0 where it takes part.
        current: its turn in the round (see `balance`).
    """

    __slots__ = ("_checks", "_failures", "_health", "current", "ejected_until", "is_up", "outstanding", "weight")

    def __init__(self, weight: int, health: Health) -> None:
        self.weight: int = weight
        self.outstanding: int = 0
        self.is_up: bool = True
        self.ejected_until: float = 0.0
        self.current: int = 0
        self._health = health
        self._failures = 0  # requests in a row
        self._checks = 0  # in a row that speak against `is_up`

    def answered(self) -> None:
        """A request got a response."""
        self._failures = 0
        self.ejected_until = 0.0

    def failed(self, now: float) -> None:
        """A request got none, and that was the upstream's fault. After an ejection the first failure is enough."""
        limit = self._health.passive
        if limit is None:
            return
        self._failures += 1
        if self._failures >= limit and self.ejected_until <= now:
            self.ejected_until = now + self._health.ejection

    def checked(self, right: bool) -> None:
        """A check was answered, rightly or not."""
        if right == self.is_up:
            self._checks = 0
            return
        self._checks += 1
        if self._checks >= (self._health.rise if right else self._health.fall):
            self.is_up = right
            self._checks = 0
            if right:  # the checks have the last word: what failed before its fall says nothing now
                self.answered()


def available(members: Sequence[Member], now: float, tried: frozenset[int]) -> list[int]:
    """The indexes of those that a request may go to.

    What the checks found down is left out. What requests left out is taken all the same where nothing else is there:
    they may have failed by themselves, and an answer of 502 is no better than a try.
    """
    if not tried:
        found = [index for index, member in enumerate(members) if member.is_up and member.ejected_until <= now]
        if found:
            return found
    up = [index for index, member in enumerate(members) if member.is_up and index not in tried]
    return [index for index in up if members[index].ejected_until <= now] or up
