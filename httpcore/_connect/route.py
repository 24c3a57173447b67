"""How to get to an origin, as one value; requests with equal routes may share a connection.

Everything that affects a connection and may differ between two requests of one pool is a field here. Settings that are
the same for all connections of a pool (`Network`) need not be part of a route.

An `SSLContext` of the caller is compared by identity and by its current demands. The caller may change it between two
requests, and a connection that was made before the context became stricter must not serve later requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._address import bracketed
from .._config import Demands, SSLConfig, demands_of
from .._message.url import URL
from .proxy import Proxy

if TYPE_CHECKING:
    import ssl

__all__ = ["Route", "route_to"]


class Route(NamedTuple):
    """The destination of a connection, and its path. `Dial` follows it: a connection to the proxy or the origin, TLS
    with the proxy, the tunnel, TLS with the origin; each if it is needed.

    Attributes:
        scheme, host, port: those of the origin, or of the proxy, if the proxy `forwards`.
        tls: None for plain http; a context that the caller made is compared by identity, and by `demands`.
        offers: the possible protocols, best first, by their ALPN names: "h2", "http/1.1". TLS agrees on one of them;
            without TLS the first is used.
        proxy: the proxy to which the connection is made instead of to the origin.
        forwards: whether the proxy gets the requests themselves, for any http origins (absolute-form, RFC 9112, 3.2.2).
        uds: path of the unix domain socket to which the connection is made instead of to host and port.
        demands: the demands of the caller's contexts, for the origin and for the proxy, when the request was made. None
            where there are no such contexts.
    """

    scheme: str
    host: str
    port: int
    tls: SSLConfig | ssl.SSLContext | None
    offers: tuple[str, ...] = ("http/1.1",)
    proxy: Proxy | None = None
    forwards: bool = False
    uds: str | None = None
    demands: tuple[Demands, Demands] | None = None

    @property
    def authority(self) -> str:
        """Host and port, always both, as the target of CONNECT."""
        host = bracketed(self.host)
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def route_to(
    url: URL,
    tls: SSLConfig | ssl.SSLContext,
    offers: tuple[str, ...],
    proxy: Proxy | None = None,
    uds: str | None = None,
    *,
    tunnel: bool = False,
) -> Route:
    """The route of a request. `tunnel`: whether the request needs a connection to the origin alone, even where a proxy
    could forward it."""
    forwards = proxy is not None and proxy.is_http and url.scheme == "http" and not (tunnel or proxy.tunnel)
    if forwards and "http/1.1" in offers:
        assert proxy is not None
        route = Route(proxy.scheme, proxy.host, proxy.port, None, ("http/1.1",), proxy, True)
    else:
        with_origin = tls if url.scheme == "https" else None
        route = Route(url.scheme, url.host, url.port, with_origin, offers, proxy, False, uds)
        if proxy is None and (with_origin is None or isinstance(with_origin, SSLConfig)):
            return route  # the usual case
    # A context is mutable, and a key must not change: the context's current demands are copied into the route.
    demands = (demands_of(route.tls), () if proxy is None else demands_of(proxy.ssl))
    return route._replace(demands=demands) if any(demands) else route
