"""The remaining time of a request's timeouts. Each wait gets its own limit, or the rest of `total_timeout` if less.

`Pace` is a limit that all waits of a body share: it enforces `min_rate`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ._config import Seconds, TimeoutConfig
from ._errors import ReadTimeout, ReadTooSlow, Timeout, TotalTimeout, WriteTimeout, WriteTooSlow
from ._trace import Progress

__all__ = ["Deadline", "Pace"]

EARLY = 0.01
"""Seconds by which a timer may fire early."""

T = TypeVar("T")


class Deadline:
    """The timeouts of one request, running from now on the clock of its runtime.

    Attributes:
        tracer: records the steps of the request, where there is a trace.
    """

    __slots__ = ("began", "config", "ends", "now")

    tracer: Progress | None = None

    def __init__(self, config: TimeoutConfig, now: Callable[[], float]) -> None:
        self.config = config
        self.now = now
        self.began = now()
        self.ends = None if config.total_timeout is None else self.began + config.total_timeout

    def within(self, limit: Seconds) -> Seconds:
        """Return how long the next wait may take, in seconds. Raises TotalTimeout if `total_timeout` has passed."""
        if self.ends is None:
            return limit
        left = self.ends - self.now()
        if left <= 0:
            raise self._total()
        return left if limit is None or left < limit else limit

    def elapsed(self) -> float:
        return self.now() - self.began

    def as_total_timeout(self, error: Timeout) -> Timeout:
        """Return `error`, which ended one wait; or a `TotalTimeout` in its place, if `total_timeout` has passed."""
        # A wait gets the smaller of two limits. When it times out, the clock shows which of them has passed.
        if self.ends is None or isinstance(error, TotalTimeout) or self.now() < self.ends:
            return error
        total = self._total()
        total.add(phase=error.phase, peer=error.peer)
        total.__cause__ = error
        return total

    def _total(self) -> TotalTimeout:
        return TotalTimeout("the exchange took longer than total_timeout allows", limit=self.config.total_timeout)


class Pace:
    """One direction of a body under `min_rate`: an allowance in seconds, which waiting uses up and bytes refill.

    Arguments:
        deadline: the deadline of the request; its config has a `min_rate`.
        kind: the error that is raised when the allowance is used up.

    Received bytes have been on their way during the wait for them, so the allowance is never above the window. Sent
    bytes are counted when the system, or the connection that many requests share, has accepted them: they leave later.
    So they extend the waits that follow, even above the window. Otherwise a full buffer would be reported as too slow
    when it drains at twice the rate but takes longer than one window.
    """

    __slots__ = ("_bytes", "_deadline", "_kind", "_rate", "_waited", "_window", "_window_left")

    def __init__(self, deadline: Deadline, kind: type[ReadTooSlow | WriteTooSlow]) -> None:
        config = deadline.config
        assert config.min_rate is not None
        self._deadline = deadline
        self._kind = kind
        self._rate = config.min_rate
        self._window = self._window_left = config.min_rate_window
        self._bytes = 0
        self._waited = 0.0

    async def keep(self, step: Callable[[Seconds], Awaitable[T]], limit: Seconds) -> T:
        """Wait for the peer: call `step` with the number of seconds that it may take, which is at most `limit`.

        Raises:
            ReadTooSlow, WriteTooSlow: the allowance was used up first.
        """
        now = self._deadline.now
        left = max(0.0, self._window_left)  # negative if the last wait ended late, but with bytes
        is_less = limit is None or left < limit
        since = now()
        try:
            return await step(self._deadline.within(left if is_less else limit))
        except (ReadTimeout, WriteTimeout) as error:
            waited = now() - since
            # The wait's own limit has passed, or the runtime ended the wait before the allowance was used up: the error
            # is raised unchanged.
            if not is_less or waited < left - EARLY:
                raise
            raise self._too_slow(self._waited + waited, error) from error
        finally:
            waited = now() - since
            self._waited += waited
            self._window_left = left - waited

    def count_to(self, total: int) -> None:
        """Note that `total` bytes of the body have been transferred by now."""
        refill = (total - self._bytes) / self._rate
        left = max(0.0, self._window_left)
        if self._kind is ReadTooSlow:
            self._window_left = min(self._window, left + refill)
        else:
            self._window_left = min(self._window, left) + refill
        self._bytes = total

    def count(self, size: int) -> None:
        """Note that `size` more bytes have been transferred."""
        self.count_to(self._bytes + size)

    def _too_slow(self, waited: float, error: Timeout) -> Timeout:
        moved = "response was received" if self._kind is ReadTooSlow else "request was sent"
        return self._kind(
            f"the body of the {moved} too slowly: {self._bytes:,} bytes in {waited:.3g} seconds of waiting, expected "
            f"{self._rate:g} bytes per second (min_rate) and at most {self._window:g} seconds behind (min_rate_window)",
            min_rate=self._rate,
            window=self._window,
            transferred=self._bytes,
            waited=waited,
            peer=error.peer,
            limit=self._window,
        )
