"""A response that is being received, with the connection that it holds."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Final
from warnings import warn

from .._backends.base import PIECE
from .._errors import DecodingError, HTTPCoreError, LimitExceeded, LocalProtocolError
from .._message.decoders import is_coded
from .._message.raw import CLOSED, RawStream
from .._message.request import TrailerTypes
from .._message.response import Informational, ResponseInfo
from .._message.rules import noted
from .._trace import CloseReason, RequestPhase
from .call import Call
from .leases import Leases, as_closed, follow
from .tickets import Ticket, TicketState
from .timing import timing_of
from .tracer import Tracer, close_reason

# These names are used in annotations only: importing them at run time would only cost time.
if TYPE_CHECKING:
    from .._message.fields import Headers
    from .._message.head import Head
    from .._message.rules import Leniency
    from .._timing import RequestTiming
    from .connection import HTTPConnection
    from .wire import Exchange

__all__ = ["Delivery"]

_DONE: Final = TicketState.DONE  # named here, since looking up an Enum's member costs more than comparing it

_BODY: Final = "read the response body"

_TAKEN_AWAY: Final = "the response is from before a fork, or from an event loop that is closed"
_ELSEWHERE: Final = "the response belongs to another event loop: read it where the request was made"


class Delivery(Ticket):
    """One attempt of a call and then its response: the source of a `Response`, which releases the connection.

    A delivery is the ticket of its attempt: it is made *before* it acquires a connection, and when it is
    garbage-collected the ledger gets its claim. Values that most attempts share are on the class, and not on each
    instance.

    Attributes:
        holds: the connection, once the attempt has one.
        exchange: the exchange on that connection.
        head: the response head, once it has been received.
    """

    holds: HTTPConnection
    exchange: Exchange
    head: Head
    connection: None = None  # see `Handover`
    _has_head = False
    _reused = False
    _head_at: float | None = None
    _completed: float | None = None
    _decoded: int | None = None  # bytes that content decoding has produced
    _deviations: tuple[Leniency, ...] = ()  # deviations of the content
    _is_release_deferred = (
        False  # released in the middle of a step of the pool: the release is carried out when the step ends
    )

    def __init__(self, call: Call, leases: Leases) -> None:
        route = call.route
        # The callback belongs to the current ledger: after a fork the pool may have another ledger, which has none of
        # these tickets. It is a C function, see `Claim`.
        Ticket.__init__(self, route, "h2" in route.offers, leases.ledger.dropped.append)
        self._call = call
        self._leases = leases

    def begin(self, connection: HTTPConnection) -> Exchange:
        """Begin the exchange on the connection that was acquired."""
        call = self._call
        self.holds = connection
        self._reused = connection.uses > 0
        call.is_connected = True
        request = call.request
        # This comes before the exchange sends anything: any later close of the connection is recorded for this request.
        if call.tracer is not None and self.claim.slot is not None:
            call.tracer.using(connection.info.peer, self._reused, connection.protocol)
            follow(self._leases, self.claim.slot, connection, call.tracer)
            request = call.tracer.with_fields(request)
        self.exchange = exchange = connection.exchange(request, call, call.interim, call.duplex)
        return exchange

    @property
    def continues(self) -> bool:  # type: ignore[override]  # see `Ticket.continues`, a class attribute
        return self._call.continues

    @property
    def call(self) -> Call:
        """The call to which this attempt belongs."""
        return self._call

    @property
    def phase(self) -> RequestPhase:
        """The current step. It may be read at any time, by any thread."""
        claim = self.claim
        slot, state = claim.slot, claim.state
        if state is TicketState.WAITING or slot is None:
            return RequestPhase.QUEUED
        if state is TicketState.DIALING:
            opening: HTTPConnection | None = slot.connection  # type: ignore[assignment]  # the pool stored it
            return RequestPhase.CONNECT if opening is None else opening.step
        exchange: Exchange | None = self.__dict__.get("exchange")
        if exchange is None:
            return RequestPhase.CHECK
        if not self._has_head:
            return RequestPhase(exchange.phase)
        return RequestPhase.RAW if exchange.switched else RequestPhase.READ_BODY

    @property
    def peer(self) -> str | None:
        """The address of the peer, as soon as it is known: while the connection is being made, too."""
        slot = self.claim.slot
        connection: HTTPConnection | None = None if slot is None else slot.connection  # type: ignore[assignment]
        return None if connection is None else connection.info.peer or None

    @property
    def was_reused(self) -> bool:
        """Whether the connection had served other requests before."""
        return self._reused

    def arrive(self, head: Head) -> None:
        """Record the received head, and release the connection if the response is complete."""
        call, exchange = self._call, self.exchange
        self.head = head
        self._has_head = True
        if call.tracer is not None or not exchange.ended or exchange.switched:
            self._arrive_in_parts(head)
            return
        # The whole response was received at once, which is usual. The release reads the clock anyway; a second reading,
        # and the parts of `_end` and `release` that are not needed here, would cost 1 %. Since the body is complete,
        # other requests may use the connection before the caller has read a byte of the body.
        reason = None if exchange.clean else CloseReason.NOT_REUSABLE
        expires = None if reason else self._expires()
        at = self._leases.release(self, reusable=reason is None, expires=expires, reason=reason)
        if at is None:
            self._is_release_deferred = True
            at = call.now()
        self._head_at = self._completed = at

    def _arrive_in_parts(self, head: Head) -> None:
        """Like `arrive`, where there is a trace or the response is not complete."""
        call, exchange = self._call, self.exchange
        self._head_at = now = call.now()
        if call.tracer is not None:
            call.tracer.answered(head, now, goes_on=exchange.switched)
            call.tracer.differed(self.holds.engines.reports)
            call.tracer.awaits_reading |= is_coded(head.marked) and call.request.method != b"HEAD"
        if exchange.ended and not exchange.switched:
            self._end(now)

    def source(self) -> Delivery | Handover:
        """The source that the response reads from."""
        return Handover(self) if self.exchange.switched else self

    def release(self, reason: CloseReason | None, expires: float | None = None) -> None:
        """Release the connection, for other requests if `reason` is None. Only the first call counts."""
        # The end of the body, an error and `close` call this, in any order: the first call has decided whether the
        # connection is reusable.
        if self.claim.state is _DONE or self._is_release_deferred:
            return
        if self._leases.release(self, reusable=reason is None, expires=expires, reason=reason) is None:
            self._is_release_deferred = True
        tracer = self._call.tracer
        if tracer is not None and self.holds.tracer is tracer:
            self.holds.tracer = None

    @property
    def informational(self) -> list[Informational]:
        return [Informational(head.status, list(head.headers)) for head in self.exchange.interim]

    @property
    def trailers(self) -> Headers:
        return self.exchange.trailers

    @property
    def info(self) -> ResponseInfo:
        call, connection = self._call, self.holds
        return ResponseInfo.of(
            connection.info,
            engine=connection.engine,
            reused=self._reused,
            attempts=call.attempts,
            connected_after=call.connected - call.began,
            head_after=None if self._head_at is None else self._head_at - call.began,
            stream_id=self.exchange.stream_id,
            request_number=call.number,
            lenient=noted(self.head.lenient, *self.exchange.lenient, *self._deviations),
            timing=self.timing(self.exchange),
            bytes_sent=self.exchange.bytes_sent,
            bytes_received=self.exchange.bytes_received,
            body_received=self.exchange.received,
            body_decoded=self.exchange.received if self._decoded is None else self._decoded,
        )

    def timing(self, exchange: Exchange | None) -> RequestTiming:
        """The times that are known so far. `exchange` is None if it has not begun."""
        return timing_of(self._call, exchange, self._head_at, self._completed)

    def made(self, size: int) -> None:
        """Record how many bytes of content decoding has produced."""
        self._decoded = (self._decoded or 0) + size

    def buffered_body(self) -> bytes | None:
        body = self.exchange.buffered_body()
        if body is not None and self.claim.state is not _DONE:
            self._end()
        if not body and body is not None and self._call.tracer is not None:
            self._call.tracer.was_read()
        return body

    async def next(self) -> bytes:
        # The state is read before the wait: after it the claim may be DONE because this response has ended.
        taken_away = self.claim.state is _DONE and not self.claim.closed  # though the body has not ended
        if not (taken_away or self.claim.closed or self._call.backend.is_current()):
            raise LocalProtocolError(_ELSEWHERE, phase=_BODY)
        try:
            data = await self.exchange.next()
        except BaseException as error:
            if taken_away and isinstance(error, HTTPCoreError):
                error.message = f"{error.message}: {_TAKEN_AWAY}"
            described = self._broken(error)
            if described is error:
                raise
            raise described from error
        if not data:
            self._end()
        return data

    def add_request_context(self, error: HTTPCoreError) -> None:
        """Add the request's facts to an error about the body: a decoding error, or a wrong use of the body."""
        is_new = error.url is None and isinstance(error, (DecodingError, LimitExceeded))
        self.with_request_context(error, _BODY)
        if is_new:
            self._call.failed(error)

    def with_request_context(self, error: BaseException, phase: str) -> BaseException:
        """Add the request's facts to an error that was raised after the head."""
        timing = self.timing(self.exchange) if isinstance(error, HTTPCoreError) else None
        return self._call.with_request_context(error, self.holds, phase, self.head.status, timing)

    @property
    def length(self) -> int | None:
        """The declared size of the body in bytes; None if it is not known, or does not apply to this body."""
        head = self.head
        if self._call.request.method == b"HEAD" or head.status == 304:
            return None
        for name, value in head.marked:
            if name == b"content-length" and value.isdigit() and len(value) < 19:
                return int(value)
        return None

    @property
    def is_strict(self) -> bool:
        """Whether unusual content is an error."""
        return self.holds.is_strict

    def note(self, name: Leniency) -> bool:
        """Record that the content is unusual. False where that is an error."""
        if self.holds.is_strict:
            return False
        self._deviations = noted(self._deviations, name)
        if self._call.tracer is not None:
            self._call.tracer.unusual((name,))
        return True

    async def turn(self) -> None:
        """Let other tasks run between two pieces, when no wait was needed for the second one."""
        call = self._call
        try:
            await call.backend.sleep(0)
            # The total timeout is checked after this turn, since it may have passed while other tasks ran.
            call.within(None)
        except BaseException as error:
            described = self._broken(error)
            if described is error:
                raise
            raise described from error

    def count(self, error: BaseException) -> None:
        """Record that a wait after the head has ended with this error."""
        self._leases.totals.note(error)

    def _broken(self, error: BaseException) -> BaseException:
        """Release the connection after an error in the body, and return the error with the request's facts."""
        if self.claim.state is not _DONE:
            # An HTTP/2 exchange can end without its connection, so its error need not end the other exchanges.
            fine = self.exchange.give_up()
            self.release(None if fine else close_reason(error))
        described = self.with_request_context(as_closed(self, error), _BODY)
        self.count(described)
        self._call.failed(described)
        return described

    def close(self) -> None:
        """Discard the rest of the body. A raw stream has an owner of its own and stays open."""
        exchange, tracer = self.exchange, self._call.tracer
        if self.claim.state is not _DONE and not exchange.switched:
            # `drain` comes before `_end`, which tests whether the connection is clean: it is clean if the rest of the
            # body is small and was already received.
            exchange.drain()
            self._end(None, CloseReason.CLOSED_EARLY)
        if tracer is not None and not exchange.switched:
            tracer.closed_early(exchange.received)  # ignored if the response has already ended
            tracer.was_read()

    def discard(self) -> None:
        """Like `close`, for a response that the caller does not get, since the request is sent again."""
        self.close()
        self._has_head = False

    def _end(self, at: float | None = None, otherwise: CloseReason = CloseReason.NOT_REUSABLE) -> None:
        """Record that the response has ended, or was closed early.

        Arguments:
            at: the time of the end. Default None: now.
            otherwise: why a connection that is not clean is closed.
        """
        exchange, tracer = self.exchange, self._call.tracer
        if self.claim.state is not _DONE:
            reason = None if exchange.clean else otherwise
            self.release(reason, None if reason else self._expires())
        elif not self.claim.closed:  # else the pool has closed the connection, and the rest was already received
            return
        # A response that was closed early has no time of completion.
        if exchange.ended:
            self._completed = at = self._call.now() if at is None else at
        if tracer is not None and at is not None:
            if exchange.lenient:
                tracer.unusual(exchange.lenient)
            tracer.complete(exchange.received, at)
            if self.holds.engines.reports:
                tracer.differed(self.holds.engines.reports)

    def _expires(self) -> float | None:
        """When to stop keeping the idle connection, by the server's `Keep-Alive: timeout=`, minus one second: our time
        must end before the server's, which began when the server sent the response."""
        for name, value in self.head.marked:
            if name == b"keep-alive":
                for part in value.split(b","):
                    key, _, seconds = part.strip().partition(b"=")
                    if key.lower() == b"timeout" and seconds.isdigit() and len(seconds) < 10:
                        return self._call.now() + max(int(seconds) - 1, 0)
        return None

    def __del__(self) -> None:
        # The claim, a weak reference, releases the slot by its callback; this method only reports the drop. Without a
        # head there was no response to drop.
        if not self._has_head:
            return
        if self._call.tracer is not None:
            self._leases.call_trace_later(partial(_record_dropped, self._call.tracer, self.exchange.received))
        if self._is_release_deferred or self.claim.state is _DONE or self.exchange.switched:
            return
        where = self._call.request.url.redacted
        warn(f"a response was dropped unread: {where}", ResourceWarning, stacklevel=1, source=self)


