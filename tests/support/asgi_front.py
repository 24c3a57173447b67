"""The parts around an ASGI app, in the test's own process and loop: the server in front and scripted upstreams."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, ParamSpec

from httpcore.gateway import Gateway, Upstream
from httpcore.gateway.messages import Message, Scope

P = ParamSpec("P")
Pairs = list[tuple[bytes, bytes]]

BEGINS = (".start", ".accept")
ENDS = ("http.response.body", "websocket.http.response.body")


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run the test in its own loop, for at most 10 seconds."""

    @functools.wraps(test)
    def run(*given: P.args, **named: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*given, **named), 10))

    return run


async def until(condition: Callable[[], object]) -> None:
    """Wait for a state that has no event of its own: figures of a gateway, or an upstream that has seen the end."""
    while not condition():  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.001)


def http(method: str = "GET", *fields: tuple[bytes, bytes], path: str = "/", **more: Any) -> Scope:
    """The scope of a request."""
    return {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "headers": [(b"host", b"gw.test"), *fields],
        "client": ("192.0.2.1", 1), **more,
    }  # fmt: skip


def websocket_scope(*fields: tuple[bytes, bytes], can_deny: bool = True, **more: Any) -> Scope:
    """The scope of a WebSocket."""
    extensions: dict[str, Any] = {"websocket.http.response": {}} if can_deny else {}
    upgrade = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket"), *fields]
    given = http("GET", *upgrade, type="websocket", scheme="ws", extensions=extensions, **{"subprotocols": [], **more})
    del given["method"]
    return given


class Client:
    """One request as an ASGI server carries it out: the client's bytes, and the app's messages, which must arrive in
    the order that ASGI requires.

    Attributes:
        sent: the messages of the app, without `hints`.
        hints: the links of each 103, which must arrive before the response.
        reads: whether the client reads the app's bytes; `send` waits while it does not.
        fails: `send` raises, as servers may when the client has disconnected.
        task: the task of the app.
    """

    def __init__(self, app: Any, scope: Scope, *messages: Message) -> None:
        self.sent: list[Message] = []
        self.hints: list[list[bytes]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.fails = False
        self._unread: asyncio.Queue[Message] = asyncio.Queue()
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._is_over = False
        if scope["type"] == "websocket":
            self._to_app.put_nowait({"type": "websocket.connect"})
        for message in messages:
            self._to_app.put_nowait(message)
        self.task = asyncio.ensure_future(app(scope, self._to_app.get, self._send))

    async def _send(self, message: Message) -> None:
        await self.reads.wait()
        if self.fails:
            raise OSError("the client has disconnected")
        kind = message["type"]
        assert not self._is_over, f"{kind} after the end"
        if kind == "http.response.early_hint":
            await asyncio.sleep(0)  # a server may wait here, and messages that are sent meanwhile may overtake this one
            assert not self.sent, "a 103 after the response has begun"
            self.hints.append(message["links"])
            self._unread.put_nowait(message)
            return
        assert kind.startswith("lifespan.") or kind == "websocket.close" or bool(self.sent) != kind.endswith(BEGINS), (
            kind
        )
        self._is_over = self._ends(message)
        self.sent.append(message)
        self._unread.put_nowait(message)

    def _ends(self, message: Message) -> bool:
        kind = message["type"]
        if kind in ENDS:
            return not message.get("more_body") and not self.sent[0].get("trailers")
        return kind in ("websocket.close", "http.response.trailers")

    def say(self, kind: str, **fields: Any) -> None:
        """Send the app a message of this type."""
        self.give({"type": kind, **fields})

    def give(self, message: Message) -> None:
        """Send the app a message."""
        self._to_app.put_nowait(message)

    async def until(self, kind: str) -> Message:
        """The next message of this type that the app sends."""
        while True:
            message = await self._unread.get()
            if message["type"] == kind:
                return message

    async def end(self) -> None:
        """Wait for the app to return."""
        await self.task

    # The response.

    @property
    def status(self) -> int:
        """The status; 0 if there is none yet, 101 for a WebSocket that was accepted, 403 for one that was refused."""
        if not self.sent or self.sent[0]["type"] == "websocket.close":
            return 403 if self.sent else 0
        return int(self.sent[0].get("status", 101))

    @property
    def fields(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join([message.get("body", b"") for message in self.sent])

    @property
    def is_whole(self) -> bool:
        """Whether the response has ended."""
        return self._is_over

    @property
    def texts(self) -> list[str | bytes]:
        """The messages of a WebSocket."""
        return [
            each["text"] if "text" in each else each["bytes"] for each in self.sent if each["type"] == "websocket.send"
        ]

    @property
    def close(self) -> tuple[int, str] | None:
        """Code and reason of a WebSocket that the app closed."""
        last: Message = self.sent[-1] if self.sent else {"type": ""}
        return (last["code"], last["reason"]) if last["type"] == "websocket.close" else None


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heads: list[bytes]) -> None:
        self.reader = reader
        self.writer = writer
        self._heads = heads

    async def head(self) -> bytes:
        """The next request head; b"" at the end."""
        with suppress(asyncio.IncompleteReadError):
            self._heads.append(await self.reader.readuntil(b"\r\n\r\n"))
            return self._heads[-1]
        return b""

    async def exactly(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self) -> bytes:
        """All bytes until the gateway closes the connection."""
        return await self.reader.read()


Script = Callable[[Peer], Awaitable[object]]


class Server:
    """An upstream that runs `script` for each connection, and closes it when the script returns.

    Attributes:
        heads: the heads of the requests that scripts have read.
        ended: the connections that have ended.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()
        self.heads: list[bytes] = []
        self.ended = 0

    async def begin(self) -> str:
        """Start to listen. Returns the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):  # the gateway disconnected: the test checks its side
                await self._script(Peer(reader, writer, self.heads))
        finally:
            self.ended += 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def cancel(self) -> None:
        """End the scripts that run."""
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Stop listening, and wait until the connections have ended: the gateway has closed them."""
        self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)


@asynccontextmanager
async def gateway(*scripts: Script, **options: Any) -> AsyncIterator[tuple[Gateway, list[Server]]]:
    """A gateway to one upstream for each script. At the end it must hold no place of a limit, no connection and no
    task.
    """
    before = asyncio.all_tasks()
    servers = [Server(script) for script in scripts]
    urls = [await server.begin() for server in servers]
    prefix, http2 = options.pop("prefix", ""), options.pop("http2", None)
    upstreams = [*options.pop("before", ()), *[Upstream(url + prefix, http2=http2) for url in urls]]
    made = Gateway(upstreams, name="gw", **options)
    try:
        yield made, servers
        stats = made.stats()
        assert (stats.under_way, stats.waiting) == (0, 0)
        assert [each.outstanding for each in stats.upstreams] == [0] * len(upstreams)
    finally:
        await made.close()
        for server in servers:
            await server.close()
    for _ in range(5):  # tasks that were cancelled end in the next turns of the loop
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
