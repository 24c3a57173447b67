"""One request to an ASGI app: the app's messages, and the caller's reading of them.

The app runs in a task that the transport owns, the caller in any other task. Both use the same `Cycle`, and wait for
its signal. The app's bytes are buffered until the caller reads them; while more than `HELD` bytes are buffered, the
app's `send` waits. When the caller has closed the exchange, `receive` returns `http.disconnect` and `send` raises an
`OSError`, as the ASGI specification requires.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, ClassVar, Final, cast

from .._backends.base import PIECE, Backend
from .._config import TimeoutConfig
from .._errors import LocalProtocolError, ReadTimeout, RemoteProtocolError, TotalTimeout, WriteError, WriteTimeout, show
from .._message.body import BodyReader
from .._message.fields import Headers
from .._message.raw import RawStream
from .._message.request import header_pairs
from .._message.response import Informational, Response
from .extensions import ResponseExtensions
from .tasks import Owned, Signal

__all__ = ["HELD", "ASGIApp", "ClientDisconnected", "Cycle", "Message", "Timeouts", "Pieces", "Scope"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

HELD: Final = 65536
"""A sender waits while more than this many bytes are buffered and unread."""

_DISCONNECT: Final = {"type": "http.disconnect"}


class ClientDisconnected(WriteError):
    """The caller has closed the exchange: the app's messages are discarded."""


class Timeouts:
    """The caller's timeouts while it waits for the app: for each wait, and for all waits together."""

    def __init__(self, backend: Backend, timeout: TimeoutConfig | float | None) -> None:
        config = TimeoutConfig.of(timeout)
        self._read, self._write, self._total = config.read_timeout, config.write_timeout, config.total_timeout
        self._now = backend.now
        self._ends = None if self._total is None else backend.now() + self._total

    async def wait(self, signal: Signal, phase: str) -> None:
        """Wait for a message from the app. Raises `ReadTimeout` or `TotalTimeout`."""
        if not await self._wait_for_change(signal, phase, self._read):
            raise ReadTimeout(f"the app sent nothing for {self._read:g} seconds", phase=phase, limit=self._read)

    async def wait_to_send(self, signal: Signal, phase: str) -> None:
        """Wait for the app to receive a message. Raises `WriteTimeout` or `TotalTimeout`."""
        if not await self._wait_for_change(signal, phase, self._write):
            raise WriteTimeout(f"the app received nothing for {self._write:g} seconds", phase=phase, limit=self._write)

    async def _wait_for_change(self, signal: Signal, phase: str, limit: float | None) -> bool:
        left = None if self._ends is None else max(0.0, self._ends - self._now())
        is_total = left is not None and (limit is None or left <= limit)
        if await signal.wait(left if is_total else limit):
            return True
        if is_total:
            raise TotalTimeout(
                f"the app did not end within total_timeout, {self._total:g} seconds", phase=phase, limit=self._total
            )
        return False


