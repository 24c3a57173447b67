"""Whether and when a request is sent again because a connection could not be made, or because of the response's status.

The functions decide from their arguments alone, and only the budget has a state. The pool reads the clock, draws the
random number and makes the pause. For dead *reused* connections and refused HTTP/2 streams see `resend`.
"""

from __future__ import annotations

import math
import re
from calendar import timegm
from collections.abc import Iterable
from typing import Any, Final, Self

from .._errors import ConnectError, ConnectTimeout, NetworkError, ProxyError, TLSError, show_value
from .._message.fields import Headers, is_token
from .._message.request import Request
from .._public import public
from .._values import dataclass

__all__ = ["Budget", "RetryPolicy", "pause_after", "retry_after"]

_MOST: Final = 10**9  # the largest count, so that calculations with it cannot overflow


@public
@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class RetryPolicy:
    """When a request is sent again, and after which pause. Immutable, and compared by value.

    A request is sent again for two reasons: a connection could not be made (then with any method, since nothing was
    sent), or the status of the response is in `statuses`. It is not sent again after a TLS handshake that failed, an
    address that the network policy denies, or a proxy that refuses a tunnel or sends no valid answer (to CONNECT, or
    over SOCKS), except if the proxy answers our CONNECT with one of `statuses`. With a number, as in `retries=3`, there
    are no `statuses`. A request whose body cannot be sent again is never repeated. A pause that would exceed the total
    timeout is not begun: the last error is raised, or the last response returned, at once. The same happens when the
    budget is spent.

    Attributes:
        attempts: how often a request is sent at most, the first time included. Silent resends (because a reused
            connection was dead, see `retry_stale`, or an HTTP/2 server did not process the request) are not counted.
            Default 4.
        backoff: seconds of the first pause; each further one is twice as long as the one before. Default 0.5.
        max_backoff: the longest such pause, in seconds. Default 30.0.
        jitter: the part of each such pause that may be removed at random, from 0 to 1, so that clients that failed
            together do not retry together. Default 0.5: half of the pause to all of it.
        statuses: statuses after which the request is sent again. Default 429 and 503, which mean "later", and 502 and
            504, with which a gateway reports that it did not reach the server; not 500, which the server would most
            likely send again.
        methods: the methods (case matters) for which a status counts. None means idempotent methods (RFC 9110, section
            9.2.2), and any request with an `Idempotency-Key`. CONNECT and `duplex=True` never count. Default None.
        max_retry_after: the longest `Retry-After` that is waited for, in seconds. A longer one means that the response
            is returned at once, since a retry sooner than the server allows adds to its load. A value that is not a
            number or a date, or is negative, is ignored; a date is measured against the `Date` of the response. The
            pause is never shorter than the backoff. Default 60.0.
        budget: how many retries all requests of the pool have in reserve; None means no limit. Default 100.
        budget_refill: the part of a retry that each success adds to the budget. Default 0.1: when a server fails for a
            long time, the reserve is used up, and then at most one request in eleven is a retry.

    Raises:
        TypeError, ValueError: a value has another type, or is out of range.
    """

    attempts: int
    backoff: float
    max_backoff: float
    jitter: float
    statuses: frozenset[int]
    methods: frozenset[str] | None
    max_retry_after: float
    budget: int | None
    budget_refill: float

    def __init__(
        self,
        *,
        attempts: int = 4,
        backoff: float = 0.5,
        max_backoff: float = 30.0,
        jitter: float = 0.5,
        statuses: Iterable[int] = frozenset({429, 502, 503, 504}),
        methods: Iterable[str] | None = None,
        max_retry_after: float = 60.0,
        budget: int | None = 100,
        budget_refill: float = 0.1,
    ) -> None:
        _check_count("attempts", attempts, least=1)
        if budget is not None:
            _check_count("budget", budget, least=0)
        values = {
            "attempts": attempts,
            "backoff": _number("backoff", backoff),
            "max_backoff": _number("max_backoff", max_backoff),
            "jitter": _number("jitter", jitter, most=1.0),
            "statuses": _statuses(statuses),
            "methods": None if methods is None else _methods(methods),
            "max_retry_after": _number("max_retry_after", max_retry_after),
            "budget": budget,
            "budget_refill": _number("budget_refill", budget_refill),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, value: object) -> Self | None:
        """The policy for a value of `retries=`, which is a policy, or how often a connection that could not be made is
        tried again. None if nothing is ever sent again.

        Raises:
            TypeError, ValueError: the value is neither.
        """
        if isinstance(value, cls):
            return value if value.attempts > 1 else None
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"retries is {show_value(value)}: expected a whole number or a RetryPolicy")
        if value < 0:
            raise ValueError(f"retries is {show_value(value)}: expected a whole number from 0 up, or a RetryPolicy")
        if value >= _MOST:
            raise ValueError(
                f"retries is {show_value(value)}: expected a whole number below {_MOST:,}, or a RetryPolicy"
            )
        return cls(attempts=value + 1, statuses=frozenset()) if value else None

    def pause(self, retries: int, draw: float) -> float:
        """Seconds of backoff after this number of retries; `draw` is a random number from 0 up to 1."""
        doubled = self.backoff * 2.0 ** min(retries, 1000) if self.backoff else 0.0
        return min(doubled, self.max_backoff) * (1.0 - self.jitter * draw)


