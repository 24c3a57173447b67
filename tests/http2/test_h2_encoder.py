"""Compression of request fields, with hpack's decoder as the reference."""

from __future__ import annotations

import random

import hpack
import pytest

from httpcore._http2.hpack_encoder import MAX_VALUES, NAME_COUNT, TABLE_BYTES, FieldEncoder

GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/x"), (b"accept", b"*/*")]


def decoder(limit: int = TABLE_BYTES) -> hpack.Decoder:
    reference = hpack.Decoder(1 << 30)
    reference.max_allowed_table_size = limit
    return reference


def test_a_repeated_field_costs_a_byte() -> None:
    encoder, reference = FieldEncoder(), decoder()
    first = encoder.encode(GET)
    again = encoder.encode(GET)
    assert list(reference.decode(first, raw=True)) == list(reference.decode(again, raw=True)) == GET
    assert len(again) == 4 + len(b"\x04\x02/x")


@pytest.mark.parametrize("name", [b":path", b"content-length", b"range", b"authorization", b"cookie"])
def test_rare_and_secret_fields_enter_no_table(name: bytes) -> None:
    encoder, reference = FieldEncoder(), decoder()
    reference.decode(encoder.encode([(name, b"value")]))
    assert not reference.header_table.dynamic_entries
    assert encoder.encode([(name, b"value")]) == encoder.encode([(name, b"value")])


@pytest.mark.parametrize("name", [b"authorization", b"cookie", b"proxy-authorization"])
def test_secrets_are_marked_as_never_to_be_indexed(name: bytes) -> None:
    (pair,) = decoder().decode(FieldEncoder().encode([(name, b"secret")]), raw=True)
    assert isinstance(pair, hpack.NeverIndexedHeaderTuple)


def test_a_large_field_drives_nothing_out() -> None:
    encoder, reference = FieldEncoder(), decoder()
    reference.decode(encoder.encode([*GET, (b"x-large", bytes(TABLE_BYTES // 4))]))
    assert {name for name, _ in reference.header_table.dynamic_entries} == {b":authority", b"accept"}


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 254, 255, 256, 16383, 16510, 16511, 70_000])
def test_literals_with_lengths_of_one_or_more_bytes_are_right(length: int) -> None:
    pair = (b"n" * length or b"n", b"v" * length)
    assert list(decoder().decode(FieldEncoder().encode([pair]), raw=True)) == [pair]


def test_a_size_is_announced_once_and_the_smallest_first() -> None:
    encoder, reference = FieldEncoder(), decoder()
    reference.decode(encoder.encode(GET))
    for size in (100, 0, 300, 300):
        encoder.resize(size)
    block = encoder.encode([])
    assert block == b"\x20" + b"\x3f\x8d\x02"
    reference.decode(block)
    assert reference.header_table_size == 300
    assert not reference.header_table.dynamic_entries
    assert encoder.encode([]) == b""


def test_no_more_of_the_peers_table_is_used_than_we_mean_to_keep() -> None:
    encoder = FieldEncoder()
    encoder.resize(1 << 31)
    assert encoder.encode([]) == b""


@pytest.mark.parametrize("seed", range(30))
def test_the_encoder_and_a_decoder_keep_the_same_table(seed: int) -> None:
    rand = random.Random(seed)
    encoder, reference = FieldEncoder(), decoder()
    names = [b":authority", b"accept", b"user-agent", b"x-a", b"x-b", b"cookie", b":path", b"x-" + b"long" * 40]
    for _ in range(200):
        if rand.random() < 0.1:
            size = rand.choice((0, 50, 100, 500, 4096, 10_000))
            encoder.resize(size)
            reference.max_allowed_table_size = max(size, reference.max_allowed_table_size)
        values = [b"", b"/", b"v" * rand.randrange(300), b"%d" % rand.randrange(150)]
        fields = [(rand.choice(names), rand.choice(values)) for _ in range(rand.randrange(12))]
        assert list(reference.decode(encoder.encode(fields), raw=True)) == fields
        # Both tables must be the same at every step: a difference shows on the wire only when an entry is used.
        assert [*reversed(reference.header_table.dynamic_entries)] == [*encoder._entries]
        assert encoder._table.keys() == set(encoder._entries)
        assert encoder._size == reference.header_table._current_size <= min(encoder._limit, TABLE_BYTES)


def test_the_table_holds_no_more_than_its_size() -> None:
    encoder = FieldEncoder()
    for index in range(10_000, 20_000):
        encoder.encode([(b"%d" % index, b"x")])
    # The other end need not have this bound of memory, so no block shows it.
    assert len(encoder._entries) == TABLE_BYTES // (32 + 1 + 5)


def test_name_with_a_new_value_each_time_enters_table_no_more() -> None:
    encoder, reference = FieldEncoder(), decoder()
    for index in range(100):
        fields = [*GET, (b"x-id", b"%d" % index)]
        assert list(reference.decode(encoder.encode(fields), raw=True)) == fields
    ids = [value for name, value in reference.header_table.dynamic_entries if name == b"x-id"]
    assert len(ids) == MAX_VALUES
    assert (b"accept", b"*/*") in reference.header_table.dynamic_entries


def test_often_used_names_are_counted_in_bounded_memory() -> None:
    encoder = FieldEncoder()
    for index in range(5000):
        encoder.encode([(b"x-%d" % index, b"1")])
    # The cache shows in no block.
    assert len(encoder._values) <= NAME_COUNT


@pytest.mark.parametrize("seed", range(4))
def test_remembered_blocks_survive_additions_and_resizes(seed: int) -> None:
    """Requests that are remembered, mixed with others that add to the table, and with resizes of the table."""
    chance = random.Random(seed)
    encoder, reference = FieldEncoder(), decoder()
    usual = [[*GET[:2], (b":authority", b"%d.test" % (i % 3)), (b":path", b"/%d" % i)] for i in range(20)]
    remembered = 0
    for step in range(20_000):
        kind = chance.random()
        if kind < 0.002:
            size = chance.choice((0, 60, 200, TABLE_BYTES))
            encoder.resize(size)
            reference.max_allowed_table_size = TABLE_BYTES
        if kind < 0.01:
            fields = [*chance.choice(usual), (b"x-%d" % chance.randint(0, 50), b"%d" % step)]
            block = encoder.encode(fields)
        else:
            which = chance.randrange(len(usual))
            fields = usual[which]
            # This counts how often the cache was used, which must not show in any block.
            remembered += b"%d" % which in encoder._plain
            block = encoder.encode_plain(b"%d" % which, fields)
        assert list(reference.decode(block, raw=True)) == fields
    assert remembered > 5_000, remembered
