"""Names and values of a form as pairs of bytes, from any type that a caller may pass; and their url-encoded text.

Values are str (sent as UTF-8), bytes (sent unchanged), int, float, bool ("true" or "false", as in JSON) or None (the
empty text). A list or tuple of these repeats the name for each item. No error shows a value, since forms contain
passwords.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .._errors import LocalProtocolError, show
from .._exact import exact_bytes, exact_float, exact_int, exact_str

__all__ = ["FormTypes", "FormValue", "form_pairs", "octets", "urlencoded"]

FormValue = str | bytes | int | float | bool | None
# A mapping's values are checked when they are read: type checkers do not infer a union for a mapping of mixed values
# where pairs may be given as well, and would refuse `{"name": "x", "tags": ["a"]}`.
FormTypes = Mapping[str, object] | Iterable[tuple[str, FormValue | Sequence[FormValue]]]

Pairs = list[tuple[bytes, bytes]]


def form_pairs(data: FormTypes, argument: str = "data") -> Pairs:
    """The pairs of a form, in their order.

    Raises:
        LocalProtocolError: another shape, or a name or value of another type.
    """
    pairs: Pairs = []
    for index, (name, value) in enumerate(_items(data, argument)):
        place = f"{argument}[{index}]"
        if not isinstance(name, (str, bytes)):
            raise LocalProtocolError(f"{place} has a name of type {type(name).__name__}: expected str")
        encoded = octets(name, f"{place} has a name")
        seen = f"{place} ({show(encoded)})"
        values = value if isinstance(value, (list, tuple)) else (value,)
        pairs += [(encoded, octets(each, f"{seen} has a value")) for each in values]
    return pairs


def _items(data: object, argument: str) -> list[tuple[object, object]]:
    many = getattr(data, "multi_items", None)  # of a multi-dict; as a mapping it gives one value for each name
    if callable(many):
        data = many()
    if isinstance(data, Mapping):
        return list(data.items())
    if isinstance(data, (str, bytes, bytearray, memoryview)):
        raise LocalProtocolError(
            f"{argument} is of type {type(data).__name__}: expected a mapping or pairs (a raw body is content=)"
        )
    if not isinstance(data, Iterable):
        raise LocalProtocolError(f"{argument} is of type {type(data).__name__}: expected a mapping or pairs")
    items = []
    for index, pair in enumerate(data):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            size = f" of length {len(pair)}" if isinstance(pair, (tuple, list)) else ""
            raise LocalProtocolError(
                f"{argument}[{index}] is of type {type(pair).__name__}{size}: expected a pair of name and value"
            )
        items.append((pair[0], pair[1]))
    return items


def octets(value: object, place: str) -> bytes:
    """A name or value as it is sent, before any escaping. `place` begins the message of an error.

    Raises:
        LocalProtocolError: another type, or a str that UTF-8 cannot encode.
    """
    if isinstance(value, str):
        try:
            return exact_str(value).encode()
        except UnicodeEncodeError as error:  # this error would show the value
            at = error.start
        raise LocalProtocolError(f"{place} with a lone surrogate at index {at}: expected text that UTF-8 can encode")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return exact_bytes(value)
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int):
        try:
            return str(exact_int(value)).encode()
        except ValueError:  # Python's limit, see sys.set_int_max_str_digits
            raise LocalProtocolError(f"{place} that is an int of too many digits: give it as a str") from None
    if isinstance(value, float):
        return repr(exact_float(value)).encode()
    raise LocalProtocolError(
        f"{place} of type {type(value).__name__}: expected str, bytes, int, float, bool, None, or a list of these"
    )


_PLAIN: Final = re.compile(rb"[*\-.0-9A-Z_a-z]*+").fullmatch
_ENCODED: Final = [
    chr(byte) if _PLAIN(bytes([byte])) else "+" if byte == 0x20 else f"%{byte:02X}" for byte in range(256)
]


def urlencoded(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """`application/x-www-form-urlencoded`, as the URL standard of the WHATWG serializes it."""
    return b"&".join([_escaped(name) + b"=" + _escaped(value) for name, value in pairs])


def _escaped(raw: bytes) -> bytes:
    return raw if _PLAIN(raw) else "".join(map(_ENCODED.__getitem__, raw)).encode()
