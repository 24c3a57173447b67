"""A transport's response on its way to the caller: the source that a `Response` reads from and releases.

`close` never waits and may be called at any moment. If a transport's clean-up must wait, `aclose` waits for it. It is
called where the caller waits anyway: at the end of the body, or in the `close` method of the response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from .._backends.base import PIECE
from .._errors import HTTPCoreError
from .._message.raw import HeldStream, RawStream
from .._message.response import Informational, ResponseInfo
from .._message.rules import Leniency, noted
from .._public import public, resolvable
from .._transports.base import TransportRequest, TransportResponse, async_pieces
from .._transports.extensions import has_connection

if TYPE_CHECKING:
    from .request import Request

__all__ = ["Delivery", "Progress", "ProgressCallback"]


@public
@resolvable
class Progress(NamedTuple):
    """The progress of a transfer, as passed to `on_progress`.

    Attributes:
        direction: "upload" or "download".
        done: the bytes sent or received so far, counted with content codings.
        total: the bytes of the whole body; None if the length is not known.
    """

    direction: Literal["upload", "download"]
    done: int
    total: int | None


ProgressCallback = Callable[[Progress], object]

_NO_INFO: Final = ResponseInfo()


class Delivery:
    """The body of one transport response.

    Attributes:
        request: the request that was sent.
        answer: the transport's response: status, headers, stream and extensions.
        elapsed: seconds from sending the request to the head of its response.
        received: bytes of the body that were received so far, before decoding.
        decoded: bytes that decoding has produced so far; None if nothing was decoded.
        whole: the whole body, if the transport returned it as bytes; else None.
    """

    __slots__ = (
        "__weakref__",
        "_is_over",
        "_iterator",
        "_on_close",
        "_progress",
        "_rest",
        "_waiting",
        "_wire",
        "answer",
        "decoded",
        "elapsed",
        "received",
        "request",
        "whole",
    )

    def __init__(
        self,
        request: Request,
        wire: TransportRequest,
        answer: TransportResponse,
        elapsed: float,
        progress: ProgressCallback | None,
    ) -> None:
        self.request: Request = request
        self.answer: TransportResponse = answer
        self.elapsed: float = elapsed
        self.received: int = 0
        self.decoded: int | None = None
        self._wire = wire
        self._iterator: AsyncIterator[bytes] | None = None
        self._rest: memoryview | None = None
        self._is_over = False
        self._progress = progress
        self._waiting: list[TransportResponse] = []
        self._on_close: Callable[[], object] | None = None
        stream = answer.stream
        self.whole: bytes | None = (
            stream if isinstance(stream, bytes) and not has_connection(answer.extensions) else None
        )

    # The methods that a `Response` calls on the source of its body.

    @property
    def connection(self) -> RawStream | None:
        """Always None: a raw stream is in the extensions, and has its own owner."""
        return None

    @property
    def informational(self) -> list[Informational]:
        return self.answer.extensions.get("informational", [])

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        return self.answer.extensions.get("trailing_headers", [])

    @property
    def info(self) -> ResponseInfo:
        return self.answer.extensions.get("info", _NO_INFO)

    @property
    def is_strict(self) -> bool:
        return self.answer.extensions.get("strict", False)

    def note(self, name: Leniency) -> bool:
        """Record in `info` that the content is unusual. Return False if the transport is strict: unusual content is
        then an error.
        """
        if self.is_strict:
            return False
        info = self.info
        self.answer.extensions["info"] = info._replace(lenient=noted(info.lenient, name))
        return True

    def made(self, size: int) -> None:
        """Count bytes that decoding has produced."""
        self.decoded = size + (self.decoded or 0)

    @property
    def length(self) -> int | None:
        """The declared length of the body; None if it is not known, or does not apply to this body."""
        if self.request.method == "HEAD" or self.answer.status_code == 304:
            return None
        for name, value in self.answer.headers:
            if name == b"content-length" and value.isdigit() and len(value) < 19:
                return int(value)
        return None

    def buffered_body(self) -> bytes | None:
        """The whole body, if it was received in one piece and has not been read."""
        whole = self.whole
        if whole is not None and not self._is_over and self._rest is None:
            self.count(len(whole))
            self._is_over = True
            self.close()
        return whole

    async def next(self) -> bytes:
        """The next piece, b"" at the end."""
        if self._is_over:
            return b""
        if self.whole is not None:
            return self._next_of(self.whole)
        if self._iterator is None:
            self._iterator = aiter(async_pieces(self.answer.stream))
        while True:
            try:
                piece = await self._iterator.__anext__()
            except StopAsyncIteration:
                self._is_over = True
                self.close()
                return b""
            if piece:
                self.count(len(piece))
                return piece

    def _next_of(self, whole: bytes) -> bytes:
        rest = memoryview(whole) if self._rest is None else self._rest
        piece, self._rest = bytes(rest[:PIECE]), rest[PIECE:]
        self.count(len(piece))
        if not piece:
            self._is_over = True
            self.close()
        return piece

    def count(self, size: int) -> None:
        """Count received bytes, and report the progress."""
        self.received += size
        if self._progress is not None and (size or not self.received):
            self._progress(Progress("download", self.received, self.length))

    async def turn(self) -> None:
        await self._wire.backend.sleep(0)

    def add_request_context(self, error: HTTPCoreError) -> None:
        error.add(phase="read the response body", method=self.request.method, url=self.request.url.redacted)

    def on_close(self, function: Callable[[], object]) -> None:
        """Register a plain function to be called when the exchange is released; it may be called twice."""
        self._on_close = function
        if has_connection(self.answer.extensions):
            connection = self.answer.extensions["connection"]
            if isinstance(connection, HeldStream):  # a transport's own stream does not report its close
                connection.on_close = function

    def close(self) -> None:
        """Release the resources of the exchange at once. May be called repeatedly."""
        self._is_over = True
        try:
            # `release` does the plain part. The responses whose clean-up must wait are kept for `aclose`, also if
            # `close` is called again.
            self._waiting += self._wire.release()
        finally:
            if self._on_close is not None:
                self._on_close()

    async def aclose(self) -> None:
        """Wait for the transport's clean-up, once, if the body has ended or the exchange was closed."""
        if self._is_over:
            while self._waiting:
                await self._waiting.pop().aclose()
