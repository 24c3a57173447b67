"""The strikes of the sweeps, and the checks afterwards. All of them run in the deterministic runtime.

A strike is a cancellation, a clock that jumps past every timeout, or a reset or a cut of every connection.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
from httpcore.testing import Simulation as Runtime
from httpcore.testing import Task

SEEDS = int(os.environ.get("HTTPCORE_SEEDS", "30"))
"""How many random schedules each scenario of `test_sweeps` runs with, in addition to the schedule without `shuffle`.
The other sweeps take fewer: one for 15 of these over HTTP/2, and at most 3 for clients and transports."""


@contextmanager
def traced(trace: Callable[[Any, str, Any], Any]) -> Iterator[None]:
    """Set Python's trace function in this thread, for a strike at a line, such as Ctrl-C."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def cancel(runtime: Runtime, victim: Task[Any]) -> None:
    victim.cancel()


def let_time_pass(runtime: Runtime, victim: Task[Any]) -> None:
    runtime.skip(10.0)


def reset(runtime: Runtime, victim: Task[Any]) -> None:
    for connection in runtime.open_connections:
        connection.reset()


def cut(runtime: Runtime, victim: Task[Any]) -> None:
    for connection in runtime.open_connections:
        connection.cut()


ACTS = {"cancelled": cancel, "timed out": let_time_pass, "reset": reset, "cut": cut}


def check(runtime: Runtime, pool: httpcore.ConnectionPool) -> None:
    """No request holds a connection, dials or waits, and the pool counts all open connections."""
    stats = pool.stats()
    assert (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0), stats
    assert stats.connections == stats.idle
    assert len(runtime.open_connections) == stats.idle
