"""Decompresses the header fields of responses (HPACK, RFC 7541). Pure.

Repeated blocks and literals are not read anew: see `hpack_memory`. Entries that a block adds are kept apart
(`_pending`) until a block refers to the table or resizes it. Then they are added, in order, so the table is the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from .._errors import LimitExceeded, RemoteProtocolError
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
    learn_run,
    literals,
    names,
    runs,
)
from .hpack_table import ADDED, ENTRY_BYTES, INDEXED, NEVER, RESIZED, STATIC_COUNT, STATIC_PAIRS, unhuffman

__all__ = ["RESIZES", "TABLE_BYTES", "FieldDecoder"]

TABLE_BYTES: Final = 4096
"""The size of the peer's table here, the default: a larger one was never offered (SETTINGS_HEADER_TABLE_SIZE)."""

RESIZES: Final = 2
"""Updates of the table's size in one block (4.2)."""

_OCTETS: Final = 5  # of an integer, behind its first: more than any length or index here needs
_SECRET: Final = frozenset((b"set-cookie", b"cookie", b"authorization", b"proxy-authorization"))  # never remembered


def _entry(name: bytes, value: bytes) -> Entry:
    return (name, value), len(name) + len(value) + ENTRY_BYTES


_STATIC: Final = [_entry(*pair) for pair in STATIC_PAIRS]


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
        most: bytes that the fields of a block may count, with 32 for each.
    """

    __slots__ = ("_entries", "_limit", "_most", "_pending", "_size")

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: deque[Entry] = deque()  # latest first
        self._size = 0
        self._limit = TABLE_BYTES  # which the peer may lower
        # Not in the table yet, oldest first. Each counts 32 bytes or more, so the latest 128 fill the largest table:
        # all entries before them have been evicted.
        self._pending: deque[Entry] = deque(maxlen=TABLE_BYTES // ENTRY_BYTES)

    def decode(self, block: bytes) -> FieldBlock:
        """The fields of one header block. After an error the content of the table is unknown.

        Raises:
            RemoteProtocolError: it cannot be decompressed.
            LimitExceeded: there is more in it than `most`; no more of it was decompressed.
        """
        known = blocks.get(block)
        if known is not None and known.size <= self._most:
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
        is_shared = True  # it means the same on every connection, and may be remembered
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
        """The fields from `at` on go to `fields`, and the entries that they add to the table to `added`. Returns
        their size, and whether they mean the same on every connection."""
        pending = self._pending
        room, end = self._most, len(block)
        are_shared = True
        # A run of known fields, which may be learned: where it begins on the wire, in `fields` and in `added`.
        run_at, run_field, run_added = at, 0, 0
        while at < end:
            if at == run_at and (run := runs.get(block[at : at + RUN_KEY])) is not None:
                if block.startswith(run.wire, at):
                    room -= run.size
                    if room < 0:
                        raise self._too_much()
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
                # As it came before, if that was simple: neither the index nor a length has octets of its own.
                if not first & (0x3F if first & ADDED else 0x0F):
                    stop += 1 + (block[stop] & 0x7F)
                if stop < end:
                    stop += 1 + (block[stop] & 0x7F)
                entry = literals.get(block[at:stop])
            if entry is None or entry[0][0] == b"date":  # a run with the date in it would live for a second
                if len(fields) - run_field > 1:
                    learn_run(block[run_at:at], fields[run_field:], added[run_added:])
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
                raise self._too_much()
            fields.append(entry[0])
        if len(fields) - run_field > 1:
            learn_run(block[run_at:], fields[run_field:], added[run_added:])
        return self._most - room, are_shared

    def _too_much(self) -> LimitExceeded:
        message = f"the fields of a header block count more than {self._most:,} bytes"
        return LimitExceeded(message, limit=self._most)

    def _reference(self, block: bytes, at: int) -> tuple[Entry, int, bool]:
        """A field of the connection's own table (6.1): the field, where its index ends, and that it means something
        else on every connection. Or a prefix that begins no field."""
        first = block[at]
        if first < INDEXED:
            raise ValueError("the table is resized after the first field")
        if first == INDEXED:
            raise ValueError("there is no index 0")
        index, at = first & 0x7F, at + 1
        if index == 0x7F:
            index, at = _integer(block, at, index)
        return self._find(index), at, False

    def _find(self, index: int) -> Entry:
        """An entry of either table (2.3.3)."""
        if index <= STATIC_COUNT:
            return _STATIC[index - 1]
        # The index counts entries added since, which are only noted so far.
        self._settle()
        if index - STATIC_COUNT > len(self._entries):
            raise ValueError(f"there is no index {index}: the tables have {STATIC_COUNT + len(self._entries)}")
        return self._entries[index - STATIC_COUNT - 1]

    def _literal(self, block: bytes, start: int) -> tuple[Entry, int, bool]:
        """A field with a value of its own, and perhaps a name (6.2); where it ends; and whether it may be remembered:
        it means the same on every connection, and is no secret."""
        first = block[start]
        most = 0x3F if first & ADDED else 0x0F
        index, at = first & most, start + 1
        if index == most:
            index, at = _integer(block, at, index)
        # Twice the same, in place of two calls: most new fields of a server are read here.
        if index:
            name = _STATIC[index - 1][0][0] if index <= STATIC_COUNT else self._find(index)[0][0]
        elif (size := block[at] & 0x7F) < 0x7F:
            stop = at + 1 + size
            # One that is cut short is found below: there is no octet behind it, which is an IndexError.
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
                value = unhuffman(value)
            at = stop
        else:
            value, at = _text(block, at, unhuffman)
        entry = (name, value), len(name) + len(value) + ENTRY_BYTES
        is_simple = index <= STATIC_COUNT and (first & ADDED or not first & NEVER) and name not in _SECRET
        if is_simple and at - start <= LONGEST_LITERAL:
            keep_literal(block[start:at], entry)
        return entry, at, bool(is_simple)

    def _settle(self) -> None:
        """Put the entries into the table that were added since its last use."""
        for entry in self._pending:
            self._add(entry)
        self._pending.clear()

    def _add(self, entry: Entry) -> None:
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
        self._settle()
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
