"""HTTP/2 peers that flood, lie, stall or never stop, over real sockets in every runtime: each connection is ended, with
constant memory.

The table of `test_h2_engine` has the valid frames; this file tests the effect on the request, the pool and the peer.
If time matters, the test uses the memory runtime, here or in `test_http2`.
"""

from __future__ import annotations

import random
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import h2.events
import hpack
import pytest
from h2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    OK,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    TOP,
    UNKNOWN,
    WINDOW_UPDATE,
    FloodCost,
    big_head,
    data,
    fields,
    frame,
    goaway,
    head,
    huffman_literal,
    new_literals,
    number,
    rst,
    settings,
    window_update,
)
from h2_peer import H2Peer, Server, echo, play, text_fields, text_pairs
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer
from trials import PROMPT, checked, eventually, every_runtime_has_run, nothing_is_left_open, trial  # noqa: F401  # fixtures

import httpcore
from httpcore import LimitExceeded, RemoteProtocolError
from httpcore._errors import Code
from httpcore._http2 import engine as h2_engine
from httpcore._http2 import liveness
from httpcore._http2.flood_budget import BUDGET
from httpcore.testing import Simulation as Memory

URL = "http://a.test/"
MIB = 1 << 20
STREAM_WINDOW = h2_engine.STREAM_WINDOW
CONNECTION_WINDOW = h2_engine.CONNECTION_WINDOW


