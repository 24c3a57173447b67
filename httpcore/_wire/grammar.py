"""The one grammar of HTTP/1.x responses: what is accepted, how long it may be, and where a body ends. No I/O.

RFC 9112 lets a recipient be lenient in many places; each of them has been used to make two programs see two different
messages in the same bytes. So, where there is a choice, we refuse:

- A line ends in CRLF, nowhere in a lone LF or CR: status line, header, chunk line and trailer alike (2.2).
- An empty line before a status line is refused: 2.2 forgives it before a request only.
- Folded lines and white space before the colon are refused (5.1, 5.2), as are control characters other than HTAB.
- One Content-Length of 1 to 19 digits, or one Transfer-Encoding that is `chunked` and nothing else, or neither; never
  both, and no Transfer-Encoding in HTTP/1.0 (6.1, 6.3). This holds for responses without a body too, and for the 2xx to
  CONNECT, where a *well-formed* field is ignored.
- Trailers that speak of framing, Content-Length and Transfer-Encoding, are refused (RFC 9110, 6.5.1).
- A chunk size has 1 to 16 hex digits with no white space behind it; extensions follow 7.1.1 and are dropped.
- 101 is refused unless an upgrade was asked for (RFC 9110, 15.2.2).

The reason phrase may be missing, with or without its space: too many servers leave it out.

A section is looked at once for bytes that may not be there, then it is cut at its line ends and colons; names are
checked alone, and remembered, as is a status line. (With one regular expression for all fields a head took a tenth more
instructions.)
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from .._errors import LimitExceeded, RemoteProtocolError, show
from .engines import Head, Headers

# How much a peer may send before it has said something. Bytes, or counts where the name says so.

HEAD_BYTES: Final = 65536
"""All heads of one exchange together, interim and final, and separately its trailer section. Over HTTP/2 too."""

FIELD_COUNT: Final = 256
"""Fields in one head, or in one trailer section."""

INTERIM_COUNT: Final = 32
"""Interim (1xx) responses in one exchange, a 101 apart."""

CHUNK_LINE_BYTES: Final = 16384
"""One chunk's line: size, extensions and line ends."""

EXTENSION_BYTES: Final = 65536
"""Chunk extensions of one message, beyond as many bytes as its body has had so far."""

# What was right once: names and status lines up to a length and a count, so that no peer can fill the memory with them.
REMEMBERED_BYTES: Final = 64
REMEMBERED_COUNT: Final = 1024
_names: dict[bytes, bytes] = {}
_statuses: dict[bytes, tuple[bool, int, bytes]] = {}

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]++"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\' + _TEXT + rb')*+"'
_EXTENSION = rb"[ \t]*+;[ \t]*+" + _TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
_CHUNK_LINE = rb"([0-9A-Fa-f]{1,16})((?:" + _EXTENSION + rb")*+)\r\n"

STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: (" + _TEXT + rb"*+))?")
FIELD_NAME: Final = re.compile(_TOKEN)
# All that may stand in a line: visible ASCII, obs-text, SP and HTAB.
_IN_LINES: Final = bytes(byte for byte in range(256) if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))
FIRST_CHUNK: Final = re.compile(_CHUNK_LINE)
NEXT_CHUNK: Final = re.compile(rb"\r\n" + _CHUNK_LINE)  # from the end of the data of the chunk before
_LONE_LF: Final = re.compile(rb"(?<!\r)\n")


class Framing(Enum):
    """Where a head leaves us."""

    INTERIM = "before the next head"
    LENGTH = "in a body of known length"
    CHUNKED = "in a chunked body"
    UNTIL_CLOSE = "in a body that ends with the connection"
    SWITCHED = "not HTTP any more"


# A member that is looked up in its Enum costs ten times as much as a name (CPython 3.11).
INTERIM, LENGTH, CHUNKED, UNTIL_CLOSE, SWITCHED = Framing


def read_head(raw: bytes, method: bytes, upgrade: bool) -> tuple[Head, Framing, int, bool]:
    """Read a whole head, from its status line to its empty line, and decide what follows it (RFC 9112, 6.3 and 9.3).

    Returns:
        The head; the framing; the length of a body with `Framing.LENGTH`; whether the peer lets the connection go on.

    Raises:
        RemoteProtocolError, LimitExceeded: the head breaks the grammar, or has too many fields.
    """
    lines = raw.split(b"\r\n")
    line = lines[0]
    old, status, reason = _statuses.get(line) or _learn_status(line)
    headers, raw_headers = _read_fields("header", raw, lines)
    said: dict[bytes, list[bytes]] = {b"content-length": [], b"transfer-encoding": [], b"connection": []}
    for name, value in headers:
        if name in said:
            said[name].append(value)
    lengths, codings, options = said.values()
    chunked = _is_chunked(codings, lengths, old) if codings else False
    framing, length = _framing(status, method, upgrade, _one_length(lengths) if lengths else None, chunked)
    head = Head(status, reason, b"1.0" if old else b"1.1", headers, raw_headers)
    return head, framing, length, _is_persistent(options, old)


