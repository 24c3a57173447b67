"""The network as a transport: a pool of connections behind each of the two entries."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from .._backends.base import PIECE, Backend, SocketOption
from .._config import UNSET, CertTypes, PoolLimits, SSLConfig, SSLTypes, TimeoutTypes, Unset, changed, checked_size
from .._connect.proxy import Proxy, ProxyChooser
from .._connect.resolvers import Resolver
from .._errors import LimitExceeded, LocalProtocolError
from .._message.fields import Headers
from .._message.raw import CLOSED, HeldStream, RawStream
from .._message.request import TrailerTypes
from .._message.response import Response, Source
from .._message.rules import noted
from .._pool.pool import ConnectionPool
from .._pool.stats import PoolStats, RequestInFlight
from .._public import public
from .._sync import SyncConnectionPool
from .._trace import Trace
from .base import Transport, TransportRequest, TransportResponse
from .extensions import LazyExtensions, RequestExtensions, ResponseExtensions

if TYPE_CHECKING:
    from .._connect.policy import NetworkPolicy
    from .._pool.engines import EnginesType
    from .._pool.retry_policy import RetryPolicy

__all__ = ["HTTPTransport"]


@public
class HTTPTransport(Transport):
    """Sends requests over the network. `request` and `arequest` each have a connection pool, with the same settings.

    Arguments:
        verify, cert: short for `ssl=SSLConfig(verify=, cert=)`; not together with `ssl`. Default: those of `SSLConfig`.
        pool: an existing `ConnectionPool` (for `arequest`) or `SyncConnectionPool` (for `request`) to send through.
            Closing the transport does not close this pool. No other argument may be given with it.
        backend: as for `ConnectionPool`. One that blocks serves `request`, any other serves `arequest`.
        All other arguments: as for `ConnectionPool`.

    Raises:
        TypeError, ValueError: as for `ConnectionPool`; also if `ssl` is given with `verify` or `cert`, or `pool` with
            any other argument.
    """

    def __init__(
        self,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        limits: PoolLimits | None = None,
        *,
        verify: bool | str | os.PathLike[str] | None = None,
        cert: CertTypes | None = None,
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
        pool: ConnectionPool | SyncConnectionPool | None = None,
    ) -> None:
        given = dict(locals())
        for name in ("self", "__class__", "pool", "verify", "cert", "timeout"):
            given.pop(name, None)
        self._sync: ConnectionPool | None = None
        self._async: ConnectionPool | None = None
        self._closed = False
        self._owned = pool is None
        if pool is not None:
            self._lend(pool, {**given, "verify": verify, "cert": cert, "timeout": timeout})
            return
        given["ssl"] = _tls(ssl, verify, cert)
        if timeout is not UNSET:
            given["timeout"] = timeout
        # The pool for threads checks the arguments. The async pool is made at its first request, since it would import
        # asyncio.
        self._sync = SyncConnectionPool(**given)._pool
        self._make = partial(ConnectionPool, **given)
        self._limit = max_body

    def _lend(self, pool: ConnectionPool | SyncConnectionPool, given: dict[str, object]) -> None:
        beside = [name for name, value in given.items() if value != _DEFAULTS.get(name)]
        if beside:
            raise ValueError(
                f"pool is given together with {', '.join(beside)}: expected pool alone, which has its settings"
            )
        if isinstance(pool, SyncConnectionPool):
            self._sync = pool._pool
        elif isinstance(pool, ConnectionPool):
            self._async = pool
        else:
            raise TypeError(f"pool is of type {type(pool).__name__}: expected a ConnectionPool or a SyncConnectionPool")
        self._limit = pool._max_body if isinstance(pool, ConnectionPool) else pool._pool._max_body

    async def handle(self, request: TransportRequest) -> TransportResponse:
        """Send the request over the network. Raises as `ConnectionPool.request`."""
        pool = self._sync if request.is_sync else self._async
        if pool is None:
            pool = self._create_pool(request.is_sync)
        extensions = request.extensions
        limit = self._limit
        body: Any = request.stream if request._body is None else request.body()
        if body is None:
            body = b""  # so that the pool can reuse a remembered request
        if extensions:
            limit = checked_size("max_body", extensions.get("max_body", limit))
            options = _options(extensions, pool)
            response = await pool.request(request.method, request.url, request.headers, body, True, **options)
        else:
            response = await pool.request(request.method, request.url, request.headers, body, True)
        return _transport_response(response, None if limit is UNSET else limit)

    def _create_pool(self, is_sync: bool) -> ConnectionPool:
        if not self._owned:
            entry, other, kind = ("request", "arequest", "SyncConnectionPool") if is_sync else (
                "arequest", "request", "ConnectionPool")  # fmt: skip
            raise LocalProtocolError(
                f"{entry}() expected a transport with a {kind}, got one whose pool serves {other}()"
            )
        pool = self.__dict__.setdefault("_made", self._make())  # if two threads do this at once, both use the same pool
        self._async = cast("ConnectionPool", pool)
        # If the transport was closed before, requests end with PoolClosed, as with a pool that existed then.
        if self._closed:
            self._async._close()
        return self._async

    def stats(self) -> tuple[PoolStats | None, PoolStats | None]:
        """The statistics of the pool behind `request` and of the pool behind `arequest`; None for a pool that does not
        exist (yet).
        """
        return (
            None if self._sync is None else self._sync.stats(),
            None if self._async is None else self._async.stats(),
        )

    def close(self) -> None:
        """Close both pools: requests that have a connection continue, later ones end with PoolClosed."""
        self._close()

    def abort(self) -> None:
        """Close both pools: requests that have a connection end with PoolClosed too, as with `close(abort=True)`."""
        self._close(abort=True)

    def _close(self, *, abort: bool = False) -> None:
        self._closed = True
        if self._owned:
            for pool in (self._sync, self._async):
                if pool is not None:
                    pool._close(abort=abort)

    def requests(self) -> list[RequestInFlight]:
        """Return the requests in flight of both pools, the oldest first in each; see `ConnectionPool.requests`."""
        return [one for pool in (self._sync, self._async) if pool is not None for one in pool.requests()]


_DEFAULTS: dict[str, object] = {
    "timeout": UNSET,
    "http1": True,
    "http2": True,
    "socket_options": (),
    "retries": 0,
    "retry_stale": True,
    "max_body": UNSET,
    "strict": False,
}


def _tls(ssl: SSLTypes, verify: bool | str | os.PathLike[str] | None, cert: CertTypes | None) -> SSLTypes:
    if verify is None and cert is None:
        return ssl
    if ssl is not None:
        raise ValueError(
            "ssl is given together with verify or cert: expected one of them, or SSLConfig(verify=, cert=) as ssl"
        )
    return SSLConfig(cert, True if verify is None else verify)


_PASSED = ("timeout", "ssl", "max_body", "duplex", "trailers", "trace", "tag", "target")


def _options(extensions: RequestExtensions, pool: ConnectionPool) -> dict[str, Any]:
    """The arguments of `ConnectionPool.request` that are in the extensions."""
    values = cast("Mapping[str, object]", extensions)
    found: dict[str, Any] = {name: values[name] for name in _PASSED if name in values}
    if "sni_hostname" in extensions:
        found["ssl"] = _named(extensions["sni_hostname"], found.get("ssl") or pool._ssl)
    return found


def _named(hostname: str, tls: object) -> SSLConfig:
    if not isinstance(tls, SSLConfig):
        raise LocalProtocolError("sni_hostname is given for an SSLContext: expected it beside an SSLConfig")
    return changed(tls, server_hostname=hostname)


def _transport_response(response: Response, limit: int | None) -> TransportResponse:
    source = response._source
    connection = source.connection
    if connection is not None:
        trailers: Headers = []
        extensions = _facts(response, trailers)
        extensions["connection"] = _Connection(connection, source, trailers)
        close = partial(_close_both, source, connection)
        return TransportResponse(response.status_code, response.headers, b"", extensions, close=close)
    # A small body was usually received with the head. Then the connection is already released, and nothing is left to
    # do.
    whole = source.buffered_body() if limit is None else None
    lazy: Any
    if whole is not None:
        lazy = LazyExtensions(partial(_facts, response))
        return TransportResponse(response.status_code, response.headers, whole, lazy)
    trailers = []
    lazy = LazyExtensions(partial(_facts, response, trailers))
    stream = _Pieces(response, trailers, limit, lazy)
    return TransportResponse(response.status_code, response.headers, stream, lazy, close=response._close)


def _facts(response: Response, trailers: Headers | None = None) -> ResponseExtensions:
    source = response._source
    info = source.info
    extensions: ResponseExtensions = {
        "http_version": response.protocol,
        "reason_phrase": response.reason_phrase,
        "trailing_headers": source.trailers if trailers is None else trailers,
        "informational": source.informational,
        "info": info,
    }
    if info.stream_id is not None:
        extensions["stream_id"] = info.stream_id
    if source.is_strict:
        extensions["strict"] = True
    return extensions


class _Pieces:
    """The body as sent, with a limit. At its end the extensions get the trailers and the final `info`."""

    __slots__ = ("_extensions", "_left", "_limit", "_response", "_stream", "_trailers")

    def __init__(
        self,
        response: Response,
        trailers: list[tuple[bytes, bytes]],
        limit: int | None,
        extensions: LazyExtensions,
    ) -> None:
        self._extensions = extensions
        self._response = response
        self._stream = response.raw()
        self._trailers = trailers
        self._limit = self._left = limit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._stream.__anext__()
        except StopAsyncIteration:
            if not self._trailers:
                self._trailers.extend(self._response.trailers)
            self._refresh()
            raise
        # The limit counts the body as sent. The size of the decoded body is bounded by the layer that decodes it.
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                self._refuse()
        return piece

    def _refresh(self) -> None:
        """Update `info` at the end of the body, when its times and sizes are known."""
        extensions = self._extensions
        if extensions.make is None and "info" in extensions:
            info = self._response.info
            extensions["info"] = info._replace(lenient=noted(info.lenient, *extensions["info"].lenient))

    def _refuse(self) -> None:
        response = self._response
        response._close()
        raise response._with_request_context(
            LimitExceeded(f"the body is longer than max_body, {self._limit} bytes", limit=self._limit)
        )


class _Connection(HeldStream):
    """The raw stream. At its end the trailers are added to the list in the extensions."""

    __slots__ = ("_raw", "_source", "_trailers")

    def __init__(self, raw: RawStream, source: Source, trailers: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._source = source
        self._trailers = trailers

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        data = await self._raw.recv(max_bytes)
        if not data and not self._trailers:
            self._trailers.extend(self._source.trailers)
        return data

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        await self._raw.send(data)

    async def end(self, trailers: TrailerTypes = None) -> None:
        await self._raw.end(trailers)

    def close(self) -> Awaitable[None]:
        self._raw.close()
        self.closed()
        return CLOSED


def _close_both(source: Source, connection: RawStream) -> None:
    connection.close()
    source.close()
