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
        """It is not begun any more; one that has begun runs on, and its outcome is dropped."""
        self.is_wanted = False

    def run(self) -> None:
        if self.is_wanted:
            self._function()


class Threads:
    """At most so many daemon threads, started when there is something to do and gone when there is not.

    Starting one takes some 50 microseconds, little beside the work in it, and an idle program keeps none.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._begin()
        if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # The child of a fork has none of its parent's threads, and the lock may have been held by one of them.
        # It can be entered twice by one thread: by a finaliser or a signal handler that has interrupted a step here.
        self._lock = threading.RLock()
        self._calls: deque[Call] = deque()
        self._running = 0

    def start(self, function: Callable[[], None]) -> Call:
        """Have `function` called in a thread, as soon as one is free. It must not raise.

        Raises:
            ConnectError: there is no thread for it and the system does not give one.
        """
        call = Call(function)
        with self._lock:
            if self._running < self._most:
                self._add_thread()
            self._calls.append(call)
        return call

    def _add_thread(self) -> None:
        # Under the lock: so `_running` never counts a thread that is not there, and its first step waits for the call.
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError as error:
            # Those that run will come to it. Only without a running thread the work would be lost.
            if not self._running:
                raise ConnectError(f"cannot start a thread ({self._name}): {error}", errno=errno.EAGAIN) from error
        else:
            self._running += 1

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call.run()

    def _next(self) -> Call | None:
        with self._lock:
            # Under the same lock as `start`: a call is either found here, or `start` has seen this thread gone and
            # starts another. Between the two steps it could be left without a thread.
            if self._calls:
                return self._calls.popleft()
            self._running -= 1
            return None
