"""A world for tests: scripted peers, a virtual clock, a scheduler of coroutines. No socket, thread, loop or real time.

Whoever can run, runs, one at a time; when nobody can, the clock jumps to the next timer; when there is none, that is a
`Deadlock`, and it says who waits for what. A run is a function of its seed, so a schedule that fails can be played
again. `at_every_point` cancels, cuts or resets at each await of a scenario, one by one.

    async def serve(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def main() -> None:
        await httpcore.ConnectionPool().request("GET", "http://example.com/")

    world = World()
    world.listen("example.com", 80, serve)
    world.run(main())
"""

from __future__ import annotations

import errno
import heapq
import random
import threading
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from math import inf
from types import coroutine
from typing import Any, Generic, TypeVar

from .._errors import ConnectError, ConnectTimeout, ReadError, ReadTimeout, WriteError, WriteTimeout
from .base import PIECE, Backend, Event, SocketOption, Stream, StreamInfo
from .race import Race

__all__ = [
    "World",
    "Task",
    "Cancelled",
    "Deadlock",
    "ServerEnd",
    "PeerGone",
    "Connection",
    "current",
    "at_every_point",
]

T = TypeVar("T")

NOT_RESOLVED = -2  # socket.EAI_NONAME on Linux; this world imports no socket
_TURNS = 1_000_000
_here = threading.local()  # a pool made in another thread must not find this thread's world


def current() -> Backend | None:
    """The backend of the world that runs in this thread, if one does."""
    return getattr(_here, "backend", None)


class Cancelled(BaseException):
    """Thrown into a task by `Task.cancel`, at the await where it stands."""


class Deadlock(AssertionError):
    """Nobody can run and no timer is left, or turns are taken without end. The message says who waits for what."""


class PeerGone(ConnectionError):
    """The client reset or closed the connection under its server. Ends a handler without failing the test."""


Handler = Callable[["ServerEnd"], Awaitable[None]]
Act = Callable[["World", "Task[Any]"], object]


# The scheduler.


@coroutine
def _pause(what: str) -> Generator[str, None, None]:
    yield what


class Task(Generic[T]):
    """One coroutine that the world runs.

    Attributes:
        name: as given to `spawn`.
        done: it returned or raised.
        cancelled: it ended with the `Cancelled` that `cancel` threw.
        suspensions: how often it has waited so far.
        waiting_for: what it waits for now, or waited for last.
        lingered: what it waited for after it was cancelled. Clean-up that never awaits leaves this empty.
    """

    def __init__(self, world: World, coro: Coroutine[object, None, T], name: str) -> None:
        self.name = name
        self.done = False
        self.cancelled = False
        self.suspensions = 0
        self.waiting_for = "its first turn"
        self.lingered: list[str] = []
        self._world = world
        self._coro = coro
        self._queued = False  # it stands in the queue of those who can run
        self._cancel = False  # its next turn begins with Cancelled
        self._struck = False  # Cancelled was thrown into it
        self._seen = False  # somebody looked at how it ended
        self._value: T | None = None
        self._error: BaseException | None = None
        self._ended = _Bell(world)

    def cancel(self) -> bool:
        """Throw `Cancelled` at the await where the task stands, when its turn comes; False when it is done already.

        What it waited for may happen before that turn; it is cancelled all the same. A task that ends otherwise than
        with `Cancelled` after this has swallowed it, and `World.run` raises `AssertionError` for that.
        """
        if self.done:
            return False
        self._cancel = True
        if self is not self._world._running:
            self._world._wake(self)
        return True

    @property
    def error(self) -> BaseException | None:
        """What it raised, if it did."""
        self._seen = True
        return self._error

    def result(self) -> T:
        """What it returned; raises what it raised, and `RuntimeError` while it runs."""
        if not self.done:
            raise RuntimeError(f"{self.name} is not done: it waits for {self.waiting_for}")
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]  # done without an error: the value is a T

    async def wait(self) -> None:
        """Wait until it is done, however it ends."""
        await self._world._until(lambda: self.done, f"the end of {self.name}", None, self._ended)

    def _finish(self, value: T | None, error: BaseException | None) -> None:
        self.done, self._value, self._error = True, value, error
        self.cancelled = self._struck and isinstance(error, Cancelled)
        self._ended.ring()


