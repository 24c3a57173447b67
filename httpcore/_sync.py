"""The thread-blocking face of the pool: the same coroutines, driven to their end in one step.

The runtime of threads never suspends: its waits block the thread. So a coroutine of the core runs from its start to its
end in a single `send(None)`: no event loop, no second copy of the code, and it works inside a running loop too.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterator, Mapping, Sequence
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


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine that never suspends to its end."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError(
        f"{coroutine!r} suspended to wait for a {type(awaited).__name__}: SyncConnectionPool expected a backend (and a "
        "resolver) whose calls block the thread and never suspend, got one for an event loop"
    )


@public
def run_sync(coroutine: Coroutine[object, None, T]) -> T:
    """Drive a coroutine in this thread, without an event loop: what it awaits must block and never suspend.

    So one `async def` serves both kinds of program: it is given a pool, and awaits what that pool's calls return. In
    threads the pool is `ConnectionPool(backend=threads_backend())`.

    Raises:
        RuntimeError: it suspended, as what belongs to an event loop does.
        Exception: what the coroutine raised.
    """
    return run(coroutine)


@public
class SyncConnectionPool:
    """`ConnectionPool` for programs with threads: any number of them may share one pool.

    Arguments, behaviour and errors are those of `ConnectionPool`; the timeouts bound the same waits. `total_timeout`
    fires only where something waits: a request body's iterator that blocks is not interrupted.

    `backend` must never suspend: each of its calls blocks the thread until it is done, as those of
    `httpcore.testing.Simulation.blocking` do. Default None: sockets. A call that suspends ends with `RuntimeError`.
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
        """Send one request and return its response. As `ConnectionPool.request`, but it blocks the calling thread.

        The body may be anything that does not need an event loop: bytes, str, an iterable of bytes, a callable that
        returns one, a binary file, or a `ReplayableBody`.
        """
        sent: Any  # a `Body` is taken too, so that a body is taken apart once
        if type(body) is bytes:
            sent = body
        else:
            sent = Body.of(body)
            if sent.is_async:
                raise LocalProtocolError("body is asynchronous: SyncConnectionPool takes a plain iterable of bytes")
        return SyncResponse(
            run(
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
        )

    def connect(
        self,
        url: str | bytes,
        *,
        ssl: SSLTypes = None,
        timeout: TimeoutTypes | Unset = UNSET,
        trace: Trace | None = None,
    ) -> StreamInfo:
        """See that a connection for requests to `url` is open and idle, and tell what it is: both ends, and what TLS
        agreed on. It blocks the calling thread until then.

        Arguments and errors are those of `ConnectionPool.connect`.
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

        It is `request` with `stream=True`: the request is sent now, and leaving the block closes the response.
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
        """As `ConnectionPool.close`.

        Arguments:
            abort: also end what other threads do with this pool: connect, shake hands, write, read, wait, look up a
                name. Each gets PoolClosed. Default False.
        """
        run(self._pool.close(abort=abort))

    def drain(self, timeout: float | None = None) -> bool:
        """As `ConnectionPool.drain`: it blocks the calling thread until the requests of the others have ended."""
        return run(self._pool.drain(timeout))

    def requests(self) -> list[RequestInFlight]:
        """As `ConnectionPool.requests`."""
        return self._pool.requests()

    @property
    def timeout(self) -> TimeoutConfig:
        """The timeouts of requests that name none: `http.timeout.replace(read=60)` derives others."""
        return self._pool.timeout

    @property
    def limits(self) -> PoolLimits:
        """How many connections the pool may have."""
        return self._pool.limits

    @property
    def ssl(self) -> SSLConfig | ssl_module.SSLContext:
        """How https origins are checked where a request does not say."""
        return self._pool.ssl

    @property
    def max_body(self) -> int | Unset | None:
        """The most bytes of a body that are kept, None for no limit, or `UNSET` where it was left out."""
        return self._pool.max_body

    def stats(self) -> PoolStats:
        """As `ConnectionPool.stats`."""
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
        raise TypeError("a SyncConnectionPool holds live connections and cannot be pickled")


@public
class SyncResponse(HeaderLookup):
    """`Response` for programs with threads: the same attributes; what is awaited there blocks here."""

    __slots__ = ("_response",)

    def __init__(self, response: Response) -> None:
        self._response = response

    def __repr__(self) -> str:
        return repr(self._response)

    @property
    def status_code(self) -> int:
        return self._response.status_code

    @property
    def reason_phrase(self) -> str:
        return self._response.reason_phrase

    @property
    def reason(self) -> str:
        return self._response.reason_phrase

    @property
    def protocol(self) -> str:
        return self._response.protocol

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return self._response.headers

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        return self._response.raw_headers

    @property
    def is_closed(self) -> bool:
        return self._response.is_closed

    @property
    def body(self) -> bytes:
        return self._response.body

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        return self._response.trailers

    @property
    def informational(self) -> list[Informational]:
        return self._response.informational

    @property
    def info(self) -> ResponseInfo:
        return self._response.info

    @property
    def connection(self) -> SyncRawStream | None:
        raw = self._response.connection
        return None if raw is None else SyncRawStream(raw)

    def read(self) -> bytes:
        """As `Response.read`."""
        return run(self._response.read())

    def stream(self) -> SyncBodyStream:
        """As `Response.stream`."""
        return SyncBodyStream(self._response.stream())

    def raw(self) -> SyncBodyStream:
        """As `Response.raw`."""
        return SyncBodyStream(self._response.raw())

    def close(self) -> None:
        """As `Response.close`."""
        run(self._response.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@public
class SyncBodyStream:
    """`BodyStream` for programs with threads: a plain iterator."""

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
        """As `BodyStream.close`."""
        self._stream.close()


@public
class SyncRawStream:
    """`RawStream` for programs with threads: one thread may send while another receives."""

    __slots__ = ("_raw",)

    def __init__(self, raw: RawStream) -> None:
        self._raw = raw

    def recv(self, max_bytes: int = PIECE) -> bytes:
        """As `RawStream.recv`."""
        return run(self._raw.recv(max_bytes))

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """As `RawStream.send`."""
        run(self._raw.send(data))

    def end(self, trailers: TrailerTypes = None) -> None:
        """As `RawStream.end`."""
        run(self._raw.end(trailers))

    def close(self) -> None:
        """As `RawStream.close`."""
        self._raw.close()
