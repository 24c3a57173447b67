"""The settings of a gateway as frozen, checked values: upstreams, timeouts, limits, health, WebSockets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from .._config import PoolLimits, SSLConfig, TimeoutConfig, checked_seconds, checked_ssl
from .._errors import show_value
from .._message.body import BodyContent
from .._message.fields import Headers
from .._message.response import Response
from .._message.url import URL
from .._pool.pool import ConnectionPool
from .._values import dataclass, field

if TYPE_CHECKING:
    import ssl as ssl_module

__all__ = [
    "Health",
    "Limits",
    "Sender",
    "Timeouts",
    "Upstream",
    "WebSockets",
    "checked_finite",
    "checked_whole",
    "upstreams_of",
    "websockets_of",
]

Seconds = float | None


class Sender(Protocol):
    """The interface of an object that sends requests to an upstream: a `ConnectionPool`, or any object with these
    methods.
    """

    async def request(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: BodyContent,
        stream: bool,
        *,
        target: bytes,
        timeout: TimeoutConfig,
        duplex: bool = False,
    ) -> Response:
        """Send one request, and return when the head of the response has been received. The arguments are those of
        `ConnectionPool.request`.
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def checked_whole(name: str, value: int | None, *, least: int, optional: bool = False) -> None:
    """Raise TypeError or ValueError unless `value` is a whole number from `least` up; None is valid if `optional`."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number{' or None' if optional else ''}, got {show_value(value)}")
    if value < least:
        raise ValueError(f"{name}: expected a number from {least} up, got {show_value(value)}")


def checked_finite(name: str, value: float, *, zero: bool = False) -> None:
    """Raise TypeError or ValueError unless `value` is a finite number of seconds; None is not valid."""
    if checked_seconds(name, value, zero=zero) is None:
        raise (TypeError if value is None else ValueError)(
            f"{name}: expected a number of seconds, got {show_value(value)}"
        )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the gateway waits, in seconds; None means no limit.

    Attributes:
        connect: for a connection to an upstream, TLS included. Default 5.
        first_byte: from the end of the request to the head of the response. Default None: a model may think for long.
        idle: between two pieces of the response, and for room to send the request. Default 60.
        total: for the whole exchange. Default None.

    Raises:
        TypeError, ValueError: a value is not a number of seconds above 0.
    """

    connect: Seconds = 5.0
    first_byte: Seconds = None
    idle: Seconds = 60.0
    total: Seconds = None

    def __post_init__(self) -> None:
        for name in ("connect", "first_byte", "idle", "total"):
            object.__setattr__(self, name, checked_seconds(name, getattr(self, name), zero=False))

    def config(self) -> TimeoutConfig:
        """The timeouts that the pool enforces. The gateway itself limits the waits for the response, since they have
        two limits.
        """
        return TimeoutConfig(
            connect_timeout=self.connect,
            pool_timeout=self.connect,
            write_timeout=self.idle,
            read_timeout=None,
            total_timeout=None,
            min_rate=None,  # every field is set, so that none of the pool's own settings apply
        )

    def whole(self) -> TimeoutConfig:
        """All timeouts, for a pool that enforces them itself."""
        return TimeoutConfig(self.idle, connect_timeout=self.connect, total_timeout=self.total)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one process handles at once; None means no limit.

    Attributes:
        concurrent: requests that may be in progress at once. Default 10,000.
        queue: requests that may wait for others to end; any further request is answered with 503. Default 100.
        queue_wait: seconds that a request may wait in the queue; after that it is answered with 503. Default 1.
        body: greatest length of a request's body, in bytes; a request with a longer one is answered with 413. Default
            None.

    Raises:
        TypeError, ValueError: a value is not a number, or too small.
    """

    concurrent: int | None = 10_000
    queue: int = 100
    queue_wait: float = 1.0
    body: int | None = None

    def __post_init__(self) -> None:
        checked_whole("concurrent", self.concurrent, least=1, optional=True)
        checked_whole("queue", self.queue, least=0)
        checked_finite("queue_wait", self.queue_wait, zero=True)
        checked_whole("body", self.body, least=0, optional=True)


@dataclass(frozen=True, slots=True)
class WebSockets:
    """How WebSockets are forwarded.

    Attributes:
        max_message: greatest length of a message of an upstream, in bytes (for text: in characters). A longer message
            closes both sides with 1009. The messages of a client are limited by the server in front. Default 16 MiB.
        ping_interval: seconds of silence after which an upstream is sent a ping. If it stays silent for as long again,
            its connection is given up, and the client is closed with 1011. Default 20. None: no pings.
        close_timeout: seconds that an upstream has to answer when the client closes. Default 5.

    Raises:
        TypeError, ValueError: a value is not a number, or too small.
    """

    max_message: int = 16 * 1024 * 1024
    ping_interval: Seconds = 20.0
    close_timeout: float = 5.0

    def __post_init__(self) -> None:
        checked_whole("max_message", self.max_message, least=1)
        checked_seconds("ping_interval", self.ping_interval, zero=False)
        checked_finite("close_timeout", self.close_timeout)


def websockets_of(given: bool | WebSockets) -> WebSockets | None:
    """How WebSockets are forwarded; None if they are not.

    Raises:
        TypeError: `given` is neither a bool nor a `WebSockets`.
    """
    if isinstance(given, WebSockets):
        return given
    if not isinstance(given, bool):
        raise TypeError(f"websocket: expected True, False or a WebSockets, got {type(given).__name__}")
    return WebSockets() if given else None


@dataclass(frozen=True, slots=True)
class Health:
    """When an upstream is left out, and when it is used again.

    Attributes:
        path: the path that is requested to check whether an upstream works; a status below 400 means that it does.
            Default None: there are no checks, and only requests show failures.
        interval: seconds between two checks. Default 5.
        timeout: seconds within which a check must be answered. Default 2.
        fall: failed checks in a row after which an upstream is left out. Default 3.
        rise: successful checks in a row after which an upstream is used again. Default 2.
        passive: failed requests in a row after which an upstream is left out. Default 5. None: failed requests do not
            count.
        ejection: seconds for which failed requests exclude an upstream. After that time one more failure excludes it
            again. Default 10.

    Raises:
        TypeError, ValueError: a value is not a number, or too small; a path does not begin with "/".
    """

    path: str | None = None
    interval: float = 5.0
    timeout: float = 2.0
    fall: int = 3
    rise: int = 2
    passive: int | None = 5
    ejection: float = 10.0

    def __post_init__(self) -> None:
        if self.path is not None and not isinstance(self.path, str):
            raise TypeError(f"path: expected a str or None, got {type(self.path).__name__}")
        if self.path is not None and not (self.path.startswith("/") and self.path.isascii()):
            raise ValueError(f'path: expected a path that begins with "/", or None, got {show_value(self.path)}')
        for name in ("interval", "timeout", "ejection"):
            checked_finite(name, getattr(self, name))
        for name in ("fall", "rise"):
            checked_whole(name, getattr(self, name), least=1)
        checked_whole("passive", self.passive, least=1, optional=True)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One server that requests are forwarded to.

    Attributes:
        url: an http or https URL. If it has a path, the path is put before the path of every request.
        weight: the upstream's share of the requests, in relation to the weights of the other upstreams. Default 1.
        http2: True uses only HTTP/2 (over plain http by prior knowledge), False only HTTP/1.1. Default None: what the
            server chooses by ALPN, and HTTP/1.1 over plain http.
        max_connections: greatest number of connections to the upstream. Default None: no limit.
        ssl: the TLS settings for an https upstream, as for a `ConnectionPool`. Default None: certificates are checked
            against certifi's bundle.
        pool: an object that sends the requests in place of a new pool, a `Sender`; `http2`, `max_connections` and `ssl`
            are then ignored. The gateway closes it. Default None.

    Raises:
        TypeError, ValueError: a value has another type, or is not allowed.
        InvalidURL, UnsupportedProtocol: the URL is malformed, or its scheme is neither http nor https.
    """

    url: str
    weight: int = field(default=1, kw_only=True)
    http2: bool | None = field(default=None, kw_only=True)
    max_connections: int | None = field(default=None, kw_only=True)
    ssl: SSLConfig | ssl_module.SSLContext | None = field(default=None, kw_only=True)
    pool: Sender | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.url, str):
            raise TypeError(f"url: expected a str, got {type(self.url).__name__}")
        parsed = URL.parse(self.url)
        if b"?" in parsed.target or parsed.userinfo is not None:
            raise ValueError(f"url: expected neither a query nor a user name, got {parsed.redacted}")
        checked_whole("weight", self.weight, least=1)
        if self.http2 is not None and not isinstance(self.http2, bool):
            raise TypeError(f"http2: expected True, False or None, got {show_value(self.http2)}")
        checked_whole("max_connections", self.max_connections, least=1, optional=True)
        if self.ssl is not None:
            checked_ssl(self.ssl)

    @property
    def name(self) -> str:
        """The URL without its path: the upstream's name in the log and in metrics."""
        return _without_path(self.url)

    @property
    def prefix(self) -> bytes:
        """The path of the URL, as bytes, without a slash at its end."""
        return URL.parse(self.url).target.rstrip(b"/")

    def sender(self) -> Sender:
        """The object that sends requests to it: the given `pool`, or a new one."""
        if self.pool is not None:
            return self.pool
        limits = PoolLimits(max_connections=self.max_connections)
        return ConnectionPool(self.ssl, limits=limits, http1=self.http2 is not True, http2=self.http2 is not False)


def _without_path(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def upstreams_of(given: str | Upstream | Iterable[str | Upstream]) -> tuple[Upstream, ...]:
    """The upstreams as values, at least one.

    Raises:
        TypeError, ValueError: there is none, or one of them is neither a URL nor an `Upstream`.
    """
    listed = (given,) if isinstance(given, (str, Upstream)) else tuple(given)
    if not listed:
        raise ValueError("upstreams: expected at least one, got none")
    for each in listed:
        if not isinstance(each, (str, Upstream)):
            raise TypeError(f"upstreams: expected URLs and Upstream values, got {type(each).__name__}")
    return tuple([each if isinstance(each, Upstream) else Upstream(each) for each in listed])


DEFAULT_TIMEOUTS: Final = Timeouts()
DEFAULT_LIMITS: Final = Limits()
DEFAULT_HEALTH: Final = Health()
