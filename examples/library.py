"""A library over HTTP, written once for tasks and threads: a store of notes, by name.

`AsyncNotes` is awaited in asyncio and trio, `Notes` blocks. Their common part has the requests, the errors and the
settings. `backend=` lets a test put a simulated network below them.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpcore

TIMEOUT = httpcore.TimeoutConfig(5, total=20)
RETRIES = httpcore.RetryPolicy(attempts=3, backoff=0.2)


class NotesError(Exception):
    """The store was not reached, or its answer was an error. `__cause__` is the error of httpcore, if there is one."""


class NoteMissing(NotesError, KeyError):
    """The store has no note of that name."""


class AsyncNotes:
    """The notes at `base_url`, for tasks. It is an async context manager."""

    def __init__(self, base_url: str, *, backend: httpcore.Backend | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._http = httpcore.ConnectionPool(timeout=TIMEOUT, retries=RETRIES, max_body=1_000_000, backend=backend)

    async def read(self, name: str) -> str:
        """Raises: NoteMissing, NotesError."""
        return (await self._call("GET", name)).body.decode()

    async def write(self, name: str, text: str) -> None:
        """Raises: NotesError."""
        await self._call("PUT", name, text)

    async def close(self) -> None:
        await self._http.close()

    async def _call(self, method: str, name: str, text: str = "") -> httpcore.Response:
        try:
            response = await self._http.request(method, f"{self._base_url}/{quote(name, safe='')}", body=text)
        except httpcore.HTTPCoreError as error:
            raise NotesError(f"{method} of note {name!r}: {error}") from error
        if response.status_code == 404:
            raise NoteMissing(name)
        if response.status_code >= 400:
            raise NotesError(f"{method} of note {name!r}: status {response.status_code}")
        return response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class Notes:
    """The notes at `base_url`, for threads: each call of `AsyncNotes`, driven to its end. It is a context manager."""

    def __init__(self, base_url: str, *, backend: httpcore.Backend | None = None) -> None:
        self._notes = AsyncNotes(base_url, backend=backend or httpcore.threads_backend())

    def read(self, name: str) -> str:
        """Raises: NoteMissing, NotesError."""
        return httpcore.run_sync(self._notes.read(name))

    def write(self, name: str, text: str) -> None:
        """Raises: NotesError."""
        httpcore.run_sync(self._notes.write(name, text))

    def close(self) -> None:
        httpcore.run_sync(self._notes.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
