"""A low-level HTTP client: one code base for asyncio, trio and threads.

Importing it loads nothing else: a name brings what it needs when it is first asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._backends import current_backend, threads_backend
    from ._backends.base import Backend, Event, SocketOption, Stream, StreamInfo, TLSInfo
    from ._config import PoolLimits, SSLConfig, TimeoutConfig
    from ._connect.contexts import ssl_context
    from ._connect.environment import EnvironmentProxies, proxies_from_environment
    from ._connect.policy import NetworkPolicy
    from ._connect.proxy import Proxy, ProxyChooser
    from ._connect.resolvers import CachingResolver, Resolver
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
        ResponseBusy,
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
    from ._message.body import ReplayableBody
    from ._message.raw import RawStream
    from ._message.response import BodyStream, Informational, Response, ResponseInfo
    from ._pool.pool import ConnectionPool
    from ._pool.retry_policy import RetryPolicy
    from ._pool.stats import OriginStats, PoolStats
    from ._sync import SyncBodyStream, SyncConnectionPool, SyncRawStream, SyncResponse
    from ._trace import (
        CloseReason,
        Connected,
        ConnectionClosed,
        ConnectionOpened,
        ConnectStarted,
        DialFailed,
        DialStarted,
        HeadSent,
        InterimResponse,
        LookupDone,
        LookupStarted,
        RequestCancelled,
        RequestClosed,
        RequestDropped,
        RequestEnded,
        RequestFailed,
        RequestQueued,
        RequestRetried,
        RequestSent,
        RequestStarted,
        ResponseComplete,
        ResponseStarted,
        TLSDone,
        TLSStarted,
        TraceEvent,
        TunnelOpened,
        TunnelStarted,
    )
    from ._transports.asgi import ASGITransport
    from ._transports.base import Transport, TransportRequest, TransportResponse
    from ._transports.extensions import RequestExtensions, ResponseExtensions, SyncResponseExtensions
    from ._transports.faults import Fault, FaultInjection
    from ._transports.hsts import HSTS, HSTSTransport
    from ._transports.limits import ConcurrencyLimit, RateLimit
    from ._transports.middleware import HTTPSOnly, HTTPSOnlyTransport, HTTPSRedirect, Middleware
    from ._transports.mock import MockTransport
    from ._transports.mounts import Mounts
    from ._transports.network import HTTPTransport
    from ._transports.recording import RecordReplay
    from ._transports.retries import Retries
    from ._transports.wsgi import WSGITransport

__version__ = "0.1.0"

__all__ = [
    "ASGITransport",
    "Backend",
    "BodyStream",
    "CachingResolver",
    "ConcurrencyLimit",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionPool",
    "DecodingError",
    "DialStarted",
    "EnvironmentProxies",
    "Event",
    "Fault",
    "FaultInjection",
    "GoAway",
    "HSTS",
    "HSTSTransport",
    "HTTPCoreError",
    "HTTPSOnly",
    "HTTPSOnlyTransport",
    "HTTPSRedirect",
    "HTTPTransport",
    "Informational",
    "InterimResponse",
    "InvalidURL",
    "LimitExceeded",
    "LocalProtocolError",
    "Middleware",
    "MockTransport",
    "Mounts",
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
    "RateLimit",
    "RawStream",
    "ReadError",
    "ReadTimeout",
    "RecordReplay",
    "RemoteProtocolError",
    "ReplayableBody",
    "RequestExtensions",
    "RequestFailed",
    "RequestQueued",
    "RequestRetried",
    "RequestSent",
    "RequestStarted",
    "Resolver",
    "Response",
    "ResponseBusy",
    "ResponseClosed",
    "ResponseComplete",
    "ResponseError",
    "ResponseExtensions",
    "ResponseInfo",
    "ResponseNotRead",
    "ResponseStarted",
    "Retries",
    "RetryPolicy",
    "SSLConfig",
    "SocketOption",
    "Stream",
    "StreamConsumed",
    "StreamInfo",
    "StreamReset",
    "SyncBodyStream",
    "SyncConnectionPool",
    "SyncRawStream",
    "SyncResponse",
    "SyncResponseExtensions",
    "TLSError",
    "TLSInfo",
    "Timeout",
    "TimeoutConfig",
    "TotalTimeout",
    "TraceEvent",
    "Transport",
    "TransportRequest",
    "TransportResponse",
    "UnsupportedProtocol",
    "WSGITransport",
    "WriteError",
    "WriteTimeout",
    "current_backend",
    "proxies_from_environment",
    "ssl_context",
    "threads_backend",
    "CloseReason",
    "ConnectStarted",
    "Connected",
    "DialFailed",
    "HeadSent",
    "LookupDone",
    "LookupStarted",
    "RequestCancelled",
    "RequestEnded",
    "RequestDropped",
    "TLSDone",
    "TLSStarted",
    "TunnelOpened",
    "TunnelStarted",
    "RequestClosed",
]

_WHERE = {
    "_backends": (
        "current_backend",
        "threads_backend",
    ),
    "_backends.base": (
        "Backend",
        "Event",
        "SocketOption",
        "Stream",
        "StreamInfo",
        "TLSInfo",
    ),
    "_config": (
        "PoolLimits",
        "SSLConfig",
        "TimeoutConfig",
    ),
    "_connect.contexts": ("ssl_context",),
    "_connect.environment": (
        "EnvironmentProxies",
        "proxies_from_environment",
    ),
    "_connect.policy": ("NetworkPolicy",),
    "_connect.proxy": (
        "Proxy",
        "ProxyChooser",
    ),
    "_connect.resolvers": (
        "CachingResolver",
        "Resolver",
    ),
    "_errors": (
        "ConnectError",
        "ConnectTimeout",
        "DecodingError",
        "GoAway",
        "HTTPCoreError",
        "InvalidURL",
        "LimitExceeded",
        "LocalProtocolError",
        "NetworkError",
        "PolicyError",
        "PoolClosed",
        "PoolTimeout",
        "ProxyError",
        "ReadError",
        "ReadTimeout",
        "RemoteProtocolError",
        "ResponseBusy",
        "ResponseClosed",
        "ResponseError",
        "ResponseNotRead",
        "StreamConsumed",
        "StreamReset",
        "TLSError",
        "Timeout",
        "TotalTimeout",
        "UnsupportedProtocol",
        "WriteError",
        "WriteTimeout",
    ),
    "_message.body": ("ReplayableBody",),
    "_message.raw": ("RawStream",),
    "_message.response": (
        "BodyStream",
        "Informational",
        "Response",
        "ResponseInfo",
    ),
    "_pool.pool": ("ConnectionPool",),
    "_pool.retry_policy": ("RetryPolicy",),
    "_pool.stats": (
        "OriginStats",
        "PoolStats",
    ),
    "_sync": (
        "SyncBodyStream",
        "SyncConnectionPool",
        "SyncRawStream",
        "SyncResponse",
    ),
    "_trace": (
        "CloseReason",
        "ConnectStarted",
        "Connected",
        "ConnectionClosed",
        "ConnectionOpened",
        "DialFailed",
        "DialStarted",
        "HeadSent",
        "InterimResponse",
        "LookupDone",
        "LookupStarted",
        "RequestCancelled",
        "RequestEnded",
        "RequestFailed",
        "RequestQueued",
        "RequestRetried",
        "RequestSent",
        "RequestStarted",
        "RequestClosed",
        "ResponseComplete",
        "RequestDropped",
        "ResponseStarted",
        "TLSDone",
        "TLSStarted",
        "TraceEvent",
        "TunnelOpened",
        "TunnelStarted",
    ),
    "_transports.asgi": ("ASGITransport",),
    "_transports.base": (
        "Transport",
        "TransportRequest",
        "TransportResponse",
    ),
    "_transports.extensions": (
        "RequestExtensions",
        "ResponseExtensions",
        "SyncResponseExtensions",
    ),
    "_transports.hsts": ("HSTS", "HSTSTransport"),
    "_transports.limits": ("ConcurrencyLimit", "RateLimit"),
    "_transports.retries": ("Retries",),
    "_transports.faults": ("Fault", "FaultInjection"),
    "_transports.recording": ("RecordReplay",),
    "_transports.middleware": (
        "HTTPSOnly",
        "HTTPSOnlyTransport",
        "HTTPSRedirect",
        "Middleware",
    ),
    "_transports.mock": ("MockTransport",),
    "_transports.mounts": ("Mounts",),
    "_transports.network": ("HTTPTransport",),
    "_transports.wsgi": ("WSGITransport",),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # so that `import httpcore` alone imports nothing

    value = getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
