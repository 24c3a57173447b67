"""The wait of a pool or client that drains: until no request is in flight, not even between two attempts."""

from __future__ import annotations

from collections.abc import Callable

from .._backends.base import Backend, Event
from .call import Call

__all__ = ["Draining", "IdleWaiters"]

# Seconds between two checks: a response that was dropped and collected is noticed only at the next check.
_CHECK_INTERVAL = 0.25


class IdleWaiters:
    """The tasks or threads that wait until nothing is in flight.

    Attributes:
        events: one for each task or thread that waits.
    """

    __slots__ = ("events",)

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self) -> None:
        """Wake all waiters, since perhaps nothing is in flight now: each checks this itself. Plain and quick."""
        for event in list(self.events):
            event.set()

    async def wait(self, backend: Backend, timeout: float | None, is_idle: Callable[[], bool]) -> bool:
        """Wait until `is_idle`. Returns False when `timeout` seconds passed first."""
        ends = None if timeout is None else backend.now() + timeout
        while True:
            event = backend.event()
            # The event is registered before the check: a request that ends between the two sets it.
            self.events.append(event)
            try:
                if is_idle():
                    return True
                left = _CHECK_INTERVAL if ends is None else ends - backend.now()
                if left <= 0:
                    return False
                await event.wait(min(left, _CHECK_INTERVAL))
            finally:
                self.events.remove(event)


class Draining(IdleWaiters):
    """The calls between two attempts, which the pool's ledger does not have; and the waiters for the end of all calls.

    Attributes:
        between: calls of which an attempt has ended and another may follow, until one gets the response for the caller
            or the last error is raised.
    """

    __slots__ = ("between",)

    def __init__(self) -> None:
        IdleWaiters.__init__(self)
        self.between: set[Call] = set()

    def keep(self, call: Call) -> None:
        """Record that an attempt of the call has ended and another may follow: the call is in flight until `forget`."""
        call.continues = True
        self.between.add(call)

    def forget(self, call: Call) -> None:
        """Record that the call has its response, or has failed."""
        self.between.discard(call)
        self.notify()
