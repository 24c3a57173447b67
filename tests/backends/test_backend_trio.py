"""The details of trio: cancellation loses no byte, other tasks get turns, and a run that has ended reports nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from places import at

from httpcore._backends.base import PIECE
from httpcore._backends.trio import TrioBackend, TrioStream
from httpcore._backends.workers import Call
from httpcore._errors import ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout

LONG = 10.0
SHORT = 0.02


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[TrioStream, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await TrioBackend.current().connect_tcp(*at(listener), LONG)
        peer, _ = listener.accept()
    with peer:
        yield stream, peer
        stream.close()


async def fill(stream: TrioStream) -> int:
    """Write until the buffers are full, and return the number of written bytes."""
    written = 0
    while True:
        try:
            written += await stream.write_some(bytes(PIECE), SHORT)
        except WriteTimeout:
            return written


async def write_for_ever(stream: TrioStream, *, duplex: bool = False) -> None:
    while True:
        await stream.write_some(bytes(PIECE), None, duplex=duplex)


async def error_of(call: Callable[[], Awaitable[object]], kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        await call()


def test_a_cancelled_read_has_lost_nothing() -> None:
    async def main() -> None:
        async with connected() as (stream, peer):
            for _ in range(2):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await stream.read(PIECE, LONG)
                assert scope.cancelled_caught
            peer.sendall(b"all of it")
            assert await stream.read(PIECE, LONG) == b"all of it"

    trio.run(main)


@pytest.mark.parametrize("duplex", [False, True])
def test_cancelled_write_has_sent_nothing_and_the_stream_goes_on(duplex: bool) -> None:
    async def main() -> None:
        async with connected() as (stream, peer):
            written = await fill(stream)
            with trio.CancelScope() as scope:
                scope.cancel()
                while True:
                    written += await stream.write_some(bytes(PIECE), LONG, duplex=duplex)
            assert scope.cancelled_caught
            arrived = 0
            while arrived < written:
                arrived += len(peer.recv(PIECE))
            await stream.end(LONG)
            assert arrived == written
            assert peer.recv(1) == b""

    trio.run(main)


def test_a_stream_closed_as_a_write_begins_to_wait_is_closed() -> None:
    """A write waits for room and input in two tasks, which begin a turn later: the socket may be closed by then."""

    async def main() -> None:
        async with connected() as (stream, _):
            await fill(stream)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(error_of, lambda: write_for_ever(stream), WriteError)
                await trio.lowlevel.checkpoint()
                stream.close()

    for _ in range(20):  # trio runs the tasks of a turn in a random order
        trio.run(main)


def test_a_cancelled_connect_leaves_no_socket() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as one, socket.socket() as two:
            for queued in (one, two):
                queued.setblocking(False)
                queued.connect_ex(full.getsockname())
            with socket.socket() as probe:
                free = probe.fileno()
            with trio.move_on_after(SHORT) as scope:
                await TrioBackend.current().connect_tcp(*at(full), None)
            assert scope.cancelled_caught
            with socket.socket() as probe:
                assert probe.fileno() == free

    trio.run(main)


class Endless:
    """A socket that always has input and always has room."""

    def recv(self, size: int, *_: int) -> bytes:
        return bytes(size)

    def send(self, data: bytes, *_: int) -> int:
        return len(data)


@asynccontextmanager
async def connected_to_an_endless_peer() -> AsyncIterator[TrioStream]:
    async with connected() as (stream, _):
        # No real socket always has input and room, so the test replaces the socket for a moment.
        sock = stream._descriptor.sock
        endless: Any = Endless()
        # The private attribute is set, for the reason above.
        stream._descriptor.sock = endless
        yield stream
        # The private attribute is restored.
        stream._descriptor.sock = sock


async def count_turns(until: trio.Event, turns: list[int]) -> None:
    while not until.is_set():
        turns.append(1)
        await trio.lowlevel.checkpoint()


def test_download_that_never_waits_lets_others_run_at_each_piece() -> None:
    async def main() -> None:
        async with connected_to_an_endless_peer() as stream, trio.open_nursery() as nursery:
            done, turns = trio.Event(), list[int]()
            nursery.start_soon(count_turns, done, turns)
            got = 0
            while got < 8 * PIECE:
                got += len(await stream.read(PIECE, LONG))
            done.set()
        # The reads yielded 7 turns; trio runs the tasks of a turn in a random order.
        assert 6 <= len(turns) <= 8

    trio.run(main)


def test_an_upload_that_never_waits_is_cancelled_within_a_piece() -> None:
    async def main() -> None:
        async with connected_to_an_endless_peer() as stream:
            written = 0
            with trio.CancelScope() as scope:
                scope.cancel()
                while True:
                    written += await stream.write_some(bytes(65536), LONG, duplex=True)
            assert scope.cancelled_caught
            assert written == PIECE

    trio.run(main)


def test_small_exchanges_that_never_wait_let_others_run() -> None:
    async def main() -> None:
        exchanges = 0

        async def exchange(stream: TrioStream) -> None:
            nonlocal exchanges
            assert await stream.write_some(bytes(100), LONG) == 100
            assert len(await stream.read(100, LONG)) == 100
            exchanges += 1

        async with connected_to_an_endless_peer() as stream, trio.open_nursery() as nursery:
            done, turns = trio.Event(), list[int]()
            nursery.start_soon(count_turns, done, turns)
            while exchanges < 320:
                await exchange(stream)
            done.set()
        assert 8 <= len(turns) <= 10
        async with connected_to_an_endless_peer() as stream:
            with trio.CancelScope() as scope:
                scope.cancel()
                while exchanges < 1_000:
                    await exchange(stream)
            assert scope.cancelled_caught
            assert exchanges <= 320 + 32

    trio.run(main)


@pytest.mark.parametrize("kind", [ReadError, WriteError])
def test_closing_ends_waits_in_another_task(kind: type[Exception]) -> None:
    async def main() -> None:
        async with connected() as (stream, _):
            await fill(stream)
            async with trio.open_nursery() as nursery:
                if kind is ReadError:
                    nursery.start_soon(error_of, lambda: stream.read(PIECE, None), kind)
                else:
                    nursery.start_soon(error_of, lambda: write_for_ever(stream), kind)
                await trio.testing.wait_all_tasks_blocked()
                stream.close()

    trio.run(main)


@pytest.mark.parametrize("duplex", [False, True])
def test_closing_from_another_thread_ends_the_waits(duplex: bool) -> None:
    async def main() -> None:
        async with connected() as (stream, _):
            await fill(stream)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(error_of, lambda: stream.read(PIECE, None), ReadError)
                if duplex:
                    nursery.start_soon(error_of, lambda: write_for_ever(stream, duplex=True), WriteError)
                await trio.testing.wait_all_tasks_blocked()
                thread = threading.Thread(target=stream.close)
                thread.start()
                thread.join(LONG)
            await TrioBackend.current().sleep(0)
            assert stream._descriptor.sock.fileno() == -1  # no public name shows that a descriptor is closed

    trio.run(main)


def test_closing_from_another_thread_tells_peer_beside_busy_loop() -> None:
    async def main() -> None:
        async with connected() as (stream, peer):
            thread = threading.Thread(target=stream.close)
            thread.start()
            thread.join(LONG)  # the loop is blocked meanwhile
            peer.settimeout(LONG)
            assert peer.recv(1) == b""

    trio.run(main)


def test_the_peers_end_is_reported_once_and_then_stops_no_writer() -> None:
    async def main() -> None:
        async with connected() as (stream, peer):
            assert await stream.write_some(b"x", LONG) == 1
            peer.shutdown(socket.SHUT_WR)
            assert await stream.write_some(b"x", LONG) == 0
            assert await stream.read(PIECE, LONG) == b""
            assert [await stream.write_some(b"x", LONG) for _ in range(5)] == [1] * 5

    trio.run(main)


def test_one_task_reads_while_another_waits_for_room() -> None:
    async def main() -> None:
        async with connected() as (stream, peer):
            written = await fill(stream)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.read, PIECE, LONG)
                nursery.start_soon(lambda: stream.write_some(b"x", LONG, duplex=True))
                await trio.testing.wait_all_tasks_blocked()
                while written:
                    written -= len(peer.recv(min(PIECE, written)))
                peer.sendall(b"answer")
            await stream.end(LONG)
            assert peer.recv(10) == b"x"

    trio.run(main)


def test_a_stream_of_a_run_that_is_over_closes_its_descriptor() -> None:
    async def main() -> tuple[TrioStream, socket.socket, TrioBackend]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            stream = await TrioBackend.current().connect_tcp(*at(listener), LONG)
            return stream, listener.accept()[0], TrioBackend.current()

    stream, peer, backend = trio.run(main)
    with peer:
        assert backend.is_gone()
        assert not backend.is_current()
        stream.close()
        assert stream._descriptor.sock.fileno() == -1  # no public name shows that a descriptor is closed
        assert peer.recv(1) == b""


def test_a_backend_is_current_in_its_own_run_only() -> None:
    async def main() -> TrioBackend:
        backend = TrioBackend.current()
        assert backend.is_current()
        assert await trio.to_thread.run_sync(backend.is_current) is False
        assert await trio.to_thread.run_sync(backend.is_gone) is False
        return backend

    async def another(backend: TrioBackend) -> None:
        assert not backend.is_current()
        assert backend.is_gone()
        assert TrioBackend.current().is_current()

    trio.run(another, trio.run(main))


def test_trio_has_to_be_running() -> None:
    with pytest.raises(RuntimeError):
        TrioBackend.current()


def with_own_clock(main: Callable[[TrioBackend], Awaitable[None]]) -> None:
    async def in_trio() -> None:
        await main(TrioBackend.current())

    trio.run(in_trio, clock=trio.testing.MockClock(autojump_threshold=0))


def test_time_runs_out_when_it_should_and_not_before() -> None:
    async def main(backend: TrioBackend) -> None:
        async with connected() as (stream, _):
            begun = backend.now()
            with pytest.raises(ReadTimeout):
                await stream.read(PIECE, 3.0)
            assert backend.now() == pytest.approx(begun + 3.0)
            assert await backend.event().wait(4.0) is False
            assert backend.now() == pytest.approx(begun + 7.0)
            await backend.sleep(5.0)
            assert backend.now() == pytest.approx(begun + 12.0)

    with_own_clock(main)


def test_an_event_set_by_another_task_is_seen() -> None:
    async def main(backend: TrioBackend) -> None:
        event = backend.event()
        async with trio.open_nursery() as nursery:

            async def set_later() -> None:
                await backend.sleep(2.0)
                event.set()

            nursery.start_soon(set_later)
            begun = backend.now()
            assert await event.wait(None) is True
            assert backend.now() == pytest.approx(begun + 2.0)

    with_own_clock(main)


def test_a_silent_name_server_is_a_connect_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requested = threading.Event()
    release = threading.Event()

    def silent(*_: Any, **__: Any) -> list[Any]:
        requested.set()
        release.wait(LONG)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    async def main() -> None:
        with pytest.raises(ConnectTimeout, match=r"silent\.test") as caught:
            await TrioBackend.current().look_up("silent.test", SHORT)
        assert caught.value.limit == SHORT

    trio.run(main)
    assert requested.wait(LONG)
    # The answer arrives after the end of the run: no task gets it, and the thread raises no exception.
    release.set()


def test_a_lookup_without_a_waiting_task_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    queued = Call(lambda: None)
    monkeypatch.setattr("httpcore._backends.trio.look_up", lambda host, done: queued)

    async def main() -> None:
        with trio.move_on_after(SHORT):
            await TrioBackend.current().look_up("silent.test", None)

    trio.run(main)
    assert not queued.is_wanted


def test_blocking_work_is_left_when_its_caller_is_cancelled() -> None:
    release = threading.Event()

    async def main() -> None:
        with trio.move_on_after(SHORT) as scope:
            await TrioBackend.current().run_blocking(lambda: release.wait(LONG))
        assert scope.cancelled_caught

    trio.run(main)
    release.set()
