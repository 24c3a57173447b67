"""The bytes on the wire for the caller's arguments, the refused arguments, and the facts for the exchange."""

from __future__ import annotations

import io
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcore._errors import HTTPCoreError, InvalidURL, LocalProtocolError
from httpcore._message import request as _request
from httpcore._message import url as _url
from httpcore._message.body import Body
from httpcore._message.request import Request, chunk, header_pairs, last_chunk
from httpcore._message.url import URL

URL_ = "http://example.com/p?q"
TCHAR = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def pieces() -> Iterator[bytes]:
    yield b"x"


def read_head(head: bytes) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    """A strict parser of RFC 9112, written apart from the code that it checks: it splits a head, then checks every
    byte.
    """
    lines = head.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert b"" not in lines[:-2], "the bytes contain more than one message"
    method, target, version = lines[0].split(b" ")
    assert method
    assert not set(method) - set(TCHAR)
    assert target
    assert all(0x21 <= byte <= 0x7E for byte in target)
    assert version == b"HTTP/1.1"
    return method, target, [read_line(line) for line in lines[1:-2]]


def read_line(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    assert name
    assert not set(name) - set(TCHAR)
    value = value.strip(b" \t")
    assert all(byte == 0x09 or (byte >= 0x20 and byte != 0x7F) for byte in value)
    return name, value


def check(request: Request) -> None:
    assert read_head(request.head) == (request.method, request.target, request.headers)


# Row A1 of docs/security.md: for any byte in any position, the result is one request with the same fields, or an error.

PLACES: list[Callable[[bytes], bytes]] = [
    lambda byte: byte + b"ab",
    lambda byte: b"a" + byte + b"b",
    lambda byte: b"ab" + byte,
    lambda byte: byte,
    lambda byte: b"a" + byte + b"X: y" + byte + b"b",
    lambda byte: b"a\r\n" + byte + b": b",
]


def as_text(raw: bytes) -> str:
    return raw.decode("latin-1")


FIELDS: dict[str, Callable[[Any], Request]] = {
    "method": lambda raw: Request.of(raw, URL_),
    "target": lambda raw: Request.of("GET", URL_, target=raw),
    "path": lambda raw: Request.of("GET", ("http://h/" if isinstance(raw, str) else b"http://h/") + raw),
    "query": lambda raw: Request.of("GET", ("http://h/?" if isinstance(raw, str) else b"http://h/?") + raw),
    "url host": lambda raw: Request.of("GET", ("http://" if isinstance(raw, str) else b"http://") + raw),
    "user name": lambda raw: Request.of("GET", f"http://{raw}@h/" if isinstance(raw, str) else b"http://%b@h/" % raw),
    "host": lambda raw: Request.of("GET", URL_, [("Host", raw)]),
    "header name": lambda raw: Request.of("GET", URL_, [(raw, b"v")]),
    "header value": lambda raw: Request.of("GET", URL_, [("X-V", raw), ("X-W", "w")]),
    "cookie": lambda raw: Request.of("GET", URL_, {"Cookie": raw}),
    "upgrade": lambda raw: Request.of("GET", URL_, [("Upgrade", raw), ("Connection", "upgrade")]),
    "content-length": lambda raw: Request.of("POST", URL_, [("Content-Length", raw)], pieces()),
    "transfer-encoding": lambda raw: Request.of("POST", URL_, [("Transfer-Encoding", raw)], pieces()),
    "connect target": lambda raw: Request.of("CONNECT", URL_, target=raw),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("text", [False, True], ids=["bytes", "str"])
def test_any_byte_anywhere_makes_one_request_or_an_error(field: str, text: bool) -> None:
    make, refused = FIELDS[field], 0
    for number in range(256):
        for place in PLACES:
            raw = place(bytes([number]))
            try:
                request = make(as_text(raw) if text else raw)
            except HTTPCoreError:
                refused += 1
                continue
            check(request)
            if field == "method":
                assert request.method == raw
            elif field in ("target", "connect target"):
                assert request.target == raw
            elif field == "header name":
                assert (raw, b"v") in request.headers
            elif field in ("header value", "cookie", "upgrade"):
                assert raw in [value for _, value in request.headers]
    assert 256 <= refused < 256 * len(PLACES) + 1


class FieldsLater:
    def __init__(self, fields: Any) -> None:
        self.fields = fields

    def __call__(self) -> Any:
        return self.fields


@pytest.mark.parametrize("make", [lambda raw: [(raw, b"v")], lambda raw: [(b"x", raw)]], ids=["name", "value"])
@pytest.mark.parametrize("late", [False, True], ids=["list", "callable"])
def test_any_byte_in_a_trailer_is_sent_unchanged_or_an_error(make: Callable[[bytes], Any], late: bool) -> None:
    for number in range(256):
        for place in PLACES:
            given = make(place(bytes([number])))
            try:
                fields = Request.of("POST", URL_, trailers=FieldsLater(given) if late else given).final_trailers()
            except LocalProtocolError:
                continue
            end = last_chunk(fields)
            assert end.startswith(b"0\r\n")
            assert end.endswith(b"\r\n\r\n")
            assert [read_line(line) for line in end[3:-4].split(b"\r\n")] == given


@given(
    st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=8)), max_size=4),
    st.sampled_from([b"GET", b"POST", b"OPTIONS"]),
)
def test_random_headers_read_back_or_are_refused(headers: list[tuple[bytes, bytes]], method: bytes) -> None:
    try:
        request = Request.of(method, URL_, headers)
    except LocalProtocolError:
        return
    check(request)
    assert [pair for pair in request.headers if pair in headers] == headers


