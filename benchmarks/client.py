"""One client, one scenario, one pinned process; prints what an operation cost, as JSON. `run.py` calls it.

    client.py CLIENT URL OPERATIONS CONCURRENCY CONNECTIONS

Costs are CPU seconds (user and system) of this process over the operations, after a warm-up, so that what else runs on
the machine disturbs them little. Peers bring PyPI's `httpcore`, whose import name is ours, so each side has a virtual
environment of its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

NAME, URL, OPERATIONS, CONCURRENCY, CONNECTIONS = sys.argv[1], sys.argv[2], *(int(text) for text in sys.argv[3:6])


def clocks() -> tuple[float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), usage.ru_utime + usage.ru_stime


def report(start: tuple[float, float], operations: int) -> None:
    end = clocks()
    cost = {
        "cpu_us": (end[1] - start[1]) / operations * 1e6,
        "wall_us": (end[0] - start[0]) / operations * 1e6,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(cost), flush=True)


def run_sync(once: Callable[[], object]) -> None:
    for _ in range(max(1, OPERATIONS // 20)):
        once()
    start = clocks()
    for _ in range(OPERATIONS):
        once()
    report(start, OPERATIONS)


def run_async(make: Callable[[], Awaitable[Callable[[], Awaitable[object]]]]) -> None:
    async def main() -> None:
        once = await make()

        async def work(operations: int) -> None:
            left = operations

            async def worker() -> None:
                nonlocal left
                while left > 0:
                    left -= 1
                    await once()

            await asyncio.gather(*[worker() for _ in range(CONCURRENCY)])

        await work(max(CONCURRENCY, OPERATIONS // 20))
        gc.collect()
        start = clocks()
        await work(OPERATIONS)
        report(start, OPERATIONS)
        os._exit(0)  # no farewell of anybody's counts

    asyncio.run(main())


def bare_socket() -> None:
    """The floor of threads: a socket and nothing else."""
    where = urlsplit(URL)
    sock = socket.create_connection((where.hostname or "", where.port or 80))
    request = f"GET {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode()

    def once() -> None:
        sock.sendall(request)
        sock.recv(65536)

    run_sync(once)


def ours() -> None:
    import httpcore

    pool = httpcore.SyncConnectionPool()
    run_sync(lambda: pool.request("GET", URL).body)


def ours_async() -> None:
    import httpcore

    async def make() -> Any:
        pool = httpcore.ConnectionPool(timeout=60, limits=httpcore.PoolLimits(max_connections=CONNECTIONS))

        async def once() -> bytes:
            return (await pool.request("GET", URL)).body

        return once

    run_async(make)


def httpcore2() -> None:
    import httpcore2 as peer

    pool = peer.ConnectionPool()
    run_sync(lambda: pool.request("GET", URL).content)


def httpcore2_async() -> None:
    import httpcore2 as peer

    async def make() -> Any:
        pool = peer.AsyncConnectionPool(max_connections=CONNECTIONS)

        async def once() -> bytes:
            return bytes((await pool.request("GET", URL)).content)

        return once

    run_async(make)


def urllib3() -> None:
    import urllib3 as peer

    pool = peer.PoolManager()
    run_sync(lambda: pool.request("GET", URL).data)


def aiohttp_async() -> None:
    import aiohttp as peer

    async def make() -> Any:
        session = peer.ClientSession(connector=peer.TCPConnector(limit=CONNECTIONS))

        async def once() -> bytes:
            async with session.get(URL) as response:
                return bytes(await response.read())

        return once

    run_async(make)


CLIENTS = {
    "bare socket": bare_socket,
    "httpcore": ours,
    "httpcore async": ours_async,
    "httpcore2": httpcore2,
    "httpcore2 async": httpcore2_async,
    "urllib3": urllib3,
    "aiohttp": aiohttp_async,
}

if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    CLIENTS[NAME]()
