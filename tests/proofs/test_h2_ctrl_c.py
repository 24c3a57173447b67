"""Ctrl-C at every line of the HTTP/2 modules, in the deterministic runtime: the other tasks continue at once.

A real Ctrl-C happens between two instructions of one thread. Here it happens at a line of the victim, while the other
tasks are at their awaits. Many schedules are tested, and the clock shows whether a request waited for an event that
never happens.
"""

from __future__ import annotations

import gc
import os
from linecache import getline
from typing import Any

import pytest
from strikes import check, traced
from test_h2_sweeps import SCENARIOS, Scenario, check_wires, listen, make_pool, small_windows, still_works

import httpcore
from httpcore._http2 import connection, dispatch, election, exchange, inbox, liveness, outbox, pump, uploads
from httpcore.testing import Simulation as Runtime
from httpcore.testing import Task

__all__ = ["small_windows"]

STRUCK = (connection, dispatch, election, exchange, inbox, liveness, outbox, pump, uploads)
MODULES = tuple(module.__file__ for module in STRUCK)
STRIDE = int(os.environ.get("HTTPCORE_STRIDE", "31"))
SOON = 3.0
"""Seconds of the runtime's clock in which each request has its response or an error. Each timeout is longer."""


class LineInterrupter:
    """Raises KeyboardInterrupt at one line that the victim reaches, counted over `MODULES`.

    Lines with `with` are left out: tracing reaches them a second time between the end of the block and the release of
    the lock, where CPython does not check for signals. Lines with `try`, where it does not check either, and
    finalisers, whose errors are only printed, are left out too.
    """

    def __init__(self, runtime: Runtime, line: int) -> None:
        self.runtime = runtime
        self.line = line
        self.seen = 0
        self.where = ""

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code.co_filename not in MODULES or code.co_name == "__del__":
            return None
        # Ctrl-C strikes only while the victim runs, which no public name shows in the middle of a line.
        if event == "line" and not self.where and self.runtime._running is self.runtime._victim:
            text = getline(code.co_filename, frame.f_lineno).strip()
            if not text.startswith(("with ", "try:")):
                self.seen += 1
                if self.seen == self.line:
                    self.where = f"{code.co_qualname}, line {frame.f_lineno}: {text}"
                    raise KeyboardInterrupt
        return self


async def interrupted(act: Any) -> None:
    try:
        await act
    except KeyboardInterrupt:
        pass  # the test has raised it


def strike(scenario: Scenario, runtime: Runtime, line: int) -> str:
    """Run the scenario, interrupted at that line; returns the place, "" if the victim ended first."""
    striking = LineInterrupter(runtime, line)

    async def scene() -> None:
        listen(runtime, scenario)
        pool = make_pool(scenario, timeout=httpcore.TimeoutConfig(5.0, pool_timeout=5.0))
        await scenario.before(pool)
        began = runtime.now
        others: list[Task[None]] = [runtime.spawn(one(pool)) for one in scenario.others]
        with traced(striking):
            (await runtime.victim(interrupted(scenario.victim(pool)))).result()
        for one in others:
            await one.wait()
            assert one.error is None or not isinstance(one.error, httpcore.Timeout), one.error
            assert one.error is None or isinstance(one.error, httpcore.HTTPCoreError), one.error
        assert runtime.now - began < SOON
        if pool.stats().leased:
            gc.collect()  # an error and the frames of its traceback hold each other
        # A connection that Ctrl-C ended reports this to the next task, so the test makes each connection check now.
        for slot in pool._leases.ledger.slots():
            connection: Any = slot.connection
            connection._wire.listen()  # no public name makes a connection check
        check(runtime, pool)
        check_wires(pool)
        await still_works(pool)
        assert runtime.now - began < SOON + 1
        await runtime.sleep(1.0)
        check(runtime, pool)
        check_wires(pool)
        await pool.close()
        assert all(connection.client_closed for connection in runtime.connections)

    try:
        runtime.run(scene())
    except BaseException as error:
        error.add_note(f"struck {line}: {striking.where}; seed {runtime.seed}")
        raise
    return striking.where


@pytest.mark.filterwarnings("ignore:a response was dropped unread:ResourceWarning")
@pytest.mark.parametrize("name", SCENARIOS)
def test_ctrl_c_at_any_line_harms_no_other_task(name: str) -> None:
    """Ctrl-C at one of every `STRIDE` lines, with another first line in each scenario; at all lines with
    `HTTPCORE_STRIDE=1`.
    """
    line, lines = 1 + list(SCENARIOS).index(name) % STRIDE, 0
    while strike(SCENARIOS[name], Runtime(), line):
        lines += 1
        line += STRIDE
    assert lines * STRIDE > 50
