"""One call of `request`: what was asked, and its response on the way with the connection that it holds."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol, TypeVar
from warnings import warn

from .._backends.base import PIECE, Backend
from .._connect.route import Route
from .._deadline import Deadline
from .._errors import DecodingError, HTTPCoreError, LimitExceeded, LocalProtocolError, Timeout
from .._message.raw import RawStream
from .._message.request import Request, TrailerTypes
from .._message.response import Informational, ResponseInfo
from .._message.rules import noted
from .._trace import (
    ConnectionClosed,
    ConnectionOpened,
    InterimResponse,
    RequestFailed,
    RequestRetried,
    RequestSent,
    RequestStarted,
    ResponseComplete,
    ResponseStarted,
    ResponseUnusual,
    Trace,
)
from .tickets import Standing, Ticket

# Named in annotations alone: an import would only cost time.
if TYPE_CHECKING:
    from .._message.fields import Headers
    from .._message.head import Head
    from .._message.rules import Leniency
    from .connection import Exchange, HTTPConnection

__all__ = ["Call", "Delivery"]

T = TypeVar("T")

_DONE: Final = Standing.DONE  # the lookup of an Enum's member costs more than the comparison

_BODY: Final = "read the response body"

_numbers = count(1)

_TAKEN_AWAY: Final = "the response is from before a fork, or from an event loop that is closed"
_ELSEWHERE: Final = "the response belongs to another event loop: read it where the request was made"


class GiveBack(Protocol):
    """The pool's one way out for every ticket. False when it has to be put off: see `ConnectionPool._give_back`."""

    def __call__(self, ticket: Ticket, *, reusable: bool, expires: float | None = None) -> bool: ...


def _given_back(ticket: Ticket, *, reusable: bool, expires: float | None = None) -> bool:
    """In the place of the pool's, when that was called and has put it off."""
    return True


class Call:
    """One call of `request`: what was asked, in which world, by when, and who listens."""

    __slots__ = (
        "attempts",
        "backend",
        "deadline",
        "duplex",
        "followed",
        "give_back",
        "is_connected",
        "number",
        "pauses",
        "request",
        "route",
        "trace",
    )

    def __init__(
        self,
        request: Request,
        route: Route,
        deadline: Deadline,
        backend: Backend,
        give_back: GiveBack,
        trace: Trace | None,
        duplex: bool,
    ) -> None:
        self.request = request
        self.route = route
        self.deadline = deadline
        self.backend = backend
        self.give_back: GiveBack = give_back
        self.trace = trace
        self.duplex = duplex
        self.followed = 0.0  # seconds of waiting for another's dial, which count as time to connect
        self.is_connected = False  # the attempt got as far as that
        self.attempts = 1
        self.pauses = 0  # those that the policy made
        self.number = 0
        if trace is not None:
            self.number = next(_numbers)
            method = request.method.decode("ascii")
            trace(RequestStarted(deadline.began, self.number, method, request.url.redacted))

    def now(self) -> float:
        return self.deadline.now()

    def connect_limit(self) -> float | None:
        limit = self.deadline.config.connect_timeout
        return None if limit is None else max(0.0, limit - self.followed)

    def leave(
        self, ticket: Ticket, connection: HTTPConnection, reason: str | None, expires: float | None = None
    ) -> None:
        """Give the connection back, for others if there is no `reason` against it. Only the first call counts."""
        if ticket.claim.standing is _DONE:
            return
        if not self.give_back(ticket, reusable=reason is None, expires=expires):
            self.give_back = _given_back
        if reason is not None and self.trace is not None:
            self.trace(ConnectionClosed(self.now(), self.number, connection.info.peer, reason))

    def let_go(self, ticket: Ticket, connection: HTTPConnection, exchange: Exchange) -> None:
        """The raw stream was closed."""
        self.leave(ticket, connection, None if exchange.give_up() else "the raw stream was closed")

    # For whoever listens.

    def opened(self, connection: HTTPConnection) -> None:
        assert self.trace is not None
        info = connection.info
        tls, alpn = (info.tls.version, info.tls.alpn) if info.tls is not None else (None, None)
        self.trace(ConnectionOpened(self.now(), self.number, str(self.route), info.peer, tls, alpn, connection.engine))

    def interim(self, head: Head) -> None:
        if self.trace is not None:
            self.trace(InterimResponse(self.now(), self.number, head.status, head.headers))

    def answered(self, connection: HTTPConnection, reused: bool, head: Head) -> None:
        assert self.trace is not None
        now, peer = self.now(), connection.info.peer
        self.trace(RequestSent(now, self.number, peer, reused))
        self.trace(ResponseStarted(now, self.number, head.status, head.headers))
        if head.lenient:
            self.unusual(head.lenient)

    def unusual(self, names: tuple[Leniency, ...]) -> None:
        if self.trace is not None:
            self.trace(ResponseUnusual(self.now(), self.number, names))

    def retried(self, reason: BaseException | str, pause: float = 0.0) -> None:
        self.attempts += 1
        if self.trace is not None:
            self.trace(RequestRetried(self.now(), self.number, str(reason), self.attempts, pause))

    def failed(self, error: BaseException) -> None:
        if self.trace is not None:
            text = f"{type(error).__name__}: {error}"
            self.trace(RequestFailed(self.now(), self.number, text))

    def explained(
        self, error: BaseException, connection: HTTPConnection | None, phase: str, status: int | None = None
    ) -> BaseException:
        """The error with what this request knows of it; a timeout becomes the total one if that was it.

        Every error of a request passes here: of its attempts, of the response's body, of decoding it, of a raw stream.
        """
        if isinstance(error, HTTPCoreError):
            if isinstance(error, Timeout):
                error = self.deadline.judged(error)
            error.add(
                phase=phase,
                method=self.request.method.decode("ascii"),
                url=self.request.url.redacted,
                elapsed=self.deadline.elapsed(),
                peer=connection.info.peer or None if connection is not None else None,
                status_code=status,
            )
        return error


