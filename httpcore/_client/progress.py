"""A request body that reports how much of it has been read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._message.body import Body, BodyReader
from .delivery import Progress, ProgressCallback

if TYPE_CHECKING:
    from .._message.body import RunBlocking

__all__ = ["counted"]

_PIECE: Final = 65536


def counted(body: Body, progress: ProgressCallback) -> Body:
    """The same body, which calls `progress` for each piece read. Each time it is sent, the count begins again."""
    return body if body.is_empty else Body(None, body.length, _Counted(body, progress))


class _Counted:
    __slots__ = ("_body", "_progress")

    def __init__(self, body: Body, progress: ProgressCallback) -> None:
        self._body = body
        self._progress = progress

    @property
    def replayable(self) -> bool:
        return self._body.replayable

    @property
    def is_async(self) -> bool:
        return self._body.is_async

    def open(self, run_blocking: RunBlocking) -> BodyReader:
        return _Reader(self._body.start(run_blocking), self._body.length, self._progress)


class _Reader:
    __slots__ = ("_done", "_progress", "_reader", "_rest", "_total")

    def __init__(self, reader: BodyReader, total: int | None, progress: ProgressCallback) -> None:
        self._reader = reader
        self._total = total
        self._progress = progress
        self._done = 0
        self._rest = memoryview(b"")

    async def next(self) -> bytes | None:
        if not self._rest:
            self._rest = memoryview(await self._reader.next() or b"")
            if not self._rest:
                return None
        piece, self._rest = bytes(self._rest[:_PIECE]), self._rest[_PIECE:]
        self._done += len(piece)
        self._progress(Progress("upload", self._done, self._total))
        return piece

    def close(self) -> None:
        self._reader.close()

    async def aclose(self) -> None:
        await self._reader.aclose()
