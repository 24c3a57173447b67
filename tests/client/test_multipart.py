"""multipart/form-data: the results of four servers' readers, the length, and when a form can be sent again."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multipart_readers import READERS, Read
from runtimes import Runtime, each_runtime
from servers import uvicorn

import httpcore
from httpcore import LocalProtocolError, ReplayableBody
from httpcore._client.forms import encode_content
from httpcore._client.multipart import Multipart

T = TypeVar("T")
Reader = Callable[[str, bytes], list[Read]]
each_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)
OCTETS = "application/octet-stream"


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to its end a coroutine that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]  # of the coroutine's type
    raise AssertionError("the coroutine suspended")


async def at_once(function: Callable[[], T]) -> T:
    return function()


def pieces_of(form: Multipart) -> Generator[bytes, None, None]:
    reader = form.body().start(at_once)
    while (piece := drive(reader.next())) is not None:
        yield piece
    drive(reader.aclose())


def sent(form: Multipart) -> bytes:
    body = b"".join(pieces_of(form))
    assert form.body().length in (None, len(body))
    return body


@each_reader
def test_readers_get_each_field_and_file_as_given(read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_bytes(b"on disk\r\n--x--")
    with path.open("rb") as file:
        form = Multipart(
            {"text": "größe", "raw": b"\r\n--", "many": [1, 2.5, True, None]},
            [
                ("disk", file),
                ("bytes", b"\0\xff"),
                ("named", ("a b.json", "{}")),
                ("typed", ("x.txt", b"x", "text/x-odd")),
                ("iterated", ("i.bin", iter([b"on", b"", b"e"]))),
            ],
        )
        found = read(form.content_type, sent(form))
    assert found == [
        Read("text", None, None, "größe".encode()),
        Read("raw", None, None, b"\r\n--"),
        *[Read("many", None, None, value) for value in (b"1", b"2.5", b"true", b"")],
        Read("disk", "note.txt", "text/plain", b"on disk\r\n--x--"),
        Read("bytes", "bytes", OCTETS, b"\0\xff"),
        Read("named", "a b.json", "application/json", b"{}"),
        Read("typed", "x.txt", "text/x-odd", b"x"),
        Read("iterated", "i.bin", OCTETS, b"one"),
    ]


# Each name, and the form in which browsers write it, which readers return: see the HTML standard, "multipart/form-data
# encoding algorithm".
HOSTILE = {
    "quote": ('a"b', 'a"b'),
    "parameter": ('x"; filename="evil.exe', 'x"; filename="evil.exe'),
    "CRLF": ("a\r\nX-Injected: 1\r\n\r\nbody", "a\r\nX-Injected: 1\r\n\r\nbody"),
    "LF": ("a\nb", "a\r\nb"),
    "CR": ("a\rb", "a\r\nb"),
    "end of the body": ("a\r\n--{boundary}--\r\n", "a\r\n--{boundary}--\r\n"),
    "percent": ("100%22", "100%22"),
    "semicolon": ("a;b=c", "a;b=c"),
    "extended": ("name*=UTF-8''x", "name*=UTF-8''x"),
    "apostrophe": ("it's", "it's"),
    "not ASCII": ("日本語 é", "日本語 é"),
    "NEL and U+2028": ("a\u0085b\u2028c", "a\u0085b\u2028c"),
    "zero": ("a\0b", "a\0b"),
    "empty": ("", ""),
}


def escaped(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


@pytest.mark.parametrize("name", HOSTILE)
@each_reader
def test_a_hostile_name_stays_one_name(read: Reader, name: str) -> None:
    given_name, expected = HOSTILE[name]
    form = Multipart({given_name: "value"}, {"file": ("f", b"content")}, boundary="boundary")
    found = read(form.content_type, sent(form))
    assert [(part.filename, part.content) for part in found] == [(None, b"value"), ("f", b"content")]
    assert found[0].name.replace('"', "%22") == escaped(expected)  # one of the readers decodes %22
    assert found[1].name == "file"


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - {"empty"}))
@each_reader
def test_a_hostile_file_name_stays_one_file_name(read: Reader, name: str) -> None:
    form = Multipart(None, {"file": (HOSTILE[name][0], b"content", "text/plain")}, boundary="boundary")
    [part] = read(form.content_type, sent(form))
    assert (part.name, part.kind, part.content) == ("file", "text/plain", b"content")
    assert part.filename is not None
    seen = part.filename.replace('"', "%22")
    if read is READERS["django"]:  # Django removes unprintable characters
        assert seen == "".join([c for c in escaped(HOSTILE[name][0]) if c.isprintable()])
    else:
        assert seen == escaped(HOSTILE[name][0])


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.one_of(st.none(), st.text("\r\n\"'\\;=%- a"))),
        max_size=4,
    ),
    st.binary(max_size=20),
)
def test_any_names_make_as_many_parts_and_no_further_lines(names: list[tuple[str, str | None]], content: bytes) -> None:
    form = Multipart(None, [(name, (filename, content)) for name, filename in names])
    found = message_from_bytes(
        b"Content-Type: " + form.content_type.encode() + b"\r\n\r\n" + sent(form), policy=policy.HTTP
    )
    heads = sent(form).split(b"--" + form.boundary.encode())[1:-1]
    assert len(heads) == len(names)
    for head, (_, filename) in zip(heads, names, strict=True):
        lines = head.partition(b"\r\n\r\n")[0].strip(b"\r\n").split(b"\r\n")
        assert [line.split(b":")[0] for line in lines] == [b"Content-Disposition", b"Content-Type"][
            : 1 + (filename is not None)
        ]
        assert not re.search(rb"[\r\n]", b"".join(lines))
        assert lines[0].count(b'"') == (2 if filename is None else 4)
        assert head.partition(b"\r\n\r\n")[2] == content + b"\r\n"
    assert names == [] or found.is_multipart()


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\")))
def test_any_field_name_is_read_back_as_browsers_write_it(name: str) -> None:
    form = Multipart({name: "v"})
    [part] = READERS["starlette"](form.content_type, sent(form))
    assert part.name == escaped(re.sub(r"\r\n|\r|\n", "\r\n", name))


def test_a_backslash_is_written_as_browsers_do() -> None:
    form = Multipart({"a\\": "v"})
    for name in ("python-multipart", "starlette", "django"):
        assert READERS[name](form.content_type, sent(form)) == [Read("a\\", None, None, b"v")]


# Header fields of a part.


@each_reader
def test_a_part_may_have_header_fields_of_its_own(read: Reader) -> None:
    form = Multipart(None, {"f": ("n.bin", b"x", None, {"X-Part": "1", "Content-Type": "text/css"})})
    assert b"\r\nX-Part: 1\r\n" in sent(form)
    assert read(form.content_type, sent(form)) == [Read("f", "n.bin", "text/css", b"x")]


BAD = {
    "CRLF in a content type": ("n", b"", "text/plain\r\nX: y"),
    "CR in a content type": ("n", b"", "text/plain\rX: y"),
    "not ASCII in a content type": ("n", b"", "text/plän"),
    "CRLF in a header's value": ("n", b"", None, {"X": "a\r\nY: b"}),
    "CRLF in a header's name": ("n", b"", None, {"X\r\nY": "a"}),
    "a space in a header's name": ("n", b"", None, {"X Y": "a"}),
    "a disposition": ("n", b"", None, {"content-disposition": "form-data"}),
    "a transfer encoding": ("n", b"", None, {"Content-Transfer-Encoding": "base64"}),
    "a length": ("n", b"", None, {"Content-Length": "3"}),
    "two content types": ("n", b"", "a/b", {"Content-Type": "c/d"}),
    "no content": ("n", None),
    "one element": ("n",),
    "five elements": ("n", b"", None, None, None),
    "a number": 5,
    "a file name of another type": (5.0j, b""),
    "a lone surrogate": ("\ud800", b""),
    "a file in text mode": io.StringIO("x"),
    "a mapping": {"a": "b"},
}


@pytest.mark.parametrize("case", BAD)
def test_a_part_that_cannot_be_sent_is_refused_by_name(case: str) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        Multipart(None, {"field": BAD[case]})
    assert "Y: b" not in str(raised.value)
    if "CR" not in case and "header" not in case and "ASCII" not in case:
        assert "files[0] ('field')" in str(raised.value)


@pytest.mark.parametrize("files", ["text", b"bytes", 5, [b"x"], [("a",)], [(1, b"x")]])
def test_files_of_another_shape_are_refused(files: Any) -> None:
    with pytest.raises(
        LocalProtocolError, match=r"files(\[0\])? (is of type \w+( of length 1)?|has a name of type int): expected"
    ):
        Multipart(None, files)


# The boundary.


def test_boundaries_are_random_and_fresh() -> None:
    boundaries = {Multipart().boundary for _ in range(10_000)}
    assert len(boundaries) == 10_000
    assert all(re.fullmatch("[0-9a-f]{32}", boundary) for boundary in boundaries)


@pytest.mark.parametrize("boundary", ["", "a" * 71, "a b", 'a"', "a\r\n", "é", b"x", 5])
def test_a_boundary_that_no_reader_accepts_is_refused(boundary: Any) -> None:
    with pytest.raises(LocalProtocolError, match=r"boundary is .*: expected 1 to 70"):
        Multipart(boundary=boundary)


@pytest.mark.parametrize("content", [b"--mark", b"x\r\n--mark--\r\n", "--mark"])
def test_a_given_boundary_that_a_content_has_is_refused(content: bytes | str) -> None:
    with pytest.raises(LocalProtocolError, match="boundary"):
        Multipart(None, {"f": content}, boundary="mark")


@each_reader
def test_a_boundary_with_specials_is_quoted(read: Reader) -> None:
    form = Multipart({"a": "b"}, boundary="a/b:c?d")
    assert form.content_type == 'multipart/form-data; boundary="a/b:c?d"'
    assert read(form.content_type, sent(form)) == [Read("a", None, None, b"b")]


def test_an_empty_form_is_its_last_line() -> None:
    assert sent(Multipart(boundary="x")) == b"--x--\r\n"


# Length, replay and laziness.


class Pipe:
    """A file that can only be read."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.reads: list[int] = []

    def read(self, size: int) -> bytes:
        self.reads.append(size)
        return self._file.read(size)


