"""Ends a request whose client has left, or whose upstream takes too long. The one place that knows asyncio.

Most requests are over before anything is to be watched, so that each costs an entry in a list: all requests of a loop
share one timer (`Rounds`). What is still there after a round gets a task that waits for the client's leaving, and for
the timeouts that it has an entry in a heap, which has one timer, too: a stream may be idle for hours, and there may be
10,000 of them. Each timeout is enforced by cancelling the request's task, which the pool allows at every await.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from time import monotonic
from typing import Any, Final

from .messages import Message, Receive
from .settings import Timeouts

__all__ = ["Gate", "Lock", "Messages", "Rounds", "Watch", "later", "now", "pause", "start"]

Lock = asyncio.Lock

_TICK: Final = 0.001  # a timer of uvloop counts whole milliseconds

_ROUND: Final = 0.008
"""Seconds of a round, of which asyncio makes a millisecond more. A request is watched from the second one on, after 8
to 18 ms: leaving takes less than 20 ms.
"""
_STALE: Final = 100
"""Entries of a heap that may be stale whatever its size."""


def now() -> float:
    """The clock of asyncio's loops, in seconds, in a loop or outside."""
    return monotonic()


class Rounds:
    """Begins to watch the requests of one loop, by one timer that runs while there are any, and looks at them again
    when one of their times has come, by another. What either costs does not depend on how many are waiting.
    """

    __slots__ = ("_alarm", "_alarm_at", "_handle", "_new", "_numbers", "_seen", "_stale", "_times", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self._new: list[Watch] = []
        self._seen: list[Watch] = []
        self._handle: asyncio.TimerHandle | None = None
        # A heap. An entry whose watch is due at another time, or closed, is stale: those are removed when they come to
        # the top, or are more than half of all, so that no heap is searched for one.
        self._times: list[tuple[float, int, Watch]] = []
        self._numbers = count()  # what differs where times are the same
        self._stale = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf

    def add(self, watch: Watch) -> None:
        """Watch it after the next round, unless it is closed by then."""
        self._new.append(watch)
        if self._handle is None:
            self._handle = self.loop.call_later(_ROUND, self._turn)

    def _turn(self) -> None:
        # Two lists, so that each request is there for a whole round at least before it costs a task and a timer.
        seen, self._seen, self._new = self._seen, self._new, []
        self._handle = self.loop.call_later(_ROUND, self._turn) if self._seen else None
        for watch in seen:
            watch.look()

    def look_at(self, due: float, watch: Watch) -> None:
        """Look at it then, if it is due at that time."""
        heappush(self._times, (due, next(self._numbers), watch))
        if due < self._alarm_at:
            self._set(due)

    def forget(self) -> None:
        """One of the entries became stale."""
        self._stale += 1
        if self._stale > _STALE and 2 * self._stale > len(self._times):
            self._times = [entry for entry in self._times if entry[2].due == entry[0]]
            heapify(self._times)
            self._stale = 0

    def _ring(self) -> None:
        self._alarm_at = inf
        present = self.loop.time()
        while self._times and self._times[0][0] <= present:
            due, _, watch = heappop(self._times)
            if watch.due == due:
                watch.look()
            else:
                self._stale -= 1
        if self._times and self._times[0][0] < self._alarm_at:
            self._set(self._times[0][0])

    def _set(self, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = self.loop.call_at(at, self._ring)


class Watch:
    """Watches one request, in the task that made it, until `close`.

    Attributes:
        reason: why the task was cancelled: "left", "first_byte", "idle" or "total"; None where it was not.
        due: when `look` is to be called; infinite where it need not be.
    """

    __slots__ = ("_body_is_over", "_ends", "_is_closed", "_limit", "_looked", "_loop", "_name", "_reader", "_receive",
                 "_rounds", "_since", "_task", "_timeouts", "due", "reason")  # fmt: skip

    def __init__(self, rounds: Rounds, receive: Receive, timeouts: Timeouts, has_body: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._rounds = rounds
        self._loop = loop = rounds.loop
        self._receive = receive
        self._timeouts = timeouts
        self._body_is_over = not has_body
        self._looked = False
        self._is_closed = False  # or struck: nothing is watched any more
        self._reader: asyncio.Task[None] | None = None
        self.reason: str | None = None
        self._since = loop.time()
        self._ends = inf if timeouts.total is None else self._since + timeouts.total
        self._name = "first_byte"
        self._limit = None if has_body else timeouts.first_byte
        self.due: float = inf
        rounds.add(self)

    def body_is_over(self) -> None:
        """The client's body has been read, or nothing asks for it any more: from now on its leaving is waited for here,
        and the upstream's time runs.
        """
        if self._is_closed:
            return
        self._body_is_over = True
        if self._name == "first_byte":
            self._waits("first_byte", self._timeouts.first_byte)
        if self._looked:
            self._read()

    def on_body_read(self) -> None:
        """The client's body has been read while the request waits in the queue: its leaving is waited for, and no
        upstream's time runs yet.
        """
        self._body_is_over = True
        if self._looked:
            self._read()

    def admitted(self) -> None:
        """The request has left the queue, where `rests` kept the upstream's time from running: now it begins."""
        if self._body_is_over:
            self._waits("first_byte", self._timeouts.first_byte)

    def begins(self) -> None:
        """The head of the response is here. Until `waits` nothing is expected of the upstream."""
        self._name = "idle"
        self._limit = None

    def waits(self) -> None:
        """The next piece of the response is waited for."""
        self._waits("idle", self._timeouts.idle)

    def rests(self) -> None:
        """It has come, and goes to the client: however slowly that reads, the upstream's time does not run."""
        self._limit = None

    def left(self) -> None:
        """The client has left."""
        self.end("left")

    def close(self) -> None:
        """The request is over."""
        # First: what is cancelled below may run once more, and must find that there is nothing to end.
        self._is_closed = True
        self._set(inf)
        if self._reader is not None:
            self._reader.cancel()

    def forgive(self) -> bool:
        """Whether a cancellation that the task got was this one, which then counts no more."""
        if self.reason is None:
            return False
        # More than one cancellation is pending where the server has cancelled the task, too: that one counts.
        return self._task.uncancel() == 0

    def look(self) -> None:
        """The request has been there for a round or two, or a time may have run out."""
        self.due = inf
        if self._is_closed:
            return
        self._looked = True
        if self._body_is_over:
            self._read()
        present = self._loop.time()
        due = inf if self._limit is None else self._since + self._limit
        if self._ends <= present:
            self.end("total")
        elif due <= present:
            self.end(self._name)
        else:
            self._set(min(due, self._ends))

    def _waits(self, name: str, limit: float | None) -> None:
        self._name = name
        self._limit = limit
        self._since = self._loop.time()
        # A timer that fires too early costs less than to put it off for each piece.
        if self._looked and not self._is_closed and limit is not None and self._since + limit < self.due:
            self._set(self._since + limit)

    def _set(self, due: float) -> None:
        """Look again then, and not before."""
        if self.due != inf:
            self._rounds.forget()
        self.due = due
        if due != inf:
            self._rounds.look_at(due, self)

    def _read(self) -> None:
        if self._reader is None:
            self._reader = self._loop.create_task(self._wait())

    async def _wait(self) -> None:
        # One task at a time may call `receive`: this begins only when the body has been read.
        while (await self._receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass
        self.left()

    def end(self, reason: str) -> None:
        """Cancel the request."""
        if not self._is_closed:
            self._is_closed = True
            self.reason = reason
            self._set(inf)
            self._task.cancel()


class Messages:
    """The messages of an ASGI server, for one of which may be waited in steps.

    A wait that ends before its message has to leave `receive` alone: not all servers bear that it is cancelled. So once
    that may happen one task reads them all, each when it is asked for, which costs less than a task for each. All waits
    have one timer, which is set again when it fires too early.
    """

    __slots__ = ("_due", "_loop", "_next", "_reader", "_receive", "_room", "_timer", "_waiter")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader: asyncio.Task[None] | None = None
        self._next: Message | BaseException | None = None  # was read, and is not taken yet
        self._room: asyncio.Future[None] | None = None  # until the next one is asked for the reader rests
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf

    async def next(self, seconds: float | None = None) -> Message | None:
        """The next one; None where `seconds` have passed without it, and it is still waited for."""
        if self._reader is None:
            if seconds is None:
                return await self._receive()
            self._loop = loop = asyncio.get_running_loop()
            self._reader = loop.create_task(self._read(loop))
        elif self._next is None:
            if self._reader.done():  # the body is over, and is asked for all the same
                return await self._receive()
            if self._room is not None:
                self._room.set_result(None)
                self._room = None
        if self._next is None:
            await self._wait(seconds)
        found, self._next = self._next, None
        if isinstance(found, BaseException):
            raise found
        return found

    async def _wait(self, seconds: float | None) -> None:
        """Until there is one, or the time has passed."""
        assert self._loop is not None
        self._waiter = self._loop.create_future()
        self._due = inf if seconds is None else self._loop.time() + seconds
        if self._timer is None and seconds is not None:
            self._timer = self._loop.call_later(seconds, self._tick)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _tick(self) -> None:
        assert self._loop is not None
        self._timer = None
        if self._waiter is None or self._due is inf:
            return
        if self._due <= self._loop.time() + _TICK:
            self._wake()
        else:
            self._timer = self._loop.call_at(self._due, self._tick)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """One message after the other, up to the last one of a body."""
        try:
            is_last = False
            while not is_last:
                self._next = message = await self._receive()
                is_last = not message.get("more_body")
                self._wake()
                if not is_last:
                    self._room = room = loop.create_future()
                    await room
        except BaseException as error:
            self._next = error
            self._wake()
            if not isinstance(error, Exception):
                raise

    def close(self) -> None:
        """None is waited for any more."""
        if self._reader is not None:
            self._reader.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Gate:
    """How many requests are under way, and the queue of those that wait for their turn."""

    __slots__ = ("_limit", "_queue", "_waiting", "under_way")

    def __init__(self, limit: int | None, queue: int) -> None:
        self.under_way: int = 0
        self._limit = limit
        self._queue = queue
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    def enter(self) -> bool:
        """Take a place, if there is one."""
        if self._limit is not None and self.under_way >= self._limit:
            return False
        self.under_way += 1
        return True

    async def wait(self, seconds: float) -> bool:
        """Wait for a place; False where the queue is full, or none came free in time."""
        if len(self._waiting) >= self._queue:
            return False
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = None
        try:
            # As in `Messages`: a place that is given as the time runs out is still this one's.
            await asyncio.wait((place,), timeout=seconds)
        except BaseException:
            if place.done():  # it was given and is not taken
                self.leave()
            raise
        finally:
            self._waiting.pop(place, None)
        return place.done()

    def leave(self) -> None:
        """Release a place: the one that has waited longest gets it."""
        while self._waiting:
            place = next(iter(self._waiting))
            del self._waiting[place]
            if not place.done():
                # Handed over and not freed: `under_way` stays, so no newcomer can take it in between.
                place.set_result(None)
                return
        self.under_way -= 1


async def pause(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


def later(seconds: float, call: Callable[[], object]) -> Callable[[], object]:
    """Call it at that time; the returned function cancels the call."""
    return asyncio.get_running_loop().call_later(seconds, call).cancel


def start(run: Coroutine[Any, Any, None]) -> Callable[[], object]:
    """Run it in a task of its own; what it returns cancels that."""
    return asyncio.get_running_loop().create_task(run).cancel
