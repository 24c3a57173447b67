"""The proof of `requests`, `close(abort=True)` and `drain`: at every await of every scenario.

The scenarios are those of `test_sweeps` and `test_h2_sweeps`; the records of a trace show which requests are in flight.
"""

from __future__ import annotations

from typing import Any

import pytest
import test_h2_sweeps as over_http2
import test_sweeps as over_http11
from records import Records
from test_h2_sweeps import small_windows as small_windows

import httpcore
from httpcore import PoolClosed, RequestEnded, RequestStarted, ResponseStarted
from httpcore.testing import Cancelled, Simulation, Task, at_every_await

TIMEOUT = httpcore.TimeoutConfig(5.0, pool_timeout=20.0)


class Scene:
    """One run of a scenario, with a pool that is traced and struck."""

    def __init__(self) -> None:
        self.pool: Any = None
        self.records: Any = None
        self.struck_at = -1.0

    def check_requests(self) -> None:
        """Requests that have begun and not ended are listed, except those whose body is received but not decoded: they
        hold no connection.
        """
        begun = {record.request: record for record in self.records.events if isinstance(record, RequestStarted)}
        ended = {record.request for record in self.records.events if isinstance(record, RequestEnded)}
        answered = {record.request for record in self.records.events if isinstance(record, ResponseStarted)}
        listed = {one.number: one for one in self.pool.requests()}
        assert len(listed) == len(self.pool.requests())
        assert listed.keys() <= begun.keys() - ended
        assert begun.keys() - ended - listed.keys() <= answered
        for number, one in listed.items():
            assert (one.method, one.url) == (begun[number].method, begun[number].url)

    def abort(self, simulation: Simulation, victim: Task[Any]) -> None:
        self.check_requests()
        self.records.check_open(self.pool)
        self.struck_at = simulation.now
        self.pool._close(abort=True)  # `close` awaits this function; a strike must not wait
        assert self.pool.stats().connections == 0
        assert simulation.open_connections == []
        self.records.check_open(self.pool)

    def check_aborted(self, simulation: Simulation, task: Task[Any]) -> None:
        assert task.error is None or isinstance(task.error, PoolClosed), task.error

    def check_end(self, simulation: Simulation) -> None:
        assert self.pool.requests() == []
        assert (self.pool.stats().leased, self.pool.stats().waiting) == (0, 0)
        self.records.check_open(self.pool)
        self.records.check_requests()


@pytest.mark.parametrize("name", over_http11.SCENARIOS)
def test_abort_at_every_await_ends_all_requests_at_once(name: str) -> None:
    scenario, scene = over_http11.SCENARIOS[name], Scene()

    async def play(simulation: Simulation) -> None:
        scene.struck_at = -1.0
        for host in over_http11.HOSTS:
            simulation.listen(host, 80, over_http11.serve, connect_delay=0.05, delay_there=0.01, delay_back=0.01)
        scene.records = records = Records(simulation)
        scene.pool = pool = httpcore.ConnectionPool(limits=scenario.limits, timeout=TIMEOUT, trace=records)
        await scenario.before(pool)
        others = [simulation.spawn(over_http11.fetch(pool, path, host)) for path, host in scenario.others]
        victim = await simulation.victim(scenario.victim(pool))
        for other in others:
            await other.wait()
        assert scene.struck_at in (-1.0, simulation.now), "all requests end at the time of the interruption"
        for task in (victim, *others):
            scene.check_aborted(simulation, task)
        scene.check_end(simulation)

    assert at_every_await(play, scene.abort) >= 5


@pytest.mark.parametrize("name", over_http2.SCENARIOS)
def test_abort_at_every_await_over_http2_ends_all_requests(name: str) -> None:
    scenario, scene = over_http2.SCENARIOS[name], Scene()

    async def play(simulation: Simulation) -> None:
        scene.struck_at = -1.0
        over_http2.listen(simulation, scenario)
        scene.records = records = Records(simulation)
        scene.pool = pool = over_http2.make_pool(scenario, timeout=TIMEOUT, trace=records)
        await scenario.before(pool)
        others = [simulation.spawn(one(pool)) for one in scenario.others]
        victim = await simulation.victim(scenario.victim(pool))
        for other in others:
            await other.wait()
        for task in (victim, *others):
            scene.check_aborted(simulation, task)
        scene.check_end(simulation)

    assert at_every_await(play, scene.abort) >= 5


@pytest.mark.parametrize("name", over_http11.SCENARIOS)
def test_drain_at_every_await_ends_with_the_last_request(name: str) -> None:
    """Requests that have begun succeed, others are refused, and the drain ends with the last of them."""
    scenario, scene = over_http11.SCENARIOS[name], Scene()
    drains: list[Task[bool]] = []
    ends: list[bool] = []

    async def drain() -> bool:
        done: bool = await scene.pool.drain(100)
        ends.append(scene.pool.requests() == [])
        return done

    def strike(simulation: Simulation, victim: Task[Any]) -> None:
        drains.append(simulation.spawn(drain(), "drain"))

    async def play(simulation: Simulation) -> None:
        drains.clear()
        for host in over_http11.HOSTS:
            simulation.listen(host, 80, over_http11.serve, connect_delay=0.05, delay_there=0.01, delay_back=0.01)
        scene.pool = pool = httpcore.ConnectionPool(limits=scenario.limits, timeout=TIMEOUT)
        await scenario.before(pool)
        others = [simulation.spawn(over_http11.fetch(pool, path, host)) for path, host in scenario.others]
        victim = await simulation.victim(scenario.victim(pool))
        for task in (victim, *others):
            await task.wait()
            assert task.error is None or "before drain" in str(task.error), task.error
        for one in drains:
            await one.wait()
            assert one.result()
        assert pool.stats().connections == pool.stats().idle
        await pool.close()

    assert at_every_await(play, strike) >= 5
    assert all(ends)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_drain_that_is_cancelled_leaves_nothing(shuffle: bool) -> None:
    async def play(simulation: Simulation) -> None:
        simulation.listen("a.test", 80, over_http11.serve, delay_back=0.3)
        pool = httpcore.ConnectionPool()
        other = simulation.spawn(over_http11.fetch(pool, "/one"))
        await simulation.sleep(0.1)
        victim = await simulation.victim(pool.drain(0.6))
        assert victim.error is None or isinstance(victim.error, Cancelled)
        assert victim.lingered == []
        await other.wait()
        assert other.error is None
        assert await pool.drain(0) is True
        await pool.close()

    at_every_await(play, lambda _, victim: victim.cancel(), make=lambda: Simulation(shuffle=shuffle))
