"""The addresses that may be reached, by IP network and port. A policy is applied to each resolved address before a
connection to it begins.

A name does not determine an address, and may resolve to another one a moment later. So a policy never checks a name,
only the address to which the socket is about to connect, and exactly that address is then used.

The rules are read in this order, and the first that covers the address decides:

1. `ports`: another port is denied.
2. `deny` denies. Nothing outranks it.
3. `allow` allows.
4. Otherwise: public addresses only, if the policy is `public_only`; else nothing, if there is an `allow`; else all.

An IPv6 address can contain an IPv4 address in several forms. `::ffff:10.0.0.1` is the same socket address as `10.0.0.1`
and is treated alike. The other embeddings (NAT64, 6to4, Teredo, ISATAP, IPv4-compatible, SIIT) are separate addresses
that a translator or tunnel may forward to the IPv4 address. A rule that denies the IPv6 or the IPv4 address denies
them; a rule that allows the IPv4 address does not allow them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from .._address import read_address
from .._errors import PolicyError, show, show_value
from .._public import public, resolvable
from .._values import dataclass, field

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    Address = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network

__all__ = ["NetworkPolicy"]

# `ipaddress.is_global` is not used: it follows IANA's list as it was when that version of Python was made, and ignores
# embedded IPv4 addresses. Networks with the more specific names are listed first, so that an error shows these names.
# IANA's registries of special-purpose addresses list a few anycast hosts inside 192.0.0.0/24 and 2001::/23 as globally
# reachable (port control, TURN, AMT, AS112, ORCHID, drones): none of them is an HTTP server, so these blocks are denied
# entirely.
_NOT_PUBLIC: Final = (
    ("169.254.169.254/32", "cloud metadata"),
    ("169.254.170.2/32", "cloud metadata"),
    ("100.100.100.200/32", "cloud metadata"),
    ("192.0.0.192/32", "cloud metadata"),
    ("168.63.129.16/32", "cloud metadata"),  # a public address, which answers only inside Azure
    ("fd00:ec2::/32", "cloud metadata"),
    ("fd20:ce::/32", "cloud metadata"),
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a provider's customers"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("64:ff9b:1::/48", "a translator's own"),
    ("100::/64", "discard"),
    ("100:0:0:1::/64", "dummy"),
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_GLOBAL_UNICAST: Final = "2000::/3"  # all IPv6 addresses that IANA assigns as global unicast
_NAT64: Final = "64:ff9b::/96"  # RFC 6052: networks without IPv4 reach public IPv4 servers by it


class _Point(NamedTuple):
    """An address as a number."""

    version: int
    number: int


class _Range(NamedTuple):
    """A network as numbers."""

    version: int
    start: int
    mask: int
    text: str

    def has(self, point: _Point) -> bool:
        return point.number & self.mask == self.start and point.version == self.version


@public
@resolvable
@dataclass(frozen=True, slots=True, init=False)
class NetworkPolicy:
    """The addresses and ports that a pool may connect to. Hashable; policies with the same rules are equal.

    Arguments:
        allow: networks that may be reached, as text: "10.0.0.0/8", "2001:db8::/32", or one address. If there are any,
            no other address may be reached, unless the policy is `public_only`.
        deny: networks that may not be reached, whatever `allow` says.
        ports: the ports that may be reached. Default None: all.
        public: whether an address that neither `deny` nor `allow` covers may be reached if it is public, and only then;
            `public_only` sets this.

    Raises:
        TypeError, ValueError: a network or port is not valid. A network with bits set after its prefix, as in
            "10.0.0.1/8", is refused, since it is ambiguous.
    """

    allow: tuple[str, ...]
    deny: tuple[str, ...]
    ports: tuple[int, ...] | None
    public: bool = field(kw_only=True)
    _allow: tuple[_Range, ...] = field(init=False, repr=False, compare=False)
    _deny: tuple[_Range, ...] = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        ports: Iterable[int] | None = None,
        *,
        public: bool = False,
    ) -> None:
        for name, networks in (("allow", allow), ("deny", deny)):
            ranges = _ranges(name, networks)
            object.__setattr__(self, f"_{name}", ranges)
            object.__setattr__(self, name, tuple(each.text for each in ranges))
        object.__setattr__(self, "ports", None if ports is None else _checked_ports(ports))
        object.__setattr__(self, "public", public)

    @classmethod
    def public_only(
        cls, allow: Iterable[str] = (), *, deny: Iterable[str] = (), ports: Iterable[int] | None = None
    ) -> NetworkPolicy:
        """A policy that allows public addresses, and in addition those in `allow`.

        It denies loopback, private, shared (CGNAT), link-local, unspecified, multicast, broadcast and reserved
        addresses, those of cloud metadata services, documentation, benchmarking and protocol assignments, all addresses
        that IANA has not assigned as global unicast, Teredo and 6to4. NAT64 and IPv4-mapped addresses are denied if the
        IPv4 address inside is.
        """
        return cls(allow, deny, ports, public=True)

    def check(self, address: str, port: int) -> None:
        """Return if a connection to this address and port may be made.

        Arguments:
            address: an IPv4 or IPv6 address as text; a zone identifier after "%" is allowed. A text that is no address
                is denied.

        Raises:
            PolicyError: the connection is denied; the error has `address`, `port` and `rule`.
        """
        rule = self._denial(address, port)
        if rule is not None:
            raise PolicyError(
                f"the network policy denies {show(address)} port {port}: {rule}", address=address, port=port, rule=rule
            )

    def _denial(self, address: str, port: int) -> str | None:
        if self.ports is not None and port not in self.ports:
            return f"only ports {', '.join(map(str, self.ports)) or '(none)'} are allowed"
        found = _read(address)
        if found is None:
            return "it is not an IP address"
        point, inside = found
        # `::ffff:10.0.0.1` connects to the same address as 10.0.0.1, so `allow` sees the IPv4 address. Other embeddings
        # are not converted: a rule that allows an IPv4 address does not allow a translator's address for it.
        canonical = inside[0] if _mapped().has(point) else point
        # `deny` is checked before `allow`, and for every embedded address: nothing outranks a denial.
        for each in self._deny:
            if each.has(point):
                return f"deny {each.text}"
            for embedded in inside:
                if each.has(embedded):
                    return f"deny {each.text}, and {_text(embedded)} is inside"
        if any(each.has(canonical) for each in self._allow):
            return None
        if self.public:
            return _not_public(canonical)
        return "no network of allow has it" if self._allow else None


def _read(address: str) -> tuple[_Point, tuple[_Point, ...]] | None:
    """The address as a number, and every IPv4 address that may be embedded in it; None if it is no address."""
    parsed = read_address(address)
    if parsed is None:
        return None
    point = _Point(parsed.version, int(parsed))
    return point, _embedded(point.number) if point.version == 6 else ()


_LOW: Final = 0xFFFFFFFF


def _embedded(number: int) -> tuple[_Point, ...]:
    """The IPv4 addresses inside an IPv6 address."""
    high = number >> 32
    last = number & _LOW
    found: tuple[int, ...] = ()
    if high in (0, 0xFFFF, 0xFFFF_0000, 0x0064_FF9B << 64):  # compatible, mapped, SIIT (RFC 7915), NAT64
        found = (last,)
    elif number >> 80 == 0x0064_FF9B_0001:  # RFC 8215: a prefix of any length that RFC 6052 allows
        found = (last, *_after_prefix(number, 48), *_after_prefix(number, 56), *_after_prefix(number, 64))
    elif number >> 112 == 0x2002:  # RFC 3056
        found = (number >> 80 & _LOW,)
    elif number >> 96 == 0x2001_0000:  # RFC 4380: the server, and the client with inverted bits
        found = (number >> 64 & _LOW, last ^ _LOW)
    elif high & 0xFDFF_FFFF == 0x0000_5EFE:  # ISATAP, RFC 5214, under any prefix
        found = (last,)
    return tuple(_Point(4, each) for each in found)


def _after_prefix(number: int, prefix: int) -> tuple[int]:
    """The IPv4 address after a prefix of 48, 56 or 64 bits: bits 64 to 71 are left out (RFC 6052, section 2.2)."""
    before = 64 - prefix
    rest = 32 - before
    head = number >> 64 & ((1 << before) - 1)
    return (head << rest | number >> (56 - rest) & ((1 << rest) - 1),)


def _not_public(point: _Point) -> str | None:
    for each, name in _special()[point.version]:
        if each.has(point):
            return f"it is not public: {each.text} is {name}"
    if point.version == 4:
        return None
    unicast, nat64 = _unicast()
    inside = _embedded(point.number)
    for embedded in inside:
        rule = _not_public(embedded)
        if rule is not None:
            return f"{rule}, and {_text(embedded)} is inside"
    if unicast.has(point) or nat64.has(point):
        return None
    return f"it is not public: only {_GLOBAL_UNICAST} is, in IPv6"


@cache
def _special() -> dict[int, list[tuple[_Range, str]]]:
    """The networks that are not public, by IP version, each with its name."""
    ranges = [(_range(network), name) for network, name in _NOT_PUBLIC]
    return {version: [each for each in ranges if each[0].version == version] for version in (4, 6)}


@cache
def _unicast() -> tuple[_Range, _Range]:
    return _range(_GLOBAL_UNICAST), _range(_NAT64)


@cache
def _mapped() -> _Range:
    return _Range(6, 0xFFFF << 32, (1 << 128) - 1 ^ _LOW, "::ffff:0:0/96")


def _range(network: str) -> _Range:
    return _as_numbers(ipaddress.ip_network(network))


def _as_numbers(network: Network) -> _Range:
    start, mask = int(network.network_address), int(network.netmask)
    if network.version == 6 and network.prefixlen >= 96 and _mapped().has(_Point(6, start)):
        return _Range(4, start & _LOW, mask & _LOW, f"{_text(_Point(4, start & _LOW))}/{network.prefixlen - 96}")
    return _Range(network.version, start, mask, str(network))


def _ranges(name: str, networks: object) -> tuple[_Range, ...]:
    if isinstance(networks, (str, bytes)) or not isinstance(networks, Iterable):
        raise TypeError(f"{name} is {show_value(networks)}: expected a sequence of networks, such as ('10.0.0.0/8',)")
    found = set()
    for network in networks:
        if isinstance(network, (int, bytes)) or not network:
            raise TypeError(f"{name} has {show_value(network)}: expected networks as text, such as '10.0.0.0/8'")
        try:
            found.add(_as_numbers(ipaddress.ip_network(_without_zone(str(network)))))
        except ValueError:
            raise ValueError(f"{name} has {show_value(str(network))}: {_reason_against(str(network))}") from None
    return tuple(sorted(found))


def _without_zone(network: str) -> str:
    if "%" in network:
        raise ValueError(network)
    return network


def _reason_against(network: str) -> str:
    try:
        meant = ipaddress.ip_network(_without_zone(network), strict=False)
    except ValueError:
        return "expected an IP address without a zone, or a network such as '10.0.0.0/8' or 'fd00::/8'"
    return f"bits are set behind the prefix; is {str(meant)!r} meant?"


def _checked_ports(ports: object) -> tuple[int, ...]:
    if isinstance(ports, (str, bytes)) or not isinstance(ports, Iterable):
        raise TypeError(
            f"ports is {show_value(ports)}: expected a sequence of numbers, such as (80, 443), or None for all"
        )
    found = tuple(ports)
    for port in found:
        if isinstance(port, bool) or not isinstance(port, int):
            raise TypeError(f"ports has {show_value(port)}: expected numbers from 1 to 65535")
        if not 1 <= port <= 65535:
            raise ValueError(f"ports has {show_value(port)}: expected numbers from 1 to 65535")
    return tuple(sorted(set(found)))


def _text(point: _Point) -> str:
    address: Address = (
        ipaddress.IPv4Address(point.number) if point.version == 4 else ipaddress.IPv6Address(point.number)
    )
    return str(address)
