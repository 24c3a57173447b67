"""The contents of a certificate (RFC 5280), read from its DER form.

`ssl` returns these contents only for certificates that it has verified. So they would be missing with `verify=False`,
where they are needed most. This module does not decide whether a certificate is trusted; OpenSSL has done that, unless
verification is off.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from ._address import canonical_bytes
from ._errors import RemoteProtocolError
from ._public import public, resolvable
from ._values import dataclass

__all__ = ["Certificate"]

Names = tuple[tuple[str, str], ...]

_MOST: Final = 512
"""How many parts of one name, alternative names or extensions are read. OpenSSL takes certificates of 100 KiB."""

# Tags (ITU-T X.690).
_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_OID: Final = 0x06
_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_UTC_TIME: Final = 0x17
_GENERAL_TIME: Final = 0x18

_CHARSETS: Final = {
    0x0C: "utf-8",
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as all readers take it
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_ATTRIBUTES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_ALTERNATIVES: Final = {0x81: "email", 0x82: "DNS", 0x86: "URI", 0x87: "IP"}
_ALTERNATIVE_NAMES: Final = "2.5.29.17"


class _Malformed(Exception):
    """The bytes are not DER, or not a certificate."""


@public
@resolvable
@dataclass(frozen=True, slots=True)
class Certificate:
    """The contents of a certificate: its names, its issuer, and its period of validity.

    Attributes:
        subject, issuer: pairs of name and text in the order of the certificate, e.g. `("O", "Example"), ("CN", "a")`.
            Attributes without a usual name have their number ("1.3.6.1..."); text of an unknown kind is "#" and hex.
        serial_number: the number that the issuer gave the certificate.
        not_before, not_after: the first and the last moment at which it is valid, in UTC.
        names: the names of its hosts (subjectAltName), as `("DNS", "a.test")`, `("IP", "127.0.0.1")`, `("email", ...)`
            and `("URI", ...)`. Other kinds are left out.
    """

    subject: Names
    issuer: Names
    serial_number: int
    not_before: datetime
    not_after: datetime
    names: Names

    @classmethod
    def read(cls, data: bytes) -> Certificate:
        """Read a certificate in DER form.

        Raises:
            RemoteProtocolError: `data` is no certificate.
        """
        try:
            return cls(*_certificate(data))
        except _Malformed as error:
            raise RemoteProtocolError(f"the peer's certificate cannot be read: {error}") from None


def _certificate(data: bytes) -> tuple[Names, Names, int, datetime, datetime, Names]:
    signed = _Reader(_Reader(data).expect(_SEQUENCE, "the certificate"))
    fields = _Reader(signed.expect(_SEQUENCE, "the signed part"))
    fields.skip(0xA0)  # the version
    serial = int.from_bytes(fields.expect(_INTEGER, "the serial number"), signed=True)
    fields.expect(_SEQUENCE, "the algorithm")
    issuer = _name(fields.expect(_SEQUENCE, "the issuer"))
    validity = _Reader(fields.expect(_SEQUENCE, "the validity"))
    begins, ends = _time(validity), _time(validity)
    subject = _name(fields.expect(_SEQUENCE, "the subject"))
    fields.expect(_SEQUENCE, "the key")
    fields.skip(0xA1)  # two identifiers that are not used any more
    fields.skip(0x81)
    fields.skip(0xA2)
    fields.skip(0x82)
    extensions = fields.skip(0xA3)
    return subject, issuer, serial, begins, ends, () if extensions is None else _alternatives(extensions)


class _Reader:
    """Reads one element after another. Lengths are those of DER: definite, and within the given bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def next(self) -> tuple[int, bytes]:
        """Tag and content of the next element."""
        data, at = self._data, self._at
        if len(data) < at + 2:
            raise _Malformed("it ends in the middle of an element")
        tag, length = data[at], data[at + 1]
        if tag & 0x1F == 0x1F:
            raise _Malformed("it has a tag of more than one byte")
        at += 2
        # The length is definite (X.690, section 10.1) and has at most four octets: no certificate is longer.
        if length > 0x84 or length == 0x80:
            raise _Malformed("a length is not that of DER")
        if length > 0x80:
            digits = length - 0x80
            length = int.from_bytes(data[at : at + digits])
            at += digits
        end = at + length
        if end > len(data):
            raise _Malformed("it ends in the middle of an element")
        self._at = end
        return tag, data[at:end]

    def expect(self, tag: int, what: str) -> bytes:
        seen, content = self.next()
        if seen != tag:
            raise _Malformed(f"expected {what}, got an element of the kind {seen:#04x}")
        return content

    def skip(self, tag: int) -> bytes | None:
        """Return the content of the next element if it has this tag; else return None and leave the element."""
        if not self or self._data[self._at] != tag:
            return None
        return self.next()[1]

    def each(self) -> Iterator[tuple[int, bytes]]:
        # A hostile certificate may consist of tiny elements, which cost time and mean nothing.
        for _ in range(_MOST):
            if not self:
                return
            yield self.next()
        if self:
            raise _Malformed(f"it has more than {_MOST} parts in one place")


