"""IP addresses and `host:port` as text: the one reader and the one writer of both.

A policy, NO_PROXY, a proxy and a socket must use the same address, however it is spelled.
So one function reads an address, and whatever was read is written in one spelling. It is in the
lowest layer because backends and everything above them need it. `ipaddress` is loaded when the first address is read:
it takes longer to import than all of a small program's own start.
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
    """Whether the host of a URL, which was checked, is an IP address: no name ends in a number there."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def _library() -> ModuleType:
    import ipaddress  # the first pool loads it (`_pool.loaded`), and `import httpcore` stays light

    return ipaddress


def read_address(text: str) -> IPAddress | None:
    """The address that `text` spells, or None if it spells none. A zone identifier (RFC 4007) is left out of it: zones
    name an interface of this machine and are no part of the number.
    """
    try:
        address: IPAddress = _library().ip_address(without_zone(text)[0])
    except ValueError:
        return None
    return address


def without_zone(text: str) -> tuple[str, str]:
    """An IPv6 address and its zone identifier, "" if it has none; other text as it is."""
    address, _, zone = text.partition("%") if ":" in text else (text, "", "")
    return address, zone


def canonical(text: object) -> str | None:
    """An address in its one spelling, with its zone if it has one; None of all else."""
    try:
        return str(_library().ip_address(exact_str(text))) if isinstance(text, str) else None
    except ValueError:
        return None


def canonical_bytes(packed: bytes) -> str | None:
    """An address of 4 or 16 bytes in its one spelling; None of all else."""
    return str(_library().ip_address(packed)) if len(packed) in (4, 16) else None


def bracketed(host: str) -> str:
    """A host as it is written in a URL: an IPv6 address is put into brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def host_port(host: str, port: object) -> str:
    """ "example.com:80", "127.0.0.1:80", "[::1]:80"."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
