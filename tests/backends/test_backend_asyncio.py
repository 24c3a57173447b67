"""The details of asyncio, on its own loop and on uvloop: the loop, its timers, and its end.

The promises of every runtime are tested in `test_streams.py`.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVarTuple

import pytest
import uvloop
from places import black_hole

from httpcore._backends import lookup as names

# The bounds of a stream's buffer and of a turn are not promised to callers; the tests check the effects of these
# bounds.
from httpcore._backends.asyncio import _MOST_KEPT, _TURN, AsyncioBackend, AsyncioEvent, AsyncioStream
from httpcore._backends.base import PIECE
from httpcore._backends.sockets import Descriptor
from httpcore._backends.workers import Threads
from httpcore._errors import ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout

Main = Callable[[], Awaitable[Any]]
NewLoop = Callable[[], asyncio.AbstractEventLoop]

LONG = 10.0
SHORT = 0.02

LOOPS: dict[str, NewLoop] = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def new_loop(request: pytest.FixtureRequest) -> NewLoop:
    return LOOPS[request.param]


@pytest.fixture
def run(new_loop: NewLoop) -> Callable[[Main], Any]:
    """Runs a body in a loop; each call of the loop's exception handler fails the test."""

    def run_body(main: Main) -> Any:
        received: list[Any] = []

        async def watched() -> Any:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: received.append(context))
            return await main()

        with asyncio.Runner(loop_factory=new_loop) as runner:
            result = runner.run(watched())
        assert received == []
        return result

    return run_body


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


class Pair:
    """Our stream and the peer's plain socket."""

    def __init__(self, stream: AsyncioStream, peer: socket.socket) -> None:
        self.stream = stream
        self.peer = peer
        peer.settimeout(LONG)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.peer.close()

    @property
    def sock(self) -> socket.socket:
        # Only the system's socket shows received input and free buffer space; no method of a stream returns them.
        return self.stream._descriptor.sock

    def reset(self) -> None:
        """The peer disconnects with RST, and we wait until the system, not the loop, has received it."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()
        poll = select.poll()
        poll.register(self.sock, 0)  # errors are always reported
        assert poll.poll(LONG * 1000)

    def wait_until_here(self) -> None:
        """Block the loop until the system has input for us."""
        assert select.select([self.sock], [], [], LONG)[0]

    def fill(self) -> None:
        """Write until the buffers have no room for a single byte."""
        refused = 0
        while refused < 2:
            try:
                self.sock.send(bytes(PIECE))
                refused = 0
            except BlockingIOError:
                # Bytes in flight may still move to the peer's buffer and so make room in ours. `select` alone does not
                # show this: it reports room only if a third of the buffer is free, and a write needs only one byte.
                select.select([], [self.sock], [], SHORT)
                refused += not self._segments_under_way()

    def _segments_under_way(self) -> int:
        """The bytes that the peer's system has not acknowledged: `tcpi_unacked`."""
        return int(struct.unpack_from("I", self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0])