class Cycle:
    """The state of one request.

    Attributes:
        signal: notified at each change.
        head: status and headers, once the app has sent them.
        ended: the app has sent all of its response.
        left: the caller has closed the exchange.
        done: the app's task has ended.
        raises: whether the app's errors are raised to the caller.
        error: the app's exception, until it is raised to the caller.
        task: the app's task.
    """

    def __init__(
        self, backend: Backend, reader: BodyReader, *, raises: bool, keeps_body: Callable[[int], bool]
    ) -> None:
        self.signal = Signal(backend)
        self.head: Response | None = None
        self.ended = self.left = self.done = False
        self.error: BaseException | None = None
        self.task: Owned | None = None
        self.trailers: Headers = []
        self.informational: list[Informational] = []
        self.debug: dict[str, object] = {}
        self.raises = raises
        self._reader = reader
        self._keeps_body = keeps_body
        self._reading = self._all_received = self._body_ended = False
        self._has_trailers = False
        self._pieces: deque[bytes] = deque()
        self._held = 0

    # The app's side.

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """The app's task."""
        try:
            await app(scope, self._receive, self._send)
        except ClientDisconnected:
            pass
        except Exception as error:
            self.error = error
        finally:
            self.done = True
            self._app_ended()
            self.signal.notify()
            # This comes last: the clean-up of the caller's generator may wait, and the other tasks have been notified
            # before.
            await self._reader.aclose()

    async def _receive(self) -> Message:
        while not (self.left or self.ended):
            # Only one `receive` reads the body at a time: a second one waits until the first has its piece. After the
            # end of the body `receive` waits for the disconnect, as the ASGI specification requires.
            if self._all_received or self._reading:
                await self.signal.wait()
                continue
            self._reading = True
            try:
                piece = await self._reader.next()
            finally:
                self._reading = False
                self.signal.notify()
            if piece is None:
                self._all_received = True
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}
        return dict(_DISCONNECT)

    async def _send(self, message: Message) -> None:
        if self.left:
            raise ClientDisconnected("the client has disconnected", phase="send the response")
        act = self.acts.get(message.get("type", ""))
        if act is None:
            raise LocalProtocolError(f"the app sent a message of type {show(str(message.get('type')))}")
        act(self, message)
        self.signal.notify()
        # The message was processed before this wait: the caller can read the piece already, and only the app waits.
        while self._held > HELD and not self.left:
            await self.signal.wait()

    def _start(self, message: Message) -> None:
        if self.head is not None:
            raise LocalProtocolError("the app sent http.response.start twice")
        self.head = Response(message["status"], headers=[(bytes(n), bytes(v)) for n, v in message.get("headers", ())])
        self._has_trailers = bool(message.get("trailers"))

    def _body(self, message: Message) -> None:
        if self.head is None or self._body_ended:
            when = "before http.response.start" if self.head is None else "after its end"
            raise LocalProtocolError(f"the app sent http.response.body {when}")
        piece = bytes(message.get("body", b""))
        if piece and self._keeps_body(self.head.status_code):
            self._pieces.append(piece)
            self._held += len(piece)
        if not message.get("more_body", False):
            self._body_ended = True
            self.ended = not self._has_trailers

    def _trailers(self, message: Message) -> None:
        if not self._body_ended or self.ended:
            raise LocalProtocolError(
                'the app sent http.response.trailers: expected "trailers": True in its http.response.start'
            )
        pairs = header_pairs([(bytes(name), bytes(value)) for name, value in message.get("headers", ())])
        self.trailers.extend([(name.lower(), value) for name, value in pairs])
        self.ended = not message.get("more_trailers", False)

    def _debug(self, message: Message) -> None:
        self.debug.update(message.get("info", {}))

    def _early_hint(self, message: Message) -> None:
        links = [(b"link", bytes(link)) for link in message.get("links", ())]
        self.informational.append(Informational(103, links))

    def _app_ended(self) -> None:
        """Called when the app's task ends, however it ends."""

    acts: ClassVar[Mapping[str, Callable[[Any, Message], None]]] = {
        "http.response.start": _start,
        "http.response.body": _body,
        "http.response.trailers": _trailers,
        "http.response.debug": _debug,
        "http.response.early_hint": _early_hint,
    }
    """The method that processes each type of message from the app."""

    # The caller's side.

    async def response(self, timeouts: Timeouts) -> Response:
        """Wait for the response head."""
        while self.head is None:
            self._raise_if_ended("without a response", "wait for the app's response")
            await timeouts.wait(self.signal, "wait for the app's response")
        self._raise_late_error()
        return self.head

    async def next(self, timeouts: Timeouts) -> bytes:
        """Wait for the next piece of the body; `b""` at its end."""
        while not self._pieces:
            if self.left or self.ended:
                self._raise_late_error()
                return b""
            self._raise_if_ended("in the middle of its response", "read the response body")
            await timeouts.wait(self.signal, "read the response body")
        piece = self._pieces.popleft()
        self._held -= len(piece)
        self.signal.notify()
        return piece

    def _raise_late_error(self) -> None:
        """Raise the app's error if its response has ended: frameworks send a 500 response and then raise."""
        if self.error is not None and self.ended and self.raises:
            error, self.error = self.error, None
            raise error

    def _raise_if_ended(self, where: str, phase: str) -> None:
        """Raise if the app has ended or failed, since it then sends no more of its response."""
        # Pieces that the app sent before are read first: `next` calls this only when no piece is left.
        if self.error is not None:
            error, self.error = self.error, None
            if self.raises:
                raise error
            raise RemoteProtocolError(f"the app failed {where}", phase=phase) from error
        if self.done:
            raise RemoteProtocolError(f"the app ended {where}", phase=phase)

    def connection(self, timeouts: Timeouts) -> RawStream | None:
        """The raw stream of an accepted WebSocket (see `WebSocketCycle`); otherwise None."""
        return None

    def extensions(self) -> ResponseExtensions:
        head = self.head
        assert head is not None
        facts: ResponseExtensions = {
            "http_version": head.protocol,
            "reason_phrase": head.reason_phrase,
            "trailing_headers": self.trailers,
            "informational": self.informational,
        }
        if self.debug:
            facts["debug"] = self.debug
            for name in ("template", "context"):
                if name in self.debug:
                    cast("dict[str, object]", facts)[name] = self.debug[name]
        return facts

    def leave(self) -> None:
        """Record that the caller has closed the exchange; drop the unread pieces. Never waits. May be called again."""
        self.left = True
        self._pieces.clear()
        self._held = 0
        self.signal.notify()


class Pieces:
    """The body that the app sends, in pieces of at most 512 KiB."""

    def __init__(self, cycle: Cycle, timeouts: Timeouts) -> None:
        self._cycle = cycle
        self._timeouts = timeouts
        self._rest = b""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = self._rest or await self._cycle.next(self._timeouts)
        if not data:
            raise StopAsyncIteration
        piece, self._rest = data[:PIECE], data[PIECE:]
        return piece
