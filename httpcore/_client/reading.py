"""Bodies as iterators of both kinds: pieces of bytes, and what is made of them, such as lines.

They are classes and not generators: the finaliser of a half-read async generator runs in another task (PEP 789).
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Generic, Protocol, TypeVar

from .._message.response import BodyStream
from .._transports.base import drive
from .text import LineSplitter, TextDecoder

__all__ = ["Awaited", "AwaitedParts", "Driven", "DrivenParts", "Lines", "Text"]

T = TypeVar("T")


class Reads(Protocol):
    """What an iterator needs of its response."""

    async def _piece(self, stream: BodyStream) -> bytes: ...
    async def _close(self) -> None: ...


class Driven:
    """A body as a plain iterator."""

    __slots__ = ("_response", "_stream")

    def __init__(self, response: Reads, stream: BodyStream) -> None:
        self._response = response
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return drive(self._response._piece(self._stream), self._response)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Close the response: the rest is not wanted."""
        drive(self._response._close(), self._response)


class Awaited:
    """A body as an async iterator."""

    __slots__ = ("_response", "_stream")

    def __init__(self, response: Reads, stream: BodyStream) -> None:
        self._response = response
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._response._piece(self._stream)

    async def aclose(self) -> None:
        """Close the response: the rest is not wanted."""
        await self._response._close()


class Parts(Protocol[T]):
    """Makes parts of pieces."""

    def feed(self, data: bytes) -> list[T]:
        """The parts that are complete."""
        ...

    def flush(self) -> list[T]:
        """The rest."""
        ...


class Text:
    """The pieces as text."""

    def __init__(self, decoder: TextDecoder) -> None:
        self._decoder = decoder

    def feed(self, data: bytes) -> list[str]:
        text = self._decoder.feed(data)
        return [text] if text else []

    def flush(self) -> list[str]:
        text = self._decoder.flush()
        return [text] if text else []


class Lines:
    """The lines of the text, without their ends."""

    def __init__(self, decoder: TextDecoder) -> None:
        self._decoder = decoder
        self._lines = LineSplitter()

    def feed(self, data: bytes) -> list[str]:
        return self._lines.feed(self._decoder.feed(data))

    def flush(self) -> list[str]:
        return self._lines.feed(self._decoder.flush()) + self._lines.flush()


class DrivenParts(Generic[T]):
    """What is made of a body, as a plain iterator."""

    __slots__ = ("_parts", "_ready", "_stream")

    def __init__(self, stream: Iterator[bytes], parts: Parts[T]) -> None:
        self._stream: Iterator[bytes] | None = stream
        self._parts = parts
        self._ready: deque[T] = deque()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while not self._ready:
            if self._stream is None:
                raise StopIteration
            piece = next(self._stream, None)
            if piece is None:
                self._stream = None
            self._ready.extend(self._parts.flush() if piece is None else self._parts.feed(piece))
        return self._ready.popleft()


class AwaitedParts(Generic[T]):
    """What is made of a body, as an async iterator."""

    __slots__ = ("_parts", "_ready", "_stream")

    def __init__(self, stream: AsyncIterator[bytes], parts: Parts[T]) -> None:
        self._stream: AsyncIterator[bytes] | None = stream
        self._parts = parts
        self._ready: deque[T] = deque()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            if self._stream is None:
                raise StopAsyncIteration
            piece = await anext(self._stream, None)
            if piece is None:
                self._stream = None
            self._ready.extend(self._parts.flush() if piece is None else self._parts.feed(piece))
        return self._ready.popleft()
