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
from typing import Final

from .._errors import Code, HTTPCoreError, LimitExceeded, LocalProtocolError, RemoteProtocolError
from .._message.fields import Headers
from .._message.head import LIBRARY, Head
from .._message.rules import DEFAULT_RULES, Leniency, ReadRules
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
from .fields import read_fields, read_status, trimmed
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
from .frame_reader import Fragments, FrameReader
from .frame_writer import FrameWriter
from .frames import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FRAME_NAMES,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    LAST_ID,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Fault,
    check_setting,
    check_size,
    check_whole,
    connect_protocol_fault,
    fault,
    read_settings,
    setting_pair,
    too_much,
    two_uint32,
    uint32,
    unpad,
)
from .hpack_decoder import FieldBlock, FieldDecoder
from .hpack_encoder import FieldEncoder
from .streams import STREAM_WINDOW, GivenUp, Stream

__all__ = ["CONNECTION_WINDOW", "STREAM_WINDOW", "H2Engine"]

# What we grant. Bytes.

CONNECTION_WINDOW: Final = 1 << 24
"""The same for all streams together. It grows by as much when there are more streams than it has room for, so that
responses which nobody reads never stop one that somebody does."""

# How much a peer may send before it has said something. Bytes, or counts where the name says so.

# What we send.

SENT_FRAME: Final = 65536
"""The largest DATA frame that we send, where the peer takes more than the default of 16 KiB."""

_Fields = Sequence[tuple[bytes, bytes]]


def _our_settings(head_bytes: int) -> bytes:
    pairs = ((ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, STREAM_WINDOW), (MAX_HEADER_LIST_SIZE, head_bytes))
    return b"".join([setting_pair.pack(*pair) for pair in pairs])


_FLOOD: Final = (
    "the peer sends frames that cost more work than they deliver content (PING, SETTINGS, tiny DATA, heads of streams "
    "that are gone, or others): expected at most"
)


