"""The remaining time of a request's timeouts, on a clock that the test owns."""

from __future__ import annotations

import pytest

import httpcore
from httpcore._deadline import Deadline


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_total_each_wait_gets_its_own_limit_for_ever(clock: Clock) -> None:
    deadline = Deadline(httpcore.TimeoutConfig(), clock)
    clock.time += 1e6
    assert deadline.within(5.0) == 5.0
    assert deadline.within(None) is None
    assert deadline.within(0.0) == 0.0


def test_a_wait_gets_its_limit_or_the_rest_of_the_total(clock: Clock) -> None:
    deadline = Deadline(httpcore.TimeoutConfig(total_timeout=10), clock)
    assert deadline.within(4.0) == 4.0
    assert deadline.within(None) == 10.0
    clock.time += 7
    assert deadline.within(4.0) == 3.0
    assert deadline.within(2.0) == 2.0
    assert deadline.within(None) == 3.0
    assert deadline.elapsed() == 7.0


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_no_wait_begins_when_nothing_is_left(clock: Clock, late: float) -> None:
    deadline = Deadline(httpcore.TimeoutConfig(total_timeout=10), clock)
    clock.time += 10 + late
    for limit in (4.0, None):
        with pytest.raises(httpcore.TotalTimeout, match="total_timeout") as caught:
            deadline.within(limit)
        assert caught.value.limit == 10.0


def test_a_wait_that_total_timeout_cut_short_names_it(clock: Clock) -> None:
    deadline = Deadline(httpcore.TimeoutConfig(total_timeout=10), clock)
    clock.time += 10
    error = httpcore.ReadTimeout("late", peer="127.0.0.1:80", limit=3.0, phase="read the response head")
    total = deadline.as_total_timeout(error)
    assert type(total) is httpcore.TotalTimeout
    assert total.__cause__ is error
    assert (total.peer, total.phase, total.limit) == ("127.0.0.1:80", "read the response head", 10.0)


def test_a_wait_that_ended_before_total_timeout_keeps_its_name(clock: Clock) -> None:
    error = httpcore.ReadTimeout("late")
    clock.time += 1
    assert Deadline(httpcore.TimeoutConfig(total_timeout=10), clock).as_total_timeout(error) is error
    assert Deadline(httpcore.TimeoutConfig(), clock).as_total_timeout(error) is error


def test_a_total_timeout_is_not_converted_again(clock: Clock) -> None:
    deadline = Deadline(httpcore.TimeoutConfig(total_timeout=10), clock)
    clock.time += 11
    error = httpcore.TotalTimeout("late")
    assert deadline.as_total_timeout(error) is error
