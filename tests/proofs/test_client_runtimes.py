"""The proof for the client in the real runtimes. On asyncio and trio, calls are cancelled at every suspension; in
threads, the server closes or resets the connection after every byte that it sends. No resource remains, and the next
call works.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio
from clients import client
from runtimes import RUNTIMES, Runtime
from servers import Peer, ScriptedServer
from trials import eventually

import httpcore

CHALLENGE = b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256\r\n'
ASYNCIO, TRIO, THREADS = (
    next(runtime for runtime in RUNTIMES if runtime.name == name) for name in ("asyncio", "trio", "threads")
)


class Server(ScriptedServer):
    """Redirects from /away, requires Digest under /digest. After `budget` bytes it ends the connection by calling
    `case`.
    """

    def __init__(self) -> None:
        self.budget: int | None = None
        self.case: Callable[[Peer], object] = Peer.close
        self.sent = 0
        self.pause = 0.0
        super().__init__(self.script)

    def script(self, peer: Peer) -> None:
        while head := peer.head():
            path = head.split(b" ")[1]
            if b"Content-Length" in head:
                peer.exactly(4)
            if path == b"/away":
                self.answer(peer, b"HTTP/1.1 307 Moved\r\nLocation: /near\r\nSet-Cookie: a=b\r\n", b"moved")
            elif path == b"/digest" and b"Authorization: Digest" not in head:
                self.answer(peer, b"HTTP/1.1 401 No\r\n" + CHALLENGE, b"refused")
            else:
                self.answer(peer, b"HTTP/1.1 200 OK\r\n", b"x" * 30)

    def answer(self, peer: Peer, head: bytes, body: bytes) -> None:
        data = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        budget = self.budget
        if budget is not None and self.sent + len(data) > budget:
            peer.send(data[: max(0, budget - self.sent)])
            self.sent = budget
            self.case(peer)
            raise OSError("the connection was ended on purpose")
        self.sent += len(data)
        for part in (data[:20], data[20:]):
            time.sleep(self.pause)  # the client has to wait for each part
            peer.send(part)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


async def redirected(http: Any, url: str) -> None:
    assert (await http.post(f"{url}/away", b"body")).content == b"x" * 30


async def authenticated(http: Any, url: str) -> None:
    response = await http.post(f"{url}/digest", b"body", auth=httpcore.DigestAuth("user", "secret"))
    assert response.content == b"x" * 30


async def streamed(http: Any, url: str) -> None:
    async with http.stream("POST", f"{url}/away", b"body") as response:
        async for _ in response.stream():
            break


WHAT = [redirected, authenticated, streamed]
What = Callable[[Any, str], Coroutine[Any, Any, None]]


class Counted:
    """Awaits a coroutine; at its `moment`-th suspension `cancel` is called; `struck` records whether it was called."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], moment: int, cancel: Callable[[], object]) -> None:
        self._coroutine = coroutine
        self._moment = moment
        self._cancel = cancel
        self.struck = False

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._coroutine.__await__()
        count, send, value = 0, steps.send, None
        while True:
            try:
                waited = send(value)
            except StopIteration:
                return
            if count == self._moment:
                self.struck = True
                self._cancel()
            count += 1
            try:
                value, send = (yield waited), steps.send
            except BaseException as error:
                value, send = error, steps.throw


async def in_asyncio(coroutine: Coroutine[Any, Any, None], moment: int) -> bool:
    struck = False

    async def run() -> None:
        nonlocal struck
        task = asyncio.current_task()
        assert task is not None
        counted = Counted(coroutine, moment, task.cancel)
        try:
            await counted
        finally:
            struck = counted.struck

    with suppress(asyncio.CancelledError):
        await asyncio.create_task(run())
    return struck


async def in_trio(coroutine: Coroutine[Any, Any, None], moment: int) -> bool:
    with trio.CancelScope() as scope:
        counted = Counted(coroutine, moment, scope.cancel)
        await counted
    return counted.struck


def transport() -> httpcore.HTTPTransport:
    return httpcore.HTTPTransport(timeout=5, limits=httpcore.PoolLimits(max_connections=1))


def busy_count(of: httpcore.HTTPTransport) -> int:
    return sum(stats.leased + stats.waiting + stats.dialing for stats in of.stats() if stats is not None)


@pytest.mark.parametrize(("runtime", "struck"), [(ASYNCIO, in_asyncio), (TRIO, in_trio)], ids=["asyncio", "trio"])
@pytest.mark.parametrize("what", WHAT, ids=lambda what: what.__name__)
def test_a_call_cancelled_at_any_suspension_leaves_nothing(
    server: Server, runtime: Runtime, what: What, struck: Callable[..., Coroutine[Any, Any, bool]]
) -> None:
    async def main(moment: int) -> bool:
        below = transport()
        async with client(runtime, transport=below) as http:
            was_struck = await struck(what(http, server.url), moment)
            assert busy_count(below) == 0
            await what(http, server.url)
            assert busy_count(below) == 0
        return was_struck

    server.pause = 0.005
    moments = 0
    while runtime.run(main, moments):
        moments += 1
    assert moments > 3


@pytest.mark.parametrize("case", [Peer.close, Peer.reset], ids=["close", "reset"])
@pytest.mark.parametrize("what", WHAT, ids=lambda what: what.__name__)
def test_a_connection_that_ends_after_any_byte_leaves_nothing(
    server: Server, what: What, case: Callable[[Peer], object]
) -> None:
    async def main(budget: int) -> None:
        below = transport()
        async with client(THREADS, transport=below) as http:
            server.sent, server.budget, server.case = 0, budget, case
            with suppress(httpcore.HTTPCoreError):
                await what(http, server.url)
            assert busy_count(below) == 0
            server.budget = None
            await what(http, server.url)
            assert busy_count(below) == 0

    async def measure() -> None:
        async with client(THREADS, transport=transport()) as http:
            await what(http, server.url)

    THREADS.run(measure)
    whole = server.sent
    for budget in range(whole + 1):
        THREADS.run(main, budget)
    THREADS.run(eventually, THREADS, lambda: not server.open_sockets(), "the server has no connection left")
