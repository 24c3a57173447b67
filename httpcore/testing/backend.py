"""The library's backend over the simulated network, and a second one for code that blocks.

`ConnectionPool` awaits the methods of `SimulatedBackend`. `SyncConnectionPool` calls those of
`BlockingSimulatedBackend`: its coroutines never suspend, because each of them runs the scheduler until the awaited
event has happened.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Protocol, TypeVar

from .._backends.base import PIECE, Event, Interrupt, SocketOption, Stream, StreamInfo
from .._errors import ReadError, ReadTimeout, WriteError, WriteTimeout
from .network import Connection, Network
from .scheduler import Condition, Scheduler, Task, running_scheduler

__all__ = ["BlockingSimulatedBackend", "SimulatedBackend", "SimulatedEvent", "SimulatedStream"]

T = TypeVar("T")


class SimulatedStream:
    """The client's side of one connection: a `httpcore.Stream`."""

    owes = False
    truncated = False
    can_wake = True

    def __init__(self, backend: SimulatedBackend, connection: Connection) -> None:
        self._backend = backend
        self._scheduler = backend.scheduler
        self._connection = connection
        self._in = connection._back
        self._out = connection._there
        self._in.on_input = self._on_input
        self._closed = False
        self._reading = False
        self._writing = False
        self._woken = 0  # how often `wake` was called
        self._watcher: Callable[[], None] | None = None

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        peer = self._connection.info.peer
        if self._reading:
            raise RuntimeError(f"two tasks read from {peer} at once")
        self._reading = True
        woken = self._woken

        def ready() -> bool:
            return self._closed or bool(self._in.arrived) or self._in.over()

        try:
            await self._scheduler.wait_until(
                lambda: ready() or self._woken != woken,
                f"bytes from {peer}",
                timeout,
                self._in.changed,
            )
        finally:
            self._reading = False
        if self._closed:
            raise ReadError("the stream was closed on this side", peer=peer)
        if not ready():
            raise ReadTimeout(f"no bytes were received for {timeout} s", peer=peer, limit=timeout)
        return self._take(max_bytes)

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        peer = self._connection.info.peer
        if self._writing:
            raise RuntimeError(f"two tasks write to {peer} at once")
        self._writing = True
        woken = self._woken

        def ready() -> bool:
            return self._unwritable() or self._out.room() > 0 or (not duplex and self._in.has_input())

        try:
            await self._scheduler.wait_until(
                lambda: ready() or self._woken != woken,
                f"room to write to {peer}",
                timeout,
                self._out.changed,
                self._in.changed,
            )
        finally:
            self._writing = False
        self._check_writable()
        if not ready():
            raise WriteTimeout(f"no room for one byte in {timeout} s", peer=peer, limit=timeout)
        if not duplex and self._in.has_input():
            return 0
        size = min(self._out.room(), self._backend.max_write)
        piece = bytes(memoryview(data).cast("B")[:size])
        if piece:
            self._out.put(piece)
        return len(piece)

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        self._check_writable()  # there is nothing to wait for: the bytes that `write_some` accepted have been sent
        return True

    async def end(self, timeout: float | None) -> None:
        await self._scheduler.wait_until(lambda: True, f"the end of writing to {self._connection.info.peer}", timeout)
        if not self._out.finished or self._closed:
            self._check_writable()
            self._out.finish()

    def take(self) -> bytes | None:
        if self._closed:
            raise ReadError("the stream was closed on this side", peer=self._connection.info.peer)
        return self._take(PIECE) if self._in.arrived or self._in.over() else None

    def is_quiet(self) -> bool:
        return not (self._closed or self._in.arrived or self._in.over())

    def give(self, data: bytes | bytearray | memoryview) -> int:
        if self._writing:
            raise RuntimeError(f"two tasks write to {self._connection.info.peer} at once")
        piece = bytes(data)[: min(self._out.room(), self._backend.max_write)]
        if not piece or self._unwritable():
            return 0
        self._out.put(piece)
        return len(piece)

    def wake(self) -> None:
        self._woken += 1
        self._in.changed.notify()  # a reader and a writer wait for this condition

    def close(self) -> None:
        if not self._closed:
            self._connection._closed("client")
            self._release()
            self._out.finish()
            self._in.refuse()

    def abandon(self) -> None:
        if not self._closed:
            self._connection.abandoned = True
            self._release()

    def watch(self, callback: Callable[[], None] | None) -> bool:
        if self._backend.watches:
            self._watcher = callback
        return self._backend.watches

    def info(self) -> StreamInfo:
        return self._connection.info

    def _take(self, most: int) -> bytes:
        if self._in.arrived:
            return self._in.take(min(most, self._backend.max_read))
        self._in.end_seen = True
        if not self._in.ended:
            peer = self._connection.info.peer
            raise ReadError("the connection was reset by the peer", errno=errno.ECONNRESET, peer=peer)
        return b""

    def _unwritable(self) -> bool:
        return self._closed or self._in.broken or self._out.finished

    def _check_writable(self) -> None:
        if not self._unwritable():
            return
        peer = self._connection.info.peer
        if self._closed:
            raise WriteError("the stream was closed on this side", peer=peer)
        if self._in.broken:
            raise WriteError("the connection was reset by the peer", errno=errno.ECONNRESET, peer=peer)
        raise WriteError("expected no write to the stream after end()", errno=errno.EPIPE, peer=peer)

    def _release(self) -> None:
        self._closed = True
        self._watcher = None
        self._in.changed.notify()  # a reader and a writer wait for this condition

    def _on_input(self) -> None:
        # The call comes from the scheduler, as on an event loop, and not from inside the peer's task.
        if self._watcher is not None:
            self._scheduler.call_at(self._scheduler.now, self._call_watcher)

    def _call_watcher(self) -> None:
        if self._watcher is not None and not self._reading:
            self._watcher()


