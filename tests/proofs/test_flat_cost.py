"""The cost of a request grows neither with the number of waiting requests nor with that of idle connections.

The cost is counted in lines of Python that the thread executes: unlike seconds, they are the same on a busy machine.
Where requests go through a network they are httpcore's own lines only: how many requests one turn of the event loop
serves is random, and a turn costs lines as well. Lines cannot show a search inside one call of C, such as
`deque.remove`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from real_servers import Ports
from runtimes import RUNTIMES, Runtime, each_runtime
from servers import free_port, process

import httpcore
from httpcore._backends.base import PIECE

HTTPCORE = os.path.dirname(httpcore.__file__)
MORE = 1.2
SAMPLE = 200
IMPATIENT = httpcore.TimeoutConfig(60, pool_timeout=0)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    with process([sys.executable, "-m", "tests.support.fast_server", str(port)], port):
        yield f"http://127.0.0.1:{port}"


class Lines:
    """Counts the lines that this thread executes between `start` and `stop`, in the files below a directory."""

    def __init__(self, below: str = HTTPCORE) -> None:
        self.count = 0
        self._below = below

    def start(self) -> None:
        self._before = sys.gettrace()  # the trace function of coverage, perhaps
        sys.settrace(self._step)

    def stop(self) -> None:
        sys.settrace(self._before)

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._below):
            return None
        self.count += event == "line"
        return self._step


async def lines_in_a_crowd(runtime: Runtime, url: str, size: int) -> tuple[float, float]:
    """The lines run by a request that waits and gives up beside `size` waiting ones, and by one that is served."""
    asking, serving = Lines(below=""), Lines()
    done = 0
    async with runtime.pool(limits=httpcore.PoolLimits(max_connections=10), timeout=60) as http:
        # These bodies are larger than one read returns, so that each response keeps its connection until it is read.
        held = [await http.request("GET", f"{url}/{2 * PIECE}", stream=True) for _ in range(10)]

        async def fetch() -> None:
            nonlocal done
            assert (await http.request("GET", url)).body == b"Hello, world"
            done += 1
            if done == SAMPLE:
                serving.stop()

        async def watch() -> None:
            await runtime.sleep(0)
            assert http.stats().waiting == size
            asking.start()
            for _ in range(SAMPLE):
                with pytest.raises(httpcore.PoolTimeout):
                    await http.request("GET", url, timeout=IMPATIENT)
            asking.stop()
            assert http.stats().waiting == size
            serving.start()
            for response in held:
                await response.read()

        await runtime.gather(*[fetch] * size, watch)
        assert done == size
    return asking.count / SAMPLE, serving.count / SAMPLE


@pytest.mark.parametrize("runtime", RUNTIMES[:3], ids=lambda runtime: runtime.name)
def test_a_request_costs_the_same_among_ten_thousand_waiters(runtime: Runtime, url: str) -> None:
    few = runtime.run(lines_in_a_crowd, runtime, url, 1_000)
    many = runtime.run(lines_in_a_crowd, runtime, url, 10_000)
    assert many[0] <= MORE * few[0], f"to ask and give up: {many[0]:.0f} lines among 10,000, {few[0]:.0f} among 1,000"
    assert many[1] <= MORE * few[1], f"to be served: {many[1]:.0f} lines among 10,000, {few[1]:.0f} among 1,000"


async def lines_beside_idle_connections(runtime: Runtime, url: str, idle: int) -> float:
    """Lines for each request of a pool that has `idle` connections."""
    async with runtime.pool(limits=httpcore.PoolLimits(max_connections=None)) as http:
        opened = [await http.request("GET", f"{url}/{2 * PIECE}", stream=True) for _ in range(idle)]
        for response in opened:
            await response.read()
        assert http.stats().idle == idle
        lines = Lines()
        lines.start()
        for _ in range(SAMPLE):
            await http.request("GET", url)
        lines.stop()
        assert http.stats().idle == idle
    return lines.count / SAMPLE


@each_runtime
def test_thousand_idle_connections_cost_request_no_more_than_ten(runtime: Runtime, url: str) -> None:
    few = runtime.run(lines_beside_idle_connections, runtime, url, 10)
    many = runtime.run(lines_beside_idle_connections, runtime, url, 1_000)
    assert many <= MORE * few, f"{many:.0f} lines beside 1,000 idle connections, {few:.0f} beside 10"


async def lines_beside_streams(runtime: Runtime, url: str, streams: int) -> float:
    """Lines for each request when this many are on one HTTP/2 connection at once."""
    async with runtime.pool(http1=False, timeout=60) as http:

        async def fetch() -> None:
            assert (await http.request("GET", url)).body == b"Hello, world"

        await fetch()
        lines, rounds = Lines(), max(1, 300 // streams)
        lines.start()
        for _ in range(rounds):
            await runtime.gather(*[fetch] * streams)
        lines.stop()
        assert http.stats().connections == 1
    return lines.count / (rounds * streams)


@pytest.mark.parametrize("runtime", RUNTIMES[0:3:2], ids=lambda runtime: runtime.name)
def test_a_request_costs_the_same_among_three_thousand_streams(runtime: Runtime, nginx: Ports) -> None:
    url = f"http://127.0.0.1:{nginx.plain}/hello"
    few = runtime.run(lines_beside_streams, runtime, url, 100)
    many = runtime.run(lines_beside_streams, runtime, url, 3_000)
    assert many <= MORE * few, f"{many:.0f} lines among 3,000 streams, {few:.0f} among 100"
