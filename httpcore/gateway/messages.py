"""What the gateway and an ASGI server say to each other, as types, and the short answers of the gateway itself."""

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
    """A response of the gateway itself: no upstream gets the request.

    Attributes:
        status: of the response.
        text: the reason in a few words, without anything that the client sent and without addresses of ours.
        headers: further fields of the response.
    """

    status: int
    text: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def answer(send: Send, refusal: Refusal) -> None:
    """Send it."""
    text = f"{refusal.text}\n".encode() if refusal.text else b""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)), *refusal.headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def with_head(send: Send, change: Callable[[Headers], Headers]) -> Send:
    """The same `send`, with the fields of a response's head changed. As long as a stream is open it is kept: this takes
    half of what a closure does.
    """
    return partial(_changed, send, change)


def _changed(send: Send, change: Callable[[Headers], Headers], message: Message) -> Awaitable[None]:
    if message["type"] == "http.response.start":
        message = {**message, "headers": change(message["headers"])}
    return send(message)


def can_deny(scope: Scope) -> bool:
    """Whether the handshake of a WebSocket can be answered with more than 403."""
    return "websocket.http.response" in (scope.get("extensions") or ())


async def deny(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Send it in answer to the handshake of a WebSocket: by 403 where the server can do nothing else."""
    if not can_deny(scope):
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.text})
        return

    async def renamed(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await answer(renamed, refusal)
