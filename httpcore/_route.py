"""How to get to an origin, as one value; connections with equal routes may be shared.

Everything that affects a connection and may differ between two requests of one pool is a field here. What is the same
for all of a pool's connections need not be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._config import SSLConfig
from ._url import URL

if TYPE_CHECKING:
    import ssl

__all__ = ["Route", "route_to"]


class Route(NamedTuple):
    """Where to, and how.

    Attributes:
        tls: None for plain http; a context that the caller made counts by identity.
        offers: what may be spoken there, best first, in the words of ALPN: "h2", "http/1.1". TLS agrees on one of them;
            without it the first is spoken.
    """

    scheme: str
    host: str
    port: int
    tls: SSLConfig | ssl.SSLContext | None
    offers: tuple[str, ...] = ("http/1.1",)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def route_to(url: URL, tls: SSLConfig | ssl.SSLContext, offers: tuple[str, ...]) -> Route:
    return Route(url.scheme, url.host, url.port, tls if url.scheme == "https" else None, offers)
