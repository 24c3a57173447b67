"""The runtime of trio: plain non-blocking sockets, and trio only where something really has to wait.

A call first tries the socket, which costs no turn of the scheduler, and waits only if it would block. So that a fast
peer cannot keep out the other tasks, or a cancellation, a stream gives up its turn before the next piece once it has
moved PIECE bytes without waiting; each call counts as some more bytes. In both cases bytes are moved only after the
wait, so a cancelled call has read or written nothing.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import trio

from .._errors import ReadError, WriteError
from .base import PIECE, Interrupt, SocketOption, StreamInfo
from .connecting import Connecting, connect_unix
from .lookup import accept, look_up, no_answer
from .sockets import Descriptor
from .workers import Answer

T = TypeVar("T")
Wait = Callable[[socket.socket], Awaitable[None]]

# The number of bytes that a call counts in addition to its own. So after 32 small requests whose answers are already
# there, other tasks get a turn too. This costs each request 0.3 microseconds.
_CALL = PIECE // 64


def _seconds(timeout: float | None) -> float:
    return math.inf if timeout is None else max(timeout, 0.0)


async def _wait_for_either(sock: socket.socket) -> None:
    """Wait for room or input."""
    await _wait_for_one_of([(trio.lowlevel.wait_readable, sock), (trio.lowlevel.wait_writable, sock)])


async def _wait_for_one_of(waits: Sequence[tuple[Wait, socket.socket]]) -> None:
    """Wait until one of several sockets is ready. trio has no call for this, so a task waits for each socket. That
    costs little compared with a full buffer or a slow peer.
    """

    busy = False

    async def wait_for(one: Wait, sock: socket.socket) -> None:
        nonlocal busy
        try:
            # Another task may have closed the socket since the nursery began, and trio has no error of its own for
            # that.
            if sock.fileno() >= 0:
                await one(sock)
        except trio.ClosedResourceError:
            pass  # closing ends the waits, and the caller checks for it
        except trio.BusyResourceError:
            busy = True  # raised outside the nursery, which would put the error into a group
        # The first wait that ends cancels the others.
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for one, sock in waits:
                nursery.start_soon(wait_for, one, sock)
    except BaseExceptionGroup:
        # Older trio raises the cancellation of several tasks as a group.
        await trio.lowlevel.checkpoint_if_cancelled()
        raise
    if busy:
        raise trio.BusyResourceError("another task already waits for this socket")


class TrioStream:
    """A `Stream` over a connected socket, for the tasks of one trio run. Any thread may close it."""

    __slots__ = ("_descriptor", "_token", "_transferred", "_waits", "_wakes", "_wrote_last")

    # No bytes are held back: the system has the bytes that `write_some` accepted. And only TLS announces its end (with
    # close_notify): without TLS a truncated stream looks complete.
    owes = False
    truncated = False
    can_wake = True

    def __init__(self, descriptor: Descriptor, token: trio.lowlevel.TrioToken) -> None:
        # All of these attributes except the descriptor and the token belong to trio's thread: other threads use
        # `run_sync_soon`.
        self._descriptor = descriptor
        self._token = token
        self._wrote_last = False
        # Bytes in both directions since this stream last let other tasks run, and `_CALL` for each call.
        self._transferred = 0
        self._waits: list[trio.CancelScope] = []  # the scopes of the calls that wait now, for `wake`
        self._wakes = 0  # how often `wake` was called

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        self._wrote_last = False
        is_woken = self._transferred >= PIECE and await self._is_woken_in_a_turn()
        data = self._receive(max_bytes)
        if data is None and not is_woken:
            wait = trio.lowlevel.wait_readable
            data = await self._when_ready(lambda: self._receive(max_bytes), wait, timeout, "reading from")
        if data is None:
            raise self._descriptor.read_timeout(timeout)
        return data

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        if self._transferred >= PIECE and await self._is_woken_in_a_turn():
            raise self._descriptor.write_timeout(timeout)
        # The first write after a read or a check of the input does not check the input; the next ones do. So a request
        # that fits one call costs one system call, and an upload still sees an early answer within one piece. When
        # there is no room, this call waits for room or input.
        sent = self._send(data, listens=self._wrote_last and not duplex)
        if sent is None:
            wait = self._wait_for_room(duplex)
            sent = await self._when_ready(lambda: self._send(data, listens=not duplex), wait, timeout, "writing to")
        if sent is None:
            raise self._descriptor.write_timeout(timeout)
        return sent

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        return True

    async def end(self, timeout: float | None) -> None:
        if self._descriptor.is_closed:
            raise self._descriptor.error(WriteError, "ending the request")
        self._descriptor.end()

    def take(self) -> bytes | None:
        self._wrote_last = False
        return self._descriptor.take()

    def is_quiet(self) -> bool:
        self._wrote_last = False
        return self._descriptor.is_quiet()

    def give(self, data: bytes | bytearray | memoryview) -> int:
        return self._descriptor.give(data)

    def wake(self) -> None:
        if _is_current(self._token):
            self._wake()
            return
        try:
            self._token.run_sync_soon(self._wake)
        except trio.RunFinishedError:
            pass  # no task waits any more

    def close(self) -> None:
        descriptor = self._descriptor
        if descriptor.is_closed:
            return
        if _is_current(self._token):
            descriptor.is_closed = True
            self._close_in_loop()
            return
        # In another thread: waiting tasks are woken now, but the socket is closed in trio's thread, which alone knows
        # which tasks still wait for it.
        descriptor.shut_down()
        try:
            self._token.run_sync_soon(self._close_in_loop)
        except trio.RunFinishedError:
            descriptor.sock.close()

    def abandon(self) -> None:
        self._descriptor.is_closed = True
        self._descriptor.sock.close()

    def watch(self, callback: Callable[[], None] | None) -> bool:
        return False

    def info(self) -> StreamInfo:
        return self._descriptor.info

    def _receive(self, max_bytes: int) -> bytes | None:
        descriptor = self._descriptor
        if descriptor.is_closed:
            raise descriptor.error(ReadError, "reading")
        data = descriptor.receive(max_bytes)
        if data is not None:
            self._transferred += len(data) + _CALL
        return data

    def _send(self, data: bytes | bytearray | memoryview, *, listens: bool) -> int | None:
        descriptor = self._descriptor
        if descriptor.is_closed:
            raise descriptor.error(WriteError, "writing")
        if listens and descriptor.has_input():
            return 0
        sent = descriptor.send(data)
        if sent is not None:
            self._wrote_last = True
            self._transferred += sent + _CALL
        return sent

    def _wait_for_room(self, duplex: bool) -> Wait:
        # After the peer's end there is no input to wait for, and the descriptor would be readable for ever.
        if duplex or self._descriptor.has_ended:
            return trio.lowlevel.wait_writable
        return _wait_for_either

    async def _when_ready(self, act: Callable[[], T | None], wait: Wait, timeout: float | None, doing: str) -> T | None:
        """The first result of `act` that is not None. None when the time ran out first, after a last try."""
        scope = trio.move_on_after(_seconds(timeout))
        try:
            # Appended inside the `try`: Ctrl-C may arrive as soon as `append` returns, and would leave the scope in the
            # list.
            self._waits.append(scope)
            with scope:
                while True:
                    # Readiness may be stale by now (another task took the input), so `act` decides, and returns None to
                    # wait again.
                    await wait(self._descriptor.sock)
                    self._transferred = 0
                    result = act()
                    if result is not None:
                        return result
        except trio.ClosedResourceError:
            pass  # `act` raises the error of the closed stream
        except trio.BusyResourceError:
            raise self._descriptor.busy(doing) from None
        finally:
            self._waits.remove(scope)
        # Input or room that is available as the time runs out wins over the timeout.
        return act()

    def _wake(self) -> None:
        self._wakes += 1
        for scope in self._waits:
            scope.cancel()

    async def _is_woken_in_a_turn(self) -> bool:
        """Let other tasks run. Returns whether one of them called `wake`, which found no waiting call to end."""
        wakes = self._wakes
        await trio.lowlevel.checkpoint()
        self._transferred = 0
        return self._wakes != wakes

    def _close_in_loop(self) -> None:
        sock = self._descriptor.sock
        # This runs twice if a thread and a task have closed the stream. `notify_closing` comes first: it needs the
        # number, and it ends the waits, which would otherwise wait for the next socket that gets this number.
        if sock.fileno() != -1:
            trio.lowlevel.notify_closing(sock)
            sock.close()


class TrioEvent:
    """An `Event` for the tasks of one trio run."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout: float | None) -> bool:
        if not self._event.is_set():
            with trio.move_on_after(_seconds(timeout)):
                await self._event.wait()
        return self._event.is_set()


