"""Retries of the pool: when, how often, resources during a pause, and the state after a fault in a pause."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from h2_peer import H2Peer, Server
from h2_peer import play as play_h2
from runtimes import RUNTIMES, each_runtime
from runtimes import Runtime as RealRuntime
from servers import Peer, ScriptedServer, ok
from strikes import ACTS, cancel, check

import httpcore
from httpcore import RetryPolicy
from httpcore._pool.retrying import draw
from httpcore.testing import Cancelled, ServerEnd, Task
from httpcore.testing import Simulation as Runtime
from httpcore.testing import at_every_await as at_every_point

URL = "http://a.test/"
SURE = RetryPolicy(backoff=1, jitter=0)
"""Pauses of 1, 2 and 4 seconds."""


def answers(*statuses: int | bytes, then: int = 200) -> Callable[[ServerEnd], Coroutine[None, None, None]]:
    """A server that sends these statuses (or heads) one after the other, on any number of connections."""
    left = list(statuses)

    async def serve(peer: ServerEnd) -> None:
        while head := await peer.recv_until(b"\r\n\r\n"):
            if b"Content-Length: " in head:
                await peer.recv_exactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            elif b"chunked" in head:
                await peer.recv_until(b"0\r\n\r\n")
            answer = left.pop(0) if left else then
            if isinstance(answer, int):
                answer = b"HTTP/1.1 %d X\r\nContent-Length: 4\r\n\r\nbody" % answer
            await peer.send(answer)

    return serve


def later(*fields: bytes) -> bytes:
    return b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def play(main: Callable[[Runtime], Coroutine[Any, Any, None]], **named: Any) -> Runtime:
    runtime = Runtime(**named)
    runtime.run(main(runtime))
    return runtime


def times(events: list[httpcore.TraceEvent], kind: type[httpcore.TraceEvent]) -> list[float]:
    return [round(event.at, 6) for event in events if isinstance(event, kind)]


# Tests of when a request is retried, and how often.


def test_failed_connect_is_tried_again_after_pauses_that_double() -> None:
    events: list[httpcore.TraceEvent] = []

    async def main(runtime: Runtime) -> None:
        runtime.refuse("a.test", 80)
        async with httpcore.ConnectionPool(retries=RetryPolicy(backoff=1, jitter=0), trace=events.append) as pool:
            with pytest.raises(httpcore.ConnectError) as caught:
                await pool.request("POST", URL, body=b"x")
            assert caught.value.phase == "connect"
            check(runtime, pool)
            assert runtime.now == 7.0

    assert len(play(main).attempts) == 4
    assert times(events, httpcore.DialStarted) == [0.0, 1.0, 3.0, 7.0]
    retried = [event for event in events if isinstance(event, httpcore.RequestRetried)]
    assert [(event.at, event.attempt, event.pause) for event in retried] == [(0, 2, 1.0), (1, 3, 2.0), (3, 4, 4.0)]
    assert all("refused" in event.reason for event in retried)
    assert times(events, httpcore.RequestFailed) == [7.0]


def test_a_number_of_retries_waits_a_time_with_jitter() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.refuse("a.test", 80)
        async with httpcore.ConnectionPool(retries=2) as pool:
            draws = iter([0.0, 0.5, 0.0])
            # The test replaces the random draws.
            pool._attempts._draw = lambda: next(draws)  # type: ignore[union-attr]
            with pytest.raises(httpcore.ConnectError):
                await pool.request("GET", URL)
            assert runtime.now == pytest.approx(0.5 + 1.0 * 0.75)

    assert len(play(main).attempts) == 3


def test_jitter_is_from_0_up_to_1_and_not_always_the_same() -> None:
    drawn = {draw() for _ in range(100)}
    assert all(0 <= each < 1 for each in drawn)
    assert len(drawn) > 50


def test_a_server_that_comes_up_in_a_pause_is_reached() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.refuse("a.test", 80)

        async def listen_after_pause() -> None:
            await runtime.sleep(2)
            runtime.listen("a.test", 80, answers())

        async with httpcore.ConnectionPool(retries=SURE) as pool:
            task = runtime.spawn(listen_after_pause())
            response = await pool.request("GET", URL)
            assert (response.status_code, response.info.attempts) == (200, 3)
            assert response.info.head_after == 3.0
            await task.wait()

    play(main)


@pytest.mark.parametrize("stream", [False, True])
def test_status_is_retried_and_a_small_answer_keeps_connection(stream: bool) -> None:
    events: list[httpcore.TraceEvent] = []

    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, answers(503, 429))
        async with httpcore.ConnectionPool(retries=SURE, trace=events.append) as pool:
            response = await pool.request("PUT", URL, body=b"payload", stream=stream)
            assert await response.read() == b"body"
            assert (response.status_code, response.info.attempts, response.info.reused) == (200, 3, True)
            check(runtime, pool)

    runtime = play(main)
    assert len(runtime.connections) == 1
    assert runtime.connections[0].sent.count(b"payload") == 3
    assert times(events, httpcore.RequestSent) == [0.0, 1.0, 3.0]
    retried = [event for event in events if isinstance(event, httpcore.RequestRetried)]
    assert [(event.reason, event.attempt, event.pause) for event in retried] == [
        ("status 503", 2, 1.0),
        ("status 429", 3, 2.0),
    ]
    assert times(events, httpcore.RequestFailed) == []


def test_a_large_unwanted_answer_costs_its_connection() -> None:
    large = b"HTTP/1.1 503 Later\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000

    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, answers(large))
        async with httpcore.ConnectionPool(retries=SURE) as pool:
            task = runtime.spawn(pool.request("GET", URL))
            await runtime.sleep(0.5)
            assert pool.stats().connections == 0
            await task.wait()
            assert task.result().status_code == 200

    assert len(play(main).connections) == 2


def test_when_the_attempts_are_used_up_last_answer_is_returned() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, answers(then=503))
        async with httpcore.ConnectionPool(retries=SURE) as pool:
            response = await pool.request("GET", URL)
            assert (response.status_code, response.body, response.info.attempts) == (503, b"body", 4)
            assert runtime.now == 7.0

    play(main)


def test_post_and_a_used_up_body_are_not_sent_again_for_a_status() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, answers(then=503))
        async with httpcore.ConnectionPool(retries=SURE) as pool:
            for method, body in (("POST", b"x"), ("PUT", iter([b"x"]))):
                response = await pool.request(method, URL, body=body)
                assert (response.status_code, response.info.attempts) == (503, 1)
            response = await pool.request("PUT", URL, body=httpcore.ReplayableBody(lambda: [b"x", b"y"]))
            assert response.info.attempts == 4

    runtime = play(main)
    assert b"".join(connection.sent for connection in runtime.connections).count(b"1\r\nx\r\n1\r\ny") == 4


@pytest.mark.parametrize(
    ("fields", "ends", "attempts"),
    [
        ([b"Retry-After: 30"], 30.0, 2),
        ([b"Retry-After: 61"], 0.0, 1),
        ([b"Retry-After: 99999999999999999999"], 0.0, 1),
        ([b"Retry-After: -30"], 1.0, 2),
        ([b"Retry-After: soon"], 1.0, 2),
        ([b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Retry-After: Sun, 06 Nov 1994 08:50:07 GMT"], 30.0, 2),
        ([b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"], 0.0, 1),
        ([b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"Retry-After: Sun, 06 Nov 1994 08:00:00 GMT"], 1.0, 2),
    ],
)
def test_retry_after_is_waited_for_up_to_a_cap(fields: list[bytes], ends: float, attempts: int) -> None:
    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, answers(later(*fields)))
        async with httpcore.ConnectionPool(retries=SURE) as pool:
            response = await pool.request("GET", URL)
            assert response.info.attempts == attempts
            assert response.status_code == (200 if attempts == 2 else 503)
            assert runtime.now == ends

    play(main)


def test_a_pause_that_would_outlive_total_timeout_is_not_begun() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.refuse("a.test", 80)
        runtime.listen("b.test", 80, answers(then=503))
        timeout = httpcore.TimeoutConfig(total_timeout=2.5)
        async with httpcore.ConnectionPool(retries=SURE, timeout=timeout) as pool:
            with pytest.raises(httpcore.ConnectError):
                await pool.request("GET", URL)
            assert runtime.now == 1.0
            response = await pool.request("GET", "http://b.test/")
            assert (response.status_code, response.info.attempts, runtime.now) == (503, 2, 2.0)

    play(main)


def test_a_stale_connection_is_replaced_beside_the_policy() -> None:
    async def once(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await peer.recv_until(b"\r\n\r\n")

    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, once)
        async with httpcore.ConnectionPool(retries=SURE) as pool:
            await pool.request("GET", URL)
            assert (await pool.request("GET", URL)).info.attempts == 2
            assert runtime.now == 0.0
        async with httpcore.ConnectionPool(retries=SURE, retry_stale=False) as pool:
            await pool.request("GET", URL)
            with pytest.raises(httpcore.RemoteProtocolError):
                await pool.request("GET", URL)

    play(main)


def test_over_http2_a_status_is_retried_on_the_same_connection() -> None:
    async def later_twice(peer: H2Peer) -> None:
        await peer.begin()
        while True:
            stream = await peer.whole()
            await peer.answer(stream, b"body", 503 if stream < 5 else 200)

    async def send_request(pool: httpcore.ConnectionPool, server: Server) -> None:
        response = await pool.request("GET", URL)
        assert (response.status_code, response.info.attempts) == (200, 3)
        assert len(server.peers) == 1

    play_h2(send_request, later_twice, retries=SURE)

    async def refuse(peer: H2Peer) -> None:
        await peer.begin()
        while True:
            await peer.answer(await peer.request(), b"body", 503)

    async def converse(pool: httpcore.ConnectionPool, server: Server) -> None:
        response = await pool.request("GET", URL, duplex=True, stream=True)
        assert (response.status_code, response.info.attempts) == (503, 1)
        assert response.connection is not None
        response.connection.close()

    play_h2(converse, refuse, retries=SURE)


def test_over_http2_a_long_unwanted_answer_is_reset() -> None:
    async def without_end(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.whole()
        await peer.head(stream, [(":status", "503")])
        await peer.answer(await peer.whole())
        assert list(peer.resets()) == [stream]

    async def send_request(pool: httpcore.ConnectionPool, server: Server) -> None:
        response = await pool.request("GET", URL)
        assert (response.status_code, response.info.attempts) == (200, 2)
        assert len(server.peers) == 1

    play_h2(send_request, without_end, retries=SURE)


@pytest.mark.parametrize(
    ("retries", "status", "attempts"),
    [(RetryPolicy(attempts=3), 503, 3), (RetryPolicy(attempts=3), 407, 1), (3, 503, 1)],
)
def test_a_refused_tunnel_is_requested_again(retries: Any, status: int, attempts: int) -> None:
    async def main(runtime: Runtime) -> None:
        runtime.listen("proxy.test", 80, answers(then=status))
        async with httpcore.ConnectionPool(retries=retries, proxy="http://proxy.test:80") as pool:
            with pytest.raises(httpcore.ProxyError):
                await pool.request("POST", "https://a.test/", body=b"x")
            check(runtime, pool)

    runtime = play(main)
    assert sum(connection.sent.count(b"CONNECT ") for connection in runtime.connections) == attempts


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("retries", [2, RetryPolicy(attempts=3)])
def test_a_proxy_that_resets_before_the_tunnel_is_tried_again(retries: Any, scheme: str) -> None:
    async def drop(end: ServerEnd) -> None:
        await end.recv(1)
        end.reset()

    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 443, drop)
        runtime.listen("proxy.test", 1080, drop)
        async with httpcore.ConnectionPool(retries=retries, proxy=f"{scheme}://proxy.test:1080") as pool:
            with pytest.raises(httpcore.ProxyError):
                await pool.request("POST", "https://a.test/", body=b"x")
            check(runtime, pool)

    assert len(play(main).connections) == 3


def test_connect_is_never_sent_again_for_a_status() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, answers(then=503))
        async with httpcore.ConnectionPool(retries=RetryPolicy(methods=frozenset({"CONNECT"}))) as pool:
            response = await pool.request("CONNECT", URL, target="b.test:443")
            assert (response.status_code, response.info.attempts) == (503, 1)

    play(main)


# The budget.


def test_a_server_that_fails_for_long_is_not_stormed() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, answers(then=503))
        policy = RetryPolicy(backoff=0.001, budget=10)
        async with httpcore.ConnectionPool(retries=policy) as pool:
            counts = [(await pool.request("GET", URL)).info.attempts for _ in range(200)]
        assert sum(counts) == 200 + 10
        assert counts[:4] == [4, 4, 4, 2]
        assert set(counts[4:]) == {1}

    play(main)


def test_successes_earn_retries() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, answers(*[200] * 10, 503, *[200] * 10, 503))
        async with httpcore.ConnectionPool(retries=RetryPolicy(budget=1, backoff=0)) as pool:
            runtime.refuse("b.test", 80)
            with pytest.raises(httpcore.ConnectError):
                await pool.request("GET", "http://b.test/")
            assert len(runtime.attempts) == 2
            responses = [await pool.request("GET", URL) for _ in range(21)]
            assert [response.info.attempts for response in responses] == [*[1] * 10, 2, *[1] * 9, 2]

    play(main)


# No connection is held during a pause.


def test_a_paused_request_holds_no_place_in_the_pool() -> None:
    async def main(runtime: Runtime) -> None:
        runtime.refuse("a.test", 80)
        runtime.listen("b.test", 80, answers())
        limits = httpcore.PoolLimits(max_connections=1)
        async with httpcore.ConnectionPool(retries=SURE, limits=limits) as pool:
            task = runtime.spawn(pool.request("GET", URL))
            await runtime.sleep(0.5)
            check(runtime, pool)
            response = await pool.request("GET", "http://b.test/")
            assert (response.status_code, runtime.now) == (200, 0.5)
            await task.wait()
            assert isinstance(task.error, httpcore.ConnectError)

    play(main)


def test_closing_the_pool_ends_a_pause_at_once() -> None:
    events: list[httpcore.TraceEvent] = []

    async def main(runtime: Runtime) -> None:
        runtime.refuse("a.test", 80)
        pool = httpcore.ConnectionPool(retries=SURE, trace=events.append)
        task = runtime.spawn(pool.request("GET", URL))
        await runtime.sleep(0.5)
        await pool.close()
        await task.wait()
        assert isinstance(task.error, httpcore.PoolClosed)
        assert task.error.url == URL
        assert task.error.phase == "pause before another attempt"
        assert runtime.now == 0.5
        # A paused request that remained in this set would be woken only by `close`; no public value counts paused
        # requests.
        assert pool._leases.pausing == set()

    play(main)
    assert times(events, httpcore.RequestFailed) == [0.5]


def test_a_request_cancelled_in_a_pause_leaves_nothing() -> None:
    events: list[httpcore.TraceEvent] = []

    async def main(runtime: Runtime) -> None:
        runtime.refuse("a.test", 80)
        async with httpcore.ConnectionPool(retries=SURE, trace=events.append) as pool:
            task = runtime.spawn(pool.request("GET", URL))
            await runtime.sleep(0.5)
            task.cancel()
            await task.wait()
            assert isinstance(task.error, Cancelled)
            # No public value counts paused requests.
            assert pool._leases.pausing == set()
            check(runtime, pool)

    play(main)
    assert times(events, httpcore.RequestFailed) == [0.5]


# Strikes at every await.


async def refused_then_served(runtime: Runtime, pool: httpcore.ConnectionPool) -> None:
    runtime.refuse("a.test", 80, connect_delay=0.05)

    async def listen_after_pause() -> None:
        await runtime.sleep(1.5)
        runtime.listen("a.test", 80, answers(), connect_delay=0.05, delay_there=0.01, delay_back=0.01)

    runtime.spawn(listen_after_pause())


async def answered_later(runtime: Runtime, pool: httpcore.ConnectionPool) -> None:
    runtime.listen("a.test", 80, answers(503, later()), connect_delay=0.05, delay_there=0.01, delay_back=0.01)


async def stays_refused(runtime: Runtime, pool: httpcore.ConnectionPool) -> None:
    runtime.refuse("a.test", 80, connect_delay=0.05)


SCENES = {"refused": stays_refused, "refused, then served": refused_then_served, "later, then served": answered_later}


def scene_of(
    before: Callable[[Runtime, httpcore.ConnectionPool], Coroutine[Any, Any, None]],
    allowed: tuple[type[BaseException], ...],
    pools: list[httpcore.ConnectionPool],
) -> Callable[[Runtime], Coroutine[Any, Any, None]]:
    async def scene(runtime: Runtime) -> None:
        limits = httpcore.PoolLimits(max_connections=1)
        pool = httpcore.ConnectionPool(retries=SURE, limits=limits, timeout=httpcore.TimeoutConfig(total_timeout=60))
        pools.append(pool)
        await before(runtime, pool)
        victim = await runtime.victim(pool.request("PUT", URL, body=b"x"))
        assert victim.error is None or isinstance(victim.error, allowed), victim.error
        assert victim.lingered == [], "a cancelled task awaits nothing"
        # No public value counts paused requests.
        assert pool._leases.pausing == set()
        check(runtime, pool)
        # No public name shows whether the strike has closed the pool.
        if not pool._leases.ledger.closed:
            runtime.listen("b.test", 80, answers())
            assert (await pool.request("GET", "http://b.test/")).status_code == 200
        await pool.close()
        assert all(connection.client_closed for connection in runtime.connections)

    return scene


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", SCENES)
def test_a_retried_request_struck_at_any_await_leaves_nothing(name: str, act: str) -> None:
    scene = scene_of(SCENES[name], (Cancelled, httpcore.HTTPCoreError), [])
    for number in (1, 2):
        assert at_every_point(scene, ACTS[act], times=number) >= 6


@pytest.mark.parametrize("name", SCENES)
def test_cancelled_retries_in_random_schedules_leave_nothing(name: str) -> None:
    scene = scene_of(SCENES[name], (Cancelled, httpcore.ConnectError), [])
    for seed in range(6):
        at_every_point(scene, cancel, make=partial(Runtime, seed, shuffle=True, checkpoints=seed % 2 == 0))


@pytest.mark.parametrize("name", SCENES)
def test_a_pool_closed_at_any_await_of_a_retry_leaves_nothing(name: str) -> None:
    pools: list[httpcore.ConnectionPool] = []

    def close(runtime: Runtime, victim: Task[Any]) -> None:
        # A strike must not wait, so it calls the plain function that `close()` calls.
        pools[-1]._close()

    assert at_every_point(scene_of(SCENES[name], (httpcore.PoolClosed, httpcore.ConnectError), pools), close) >= 6


# Real sockets, in every runtime.


QUICK = RetryPolicy(backoff=0.01, max_backoff=0.02)


@pytest.fixture
def busy_at_first() -> Iterator[ScriptedServer]:
    """Answers 503 to two of three requests, and 200 to each third one."""
    count = [0]

    def script(peer: Peer) -> None:
        while peer.head():
            count[0] += 1
            peer.send(later() if count[0] % 3 else ok(b"served"))

    with closing(ScriptedServer(script)) as server:
        yield server
    assert not server.failures


@each_runtime
def test_a_request_to_a_busy_server_is_retried(runtime: RealRuntime, busy_at_first: ScriptedServer) -> None:
    async def body() -> None:
        async with runtime.pool(retries=QUICK) as pool:
            for _ in range(3):
                response = await pool.request("GET", busy_at_first.url)
                assert (response.body, response.info.attempts) == (b"served", 3)
            assert pool.stats().leased == 0

    runtime.run(body)
    assert busy_at_first.connections == 1


@each_runtime
def test_a_port_without_a_listener_is_tried_again(runtime: RealRuntime) -> None:
    with closing(socket.socket()) as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/"
        events: list[httpcore.TraceEvent] = []

        async def body() -> None:
            async with runtime.pool(retries=QUICK, trace=events.append) as pool:
                with pytest.raises(httpcore.ConnectError):
                    await pool.request("GET", url)

        runtime.run(body)
    assert len(times(events, httpcore.DialStarted)) == 4


@each_runtime
def test_closing_a_real_pool_ends_its_pauses(runtime: RealRuntime) -> None:
    with closing(socket.socket()) as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/"
        paused = threading.Event()

        def receive(event: httpcore.TraceEvent) -> None:
            if isinstance(event, httpcore.RequestRetried):
                paused.set()

        async def body() -> None:
            pool = runtime.pool(retries=RetryPolicy(backoff=500, max_backoff=500), trace=receive)

            async def send_request() -> None:
                with pytest.raises(httpcore.PoolClosed):
                    await pool.request("GET", url)

            async def close() -> None:
                while not paused.is_set():
                    await runtime.sleep(0.005)
                await pool.close()

            began = time.monotonic()
            await runtime.gather(send_request, close)
            assert time.monotonic() - began < 60

        runtime.run(body)


def test_every_runtime_was_tried() -> None:
    assert {runtime.name for runtime in RUNTIMES} == {"asyncio", "uvloop", "trio", "threads"}
