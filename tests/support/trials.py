"""A pool against a peer that misbehaves, and the checks afterwards.

`HostileServer` misbehaves for every request except those for /clean. `trial` yields a pool, and when its block ends, it
checks the state that must hold after every fault: no request holds a connection or waits, no socket is open that the
pool does not count, a clean request to the same server works at once, and a closed pool has no socket left.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import pytest
from runtimes import RUNTIMES, Runtime
from servers import Peer, ScriptedServer, ok

import httpcore

Act = Callable[[Peer], object]

PROMPT = 5.0
"""Seconds within which an immediate action must be done, even on a busy machine."""


class HostileServer(ScriptedServer):
    """Answers requests for /clean, and calls `act(peer)` after any other request head is received. The connection is
    closed after `act`, unless it returns something true.

    Attributes:
        lines: the request line of every received request, without the version: "GET /".
        heads: their whole heads.
    """

    def __init__(self, act: Act, context: ssl.SSLContext | None = None) -> None:
        self.lines: list[str] = []
        self.heads: list[bytes] = []
        self._act = act
        super().__init__(self._follow, context)

    def _follow(self, peer: Peer) -> None:
        while head := peer.head():
            line = head.partition(b" HTTP/1.1\r\n")[0].decode()
            self.lines.append(line)
            self.heads.append(head)
            if line == "GET /clean":
                peer.send(ok(b"clean"))
            elif not self._act(peer):
                return

    @property
    def bad_lines(self) -> list[str]:
        """The request lines of all but the clean requests."""
        return [line for line in self.lines if line != "GET /clean"]

    def __enter__(self) -> Self:
        return self


@asynccontextmanager
async def trial(runtime: Runtime, server: ScriptedServer, *arguments: Any, **named: Any) -> AsyncIterator[Any]:
    """Open a pool in `runtime`. After the block: run `check_healthy`, close the pool, check that no socket is left."""
    pool = runtime.pool(*arguments, **named)
    try:
        yield pool
        await check_healthy(runtime, pool, server)
    finally:
        await pool.close()
    await eventually(runtime, lambda: client_sockets(server.port) == 0, "the closed pool has no socket")


async def check_healthy(runtime: Runtime, pool: Any, server: ScriptedServer) -> None:
    await check_quiet(runtime, pool, server)
    began = time.monotonic()
    response = await pool.request("GET", f"{server.url}/clean")
    assert (response.status_code, response.body) == (200, b"clean")
    assert time.monotonic() - began < PROMPT
    await check_quiet(runtime, pool, server)


async def check_quiet(runtime: Runtime, pool: Any, server: ScriptedServer) -> None:
    """No request holds a connection or waits, and the sockets are those that the pool counts."""
    stats = pool.stats()
    assert (stats.leased, stats.waiting, stats.busy, stats.dialing) == (0, 0, 0, 0)
    await eventually(
        runtime, lambda: client_sockets(server.port) == pool.stats().connections, "the pool counts every socket"
    )


async def eventually(runtime: Runtime, holds: Callable[[], bool], what: str) -> None:
    """Wait until `holds`: a loop closes sockets in a later turn, and the kernel may need some time too."""
    ends = time.monotonic() + PROMPT
    while not holds():
        assert time.monotonic() < ends, f"expected within {PROMPT} s: {what}"
        await runtime.sleep(0.002)


def client_sockets(port: int) -> int:
    """How many of this process's sockets are connected to `port`."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                with socket.socket(fileno=os.dup(int(name))) as copy:
                    peer = copy.getpeername()
                    count += isinstance(peer, tuple) and peer[1] == port
    return count


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="session")
def every_runtime_has_run() -> None:
    """A descriptor that a loop opens once for the whole process (uvloop does) is not a leak."""

    async def body() -> None: ...

    for runtime in RUNTIMES:
        runtime.run(body)


@pytest.fixture(autouse=True)
def nothing_is_left_open(every_runtime_has_run: None) -> Iterator[None]:
    """In a module that imports this fixture, every test must end with the descriptors that it began with."""
    before = descriptors()
    yield
    ends = time.monotonic() + PROMPT
    while descriptors() > before and time.monotonic() < ends:
        time.sleep(0.002)  # a server's thread is about to close its end
    assert descriptors() <= before


def checked(error: httpcore.HTTPCoreError, server: ScriptedServer, method: str = "GET") -> str:
    """The error has its request and peer, and its text is safe to print. Returns the text."""
    assert error.method == method
    assert error.url is not None
    assert error.url.startswith(server.url)
    assert error.peer == f"127.0.0.1:{server.port}"
    assert error.elapsed is not None
    assert 0 <= error.elapsed < 60
    text = str(error)
    assert text.isprintable()
    assert text.isascii()
    assert len(text) < 1000
    return text
