"""The proof of traces: at every await of every scenario, the records agree with the simulated wire.

The scenarios and the strikes are those of `test_sweeps` and `test_h2_sweeps`. Three more values are checked.
`error.safe_to_retry` is compared with the sent bytes over HTTP/1.1, and with the server's log of requests over HTTP/2;
the timing of each response and error with the records; and `stats().totals`, before and after each strike, with records
and wire.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import test_h2_sweeps as over_http2
import test_sweeps as over_http11
from records import Records, check_timing
from strikes import ACTS
from test_h2_sweeps import small_windows as small_windows

import httpcore
from httpcore import HTTPCoreError
from httpcore.testing import Simulation, Task, at_every_await

TIMEOUT = httpcore.TimeoutConfig(5.0, pool_timeout=20.0)
Act = Callable[[Simulation, Task[Any]], None]

safe: set[bool] = set()


class TimedPool(httpcore.ConnectionPool):
    """Compares the timing of each response that it returns, and of each error, with the records."""

    records: Records

    async def request(self, *arguments: Any, **named: Any) -> httpcore.Response:
        try:
            response = await super().request(*arguments, **named)
        except HTTPCoreError as error:
            if error.request_number is not None:
                check_timing(error.timing, self.records.of(error.request_number))
            raise
        info = response.info
        assert info.request_number is not None
        check_timing(info.timing, self.records.of(info.request_number))
        return response


class Scene:
    """One run of a scenario, with a pool that is traced."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self.pool: httpcore.ConnectionPool | None = None
        self.records: Records | None = None

    def strike(self, simulation: Simulation, victim: Task[Any]) -> None:
        assert self.pool is not None
        assert self.records is not None
        self.records.check_open(self.pool)
        self.records.check_totals(self.pool)
        self._act(simulation, victim)
        self.records.check_open(self.pool)
        self.records.check_totals(self.pool)

    async def finish(self, simulation: Simulation) -> None:
        assert self.pool is not None
        assert self.records is not None
        self.records.check_open(self.pool)
        self.records.check_requests()
        self.records.check_totals(self.pool)
        await self.pool.close()
        self.records.check_open(self.pool)
        assert self.pool.stats().open == 0


def check_safety(error: BaseException | None, reached: Callable[[str], bool], *, exactly: bool) -> None:
    """Check `safe_to_retry`; `reached` returns whether a server received a part of the request for a path."""
    if not isinstance(error, HTTPCoreError):
        return
    assert error.safe_to_retry is not None, error
    assert error.url is not None
    safe.add(error.safe_to_retry)
    was_reached = reached(urlsplit(error.url).path)
    assert not (error.safe_to_retry and was_reached), error
    assert not exactly or error.safe_to_retry is not was_reached, error


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", over_http11.SCENARIOS)
def test_records_are_true_at_every_await(name: str, act: str) -> None:
    scenario = over_http11.SCENARIOS[name]
    scene = Scene(ACTS[act])

    async def play(simulation: Simulation) -> None:
        for host in over_http11.HOSTS:
            simulation.listen(
                host, 80, over_http11.serve, connect_delay=0.05, delay_there=0.01, delay_back=0.01, window=65536
            )
        scene.records = records = Records(simulation)
        scene.pool = pool = TimedPool(limits=scenario.limits, timeout=TIMEOUT, trace=records)
        pool.records = records
        await scenario.before(pool)
        others = [simulation.spawn(over_http11.fetch(pool, path, host)) for path, host in scenario.others]
        victim = await simulation.victim(scenario.victim(pool))
        for other in others:
            await other.wait()
        for task in (victim, *others):
            check_safety(task.error, records.was_sent, exactly=True)
        records.check_heads()
        await scene.finish(simulation)

    assert at_every_await(play, scene.strike) >= 5


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", over_http2.SCENARIOS)
def test_records_are_true_at_every_await_over_http2(name: str, act: str) -> None:
    scenario = over_http2.SCENARIOS[name]
    scene = Scene(ACTS[act])

    async def play(simulation: Simulation) -> None:
        hosts = over_http2.listen(simulation, scenario)
        scene.records = records = Records(simulation)
        scene.pool = pool = over_http2.make_pool(scenario, TimedPool, timeout=TIMEOUT, trace=records)
        assert isinstance(pool, TimedPool)
        pool.records = records
        await scenario.before(pool)
        others = [simulation.spawn(one(pool)) for one in scenario.others]
        victim = await simulation.victim(scenario.victim(pool))
        for other in others:
            await other.wait()

        def reached(path: str) -> bool:
            return any(what.endswith(f" {path}") for host in hosts.values() for what in host.acted)

        for task in (victim, *others):
            check_safety(task.error, reached, exactly=False)
        await scene.finish(simulation)

    assert at_every_await(play, scene.strike) >= 5


def test_the_sweeps_saw_both_answers() -> None:
    """This is the last test in the file: it checks that the sweeps have compared both values."""
    assert safe == {True, False}
