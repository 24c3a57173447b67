"""When an HTTP/2 peer is sent a liveness PING: rules that depend only on time, with numbers as the clock."""

from __future__ import annotations

import pytest

from httpcore._http2.liveness import LIVENESS_TIMEOUT, Liveness

START = 100.0


def no_clock() -> float:
    raise AssertionError("the clock was asked for nothing")


def test_without_an_interval_silence_sends_no_ping() -> None:
    liveness = Liveness(START, None)
    assert not liveness.is_silent(1e9)
    assert not liveness.is_ping_due(1e9)
    assert liveness.until_ping(no_clock) is None


@pytest.mark.parametrize(("after", "due"), [(0.0, False), (4.75, False), (5.0, True), (50.0, True)])
def test_a_peer_gets_a_ping_after_the_interval_of_silence(after: float, due: bool) -> None:
    liveness = Liveness(START, 5.0)
    now = START + after
    assert (liveness.is_silent(now), liveness.is_ping_due(now)) == (due, due)
    assert liveness.until_ping(lambda: now) == max(0.0, 5.0 - after)
    assert not liveness.is_unanswered


def test_a_ping_has_the_interval_to_be_answered() -> None:
    liveness = Liveness(START, 5.0)
    liveness.pinged = START + 6
    assert liveness.is_unanswered
    assert not liveness.is_ping_due(START + 10.9)
    assert liveness.is_ping_due(START + 11)
    assert liveness.until_ping(lambda: START + 7) == 4.0
    liveness.on_received(START + 7)
    assert not liveness.is_unanswered
    assert not liveness.is_ping_due(START + 11)
    assert liveness.is_ping_due(START + 12)


def test_a_cancelled_exchange_pings_once_and_after_silence() -> None:
    liveness = Liveness(START, None)
    assert not liveness.needs_ping(START + LIVENESS_TIMEOUT / 2)
    assert liveness.unconfirmed_since is None
    assert liveness.needs_ping(START + LIVENESS_TIMEOUT)
    assert liveness.answer_due() == START + 2 * LIVENESS_TIMEOUT
    assert not liveness.needs_ping(START + 2 * LIVENESS_TIMEOUT), "a ping was requested before"
    liveness.on_received(START + 3 * LIVENESS_TIMEOUT)
    assert liveness.unconfirmed_since is None
    assert not liveness.needs_ping(START + 3.5 * LIVENESS_TIMEOUT)
