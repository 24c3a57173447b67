"""The deterministic runtime keeps the promises of base.py, repeats the run of a seed, and names a deadlock."""

from __future__ import annotations

import errno
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from httpcore import testing
from httpcore._backends.base import PIECE, Backend, Stream
from httpcore._errors import ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout
from httpcore.testing import Cancelled, Deadlock, PeerGone, ServerEnd, scheduler
from httpcore.testing import Simulation as Runtime
from httpcore.testing import at_every_await as at_every_point
from httpcore.testing.simulation import running_backend

Body = Callable[[Stream, ServerEnd], Coroutine[Any, Any, None]]


def joined(body: Body, runtime: Runtime | None = None, **place: Any) -> Runtime:
    """Run `body` with both ends of one connection."""
    runtime = runtime or Runtime()
    ends: list[ServerEnd] = []

    async def hold(peer: ServerEnd) -> None:
        ends.append(peer)
        await runtime.event().wait(None)

    async def main() -> None:
        stream = await runtime.backend().connect_tcp(["a.test"], 80, 5.0)
        await runtime.sleep(0)
        await body(stream, ends[0])

    runtime.listen("a.test", 80, hold, **place)
    runtime.run(main())
    return runtime


async def write_all(stream: Stream, data: bytes, timeout: float | None = 5.0) -> None:
    while data:
        data = data[await stream.write_some(data, timeout, duplex=True) :]


# The clock and the scheduler.


def test_the_clock_jumps_to_the_next_timer() -> None:
    runtime = Runtime()
    seen: list[float] = []

    async def sleep_and_record(seconds: float) -> None:
        await runtime.sleep(seconds)
        seen.append(runtime.backend().now())

    async def main() -> None:
        for seconds in (3600.0, 0.5, 20.0):
            runtime.spawn(sleep_and_record(seconds))
        await runtime.sleep(4000.0)

    runtime.run(main())
    assert seen == [0.5, 20.0, 3600.0]
    assert runtime.now == 4000.0


def order_of_turns(seed: int, shuffle: bool) -> list[str]:
    runtime = Runtime(seed, shuffle=shuffle)
    order: list[str] = []

    async def take_turns(name: str) -> None:
        for _ in range(4):
            order.append(name)
            await runtime.sleep(0)

    async def main() -> None:
        tasks = [runtime.spawn(take_turns(name)) for name in "abcd"]
        for task in tasks:
            await task.wait()

    runtime.run(main())
    return order


def test_without_shuffle_tasks_take_turns() -> None:
    assert order_of_turns(0, shuffle=False) == list("abcd" * 4)
    assert order_of_turns(7, shuffle=False) == list("abcd" * 4)


def test_the_same_seed_plays_the_same_schedule_and_seeds_differ() -> None:
    schedules = [order_of_turns(seed, shuffle=True) for seed in range(10)]
    assert schedules == [order_of_turns(seed, shuffle=True) for seed in range(10)]
    assert len({tuple(schedule) for schedule in schedules}) > 5
    assert all(sorted(schedule) == sorted("abcd" * 4) for schedule in schedules)


def test_a_deadlock_names_each_task_and_its_wait() -> None:
    runtime = Runtime(seed=12)

    async def stuck() -> None:
        await runtime.backend().event().wait(None)

    async def main() -> None:
        await runtime.spawn(stuck(), "the reader").wait()

    with pytest.raises(Deadlock) as caught:
        runtime.run(main())
    assert "seed 12" in str(caught.value)
    assert "main waits for the end of the reader" in str(caught.value)
    assert "the reader waits for an event" in str(caught.value)


def test_turns_without_end_are_a_deadlock_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # A smaller bound keeps the test fast.
    monkeypatch.setattr(scheduler, "_TURNS", 1000)
    runtime = Runtime()

    async def main() -> None:
        while True:
            await runtime.sleep(0)

    with pytest.raises(Deadlock, match="no end after 1,000 turns"):
        runtime.run(main())


def test_the_failure_of_an_unobserved_task_fails_the_run() -> None:
    runtime = Runtime()

    async def fail() -> None:
        raise ValueError("lost?")

    async def main(look: bool) -> None:
        task = runtime.spawn(fail())
        await task.wait()
        if look:
            assert isinstance(task.error, ValueError)
            with pytest.raises(ValueError, match="lost"):
                task.result()

    with pytest.raises(ValueError, match="lost"):
        runtime.run(main(look=False))
    runtime = Runtime()
    runtime.run(main(look=True))


def test_a_deadlock_after_a_failed_server_names_the_server() -> None:
    async def serve(peer: ServerEnd) -> None:
        peer.connection.cut()
        raise ValueError("bad script")

    async def main() -> None:
        stream = await runtime.backend().connect_tcp(["a.test"], 80, None)
        await stream.read(10, None)

    runtime = Runtime()
    runtime.listen("a.test", 80, serve)
    with pytest.raises(Deadlock) as caught:
        runtime.run(main())
    assert "ValueError: bad script" in "".join(caught.value.__notes__)


