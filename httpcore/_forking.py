"""A fork waits until no other thread is inside OpenSSL, or imports what a request may import.

OpenSSL has locks of its own, and looks up algorithms under them while it makes a context or shakes hands. A fork in
another thread meanwhile leaves them held in the child, where the next handshake then waits for good. An import holds a
lock in the same way.
"""

from __future__ import annotations

import os
import time
from threading import get_ident
from typing import Final

__all__ = ["OPENSSL", "Gate"]

_LONGEST: Final = 2.0  # seconds that a fork waits: a child that might hang is better than a parent that does
_LOOK: Final = 0.0005  # seconds between two looks: a handshake takes some milliseconds


class Gate:
    """`with gate:` around code that a fork must wait for. Threads do not wait for each other.

    A fork waits for two seconds at most, and for its own thread not at all: it may come from a signal handler.
    """

    def __init__(self) -> None:
        self._inside: list[int] = []  # `append` and `remove` are atomic, so no lock is there to be held at a fork
        self._forking = 0.0  # when the fork began that is under way; 0.0: none is
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._in_child)

    def __enter__(self) -> None:
        self._inside.append(get_ident())
        # Entered first, looked at then, and the fork does both in the other order: so one of them sees the other. This
        # one steps back, since a fork that waits for each newcomer would never come to its turn.
        while self._forking and time.monotonic() < self._forking + _LONGEST:
            self._inside.remove(get_ident())
            time.sleep(_LOOK)
            self._inside.append(get_ident())

    def __exit__(self, *details: object) -> None:
        self._inside.remove(get_ident())

    def _before(self) -> None:
        self._forking = time.monotonic()
        while any(thread != get_ident() for thread in self._inside[:]):
            if time.monotonic() > self._forking + _LONGEST:
                break
            time.sleep(_LOOK)

    def _after(self) -> None:
        self._forking = 0.0

    def _in_child(self) -> None:
        self._forking = 0.0
        # The other threads do not exist here, and would never leave.
        mine = get_ident()
        self._inside[:] = [thread for thread in self._inside if thread == mine]


OPENSSL: Final = Gate()
