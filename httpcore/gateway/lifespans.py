"""The start and the end of a server, for several apps: each runs its own lifespan in a task, as ASGI has it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from .messages import App, Message, Receive, Scope, Send

__all__ = ["Lifespans"]


class _Lifespan:
    """One app's."""

    def __init__(self, app: App, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def notify(self, kind: str) -> Message | None:
        """Notify the app of the start; its answer, or None if it does not support lifespan."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._to_app.put_nowait({"type": kind})
        answer = await self._from_app.get()
        return None if answer["type"] == "unknown" else answer

    async def _run(self) -> None:
        with suppress(Exception):  # with which an ASGI app shows that it does not support lifespan
            await self._app(self._scope, self._to_app.get, self._from_app.put)
        while True:
            self._from_app.put_nowait({"type": "unknown"})
            await self._to_app.get()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Lifespans:
    """Those of several apps, as one."""

    def __init__(self, apps: Sequence[App], scope: Scope) -> None:
        self._apps = [_Lifespan(app, scope) for app in apps]

    async def run(self, receive: Receive, send: Send) -> None:
        """From the server's start to its end. The first app that fails to start or to end fails for all."""
        try:
            while True:
                kind = (await receive())["type"]
                answers = [await app.notify(kind) for app in self._apps]
                failed = [each for each in answers if each is not None and each["type"].endswith(".failed")]
                await send(failed[0] if failed else {"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown" or failed:
                    return
        finally:
            for app in self._apps:
                app.close()