class SimulatedEvent:
    """A flag that tasks of the scheduler wait for. `Simulation.event` makes it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._changed = Condition(scheduler)
        self._flag = False

    def set(self) -> None:
        """Set the flag. Never waits."""
        self._flag = True
        self._changed.notify()

    async def wait(self, timeout: float | None) -> bool:
        """True when it is set; False when `timeout` seconds passed first."""
        return await self._scheduler.wait_until(lambda: self._flag, "an event", timeout, self._changed)


class SimulatedBackend:
    """A `httpcore.Backend` over a scheduler and a network. `Simulation.backend` returns the one of a simulation.

    Arguments:
        watches: as for `Simulation`.
        max_read, max_write: the most bytes that one read or write moves.
    """

    name = "simulation"

    def __init__(
        self,
        scheduler: Scheduler,
        network: Network,
        *,
        watches: bool = True,
        max_read: int = PIECE,
        max_write: int = PIECE,
    ) -> None:
        self.scheduler = scheduler
        self.network = network
        self.watches = watches
        self.max_read = max_read
        self.max_write = max_write

    def is_current(self) -> bool:
        return running_scheduler() is self.scheduler

    def is_gone(self) -> bool:
        return self.scheduler.is_over

    def now(self) -> float:
        return self.scheduler.now

    def event(self) -> Event:
        return SimulatedEvent(self.scheduler)

    def call_soon(self, function: Callable[[], None]) -> bool:
        if self.watches:
            self.scheduler.call_at(self.scheduler.now, function)
        return self.watches

    def spawn(self, run: Callable[[], Coroutine[object, None, None]]) -> Task[None]:
        """Start `run()` in a task of its own. `ASGITransport` runs its apps in this way."""
        return self.scheduler.spawn(run())

    async def interruptible(self, interrupt: Interrupt, run: Callable[[], Awaitable[T]]) -> T:
        """See `Backend`."""
        with self.scheduler.interruptible(interrupt):
            return await run()

    async def sleep(self, seconds: float) -> None:
        await self.scheduler.sleep(seconds)

    async def run_blocking(self, function: Callable[[], T]) -> T:
        await self.scheduler.sleep(0)
        return function()

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        return await self.network.look_up(host, timeout)

    async def connect_tcp(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        *,
        target: str | None = None,
        local_address: str | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> Stream:
        connection = await self.network.connect(addresses, port, timeout, target, local_address, socket_options)
        return SimulatedStream(self, connection)

    async def connect_unix(
        self, path: str, timeout: float | None, *, socket_options: Sequence[SocketOption] = ()
    ) -> Stream:
        connection = await self.network.connect([path], None, timeout, None, None, socket_options)
        return SimulatedStream(self, connection)


class _Drive(Protocol):
    """Runs a coroutine of the simulation to its end, from plain code: `Scheduler.drive`."""

    def __call__(self, coro: Coroutine[object, None, T], name: str = "") -> T: ...


class BlockingSimulatedBackend:
    """A `httpcore.Backend` that never suspends, for one thread of plain code. `Simulation.blocking` returns it.

    Each call runs the tasks of the simulation, the scripted peers among them, until it can return.
    """

    name = "simulation"

    def __init__(self, backend: SimulatedBackend) -> None:
        self._backend = backend
        self._drive: _Drive = backend.scheduler.drive

    def is_current(self) -> bool:
        return True

    def is_gone(self) -> bool:
        return self._backend.is_gone()

    def now(self) -> float:
        return self._backend.now()

    def event(self) -> Event:
        return _BlockingEvent(self._backend.event(), self._drive)

    def call_soon(self, function: Callable[[], None]) -> bool:
        return False  # as in threads: no loop runs while the caller's code does

    async def sleep(self, seconds: float) -> None:
        self._drive(self._backend.scheduler.sleep(seconds), "sleep")

    async def run_blocking(self, function: Callable[[], T]) -> T:
        return function()

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        return self._drive(self._backend.network.look_up(host, timeout), "look up")

    async def connect_tcp(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        *,
        target: str | None = None,
        local_address: str | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> Stream:
        connect = self._backend.network.connect(addresses, port, timeout, target, local_address, socket_options)
        return self._stream(connect)

    async def connect_unix(
        self, path: str, timeout: float | None, *, socket_options: Sequence[SocketOption] = ()
    ) -> Stream:
        return self._stream(self._backend.network.connect([path], None, timeout, None, None, socket_options))

    def _stream(self, connect: Coroutine[object, None, Connection]) -> Stream:
        return _BlockingStream(SimulatedStream(self._backend, self._drive(connect, "connect")), self._drive)


class _BlockingEvent:
    def __init__(self, event: Event, drive: _Drive) -> None:
        self._event = event
        self._drive = drive
        self.set = event.set

    async def wait(self, timeout: float | None) -> bool:
        return self._drive(self._event.wait(timeout), "wait")


class _BlockingStream:
    """`SimulatedStream` with each wait driven to its end. Plain calls are the stream's own."""

    owes = False
    truncated = False
    can_wake = False

    def __init__(self, stream: SimulatedStream, drive: _Drive) -> None:
        self._stream = stream
        self._drive = drive
        self.take = stream.take
        self.give = stream.give
        self.wake = stream.wake
        self.close = stream.close
        self.abandon = stream.abandon
        self.info = stream.info

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        return self._drive(self._stream.read(max_bytes, timeout), "read")

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        return self._drive(self._stream.write_some(data, timeout, duplex=duplex), "write")

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        return self._drive(self._stream.flush(timeout, duplex=duplex), "flush")

    async def end(self, timeout: float | None) -> None:
        self._drive(self._stream.end(timeout), "end")

    def watch(self, callback: Callable[[], None] | None) -> bool:
        return False  # as in threads: no loop runs while the caller's code does
