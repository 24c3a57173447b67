"""The fields of header blocks that were seen, remembered for all connections together (HPACK, RFC 7541). Pure.

Most servers add their fields to the table and never refer to them: the same date and the same content type are sent as
literals with Huffman coding in each response. So literals are remembered in their encoded form. A literal means the
same on every connection, unless its name is an index of one connection's table. Such literals are not remembered, nor
are fields that may enter no table (7.1.3), nor fields whose values may be credentials.

Whole blocks of remembered literals are remembered too: a block that a server repeats until its clock advances then
needs only one lookup. Where one field of a block is new each time, the fields before and after it still have the same
order. Such a run of known fields is remembered by its first bytes, and found with one comparison. The bounds are for
peers that never repeat a field.

Threads share this memory without a lock. An entry is complete before it is added, and only two values change later: the
head of a block, which each thread would set to an equal one, and the count of a run's misses, which may lose one.
"""

from __future__ import annotations

from typing import Final

from .._message.fields import Remembered
from .._message.head import Head
from .hpack_table import ENTRY_BYTES, huffman_decode

__all__ = [
    "LONGEST_BLOCK",
    "LONGEST_LITERAL",
    "RUN_KEY",
    "Entry",
    "FieldBlock",
    "Pair",
    "blocks",
    "keep_block",
    "keep_literal",
    "remember_run",
    "literals",
    "names",
    "runs",
]

LONGEST_LITERAL: Final = 128
"""A literal with more encoded bytes than this is not remembered."""

LONGEST_BLOCK: Final = 512
"""The same limit for a block, and for a run."""

RUN_KEY: Final = 6
"""How many of its first bytes are the key of a run."""

_LITERALS: Final = 1024
_BLOCKS: Final = 256
_RUNS: Final = 256
_MISSES: Final = 4  # after so many misses a run is replaced by another run with the same first bytes

Pair = tuple[bytes, bytes]
Entry = tuple[Pair, int]
"""A field, and its size (4.1)."""


class FieldBlock:
    """The fields of one header block. A block may be shared by all connections: only `head` is set later.

    Attributes:
        fields: the name and the value of each field.
        size: the bytes of all names and values, and 32 for each field (RFC 9113, 6.5.2).
        added: the entries that the block adds to the table.
        head: the block read as the head of a response, and the value of Content-Length: so the head is checked only
            once. None before that.
    """

    __slots__ = ("added", "fields", "head", "size")

    def __init__(self, fields: tuple[Pair, ...], size: int, added: tuple[Entry, ...]) -> None:
        self.fields = fields
        self.size = size
        self.added = added
        self.head: tuple[Head, int | None] | None = None


class Run:
    """Consecutive fields in their encoded form. Each is a remembered literal or an entry of the static table."""

    __slots__ = ("added", "fields", "misses", "size", "wire")

    def __init__(self, wire: bytes, fields: list[Pair], added: list[Entry]) -> None:
        self.wire = wire
        self.fields = fields
        self.added = added
        self.size = sum([len(name) + len(value) + ENTRY_BYTES for name, value in fields])
        self.misses = 0  # how often another run began with the same bytes


literals: Final[dict[bytes, Entry]] = {}
"""Literals, by their encoded form."""

names: Final = Remembered(huffman_decode)
"""Names, by their Huffman-coded form."""

runs: Final[dict[bytes, Run]] = {}

blocks: Final[dict[bytes, FieldBlock]] = {}
"""Blocks that do not refer to the table of a connection, by their encoded form."""


def keep_literal(wire: bytes, entry: Entry) -> None:
    # All entries are dropped at once: tracking the oldest one would make each lookup slower.
    if len(literals) >= _LITERALS:
        literals.clear()
    literals[wire] = entry


def keep_block(wire: bytes, found: FieldBlock) -> None:
    if len(blocks) >= _BLOCKS:
        blocks.clear()
    blocks[wire] = found


def remember_run(wire: bytes, fields: list[Pair], added: list[Entry]) -> None:
    """Remember the order of these known fields, since it may be repeated."""
    if not RUN_KEY <= len(wire) <= LONGEST_BLOCK:
        return
    known = runs.get(wire[:RUN_KEY])
    # If the runs of two servers begin with the same bytes, the first one keeps its place for a while.
    if known is not None and known.misses < _MISSES:
        return
    if len(runs) >= _RUNS:
        runs.clear()
    runs[wire[:RUN_KEY]] = Run(wire, fields, added)