def test_a_timer_that_is_not_needed_does_not_move_the_clock() -> None:
    runtime = Runtime()
    event = runtime.event()

    async def serve(peer: ServerEnd) -> None:
        pass

    async def main() -> None:
        task = runtime.spawn(event.wait(100.0))
        with pytest.raises(ConnectTimeout):
            await runtime.backend().connect_tcp(["a.test"], 80, 1.0)
        event.set()
        await task.wait()
        await runtime.event().wait(None)

    runtime.listen("a.test", 80, serve, connect_delay=50.0)
    with pytest.raises(Deadlock):
        runtime.run(main())
    assert runtime.now == 1.0


def test_result_before_the_end_is_an_error() -> None:
    runtime = Runtime()

    async def main() -> None:
        task = runtime.spawn(runtime.sleep(1.0), "nap")
        with pytest.raises(RuntimeError, match="nap is not done"):
            task.result()
        await task.wait()
        assert task.result() is None

    runtime.run(main())


def test_a_runtime_runs_once_and_is_current_only_meanwhile() -> None:
    runtime = Runtime()
    backend = runtime.backend()

    async def main() -> Backend | None:
        assert backend.is_current()
        assert not backend.is_gone()
        assert not other.backend().is_current()
        return running_backend()

    async def outer() -> None:
        assert runtime.run(main()) is backend
        assert running_backend() is other.backend()

    other = Runtime()
    assert running_backend() is None
    other.run(outer())
    assert running_backend() is None
    assert backend.name == "simulation"
    assert backend.is_gone()
    assert not backend.is_current()
    with pytest.raises(RuntimeError, match="has already run"):
        runtime.run(main())


def test_an_await_of_another_runtime_is_named() -> None:
    class ForeignAwaitable:
        def __await__(self) -> Any:
            yield self

    async def main() -> None:
        await ForeignAwaitable()

    with pytest.raises(RuntimeError, match=r"ForeignAwaitable object.*does not belong to this simulation"):
        Runtime().run(main())

    other = Runtime()
    with pytest.raises(RuntimeError, match=r"outside of Simulation\.run"):
        other.sleep(1.0).send(None)


def test_run_blocking_calls_after_one_suspension() -> None:
    for checkpoints in (True, False):
        runtime = Runtime(checkpoints=checkpoints)

        async def main(runtime: Runtime = runtime) -> None:
            task = runtime.spawn(runtime.backend().run_blocking(lambda: 42))
            await task.wait()
            assert task.result() == 42
            assert task.suspensions == 1

        runtime.run(main())


def test_bad_settings_of_a_simulation_are_refused() -> None:
    with pytest.raises(ValueError, match="max_read is 0"):
        Runtime(max_read=0)
    with pytest.raises(ValueError, match="max_write is -1"):
        Runtime(max_write=-1)


# Events.


def test_an_event_is_set_once_for_all_waits_now_and_later() -> None:
    runtime = Runtime()
    event = runtime.backend().event()
    results: list[bool] = []

    async def wait() -> None:
        results.append(await event.wait(5.0))

    async def main() -> None:
        tasks = [runtime.spawn(wait()) for _ in range(3)]
        await runtime.sleep(1.0)
        event.set()
        for task in tasks:
            await task.wait()
        assert await event.wait(0.0)

    runtime.run(main())
    assert results == [True, True, True]
    assert runtime.now == 1.0


def test_event_times_out_and_a_flag_set_as_the_timer_fires_wins() -> None:
    runtime = Runtime()
    late, just = runtime.backend().event(), runtime.backend().event()

    async def sleep_and_set() -> None:
        await runtime.sleep(3.0)
        just.set()

    async def main() -> None:
        assert not await late.wait(2.0)
        assert runtime.now == 2.0
        runtime.spawn(sleep_and_set())
        waiter = runtime.spawn(just.wait(3.0))
        await waiter.wait()
        assert runtime.now == 5.0
        assert waiter.result()

    runtime.run(main())


# Cancelling tasks.


def test_cancel_throws_at_the_await_and_removes_the_timer() -> None:
    runtime = Runtime()

    async def main() -> None:
        task = runtime.spawn(runtime.sleep(100.0))
        await runtime.sleep(1.0)
        assert task.cancel()
        await task.wait()
        assert task.cancelled
        assert isinstance(task.error, Cancelled)
        assert not task.cancel()

    runtime.run(main())
    assert runtime.now == 1.0


def test_a_woken_task_can_be_cancelled_before_it_runs() -> None:
    runtime = Runtime()
    event = runtime.event()

    async def main() -> None:
        task = runtime.spawn(event.wait(None))
        await runtime.sleep(1.0)
        event.set()
        task.cancel()
        await task.wait()
        assert task.cancelled

    runtime.run(main())


