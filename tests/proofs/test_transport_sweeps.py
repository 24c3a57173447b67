"""The proof for transports: an exchange is struck at every await, and the pool below it is in a correct state
afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from strikes import ACTS, SEEDS, check
from websocket_client import CONNECT, WebSocketClient, upgrade
from wsproto.events import CloseConnection, Ping

import httpcore
from httpcore.testing import Cancelled, ServerEnd, Simulation, at_every_await

Pool = httpcore.ConnectionPool
URL = "http://a.test/"


async def serve(peer: ServerEnd) -> None:
    """Sends bodies in pieces, chunked ones with a trailer; echoes after an Upgrade; answers /busy with 503."""
    while head := await peer.recv_until(b"\r\n\r\n"):
        path = head.split(b" ")[1]
        if b"chunked" in head:
            await peer.recv_until(b"0\r\n\r\n")
        if path == b"/switch":
            await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
            while data := await peer.recv(100):
                await peer.send(data)
            return
        if path == b"/busy":
            await peer.send(b"HTTP/1.1 503 Later\r\nContent-Length: 4\r\n\r\nbusy", piece=30, delay=0.01)
        elif path == b"/chunked":
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b"abc", b"def"):
                await peer.send(b"3\r\n" + part + b"\r\n", delay=0.1)
            await peer.send(b"0\r\nX-A: 1\r\n\r\n", delay=0.1)
        else:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n" + b"x" * 60, piece=30, delay=0.01)


class Waiting(httpcore.Middleware):
    """Waits before and after the transport below it."""

    async def handle(self, request: httpcore.TransportRequest) -> httpcore.TransportResponse:
        await request.backend.sleep(0.01)
        response = await self.send(request)
        await request.backend.sleep(0.01)
        return response


def network(pool: Pool) -> httpcore.Transport:
    return httpcore.HTTPTransport(pool=pool)


def stacked(pool: Pool) -> httpcore.Transport:
    retries = httpcore.Retries(httpcore.RetryPolicy(backoff=0.1, jitter=0, attempts=2), network(pool))
    faults = httpcore.FaultInjection([httpcore.Fault(truncate=40)], retries)
    return httpcore.Mounts({"all": httpcore.ConcurrencyLimit(1, httpcore.RateLimit(10, transport=Waiting(faults)))})


class OwnEntries(httpcore.Transport):
    """A transport with its own `request` and `arequest`, over a pool."""

    def __init__(self, below: httpcore.Transport) -> None:
        self.below = below

    def arequest(self, *arguments: Any, **named: Any) -> Any:
        return self.below.arequest(*arguments, **named)


def foreign(pool: Pool) -> httpcore.Transport:
    return Waiting(OwnEntries(network(pool)))


# The victim's use of its exchange.


async def read(transport: httpcore.Transport) -> None:
    async with transport.arequest("GET", f"{URL}one") as (_, _, stream, _):
        async for _ in stream:
            pass


async def leave(transport: httpcore.Transport) -> None:
    async with transport.arequest("GET", f"{URL}chunked"):
        pass


async def leave_half_way(transport: httpcore.Transport) -> None:
    async with transport.arequest("GET", f"{URL}chunked") as (_, _, stream, _):
        async for _ in stream:
            break


async def leave_by_an_error(transport: httpcore.Transport) -> None:
    with suppress(ZeroDivisionError):
        async with transport.arequest("GET", f"{URL}chunked") as (_, _, stream, _):
            async for _ in stream:
                raise ZeroDivisionError


async def pieces() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


async def upload(transport: httpcore.Transport) -> None:
    async with transport.arequest("POST", URL, stream=pieces()) as (_, _, stream, _):
        async for _ in stream:
            pass


async def be_busy(transport: httpcore.Transport) -> None:
    async with transport.arequest("GET", f"{URL}busy") as (_, _, stream, _):
        async for _ in stream:
            pass


async def switch(transport: httpcore.Transport) -> None:
    headers = {"Connection": "upgrade", "Upgrade": "echo"}
    async with transport.arequest("GET", f"{URL}switch", headers) as (_, _, _, extensions):
        await extensions["connection"].send(b"ping")
        await extensions["connection"].recv()


WHAT = [read, leave, leave_half_way, leave_by_an_error, upload, be_busy, switch]


@pytest.mark.parametrize("strike", ACTS)
@pytest.mark.parametrize("make", [network, stacked, foreign])
@pytest.mark.parametrize("what", WHAT, ids=lambda what: what.__name__)
def test_the_pool_is_whole_wherever_the_exchange_is_struck(
    what: Callable[[httpcore.Transport], Coroutine[Any, Any, None]],
    make: Callable[[Pool], httpcore.Transport],
    strike: str,
) -> None:
    async def scenario(runtime: Simulation) -> None:
        runtime.listen("a.test", 80, serve)
        timeout = httpcore.TimeoutConfig(5, total_timeout=8)
        async with Pool(timeout=timeout, limits=httpcore.PoolLimits(max_connections=1)) as pool:
            transport = make(pool)
            with suppress(httpcore.HTTPCoreError, Cancelled):
                await runtime.victim(what(transport))
            check(runtime, pool)
            if strike != "cut":  # a body that was cut stays incomplete
                with suppress(httpcore.RemoteProtocolError):  # the body that is cut on purpose
                    await read(transport)
                check(runtime, pool)

    act = ACTS[strike]
    times = (1, 2) if strike == "cancelled" else (1,)
    for count in times:
        assert at_every_await(scenario, act, times=count) > 3
    for seed in range(min(SEEDS, 3)):
        at_every_await(scenario, act, make=partial(Simulation, seed, shuffle=True))


# Apps in this process: they have no pool, but tasks that the transport owns.


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Streams in both directions; for a WebSocket, echoes each message until the client has disconnected."""
    try:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
            return
        await send({"type": "http.response.start", "status": 200})
        while (message := await receive()).get("more_body"):
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        await send({"type": "http.response.body", "body": bytes(200_000)})
    finally:
        ended.append(scope["type"])


