"""The measurements: which work, by which client, against which server. This module describes them, and `run.py` makes
them.
"""

from __future__ import annotations

from typing import NamedTuple

PATHS = {"get": "/hello", "vary": "/varied/", "post": "/drain", "down": "/200m", "up": "/drain"}


class Measure(NamedTuple):
    """A figure of a cell, and its format. The first figure of a work is compared; less is better. A value below `least`
    cannot be distinguished from zero: it is written as such, and is not compared.
    """

    key: str
    unit: str
    digits: int = 1
    scale: float = 1
    least: float = 0


CPU = Measure("cpu_us", "µs CPU")
BULK = Measure("cpu_us", "ms CPU", 0, 1e-3)
FRESH = Measure("cpu_ms", "ms CPU", least=1)
MEMORY = Measure("memory_kb", "KB")


class Work(NamedTuple):
    """One row of the comparison.

    Attributes:
        clients: our client first; the ratios are to it.
        script: gets the client and `arguments`.
        arguments: {plain} and the like are replaced by the URLs of the servers.
        pictured: whether the work is shown in the picture too, which does not have room for all.
    """

    name: str
    clients: tuple[str, ...]
    measure: Measure
    script: str
    arguments: tuple[str, ...]
    loop: str = ""
    pictured: bool = False


def is_floor(client: str) -> bool:
    return client.startswith("bare ")


def is_ours(client: str) -> bool:
    return client.split()[0] == "httpcore"


def requests(
    name: str,
    clients: tuple[str, ...],
    transport: str,
    job: str,
    operations: int,
    concurrency: int = 1,
    connections: int = 1,
    loop: str = "",
    pictured: bool = False,
) -> Work:
    numbers = [str(number) for number in (operations, concurrency, connections)]
    arguments = (job, transport, f"{{{transport}}}{PATHS[job]}", *numbers)
    return Work(name, clients, BULK if job in ("down", "up") else CPU, "client.py", arguments, loop, pictured)


def gateway(name: str, loop: str, pictured: bool) -> Work:
    clients = ("httpcore async", "httpcore all on async", "bare uvicorn", "aiohttp", "httpx2 async", *FRONTS)
    return Work(name, clients, CPU, "loading.py", (loop, "{plain}", "3", "64"), pictured=pictured)


def streams(count: str, clients: tuple[str, ...], protocol: str = "") -> Work:
    name = f"{int(count):,} idle event streams" + (", HTTP/2" if protocol else "")
    return Work(name, clients, MEMORY, "streams.py", ("uvloop", count, protocol))


def gateway_bulk(job: str) -> Work:
    clients = ("httpcore async", "aiohttp", *FRONTS)
    name = f"gateway, 50 MB {job}, uvloop"
    return Work(name, clients, BULK, "loading.py", ("uvloop", "{plain}", "8", "4", job))


FRONTS = ("nginx", "Caddy", "aiohttp both sides")
TRIO = ("httpcore trio", "httpcore2 trio")
ASYNC_PEERS = ("bare Protocol", "aiohttp", "pyreqwest async", "httpcore2 async", "httpx2 async")
H2_PEERS = ("bare h2", "pyreqwest async", "httpcore2 async", "httpx2 async")
SYNC_BULK = ("httpcore", "bare socket", "pycurl", "pyreqwest", "urllib3", "httpcore2")
ASYNC_BULK = ("httpcore async", "aiohttp", "pyreqwest async", "httpcore2 async")
SESSIONS = ("httpx2", "requests", "niquests")
ASYNC_SESSIONS = ("aiohttp", "httpx2 async")
FIRST = ("httpcore", "httpcore async", "pycurl", "pyreqwest async", "urllib3", "httpcore2", "httpx2")
ALL_FIRST = (*FIRST, "requests", "niquests", "aiohttp")
MADE = ("httpx2", "requests", "niquests", "aiohttp")
HOLDERS = ("httpcore", "httpcore async", "urllib3", "aiohttp", "pyreqwest async", "requests")

