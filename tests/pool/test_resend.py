"""The rule for sending again, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import httpcore
from httpcore._message.request import Request
from httpcore._pool.resend import may_resend


@dataclass
class Attempt:
    started: bool
    sent: int


NOTHING, SOMETHING, ANSWERED = Attempt(False, 0), Attempt(False, 90), Attempt(True, 90)
GONE = httpcore.ReadError("gone")


@pytest.mark.parametrize(
    ("method", "body", "attempt", "error", "again"),
    [
        ("GET", b"", SOMETHING, GONE, True),
        ("GET", b"", SOMETHING, httpcore.WriteError(), True),
        ("GET", b"", SOMETHING, httpcore.RemoteProtocolError(), True),
        ("POST", b"x", NOTHING, GONE, True),  # the peer cannot have seen the request
        ("POST", b"x", SOMETHING, GONE, False),
        ("PUT", b"x", SOMETHING, GONE, True),
        ("QUERY", b"x", SOMETHING, GONE, True),
        ("query", b"x", SOMETHING, GONE, False),
        ("PUT", iter([b"x"]), NOTHING, GONE, True),  # its body was not read yet
        ("GET", b"", ANSWERED, GONE, False),
        ("GET", b"", NOTHING, httpcore.ReadTimeout(), False),  # the server may still be working on the request
        ("GET", b"", NOTHING, httpcore.LocalProtocolError(), False),
        ("GET", b"", NOTHING, httpcore.LimitExceeded(), False),
        ("GET", b"", NOTHING, OSError(), False),  # an error of the user's code
        ("GET", b"", NOTHING, KeyboardInterrupt(), False),
    ],
)
def test_a_request_is_sent_again_where_that_is_safe(
    method: str, body: Any, attempt: Attempt, error: BaseException, again: bool
) -> None:
    assert may_resend(Request.of(method, "http://a.test/", None, body), error, attempt) is again


async def run_blocking(function: Any) -> Any:
    return function()


def test_a_body_whose_reading_began_is_never_sent_again() -> None:
    request = Request.of("PUT", "http://a.test/", None, iter([b"x"]))
    reader = request.body.start(run_blocking)
    with pytest.raises(StopIteration):
        reader.next().__await__().__next__()
    assert not may_resend(request, GONE, NOTHING)
