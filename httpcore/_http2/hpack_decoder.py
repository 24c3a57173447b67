"""Decompresses the header fields of responses (HPACK, RFC 7541). Pure.

Most servers add what they say to the table and never refer to it: the same date, the same content type, spelled out and
Huffman-coded in each response. So literals are remembered as they stand on the wire, for all connections together: they
mean the same everywhere, unless their name is in a table of one connection, and such are not remembered, nor is what
may enter no table (7.1.3). The bounds are for peers that never say the same twice.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .._errors import LimitExceeded, RemoteProtocolError
from .hpack_table import ADDED, ENTRY_BYTES, INDEXED, NEVER, RESIZED, STATIC_COUNT, STATIC_PAIRS, unhuffman

__all__ = ["RESIZES", "TABLE_BYTES", "FieldDecoder"]

TABLE_BYTES: Final = 4096
"""What the peer's table may take here, the default: a larger one was never asked for (SETTINGS_HEADER_TABLE_SIZE)."""

RESIZES: Final = 2
"""Updates of the table's size in one block (4.2)."""

_OCTETS: Final = 5  # of an integer, behind its first: more than any length or index here needs
_KNOWN: Final = 1024  # literals
_LITERAL: Final = 128  # bytes of one

_Pair = tuple[bytes, bytes]
_Entry = tuple[_Pair, int]  # a field, and what it counts (4.1)


def _entry(name: bytes, value: bytes) -> _Entry:
    return (name, value), len(name) + len(value) + ENTRY_BYTES


_STATIC: Final = [_entry(*pair) for pair in STATIC_PAIRS]
_known: dict[bytes, _Entry] = {}  # literals as they came


def _integer(block: bytes, at: int, first: int) -> tuple[int, int]:
    """A number that did not fit beside the bits before it, where it is `first`; and where it ends (5.1)."""
    number = first
    for shift in range(0, _OCTETS * 7, 7):
        octet = block[at]
        at += 1
        number += (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
    raise ValueError(f"an integer has more than {_OCTETS} octets")


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    """A string, and where it ends (5.2)."""
    first = block[at]
    at += 1
    size = first & 0x7F
    if size == 0x7F:
        size, at = _integer(block, at, size)
    end = at + size
    if end > len(block):
        raise IndexError
    text = block[at:end]
    return unhuffman(text) if first & 0x80 else text, end


class FieldDecoder:
    """The receiver's end of one connection's compression: every header block goes through it, in order.

    Arguments:
        most: bytes that the fields of a block may count, with 32 for each.
    """

    __slots__ = ("_entries", "_limit", "_most", "_size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: deque[_Entry] = deque()  # latest first
        self._size = 0
        self._limit = TABLE_BYTES  # which the peer may lower

    def decode(self, block: bytes) -> list[_Pair]:
        """The fields of one header block. After an error nobody knows what is in the table.

        Raises:
            RemoteProtocolError: it cannot be decompressed.
            LimitExceeded: there is more in it than `most`; no more of it was decompressed.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise RemoteProtocolError("a header block cannot be decompressed: it is cut short") from None
        except ValueError as error:
            raise RemoteProtocolError(f"a header block cannot be decompressed: {error}") from None

    def _decode(self, block: bytes) -> list[_Pair]:
        fields: list[_Pair] = []
        room = self._most
        at, end = 0, len(block)
        while at < end:
            first = block[at]
            if first > INDEXED:
                index = first & 0x7F
                at += 1
                if index == 0x7F:
                    index, at = _integer(block, at, index)
                pair, size = _STATIC[index - 1] if index <= STATIC_COUNT else self._find(index)
            elif first & ADDED or first < RESIZED:
                # As it came before, if that was simple: neither the index nor a length has octets of its own.
                stop = at + 1
                if not first & (0x3F if first & ADDED else 0x0F):
                    stop += 1 + (block[stop] & 0x7F)
                if stop < end:
                    stop += 1 + (block[stop] & 0x7F)
                entry = _known.get(block[at:stop])
                if entry is None:
                    entry, at = self._literal(block, at)
                else:
                    at = stop
                if first & ADDED:
                    self._add(entry)
                pair, size = entry
            elif first == INDEXED:
                raise ValueError("there is no index 0")
            else:
                if fields:
                    raise ValueError("the table is resized behind the first field")
                at = self._resize_at_start(block, at)
                continue
            room -= size
            if room < 0:
                message = f"the fields of a header block count more than {self._most:,} bytes"
                raise LimitExceeded(message, limit=self._most)
            fields.append(pair)
        return fields

    def _find(self, index: int) -> _Entry:
        """An entry of either table (2.3.3)."""
        if index <= STATIC_COUNT:
            return _STATIC[index - 1]
        if index - STATIC_COUNT > len(self._entries):
            raise ValueError(f"there is no index {index}: the tables have {STATIC_COUNT + len(self._entries)}")
        return self._entries[index - STATIC_COUNT - 1]

    def _literal(self, block: bytes, start: int) -> tuple[_Entry, int]:
        """A field with a value of its own, and perhaps a name (6.2)."""
        first = block[start]
        most = 0x3F if first & ADDED else 0x0F
        index, at = first & most, start + 1
        if index == most:
            index, at = _integer(block, at, index)
        if index:
            name = self._find(index)[0][0]
        else:
            name, at = _text(block, at)
        value, at = _text(block, at)
        entry = _entry(name, value)
        if at - start <= _LITERAL and index <= STATIC_COUNT and (first & ADDED or not first & NEVER):
            if len(_known) >= _KNOWN:
                _known.clear()
            _known[block[start:at]] = entry
        return entry, at

    def _add(self, entry: _Entry) -> None:
        """It drives out the oldest; one that is larger than the table, all (4.4)."""
        entries, size = self._entries, self._size + entry[1]
        while size > self._limit and entries:
            size -= entries.pop()[1]
        if size <= self._limit:
            entries.appendleft(entry)
        else:
            size = 0
        self._size = size

    def _resize_at_start(self, block: bytes, at: int) -> int:
        """A block begins with one or two updates of the table's size: the least since the last block, and the last
        (4.2). More would be work for nothing."""
        for _ in range(RESIZES):
            at = self._resize(block, at)
            if at == len(block) or block[at] & 0xE0 != RESIZED:
                return at
        raise ValueError(f"the table is resized more than {RESIZES} times in one block")

    def _resize(self, block: bytes, at: int) -> int:
        """The table takes fewer bytes from now on, or more again (6.3)."""
        limit = block[at] & 0x1F
        at += 1
        if limit == 0x1F:
            limit, at = _integer(block, at, limit)
        if limit > TABLE_BYTES:
            raise ValueError(f"the table is resized to {limit:,} bytes: at most {TABLE_BYTES:,} were offered")
        self._limit = limit
        while self._size > limit:
            self._size -= self._entries.pop()[1]
        return at
