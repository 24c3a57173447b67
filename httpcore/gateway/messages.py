"""The types of the messages between the gateway and an ASGI server, and the short responses of the gateway itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, NamedTuple

from .._message.fields import Headers

__all__ = [
    "App",
    "Headers",
    "Message",
    "Receive",
    "Refusal",
    "Scope",
    "Send",
    "answer",
    "can_deny",
    "deny",
    "with_head",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refusal(NamedTuple):
    """A response of the gateway itself, in place of an upstream's.

    Attributes:
        status: the status code.
        text: the reason in a few words, sent as the body. It should contain no data from the client and no internal
            addresses.
        headers: further fields of the response.
    """

    status: int
    text: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def answer(send: Send, refusal: Refusal) -> None:
    """Send a refusal."""
    text = f"{refusal.text}\n".encode() if refusal.text else b""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)), *refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def with_head(send: Send, change: Callable[[Headers], Headers]) -> Send:
    """A `send` that changes the fields of a response's head. It is kept as long as a stream is open; this partial takes
    half the memory of a closure.
    """
    return partial(_send_changed, send, change)


def _send_changed(send: Send, change: Callable[[Headers], Headers], message: Message) -> Awaitable[None]:
    if message["type"] == "http.response.start":
        message = {**message, "headers": change(message["headers"])}
    return send(message)


def can_deny(scope: Scope) -> bool:
    """Whether the handshake of a WebSocket can be answered with more than 403."""
    return "websocket.http.response" in (scope.get("extensions") or ())


async def deny(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Refuse the handshake of a WebSocket; with a plain 403 if the server can send nothing else."""
    if not can_deny(scope):
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.text})
        return

    async def renamed(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await answer(renamed, refusal)
