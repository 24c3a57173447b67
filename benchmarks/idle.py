"""Measures the cost of pools and idle connections, as JSON: `idle.py CLIENT WORK URL COUNT`.

Works: `make` makes COUNT pools (or sessions), `hold` opens COUNT connections and leaves them idle; URL is one of
`holding.py`. Memory is this process's resident set, including the parts that the kernel and OpenSSL use; kernel buffers
are in no figure.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

FEW = 10
"""Connections that are opened before the memory is measured, so that all modules and caches are loaded."""


class Blocking(NamedTuple):
    """`made` without settings, `open` for the given number of connections. `start` returns when a response's head is
    received.
    """

    made: Callable[[], Any]
    open: Callable[[int], Any]
    start: Callable[[Any, str], Any]
    finish: Callable[[Any], object]


class Waiting(NamedTuple):
    made: Callable[[], Any]
    open: Callable[[int], Any]
    start: Callable[[Any, str], Awaitable[Any]]
    finish: Callable[[Any], Awaitable[object]]


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def settings(count: int) -> dict[str, Any]:
    import httpcore

    return {
        "ssl": httpcore.SSLConfig(verify=False),
        "limits": httpcore.PoolLimits(max_connections=count),
        "timeout": 60,
    }


def ours() -> Blocking:
    import httpcore

    return Blocking(
        httpcore.SyncConnectionPool,
        lambda count: httpcore.SyncConnectionPool(**settings(count)),
        lambda pool, url: pool.request("GET", url, stream=True),
        lambda response: response.read(),
    )


def ours_async() -> Waiting:
    import httpcore

    return Waiting(
        httpcore.ConnectionPool,
        lambda count: httpcore.ConnectionPool(**settings(count)),
        lambda pool, url: pool.request("GET", url, stream=True),
        lambda response: response.read(),
    )


def our_client() -> Blocking:
    import httpcore

    return Blocking(
        httpcore.Client,
        lambda count: httpcore.Client(httpcore.SSLConfig(verify=False), 60, httpcore.PoolLimits(max_connections=count)),
        lambda client, url: client.get(url, stream=True),
        lambda response: response.read(),
    )


def httpcore2() -> Blocking:
    import httpcore2 as peer

    def start(pool: Any, url: str) -> Any:
        around = pool.stream("GET", url)
        return around, around.__enter__()

    def finish(started: Any) -> None:
        started[1].read()
        started[0].__exit__(None, None, None)

    return Blocking(
        peer.ConnectionPool,
        lambda count: peer.ConnectionPool(ssl_context=unverified(), max_connections=count),
        start,
        finish,
    )


def httpcore2_async() -> Waiting:
    import httpcore2 as peer

    async def start(pool: Any, url: str) -> Any:
        around = pool.stream("GET", url)
        return around, await around.__aenter__()

    async def finish(started: Any) -> None:
        await started[1].aread()
        await started[0].__aexit__(None, None, None)

    return Waiting(
        peer.AsyncConnectionPool,
        lambda count: peer.AsyncConnectionPool(ssl_context=unverified(), max_connections=count),
        start,
        finish,
    )


def httpx2() -> Blocking:
    import httpx2 as peer

    def open_(count: int) -> Any:
        limits = peer.Limits(max_connections=count, max_keepalive_connections=count, keepalive_expiry=600)
        return peer.Client(verify=False, limits=limits)

    def start(client: Any, url: str) -> Any:
        return client.send(client.build_request("GET", url), stream=True)

    return Blocking(peer.Client, open_, start, lambda response: response.read())


def urllib3() -> Blocking:
    import urllib3 as peer

    peer.disable_warnings()

    def finish(response: Any) -> None:
        response.read()
        response.release_conn()

    return Blocking(
        peer.PoolManager,
        lambda count: peer.PoolManager(cert_reqs="CERT_NONE", maxsize=count),
        lambda pool, url: pool.request("GET", url, preload_content=False),
        finish,
    )


def requests(module: str = "requests", below: str = "urllib3") -> Blocking:
    peer = __import__(module)
    __import__(below).disable_warnings()

    def open_(count: int) -> Any:
        session = peer.Session()
        session.verify = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, peer.adapters.HTTPAdapter(pool_maxsize=count))
        return session

    return Blocking(
        peer.Session, open_, lambda session, url: session.get(url, stream=True), lambda found: found.content
    )


def aiohttp() -> Waiting:
    import aiohttp as peer

    return Waiting(
        peer.ClientSession,
        lambda count: peer.ClientSession(connector=peer.TCPConnector(limit=count, ssl=False, keepalive_timeout=600)),
        lambda session, url: session.get(url),
        lambda response: response.read(),
    )


def pycurl() -> Blocking:
    import pycurl as peer

    def unheard(*_: object) -> None:
        raise SystemExit("a handle of pycurl is one connection: not measured here")

    return Blocking(peer.Curl, unheard, unheard, unheard)


def pyreqwest() -> Waiting:
    from pyreqwest.client import ClientBuilder

    async def finish(around: Any) -> None:
        await around[1].bytes()
        await around[0].__aexit__(None, None, None)

    async def start(client: Any, url: str) -> Any:
        around = client.get(url).streamed_read_buffer_limit(1).build_streamed()
        return around, await around.__aenter__()

    def open_(count: int) -> Any:
        return ClientBuilder().danger_accept_invalid_certs(True).http1_only().pool_max_idle_per_host(count).build()

    return Waiting(lambda: ClientBuilder().build(), open_, start, finish)


CLIENTS: dict[str, Callable[[], Blocking | Waiting]] = {
    "httpcore": ours,
    "httpcore async": ours_async,
    "httpcore client": our_client,
    "httpcore2": httpcore2,
    "httpcore2 async": httpcore2_async,
    "httpx2": httpx2,
    "urllib3": urllib3,
    "requests": requests,
    "niquests": lambda: requests("niquests", "urllib3_future"),
    "aiohttp": aiohttp,
    "pycurl": pycurl,
    "pyreqwest async": pyreqwest,
}


def memory() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def sockets() -> int:
    names = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.readlink(name).startswith("socket:") for name in names if os.path.islink(name))


def end(**found: float) -> None:
    print(json.dumps(found), flush=True)
    os._exit(0)  # code that runs at exit does not count


async def make(made: Callable[[], Any], count: int) -> None:
    """Runs in a loop, since some clients require one."""
    kept = [made() for _ in range(FEW)]
    before, start = memory(), time.process_time()
    kept += [made() for _ in range(count)]
    cost = time.process_time() - start
    end(cpu_us=cost / count * 1e6, memory_kb=(memory() - before) / count / 1024)


def hold_blocking(client: Blocking, url: str, count: int) -> None:
    pool = client.open(count)

    def held(many: int) -> int:
        for started in [client.start(pool, f"{url}/{many}") for _ in range(many)]:
            client.finish(started)
        return sockets()

    few, before = held(FEW), memory()
    report(held(count) - few, before, count)


async def hold_waiting(client: Waiting, url: str, count: int) -> None:
    pool = client.open(count)

    async def held(many: int) -> int:
        for started in [await client.start(pool, f"{url}/{many}") for _ in range(many)]:
            await client.finish(started)
        return sockets()

    few, before = await held(FEW), memory()
    report(await held(count) - few, before, count)


def report(opened: int, before: int, count: int) -> None:
    if opened != count - FEW:
        raise SystemExit(f"{opened} connections were left open, not {count - FEW}")
    end(memory_kb=(memory() - before) / opened / 1024)


def main(name: str, work: str, url: str, count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * count)), hard))
    client = CLIENTS[name]()
    if work == "make":
        asyncio.run(make(client.made, count))
    elif isinstance(client, Blocking):
        hold_blocking(client, url, count)
    else:
        asyncio.run(hold_waiting(client, url, count))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
