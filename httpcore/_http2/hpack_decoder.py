"""Decompresses the header fields of responses (HPACK, RFC 7541). Pure.

Repeated blocks and literals are not decoded again: see `hpack_memory`. Entries that a block adds are kept apart
(`_pending`) until a block refers to the table or resizes it. Then they are added, in order, so the table is the same
as if each entry had been added at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from .._errors import LimitExceeded, RemoteProtocolError
from .._message.fields import Remembered, may_be_private
from .hpack_memory import (
    LONGEST_BLOCK,
    LONGEST_LITERAL,
    RUN_KEY,
    Entry,
    FieldBlock,
    Pair,
    blocks,
    keep_block,
    keep_literal,
    literals,
    names,
    remember_run,
    runs,
)
from .hpack_table import ADDED, ENTRY_BYTES, INDEXED, NEVER, RESIZED, STATIC_COUNT, STATIC_PAIRS, huffman_decode

__all__ = ["RESIZES", "TABLE_BYTES", "FieldDecoder"]

TABLE_BYTES: Final = 4096
"""The largest size of the table in bytes. It is the default: we offer no larger one (SETTINGS_HEADER_TABLE_SIZE)."""

RESIZES: Final = 2
"""The most updates of the table's size in one block (4.2)."""

_OCTETS: Final = 5  # the most octets of an integer after its first one: no length or index here needs more
_private: Final = Remembered(lambda name: may_be_private(name) is not None)  # by the names of fields


def _entry(name: bytes, value: bytes) -> Entry:
    return (name, value), len(name) + len(value) + ENTRY_BYTES


_STATIC: Final = [_entry(*pair) for pair in STATIC_PAIRS]