class HostileConnection:
    """One connection from its server's side, in frames.

    Attributes:
        left: streams that the client has reset, with the codes; and 0 when it has disconnected.
        room: the bytes that may be sent on each stream, and on 0 for the connection, as the client granted them.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.left: dict[int, int] = {}
        self.room: dict[int, int] = {0: 65535}
        self.paths: dict[int, str] = {}
        self._decoder = hpack.Decoder()

    def begin(self, *pairs: tuple[int, int]) -> None:
        self.peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        self.send(settings(*pairs))
        assert self.peer.exactly(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    def send(self, frames: bytes) -> None:
        self.peer.send(frames)

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """The frames of the client, until it disconnects: kind, flags, stream, payload."""
        while len(header := self.peer.exactly(9)) == 9:
            payload = self.peer.exactly(int.from_bytes(header[:3], "big"))
            kind, flags, stream = header[3], header[4], int.from_bytes(header[5:], "big")
            self._note(kind, stream, payload)
            yield kind, flags, stream, payload

    def _note(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            self.paths[stream] = text_fields(self._decoder.decode(payload)).get(":path", "")
            self.room[stream] = STREAM_WINDOW
        elif kind == WINDOW_UPDATE:
            self.room[stream] = self.room.get(stream, 0) + int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            self.left[stream] = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.left[0] = int.from_bytes(payload[4:8], "big")

    def request(self) -> int:
        """The stream of the next request; 0 when the client disconnects."""
        for kind, _, stream, _ in self.frames():
            if kind == HEADERS:
                return stream
        return 0

    def answer(self, stream: int, body: bytes) -> None:
        self.send(head(stream) + data(stream, body, end=True))

    def receive_the_rest(self) -> None:
        with suppress(OSError):
            for _ in self.frames():
                pass


class Hostile(ScriptedServer):
    """Answers requests for /clean with "clean" and for /path with "/path"; passes those for / to `act(talk, stream)`,
    and closes the connection if that returns a true value.

    Attributes:
        talks: every connection.
        bad: how many requests for / were received.
    """

    def __init__(self, act: Callable[[HostileConnection, int], object], *pairs: tuple[int, int]) -> None:
        self.talks: list[HostileConnection] = []
        self.bad = 0
        self._act = act
        self._pairs = pairs
        super().__init__(self._follow)

    def _follow(self, peer: Peer) -> None:
        talk = HostileConnection(peer)
        self.talks.append(talk)
        talk.begin(*self._pairs)
        while stream := talk.request():
            path = talk.paths[stream]
            if path != "/":
                talk.answer(stream, path[1:].encode() if path == "/clean" else path.encode())
                continue
            self.bad += 1
            try:
                if self._act(talk, stream):
                    return
            except OSError:
                talk.receive_the_rest()
                return

    def __enter__(self) -> Hostile:
        return self


PRIOR = {"http1": False}


@contextmanager
def bounded(memory: int, seconds: float = 2.0) -> Iterator[None]:
    """The block allocates at most this many bytes at once, including the servers in this process, and uses at most this
    CPU time.
    """
    tracemalloc.start()
    began = time.thread_time()
    try:
        yield
        spent = time.thread_time() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < memory
    assert spent < seconds


# Endless senders: rows F1 to F4 of docs/security.md. Each repeats a few frames until the client ends the connection.


@dataclass(frozen=True)
class Flood:
    """The first and the repeated frames, for a stream; the limit that is exceeded."""

    start: Callable[[int], bytes]
    again: Callable[[int], bytes]
    limit: int
    times: int | None = None  # how often the frames are repeated, if only the stream is reset
    answers: int = 0  # frames that the client sends in reply to the repeated ones, and that the server reads


PIECE = 4096  # the bytes of small frames that are sent at once


def nothing(stream: int) -> bytes:
    return b""


FLOODS = {
    "F1 PING": Flood(nothing, lambda stream: frame(PING, payload=bytes(8)) * 50, BUDGET, answers=50),
    "F1 PONG": Flood(nothing, lambda stream: frame(PING, ACK, payload=bytes(8)) * 50, BUDGET),
    "F1 SETTINGS": Flood(nothing, lambda stream: settings((4, 65535)) * 50, BUDGET, answers=50),
    "F1 SETTINGS of a thousand": Flood(nothing, lambda stream: settings(*[(3, 100)] * 1000), BUDGET, answers=1),
    "F1 acknowledgements": Flood(nothing, lambda stream: frame(SETTINGS, ACK) * 50, BUDGET),
    "F1 PRIORITY": Flood(nothing, lambda stream: frame(PRIORITY, 0, stream, bytes(5)) * 50, BUDGET),
    "F1 WINDOW_UPDATE": Flood(nothing, lambda stream: window_update(0, 1) * 50, BUDGET),
    "F1 WINDOW_UPDATE of the stream": Flood(nothing, lambda stream: window_update(stream, 1) * 50, BUDGET),
    "F1 unknown frames": Flood(nothing, lambda stream: frame(UNKNOWN, 0, stream, bytes(100)) * 50, BUDGET),
    "F1 GOAWAY": Flood(nothing, lambda stream: goaway(TOP, 0, b"bye") * 50, BUDGET),
    "F2 empty DATA": Flood(head, lambda stream: data(stream, b"") * 50, BUDGET),
    "F2 DATA of padding": Flood(head, lambda stream: data(stream, b"", pad=10) * 50, BUDGET),
    "F2 a byte in the most padding": Flood(head, lambda stream: data(stream, b"x", pad=255) * 10, BUDGET),
    "F3 CONTINUATION, empty": Flood(
        lambda stream: frame(HEADERS, 0, stream, fields(OK)), lambda stream: frame(CONTINUATION, 0, stream) * 10, 64
    ),
    "F3 CONTINUATION": Flood(
        lambda stream: frame(HEADERS, 0, stream, fields(OK)),
        lambda stream: frame(CONTINUATION, 0, stream, fields((b"a", b"b" * 100)) * 100),
        262144,
    ),
    "F3 a head that unpacks to megabytes": Flood(
        nothing,
        lambda stream: frame(
            HEADERS, END_HEADERS, stream, b"\x88\x40\x01a\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 12_000
        ),
        262144,
    ),
    "F4 interim responses": Flood(nothing, lambda stream: head(stream, status=b"103") * 10, BUDGET),
    "F4 interim responses with fields": Flood(
        nothing, lambda stream: head(stream, *[(b"link", b"x" * 120)] * 25, status=b"103"), 65536, times=100
    ),
}


@pytest.mark.cpu_time
@each_runtime
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_stopped_with_a_reason_in_flat_memory(runtime: Runtime, name: str) -> None:
    """The flood takes less than a second of our CPU time."""
    flood = FLOODS[name]
    sent = 0
    took = FloodCost()

    def act(talk: HostileConnection, stream: int) -> None:
        nonlocal sent
        talk.send(flood.start(stream))
        piece = flood.again(stream)
        together = 1 if flood.times else max(1, PIECE // len(piece))
        piece *= together
        answers = talk.frames()
        for _ in range(flood.times or 64 * MIB // len(piece)):
            talk.send(piece)
            sent += len(piece)
            took.look()
            for _ in range(flood.answers * together):
                next(answers, None)

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                took.begin()
                with pytest.raises(LimitExceeded) as caught:
                    await pool.request("POST", server.url, body=b"x")
                took.check()
                checked(caught.value, server, "POST")
                assert caught.value.limit == flood.limit
            assert sent < 16 * MIB
            assert server.bad == 1
            talk = server.talks[0]
            await eventually(runtime, lambda: bool(talk.left), "the peer is notified")
            assert talk.left[1 if flood.times else 0] == Code.ENHANCE_YOUR_CALM
            assert len(server.talks) == (1 if flood.times else 2)

    runtime.run(body)


LATE_FLOODS: dict[str, bytes] = {
    "a byte of DATA": data(1, b"x"),
    "empty DATA": data(1, b""),
    "small heads": frame(HEADERS, END_HEADERS, 1, b"\x88"),
    "heads that resize the table twice": frame(HEADERS, END_HEADERS, 1, b"\x20\x3f\xe1\x1f"),
    "heads of new fields": big_head(new_literals(1500), 1),
    "heads of empty fields": big_head(b"\x10\x00\x00" * 2000, 1),
    "heads in Huffman code": big_head(huffman_literal(24_000), 1),
    "RST_STREAM": rst(1),
}


@pytest.mark.cpu_time
@each_runtime
@pytest.mark.parametrize("name", LATE_FLOODS)
def test_a_flood_on_a_stream_that_was_given_up_is_stopped(runtime: Runtime, name: str) -> None:
    """The flood takes less than a second of our CPU time and less than 4 MiB, while another request waits on the same
    connection.
    """
    took = FloodCost()

    def act(talk: HostileConnection, stream: int) -> None:
        assert (stream, talk.request()) == (1, 3)
        piece = LATE_FLOODS[name] * max(1, PIECE // len(LATE_FLOODS[name]))
        for _ in range(64 * MIB // len(piece)):
            talk.send(piece)
            took.look()

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with pytest.raises(httpcore.ReadTimeout):
                    await pool.request("GET", server.url, timeout=httpcore.TimeoutConfig(read_timeout=0.05))
                took.begin()
                with pytest.raises(LimitExceeded, match="ENHANCE_YOUR_CALM"):
                    await pool.request("GET", server.url + "/other")
                took.check()
            talk = server.talks[0]
            await eventually(runtime, lambda: 0 in talk.left, "the peer is notified")
            assert talk.left == {1: Code.CANCEL, 0: Code.ENHANCE_YOUR_CALM}

    runtime.run(body)


@pytest.mark.cpu_time
@each_runtime
@pytest.mark.parametrize("streams", [(1,), (1, 0)], ids=["the stream's", "both"])
def test_a_window_that_is_opened_byte_by_byte_is_a_flood(runtime: Runtime, streams: tuple[int, ...]) -> None:
    """Each opening wakes the upload, which then sends a byte."""
    took = FloodCost()
    opening = b"".join([window_update(stream, 1) for stream in streams])

    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(window_update(0, MIB) if streams == (1,) else b"")
        frames = talk.frames()
        left = 65535
        while left:
            left -= len(next(frames)[3])
        for _ in range(100_000):
            talk.send(opening)
            if next(frames, None) is None:
                return

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, timeout=30, **PRIOR) as pool:
                took.begin()
                with pytest.raises(LimitExceeded, match="ENHANCE_YOUR_CALM"):
                    await pool.request("POST", server.url, body=bytes(MIB))
                took.check()
            assert server.talks[0].left == {0: Code.ENHANCE_YOUR_CALM}

    runtime.run(body)


# Endless data: rows F7, F8, F10 and 37. The peer would send ten gigabytes, as fast as it can.


class Endless(ScriptedServer):
    """Answers /clean with "clean", and any other path with an endless body, as fast and as far as the windows allow.

    Attributes:
        sent: bytes of DATA, by stream, over all connections.
    """

    def __init__(self) -> None:
        self.sent: dict[int, int] = {}
        self.talks: list[HostileConnection] = []
        super().__init__(self._follow)

    def _follow(self, peer: Peer) -> None:
        talk = HostileConnection(peer)
        self.talks.append(talk)
        talk.begin((3, 1000))
        for kind, _, stream, _ in talk.frames():
            if kind == HEADERS and talk.paths[stream] == "/clean":
                talk.answer(stream, b"clean")
                talk.room[0] -= 5
            elif kind == HEADERS:
                talk.send(head(stream))
                self.sent[stream] = 0
            for open_stream in self.sent.keys() - talk.left:
                self._pump(talk, open_stream)

    def _pump(self, talk: HostileConnection, stream: int) -> None:
        while room := min(16384, talk.room[0], talk.room[stream]):
            talk.send(data(stream, bytes(room)))
            talk.room[0] -= room
            talk.room[stream] -= room
            self.sent[stream] += room

    def __enter__(self) -> Endless:
        return self


def check_credit(pool: Any) -> None:
    """No stream is open, and all received bytes of every stream were or will be credited to the connection."""
    # Credit that is lost shows on the wire only when a window has run dry, hours later: so the test checks the sums.
    core = pool.sync._pool if hasattr(pool, "sync") else pool
    for slot in core._leases.ledger.slots():
        # No public name returns the engine of a connection.
        engine = slot.connection._wire._core.engine
        if isinstance(engine, h2_engine.H2Engine):
            assert engine.open_streams == 0
            # No public name returns these sums.
            assert engine._room + engine._uncredited == engine._target_window


@pytest.mark.cpu_time
@each_runtime
def test_unread_responses_stop_at_windows_and_slow_no_other(runtime: Runtime) -> None:
    unread = 20

    async def body() -> None:
        with Endless() as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with bounded((unread + 3) * STREAM_WINDOW, 20):
                    responses = [await pool.request("GET", server.url, stream=True) for _ in range(unread)]
                    ends = time.monotonic() + 20
                    while (
                        sum(server.sent.values()) < unread * STREAM_WINDOW
                    ):  # if no other task reads, this one reads for all
                        assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                        assert time.monotonic() < ends
                    for _ in range(20):
                        assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                assert set(server.sent.values()) == {STREAM_WINDOW}
                assert pool.stats().connections == 1
                for response in responses:
                    await response.close()
                check_credit(pool)

    runtime.run(body)


@pytest.mark.cpu_time
@each_runtime
def test_a_slow_reader_of_an_endless_response_has_its_own_pace(runtime: Runtime) -> None:
    async def body() -> None:
        with Endless() as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with bounded(4 * MIB, 20):
                    async with await pool.request("GET", server.url, stream=True) as response:
                        taken = 0
                        pieces = response.raw()
                        while taken < 8 * MIB:
                            taken += len(await pieces.__anext__())
                            assert server.sent[1] <= taken + STREAM_WINDOW
                check_credit(pool)

    runtime.run(body)


@each_runtime
def test_after_many_early_leavers_the_window_is_full(runtime: Runtime) -> None:
    leavers = 60

    async def body() -> None:
        with Endless() as server:
            async with trial(runtime, server, **PRIOR) as pool:
                for number in range(leavers):
                    async with await pool.request("GET", server.url, stream=True) as response:
                        if number % 2:
                            assert await response.raw().__anext__()
                for _ in range(3):
                    assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                    check_credit(pool)
            assert len(server.talks) == 1
            assert len(server.talks[0].left.keys() - {0}) == leavers
            assert server.talks[0].room[0] >= CONNECTION_WINDOW // 2 - STREAM_WINDOW

    runtime.run(body)


@pytest.mark.cpu_time
@each_runtime
def test_a_peer_that_ignores_windows_is_cut_off(runtime: Runtime) -> None:
    sent = 0

    def act(talk: HostileConnection, stream: int) -> None:
        nonlocal sent
        talk.send(head(stream))
        while sent < 64 * MIB:
            talk.send(data(stream, bytes(16384)))
            sent += 16384

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with bounded(4 * MIB):
                    response = await pool.request("GET", server.url, stream=True)
                    # This request's task reads for all streams. The connection ends, and the request is sent over
                    # another one.
                    assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                    with pytest.raises(RemoteProtocolError, match="FLOW_CONTROL_ERROR"):
                        await response.read()
            assert sent < 8 * MIB
            assert server.talks[0].left.get(0, Code.FLOW_CONTROL_ERROR) == Code.FLOW_CONTROL_ERROR
            assert len(server.talks) == 2

    runtime.run(body)


@pytest.mark.cpu_time
@each_runtime
def test_a_peer_that_never_opens_its_window_is_a_write_timeout(
    runtime: Runtime,
) -> None:
    pulled = 0

    def pieces() -> Iterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 16384
            yield bytes(16384)

    async def body() -> None:
        with Hostile(lambda talk, stream: None) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                timeout = httpcore.TimeoutConfig(5, write_timeout=0.2)
                with bounded(2 * MIB), pytest.raises(httpcore.WriteTimeout) as caught:
                    await pool.request("POST", server.url, body=pieces, timeout=timeout)
                checked(caught.value, server, "POST")
            assert pulled <= 65535 + 2 * 16384
            assert server.talks[0].left[1] == Code.CANCEL

    runtime.run(body)


@pytest.mark.cpu_time
@each_runtime
def test_a_length_of_a_terabyte_is_not_allocated(runtime: Runtime) -> None:
    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream, (b"content-length", b"1000000000000")) + data(stream, b"x" * 1000) + rst(stream, 2))

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with bounded(MIB), pytest.raises(httpcore.StreamReset) as caught:
                    await pool.request("GET", server.url)
                assert caught.value.code == Code.INTERNAL_ERROR

    runtime.run(body)


# Violations of the rules: row F9. A fault of one stream ends that stream; any other fault ends the connection.

OF_THE_CONNECTION: dict[str, tuple[Callable[[int], bytes], Code]] = {
    "a push": (
        lambda stream: frame(PUSH_PROMISE, END_HEADERS, stream, number(2) + fields((b":method", b"GET"))),
        Code.PROTOCOL_ERROR,
    ),
    "a response on an even stream": (lambda stream: head(2, end=True), Code.PROTOCOL_ERROR),
    "a response on a stream of the future": (lambda stream: head(stream + 2, end=True), Code.PROTOCOL_ERROR),
    "the window beyond its largest": (lambda stream: window_update(0, TOP), Code.FLOW_CONTROL_ERROR),
    "MAX_FRAME_SIZE 0": (lambda stream: settings((5, 0)), Code.PROTOCOL_ERROR),
    "a head that cannot be unpacked": (
        lambda stream: frame(HEADERS, END_HEADERS, stream, b"\xff\x80\x01"),
        Code.COMPRESSION_ERROR,
    ),
    "a frame beyond the largest": (lambda stream: frame(DATA, 0, stream, bytes(16385)), Code.FRAME_SIZE_ERROR),
    "HTTP/1.1": (lambda stream: b"HTTP/1.1 400 Bad Request\r\n\r\n", Code.FRAME_SIZE_ERROR),
}
OF_THE_STREAM: dict[str, Callable[[int], bytes]] = {
    "DATA before the head": lambda stream: data(stream, b"x"),
    "two heads": lambda stream: head(stream) * 2,
    "trailers that do not end the stream": lambda stream: head(stream) + head(stream, (b"a", b"b"), status=None),
    "a pseudo-header field in trailers": lambda stream: head(stream) + head(stream, OK, status=None, end=True),
    "more than its Content-Length": lambda stream: head(stream, (b"content-length", b"1")) + data(stream, b"xx"),
    "less than its Content-Length": lambda stream: (
        head(stream, (b"content-length", b"3")) + data(stream, b"xx", end=True)
    ),
    "an upper-case name": lambda stream: head(stream, (b"Name", b"x")),
    "connection": lambda stream: head(stream, (b"connection", b"close")),
    "a newline in a value": lambda stream: head(stream, (b"a", b"x\ny")),
    "101": lambda stream: head(stream, status=b"101"),
    "its window beyond the largest": lambda stream: window_update(stream, TOP),
    "its window opened by 0": lambda stream: window_update(stream, 0),
}


@each_runtime
@pytest.mark.parametrize("name", OF_THE_CONNECTION)
def test_broken_connection_ends_with_its_code_and_the_next_works(runtime: Runtime, name: str) -> None:
    script, code = OF_THE_CONNECTION[name]

    async def body() -> None:
        with Hostile(lambda talk, stream: talk.send(script(stream))) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with pytest.raises(RemoteProtocolError, match=code.name) as caught:
                    await pool.request("POST", server.url, body=b"x")
                checked(caught.value, server, "POST")
            assert server.bad == 1
            assert len(server.talks) == 2
            await eventually(runtime, lambda: server.talks[0].left == {0: code}, "the peer is notified")

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("name", OF_THE_STREAM)
def test_a_stream_error_resets_it_and_its_siblings_go_on(runtime: Runtime, name: str) -> None:
    script = OF_THE_STREAM[name]

    def act(talk: HostileConnection, stream: int) -> None:
        siblings = [talk.request(), talk.request()]
        talk.send(script(stream))
        for sibling in siblings:
            talk.answer(sibling, b"fine")

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                assert (await pool.request("GET", server.url + "/clean")).body == b"clean"

                async def bad() -> None:
                    with pytest.raises(RemoteProtocolError) as caught:
                        await pool.request("POST", server.url, body=b"x")
                    checked(caught.value, server, "POST")

                async def good() -> None:
                    while not server.bad:
                        await runtime.sleep(0.001)
                    assert (await pool.request("GET", server.url + "/sibling")).body == b"fine"

                await runtime.gather(bad, good, good)
            assert (server.bad, len(server.talks)) == (1, 1)
            assert set(server.talks[0].left) - {0} == {3}
            assert server.talks[0].left.get(0, Code.NO_ERROR) == Code.NO_ERROR  # the GOAWAY of a normal close

    runtime.run(body)


# Storms and silence: rows F5 and F11.


@pytest.mark.cpu_time
@each_runtime
@pytest.mark.parametrize("name", ["REFUSED_STREAM", "GOAWAY"])
def test_a_storm_of_refusals_is_three_resends_and_an_error(runtime: Runtime, name: str) -> None:
    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(rst(stream, Code.REFUSED_STREAM) if name == "REFUSED_STREAM" else goaway(0))

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with bounded(2 * MIB), pytest.raises(RemoteProtocolError, match=r"REFUSED_STREAM|NO_ERROR"):
                    await pool.request("POST", server.url, body=b"x")
            assert server.bad == 4

    runtime.run(body)


@each_runtime
def test_a_silent_peer_gets_a_ping_and_is_left(runtime: Runtime) -> None:
    """The peer is alive, but its program does not read: its system receives the PING, and no answer is sent."""
    silent = threading.Event()

    async def body() -> None:
        with Hostile(lambda talk, stream: silent.wait(30)) as server:
            try:
                async with trial(runtime, server, ping_interval=0.2, timeout=None, **PRIOR) as pool:
                    assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                    began = time.monotonic()
                    with pytest.raises(httpcore.ReadError, match="did not answer a PING") as caught:
                        await pool.request("POST", server.url, body=b"x")
                    checked(caught.value, server, "POST")
                    assert 0.2 <= time.monotonic() - began < PROMPT
            finally:
                silent.set()

    runtime.run(body)


@each_runtime
def test_a_peer_that_falls_silent_costs_one_timeout_and_a_moment(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like the test above, but without `ping_interval`: the task whose request times out sends a PING."""
    monkeypatch.setattr(liveness, "LIVENESS_TIMEOUT", 0.2)
    silent = threading.Event()

    async def body() -> None:
        with Hostile(lambda talk, stream: silent.wait(30)) as server:
            try:
                async with trial(runtime, server, **PRIOR) as pool:
                    assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                    with pytest.raises(httpcore.ReadTimeout):
                        await pool.request("POST", server.url, body=b"x", timeout=0.3)
                    for _ in range(3):
                        assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                    assert (len(server.talks), pool.stats().connections) == (2, 1)
            finally:
                silent.set()

    runtime.run(body)


