"""Inject a fault at every await of a piece of code: cancel it, let time pass, cut or reset its connections.

A scenario is run once to count the moments of its victim, the task to test, and then once for each moment, with the
strike at that moment. This finds a clean-up that fails at one await out of fifty. The note of the exception names that
await.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

from .scheduler import Task
from .simulation import Simulation

__all__ = ["Scenario", "Strike", "at_every_await", "cancel", "cut_connections", "reset_connections", "skip_time"]

Scenario = Callable[[Simulation], Coroutine[object, None, object]]
"""The code of each run: it awaits `simulation.victim(...)` once, then checks the outcome."""

Strike = Callable[[Simulation, Task[object]], object]
"""The fault to inject: a function that is called at the moment with the simulation and the victim."""


def cancel(simulation: Simulation, victim: Task[object]) -> None:
    """A strike: cancel the victim."""
    victim.cancel()


def reset_connections(simulation: Simulation, victim: Task[object]) -> None:
    """A strike: every open connection is reset."""
    for connection in simulation.open_connections:
        connection.reset()


def cut_connections(simulation: Simulation, victim: Task[object]) -> None:
    """A strike: from now on nothing arrives on any open connection, and neither end is notified."""
    for connection in simulation.open_connections:
        connection.cut()


def skip_time(seconds: float) -> Strike:
    """A strike: the clock jumps by `seconds`, past every shorter timeout."""

    def strike(simulation: Simulation, victim: Task[object]) -> None:
        simulation.skip(seconds)

    return strike


def at_every_await(
    scenario: Scenario,
    strike: Strike,
    *,
    times: int = 1,
    make: Callable[[], Simulation] = Simulation,
) -> int:
    """Run `scenario` in a new simulation once for every moment of its victim, and strike at that moment.

    The scenario awaits `simulation.victim(coro)` once and then checks the outcome. The moments are: before the first
    turn, and for each await just after the victim begins to wait and just before it goes on (so that the awaited event
    has already happened). With `times=2` the strike is repeated at the same moment of the victim's next await, if there
    is one: for example, a cancelled victim is cancelled again in its clean-up.

    Arguments:
        scenario: see `Scenario`. Each run of it must do the same: no real time, no random choice of its own.
        strike: e.g. `cancel`, `reset_connections`, `cut_connections`, `skip_time(60)`, or a function of your own.
        times: how many consecutive awaits are struck. Default 1.
        make: makes the simulation of each run, e.g. one with `shuffle`. Default: `Simulation()`.

    Returns:
        The number of moments.

    Raises:
        AssertionError: the scenario has no victim, or its runs differ.
        Exception: whatever the scenario raises, with a note that names the moment.
    """
    # The moments are counted first, in a run without a strike: a strike may end the victim early.
    counting = make()
    counting.run(scenario(counting))
    if not counting._moments:
        raise AssertionError("the scenario has no victim: it must await simulation.victim(...)")
    for moment in range(1, counting._moments + 1):
        _strike_at(moment, times, make(), scenario, strike)
    return counting._moments


def _strike_at(moment: int, times: int, simulation: Simulation, scenario: Scenario, strike: Strike) -> None:
    struck: list[str] = []

    def each_moment(now: int) -> None:
        later = now - moment
        if later >= 0 and later % 2 == 0 and later < 2 * times and simulation._victim is not None:
            struck.append(("after" if now % 2 else "during") + f" its wait for {simulation._victim.waiting_for}")
            strike(simulation, simulation._victim)

    simulation._strike = each_moment
    try:
        simulation.run(scenario(simulation))
    except BaseException as error:
        error.add_note(f"moment {moment} of the victim, {' and '.join(struck)}; seed {simulation.seed}")
        raise
    if not struck:
        raise AssertionError(f"moment {moment} was never reached: two runs of the scenario differ")
