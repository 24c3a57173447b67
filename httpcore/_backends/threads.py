"""The runtime of plain threads: every wait blocks the calling thread, and no coroutine here ever suspends.

So `coroutine.send(None)` runs any of these coroutines to its end. No event loop is used, so this runtime also works
inside a running one. Ctrl-C ends each wait at once: all of them are system calls or locks that Python interrupts.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from .._errors import ReadError, WriteError
from .base import Interrupt, SocketOption, StreamInfo
from .connecting import Connecting, connect_unix
from .lookup import resolve
from .sockets import Descriptor

T = TypeVar("T")

_IN = getattr(select, "POLLIN", 1)
_OUT = getattr(select, "POLLOUT", 4)
_ERROR = getattr(select, "POLLERR", 8)

# Seconds after which a connecting thread checks whether it was interrupted: no call from another thread ends, on every
# system, the wait for a socket that is not connected yet.
_CHECK_INTERVAL = 0.05

# The longest wait that poll(2) can express, a little under 25 days, in milliseconds.
_LONGEST = 2.0**31 - 1

Wait = Callable[[float | None], list[tuple[int, int]]]


def _waiter(descriptor: int, events: int) -> Wait:
    """A function that waits so many milliseconds for `events`, and returns `[]` or one pair of descriptor and events.

    Making a poll object costs a third of a wait with it, so poll objects that are used often are kept.
    """
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, events)
        return poll.poll

    def wait(milliseconds: float | None) -> list[tuple[int, int]]:
        seconds = None if milliseconds is None else milliseconds / 1000
        readable, writable, _ = select.select(
            [descriptor] if events & _IN else [], [descriptor] if events & _OUT else [], [], seconds
        )
        found = (_IN if readable else 0) | (_OUT if writable else 0)
        return [(descriptor, found)] if found else []

    return wait


def _milliseconds(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    milliseconds = seconds * 1000.0
    return milliseconds if 0.0 <= milliseconds <= _LONGEST else min(max(milliseconds, 0.0), _LONGEST)


def _remaining_milliseconds(timeout: float | None, begun: float) -> float | None:
    """The remaining milliseconds of a wait that was woken without a result. A wake never extends the wait."""
    return None if timeout is None else _milliseconds(timeout - (time.monotonic() - begun))


class BlockingStream:
    """A `Stream` over a connected socket, for threads: one thread may read while another writes, and any thread may
    close it.
    """

    __slots__ = ("_calls", "_descriptor", "_either", "_input", "_wrote_last")

    # No bytes are held back: the system has the bytes that `write_some` accepted. And only TLS announces its end (with
    # close_notify): without TLS a truncated stream looks complete.
    owes = False
    truncated = False
    can_wake = False

    def __init__(self, descriptor: Descriptor) -> None:
        number = descriptor.sock.fileno()
        self._descriptor = descriptor
        self._input = _waiter(number, _IN)
        self._either = _waiter(number, _IN | _OUT)
        self._wrote_last = False
        # One entry for each thread inside a call. `append` and `pop` are atomic, so there is no lock that could be held
        # when Ctrl-C or a finaliser interrupts. A thread that enters after `is_closed` was set does not use the socket,
        # and the last thread inside closes it. If it were closed earlier, another socket could get its number while a
        # thread still uses it.
        self._calls: list[None] = []

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        self._wrote_last = False
        descriptor = self._descriptor
        try:
            self._calls.append(None)
            if descriptor.is_closed:
                raise descriptor.error(ReadError, "reading")
            begun = time.monotonic()
            left = _milliseconds(timeout)
            # Bytes that a failed write saved come first: the socket itself may report only the reset.
            while descriptor.kept or self._input(left):
                data = descriptor.receive(max_bytes)
                if data is not None:
                    return data
                left = _remaining_milliseconds(timeout, begun)
            raise descriptor.read_timeout(timeout)
        except RuntimeError as error:  # how a poll object reports that another thread waits with it
            raise descriptor.busy("reading from") from error
        finally:
            self._calls.pop()
            if self._descriptor.is_closed:
                self._close_if_unused()

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        descriptor = self._descriptor
        try:
            self._calls.append(None)
            if descriptor.is_closed:
                raise descriptor.error(WriteError, "writing")
            # The first write after a read or a check of the input does not check the input; the next ones do. So a
            # request that fits one call costs one system call, and an upload still sees an early answer within one
            # piece. When there is no room, this call waits for room or input.
            if duplex or not self._wrote_last:
                sent = descriptor.send(data)
                if sent is not None:
                    self._wrote_last = True
                    return sent
            return self._write_when_ready(data, timeout, duplex)
        except RuntimeError as error:  # as in `read`
            raise descriptor.busy("writing to") from error
        finally:
            self._calls.pop()
            if self._descriptor.is_closed:
                self._close_if_unused()

    def _write_when_ready(self, data: bytes | bytearray | memoryview, timeout: float | None, duplex: bool) -> int:
        descriptor = self._descriptor
        # After the peer's end there is no input to wait for, and the descriptor would be readable for ever.
        listens = not (duplex or descriptor.has_ended)
        wait = self._either if listens else _waiter(descriptor.sock.fileno(), _OUT)
        begun = time.monotonic()
        left = _milliseconds(timeout)
        while ready := wait(left):
            events = ready[0][1]
            if descriptor.is_closed:  # `close` has woken this wait, and looks like input
                raise descriptor.error(WriteError, "writing")
            # A reset makes the descriptor readable too. `send` raises it as a write error, and keeps the input.
            if listens and events & _IN and not events & _ERROR:
                return 0
            sent = descriptor.send(data)
            if sent is not None:
                self._wrote_last = True
                return sent
            left = _remaining_milliseconds(timeout, begun)
        raise descriptor.write_timeout(timeout)

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        return True

    async def end(self, timeout: float | None) -> None:
        descriptor = self._descriptor
        try:
            self._calls.append(None)
            if descriptor.is_closed:
                raise descriptor.error(WriteError, "ending the request")
            descriptor.end()
        finally:
            self._calls.pop()
            if self._descriptor.is_closed:
                self._close_if_unused()

    def take(self) -> bytes | None:
        self._wrote_last = False
        try:
            self._calls.append(None)
            descriptor = self._descriptor
            # A call of poll(2) costs a third of a `recv` that finds nothing.
            return descriptor.take() if descriptor.kept or self._input(0) else None
        except RuntimeError:  # another thread waits with this poll object: the input is for that thread
            return None
        finally:
            self._calls.pop()
            if self._descriptor.is_closed:
                self._close_if_unused()

    def is_quiet(self) -> bool:
        self._wrote_last = False
        try:
            self._calls.append(None)
            descriptor = self._descriptor
            return not (descriptor.is_closed or descriptor.kept or descriptor.has_ended or self._input(0))
        except RuntimeError:  # another thread reads: the bytes are for it
            return True
        finally:
            self._calls.pop()
            if self._descriptor.is_closed:
                self._close_if_unused()

    def give(self, data: bytes | bytearray | memoryview) -> int:
        try:
            self._calls.append(None)
            return self._descriptor.give(data)
        finally:
            self._calls.pop()
            if self._descriptor.is_closed:
                self._close_if_unused()

    def wake(self) -> None:
        pass

    def close(self) -> None:
        if self._descriptor.sock.fileno() == -1:
            return
        # Called before `_calls` is checked: a thread that enters later sees `is_closed`, and a thread inside is woken.
        self._descriptor.shut_down()
        if not self._calls:
            self._descriptor.sock.close()

    def abandon(self) -> None:
        # In the child of a fork the threads that were inside a call do not exist.
        self._descriptor.is_closed = True
        self._descriptor.sock.close()

    def watch(self, callback: Callable[[], None] | None) -> bool:
        return False

    def info(self) -> StreamInfo:
        return self._descriptor.info

    def _close_if_unused(self) -> None:
        if not self._calls:
            self._descriptor.sock.close()


class BlockingEvent:
    """An `Event` for threads: a lock that is held until the event is set, which is cheaper than `threading.Event`."""

    __slots__ = ("_is_set", "_lock")

    def __init__(self) -> None:
        self._is_set = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        # The flag is set first: the thread that acquires the lock checks it.
        self._is_set = True
        self._open()

    async def wait(self, timeout: float | None) -> bool:
        if self._is_set:
            return True
        try:
            self._lock.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX))
        finally:
            # Each thread that has acquired the lock releases it for the next one.
            if self._is_set:
                self._open()
        return self._is_set

    def _open(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            pass  # the lock is released already: by a second `set`, or by two threads that have waited


class _OfThread(threading.local):
    """The interrupt of the dial that this thread is in. A thread runs one dial at a time, since no wait here
    suspends.
    """

    interrupt: Interrupt | None = None


_of_thread = _OfThread()


class BlockingBackend:
    """The `Backend` of threads. It has no state: one instance serves any number of threads."""

    name = "threads"
    now = staticmethod(time.monotonic)

    async def interruptible(self, interrupt: Interrupt, run: Callable[[], Awaitable[T]]) -> T:
        """See `Backend`."""
        before, _of_thread.interrupt = _of_thread.interrupt, interrupt  # a resolver may send a request of its own
        try:
            return await run()
        finally:
            _of_thread.interrupt = before

    def is_current(self) -> bool:
        return True

    def is_gone(self) -> bool:
        return False

    def event(self) -> BlockingEvent:
        return BlockingEvent()

    def call_soon(self, function: Callable[[], None]) -> bool:
        return False

    async def sleep(self, seconds: float) -> None:
        if _of_thread.interrupt is not None:
            _of_thread.interrupt.check()
        time.sleep(max(seconds, 0.0))  # noqa: ASYNC251 - blocking is what this runtime does

    async def run_blocking(self, function: Callable[[], T]) -> T:
        # The caller's thread may be blocked: it has no other task.
        return function()

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        return resolve(host, timeout, _of_thread.interrupt)

    async def connect_tcp(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        *,
        target: str | None = None,
        local_address: str | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> BlockingStream:
        connecting = Connecting(addresses, port, timeout, time.monotonic, target, local_address, socket_options)
        return BlockingStream(await connecting.run(_writable))

    async def connect_unix(
        self, path: str, timeout: float | None, *, socket_options: Sequence[SocketOption] = ()
    ) -> BlockingStream:
        return BlockingStream(await connect_unix(path, timeout, time.monotonic, self.sleep, socket_options))


async def _writable(sockets: Sequence[socket.socket], seconds: float | None) -> Sequence[socket.socket]:
    """Wait until one of the sockets is writable, or for `seconds`. Returns the sockets known to be writable."""
    interrupt = _of_thread.interrupt
    if interrupt is not None:
        interrupt.check()
        seconds = _CHECK_INTERVAL if seconds is None else min(seconds, _CHECK_INTERVAL)
    if not hasattr(select, "poll"):  # Windows, which reports a failure as an exception
        select.select([], sockets, sockets, seconds)
        return ()
    poll = select.poll()
    for sock in sockets:
        poll.register(sock.fileno(), _OUT)
    return sockets if poll.poll(_milliseconds(seconds)) and len(sockets) == 1 else ()
