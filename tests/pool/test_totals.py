"""`http.stats().totals` and `.limits`: each number is tested by name. `proofs/test_trace_sweeps` compares them with the
wire.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from servers import ScriptedServer, answering, ok

import httpcore
from httpcore import PoolLimits, PoolTotals, TimeoutConfig, TimeoutTotals
from httpcore.testing import ServerEnd, Simulation

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"

Body = Callable[[httpcore.ConnectionPool, Simulation], Awaitable[None]]


async def serve(peer: ServerEnd) -> None:
    """Answers by path: /busy the first time with 503, /half, /never, /stuck."""
    seen = 0
    while head := await peer.recv_until(b"\r\n\r\n"):
        path = head.split()[1]
        seen += 1
        if path == b"/busy" and seen == 1:
            await peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        elif path == b"/half":
            await peer.send(OK[:-1])
            await peer.scheduler.sleep(1000)
        elif path in (b"/never", b"/stuck"):
            await peer.scheduler.sleep(1000)
        else:
            await peer.send(OK)


def totals_after(body: Body, **settings: Any) -> PoolTotals:
    runtime = Simulation(watches=False)
    runtime.listen("a.test", 80, serve, window=1000)
    runtime.refuse("refused.test", 80)
    runtime.blackhole("hole.test", 80)

    async def main() -> PoolTotals:
        async with httpcore.ConnectionPool(**settings) as pool:
            await body(pool, runtime)
            return pool.stats().totals

    return runtime.run(main())


async def get(pool: httpcore.ConnectionPool, path: str = "/", **named: Any) -> httpcore.Response:
    return await pool.request("GET", f"http://a.test{path}", **named)


def test_requests_dials_reuses_and_bytes_are_counted() -> None:
    async def body(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
        for _ in range(3):
            await get(pool)

    sent, received = 3 * len(GET), 3 * len(OK)
    assert totals_after(body) == PoolTotals(requests=3, dials=1, reuses=2, bytes_sent=sent, bytes_received=received)


def test_reuses_of_closed_connections_still_count() -> None:
    async def body(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
        for _ in range(2):
            await get(pool)
            await get(pool)
            await runtime.sleep(100)

    totals = totals_after(body)
    assert (totals.dials, totals.reuses) == (2, 2)


def test_a_connection_made_ahead_is_a_dial_and_no_reuse() -> None:
    async def body(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
        for _ in range(2):
            await pool.connect("http://a.test")
        assert pool.stats().totals == PoolTotals(dials=1)
        await get(pool)

    totals = totals_after(body)
    assert (totals.requests, totals.dials, totals.reuses) == (1, 1, 1)


def test_each_attempt_of_a_retry_policy_counts() -> None:
    async def body(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
        with pytest.raises(httpcore.ConnectError):
            await pool.request("GET", "http://refused.test")
        await get(pool, "/busy")

    totals = totals_after(body, retries=httpcore.RetryPolicy(attempts=3))
    assert (totals.requests, totals.dials, totals.failed_dials, totals.retries) == (2, 4, 3, 3)
    assert (totals.resends, totals.reuses) == (0, 1)


def test_a_request_whose_connection_had_died_is_a_resend() -> None:
    runtime = Simulation(watches=False)

    async def leave(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(OK)
        if len(runtime.connections) == 1:
            await peer.recv_until(b"\r\n\r\n")
            peer.reset()
        else:
            await peer.scheduler.sleep(1)

    runtime.listen("a.test", 80, leave)

    async def main() -> None:
        async with httpcore.ConnectionPool() as pool:
            await get(pool)
            await get(pool)
            totals = pool.stats().totals
            assert (totals.requests, totals.resends, totals.retries, totals.dials, totals.reuses) == (2, 1, 0, 2, 1)
            assert totals.bytes_sent == 3 * len(GET) == sum(len(wire.sent) for wire in runtime.connections)

    runtime.run(main())


async def fill(pool: httpcore.ConnectionPool) -> None:
    async with await get(pool, "/half", stream=True):
        await get(pool)


async def dial(pool: httpcore.ConnectionPool) -> None:
    await pool.request("GET", "http://hole.test")


async def be_silent(pool: httpcore.ConnectionPool) -> None:
    await get(pool, "/never")


async def stop_in_the_body(pool: httpcore.ConnectionPool) -> None:
    await get(pool, "/half")


async def upload(pool: httpcore.ConnectionPool) -> None:
    await pool.request("POST", "http://a.test/stuck", body=b"x" * 50_000)


async def take_too_long(pool: httpcore.ConnectionPool) -> None:
    await get(pool, "/never", timeout=TimeoutConfig(None, total_timeout=1))


async def time_out_on_connect(pool: httpcore.ConnectionPool) -> None:
    await pool.connect("http://hole.test")


TIMEOUTS = {
    "a place in the pool": (fill, TimeoutTotals(pool=1)),
    "a dial": (dial, TimeoutTotals(connect=1)),
    "a dial ahead": (time_out_on_connect, TimeoutTotals(connect=1)),
    "a head": (be_silent, TimeoutTotals(read=1)),
    "a body": (stop_in_the_body, TimeoutTotals(read=1)),
    "an upload": (upload, TimeoutTotals(write=1)),
    "all of it": (take_too_long, TimeoutTotals(total=1)),
}


@pytest.mark.parametrize("what", TIMEOUTS)
def test_a_timeout_counts_once_by_its_kind(what: str) -> None:
    act, expected = TIMEOUTS[what]

    async def body(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
        with pytest.raises(httpcore.Timeout):
            await act(pool)

    assert totals_after(body, limits=PoolLimits(max_connections=1)).timeouts == expected


def test_a_cancelled_dial_is_a_failed_one() -> None:
    async def body(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
        task = runtime.spawn(dial(pool))
        await runtime.sleep(1)
        task.cancel()
        await task.wait()

    assert totals_after(body) == PoolTotals(requests=1, dials=1, failed_dials=1)


def test_limits_and_totals_are_in_the_snapshot_alone() -> None:
    limits = PoolLimits(max_connections=7)
    with httpcore.SyncConnectionPool(limits=limits) as http, httpcore.SyncConnectionPool() as other:
        stats = http.stats()
        assert stats.limits == limits
        assert stats.totals == PoolTotals()
        assert stats == other.stats() == replace(stats, totals=PoolTotals(requests=1))


@each_runtime
def test_totals_are_those_of_a_real_server(runtime: Runtime) -> None:
    async def body() -> None:
        with ScriptedServer(answering(ok(b"x"), ok(b"y"))) as server:
            async with runtime.pool() as pool:
                infos = [(await pool.request("GET", server.url)).info for _ in range(2)]
                totals = pool.stats().totals
                assert (totals.requests, totals.dials, totals.reuses) == (2, 1, 1)
                assert totals.bytes_received == len(ok(b"x") + ok(b"y"))
                assert totals.bytes_received == sum(info.bytes_received for info in infos)
                assert totals.bytes_sent == sum(info.bytes_sent for info in infos)

    runtime.run(body)


def test_no_count_is_lost_among_threads() -> None:
    def script(peer: Any) -> None:
        while peer.head():
            peer.send(ok(b"x"))

    def work() -> None:
        for _ in range(40):
            http.request("GET", server.url)

    before = sys.getswitchinterval()
    with ScriptedServer(script) as server, httpcore.SyncConnectionPool() as http:
        sys.setswitchinterval(1e-6)
        try:
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        finally:
            sys.setswitchinterval(before)
        totals = http.stats().totals
        assert (totals.requests, totals.dials + totals.reuses) == (320, 320)
        assert totals.bytes_received == 320 * len(ok(b"x"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_the_child_of_a_fork_counts_from_zero() -> None:
    with ScriptedServer(answering(ok(b"x"))) as server, httpcore.SyncConnectionPool() as http:
        http.request("GET", server.url)
        child = os.fork()
        if not child:
            os._exit(http.stats().totals != PoolTotals())
        assert os.waitpid(child, 0)[1] == 0
        assert http.stats().totals.requests == 1
