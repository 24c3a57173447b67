"""The blocking API of the pool, for threads: the same coroutines, run to their end in one step.

With the backend for threads a coroutine never suspends: its waits block the thread. So a coroutine of the core runs
from its start to its end in a single `send(None)`. This needs no event loop and no second copy of the code, and it
works inside a running event loop, too.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from ._backends.base import PIECE, Backend, SocketOption, StreamInfo
from ._backends.threads import BlockingBackend
from ._config import UNSET, PoolLimits, SSLConfig, SSLTypes, TimeoutConfig, TimeoutTypes, Unset
from ._connect.proxy import Proxy, ProxyChooser
from ._connect.resolvers import Resolver
from ._errors import LocalProtocolError
from ._message.body import Body, SyncBodyTypes
from ._message.lookup import HeaderLookup
from ._message.raw import RawStream
from ._message.request import HeaderTypes, TrailerTypes
from ._message.response import BodyStream, Informational, Response, ResponseInfo
from ._pool.pool import ConnectionPool
from ._pool.stats import PoolStats, RequestInFlight
from ._public import public
from ._trace import Trace

if TYPE_CHECKING:
    import ssl as ssl_module

    from ._connect.policy import NetworkPolicy
    from ._pool.engines import EnginesType
    from ._pool.retry_policy import RetryPolicy

__all__ = ["SyncBodyStream", "SyncConnectionPool", "SyncRawStream", "SyncResponse", "run", "run_sync"]

T = TypeVar("T")
_new = object.__new__  # without `__init__`, which checks more arguments than needed: too slow for each request


def run(coroutine: Coroutine[Any, Any, T], caller: str = "SyncConnectionPool") -> T:
    """Run a coroutine that never suspends to its end, and return its result."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    # Close it now, in this thread: the garbage collector would close it with a warning, perhaps in another thread.
    coroutine.close()
    raise RuntimeError(
        f"{coroutine!r} suspended and yielded a value of type {type(awaited).__name__}: {caller} expected a backend "
        "(and a resolver) whose calls block the thread and never suspend, got one for an event loop"
    )


@public
def run_sync(coroutine: Coroutine[object, None, T]) -> T:
    """Run a coroutine in this thread, without an event loop: everything that it awaits must block and never suspend.

    So one `async def` serves both kinds of program. It is written for a `ConnectionPool`:

        async def fetch(pool: httpcore.ConnectionPool, url: str) -> bytes:
            async with pool.stream("GET", url) as response:
                return b"".join([piece async for piece in response.stream()])

    It is awaited in an event loop, or run in any thread with a pool whose calls block:

        pool = httpcore.ConnectionPool(backend=httpcore.threads_backend())
        body = httpcore.run_sync(fetch(pool, "https://example.com/"))

    Many threads may share that pool. Awaitables of an event loop (`asyncio.sleep`, a trio nursery) cannot be used
    there.

    Returns: the coroutine's result.

    Raises:
        TypeError: `coroutine` is no coroutine.
        RuntimeError: the coroutine suspended, as awaitables of an event loop do. It is closed then.
        Exception: whatever the coroutine raises, unchanged.
    """
    if not isinstance(coroutine, Coroutine):
        raise TypeError(f"coroutine is of type {type(coroutine).__name__}: expected the coroutine of an async function")
    return run(coroutine, "run_sync")


