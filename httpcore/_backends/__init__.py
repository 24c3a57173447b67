"""The worlds: asyncio, trio, blocking threads, and one in memory for tests. Each is imported only when it is used."""

from __future__ import annotations

import sys

from .._errors import LocalProtocolError
from .base import Backend

__all__ = ["current", "load"]


def load() -> None:
    """Import the backends of the event loops that may come to run here, so that no request has to.

    A library that is imported already may run; where none is, asyncio is expected.
    """
    trio, asyncio = "trio" in sys.modules, "asyncio" in sys.modules
    if trio:
        from . import trio as _trio  # noqa: F401
    if asyncio or not trio:
        from . import asyncio as _asyncio  # noqa: F401


def current() -> Backend:
    """The world of the event loop that runs the calling code.

    A world whose library was never imported cannot be running, so nothing is imported to find out.

    Raises:
        LocalProtocolError: no event loop is running here.
    """
    modules = sys.modules
    memory = modules.get("httpcore._backends.memory")
    world: Backend | None = memory.current() if memory is not None else None
    if world is not None:
        return world
    trio = modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        from .trio import TrioBackend

        return TrioBackend.current()
    asyncio = modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        from .asyncio import AsyncioBackend

        return AsyncioBackend.current()
    raise LocalProtocolError(
        "no event loop is running here: ConnectionPool works inside asyncio or trio, SyncConnectionPool without them"
    )
