"""Cuts the bytes that a peer sends into HTTP/2 frames (RFC 9113, section 4.1), a bounded number at a time. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from .._errors import Code
from .._message.fields import HEAD_BYTES
from .frames import CONTINUATION, DATA, LAST_ID, MAX_FRAME, check_first, fault, frame_header, limit_fault
from .streams import Listener

__all__ = ["Fragments", "FrameHandler", "FrameReader"]

CONTINUATION_COUNT: Final = 64
"""The most CONTINUATION frames of one header block; more are allowed where a high limit for a head needs them."""

BLOCK_SHARE: Final = 6
"""A frame other than DATA counts as one, and as one more for each 2**6 of its bytes: these are about as much work as a
short frame."""


class Fragments:
    """A header block that is received in several frames (4.3).

    Attributes:
        data: its received part.
        ends: whether its HEADERS frame has END_STREAM.
    """

    __slots__ = ("_count", "_limit", "data", "ends")

    def __init__(self, first: bytes = b"", ends: int = 0, limit: int = HEAD_BYTES) -> None:
        self.data = bytearray(first)
        self.ends = ends
        self._limit = limit
        self._count = 0

    def add(self, payload: bytes) -> None:
        self.data += payload
        self._count += 1
        most = max(CONTINUATION_COUNT, self._limit // 4096)
        # The "CONTINUATION flood" of 2024 (VU#421644): without a bound each frame costs memory, or CPU time.
        if self._count > most:
            raise limit_fault("the peer sent too many CONTINUATION frames", most)
        if len(self.data) > self._limit:
            raise limit_fault("the peer sent a header block that is too large", self._limit)


class FrameHandler(Protocol):
    """The methods of an engine that the reader of frames calls.

    Attributes:
        settings_seen: whether the first frame has been received.
        block_stream: the stream whose header block is not complete; 0 if there is none.
    """

    settings_seen: bool
    block_stream: int

    def on_data(self, flags: int, stream: int, payload: bytes, listener: Listener, frames: int = 1) -> None:
        """Handle DATA; `frames` is the number of frames that were joined."""
        ...

    def joinable(self, stream: int, size: int, most: int) -> int:
        """How many DATA frames of `size` bytes, `most` at most, may be joined."""
        ...

    def on_unknown(self, payload: bytes) -> None:
        """Handle a frame of a kind that has no handler."""
        ...


class FrameReader:
    """The inbound bytes of one connection.

    Arguments:
        handlers: functions by the kind of frame; each is called with the handler, flags, stream, payload and the
            listener.

    Attributes:
        count: the count of frames that were read. A large frame other than DATA counts as several, see `BLOCK_SHARE`.
    """

    __slots__ = ("_bytes_needed", "_handlers", "_partial_frame", "count")

    def __init__(self, handlers: Sequence[Callable[[Any, int, int, bytes, Listener], None]]) -> None:
        self.count = 0
        self._handlers = handlers
        self._partial_frame = bytearray()  # the beginning of a frame
        self._bytes_needed = 9  # bytes that are needed before anything can be read

    def read(self, handler: FrameHandler, data: bytes, listener: Listener, most: int) -> bool:
        """Read the frames that are complete, about `most` of them. True when other complete frames are left.

        Raises:
            Fault: an error that ends the connection.
        """
        held = self._partial_frame
        if held:
            # A large frame that arrives in many small reads is copied once, when it is complete: the time is linear.
            if len(held) + len(data) < self._bytes_needed:
                held += data
                return False
            data = b"".join((held, data))
            held.clear()
        at = self._read_frames(handler, data, listener, most)
        if at < len(data):
            held += data[at:]
        return len(data) - at >= self._bytes_needed

    def _read_frames(self, handler: FrameHandler, data: bytes, listener: Listener, most: int) -> int:
        """Read frames; returns where the first unread frame begins."""
        at = 0
        size = len(data)
        left = most
        handlers = self._handlers
        self._bytes_needed = 9
        while left > 0 and size - at >= 9:
            high, low, kind, flags, stream = frame_header.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if not handler.settings_seen:  # the peer's preface is a SETTINGS frame (3.4)
                check_first(data[at : at + 9], kind, flags)
            # The size is checked before the frame is complete: otherwise a peer could make us hold 16 MiB (4.2).
            if end - at - 9 > MAX_FRAME:
                raise fault(
                    Code.FRAME_SIZE_ERROR,
                    f"the peer sent a frame of {end - at - 9:,} bytes: expected at most {MAX_FRAME:,}",
                )
            if end > size:
                self._bytes_needed = end - at
                break
            stream &= LAST_ID  # the first bit is reserved (4.1)
            # Between the frames of a header block no other frame is allowed (4.3): the decoder needs blocks in order.
            if handler.block_stream and (kind != CONTINUATION or stream != handler.block_stream):
                raise fault(Code.PROTOCOL_ERROR, "the peer sent another frame within a header block")
            payload = data[at + 9 : end]
            left -= 1
            if kind == DATA:
                frames = 1
                # Equal frames are joined and handled once. Frames with flags (END_STREAM or padding) are never joined.
                if not flags and payload and data.startswith(data[at : at + 9], end):
                    payload, frames = self._join_data(data, at, end, handler.joinable(stream, len(payload), left + 1))
                    end = at + 9 * frames + len(payload)
                    left -= frames - 1
                handler.on_data(flags, stream, payload, listener, frames)
                at = end
                continue
            left -= (end - at) >> BLOCK_SHARE
            if kind < len(handlers):
                handlers[kind](handler, flags, stream, payload, listener)
            else:
                handler.on_unknown(payload)
            at = end
        self.count += most - left
        return at

    def _join_data(self, data: bytes, at: int, end: int, count: int) -> tuple[bytes, int]:
        """Join the content of one DATA frame and of the following frames with the same header, `count` frames at most.
        Returns the content and the number of frames. Much of a long body arrives in equal frames."""
        header = data[at : at + 9]
        step = end - at
        parts = [data[at + 9 : end]]
        last = min(len(data), at + count * step)
        while end + step <= last and data.startswith(header, end):
            parts.append(data[end + 9 : end + step])
            end += step
        return b"".join(parts), len(parts)
