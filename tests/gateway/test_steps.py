"""The choice of an upstream, its exclusion and the effect of failures: pure steps, without a server or a clock."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpcore
from httpcore.gateway import (
    Forward,
    Gateway,
    GatewayStats,
    Health,
    Limits,
    Router,
    Timeouts,
    Upstream,
    UpstreamStats,
    prometheus,
)
from httpcore.gateway.balance import balance_of
from httpcore.gateway.failover import Budget, is_upstream_fault, may_fail_over, refusal_of
from httpcore.gateway.health import Member, available

NOTHING: frozenset[int] = frozenset()


def members(*weights: int, health: Health = Health(passive=2, ejection=10)) -> list[Member]:  # noqa: B008 - frozen
    return [Member(weight, health) for weight in weights]


def request(client: str = "192.0.2.1", *headers: tuple[bytes, bytes]) -> Forward:
    return Forward("GET", b"/", list(headers), None, client, False, None, False, False)


def draws(count: int) -> list[float]:
    """Evenly distributed numbers, in an irregular order."""
    return [(index * 0.618034) % 1 for index in range(count)]


# Balance.


def test_a_round_goes_by_weight_without_runs() -> None:
    choose = balance_of("round_robin")
    several = members(3, 1, 1)
    chosen = [choose(several, [0, 1, 2], request(), 0) for _ in range(10)]
    assert Counter(chosen) == {0: 6, 1: 2, 2: 2}
    assert "000" not in "".join(map(str, chosen))


def test_a_round_goes_on_among_those_that_are_left() -> None:
    choose = balance_of("round_robin")
    several = members(1, 1, 1)
    assert Counter(choose(several, [0, 2], request(), 0) for _ in range(10)) == {0: 5, 2: 5}


def test_the_least_outstanding_counts_by_weight() -> None:
    choose = balance_of("least_outstanding")
    several = members(2, 1)
    chosen = Counter[int]()
    for _ in range(30):
        index = choose(several, [0, 1], request(), 0)
        several[index].outstanding += 1
        chosen[index] += 1
    assert chosen == {0: 20, 1: 10}


def test_random_two_takes_the_idler_of_any_pair() -> None:
    choose = balance_of("random_two")
    several = members(1, 1, 1)
    assert set(Counter(choose(several, [0, 1, 2], request(), draw) for draw in draws(300))) == {0, 1, 2}
    several[1].outstanding = 9
    assert 1 not in {choose(several, [0, 1, 2], request(), draw) for draw in draws(300)}
    assert choose(several, [1], request(), 0.99) == 1


def test_the_spares_of_first_are_used_when_it_is_gone() -> None:
    choose = balance_of("first")
    assert choose(members(1, 1), [0, 1], request(), 0.9) == 0
    assert choose(members(1, 1), [1], request(), 0.9) == 1


@pytest.mark.parametrize("name", ["hash:client", "hash:header=X-Session"])
def test_hash_is_even_and_moves_only_the_keys_of_a_lost_upstream(name: str) -> None:
    choose = balance_of(name)
    several = members(1, 1, 2)
    keys = [request(f"client {key}", (b"x-session", b"%d" % key)) for key in range(2000)]
    before = [choose(several, [0, 1, 2], key, 0) for key in keys]
    counted = Counter(before)
    assert all(abs(counted[index] - share) < 120 for index, share in enumerate((500, 500, 1000)))
    after = [choose(several, [0, 2], key, 0) for key in keys]
    assert all(new == old for old, new in zip(before, after, strict=True) if old != 1)


def test_a_request_without_the_header_goes_anywhere() -> None:
    choose = balance_of("hash:header=x-session")
    assert {choose(members(1, 1), [0, 1], request(), draw) for draw in draws(20)} == {0, 1}


def test_a_callable_chooses_among_the_available_upstreams() -> None:
    choose = balance_of(lambda request, open_: open_[-1])
    assert choose(members(1, 1, 1), [0, 1], request(), 0) == 1
    with pytest.raises(ValueError, match=r"expected one of the indexes \[0\], got 7"):
        balance_of(lambda request, open_: 7)(members(1), [0], request(), 0)
    with pytest.raises(TypeError, match="expected an index, got str"):
        balance_of(lambda request, open_: cast(Any, "0"))(members(1), [0], request(), 0)


@given(st.sampled_from(["round_robin", "least_outstanding", "random_two", "first", "hash:client"]), st.data())
def test_every_choice_is_one_of_those_available(name: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    several = members(*[data.draw(st.integers(1, 5)) for _ in range(count)])
    open_ = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    draw = data.draw(st.floats(0, math.nextafter(1, 0)))
    assert balance_of(name)(several, open_, request(), draw) in open_


# Health.


def test_failures_in_a_row_leave_an_upstream_out_for_a_while() -> None:
    several = members(1, 1)
    several[0].failed(0.0)
    several[0].answered()
    several[0].failed(1.0)
    assert available(several, 1.0, NOTHING) == [0, 1]
    several[0].failed(2.0)
    assert available(several, 2.0, NOTHING) == [1]
    assert available(several, 11.9, NOTHING) == [1]
    assert available(several, 12.0, NOTHING) == [0, 1]
    several[0].failed(13.0)  # it is tried again, and fails again
    assert available(several, 13.0, NOTHING) == [1]
    several[0].answered()
    assert available(several, 13.0, NOTHING) == [0, 1]


def test_failed_requests_never_leave_all_upstreams_out() -> None:
    several = members(1, 1)
    for member in several * 2:
        member.failed(0.0)
    assert available(several, 1.0, NOTHING) == [0, 1]
    assert available(several, 1.0, frozenset((0,))) == [1]


def test_health_checks_leave_an_upstream_out_until_it_recovers() -> None:
    several = members(1, health=Health(fall=3, rise=2))
    for right in (False, False, True, False, False):
        several[0].checked(right)
    assert available(several, 0, NOTHING) == [0]
    several[0].checked(False)
    assert available(several, 0, NOTHING) == []
    for right in (True, False, True):
        several[0].checked(right)
    assert available(several, 0, NOTHING) == []
    several[0].checked(True)
    assert available(several, 0, NOTHING) == [0]


def test_without_passive_health_failures_leave_nothing_out() -> None:
    several = members(1, 1, health=Health(passive=None))
    for _ in range(100):
        several[0].failed(0.0)
    assert available(several, 0.0, NOTHING) == [0, 1]


# Failures.

REFUSED_STREAM, CANCEL = 7, 8


@pytest.mark.parametrize(
    ("error", "status", "get", "post", "blamed"),
    [
        (httpcore.ConnectError(), 502, True, True, True),
        (httpcore.TLSError(), 502, True, True, True),
        (httpcore.ConnectTimeout(), 504, True, True, True),
        (httpcore.PoolTimeout(), 503, True, True, False),
        (httpcore.PoolClosed(), 503, True, True, False),
        (httpcore.ReadError(), 502, True, False, True),
        (httpcore.WriteError(), 502, True, False, True),
        (httpcore.ReadError(safe_to_retry=True), 502, True, True, True),
        (httpcore.RemoteProtocolError(), 502, True, False, True),
        (httpcore.StreamReset(REFUSED_STREAM), 502, True, True, True),
        (httpcore.StreamReset(CANCEL), 502, True, False, True),
        (httpcore.GoAway(0, 1), 502, True, False, True),
        (httpcore.WriteTimeout(), 504, False, False, False),
        (httpcore.ReadTimeout(), 504, False, False, False),
        (httpcore.LimitExceeded(), 502, False, False, False),
        (httpcore.LocalProtocolError(), 400, False, False, False),
    ],
)
def test_each_failure_has_its_status_and_its_retries(
    error: httpcore.HTTPCoreError, status: int, get: bool, post: bool, blamed: bool
) -> None:
    refusal = refusal_of(error)
    assert (refusal.status, refusal.text) == (status, type(error).__name__)
    assert may_fail_over(error, "GET", True) is get
    assert may_fail_over(error, "POST", True) is post
    assert not may_fail_over(error, "GET", False)
    assert is_upstream_fault(error) is blamed


def test_a_fifth_of_the_requests_may_be_sent_again() -> None:
    budget = Budget()
    assert sum(budget.spend() for _ in range(100)) == 10
    for _ in range(100):
        budget.sent()
    assert 9 <= sum(budget.spend() for _ in range(100)) <= 10
    again = 0
    for _ in range(1000):
        budget.sent()
        again += budget.spend()
    assert 195 <= again <= 210


# Values.


async def async_balance(*_: object) -> int:
    return 0


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Gateway([]), "upstreams: expected at least one, got none"),
        (lambda: Gateway([cast(Any, 1)]), "upstreams: expected URLs and Upstream values, got int"),
        (lambda: Gateway("http://a", balance="best"), "balance: expected one of round_robin"),
        (
            lambda: Gateway("http://a", balance=cast(Any, async_balance)),
            "expected a name or a plain function, got an async one",
        ),
        (lambda: Gateway("http://a", host="mine"), 'host: expected "rewrite" or "keep", got \'mine\''),
        (lambda: Gateway("http://a", forwarded=["via"]), "forwarded: expected some of"),
        (lambda: Gateway("http://a", forwarded="x-real-ip"), "forwarded: expected some of"),
        (lambda: Gateway("http://a", trusted_proxies=["10.0.0.0/40"]), "trusted_proxies: expected an address"),
        (lambda: Gateway("http://a", trusted_proxies="10.0.0.1"), "trusted_proxies: expected a sequence"),
        (lambda: Gateway("http://a", name="a b"), "name: expected ASCII letters"),
        (lambda: Gateway("http://a", retries=-1), "retries: expected a number from 0 up, got -1"),
        (lambda: Gateway("http://a", retries=cast(Any, None)), "retries: expected a whole number, got None"),
        (lambda: Limits(queue_wait=float("inf")), "queue_wait: expected a number of seconds, got inf"),
        (lambda: Gateway("ftp://a"), "ftp"),
        (lambda: Upstream("http://a/?x"), "url: expected neither a query nor a user name"),
        (lambda: Upstream("http://u:secret@a/"), "url: expected neither a query nor a user name"),
        (lambda: Upstream("http://a", weight=0), "weight: expected a number from 1 up, got 0"),
        (lambda: Upstream("http://a", http2=cast(Any, "yes")), "http2: expected True, False or None, got 'yes'"),
        (lambda: Timeouts(idle=-1), "idle"),
        (lambda: Limits(concurrent=0), "concurrent: expected a number from 1 up, got 0"),
        (lambda: Health(path="healthz"), 'path: expected a path that begins with "/"'),
        (lambda: Health(fall=cast(Any, None)), "fall: expected a whole number, got None"),
        (lambda: Router({"api/": Gateway("http://a")}), "apps: expected prefixes that begin with \"/\", got 'api/'"),
    ],
)
def test_a_wrong_argument_is_named(make: Callable[[], object], expected: str) -> None:
    with pytest.raises((TypeError, ValueError, httpcore.HTTPCoreError)) as caught:
        make()
    assert expected in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_text_for_prometheus_has_each_count_and_no_more() -> None:
    upstream = UpstreamStats('http://a:1"\\', 7, 2, 1, True, False)
    text = prometheus(GatewayStats(3, 1, (0, 5, 0, 1, 2, 1), 4, (upstream,)))
    rows = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert rows["httpcore_gateway_requests_under_way"] == "3"
    assert rows['httpcore_gateway_responses_total{class="2xx"}'] == "5"
    assert rows["httpcore_gateway_retries_total"] == "4"
    assert rows['httpcore_gateway_upstream_requests_total{upstream="http://a:1\\"\\\\"}'] == "7"
    assert rows['httpcore_gateway_upstream_available{upstream="http://a:1\\"\\\\"}'] == "1"
    typed = {line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {name.partition("{")[0] for name in rows} == typed
