"""The wait of a pool that drains: until no request is in flight, not even between two attempts."""

from __future__ import annotations

from collections.abc import Callable

from .._backends.base import Backend, Event
from .call import Call

__all__ = ["Draining"]

# Seconds between two looks: a response that was dropped and collected is noticed at the next look alone.
_LOOK = 0.25


class Draining:
    """The calls between two attempts, which the ledger does not know, and the tasks that wait for the end of all.

    Attributes:
        between: calls whose attempt has failed, until the next one has a connection or the last error is raised.
        events: one for each task that waits.
    """

    __slots__ = ("between", "events")

    def __init__(self) -> None:
        self.between: set[Call] = set()
        self.events: list[Event] = []

    def keep(self, call: Call) -> None:
        """An attempt of the call has ended, and there may be another: until `forget` it is in flight all the same."""
        call.continues = True
        self.between.add(call)

    def forget(self, call: Call) -> None:
        """The call has a connection again, or has failed for good."""
        self.between.discard(call)
        self.tell()

    def tell(self) -> None:
        """No request may be in flight now: those that wait look for themselves. Plain and quick."""
        for event in list(self.events):
            event.set()

    async def wait(self, backend: Backend, timeout: float | None, is_idle: Callable[[], bool]) -> bool:
        """Wait until `is_idle`; False when `timeout` seconds passed first."""
        ends = None if timeout is None else backend.now() + timeout
        while True:
            event = backend.event()
            # Registered first, looked at then: an end between the two sets the event.
            self.events.append(event)
            try:
                if is_idle():
                    return True
                left = _LOOK if ends is None else ends - backend.now()
                if left <= 0:
                    return False
                await event.wait(min(left, _LOOK))
            finally:
                self.events.remove(event)
