"""Content decoding: hostile, broken or merely unusual bodies, and the results for them."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import time
import types
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from typing import Any

import brotli
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcore._errors import DecodingError, LimitExceeded
from httpcore._message import decoders as _decoders

# The tests use one coding alone, in its smallest steps; the public decoder is a chain of codings.
from httpcore._message.decoders import Decoder, _Coding, _coding, _Unpacker, decoder_for, supported_codings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 1 << 20
WORDS = b"the quick brown fox jumps over the lazy dog; " * 4_000


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzipped,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
EACH = pytest.mark.parametrize("coding", list(CODERS))


def decoder(*values: str, max_decoded: int | None = None) -> Decoder:
    found = decoder_for([(b"content-encoding", value.encode()) for value in values], max_decoded=max_decoded)
    assert found is not None
    return found


def taken(engine: Decoder) -> Iterator[bytes]:
    while piece := engine.take():
        yield piece


def decoded(body: bytes, *values: str, step: int = 65_536) -> bytes:
    engine = decoder(*values)
    out: list[bytes] = []
    for start in range(0, len(body), step):
        engine.feed(body[start : start + step])
        out += taken(engine)
    engine.finish()
    assert engine.decoded == sum(len(piece) for piece in out)
    return b"".join(out)


# Requested codings.


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"text/plain")],
        [(b"content-encoding", b"identity")],
        [(b"content-encoding", b"")],
        [(b"content-encoding", b" , Identity,")],
    ],
)
def test_no_coding_or_identity_needs_no_decoder(headers: list[tuple[bytes, bytes]]) -> None:
    assert decoder_for(headers) is None


@EACH
@pytest.mark.parametrize("step", [1, 7, 65_536, 10_000_000])
def test_each_coding_gives_the_content_however_the_body_is_cut(coding: str, step: int) -> None:
    assert decoded(CODERS[coding](WORDS), coding, step=step) == WORDS


@pytest.mark.parametrize("value", ["GZIP", "x-gzip", "X-GZip", "\t gzip ,", "identity, gzip"])
def test_names_of_codings_have_no_case_and_gzip_an_alias(value: str) -> None:
    assert decoded(gzipped(WORDS), value) == WORDS


def test_a_chain_is_decoded_from_its_end_and_lines_are_one_list() -> None:
    body = zstd.compress(brotli.compress(zlib.compress(gzipped(WORDS))))
    assert decoded(body, "gzip, deflate", "br", "zstd") == WORDS
    with pytest.raises(DecodingError, match="gzip body is damaged after 0 decoded bytes"):
        decoded(body, "zstd, br, deflate, gzip")


def test_five_codings_are_decoded_and_six_are_refused() -> None:
    body = WORDS
    for _ in range(5):
        body = gzipped(body)
    assert decoded(body, ", ".join(["gzip"] * 5)) == WORDS
    for count in (6, 500):
        with pytest.raises(DecodingError, match=f"has {count} content codings: at most 5"):
            decoder(", ".join(["gzip"] * count))


def test_unknown_coding_is_refused_by_name_that_is_safe_to_print() -> None:
    with pytest.raises(DecodingError, match=r"'\\x1b\[31mcompress' is not known: gzip, deflate, br, zstd are; raw\(\)"):
        decoder("gzip, \x1b[31mCompress")
    with pytest.raises(DecodingError) as caught:
        decoder("x" * 100_000)
    assert len(str(caught.value)) < 400


@EACH
def test_a_body_without_a_byte_is_empty_under_any_coding(coding: str) -> None:
    assert decoded(b"", coding) == b""
    assert decoded(b"", f"{coding}, gzip") == b""


@EACH
def test_content_that_is_empty_is_empty(coding: str) -> None:
    assert decoded(CODERS[coding](b""), coding, step=1) == b""


def test_the_first_two_bytes_of_deflate_decide_zlib_or_raw() -> None:
    for level in range(10):
        for step in (1, 2, 100_000):
            assert decoded(zlib.compress(WORDS[:9_000], level), "deflate", step=step) == WORDS[:9_000]
    for content in (b"", b"x", WORDS, random.Random(1).randbytes(3_000)):
        assert decoded(raw_deflate(content), "deflate", step=1) == content


@EACH
def test_flushed_bytes_are_returned_before_the_body_ends(coding: str) -> None:
    engine = decoder(coding)
    engine.feed(flushed(coding, b"event: one\n\n"))
    assert b"".join(taken(engine)) == b"event: one\n\n"


def flushed(coding: str, data: bytes) -> bytes:
    if coding == "br":
        compressor = brotli.Compressor()
        return bytes(compressor.process(data) + compressor.flush())
    if coding == "zstd":
        return bytes(zstd.ZstdCompressor().compress(data, zstd.ZstdCompressor.FLUSH_BLOCK))
    engine = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    return engine.compress(data) + engine.flush(zlib.Z_SYNC_FLUSH)


@settings(deadline=None, max_examples=80)
@given(
    content=st.binary(max_size=5_000),
    repeats=st.integers(1, 60),
    codings=st.lists(st.sampled_from(list(CODERS)), min_size=1, max_size=5),
    step=st.integers(1, 5_000),
)
def test_any_chain_in_any_pieces_gives_the_content(content: bytes, repeats: int, codings: list[str], step: int) -> None:
    body = content * repeats
    for coding in codings:
        body = CODERS[coding](body)
    assert decoded(body, *codings, step=step) == content * repeats


# Faults of a body.


@EACH
def test_a_cut_body_is_an_error_with_the_received_bytes(coding: str) -> None:
    content = random.Random(2).randbytes(250)
    body = CODERS[coding](content)
    for end in range(1, len(body)):
        engine = decoder(coding)
        engine.feed(body[:end])
        count = len(b"".join(taken(engine)))
        with pytest.raises(DecodingError, match=f"{coding} body was cut short: it ended after {count} decoded bytes"):
            engine.finish()


def test_a_chain_cut_short_inside_is_an_error() -> None:
    with pytest.raises(DecodingError, match="gzip body was cut short"):
        decoded(brotli.compress(gzipped(WORDS)[:-1]), "gzip, br")
    with pytest.raises(DecodingError, match="br body was cut short"):
        decoded(brotli.compress(gzipped(WORDS))[:-1], "gzip, br")


@EACH
@pytest.mark.parametrize("garbage", [b"G", b"garbage that is long enough", b"\x1f\x8b"])
@pytest.mark.parametrize("step", [1, 65_536])
def test_bytes_after_the_end_of_a_coding_are_an_error(coding: str, garbage: bytes, step: int) -> None:
    with pytest.raises(DecodingError, match=f"{coding} body (is damaged|was cut short)"):
        decoded(CODERS[coding](b"hello") + garbage, coding, step=step)


@pytest.mark.parametrize("step", [1, 65_536])
def test_zero_bytes_after_gzip_are_padding_and_only_there(step: int) -> None:
    padding = bytes(20_000)
    assert decoded(gzipped(b"hello") + padding, "gzip", step=step) == b"hello"
    assert decoded(gzipped(b"hello, ") + padding + gzipped(b"world"), "gzip", step=step) == b"hello, world"
    for body, coding in [
        (padding, "gzip"),
        (zlib.compress(b"hello") + b"\0", "deflate"),
        (brotli.compress(b"hello") + b"\0", "br"),
        (zstd.compress(b"hello") + b"\0", "zstd"),
    ]:
        with pytest.raises(DecodingError):
            decoded(body, coding, step=step)


@EACH
def test_damaged_body_is_a_decoding_error_and_cause_is_chained(coding: str) -> None:
    with pytest.raises(DecodingError, match=f"{coding} body is damaged after 0 decoded bytes") as caught:
        decoded(b"\xff\xff certainly not compressed", coding)
    assert caught.value.__cause__ is not None


@settings(deadline=None, max_examples=150)
@given(
    coding=st.sampled_from(list(CODERS)),
    place=st.integers(0, 10**6),
    byte=st.integers(0, 255),
    step=st.integers(1, 999),
)
def test_a_changed_byte_gives_bytes_or_a_decoding_error(coding: str, place: int, byte: int, step: int) -> None:
    body = bytearray(CODERS[coding](WORDS[:9_000]))
    body[place % len(body)] = byte
    try:
        decoded(bytes(body), coding, step=step)
    except DecodingError:
        pass


# Members.


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", [1, 50, 65_536])
def test_successive_members_and_frames_are_one_content(coding: str, step: int) -> None:
    parts = [b"one, ", b"", b"two, ", WORDS, b"three"]
    assert decoded(b"".join(map(CODERS[coding], parts)), coding, step=step) == b"".join(parts)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_flood_of_members_that_hold_little_is_refused(coding: str) -> None:
    assert decoded(CODERS[coding](b"") * 1_000, coding) == b""
    with pytest.raises(DecodingError, match=f"the {coding} body .* more than 1000 members: too many"):
        decoded(CODERS[coding](b"") * 1_001, coding)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_many_members_that_hold_something_are_one_content(coding: str) -> None:
    assert decoded(CODERS[coding](bytes(2_000)) * 3_000, coding) == bytes(6_000_000)


@pytest.mark.parametrize("coding", ["deflate", "br"])
def test_deflate_and_br_end_once(coding: str) -> None:
    with pytest.raises(DecodingError):
        decoded(CODERS[coding](b"one") + CODERS[coding](b"two"), coding)


def test_zstd_frames_to_skip_are_skipped() -> None:
    skipped = (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"meta"
    assert decoded(skipped + zstd.compress(b"hello") + skipped, "zstd", step=1) == b"hello"


# Bombs.


def bomb(coding: str) -> bytes:
    """A few hundred KB at most that decode to 128 MiB; memory that grows with the content would show long before the
    end.
    """
    zeros = bytes(16 * MIB)
    if coding == "br":
        compressor = brotli.Compressor(quality=1)
        return b"".join(compressor.process(zeros) for _ in range(8)) + bytes(compressor.finish())
    if coding == "deflate":
        engine = zlib.compressobj()
        return b"".join(engine.compress(zeros) for _ in range(8)) + engine.flush()
    return CODERS[coding](zeros) * 8


@pytest.mark.parametrize("codings", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "zstd, br"])
def test_a_bomb_is_decoded_in_small_pieces_and_constant_memory(codings: str) -> None:
    first, *others = codings.split(", ")
    body = bomb(first)
    for coding in others:
        body = CODERS[coding](body)
    process = psutil.Process()
    engine = decoder(codings)
    before = peak = process.memory_info().rss
    longest = 0
    for start in range(0, len(body), 65_536):
        engine.feed(body[start : start + 65_536])
        for piece in taken(engine):
            longest = max(longest, len(piece))
            peak = max(peak, process.memory_info().rss)
    engine.finish()
    assert engine.decoded == 128 * MIB
    assert longest <= 65_536
    assert peak - before <= 16 * MIB


def test_one_large_feed_of_a_bomb_is_no_more_than_its_own_size() -> None:
    engine = decoder("gzip")
    engine.feed(bomb("gzip"))
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(500):
        assert len(engine.take()) <= 65_536
    assert process.memory_info().rss - before <= 16 * MIB


@EACH
def test_nothing_is_decoded_before_it_is_read(coding: str) -> None:
    engine = decoder(coding)
    engine.feed(bomb(coding))
    assert engine.decoded == 0
    assert 1 <= len(engine.take()) <= 65_536
    engine.close()
    engine.close()
    assert engine.decoded <= 65_536
    with pytest.raises(DecodingError, match="closed"):
        engine.take()


def test_zstd_windows_above_8_mib_are_refused() -> None:
    def body(window_log: int) -> bytes:
        compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window_log})
        return bytes(compressor.compress(b"hello") + compressor.flush())

    assert decoded(body(23), "zstd") == b"hello"
    for step in (1, 65_536):
        with pytest.raises(DecodingError, match="too much memory"):
            decoded(body(24), "zstd", step=step)


# Chains.


@pytest.mark.parametrize("barren", ["skippable frame", "zero padding"])
def test_a_chain_that_decodes_much_to_nothing_is_stopped(barren: str) -> None:
    size = 64 * MIB
    if barren == "skippable frame":
        inside, codings = (0x184D2A50).to_bytes(4, "little") + size.to_bytes(4, "little") + bytes(size), "zstd, gzip"
    else:
        inside, codings = gzipped(b"") + bytes(size), "gzip, gzip"
    engine = decoder(codings)
    engine.feed(gzipped(inside))
    with pytest.raises(DecodingError, match=r"between the content codings is too large: .* 0 bytes of content"):
        engine.take()


class BitWriter:
    """Bits in the order of deflate and brotli: the least significant one first."""

    def __init__(self) -> None:
        self.number = self.count = 0

    def put(self, *fields: tuple[int, int]) -> None:
        for value, width in fields:
            self.number |= value << self.count
            self.count += width

    def taken(self, first: int, count: int) -> bytes:
        return (self.number >> first & (1 << count) - 1).to_bytes((count + 7) // 8, "little")


def deflate_tables(count: int) -> bytes:
    """Raw deflate: blocks that hold nothing but their prefix codes (RFC 1951 section 3.2.7), without an end."""
    lengths = {16: 1, 8: 2, 9: 3, 0: 4, 1: 4}
    codes = {16: (0b0, 1), 8: (0b01, 2), 9: (0b011, 3), 0: (0b0111, 4), 1: (0b1111, 4)}
    order = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1)
    bits = BitWriter()
    for _ in range(8):  # eight blocks, so that the last one ends at the end of a byte
        bits.put((0, 1), (2, 2), (29, 5), (0, 5), (len(order) - 4, 4), *[(lengths.get(each, 0), 3) for each in order])
        for length, repeats in ((8, 225), (9, 59)):
            bits.put(codes[length])
            while repeats:
                times = 3 if 6 < repeats < 9 else min(6, repeats)
                bits.put(codes[16], (times - 3, 2))
                repeats -= times
        bits.put(codes[1], (int(f"{452 + 256 - 226:09b}"[::-1], 2), 9))  # one distance; the end of the block
    return bits.taken(0, bits.count) * (count // 8)


def brotli_tables(count: int) -> bytes:
    """brotli: meta-blocks with 256 prefix codes for one byte of content (RFC 7932 section 9.2), without an end."""
    bits = BitWriter()
    bits.put((0, 1))
    for _ in range(9):
        bits.put((0, 1), (0, 2), (0, 16), (0, 1), (0, 3), (0, 6), (0, 2))  # one byte; one type of blocks of each kind
        bits.put((1, 1), (7, 3), (127, 7), (0, 1), (1, 4), (0, 8), (0, 1), (0, 1))  # 256 literal trees
        for _ in range(256):
            bits.put((3, 2), (0, 10), (7, 4), (0, 2), (7, 4), (0, 1), (5, 3), (5, 3), (5, 3), (1, 3))
        bits.put((1, 4), (8, 10), (1, 4), (0, 6), (0, 8))  # insert one byte; a distance; the byte
    size = (bits.count - 1) // 9
    return bits.taken(0, 8) + bits.taken(8, 8 * size) * (count // 8)


EMPTY_FRAME = b"\x28\xb5\x2f\xfd\x00\x68\x01\x00\x00"  # with a window of 8 MiB
SLOW: dict[str, tuple[str, Callable[[], bytes]]] = {
    "prefix codes of deflate": ("deflate", lambda: deflate_tables(200_000)),
    "prefix codes of brotli": ("br", lambda: brotli_tables(2_000)),
    "empty zstd frames": ("zstd", lambda: EMPTY_FRAME * 5_000),
    "empty gzip members": ("gzip", lambda: gzipped(b"") * 900),
    "gzip members of one byte": ("gzip", lambda: gzipped(b"x") * 50_000),
    "zero padding": ("gzip", lambda: gzipped(b"") + bytes(16 * MIB)),
    "empty blocks": ("deflate", lambda: b"\x00\x00\x00\xff\xff" * 3_000_000),
    "a gigabyte of a gigabyte": ("gzip", lambda: gzipped(b"") + gzipped(bytes(16 * MIB)) * 30),
}


@pytest.mark.cpu_time
@pytest.mark.parametrize("outer", ["gzip", "br", "zstd", "br, gzip, zstd", "gzip, br, br, gzip", "zstd, zstd, zstd"])
@pytest.mark.parametrize("inner", SLOW)
def test_four_kib_through_a_chain_never_cost_50_ms(inner: str, outer: str) -> None:
    """The CPU time is measured until the input is refused, until more input is needed, or until 4 MiB are decoded."""
    coding, make = SLOW[inner]
    body = make()
    for each in outer.split(", "):
        body = brotli.compress(body, quality=5) if each == "br" else CODERS[each](body)

    def seconds() -> float:
        engine = decoder(f"{coding}, {outer}")
        began = time.thread_time()
        engine.feed(body[:4_096])
        with suppress(DecodingError):
            while engine.decoded < 4 * MIB and engine.step() != b"":
                pass
        return time.thread_time() - began

    assert min(seconds() for _ in range(3)) < 0.05


@pytest.mark.cpu_time
@pytest.mark.parametrize("inner", SLOW)
@pytest.mark.parametrize("outer", ["", "gzip"])
def test_one_step_of_a_decoder_is_short_for_any_input(inner: str, outer: str) -> None:
    coding, make = SLOW[inner]
    body = make()[: 4 * MIB]
    if outer:
        body, coding = CODERS[outer](body), f"{coding}, {outer}"

    def longest() -> float:
        engine, worst = decoder(coding), 0.0
        engine.feed(body)
        with suppress(DecodingError):
            for _ in range(200):
                began = time.thread_time()
                piece = engine.step()
                worst = max(worst, time.thread_time() - began)
                if piece == b"":
                    break
        return worst

    assert min(longest() for _ in range(3)) < 0.03


def test_a_chain_may_pass_on_as_much_as_ordinary_codings() -> None:
    rows = b"".join(b'{"id": %d, "name": "row %d", "ok": true}\n' % (n, n * 7) for n in range(20_000))
    contents = {
        "repeated": bytes(16 * MIB),
        "text": WORDS * 10,
        "rows": rows,
        "random": random.Random(5).randbytes(300_000),
    }
    for name, content in contents.items():
        for first, second in product(CODERS, CODERS):
            if name == "repeated" and (first, second) not in {("gzip", "gzip"), ("br", "gzip"), ("gzip", "br")}:
                continue
            quick = {"br": lambda data: bytes(brotli.compress(data, quality=4))}
            inside = quick.get(first, CODERS[first])(content)
            body = quick.get(second, CODERS[second])(inside)
            assert decoded(body, first, second) == content, (name, first, second)
    assert decoded(zlib.compress(zlib.compress(rows, 0)), "deflate", "deflate") == rows


def br_window(log: int) -> bytes:
    """A brotli body with a window of this size; its content does not matter."""
    compressor = brotli.Compressor(lgwin=log, quality=9)
    return bytes(compressor.process(random.Random(log).randbytes(1_000)) + compressor.finish())


@pytest.mark.parametrize("log", range(10, 25))
def test_the_window_of_brotli_is_read_from_its_first_byte(log: int) -> None:
    codes = {10: 0x21, 11: 0x31, 12: 0x41, 13: 0x51, 14: 0x61, 15: 0x71, 16: 0, 17: 1}  # RFC 7932 section 9.1
    first = codes.get(log, (log - 17) << 1 | 1)
    # The window bounds memory before a byte is decoded, so decoding a body that fits does not test it.
    assert _decoders._brotli_window(bytes([first])) == 1 << log
    assert _decoders._brotli_window(br_window(log)) == 1 << log


@pytest.mark.parametrize("log", range(10, 28))
def test_the_window_of_zstd_is_read_from_its_header(log: int) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    body = compressor.compress(b"hello") + compressor.flush()
    # As for brotli, decoding a body that fits does not test the window.
    assert [_decoders._zstd_window(body[:end]) for end in range(6)] == [None] * 6
    assert _decoders._zstd_window(body[:6]) == 1 << log
    assert _decoders._zstd_window(zstd.compress(bytes(5_000))[:9]) == 5_000, (
        "the window of a single segment is the content size"
    )


@pytest.mark.parametrize(
    ("logs", "fits"),
    [
        ([24], True),
        ([24, 24], True),
        ([23, 23, 23, 23], True),
        ([22, 22, 22, 22, 22], True),
        ([24, 24, 10], False),
        ([24, 24, 24, 24, 24], False),
        ([10, 24, 10, 23, 23], False),
    ],
)
@pytest.mark.parametrize("step", [1, 65_536])
def test_the_windows_of_a_chain_take_32_mib_at_most(logs: list[int], fits: bool, step: int) -> None:
    content = body = random.Random(9).randbytes(2_000)
    for log in logs:
        compressor = brotli.Compressor(lgwin=log, quality=9)
        body = bytes(compressor.process(body) + compressor.flush() + compressor.finish())
        # This is the premise of the test; no public name shows the window.
        assert _decoders._brotli_window(body) == 1 << log
    codings = ", ".join(["br"] * len(logs))
    if fits:
        assert decoded(body, codings, step=step) == content
    else:
        with pytest.raises(
            DecodingError, match=r"windows of the content codings .*: expected at most 33554432 .* raw\(\)"
        ):
            decoded(body, codings, step=step)


def test_the_windows_of_zstd_frames_count_while_they_last() -> None:
    def body(log: int) -> bytes:
        compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
        return bytes(compressor.compress(b"hello") + compressor.flush())

    for _ in range(3):
        assert decoded(zstd.compress(body(23) * 9), "zstd", "zstd") == b"hello" * 9
    whole = body(23)
    for _ in range(4):
        compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 23})
        whole = compressor.compress(whole) + compressor.flush()
    with pytest.raises(DecodingError, match="windows of the content codings"):
        decoded(whole, "zstd, zstd, zstd, zstd, zstd")


# Cuts.


def zstd_frame(declared: int, width: int, single: bool, window: int, *blocks: bytes) -> bytes:
    """A frame with raw blocks, of which the last may be empty (RFC 8878 section 3.1.1)."""
    flag = {1: 0, 2: 1, 4: 2, 8: 3}[width]
    head = b"\x28\xb5\x2f\xfd" + bytes([flag << 6 | single << 5]) + (b"" if single else bytes([window]))
    head += declared.to_bytes(width, "little")
    for number, block in enumerate(blocks, 1):
        head += (int(number == len(blocks)) | len(block) << 3).to_bytes(3, "little") + block
    return head


def odd_frames() -> Iterator[bytes]:
    for declared, single, blocks in product(
        (0, 1, 4, 5, 6, 100), (True, False), ([b"hello"], [b"hello", b""], [b"", b"hel", b"lo", b""], [b""])
    ):
        for window in (0x00, 0x58, 0x68, 0x69, 0x70, 0x90):
            yield zstd_frame(declared, 1 if single else 4, single, window, *blocks)
    yield zstd_frame(0, 2, False, 0x58, bytes(256))
    yield zstd_frame(0, 2, False, 0x58, bytes(255), b"")
    yield zstd_frame(2**64 - 1, 8, True, 0, b"hello", b"")


def samples(coding: str) -> Iterator[bytes]:
    for content in (b"", b"x", b"hello " * 30, random.Random(4).randbytes(90), bytes(70_000)):
        body = CODERS[coding](content)
        yield from (body, body[:-1], body + b"\0", body + b"\0" * 9 + body, body + body, body + b"garbage")
    if coding == "deflate":
        yield from (raw_deflate(b"hello"), b"x", b"\x78", b"\x78\xbb\0\0\0\0hello", raw_deflate(b"hello") + b"\0")
    if coding == "zstd":
        yield from odd_frames()
        yield (0x184D2A50).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"meta" + zstd.compress(b"hello")


def outcome(body: bytes, codings: str, cuts: Iterable[int]) -> bytes | None:
    """The content, or None for an error, of a body that is received in these pieces."""
    engine, at = decoder(codings), 0
    out: list[Any] = []
    try:
        for cut in (*cuts, len(body)):
            engine.feed(body[at:cut])
            out += taken(engine)
            at = cut
        engine.finish()
    except DecodingError:
        return None
    return b"".join(out)


def cuts_of(body: bytes, chance: random.Random) -> Iterator[Sequence[int]]:
    places = range(1, len(body))
    yield places
    yield from ([place] for place in places)
    for _ in range(5):
        yield sorted(chance.sample(places, min(len(places), chance.randint(1, 9))))


@EACH
def test_no_outcome_depends_on_how_the_bytes_were_cut(coding: str) -> None:
    chance = random.Random(11)
    for body in samples(coding):
        whole = outcome(body, coding, ())
        for cuts in cuts_of(body, chance):
            assert outcome(body, coding, cuts) == whole, (body, cuts)


def test_zstd_content_of_another_length_than_declared_is_error() -> None:
    for body in odd_frames():
        declared = int.from_bytes(body[5:6] if body[4] & 32 else body[6:10], "little")
        content = outcome(body, "zstd", ())
        assert content is None or len(body) > 100 or len(content) == declared
    with pytest.raises(DecodingError, match="declares 100 bytes of content, and has 5'"):
        decoded(zstd_frame(100, 1, True, 0, b"hello", b""), "zstd", step=1)


@settings(deadline=None, max_examples=150)
@given(
    codings=st.lists(st.sampled_from(list(CODERS)), min_size=1, max_size=3),
    content=st.one_of(st.binary(max_size=60), st.integers(0, 300_000).map(bytes)),
    place=st.integers(0, 10**6),
    byte=st.integers(0, 255),
    seed=st.integers(0, 99),
)
def test_no_outcome_of_a_damaged_chain_depends_on_how_it_was_cut(
    codings: list[str], content: bytes, place: int, byte: int, seed: int
) -> None:
    body = content
    for coding in codings:
        body = CODERS[coding](body)
    body = body[: place % len(body)] + bytes([byte]) + body[place % len(body) + 1 :]
    names, chance = ", ".join(codings), random.Random(seed)
    whole = outcome(body, names, ())
    assert outcome(body, names, range(1, len(body))) == whole
    for _ in range(5):
        assert outcome(body, names, sorted(chance.sample(range(len(body)), min(len(body), 4)))) == whole


def test_a_chain_is_refused_at_one_place_however_it_was_cut() -> None:
    """The padding is somewhat shorter or longer than the decoder allows."""
    refused = 0
    for size in range(36_500, 37_200, 30):
        body = gzipped(gzipped(b"") + bytes(size))
        whole = outcome(body, "gzip, gzip", ())
        assert outcome(body, "gzip, gzip", range(1, len(body))) == whole
        assert outcome(body, "gzip, gzip", (3, 50)) == whole
        refused += whole is None
    assert 0 < refused < 24


def test_more_content_than_max_decoded_is_a_limit_exceeded() -> None:
    engine = decoder("gzip", max_decoded=1_000_000)
    engine.feed(gzipped(bytes(1_000_001)))
    with pytest.raises(LimitExceeded, match="max_decoded=1000000") as caught:
        list(taken(engine))
    assert caught.value.limit == 1_000_000
    with pytest.raises(DecodingError, match="closed"):
        engine.take()


def test_content_of_exactly_max_decoded_is_given() -> None:
    engine = decoder("gzip", max_decoded=1_000_000)
    engine.feed(gzipped(bytes(1_000_000)))
    assert b"".join(taken(engine)) == bytes(1_000_000)
    engine.finish()


# Time.


class Counting:
    """A real unpacker that records how many bytes each call received."""

    def __init__(self, unpacker: _Unpacker, sizes: list[int]) -> None:
        self.unpacker = unpacker
        self.sizes = sizes

    eof = property(lambda self: self.unpacker.eof)
    needs_input = property(lambda self: self.unpacker.needs_input)
    unused_data = property(lambda self: self.unpacker.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self.sizes.append(len(data))
        return self.unpacker.decompress(data, max_length)


@EACH
@pytest.mark.parametrize("step", [1, 100_000])
def test_time_is_linear_because_each_byte_reaches_library_once(coding: str, step: int) -> None:
    known = _coding(coding)
    assert known is not None
    sizes: list[int] = []
    engine = Decoder([replace(known, unpacker=lambda: Counting(known.unpacker(), sizes))])
    body = CODERS[coding](random.Random(3).randbytes(3_000))
    pieces = 0
    for start in range(0, len(body), step):
        engine.feed(body[start : start + step])
        pieces += len(list(taken(engine)))
    engine.finish()
    assert sum(sizes) == len(body)
    assert len(sizes) <= len(body) // step + 1 + pieces


class Fake:
    """An unpacker that returns its input, and records its size. `fault` is an error to raise, or "stands still"."""

    eof = False
    unused_data = b""

    def __init__(self, fault: BaseException | str = "") -> None:
        self.needs_input = fault != "stands still"
        self.fault = fault
        self.sizes: list[int] = []

    def decompress(self, data: bytes, max_length: int) -> bytes:
        assert max_length == 65_536
        self.sizes.append(len(data))
        if isinstance(self.fault, BaseException):
            raise self.fault
        return data


def test_input_reaches_the_library_in_small_slices() -> None:
    fake = Fake()
    engine = Decoder([_Coding("fake", lambda: fake, zlib.error)])
    engine.feed(WORDS)
    engine.feed(b"")
    engine.feed(WORDS)
    assert b"".join(taken(engine)) == WORDS + WORDS
    assert max(fake.sizes) == 16_384


def test_library_that_makes_no_progress_is_an_error_and_no_loop() -> None:
    engine = Decoder([_Coding("fake", lambda: Fake("stands still"), zlib.error)])
    engine.feed(b"x")
    assert engine.take() == b"x"
    with pytest.raises(DecodingError, match="made no progress"):
        engine.take()


# After an error.


@pytest.mark.parametrize("fault", [MemoryError(), KeyboardInterrupt(), zlib.error("bad"), RuntimeError()])
def test_after_any_error_the_decompressor_is_never_used_again(fault: BaseException) -> None:
    fake = Fake(fault)
    engine = Decoder([_Coding("fake", lambda: fake, zlib.error)])
    engine.feed(b"x")
    with pytest.raises(DecodingError if isinstance(fault, zlib.error) else type(fault)):
        engine.take()
    for again in (engine.take, engine.finish, lambda: engine.feed(b"y")):
        with pytest.raises(DecodingError, match="closed"):
            again()
    assert fake.sizes == [1]


# Libraries.


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, object], None]]:
    # The facts about the installed codings are cached for the process: each test begins with an empty cache.
    forget = (_coding.cache_clear, _decoders._codings.cache_clear)
    for each in forget:
        each()
    yield lambda name, module: monkeypatch.setitem(sys.modules, name, module)
    for each in forget:
        each()


class OldDecompressor:
    """Behaves like brotlipy's `Decompressor`, or under the names of Brotli 1.1 like that version: without a limit on
    the output.
    """

    def __init__(self) -> None:
        self._real = brotli.Decompressor()
        self.fed: list[int] = []

    def decompress(self, data: bytes) -> bytes:
        self.fed.append(len(data))
        return b"" if self._real.is_finished() else self._real.process(data)

    def finish(self) -> bytes:
        assert len(self.fed) % 2 or self._real.is_finished(), (
            "output is withheld: brotlipy raises an error in this case"
        )
        if not self._real.is_finished():
            raise brotli.error("incomplete")
        return b""


class Brotli11Decompressor:
    def __init__(self) -> None:
        self._real = brotli.Decompressor()
        self.process = self._real.process
        self.is_finished = self._real.is_finished


def old_brotli(kind: type) -> types.ModuleType:
    module = types.ModuleType("brotli")
    module.Decompressor = kind  # type: ignore[attr-defined]
    module.error = brotli.error  # type: ignore[attr-defined]
    return module


def test_all_four_codings_are_supported_with_their_libraries() -> None:
    assert supported_codings() == ("gzip", "deflate", "br", "zstd")


@pytest.mark.parametrize(
    ("coding", "absent", "extra"),
    [("br", ["brotli", "brotlicffi"], "brotli"), ("zstd", ["compression.zstd", "backports.zstd"], "zstd")],
)
def test_a_missing_library_is_an_error_that_names_the_extra(
    modules: Callable[[str, object], None], coding: str, absent: list[str], extra: str
) -> None:
    for name in absent:
        modules(name, None)
    assert coding not in supported_codings()
    with pytest.raises(DecodingError, match=rf"'{coding}' needs a library .* pip install '\.\[{extra}\]'; raw\(\)"):
        decoder(coding)


each_old_brotli = pytest.mark.parametrize("old", [OldDecompressor, Brotli11Decompressor], ids=["brotlipy", "1.1"])


@each_old_brotli
def test_an_unbounded_brotli_works_too_in_small_steps(modules: Callable[[str, object], None], old: type) -> None:
    modules("brotli", old_brotli(old))
    modules("brotlicffi", None)
    assert "br" in supported_codings()
    words = random.Random(7).randbytes(70_000) + WORDS
    assert decoded(brotli.compress(words), "br") == words
    engine = decoder("br")
    engine.feed(brotli.compress(bytes(3_000_000)))
    pieces = []
    while piece := engine.take():
        pieces.append(len(piece))
    engine.finish()
    assert sum(pieces) == 3_000_000
    assert max(pieces) <= 65_536


@each_old_brotli
def test_a_br_body_cut_short_is_an_error_with_an_old_brotli_too(
    modules: Callable[[str, object], None], old: type
) -> None:
    modules("brotli", old_brotli(old))
    modules("brotlicffi", None)
    with pytest.raises(DecodingError, match="cut short"):
        decoded(brotli.compress(WORDS)[:-3], "br")
    for garbage in (b"g", b"garbage" * 9):
        for step in (1, 7, 65_536):
            with pytest.raises(DecodingError, match=r"follow|damaged"):
                decoded(brotli.compress(WORDS) + garbage, "br", step=step)


@each_old_brotli
def test_an_unbounded_brotli_is_used_once_in_a_chain(modules: Callable[[str, object], None], old: type) -> None:
    modules("brotli", old_brotli(old))
    modules("brotlicffi", None)
    assert decoded(gzipped(brotli.compress(WORDS)), "br, gzip") == WORDS
    with pytest.raises(DecodingError, match="'br' 2 times: expected it once"):
        decoder("br, gzip, br")


def test_brotlicffi_is_used_where_brotli_cannot_limit_its_output(modules: Callable[[str, object], None]) -> None:
    def must_not_be_called() -> None:
        raise AssertionError("the old library was used")

    modules("brotli", types.SimpleNamespace(Decompressor=must_not_be_called, error=brotli.error))
    modules("brotlicffi", brotli)
    assert decoded(brotli.compress(WORDS), "br") == WORDS


def test_libraries_are_imported_only_when_a_body_needs_them() -> None:
    heavy = ("zlib", "gzip", "brotli", "brotlicffi", "backports.zstd", "compression.zstd")
    program = (
        "import sys; before = set(sys.modules)\n"
        "from httpcore._message.decoders import decoder_for\n"
        "decoder_for([(b'content-type', b'text/plain')])\n"
        f"print(*[name for name in {heavy} if name in sys.modules and name not in before])\n"
        "decoder_for([(b'content-encoding', b'gzip')])\n"
        "print('zlib' in sys.modules, 'brotli' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["", "True False"]