ended: list[str] = []
begun: list[str] = []


async def counted(scope: Any, receive: Any, send: Any) -> None:
    begun.append(scope["type"])
    await app(scope, receive, send)


async def talk(transport: httpcore.Transport) -> None:
    async with transport.arequest("GET", URL, upgrade()) as (_, _, _, extensions):
        web = WebSocketClient(extensions["connection"])
        for seen in ("text", bytes(100_000)):
            await web.send(seen)
            await web.send(Ping(payload=b"there?"))
            while await web.message() != seen:
                pass
        await web.send(CloseConnection(code=1000))
        assert (await web.message()).code == 1000
        assert await web.message() is None


async def talk_and_leave(transport: httpcore.Transport) -> None:
    async with transport.arequest("CONNECT", URL, CONNECT) as (_, _, _, extensions):
        web = WebSocketClient(extensions["connection"])
        for _ in range(3):
            await web.send(bytes(100_000))  # more than the transport holds for an app


@pytest.mark.parametrize("strike", ["cancelled", "timed out"])
@pytest.mark.parametrize("what", [read, leave, leave_half_way, upload, talk, talk_and_leave], ids=lambda f: f.__name__)
def test_no_app_is_left_running_wherever_its_caller_is_struck(
    what: Callable[[httpcore.Transport], Coroutine[Any, Any, None]], strike: str
) -> None:
    async def scenario(runtime: Simulation) -> None:
        ended.clear()
        begun.clear()
        transport = httpcore.ASGITransport(counted, lifespan="off")
        below: httpcore.Transport = FiveSecondLimit(transport)
        with suppress(httpcore.HTTPCoreError, Cancelled):
            await runtime.victim(what(below))
        await runtime.sleep(0.01)  # the app is notified in a turn of its own
        assert ended == begun
        await read(below)
        await transport.aclose()
        assert ended == begun
        assert ended[-1] == "http"

    for count in (1, 2):
        assert at_every_await(scenario, ACTS[strike], times=count) >= 3


class FiveSecondLimit(httpcore.Middleware):
    """Limits each exchange to five seconds."""

    async def handle(self, request: httpcore.TransportRequest) -> httpcore.TransportResponse:
        request.extensions["timeout"] = 5
        return await self.send(request)