async def connect(listener: socket.socket, **named: Any) -> Pair:
    """Connect to the listener. The kernel completes the handshake, so no second thread is needed."""
    host, port = listener.getsockname()[:2]
    stream = await AsyncioBackend.current().connect_tcp([host], port, LONG, **named)
    return Pair(stream, listener.accept()[0])


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@contextmanager
def thread(target: Callable[[], object]) -> Iterator[None]:
    """Run `target` in another thread, which is joined at the end; an exception in it fails the test."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            target()
        except BaseException as error:
            failures.append(error)

    running = threading.Thread(target=guarded)
    running.start()
    try:
        yield
    finally:
        running.join(LONG)
        assert not running.is_alive()
    assert failures == []


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def waiting(task: asyncio.Task[Any]) -> None:
    """Run the loop until the task has reached its wait."""
    await turns(3)
    assert not task.done()


# Reading.


def test_bytes_that_come_as_the_reader_is_cancelled_are_not_lost(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            for _ in range(20):
                reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
                await waiting(reader)
                pair.peer.sendall(b"kept")
                pair.wait_until_here()
                # The loop receives the bytes, and the reader is cancelled before it runs.
                asyncio.get_running_loop().call_soon(reader.cancel)
                with pytest.raises(asyncio.CancelledError):
                    await reader
                assert await pair.stream.read(PIECE, LONG) == b"kept"

    run(main)


@pytest.mark.parametrize("turns_before", range(6))
def test_reader_cancelled_at_any_turn_has_either_all_or_nothing(run: Any, listener: Any, turns_before: int) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            await waiting(reader)
            pair.peer.sendall(b"once")
            pair.wait_until_here()
            await turns(turns_before)
            reader.cancel()
            try:
                got = await reader
            except asyncio.CancelledError:
                got = await pair.stream.read(PIECE, LONG)
            assert got == b"once"
            assert pair.stream.take() is None

    run(main)


Arguments = TypeVarTuple("Arguments")


class TimersOnlyLoop(asyncio.SelectorEventLoop):
    """A loop that is always too busy to check its sockets: only its timers fire."""

    def add_reader(self, fd: Any, callback: Callable[[*Arguments], object], *_: *Arguments) -> None:
        pass

    def add_writer(self, fd: Any, callback: Callable[[*Arguments], object], *_: *Arguments) -> None:
        pass


def test_data_wins_over_a_timer_though_loop_did_not_report_it(listener: Any) -> None:
    async def main() -> None:
        with await connect_on_timers_only(listener) as pair:
            pair.peer.sendall(b"in time")
            pair.wait_until_here()
            assert await pair.stream.read(PIECE, SHORT) == b"in time"
            pair.peer.shutdown(socket.SHUT_WR)
            pair.wait_until_here()
            assert await pair.stream.read(PIECE, SHORT) == b""

            pair.fill()
            writer = asyncio.ensure_future(pair.stream.write_some(b"x", 5 * SHORT))
            await waiting(writer)
            while not select.select([], [pair.sock], [], 0)[1]:
                pair.peer.recv(1 << 20)
            assert await writer == 1

    async def connect_on_timers_only(listener: Any) -> Pair:
        # The connection is made before the timer fires, so there is no timeout.
        host, port = listener.getsockname()
        return Pair(await AsyncioBackend.current().connect_tcp([host], port, SHORT), listener.accept()[0])

    with asyncio.Runner(loop_factory=TimersOnlyLoop) as runner:
        runner.run(main())


def test_timeout_begins_with_the_wait_however_busy_the_loop_was(run: Any, listener: Any) -> None:
    # uvloop's clock stops while code runs, so a deadline taken from it would have passed already.
    async def main() -> None:
        with await connect(listener) as pair:
            await asyncio.sleep(0)
            time.sleep(0.2)  # noqa: ASYNC251
            begun = time.monotonic()
            with pytest.raises(ReadTimeout):
                await pair.stream.read(PIECE, 0.1)
            assert time.monotonic() - begun >= 0.1
            await asyncio.sleep(0)
            time.sleep(0.2)  # noqa: ASYNC251
            begun = time.monotonic()
            assert not await AsyncioBackend.current().event().wait(0.1)
            assert time.monotonic() - begun >= 0.1

    run(main)


def test_a_thousand_reads_and_writes_with_timeouts_set_one_timer(listener: Any) -> None:
    class Counting(asyncio.SelectorEventLoop):
        timers = 0

        def call_later(
            self, delay: float, callback: Callable[[*Arguments], object], *arguments: *Arguments, **named: Any
        ) -> asyncio.TimerHandle:
            self.timers += 1
            return super().call_later(delay, callback, *arguments, **named)

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        with await connect(listener) as pair:
            loop.timers = 0
            for _ in range(1000):
                reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
                await asyncio.sleep(0)
                pair.peer.send(b"x")
                assert await reader == b"x"
                assert await pair.stream.write_some(b"y", LONG) == 1
            assert loop.timers == 1

    with asyncio.Runner(loop_factory=Counting) as runner:
        runner.run(main())


class OwnClock(asyncio.SelectorEventLoop):
    """A loop whose time the test sets: `pass_time` moves it, and no other event does."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self._now

    async def pass_time(self, seconds: float) -> None:
        self._now += seconds
        await turns(5)

    def timers(self) -> list[asyncio.TimerHandle]:
        """The timers that the loop holds, including cancelled ones."""
        base: Any = self
        timers: list[asyncio.TimerHandle] = base._scheduled  # asyncio has no public name for them
        return timers


def in_own_clock(main: Callable[[OwnClock], Awaitable[None]]) -> None:
    async def with_loop() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, OwnClock)
        await main(loop)

    with asyncio.Runner(loop_factory=OwnClock) as runner:
        runner.run(with_loop())


async def waits(backend: AsyncioBackend, timeout: float, count: int = 1) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.ensure_future(backend.event().wait(timeout)) for _ in range(count)]
    await turns(2)
    return tasks


def test_waits_with_one_timeout_share_timer_and_end_on_their_own() -> None:
    async def main(loop: OwnClock) -> None:
        backend = AsyncioBackend.current()
        first = await waits(backend, 5.0, 100)
        await loop.pass_time(2.0)
        later = await waits(backend, 5.0, 100)
        assert len(loop.timers()) == 1
        await loop.pass_time(3.0)
        assert [task.result() for task in first] == [False] * 100
        assert not any(task.done() for task in later)
        await loop.pass_time(1.9)
        assert not any(task.done() for task in later)
        await loop.pass_time(0.2)
        assert [task.result() for task in later] == [False] * 100
        assert loop.timers() == []

    in_own_clock(main)


def test_waits_that_are_over_leave_a_few_timers_at_most() -> None:
    async def main(loop: OwnClock) -> None:
        backend = AsyncioBackend.current()
        for number in range(1000):
            [wait] = await waits(backend, 5.0 + number)
            wait.cancel()
            await turns(1)
        left = [timer for timer in loop.timers() if not timer.cancelled()]
        assert 0 < len(left) < 10
        [late] = await waits(backend, 1.0)
        await loop.pass_time(0.9)
        assert not late.done()
        await loop.pass_time(0.2)
        assert late.result() is False

    in_own_clock(main)


