"""The client's address for the next hop: X-Forwarded-*, X-Real-IP and Forwarded (RFC 7239). Values in, values out.

The peer's values of these fields are used only if the peer is a trusted proxy. From any other peer the fields are
removed, and so are names with `_` in place of `-`, since CGI and WSGI cannot distinguish the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from .._errors import show_value
from .._message.fields import Bounded
from .messages import Headers

__all__ = ["CLAIMS", "SCHEMES", "WRITTEN", "Networks", "client_of", "is_claim", "networks_of", "written"]

Noted = Mapping[bytes, list[bytes]]

WRITTEN: Final = ("x-forwarded", "forwarded", "x-real-ip")
"""The values that the argument `forwarded` may have."""

CLAIMS: Final = frozenset(
    b"forwarded x-real-ip x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-prefix "
    b"x-forwarded-server x-forwarded-ssl x-forwarded-scheme".split()
)
SCHEMES: Final = {"http": b"http", "https": b"https", "ws": b"http", "wss": b"https"}
"""The value of X-Forwarded-Proto for each scheme of ASGI."""
_TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


def is_claim(name: bytes) -> bool:
    """Whether a field, by its name in lower case, has the origin of a request."""
    plain = name.replace(b"_", b"-")
    return plain in CLAIMS or plain[:12] == b"x-forwarded-"


class Networks(Bounded[str, bool]):
    """Whether an address, as text, is in one of these networks: `networks[address]`. Text that is no address is in
    none.
    """

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
    """The networks and addresses as one value; None if there are none.

    Raises:
        TypeError, ValueError: an entry is neither a network nor an address.
    """
    if isinstance(given, (str, bytes)):
        raise TypeError(f"trusted_proxies: expected a sequence of networks, got {show_value(given)}")
    found = []
    for text in given:
        try:
            found.append(ip_network(text, strict=False))
        except ValueError:
            message = f'trusted_proxies: expected an address or a network such as "10.0.0.0/8", got {show_value(text)}'
            raise ValueError(message) from None
    return Networks(found) if found else None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip().removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def client_of(peer: str, noted: Noted, networks: Networks | None) -> str:
    """The client's address: that of the peer, or, if the peer is a trusted proxy, the last address in X-Forwarded-For
    that is not a trusted proxy's.
    """
    if networks is None or b"x-forwarded-for" not in noted or not networks[peer]:
        return peer
    # Read from the right: each proxy appends the address of its peer, so an address further left is only a claim.
    for given in reversed(b",".join(noted[b"x-forwarded-for"]).split(b",")):
        address = given.strip().decode("latin-1")
        if _address(address) is None:
            break  # the rest of the list cannot be checked
        peer = address
        if not networks[address]:
            break
    return peer


def written(
    peer: bytes, host: bytes | None, scheme: bytes, wanted: frozenset[str], believed: Noted | None = None
) -> Headers:
    """The fields for the upstream. They extend the fields of a trusted proxy (`believed`)."""
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
    if noted:  # the other fields of a trusted proxy are forwarded unchanged
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
