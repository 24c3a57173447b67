"""The HTTP/2 engine: RFC 9113 for clients as a table of frame scripts; floods; windows; h2 as peer and reference."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hpack
import pytest
from h2_events import (
    BodyReceived,
    EndReceived,
    Event,
    EventEngine,
    Failed,
    GoawayReceived,
    HeadReceived,
    Malformed,
    PingAckReceived,
    ResetReceived,
    SettingsChanged,
    WindowOpened,
)
from h2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    MIB,
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
    FloodCost,
    big_head,
    data,
    fields,
    frame,
    goaway,
    head,
    huffman_literal,
    new_literals,
    number,
    rst,
    settings,
    window_update,
)

from httpcore import LimitExceeded, LocalProtocolError, RemoteProtocolError
from httpcore._backends.base import Event as Waiting
from httpcore._errors import Code
from httpcore._http2 import engine as h2_engine
from httpcore._http2 import sender
from httpcore._http2.election import Election
from httpcore._http2.flood_budget import BUDGET
from httpcore._http2.frame_writer import ANSWER_BYTES
from httpcore._http2.inbox import Inbox
from httpcore._http2.liveness import Liveness
from httpcore._http2.streams import REMEMBERED_COUNT
from httpcore._message.fields import Headers
from httpcore._message.rules import STRICT

WITH_PRIORITY = 32


def sent(engine: EventEngine) -> list[tuple[int, int, int, bytes]]:
    """The frames that the engine wants to send: type, flags, stream, payload."""
    out = engine.take().removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    found = []
    while out:
        high, low, kind, flags, stream = struct.unpack_from(">HBBBL", out)
        size = high << 8 | low
        found.append((kind, flags, stream, out[9 : 9 + size]))
        out = out[9 + size :]
    return found


def codes(frames: list[tuple[int, int, int, bytes]], kind: int) -> dict[int, int]:
    """The codes of the RST_STREAM or GOAWAY frames among `frames`, by stream."""
    return {stream: struct.unpack(">L", payload[-4:])[0] for k, _, stream, payload in frames if k == kind}


GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/")]
POST = [(b":method", b"POST"), *GET[1:]]
HEAD = [(b":method", b"HEAD"), *GET[1:]]
CONNECT = [(b":method", b"CONNECT"), (b":authority", b"b.test:443")]

GOT, SIBLING, POSTED, HEADED, CONNECTED, FINISHED, CANCELLED = 1, 3, 5, 7, 9, 11, 13


def no_event() -> Waiting:
    raise AssertionError("no task waits here")


def bare() -> EventEngine:
    engine = EventEngine(STRICT)
    engine.start()
    engine.take()
    return engine


def opened() -> EventEngine:
    """An engine after the preface, with a stream of each kind."""
    engine = bare()
    engine.receive(settings())
    for request, end in ((GET, True), (GET, True), (POST, False), (HEAD, True), (CONNECT, False), (GET, True)):
        engine.request(request, end=end)
    engine.receive(head(FINISHED, end=True))
    engine.reset(engine.request(GET, end=True), Code.CANCEL)
    engine.take()
    return engine


@dataclass
class Events:
    """The results of a script: the events, with the pieces of a body joined, and the sent bytes."""

    log: list[object] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)
    error: Exception | None = None
    malformed: dict[int, Exception] = field(default_factory=dict)

    def add(self, events: list[Event]) -> None:
        for event in events:
            assert self.error is None, "no event follows Failed"
            if isinstance(event, BodyReceived):
                self.bodies[event.stream] = self.bodies.get(event.stream, b"") + event.data
                if not (self.log and self.log[-1] == ("body", event.stream)):
                    self.log.append(("body", event.stream))
            elif isinstance(event, Failed):
                self.error = event.error
                self.log.append(str(event.error))
            elif isinstance(event, Malformed):
                self.malformed[event.stream] = event.error
                self.log.append((event.stream, str(event.error)))
            else:
                self.log.append(event)


def feed(engine: EventEngine, script: bytes, size: int) -> Events:
    received = Events()
    for at in range(0, len(script), size):
        received.add(engine.receive(script[at : at + size]))
    return received


# The table.


@dataclass(frozen=True)
class Connection:
    """The connection ends, with this code."""

    code: Code


@dataclass(frozen=True)
class Stream:
    """This stream is reset, with this code; the other streams continue."""

    number: int
    code: Code = Code.PROTOCOL_ERROR


FINE = "fine"

PROTOCOL = Connection(Code.PROTOCOL_ERROR)
SIZE = Connection(Code.FRAME_SIZE_ERROR)
FLOW = Connection(Code.FLOW_CONTROL_ERROR)
CLOSED = Connection(Code.STREAM_CLOSED)
COMPRESSION = Connection(Code.COMPRESSION_ERROR)
CALM = Connection(Code.ENHANCE_YOUR_CALM)
BAD = Stream(GOT)

Outcome = Connection | Stream | str


@dataclass(frozen=True)
class Case:
    section: str
    about: str
    script: bytes
    outcome: Outcome
    start: Callable[[], EventEngine] = opened

    def __str__(self) -> str:
        return f"{self.section} {self.about}"


def with_field(name: bytes, value: bytes = b"x") -> bytes:
    return head(GOT, (name, value))


def body(*pairs: tuple[bytes, bytes], content: bytes = b"", stream: int = GOT, status: bytes = b"200") -> bytes:
    return head(stream, *pairs, status=status) + data(stream, content, end=True)


LENGTH_5 = (b"content-length", b"5")
INDEX_0 = b"\x80"
INDEX_BEYOND = b"\xff\x80\x01"
RESIZE_TO_5000 = b"\x3f\xe9\x26"
TRUNCATED = b"\x00\x05abc"
LONG_INTEGER = b"\xff" + b"\xff" * 20
BAD_HUFFMAN = b"\x00\x01a\x84\xff\xff\xff\xff"  # padding longer than 7 bits
HEADER_AND_UPDATE = b"\x88\x20"

# Each setting with a value that no server may send, and with a value that is allowed.
WRONG_SETTINGS = [
    ("ENABLE_PUSH 1", 2, 1, 0, PROTOCOL),
    ("ENABLE_PUSH 2", 2, 2, 0, PROTOCOL),
    ("INITIAL_WINDOW_SIZE 2**31", 4, 1 << 31, 1000, FLOW),
    ("MAX_FRAME_SIZE 16383", 5, 16383, 16384, PROTOCOL),
    ("MAX_FRAME_SIZE 2**24", 5, 1 << 24, 16384, PROTOCOL),
    ("ENABLE_CONNECT_PROTOCOL 2", 8, 2, 1, PROTOCOL),
]
RIGHT_SETTINGS = [(1, 4096), (2, 0), (3, 100), (4, 65535), (5, 16384), (6, 100), (0xFF, 7)]

CASES = [
    # 3.4: the preface.
    Case("3.4", "the first frame is not SETTINGS", frame(PING, payload=bytes(8)), PROTOCOL, bare),
    Case("3.4", "the first frame acknowledges", frame(SETTINGS, ACK), PROTOCOL, bare),
    Case("3.4", "the first frame is unknown", frame(UNKNOWN), PROTOCOL, bare),
    Case("3.4", "the peer speaks HTTP/1.1", b"HTTP/1.1 400 Bad Request\r\n\r\n", PROTOCOL, bare),
    Case("3.4", "the peer speaks something else", b"SSH-2.0-OpenSSH_9.9\r\n", PROTOCOL, bare),
    Case("3.4", "empty SETTINGS", settings(), FINE, bare),
    # 4.1: frame format.
    Case("4.1", "an unknown type", frame(UNKNOWN, 0xFF, GOT, b"anything"), FINE),
    Case("4.1", "an unknown type on an idle stream", frame(UNKNOWN, 0, 4001, b"anything"), FINE),
    Case("4.1", "unknown flags", frame(PING, 0xFE, 0, bytes(8)), FINE),
    Case("4.1", "the reserved bit of the stream id", frame(PING, 0, 1 << 31, bytes(8)), FINE),
    # 4.2: frame size.
    Case("4.2", "DATA of the largest size", head(GOT) + data(GOT, bytes(16384), end=True), FINE),
    Case("4.2", "DATA one byte too long", head(GOT) + data(GOT, bytes(16385), end=True), SIZE),
    Case("4.2", "HEADERS one byte too long", frame(HEADERS, END_HEADERS, GOT, bytes(16385)), SIZE),
    Case("4.2", "an unknown type one byte too long", frame(UNKNOWN, 0, 0, bytes(16385)), SIZE),
    Case("4.2", "a length that will never come", frame(DATA, 0, GOT, b"", length=0xFFFFFF), SIZE),
    # 4.3: header compression.
    Case("4.3", "an index of 0", frame(HEADERS, END_HEADERS, GOT, INDEX_0), COMPRESSION),
    Case("4.3", "an index beyond the table", frame(HEADERS, END_HEADERS, GOT, INDEX_BEYOND), COMPRESSION),
    Case("4.3", "an index of the empty dynamic table", frame(HEADERS, END_HEADERS, GOT, b"\x88\xbe"), COMPRESSION),
    Case("4.3", "fields of the tables alone", frame(HEADERS, END_HEADERS | END_STREAM, GOT, b"\x88\x90"), FINE),
    Case("4.3", "a last byte that begins an integer", frame(HEADERS, END_HEADERS, GOT, b"\x88\xff"), COMPRESSION),
    Case("4.3", "a table larger than allowed", frame(HEADERS, END_HEADERS, GOT, RESIZE_TO_5000), COMPRESSION),
    Case("4.3", "a field cut short", frame(HEADERS, END_HEADERS, GOT, TRUNCATED), COMPRESSION),
    Case("4.3", "an endless integer", frame(HEADERS, END_HEADERS, GOT, LONG_INTEGER), COMPRESSION),
    Case("4.3", "bad Huffman padding", frame(HEADERS, END_HEADERS, GOT, BAD_HUFFMAN), COMPRESSION),
    Case("4.3", "a table update behind a field", frame(HEADERS, END_HEADERS, GOT, HEADER_AND_UPDATE), COMPRESSION),
    Case("4.3", "two table updates", frame(HEADERS, END_HEADERS | END_STREAM, GOT, b"\x20\x3f\xe1\x1f\x88"), FINE),
    Case("4.3", "three table updates", frame(HEADERS, END_HEADERS, GOT, b"\x20" * 3 + b"\x88"), COMPRESSION),
    Case("4.3", "a bad block for a stream we reset", frame(HEADERS, END_HEADERS, CANCELLED, INDEX_0), COMPRESSION),
    Case(
        "4.3",
        "a header block in three frames",
        frame(HEADERS, END_STREAM, GOT, fields(OK)[:3])
        + frame(CONTINUATION, 0, GOT, fields(OK)[3:])
        + frame(CONTINUATION, END_HEADERS, GOT, fields((b"a", b"b"))),
        FINE,
    ),
    Case(
        "4.3",
        "a header block of empty frames and one that is not",
        frame(HEADERS, END_STREAM, GOT)
        + frame(CONTINUATION, 0, GOT)
        + frame(CONTINUATION, 0, GOT, fields(OK))
        + frame(CONTINUATION, END_HEADERS, GOT),
        FINE,
    ),
    Case("4.3", "DATA within a header block", frame(HEADERS, 0, GOT, fields(OK)) + data(GOT, b"x"), PROTOCOL),
    Case("4.3", "PING within", frame(HEADERS, 0, GOT, fields(OK)) + frame(PING, payload=bytes(8)), PROTOCOL),
    Case("4.3", "an unknown type within", frame(HEADERS, 0, GOT, fields(OK)) + frame(UNKNOWN, 0, GOT), PROTOCOL),
    Case("4.3", "HEADERS within", frame(HEADERS, 0, GOT, fields(OK)) + head(SIBLING), PROTOCOL),
    Case(
        "4.3",
        "CONTINUATION of another stream within",
        frame(HEADERS, 0, GOT, fields(OK)) + frame(CONTINUATION, END_HEADERS, SIBLING),
        PROTOCOL,
    ),
    # 5.1: stream states.
    Case("5.1", "DATA on an idle stream", data(4001, b"x"), PROTOCOL),
    Case("5.1", "HEADERS on an idle stream", head(4001), PROTOCOL),
    Case("5.1", "HEADERS on an even stream", head(2), PROTOCOL),
    Case("5.1", "DATA on an even stream", data(2, b"x"), PROTOCOL),
    Case("5.1", "RST_STREAM on an idle stream", rst(4001), PROTOCOL),
    Case("5.1", "RST_STREAM on an even stream", rst(2), PROTOCOL),
    Case("5.1", "WINDOW_UPDATE on an idle stream", window_update(4001, 1), PROTOCOL),
    Case("5.1", "WINDOW_UPDATE on an even stream", window_update(2, 1), PROTOCOL),
    Case("5.1", "CONTINUATION on an idle stream", frame(CONTINUATION, END_HEADERS, 4001, fields(OK)), PROTOCOL),
    Case("5.1", "PRIORITY on an idle stream", frame(PRIORITY, 0, 4001, bytes(5)), FINE),
    Case("5.1", "DATA behind the end, both sides done", data(FINISHED, b"x"), CLOSED),
    Case("5.1", "empty DATA behind the end, both sides done", data(FINISHED, b"", end=True), FINE),  # nginx does it
    Case("5.1", "empty DATA behind the end while we still send", head(POSTED, end=True) + data(POSTED, b""), FINE),
    Case("5.1", "padded DATA behind the end", frame(DATA, 0x8, FINISHED, bytes(3)), CLOSED),
    Case("5.1", "empty DATA on an idle stream", data(4001, b""), PROTOCOL),
    Case("5.1", "HEADERS behind the end, both sides done", head(FINISHED), CLOSED),
    Case("5.1", "WINDOW_UPDATE behind the end", window_update(FINISHED, 1), FINE),
    Case("5.1", "RST_STREAM behind the end", rst(FINISHED), FINE),
    Case("5.1", "PRIORITY behind the end", frame(PRIORITY, 0, FINISHED, bytes(5)), FINE),
    Case(
        "5.1",
        "DATA behind the end while we still send",
        head(POSTED, end=True) + data(POSTED, b"x"),
        Stream(POSTED, Code.STREAM_CLOSED),
    ),
    Case(
        "5.1",
        "HEADERS behind the end while we still send",
        head(POSTED, end=True) + head(POSTED, end=True),
        Stream(POSTED, Code.STREAM_CLOSED),
    ),
    Case("5.1", "DATA behind RST_STREAM", head(GOT) + rst(GOT) + data(GOT, b"x"), CLOSED),
    Case("5.1", "HEADERS behind RST_STREAM", rst(GOT) + head(GOT), CLOSED),
    Case("5.1", "CONTINUATION behind RST_STREAM", rst(GOT) + frame(CONTINUATION, END_HEADERS, GOT), PROTOCOL),
    Case("5.1", "RST_STREAM twice", rst(GOT) + rst(GOT), FINE),
    Case("5.1", "late HEADERS for a stream we reset", head(CANCELLED), FINE),
    Case("5.1", "late DATA for a stream we reset", head(CANCELLED) + data(CANCELLED, b"x" * 99, end=True), FINE),
    Case("5.1", "late WINDOW_UPDATE for a stream we reset", window_update(CANCELLED, 0), FINE),
    Case("5.1", "late RST_STREAM for a stream we reset", rst(CANCELLED), FINE),
    Case("5.1", "HEADERS on stream 0", head(0), PROTOCOL),
    Case("5.1", "DATA on stream 0", data(0, b"x"), PROTOCOL),
    # 6.1: DATA.
    Case("6.1", "padding", head(GOT) + data(GOT, b"x", pad=0) + data(GOT, b"y", pad=255, end=True), FINE),
    Case("6.1", "nothing but padding", head(GOT) + data(GOT, b"", pad=9, end=True), FINE),
    Case("6.1", "padding as long as the frame", head(GOT) + frame(DATA, PADDED, GOT, b"\x05" + bytes(4)), PROTOCOL),
    Case("6.1", "padding longer than the frame", head(GOT) + frame(DATA, PADDED, GOT, b"\xff" + bytes(4)), PROTOCOL),
    Case("6.1", "padding without its length", head(GOT) + frame(DATA, PADDED, GOT), SIZE),
    # 6.2: HEADERS.
    Case(
        "6.2",
        "padding and priority",
        frame(
            HEADERS,
            END_HEADERS | END_STREAM | PADDED | WITH_PRIORITY,
            GOT,
            b"\x02" + number(1 << 31 | 3) + b"\x10" + fields(OK) + bytes(2),
        ),
        FINE,
    ),
    Case(
        "6.2",
        "nothing but padding, before CONTINUATION",
        frame(HEADERS, END_STREAM | PADDED, GOT, b"\x03" + bytes(3))
        + frame(CONTINUATION, END_HEADERS, GOT, fields(OK)),
        FINE,
    ),
    Case("6.2", "padding too long", frame(HEADERS, END_HEADERS | PADDED, GOT, b"\x09" + fields(OK)[:8]), PROTOCOL),
    Case("6.2", "padding without its length", frame(HEADERS, END_HEADERS | PADDED, GOT), SIZE),
    Case("6.2", "PRIORITY within", frame(HEADERS, 0, GOT, fields(OK)) + frame(PRIORITY, 0, GOT, bytes(5)), PROTOCOL),
    Case("6.2", "priority cut short", frame(HEADERS, END_HEADERS | WITH_PRIORITY, GOT, bytes(4)), SIZE),
    # 6.3: PRIORITY.
    Case("6.3", "PRIORITY on stream 0", frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL),
    Case("6.3", "PRIORITY of 4 bytes", frame(PRIORITY, 0, GOT, bytes(4)), SIZE),
    Case("6.3", "PRIORITY", frame(PRIORITY, 0, GOT, bytes(5)), FINE),
    *[
        Case(
            "5.3.2", f"PRIORITY of {name} on itself{how}", frame(PRIORITY, 0, stream, number(stream | bit) + b"x"), FINE
        )
        for name, stream in (("a stream", GOT), ("an idle stream", 4001), ("an even stream", 2), ("one done", FINISHED))
        for how, bit in (("", 0), (" alone", 1 << 31))
    ],
    Case("5.3.2", "a head on itself", frame(HEADERS, 0x25, GOT, number(GOT) + b"\xff\x88"), FINE),
    Case("5.3.2", "a padded head on itself", frame(HEADERS, 0x2D, GOT, b"\x01" + number(GOT) + b"\0\x88\0"), FINE),
    Case("5.3.2", "trailers on themselves", head(GOT) + frame(HEADERS, 0x25, GOT, number(GOT) + b"x"), FINE),
    Case("5.3.2", "a head on another stream", frame(HEADERS, 0x25, GOT, number(SIBLING) + b"\xff\x88"), FINE),
    # 6.4: RST_STREAM.
    Case("6.4", "RST_STREAM on stream 0", rst(0), PROTOCOL),
    Case("6.4", "RST_STREAM of 3 bytes", frame(RST_STREAM, 0, GOT, bytes(3)), SIZE),
    Case("6.4", "RST_STREAM of 5 bytes", frame(RST_STREAM, 0, GOT, bytes(5)), SIZE),
    Case("6.4", "RST_STREAM with an unknown code", rst(GOT, 0xDEAD), FINE),
    # 6.5: SETTINGS.
    Case("6.5", "an acknowledgement with a payload", frame(SETTINGS, ACK, 0, bytes(6)), SIZE),
    Case("6.5", "SETTINGS on a stream", frame(SETTINGS, 0, GOT), PROTOCOL),
    Case("6.5", "SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, bytes(5)), SIZE),
    Case("6.5", "an acknowledgement of nothing", frame(SETTINGS, ACK), FINE),
    Case("6.5.2", "ENABLE_PUSH 0", settings((2, 0)), FINE),
    Case("6.5.2", "ENABLE_PUSH 1 from a server", settings((2, 1)), PROTOCOL),
    Case("6.5.2", "ENABLE_PUSH 2", settings((2, 2)), PROTOCOL),
    Case("6.5.2", "INITIAL_WINDOW_SIZE 2**31", settings((4, 1 << 31)), FLOW),
    Case("6.5.2", "MAX_FRAME_SIZE 0", settings((5, 0)), PROTOCOL),
    Case("6.5.2", "MAX_FRAME_SIZE 16383", settings((5, 16383)), PROTOCOL),
    Case("6.5.2", "MAX_FRAME_SIZE 2**24", settings((5, 1 << 24)), PROTOCOL),
    Case("6.5.2", "MAX_FRAME_SIZE 2**24 - 1", settings((5, (1 << 24) - 1)), FINE),
    Case("6.5.2", "an unknown setting", settings((0xFF, 0xFFFFFFFF)), FINE),
    Case("6.5.3", "one setting three times", settings((3, 1), (3, 2), (3, 7)), FINE),
    Case("6.5.3", "each setting twice", settings(*RIGHT_SETTINGS, (8, 1), *RIGHT_SETTINGS[::-1], (8, 1)), FINE),
    *[
        case
        for name, setting, wrong, right, outcome in WRONG_SETTINGS
        for case in (
            Case("6.5.3", f"{name}, then {right}", settings((setting, wrong), (setting, right)), outcome),
            Case("6.5.3", f"{right}, then {name}", settings((setting, right), (setting, wrong)), outcome),
            Case("6.5.3", f"{name} twice", settings((setting, wrong), (setting, wrong)), outcome),
            Case(
                "6.5.3",
                f"{name} among others, then {right}",
                settings((1, 0), (setting, wrong), *RIGHT_SETTINGS, (setting, right), (0xFF, 7)),
                outcome,
            ),
        )
    ],
    Case("6.5.3", "a setting of no kind, twice", settings((0xFF, 1), (0xFF, 2)), FINE),
    Case("6.5.3", "ENABLE_CONNECT_PROTOCOL taken back and set again", settings((8, 1), (8, 0), (8, 1)), PROTOCOL),
    Case(
        "6.5.3", "two wrong values of one setting, then a right one", settings((5, 0), (5, 1), (5, 1 << 14)), PROTOCOL
    ),
    Case("6.5.3", "a wrong setting behind two of another", settings((4, 1), (4, 2), (5, 0)), PROTOCOL),
    Case("8441", "ENABLE_CONNECT_PROTOCOL 1", settings((8, 1)) + settings((8, 1)), FINE),
    Case("8441", "ENABLE_CONNECT_PROTOCOL 2", settings((8, 2)), PROTOCOL),
    Case("8441", "ENABLE_CONNECT_PROTOCOL taken back", settings((8, 1)) + settings((8, 0)), PROTOCOL),
    # 6.6: PUSH_PROMISE.
    Case("6.6", "PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, GOT, number(2) + fields(*GET)), PROTOCOL),
    # 6.7: PING.
    Case("6.7", "PING", frame(PING, 0, 0, b"12345678"), FINE),
    Case("6.7", "PONG to no PING", frame(PING, ACK, 0, b"12345678"), FINE),
    Case("6.7", "PING on a stream", frame(PING, 0, GOT, bytes(8)), PROTOCOL),
    Case("6.7", "PING of 7 bytes", frame(PING, 0, 0, bytes(7)), SIZE),
    Case("6.7", "PING of 9 bytes", frame(PING, 0, 0, bytes(9)), SIZE),
    # 6.8: GOAWAY.
    Case("6.8", "GOAWAY above all streams", goaway(TOP), FINE),
    Case("6.8", "GOAWAY with debug data and an unknown code", goaway(TOP, 0xDEAD, b"bye"), FINE),
    Case("6.8", "GOAWAY on a stream", frame(GOAWAY, 0, GOT, bytes(8)), PROTOCOL),
    Case("6.8", "GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, bytes(7)), SIZE),
    # 6.9: WINDOW_UPDATE.
    Case("6.9", "WINDOW_UPDATE by 0 for the connection", window_update(0, 0), PROTOCOL),
    Case("6.9", "WINDOW_UPDATE by 0 for a stream", window_update(GOT, 0), BAD),
    Case("6.9", "WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, GOT, bytes(3)), SIZE),
    Case("6.9", "WINDOW_UPDATE of 5 bytes", frame(WINDOW_UPDATE, 0, 0, bytes(5)), SIZE),
    Case("6.9", "the reserved bit", window_update(0, 1 << 31 | 1), FINE),
    Case("6.9", "the reserved bit, of a stream", window_update(GOT, 1 << 31 | 1), FINE),
    Case("6.9", "the reserved bit, late", window_update(CANCELLED, 1 << 31), FINE),
    Case("6.9", "the reserved bit and by 0", window_update(0, 1 << 31), PROTOCOL),
    Case("6.9.1", "the connection's window at its largest", window_update(0, TOP - 65535), FINE),
    Case("6.9.1", "the connection's window too large", window_update(0, TOP - 65534), FLOW),
    Case("6.9.1", "a stream's window at its largest", window_update(GOT, TOP - 65535), FINE),
    Case("6.9.1", "a stream's window too large", window_update(GOT, TOP - 65534), Stream(GOT, Code.FLOW_CONTROL_ERROR)),
    Case("6.9.2", "SETTINGS make a window too large", window_update(GOT, 1) + settings((4, TOP)), FLOW),
    Case("6.9.2", "SETTINGS make no window too large", settings((4, TOP)), FINE),
    Case("6.9.2", "SETTINGS make a window too large for now", window_update(GOT, 1) + settings((4, TOP), (4, 9)), FLOW),
    Case("6.9.2", "SETTINGS shrink a window for now", settings((4, 0), (4, 65535)) + settings((4, TOP)), FINE),
    Case(
        "6.9.1",
        "more DATA than a stream's window",
        head(GOT) + data(GOT, bytes(16384)) * 64 + data(GOT, b"x"),
        Stream(GOT, Code.FLOW_CONTROL_ERROR),
    ),
    Case("6.9.1", "as much DATA as a stream's window", head(GOT) + data(GOT, bytes(16384)) * 64, FINE),
    # 6.10: CONTINUATION.
    Case("6.10", "CONTINUATION behind nothing", frame(CONTINUATION, END_HEADERS, GOT, fields(OK)), PROTOCOL),
    Case("6.10", "CONTINUATION behind END_HEADERS", head(GOT) + frame(CONTINUATION, END_HEADERS, GOT), PROTOCOL),
    Case(
        "6.10",
        "CONTINUATION behind DATA",
        head(GOT) + data(GOT, b"x") + frame(CONTINUATION, END_HEADERS, GOT, fields((b"a", b"b"))),
        PROTOCOL,
    ),
    Case("6.10", "CONTINUATION on stream 0", frame(CONTINUATION, END_HEADERS, 0, fields(OK)), PROTOCOL),
    Case(
        "6.10",
        "CONTINUATION on stream 0 within a header block",
        frame(HEADERS, 0, GOT, fields(OK)) + frame(CONTINUATION, END_HEADERS, 0, fields((b"a", b"b"))),
        PROTOCOL,
    ),
    Case(
        "6.10",
        "CONTINUATION behind END_STREAM and END_HEADERS",
        head(GOT, end=True) + frame(CONTINUATION, END_HEADERS, GOT, fields((b"a", b"b"))),
        PROTOCOL,
    ),
    Case(
        "6.10",
        "CONTINUATION behind the last CONTINUATION",
        frame(HEADERS, END_STREAM, GOT, fields(OK)) + frame(CONTINUATION, END_HEADERS, GOT, fields((b"a", b"b"))) * 2,
        PROTOCOL,
    ),
    Case(
        "6.10",
        "DATA behind a CONTINUATION that is not the last",
        frame(HEADERS, 0, GOT, fields(OK)) + frame(CONTINUATION, 0, GOT, fields((b"a", b"b"))) + data(GOT, b"x"),
        PROTOCOL,
    ),
    # 8.1: messages.
    Case("8.1", "head and body", body(content=b"Hello"), FINE),
    Case("8.1", "a head that ends the stream", head(GOT, end=True), FINE),
    Case("8.1", "trailers", head(GOT) + data(GOT, b"x") + head(GOT, (b"a", b"b"), status=None, end=True), FINE),
    Case("8.1", "trailers without a body", head(GOT) + head(GOT, (b"a", b"b"), status=None, end=True), FINE),
    Case("8.1", "an empty trailer section", head(GOT) + head(GOT, status=None, end=True), FINE),
    Case("8.1", "trailers that do not end the stream", head(GOT) + head(GOT, (b"a", b"b"), status=None), BAD),
    Case("8.1", "a second head", head(GOT) + head(GOT), BAD),
    Case("8.1", "a second head that ends the stream", head(GOT) + head(GOT, end=True), BAD),
    Case("8.1", "DATA before the head", data(GOT, b"x"), BAD),
    Case("8.1", "empty DATA before the head", data(GOT, b"", end=True), BAD),
    Case("8.1", "an interim head", head(GOT, status=b"103") + body(content=b"x"), FINE),
    Case("8.1", "an interim head that ends the stream", head(GOT, status=b"100", end=True), BAD),
    Case("8.1", "an interim head behind the final one", head(GOT) + head(GOT, status=b"103"), BAD),
    Case("8.1", "DATA behind an interim head", head(GOT, status=b"103") + data(GOT, b"x"), BAD),
    Case("8.1", "RST_STREAM(NO_ERROR) behind the end", head(POSTED, end=True) + rst(POSTED, 0), FINE),
    Case("8.1.1", "Content-Length is right", body(LENGTH_5, content=b"12345"), FINE),
    Case(
        "8.1.1",
        "Content-Length is right in pieces",
        head(GOT, LENGTH_5) + data(GOT, b"1") * 5 + data(GOT, b"", end=True),
        FINE,
    ),
    Case("8.1.1", "Content-Length is too large", body(LENGTH_5, content=b"1234"), BAD),
    Case("8.1.1", "Content-Length is too small", body(LENGTH_5, content=b"123456"), BAD),
    Case(
        "8.1.1",
        "Content-Length is too large, with trailers",
        head(GOT, LENGTH_5) + data(GOT, b"1") + head(GOT, status=None, end=True),
        BAD,
    ),
    Case("8.1.1", "Content-Length and no body", head(GOT, LENGTH_5, end=True), BAD),
    Case("8.1.1", "Content-Length 0 and no body", head(GOT, (b"content-length", b"0"), end=True), FINE),
    Case("8.1.1", "Content-Length twice", body(LENGTH_5, LENGTH_5, content=b"12345"), BAD),
    Case("8.1.1", "Content-Length is a list", body((b"content-length", b"5, 5"), content=b"12345"), BAD),
    Case("8.1.1", "Content-Length has a sign", body((b"content-length", b"+5"), content=b"12345"), BAD),
    Case("8.1.1", "Content-Length is empty", body((b"content-length", b""), content=b"12345"), BAD),
    Case("8.1.1", "Content-Length of 20 digits", body((b"content-length", b"0" * 19 + b"5"), content=b"12345"), BAD),
    Case("8.1.1", "Content-Length in the answer to HEAD", head(HEADED, LENGTH_5, end=True), FINE),
    Case("8.1.1", "Content-Length in 304", head(GOT, LENGTH_5, end=True, status=b"304"), FINE),
    Case("8.1.1", "Content-Length in 204", head(GOT, LENGTH_5, end=True, status=b"204"), FINE),
    Case("8.1.1", "empty DATA in the answer to HEAD", body(LENGTH_5, stream=HEADED), FINE),
    Case("8.1.1", "a body in the answer to HEAD", body(LENGTH_5, content=b"12345", stream=HEADED), Stream(HEADED)),
    Case("8.1.1", "a body in 204", body(content=b"x", status=b"204"), BAD),
    Case("8.1.1", "a body in 304", body(content=b"x", status=b"304"), BAD),
    Case(
        "8.1.1",
        "a bad Content-Length in the answer to HEAD",
        head(HEADED, (b"content-length", b"x"), end=True),
        Stream(HEADED),
    ),
    Case("8.1.1", "Content-Length in trailers", head(GOT) + head(GOT, LENGTH_5, status=None, end=True), BAD),
    # 8.2: fields.
    Case("8.2.1", "an upper-case name", with_field(b"Name"), BAD),
    Case("8.2.1", "an empty name", with_field(b""), BAD),
    Case("8.2.1", "a space in a name", with_field(b"na me"), BAD),
    Case("8.2.1", "a colon in a name", with_field(b"na:me"), BAD),
    Case("8.2.1", "a quote in a name", with_field(b'na"me'), BAD),
    Case("8.2.1", "NUL in a name", with_field(b"na\0me"), BAD),
    Case("8.2.1", "a byte above 127 in a name", with_field(b"na\xe4me"), BAD),
    Case("8.2.1", "NUL in a value", with_field(b"a", b"x\0y"), BAD),
    Case("8.2.1", "LF in a value", with_field(b"a", b"x\ny"), BAD),
    Case("8.2.1", "CR in a value", with_field(b"a", b"x\ry"), BAD),
    Case("8.2.1", "another control character in a value", with_field(b"a", b"x\x1by"), BAD),
    Case("8.2.1", "DEL in a value", with_field(b"a", b"x\x7fy"), BAD),
    Case("8.2.1", "a space before a value", with_field(b"a", b" x"), BAD),
    Case("8.2.1", "a tab behind a value", with_field(b"a", b"x\t"), BAD),
    Case("8.2.1", "a value that is a space", with_field(b"a", b" "), BAD),
    Case("8.2.1", "LF as the whole of the last value", with_field(b"a", b"\n"), BAD),
    Case("8.2.1", "an empty value", head(GOT, (b"a", b""), end=True), FINE),
    Case("8.2.1", "spaces and tabs inside a value", head(GOT, (b"a", b"x \t y"), end=True), FINE),
    Case("8.2.1", "bytes above 127 in a value", head(GOT, (b"a", b"\x80\xff"), end=True), FINE),
    Case("8.2.1", "an upper-case name in trailers", head(GOT) + head(GOT, (b"A", b"b"), status=None, end=True), BAD),
    Case("8.2.1", "LF in a trailer", head(GOT) + head(GOT, (b"a", b"\nb"), status=None, end=True), BAD),
    Case("8.2.2", "connection", with_field(b"connection", b"close"), BAD),
    Case("8.2.2", "keep-alive", with_field(b"keep-alive", b"timeout=5"), BAD),
    Case("8.2.2", "proxy-connection", with_field(b"proxy-connection", b"close"), BAD),
    Case("8.2.2", "transfer-encoding", with_field(b"transfer-encoding", b"chunked"), BAD),
    Case("8.2.2", "upgrade", with_field(b"upgrade", b"h2c"), BAD),
    Case("8.2.2", "te", with_field(b"te", b"gzip"), BAD),
    *[
        Case("8.2.2", f"{name.decode()}: {value.decode()} {where}", before + head(GOT, (name, value), **more), BAD)
        for name, value in ((b"te", b"trailers"), (b"te", b""), (b"http2-settings", b"AAMAAABk"))
        for where, before, more in (
            ("in a head", b"", {}),
            ("in an interim head", b"", {"status": b"103"}),
            ("in trailers", head(GOT), {"status": None, "end": True}),
        )
    ],
    Case("8.2.2", "connection in trailers", head(GOT) + head(GOT, (b"connection", b"x"), status=None, end=True), BAD),
    Case(
        "8.2.2",
        "transfer-encoding in an interim head",
        head(GOT, (b"transfer-encoding", b"chunked"), status=b"103"),
        BAD,
    ),
    # 8.3: pseudo-header fields.
    Case("8.3.2", "no :status", head(GOT, (b"a", b"b"), status=None), BAD),
    Case("8.3.2", "nothing at all", head(GOT, status=None), BAD),
    Case("8.3.2", "nothing at all, ending the stream", head(GOT, status=None, end=True), BAD),
    Case("8.3.2", ":status twice", head(GOT, OK), BAD),
    Case("8.3.2", ":status behind a field", head(GOT, (b"a", b"b"), OK, status=None), BAD),
    Case("8.3.2", ":status of two digits", head(GOT, status=b"20"), BAD),
    Case("8.3.2", ":status of four digits", head(GOT, status=b"0200"), BAD),
    Case("8.3.2", ":status 099", head(GOT, status=b"099"), BAD),
    Case("8.3.2", ":status with a sign", head(GOT, status=b"+20"), BAD),
    Case("8.3.2", ":status with a reason", head(GOT, status=b"200 OK"), BAD),
    Case("8.3.2", ":status with a newline", head(GOT, status=b"200\n"), BAD),
    Case("8.3.2", ":status 599", head(GOT, status=b"599", end=True), FINE),
    Case("8.6", ":status 101", head(GOT, status=b"101"), BAD),
    Case("8.3", "an unknown pseudo-header field", with_field(b":test"), BAD),
    Case("8.3", "a pseudo-header field of requests", with_field(b":path", b"/"), BAD),
    Case("8.3", ":status in trailers", head(GOT) + head(GOT, OK, status=None, end=True), BAD),
    # 8.5: CONNECT.
    Case("8.5", "a tunnel", head(CONNECTED) + data(CONNECTED, b"x") + data(CONNECTED, b"", end=True), FINE),
    Case(
        "8.5",
        "Content-Length of a tunnel means nothing",
        head(CONNECTED, LENGTH_5) + data(CONNECTED, b"x", end=True),
        FINE,
    ),
    Case("8.5", "HEADERS within a tunnel", head(CONNECTED) + head(CONNECTED, status=None, end=True), Stream(CONNECTED)),
    Case("8.5", "a refusal is a response", body(LENGTH_5, content=b"12345", stream=CONNECTED, status=b"407"), FINE),
    Case(
        "8.5",
        "a refusal with a wrong length",
        body(LENGTH_5, content=b"1", stream=CONNECTED, status=b"407"),
        Stream(CONNECTED),
    ),
    Case(
        "8.5",
        "a redirect is a response",
        body(LENGTH_5, content=b"1", stream=CONNECTED, status=b"302"),
        Stream(CONNECTED),
    ),
    # 10.5: limits.
    Case(
        "10.5",
        "64 CONTINUATION frames",
        frame(HEADERS, END_STREAM, GOT, fields(OK))
        + frame(CONTINUATION, 0, GOT) * 63
        + frame(CONTINUATION, END_HEADERS, GOT),
        FINE,
    ),
    Case("10.5", "65 CONTINUATION frames", frame(HEADERS, 0, GOT, fields(OK)) + frame(CONTINUATION, 0, GOT) * 65, CALM),
    Case(
        "10.5",
        "a header block of 256 KiB without end",
        frame(HEADERS, 0, GOT, fields(OK)) + frame(CONTINUATION, 0, GOT, bytes(16384)) * 16,
        CALM,
    ),
    Case(
        "10.5",
        "a head of 256 KiB out of 4 KB",
        frame(HEADERS, END_HEADERS, GOT, b"\x88\x40\x01a\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 70),
        CALM,
    ),
    Case(
        "10.5",
        "a head of 256 KiB out of 66 bytes",
        frame(HEADERS, END_HEADERS, GOT, b"\x88\x40\x01a\x7f\xa1\x1e" + b"y" * 4000)
        + frame(HEADERS, END_HEADERS, SIBLING, b"\x88" + b"\xbe" * 65),
        CALM,
    ),
    Case("10.5", "1,000 fields", head(GOT, *[(b"a", b"b")] * 1000, end=True), FINE),
    Case("10.5", "1,001 fields", head(GOT, *[(b"a", b"b")] * 1001, end=True), Stream(GOT, Code.ENHANCE_YOUR_CALM)),
    Case(
        "10.5",
        "1,001 trailers",
        head(GOT) + head(GOT, *[(b"a", b"b")] * 1001, status=None, end=True),
        Stream(GOT, Code.ENHANCE_YOUR_CALM),
    ),
    Case("10.5", "60 interim heads", head(GOT, status=b"104") * 60 + head(GOT, end=True), FINE),
    Case(
        "10.5",
        "interim heads of 64 KiB in all",
        head(GOT, *[(b"link", b"x" * 120)] * 25, status=b"103") * 22,
        Stream(GOT, Code.ENHANCE_YOUR_CALM),
    ),
]


def test_each_case_has_a_name_of_its_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_row_of_the_table_has_its_outcome(case: Case) -> None:
    engine = case.start()
    received = feed(engine, case.script, len(case.script))
    frames = sent(engine)
    if isinstance(case.outcome, Connection):
        assert codes(frames, GOAWAY) == {0: case.outcome.code}
        assert frames[-1][0] == GOAWAY, "GOAWAY is the last frame"
        assert isinstance(received.error, LimitExceeded if case.outcome == CALM else RemoteProtocolError)
        assert case.outcome.code.name in str(received.error)
        assert engine.closed
        assert engine.open_streams == 0
        return
    assert received.error is None
    assert not engine.closed
    assert codes(frames, GOAWAY) == {}
    resets = {}
    if isinstance(case.outcome, Stream):
        resets = {case.outcome.number: case.outcome.code}
        too_much = case.outcome.code == Code.ENHANCE_YOUR_CALM
        assert isinstance(received.malformed[case.outcome.number], LimitExceeded if too_much else RemoteProtocolError)
        assert engine.window(case.outcome.number) == 0
    assert codes(frames, RST_STREAM) == resets
    assert received.malformed.keys() == resets.keys()
    if case.start is opened:
        after = feed(engine, head(SIBLING) + data(SIBLING, b"unharmed", end=True), 64)
        assert after.bodies == {SIBLING: b"unharmed"}
        assert after.log[-1] == EndReceived(SIBLING, [])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_how_bytes_are_cut_changes_nothing(case: Case) -> None:
    results = []
    for size in (len(case.script), 1 if len(case.script) < 100_000 else 1001, 7):
        engine = case.start()
        received = feed(engine, case.script, size)
        results.append((received.log, received.bodies, engine.take(), engine.open_streams, engine.closed))
    assert results[0] == results[1] == results[2]


def verdict(case: Case) -> str:
    """The result of h2's client for the same script: "refused", "reset" or "fine"."""
    reference = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    kinds = h2.settings.SettingCodes
    ours = {kinds.INITIAL_WINDOW_SIZE: MIB, kinds.MAX_HEADER_LIST_SIZE: 65536}
    reference.local_settings = h2.settings.Settings(client=True, initial_values=ours)
    reference.update_settings({h2.settings.SettingCodes.ENABLE_PUSH: 0})
    reference.initiate_connection()
    reference.increment_flow_control_window((1 << 24) - 65535)
    try:
        if case.start is opened:
            reference.receive_data(settings() + frame(SETTINGS, ACK))
            for request, end in ((GET, True), (GET, True), (POST, False), (HEAD, True), (CONNECT, False), (GET, True)):
                reference.send_headers(reference.get_next_available_stream_id(), request, end_stream=end)
            reference.receive_data(head(FINISHED, end=True))
            reference.send_headers(CANCELLED, GET, end_stream=True)
            reference.reset_stream(CANCELLED, Code.CANCEL)
        reference.clear_outbound_data_buffer()
        events = reference.receive_data(case.script)
    except h2.exceptions.ProtocolError:
        return "refused"
    if any(isinstance(event, h2.events.StreamReset) and not event.remote_reset for event in events):
        return "reset"
    return "fine"


