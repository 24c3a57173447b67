"""The server's side of an HTTP/2 connection in the memory runtime, over the h2 library, for scripts to drive."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import h2.config
import h2.connection
import h2.events
import h2.settings

import httpcore
from httpcore.testing import ServerEnd
from httpcore.testing import Simulation as Runtime

T = TypeVar("T")
Event = TypeVar("Event", bound=h2.events.Event)
Settings = h2.settings.SettingCodes

SHORT = [(":status", "200"), ("content-length", "2")]


def text_pairs(headers: Iterable[tuple[str | bytes, str | bytes]]) -> list[tuple[str, str]]:
    """The fields of an event of h2. The types of h2 declare bytes only, but with `header_encoding` all fields are
    text.
    """
    found = []
    for name, value in headers:
        assert isinstance(name, str)
        assert isinstance(value, str)
        found.append((name, value))
    return found


def text_fields(headers: Iterable[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    return dict(text_pairs(headers))


class Left(Exception):
    """The client ended the connection."""


class H2Peer:
    """One connection, from its server's side.

    Attributes:
        seen: every event so far.
        auto: whether received DATA is credited at once. Default True.
    """

    def __init__(self, end: ServerEnd, number: int = 1) -> None:
        self.end = end
        self.number = number
        self.auto = True
        self.seen: list[h2.events.Event] = []
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self._fresh: deque[h2.events.Event] = deque()

    async def begin(self, **settings: int) -> None:
        """Send the preface; settings by their names, e.g. `MAX_CONCURRENT_STREAMS=1`."""
        self.h2.initiate_connection()
        if settings:  # they have their own frame, so that h2 enforces them only after the client's acknowledgement
            self.h2.update_settings({getattr(Settings, name): value for name, value in settings.items()})
        await self.flush()

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.end.send(data)

    async def next(self, kind: type[Event], stream: int | None = None) -> Event:
        """The next event of this kind (and stream) that was not returned yet; other events are skipped."""
        while True:
            while self._fresh:
                event = self._fresh.popleft()
                if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                    return event
            await self.more()

    async def more(self) -> None:
        """Read once."""
        data = await self.end.recv()
        if not data:
            raise Left
        for event in self.h2.receive_data(data):
            self.seen.append(event)
            self._fresh.append(event)
            if isinstance(event, h2.events.DataReceived) and self.auto and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        await self.flush()

    async def request(self) -> int:
        """Wait for a request's head; returns its stream."""
        return (await self.next(h2.events.RequestReceived)).stream_id

    async def whole(self) -> int:
        """Wait for a request to be complete; returns its stream."""
        return (await self.next(h2.events.StreamEnded)).stream_id

    def path(self, stream: int) -> str:
        return self.fields(stream)[":path"]

    def fields(self, stream: int) -> dict[str, str]:
        """The head of the request on this stream."""
        head = next(e for e in self.seen if isinstance(e, h2.events.RequestReceived) and e.stream_id == stream)
        return text_fields(head.headers)

    def body(self, stream: int) -> bytes:
        """The received part of the request's body."""
        return b"".join(e.data for e in self.seen if isinstance(e, h2.events.DataReceived) and e.stream_id == stream)

    def resets(self) -> dict[int, int]:
        """The streams that the client has reset, with the codes."""
        return {e.stream_id: int(e.error_code) for e in self.seen if isinstance(e, h2.events.StreamReset)}

    async def head(self, stream: int, headers: Any = ((":status", "200"),), *, end: bool = False) -> None:
        self.h2.send_headers(stream, list(headers), end_stream=end)
        await self.flush()

    async def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send DATA, which must fit the windows."""
        while len(data) > 16384:
            self.h2.send_data(stream, data[:16384])
            data = data[16384:]
        self.h2.send_data(stream, data, end_stream=end)
        await self.flush()

    async def answer(self, stream: int, body: bytes = b"ok", status: int = 200) -> None:
        self.h2.send_headers(stream, [(":status", str(status)), ("content-length", str(len(body)))])
        await self.data(stream, body, end=True)

    async def trailers(self, stream: int, *fields: tuple[str, str]) -> None:
        self.h2.send_headers(stream, list(fields), end_stream=True)
        await self.flush()

    async def reset(self, stream: int, code: int) -> None:
        self.h2.reset_stream(stream, code)
        await self.flush()

    async def goaway(self, last: int, code: int = 0, debug: bytes = b"") -> None:
        """Send a GOAWAY that is made by hand: after a GOAWAY of its own, h2 would accept no more frames."""
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + debug
        await self.frame(7, 0, 0, payload)

    async def frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        await self.end.send(
            len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
        )

    async def settings(self, **settings: int) -> None:
        self.h2.update_settings({getattr(Settings, name): value for name, value in settings.items()})
        await self.flush()

    async def linger(self) -> None:
        """Continue until the client ends the connection."""
        try:
            while True:
                await self.more()
        except Left:
            pass


Script = Callable[[H2Peer], Awaitable[None]]


async def echo(peer: H2Peer) -> None:
    """Answer every request with its path."""
    await peer.begin()
    while True:
        stream = await peer.whole()
        await peer.answer(stream, peer.path(stream).encode())


class Server:
    """`a.test:80` in a runtime: runs the scripts for its connections in order, the last one again and again."""

    def __init__(self, runtime: Runtime, *scripts: Script, host: str = "a.test", **place: Any) -> None:
        self.peers: list[H2Peer] = []
        self._scripts = scripts
        runtime.listen(host, 80, self._serve, **place)

    async def _serve(self, end: ServerEnd) -> None:
        peer = H2Peer(end, len(self.peers) + 1)
        self.peers.append(peer)
        try:
            await self._scripts[min(peer.number, len(self._scripts)) - 1](peer)
        except Left:
            pass


def play(
    main: Callable[[httpcore.ConnectionPool, Server], Coroutine[object, None, T]],
    *scripts: Script,
    runtime: Runtime | None = None,
    place: dict[str, Any] | None = None,
    **pool: Any,
) -> T:
    """Run `main(pool, server)` in a runtime whose one server follows `scripts`, with prior knowledge of HTTP/2."""
    runtime = runtime or Runtime()
    server = Server(runtime, *scripts, **(place or {}))

    async def body() -> T:
        async with httpcore.ConnectionPool(http1=False, **pool) as made:
            return await main(made, server)

    return runtime.run(body())
