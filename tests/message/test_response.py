"""Response: the calls that each state allows, decoding, closing, and responses made by hand."""

from __future__ import annotations

import asyncio
import gzip
import io
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import trio

import httpcore
from httpcore._backends.base import PIECE
from httpcore._config import UNSET
from httpcore._message.content import KEPT_AT_LEAST, KEPT_PER_BYTE
from httpcore._message.head import Head
from httpcore._message.response import Response, ResponseInfo
from httpcore._sync import run

GZIP = [(b"content-encoding", b"gzip")]
TEXT = b"Hello, world" * 1000


class Wire:
    """A source that behaves like a connection: pieces are received one by one, and it counts how often it was closed,
    and how often it let other tasks run.
    """

    def __init__(
        self, *pieces: bytes, all_here: bool = False, then: Exception | None = None, length: int | None = None
    ) -> None:
        self.pieces = list(pieces)
        self.all_here = all_here
        self.then = then
        self.length = length
        self.closed = 0
        self.turns = 0
        self.strict = False
        self.noted: list[str] = []
        self.informational = [httpcore.Informational(103, [(b"link", b"</a>")])]
        self.info = ResponseInfo(peer="127.0.0.1:80")
        self.connection = None
        self._at_end = False

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        return [(b"x-sum", b"1")] if self._at_end else []

    def add_request_context(self, error: httpcore.HTTPCoreError) -> None:
        error.add(phase="set by the source")

    def buffered_body(self) -> bytes | None:
        if not self.all_here:
            return None
        data, self.pieces, self._at_end = b"".join(self.pieces), [], True
        return data

    async def next(self) -> bytes:
        if self.pieces:
            return self.pieces.pop(0)
        if self.then is not None:
            raise self.then
        self._at_end = True
        return b""

    @property
    def is_strict(self) -> bool:
        return self.strict

    def note(self, name: str) -> bool:
        self.noted.append(name)
        return not self.strict

    def made(self, size: int) -> None:
        """This source counts no bytes."""

    async def turn(self) -> None:
        self.turns += 1

    def close(self) -> None:
        self.closed += 1


def received(
    wire: Wire, headers: list[tuple[bytes, bytes]] | None = None, status: int = 200, max_body: Any = UNSET
) -> Response:
    headers = headers or []
    return Response.received(Head(status, b"OK", b"1.1", headers, headers), wire, max_body)


async def joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


# States: earlier calls, and the result of each call after them.


async def nothing(response: Response) -> None: ...


async def read(response: Response) -> None:
    await response.read()


async def begin_to_stream(response: Response) -> None:
    assert await anext(response.stream()) == b"one, "


async def stream_it_all(response: Response) -> None:
    assert await joined(response.stream()) == b"one, two"


async def take_it_raw(response: Response) -> None:
    assert await joined(response.raw()) == b"one, two"


async def close(response: Response) -> None:
    await response.close()


async def read_and_close(response: Response) -> None:
    await response.read()
    await response.close()


async def begin_to_stream_and_close(response: Response) -> None:
    await begin_to_stream(response)
    await response.close()


async def stream_it_all_and_close(response: Response) -> None:
    await stream_it_all(response)
    await response.close()


NOT_READ, CONSUMED, CLOSED = httpcore.ResponseNotRead, httpcore.StreamConsumed, httpcore.ResponseClosed
STATES: list[tuple[Callable[[Response], Awaitable[None]], bool, Any, Any]] = [
    # the earlier calls, is_closed, the result of `body`, the result of read(), stream() and raw()
    (nothing, False, NOT_READ, b"one, two"),
    (read, True, b"one, two", b"one, two"),
    (begin_to_stream, False, CONSUMED, CONSUMED),
    (stream_it_all, True, CONSUMED, CONSUMED),
    (take_it_raw, True, CONSUMED, CONSUMED),
    (close, True, CLOSED, CLOSED),
    (read_and_close, True, b"one, two", b"one, two"),
    (begin_to_stream_and_close, True, CLOSED, CLOSED),
    (stream_it_all_and_close, True, CONSUMED, CONSUMED),
]
USES: dict[str, Callable[[Response], Coroutine[Any, Any, bytes]]] = {
    "read": lambda response: response.read(),
    "stream": lambda response: joined(response.stream()),
    "raw": lambda response: joined(response.raw()),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("before", "is_closed", "body", "whole"), STATES, ids=[state[0].__name__ for state in STATES])
