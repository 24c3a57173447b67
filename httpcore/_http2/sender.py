"""Our side of one HTTP/2 connection: requests, the streams that they open, and the windows both ways. No I/O, no clock.

Everything that is sent is decided here and written by one of the `_write_…` methods, which decide nothing: another
implementation of frames and compression can replace these. Each change that the peer makes to this state is made by one
of the `_took_…` methods, after all checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .._errors import LocalProtocolError
from .._message.fields import Headers
from .._message.rules import ReadRules
from .flood_budget import FloodBudget
from .frame_writer import FrameWriter
from .frames import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    END_STREAM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    LAST_ID,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    setting_pair,
    two_uint32,
    uint32,
)
from .hpack_encoder import FieldEncoder
from .streams import STREAM_WINDOW, AbandonedStreams, Stream

__all__ = ["CONNECTION_WINDOW", "Sender"]

CONNECTION_WINDOW: Final = 1 << 24
"""Bytes that the peer may send on all streams together. It grows by this amount when there are more streams than it has
room for, so that unread responses never stop a response that is read."""

SENT_FRAME: Final = 65536
"""The largest payload of a frame that we send, in bytes, if the peer accepts more than the default of 16 KiB."""


class Sender:
    """Our side of one connection. It is not thread-safe: a connection that is shared holds a lock around each call.

    Attributes:
        max_streams: how many streams the peer allows at once: 100 until its SETTINGS are received, at most 2**31 - 1.
        max_frame: the largest frame that we send, in bytes of payload.
        settings_seen: whether the peer's first SETTINGS were received.
        extended_connect: whether the peer accepts `:protocol` (RFC 8441).
        closed: whether nothing may be sent any more, except the bytes that `take` returns.
        connection_window: how many bytes may be sent on all streams together.
    """

    def __init__(self, rules: ReadRules) -> None:
        self._rules = rules
        self.max_streams = 100  # the least that servers should allow (6.5.2), until SETTINGS allow more or less
        self.max_frame = MAX_FRAME
        self.settings_seen = False
        self.extended_connect = False
        self.closed = False
        self._out = FrameWriter()
        self._encoder = FieldEncoder()
        self._streams: dict[int, Stream] = {}
        self._abandoned = AbandonedStreams()
        self._next = 1
        self._last = LAST_ID  # the last stream id of the peer's GOAWAY
        self._has_goaway = False
        self._budget = FloodBudget()
        # First the connection's window that limits the peer, then the windows that limit us.
        self._target_window = CONNECTION_WINDOW
        self._room = CONNECTION_WINDOW
        self._uncredited = 0
        self._initial = DEFAULT_WINDOW
        self.connection_window = DEFAULT_WINDOW

    @property
    def pending(self) -> int:
        """Bytes that `take` would return."""
        return self._out.pending

    @property
    def opened_streams(self) -> int:
        """Streams that were opened so far."""
        return self._next // 2

    @property
    def open_streams(self) -> int:
        """Streams that count against `max_streams`."""
        return len(self._streams)

    # Methods for the user of the engine.

    def start(self) -> None:
        """Send the preface and our SETTINGS. Call this once, before all other methods."""
        self._write_start(
            ((ENABLE_PUSH, 0), (INITIAL_WINDOW_SIZE, STREAM_WINDOW), (MAX_HEADER_LIST_SIZE, self._rules.head_bytes))
        )
        # The connection's window has no setting: only WINDOW_UPDATE changes it (6.9.2).
        self._write_window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW)

    def request(self, stream: Stream, headers: Headers, *, end: bool, key: bytes = b"") -> None:
        """Open a stream. `stream` is a new object, which gets its number here.

        Arguments:
            headers: as they are sent: pseudo-headers first, names lower-cased, nothing connection-specific.
            end: whether there is neither a body nor trailers.
            key: identifies `headers` that have no credentials, so that their block is remembered. Default b"": the
                block is not remembered.

        Raises:
            LocalProtocolError: the ids are used up, the peer has sent GOAWAY, the peer allows no more streams or no
                `:protocol`, or the connection has ended.
        """
        number = self._next
        method = headers[0][1]
        if self.closed or self._has_goaway or number > LAST_ID or len(self._streams) >= self.max_streams:
            raise LocalProtocolError(self._refusal())
        if method == b"CONNECT":
            self._check_connect(headers)
            stream.connect = True
        elif method == b"HEAD":
            stream.content = False
        self._next = number + 2  # clients use the odd ids, each of them once (5.1.1)
        stream.number = number
        stream.is_open = True
        stream.sent_all = end
        stream.room = STREAM_WINDOW
        self._streams[number] = stream
        # Unread responses may fill the windows of their streams. The connection's window must have room for all these
        # windows, so that a response that is read can still be received.
        if len(self._streams) * STREAM_WINDOW > self._target_window:
            self._widen()
        out = self._out
        before = out.pending
        self._write_head(number, headers, end, key)
        stream.queued = queued = out.pending
        stream.bytes_sent = queued - before
        self._budget.earn_request()

    def _refusal(self) -> str:
        if self.closed:
            return "this HTTP/2 connection has ended: it accepts no more requests"
        if self._has_goaway:
            return "the peer went away (GOAWAY): this HTTP/2 connection accepts no more requests"
        if self._next > LAST_ID:
            return "the stream ids of this HTTP/2 connection are used up: it accepts no more requests"
        return f"{len(self._streams)} streams are open on this HTTP/2 connection: the peer allows {self.max_streams}"

    def _check_connect(self, headers: Headers) -> None:
        if not self.extended_connect and any(name == b":protocol" for name, _ in headers):
            raise LocalProtocolError(
                "the peer does not accept :protocol: it has not sent SETTINGS_ENABLE_CONNECT_PROTOCOL"
            )

    def data(self, stream: Stream, data: bytes | bytearray | memoryview, *, end: bool) -> None:
        """Send bytes of the body, at most `window(stream)`, in as many frames as needed.

        Raises:
            LocalProtocolError: there are more bytes than the window has room for, or the stream accepts none.
        """
        self._check_sending(stream)
        size = len(data)
        if size > self.window(stream):
            raise LocalProtocolError(
                f"data has {size:,} bytes: expected at most the window, {self.window(stream):,} bytes"
            )
        # Both windows are charged when the frame is queued, and not when it is sent: all queued frames must fit.
        stream.spare -= size
        self.connection_window -= size
        self._budget.earn_sent(size)
        before = self._out.pending
        at = 0
        if size > self.max_frame:
            view = memoryview(data)
            while size - at > self.max_frame:
                self._write_data(stream.number, bytes(view[at : at + self.max_frame]), False)
                at += self.max_frame
            data = view[at:]
        if size or end:
            self._write_data(stream.number, bytes(data), end)
        stream.queued = self._out.pending
        stream.bytes_sent += stream.queued - before
        if end:
            self._sent_all(stream)

    def trailers(self, stream: Stream, headers: Headers) -> None:
        """Send trailers, which end the request.

        Raises:
            LocalProtocolError: the stream accepts none.
        """
        self._check_sending(stream)
        before = self._out.pending
        self._write_head(stream.number, headers, True)
        stream.queued = self._out.pending
        stream.bytes_sent += stream.queued - before
        self._sent_all(stream)

    def window(self, stream: Stream) -> int:
        """How many bytes `data` accepts now; also 0 when the stream is closed."""
        if stream.sent_all or not stream.is_open or self.closed:
            return 0
        return max(0, min(self._initial + stream.spare, self.connection_window))

    def reset(self, stream: Stream, code: int) -> None:
        """Reset the stream in both directions. Further DATA for it is discarded, and credited."""
        if stream.is_open and not self.closed:
            self._give_up(stream, code)

    def consumed(self, stream: Stream, size: int) -> None:
        """Credit the peer for content that the reader has taken, so that it may send as much again. This is also called
        for content that was discarded, and when the stream is closed: the connection gets its credit back in any
        case."""
        if not self.closed:
            self._budget.earn_taken(size)
            self._return_credit(stream, size)

    def ping(self, payload: bytes) -> None:
        """Send a PING with these 8 bytes."""
        if len(payload) != 8:
            raise LocalProtocolError(f"a PING of {len(payload)} bytes: expected 8")
        if not self.closed:
            self._write_ping(payload)

    def goaway(self, code: int) -> None:
        """Queue a GOAWAY. Queued bytes are still sent; nothing more may be queued."""
        if not self.closed:
            self._write_goaway(code)
            self.closed = True

    def forget_streams(self) -> list[Stream]:
        """Remove and return the open streams: the connection has ended."""
        streams = [*self._streams.values()]
        for stream in streams:
            self._remove(stream)
        return streams

    def take(self) -> bytes:
        """Remove and return all bytes to send, b"" if there are none. Call this when they can be written, not before:
        replies to the peer are bounded only while they wait here."""
        return self._out.take()

    # The streams.

    def _check_sending(self, stream: Stream) -> None:
        if stream.sent_all or not stream.is_open or self.closed:
            raise LocalProtocolError(
                f"stream {stream.number} accepts no more of the request: it has been ended or reset"
            )

    def _sent_all(self, stream: Stream) -> None:
        stream.sent_all = True
        if stream.ended:
            self._remove(stream)

    def _remove(self, stream: Stream) -> None:
        # A closed stream no longer counts against the peer's limit (5.1.2).
        del self._streams[stream.number]
        stream.is_open = False

    def _give_up(self, stream: Stream, code: int) -> None:
        self._remove(stream)
        self._abandoned.remember(stream)  # frames that the peer sent before it sees the reset are no error (5.1)
        self._write_reset(stream.number, code)

    # The windows that we grant.

    def _return_credit(self, stream: Stream | None, credit: int) -> None:
        """Allow the peer to send `credit` more bytes: on the connection, and on this stream if it is open."""
        self._uncredited += credit
        # Credit is returned for half a window at once: a WINDOW_UPDATE for each piece would be one frame per received
        # frame.
        if self._uncredited * 2 >= self._target_window:
            self._write_window_update(0, self._uncredited)
            self._room += self._uncredited
            self._uncredited = 0
        if stream is not None and stream.is_open and not stream.ended:
            stream.uncredited += credit
            if stream.uncredited * 2 >= STREAM_WINDOW:
                self._write_window_update(stream.number, stream.uncredited)
                stream.room += stream.uncredited
                stream.uncredited = 0

    def _widen(self) -> None:
        # A window above 2**31 - 1 would be our error (6.9.1).
        if self._target_window + CONNECTION_WINDOW <= LARGEST_WINDOW:
            self._target_window += CONNECTION_WINDOW
            self._room += CONNECTION_WINDOW
            self._write_window_update(0, CONNECTION_WINDOW)

    # Changes by the peer, called after the checks.

    def _took_setting(self, setting: int, value: int) -> None:
        if setting == MAX_CONCURRENT_STREAMS:
            self.max_streams = min(value, LAST_ID)
        elif setting == INITIAL_WINDOW_SIZE:
            # The initial window applies to all open streams (6.9.2). There is no loop here, since `spare` is the number
            # of bytes that a stream may send beyond it.
            self._initial = value
        elif setting == MAX_FRAME_SIZE:
            self.max_frame = min(value, SENT_FRAME)
        elif setting == HEADER_TABLE_SIZE:
            self._encoder.resize(value)
        elif setting == ENABLE_CONNECT_PROTOCOL:
            self.extended_connect = bool(value)

    def _took_window_update(self, stream: Stream | None, increment: int) -> None:
        """`stream` is None for the window of the connection. A window may stay below 0 after SETTINGS have lowered it
        (6.9.2)."""
        if stream is None:
            self.connection_window += increment
        else:
            stream.spare += increment

    def _took_end(self, stream: Stream) -> None:
        """Handle END_STREAM: the response is complete."""
        stream.ended = True
        # Otherwise the stream stays half-closed (remote) until our side has ended (RFC 9113, section 5.1).
        if stream.sent_all:
            self._remove(stream)

    def _took_reset(self, stream: Stream) -> None:
        self._remove(stream)

    def _took_goaway(self, last: int) -> list[Stream]:
        """Handle GOAWAY. Returns the streams that the peer has not processed."""
        self._has_goaway = True
        if last >= self._last:  # a later GOAWAY may only lower the id (6.8): removed streams stay removed
            return []
        self._last = last
        gone = [stream for number, stream in self._streams.items() if number > last]
        for stream in gone:
            self._remove(stream)
            self._abandoned.remember(stream)
        return gone

    # Output.

    def _write_start(self, settings: Sequence[tuple[int, int]]) -> None:
        self._out.put(PREFACE)
        self._out.send(SETTINGS, 0, 0, b"".join([setting_pair.pack(*pair) for pair in settings]))

    def _write_head(self, stream: int, headers: Headers, end: bool, key: bytes = b"") -> None:
        """Write the head of a request, or its trailers. For `key` see `request`."""
        block = self._encoder.encode_plain(key, headers) if key else self._encoder.encode(headers)
        self._out.send_block(stream, block, self.max_frame, end=end)

    def _write_data(self, stream: int, data: bytes, end: bool) -> None:
        self._out.send(DATA, END_STREAM if end else 0, stream, data)

    def _write_reset(self, stream: int, code: int) -> None:
        self._out.send(RST_STREAM, 0, stream, uint32.pack(code))

    def _write_window_update(self, stream: int, increment: int) -> None:
        self._out.send(WINDOW_UPDATE, 0, stream, uint32.pack(increment))

    def _write_ping(self, payload: bytes) -> None:
        self._out.send(PING, 0, 0, payload)

    def _write_goaway(self, code: int) -> None:
        self._out.send(GOAWAY, 0, 0, two_uint32.pack(0, code))  # 0: we accept no streams from a server (6.8)

    # Answers: `FrameWriter` limits how many bytes of them may wait.

    def _write_ping_answer(self, payload: bytes) -> None:
        self._out.answer(PING, ACK, 0, payload)

    def _write_settings_answer(self) -> None:
        self._out.answer(SETTINGS, ACK, 0, b"")
