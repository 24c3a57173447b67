"""HTTP/1.1 in both directions at once: an exchange whose request continues while its response is read (`duplex=True`).

`run` sends the beginning of the request: the given body, or the pieces of an iterator until the head of the response
has been received. The caller has the iterator, and can send the rest of it; but if the iterator ends before the head is
received, the request ends. Any other body is sent completely, and is only the beginning of the request. After `run` the
caller sends and receives by a raw stream, as over HTTP/2.

A sender without a concurrent receiver reads input while it waits for room, as each upload does: a server may answer and
stop reading. Thus both a sender and a receiver may read input, and `_input` decides which of them does. Otherwise, with
threads, one side could parse bytes while the other side has read earlier bytes and not parsed them yet.

The connection may carry another exchange if both messages were completed without an error. If a response is an error,
or is complete, before the request is complete, sending ends: the rules are those for early responses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from .._backends.base import PIECE
from .._deadline import Deadline
from .._errors import HTTPCoreError, LocalProtocolError, ReadError, WriteError
from .._message.body import BodyReader
from .._message.head import Head
from .._message.raw import CLOSED, RawStream, busy
from .._message.request import Request, TrailerTypes, chunk, last_chunk, trailer_pairs
from .connection import HTTP11Connection
from .exchange import DRAIN, EARLY, HTTP11Exchange

__all__ = ["HTTP11DuplexExchange", "begin_exchange"]


class _Input(Enum):
    """The side that reads the input."""

    FREE = "neither"
    RECEIVER = "a task or thread that receives, or waits to"
    SENDER = "the sender, or a closing call, for a moment"


# The lookup of an Enum's member costs more than the comparison.
_FREE, _RECEIVER, _SENDER = _Input
_NOTHING: Final = memoryview(b"")


class HTTP11DuplexExchange(HTTP11Exchange):
    """See the module's docstring. `switched` is always True: the body can be read only from the raw stream."""

    switched = True

    _input = _FREE
    _bytes_sent = 0  # bytes of the request's body that were given so far
    _cut_short = False  # sending was interrupted in the middle of a piece
    _closed = False
    _rest = _NOTHING  # the rest of a part of the response's body that was too large for the call that received it

    async def run(self) -> Head:
        try:
            await self._begin()
        except WriteError:
            if not self._read_response_after_write_error():
                raise
        while self.head is None:
            await self._read()
        return self.head

    def raw(self, release: Callable[[], None]) -> RawStream:
        return _DuplexStream(self, release)

    def drain(self) -> None:
        # As in `_take_input_beside`: a receiver in another thread must not parse bytes between `take` and `_feed`.
        if self._input is not _FREE:
            return
        thrown = 0
        try:
            self._input = _SENDER
            while not self.ended and thrown <= DRAIN:
                data = self._stream.take()
                if not data:
                    return
                thrown += len(data)
                self._feed(data)
        except HTTPCoreError:
            return  # no reader needs this response any more; `clean` stays False
        finally:
            self._input = _FREE

    def give_up(self) -> bool:
        # A request that was not sent completely cannot be followed by another one, so there is nothing to save.
        if self._complete:
            self.drain()
        return self.clean

    # The beginning.

    async def _begin(self) -> None:
        request = self.request
        reader = request.body.start(self._connection.backend.run_blocking)
        caller_keeps_rest = request.body.caller_keeps_rest()
        at_end = True
        try:
            if not await self._write(request.head):
                return
            self._unreported = self.deadline.tracer
            self._record_head_sent()
            if request.expects_continue and not (await self._flush() and await self._wait_for_continue()):
                return
            self._begin_body()
            at_end = await self._send_beginning(reader, caller_keeps_rest)
            if at_end and caller_keeps_rest:
                await self.finish(request.final_trailers() if request.trailers is not None else [])
            await self._flush()
        except WriteError:
            raise  # the stream may still have the peer's response
        except BaseException:
            # This must happen before the user's clean-up runs, as in every upload.
            self.close()
            raise
        finally:
            if at_end:  # otherwise the caller sends the unread pieces
                reader.close()
                await reader.aclose()

    async def _send_beginning(self, reader: BodyReader, caller_keeps_rest: bool) -> bool:
        """Send the pieces of `reader`; those of an iterator until the head of the response has been received. Returns
        whether all pieces were sent.
        """
        while self._take_input() and not (caller_keeps_rest and self.head is not None):
            piece = await reader.next()
            if piece is None:
                return True
            for buffer in self._framed(piece):
                if not await self._write(buffer):
                    return False
        return False

    def _framed(self, data: bytes | bytearray | memoryview) -> tuple[bytes | bytearray | memoryview, ...]:
        """The buffers to send for a piece of the body."""
        size = len(data)
        if self.request.chunked:
            self._bytes_sent += size
            return chunk(bytes(data))
        declared = self.request.content_length or 0
        if self._bytes_sent + size > declared:
            raise LocalProtocolError(
                f"the body is longer than its Content-Length: expected {declared:,} bytes, got "
                f"{self._bytes_sent + size:,} or more"
            )
        self._bytes_sent += size
        return (data,) if size else ()

    # The rest of the request, sent by the raw stream.

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of the body.

        Raises:
            WriteError: the request has ended, or the server needs no more of it.
        """
        # Tested before a byte is framed: a chunk that is refused halfway would leave the peer waiting for its rest.
        self._check_going_on()
        for buffer in self._framed(data):
            await self._put(buffer)
        await self._push()
        # With a Content-Length the last byte ends the request: no call of `end` is needed.
        self._complete = not self.request.chunked and self._bytes_sent == self.request.content_length
        if self._complete:
            self._note_sent()

    async def finish(self, trailers: TrailerTypes) -> None:
        """End the request. Nothing is sent if the server has answered with an error: it needs no more."""
        pairs = trailer_pairs(trailers)
        if pairs and not self.request.chunked:
            raise LocalProtocolError(
                "trailers: expected none with a Content-Length, since they need the chunked coding"
            )
        # RFC 9112, section 9.5: a server that has answered with an error may not read on.
        if self._complete or (self.head is not None and self.head.status >= 400):
            return
        if self._cut_short:
            raise self._refusal("sending was cut short before")
        if self.request.chunked:
            await self._put(last_chunk(pairs))
            await self._push()
        elif self._bytes_sent < (declared := self.request.content_length or 0):
            raise LocalProtocolError(
                f"the body is shorter than its Content-Length: expected {declared:,} bytes, got {self._bytes_sent:,}"
            )
        self._complete = True
        self._note_sent()

    def _note_sent(self) -> None:
        """Record that all of the request was handed to the system."""
        self.sent_at = at = self.deadline.now()
        if self.deadline.tracer is not None:
            self.deadline.tracer.request_sent(at)

    def _check_going_on(self) -> None:
        if self._complete:
            raise self._refusal("it was ended")
        if self._cut_short:
            raise self._refusal("sending was cut short before")
        if self.ended or (self.head is not None and self.head.status >= 400):
            raise self._refusal("the server has responded, and accepts no more of it")

    def _refusal(self, why: str) -> WriteError:
        return WriteError(f"no more of this request can be sent: {why}", peer=self._stream.info().peer)

    async def _put(self, data: bytes | bytearray | memoryview) -> None:
        """Hand all of `data` to the stream, and read input in the meantime if no receiver does."""
        view = memoryview(data).cast("B")
        # `_cut_short` is True until all of `data` was passed on: after a cancellation in the middle of a chunk nothing
        # more may be sent, since the peer would take it for the rest of that chunk.
        cut_short, self._cut_short = self._cut_short, True
        while view:
            count = await self._write_some(view, duplex=self._must_not_read())
            view = view[count:]
            if not count:
                self._take_input_beside()
        self._cut_short = cut_short

    async def _push(self) -> None:
        while self._stream.owes:
            if not await self._flush_some(duplex=self._must_not_read()):
                self._take_input_beside()

    def _must_not_read(self) -> bool:
        """Whether a write must not read as well: a receiver reads, or enough input is held."""
        return self._input is _RECEIVER or self.held > EARLY

    def _take_input_beside(self) -> None:
        """Take the input that arrived while we were writing, unless a receiver does.

        Raises:
            WriteError: there is no point in further writing.
        """
        # No other thread can interrupt between the test and the mark: no call lies between them.
        if self._input is not _FREE:
            return
        try:
            self._input = _SENDER
            going_on = self._take_input()
        finally:
            self._input = _FREE
        if not going_on:
            raise self._refusal("the server has responded, and accepts no more of it")

    async def recv(self, max_bytes: int) -> bytes:
        """The next bytes of the response's body, `b""` at its end."""
        while True:
            # As in `_take_input_beside`, no call lies between the test and the mark.
            taker = self._input
            if taker is _FREE:
                self._input = _RECEIVER
                break
            if taker is _RECEIVER:
                raise busy("receiving from", self._stream)
            await self._connection.backend.sleep(0)  # the sender parses its input, in another thread
        try:
            rest = self._rest
            if not rest:
                while not self.parts:
                    if self.ended:
                        return b""
                    await (self._read() if self._timeouts.min_rate is None else self._read_in_pace())
                rest = memoryview(self.parts.popleft())
            data, self._rest = bytes(rest[:max_bytes]), rest[max_bytes:]
            self.held -= len(data)
            return data
        finally:
            self._input = _FREE


