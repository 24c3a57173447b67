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
from .._message.fields import FIELD_COUNT, Headers, Remembered, forbidden_bytes, is_token, received_length
from .._message.head import Head

TEXT = rb"[\t\x20-\x7e\x80-\xff]"

STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: (" + TEXT + rb"*+))?")


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
    old, status, reason = _statuses[line]
    headers, raw_headers = read_fields("header", raw, lines)
    said: dict[bytes, list[bytes]] = {b"content-length": [], b"transfer-encoding": [], b"connection": []}
    for name, value in headers:
        if name in said:
            said[name].append(value)
    lengths, codings, options = said.values()
    chunked = _is_chunked(codings, lengths, old) if codings else False
    framing, length = _framing(status, method, upgrade, received_length(lengths) if lengths else None, chunked)
    head = Head(status, reason, b"1.0" if old else b"1.1", headers, raw_headers)
    return head, framing, length, _is_persistent(options, old)


def _read_status(line: bytes) -> tuple[bool, int, bytes]:
    """Whether it is HTTP/1.0, the status, and the reason phrase."""
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError(f"not a status line of HTTP/1.0 or HTTP/1.1: {show(line)}")
    minor, digits, reason = match.groups(b"")
    return minor == b"0", int(digits), reason


def _read_name(name: bytes) -> bytes:
    """A field's name in lower case; `b""` if it is no token."""
    return name.lower() if is_token(name) else b""


_statuses: Final = Remembered(_read_status)
_names: Final = Remembered(_read_name)


def read_fields(what: str, section: bytes, lines: list[bytes]) -> tuple[Headers, Headers]:
    """All fields of a section with these lines, the first and the two last apart: with lower-cased names, and with
    names as sent; values without the white space around them (RFC 9112, 5).
    """
    ends = forbidden_bytes(section)
    count = len(lines) - 1
    if ends != b"\r\n" * count:
        raise _fault_of_fields(what, section)
    if count - 2 > FIELD_COUNT:
        raise LimitExceeded(f"the peer sent {count - 2} {what} fields, {FIELD_COUNT} are allowed", limit=FIELD_COUNT)
    lowered: Headers = []
    fields: Headers = []
    for line in lines[1:-2]:
        name, colon, value = line.partition(b":")
        lower = _names[name]
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
    return bool(colon and is_token(name)) and not forbidden_bytes(line)
