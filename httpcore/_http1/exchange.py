"""HTTP/1.1 over one stream: one exchange at a time.

An exchange sends a request and reads its response. While it sends it also reads: RFC 9112, section 9.5, asks a client
to watch for an error response during an upload, and a peer that answers before it has read everything would deadlock
with a client that only writes. A final response that is an error, or that is complete already, stops the upload; any
other early response waits until the request is sent. An exchange never closes its connection after an error of the
peer; `exchange.clean` shows the owner whether the connection may be used again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .._backends.base import PIECE
from .._deadline import Deadline, Pace
from .._errors import (
    HTTPCoreError,
    LocalProtocolError,
    ReadTimeout,
    ReadTooSlow,
    RemoteProtocolError,
    ResponseBusy,
    UnsupportedProtocol,
    WriteError,
    WriteTooSlow,
)
from .._message.body import BodyReader
from .._message.head import Head
from .._message.raw import CLOSED, RawStream, busy
from .._message.request import Request, TrailerTypes, chunk, last_chunk, trailer_pairs
from .._trace import Progress
from .connection import HTTP11Connection
from .parser import H1Response

__all__ = ["HTTP11Exchange", "HTTP11RawStream"]

CONTINUE_TIMEOUT = 1.0
"""Seconds that `Expect: 100-continue` waits for an answer before the body is sent anyway (RFC 9110 10.1.1)."""

SMALL_BODY = 16384
"""A body in memory up to this size is sent in one piece with the head: one system call, and one TCP segment if
small."""

EARLY = 262144
"""How many bytes of an early response are held while the request is still being sent; then reading stops, and TCP
makes the peer wait."""

DRAIN = 65536
"""How many received bytes of an unread body are discarded to keep the connection."""


class HTTP11Exchange(H1Response):
    """One request and its response.

    The server cannot refuse one exchange alone, so `refused` and `crowded` are False, and there is no `stream_id`.

    Attributes:
        sent: bytes of the request that were handed to the stream, and those of a raw stream after it.
        bytes_received: all bytes received for it: heads, framing, body, and those of a raw stream after it.
        sent_at: when all of the request was handed to the system; None if that has not happened.
        first_at: when the first bytes of a response were received; None before that. Also None if these bytes contained
            the whole head: the owner then reads the clock at once.
    """

    refused = False
    crowded = False
    stream_id = None

    sent = 0
    sent_at: float | None = None
    first_at: float | None = None
    _complete = False
    _unreported: Progress | None = None  # the tracer, until it has recorded that the head was sent
    _interims_seen = 0  # how many interim heads were passed to `on_interim`
    _reading = False  # a task or thread is in `next` or `drain`
    _incoming: Pace | None = None  # for the response's body, after the first wait under a `min_rate`
    _outgoing: Pace | None = None  # for the request's body, under a `min_rate`

    def __init__(
        self,
        connection: HTTP11Connection,
        request: Request,
        deadline: Deadline,
        on_interim: Callable[[Head], None],
        duplex: bool = False,  # see `begin_exchange` in `duplex`
    ) -> None:
        """`on_interim` is called with each 1xx head when it is received.

        Raises:
            UnsupportedProtocol: the request is an extended CONNECT.
        """
        if request.protocol is not None:
            raise UnsupportedProtocol("extended CONNECT needs HTTP/2, and the server speaks HTTP/1.1")
        self._request_facts = request.method, request.upgrade, request.close  # see `H1Response.__init__`
        self._connection = connection
        self._rules = connection.rules
        self._stream = connection.stream
        self._timeouts = deadline.config
        self.request = request
        self.deadline = deadline
        self.bytes_received = 0  # needed soon in any case: a default on the class would cost more
        self._on_interim = on_interim

    # Methods for the owner.

    @property
    def clean(self) -> bool:
        """Whether both messages are complete and the connection may carry another exchange."""
        return self.ended and self._complete and self.reusable

    @property
    def bytes_sent(self) -> int:
        """The same as `sent`."""
        return self.sent

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this response, according to its head."""
        return not self._persistent

    @property
    def phase(self) -> str:
        """The step that `run` is in, for an error message."""
        return "read the response head" if self._complete else "write the request"

    async def run(self) -> Head:
        """Send the request and wait for the head of its final response."""
        try:
            await self._send()
        except WriteError:
            # A server that refuses an upload responds and closes: the write fails, but the response has often arrived.
            if not self._read_response_after_write_error():
                raise
        deadline = self.deadline
        # `_complete` is False if an early response has ended the upload: the request was not sent completely then.
        if self._complete:
            self.sent_at = at = deadline.now()
            if deadline.tracer is not None:
                deadline.tracer.request_sent(at)
        stream, limit = self._stream, self._timeouts.read_timeout
        while self.head is None:
            self._feed(await stream.read(PIECE, limit if deadline.ends is None else deadline.within(limit)))
        return self.head

    async def next(self) -> bytes:
        """The next bytes of the body as sent, `b""` at its end."""
        # Neither Ctrl-C nor another thread can interrupt between the test and the mark: no call lies between them.
        if self._reading:
            raise ResponseBusy("another task or thread is reading this body")
        try:
            self._reading = True
            while not self.parts:
                if self.ended:
                    return b""
                if self._timeouts.min_rate is None:  # `_read` inline, without its frame: most streams wait here
                    self._feed(await self._stream.read(PIECE, self.deadline.within(self._timeouts.read_timeout)))
                else:
                    await self._read_in_pace()
            part = self.parts.popleft()
            if not self.parts:
                self.parts = None  # an empty deque takes 760 bytes, and the next piece may be a minute away
            self.held -= len(part)
            return part
        finally:
            self._reading = False

    def buffered_body(self) -> bytes | None:
        """The rest of the body if all of it has been received, else None."""
        # A part of the body would not be useful: the caller could not tell where the rest begins.
        if not self.ended:
            return None
        parts = self.parts
        if not parts:
            return b""
        self.parts = None
        self.held = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drain(self) -> None:
        """Discard bytes that are already received, if they are few and no task waits for them; never wait."""
        # If another task reads, this call must not: two readers would mix up the order of the bytes.
        if self._reading:
            return
        thrown = 0
        try:
            self._reading = True
            while not self.ended and thrown <= DRAIN:
                # This never waits: the rest of a long body costs a new connection, and not the caller's time.
                data = self._stream.take()
                if not data:
                    return
                thrown += len(data)
                self._feed(data)
        except HTTPCoreError:
            return  # this response is not needed any more; `clean` stays False
        finally:
            self._reading = False

    def give_up(self) -> bool:
        """End the exchange in any state. Returns whether the connection may carry further exchanges."""
        return False

    def raw(self, release: Callable[[], None]) -> RawStream:
        """The two-way stream after a response that `switched`, with the bytes that were received after the head."""
        return HTTP11RawStream(self, release)

    def close(self) -> None:
        self._connection.close()

    # Sending.

    async def _send(self) -> None:
        request = self.request
        body = request.body
        data = body.data
        if data is not None and len(data) <= SMALL_BODY and not (request.expects_continue or request.chunked):
            whole = request.head if not data else request.head + bytes(data)
            stream, connection = self._stream, self._connection
            if connection.was_used:
                # The connection was just found quiet, so the first write need not check for input. On a new
                # connection `write_some` checks first: if a 408 or 503 arrives before the request, no byte of the
                # request may be sent.
                if self.deadline.ends is not None:
                    self.deadline.within(None)
                self.sent = sent = stream.give(whole)
                connection.totals.bytes_sent += sent
                complete = sent == len(whole) or await self._write(whole[self.sent :])
            else:
                connection.was_used = True
                complete = await self._write(whole)
            self._complete = complete and (not stream.owes or await self._flush())
            return
        # The body is started first: if it cannot be sent, this raises before any byte of the request was sent.
        reader = body.start(self._connection.backend.run_blocking)
        try:
            self._complete = await self._send_with(reader)
        except WriteError:
            raise  # the stream may still have the peer's response
        except BaseException:
            # This must happen before the user's clean-up runs: an interrupted request must not look complete.
            self.close()
            raise
        finally:
            reader.close()
            await reader.aclose()

    async def _send_with(self, reader: BodyReader) -> bool:
        """Send the head and the pieces of `reader`. Returns False if an early response ended the upload."""
        request = self.request
        # The head is sent alone: a server may answer it, with 413 or 401, before a byte of the body has been produced.
        if not await self._write(request.head):
            return False
        self._unreported = self.deadline.tracer
        self._record_head_sent()
        # The head is flushed before the wait: a server cannot answer an expectation that TLS still holds back.
        if request.expects_continue and not (await self._flush() and await self._wait_for_continue()):
            return False
        self._begin_body()
        send = self._send_chunks if request.chunked else self._send_counted
        return await send(reader) and await self._flush()

    async def _send_chunks(self, reader: BodyReader) -> bool:
        while (piece := await reader.next()) is not None:
            for buffer in chunk(piece):
                if not await self._write(buffer):
                    return False
        return await self._write(last_chunk(self.request.final_trailers()))

    async def _send_counted(self, reader: BodyReader) -> bool:
        declared = self.request.content_length or 0
        given = 0
        while (piece := await reader.next()) is not None:
            given += len(piece)
            # Tested before the piece is written: one byte more than declared would begin the next request.
            if given > declared:
                raise LocalProtocolError(
                    f"the body is longer than its Content-Length: expected {declared:,} bytes, got {given:,} or more"
                )
            if not await self._write(piece):
                return False
        if given < declared:
            raise LocalProtocolError(
                f"the body is shorter than its Content-Length: expected {declared:,} bytes, got {given:,}"
            )
        return True

    def count_sent(self, size: int) -> None:
        """Count bytes that were handed to the stream."""
        self.sent += size
        self._connection.totals.bytes_sent += size

    def count_received(self, size: int) -> None:
        """Count bytes that were received."""
        self.bytes_received += size
        self._connection.totals.bytes_received += size

    def _record_head_sent(self) -> None:
        """Record that the head was sent. If TLS still holds its end, `_write_some` or `_flush` records this later."""
        if self._unreported is not None and not self._stream.owes:
            self._unreported.head_sent()
            self._unreported = None

    def _begin_body(self) -> None:
        """Begin to enforce `min_rate`: from here on the written bytes are the body."""
        if self._timeouts.min_rate is not None:
            self._outgoing = Pace(self.deadline, WriteTooSlow)

    async def _write(self, data: bytes | bytearray | memoryview) -> bool:
        """Hand all of `data` to the stream. Returns False if the response made the rest unnecessary."""
        # An early response is held up to `EARLY` bytes. Then no more input is read, and TCP makes the server wait.
        count = await self._write_some(data, duplex=self.held > EARLY)
        return count == len(data) or await self._write_on(data, count)

    async def _write_on(self, data: bytes | bytearray | memoryview, count: int) -> bool:
        """Continue `_write` after the stream accepted only `count` bytes, or none because its input must be read."""
        view = memoryview(data)
        while True:
            if not count and not self._take_input():
                return False
            view = view[count:]
            if not view:
                return True
            count = await self._write_some(view, duplex=self.held > EARLY)

    async def _write_some(self, data: bytes | bytearray | memoryview, *, duplex: bool) -> int:
        """Like `Stream.write_some`, within the timeouts; sent bytes are counted."""
        limit, pace = self._timeouts.write_timeout, self._outgoing
        if pace is None:
            count = await self._stream.write_some(data, self.deadline.within(limit), duplex=duplex)
        else:
            count = await pace.keep(lambda most: self._stream.write_some(data, most, duplex=duplex), limit)
            pace.count(count)
        self.count_sent(count)
        if count and self._unreported is not None:
            self._unreported.head_sent()  # pending bytes of the head are sent before more are accepted
            self._unreported = None
        return count

    async def _flush(self) -> bool:
        while self._stream.owes:
            if not await self._flush_some(duplex=self.held > EARLY) and not self._take_input():
                return False
        if self._unreported is not None:
            self._record_head_sent()
        return True

    async def _flush_some(self, *, duplex: bool) -> bool:
        """Like `Stream.flush`, within the timeouts."""
        limit, pace = self._timeouts.write_timeout, self._outgoing
        if pace is None:
            return await self._stream.flush(self.deadline.within(limit), duplex=duplex)
        return await pace.keep(lambda most: self._stream.flush(most, duplex=duplex), limit)

    def _take_input(self) -> bool:
        """Read the input that arrived while we were writing. Returns False if no more need be written.

        Raises:
            ReadError: the connection broke. Only a clean end of the stream may complete a response.
        """
        data = self._stream.take()
        if data is not None:
            self._feed(data)
            # The time is also recorded if the head is complete: the upload may last longer before the owner sees it.
            if self.first_at is None and self.started:
                self.first_at = self.deadline.now()
        # RFC 9112, section 9.5: a server that answers with an error does not need the rest; one whose 2xx response
        # continues may need it.
        return not (self.ended or (self.head is not None and self.head.status >= 400))

    async def _wait_for_continue(self) -> bool:
        """Wait for 100 (Continue), at most `CONTINUE_TIMEOUT` seconds. Returns False when the final response was
        received instead."""
        ends = self.deadline.now() + CONTINUE_TIMEOUT
        while self.head is None:
            left = ends - self.deadline.now()
            try:
                before = len(self.interim)
                # RFC 9110, section 10.1.1: a client should not wait for ever, since old servers support no `Expect`.
                if left <= 0:
                    return True
                await self._read(left)
                # Another 1xx (103 Early Hints) does not concern the body.
                if any(head.status == 100 for head in self.interim[before:]):
                    return True
            except ReadTimeout:
                self.deadline.within(None)  # raises if the total timeout has passed
                return True
        return False

    def _read_response_after_write_error(self) -> bool:
        """After a failed write, read the bytes that were received before. Returns whether they have the head of the
        final response (for example a 413, which a RST followed)."""
        try:
            while self.head is None:
                # Only received bytes are read: the connection has broken, and no more will arrive.
                data = self._stream.take()
                if not data:
                    return False
                self._feed(data)
        except HTTPCoreError:
            return False
        return True

    # Receiving.

    async def _read(self, at_most: float | None = None) -> None:
        """Wait for bytes and parse them."""
        limit = self._timeouts.read_timeout
        if at_most is not None and (limit is None or at_most < limit):
            limit = at_most
        data = await self._stream.read(PIECE, self.deadline.within(limit))
        self._feed(data)

    async def _read_in_pace(self) -> None:
        """Like `_read`, for a body to which `min_rate` applies."""
        pace = self._incoming
        if pace is None:
            pace = self._incoming = Pace(self.deadline, ReadTooSlow)
        await pace.keep(self._read, self._timeouts.read_timeout)
        pace.count_to(self.received)

    def _feed(self, data: bytes) -> None:
        # Without close_notify an attacker on the path may have cut the body: it counts as incomplete (RFC 9112, 8 and
        # 9.8). If a length or a last chunk ends the body, a cut cannot be mistaken for its end, and many servers omit
        # close_notify.
        if not data and self.is_until_close and self._stream.truncated:
            raise RemoteProtocolError(
                f"the TLS connection was cut (no close_notify) after {self.received:,} bytes of a body that "
                "only the end of the connection delimits"
            )
        size = len(data)
        self.bytes_received += size
        self._connection.totals.bytes_received += size
        self.receive(data)
        if self.head is None and self.first_at is None and size:
            self.first_at = self.deadline.now()
        # `on_interim` is called only now: it is code of the caller, and must not find the parser in the middle of a
        # step. It is called once for each head, also if one read contains several.
        if self._interims is not None:
            interims = self._interims[self._interims_seen :]
            self._interims_seen += len(interims)
            for head in interims:
                self._on_interim(head)


