"""The runtime of asyncio, on its own loops and on uvloop: streams over sockets that the loop only watches.

The loop provides `add_reader`, `add_writer` and timers; the bytes go through our own socket, with no transport between.
CPU time for a small request and its answer, a bare stream against a bare `asyncio.Protocol`: 43 against 46 microseconds
on asyncio, 26 against 31 with 20 requests at once, 26 against 25 on uvloop. A download of 400 MB takes half as long or
less. (asyncio's transport makes a buffer of 256 KiB for each read. Where the allocator returns that to the system each
time, 78 microseconds were measured in place of 46.)

Four things that are hard with a transport are simple: to check for input at any moment, to lose no bytes received
before a reset, to free the descriptor at once (also when the loop is closed), and to be sure that an accepted byte has
been passed to the system. The disadvantage is that a loop without `add_reader`, Windows' proactor, cannot be used.

There is no task, and one timer per stream: a wait notes its deadline and sets the timer only if none fires before it. A
timer that fires too early is set again, so that a wait that ends early, as nearly all do, costs the loop nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
import time
import weakref
from asyncio import _get_running_loop
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import TypeVar

from .._errors import ConnectError, ReadError, WriteError
from .base import PIECE, Interrupt, SocketOption, StreamInfo
from .connecting import Connecting, connect_unix
from .happy_eyeballs import connect_error
from .lookup import accept, look_up, no_answer
from .sockets import Descriptor
from .workers import Answer, Threads

__all__ = ["AsyncioBackend", "AsyncioEvent", "AsyncioStream"]

T = TypeVar("T")
Future = asyncio.Future[bool]
Clock = Callable[[], float]

# The most bytes, and the most pieces, that are kept for a caller that does not read. Pieces are limited too, since a
# piece of one byte takes fifty bytes of memory. At this limit the socket is not read until half of the input was read,
# and TCP makes the peer wait.
_MOST_KEPT = 2 * PIECE
_MOST_PIECES = 256

# How many timers of ended waits may stay with the loop, so that later waits can reuse them.
_SPARE_ROWS = 8

# Up to this many bytes are received at once, even if a reader requests fewer.
_AT_ONCE = 65536

# The number of bytes without a wait after which the other tasks get a turn: about a third of a millisecond over
# loopback.
_TURN = 2 * PIECE

# A timer of uvloop counts whole milliseconds, so one that fired a little early is set again for at least this long.
_TICK = 0.001
# The longest time of a timer: after it the timer fires and is set again.
_LONGEST = 86400.0

_HAS_POLL = hasattr(select, "poll")

# As many threads as asyncio's own executor has at most.
_blocking = Threads(32, "httpcore: blocking call")

_USUAL_TIME = asyncio.BaseEventLoop.time


def _set_result(future: asyncio.Future[T], value: T) -> None:
    # A timer, input, `close` and a cancellation may occur in one turn of the loop: the first decides.
    if not future.done():
        future.set_result(value)


def _post(loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], value: T) -> None:
    """Settle a future from another thread."""
    with contextlib.suppress(RuntimeError):  # the loop is closed, so no task waits
        loop.call_soon_threadsafe(_set_result, future, value)


# The loop's reference to a stream, which does not keep a dropped stream alive.

_Me = weakref.ReferenceType["AsyncioStream"]


def _input(me: _Me) -> None:
    stream = me()
    if stream is not None:
        stream._on_input()


def _room(me: _Me) -> None:
    stream = me()
    if stream is not None and stream._writer is not None:
        _set_result(stream._writer, True)


def _tick(me: _Me) -> None:
    stream = me()
    if stream is not None:
        stream._on_timer()


class AsyncioStream:
    """A `Stream` over a connected socket that a loop watches. `close` may be called from any thread."""

    __slots__ = (
        "__weakref__",
        "_at_once",
        "_burst",
        "_clock",
        "_descriptor",
        "_end_is_reported",
        "_is_listening",
        "_is_over",
        "_look_first",
        "_loop",
        "_number",
        "_offset",
        "_pieces",
        "_poll",
        "_process",
        "_read_by",
        "_reader",
        "_size",
        "_timer",
        "_timer_at",
        "_wakes",
        "_watcher",
        "_weak_self",
        "_write_by",
        "_writer",
        "_writer_listens",
        "_wrote_last",
    )

    # No bytes are held back: the system has the bytes that `write_some` accepted. And only TLS announces its end (with
    # close_notify): without TLS a truncated stream looks complete.
    owes = False
    truncated = False
    can_wake = True

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        self._number = descriptor.sock.fileno()
        self._loop = loop
        self._clock = clock
        self._process = os.getpid()  # the child of a fork must not unregister anything: see `abandon`
        self._poll: select.poll | None = None
        # Received pieces that were not read yet; the first `_offset` bytes of the first one were read. This is a list:
        # it is short, and the empty deque of each idle connection would take 700 bytes more.
        self._pieces: list[bytes] = []
        self._offset = 0
        self._size = 0
        # How much to receive: the size of the last reader's request, so that nothing needs to be split.
        self._at_once = PIECE
        # No more input will come: the peer's end, an error, or our close. The descriptor remembers which of these.
        self._is_over = False
        self._end_is_reported = False
        self._is_listening = False
        # Whether to check the socket before waiting for the loop's report. See `_receive`.
        self._look_first = False
        # Whether the last call was a write: the next one checks for an early answer. See `write_some`.
        self._wrote_last = False
        # Bytes in both directions since this stream last let other tasks run.
        self._burst = 0
        self._reader: Future | None = None
        self._writer: Future | None = None
        self._writer_listens = False
        self._read_by = inf
        self._write_by = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._wakes = 0  # how often `wake` was called
        self._watcher: Callable[[], None] | None = None
        self._weak_self = weakref.ref(self)
        self._listen()

    # Reading.

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        self._wrote_last = False
        self._at_once = max(max_bytes, _AT_ONCE)  # the descriptor returns no more than PIECE
        while not self._pieces and not self._is_over:
            await self._wait_for_input(timeout)
        if self._pieces:
            return self._next(max_bytes)
        if self._descriptor.is_closed:
            raise self._descriptor.error(ReadError, "reading")
        # The descriptor returns the end, or raises the error that broke the connection.
        self._end_is_reported = True
        return self._descriptor.receive(max_bytes) or b""

    def take(self) -> bytes | None:
        self._wrote_last = False
        if not self._pieces:
            self._check_socket()
            if not self._pieces and not self._is_over:
                return None
        if self._pieces:
            return self._next(PIECE)
        # The same as in `read`.
        self._end_is_reported = True
        return self._descriptor.take() or b""

    def is_quiet(self) -> bool:
        self._wrote_last = False
        if not self._pieces:
            self._check_socket()
        return not (self._pieces or self._is_over)

    def watch(self, callback: Callable[[], None] | None) -> bool:
        self._watcher = callback
        self._notify_watcher_soon()
        return True

    def _next(self, max_bytes: int) -> bytes:
        start = self._offset
        piece = self._pieces[0]
        if len(piece) - start <= max_bytes:
            del self._pieces[0]
            if start:
                piece = piece[start:]
                self._offset = 0
        else:
            piece = piece[start : start + max_bytes]
            self._offset = start + max_bytes
        self._size -= len(piece)
        # The socket is watched again at half of the limit: at the limit, each piece that is read would change the
        # loop's registration twice.
        if not self._is_listening and not self._is_over and self._size <= _MOST_KEPT // 2:
            self._listen()
        return piece

    def _receive(self) -> bool:
        """Receive once. True if there was input, the end, or an error.

        When a reset comes together with input, uvloop reports both in one call and never again. So after each input a
        wait first checks the socket (`_look_first`), unless the socket has accepted a write since.
        """
        try:
            data = self._descriptor.receive(self._at_once)
        except ReadError:
            data = b""  # the descriptor remembers it
        if data is None:
            self._look_first = False
            return False
        self._look_first = True
        if not data:
            # After its end a descriptor stays readable: the loop would report it in each turn.
            self._is_over = True
            self._stop_listening()
            return True
        self._pieces.append(data)
        self._size += len(data)
        self._burst += len(data)
        if self._size >= _MOST_KEPT or len(self._pieces) >= _MOST_PIECES:
            self._stop_listening()
        return True

    def _check_socket(self) -> None:
        """Unless there is input, check the socket now: a busy loop may not have reported any yet."""
        if self._pieces or self._is_over:
            return
        if self._has_input():
            self._receive()
        else:
            self._look_first = False

    def _has_input(self) -> bool:
        """Whether there is input, without receiving it: `poll` costs a third of a `recv` that finds nothing."""
        if self._poll is None:
            if not _HAS_POLL:
                return True
            self._poll = select.poll()
            self._poll.register(self._number, select.POLLIN)
        return bool(self._poll.poll(0))

    async def _wait_for_input(self, timeout: float | None) -> None:
        if self._burst >= _TURN and await self._is_woken_in_a_turn():
            # Woken while no call waited: as for a timer that is due, available input wins.
            self._look_first = False
            if not self._receive():
                raise self._descriptor.read_timeout(timeout)
        if self._look_first:
            self._check_socket()
        if self._pieces or self._is_over:
            return
        if self._reader is not None:  # the first reader would be overwritten, and wait for ever
            raise self._descriptor.busy("reading from")
        # A wait also gives the other tasks their turn.
        self._burst = 0
        reader: Future = self._loop.create_future()
        self._reader = reader
        if timeout is not None:
            self._read_by = self._clock() + timeout
            if self._read_by < self._timer_at:
                self._set_timer(self._read_by)
        else:
            self._read_by = inf
        try:
            in_time = await reader
        except BaseException:
            # After a cancellation, input from this turn of the loop has no reader, so a watcher must be notified.
            self._reader = None
            self._notify_watcher_soon()
            raise
        self._reader = None
        # Input wins over the timer: a loop that was busy may run a due timer before it reports the input.
        if not in_time and not self._pieces and not self._is_over and not self._receive():
            raise self._descriptor.read_timeout(timeout)

    def _on_input(self) -> None:
        if self._is_over or not self._receive():
            return
        if self._reader is not None:
            _set_result(self._reader, True)
        elif self._watcher is not None:
            self._watcher()
        # A writer that listens returns 0, so that its caller reads: the peer may wait for this before it makes room.
        if self._writer is not None and self._writer_listens:
            _set_result(self._writer, True)

    def _notify_watcher_soon(self) -> None:
        if self._watcher is not None and (self._pieces or self._is_over):
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon(self._notify_watcher)

    def _notify_watcher(self) -> None:
        # A reader may have begun, or have read the input, since this call was requested.
        if self._watcher is not None and self._reader is None and (self._pieces or self._is_over):
            self._watcher()

    def _listen(self) -> None:
        self._is_listening = True
        self._loop.add_reader(self._number, _input, self._weak_self)

    def _stop_listening(self) -> None:
        if self._is_listening:
            self._is_listening = False
            self._loop.remove_reader(self._number)

    # Writing.

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        if self._burst >= _TURN and await self._is_woken_in_a_turn():
            raise self._descriptor.write_timeout(timeout)
        # The first write after a read or a check of the input does not check the input; the next ones do. So a request
        # that fits one call costs one system call, and an upload still sees an early answer within one piece.
        if self._wrote_last and not duplex:
            self._check_socket()
        sent = self._try_to_write(data, duplex)
        return await self._write_when_ready(data, timeout, duplex) if sent is None else sent

    def give(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._try_to_write(data, duplex=True) or 0
        except WriteError:
            return 0

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        return True

    async def end(self, timeout: float | None) -> None:
        if self._descriptor.is_closed:
            raise self._descriptor.error(WriteError, "ending the request")
        try:
            self._descriptor.end()
        finally:
            self._keep()

    async def _write_when_ready(self, data: bytes | bytearray | memoryview, timeout: float | None, duplex: bool) -> int:
        until = inf if timeout is None else self._clock() + timeout
        while True:
            in_time = await self._wait_for_room(until, listens=not duplex)
            sent = self._try_to_write(data, duplex)
            if sent is not None:
                return sent
            if not in_time:
                raise self._descriptor.write_timeout(timeout)

    def _try_to_write(self, data: bytes | bytearray | memoryview, duplex: bool) -> int | None:
        """The result of `write_some`, or None when there is neither room nor input."""
        descriptor = self._descriptor
        if descriptor.is_closed:
            raise descriptor.error(WriteError, "writing")
        # The end counts as input until the caller has read it. After that we still write to a peer that only
        # half-closed.
        if not duplex and (self._pieces or (descriptor.has_ended and not self._end_is_reported)):
            return 0
        try:
            sent = descriptor.send(data)
        except WriteError:
            self._keep()
            raise
        if sent is not None:
            self._burst += sent
            # A connection that was reset would have refused these bytes: so the next wait need not check first.
            self._look_first = False
            self._wrote_last = True
        return sent

    def _keep(self) -> None:
        """Append the input that the descriptor saved, when a write failed, to that received before."""
        while self._descriptor.kept:
            self._receive()

    async def _is_woken_in_a_turn(self) -> bool:
        """Let others run: before any bytes are sent or received, so that a cancelled call has done nothing. Returns
        whether one of them called `wake`, which found no waiting call that it could end.
        """
        self._burst = 0
        wakes = self._wakes
        await asyncio.sleep(0)
        return self._wakes != wakes

    async def _wait_for_room(self, until: float, *, listens: bool) -> bool:
        if self._writer is not None:
            raise self._descriptor.busy("writing to")
        self._burst = 0
        writer: Future = self._loop.create_future()
        self._writer = writer
        self._writer_listens = listens
        self._write_by = until
        if until < self._timer_at:
            self._set_timer(until)
        self._loop.add_writer(self._number, _room, self._weak_self)
        try:
            return await writer
        finally:
            self._writer = None
            # After `close`, `_unregister` does this, and then another socket may have the number.
            if not self._descriptor.is_closed:
                self._loop.remove_writer(self._number)

    # The timer.

    def _set_timer(self, until: float, least: float = 0.0) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = until
        left = max(until - self._clock(), least)
        self._timer = self._loop.call_later(min(left, _LONGEST), _tick, self._weak_self)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = inf
        now = self._clock()
        for waiter, until in ((self._reader, self._read_by), (self._writer, self._write_by)):
            if waiter is None or waiter.done() or until is inf:
                continue
            if until <= now:
                waiter.set_result(False)
            elif until < self._timer_at:
                self._set_timer(until, least=_TICK)

    # Waking and closing.

    def wake(self) -> None:
        if _get_running_loop() is self._loop:
            self._wake()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so no task waits
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._wakes += 1
        for waiter in (self._reader, self._writer):
            if waiter is not None:
                _set_result(waiter, False)

    def close(self) -> None:
        if self._descriptor.is_closed:
            return
        if os.getpid() != self._process:
            self.abandon()
            return
        if _get_running_loop() is not self._loop and self._loop.is_running():
            # The loop runs in another thread, and `remove_reader` is allowed in that thread alone. Until it is called
            # the descriptor must stay open: otherwise a new socket with its number would have the old registration.
            self._descriptor.shut_down()
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._unregister)
                return
        # The loop was closed since the check, and no longer watches anything.
        self._unregister()

    def abandon(self) -> None:
        # No `remove_reader`: the loop shares its epoll with the parent process, which still watches the connection.
        self._is_over = True
        self._descriptor.is_closed = True
        self._pieces.clear()
        self._descriptor.sock.close()

    def info(self) -> StreamInfo:
        return self._descriptor.info

    def _unregister(self) -> None:
        loop = self._loop
        if not loop.is_closed():
            self._stop_listening()
            # This is needed even if no call waits for room any more: a call that `close` from another thread has woken
            # ends before this runs, and does not unregister.
            loop.remove_writer(self._number)
            if self._timer is not None:
                self._timer.cancel()
            # As after an event: each wait checks the socket, and so ends with "closed on this side" and not with a
            # timeout.
            for waiter in (self._reader, self._writer):
                if waiter is not None:
                    _set_result(waiter, True)
        self._timer = None
        self._watcher = None
        self._size = self._offset = 0
        self.abandon()

    def __del__(self) -> None:
        # The loop holds no reference to the stream, so a dropped stream is finalised at once. One that was
        # interrupted before `_weak_self` was set is not registered with the loop, and lacks the attributes that `close`
        # needs: see `_stream`.
        if hasattr(self, "_weak_self"):
            self.close()


class AsyncioEvent:
    """An `Event` for one waiter. `set` may be called from any thread."""

    __slots__ = ("_backend", "_is_set", "_waiter")

    def __init__(self, backend: AsyncioBackend) -> None:
        self._backend = backend
        self._is_set = False
        self._waiter: Future | None = None

    def set(self) -> None:
        # The flag is set first: a task that is about to wait reads it in the loop's thread, where `_wake` runs later.
        self._is_set = True
        if self._backend.is_current():
            self._wake()
        elif not self._backend.is_gone():
            with contextlib.suppress(RuntimeError):  # the loop was closed since the check
                self._backend._loop.call_soon_threadsafe(self._wake)

    async def wait(self, timeout: float | None) -> bool:
        if not self._is_set:
            backend = self._backend
            self._waiter = backend._loop.create_future()
            try:
                await backend._in_time(self._waiter, timeout)
            finally:
                self._waiter = None
        return self._is_set

    def _wake(self) -> None:
        if self._waiter is not None:
            _set_result(self._waiter, True)


class _Alarms:
    """Settles futures with False when their timeout has passed.

    Futures with the same timeout fire in the order in which they were set, so they share a timer of the loop. The timer
    is set again only when it fires: a wait that ends early, as nearly all do, costs the loop nothing.
    """

    __slots__ = ("_clock", "_loop", "_rows")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        # For each timeout: its futures with the times when they fire, the earliest first; and the timer.
        self._rows: dict[float, tuple[OrderedDict[Future, float], asyncio.TimerHandle]] = {}

    def set(self, future: Future, timeout: float) -> None:
        row = self._rows.get(timeout)
        if row is None:
            row = self._rows[timeout] = OrderedDict(), self._timer(timeout, timeout)
        row[0][future] = self._clock() + timeout

    def cancel(self, future: Future, timeout: float) -> None:
        row = self._rows.get(timeout)
        if row is None:
            return  # the timer has fired
        row[0].pop(future, None)
        if not row[0] and len(self._rows) > _SPARE_ROWS:
            row[1].cancel()
            del self._rows[timeout]

    def _timer(self, timeout: float, left: float) -> asyncio.TimerHandle:
        return self._loop.call_later(min(max(left, 0.0), _LONGEST), self._ring, timeout)

    def _ring(self, timeout: float) -> None:
        futures, _ = self._rows[timeout]
        now = self._clock()
        while futures:
            future, until = next(iter(futures.items()))
            if until > now:
                self._rows[timeout] = futures, self._timer(timeout, max(until - now, _TICK))
                return
            del futures[future]
            _set_result(future, False)
        del self._rows[timeout]


class AsyncioBackend:
    """The `Backend` of one running loop."""

    __slots__ = ("_alarms", "_loop", "now")

    name = "asyncio"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # uvloop's clock stops while code runs, so a deadline counted from it would be too early after a long
        # computation. The clock of any other loop is trusted, so that one with a clock of its own can be used.
        # For the standard loops the clock is read directly: this saves a call, five times in a request.
        is_uvloop = type(loop).__module__.partition(".")[0] == "uvloop"
        is_usual = is_uvloop or getattr(loop.time, "__func__", None) is _USUAL_TIME
        self.now: Clock = time.monotonic if is_usual else loop.time
        self._alarms = _Alarms(loop, self.now)

    @classmethod
    def current(cls) -> AsyncioBackend:
        """The runtime of the running loop.

        Raises:
            RuntimeError: no loop runs in this thread.
        """
        return cls(asyncio.get_running_loop())

    def is_current(self) -> bool:
        return _get_running_loop() is self._loop

    def is_gone(self) -> bool:
        return self._loop.is_closed()

    def event(self) -> AsyncioEvent:
        return AsyncioEvent(self)

    def call_soon(self, function: Callable[[], None]) -> bool:
        try:
            self._loop.call_soon(function)
        except RuntimeError:  # the loop is closed
            return False
        return True

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def interruptible(self, interrupt: Interrupt, run: Callable[[], Awaitable[T]]) -> T:
        """See `Backend`. The task is cancelled by `asyncio.timeout`, which distinguishes this cancellation from any
        other. Without an interrupt it cancels nothing.
        """
        if asyncio.current_task() is None:  # a driver without tasks
            return await run()
        limit = asyncio.timeout(None)

        def end() -> None:
            with contextlib.suppress(RuntimeError):  # the wait has ended
                limit.reschedule(self._loop.time())

        def interrupted() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so no task waits
                self._loop.call_soon_threadsafe(end)

        try:
            async with limit:
                # Inside `async with`: an interrupt that is already set calls at once, and a timeout can be rescheduled
                # only once it was entered.
                interrupt.on_set(interrupted)
                return await run()
        except TimeoutError as error:
            if limit.expired():
                raise interrupt.error() from error
            raise

    async def run_blocking(self, function: Callable[[], T]) -> T:
        """Run `function` in a daemon thread. When the caller is cancelled the thread continues, and no task waits for
        it.

        Raises:
            ConnectError: the system cannot start a thread.
        """
        future: asyncio.Future[Callable[[], T]] = self._loop.create_future()

        def work() -> None:
            _post(self._loop, future, _outcome(function))

        call = _blocking.start(work)
        try:
            outcome = await future
        finally:
            call.leave()
        return outcome()

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        answers: list[Answer] = []
        future: Future = self._loop.create_future()

        def done(answer: Answer) -> None:
            answers.append(answer)
            _post(self._loop, future, True)

        call = look_up(host, done)
        try:
            await self._in_time(future, timeout)
        finally:
            call.leave()
        if not answers:
            raise no_answer(host, timeout)
        return accept(answers[0])

    async def connect_tcp(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        *,
        target: str | None = None,
        local_address: str | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> AsyncioStream:
        connecting = Connecting(addresses, port, timeout, self.now, target, local_address, socket_options)
        try:
            return self._stream(await connecting.run(self._writable))
        except NotImplementedError as error:
            raise self._unsupported_loop(target or " or ".join(addresses)) from error

    async def connect_unix(
        self, path: str, timeout: float | None, *, socket_options: Sequence[SocketOption] = ()
    ) -> AsyncioStream:
        descriptor = await connect_unix(path, timeout, self.now, self.sleep, socket_options)
        return self._stream(descriptor)

    def _stream(self, descriptor: Descriptor) -> AsyncioStream:
        """A stream that owns the socket."""
        try:
            return AsyncioStream(self._loop, self.now, descriptor)
        except NotImplementedError as error:
            self._discard(descriptor)
            raise self._unsupported_loop(descriptor.info.peer) from error
        except BaseException:  # Ctrl-C
            self._discard(descriptor)
            raise

    def _discard(self, descriptor: Descriptor) -> None:
        """Close the socket when no stream was made. An incomplete one may survive in the traceback; it must not stop
        the loop from watching the next socket that gets this number.
        """
        if descriptor.is_closed:
            return
        descriptor.is_closed = True
        with contextlib.suppress(NotImplementedError):
            self._loop.remove_reader(descriptor.sock.fileno())
        descriptor.sock.close()

    def _unsupported_loop(self, peer: str) -> ConnectError:
        # Windows' proactor. asyncio.SelectorEventLoop works there too.
        kind = type(self._loop).__name__
        message = f"this event loop ({kind}) has no add_reader and cannot watch sockets"
        return connect_error(peer, [(peer, OSError(errno.ENOTSUP, message))])

    async def _writable(self, sockets: Sequence[socket.socket], seconds: float | None) -> Sequence[socket.socket]:
        """Wait until one of the sockets is writable, or for `seconds` seconds. Returns those that are known to be
        writable."""
        future: Future = self._loop.create_future()
        numbers = [sock.fileno() for sock in sockets]
        try:
            for number in numbers:
                self._loop.add_writer(number, _set_result, future, True)
            in_time = await self._in_time(future, seconds)
            # With several sockets the future does not show which one was ready: the caller then checks each.
            return sockets if in_time and len(sockets) == 1 else ()
        finally:
            for number in numbers:
                self._loop.remove_writer(number)

    async def _in_time(self, future: Future, timeout: float | None) -> bool:
        """Wait for a future; False when it was not settled within `timeout` seconds."""
        if timeout is None:
            return await future
        self._alarms.set(future, timeout)
        try:
            return await future
        finally:
            self._alarms.cancel(future, timeout)


def _outcome(function: Callable[[], T]) -> Callable[[], T]:
    """Call a function, and return one that returns or raises the same result later."""
    try:
        value = function()
    except BaseException as error:
        failure = error

        def fail() -> T:
            raise failure

        return fail
    return lambda: value
