"""The tasks that run an app in this process, and the loop thread for callers without an event loop.

A task belongs to the transport and not to a caller: it is neither in the caller's nursery nor in the caller's cancel
scopes. So a response may be closed in another task, out of order, or because the caller's task was cancelled.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from types import ModuleType
from typing import Any, Protocol, TypeVar, cast

from .._backends import current_backend
from .._backends.base import Backend, Event
from .._errors import LocalProtocolError

__all__ = ["LoopThread", "Owned", "Signal", "spawn"]

T = TypeVar("T")
Run = Callable[[], Coroutine[Any, Any, None]]


class Owned(Protocol):
    """A task that was spawned."""

    def cancel(self) -> None:
        """Cancel the task at its next await."""
        ...


def spawn(run: Run) -> Owned:
    """Start `run()` in a task of the loop that runs here. `run()` must not raise, except for its own cancellation.

    Raises:
        LocalProtocolError: neither asyncio nor trio runs here, and the backend has no `spawn` of its own.
    """
    own: Callable[[Run], Owned] | None = getattr(current_backend(), "spawn", None)
    if own is not None:
        return own(run)
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return _in_trio(trio, run)
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return _in_asyncio(run)
    raise LocalProtocolError(f"an ASGI app runs in this loop: expected asyncio or trio, got {current_backend().name}")


def _asyncio() -> ModuleType:
    import asyncio  # imported here, so that it is loaded only where it runs

    return asyncio


def _in_asyncio(run: Run) -> Owned:
    asyncio = _asyncio()

    class AsyncioTask:
        def __init__(self) -> None:
            self._task = asyncio.get_running_loop().create_task(run())

        def cancel(self) -> None:
            self._task.cancel()

    return AsyncioTask()


def _in_trio(trio: ModuleType, run: Run) -> Owned:
    scope = trio.CancelScope()

    async def scoped() -> None:
        with scope:
            await run()

    # Not in the caller's nursery: a response may be closed in another task, or after the block in which it was made.
    trio.lowlevel.spawn_system_task(scoped, context=copy_context())
    return cast("Owned", scope)


class Signal:
    """Wakes the tasks of one loop that wait for a change."""

    __slots__ = ("_backend", "_waiting")

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._waiting: list[Event] = []

    def notify(self) -> None:
        """Wake every waiting task, so that it checks its condition again."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for the next change. Returns False when `timeout` seconds passed first."""
        event = self._backend.event()
        self._waiting.append(event)
        try:
            return await event.wait(timeout)
        finally:
            # `notify` has removed the events that it set. An event that is still here has timed out, or its wait was
            # cancelled.
            if event in self._waiting:
                self._waiting.remove(event)


class LoopThread:
    """An asyncio loop in a thread of its own, for callers that have none."""

    def __init__(self) -> None:
        self._loop = _asyncio().new_event_loop()
        self._thread = threading.Thread(target=self._run, name="httpcore loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio, loop = _asyncio(), self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            # Tasks that still run are cancelled and may clean up before the loop is closed.
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop while the calling thread waits. Ctrl-C in the calling thread cancels the
        coroutine.
        """
        try:
            future = _asyncio().run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise LocalProtocolError("the transport was closed, and its event loop has ended") from None
        try:
            return cast(T, future.result())
        except BaseException:
            future.cancel()
            raise

    def call_soon(self, function: Callable[[], object]) -> None:
        """Have a plain function called in the loop. This has no effect once the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass

    def close(self) -> None:
        """End the loop, and wait for the thread."""
        self.call_soon(self._loop.stop)
        # A finaliser may run in the loop's own thread, which cannot wait for itself.
        if threading.current_thread() is not self._thread:
            self._thread.join()
