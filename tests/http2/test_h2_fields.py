"""Header fields of HTTP/2: the fields of a request, in any form that the caller may pass for HTTP/1.1."""

from __future__ import annotations

import pytest

from httpcore import LimitExceeded, LocalProtocolError, RemoteProtocolError
from httpcore._http2.fields import read_fields, read_status, request_fields, trailer_fields
from httpcore._message.fields import FIELD_COUNT
from httpcore._message.request import Request

URL = "https://a.test/path?query"
PSEUDO = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/path?query")]


def of(*headers: tuple[str, str], method: str = "GET", url: str = URL, **more: object) -> list[tuple[bytes, bytes]]:
    return request_fields(Request.of(method, url, list(headers), **more))  # type: ignore[arg-type]


def test_the_request_line_becomes_pseudo_header_fields_in_front() -> None:
    assert of() == PSEUDO


def test_names_are_lower_cased_and_values_kept_in_their_order() -> None:
    headers = [("Accept", "B"), ("X-One", "1"), ("x-ONE", "2")]
    assert of(*headers) == [*PSEUDO, (b"accept", b"B"), (b"x-one", b"1"), (b"x-one", b"2")]


def test_a_port_that_is_not_the_default_is_in_the_authority() -> None:
    assert dict(of(url="http://a.test:8080/"))[b":authority"] == b"a.test:8080"
    assert dict(of(url="http://[::1]:8080/"))[b":authority"] == b"[::1]:8080"


@pytest.mark.parametrize("name", ["Host", "host", "hOST"])
def test_host_is_the_authority_and_not_sent(name: str) -> None:
    fields = of((name, "b.test:99"))
    assert fields == [*PSEUDO[:2], (b":authority", b"b.test:99"), PSEUDO[3]]


def test_an_empty_host_leaves_the_urls() -> None:
    assert of(("Host", "")) == PSEUDO


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Connection", "close"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "websocket"),
        ("HTTP2-Settings", "AAMAAABk"),
        ("TE", "gzip"),
    ],
)
def test_connection_fields_are_left_out_in_any_case(name: str, value: str) -> None:
    assert of((name, value), ("X", "y")) == [*PSEUDO, (b"x", b"y")]
    assert of((name.lower(), value), ("X", "y")) == [*PSEUDO, (b"x", b"y")]


def test_fields_that_connection_nominates_are_left_out() -> None:
    headers = [
        ("Connection", "X-Hop, close"),
        ("x-hop", "1"),
        ("X-HOP", "2"),
        ("X-Other", "3"),
        ("connection", "x-two"),
    ]
    assert of(*headers, ("X-Two", "4")) == [*PSEUDO, (b"x-other", b"3")]


@pytest.mark.parametrize("value", ["trailers", "Trailers", "gzip, trailers", "trailers;q=1"])
def test_te_is_sent_as_trailers_or_not_at_all(value: str) -> None:
    expected = [*PSEUDO, (b"te", b"trailers")] if ";" not in value else PSEUDO
    assert of(("TE", value)) == expected
    assert of(("TE", value), ("Connection", "TE")) == expected


def test_a_body_of_unknown_length_has_no_framing_fields() -> None:
    assert of(method="POST", body=iter([b"x"]))[4:] == []


def test_a_body_of_known_length_keeps_its_length() -> None:
    assert of(method="POST", body=b"hello")[4:] == [(b"content-length", b"5")]


def test_the_path_is_the_target_that_was_given() -> None:
    assert dict(of(target="/other"))[b":path"] == b"/other"
    assert dict(of(target="*", method="OPTIONS"))[b":path"] == b"*"


@pytest.mark.parametrize(
    ("target", "method", "authority", "path"),
    [
        ("http://b.test/x?y", "GET", b"b.test", b"/x?y"),
        ("HTTP://b.test:81", "GET", b"b.test:81", b"/"),
        ("http://b.test?y", "GET", b"b.test", b"/?y"),
        ("http://b.test", "OPTIONS", b"b.test", b"*"),
        ("http://b.test/", "OPTIONS", b"b.test", b"/"),
    ],
)
def test_a_target_in_absolute_form_decides_the_host(target: str, method: str, authority: bytes, path: bytes) -> None:
    assert of(("Host", "a.test"), target=target, method=method)[1:] == [
        (b":scheme", b"http"),
        (b":authority", authority),
        (b":path", path),
    ]


def test_connect_has_method_and_authority_alone() -> None:
    assert of(("Host", "other.test"), ("X", "y"), method="CONNECT") == [
        (b":method", b"CONNECT"),
        (b":authority", b"a.test:443"),
        (b"x", b"y"),
    ]


