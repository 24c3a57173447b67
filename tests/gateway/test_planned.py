"""Requests whose fields the gateway has already processed: they are the same on the wire as checked ones."""

from __future__ import annotations

from typing import Any

import pytest

from httpcore._message.request import Request
from httpcore._message.url import URL
from httpcore.gateway.forwarding import networks_of
from httpcore.gateway.passing import Heads

# _usual: the bounds of a cache are visible only in the cache itself.
from httpcore.gateway.plan import Forward, Trust, _usual, plan, planned

PLACE = URL.parse("http://upstream.test:8000/")
HOST = (b"host", b"gw.test")
TRUST = Trust(proxies=networks_of(["10.0.0.0/8"]), written=frozenset(("x-forwarded", "forwarded", "x-real-ip")))


def forwarded(*fields: tuple[bytes, bytes], trust: Trust = TRUST, **others: Any) -> Forward:
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "raw_path": b"/a"}
    scope |= {"path": "/a", "query_string": b"b=1", "client": ("10.0.0.1", 1), "headers": [HOST, *fields], **others}
    found = plan(scope, trust)
    assert isinstance(found, Forward)
    return found


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"accept", b"*/*"), (b"user-agent", b"a b")],
        [(b"connection", b"keep-alive"), (b"accept", b"a,  b")],
        [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"x-a", b"1"), (b"max-forwards", b"5")],
        [(b"x-a", b"\xff\t\xfe")],
    ],
)
@pytest.mark.parametrize("trust", [TRUST, Trust()])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_planned_request_is_the_one_that_a_check_gives(
    fields: list[tuple[bytes, bytes]], trust: Trust, method: str
) -> None:
    for _ in range(2):  # the second request uses the cached values of the first
        request = forwarded(*fields, trust=trust, method=method)
        found = planned(request, PLACE, request.target)
        checked = Request.of(method, PLACE, request.headers, b"", request.target)
        assert found is not None
        for name in Request.__slots__:
            assert getattr(found, name) == getattr(checked, name), name


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x-a", b"a\r\nx-b: b")],
        [(b"x-a", b"a\n")],
        [(b"x-a", b" a")],
        [(b"x-a", b"a\t")],
        [(b"x-a", b"")],
        [(b"x a", b"1")],
        [(b"x-a:", b"1")],
        [(b"Content-Length", b"5")],
        [(b"expect", b"100-continue")],
        [(b"idempotency-key", b"1")],
        [(b"connection", b"x-a"), (b"x-a", b"1")],
        [(b"via", b"1.1 other")],
        [(b"x-forwarded-for", b"192.0.2.1")],
    ],
)
def test_unusual_fields_are_left_to_the_exact_check(fields: list[tuple[bytes, bytes]]) -> None:
    request = forwarded(*fields)
    assert planned(request, PLACE, request.target) is None


def test_a_target_that_may_not_be_sent_is_left_to_the_check() -> None:
    request = forwarded(raw_path=b"/a b")
    assert planned(request, PLACE, request.target) is None


def test_a_request_with_a_body_is_left_to_the_exact_check() -> None:
    assert planned(forwarded(method="POST"), PLACE, b"/") is None
    length = forwarded((b"content-length", b"3"))
    assert planned(length, PLACE, b"/") is None


def test_an_address_that_is_no_field_value_is_left_to_the_check() -> None:
    request = forwarded(client=("a\r\nb", 1))
    assert planned(request, PLACE, request.target) is None


def test_fields_that_were_replaced_are_left_to_the_check() -> None:
    request = forwarded()
    assert planned(request._replace(headers=[*request.headers]), PLACE, request.target) is None


def test_the_last_head_gives_each_response_a_list_of_its_own() -> None:
    heads = Heads(frozenset((b"date",)), b"gw")
    given = [(b"date", b"now"), (b"content-length", b"5"), (b"connection", b"close")]
    first, length = heads.passed(given, "HTTP/1.1")
    assert (first, length) == ([(b"content-length", b"5"), (b"via", b"1.1 gw")], 5)
    first.append((b"x-a", b"1"))
    assert heads.passed([*given], "HTTP/1.1") == ([(b"content-length", b"5"), (b"via", b"1.1 gw")], 5)
    assert heads.passed(given, "HTTP/2")[0][-1] == (b"via", b"2 gw")
    assert heads.passed(given[:1], "HTTP/2") == ([(b"via", b"2 gw")], None)


def test_no_head_with_what_may_be_a_secret_is_kept() -> None:
    heads = Heads(frozenset(), b"gw")
    given = [(b"set-cookie", b"not-to-be-kept")]
    assert heads.passed(given, "HTTP/1.1")[0][0] == given[0]
    # The cache itself: no public name shows its content.
    assert heads._last[0] == []


def test_where_requests_come_from_is_remembered_within_bounds() -> None:
    for number in range(1100):
        forwarded(client=(f"192.0.2.{number}", 1))
    forwarded(headers=[(b"host", b"h" * 100)])
    # The cache itself: no public name shows its content.
    assert len(_usual) <= 1024
    assert not any(len(host or b"") > 64 for *_, host in _usual)
