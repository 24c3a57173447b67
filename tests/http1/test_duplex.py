"""HTTP/1.1 in both directions at once: the request continues while its response is read."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_servers import Ports
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer
from trials import HostileServer, trial

import httpcore
from httpcore._deadline import Deadline
from httpcore._http1.connection import HTTP11Connection
from httpcore._http1.duplex import HTTP11DuplexExchange
from httpcore._message.request import Request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 1 << 20


def chunk_of(peer: Peer) -> bytes:
    size = int(peer.until(b"\r\n"), 16)
    data = peer.exactly(size)
    assert peer.exactly(2) == b"\r\n"
    return data


def send_chunk(peer: Peer, data: bytes) -> None:
    peer.send(b"%x\r\n%b\r\n" % (len(data), data))


def echo(peer: Peer) -> bool:
    """Sends the head at once, and echoes each chunk when it is received; the response ends with a trailer."""
    peer.send(CHUNKED)
    while data := chunk_of(peer):
        send_chunk(peer, data.upper())
    peer.send(b"0\r\nX-Sum: 1\r\n\r\n")
    return True


def echo_counted(peer: Peer) -> bool:
    """Like `echo`, with a body of nine bytes that is received three bytes at a time."""
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    for _ in range(3):
        peer.send(peer.exactly(3).upper())
    return True


def answering(raw: bytes, *, stays: bool = True) -> Callable[[Peer], bool]:
    def act(peer: Peer) -> bool:
        peer.send(raw)
        return stays

    return act


async def received(connection: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await connection.recv()
        assert piece
        data += piece
    return data


async def send_without_end(connection: Any, size: int) -> None:
    while True:
        await connection.send(bytes(size))


@each_runtime
def test_each_side_goes_on_while_the_other_does(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(echo) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, duplex=True)
                connection = response.connection
                for word in (b"one", b"two", b"three" * 1000):
                    await connection.send(word)
                    assert await received(connection, len(word)) == word.upper()
                await connection.end()
                assert await connection.recv() == b""
                assert response.trailers == [(b"x-sum", b"1")]
                assert await response.read() == b""
                connection.close()
            assert server.connections == 1  # the same connection served the clean request
            assert b"Transfer-Encoding: chunked" in server.heads[0]

    runtime.run(body)


@each_runtime
def test_a_counted_body_goes_on_as_well(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(echo_counted) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, {"Content-Length": "9"}, b"abc", duplex=True)
                connection = response.connection
                assert await received(connection, 3) == b"ABC"
                await connection.send(b"def")
                with pytest.raises(httpcore.LocalProtocolError, match="expected 9 bytes, got 6"):
                    await connection.end()
                with pytest.raises(httpcore.LocalProtocolError, match="expected 9 bytes, got 10"):
                    await connection.send(b"ghij")
                with pytest.raises(httpcore.LocalProtocolError, match="chunked"):
                    await connection.end([("X-A", "b")])
                await connection.send(b"ghi")
                await connection.end()
                assert await received(connection, 6) == b"DEFGHI"
                assert await connection.recv() == b""
                connection.close()
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_trailers_end_a_duplex_request(runtime: Runtime) -> None:
    seen = b""

    def act(peer: Peer) -> bool:
        nonlocal seen
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        seen = peer.until(b"\r\n\r\n")
        peer.send(b"ok")
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, duplex=True)
                await response.connection.end([("X-Sum", "7")])
                assert await received(response.connection, 2) == b"ok"
                response.connection.close()
            assert seen == b"0\r\nX-Sum: 7\r\n\r\n"
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_a_body_is_read_until_the_head_and_no_further(runtime: Runtime) -> None:
    """The caller continues with the rest of the iterator."""

    def act(peer: Peer) -> bool:
        assert chunk_of(peer) == b"1"
        peer.send(CHUNKED)
        while data := chunk_of(peer):
            send_chunk(peer, data)
        peer.send(b"0\r\n\r\n")
        return True

    async def body() -> None:
        closed = False

        def pieces() -> Generator[bytes, None, None]:
            nonlocal closed
            try:
                yield b"1"
                while True:
                    yield b""  # this lets the pool check for the head
                    time.sleep(0.001)
            finally:
                closed = True

        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                rest = pieces()
                response = await pool.request("POST", server.url, body=rest, duplex=True)
                assert not closed
                assert next(rest) == b""
                await response.connection.send(b"2")
                assert await received(response.connection, 1) == b"2"
                await response.connection.end()
                assert await response.connection.recv() == b""
                response.connection.close()
                rest.close()
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_an_iterator_that_ends_before_the_head_ends_the_request(runtime: Runtime) -> None:
    def act(peer: Peer) -> bool:
        whole = b""
        while data := chunk_of(peer):
            whole += data
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(whole), whole))
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, body=iter([b"a", b"", b"bc"]), duplex=True)
                assert await received(response.connection, 3) == b"abc"
                await response.connection.end()
                with pytest.raises(httpcore.WriteError, match="it was ended"):
                    await response.connection.send(b"d")
                assert await response.connection.recv() == b""
                response.connection.close()
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_megabytes_go_in_both_directions_at_once(runtime: Runtime) -> None:
    piece = bytes(range(256)) * 256
    count = 64

    async def body() -> None:
        with HostileServer(echo) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, duplex=True)
                connection = response.connection

                async def send() -> int:
                    for _ in range(count):
                        await connection.send(piece)
                    await connection.end()
                    return 0

                async def receive() -> int:
                    size = 0
                    while data := await connection.recv():
                        size += len(data)
                    return size

                assert await runtime.gather(send, receive) == [0, count * len(piece)]
                connection.close()
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_a_sender_alone_receives_the_response(runtime: Runtime) -> None:
    """A server that answers while no task receives, and does not continue to read before its answer is read, causes no
    deadlock.
    """

    def act(peer: Peer) -> bool:
        peer.send(CHUNKED)
        for _ in range(8):
            send_chunk(peer, chunk_of(peer)[:16384])
        assert chunk_of(peer) == b""
        peer.send(b"0\r\n\r\n")
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, duplex=True)
                for _ in range(8):
                    await response.connection.send(bytes(MIB))
                await response.connection.end()
                assert len(await received(response.connection, 8 * 16384)) == 8 * 16384
                assert await response.connection.recv(1) == b""
                response.connection.close()
            assert server.connections == 1

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nless",
        b"HTTP/1.1 413 Too Much\r\nConnection: close\r\nContent-Length: 4\r\n\r\nless",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nless",
    ],
    ids=["an error", "an error that closes", "a whole response"],
)
def test_an_early_answer_ends_the_sending_and_the_connection(runtime: Runtime, raw: bytes) -> None:
    async def body() -> None:
        with HostileServer(answering(raw, stays=b"close" not in raw)) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, body=b"beginning", duplex=True)
                connection = response.connection
                with pytest.raises(httpcore.WriteError, match="accepts no more") as caught:
                    await send_without_end(connection, 65536)
                assert caught.value.phase == "send on the raw stream"
                assert await received(connection, 4) == b"less"
                assert await connection.recv() == b""
                connection.close()
            assert server.connections == 2

    runtime.run(body)


@each_runtime
def test_a_server_that_stops_reading_is_a_write_timeout(runtime: Runtime) -> None:
    gate = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(CHUNKED)
        gate.wait(20)

    async def body() -> None:
        with ScriptedServer(script) as server:
            pool = runtime.pool(timeout=httpcore.TimeoutConfig(5, write_timeout=0.3))
            try:
                response = await pool.request("POST", server.url, duplex=True)
                with pytest.raises(httpcore.WriteTimeout):
                    await send_without_end(response.connection, MIB)
                with pytest.raises(httpcore.WriteError, match="cut short"):
                    await response.connection.send(b"x")
                with pytest.raises(httpcore.WriteError, match="cut short"):
                    await response.connection.end()
                response.connection.close()
                assert pool.stats().open == 0
            finally:
                gate.set()
                await pool.close()

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("how", ["unfinished request", "unfinished response"])
def test_a_stream_not_ended_on_both_sides_closes_its_connection(runtime: Runtime, how: str) -> None:
    def act(peer: Peer) -> bool:
        peer.send(CHUNKED + b"1\r\na\r\n")
        return bool(peer.rest()) and False

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, duplex=True)
                assert await received(response.connection, 1) == b"a"
                if how == "unfinished response":
                    await response.connection.end()
                response.connection.close()
                with pytest.raises(httpcore.WriteError, match="closed on this side"):
                    await response.connection.send(b"x")
                with pytest.raises(httpcore.ReadError, match="closed on this side"):
                    await response.connection.recv()
            assert server.connections == 2

    runtime.run(body)


@each_runtime
def test_a_closed_duplex_stream_never_touches_the_next_exchange(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(echo) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, duplex=True)
                await response.connection.end()
                assert await response.connection.recv() == b""
                response.connection.close()
                other = await pool.request("POST", server.url, duplex=True)
                for step in (lambda: response.connection.send(b"x"), response.connection.end):
                    with pytest.raises(httpcore.WriteError):
                        await step()
                response.connection.close()
                await other.connection.send(b"abc")
                assert await received(other.connection, 3) == b"ABC"
                await other.connection.end()
                assert await other.connection.recv() == b""
                other.connection.close()
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_one_at_a_time_sends_and_one_receives(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(echo) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, duplex=True)
                connection = response.connection

                async def first() -> bytes:
                    return bytes(await connection.recv())

                async def second() -> bytes:
                    await runtime.sleep(0.05)
                    with pytest.raises(httpcore.ResponseBusy):
                        await connection.recv()
                    await connection.send(b"abc")
                    await connection.end()
                    return b""

                assert await runtime.gather(first, second) == [b"ABC", b""]
                assert await connection.recv() == b""
                connection.close()
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_duplex_means_nothing_where_there_is_no_body(runtime: Runtime) -> None:
    def act(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
        peer.send(peer.exactly(3))

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                headers = {"Connection": "upgrade", "Upgrade": "echo"}
                response = await pool.request("GET", server.url, headers, duplex=True)
                assert response.status_code == 101
                await response.connection.send(b"abc")
                assert await received(response.connection, 3) == b"abc"
                response.connection.close()
            assert b"chunked" not in server.heads[0]

    runtime.run(body)


@each_runtime
def test_a_body_that_fails_in_a_duplex_request_closes_it(runtime: Runtime) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise ZeroDivisionError

    def broken_generator() -> Iterator[bytes]:
        yield b"abc"
        raise ZeroDivisionError

    async def body() -> None:
        with HostileServer(lambda peer: peer.rest() and False) as server:
            async with trial(runtime, server) as pool:
                given = broken_generator() if runtime.name == "threads" else broken()
                with pytest.raises(ZeroDivisionError):
                    await pool.request("POST", server.url, body=given, duplex=True)

    runtime.run(body)


@pytest.mark.servers
@each_runtime
@pytest.mark.parametrize("kind", ["plain", "secure"])
def test_the_end_of_a_duplex_request_leaves_over_http2(
    runtime: Runtime, kind: str, hypercorn: Ports, place: Path
) -> None:
    """This holds over TLS too, where written bytes may wait in the TLS stream: no later write would send them."""

    async def body() -> None:
        named: dict[str, Any] = {"ssl": httpcore.SSLConfig(verify=str(place / "ca.pem")), "http1": False}
        url = f"https://localhost:{hypercorn.secure}" if kind == "secure" else f"http://127.0.0.1:{hypercorn.plain}"
        pool = runtime.pool(**named, timeout=5)
        try:
            for _ in range(2):
                response = await pool.request("POST", url + "/echo", duplex=True)
                connection = response.connection

                async def send(connection: Any = connection) -> bytes:
                    await connection.send(b"abc")
                    await runtime.sleep(0.1)  # the receiver waits for the rest by now
                    await connection.end()
                    return b""

                async def receive(connection: Any = connection) -> bytes:
                    return await received(connection, 3) + bytes(await connection.recv())

                assert await runtime.gather(send, receive) == [b"", b"abc"]
                connection.close()
        finally:
            await pool.close()

    runtime.run(body)


class StreamInTwoPieces:
    """A stream whose answer arrives in two pieces: `take` holds the first and waits until a reader has the second."""

    owes = truncated = can_wake = False

    def __init__(self) -> None:
        self.pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"ab", b"cd"]
        self.waits = False
        self.is_taking = threading.Event()
        self.is_read = threading.Event()

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        piece = self.pieces.pop(0)
        if self.waits:
            self.is_read.set()
        return piece

    def take(self) -> bytes | None:
        if not self.waits or not self.pieces:
            return None
        piece = self.pieces.pop(0)
        if not self.is_taking.is_set():
            self.is_taking.set()
            self.is_read.wait(0.1)
        return piece

    async def write_some(self, data: Any, timeout: float | None, *, duplex: bool = False) -> int:
        return len(data)

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        return True

    def close(self) -> None:
        pass


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


def test_closing_takes_no_input_beside_a_receiver() -> None:
    stream, backend = StreamInTwoPieces(), httpcore.threads_backend()
    request = Request.of("POST", "http://a.test/", headers={"Content-Length": "2"}, body=b"xx", duplex=True)
    deadline = Deadline(httpcore.TimeoutConfig(), backend.now)
    given: Any = stream
    connection = HTTP11Connection(given, backend)
    exchange = HTTP11DuplexExchange(connection, request, deadline, lambda head: None)
    finished(exchange.run())
    finished(exchange.finish(None))
    stream.waits = True
    closing = threading.Thread(target=exchange.drain)
    closing.start()
    assert stream.is_taking.wait(5)
    assert finished(exchange.recv(10)) == b"ab"
    closing.join()
