"""Locks that can report whether the calling thread is inside already.

A signal handler, a finaliser or a weakref callback interrupts its thread at any place, even in a step under one of our
locks. A plain lock would then wait for the interrupted code, in the same thread: a deadlock. So each function that such
code may call first tests the lock. Calls that can be postponed are postponed until the step ends; a request is refused.
Where the steps under a lock may be nested without harm, there is no test.
"""

from __future__ import annotations

from threading import RLock
from typing import Protocol, cast

from ._errors import LocalProtocolError

__all__ = ["REENTERED", "StepLock", "check_not_inside", "step_lock"]

REENTERED = (
    "request() was called by a signal handler, a finaliser or a weakref callback that interrupted a step of the same "
    "pool in the same thread: call it after that step, e.g. from another thread"
)


class StepLock(Protocol):
    """A lock that is acquired only by `with`: Ctrl-C could come between a call of `acquire` and the `try` after it."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *details: object) -> None: ...
    def _is_owned(self) -> bool:
        """Whether the calling thread holds the lock. `threading.Condition` uses this method of an RLock, too."""
        ...


def step_lock() -> StepLock:
    """Return a new lock. It is an RLock because an RLock records its owner. If our own code recorded the owner, Ctrl-C
    could leave that record wrong.
    """
    return cast(StepLock, RLock())


def check_not_inside(lock: StepLock, name: str) -> None:
    """Call this before a step that cannot begin in the middle of another one; a plain lock would wait for ever.

    Raises:
        LocalProtocolError: the calling thread is inside.
    """
    if lock._is_owned():
        raise LocalProtocolError(
            f"{name} was used by a signal handler, a finaliser or a weakref callback that interrupted a step of the "
            "same object in the same thread: use it after that step, e.g. from another thread"
        )