def test_wait_of_zero_ends_at_once_and_set_one_does_not_time_out() -> None:
    async def main(loop: OwnClock) -> None:
        backend = AsyncioBackend.current()
        assert await backend.event().wait(0.0) is False
        assert await backend.event().wait(-1.0) is False
        event = backend.event()
        wait = asyncio.ensure_future(event.wait(5.0))
        await turns(2)
        await loop.pass_time(4.0)
        event.set()
        await loop.pass_time(2.0)
        assert wait.result() is True

    in_own_clock(main)


def test_a_timer_of_an_earlier_read_does_not_change_a_later_one(listener: Any) -> None:
    async def main(loop: OwnClock) -> None:
        with await connect(listener) as pair:
            pair.peer.sendall(b"x")
            assert await pair.stream.read(PIECE, 5.0) == b"x"
            first = asyncio.ensure_future(pair.stream.read(PIECE, 5.0))
            await waiting(first)
            await loop.pass_time(3)
            pair.peer.sendall(b"y")
            pair.wait_until_here()
            assert await first == b"y"

            later = asyncio.ensure_future(pair.stream.read(PIECE, 5.0))
            await waiting(later)
            await loop.pass_time(2.5)  # the timer of the previous read has fired
            await loop.pass_time(2.4)
            assert not later.done()
            await loop.pass_time(0.2)
            assert isinstance(later.exception(), ReadTimeout)

            long_wait = asyncio.ensure_future(pair.stream.read(PIECE, 100.0))
            await waiting(long_wait)
            await loop.pass_time(1)
            long_wait.cancel()
            await turns(2)

            shorter = asyncio.ensure_future(pair.stream.read(PIECE, 1.0))
            await waiting(shorter)
            await loop.pass_time(1.1)
            assert isinstance(shorter.exception(), ReadTimeout)

    in_own_clock(main)


def test_reader_and_writer_that_wait_at_once_have_their_own_time(listener: Any) -> None:
    async def main(loop: OwnClock) -> None:
        with await connect(listener) as pair:
            pair.fill()
            reader = asyncio.ensure_future(pair.stream.read(PIECE, 10.0))
            writer = asyncio.ensure_future(pair.stream.write_some(b"x", 4.0, duplex=True))
            await waiting(writer)
            await loop.pass_time(3.9)
            assert not writer.done()
            await loop.pass_time(0.2)
            assert isinstance(writer.exception(), WriteTimeout)
            assert not reader.done()
            await loop.pass_time(5.8)
            assert not reader.done()
            await loop.pass_time(0.2)
            assert isinstance(reader.exception(), ReadTimeout)

    in_own_clock(main)


def bytes_kept(stream: AsyncioStream) -> int:
    # The buffer for the next reads is bounded to save memory, and no public name has its size.
    return sum(map(len, stream._pieces))


def test_memory_for_a_flooding_peer_is_bounded_without_loss(run: Any, listener: Any) -> None:
    sent = os.urandom(1024) * 4096

    async def main() -> None:
        with await connect(listener) as pair, thread(lambda: pair.peer.sendall(sent)):
            # The stream has stopped listening, so the peer cannot send without limit; no public name shows that.
            while pair.stream._is_listening:
                await turns(1)
            await turns(100)
            kept = bytes_kept(pair.stream)
            assert _MOST_KEPT <= kept <= _MOST_KEPT + PIECE
            got = bytearray()
            while len(got) < len(sent):
                got += await pair.stream.read(PIECE, LONG)
                assert bytes_kept(pair.stream) <= _MOST_KEPT + PIECE
            assert got == sent
            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            await waiting(reader)
            pair.peer.sendall(b"and on")
            begun = time.monotonic()
            assert await reader == b"and on"
            assert time.monotonic() - begun < LONG / 2

    run(main)


