"""The budget of work that a peer's frames are charged to: which frames cost units, which actions earn units, and the
largest balance.
"""

from __future__ import annotations

import pytest

from httpcore._http2 import flood_budget as costs
from httpcore._http2.flood_budget import ANSWERED, BUDGET, FRAME, FloodBudget


def spent(units: int) -> FloodBudget:
    budget = FloodBudget()
    assert budget.spend(units)
    return budget


def test_the_budget_ends_at_its_bound() -> None:
    budget = FloodBudget()
    assert budget.spend(BUDGET)
    assert not budget.spend(1)


def test_nothing_fills_the_budget_beyond_its_size() -> None:
    budget = FloodBudget()
    budget.earn_time(1000.0)
    budget.earn_time(1e9)
    budget.earn_taken(1 << 40)
    budget.earn_sent(1 << 40)
    budget.earn_request()
    assert budget.left == BUDGET


@pytest.mark.parametrize(("seconds", "units"), [(1, 16), (1.9, 16), (10, 160), (3600, 57_600), (1e6, BUDGET)])
def test_time_pays_for_keep_alives_only(seconds: float, units: int) -> None:
    budget = spent(0)
    budget.earn_time(1000.0)
    budget.spend(BUDGET)
    assert 1000.0 + seconds >= budget.due
    budget.earn_time(1000.0 + seconds)
    assert budget.left == units
    assert budget.due == 1001.0 + seconds


def test_content_pays_for_the_frames_that_bring_it() -> None:
    """This holds for frames of any size, and with a PING in front of each."""
    for size in (1, 2, 7, 8, 15, 16, 1000):
        budget = spent(1000)
        assert budget.spend(costs.data_cost(size, 1) + ANSWERED)
        budget.earn_taken(size)
        assert budget.left >= BUDGET - 1000


def test_an_upload_pays_for_the_windows_that_it_needs() -> None:
    """Each sent piece pays for two WINDOW_UPDATE frames, unless the peer allows only very small pieces."""
    for size in (64, 100, 1000, 16_384):
        budget = spent(1000)
        budget.spend(costs.window_cost(1))
        budget.spend(costs.window_cost(0))
        budget.earn_sent(size)
        assert budget.left >= BUDGET - 1000
    budget = spent(1000)
    budget.spend(costs.window_cost(1))
    budget.earn_sent(1)
    assert budget.left < BUDGET - 1000


@pytest.mark.parametrize("size", [0, 1, 7, 8, 15, 16, 127, 128, 255, 256, 16_384])
@pytest.mark.parametrize("frames", [1, 2, 100])
def test_frames_cost_the_same_together_as_one_by_one(size: int, frames: int) -> None:
    assert costs.data_cost(size * frames, frames) == costs.data_cost(size, 1) * frames
    assert costs.abandoned_data_cost(size * frames, frames) == costs.abandoned_data_cost(size, 1) * frames


@pytest.mark.parametrize(
    ("cost", "most"),
    [
        (costs.data_cost(16, 1), 0),
        (costs.data_cost(1, 1), FRAME),
        (costs.abandoned_data_cost(256, 1), 0),
        (costs.abandoned_data_cost(1, 1), FRAME),
        (costs.interim_cost(200, 10, first=True), 0),
        (costs.block_cost(300, 12), 64),
        (costs.settings_cost(6, 1, 100), 20),
        (costs.goaway_cost(20, 100), 10),
        (costs.padding_cost(255), 32),
    ],
)
def test_ordinary_frames_cost_little(cost: int, most: int) -> None:
    assert 0 <= cost <= most


@pytest.mark.parametrize(
    ("cost", "microseconds"),
    [
        (costs.block_cost(6000, 2000), 3400),  # literals that are never to be kept
        (costs.block_cost(9100, 1300), 4800),  # with needless octets
        (costs.block_cost(54_000, 1), 5600),  # Huffman code
        (costs.settings_cost(2700, 2700, 2000), 190_000),
        (costs.goaway_cost(16_376, 5000), 75),
        (costs.other_cost(16_384), 25),
    ],
)
def test_expensive_frames_are_charged_as_measured(cost: int, microseconds: int) -> None:
    assert cost >= 0.75 * microseconds
