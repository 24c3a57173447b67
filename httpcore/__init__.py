"""A low-level HTTP client: one code base for asyncio, trio and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._body import ReplayableBody
from ._config import PoolLimits, SSLConfig, TimeoutConfig
from ._errors import (
    ConnectError,
    ConnectTimeout,
    DecodingError,
    GoAway,
    HTTPCoreError,
    InvalidURL,
    LimitExceeded,
    LocalProtocolError,
    NetworkError,
    PolicyError,
    PoolClosed,
    PoolTimeout,
    ProxyError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    ResponseClosed,
    ResponseError,
    ResponseNotRead,
    StreamConsumed,
    StreamReset,
    Timeout,
    TLSError,
    TotalTimeout,
    UnsupportedProtocol,
    WriteError,
    WriteTimeout,
)
from ._ledger import OriginStats, PoolStats
from ._network import CachingResolver, Resolver
from ._policy import NetworkPolicy
from ._pool import ConnectionPool
from ._proxy import Proxy, ProxyChooser
from ._response import BodyStream, Informational, Response, ResponseInfo
from ._trace import (
    ConnectionClosed,
    ConnectionOpened,
    DialStarted,
    InterimResponse,
    RequestFailed,
    RequestQueued,
    RequestRetried,
    RequestSent,
    RequestStarted,
    ResponseComplete,
    ResponseStarted,
    TraceEvent,
)
from ._wire.raw import RawStream

if TYPE_CHECKING:
    from ._contexts import ssl_context
    from ._environment import EnvironmentProxies, proxies_from_environment
    from ._sync import SyncBodyStream, SyncConnectionPool, SyncRawStream, SyncResponse

__version__ = "0.1.0"

__all__ = [
    "BodyStream",
    "CachingResolver",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionPool",
    "DecodingError",
    "DialStarted",
    "EnvironmentProxies",
    "GoAway",
    "HTTPCoreError",
    "Informational",
    "InterimResponse",
    "InvalidURL",
    "LimitExceeded",
    "LocalProtocolError",
    "NetworkError",
    "NetworkPolicy",
    "OriginStats",
    "PolicyError",
    "PoolClosed",
    "PoolLimits",
    "PoolStats",
    "PoolTimeout",
    "Proxy",
    "ProxyChooser",
    "ProxyError",
    "RawStream",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "ReplayableBody",
    "RequestFailed",
    "RequestQueued",
    "RequestRetried",
    "RequestSent",
    "RequestStarted",
    "Resolver",
    "Response",
    "ResponseClosed",
    "ResponseComplete",
    "ResponseError",
    "ResponseInfo",
    "ResponseNotRead",
    "ResponseStarted",
    "SSLConfig",
    "StreamConsumed",
    "StreamReset",
    "SyncBodyStream",
    "SyncConnectionPool",
    "SyncRawStream",
    "SyncResponse",
    "TLSError",
    "Timeout",
    "TimeoutConfig",
    "TotalTimeout",
    "TraceEvent",
    "UnsupportedProtocol",
    "WriteError",
    "WriteTimeout",
    "proxies_from_environment",
    "ssl_context",
]

# Loaded when they are first asked for: the world of threads brings `socket`, TLS brings `ssl`.
_LAZY = {
    "SyncConnectionPool": "_sync",
    "SyncResponse": "_sync",
    "SyncBodyStream": "_sync",
    "SyncRawStream": "_sync",
    "ssl_context": "_contexts",
    "EnvironmentProxies": "_environment",
    "proxies_from_environment": "_environment",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
