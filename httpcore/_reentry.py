"""Locks that can report whether the calling thread is inside already.

A signal handler, a finaliser or a weakref callback runs in the middle of whatever its thread does, also of a step under
one of our locks. A plain lock would wait there for the very code that was interrupted. So each entrance that such code
may use checks first: a call that can be postponed is postponed until the step ends, and a request is refused. Where the
steps of a lock can be nested without harm, no check is needed.
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
    """Used by `with` alone: anything else can be interrupted by Ctrl-C between the acquisition and the `try`."""

    def __enter__(self) -> bool: ...
    def __exit__(self, *details: object) -> None: ...
    def _is_owned(self) -> bool:
        """The calling thread is inside. `threading.Condition` asks the same of a lock that can be entered twice."""
        ...


def step_lock() -> StepLock:
    """A new lock, which its owner may enter again. An `RLock` records its owner itself: a flag of ours could be wrong
    after Ctrl-C."""
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