class _Bell:
    """Who waits for one thing to change."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting: dict[Task[Any], Callable[[], bool]] = {}

    def ring(self) -> None:
        for task, ready in self.waiting.items():
            # One that runs and still stands here goes on already: a strike at its moment rang.
            if task is not self._world._running and ready():
                self._world._wake(task)


class _Timer:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call


class World:
    """The scheduler, the clock and the network. One world runs once.

    Arguments:
        seed: where the random choices of `shuffle` begin. Default 0.
        shuffle: who runs next is chosen at random among those who can; otherwise first come, first served.
        checkpoints: each call of the backend suspends once before it looks, as in trio; otherwise only when it must
            wait, as in asyncio. Default True.
        watches: `Stream.watch` works, as in asyncio; otherwise it returns False, as in trio and threads. Default True.
        max_read, max_write: the most bytes one read or write of the client moves. Default None: `PIECE`.

    Attributes:
        now: seconds since the world began.
        attempts: host or address, and port, of each connect that was begun, in order.
        lookups: each name that the system was asked for, in order.
        connections: every connection that was opened, in order.

    Raises:
        ValueError: `max_read` or `max_write` is less than 1.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        shuffle: bool = False,
        checkpoints: bool = True,
        watches: bool = True,
        max_read: int | None = None,
        max_write: int | None = None,
    ) -> None:
        for name, value in (("max_read", max_read), ("max_write", max_write)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value!r}: a number of bytes from 1 up is allowed, or None")
        self.seed = seed
        self.now = 0.0
        self.attempts: list[tuple[str, int | None]] = []
        self.lookups: list[str] = []
        self.connections: list[Connection] = []
        self._random = random.Random(seed) if shuffle else None  # noqa: S311  # schedules, not secrets
        self._checkpoints = checkpoints
        self._watches = watches
        self._max_read = min(max_read or PIECE, PIECE)
        self._max_write = min(max_write or PIECE, PIECE)
        self._backend = MemoryBackend(self)
        self._places: dict[tuple[str, int | None], _Place] = {}
        self._names: dict[str, tuple[list[str], float]] = {}
        self._tasks: list[Task[Any]] = []
        self._spawned = 0
        self._ready: deque[Task[Any]] = deque()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._timed = 0
        self._running: Task[Any] | None = None
        self._begun = False
        self._gone = False
        self._victim: Task[Any] | None = None
        self._moments = 0
        self._strike: Callable[[int], object] | None = None

    def backend(self) -> Backend:
        """What this world offers to the library, always the same object."""
        return self._backend

    # Running.

    def run(self, main: Coroutine[object, None, T]) -> T:
        """Run `main` to its end, then cancel what still runs. Returns what `main` returned.

        Raises:
            Deadlock: `main` cannot end.
            AssertionError: a task swallowed its cancellation.
            Exception: what `main` raised, or the first task that failed with nobody looking at its result. Other
                failures are in the notes of the one that is raised.
            RuntimeError: this world has run already.
        """
        if self._begun:
            main.close()
            raise RuntimeError("this World has run already: make a new one for each run")
        self._begun = True
        before, _here.backend = current(), self._backend
        task = self.spawn(main, "main")
        try:
            try:
                stuck = self._turns(task)
            finally:
                self._cancel_the_rest()
        finally:
            _here.backend = before
        self._report(([stuck] if stuck else []) + ([task._error] if task._error else []), main=task)
        return task.result()

    def spawn(self, coro: Coroutine[object, None, T], name: str = "") -> Task[T]:
        """Run `coro` beside the others. Its first turn comes later."""
        self._spawned += 1
        task = Task(self, coro, name or f"task {self._spawned}")
        self._tasks.append(task)
        self._wake(task)
        return task

    async def victim(self, coro: Coroutine[object, None, T]) -> Task[T]:
        """Run `coro` to its end, however it ends, as the task at whose awaits `at_every_point` acts."""
        self._victim = task = self.spawn(coro, "victim")
        task._seen = True
        await task.wait()
        return task

    def event(self) -> Event:
        return MemoryEvent(self)

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of the virtual clock."""
        await self._until(lambda: False, f"{seconds:g} s to pass", max(seconds, 0.0))

    def skip(self, seconds: float) -> None:
        """Let the clock jump, as if the machine had slept: every timer on the way is due at once."""
        self.now += seconds

    def _turns(self, main: Task[Any]) -> Deadlock | None:
        for _ in range(_TURNS):
            self._fire_what_is_due()
            if main.done:
                return None
            if self._ready:
                self._step(self._next())
            elif self._timers:
                self.now = self._timers[0][0]
            else:
                return Deadlock(f"nobody can run and no timer is left; {self._who_waits()}")
        return Deadlock(f"no end after {_TURNS:,} turns, at {self.now:g} s; {self._who_waits()}")

    def _who_waits(self) -> str:
        waiting = [f"{task.name} waits for {task.waiting_for}" for task in self._tasks if not task.done]
        return f"seed {self.seed}:\n  " + "\n  ".join(waiting)

    def _next(self) -> Task[Any]:
        chosen = self._random.randrange(len(self._ready)) if self._random else 0
        task = self._ready[chosen]
        del self._ready[chosen]
        task._queued = False
        return task

    def _step(self, task: Task[Any]) -> None:
        self._running = task
        self._moment(task)
        try:
            if task._cancel:
                task._cancel, task._struck = False, True
                what: object = task._coro.throw(Cancelled())
            else:
                what = task._coro.send(None)
        except StopIteration as stop:
            task._finish(stop.value, None)
        except (KeyboardInterrupt, SystemExit) as error:
            task._finish(None, error)
            raise
        except BaseException as error:
            task._finish(None, error)
        else:
            self._suspended(task, what)
        finally:
            self._running = None

    def _suspended(self, task: Task[Any], what: object) -> None:
        self._running = None
        if not isinstance(what, str):
            task._coro.close()
            return task._finish(None, RuntimeError(f"{task.name} awaits {what!r}, which is not of this world"))
        task.suspensions += 1
        task.waiting_for = what
        if task._struck:
            task.lingered.append(what)
        if task._cancel:  # it has cancelled itself
            self._wake(task)
        return self._moment(task)

    def _moment(self, task: Task[Any]) -> None:
        # A victim has two moments for each await: just after it begins to wait, and just before it goes on.
        if task is self._victim and not self._gone:
            self._moments += 1
            if self._strike is not None:
                self._strike(self._moments)

    def _wake(self, task: Task[Any]) -> None:
        if not task._queued and not task.done:
            task._queued = True
            self._ready.append(task)

    def _cancel_the_rest(self) -> None:
        self._gone = True
        for _ in range(100):
            left = [task for task in self._tasks if not task.done]
            if not left:
                return
            for task in left:
                task.cancel()
                self._step(task)
        raise AssertionError(f"tasks do not end when they are cancelled; {self._who_waits()}")

    def _report(self, errors: list[BaseException], main: Task[Any]) -> None:
        notes = []
        for task in self._tasks:
            if task._struck and not task.cancelled:
                end = "returned" if task._error is None else f"raised {task._error!r}"
                errors.append(AssertionError(f"{task.name} was cancelled and {end}: Cancelled must not be swallowed"))
            if task is not main and task._error is not None and not task.cancelled and not task._seen:
                errors.append(task._error)
                notes.append(f"{task.name} failed: " + "".join(traceback.format_exception(task._error)))
        if errors:
            for note in notes:
                errors[0].add_note(note)
            raise errors[0]

    # Waiting: the only place where a task suspends.

    async def _until(self, ready: Callable[[], bool], what: str, timeout: float | None, *bells: _Bell) -> bool:
        """Wait until `ready` holds, asked when one of `bells` rings. False when `timeout` seconds passed first."""
        task = self._running
        if task is None:
            raise RuntimeError(f"awaited outside of World.run: {what}")
        deadline = None if timeout is None else self.now + timeout
        if self._checkpoints or timeout == 0:
            self._wake(task)
            await _pause(f"a turn, before {what}")
        while not ready():
            if deadline is not None and self.now >= deadline:
                return False
            await self._wait(task, ready, what, deadline, bells)
        return True

    async def _wait(
        self,
        task: Task[Any],
        ready: Callable[[], bool],
        what: str,
        deadline: float | None,
        bells: tuple[_Bell, ...],
    ) -> None:
        timer = None if deadline is None else self._at(deadline, lambda: self._wake(task))
        for bell in bells:
            bell.waiting[task] = ready
        try:
            await _pause(what if deadline is None else f"{what} (until {deadline:g} s)")
        finally:
            for bell in bells:
                bell.waiting.pop(task, None)
            if timer is not None:
                timer.call = None

    def _at(self, when: float, call: Callable[[], object]) -> _Timer:
        timer = _Timer(call)
        self._timed += 1
        heapq.heappush(self._timers, (when, self._timed, timer))
        return timer

    def _fire_what_is_due(self) -> None:
        # All that is due comes before anybody runs: a waiter whose timer fires at the instant its data lands gets both.
        while self._timers and (self._timers[0][0] <= self.now or self._timers[0][2].call is None):
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                call()

    # The network.

    def listen(
        self,
        host: str,
        port: int | None,
        handler: Handler,
        *,
        connect_delay: float = 0.0,
        delay_there: float = 0.0,
        delay_back: float = 0.0,
        window: int = PIECE,
    ) -> None:
        """Serve `host` and `port` (a path and None: a unix socket) with a task of `handler` for each connection.

        When the handler ends, its side of the connection is closed. A second call replaces the first.

        Arguments:
            connect_delay: seconds that a connect takes.
            delay_there, delay_back: seconds that bytes are under way from and to the client.
            window: bytes that can be under way or unread in each direction before a writer has to wait.
        """
        self._places[host, port] = _Place(handler, connect_delay, delay_there, delay_back, window)

    def refuse(self, host: str, port: int | None, *, connect_delay: float = 0.0) -> None:
        """The host is there, and nobody listens. (A name that was never heard of does not resolve.)"""
        self._places[host, port] = _Place(None, connect_delay)

    def blackhole(self, host: str, port: int | None) -> None:
        """From now on a connect gets no answer."""
        self._places[host, port] = _Place(None, connect_delay=inf)

    def resolve(self, host: str, addresses: Sequence[str], *, delay: float = 0.0) -> None:
        """From now on the name leads to these places, which `listen` and the like name; to none: it does not resolve.

        A name that was never given any is its own address.

        Arguments:
            delay: seconds that the answer takes.
        """
        self._names[host] = (list(addresses), delay)

    def cut(self, host: str | None = None) -> None:
        """From now on no byte to or from `host` (None: any) arrives, even if under way, and no connect is answered."""
        for place in self._places:
            if host in (None, place[0]):
                self.blackhole(*place)
        for connection in self.connections:
            if host in (None, connection.host):
                connection.cut()

    @property
    def open_connections(self) -> list[Connection]:
        """Those that the client has not closed."""
        return [connection for connection in self.connections if not connection.client_closed]

    def _place(self, host: str, port: int | None) -> _Place:
        return self._places.get((host, port), _NOWHERE)

    async def _look_up(self, host: str, timeout: float | None) -> list[str]:
        self.lookups.append(host)
        _, delay = self._names.get(host, ([], 0.0))
        answer = self.now + delay
        answered = _Bell(self)
        timer = self._at(answer, answered.ring) if answer < inf else None
        try:
            there = await self._until(lambda: answer <= self.now, f"the addresses of {host}", timeout, answered)
        finally:
            if timer is not None:
                timer.call = None
        if not there:
            raise ConnectTimeout(f"resolving {host} took too long", phase="resolve", limit=timeout)
        known = [host] if any(host == place for place, _ in self._places) else []
        addresses, _ = self._names.get(host, (known, 0.0))
        if not addresses:
            raise ConnectError(f"{host}: the name does not resolve", phase="resolve", errno=NOT_RESOLVED)
        return list(addresses)

    async def _connect(
        self,
        hosts: Sequence[str],
        port: int | None,
        timeout: float | None,
        target: str | None,
        local: str | None,
        options: Sequence[SocketOption],
    ) -> MemoryStream:
        race = Race(target or _text(hosts[0], port), hosts, timeout, lambda: self.now)
        under_way: list[_Attempt] = []
        try:
            while (won := self._won(race, under_way, port)) is None:
                what = " or ".join([attempt.peer for attempt in under_way])
                bells = [attempt.answered for attempt in under_way]
                await self._until(
                    lambda: any(attempt.outcome() for attempt in under_way),
                    f"a connection to {what}",
                    race.wait(),
                    *bells,
                )
        finally:
            for attempt in under_way:
                attempt.leave()
        connection = Connection(self, won, len(self.connections), local, tuple(options))
        self.connections.append(connection)
        self.spawn(_serve(won.handler, ServerEnd(connection)), f"server {len(self.connections)} ({won.peer})")
        return MemoryStream(self, connection)

    def _won(self, race: Race[str], under_way: list[_Attempt], port: int | None) -> _Won | None:
        """Look at what is under way, and begin what is due."""
        for attempt in list(under_way):
            place = attempt.outcome()
            if place is not None and place.handler is not None:
                return _Won(attempt.host, port, attempt.peer, place, place.handler)
            if place is not None:
                under_way.remove(attempt)
                race.failed(attempt.peer, self._no_connection(attempt.host, port))
        while (host := race.next()) is not None:
            self.attempts.append((host, port))
            under_way.append(_Attempt(self, host, port))
        race.check([attempt.peer for attempt in under_way])
        return None

    def _no_connection(self, host: str, port: int | None) -> OSError:
        if any(host == known for known, _ in self._places):
            return OSError(errno.ECONNREFUSED, "connection refused")
        if port is None:
            return OSError(errno.ENOENT, "no such socket")
        return OSError(errno.EHOSTUNREACH, "no route to host")


class _Attempt:
    """A connect that is under way."""

    def __init__(self, world: World, host: str, port: int | None) -> None:
        self.host = host
        self.peer = _text(host, port)
        self.answered = _Bell(world)
        self._world = world
        self._port = port
        self._arrival = world.now + world._place(host, port).connect_delay
        self._timer = world._at(self._arrival, self.answered.ring) if self._arrival < inf else None

    def outcome(self) -> _Place | None:
        """What is there, once it has answered; it may have changed meanwhile."""
        place = self._world._place(self.host, self._port)
        return place if self._arrival <= self._world.now and place.connect_delay < inf else None

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.call = None


@dataclass(frozen=True)
class _Won:
    """The attempt that was answered first, and what answered."""

    host: str
    port: int | None
    peer: str
    place: _Place
    handler: Handler


@dataclass(frozen=True)
class _Place:
    """How one host and port answers."""

    handler: Handler | None
    connect_delay: float = 0.0
    delay_there: float = 0.0
    delay_back: float = 0.0
    window: int = PIECE


_NOWHERE = _Place(None)


async def _serve(handler: Handler, peer: ServerEnd) -> None:
    try:
        await handler(peer)
    except PeerGone:
        pass
    finally:
        peer.close()


def _text(host: str, port: int | None) -> str:
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Pipe:
    """One direction of a connection: what was sent, what is under way, what has arrived."""

    def __init__(self, world: World, delay: float, window: int) -> None:
        self.log = bytearray()  # all that was sent
        self.arrived = bytearray()  # and not yet read
        self.finished = False  # the sender has sent its FIN
        self.ended = False  # the FIN has arrived
        self.broken = False  # an RST has arrived
        self.told = False  # the reader has been told of the end
        self.deaf = False  # the reader has closed: bytes that arrive are answered with an RST
        self.cut = False
        self.bell = _Bell(world)
        self.heard: Callable[[], None] = lambda: None
        self.back = self  # the other direction, once there is one
        self._world = world
        self._delay = delay
        self._window = window
        self._unread = 0

    def room(self) -> int:
        return self._window - self._unread

    def waits(self) -> bool:
        """Input waits: bytes, or an end that the reader does not know of."""
        return bool(self.arrived) or (self.over() and not self.told)

    def over(self) -> bool:
        return self.ended or self.broken

    def put(self, data: bytes) -> None:
        self.log += data
        self._unread += len(data)
        self._send(lambda: self._land(data))

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self._send(self._land_end)

    def reset(self, discard: bool = False) -> None:
        self._send(lambda: self._land_reset(discard))

    def take(self, most: int) -> bytes:
        data = bytes(self.arrived[:most])
        del self.arrived[:most]
        self._unread -= len(data)
        self.bell.ring()
        return data

    def shut_ears(self) -> None:
        self.deaf = True
        self.take(len(self.arrived))

    def _send(self, land: Callable[[], None]) -> None:
        if self._delay:
            self._world._at(self._world.now + self._delay, lambda: self._arrive(land))
        else:
            self._arrive(land)

    def _arrive(self, land: Callable[[], None]) -> None:
        if not self.cut:  # what is cut stays "under way" for ever, so the sender's window fills
            land()
            self.bell.ring()

    def _land(self, data: bytes) -> None:
        if self.deaf:
            self.back.reset()
        elif not self.broken:
            self.arrived += data
            self.heard()

    def _land_end(self) -> None:
        if not self.broken:
            self.ended = True
            self.heard()

    def _land_reset(self, discard: bool) -> None:
        if discard:
            self.take(len(self.arrived))
        self.broken = True
        self.back.bell.ring()  # its writer waits there
        self.heard()


class Connection:
    """What happened on one connection, for tests to look at.

    Attributes:
        host, port, local_address, socket_options: as they were asked for.
        opened_at: seconds of the virtual clock.
        client_closed, server_closed, abandoned: what its ends have done.
        closed_by: who closed first: "client", "server" or None.
    """

    def __init__(
        self,
        world: World,
        to: _Won,
        number: int,
        local_address: str | None,
        socket_options: tuple[SocketOption, ...],
    ) -> None:
        self.host = to.host
        self.port = to.port
        self.local_address = local_address
        self.socket_options = socket_options
        self.opened_at = world.now
        self.client_closed = False
        self.server_closed = False
        self.abandoned = False
        self.closed_by: str | None = None
        local = "" if to.port is None else _text(local_address or "127.0.0.1", 49152 + number)
        self.info = StreamInfo(peer=to.peer, local=local)
        self._world = world
        self._there = _Pipe(world, to.place.delay_there, to.place.window)
        self._back = _Pipe(world, to.place.delay_back, to.place.window)
        self._there.back, self._back.back = self._back, self._there

    @property
    def sent(self) -> bytes:
        """All that the client sent, arrived or not."""
        return bytes(self._there.log)

    @property
    def replied(self) -> bytes:
        """All that the server sent, arrived or not."""
        return bytes(self._back.log)

    def cut(self) -> None:
        """From now on nothing arrives, in either direction, and nobody is told."""
        self._there.cut = self._back.cut = True

    def reset(self, *, discard: bool = False) -> None:
        """Break it for both ends, as a box in the middle does. `discard`: what has arrived and is unread is lost."""
        self._there.reset(discard)
        self._back.reset(discard)

    def _closed(self, by: str) -> None:
        self.closed_by = self.closed_by or by
        if by == "client":
            self.client_closed = True
        else:
            self.server_closed = True


class ServerEnd:
    """The scripted peer's side of one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._world = connection._world
        self._in = connection._there
        self._out = connection._back
        self._held = b""  # read by `recv_until`, behind what it was asked for

    @property
    def eof(self) -> bool:
        """The client has ended its side, and everything before that was received."""
        return self._in.ended and not self._in.arrived and not self._held

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        """Wait for bytes: at most `max_bytes`; `b""` at the end. Raises `PeerGone` after a reset."""
        if not self._held:
            self._held = await self._read(max_bytes)
        data, self._held = self._held[:max_bytes], self._held[max_bytes:]
        return data

    async def recv_until(self, mark: bytes) -> bytes:
        """Wait for `mark`; returns what comes up to its end. Raises `PeerGone` when the client ends before that."""
        while mark not in self._held:
            await self._more()
        cut = self._held.index(mark) + len(mark)
        data, self._held = self._held[:cut], self._held[cut:]
        return data

    async def recv_exactly(self, size: int) -> bytes:
        """Wait for `size` bytes. Raises `PeerGone` when the client ends before that."""
        while len(self._held) < size:
            await self._more()
        data, self._held = self._held[:size], self._held[size:]
        return data

    async def send(self, data: bytes, *, piece: int | None = None, delay: float = 0.0) -> None:
        """Send all of `data`, waiting for room; in pieces of at most `piece` bytes, `delay` seconds after each other.

        Raises:
            PeerGone: the connection is reset, or closed on this side.
        """
        start = 0
        while start < len(data):
            if start and delay:
                await self._world.sleep(delay)
            room = await self._room()
            size = min(room, piece or room)
            self._out.put(data[start : start + size])
            start += size

    def end(self) -> None:
        """FIN: no more bytes come; receiving goes on."""
        self._out.finish()

    def close(self) -> None:
        """FIN, and what the client sends from now on is answered with RST."""
        if not self.connection.server_closed:
            self.connection._closed("server")
            self._out.finish()
            self._in.shut_ears()

    def reset(self, *, discard: bool = False) -> None:
        """RST: the client's calls fail with ECONNRESET, after the bytes that it has not read; `discard`: they are lost.

        Both are real: systems differ.
        """
        if not self.connection.server_closed:
            self.connection._closed("server")
            self._out.finished = True
            self._out.reset(discard)
            self._in.shut_ears()

    async def _more(self) -> None:
        data = await self._read(PIECE)
        if not data:
            raise PeerGone("the client ended its side")
        self._held += data

    async def _read(self, most: int) -> bytes:
        pipe = self._in
        await self._world._until(
            lambda: pipe.waits() or pipe.over() or pipe.deaf, "bytes from the client", None, pipe.bell
        )
        if not pipe.arrived and (pipe.deaf or not pipe.ended):
            raise PeerGone("closed on this side" if pipe.deaf else "the client reset the connection")
        return pipe.take(most)

    async def _room(self) -> int:
        def ready() -> bool:
            return self._out.room() > 0 or self._in.broken or self._out.finished

        await self._world._until(ready, "room to send to the client", None, self._out.bell)
        if self._in.broken or self._out.finished:
            raise PeerGone("the client reset the connection" if self._in.broken else "closed on this side")
        return self._out.room()