class HTTP11RawStream(RawStream):
    """See `RawStream`: the connection itself, after 101 (Switching Protocols) or a 2xx to CONNECT."""

    __slots__ = ("_deadline", "_exchange", "_receiving", "_release", "_sending", "_stream", "_surplus")

    def __init__(self, exchange: HTTP11Exchange, release: Callable[[], None]) -> None:
        self._exchange = exchange
        self._stream = exchange._stream
        self._surplus = exchange.surplus
        self._deadline = exchange.deadline
        self._release = release
        self._receiving = False
        self._sending = False

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        if self._receiving:
            raise busy("receiving from", self._stream)
        try:
            self._receiving = True
            # The surplus comes first: it was received with the head, before the bytes that the stream still has.
            if self._surplus:
                data, self._surplus = self._surplus[:max_bytes], self._surplus[max_bytes:]
                return data
            data = await self._stream.read(max_bytes, self._deadline.within(self._deadline.config.read_timeout))
            self._exchange.count_received(len(data))
            return data
        finally:
            self._receiving = False

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        if self._sending:
            raise busy("sending on", self._stream)
        stream, deadline = self._stream, self._deadline
        limit = deadline.config.write_timeout
        try:
            self._sending = True
            view = memoryview(data)
            while view:
                count = await stream.write_some(view, deadline.within(limit), duplex=True)
                self._exchange.count_sent(count)
                view = view[count:]
            while stream.owes:
                await stream.flush(deadline.within(limit), duplex=True)
        finally:
            self._sending = False

    async def end(self, trailers: TrailerTypes = None) -> None:
        if trailer_pairs(trailers):
            raise LocalProtocolError("trailers: expected none, since this raw stream of HTTP/1.1 carries bytes only")
        if self._sending:
            raise busy("sending on", self._stream)
        try:
            self._sending = True
            await self._stream.end(self._deadline.within(self._deadline.config.write_timeout))
        finally:
            self._sending = False

    def close(self) -> Awaitable[None]:
        self._surplus = b""
        self._stream.close()
        # The release comes after the close: otherwise the pool could assign the connection to a request in between.
        self._release()
        return CLOSED
