"""HTTP/2 frames of every kind with border values, valid and invalid: values that are off by one, or repeated."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from h2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OK,
    PADDED,
    PING,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    TOP,
    UNKNOWN,
    WINDOW_UPDATE,
    fields,
    frame,
    number,
)

WITH_PRIORITY = 32
STREAMS = (0, 1, 1, 3, 3, 5, 5, 7, 9, 11, 13, 15, 2, 4001, 1 << 31, 1 << 31 | 1)
VALUES = [0, 1, 2, 100, 16383, 16384, 65535, 65536, (1 << 24) - 1, 1 << 24]
VALUES += [TOP - 65536, TOP - 65535, TOP - 65534, TOP, 1 << 31, (1 << 32) - 1]
RIGHT = {1: VALUES, 2: [0], 3: VALUES, 4: VALUES[:-2], 5: [16384, 65536, (1 << 24) - 1], 6: VALUES, 8: [1], 9: VALUES}
"""Settings and the values that a server may send."""

FIELDS = [(name, b"x") for name in (b"connection", b"upgrade", b"keep-alive", b"proxy-connection", b"http2-settings")]
FIELDS += [(b"transfer-encoding", b"chunked"), (b"te", b"trailers"), (b"te", b"gzip"), (b"host", b"a"), (b"A", b"x")]
FIELDS += [(b"content-length", value) for value in (b"0", b"5", b"05", b"+5", b"9" * 20)]
FIELDS += [(b"", b"x"), (b"a", b""), (b"a", b" x"), (b"a", b"x\t"), (b"a", b"\0"), (b"a\0", b"x"), (b"a b", b"x")]
FIELDS += [OK, (b":path", b"/"), (b":protocol", b"x"), (b":method", b"GET"), (b"cookie", b"x"), (b"\xe9", b"x")]
HEADS = [b"\x88", b"\x88", b"\x89", b"\x8b", b"\x20\x88", b"\x3f\xe1\x1f\x88", b"\x88\x40\x01a\x01b", b"\x88\xbe", b""]
HEADS += [fields((b":status", status)) for status in (b"200", b"103", b"101", b"099", b"999", b"20", b"2000", b"")]


def border_frames(random: Random) -> bytes:
    """A few frames with border values, one after the other."""
    return b"".join([border_frame(random) for _ in range(random.randint(1, random.choice((2, 8))))])


def border_frame(random: Random) -> bytes:
    kind = random.choice(list(_PAYLOADS))
    on_connection = kind in (SETTINGS, PING) and random.random() < 0.9
    stream = 0 if on_connection else random.choice(STREAMS)
    flags = random.choice((0, 0, END_STREAM, END_HEADERS, END_STREAM | END_HEADERS, 0xFE, 0xFF))
    if kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
        flags = random.choice((0, END_HEADERS, END_HEADERS, END_HEADERS | END_STREAM)) | random.choice((0, 0, 0, 0xD2))
    elif kind == SETTINGS:
        flags = random.choice((0, 0, 0xFE, 1))
    payload = _PAYLOADS[kind](random)
    flags &= ~(PADDED | WITH_PRIORITY)
    if kind == HEADERS and random.random() < 0.2:
        flags |= WITH_PRIORITY
        payload = _priority(random) + payload
    if kind in (DATA, HEADERS) and random.random() < 0.2:
        flags |= PADDED
        size = random.choice((0, 1, 4, 5, 255))
        payload = bytes([size]) + payload + bytes(max(0, size - random.choice((0, 0, 0, 1))))
    if random.random() < 0.03:
        payload = random.choice((payload[:-1], payload + b"\0"))
    return frame(kind, flags, stream, payload)


def _priority(random: Random) -> bytes:
    return number(random.choice(STREAMS)) + random.choice((b"\x00", b"\x0f", b"\xff"))


def _settings(random: Random) -> bytes:
    pairs = [
        (setting, random.choice(RIGHT[setting])) for setting in random.choices(list(RIGHT), k=random.randint(0, 4))
    ]
    if random.random() < 0.3:
        pairs.insert(random.randint(0, len(pairs)), (random.choice((2, 4, 5, 8)), random.choice(VALUES)))
    return b"".join([struct.pack(">HL", *pair) for pair in pairs])


def _block(random: Random) -> bytes:
    return random.choice(HEADS) + fields(*random.choices(FIELDS, k=random.choice((0, 0, 1, 1, 2))))


def _random_payload(random: Random) -> bytes:
    return random.choice((b"", b"x", b"hello", b"12345678", b"123456789", bytes(300)))


_PAYLOADS: dict[int, Callable[[Random], bytes]] = {
    DATA: _random_payload,
    HEADERS: _block,
    PRIORITY: _priority,
    RST_STREAM: lambda random: number(random.choice((0, 2, 8, 0xDEAD))),
    SETTINGS: _settings,
    PUSH_PROMISE: lambda random: number(random.choice(STREAMS)) + _block(random),
    PING: lambda random: random.randbytes(8),
    WINDOW_UPDATE: lambda random: number(random.choice(VALUES)),
    CONTINUATION: _block,
    UNKNOWN: _random_payload,
}