def pause_after(
    policy: RetryPolicy,
    request: Request,
    outcome: BaseException | tuple[int, Headers],
    *,
    retries: int,
    draw: float,
    left: float | None,
    duplex: bool = False,
) -> float | None:
    """How many seconds to wait before the request is sent again; None if it is not.

    Arguments:
        outcome: the error because of which nothing was sent, or status and header fields of the response.
        retries: how often this policy has sent the request again already.
        draw: a random number from 0 up to 1.
        left: the seconds until the total timeout, if there is one.
    """
    if retries + 1 >= policy.attempts or not request.body.replayable:
        return None
    pause = policy.pause(retries, draw)
    if isinstance(outcome, BaseException):
        if not _is_temporary(policy, request, outcome):
            return None
    else:
        status, headers = outcome
        if duplex or status not in policy.statuses or not _may_repeat(policy, request):
            return None
        asked = retry_after(headers)
        if asked is not None:
            if asked > policy.max_retry_after:
                return None
            # The pause is never shorter than the backoff: otherwise `Retry-After: 0` from an overloaded server would
            # cause a flood of retries.
            pause = max(pause, asked)
    return pause if left is None or pause < left else None


def _is_temporary(policy: RetryPolicy, request: Request, error: BaseException) -> bool:
    """Whether the failure to get a connection may be temporary."""
    if isinstance(error, ProxyError):  # about CONNECT or a SOCKS request: the origin has not seen our request
        if request.method == b"CONNECT":
            return False
        if error.status_code is None:  # only a broken connection to the proxy is temporary; SOCKS would refuse again
            return isinstance(error.__cause__, NetworkError)
        return error.status_code in policy.statuses
    # A TLS failure is not temporary: certificates and versions are the same a second later.
    return isinstance(error, (ConnectError, ConnectTimeout)) and not isinstance(error, TLSError)


def _may_repeat(policy: RetryPolicy, request: Request) -> bool:
    if request.method == b"CONNECT":
        return False
    return request.idempotent if policy.methods is None else request.method.decode("ascii") in policy.methods


class Budget:
    """How many retries a pool has left. Used under the pool's lock."""

    __slots__ = ("_budget_size", "_refill", "left")

    def __init__(self, policy: RetryPolicy) -> None:
        self._budget_size = math.inf if policy.budget is None else float(policy.budget)
        self._refill = policy.budget_refill
        self.left = self._budget_size

    def spend(self) -> bool:
        """Take one retry from the budget; False if none is left."""
        # As floats, ten tenths add up to a little less than one.
        if self.left < 1.0 - 1e-9:
            return False
        self.left = max(0.0, self.left - 1.0)
        return True

    def earn(self) -> None:
        """Record a success."""
        self.left = min(self._budget_size, self.left + self._refill)