# Frames that h2 refuses and the table accepts, and why accepting is right.
STRICTER_IN_H2 = {
    "5.1 empty DATA behind the end while we still send": "it is harmless while we still send",
    "5.1 late WINDOW_UPDATE for a stream we reset": "it concerns a closed stream, also with an increment of 0",
    "6.2 nothing but padding, before CONTINUATION": "a fragment may be empty",
    **{
        str(case): "priority signals are deprecated"
        for case in CASES
        if case.section == "5.3.2" and case.about != "a head on another stream"
    },
    "6.9 the reserved bit": "MUST be ignored",
    "6.9 the reserved bit, of a stream": "MUST be ignored",
    "6.9 the reserved bit, late": "MUST be ignored",
    "8.5 Content-Length of a tunnel means nothing": "a client MUST ignore it (RFC 9110, 9.3.6)",
    "10.5 64 CONTINUATION frames": "h2 counts the HEADERS frame as one of them",
}


@pytest.mark.parametrize("case", [case for case in CASES if case.outcome == FINE], ids=str)
def test_frames_that_we_accept_h2_accepts(case: Case) -> None:
    assert (verdict(case) == FINE) != (str(case) in STRICTER_IN_H2)


def test_errors_name_the_received_values() -> None:
    seen = {
        "3.4 the peer speaks HTTP/1.1": "does not speak HTTP/2 but HTTP/1.1",
        "3.4 the peer speaks something else": "SSH-2.0-O",
        "4.2 DATA one byte too long": "16,385",
        "5.1 DATA on an idle stream": "DATA on stream 4001",
        "6.7 PING of 7 bytes": "PING frame of 7 bytes: expected 8",
        "6.5.2 MAX_FRAME_SIZE 0": "SETTINGS_MAX_FRAME_SIZE 0",
        "8.1.1 Content-Length is too large": "4 bytes were received, 5 were declared",
        "8.2.1 an upper-case name": "'Name'",
        "8.2.1 LF in a value": r"'x\ny'",
        "8.3.2 :status 099": "'099'",
    }
    cases = {str(case): case for case in CASES}
    for name, text in seen.items():
        case = cases[name]
        received = feed(case.start(), case.script, len(case.script))
        error = received.error or received.malformed[GOT]
        assert text in str(error)


