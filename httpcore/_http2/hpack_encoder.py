"""Compresses the header fields of requests (HPACK, RFC 7541). Pure.

hpack's own encoder searches its table from end to end for each field, and puts every path into it, which drives out
what would be used again. Here the table is a dictionary, and what hardly repeats never enters it. Values are not
Huffman-coded: it saves a fifth of the bytes of what is sent once, for most of the time that a request costs here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from .hpack_table import ADDED, ENTRY_BYTES, INDEXED, NEVER, PLAIN, RESIZED, STATIC_COUNT, STATIC_PAIRS

__all__ = ["TABLE_BYTES", "FieldEncoder"]

TABLE_BYTES: Final = 4096
"""Of the dynamic table at most, however much the peer offers."""

# Kept out of every table, on the way too (7.1.3).
_SECRET: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
# Hardly ever the same twice.
_FLEETING: Final = frozenset((b":path", b"content-length", b"if-modified-since", b"if-none-match", b"range"))


def _integer(first: int, bits: int, value: int) -> bytes:
    """A number behind the bits in `first` (5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    out = [first | most]
    value -= most
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


_LENGTHS: Final = [_integer(0, 7, length) for length in range(127)]
_PAIRS: Final = {pair: _integer(INDEXED, 7, index) for index, pair in enumerate(STATIC_PAIRS, 1) if pair[1]}
_NAMES: Final = {name: index for index, (name, _) in reversed(list(enumerate(STATIC_PAIRS, 1)))}


class FieldEncoder:
    """The sender's end of one connection's compression. What `encode` returns must be sent, in this order."""

    __slots__ = ("_added", "_entries", "_limit", "_lowest", "_resized", "_size", "_table")

    def __init__(self) -> None:
        self._table: dict[tuple[bytes, bytes], int] = {}  # field -> how many had been added before it
        self._entries: deque[tuple[bytes, bytes]] = deque()  # oldest first
        self._added = 0
        self._size = 0
        self._limit = TABLE_BYTES
        self._lowest = TABLE_BYTES  # since the peer was last told
        self._resized = False

    def resize(self, limit: int) -> None:
        """The peer's table takes that many bytes (SETTINGS_HEADER_TABLE_SIZE)."""
        limit = min(limit, TABLE_BYTES)
        if limit == self._limit:
            return
        self._limit = limit
        self._lowest = min(self._lowest, limit)
        self._resized = True
        self._shrink(limit)

    def encode(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """One header block."""
        out = [self._sizes()] if self._resized else []
        table = self._table
        for pair in fields:
            code = _PAIRS.get(pair)
            if code is None:
                place = table.get(pair)
                code = self._literal(pair) if place is None else _integer(INDEXED, 7, self._index(place))
            out.append(code)
        return b"".join(out)

    def _index(self, place: int) -> int:
        return STATIC_COUNT + self._added - place

    def _literal(self, pair: tuple[bytes, bytes]) -> bytes:
        name, value = pair
        size = len(name) + len(value) + ENTRY_BYTES
        if name in _SECRET:
            first, bits = NEVER, 4
        elif name in _FLEETING or size * 4 > self._limit:
            first, bits = PLAIN, 4
        else:
            first, bits = ADDED, 6
        index = _NAMES.get(name, 0)
        code = _integer(first, bits, index)
        if not index:
            code += _integer(0, 7, len(name)) + name
        if first == ADDED:
            self._add(pair, size)
        length = len(value)
        return code + (_LENGTHS[length] if length < 127 else _integer(0, 7, length)) + value

    def _add(self, pair: tuple[bytes, bytes], size: int) -> None:
        self._shrink(self._limit - size)
        self._table[pair] = self._added
        self._entries.append(pair)
        self._added += 1
        self._size += size

    def _shrink(self, limit: int) -> None:
        while self._size > limit:
            pair = self._entries.popleft()
            del self._table[pair]
            self._size -= len(pair[0]) + len(pair[1]) + ENTRY_BYTES

    def _sizes(self) -> bytes:
        """The smallest size since the last block, then the one that holds (4.2)."""
        sizes = (self._lowest, self._limit) if self._lowest < self._limit else (self._limit,)
        self._lowest = self._limit
        self._resized = False
        return b"".join([_integer(RESIZED, 5, size) for size in sizes])
