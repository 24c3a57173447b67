"""The resources that an idle event stream keeps in a gateway: bytes, tasks and timers, counted exactly, in the test's
own loop.

The server in front keeps further memory (`scripts/bench 1 "event streams"`). Other tests check that each stream has its
own times, although all share one timer.
"""

from __future__ import annotations

import asyncio
import gc
import math
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import pytest
from asgi_front import Client, Peer, gateway, http, in_loop

import httpcore
from httpcore.gateway import Gateway, Timeouts
from httpcore.gateway.watch import Rounds

PACKAGE = str(Path(httpcore.__file__).parent)
EVENT = b"data: 1\n\n"
STREAMS = 50


async def idle(peer: Peer) -> None:
    """Begins a stream with one event, and then sends nothing."""
    if await peer.head():
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        await peer.send(head + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await peer.rest()


@asynccontextmanager
async def streams(app: Gateway, count: int) -> AsyncIterator[list[Client]]:
    """`count` streams, each of which is watched for its client's disconnect and for its timeouts."""
    clients = [Client(app, http()) for _ in range(count)]
    for client in clients:
        await client.until("http.response.body")
    await asyncio.sleep(0.03)  # two rounds, after which each is watched
    try:
        yield clients
    finally:
        for client in clients:
            client.say("http.disconnect")
            await client.end()


class Timers:
    """The timers that were set on a loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.handles: list[asyncio.TimerHandle] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        call_at = self.loop.call_at

        def noting(*given: object, **named: object) -> asyncio.TimerHandle:
            self.handles.append(call_at(*given, **named))  # type: ignore[arg-type]
            return self.handles[-1]

        self.loop.call_at = noting  # type: ignore[method-assign]
        try:
            yield
        finally:
            self.loop.call_at = call_at  # type: ignore[method-assign]

    @property
    def waiting(self) -> int:
        present = self.loop.time()
        return sum(not handle.cancelled() and handle.when() > present for handle in self.handles)


def ours() -> int:
    """Bytes that code of this package has allocated and that are still in use."""
    gc.collect()
    kept = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, f"{PACKAGE}/*")])
    return sum(trace.size for trace in kept.traces)


@pytest.mark.cpu_time  # coverage's trace function keeps objects of its own for each frame
@in_loop
async def test_an_idle_stream_keeps_less_than_9500_bytes_of_ours() -> None:
    """A stream once kept 10,560 bytes, with two empty deques, a timer of its own and a closure around `send`."""
    async with gateway(idle) as (app, _), streams(app, 5):
        tracemalloc.start()
        try:
            before = ours()
            async with streams(app, STREAMS):
                assert (ours() - before) / STREAMS < 9_500
        finally:
            tracemalloc.stop()


@in_loop
async def test_idle_streams_share_one_timer_and_have_one_task_each() -> None:
    timers = Timers()
    async with gateway(idle, timeouts=Timeouts(connect=None, first_byte=20, idle=30, total=40)) as (app, _):
        with timers.noted():
            async with streams(app, STREAMS):
                assert timers.waiting == 1
                watching = [task for task in asyncio.all_tasks() if "Watch." in repr(task.get_coro())]
                assert len(watching) == STREAMS


@in_loop
async def test_each_stream_ends_when_its_own_time_is_over() -> None:
    """The streams are cut at their own times, in the order in which they began."""
    ends: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()

    async def one(app: Gateway, number: int) -> None:
        client = Client(app, http())
        began = loop.time()
        await client.end()
        assert not client.is_whole
        ends.append((number, loop.time() - began))

    async with gateway(idle, timeouts=Timeouts(idle=0.15)) as (app, _):
        running = []
        for number in range(5):
            running.append(asyncio.ensure_future(one(app, number)))
            await asyncio.sleep(0.02)
        await asyncio.gather(*running)
    assert [number for number, _ in ends] == [0, 1, 2, 3, 4]
    assert min(took for _, took in ends) >= 0.15


# The timer that all share, on a clock of the test's own.


class Clock:
    """The part of a loop that `Rounds` needs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.late = 0.0
        self.calls: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, call: Callable[[], object]) -> Handle:
        self.calls.append((at, call))
        return Handle(self, self.calls[-1])

    def call_later(self, seconds: float, call: Callable[[], object]) -> Handle:
        return self.call_at(self.now + seconds + self.late, call)

    def run(self, until: float) -> None:
        while self.calls and min(self.calls, key=itemgetter(0))[0] <= until:
            at, call = min(self.calls, key=itemgetter(0))
            self.calls.remove((at, call))
            self.now = at
            call()
        self.now = until


