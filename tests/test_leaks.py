"""Nothing leaks: ten thousand requests, a third of which are cut off at random moments, leave the pool as it was."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
import uvloop
from servers import free_port, process

import httpcore

REQUESTS = 10_000
SEED = 20_261_121
LIMITS = httpcore.PoolLimits(max_connections=50)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    with process([sys.executable, "-m", "tests.fast_server", str(port)], port):
        yield f"http://127.0.0.1:{port}/hello"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def fetch(pool: httpcore.ConnectionPool, url: str, number: int) -> None:
    response = await pool.request("GET", url, stream=number % 2 == 0)
    assert await response.read() == b"Hello, world"


async def taken(act: Callable[[], Awaitable[object]]) -> float:
    """Seconds that it takes when all is warm: moments are drawn from so long a time, on a slow machine too."""
    await act()
    began = time.perf_counter()
    await act()
    return time.perf_counter() - began


async def check_is_clean(pool: httpcore.ConnectionPool, url: str) -> None:
    """Nobody holds or waits; the next hundred requests succeed."""
    stats = pool.stats()
    assert (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0)
    for number in range(100):
        await fetch(pool, url, number)
    await pool.close()
    assert pool.stats().connections == 0


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_requests_cancelled_at_random_moments_leave_nothing_behind_on_asyncio(url: str, loop: Any) -> None:
    moments = random.Random(SEED)
    cancelled = 0

    async def victim(pool: httpcore.ConnectionPool, number: int, horizon: float) -> None:
        nonlocal cancelled
        task = asyncio.ensure_future(fetch(pool, url, number))
        await asyncio.sleep(moments.random() * horizon)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            cancelled += 1

    async def body() -> None:
        before = descriptors()
        pool = httpcore.ConnectionPool(limits=LIMITS)
        horizon = await taken(lambda: asyncio.gather(*[fetch(pool, url, n) for n in range(200)]))
        for first in range(0, REQUESTS, 200):
            numbers = range(first, first + 200)
            await asyncio.gather(*[victim(pool, n, horizon) if n % 3 == 0 else fetch(pool, url, n) for n in numbers])
        await check_is_clean(pool, url)
        assert len(asyncio.all_tasks()) == 1
        assert descriptors() == before

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(body())
    assert cancelled > 300, f"{cancelled} requests were really cut off (seed {SEED})"


def test_requests_cancelled_at_random_moments_leave_nothing_behind_on_trio(url: str) -> None:
    moments = random.Random(SEED)
    cancelled = 0

    async def victim(pool: httpcore.ConnectionPool, number: int, horizon: float) -> None:
        nonlocal cancelled
        with trio.move_on_after(moments.random() ** 3 * horizon) as scope:  # most are served early
            await fetch(pool, url, number)
        cancelled += scope.cancelled_caught

    async def body() -> None:
        before = descriptors()
        pool = httpcore.ConnectionPool(limits=LIMITS)

        async def batch(first: int, horizon: float) -> None:
            async with trio.open_nursery() as nursery:
                for number in range(first, first + 200):
                    if number % 3 == 0 and horizon:
                        nursery.start_soon(victim, pool, number, horizon)
                    else:
                        nursery.start_soon(fetch, pool, url, number)

        horizon = await taken(lambda: batch(0, 0))
        for first in range(0, REQUESTS, 200):
            await batch(first, horizon)
        await check_is_clean(pool, url)
        assert descriptors() == before

    trio.run(body)
    assert cancelled > 300, f"{cancelled} requests were really cut off (seed {SEED})"


def test_requests_that_time_out_at_random_moments_leave_nothing_behind_in_threads(url: str) -> None:
    before = descriptors()
    pool = httpcore.SyncConnectionPool(limits=httpcore.PoolLimits(max_connections=8))
    failures: list[BaseException] = []
    timeouts = []

    def work(worker: int) -> None:
        moments = random.Random(SEED + worker)
        try:
            for number in range(REQUESTS // 16):
                limit = moments.random() * 0.002 if number % 3 == 0 else 5
                try:
                    response = pool.request("GET", url, stream=number % 2 == 0, timeout=limit)
                    assert response.read() == b"Hello, world"
                except httpcore.Timeout as error:
                    timeouts.append(type(error).__name__)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    assert len(timeouts) > 200, f"{len(timeouts)} requests really timed out (seed {SEED})"
    stats = pool.stats()
    assert (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0)
    for _ in range(100):
        assert pool.request("GET", url).body == b"Hello, world"
    pool.close()
    assert descriptors() == before
