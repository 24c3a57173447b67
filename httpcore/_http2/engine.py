"""The client's side of one HTTP/2 connection (RFC 9113): frames, streams and windows. No I/O, no clock.

What is a frame, what may follow what, and how much of it, is decided here; `h2_encoder` and `h2_decoder` compress
header fields; `h2_fields` knows what the fields may be. The `h2` library was tried first and left, since what a client
owes its user cannot be done through what it offers: it ends the whole connection for one malformed message, and for a
GOAWAY, though the streams below its last id run on; answers RST_STREAM with RST_STREAM; counts all streams anew for
each request; and three quarters of its time are spent neither on compression nor on frames. The tests have it as the
peer, and as the judge of what we accept.

An error concerns one stream where the RFC lets us choose and the connection stays in step: that stream is reset, its
siblings go on (5.4.2). Everything else ends the connection with a GOAWAY that says why (5.4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

from .._errors import Code, HTTPCoreError, LimitExceeded, LocalProtocolError, RemoteProtocolError, show
from .._message.fields import HEAD_BYTES, INTERIM_COUNT, Headers
from .._message.head import LIBRARY, Head
from .events import (
    BodyReceived,
    Ended,
    Event,
    Failed,
    HeadReceived,
    Malformed,
    Ponged,
    SettingsChanged,
    WasReset,
    WentAway,
    WindowOpened,
)
from .fields import read_fields, read_status
from .flood_budget import (
    ANSWERED,
    BUDGET,
    FRAME,
    TINY,
    FloodBudget,
    abandoned_data_cost,
    block_cost,
    data_cost,
    goaway_cost,
    interim_cost,
    other_cost,
    padding_cost,
    raise_cost,
    settings_cost,
    window_cost,
)
from .hpack_decoder import FieldBlock, FieldDecoder
from .hpack_encoder import FieldEncoder

__all__ = ["H2Engine"]

# What we grant. Bytes.

STREAM_WINDOW: Final = 1 << 20
"""What the peer may send on one stream before its reader takes some: the most that an unread response holds, and, over
the round-trip time, how fast one can come: 20 MB/s over 50 ms."""

CONNECTION_WINDOW: Final = 1 << 24
"""The same for all streams together. It grows by as much when there are more streams than it has room for, so that
responses which nobody reads never stop one that somebody does."""

# How much a peer may send before it has said something. Bytes, or counts where the name says so.

MAX_FRAME: Final = 16384
"""The largest frame that we take, RFC 9113's default. Larger ones were not faster."""

CONTINUATION_COUNT: Final = 64
"""CONTINUATION frames of one header block."""

ANSWER_BYTES: Final = 65536
"""What answers the peer (PING, SETTINGS, resets) and waits to be sent."""

REMEMBERED_COUNT: Final = 4096
"""Streams that we reset, whose late frames are ignored (5.1). For older ones any late frame is taken to be in order."""

BLOCK_SHARE: Final = 6
"""A frame counts for one, and one more for each 2**6 bytes of its payload, where that is no DATA: about as much work as
a short frame. See `receive`."""

# What we send.

SENT_FRAME: Final = 65536
"""The largest DATA frame that we send, where the peer takes more than the default of 16 KiB."""

_LAST_ID: Final = 2**31 - 1
_LARGEST_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 65535

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_NAMES: Final = (
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
)
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = range(10)
_END_STREAM: Final = 0x1
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_PADDED: Final = 0x8
_WITH_PRIORITY: Final = 0x20

_HEADER_TABLE_SIZE: Final = 1
_ENABLE_PUSH: Final = 2
_MAX_CONCURRENT_STREAMS: Final = 3
_INITIAL_WINDOW_SIZE: Final = 4
_MAX_FRAME_SIZE: Final = 5
_MAX_HEADER_LIST_SIZE: Final = 6
_ENABLE_CONNECT_PROTOCOL: Final = 8

_frame = Struct(">HBBBL")  # length in two parts, type, flags, stream
_setting = Struct(">HL")
_number = Struct(">L")
_two_numbers = Struct(">LL")
_Fields = Sequence[tuple[bytes, bytes]]


class _Fault(Exception):
    """Ends the connection. It never leaves this module."""

    def __init__(self, code: Code, error: HTTPCoreError) -> None:
        super().__init__(code, error)
        self.code = code
        self.error = error


def _fault(code: Code, message: str) -> _Fault:
    return _Fault(code, RemoteProtocolError(f"{message} ({code.name})"))


