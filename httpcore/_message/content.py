"""The content of a body: the bytes of a source, decoded where it has a content coding, in pieces or as a whole.

A few bytes may decode to gigabytes, and a decoder never waits while it works. So the source lets other tasks run before
each further piece of the decoder. A cancellation or the end of `total_timeout` is also noticed then. There is no such
pause for the first piece of a body, and most bodies have only one.

A body that is kept as a whole is bounded by `max_body`, or else by `KEPT_AT_LEAST` and `KEPT_PER_BYTE`. Without
`max_body` the bound depends on how many bytes were received. So while more bytes may follow, the decoder stops at the
bound until they have arrived: the result does not depend on how the body is split into reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Final, Protocol

from .._config import UNSET, Unset
from .._errors import LimitExceeded
from .decoders import Decoder, Note, decoder_for
from .rules import Leniency

__all__ = ["Content", "ContentSource", "check_size", "collected", "decoded"]

KEPT_AT_LEAST: Final = 64 * 1024 * 1024
KEPT_PER_BYTE: Final = 32
"""Without `max_body`, a decoded body may have the larger of KEPT_AT_LEAST bytes and KEPT_PER_BYTE per received byte."""

MaxBody = int | None | Unset


class ContentSource(Protocol):
    """The source of a body."""

    @property
    def length(self) -> int | None:
        """How many bytes the body was declared to have; None if that is not known."""
        ...

    async def next(self) -> bytes:
        """The next bytes as sent, `b""` at the end."""
        ...

    def note(self, name: Leniency) -> bool:
        """Record a deviation of the content. Returns False if the deviation is an error."""
        ...

    def made(self, size: int) -> None:
        """Count `size` bytes of content that decoding has made."""
        ...

    async def turn(self) -> None:
        """Let other tasks run.

        Raises:
            TotalTimeout: the time for the exchange has passed.
        """
        ...


class Content:
    """The content of one body, piece by piece."""

    __slots__ = ("_decoder", "_has_decoded", "_headers", "_is_plain", "_source")

    def __init__(self, source: ContentSource, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._source = source
        self._headers = headers
        self._decoder: Decoder | None = None
        self._is_plain = False
        self._has_decoded = False

    async def next(self) -> bytes:
        """The next piece, `b""` at the end."""
        source = self._source
        if self._is_plain:
            return await source.next()
        while True:
            decoder = self._decoder
            if decoder is not None and (piece := decoder.step()) != b"":
                # Not before the first piece: most bodies have only one, and an iteration of the event loop costs more
                # than decoding it.
                if self._has_decoded:
                    await source.turn()
                self._has_decoded = True
                if piece:
                    source.made(len(piece))
                    return piece
                continue
            data = await source.next()
            if not data:
                if decoder is not None:
                    decoder.finish()
                return b""
            if decoder is None:  # not before the first byte: an empty body needs no decoder
                self._decoder = decoder = decoder_for(self._headers, note=source.note)
                if decoder is None:
                    self._is_plain = True
                    return data
            decoder.feed(data)


async def collected(
    source: ContentSource, headers: Iterable[tuple[bytes, bytes]], max_body: MaxBody, whole: bytes | None
) -> bytes:
    """Return the whole content: of `whole`, the complete body, if it is given; else of the bytes of `source`.

    Raises:
        LimitExceeded: the content has, or will have, more bytes than may be kept.
    """
    keeper = _BodyCollector(headers, max_body, source.length if whole is None else len(whole), source.note)
    worked = False
    while True:
        data = await source.next() if whole is None else whole
        ended = not data or whole is not None
        keeper.receive(data, ended=ended)
        while keeper.step():
            if worked:
                await source.turn()
            worked = True
        if ended:
            content = keeper.finish()
            if keeper.is_coded:
                source.made(len(content))
            return content


def decoded(body: bytes, headers: Iterable[tuple[bytes, bytes]], max_body: MaxBody, note: Note) -> bytes:
    """As `collected`, for a body that is complete in memory; a plain function."""
    keeper = _BodyCollector(headers, max_body, len(body), note)
    keeper.receive(body, ended=True)
    while keeper.step():
        pass
    return keeper.finish()


def check_size(size: int, max_body: MaxBody, what: str = "is") -> None:
    """Raise LimitExceeded if `size` bytes are more than `max_body`, where that is a number."""
    if isinstance(max_body, int) and size > max_body:
        raise LimitExceeded(
            f"the body {what} {size:,} bytes, more than max_body={max_body} allows: raise max_body, or read the body "
            "in pieces with stream()",
            limit=max_body,
        )


class _BodyCollector:
    """Keeps the content of a body, within the bounds that stop one response from filling the memory."""

    __slots__ = (
        "_declared_length",
        "_decoded_body",
        "_decoder",
        "_ended",
        "_headers",
        "_max_body",
        "_note",
        "_received",
    )

    def __init__(
        self, headers: Iterable[tuple[bytes, bytes]], max_body: MaxBody, declared: int | None, note: Note
    ) -> None:
        if declared is not None and max_body is not UNSET:
            # Before any read: a body whose declared length is too long must not be received first.
            check_size(declared, max_body, "was declared to be")
        self._headers = headers
        self._note = note
        self._max_body = max_body
        self._declared_length = declared
        self._received = 0
        self._ended = False
        self._decoder: Decoder | None = None
        # Not a list of pieces: joining them would take the memory twice.
        self._decoded_body = BytesIO()

    def receive(self, data: bytes, *, ended: bool) -> None:
        """Accept the next bytes as sent; `ended` means that no more follow."""
        self._ended = ended
        if not data:
            return
        if not self._received:
            self._decoder = decoder_for(self._headers, note=self._note)
        self._received += len(data)
        if self._max_body is not UNSET:
            check_size(self._received, self._max_body, "is at least")
        if self._decoder is None:
            self._decoded_body.write(data)
        else:
            self._decoder.feed(data)

    @property
    def is_coded(self) -> bool:
        """Whether the received bytes have a content coding."""
        return self._decoder is not None

    def step(self) -> bool:
        """Decode one piece, or a part of one. Returns False when more bytes must be received first."""
        decoder = self._decoder
        # At the bound the decoder stops. It raises only if no further input could raise the bound: so the result does
        # not depend on how the body is split into reads.
        if decoder is None or (decoder.decoded > KEPT_AT_LEAST and not self._may_go_on()):
            return False
        piece = decoder.step()
        if piece:
            self._decoded_body.write(piece)
            if self._max_body is not UNSET:
                check_size(decoder.decoded, self._max_body, "decodes to at least")
        return piece != b""

    def _may_go_on(self) -> bool:
        """Whether the bytes that were received so far allow more content.

        Raises:
            LimitExceeded: there is more content than allowed, even after all bytes that may still be received.
        """
        if self._max_body is not UNSET:
            return True
        kept = self._decoded_body.tell()
        if kept <= max(KEPT_AT_LEAST, KEPT_PER_BYTE * self._received):
            return True
        if self._ended or self._declared_length is not None:
            size = self._received if self._ended else max(self._received, self._declared_length or 0)
            most = max(KEPT_AT_LEAST, KEPT_PER_BYTE * size)
            if kept > most:
                raise LimitExceeded(
                    f"a body of {size:,} bytes decodes to more than {most:,}, the limit without max_body: "
                    "set max_body (None for no limit), or read the body in pieces with stream()",
                    limit=most,
                )
        return False

    def finish(self) -> bytes:
        """Return the whole content. Called when the body has ended and `step` returns False."""
        if self._decoder is not None:
            self._decoder.finish()
        return self._decoded_body.getvalue()
