"""The app around the gateway in each worker: it answers whether the worker is ready, and closes connections at
shutdown.

It also adds a Date to responses without one (RFC 9110, section 6.6.1). The server is configured not to do this, since
it would add a Date to each response.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from email.utils import formatdate

from .messages import App, Headers, Receive, Refusal, Scope, Send, answer, with_head

__all__ = ["Front"]

_READY = Refusal(200, "ready")
_ENDING = Refusal(503, "this gateway is shutting down")


class Front:
    """An ASGI app around another.

    Attributes:
        is_ending: the worker shuts down, and each response is the last on its connection.
    """

    def __init__(self, app: App, ready: str | None) -> None:
        self._app = app
        self._ready = ready
        self.is_ending = False
        self._change = self._dated  # bound once, and not for each request
        self._second = 0
        self._text = b""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request. For most requests this returns the app's own coroutine, so that they need no second one."""
        if not self.is_ending and (self._ready is None or scope.get("path") != self._ready):
            return self._app(scope, receive, with_head(send, self._change) if scope["type"] == "http" else send)
        return self._serve(scope, receive, send)

    def _dated(self, headers: Headers) -> Headers:
        return headers if any(name == b"date" for name, _ in headers) else [*headers, (b"date", self._date())]

    def _last(self, headers: Headers) -> Headers:
        return [*self._dated(headers), (b"connection", b"close")]

    def _date(self) -> bytes:
        """The current time as a Date, formatted once a second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_last = self.is_ending and scope["http_version"] < "2"  # HTTP/2 has no Connection field
        last = with_head(send, self._last if is_last else self._dated)
        if scope["path"] == self._ready:
            await answer(last, _ENDING if self.is_ending else _READY)
        else:
            await self._app(scope, receive, last)
