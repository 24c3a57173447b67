"""Header fields (RFC 9110, section 5): the grammar of their names and values, and how long a section may be.

The grammar is the same for requests and responses, in HTTP/1.1 and in HTTP/2: a name is a token (5.6.2), and a value
has visible ASCII, obs-text, SP and HTAB (5.5). Differences are handled in the modules of the protocols: HTTP/1.1 strips
the whitespace around a received value, and HTTP/2 refuses it (RFC 9113, 8.2.1). Our own requests have none.

Values are checked with one `translate`, for a whole section at once if none of it is known: this costs a tenth of a
regular expression over each field. Names are checked one by one and remembered, since a program uses few different
names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from .._errors import RemoteProtocolError, show

__all__ = [
    "FIELD_COUNT",
    "HEAD_BYTES",
    "INTERIM_BYTES",
    "SHOWN",
    "TOKEN",
    "Bounded",
    "Headers",
    "Remembered",
    "forbidden_bytes",
    "has_forbidden",
    "is_token",
    "is_value",
    "may_be_private",
    "received_length",
]

Headers = list[tuple[bytes, bytes]]

# The limits on what a peer sends in one exchange, over either protocol: in bytes, or a number if the name has COUNT.

HEAD_BYTES: Final = 262144
"""One head, or one trailer section, unless a pool has another limit. Browsers keep 180 cookies of 4 KiB for a site."""

FIELD_COUNT: Final = 1000
"""Fields in one head, or in one trailer section, unless a pool has another limit."""

INTERIM_BYTES: Final = 65536
"""All interim (1xx) heads of one exchange together."""

TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]++"
"""A regular expression for a token. It is possessive (no backtracking), so that no input makes it slow."""

is_token: Final = re.compile(TOKEN).fullmatch
is_value: Final = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?").fullmatch
"""A value without white space at its ends."""

may_be_private: Final = re.compile(
    rb"auth|cookie|token|secret|session|passw|credential|signature|key|csrf|xsrf|jwt|location"
).search
"""Finds the names, in lower case, of fields whose values may be credentials. Such values are never cached."""

_IN_VALUES: Final = bytes(byte for byte in range(256) if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))


def forbidden_bytes(text: bytes) -> bytes:
    """Return the bytes of `text` that no value may have, e.g. CR and LF, in their order."""
    return text.translate(None, _IN_VALUES)


SHOWN: Final = bytes(byte if byte in _IN_VALUES else 0 for byte in range(256))
"""A table for `translate`: it replaces each byte that no value may have by a zero."""


def has_forbidden(text: bytes) -> bool:
    """Whether `text` has a byte that no value may have. Replacing bytes takes half the time of deleting them."""
    return 0 in text.translate(SHOWN)


K = TypeVar("K")
V = TypeVar("V")


class Bounded(dict[K, V]):
    """A cache that is cleared when it is full. Clearing is cheap, and rare in a program whose requests and responses
    are similar. Threads share it without a lock: each step is one call of the dictionary.
    """

    MOST: Final = 1024

    def keep(self, key: K, value: V) -> None:
        if len(self) >= self.MOST:
            self.clear()
        self[key] = value


class Remembered(Bounded[bytes, V]):
    """A cache of the results of `learn` by key: `remembered[key]`.

    Peers and callers choose the keys, so both the length of a key and the number of keys are bounded. An exception from
    `learn` is raised to the caller and is not cached. At worst, two threads both compute the result for one key.
    """

    LONGEST: Final = 64

    def __init__(self, learn: Callable[[bytes], V]) -> None:
        self._learn = learn

    def __missing__(self, key: bytes) -> V:
        value = self._learn(key)
        if len(key) <= self.LONGEST:
            self.keep(key, value)
        return value


def received_length(values: list[bytes]) -> int:
    """Return the number in the Content-Length field of a response (RFC 9110, 8.6). There must be exactly one field.

    Raises:
        RemoteProtocolError: there are several fields, or the value is not 1 to 19 digits.
    """
    if len(values) > 1:
        seen = show(b", ".join(values))
        raise RemoteProtocolError(f"the peer sent {len(values)} Content-Length headers, expected one: {seen}")
    digits = values[0]
    if not digits.isdigit() or len(digits) > 19:  # of bytes, `isdigit` accepts only ASCII digits
        raise RemoteProtocolError(f"the peer sent Content-Length {show(digits)}: expected 1 to 19 digits")
    return int(digits)
