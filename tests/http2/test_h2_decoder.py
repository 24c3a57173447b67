"""Decompression of response fields, with hpack's encoder as the peer and its decoder as the reference."""

from __future__ import annotations

import random
import tracemalloc
from contextlib import suppress

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable
from hypothesis import example, given, settings
from hypothesis import strategies as st

import httpcore
from httpcore._http2 import hpack_memory
from httpcore._http2 import hpack_table as h2_table
from httpcore._http2.hpack_decoder import TABLE_BYTES, FieldDecoder
from httpcore._http2.hpack_encoder import FieldEncoder
from httpcore._http2.hpack_table import STATIC_PAIRS, huffman_decode

MOST = 65536
Fields = list[tuple[bytes, bytes]]

coder = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


def number(first: int, bits: int, value: int) -> bytes:
    code = bytearray(hpack.hpack.encode_integer(value, bits))
    code[0] |= first
    return bytes(code)


def text(value: bytes, *, huffman: bool = False) -> bytes:
    coded = coder.encode(value) if huffman else value
    return number(0x80 if huffman else 0, 7, len(coded)) + coded


def answer(decoder: FieldDecoder | hpack.Decoder, block: bytes) -> Fields | str:
    """The fields of the block; or "too much" or "wrong" if the decoder refuses it."""
    try:
        if isinstance(decoder, FieldDecoder):
            return list(decoder.decode(block).fields)
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except (httpcore.LimitExceeded, hpack.OversizedHeaderListError):
        return "too much"
    except (httpcore.RemoteProtocolError, hpack.HPACKError):
        return "wrong"


def updates(block: bytes) -> int:
    """The number of table size updates that the block begins with, as hpack reads them."""
    count = 0
    with suppress(hpack.HPACKError):  # both decoders refuse a block that is cut short
        while block and block[0] & 0xE0 == 0x20:
            count += 1
            block = block[hpack.hpack.decode_integer(block, 5)[1] :]
    return count


def verdict(reference: hpack.Decoder, block: bytes) -> Fields | str:
    """hpack's result, except for more than two updates, which it accepts and RFC 7541 (4.2) forbids."""
    found = answer(reference, block)
    return "wrong" if updates(block) > 2 else found


def both(blocks: list[bytes], most: int = MOST) -> list[Fields | str]:
    """Our results for the blocks of one connection, up to the first that is refused; hpack's are the same, except
    for the difference that `verdict` states."""
    ours, reference = FieldDecoder(most), hpack.Decoder(most)
    answers: list[Fields | str] = []
    for block in blocks:
        found = answer(ours, block)
        assert found == verdict(reference, block), block.hex()
        answers.append(found)
        if isinstance(found, str):
            break
        # Both tables, with entries that wait to be stored, must be the same at every step: otherwise a difference would
        # show only when an entry is used.
        ours._insert_pending()
        assert [pair for pair, _ in ours._entries] == list(reference.header_table.dynamic_entries)
        assert ours._size == reference.header_table._current_size
    return answers


def forget() -> None:
    """Restore the state of a new process."""
    # No public name reaches the cache that all connections share.
    hpack_memory.literals.clear()
    hpack_memory.blocks.clear()
    hpack_memory.runs.clear()


# The state that both ends share.


def test_the_static_table_is_the_standards() -> None:
    assert tuple(STATIC_PAIRS) == HeaderTable.STATIC_TABLE


def test_the_huffman_code_is_the_standards() -> None:
    codes = [code | 1 << length for code, length in zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)]
    # The table that is generated at import must be equal to the table of the RFC.
    assert {code: bytes((octet,)) if octet < 256 else b"" for octet, code in enumerate(codes)} == h2_table._CODES


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_huffman_codes_come_back(data: bytes) -> None:
    assert huffman_decode(coder.encode(data)) == data


@pytest.mark.parametrize("octet", range(256))
def test_each_octet_comes_back_at_every_place(octet: int) -> None:
    for before in (b"", b"0", b"00", b"000", b"0000", b"00000", b"000000", b"0000000"):  # each "0" has 5 bits
        data = before + bytes((octet,)) + b"0"
        assert huffman_decode(coder.encode(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",  # EOS
        b"\xff\xff\xff\xfc",  # 30 bits of EOS, with padding
        b"\x07\xff\xff\xff\xff",  # EOS behind "0"
        b"\xff",  # eight bits of padding
        b"\x07\xff",  # "0", three bits of padding and an octet more
        b"\x00",  # "0", padded with zeros
        b"\x06",  # "0", padded with ones and a zero
    ],
)
def test_an_invalid_huffman_code_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a Huffman-encoded string"):
        huffman_decode(data)


