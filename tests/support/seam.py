"""Transports in every runtime: one `async` test body that uses `arequest`, or in threads `request`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from runtimes import RawFace, Runtime


class PlainStream:
    """A plain iterable, to be iterated with `async for`."""

    def __init__(self, stream: Any) -> None:
        self._iterator = iter(stream)

    def __aiter__(self) -> PlainStream:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._iterator:
            return bytes(piece)
        raise StopAsyncIteration


class Opened(NamedTuple):
    """The four values of an exchange; `stream` is iterated with `async for` in each runtime."""

    status_code: int
    headers: list[tuple[bytes, bytes]]
    stream: Any
    extensions: Any


class Fetched(NamedTuple):
    status_code: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    extensions: Any


@asynccontextmanager
async def opened(runtime: Runtime, transport: Any, *arguments: Any, **named: Any) -> AsyncIterator[Opened]:
    """An exchange, through the entry that belongs to the runtime."""
    if runtime.name == "threads":
        with transport.request(*arguments, **named) as (status_code, headers, stream, extensions):
            yield Opened(status_code, headers, PlainStream(stream), extensions)
    else:
        async with transport.arequest(*arguments, **named) as response:
            yield Opened(*response)


async def fetch(runtime: Runtime, transport: Any, *arguments: Any, **named: Any) -> Fetched:
    """One whole exchange."""
    async with opened(runtime, transport, *arguments, **named) as (status_code, headers, stream, extensions):
        body = b"".join([piece async for piece in stream])
    return Fetched(status_code, headers, body, extensions)


@asynccontextmanager
async def entered(runtime: Runtime, transport: Any) -> AsyncIterator[Any]:
    """The transport as a context manager of the kind that the runtime has."""
    if runtime.name == "threads":
        with transport:
            yield transport
    else:
        async with transport:
            yield transport


def raw(runtime: Runtime, connection: Any) -> Any:
    """`connection` with awaitable methods in each runtime."""
    return RawFace(connection) if runtime.name == "threads" else connection
