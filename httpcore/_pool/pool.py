"""The pool: asks the ledger which connection a request gets, and does what it says.

A request owns one ticket. Whatever happens to it (an answer, an error, a timeout, a cancellation, Ctrl-C), the ticket
goes back through `_give_back`, a plain function; and should even that be interrupted, through the ticket's finaliser.
The ledger decides under a lock that is held over plain code only.

A signal handler, a finaliser or a weakref callback may come in the middle of a locked step of its own thread. What it
asks of the pool is then put into `_deferred`, and done when the step has ended. The look at `_deferred` comes after the
release of the lock, so that nothing can be put there unseen: what comes later finds the lock free.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from .._backends import current_backend, load
from .._backends.base import Backend, Event, SocketOption, checked_backend
from .._config import UNSET, PoolLimits, SSLConfig, TimeoutConfig, Unset, checked_seconds, checked_size, checked_ssl
from .._connect.contexts import alpn_of
from .._connect.network import Network
from .._connect.proxy import Proxy, ProxyChooser
from .._connect.resolvers import Resolver
from .._connect.route import Route, route_to
from .._connect.sessions import Sessions
from .._deadline import Deadline
from .._errors import ConnectError, ConnectTimeout, HTTPCoreError, LocalProtocolError, PoolClosed, PoolTimeout
from .._message.request import Request
from .._message.response import Response
from .._message.rules import DEFAULT_RULES
from .._public import public
from .._reentry import REENTERED, step_lock
from .._trace import DialStarted, RequestQueued, Trace
from . import loaded as loaded
from .arguments import (
    checked_flag,
    checked_limits,
    checked_policy,
    checked_protocols,
    checked_proxy,
    checked_resolver,
    checked_retries,
    checked_trace,
    checked_uds,
    rules_of,
)
from .call import Call, Delivery
from .connection import Exchange, HTTPConnection
from .ledger import Ledger
from .resend import Again, again, again_after
from .stats import PoolStats
from .tickets import Slot, SlotStanding, Standing, Ticket

# What only some pools need is imported when one is made that does; `loaded` has imported the rest.
if TYPE_CHECKING:
    import ssl as ssl_module

    from .._connect.policy import NetworkPolicy
    from .._message.head import Head
    from .retry_policy import Budget, RetryPolicy

__all__ = ["ConnectionPool"]

T = TypeVar("T")

_HTTP11 = ("http/1.1",)
# The lookup of an Enum's member costs more than the comparison.
_HOLDING: Final = Standing.HOLDING
_DONE: Final = Standing.DONE
# What most pools have: to make and check these took three quarters of the time that making a pool takes.
_SSL: Final = SSLConfig()
_LIMITS: Final = PoolLimits()
_NETWORK: Final = Network()

_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


@public
class ConnectionPool:
    """Connections to any number of origins, shared by the tasks of one event loop (asyncio or trio).

    Arguments:
        ssl: how https origins are checked: an `SSLConfig`, or a ready `ssl.SSLContext`, which is never modified.
            Default: certifi's bundle, TLS 1.2 or later.
        timeout: a `TimeoutConfig`, seconds for each kind of wait, or None for no limit. Default 5 s for each.
        limits: a `PoolLimits`. Default: 100 connections in all, 30 s of keep-alive.
        http1, http2: what may be spoken. Both (the default): whatever the server chooses by ALPN, and HTTP/1.1 over
            plain http. `http1=False` is prior knowledge: HTTP/2 it is, over plain http too. An `SSLContext` means
            HTTP/1.1, unless `httpcore.ssl_context(alpn=("h2", "http/1.1"))` made it.
        proxy: the way to all origins: a `Proxy`, the URL of one (`http://`, `https://`, `socks5://`, `socks5h://`,
            `socks4://`, `socks4a://`), or an object that chooses one for each request, such as
            `proxies_from_environment()`. Default None: none, whatever the environment says.
        uds: path of a unix domain socket, which all requests go to instead of their URL's host and port. Default None.
        local_address: an IP address of this machine to connect from, not beside `uds`. Default None: any.
        socket_options: `(level, name, value)` for `setsockopt`, after TCP_NODELAY and SO_KEEPALIVE, which are set on
            every socket. Default none.
        resolver: who finds the addresses of names, e.g. a `CachingResolver`. Default None: the operating system. A name
            has up to 16 addresses tried, a quarter of a second apart (RFC 8305).
        resolve: addresses that need no asking, as curl's `--resolve`: `{"example.com": "127.0.0.1"}`. Default none.
        network_policy: which addresses may be connected to, e.g. `NetworkPolicy.public_only()`: asked of each resolved
            address, of proxies too. Under one an HTTP proxy tunnels all requests, and gets addresses that were checked
            instead of names, so that names must resolve here. It means nothing to `uds`. Default None: all.
        retries: how often a connection that cannot be made is tried again, after pauses that begin at half a second and
            double; or a `RetryPolicy`, which also says which answers are asked for again. A paused request holds no
            connection. Default 0.
        retry_stale: whether a request that finds its reused connection dead is silently sent once more on a fresh one,
            where that is safe. Default True.
        ping_interval: seconds after which an HTTP/2 connection that has been quiet is asked whether it is still there,
            by whoever waits on it or is about to use it; without an answer in as many seconds more it is dead. Default
            None: only when somebody has given up after a second of silence.
        strict: refuse every response with something unusual about it, whatever `ResponseInfo.lenient` has a name for,
            with RemoteProtocolError or DecodingError: for gateways, which must not pass such things on. Default False.
        max_body: the most bytes of a body that `request()` and `Response.read()` keep, counted as received and as
            decoded. None: no limit. Left out: no limit for what is received; decoded it may grow to 64 MiB, and beyond
            that to 32 times the bytes received. `Response.stream()` has no limit.
        trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens. Default None.
        backend: the runtime to use, a `Backend`: that of a simulation (`httpcore.testing`), a wrapper around another
            backend, or one of your own. Default None: asyncio or trio, whichever runs the first request.

    Use it as a context manager, or call `close()`; a pool that is dropped closes its connections too.

    Raises:
        TypeError, ValueError: an argument has another type, or a value that is not allowed; also `uds` with `proxy`,
            and neither `http1` nor `http2`.
        InvalidURL: `proxy` is not the URL of one (it is a ValueError).
    """

    _given: Backend | None = None  # the backend, where it was given and stays

    def __init__(
        self,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutConfig | float | None = TimeoutConfig(),  # noqa: B008 - a frozen value
        limits: PoolLimits | None = None,
        *,
        http1: bool = True,
        http2: bool = True,
        proxy: Proxy | ProxyChooser | str | bytes | None = None,
        uds: str | os.PathLike[str] | None = None,
        local_address: str | None = None,
        socket_options: Sequence[SocketOption] = (),
        resolver: Resolver | None = None,
        resolve: Mapping[str, str | Sequence[str]] | None = None,
        network_policy: NetworkPolicy | None = None,
        retries: int | RetryPolicy = 0,
        retry_stale: bool = True,
        ping_interval: float | None = None,
        max_body: int | Unset | None = UNSET,
        strict: bool = False,
        trace: Trace | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._ping_interval = checked_seconds("ping_interval", ping_interval, zero=False)
        self._protocols = checked_protocols(http1, http2)
        self._proxy, self._choose = checked_proxy(proxy)
        self._uds = checked_uds(uds, proxy, local_address)
        network = (checked_resolver(resolver), resolve, checked_policy(network_policy), local_address, socket_options)
        self._ssl = _SSL if ssl is None else checked_ssl(ssl)
        self._timeout = TimeoutConfig.of(timeout)
        self._limits = _LIMITS if limits is None else checked_limits(limits)
        rules = rules_of(strict, self._limits)
        is_default = all(each is None for each in network[:4]) and type(socket_options) is tuple and not socket_options
        is_default = is_default and rules == DEFAULT_RULES
        self._network = _NETWORK if is_default else Network(*network, rules)
        self._policy = checked_retries(retries)
        self._retry_stale = checked_flag("retry_stale", retry_stale)
        self._max_body = checked_size("max_body", max_body)
        self._trace = checked_trace(trace)
        # With `backend=` the pool stays with it, whatever loop may be running around it.
        self._backend = None if backend is None else checked_backend(backend)
        self._fixed = backend is not None
        if backend is None:
            load()
        self._begin_afresh()
        _pools.add(self)

    def _begin_afresh(self) -> None:
        self._lock = step_lock()
        self._is_inside = self._lock._is_owned
        self._deferred: deque[Callable[[], object]] = deque()
        self._ledger = Ledger(self._limits)
        self._sessions = Sessions()
        self._pausing: set[Event] = set()
        self._budget = None if self._policy is None else _full_budget(self._policy)

    async def request(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: Any = None,
        body: Any = b"",
        stream: bool = False,
        *,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutConfig | float | None = None,
        target: str | bytes | None = None,
        trailers: Any = None,
        max_body: int | Unset | None = UNSET,
        trace: Trace | None = None,
        duplex: bool = False,
    ) -> Response:
        """Send one request and return its response.

        Arguments:
            method: e.g. "GET" (RFC 9110 section 9). Sent as given: methods are case-sensitive.
            url: absolute, http or https. A fragment is not sent; user info is neither sent nor used.
            headers: pairs of bytes or ASCII str, or a mapping. `Host`, and `Content-Length` or `Transfer-Encoding`, are
                added when absent, nothing else. In a pool with `proxy`, `Proxy-Authorization` is refused where no proxy
                forwards the request, since its origin would get it.
            body: bytes, str (UTF-8), an (async) iterable or iterator of bytes, a callable that returns one, a binary
                file, or a `ReplayableBody`.
            stream: False reads the whole body before returning; True returns at the head, and the response must be
                read to its end or closed.
            ssl: as for the pool, for this request. Default None: the pool's.
            timeout: as for the pool, for this request. Default None: the pool's.
            target: the request target in place of the URL's path and query, e.g. "*" or an absolute URL (RFC 9112 3.2).
            trailers: pairs, or a callable that returns them when the body has been sent; needs a chunked body.
            max_body: as for the pool, for this request. Left out: the pool's. None: no limit.
            trace: as for the pool, for this request. Default None: the pool's.
            duplex: leave the request open: the response returns at its head, and `response.connection` sends more of
                the request and receives the response at the same time. `body` is the beginning; of an iterator nothing
                more is asked for once the head is there, and an empty piece is an occasion to look for it; what has
                not been asked for stays the caller's. An iterator that ends before the head ends the request. Over
                HTTP/1.1 the body is chunked, unless there is a Content-Length. It means nothing for CONNECT, TRACE and
                an Upgrade. Default False.

        Raises:
            TypeError, ValueError: `ssl`, `timeout`, `max_body` or the proxy that was chosen has another type, or is not
                allowed.
            InvalidURL, UnsupportedProtocol, LocalProtocolError: an argument cannot be sent as given.
            ConnectError, TLSError, ReadError, WriteError: the network failed (all are OSError).
            ConnectTimeout, ReadTimeout, WriteTimeout, PoolTimeout, TotalTimeout: it took too long.
            RemoteProtocolError, DecodingError, LimitExceeded: the response cannot be accepted.
            ProxyError: a proxy refused, or broke its protocol.
            PolicyError: the network policy allows none of the host's addresses.
            PoolClosed: the pool is closed.
            Exception: whatever the body's iterator, `trailers`, a resolver, what chooses the proxy, or `trace` raises.
        """
        limit = self._max_body if max_body is UNSET else checked_size("max_body", max_body)
        call = self._call(method, url, headers, body, target, trailers, ssl, timeout, trace, duplex)
        policy = self._policy
        delivery = await (self._answered(call) if policy is None else self._persuaded(call, policy))
        response = Response.received(delivery.head, delivery, limit)
        if not stream:
            await response.read()
        return response

    async def close(self) -> None:
        """Close the idle connections, now. Requests that wait or dial end with PoolClosed, as later ones do; those that
        were sent run on, their bodies stay readable, and their connections close when they end.
        """
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def stats(self) -> PoolStats:
        """How many connections are open, idle, busy and being dialed, how many requests hold one (`leased`) and wait
        for one, in all and per origin: one consistent snapshot. Where a signal handler or a finaliser has interrupted
        a step of this pool it is the state in the middle of that step.
        """
        return self._ledger.snapshot() if self._is_inside() else self._step(self._stats)

    def _stats(self) -> PoolStats:
        self._ledger.expire(self._now())
        self._perform()
        return self._ledger.snapshot()

    def __repr__(self) -> str:
        stats = self._ledger.snapshot()
        return f"<{type(self).__name__} {stats.open} open, {stats.leased} leased, {stats.waiting} waiting>"

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} holds live connections and cannot be pickled")

    def __del__(self) -> None:
        # No request can be under way, since each holds its pool; so there is nobody to lock out.
        ledger = self.__dict__.get("_ledger")
        for slot in ledger.slots() if ledger is not None else ():
            if slot.connection is not None:
                slot.connection.close()

    # One request.

    def _call(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: Any,
        body: Any,
        target: str | bytes | None,
        trailers: Any,
        ssl: SSLConfig | ssl_module.SSLContext | None,
        timeout: TimeoutConfig | float | None,
        trace: Trace | None,
        duplex: bool,
    ) -> Call:
        if self._is_inside():
            raise LocalProtocolError(REENTERED)
        request = Request.of(method, url, headers, body, target, trailers, duplex)
        backend = self._enter()
        tls = self._ssl if ssl is None else checked_ssl(ssl)
        request, route = self._route(request, tls)
        config = self._timeout if timeout is None else TimeoutConfig.of(timeout)
        deadline = Deadline(config, backend.now)
        listener = self._trace if trace is None else checked_trace(trace)
        return Call(request, route, deadline, backend, self._give_back, listener, duplex)

    def _route(self, request: Request, tls: SSLConfig | ssl_module.SSLContext) -> tuple[Request, Route]:
        """Where the request goes, and the request as that place gets it."""
        offers = self._offers(request, tls)
        proxy = self._proxy
        if self._choose is not None:
            url = request.url
            proxy = self._choose(url.scheme, url.host, url.port)
            if proxy is not None:
                proxy = Proxy.of(proxy)
        if proxy is None:
            if self._choose is not None:
                request.refuse_proxy_authorization("no proxy was chosen for this request")
            return request, route_to(request.url, tls, offers, None, self._uds)
        # The first two make a connection into something for one origin alone; a policy must see where it leads.
        tunnel = request.upgrade or request.method == b"CONNECT" or self._network.policy is not None
        route = route_to(request.url, tls, offers, proxy, tunnel=tunnel)
        if route.forwards:
            return request.forward(proxy.fields), route
        request.refuse_proxy_authorization("the proxy makes a tunnel for this request")
        return request, route

    def _offers(self, request: Request, tls: SSLConfig | ssl_module.SSLContext) -> tuple[str, ...]:
        """What may be spoken for this request."""
        offers = self._protocols
        if len(offers) == 1:
            return offers
        if request.upgrade or request.url.scheme == "http":  # HTTP/2 has no Upgrade
            return _HTTP11
        if isinstance(tls, SSLConfig):
            return offers if tls.alpn is None else tuple(name for name in tls.alpn if name in offers) or offers
        return tuple(offer for offer in alpn_of(tls) if offer in offers) or offers

    async def _answered(self, call: Call) -> Delivery:
        """Send the request until a response's head has come: once, or again where nobody can tell."""
        avoid: HTTPConnection | None = None
        resends = returns = 0
        while True:
            ticket = self._ledger.ticket(call.route, "h2" in call.route.offers)
            connection: HTTPConnection | None = None
            exchange: Exchange | None = None
            reused = call.is_connected = False
            try:
                connection = await self._leased(ticket, call, avoid)
                connected = call.deadline.now()
                call.is_connected = True
                reused = connection.uses > 0
                exchange = connection.exchange(call.request, call.deadline, call.interim, duplex=call.duplex)
                head = await exchange.run()
                delivery = Delivery(call, ticket, connection, exchange, head, reused, connected)
                if head.status == 417 or head.status == 408:
                    where = self._after(call, delivery, exchange, reused=reused, resends=resends)
                    if where is not None:
                        resends += 1
                        avoid = connection if where is Again.FRESH else None
                        continue
                delivery.begin()
                return delivery
            except BaseException as error:
                slot = ticket.slot
                self._give_back(ticket, reusable=exchange is not None and exchange.give_up())
                where = None
                if exchange is not None:
                    stale = reused and self._retry_stale
                    where = again(call.request, error, exchange, reused=stale, resends=resends, returns=returns)
                if where is None or (where is Again.HTTP11 and "http/1.1" not in call.route.offers):
                    explained = call.explained(error, connection, "connect" if exchange is None else exchange.phase)
                    if self._policy is None:
                        call.failed(explained)
                    if explained is error:
                        raise
                    raise explained from error
                avoid = connection if where is Again.FRESH else None
                if where is Again.HTTP11:
                    call.route = call.route._replace(offers=_HTTP11)
                elif slot is not None:
                    self._notice(slot)
                if where is Again.BACK:
                    returns += 1
                else:
                    resends += 1
                    call.retried(error)

    def _after(self, call: Call, delivery: Delivery, exchange: Exchange, *, reused: bool, resends: int) -> Again | None:
        """Whether the request goes out again for an answer that may not be about it: then this one is let go of."""
        stale = reused and self._retry_stale and exchange.closes
        where = again_after(call.request, delivery.head, stale=stale, resends=resends, duplex=call.duplex)
        if where is not None:
            delivery.close()
            if where is Again.PLAIN:
                call.request = call.request.without_expect()
            call.retried(f"status {delivery.head.status}")
        return where

    async def _persuaded(self, call: Call, policy: RetryPolicy) -> Delivery:
        """As `_answered`, but what `policy` does not put up with is asked for again, after a pause."""
        while True:
            reason: BaseException | str
            try:
                delivery = await self._answered(call)
            except BaseException as error:
                pause = None if call.is_connected else self._pause(policy, call, error)
                if pause is None:
                    call.failed(error)
                    raise
                reason = error
            else:
                pause = self._pause(policy, call, delivery.head)
                if pause is None:
                    return delivery
                delivery.close()
                reason = f"status {delivery.head.status}"
            call.retried(reason, pause)
            await self._rest(call, pause)

    def _pause(self, policy: RetryPolicy, call: Call, outcome: BaseException | Head) -> float | None:
        """How long to wait before the request is sent again; None if it is not. It is taken from the budget."""
        assert self._budget is not None
        if not isinstance(outcome, BaseException) and outcome.status not in policy.statuses:
            self._step(self._budget.earn)
            return None
        ends = call.deadline.ends
        from .retry_policy import pause_after  # which the policy has loaded

        pause = pause_after(
            policy,
            call.request,
            outcome if isinstance(outcome, BaseException) else (outcome.status, list(outcome.headers)),
            retries=call.pauses,
            draw=self._draw(),
            left=None if ends is None else ends - call.now(),
            duplex=call.duplex,
        )
        if pause is None:
            return None
        budget = self._budget
        if not self._step(lambda: not self._ledger.closed and budget.spend()):
            return None
        call.pauses += 1
        return pause

    def _draw(self) -> float:
        """A random number from 0 up to 1, to spread the pauses of those that failed together."""
        return int.from_bytes(os.urandom(4)) / 2**32

    async def _rest(self, call: Call, seconds: float) -> None:
        """Wait, holding nothing, until it is time for another attempt. The pool's close ends it."""
        event = call.backend.event()
        pausing = self._pausing
        try:
            if self._step(partial(self._begin_pause, event)) or await event.wait(seconds):
                raise PoolClosed("the pool is closed")
        except BaseException as error:
            call.failed(call.explained(error, None, "pause before another attempt"))
            raise
        finally:
            pausing.discard(event)

    def _begin_pause(self, event: Event) -> bool:
        """True when the pool is closed, which would have set the event."""
        self._pausing.add(event)
        return self._ledger.closed

    async def _leased(self, ticket: Ticket, call: Call, avoid: HTTPConnection | None) -> HTTPConnection:
        """Wait until `ticket` holds a connection that is open and quiet; after one that failed, another, and for a
        protocol that does not share its connections one that served nobody before.
        """
        call.followed = 0.0
        ledger, claim, now = self._ledger, ticket.claim, call.deadline.now
        try:
            with self._lock:
                ledger.ask(ticket, now())
                if ledger.todo:
                    self._perform()
        finally:
            if self._deferred:
                self._catch_up()
        while True:
            standing = claim.standing
            if standing is _HOLDING:
                connection: HTTPConnection = claim.slot.connection  # type: ignore[union-attr, assignment]
                suits = avoid is None or self._suits(connection, ticket, avoid)
                fit = connection.uses == 0 or (suits and connection.is_quiet())
                if fit and not (
                    connection.is_shared and connection.is_doubtful and not await connection.is_alive(call.deadline)
                ):
                    return connection
                self._step(partial(self._redial, ticket))
            elif standing is Standing.DIALING:
                await self._dial(ticket, call)
            elif standing is Standing.WAITING:
                await self._wait(ticket, call)
            else:
                raise _done(ticket)

    def _redial(self, ticket: Ticket) -> None:
        self._ledger.redial(ticket, self._now())

    def _suits(self, connection: HTTPConnection, ticket: Ticket, avoid: HTTPConnection) -> bool:
        """Whether a connection that served others before may serve this one, whose attempt on `avoid` failed."""
        if not connection.is_shared:
            return False
        return connection is not avoid or not self._ledger.has_room(ticket)  # better the same than none

    async def _wait(self, ticket: Ticket, call: Call) -> None:
        """Until the ticket is more than WAITING. To wait for another's dial is to connect; all else is the pool's."""
        if call.trace is not None:
            call.trace(RequestQueued(call.now(), call.number, str(call.route)))
        config = call.deadline.config
        followed: bool | None = None
        since = 0.0
        while True:
            event = call.backend.event()
            follows = self._step(partial(self._begin_to_wait, ticket, event.set))
            now = call.now()
            if follows is not followed:
                if followed:
                    call.followed += now - since
                followed, since = follows, now
            if ticket.standing is not Standing.WAITING:
                return
            limit = call.connect_limit() if follows else config.pool_timeout
            left = None if limit is None else max(0.0, limit - (now - since))
            if not await event.wait(call.deadline.within(left)):
                self._check_granted(ticket, call, follows)

    def _begin_to_wait(self, ticket: Ticket, wake: Callable[[], None]) -> bool:
        ticket.wake = wake
        return self._ledger.follows(ticket)

    def _check_granted(self, ticket: Ticket, call: Call, follows: bool) -> None:
        """The timer fired. Raise, unless the ticket was granted in the same moment, or waits for something else now."""
        if self._step(lambda: ticket.standing is not Standing.WAITING or self._ledger.follows(ticket) is not follows):
            return
        if follows:
            raise ConnectTimeout(
                f"another request's connection to {call.route}, which this one would have shared, was not made in time",
                phase="connect",
                limit=call.deadline.config.connect_timeout,
            )
        busy, dialing, waiting = self._step(self._ledger.crowd)
        raise PoolTimeout(
            f"no connection to {call.route} came free: {busy} of {self._limits.max_connections} connections are "
            f"busy, {dialing} dialing, {waiting} requests wait",
            phase="wait for a connection",
            limit=call.deadline.config.pool_timeout,
        )

    async def _dial(self, ticket: Ticket, call: Call) -> None:
        connection = HTTPConnection(call.route, self._ping_interval)
        slot = ticket.slot
        if slot is None:
            return  # the pool was closed since we were told to dial
        slot.connection = connection
        if slot.standing is SlotStanding.GONE:
            return  # likewise; it may have been too early for it to see the connection
        if call.trace is not None:
            call.trace(DialStarted(call.now(), call.number, str(call.route)))
        try:
            await connection.open(call.backend, self._network, call.deadline, call.followed, self._sessions)
        except Exception:
            connection.close()
            self._step(lambda: self._ledger.failed(ticket, self._now()))
            raise
        connection.watch(_Watch(self, slot))
        self._step(
            lambda: self._ledger.opened(ticket, self._now(), capacity=connection.capacity, protocol=connection.protocol)
        )
        if call.trace is not None:
            call.opened(connection)

    # Steps of the ledger.

    def _give_back(self, ticket: Ticket, *, reusable: bool, expires: float | None = None) -> bool:
        """The one way out for every ticket. False when it has to be put off until the step of this thread has ended."""
        if self._is_inside():
            # No lambda here nor in `_leased`: its variables would be cells, which cost more than all the rest of this.
            self._deferred.append(partial(self._give_back_later, ticket, reusable, expires))
            return False
        ledger, backend = self._ledger, self._backend
        try:
            with self._lock:
                ledger.give_back(ticket, backend.now() if backend else 0.0, reusable=reusable, expires=expires)
                if ledger.todo:
                    self._perform()
        finally:
            if self._deferred:
                self._catch_up()
        return True

    def _give_back_later(self, ticket: Ticket, reusable: bool, expires: float | None) -> None:
        self._ledger.give_back(ticket, self._now(), reusable=reusable, expires=expires)

    def _step(self, act: Callable[[], T]) -> T:
        """One step under the lock, where a call more does not matter. `_leased` and `_give_back` spell it out."""
        try:
            with self._lock:
                result = act()
                self._perform()
                return result
        finally:
            if self._deferred:
                self._catch_up()

    def _catch_up(self) -> None:
        """Do what was put off. An act is taken out when it is done, so that Ctrl-C loses none: twice is harmless."""
        deferred = self._deferred
        while deferred and not self._is_inside():
            with self._lock:
                while deferred:
                    deferred[0]()
                    self._perform()
                    deferred.popleft()

    def _perform(self) -> None:
        """Under the lock: do what the ledger wants done. Each act is plain, quick, and harmless when it is repeated."""
        todo = self._ledger.todo
        while todo:
            todo[0].perform()
            todo.popleft()

    def _notice(self, slot: Slot) -> None:
        """A watched connection got bytes, or its end, while no request was on it; or a shared one has changed."""
        if self._is_inside():
            self._deferred.append(partial(self._see_to, slot))
        else:
            self._step(partial(self._see_to, slot))

    def _see_to(self, slot: Slot) -> None:
        connection: HTTPConnection | None = slot.connection  # type: ignore[assignment]  # what `_dial` put there
        if connection is None or slot.standing is SlotStanding.GONE:
            return
        if not connection.is_shared:
            if not slot.used:
                self._ledger.retire(slot, self._now())
        elif not connection.is_open:
            self._ledger.retire(slot, self._now())
        elif connection.capacity != slot.capacity:
            self._ledger.resize(slot, connection.capacity, self._now())

    def _close(self) -> None:
        if self._is_inside():
            self._deferred.append(self._close_ledger)
        else:
            self._step(self._close_ledger)

    def _close_ledger(self) -> None:
        self._ledger.close(self._now())
        for event in list(self._pausing):
            event.set()

    # The world.

    def _now(self) -> float:
        return self._backend.now() if self._backend is not None else 0.0

    def _enter(self) -> Backend:
        backend = self._backend
        if backend is not None and (self._fixed or backend.is_current()):
            return backend
        return self._settle_in(current_backend())

    def _settle_in(self, backend: Backend) -> Backend:
        """The first request, or one from another loop: a pool can move only when its old loop is gone."""
        if self._backend is not None:
            if not self._backend.is_gone():
                raise LocalProtocolError(
                    f"this pool is in use in another {self._backend.name} event loop: a pool belongs to one loop"
                )
            self._leave()
        self._backend = backend
        return backend

    def _leave(self) -> None:
        """The loop is gone, and what its connections were doing with it."""
        closed = self._ledger.closed
        for slot in self._ledger.slots():
            if slot.connection is not None:
                slot.connection.close()
        self._ledger.disband()
        self._begin_afresh()
        if closed:
            self._ledger.close(0.0)

    def _after_fork(self) -> None:
        """In the child: the connections are the parent's. Fresh locks, an empty pool."""
        for slot in self._ledger.slots():
            if slot.connection is not None:
                slot.connection.abandon()
        self._ledger.disband()
        self._begin_afresh()
        if not self._fixed:
            self._backend = None


def _done(ticket: Ticket) -> HTTPCoreError:
    """Why a request holds nothing, though it has not given anything back."""
    if ticket.closed:
        return PoolClosed("the pool is closed", phase="wait for a connection")
    return ConnectError(
        "the request began before a fork, or in an event loop that is closed, and has no connection any more",
        phase="wait for a connection",
    )


def _after_fork() -> None:
    for pool in list(_pools):
        pool._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Watch:
    """Tells the pool that a connection has news, without keeping the pool alive."""

    __slots__ = ("_pool", "_slot")

    def __init__(self, pool: ConnectionPool, slot: Slot) -> None:
        self._pool = weakref.ref(pool)
        self._slot = slot

    def __call__(self) -> None:
        pool = self._pool()
        if pool is not None:
            pool._notice(self._slot)


def _full_budget(policy: RetryPolicy) -> Budget:
    from .retry_policy import Budget  # which the policy has loaded

    return Budget(policy)
