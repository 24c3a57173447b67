"""Bodies as plain and as async iterators: over pieces of bytes, and over parts made from them, such as lines.

The iterators are classes and not generators: the finaliser of a half-read async generator runs in another task (PEP
789).
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
    """The methods of a response that its iterators use."""

    async def _piece(self, stream: BodyStream) -> bytes: ...
    async def _close(self) -> None: ...


class _Pieces:
    """The pieces of a body, until its end or until the response is closed."""

    __slots__ = ("_response", "_stream")

    def __init__(self, response: Reads, stream: BodyStream) -> None:
        self._response = response
        self._stream = stream


class Driven(_Pieces):
    """A body as a plain iterator."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return drive(self._response._piece(self._stream), self._response)
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Close the response: the rest will not be read."""
        drive(self._response._close(), self._response)


class Awaited(_Pieces):
    """A body as an async iterator."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._response._piece(self._stream)

    async def aclose(self) -> None:
        """Close the response: the rest will not be read."""
        await self._response._close()


class Parts(Protocol[T]):
    """Makes parts from the pieces of a body."""

    def feed(self, data: bytes) -> list[T]:
        """The parts that are complete after this piece."""
        ...

    def flush(self) -> list[T]:
        """The remaining parts, at the end of the body."""
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


class _PartBuffer(Generic[T]):
    """The parts of a body that are made and not yet yielded, and the `Parts` that makes further ones."""

    __slots__ = ("_is_over", "_parts", "_ready", "_response", "_stream")

    def __init__(self, response: Reads, stream: BodyStream, parts: Parts[T]) -> None:
        self._response = response
        self._stream = stream
        self._parts = parts
        self._ready: deque[T] = deque()
        self._is_over = False

    async def _make(self) -> None:
        """Make the parts of the next piece, perhaps none. Raises StopAsyncIteration when all parts are made."""
        if self._is_over:
            raise StopAsyncIteration
        try:
            piece = await self._response._piece(self._stream)
        except StopAsyncIteration:
            self._is_over = True
            self._ready.extend(self._parts.flush())
        else:
            self._ready.extend(self._parts.feed(piece))


class DrivenParts(_PartBuffer[T]):
    """The parts of a body, as a plain iterator."""

    __slots__ = ()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            while not self._ready:
                drive(self._make(), self._response)
        except StopAsyncIteration:
            raise StopIteration from None
        return self._ready.popleft()


class AwaitedParts(_PartBuffer[T]):
    """The parts of a body, as an async iterator."""

    __slots__ = ()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            await self._make()
        return self._ready.popleft()
