"""Waiting until nothing is in flight any more."""

from __future__ import annotations

from collections.abc import Callable

from .._backends.base import Backend, Event

__all__ = ["Draining"]

# Seconds after which is looked again: a response that the collector has found is noticed by the next one that looks.
_LOOK = 0.25


class Draining:
    """Those who wait for it.

    Attributes:
        events: one for each of them.
    """

    __slots__ = ("events",)

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self) -> None:
        """It may be so now. Plain and quick."""
        for event in list(self.events):
            event.set()

    async def wait(self, backend: Backend, timeout: float | None, is_idle: Callable[[], bool]) -> bool:
        """Wait until it is so; False when `timeout` seconds passed first."""
        ends = None if timeout is None else backend.now() + timeout
        while True:
            event = backend.event()
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