# Retry-After (RFC 9110, section 10.2.3).

_MONTHS: Final = {
    name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)
}
_TIME: Final = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_DATES: Final = (  # RFC 9110, section 5.6.7: the current format, that of RFC 850, and that of asctime
    re.compile(rb"[A-Z][a-z]{2}, (?P<day>[0-9]{2}) (?P<month>[A-Z][a-z]{2}) (?P<year>[0-9]{4}) " + _TIME + rb" GMT"),
    re.compile(rb"[A-Z][a-z]{5,8}, (?P<day>[0-9]{2})-(?P<month>[A-Z][a-z]{2})-(?P<year>[0-9]{2}) " + _TIME + rb" GMT"),
    re.compile(rb"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2}) (?P<day>[0-9 ][0-9]) " + _TIME + rb" (?P<year>[0-9]{4})"),
)
_MOST_DIGITS: Final = 9


def retry_after(headers: Headers) -> float | None:
    """The seconds that a response asks to wait, by the longest of its Retry-After fields; None where none is valid.

    A date is measured against the response's own Date: a wrong clock, of ours or of the server, changes nothing.
    """
    asked = [value for name, value in headers if name == b"retry-after"]
    if not asked:
        return None
    began = next((_seconds(value) for name, value in headers if name == b"date"), None)
    delays = [delay for value in asked if (delay := _delay(value, began)) is not None]
    return max(delays, default=None)


def _delay(value: bytes, began: int | None) -> float | None:
    if value.isdigit():
        return float(value) if len(value) <= _MOST_DIGITS else math.inf
    until = _seconds(value)
    return None if until is None or began is None else max(0.0, float(until - began))


def _seconds(date: bytes) -> int | None:
    """Seconds since 1970 of an HTTP date (RFC 9110, section 5.6.7); None if that is no date."""
    match = next((match for form in _DATES if (match := form.fullmatch(date))), None)
    if match is None or match["month"] not in _MONTHS:
        return None
    day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    return timegm(
        (year or 1, _MONTHS[match["month"]], day, hour, minute, second)
    )  # Python's calendar begins with the year 1


# Arguments.


def _check_count(name: str, value: Any, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {show_value(value)}: expected a whole number")
    if value < least:
        raise ValueError(f"{name} is {show_value(value)}: expected a whole number from {least} up")
    if value > _MOST:
        raise ValueError(f"{name} is too large: expected a whole number up to {_MOST:,}")


def _number(name: str, value: Any, *, most: float = 1e9) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {show_value(value)}: expected a number")
    if not 0 <= value <= most:
        raise ValueError(f"{name} is {show_value(value)}: expected a number from 0 to {most:,.0f}")
    return float(value)


def _statuses(given: Any) -> frozenset[int]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"statuses is {show_value(given)}: expected a collection of status codes, e.g. {{429, 503}}")
    statuses = list(given)
    for status in statuses:
        if isinstance(status, bool) or not isinstance(status, int):
            raise TypeError(f"statuses has {show_value(status)}: expected whole numbers from 400 to 599")
        if not 400 <= status <= 599:
            raise ValueError(f"statuses has {show_value(status)}: expected whole numbers from 400 to 599")
    return frozenset(int(status) for status in statuses)


def _methods(given: Any) -> frozenset[str]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(
            f'methods is {show_value(given)}: expected a collection of methods, e.g. {{"GET", "POST"}}, or None'
        )
    methods = list(given)
    for method in methods:
        if not isinstance(method, str):
            raise TypeError(f"methods has {show_value(method)}: expected methods as str")
        if not (method.isascii() and is_token(method.encode())):
            raise ValueError(f"methods has {show_value(method)}: expected a token (RFC 9110, section 5.6.2)")
    return frozenset(methods)