@pytest.mark.parametrize("make", ["received", "by hand"])
def test_each_state_allows_its_uses(
    make: str, before: Callable[[Response], Awaitable[None]], is_closed: bool, body: Any, whole: Any, use: str
) -> None:
    async def main() -> None:
        response = received(Wire(b"one, ", b"two")) if make == "received" else Response(200, body=[b"one, ", b"two"])
        await before(response)
        assert response.is_closed is is_closed
        if isinstance(body, bytes):
            assert response.body == body
        else:
            with pytest.raises(body):
                _ = response.body
        if isinstance(whole, bytes):
            assert await USES[use](response) == whole
            assert response.is_closed
        else:
            with pytest.raises(whole):
                await USES[use](response)
            assert response.is_closed is is_closed, "a refused use does not change the state"

    run(main())


def test_a_misuse_raises_at_the_call_with_a_reason() -> None:
    async def main() -> None:
        response = received(Wire(b"x"))
        with pytest.raises(httpcore.ResponseNotRead, match=r"call read\(\) first"):
            _ = response.body
        stream = response.stream()
        with pytest.raises(httpcore.StreamConsumed, match="being streamed"):
            response.raw()
        assert await joined(stream) == b"x", "the first stream continues"
        with pytest.raises(httpcore.StreamConsumed, match="it is streamed"):
            response.stream()

    run(main())


def test_a_read_body_can_be_had_again_in_every_form() -> None:
    async def main() -> None:
        wire = Wire(b"one, ", b"two")
        response = received(wire)
        for _ in range(2):
            assert await response.read() == b"one, two"
            assert await joined(response.stream()) == b"one, two"
            assert await joined(response.raw()) == b"one, two"
            assert response.body == b"one, two"

    run(main())


def test_a_coded_body_that_was_read_is_not_kept_as_it_was_sent() -> None:
    async def main() -> None:
        response = received(Wire(gzip.compress(TEXT)), GZIP)
        assert await response.read() == TEXT
        assert await joined(response.stream()) == TEXT
        with pytest.raises(httpcore.StreamConsumed):
            response.raw()

    run(main())


def test_a_body_that_is_in_memory_is_read_without_waiting() -> None:
    response = received(Wire(b"one, ", b"two", all_here=True))
    assert run(response.read()) == b"one, two"
    assert response.trailers == [(b"x-sum", b"1")]


def test_trailers_come_with_the_end_and_interim_heads_at_once() -> None:
    async def main() -> None:
        response = received(Wire(b"x"))
        assert response.informational[0].status_code == 103
        assert response.info.peer == "127.0.0.1:80"
        assert response.connection is None
        assert response.trailers == []
        await response.read()
        assert response.trailers == [(b"x-sum", b"1")]

    run(main())


# The end of a stream.


def test_an_iterator_that_has_ended_stays_ended() -> None:
    async def main() -> None:
        stream = received(Wire(b"x")).stream()
        assert await joined(stream) == b"x"
        for _ in range(2):
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())


@pytest.mark.parametrize("case", ["stream", "raw", "read"])
def test_error_in_middle_closes_and_is_not_repeated_as_an_end(case: str) -> None:
    async def main() -> None:
        wire = Wire(b"x", then=httpcore.ReadError("reset"))
        response = received(wire)
        with pytest.raises(httpcore.ReadError, match="reset"):
            await USES[case](response)
        assert response.is_closed
        assert wire.closed
        for use in USES.values():
            with pytest.raises(httpcore.ResponseClosed):
                await use(response)

    run(main())


def test_an_iterator_of_a_closed_response_raises() -> None:
    async def main() -> None:
        response = received(Wire(b"one, ", b"two"))
        stream = response.stream()
        await anext(stream)
        await response.close()
        with pytest.raises(httpcore.ResponseClosed, match="before its body was read to the end"):
            await anext(stream)

    run(main())


@pytest.mark.parametrize("case", ["read", "stream", "raw"])
@pytest.mark.parametrize("then", [None, httpcore.ReadError("closed on this side", phase="read the response body")])
def test_a_response_closed_while_it_is_read_ends_in_an_error(case: str, then: httpcore.ReadError | None) -> None:
    """This holds whether the source then reports an error or its end, after it has discarded received bytes."""

    class Closed(Wire):
        async def next(self) -> bytes:
            if not self.pieces:
                await response.close()
            return await super().next()

    async def main() -> None:
        with pytest.raises(httpcore.ResponseClosed, match="by another task or thread") as caught:
            await USES[case](response)
        assert caught.value.phase == "set by the source"  # the source, which knows the request, has set it
        assert response.is_closed
        with pytest.raises(httpcore.ResponseClosed):
            await response.read()

    response = received(Closed(b"one", then=then))
    run(main())


