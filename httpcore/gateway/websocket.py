"""One WebSocket through the gateway: messages of an ASGI server on one side, frames of the upstream on the other.

wsproto reads and writes the frames, so this module is imported only for a WebSocket. Each side is a WebSocket of its
own: pings, fragments and compression apply to one hop. Messages are forwarded whole, one at a time in each direction: a
side that reads slowly slows down the other, by the back pressure of both connections.

There are two tasks: the request's own task forwards the upstream's messages, and a second task the client's. The second
task begins before the handshake with the upstream, since in ASGI a client's disconnect is a message, too, and there is
one `receive` for both. The request ends with the first task, which the second task cancels (`Watch.left`) if the client
is lost. An error on the upstream's connection ends only the second task: the first task reads from that connection, and
gets an error of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from wsproto import events
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.frame_protocol import CloseReason

from .._errors import HTTPCoreError, Timeout
from .._message.raw import RawStream
from .handshakes import Agreed
from .messages import Message, Receive, Send
from .settings import WebSockets
from .watch import Lock, Watch, later, pause, start

__all__ = ["Socket"]

# Close codes (RFC 6455, section 7.4.1).
_NORMAL: Final = 1000
_NO_CODE: Final = 1005
_ABNORMAL: Final = 1006
_TOO_BIG: Final = 1009
_INTERNAL_ERROR: Final = 1011

_PIECE: Final = 32768
_MOST_PARTS: Final = 1024
_BROKE_OFF: Final = "the upstream broke off"


class _Turn(Protocol):
    """The part of a `Turn` that is used here."""

    is_whole: bool
    error: object


class Socket:
    """Forwards messages in both directions, from the handshake to the end."""

    __slots__ = (
        "_connection",
        "_frames",
        "_has_received",
        "_is_client_gone",
        "_is_pinged",
        "_lock",
        "_parts",
        "_pong",
        "_receive",
        "_send",
        "_settings",
        "_size",
        "_stop",
        "_timer",
        "_watch",
    )  # fmt: skip

    def __init__(self, receive: Receive, send: Send, settings: WebSockets, watch: Watch) -> None:
        self._receive = receive
        self._send = send
        self._settings = settings
        self._watch = watch
        self._frames = Connection(ConnectionType.CLIENT)
        self._connection: RawStream | None = None
        self._lock = Lock()  # one task at a time sends on the connection
        self._parts: list[Any] = []
        self._size = 0
        self._pong: bytes | None = None
        self._is_client_gone = False
        self._has_received = False  # since the last call of `_check_liveness`
        self._is_pinged = False
        # Cancels the timer, which is first that of the pings, and later that of the upstream's answer to Close.
        self._timer: Callable[[], object] | None = None
        self._stop = start(self._from_client())

    def close(self) -> None:
        """The request has ended: release everything."""
        # The second task is cancelled first: it must not write to a connection that the next lines close.
        self._stop()
        if self._timer is not None:
            self._timer()
        if self._connection is not None:
            self._connection.close()

    async def forward_messages(self, connection: RawStream, agreed: Agreed, turn: _Turn) -> None:
        """Accept the client, and forward messages in both directions until one side closes.

        Raises:
            HTTPCoreError: the upstream broke off the connection. The client has been sent Close with 1011.
        """
        self._connection = connection
        await self._to_client(
            {"type": "websocket.accept", "subprotocol": agreed.subprotocol, "headers": agreed.headers}
        )
        if self._settings.ping_interval is not None:
            self._timer = later(self._settings.ping_interval, self._check_liveness)
        try:
            turn.is_whole = await self._from_upstream(connection)
        except HTTPCoreError:
            await self._close_client(_INTERNAL_ERROR, _BROKE_OFF)
            raise
        if not turn.is_whole:
            turn.error = "upstream"
            await self._close_client(_INTERNAL_ERROR, _BROKE_OFF)

    # From the upstream to the client.

    async def _from_upstream(self, connection: RawStream) -> bool:
        """Forward the upstream's messages; whether it has closed according to the protocol."""
        frames = self._frames
        while data := await connection.recv(_PIECE):
            self._has_received = True
            if len(data) > _PIECE // 2:
                # `recv` never waits if an upstream sends without a pause, so other requests get time here.
                await pause(0)
            frames.receive_data(data)
            for event in frames.events():
                if isinstance(event, events.Message):
                    if not await self._on_part(event):
                        return True
                elif isinstance(event, events.Ping):
                    self._answer_ping(event)
                elif isinstance(event, events.CloseConnection):
                    return await self._on_close(event)
        return self._is_client_gone  # after the client's disconnect the upstream need not answer Close

    async def _on_part(self, event: events.Message[Any]) -> bool:
        """Forward a message, or keep a part of one. False if it is too long: both sides are then closed."""
        data: Any = event.data
        size = self._size + len(data)
        # The parts received so far are counted, so that an endless message is stopped here, too.
        if size > self._settings.max_message:
            reason = f"expected at most {self._settings.max_message} bytes in a message"
            await self._close_client(_TOO_BIG, reason)
            await self._put(events.CloseConnection(_TOO_BIG, reason))
            return False
        if not event.message_finished:
            self._keep(data, size)
            return True
        if self._parts:
            data = data[:0].join([*self._parts, data])
            self._parts, self._size = [], 0
        if isinstance(data, str):
            await self._to_client({"type": "websocket.send", "text": data})
        else:
            await self._to_client({"type": "websocket.send", "bytes": bytes(data)})
        return True

    def _keep(self, data: Any, size: int) -> None:
        """Keep a part of a message. Parts may be tiny, so they are joined from time to time."""
        self._parts.append(data)
        self._size = size
        if len(self._parts) > _MOST_PARTS:
            self._parts = [data[:0].join(self._parts)]

    async def _on_close(self, event: events.CloseConnection) -> bool:
        state = self._frames.state
        if state is ConnectionState.OPEN:  # its frames violate the protocol: the event has the code to answer with
            await self._close_client(_INTERNAL_ERROR, "the upstream broke the protocol")
            await self._put(events.CloseConnection(event.code, event.reason))
            return False
        await self._close_client(int(event.code), event.reason or "")
        if state is ConnectionState.REMOTE_CLOSING:
            await self._put(event.response())
        return True

    def _answer_ping(self, ping: events.Ping) -> None:
        """Start to send a pong: the reader does not wait for room to send. One pong, for the last ping, may answer
        several pings (RFC 6455, section 5.5.3).

        After the gateway has sent Close, wsproto sends no pong, and none is needed: the upstream answers with Close.
        """
        if self._frames.state is not ConnectionState.OPEN:
            return
        is_coming = self._pong is not None
        self._pong = self._frames.send(ping.response())
        if not is_coming:
            start(self._send_pong())

    async def _send_pong(self) -> None:
        try:
            async with self._lock:
                pong, self._pong = self._pong, None
                if pong is not None and self._connection is not None:
                    await self._connection.send(pong)
        except HTTPCoreError as error:
            self._on_unsent(error)

    async def _to_client(self, message: Message) -> None:
        """Send a message to the client. A server may raise any exception if the client has disconnected; the second
        task will be notified of the disconnect.
        """
        if self._is_client_gone:
            return
        try:
            await self._send(message)
        except Exception:  # any exception, see above
            # The first task still reads, until the upstream answers Close, or the timer ends it.
            self._is_client_gone = True
            self._end_soon()

    async def _close_client(self, code: int, reason: str) -> None:
        """Close the client, with a code that may be sent: if the upstream sent no code, it has closed normally."""
        await self._to_client(
            {"type": "websocket.close", "code": _NORMAL if code == _NO_CODE else code, "reason": reason}
        )

    # From the client to the upstream.

    async def _from_client(self) -> None:
        receive = self._receive
        try:
            while True:
                message = await receive()
                kind = message["type"]
                if kind == "websocket.receive":
                    text = message.get("text")
                    # ASGI has both keys, one of them None; an empty text is a message.
                    await self._put(
                        events.BytesMessage(data=message["bytes"]) if text is None else events.TextMessage(data=text)
                    )
                elif kind == "websocket.disconnect":
                    await self._on_left(message.get("code", _NO_CODE), message.get("reason") or "")
                    return
        except HTTPCoreError as error:
            self._on_unsent(error)

    async def _on_left(self, code: int, reason: str) -> None:
        """Forward a client's Close, with its code and reason. If the client's connection was lost, the upstream's
        connection is closed, too.
        """
        if self._connection is None or code == _ABNORMAL:
            self._watch.left()
            return
        self._is_client_gone = True
        self._end_soon()  # before Close is sent, which may wait for room if the upstream does not read
        # For "no code" wsproto accepts only its own constant.
        await self._put(events.CloseConnection(CloseReason.NO_STATUS_RCVD if code == _NO_CODE else code, reason))

    def _on_unsent(self, error: HTTPCoreError) -> None:
        """Handle an error of sending to the upstream. If the connection is lost, the first task, which reads from it,
        gets an error, too. If the upstream does not read (a timeout), the first task gets none, and after a partly sent
        frame no other can follow: so the connection is closed, which ends the first task.
        """
        if isinstance(error, Timeout) and self._connection is not None:
            self._connection.close()

    def _end_soon(self) -> None:
        """Give the upstream `close_timeout` to answer Close."""
        if self._timer is not None:
            self._timer()
        self._timer = later(self._settings.close_timeout, self._watch.left)

    async def _put(self, event: events.Event) -> None:
        connection, frames = self._connection, self._frames
        assert connection is not None  # the client was accepted
        await self._lock.acquire()  # `async with` would make two more coroutines
        try:
            is_close = isinstance(event, events.CloseConnection)
            # The state may have changed during the wait for the lock: after Close nothing else may be sent.
            if frames.state is ConnectionState.OPEN or (is_close and frames.state is ConnectionState.REMOTE_CLOSING):
                await connection.send(frames.send(event))
        finally:
            self._lock.release()

    # Checks whether the upstream is still connected.

    def _check_liveness(self) -> None:
        """Ping the upstream if it was silent; if it is still silent after a ping, give it up."""
        assert self._settings.ping_interval is not None
        if self._is_pinged and not self._has_received:
            start(self._give_up())
            return
        self._is_pinged = not self._has_received
        if self._is_pinged:
            start(self._ping())
        self._has_received = False
        self._timer = later(self._settings.ping_interval, self._check_liveness)

    async def _give_up(self) -> None:
        self._end_soon()  # first, since Close waits for room if the client does not read
        await self._close_client(_INTERNAL_ERROR, "the upstream does not answer")
        self._watch.end("idle")

    async def _ping(self) -> None:
        try:
            await self._put(events.Ping())
        except HTTPCoreError as error:
            self._on_unsent(error)
