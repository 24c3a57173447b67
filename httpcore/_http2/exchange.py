"""One request and its response, on one stream of an HTTP/2 connection.

The exchange has the same methods as one over HTTP/1.1, and follows the same rules for early answers. The difference is
that it ends alone: after an error of one exchange the connection continues, unless the connection itself has failed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from .._backends.base import PIECE, Stream
from .._deadline import Deadline, Pace
from .._errors import LocalProtocolError, ReadError, ReadTimeout, ReadTooSlow, WriteError, WriteTimeout, WriteTooSlow
from .._message.body import BodyReader
from .._message.fields import Headers
from .._message.head import Head
from .._message.raw import CLOSED, RawStream, busy
from .._message.request import Request, TrailerTypes, trailer_pairs
from .._message.rules import Leniency
from .._trace import Progress
from .connection import HTTP2Connection
from .fields import known_fields, trailer_fields
from .inbox import Inbox

__all__ = ["HTTP2Exchange", "HTTP2RawStream"]

SMALL_BODY: Final = 65536
"""A body in memory up to this size, in bytes, is queued together with its head, if the windows have room for it."""

CONTINUE_TIMEOUT: Final = 1.0
"""Seconds that `Expect: 100-continue` waits for an answer before the body is sent anyway (RFC 9110 10.1.1)."""


class HTTP2Exchange:
    """One request and its response, on one stream of a connection.

    Attributes:
        request, deadline: as given.
    """

    __slots__ = ("_connection", "_inbox", "_interims_seen", "_is_sent", "_on_interim", "_paces", "deadline", "request")

    def __init__(
        self,
        connection: HTTP2Connection,
        request: Request,
        deadline: Deadline,
        on_interim: Callable[[Head], None],
        duplex: bool,
    ) -> None:
        self.request = request
        self.deadline = deadline
        self._connection = connection
        self._on_interim = on_interim
        self._interims_seen = 0  # how many interim heads were reported
        self._is_sent = False
        # The paces of the response's body and of the request's body. A tunnel has none.
        self._paces: tuple[Pace, Pace] | None = None
        if deadline.config.min_rate is not None and request.method != b"CONNECT":
            self._paces = Pace(deadline, ReadTooSlow), Pace(deadline, WriteTooSlow)
        # `_inbox` is set after all other attributes: if Ctrl-C interrupts before this line, `__del__` drops nothing.
        self._inbox = inbox = connection.inbox()
        if duplex:
            inbox.two_way = True
        elif request.method == b"CONNECT":
            inbox.two_way = inbox.awaits_tunnel = True

    # Methods for the owner.

    @property
    def stream(self) -> Stream:
        """The stream below the connection."""
        return self._connection.stream

    @property
    def stream_id(self) -> int | None:
        """The identifier of the stream (RFC 9113, section 5.1.1); None before there is a stream."""
        return self._inbox.number or None

    @property
    def started(self) -> bool:
        """Whether a part of the response has been received."""
        return self._inbox.started

    @property
    def refused(self) -> bool:
        """Whether the peer has reported that it did not process the request (RFC 9113, 8.7)."""
        return self._inbox.refused

    @property
    def crowded(self) -> bool:
        """Whether the request was refused because of too many exchanges: this connection may accept it later."""
        return self._inbox.crowded

    @property
    def sent(self) -> int:
        """0 while no byte of the request was handed to the stream; more than 0 afterwards."""
        # This is measured at the stream, not by the queued bytes: a request whose first byte was never written may be
        # sent again.
        inbox = self._inbox
        return max(0, self._connection.written - inbox.begins) if inbox.number else 0

    @property
    def received(self) -> int:
        """Bytes of the response's body that were received so far."""
        return self._inbox.received

    @property
    def bytes_sent(self) -> int:
        """Bytes of the stream's queued frames: see `streams.Stream`."""
        return self._inbox.bytes_sent

    @property
    def bytes_received(self) -> int:
        """Bytes of the stream's received frames."""
        return self._inbox.bytes_received

    @property
    def sent_at(self) -> float | None:
        """When all of the request was handed to the system; None before that."""
        return self._inbox.sent_at

    @property
    def first_at(self) -> float | None:
        """When the first head of a response, interim or final, was read; None before that."""
        inbox = self._inbox
        return inbox.head_at if inbox.interim_at is None else inbox.interim_at

    @property
    def lenient(self) -> tuple[Leniency, ...]:
        """The names of the deviations in the interim heads and the trailers; the final head has `Head.lenient`."""
        return self._inbox.lenient

    @property
    def closes(self) -> bool:
        """False: over HTTP/2 no response ends the connection."""
        return False

    @property
    def interim(self) -> Sequence[Head]:
        """The 1xx heads that were received so far."""
        return self._inbox.interim

    @property
    def trailers(self) -> Headers:
        """The trailers of the response, once it has ended."""
        return self._inbox.trailers

    @property
    def ended(self) -> bool:
        """Whether the response is complete; `next` may still return parts of its body."""
        return self._inbox.ended

    @property
    def clean(self) -> bool:
        """Whether the connection may carry other exchanges, however this one has ended."""
        return self._connection.is_open

    @property
    def switched(self) -> bool:
        """Whether a two-way stream follows the head: after a 2xx to CONNECT (RFC 9113, 8.5), or if the caller requested
        one."""
        return self._inbox.two_way

    @property
    def phase(self) -> str:
        """The step that `run` is in, for an error message."""
        return "read the response head" if self._is_sent else "write the request"

    async def run(self) -> Head:
        """Send the request and wait for the head of its final response."""
        inbox = self._inbox
        # Extended CONNECT needs the peer's SETTINGS_ENABLE_CONNECT_PROTOCOL first (RFC 8441, section 3).
        if self.request.protocol is not None:
            await self._connection.settle(inbox, self.deadline)
        await self._send()
        self._is_sent = True
        if self.deadline.tracer is not None:
            self._mark(self.deadline.tracer)
        while True:
            self._report_interims()
            # The head is tested before the error: a response that was complete before a reset is valid (RFC 9113,
            # section 8.1).
            if inbox.head is not None:
                return inbox.head
            if inbox.error is not None:
                raise inbox.failure()
            await self._receive(self._has_new_head)

    async def next(self) -> bytes:
        """The next bytes of the body as sent, `b""` at its end."""
        return await self.recv(PIECE)

    def buffered_body(self) -> bytes | None:
        """The rest of the body if all of it has been received, else None."""
        return self._connection.take_all(self._inbox) if self._inbox.ended else None

    def drain(self) -> None:
        """Discard the rest of the body."""
        self._connection.drop(self._inbox)

    def give_up(self) -> bool:
        """End the exchange in any state. Returns whether the connection accepts further exchanges."""
        return self._connection.drop(self._inbox)

    def raw(self, release: Callable[[], None]) -> HTTP2RawStream:
        """The two-way stream after a response that `switched`."""
        return HTTP2RawStream(self, release)

    def __del__(self) -> None:
        # A finaliser runs in any thread and at any point: it takes no lock, and appends to a deque, which is atomic.
        inbox = getattr(self, "_inbox", None)  # None where Ctrl-C interrupted `__init__`
        if inbox is not None and (inbox.held or inbox.is_open):
            self._connection.dropped.append(inbox)

    # Sending.

    async def _send(self) -> None:
        request, inbox, connection = self.request, self._inbox, self._connection
        fields, key = known_fields(request)
        open_end = inbox.two_way
        data = request.body.data
        small = data is not None and len(data) <= SMALL_BODY and not request.expects_continue
        if (
            small
            and request.trailers is None
            and connection.open(inbox, fields, data or b"", end=not open_end, key=key)
        ):
            return  # the whole request is queued: it is written at once, or by the first task that waits
        # The body is started first: if it cannot be sent, this raises before any byte of the request was sent.
        reader = request.body.start(connection.backend.run_blocking)
        at_end = True
        try:
            if not inbox.number:
                connection.open(inbox, fields, b"", end=False)
            if self.deadline.tracer is not None:
                connection.mark(partial(_record_left, inbox, self.deadline.tracer.head_sent))
            at_end = await self._upload(reader)
        except BaseException:
            # This must happen before the user's clean-up runs: an interrupted request must not look complete.
            connection.drop(inbox)
            raise
        finally:
            if at_end:  # the caller of a duplex request keeps the unread pieces
                reader.close()
                await reader.aclose()

    def _mark(self, tracer: Progress) -> None:
        """Have the tracer called when the queued bytes have been sent: all of a complete request, or the beginning of
        a two-way one. A request that an early answer has ended is not traced as sent."""
        inbox = self._inbox
        if inbox.two_way:
            self._connection.mark(partial(_record_left, inbox, tracer.head_sent))
        elif inbox.sent_all:
            self._connection.mark(partial(_record_request_sent, inbox, tracer))

    async def _upload(self, reader: BodyReader) -> bool:
        """Send the pieces of `reader`. Returns False if the response began before the end of `reader`, and the caller
        of a duplex request sends the rest."""
        request, inbox = self.request, self._inbox
        if request.expects_continue and not await self._wait_for_continue():
            return True
        declared = None if inbox.two_way else request.content_length
        caller_keeps_rest = inbox.two_way and request.body.caller_keeps_rest()
        given = 0
        while (piece := await reader.next()) is not None:
            given += len(piece)
            # Checked before the piece is sent: a body longer than its Content-Length is malformed (RFC 9113, section
            # 8.1.1).
            if declared is not None and given > declared:
                raise LocalProtocolError(
                    f"the body is longer than its Content-Length: expected {declared:,} bytes, got {given:,} or more"
                )
            if not await self._put(piece):
                return True
            # Interim heads are reported between two pieces: a 103 should reach the caller during the upload.
            self._report_interims()
            if caller_keeps_rest and await self._is_answered():
                return False
        if declared is not None and given < declared:
            raise LocalProtocolError(
                f"the body is shorter than its Content-Length: expected {declared:,} bytes, got {given:,}"
            )
        if not inbox.two_way or caller_keeps_rest:
            await self.finish(request.final_trailers() if request.trailers is not None else [])
        return True

    async def _is_answered(self) -> bool:
        """Whether the head of the response, or an error, was received. This reads received bytes, and does not wait."""
        return await self._connection.wait_until(self._inbox, self._inbox.has_head, self.deadline.within(0.0))

    async def finish(self, trailers: Headers) -> None:
        """End the request."""
        self._connection.finish(self._inbox, trailer_fields(trailers))
        if self.deadline.tracer is not None and self._inbox.sent_all:
            self._connection.mark(partial(_record_request_sent, self._inbox, self.deadline.tracer))
        await self._connection.push(self._inbox, self.deadline)

    async def _put(self, data: bytes | bytearray | memoryview) -> bool:
        """Send all of `data`. Returns False when the peer needs no more of the request."""
        connection, inbox = self._connection, self._inbox
        # The view is cast to bytes: the length of a memoryview of another format is its number of elements.
        view = memoryview(data).cast("B")
        while view:
            count = connection.put(inbox, view)
            # This is no error: an early response ends the upload, and the caller receives that response.
            if count is None:
                return False
            view = view[count:]
            if self._paces is not None:
                await self._send_in_pace(count, self._paces[1])
            elif count:
                await connection.push(inbox, self.deadline)
            else:
                await self._room()
        return True

    async def _send_in_pace(self, count: int, pace: Pace) -> None:
        """Enforce `min_rate` for the body, after `count` more bytes of it were queued. If `count` is 0, wait for
        room."""
        connection, inbox, deadline = self._connection, self._inbox, self.deadline
        if count:
            pace.count(count)
            await pace.keep(lambda most: connection.push(inbox, deadline, most), None)
        else:
            await pace.keep(self._room, deadline.config.write_timeout)

    async def _room(self, most: float | None = None) -> None:
        limit = self.deadline.config.write_timeout
        connection, inbox = self._connection, self._inbox
        timeout = self.deadline.within(limit if most is None else most)
        if not await connection.room(inbox, timeout, limit):
            raise WriteTimeout(
                f"the peer accepted no more of the body for {timeout:g} seconds",
                peer=connection.stream.info().peer,
                limit=limit,
            )

    async def _wait_for_continue(self) -> bool:
        """Wait for 100 (Continue), at most `CONTINUE_TIMEOUT` seconds. Returns False when the final response, or an
        error, was received instead."""
        inbox = self._inbox
        await self._connection.wait_until(inbox, inbox.may_send_body, self.deadline.within(CONTINUE_TIMEOUT))
        self._report_interims()
        return not inbox.has_head()

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Like `RawStream.send`."""
        if await self._put(data):
            return
        inbox = self._inbox
        if inbox.error is not None:
            raise inbox.failure()
        why = "it was ended" if inbox.sent_all else "the peer accepts no more of it"
        raise WriteError(f"no more can be sent on this stream: {why}", peer=self._connection.stream.info().peer)

    # Receiving.

    async def recv(self, max_bytes: int) -> bytes:
        """Like `RawStream.recv`."""
        inbox = self._inbox
        while (data := self._connection.take(inbox, max_bytes)) is None:
            if self._paces is None:
                await self._receive(inbox.has_body)
            else:
                pace = self._paces[0]
                await pace.keep(partial(self._receive, inbox.has_body), self.deadline.config.read_timeout)
                pace.count_to(inbox.received)
        return data

    async def _receive(self, ready: Callable[[], bool], most: float | None = None) -> None:
        deadline = self.deadline
        limit = deadline.config.read_timeout
        timeout = limit if most is None else most
        # The total timeout is tested only if there is one, so that most requests do not pay for the test.
        if deadline.ends is not None:
            timeout = deadline.within(timeout)
        if not await self._connection.wait_until(self._inbox, ready, timeout):
            raise ReadTimeout(
                f"no bytes were received on this stream for {timeout:g} seconds",
                peer=self._connection.stream.info().peer,
                limit=limit,
            )

    def _has_new_head(self) -> bool:
        return self._inbox.has_head() or len(self._inbox.interim) > self._interims_seen

    def _report_interims(self) -> None:
        interims = self._inbox.interim
        while self._interims_seen < len(interims):
            self._interims_seen += 1
            self._on_interim(interims[self._interims_seen - 1])


def _record_left(inbox: Inbox, left: Callable[[], None]) -> None:
    """Record that the queued bytes were sent, unless the exchange has failed in the meantime."""
    if inbox.error is None:
        left()


def _record_request_sent(inbox: Inbox, tracer: Progress) -> None:
    if inbox.error is None:
        tracer.request_sent(inbox.sent_at)


class HTTP2RawStream(RawStream):
    """See `RawStream`: one stream, with its own window, of a connection that other exchanges use too."""

    __slots__ = ("_closed", "_exchange", "_receiving", "_release", "_sending")

    def __init__(self, exchange: HTTP2Exchange, release: Callable[[], None]) -> None:
        self._exchange = exchange
        self._release = release
        self._closed = False
        self._receiving = False
        self._sending = False

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        # Neither Ctrl-C nor another thread can interrupt between the test and the mark: no call lies between them.
        if self._receiving:
            raise busy("receiving from", self._exchange.stream)
        try:
            self._receiving = True
            data = await self._exchange.recv(max_bytes)
        finally:
            self._receiving = False
        if not data and self._closed:  # `close` has discarded received bytes: this is no end of the body
            raise ReadError("this raw stream was closed on this side", peer=self._exchange.stream.info().peer)
        return data

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        if self._sending:
            raise busy("sending on", self._exchange.stream)
        try:
            self._sending = True
            await self._exchange.send(data)
        finally:
            self._sending = False

    async def end(self, trailers: TrailerTypes = None) -> None:
        if self._sending:
            raise busy("sending on", self._exchange.stream)
        await self._exchange.finish(trailer_pairs(trailers))

    def close(self) -> Awaitable[None]:
        self._closed = True
        self._exchange.give_up()
        self._release()
        return CLOSED
