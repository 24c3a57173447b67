"""Forwards a response to the client, piece by piece, and meanwhile the rest of the client's body to the upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from .._errors import HTTPCoreError
from .._message.fields import Remembered, may_be_private
from .._message.raw import RawStream
from .._message.response import Response
from .handshakes import agreed
from .hooks import Returned
from .messages import Headers, Refusal, can_deny
from .plan import returned
from .turns import SocketTurn, Turn
from .upload import BodyTooLarge, ClientDisconnected
from .watch import start

__all__ = ["BODILESS", "Heads", "forward_body", "forward_duplex", "only", "send_trailers", "relay"]

Changed = Callable[[Turn, Returned], Awaitable[Returned | None]]
"""Lets `on_response` change a head; None if a refusal was sent to the client instead."""

BODILESS: Final = frozenset((204, 304))
_ONE_TRAILER: Final = ((b"server-timing", b""),)
"""Sent if a response has no trailers: hypercorn never ends a stream with an empty list of trailers (h2, which it uses,
raises an IndexError). Whether a response has trailers is known only at its end, after they were announced. An empty
Server-Timing has no meaning, and is allowed as a trailer.
"""


async def forward_body(turn: Turn, pieces: AsyncIterator[bytes], left: int | None) -> None:
    """Forward the pieces of a response. `left` is the number of their bytes; None if it is not known."""
    watch, send = turn.watch, turn.send
    watch.restart_clock()
    async for piece in pieces:
        # The client may read slowly, and that does not count as the upstream's time.
        watch.stop_clock()
        if left is not None:
            left -= len(piece)
        turn.is_whole = left == 0
        await send({"type": "http.response.body", "body": piece, "more_body": left != 0})
        watch.restart_clock()
    if not turn.is_whole:
        watch.stop_clock()
        await send({"type": "http.response.body", "body": b""})
        turn.is_whole = True


async def only(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


async def send_trailers(turn: Turn, response: Response) -> None:
    """Send the trailers of the response. They end a response that has announced trailers."""
    headers = [*turn.trailers, *response.trailers] or _ONE_TRAILER
    await turn.send({"type": "http.response.trailers", "headers": headers, "more_trailers": False})


async def forward_duplex(turn: Turn, connection: RawStream, left: int | None) -> None:
    """Forward the response while the client may still be sending its body."""
    upload = turn.upload
    assert upload is not None  # `duplex` was requested
    upload.is_answered = True
    cancel = start(_send_rest(turn, connection))
    try:
        await forward_body(turn, _received(connection), left)
    finally:
        # The sender is cancelled before the connection is closed: otherwise the close would be an error for the sender.
        cancel()
        connection.close()


async def _received(connection: RawStream) -> AsyncIterator[bytes]:
    while piece := await connection.recv():
        yield piece


async def _send_rest(turn: Turn, connection: RawStream) -> None:
    """Forward the rest of the client's body while the response is forwarded."""
    upload = turn.upload
    assert upload is not None
    try:
        async for piece in upload:
            if piece:
                await connection.send(piece)
        await connection.end()
    except HTTPCoreError:
        upload.close()  # the upstream accepts no more data: its response gives the reason, or ends with an error
    except (ClientDisconnected, BodyTooLarge):
        turn.watch.left()


async def relay(turn: SocketTurn, response: Response, without: frozenset[bytes], name: bytes, changed: Changed) -> None:
    """The upstream has answered the handshake: accept the client, or forward the upstream's refusal."""
    connection: RawStream | None = response.connection
    if connection is None:
        turn.watch.head_received()
        head = Returned(response.status_code, returned(response.headers, without, response.protocol[5:], name))
        await _forward_refusal(turn, response, head, changed)
        return
    try:
        chosen = agreed(response.headers, turn.offer, without, name)
        turn.watch.head_received()  # after an invalid acceptance the wait continues, for another upstream
        turn.status = response.status_code
        await turn.socket.forward_messages(connection, chosen, turn)
    finally:
        connection.close()


async def _forward_refusal(turn: SocketTurn, response: Response, head: Returned, changed: Changed) -> None:
    """Forward the upstream's refusal of a WebSocket."""
    watch, send = turn.watch, turn.send
    async with response:
        if not can_deny(turn.scope):
            await turn.refuse(Refusal(403))
            return
        # Any client can request a WebSocket, so a hook must be able to remove fields from this response, too.
        found = await changed(turn, head)
        if found is None:
            return
        turn.status = found.status
        await send({"type": "websocket.http.response.start", "status": found.status, "headers": found.headers})
        watch.restart_clock()
        async for piece in response.raw():
            watch.stop_clock()
            await send({"type": "websocket.http.response.body", "body": piece, "more_body": True})
            watch.restart_clock()
        watch.stop_clock()
        await send({"type": "websocket.http.response.body", "body": b""})
        turn.is_whole = True


class Heads:
    """Converts the heads of responses for the client. The last head is cached, since the next is mostly the same. A
    head with a field that may be a credential is never cached.

    Attributes:
        without: names of fields that the server in front adds itself.
    """

    def __init__(self, without: frozenset[bytes], name: bytes) -> None:
        self.without: frozenset[bytes] = without
        self._name = name
        self._last: tuple[Headers, str, Headers, int | None] = [], "", [], None

    def passed(self, given: Headers, protocol: str) -> tuple[Headers, int | None]:
        """The fields for the client, as a new list, and the length of the body; None if it is not declared, or is 0."""
        known, spoken, headers, length = self._last
        if known != given or spoken != protocol:
            headers = returned(given, self.without, protocol[5:], self._name)
            length = _body_length(headers)
            if not any(_private[name] for name, _ in given):
                self._last = given, protocol, headers, length
        return headers[:], length


_private: Final = Remembered(lambda name: may_be_private(name) is not None)


def _body_length(headers: Headers) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            return int(value) or None  # an empty body has no piece, so its end is a message of its own
    return None
