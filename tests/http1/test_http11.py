"""One HTTP/1.1 exchange after another over a scripted stream, on a clock that the test owns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

import httpcore
from httpcore import ReadError
from httpcore._deadline import Deadline
from httpcore._http1.connection import HTTP11Connection
from httpcore._http1.exchange import CONTINUE_TIMEOUT, DRAIN, EARLY, SMALL_BODY, HTTP11Exchange
from httpcore._message.head import Head
from httpcore._message.request import Request
from httpcore._pool.engines import checked_engines
from httpcore.testing import ServerEnd
from httpcore.testing import Simulation as Runtime

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PIECE = 65536
Script = Callable[[ServerEnd], Awaitable[None]]


class Line:
    """The client's end of one connection to a scripted peer."""

    def __init__(self, runtime: Runtime, connection: HTTP11Connection) -> None:
        self.runtime = runtime
        self.connection = connection
        self.seen: list[int] = []

    @property
    def sent(self) -> bytes:
        return self.runtime.connections[0].sent

    @property
    def closed(self) -> bool:
        return self.runtime.connections[0].client_closed

    def exchange(self, method: str = "GET", timeout: Any = 5.0, **request: Any) -> HTTP11Exchange:
        deadline = Deadline(httpcore.TimeoutConfig.of(timeout), self.runtime.backend().now)
        made = Request.of(method, "http://a.test/", **request)
        begin = checked_engines(None).http1[1]
        return begin(self.connection, made, deadline, lambda head: self.seen.append(head.status), False)


def talk(script: Script, body: Callable[[Line], Awaitable[None]], **settings: Any) -> Runtime:
    """Run `body` with a `Line` to `script`, in a runtime with `settings`."""
    window = settings.pop("window", PIECE)
    runtime = Runtime(**settings)
    runtime.listen("a.test", 80, script, window=window)

    async def main() -> None:
        stream = await runtime.backend().connect_tcp(["a.test"], 80, None)
        await body(Line(runtime, HTTP11Connection(stream, runtime.backend())))

    runtime.run(main())
    return runtime


def answering(*answers: bytes) -> Script:
    """Repeatedly reads a head and sends an answer; then keeps the connection open."""

    async def script(peer: ServerEnd) -> None:
        for answer in answers:
            await peer.recv_until(b"\r\n\r\n")
            await peer.send(answer)
        await peer.recv()

    return script


async def silent(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await peer.scheduler.sleep(3600)


async def whole(exchange: HTTP11Exchange) -> bytes:
    pieces = []
    while piece := await exchange.next():
        pieces.append(piece)
    return b"".join(pieces)


# Plain exchanges.


def test_exchanges_follow_each_other_on_one_connection() -> None:
    async def body(line: Line) -> None:
        for _ in range(3):
            assert line.connection.is_quiet()
            exchange = line.exchange()
            assert (exchange.started, exchange.ended, exchange.clean, exchange.switched) == (False,) * 4
            head = await exchange.run()
            assert (head.status, head.reason) == (200, b"OK")
            assert await whole(exchange) == b"ok"
            assert (exchange.started, exchange.ended, exchange.clean) == (True,) * 3
            assert exchange.sent == len(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert line.sent == b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n" * 3
        assert not line.closed

    talk(answering(OK, OK, OK), body)


@pytest.mark.parametrize("most", [1, 7, None])
def test_bytes_are_the_same_in_any_pieces(most: int | None) -> None:
    async def body(line: Line) -> None:
        exchange = line.exchange("POST", body=[b"one, ", b"two"], trailers={"X-Sum": "1"})
        await exchange.run()
        assert await whole(exchange) == b"Hello, world"
        assert exchange.trailers == [(b"x-sum", b"2")]
        assert exchange.received == 12
        assert exchange.clean
        assert line.sent == (
            b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\none, \r\n3\r\ntwo\r\n0\r\nX-Sum: 1\r\n\r\n"
        )

    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"0\r\nX-Sum: 1\r\n\r\n")
        await peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n7\r\n, world\r\n0\r\nX-Sum: 2\r\n\r\n"
        )
        await peer.recv()

    talk(script, body, max_read=most, max_write=most)


