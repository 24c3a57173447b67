"""A simulated network: hosts that are served by scripts, connections that can be delayed, cut and reset, and names.

Each direction of a connection is a pipe that records the bytes that were sent, are on their way, have arrived and
have been read. This module contains neither HTTP nor the client's side, which is in `backend`.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf

from .._address import host_port
from .._backends.base import PIECE, SocketOption, StreamInfo
from .._backends.happy_eyeballs import Race
from .._errors import ConnectError, ConnectTimeout
from .scheduler import Condition, Scheduler, Timer

__all__ = ["Connection", "Handler", "Network", "PeerGone", "ServerEnd"]

NOT_RESOLVED = -2  # socket.EAI_NONAME on Linux; this module imports no socket


class PeerGone(ConnectionError):
    """The client has reset or closed the connection. A handler that ends with this error does not fail the test."""


Handler = Callable[["ServerEnd"], Awaitable[None]]
"""Serves one connection: an async function that takes the server's end."""


class Network:
    """Hosts, names and connections, by the clock of one scheduler.

    Arguments:
        scheduler: runs the handlers, one task for each connection.

    Attributes:
        attempts: host or address, and port, of each connect that was begun, in order.
        lookups: each name that was looked up in the system, in order.
        connections: every connection that was opened, in order.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.attempts: list[tuple[str, int | None]] = []
        self.lookups: list[str] = []
        self.connections: list[Connection] = []
        self._scheduler = scheduler
        self._places: dict[tuple[str, int | None], _Place] = {}
        self._names: dict[str, tuple[list[str], float]] = {}

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
        """The host exists, and refuses connections. (A name that was never set up does not resolve.)"""
        self._places[host, port] = _Place(None, connect_delay)

    def blackhole(self, host: str, port: int | None) -> None:
        """From now on a connect receives no reply."""
        self._places[host, port] = _Place(None, connect_delay=inf)

    def resolve(self, host: str, addresses: Sequence[str], *, delay: float = 0.0) -> None:
        """From now on `host` resolves to `addresses`, which are hosts as in `listen` and the other methods. With an
        empty list it does not resolve.

        A name for which this method was not called resolves to itself.

        Arguments:
            delay: seconds that the lookup takes.
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
        """The connections that the client has not closed."""
        return [connection for connection in self.connections if not connection.client_closed]

    # The client's side: the methods that a backend calls.

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        """The addresses of a name, as `httpcore.Backend.look_up` promises."""
        self.lookups.append(host)
        _, delay = self._names.get(host, ([], 0.0))
        scheduler = self._scheduler
        answer = scheduler.now + delay
        answered = Condition(scheduler)
        timer = scheduler.call_at(answer, answered.notify) if answer < inf else None
        try:
            in_time = await scheduler.wait_until(
                lambda: answer <= scheduler.now, f"the addresses of {host}", timeout, answered
            )
        finally:
            if timer is not None:
                timer.cancel()
        if not in_time:
            raise ConnectTimeout(f"resolving {host} took too long", phase="resolve", limit=timeout)
        known = [host] if self._is_known(host) else []
        addresses, _ = self._names.get(host, (known, 0.0))
        if not addresses:
            raise ConnectError(f"{host}: the name does not resolve", phase="resolve", errno=NOT_RESOLVED)
        return list(addresses)

    async def connect(
        self,
        hosts: Sequence[str],
        port: int | None,
        timeout: float | None,
        target: str | None,
        local: str | None,
        options: Sequence[SocketOption],
    ) -> Connection:
        """Connect to the first of `hosts` that accepts, as `httpcore.Backend.connect_tcp` promises."""
        race = Race(target or _text(hosts[0], port), hosts, timeout, lambda: self._scheduler.now)
        under_way: list[_Attempt] = []
        try:
            while (won := self._check_attempts(race, under_way, port)) is None:
                what = " or ".join([attempt.peer for attempt in under_way])
                await self._scheduler.wait_until(
                    lambda: any(attempt.outcome() for attempt in under_way),
                    f"a connection to {what}",
                    race.wait(),
                    *[attempt.answered for attempt in under_way],
                )
        finally:
            for attempt in under_way:
                attempt.leave()
        connection = Connection(self._scheduler, won, len(self.connections), local, tuple(options))
        self.connections.append(connection)
        self._scheduler.spawn(
            _serve(won.handler, ServerEnd(connection)), f"server {len(self.connections)} ({won.peer})"
        )
        return connection

    def _check_attempts(self, race: Race[str], under_way: list[_Attempt], port: int | None) -> _Winner | None:
        """Check the running attempts, and begin those that are due."""
        for attempt in list(under_way):
            place = attempt.outcome()
            if place is not None and place.handler is not None:
                return _Winner(attempt.host, port, attempt.peer, place, place.handler)
            if place is not None:
                under_way.remove(attempt)
                race.failed(attempt.peer, self._no_connection(attempt.host, port))
        while (host := race.next()) is not None:
            self.attempts.append((host, port))
            under_way.append(_Attempt(self, self._scheduler, host, port))
        race.check([attempt.peer for attempt in under_way])
        return None

    def _no_connection(self, host: str, port: int | None) -> OSError:
        if self._is_known(host):
            return OSError(errno.ECONNREFUSED, "connection refused")
        if port is None:
            return OSError(errno.ENOENT, "no such socket")
        return OSError(errno.EHOSTUNREACH, "no route to host")

    def _is_known(self, host: str) -> bool:
        return any(host == known for known, _ in self._places)

    def _place(self, host: str, port: int | None) -> _Place:
        return self._places.get((host, port), _NOWHERE)