def test_the_length_is_known_where_that_of_each_part_is() -> None:
    assert Multipart({"a": "b"}, {"f": io.BytesIO(b"abc"), "g": b"x"}).body().length is not None
    assert Multipart({"a": "b"}, {"f": Pipe(b"abc"), "g": b"x"}).body().length is None
    assert Multipart(None, {"f": iter([b"abc"])}).body().length is None


def test_a_file_is_sent_from_where_it_stands_each_time() -> None:
    file = io.BytesIO(b"left out|sent")
    file.seek(9)
    form = Multipart(None, {"f": ("f", file)})
    assert form.body().replayable
    first = sent(form)
    assert b"\r\n\r\nsent\r\n" in first
    assert sent(form) == first


def test_one_file_in_two_parts_is_sent_twice() -> None:
    file = io.BytesIO(b"content")
    assert sent(Multipart(None, [("a", file), ("b", file)])).count(b"content") == 2


REPLAYABLE = {
    "bytes": (b"x", True),
    "a file": (io.BytesIO(b"x"), True),
    "a factory": (ReplayableBody(lambda: [b"x"]), True),
    "a pipe": (Pipe(b"x"), False),
    "an iterator": (iter([b"x"]), False),
}


@pytest.mark.parametrize("case", REPLAYABLE)
def test_a_form_can_be_sent_again_if_each_part_can(case: str) -> None:
    content, again = REPLAYABLE[case]
    encoded = encode_content(data={"a": "b"}, files={"f": ("f", content), "g": b"y"})
    assert encoded.replayable  # nothing has been read
    reader = encoded.body.start(at_once)
    while drive(reader.next()) is not None:
        pass
    assert encoded.replayable is again
    if not again:
        with pytest.raises(LocalProtocolError, match="cannot be sent again"):
            encoded.body.start(at_once)


