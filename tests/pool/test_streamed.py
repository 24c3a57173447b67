"""`stream` of both pools: entered once, and closed however the block is left."""

from __future__ import annotations

import gc
import inspect
import warnings
from typing import Any

import pytest

import httpcore
from httpcore.testing import ServerEnd, Simulation, at_every_await, cancel

URL = "http://a.test/"


async def serve(peer: ServerEnd) -> None:
    while await peer.recv_until(b"\r\n\r\n"):
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000), piece=30_000, delay=0.1)


def run(body: Any, **settings: Any) -> None:
    async def main() -> None:
        simulation.listen("a.test", 80, serve)
        async with httpcore.ConnectionPool(**settings) as http:
            await body(http)
            stats = http.stats()
            assert (stats.leased, stats.waiting, stats.busy) == (0, 0, 0)

    simulation = Simulation()
    simulation.run(main())


def test_a_response_is_streamed_inside_the_block() -> None:
    async def body(http: httpcore.ConnectionPool) -> None:
        async with http.stream("GET", URL) as response:
            assert http.stats().leased == 1
            assert sum([len(piece) async for piece in response.raw()]) == 100_000
        async with http.stream("GET", URL) as response:
            assert len(await response.read()) == 100_000

    run(body)


def test_a_response_is_streamed_inside_the_block_in_threads() -> None:
    simulation = Simulation()
    simulation.listen("a.test", 80, serve)
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend) as http:
        with http.stream("GET", URL) as response:
            assert http.stats().leased == 1
            assert sum(len(piece) for piece in response.raw()) == 100_000
        with pytest.raises(ZeroDivisionError), http.stream("GET", URL) as response:
            raise ZeroDivisionError
        assert response.is_closed
        assert http.stats().leased == 0


@pytest.mark.parametrize("reads", [False, True])
def test_leaving_closes_the_response_also_by_an_error(reads: bool) -> None:
    async def body(http: httpcore.ConnectionPool) -> None:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with http.stream("GET", URL) as response:
                if reads:
                    await anext(aiter(response.raw()))
                raise ZeroDivisionError
        assert response.is_closed

    run(body)


def test_an_error_of_the_request_is_raised_on_entering() -> None:
    async def body(http: httpcore.ConnectionPool) -> None:
        with pytest.raises(httpcore.InvalidURL):
            async with http.stream("GET", "/path"):
                raise AssertionError
        with pytest.raises(httpcore.ConnectError):
            async with http.stream("GET", "http://nothing.test/"):
                raise AssertionError

    run(body)


def test_a_streamed_response_is_entered_once() -> None:
    async def body(http: httpcore.ConnectionPool) -> None:
        streamed = http.stream("GET", URL)
        async with streamed:
            pass
        with pytest.raises(httpcore.LocalProtocolError, match="a request is entered once"):
            async with streamed:
                pass

    run(body)


def test_the_pool_is_whole_wherever_a_caller_inside_is_cancelled() -> None:
    async def use(http: httpcore.ConnectionPool) -> None:
        async with http.stream("GET", URL) as response:
            async for _ in response.raw():
                pass

    async def scenario(simulation: Simulation) -> None:
        simulation.listen("a.test", 80, serve)
        async with httpcore.ConnectionPool() as http:
            await simulation.victim(use(http))
            assert http.stats().leased == 0

    for times in (1, 2):
        assert at_every_await(scenario, cancel, times=times) > 5


def test_a_stream_that_is_never_entered_warns() -> None:
    http = httpcore.ConnectionPool()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        http.stream("GET", URL)
        gc.collect()
    assert ["was never awaited" in str(each.message) for each in caught] == [True]


def test_stream_has_the_arguments_of_request() -> None:
    for pool in (httpcore.ConnectionPool, httpcore.SyncConnectionPool):
        request, stream = (inspect.signature(getattr(pool, name)).parameters for name in ("request", "stream"))
        assert {name: p.default for name, p in stream.items()} == {
            name: p.default for name, p in request.items() if name != "stream"
        }