class _Attempt:
    """A running connect."""

    def __init__(self, network: Network, scheduler: Scheduler, host: str, port: int | None) -> None:
        self.host = host
        self.peer = _text(host, port)
        self.answered = Condition(scheduler)
        self._network = network
        self._scheduler = scheduler
        self._port = port
        self._arrival = scheduler.now + network._place(host, port).connect_delay
        self._timer: Timer | None = None
        if self._arrival < inf:
            self._timer = scheduler.call_at(self._arrival, self.answered.notify)

    def outcome(self) -> _Place | None:
        """The place, once it has answered, otherwise None. The place may have been changed since the attempt began."""
        place = self._network._place(self.host, self._port)
        return place if self._arrival <= self._scheduler.now and place.connect_delay < inf else None

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


@dataclass(frozen=True)
class _Winner:
    """The attempt that succeeded first, and its place."""

    host: str
    port: int | None
    peer: str
    place: _Place
    handler: Handler


@dataclass(frozen=True)
class _Place:
    """The behaviour of one host and port."""

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
    return host_port(host, port)


class _Pipe:
    """One direction of a connection: the bytes that were sent, are on their way, and have arrived."""

    def __init__(self, scheduler: Scheduler, delay: float, window: int) -> None:
        self.log = bytearray()  # all bytes that were sent
        self.read = 0  # how many of them the reader has read
        self.arrived = bytearray()  # bytes that have arrived and were not read yet
        self.finished = False  # the sender has sent its FIN
        self.ended = False  # the FIN has arrived
        self.broken = False  # an RST has arrived
        self.end_seen = False  # the reader has read the end
        self.refused = False  # the reader has closed: bytes that arrive are answered with an RST
        self.cut = False
        self.changed = Condition(scheduler)
        self.on_input: Callable[[], None] = lambda: None
        self.back = self  # the other direction, once there is one
        self._scheduler = scheduler
        self._delay = delay
        self._window = window
        self._unread = 0

    def room(self) -> int:
        return self._window - self._unread

    def has_input(self) -> bool:
        """Bytes, or an end that the reader has not read."""
        return bool(self.arrived) or (self.over() and not self.end_seen)

    def over(self) -> bool:
        return self.ended or self.broken

    def put(self, data: bytes) -> None:
        self.log += data
        self._unread += len(data)
        self._send(lambda: self._deliver(data))

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self._send(self._deliver_end)

    def reset(self, discard: bool = False) -> None:
        self._send(lambda: self._deliver_reset(discard))

    def take(self, most: int) -> bytes:
        data = self._remove(most)
        self.read += len(data)
        return data

    def _remove(self, most: int) -> bytes:
        data = bytes(self.arrived[:most])
        del self.arrived[:most]
        self._unread -= len(data)
        self.changed.notify()
        return data

    def refuse(self) -> None:
        self.refused = True
        self._remove(len(self.arrived))

    def _send(self, land: Callable[[], None]) -> None:
        if self._delay:
            self._scheduler.call_at(self._scheduler.now + self._delay, lambda: self._arrive(land))
        else:
            self._arrive(land)

    def _arrive(self, land: Callable[[], None]) -> None:
        if not self.cut:  # bytes of a cut connection stay on their way for ever, so the sender's window fills
            land()
            self.changed.notify()

    def _deliver(self, data: bytes) -> None:
        if self.refused:
            self.back.reset()
        elif not self.broken:
            self.arrived += data
            self.on_input()

    def _deliver_end(self) -> None:
        if not self.broken:
            self.ended = True
            self.on_input()

    def _deliver_reset(self, discard: bool) -> None:
        if discard:
            self._remove(len(self.arrived))
        self.broken = True
        self.back.changed.notify()  # the reader of this pipe may wait there for room to write
        self.on_input()


