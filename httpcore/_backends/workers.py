"""A few daemon threads for calls that block, such as name lookups; never joined."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable

from .._errors import ConnectError

Answer = list[str] | ConnectError


class Call:
    """One function that waits for its turn in a thread. A caller that does not need it any more calls `leave`."""

    __slots__ = ("_function", "is_wanted")

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self.is_wanted = True

    def leave(self) -> None:
        """Give up the call. If it has not begun it will not begin; otherwise it continues, and its outcome is
        dropped.
        """
        self.is_wanted = False

    def run(self) -> None:
        if self.is_wanted:
            self._function()


class Threads:
    """At most `most` daemon threads, which are started when there is a call to run and end when there is none.

    Starting a thread takes some 50 microseconds, little compared with its work, and an idle program keeps no thread.
    """

    def __init__(self, most: int, name: str) -> None:
        self._max_threads = most
        self._name = name
        self._begin()
        if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # The child of a fork has none of its parent's threads, and the lock may have been held by one of them. The lock
        # is reentrant, since a finaliser or a signal handler may interrupt a thread that holds it and enter here again.
        self._lock = threading.RLock()
        self._calls: deque[Call] = deque()
        self._running = 0

    def start(self, function: Callable[[], None]) -> Call:
        """Have `function` called in a thread, as soon as one is free. It must not raise.

        Raises:
            ConnectError: no thread is running, and the system cannot start one.
        """
        call = Call(function)
        with self._lock:
            if self._running < self._max_threads:
                self._add_thread()
            self._calls.append(call)
        return call

    def _add_thread(self) -> None:
        # Called under the lock: so `_running` counts only threads that exist, and the new thread waits until the call
        # is queued.
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError as error:
            # A running thread will take the call. The call would be lost only if no thread ran.
            if not self._running:
                raise ConnectError(f"cannot start a thread ({self._name}): {error}", errno=errno.EAGAIN) from error
        else:
            self._running += 1

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call.run()

    def _next(self) -> Call | None:
        with self._lock:
            # Under the same lock as `start`: either the call is found here, or `start` sees that this thread has ended
            # and starts another. Without the lock a call could remain without a thread.
            if self._calls:
                return self._calls.popleft()
            self._running -= 1
            return None