def test_closing_an_iterator_closes_its_response() -> None:
    async def main() -> None:
        for leave in ("close", "aclosing"):
            wire = Wire(b"one, ", b"two")
            response = received(wire)
            stream = response.stream()
            if leave == "close":
                await anext(stream)
                stream.close()
            else:
                async with aclosing(stream):
                    await anext(stream)
            assert response.is_closed
            assert wire.closed
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())


def test_leaving_a_loop_keeps_response_open_until_it_is_closed() -> None:
    async def main() -> None:
        wire = Wire(b"one, ", b"two")
        async with received(wire) as response:
            async for _ in response.stream():
                break
            assert not response.is_closed
            assert not wire.closed
        assert response.is_closed
        assert wire.closed

    run(main())


def test_closing_takes_one_step_and_twice_does_no_more() -> None:
    response = received(Wire(b"x"))
    coroutine = response.close()
    with pytest.raises(StopIteration):
        coroutine.send(None)
    run(response.close())
    assert response.is_closed


def test_a_block_closes_its_response_and_lets_errors_out() -> None:
    async def main() -> None:
        wire = Wire(b"x")
        with pytest.raises(KeyError):
            async with received(wire):
                raise KeyError
        assert wire.closed

    run(main())


# Decoding.


def test_codings_are_decoded_across_any_cut() -> None:
    coded = gzip.compress(TEXT)

    async def main() -> None:
        for size in (1, 7, 1000):
            pieces = [coded[at : at + size] for at in range(0, len(coded), size)]
            assert await joined(received(Wire(*pieces), GZIP).stream()) == TEXT
            assert await received(Wire(*pieces), GZIP).read() == TEXT
            assert await joined(received(Wire(*pieces), GZIP).raw()) == coded

    run(main())


def test_chained_codings_are_decoded_last_first() -> None:
    async def main() -> None:
        coded = gzip.compress(zlib.compress(TEXT))
        for headers in (
            [(b"content-encoding", b"deflate, gzip")],
            [(b"content-encoding", b"Deflate"), (b"content-encoding", b"identity, GZIP")],
        ):
            assert await received(Wire(coded), headers).read() == TEXT

    run(main())


def test_an_empty_body_needs_no_coding_with_any_headers() -> None:
    async def main() -> None:
        headers = [(b"content-encoding", b"unheard-of")]
        for wire in (Wire(), Wire(all_here=True)):
            assert await received(wire, headers, 304).read() == b""
        assert await joined(received(Wire(), headers).stream()) == b""

    run(main())


@pytest.mark.parametrize("case", ["read", "stream"])
@pytest.mark.parametrize("all_here", [True, False])
def test_a_body_that_cannot_be_decoded_closes_its_response(case: str, all_here: bool) -> None:
    async def main() -> None:
        for coded, coding in (
            (gzip.compress(TEXT)[:-1], b"gzip"),
            (b"no gzip at all", b"gzip"),
            (TEXT, b"unheard-of"),
        ):
            wire = Wire(coded, all_here=all_here and case == "read")
            wire.strict = True
            response = received(wire, [(b"content-encoding", coding)])
            with pytest.raises(httpcore.DecodingError):
                await USES[case](response)
            assert response.is_closed
            assert wire.closed
            with pytest.raises(httpcore.ResponseClosed):
                _ = response.body

    run(main())