def test_a_task_cancelled_before_its_first_turn_never_runs() -> None:
    runtime = Runtime()
    ran: list[bool] = []

    async def run() -> None:
        ran.append(True)

    async def main() -> None:
        task = runtime.spawn(run())
        task.cancel()
        await task.wait()
        assert task.cancelled

    runtime.run(main())
    assert ran == []


def test_a_task_that_cancels_itself_ends_at_its_next_await() -> None:
    runtime = Runtime()
    reached: list[int] = []

    async def victim() -> None:
        tasks[0].cancel()
        reached.append(1)
        await runtime.event().wait(None)
        reached.append(2)

    async def main() -> None:
        tasks.append(runtime.spawn(victim()))
        await tasks[0].wait()
        assert tasks[0].cancelled

    tasks: list[testing.Task[None]] = []
    runtime.run(main())
    assert reached == [1]


def test_a_swallowed_cancellation_fails_the_run() -> None:
    runtime = Runtime()

    async def swallow() -> str:
        try:
            await runtime.sleep(1.0)
        except BaseException:
            return "as if nothing had happened"
        return ""

    async def main() -> None:
        task = runtime.spawn(swallow(), "glutton")
        await runtime.sleep(0)
        task.cancel()
        await task.wait()

    with pytest.raises(AssertionError, match="glutton was cancelled and returned"):
        runtime.run(main())


def test_clean_up_that_waits_can_be_cancelled_again() -> None:
    runtime = Runtime()

    async def linger() -> None:
        try:
            await runtime.sleep(1.0)
        finally:
            await runtime.sleep(50.0)

    async def main() -> None:
        task = runtime.spawn(linger())
        await runtime.sleep(0)
        task.cancel()
        await runtime.sleep(2.0)
        assert not task.done
        assert any("50 s to pass" in what for what in task.lingered)
        task.cancel()
        await task.wait()
        assert task.cancelled

    runtime.run(main())
    assert runtime.now == 2.0


def test_tasks_left_when_main_ends_are_cancelled() -> None:
    runtime = Runtime()
    ends: list[str] = []

    async def left() -> None:
        try:
            await runtime.event().wait(None)
        except Cancelled:
            ends.append("cancelled")
            raise

    async def main() -> None:
        runtime.spawn(left())
        runtime.spawn(left())
        await runtime.sleep(0)
        late.append(runtime.spawn(left()))

    late: list[testing.Task[None]] = []
    runtime.run(main())
    assert ends == ["cancelled", "cancelled"]
    assert late[0].cancelled


# Connecting.


@pytest.mark.parametrize(
    ("host", "port", "number"),
    [
        ("refuses.test", 80, errno.ECONNREFUSED),
        ("a.test", 81, errno.ECONNREFUSED),
        ("192.0.2.1", 80, errno.EHOSTUNREACH),
    ],
)
def test_a_failed_connect_has_its_reason(host: str, port: int, number: int) -> None:
    runtime = Runtime()

    async def serve(peer: ServerEnd) -> None:
        pass

    async def main() -> None:
        with pytest.raises(ConnectError) as caught:
            await runtime.backend().connect_tcp([host], port, 5.0)
        assert caught.value.errno == number
        assert host in str(caught.value)
        assert caught.value.peer == f"{host}:{port}"

    runtime.refuse("refuses.test", 80)
    runtime.listen("a.test", 80, serve)
    runtime.run(main())
    assert runtime.connections == []
    assert runtime.attempts == [(host, port)]


def test_a_connect_without_an_answer_times_out() -> None:
    runtime = Runtime()

    async def serve(peer: ServerEnd) -> None:
        pass

    async def main() -> None:
        for host in ("hole.test", "slow.test"):
            with pytest.raises(ConnectTimeout) as caught:
                await runtime.backend().connect_tcp([host], 80, 3.0)
            assert caught.value.limit == 3.0
            assert caught.value.peer == f"{host}:80"

    runtime.blackhole("hole.test", 80)
    runtime.listen("slow.test", 80, serve, connect_delay=3.1)
    runtime.run(main())
    assert runtime.now == 6.0
    assert runtime.connections == []


def test_a_connect_waits_its_delay_and_beats_the_timer() -> None:
    runtime = Runtime()

    async def serve(peer: ServerEnd) -> None:
        pass

    async def main() -> None:
        options = [(6, 1, 1)]
        await runtime.backend().connect_tcp(["a.test"], 80, 3.0, local_address="10.0.0.1", socket_options=options)

    runtime.listen("a.test", 80, serve, connect_delay=3.0)
    runtime.run(main())
    assert runtime.now == 3.0
    [connection] = runtime.connections
    assert connection.opened_at == 3.0
    assert connection.local_address == "10.0.0.1"
    assert connection.socket_options == ((6, 1, 1),)


