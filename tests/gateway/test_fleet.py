"""The worker processes: events and times in, actions out."""

from __future__ import annotations

from httpcore.gateway.fleet import STARTING, Action, Done, Drain, Fleet, Kill, Note, Start


def acts(actions: list[Action]) -> list[Action]:
    """The actions without the lines of the log."""
    return [action for action in actions if not isinstance(action, Note)]


def serving(wanted: int = 2) -> Fleet:
    fleet = Fleet(wanted)
    fleet.start(0.0)
    for number in range(1, wanted + 1):
        fleet.ready(number)
    return fleet


def test_the_start_is_as_many_workers_as_configured() -> None:
    fleet = Fleet(2)
    assert fleet.start(0.0) == [Start(1, 0, 0.0), Start(2, 0, 0.0)]
    assert not fleet.is_ready
    assert fleet.ready(2) == []
    assert fleet.is_ready


def test_a_worker_that_never_served_ends_the_start() -> None:
    fleet = Fleet(2)
    fleet.start(0.0)
    assert acts(fleet.ended(1, "exit status 1", 0.5)) == [Kill(2)]
    assert fleet.ended(2, "SIGKILL", 0.6) == [Done(1)]
    alone = Fleet(1)
    alone.start(0.0)
    assert acts(alone.ended(1, "exit status 1", 0.5)) == [Done(1)]


def test_a_worker_that_ends_early_is_replaced_ever_later() -> None:
    fleet = serving(1)
    pauses = []
    for number in range(1, 11):
        (start,) = acts(fleet.ended(number, "SIGSEGV", float(number)))
        assert isinstance(start, Start)
        pauses.append(start.pause)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    assert acts(fleet.ended(11, "SIGSEGV", 100.0)) == [Start(12, 0, 0.0)]


def test_a_reload_drains_the_old_when_all_of_the_new_serve() -> None:
    fleet = serving()
    assert fleet.reload(3, 20.0) == [Start(3, 1, 0.0), Start(4, 1, 0.0), Start(5, 1, 0.0)]
    assert fleet.is_reloading
    assert fleet.ready(3) + fleet.ready(4) == []
    assert acts(fleet.ready(5)) == [Drain(1, False), Drain(2, False)]
    assert not fleet.is_reloading
    assert fleet.ended(1, "exit status 0", 30.0) + fleet.ended(2, "exit status 0", 30.0) == []
    assert acts(fleet.ended(3, "SIGKILL", 50.0)) == [Start(6, 1, 0.0)]


def test_a_reload_whose_worker_ends_leaves_the_old_ones() -> None:
    fleet = serving()
    fleet.reload(2, 20.0)
    fleet.ready(3)
    assert acts(fleet.ended(4, "exit status 1", 21.0)) == [Drain(3, False)]
    assert fleet.is_ready
    assert not fleet.is_reloading
    assert fleet.ended(3, "exit status 0", 22.0) == []


def test_an_old_worker_ending_in_a_failed_reload_is_replaced() -> None:
    fleet = serving()
    fleet.reload(2, 20.0)
    assert fleet.ended(1, "SIGKILL", 21.0) == [Note("a worker ended: SIGKILL; the workers of the reload replace it")]
    assert acts(fleet.ended(3, "exit status 1", 21.0)) == [Kill(4), Start(5, 0, 0.0)]


def test_a_worker_that_takes_too_long_to_start_is_killed() -> None:
    fleet = serving(1)
    fleet.reload(1, 20.0)
    assert fleet.overdue(20.0 + STARTING) == []
    assert fleet.overdue(20.1 + STARTING) == [Kill(2)]


def test_the_end_drains_working_workers_and_kills_others() -> None:
    fleet = serving()
    fleet.reload(1, 20.0)
    assert fleet.stop() == [Drain(1, True), Drain(2, True), Kill(3)]
    assert not fleet.is_ready
    assert fleet.ended(3, "SIGKILL", 21.0) + fleet.ended(1, "exit status 0", 21.0) == []
    assert fleet.kill() == [Kill(2)]
    assert fleet.ended(2, "SIGKILL", 22.0) == [Done(0)]


def test_stopping_a_fleet_without_workers_ends_at_once() -> None:
    assert Fleet(1).stop() == [Done(0)]
