"""How to get to an origin, as one value; connections with equal routes may be shared.

Everything that affects a connection and may differ between two requests of one pool is a field here. Settings of all
of a pool's connections (`Network`) need not be.

A context of the caller's is compared by identity and by what it demands now: it may be changed between two requests,
and what was connected before it became stricter must not serve those after.
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
    """Where to, and how. `Dial` walks it: to the proxy or the origin, TLS with the proxy, the tunnel, TLS with the
    origin; each if there is such a thing.

    Attributes:
        scheme, host, port: of the origin; of the proxy, if that `forwards`.
        tls: None for plain http; a context that the caller made counts by identity, and by `demands`.
        offers: what may be spoken there, best first, in the words of ALPN: "h2", "http/1.1". TLS agrees on one of them;
            without it the first is spoken.
        proxy: what is connected to instead.
        forwards: the proxy gets the requests themselves, for whatever http origins (absolute-form, RFC 9112, 3.2.2).
        uds: path of the unix domain socket that is connected to instead.
        demands: what the caller's contexts demanded, for the origin and for the proxy, when the request was made. None
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
        """Host and port, always both: the target of CONNECT."""
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
    """`tunnel`: this request is for the origin alone, also where a proxy would forward it."""
    forwards = proxy is not None and proxy.is_http and url.scheme == "http" and not (tunnel or proxy.tunnel)
    if forwards and "http/1.1" in offers:
        assert proxy is not None
        route = Route(proxy.scheme, proxy.host, proxy.port, None, ("http/1.1",), proxy, True)
    else:
        with_origin = tls if url.scheme == "https" else None
        route = Route(url.scheme, url.host, url.port, with_origin, offers, proxy, False, uds)
        if proxy is None and (with_origin is None or isinstance(with_origin, SSLConfig)):
            return route  # as nearly always
    # A context is mutable, and a key must not change: what it demands now is copied into the route.
    demands = (demands_of(route.tls), () if proxy is None else demands_of(proxy.ssl))
    return route._replace(demands=demands) if any(demands) else route
