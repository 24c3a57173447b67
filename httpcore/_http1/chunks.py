"""The chunked coding of a response body (RFC 9112, 7.1).

If a line does not match the grammar, and the rules are not strict, a looser grammar is tried: the line may end in LF
alone, and have blanks before its end. Reading then continues from the last boundary between two chunks. The sizes of
chunks are still hexadecimal digits only: two readers that read a size differently would see two different bodies.
"""

from __future__ import annotations

import re
from typing import Final

from .._errors import LimitExceeded, RemoteProtocolError, show
from .._message.fields import TOKEN, Headers
from .._message.rules import STRICT, Leniency, ReadRules
from .grammar import TEXT, read_fields
from .lenient import read_lenient_trailers
from .section import LenientSection, Section

CHUNK_LINE_BYTES: Final = 16384
"""The longest line of a chunk in bytes: size, extensions and line ends."""


EXTENSION_BYTES: Final = 65536
"""The limit for the chunk extensions of one message, in addition to the size of its body so far."""


# All repetitions are possessive (`*+`): a line of hostile extensions is matched or refused in linear time.
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\' + TEXT + rb')*+"'


_EXTENSION = rb"[ \t]*+;[ \t]*+" + TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + TOKEN + rb"|" + _QUOTED + rb"))?"


_CHUNK_LINE = rb"([0-9A-Fa-f]{1,16})((?:" + _EXTENSION + rb")*+)\r\n"


FIRST_CHUNK: Final = re.compile(_CHUNK_LINE)


NEXT_CHUNK: Final = re.compile(rb"\r\n" + _CHUNK_LINE)  # from the end of the previous chunk's data


_LENIENT_LINE: Final = rb"([0-9A-Fa-f]{1,16})((?:" + _EXTENSION + rb")*+)([ \t]*+)(\r?\n)"


_LENIENT_FIRST: Final = re.compile(rb"()" + _LENIENT_LINE)


_LENIENT_NEXT: Final = re.compile(rb"(\r?\n)" + _LENIENT_LINE)


