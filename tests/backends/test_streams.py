"""The promises of a stream in every runtime, against real sockets on loopback: one test body, run in each of them."""

from __future__ import annotations

import errno
import importlib.util
import os
import resource
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from places import at

from httpcore import _errors as errors
from httpcore._backends.base import PIECE

Main = Callable[[Any], Awaitable[Any]]

LONG = 10.0
SHORT = 0.02


def run_threads(main: Main) -> Any:
    from httpcore._backends.threads import BlockingBackend

    coroutine: Any = main(BlockingBackend())
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    return end.value.value


def run_trio(main: Main) -> Any:
    import trio

    from httpcore._backends.trio import TrioBackend

    async def in_trio() -> Any:
        return await main(TrioBackend.current())

    return trio.run(in_trio)


async def in_asyncio(main: Main) -> Any:
    from httpcore._backends.asyncio import AsyncioBackend

    return await main(AsyncioBackend.current())


def run_asyncio(main: Main) -> Any:
    import asyncio

    return asyncio.run(in_asyncio(main))


def run_uvloop(main: Main) -> Any:
    uvloop = pytest.importorskip("uvloop")
    import asyncio

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(in_asyncio(main))


RUNTIMES = {"threads": run_threads, "trio": run_trio, "asyncio": run_asyncio, "uvloop": run_uvloop}
MODULES = {"uvloop": "asyncio"}


@pytest.fixture(params=RUNTIMES)
def run(request: pytest.FixtureRequest) -> Callable[[Main], Any]:
    """A function that runs `main(backend)` to its end in one runtime."""
    module = MODULES.get(request.param, request.param)
    if importlib.util.find_spec(f"httpcore._backends.{module}") is None:
        pytest.skip(f"there is no runtime of {request.param} yet")
    return RUNTIMES[request.param]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


class Peer:
    """A connected pair: our stream, and the peer's plain socket."""

    def __init__(self, stream: Any, sock: socket.socket) -> None:
        self.stream = stream
        self.sock = sock
        sock.settimeout(LONG)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


async def connect(backend: Any, listener: socket.socket, **named: Any) -> Peer:
    """Connect to the listener. The kernel completes the handshake, so no second thread is needed."""
    host, port = listener.getsockname()[:2]
    stream = await backend.connect_tcp([host], port, LONG, **named)
    return Peer(stream, listener.accept()[0])


async def read_all(stream: Any) -> bytes:
    found = bytearray()
    while data := await stream.read(PIECE, LONG):
        found += data
    return bytes(found)


async def write_for_ever(stream: Any, timeout: float, *, duplex: bool = False) -> None:
    """Write until an error is raised. `write_some` returns 0 only if input arrives and `duplex` is false; the test
    fails then.
    """
    while await stream.write_some(bytes(PIECE), timeout, duplex=duplex):
        pass
    raise AssertionError("write_some returned 0")


