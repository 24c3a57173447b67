"""IP addresses and `host:port` as text: all code reads and writes them by these functions.

A policy, NO_PROXY, a proxy and a socket must use the same address, however it is spelled. So one function reads an
address, and each address is written in its one canonical spelling. This module is in the lowest layer because backends
and everything above them need it. `ipaddress` is loaded when the first address is read: importing it takes longer than
the rest of a small program's start.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from ._exact import exact_str

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    IPAddress = IPv4Address | IPv6Address

__all__ = ["bracketed", "canonical", "canonical_bytes", "host_port", "is_address", "read_address", "without_zone"]


def is_address(host: str) -> bool:
    """Whether the host of a checked URL is an IP address. `URL.parse` accepts no name that ends in a number."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def _library() -> ModuleType:
    import ipaddress  # the first pool loads it (`_pool.loaded`), and `import httpcore` stays light

    return ipaddress


def read_address(text: str) -> IPAddress | None:
    """Return the address in `text`, or None if it is no address. A zone identifier (RFC 4007) is left out: it names an
    interface of this machine and is not part of the address.
    """
    try:
        address: IPAddress = _library().ip_address(without_zone(text)[0])
    except ValueError:
        return None
    return address


def without_zone(text: str) -> tuple[str, str]:
    """Split an IPv6 address and its zone identifier, "" if it has none; return any other text unchanged, and ""."""
    address, _, zone = text.partition("%") if ":" in text else (text, "", "")
    return address, zone


def canonical(text: object) -> str | None:
    """Return an address in its canonical spelling, with its zone if it has one; None for any other value."""
    try:
        return str(_library().ip_address(exact_str(text))) if isinstance(text, str) else None
    except ValueError:
        return None


def canonical_bytes(packed: bytes) -> str | None:
    """Return an address of 4 or 16 bytes in its canonical spelling; None for any other length."""
    return str(_library().ip_address(packed)) if len(packed) in (4, 16) else None


def bracketed(host: str) -> str:
    """A host as it is written in a URL: an IPv6 address is put into brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def host_port(host: str, port: object) -> str:
    """Return host and port as text: "example.com:80", "127.0.0.1:80", "[::1]:80"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
