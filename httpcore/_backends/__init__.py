"""The runtimes: asyncio, trio and threads. Each is imported only when it is used.

A pool with `backend=` does not use this module. Any other pool calls `current_backend` at its first request, and again
only when its backend reports that another event loop runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._errors import LocalProtocolError
from .._public import public
from .base import Backend

if TYPE_CHECKING:
    from .asyncio import AsyncioBackend
    from .trio import TrioBackend

__all__ = ["current_backend", "load", "register", "threads_backend"]

_detectors: list[Callable[[], Backend | None]] = []


def load() -> None:
    """Import the backends of the event loops that may run in this process, so that no request has to.

    These are the libraries that are already imported; if there is none, asyncio is expected.
    """
    trio, asyncio = "trio" in sys.modules, "asyncio" in sys.modules
    if trio:
        _trio()
    if asyncio or not trio:
        _asyncio()


def _trio() -> type[TrioBackend]:
    from .trio import TrioBackend  # trio may not be installed

    return TrioBackend


def _asyncio() -> type[AsyncioBackend]:
    from .asyncio import AsyncioBackend  # asyncio takes long to import

    return AsyncioBackend


def register(detect: Callable[[], Backend | None]) -> None:
    """Have `current_backend` call `detect` first: for an additional runtime, such as a simulation.

    Arguments:
        detect: returns the backend when its runtime runs the calling code, else None. Never waits.
    """
    _detectors.append(detect)


@public
def current_backend() -> Backend:
    """The backend of the event loop that runs the calling code, which a pool without `backend=` uses.

    This is for backends that wrap another one. A runtime whose library was never imported cannot be running, so nothing
    is imported to find out.

    Raises:
        LocalProtocolError: no event loop is running here.
    """
    for detect in _detectors:
        backend = detect()
        if backend is not None:
            return backend
    modules = sys.modules
    trio = modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return _trio().current()
    asyncio = modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return _asyncio().current()
    raise LocalProtocolError(
        "no event loop is running here: ConnectionPool works inside asyncio or trio, SyncConnectionPool without them"
    )


@public
def threads_backend() -> Backend:
    """A backend whose calls block the calling thread and never suspend, the default of a `SyncConnectionPool`.

    This is for backends that wrap another one.
    """
    from .threads import BlockingBackend  # pools of asyncio and trio do not need it

    return BlockingBackend()
