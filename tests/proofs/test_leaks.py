"""Nothing leaks: ten thousand requests, a third of which are cut off at random moments, leave the pool as it was."""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import threading
from collections.abc import Iterator
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
    with process([sys.executable, "-m", "tests.support.fast_server", str(port)], port):
        yield f"http://127.0.0.1:{port}/later"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def fetch(pool: httpcore.ConnectionPool, url: str, number: int) -> None:
    response = await pool.request("GET", url, stream=number % 2 == 0)
    assert await response.read() == b"Hello, world"


class CutoffMoments:
    """Moments at which to cut requests off: from 10 microseconds to 100 ms, the same number in each power of ten, so
    that some interrupt a request and some do not, however fast the machine is.
    """

    def __init__(self, seed: int = SEED) -> None:
        self._random = random.Random(seed)
        self.hits = 0

    def moment(self) -> float:
        return math.pow(10.0, self._random.uniform(-5, -1))


async def check_is_clean(pool: httpcore.ConnectionPool, url: str) -> None:
    """No request holds a connection or waits for one; the next hundred requests succeed."""
    stats = pool.stats()
    assert (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0)
    for number in range(100):
        await fetch(pool, url, number)
    await pool.close()
    assert pool.stats().connections == 0


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_random_cancellations_leave_nothing_on_asyncio(url: str, loop: Any) -> None:
    aim = CutoffMoments()

    async def victim(pool: httpcore.ConnectionPool, number: int) -> None:
        task = asyncio.ensure_future(fetch(pool, url, number))
        await asyncio.sleep(aim.moment())
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            aim.hits += 1

    async def body() -> None:
        before = descriptors()
        pool = httpcore.ConnectionPool(limits=LIMITS)
        for first in range(0, REQUESTS, 200):
            numbers = range(first, first + 200)
            await asyncio.gather(*[victim(pool, n) if n % 3 == 0 else fetch(pool, url, n) for n in numbers])
        await check_is_clean(pool, url)
        assert len(asyncio.all_tasks()) == 1
        assert descriptors() == before

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(body())
    assert aim.hits > 300, f"{aim.hits} requests were really cut off (seed {SEED})"


def test_random_cancellations_leave_nothing_on_trio(url: str) -> None:
    aim = CutoffMoments()

    async def victim(pool: httpcore.ConnectionPool, number: int) -> None:
        with trio.move_on_after(aim.moment()) as scope:
            await fetch(pool, url, number)
        aim.hits += scope.cancelled_caught

    async def body() -> None:
        before = descriptors()
        pool = httpcore.ConnectionPool(limits=LIMITS)

        for first in range(0, REQUESTS, 200):
            async with trio.open_nursery() as nursery:
                for number in range(first, first + 200):
                    if number % 3 == 0:
                        nursery.start_soon(victim, pool, number)
                    else:
                        nursery.start_soon(fetch, pool, url, number)
        await check_is_clean(pool, url)
        assert descriptors() == before

    trio.run(body)
    assert aim.hits > 300, f"{aim.hits} requests were really cut off (seed {SEED})"


def test_random_timeouts_leave_nothing_in_threads(url: str) -> None:
    before = descriptors()
    pool = httpcore.SyncConnectionPool(limits=httpcore.PoolLimits(max_connections=8))
    failures: list[BaseException] = []
    aims = [CutoffMoments(SEED + worker) for worker in range(16)]

    def work(aim: CutoffMoments) -> None:
        try:
            for number in range(REQUESTS // 16):
                limit = aim.moment() if number % 3 == 0 else 5
                try:
                    response = pool.request("GET", url, stream=number % 2 == 0, timeout=limit)
                    assert response.read() == b"Hello, world"
                except httpcore.Timeout:
                    aim.hits += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(aim,)) for aim in aims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    hits = sum(aim.hits for aim in aims)
    assert hits > 200, f"{hits} requests really timed out (seed {SEED})"
    stats = pool.stats()
    assert (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0)
    for _ in range(100):
        assert pool.request("GET", url).body == b"Hello, world"
    pool.close()
    assert descriptors() == before


