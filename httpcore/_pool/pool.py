"""The pool: its arguments, and one request from its arguments to its response.

Which connection a request gets is decided in `ledger`, under the lock of `leases`; how often it is sent, in `attempts`
and `retrying`; where it goes, in `routing`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self

from .._backends import load
from .._backends.base import Backend, SocketOption, StreamInfo, checked_backend
from .._config import (
    UNSET,
    PoolLimits,
    SSLConfig,
    SSLTypes,
    TimeoutConfig,
    TimeoutTypes,
    Unset,
    checked_seconds,
    checked_size,
    checked_ssl,
)
from .._connect.network import Network
from .._connect.proxy import Proxy, ProxyChooser
from .._connect.resolvers import Resolver
from .._errors import HTTPCoreError, LocalProtocolError
from .._log import VARIABLE, log_by_environment, request_log
from .._message.body import BodyTypes
from .._message.request import HeaderTypes, Request, TrailerTypes
from .._message.response import Response
from .._message.rules import DEFAULT_RULES
from .._public import public
from .._reentry import REENTERED
from .._trace import Trace
from . import loaded as loaded
from .arguments import (
    checked_flag,
    checked_limits,
    checked_policy,
    checked_protocols,
    checked_proxy,
    checked_resolver,
    checked_trace,
    checked_uds,
    rules_of,
)
from .attempts import Attempts
from .call import Call
from .connecting import connect
from .engines import EnginesType, checked_engines
from .in_flight import drain, in_flight
from .leases import Leases
from .routing import Routing
from .stats import PoolStats, RequestInFlight
from .streamed import StreamedResponse
from .tracer import both

# Modules that only some pools need are imported when such a pool is made; `loaded` has imported the rest.
if TYPE_CHECKING:
    import ssl as ssl_module

    from .._connect.policy import NetworkPolicy
    from .retry_policy import RetryPolicy
    from .retrying import Retrying

__all__ = ["ConnectionPool"]

# Most pools have these values. Making and checking them took three quarters of the time of making a pool.
_SSL: Final = SSLConfig()
_LIMITS: Final = PoolLimits()
_NETWORK: Final = Network()


@public
class ConnectionPool:
    """Connections to any number of origins, shared by the tasks of one event loop (asyncio or trio).

    Arguments:
        ssl: the TLS settings for https origins: an `SSLConfig`, or a ready `ssl.SSLContext`, which is never modified.
            Default: an `SSLConfig()`, i.e. certifi's bundle and TLS 1.2 or later.
        timeout: a `TimeoutConfig`, seconds for each kind of wait, or None for no limit. Default: 5 s for each kind.
        limits: a `PoolLimits`. Default: 100 connections in all, 30 s of keep-alive. A request for which no connection
            is free waits for one, up to the `pool_timeout`.
        http1, http2: the protocols that may be used. Both (the default): the one that the server chooses by ALPN, and
            HTTP/1.1 over plain http. `http1=False` means prior knowledge: HTTP/2 is used, over plain http too. With an
            `SSLContext` HTTP/1.1 is used, unless `httpcore.ssl_context(alpn=("h2", "http/1.1"))` made the context. Over
            HTTP/2 many tasks use one connection at the same time.
        proxy: how all origins are reached: a `Proxy`, the URL of one (`http://`, `https://`, `socks5://`, `socks5h://`,
            `socks4://`, `socks4a://`), or an object that chooses one for each request, such as
            `proxies_from_environment()`. Default None: no proxy, even if the environment names one.
        uds: the path of a unix domain socket, to which all requests are sent instead of their URL's host and port.
            Default None.
        local_address: an IP address of this machine to connect from; it cannot be combined with `uds`. Default None:
            any.
        socket_options: `(level, name, value)` for `setsockopt`, after TCP_NODELAY and SO_KEEPALIVE, which are set on
            every socket. Default none.
        resolver: finds the addresses of names, e.g. a `CachingResolver`. Default None: the operating system. Up to 16
            addresses of a name are tried, a quarter of a second apart (RFC 8305).
        resolve: addresses that need no resolver, as with curl's `--resolve`: `{"example.com": "127.0.0.1"}`. Default
            none.
        network_policy: which addresses may be connected to, e.g. `NetworkPolicy.public_only()`: it checks each resolved
            address, of proxies too. Under a policy an HTTP proxy tunnels all requests, and is sent checked addresses
            instead of names, so this machine must be able to resolve the names. A policy does not apply to `uds`.
            Default None: all addresses.
        retries: how often a connection that cannot be made is tried again, after pauses that begin at half a second and
            double; or a `RetryPolicy`, which also retries responses. A paused request holds no connection. Default 0.
        retry_stale: whether a request that finds its reused connection dead is silently sent once more on a fresh one,
            where that is safe. Default True.
        ping_interval: seconds without received bytes after which a PING is sent on an HTTP/2 connection, by a request
            that waits on it or is about to use it. If nothing is received for as many seconds again, the connection is
            considered dead. Default None: a PING is sent only when a request ends early (e.g. by a timeout) and nothing
            was received for a second.
        strict: whether to refuse, with RemoteProtocolError or DecodingError, every response that has a deviation named
            in `httpcore.Leniency`. This is for gateways, which must not forward such responses. Default False.
        max_body: the most bytes of a body that `request()` and `Response.read()` keep. The limit holds both for the
            received and for the decoded bytes. None: no limit. Left out: no limit for the received bytes, and for the
            decoded ones the larger of 64 MiB and 32 times the received bytes. `Response.stream()` has no limit.
        trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens to each request and
            connection. Default None.
        backend: the runtime to use, a `Backend`: that of a simulation (`httpcore.testing.Simulation.backend`), a
            wrapper around another backend, or one of your own. Default None: asyncio or trio, whichever runs the first
            request.
        engines: the readers and writers of the protocols: "native", those of this library; "reference", h11 and h2
            under the same rules; "shadow", the native ones, while the reference ones read the same bytes and each
            difference is traced; or a mapping with one for each protocol, e.g.
            `{"http/1.1": "reference", "http/2": "native"}`, native where a protocol is left out. Default None: the
            value of the environment variable HTTPCORE_ENGINES, else native.

    Use it as an async context manager, or call `await close()`. A pool that is garbage-collected closes its
    connections, too.

    Raises:
        TypeError, ValueError: an argument has another type, or a value that is not allowed; also if `uds` is given with
            `proxy`, or neither `http1` nor `http2` is True.
        InvalidURL: `proxy` is not the URL of a proxy. InvalidURL is a ValueError.
    """

    def __init__(
        self,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes = TimeoutConfig(),  # noqa: B008 - a frozen value
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
        engines: EnginesType | None = None,
    ) -> None:
        ping_interval = checked_seconds("ping_interval", ping_interval, zero=False)
        protocols = checked_protocols(http1, http2)
        via, choose = checked_proxy(proxy)
        uds = checked_uds(uds, proxy, local_address)
        policy = checked_policy(network_policy)
        facts = (checked_resolver(resolver), resolve, policy, local_address, socket_options)
        is_default = all(each is None for each in facts[:4]) and type(socket_options) is tuple and not socket_options
        limits = _LIMITS if limits is None else checked_limits(limits)
        rules = rules_of(strict, limits)
        network = _NETWORK if is_default and rules == DEFAULT_RULES else Network(*facts, rules)
        self._ssl = _SSL if ssl is None else checked_ssl(ssl)
        self._routing = Routing(self._ssl, protocols, via, choose, uds, tunnels=policy is not None)
        self._timeout = TimeoutConfig.of(timeout)
        self._max_body = checked_size("max_body", max_body)
        self._trace = checked_trace(trace)
        if backend is not None:
            backend = checked_backend(backend)
        chosen = checked_engines(engines)
        self._leases = leases = Leases(limits, network, ping_interval, backend, chosen, self._trace)
        self._attempts = _attempts(leases, checked_flag("retry_stale", retry_stale), retries)
        if backend is None:
            load()
        if logged := os.environ.get(VARIABLE):
            log_by_environment(logged)

    async def request(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: HeaderTypes = None,
        body: BodyTypes = b"",
        stream: bool = False,
        *,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        target: str | bytes | None = None,
        trailers: TrailerTypes = None,
        max_body: int | Unset | None = UNSET,
        trace: Trace | None = None,
        tag: object = None,
        duplex: bool = False,
    ) -> Response:
        """Send one request and return its response: `await http.request("GET", "https://example.com/")`.

        Arguments:
            method: e.g. "GET" (RFC 9110 section 9). Sent as given: methods are case-sensitive.
            url: absolute, http or https. A fragment is not sent; user info is neither sent nor used.
            headers: pairs of bytes or ASCII str, or a mapping. `Host`, and `Content-Length` or `Transfer-Encoding`, are
                added when absent; nothing else is. In a pool with `proxy`, `Proxy-Authorization` is refused where no
                proxy forwards the request, since the origin would receive it.
            body: bytes, str (UTF-8), an (async) iterable or iterator of bytes, a callable that returns one, a binary
                file, or a `ReplayableBody`.
            stream: False reads the whole body before returning; True returns at the head, and the response must be read
                to its end or closed.
            ssl: an `SSLConfig` or an `ssl.SSLContext` in place of the pool's. Default None: the pool's.
            timeout: a `TimeoutConfig`, whose missing fields have the pool's values; or seconds for each kind of wait,
                which does not change the pool's `total_timeout` and `min_rate`; or None, no limit of any kind. Left
                out: the pool's.
            target: the request target in place of the URL's path and query, e.g. "*" or an absolute URL (RFC 9112 3.2).
            trailers: pairs, or a callable that returns them when the body has been sent. The body is then chunked, and
                there may be no Content-Length. Default None.
            max_body: the most bytes of the response's body that are kept. The limit holds both for the received and for
                the decoded bytes; a longer body raises LimitExceeded. None: no limit. Left out: the pool's.
            trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens to this request,
                after the pool's own trace if there is one. Default None.
            tag: any value, which appears in the records of this request. Default None.
            duplex: whether to leave the request open: the call returns when the head of the response has been received.
                On `response.connection` one task may then send more of the request while another receives the response.
                `body` is the beginning of the request's body. An iterator is read until the head has been received, and
                an empty piece makes the pool check for the head; the caller keeps the items that were not read. If the
                iterator ends before the head is received, this ends the request. Over HTTP/1.1 the body is chunked,
                unless there is a Content-Length. `duplex` has no effect on CONNECT, TRACE and a request with Upgrade.
                Default False.

        Returns: a `Response`. A status of 400 or more is no error, and redirects are not followed;
            `httpcore.AsyncClient` follows them.

        Raises:
            TypeError, ValueError: `ssl`, `timeout`, `max_body` or the proxy that was chosen has another type, or is not
                allowed.
            InvalidURL, UnsupportedProtocol, LocalProtocolError: an argument cannot be sent as given.
            ConnectError, TLSError, ReadError, WriteError: the network failed (all are OSError).
            ConnectTimeout, ReadTimeout, WriteTimeout, PoolTimeout, TotalTimeout: a timeout has passed.
            RemoteProtocolError, DecodingError, LimitExceeded: the response cannot be accepted.
            ProxyError: a proxy refused, or broke its protocol.
            PolicyError: the network policy allows none of the host's addresses.
            PoolClosed: the pool is closed, or refuses new requests after `drain`.
            Exception: whatever the body's iterator, `trailers`, a resolver, the chooser of the proxy, or `trace`
                raises.
        """
        leases = self._leases
        limit = self._max_body if max_body is UNSET else checked_size("max_body", max_body)
        try:
            if leases.is_inside():
                raise LocalProtocolError(REENTERED)
            asked = Request.of(method, url, headers, body, target, trailers, duplex)
            backend = leases.enter()
            asked, route = self._routing.of(asked, None if ssl is None else checked_ssl(ssl))
        except HTTPCoreError as error:  # about an argument: no call exists yet that could set this
            error.safe_to_retry = True
            raise
        config = self._timeout if timeout is UNSET else self._timeout.overlaid(timeout)
        trace = self._trace if trace is None else both(self._trace, checked_trace(trace))
        log = request_log()
        if log is not None:
            trace = both(trace, log)
        call = Call(asked, route, config, backend, duplex)
        leases.totals.requests += 1
        call.tag = tag
        if trace is not None:
            call.trace(trace).awaits_reading = limit is not UNSET
        delivery = await self._attempts.send(call)
        response = Response.received(delivery.head, delivery.source(), limit)
        if not stream:
            await response.read()
        return response

    async def _forward(self, asked: Request, timeout: TimeoutConfig) -> Response:
        """Like `request` with `stream=True`, for a `Request` that exists already: internal, for `httpcore.gateway`."""
        leases = self._leases
        try:
            if leases.is_inside():
                raise LocalProtocolError(REENTERED)
            backend = leases.enter()
            asked, route = self._routing.of(asked, None)
        except HTTPCoreError as error:  # as in `request`
            error.safe_to_retry = True
            raise
        log = request_log()
        trace = self._trace if log is None else both(self._trace, log)
        call = Call(asked, route, self._timeout.overlaid(timeout), backend)
        leases.totals.requests += 1
        if trace is not None:
            call.trace(trace).awaits_reading = self._max_body is not UNSET
        delivery = await self._attempts.send(call)
        return Response.received(delivery.head, delivery.source(), self._max_body)

    async def connect(
        self,
        url: str | bytes,
        *,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        trace: Trace | None = None,
    ) -> StreamInfo:
        """Open a connection for requests to `url`, unless an open one can serve a request now, and return its facts:
        the addresses of both ends, and TLS. So the first request need not wait for the connection, and a deployment can
        check names and certificates.

        The connection is not reserved: `keepalive_expiry` and the limits apply to it. Retries do not apply here.

        Arguments:
            url: the URL of any resource of the origin; only scheme, host and port are used.
            ssl, timeout, trace: as for `request`. A request with another `ssl` does not use this connection. The trace
                gets the records of the dial and of the connection, and none of a request.

        Raises: the errors of `request` that concern the URL, the settings and the connection.
        """
        leases = self._leases
        try:
            if leases.is_inside():
                raise LocalProtocolError(REENTERED)
            asked = Request.of("HEAD", url)
            backend = leases.enter()
            asked, route = self._routing.of(asked, None if ssl is None else checked_ssl(ssl))
        except HTTPCoreError as error:  # as in `request`
            error.safe_to_retry = True
            raise
        config = self._timeout if timeout is UNSET else self._timeout.overlaid(timeout)
        trace = both(self._trace if trace is None else checked_trace(trace), request_log())
        call = Call(asked, route, config, backend)
        if trace is not None:
            call.trace_connect(trace)
        return await connect(leases, call)

    def stream(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: HeaderTypes = None,
        body: BodyTypes = b"",
        *,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        target: str | bytes | None = None,
        trailers: TrailerTypes = None,
        max_body: int | Unset | None = UNSET,
        trace: Trace | None = None,
        tag: object = None,
        duplex: bool = False,
    ) -> AbstractAsyncContextManager[Response]:
        """Send one request and stream its response: `async with http.stream("GET", url) as response`.

        Arguments and errors are those of `request` with `stream=True`. The request is sent when the block is entered.
        Leaving the block closes the response, at any point. `response.stream()` and `raw()` return the body in pieces.
        """
        return StreamedResponse(
            self.request(
                method,
                url,
                headers,
                body,
                True,
                ssl=ssl,
                timeout=timeout,
                target=target,
                trailers=trailers,
                max_body=max_body,
                trace=trace,
                tag=tag,
                duplex=duplex,
            )
        )

    async def close(self, *, abort: bool = False) -> None:
        """Close the idle connections, now. Requests that wait for a connection, dial, or pause before a retry end with
        PoolClosed, as later requests do. Requests that have a connection continue: their response bodies stay readable,
        and their connections close when they end.

        Arguments:
            abort: whether requests that have a connection end with PoolClosed too, at once, whatever they wait for, as
                do reads of responses and raw streams. Code of the caller is not interrupted: the iterator of a
                request's body, a trace, and in threads a resolver. Default False.

        Raises:
            TypeError: `abort` is not a bool.
        """
        self._close(abort=checked_flag("abort", abort))

    def _close(self, *, abort: bool = False) -> None:
        self._leases.close(abort=abort)

    async def drain(self, timeout: float | None = None) -> bool:
        """Refuse new requests with PoolClosed, and wait until the requests in flight have ended: until their bodies
        were received, or their responses and raw streams closed. Requests that wait for a connection get one, and
        retries are made. The pool stays open: call `close()` afterwards, with `abort=True` to end the remaining
        requests.

        Arguments:
            timeout: seconds to wait; 0 checks once. Default None: no limit.

        Returns:
            True if all requests have ended. False if some are still in flight; `requests()` lists them.

        Raises:
            TypeError, ValueError: `timeout` is not a number of seconds from 0 up.
            LocalProtocolError: the pool is in use in another event loop, or a signal handler or a finaliser that has
                interrupted a step of this pool calls this method.
        """
        seconds = checked_seconds("timeout", timeout)
        if self._leases.is_inside():
            raise LocalProtocolError(REENTERED)
        return await drain(self._leases, seconds)

    def requests(self) -> list[RequestInFlight]:
        """Return the requests in flight, the oldest first. A request is in flight from its start until its response
        body was received, or its response or raw stream was closed. The pool has this state in any case, so this method
        costs nothing until it is called. Any thread may call it. If a signal handler or a finaliser that has
        interrupted a step of this pool calls it, it returns the state in the middle of that step.
        """
        return in_flight(self._leases)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    @property
    def timeout(self) -> TimeoutConfig:
        """The timeouts of requests without `timeout`. `http.timeout.replace(read=60)` returns changed ones."""
        return self._timeout

    @property
    def limits(self) -> PoolLimits:
        """How many connections the pool may have."""
        return self._leases.limits

    @property
    def ssl(self) -> SSLConfig | ssl_module.SSLContext:
        """The TLS settings for https origins of requests without `ssl`."""
        return self._ssl

    @property
    def max_body(self) -> int | Unset | None:
        """The most bytes of a body that are kept; None is no limit, and `UNSET` means that it was left out."""
        return self._max_body

    def stats(self) -> PoolStats:
        """Return how many connections are open, idle, busy and being dialed, and how many requests hold one (`leased`)
        or wait for one, in total and per origin, as one consistent snapshot. It also has the limits, and the counts
        since the pool was made: see `PoolTotals`. If a signal handler or a finaliser that has interrupted a step of
        this pool calls this method, it returns the state in the middle of that step.
        """
        return self._leases.stats()

    def __repr__(self) -> str:
        stats = self._leases.ledger.snapshot()
        return f"<{type(self).__name__} {stats.open} open, {stats.leased} leased, {stats.waiting} waiting>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds live connections and cannot be pickled: make one in each process")


def _attempts(leases: Leases, retry_stale: bool, retries: int | RetryPolicy) -> Attempts | Retrying:
    if type(retries) is int and not retries:
        return Attempts(leases, retry_stale)
    from .retrying import retrying  # only for pools that have a policy

    return retrying(leases, retry_stale, retries)
