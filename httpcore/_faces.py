"""The common part of both pools, and of both responses: types for code that accepts either.

These types are only for annotations: no class inherits from them, and no code uses them at run time. A pool's `stream`
is left out: one pool needs `with` and the other `async with`, so no code can accept either.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar, overload

from ._backends.base import StreamInfo
from ._config import UNSET, PoolLimits, SSLConfig, SSLTypes, TimeoutConfig, TimeoutTypes, Unset
from ._message.body import SyncBodyTypes
from ._message.raw import RawStream
from ._message.request import HeaderTypes, TrailerTypes
from ._message.response import Informational, ResponseInfo
from ._pool.stats import PoolStats, RequestInFlight
from ._public import public
from ._sync import SyncRawStream
from ._trace import Trace

if TYPE_CHECKING:
    import ssl as ssl_module

__all__ = ["AnyPool", "AnyResponse"]

R_co = TypeVar("R_co", covariant=True)


@public
class AnyPool(Protocol[R_co]):
    """A `ConnectionPool` or a `SyncConnectionPool`; `R_co` is the result of its `request`.

    A function that returns the result of `request` serves both kinds of program:

        R = TypeVar("R")

        def get(pool: httpcore.AnyPool[R], url: str) -> R:
            return pool.request("GET", url, {"Accept": "application/json"})

        response = get(blocking_pool, "https://example.com/")  # a SyncConnectionPool
        response = await get(pool, "https://example.com/")  # a ConnectionPool

    A function that uses the response itself must await it on one pool, and must not on the other. Write such a function
    once, as an `async def` for a `ConnectionPool`, and see `run_sync` for threads. `AnyPool[SyncResponse]` is a pool
    whose calls block, and `AnyPool[Awaitable[Response]]` a pool whose calls are awaited, of any class. The other
    methods are typed as returning a union: the result, or an awaitable of it.
    """

    @property
    def timeout(self) -> TimeoutConfig:
        """The timeouts of requests without `timeout`. `http.timeout.replace(read=60)` returns changed ones."""
        ...

    @property
    def limits(self) -> PoolLimits:
        """How many connections the pool may have."""
        ...

    @property
    def ssl(self) -> SSLConfig | ssl_module.SSLContext:
        """The TLS settings for https origins of requests without `ssl`."""
        ...

    @property
    def max_body(self) -> int | Unset | None:
        """The most bytes of a body that are kept; None is no limit, and `UNSET` means that it was left out."""
        ...

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
    ) -> R_co:
        """Send one request: see `ConnectionPool.request` and `SyncConnectionPool.request`."""
        ...

    def connect(
        self,
        url: str | bytes,
        *,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        trace: Trace | None = None,
    ) -> Awaitable[StreamInfo] | StreamInfo:
        """Open a connection for requests to `url`, unless an open one can serve a request now, and return its facts:
        the addresses of both ends, and TLS.
        """
        ...

    def close(self, *, abort: bool = False) -> Awaitable[None] | None:
        """Close the idle connections, now, and refuse new requests; `abort` also ends the requests that have a
        connection.
        """
        ...

    def drain(self, timeout: float | None = None) -> Awaitable[bool] | bool:
        """Refuse new requests, and wait until those in flight have ended; return whether all have ended."""
        ...

    def requests(self) -> list[RequestInFlight]:
        """Return the requests in flight, the oldest first."""
        ...

    def stats(self) -> PoolStats:
        """Return how many connections are open, idle, busy and being dialed, and how many requests hold one (`leased`)
        or wait for one, in total and per origin, as one consistent snapshot.
        """
        ...


@public
class AnyResponse(Protocol):
    """A `Response` or a `SyncResponse`: for code that reads the head of a response, and a body that has been read.

    def check(response: httpcore.AnyResponse) -> None:
        if response.status_code >= 400:
            raise Refused(response.status_code, response.header("retry-after"))
    """

    @property
    def status_code(self) -> int:
        """The status, e.g. 200 (RFC 9110, section 15)."""
        ...

    @property
    def reason_phrase(self) -> str:
        """The reason phrase as text. It may be empty; over HTTP/2 a server sends none."""
        ...

    @property
    def reason(self) -> str:
        """The reason phrase, as `http.client` names it."""
        ...

    @property
    def protocol(self) -> str:
        """The version of the protocol: "HTTP/1.1", "HTTP/1.0" or "HTTP/2"."""
        ...

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields in wire order, names lower-cased."""
        ...

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields in wire order, names as they were sent."""
        ...

    @overload
    def header(self, name: str) -> str | None: ...
    @overload
    def header(self, name: bytes) -> bytes | None: ...
    def header(self, name: str | bytes) -> str | bytes | None:
        """The value of a header field, or None. The values of a repeated field are joined by ", "."""
        ...

    @overload
    def header_values(self, name: str) -> list[str]: ...
    @overload
    def header_values(self, name: bytes) -> list[bytes]: ...
    def header_values(self, name: str | bytes) -> list[str] | list[bytes]:
        """Each value of a header field, in wire order. Empty if there is none."""
        ...

    @property
    def is_closed(self) -> bool:
        """True when the body has been read to its end or the response was closed: it holds no connection."""
        ...

    @property
    def body(self) -> bytes:
        """The whole body, decoded. Without `stream=True`, `request` has read it already."""
        ...

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """Trailer fields, names lower-cased (RFC 9110 6.5). Empty until the body has been read to its end."""
        ...

    @property
    def informational(self) -> list[Informational]:
        """The 1xx responses that were received before this one."""
        ...

    @property
    def info(self) -> ResponseInfo:
        """Peer, TLS, engine, whether the connection was reused, timings."""
        ...

    @property
    def connection(self) -> RawStream | SyncRawStream | None:
        """The raw two-way stream after 101, after a 2xx response to CONNECT, or with `duplex=True`; else None."""
        ...

    def read(self) -> Awaitable[bytes] | bytes:
        """Read the whole body, decode it, keep it in `body` and return it."""
        ...

    def stream(self) -> AsyncIterator[bytes] | Iterator[bytes]:
        """Return an iterator over the body in pieces of at most 512 KiB, decoded."""
        ...

    def raw(self) -> AsyncIterator[bytes] | Iterator[bytes]:
        """Return an iterator over the body in pieces as the peer sent it: without transfer codings, and not decoded."""
        ...

    def close(self) -> Awaitable[None] | None:
        """Release the connection. It stays open if the rest of the body is small and was received, else it closes."""
        ...