def test_huffman_codes_of_anything_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections share this cache, and many connections may exist."""
    # No public name reaches the cache that all connections share.
    monkeypatch.setattr(h2_table, "_steps", {})
    tracemalloc.start()
    codes: set[int] = set()
    # The private functions build the tree of open codes again, step by step.
    left = [h2_table._step(1)]
    while left:
        step = left.pop()
        if step[2] not in codes:
            codes.add(step[2])
            for octet in range(256):
                with suppress(ValueError):
                    # This adds one more octet to the tree.
                    h2_table._add_step(step, octet)
            left += [following for following in step[1] if following is not None]
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # No public name shows the size of this cache.
    assert len(codes) == len(h2_table._steps) == 256
    assert held < 3 << 20


@pytest.mark.parametrize("times", [3, 60_000])
@pytest.mark.parametrize("update", [b"\x20", b"\x3f\xe1\x1f"], ids=["to 0", "to 4096"])
def test_a_block_has_two_table_updates_at_most(update: bytes, times: int) -> None:
    """RFC 7541, 4.2. hpack accepts any number."""
    assert [*FieldDecoder(MOST).decode(update * 2 + b"\x88").fields] == [(b":status", b"200")]
    for more in (b"", b"\x88"):
        with pytest.raises(httpcore.RemoteProtocolError, match="resized more than 2 times in one block"):
            FieldDecoder(MOST).decode(update * times + more)


# Blocks, as values.

PLAIN = bytes.fromhex("8861") + text(b"Sat, 21 Nov 2026 10:00:00 GMT") + bytes.fromhex("5f") + text(b"text/plain")
SECOND = [
    (b":status", b"200"),
    (b"date", b"Sat, 21 Nov 2026 10:00:00 GMT"),
    (b"content-type", b"text/plain"),
]

RIGHT: dict[str, tuple[list[bytes], list[Fields]]] = {
    "nothing": ([b""], [[]]),
    "static fields": ([b"\x88\x8d"], [[(b":status", b"200"), (b":status", b"404")]]),
    "the last of the static table": ([b"\xbd"], [[(b"www-authenticate", b"")]]),
    "literals, and then their entries": ([PLAIN, b"\x88\xbf\xbe"], [SECOND, SECOND]),
    "a name of its own": ([b"\x40" + text(b"a") + text(b"b"), b"\xbe"], [[(b"a", b"b")]] * 2),
    "a name from the dynamic table": (
        [b"\x40" + text(b"a") + text(b"b") + b"\x7e" + text(b"c")],
        [[(b"a", b"b"), (b"a", b"c")]],
    ),
    "a name from far back in it": (
        [b"".join(b"\x40" + text(b"a%d" % i) + text(b"") for i in range(9)) + number(0, 4, 70) + text(b"c")],
        [[(b"a%d" % i, b"") for i in range(9)] + [(b"a0", b"c")]],
    ),
    "not added": ([b"\x00" + text(b"a") + text(b"b"), b"\x10" + text(b"a") + text(b"b")], [[(b"a", b"b")]] * 2),
    "Huffman codes": (
        [b"\x40" + text(b"custom", huffman=True) + text(b"value", huffman=True)],
        [[(b"custom", b"value")]],
    ),
    "empty strings": ([b"\x00\x80\x80"], [[(b"", b"")]]),
    "long strings": ([b"\x00" + text(b"n" * 127) + text(b"v" * 20_000)], [[(b"n" * 127, b"v" * 20_000)]]),
    "integers with needless octets": (
        [b"\x0f\x80\x80\x80\x80\x00\x7f\x80\x00" + b"v" * 127],
        [[(b"accept-charset", b"v" * 127)]],
    ),
    "resized, twice, at the start": ([b"\x20\x3f\xe1\x1f\x88"], [[(b":status", b"200")]]),
    "an entry larger than the table empties it": (
        [b"\x41\x01a", b"\x40" + text(b"n") + text(b"v" * 5000), b"\x88"],
        [[(b":authority", b"a")], [(b"n", b"v" * 5000)], [(b":status", b"200")]],
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_header_block_decodes_to_its_fields(name: str) -> None:
    blocks, fields = RIGHT[name]
    assert both(blocks) == fields
    assert both(blocks) == fields  # this time the literals are known


WRONG: dict[str, tuple[list[bytes], str]] = {
    "index 0": ([b"\x80"], "the index is 0: expected at least 1"),
    "an index beyond both tables": ([b"\xbe"], "the index is 62: expected at most 61"),
    "an index beyond the entries": ([b"\x41\x01a\xbf"], "the index is 63: expected at most 62"),
    "an entry that was driven out": ([b"\x41\x01a", b"\x20\xbe"], "the index is 62"),
    "a name beyond both tables": ([b"\x7e\x01a"], "the index is 62"),
    "resized after a field": ([b"\x88\x20"], "resized after the first field"),
    "resized to more than was offered": ([b"\x3f\xe2\x1f"], "resized to 4,097 bytes: at most 4,096 were offered"),
    "an integer without end": ([b"\xff" + b"\x80" * 10], "an integer has more than 5 octets"),
    "a length without end": ([b"\x00\x7f" + b"\x80" * 10], "an integer has more than 5 octets"),
    "an index that ends early": ([b"\xff"], "cut short"),
    "a literal of one octet": ([b"\x41"], "cut short"),
    "a name without its length": ([b"\x40"], "cut short"),
    "a name without its value": ([b"\x40\x01a"], "cut short"),
    "a name longer than the block": ([b"\x40\x05a"], "cut short"),
    "a value longer than the block": ([b"\x41\x05a"], "cut short"),
    "a value of 2**31 bytes": ([b"\x41\x7f\x81\xff\xff\xff\x07a"], "cut short"),
    "a size that ends early": ([b"\x3f"], "cut short"),
    "Huffman codes with EOS": ([b"\x41\x84\xff\xff\xff\xff"], "a Huffman-encoded string contains EOS"),
    "Huffman codes with an octet of padding": ([b"\x41\x81\xff"], "a Huffman-encoded string is cut short, or padded"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_header_block_is_refused(name: str) -> None:
    blocks, message = WRONG[name]
    assert both(blocks)[-1] == "wrong"
    decoder = FieldDecoder(MOST)
    for block in blocks[:-1]:
        decoder.decode(block)
    with pytest.raises(httpcore.RemoteProtocolError, match=message):
        decoder.decode(blocks[-1])


# Limits of size.


@pytest.mark.parametrize("huffman", [False, True])
def test_fields_count_their_bytes_and_32_more(huffman: bool) -> None:
    block = b"\x00" + text(b"name", huffman=huffman) + text(b"value", huffman=huffman) + b"\x88"
    assert both([block], 9 + 32 + 10 + 32) == [[(b"name", b"value"), (b":status", b"200")]]
    assert both([block], 9 + 32 + 10 + 31) == ["too much"]
    with pytest.raises(httpcore.LimitExceeded) as caught:
        FieldDecoder(82).decode(block)
    assert caught.value.limit == 82


def test_an_entry_that_is_repeated_without_end_is_stopped_early() -> None:
    decoder = FieldDecoder(MOST)
    decoder.decode(b"\x40" + text(b"n") + text(b"v" * 4000))
    block = b"\xbe" * 20 + b"\x80" * 16_000  # an index of 0, which would be an error if the decoder read so far
    assert answer(decoder, block) == "too much"


def test_the_table_holds_4096_bytes_with_32_for_each_field() -> None:
    decoder = FieldDecoder(MOST)
    decoder.decode(b"\x40" + text(b"n") + text(b"v" * (TABLE_BYTES - 33 - 33)))
    decoder.decode(b"\x40" + text(b"m") + text(b""))
    # The content of the table shows only when an entry is used, which would change it.
    decoder._insert_pending()
    assert [pair[0] for pair, _ in decoder._entries] == [b"m", b"n"]
    assert decoder._size == TABLE_BYTES
    decoder.decode(b"\x40" + text(b"") + text(b""))
    # The content of the table has changed, which still does not show.
    decoder._insert_pending()
    assert [pair[0] for pair, _ in decoder._entries] == [b"", b"m"]


# Caches.


def test_literals_are_shared_by_connections_but_for_secrets() -> None:
    # Caches between fields cost memory and time, and change no result.
    hpack_memory.literals.clear()
    added = b"\x5f" + text(b"known", huffman=True)
    named = b"\x00" + text(b"name") + text(b"known")
    FieldDecoder(MOST).decode(added + named + b"\x10" + text(b"set-cookie") + text(b"secret") + b"\x7e" + text(b"here"))
    # The literals of the secret field are not in the cache.
    assert list(hpack_memory.literals) == [added, named]


def test_an_indexed_name_is_that_of_its_own_connection() -> None:
    block = b"\x7e" + text(b"value")
    for name in (b"a", b"b"):
        assert both([b"\x40" + text(name) + text(b"") + block]) == [[(name, b""), (name, b"value")]]


def test_remembered_blocks_and_literals_have_a_bound() -> None:
    # The test begins with an empty cache, whose content shows in no result.
    hpack_memory.literals.clear()
    decoder = FieldDecoder(MOST)
    # No public name shows the bound of this cache.
    for i in range(3 * hpack_memory._LITERALS):
        decoder.decode(b"\x5f" + text(b"%d" % i))
        # The bound holds after every block.
        assert len(hpack_memory.literals) <= hpack_memory._LITERALS
    hpack_memory.literals.clear()
    decoder.decode(b"\x5f" + text(b"v" * 126))
    # The longest literal that is kept has 128 bytes.
    assert max(map(len, hpack_memory.literals)) == 128
    decoder.decode(b"\x5f" + text(b"v" * 127))
    decoder.decode(b"\x40" + text(b"n" * 64) + text(b"v" * 64))
    # Neither of the two longer literals was kept.
    assert len(hpack_memory.literals) == 1


@pytest.mark.parametrize(
    "name", [b"authorization", b"cookie", b"location", b"proxy-authorization", b"set-cookie", b"x-auth-token"]
)
def test_no_literal_or_block_with_a_credential_is_remembered(name: bytes) -> None:
    forget()
    block = b"\x88\x00" + text(name) + text(b"secret")
    assert both([block, block]) == [[(b":status", b"200"), (name, b"secret")]] * 2
    # The cache for other connections must not hold this value; no result shows that.
    assert not hpack_memory.literals
    assert not hpack_memory.blocks
    assert not hpack_memory.runs


@pytest.mark.parametrize(
    "block",
    [
        b"\x40" + text(b"a") + text(b"b") + b"\xbe",
        b"\x40" + text(b"a") + text(b"b") + b"\x7e" + text(b"c"),
        b"\x3f\xe1\x1f\x88",
        b"\x88\x10" + text(b"a") + text(b"b"),
        b"\x88\x00" + text(b"a") + text(b"v" * 600),
    ],
    ids=["a reference", "a name by reference", "a resize", "never indexed", "long"],
)
def test_a_block_of_one_connection_is_not_remembered(block: bytes) -> None:
    forget()
    assert not isinstance(both([block, block])[-1], str)
    # The cache for other connections must not hold this block; no result shows that.
    assert not hpack_memory.blocks


def test_the_memory_of_blocks_has_a_bound() -> None:
    forget()
    decoder = FieldDecoder(MOST)
    # The bound of the cache shows in no result.
    for i in range(3 * hpack_memory._BLOCKS):
        decoder.decode(b"\x88\x5f" + text(b"%d" % i))
        # Both bounds hold after every block.
        assert 0 < len(hpack_memory.blocks) <= hpack_memory._BLOCKS
        assert len(decoder._pending) <= TABLE_BYTES // 32


def test_a_known_block_counts_against_the_limit() -> None:
    forget()
    block = b"\x00" + text(b"name") + text(b"value") + b"\x88"
    assert FieldDecoder(83).decode(block) is FieldDecoder(83).decode(block)
    with pytest.raises(httpcore.LimitExceeded):
        FieldDecoder(82).decode(block)


SHOWN: Fields = [
    *STATIC_PAIRS[7:],
    *[(b"x-%d" % i, b"%d" % i * (i % 7)) for i in range(30)],
    (b"set-cookie", b"a=1"),
    (b"x-long", b"v" * 1200),
    (b"x-huge", b"v" * 4100),
]


class Server:
    """Writes the blocks of one connection at random: many of them repeat earlier blocks of any connection; the others
    refer to the table, resize it, or are invalid. The writer does not need the content of the table.
    """

    def __init__(self, rand: random.Random) -> None:
        self.rand = rand
        self.usual_blocks = [self.block(0.0) for _ in range(40)]

    def block(self, references: float) -> bytes:
        rand = self.rand
        out = []
        if rand.random() < references / 4:
            out += [number(0x20, 5, rand.choice((0, 40, 100, 700, 4096))) for _ in range(rand.randint(1, 2))]
        for _ in range(rand.randint(0, 6)):
            kind = rand.random()
            name, value = rand.choice(SHOWN)
            if kind < references:
                out.append(number(0x80, 7, rand.randint(62, 70)))
            elif kind < 0.2:
                out.append(number(0x80, 7, rand.randint(1, 61)))
            else:
                first, bits = rand.choice(((0x40, 6), (0x40, 6), (0x40, 6), (0x00, 4), (0x10, 4)))
                huffman = rand.random() < 0.5
                if rand.random() < references:
                    code = number(first, bits, rand.randint(62, 66))
                elif rand.random() < 0.5:
                    code = number(first, bits, rand.randint(1, 61))
                else:
                    code = number(first, bits, 0) + text(name, huffman=huffman)
                out.append(code + text(value, huffman=huffman))
        return b"".join(out)

    def next(self) -> bytes:
        kind = self.rand.random()
        if kind < 0.8:
            return self.rand.choice(self.usual_blocks)
        if kind < 0.999:
            return self.block(0.3)
        return self.rand.randbytes(5)


@pytest.mark.parametrize("seed", range(4))
def test_remembered_blocks_leave_the_table_as_it_would_be(seed: int) -> None:
    """Many connections at once share a cache; a connection ends with its first invalid block."""
    rand = random.Random(seed)
    server = Server(rand)
    forget()
    ends = [(FieldDecoder(MOST), hpack.Decoder(MOST)) for _ in range(8)]
    known = referred = wrong = 0
    for _ in range(15_000):
        which = rand.randrange(len(ends))
        ours, reference = ends[which]
        block = server.next()
        # This counts how often the cache was used, which must not show in any result.
        known += block in hpack_memory.blocks
        found = answer(ours, block)
        assert found == answer(reference, block), block.hex()
        # This counts how often the table was brought up to date, which must not show in any result either.
        referred += not ours._pending and bool(ours._entries)
        if isinstance(found, str):
            wrong += 1
        if isinstance(found, str) or rand.random() < 0.001:
            if not isinstance(found, str):
                # Both tables must be the same, though the last blocks may not have used them.
                ours._insert_pending()
                assert [pair for pair, _ in ours._entries] == list(reference.header_table.dynamic_entries)
                assert ours._size == reference.header_table._current_size
            ends[which] = FieldDecoder(MOST), hpack.Decoder(MOST)
    assert known > 5_000, known
    assert referred > 100, referred
    assert wrong > 20, wrong


# Random blocks, compared with hpack.

names = st.sampled_from([name for name, _ in STATIC_PAIRS]) | st.binary(max_size=8)
values = st.sampled_from([value for _, value in STATIC_PAIRS]) | st.binary(max_size=20) | st.just(b"v" * 1500)
fields = st.lists(st.tuples(names, values, st.booleans()), max_size=12)
steps = st.lists(st.tuples(fields, st.none() | st.integers(0, TABLE_BYTES), st.booleans()), min_size=1, max_size=6)


def encoded(script: list[tuple[list[tuple[bytes, bytes, bool]], int | None, bool]]) -> tuple[list[bytes], list[Fields]]:
    peer = hpack.Encoder()
    blocks, lists = [], []
    for some, size, huffman in script:
        if size is not None:
            peer.header_table_size = size
        blocks.append(peer.encode(some, huffman=huffman))
        lists.append([(name, value) for name, value, _ in some])
    return blocks, lists


@given(steps)
@settings(max_examples=100, deadline=None)
def test_blocks_that_hpack_encodes_are_decoded(
    script: list[tuple[list[tuple[bytes, bytes, bool]], int | None, bool]],
) -> None:
    blocks, lists = encoded(script)
    assert both(blocks, 1 << 20) == lists


@given(steps, st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_blocks_mean_the_same_to_hpack(
    script: list[tuple[list[tuple[bytes, bytes, bool]], int | None, bool]], data: st.DataObject
) -> None:
    blocks, _ = encoded(script)
    damaged = bytearray(data.draw(st.sampled_from(blocks)))
    at = data.draw(st.integers(0, len(damaged)))
    damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    both([*blocks, bytes(damaged), *blocks], data.draw(st.sampled_from([MOST, 500])))


@given(st.lists(st.binary(max_size=40), max_size=5))
@example([b"\x20\x20\x88"])
@example([b"\x20\x20\x20"])
@example([b"\x20\x3f\xe1\x1f\x3f"])
@settings(max_examples=300, deadline=None)
def test_any_bytes_mean_the_same_to_hpack(blocks: list[bytes]) -> None:
    both(blocks)


@given(st.lists(st.lists(st.tuples(names, values), max_size=12), max_size=6))
@settings(max_examples=50, deadline=None)
def test_our_two_ends_understand_each_other(lists: list[Fields]) -> None:
    encoder, decoder = FieldEncoder(), FieldDecoder(1 << 20)
    assert [[*decoder.decode(encoder.encode(some)).fields] for some in lists] == lists
