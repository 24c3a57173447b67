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
        f"{coroutine!r} suspended to wait for a {type(awaited).__name__}: {caller} expected a backend (and a "
        "resolver) whose calls block the thread and never suspend, got one for an event loop"
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
        ssl: how https origins are checked: an `SSLConfig`, or a ready `ssl.SSLContext`, which is never modified.
            Default: certifi's bundle, TLS 1.2 or later.
        timeout: a `TimeoutConfig`, seconds for each kind of wait, or None for no limit. Default 5 s for each.
        limits: a `PoolLimits`. Default: 100 connections in all, 30 s of keep-alive. A thread that finds none free waits
            up to `pool_timeout`.
        http1, http2: the protocols that may be used. Both (the default): whatever the server chooses by ALPN, and
            HTTP/1.1 over plain http. `http1=False` is prior knowledge: HTTP/2 is used, over plain http too. An
            `SSLContext` means HTTP/1.1, unless `httpcore.ssl_context(alpn=("h2", "http/1.1"))` made it. Over HTTP/2
            many threads use one connection at the same time.
        proxy: how all origins are reached: a `Proxy`, the URL of one (`http://`, `https://`, `socks5://`, `socks5h://`,
            `socks4://`, `socks4a://`), or an object that chooses one for each request, such as
            `proxies_from_environment()`. Default None: none, also if the environment has one.
        uds: path of a unix domain socket, which all requests go to instead of their URL's host and port. Default None.
        local_address: an IP address of this machine to connect from, not together with `uds`. Default None: any.
        socket_options: `(level, name, value)` for `setsockopt`, after TCP_NODELAY and SO_KEEPALIVE, which are set on
            every socket. Default none.
        resolver: finds the addresses of names, e.g. a `CachingResolver`; its coroutine must never suspend. Default
            None: the operating system. A name has up to 16 addresses tried, a quarter of a second apart (RFC 8305).
        resolve: addresses that need no resolver, as curl's `--resolve`: `{"example.com": "127.0.0.1"}`. Default none.
        network_policy: which addresses may be connected to, e.g. `NetworkPolicy.public_only()`: it checks each resolved
            address, of proxies too. Under a policy an HTTP proxy tunnels all requests, and gets addresses that were
            checked instead of names, so names must resolve here. It does not apply to `uds`. Default None: all.
        retries: how often a connection that cannot be made is tried again, after pauses that begin at half a second and
            double; or a `RetryPolicy`, which also retries responses. The thread sleeps in a pause, and the request
            holds no connection. Default 0.
        retry_stale: whether a request that finds its reused connection dead is silently sent once more on a fresh one,
            where that is safe. Default True.
        ping_interval: seconds without received bytes after which an HTTP/2 connection is sent a PING, by a thread that
            waits on it or is about to use it. Without a reply in as many further seconds, the connection is considered
            dead. Default None: only when a request ends early (e.g. by a timeout) after a second without received
            bytes.
        strict: refuse every response with a deviation that `ResponseInfo.lenient` has a name for, with
            RemoteProtocolError or DecodingError. Gateways need this, since they must not forward such responses.
            Default False.
        max_body: the most bytes of a body that `request()` and `SyncResponse.read()` keep, counted as received and as
            decoded. None: no limit. Left out: no limit for the received bytes; the decoded body may have 64 MiB, or 32
            times the received bytes if that is more. `SyncResponse.stream()` has no limit.
        trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens to each request and
            connection, in the thread to which it happens. Default None.
        backend: how to connect and to wait, a `Backend` whose calls block the thread and never suspend: that of a
            simulation (`httpcore.testing.Simulation.blocking`), a wrapper around `threads_backend()`, or one of your
            own. A call that suspends ends with `RuntimeError`. Default None: `threads_backend()`, sockets.
        engines: the readers and writers of the protocols: "native", those of this library; "reference", h11 and h2 with
            the same rules; "shadow", native with the reference reading the same bytes, and a trace record for each
            difference; or one for each protocol, e.g. `{"http/1.1": "reference", "http/2": "native"}`, where the
            default is native. Default None: the value of the environment variable HTTPCORE_ENGINES, else native.

    Use it as a context manager, or call `close()`. A pool that is garbage-collected closes its connections, too.

    Raises:
        TypeError, ValueError: an argument has another type, or a value that is not allowed; also `uds` with `proxy`,
            and neither `http1` nor `http2`.
        InvalidURL: `proxy` is not the URL of a proxy. It is a ValueError, too.
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
                added when absent, nothing else. In a pool with `proxy`, `Proxy-Authorization` is refused where no proxy
                forwards the request, since its origin would get it.
            body: bytes, str (UTF-8), an iterable or iterator of bytes, a callable that returns one, a binary file, or a
                `ReplayableBody`. It is read in the calling thread, and no timeout interrupts it there.
            stream: False reads the whole body before returning; True returns at the head, and the response must be
                read to its end or closed.
            ssl: an `SSLConfig` or an `ssl.SSLContext` in place of the pool's. Default None: the pool's.
            timeout: a `TimeoutConfig`, whose missing fields have the pool's values; or seconds for each kind of wait,
                which does not change the pool's `total_timeout` and `min_rate`; or None, no limit of any kind. Left
                out: the pool's.
            target: the request target in place of the URL's path and query, e.g. "*" or an absolute URL (RFC 9112 3.2).
            trailers: pairs, or a callable that returns them when the body has been sent; needs a chunked body.
            max_body: the most bytes of the response's body that are kept, as received and as decoded; a longer body
                raises LimitExceeded. None: no limit. Left out: the pool's.
            trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens to this request,
                after the pool's own trace if there is one. Default None.
            tag: any value, which appears in the records of this request. Default None.
            duplex: leave the request open: the call returns when the response's head was received. On
                `response.connection` one thread may then send more of the request while another receives the response.
                `body` is the beginning of the request's body. An iterator is read until the head has been received; an
                empty piece makes the pool check for the head; the caller keeps the items that were not read. If the
                iterator ends before the head is received, this ends the request. Over HTTP/1.1 the body is chunked,
                unless there is a Content-Length. It has no effect for CONNECT, TRACE and a request with Upgrade.
                Default False.

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
            PoolClosed: the pool is closed.
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
        """Open a connection for requests to `url`, unless there is an idle one, and return its facts: both addresses,
        and TLS. So the first request need not wait for the connection, and a deployment can check names and
        certificates. The calling thread waits until the connection is open.

        The connection is idle afterwards and is not reserved for any request: `keepalive_expiry` and the limits apply
        to it. Retries do not apply here.

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

        It is `request` with `stream=True`, and has the same arguments and errors: the request is sent now, and leaving
        the block closes the response, at any point. `response.stream()` and `raw()` return the body in pieces.
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
        """Close the idle connections, now. Requests of other threads that wait for a connection or dial end with
        PoolClosed, and so do later requests. Requests that were sent continue: their bodies stay readable, and their
        connections close when they end.

        Arguments:
            abort: end the requests that were sent with PoolClosed, too, at once, in whichever call their threads are
                blocked: connect, a TLS handshake, write, read, a lookup. Code of the caller is not interrupted: the
                iterator of a request's body, a resolver, a trace. Default False.

        Raises:
            TypeError: `abort` is not a bool.
        """
        run(self._pool.close(abort=abort))

    def drain(self, timeout: float | None = None) -> bool:
        """Refuse new requests with PoolClosed, and block until the requests of other threads have ended: until their
        bodies were received, or their responses and raw streams closed. The pool stays open: call `close()` after it.

        Arguments:
            timeout: seconds to wait; 0 looks once. Default None: no limit.

        Returns:
            Whether all have ended. False: some are still in flight; `requests()` lists them.

        Raises:
            TypeError, ValueError: `timeout` is not a number of seconds from 0 up.
        """
        return run(self._pool.drain(timeout))

    def requests(self) -> list[RequestInFlight]:
        """Return the requests in flight, the oldest first. A request is in flight from its start until its body was
        received, or its response or raw stream closed. Any thread may call this.
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
        or wait for one, in total and per origin. This is one consistent snapshot over all threads. If it is called by a
        signal handler or a finaliser that has interrupted a step of this pool, it shows the middle of that step.
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
        raise TypeError("a SyncConnectionPool holds live connections and cannot be pickled: make one in each process")


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
        """The reason phrase as text; may be empty, and over HTTP/2 it always is."""
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
            StreamConsumed, ResponseClosed: the body was streamed, or the response closed, before the body was read.
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
        """The raw two-way stream after 101, after a 2xx response to CONNECT, or with `duplex=True`; else None. It
        occupies its connection in the pool until it is closed: `with response.connection as raw`. The response's body
        is then empty.
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
        """The body in pieces as the peer sent it: without transfer codings, and not decoded.

        Raises (while iterating): as `stream()`, but no DecodingError.
        """
        return SyncBodyStream(self._response.raw())

    def close(self) -> None:
        """Release the connection. It stays open if the rest of the body is small and was received, else it closes.

        This does not wait, and any thread may call it. A thread that waits for the body gets ResponseClosed (over
        HTTP/2 within a tenth of a second). Closing twice does nothing.
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
