"""The totals of a pool since it was made: plain numbers, each increased by the code whose work it counts.

`totals.name += n` is safe in threads and under Ctrl-C: there is no call between reading and writing the attribute, so
no other thread and no signal handler can run in between. So bytes are counted without a lock, where they are sent and
received.
"""

from __future__ import annotations

from ._errors import ConnectTimeout, PoolTimeout, ReadTimeout, Timeout, TotalTimeout, WriteTimeout

__all__ = ["Totals"]


class Totals:
    """See `PoolTotals`, the public copy, for the meaning of each number."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "connect_timeouts",
        "dials",
        "failed_dials",
        "pool_timeouts",
        "read_timeouts",
        "requests",
        "resends",
        "retries",
        "reuses",
        "streams",
        "total_timeouts",
        "write_timeouts",
    )

    def __init__(self) -> None:
        self.requests = self.dials = self.failed_dials = self.reuses = self.resends = self.retries = self.streams = 0
        self.bytes_sent = self.bytes_received = 0
        self.pool_timeouts = self.connect_timeouts = self.read_timeouts = self.write_timeouts = self.total_timeouts = 0

    def note(self, error: BaseException) -> None:
        """Count `error`, with which an attempt or the reading of a response has ended, if it is a timeout."""
        if not isinstance(error, Timeout):
            return
        if isinstance(error, TotalTimeout):
            self.total_timeouts += 1
        elif isinstance(error, PoolTimeout):
            self.pool_timeouts += 1
        elif isinstance(error, ConnectTimeout):
            self.connect_timeouts += 1
        elif isinstance(error, WriteTimeout):
            self.write_timeouts += 1
        elif isinstance(error, ReadTimeout):
            self.read_timeouts += 1
