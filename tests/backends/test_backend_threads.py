"""The details of the runtime of threads: no call suspends, any thread may close, Ctrl-C ends every wait."""

from __future__ import annotations

import asyncio
import errno
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from places import at

from httpcore._backends.base import PIECE
from httpcore._backends.threads import BlockingBackend, BlockingStream
from httpcore._errors import ReadError, ReadTimeout, WriteError, WriteTimeout

LONG = 10.0
SHORT = 0.02


def run(coroutine: Any) -> Any:
    """Drive a coroutine to its end in one step; if it suspends, the test fails here."""
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


@contextmanager
def connected() -> Iterator[tuple[BlockingStream, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = run(BlockingBackend().connect_tcp(*at(listener), LONG))
        peer, _ = listener.accept()
    with peer:
        yield stream, peer
        stream.close()


async def write_for_ever(stream: BlockingStream, timeout: float | None, *, duplex: bool = False) -> None:
    """Write until input arrives or an error is raised. One call is not enough: it may find room although an earlier
    call found none.
    """
    while await stream.write_some(bytes(PIECE), timeout, duplex=duplex):
        pass


def in_thread(coroutine: Any) -> Callable[[], BaseException | None]:
    """Start driving the coroutine in a thread; the returned function joins the thread and returns the error that ended
    it.
    """
    failures: list[BaseException] = []

    def target() -> None:
        try:
            coroutine.send(None)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()

    def join() -> BaseException | None:
        thread.join(LONG)
        assert not thread.is_alive()
        return failures[0] if failures else None

    return join


class Counted:
    """A socket that records the calls on it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._sock, name)


def socket_of(stream: BlockingStream) -> socket.socket:
    # Only the socket shows whether the descriptor is open, and whether it has room.
    return stream._descriptor.sock


def replace_poll(stream: BlockingStream, poll: Callable[[float | None], list[tuple[int, int]]]) -> None:
    # The test replaces `poll`, since the system cannot be made to wake a thread without reason or at a given moment.
    stream._input = poll


def count_calls(stream: BlockingStream) -> list[str]:
    counted: Any = Counted(socket_of(stream))
    # System calls are counted, so the socket and `poll` of the stream are replaced.
    stream._descriptor.sock = counted
    # The stream has two `poll` functions: one waits for input, the other for input or room.
    either, wait = stream._either, stream._input

    def poll_either(milliseconds: float | None) -> list[tuple[int, int]]:
        counted.calls.append("poll either")
        return either(milliseconds)

    def poll_input(milliseconds: float | None) -> list[tuple[int, int]]:
        counted.calls.append("poll input")
        return wait(milliseconds)

    # Both functions are replaced, so that their calls are counted too.
    stream._either, stream._input = poll_either, poll_input
    calls: list[str] = counted.calls
    return calls


def test_small_request_costs_one_system_call_and_its_answer_two() -> None:
    with connected() as (stream, peer):
        calls = count_calls(stream)
        for _ in range(3):
            assert run(stream.write_some(b"request", LONG)) == 7
            peer.sendall(b"answer")
            assert run(stream.read(PIECE, LONG)) == b"answer"
        assert calls == ["send", "poll input", "recv"] * 3


def test_an_upload_looks_for_input_from_its_second_piece_on() -> None:
    with connected() as (stream, _):
        calls = count_calls(stream)
        for _ in range(3):
            assert run(stream.write_some(b"piece", LONG)) == 5
        assert calls == ["send", "poll either", "send", "poll either", "send"]


def test_the_peers_end_is_reported_once_and_then_stops_no_writer() -> None:
    with connected() as (stream, peer):
        assert run(stream.write_some(b"x", LONG)) == 1
        peer.shutdown(socket.SHUT_WR)
        assert run(stream.write_some(b"x", LONG)) == 0
        assert run(stream.read(PIECE, LONG)) == b""
        assert [run(stream.write_some(b"x", LONG)) for _ in range(5)] == [1] * 5


def test_stream_whose_input_was_just_read_is_written_to_at_once() -> None:
    with connected() as (stream, _):
        assert run(stream.write_some(b"one", LONG)) == 3
        assert stream.take() is None
        calls = count_calls(stream)
        assert run(stream.write_some(b"two", LONG)) == 3
        assert calls == ["send"]


def test_read_woken_for_nothing_waits_only_for_remaining_time() -> None:
    with connected() as (stream, _):
        waits: list[float | None] = []

        def woken_for_nothing(milliseconds: float | None) -> list[tuple[int, int]]:
            waits.append(milliseconds)
            return [(0, select.POLLIN)] if len(waits) < 4 else []

        replace_poll(stream, woken_for_nothing)
        with pytest.raises(ReadTimeout):
            run(stream.read(PIECE, LONG))
    bounded = [wait for wait in waits if wait is not None]
    assert len(bounded) == 4
    assert all(0 < later < earlier <= LONG * 1000 for earlier, later in pairwise(bounded))


def wait_until_inside(stream: BlockingStream) -> None:
    # Only this attribute shows that a thread is in `poll`; a sleep would be a guess.
    while not stream._calls:
        pass


def wait_until_waiting_for_room(stream: BlockingStream) -> None:
    while select.select([], [socket_of(stream)], [], 0)[1]:
        pass


def test_closing_ends_a_read_that_waits_in_another_thread() -> None:
    with connected() as (stream, peer):
        join = in_thread(stream.read(PIECE, None))
        wait_until_inside(stream)
        stream.close()
        assert isinstance(join(), ReadError)
        assert socket_of(stream).fileno() == -1
        assert peer.recv(1) == b""


@pytest.mark.parametrize("duplex", [False, True])
def test_closing_ends_a_write_that_waits_in_another_thread(duplex: bool) -> None:
    with connected() as (stream, _):
        join = in_thread(write_for_ever(stream, None, duplex=duplex))
        wait_until_waiting_for_room(stream)
        stream.close()
        assert isinstance(join(), WriteError)
        assert socket_of(stream).fileno() == -1


def test_the_last_thread_inside_closes_the_descriptor() -> None:
    with connected() as (stream, peer):
        numbers: list[int] = []

        def closed_meanwhile(milliseconds: float | None) -> list[tuple[int, int]]:
            stream.close()
            numbers.append(socket_of(stream).fileno())
            peer.settimeout(LONG)
            assert peer.recv(1) == b""  # the socket has been shut down already
            return [(numbers[0], select.POLLIN)]

        replace_poll(stream, closed_meanwhile)
        with pytest.raises(ReadError, match="closed on this side"):
            run(stream.read(PIECE, LONG))
        assert numbers[0] != -1
        assert socket_of(stream).fileno() == -1


def test_an_error_that_is_kept_does_not_keep_the_descriptor() -> None:
    with connected() as (stream, _):
        with pytest.raises(ReadTimeout) as kept:
            run(stream.read(PIECE, 0))
        number = socket_of(stream).fileno()
        stream.close()
        with pytest.raises(OSError) as caught:
            socket.socket(fileno=number)
        assert caught.value.errno == errno.EBADF
        assert kept.value.limit == 0


def test_one_thread_reads_while_another_writes() -> None:
    with connected() as (stream, peer):
        join = in_thread(stream.read(PIECE, LONG))
        wait_until_inside(stream)
        assert run(stream.write_some(b"question", LONG, duplex=True)) == 8
        assert peer.recv(100) == b"question"
        peer.sendall(b"answer")
        end = join()
        assert isinstance(end, StopIteration)
        assert end.value == b"answer"


@contextmanager
def ctrl_c() -> Iterator[None]:
    """A signal that is handled as Ctrl-C is, while the main thread waits."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_ends_a_read_and_the_stream_goes_on() -> None:
    with connected() as (stream, peer):
        with ctrl_c():
            run(stream.read(PIECE, None))
        peer.sendall(b"after")
        assert run(stream.read(PIECE, LONG)) == b"after"
        stream.close()
        assert socket_of(stream).fileno() == -1


def test_ctrl_c_ends_a_write() -> None:
    with connected() as (stream, _):
        with ctrl_c():
            run(write_for_ever(stream, None))
        stream.close()
        assert socket_of(stream).fileno() == -1


def test_ctrl_c_ends_a_connect_and_leaves_no_socket() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for queued in (first, second):
            queued.setblocking(False)
            queued.connect_ex(full.getsockname())
        free = _lowest_free_descriptor()
        with ctrl_c():
            run(BlockingBackend().connect_tcp(*at(full), None))
        assert _lowest_free_descriptor() == free


def _lowest_free_descriptor() -> int:
    with socket.socket() as sock:
        return sock.fileno()


@pytest.mark.parametrize("timeout", [None, LONG])
def test_ctrl_c_ends_wait_for_an_event_which_can_still_be_set(timeout: float | None) -> None:
    event = BlockingBackend().event()
    with ctrl_c():
        run(event.wait(timeout))
    event.set()
    assert run(event.wait(0)) is True


def test_ctrl_c_ends_sleep() -> None:
    with ctrl_c():
        run(BlockingBackend().sleep(LONG))


def test_an_event_set_from_another_thread_wakes_all_waits() -> None:
    event = BlockingBackend().event()
    joins = [in_thread(event.wait(None)) for _ in range(3)]
    event.set()
    for join in joins:
        end = join()
        assert isinstance(end, StopIteration)
        assert end.value is True


def test_blocking_streams_work_inside_a_running_event_loop() -> None:
    async def main() -> bytes:
        with connected() as (stream, peer):
            peer.sendall(b"hello")
            return bytes(run(stream.read(PIECE, LONG)))

    assert asyncio.run(main()) == b"hello"


def test_without_poll_select_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll")
    with connected() as (stream, peer):
        with pytest.raises(ReadTimeout):
            run(stream.read(PIECE, SHORT))
        for duplex in (False, True):
            with pytest.raises(WriteTimeout):
                run(write_for_ever(stream, SHORT, duplex=duplex))
        peer.sendall(b"413")
        run(write_for_ever(stream, LONG))
        assert run(stream.read(PIECE, None)) == b"413"


def test_a_script_that_dies_of_sigpipe_still_gets_a_write_error() -> None:
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        with connected() as (stream, peer):
            peer.close()
            with pytest.raises(WriteError):
                run(write_for_ever(stream, LONG, duplex=True))
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_the_blocking_backend_is_always_current_and_never_gone() -> None:
    backend = BlockingBackend()
    assert backend.name == "threads"
    assert backend.is_current()
    assert not backend.is_gone()
    with connected() as (stream, _):
        assert stream.watch(lambda: None) is False
