"""Reader and writer election on a shared connection: one task reads for all, one writes for all, the rest wait.

There are two roles, and each task that waits may get either. A role that is released while other tasks wait is passed
directly to one of them, in constant time, so no role is ever free while a task that could take it sleeps. It is passed
to the task that began to wait last: where responses arrive in the order of their requests, that task will wait longest,
so the roles change least.

All functions are plain, and are called under the connection's lock; only the event that `wait` returns is awaited. A
task is woken first and elected after that: if Ctrl-C interrupts in between, a task is awake without a role, and takes
the role itself if that is free. The reverse order could assign a role to a task that sleeps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from .._backends.base import Event

__all__ = ["Election", "Waiter"]


class Waiter:
    """One wait of one task. However the wait ends, the task must then call `Election.release`."""

    __slots__ = ("event",)

    event: Event


class Election:
    """The two roles of one connection.

    Attributes:
        reader: the current reader, if there is one. It reads, or will read soon.
        writer: the same for writing.
    """

    __slots__ = ("_event", "_waiting", "reader", "writer")

    def __init__(self, event: Callable[[], Event]) -> None:
        self.reader: Waiter | None = None
        self.writer: Waiter | None = None
        self._event = event
        self._waiting: OrderedDict[Waiter, None] = OrderedDict()

    def elect_reader(self, waiter: Waiter) -> bool:
        """Make this the reader if there is none. Returns whether it is the reader."""
        if self.reader is None:
            self.reader = waiter
        return self.reader is waiter

    def elect_writer(self, waiter: Waiter) -> bool:
        """Make this the writer if there is none. Returns whether it is the writer."""
        if self.writer is None:
            self.writer = waiter
        return self.writer is waiter

    def wait(self, waiter: Waiter) -> Event:
        """An event for a task that got no role: it is set when the task's state has changed, or when it gets a role."""
        waiter.event = event = self._event()
        self._waiting[waiter] = None
        return event

    def wake(self, waiter: Waiter) -> None:
        """Wake the waiter's task, since the state that it waits for has changed. A task that does not wait yet checks
        that state before it waits, so it misses no change."""
        if waiter in self._waiting:
            waiter.event.set()
            del self._waiting[waiter]

    def release(self, waiter: Waiter, *, unsent: bool) -> None:
        """Release the roles of this waiter, and pass them to a task that waits.

        Arguments:
            unsent: whether there are bytes to write.
        """
        self._waiting.pop(waiter, None)
        if self.reader is waiter:
            self.reader = None
        if self.writer is waiter:
            self.writer = None
        self.pass_on(unsent=unsent)

    def forget(self) -> None:
        """Reset in the child of a fork: the tasks that have the roles, or wait, do not exist there, and the locks of
        their events may be held for ever."""
        self.reader = self.writer = None
        self._waiting = OrderedDict()

    def pass_on(self, *, unsent: bool) -> None:
        """Assign a free role, if it is useful, to a task that waits."""
        waiting = self._waiting
        reads = self.reader is None
        writes = unsent and self.writer is None
        if waiting and (reads or writes):
            waiter = next(reversed(waiting))
            waiter.event.set()  # before the roles are assigned: see the module's docstring
            if reads:
                self.reader = waiter
            if writes:
                self.writer = waiter
            del waiting[waiter]
