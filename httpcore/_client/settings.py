"""The settings of a client: the checked arguments, the defaults, and the settings of the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from .. import __version__
from .._config import UNSET, PoolLimits, SSLConfig, TimeoutConfig, Unset, checked_size
from .._connect.environment import proxies_from_environment
from .._errors import LocalProtocolError, show_value
from .._exact import names_of
from .._message.decoders import supported_codings
from .._message.fields import is_token
from .._pool.pool import ConnectionPool
from .._sync import SyncConnectionPool
from .._transports.base import Transport
from .._transports.mounts import Mounts
from .._transports.network import HTTPTransport
from .auth import AuthTypes, auth_of
from .cookies import Cookies, CookieTypes
from .headers import CREDENTIALS, Headers, HeaderTypes
from .options import Hooks, checked_hooks
from .query_params import QueryParams, QueryParamTypes
from .request import pairs_of
from .session import Settings
from .urls import URL, URLTypes

if TYPE_CHECKING:
    import ssl as ssl_module

    from .._connect.proxy import Proxy, ProxyChooser
    from .._trace import Trace
    from .text import DefaultEncoding

__all__ = ["check_unknown", "settings_of"]

# Keywords of other clients and of our own pools, each with the argument that has the same meaning here.
_OTHER_NAMES: Final = {
    "cert": "ssl=SSLConfig(cert=...)",
    "follow_redirects": "allow_redirects= of a request",
    "allow_redirects": "allow_redirects= of a request",
    "limits": "pool_limits=PoolLimits(...)",
    "params": "query_params=...",
    "proxies": "proxy=... or mounts={...}",
    "verify": "ssl=SSLConfig(verify=...)",
}

_PROXY_VARIABLES: Final = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_UNTRUSTING: Final = SSLConfig(trust_env=False)


def settings_of(
    ssl: SSLConfig | ssl_module.SSLContext | None,
    timeout: TimeoutConfig | float | Unset | None,
    pool_limits: PoolLimits | None,
    max_redirects: int,
    *,
    transport: Transport | None,
    dispatch: Transport | ConnectionPool | SyncConnectionPool | None,
    mounts: Mapping[str, Transport] | None,
    proxy: Proxy | ProxyChooser | str | bytes | None,
    auth: AuthTypes | None,
    cookies: CookieTypes,
    headers: HeaderTypes,
    base_url: URLTypes,
    query_params: QueryParamTypes | None,
    max_body: int | Unset | None,
    trust_env: bool,
    event_hooks: Hooks | None,
    default_encoding: DefaultEncoding,
    sensitive_headers: Iterable[str],
    trace: Trace | None,
) -> Settings:
    """The arguments of a client, checked."""
    config = None if timeout is UNSET else TimeoutConfig.of(timeout)
    given = _transport(transport, dispatch)
    if given is not None:
        _check_alone(ssl=ssl, pool_limits=pool_limits, proxy=proxy, trace=trace)
    else:
        given = _network(ssl, config, pool_limits, proxy, trust_env, trace)
        if config is not None and config.total_timeout is None:
            config = None  # the transport applies these timeouts
    if mounts is not None:
        given = Mounts(mounts, given)
        config = None if timeout is UNSET else TimeoutConfig.of(timeout)
    return Settings(
        given,
        config,
        _checked_count(max_redirects),
        CREDENTIALS | _names(sensitive_headers) if sensitive_headers else CREDENTIALS,
        auth_of(auth),
        cookies if isinstance(cookies, Cookies) else Cookies(cookies),
        _headers(headers),
        URL(base_url) if base_url else None,
        None if query_params is None else QueryParams(query_params),
        checked_size("max_body", max_body),
        trust_env,
        checked_hooks(event_hooks),
        default_encoding,
    )


def check_unknown(arguments: Iterable[str]) -> None:
    """Refuse a keyword argument that a client does not have, and name the argument with that meaning.

    Raises:
        TypeError: `arguments` is not empty.
    """
    for name in arguments:
        if name in (HTTPTransport.__init__.__kwdefaults__ or ()) and name not in _OTHER_NAMES:
            expected = f"expected transport=HTTPTransport({name}=...)"
        else:
            expected = f"expected {_OTHER_NAMES[name]}" if name in _OTHER_NAMES else "see help(httpcore.Client)"
        raise TypeError(f"unexpected keyword argument {name!r} of a client: {expected}")


def _transport(
    transport: Transport | None, dispatch: Transport | ConnectionPool | SyncConnectionPool | None
) -> Transport | None:
    if dispatch is None:
        if transport is not None and not isinstance(transport, Transport):
            raise TypeError(f"transport is of type {type(transport).__name__}: expected a Transport")
        return transport
    if transport is not None:
        raise TypeError("transport and dispatch are the same argument: expected one of them")
    if isinstance(dispatch, (ConnectionPool, SyncConnectionPool)):
        return HTTPTransport(pool=dispatch)
    if not isinstance(dispatch, Transport):
        raise TypeError(f"dispatch is of type {type(dispatch).__name__}: expected a Transport or a pool")
    return dispatch


def _check_alone(**others: object) -> None:
    beside = [name for name, value in others.items() if value is not None]
    if beside:
        raise ValueError(
            f"{' and '.join(beside)} cannot be combined with transport: expected the setting in "
            "HTTPTransport(...), or no transport"
        )


def _network(
    ssl: SSLConfig | ssl_module.SSLContext | None,
    timeout: TimeoutConfig | None,
    limits: PoolLimits | None,
    proxy: Proxy | ProxyChooser | str | bytes | None,
    trust_env: bool,
    trace: Trace | None,
) -> HTTPTransport:
    options: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
    if ssl is None and not trust_env:
        ssl = _UNTRUSTING
    if proxy is None and trust_env and not os.environ.keys().isdisjoint(_PROXY_VARIABLES):
        proxy = proxies_from_environment()
    return HTTPTransport(ssl, limits=limits, proxy=proxy, trace=trace, **options)


def _checked_count(max_redirects: object) -> int:
    if isinstance(max_redirects, bool) or not isinstance(max_redirects, int):
        raise TypeError(f"max_redirects is {show_value(max_redirects)}: expected a whole number")
    if max_redirects < 0:
        raise ValueError(f"max_redirects is {show_value(max_redirects)}: expected a number from 0 up")
    return max_redirects


def _names(names: Iterable[str]) -> frozenset[bytes]:
    found = frozenset(name.encode("latin-1", "replace").lower() for name in names_of("sensitive_headers", names))
    for name in found:
        if not is_token(name):
            raise LocalProtocolError(f"sensitive_headers has {show_value(name)}: expected names of header fields")
    return found


@cache
def _defaults() -> tuple[tuple[bytes, bytes], ...]:
    codings = ", ".join(supported_codings()).encode()
    agent = f"python-httpcore/{__version__}".encode()
    return ((b"User-Agent", agent), (b"Accept", b"*/*"), (b"Accept-Encoding", codings))


def _headers(headers: HeaderTypes) -> Headers:
    """The fields of the caller, after the defaults for names that are not among them."""
    given = pairs_of(headers) if headers else []
    names = {name.lower() for name, _ in given}
    return Headers.received([*[pair for pair in _defaults() if pair[0].lower() not in names], *given])