def _integer(block: bytes, at: int, first: int) -> tuple[int, int]:
    """A number that does not fit into its prefix, and where it ends (5.1). `first` is the value of the prefix."""
    number = first
    for shift in range(0, _OCTETS * 7, 7):
        octet = block[at]
        at += 1
        number += (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
    raise ValueError(f"an integer has more than {_OCTETS} octets")


def _text(block: bytes, at: int, decode: Callable[[bytes], bytes]) -> tuple[bytes, int]:
    """A string, and where it ends (5.2). `decode` decodes the Huffman code."""
    first = block[at]
    at += 1
    size = first & 0x7F
    if size == 0x7F:
        size, at = _integer(block, at, size)
    end = at + size
    if end > len(block):
        raise IndexError
    text = block[at:end]
    return decode(text) if first & 0x80 else text, end


class FieldDecoder:
    """The receiver's end of one connection's compression: every header block goes through it, in order.

    Arguments:
        most: the limit in bytes for all fields of a block; each field counts 32 bytes more than its name and value.
    """

    __slots__ = ("_entries", "_limit", "_max_list_size", "_pending", "_size")

    def __init__(self, most: int) -> None:
        self._max_list_size = most
        self._entries: deque[Entry] = deque()  # latest first
        self._size = 0
        self._limit = TABLE_BYTES  # the peer may lower it
        # Entries that are not in the table yet, oldest first. Each counts 32 bytes or more, so the latest 128 fill the
        # largest table: all entries before them have been evicted.
        self._pending: deque[Entry] = deque(maxlen=TABLE_BYTES // ENTRY_BYTES)

    def decode(self, block: bytes) -> FieldBlock:
        """The fields of one header block. After an error the content of the table is unknown.

        Raises:
            RemoteProtocolError: the block cannot be decompressed.
            LimitExceeded: the fields exceed `most`; the rest was not decompressed.
        """
        known = blocks.get(block)
        if known is not None and known.size <= self._max_list_size:
            self._pending += known.added
            return known
        try:
            return self._decode(block)
        except IndexError:
            raise RemoteProtocolError("a header block cannot be decompressed: it is cut short") from None
        except ValueError as error:
            raise RemoteProtocolError(f"a header block cannot be decompressed: {error}") from None

    def _decode(self, block: bytes) -> FieldBlock:
        at = 0
        is_shared = True  # the block means the same on every connection, and may be remembered
        if block and block[0] & 0xE0 == RESIZED:
            at = self._resize_at_start(block, 0)
            is_shared = False
        fields: list[Pair] = []
        added: list[Entry] = []
        size, are_shared = self._read(block, at, fields, added)
        found = FieldBlock(tuple(fields), size, tuple(added))
        if is_shared and are_shared and len(block) <= LONGEST_BLOCK:
            keep_block(block, found)
        return found

    def _read(self, block: bytes, at: int, fields: list[Pair], added: list[Entry]) -> tuple[int, bool]:
        """Append the fields from `at` on to `fields`, and the entries that they add to the table to `added`. Returns
        the size of the fields, and whether they mean the same on every connection."""
        pending = self._pending
        room, end = self._max_list_size, len(block)
        are_shared = True
        # A run of known fields, which may be remembered: where it begins in the block, in `fields` and in `added`.
        run_at, run_field, run_added = at, 0, 0
        while at < end:
            if at == run_at and (run := runs.get(block[at : at + RUN_KEY])) is not None:
                if block.startswith(run.wire, at):
                    room -= run.size
                    if room < 0:
                        raise self._limit_error()
                    run_at = at = at + len(run.wire)
                    fields += run.fields
                    added += run.added
                    pending += run.added
                    run_field, run_added = len(fields), len(added)
                    continue
                run.misses += 1
            first = block[at]
            stop = at + 1
            entry = None
            if first >= INDEXED:
                if INDEXED < first <= INDEXED + STATIC_COUNT:
                    entry = _STATIC[first - INDEXED - 1]
            elif first & ADDED or first < RESIZED:
                # A literal that was seen before is found here if it is simple: its index and its lengths have no
                # further octets.
                if not first & (0x3F if first & ADDED else 0x0F):
                    stop += 1 + (block[stop] & 0x7F)
                if stop < end:
                    stop += 1 + (block[stop] & 0x7F)
                entry = literals.get(block[at:stop])
            if entry is None or entry[0][0] == b"date":  # a run with the date would be useful for one second only
                if len(fields) - run_field > 1:
                    remember_run(block[run_at:at], fields[run_field:], added[run_added:])
                if entry is None:
                    is_literal = first < RESIZED or ADDED <= first < INDEXED
                    entry, stop, is_shared = (self._literal if is_literal else self._reference)(block, at)
                    are_shared &= is_shared
                run_at, run_field = stop, len(fields) + 1
                run_added = len(added) + (ADDED <= first < INDEXED)
            at = stop
            if ADDED <= first < INDEXED:
                added.append(entry)
                pending.append(entry)
            room -= entry[1]
            if room < 0:
                raise self._limit_error()
            fields.append(entry[0])
        if len(fields) - run_field > 1:
            remember_run(block[run_at:], fields[run_field:], added[run_added:])
        return self._max_list_size - room, are_shared

    def _limit_error(self) -> LimitExceeded:
        message = f"the fields of a header block count more than {self._max_list_size:,} bytes"
        return LimitExceeded(message, limit=self._max_list_size)

    def _reference(self, block: bytes, at: int) -> tuple[Entry, int, bool]:
        """Read an index of the connection's table (6.1). Returns the field, where its index ends, and False, since its
        meaning differs between connections. Raises ValueError if no field begins at `at`."""
        first = block[at]
        if first < INDEXED:
            raise ValueError("the table is resized after the first field: expected it at the beginning of the block")
        if first == INDEXED:
            raise ValueError("the index is 0: expected at least 1")
        index, at = first & 0x7F, at + 1
        if index == 0x7F:
            index, at = _integer(block, at, index)
        return self._find(index), at, False

    def _find(self, index: int) -> Entry:
        """An entry of either table (2.3.3)."""
        if index <= STATIC_COUNT:
            return _STATIC[index - 1]
        # The index also counts entries in `_pending`, which are not in the table yet.
        self._insert_pending()
        if index - STATIC_COUNT > len(self._entries):
            raise ValueError(f"the index is {index}: expected at most {STATIC_COUNT + len(self._entries)}")
        return self._entries[index - STATIC_COUNT - 1]

    def _literal(self, block: bytes, start: int) -> tuple[Entry, int, bool]:
        """Read a field with a literal value, and perhaps a literal name (6.2). Returns the field, where it ends, and
        whether it may be remembered: whether it means the same on every connection, and is no secret."""
        first = block[start]
        most = 0x3F if first & ADDED else 0x0F
        index, at = first & most, start + 1
        if index == most:
            index, at = _integer(block, at, index)
        # The same code is repeated instead of two calls: most new fields of a server are read here.
        if index:
            name = _STATIC[index - 1][0][0] if index <= STATIC_COUNT else self._find(index)[0][0]
        elif (size := block[at] & 0x7F) < 0x7F:
            stop = at + 1 + size
            # A string that is cut short is detected below: no octet follows it, which raises IndexError.
            name = block[at + 1 : stop]
            if block[at] & 0x80:
                name = names[name]
            at = stop
        else:
            name, at = _text(block, at, names.__getitem__)
        if (size := block[at] & 0x7F) < 0x7F:
            stop = at + 1 + size
            if stop > len(block):
                raise IndexError
            value = block[at + 1 : stop]
            if block[at] & 0x80:
                value = huffman_decode(value)
            at = stop
        else:
            value, at = _text(block, at, huffman_decode)
        entry = (name, value), len(name) + len(value) + ENTRY_BYTES
        is_simple = index <= STATIC_COUNT and (first & ADDED or not first & NEVER) and not _private[name]
        if is_simple and at - start <= LONGEST_LITERAL:
            keep_literal(block[start:at], entry)
        return entry, at, bool(is_simple)

    def _insert_pending(self) -> None:
        """Put the pending entries into the table."""
        for entry in self._pending:
            self._add(entry)
        self._pending.clear()

    def _add(self, entry: Entry) -> None:
        """Add an entry, and evict the oldest ones; an entry that is larger than the table evicts all (4.4)."""
        entries, size = self._entries, self._size + entry[1]
        while size > self._limit and entries:
            size -= entries.pop()[1]
        if size <= self._limit:
            entries.appendleft(entry)
        else:
            size = 0
        self._size = size

    def _resize_at_start(self, block: bytes, at: int) -> int:
        """Read the one or two updates of the table's size at the start of a block: the smallest size since the previous
        block, and the current one (4.2). More updates are refused."""
        for _ in range(RESIZES):
            at = self._resize(block, at)
            if at == len(block) or block[at] & 0xE0 != RESIZED:
                return at
        raise ValueError(f"the table is resized more than {RESIZES} times in one block")

    def _resize(self, block: bytes, at: int) -> int:
        """Read an update that lowers or raises the size of the table (6.3)."""
        self._insert_pending()
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
