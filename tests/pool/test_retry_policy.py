"""When a request is sent again and after which pause: tables of a pure function."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest

import httpcore
from httpcore import RetryPolicy
from httpcore._message.request import Request
from httpcore._pool.retry_policy import Budget, pause_after, retry_after

REFUSED = httpcore.ConnectError("refused")
LATER: tuple[int, list[tuple[bytes, bytes]]] = (503, [])


def request(method: str = "GET", body: Any = b"", headers: Any = None) -> Request:
    return Request.of(method, "http://a.test/", headers, body)


def pause(
    outcome: Any,
    policy: RetryPolicy | None = None,
    of: Request | None = None,
    *,
    retries: int = 0,
    draw: float = 0.0,
    left: float | None = None,
    duplex: bool = False,
) -> float | None:
    return pause_after(
        policy or RetryPolicy(), of or request(), outcome, retries=retries, draw=draw, left=left, duplex=duplex
    )


# Which outcomes are retried.


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (httpcore.ConnectError("refused"), True),
        (httpcore.ConnectTimeout("silence"), True),
        (httpcore.ProxyError("gateway", status_code=503), True),
        (httpcore.ProxyError("auth", status_code=407), False),
        (httpcore.ProxyError("garbage"), False),
        (httpcore.TLSError("wrong certificate"), False),
        (httpcore.PolicyError("denied"), False),
        (httpcore.PoolTimeout("full"), False),
        (httpcore.TotalTimeout("over"), False),
        (httpcore.PoolClosed("closed"), False),
        (httpcore.ReadError("gone"), False),
        (OSError("the user's own"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_transient_failures_are_retried(error: BaseException, again: bool) -> None:
    for method in ("GET", "POST"):  # nothing was sent
        assert (pause(error, of=request(method)) is not None) is again


@pytest.mark.parametrize(
    ("status", "again"),
    [(200, False), (404, False), (429, True), (500, False), (502, True), (503, True), (504, True)],
)
def test_by_default_busy_statuses_are_retried(status: int, again: bool) -> None:
    assert (pause((status, [])) is not None) is again


@pytest.mark.parametrize(
    ("method", "headers", "methods", "again"),
    [
        ("GET", None, None, True),
        ("DELETE", None, None, True),
        ("POST", None, None, False),
        ("POST", [("Idempotency-Key", "1")], None, True),
        ("PATCH", None, None, False),
        ("POST", None, {"POST"}, True),
        ("GET", None, {"POST"}, False),
        ("get", None, None, False),
        ("CONNECT", None, None, False),
        ("CONNECT", None, {"CONNECT"}, False),
    ],
)
def test_status_counts_for_idempotent_methods_or_the_named_ones(
    method: str, headers: Any, methods: Any, again: bool
) -> None:
    policy = RetryPolicy(methods=methods)
    assert (pause(LATER, policy, request(method, headers=headers)) is not None) is again


def test_a_duplex_request_is_never_sent_again_for_a_status() -> None:
    assert pause(LATER, duplex=True) is None
    assert pause(REFUSED, duplex=True) == 0.5


def test_a_number_means_connections_only() -> None:
    policy = RetryPolicy.of(2)
    assert policy == RetryPolicy(attempts=3, statuses=frozenset())
    assert pause(REFUSED, policy) is not None
    assert pause(LATER, policy) is None


@pytest.mark.parametrize("nothing", [0, RetryPolicy(attempts=1)])
def test_settings_that_retry_nothing_make_no_policy(nothing: Any) -> None:
    assert RetryPolicy.of(nothing) is None


def test_attempts_count_the_first() -> None:
    policy = RetryPolicy(attempts=3)
    assert [pause(REFUSED, policy, retries=done) is not None for done in range(4)] == [True, True, False, False]


async def run_blocking(function: Any) -> Any:
    return function()


def test_a_body_whose_reading_began_is_not_sent_again() -> None:
    of = request("PUT", iter([b"x"]))
    assert pause(LATER, of=of) is not None
    with pytest.raises(StopIteration):
        of.body.start(run_blocking).next().__await__().__next__()
    assert pause(LATER, of=of) is None
    assert pause(REFUSED, of=of) is None


# Pauses.


def test_pauses_double_up_to_a_limit() -> None:
    policy = RetryPolicy(attempts=9, backoff=0.5, max_backoff=5)
    assert [policy.pause(done, 0.0) for done in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert policy.pause(10**9, 0.0) == 5.0
    assert RetryPolicy(backoff=0).pause(10**9, 0.0) == 0.0


@pytest.mark.parametrize(("jitter", "least"), [(0.0, 8.0), (0.5, 4.0), (1.0, 0.0)])
def test_jitter_shortens_by_its_share_and_no_more(jitter: float, least: float) -> None:
    policy = RetryPolicy(backoff=8, jitter=jitter)
    drawn = [policy.pause(0, draw / 100) for draw in range(101)]
    assert (drawn[0], drawn[-1]) == (8.0, least)
    assert all(before >= after for before, after in pairwise(drawn))


def test_a_pause_that_exceeds_total_timeout_is_not_begun() -> None:
    assert pause(REFUSED, left=0.51) == 0.5
    assert pause(REFUSED, left=0.5) is None
    assert pause(REFUSED, RetryPolicy(backoff=0), left=0.0) is None
    assert pause((503, [(b"retry-after", b"9")]), left=8.0) is None


DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"120", 120.0),
        (b"007", 7.0),
        (b"Sun, 06 Nov 1994 08:49:40 GMT", 3.0),
        (b"Sunday, 06-Nov-94 08:49:40 GMT", 3.0),
        (b"Sun Nov  6 08:49:40 1994", 3.0),
        (b"Mon, 07 Nov 1994 08:49:37 GMT", 86400.0),
        (b"Thu, 29 Feb 1996 08:49:37 GMT", 480 * 86400.0),
        (b"Fri, 01 Mar 1996 08:49:37 GMT", 481 * 86400.0),
        (b"Mon, 06 Nov 2000 08:49:37 GMT", 2192 * 86400.0),
        (b"Sun, 06 Nov 1994 08:49:36 GMT", 0.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"Tue, 01 Jan 0000 00:00:00 GMT", 0.0),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 252618189022.0),
        (b"999999999", 999999999.0),
        (b"1000000000", float("inf")),
        (b"9" * 60_000, float("inf")),
        (b"-5", None),
        (b"+5", None),
        (b"1.5", None),
        (b"1e3", None),
        (b"", None),
        (b"soon", None),
        ("٣".encode(), None),
        (b"Sun, 06 Nov 1994 25:00:00 GMT", None),
        (b"Sun, 32 Nov 1994 00:00:00 GMT", None),
        (b"Sun, 06 Nix 1994 00:00:00 GMT", None),
        (b"Sun, 06 Nov 1994 08:49:40 +0200", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_against_answers_own(value: bytes, seconds: float | None) -> None:
    assert retry_after([(b"date", DATE), (b"retry-after", value)]) == seconds


def test_dates_agree_with_the_standard_library() -> None:
    began = parsedate_to_datetime(DATE.decode())
    for days in range(0, 40_000, 13):
        later = began + timedelta(days=days, seconds=days)
        value = format_datetime(later, usegmt=True).encode()
        assert retry_after([(b"date", DATE), (b"retry-after", value)]) == days * 86401


def test_of_several_retry_after_the_longest_counts() -> None:
    assert retry_after([(b"retry-after", b"1"), (b"retry-after", b"soon"), (b"retry-after", b"3")]) == 3.0
    assert retry_after([(b"retry-after", b"Sun, 06 Nov 1994 08:49:40 GMT")]) is None
    assert retry_after([(b"date", b"today"), (b"retry-after", b"Sun, 06 Nov 1994 08:49:40 GMT")]) is None
    assert retry_after([(b"date", DATE)]) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"10", 10.0),
        (b"60", 60.0),
        (b"61", None),
        (b"9" * 400, None),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", None),
        (b"0", 0.5),
        (b"-5", 0.5),
        (b"garbage", 0.5),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.5),
    ],
)
def test_retry_after_lengthens_the_pause_up_to_a_cap(value: bytes, seconds: float | None) -> None:
    assert pause((503, [(b"date", DATE), (b"retry-after", value)])) == seconds


# The number of attempts, for all outcomes.


def test_a_budget_is_spent_one_by_one_and_earned_by_successes() -> None:
    budget = Budget(RetryPolicy(budget=2, budget_refill=0.1))
    assert [budget.spend() for _ in range(4)] == [True, True, False, False]
    for _ in range(9):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    assert not budget.spend()
    for _ in range(100):
        budget.earn()
    assert budget.left == 2.0


def test_a_budget_may_be_zero_or_unlimited() -> None:
    assert not Budget(RetryPolicy(budget=0)).spend()
    endless = Budget(RetryPolicy(budget=None))
    assert all(endless.spend() for _ in range(1000))


# Arguments.


def test_policies_are_values() -> None:
    policy = RetryPolicy(statuses=[503, 503], methods=("GET",), backoff=1)
    assert policy == RetryPolicy(statuses=frozenset({503}), methods=frozenset({"GET"}), backoff=1.0)
    assert hash(policy) == hash(RetryPolicy(statuses=frozenset({503}), methods=frozenset({"GET"}), backoff=1.0))
    with pytest.raises(AttributeError):
        policy.attempts = 5  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("name", "value", "kind", "message"),
    [
        ("attempts", 0, ValueError, "attempts is 0: expected a whole number from 1 up"),
        ("attempts", 1.0, TypeError, "attempts is 1.0: expected a whole number"),
        ("attempts", True, TypeError, "attempts is True: expected a whole number"),
        ("backoff", -1, ValueError, "backoff is -1: expected a number from 0 to 1,000,000,000"),
        ("backoff", float("nan"), ValueError, "backoff is nan: expected a number from 0 to 1,000,000,000"),
        ("max_backoff", float("inf"), ValueError, "max_backoff is inf: expected a number from 0 to 1,000,000,000"),
        ("max_backoff", None, TypeError, "max_backoff is None: expected a number"),
        ("backoff", 10**400, ValueError, f"backoff is {str(10**400)[:200]}... (401 long): expected a number"),
        ("jitter", 1.1, ValueError, "jitter is 1.1: expected a number from 0 to 1"),
        ("statuses", 503, TypeError, "statuses is 503: expected a collection of status codes, e.g. {429, 503}"),
        ("statuses", ["503"], TypeError, "statuses has '503': expected whole numbers from 400 to 599"),
        ("statuses", [200], ValueError, "statuses has 200: expected whole numbers from 400 to 599"),
        ("methods", "GET", TypeError, "methods is 'GET': expected a collection of methods"),
        ("methods", [b"GET"], TypeError, "methods has b'GET': expected methods as str"),
        ("methods", ["G T"], ValueError, "methods has 'G T': expected a token"),
        ("max_retry_after", "1", TypeError, "max_retry_after is '1': expected a number"),
        ("budget", -1, ValueError, "budget is -1: expected a whole number from 0 up"),
        ("budget", 10**400, ValueError, "budget is too large: expected a whole number up to 1,000,000,000"),
        ("budget", 0.5, TypeError, "budget is 0.5: expected a whole number"),
        ("budget_refill", -0.1, ValueError, "budget_refill is -0.1: expected a number from 0 to 1,000,000,000"),
    ],
)
def test_a_bad_value_is_named_with_the_expected_one(name: str, value: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        RetryPolicy(**{name: value})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("make", [httpcore.ConnectionPool, httpcore.SyncConnectionPool])
@pytest.mark.parametrize(
    ("retries", "kind", "message"),
    [
        (-1, ValueError, "retries is -1: expected a whole number from 0 up, or a RetryPolicy"),
        (True, TypeError, "retries is True: expected a whole number or a RetryPolicy"),
        (None, TypeError, "retries is None: expected a whole number or a RetryPolicy"),
        (1.5, TypeError, "retries is 1.5: expected a whole number or a RetryPolicy"),
    ],
)
def test_a_bad_retries_argument_is_an_error_at_once(make: Any, retries: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        make(retries=retries)
    assert str(caught.value) == message