def _too_much(message: str, limit: int) -> _Fault:
    code = Code.ENHANCE_YOUR_CALM
    return _Fault(code, LimitExceeded(f"{message}, {limit:,} are allowed ({code.name})", limit=limit))


class _Stream:
    """One exchange, from its request until both messages are complete or one side has reset it."""

    __slots__ = (
        "connect",
        "content",
        "ended",
        "head_room",
        "head_seen",
        "interims",
        "left",
        "length",
        "number",
        "owed",
        "room",
        "sent_all",
        "spare",
        "tunnel",
    )

    def __init__(self, number: int, method: bytes, sent_all: bool) -> None:
        self.number = number
        self.connect = method == b"CONNECT"
        self.content = method != b"HEAD"  # the response may have a body
        self.sent_all = sent_all  # our END_STREAM is out
        self.ended = False  # theirs is in
        self.head_seen = False  # the final one
        self.tunnel = False  # a 2xx to CONNECT: nothing but DATA from now on
        self.interims = 0
        self.head_room = HEAD_BYTES
        self.length: int | None = None  # of the body, as declared
        self.left = 0  # of it, if declared
        self.room = STREAM_WINDOW  # what the peer may still send
        self.owed = 0  # taken by the reader, not yet credited to the peer
        self.spare = 0  # what we may send, beyond the peer's initial window


