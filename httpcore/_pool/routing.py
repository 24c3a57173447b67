"""The routes of one pool's requests, and each request as its route needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .._config import SSLConfig
from .._connect.contexts import alpn_of
from .._connect.proxy import Proxy
from .._connect.route import Route, route_to
from .._message.fields import Bounded
from .._message.request import Request

if TYPE_CHECKING:
    import ssl

__all__ = ["Routing"]

_HTTP11: Final = ("http/1.1",)


class Routing:
    """The routes of the requests of one pool.

    Arguments:
        ssl: the TLS settings for https origins, unless a request has its own.
        protocols: the allowed ones, best first.
        proxy: the proxy through which all origins are reached, if there is one.
        choose: a function that returns the proxy for each request, if the pool has one instead of `proxy`.
        uds: the path of the unix socket that replaces host and port, if there is one.
        tunnels: whether proxies tunnel all requests.
    """

    __slots__ = ("_choose", "_known", "_protocols", "_proxy", "_ssl", "_tunnels", "_uds")

    def __init__(
        self,
        ssl: SSLConfig | ssl.SSLContext,
        protocols: tuple[str, ...],
        proxy: Proxy | None,
        choose: Callable[[str, str, int], Proxy | None] | None,
        uds: str | None,
        *,
        tunnels: bool,
    ) -> None:
        self._ssl = ssl
        self._protocols = protocols
        self._proxy = proxy
        self._choose = choose
        self._uds = uds
        self._tunnels = tunnels
        # Known routes by scheme, host and port, used where no other fact decides the route: no proxy, no context that
        # may change, no Upgrade. The keys are parts of a URL that contain no credentials.
        self._known: Bounded[str, Route] | None = None
        if proxy is None and choose is None and isinstance(ssl, SSLConfig):
            self._known = Bounded()

    def of(self, request: Request, ssl: SSLConfig | ssl.SSLContext | None) -> tuple[Request, Route]:
        """The route of the request, and the request as the route needs it. `ssl` is the request's own."""
        known = self._known
        if known is None or ssl is not None or request.upgrade:
            return self._choose_route(request, self._ssl if ssl is None else ssl)
        origin = request.url.origin
        route = known.get(origin)
        if route is None:
            route = self._choose_route(request, self._ssl)[1]
            known.keep(origin, route)
        return request, route

    def _choose_route(self, request: Request, tls: SSLConfig | ssl.SSLContext) -> tuple[Request, Route]:
        offers = self._offers(request, tls)
        proxy = self._proxy
        if self._choose is not None:
            url = request.url
            proxy = self._choose(url.scheme, url.host, url.port)
            if proxy is not None:
                proxy = Proxy.of(proxy)
        if proxy is None:
            if self._choose is not None:
                request.refuse_proxy_authorization("no proxy was chosen for this request")
            return request, route_to(request.url, tls, offers, None, self._uds)
        # After an Upgrade or a CONNECT only one origin can use the connection; a policy (`_tunnels`) must check the
        # address of the origin.
        tunnel = request.upgrade or request.method == b"CONNECT" or self._tunnels
        route = route_to(request.url, tls, offers, proxy, tunnel=tunnel)
        if route.forwards:
            return request.forward(proxy.fields), route
        request.refuse_proxy_authorization("the proxy makes a tunnel for this request")
        return request, route

    def _offers(self, request: Request, tls: SSLConfig | ssl.SSLContext) -> tuple[str, ...]:
        """The protocols that may be used for this request, best first."""
        offers = self._protocols
        if len(offers) == 1:
            return offers
        if request.upgrade or request.url.scheme == "http":  # HTTP/2 has no Upgrade
            return _HTTP11
        if isinstance(tls, SSLConfig):
            return offers if tls.alpn is None else tuple(name for name in tls.alpn if name in offers) or offers
        return tuple(offer for offer in alpn_of(tls) if offer in offers) or offers