class _DuplexStream(RawStream):
    """See `RawStream`: one exchange of a connection, which may carry others after this one."""

    __slots__ = ("_closed", "_exchange", "_release", "_sending")

    def __init__(self, exchange: HTTP11DuplexExchange, release: Callable[[], None]) -> None:
        self._exchange = exchange
        self._release = release
        self._closed = False
        self._sending = False

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        exchange = self._exchange
        if self._closed:  # another request may have the connection now
            raise ReadError("this raw stream was closed on this side", peer=exchange._stream.info().peer)
        return await exchange.recv(max_bytes)

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        if self._sending:
            raise busy("sending on", self._exchange._stream)
        try:
            self._sending = True
            self._check_open()
            await self._exchange.send(data)
        finally:
            self._sending = False

    async def end(self, trailers: TrailerTypes = None) -> None:
        if self._sending:
            raise busy("sending on", self._exchange._stream)
        try:
            self._sending = True
            self._check_open()
            await self._exchange.finish(trailers)
        finally:
            self._sending = False

    def close(self) -> Awaitable[None]:
        exchange = self._exchange
        if not self._closed and not exchange.give_up():
            exchange.close()
        # This is set before the release: after the release another request may have the connection.
        self._closed = True
        self._release()
        return CLOSED

    def _check_open(self) -> None:
        if self._closed:
            raise WriteError("this raw stream was closed on this side", peer=self._exchange._stream.info().peer)


_Kind = Callable[[HTTP11Connection, Request, Deadline, Callable[[Head], None]], HTTP11Exchange]


def begin_exchange(
    connection: HTTP11Connection,
    request: Request,
    deadline: Deadline,
    on_interim: Callable[[Head], None],
    duplex: bool = False,
    *,
    kinds: tuple[_Kind, _Kind] = (HTTP11Exchange, HTTP11DuplexExchange),
) -> HTTP11Exchange:
    """Begin an exchange of the kind that the request needs. `kinds` has an engine's usual kind and its duplex kind."""
    return kinds[duplex and request.may_go_on](connection, request, deadline, on_interim)
