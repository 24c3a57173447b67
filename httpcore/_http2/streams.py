"""One HTTP/2 stream: its state, and the frames that may still follow on it (RFC 9113, sections 5 and 8). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from .._errors import Code, HTTPCoreError, LimitExceeded, RemoteProtocolError
from .._message.fields import INTERIM_BYTES, Headers
from .._message.head import Head
from .._message.rules import Leniency
from .frames import FRAME_NAMES, fault

__all__ = ["REMEMBERED_COUNT", "STREAM_WINDOW", "AbandonedStreams", "Listener", "Stream"]

STREAM_WINDOW: Final = 1 << 20
"""Bytes that the peer may send on one stream before its reader takes some. This limits the size of an unread response
and, together with the round-trip time, the speed of a response: 20 MB/s at 50 ms."""

REMEMBERED_COUNT: Final = 4096
"""How many of the streams that we reset are remembered; their late frames are ignored (5.1). Late frames of older ones
are assumed to be valid."""


class Stream:
    """One exchange as the engine sees it, from its request until both messages are complete or one side has reset it.

    A subclass keeps the received events: the engine calls an `on_…` method as soon as a frame has passed every check.
    These methods do not raise, and may call the engine again.

    Attributes:
        number: the identifier of the stream; 0 before it has one.
        is_open: whether the engine has the stream: `request` was called, and since then neither have both messages
            ended nor was the stream reset.
        connect: whether the request is a CONNECT.
        content: whether the response may have a body.
        sent_all: whether our END_STREAM was sent.
        ended: whether the peer's END_STREAM was received: the response is complete.
        trailers: the trailers of the response, once it has ended.
        lenient: deviations of the interim heads and the trailers.
        bytes_sent, bytes_received: the bytes of its whole HEADERS, CONTINUATION and DATA frames: with the 9 bytes
            before each payload, and with padding. Sent bytes count when they are queued.
        queued: the bytes that waited in the engine when the last of these frames was queued, with that frame.
    """

    # There are no `__slots__`, and values that most exchanges share are on the class: setting all of them would cost a
    # fifth of the work for one response.
    number = 0
    is_open = False
    connect = False
    content = True
    sent_all = False
    ended = False
    lenient: tuple[Leniency, ...] = ()
    trailers: Headers = []  # noqa: RUF012 - replaced, and never changed
    bytes_sent = 0
    queued = 0
    bytes_received = 0
    head_seen = False  # whether the final head was received
    tunnel = False  # a 2xx to CONNECT: nothing but DATA from now on
    interim_count = 0
    interim_room = INTERIM_BYTES
    length: int | None = None  # the declared length of the body
    left = 0  # the rest of the declared length
    room = STREAM_WINDOW  # bytes that the peer may still send
    uncredited = 0  # taken by the reader, not yet credited to the peer
    spare = 0  # bytes that we may send, beyond the peer's initial window

    def on_interim(self, head: Head) -> None:
        """Called for a 1xx head."""

    def on_head(self, head: Head) -> None:
        """Called for the final head, once."""

    def on_body(self, data: bytes) -> None:
        """Called for content of a body, at least one byte. Call `H2Engine.consumed` when it has been read."""

    def on_end(self) -> bool:
        """Called when the response is complete: `ended` and `trailers` are set. The request may still be incomplete.
        Returns whether no more of the request is needed: then the engine resets the stream (8.1)."""
        return False

    def count_interim(self, fields: Sequence[tuple[bytes, bytes]], ends: int) -> None:
        """Count an interim head.

        Raises:
            RemoteProtocolError: the head ends the stream.
            LimitExceeded: the interim heads are too long.
        """
        if ends:
            raise RemoteProtocolError("the peer ended the stream with an interim response")
        self.interim_count += 1
        self.interim_room -= sum([len(name) + len(value) for name, value in fields])
        if self.interim_room < 0:
            raise LimitExceeded(f"the interim responses are longer than {INTERIM_BYTES} bytes", limit=INTERIM_BYTES)

    def begin(self, status: int, length: int | None, ends: int) -> None:
        """Record the final head, and which frames may follow it.

        Raises:
            RemoteProtocolError: the head ends the stream, but announces content.
        """
        self.head_seen = True
        if self.connect and status < 300:  # 1xx heads do not reach this
            self.tunnel = True  # Content-Length has no meaning then (RFC 9110, 8.6)
        elif not self.content or status == 204 or status == 304:
            self.content = False
            self.length = 0
        elif length is not None:
            if ends and length:
                raise RemoteProtocolError(f"the response has no body, but its Content-Length is {length:,}")
            self.length = self.left = length

    def data_refusal(self) -> tuple[Code, str]:
        """The reason why DATA is not allowed here."""
        if self.ended:
            return Code.STREAM_CLOSED, "the peer sent DATA after the end of the response"
        if not self.head_seen:
            return Code.PROTOCOL_ERROR, "the peer sent DATA before the head of the response"
        if self.room < 0:
            return Code.FLOW_CONTROL_ERROR, "the peer sent more DATA than the stream's window allows"
        if not self.content:
            return Code.PROTOCOL_ERROR, "the peer sent a body with a response that has none"
        return Code.PROTOCOL_ERROR, f"the body is longer than its Content-Length: {self.length:,} bytes were declared"

    def shortage(self) -> str | None:
        """The error, in words, if the response ends here; None if it may."""
        if self.length is None or not self.left:
            return None
        return (
            f"the body is shorter than its Content-Length: {self.length - self.left:,} bytes were received, "
            f"{self.length:,} were declared"
        )


class Listener(Protocol):
    """Called by the engine for the connection, and for streams that end abnormally. The calls are made
    while `H2Engine.receive` runs; they do not raise, and may call the engine again, but not `receive`."""

    def on_settings(self) -> None:
        """SETTINGS of the peer were received, perhaps not the first: `max_streams` and other limits may be new."""
        ...

    def on_window(self) -> None:
        """More may be sent, perhaps on any stream."""
        ...

    def on_stream_window(self, stream: Stream) -> None:
        """More may be sent on this stream, whose window was exhausted."""
        ...

    def on_pong(self) -> None:
        """An answer to a PING was received, whether or not it was ours."""
        ...

    def on_reset(self, stream: Stream, code: int) -> None:
        """The peer ended the stream in both directions. After `on_end` this only means that no more need be sent."""
        ...

    def on_malformed(self, stream: Stream, error: HTTPCoreError) -> None:
        """The peer broke the rules on this stream, which has been reset; other streams continue. This may be
        called after `on_end`."""
        ...

    def on_goaway(self, last: int, code: int, debug: bytes, gone: Sequence[Stream]) -> None:
        """The peer accepts no new streams (GOAWAY). Streams above `last` are `gone`, unprocessed; all others continue.
        This may be called again, with the same or a lower `last`: a higher number from the peer is ignored."""
        ...

    def on_failed(self, error: HTTPCoreError) -> None:
        """The connection ends: the peer broke a rule of the connection. This is always the last call; `take` returns
        the GOAWAY."""
        ...


class AbandonedStreams:
    """Streams that we reset, or that GOAWAY removed: late frames for them are ignored, but late DATA must fit into the
    rest of a stream's window."""

    __slots__ = ("_highest_forgotten", "_rooms")

    def __init__(self) -> None:
        self._rooms: dict[int, int] = {}  # by stream: the rest of the peer's window
        self._highest_forgotten = 0  # the highest id that has been dropped from `_rooms`

    def remember(self, stream: Stream) -> None:
        rooms = self._rooms
        rooms[stream.number] = stream.room
        if len(rooms) > REMEMBERED_COUNT:
            oldest = next(iter(rooms))
            del rooms[oldest]
            self._highest_forgotten = max(self._highest_forgotten, oldest)

    def room_of(self, kind: int, stream: int) -> int | None:
        """The bytes that the peer may still send on a stream that is not open; None for a stream so old that it is
        unknown.

        Raises:
            Fault: the peer itself had ended the stream.
        """
        room = self._rooms.get(stream)
        # The stream is not among those that we reset, nor so old that it may be forgotten: so the peer had ended it.
        if room is None and stream > self._highest_forgotten:
            raise fault(
                Code.STREAM_CLOSED, f"the peer sent {FRAME_NAMES[kind]} on stream {stream}, which it had ended before"
            )
        return room

    def receive(self, stream: int, size: int) -> None:
        """Count `size` bytes of late DATA for a remembered stream."""
        self._rooms[stream] -= size
        if self._rooms[stream] < 0:
            raise fault(Code.FLOW_CONTROL_ERROR, f"the peer sent more DATA than the window of stream {stream} allows")
