"""The runtimes that a test body runs in: one `async` body, driven by asyncio, uvloop, trio, or threads.

In the runtime of threads the body calls `SyncConnectionPool` through a wrapper whose coroutines never suspend, so the
same body tests both interfaces. `gather` uses tasks, a nursery, or threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest
import trio
import uvloop

import httpcore
from httpcore._sync import run as run_blocking_coroutine

T = TypeVar("T")


class Runtime:
    """The functions of one runtime: to run a body, make a pool, run calls at once, and wait."""

    name = ""

    def run(self, body: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        raise NotImplementedError

    def pool(self, *arguments: Any, **named: Any) -> Any:
        return httpcore.ConnectionPool(*arguments, **named)

    async def gather(self, *thunks: Callable[[], Awaitable[T]]) -> list[T]:
        """Run all at once; returns their results in order, or raises the first exception when all have ended."""
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class AsyncioRuntime(Runtime):
    name = "asyncio"

    def run(self, body: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        return asyncio.run(body(*arguments))

    async def gather(self, *thunks: Callable[[], Awaitable[T]]) -> list[T]:
        results = await asyncio.gather(*[thunk() for thunk in thunks], return_exceptions=True)
        return _unwrapped(results)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class UvloopRuntime(AsyncioRuntime):
    name = "uvloop"

    def run(self, body: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(body(*arguments))


class TrioRuntime(Runtime):
    name = "trio"

    def run(self, body: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        return trio.run(body, *arguments)

    async def gather(self, *thunks: Callable[[], Awaitable[T]]) -> list[T]:
        results: list[Any] = [None] * len(thunks)

        async def one(at: int, thunk: Callable[[], Awaitable[T]]) -> None:
            try:
                results[at] = await thunk()
            except Exception as error:
                results[at] = error

        async with trio.open_nursery() as nursery:
            for at, thunk in enumerate(thunks):
                nursery.start_soon(one, at, thunk)
        return _unwrapped(results)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class ThreadsRuntime(Runtime):
    name = "threads"

    def run(self, body: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        return run_blocking_coroutine(body(*arguments))

    def pool(self, *arguments: Any, **named: Any) -> Any:
        return PoolFace(httpcore.SyncConnectionPool(*arguments, **named))

    async def gather(self, *thunks: Callable[[], Awaitable[T]]) -> list[T]:
        results: list[Any] = [None] * len(thunks)

        def one(at: int, thunk: Callable[[], Any]) -> None:
            try:
                results[at] = run_blocking_coroutine(thunk())
            except Exception as error:
                results[at] = error

        threads = [threading.Thread(target=one, args=(at, thunk), daemon=True) for at, thunk in enumerate(thunks)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a thread hangs"
        return _unwrapped(results)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - in the runtime of threads, waiting is blocking


def _unwrapped(results: list[Any]) -> list[Any]:
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class PoolFace:
    """`SyncConnectionPool` with the interface of `ConnectionPool`."""

    def __init__(self, pool: httpcore.SyncConnectionPool) -> None:
        self.sync = pool

    async def request(self, *arguments: Any, **named: Any) -> ResponseFace:
        return ResponseFace(self.sync.request(*arguments, **named))

    async def connect(self, *arguments: Any, **named: Any) -> httpcore.StreamInfo:
        return self.sync.connect(*arguments, **named)

    async def close(self, *, abort: bool = False) -> None:
        self.sync.close(abort=abort)

    async def drain(self, timeout: float | None = None) -> bool:
        return self.sync.drain(timeout)

    def requests(self) -> list[httpcore.RequestInFlight]:
        return self.sync.requests()

    def stats(self) -> httpcore.PoolStats:
        return self.sync.stats()

    async def __aenter__(self) -> PoolFace:
        return self

    async def __aexit__(self, *details: object) -> None:
        self.sync.close()


class ResponseFace:
    """`SyncResponse` with the interface of `Response`."""

    def __init__(self, response: httpcore.SyncResponse) -> None:
        self.sync = response

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sync, name)

    async def read(self) -> bytes:
        return self.sync.read()

    def stream(self) -> BodyFace:
        return BodyFace(self.sync.stream())

    def raw(self) -> BodyFace:
        return BodyFace(self.sync.raw())

    async def close(self) -> None:
        self.sync.close()

    @property
    def connection(self) -> Any:
        raw = self.sync.connection
        return None if raw is None else RawFace(raw)

    async def __aenter__(self) -> ResponseFace:
        return self

    async def __aexit__(self, *details: object) -> None:
        self.sync.close()


class BodyFace:
    def __init__(self, stream: httpcore.SyncBodyStream) -> None:
        self.sync = stream

    def __aiter__(self) -> BodyFace:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self.sync)
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self) -> None:
        self.sync.close()


class RawFace:
    def __init__(self, raw: httpcore.SyncRawStream) -> None:
        self.sync = raw

    async def recv(self, max_bytes: int = 65536) -> bytes:
        return self.sync.recv(max_bytes)

    async def send(self, data: bytes) -> None:
        self.sync.send(data)

    async def end(self, trailers: Any = None) -> None:
        self.sync.end(trailers)

    def close(self) -> None:
        self.sync.close()


RUNTIMES: tuple[Runtime, ...] = (AsyncioRuntime(), UvloopRuntime(), TrioRuntime(), ThreadsRuntime())

each_runtime = pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.name)
"""Runs a test in every runtime: `@each_runtime def test_x(runtime): ...`."""
