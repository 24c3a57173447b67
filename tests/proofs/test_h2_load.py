"""HTTP/2 under load: 100 threads, or tasks, share one connection for 20,000 requests, some of which are given up.

The peer is h2 in a process of its own, whose count of open streams decides whether any was left behind.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from h2_server import content
from runtimes import Runtime, each_runtime
from servers import free_port, process

import httpcore

SEED = 20_261_123
WORKERS, REQUESTS = 100, 20_000

KINDS = {"small": 79, "posted": 8, "large": 4, "closed at the head": 2, "closed in the body": 2, "timed out": 5}
"""The number of requests of each kind in a hundred."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    with process([sys.executable, "-m", "tests.support.h2_server", str(port)], port):
        yield f"http://127.0.0.1:{port}"


class Worker:
    """One thread or task: makes its share of the requests, and checks every byte of the answers."""

    def __init__(self, http: Any, url: str, number: int) -> None:
        self.http = http
        self.url = url
        self.number = number
        self.random = random.Random(SEED + number)
        self.done_by_kind: Counter[str] = Counter()

    async def work(self) -> Counter[str]:
        for at in range(REQUESTS // WORKERS):
            (kind,) = self.random.choices([*KINDS], [*KINDS.values()])
            await self.one(kind, f"{self.number}/{at}")
            self.done_by_kind[kind] += 1
        return self.done_by_kind

    async def one(self, kind: str, name: str) -> None:
        if kind == "timed out":
            limit = httpcore.TimeoutConfig(60, read_timeout=self.random.random() / 20)
            with pytest.raises(httpcore.ReadTimeout):
                await self.http.request("GET", f"{self.url}/never/{name}", timeout=limit)
        elif kind == "posted":
            body = self.random.randbytes(self.random.randrange(10_000))
            given = body if self.random.random() < 0.5 else iter([body[:4000], body[4000:]])
            assert (await self.http.request("POST", f"{self.url}/echo/{name}", body=given)).body == body
        elif kind in ("small", "large"):
            size = self.random.randrange(1_000 if kind == "small" else 100_000)
            path = f"/size/{size}/{name}"
            assert (await self.http.request("GET", self.url + path)).body == content(path.encode(), size)
        else:
            path = f"/size/200000/{name}"
            async with await self.http.request("GET", self.url + path, stream=True) as response:
                if kind == "closed in the body":
                    piece = await anext(response.raw())
                    assert piece == content(path.encode(), 200_000)[: len(piece)]


@each_runtime
def test_hundred_tasks_share_one_connection_for_20_000_requests(runtime: Runtime, url: str) -> None:
    """Requests of every kind are made in a random order: every body is correct, and nothing remains of cancelled
    requests.
    """

    async def main() -> None:
        limits = httpcore.PoolLimits(max_connections=1)
        async with runtime.pool(http1=False, timeout=60, limits=limits) as http:
            workers = [Worker(http, url, number) for number in range(WORKERS)]
            done: Counter[str] = sum(await runtime.gather(*[worker.work for worker in workers]), Counter())
            assert done.total() == REQUESTS
            assert {*done} == {*KINDS}
            stats = http.stats()
            assert (stats.connections, stats.idle, stats.leased, stats.waiting) == (1, 1, 0, 0)
            response = await http.request("GET", url + "/open")
            assert (response.body, response.info.reused) == (b"0", True)

    runtime.run(main)
