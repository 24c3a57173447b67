"""A WebSocket client over a raw stream, with wsproto's frames and the two handshakes."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from runtimes import Runtime
from seam import opened, raw
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Event, Message, TextMessage

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONNECT = [(":protocol", "websocket"), ("sec-websocket-version", "13")]


def upgrade(key: bytes | None = None, *more: tuple[str, Any]) -> list[tuple[str, Any]]:
    """The fields of a handshake over HTTP/1.1."""
    return [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", key or base64.b64encode(os.urandom(16))),
        *more,
    ]


def accept(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + MAGIC).digest())


def frame(opcode: int, data: bytes = b"", *, last: bool = True) -> bytes:
    """A frame of a server, made by hand: the caller chooses its faults."""
    size = len(data)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)
    return bytes([opcode | 128 * last]) + length + data


class WebSocketClient:
    """wsproto's frames on a connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.frames = Connection(ConnectionType.CLIENT)
        self._events = self.frames.events()

    async def send(self, event: Event | str | bytes) -> None:
        if isinstance(event, (str, bytes)):
            event = TextMessage(data=event) if isinstance(event, str) else BytesMessage(data=event)
        await self.connection.send(self.frames.send(event))

    async def event(self, max_bytes: int = 65536) -> Event | None:
        """The next event; None at the end of the stream."""
        while (event := next(self._events, None)) is None:
            data = await self.connection.recv(max_bytes)
            if not data:
                return None
            self.frames.receive_data(data)
            self._events = self.frames.events()
        return event

    async def message(self, max_bytes: int = 65536) -> Any:
        """The next whole message, or another event; None at the end of the stream."""
        parts: list[Any] = []
        while isinstance(event := await self.event(max_bytes), Message):
            parts.append(event.data)
            if event.message_finished:
                return parts[0][:0].join(parts)
        return event


@asynccontextmanager
async def websocket(
    runtime: Runtime, transport: Any, url: str, *more: tuple[str, Any], how: str = "upgrade", **named: Any
) -> AsyncIterator[WebSocketClient]:
    """An accepted WebSocket, by Upgrade or by extended CONNECT."""
    method, headers = ("GET", upgrade(None, *more)) if how == "upgrade" else ("CONNECT", [*CONNECT, *more])
    async with opened(runtime, transport, method, url, headers, **named) as (status_code, _, _, extensions):
        assert status_code == (101 if how == "upgrade" else 200)
        yield WebSocketClient(raw(runtime, extensions["connection"]))
