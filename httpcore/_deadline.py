"""What is left of a request's timeouts: each wait gets its own limit, or what is left of the whole if that is less."""

from __future__ import annotations

from collections.abc import Callable

from ._config import Seconds, TimeoutConfig
from ._errors import Timeout, TotalTimeout
from ._trace import Progress

__all__ = ["Deadline"]


class Deadline:
    """The timeouts of one request, running from now on the clock of its runtime.

    Attributes:
        tracer: is told of the steps of the request, where there is a trace.
    """

    __slots__ = ("began", "config", "ends", "now")

    tracer: Progress | None = None

    def __init__(self, config: TimeoutConfig, now: Callable[[], float]) -> None:
        self.config = config
        self.now = now
        self.began = now()
        self.ends = None if config.total_timeout is None else self.began + config.total_timeout

    def within(self, limit: Seconds) -> Seconds:
        """How long the next wait may take, in seconds. Raises TotalTimeout when nothing is left."""
        if self.ends is None:
            return limit
        left = self.ends - self.now()
        if left <= 0:
            raise self._total()
        return left if limit is None or left < limit else limit

    def elapsed(self) -> float:
        return self.now() - self.began

    def as_total_timeout(self, error: Timeout) -> Timeout:
        """`error`, the end of one wait; or a `TotalTimeout` in its place, if the time of the whole exchange is up."""
        if self.ends is None or isinstance(error, TotalTimeout) or self.now() < self.ends:
            return error
        total = self._total()
        total.add(phase=error.phase, peer=error.peer)
        total.__cause__ = error
        return total

    def _total(self) -> TotalTimeout:
        return TotalTimeout("the exchange took longer than total_timeout allows", limit=self.config.total_timeout)
