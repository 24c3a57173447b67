"""Mounts: a table of URL patterns selects the transport of each request. The most specific pattern wins."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from .._errors import UnsupportedProtocol, show
from .._message.url import URL
from .._pool.stats import RequestInFlight
from .._public import public
from .base import Transport, TransportRequest, TransportResponse
from .middleware import checked_transport

__all__ = ["Mounts", "Pattern"]

_PATTERN: Final = re.compile(
    r"(?P<scheme>all|https?)(?:://"
    r"(?P<host>\*|(?:\*\.?)?(?:[^\s/?#\\@:*\[\].][^\s/?#\\@:*\[\]]*|\[[0-9A-Fa-f:.]+\]))?"
    r"(?::(?P<port>[0-9]{1,5}))?/?)?"
)
_PORTS: Final = {"http": 80, "https": 443}


class Pattern(NamedTuple):
    """One row's pattern.

    Attributes:
        scheme: "http", "https", or "" for both.
        host: in lower case; "" for all.
        under: "" for the host itself, "." for its subdomains, "*" for both.
        port: None for all.
    """

    scheme: str
    host: str
    under: str
    port: int | None

    @classmethod
    def of(cls, text: object) -> Pattern:
        """Parse the key of a mount.

        Raises:
            ValueError: the key is not a pattern.
        """
        found = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            seen = show(text) if isinstance(text, str) else f"of type {type(text).__name__}"
            raise ValueError(
                f'mounts has the pattern {seen}: expected "http", "https" or "all", then perhaps "://" with a host, '
                '"*.host" (below it), "*host" (it and below) or "*", and perhaps ":" and a port'
            )
        scheme = "" if found["scheme"] == "all" else found["scheme"]
        host = found["host"] or "*"
        under = "." if host.startswith("*.") else "*" if host.startswith("*") else ""
        name = host.lstrip("*").removeprefix(".") if under else host
        port = int(found["port"]) if found["port"] else None
        return cls(scheme, _host(name, str(text)), under, port)

    def matches(self, url: URL) -> bool:
        if self.scheme and self.scheme != url.scheme:
            return False
        if self.port is not None and self.port != url.port:
            return False
        if not self.host:
            return True
        is_below = url.host.endswith(f".{self.host}")
        return {"": url.host == self.host, ".": is_below, "*": is_below or url.host == self.host}[self.under]

    @property
    def order(self) -> tuple[bool, int, bool, bool]:
        """The sort key: the more specific pattern comes first. That is one with a port, then one with a longer host,
        then one without a wildcard, then one with a scheme.
        """
        return self.port is None, -len(self.host), bool(self.under), not self.scheme


def _host(name: str, text: str) -> str:
    """The host as URLs have it: lower case, A-labels, IPv6 without brackets."""
    if not name:
        return ""
    try:
        return URL.parse(f"http://{name}/").host
    except ValueError:
        raise ValueError(f"mounts has the pattern {show(text)}: expected a host that a URL can have") from None


@public
class Mounts(Transport):
    """Passes each request to the transport of the most specific pattern that its URL matches.

        Mounts({"all://www.example.com": transport, "http": HTTPSRedirect(), "all": HTTPTransport()})

    A pattern is a scheme ("http", "https", or "all" for both), optionally followed by "://", a host, and ":" with a
    port. The host "example.com" matches this name, "*.example.com" its subdomains, "*example.com" both, and "*" every
    host. A pattern with a port goes first, then one with a longer host, then one without a wildcard, then one with a
    scheme.

    Arguments:
        mounts: transports by pattern. They are closed with this one.
        transport: for requests that no pattern matches. Default None: such a request is refused.

    Raises:
        TypeError, ValueError: a key is not a pattern, two keys are the same pattern, or a value is not a transport.
        UnsupportedProtocol (from a request): no pattern matches, and `transport` is None.
    """

    def __init__(self, mounts: Mapping[str, Transport], transport: Transport | None = None) -> None:
        if not isinstance(mounts, Mapping):
            raise TypeError(f"mounts is of type {type(mounts).__name__}: expected a mapping of patterns to transports")
        rows: dict[Pattern, Transport] = {}
        for key, value in mounts.items():
            pattern = Pattern.of(key)
            if pattern in rows:
                raise ValueError(f"mounts has the pattern {show(key)} twice: expected each one once")
            rows[pattern] = checked_transport(value, f"mounts[{show(key)}]")
        self._rows = sorted(rows.items(), key=lambda row: row[0].order)
        self._rest = None if transport is None else checked_transport(transport)

    def transport_for(self, url: str | bytes) -> Transport:
        """The transport that requests for `url` go to."""
        return self._choose_transport(URL.parse(url))

    def _choose_transport(self, url: URL) -> Transport:
        for pattern, transport in self._rows:
            if pattern.matches(url):
                return transport
        if self._rest is not None:
            return self._rest
        raise UnsupportedProtocol(f"no mount matches {url.origin}: expected a URL that one of the patterns matches")

    async def handle(self, request: TransportRequest) -> TransportResponse:
        return await self._choose_transport(request.parsed_url()).handle(request)

    def _all_transports(self) -> list[Transport]:
        rest = () if self._rest is None else (self._rest,)
        return list({id(each): each for each in (*[transport for _, transport in self._rows], *rest)}.values())

    def close(self) -> None:
        errors = []
        for transport in self._all_transports():
            try:
                transport.close()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def abort(self) -> None:
        for transport in self._all_transports():
            transport.abort()

    def requests(self) -> list[RequestInFlight]:
        return [request for transport in self._all_transports() for request in transport.requests()]

    async def aclose(self) -> None:
        errors = []
        for transport in self._all_transports():
            try:
                await transport.aclose()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
