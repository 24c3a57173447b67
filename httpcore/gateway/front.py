"""What stands in front of the gateway in each worker: says whether it is ready, and sends clients away at its end."""

from __future__ import annotations

from collections.abc import Awaitable

from .messages import App, Message, Receive, Refusal, Scope, Send, answer

__all__ = ["Front"]

_READY = Refusal(200, "ready")
_ENDING = Refusal(503, "this gateway ends")


class Front:
    """An ASGI app around another.

    Attributes:
        is_ending: from now on each response is the last on its connection.
    """

    def __init__(self, app: App, ready: str | None) -> None:
        self._app = app
        self._ready = ready
        self.is_ending = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Most requests cost no more than this: what is returned is the app's own coroutine."""
        if not self.is_ending and (self._ready is None or scope.get("path") != self._ready):
            return self._app(scope, receive, send)
        return self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        last = _closing(send) if self.is_ending and scope["http_version"] < "2" else send
        if scope["path"] == self._ready:
            await answer(last, _ENDING if self.is_ending else _READY)
        else:
            await self._app(scope, receive, last)


def _closing(send: Send) -> Send:
    """The same, with `Connection: close` in the head."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return closing
