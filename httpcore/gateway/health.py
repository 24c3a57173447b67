"""Decides which upstreams are in use, from the results and the times of requests and checks. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence

from .settings import Health

__all__ = ["Member", "available"]


class Member:
    """The state of one upstream.

    Attributes:
        weight: its share of the requests.
        outstanding: requests without a complete response.
        is_up: False if the health checks exclude the upstream.
        ejected_until: the time until which failed requests exclude the upstream; 0 if they do not.
        current: its counter for the round robin (see `balance.round_robin`).
    """

    __slots__ = ("_checks", "_failures", "_health", "current", "ejected_until", "is_up", "outstanding", "weight")

    def __init__(self, weight: int, health: Health) -> None:
        self.weight: int = weight
        self.outstanding: int = 0
        self.is_up: bool = True
        self.ejected_until: float = 0.0
        self.current: int = 0
        self._health = health
        self._failures = 0  # failed requests in a row
        self._checks = 0  # checks in a row whose result differs from `is_up`

    def answered(self) -> None:
        """A request got a response."""
        self._failures = 0
        self.ejected_until = 0.0

    def failed(self, now: float) -> None:
        """A request got no response, and that was the upstream's fault. After an ejection one failure is enough for the
        next.
        """
        limit = self._health.passive
        if limit is None:
            return
        self._failures += 1
        if self._failures >= limit and self.ejected_until <= now:
            self.ejected_until = now + self._health.ejection

    def checked(self, right: bool) -> None:
        """A check has ended; `right`: it has succeeded."""
        if right == self.is_up:
            self._checks = 0
            return
        self._checks += 1
        if self._checks >= (self._health.rise if right else self._health.fall):
            self.is_up = right
            self._checks = 0
            if right:  # failed requests from before the exclusion do not count any more
                self.answered()


def available(members: Sequence[Member], now: float, tried: frozenset[int]) -> list[int]:
    """The indexes of the upstreams that a request may be sent to.

    Upstreams that the checks exclude are left out. Upstreams that only failed requests exclude are used if there are no
    others: the requests may have caused their own failures, and an attempt is no worse than an error response.
    """
    if not tried:
        found = [index for index, member in enumerate(members) if member.is_up and member.ejected_until <= now]
        if found:
            return found
    up = [index for index, member in enumerate(members) if member.is_up and index not in tried]
    return [index for index in up if members[index].ejected_until <= now] or up