class Handover:
    """The source of a response whose connection became a raw stream: there is no body.

    The raw stream holds the delivery, and so the ticket; the delivery does not refer to the raw stream. So the
    connection is held while the raw stream or the response is kept, and is released when both are dropped.
    """

    __slots__ = ("_delivery", "connection")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        # The stream refers to the delivery, and not the reverse: otherwise there would be a cycle, and a dropped pair
        # would hold its connection until the garbage collector runs.
        self.connection: RawStream | None = _DescribedStream(delivery)

    @property
    def informational(self) -> list[Informational]:
        return self._delivery.informational

    @property
    def trailers(self) -> Headers:
        return self._delivery.trailers

    @property
    def info(self) -> ResponseInfo:
        return self._delivery.info

    @property
    def length(self) -> int | None:
        return self._delivery.length

    def buffered_body(self) -> bytes | None:
        return b""

    async def next(self) -> bytes:
        return b""

    @property
    def is_strict(self) -> bool:
        return self._delivery.is_strict

    def note(self, name: Leniency) -> bool:
        return self._delivery.note(name)

    def made(self, size: int) -> None:
        """Does nothing: there is no body."""

    async def turn(self) -> None:
        await self._delivery.turn()

    def add_request_context(self, error: HTTPCoreError) -> None:
        self._delivery.add_request_context(error)

    def close(self) -> None:
        """Does nothing: the raw stream has an owner of its own."""