WORKS = [
    requests(
        "sync GET",
        ("httpcore", "bare socket", "pycurl", "pyreqwest", "urllib3", "httpcore2", "httpx2", "requests", "niquests"),
        "plain",
        "get",
        2000,
        pictured=True,
    ),
    requests(
        "sync GET, 16 threads",
        ("httpcore", "urllib3", "pyreqwest", "httpcore2", "requests"),
        "plain",
        "get",
        3200,
        16,
        16,
    ),
    requests("asyncio GET", ("httpcore async", *ASYNC_PEERS), "plain", "get", 2000, pictured=True),
    requests("asyncio GET, 20 at once", ("httpcore async", *ASYNC_PEERS[:-1]), "plain", "get", 3000, 20, 20),
    requests(
        "asyncio GET, 100 at once", ("httpcore async", *ASYNC_PEERS), "plain", "get", 3000, 100, 100, pictured=True
    ),
    requests("asyncio GET, 1,000 on 100", ("httpcore async", "aiohttp"), "plain", "get", 8000, 1000, 100),
    requests(
        "asyncio GET, 10,000 on 100", ("httpcore async", "aiohttp"), "plain", "get", 20000, 10000, 100, pictured=True
    ),
    requests("sync GET, transport", ("httpcore", "httpcore transport", "httpcore 3 middlewares"), "plain", "get", 2000),
    requests(
        "asyncio GET, transport",
        ("httpcore async", "httpcore transport async", "httpcore 3 middlewares async"),
        "plain",
        "get",
        2000,
    ),
    *(
        requests(
            f"engines: {name}",
            tuple(f"httpcore{engine}{transport}" for engine in ("", " reference")),
            server,
            job,
            *numbers,
        )
        for name, transport, server, job, numbers in (
            ("sync GET", "", "plain", "get", (2000,)),
            ("asyncio GET", " async", "plain", "get", (2000,)),
            ("asyncio GET, 100 at once", " async", "plain", "get", (3000, 100, 100)),
            ("HTTP/2 GET, 100 at once", " async", "h2", "get", (3000, 100)),
            ("200 MB down, sync", "", "plain", "down", (2,)),
            ("200 MB down, HTTP/2, asyncio", " async", "h2", "down", (2,)),
        )
    ),
    requests("sync GET, client", ("httpcore client", "httpcore", *SESSIONS), "plain", "get", 2000, pictured=True),
    requests("sync GET, varied, client", ("httpcore client", "httpcore", *SESSIONS), "plain", "vary", 2000),
    requests("asyncio GET, client", ("httpcore client async", "httpcore async", *ASYNC_SESSIONS), "plain", "get", 2000),
    requests(
        "asyncio GET, 100 at once, client",
        ("httpcore client async", "httpcore async", *ASYNC_SESSIONS),
        "plain",
        "get",
        3000,
        100,
        100,
        pictured=True,
    ),
    requests("uvloop GET", ("httpcore async", "aiohttp", "httpcore2 async"), "plain", "get", 2000, loop="uvloop"),
    requests(
        "uvloop GET, 100 at once",
        ("httpcore async", "aiohttp"),
        "plain",
        "get",
        4000,
        100,
        100,
        "uvloop",
        True,
    ),
    requests("trio GET", TRIO, "plain", "get", 1500),
    requests("trio GET, 100 at once", TRIO, "plain", "get", 2000, 100, 100, pictured=True),
    requests(
        "sync GET, TLS", ("httpcore", "bare socket", "pycurl", "pyreqwest", "urllib3", "httpcore2"), "tls", "get", 1500
    ),
    requests(
        "asyncio GET, TLS, 100 at once",
        ("httpcore async", *ASYNC_PEERS[:-1]),
        "tls",
        "get",
        2000,
        100,
        100,
        pictured=True,
    ),
    requests("HTTP/2 GET, sync", ("httpcore", "pycurl", "pyreqwest", "httpcore2"), "h2", "get", 1500),
    requests("HTTP/2 GET, 100 at once", ("httpcore async", *H2_PEERS), "h2", "get", 3000, 100, pictured=True),
    requests("HTTP/2 GET, 3,000 at once", ("httpcore async",), "h2", "get", 9000, 3000),
    requests("HTTP/2 GET, trio, 100 at once", TRIO, "h2", "get", 2000, 100),
    requests(
        "sync POST 10 KB",
        ("httpcore", "bare socket", "pycurl", "pyreqwest", "urllib3", "httpcore2"),
        "plain",
        "post",
        2000,
    ),
    requests(
        "asyncio POST 10 KB, 100 at once",
        ("httpcore async", *ASYNC_PEERS[:-1]),
        "plain",
        "post",
        2000,
        100,
        100,
        pictured=True,
    ),
    requests(
        "sync GET, varied", ("httpcore", "pycurl", "pyreqwest", "urllib3", "httpcore2", "httpx2"), "plain", "vary", 2000
    ),
    requests("asyncio GET, varied, 100 at once", ("httpcore async", *ASYNC_PEERS[1:]), "plain", "vary", 3000, 100, 100),
    requests("HTTP/2 GET, varied, 100 at once", ("httpcore async", *H2_PEERS[1:]), "h2", "vary", 3000, 100),
    *(
        requests(f"200 MB {job}{label}, {runtime}", clients, transport, job, 2, pictured=runtime == "asyncio")
        for job in ("down", "up")
        for transport, label in (("plain", ""), ("tls", ", TLS"), ("h2", ", HTTP/2"))
        for runtime, clients in (
            ("sync", tuple(name for name in SYNC_BULK if transport != "h2" or name not in ("bare socket", "urllib3"))),
            ("asyncio", tuple(name for name in ASYNC_BULK if transport != "h2" or name != "aiohttp")),
        )
    ),
    gateway("gateway", "asyncio", True),
    gateway("gateway, uvloop", "uvloop", False),
    gateway_bulk("down"),
    gateway_bulk("up"),
    streams("1000", ("httpcore async",)),
    streams("10000", ("httpcore async", "bare uvicorn", "nginx", "Caddy")),  # aiohttp's 1,000 connections are its limit
    streams("10000", ("httpcore async",), "h2"),
    Work(
        "gateway, echo of 1 KB over WebSockets, uvloop",
        ("httpcore async", "bare uvicorn"),
        CPU,
        "loading.py",
        ("uvloop", "{plain}", "3", "16", "echo"),
    ),
    Work("import", ALL_FIRST, FRESH, "fresh.py", ("import", "{plain}/hello")),
    Work("import and a pool", ALL_FIRST, FRESH, "fresh.py", ("pool", "{plain}/hello"), pictured=True),
    Work("import and one GET", ALL_FIRST, FRESH, "fresh.py", ("get", "{plain}/hello"), pictured=True),
    Work("a pool made", ALL_FIRST, CPU, "idle.py", ("make", "{plain}", "100")),
    Work("a client made", ("httpcore client", *MADE), CPU, "idle.py", ("make", "{plain}", "100")),
    Work("import and a client", ("httpcore client", *MADE), FRESH, "fresh.py", ("pool", "{plain}/hello")),
    Work("memory of an idle pool", ALL_FIRST, MEMORY, "idle.py", ("make", "{plain}", "100")),
    Work("memory of an idle connection", HOLDERS, MEMORY, "idle.py", ("hold", "{hold}", "1000")),
    Work("memory of an idle connection, TLS", HOLDERS, MEMORY, "idle.py", ("hold", "{hold tls}", "1000")),
]

PAIRS = [
    ("asyncio GET, 10,000 on 100", "asyncio GET, 1,000 on 100"),
    ("asyncio GET, 10,000 on 100", "asyncio GET, 100 at once"),
    ("HTTP/2 GET, 3,000 at once", "HTTP/2 GET, 100 at once"),
    ("10,000 idle event streams", "1,000 idle event streams"),
]
"""Works that must cost about the same, since no code scans the waiting requests."""


def chosen(word: str) -> list[Work]:
    """The work of that name, or else all works with the word in their names.

    Raises:
        ValueError: no work matches.
    """
    found = [work for work in WORKS if work.name == word] or [work for work in WORKS if word in work.name]
    if not found:
        raise ValueError(f"no work has {word!r} in its name. There are: {'; '.join(work.name for work in WORKS)}")
    return found