class H2Engine:
    """See `engines.HTTP2Engine`, which says what the parts of this do.

    Attributes:
        name: library and version, e.g. "httpcore 0.1.0".
        max_streams, max_frame, settings_seen, extended_connect: what the peer's SETTINGS say.
        closed: nothing may be sent any more, but for what `take` has.
        owed: bytes that `take` would return.
        unread: `receive` stopped before a frame that it has. It goes on when it is called again, with b"" if need be.
        frames_read: so far; the frames of header blocks count for more, see `BLOCK_SHARE`.
    """

    name = LIBRARY

    def __init__(self) -> None:
        self.max_streams = 100
        self.max_frame = MAX_FRAME
        self.settings_seen = False
        self.extended_connect = False
        self.closed = False
        self.owed = 0
        self.unread = False
        self.frames_read = 0
        self._outbox: list[bytes | bytearray | memoryview] = []
        self._answers = 0  # bytes in the outbox that nobody here asked for
        self._encoder = FieldEncoder()
        self._decoder = FieldDecoder(HEAD_BYTES)
        self._streams: dict[int, _Stream] = {}
        self._given_up: dict[int, int] = {}  # reset by us: what is left of the peer's window
        self._forgotten = 0  # the highest id that has been dropped from there
        self._next = 1
        self._last = _LAST_ID  # of the peer's GOAWAY
        self._away = False
        # Inbound.
        self._held = bytearray()  # the beginning of a frame
        self._need = 9  # bytes that must be there before there is anything to do
        self._block: list[bytes] = []  # fragments of a header block that is not complete
        self._block_size = 0
        self._block_stream = 0
        self._block_ends = 0  # the END_STREAM of its HEADERS
        self._budget = FloodBudget()
        # Windows: theirs to send in, then ours.
        self._goal = CONNECTION_WINDOW
        self._room = CONNECTION_WINDOW
        self._uncredited = 0
        self._initial = _DEFAULT_WINDOW
        self._window = _DEFAULT_WINDOW

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    @property
    def connection_window(self) -> int:
        return self._window

    # Outbound.

    def start(self) -> None:
        settings = (
            (_ENABLE_PUSH, 0),
            (_INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (_MAX_HEADER_LIST_SIZE, HEAD_BYTES),
        )
        payload = b"".join([_setting.pack(*pair) for pair in settings])
        self._put(_PREFACE)
        self._send(_SETTINGS, 0, 0, payload)
        self._send(_WINDOW_UPDATE, 0, 0, _number.pack(CONNECTION_WINDOW - _DEFAULT_WINDOW))

    def request(self, headers: Headers, *, end: bool) -> int:
        number = self._next
        self._check_request(number, headers)
        self._next = number + 2
        self._streams[number] = _Stream(number, headers[0][1], end)
        if len(self._streams) * STREAM_WINDOW > self._goal:
            self._widen()
        self._send_block(number, headers, end)
        self._budget.earn_request()
        return number

    def _check_request(self, number: int, headers: Headers) -> None:
        if self.closed:
            raise LocalProtocolError("this HTTP/2 connection is over: it takes no more requests")
        if self._away:
            raise LocalProtocolError("the peer went away (GOAWAY): this HTTP/2 connection takes no more requests")
        if number > _LAST_ID:
            raise LocalProtocolError("the stream ids of this HTTP/2 connection are used up: it takes no more requests")
        if len(self._streams) >= self.max_streams:
            raise LocalProtocolError(
                f"{len(self._streams)} streams are open on this HTTP/2 connection: the peer allows {self.max_streams}"
            )
        if (
            headers[0][1] == b"CONNECT"
            and not self.extended_connect
            and any(name == b":protocol" for name, _ in headers)
        ):
            raise LocalProtocolError("the peer takes no :protocol: it has not sent SETTINGS_ENABLE_CONNECT_PROTOCOL")

    def data(self, stream: int, data: bytes | bytearray | memoryview, *, end: bool) -> None:
        state = self._sending(stream)
        size = len(data)
        if size > self.window(stream):
            raise LocalProtocolError(f"{size:,} bytes for a window of {self.window(stream):,} bytes")
        state.spare -= size
        self._window -= size
        self._budget.earn_sent(size)
        at = 0
        if size > self.max_frame:
            view = memoryview(data)
            while size - at > self.max_frame:
                self._send(_DATA, 0, stream, bytes(view[at : at + self.max_frame]))
                at += self.max_frame
            data = view[at:]
        if size or end:
            self._send(_DATA, _END_STREAM if end else 0, stream, bytes(data))
        if end:
            self._sent_all(state)

    def trailers(self, stream: int, headers: Headers) -> None:
        state = self._sending(stream)
        self._send_block(stream, headers, True)
        self._sent_all(state)

    def window(self, stream: int) -> int:
        state = self._streams.get(stream)
        if state is None or state.sent_all or self.closed:
            return 0
        return max(0, min(self._initial + state.spare, self._window))

    def reset(self, stream: int, code: int) -> None:
        if stream in self._streams and not self.closed:
            self._give_up(stream, code)

    def consumed(self, stream: int, size: int) -> None:
        if not self.closed:
            self._budget.earn_taken(size)
            self._return_credit(stream, size)

    def _return_credit(self, stream: int, credit: int) -> None:
        """The peer may send as much again: on this stream, if it is open, and on the connection in any case."""
        self._uncredited += credit
        if self._uncredited * 2 >= self._goal:
            self._send(_WINDOW_UPDATE, 0, 0, _number.pack(self._uncredited))
            self._room += self._uncredited
            self._uncredited = 0
        state = self._streams.get(stream)
        if state is not None and not state.ended:
            state.owed += credit
            if state.owed * 2 >= STREAM_WINDOW:
                self._send(_WINDOW_UPDATE, 0, stream, _number.pack(state.owed))
                state.room += state.owed
                state.owed = 0

    def ping(self, payload: bytes) -> None:
        if len(payload) != 8:
            raise LocalProtocolError(f"a PING of {len(payload)} bytes: 8 are allowed")
        if not self.closed:
            self._send(_PING, 0, 0, payload)

    def goaway(self, code: int) -> None:
        if not self.closed:
            self._send(_GOAWAY, 0, 0, _two_numbers.pack(0, code))
            self.closed = True
            self._streams.clear()

    def take(self) -> bytes:
        outbox = self._outbox
        if not outbox:
            return b""
        data = b"".join(outbox)
        outbox.clear()
        self.owed = self._answers = 0
        return data

    def _sending(self, stream: int) -> _Stream:
        state = self._streams.get(stream)
        if state is None or state.sent_all or self.closed:
            raise LocalProtocolError(f"stream {stream} takes no more of the request: it has been ended or reset")
        return state

    def _sent_all(self, state: _Stream) -> None:
        state.sent_all = True
        if state.ended:
            del self._streams[state.number]

    def _put(self, data: bytes) -> None:
        self._outbox.append(data)
        self.owed += len(data)

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._outbox += (_frame.pack(size >> 8, size & 255, kind, flags, stream), payload)
        self.owed += size + 9

    def _send_block(self, stream: int, headers: Headers, end: bool) -> None:
        block = self._encoder.encode(headers)
        flags = _END_STREAM if end else 0
        kind = _HEADERS
        limit = self.max_frame
        while len(block) > limit:
            self._send(kind, flags, stream, block[:limit])
            block = block[limit:]
            kind, flags = _CONTINUATION, 0
        self._send(kind, flags | _END_HEADERS, stream, block)

    def _widen(self) -> None:
        if self._goal + CONNECTION_WINDOW <= _LARGEST_WINDOW:
            self._goal += CONNECTION_WINDOW
            self._room += CONNECTION_WINDOW
            self._send(_WINDOW_UPDATE, 0, 0, _number.pack(CONNECTION_WINDOW))

    def _give_up(self, stream: int, code: int) -> None:
        self._remember(self._streams.pop(stream))
        self._send(_RST_STREAM, 0, stream, _number.pack(code))

    def _remember(self, state: _Stream) -> None:
        given_up = self._given_up
        given_up[state.number] = state.room
        if len(given_up) > REMEMBERED_COUNT:
            oldest = next(iter(given_up))
            del given_up[oldest]
            self._forgotten = max(self._forgotten, oldest)

    def _answer(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Send what the peer made us send."""
        self._send(kind, flags, stream, payload)
        self._count_answer(len(payload) + 9)

    def _count_answer(self, size: int) -> None:
        self._answers += size
        if self._answers > ANSWER_BYTES:
            raise _too_much("the peer makes us answer and reads none of it: more than 64 KiB wait", ANSWER_BYTES)

    # Inbound: bytes.

    def receive(self, data: bytes, now: float | None = None, most: int = _LAST_ID) -> list[Event]:
        events: list[Event] = []
        self.unread = False
        if self.closed:
            return events
        if now is not None and now >= self._budget.due:
            self._budget.earn_time(now)
        held = self._held
        if held:
            if len(held) + len(data) < self._need:
                held += data
                return events
            data = b"".join((held, data))
            held.clear()
        try:
            at = self._read_frames(data, events, most)
        except _Fault as fault:
            self.goaway(fault.code)
            events.append(Failed(fault.error))
            return events
        if at < len(data):
            held += data[at:]
        return events

    def _read_frames(self, data: bytes, events: list[Event], most: int) -> int:
        """Read the frames that are complete, about `most` of them. Returns where the first unread frame begins."""
        at = 0
        size = len(data)
        left = most
        while left > 0 and size - at >= 9:
            high, low, kind, flags, stream = _frame.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if not self.settings_seen:
                self._check_first(data[at : at + 9], kind, flags)
            if end - at - 9 > MAX_FRAME:
                raise _fault(
                    Code.FRAME_SIZE_ERROR,
                    f"the peer sent a frame of {end - at - 9:,} bytes: at most {MAX_FRAME:,} are allowed",
                )
            if end > size:
                self._need = end - at
                break
            stream &= _LAST_ID  # the first bit is reserved (4.1)
            if self._block and (kind != _CONTINUATION or stream != self._block_stream):
                raise _fault(Code.PROTOCOL_ERROR, "the peer sent another frame within a header block")
            payload = data[at + 9 : end]
            left -= 1
            if kind == _DATA:
                frames = 1
                if not flags and payload and data.startswith(data[at : at + 9], end):
                    payload, frames = self._join_data(data, at, end, stream, left + 1)
                    end = at + 9 * frames + len(payload)
                    left -= frames - 1
                self._on_data(flags, stream, payload, events, frames)
                at = end
                continue
            left -= (end - at) >> BLOCK_SHARE
            if kind == _HEADERS:
                self._on_headers(flags, stream, payload, events)
            elif kind < len(_READERS):
                _READERS[kind](self, flags, stream, payload, events)
            else:
                self._charge(other_cost(len(payload)))  # unknown: ignored (4.1)
            at = end
        else:
            self._need = 9
            self.unread = size - at >= 9
        self.frames_read += most - left
        return at

    def _join_data(self, data: bytes, at: int, end: int, stream: int, most: int) -> tuple[bytes, int]:
        """The content of one DATA frame and of those with the same header behind it, as if they were one, and how many
        they are, `most` at most: much of a long body comes in frames that are alike. Only as far as all of it is
        allowed, so that the outcome does not depend on how the bytes were cut."""
        header = data[at : at + 9]
        step = end - at
        parts = [data[at + 9 : end]]
        state = self._streams.get(stream)
        if state is not None and state.head_seen and not state.ended:
            size = step - 9
            room = min(self._room, state.room) if state.length is None else min(self._room, state.room, state.left)
            count = min(room // size, max(most, 1))
            if size < TINY:
                count = min(count, self._budget.left // data_cost(size, 1))
            last = min(len(data), at + count * step)
            while end + step <= last and data.startswith(header, end):
                parts.append(data[end + 9 : end + step])
                end += step
        return b"".join(parts), len(parts)

    def _check_first(self, header: bytes, kind: int, flags: int) -> None:
        """The peer's preface: a SETTINGS frame that is not an acknowledgement (3.4)."""
        if kind == _SETTINGS and not flags & _ACK:
            return
        seen = "HTTP/1.1" if header.startswith(b"HTTP/1") else f"something else, which begins with {show(header)}"
        raise _fault(Code.PROTOCOL_ERROR, f"the peer does not speak HTTP/2 but {seen}")

    def _charge(self, cost: int) -> None:
        """A frame came that delivers nothing, or less than it costs."""
        if not self._budget.spend(cost):
            raise _too_much(
                "the peer sends frames that cost more work than they deliver content (PING, SETTINGS, tiny DATA, heads "
                "of streams that are gone, or others): expected at most",
                BUDGET,
            )

    def _unpad(self, kind: int, flags: int, payload: bytes) -> bytes:
        """Without padding (6.1)."""
        if not flags & _PADDED:
            return payload
        if not payload:
            raise _fault(Code.FRAME_SIZE_ERROR, f"the peer sent a padded {_NAMES[kind]} frame of 0 bytes")
        if payload[0] >= len(payload):
            raise _fault(
                Code.PROTOCOL_ERROR,
                f"the peer sent a {_NAMES[kind]} frame of {len(payload)} bytes with {payload[0]} bytes of padding",
            )
        return payload[1 : len(payload) - payload[0]]

    def _check_opened(self, kind: int, stream: int) -> None:
        """The frame is for a stream that we have opened, now or before (5.1)."""
        if not stream & 1 or stream >= self._next:
            raise _fault(
                Code.PROTOCOL_ERROR, f"the peer sent {_NAMES[kind]} on stream {stream}, which has not been opened"
            )

    def _check_size(self, kind: int, payload: bytes, size: int) -> None:
        if len(payload) != size:
            raise _fault(
                Code.FRAME_SIZE_ERROR,
                f"the peer sent a {_NAMES[kind]} frame of {len(payload)} bytes: {size} are allowed",
            )

    def _check_whole(self, kind: int, stream: int) -> None:
        if stream:
            raise _fault(
                Code.PROTOCOL_ERROR,
                f"the peer sent {_NAMES[kind]} on stream {stream}: it concerns the connection, which is stream 0",
            )

    # Inbound: messages.

    def _gone(self, kind: int, stream: int, credit: int = 0) -> None:
        """A frame of a message came for a stream that is not open: late, or wrong (5.1). `credit` bytes of DATA count
        against what the stream's window had left."""
        self._check_opened(kind, stream)
        room = self._given_up.get(stream)
        if room is None and stream > self._forgotten:
            raise _fault(
                Code.STREAM_CLOSED, f"the peer sent {_NAMES[kind]} on stream {stream}, which it had ended before"
            )
        if not credit:
            return
        if room is None:
            self._charge(other_cost(credit))
            return
        self._charge(abandoned_data_cost(credit, 1))
        self._given_up[stream] = room - credit
        if room < credit:
            raise _fault(Code.FLOW_CONTROL_ERROR, f"the peer sent more DATA than the window of stream {stream} allows")

    def _malformed(self, state: _Stream, code: Code, error: HTTPCoreError, events: list[Event]) -> None:
        self._give_up(state.number, code)
        events.append(Malformed(state.number, error))
        self._count_answer(13)

    def _wrong(self, state: _Stream, code: Code, message: str, events: list[Event]) -> None:
        self._malformed(state, code, RemoteProtocolError(f"{message} ({code.name})"), events)

    def _on_data(self, flags: int, stream: int, payload: bytes, events: list[Event], frames: int = 1) -> None:
        """DATA; `frames` of them if they were joined."""
        credit = len(payload)
        if flags & _PADDED:
            payload = self._unpad(_DATA, flags, payload)
            self._charge(padding_cost(credit - len(payload)))
        self._room -= credit
        if self._room < 0:
            raise _fault(Code.FLOW_CONTROL_ERROR, "the peer sent more DATA than the connection's window allows")
        state = self._streams.get(stream)
        if not credit and (state is None or state.ended):
            # nginx 1.22 ends an empty file twice when many streams compete: it says nothing, and so it harms nobody.
            self._check_opened(_DATA, stream)
            self._charge(FRAME)
            return
        if state is None:
            self._gone(_DATA, stream, credit)
            self._return_credit(stream, credit)
            return
        size = len(payload)
        state.room -= credit
        if state.ended or not state.head_seen or state.room < 0 or (state.length is not None and state.left < size):
            self._charge(data_cost(size, frames))
            self._refuse_data(state, size, events)
            self._return_credit(stream, credit)
            return
        if size < frames * TINY and not flags & _END_STREAM:
            self._charge(data_cost(size, frames))
        state.left -= size
        if events and 0 < size < 4096:
            self._add_small(stream, payload, events)
        elif size:
            events.append(BodyReceived(stream, payload))
        if credit > size:  # no reader sees the padding
            self._return_credit(stream, credit - size)
        if flags & _END_STREAM:
            self._end(state, [], events)

    def _add_small(self, stream: int, payload: bytes, events: list[Event]) -> None:
        """Join it to what came before it, in linear time: a bytearray grows in place."""
        last = events[-1]
        if type(last) is BodyReceived and last.stream == stream:
            if type(last.data) is bytes:
                last.data = bytearray(last.data)
            last.data += payload
        else:
            events.append(BodyReceived(stream, payload))

    def _refuse_data(self, state: _Stream, size: int, events: list[Event]) -> None:
        if state.ended:
            self._wrong(state, Code.STREAM_CLOSED, "the peer sent DATA behind the end of the response", events)
        elif not state.head_seen:
            self._wrong(state, Code.PROTOCOL_ERROR, "the peer sent DATA before the head of the response", events)
        elif state.room < 0:
            self._wrong(
                state, Code.FLOW_CONTROL_ERROR, "the peer sent more DATA than the stream's window allows", events
            )
        elif not state.content:
            self._wrong(state, Code.PROTOCOL_ERROR, "the peer sent a body with a response that has none", events)
        else:
            message = f"the body is longer than its Content-Length: {state.length:,} bytes were declared"
            self._wrong(state, Code.PROTOCOL_ERROR, message, events)

    def _end(self, state: _Stream, trailers: Headers, events: list[Event]) -> None:
        if state.length is not None and state.left:
            message = (
                f"the body is shorter than its Content-Length: {state.length - state.left:,} bytes came, "
                f"{state.length:,} were declared"
            )
            self._wrong(state, Code.PROTOCOL_ERROR, message, events)
            return
        state.ended = True
        if state.sent_all:
            del self._streams[state.number]
        events.append(Ended(state.number, trailers))

    def _on_headers(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._check_opened(_HEADERS, stream)
        payload = self._unpad(_HEADERS, flags, payload)
        if flags & _WITH_PRIORITY:
            if len(payload) < 5:
                raise _fault(Code.FRAME_SIZE_ERROR, "the peer sent a HEADERS frame too short for its priority")
            payload = payload[5:]
        if flags & _END_HEADERS:
            self._on_block(flags & _END_STREAM, stream, payload, events)
        else:
            self._block = [payload]
            self._block_size = len(payload)
            self._block_stream = stream
            self._block_ends = flags & _END_STREAM

    def _on_continuation(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        block = self._block
        if not block:
            raise _fault(Code.PROTOCOL_ERROR, "the peer sent CONTINUATION outside of a header block")
        self._charge(FRAME)
        block.append(payload)
        self._block_size += len(payload)
        if len(block) > CONTINUATION_COUNT + 1:
            raise _too_much("the peer sends CONTINUATION frames without end", CONTINUATION_COUNT)
        if self._block_size > HEAD_BYTES:
            raise _too_much("the peer sends a header block of too many bytes", HEAD_BYTES)
        if flags & _END_HEADERS:
            self._block = []
            self._on_block(self._block_ends, stream, b"".join(block), events)

    def _on_block(self, ends: int, stream: int, block: bytes, events: list[Event]) -> None:
        decoded = self._decode(block)
        fields = decoded.fields
        state = self._streams.get(stream)
        if state is None:
            self._charge(block_cost(len(block), len(fields)))
            self._gone(_HEADERS, stream)
            return
        try:
            if state.ended:
                self._wrong(state, Code.STREAM_CLOSED, "the peer sent HEADERS behind the end of the response", events)
            elif state.head_seen:
                self._on_trailers(state, ends, fields, events)
            else:
                self._on_head(state, ends, decoded, len(block), events)
        except (RemoteProtocolError, LimitExceeded) as error:
            code = Code.PROTOCOL_ERROR if isinstance(error, RemoteProtocolError) else Code.ENHANCE_YOUR_CALM
            self._malformed(state, code, error, events)
            self._charge(block_cost(len(block), len(fields)))

    def _decode(self, block: bytes) -> FieldBlock:
        try:
            return self._decoder.decode(block)
        except LimitExceeded:
            raise _too_much("the peer sends a head of too many bytes when decompressed", HEAD_BYTES) from None
        except RemoteProtocolError as error:
            raise _fault(Code.COMPRESSION_ERROR, str(error)) from None

    def _on_head(self, state: _Stream, ends: int, block: FieldBlock, size: int, events: list[Event]) -> None:
        if block.head is None:
            block.head = read_status(block.fields), *read_fields(block.fields[1:])
        status, headers, length = block.head
        head = Head(status, b"", b"2", headers.copy(), headers.copy())  # the caller's own: others share the block
        if status < 200:
            self._count_interim(state, ends, block.fields, size)
            events.append(HeadReceived(state.number, head))
            return
        state.head_seen = True
        if state.connect and status < 300:
            state.tunnel = True  # Content-Length means nothing then (RFC 9110, 8.6)
        elif not state.content or status == 204 or status == 304:
            state.content = False
            state.length = 0
        elif length is not None:
            if ends and length:
                raise RemoteProtocolError(f"the response has no body, but its Content-Length is {length:,}")
            state.length = state.left = length
        events.append(HeadReceived(state.number, head))
        if ends:
            self._end(state, [], events)

    def _count_interim(self, state: _Stream, ends: int, fields: _Fields, size: int) -> None:
        if ends:
            raise RemoteProtocolError("the peer ended the stream with an interim response")
        state.interims += 1
        if state.interims > INTERIM_COUNT:
            raise LimitExceeded(f"the peer sent more than {INTERIM_COUNT} interim responses", limit=INTERIM_COUNT)
        state.head_room -= sum([len(name) + len(value) for name, value in fields])
        if state.head_room < 0:
            raise LimitExceeded(f"the interim responses are longer than {HEAD_BYTES} bytes", limit=HEAD_BYTES)
        self._charge(interim_cost(size, len(fields), first=state.interims == 1))

    def _on_trailers(self, state: _Stream, ends: int, fields: _Fields, events: list[Event]) -> None:
        if state.tunnel:
            raise RemoteProtocolError("the peer sent HEADERS within a tunnel")
        if not ends:
            raise RemoteProtocolError("the peer sent a second head, or trailers that do not end the stream")
        self._end(state, read_fields(fields, trailers=True)[0], events)

    # Inbound: what is not a message. Each reader takes flags, stream, payload, events.

    def _on_priority(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if not stream:
            raise _fault(Code.PROTOCOL_ERROR, "the peer sent PRIORITY on stream 0")
        self._check_size(_PRIORITY, payload, 5)
        self._charge(FRAME)

    def _on_rst_stream(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._check_opened(_RST_STREAM, stream)
        self._check_size(_RST_STREAM, payload, 4)
        self._charge(FRAME)
        if self._streams.pop(stream, None) is None:
            return
        events.append(WasReset(stream, _number.unpack(payload)[0]))

    def _on_settings(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._check_whole(_SETTINGS, stream)
        if flags & _ACK:
            self._check_size(_SETTINGS, payload, 0)
            self._charge(FRAME)
            return
        if len(payload) % 6:
            raise _fault(
                Code.FRAME_SIZE_ERROR, f"the peer sent a SETTINGS frame of {len(payload)} bytes: not a multiple of 6"
            )
        pairs = [*_setting.iter_unpack(payload)]
        windows = sum([setting == _INITIAL_WINDOW_SIZE for setting, _ in pairs])
        self._charge(settings_cost(len(pairs), windows, len(self._streams)))
        if not self.settings_seen:
            self.settings_seen = True
            self.max_streams = _LAST_ID  # unless it says otherwise
        before = self._initial
        for setting, value in pairs:
            self._set(setting, value)
        self._answer(_SETTINGS, _ACK, 0, b"")
        events.append(SettingsChanged(self.max_streams))
        if self._initial > before:
            self._charge(raise_cost(sum([not state.sent_all for state in self._streams.values()])))
            events.append(WindowOpened(0))

    def _set(self, setting: int, value: int) -> None:
        """One setting (6.5.2)."""
        if setting == _MAX_CONCURRENT_STREAMS:
            self.max_streams = min(value, _LAST_ID)
        elif setting == _INITIAL_WINDOW_SIZE:
            most = max([state.spare for state in self._streams.values()], default=0) if value > self._initial else 0
            if value > _LARGEST_WINDOW or value + most > _LARGEST_WINDOW:
                raise _fault(
                    Code.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE {value:,} makes a window too large"
                )
            self._initial = value
        elif setting == _MAX_FRAME_SIZE:
            if not MAX_FRAME <= value < 1 << 24:
                raise _fault(Code.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE {value:,}: 16,384 to 16,777,215 is allowed")
            self.max_frame = min(value, SENT_FRAME)
        elif setting == _HEADER_TABLE_SIZE:
            self._encoder.resize(value)
        elif setting == _ENABLE_PUSH:
            if value:
                raise _fault(Code.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH {value} from a server: 0 is allowed")
        elif setting == _ENABLE_CONNECT_PROTOCOL:
            if value > 1 or value < self.extended_connect:
                raise _fault(
                    Code.PROTOCOL_ERROR, f"SETTINGS_ENABLE_CONNECT_PROTOCOL {value}: 1, or 0 until then, is allowed"
                )
            self.extended_connect = bool(value)

    def _on_push_promise(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        raise _fault(Code.PROTOCOL_ERROR, "the peer sent PUSH_PROMISE, though SETTINGS_ENABLE_PUSH is 0")

    def _on_ping(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._check_whole(_PING, stream)
        self._check_size(_PING, payload, 8)
        self._charge(FRAME if flags & _ACK else ANSWERED)
        if flags & _ACK:
            events.append(Ponged(payload))
        else:
            self._answer(_PING, _ACK, 0, payload)

    def _on_goaway(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._check_whole(_GOAWAY, stream)
        if len(payload) < 8:
            raise _fault(
                Code.FRAME_SIZE_ERROR, f"the peer sent a GOAWAY frame of {len(payload)} bytes: 8 or more are allowed"
            )
        self._charge(goaway_cost(len(payload), len(self._streams)))
        last, code = _two_numbers.unpack_from(payload)
        last &= _LAST_ID
        self._away = True
        if last < self._last:
            self._last = last
            for number in [number for number in self._streams if number > last]:
                self._remember(self._streams.pop(number))
        events.append(WentAway(self._last, code, payload[8:]))

    def _on_window_update(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._check_size(_WINDOW_UPDATE, payload, 4)
        increment = _number.unpack(payload)[0] & _LARGEST_WINDOW
        if stream:
            self._check_opened(_WINDOW_UPDATE, stream)
            state = self._streams.get(stream)
            waiting = state is not None and not state.sent_all and self._initial + state.spare <= 0
            self._charge(window_cost(waiting))
            if state is not None:
                self._open_window(state, increment, events)
            return
        waiting = self._window <= 0
        self._charge(window_cost(len(self._streams) if waiting else 0))
        self._window += increment
        if not increment:
            raise _fault(Code.PROTOCOL_ERROR, "the peer sent WINDOW_UPDATE by 0 for the connection")
        if self._window > _LARGEST_WINDOW:
            raise _fault(Code.FLOW_CONTROL_ERROR, "the peer made the connection's window larger than 2**31 - 1")
        if waiting:
            events.append(WindowOpened(0))

    def _open_window(self, state: _Stream, increment: int, events: list[Event]) -> None:
        waiting = self._initial + state.spare <= 0
        state.spare += increment
        if not increment:
            self._wrong(state, Code.PROTOCOL_ERROR, "the peer sent WINDOW_UPDATE by 0", events)
        elif self._initial + state.spare > _LARGEST_WINDOW:
            message = "the peer made the stream's window larger than 2**31 - 1"
            self._wrong(state, Code.FLOW_CONTROL_ERROR, message, events)
        elif waiting and not state.sent_all:
            events.append(WindowOpened(state.number))


_Reader = Callable[[H2Engine, int, int, bytes, list[Event]], None]
_READERS: tuple[_Reader, ...] = (
    H2Engine._on_data,
    H2Engine._on_headers,
    H2Engine._on_priority,
    H2Engine._on_rst_stream,
    H2Engine._on_settings,
    H2Engine._on_push_promise,
    H2Engine._on_ping,
    H2Engine._on_goaway,
    H2Engine._on_window_update,
    H2Engine._on_continuation,
)
