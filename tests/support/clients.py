"""Clients in each runtime: one `async` test body uses `AsyncClient`, and `Client` through a wrapper with the same
methods.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from runtimes import Runtime

import httpcore


def client(runtime: Runtime, **named: Any) -> Any:
    """A client for the bodies of `runtime`."""
    named.setdefault("trust_env", False)
    return ClientFace(httpcore.Client(**named)) if runtime.name == "threads" else httpcore.AsyncClient(**named)


class ClientFace:
    """`Client` with the interface of `AsyncClient`."""

    def __init__(self, sync: httpcore.Client) -> None:
        self.sync = sync

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.sync, name)
        if name in ("get", "head", "options", "post", "put", "patch", "delete", "query", "request", "send", "download"):
            return _awaited(found)
        return found

    def stream(self, *arguments: Any, **named: Any) -> StreamFace:
        return StreamFace(self.sync.stream(*arguments, **named))

    async def close(self, *, abort: bool = False) -> None:
        self.sync.close(abort=abort)

    async def drain(self, timeout: float | None = None) -> bool:
        return self.sync.drain(timeout)

    async def __aenter__(self) -> ClientFace:
        return self

    async def __aexit__(self, *details: object) -> None:
        self.sync.close()


def _awaited(method: Callable[..., httpcore.ClientResponse]) -> Callable[..., Awaitable[AnswerFace]]:
    async def call(*arguments: Any, **named: Any) -> AnswerFace:
        return AnswerFace(method(*arguments, **named))

    return call


class AnswerFace:
    """`ClientResponse` with the interface of `AsyncClientResponse`."""

    def __init__(self, sync: httpcore.ClientResponse) -> None:
        self.__dict__["sync"] = sync

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.sync, name)
        return (lambda: PartsFace(found())) if name in _ITERATORS else found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.sync, name, value)

    async def read(self) -> bytes:
        return bytes(self.sync.read())

    async def next(self) -> AnswerFace:
        return AnswerFace(self.sync.next())

    async def close(self) -> None:
        self.sync.close()


_ITERATORS = ("stream", "raw", "iter_text", "iter_lines", "iter_json")


class PartsFace:
    def __init__(self, sync: Any) -> None:
        self.sync = sync

    def __aiter__(self) -> PartsFace:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self.sync)
        except StopIteration:
            raise StopAsyncIteration from None


class StreamFace:
    def __init__(self, sync: Any) -> None:
        self.sync = sync

    async def __aenter__(self) -> AnswerFace:
        return AnswerFace(self.sync.__enter__())

    async def __aexit__(self, *details: Any) -> None:
        self.sync.__exit__(*details)