def test_unix_sockets_are_places_without_a_port() -> None:
    runtime = Runtime()

    async def serve(peer: ServerEnd) -> None:
        await peer.send(b"hi")

    async def main() -> None:
        stream = await runtime.backend().connect_unix("/run/a.sock", 5.0)
        assert await stream.read(10, 5.0) == b"hi"
        assert stream.info().peer == "/run/a.sock"
        with pytest.raises(ConnectError) as caught:
            await runtime.backend().connect_unix("/run/b.sock", 5.0)
        assert caught.value.errno == errno.ENOENT

    runtime.listen("/run/a.sock", None, serve)
    runtime.run(main())


def test_an_address_of_ip_version_6_is_shown_in_brackets() -> None:
    runtime = Runtime()

    async def serve(peer: ServerEnd) -> None:
        pass

    async def main() -> None:
        stream = await runtime.backend().connect_tcp(["::1"], 80, 5.0)
        assert stream.info().peer == "[::1]:80"
        assert stream.info().tls is None
        stream.close()
        assert stream.info().peer == "[::1]:80"

    runtime.listen("::1", 80, serve)
    runtime.run(main())


# Reading.


def test_bytes_go_in_both_directions_and_the_end_is_empty_bytes() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        assert await stream.write_some(b"ping\r\n", 5.0) == 6
        assert await stream.flush(5.0)
        assert stream.owes is False
        assert stream.truncated is False
        assert await peer.recv_until(b"\r\n") == b"ping\r\n"
        await peer.send(b"pong")
        assert await stream.read(3, 5.0) == b"pon"
        assert await stream.read(3, 5.0) == b"g"
        peer.end()
        assert await stream.read(3, 5.0) == b""
        assert await stream.read(3, 5.0) == b""
        assert await stream.write_some(b"more", 5.0) == 4
        assert await peer.recv_exactly(4) == b"more"

    [connection] = joined(body).connections
    assert connection.sent == b"ping\r\nmore"
    assert connection.replied == b"pong"


def test_a_read_returns_at_most_a_piece() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await peer.send(b"x" * (PIECE + 10))
        assert len(await stream.read(10**9, 5.0)) == PIECE
        assert len(stream.take() or b"") == 10

    joined(body, window=2 * PIECE)


def test_reads_can_be_split_into_single_bytes() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await peer.send(b"abc")
        assert await stream.read(100, 5.0) == b"a"
        assert stream.take() == b"b"
        assert await stream.write_some(b"xyz", 5.0, duplex=True) == 2

    joined(body, Runtime(max_read=1, max_write=2))


def test_a_read_times_out_and_nothing_is_lost() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        with pytest.raises(ReadTimeout) as caught:
            await stream.read(10, 2.0)
        assert (caught.value.limit, caught.value.peer) == (2.0, "a.test:80")
        with pytest.raises(ReadTimeout):
            await stream.read(10, 0.0)
        await peer.send(b"late")
        assert await stream.read(10, 0.0) == b"late"

    assert joined(body).now == 2.0


@pytest.mark.parametrize("checkpoints", [True, False])
def test_data_that_is_there_when_the_timer_fires_wins(checkpoints: bool) -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await peer.send(b"just in time")  # it arrives 2.0 s later
        assert await stream.read(100, 2.0) == b"just in time"
        await peer.send(b"too late")
        with pytest.raises(ReadTimeout):
            await stream.read(100, 1.9)

    runtime = joined(body, Runtime(checkpoints=checkpoints), delay_back=2.0)
    assert runtime.now == 3.9


def test_after_skip_timer_and_data_are_due_at_once_and_data_wins() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await peer.send(b"late")
        reader = peer.scheduler.spawn(stream.read(10, 1.0))
        await peer.scheduler.sleep(0.5)
        peer.scheduler.skip(100.0)
        await reader.wait()
        assert reader.result() == b"late"

    joined(body, delay_back=2.0)


def test_two_readers_are_refused() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        first = peer.scheduler.spawn(stream.read(10, None))
        await peer.scheduler.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks read"):
            await stream.read(10, None)
        await peer.send(b"x")
        await first.wait()
        assert first.result() == b"x"

    joined(body)


def test_a_reset_gives_the_unread_bytes_first() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await peer.send(b"413")
        peer.reset()
        with pytest.raises(WriteError) as lost:
            await stream.write_some(b"x", 5.0)
        assert lost.value.errno == errno.ECONNRESET
        assert await stream.read(10, 5.0) == b"413"
        with pytest.raises(ReadError) as caught:
            await stream.read(10, 5.0)
        assert (caught.value.errno, caught.value.peer) == (errno.ECONNRESET, "a.test:80")
        with pytest.raises(ReadError, match="reset"):
            stream.take()

    joined(body)


def test_a_reset_that_discards_loses_the_unread_bytes() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await peer.send(b"413")
        peer.reset(discard=True)
        with pytest.raises(ReadError):
            await stream.read(10, 5.0)

    joined(body)


def test_take_distinguishes_no_data_from_the_end() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        assert stream.take() is None
        await peer.send(b"x")
        peer.close()
        assert stream.take() == b"x"
        assert stream.take() == b""
        stream.close()
        with pytest.raises(ReadError, match="closed on this side"):
            stream.take()

    joined(body)


