"""The encoding of a text, and that a text, its lines and its JSON values do not depend on how it is cut."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable
from typing import Any

import chardet
import charset_normalizer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpcore import DecodingError, LocalProtocolError
from httpcore._client.text import JSONLines, LineSplitter, TextDecoder, charset_of, decode_text, known_encoding

UTF16 = codecs.BOM_UTF16_LE + "héé".encode("utf-16-le")

CHARSETS = {
    "text/html; charset=utf-8": "utf-8",
    "text/html;charset=UTF8": "utf-8",
    'text/html; charset="windows-1252"': "cp1252",
    'text/html; charset="windows\\-1252"': "cp1252",
    "text/html; charset='koi8-r'": "koi8-r",
    "text/html; a=b; Charset = Shift_JIS ; c=d": "shift_jis",
    "text/html; charset=iso-8859-1, text/html": "iso8859-1",
    'text/html; x="; charset=koi8-r"; charset=utf-8': "utf-8",
    'text/html; x="; charset=koi8-r"': None,
    "text/html; charset=utf-8; charset=koi8-r": "utf-8",
    "text/html; xcharset=utf-8": None,
    "text/html; charset=": None,
    "text/html; charset": None,
    "text/html": None,
    "": None,
    "charset=utf-8": None,
    "text/html; charset=no-such-encoding": None,
    "text/html; charset=unicode_escape": None,
    "text/html; charset=raw-unicode-escape": None,
    "text/html; charset=idna": None,
    "text/html; charset=punycode": None,
    "text/html; charset=utf-7": None,
    "text/html; charset=UTF7": None,
    "text/html; charset=undefined": None,
    "text/html; charset=base64": None,
    "text/html; charset=zlib": None,
    "text/html; charset=rot13": None,
    "text/html; charset=\u0130": None,
    "text/html; charset=utf-8\0": None,
    f"text/html; charset={'x' * 10_000}": None,
}


@pytest.mark.parametrize("content_type", CHARSETS, ids=lambda text: ascii(text[:60]))
def test_the_charset_is_that_of_the_content_type_if_it_is_text(content_type: str) -> None:
    assert charset_of(content_type) == CHARSETS[content_type]


def test_a_long_content_type_is_read_in_linear_time() -> None:
    for text in (
        "a/b" + "; x" * 200_000,
        "a/b" + ";" * 400_000,
        'a/b; charset="' + "\\" * 400_001,
        'a/b; x="' * 90_000,
    ):
        assert charset_of(text) is None


DECODED: dict[str, tuple[bytes, str | None, Any, str, str]] = {
    "the charset": ("é".encode("cp1252"), "text/plain; charset=cp1252", None, "é", "cp1252"),
    "the charset before a mark": (codecs.BOM_UTF8, "text/plain; charset=latin-1", None, "ï»¿", "iso8859-1"),
    "a mark of the charset itself": (codecs.BOM_UTF8 + b"a", "text/plain; charset=utf-8", None, "a", "utf-8"),
    "a mark in utf-16": (UTF16, "text/plain; charset=utf-16", None, "héé", "utf-16-le"),
    "utf-16 without a mark": (UTF16[2:], "text/plain; charset=utf-16", None, "héé", "utf-16-le"),
    "a mark of UTF-8 in utf-16": (codecs.BOM_UTF8 + b"a", "text/plain; charset=utf-16", None, "믯憿", "utf-16-le"),
    "what the charset cannot decode": (b"a\xffb", "text/plain; charset=utf-8", None, "a\ufffdb", "utf-8"),
    "an unknown charset": ("é".encode(), "text/plain; charset=nonsense", None, "é", "utf-8"),
    "a mark of UTF-8": (codecs.BOM_UTF8 + "é".encode(), None, None, "é", "utf-8"),
    "a mark of UTF-16": (UTF16, "text/plain", None, "héé", "utf-16-le"),
    "a mark of UTF-16, big": (codecs.BOM_UTF16_BE + "é".encode("utf-16-be"), None, None, "é", "utf-16-be"),
    "a mark of UTF-32": (codecs.BOM_UTF32_LE + "é".encode("utf-32-le"), None, None, "é", "utf-32-le"),
    "a mark of UTF-32, big": (codecs.BOM_UTF32_BE + "é".encode("utf-32-be"), None, None, "é", "utf-32-be"),
    "a mark before the default": (codecs.BOM_UTF8 + b"a", None, "cp1252", "a", "utf-8"),
    "UTF-8": ("日本".encode(), None, None, "日本", "utf-8"),
    "the default": ("é".encode("cp1252"), None, "cp1252", "é", "cp1252"),
    "the default though it is UTF-8": ("é".encode(), None, "latin-1", "Ã©", "iso8859-1"),
    "a function": ("é".encode("cp1252"), None, lambda content: "cp1252", "é", "cp1252"),
    "a function that does not know": ("é".encode(), None, lambda content: None, "é", "utf-8"),
    "nothing": (b"", None, None, "", "utf-8"),
    "a second mark": (codecs.BOM_UTF8 * 2, None, None, "\ufeff", "utf-8"),
}


@pytest.mark.parametrize("case", DECODED)
def test_the_encoding_is_the_first_that_is_known(case: str) -> None:
    content, content_type, default, text, encoding = DECODED[case]
    assert decode_text(content, content_type, default) == (text, encoding)


@pytest.mark.parametrize("default", ["nonsense", "base64", "", "\0"])
def test_a_default_encoding_without_a_codec_is_refused(default: str) -> None:
    for use in (decode_text, lambda _, kind, default: TextDecoder(kind, default)):
        with pytest.raises(LocalProtocolError, match=r"default_encoding is .*: expected the name"):
            use(b"", None, default)


RUSSIAN = ("Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20).encode("cp1251")


@pytest.mark.parametrize("missing", [(), ("charset_normalizer",), ("chardet",)])
def test_an_installed_detector_finds_other_charsets(missing: tuple[str, ...], monkeypatch: Any) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    library = chardet if "charset_normalizer" in missing else charset_normalizer
    text, encoding = decode_text(RUSSIAN)
    assert encoding == known_encoding(str(library.detect(RUSSIAN)["encoding"]))
    assert "французских" in text


def test_without_a_detector_other_charsets_have_replacements(monkeypatch: Any) -> None:
    for name in ("charset_normalizer", "chardet"):
        monkeypatch.setitem(sys.modules, name, None)
    assert decode_text(b"a\xe9b") == ("a\ufffdb", "utf-8")


@pytest.mark.parametrize("detected", [None, "nonsense", "utf-7"])
def test_a_detector_that_finds_nothing_is_as_no_detector(detected: str | None, monkeypatch: Any) -> None:
    monkeypatch.setattr(charset_normalizer, "detect", lambda content: {"encoding": detected})
    assert decode_text(b"a\xe9b") == ("a\ufffdb", "utf-8")


# Cuts.


def cut(content: Any, places: list[int]) -> list[Any]:
    ends = sorted({place % (len(content) + 1) for place in places} | {len(content)})
    return [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]


places = st.lists(st.integers(0, 10_000), max_size=6)
encodings = st.sampled_from(
    [None, "utf-8", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis", "gb18030", "euc_kr", "iso2022_jp", "big5"]
)
contents = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")),
    st.tuples(
        st.sampled_from([codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE]), st.binary()
    ).map(b"".join),
)


@given(contents, encodings, places)
def test_a_text_is_the_same_however_it_is_cut(content: bytes, encoding: str | None, where: list[int]) -> None:
    content_type = None if encoding is None else f"text/plain; charset={encoding}"
    default = None if encoding is None else "utf-8"

    def read(pieces: list[bytes]) -> tuple[str, str | None]:
        decoder = TextDecoder(content_type, default)
        text = "".join([decoder.feed(piece) for piece in pieces])
        return text + decoder.flush(), decoder.encoding

    whole = read([content])
    assert read(cut(content, where)) == whole
    assert read([content[at : at + 1] for at in range(len(content))]) == whole
    assert whole == decode_text(content, content_type, "utf-8")


def test_the_encoding_is_known_once_it_is_not_a_mark() -> None:
    decoder = TextDecoder()
    assert (decoder.feed(b"\xff"), decoder.encoding) == ("", None)
    assert (decoder.feed(b"\xfe"), decoder.encoding) == ("", None)  # the mark of UTF-32 begins with these bytes too
    assert (decoder.feed(b"a\0"), decoder.encoding) == ("a", "utf-16-le")
    assert TextDecoder().feed(b"a") == "a"


def lines_of(pieces: list[str]) -> list[str]:
    splitter = LineSplitter()
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.flush()


@given(st.text("ab\r\n\f\v\x1c\x85\u2028", max_size=30), places)
def test_lines_are_the_same_however_they_are_cut(text: str, where: list[int]) -> None:
    expected = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if expected[-1] == "":
        expected.pop()
    assert lines_of([text]) == expected
    assert lines_of(cut(text, where)) == expected
    assert lines_of(list(text)) == expected


def test_a_line_is_given_when_its_end_is_there() -> None:
    splitter = LineSplitter()
    assert splitter.feed("a\r") == ["a"]
    assert splitter.feed("") == []
    assert splitter.feed("\n") == []
    assert splitter.feed("\nb") == [""]
    assert splitter.feed("c\n\r\r\nd") == ["bc", "", ""]
    assert splitter.flush() == ["d"]
    assert splitter.flush() == []


def test_a_line_in_many_pieces_takes_linear_time() -> None:
    splitter = LineSplitter()
    for _ in range(300_000):
        assert splitter.feed("x") == []
    assert splitter.feed("\n") == ["x" * 300_000]


# JSON lines.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé\u2028"), inner, max_size=2),
    max_leaves=5,
)


def values_of(pieces: list[bytes]) -> list[object]:
    reader = JSONLines()
    return [value for piece in pieces for value in reader.feed(piece)] + reader.flush()


@given(st.lists(json_values, max_size=4), st.sampled_from(["\n", "\r\n", "\n \t\n"]), st.booleans(), places)
def test_json_values_are_the_same_however_they_are_cut(
    values: list[Any], end: str, ended: bool, where: list[int]
) -> None:
    text = end.join([json.dumps(value, ensure_ascii=False) for value in values]) + (end if ended else "")
    content = text.encode()
    assert values_of([content]) == values
    assert values_of(cut(content, where)) == values
    assert values_of([content[at : at + 1] for at in range(len(content))]) == values


BROKEN: dict[str, tuple[bytes, str]] = {
    "no JSON": (b'{"a": 1}\n\n{"b": }\n', "line 3 is not JSON: Expecting value at column 7"),
    "two values in a line": (b"1 2\n", "line 1 is not JSON: Extra data"),
    "cut short": (b"1\n[1, 2", "line 2 is not JSON: Expecting ',' delimiter"),
    "not UTF-8": (b'"\xff"\n', "not UTF-8"),
    "UTF-8 cut short": (b'"\xc3', "not UTF-8"),
    "a number that takes too long": (b"1\n" + b"9" * 10_000, "line 2 is not JSON: a number has too many digits"),
    "nested too deeply": (b"[" * 100_000 + b"\n", "line 1 is not JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("cutting", [lambda content: [content], lambda content: [content[:3], content[3:]]])
def test_a_line_that_is_no_json_is_an_error_with_its_number(case: str, cutting: Callable[[bytes], list[bytes]]) -> None:
    content, message = BROKEN[case]
    with pytest.raises(DecodingError, match=message):
        values_of(cutting(content))


def test_values_before_a_broken_line_are_returned() -> None:
    reader = JSONLines()
    assert reader.feed(b"1\n") == [1]
    with pytest.raises(DecodingError, match="line 2"):
        reader.feed(b"x\n")
