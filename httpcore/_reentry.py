"""Locks that can report whether the calling thread is inside already.

A signal handler, a finaliser or a weakref callback runs in the middle of whatever its thread does, also of a step under
one of our locks. A plain lock would wait there for the very code that was interrupted. So each entrance that such code
may use asks first. Calls that can be postponed are postponed until the step ends; a request is refused.
"""

from __future__ import annotations

from threading import RLock
from typing import Protocol, cast

__all__ = ["REENTERED", "StepLock", "step_lock"]

REENTERED = (
    "request() was called by a signal handler, a finaliser or a weakref callback that interrupted a step of the same "
    "pool in the same thread: call it after that step, e.g. from another thread"
)


class StepLock(Protocol):
    """Used by `with` alone: anything else can be interrupted by Ctrl-C between the acquisition and the `try`."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *details: object) -> None: ...
    def _is_owned(self) -> bool:
        """The calling thread is inside. `threading.Condition` asks the same of a lock that can be entered twice."""
        ...


def step_lock() -> StepLock:
    """A new one. It could be entered twice, and is not: so it knows its owner, and no mark of ours can be left wrong by
    Ctrl-C."""
    return cast(StepLock, RLock())
