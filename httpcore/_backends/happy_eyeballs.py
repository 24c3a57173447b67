"""Which address is tried when, and the error when none answers: RFC 8305, section 5. No I/O and no waiting.

The next address is tried a quarter of a second after the last one was, or at once when one has failed; earlier attempts
continue in parallel. When the timeout is so short that some would never be tried, the delay is shorter.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Generic, TypeVar

from .._errors import ConnectError, ConnectTimeout

__all__ = ["Race", "connect_error", "reason"]

A = TypeVar("A")

# RFC 8305, section 8: 250 milliseconds are recommended, and less than 10 forbidden.
_DELAY = 0.25
_SHORTEST_DELAY = 0.01
# The largest rounding error of added seconds: a timer that fires this early counts as being on time.
_EARLY = 1e-6


class Race(Generic[A]):
    """One connect to one of several addresses. The caller reports the outcome of each attempt.

    Arguments:
        target: the peer's name for messages: "example.com:80".
        addresses: in the order to try them.
        timeout: seconds for all of it, or None.
        now: the clock.
    """

    __slots__ = ("_delay", "_ends", "_failures", "_next_at", "_now", "_target", "_timeout", "_waiting")

    def __init__(self, target: str, addresses: Sequence[A], timeout: float | None, now: Callable[[], float]) -> None:
        self._target = target
        self._timeout = timeout
        self._now = now
        self._waiting = deque(addresses)
        self._next_at = -inf
        self._ends = inf if timeout is None else now() + timeout
        self._delay = _DELAY
        # Otherwise a short timeout would pass before a good address that follows silent ones is tried.
        if timeout is not None and timeout < _DELAY * len(addresses):
            self._delay = max(timeout / len(addresses), _SHORTEST_DELAY)
        self._failures: list[tuple[str, OSError]] = []

    def next(self) -> A | None:
        """The address to try now, if one is due."""
        if not self._waiting:
            return None
        if self._next_at != -inf and self._now() < self._next_at - _EARLY:
            return None
        address = self._waiting.popleft()
        # Counted from now, not from the time when it was due: a busy loop that is late must not begin two at once.
        if self._waiting:
            self._next_at = self._now() + self._delay
        return address

    def failed(self, address: str, error: OSError) -> None:
        """Record that an attempt has failed: the next one need not wait."""
        self._failures.append((address, error))
        self._next_at = -inf

    def wait(self) -> float | None:
        """Seconds until the next action, if nothing happens before: until the next address, or the end."""
        until = min(self._next_at, self._ends) if self._waiting else self._ends
        return None if until == inf else max(until - self._now(), 0.0)

    def check(self, under_way: Iterable[str]) -> None:
        """Return while a connection is still possible. `under_way`: the attempts that have no outcome yet.

        Raises:
            ConnectError: every address has failed.
            ConnectTimeout: the time has passed.
        """
        rest = list(under_way)
        if not rest and not self._waiting:
            raise connect_error(self._target, self._failures)
        # Tested last: a connection that was made just as the time passed has been returned before this.
        if self._now() >= self._ends - _EARLY:
            raise self._timeout_error(rest)

    def _timeout_error(self, rest: list[str]) -> ConnectTimeout:
        silent = [(address, TimeoutError(errno.ETIMEDOUT, "no answer in time")) for address in rest]
        failure = connect_error(self._target, [*self._failures, *silent])
        if self._waiting:
            failure.message += f"; there was no time to try {len(self._waiting)} more"
        late = ConnectTimeout(failure.message, phase="connect", peer=failure.peer, limit=self._timeout)
        late.__cause__ = failure.__cause__
        return late


def connect_error(target: str, failures: Sequence[tuple[str, OSError]]) -> ConnectError:
    """One error for all addresses that were tried: each address as text with its reason. `errno` and `__cause__` are
    those of the last address.

    `target` is the caller's host and port, e.g. "example.com:80". An address equal to it is not repeated.
    """
    tried = [
        _reason_of(error) if address == target else f"{address}: {_reason_of(error)}" for address, error in failures
    ]
    last_address, last = failures[-1]
    failure = ConnectError(f"cannot connect to {target}: {'; '.join(tried)}", errno=last.errno, phase="connect")
    failure.peer = last_address if len(failures) == 1 else None
    failure.__cause__ = last
    return failure


def _reason_of(error: OSError) -> str:
    """The reason of an error, and the name of its errno."""
    number = error.errno
    code = errno.errorcode.get(number) if number is not None and error.strerror == os.strerror(number) else None
    return f"{reason(error)} ({code})" if code is not None else reason(error)


def reason(error: OSError) -> str:
    """The system's message, never empty."""
    return error.strerror or str(error) or type(error).__name__