def test_bytes_never_overtake_each_other() -> None:
    runtime = Runtime()

    async def serve(peer: ServerEnd) -> None:
        await peer.send(b"abcdef", piece=2, delay=1.0)
        peer.end()

    async def main() -> None:
        stream = await runtime.backend().connect_tcp(["a.test"], 80, 5.0)
        got = []
        while data := await stream.read(100, 5.0):
            got.append((runtime.now, data))
        assert got == [(0.25, b"ab"), (1.25, b"cd"), (2.25, b"ef")]

    runtime.listen("a.test", 80, serve, delay_back=0.25)
    runtime.run(main())


# Writing.


def test_a_writer_without_a_reader_waits_for_room() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        assert await stream.write_some(b"x" * (PIECE + 1), 5.0) == PIECE
        with pytest.raises(WriteTimeout) as caught:
            await stream.write_some(b"y", 2.0)
        assert (caught.value.limit, caught.value.peer) == (2.0, "a.test:80")
        writer = peer.scheduler.spawn(stream.write_some(b"yyy", None))
        await peer.scheduler.sleep(1.0)
        assert not writer.done
        assert len(await peer.recv(2)) == 2
        await writer.wait()
        assert writer.result() == 2

    [connection] = joined(body).connections
    assert connection.sent == b"x" * PIECE + b"yy"


def test_a_writer_stops_at_input_and_goes_on_when_it_was_read() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await write_all(stream, b"x" * PIECE)
        writer = peer.scheduler.spawn(stream.write_some(b"y", None))
        await peer.scheduler.sleep(1.0)
        await peer.send(b"413")
        await writer.wait()
        assert writer.result() == 0
        assert await stream.write_some(b"y", 5.0) == 0
        assert await stream.read(10, 5.0) == b"413"
        await peer.recv()
        assert await stream.write_some(b"y", 5.0) == 1

    joined(body)


def test_the_end_of_input_stops_a_writer_once() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        peer.end()
        assert await stream.write_some(b"y", 5.0) == 0
        assert await stream.read(10, 5.0) == b""
        assert await stream.write_some(b"y", 5.0) == 1

    joined(body)


def test_in_duplex_a_writer_leaves_the_input_alone() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await peer.send(b"input")
        assert await stream.write_some(b"x" * (PIECE + 1), 5.0, duplex=True) == PIECE
        with pytest.raises(WriteTimeout):
            await stream.write_some(b"y", 2.0, duplex=True)
        writer = peer.scheduler.spawn(stream.write_some(b"y", 2.0, duplex=True))
        await peer.send(b"more")
        assert await stream.read(20, 5.0) == b"inputmore"
        await writer.wait()
        assert isinstance(writer.error, WriteTimeout)
        assert writer.suspensions == 2  # its first turn and one wait: input did not wake it

    joined(body)


def test_any_buffer_can_be_written() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        assert await stream.write_some(bytearray(b"ab"), 5.0) == 2
        assert await stream.write_some(memoryview(b"xcdx")[1:3], 5.0) == 2
        assert await stream.write_some(b"", 5.0) == 0
        assert await peer.recv() == b"abcd"

    joined(body)


def test_end_is_a_half_close() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await stream.write_some(b"last", 5.0)
        await stream.end(5.0)
        await stream.end(5.0)
        assert not peer.eof
        assert await peer.recv() == b"last"
        assert await peer.recv() == b""
        assert peer.eof
        await peer.send(b"answer")
        assert await stream.read(10, 5.0) == b"answer"
        with pytest.raises(WriteError) as caught:
            await stream.write_some(b"x", 5.0)
        assert caught.value.errno == errno.EPIPE

    joined(body)


def test_a_write_to_a_closed_peer_works_once_and_then_is_reset() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await write_all(stream, b"x" * PIECE)
        await peer.send(b"413")
        peer.close()
        assert await stream.write_some(b"y", 5.0, duplex=True) == 1  # the byte arrives at a closed socket
        with pytest.raises(WriteError):
            await stream.write_some(b"z", 5.0, duplex=True)
        assert await stream.read(10, 5.0) == b"413"
        assert await stream.read(10, 5.0) == b""

    joined(body)


def test_a_reader_may_run_beside_a_writer_but_no_second_writer() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        runtime = peer.scheduler
        await write_all(stream, b"x" * PIECE)
        reader = runtime.spawn(stream.read(10, None))
        writer = runtime.spawn(stream.write_some(b"y", None, duplex=True))
        await runtime.sleep(1.0)
        with pytest.raises(RuntimeError, match="two tasks write"):
            await stream.write_some(b"z", None)
        await peer.recv()
        await peer.send(b"r")
        await reader.wait()
        await writer.wait()
        assert (reader.result(), writer.result()) == (b"r", 1)

    joined(body)


# Closing.