class Chunks:
    """Decodes one chunked body (RFC 9112, 7.1).

    Attributes:
        length: bytes of the body so far.
        trailers: None until the body is complete; names are lower-cased.
        surplus: the bytes after the message, once it is complete.
        lenient: the deviations that were found.
    """

    __slots__ = (
        "_data_left",
        "_extensions",
        "_line",
        "_line_start",
        "_rules",
        "_section",
        "length",
        "lenient",
        "surplus",
        "trailers",
    )

    def __init__(self, rules: ReadRules = STRICT) -> None:
        self._rules = rules
        self.lenient: tuple[Leniency, ...] = ()
        self.length = 0
        self.trailers: Headers | None = None
        self.surplus = b""
        self._data_left = 0  # the rest of the current chunk's data
        self._line = FIRST_CHUNK
        self._line_start = bytearray()  # the beginning of a line
        self._extensions = 0
        self._section: Section | None = None  # set once the last chunk's line was received

    def feed(self, data: bytes) -> bytes:
        """Return the bytes of the body that are in `data`, in one piece.

        Raises:
            RemoteProtocolError, LimitExceeded: the chunks or trailers break the grammar, or exceed a limit.
        """
        if self._section is not None:
            self._feed_trailers(self._section, data)
            return b""
        left = self._data_left
        if len(data) <= left:  # all of it is content: no slice, no copy
            self._data_left = left - len(data)
            self.length += len(data)
            return data
        pieces = [data[:left]] if left else []
        if self._line_start:
            data = self._join(data)
        rest = self._feed_lines(data, left, pieces)
        if rest is not None:
            self._section = Section("trailer section", b"\r\n", self._rules.head_bytes)
            self._feed_trailers(self._section, rest)
        return b"".join(pieces)

    def _join(self, data: bytes) -> bytes:
        held = self._line_start
        # A line that arrives byte by byte is read when it is complete, not at every byte. Its first three bytes
        # are checked as they arrive: they reveal a chunk whose data is longer than its declared size.
        if len(held) > 2 and b"\n" not in data and len(held) + len(data) <= CHUNK_LINE_BYTES:
            held += data
            return b""
        data = bytes(held) + data
        held.clear()
        return data

    def _feed_lines(self, data: bytes, at: int, pieces: list[bytes]) -> bytes | None:
        """Read line by line. Returns the bytes after the last chunk's size and extensions, once these were received."""
        self.length += at
        self._data_left = 0
        end = len(data)
        while at < end:
            match = self._line.match(data, at)
            if match is not None:
                digits, extensions = match.groups()
            elif (match := self._lenient_line(data, at)) is not None:
                digits, extensions = match.group(2, 3)
            else:
                self._keep_line_start(data[at:])
                return None
            self._check_line(match.end() - at, len(extensions))
            # From here on a line begins with the CRLF after the data: it is checked with the next size, so that data
            # longer than announced are an error, and are never read as a size.
            self._line = NEXT_CHUNK
            at = match.end()
            size = int(digits, 16)
            if not size:
                # The line end of the last chunk is returned too: `Section` searches for an empty line, and an empty
                # trailer section has only that line end and its own.
                return data[at - (2 if data[at - 2 : at - 1] == b"\r" else 1) :]
            pieces.append(data[at : at + size])
            at += size
            if at > end:
                self._data_left = at - end
            self.length += size - self._data_left
        return None

    def _lenient_line(self, data: bytes, at: int) -> re.Match[bytes] | None:
        """The line at `at` by the looser rules, if these apply and the line is complete."""
        if self._rules.strict:
            return None
        match = (_LENIENT_FIRST if self._line is FIRST_CHUNK else _LENIENT_NEXT).match(data, at)
        if match is not None:
            before, _, extensions, blanks, end = match.groups()
            if extensions and end == b"\n":  # another reader may continue the extensions after the LF
                return None
            if blanks:
                self._note("blank-after-chunk-size")
            if before == b"\n" or end == b"\n":
                self._note("line-end")
        return match

    def _note(self, name: Leniency) -> None:
        if name not in self.lenient:
            self.lenient += (name,)

    def _check_line(self, line: int, extensions: int) -> None:
        if line > CHUNK_LINE_BYTES:
            raise LimitExceeded(
                f"the peer sent a chunk line that is too long: expected at most {CHUNK_LINE_BYTES} bytes",
                limit=CHUNK_LINE_BYTES,
            )
        if extensions:
            self._extensions += extensions
            # Extensions are limited in proportion to the body: each of many chunks may have some, but a peer cannot
            # send them without data.
            if self._extensions > self.length + EXTENSION_BYTES:
                text = f"{self._extensions} bytes of chunk extensions in a body of {self.length} bytes so far"
                raise LimitExceeded(
                    f"{text}: expected at most {EXTENSION_BYTES} more than the body has", limit=EXTENSION_BYTES
                )

    def _keep_line_start(self, rest: bytes) -> None:
        """Keep `rest`, if it is the beginning of a line."""
        lead = b"" if self._line is FIRST_CHUNK else b"\r\n"
        if lead and rest[:1] == b"\n" and not self._rules.strict:
            lead = b"\n"
        if not rest.startswith(lead[: len(rest)]):
            raise RemoteProtocolError(f"the peer sent {show(rest)} after a chunk's data: expected CRLF")
        # A complete line that no pattern matches is wrong; the beginning of a line may still become right.
        newline = rest.find(b"\n", len(lead))
        self._check_line(newline + 1 or len(rest), 0)
        if newline >= 0:
            raise RemoteProtocolError(
                f"expected a chunk's size and extensions, got {show(rest[len(lead) : newline + 1])}"
            )
        self._line_start += rest

    def _feed_trailers(self, section: Section, data: bytes) -> None:
        raw = b""
        try:
            got = section.feed(data)
            if got is None:
                return
            raw, self.surplus = got
            # If the section was refused before, in an earlier piece, only the looser reader may read it again.
            if section.fault is not None:
                raise RemoteProtocolError(section.fault)
            fields, _ = read_fields("trailer", raw, raw.split(b"\r\n"), self._rules.field_count)
            trailers = [pair for pair, _, _ in fields]
        except RemoteProtocolError as error:
            if self._rules.strict:
                raise
            lenient = self._lenient_trailers(raw + self.surplus if raw else section.release(), error)
            if lenient is None:
                return
            trailers = lenient
        # After the body these fields are too late to frame it, and a reader that merged them into the head would see a
        # different message (RFC 9110, 6.5.1).
        for name, _ in trailers:
            if name == b"content-length" or name == b"transfer-encoding":
                raise RemoteProtocolError(
                    f"the peer sent {show(name)} as a trailer: expected it in the head only, since it describes the "
                    "framing"
                )
        self.trailers = trailers

    def _lenient_trailers(self, data: bytes, error: RemoteProtocolError) -> Headers | None:
        """The trailers by the looser rules; None when more bytes are needed: this is then called again."""
        self._section = section = LenientSection("trailer section", b"", self._rules.head_bytes, error.message)
        got = section.feed(data)
        if got is None:
            return None
        raw, self.surplus = got
        try:
            trailers, names = read_lenient_trailers(raw, self._rules.field_count)
        except RemoteProtocolError:
            raise error from None
        for name in names:
            self._note(name)
        return trailers