@each_runtime
def test_a_drip_of_frames_ends_at_the_total_timeout(runtime: Runtime) -> None:
    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream))
        for byte in data(stream, b"x") * 12:
            talk.send(bytes([byte]))
            time.sleep(0.005)

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                began = time.monotonic()
                with pytest.raises(httpcore.TotalTimeout):
                    await pool.request("GET", server.url, timeout=httpcore.TimeoutConfig(5, total_timeout=0.3))
                assert 0.3 <= time.monotonic() - began < PROMPT

    runtime.run(body)


# Endless frames for an exchange that was given up, or for responses that are not read: row F12.


def without_end(talk: HostileConnection, piece: bytes) -> None:
    """Send until the client disconnects; the bytes of the client are discarded."""
    threading.Thread(target=talk.receive_the_rest, daemon=True).start()
    while True:
        talk.send(piece)


OPEN = 8
ENDLESS: dict[str, Callable[[int], bytes]] = {
    "single bytes for responses that are not read": lambda stream: (
        b"".join(data(1 + 2 * at, b"x") for at in range(OPEN)) * 400
    ),
    "header blocks for a reset stream": lambda stream: b"".join(
        frame(HEADERS, 0, stream, b"\x88" + b"\x00\x01a\x01b" * 200)
        + frame(CONTINUATION, END_HEADERS, stream, b"\x00\x01a\x01b" * 10)
        for _ in range(50)
    ),
    "large frames of an unknown type": lambda stream: frame(UNKNOWN, 0, 0, bytes(16384)) * 4,
}


