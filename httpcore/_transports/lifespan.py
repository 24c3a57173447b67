"""The lifespan of an ASGI app: started before the first request, and ended after the last."""

from __future__ import annotations

from typing import Any

from .._backends.base import Backend
from .._errors import LocalProtocolError
from .asgi_cycle import ASGIApp, Message
from .tasks import Signal, spawn

__all__ = ["Lifespan"]


class Lifespan:
    """One run of the lifespan protocol, in a task of its own.

    Attributes:
        state: the app's `scope["state"]`. Each request gets a copy.
    """

    def __init__(self, app: ASGIApp, backend: Backend, *, required: bool) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._required = required
        self._signal = Signal(backend)
        self._stopping = self._done = False
        self._receives = 0
        self._last = ""
        self._reason = ""
        self._error: BaseException | None = None

    async def start(self) -> None:
        """Wait until the app has started.

        Raises:
            LocalProtocolError: the app reported that it could not start, or a lifespan is required and the app has
                none.
            Exception: the app's own error, if a lifespan is required.
        """
        self._task = spawn(self._run)
        while not (self._done or self._last):
            await self._signal.wait()
        if self._last == "lifespan.startup.failed":
            raise LocalProtocolError(f"the app failed to start: {self._reason}")
        if not self._last and self._required:
            raise self._error or LocalProtocolError("the app has no lifespan")

    async def stop(self) -> None:
        """Wait until the app has stopped.

        Raises the app's own error, or `LocalProtocolError` if the app reported that it could not stop.
        """
        self._stopping = True
        self._signal.notify()
        while not (self._done or self._last.startswith("lifespan.shutdown")):
            await self._signal.wait()
        self.cancel()
        if self._last == "lifespan.shutdown.failed":
            raise LocalProtocolError(f"the app failed to stop: {self._reason}")
        if self._error is not None and self._last:
            raise self._error

    def cancel(self) -> None:
        if not self._done:
            self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            self._error = error
        finally:
            self._done = True
            self._signal.notify()

    async def _receive(self) -> Message:
        self._receives += 1
        if self._receives == 1:
            return {"type": "lifespan.startup"}
        while not self._stopping or self._receives > 2:
            await self._signal.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        self._last = message["type"]
        self._reason = str(message.get("message", ""))
        self._signal.notify()
