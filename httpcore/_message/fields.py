"""Header fields (RFC 9110, section 5): the one grammar of their names and values, and how long a section may be.

Requests and responses, HTTP/1.1 and HTTP/2 alike: a name is a token (5.6.2), a value has visible ASCII, obs-text, SP
and HTAB (5.5). What differs stands where it differs: HTTP/1.1 strips the white space around a received value, HTTP/2
refuses it (RFC 9113, 8.2.1), and a request of ours has none.

Bytes are checked with one `translate`, for a whole section at once where all of it is new: that costs a tenth of a
regular expression over its fields. Names are checked one by one and remembered, since a program meets few different
ones.
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

# What a peer may send in one exchange, over either protocol. Bytes, or counts where the name says so.

HEAD_BYTES: Final = 262144
"""One head, or one trailer section, unless a pool has another limit. Browsers keep 180 cookies of 4 KiB for a site."""

FIELD_COUNT: Final = 1000
"""Fields in one head, or in one trailer section, unless a pool has another limit."""

INTERIM_BYTES: Final = 65536
"""All interim (1xx) heads of one exchange together."""

TOKEN: Final = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]++"
"""A regular expression for a token; it gives nothing back, so that no input makes it slow."""

is_token: Final = re.compile(TOKEN).fullmatch
is_value: Final = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?").fullmatch
"""A value without white space at its ends."""

may_be_private: Final = re.compile(
    rb"auth|cookie|token|secret|session|passw|credential|signature|key|csrf|xsrf|jwt|location"
).search
"""Finds names, in lower case, of fields whose values may be credentials, which are in no memory."""

_IN_VALUES: Final = bytes(byte for byte in range(256) if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))


def forbidden_bytes(text: bytes) -> bytes:
    """The bytes of `text` that no value has, in their order: CR and LF among them."""
    return text.translate(None, _IN_VALUES)


SHOWN: Final = bytes(byte if byte in _IN_VALUES else 0 for byte in range(256))
"""A table for `translate` that makes a zero of each byte that no value has."""


def has_forbidden(text: bytes) -> bool:
    """Some byte of `text` is one that no value has. A table that takes nothing out costs half of one that does."""
    return 0 in text.translate(SHOWN)


K = TypeVar("K")
V = TypeVar("V")


class Bounded(dict[K, V]):
    """A memory that forgets all at once when it is full: that is cheap, and rare for any program whose requests and
    answers are much alike. Threads share it without a lock: each step is one call of the dictionary.
    """

    MOST: Final = 1024

    def keep(self, key: K, value: V) -> None:
        if len(self) >= self.MOST:
            self.clear()
        self[key] = value


class Remembered(Bounded[bytes, V]):
    """The results of `learn` for the keys that were asked for lately: `remembered[key]`.

    What peers and callers send decides what is asked for, so both the length of a key and the number of keys have a
    bound. An exception of `learn` is the answer for that key, and is not remembered. At worst, of two threads both
    learn a key.
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
    """The number in the Content-Length fields of a response (RFC 9110, 8.6), of which there must be one.

    Raises:
        RemoteProtocolError: there are several, or it is not 1 to 19 digits.
    """
    if len(values) > 1:
        seen = show(b", ".join(values))
        raise RemoteProtocolError(f"the peer sent {len(values)} Content-Length headers, expected one: {seen}")
    digits = values[0]
    if not digits.isdigit() or len(digits) > 19:  # digits of ASCII alone, since these are bytes
        raise RemoteProtocolError(f"the peer sent Content-Length {show(digits)}: expected 1 to 19 digits")
    return int(digits)
