"""The client's side of one HTTP/2 connection (RFC 9113): frames, streams and windows. No I/O, no clock.

The rules for frames, for their order and for their amount are here. `hpack_encoder` and `hpack_decoder` compress header
fields, and `fields` has the rules for them. The `h2` library was tried first and abandoned, since this client could not
keep its guarantees with it. h2 ends the whole connection for one malformed message, and for a GOAWAY, though the
streams below its last id continue. It answers RST_STREAM with RST_STREAM, and counts all streams anew for each request.
Three quarters of its time are spent neither on compression nor on frames. The tests use h2 as the peer, and as the
reference for accepted frames.

Where the RFC lets us choose, and both sides still agree on the state of the connection, an error concerns one stream
only: that stream is reset, and the others continue (5.4.2). Every other error ends the connection with a GOAWAY that
has the reason (5.4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .._errors import Code, HTTPCoreError, LimitExceeded, RemoteProtocolError
from .._message.fields import Headers
from .._message.head import LIBRARY, Fields, Head
from .._message.rules import DEFAULT_RULES, Leniency, ReadRules
from .fields import check_fields, read_status, trimmed
from .flood_budget import (
    ANSWERED,
    BUDGET,
    FRAME,
    TINY,
    abandoned_data_cost,
    block_cost,
    data_cost,
    goaway_cost,
    interim_cost,
    other_cost,
    padding_cost,
    settings_cost,
    window_cost,
    window_raise_cost,
)
from .frame_reader import Fragments, FrameReader
from .frames import (
    ACK,
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    END_HEADERS,
    END_STREAM,
    FRAME_NAMES,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    LAST_ID,
    PADDED,
    PING,
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
    limit_fault,
    read_settings,
    two_uint32,
    uint32,
    unpad,
)
from .hpack_decoder import FieldDecoder
from .hpack_memory import FieldBlock
from .sender import CONNECTION_WINDOW, Sender
from .streams import STREAM_WINDOW, Listener, Stream

__all__ = ["CONNECTION_WINDOW", "READERS", "STREAM_WINDOW", "H2Engine"]

_Fields = Sequence[tuple[bytes, bytes]]


_FLOOD: Final = (
    "the peer sends frames that cost more work than they deliver content (PING, SETTINGS, tiny DATA, heads of streams "
    "that are gone, or others): expected at most"
)


class H2Engine(Sender):
    """The client's side of one HTTP/2 connection without I/O. It is fed with received bytes, calls a listener and the
    streams, and returns the bytes to send. It has a stream from `request` until both messages are complete or either
    side has reset it.

    Attributes:
        name: library and version, e.g. "httpcore 2.0.0".
        unread: whether `receive` stopped before a frame that was already received. The next call of `receive`, perhaps
            with b"", continues there.
        frames_read: the count of frames so far. A large frame other than DATA counts as several, see
            `frame_reader.BLOCK_SHARE`.
        block_stream: the stream whose header block is not complete; 0 if there is none.
    """

    name = LIBRARY

    def __init__(self, rules: ReadRules = DEFAULT_RULES) -> None:
        super().__init__(rules)
        self.unread = False
        self.frames_read = 0
        self.block_stream = 0
        self._decoder = FieldDecoder(rules.head_bytes)
        self._reader = FrameReader(READERS)
        self._block = Fragments()
        # Bytes of the current header block's frames, without the block itself and the header of its first frame.
        self._block_overhead = 0

    # Inbound bytes.

    def receive(self, data: bytes, listener: Listener, now: float | None = None, most: int = LAST_ID) -> None:
        """Feed received bytes. Never raises.

        Arguments:
            data: any bytes, cut anywhere.
            listener: receives the events of the connection. The frames of a stream are passed to the stream.
            now: seconds of any clock that does not go back. With a time, a few frames a second that deliver nothing
                are allowed for ever (see `flood_budget`). Default None: a quiet connection on which the peer sends only
                PING ends after 32,768 of them.
            most: about how many frames to read; the rest is kept, see `unread`. A caller that shares an event loop, or
                has a deadline, reads a few frames at a time.
        """
        self.unread = False
        if self.closed:
            return
        if now is not None and now >= self._budget.due:
            self._budget.earn_time(now)
        try:
            self.unread = self._reader.read(self, data, listener, most)
        except Fault as end:  # an error of the connection (5.4.1): the GOAWAY has its code and is the last frame
            self.goaway(end.code)
            listener.on_failed(end.error)
        self.frames_read = self._reader.count

    def joinable(self, stream: int, size: int, most: int) -> int:
        """How many DATA frames of `size` bytes, `most` at most, may be handled on this stream as if they were one. Only
        allowed DATA is joined, so that the outcome does not depend on how the bytes were cut."""
        state = self._streams.get(stream)
        if state is None or not state.head_seen or state.ended:
            return 1
        room = min(self._room, state.room) if state.length is None else min(self._room, state.room, state.left)
        count = min(room // size, max(most, 1))
        if size < TINY:
            count = min(count, self._budget.left // data_cost(size, 1))
        return count

    def on_unknown(self, payload: bytes) -> None:
        """A frame of an unknown kind is ignored (4.1)."""
        self._charge(other_cost(len(payload)))

    def _charge(self, cost: int) -> None:
        """Charge a received frame that delivers nothing, or less than it costs."""
        if not self._budget.spend(cost):
            raise limit_fault(_FLOOD, BUDGET)

    def _check_opened(self, kind: int, stream: int) -> None:
        """Check that the frame is for a stream that we have opened, now or before (5.1)."""
        # Even ids are for streams of the server, which may open none: push is off (8.4).
        if not stream & 1 or stream >= self._next:
            raise fault(
                Code.PROTOCOL_ERROR, f"the peer sent {FRAME_NAMES[kind]} on stream {stream}, which has not been opened"
            )

    # Inbound messages.

    def _on_unopened_stream(self, kind: int, stream: int, credit: int = 0) -> None:
        """Handle a frame of a message for a stream that is not open: the frame is late, or wrong (5.1). `credit` bytes
        of DATA count against the rest of the stream's window."""
        self._check_opened(kind, stream)
        room = self._abandoned.room_of(kind, stream)
        if not credit:
            return
        # The stream is so old that its window was forgotten. Its DATA is charged in full: nothing else bounds it.
        if room is None:
            self._charge(other_cost(credit))
            return
        self._charge(abandoned_data_cost(credit, 1))
        self._abandoned.receive(stream, credit)

    def _malformed(self, state: Stream, code: Code, error: HTTPCoreError, listener: Listener) -> None:
        self._give_up(state, code)
        listener.on_malformed(state, error)
        # The RST_STREAM has 9 and 4 bytes. It counts as an answer: otherwise a peer that does not read could fill our
        # memory with such frames.
        self._out.count_answer(13)

    def _violation(self, state: Stream, code: Code, message: str, listener: Listener) -> None:
        self._malformed(state, code, RemoteProtocolError(f"{message} ({code.name})"), listener)

    def on_data(self, flags: int, stream: int, payload: bytes, listener: Listener, frames: int = 1) -> None:
        """Handle DATA; `frames` is the number of frames that were joined."""
        credit = len(payload)
        if flags & PADDED:
            payload = unpad(DATA, flags, payload)
            self._charge(padding_cost(credit - len(payload)))
        # Padding counts against the windows too (6.1). The connection's window is charged first, for streams that
        # are gone as well: both sides must count the same bytes.
        self._room -= credit
        if self._room < 0:
            raise fault(Code.FLOW_CONTROL_ERROR, "the peer sent more DATA than the connection's window allows")
        state = self._streams.get(stream)
        if not credit and (state is None or state.ended):
            # nginx 1.22 ends an empty file twice when many streams compete: this is harmless.
            self._check_opened(DATA, stream)
            self._charge(FRAME)
            return
        if state is None:
            self._on_unopened_stream(DATA, stream, credit)
            self._return_credit(None, credit)  # DATA is discarded, but the connection's window is shared (6.9)
            return
        size = len(payload)
        state.bytes_received += credit + 9 * frames
        state.room -= credit
        if state.ended or not state.head_seen or state.room < 0 or (state.length is not None and state.left < size):
            self._charge(data_cost(size, frames))
            self._violation(state, *state.data_refusal(), listener)
            self._return_credit(None, credit)
            return
        # The last frame may be tiny: there is one for each body, and our request has refilled the budget.
        if size < frames * TINY and not flags & END_STREAM:
            self._charge(data_cost(size, frames))
        state.left -= size
        if size:
            state.on_body(payload)
        if credit > size:  # padding is not passed to the reader
            self._return_credit(state, credit - size)
        if flags & END_STREAM:
            self._end(state, None, listener)

    def _end(self, state: Stream, trailers: Headers | None, listener: Listener) -> None:
        # RFC 9113, section 8.1.1: a body of another length than declared makes the message malformed.
        if state.left and (message := state.shortage()):
            self._violation(state, Code.PROTOCOL_ERROR, message, listener)
            return
        if trailers is not None:
            state.trailers = trailers  # set before the end: an ended message counts as complete, even after Ctrl-C
        self._took_end(state)
        if state.on_end():
            self.reset(state, Code.NO_ERROR)  # an early response: the server needs no more of the request (8.1)

    def _on_headers(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
        self._check_opened(HEADERS, stream)
        if flags & (PADDED | WITH_PRIORITY):
            self._block_overhead = len(payload)
        payload = unpad(HEADERS, flags, payload)
        if flags & WITH_PRIORITY:
            if len(payload) < 5:
                raise fault(Code.FRAME_SIZE_ERROR, "the peer sent a HEADERS frame too short for its priority")
            payload = payload[5:]
        if self._block_overhead:
            self._block_overhead -= len(payload)
        if flags & END_HEADERS:
            self._on_block(flags & END_STREAM, stream, payload, listener)
        else:
            self._block = Fragments(payload, flags & END_STREAM, self._rules.head_bytes)
            self.block_stream = stream

    def _on_continuation(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
        if not self.block_stream:
            raise fault(Code.PROTOCOL_ERROR, "the peer sent CONTINUATION outside of a header block")
        self._charge(FRAME)
        self._block_overhead += 9
        self._block.add(payload)
        if flags & END_HEADERS:
            self.block_stream = 0
            self._on_block(self._block.ends, stream, bytes(self._block.data), listener)

    def _on_block(self, ends: int, stream: int, block: bytes, listener: Listener) -> None:
        # A block is decoded even for a closed stream: it changes the table that all later blocks refer to (4.3).
        decoded = _decode(self._decoder, block, self._rules.head_bytes)
        fields = decoded.fields
        state = self._streams.get(stream)
        if state is None:
            self._block_overhead = 0
            self._charge(block_cost(len(block), len(fields)))
            self._on_unopened_stream(HEADERS, stream)
            return
        size = len(block)
        state.bytes_received += size + 9 + self._block_overhead
        self._block_overhead = 0
        try:
            if state.ended:
                self._violation(
                    state, Code.STREAM_CLOSED, "the peer sent HEADERS after the end of the response", listener
                )
            elif state.head_seen:
                self._on_trailers(state, ends, fields, listener)
            else:
                self._on_head(state, ends, decoded, size, listener)
        except (RemoteProtocolError, LimitExceeded) as error:
            code = Code.PROTOCOL_ERROR if isinstance(error, RemoteProtocolError) else Code.ENHANCE_YOUR_CALM
            self._malformed(state, code, error, listener)
            self._charge(block_cost(len(block), len(fields)))

    def _on_head(self, state: Stream, ends: int, block: FieldBlock, size: int, listener: Listener) -> None:
        known, rules = block.head, self._rules
        # A remembered head may have been checked under other rules, so the rules of this connection are applied again.
        if known is None or len(block.fields) > rules.field_count or (known[0].lenient and rules.strict):
            status = read_status(block.fields)
            fields, marked, length, lenient = self._checked(block.fields[1:])
            block.head = known = Head(status, b"", b"2", fields, fields, marked, lenient), length
        head, length = known
        status = head.status
        if status < 200:
            state.count_interim(block.fields, ends)
            self._charge(interim_cost(size, len(block.fields), first=state.interim_count == 1))
            state.lenient = head.lenient or state.lenient
            state.on_interim(head)
            return
        state.begin(status, length, ends)
        state.on_head(head)
        if ends:
            self._end(state, None, listener)

    def _on_trailers(self, state: Stream, ends: int, fields: Fields, listener: Listener) -> None:
        if state.tunnel:
            raise RemoteProtocolError("the peer sent HEADERS in a tunnel: expected only DATA")
        if not ends:
            raise RemoteProtocolError("the peer sent a second head, or trailers that do not end the stream")
        checked, _, _, lenient = self._checked(fields, trailers=True)
        state.lenient = lenient or state.lenient
        self._end(state, [*checked], listener)

    def _checked(
        self, fields: Fields, *, trailers: bool = False
    ) -> tuple[Fields, Fields, int | None, tuple[Leniency, ...]]:
        """Return the fields, the fields among them that are in `head.MARKED`, the value of Content-Length, and the
        deviations that the rules allow."""
        most = self._rules.field_count
        try:
            return fields, *check_fields(fields, trailers=trailers, most=most), ()
        except RemoteProtocolError as error:
            if self._rules.strict or (mended := trimmed(fields)) == fields:
                raise
            try:
                return mended, *check_fields(mended, trailers=trailers, most=most), ("blank-around-value",)
            except RemoteProtocolError:
                raise error from None

    # Inbound frames outside of messages. Each handler has the arguments flags, stream, payload, listener.

    def _on_priority(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
        if not stream:
            raise fault(Code.PROTOCOL_ERROR, "the peer sent PRIORITY on stream 0")
        check_size(PRIORITY, payload, 5)
        self._charge(FRAME)

    def _on_rst_stream(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
        self._check_opened(RST_STREAM, stream)
        check_size(RST_STREAM, payload, 4)
        self._charge(FRAME)
        state = self._streams.get(stream)
        if state is not None:
            # The stream is removed before the listener is called: the listener may open another one in its place.
            self._took_reset(state)
            listener.on_reset(state, uint32.unpack(payload)[0])

    def _on_settings(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
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
            self.max_streams = LAST_ID  # no limit unless this frame has one (6.5.2)
        before = self._initial
        for setting, value in pairs:  # in order, and all before the acknowledgement (6.5.3)
            self._set(setting, value)
        self._write_settings_answer()
        listener.on_settings()
        # Only a raised window lets uploads continue.
        if self._initial > before:
            self._charge(window_raise_cost(sum([not state.sent_all for state in self._streams.values()])))
            listener.on_window()

    def _set(self, setting: int, value: int) -> None:
        """Apply one setting (6.5.2)."""
        check_setting(setting, value)
        if setting == INITIAL_WINDOW_SIZE and value > self._initial:
            most = max([state.spare for state in self._streams.values()], default=0)
            if value + most > LARGEST_WINDOW:  # a change applies to all open streams at once (6.9.2)
                raise fault(Code.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE {value:,} makes a window too large")
        elif setting == ENABLE_CONNECT_PROTOCOL and value < self.extended_connect:
            raise connect_protocol_fault(value)
        self._took_setting(setting, value)

    def _on_push_promise(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
        # This is a connection error, since the promised stream would have to be tracked to be refused (8.4).
        raise fault(Code.PROTOCOL_ERROR, "the peer sent PUSH_PROMISE, though SETTINGS_ENABLE_PUSH is 0")

    def _on_ping(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
        check_whole(PING, stream)
        check_size(PING, payload, 8)
        self._charge(FRAME if flags & ACK else ANSWERED)
        if flags & ACK:
            listener.on_pong()
        else:
            self._write_ping_answer(payload)

    def _on_goaway(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
        check_whole(GOAWAY, stream)
        if len(payload) < 8:
            raise fault(
                Code.FRAME_SIZE_ERROR, f"the peer sent a GOAWAY frame of {len(payload)} bytes: expected 8 or more"
            )
        self._charge(goaway_cost(len(payload), len(self._streams)))  # each open stream is checked
        last, code = two_uint32.unpack_from(payload)
        # The first bit is reserved, and a later GOAWAY may only lower the number (6.8).
        gone = self._took_goaway(last & LAST_ID)
        listener.on_goaway(self._last, code, payload[8:], gone)

    def _on_window_update(self, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
        check_size(WINDOW_UPDATE, payload, 4)
        increment = uint32.unpack(payload)[0] & LARGEST_WINDOW
        if stream:
            self._check_opened(WINDOW_UPDATE, stream)
            state = self._streams.get(stream)
            waiting = state is not None and not state.sent_all and self._initial + state.spare <= 0
            self._charge(window_cost(waiting))
            if state is not None:
                self._open_window(state, increment, listener)
            return
        waiting = self.connection_window <= 0
        # The frame is charged before it is checked, so that wrong frames are not free.
        self._charge(window_cost(len(self._streams) if waiting else 0))
        if not increment:
            raise fault(Code.PROTOCOL_ERROR, "the peer sent WINDOW_UPDATE by 0 for the connection")
        if self.connection_window + increment > LARGEST_WINDOW:
            raise fault(Code.FLOW_CONTROL_ERROR, "the peer made the connection's window larger than 2**31 - 1")
        self._took_window_update(None, increment)
        if waiting:
            listener.on_window()

    def _open_window(self, state: Stream, increment: int, listener: Listener) -> None:
        waiting = self._initial + state.spare <= 0
        if not increment:
            self._violation(state, Code.PROTOCOL_ERROR, "the peer sent WINDOW_UPDATE by 0", listener)
            return
        if self._initial + state.spare + increment > LARGEST_WINDOW:
            message = "the peer made the stream's window larger than 2**31 - 1"
            self._violation(state, Code.FLOW_CONTROL_ERROR, message, listener)
            return
        self._took_window_update(state, increment)
        if waiting and not state.sent_all:
            listener.on_stream_window(state)


_Reader = Callable[[H2Engine, int, int, bytes, Listener], None]
READERS: tuple[_Reader, ...] = (
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


def _decode(decoder: FieldDecoder, block: bytes, most: int) -> FieldBlock:
    try:
        return decoder.decode(block)
    except LimitExceeded:
        raise limit_fault("the peer sent a head that is too large after decompression", most) from None
    except RemoteProtocolError as error:
        raise fault(Code.COMPRESSION_ERROR, str(error)) from None