def test_a_stream_is_read_piece_by_piece_and_not_ahead() -> None:
    requested = 0

    def endless() -> Iterator[bytes]:
        nonlocal requested
        while True:
            requested += 1
            yield bytes(65_536)

    pieces = pieces_of(Multipart(None, {"f": ("f", endless())}))
    assert requested == 0
    for number in range(100):
        next(pieces)
        assert requested == max(0, number)
    pieces.close()


def test_a_large_file_is_read_in_pieces() -> None:
    pipe = Pipe(bytes(1_000_000))
    for piece in pieces_of(Multipart(None, {"f": ("f", pipe)})):
        assert len(piece) <= 65_536
    assert set(pipe.reads) == {65_536}


def test_a_generator_is_closed_when_the_body_is() -> None:
    ended = []

    def content() -> Iterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            ended.append(True)

    reader = Multipart(None, {"f": content()}).body().start(at_once)
    drive(reader.next())
    drive(reader.next())
    reader.close()
    assert ended == [True]


# Over the wire, on every runtime.


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with uvicorn("apps:app", "--app-dir", "tests/support") as port:
        yield f"http://127.0.0.1:{port}/echo"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"as"
    yield b"ync"


@each_runtime
def test_every_runtime_sends_files_and_streams(runtime: Runtime, url: str, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(range(256)) * 2_000)
    expected = [
        Read("a", None, None, b"1"),
        Read("disk", "large.bin", OCTETS, path.read_bytes()),
        Read("it", "it", OCTETS, b"onetwo"),
    ]
    files: list[Any] = [("it", iter([b"one", b"two"]))]
    if runtime.name != "threads":
        files.append(("async", ("a.txt", async_pieces())))
        expected.append(Read("async", "a.txt", "text/plain", b"async"))

    async def body() -> tuple[str, bytes]:
        with path.open("rb") as file:
            encoded = encode_content(data={"a": 1}, files=[("disk", file), *files])
            async with runtime.pool() as pool:
                response = await pool.request("POST", url, headers=encoded.headers, body=encoded.body)
        return dict(encoded.headers)[b"Content-Type"].decode(), response.body

    content_type, received = runtime.run(body)
    for read in READERS.values():
        assert read(content_type, received) == expected


def test_an_async_part_is_refused_in_threads_before_sending(url: str) -> None:
    encoded = encode_content(files={"f": async_pieces()})
    with httpcore.SyncConnectionPool() as pool, pytest.raises(LocalProtocolError, match="async"):
        pool.request("POST", url, headers=encoded.headers, body=encoded.body)  # type: ignore[arg-type]
    assert encoded.replayable
