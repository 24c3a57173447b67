"""The gateway: an ASGI app that forwards every request to one of its upstreams, streaming both ways.

The decisions are made elsewhere, without I/O: `plan` decides which requests are forwarded, `balance` and `health` which
upstream gets a request, `failover` what happens after a failure. This module carries them out, in one task for each
request (a `Turn`). `watch` cancels that task early, and `passing` forwards the response.
"""

from __future__ import annotations

import logging
import os
from asyncio import CancelledError, get_running_loop
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from .._errors import HTTPCoreError, printable, show_value
from .._message.body import BodyContent
from .._message.raw import RawStream
from .._message.response import Response
from .._pool.pool import ConnectionPool
from .._pool.retrying import draw
from .balance import Balance, balance_of, is_random
from .failover import Budget, is_upstream_fault, may_fail_over, refusal_of
from .forwarding import WRITTEN, networks_of
from .handshakes import offer_for
from .health import available
from .hints import EARLY_HINT, Hints
from .hooks import RequestChange, RequestHook, ResponseChange, ResponseHook, Returned, call_hook, checked_hook
from .messages import Headers, Message, Receive, Refusal, Scope, Send, answer, deny
from .passing import BODILESS, Heads, forward_body, forward_duplex, only, relay, send_trailers
from .plan import Forward, Trust, plan, planned, without_trailers
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
from .turns import SocketTurn, Turn
from .upload import BodyTooLarge, ClientDisconnected, Upload
from .upstreams import UpstreamState, check
from .watch import Gate, Rounds, Watch, now, start

__all__ = ["Gateway"]

_THE_SERVERS: Final = frozenset((b"date", b"server"))
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
_HTTP_ONLY: Final = "this gateway forwards HTTP only"
_TRAILERS: Final = "http.response.trailers"


