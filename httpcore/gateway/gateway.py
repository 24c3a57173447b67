"""The gateway: an ASGI app that forwards every request to one of its upstreams, streaming both ways.

What a request may be is decided in `plan`, where it goes in `balance` and `health`, what a failure means in `failover`:
values in, values out. Here they are put together, in one task for each request; `watch` ends it early.
"""

from __future__ import annotations

import logging
import os
from asyncio import CancelledError, get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from .._errors import HTTPCoreError, printable
from .._message.body import BodyContent
from .._message.raw import RawStream
from .._message.response import Response
from .._pool.retrying import draw
from .balance import Balance, balance_of, is_random
from .failover import Budget, is_the_upstreams, may_go_elsewhere, refusal_of
from .forwarding import WRITTEN, networks_of
from .handshakes import Offer, agreed, asked
from .health import Member, available
from .hooks import RequestChange, RequestHook, ResponseChange, ResponseHook, Returned, called, checked_hook
from .messages import Headers, Message, Receive, Refusal, Scope, Send, answer, can_deny, deny
from .plan import Forward, Trust, plan, returned
from .settings import (
    DEFAULT_HEALTH,
    DEFAULT_LIMITS,
    DEFAULT_TIMEOUTS,
    Health,
    Limits,
    Timeouts,
    Upstream,
    WebSockets,
    checked_whole,
    upstreams_of,
    websockets_of,
)
from .stats import GatewayStats, UpstreamStats
from .upload import BodyTooLarge, ClientLeft, Upload
from .watch import Gate, Rounds, Watch, now, pause, start

if TYPE_CHECKING:
    from .websocket import Socket

__all__ = ["Gateway"]

_THE_SERVERS: Final = frozenset((b"date", b"server"))
_NONE: Final[frozenset[bytes]] = frozenset()
_NONE_UP: Final = Refusal(503, "no upstream is available")
_FULL: Final = Refusal(503, "too many requests at once", ((b"retry-after", b"1"),))
_TOO_LARGE: Final = Refusal(413, "the body is longer than this gateway forwards")
_TIMED_OUT: Final = {
    "first_byte": Refusal(504, "ReadTimeout"),
    "idle": Refusal(504, "ReadTimeout"),
    "total": Refusal(504, "TotalTimeout"),
}
_HOOK_FAILED: Final = Refusal(500, "the gateway failed")
_HOOK_FAILED_LATE: Final = Refusal(502, "the gateway failed")
_TRAILERS: Final = "http.response.trailers"
_BODILESS: Final = frozenset((204, 304))


class _Line:
    """An upstream with what sends to it and what is known of it."""

    __slots__ = ("failures", "member", "name", "prefix", "requests", "sender", "upstream", "url")

    def __init__(self, upstream: Upstream, health: Health) -> None:
        self.upstream = upstream
        self.name = upstream.name
        self.url = upstream.name + "/"
        self.prefix = upstream.prefix
        self.sender = upstream.sender()
        self.member = Member(upstream.weight, health)
        self.requests = 0
        self.failures = 0


class _Turn:
    """One request on its way through the gateway.

    Attributes:
        upload: the body that the client sends; None where the request has none.
        status: that the client was answered with; 0 before that.
        takes_trailers: the client wants them, and the server can send them.
        is_whole: the response was sent to its end.
    """

    __slots__ = ("error", "is_whole", "line", "request", "send", "status", "takes_trailers", "upload", "watch")

    def __init__(self, send: Send, request: Forward, watch: Watch, upload: Upload | None) -> None:
        self.send = send
        self.request = request
        self.watch = watch
        self.upload = upload
        self.status = 0
        self.takes_trailers = False
        self.is_whole = False
        self.line: _Line | None = None
        self.error: object = None

    async def refuse(self, refusal: Refusal) -> None:
        """Answer in the upstream's place, where nothing was answered yet."""
        if not self.status:
            self.status = refusal.status
            await answer(self.send, refusal)
            self.is_whole = True


class _SocketTurn(_Turn):
    """The same for a WebSocket."""

    __slots__ = ("offer", "scope", "socket")

    def __init__(self, scope: Scope, send: Send, offer: Offer, watch: Watch, socket: Socket) -> None:
        super().__init__(send, offer.request, watch, None)
        self.scope = scope
        self.offer = offer
        self.socket = socket

    async def refuse(self, refusal: Refusal) -> None:
        if not self.status:
            self.status = refusal.status
            await deny(self.scope, self.send, refusal)
            self.is_whole = True