@pytest.mark.cpu_time
@each_runtime
@pytest.mark.parametrize("name", ENDLESS)
def test_a_peer_that_sends_without_end_holds_nothing_up(runtime: Runtime, name: str) -> None:
    """The peer delays neither the other tasks for more than 50 ms of CPU time, nor a deadline."""
    turns: list[float] = []
    lasted: list[float] = []

    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream))
        if stream > 2 * OPEN:
            without_end(talk, ENDLESS[name](stream))

    async def body() -> None:
        with Hostile(act) as server:
            pool = runtime.pool(**PRIOR)

            async def wait_in_vain() -> None:
                began = time.monotonic()
                with pytest.raises(httpcore.HTTPCoreError):
                    await pool.request("GET", server.url, timeout=httpcore.TimeoutConfig(5, total_timeout=0.5))
                lasted.append(time.monotonic() - began)

            async def watch_the_others() -> None:
                ends = time.monotonic() + 1.0
                while time.monotonic() < ends:
                    before = time.thread_time()
                    await runtime.sleep(0.001)
                    turns.append(time.thread_time() - before)

            try:
                responses = [await pool.request("GET", server.url, stream=True) for _ in range(OPEN)]
                with pytest.raises(httpcore.HTTPCoreError):
                    await pool.request("GET", server.url, timeout=httpcore.TimeoutConfig(5, total_timeout=0.1))
                await runtime.gather(watch_the_others, wait_in_vain, wait_in_vain, wait_in_vain)
                for response in responses:
                    await response.close()
            finally:
                await pool.close()

    runtime.run(body)
    assert len(lasted) == 3
    assert max(lasted) < 1.5
    assert max(turns) < 0.05