def test_close_ends_the_calls_that_wait_and_the_server_sees_end() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        runtime = peer.scheduler
        await write_all(stream, b"x" * PIECE)
        reader = runtime.spawn(stream.read(10, None))
        writer = runtime.spawn(stream.write_some(b"y", None))
        await runtime.sleep(1.0)
        stream.close()
        stream.close()
        await reader.wait()
        await writer.wait()
        assert isinstance(reader.error, ReadError)
        assert isinstance(writer.error, WriteError)
        for call in (stream.read(1, 5.0), stream.write_some(b"y", 5.0), stream.flush(5.0), stream.end(5.0)):
            with pytest.raises((ReadError, WriteError), match="closed on this side"):
                await call
        assert len(await peer.recv()) == PIECE
        assert await peer.recv() == b""
        await peer.send(b"to no reader")
        with pytest.raises(PeerGone):
            await peer.send(b"again")

    runtime = joined(body)
    [connection] = runtime.connections
    assert connection.client_closed
    assert connection.closed_by == "client"
    assert runtime.open_connections == []


def test_the_first_close_is_kept_and_open_ends_are_listed() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        peer.close()

    runtime = joined(body)
    assert runtime.connections[0].closed_by == "server"
    assert runtime.open_connections == runtime.connections


def test_close_after_the_runtime_has_gone_is_quiet() -> None:
    streams: list[Stream] = []

    async def body(stream: Stream, peer: ServerEnd) -> None:
        streams.append(stream)

    runtime = joined(body)
    streams[0].close()
    assert runtime.open_connections == []


def test_abandon_is_not_noticed_by_the_peer() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        reader = peer.scheduler.spawn(stream.read(10, None))
        await peer.scheduler.sleep(1.0)
        stream.abandon()
        await reader.wait()
        assert isinstance(reader.error, ReadError)
        await peer.send(b"x")
        await peer.send(b"y")
        assert not peer.eof
        with pytest.raises(ReadError, match="closed on this side"):
            stream.take()

    [connection] = joined(body).connections
    assert connection.abandoned
    assert not connection.client_closed


# Watching.


def test_watcher_is_called_for_input_or_the_end_without_a_reader() -> None:
    calls: list[float] = []

    async def body(stream: Stream, peer: ServerEnd) -> None:
        runtime = peer.scheduler
        assert stream.watch(lambda: calls.append(runtime.now))
        await runtime.sleep(1.0)
        await peer.send(b"x")
        await runtime.sleep(1.0)
        assert calls == [1.0]
        stream.take()
        reader = runtime.spawn(stream.read(10, None))
        await runtime.sleep(1.0)
        await peer.send(b"for the reader")
        await reader.wait()
        assert calls == [1.0]
        peer.end()
        await runtime.sleep(1.0)
        assert calls == [1.0, 3.0]
        assert stream.watch(None)
        peer.connection.reset()
        await runtime.sleep(1.0)
        assert calls == [1.0, 3.0]

    joined(body)


def test_a_closed_stream_calls_no_watcher() -> None:
    calls: list[bool] = []

    async def body(stream: Stream, peer: ServerEnd) -> None:
        stream.watch(lambda: calls.append(True))
        await peer.send(b"x")
        stream.close()
        await peer.scheduler.sleep(1.0)

    joined(body)
    assert calls == []


def test_a_watcher_that_fails_fails_the_run_and_ends_the_tasks() -> None:
    ends: list[BaseException] = []

    async def body(stream: Stream, peer: ServerEnd) -> None:
        stream.watch(lambda: [].pop())
        await peer.send(b"x")
        try:
            await peer.scheduler.sleep(1.0)
        except Cancelled as error:
            ends.append(error)
            raise

    with pytest.raises(IndexError):
        joined(body)
    assert len(ends) == 1
    assert running_backend() is None


def test_a_runtime_without_watches_returns_false() -> None:
    calls: list[bool] = []

    async def body(stream: Stream, peer: ServerEnd) -> None:
        assert not stream.watch(lambda: calls.append(True))
        await peer.send(b"x")
        await peer.scheduler.sleep(1.0)

    joined(body, Runtime(watches=False))
    assert calls == []


# Faults.


def test_after_a_cut_bytes_vanish_in_both_directions() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await peer.send(b"under way")
        runtime.cut()
        with pytest.raises(ReadTimeout):
            await stream.read(10, 5.0)
        await write_all(stream, b"x" * PIECE)
        with pytest.raises(WriteTimeout):  # no acknowledgement arrives, so the window stays full
            await stream.write_some(b"y", 5.0)
        with pytest.raises(ConnectTimeout):
            await runtime.backend().connect_tcp(["a.test"], 80, 5.0)
        assert stream.take() is None
        reader = runtime.spawn(peer.recv())
        await runtime.sleep(1.0)
        assert not reader.done

    runtime = Runtime()
    joined(body, runtime, delay_back=1.0)
    assert runtime.now == 16.0


