"""Every kind of body: its known facts, its bytes, how often it can be read, and how it is released."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from httpcore._errors import LocalProtocolError
from httpcore._message.body import Body, BodyReader, ReplayableBody

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to its end a coroutine that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]  # of the coroutine's type
    coroutine.close()
    raise AssertionError("the coroutine suspended")


async def at_once(function: Callable[[], T]) -> T:
    return function()


def started(value: Any) -> BodyReader:
    return Body.of(value).start(at_once)


def drained(reader: BodyReader) -> list[bytes]:
    pieces = []
    while (piece := drive(reader.next())) is not None:
        pieces.append(piece)
    assert drive(reader.next()) is None
    return pieces


class AsyncPieces:
    """An async iterable that is no generator."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = list(pieces)

    def __aiter__(self) -> AsyncPieces:
        return self

    async def __anext__(self) -> Any:
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)


def two() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


async def async_two() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


class Pipe:
    """A file that can only be read."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(size)


SHAPES: list[tuple[str, Callable[[], Any], bytes, int | None, bool]] = [
    ("bytes", lambda: b"onetwo", b"onetwo", 6, False),
    ("bytearray", lambda: bytearray(b"onetwo"), b"onetwo", 6, False),
    ("memoryview", lambda: memoryview(b"onetwo"), b"onetwo", 6, False),
    ("str", lambda: "h\xe9", b"h\xc3\xa9", 3, False),
    ("list", lambda: [b"one", b"two"], b"onetwo", None, False),
    ("generator", two, b"onetwo", None, False),
    ("other pieces", lambda: [bytearray(b"one"), memoryview(b"two")], b"onetwo", None, False),
    ("generator function", lambda: two, b"onetwo", None, False),
    ("callable", lambda: lambda: [b"one", b"two"], b"onetwo", None, False),
    ("async generator", async_two, b"onetwo", None, True),
    ("async iterable", lambda: AsyncPieces(b"one", b"two"), b"onetwo", None, True),
    ("async generator function", lambda: async_two, b"onetwo", None, True),
    ("file in memory", lambda: io.BytesIO(b"onetwo"), b"onetwo", 6, False),
    ("pipe", lambda: Pipe(b"onetwo"), b"onetwo", None, False),
    ("replayable", lambda: ReplayableBody(two), b"onetwo", None, False),
    ("replayable, async", lambda: ReplayableBody(async_two), b"onetwo", None, True),
]


@pytest.mark.parametrize(("make", "data", "length", "is_async"), [s[1:] for s in SHAPES], ids=[s[0] for s in SHAPES])
def test_every_kind_has_its_facts_and_its_bytes(
    make: Callable[[], Any], data: bytes, length: int | None, is_async: bool
) -> None:
    body = Body.of(make())
    assert (body.length, body.is_async, body.is_empty, body.replayable) == (length, is_async, False, True)
    assert b"".join(drained(body.start(at_once))) == data


@pytest.mark.parametrize("value", [None, b"", "", bytearray(), memoryview(b"")])
def test_none_and_empty_bytes_are_the_empty_body(value: Any) -> None:
    body = Body.of(value)
    assert (body.is_empty, body.length, body.data, body.replayable) == (True, 0, b"", True)
    assert drained(body.start(at_once)) == []


def test_a_body_made_of_a_body_is_the_same_object() -> None:
    body = Body.of(b"x")
    assert Body.of(body) is body


def test_changing_a_bytearray_later_changes_nothing() -> None:
    given = bytearray(b"before")
    body = Body.of(given)
    given[:] = b"after!"
    assert body.data == b"before"


@pytest.mark.parametrize("value", [5, 5.0, True, {"a": "b"}, {}, object()])
def test_another_type_is_refused_by_name(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match=f"body is of type {type(value).__name__}"):
        Body.of(value)


def test_a_lone_surrogate_is_refused_and_the_body_not_shown() -> None:
    with pytest.raises(LocalProtocolError, match="index 6") as caught:
        Body.of("s3cret\ud800")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "value", [lambda: iter((b"", b"a", b"", b"b", b"")), lambda: AsyncPieces(b"", b"a", b"", b"b")]
)
def test_empty_pieces_are_skipped(value: Callable[[], Any]) -> None:
    assert drained(started(value())) == [b"a", b"b"]


@pytest.mark.parametrize("piece", ["text", 5, None, [b"x"], ("a",)])
@pytest.mark.parametrize("shape", [lambda piece: [b"a", piece], lambda piece: AsyncPieces(b"a", piece)])
def test_a_piece_that_is_not_bytes_like_is_named_by_its_type(shape: Callable[[Any], Any], piece: Any) -> None:
    reader = started(shape(piece))
    assert drive(reader.next()) == b"a"
    with pytest.raises(LocalProtocolError, match=f"piece of type {type(piece).__name__}"):
        drive(reader.next())


def test_an_exception_of_the_users_iterator_passes_unchanged() -> None:
    error = RuntimeError("mine")

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise error

    async def async_broken() -> AsyncIterator[bytes]:
        yield b"a"
        raise error

    for make in (broken, async_broken):
        reader = started(make())
        assert drive(reader.next()) == b"a"
        with pytest.raises(RuntimeError) as caught:
            drive(reader.next())
        assert caught.value is error


# How often a body can be read.


@pytest.mark.parametrize(
    "make", [two, async_two, lambda: two, lambda: async_two, lambda: [b"one"], lambda: Pipe(b"one")]
)
def test_iterator_can_be_sent_again_until_an_item_was_requested(make: Callable[[], Any]) -> None:
    body = Body.of(make())
    first = body.start(at_once)
    first.close()
    drive(first.aclose())
    assert body.replayable
    second = body.start(at_once)
    assert drive(second.next()) is not None
    assert not body.replayable
    with pytest.raises(LocalProtocolError, match="cannot be sent again"):
        body.start(at_once)
    drive(second.aclose())


@pytest.mark.parametrize(
    "make", [lambda: b"onetwo", lambda: "onetwo", lambda: io.BytesIO(b"onetwo"), lambda: ReplayableBody(two)]
)
def test_replayable_body_gives_same_each_time_after_a_part_too(make: Callable[[], Any]) -> None:
    body = Body.of(make())
    for _ in range(2):
        part = body.start(at_once)
        drive(part.next())
        part.close()
        assert body.replayable
        assert b"".join(drained(body.start(at_once))) == b"onetwo"


def test_callable_is_called_once_and_a_factory_for_each_sending() -> None:
    calls = []

    def make() -> list[bytes]:
        calls.append(1)
        return [b"x"]

    once = Body.of(make)
    once.start(at_once)
    assert drained(once.start(at_once)) == [b"x"]
    assert len(calls) == 1
    anew = Body.of(ReplayableBody(make))
    anew.start(at_once)
    anew.start(at_once)
    assert len(calls) == 3


def test_a_callable_is_known_to_be_async_once_started() -> None:
    body = Body.of(lambda: AsyncPieces(b"x"))
    assert not body.is_async
    body.start(at_once)
    assert body.is_async


@pytest.mark.parametrize("result", [5, b"bytes", "text", None])
def test_callable_with_another_result_is_refused_before_any_read(result: Any) -> None:
    with pytest.raises(LocalProtocolError, match=f"returned type {type(result).__name__}"):
        started(lambda: result)


def test_a_coroutine_function_is_refused_without_a_warning() -> None:
    async def wrong() -> bytes:
        return b"x"

    with pytest.raises(LocalProtocolError, match="returned type coroutine"):
        started(wrong)
    gc.collect()


def test_a_generator_that_has_run_is_refused_not_sent_empty() -> None:
    spent = two()
    list(spent)
    with pytest.raises(LocalProtocolError, match="already run"):
        Body.of(spent)


@pytest.mark.parametrize("factory", [None, b"x", [b"x"]])
def test_a_factory_must_be_callable(factory: Any) -> None:
    with pytest.raises(LocalProtocolError, match="factory is of type"):
        ReplayableBody(factory)


# Files.


def test_file_is_read_in_64_kib_pieces_without_blocking_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 150_000)
    ran = []

    async def record_and_run(function: Callable[[], T]) -> T:
        ran.append(function)
        return function()

    with path.open("rb") as file:
        file.seek(10_000)
        body = Body.of(file)
        assert body.length == 140_000
        assert file.tell() == 10_000
        reader = body.start(record_and_run)
        assert [len(piece) for piece in drained(reader)] == [65536, 65536, 8928]
        assert len(ran) == 3
        assert not file.closed
        assert b"".join(drained(body.start(record_and_run))) == b"x" * 140_000


def test_bytes_appended_to_a_file_later_are_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"then")
    with path.open("rb") as file:
        body = Body.of(file)
        with path.open("ab") as more:
            more.write(b" and now")
        assert drained(body.start(at_once)) == [b"then"]


def test_a_file_that_shrank_ends_early_and_does_not_spin(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"longer")
    with path.open("rb") as file:
        body = Body.of(file)
        os.truncate(path, 2)
        assert drained(body.start(at_once)) == [b"lo"]


def test_a_pipe_has_no_length_and_runs_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"through the pipe")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        body = Body.of(file)
        assert (body.length, body.replayable, body.is_empty) == (None, True, False)
        assert drained(body.start(at_once)) == [b"through the pipe"]
        assert not body.replayable


def test_a_file_in_text_mode_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("text")
    with path.open() as file, tempfile.NamedTemporaryFile("w+") as wrapped:
        for value in (file, wrapped, io.StringIO("text")):
            with pytest.raises(LocalProtocolError, match="text mode"):
                Body.of(value)  # type: ignore[arg-type]  # that is the test


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(b"x")
    file.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        Body.of(file)


def test_a_file_with_an_async_read_is_refused_without_a_warning() -> None:
    class AsyncFile:
        async def read(self, size: int) -> bytes:
            return b"x"

    with pytest.raises(LocalProtocolError, match="type coroutine"):
        drive(started(AsyncFile()).next())
    gc.collect()


def test_an_error_of_the_file_passes_unchanged() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        drive(started(Broken()).next())


# Closing.


def test_close_closes_a_generator_in_use() -> None:
    closed = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    generator = pieces()
    reader = started(generator)
    drive(reader.next())
    reader.close()
    reader.close()
    assert closed == [True]
    assert drive(reader.next()) is None


def test_an_error_in_the_generators_clean_up_becomes_a_warning() -> None:
    def pieces() -> Iterator[bytes]:
        try:
            yield b"a"
        finally:
            raise ValueError("mine")

    reader = started(pieces())
    drive(reader.next())
    with pytest.warns(RuntimeWarning, match="mine"):
        reader.close()


def test_close_from_inside_the_running_generator_harms_nothing() -> None:
    readers: list[BodyReader] = []

    def pieces() -> Iterator[bytes]:
        readers[0].close()
        yield b"a"

    readers.append(started(pieces()))
    assert drive(readers[0].next()) == b"a"


def awaiting_pieces(log: list[str], wait: Callable[[], Awaitable[object]]) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            await wait()
            log.append("closed")

    return pieces()


async def leave_half_way(log: list[str], wait: Callable[[], Awaitable[object]]) -> None:
    reader = started(awaiting_pieces(log, wait))
    assert await reader.next() == b"a"
    reader.close()
    assert await reader.next() is None
    await reader.aclose()
    assert log == ["closed"]
    await reader.aclose()
    gc.collect()


def test_aclose_cleans_up_async_generator_in_its_task_on_asyncio() -> None:
    asyncio.run(leave_half_way([], lambda: asyncio.sleep(0)))


def test_aclose_cleans_up_an_async_generator_in_its_task_on_trio() -> None:
    trio.run(leave_half_way, [], trio.lowlevel.checkpoint)


def test_aclose_after_a_cancelled_wait_finds_generator_finished() -> None:
    log: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            await asyncio.Event().wait()
            yield b"a"
        finally:
            log.append("closed")

    async def main() -> None:
        reader = started(pieces())
        task = asyncio.ensure_future(reader.next())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["closed"]
        await reader.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("make", [two, async_two, lambda: two, lambda: async_two, lambda: AsyncPieces(b"x")])
def test_a_body_without_a_requested_item_leaves_no_warning(make: Callable[[], Any]) -> None:
    async def main() -> None:
        reader = started(make())
        reader.close()
        del reader
        gc.collect()

    asyncio.run(main())
    trio.run(main)
