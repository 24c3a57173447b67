"""A WebSocket to an ASGI app in this process: its frames, and the raw stream that the caller gets.

The caller sends and receives bytes, as over a network, and makes the frames with a WebSocket library of its own. The
app sends and receives ASGI messages. The package wsproto converts frames to messages and back, so this module is
imported only for a WebSocket.

After `HELD` unread bytes, a slow app delays the caller's `send`, and a slow caller delays the app's `send`. Two more
limits are set here: the size of one message, and the unread pongs, of which only the last is kept (RFC 6455, section
5.5.3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final

from wsproto import events
from wsproto.connection import Connection, ConnectionState, ConnectionType

from .._backends.base import PIECE, Backend
from .._errors import LocalProtocolError, ReadError, ResponseBusy, WriteError, show
from .._message.body import Body
from .._message.raw import CLOSED, HeldStream, RawStream
from .._message.request import TrailerTypes, trailer_pairs
from .._message.response import Response
from .asgi_cycle import HELD, ClientDisconnected, Cycle, Message, Scope, Timeouts
from .extensions import ResponseExtensions
from .websocket_handshake import Handshake

__all__ = ["AppStream", "WebSocketCycle", "websocket_scope"]

MESSAGE_LIMIT: Final = 16 * 1024 * 1024
"""The longest message to the app, in bytes (text: in characters). Servers have such a limit too."""

_OWN_FIELDS: Final = frozenset((b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions"))

# Close codes (RFC 6455, section 7.4.1).
_NORMAL: Final = 1000
_ABNORMAL: Final = 1006
_TOO_BIG: Final = 1009
_INTERNAL_ERROR: Final = 1011
_NEVER_SENT: Final = (1005, 1006, 1015)


def websocket_scope(scope: Scope, handshake: Handshake) -> Scope:
    """Convert the scope of an HTTP request to that of a WebSocket."""
    kept = {name: value for name, value in scope.items() if name != "method"}
    return {
        **kept,
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "scheme": "wss" if scope["scheme"] == "https" else "ws",
        "http_version": "2" if handshake.status_code == 200 else scope["http_version"],
        "subprotocols": handshake.subprotocols,
        "extensions": {"websocket.http.response": {}, "http.response.debug": {}},
    }


# One WebSocket.


class WebSocketCycle(Cycle):
    """The state of one WebSocket. Its frames to the caller are the pieces of a `Cycle`.

    Attributes:
        accepted: the app has accepted the WebSocket. If it is False and there is a `head`, the app has refused.
    """

    def __init__(self, backend: Backend, handshake: Handshake, *, raises: bool) -> None:
        reader = Body.of(b"").start(backend.run_blocking)
        super().__init__(backend, reader, raises=raises, keeps_body=_has_any_status)
        self.accepted = False
        self._handshake = handshake
        self._frames = Connection(ConnectionType.SERVER)
        self._is_connected = False  # the app has received websocket.connect
        self._has_closed = False  # the app has sent websocket.close
        self._gone: tuple[int, str] | None = None  # code and reason of websocket.disconnect
        self._messages: deque[tuple[Message, int]] = deque()
        self._unread = 0
        self._parts: list[str | bytes] = []
        self._size = 0
        self._pong: bytes | None = None

    # The app's side.

    async def _receive(self) -> Message:
        if not self._is_connected:
            self._is_connected = True
            return {"type": "websocket.connect"}
        while not self._messages:
            if self._gone is not None:
                code, reason = self._gone
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            await self.signal.wait()
        message, size = self._messages.popleft()
        self._unread -= size
        self.signal.notify()
        return message

    def _accept(self, message: Message) -> None:
        if self.head is not None:
            raise LocalProtocolError("the app sent websocket.accept after it had accepted or refused")
        fields = list(self._handshake.headers)
        chosen = message.get("subprotocol")
        if chosen is not None:
            if chosen not in self._handshake.subprotocols:
                raise LocalProtocolError(
                    f"the app accepted with the subprotocol {show(str(chosen))}: expected one that was offered, "
                    f"or None, got offers of {show(', '.join(self._handshake.subprotocols))}"
                )
            fields.append((b"sec-websocket-protocol", chosen.encode("latin-1")))
        own = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        for name, _ in own:
            if name.lower() in _OWN_FIELDS:
                raise LocalProtocolError(
                    f"the app accepted with the header {show(name)}: expected no field of the handshake"
                )
        self.head = Response(self._handshake.status_code, headers=[*fields, *own])
        self.accepted = True

    def _message(self, message: Message) -> None:
        self._check_open("websocket.send")
        text, data = message.get("text"), message.get("bytes")
        if isinstance(text, str) and data is None:
            self._put(events.TextMessage(data=text))
        elif isinstance(data, (bytes, bytearray, memoryview)) and text is None:
            self._put(events.BytesMessage(data=bytes(data)))
        else:
            raise LocalProtocolError(
                "the app sent websocket.send: expected text or bytes, "
                f"got text of type {type(text).__name__} and bytes of type {type(data).__name__}"
            )

    def _close(self, message: Message) -> None:
        if self.head is None:
            self.head = Response(403)
            self._gone = (_ABNORMAL, "")
            self.ended = True
            return
        self._check_open("websocket.close")
        code, reason = message.get("code") or _NORMAL, message.get("reason") or ""
        if not 1000 <= code <= 4999 or code in _NEVER_SENT:
            raise LocalProtocolError(
                f"the app sent websocket.close with the code {code}: expected 1000 to 4999, without 1005, 1006 and 1015"
            )
        self._has_closed = True
        self._end(code, reason)

    def _check_open(self, kind: str) -> None:
        if not self.accepted or self._has_closed:
            when = "after websocket.close" if self._has_closed else "before websocket.accept"
            raise LocalProtocolError(f"the app sent {kind} {when}")
        if self._gone is not None:
            raise ClientDisconnected("the client has closed the WebSocket", phase="send to the client")

    def _refuse(self, message: Message) -> None:
        if self.accepted:
            raise LocalProtocolError("the app sent websocket.http.response.start after websocket.accept")
        self._start(message)

    def _refusal_body(self, message: Message) -> None:
        if self.accepted:
            raise LocalProtocolError("the app sent websocket.http.response.body after websocket.accept")
        self._body(message)
        if self.ended:
            self._gone = (_ABNORMAL, "")

    def _app_ended(self) -> None:
        """Close the WebSocket if the app has left it open, unless the app's error will be raised to the caller."""
        if self.accepted and not self.ended and (self.error is None or not self.raises):
            self._end(_NORMAL if self.error is None else _INTERNAL_ERROR)

    acts: ClassVar[Mapping[str, Callable[[Any, Message], None]]] = {
        "websocket.accept": _accept,
        "websocket.send": _message,
        "websocket.close": _close,
        "websocket.http.response.start": _refuse,
        "websocket.http.response.body": _refusal_body,
        "http.response.debug": Cycle._debug,
    }

    # The frames.

    def _put(self, event: events.Event) -> bytes:
        data = self._frames.send(event)
        self._pieces.append(data)
        self._held += len(data)
        return data

    def _end(self, code: int, reason: str = "") -> None:
        """Send a Close frame. After it the caller's `recv` returns the end."""
        # Close is queued before `_end_with` sets `ended`, so that the caller reads it before the end.
        self._put(events.CloseConnection(code=code, reason=reason))
        self._end_with(code, reason)

    def _end_with(self, code: int, reason: str = "") -> None:
        if self._gone is None:
            self._gone = (code, reason)
        self.ended = True
        self._parts.clear()

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.CloseConnection):
            self._on_close(event)
        elif isinstance(event, events.Ping):
            self._on_ping(event.response())
        elif isinstance(event, events.Message):
            self._on_part(event.data, is_last=event.message_finished)

    def _on_close(self, event: events.CloseConnection) -> None:
        if self._frames.state is ConnectionState.OPEN:  # the caller's frames violate the protocol
            self._end(int(event.code), event.reason or "")
        elif self._frames.state is ConnectionState.REMOTE_CLOSING:
            self._put(event.response())
            self._end_with(int(event.code), event.reason or "")

    def _on_ping(self, pong: events.Event) -> None:
        # Of several unread pongs only the last is kept (RFC 6455, section 5.5.3), so a flood of pings does not grow the
        # queue.
        if self._pieces and self._pieces[-1] is self._pong:
            self._held -= len(self._pieces.pop())
        self._pong = self._put(pong)

    def _on_part(self, data: str | bytes | bytearray, *, is_last: bool) -> None:
        self._parts.append(data if isinstance(data, str) else bytes(data))
        self._size += len(data)
        if self._size > MESSAGE_LIMIT:
            self._end(_TOO_BIG, f"expected at most {MESSAGE_LIMIT} bytes in a message")
        elif is_last:
            whole: Any = self._parts[0][:0].join(self._parts)  # type: ignore[arg-type]
            kind = "text" if isinstance(whole, str) else "bytes"
            self._messages.append(({"type": "websocket.receive", kind: whole}, self._size))
            self._unread += self._size
            self._parts, self._size = [], 0

    # The caller's side.

    async def send(self, data: bytes, timeouts: Timeouts) -> None:
        """Process bytes of frames from the caller. Waits while the app has more than `HELD` bytes to receive."""
        phase = "send to the app"
        while self._unread > HELD and not (self.left or self.ended):
            # Checked before each wait: an app that has ended receives nothing any more.
            self._raise_if_ended("without closing the WebSocket", phase)
            await timeouts.wait_to_send(self.signal, phase)
        if self.ended or self.left:
            return  # as on a connection whose peer has closed: frames that cross its Close are lost
        self._raise_if_ended("without closing the WebSocket", phase)
        self._frames.receive_data(data)
        for event in self._frames.events():
            self._on_event(event)
            if self.ended:
                break
        self.signal.notify()

    def end(self) -> None:
        """The caller ends its side without a Close frame."""
        self._end_with(_ABNORMAL)
        self.signal.notify()

    def leave(self) -> None:
        if self._gone is None:
            self._gone = (_ABNORMAL, "")
        self._parts.clear()
        super().leave()

    def connection(self, timeouts: Timeouts) -> RawStream | None:
        return AppStream(self, timeouts) if self.accepted else None

    def extensions(self) -> ResponseExtensions:
        return {**super().extensions(), "http_version": self._handshake.protocol}


