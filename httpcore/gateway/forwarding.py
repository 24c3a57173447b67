"""The address of the client for the next hop: X-Forwarded-*, X-Real-IP and Forwarded (RFC 7239). Values in, values out.

What a client says of these is believed only where it is a trusted proxy itself. From any other it is removed, also
under names that differ in `_` alone, since CGI and WSGI cannot tell these apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from .messages import Headers, Scope

__all__ = ["CLAIMS", "WRITTEN", "Networks", "client_of", "is_claim", "is_trusted", "networks_of", "written"]

Networks = tuple[IPv4Network | IPv6Network, ...]
Noted = Mapping[bytes, list[bytes]]

WRITTEN: Final = ("x-forwarded", "forwarded", "x-real-ip")
"""What `forwarded=` may name."""

CLAIMS: Final = frozenset(
    b"forwarded x-real-ip x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-prefix "
    b"x-forwarded-server x-forwarded-ssl x-forwarded-scheme".split()
)
_SCHEMES: Final = {"http": b"http", "https": b"https", "ws": b"http", "wss": b"https"}
_TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")


def is_claim(name: bytes) -> bool:
    """Whether a field, by its name in lower case, says where a request came from."""
    plain = name.replace(b"_", b"-")
    return plain in CLAIMS or plain[:12] == b"x-forwarded-"


def networks_of(given: Sequence[str]) -> Networks:
    """Networks and addresses as values.

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
    return tuple(found)


@lru_cache(1024)
def is_trusted(networks: Networks, address: str) -> bool:
    """Whether an address, as text, is in one of these networks. What is no address is in none."""
    found = _address(address)
    return found is not None and any(found in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip().removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def client_of(peer: str, noted: Noted, networks: Networks) -> str:
    """The client's address: the peer's, or behind trusted proxies the last in X-Forwarded-For that is none of them."""
    if not networks or not is_trusted(networks, peer):
        return peer
    # From the right: each proxy appends the address that it saw, so what stands further left is a claim.
    for given in reversed(b",".join(noted.get(b"x-forwarded-for", ())).split(b",")):
        address = given.strip().decode("latin-1")
        if _address(address) is None:
            break  # from here on the list says nothing that can be checked
        peer = address
        if not is_trusted(networks, address):
            break
    return peer


def written(scope: Scope, host: bytes | None, noted: Noted, trusts: bool, wanted: frozenset[str]) -> Headers:
    """The fields for the upstream, what a trusted proxy said included."""
    headers: Headers = []
    client = scope.get("client")
    peer: bytes = client[0].encode("latin-1", "replace") if client else b""
    scheme = _SCHEMES.get(scope["scheme"], b"http")
    if "x-forwarded" in wanted:
        if trusts:
            _believed(headers, noted, host, scheme, peer)
        else:
            if peer:
                headers.append((b"x-forwarded-for", peer))
            if host:
                headers.append((b"x-forwarded-host", host))
            headers.append((b"x-forwarded-proto", scheme))
    if "forwarded" in wanted:
        before = noted.get(b"forwarded", []) if trusts else []
        headers.append((b"forwarded", b", ".join([*before, _element(peer, host, scheme)])))
    if "x-real-ip" in wanted:
        given = noted.get(b"x-real-ip", []) if trusts else []
        if given or peer:
            headers.append((b"x-real-ip", given[-1] if given else peer))
    if trusts:  # what is not written is handed on as a trusted proxy said it
        mine = {name for name, _ in headers}
        rest = [(name, values) for name, values in noted.items() if is_claim(name) and name not in mine]
        headers += [(name, value) for name, values in rest for value in values]
    return headers


def _believed(headers: Headers, noted: Noted, host: bytes | None, scheme: bytes, peer: bytes) -> None:
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
