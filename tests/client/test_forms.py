"""Every form of `content`, `data`, `files` and `json`: the bytes sent, and the combinations that are refused."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtimes import Runtime, each_runtime
from servers import uvicorn

from httpcore import LocalProtocolError, ReplayableBody, SyncConnectionPool
from httpcore._client.forms import encode_content, encode_json
from httpcore._client.multipart import Multipart
from httpcore._client.pairs import form_pairs, urlencoded

FORM = [(b"Content-Type", b"application/x-www-form-urlencoded")]
JSON = [(b"Content-Type", b"application/json")]

CASES: dict[str, tuple[dict[str, Any], Any, bytes | None]] = {
    "nothing": ({}, [], b""),
    "bytes": ({"content": b"a\0"}, [], b"a\0"),
    "a bytearray": ({"content": bytearray(b"a")}, [], b"a"),
    "text": ({"content": "größe"}, [], "größe".encode()),
    "a file": ({"content": io.BytesIO(b"x")}, [], None),
    "an iterator": ({"content": iter([b"x"])}, [], None),
    "a form as content": ({"content": {"a": "b c"}}, FORM, b"a=b+c"),
    "a form": ({"data": {"a": "1", "b": "é&="}}, FORM, b"a=1&b=%C3%A9%26%3D"),
    "pairs": ({"data": [("a", 1), ("a", 2)]}, FORM, b"a=1&a=2"),
    "lists": ({"data": {"a": [1, "x"], "b": ()}}, FORM, b"a=1&a=x"),
    "values": ({"data": {"t": True, "n": None, "f": 1.5, "b": b"\xff"}}, FORM, b"t=true&n=&f=1.5&b=%FF"),
    "an empty form": ({"data": {}}, FORM, b""),
    "no files": ({"data": {"a": "b"}, "files": {}}, FORM, b"a=b"),
    "JSON": ({"json": {"a": ["é", 1, None, 1.5]}}, JSON, '{"a":["é",1,null,1.5]}'.encode()),
    "JSON that is false": ({"json": False}, JSON, b"false"),
    "JSON that is empty": ({"json": {}}, JSON, b"{}"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_shape_has_its_body_and_content_type(case: str) -> None:
    arguments, headers, content = CASES[case]
    encoded = encode_content(**arguments)
    assert (encoded.headers, encoded.content) == (headers, content)
    assert encoded.replayable


def test_files_and_a_multipart_object_are_multipart() -> None:
    for encoded in (encode_content(files={"f": b"x"}, data={"a": 1}), encode_content(Multipart({"a": 1}, {"f": b"x"}))):
        assert encoded.headers[0][1].startswith(b"multipart/form-data; boundary=")
        assert encoded.content is not None
        assert encoded.content.count(b"Content-Disposition") == 2


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "content and data": {"content": b"", "data": {}},
    "content and files": {"content": "x", "files": {}},
    "content and json": {"content": b"", "json": 0},
    "data and json": {"data": {}, "json": []},
    "files and json": {"files": {}, "json": 1},
    "content and data and files and json": {"content": b"", "data": {}, "files": {}, "json": 1},
}


@pytest.mark.parametrize("names", CONTRADICTIONS)
def test_arguments_that_contradict_each_other_are_named(names: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"^{names} are given: expected one of them"):
        encode_content(**CONTRADICTIONS[names])


WRONG = {
    "bytes as data": b"raw",
    "text as data": "raw",
    "a number": 5,
    "no pairs": [b"secret-value"],
    "triples": [("a", "b", "c")],
    "a name of another type": {1: "secret-value"},
    "a value of another type": {"a": object()},
    "a nested mapping": {"a": {"b": "secret-value"}},
    "a surrogate in a value": {"a": "secret-value\ud800"},
    "a surrogate in a name": {"\ud800": "secret-value"},
    "a number of too many digits": {"a": 10**5_000},
    "a value in a list": {"a": ["x", object()]},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_form_of_another_shape_is_refused_without_its_values(case: str) -> None:
    with pytest.raises(
        LocalProtocolError, match=r"^data(\[0\])?.*(: expected|expected text that UTF-8|: give it as)"
    ) as raised:
        encode_content(data=WRONG[case])  # type: ignore[arg-type]
    assert "secret-value" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


@pytest.mark.parametrize("content", [5, 1.5, object(), True])
def test_content_of_another_type_is_refused(content: Any) -> None:
    with pytest.raises(LocalProtocolError, match="body is of type"):
        encode_content(content)


# Url-encoded forms, as the URL standard defines them.


def test_each_octet_is_encoded_as_browsers_do() -> None:
    plain = b"*-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    for byte in range(256):
        raw = bytes([byte])
        expected = raw if raw in plain else b"+" if raw == b" " else b"%%%02X" % byte
        assert urlencoded([(raw, raw)]) == expected + b"=" + expected


@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.binary()), max_size=5))
def test_any_form_is_read_back_by_the_standard_library(pairs: list[tuple[str, bytes]]) -> None:
    sent = urlencoded(form_pairs(pairs)).decode()
    # The standard library follows RFC 3986, which leaves other characters unencoded than the URL standard does.
    assert sent == urlencode(pairs).replace("~", "%7E").replace("%2A", "*")
    read = parse_qsl(sent, keep_blank_values=True, errors="surrogateescape")
    assert [(name, value.encode(errors="surrogateescape")) for name, value in read] == pairs


# JSON.


@pytest.mark.parametrize("value", [math.nan, math.inf, [-math.inf], {"a": {"b": math.nan}}])
def test_numbers_that_json_does_not_have_are_refused(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match="json has NaN or an infinity: expected finite numbers"):
        encode_json(value)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


def test_values_outside_json_are_refused_by_type() -> None:
    with pytest.raises(LocalProtocolError, match="json cannot be encoded: Object of type bytes"):
        encode_json({"a": b"secret-value"})
    with pytest.raises(LocalProtocolError, match="json has a str with a lone surrogate") as raised:
        encode_json(["secret-value\ud800"])
    assert "secret-value" not in repr(raised.value)
    assert raised.value.__context__ is None
    circular: list[object] = []
    circular.append(circular)
    with pytest.raises(LocalProtocolError, match="json contains itself"):
        encode_json(circular)
    with pytest.raises(LocalProtocolError, match="json has an int of too many digits"):
        encode_json([10**5_000])
    with pytest.raises(LocalProtocolError, match="json is nested too deeply"):
        encode_json(nested(100_000))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values.filter(lambda value: value is not None))
def test_any_json_is_read_back_and_is_compact(value: Any) -> None:
    content = encode_json(value)
    assert json.loads(content) == value
    assert len(content) <= len(json.dumps(value, ensure_ascii=False).encode())


# On every runtime.


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with uvicorn("apps:app", "--app-dir", "tests/support") as port:
        yield f"http://127.0.0.1:{port}/echo"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"as"
    yield b"ync"


SENT: dict[str, tuple[Callable[[], dict[str, Any]], bytes]] = {
    "form": (lambda: {"data": {"a": "b"}}, b"a=b"),
    "JSON": (lambda: {"json": [1]}, b"[1]"),
    "text": (lambda: {"content": "é"}, "é".encode()),
    "a file": (lambda: {"content": io.BytesIO(bytes(200_000))}, bytes(200_000)),
    "an iterator": (lambda: {"content": iter([b"x", b"y"])}, b"xy"),
    "an async iterator": (lambda: {"content": async_pieces()}, b"async"),
    "a factory": (lambda: {"content": ReplayableBody(lambda: [b"x"])}, b"x"),
}


@pytest.mark.parametrize("case", SENT)
@each_runtime
def test_every_runtime_sends_each_shape(runtime: Runtime, url: str, case: str) -> None:
    make, expected = SENT[case]

    async def body() -> None:
        encoded = encode_content(**make())
        async with runtime.pool() as pool:
            response = await pool.request("POST", url, headers=encoded.headers, body=encoded.body)
            assert response.body == expected

    if (runtime.name, case) == ("threads", "an async iterator"):
        with pytest.raises(LocalProtocolError, match="async"):
            runtime.run(body)
    else:
        runtime.run(body)


def test_an_async_body_is_refused_in_threads_and_not_used_up() -> None:
    encoded = encode_content(async_pieces())
    with SyncConnectionPool() as pool, pytest.raises(LocalProtocolError, match="async"):
        pool.request("POST", "http://127.0.0.1:1/", body=encoded.body)  # type: ignore[arg-type]
    assert encoded.replayable


# The cost for requests without forms.


@pytest.mark.parametrize("arguments", ["", "b'x'", "'x'"])
def test_a_plain_body_brings_no_module_for_forms(arguments: str) -> None:
    program = (
        "import sys; before = set(sys.modules); from httpcore._client.forms import encode_content\n"
        f"encode_content({arguments})\n"
        "names = {'json', 'mimetypes', 'hashlib', 'base64', 'random', 'email', 'urllib.parse',\n"
        "    'httpcore._client.multipart', 'httpcore._client.pairs', 'httpcore._client.digest'}\n"
        "print((names & set(sys.modules)) - before)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
