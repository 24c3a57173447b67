"""Gathers a head or a trailer section up to its empty line, within the limit for its size."""

from __future__ import annotations

import re
from typing import Final

from .._errors import LimitExceeded, RemoteProtocolError, show
from .._message.fields import HEAD_BYTES

__all__ = ["LenientSection", "Section", "head_section"]

HEAD_START: Final = b"HTTP/1."

_LONE_LF: Final = re.compile(rb"(?<!\r)\n")
_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")


class Section:
    """Gathers a head or a trailer section up to its empty line, and stops a peer that never sends one.

    `start` is the required beginning of the section, so that a peer with another protocol is detected at once. One
    `Section` is used for all heads of an exchange, one after another.

    Attributes:
        fault: why the strict reader has refused the section; None if it has not. That reader must not read the section
            again, since it relies on CRLF at the end.
    """

    __slots__ = ("_buffer", "_limit", "_section_name", "_start", "fault")

    def __init__(self, what: str, start: bytes, limit: int, fault: str | None = None) -> None:
        self.fault = fault
        self._section_name = what
        self._start = start
        self._limit = limit
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The whole section and the bytes after it, or None when more bytes are needed. After an error `release`
        returns all bytes."""
        held = self._buffer
        seen = len(held)
        held += data
        # The search begins three bytes before the new ones: the empty line may be split between two pieces. Only new
        # bytes are searched, so the time is linear.
        end = held.find(b"\r\n\r\n", max(0, seen - 3))
        if end < 0:
            self._check_size(len(held))
            self._check_start()
            # A lone LF is detected at once, not at the limit: otherwise we would wait in vain for a peer that ends all
            # its lines in LF alone.
            if _LONE_LF.search(held, seen):
                raise RemoteProtocolError(
                    f"a line of the {self._section_name} ends in LF without CR: {show(bytes(held))}"
                )
            return None
        return self._split_at(end + 4)

    def release(self) -> bytes:
        """Return all collected bytes, and forget them."""
        held = bytes(self._buffer)
        self._buffer.clear()
        return held

    def _split_at(self, end: int) -> tuple[bytes, bytes]:
        self._check_size(end)
        data = self.release()
        return data[:end], data[end:]

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise LimitExceeded(f"the {self._section_name} is longer than {self._limit} bytes", limit=self._limit)

    def _check_start(self) -> None:
        held = self._buffer
        if not held.startswith(self._start[: len(held)]):
            raise RemoteProtocolError(f"expected the beginning of a {self._section_name}, got {show(bytes(held))}")


class LenientSection(Section):
    """A section for the second reader: lines end in CRLF or in LF alone, also the empty line."""

    __slots__ = ()

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        held = self._buffer
        seen = len(held)
        held += data
        self._check_start()
        found = _EMPTY_LINE.search(held, max(0, seen - 2))
        if found is None:
            self._check_size(len(held))
            return None
        return self._split_at(found.end())


def head_section(limit: int = HEAD_BYTES, fault: str | None = None) -> Section:
    return (Section if fault is None else LenientSection)("response head", HEAD_START, limit, fault)