class TrioBackend:
    """The `Backend` of one trio run: the one that is running when it is made.

    Raises:
        RuntimeError: trio is not running here.
    """

    name = "trio"

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._clock = trio.lowlevel.current_clock()
        # A clock of trio begins at an arbitrary time. Added to its times, this offset gives those of the other
        # runtimes, for a trace.
        self.clock_offset = time.monotonic() - self._clock.current_time()

    @classmethod
    def current(cls) -> TrioBackend:
        return cls()

    def is_current(self) -> bool:
        return _is_current(self._token)

    def is_gone(self) -> bool:
        try:
            # The only public call by which any thread can find out whether the run still accepts calls.
            self._token.run_sync_soon(_no_op, idempotent=True)
        except trio.RunFinishedError:
            return True
        return False

    def now(self) -> float:
        return self._clock.current_time()  # also called in other threads, and after the end of the run

    def event(self) -> TrioEvent:
        return TrioEvent()

    def call_soon(self, function: Callable[[], None]) -> bool:
        return False

    async def interruptible(self, interrupt: Interrupt, run: Callable[[], Awaitable[T]]) -> T:
        """See `Backend`."""
        with trio.CancelScope() as scope:

            def interrupted() -> None:
                with suppress(trio.RunFinishedError):
                    self._token.run_sync_soon(scope.cancel)

            interrupt.on_set(interrupted)
            return await run()
        raise interrupt.error()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(max(seconds, 0.0))

    async def run_blocking(self, function: Callable[[], T]) -> T:
        # The wait can be cancelled at once: the function reads files or makes a TLS context, and a late result is
        # dropped.
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        with trio.move_on_after(_seconds(timeout)):
            return accept(await self._look_up(host))
        raise no_answer(host, timeout)

    async def connect_tcp(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        *,
        target: str | None = None,
        local_address: str | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> TrioStream:
        connecting = Connecting(addresses, port, timeout, self.now, target, local_address, socket_options)
        return TrioStream(await connecting.run(_writable), self._token)

    async def connect_unix(
        self, path: str, timeout: float | None, *, socket_options: Sequence[SocketOption] = ()
    ) -> TrioStream:
        return TrioStream(await connect_unix(path, timeout, self.now, self.sleep, socket_options), self._token)

    async def _look_up(self, host: str) -> Answer:
        answers: list[Answer] = []
        answered = trio.Event()

        def done(answer: Answer) -> None:  # in the thread that resolved
            answers.append(answer)
            try:
                self._token.run_sync_soon(answered.set)
            except trio.RunFinishedError:
                pass  # no task waits any more

        call = look_up(host, done)
        try:
            await answered.wait()
        finally:
            call.leave()
        return answers[0]


async def _writable(sockets: Sequence[socket.socket], seconds: float | None) -> Sequence[socket.socket]:
    """Wait until one of the sockets is writable, or for `seconds`. Returns the sockets known to be writable."""
    wait = trio.lowlevel.wait_writable
    with trio.move_on_after(_seconds(seconds)):
        if len(sockets) == 1:
            await wait(sockets[0])
            return sockets
        await _wait_for_one_of([(wait, sock) for sock in sockets])
    return ()


def _is_current(token: trio.lowlevel.TrioToken) -> bool:
    try:
        return trio.lowlevel.current_trio_token() is token
    except RuntimeError:
        return False


def _no_op() -> None:
    pass