def test_extended_connect_is_sent_like_any_request() -> None:
    request = Request.of("CONNECT", URL, [("Host", "a.test"), ("Sec-WebSocket-Version", "13")])
    assert request_fields(request, b"websocket") == [
        (b":method", b"CONNECT"),
        *PSEUDO[1:],
        (b":protocol", b"websocket"),
        (b"sec-websocket-version", b"13"),
    ]


def test_extended_connect_without_a_host_goes_to_urls_authority() -> None:
    request = Request.of("CONNECT", URL)
    assert dict(request_fields(request, b"websocket"))[b":authority"] == b"a.test"


def test_only_connect_may_have_a_protocol() -> None:
    with pytest.raises(LocalProtocolError, match="GET"):
        request_fields(Request.of("GET", URL), b"websocket")


def test_more_names_than_are_remembered_are_still_right() -> None:
    for index in range(3000):
        name = f"X-{index}"
        assert of((name, "v"), ("Upgrade", "x"))[4:] == [(name.lower().encode(), b"v")]
    long = "X" * 500
    assert of((long, "v"))[4:] == [(long.lower().encode(), b"v")]


def test_the_request_is_not_changed() -> None:
    request = Request.of("GET", URL, [("Connection", "X"), ("X", "y")])
    before = list(request.headers)
    request_fields(request)
    assert request.headers == before


def test_trailers_are_lower_cased() -> None:
    assert trailer_fields([(b"Checksum", b"A")]) == [(b"checksum", b"A")]


# Received fields: cases beyond the table of frame scripts.


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_of_names_and_values_is_accepted_or_refused(byte: int) -> None:
    raw = bytes([byte])
    token = raw in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
    for name in (raw, raw + b"b", b"a" + raw, b"a" + raw + b"b"):
        if token:
            assert read_fields([(name, b"x")]) == ([(name, b"x")], None)
        else:
            with pytest.raises(RemoteProtocolError):
                read_fields([(name, b"x")])
    inside = byte == 0x09 or (byte >= 0x20 and byte != 0x7F)
    for value, good in (
        (raw, inside and raw not in b" \t"),
        (raw + b"x", inside and raw not in b" \t"),
        (b"x" + raw, inside and raw not in b" \t"),
        (b"x" + raw + b"y", inside),
    ):
        pairs = [(b"before", b"1"), (b"name", value), (b"after", b"2")]
        if good:
            assert read_fields(pairs) == (pairs, None)
        else:
            with pytest.raises(RemoteProtocolError, match="'name'"):
                read_fields(pairs)


def test_a_name_accepted_once_is_checked_again_in_another_place() -> None:
    assert read_fields([(b"content-length", b"7")])[1] == 7
    with pytest.raises(RemoteProtocolError):
        read_fields([(b"content-length", b"7")], trailers=True)


def test_more_names_than_are_remembered_are_still_checked() -> None:
    for index in range(3000):
        read_fields([(b"x-%d" % index, b"")])
        with pytest.raises(RemoteProtocolError):
            read_fields([(b"X-%d" % index, b"")])


def test_a_head_may_have_as_many_fields_as_over_http1() -> None:
    assert len(read_fields([(b"a", b"b")] * FIELD_COUNT)[0]) == FIELD_COUNT
    with pytest.raises(LimitExceeded) as caught:
        read_fields([(b"a", b"b")] * (FIELD_COUNT + 1))
    assert caught.value.limit == FIELD_COUNT


def test_each_status_from_100_to_999_but_101_is_read() -> None:
    good = set()
    for number in range(10_000):
        for text in (b"%d" % number, b"%03d" % number):
            try:
                assert read_status([(b":status", text)]) == number
            except RemoteProtocolError:
                continue
            good.add(number)
    assert good == set(range(100, 1000)) - {101}


def test_errors_are_short_for_any_bytes_of_a_peer() -> None:
    for pairs in ([(b"N" * 60_000, b"x")], [(b"n", b"\n" * 60_000)], [(b"content-length", b"x" * 60_000)]):
        with pytest.raises(RemoteProtocolError) as caught:
            read_fields(pairs)
        assert len(str(caught.value)) < 600
    with pytest.raises(RemoteProtocolError) as caught:
        read_status([(b":status", b"\x1b" * 60_000)])
    assert len(str(caught.value)) < 600
    assert "\x1b" not in str(caught.value)


def test_cookie_crumbs_are_sent_as_given_each_a_field_of_its_own() -> None:
    """RFC 9113, section 8.2.3."""
    sent = of(("Cookie", "a=1"), ("cookie", "b=2"))
    assert [pair for pair in sent if pair[0] == b"cookie"] == [(b"cookie", b"a=1"), (b"cookie", b"b=2")]