def _learn_status(line: bytes) -> tuple[bool, int, bytes]:
    """Whether it is HTTP/1.0, the status, and the reason phrase."""
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError(f"not a status line of HTTP/1.0 or HTTP/1.1: {show(line)}")
    minor, digits, reason = match.groups(b"")
    known = (minor == b"0", int(digits), reason)
    if len(line) <= REMEMBERED_BYTES:
        if len(_statuses) >= REMEMBERED_COUNT:
            _statuses.clear()
        _statuses[line] = known
    return known


def _learn_name(name: bytes) -> bytes:
    """A field's name in lower case; `b""` if it is no token."""
    if not FIELD_NAME.fullmatch(name):
        return b""
    lower = name.lower()
    if len(name) <= REMEMBERED_BYTES:
        if len(_names) >= REMEMBERED_COUNT:
            _names.clear()
        _names[name] = lower
    return lower


def _read_fields(what: str, section: bytes, lines: list[bytes]) -> tuple[Headers, Headers]:
    """All fields of a section with these lines, the first and the two last apart: with lower-cased names, and with
    names as sent; values without the white space around them (RFC 9112, 5).
    """
    ends = section.translate(None, _IN_LINES)
    count = len(lines) - 1
    if ends != b"\r\n" * count:
        raise _fault_of_fields(what, section)
    if count - 2 > FIELD_COUNT:
        raise LimitExceeded(f"the peer sent {count - 2} {what} fields, {FIELD_COUNT} are allowed", limit=FIELD_COUNT)
    lowered: Headers = []
    fields: Headers = []
    for line in lines[1:-2]:
        name, colon, value = line.partition(b":")
        lower = _names.get(name) or _learn_name(name)
        if not lower or not colon:
            raise _fault_of_fields(what, section)
        value = value.strip(b" \t")
        lowered.append((lower, value))
        fields.append((name, value))
    return lowered, fields


def _framing(status: int, method: bytes, upgrade: bool, length: int | None, chunked: bool) -> tuple[Framing, int]:
    if status == 101:
        if not upgrade:
            raise RemoteProtocolError("the peer switched protocols (101), which the request did not ask for")
        return SWITCHED, 0
    if status < 200:
        return INTERIM, 0
    if method == b"CONNECT" and status < 300:
        return SWITCHED, 0
    if method == b"HEAD" or status == 204 or status == 304:
        return LENGTH, 0
    if chunked:
        return CHUNKED, 0
    return (UNTIL_CLOSE, 0) if length is None else (LENGTH, length)


def _one_length(values: list[bytes]) -> int:
    if len(values) > 1:
        seen = show(b", ".join(values))
        raise RemoteProtocolError(f"the peer sent {len(values)} Content-Length headers, one is allowed: {seen}")
    digits = values[0]
    if not digits.isdigit() or len(digits) > 19:  # of ASCII alone, since these are bytes
        raise RemoteProtocolError(f"the peer sent Content-Length {show(digits)}: 1 to 19 digits are allowed")
    return int(digits)


def _is_chunked(codings: list[bytes], lengths: list[bytes], old: bool) -> bool:
    coding = b", ".join(codings)
    if lengths:
        raise RemoteProtocolError(
            f"the peer sent Content-Length {show(lengths[0])} and Transfer-Encoding {show(coding)}"
        )
    if old:
        raise RemoteProtocolError(f"the peer sent Transfer-Encoding {show(coding)} in an HTTP/1.0 response")
    if coding.lower() != b"chunked":
        raise RemoteProtocolError(f"the peer sent Transfer-Encoding {show(coding)}: one 'chunked' is allowed")
    return True


def _is_persistent(options: list[bytes], old: bool) -> bool:
    if not options:
        return not old
    if options == [b"keep-alive"]:
        return True
    text = b",".join(options).lower()
    words = {word.strip(b" \t") for word in text.split(b",")}
    return b"close" not in words and (not old or b"keep-alive" in words)


def _fault_of_fields(what: str, section: bytes) -> RemoteProtocolError:
    lines = section.split(b"\r\n")[1:-2]
    bad = next((line for line in lines if not _is_field(line)), section)
    rule = "name, colon and value on one line, no control characters, are allowed"
    return RemoteProtocolError(f"not a {what} field: {show(bad)}: {rule}")


def _is_field(line: bytes) -> bool:
    name, colon, _ = line.partition(b":")
    return bool(colon and FIELD_NAME.fullmatch(name)) and not line.translate(None, _IN_LINES)


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
        self.trailers, _ = _read_fields("trailer", raw, raw.split(b"\r\n"))
        for name, _ in self.trailers:
            if name == b"content-length" or name == b"transfer-encoding":
                raise RemoteProtocolError(f"the peer sent {show(name)} as a trailer, which may not speak of framing")
