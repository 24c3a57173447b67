"""Retries, rate and concurrency: tables of times on the virtual clock, and tests with each real runtime."""

from __future__ import annotations

import time
from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from seam import entered, fetch, opened
from servers import ScriptedServer, answering, free_port, ok

import httpcore
from httpcore import RetryPolicy
from httpcore.testing import Cancelled, Simulation, at_every_await, cancel

URL = "http://a.test/"
SURE = RetryPolicy(backoff=1, jitter=0)
"""Pauses of 1, 2 and 4 seconds."""


def noting(simulation: Simulation, *statuses: Any) -> tuple[httpcore.MockTransport, list[float]]:
    """Answers with these statuses, headers or errors, then with 200; and records the times of the requests."""
    left, times = list(statuses), []

    async def handler(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> Any:
        times.append(round(simulation.now, 6))
        each = left.pop(0) if left else 200
        if isinstance(each, Exception):
            raise each
        status, fields = each if isinstance(each, tuple) else (each, {})
        return httpcore.Response(status, headers=fields, body=b"".join([piece async for piece in stream]))

    return httpcore.MockTransport(handler), times


# Retries.

REFUSED = httpcore.ConnectError("refused")
LATER = (503, {"Retry-After": "7"})


@pytest.mark.parametrize(
    ("policy", "statuses", "times", "end"),
    [
        (SURE, [], [0], 200),
        (SURE, [503], [0, 1], 200),
        (SURE, [503, 429, 502], [0, 1, 3, 7], 200),
        (SURE, [503, 503, 503, 503], [0, 1, 3, 7], 503),
        (SURE, [REFUSED, 503], [0, 1, 3], 200),
        (SURE, [500], [0], 500),
        (SURE, [LATER], [0, 7], 200),
        (SURE, [(503, {"Retry-After": "61"})], [0], 503),
        (SURE, [httpcore.ReadError("cut")], [0], httpcore.ReadError),
        (SURE, [httpcore.TLSError("bad")], [0], httpcore.TLSError),
        (3, [REFUSED, REFUSED, REFUSED], [0, 0.5, 1.5, 3.5], 200),
        (3, [503], [0], 503),
        (0, [REFUSED], [0], httpcore.ConnectError),
        (RetryPolicy(backoff=1, jitter=0, attempts=2), [503, 503], [0, 1], 503),
        (RetryPolicy(backoff=1, jitter=0.5), [503], [0, 0.75], 200),
        (RetryPolicy(backoff=1, jitter=0, budget=1), [503, 503], [0, 1], 503),
    ],
)
def test_a_policy_decides_when_a_request_is_sent_again(
    policy: Any, statuses: Any, times: list[float], end: Any
) -> None:
    simulation = Simulation()
    below, seen = noting(simulation, *statuses)
    jitterless = isinstance(policy, int)

    async def main() -> None:
        transport = httpcore.Retries(policy, below, draw=lambda: 0.0 if jitterless else 0.5)
        try:
            async with transport.arequest("GET", URL) as response:
                assert response[0] == end
        except httpcore.HTTPCoreError as error:
            assert type(error) is end  # noqa: PT017

    simulation.run(main())
    assert seen == times


@pytest.mark.parametrize(
    ("method", "stream", "headers", "times"),
    [
        ("POST", b"x", None, [0]),
        ("POST", b"x", {"Idempotency-Key": "1"}, [0, 1]),
        ("PUT", b"x", None, [0, 1]),
        ("QUERY", b"x", None, [0, 1]),
        ("PUT", iter([b"x"]), None, [0]),
        ("PUT", httpcore.ReplayableBody(lambda: [b"x"]), None, [0, 1]),
    ],
)
def test_only_repeatable_requests_are_sent_again(method: str, stream: Any, headers: Any, times: list[float]) -> None:
    simulation = Simulation()
    left = [503]
    seen = []

    async def handler(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> Any:
        seen.append(simulation.now)
        assert b"".join([piece async for piece in stream]) == b"x"
        return httpcore.Response(left.pop() if left else 200)

    async def main() -> None:
        transport = httpcore.Retries(SURE, httpcore.MockTransport(handler))
        async with transport.arequest(method, URL, headers, stream):
            pass

    simulation.run(main())
    assert seen == times


def test_omitted_request_settings_are_the_transports() -> None:
    seen = []

    def handler(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> Any:
        timeout = extensions["timeout"]
        seen.append(httpcore.TimeoutConfig(7, min_rate=9).overlaid(timeout))
        return httpcore.Response(200)

    partial = httpcore.TimeoutConfig(read=3, total=60)
    with httpcore.Retries(SURE, httpcore.MockTransport(handler)).request("GET", URL, extensions={"timeout": partial}):
        pass
    assert seen[0].total_timeout == pytest.approx(60, abs=5)
    assert seen[0].replace(total=None) == httpcore.TimeoutConfig(7, read=3, min_rate=9)


@pytest.mark.parametrize(("total", "times"), [(0.5, [0]), (1.5, [0, 1]), (3.5, [0, 1, 3])])
def test_a_total_timeout_bounds_all_attempts(total: float, times: list[float]) -> None:
    simulation = Simulation()
    below, seen = noting(simulation, 503, 503, 503, 503)

    async def main() -> None:
        timeout = httpcore.TimeoutConfig(total_timeout=total)
        async with httpcore.Retries(SURE, below).arequest("GET", URL, extensions={"timeout": timeout}) as response:
            assert response[0] == 503

    simulation.run(main())
    assert seen == times


@each_runtime
def test_a_server_that_comes_up_late_is_reached(runtime: Runtime) -> None:
    async def body() -> None:
        port = free_port()
        policy = RetryPolicy(backoff=0.05, attempts=8)
        async with entered(runtime, httpcore.Retries(policy)) as transport:
            started: list[ScriptedServer] = []

            async def later() -> Any:
                import socket

                await runtime.sleep(0.05)
                listener = socket.create_server(("127.0.0.1", port))
                started.append(ScriptedServer(answering(ok(b"late")), listener=listener))
                return None

            fetched, _ = await runtime.gather(
                lambda: fetch(runtime, transport, "GET", f"http://127.0.0.1:{port}/"), later
            )
            assert fetched.body == b"late"
            started[0].close()

    runtime.run(body)


@each_runtime
def test_a_response_that_is_retried_holds_no_connection(runtime: Runtime) -> None:
    busy = b"HTTP/1.1 503 Later\r\nContent-Length: 3\r\n\r\nbsy"

    async def body() -> None:
        with ScriptedServer(answering(busy, busy, ok(b"done"))) as server:
            network = httpcore.HTTPTransport(limits=httpcore.PoolLimits(max_connections=1))
            transport = httpcore.Retries(RetryPolicy(backoff=0.01), httpcore.ConcurrencyLimit(1, network))
            async with entered(runtime, transport):
                assert (await fetch(runtime, transport, "GET", server.url)).body == b"done"
                assert server.connections == 1

    runtime.run(body)


# Rates.


@pytest.mark.parametrize(
    ("requests", "seconds", "burst", "arrivals", "times"),
    [
        (1, 1, 1, [0, 0, 0], [0, 1, 2]),
        (2, 1, 1, [0, 0, 0], [0, 0.5, 1]),
        (10, 1, 1, [0, 0.05, 0.3], [0, 0.1, 0.3]),
        (1, 1, 3, [0, 0, 0, 0, 0], [0, 0, 0, 1, 2]),
        (1, 1, 2, [0, 0, 5, 5, 5], [0, 0, 5, 5, 6]),  # after a rest, exactly the burst is allowed again
        (1, 1, 1, [0, 0, 10], [0, 1, 10]),
        (60, 60, 1, [0, 0], [0, 1]),
        (0.5, 1, 1, [0, 0], [0, 2]),
    ],
)
def test_a_rate_decides_when_each_request_is_sent(
    requests: float, seconds: float, burst: int, arrivals: list[float], times: list[float]
) -> None:
    simulation = Simulation()
    below, seen = noting(simulation)
    transport = httpcore.RateLimit(requests, seconds, burst=burst, transport=below)

    async def one(at: float) -> None:
        await simulation.sleep(at)
        async with transport.arequest("GET", URL):
            pass

    async def main() -> None:
        for task in [simulation.spawn(one(at)) for at in arrivals]:
            await task.wait()

    simulation.run(main())
    assert seen == times


def test_each_origin_has_a_rate_of_its_own() -> None:
    simulation = Simulation()
    below, seen = noting(simulation)
    transport = httpcore.RateLimit(1, transport=below)

    async def main() -> None:
        for url in ("http://a.test/", "http://b.test/", "https://a.test/", "http://a.test:81/", "http://a.test:80/"):
            async with transport.arequest("GET", url):
                pass

    simulation.run(main())
    assert seen == [0, 0, 0, 0, 1]


def test_a_turn_beyond_the_pool_timeout_is_refused_at_once() -> None:
    simulation = Simulation()
    below, seen = noting(simulation)
    transport = httpcore.RateLimit(1, transport=below)

    async def main() -> None:
        for _ in range(3):
            try:
                async with transport.arequest("GET", URL, extensions={"timeout": 0.5}):
                    pass
            except httpcore.PoolTimeout as error:
                assert error.limit == 0.5  # noqa: PT017
        assert simulation.now == 0

    simulation.run(main())
    assert seen == [0]


def test_a_cancelled_wait_returns_its_turn() -> None:
    simulation = Simulation()
    below, seen = noting(simulation)
    transport = httpcore.RateLimit(1, transport=below)

    async def one() -> None:
        async with transport.arequest("GET", URL):
            pass

    async def main() -> None:
        await one()
        task = simulation.spawn(one())
        await simulation.sleep(0.5)
        task.cancel()
        await task.wait()
        await one()

    simulation.run(main())
    assert seen == [0, 1]


@each_runtime
def test_a_rate_holds_in_each_runtime(runtime: Runtime) -> None:
    async def body() -> None:
        mock = httpcore.MockTransport(lambda *_: httpcore.Response(204))
        transport = httpcore.RateLimit(100, transport=mock)
        began = time.monotonic()
        await runtime.gather(*[lambda: fetch(runtime, transport, "GET", URL) for _ in range(6)])
        assert 0.04 <= time.monotonic() - began < 5

    runtime.run(body)


@pytest.mark.parametrize("arguments", [(0,), (-1,), (1, 0), ("1",), (None,), (float("inf"),)])
def test_a_rate_of_a_wrong_type_or_value_is_refused(arguments: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"requests|seconds"):
        httpcore.RateLimit(*arguments)


# Requests at once.


@each_runtime
@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_requests_than_the_limit_run_at_once(runtime: Runtime, limit: int) -> None:
    async def body() -> None:
        now = most = 0
        mock = httpcore.MockTransport(lambda *_: httpcore.Response(200, body=b"x"))
        transport = httpcore.ConcurrencyLimit(limit, mock)

        async def one() -> None:
            nonlocal now, most
            async with opened(runtime, transport, "GET", URL):
                now += 1
                most = max(most, now)
                await runtime.sleep(0.005)
                now -= 1

        await runtime.gather(*[one for _ in range(10)])
        assert most == limit

    runtime.run(body)


@each_runtime
def test_the_wait_for_a_place_has_the_pool_timeout(runtime: Runtime) -> None:
    async def body() -> None:
        transport = httpcore.ConcurrencyLimit(1, httpcore.MockTransport(lambda *_: httpcore.Response(204)))
        async with opened(runtime, transport, "GET", URL):
            with pytest.raises(httpcore.PoolTimeout, match="no request ended in time"):
                await fetch(runtime, transport, "GET", URL, extensions={"timeout": 0.01})
        assert (await fetch(runtime, transport, "GET", URL)).status_code == 204

    runtime.run(body)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "1"])
def test_a_limit_of_a_wrong_type_or_value_is_refused(limit: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="limit is"):
        httpcore.ConcurrencyLimit(limit)


@pytest.mark.parametrize("times", [1, 2])
def test_a_wait_that_is_cancelled_anywhere_loses_no_place(times: int) -> None:
    async def scenario(simulation: Simulation) -> None:
        below, _ = noting(simulation)
        transport = httpcore.ConcurrencyLimit(1, below)

        async def one(hold: float) -> None:
            async with transport.arequest("GET", URL):
                await simulation.sleep(hold)

        others = [simulation.spawn(one(0.1)) for _ in range(2)]
        await simulation.sleep(0)
        try:
            await simulation.victim(one(0.1))
        except Cancelled:
            pass
        for task in others:
            await task.wait()
        begin = simulation.now
        await one(0)
        assert simulation.now == begin, "the limit has lost a place"

    assert at_every_await(scenario, cancel, times=times) > 3
