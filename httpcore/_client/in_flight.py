"""What a client has in flight: its calls, and its responses whose bodies are neither received nor closed.

The client counts for itself and asks no transport. So the count is right over each kind of transport, also where a call
is between two hops and no request of it is in flight; and of a pool or a transport that others use too, only what this
client does in it is waited for.

Each is waited for by a weak reference that takes itself out: should Ctrl-C come before a call has taken itself out, or
a response be dropped unread, it is not waited for for ever. To make that reference for each call would be 1 % of a GET;
so calls are held as they are until something drains, which makes the references.
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
    """The calls and responses of one client that have not ended, and what waits for their end.

    Attributes:
        calls: those of `Session.send`, which adds and takes out each by itself.
        marks: references to all else; and to the calls, when something drains.
        refusal: why a new call is refused; "" while none is.
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
        # Added first and looked at then, in the other order than `drain` does it: so no call is missed.
        mark = self._mark(what)
        if self.refusal:
            self.end(mark)
            raise refused(self.refusal)
        return mark

    def hold(self, delivery: Delivery) -> None:
        """A response is on its way until it is closed or dropped, or its raw stream is closed."""
        delivery.on_close(partial(self.end, self._mark(delivery)))

    def _mark(self, what: object) -> Mark:
        mark: Mark = ref(what, self.marks.discard)
        self.marks.add(mark)
        return mark

    def end(self, mark: Mark) -> None:
        """It has ended. Harmless when it is called again."""
        self.marks.discard(mark)
        # What waits in another event loop than this one's looks for itself.
        if self._waiters.events and not self.marks and self._backend is not None and self._backend.is_current():
            self._waiters.notify()

    def end_call(self, call: Call) -> None:
        """The call has ended and is no more in `calls`, but there may be a reference to it."""
        self.end(ref(call))

    async def drain(self, backend: Backend, timeout: float | None) -> bool:
        """Refuse new calls, and wait until none is in flight. False when `timeout` seconds passed first."""
        self.refusal = self.refusal or _DRAINS
        self._backend = backend
        return await self._waiters.wait(backend, timeout, self._is_idle)

    def _is_idle(self) -> bool:
        """Nothing is in flight. Calls of other threads may begin and end meanwhile."""
        for call in list(self.calls):
            mark = self._mark(call)
            if call not in self.calls:  # it has ended, perhaps before there was this reference to be taken out
                self.marks.discard(mark)
            self.calls.discard(call)
        return not self.marks

    def after_fork(self) -> None:
        """In the child: what was in flight is the parent's, and its threads are not here."""
        self.calls.clear()
        self.marks.clear()
        self._waiters.events.clear()


def refused(why: str) -> PoolClosed:
    """The error of a call that the client does not begin."""
    error = PoolClosed(why)
    error.safe_to_retry = True
    return error


def _after_fork() -> None:
    for calls in list(_every):
        calls.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