NAMES = st.text(alphabet="aB-1", min_size=1, max_size=5).map(lambda name: f"x{name}")
VALUES = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_good_headers_are_sent_as_given_in_every_shape(headers: list[tuple[str, str]]) -> None:
    wanted = [(name.encode(), value.encode()) for name, value in headers]
    for shape in (headers, tuple(headers), iter(headers), [list(pair) for pair in headers], wanted):
        request = Request.of("GET", URL_, shape)  # type: ignore[arg-type]  # pairs as lists too
        check(request)
        assert request.headers == [(b"Host", b"example.com"), *wanted]


# Sent bytes.


def test_a_plain_get_sends_no_field_but_host() -> None:
    request = Request.of("GET", "http://example.com:8080/p?q#f")
    assert request.head == b"GET /p?q HTTP/1.1\r\nHost: example.com:8080\r\n\r\n"
    assert request.headers == [(b"Host", b"example.com:8080")]
    assert (request.chunked, request.content_length, request.close, request.upgrade) == (False, None, False, False)
    assert (request.expects_continue, request.idempotent, request.trailers) == (False, True, None)
    assert request.body.is_empty


def test_names_keep_their_case_and_order_and_the_host_its_place() -> None:
    headers = [(b"X-a", b"1"), (b"hOST", b"other.example"), (b"x-A", b"2")]
    request = Request.of(b"GET", URL.parse(URL_), headers)
    assert request.headers == headers
    assert request.head == b"GET /p?q HTTP/1.1\r\nX-a: 1\r\nhOST: other.example\r\nx-A: 2\r\n\r\n"


def test_the_users_list_is_not_changed() -> None:
    headers = [("A", "b")]
    Request.of("POST", URL_, headers, b"x")
    assert headers == [("A", "b")]


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        (None, []),
        ([], []),
        ({}, []),
        ({"A": "b"}, [(b"A", b"b")]),
        ({b"A": b"b"}, [(b"A", b"b")]),
        (OrderedDict(A="b", C="d"), [(b"A", b"b"), (b"C", b"d")]),
        ([("A", b"b"), (b"A", "b")], [(b"A", b"b"), (b"A", b"b")]),
        ([("A", "")], [(b"A", b"")]),
        ([("A", "b\tc  d:  e: \tf")], [(b"A", b"b\tc  d:  e: \tf")]),
        ([(b"A", b"\xff\x80")], [(b"A", b"\xff\x80")]),
        ((pair for pair in [("A", "b")]), [(b"A", b"b")]),
    ],
)
def test_headers_may_have_many_shapes(headers: Any, wanted: list[tuple[bytes, bytes]]) -> None:
    request = Request.of("GET", URL_, headers)
    check(request)
    assert request.headers == [(b"Host", b"example.com"), *wanted]