# Tests in the memory runtime, in which time or order matters.


def test_a_peer_that_accepts_no_streams_is_reported_at_once() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=0)
        await peer.linger()

    async def main(pool: httpcore.ConnectionPool, server: Server) -> None:
        for _ in range(2):
            with pytest.raises(httpcore.RemoteProtocolError, match="takes 0 requests at once"):
                await pool.request("POST", URL, body=b"x")
        assert len(server.peers) <= 2
        assert runtime.now == 0

    runtime = Memory()
    play(main, serve, runtime=runtime)


def test_a_peer_that_refuses_every_stream_gets_four_attempts() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        while True:
            await peer.reset(await peer.request(), Code.REFUSED_STREAM)

    async def main(pool: httpcore.ConnectionPool, server: Server) -> None:
        for _ in range(2):
            with pytest.raises(httpcore.StreamReset, match="REFUSED_STREAM"):
                await pool.request("POST", URL, body=b"x")
        assert len(server.peers) <= 8
        assert runtime.now == 0

    runtime = Memory()
    play(main, serve, runtime=runtime)


def test_requests_wait_while_the_peer_accepts_no_streams() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        held = await peer.whole()
        await peer.settings(MAX_CONCURRENT_STREAMS=0)
        await peer.end.scheduler.sleep(10)
        await peer.settings(MAX_CONCURRENT_STREAMS=1)
        await peer.answer(held)
        await peer.answer(await peer.whole(), b"at last")
        await peer.linger()

    async def main(pool: httpcore.ConnectionPool, server: Server) -> None:
        held = runtime.spawn(pool.request("GET", URL, timeout=60))
        await runtime.sleep(1)
        with pytest.raises(httpcore.PoolTimeout):
            await pool.request("GET", URL, timeout=3)
        assert runtime.now == 4
        assert (await pool.request("GET", URL, timeout=60)).body == b"at last"
        assert runtime.now == 10
        await held.wait()
        assert held.result().body == b"ok"
        assert len(server.peers) == 1

    runtime = Memory()
    play(main, serve, runtime=runtime, limits=httpcore.PoolLimits(max_connections=1))