# Floods.


def live(engine: EventEngine) -> None:
    """The state in which two responses are open."""
    engine.receive(head(GOT) + head(SIBLING))


def open_streams(count: int) -> Callable[[EventEngine], None]:
    def start(engine: EventEngine) -> None:
        for _ in range(count):
            engine.request(POST, end=False)
        engine.take()

    return start


def forget(engine: EventEngine) -> None:
    """The state in which so many streams were reset that the first are not remembered."""
    for _ in range(REMEMBERED_COUNT + 100):
        engine.reset(engine.request(GET, end=True), Code.CANCEL)
        engine.take()


DEEP = b"\x40\x01a\x01b" * 100 + b"\xff\x20" * 1500
PIECE = 32768  # the bytes received at once: with more PING frames, too many answers would wait

# Frames that a peer repeats without end, and the state of the engine before. None of these frames delivers content.
FLOODS: dict[str, tuple[Callable[[EventEngine], None], bytes]] = {
    "PING": (live, frame(PING, payload=bytes(8))),
    "PONG": (live, frame(PING, ACK, payload=bytes(8))),
    "SETTINGS": (live, settings()),
    "SETTINGS with thousands of settings": (live, settings(*[(4, 65535)] * 2700)),
    "SETTINGS that resize our table": (live, settings(*[(1, 0), (1, 4096)] * 1350)),
    "SETTINGS that move the windows of many streams": (open_streams(2000), settings(*[(4, 0), (4, 1)] * 1350)),
    "SETTINGS that open windows byte by byte": (open_streams(500), settings((4, 0)) + settings((4, 1))),
    "acknowledgements": (live, frame(SETTINGS, ACK)),
    "PRIORITY": (live, frame(PRIORITY, 0, GOT, bytes(5))),
    "WINDOW_UPDATE for the connection": (live, window_update(0, 1)),
    "WINDOW_UPDATE for a stream": (live, window_update(POSTED, 1)),
    "WINDOW_UPDATE for a stream that is done": (live, window_update(FINISHED, 1)),
    "unknown frames": (live, frame(UNKNOWN)),
    "unknown frames of 16 KiB": (live, frame(UNKNOWN, 0, 0, bytes(16384))),
    "empty DATA": (live, data(GOT, b"")),
    "DATA of padding": (live, data(GOT, b"", pad=10)),
    "a byte in the most padding": (live, data(GOT, b"x", pad=255)),
    "a byte, unread": (live, data(GOT, b"x")),
    "a byte, then two, unread": (live, data(GOT, b"x") + data(GOT, b"xx")),
    "a byte for each of two, unread": (live, data(GOT, b"x") + data(SIBLING, b"x")),
    "a byte for a stream that we reset": (live, data(CANCELLED, b"x")),
    "16 KiB for a stream reset long ago": (forget, data(15, bytes(16384))),
    "a byte for a stream reset long ago": (forget, data(15, b"x")),
    "empty DATA for a stream that we reset": (live, data(CANCELLED, b"")),
    "RST_STREAM for a stream that is done": (live, rst(FINISHED)),
    "GOAWAY": (live, goaway(TOP)),
    "GOAWAY of 16 KiB": (live, goaway(TOP, 0, bytes(16376))),
    "the smallest heads": (live, frame(HEADERS, END_HEADERS, CANCELLED, b"\x88")),
    "heads that resize the table twice": (live, frame(HEADERS, END_HEADERS, CANCELLED, b"\x20\x3f\xe1\x1f")),
    "heads in 64 empty frames": (
        live,
        frame(HEADERS, 0, CANCELLED, b"\x88")
        + frame(CONTINUATION, 0, CANCELLED) * 63
        + frame(CONTINUATION, END_HEADERS, CANCELLED),
    ),
    "heads of new fields": (live, big_head(new_literals(1500), CANCELLED)),
    "heads that fill the table": (live, big_head(new_literals(1500, b"\x40"), CANCELLED)),
    "heads of fields from the table": (live, big_head(DEEP, CANCELLED)),
    "heads of empty fields": (live, big_head(b"\x10\x00\x00" * 2000, CANCELLED)),
    "heads with needless octets": (live, big_head(b"\x0f\x80\x80\x80\x80\x00\x00" * 1300, CANCELLED)),
    "heads in Huffman code": (live, big_head(huffman_literal(24_000), CANCELLED)),
}


