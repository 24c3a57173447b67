"""The chunked coding of a response body, and the sections (heads, trailers) that end in an empty line."""

from __future__ import annotations

import re
from typing import Final

from .._errors import LimitExceeded, RemoteProtocolError, show
from .._message.fields import HEAD_BYTES, TOKEN, Headers
from .grammar import TEXT, read_fields

CHUNK_LINE_BYTES: Final = 16384
"""One chunk's line: size, extensions and line ends."""


EXTENSION_BYTES: Final = 65536
"""Chunk extensions of one message, beyond as many bytes as its body has had so far."""


_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\' + TEXT + rb')*+"'


_EXTENSION = rb"[ \t]*+;[ \t]*+" + TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + TOKEN + rb"|" + _QUOTED + rb"))?"


_CHUNK_LINE = rb"([0-9A-Fa-f]{1,16})((?:" + _EXTENSION + rb")*+)\r\n"


FIRST_CHUNK: Final = re.compile(_CHUNK_LINE)


NEXT_CHUNK: Final = re.compile(rb"\r\n" + _CHUNK_LINE)  # from the end of the data of the chunk before


_LONE_LF: Final = re.compile(rb"(?<!\r)\n")


class Section:
    """Gathers a head or a trailer section up to its empty line, and stops a peer that never sends one.

    `start` is what the section must begin with, so that a peer that speaks something else is found out at once. `room`
    is how many bytes are left; what is returned is taken from it, so one `Section` serves an exchange's every head.
    """

    __slots__ = ("_held", "_start", "_what", "room")

    def __init__(self, what: str, start: bytes) -> None:
        self._what = what
        self._start = start
        self._held = bytearray()
        self.room = HEAD_BYTES

    def __len__(self) -> int:
        return len(self._held)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """The whole section and what follows it, or None: more is needed."""
        held = self._held
        seen = len(held)
        if seen:
            held += data
            end = held.find(b"\r\n\r\n", max(0, seen - 3))
        else:
            end = data.find(b"\r\n\r\n")
        if end < 0:
            if not seen:
                held += data
            self._check(seen)
            return None
        if seen:
            data = bytes(held)
            held.clear()
        end += 4
        self.room -= end
        if self.room < 0:
            raise self._too_long()
        return data[:end], data[end:]

    def _check(self, seen: int) -> None:
        held = self._held
        if len(held) > self.room:
            raise self._too_long()
        if not held.startswith(self._start[: len(held)]):
            raise RemoteProtocolError(f"not the beginning of a {self._what}: {show(bytes(held))}")
        if _LONE_LF.search(held, seen):
            raise RemoteProtocolError(f"a line of the {self._what} ends in LF without CR: {show(bytes(held))}")

    def _too_long(self) -> LimitExceeded:
        return LimitExceeded(f"the {self._what} is longer than {HEAD_BYTES} bytes", limit=HEAD_BYTES)


def head_section() -> Section:
    return Section("response head", b"HTTP/1.")


class Chunks:
    """Takes one chunked body apart (RFC 9112, 7.1).

    Attributes:
        length: bytes of the body so far.
        trailers: None until the body is complete; names are lower-cased.
        surplus: then, what came behind the message.
    """

    __slots__ = ("_extensions", "_held", "_left", "_line", "_section", "length", "surplus", "trailers")

    def __init__(self) -> None:
        self.length = 0
        self.trailers: Headers | None = None
        self.surplus = b""
        self._left = 0  # of the current chunk's data
        self._line = FIRST_CHUNK
        self._held = bytearray()  # the beginning of a line
        self._extensions = 0
        self._section: Section | None = None  # once the last chunk's line has come

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body that are in `data`, in one piece.

        Raises:
            RemoteProtocolError, LimitExceeded: the chunks or trailers break the grammar, or exceed a limit.
        """
        if self._section is not None:
            self._feed_trailers(self._section, data)
            return b""
        left = self._left
        if len(data) <= left:
            self._left = left - len(data)
            self.length += len(data)
            return data
        pieces = [data[:left]] if left else []
        if self._held:
            data = self._join(data)
        rest = self._feed_lines(data, left, pieces)
        if rest is not None:
            self._section = Section("trailer section", b"\r\n")
            self._feed_trailers(self._section, rest)
        return b"".join(pieces)

    def _join(self, data: bytes) -> bytes:
        held = self._held
        # A line that arrives byte by byte is looked at when its end is there, not at every byte. Its first three bytes
        # are looked at as they come: they tell a chunk that is longer than it said.
        if len(held) > 2 and b"\n" not in data and len(held) + len(data) <= CHUNK_LINE_BYTES:
            held += data
            return b""
        data = bytes(held) + data
        held.clear()
        return data

    def _feed_lines(self, data: bytes, at: int, pieces: list[bytes]) -> bytes | None:
        """Walk from line to line. Returns what follows the last chunk's size and extensions, once that has come."""
        self.length += at
        self._left = 0
        end = len(data)
        while at < end:
            match = self._line.match(data, at)
            if match is None:
                self._hold(data[at:])
                return None
            digits, extensions = match.groups()
            self._check_line(match.end() - at, len(extensions))
            self._line = NEXT_CHUNK
            at = match.end()
            size = int(digits, 16)
            if not size:
                return data[at - 2 :]
            pieces.append(data[at : at + size])
            at += size
            if at > end:
                self._left = at - end
            self.length += size - self._left
        return None

    def _check_line(self, line: int, extensions: int) -> None:
        if line > CHUNK_LINE_BYTES:
            raise LimitExceeded(f"a chunk's line is longer than {CHUNK_LINE_BYTES} bytes", limit=CHUNK_LINE_BYTES)
        if extensions:
            self._extensions += extensions
            if self._extensions > self.length + EXTENSION_BYTES:
                text = f"{self._extensions} bytes of chunk extensions in a body of {self.length} bytes so far"
                raise LimitExceeded(
                    f"{text}, {EXTENSION_BYTES} more than the body has are allowed", limit=EXTENSION_BYTES
                )

    def _hold(self, rest: bytes) -> None:
        """Keep the beginning of a line, if it is one."""
        lead = b"" if self._line is FIRST_CHUNK else b"\r\n"
        if not rest.startswith(lead[: len(rest)]):
            raise RemoteProtocolError(f"a chunk's data is not followed by CRLF but by {show(rest)}")
        newline = rest.find(b"\n", len(lead))
        self._check_line(newline + 1 or len(rest), 0)
        if newline >= 0:
            raise RemoteProtocolError(f"not a chunk's size and extensions: {show(rest[len(lead) : newline + 1])}")
        self._held += rest

    def _feed_trailers(self, section: Section, data: bytes) -> None:
        got = section.feed(data)
        if got is None:
            return
        raw, self.surplus = got
        fields, _ = read_fields("trailer", raw, raw.split(b"\r\n"))
        self.trailers = [pair for pair, _, _ in fields]
        for name, _ in self.trailers:
            if name == b"content-length" or name == b"transfer-encoding":
                raise RemoteProtocolError(f"the peer sent {show(name)} as a trailer, which may not speak of framing")
