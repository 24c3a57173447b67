"""When to send an HTTP/2 peer a PING, and when to assume that it is dead. No I/O, no clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

__all__ = ["LIVENESS_TIMEOUT", "Liveness"]

LIVENESS_TIMEOUT: Final = 1.0
"""Seconds without any input after which a cancelled exchange makes us send a PING, and seconds that the peer then
has to answer before the next exchange begins on this connection. Exchanges that are under way keep their own
timeouts."""


class Liveness:
    """The state of the liveness check of one connection. All times are seconds of the connection's clock.

    Attributes:
        interval: seconds without input after which a PING is sent; the peer has as long to answer. None: silence causes
            no PING.
        last_received: when bytes were received last.
        unconfirmed_since: when a cancelled exchange made us send a PING; None if bytes have been received since.
        pinged: when the last PING was sent because of the interval; minus infinity before the first.
    """

    __slots__ = ("interval", "last_received", "pinged", "unconfirmed_since")

    def __init__(self, now: float, interval: float | None) -> None:
        self.interval = interval
        self.last_received = now
        self.unconfirmed_since: float | None = None
        self.pinged = -inf

    def on_received(self, now: float) -> None:
        """Record received bytes: whatever they are, the peer is alive."""
        self.last_received = now
        self.unconfirmed_since = None

    def needs_ping(self, now: float) -> bool:
        """Record that an exchange was cancelled. Returns True if a PING must be sent, since nothing was received for
        `LIVENESS_TIMEOUT` seconds: the next exchange waits for the answer."""
        if self.unconfirmed_since is not None or now < self.last_received + LIVENESS_TIMEOUT:
            return False
        # One PING is enough for all exchanges that are cancelled until bytes are received: many cancellations must not
        # become a flood of PING frames.
        self.unconfirmed_since = now
        return True

    def answer_due(self) -> float | None:
        """When the answer to the PING of a cancelled exchange is due; None if no answer is outstanding."""
        return None if self.unconfirmed_since is None else self.unconfirmed_since + LIVENESS_TIMEOUT

    def is_silent(self, now: float) -> bool:
        """Whether nothing was received for the interval. Returns False if there is none."""
        return self.interval is not None and now >= self.last_received + self.interval

    def until_ping(self, now: Callable[[], float]) -> float | None:
        """Seconds until a PING is due, or its answer is overdue; None: never. The clock is read only if there is an
        interval, since each read of the connection calls this."""
        if self.interval is None:
            return None
        # The interval is counted from the later of the two times: an unanswered PING gives the peer one more interval,
        # see `is_unanswered`.
        return max(0.0, max(self.last_received, self.pinged) + self.interval - now())

    def is_ping_due(self, now: float) -> bool:
        return self.interval is not None and now >= max(self.last_received, self.pinged) + self.interval

    @property
    def is_unanswered(self) -> bool:
        return self.pinged > self.last_received