def test_a_small_body_leaves_in_one_piece_with_its_head() -> None:
    first: list[bytes] = []

    async def script(peer: ServerEnd) -> None:
        first.append(await peer.recv())
        await peer.send(OK)
        await peer.recv()

    async def body(line: Line) -> None:
        await line.exchange("POST", body=bytes(SMALL_BODY)).run()
        assert len(first[0]) == len(line.sent) > SMALL_BODY

    talk(script, body)


def test_response_that_ends_with_connection_is_whole_and_last() -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil ")
        await peer.send(b"the end")

    async def body(line: Line) -> None:
        exchange = line.exchange()
        await exchange.run()
        assert await whole(exchange) == b"until the end"
        assert exchange.ended
        assert not exchange.clean

    talk(script, body)


def test_buffered_body_is_a_received_body_or_none() -> None:
    async def body(line: Line) -> None:
        exchange = line.exchange()
        await exchange.run()
        assert exchange.buffered_body() == b"ok"
        assert exchange.buffered_body() == b""
        second = line.exchange()
        await second.run()
        assert second.buffered_body() is None
        assert await second.next() == b"x"

    talk(answering(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"), body)


@pytest.mark.parametrize("what", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\x00", b""], ids=["answer", "byte", "end"])
def test_a_connection_with_input_between_exchanges_is_not_quiet(what: bytes) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(OK)
        await peer.scheduler.sleep(1)
        await peer.send(what)

    async def body(line: Line) -> None:
        exchange = line.exchange()
        await exchange.run()
        assert exchange.clean
        assert line.connection.is_quiet()
        await line.runtime.sleep(2)
        assert not line.connection.is_quiet()
        assert not line.connection.is_quiet()

    talk(script, body)


@pytest.mark.parametrize("found", [b"HTTP/1.1 408 x", b"", ReadError("it broke"), None])
def test_without_is_quiet_take_of_a_stream_is_called_once(found: bytes | ReadError | None) -> None:
    answers: list[Any] = [found]

    class Plain:
        def take(self) -> Any:
            what = answers.pop() if answers else None
            if isinstance(what, ReadError):
                raise what
            return what

    connection = HTTP11Connection(Plain(), None)  # type: ignore[arg-type]
    assert [connection.is_quiet() for _ in range(3)] == [found is None] * 3


# Early answers.


def uploads(count: int = 100) -> Iterator[bytes]:
    for _ in range(count):
        yield bytes(50_000)


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "bytes": lambda: {"body": bytes(5_000_000)},
    "counted": lambda: {"body": uploads(), "headers": {"Content-Length": "5000000"}},
    "chunked": lambda: {"body": uploads()},
}


@pytest.mark.parametrize("shape", BODIES)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbig",
        b"HTTP/1.1 303 See Other\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["error", "error without end", "complete", "complete without body"],
)
def test_early_answer_that_is_an_error_or_complete_stops_upload(answer: bytes, shape: str) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(answer)
        await peer.scheduler.sleep(3600)  # the peer reads no more

    async def body(line: Line) -> None:
        exchange = line.exchange("POST", **BODIES[shape]())
        head = await exchange.run()
        assert head.status == int(answer[9:12])
        assert exchange.sent == len(line.sent) < 200_000
        assert exchange.phase == "write the request"
        assert line.runtime.now < 1
        assert not exchange.clean, "the request was sent only in part"

    talk(script, body)


@pytest.mark.parametrize("shape", BODIES)
def test_an_early_head_that_is_no_error_waits_for_the_request(shape: str) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nup")
        received = 0
        while received < 5_000_000:
            received += len(await peer.recv())
        await peer.send(b"load")
        while await peer.recv():
            pass

    async def body(line: Line) -> None:
        exchange = line.exchange("POST", **BODIES[shape]())
        head = await exchange.run()
        assert head.status == 200
        assert exchange.sent == len(line.sent) > 5_000_000
        assert await whole(exchange) == b"upload"
        assert exchange.clean

    talk(script, body)


def test_interim_answers_are_received_while_the_upload_goes_on() -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        received = 0
        while received < 5_000_000:
            if received < 300_000:
                await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            received += len(await peer.recv())
        await peer.send(OK)
        await peer.recv()

    async def body(line: Line) -> None:
        exchange = line.exchange("POST", body=bytes(5_000_000))
        assert (await exchange.run()).status == 200
        assert len(line.seen) > 2
        assert set(line.seen) == {102}
        assert [head.status for head in exchange.interim] == line.seen
        assert exchange.clean

    talk(script, body)


def test_of_an_early_answer_without_end_only_so_much_is_held() -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000))

    async def body(line: Line) -> None:
        exchange = line.exchange("POST", body=bytes(5_000_000))
        with pytest.raises(httpcore.WriteTimeout):
            await exchange.run()
        assert exchange.received <= EARLY + PIECE
        assert len(line.runtime.connections[0].replied) <= EARLY + 3 * PIECE, "the peer was stopped by flow control"

    talk(script, body)