def test_subclasses_of_str_and_bytes_become_plain_bytes() -> None:
    class Text(str):
        __slots__ = ()

    class Raw(bytes):
        pass

    request = Request.of(Text("GET"), URL_, [(Text("A"), Raw(b"b")), (Raw(b"C"), Text("d"))])
    assert request.headers[1:] == [(b"A", b"b"), (b"C", b"d")]
    assert {type(part) for pair in request.headers for part in pair} == {bytes}
    assert type(request.method) is bytes


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ("A: b", "headers is of type str"),
        (b"A: b", "headers is of type bytes"),
        (5, "headers is of type int"),
        (["ab"], r"headers\[0\] is of type str"),
        ([("A", "b"), None], r"headers\[1\] is of type NoneType"),
        ([("A", "b"), ("A",)], r"headers\[1\] is of type tuple of length 1"),
        ([("A", "b", "c")], r"headers\[0\] is of type tuple of length 3"),
        ([{"A", "b"}], r"headers\[0\] is of type set"),
        ([("A", 5)], r"headers\[0\] \('A'\) has a value of type int"),
        ([("A", None)], r"headers\[0\] \('A'\) has a value of type NoneType"),
        ([("A", bytearray(b"b"))], r"has a value of type bytearray"),
        ([(5, "b")], r"headers\[0\] has a name of type int"),
        ([(bytearray(b"A"), b"b")], r"has a name of type bytearray"),
        ([([], "b")], r"headers\[0\] has a name of type list"),
        ([("\xe9", "b")], r"headers\[0\] has a name with a non-ASCII"),
        ([("A", "\xe9")], r"headers\[0\] \('A'\) has a value with a non-ASCII"),
        ([("A", "b"), ("", "b")], r"headers\[1\] has an empty name: expected a token"),
        ([("A b", "c")], r"name that begins with 'A '"),
        ([("A", "b\r\nC: d")], r"headers\[0\] \('A'\) has a value with a control character"),
        ([("A", " b")], "whitespace at its start or end"),
        ([("A", "b\t")], "whitespace at its start or end"),
        ([("A", " ")], "whitespace at its start or end"),
        ([(b"A", b"\tb")], "whitespace at its start or end"),
    ],
)
def test_a_malformed_header_is_named_by_place_and_kind(headers: Any, seen: str) -> None:
    with pytest.raises(LocalProtocolError, match=seen):
        Request.of("GET", URL_, headers)
    with pytest.raises(LocalProtocolError, match=seen):
        header_pairs(headers)
    with pytest.raises(LocalProtocolError, match=seen.replace("headers", "trailers")):
        Request.of("GET", URL_, trailers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer s3cret\n")],
        [("Authorization", " s3cret")],
        [("Authorization", "s3cret\xe9")],
        [(b"Authorization", b"s3cret\0")],
        [("Authorization: Bearer s3cret", "x")],
        [("Authorization:s3cret", "x")],
        [("Authorization", ["s3cret"])],
        ["Authorization: s3cret"],
        {"Host": "s3cret/"},
        {"Content-Length": "s3cret"},
        {"Transfer-Encoding": "s3cret"},
    ],
)
def test_no_error_shows_a_headers_value(headers: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Request.of("GET", URL_, headers)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_the_repr_shows_neither_headers_nor_credentials() -> None:
    request = Request.of("GET", "http://user:s3cret@h/p", {"Authorization": "s3cret"})
    assert repr(request) == "<Request 'GET' 'http://h/p'>"
    assert b"s3cret" not in request.head.replace(b"Authorization: s3cret", b"")
    assert b"user" not in request.head


# Method, target and Host.


@pytest.mark.parametrize("method", ["", "G T", "GET\n", "G\xe9T", None, 5, b"", b"G(T", "GET /x HTTP/1.1\r\nA:"])
def test_a_malformed_token_is_no_method(method: Any) -> None:
    with pytest.raises(LocalProtocolError, match="method is"):
        Request.of(method, URL_)


def test_any_token_is_a_method_and_keeps_its_case() -> None:
    assert Request.of("get", URL_).method == b"get"
    assert Request.of(b"M-SEARCH", URL_).method == b"M-SEARCH"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", '/raw|path\\{}<>"^`?%zz[]'),
        ("GET", b"//double"),
        ("GET", "http://example.com/p"),
        ("GET", "http://[::1]:80?q"),
        ("OPTIONS", "*"),
        ("OPTIONS", "/p"),
        ("CONNECT", "example.com:443"),
        ("CONNECT", "[::1]:443"),
    ],
)
def test_a_target_given_is_sent_as_given(method: str, target: str | bytes) -> None:
    request = Request.of(method, URL_, target=target)
    check(request)
    assert request.target == (target.encode() if isinstance(target, str) else target)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", ""),
        ("GET", "p"),
        ("GET", "*"),
        ("GET", "example.com:443"),
        ("GET", "/a b"),
        ("GET", "/a#f"),
        ("GET", "/\xe9"),
        ("GET", b"/\xe9"),
        ("GET", "/a\r\nX: y"),
        ("GET", "http://user:pw@h/"),
        ("GET", "http:///p"),
        ("GET", 5),
        ("CONNECT", "/p"),
        ("CONNECT", "h"),
        ("CONNECT", "h:"),
        ("CONNECT", "u@h:1"),
        ("CONNECT", "::1:443"),
        ("CONNECT", "http://h:443"),
        ("OPTIONS", "**"),
    ],
)
def test_a_target_of_the_wrong_form_is_refused(method: str, target: Any) -> None:
    with pytest.raises(LocalProtocolError, match="target is") as caught:
        Request.of(method, URL_, target=target)
    assert "pw" not in str(caught.value)


def test_connect_names_host_and_port_and_has_no_framing() -> None:
    request = Request.of("CONNECT", "https://[::1]/ignored")
    assert request.head == b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"
    assert (request.chunked, request.content_length) == (False, None)


def test_the_host_of_a_connect_is_its_target() -> None:
    request = Request.of("CONNECT", "http://proxy:3128", target="example.com:443")
    assert request.headers == [(b"Host", b"example.com:443")]


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
@pytest.mark.parametrize(
    "more", [{"body": b"x"}, {"headers": {"Content-Length": "0"}}, {"trailers": {"a": "b"}}, {"body": pieces}]
)
def test_connect_and_trace_have_no_body(method: str, more: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError, match=method):
        Request.of(method, URL_, **more)


@pytest.mark.parametrize(
    "headers",
    [[("Host", "a"), ("host", "a")], [("Host", "a/b")], [("Host", "a b")], [(b"Host", b"\xe9")], [("Host", "u@h")]],
)
def test_a_malformed_or_repeated_host_is_refused(headers: Any) -> None:
    with pytest.raises(LocalProtocolError, match="Host"):
        Request.of("GET", URL_, headers)


def test_a_bad_url_is_an_invalid_url() -> None:
    with pytest.raises(InvalidURL):
        Request.of("GET", "example.com")


# Framing.

UNKNOWN = pieces
KNOWN = b"12345"


@pytest.mark.parametrize(
    ("method", "headers", "body", "added", "length", "chunked"),
    [
        ("GET", {}, b"", None, None, False),
        ("DELETE", {}, None, None, None, False),
        ("POST", {}, b"", b"Content-Length: 0", 0, False),
        ("PUT", {}, None, b"Content-Length: 0", 0, False),
        ("PATCH", {}, io.BytesIO(), b"Content-Length: 0", 0, False),
        ("GET", {}, io.BytesIO(), None, None, False),
        ("GET", {}, KNOWN, b"Content-Length: 5", 5, False),
        ("HEAD", {}, KNOWN, b"Content-Length: 5", 5, False),
        ("POST", {}, "\xe9", b"Content-Length: 2", 2, False),
        ("POST", {}, io.BytesIO(KNOWN), b"Content-Length: 5", 5, False),
        ("POST", {}, UNKNOWN, b"Transfer-Encoding: chunked", None, True),
        ("GET", {}, UNKNOWN, b"Transfer-Encoding: chunked", None, True),
        ("POST", {"content-length": "5"}, KNOWN, None, 5, False),
        ("POST", {"content-length": "7"}, UNKNOWN, None, 7, False),
        ("POST", {"Content-Length": "0"}, b"", None, 0, False),
        ("GET", {"Content-Length": "0"}, b"", None, 0, False),
        ("POST", {"transfer-encoding": "chunked"}, UNKNOWN, None, None, True),
        ("POST", {"transfer-encoding": "chunked"}, KNOWN, None, None, True),
        ("POST", {"transfer-encoding": "chunked"}, b"", None, None, True),
    ],
)
def test_the_framing_follows_the_body_and_the_given_headers(
    method: str, headers: Any, body: Any, added: bytes | None, length: int | None, chunked: bool
) -> None:
    request = Request.of(method, URL_, headers, body)
    check(request)
    assert (request.content_length, request.chunked) == (length, chunked)
    lines = [line for line in request.head.split(b"\r\n") if re.match(rb"Content-Length|Transfer-Encoding", line)]
    given_lines = [f"{name}: {value}".encode() for name, value in headers.items()]
    assert [line for line in lines if line not in given_lines] == ([] if added is None else [added])


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], KNOWN),
        ([("content-length", "5"), ("CONTENT-LENGTH", "5")], KNOWN),
        ([("Content-Length", "5, 5")], KNOWN),
        ([("Content-Length", "+5")], KNOWN),
        ([("Content-Length", "-5")], KNOWN),
        ([("Content-Length", "")], KNOWN),
        ([("Content-Length", "0x5")], KNOWN),
        ([("Content-Length", "5.0")], KNOWN),
        ([("Content-Length", "1" * 19)], UNKNOWN),
        ([("Content-Length", "1" * 100_000)], UNKNOWN),
        ([("Content-Length", "4")], KNOWN),
        ([("Content-Length", "6")], KNOWN),
        ([("Content-Length", "1")], b""),
        ([("Transfer-Encoding", "gzip, chunked")], KNOWN),
        ([("Transfer-Encoding", "Chunked")], KNOWN),
        ([("Transfer-Encoding", "identity")], KNOWN),
        ([("Transfer-Encoding", "xchunked")], UNKNOWN),
        ([("Transfer-Encoding", "")], UNKNOWN),
        ([("Transfer-Encoding", "chunked"), ("transfer-encoding", "chunked")], UNKNOWN),
    ],
)
def test_framing_that_contradicts_itself_or_the_body_is_refused(headers: Any, body: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"Content-Length|Transfer-Encoding"):
        Request.of("POST", URL_, headers, body)


# Facts.


@pytest.mark.parametrize(
    ("value", "close"),
    [
        ("close", True),
        ("Close", True),
        ("keep-alive, close", True),
        ("upgrade,\tCLOSE ,x", True),
        ("closed", False),
        ("", False),
    ],
)
def test_connection_close_is_noticed(value: str, close: bool) -> None:
    assert Request.of("GET", URL_, {"connection": value}).close is close


def test_an_upgrade_is_noticed() -> None:
    assert Request.of("GET", URL_, {"UPGRADE": "websocket", "Connection": "Upgrade"}).upgrade


def test_100_continue_is_expected_only_with_a_body() -> None:
    assert Request.of("PUT", URL_, {"Expect": "100-Continue"}, b"x").expects_continue
    assert Request.of("PUT", URL_, {"Expect": "100-continue"}, pieces()).expects_continue
    assert not Request.of("PUT", URL_, {"Expect": "100-continue"}).expects_continue
    assert not Request.of("PUT", URL_, {"Expect": "other"}, b"x").expects_continue


@pytest.mark.parametrize(
    ("method", "headers", "idempotent"),
    [
        *[(method, {}, True) for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY")],
        *[(method, {}, False) for method in ("POST", "PATCH", "CONNECT", "get", "PURGE")],
        ("POST", {"idempotency-key": "1"}, True),
        ("PATCH", {"X-Idempotency-Key": "1"}, True),
    ],
)
def test_idempotent_methods_are_known(method: str, headers: dict[str, str], idempotent: bool) -> None:
    assert Request.of(method, URL_, headers).idempotent is idempotent


# Trailers and chunks.


def test_trailers_make_the_body_chunked() -> None:
    request = Request.of("POST", URL_, None, b"12345", trailers=[("X-Sum", "1")])
    assert (request.chunked, request.content_length) == (True, None)
    assert request.final_trailers() == [(b"X-Sum", b"1")]
    with pytest.raises(LocalProtocolError, match="chunked"):
        Request.of("POST", URL_, {"Content-Length": "5"}, b"12345", trailers=[("X-Sum", "1")])


def test_a_callable_is_called_for_trailers_at_the_end() -> None:
    calls = []

    def trailers() -> dict[str, str]:
        calls.append(1)
        return {"X-Sum": "1"}

    request = Request.of("POST", URL_, None, pieces(), trailers=trailers)
    assert calls == []
    assert request.final_trailers() == [(b"X-Sum", b"1")]


@pytest.mark.parametrize("trailers", [None, [], {}, ()])
def test_no_trailers_change_nothing(trailers: Any) -> None:
    request = Request.of("GET", URL_, trailers=trailers)
    assert not request.chunked
    assert request.final_trailers() == []


@pytest.mark.parametrize(
    "name", ["Content-Length", "transfer-encoding", "HOST", "Authorization", "Trailer", "Set-Cookie"]
)
def test_fields_of_the_head_are_refused_among_trailers(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"trailers\[1\]"):
        Request.of("POST", URL_, trailers=[("ok", "1"), (name, "1")])
    with pytest.raises(LocalProtocolError, match=r"trailers\[0\]"):
        Request.of("POST", URL_, trailers=lambda: {name: "1"}).final_trailers()


def test_chunks_carry_their_size_and_an_empty_one_ends_no_body() -> None:
    assert b"".join(chunk(b"x" * 26)) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert chunk(b"") == ()
    assert last_chunk([]) == b"0\r\n\r\n"
    assert last_chunk([(b"a", b"b"), (b"c", b"")]) == b"0\r\na: b\r\nc: \r\n\r\n"


def test_a_large_piece_is_not_copied_into_its_chunk() -> None:
    piece = b"x" * 70_000
    size, data, end = chunk(piece)
    assert (size, end) == (b"11170\r\n", b"\r\n")
    assert data is piece


# Cost.


@pytest.mark.cpu_time
@pytest.mark.parametrize(
    "make",
    [
        lambda size: [("X-V", "a" * size)],
        lambda size: [("X-V", " " * size + "a")],
        lambda size: [("X-V", "a" + " " * size)],
        lambda size: [("X-V", "a " * size + "\0")],
        lambda size: [("a" * size, "v")],
        lambda size: [("a" * size + " ", "v")],
        lambda size: [("X-V", "v")] * (size // 10),
        lambda size: [(f"x{number}", "v") for number in range(size // 100)],
        lambda size: [("Connection", "a," * size)],
    ],
)
def test_headers_of_a_megabyte_take_linear_time(make: Callable[[int], Any]) -> None:
    headers = make(1_000_000)
    began = time.process_time()
    with suppress(LocalProtocolError):
        Request.of("GET", URL_, headers)
    assert time.process_time() - began < 20  # seconds: it takes less than one, and would take hours if quadratic


def test_names_that_are_remembered_stay_few() -> None:
    from httpcore._message import request as _request

    Request.of("GET", URL_, [(f"x-{number}", "v") for number in range(5_000)])
    # Caches between requests cost memory and change no result.
    assert len(_request._names) <= 1024


def test_a_body_object_is_used_unchanged() -> None:
    body = Body.of(b"x")
    assert Request.of("POST", URL_, body=body).body is body


def test_a_request_of_method_and_url_alone_is_remembered() -> None:
    first = Request.of("GET", "http://a.test/remembered")
    assert Request.of("GET", "http://a.test/remembered") is first
    assert Request.of("GET", "http://a.test/remembered", {}) is first
    for other in (
        Request.of("HEAD", "http://a.test/remembered"),
        Request.of(b"GET", "http://a.test/remembered"),
        Request.of("GET", b"http://a.test/remembered"),
        Request.of("GET", "http://a.test/remembered", {"a": "b"}),
        Request.of("GET", "http://a.test/remembered", None, b"x"),
        Request.of("GET", "http://a.test/remembered", None, [b"x"]),
        Request.of("GET", "http://a.test/remembered", target="/other"),
        Request.of("GET", "http://a.test/remembered", trailers=list),
    ):
        assert other is not first
    assert Request.of("GET", "http://a.test/remembered") is first
    assert first.head == b"GET /remembered HTTP/1.1\r\nHost: a.test\r\n\r\n"


def test_possible_secrets_are_in_no_memory() -> None:
    for _ in range(2):
        Request.of("GET", "http://user:not-to-be-kept@a.test/")
        Request.of("GET", "http://a.test/", {"authorization": "not-to-be-kept"})
        Request.of("GET", "http://a.test/" + "x" * 600)
    # No public name shows the content of these caches.
    assert not any("not-to-be-kept" in url or len(url) > 512 for _, url, *_ in _request._plain)
    assert not any("not-to-be-kept" in start for start in _url._places)


def test_remembered_requests_have_a_bound() -> None:
    for number in range(3000):
        Request.of("GET", f"http://a.test/{number}")
        Request.of("GET", f"http://{number}.test/x")
    # No public name shows the bounds of these caches.
    assert len(_request._plain) <= 1024
    assert len(_url._places) <= 1024


def test_a_forwarded_request_is_another_one() -> None:
    plain = Request.of("GET", "http://a.test/forwarded")
    before = plain.head, plain.target, list(plain.headers)
    other = plain.forward([(b"Proxy-Authorization", b"Basic eA==")])
    assert other is not plain
    assert other.target == b"http://a.test/forwarded"
    assert (plain.head, plain.target, plain.headers) == before
    assert Request.of("GET", "http://a.test/forwarded") is plain
