"""Ends a request whose client has disconnected, or whose upstream takes too long. All tasks, timers and locks of a
request are made here, by asyncio.

Most requests end before they need to be watched, so at first each costs only an entry in a list, and all requests of a
loop share one timer (`Rounds`). A request that lasts longer gets a task that waits for the client's disconnect, and for
its timeouts an entry in a heap, which has one timer, too: a stream may be idle for hours, and there may be 10,000 of
them. Each timeout is enforced by cancelling the request's task, which the pool allows at every await.
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
"""Seconds of a round; asyncio's timers add up to a millisecond. A request is watched from its second round on, after 8
to 18 ms, so that a disconnect is noticed in less than 20 ms.
"""
_STALE: Final = 100
"""Number of stale entries that a heap of any size may have."""


def now() -> float:
    """The time on the clock of asyncio's loops, in seconds; also usable outside a loop."""
    return monotonic()


class Rounds:
    """Watches the requests of one loop, by two timers. The first begins to watch new requests, and runs only while
    there are any. The second looks at a request again when one of its timeouts may have expired. The cost of a timer
    does not depend on how many requests are waiting.
    """

    __slots__ = ("_alarm", "_alarm_at", "_handle", "_new", "_numbers", "_seen", "_stale", "_times", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self._new: list[Watch] = []
        self._seen: list[Watch] = []
        self._handle: asyncio.TimerHandle | None = None
        # A heap. An entry is stale if its watch is closed, or due at another time. Stale entries are removed when they
        # reach the top, or when they are more than half of all entries, so that the heap is never searched for a single
        # one.
        self._times: list[tuple[float, int, Watch]] = []
        self._numbers = count()  # so that entries with equal times differ
        self._stale = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf

    def add(self, watch: Watch) -> None:
        """Watch a request after the next round, unless it has ended by then."""
        self._new.append(watch)
        if self._handle is None:
            self._handle = self.loop.call_later(_ROUND, self._turn)

    def _turn(self) -> None:
        # Two lists, so that each request lasts for at least a whole round before it costs a task and an entry in the
        # heap.
        seen, self._seen, self._new = self._seen, self._new, []
        self._handle = self.loop.call_later(_ROUND, self._turn) if self._seen else None
        for watch in seen:
            watch.look()

    def look_at(self, due: float, watch: Watch) -> None:
        """Call `watch.look` at the time `due`, if `watch.due` is still that time."""
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

    def _on_alarm(self) -> None:
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
        self._alarm = self.loop.call_at(at, self._on_alarm)


class Watch:
    """Watches one request until `close`. It must be made in the task of the request.

    Attributes:
        reason: why the task was cancelled: "left", "first_byte", "idle" or "total"; None if it was not.
        due: the time at which `look` is to be called; infinite if it need not be called.
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
        self._is_closed = False  # or the request was cancelled: nothing is watched any more
        self._reader: asyncio.Task[None] | None = None
        self.reason: str | None = None
        self._since = loop.time()
        self._ends = inf if timeouts.total is None else self._since + timeouts.total
        self._name = "first_byte"
        self._limit = None if has_body else timeouts.first_byte
        self.due: float = inf
        rounds.add(self)

    def body_is_over(self) -> None:
        """The client's body has been read, or is not needed any more: from now on this waits for the client's
        disconnect, and the upstream's time runs.
        """
        if self._is_closed:
            return
        self._body_is_over = True
        if self._name == "first_byte":
            self._start_clock("first_byte", self._timeouts.first_byte)
        if self._looked:
            self._read()

    def on_body_read(self) -> None:
        """The client's body has been read while the request waits in the queue: from now on this waits for the client's
        disconnect, and the upstream's time does not run yet.
        """
        self._body_is_over = True
        if self._looked:
            self._read()

    def admitted(self) -> None:
        """The request has left the queue, where the upstream's time was stopped: now the time begins."""
        if self._body_is_over:
            self._start_clock("first_byte", self._timeouts.first_byte)

    def head_received(self) -> None:
        """The head of the response has been received. The upstream's time does not run until `restart_clock`."""
        self._name = "idle"
        self._limit = None

    def restart_clock(self) -> None:
        """The gateway waits for the next piece of the response: the upstream's time begins again."""
        self._start_clock("idle", self._timeouts.idle)

    def stop_clock(self) -> None:
        """Stop the upstream's time: the request is in the queue, or a piece is being sent to the client, which may read
        slowly.
        """
        self._limit = None

    def left(self) -> None:
        """The client has disconnected."""
        self.end("left")

    def close(self) -> None:
        """The request has ended: stop watching it."""
        # This is set first: the reader that is cancelled below may run once more, and must not end the request then.
        self._is_closed = True
        self._set(inf)
        if self._reader is not None:
            self._reader.cancel()

    def uncancel(self) -> bool:
        """Take back the cancellation by `end`. Returns whether the task was cancelled by `end`, and only by it."""
        if self.reason is None:
            return False
        # If the server has cancelled the task, too, its cancellation is still pending, and takes effect.
        return self._task.uncancel() == 0

    def look(self) -> None:
        """Look at the request: it has lasted for a round or two, or one of its timeouts may have expired."""
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

    def _start_clock(self, name: str, limit: float | None) -> None:
        self._name = name
        self._limit = limit
        self._since = self._loop.time()
        # A timer that fires too early costs less than setting it again for each piece.
        if self._looked and not self._is_closed and limit is not None and self._since + limit < self.due:
            self._set(self._since + limit)

    def _set(self, due: float) -> None:
        """Look at the request again at the time `due`, and not before."""
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
        """Cancel the task of the request, for this reason."""
        if not self._is_closed:
            self._is_closed = True
            self.reason = reason
            self._set(inf)
            self._task.cancel()


class Messages:
    """The messages of an ASGI server. A wait for a message may have a time limit, and be continued later.

    A wait that ends before its message must not cancel `receive`, since not all servers support that. So from the first
    wait with a limit on, one task reads all messages, each when it is requested, which costs less than a task for each
    message. All waits share one timer, which is set again when it fires too early.
    """

    __slots__ = ("_due", "_loop", "_next", "_reader", "_receive", "_room", "_timer", "_waiter")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader: asyncio.Task[None] | None = None
        self._next: Message | BaseException | None = None  # was read, and was not returned yet
        self._room: asyncio.Future[None] | None = None  # the reader waits for it until the next message is requested
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf

    async def next(self, seconds: float | None = None) -> Message | None:
        """The next message; None if `seconds` have passed without it. The next call then continues the wait."""
        if self._reader is None:
            if seconds is None:
                return await self._receive()
            self._loop = loop = asyncio.get_running_loop()
            self._reader = loop.create_task(self._read(loop))
        elif self._next is None:
            if self._reader.done():  # the body has ended, and a further message is requested
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
        """Wait until there is a message, or the time has passed."""
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
        """Read one message after the other, up to the last one of a body."""
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
        """Stop reading: no message is needed any more."""
        if self._reader is not None:
            self._reader.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Gate:
    """Counts the requests in progress, and holds the queue of those that wait for a place."""

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
        """Wait for a place; False if the queue is full, or if no place became free in time."""
        if len(self._waiting) >= self._queue:
            return False
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place] = None
        try:
            # `asyncio.wait` does not cancel the future, so a place that is granted just as the time expires is not
            # lost.
            await asyncio.wait((place,), timeout=seconds)
        except BaseException:
            if place.done():  # the place was granted, and is not used
                self.leave()
            raise
        finally:
            self._waiting.pop(place, None)
        return place.done()

    def leave(self) -> None:
        """Release a place: the request that has waited longest gets it."""
        while self._waiting:
            place = next(iter(self._waiting))
            del self._waiting[place]
            if not place.done():
                # The place is handed over and not freed: `under_way` stays the same, so no new request can take it in
                # between.
                place.set_result(None)
                return
        self.under_way -= 1


async def pause(seconds: float) -> None:
    """Wait for `seconds`."""
    await asyncio.sleep(seconds)


def later(seconds: float, call: Callable[[], object]) -> Callable[[], object]:
    """Call `call` after `seconds`; the returned function cancels the call."""
    return asyncio.get_running_loop().call_later(seconds, call).cancel


def start(run: Coroutine[Any, Any, None]) -> Callable[[], object]:
    """Run a coroutine in a task of its own; the returned function cancels the task."""
    return asyncio.get_running_loop().create_task(run).cancel