def test_a_peer_that_sends_single_bytes_cannot_make_many_pieces(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            for _ in range(2000):
                pair.peer.send(b"x")
                await asyncio.sleep(0)
            # The number of pieces affects only memory, so no public name shows it.
            assert len(pair.stream._pieces) == 256
            got = b""
            while len(got) < 2000:
                got += await pair.stream.read(1, LONG)
            assert got == b"x" * 2000

    run(main)


def test_reading_byte_by_byte_gives_every_byte_once(run: Any, listener: Any) -> None:
    sent = os.urandom(50_000)

    async def main() -> None:
        with await connect(listener) as pair:
            pair.peer.sendall(sent)
            got = bytearray()
            while len(got) < len(sent):
                got += await pair.stream.read(len(got) % 7 + 1, LONG)
            assert got == sent

    run(main)


def test_other_tasks_run_during_a_download_that_never_waits(run: Any, listener: Any) -> None:
    size = 3 * _TURN
    room = (socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * size)

    async def main() -> None:
        ran = 0

        async def other() -> None:
            nonlocal ran
            while True:
                await asyncio.sleep(0)
                ran += 1

        with await connect(listener, socket_options=[room]) as pair:
            pair.peer.sendall(bytes(size))
            pair.wait_until_here()
            beside = asyncio.ensure_future(other())
            got = 0
            while got < size:
                got += len(await pair.stream.read(PIECE, LONG))
            beside.cancel()
            assert ran >= 2

    run(main)


def test_input_that_came_with_a_reset_is_read_before_the_error(run: Any, listener: Any) -> None:
    # uvloop reports the input and the reset together, and only once: a wait for a second report would never end.
    sent = os.urandom(200_000)
    room = (socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    async def main() -> None:
        with await connect(listener, socket_options=[room]) as pair:
            pair.peer.sendall(sent)
            pair.reset()
            got = bytearray()
            while len(got) < len(sent):
                got += await pair.stream.read(PIECE, LONG)
            with pytest.raises(ReadError):
                await pair.stream.read(PIECE, LONG)
            assert got == sent

    run(main)


def test_a_reset_behind_the_head_of_a_message_ends_the_read(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            await waiting(reader)
            pair.peer.sendall(b"HTTP/1.1 200 OK\r\n")
            pair.reset()
            begun = time.monotonic()
            assert await reader == b"HTTP/1.1 200 OK\r\n"
            with pytest.raises(ReadError):
                await pair.stream.read(PIECE, LONG)
            assert time.monotonic() - begun < LONG / 2

    run(main)


# Taking and watching.


def test_take_returns_bytes_that_the_loop_has_not_reported(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            assert pair.stream.take() is None
            pair.peer.sendall(b"first")
            pair.wait_until_here()
            assert pair.stream.take() == b"first"
            pair.peer.sendall(b"second")
            await turns(3)
            pair.peer.sendall(b"third")
            pair.wait_until_here()
            assert pair.stream.take() == b"second"
            assert pair.stream.take() == b"third"
            pair.peer.close()
            pair.wait_until_here()
            assert pair.stream.take() == b""
            assert pair.stream.take() == b""

    run(main)


def test_take_raises_a_reset_as_an_error(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            pair.reset()
            with pytest.raises(ReadError):
                pair.stream.take()
            with pytest.raises(ReadError):
                await pair.stream.read(PIECE, LONG)

    run(main)


def test_watch_calls_when_input_or_end_arrives_without_a_reader(run: Any, listener: Any) -> None:
    async def main() -> None:
        called = asyncio.Event()
        with await connect(listener) as pair:
            assert pair.stream.watch(called.set)
            await turns(3)
            assert not called.is_set()

            pair.peer.sendall(b"x")
            await asyncio.wait_for(called.wait(), LONG)
            assert pair.stream.take() == b"x"

            called.clear()
            pair.peer.shutdown(socket.SHUT_WR)
            await asyncio.wait_for(called.wait(), LONG)
            assert pair.stream.take() == b""

    run(main)


def test_watch_is_silent_beside_a_reader_and_after_it_was_ended(run: Any, listener: Any) -> None:
    async def main() -> None:
        calls: list[None] = []
        with await connect(listener) as pair:
            pair.stream.watch(lambda: calls.append(None))
            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            await waiting(reader)
            pair.peer.sendall(b"x")
            assert await reader == b"x"
            pair.stream.watch(None)
            pair.peer.sendall(b"y")
            pair.wait_until_here()
            await turns(5)
            assert pair.stream.take() == b"y"
            assert calls == []

    run(main)


@pytest.mark.parametrize("turns_before", range(4))
def test_watch_reports_input_for_a_cancelled_reader(run: Any, listener: Any, turns_before: int) -> None:
    async def main() -> None:
        called = asyncio.Event()
        with await connect(listener) as pair:
            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            await waiting(reader)
            pair.stream.watch(called.set)
            pair.peer.sendall(b"x")
            pair.wait_until_here()
            await turns(turns_before)
            reader.cancel()
            await asyncio.wait([reader])
            if reader.cancelled():
                await asyncio.wait_for(called.wait(), LONG)
                assert pair.stream.take() == b"x"
            else:
                assert reader.result() == b"x"
                await turns(3)
                assert not called.is_set()

    run(main)


def test_a_reader_whose_bytes_another_took_waits_on(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            await waiting(reader)
            pair.peer.sendall(b"taken")
            pair.wait_until_here()
            assert pair.stream.take() == b"taken"
            await turns(3)
            pair.peer.sendall(b"read")
            assert await reader == b"read"
            # The test calls the callback, since a real loop rarely reports an event too late.
            pair.stream._on_input()  # like a loop that reports an event after the input has been read

            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            await waiting(reader)
            pair.peer.sendall(b"taken")
            pair.wait_until_here()
            # The test calls the callback here too, like a loop that reports an event before the input is read.
            pair.stream._on_input()
            assert pair.stream.take() == b"taken"
            await turns(3)
            pair.peer.sendall(b"read")
            assert await reader == b"read"

    run(main)


def test_watch_reports_bytes_received_before_it(run: Any, listener: Any) -> None:
    async def main() -> None:
        called = asyncio.Event()
        with await connect(listener) as pair:
            pair.peer.close()
            pair.wait_until_here()
            await turns(3)
            pair.stream.watch(called.set)
            assert not called.is_set()
            await asyncio.wait_for(called.wait(), LONG)

    run(main)


def test_a_watcher_may_close_the_stream(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            number = pair.sock.fileno()
            pair.stream.watch(pair.stream.close)
            pair.peer.close()
            pair.wait_until_here()
            await turns(5)
            assert not is_open(number)

    run(main)


# Writing.


def test_upload_lets_other_tasks_run_and_reads_no_byte_early(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            sent = got = 0
            while sent < _TURN:
                sent += await pair.stream.write_some(bytes(min(65536, _TURN - sent)), LONG, duplex=True)
                got += len(pair.peer.recv(PIECE))  # this makes room for the next write
            writer = asyncio.ensure_future(pair.stream.write_some(b"more", LONG, duplex=True))
            await asyncio.sleep(0)
            writer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writer
            pair.stream.close()
            while data := pair.peer.recv(PIECE):
                got += len(data)
            assert got == _TURN

    run(main)


def test_second_write_sees_an_answer_that_loop_did_not_report(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            assert await pair.stream.write_some(b"head", LONG) == 4
            pair.peer.sendall(b"413")
            pair.wait_until_here()
            assert await pair.stream.write_some(b"body", LONG) == 0
            assert await pair.stream.read(PIECE, LONG) == b"413"
            assert await pair.stream.write_some(b"body", LONG) == 4

    run(main)


def test_cancelled_writer_has_sent_nothing_and_the_next_goes_on(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            pair.fill()
            writer = asyncio.ensure_future(pair.stream.write_some(b"lost", LONG))
            await waiting(writer)
            writer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writer

            got = bytearray()

            def read_all() -> None:
                while data := pair.peer.recv(1 << 20):
                    got.extend(data)

            with thread(read_all):
                assert await pair.stream.write_some(b"end", LONG) == 3
                await pair.stream.end(LONG)
            assert got.endswith(b"\0end")
            assert b"lost" not in got

    run(main)


def test_a_writer_that_waits_for_room_writes_when_there_is_some(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            pair.fill()
            writer = asyncio.ensure_future(pair.stream.write_some(b"x", LONG))
            await waiting(writer)
            got = bytearray()

            def read_all() -> None:
                while not got.endswith(b"x"):
                    got.extend(pair.peer.recv(1 << 20))

            with thread(read_all):
                assert await writer == 1

    run(main)


def test_input_ends_the_wait_of_a_writer_for_room(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            pair.fill()
            writer = asyncio.ensure_future(pair.stream.write_some(b"x", LONG))
            await waiting(writer)
            pair.peer.sendall(b"413")
            begun = time.monotonic()
            assert await writer == 0
            assert time.monotonic() - begun < LONG / 2
            pair.fill()
            duplex = asyncio.ensure_future(pair.stream.write_some(b"x", LONG, duplex=True))
            await waiting(duplex)
            assert await pair.stream.read(PIECE, LONG) == b"413"
            pair.stream.close()
            with pytest.raises(WriteError):
                await duplex

    run(main)


def test_end_of_the_peer_stops_a_writer_once_until_it_is_read(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            pair.peer.shutdown(socket.SHUT_WR)
            pair.wait_until_here()
            await turns(3)
            assert await pair.stream.write_some(b"x", LONG) == 0
            assert await pair.stream.read(PIECE, LONG) == b""
            assert await pair.stream.write_some(b"x", LONG) == 1
            assert pair.peer.recv(1) == b"x"

    run(main)


def test_after_end_nothing_can_be_written(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            await pair.stream.end(LONG)
            assert pair.peer.recv(1) == b""
            with pytest.raises(WriteError):
                await pair.stream.write_some(b"x", LONG)
            pair.peer.sendall(b"still ")
            pair.wait_until_here()
            with pytest.raises(WriteError):
                await pair.stream.write_some(b"x", LONG)
            assert pair.stream.take() == b"still "
            pair.peer.sendall(b"heard")
            assert await pair.stream.read(PIECE, LONG) == b"heard"

    run(main)


# Closing.


def test_close_wakes_reader_and_writer_and_frees_the_descriptor(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            pair.fill()
            number = pair.sock.fileno()
            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            writer = asyncio.ensure_future(pair.stream.write_some(b"x", LONG, duplex=True))
            await waiting(writer)
            pair.stream.close()
            assert not is_open(number)
            pair.stream.close()
            with pytest.raises(ReadError, match="closed on this side"):
                await reader
            with pytest.raises(WriteError, match="closed on this side"):
                await writer
            with pytest.raises(WriteError, match="closed on this side"):
                await pair.stream.write_some(b"x", LONG)
            with pytest.raises(WriteError, match="closed on this side"):
                await pair.stream.end(LONG)

    run(main)


def test_descriptor_number_used_again_gets_nothing_of_old_stream(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as old:
            old.fill()
            writer = asyncio.ensure_future(old.stream.write_some(b"x", LONG, duplex=True))
            await waiting(writer)
            number = old.sock.fileno()
            old.stream.close()
            with await connect(listener) as new:
                assert new.sock.fileno() == number
                with pytest.raises(WriteError):
                    await writer
                reader = asyncio.ensure_future(new.stream.read(PIECE, LONG))
                await waiting(reader)
                new.peer.sendall(b"for the new one")
                assert await reader == b"for the new one"

    run(main)


def test_close_sends_the_written_bytes_and_a_proper_end(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            await pair.stream.write_some(b"goodbye", LONG)
            pair.stream.close()
            assert pair.peer.recv(PIECE) == b"goodbye"
            assert pair.peer.recv(PIECE) == b""

    run(main)


def test_another_thread_may_close_while_the_loop_runs(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            number = pair.sock.fileno()
            reader = asyncio.ensure_future(pair.stream.read(PIECE, LONG))
            await waiting(reader)

            def close_while_the_loop_sleeps() -> None:
                time.sleep(SHORT)
                pair.stream.close()
                with pytest.raises(ReadError, match="closed on this side"):
                    pair.stream.take()

            begun = time.monotonic()
            with thread(close_while_the_loop_sleeps), pytest.raises(ReadError, match="closed on this side"):
                await reader
            assert time.monotonic() - begun < LONG / 2
            await turns(3)
            assert not is_open(number)
            assert pair.peer.recv(1) == b""

    run(main)


def test_a_closed_writer_leaves_no_registration_behind(
    run: Any, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop reports the end to a writer before the closing thread has asked the loop to remove the socket."""
    shut_down = Descriptor.shut_down
    writer_is_over = threading.Event()

    def end_and_wait(descriptor: Descriptor) -> None:
        shut_down(descriptor)
        assert writer_is_over.wait(LONG)

    async def main() -> None:
        pair = await connect(listener)
        pair.fill()
        number = pair.sock.fileno()
        writer = asyncio.ensure_future(pair.stream.write_some(b"x", LONG, duplex=True))
        await waiting(writer)
        monkeypatch.setattr(Descriptor, "shut_down", end_and_wait)
        closing = threading.Thread(target=pair.stream.close)
        closing.start()
        with pytest.raises(WriteError, match="closed on this side"):
            await writer
        writer_is_over.set()
        closing.join()
        pair.peer.close()
        await turns(3)
        with await connect(listener) as other:
            assert other.sock.fileno() == number
            other.peer.sendall(b"for the next socket")
            assert await other.stream.read(PIECE, LONG) == b"for the next socket"

    run(main)


@pytest.mark.parametrize("loop_is", ["stopped", "closed"])
@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_stream_outlives_its_loop_and_goes_quietly(new_loop: NewLoop, listener: Any, loop_is: str, how: str) -> None:
    loop = new_loop()
    pairs = [loop.run_until_complete(connect(listener))]
    number = pairs[0].sock.fileno()
    peer = pairs[0].peer
    if loop_is == "closed":
        loop.close()
    assert pairs[0].stream.take() is None
    if how == "close":
        pairs[0].stream.close()
    pairs.clear()
    gc.collect()
    assert not is_open(number)
    assert peer.recv(1) == b""
    peer.close()
    loop.close()


def test_a_dropped_stream_frees_its_descriptor_without_a_warning(run: Any, listener: Any) -> None:
    async def main() -> None:
        pair = await connect(listener)
        pair.stream.watch(lambda: None)
        pair.peer.sendall(b"x")
        assert await pair.stream.read(PIECE, LONG) == b"x"  # the timer of this read is still set
        number, peer = pair.sock.fileno(), pair.peer
        del pair
        assert not is_open(number)
        assert peer.recv(1) == b""
        peer.close()
        await turns(3)

    run(main)


def test_stream_dropped_by_another_thread_is_closed_by_its_loop(run: Any, listener: Any) -> None:
    async def main() -> None:
        pairs = [await connect(listener)]
        number, peer = pairs[0].sock.fileno(), pairs[0].peer
        with thread(pairs.clear):
            pass
        await turns(5)
        assert not is_open(number)
        assert peer.recv(1) == b""
        peer.close()

    run(main)


FORK = """
import asyncio, os, socket, sys, warnings
warnings.simplefilter("ignore")
from httpcore._backends.asyncio import AsyncioBackend

async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    stream = await AsyncioBackend.current().connect_tcp(["127.0.0.1"], listener.getsockname()[1], 5)
    peer = listener.accept()[0]
    child = os.fork()
    if not child:
        number = stream._number
        stream.HOW()
        try:
            os.fstat(number)
        except OSError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    reader = asyncio.ensure_future(stream.read(100, 5))
    await asyncio.sleep(0)
    peer.sendall(b"still here")
    print(await reader, flush=True)
    stream.close()

RUN(main())
"""


@pytest.mark.parametrize("runner", ["asyncio.run", "__import__('uvloop').run"])
@pytest.mark.parametrize("how", ["abandon", "close", "__del__"])
def test_child_of_a_fork_abandons_and_the_parent_notices_nothing(runner: str, how: str) -> None:
    script = FORK.replace("HOW", how).replace("RUN", runner)
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=LONG)
    assert (outcome.stdout, outcome.stderr, outcome.returncode) == ("b'still here'\n", "", 0)


# Connecting.


def test_an_address_that_never_answers_leaves_time_for_the_next(run: Any, listener: Any) -> None:
    port = listener.getsockname()[1]

    async def main() -> str:
        addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
        stream = await AsyncioBackend.current().connect_tcp(addresses, port, 0.9)
        peer = stream.info().peer
        stream.close()
        return peer

    with black_hole("127.0.0.2", port), black_hole("127.0.0.3", port):
        assert run(main) == f"127.0.0.1:{port}"


def test_silent_addresses_are_a_connect_timeout_with_names(run: Any) -> None:
    addresses = ["127.0.0.1", "127.0.0.2"]

    async def main(port: int) -> None:
        before = open_descriptors()
        begun = time.monotonic()
        with pytest.raises(
            ConnectTimeout, match=rf"example\.com.*127\.0\.0\.1:{port}: .+127\.0\.0\.2:{port}: .+"
        ) as late:
            await AsyncioBackend.current().connect_tcp(addresses, port, 0.1, target=f"example.com:{port}")
        assert 0.1 <= time.monotonic() - begun < LONG
        assert late.value.limit == 0.1
        assert open_descriptors() == before

    with black_hole() as port, black_hole("127.0.0.2", port):
        run(lambda: main(port))


def test_addresses_that_refuse_are_a_connect_error_with_names(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    async def main() -> None:
        with pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port}: .+127\.0\.0\.2:{port}: .+") as failure:
            await AsyncioBackend.current().connect_tcp(["127.0.0.1", "127.0.0.2"], port, LONG)
        assert failure.value.errno == errno.ECONNREFUSED

    run(main)


def test_a_cancelled_connect_leaves_no_descriptor_behind(run: Any) -> None:
    async def main(port: int) -> None:
        before = open_descriptors()
        connecting = asyncio.ensure_future(AsyncioBackend.current().connect_tcp(["127.0.0.1"], port, LONG))
        await waiting(connecting)
        assert open_descriptors() != before
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert open_descriptors() == before

    with black_hole() as port:
        run(lambda: main(port))


def test_a_connect_cancelled_as_it_succeeds_leaves_no_descriptor(run: Any, listener: Any) -> None:
    async def main() -> None:
        for count in range(8):
            before = open_descriptors()
            connecting = asyncio.ensure_future(
                AsyncioBackend.current().connect_tcp(["127.0.0.1"], listener.getsockname()[1], LONG)
            )
            await turns(count)
            connecting.cancel()
            try:
                stream = await connecting
            except asyncio.CancelledError:
                pass
            else:
                stream.close()
                del stream
            del connecting
            assert open_descriptors() == before

    run(main)


def test_task_that_waits_for_a_name_may_be_cancelled_or_time_out(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> Any:
        assert answered.wait(LONG)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    # The test has its own threads: the threads of the process would stay busy during the following tests.
    monkeypatch.setattr(names, "_lookups", Threads(8, "test"))

    async def main() -> None:
        backend = AsyncioBackend.current()
        connecting = asyncio.ensure_future(backend.look_up("example.com", LONG))
        await waiting(connecting)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        with pytest.raises(ConnectTimeout, match=r"'example\.com'") as late:
            await backend.look_up("example.com", SHORT)
        assert late.value.limit == SHORT

    try:
        run(main)
    finally:
        answered.set()


def test_a_name_resolved_after_the_loop_has_ended_is_harmless(
    new_loop: NewLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, over = threading.Event(), threading.Event()
    # The answer is delayed in the lookup's thread, which calls only this private function.
    real = names._answer

    def slow(host: str) -> Any:
        assert gate.wait(LONG)
        return real("127.0.0.1")

    class NotifyingThreads(Threads):
        def _work(self) -> None:
            # No public event shows that a thread has finished its work.
            super()._work()
            over.set()

    # The test has its own threads, which answer late and signal their end.
    monkeypatch.setattr(names, "_answer", slow)
    monkeypatch.setattr(names, "_lookups", NotifyingThreads(8, "test"))

    async def main() -> None:
        with pytest.raises(ConnectTimeout):
            await AsyncioBackend.current().look_up("example.com", SHORT)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    gate.set()
    assert over.wait(LONG)  # an exception in the thread would have ended it before `over` was set


def test_the_socket_has_the_local_address_and_the_options(run: Any, listener: Any) -> None:
    async def main() -> None:
        option = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        with await connect(listener, local_address="127.0.0.9", socket_options=[option]) as pair:
            assert pair.peer.getpeername()[0] == "127.0.0.9"
            assert pair.stream.info().local.startswith("127.0.0.9:")
            assert pair.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
            assert pair.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        with await connect(listener) as pair:
            assert pair.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0

    run(main)


def test_no_descriptor_left_is_a_connect_error_and_others_go_on(run: Any, listener: Any) -> None:
    async def main() -> None:
        with await connect(listener) as pair:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
            try:
                with pytest.raises(ConnectError) as failure:
                    await AsyncioBackend.current().connect_tcp(["127.0.0.1"], listener.getsockname()[1], LONG)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert failure.value.errno == errno.EMFILE
            pair.peer.sendall(b"unharmed")
            assert await pair.stream.read(PIECE, LONG) == b"unharmed"

    run(main)


def test_a_full_unix_socket_is_tried_until_room_or_timeout(run: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "it.sock")

    async def main() -> None:
        backend = AsyncioBackend.current()
        # On Linux, a listen queue of one accepts two connections.
        streams = [await backend.connect_unix(path, LONG) for _ in range(2)]
        with pytest.raises(ConnectTimeout) as late:
            await backend.connect_unix(path, 3 * SHORT)
        assert late.value.limit == 3 * SHORT
        waiter = asyncio.ensure_future(backend.connect_unix(path, LONG))
        await waiting(waiter)
        accepted = [listening.accept()[0]]
        streams.append(await waiter)
        for stream in streams:
            stream.close()
        for end in accepted:
            end.close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        run(main)


def test_a_path_with_a_nul_or_too_long_is_a_connect_error(run: Any, tmp_path: Any) -> None:
    async def main() -> None:
        before = open_descriptors()
        for path in ("/tmp/a\0b", "/tmp/" + "x" * 200):
            with pytest.raises(ConnectError):
                await AsyncioBackend.current().connect_unix(path, LONG)
        assert open_descriptors() == before

    run(main)


def test_loop_that_cannot_watch_sockets_is_a_clear_connect_error(listener: Any) -> None:
    class LoopWithoutReaders(asyncio.SelectorEventLoop):
        def add_reader(self, fd: Any, callback: Callable[[*Arguments], object], *_: *Arguments) -> None:
            raise NotImplementedError

        def add_writer(self, fd: Any, callback: Callable[[*Arguments], object], *_: *Arguments) -> None:
            raise NotImplementedError

    async def main() -> None:
        before = open_descriptors()
        with pytest.raises(ConnectError, match=r"this event loop \(LoopWithoutReaders\) has no add_reader"):
            await AsyncioBackend.current().connect_tcp(["127.0.0.1"], listener.getsockname()[1], LONG)
        assert open_descriptors() == before

    with asyncio.Runner(loop_factory=LoopWithoutReaders) as runner:
        runner.run(main())


# Other parts of the runtime.


def test_a_backend_belongs_to_one_loop(run: Any, new_loop: NewLoop) -> None:
    async def main() -> AsyncioBackend:
        backend = AsyncioBackend.current()
        assert backend.is_current()
        assert not backend.is_gone()
        found: list[bool] = []
        with thread(lambda: found.append(backend.is_current())):
            pass
        assert found == [False]
        before = backend.now()
        await backend.sleep(0.01)
        assert backend.now() >= before + 0.009
        return backend

    backend = run(main)
    assert not backend.is_current()
    assert backend.is_gone()
    backend.event().set()

    async def other() -> None:
        assert not backend.is_current()

    run(other)


def test_an_event_is_seen_in_its_own_loop_and_set_from_a_thread(run: Any) -> None:
    async def main() -> None:
        backend = AsyncioBackend.current()
        own, other = backend.event(), backend.event()
        waiters = [asyncio.ensure_future(event.wait(LONG)) for event in (own, other)]
        await turns(2)
        own.set()
        with thread(other.set):
            pass
        assert await asyncio.gather(*waiters) == [True, True]
        assert await own.wait(0.0)

    run(main)


def test_a_waiter_may_leave_an_event_and_another_may_come(run: Any) -> None:
    async def main() -> None:
        event = AsyncioEvent(AsyncioBackend.current())
        waiter = asyncio.ensure_future(event.wait(LONG))
        await waiting(waiter)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert not await event.wait(SHORT)
        waiter = asyncio.ensure_future(event.wait(None))
        await waiting(waiter)
        event.set()
        assert await waiter

    run(main)


def test_a_flag_set_while_the_loop_was_busy_wins_over_the_timer(run: Any) -> None:
    async def main() -> None:
        event = AsyncioBackend.current().event()
        waiter = asyncio.ensure_future(event.wait(SHORT))
        await waiting(waiter)
        with thread(event.set):
            pass
        time.sleep(3 * SHORT)  # noqa: ASYNC251
        assert await waiter

    run(main)


def test_blocking_work_runs_in_daemon_thread_and_keeps_its_error(run: Any) -> None:
    async def main() -> None:
        backend = AsyncioBackend.current()
        worker = await backend.run_blocking(threading.current_thread)
        assert worker is not threading.current_thread()
        assert worker.daemon

        def fail() -> None:
            raise ZeroDivisionError("this one")

        with pytest.raises(ZeroDivisionError, match="this one"):
            await backend.run_blocking(fail)

    run(main)


def test_a_task_that_waits_for_blocking_work_may_be_cancelled(run: Any) -> None:
    async def main() -> None:
        begun, gate, done = threading.Event(), threading.Event(), threading.Event()

        def work() -> None:
            begun.set()
            assert gate.wait(LONG)
            done.set()

        waiter = asyncio.ensure_future(AsyncioBackend.current().run_blocking(work))
        await waiting(waiter)
        assert begun.wait(LONG)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert not done.is_set()
        gate.set()
        assert done.wait(LONG)

    run(main)