class _DescribedStream(RawStream):
    """A `RawStream` whose errors have the request's facts, and whose close releases the connection."""

    __slots__ = ("_delivery", "_raw")

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._raw = delivery.exchange.raw(partial(_release_raw, delivery))

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        try:
            return await self._raw.recv(max_bytes)
        except BaseException as error:
            described = self._with_context(error, "receive on the raw stream")
            if described is error:
                raise
            raise described from error

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._raw.send(data)
        except BaseException as error:
            described = self._with_context(error, "send on the raw stream")
            if described is error:
                raise
            raise described from error

    async def end(self, trailers: TrailerTypes = None) -> None:
        try:
            await self._raw.end(trailers)
        except BaseException as error:
            described = self._with_context(error, "end the raw stream")
            if described is error:
                raise
            raise described from error

    def close(self) -> Awaitable[None]:
        self._raw.close()
        return CLOSED

    def _with_context(self, error: BaseException, phase: str) -> BaseException:
        """Return the error to raise. Each method above awaits the raw stream itself, which saves a coroutine per
        call."""
        described = self._delivery.with_request_context(as_closed(self._delivery, error), phase)
        self._delivery.count(described)
        return described


def _release_raw(delivery: Delivery) -> None:
    delivery.release(None if delivery.exchange.give_up() else CloseReason.RAW_CLOSED)
    tracer = delivery._call.tracer
    if tracer is not None:
        tracer.closed_early(delivery.exchange.received)
        tracer.was_read()


def _record_dropped(tracer: Tracer, received: int, leases: Leases) -> None:
    """Record that a response was dropped. The tracer ignores this if it has already made its last record."""
    tracer.dropped(received)
    tracer.was_read()