# Expect: 100-continue.

EXPECT = {"Expect": "100-continue"}


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"], ids=["100", "103 and 100"])
def test_a_100_continue_starts_the_body_at_once(interim: bytes) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.scheduler.sleep(0.25)
        await peer.send(interim + b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.recv_exactly(4) == b"body"
        await peer.send(OK)
        await peer.recv()

    async def body(line: Line) -> None:
        exchange = line.exchange("PUT", headers=EXPECT, body=b"body")
        assert (await exchange.run()).status == 200
        assert line.runtime.now == 0.25
        assert line.seen[-1] == 100
        assert exchange.clean

    talk(script, body)


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 102 Processing\r\n\r\n"], ids=["nothing", "another 1xx"])
@pytest.mark.parametrize(("timeout", "waited"), [(5.0, CONTINUE_TIMEOUT), (None, CONTINUE_TIMEOUT), (0.5, 0.5)])
def test_without_100_continue_the_body_is_sent_after_a_second(
    interim: bytes, timeout: float | None, waited: float
) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        if interim:
            await peer.send(interim)
        await peer.recv_exactly(4)
        await peer.send(OK)
        await peer.recv()

    async def body(line: Line) -> None:
        exchange = line.exchange("PUT", timeout, headers=EXPECT, body=b"body")
        assert (await exchange.run()).status == 200
        assert line.runtime.now == waited
        assert exchange.clean

    talk(script, body)


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"200 OK"])
def test_a_final_answer_in_its_place_keeps_the_body_back(status: bytes) -> None:
    async def body(line: Line) -> None:
        exchange = line.exchange("PUT", headers=EXPECT, body=b"body")
        assert (await exchange.run()).status == int(status[:3])
        assert line.sent.endswith(b"\r\n\r\n")
        assert exchange.ended
        assert not exchange.clean, "the peer may still wait for the body"

    talk(answering(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"), body)


def test_total_timeout_may_end_the_wait_for_100_continue() -> None:
    async def body(line: Line) -> None:
        timeout = httpcore.TimeoutConfig(total_timeout=0.5)
        with pytest.raises(httpcore.TotalTimeout):
            await line.exchange("PUT", timeout, headers=EXPECT, body=b"body").run()
        assert line.runtime.now == 0.5

    talk(silent, body)


# Responses received after a write error.

WORDS = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"


@pytest.mark.parametrize("shape", BODIES)
def test_the_response_of_a_peer_that_resets_is_received(shape: str) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(WORDS)
        peer.reset()

    async def body(line: Line) -> None:
        exchange = line.exchange("POST", **BODIES[shape]())
        assert (await exchange.run()).status == 413
        assert await whole(exchange) == b"big"
        assert not exchange.clean

    talk(script, body)


@pytest.mark.parametrize(
    "words",
    [b"", WORDS[:20], b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["nothing", "half a head", "an interim one"],
)
def test_without_a_response_a_failed_write_stays_a_write_error(words: bytes) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(words)
        peer.reset()

    async def body(line: Line) -> None:
        exchange = line.exchange("POST", body=bytes(5_000_000))
        with pytest.raises(httpcore.WriteError, match="reset by the peer"):
            await exchange.run()
        assert not exchange.clean

    talk(script, body)


@pytest.mark.parametrize("shape", [b"x", [b"x"]], ids=["with the head", "in pieces"])
def test_a_response_before_the_request_is_its_answer_if_valid(shape: Any) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nfull")

    async def body(line: Line) -> None:
        await line.runtime.sleep(1)
        exchange = line.exchange("POST", body=shape)
        assert (await exchange.run()).status == 503
        assert await whole(exchange) == b"full"
        assert exchange.sent == 0
        assert not exchange.clean

    talk(script, body)


# Bodies that fail.


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([b"12345"], "longer than its Content-Length: expected 4 bytes, got 5 or more"),
        ([b"123", b"45"], "longer than its Content-Length: expected 4 bytes, got 5 or more"),
        ([b"123"], "shorter than its Content-Length: expected 4 bytes, got 3"),
        ([], "shorter than its Content-Length: expected 4 bytes, got 0"),
    ],
)
def test_a_body_of_undeclared_length_closes_before_its_end(pieces: list[bytes], words: str) -> None:
    async def body(line: Line) -> None:
        exchange = line.exchange("PUT", headers={"Content-Length": "4"}, body=pieces)
        with pytest.raises(httpcore.LocalProtocolError, match=words):
            await exchange.run()
        assert line.closed
        assert len(line.sent.partition(b"\r\n\r\n")[2]) < 4

    talk(silent, body)


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "8"}], ids=["chunked", "counted"])
def test_body_that_raises_is_cut_on_the_wire_before_its_clean_up(headers: dict[str, str]) -> None:
    async def body(line: Line) -> None:
        closed_in_clean_up: list[bool] = []

        async def generated() -> AsyncIterator[bytes]:
            try:
                yield b"1234"
                yield "text"  # type: ignore[misc]  # the mistake that this is about
            finally:
                closed_in_clean_up.append(line.closed)

        with pytest.raises(httpcore.LocalProtocolError, match="piece of type str"):
            await line.exchange("PUT", headers=headers, body=generated()).run()
        assert closed_in_clean_up == [True]
        assert not line.sent.endswith(b"0\r\n\r\n")

    talk(silent, body)