class Delivery:
    """A response on its way: what its `Response` reads from, and what gives its connection back.

    Arguments:
        reused: the connection served others before.
        connected: when the connection was there.
    """

    __slots__ = (
        *("_call", "_connected", "_exchange", "_headed", "_holds", "_noted", "_reused", "_ticket"),
        *("connection", "head"),
    )

    def __init__(
        self,
        call: Call,
        ticket: Ticket,
        holds: HTTPConnection,
        exchange: Exchange,
        head: Head,
        reused: bool,
        connected: float,
    ) -> None:
        self._call = call
        self._ticket = ticket
        self._holds = holds
        self._exchange = exchange
        self._reused = reused
        self._connected = connected
        self._noted: tuple[Leniency, ...] = ()  # of the content
        self._headed = call.deadline.now()
        self.head = head
        self.connection: RawStream | None = None

    def begin(self) -> None:
        """The head is here: tell who listens, and release the connection if nothing more is to come."""
        call, holds, exchange, head = self._call, self._holds, self._exchange, self.head
        if call.trace is not None:
            call.answered(holds, self._reused, head)
        if exchange.switched:
            # Nothing of this object: the raw stream outlives the response.
            raw = exchange.raw(partial(call.let_go, self._ticket, holds, exchange))
            self.connection = _ExplainedStream(raw, call, holds, head.status)
        elif exchange.ended:  # all has come in one piece, as it mostly does
            self._end()

    @property
    def informational(self) -> list[Informational]:
        return [Informational(head.status, list(head.headers)) for head in self._exchange.interim]

    @property
    def trailers(self) -> Headers:
        return self._exchange.trailers

    @property
    def info(self) -> ResponseInfo:
        began, connection = self._call.deadline.began, self._holds
        return ResponseInfo.of(
            connection.info,
            engine=connection.engine,
            reused=self._reused,
            attempts=self._call.attempts,
            connected_after=self._connected - began,
            head_after=self._headed - began,
            lenient=noted(self.head.lenient, *self._exchange.lenient, *self._noted),
        )

    def here(self) -> bytes | None:
        if self.connection is not None:
            return b""
        body = self._exchange.here()
        if body is not None and self._ticket.claim.standing is not _DONE:
            self._end()
        return body

    async def next(self) -> bytes:
        if self.connection is not None:
            return b""
        taken_away = self._ticket.claim.standing is _DONE  # the body is not at its end, so it was not given back
        if not (taken_away or self._call.backend.is_current()):
            raise LocalProtocolError(_ELSEWHERE, phase="read the response body")
        try:
            data = await self._exchange.next()
        except BaseException as error:
            if taken_away and isinstance(error, HTTPCoreError):
                error.message = f"{error.message}: {_TAKEN_AWAY}"
            explained = self._broken(error)
            if explained is error:
                raise
            raise explained from error
        if not data:
            self._end()
        return data

    def explain(self, error: HTTPCoreError) -> None:
        """Add what is known of the request to an error about the body: of decoding it, or of how it was used."""
        is_new = error.url is None and isinstance(error, (DecodingError, LimitExceeded))
        self._call.explained(error, self._holds, _BODY, self.head.status)
        if is_new:
            self._call.failed(error)

    @property
    def length(self) -> int | None:
        """How many bytes the body was declared to have; None if that is not known, or does not speak of this body."""
        if self._call.request.method == b"HEAD" or self.head.status == 304:
            return None
        for name, value in self.head.marked:
            if name == b"content-length" and value.isdigit() and len(value) < 19:
                return int(value)
        return None

    def note(self, name: Leniency) -> bool:
        """The content is unusual. False where that is an error."""
        if self._holds.is_strict:
            return False
        self._noted = noted(self._noted, name)
        self._call.unusual((name,))
        return True

    async def turn(self) -> None:
        """Let other tasks run, between two pieces that nothing was waited for."""
        call = self._call
        try:
            await call.backend.sleep(0)
            call.deadline.within(None)
        except BaseException as error:
            explained = self._broken(error)
            if explained is error:
                raise
            raise explained from error

    def _broken(self, error: BaseException) -> BaseException:
        """Release the connection after an error in the body, which is returned with what this request knows of it."""
        if self._ticket.claim.standing is not _DONE:
            fine = self._exchange.give_up()
            reason = None if fine else f"reading the body ended with {type(error).__name__}"
            self._call.leave(self._ticket, self._holds, reason)
        explained = self._call.explained(error, self._holds, _BODY, self.head.status)
        self._call.failed(explained)
        return explained

    def close(self) -> None:
        """Nobody wants the rest. A raw stream has an owner of its own and stays."""
        if self.connection is None and self._ticket.claim.standing is not _DONE:
            self._exchange.drain()
            self._end(None if self._exchange.clean else "the response was closed early")

    def _end(self, reason: str | None = "") -> None:
        ticket, exchange, call = self._ticket, self._exchange, self._call
        if ticket.claim.standing is _DONE or self.connection is not None:
            return
        if reason == "":
            reason = None if exchange.clean else "it cannot carry another exchange"
        call.leave(ticket, self._holds, reason, None if reason else self._expires())
        if call.trace is not None and exchange.ended:
            if exchange.lenient:
                call.unusual(exchange.lenient)
            call.trace(ResponseComplete(call.now(), call.number, exchange.received))

    def _expires(self) -> float | None:
        """When a `Keep-Alive: timeout=` of the server ends the connection's idle life, less a second for the way."""
        for name, value in self.head.marked:
            if name == b"keep-alive":
                for part in value.split(b","):
                    key, _, seconds = part.strip().partition(b"=")
                    if key.lower() == b"timeout" and seconds.isdigit() and len(seconds) < 10:
                        return self._call.now() + max(int(seconds) - 1, 0)
        return None

    def __del__(self) -> None:
        # The ticket's own finaliser returns the slot; here only the culprit is named.
        ticket: Ticket | None = getattr(self, "_ticket", None)  # None: Ctrl-C came while this was made
        if ticket is None or ticket.claim.standing is _DONE or self._call.give_back is _given_back:
            return
        if getattr(self, "connection", None) is None:
            where = self._call.request.url.redacted
            warn(f"a response was dropped unread: {where}", ResourceWarning, stacklevel=1, source=self)


class _ExplainedStream:
    """A `RawStream` whose errors say what request they belong to."""

    __slots__ = ("_call", "_holds", "_raw", "_status")

    def __init__(self, raw: RawStream, call: Call, holds: HTTPConnection, status: int) -> None:
        self._raw = raw
        self._call = call
        self._holds = holds
        self._status = status

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        return await self._explaining(self._raw.recv(max_bytes), "receive on the raw stream")

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        await self._explaining(self._raw.send(data), "send on the raw stream")

    async def end(self, trailers: TrailerTypes = None) -> None:
        await self._explaining(self._raw.end(trailers), "end the raw stream")

    def close(self) -> None:
        self._raw.close()

    async def _explaining(self, step: Awaitable[T], phase: str) -> T:
        try:
            return await step
        except BaseException as error:
            explained = self._call.explained(error, self._holds, phase, self._status)
            if explained is error:
                raise
            raise explained from error