def test_a_cut_of_one_host_leaves_the_others() -> None:
    runtime = Runtime()

    async def echo(peer: ServerEnd) -> None:
        while data := await peer.recv():
            await peer.send(data)

    async def main() -> None:
        a = await runtime.backend().connect_tcp(["a.test"], 80, 5.0)
        b = await runtime.backend().connect_tcp(["b.test"], 80, 5.0)
        runtime.cut("a.test")
        await a.write_some(b"x", 5.0)
        await b.write_some(b"x", 5.0)
        assert await b.read(1, 5.0) == b"x"
        with pytest.raises(ReadTimeout):
            await a.read(1, 5.0)

    runtime.listen("a.test", 80, echo)
    runtime.listen("b.test", 80, echo)
    runtime.run(main())


def test_a_connection_can_be_reset_for_both_ends() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        writer = peer.scheduler.spawn(stream.read(10, None))
        await peer.scheduler.sleep(1.0)
        peer.connection.reset()
        await writer.wait()
        assert isinstance(writer.error, ReadError)
        with pytest.raises(PeerGone):
            await peer.recv()
        with pytest.raises(PeerGone):
            await peer.send(b"x")

    joined(body)


def test_a_reset_takes_its_time_too() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        peer.connection.reset()
        assert await stream.write_some(b"x", 5.0) == 1
        with pytest.raises(ReadError) as caught:
            await stream.read(10, 5.0)
        assert caught.value.errno == errno.ECONNRESET
        assert peer.scheduler.now == 2.0

    joined(body, delay_there=2.0, delay_back=2.0)


def test_nothing_arrives_after_a_reset() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        peer.connection.reset()
        await peer.send(b"x")  # the server has not received it yet
        peer.end()
        with pytest.raises(ReadError):
            await stream.read(10, 5.0)
        with pytest.raises(ReadError, match="reset"):
            stream.take()

    joined(body, delay_there=2.0)


def test_a_server_that_reset_sends_no_more() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        peer.reset()
        peer.reset()
        peer.close()
        with pytest.raises(PeerGone, match="closed on this side"):
            await peer.send(b"x")
        with pytest.raises(PeerGone, match="closed on this side"):
            await peer.recv()

    [connection] = joined(body).connections
    assert connection.server_closed
    assert connection.replied == b""


def test_a_server_that_waits_for_room_gets_the_reset() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        sender = peer.scheduler.spawn(peer.send(b"x" * 2 * PIECE))
        await peer.scheduler.sleep(1.0)
        assert not sender.done
        stream.close()
        await sender.wait()  # closing made room, and later bytes were answered with RST
        with pytest.raises(PeerGone):
            await peer.send(b"more")
        assert sender.error is None or isinstance(sender.error, PeerGone)

    async def broken(stream: Stream, peer: ServerEnd) -> None:
        sender = peer.scheduler.spawn(peer.send(b"x" * 2 * PIECE))
        await peer.scheduler.sleep(1.0)
        peer.connection.reset()
        await sender.wait()
        assert isinstance(sender.error, PeerGone)

    async def answered(stream: Stream, peer: ServerEnd) -> None:
        sender = peer.scheduler.spawn(peer.send(b"x" * 2 * PIECE))
        await peer.scheduler.sleep(0.5)
        stream.close()
        await sender.wait()  # bytes in flight reached a closed socket
        assert isinstance(sender.error, PeerGone)
        assert peer.scheduler.now == 2.0

    joined(body)
    joined(broken)
    joined(answered, delay_there=1.0, delay_back=1.0)


def test_server_that_reads_too_much_learns_that_the_client_left() -> None:
    async def body(stream: Stream, peer: ServerEnd) -> None:
        await stream.write_some(b"GET / HT", 5.0)
        stream.close()
        with pytest.raises(PeerGone):
            await peer.recv_until(b"\r\n\r\n")
        with pytest.raises(PeerGone):
            await peer.recv_exactly(100)
        assert await peer.recv() == b"GET / HT"

    joined(body)


# At every point.


def fetching(checkpoints: bool, fetched: list[bytes]) -> Callable[[Runtime], Coroutine[Any, Any, None]]:
    """A client that sends a request and reads three pieces, from a server that answers slowly."""

    async def serve(peer: ServerEnd) -> None:
        await peer.recv_until(b"\n")
        await peer.send(b"abc", piece=1, delay=1.0)

    async def fetch(runtime: Runtime) -> bytes:
        stream = await runtime.backend().connect_tcp(["a.test"], 80, 5.0)
        try:
            await stream.write_some(b"please\n", 5.0)
            got = b""
            while data := await stream.read(100, 5.0):
                got += data
            return got
        finally:
            stream.close()

    async def scenario(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, serve, connect_delay=0.5)
        task = await runtime.victim(fetch(runtime))
        assert runtime.open_connections == []
        assert task.lingered == []
        if task.error is None:
            fetched.append(task.result())

    return scenario