def test_a_body_of_the_wrong_kind_is_refused_before_any_byte() -> None:
    async def body(line: Line) -> None:
        with pytest.raises(httpcore.LocalProtocolError, match="callable that returned type int"):
            await line.exchange("PUT", body=lambda: 5).run()
        assert line.sent == b""

    talk(silent, body)


def test_trailers_are_computed_when_the_body_has_been_sent() -> None:
    order: list[str] = []

    def generated() -> Iterator[bytes]:
        order.append("body")
        yield b"x"

    def trailers() -> dict[str, str]:
        order.append("trailers")
        return {"X-Sum": "1"}

    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n")
        await peer.send(OK)
        await peer.recv()

    async def body(line: Line) -> None:
        assert (await line.exchange("PUT", body=generated(), trailers=trailers).run()).status == 200
        assert order == ["body", "trailers"]

    talk(script, body)


# Time.


def test_a_peer_that_never_reads_is_a_write_timeout() -> None:
    async def body(line: Line) -> None:
        exchange = line.exchange("POST", httpcore.TimeoutConfig(9, write_timeout=2), body=bytes(5_000_000))
        with pytest.raises(httpcore.WriteTimeout) as caught:
            await exchange.run()
        assert (line.runtime.now, caught.value.limit, exchange.phase) == (2.0, 2.0, "write the request")

    talk(silent, body)


def test_a_silent_peer_is_a_read_timeout() -> None:
    async def body(line: Line) -> None:
        exchange = line.exchange("GET", httpcore.TimeoutConfig(9, read_timeout=2))
        with pytest.raises(httpcore.ReadTimeout) as caught:
            await exchange.run()
        assert (line.runtime.now, caught.value.limit, exchange.phase) == (2.0, 2.0, "read the response head")

    talk(silent, body)


def test_read_timeout_is_for_each_wait_and_the_total_one_for_all() -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + bytes(100), piece=1, delay=1.5)

    async def long_wait(line: Line) -> None:
        exchange = line.exchange("GET", httpcore.TimeoutConfig(2))
        await exchange.run()
        assert len(await whole(exchange)) == 100
        assert line.runtime.now > 150

    async def hurried(line: Line) -> None:
        exchange = line.exchange("GET", httpcore.TimeoutConfig(2, total_timeout=100))
        await exchange.run()
        with pytest.raises(httpcore.Timeout) as caught:
            await whole(exchange)
        assert isinstance(exchange.deadline.as_total_timeout(caught.value), httpcore.TotalTimeout)
        assert line.runtime.now == 100.0

    talk(script, long_wait)
    talk(script, hurried)


# Release of the connection.


@pytest.mark.parametrize(
    ("size", "fine"),
    [(0, True), (1000, True), (DRAIN, True), (8 * DRAIN, False)],
    ids=["none", "small", "most", "large"],
)
def test_a_small_received_body_is_drained_to_save_the_connection(size: int, fine: bool) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size + 1))
        await peer.send(bytes(size + 1))
        await peer.recv()

    async def body(line: Line) -> None:
        exchange = line.exchange()
        await exchange.run()
        await line.runtime.sleep(1)
        exchange.drain()
        assert exchange.clean is fine

    talk(script, body, window=16 * DRAIN)


