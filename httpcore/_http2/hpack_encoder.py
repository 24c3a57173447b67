"""Compresses the header fields of requests (HPACK, RFC 7541). Pure.

The encoder of the `hpack` library searches its table from end to end for each field, and adds every path to it, which
evicts entries that would be used again. Here the table is a dictionary, and fields that hardly repeat never enter it.
Values are not Huffman-coded: that would save a fifth of the bytes, and take most of the time that a request needs here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, cast

from .._message.fields import Remembered
from .hpack_table import ADDED, ENTRY_BYTES, INDEXED, NEVER, PLAIN, RESIZED, STATIC_COUNT, STATIC_PAIRS

__all__ = ["TABLE_BYTES", "FieldEncoder"]

TABLE_BYTES: Final = 4096
"""The largest size of the dynamic table, even if the peer offers more."""

# Fields that no table may keep, not even in an intermediary (7.1.3).
_SECRET: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
# Fields whose value is hardly ever repeated.
_FLEETING: Final = frozenset((b":path", b"content-length", b"if-modified-since", b"if-none-match", b"range"))


def _integer(first: int, bits: int, value: int) -> bytes:
    """Encode a number after the bits in `first` (5.1)."""
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


MAX_VALUES: Final = 16
"""The most values of one name that enter the table of a connection. Later ones are sent as literals: a name with so
many values (an id, a counter) will have another one next time, and each would evict a field that is used again."""

NAME_COUNT: Final = 256  # names whose values are counted, of one connection
PLAIN_COUNT: Final = 128  # blocks that are remembered, of one connection

_LENGTHS: Final = [_integer(0, 7, length) for length in range(127)]
_INDEXES: Final = [_integer(INDEXED, 7, index) for index in range(STATIC_COUNT + TABLE_BYTES // ENTRY_BYTES + 1)]
_PAIRS: Final = {pair: _integer(INDEXED, 7, index) for index, pair in enumerate(STATIC_PAIRS, 1) if pair[1]}
_NAMES: Final = {name: index for index, (name, _) in reversed(list(enumerate(STATIC_PAIRS, 1)))}


def _starts(name: bytes) -> tuple[bytes, bytes]:
    """How a literal with this name begins: if the table gets it (`b""` if the table never does), and if not."""
    index = _NAMES.get(name, 0)
    spelled = b"" if index else _integer(0, 7, len(name)) + name
    if name in _SECRET:
        return b"", _integer(NEVER, 4, index) + spelled
    adding = b"" if name in _FLEETING else _integer(ADDED, 6, index) + spelled
    return adding, _integer(PLAIN, 4, index) + spelled


_known_starts: Final = Remembered(_starts)


class FieldEncoder:
    """The sender's end of one connection's compression. The results of `encode` must be sent, in this order."""

    __slots__ = (
        "_added",
        "_codes",
        "_codes_at",
        "_entries",
        "_limit",
        "_lowest",
        "_plain",
        "_resized",
        "_size",
        "_table",
        "_values",
    )

    def __init__(self) -> None:
        self._table: dict[tuple[bytes, bytes], int] = {}  # field -> how many had been added before it
        self._entries: deque[tuple[bytes, bytes]] = deque()  # oldest first
        self._added = 0
        self._size = 0
        self._limit = TABLE_BYTES
        self._lowest = TABLE_BYTES  # the smallest size since the last update to the peer
        self._resized = False
        self._values: dict[bytes, int] = {}  # how many values of each name were added
        # Remembered codes, valid while `_added` is `_codes_at`: of single fields (`_codes`), and of blocks (`_plain`).
        self._codes: dict[tuple[bytes, bytes], bytes] = {}
        self._plain: dict[bytes, bytes] = {}
        self._codes_at = 0

    def resize(self, limit: int) -> None:
        """Set the size of the peer's table in bytes (SETTINGS_HEADER_TABLE_SIZE)."""
        # A larger table would mostly keep fields that do not repeat; the peer needs no update before the
        # next block, which begins with the new size.
        limit = min(limit, TABLE_BYTES)
        if limit == self._limit:
            return
        self._limit = limit
        self._lowest = min(self._lowest, limit)
        self._resized = True
        self._forget_codes()
        self._shrink(limit)

    def encode(self, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Encode one header block."""
        if self._codes_at != self._added:
            self._forget_codes()
        codes: list[bytes | None] = [*map(self._codes.get, fields)]
        if None in codes:
            for at, pair in enumerate(fields):
                # A field that was added to the table in this loop has changed the indexes of earlier ones.
                if codes[at] is None or self._codes_at != self._added:
                    codes[at] = self._code(pair)
        if self._resized:
            codes.insert(0, self._size_updates())
        return b"".join(cast("list[bytes]", codes))

    def encode_plain(self, key: bytes, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Like `encode`, for fields without credentials that `key` identifies: the block is remembered. A remembered
        block is valid only until the table is resized or a field is added to it. So a block that itself adds a field is
        not remembered."""
        if self._resized:
            return self.encode(fields)  # the block must begin with the new size
        if self._codes_at != self._added:
            self._forget_codes()
        block = self._plain.get(key)
        if block is None:
            block = self.encode(fields)
            if self._codes_at == self._added:
                if len(self._plain) >= PLAIN_COUNT:
                    self._plain.clear()
                self._plain[key] = block
        return block

    def _forget_codes(self) -> None:
        """Forget all codes: the table has changed, and so have its indexes."""
        self._plain.clear()
        self._codes.clear()
        self._codes_at = self._added

    def _code(self, pair: tuple[bytes, bytes]) -> bytes:
        """Encode one field. Its code is remembered if it is an index, until the table changes."""
        code = _PAIRS.get(pair)
        if code is None:
            place = self._table.get(pair)
            if place is None:
                return self._literal(pair)
            code = _INDEXES[STATIC_COUNT + self._added - place]
        if self._codes_at == self._added:
            self._codes[pair] = code
        return code

    def _literal(self, pair: tuple[bytes, bytes]) -> bytes:
        name, value = pair
        start, plain = _known_starts[name]
        length = len(value)
        size = len(name) + length + ENTRY_BYTES
        # A field may take a quarter of the table at most: a larger one would evict fields that are used again.
        if start and size * 4 <= self._limit and self._values.get(name, 0) < MAX_VALUES:
            self._add(pair, size)
        else:
            start = plain
        return start + (_LENGTHS[length] if length < 127 else _integer(0, 7, length)) + value

    def _add(self, pair: tuple[bytes, bytes], size: int) -> None:
        if len(self._values) >= NAME_COUNT:
            self._values.clear()
        self._values[pair[0]] = self._values.get(pair[0], 0) + 1
        # RFC 7541, section 4.4: entries are evicted before the new field is added, as in the peer's decoder.
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

    def _size_updates(self) -> bytes:
        """The updates of the table's size that begin a block: the smallest size since the last block, if it is below
        the current size, and then the current size (4.2)."""
        sizes = (self._lowest, self._limit) if self._lowest < self._limit else (self._limit,)
        self._lowest = self._limit
        self._resized = False
        return b"".join([_integer(RESIZED, 5, size) for size in sizes])
