"""A fork waits until no other thread is inside OpenSSL, or imports a module that requests import on demand.

OpenSSL has locks of its own, and looks up algorithms under them while it makes a context or does a handshake. If
another thread forks meanwhile, these locks stay held in the child, and the next handshake there waits forever. An
import holds a lock in the same way.
"""

from __future__ import annotations

import os
import time
from threading import get_ident
from typing import Final

__all__ = ["OPENSSL", "Gate"]

_LONGEST: Final = 2.0  # seconds that a fork waits: a child that may hang is better than a parent that hangs
_CHECK_INTERVAL: Final = 0.0005  # seconds between two tests: a handshake takes some milliseconds


class Gate:
    """`with gate:` around code that a fork must wait for. Threads do not wait for each other.

    A fork waits for two seconds at most, and never for code of its own thread: a signal handler may fork.
    """

    def __init__(self) -> None:
        self._threads_inside: list[int] = []  # `append` and `remove` are atomic, so that no lock can be held at a fork
        self._forking = 0.0  # when the current fork began; 0.0: there is none
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._begin_fork, after_in_parent=self._end_fork, after_in_child=self._in_child)

    def __enter__(self) -> None:
        self._threads_inside.append(get_ident())
        # This thread enters first and then tests `_forking`. A fork first sets `_forking` and then tests which threads
        # are inside. So at least one of the two sees the other. If both do, this thread leaves and waits: a fork that
        # waited for each new thread might never run.
        while self._forking and time.monotonic() < self._forking + _LONGEST:
            self._threads_inside.remove(get_ident())
            time.sleep(_CHECK_INTERVAL)
            self._threads_inside.append(get_ident())

    def __exit__(self, *details: object) -> None:
        self._threads_inside.remove(get_ident())

    def _begin_fork(self) -> None:
        self._forking = time.monotonic()
        while any(thread != get_ident() for thread in self._threads_inside[:]):
            if time.monotonic() > self._forking + _LONGEST:
                break
            time.sleep(_CHECK_INTERVAL)

    def _end_fork(self) -> None:
        self._forking = 0.0

    def _in_child(self) -> None:
        self._forking = 0.0
        # The other threads do not exist in the child, so they would never leave.
        mine = get_ident()
        self._threads_inside[:] = [thread for thread in self._threads_inside if thread == mine]


OPENSSL: Final = Gate()