@pytest.mark.parametrize("rest", [b"", b"\x00" * 3, b"3\r\nabcXX"], ids=["not here", "short", "broken"])
def test_missing_or_broken_body_costs_the_connection_and_no_wait(rest: bytes) -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        framing = b"Transfer-Encoding: chunked" if rest.startswith(b"3") else b"Content-Length: 9"
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        await peer.scheduler.sleep(0.5)
        await peer.send(rest)
        await peer.recv()

    async def body(line: Line) -> None:
        exchange = line.exchange()
        await exchange.run()
        await line.runtime.sleep(1)
        exchange.drain()
        assert line.runtime.now == 1
        assert not exchange.clean

    talk(script, body)


# Connections that no longer carry HTTP.

SWITCH = {"Upgrade": "echo", "Connection": "Upgrade"}


def switching(answer: bytes) -> Script:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(answer)
        while data := await peer.recv():
            await peer.send(data.upper())
        await peer.send(b"bye")

    return script


@pytest.mark.parametrize(
    ("method", "headers", "answer"),
    [
        ("GET", SWITCH, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n"),
        ("CONNECT", {}, b"HTTP/1.1 200 Connected\r\nContent-Length: 5\r\n\r\n"),
        ("CONNECT", {}, b"HTTP/1.1 204 Fine\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    ids=["101", "CONNECT", "CONNECT, 204"],
)
def test_the_raw_stream_begins_with_the_bytes_behind_the_head(method: str, headers: Any, answer: bytes) -> None:
    async def body(line: Line) -> None:
        released: list[bool] = []
        exchange = line.exchange(method, headers=headers)
        await exchange.run()
        assert exchange.switched
        raw = exchange.raw(lambda: released.append(True))
        assert await raw.recv(3) == b"wel"
        assert await raw.recv() == b"come"
        await raw.send(b"hello")
        assert await raw.recv() == b"HELLO"
        with pytest.raises(httpcore.LocalProtocolError, match="trailers: expected none"):
            await raw.end({"X-Sum": "1"})
        await raw.end()
        assert await raw.recv() == b"bye"
        assert await raw.recv() == b""
        assert not released
        raw.close()
        assert released == [True]
        assert line.closed

    talk(switching(answer + b"welcome"), body)


def test_the_timeouts_of_the_request_are_those_of_its_raw_stream() -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        await peer.scheduler.sleep(3600)

    async def body(line: Line) -> None:
        exchange = line.exchange("CONNECT", httpcore.TimeoutConfig(2, write_timeout=3))
        await exchange.run()
        raw = exchange.raw(lambda: None)
        with pytest.raises(httpcore.ReadTimeout):
            await raw.recv()
        assert line.runtime.now == 2
        with pytest.raises(httpcore.WriteTimeout):
            await raw.send(bytes(1_000_000))
        assert line.runtime.now == 5

    talk(script, body)


def test_the_raw_stream_waits_for_room_and_not_for_input() -> None:
    async def script(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nunread")
        assert len(await peer.recv_exactly(1_000_000)) == 1_000_000
        await peer.recv()

    async def body(line: Line) -> None:
        exchange = line.exchange("CONNECT")
        await exchange.run()
        raw = exchange.raw(lambda: None)
        await raw.send(bytearray(1_000_000))
        assert await raw.recv() == b"unread"
        raw.close()

    talk(script, body)


def test_a_connect_that_is_refused_is_an_ordinary_response() -> None:
    async def body(line: Line) -> None:
        exchange = line.exchange("CONNECT")
        assert (await exchange.run()).status == 407
        assert not exchange.switched
        assert await whole(exchange) == b"no"
        assert exchange.clean

    talk(answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno"), body)


def test_every_interim_head_is_reported_in_order_with_its_fields() -> None:
    async def body(line: Line) -> None:
        exchange = line.exchange()
        assert (await exchange.run()).status == 200
        assert line.seen == [102, 103, 103]
        assert [head.headers for head in exchange.interim] == [(), ((b"link", b"</a>"),), ((b"link", b"</b>"),)]
        assert all(isinstance(head, Head) for head in exchange.interim)

    talk(
        answering(
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n" + OK
        ),
        body,
    )