class MemoryStream:
    """The client's side of one connection."""

    owes = False
    truncated = False

    def __init__(self, world: World, connection: Connection) -> None:
        self._world = world
        self._connection = connection
        self._in = connection._back
        self._out = connection._there
        self._in.heard = self._heard
        self._closed = False
        self._reading = False
        self._writing = False
        self._watcher: Callable[[], None] | None = None

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        peer = self._connection.info.peer
        if self._reading:
            raise RuntimeError(f"two tasks read from {peer} at once")
        self._reading = True
        try:
            there = await self._world._until(
                lambda: self._closed or bool(self._in.arrived) or self._in.over(),
                f"bytes from {peer}",
                timeout,
                self._in.bell,
            )
        finally:
            self._reading = False
        if self._closed:
            raise ReadError("the stream was closed on this side", peer=peer)
        if not there:
            raise ReadTimeout(f"no bytes came for {timeout:g} s", peer=peer, limit=timeout)
        return self._take(max_bytes)

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        peer = self._connection.info.peer
        if self._writing:
            raise RuntimeError(f"two tasks write to {peer} at once")
        self._writing = True
        try:
            there = await self._world._until(
                lambda: self._unwritable() or self._out.room() > 0 or (not duplex and self._in.waits()),
                f"room to write to {peer}",
                timeout,
                self._out.bell,
                self._in.bell,
            )
        finally:
            self._writing = False
        self._check_writable()
        if not there:
            raise WriteTimeout(f"no room for one byte in {timeout:g} s", peer=peer, limit=timeout)
        if not duplex and self._in.waits():
            return 0
        size = min(self._out.room(), self._world._max_write)
        piece = bytes(memoryview(data).cast("B")[:size])
        if piece:
            self._out.put(piece)
        return len(piece)

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        self._check_writable()  # and nothing to wait for: what `write_some` took has left
        return True

    async def end(self, timeout: float | None) -> None:
        await self._world._until(lambda: True, f"the end of writing to {self._connection.info.peer}", timeout)
        if not self._out.finished or self._closed:
            self._check_writable()
            self._out.finish()

    def take(self) -> bytes | None:
        if self._closed:
            raise ReadError("the stream was closed on this side", peer=self._connection.info.peer)
        return self._take(PIECE) if self._in.arrived or self._in.over() else None

    def give(self, data: bytes | bytearray | memoryview) -> int:
        if self._writing:
            raise RuntimeError(f"two tasks write to {self._connection.info.peer} at once")
        piece = bytes(data)[: min(self._out.room(), self._world._max_write)]
        if not piece or self._unwritable():
            return 0
        self._out.put(piece)
        return len(piece)

    def close(self) -> None:
        if not self._closed:
            self._connection._closed("client")
            self._let_go()
            self._out.finish()
            self._in.shut_ears()

    def abandon(self) -> None:
        if not self._closed:
            self._connection.abandoned = True
            self._let_go()

    def watch(self, callback: Callable[[], None] | None) -> bool:
        if self._world._watches:
            self._watcher = callback
        return self._world._watches

    def info(self) -> StreamInfo:
        return self._connection.info

    def _take(self, most: int) -> bytes:
        if self._in.arrived:
            return self._in.take(min(most, self._world._max_read))
        self._in.told = True
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
        raise WriteError("this side of the stream was ended", errno=errno.EPIPE, peer=peer)

    def _let_go(self) -> None:
        self._closed = True
        self._watcher = None
        self._in.bell.ring()  # a reader and a writer wait there

    def _heard(self) -> None:
        # The call comes from the scheduler, as on an event loop, and not from inside the peer's task.
        if self._watcher is not None:
            self._world._at(self._world.now, self._call_watcher)

    def _call_watcher(self) -> None:
        if self._watcher is not None and not self._reading:
            self._watcher()


