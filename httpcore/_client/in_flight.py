"""The calls of a client in flight, and its responses whose bodies are neither received nor closed.

The client keeps this record itself and does not ask its transport. So the record is right over every kind of transport,
also while a call is between two hops and has no request in flight. If a pool or a transport is shared, only the calls
of this client are waited for.

A drain waits until no weak reference to a call or a response is left. A reference is removed when its object ends or is
collected, so a drain does not wait for ever for a call that Ctrl-C interrupted before the call was removed, or for a
response that was dropped unread. To make such a reference for each call would be 1 % of a GET; so the calls are kept in
a plain set until a drain makes the references.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any
from weakref import ReferenceType, WeakSet, ref

from .._backends.base import Backend
from .._errors import PoolClosed
from .._pool.draining import IdleWaiters
from .delivery import Delivery
from .options import Call

__all__ = ["CallsInFlight", "refused"]

Mark = ReferenceType[Any]

_DRAINS = "the client drains: expected requests before drain()"

_every: WeakSet[CallsInFlight] = WeakSet()


class CallsInFlight:
    """The calls and responses of one client that have not ended, and the tasks or threads that wait for their end.

    Attributes:
        calls: the calls of `Session.send`, which adds and removes them.
        marks: weak references to all other objects in flight, and during a drain also to the calls.
        refusal: why new calls are refused; "" while they are accepted.
    """

    __slots__ = ("__weakref__", "_backend", "_waiters", "calls", "marks", "refusal")

    def __init__(self) -> None:
        self.calls: set[Call] = set()
        self.marks: set[Mark] = set()
        self.refusal = ""
        self._waiters = IdleWaiters()
        self._backend: Backend | None = None
        _every.add(self)

    def begin(self, what: object) -> Mark:
        """Count an object as in flight until `end` is called with the returned mark, or until the object is collected.

        Raises:
            PoolClosed: the client is closed or drains.
        """
        # The object is added before `refusal` is read; `drain` sets `refusal` before it looks for objects. So no call
        # is missed.
        mark = self._mark(what)
        if self.refusal:
            self.end(mark)
            raise refused(self.refusal)
        return mark

    def hold(self, delivery: Delivery) -> None:
        """Count a response as in flight until it is closed or collected, or its raw stream is closed."""
        delivery.on_close(partial(self.end, self._mark(delivery)))

    def _mark(self, what: object) -> Mark:
        mark: Mark = ref(what, self.marks.discard)
        self.marks.add(mark)
        return mark

    def end(self, mark: Mark) -> None:
        """Record that an object has ended. A second call has no effect."""
        self.marks.discard(mark)
        # A task that waits in another event loop is not woken from here: it checks again after a short time.
        if self._waiters.events and not self.marks and self._backend is not None and self._backend.is_current():
            self._waiters.notify()

    def end_call(self, call: Call) -> None:
        """Record that a call has ended. It is no longer in `calls`, but there may be a reference to it."""
        self.end(ref(call))

    async def drain(self, backend: Backend, timeout: float | None) -> bool:
        """Refuse new calls, and wait until none is in flight. Return False if `timeout` seconds passed first."""
        self.refusal = self.refusal or _DRAINS
        self._backend = backend
        return await self._waiters.wait(backend, timeout, self._is_idle)

    def _is_idle(self) -> bool:
        """Whether nothing is in flight. Calls of other threads may begin and end during the check."""
        for call in list(self.calls):
            mark = self._mark(call)
            if call not in self.calls:  # it has ended, perhaps before the reference was there to be removed
                self.marks.discard(mark)
            self.calls.discard(call)
        return not self.marks

    def after_fork(self) -> None:
        """In the child process: forget the calls and the waiting threads, which are the parent's."""
        self.calls.clear()
        self.marks.clear()
        self._waiters.events.clear()


def refused(why: str) -> PoolClosed:
    """The error of a call that the client refuses."""
    error = PoolClosed(why)
    error.safe_to_retry = True
    return error


def _after_fork() -> None:
    for calls in list(_every):
        calls.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
