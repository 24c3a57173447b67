"""Content codings undone: what a hostile, broken or merely odd body may do, and what is given for it."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import brotli
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from httpcore import _decoders
from httpcore._decoders import Decoder, _Coding, _coding, _Unpacker, decoder_for, supported_codings
from httpcore._errors import DecodingError, LimitExceeded

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


# What is asked for.


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


def test_a_chain_is_undone_from_its_end_and_header_lines_are_one_list() -> None:
    body = zstd.compress(brotli.compress(zlib.compress(gzipped(WORDS))))
    assert decoded(body, "gzip, deflate", "br", "zstd") == WORDS
    with pytest.raises(DecodingError, match="gzip body is damaged after 0 decoded bytes"):
        decoded(body, "zstd, br, deflate, gzip")


def test_five_codings_are_undone_and_six_or_five_hundred_are_refused() -> None:
    body = WORDS
    for _ in range(5):
        body = gzipped(body)
    assert decoded(body, ", ".join(["gzip"] * 5)) == WORDS
    for count in (6, 500):
        with pytest.raises(DecodingError, match=f"has {count} content codings: at most 5"):
            decoder(", ".join(["gzip"] * count))


def test_an_unknown_coding_is_refused_by_a_name_that_is_safe_to_print() -> None:
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


def test_deflate_is_zlib_or_raw_as_the_first_two_bytes_tell() -> None:
    for level in range(10):
        for step in (1, 2, 100_000):
            assert decoded(zlib.compress(WORDS[:9_000], level), "deflate", step=step) == WORDS[:9_000]
    for content in (b"", b"x", WORDS, random.Random(1).randbytes(3_000)):
        assert decoded(raw_deflate(content), "deflate", step=1) == content


@EACH
def test_what_the_peer_has_flushed_is_given_before_the_body_ends(coding: str) -> None:
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


# What is wrong with a body.


@EACH
def test_a_body_cut_anywhere_is_an_error_that_says_how_much_came(coding: str) -> None:
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
def test_a_damaged_body_is_a_decoding_error_and_the_cause_is_chained(coding: str) -> None:
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
def test_a_changed_byte_gives_bytes_or_a_decoding_error_and_nothing_else(
    coding: str, place: int, byte: int, step: int
) -> None:
    body = bytearray(CODERS[coding](WORDS[:9_000]))
    body[place % len(body)] = byte
    try:
        decoded(bytes(body), coding, step=step)
    except DecodingError:
        pass


# Members.


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", [1, 50, 65_536])
def test_members_and_frames_that_follow_one_another_are_one_content(coding: str, step: int) -> None:
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
    """A few hundred KB at most that stand for 128 MiB; what grows with the content would show long before the end."""
    zeros = bytes(16 * MIB)
    if coding == "br":
        compressor = brotli.Compressor(quality=1)
        return b"".join(compressor.process(zeros) for _ in range(8)) + bytes(compressor.finish())
    if coding == "deflate":
        engine = zlib.compressobj()
        return b"".join(engine.compress(zeros) for _ in range(8)) + engine.flush()
    return CODERS[coding](zeros) * 8


@pytest.mark.parametrize("codings", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "zstd, br"])
def test_a_bomb_is_handed_out_in_small_pieces_and_constant_memory(codings: str) -> None:
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
def test_nothing_is_decoded_before_it_is_asked_for_and_closing_early_costs_nothing(coding: str) -> None:
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
    with pytest.raises(DecodingError, match="too much memory"):
        decoded(body(24), "zstd")


@pytest.mark.parametrize("barren", ["skippable frame", "zero padding"])
def test_a_chain_that_makes_nothing_of_much_is_stopped(barren: str) -> None:
    size = 64 * MIB
    if barren == "skippable frame":
        inside, codings = (0x184D2A50).to_bytes(4, "little") + size.to_bytes(4, "little") + bytes(size), "zstd, gzip"
    else:
        inside, codings = gzipped(b"") + bytes(size), "gzip, gzip"
    engine = decoder(codings)
    engine.feed(gzipped(inside))
    with pytest.raises(DecodingError, match="bytes out of gzip made no content"):
        engine.take()


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
    """A real unpacker that notes how many bytes each call was given."""

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
def test_time_is_linear_because_each_byte_reaches_the_library_once(coding: str, step: int) -> None:
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
    """An unpacker that gives back what it gets, and notes it. `fault` is raised, or tells it to stand still."""

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


def test_input_reaches_the_library_in_small_slices_because_it_copies_what_it_leaves() -> None:
    fake = Fake()
    engine = Decoder([_Coding("fake", lambda: fake, zlib.error)])
    engine.feed(WORDS)
    engine.feed(b"")
    engine.feed(WORDS)
    assert b"".join(taken(engine)) == WORDS + WORDS
    assert max(fake.sizes) == 16_384


def test_a_library_that_makes_no_progress_is_an_error_and_no_endless_loop() -> None:
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
    forget = (_coding.cache_clear, _decoders._codings.cache_clear)
    for each in forget:
        each()
    yield lambda name, module: monkeypatch.setitem(sys.modules, name, module)
    for each in forget:
        each()


class OldDecompressor:
    """What brotlipy's `Decompressor` does, and under the names of Brotli 1.1 what that does: no limit on the output."""

    def __init__(self) -> None:
        self._real = brotli.Decompressor()
        self.fed: list[int] = []

    def decompress(self, data: bytes) -> bytes:
        self.fed.append(len(data))
        return b"" if self._real.is_finished() else self._real.process(data)

    def finish(self) -> bytes:
        assert len(self.fed) % 2 or self._real.is_finished(), "output is held back: this is how brotlipy says so"
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


def test_all_four_codings_are_supported_where_their_libraries_are() -> None:
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
def test_a_brotli_that_cannot_limit_its_output_works_too_in_small_steps(
    modules: Callable[[str, object], None], old: type
) -> None:
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
    with pytest.raises(DecodingError, match=r"follow|damaged"):
        decoded(brotli.compress(WORDS) + b"garbage" * 9, "br")


def test_brotlicffi_is_used_where_brotli_cannot_limit_its_output(modules: Callable[[str, object], None]) -> None:
    def never() -> None:
        raise AssertionError("the old library was used")

    modules("brotli", types.SimpleNamespace(Decompressor=never, error=brotli.error))
    modules("brotlicffi", brotli)
    assert decoded(brotli.compress(WORDS), "br") == WORDS


def test_libraries_are_imported_only_when_a_body_needs_them() -> None:
    heavy = ("zlib", "gzip", "brotli", "brotlicffi", "backports.zstd", "compression.zstd")
    program = (
        "import sys; before = set(sys.modules)\n"
        "from httpcore._decoders import decoder_for\n"
        "decoder_for([(b'content-type', b'text/plain')])\n"
        f"print(*[name for name in {heavy} if name in sys.modules and name not in before])\n"
        "decoder_for([(b'content-encoding', b'gzip')])\n"
        "print('zlib' in sys.modules, 'brotli' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["", "True False"]
