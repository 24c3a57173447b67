"""The head policy as tables: a request as a server passes it, and the request that is forwarded or the response (RFC
9110, 9112, 9113).
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcore.gateway import Forward, Refusal, Trust, plan
from httpcore.gateway.forwarding import networks_of
from httpcore.gateway.plan import returned, without_trailers

Fields = list[tuple[bytes, bytes]]
HOST = (b"host", b"gw.test")
PROXIES = networks_of(["10.0.0.0/8", "2001:db8::/32"])


def scope(*fields: tuple[bytes, bytes], method: str = "GET", path: bytes = b"/", **others: Any) -> dict[str, Any]:
    """A scope as an ASGI server makes it."""
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": b"",
        "headers": list(fields),
        "client": ("192.0.2.1", 1234),
        **others,
    }


def forwarded(*fields: tuple[bytes, bytes], trust: Trust = Trust(), **others: Any) -> Forward:  # noqa: B008 - frozen
    planned = plan(scope(HOST, *fields, **others), trust)
    assert isinstance(planned, Forward), planned
    return planned


def sent(*fields: tuple[bytes, bytes], trust: Trust = Trust(), **others: Any) -> Fields:  # noqa: B008 - frozen
    """The forwarded fields, without those that the gateway adds to each request."""
    added = {b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"}
    return [pair for pair in forwarded(*fields, trust=trust, **others).headers if pair[0] not in added]


def refused(*fields: tuple[bytes, bytes], trust: Trust = Trust(), **others: Any) -> int:  # noqa: B008 - frozen
    planned = plan(scope(*fields, **others), trust)
    assert isinstance(planned, Refusal), planned
    return planned.status


# Methods and targets.


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_connect_and_trace_are_not_forwarded(method: str) -> None:
    planned = plan(scope(HOST, method=method), Trust())
    assert isinstance(planned, Refusal)
    assert (planned.status, planned.headers[0][0]) == (405, b"allow")


def test_trace_is_forwarded_where_it_is_allowed() -> None:
    assert forwarded(method="TRACE", trust=Trust(traces=True)).method == "TRACE"


@pytest.mark.parametrize("method", ["GET", "get", "QUERY", "M-SEARCH"])
def test_other_methods_go_on_as_they_are(method: str) -> None:
    assert forwarded(method=method).method == method


@pytest.mark.parametrize("path", [b"/", b"//a//b", b"/a%2Fb%20c", b"/%7e", b"/../x", b"/;a=b/!$&'()*+,=:@", b"/a%00"])
@pytest.mark.parametrize("query", [b"", b"a=%26&b", b"?"])
def test_a_path_and_a_query_go_on_byte_for_byte(path: bytes, query: bytes) -> None:
    target = forwarded(path=path, query_string=query).target
    assert target == (path + b"?" + query if query else path)


@pytest.mark.parametrize(
    ("path", "target", "host"),
    [
        (b"http://other.test/abs", b"/abs", b"other.test"),
        (b"HTTPS://other.test:8443/", b"/", b"other.test:8443"),
        (b"http://other.test", b"/", b"other.test"),
        (b"http://[::1]:80/x", b"/x", b"[::1]:80"),
    ],
)
def test_an_absolute_target_becomes_a_path_and_names_the_host(path: bytes, target: bytes, host: bytes) -> None:
    planned = forwarded(path=path)
    assert (planned.target, planned.host) == (target, host)
    assert (b"x-forwarded-host", host) in planned.headers


@pytest.mark.parametrize(
    "path", [b"other.test:443", b"ftp://a/", b"http:///x", b"http://u@a/", b"*", b"x", b"http://a b/"]
)
def test_a_malformed_target_is_a_400(path: bytes) -> None:
    assert refused(HOST, path=path) == 400


@pytest.mark.parametrize(("path", "target"), [(b"*", b"*"), (b"http://other.test", b"*"), (b"http://o.test/", b"/")])
def test_options_for_the_whole_server_goes_on_as_such(path: bytes, target: bytes) -> None:
    assert forwarded(path=path, method="OPTIONS").target == target


def test_without_a_raw_path_the_path_is_quoted() -> None:
    planned = plan({**scope(HOST), "raw_path": None, "path": "/a b/ü?"}, Trust())
    assert isinstance(planned, Forward)
    assert planned.target == b"/a%20b/%C3%BC%3F"


ESCAPES = [b"/../x", b"/%2e%2e/x", b"/.%2E/x", b"/a/../../x", b"/a/..%2f../x", b"/a\\..\\..\\x", b"/a//../../x",
           b"/./../x", b"/..;/x", b"/a/%2e%2e%5c%2e%2e/x", b"/.."]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES)
def test_dot_segments_cannot_leave_the_path_of_an_upstream(path: bytes) -> None:
    assert refused(HOST, path=path, trust=Trust(is_confined=True)) == 400
    assert forwarded(path=path).target == path  # no path restricts the request here


@pytest.mark.parametrize(
    "path", [b"/a/../b", b"/a/b/../../c", b"/...", b"/..a", b"/a..", b"/.", b"/%2e%2e%2e", b"/v1.2/"]
)
def test_dot_segments_that_stay_inside_go_on(path: bytes) -> None:
    assert forwarded(path=path, trust=Trust(is_confined=True)).target == path


@pytest.mark.parametrize(
    ("method", "value", "becomes"),
    [
        ("OPTIONS", b"5", b"4"),
        ("OPTIONS", b"0", 200),
        ("OPTIONS", b"x", 400),
        ("OPTIONS", b"-1", 400),
        ("TRACE", b"1", b"0"),
        ("TRACE", b"0", 405),
        ("GET", b"0", b"0"),
    ],
)
def test_max_forwards_is_counted_down(method: str, value: bytes, becomes: bytes | int) -> None:
    trust = Trust(traces=True)
    if isinstance(becomes, int):
        assert refused(HOST, (b"max-forwards", value), method=method, trust=trust) == becomes
    else:
        assert sent((b"max-forwards", value), method=method, trust=trust) == [(b"max-forwards", becomes)]


# Host.


@pytest.mark.parametrize(
    "value", [b"", b"a b", b"a b/c", b"a/b", b"a@b", b"a,b", b"[::1", b"a:b", b"a:999999", b"\xff", b"a%"]
)
def test_a_malformed_host_is_a_400(value: bytes) -> None:
    expected = 400 if value != b"a,b" else None  # a comma is one of a name's characters
    planned = plan(scope((b"host", value)), Trust())
    assert (planned.status if isinstance(planned, Refusal) else None) == expected


def test_a_missing_or_repeated_host_is_a_400() -> None:
    assert refused() == 400
    assert refused(HOST, HOST) == 400
    assert refused(HOST, (b"host", b"other.test")) == 400
    assert refused(HOST, HOST, http_version="2") == 400
    assert refused(path=b"http://other.test/") == 400


@pytest.mark.parametrize("version", ["1", "1.0", "2", "3"])
@pytest.mark.parametrize("fields", [[], [(b"host", b"")]])
def test_other_versions_need_no_host(version: str, fields: Fields) -> None:
    planned = plan(scope(*fields, http_version=version), Trust())
    assert isinstance(planned, Forward)
    assert planned.host is None
    assert dict(planned.headers)[b"via"] == (b"1.0 gateway" if version == "1" else b"%b gateway" % version.encode())


def test_host_is_the_upstreams_unless_the_clients_is_kept() -> None:
    assert sent() == []
    assert sent(trust=Trust(keeps_host=True)) == [HOST]
    kept = sent(path=b"http://other.test/", trust=Trust(keeps_host=True))
    assert kept == [(b"host", b"other.test")]


# Framing.


@pytest.mark.parametrize(
    ("fields", "version", "has_body", "length"),
    [
        ([], "1.1", False, None),
        ([], "1.0", False, None),
        ([], "2", None, None),
        ([(b"content-length", b"0")], "1.1", True, 0),
        ([(b"content-length", b"6")], "2", True, 6),
        ([(b"content-length", b"6"), (b"content-length", b"6")], "1.1", True, 6),
        ([(b"content-length", b"6, 6")], "1.1", True, 6),
        ([(b"transfer-encoding", b"chunked")], "1.1", True, None),
        ([(b"transfer-encoding", b"Chunked")], "1.1", True, None),
        ([(b"content-length", b"6"), (b"transfer-encoding", b"chunked")], "1.1", True, None),
    ],
)
def test_the_framing_decides_whether_there_is_a_body(
    fields: Fields, version: str, has_body: bool | None, length: int | None
) -> None:
    planned = forwarded(*fields, http_version=version)
    assert (planned.has_body, planned.length) == (has_body, length)
    names = [name for name, _ in planned.headers]
    assert names.count(b"content-length") == (length is not None)
    assert b"transfer-encoding" not in names


@pytest.mark.parametrize("value", [b"gzip, chunked", b"gzip", b"identity", b"chunked, chunked", b"chunked;a=b", b""])
def test_another_transfer_coding_is_a_501(value: bytes) -> None:
    assert refused(HOST, (b"transfer-encoding", value)) == 501


@pytest.mark.parametrize("version", ["1.0", "2"])
def test_chunked_in_a_version_without_chunks_is_a_400(version: str) -> None:
    assert refused(HOST, (b"transfer-encoding", b"chunked"), http_version=version) == 400


@pytest.mark.parametrize("value", [b"6, 7", b"+6", b"-1", b"0x6", b"6 7", b"", b"six", b"9" * 30])
def test_a_malformed_content_length_is_a_400(value: bytes) -> None:
    assert refused(HOST, (b"content-length", value)) == 400


# Fields of one hop, and fields that a client may not send.

HOP = [b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
       b"trailer", b"upgrade", b"http2-settings"]  # fmt: skip


@pytest.mark.parametrize("name", HOP)
def test_fields_for_one_hop_end_here_in_both_directions(name: bytes) -> None:
    assert sent((name, b"x"), (b"x-kept", b"1")) == [(b"x-kept", b"1")]
    assert returned([(name, b"x"), (b"x-kept", b"1")], frozenset(), "1.1", b"me")[:-1] == [(b"x-kept", b"1")]


@pytest.mark.parametrize("options", [b"x-mine", b"close, X-Mine", b"x-mine;q=1", b",x-mine ,", b"keep-alive,\tx-mine"])
def test_fields_of_connection_end_here_in_both_directions(options: bytes) -> None:
    fields = [(b"connection", options), (b"x-mine", b"1"), (b"x-kept", b"2"), (b"x-mine", b"3")]
    assert sent(*fields) == [(b"x-kept", b"2")]
    assert returned(fields, frozenset(), "1.1", b"me")[:-1] == [(b"x-kept", b"2")]


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"x-forwarded-proto", b"via", b"host", b"content-length"])
def test_connection_cannot_remove_the_gateways_fields(name: bytes) -> None:
    plain = forwarded((b"content-length", b"3")).headers
    assert forwarded((b"connection", name), (b"content-length", b"3")).headers == plain


def test_connection_can_remove_cookies() -> None:
    assert sent((b"connection", b"cookie"), (b"cookie", b"a=1")) == []


CLAIMED = [b"forwarded", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-port", b"x-forwarded-prefix",
           b"x_forwarded_for", b"x-forwarded_proto", b"x_real_ip", b"x-forwarded-anything"]  # fmt: skip


@pytest.mark.parametrize("name", CLAIMED)
def test_a_clients_claims_about_itself_are_removed(name: bytes) -> None:
    assert forwarded((name, b"203.0.113.7")).headers == forwarded().headers


def test_the_upstream_gets_the_address_of_the_client() -> None:
    assert dict(forwarded(scheme="https").headers) == {
        b"via": b"1.1 gateway",
        b"x-forwarded-for": b"192.0.2.1",
        b"x-forwarded-host": b"gw.test",
        b"x-forwarded-proto": b"https",
    }
    assert b"x-forwarded-for" not in dict(forwarded(client=None).headers)


def test_a_trusted_proxy_is_believed_and_continued() -> None:
    trust = Trust(proxies=PROXIES, written=frozenset(("x-forwarded", "forwarded", "x-real-ip")))
    given = [
        (b"x-forwarded-for", b"203.0.113.7"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"shop.test"),
        (b"x-forwarded-port", b"8443"),
        (b"forwarded", b"for=203.0.113.7"),
        (b"x-real-ip", b"203.0.113.7"),
    ]
    planned = forwarded(*given, client=("10.1.2.3", 1), trust=trust)
    fields = dict(planned.headers)
    assert fields[b"x-forwarded-for"] == b"203.0.113.7, 10.1.2.3"
    assert fields[b"x-forwarded-proto"] == b"https"
    assert fields[b"x-forwarded-host"] == b"shop.test"
    assert fields[b"x-forwarded-port"] == b"8443"
    assert fields[b"forwarded"] == b"for=203.0.113.7, for=10.1.2.3;host=gw.test;proto=http"
    assert fields[b"x-real-ip"] == b"203.0.113.7"
    assert planned.client == "203.0.113.7"
    assert len(fields) == len(planned.headers)


def test_names_with_underscores_are_believed_of_no_proxy() -> None:
    planned = forwarded((b"x_forwarded_for", b"203.0.113.7"), client=("10.1.2.3", 1), trust=Trust(proxies=PROXIES))
    assert dict(planned.headers)[b"x-forwarded-for"] == b"10.1.2.3"


@pytest.mark.parametrize(
    ("peer", "chain", "client"),
    [
        ("192.0.2.1", b"203.0.113.7", "192.0.2.1"),
        ("10.0.0.1", b"203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", b"1.1.1.1, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", b"10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", b"203.0.113.7, unknown", "10.0.0.1"),
        ("2001:db8::1", b"2001:db9::7", "2001:db9::7"),
        ("::ffff:10.0.0.1", b"203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("unix:", b"203.0.113.7", "unix:"),
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_proxy(peer: str, chain: bytes, client: str) -> None:
    planned = forwarded((b"x-forwarded-for", chain), client=(peer, 1), trust=Trust(proxies=PROXIES))
    assert planned.client == client


@pytest.mark.parametrize(
    ("client", "host", "element"),
    [
        (("192.0.2.1", 1), b"gw.test", b"for=192.0.2.1;host=gw.test;proto=http"),
        (("2001:db8::1", 1), b"gw.test:8080", b'for="[2001:db8::1]";host="gw.test:8080";proto=http'),
        (None, b"gw.test", b"for=unknown;host=gw.test;proto=http"),
    ],
)
def test_forwarded_is_written_as_rfc_7239_has_it(client: object, host: bytes, element: bytes) -> None:
    planned = plan(scope((b"host", host), client=client), Trust(written=frozenset(("forwarded",))))
    assert isinstance(planned, Forward)
    assert dict(planned.headers)[b"forwarded"] == element
    assert b"x-forwarded-for" not in dict(planned.headers)


# Via.


def test_via_is_continued_in_both_directions() -> None:
    assert (b"via", b"1.0 a, 1.1 b, 2 gateway") in forwarded(
        *[(b"via", b"1.0 a"), (b"via", b"1.1 b")], http_version="2"
    ).headers
    assert returned([(b"via", b"1.1 a")], frozenset(), "2", b"me") == [(b"via", b"1.1 a, 2 me")]


@pytest.mark.parametrize("value", [b"1.1 gateway", b"1.0 a, HTTP/1.1 gateway", b"1.1 gateway (comment), 1.1 b"])
def test_a_request_that_has_passed_before_is_a_508(value: bytes) -> None:
    assert refused(HOST, (b"via", value)) == 508


@pytest.mark.parametrize("value", [b"1.1 gateway2", b"gateway", b"1.1 a (gateway)"])
def test_a_request_of_another_gateway_goes_on(value: bytes) -> None:
    assert isinstance(plan(scope(HOST, (b"via", value)), Trust()), Forward)


# Other fields.


def test_cookies_of_http2_are_joined_and_those_of_http1_stay() -> None:
    cookies = [(b"cookie", b"a=1"), (b"cookie", b"b=2")]
    assert sent(*cookies, http_version="2") == [(b"cookie", b"a=1; b=2")]
    assert sent(*cookies) == cookies


def test_other_fields_keep_their_order_and_their_repetitions() -> None:
    fields = [(b"accept", b"a"), (b"x-a", b"1"), (b"accept", b"b"), (b"authorization", b"c"), (b"x-a", b"")]
    assert sent(*fields) == fields
    cookies = [(b"set-cookie", b"a=1"), (b"date", b"now"), (b"set-cookie", b"b=2")]
    assert returned(cookies, frozenset((b"date",)), "1.1", b"me")[:-1] == [cookies[0], cookies[2]]


def test_the_fields_expect_and_te_are_recorded() -> None:
    requested = [(b"content-length", b"3"), (b"expect", b"100-continue"), (b"te", b"gzip;q=0.5, Trailers")]
    planned = forwarded(*requested)
    assert (planned.expects, planned.takes_trailers) == (True, True)
    assert (b"expect", b"100-continue") in planned.headers
    assert (forwarded().expects, forwarded((b"te", b"deflate")).takes_trailers) == (False, False)


def test_a_grpc_head_with_a_status_is_a_head_and_trailers() -> None:
    head = [(b"content-type", b"application/grpc"), (b"via", b"2 gateway")]
    trailers = [(b"grpc-status", b"3"), (b"grpc-message", b"no"), (b"x-last", b"ends")]
    assert without_trailers([*trailers[:1], *head, *trailers[1:]]) == (head, trailers)
    assert without_trailers([*head, (b"x-last", b"ends")]) == ([*head, (b"x-last", b"ends")], [])


NAMES = st.sampled_from([*HOP, *CLAIMED, b"host", b"cookie", b"via", b"max-forwards", b"content-length",
                         b"transfer-encoding", b"x-a", b"accept", b"expect"])  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=12), st.sampled_from([b"chunked", b"close, host, x-a", b"5", b"1.1 gateway", b"a=1"])
)


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=8),
    st.sampled_from(["1.0", "1.1", "2"]),
    st.sampled_from(["GET", "POST", "OPTIONS", "TRACE", "CONNECT"]),
    st.binary(max_size=12),
    st.sampled_from(["10.0.0.1", "192.0.2.1", ""]),
    st.booleans(),
)
def test_any_head_is_either_refused_or_forwarded_clean(
    fields: Fields, version: str, method: str, path: bytes, peer: str, confined: bool
) -> None:
    trust = Trust(proxies=PROXIES, is_confined=confined, traces=True)
    planned = plan(scope(*fields, method=method, path=path, http_version=version, client=(peer, 1)), trust)
    if isinstance(planned, Refusal):
        assert planned.status in (200, 400, 405, 501, 508)
        return
    names = [name for name, _ in planned.headers]
    assert not set(names) & {*HOP, b"host", b"transfer-encoding"}
    assert names.count(b"content-length") <= 1
    assert names.count(b"via") == 1
    assert not [name for name in names if b"_" in name]
    assert planned.target[:1] in (b"/", b"*")