def _name(data: bytes) -> Names:
    """Read a name (RFC 5280, section 4.1.2.4): a sequence of sets of pairs."""
    pairs = []
    for tag, together in _Reader(data).each():
        if tag != _SET:
            raise _Malformed("a part of a name is not a set")
        for inner, pair in _Reader(together).each():
            if inner != _SEQUENCE:
                raise _Malformed("a part of a name is not a pair")
            reader = _Reader(pair)
            kind = _oid(reader.expect(_OID, "the kind of a name"))
            pairs.append((_ATTRIBUTES.get(kind, kind), _text(*reader.next())))
    return tuple(pairs)


def _text(tag: int, data: bytes) -> str:
    charset = _CHARSETS.get(tag)
    return f"#{data.hex()}" if charset is None else data.decode(charset, "backslashreplace")


def _oid(data: bytes) -> str:
    """Read an object identifier (ITU-T X.690, section 8.19)."""
    numbers: list[int] = []
    number = 0
    for octet in data:
        number = number << 7 | octet & 0x7F
        # Without a bound the time for one number grows with the square of its length.
        if number.bit_length() > 128:
            raise _Malformed("an object identifier is too long")
        if octet < 0x80:
            numbers.append(number)
            number = 0
    if not numbers or data[-1] >= 0x80:
        raise _Malformed("an object identifier is cut short")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _time(reader: _Reader) -> datetime:
    """Read a time (RFC 5280, section 4.1.2.5): with seconds, in UTC; years of two digits are from 1950 to 2049."""
    tag, data = reader.next()
    text = data.decode("ascii", "replace")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERAL_TIME:
        raise _Malformed("a time is of another kind")
    if len(text) != 15 or text[14] != "Z" or not (text[:14].isascii() and text[:14].isdigit()):
        raise _Malformed("a time has another form than RFC 5280 allows")
    try:
        return datetime(*[int(text[at : at + size]) for at, size in _PLACES], tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        raise _Malformed("a time does not exist") from None


_PLACES: Final = ((0, 4), (4, 2), (6, 2), (8, 2), (10, 2), (12, 2))


def _alternatives(data: bytes) -> Names:
    """Return the subject's alternative names from the extensions (RFC 5280, section 4.2.1.6)."""
    for tag, extension in _Reader(_Reader(data).expect(_SEQUENCE, "the extensions")).each():
        if tag != _SEQUENCE:
            raise _Malformed("an extension is no sequence")
        reader = _Reader(extension)
        kind = _oid(reader.expect(_OID, "the kind of an extension"))
        reader.skip(0x01)  # whether it is critical
        value = reader.expect(_OCTETS, "the value of an extension")
        if kind == _ALTERNATIVE_NAMES:
            return tuple(_general_names(_Reader(value).expect(_SEQUENCE, "the names")))
    return ()


def _general_names(data: bytes) -> Iterator[tuple[str, str]]:
    for tag, value in _Reader(data).each():
        kind = _ALTERNATIVES.get(tag)
        if kind == "IP":
            yield kind, canonical_bytes(value) or f"#{value.hex()}"
        elif kind is not None:
            yield kind, value.decode("ascii", "backslashreplace")
