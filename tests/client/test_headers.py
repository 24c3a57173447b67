"""Headers as a case-insensitive multi-dict: kept, joined, found, refused and hidden values."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpcore
from httpcore import Headers, LocalProtocolError


@pytest.mark.parametrize(
    ("given", "raw"),
    [
        (None, []),
        ({}, []),
        ({"A": "b", "c": "D"}, [(b"A", b"b"), (b"c", b"D")]),
        ({b"A": b"b"}, [(b"A", b"b")]),
        ([("A", "b"), (b"a", b"\xfc"), ("A", "")], [(b"A", b"b"), (b"a", b"\xfc"), (b"A", b"")]),
        ((["A", "b"],), [(b"A", b"b")]),
        (iter([("A", "b")]), [(b"A", b"b")]),
        (Headers([("A", "b"), ("a", "c")]), [(b"A", b"b"), (b"a", b"c")]),
    ],
)
def test_headers_keep_order_spelling_and_octets(given: Headers | None, raw: list[tuple[bytes, bytes]]) -> None:
    assert Headers(given).raw == raw


def test_names_are_found_in_any_case() -> None:
    headers = Headers({"Content-Type": "application/json"})
    assert headers["content-type"] == headers["CONTENT-TYPE"] == headers[b"Content-type"] == "application/json"
    assert headers.get("content-TYPE") == "application/json"
    assert "CONTENT-type" in headers
    assert headers.__contains__(b"content-type")
    assert not headers.__contains__(1)
    assert "content-typ\xe9" not in headers
    assert "x" * 1000 not in headers
    assert headers.get("\ud800") is None
    assert headers.get("x") is None
    with pytest.raises(KeyError):
        _ = headers["x"]
    with pytest.raises(TypeError, match="expected str or bytes"):
        _ = headers[1]  # type: ignore[index]


def test_several_fields_are_one_value_but_cookies_are_not() -> None:
    headers = Headers([("Accept", "a"), ("Set-Cookie", "a=1, 2"), ("accept", "b"), ("Set-Cookie", "c=3")])
    assert headers["accept"] == "a, b"
    assert headers.get_list("Accept") == ["a", "b"]
    assert headers["set-cookie"] == "a=1, 2"
    assert headers.get_list("set-cookie") == ["a=1, 2", "c=3"]
    assert headers.get_raw("accept") == [b"a", b"b"]
    assert dict(headers) == {"Accept": "a, b", "Set-Cookie": "a=1, 2"}
    assert headers.multi_items() == [("Accept", "a"), ("Set-Cookie", "a=1, 2"), ("accept", "b"), ("Set-Cookie", "c=3")]
    assert (len(headers), len(headers.raw)) == (2, 4)


def test_values_are_text_in_any_encoding() -> None:
    headers = Headers([("a", b"\xc3\xbc"), ("b", b"\xfc"), ("c", "x")])
    assert [headers[name] for name in "abc"] == ["\xfc", "\xfc", "x"]


def test_headers_can_be_changed() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    headers["a"] = "4"
    assert headers.multi_items() == [("a", "4"), ("B", "2")]
    headers["C"] = b"5"
    headers.add("b", "6")
    assert headers.multi_items() == [("a", "4"), ("B", "2"), ("C", "5"), ("b", "6")]
    del headers["B"]
    assert headers.multi_items() == [("a", "4"), ("C", "5")]
    headers.delete("nothing")
    headers.set("c", "7")
    headers.update({"D": "8"})
    assert headers.setdefault("d", "9") == "8"
    assert headers.pop("A") == "4"
    assert headers.raw == [(b"c", b"7"), (b"D", b"8")]
    with pytest.raises(KeyError):
        del headers["A"]
    headers.clear()
    assert not headers


def test_copies_and_received_headers_are_left_alone() -> None:
    received = [(b"a", b"1"), (b"b", b"2")]
    headers = Headers.received(received)
    other = headers.copy()
    other["a"] = "3"
    headers.add("c", "4")
    headers["b"] = "5"
    del headers["a"]
    headers.raw.clear()
    assert received == [(b"a", b"1"), (b"b", b"2")]
    assert other.raw == [(b"a", b"3"), (b"b", b"2")]
    assert headers.raw == [(b"b", b"5"), (b"c", b"4")]


def test_headers_are_equal_by_fields_in_any_case() -> None:
    assert Headers({"A": "b"}) == Headers({"a": "b"})
    assert Headers({"A": "b"}) != Headers({"a": "B"})
    assert Headers([("a", "1"), ("b", "2")]) != Headers([("b", "2"), ("a", "1")])
    assert Headers({"a": "b"}) != {"a": "b"}
    assert pickle.loads(pickle.dumps(Headers({"A": "b"}))).raw == [(b"A", b"b")]
    with pytest.raises(TypeError):
        hash(Headers())


REFUSED = [
    *[("a", f"b{chr(code)}c") for code in (*range(9), *range(10, 32), 127)],
    *[("a", value) for value in (" b", "b ", "\tb", "b\t", "\xfc", "b\r\nc: d")],
    *[(name, "b") for name in ("", " ", "a b", "a:", "a\n", "\xfc", "(a)", ":authority", "a\x00")],
    *[(1, "b"), ("a", 1), ("a", None), ("a", ["b"])],
]


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=ascii)
def test_unsendable_values_are_refused_wherever_they_are_set(name: str, value: str) -> None:
    headers = Headers({"x": "y"})
    for change in (
        lambda: Headers({name: value}),
        lambda: Headers([("x", "y"), (name, value)]),
        lambda: Headers(iter([(name, value)])),
        lambda: headers.add(name, value),
        lambda: headers.set(name, value),
        lambda: headers.update({name: value}),
    ):
        with pytest.raises(LocalProtocolError, match=r"headers\[\d\]"):
            change()
    assert headers.raw == [(b"x", b"y")]


@pytest.mark.parametrize("given", [1, "a: b", b"a: b", ["ab"], [("a",)], [("a", "b", "c")]])
def test_headers_of_another_shape_are_named(given: object) -> None:
    with pytest.raises(LocalProtocolError, match="headers"):
        Headers(given)  # type: ignore[arg-type]


def test_a_subclass_of_str_is_kept_as_it_was_checked() -> None:
    class Text(str):
        def encode(self, *args: object, **options: object) -> bytes:
            return b"evil\r\nx: y"

    for headers in (Headers([(Text("a"), Text("b"))]), Headers()):
        headers.add(Text("c"), Text("d"))
        headers.set(Text("c"), Text("e"))
        assert headers.raw[-1] == (b"c", b"e")
        assert type(headers.raw[-1][0]) is type(headers.raw[-1][1]) is bytes
        assert headers[Text("c")] == "e"


def test_no_credentials_are_in_the_repr() -> None:
    names = ("Authorization", "proxy-authorization", "COOKIE", "Set-Cookie")
    shown = repr(Headers([*[(name, "s3cret") for name in names], ("Accept", "visible")]))
    assert "s3cret" not in shown
    assert all(name in shown for name in names)
    assert "visible" in shown


TOKENS = st.text("abAB-1", min_size=1, max_size=3)
VALUES = st.text("ab, \xfc", max_size=4).map(str.strip).map(str.encode)


@given(st.lists(st.tuples(TOKENS, VALUES), max_size=6), TOKENS, VALUES)
def test_a_set_field_is_found_and_all_else_stays(fields: list[tuple[str, bytes]], name: str, value: bytes) -> None:
    headers = Headers(fields)
    headers[name] = value
    assert headers.get_raw(name) == [value]
    others = [(other.encode(), content) for other, content in fields if other.lower() != name.lower()]
    assert [field for field in headers.raw if field[0].lower() != name.lower().encode()] == others
    assert Headers(headers.raw) == headers


def test_a_transport_takes_the_fields() -> None:
    headers = Headers([("X-A", "1"), ("x-a", "2")])
    transport = httpcore.MockTransport(
        lambda method, url, received, body, extensions: httpcore.TransportResponse(200, received, b"")
    )
    with transport.request("GET", "http://example.org/", headers.raw) as (_, received, _, _):
        assert Headers.received(received)["x-a"] == "1, 2"