_Changed = Callable[[_Turn, Returned], Awaitable[Returned | None]]


class Gateway:
    """An ASGI app that forwards every HTTP request, and every WebSocket, to one of its upstreams.

    Path, query, body and its content coding go on byte for byte, heads and pieces as soon as they are there, with back
    pressure both ways. What concerns one hop only is removed (RFC 9110, section 7.6). A client that leaves cancels its
    request, whatever it waits for. It runs on asyncio and uvloop, under any ASGI server.

    Arguments:
        upstreams: URLs and `Upstream` values, at least one; or a single one.
        balance: which of them gets a request: "round_robin" (by weight), "least_outstanding", "random_two",
            "first" (the others are spares), "hash:client", "hash:header=NAME"; or a callable, which gets the planned
            request and the indexes that are available, and returns one of these. Default "least_outstanding".
        health: when an upstream is left out and comes back. Default: after 5 requests in a row that failed, for 10 s.
        retries: how many further upstreams are asked when one fails, where that is safe: it cannot have acted on the
            request, or may act on it twice, and the body is kept or not begun. At most a fifth of all requests.
            Default 1.
        timeouts: a `Timeouts`. Default: 5 s to connect, 60 s between two pieces, none for the first byte.
        limits: a `Limits`. Default: 10,000 requests at once, 100 that wait for a second.
        websocket: whether WebSockets are forwarded, which takes the package wsproto; or how, as a `WebSockets`. Default
            True. False: they are refused with 403.
        host: "rewrite" sends the upstream's own Host, "keep" the client's. Default "rewrite".
        trusted_proxies: networks and addresses whose X-Forwarded-*, X-Real-IP and Forwarded are believed and continued.
            From all others they are removed. Default (): none.
        forwarded: what the upstream gets: "x-forwarded", "forwarded" (RFC 7239), "x-real-ip". Default X-Forwarded-For,
            -Host and -Proto.
        trace_method: whether TRACE is forwarded, with the cookies that it shows. Default False: 405.
        forward_date: whether the upstream's Date and Server are handed on. Default False, since servers add their own:
            True for those that were told not to.
        name: this gateway in Via, a token. A request that has it already came in a circle, and is answered with 508.
            Default: "gateway-" and a random number, which differs from process to process.
        on_request: called with each request as the upstream would get it, that of a WebSocket's handshake, too. It may
            return another one (`request._replace(headers=...)`), a `Refusal`, which answers the client, or None, which
            changes nothing; or be an async function that does. What it raises is a 500 and a line of the log.
        on_response: called with the request and the head of its response, a `Returned`. It may return another one, a
            `Refusal` in place of the response, or None; or be an async function that does. It must leave
            Content-Length as it is. What it raises is a 502 and a line of the log. Called for the refusal of a
            WebSocket, too, but not for an open one.
        log: a logger: one line at INFO for each request, one at WARNING where an upstream failed. Default
            `logging.getLogger("httpcore.gateway")`.

    Raises:
        TypeError, ValueError: an argument has another type, or is not allowed.
    """

    def __init__(
        self,
        upstreams: str | Upstream | Iterable[str | Upstream],
        *,
        balance: Balance = "least_outstanding",
        health: Health = DEFAULT_HEALTH,
        retries: int = 1,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        limits: Limits = DEFAULT_LIMITS,
        websocket: bool | WebSockets = True,
        host: str = "rewrite",
        trusted_proxies: Sequence[str] = (),
        forwarded: Sequence[str] = ("x-forwarded",),
        trace_method: bool = False,
        forward_date: bool = False,
        name: str | None = None,
        on_request: RequestHook | None = None,
        on_response: ResponseHook | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        checked_whole("retries", retries, least=0)
        self._timeouts = timeouts
        self._config = timeouts.config()
        self._limits = limits
        self._websockets = websockets_of(websocket)
        self._health = health
        self._retries = retries
        self._balance = balance_of(balance)
        self._draw: Callable[[], float] = draw if is_random(balance) else float
        self._lines = [_Line(upstream, health) for upstream in upstreams_of(upstreams)]
        self._members = [line.member for line in self._lines]
        confined = any(line.prefix for line in self._lines)
        self._trust = _trust(host, trusted_proxies, forwarded, trace_method, confined, name)
        self._without = _NONE if forward_date else _THE_SERVERS
        self._on_request = checked_hook("on_request", on_request)
        self._on_response = checked_hook("on_response", on_response)
        self._log = log or logging.getLogger("httpcore.gateway")
        self._gate = Gate(limits.concurrent, limits.queue)
        self._budget = Budget()
        self._retried = 0
        self._responses = [0] * 6
        self._checks: list[Callable[[], object]] = []
        self._last_rounds: Rounds | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._serve_socket(scope, receive, send)

    def stats(self) -> GatewayStats:
        """What this gateway has done so far, in this process."""
        time = now()
        upstreams = [
            UpstreamStats(
                line.name,
                line.requests,
                line.failures,
                line.member.outstanding,
                line.member.is_up,
                line.member.ejected_until > time,
            )
            for line in self._lines
        ]
        gate = self._gate
        return GatewayStats(gate.under_way, gate.waiting, tuple(self._responses), self._retried, tuple(upstreams))

    async def close(self) -> None:
        """End the checks and close the idle connections. A server that has a lifespan does it at its end."""
        for cancel in self._checks:
            cancel()
        self._checks.clear()
        for line in self._lines:
            await line.sender.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.startup" and self._health.path is not None:
                self._checks += [start(_check(line, self._health, self._log)) for line in self._lines]
            if kind == "lifespan.shutdown":
                await self.close()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    # One request.

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = plan(scope, self._trust)
        if isinstance(request, Refusal):
            await self._answer(scope, send, request)
            return
        limits = self._limits
        if limits.body is not None and request.length is not None and request.length > limits.body:
            await self._answer(scope, send, _TOO_LARGE)
            return
        has_body = request.has_body is not False
        watch = Watch(self._rounds(), receive, self._timeouts, has_body)
        if not self._gate.enter() and not await self._queued(scope, send, watch):
            return
        turn = _Turn(send, request, watch, Upload(receive, watch, limits.body) if has_body else None)
        if request.takes_trailers and _TRAILERS in (scope.get("extensions") or ()):
            turn.takes_trailers = True
            turn.request = request._replace(headers=[*request.headers, (b"te", b"trailers")])
        try:
            if self._on_request is None or await self._asked(turn):
                await self._forward(turn)
        except (CancelledError, ClientLeft, BodyTooLarge, HTTPCoreError) as error:
            await _ended(turn, error)
        finally:
            self._gate.leave()
            watch.close()
            if turn.upload is not None:
                turn.upload.close()
            self._count(turn)

    async def _queued(self, scope: Scope, send: Send, watch: Watch) -> bool:
        """Whether the request has got its turn. A client that leaves the queue is noticed there."""
        refusal = _FULL
        has_place = False
        watch.rests()  # no upstream is to blame for the time in the queue
        try:
            has_place = await self._gate.wait(self._limits.queue_wait)
        except CancelledError:
            if not watch.forgive():
                raise  # the server cancels us
            if watch.reason not in _TIMED_OUT:
                self._responses[5] += 1
                return False
            refusal = _TIMED_OUT[watch.reason]
        finally:
            if not has_place:
                watch.close()
        if has_place:
            watch.admitted()
        else:
            await self._answer(scope, send, refusal)
        return has_place

    async def _asked(self, turn: _Turn) -> bool:
        """Call `on_request`: whether the request goes on."""
        assert self._on_request is not None
        result: RequestChange = await called("on_request", self._on_request, (turn.request,), _HOOK_FAILED, self._log)
        if isinstance(result, Refusal):
            await turn.refuse(result)
            return False
        if result is not None:
            turn.request = result
        return True

    async def _changed(self, turn: _Turn, head: Returned) -> Returned | None:
        """Call `on_response`: the head for the client, or None where it was answered otherwise."""
        if self._on_response is None:
            return head
        given = turn.request, head
        result: ResponseChange = await called("on_response", self._on_response, given, _HOOK_FAILED_LATE, self._log)
        if isinstance(result, Refusal):
            await turn.refuse(result)
            return None
        return head if result is None else result

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a WebSocket: its handshake goes to the upstreams as a GET does."""
        if self._websockets is None:
            await send({"type": "websocket.close", "code": 1008, "reason": "this gateway forwards HTTP only"})
            return
        await receive()  # websocket.connect
        try:
            from .websocket import Socket  # brings wsproto, which only a WebSocket needs
        except ImportError:
            self._log.error("WebSockets need the package wsproto: pip install httpcore[gateway]")
            await deny(scope, send, Refusal(501, "this gateway forwards HTTP only"))
            return
        offer = asked(scope, self._trust, os.urandom(16))
        refusal = offer if isinstance(offer, Refusal) else None
        if refusal is None and not self._gate.enter() and not await self._gate.wait(self._limits.queue_wait):
            refusal = _FULL
        if isinstance(offer, Refusal) or refusal is not None:
            assert refusal is not None
            self._responses[refusal.status // 100 - 1] += 1
            await deny(scope, send, refusal)
            return
        watch = Watch(self._rounds(), receive, self._timeouts, True)
        watch.waits()  # for the answer to the handshake
        turn = _SocketTurn(scope, send, offer, watch, Socket(receive, send, self._websockets, watch))
        try:
            if self._on_request is None or await self._asked(turn):
                await self._forward(turn)
        except (CancelledError, HTTPCoreError) as error:
            await _ended(turn, error)
        finally:
            self._gate.leave()
            watch.close()
            turn.socket.close()
            self._count(turn)

    def _rounds(self) -> Rounds:
        """Those of the loop that runs: of several loops each has its own, which lasts as long as its requests."""
        loop = get_running_loop()
        rounds = self._last_rounds
        if rounds is None or rounds.loop is not loop:
            self._last_rounds = rounds = Rounds(loop)
        return rounds

    async def _answer(self, scope: Scope, send: Send, refusal: Refusal) -> None:
        self._responses[refusal.status // 100 - 1] += 1
        await answer(send, refusal)

    async def _forward(self, turn: _Turn) -> None:
        """Send the request to one upstream after the other, until one answers or no other may be asked."""
        tried: frozenset[int] = frozenset()
        self._budget.sent()
        while True:
            index = self._choose(turn.request, tried)
            if index is None:
                await turn.refuse(_NONE_UP)
                return
            turn.line = line = self._lines[index]
            line.requests += 1
            line.member.outstanding += 1
            try:
                body = b"" if turn.upload is None else await turn.upload.content(turn.request)
                response = await self._sent(turn, line, body)
                if isinstance(turn, _SocketTurn):
                    line.member.answered()
                    await _talk(turn, response, self._without, self._trust.name, self._changed)
                else:
                    await self._receive(turn, response, line)
                return
            except HTTPCoreError as error:
                tried |= {index}
                if not self._goes_elsewhere(turn, line, error, tried):
                    raise
                self._retried += 1
            finally:
                line.member.outstanding -= 1

    def _choose(self, request: Forward, tried: frozenset[int]) -> int | None:
        members = self._members
        if len(members) == 1 and not tried:
            return 0 if members[0].is_up else None
        found = available(members, now(), tried)
        return self._balance(members, found, request, self._draw()) if found else None

    def _sent(self, turn: _Turn, line: _Line, body: BodyContent) -> Awaitable[Response]:
        request, upload = turn.request, turn.upload
        target = line.prefix + request.target if line.prefix and request.target[:1] == b"/" else request.target
        return line.sender.request(
            *(request.method, line.url, request.headers, body, True),
            target=target,
            timeout=self._config,
            duplex=upload is not None and upload.is_stream,
        )

    async def _receive(self, turn: _Turn, response: Response, line: _Line) -> None:
        """Hand the response on. A body whose length is known and that is here, as it mostly is, is one message; and its
        last piece is also the end: one message fewer.
        """
        watch, send, upload = turn.watch, turn.send, turn.upload
        line.member.answered()
        status = response.status_code
        connection: RawStream | None = response.connection
        try:
            watch.begins()
            headers = returned(response.headers, self._without, response.protocol[5:], self._trust.name)
            if status in _BODILESS:  # of a 304 uvicorn expects the body that its length tells
                headers = [pair for pair in headers if pair[0] != b"content-length"]
            left = _length(headers, turn.request.method, status)
            if self._on_response is not None:
                changed = await self._changed(turn, Returned(status, headers))
                if changed is None:
                    return
                status, headers = changed
            turn.status = status
            begin: Message = {"type": "http.response.start", "status": status, "headers": headers}
            if turn.takes_trailers:
                begin["trailers"] = True
            await send(begin)
            if connection is not None:
                await _both_directions(turn, connection, left)
                await _trailers(turn, response)
                return
            if upload is not None:
                upload.close()
            whole = response._buffered_body()  # internal: only the gateway wants a body without its decoding
            if whole is None or (whole and left is None):
                await _pass(turn, response.raw() if whole is None else _only(whole), left)
            else:
                await send({"type": "http.response.body", "body": whole})
                turn.is_whole = True
            if turn.takes_trailers:
                await _trailers(turn, response)
        finally:
            if connection is not None:
                connection.close()
            await response.close()

    # What became of it.

    def _goes_elsewhere(self, turn: _Turn, line: _Line, error: HTTPCoreError, tried: frozenset[int]) -> bool:
        """Note the failure; whether another upstream is asked."""
        blamed = is_the_upstreams(error)
        if blamed:
            line.failures += 1
            line.member.failed(now())
        self._log.warning("%s failed: %s", line.name, printable(f"{type(error).__name__}: {error.message}"))
        return (
            not turn.status
            and len(tried) <= self._retries
            and len(tried) < len(self._lines)
            and may_go_elsewhere(error, turn.request.method, turn.upload is None or turn.upload.replayable)
            and bool(available(self._members, now(), tried))
            and self._budget.spend()
        )

    def _count(self, turn: _Turn) -> None:
        status = turn.status if turn.is_whole else 0
        self._responses[status // 100 - 1 if status else 5] += 1
        if turn.watch.reason in ("first_byte", "idle") and turn.line is not None:
            turn.line.failures += 1
            turn.line.member.failed(now())
        if self._log.isEnabledFor(logging.INFO):
            _log_request(self._log, turn)


# The checks.


async def _check(line: _Line, health: Health, log: logging.Logger) -> None:
    """Ask an upstream again and again whether it works."""
    assert health.path is not None
    target = health.path.encode("ascii")
    config = Timeouts(health.timeout, health.timeout, health.timeout, health.timeout)
    while True:
        was_up = line.member.is_up
        line.member.checked(await _works(line, target, config))
        if line.member.is_up is not was_up:
            log.warning("%s is %s", line.name, "up again" if line.member.is_up else "down")
        await pause(health.interval)


async def _works(line: _Line, target: bytes, timeouts: Timeouts) -> bool:
    try:
        response = await line.sender.request(
            *("GET", line.url, [(b"user-agent", b"httpcore.gateway")], b"", True),
            target=target,
            timeout=timeouts.whole(),
        )
        await response.close()
    except HTTPCoreError:
        return False
    return response.status_code < 400


# Parts of a request.


async def _ended(turn: _Turn, error: BaseException) -> None:
    """Answer for an error. A response that was cut off is left without its end: the server then cuts off, too."""
    if isinstance(error, CancelledError):
        watch = turn.watch
        if not watch.forgive():
            raise error  # the server cancels us
        turn.error = watch.reason
        if watch.reason in _TIMED_OUT:
            await turn.refuse(_TIMED_OUT[watch.reason])
    elif isinstance(error, ClientLeft):
        turn.error = "left"
    elif isinstance(error, HTTPCoreError):
        turn.error = error
        await turn.refuse(refusal_of(error))
    else:
        await turn.refuse(_TOO_LARGE)


async def _talk(
    turn: _SocketTurn, response: Response, without: frozenset[bytes], name: bytes, changed: _Changed
) -> None:
    """The upstream has answered the handshake: accept the client, or hand the refusal on."""
    connection: RawStream | None = response.connection
    if connection is None:
        turn.watch.begins()
        head = Returned(response.status_code, returned(response.headers, without, response.protocol[5:], name))
        await _denied(turn, response, head, changed)
        return
    try:
        chosen = agreed(response.headers, turn.offer, without, name)
        turn.watch.begins()  # not before: where it has accepted wrongly, another upstream is waited for
        turn.status = response.status_code
        await turn.socket.talk(connection, chosen, turn)
    finally:
        connection.close()


async def _denied(turn: _SocketTurn, response: Response, head: Returned, changed: _Changed) -> None:
    """Hand on that the upstream refuses a WebSocket."""
    watch, send = turn.watch, turn.send
    async with response:
        if not can_deny(turn.scope):
            await turn.refuse(Refusal(403))
            return
        # Any request can ask for a WebSocket: what a hook keeps from clients, it must keep from these, too.
        found = await changed(turn, head)
        if found is None:
            return
        turn.status = found.status
        await send({"type": "websocket.http.response.start", "status": found.status, "headers": found.headers})
        watch.waits()
        async for piece in response.raw():
            watch.rests()
            await send({"type": "websocket.http.response.body", "body": piece, "more_body": True})
            watch.waits()
        watch.rests()
        await send({"type": "websocket.http.response.body", "body": b""})
        turn.is_whole = True


async def _pass(turn: _Turn, pieces: AsyncIterator[bytes], left: int | None) -> None:
    """Hand the pieces of a response on, of which `left` bytes come, if that is known."""
    watch, send = turn.watch, turn.send
    watch.waits()
    async for piece in pieces:
        watch.rests()
        if left is not None:
            left -= len(piece)
        turn.is_whole = left == 0
        await send({"type": "http.response.body", "body": piece, "more_body": left != 0})
        watch.waits()
    if not turn.is_whole:
        watch.rests()
        await send({"type": "http.response.body", "body": b""})
        turn.is_whole = True


async def _trailers(turn: _Turn, response: Response) -> None:
    """Those of the response, which end it where they were announced."""
    if turn.takes_trailers:
        await turn.send({"type": "http.response.trailers", "headers": response.trailers, "more_trailers": False})


async def _only(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


async def _both_directions(turn: _Turn, connection: RawStream, left: int | None) -> None:
    """Hand the response on while the client may still be sending."""
    upload = turn.upload
    assert upload is not None  # `duplex` was asked for
    upload.is_answered = True
    cancel = start(_send_rest(turn, connection))
    try:
        await _pass(turn, _received(connection), left)
    finally:
        cancel()
        connection.close()


def _log_request(log: logging.Logger, turn: _Turn) -> None:
    """The line of a request that is over."""
    path = turn.request.target.partition(b"?")[0].decode("ascii", "replace")
    ended = "" if turn.is_whole else f" cut off ({turn.error if isinstance(turn.error, str) else 'upstream'})"
    name = turn.line.name if turn.line is not None else "-"
    given = turn.request
    log.info(
        *("%s %s %s %d%s %s%s", given.client or "-", given.method, path, turn.status, ended, name),
        _request_id(given.headers),
    )


def _request_id(headers: Headers) -> str:
    """For the log, where a request has one."""
    return "".join([f" {printable(value.decode('latin-1'))}" for name, value in headers if name == b"x-request-id"])


async def _received(connection: RawStream) -> AsyncIterator[bytes]:
    while piece := await connection.recv():
        yield piece


async def _send_rest(turn: _Turn, connection: RawStream) -> None:
    """Send what the client goes on to send, while the response is passed on."""
    upload = turn.upload
    assert upload is not None
    try:
        async for piece in upload:
            if piece:
                await connection.send(piece)
        await connection.end()
    except HTTPCoreError:
        upload.close()  # the upstream wants no more: the response says why, or ends with an error itself
    except (ClientLeft, BodyTooLarge):
        turn.watch.left()


def _trust(
    host: str,
    trusted_proxies: Sequence[str],
    forwarded: Sequence[str],
    trace_method: bool,
    is_confined: bool,
    name: str | None,
) -> Trust:
    if host not in ("rewrite", "keep"):
        raise ValueError(f'host: expected "rewrite" or "keep", got {host!r}')
    for each in forwarded:
        if isinstance(forwarded, str) or each not in WRITTEN:
            raise ValueError(f"forwarded: expected some of {', '.join(WRITTEN)}, got {forwarded!r}")
    given = f"gateway-{os.urandom(4).hex()}" if name is None else name
    if not given.isascii() or not given.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(f"name: expected ASCII letters, digits and -._, got {name!r}")
    networks = networks_of(trusted_proxies)
    return Trust(networks, frozenset(forwarded), host == "keep", trace_method, is_confined, given.encode())


def _length(headers: Headers, method: str, status: int) -> int | None:
    """Of the body that comes, where the head says it."""
    if method == "HEAD" or status in _BODILESS:
        return None
    for name, value in headers:
        if name == b"content-length":
            return int(value) or None  # without a piece the end is a message of its own
    return None
