"""Passes the startup and the shutdown of a server to several apps. Each app runs its lifespan (ASGI) in a task of its
own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from .messages import App, Message, Receive, Scope, Send

__all__ = ["Lifespans"]


class _Lifespan:
    """The lifespan of one app."""

    def __init__(self, app: App, scope: Scope) -> None:
        self._app = app
        self._scope = scope
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def notify(self, kind: str) -> Message | None:
        """Notify the app of the startup or the shutdown; its answer, or None if it does not support lifespan."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        self._to_app.put_nowait({"type": kind})
        answer = await self._from_app.get()
        return None if answer["type"] == "unknown" else answer

    async def _run(self) -> None:
        with suppress(Exception):  # an ASGI app that does not support lifespan shows this by an exception
            await self._app(self._scope, self._to_app.get, self._from_app.put)
        while True:
            self._from_app.put_nowait({"type": "unknown"})
            await self._to_app.get()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


class Lifespans:
    """The lifespans of several apps, combined into one."""

    def __init__(self, apps: Sequence[App], scope: Scope) -> None:
        self._apps = [_Lifespan(app, scope) for app in apps]

    async def run(self, receive: Receive, send: Send) -> None:
        """Run from the server's startup to its shutdown. If apps fail, the failure of the first one is reported to the
        server.
        """
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