def test_read_refuses_an_excessive_ratio_and_stream_does_not() -> None:
    size = KEPT_AT_LEAST + 1
    bomb = gzip.compress(bytes(size))
    assert len(bomb) * KEPT_PER_BYTE < size

    async def main() -> None:
        wire = Wire(bomb)
        with pytest.raises(httpcore.LimitExceeded, match=r"max_body.*in pieces with stream\(\)") as caught:
            await received(wire, GZIP).read()
        assert caught.value.limit == KEPT_AT_LEAST
        assert wire.closed
        sizes = [len(piece) async for piece in received(Wire(bomb), GZIP).stream()]
        assert sum(sizes) == size
        assert max(sizes) <= 65536

    run(main())


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("share", [0, 1, 100])
def test_the_limit_of_read_does_not_depend_on_the_pieces(declared: bool, share: int) -> None:
    """First content that grows a thousandfold, then `share` times as much as the rule needs of content that does not
    grow.
    """
    size = KEPT_AT_LEAST + 1_000_000
    first = gzip.compress(bytes(size))
    rest = gzip.compress(bytes(share * (size // KEPT_PER_BYTE) // 100 * 101 // 100), 0) if share else b""
    whole = first + rest
    accepted = KEPT_PER_BYTE * len(whole) >= size + len(rest)
    assert accepted is (share == 100)
    cuts = [[whole], [first, rest], [whole[at : at + 50_000] for at in range(0, len(whole), 50_000)]]

    async def outcome(pieces: list[bytes], all_here: bool) -> str:
        wire = Wire(*[piece for piece in pieces if piece], all_here=all_here, length=len(whole) if declared else None)
        try:
            return f"{len(await received(wire, GZIP).read())} bytes"
        except httpcore.LimitExceeded as error:
            return str(error)

    async def main() -> None:
        outcomes = {await outcome(pieces, False) for pieces in cuts} | {await outcome([whole], True)}
        assert len(outcomes) == 1
        assert outcomes.pop().endswith("bytes") is accepted

    run(main())


def test_read_accepts_a_large_body_that_was_sent_large() -> None:
    size = KEPT_AT_LEAST + 1
    coded = zlib.compress(bytes(size), 0)
    headers = [(b"content-encoding", b"deflate")]
    assert len(run(received(Wire(coded), headers).read())) == size


# Letting other tasks run.


@pytest.mark.parametrize("case", ["read", "stream"])
@pytest.mark.parametrize("all_here", [True, False])
@pytest.mark.parametrize(("size", "turns"), [(1_000, 0), (65_536, 0), (65_537, 1), (655_360, 9)])
def test_each_decoded_piece_but_the_first_gives_others_a_turn(case: str, all_here: bool, size: int, turns: int) -> None:
    wire = Wire(gzip.compress(bytes(size)), all_here=all_here and case == "read")
    assert run(USES[case](received(wire, GZIP))) == bytes(size)
    assert wire.turns == turns


@pytest.mark.parametrize("case", ["read", "stream"])
def test_work_that_makes_no_content_gives_others_a_turn_too(case: str) -> None:
    barren = zlib.compressobj(wbits=31)
    body = barren.compress(b"") + b"\0\0\0\xff\xff" * 100_000 + barren.flush()  # empty stored blocks
    wire = Wire(body)
    assert run(USES[case](received(wire, GZIP))) == b""
    assert wire.turns >= len(body) // 32_768 - 2


# `max_body`.

OVER = pytest.raises(httpcore.LimitExceeded, match="max_body=1000 ")


@pytest.mark.parametrize(
    ("pieces", "headers", "length"),
    [
        ([bytes(1001)], [], None),
        ([bytes(600), bytes(401)], [], None),
        ([b"x"], [], 1001),
        ([gzip.compress(bytes(1001))], GZIP, None),
        ([gzip.compress(bytes(range(256)) * 3, 0) * 2], GZIP, None),
        ([gzip.compress(b"")] * 60, GZIP, None),
        ([b"x"], GZIP, 1001),
    ],
    ids=["plain", "plain in pieces", "declared", "decoded", "coded and decoded", "coded, empty", "coded, declared"],
)
@pytest.mark.parametrize("all_here", [True, False])
def test_read_keeps_at_most_max_body(
    pieces: list[bytes], headers: list[tuple[bytes, bytes]], length: int | None, all_here: bool
) -> None:
    all_here = all_here and length is None

    async def main() -> None:
        wire = Wire(*pieces, all_here=all_here, length=length)
        response = received(wire, headers, max_body=1000)
        with OVER as caught:
            await response.read()
        assert caught.value.limit == 1000
        assert response.is_closed
        assert wire.closed
        whole = await joined(received(Wire(*pieces), headers, max_body=1000).raw())
        assert whole == b"".join(pieces), "max_body limits only a body that is kept"

    run(main())


@pytest.mark.parametrize("headers", [[], GZIP], ids=["plain", "coded"])
@pytest.mark.parametrize("all_here", [True, False])
def test_read_keeps_exactly_max_body(headers: list[tuple[bytes, bytes]], all_here: bool) -> None:
    body = gzip.compress(bytes(1000)) if headers else bytes(1000)
    assert run(received(Wire(body, all_here=all_here), headers, max_body=1000).read()) == bytes(1000)
    assert run(received(Wire(all_here=all_here), headers, max_body=0).read()) == b""


def test_read_stops_at_the_first_byte_beyond_max_body() -> None:
    async def main() -> None:
        for pieces, headers in (([bytes(1001)], []), ([gzip.compress(bytes(5000))[:-8]], GZIP)):
            wire = Wire(*pieces, then=AssertionError("read() went on beyond max_body"))
            with OVER:
                await received(wire, headers, max_body=1000).read()
        with OVER:
            await received(
                Wire(then=AssertionError("read() began a body that is too long"), length=1001), max_body=1000
            ).read()

    run(main())


def test_without_a_limit_read_keeps_any_body() -> None:
    size = KEPT_AT_LEAST + 1
    bomb = gzip.compress(bytes(size))
    assert len(run(received(Wire(bomb), GZIP, max_body=None).read())) == size
    assert len(run(received(Wire(bomb, all_here=True), GZIP, max_body=size).read())) == size


def test_max_body_bounds_the_body_of_a_response_by_hand() -> None:
    async def main() -> None:
        assert await Response(200, body=b"12345", max_body=5).read() == b"12345"
        for body in ([b"123", b"456"], "123456", lambda: iter([b"1" * 6])):
            with pytest.raises(httpcore.LimitExceeded, match="max_body=5"):
                await Response(200, body=body, max_body=5).read()
        with pytest.raises(httpcore.LimitExceeded, match="max_body=50"):
            _ = Response(200, headers=GZIP, body=gzip.compress(bytes(51)), max_body=50).body

    run(main())


@pytest.mark.parametrize("value", [-1, True, 1.5, "1", b"1", [1]])
def test_a_max_body_that_is_no_size_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"max_body: expected .* got "):
        Response(200, max_body=value)


# Made by hand.


def test_a_response_by_hand_has_the_parts_of_a_real_one() -> None:
    response = Response(404, headers=[("X-A", "1"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")], body=b"gone")
    assert (response.status_code, response.reason_phrase, response.reason) == (404, "Not Found", "Not Found")
    assert response.protocol == "HTTP/1.1"
    assert response.headers == [(b"x-a", b"1"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
    assert response.raw_headers == [(b"X-A", b"1"), (b"Set-Cookie", b"a"), (b"Set-Cookie", b"b")]
    assert (response.body, response.is_closed) == (b"gone", True)
    assert (response.trailers, response.informational, response.connection) == ([], [], None)
    assert (response.info.reused, response.info.attempts, response.info.peer) == (False, 1, "")


def test_an_unnamed_status_has_an_empty_phrase() -> None:
    assert Response(299).reason_phrase == ""
    assert Response(299).body == b""


@pytest.mark.parametrize("status", [99, 1000, 0, -200, 200.0, "200", None, True])
def test_a_malformed_status_is_refused(status: Any) -> None:
    with pytest.raises(httpcore.LocalProtocolError, match="expected a number from 100 to 999"):
        Response(status)


@pytest.mark.parametrize(
    "headers",
    [[(b"a b", b"1")], [(b"a", b"1\r\nb: 2")], [("a",)], "a: 1", [(b"a", 1)]],
    ids=lambda headers: str(headers),
)
def test_headers_by_hand_are_checked_as_those_of_a_request(headers: Any) -> None:
    with pytest.raises(httpcore.LocalProtocolError):
        Response(200, headers=headers)


@pytest.mark.parametrize("body", [1, {"a": 1}, io.StringIO("text")], ids=["number", "mapping", "text file"])
def test_a_body_by_hand_is_checked_as_that_of_a_request(body: Any) -> None:
    with pytest.raises(httpcore.LocalProtocolError):
        Response(200, body=body)


async def asynchronous() -> AsyncIterator[bytes]:
    yield b"one, "
    yield b"two"


def plain() -> Iterator[bytes]:
    yield b"one, "
    yield b"two"


SHAPES: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"one, two",
    "bytearray": lambda: bytearray(b"one, two"),
    "str": lambda: "one, two",
    "list": lambda: [b"one, ", b"two"],
    "generator": plain,
    "async generator": asynchronous,
    "callable": lambda: asynchronous,
    "file": lambda: io.BytesIO(b"one, two"),
    "replayable": lambda: httpcore.ReplayableBody(plain),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_body_by_hand_may_have_every_shape(shape: str, use: str) -> None:
    in_memory = shape in ("bytes", "bytearray", "str")
    response = Response(200, body=SHAPES[shape]())
    assert response.is_closed is in_memory
    assert run(USES[use](response)) == b"one, two"
    assert response.is_closed


def test_a_coded_body_by_hand_can_be_had_raw_and_decoded() -> None:
    coded = gzip.compress(TEXT)

    async def main() -> None:
        response = Response(200, headers=GZIP, body=coded)
        assert await joined(response.raw()) == coded
        assert response.body == TEXT
        assert await joined(response.stream()) == TEXT
        assert await joined(response.raw()) == coded
        assert await response.read() == TEXT
        streamed = Response(200, headers=GZIP, body=[coded[:9], coded[9:]])
        assert await joined(streamed.stream()) == TEXT

    run(main())


def test_an_unsupported_coding_raises_for_the_body_and_raw_works() -> None:
    async def main() -> None:
        response = Response(200, headers=[(b"content-encoding", b"compress")], body=b"x")
        with pytest.raises(httpcore.DecodingError, match="compress"):
            _ = response.body
        with pytest.raises(httpcore.DecodingError, match="compress"):
            await response.read()
        assert await joined(response.raw()) == b"x"

    run(main())


def test_large_bytes_by_hand_come_in_the_pieces_of_a_real_stream() -> None:
    async def main() -> None:
        for body in (bytes(3 * PIECE), [bytes(2 * PIECE), bytes(PIECE)]):
            sizes = [len(piece) async for piece in Response(200, body=body).stream()]
            assert sum(sizes) == 3 * PIECE
            assert max(sizes) == PIECE

    run(main())


def test_an_error_of_a_body_by_hand_is_raised_unchanged() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise KeyError("mine")

    async def main() -> None:
        response = Response(200, body=broken())
        with pytest.raises(KeyError, match="mine"):
            await response.read()
        assert response.is_closed

    run(main())


@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize("leave", ["close", "block", "aclosing"])
def test_async_generator_by_hand_is_closed_in_the_closing_task(run: Any, leave: str) -> None:
    ended_in: list[object] = []

    def task() -> object:
        return asyncio.current_task() if run is not trio.run else trio.lowlevel.current_task()

    async def generated() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            ended_in.append(task())

    async def main() -> None:
        response = Response(200, body=generated())
        stream = response.stream()
        if leave == "aclosing":
            async with aclosing(stream):
                await anext(stream)
        elif leave == "block":
            async with response:
                await anext(stream)
        else:
            await anext(stream)
            await response.close()
        assert ended_in == [task()]

    run(main)


def test_a_plain_generator_by_hand_is_closed_with_its_response() -> None:
    ended: list[bool] = []

    def generated() -> Iterator[bytes]:
        try:
            yield b"one"
            yield b"two"
        finally:
            ended.append(True)

    async def main() -> None:
        response = Response(200, body=generated())
        await anext(response.stream())
        await response.close()

    run(main())
    assert ended == [True]


def test_the_repr_has_status_and_state_and_no_header() -> None:
    response = Response(200, headers={"Set-Cookie": "secret"}, body=[b"x"])
    assert repr(response) == "<Response [200 OK] not read yet>"
    run(response.read())
    assert repr(response) == "<Response [200 OK] read>"


def test_the_repr_has_no_space_in_place_of_a_phrase() -> None:
    assert repr(Response(599)) == "<Response [599] read>"


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA1), 0xAD, 0x2028, 0x202E], ids=hex)
def test_the_repr_escapes_control_characters(code: int) -> None:
    response = Response(200)
    response.reason_phrase = f"Gr\u00fc\u00dfe{chr(code)}[31m"
    assert repr(response).isprintable()
    assert "Gr\u00fc\u00dfe\\" in repr(response)


def test_making_a_response_imports_neither_a_loop_nor_tls() -> None:
    program = (
        "import sys, httpcore; httpcore.Response(200, headers=[('a', 'b')], body=b'x').body;"
        "assert not {'ssl', 'asyncio', 'trio', 'h11', 'socket'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