class Gateway:
    """An ASGI app that forwards every HTTP request, and every WebSocket, to one of its upstreams.

    Path, query, body and its content coding are forwarded byte for byte. Heads and pieces of bodies are forwarded as
    soon as they are received, with back pressure in both directions. Fields for one hop are removed (RFC 9110, section
    7.6). When a client disconnects, its request is cancelled, in every phase. A gateway runs on asyncio and uvloop,
    under any ASGI server.

    Arguments:
        upstreams: URLs and `Upstream` values, at least one; or a single one.
        balance: which upstream gets a request: "round_robin" (by weight), "least_outstanding", "random_two", "first"
            (the others are spares), "hash:client", "hash:header=NAME"; or a function that is called with the request as
            a `Forward` and the indexes of the available upstreams, and returns one of the indexes. If the function
            raises an exception or returns something else, the client receives a 500, and the error is logged. Default
            "least_outstanding".
        health: a `Health`: when an upstream is left out, and when it is used again. Default: it is left out for 10 s
            after 5 failed requests in a row.
        retries: how many further upstreams may get a request that failed. A request is sent again only if the failed
            upstream cannot have acted on it or its method is idempotent, and if its body is kept or no part of it was
            read. At most a fifth of all requests, and ten more, are sent again. Default 1.
        timeouts: a `Timeouts`. Default: 5 s to connect, 60 s between two pieces, no limit for the first byte.
        limits: a `Limits`. Default: 10,000 requests at once, and 100 more that wait for at most a second.
        websocket: whether WebSockets are forwarded, which needs the package wsproto; or a `WebSockets`, which sets how
            they are forwarded. Default True. False: they are refused with 403.
        host: "rewrite" sends the upstream's own Host, "keep" the client's. Default "rewrite".
        trusted_proxies: networks and addresses of proxies whose X-Forwarded-*, X-Real-IP and Forwarded fields are
            trusted and extended. Those of all other peers are removed. Default (): none.
        forwarded: the kinds of fields that the upstream receives about the client: "x-forwarded", "forwarded" (RFC
            7239), "x-real-ip". Default ("x-forwarded",): X-Forwarded-For, -Host and -Proto.
        trace_method: whether TRACE is forwarded. Its response shows the request's cookies. Default False: it is
            answered with 405.
        forward_date: whether the upstream's Date and Server are forwarded. Default False, since ASGI servers add their
            own; use True with a server that is configured not to add them.
        name: the name of this gateway in Via, a token. A request whose Via has this name already is in a loop, and is
            answered with 508. Default: "gateway-" and a random number, which differs from process to process.
        on_request: a plain or async function that is called with each request as the upstream would receive it, a
            `Forward`, including the handshake of a WebSocket. It returns another request
            (`request._replace(headers=...)`), a `Refusal`, which is sent to the client, or None, which changes nothing.
            If it raises an exception, the client receives a 500, and the error is logged. Default None.
        on_response: a plain or async function that is called with the request and the head of its response, a
            `Returned`. It returns another head, a `Refusal`, which is sent in place of the response, or None, which
            changes nothing. It must not change Content-Length. If it raises an exception, the client receives a 502,
            and the error is logged. It is called for the refusal of a WebSocket, too, but not for an accepted one. If
            it is set, no 103 (Early Hints) is forwarded, since a 103 would reach the client before the function has
            decided. Default None.
        log: the logger. It gets one line at INFO for each request, and one at WARNING for each failure of an upstream.
            Default `logging.getLogger("httpcore.gateway")`.

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
        self._upstreams = [UpstreamState(upstream, health) for upstream in upstreams_of(upstreams)]
        self._members = [upstream.member for upstream in self._upstreams]
        confined = any(upstream.prefix for upstream in self._upstreams)
        self._trust = _trust(host, trusted_proxies, forwarded, trace_method, confined, name)
        self._heads = Heads(frozenset() if forward_date else _THE_SERVERS, self._trust.name)
        self._on_request = checked_hook("on_request", on_request)
        # A caller's function may also change the fields in place, and the prepared lines would then be wrong.
        self._keeps_plans = on_request is None and not callable(balance)
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
            turn = self._turn(scope, receive, send)
            if isinstance(turn, Turn):
                await self._run(turn)
            else:
                await self._answer(scope, send, turn)
        elif scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        else:
            await self._serve_socket(scope, receive, send)

    def stats(self) -> GatewayStats:
        """The counts of this gateway so far, and the state of its upstreams, in this process."""
        time = now()
        upstreams = [
            UpstreamStats(
                upstream.name,
                upstream.requests,
                upstream.failures,
                upstream.member.outstanding,
                upstream.member.is_up,
                upstream.member.ejected_until > time,
            )
            for upstream in self._upstreams
        ]
        gate = self._gate
        return GatewayStats(gate.under_way, gate.waiting, tuple(self._responses), self._retried, tuple(upstreams))

    async def close(self) -> None:
        """End the health checks and close the idle connections. A server that supports lifespan triggers this at its
        shutdown.
        """
        for cancel in self._checks:
            cancel()
        self._checks.clear()
        for upstream in self._upstreams:
            await upstream.sender.close()

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.startup" and self._health.path is not None:
                self._checks += [start(check(upstream, self._health, self._log)) for upstream in self._upstreams]
            if kind == "lifespan.shutdown":
                await self.close()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    # One request.

    def _turn(self, scope: Scope, receive: Receive, send: Send) -> Turn | Refusal:
        """The `Turn` of a request, or the `Refusal` that answers it."""
        request = plan(scope, self._trust)
        if isinstance(request, Refusal):
            return request
        limit = self._limits.body
        if limit is not None and request.length is not None and request.length > limit:
            return _TOO_LARGE
        has_body = request.has_body is not False
        watch = Watch(self._rounds(), receive, self._timeouts, has_body)
        turn = Turn(send, request, watch, Upload(receive, watch, limit) if has_body else None)
        extensions = scope.get("extensions")
        if extensions:
            self._extend(turn, extensions)
        return turn

    def _extend(self, turn: Turn, extensions: Mapping[str, object]) -> None:
        """Use the extensions of ASGI that the server in front offers: trailers and early hints."""
        if turn.request.takes_trailers and _TRAILERS in extensions:
            turn.takes_trailers = True
            turn.request = turn.request._replace(headers=[*turn.request.headers, (b"te", b"trailers")])
        # Fields of a 103 would reach the client before `on_response` has decided what it may see.
        if EARLY_HINT in extensions and self._on_response is None:
            turn.hints = Hints(turn.send)
            turn.send = turn.hints.send

    async def _run(self, turn: Turn) -> None:
        """Run a request or a WebSocket, from the queue to its end. If the client disconnects, it is ended, also in the
        queue.
        """
        has_place = self._gate.enter()
        try:
            if not has_place:
                has_place = await self._queued(turn)
                if not has_place:
                    await turn.refuse(_FULL)
                    return
                turn.start_clock()
            if self._on_request is None or await self._call_on_request(turn):
                await self._forward(turn)
        except (CancelledError, ClientDisconnected, BodyTooLarge, HTTPCoreError) as error:
            await _ended(turn, error)
        finally:
            if has_place:
                self._gate.leave()
            turn.close()
            self._count(turn)

    async def _queued(self, turn: Turn) -> bool:
        """Wait in the queue; whether a place became free in time."""
        seconds = self._limits.queue_wait
        turn.watch.stop_clock()  # the time in the queue does not count as an upstream's
        cancel = None if turn.upload is None else start(turn.upload.look_ahead(turn.request, seconds))
        try:
            return await self._gate.wait(seconds)
        finally:
            if cancel is not None:
                cancel()

    async def _call_on_request(self, turn: Turn) -> bool:
        """Call `on_request`; whether the request is to be forwarded."""
        assert self._on_request is not None
        given = (turn.request,)
        result: RequestChange = await call_hook("on_request", self._on_request, given, _HOOK_FAILED, self._log)
        if isinstance(result, Refusal):
            await turn.refuse(result)
            return False
        if result is not None:
            turn.request = result
        return True

    async def _call_on_response(self, turn: Turn, head: Returned) -> Returned | None:
        """Call `on_response`; the head for the client, or None if a refusal was sent to the client instead."""
        if self._on_response is None:
            return head
        given = turn.request, head
        result: ResponseChange = await call_hook("on_response", self._on_response, given, _HOOK_FAILED_LATE, self._log)
        if isinstance(result, Refusal):
            await turn.refuse(result)
            return None
        return head if result is None else result

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a WebSocket. Its handshake is sent to the upstreams like a GET request."""
        await receive()  # websocket.connect
        if self._websockets is None:
            await self._answer(scope, send, Refusal(403, _HTTP_ONLY))
            return
        try:
            from .websocket import Socket  # imports wsproto, which only a WebSocket needs
        except ImportError:
            self._log.error("WebSockets need the package wsproto: pip install httpcore[gateway]")
            await self._answer(scope, send, Refusal(501, _HTTP_ONLY))
            return
        offer = offer_for(scope, self._trust, os.urandom(16))
        if isinstance(offer, Refusal):
            await self._answer(scope, send, offer)
            return
        watch = Watch(self._rounds(), receive, self._timeouts, True)
        turn = SocketTurn(scope, send, offer, watch, Socket(receive, send, self._websockets, watch))
        turn.start_clock()
        await self._run(turn)

    def _rounds(self) -> Rounds:
        """The `Rounds` of the running loop. If several loops use this gateway, each has its own, which lives as long as
        its requests.
        """
        loop = get_running_loop()
        rounds = self._last_rounds
        if rounds is None or rounds.loop is not loop:
            self._last_rounds = rounds = Rounds(loop)
        return rounds

    async def _answer(self, scope: Scope, send: Send, refusal: Refusal) -> None:
        """Send a refusal to a request that has no `Turn`."""
        self._responses[refusal.status // 100 - 1] += 1
        if scope["type"] == "websocket":
            await deny(scope, send, refusal)
        else:
            await answer(send, refusal)

    async def _forward(self, turn: Turn) -> None:
        """Send the request to one upstream after the other, until one responds or no other may be tried."""
        tried: frozenset[int] = frozenset()
        self._budget.sent()
        while True:
            try:
                index = self._choose(turn.request, tried)
            except Exception as error:  # `balance` may be the caller's function, which may raise anything
                self._log.error("balance failed: %s", type(error).__name__, exc_info=error)
                await turn.refuse(_HOOK_FAILED)
                return
            if index is None:
                await turn.refuse(_NONE_UP)
                return
            turn.upstream = upstream = self._upstreams[index]
            upstream.requests += 1
            upstream.member.outstanding += 1
            try:
                body = b"" if turn.upload is None else await turn.upload.content(turn.request)
                response = await self._sent(turn, upstream, body)
                upstream.member.answered()
                if isinstance(turn, SocketTurn):
                    await relay(turn, response, self._heads.without, self._trust.name, self._call_on_response)
                else:
                    await self._receive(turn, response)
                return
            except HTTPCoreError as error:
                tried |= {index}
                if not self._fails_over(turn, upstream, error, tried):
                    raise
                self._retried += 1
            finally:
                upstream.member.outstanding -= 1

    def _choose(self, request: Forward, tried: frozenset[int]) -> int | None:
        members = self._members
        if len(members) == 1 and not tried:
            return 0 if members[0].is_up else None
        found = available(members, now(), tried)
        return self._balance(members, found, request, self._draw()) if found else None

    def _sent(self, turn: Turn, upstream: UpstreamState, body: BodyContent) -> Awaitable[Response]:
        request, upload = turn.request, turn.upload
        target = upstream.prefix + request.target if upstream.prefix and request.target[:1] == b"/" else request.target
        if upload is None and turn.hints is None and self._keeps_plans and upstream.pool is not None:
            onward = planned(request, upstream.place, target)
            if onward is not None:
                return upstream.pool._forward(onward, self._config)  # internal: its fields are checked already
        sender, duplex = upstream.sender, upload is not None and upload.is_stream
        given = request.method, upstream.url, request.headers, body, True
        # An object that the caller passed in place of a pool need not support traces.
        if turn.hints is not None and isinstance(sender, ConnectionPool):
            return sender.request(*given, target=target, timeout=self._config, duplex=duplex, trace=turn.hints)
        return sender.request(*given, target=target, timeout=self._config, duplex=duplex)

    async def _receive(self, turn: Turn, response: Response) -> None:
        """Forward the response. A body that was already received as a whole, as most are, is sent in one message. If
        the length of the body is known, its last piece is also the end of the body, which saves a message.
        """
        send, upload = turn.send, turn.upload
        status = response.status_code
        connection: RawStream | None = response.connection
        try:
            turn.watch.head_received()
            headers, left = self._heads.passed(response.headers, response.protocol)
            if status in BODILESS:  # uvicorn expects a body of this length, even for a 304
                headers = [pair for pair in headers if pair[0] != b"content-length"]
                left = None
            elif turn.request.method == "HEAD":
                left = None
            if self._on_response is not None:
                changed = await self._call_on_response(turn, Returned(status, headers))
                if changed is None:
                    return
                status, headers = changed
            turn.status = status
            begin: Message = {"type": "http.response.start", "status": status, "headers": headers}
            if turn.takes_trailers:
                begin["headers"], turn.trailers = without_trailers(headers)
                begin["trailers"] = True
            await send(begin)
            del begin, headers  # an open stream would keep them, possibly for hours
            if connection is not None:
                await forward_duplex(turn, connection, left)
            else:
                if upload is not None:
                    upload.close()
                whole = response._buffered_body()  # internal: only the gateway needs the body without decoding
                if whole is None or (whole and left is None):
                    await forward_body(turn, response.raw() if whole is None else only(whole), left)
                else:
                    await send({"type": "http.response.body", "body": whole})
                    turn.is_whole = True
            if turn.takes_trailers:
                await send_trailers(turn, response)
        finally:
            if connection is not None:
                connection.close()
            if not response.is_closed:
                await response.close()

    # The outcome of a request.

    def _fails_over(self, turn: Turn, upstream: UpstreamState, error: HTTPCoreError, tried: frozenset[int]) -> bool:
        """Record the failure; whether another upstream is tried."""
        blamed = is_upstream_fault(error)
        if blamed:
            upstream.failures += 1
            upstream.member.failed(now())
        self._log.warning("%s failed: %s", upstream.name, printable(f"{type(error).__name__}: {error.message}"))
        return (
            not turn.status
            and len(tried) <= self._retries
            and len(tried) < len(self._upstreams)
            and may_fail_over(error, turn.request.method, turn.upload is None or turn.upload.replayable)
            and bool(available(self._members, now(), tried))
            and self._budget.spend()
        )

    def _count(self, turn: Turn) -> None:
        status = turn.status if turn.is_whole else 0
        self._responses[status // 100 - 1 if status else 5] += 1
        if turn.watch.reason in ("first_byte", "idle") and turn.upstream is not None:
            turn.upstream.failures += 1
            turn.upstream.member.failed(now())
        if self._log.isEnabledFor(logging.INFO):
            _log_request(self._log, turn)


# Functions for one request.


async def _ended(turn: Turn, error: BaseException) -> None:
    """Send the response for an error. If a response has begun, it is left incomplete; the server then breaks it off,
    too.
    """
    if isinstance(error, CancelledError):
        watch = turn.watch
        if not watch.uncancel():
            raise error  # the server has cancelled the task
        turn.error = watch.reason
        if watch.reason in _TIMED_OUT:
            await turn.refuse(_TIMED_OUT[watch.reason])
    elif isinstance(error, ClientDisconnected):
        turn.error = "left"
    elif isinstance(error, HTTPCoreError):
        turn.error = error
        await turn.refuse(refusal_of(error))
    else:
        await turn.refuse(_TOO_LARGE)


def _log_request(log: logging.Logger, turn: Turn) -> None:
    """Log a request that has ended. `log.info` would also look up its caller, which takes a third of the whole time."""
    given = turn.request
    path = given.target.partition(b"?")[0].decode("ascii", "replace")
    ended = "" if turn.is_whole else f" cut off ({turn.error if isinstance(turn.error, str) else 'upstream'})"
    name = turn.upstream.name if turn.upstream is not None else "-"
    values = given.client or "-", given.method, path, turn.status, ended, name, _request_id(given.headers)
    log.handle(log.makeRecord(log.name, logging.INFO, __file__, _LINE, "%s %s %s %d%s %s%s", values, None, _NAME))


_NAME: Final = _log_request.__name__
_LINE: Final = _log_request.__code__.co_firstlineno


def _request_id(headers: Headers) -> str:
    """A space and the request's id for the log; "" if the request has none."""
    text = ""
    for name, value in headers:
        if name == b"x-request-id":
            text += f" {printable(value.decode('latin-1'))}"
    return text


def _trust(
    host: str,
    trusted_proxies: Sequence[str],
    forwarded: Sequence[str],
    trace_method: bool,
    is_confined: bool,
    name: str | None,
) -> Trust:
    if host not in ("rewrite", "keep"):
        raise ValueError(f'host: expected "rewrite" or "keep", got {show_value(host)}')
    for each in forwarded:
        if isinstance(forwarded, str) or each not in WRITTEN:
            raise ValueError(f"forwarded: expected some of {', '.join(WRITTEN)}, got {show_value(forwarded)}")
    given = f"gateway-{os.urandom(4).hex()}" if name is None else name
    if not given.isascii() or not given.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(f"name: expected ASCII letters, digits and -._, got {show_value(name)}")
    networks = networks_of(trusted_proxies)
    return Trust(networks, frozenset(forwarded), host == "keep", trace_method, is_confined, given.encode())