class H2Engine:
    """See `engines.HTTP2Engine`, which says what the parts of this do.

    Attributes:
        name: library and version, e.g. "httpcore 0.1.0".
        max_streams, max_frame, settings_seen, extended_connect: what the peer's SETTINGS say.
        closed: nothing may be sent any more, but for what `take` has.
        owed: bytes that `take` would return.
        unread: `receive` stopped before a frame that it has. It goes on when it is called again, with b"" if need be.
        frames_read: so far; the frames of header blocks count for more, see `frame_reader.BLOCK_SHARE`.
        block_stream: the stream of a header block that is not complete; 0 if there is none.
    """

    name = LIBRARY

    def __init__(self, rules: ReadRules = DEFAULT_RULES) -> None:
        self._rules = rules
        self.max_streams = 100
        self.max_frame = MAX_FRAME
        self.settings_seen = False
        self.extended_connect = False
        self.closed = False
        self.unread = False
        self.frames_read = 0
        self._out = FrameWriter()
        self._send = self._out.send
        self._encoder = FieldEncoder()
        self._decoder = FieldDecoder(rules.head_bytes)
        self._streams: dict[int, Stream] = {}
        self._given_up = GivenUp()
        self._next = 1
        self._last = LAST_ID  # of the peer's GOAWAY
        self._away = False
        # Inbound.
        self._reader = FrameReader(_READERS)
        self._block = Fragments()
        self.block_stream = 0
        self._budget = FloodBudget()
        # Windows: theirs to send in, then ours.
        self._goal = CONNECTION_WINDOW
        self._room = CONNECTION_WINDOW
        self._uncredited = 0
        self._initial = DEFAULT_WINDOW
        self._window = DEFAULT_WINDOW

    @property
    def owed(self) -> int:
        return self._out.owed

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    @property
    def connection_window(self) -> int:
        return self._window

    # Outbound.

    def start(self) -> None:
        self._out.put(PREFACE)
        self._send(SETTINGS, 0, 0, _our_settings(self._rules.head_bytes))
        self._send(WINDOW_UPDATE, 0, 0, uint32.pack(CONNECTION_WINDOW - DEFAULT_WINDOW))

    def request(self, headers: Headers, *, end: bool) -> int:
        number = self._next
        self._check_request(number, headers)
        self._next = number + 2
        self._streams[number] = Stream(number, headers[0][1], end)
        if len(self._streams) * STREAM_WINDOW > self._goal:
            self._widen()
        self._out.send_block(number, self._encoder.encode(headers), self.max_frame, end=end)
        self._budget.earn_request()
        return number

    def _check_request(self, number: int, headers: Headers) -> None:
        if self.closed:
            raise LocalProtocolError("this HTTP/2 connection is over: it takes no more requests")
        if self._away:
            raise LocalProtocolError("the peer went away (GOAWAY): this HTTP/2 connection takes no more requests")
        if number > LAST_ID:
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
                self._send(DATA, 0, stream, bytes(view[at : at + self.max_frame]))
                at += self.max_frame
            data = view[at:]
        if size or end:
            self._send(DATA, END_STREAM if end else 0, stream, bytes(data))
        if end:
            self._sent_all(state)

    def trailers(self, stream: int, headers: Headers) -> None:
        state = self._sending(stream)
        self._out.send_block(stream, self._encoder.encode(headers), self.max_frame, end=True)
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
            self._send(WINDOW_UPDATE, 0, 0, uint32.pack(self._uncredited))
            self._room += self._uncredited
            self._uncredited = 0
        state = self._streams.get(stream)
        if state is not None and not state.ended:
            state.owed += credit
            if state.owed * 2 >= STREAM_WINDOW:
                self._send(WINDOW_UPDATE, 0, stream, uint32.pack(state.owed))
                state.room += state.owed
                state.owed = 0

    def ping(self, payload: bytes) -> None:
        if len(payload) != 8:
            raise LocalProtocolError(f"a PING of {len(payload)} bytes: 8 are allowed")
        if not self.closed:
            self._send(PING, 0, 0, payload)

    def goaway(self, code: int) -> None:
        if not self.closed:
            self._send(GOAWAY, 0, 0, two_uint32.pack(0, code))
            self.closed = True
            self._streams.clear()

    def take(self) -> bytes:
        return self._out.take()

    def _sending(self, stream: int) -> Stream:
        state = self._streams.get(stream)
        if state is None or state.sent_all or self.closed:
            raise LocalProtocolError(f"stream {stream} takes no more of the request: it has been ended or reset")
        return state

    def _sent_all(self, state: Stream) -> None:
        state.sent_all = True
        if state.ended:
            del self._streams[state.number]

    def _widen(self) -> None:
        if self._goal + CONNECTION_WINDOW <= LARGEST_WINDOW:
            self._goal += CONNECTION_WINDOW
            self._room += CONNECTION_WINDOW
            self._send(WINDOW_UPDATE, 0, 0, uint32.pack(CONNECTION_WINDOW))

    def _give_up(self, stream: int, code: int) -> None:
        self._given_up.remember(self._streams.pop(stream))
        self._send(RST_STREAM, 0, stream, uint32.pack(code))

    # Inbound: bytes.

    def receive(self, data: bytes, now: float | None = None, most: int = LAST_ID) -> list[Event]:
        events: list[Event] = []
        self.unread = False
        if self.closed:
            return events
        if now is not None and now >= self._budget.due:
            self._budget.earn_time(now)
        try:
            self.unread = self._reader.read(self, data, events, most)
        except Fault as end:
            self.goaway(end.code)
            events.append(Failed(end.error))
        self.frames_read = self._reader.count
        return events

    def joinable(self, stream: int, size: int, most: int) -> int:
        """How many DATA frames of `size` bytes, `most` at most, may come on this stream as if they were one. Only as
        far as all of it is allowed, so that the outcome does not depend on how the bytes were cut."""
        state = self._streams.get(stream)
        if state is None or not state.head_seen or state.ended:
            return 1
        room = min(self._room, state.room) if state.length is None else min(self._room, state.room, state.left)
        count = min(room // size, max(most, 1))
        if size < TINY:
            count = min(count, self._budget.left // data_cost(size, 1))
        return count

    def on_unknown(self, payload: bytes) -> None:
        """A frame of a kind that nobody knows is ignored (4.1)."""
        self._charge(other_cost(len(payload)))

    def _charge(self, cost: int) -> None:
        """A frame came that delivers nothing, or less than it costs."""
        if not self._budget.spend(cost):
            raise too_much(_FLOOD, BUDGET)

    def _check_opened(self, kind: int, stream: int) -> None:
        """The frame is for a stream that we have opened, now or before (5.1)."""
        if not stream & 1 or stream >= self._next:
            raise fault(
                Code.PROTOCOL_ERROR, f"the peer sent {FRAME_NAMES[kind]} on stream {stream}, which has not been opened"
            )

    # Inbound: messages.

    def _gone(self, kind: int, stream: int, credit: int = 0) -> None:
        """A frame of a message came for a stream that is not open: late, or wrong (5.1). `credit` bytes of DATA count
        against what the stream's window had left."""
        self._check_opened(kind, stream)
        room = self._given_up.room_of(kind, stream)
        if not credit:
            return
        if room is None:
            self._charge(other_cost(credit))
            return
        self._charge(abandoned_data_cost(credit, 1))
        self._given_up.receive(stream, credit)

    def _malformed(self, state: Stream, code: Code, error: HTTPCoreError, events: list[Event]) -> None:
        self._give_up(state.number, code)
        events.append(Malformed(state.number, error))
        self._out.count_answer(13)

    def _wrong(self, state: Stream, code: Code, message: str, events: list[Event]) -> None:
        self._malformed(state, code, RemoteProtocolError(f"{message} ({code.name})"), events)

    def on_data(self, flags: int, stream: int, payload: bytes, events: list[Event], frames: int = 1) -> None:
        """DATA; `frames` of them if they were joined."""
        credit = len(payload)
        if flags & PADDED:
            payload = unpad(DATA, flags, payload)
            self._charge(padding_cost(credit - len(payload)))
        self._room -= credit
        if self._room < 0:
            raise fault(Code.FLOW_CONTROL_ERROR, "the peer sent more DATA than the connection's window allows")
        state = self._streams.get(stream)
        if not credit and (state is None or state.ended):
            # nginx 1.22 ends an empty file twice when many streams compete: it says nothing, and so it harms nobody.
            self._check_opened(DATA, stream)
            self._charge(FRAME)
            return
        if state is None:
            self._gone(DATA, stream, credit)
            self._return_credit(stream, credit)
            return
        size = len(payload)
        state.room -= credit
        if state.ended or not state.head_seen or state.room < 0 or (state.length is not None and state.left < size):
            self._charge(data_cost(size, frames))
            self._wrong(state, *state.data_refusal(), events)
            self._return_credit(stream, credit)
            return
        if size < frames * TINY and not flags & END_STREAM:
            self._charge(data_cost(size, frames))
        state.left -= size
        if events and 0 < size < 4096:
            _add_small(stream, payload, events)
        elif size:
            events.append(BodyReceived(stream, payload))
        if credit > size:  # no reader sees the padding
            self._return_credit(stream, credit - size)
        if flags & END_STREAM:
            self._end(state, [], events)

    def _end(self, state: Stream, trailers: Headers, events: list[Event], lenient: tuple[Leniency, ...] = ()) -> None:
        if message := state.shortage():
            self._wrong(state, Code.PROTOCOL_ERROR, message, events)
            return
        state.ended = True
        if state.sent_all:
            del self._streams[state.number]
        events.append(Ended(state.number, trailers, lenient))

    def _on_headers(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._check_opened(HEADERS, stream)
        payload = unpad(HEADERS, flags, payload)
        if flags & WITH_PRIORITY:
            if len(payload) < 5:
                raise fault(Code.FRAME_SIZE_ERROR, "the peer sent a HEADERS frame too short for its priority")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._on_block(flags & END_STREAM, stream, payload, events)
        else:
            self._block = Fragments(payload, flags & END_STREAM, self._rules.head_bytes)
            self.block_stream = stream

    def _on_continuation(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if not self.block_stream:
            raise fault(Code.PROTOCOL_ERROR, "the peer sent CONTINUATION outside of a header block")
        self._charge(FRAME)
        self._block.add(payload)
        if flags & END_HEADERS:
            self.block_stream = 0
            self._on_block(self._block.ends, stream, bytes(self._block.data), events)

    def _on_block(self, ends: int, stream: int, block: bytes, events: list[Event]) -> None:
        decoded = _decode(self._decoder, block, self._rules.head_bytes)
        fields = decoded.fields
        state = self._streams.get(stream)
        if state is None:
            self._charge(block_cost(len(block), len(fields)))
            self._gone(HEADERS, stream)
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

    def _on_head(self, state: Stream, ends: int, block: FieldBlock, size: int, events: list[Event]) -> None:
        rules = self._rules
        known = block.head
        # What is known was read for any connection, so what this one's rules say of it is asked again.
        if known is None or len(block.fields) > rules.field_count + 1 or (known[3] and rules.strict):
            block.head = known = read_status(block.fields), *self._read_fields(block.fields[1:])
        status, headers, length, lenient = known
        head = Head(status, b"", b"2", headers.copy(), headers.copy(), None, lenient)  # others share the block
        if status < 200:
            state.count_interim(block.fields, ends)
            self._charge(interim_cost(size, len(block.fields), first=state.interims == 1))
            events.append(HeadReceived(state.number, head))
            return
        state.begin(status, length, ends)
        events.append(HeadReceived(state.number, head))
        if ends:
            self._end(state, [], events)

    def _on_trailers(self, state: Stream, ends: int, fields: _Fields, events: list[Event]) -> None:
        if state.tunnel:
            raise RemoteProtocolError("the peer sent HEADERS within a tunnel")
        if not ends:
            raise RemoteProtocolError("the peer sent a second head, or trailers that do not end the stream")
        headers, _, lenient = self._read_fields(fields, trailers=True)
        self._end(state, headers, events, lenient)

    def _read_fields(
        self, fields: _Fields, *, trailers: bool = False
    ) -> tuple[Headers, int | None, tuple[Leniency, ...]]:
        """The fields, the value of Content-Length, and what is unusual about them, where the rules allow that."""
        most = self._rules.field_count
        try:
            return *read_fields(fields, trailers=trailers, most=most), ()
        except RemoteProtocolError as error:
            if self._rules.strict or (mended := trimmed(fields)) == [*fields]:
                raise
            try:
                return *read_fields(mended, trailers=trailers, most=most), ("blank-around-value",)
            except RemoteProtocolError:
                raise error from None

    # Inbound: what is not a message. Each reader takes flags, stream, payload, events.

    def _on_priority(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        if not stream:
            raise fault(Code.PROTOCOL_ERROR, "the peer sent PRIORITY on stream 0")
        check_size(PRIORITY, payload, 5)
        self._charge(FRAME)

    def _on_rst_stream(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        self._check_opened(RST_STREAM, stream)
        check_size(RST_STREAM, payload, 4)
        self._charge(FRAME)
        if self._streams.pop(stream, None) is None:
            return
        events.append(WasReset(stream, uint32.unpack(payload)[0]))

    def _on_settings(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        check_whole(SETTINGS, stream)
        if flags & ACK:
            check_size(SETTINGS, payload, 0)
            self._charge(FRAME)
            return
        pairs = read_settings(payload)
        windows = sum([setting == INITIAL_WINDOW_SIZE for setting, _ in pairs])
        self._charge(settings_cost(len(pairs), windows, len(self._streams)))
        if not self.settings_seen:
            self.settings_seen = True
            self.max_streams = LAST_ID  # unless it says otherwise
        before = self._initial
        for setting, value in pairs:
            self._set(setting, value)
        self._out.answer(SETTINGS, ACK, 0, b"")
        events.append(SettingsChanged())
        if self._initial > before:
            self._charge(raise_cost(sum([not state.sent_all for state in self._streams.values()])))
            events.append(WindowOpened(0))

    def _set(self, setting: int, value: int) -> None:
        """One setting (6.5.2)."""
        check_setting(setting, value)
        if setting == MAX_CONCURRENT_STREAMS:
            self.max_streams = min(value, LAST_ID)
        elif setting == INITIAL_WINDOW_SIZE:
            most = max([state.spare for state in self._streams.values()], default=0) if value > self._initial else 0
            if value + most > LARGEST_WINDOW:
                raise fault(Code.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE {value:,} makes a window too large")
            self._initial = value
        elif setting == MAX_FRAME_SIZE:
            self.max_frame = min(value, SENT_FRAME)
        elif setting == HEADER_TABLE_SIZE:
            self._encoder.resize(value)
        elif setting == ENABLE_CONNECT_PROTOCOL:
            if value < self.extended_connect:
                raise connect_protocol_fault(value)
            self.extended_connect = bool(value)

    def _on_push_promise(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        raise fault(Code.PROTOCOL_ERROR, "the peer sent PUSH_PROMISE, though SETTINGS_ENABLE_PUSH is 0")

    def _on_ping(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        check_whole(PING, stream)
        check_size(PING, payload, 8)
        self._charge(FRAME if flags & ACK else ANSWERED)
        if flags & ACK:
            events.append(Ponged(payload))
        else:
            self._out.answer(PING, ACK, 0, payload)

    def _on_goaway(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        check_whole(GOAWAY, stream)
        if len(payload) < 8:
            raise fault(
                Code.FRAME_SIZE_ERROR, f"the peer sent a GOAWAY frame of {len(payload)} bytes: 8 or more are allowed"
            )
        self._charge(goaway_cost(len(payload), len(self._streams)))
        last, code = two_uint32.unpack_from(payload)
        last &= LAST_ID
        self._away = True
        if last < self._last:
            self._last = last
            for number in [number for number in self._streams if number > last]:
                self._given_up.remember(self._streams.pop(number))
        events.append(WentAway(self._last, code, payload[8:]))

    def _on_window_update(self, flags: int, stream: int, payload: bytes, events: list[Event]) -> None:
        check_size(WINDOW_UPDATE, payload, 4)
        increment = uint32.unpack(payload)[0] & LARGEST_WINDOW
        if stream:
            self._check_opened(WINDOW_UPDATE, stream)
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
            raise fault(Code.PROTOCOL_ERROR, "the peer sent WINDOW_UPDATE by 0 for the connection")
        if self._window > LARGEST_WINDOW:
            raise fault(Code.FLOW_CONTROL_ERROR, "the peer made the connection's window larger than 2**31 - 1")
        if waiting:
            events.append(WindowOpened(0))

    def _open_window(self, state: Stream, increment: int, events: list[Event]) -> None:
        waiting = self._initial + state.spare <= 0
        state.spare += increment
        if not increment:
            self._wrong(state, Code.PROTOCOL_ERROR, "the peer sent WINDOW_UPDATE by 0", events)
        elif self._initial + state.spare > LARGEST_WINDOW:
            message = "the peer made the stream's window larger than 2**31 - 1"
            self._wrong(state, Code.FLOW_CONTROL_ERROR, message, events)
        elif waiting and not state.sent_all:
            events.append(WindowOpened(state.number))


_Reader = Callable[[H2Engine, int, int, bytes, list[Event]], None]
_READERS: tuple[_Reader, ...] = (
    H2Engine.on_data,
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


def _add_small(stream: int, payload: bytes, events: list[Event]) -> None:
    """Join it to what came before it, in linear time: a bytearray grows in place."""
    last = events[-1]
    if type(last) is BodyReceived and last.stream == stream:
        if type(last.data) is bytes:
            last.data = bytearray(last.data)
        last.data += payload
    else:
        events.append(BodyReceived(stream, payload))


def _decode(decoder: FieldDecoder, block: bytes, most: int) -> FieldBlock:
    try:
        return decoder.decode(block)
    except LimitExceeded:
        raise too_much("the peer sends a head of too many bytes when decompressed", most) from None
    except RemoteProtocolError as error:
        raise fault(Code.COMPRESSION_ERROR, str(error)) from None