def last_of(engine: EventEngine, again: bytes, took: FloodCost | None = None, now: float = 1000.0) -> Exception | None:
    """Feed `again` without end, in pieces as they are received from a socket. Returns the error that ended the
    connection, or None if nothing ended it within 64 MiB.
    """
    piece = again * -(-PIECE // len(again))
    for _ in range((1 << 26) // len(piece)):
        for at in range(0, len(piece), PIECE):
            for event in engine.receive(piece[at : at + PIECE], now):
                if isinstance(event, Failed):
                    return event.error
            if not engine.closed:
                engine.take()
            if took is not None:
                took.look()
    return None


@pytest.mark.cpu_time
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_within_a_second_of_cpu_and_4_mib(name: str) -> None:
    start, again = FLOODS[name]
    engine = opened()
    start(engine)
    engine.take()
    took = FloodCost()
    error = last_of(engine, again, took)
    assert isinstance(error, LimitExceeded)
    assert error.limit == BUDGET
    assert codes(sent(engine), GOAWAY) == {0: Code.ENHANCE_YOUR_CALM}
    took.check()


def test_interim_heads_for_many_streams_are_kept_in_4_mib() -> None:
    engine = opened()
    open_streams(200)(engine)
    script = b"".join(
        [big_head(fields((b":status", b"103")) + new_literals(255, b"\x10"), 15 + 2 * i) * 32 for i in range(200)]
    )
    kept = []
    tracemalloc.start()
    for at in range(0, len(script), PIECE):
        kept += engine.receive(script[at : at + PIECE])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert isinstance(kept[-1], Failed)
    assert held < 4 * MIB


def test_a_slow_flood_is_no_more_than_keep_alives() -> None:
    """Each second adds 16 units: four PING frames per second are allowed without end, but not one more."""
    engine = opened()
    ping = frame(PING, payload=bytes(8))
    for second in range(20_000):
        engine.receive(ping * 4, now=1000.0 + second)
        engine.take()
    assert not engine.closed
    for second in range(20_000, 60_000):
        engine.receive(ping * 5, now=1000.0 + second)
        engine.take()
    assert engine.closed


@pytest.mark.parametrize("pause", [10.0, 3600.0, 1e6])
def test_a_pause_buys_no_longer_flood(pause: float) -> None:
    pings = frame(PING, payload=bytes(8)) * 100
    engine = opened()
    for _ in range(300):
        engine.receive(pings, now=1000.0)
        engine.take()
    more = 0
    while not engine.closed:
        engine.receive(pings, now=1000.0 + pause)
        engine.take()
        more += 100
    assert more <= min(BUDGET // 4 - 30_000 + 4 * pause, BUDGET // 4) + 100


def test_useful_frames_pay_for_others() -> None:
    """A stream of small messages, each with a PING, since gRPC measures the path with PING frames."""
    engine = opened()
    engine.receive(head(GOT))
    for _ in range(30_000):
        engine.receive(frame(PING, payload=bytes(8)) + data(GOT, b"x"))
        engine.consumed(GOT, 1)
        engine.take()
    assert not engine.closed


def test_each_request_pays_for_frames_about_it() -> None:
    """SETTINGS, PING and WINDOW_UPDATE may come with every response, also with one that has no content."""
    engine = bare()
    engine.receive(settings())
    more = frame(PING, payload=bytes(8)) + settings((3, 100)) + window_update(0, 100)
    for at in range(15_000):
        stream = engine.request(HEAD if at % 2 else GET, end=True)
        engine.receive(more + head(stream, status=b"103") + head(stream, status=b"204", end=True))
        engine.take()
    assert not engine.closed


def test_streams_that_the_peer_resets_are_no_flood() -> None:
    engine = bare()
    engine.receive(settings())
    for _ in range(70_000):
        engine.receive(rst(engine.request(GET, end=True), Code.REFUSED_STREAM))
        engine.take()
    assert not engine.closed


def test_tiny_data_ends_at_the_same_byte_however_it_is_cut() -> None:
    script = head(GOT) + data(GOT, b"x") * 70_000
    results = []
    for size in (len(script), 1001, 65536):
        received = feed(opened(), script, size)
        results.append((received.bodies, str(received.error)))
    assert results[0] == results[1] == results[2]
    assert len(results[0][0][GOT]) == BUDGET // 2


def test_a_window_of_small_messages_may_wait_for_a_slow_reader() -> None:
    """gRPC puts each message into a frame of its own, with five bytes in front."""
    engine = opened()
    open_streams(8)(engine)
    for stream in range(15, 31, 2):
        engine.receive(head(stream))
        for _ in range(16):
            engine.receive(data(stream, bytes(16)) * 4096)
    assert not engine.closed


def test_frames_in_flight_of_cancelled_downloads_are_no_flood() -> None:
    """The peer sends as many bytes as the windows allow, in frames of 1 KiB."""
    engine = bare()
    engine.receive(settings())
    for _ in range(200):
        stream = engine.request(GET, end=True)
        engine.receive(head(stream) + data(stream, bytes(1024)) * 10)
        engine.reset(stream, Code.CANCEL)
        engine.consumed(stream, 10_240)
        engine.receive(data(stream, bytes(1024)) * (h2_engine.STREAM_WINDOW // 1024 - 10))
        engine.receive(head(stream, status=None, end=True))
        engine.take()
    assert not engine.closed


@pytest.mark.parametrize("unanswered", [frame(PING, payload=bytes(8)), settings()], ids=["PING", "SETTINGS"])
def test_a_peer_that_reads_no_answers_is_left(unanswered: bytes) -> None:
    engine = opened()
    engine.receive(head(GOT))
    error = None
    for _ in range(100):
        for event in engine.receive(unanswered * 500 + data(GOT, b"x")):
            if isinstance(event, Failed):
                error = event.error
        assert engine.pending < ANSWER_BYTES + 100
    assert isinstance(error, LimitExceeded)
    assert "does not read our replies" in str(error)


def test_resets_that_the_peer_provokes_are_answers_too() -> None:
    engine = bare()
    engine.receive(settings())
    engine.take()
    ends = 0
    while not engine.closed and ends < 10_000:
        stream = engine.request(GET, end=True)
        engine.receive(data(stream, b"x"))
        ends += 1
        assert engine.open_streams == 0
    assert engine.closed
    assert ends == ANSWER_BYTES // 13 + 1


def test_a_body_of_single_bytes_is_joined_and_is_no_flood() -> None:
    engine = opened()
    engine.receive(head(GOT))
    for _ in range(20):
        (event,) = engine.receive(data(GOT, b"x") * 5000)
        assert isinstance(event, BodyReceived)
        assert len(event.data) == 5000
        engine.consumed(GOT, 5000)
    assert not engine.closed


@pytest.mark.cpu_time
def test_small_pieces_of_a_body_are_joined_in_linear_time() -> None:
    """The pieces are joined in one event, whatever their sizes; copying all earlier pieces each time once took
    seconds.
    """
    engine = opened()
    engine.receive(head(GOT))
    pair = data(GOT, b"x" * 16) + data(GOT, b"y" * 17)
    script = pair * 31_000
    began = time.thread_time()
    (event,) = engine.receive(script)
    assert time.thread_time() - began < 1
    assert isinstance(event, BodyReceived)
    assert event.data == (b"x" * 16 + b"y" * 17) * 31_000


@pytest.mark.cpu_time
def test_a_body_is_taken_byte_by_byte_in_linear_time() -> None:
    inbox = Inbox(Election(no_event), Liveness(0.0, None))
    inbox.add(bytes(MIB))
    inbox.add(b"abc")
    began = time.thread_time()
    for _ in range(100_000):
        assert inbox.take(1) == b"\0"
    assert time.thread_time() - began < 1
    inbox.add(b"def")
    assert inbox.held == MIB - 100_000 + 6
    assert inbox.take(MIB) == bytes(MIB - 100_000) + b"abcdef"
    assert not inbox.parts


@pytest.mark.parametrize("joined", [bytes, bytearray])
def test_the_rest_of_a_part_may_be_joined(joined: type[bytes]) -> None:
    inbox = Inbox(Election(no_event), Liveness(0.0, None))
    inbox.add(joined(b"abcdef"))
    assert inbox.take(2) == b"ab"
    inbox.add(b"gh")
    assert (inbox.take(1), inbox.take_all()) == (b"c", b"defgh")


def test_an_upload_in_crumbs_may_be_answered_with_many_credits() -> None:
    engine = opened()
    for _ in range(6000):
        engine.data(POSTED, b"0123456789", end=False)
    engine.data(POSTED, b"", end=True)
    engine.take()
    for _ in range(6000):
        engine.receive(window_update(POSTED, 10) + window_update(0, 10))
    assert not engine.closed


def test_a_large_upload_may_be_credited_in_small_pieces() -> None:
    engine = opened()
    engine.receive(settings((4, 4 * MIB)) + window_update(0, 4 * MIB))
    engine.data(POSTED, bytes(4 * MIB), end=True)
    for _ in range(8192):
        engine.receive(window_update(0, 512))
    assert not engine.closed


def test_late_frames_of_many_streams_at_once_are_no_flood() -> None:
    engine = bare()
    engine.receive(settings())
    streams = [engine.request(GET, end=True) for _ in range(3000)]
    for stream in streams:
        engine.reset(stream, Code.CANCEL)
    engine.take()
    for stream in streams:
        engine.receive(head(stream) + data(stream, b"x" * 50) * 5 + data(stream, b"", end=True))
    assert not engine.closed
    assert engine.open_streams == 0


def test_a_stream_reset_long_ago_may_still_send() -> None:
    engine = bare()
    engine.receive(settings())
    for _ in range(REMEMBERED_COUNT + 10):
        engine.reset(engine.request(GET, end=True), Code.CANCEL)
        engine.take()
    assert feed(engine, head(1) + data(1, b"x", end=True), 999).log == []
    assert not engine.closed


def test_a_stream_that_we_reset_still_has_its_window() -> None:
    engine = opened()
    engine.receive(head(GOT))
    engine.reset(GOT, Code.CANCEL)
    assert feed(engine, data(GOT, bytes(16384)) * 64, 1 << 20).error is None
    assert "window of stream 1" in str(feed(engine, data(GOT, b"x"), 99).error)
    assert codes(sent(engine), GOAWAY) == {0: Code.FLOW_CONTROL_ERROR}


# Events.


def test_a_response_complete_before_an_error_is_not_lost() -> None:
    engine = opened()
    events = engine.receive(head(GOT) + data(GOT, b"whole", end=True) + frame(PING, payload=b"short"))
    first, second, third, last = events
    assert isinstance(first, HeadReceived)
    assert second == BodyReceived(GOT, b"whole")
    assert third == EndReceived(GOT, [])
    assert isinstance(last, Failed)
    assert engine.receive(data(SIBLING, b"x")) == []


def test_a_head_has_the_received_fields() -> None:
    engine = opened()
    (event,) = engine.receive(head(GOT, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), status=b"203"))
    assert isinstance(event, HeadReceived)
    texts = ((b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))
    seen = event.head
    assert (seen.status, seen.reason, seen.version, seen.headers, seen.raw_headers) == (203, b"", b"2", texts, texts)
    assert all(type(pair) is tuple for pair in seen.headers)


def test_trailers_come_with_the_end() -> None:
    engine = opened()
    events = engine.receive(head(GOT) + head(GOT, (b"grpc-status", b"0"), status=None, end=True))
    assert events[1:] == [EndReceived(GOT, [(b"grpc-status", b"0")])]


def test_padding_is_credited_but_not_handed_on() -> None:
    engine = opened()
    engine.receive(head(GOT))
    assert engine.receive(data(GOT, b"abc", pad=2)) == [BodyReceived(GOT, b"abc")]


def test_a_reset_by_the_peer_ends_the_stream() -> None:
    engine = opened()
    assert engine.receive(rst(POSTED, Code.REFUSED_STREAM)) == [ResetReceived(POSTED, Code.REFUSED_STREAM)]
    assert engine.window(POSTED) == 0
    with pytest.raises(LocalProtocolError, match="stream 5"):
        engine.data(POSTED, b"x", end=False)
    engine.reset(POSTED, Code.CANCEL)
    assert engine.take() == b""


def test_no_error_behind_a_complete_response_only_stops_upload() -> None:
    engine = opened()
    engine.receive(head(POSTED, end=True))
    assert engine.open_streams == 5
    assert engine.receive(rst(POSTED, Code.NO_ERROR)) == [ResetReceived(POSTED, Code.NO_ERROR)]
    assert engine.open_streams == 4


def test_a_response_may_end_before_its_request() -> None:
    engine = opened()
    engine.receive(body(content=b"early", stream=POSTED))
    engine.data(POSTED, b"still", end=False)
    engine.data(POSTED, b"", end=True)
    assert [kind for kind, *_ in sent(engine)] == [DATA, DATA]
    assert engine.open_streams == 4


def test_a_ping_is_answered_and_a_pong_is_reported() -> None:
    engine = opened()
    assert engine.receive(frame(PING, payload=b"01234567")) == []
    assert sent(engine) == [(PING, ACK, 0, b"01234567")]
    engine.ping(b"abcdefgh")
    assert sent(engine) == [(PING, 0, 0, b"abcdefgh")]
    assert engine.receive(frame(PING, ACK, payload=b"abcdefgh")) == [PingAckReceived()]
    with pytest.raises(LocalProtocolError, match="7 bytes"):
        engine.ping(b"7 bytes")


def test_settings_are_acknowledged_and_reported() -> None:
    engine = bare()
    assert (engine.max_streams, engine.settings_seen, engine.extended_connect) == (100, False, False)
    assert engine.receive(settings((3, 7), (8, 1))) == [SettingsChanged()]
    assert (engine.max_streams, engine.settings_seen, engine.extended_connect) == (7, True, True)
    assert sent(engine) == [(SETTINGS, ACK, 0, b"")]
    for value, most in ((0, 0), (0xFFFFFFFF, TOP)):
        assert engine.receive(settings((3, value))) == [SettingsChanged()]
        assert engine.max_streams == most


def test_settings_without_a_limit_of_streams_allow_any_number() -> None:
    engine = bare()
    assert engine.receive(settings()) == [SettingsChanged()]
    assert engine.max_streams == TOP


def test_windows_that_open_are_reported_where_a_sender_may_wait() -> None:
    engine = opened()
    assert engine.receive(window_update(GOT, 1) + window_update(POSTED, 1) + window_update(0, 1)) == []
    engine.data(POSTED, bytes(65536), end=False)
    more = window_update(GOT, 1) + window_update(POSTED, 1) + window_update(0, 1)
    assert engine.receive(more) == [WindowOpened(POSTED), WindowOpened(0)]
    assert engine.receive(more) == []
    assert engine.connection_window == 2


@pytest.mark.parametrize("late", [data(POSTED, b"x") * 3, data(POSTED, b"x") + data(POSTED, b"yy"), head(POSTED) * 2])
@pytest.mark.parametrize("size", [1, 10, 20, 999])
def test_frames_after_an_early_response_end_no_other_stream(late: bytes, size: int) -> None:
    """This holds however the bytes are cut, and whether or not the upload has been given up meanwhile."""
    for gives_up in (False, True):
        engine = opened()
        received = feed(engine, head(POSTED, end=True) + (b"" if gives_up else late), size)
        assert received.log[1] == EndReceived(POSTED, [])
        engine.reset(POSTED, Code.NO_ERROR)
        code = Code.NO_ERROR if gives_up else Code.STREAM_CLOSED
        assert feed(engine, late, size).log == []
        assert codes(sent(engine), RST_STREAM) == {POSTED: code}
        assert feed(engine, head(SIBLING, end=True), 99).log[-1] == EndReceived(SIBLING, [])


def test_a_head_is_decoded_from_deep_in_the_dynamic_table() -> None:
    engine = bare()
    engine.receive(settings())
    peer = hpack.Encoder()
    texts = [(b"x%d" % index, b"") for index in range(100)]
    stream = engine.request(GET, end=True)
    engine.receive(frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.encode([OK, *texts])))
    for field_ in texts:
        stream = engine.request(GET, end=True)
        (event, _) = engine.receive(frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.encode([OK, field_])))
        assert isinstance(event, HeadReceived)
        assert list(event.head.headers) == [field_]


# GOAWAY.


def test_streams_above_the_last_are_gone_and_those_below_go_on() -> None:
    engine = opened()
    assert engine.receive(goaway(SIBLING, Code.NO_ERROR, b"bye")) == [GoawayReceived(SIBLING, Code.NO_ERROR, b"bye")]
    assert engine.open_streams == 2
    assert engine.window(POSTED) == 0
    received = feed(engine, body(content=b"one") + body(content=b"three", stream=SIBLING), 10)
    assert received.bodies == {GOT: b"one", SIBLING: b"three"}
    assert engine.open_streams == 0
    with pytest.raises(LocalProtocolError, match="GOAWAY"):
        engine.request(GET, end=True)
    assert not engine.closed


def test_a_last_id_that_rises_is_not_believed() -> None:
    engine = opened()
    for claimed, believed in (
        (TOP, TOP),
        (POSTED, POSTED),
        (TOP, POSTED),
        (GOT, GOT),
        (SIBLING, GOT),
        (0, 0),
        (GOT, 0),
    ):
        assert engine.receive(goaway(claimed)) == [GoawayReceived(believed, 0, b"")]
    assert engine.open_streams == 0


def test_after_our_own_goaway_no_frame_is_sent() -> None:
    engine = opened()
    engine.ping(bytes(8))
    engine.goaway(Code.NO_ERROR)
    assert [kind for kind, *_ in sent(engine)] == [PING, GOAWAY]
    assert engine.closed
    engine.ping(bytes(8))
    engine.consumed(GOT, 1 << 30)
    engine.reset(GOT, Code.CANCEL)
    engine.goaway(Code.NO_ERROR)
    assert engine.take() == b""
    assert engine.receive(frame(PING, payload=bytes(8))) == []
    with pytest.raises(LocalProtocolError, match="has ended"):
        engine.request(GET, end=True)
    with pytest.raises(LocalProtocolError):
        engine.data(POSTED, b"x", end=True)


# Outbound.


def test_the_preface_has_our_settings_and_window() -> None:
    engine = EventEngine()
    engine.start()
    out = engine.take()
    assert out.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    engine = EventEngine()
    engine.start()
    first, second = sent(engine)
    granted = dict(struct.iter_unpack(">HL", first[3]))
    assert first[:3] == (SETTINGS, 0, 0)
    assert granted == {2: 0, 4: h2_engine.STREAM_WINDOW, 6: 262144}
    assert second == (WINDOW_UPDATE, 0, 0, number(h2_engine.CONNECTION_WINDOW - 65535))


def test_secrets_are_never_indexed() -> None:
    engine = bare()
    secrets = [(b"authorization", b"Basic c2VjcmV0"), (b"cookie", b"a=1"), (b"proxy-authorization", b"Basic eA==")]
    decoder = hpack.Decoder()
    for _ in range(2):
        engine.request([*GET, *secrets, (b"user-agent", b"x")], end=True)
        ((_, _, _, block),) = sent(engine)
        seen = list(decoder.decode(block, raw=True))
        assert seen == [*GET, *secrets, (b"user-agent", b"x")]
        assert {pair[0] for pair in seen if not pair.indexable} == {name for name, _ in secrets}
    assert {name for name, _ in decoder.header_table.dynamic_entries} & {name for name, _ in secrets} == set()


def test_a_large_head_goes_out_in_pieces() -> None:
    engine = bare()
    large = [(b"x-%d" % index, random.Random(index).randbytes(900).hex().encode()) for index in range(40)]
    engine.request([*GET, *large], end=True)
    frames = sent(engine)
    assert [kind for kind, *_ in frames] == [HEADERS] + [CONTINUATION] * (len(frames) - 1)
    assert len(frames) > 2
    assert [flags for _, flags, *_ in frames] == [END_STREAM] + [0] * (len(frames) - 2) + [END_HEADERS]
    assert max(len(payload) for *_, payload in frames) == 16384
    block = b"".join(payload for *_, payload in frames)
    assert list(hpack.Decoder(1 << 20).decode(block, raw=True)) == [*GET, *large]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_body_is_sent_in_frames_that_the_peer_accepts(kind: Callable[[bytes], bytes]) -> None:
    content = random.Random(1).randbytes(40_000)
    engine = opened()
    engine.data(POSTED, kind(content), end=True)
    assert [len(payload) for *_, payload in sent(engine)] == [16384, 16384, 40_000 - 32768]
    engine = opened()
    engine.receive(settings((5, 20_000)))
    engine.take()
    engine.data(POSTED, kind(content), end=False)
    frames = sent(engine)
    assert [len(payload) for *_, payload in frames] == [20_000, 20_000]
    assert b"".join(payload for *_, payload in frames) == content
    engine.data(POSTED, b"", end=True)
    assert sent(engine) == [(DATA, END_STREAM, POSTED, b"")]


def test_a_buffer_given_to_data_may_change_afterwards() -> None:
    engine = opened()
    buffer = bytearray(b"before")
    engine.data(POSTED, buffer, end=True)
    buffer[:] = b"after!"
    assert sent(engine)[0][3] == b"before"


def test_our_frames_have_a_bound_however_large_the_window() -> None:
    engine = opened()
    engine.receive(settings((5, (1 << 24) - 1)))
    assert engine.max_frame == sender.SENT_FRAME


def test_nothing_is_sent_beyond_the_window() -> None:
    engine = opened()
    with pytest.raises(LocalProtocolError, match="65,535"):
        engine.data(POSTED, bytes(65536), end=False)
    engine.data(POSTED, bytes(65535), end=False)
    assert engine.window(POSTED) == 0
    assert engine.receive(window_update(POSTED, 100)) == [WindowOpened(POSTED)]
    assert engine.window(POSTED) == 0, "the connection's window is still closed"
    assert engine.receive(window_update(0, 40)) == [WindowOpened(0)]
    assert engine.window(POSTED) == 40
    with pytest.raises(LocalProtocolError, match="40"):
        engine.data(POSTED, bytes(41), end=False)
    engine.data(POSTED, bytes(40), end=True)
    assert engine.window(POSTED) == 0


def test_settings_may_shrink_a_window_below_nothing() -> None:
    engine = opened()
    engine.receive(window_update(0, 1 << 20))
    engine.data(POSTED, bytes(1000), end=False)
    assert engine.receive(settings((4, 100))) == [SettingsChanged()]
    assert engine.window(POSTED) == 0
    engine.receive(window_update(POSTED, 900))
    assert engine.window(POSTED) == 0
    engine.receive(window_update(POSTED, 1))
    assert engine.window(POSTED) == 1
    assert engine.receive(settings((4, 101))) == [SettingsChanged(), WindowOpened(0)]
    assert engine.window(POSTED) == 2


def test_a_stream_takes_nothing_behind_its_end() -> None:
    engine = opened()
    engine.trailers(POSTED, [(b"a", b"b")])
    assert engine.window(POSTED) == 0
    more: list[Callable[[], object]] = [
        lambda: engine.data(POSTED, b"", end=True),
        lambda: engine.trailers(POSTED, []),
        lambda: engine.data(GOT, b"", end=False),
        lambda: engine.data(4001, b"", end=False),
    ]
    for again in more:
        with pytest.raises(LocalProtocolError):
            again()
    ((kind, flags, stream, _),) = sent(engine)
    assert (kind, flags, stream) == (HEADERS, END_HEADERS | END_STREAM, POSTED)


def test_no_more_streams_than_the_peer_allows() -> None:
    engine = bare()
    engine.receive(settings((3, 2)))
    first = engine.request(GET, end=True)
    engine.request(GET, end=True)
    with pytest.raises(LocalProtocolError, match="2 streams are open"):
        engine.request(GET, end=True)
    engine.receive(head(first, end=True))
    assert engine.request(GET, end=True) == 5


def test_stream_ids_run_out() -> None:
    engine = bare()
    engine.receive(settings())
    # A thousand million requests would reach this state, too.
    engine.inner._next = TOP
    assert engine.request(GET, end=True) == TOP
    with pytest.raises(LocalProtocolError, match="used up"):
        engine.request(GET, end=True)
    assert feed(engine, body(content=b"last", stream=TOP), 9).bodies == {TOP: b"last"}


def test_extended_connect_needs_the_setting_of_the_peer() -> None:
    requested = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")]
    engine = bare()
    engine.receive(settings())
    with pytest.raises(LocalProtocolError, match="SETTINGS_ENABLE_CONNECT_PROTOCOL"):
        engine.request(requested, end=False)
    engine.receive(settings((8, 1)))
    assert engine.request(requested, end=False) == 1


# Windows that we grant.


def test_data_frames_that_are_alike_come_as_one_event() -> None:
    engine = opened()
    engine.receive(head(GOT) + head(SIBLING))
    pieces = [bytes([65 + i]) * 5000 for i in range(6)]
    *whole, last = [data(GOT, piece) for piece in pieces]
    come = b"".join(whole) + data(SIBLING, b"x" * 5000)
    assert engine.receive(come + last[:100]) == [
        BodyReceived(GOT, b"".join(pieces[:5])),
        BodyReceived(SIBLING, b"x" * 5000),
    ]
    assert engine.receive(last[100:] + data(GOT, b"y" * 5000, end=True)) == [
        BodyReceived(GOT, pieces[5]),
        BodyReceived(GOT, b"y" * 5000),
        EndReceived(GOT, []),
    ]


@pytest.mark.parametrize("declared", [True, False], ids=["length", "window"])
def test_equal_data_frames_come_as_far_as_they_are_allowed(declared: bool) -> None:
    engine = opened()
    size = 8192
    allowed = 3 if declared else h2_engine.STREAM_WINDOW // size
    length = [(b"content-length", b"%d" % (3 * size + 1))] if declared else []
    engine.receive(head(GOT, *length))
    body, broken = engine.receive(data(GOT, bytes(size)) * (allowed + 1) + data(GOT, bytes(size)))[:2]
    assert body == BodyReceived(GOT, bytes(allowed * size))
    assert isinstance(broken, Malformed)
    assert str(broken.error).startswith("the body is longer" if declared else "the peer sent more DATA than the stream")


def test_an_unread_response_stops_at_its_window_until_it_is_read() -> None:
    engine = opened()
    engine.receive(head(GOT))
    whole = data(GOT, bytes(16384))
    engine.receive(whole * 64)
    assert sent(engine) == []
    for _ in range(31):
        engine.consumed(GOT, 16384)
    assert sent(engine) == []
    engine.consumed(GOT, 16384)
    assert sent(engine) == [(WINDOW_UPDATE, 0, GOT, number(h2_engine.STREAM_WINDOW // 2))]
    assert feed(engine, whole * 32, 1 << 20).malformed == {}
    assert feed(engine, data(GOT, b"x"), 99).malformed.keys() == {GOT}


def test_a_response_that_is_complete_gets_no_more_credit() -> None:
    engine = opened()
    engine.receive(head(POSTED) + data(POSTED, bytes(16384)) * 63 + data(POSTED, bytes(16384), end=True))
    engine.consumed(POSTED, h2_engine.STREAM_WINDOW)
    assert sent(engine) == []


def test_padding_alone_is_credited_at_once() -> None:
    engine = opened()
    engine.receive(head(GOT))
    # In a small window, a few frames are as much as half of it.
    engine.inner._target_window = 200
    assert engine.receive(data(GOT, b"", pad=99)) == []
    assert sent(engine) == [(WINDOW_UPDATE, 0, 0, number(100))]


def test_the_connections_window_is_held() -> None:
    engine = bare()
    engine.receive(settings())
    late = engine.request(GET, end=True)
    engine.reset(late, Code.CANCEL)
    for _ in range(h2_engine.CONNECTION_WINDOW // h2_engine.STREAM_WINDOW):
        stream = engine.request(GET, end=True)
        assert feed(engine, head(stream) + data(stream, bytes(16384)) * 64, 1 << 20).error is None
    assert "connection's window" in str(feed(engine, data(late, b"x"), 99).error)
    assert codes(sent(engine), GOAWAY) == {0: Code.FLOW_CONTROL_ERROR}


def test_the_connection_is_credited_for_unwanted_content() -> None:
    engine = bare()
    engine.receive(settings())
    granted = h2_engine.CONNECTION_WINDOW
    used = 0
    for _ in range(60):
        stream = engine.request(GET, end=True)
        engine.receive(head(stream))
        (event,) = engine.receive(data(stream, bytes(1000)))
        assert isinstance(event, BodyReceived)
        engine.reset(stream, Code.CANCEL)
        engine.consumed(stream, len(event.data))
        engine.receive(data(stream, bytes(16000), pad=255) * 60)
        used += 1000 + 60 * 16256
        for kind, _, number_, payload in sent(engine):
            if kind == WINDOW_UPDATE:
                assert number_ == 0
                granted += struct.unpack(">L", payload)[0]
        assert granted - used > h2_engine.CONNECTION_WINDOW // 2
    assert not engine.closed


@pytest.mark.parametrize(
    ("wrong", "size"),
    [
        (data(GOT, bytes(9000)), 9000),
        (head(GOT) + data(GOT, bytes(9000)) + head(GOT), 9000),
        (head(GOT, LENGTH_5) + data(GOT, bytes(9000)), 9000),
        (head(GOT, status=b"204") + data(GOT, bytes(8900), pad=99), 9000),
        (head(GOT) + data(GOT, bytes(9000)) + rst(GOT), 9000),
    ],
    ids=["DATA before the head", "a second head", "a body too long", "a body in 204", "RST_STREAM"],
)
def test_a_failed_stream_loses_no_credit(wrong: bytes, size: int) -> None:
    engine = bare()
    engine.receive(settings())
    engine.request(GET, end=True)
    engine.inner._target_window = 2 * size  # half of it is credited at once
    engine.take()
    for event in engine.receive(wrong):
        if isinstance(event, BodyReceived):
            engine.consumed(GOT, len(event.data))
    credits = [(stream, payload) for kind, _, stream, payload in sent(engine) if kind == WINDOW_UPDATE]
    assert credits == [(0, number(size))]


def test_many_unread_responses_never_stop_one_that_is_read() -> None:
    engine = bare()
    engine.receive(settings())
    streams = [engine.request(GET, end=True) for _ in range(40)]
    for stream in streams[:-1]:
        engine.receive(head(stream) + data(stream, bytes(16384)) * 64)
    received = feed(engine, body(content=b"read me", stream=streams[-1]), 1 << 20)
    assert received.bodies == {streams[-1]: b"read me"}
    widened = [struct.unpack(">L", payload)[0] for kind, _, stream, payload in sent(engine) if kind == WINDOW_UPDATE]
    assert sum(widened) + h2_engine.CONNECTION_WINDOW >= 40 * h2_engine.STREAM_WINDOW


def test_connections_window_grows_no_further_than_a_window_may() -> None:
    engine = bare()
    engine.receive(settings())
    # No setting can produce this window, which is close to the largest one.
    engine.inner._target_window = TOP - 100
    for _ in range(3000):
        engine.request(GET, end=True)
    assert [kind for kind, *_ in sent(engine) if kind == WINDOW_UPDATE] == []


# h2 as the peer.


class Server:
    """h2's server at the other end. `talk` moves bytes in both directions until none are left to send; h2 raises if we
    violate a rule.
    """

    def __init__(self) -> None:
        self.engine = EventEngine()
        self.engine.start()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.h2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 10_000}
        )
        self.h2.initiate_connection()
        self.received = Events()
        self.requests: dict[int, Headers] = {}
        self.uploads: dict[int, bytes] = {}
        self.done: set[int] = set()
        self.seen: list[h2.events.Event] = []
        self.talk()

    def talk(self) -> None:
        while True:
            ours, theirs = self.engine.take(), self.h2.data_to_send()
            if not ours and not theirs:
                return
            self.received.add(self.engine.receive(theirs))
            for event in self.h2.receive_data(ours):
                self.seen.append(event)
                if isinstance(event, h2.events.RequestReceived):
                    self.requests[event.stream_id] = event.headers
                elif isinstance(event, h2.events.DataReceived):
                    self.uploads[event.stream_id] = self.uploads.get(event.stream_id, b"") + event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.done.add(event.stream_id)


def test_the_engine_completes_an_exchange_with_h2() -> None:
    server = Server()
    stream = server.engine.request([*POST, (b"content-length", b"100000"), (b"te", b"trailers")], end=False)
    content = random.Random(5).randbytes(100_000)
    at = 0
    while at < len(content):
        size = server.engine.window(stream)
        assert size
        server.engine.data(stream, content[at : at + size], end=False)
        at += size
        server.talk()
    server.engine.trailers(stream, [(b"checksum", b"5")])
    server.talk()
    assert server.requests == {1: [*POST, (b"content-length", b"100000"), (b"te", b"trailers")]}
    assert server.uploads == {1: content}
    assert server.done == {1}
    server.h2.send_headers(1, [(b":status", b"103"), (b"link", b"</style.css>")])
    server.h2.send_headers(1, [OK, (b"content-type", b"text/plain"), (b"date", b"today")])
    server.h2.send_data(1, b"Hello", pad_length=7)
    server.h2.send_headers(1, [(b"grpc-status", b"0")], end_stream=True)
    server.talk()
    kinds = [event.head.status for event in server.received.log if isinstance(event, HeadReceived)]
    assert kinds == [103, 200]
    assert server.received.bodies == {1: b"Hello"}
    assert server.received.log[-1] == EndReceived(1, [(b"grpc-status", b"0")])
    assert (server.engine.open_streams, server.h2.open_inbound_streams) == (0, 0)


def test_compression_stays_in_step_with_any_table_size() -> None:
    server = Server()
    sizes = (0, 0, 4096, 100, 100, 4096, 65536, 200)
    for index, size in enumerate(sizes):
        server.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
        server.talk()
        for repeat in range(3):
            requested = [*GET, (b"user-agent", b"test"), (b"x-%d" % repeat, b"y" * 40)]
            stream = server.engine.request(requested, end=True)
            server.talk()
            assert server.requests[stream] == requested
            server.h2.send_headers(stream, [OK, (b"server", b"h2"), (b"x-index", b"%d" % index)], end_stream=True)
            server.talk()
    assert server.received.error is None
    assert server.engine.open_streams == 0


@pytest.mark.parametrize("seed", range(40))
def test_random_exchanges_with_h2_agree_on_everything(seed: int) -> None:
    rand = random.Random(seed)
    server = Server()
    engine, peer = server.engine, server.h2
    sending: dict[int, bytes] = {}
    expected: dict[int, bytes] = {}
    answered: dict[int, bytes] = {}
    started: set[int] = set()
    unread: dict[int, int] = {}
    for _ in range(150):
        act = rand.randrange(9)
        live = [stream for stream in server.requests if stream not in started or stream in answered]
        if act <= 1 and engine.open_streams < engine.max_streams:
            end = rand.random() < 0.5
            stream = engine.request([*(GET if end else POST), (b"x-seed", b"%d" % rand.randrange(3))], end=end)
            if not end:
                sending[stream] = b""
                expected[stream] = b""
        elif act == 2 and sending:
            stream = rand.choice(list(sending))
            if peer.remote_flow_control_window(stream) < 0:
                continue  # h2 then refuses an empty frame, too, which section 6.9.1 allows
            piece = rand.randbytes(min(engine.window(stream), rand.choice((0, 1, 500, 40_000))))
            end = rand.random() < 0.3
            engine.data(stream, piece, end=end)
            expected[stream] += piece
            if end:
                del sending[stream]
        elif act == 3 and live:
            stream = rand.choice(live)
            if stream not in started:
                started.add(stream)
                answered[stream] = b""
                peer.send_headers(stream, [OK, (b"x", b"%d" % rand.randrange(4))])
            else:
                room = min(peer.local_flow_control_window(stream), 16384)
                piece = rand.randbytes(min(room, rand.choice((0, 3, 16384))))
                end = rand.random() < 0.3
                peer.send_data(stream, piece, end_stream=end)
                answered[stream] += piece
                unread[stream] = unread.get(stream, 0) + len(piece)
                if end:
                    del server.requests[stream]
        elif act == 4 and unread:
            stream = rand.choice(list(unread))
            engine.consumed(stream, unread.pop(stream))
        elif act == 5:
            peer.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: rand.choice((0, 100, 65535, 1 << 20))})
        elif act == 6:
            peer.ping(rand.randbytes(8))
        server.talk()
        assert server.received.error is None
        assert server.received.malformed == {}
        assert peer.open_inbound_streams == engine.open_streams
        for stream in sending:
            assert engine.window(stream) == max(0, peer.remote_flow_control_window(stream))
    assert {stream: server.uploads.get(stream, b"") for stream in expected} == expected
    assert {stream: server.received.bodies.get(stream, b"") for stream in answered} == answered


PIECES = [
    *[case.script for case in CASES if len(case.script) < 300 and case.start is opened],
    head(SIBLING),
    head(POSTED),
    head(POSTED, LENGTH_5),
    data(SIBLING, b"some"),
    data(POSTED, b"12345", end=True),
]


@pytest.mark.parametrize("seed", range(60))
def test_any_bytes_in_any_pieces_have_one_outcome(seed: int) -> None:
    rand = random.Random(seed)
    script = bytearray(b"".join(rand.choices(PIECES, k=12)))
    if seed % 2:
        for _ in range(rand.randrange(4)):
            script[rand.randrange(len(script))] = rand.randrange(256)
    results = []
    for _ in range(3):
        engine = opened()
        received = Events()
        at = 0
        while at < len(script):
            size = rand.choice((1, 5, 9, 40, 500))
            received.add(engine.receive(bytes(script[at : at + size])))
            at += size
        results.append((received.log, received.bodies, engine.take(), engine.open_streams))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("most", [1, 2, 7, 100])
def test_a_bounded_receive_keeps_the_rest_for_the_next(most: int) -> None:
    def opened() -> EventEngine:
        engine = EventEngine()
        engine.start()
        for path in (b"/1", b"/2"):
            fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", path), (b":authority", b"a")]
            engine.request(fields, end=True)
        return engine

    frames = settings() + head(1) + head(3) + (data(1, b"x") + data(3, b"y")) * 50 + data(1, b"z") * 50
    whole, bounded = opened(), opened()
    events = bounded.receive(frames, most=most)
    calls = 1
    while bounded.unread:
        events += bounded.receive(b"", most=most)
        calls += 1
    expected = b"".join(event.data for event in whole.receive(frames) if isinstance(event, BodyReceived))
    assert b"".join(event.data for event in events if isinstance(event, BodyReceived)) == expected
    assert calls >= 153 // (most + 2)