class Connection:
    """One connection: its facts for tests, and methods that break it.

    Attributes:
        host, port, local_address, socket_options: as the client requested them.
        opened_at: seconds of the virtual clock.
        client_closed, server_closed: that side has closed it.
        abandoned: the client abandoned it in the child of a fork.
        closed_by: the side that closed first: "client", "server" or None.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        to: _Winner,
        number: int,
        local_address: str | None,
        socket_options: tuple[SocketOption, ...],
    ) -> None:
        self.host: str = to.host
        self.port: int | None = to.port
        self.local_address: str | None = local_address
        self.socket_options: tuple[SocketOption, ...] = socket_options
        self.opened_at: float = scheduler.now
        self.client_closed: bool = False
        self.server_closed: bool = False
        self.abandoned: bool = False
        self.closed_by: str | None = None
        local = "" if to.port is None else _text(local_address or "127.0.0.1", 49152 + number)
        self.info: StreamInfo = StreamInfo(peer=to.peer, local=local)
        self._scheduler = scheduler
        self._there = _Pipe(scheduler, to.place.delay_there, to.place.window)
        self._back = _Pipe(scheduler, to.place.delay_back, to.place.window)
        self._there.back, self._back.back = self._back, self._there

    @property
    def sent(self) -> bytes:
        """All bytes that the client sent, arrived or not."""
        return bytes(self._there.log)

    @property
    def replied(self) -> bytes:
        """All bytes that the server sent, arrived or not."""
        return bytes(self._back.log)

    @property
    def bytes_read(self) -> int:
        """How many of the server's bytes the client has read."""
        return self._back.read

    def cut(self) -> None:
        """From now on nothing arrives, in either direction, and neither end is notified."""
        self._there.cut = self._back.cut = True

    def reset(self, *, discard: bool = False) -> None:
        """Break the connection for both ends, as a router or firewall between them does.

        Arguments:
            discard: whether bytes that have arrived and are unread are lost. Default False.
        """
        self._there.reset(discard)
        self._back.reset(discard)

    def _closed(self, by: str) -> None:
        self.closed_by = self.closed_by or by
        if by == "client":
            self.client_closed = True
        else:
            self.server_closed = True


class ServerEnd:
    """The scripted peer's side of one connection.

    Attributes:
        connection: the connection, with all bytes that were sent on it.
        scheduler: runs this handler. A script uses its `sleep` and `spawn`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.scheduler: Scheduler = connection._scheduler
        self._in = connection._there
        self._out = connection._back
        self._held = b""  # received and not yet returned

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
        """Wait for `mark`; returns the bytes up to its end. Raises `PeerGone` when the client ends before that."""
        while mark not in self._held:
            await self._read_more()
        cut = self._held.index(mark) + len(mark)
        data, self._held = self._held[:cut], self._held[cut:]
        return data

    async def recv_exactly(self, size: int) -> bytes:
        """Wait for `size` bytes. Raises `PeerGone` when the client ends before that."""
        while len(self._held) < size:
            await self._read_more()
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
                await self.scheduler.sleep(delay)
            room = await self._room()
            size = min(room, piece or room)
            self._out.put(data[start : start + size])
            start += size

    def end(self) -> None:
        """Send FIN: no more bytes are sent; receiving continues."""
        self._out.finish()

    def close(self) -> None:
        """Send FIN. Bytes that the client sends from now on are answered with RST."""
        if not self.connection.server_closed:
            self.connection._closed("server")
            self._out.finish()
            self._in.refuse()

    def reset(self, *, discard: bool = False) -> None:
        """Send RST: the client reads the bytes that have arrived, then its calls fail with ECONNRESET.

        With `discard` the bytes that have arrived are lost instead. Systems differ in this.
        """
        if not self.connection.server_closed:
            self.connection._closed("server")
            self._out.finished = True
            self._out.reset(discard)
            self._in.refuse()

    async def _read_more(self) -> None:
        data = await self._read(PIECE)
        if not data:
            raise PeerGone("the client ended its side")
        self._held += data

    async def _read(self, most: int) -> bytes:
        pipe = self._in
        await self.scheduler.wait_until(
            lambda: pipe.has_input() or pipe.over() or pipe.refused, "bytes from the client", None, pipe.changed
        )
        if not pipe.arrived and (pipe.refused or not pipe.ended):
            raise PeerGone("closed on this side" if pipe.refused else "the client reset the connection")
        return pipe.take(most)

    async def _room(self) -> int:
        def ready() -> bool:
            return self._out.room() > 0 or self._in.broken or self._out.finished

        await self.scheduler.wait_until(ready, "room to send to the client", None, self._out.changed)
        if self._in.broken or self._out.finished:
            raise PeerGone("the client reset the connection" if self._in.broken else "closed on this side")
        return self._out.room()
