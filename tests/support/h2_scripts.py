"""Valid HTTP/2 scripts, made at random: responses on several streams, with frames interleaved as a server may send
them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from random import Random

import hpack
from h2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    UNKNOWN,
    data,
    fields,
    frame,
    rst,
    settings,
    window_update,
)

WITH_PRIORITY = 32

Pairs = list[tuple[bytes, bytes]]

FIELDS: Pairs = [
    (b"server", b"nginx"),
    (b"date", b"Thu, 01 Jan 1970 00:00:00 GMT"),
    (b"content-type", b"text/html; charset=utf-8"),
    (b"set-cookie", b"a=1"),
    (b"x-a", b""),
    (b"x-b", b"\x80\xff \t y"),
    (b"x-long", b"abc" * 90),
    (b"vary", b"accept-encoding"),
]
SETTINGS_PAIRS = [(1, 0), (1, 100), (1, 4096), (2, 0), (3, 9), (3, 100), (4, 0), (4, 1000), (4, 70000), (5, 16384)]
SETTINGS_PAIRS += [(5, 100_000), (6, 100), (8, 1), (0xFF, 7)]


class Scripts:
    """Makes scripts for one connection. The state of its compression is kept from script to script."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._encoder = hpack.Encoder()

    def script(
        self, streams: Sequence[int], *, headed: int, tunnel: int, given_up: int, opened: Sequence[int]
    ) -> bytes:
        """A response or its beginning on some of the streams, and frames of the connection between them.

        Arguments:
            streams: the streams whose requests have no response yet.
            headed: the stream of the HEAD request.
            tunnel: the stream of the CONNECT request.
            given_up: a stream that the client has reset.
            opened: all streams that were opened so far.
        """
        choice = self.random.choice
        running = [
            self._response(stream, bodiless=stream == headed, tunnel=stream == tunnel)
            for stream in self.random.sample(streams, self.random.randint(1, len(streams)))
        ]
        made = b""
        while running:
            if self.random.random() < 0.2:
                made += self._frames_between(opened, given_up)
            response = choice(running)
            part = next(response, None)
            if part is None or self.random.random() < 0.02:  # this response never ends
                running.remove(response)
            made += part or b""
        return made

    # One response.

    def _response(self, stream: int, *, bodiless: bool, tunnel: bool) -> Iterator[bytes]:
        choice = self.random.choice
        for _ in range(choice((0, 0, 0, 1, 2))):
            yield self._block(stream, [(b":status", choice((b"100", b"103"))), *self._fields()])
        status = choice((b"200", b"200", b"200", b"201", b"204", b"304", b"404", b"599"))
        if tunnel and status < b"300":
            yield self._block(stream, [(b":status", status), *self._fields()])
            yield from self._content(stream, self._body())
            if choice((True, False)):
                yield data(stream, b"", end=True)
            return
        body = [] if bodiless or status in (b"204", b"304") else self._body()
        size = 5 if bodiless or status == b"304" else sum(map(len, body))
        length = [(b"content-length", b"%d" % size)] if status != b"204" and choice((True, False)) else []
        ends = choice(("head", "data", "empty", "trailers", "reset"))
        if ends == ("data" if not body else "head"):  # no DATA frame exists, or the head is not the last frame
            ends = "empty"
        yield self._block(stream, [(b":status", status), *length, *self._fields()], end=ends == "head")
        yield from self._content(stream, body, end=ends == "data")
        if ends == "empty":
            yield data(stream, b"", end=True)
        elif ends == "trailers":
            yield self._block(stream, self._fields(), end=True)
        elif ends == "reset":
            yield rst(stream, choice((0, 2, 7, 8, 0xDEAD)))

    def _fields(self) -> Pairs:
        return self.random.choices(FIELDS, k=self.random.randint(0, 4))

    def _body(self) -> list[bytes]:
        sizes = self.random.choices((0, 1, 9, 9, 300, 5000), k=self.random.randint(0, 4))
        return [self.random.randbytes(size) for size in sizes]

    def _content(self, stream: int, parts: list[bytes], *, end: bool = False) -> Iterator[bytes]:
        for at, part in enumerate(parts):
            pad = self.random.choice((None, None, None, 0, 9, 255))
            yield data(stream, part, end=end and at == len(parts) - 1, pad=pad)

    def _block(self, stream: int, pairs: Pairs, *, end: bool = False) -> bytes:
        """A header block, compressed or not, in one frame or in several, with the flags that it may have."""
        random = self.random
        is_plain = random.random() < 0.3 and all(len(value) < 127 for _, value in pairs)
        block = fields(*pairs) if is_plain else self._compressed(pairs)
        cuts = sorted(random.randint(0, len(block)) for _ in range(random.choice((0, 0, 0, 1, 3))))
        first, *others = [block[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(block)], strict=True)]
        flags = END_STREAM if end else 0
        if random.random() < 0.1:
            flags |= WITH_PRIORITY
            first = struct.pack(">LB", 0, 15) + first
        if random.random() < 0.1:
            flags |= PADDED
            first = b"\x03" + first + bytes(3)
        made = frame(HEADERS, flags | (0 if others else END_HEADERS), stream, first)
        for at, other in enumerate(others):
            made += frame(CONTINUATION, END_HEADERS if at == len(others) - 1 else 0, stream, other)
        return made

    def _compressed(self, pairs: Pairs) -> bytes:
        if self.random.random() < 0.1:
            for size in self.random.choice(((0,), (100,), (4096,), (0, 4096))):
                self._encoder.header_table_size = size
        made = [(name, value, name == b"set-cookie") for name, value in pairs]
        return self._encoder.encode(made, huffman=self.random.choice((True, False)))

    # Frames between those of responses.

    def _frames_between(self, opened: Sequence[int], given_up: int) -> bytes:
        random = self.random
        kinds: list[Callable[[], bytes]] = [
            lambda: frame(PING, random.choice((0, ACK)), 0, random.randbytes(8)),
            lambda: settings(*random.choices(SETTINGS_PAIRS, k=random.randint(0, 4))),
            lambda: window_update(random.choice((0, *opened)), random.choice((1, 1000, 100_000))),
            lambda: frame(PRIORITY, 0, random.choice(opened), bytes(5)),
            lambda: frame(UNKNOWN, random.randrange(256), random.choice((0, *opened)), random.randbytes(9)),
            lambda: rst(given_up),
            lambda: frame(DATA, 0, given_up, random.randbytes(20)),
            lambda: self._block(given_up, [(b":status", b"200"), *self._fields()]),
        ]
        return random.choice(kinds)()