def test_window_that_shrinks_below_0_stops_upload_until_it_opens() -> None:
    async def serve(peer: H2Peer) -> None:
        peer.auto = False
        await peer.begin()
        stream = await peer.request()
        await peer.settings(INITIAL_WINDOW_SIZE=0)
        await peer.end.scheduler.sleep(1)
        while sum(len(event.data) for event in peer.seen if isinstance(event, h2.events.DataReceived)) < 65535:
            await peer.more()
        for increment in (65535, 1, 34464):  # the window is back at zero, then it opens for the rest
            peer.h2.increment_flow_control_window(increment, stream)
            peer.h2.increment_flow_control_window(increment)
            await peer.flush()
            await peer.end.scheduler.sleep(1)
        await peer.whole()
        await peer.answer(stream, str(len(peer.body(stream))).encode())
        await peer.linger()

    async def main(pool: httpcore.ConnectionPool, server: Server) -> None:
        response = await pool.request("POST", URL, body=bytes(100_000))
        assert response.body == b"100000"

    play(main, serve)


@pytest.mark.parametrize("seed", range(4))
def test_after_hundreds_of_cancellations_the_window_is_full(seed: int) -> None:
    """Row F8: the window is full again after cancelled requests, whose bytes were received, in flight, padded, or
    received later.
    """
    chance = random.Random(seed)

    async def serve(peer: H2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=1000)
        while True:
            event = await peer.next(h2.events.Event)
            stream = getattr(event, "stream_id", 0) or 0
            if isinstance(event, h2.events.StreamEnded) and stream not in peer.resets():
                await peer.head(stream)
                for _ in range(chance.randrange(6)):
                    pad = chance.choice([None, 0, 255])
                    peer.h2.send_data(stream, bytes(chance.randrange(16000)), pad_length=pad)
                    await peer.flush()
                    await peer.end.scheduler.sleep(chance.choice([0, 0.01]))
                if chance.random() < 0.5:
                    await peer.data(stream, b"", end=True)

    async def victim(pool: httpcore.ConnectionPool) -> None:
        with suppress(httpcore.ReadTimeout):
            async with await pool.request("GET", URL, stream=True, timeout=0.5) as response:
                pieces = 0
                async for _ in response.raw():
                    pieces += 1
                    if pieces > chance.randrange(6):
                        break

    async def main(pool: httpcore.ConnectionPool, server: Server) -> None:
        for _ in range(10):
            victims = [runtime.spawn(victim(pool)) for _ in range(30)]
            while left := [task for task in victims if not task.done]:
                await runtime.sleep(chance.choice([0, 0.01]))
                chance.choice(left).cancel()
        await runtime.sleep(2)
        assert pool.stats().leased == 0
        assert pool.stats().connections == len(runtime.open_connections) == 1
        check_credit(pool)
        assert len(server.peers) < 10  # the task that dials may be the one that is cancelled
        assert sum(len(peer.end.connection.replied) for peer in server.peers) > MIB

    runtime = Memory(seed, shuffle=True, checkpoints=seed % 2 == 0, watches=seed < 2)
    play(main, serve, runtime=runtime, place={"delay_there": 0.01, "delay_back": 0.01, "window": 1 << 20})


