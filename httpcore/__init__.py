"""An HTTP client: one code base for asyncio, trio and threads, HTTP/1.1 and HTTP/2.

    import httpcore

    httpcore.get("https://www.example.org/").text  # a single request
    with httpcore.Client() as client:  # several requests; `async with httpcore.AsyncClient()` in asyncio and trio
        client.post("https://www.example.org/", json={"a": 1}).raise_for_status()

Where to begin, by task:

    redirects, cookies, authentication, text    Client, AsyncClient, TrioClient
    sending a request exactly as given, as bytes    SyncConnectionPool, ConnectionPool
    requests to an app, a mock, or another transport    HTTPTransport, ASGITransport, WSGITransport, MockTransport
    settings    TimeoutConfig, SSLConfig, PoolLimits, RetryPolicy, Proxy, NetworkPolicy
    errors    HTTPCoreError is the base of all; Timeout, NetworkError, ResponseError
    tests without a network    httpcore.testing
    a reverse proxy    httpcore.gateway

Importing this package loads nothing else: a name loads the code that it needs when it is first used.
"""

from __future__ import annotations

# Type checkers take this as True. It is not the literal False, because jedi (Spyder, python-lsp, vim, Emacs) would
# believe it and complete no names. It is not imported from `typing`, so that the import loads no other module.
TYPE_CHECKING = bool(0)
if TYPE_CHECKING:
    from ._backends import current_backend, threads_backend
    from ._backends.base import Backend, Event, SocketOption, Stream, StreamInfo, TLSInfo
    from ._certificate import Certificate
    from ._client.auth import Auth, BasicAuth, BearerAuth, DigestAuth, NetrcAuth
    from ._client.client import AsyncClient, Client, TrioClient
    from ._client.cookies import CookieConflict, Cookies
    from ._client.delivery import Progress
    from ._client.functions import delete, get, head, options, patch, post, put, query, request
    from ._client.headers import Headers
    from ._client.multipart import Multipart
    from ._client.options import RequestOptions, SendOptions
    from ._client.query_params import QueryParams
    from ._client.request import Request
    from ._client.response import AsyncClientResponse, ClientResponse, HTTPStatusError
    from ._client.set_cookie import Cookie
    from ._client.urls import URL, Origin
    from ._config import UNSET, CertTypes, PoolLimits, SSLConfig, SSLTypes, TimeoutConfig, TimeoutTypes, Unset
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
        ReadTooSlow,
        RedirectBodyUnavailable,
        RedirectError,
        RedirectLoop,
        RemoteProtocolError,
        ResponseBusy,
        ResponseClosed,
        ResponseError,
        ResponseNotRead,
        StreamConsumed,
        StreamReset,
        Timeout,
        TLSError,
        TooManyRedirects,
        TotalTimeout,
        UnsupportedProtocol,
        WriteError,
        WriteTimeout,
        WriteTooSlow,
    )
    from ._faces import AnyPool, AnyResponse
    from ._message.body import BodyTypes, ReplayableBody, SyncBodyTypes
    from ._message.raw import RawStream
    from ._message.request import HeaderTypes, TrailerTypes
    from ._message.response import BodyStream, Informational, Response, ResponseInfo
    from ._message.rules import Leniency
    from ._pool.pool import ConnectionPool
    from ._pool.retry_policy import RetryPolicy
    from ._pool.stats import OriginStats, PoolStats, PoolTotals, RequestInFlight, TimeoutTotals
    from ._sync import SyncBodyStream, SyncConnectionPool, SyncRawStream, SyncResponse, run_sync
    from ._timing import RequestTiming, TimeSpan
    from ._trace import (
        CloseReason,
        Connected,
        ConnectionClosed,
        ConnectionOpened,
        ConnectStarted,
        DialFailed,
        DialStarted,
        EngineDifference,
        HeadSent,
        InterimResponse,
        LookupDone,
        LookupStarted,
        RequestCancelled,
        RequestClosed,
        RequestDropped,
        RequestEnded,
        RequestFailed,
        RequestPhase,
        RequestQueued,
        RequestRetried,
        RequestSent,
        RequestStarted,
        ResponseComplete,
        ResponseStarted,
        ResponseUnusual,
        TLSDone,
        TLSStarted,
        Trace,
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

__version__ = "2.0.0"

__all__ = [
    "ASGITransport",
    "AnyPool",
    "AnyResponse",
    "AsyncClient",
    "AsyncClientResponse",
    "Auth",
    "Backend",
    "BasicAuth",
    "BearerAuth",
    "BodyStream",
    "BodyTypes",
    "CachingResolver",
    "CertTypes",
    "Certificate",
    "Client",
    "ClientResponse",
    "ConcurrencyLimit",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionPool",
    "Cookie",
    "CookieConflict",
    "Cookies",
    "DecodingError",
    "DialStarted",
    "DigestAuth",
    "EngineDifference",
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
    "HTTPStatusError",
    "HTTPTransport",
    "HeaderTypes",
    "Headers",
    "Informational",
    "InterimResponse",
    "InvalidURL",
    "Leniency",
    "LimitExceeded",
    "LocalProtocolError",
    "Middleware",
    "MockTransport",
    "Mounts",
    "Multipart",
    "NetrcAuth",
    "NetworkError",
    "NetworkPolicy",
    "Origin",
    "OriginStats",
    "PolicyError",
    "PoolClosed",
    "PoolLimits",
    "PoolStats",
    "RequestInFlight",
    "RequestPhase",
    "PoolTimeout",
    "PoolTotals",
    "Progress",
    "Proxy",
    "ProxyChooser",
    "ProxyError",
    "QueryParams",
    "RateLimit",
    "RawStream",
    "ReadError",
    "ReadTimeout",
    "ReadTooSlow",
    "RecordReplay",
    "RedirectBodyUnavailable",
    "RedirectError",
    "RedirectLoop",
    "RemoteProtocolError",
    "ReplayableBody",
    "Request",
    "RequestExtensions",
    "RequestFailed",
    "RequestOptions",
    "RequestQueued",
    "RequestRetried",
    "RequestSent",
    "RequestStarted",
    "RequestTiming",
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
    "ResponseUnusual",
    "Retries",
    "RetryPolicy",
    "SSLConfig",
    "SSLTypes",
    "SendOptions",
    "SocketOption",
    "Stream",
    "StreamConsumed",
    "StreamInfo",
    "StreamReset",
    "SyncBodyStream",
    "SyncBodyTypes",
    "SyncConnectionPool",
    "SyncRawStream",
    "SyncResponse",
    "SyncResponseExtensions",
    "TLSError",
    "TLSInfo",
    "Timeout",
    "TimeSpan",
    "TimeoutConfig",
    "TimeoutTotals",
    "TimeoutTypes",
    "TooManyRedirects",
    "TotalTimeout",
    "Trace",
    "TraceEvent",
    "TrailerTypes",
    "Transport",
    "TransportRequest",
    "TransportResponse",
    "UNSET",
    "Unset",
    "TrioClient",
    "URL",
    "UnsupportedProtocol",
    "WSGITransport",
    "WriteError",
    "WriteTimeout",
    "WriteTooSlow",
    "current_backend",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "proxies_from_environment",
    "put",
    "query",
    "request",
    "run_sync",
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
    "_certificate": ("Certificate",),
    "_client.auth": (
        "Auth",
        "BasicAuth",
        "BearerAuth",
        "DigestAuth",
        "NetrcAuth",
    ),
    "_client.client": (
        "AsyncClient",
        "Client",
        "TrioClient",
    ),
    "_client.set_cookie": ("Cookie",),
    "_client.cookies": (
        "CookieConflict",
        "Cookies",
    ),
    "_client.delivery": ("Progress",),
    "_client.functions": (
        "delete",
        "get",
        "head",
        "options",
        "patch",
        "post",
        "put",
        "query",
        "request",
    ),
    "_client.headers": ("Headers",),
    "_client.multipart": ("Multipart",),
    "_client.options": (
        "RequestOptions",
        "SendOptions",
    ),
    "_client.request": ("Request",),
    "_client.response": (
        "AsyncClientResponse",
        "ClientResponse",
        "HTTPStatusError",
    ),
    "_client.query_params": ("QueryParams",),
    "_client.urls": ("URL", "Origin"),
    "_config": (
        "UNSET",
        "CertTypes",
        "PoolLimits",
        "SSLConfig",
        "SSLTypes",
        "TimeoutConfig",
        "TimeoutTypes",
        "Unset",
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
        "ReadTooSlow",
        "RedirectBodyUnavailable",
        "RedirectError",
        "RedirectLoop",
        "RemoteProtocolError",
        "ResponseBusy",
        "ResponseClosed",
        "ResponseError",
        "ResponseNotRead",
        "StreamConsumed",
        "StreamReset",
        "TLSError",
        "Timeout",
        "TooManyRedirects",
        "TotalTimeout",
        "UnsupportedProtocol",
        "WriteError",
        "WriteTimeout",
        "WriteTooSlow",
    ),
    "_faces": (
        "AnyPool",
        "AnyResponse",
    ),
    "_message.body": (
        "BodyTypes",
        "ReplayableBody",
        "SyncBodyTypes",
    ),
    "_message.raw": ("RawStream",),
    "_message.request": (
        "HeaderTypes",
        "TrailerTypes",
    ),
    "_message.response": (
        "BodyStream",
        "Informational",
        "Response",
        "ResponseInfo",
    ),
    "_message.rules": ("Leniency",),
    "_pool.pool": ("ConnectionPool",),
    "_pool.retry_policy": ("RetryPolicy",),
    "_pool.stats": (
        "OriginStats",
        "PoolStats",
        "PoolTotals",
        "TimeoutTotals",
        "RequestInFlight",
    ),
    "_sync": (
        "SyncBodyStream",
        "SyncConnectionPool",
        "SyncRawStream",
        "SyncResponse",
        "run_sync",
    ),
    "_timing": (
        "RequestTiming",
        "TimeSpan",
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
        "EngineDifference",
        "InterimResponse",
        "LookupDone",
        "LookupStarted",
        "RequestCancelled",
        "RequestEnded",
        "RequestFailed",
        "RequestPhase",
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
        "ResponseUnusual",
        "Trace",
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


# Names of other libraries, and the names that they have here.
_ELSEWHERE = {
    "AsyncBaseTransport": "Transport",
    "AsyncConnectionPool": "ConnectionPool",
    "AsyncHTTPConnection": "ConnectionPool",
    "AsyncHTTPTransport": "HTTPTransport",
    "AsyncNetworkBackend": "Backend",
    "AsyncResponse": "Response",
    "AsyncSession": "AsyncClient",
    "BaseTransport": "Transport",
    "ClientSession": "AsyncClient",
    "ClientTimeout": "TimeoutConfig",
    "HTTPConnection": "SyncConnectionPool",
    "HTTPConnectionPool": "SyncConnectionPool",
    "HTTPError": "HTTPCoreError",
    "Limits": "PoolLimits",
    "MockBackend": "testing.Simulation",
    "NetworkBackend": "Backend",
    "PoolManager": "SyncConnectionPool",
    "RequestError": "HTTPCoreError",
    "RequestException": "HTTPCoreError",
    "Retry": "RetryPolicy",
    "SSLContext": "ssl_context",
    "Session": "Client",
    "TimeoutException": "Timeout",
    "create_ssl_context": "ssl_context",
    "exceptions": "HTTPCoreError",
    "stream": "Client",
}

if not TYPE_CHECKING:  # if type checkers saw it, they would accept each misspelt name

    def __getattr__(name):
        if name not in _MODULE:
            text = f"module {__name__!r} has no attribute {name!r}"
            if name not in _ELSEWHERE:
                raise AttributeError(text)
            # `obj` is not the module: Python would search it for a similar name and suggest that.
            raise AttributeError(f"{text}: use httpcore.{_ELSEWHERE[name]}", name=name, obj=None)
        from importlib import import_module  # so that `import httpcore` alone imports nothing

        value = getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
