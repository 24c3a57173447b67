"""The outbound frames of one HTTP/2 connection (RFC 9113, section 4.1). No I/O."""

from __future__ import annotations

from typing import Final

from .frames import CONTINUATION, END_HEADERS, END_STREAM, HEADERS, frame_header, limit_fault

__all__ = ["ANSWER_BYTES", "FrameWriter"]

ANSWER_BYTES: Final = 65536
"""Bytes of answers to the peer (PING, SETTINGS, resets) that may wait to be sent."""


class FrameWriter:
    """The outbound bytes of one connection.

    Attributes:
        pending: the number of bytes that `take` would return.
    """

    __slots__ = ("_answer_bytes", "_outbox", "pending")

    def __init__(self) -> None:
        self.pending = 0
        self._outbox: list[bytes] = []
        self._answer_bytes = 0  # how many bytes in the outbox are replies to the peer

    def put(self, data: bytes) -> None:
        self._outbox.append(data)
        self.pending += len(data)

    def send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._outbox += (frame_header.pack(size >> 8, size & 255, kind, flags, stream), payload)
        self.pending += size + 9

    def send_block(self, stream: int, block: bytes, limit: int, *, end: bool) -> None:
        """Queue a header block (4.3), in frames of at most `limit` bytes."""
        kind, flags = HEADERS, END_STREAM if end else 0
        # Nothing may be written between these frames (4.3): the whole block is queued in one call.
        while len(block) > limit:
            self.send(kind, flags, stream, block[:limit])
            block = block[limit:]
            kind, flags = CONTINUATION, 0
        self.send(kind, flags | END_HEADERS, stream, block)

    def answer(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Queue a reply to a frame of the peer."""
        self.send(kind, flags, stream, payload)
        self.count_answer(len(payload) + 9)

    def count_answer(self, size: int) -> None:
        """Count `size` more waiting bytes as replies to the peer.

        Raises:
            Fault: more than `ANSWER_BYTES` bytes of replies wait.
        """
        self._answer_bytes += size
        if self._answer_bytes > ANSWER_BYTES:
            raise limit_fault(
                "the peer does not read our replies to its frames: more than 64 KiB are waiting", ANSWER_BYTES
            )

    def take(self) -> bytes:
        """Remove and return all waiting bytes."""
        outbox = self._outbox
        if not outbox:
            return b""
        data = b"".join(outbox)
        outbox.clear()
        self.pending = self._answer_bytes = 0
        return data