class MemoryEvent:
    def __init__(self, world: World) -> None:
        self._world = world
        self._bell = _Bell(world)
        self._flag = False

    def set(self) -> None:
        self._flag = True
        self._bell.ring()

    async def wait(self, timeout: float | None) -> bool:
        return await self._world._until(lambda: self._flag, "an event", timeout, self._bell)


class MemoryBackend:
    """The world as the library sees it."""

    name = "memory"

    def __init__(self, world: World) -> None:
        self._world = world

    def is_current(self) -> bool:
        return current() is self

    def is_gone(self) -> bool:
        return self._world._gone

    def now(self) -> float:
        return self._world.now

    def event(self) -> Event:
        return self._world.event()

    async def sleep(self, seconds: float) -> None:
        await self._world.sleep(seconds)

    async def run_blocking(self, function: Callable[[], T]) -> T:
        await self._world.sleep(0)
        return function()

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        return await self._world._look_up(host, timeout)

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
        return await self._world._connect(addresses, port, timeout, target, local_address, socket_options)

    async def connect_unix(
        self, path: str, timeout: float | None, *, socket_options: Sequence[SocketOption] = ()
    ) -> Stream:
        return await self._world._connect([path], None, timeout, None, None, socket_options)


def at_every_point(
    scenario: Callable[[World], Coroutine[object, None, object]],
    act: Act,
    *,
    times: int = 1,
    make: Callable[[], World] = World,
) -> int:
    """Run `scenario` in a new world once for every moment of its victim, and call `act(world, victim)` at that moment.

    The scenario awaits `world.victim(coro)` once and then checks what it wants to hold. The moments are: before the
    first turn, and for each await just after the victim begins to wait and just before it goes on (so that what it
    waited for has already happened). With `times=2` the act comes again at the same moment of the victim's next await,
    if there is one: it was cancelled, and is cancelled again in its clean-up.

    Returns how many moments there were. An exception of the scenario gets a note that says at which moment it came.
    """
    counting = make()
    counting.run(scenario(counting))
    if not counting._moments:
        raise AssertionError("the scenario has no victim: it must await world.victim(...)")
    for moment in range(1, counting._moments + 1):
        _strike_at(moment, times, make(), scenario, act)
    return counting._moments


def _strike_at(
    moment: int, times: int, world: World, scenario: Callable[[World], Coroutine[object, None, object]], act: Act
) -> None:
    struck: list[str] = []

    def strike(now: int) -> None:
        later = now - moment
        if later >= 0 and later % 2 == 0 and later < 2 * times and world._victim is not None:
            struck.append(("after" if now % 2 else "during") + f" its wait for {world._victim.waiting_for}")
            act(world, world._victim)

    world._strike = strike
    try:
        world.run(scenario(world))
    except BaseException as error:
        error.add_note(f"moment {moment} of the victim, {' and '.join(struck)}; seed {world.seed}")
        raise
    if not struck:
        raise AssertionError(f"moment {moment} never came: two runs of the scenario differ")