def send_all_and_close(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.close()


@contextmanager
def thread(target: Callable[[], object]) -> Iterator[None]:
    """A peer that acts in its own thread, joined at the end; an exception in it fails the test."""
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


# Reading.


def test_a_read_gives_the_received_bytes_and_then_always_the_end(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> list[bytes]:
        with await connect(backend, listener) as peer:
            peer.sock.sendall(b"abc")
            first = await peer.stream.read(PIECE, LONG)
            peer.sock.sendall(b"def")
            peer.sock.close()
            rest = await read_all(peer.stream)
            return [first, rest, await peer.stream.read(PIECE, LONG), await peer.stream.read(PIECE, None)]

    assert run(main) == [b"abc", b"def", b"", b""]


def test_a_read_returns_at_most_the_size_and_the_next_goes_on(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> list[bytes]:
        with await connect(backend, listener) as peer:
            peer.sock.sendall(b"abcdef")
            return [await peer.stream.read(2, LONG), await peer.stream.read(3, LONG), await peer.stream.read(1, LONG)]

    assert run(main) == [b"ab", b"cde", b"f"]


def test_a_read_returns_at_most_one_piece(run: Any, listener: Any) -> None:
    sent = os.urandom(5 * PIECE + 1)

    async def main(backend: Any) -> list[bytes]:
        with await connect(backend, listener) as peer, thread(lambda: send_all_and_close(peer.sock, sent)):
            parts = []
            while data := await peer.stream.read(10 * PIECE, LONG):
                parts.append(data)
            return parts

    parts = run(main)
    assert b"".join(parts) == sent
    assert max(map(len, parts)) <= PIECE


def test_read_that_times_out_says_so_and_leaves_stream_usable(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            before = backend.now()
            with pytest.raises(errors.ReadTimeout) as caught:
                await peer.stream.read(PIECE, SHORT)
            assert backend.now() - before >= SHORT * 0.9
            assert caught.value.limit == SHORT
            assert caught.value.peer == peer.stream.info().peer
            peer.sock.sendall(b"late")
            assert await peer.stream.read(PIECE, LONG) == b"late"

    run(main)


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_without_any_time_left_data_that_is_there_wins(run: Any, listener: Any, timeout: float) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            with pytest.raises(errors.ReadTimeout):
                await peer.stream.read(PIECE, timeout)
            peer.sock.sendall(b"here")
            assert await peer.stream.read(PIECE, timeout) == b"here"

    run(main)


@pytest.mark.parametrize("timeout", [None, 1e9, 1e300])
def test_a_timeout_may_be_longer_than_the_system_can_wait(run: Any, listener: Any, timeout: float | None) -> None:
    async def main(backend: Any) -> bytes:
        with await connect(backend, listener) as peer, thread(lambda: peer.sock.sendall(b"x")):
            return bytes(await peer.stream.read(PIECE, timeout))

    assert run(main) == b"x"


def test_a_reset_is_a_read_error_and_never_a_clean_end(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            peer.reset()
            for _ in range(3):
                with pytest.raises(errors.ReadError) as caught:
                    await peer.stream.read(PIECE, LONG)
                assert caught.value.peer == peer.stream.info().peer
            with pytest.raises(errors.ReadError):
                peer.stream.take()
            with pytest.raises(errors.ReadError):
                await peer.stream.read(PIECE, LONG)

    run(main)


def test_a_reset_that_take_has_seen_is_not_forgotten_by_read(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            peer.reset()
            for _ in range(2):
                with pytest.raises(errors.ReadError) as caught:
                    peer.stream.take()
                assert caught.value.errno is not None
            with pytest.raises(errors.ReadError):
                await peer.stream.read(PIECE, LONG)

    run(main)


# Taking.


def test_take_gives_the_received_bytes_or_nothing_or_the_end(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> list[bytes | None]:
        with await connect(backend, listener) as peer:
            taken = [peer.stream.take()]
            peer.sock.sendall(b"abc")
            taken += [peer.stream.take(), peer.stream.take()]
            peer.sock.close()
            return [*taken, peer.stream.take(), peer.stream.take()]

    assert run(main) == [None, b"abc", None, b"", b""]


def test_is_quiet_reads_nothing_and_repeats_its_result(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> Any:
        with await connect(backend, listener) as peer:
            quiet = peer.stream.is_quiet
            seen = [quiet(), quiet()]
            peer.sock.sendall(b"hello")
            await until(lambda: not quiet(), backend)
            seen += [quiet(), quiet()]
            assert await peer.stream.read(100, LONG) == b"hello"
            seen += [quiet(), quiet()]
            peer.sock.shutdown(socket.SHUT_WR)
            await until(lambda: not quiet(), backend)
            seen += [quiet(), quiet()]
            assert await peer.stream.read(100, LONG) == b""
            return [*seen, quiet(), quiet()]

    assert run(main) == [True, True, False, False, True, True, False, False, False, False]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_closed_or_reset_stream_is_not_quiet(run: Any, listener: Any, how: str) -> None:
    async def main(backend: Any) -> Any:
        with await connect(backend, listener) as peer:
            peer.stream.close() if how == "close" else peer.reset()
            await until(lambda: not peer.stream.is_quiet(), backend)
            seen = [peer.stream.is_quiet(), peer.stream.is_quiet()]
            with pytest.raises(errors.ReadError):
                peer.stream.take()
            return [*seen, peer.stream.is_quiet()]

    assert run(main) == [False, False, False]


async def until(ready: Callable[[], bool], backend: Any) -> None:
    for _ in range(1000):
        if ready():
            return
        await backend.sleep(0.005)
    raise AssertionError("the condition was not met in 5 s")


def test_take_and_read_share_one_order(run: Any, listener: Any) -> None:
    sent = os.urandom(3 * PIECE)

    async def main(backend: Any) -> bytes:
        with await connect(backend, listener) as peer, thread(lambda: send_all_and_close(peer.sock, sent)):
            found = bytearray()
            while data := await peer.stream.read(1000, LONG):
                found += data
                found += peer.stream.take() or b""
            return bytes(found)

    assert run(main) == sent


# Writing.


def test_bytes_arrive_in_order_and_a_call_takes_at_most_a_piece(run: Any, listener: Any) -> None:
    sent = os.urandom(30 * PIECE + 7)
    arrived = bytearray()

    async def main(backend: Any) -> list[int]:
        with await connect(backend, listener) as peer:

            def receive() -> None:
                while data := peer.sock.recv(PIECE):
                    arrived.extend(data)

            with thread(receive):
                view, counts = memoryview(sent), []
                while view:
                    counts.append(await peer.stream.write_some(view, LONG))
                    view = view[counts[-1] :]
                await peer.stream.end(LONG)
            return counts

    counts = run(main)
    assert bytes(arrived) == sent
    assert 0 < min(counts) <= max(counts) <= PIECE


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_kind_of_bytes_can_be_written(run: Any, listener: Any, kind: Any) -> None:
    async def main(backend: Any) -> bytes:
        with await connect(backend, listener) as peer:
            assert await peer.stream.write_some(kind(b"hello"), LONG) == 5
            assert await peer.stream.flush(LONG)
            assert not peer.stream.owes
            assert not peer.stream.truncated
            return peer.sock.recv(100)

    assert run(main) == b"hello"


@pytest.mark.parametrize("duplex", [False, True])
def test_a_writer_without_room_times_out_and_reading_still_works(run: Any, listener: Any, duplex: bool) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            with pytest.raises(errors.WriteTimeout) as caught:
                await write_for_ever(peer.stream, SHORT, duplex=duplex)
            assert caught.value.limit == SHORT
            assert caught.value.peer == peer.stream.info().peer
            peer.sock.sendall(b"still here")
            assert await peer.stream.read(PIECE, LONG) == b"still here"

    run(main)


def test_early_answer_interrupts_an_upload_while_there_is_room(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            assert await peer.stream.write_some(bytes(PIECE), LONG)
            peer.sock.sendall(b"413")
            # A loop polls its sockets only when the upload yields its turn, which it does once per piece.
            counts = [await peer.stream.write_some(bytes(PIECE), LONG) for _ in range(3)]
            assert 0 in counts
            assert await peer.stream.read(PIECE, LONG) == b"413"
            assert await peer.stream.write_some(b"x", LONG) == 1

    run(main)


def test_early_answer_interrupts_an_upload_that_waits_for_room(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> bytes:
        with await connect(backend, listener) as peer:
            with pytest.raises(errors.WriteTimeout):
                await write_for_ever(peer.stream, SHORT)
            with thread(lambda: peer.sock.sendall(b"413")):
                while await peer.stream.write_some(bytes(PIECE), LONG):
                    pass
            return bytes(await peer.stream.read(PIECE, LONG))

    assert run(main) == b"413"


def test_with_duplex_waiting_input_stops_no_writer(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            peer.sock.sendall(b"not your business")
            counts = [await peer.stream.write_some(b"x", LONG, duplex=True) for _ in range(5)]
            assert counts == [1] * 5
            with pytest.raises(errors.WriteTimeout):
                await write_for_ever(peer.stream, SHORT, duplex=True)
            assert await peer.stream.read(PIECE, LONG) == b"not your business"

    run(main)


def test_a_peer_that_has_ended_its_side_can_still_be_written_to(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> bytes:
        with await connect(backend, listener) as peer:
            peer.sock.shutdown(socket.SHUT_WR)
            assert await peer.stream.read(PIECE, LONG) == b""
            written = 0
            while written < 5:
                written += await peer.stream.write_some(b"hello"[written:], LONG)
                assert await peer.stream.read(PIECE, LONG) == b""
            return peer.sock.recv(100)

    assert run(main) == b"hello"


def test_the_answer_behind_a_refused_upload_is_never_lost(run: Any, listener: Any) -> None:
    answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n"

    def refuse() -> None:
        sock, _ = listener.accept()
        sock.settimeout(LONG)
        sock.recv(PIECE)
        sock.sendall(answer)
        sock.close()  # the input is unread, so the system sends RST

    async def upload(backend: Any) -> bytes:
        stream = await backend.connect_tcp(*at(listener), LONG)
        found = bytearray()
        try:
            # The worst case is a client that does not read until the write fails.
            await write_for_ever(stream, LONG, duplex=True)
        except errors.WriteError:
            pass
        try:
            while data := await stream.read(7, LONG):
                found += data
        except errors.ReadError:
            pass
        finally:
            stream.close()
        return bytes(found)

    for _ in range(20):
        with thread(refuse):
            assert run(upload) == answer


def test_take_gives_received_data_after_failed_write_and_raises(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> bytes | None:
        with await connect(backend, listener) as peer:
            assert await peer.stream.write_some(b"unread", LONG) == 6
            peer.sock.sendall(b"the end")
            peer.sock.close()
            with pytest.raises(errors.WriteError):
                await write_for_ever(peer.stream, LONG, duplex=True)
            taken: bytes | None = peer.stream.take()
            with pytest.raises(errors.ReadError):
                peer.stream.take()
            return taken

    assert run(main) == b"the end"


def test_end_notifies_the_peer_and_reading_continues(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> bytes:
        with await connect(backend, listener) as peer:
            assert await peer.stream.write_some(b"question", LONG) == 8
            await peer.stream.end(LONG)
            assert peer.sock.recv(100) == b"question"
            assert peer.sock.recv(100) == b""
            peer.sock.sendall(b"answer")
            peer.sock.close()
            return await read_all(peer.stream)

    assert run(main) == b"answer"


# Closing.


def test_a_closed_stream_raises_and_still_has_its_peer(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            before = peer.stream.info()
            peer.stream.close()
            peer.stream.close()
            with pytest.raises(errors.ReadError):
                await peer.stream.read(PIECE, LONG)
            with pytest.raises(errors.WriteError):
                await peer.stream.write_some(b"x", LONG)
            with pytest.raises(errors.ReadError, match="closed on this side"):
                peer.stream.take()
            assert peer.stream.info() == before

    run(main)


def test_a_closed_stream_gives_the_peer_its_end(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> bytes:
        with await connect(backend, listener) as peer:
            peer.stream.close()
            return peer.sock.recv(100)

    assert run(main) == b""


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_child_of_a_fork_abandons_and_the_parent_is_unaffected(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            child = os.fork()
            if not child:
                _end_the_child(peer.stream)
            _, status = os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once, and nothing else runs here
            assert os.waitstatus_to_exitcode(status) == 0
            peer.sock.sendall(b"hello")
            assert await peer.stream.read(PIECE, LONG) == b"hello"
            assert await peer.stream.write_some(b"and back", LONG) == 8
            assert peer.sock.recv(100) == b"and back"

    run(main)


def _end_the_child(stream: Any) -> None:
    """Abandon the stream, and exit with a code that shows whether a descriptor was closed."""
    try:
        before = len(os.listdir("/proc/self/fd"))
        stream.abandon()
        with pytest.raises(errors.ReadError):
            stream.take()
        os._exit(0 if len(os.listdir("/proc/self/fd")) < before else 1)
    finally:
        os._exit(2)


# Connecting.


def test_info_returns_both_ends_from_memory(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            info = peer.stream.info()
            assert info.peer == f"127.0.0.1:{listener.getsockname()[1]}"
            assert info.local == f"127.0.0.1:{peer.sock.getpeername()[1]}"
            assert info.tls is None

    run(main)


def test_connect_uses_the_local_address(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> str:
        with await connect(backend, listener, local_address="127.0.0.3") as peer:
            return str(peer.sock.getpeername()[0])

    assert run(main) == "127.0.0.3"


def test_a_name_is_resolved(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        addresses = await backend.look_up("localhost", LONG)
        assert "127.0.0.1" in addresses
        stream = await backend.connect_tcp(addresses, listener.getsockname()[1], LONG)
        stream.close()
        assert stream.info().peer == f"127.0.0.1:{listener.getsockname()[1]}"

    run(main)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_a_refusal_is_a_connect_error_with_address_and_errno(run: Any) -> None:
    port = unused_port()

    async def main(backend: Any) -> None:
        with pytest.raises(errors.ConnectError, match=f"127.0.0.1:{port}.*refused") as caught:
            await backend.connect_tcp(["127.0.0.1"], port, LONG)
        assert caught.value.errno == errno.ECONNREFUSED
        assert caught.value.peer == f"127.0.0.1:{port}"

    run(main)


def test_a_name_that_does_not_resolve_is_a_connect_error(run: Any) -> None:
    async def main(backend: Any) -> None:
        with pytest.raises(errors.ConnectError, match=r"a\.\.invalid"):
            await backend.look_up("a..invalid", LONG)

    run(main)


def test_an_address_that_does_not_answer_is_a_connect_timeout(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for queued in (first, second):
            queued.setblocking(False)
            queued.connect_ex(full.getsockname())

        async def main(backend: Any) -> None:
            with pytest.raises(errors.ConnectTimeout) as caught:
                await backend.connect_tcp(*at(full), 0.1)
            assert caught.value.limit == 0.1

        run(main)


def test_a_local_address_that_is_not_ours_is_a_connect_error(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with pytest.raises(errors.ConnectError) as caught:
            await backend.connect_tcp(*at(listener), LONG, local_address="192.0.2.1")
        assert caught.value.errno == errno.EADDRNOTAVAIL

    run(main)


def test_no_descriptor_left_in_the_system_is_a_connect_error(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
            with pytest.raises(errors.ConnectError) as caught:
                await backend.connect_tcp(*at(listener), LONG)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert caught.value.errno == errno.EMFILE

    run(main)


def test_a_unix_domain_socket_is_connected_by_its_path(run: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "socket")

    async def main(backend: Any) -> bytes:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            stream = await backend.connect_unix(path, LONG)
            with Peer(stream, listener.accept()[0]) as peer:
                assert stream.info().peer == path
                peer.sock.sendall(b"hello")
                return bytes(await stream.read(PIECE, LONG))

    assert run(main) == b"hello"


def test_unix_domain_socket_that_is_not_there_is_a_connect_error(run: Any, tmp_path: Any) -> None:
    async def main(backend: Any) -> None:
        with pytest.raises(errors.ConnectError) as caught:
            await backend.connect_unix(str(tmp_path / "nothing"), LONG)
        assert caught.value.errno == errno.ENOENT
        with pytest.raises(errors.ConnectError):
            await backend.connect_unix(str(tmp_path / ("long" * 100)), LONG)

    run(main)


def test_neither_success_nor_failure_leaves_a_descriptor(run: Any, listener: Any, tmp_path: Any) -> None:
    async def each(backend: Any) -> None:
        with await connect(backend, listener) as peer, pytest.raises(errors.ReadTimeout):
            await peer.stream.read(PIECE, 0)
        for attempt in (
            backend.connect_tcp(["127.0.0.1"], unused_port(), LONG),
            backend.connect_tcp(*at(listener), LONG, local_address="192.0.2.1"),
            backend.connect_tcp(*at(listener), LONG, socket_options=[(9999, 1, 1)]),
            backend.connect_unix(str(tmp_path / "nothing"), LONG),
        ):
            with pytest.raises(errors.ConnectError):
                await attempt
        await backend.sleep(0)

    async def main(backend: Any) -> None:
        await each(backend)
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(5):
            await each(backend)
        assert sorted(os.listdir("/proc/self/fd")) == before

    run(main)


# Other parts of a runtime.


def test_an_event_is_seen_before_and_after_or_times_out(run: Any) -> None:
    async def main(backend: Any) -> None:
        event = backend.event()
        assert await event.wait(SHORT) is False
        assert await event.wait(0) is False
        assert await event.wait(-1.0) is False
        event.set()
        event.set()
        assert await event.wait(0) is True
        assert await event.wait(None) is True
        assert await event.wait(LONG) is True

    run(main)


def test_blocking_work_gives_its_result_or_its_error(run: Any) -> None:
    async def main(backend: Any) -> None:
        assert await backend.run_blocking(lambda: 6 * 7) == 42
        with pytest.raises(ZeroDivisionError):
            await backend.run_blocking(lambda: 1 // 0)

    run(main)


def test_a_running_runtime_is_current_and_its_clock_goes_on(run: Any) -> None:
    async def main(backend: Any) -> None:
        assert backend.is_current()
        assert not backend.is_gone()
        before = backend.now()
        await backend.sleep(SHORT)
        assert backend.now() - before >= SHORT * 0.9

    run(main)


# The write that never waits.


def test_give_writes_as_much_as_fits_and_never_waits(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> tuple[list[int], int]:
        with await connect(backend, listener) as peer:
            given = [peer.stream.give(b"hello")]
            while given[-1]:
                given.append(peer.stream.give(bytes(PIECE)))
            found = 0
            while found < sum(given):
                found += len(peer.sock.recv(1 << 20))
            return given, found

    given, found = run(main)
    assert given[0] == 5
    assert given[-1] == 0
    assert found == sum(given) > PIECE


def test_give_on_a_broken_stream_takes_nothing_and_write_raises(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            peer.reset()
            while peer.stream.give(b"x"):
                await backend.sleep(0.001)
            with pytest.raises(errors.WriteError):
                await write_for_ever(peer.stream, LONG)
        assert peer.stream.give(b"x") == 0

    run(main)


# Two calls at once.


async def at_once(backend: Any, *calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run the calls in tasks or threads, each a moment after the previous one. Return a list of their results or
    errors.
    """
    results: list[Any] = [None] * len(calls)

    async def one(at: int, call: Callable[[], Awaitable[Any]]) -> None:
        await backend.sleep(at * 3 * SHORT)
        try:
            results[at] = await call()
        except errors.HTTPCoreError as error:
            results[at] = error

    if backend.name == "trio":
        import trio

        async with trio.open_nursery() as nursery:
            for at_, call in enumerate(calls):
                nursery.start_soon(one, at_, call)
    elif backend.name == "asyncio":
        import asyncio

        await asyncio.gather(*[one(at_, call) for at_, call in enumerate(calls)])
    else:
        coroutines: list[Any] = [one(at_, call) for at_, call in enumerate(calls)]
        threads = [threading.Thread(target=lambda it=it: it.send(None), daemon=True) for it in coroutines]
        before, threading.excepthook = threading.excepthook, lambda _: None  # each thread ends with StopIteration
        try:
            for running in threads:
                running.start()
            for running in threads:
                running.join(LONG)
                assert not running.is_alive()
        finally:
            threading.excepthook = before
    return results


def test_a_second_reader_is_refused_and_the_first_gets_its_bytes(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:

            async def late() -> bytes | None:
                peer.sock.sendall(b"for the first")
                return None

            def read() -> Awaitable[Any]:
                return peer.stream.read(PIECE, LONG)  # type: ignore[no-any-return]

            first, second, third, _ = await at_once(backend, read, read, read, late)
            assert first == b"for the first"
            for error in (second, third):
                assert isinstance(error, errors.ResponseBusy)
                assert "another task or thread is reading" in str(error)
                assert error.peer == peer.stream.info().peer

    run(main)


@pytest.mark.parametrize("duplex", [True, False], ids=["duplex", "listening"])
def test_a_second_writer_is_refused_and_the_first_times_out(run: Any, listener: Any, duplex: bool) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:

            def write() -> Awaitable[Any]:
                return write_for_ever(peer.stream, 20 * SHORT, duplex=duplex)

            first, second = await at_once(backend, write, write)
            assert isinstance(first, errors.WriteTimeout)
            if backend.name != "threads":  # two threads may wait, each with its own timeout, unless both listen
                assert isinstance(second, errors.ResponseBusy)
                assert "another task or thread is writing" in str(second)
            else:
                assert isinstance(second, errors.WriteTimeout if duplex else errors.ResponseBusy)

    run(main)


def test_take_and_give_are_quiet_while_another_waits(run: Any, listener: Any) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:

            async def take() -> Any:
                done = [peer.stream.take(), peer.stream.give(b"x")]
                peer.sock.sendall(b"answer")
                return done

            read, taken = await at_once(backend, lambda: peer.stream.read(PIECE, LONG), take)
            assert read == b"answer"
            assert taken == [None, 1]

    run(main)


async def fill(backend: Any, stream: Any) -> None:
    """Send until there is no room, and the system makes no more room by moving bytes to the peer."""
    empty = 0
    while empty < 5:
        if stream.give(bytes(PIECE)):
            empty = 0
        else:
            empty += 1
            await backend.sleep(SHORT)


@pytest.mark.parametrize("limit", [LONG, None])
def test_wake_ends_a_wait_as_if_its_time_were_over(run: Any, listener: Any, limit: float | None) -> None:
    async def main(backend: Any) -> None:
        with await connect(backend, listener) as peer:
            assert peer.stream.can_wake is (backend.name != "threads")
            if not peer.stream.can_wake:
                peer.stream.wake()
                return

            async def wake() -> None:
                peer.stream.wake()

            async def wake_in_a_thread() -> None:
                await backend.run_blocking(peer.stream.wake)

            def read() -> Awaitable[Any]:
                return peer.stream.read(PIECE, limit)  # type: ignore[no-any-return]

            async def write() -> None:
                await peer.stream.write_some(bytes(PIECE), limit, duplex=True)

            await fill(backend, peer.stream)
            for waker in (wake, wake_in_a_thread):
                before = backend.now()
                reader, writer, _ = await at_once(backend, read, write, waker)
                assert isinstance(reader, errors.ReadTimeout)
                assert isinstance(writer, errors.WriteTimeout)
                assert backend.now() - before < LONG / 2
            peer.stream.wake()  # no call waits
            peer.sock.sendall(b"after")
            assert await peer.stream.read(PIECE, limit) == b"after"

    run(main)