ROUNDS, AT_ONCE = 60, 8


class RecordedEnds:
    """The records of the ends of many requests, by tag, and how many connections were opened and closed."""

    def __init__(self) -> None:
        self.ends: dict[object, list[httpcore.TraceEvent]] = {}
        self.opened = self.closed = 0

    def __call__(self, record: httpcore.TraceEvent) -> None:
        if isinstance(record, httpcore.RequestEnded):
            self.ends.setdefault(record.tag, []).append(record)
        self.opened += isinstance(record, httpcore.ConnectionOpened)
        self.closed += isinstance(record, httpcore.ConnectionClosed)


def check_ends(pool: httpcore.ConnectionPool | httpcore.SyncConnectionPool, ends: RecordedEnds, tags: set[str]) -> None:
    """Each request has one record of its end, and no resource of the requests remains."""
    assert pool.requests() == []
    assert (pool.stats().connections, pool.stats().leased, pool.stats().waiting) == (0, 0, 0)
    assert ends.ends.keys() == tags
    assert [len(each) for each in ends.ends.values()] == [1] * len(tags)
    assert ends.opened == ends.closed


def check_timed(info: httpcore.ResponseInfo) -> None:
    assert info.timing is not None
    assert info.timing.complete is not None


def test_pools_that_end_at_any_moment_leave_nothing_on_asyncio(url: str) -> None:
    """A drain that is too short is followed by an abort, with traced and tagged requests in all phases."""
    aim = CutoffMoments()

    async def fetch(pool: httpcore.ConnectionPool, tag: str, tags: set[str]) -> None:
        tags.add(tag)
        try:
            check_timed((await pool.request("GET", url, tag=tag)).info)
        except httpcore.PoolClosed:
            aim.hits += 1

    async def body() -> None:
        before = descriptors()
        for number in range(ROUNDS):
            ends, tags = RecordedEnds(), set[str]()
            pool = httpcore.ConnectionPool(limits=httpcore.PoolLimits(3), trace=ends)
            tasks = [asyncio.create_task(fetch(pool, f"{number}/{each}", tags)) for each in range(AT_ONCE)]
            await asyncio.sleep(aim.moment() / 10)
            drained = await pool.drain(aim.moment() / 10)
            assert drained is (pool.requests() == [])
            await pool.close(abort=True)
            await asyncio.gather(*tasks)
            check_ends(pool, ends, tags)
        await asyncio.sleep(0)
        assert descriptors() == before
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(body())
    assert aim.hits > ROUNDS, f"{aim.hits} requests were really ended (seed {SEED})"


def test_pools_that_end_at_any_moment_leave_nothing_in_threads(url: str) -> None:
    aim = CutoffMoments()
    failures: list[BaseException] = []
    before = descriptors()

    def fetch(pool: httpcore.SyncConnectionPool, tag: str, tags: set[str]) -> None:
        try:
            tags.add(tag)
            check_timed(pool.request("GET", url, tag=tag).info)
        except httpcore.PoolClosed:
            aim.hits += 1
        except BaseException as error:
            failures.append(error)

    for number in range(ROUNDS):
        ends, tags = RecordedEnds(), set[str]()
        pool = httpcore.SyncConnectionPool(limits=httpcore.PoolLimits(3), trace=ends)
        threads = [threading.Thread(target=fetch, args=(pool, f"{number}/{each}", tags)) for each in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        pool.drain(aim.moment() / 10)
        pool.close(abort=True)
        for thread in threads:
            thread.join(60)
        assert not failures
        check_ends(pool, ends, tags)
    assert descriptors() == before
    assert aim.hits > ROUNDS, f"{aim.hits} requests were really ended (seed {SEED})"
