"""The one grammar of HTTP/1.x responses: what is accepted, how long it may be, and where a body ends. No I/O.

RFC 9112 lets a recipient be lenient in many places; each of them has been used to make two programs see two different
messages in the same bytes. Thus, where there is a choice, this reader refuses. Some refused messages are read a second
time by `lenient`, unless the pool is strict; the connection then carries no further exchange. The rules are these:

- A line ends in CRLF, never in a lone LF or CR: status line, header, chunk line and trailer alike (2.2).
- An empty line before a status line is refused: 2.2 allows it only before a request.
- Folded lines and white space before the colon are refused (5.1, 5.2), as are control characters other than HTAB.
- One Content-Length of 1 to 19 digits, or one Transfer-Encoding that is `chunked` and nothing else, or neither; never
  both, and no Transfer-Encoding in HTTP/1.0 (6.1, 6.3). This holds for responses without a body too, and for the 2xx to
  CONNECT, where a *well-formed* field is ignored.
- Trailers that affect the framing, Content-Length and Transfer-Encoding, are refused (RFC 9110, 6.5.1).
- A chunk size has 1 to 16 hex digits with no white space after it; extensions follow 7.1.1 and are dropped.
- 101 is refused unless an upgrade was requested (RFC 9110, 15.2.2).

The reason phrase may be missing, with or without its space: too many servers omit it.

Most lines of a head were received before, so whole lines are remembered with their meaning, except those that may hold
credentials. A new line is checked for forbidden bytes and cut at its colon; names are checked separately, and
remembered, like status lines.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from .._errors import LimitExceeded, RemoteProtocolError, show
from .._message.fields import (
    FIELD_COUNT,
    SHOWN,
    Bounded,
    Remembered,
    forbidden_bytes,
    is_token,
    may_be_private,
    received_length,
)
from .._message.head import MARKED, Head

TEXT = rb"[\t\x20-\x7e\x80-\xff]"

STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (" + TEXT + rb"*+))?")


class Framing(Enum):
    """How the message continues after its head."""

    INTERIM = "before the next head"
    LENGTH = "in a body of known length"
    CHUNKED = "in a chunked body"
    UNTIL_CLOSE = "in a body that ends with the connection"
    SWITCHED = "not HTTP any more"


# To look up a member of an Enum costs ten times as much as a name (CPython 3.11).
INTERIM, LENGTH, CHUNKED, UNTIL_CLOSE, SWITCHED = Framing


def read_head(raw: bytes, method: bytes, upgrade: bool, most: int = FIELD_COUNT) -> tuple[Head, Framing, int, bool]:
    """Read a whole head, from its status line to its empty line, and decide how the message continues (RFC 9112, 6.3
    and 9.3).

    Arguments:
        most: how many fields it may have.

    Returns:
        The head; the framing; the length of a body with `Framing.LENGTH`; whether the peer keeps the connection open.

    Raises:
        RemoteProtocolError, LimitExceeded: the head breaks the grammar, or has too many fields.
    """
    asked = raw, method, upgrade
    found = _heads.get(asked)
    # A remembered head is immutable and was checked; only the number of its fields is compared with this pool's limit.
    if found is not None and len(found[0].headers) <= most:
        return found
    lines = raw.split(b"\r\n")
    status = statuses[lines[0]]
    fields, are_known = read_fields("header", raw, lines, most)
    lowered, sent, marks = zip(*fields, strict=True) if fields else ((), (), ())
    marked = tuple(filter(None, marks))
    # Heads that differ only in fields which are not marked have the same framing.
    known = status, marked, method, upgrade
    meaning = _meanings.get(known)
    if meaning is None:
        meaning = _meaning(*known)
        if len(raw) <= HEAD_IN_MEMORY:
            _meanings.keep(known, meaning)
    framing, length, persistent = meaning
    read = Head(*status, lowered, sent, marked), framing, length, persistent
    if are_known and len(raw) <= HEAD_IN_MEMORY:  # excludes a head that always differs, and one with credentials
        _heads.keep(asked, read)
    return read


Marked = tuple[tuple[bytes, bytes], ...]
Status = tuple[int, bytes, bytes]
Meaning = tuple[Framing, int, bool]

HEAD_IN_MEMORY: Final = 1024
"""The largest head, in bytes, that is remembered as a whole. Of a longer head only the lines are remembered."""


def _meaning(status: Status, marked: Marked, method: bytes, upgrade: bool) -> Meaning:
    """The framing after the head, the length of the body, and whether the peer keeps the connection open."""
    code, _, version = status
    old = version == b"1.0"
    lengths = [value for name, value in marked if name == b"content-length"]
    codings = [value for name, value in marked if name == b"transfer-encoding"]
    options = [value for name, value in marked if name == b"connection"]
    chunked = is_chunked(codings, lengths, old) if codings else False
    framing, length = framing_of(code, method, upgrade, received_length(lengths) if lengths else None, chunked)
    return framing, length, is_persistent(options, old)


def _read_status(line: bytes) -> Status:
    """Status, reason phrase and version."""
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError(f"expected a status line of HTTP/1.0 or HTTP/1.1, got {show(line)}")
    minor, digits, reason = match.groups(b"")
    return int(digits), reason, b"1." + minor


_Pair = tuple[bytes, bytes]
Field = tuple[_Pair, _Pair, _Pair | None]
"""A field with its name in lower case, the field with its name as sent, and the first one again if `Head.marked` has
it."""

LINES_OF_A_NAME: Final = 16
"""How many lines of one name are remembered, so that a field which always differs (an ETag, the number of a request)
evicts only its own lines. After that many, one new line in eight is remembered: thus a Date is remembered soon after a
new second has begun.
"""

LINE_BYTES: Final = 128
"""A longer line is not remembered."""


class _Name:
    """A field's name and the lines with it that are remembered.

    Attributes:
        rare: a bit mask: a line is remembered when `new_lines`, the count of new lines, has none of these bits.
        lines: the lines that are remembered, in a ring.
    """

    __slots__ = ("is_marked", "lines", "lower", "new_lines", "place", "sampling_mask")

    def __init__(self, lower: bytes) -> None:
        self.lower = lower
        self.is_marked = lower in MARKED
        self.sampling_mask = -1 if may_be_private(lower) is not None else 0
        self.new_lines = 0
        self.lines = [b""] * LINES_OF_A_NAME
        self.place = 0

    def remember(self, line: bytes, field: Field) -> None:
        # Threads share these without a lock: at worst a line is kept for longer, within the total limit of lines.
        if len(line) <= LINE_BYTES:
            place = self.place % LINES_OF_A_NAME
            self.place = place + 1
            _lines.pop(self.lines[place], None)
            self.lines[place] = line
            if place + 1 == LINES_OF_A_NAME:
                self.sampling_mask = 7
            _lines.keep(line, field)


def _read_name(name: bytes) -> _Name | None:
    return _Name(name.lower()) if is_token(name) else None


statuses: Final = Remembered(_read_status)
_names: Final = Remembered(_read_name)
_lines: Final[Bounded[bytes, Field]] = Bounded()
_meanings: Final[Bounded[tuple[Status, Marked, bytes, bool], Meaning]] = Bounded()
_heads: Final[Bounded[tuple[bytes, bytes, bool], tuple[Head, Framing, int, bool]]] = Bounded()


def read_fields(what: str, section: bytes, lines: list[bytes], most: int = FIELD_COUNT) -> tuple[list[Field], bool]:
    """The fields of a section, and whether all of them were remembered. Values have no white space around them (RFC
    9112, 5).

    Arguments:
        what: the kind of the section, for error messages.
        section: the section as received.
        lines: its lines; the first one and the last two are not fields.
        most: how many fields it may have.
    """
    inner = lines[1:-2]
    if len(inner) > most:
        check_count(what, len(inner), most)
    # Remembered lines have been checked. All other lines are read one by one: a call from within the dictionary for
    # each new line would cost more than reading the line.
    fields: list[Field | None] = list(map(_lines.get, inner))
    are_known = all(fields)
    if not are_known and not _read_new(inner, fields):
        raise fault_of_fields(what, section)
    return fields, are_known  # type: ignore[return-value]  # no None is left


def check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise LimitExceeded(f"the peer sent {count} {what} fields: expected at most {most}", limit=most)


def _read_new(lines: list[bytes], fields: list[Field | None]) -> bool:
    """Read the lines that are not known yet; False if one is not a field."""
    for at, line in enumerate(lines):
        if fields[at] is None:
            sent, colon, value = line.partition(b":")
            name = _names[sent]
            # One test for all forbidden bytes of the line, name and value: `SHOWN` maps each of them to 0.
            if name is None or not colon or 0 in line.translate(SHOWN):
                return False
            value = value.strip(b" \t")
            pair = (name.lower, value)
            fields[at] = field = (pair, (sent, value), pair if name.is_marked else None)
            name.new_lines = new_lines = name.new_lines + 1
            if not new_lines & name.sampling_mask:
                name.remember(line, field)
    return True


def framing_of(status: int, method: bytes, upgrade: bool, length: int | None, chunked: bool) -> tuple[Framing, int]:
    if status == 101:
        if not upgrade:
            raise RemoteProtocolError(
                "the peer switched protocols (101): expected another status, since the request has no Upgrade"
            )
        return SWITCHED, 0
    if status < 200:
        return INTERIM, 0
    # A well-formed framing field has no meaning here: case 2 of RFC 9112, section 6.3.
    if method == b"CONNECT" and status < 300:
        return SWITCHED, 0
    if method == b"HEAD" or status == 204 or status == 304:
        return LENGTH, 0
    if chunked:
        return CHUNKED, 0
    return (UNTIL_CLOSE, 0) if length is None else (LENGTH, length)


def is_chunked(codings: list[bytes], lengths: list[bytes], old: bool) -> bool:
    coding = b", ".join(codings)
    # This is the classic case of response splitting: readers that prefer different fields see different messages.
    if lengths:
        raise RemoteProtocolError(
            f"the peer sent Content-Length {show(lengths[0])} and Transfer-Encoding {show(coding)}: expected one of "
            "them"
        )
    if old:
        raise RemoteProtocolError(
            f"the peer sent Transfer-Encoding {show(coding)} in an HTTP/1.0 response: expected none"
        )
    if coding.lower() != b"chunked":
        raise RemoteProtocolError(f"the peer sent Transfer-Encoding {show(coding)}: expected 'chunked', once")
    return True


def is_persistent(options: list[bytes], old: bool) -> bool:
    if not options:
        return not old
    if options == [b"keep-alive"]:
        return True
    text = b",".join(options).lower()
    words = {word.strip(b" \t") for word in text.split(b",")}
    # RFC 9112, section 9.3: `close` outranks everything; HTTP/1.0 continues only with `keep-alive`.
    return b"close" not in words and (not old or b"keep-alive" in words)


def fault_of_fields(what: str, section: bytes) -> RemoteProtocolError:
    lines = section.split(b"\r\n")[1:-2]
    bad = next((line for line in lines if not _is_field(line)), section)
    rule = "it has a name, a colon and a value on one line, and no control characters"
    return RemoteProtocolError(f"expected a {what} field, got {show(bad)}: {rule}")


def _is_field(line: bytes) -> bool:
    name, colon, _ = line.partition(b":")
    return bool(colon and is_token(name)) and not forbidden_bytes(line)
