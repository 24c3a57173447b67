"""The fields of header blocks that were seen, remembered for all connections together (HPACK, RFC 7541). Pure.

Most servers add their fields to the table and never refer to them: the same date and the same content type are sent as
literals with Huffman coding in each response. So literals are remembered in their encoded form: they mean the same
everywhere, unless their name is in a table of one connection: these are not remembered, nor are fields that may enter
no table (7.1.3), nor cookies. Whole blocks of such literals are remembered, too: a block that a server repeats until
its clock advances is then one look-up. Where one field of a block is new each time, those before and after it still
have the same order: such a run of known fields is remembered too, by its first bytes, and found with one comparison.
The bounds are for peers that never repeat a field.

Threads share all of it without a lock: an entry is complete before it is added, and never changed in a way that
matters (a count of misses may lose one).
"""

from __future__ import annotations

from typing import Final

from .._message.fields import Remembered
from .._message.head import Head
from .hpack_table import ENTRY_BYTES, unhuffman

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
"""The same for a block, and for a run."""

RUN_KEY: Final = 6
"""The first bytes of a run, by which it is found."""

_LITERALS: Final = 1024
_BLOCKS: Final = 256
_RUNS: Final = 256
_MISSES: Final = 4  # after so many a run is replaced by another one with the same first bytes

Pair = tuple[bytes, bytes]
Entry = tuple[Pair, int]
"""A field, and its size (4.1)."""


class FieldBlock:
    """The fields of one header block. It may be shared by all connections: nothing in it is ever changed.

    Attributes:
        fields: name and value of each.
        size: of all fields, with 32 bytes for each (RFC 9113, 6.5.2).
        added: the entries that the block adds to the table. head: the result of reading it as the head of a response,
            so that it is checked once, and the value of Content-Length; None before that.
    """

    __slots__ = ("added", "fields", "head", "size")

    def __init__(self, fields: tuple[Pair, ...], size: int, added: tuple[Entry, ...]) -> None:
        self.fields = fields
        self.size = size
        self.added = added
        self.head: tuple[Head, int | None] | None = None


class Run:
    """Fields that follow each other, in their encoded form: all of them known literals or of the static table."""

    __slots__ = ("added", "fields", "misses", "size", "wire")

    def __init__(self, wire: bytes, fields: list[Pair], added: list[Entry]) -> None:
        self.wire = wire
        self.fields = fields
        self.added = added
        self.size = sum([len(name) + len(value) + ENTRY_BYTES for name, value in fields])
        self.misses = 0  # how often another run began with the same bytes


literals: Final[dict[bytes, Entry]] = {}
"""Literals, by their encoded form."""

names: Final = Remembered(unhuffman)
"""Names, by their Huffman-coded form."""

runs: Final[dict[bytes, Run]] = {}

blocks: Final[dict[bytes, FieldBlock]] = {}
"""Blocks that do not refer to the table of a connection, by their encoded form."""


def keep_literal(wire: bytes, entry: Entry) -> None:
    # All entries are dropped at once: to find the oldest would make each look-up slower.
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
    if known is not None and known.misses < _MISSES:  # of two servers that begin alike, one keeps its place for a while
        return
    if len(runs) >= _RUNS:
        runs.clear()
    runs[wire[:RUN_KEY]] = Run(wire, fields, added)
