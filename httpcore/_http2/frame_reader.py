"""Cuts the bytes that a peer sends into HTTP/2 frames (RFC 9113, section 4.1), a bounded number at a time. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from .._errors import Code
from .._message.fields import HEAD_BYTES
from .frames import CONTINUATION, DATA, LAST_ID, MAX_FRAME, check_first, fault, frame_header, too_much
from .streams import Listener

__all__ = ["Fragments", "FrameHandler", "FrameReader"]

CONTINUATION_COUNT: Final = 64
"""CONTINUATION frames of one header block; more where the limit for a head is so high that they must be larger."""

BLOCK_SHARE: Final = 6
"""A frame counts for one, and one more for each 2**6 bytes of its payload, where that is no DATA: about as much work as
a short frame. """


class Fragments:
    """A header block that comes in several frames (4.3).

    Attributes:
        data: its received part.
        ends: the END_STREAM of its HEADERS.
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
            raise too_much("the peer sent too many CONTINUATION frames", most)
        if len(self.data) > self._limit:
            raise too_much("the peer sent a header block that is too large", self._limit)


class FrameHandler(Protocol):
    """The methods of an engine that the reader of frames calls.

    Attributes:
        settings_seen: the first frame has come.
        block_stream: the stream of a header block that is not complete; 0 if there is none.
    """

    settings_seen: bool
    block_stream: int

    def on_data(self, flags: int, stream: int, payload: bytes, listener: Listener, frames: int = 1) -> None:
        """DATA; `frames` of them if they were joined."""
        ...

    def joinable(self, stream: int, size: int, most: int) -> int:
        """How many DATA frames of `size` bytes, `most` at most, may be joined."""
        ...

    def on_unknown(self, payload: bytes) -> None:
        """A frame of a kind that has no handler."""
        ...


class FrameReader:
    """The inbound bytes of one connection.

    Arguments:
        handlers: by the kind of frame; each takes the handler, flags, stream, payload and the listener.

    Attributes:
        count: frames that were read; those with header blocks count for more, see `BLOCK_SHARE`.
    """

    __slots__ = ("_handlers", "_held", "_need", "count")

    def __init__(self, handlers: Sequence[Callable[[Any, int, int, bytes, Listener], None]]) -> None:
        self.count = 0
        self._handlers = handlers
        self._held = bytearray()  # the beginning of a frame
        self._need = 9  # bytes that must be there before there is anything to do

    def read(self, handler: FrameHandler, data: bytes, listener: Listener, most: int) -> bool:
        """Read the frames that are complete, about `most` of them. True when others are left, which are complete too.

        Raises:
            Fault: it ends the connection.
        """
        held = self._held
        if held:
            # A large frame that comes in many small reads is copied once, when it is whole: linear time.
            if len(held) + len(data) < self._need:
                held += data
                return False
            data = b"".join((held, data))
            held.clear()
        at = self._read_frames(handler, data, listener, most)
        if at < len(data):
            held += data[at:]
        return len(data) - at >= self._need

    def _read_frames(self, handler: FrameHandler, data: bytes, listener: Listener, most: int) -> int:
        """Returns where the first unread frame begins."""
        at = 0
        size = len(data)
        left = most
        handlers = self._handlers
        self._need = 9
        while left > 0 and size - at >= 9:
            high, low, kind, flags, stream = frame_header.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if not handler.settings_seen:  # the peer's preface is a SETTINGS frame (3.4)
                check_first(data[at : at + 9], kind, flags)
            if end - at - 9 > MAX_FRAME:  # before it is here, or a peer could have us hold 16 MiB (4.2)
                raise fault(
                    Code.FRAME_SIZE_ERROR,
                    f"the peer sent a frame of {end - at - 9:,} bytes: expected at most {MAX_FRAME:,}",
                )
            if end > size:
                self._need = end - at
                break
            stream &= LAST_ID  # the first bit is reserved (4.1)
            # Nothing may come between the frames of a header block (4.3), which change the decoder's table in order.
            if handler.block_stream and (kind != CONTINUATION or stream != handler.block_stream):
                raise fault(Code.PROTOCOL_ERROR, "the peer sent another frame within a header block")
            payload = data[at + 9 : end]
            left -= 1
            if kind == DATA:
                frames = 1
                # Joined, frames that are alike pass the engine once. Never one with flags: END_STREAM or padding.
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
        """The content of one DATA frame and of those with the same header behind it, as if they were one, and how many
        they are, `count` at most: much of a long body comes in frames that are alike."""
        header = data[at : at + 9]
        step = end - at
        parts = [data[at + 9 : end]]
        last = min(len(data), at + count * step)
        while end + step <= last and data.startswith(header, end):
            parts.append(data[end + 9 : end + step])
            end += step
        return b"".join(parts), len(parts)
