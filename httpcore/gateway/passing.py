"""Hands a response on to the client, piece by piece, with the client's body the other way where it is still sent."""

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
from .upload import BodyTooLarge, ClientLeft
from .watch import start

__all__ = ["BODILESS", "Heads", "hand_on", "hand_on_both", "only", "send_trailers", "talk"]

Changed = Callable[[Turn, Returned], Awaitable[Returned | None]]
"""Has `on_response` change a head; None where the client was answered otherwise."""

BODILESS: Final = frozenset((204, 304))
_ONE_TRAILER: Final = ((b"server-timing", b""),)
"""Sent where a response has no trailers: hypercorn never ends a stream with an empty list of them (h2, which it uses,
raises an IndexError). Which responses have some is known at their end, after trailers were announced. An empty
Server-Timing says nothing, and may be a trailer.
"""


async def hand_on(turn: Turn, pieces: AsyncIterator[bytes], left: int | None) -> None:
    """Hand the pieces of a response on, of which `left` bytes come, if that is known."""
    watch, send = turn.watch, turn.send
    watch.waits()
    async for piece in pieces:
        # The client's turn: its reading, however slow, is not the upstream's time.
        watch.rests()
        if left is not None:
            left -= len(piece)
        turn.is_whole = left == 0
        await send({"type": "http.response.body", "body": piece, "more_body": left != 0})
        watch.waits()
    if not turn.is_whole:
        watch.rests()
        await send({"type": "http.response.body", "body": b""})
        turn.is_whole = True


async def only(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


async def send_trailers(turn: Turn, response: Response) -> None:
    """Those of the response, which end it where they were announced."""
    headers = [*turn.trailers, *response.trailers] or _ONE_TRAILER
    await turn.send({"type": "http.response.trailers", "headers": headers, "more_trailers": False})


async def hand_on_both(turn: Turn, connection: RawStream, left: int | None) -> None:
    """Hand the response on while the client may still be sending."""
    upload = turn.upload
    assert upload is not None  # `duplex` was asked for
    upload.is_answered = True
    cancel = start(_send_rest(turn, connection))
    try:
        await hand_on(turn, _received(connection), left)
    finally:
        # Before the connection is closed: the sender must not end with an error of our own making.
        cancel()
        connection.close()


async def _received(connection: RawStream) -> AsyncIterator[bytes]:
    while piece := await connection.recv():
        yield piece


async def _send_rest(turn: Turn, connection: RawStream) -> None:
    """Send what the client goes on to send, while the response is passed on."""
    upload = turn.upload
    assert upload is not None
    try:
        async for piece in upload:
            if piece:
                await connection.send(piece)
        await connection.end()
    except HTTPCoreError:
        upload.close()  # the upstream wants no more: the response says why, or ends with an error itself
    except (ClientLeft, BodyTooLarge):
        turn.watch.left()


async def talk(turn: SocketTurn, response: Response, without: frozenset[bytes], name: bytes, changed: Changed) -> None:
    """The upstream has answered the handshake: accept the client, or hand the refusal on."""
    connection: RawStream | None = response.connection
    if connection is None:
        turn.watch.begins()
        head = Returned(response.status_code, returned(response.headers, without, response.protocol[5:], name))
        await _denied(turn, response, head, changed)
        return
    try:
        chosen = agreed(response.headers, turn.offer, without, name)
        turn.watch.begins()  # not before: where it has accepted wrongly, another upstream is waited for
        turn.status = response.status_code
        await turn.socket.talk(connection, chosen, turn)
    finally:
        connection.close()


async def _denied(turn: SocketTurn, response: Response, head: Returned, changed: Changed) -> None:
    """Hand on that the upstream refuses a WebSocket."""
    watch, send = turn.watch, turn.send
    async with response:
        if not can_deny(turn.scope):
            await turn.refuse(Refusal(403))
            return
        # Any request can ask for a WebSocket: what a hook keeps from clients, it must keep from these, too.
        found = await changed(turn, head)
        if found is None:
            return
        turn.status = found.status
        await send({"type": "websocket.http.response.start", "status": found.status, "headers": found.headers})
        watch.waits()
        async for piece in response.raw():
            watch.rests()
            await send({"type": "websocket.http.response.body", "body": piece, "more_body": True})
            watch.waits()
        watch.rests()
        await send({"type": "websocket.http.response.body", "body": b""})
        turn.is_whole = True


class Heads:
    """What becomes of the heads of responses. The last one is kept, since the next is mostly the same; none with a
    field that may be a credential is.

    Attributes:
        without: fields that the server adds.
    """

    def __init__(self, without: frozenset[bytes], name: bytes) -> None:
        self.without: frozenset[bytes] = without
        self._name = name
        self._last: tuple[Headers, str, Headers, int | None] = [], "", [], None

    def passed(self, given: Headers, protocol: str) -> tuple[Headers, int | None]:
        """The fields for the client, as a list of its own, and the length of the body that comes, if it is said."""
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
            return int(value) or None  # without a piece the end is a message of its own
    return None