def _has_any_status(status_code: int) -> bool:
    return True


class AppStream(HeldStream):
    """The caller's side of a WebSocket to an app in this process. See `RawStream`."""

    def __init__(self, cycle: WebSocketCycle, timeouts: Timeouts) -> None:
        self._cycle = cycle
        self._timeouts = timeouts
        self._rest = b""
        self._receiving = self._sending = False

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        if self._receiving:
            raise ResponseBusy("another task or thread is receiving from this raw stream")
        self._check(ReadError)
        try:
            self._receiving = True
            data = self._rest or await self._cycle.next(self._timeouts)
        finally:
            self._receiving = False
        self._check(ReadError)
        piece, self._rest = data[:max_bytes], data[max_bytes:]
        return piece

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        if self._sending:
            raise ResponseBusy("another task or thread is sending on this raw stream")
        self._check(WriteError)
        try:
            self._sending = True
            await self._cycle.send(bytes(data), self._timeouts)
        finally:
            self._sending = False
        self._check(WriteError)

    async def end(self, trailers: TrailerTypes = None) -> None:
        if trailer_pairs(trailers):
            raise LocalProtocolError("trailers: expected none, since this raw stream carries bytes only")
        if self._sending:
            raise ResponseBusy("another task or thread is sending on this raw stream")
        self._cycle.end()

    def close(self) -> Awaitable[None]:
        self._rest = b""
        self._cycle.leave()
        self.closed()
        return CLOSED

    def _check(self, kind: type[ReadError] | type[WriteError]) -> None:
        if self._cycle.left:
            raise kind("the raw stream was closed on this side")