@public
class SyncConnectionPool:
    """Connections to any number of origins, shared by any number of threads.

    Each call blocks the calling thread until it is complete, or a timeout has passed. The pool has no event loop and no
    thread of its own. It may be used in the thread of a running event loop, which is blocked during each call.

    Arguments:
        ssl: the TLS settings for https origins: an `SSLConfig`, or a ready `ssl.SSLContext`, which is never modified.
            Default: an `SSLConfig()`, i.e. certifi's bundle and TLS 1.2 or later.
        timeout: a `TimeoutConfig`, seconds for each kind of wait, or None for no limit. Default: 5 s for each kind.
        limits: a `PoolLimits`. Default: 100 connections in all, 30 s of keep-alive. A request for which no connection
            is free waits for one, up to the `pool_timeout`.
        http1, http2: the protocols that may be used. Both (the default): the one that the server chooses by ALPN, and
            HTTP/1.1 over plain http. `http1=False` means prior knowledge: HTTP/2 is used, over plain http too. With an
            `SSLContext` HTTP/1.1 is used, unless `httpcore.ssl_context(alpn=("h2", "http/1.1"))` made the context. Over
            HTTP/2 many threads use one connection at the same time.
        proxy: how all origins are reached: a `Proxy`, the URL of one (`http://`, `https://`, `socks5://`, `socks5h://`,
            `socks4://`, `socks4a://`), or an object that chooses one for each request, such as
            `proxies_from_environment()`. Default None: no proxy, even if the environment names one.
        uds: the path of a unix domain socket, to which all requests are sent instead of their URL's host and port.
            Default None.
        local_address: an IP address of this machine to connect from; it cannot be combined with `uds`. Default None:
            any.
        socket_options: `(level, name, value)` for `setsockopt`, after TCP_NODELAY and SO_KEEPALIVE, which are set on
            every socket. Default none.
        resolver: finds the addresses of names, e.g. a `CachingResolver`; its coroutine must never suspend. Default
            None: the operating system. Up to 16 addresses of a name are tried, a quarter of a second apart (RFC 8305).
        resolve: addresses that need no resolver, as with curl's `--resolve`: `{"example.com": "127.0.0.1"}`. Default
            none.
        network_policy: which addresses may be connected to, e.g. `NetworkPolicy.public_only()`: it checks each resolved
            address, of proxies too. Under a policy an HTTP proxy tunnels all requests, and is sent checked addresses
            instead of names, so this machine must be able to resolve the names. A policy does not apply to `uds`.
            Default None: all addresses.
        retries: how often a connection that cannot be made is tried again, after pauses that begin at half a second and
            double; or a `RetryPolicy`, which also retries responses. A paused request holds no connection; its thread
            sleeps. Default 0.
        retry_stale: whether a request that finds its reused connection dead is silently sent once more on a fresh one,
            where that is safe. Default True.
        ping_interval: seconds without received bytes after which a PING is sent on an HTTP/2 connection, by a request
            that waits on it or is about to use it. If nothing is received for as many seconds again, the connection is
            considered dead. Default None: a PING is sent only when a request ends early (e.g. by a timeout) and nothing
            was received for a second.
        strict: whether to refuse, with RemoteProtocolError or DecodingError, every response that has a deviation named
            in `httpcore.Leniency`. This is for gateways, which must not forward such responses. Default False.
        max_body: the most bytes of a body that `request()` and `SyncResponse.read()` keep. The limit holds both for the
            received and for the decoded bytes. None: no limit. Left out: no limit for the received bytes, and for the
            decoded ones the larger of 64 MiB and 32 times the received bytes. `SyncResponse.stream()` has no limit.
        trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens to each request and
            connection, in the thread to which it happens. Default None.
        backend: the runtime to use, a `Backend` whose calls block the thread and never suspend: that of a simulation
            (`httpcore.testing.Simulation.blocking`), a wrapper around `threads_backend()`, or one of your own. A call
            that suspends ends with `RuntimeError`. Default None: `threads_backend()`, sockets.
        engines: the readers and writers of the protocols: "native", those of this library; "reference", h11 and h2
            under the same rules; "shadow", the native ones, while the reference ones read the same bytes and each
            difference is traced; or a mapping with one for each protocol, e.g.
            `{"http/1.1": "reference", "http/2": "native"}`, native where a protocol is left out. Default None: the
            value of the environment variable HTTPCORE_ENGINES, else native.

    Use it as a context manager, or call `close()`. A pool that is garbage-collected closes its connections, too.

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
        self._pool = ConnectionPool(
            ssl,
            timeout,
            limits,
            http1=http1,
            http2=http2,
            proxy=proxy,
            uds=uds,
            local_address=local_address,
            socket_options=socket_options,
            resolver=resolver,
            resolve=resolve,
            network_policy=network_policy,
            retries=retries,
            retry_stale=retry_stale,
            ping_interval=ping_interval,
            max_body=max_body,
            strict=strict,
            trace=trace,
            backend=BlockingBackend() if backend is None else backend,
            engines=engines,
        )

    def request(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: HeaderTypes = None,
        body: SyncBodyTypes = b"",
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
    ) -> SyncResponse:
        """Send one request and return its response: `http.request("GET", "https://example.com/")`. The calling thread
        waits for the response.

        Arguments:
            method: e.g. "GET" (RFC 9110 section 9). Sent as given: methods are case-sensitive.
            url: absolute, http or https. A fragment is not sent; user info is neither sent nor used.
            headers: pairs of bytes or ASCII str, or a mapping. `Host`, and `Content-Length` or `Transfer-Encoding`, are
                added when absent; nothing else is. In a pool with `proxy`, `Proxy-Authorization` is refused where no
                proxy forwards the request, since the origin would receive it.
            body: bytes, str (UTF-8), an iterable or iterator of bytes, a callable that returns one, a binary file, or a
                `ReplayableBody`. It is read in the calling thread, and no timeout interrupts it there.
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
                On `response.connection` one thread may then send more of the request while another receives the
                response. `body` is the beginning of the request's body. An iterator is read until the head has been
                received, and an empty piece makes the pool check for the head; the caller keeps the items that were not
                read. If the iterator ends before the head is received, this ends the request. Over HTTP/1.1 the body is
                chunked, unless there is a Content-Length. `duplex` has no effect on CONNECT, TRACE and a request with
                Upgrade. Default False.

        Returns: a `SyncResponse`. A status of 400 or more is no error, and redirects are not followed;
            `httpcore.Client` follows them.

        Raises:
            TypeError, ValueError: `ssl`, `timeout`, `max_body` or the proxy that was chosen has another type, or is not
                allowed.
            InvalidURL, UnsupportedProtocol, LocalProtocolError: an argument cannot be sent as given; also a body that
                is asynchronous.
            ConnectError, TLSError, ReadError, WriteError: the network failed (all are OSError).
            ConnectTimeout, ReadTimeout, WriteTimeout, PoolTimeout, TotalTimeout: a timeout has passed.
            RemoteProtocolError, DecodingError, LimitExceeded: the response cannot be accepted.
            ProxyError: a proxy refused, or broke its protocol.
            PolicyError: the network policy allows none of the host's addresses.
            PoolClosed: the pool is closed, or refuses new requests after `drain`.
            Exception: whatever the body's iterator, `trailers`, a resolver, the chooser of the proxy, or `trace`
                raises.
        """
        sent: Any = body if type(body) is bytes else _plain_body(body)  # converted to a `Body` only once
        response = _new(SyncResponse)
        response._response = run(
            self._pool.request(
                method,
                url,
                headers,
                sent,
                stream,
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
        return response

    def connect(
        self,
        url: str | bytes,
        *,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        trace: Trace | None = None,
    ) -> StreamInfo:
        """Open a connection for requests to `url`, unless an open one can serve a request now, and return its facts:
        the addresses of both ends, and TLS. So the first request need not wait for the connection, and a deployment can
        check names and certificates. The calling thread waits until the connection is open.

        The connection is not reserved: `keepalive_expiry` and the limits apply to it. Retries do not apply here.

        Arguments:
            url: the URL of any resource of the origin; only scheme, host and port are used.
            ssl, timeout, trace: as for `request`. A request with another `ssl` does not use this connection. The trace
                gets the records of the dial and of the connection, and none of a request.

        Raises: the errors of `request` that concern the URL, the settings and the connection.
        """
        return run(self._pool.connect(url, ssl=ssl, timeout=timeout, trace=trace))

    def stream(
        self,
        method: str | bytes,
        url: str | bytes,
        headers: HeaderTypes = None,
        body: SyncBodyTypes = b"",
        *,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        target: str | bytes | None = None,
        trailers: TrailerTypes = None,
        max_body: int | Unset | None = UNSET,
        trace: Trace | None = None,
        tag: object = None,
        duplex: bool = False,
    ) -> SyncResponse:
        """Send one request and stream its response: `with http.stream("GET", url) as response`.

        Arguments and errors are those of `request` with `stream=True`. The request is sent by this call. Leaving the
        block closes the response, at any point. `response.stream()` and `raw()` return the body in pieces.
        """
        return self.request(
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

    def close(self, *, abort: bool = False) -> None:
        """Close the idle connections, now. Requests of other threads that wait for a connection, dial, or pause before
        a retry end with PoolClosed, as later requests do. Requests that have a connection continue: their response
        bodies stay readable, and their connections close when they end.

        Arguments:
            abort: whether requests that have a connection end with PoolClosed too, at once, whatever they wait for, as
                do reads of responses and raw streams. Code of the caller is not interrupted: the iterator of a
                request's body, a trace, and a resolver. Default False.

        Raises:
            TypeError: `abort` is not a bool.
        """
        run(self._pool.close(abort=abort))

    def drain(self, timeout: float | None = None) -> bool:
        """Refuse new requests with PoolClosed, and block until the requests of other threads have ended: until their
        bodies were received, or their responses and raw streams closed. Requests that wait for a connection get one,
        and retries are made. The pool stays open: call `close()` afterwards, with `abort=True` to end the remaining
        requests.

        Arguments:
            timeout: seconds to wait; 0 checks once. Default None: no limit.

        Returns:
            True if all requests have ended. False if some are still in flight; `requests()` lists them.

        Raises:
            TypeError, ValueError: `timeout` is not a number of seconds from 0 up.
            LocalProtocolError: a signal handler or a finaliser that has interrupted a step of this pool calls this
                method.
        """
        return run(self._pool.drain(timeout))

    def requests(self) -> list[RequestInFlight]:
        """Return the requests in flight, the oldest first. A request is in flight from its start until its response
        body was received, or its response or raw stream was closed. The pool has this state in any case, so this method
        costs nothing until it is called. Any thread may call it. If a signal handler or a finaliser that has
        interrupted a step of this pool calls it, it returns the state in the middle of that step.
        """
        return self._pool.requests()

    @property
    def timeout(self) -> TimeoutConfig:
        """The timeouts of requests without `timeout`. `http.timeout.replace(read=60)` returns changed ones."""
        return self._pool.timeout

    @property
    def limits(self) -> PoolLimits:
        """How many connections the pool may have."""
        return self._pool.limits

    @property
    def ssl(self) -> SSLConfig | ssl_module.SSLContext:
        """The TLS settings for https origins of requests without `ssl`."""
        return self._pool.ssl

    @property
    def max_body(self) -> int | Unset | None:
        """The most bytes of a body that are kept; None is no limit, and `UNSET` means that it was left out."""
        return self._pool.max_body

    def stats(self) -> PoolStats:
        """Return how many connections are open, idle, busy and being dialed, and how many requests hold one (`leased`)
        or wait for one, in total and per origin, as one consistent snapshot. It also has the limits, and the counts
        since the pool was made: see `PoolTotals`. If a signal handler or a finaliser that has interrupted a step of
        this pool calls this method, it returns the state in the middle of that step.
        """
        return self._pool.stats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._pool).replace("ConnectionPool", "SyncConnectionPool", 1)

    def __reduce__(self) -> NoReturn:
        raise TypeError("SyncConnectionPool holds live connections and cannot be pickled: make one in each process")


@public
class SyncResponse(HeaderLookup):
    """The response to a request. Its calls block the calling thread.

    Tests and in-process servers make responses by hand: `SyncResponse(200, headers=[(b"x-a", b"b")], body=b"...")`. The
    arguments are those of `Response`, but the body is a plain one and `connection` is a `SyncRawStream`.
    `SyncResponse(response)` wraps a `Response` whose calls never suspend, and takes no further arguments.

    Use it as a context manager, or read the body to its end, or call `close()`: until then it holds its connection.
    """

    __slots__ = ("_response",)

    def __init__(
        self,
        response: Response | int,
        *,
        headers: HeaderTypes = (),
        body: SyncBodyTypes = b"",
        max_body: int | Unset | None = UNSET,
        reason_phrase: str | None = None,
        protocol: str = "HTTP/1.1",
        trailers: HeaderTypes = (),
        informational: Iterable[Informational] = (),
        info: ResponseInfo | None = None,
        connection: SyncRawStream | None = None,
    ) -> None:
        if not isinstance(response, Response):
            response = Response(
                response,
                headers=headers,
                body=_plain_body(body),
                max_body=max_body,
                reason_phrase=reason_phrase,
                protocol=protocol,
                trailers=trailers,
                informational=informational,
                info=info,
                connection=None if connection is None else connection._raw,
            )
        elif any((headers, body, trailers, informational, reason_phrase, info, connection)) or max_body is not UNSET:
            raise LocalProtocolError("response: expected a status code beside further arguments, got a Response")
        self._response = response

    def __repr__(self) -> str:
        return repr(self._response)

    @property
    def status_code(self) -> int:
        """The status, e.g. 200 (RFC 9110, section 15)."""
        return self._response.status_code

    @property
    def reason_phrase(self) -> str:
        """The reason phrase as text. It may be empty; over HTTP/2 a server sends none."""
        return self._response.reason_phrase

    @property
    def reason(self) -> str:
        """The reason phrase, as `http.client` names it."""
        return self._response.reason_phrase

    @property
    def protocol(self) -> str:
        """The version of the protocol: "HTTP/1.1", "HTTP/1.0" or "HTTP/2"."""
        return self._response.protocol

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields in wire order, names lower-cased."""
        return self._response.headers

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields in wire order, names as they were sent."""
        return self._response.raw_headers

    @property
    def is_closed(self) -> bool:
        """True when the body has been read to its end or the response was closed: it holds no connection."""
        return self._response.is_closed

    @property
    def body(self) -> bytes:
        """The whole body, decoded. The errors below are also AttributeErrors, so `hasattr` tells whether it is there.

        Raises:
            ResponseNotRead: the body was not read yet: call `response.read()`.
            StreamConsumed, ResponseClosed: the body was streamed, or the response closed, so the body was not kept.
            DecodingError, LimitExceeded: as `read()`, for a response made by hand with bytes, which needs no `read()`.
        """
        return self._response.body

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """Trailer fields, names lower-cased (RFC 9110 6.5). Empty until the body has been read to its end."""
        return self._response.trailers

    @property
    def informational(self) -> list[Informational]:
        """The 1xx responses that were received before this one."""
        return self._response.informational

    @property
    def info(self) -> ResponseInfo:
        """Peer, TLS, engine, whether the connection was reused, timings."""
        return self._response.info

    @property
    def connection(self) -> SyncRawStream | None:
        """The raw two-way stream (see `SyncRawStream`) after 101, after a 2xx response to CONNECT, or with
        `duplex=True`; else None. It occupies its connection in the pool until it is closed: `with response.connection
        as raw`. The response's body is then empty.
        """
        raw = self._response.connection
        return None if raw is None else SyncRawStream(raw)

    def read(self) -> bytes:
        """Read the whole body, decode it, keep it in `body` and return it. The thread waits for it.

        Raises:
            ReadTimeout, TotalTimeout, ReadError: the network failed or was too slow.
            RemoteProtocolError: the body was cut short or breaks the grammar.
            DecodingError: a coding is damaged, truncated or unknown, or its library is not installed.
            LimitExceeded: the body has more bytes than `max_body`, as sent or decoded. If `max_body` was left out: it
                decodes to more than 64 MiB and more than 32 times the bytes received. `stream()` returns it in pieces.
            StreamConsumed: the body was streamed before, or another thread is reading it.
            ResponseClosed: the response is closed, or another thread closes it meanwhile.
        """
        return run(self._response.read())

    def stream(self) -> SyncBodyStream:
        """Return an iterator over the body in pieces of at most 512 KiB, decoded. It can be iterated once, unless
        `read()` has kept the body.

        Raises (while iterating): as `read()`, but no LimitExceeded; and ResponseBusy while another thread waits for the
            next piece of the same iterator.
        """
        return SyncBodyStream(self._response.stream())

    def raw(self) -> SyncBodyStream:
        """Return an iterator over the body in pieces as the peer sent it: without transfer codings, and not decoded.

        Raises (while iterating): as `stream()`, but no DecodingError.
        """
        return SyncBodyStream(self._response.raw())

    def close(self) -> None:
        """Release the connection. It stays open if the rest of the body is small and was received, else it closes.

        A thread that waits for the body gets ResponseClosed (over HTTP/2 within a tenth of a second). Any thread may
        call this method. It does not wait; closing twice does nothing.
        """
        run(self._response.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@public
class SyncBodyStream:
    """An iterator over a body. Each step blocks the thread until the next piece was received. `close()` closes the
    response. If the iteration stops early, the response stays open until it is closed or garbage-collected.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: BodyStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return run(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """Close the response: the rest of the body is not wanted."""
        self._stream.close()


@public
class SyncRawStream:
    """A two-way stream of bytes.

    Over HTTP/1.1 it is the whole connection, after 101 (Switching Protocols) or a 2xx response to CONNECT. Over HTTP/2
    it is one stream of the connection, after a 2xx response to CONNECT. For a request made with `duplex=True` it
    carries the rest of both messages: sent bytes continue the request's body, and received bytes are the response's
    body.

    One thread may send while another receives. A second one in the same direction gets `ResponseBusy`, and the first
    continues. The timeouts are those of the request. The stream occupies its connection in the pool until it is closed;
    leaving the block of `with response.connection as raw` closes it. Errors have the failed step (`phase`) and the
    request.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: RawStream) -> None:
        self._raw = raw

    def recv(self, max_bytes: int = PIECE) -> bytes:
        """Wait for bytes and return at most `max_bytes` of them (default 512 KiB); `b""` when the peer has ended its
        direction.

        Raises:
            ReadTimeout, TotalTimeout, ReadError, RemoteProtocolError: as for a response's body.
            ReadError: also if the stream is closed already, or is closed while this call waits.
            ResponseBusy: another thread is receiving.
        """
        return run(self._raw.recv(max_bytes))

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`. The thread waits until there is buffer space for it.

        Raises:
            WriteTimeout, TotalTimeout, WriteError: as for a request's body.
            StreamReset, GoAway: the peer has ended the stream or the connection (HTTP/2).
            WriteError, ReadError: also if the stream is closed already, or is closed while this call waits.
            ResponseBusy: another thread is sending or ending.
        """
        run(self._raw.send(data))

    def end(self, trailers: TrailerTypes = None) -> None:
        """End the sending direction, with `trailers` if there are any. Bytes can still be received. Trailers can be
        sent over HTTP/2, and after the chunked body of a request with `duplex=True`.

        Raises:
            LocalProtocolError: the trailers are not valid, or this stream cannot carry trailers.
            ResponseBusy: another thread is sending or ending.
        """
        run(self._raw.end(trailers))

    def close(self) -> None:
        """Close both directions, now, without waiting. Calls that wait in other threads end with an error. With
        `duplex=True` the connection stays open if both messages have ended.
        """
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _plain_body(body: SyncBodyTypes) -> Any:
    """Return `body` as a `Body`, or raise if it is asynchronous."""
    taken = Body.of(body)
    if taken.is_async:
        raise LocalProtocolError(
            "body is asynchronous: expected a plain iterable of bytes; ConnectionPool accepts async ones"
        )
    return taken
