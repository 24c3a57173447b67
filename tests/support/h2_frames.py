"""HTTP/2 frames as bytes, built by hand: valid and invalid ones."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path

import hpack
from engines import chosen
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from httpcore._errors import Code

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)


UNKNOWN = 0xBB


END_STREAM = ACK = 1


END_HEADERS = 4


PADDED = 8


MIB = 1 << 20


TOP = 2**31 - 1


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack(">HBBBL", size >> 8, size & 255, kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(struct.pack(">HL", *pair) for pair in pairs))


def number(value: int) -> bytes:
    return struct.pack(">L", value)


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, number(increment))


def rst(stream: int, code: int = Code.CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, number(code))


def goaway(last: int, code: int = 0, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, number(last) + number(code) + debug)


def data(stream: int, payload: bytes, *, end: bool = False, pad: int | None = None) -> bytes:
    flags = END_STREAM if end else 0
    if pad is not None:
        flags |= PADDED
        payload = bytes([pad]) + payload + bytes(pad)
    return frame(DATA, flags, stream, payload)


def literal(name: bytes, value: bytes) -> bytes:
    """One field, uncompressed and not indexed: it can carry any bytes."""
    assert len(name) < 127
    assert len(value) < 127
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def fields(*pairs: tuple[bytes, bytes]) -> bytes:
    return b"".join(literal(*pair) for pair in pairs)


OK = (b":status", b"200")


def head(stream: int, *pairs: tuple[bytes, bytes], end: bool = False, status: bytes | None = b"200") -> bytes:
    flags = END_HEADERS | (END_STREAM if end else 0)
    first = [(b":status", status)] if status is not None else []
    return frame(HEADERS, flags, stream, fields(*first, *pairs))


def big_head(block: bytes, stream: int) -> bytes:
    """A header block, in as many frames as it needs."""
    parts = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    out = frame(HEADERS, END_HEADERS if len(parts) == 1 else 0, stream, parts[0])
    for part in parts[1:]:
        out += frame(CONTINUATION, END_HEADERS if part is parts[-1] else 0, stream, part)
    return out


def new_literals(count: int, first: bytes = b"\x00") -> bytes:
    """Fields that were not sent before, encoded in as few bytes as possible."""
    rand = random.Random(count)
    return b"".join([first + b"\x08" + rand.randbytes(8).hex()[:8].encode() + b"\x01v" for _ in range(count)])


def huffman_literal(size: int) -> bytes:
    coded = hpack.huffman.HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(random.Random(5).randbytes(size))
    length = hpack.hpack.encode_integer(len(coded), 7)
    length[0] |= 0x80
    return b"\x00\x01a" + bytes(length) + coded


def resident() -> int:
    """Bytes of memory that this process uses."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except FileNotFoundError:
        return 0


CPU_LIMIT = 1.0 if chosen("http/2") == "native" else 3.0
"""Seconds. h2 takes longer for a frame than the native engine does: see docs/reference/engines.md."""


class FloodCost:
    """Measures the cost of a flood for us, from the creation of this object or from `begin` on. The CPU time is that of
    the thread that calls `begin`.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.resident_before = resident()
        self.peak = 0
        self.began = time.thread_time()

    def look(self) -> None:
        self.peak = max(self.peak, resident() - self.resident_before)

    def check(self) -> None:
        took = time.thread_time() - self.began
        assert took < CPU_LIMIT
        assert self.peak < 4 * MIB