# Bytes that we send: rows A1 and A10. The peer is h2, which refuses bytes that violate RFC 9113.

WHERE: dict[str, Callable[[bytes], dict[str, Any]]] = {
    "method": lambda value: {"method": value},
    "name": lambda value: {"headers": [(value, b"x")]},
    "value": lambda value: {"headers": [(b"x-name", value)]},
    "host": lambda value: {"headers": [(b"host", value)]},
    "target": lambda value: {"target": b"/" + value},
    "protocol": lambda value: {"method": b"CONNECT", "headers": [(b":protocol", value)]},
    "trailer's name": lambda value: {"trailers": [(value, b"x")], "body": [b"x"]},
    "trailer's value": lambda value: {"trailers": [(b"x-name", value)], "body": [b"x"]},
}


@pytest.mark.parametrize("where", WHERE)
def test_each_byte_in_each_field_is_one_h2_request_or_an_error(where: str) -> None:
    requested: list[dict[str, Any]] = []

    async def serve(peer: H2Peer) -> None:
        await peer.begin(ENABLE_CONNECT_PROTOCOL=1, MAX_CONCURRENT_STREAMS=1000)
        while True:
            event = await peer.next(h2.events.Event)
            if isinstance(event, h2.events.RequestReceived) and text_fields(event.headers)[":method"] == "CONNECT":
                await peer.head(event.stream_id, end=True)
            elif isinstance(event, h2.events.StreamEnded) and peer.fields(event.stream_id)[":method"] != "CONNECT":
                await peer.answer(event.stream_id)

    async def main(pool: httpcore.ConnectionPool, server: Server) -> None:
        await pool.request("GET", URL)
        for byte in range(256):
            for text in (b"%caa", b"a%ca", b"aa%c"):
                given = {"method": b"POST", "url": URL, **WHERE[where](text % byte)}
                try:
                    response = await pool.request(**given)
                except (httpcore.LocalProtocolError, httpcore.InvalidURL):
                    continue
                if response.connection is not None:
                    response.connection.close()
                requested.append(given)
        await runtime.sleep(1)
        assert len(server.peers) == 1
        seen = server.peers[0].seen
        heads = [text_pairs(event.headers) for event in seen if isinstance(event, h2.events.RequestReceived)][1:]
        trailers = [text_pairs(event.headers) for event in seen if isinstance(event, h2.events.TrailersReceived)]
        assert len(heads) == len(requested)
        for given, fields_seen in zip(requested, heads, strict=True):
            pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields_seen]
            check_head(given, pairs)
        meant = [given["trailers"][0] for given in requested if "trailers" in given]
        came = [tuple(part.encode("latin-1") for part in fields_seen[0]) for fields_seen in trailers]
        assert came == [(name.lower(), value) for name, value in meant]

    runtime = Memory(checkpoints=False)
    play(main, serve, runtime=runtime)
    assert 50 < len(requested) < 700


def check_head(given: dict[str, Any], pairs: list[tuple[bytes, bytes]]) -> None:
    """The sent request is exactly the caller's."""
    named = {name.lower(): value for name, value in given.get("headers", [])}
    meant = {
        b":method": given["method"],
        b":scheme": b"http",
        b":authority": b"a.test",
        b":path": given.get("target", b"/"),
    }
    if b"host" in named:
        meant[b":authority"] = named.pop(b"host")
    meant |= named
    optional = {b"content-length"}
    assert {name: value for name, value in pairs if name not in optional} == meant
    assert len(pairs) == len({name for name, _ in pairs})