@pytest.mark.parametrize("checkpoints", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_cancellation_at_every_point_leaves_no_socket_open(checkpoints: bool, seed: int) -> None:
    fetched: list[bytes] = []

    def make() -> Runtime:
        return Runtime(seed, shuffle=True, checkpoints=checkpoints)

    points = at_every_point(fetching(checkpoints, fetched), lambda runtime, victim: victim.cancel(), make=make)
    assert points >= (15 if checkpoints else 9)
    assert fetched == [b"abc"]  # only the run that counts the points was not cancelled


@pytest.mark.parametrize(
    ("act", "errors"),
    [
        (lambda runtime, victim: runtime.cut(), (ConnectTimeout, ReadTimeout)),
        (lambda runtime, victim: runtime.skip(10.0), (ConnectTimeout, ReadTimeout)),
        (lambda runtime, victim: [c.reset() for c in runtime.connections], (ReadError, WriteError)),
        (lambda runtime, victim: runtime.refuse("a.test", 80), (ConnectError,)),
    ],
    ids=["cut", "time out", "reset", "refuse"],
)
def test_a_fault_at_every_point_ends_as_an_error_or_whole(
    act: testing.Strike, errors: tuple[type[Exception], ...]
) -> None:
    ends: list[object] = []

    def note(runtime: Runtime, victim: testing.Task[Any]) -> None:
        ends.append(victim)
        act(runtime, victim)

    fetched: list[bytes] = []
    points = at_every_point(fetching(True, fetched), note)
    assert len(ends) == points
    assert set(fetched) == {b"abc"}
    failures = [victim.error for victim in ends if isinstance(victim, testing.Task) and victim.error is not None]
    assert failures
    assert all(isinstance(failure, errors) for failure in failures)
    assert len(failures) + len(fetched) == points + 1


def test_a_leak_is_found_and_the_note_names_the_moment() -> None:
    async def serve(peer: ServerEnd) -> None:
        await peer.recv()

    async def leaky(runtime: Runtime) -> None:
        stream = await runtime.backend().connect_tcp(["a.test"], 80, 5.0)
        await stream.write_some(b"x", 5.0)  # a cancellation here leaks the stream
        stream.close()

    async def scenario(runtime: Runtime) -> None:
        runtime.listen("a.test", 80, serve)
        await runtime.victim(leaky(runtime))
        assert runtime.open_connections == []

    with pytest.raises(AssertionError) as caught:
        at_every_point(scenario, lambda runtime, victim: victim.cancel())
    assert any("wait for a turn, before room to write to a.test:80; seed 0" in note for note in caught.value.__notes__)


def test_a_grant_that_arrives_with_the_cancellation_is_tried() -> None:
    """The moment just before the victim continues: the awaited event has already happened."""
    granted_and_cancelled: list[bool] = []

    async def scenario(runtime: Runtime) -> None:
        event = runtime.event()

        async def grant() -> None:
            await runtime.sleep(1.0)
            granted.append(True)
            event.set()

        async def wait() -> None:
            try:
                await event.wait(None)
            except Cancelled:
                granted_and_cancelled.append(bool(granted))
                raise

        granted: list[bool] = []
        runtime.spawn(grant())
        await runtime.victim(wait())

    at_every_point(scenario, lambda runtime, victim: victim.cancel())
    assert True in granted_and_cancelled
    assert False in granted_and_cancelled


def test_the_second_act_hits_the_clean_up_of_the_first() -> None:
    cleaned: list[str] = []

    async def scenario(runtime: Runtime) -> None:
        async def wait() -> None:
            try:
                await runtime.sleep(1.0)
            finally:
                try:
                    await runtime.sleep(1.0)
                    cleaned.append("in peace")
                except Cancelled:
                    cleaned.append("cancelled again")
                    raise

        await runtime.victim(wait())

    at_every_point(scenario, lambda runtime, victim: victim.cancel(), times=2)
    assert "cancelled again" in cleaned
    cleaned.clear()
    at_every_point(scenario, lambda runtime, victim: victim.cancel(), times=1)
    assert "in peace" in cleaned


def test_a_scenario_without_one_victim_is_refused() -> None:
    async def nothing(runtime: Runtime) -> None:
        await runtime.sleep(1.0)

    with pytest.raises(AssertionError, match="no victim"):
        at_every_point(nothing, lambda runtime, victim: victim.cancel())

    runs: list[int] = []

    async def unstable(runtime: Runtime) -> None:
        runs.append(1)
        await runtime.victim(runtime.sleep(1.0 if len(runs) == 1 else 0.0))

    with pytest.raises(AssertionError, match="two runs of the scenario differ"):
        at_every_point(unstable, lambda runtime, victim: None)


def test_event_set_just_before_its_waiter_goes_on_wakes_it_once() -> None:
    events: list[Any] = []

    async def scenario(runtime: Runtime) -> None:
        async def wait() -> None:
            events.append(runtime.event())
            await events[-1].wait(1.0)

        victim = await runtime.victim(wait())
        await runtime.sleep(1.0)
        assert victim.error is None

    assert at_every_point(scenario, lambda runtime, victim: events[-1].set() if events else None) == 5