class Handle(NamedTuple):
    clock: Clock
    entry: tuple[float, Callable[[], object]]

    def cancel(self) -> None:
        if self.entry in self.clock.calls:
            self.clock.calls.remove(self.entry)


class DueEntry:
    """An entry to be checked, in the form that `Rounds` uses."""

    def __init__(self, rounds: Rounds, *times: float) -> None:
        self.rounds = rounds
        self.times = list(times)
        self.seen: list[float] = []
        self.due = math.inf
        self.set()

    def set(self) -> None:
        """Set the next time, instead of the current one."""
        if self.due != math.inf:
            self.rounds.forget()
        self.due = self.times.pop(0) if self.times else math.inf
        if self.due != math.inf:
            self.rounds.look_at(self.due, self)  # type: ignore[arg-type]

    def look(self) -> None:
        self.due = math.inf
        self.seen.append(self.rounds.loop.time())
        self.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rounds(clock: Clock) -> Rounds:
    return Rounds(clock)  # type: ignore[arg-type]


def test_each_due_item_is_checked_at_its_time(clock: Clock, rounds: Rounds) -> None:
    several = [
        DueEntry(rounds, 5, 9, 20),
        DueEntry(rounds, 3),
        DueEntry(rounds, 5),
        DueEntry(rounds),
        DueEntry(rounds, 1, 2, 3, 4),
    ]
    assert len(clock.calls) == 1
    clock.run(10)
    assert [each.seen for each in several] == [[5, 9], [3], [5], [], [1, 2, 3, 4]]
    assert [at for at, _ in clock.calls] == [20]


def test_a_replaced_time_is_not_checked_again(clock: Clock, rounds: Rounds) -> None:
    sooner, never = DueEntry(rounds, 5, 2), DueEntry(rounds, 4)
    sooner.set()
    never.set()
    clock.run(10)
    assert (sooner.seen, never.seen, clock.calls) == ([2], [], [])


def test_an_idle_stream_that_is_over_is_not_kept(clock: Clock, rounds: Rounds) -> None:
    """If entries of ended requests were kept, 1,000 requests in a second with a limit of a minute would keep 60,000 of
    them.
    """
    stay = [DueEntry(rounds, 60) for _ in range(50)]
    kept = []
    for _ in range(1000):
        over = DueEntry(rounds, 60)
        kept.append(weakref.ref(over))
        over.set()
        del over
    assert sum(each() is not None for each in kept) <= 101
    assert len(clock.calls) == 1
    clock.run(60)
    assert [each.seen for each in stay] == [[60]] * 50
    assert sum(each() is not None for each in kept) == 0


@pytest.mark.parametrize("moment", [0, 0.004, 0.009, 0.0091])
def test_a_request_is_watched_after_8_to_18_ms(moment: float, clock: Clock, rounds: Rounds) -> None:
    """The request may arrive at any moment of a round. The loop's timers are a millisecond late, like asyncio's."""
    clock.late = 0.001
    rounds.add(DueEntry(rounds))  # type: ignore[arg-type]
    clock.run(moment)
    request = DueEntry(rounds)
    rounds.add(request)  # type: ignore[arg-type]
    clock.run(1)
    assert 0.008 < request.seen[0] - moment < 0.0181
    assert clock.calls == []
