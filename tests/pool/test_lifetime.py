"""`max_connection_lifetime` with a pool in use, over both protocols, by a virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from h2_peer import H2Peer, Left

import httpcore
from httpcore.testing import ServerEnd, Simulation

LIMITS = httpcore.PoolLimits(keepalive_expiry=None, max_connection_lifetime=60.0)


async def serve_http11(peer: ServerEnd) -> None:
    while head := await peer.recv_until(b"\r\n\r\n"):
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await peer.scheduler.sleep(100.0 if b"/slow" in head else 0.0)
        await peer.send(b"half")


async def serve_http2(end: ServerEnd) -> None:
    import h2.events

    peer = H2Peer(end, 1)
    with suppress(Left):
        await peer.begin()
        while True:
            event = await peer.next(h2.events.StreamEnded)
            stream: Any = event.stream_id
            slow = peer.path(stream) == "/slow"
            end.scheduler.spawn(answer(peer, end, stream, 100.0 if slow else 0.0), "answer")


async def answer(peer: H2Peer, end: ServerEnd, stream: int, pause: float) -> None:
    await peer.head(stream)
    await peer.data(stream, b"half")
    await end.scheduler.sleep(pause)
    await peer.data(stream, b"half", end=True)


each_protocol = pytest.mark.parametrize(
    ("serve", "options"),
    [(serve_http11, {}), (serve_http2, {"http1": False})],
    ids=["HTTP/1.1", "HTTP/2"],
)


def play(serve: Any, body: Callable[[Simulation, httpcore.ConnectionPool], Any], **options: Any) -> Simulation:
    simulation = Simulation()
    simulation.listen("a.test", 80, serve)

    async def scene() -> None:
        pool = httpcore.ConnectionPool(limits=LIMITS, timeout=None, **options)
        await body(simulation, pool)
        await pool.close()

    simulation.run(scene())
    return simulation


async def fetch(pool: httpcore.ConnectionPool, path: str = "/") -> None:
    assert (await pool.request("GET", f"http://a.test{path}")).body == b"halfhalf"


@each_protocol
def test_a_pool_in_constant_use_makes_a_new_connection_in_time(serve: Any, options: dict[str, Any]) -> None:
    async def body(simulation: Simulation, pool: httpcore.ConnectionPool) -> None:
        for number in range(31):
            await fetch(pool)
            assert len(simulation.open_connections) == 1
            assert len(simulation.connections) == 1 + (number * 10) // 60
            await simulation.sleep(10.0)

    play(serve, body, **options)


@each_protocol
def test_a_running_exchange_is_never_cut_by_age(serve: Any, options: dict[str, Any]) -> None:
    async def body(simulation: Simulation, pool: httpcore.ConnectionPool) -> None:
        slow = simulation.spawn(fetch(pool, "/slow"), "slow")
        await simulation.sleep(70.0)
        await fetch(pool)  # this request uses another connection
        assert len(simulation.open_connections) == 2
        await slow.wait()
        assert slow.error is None
        await fetch(pool)
        assert len(simulation.connections) == 2
        assert len(simulation.open_connections) == 1

    play(serve, body, **options)
