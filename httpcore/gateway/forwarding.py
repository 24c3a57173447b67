"""The address of the client for the next hop: X-Forwarded-*, X-Real-IP and Forwarded (RFC 7239). Values in, values out.

A client's own values of these are used only if it is a trusted proxy. From any other it is removed, also
under names that differ in `_` alone, since CGI and WSGI cannot tell these apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from .._message.fields import Bounded
from .messages import Headers

__all__ = ["CLAIMS", "SCHEMES", "WRITTEN", "Networks", "client_of", "is_claim", "networks_of", "written"]

Noted = Mapping[bytes, list[bytes]]

WRITTEN: Final = ("x-forwarded", "forwarded", "x-real-ip")
"""What `forwarded=` may name."""

CLAIMS: Final = frozenset(
    b"forwarded x-real-ip x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-prefix "
    b"x-forwarded-server x-forwarded-ssl x-forwarded-scheme".split()
)
SCHEMES: Final = {"http": b"http", "https": b"https", "ws": b"http", "wss": b"https"}
"""As X-Forwarded-Proto names those of ASGI."""
_TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


def is_claim(name: bytes) -> bool:
    """Whether a field, by its name in lower case, says where a request came from."""
    plain = name.replace(b"_", b"-")
    return plain in CLAIMS or plain[:12] == b"x-forwarded-"


class Networks(Bounded[str, bool]):
    """Whether an address, as text, is in one of these networks: `networks[address]`. What is no address is in none."""

    _LONGEST: Final = 64

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = tuple(networks)

    def __missing__(self, address: str) -> bool:
        found = _address(address)
        is_in = found is not None and any(found in network for network in self._networks)
        if len(address) <= self._LONGEST:
            self.keep(address, is_in)
        return is_in


def networks_of(given: Sequence[str]) -> Networks | None:
    """Networks and addresses as values; None where there are none.

    Raises:
        TypeError, ValueError: one of them is neither.
    """
    if isinstance(given, (str, bytes)):
        raise TypeError(f"trusted_proxies: expected a sequence of networks, got {given!r}")
    found = []
    for text in given:
        try:
            found.append(ip_network(text, strict=False))
        except ValueError:
            message = f'trusted_proxies: expected an address or a network such as "10.0.0.0/8", got {text!r}'
            raise ValueError(message) from None
    return Networks(found) if found else None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip().removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def client_of(peer: str, noted: Noted, networks: Networks | None) -> str:
    """The client's address: the peer's, or behind trusted proxies the last in X-Forwarded-For that is none of them."""
    if networks is None or b"x-forwarded-for" not in noted or not networks[peer]:
        return peer
    # From the right: each proxy appends the address that it saw, so what stands further left is a claim.
    for given in reversed(b",".join(noted[b"x-forwarded-for"]).split(b",")):
        address = given.strip().decode("latin-1")
        if _address(address) is None:
            break  # from here on the list says nothing that can be checked
        peer = address
        if not networks[address]:
            break
    return peer


def written(
    peer: bytes, host: bytes | None, scheme: bytes, wanted: frozenset[str], believed: Noted | None = None
) -> Headers:
    """The fields for the upstream, and what a trusted proxy said (`believed`)."""
    headers: Headers = []
    noted: Noted = believed or {}
    if "x-forwarded" in wanted:
        _continued(headers, noted, host, scheme, peer)
    if "forwarded" in wanted:
        headers.append((b"forwarded", b", ".join([*noted.get(b"forwarded", ()), _element(peer, host, scheme)])))
    if "x-real-ip" in wanted:
        given = noted.get(b"x-real-ip", ())
        if given or peer:
            headers.append((b"x-real-ip", given[-1] if given else peer))
    if noted:  # what is not written is handed on as a trusted proxy said it
        mine = {name for name, _ in headers}
        rest = [(name, values) for name, values in noted.items() if is_claim(name) and name not in mine]
        headers += [(name, value) for name, values in rest for value in values]
    return headers


def _continued(headers: Headers, noted: Noted, host: bytes | None, scheme: bytes, peer: bytes) -> None:
    chain = [*noted.get(b"x-forwarded-for", ()), *([peer] if peer else ())]
    if chain:
        headers.append((b"x-forwarded-for", b", ".join(chain)))
    hosts = noted.get(b"x-forwarded-host") or ([host] if host else [])
    headers += [(b"x-forwarded-host", value) for value in hosts]
    headers += [(b"x-forwarded-proto", value) for value in noted.get(b"x-forwarded-proto") or [scheme]]


def _element(peer: bytes, host: bytes | None, scheme: bytes) -> bytes:
    """One element of Forwarded (RFC 7239, section 4)."""
    node = b'"[%b]"' % peer if b":" in peer else peer or b"unknown"
    named = b"" if not host else b";host=" + (host if _TOKEN.fullmatch(host) else b'"%b"' % host)
    return b"for=%b%b;proto=%b" % (node, named, scheme)