def test_connection_fields_are_never_sent_over_http2() -> None:
    """A strict peer receives no violation, whatever fields a caller or a gateway passes on."""
    given = [
        ("Connection", "keep-alive, X-Hop"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Transfer-Encoding", "chunked"),
        ("TE", "gzip, trailers"),
        ("X-Hop", "1"),
        ("X-Stay", "2"),
        ("Host", "b.test"),
    ]

    async def main(pool: httpcore.ConnectionPool, server: Server) -> None:
        assert (await pool.request("POST", URL, given, body=[b"x"])).body == b"/"
        assert server.peers[0].fields(1) == {
            ":method": "POST",
            ":scheme": "http",
            ":authority": "b.test",
            ":path": "/",
            "x-stay": "2",
            "te": "trailers",
        }

    play(main, echo)


# A value with a blank at an end: unusual, but passed on.

BLANKS: dict[str, tuple[bytes, bytes]] = {  # the value as sent, and as it is handed on
    "a blank before": (b" b", b"b"),
    "a tab behind": (b"b\t", b"b"),
    "both, and inside": (b" \tb c ", b"b c"),
    "nothing but a blank": (b" ", b""),
}


@each_runtime
@pytest.mark.parametrize("name", BLANKS)
@pytest.mark.parametrize("where", ["head", "trailers", "interim"])
def test_a_value_with_a_blank_at_an_end_is_trimmed_and_named(runtime: Runtime, name: str, where: str) -> None:
    """Each request is made twice, since a header block may be remembered. In a strict pool only the stream ends: the
    connection is kept.
    """
    sent, seen = BLANKS[name]
    field = (b"x-a", sent)

    def act(talk: HostileConnection, stream: int) -> None:
        if where == "interim":
            talk.send(head(stream, field, status=b"103"))
        talk.send(head(stream, *([field] if where == "head" else [])) + data(stream, b"body"))
        talk.send(head(stream, *([field] if where == "trailers" else [(b"x-b", b"c")]), status=None, end=True))

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                for _ in range(2):
                    response = await pool.request("GET", server.url)
                    assert (response.status_code, response.body) == (200, b"body")
                    assert response.info.lenient == ("blank-around-value",)
                    interim = [field for one in response.informational for field in one.headers]
                    found = {"head": response.headers, "trailers": response.trailers, "interim": interim}
                    assert (b"x-a", seen) in found[where]
            async with trial(runtime, server, strict=True, **PRIOR) as pool:
                with pytest.raises(RemoteProtocolError, match="no white space"):
                    await pool.request("GET", server.url)
            assert len(server.talks) == 2

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("value", [b"a\nb", b"a\rb", b"a\0b", b" a\nb", b"\n", b"a\x01b"])
def test_a_control_character_in_a_value_is_an_error_over_http2(runtime: Runtime, value: bytes) -> None:
    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream, (b"x-a", value), end=True))

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with pytest.raises(RemoteProtocolError):
                    await pool.request("GET", server.url)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("lengths", [(b"4", b"4"), (b"4, 4",), (b"4", b"5")])
def test_two_content_lengths_are_an_error_over_http2(runtime: Runtime, lengths: tuple[bytes, ...]) -> None:
    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream, *[(b"content-length", length) for length in lengths]) + data(stream, b"body", end=True))

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                with pytest.raises(RemoteProtocolError, match="Content-Length"):
                    await pool.request("GET", server.url)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("status", [b"600", b"799", b"999"])
def test_a_status_of_an_unknown_class_is_handed_on_over_http2(runtime: Runtime, status: bytes) -> None:
    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream, status=status) + data(stream, b"body", end=True))

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                response = await pool.request("GET", server.url)
                assert (response.status_code, response.body, response.info.lenient) == (int(status), b"body", ())

    runtime.run(body)


LARGE: dict[str, tuple[list[tuple[bytes, bytes]], int]] = {  # fields, and the limit that a small pool has for them
    "a head of 80 KB": ([(b"set-cookie", b"%d=%b" % (number, b"x" * 4000)) for number in range(20)], 2048),
    "300 fields": ([(b"a", b"b")] * 300, 20),
}


@each_runtime
@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("where", ["head", "trailers"])
def test_the_limits_for_heads_hold_over_http2(runtime: Runtime, name: str, where: str) -> None:
    fields, limit = LARGE[name]

    def act(talk: HostileConnection, stream: int) -> None:
        small = [(b"c", b"d")]
        for at, part in (("head", [(b":status", b"200")]), ("trailers", [])):
            block = hpack.Encoder().encode([*part, *(fields if at == where else small)])
            pieces = [block[start : start + 16384] for start in range(0, len(block), 16384)]
            ends = END_STREAM if at == "trailers" else 0
            for index, piece in enumerate(pieces):
                last = END_HEADERS if index == len(pieces) - 1 else 0
                kind, flags = (CONTINUATION, 0) if index else (HEADERS, ends)
                talk.send(frame(kind, flags | last, stream, piece))

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                response = await pool.request("GET", server.url)
                assert fields == (response.headers if where == "head" else response.trailers)
            limits = httpcore.PoolLimits(max_head_bytes=2048, max_head_fields=20)
            async with trial(runtime, server, limits=limits, **PRIOR) as pool:
                with pytest.raises(LimitExceeded) as caught:
                    await pool.request("GET", server.url)
                assert caught.value.limit in (limit, 2048)

    runtime.run(body)
