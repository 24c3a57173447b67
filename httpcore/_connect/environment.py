"""The proxy that the environment variables name for an origin, read once and only on request. No I/O.

There is no standard for these variables. This module follows curl and Go; these are its rules, with the differences
between the two:

- `http_proxy`, `https_proxy` and `no_proxy` come first, then the same names in capitals, then `all_proxy` and
  `ALL_PROXY` for either scheme. An empty variable counts as unset.
- `HTTP_PROXY` in capitals is not read where `REQUEST_METHOD` is set: in a CGI program a client can set it, with a
  header `Proxy` (https://httpoxy.org).
- A proxy without a scheme is an http proxy. `socks://` is SOCKS5 with names resolved by the proxy, which is what
  desktop settings mean by it; curl treats it as SOCKS4.
- `localhost`, names under it (RFC 6761), 127.0.0.0/8 and ::1 are never reached through a proxy, where they would mean
  the proxy itself (as in Go; curl uses the proxy).

`NO_PROXY` is a list, separated by commas or white space, of hosts that are reached directly:

- `*`: everything.
- `example.com`: that name and all names under it. `.example.com` means the same (as in curl; Go leaves out the name
  itself).
- `*.example.com`: all names under that name, but not the name itself (as in Go; curl has no such form).
- `10.0.0.1`, `::1`, `[::1]`: that address.
- `10.0.0.0/8`, `fd00::/8`: all addresses of the network; the bits after the prefix have no meaning.
- `example.com:8080`, `10.0.0.1:8080`, `[::1]:8080`: the same for that port only (as in Go).

Addresses are compared as addresses, so that `::ffff:10.0.0.1` equals `10.0.0.1`. They are compared only with hosts that
are addresses themselves: no name is looked up, and no text of an address is treated as a name (CVE-2025-22870).

Case and a trailing dot have no meaning. A name in another script is compared in its DNS form. An entry of another
form matches nothing, as in curl and Go: this variable was often written for some other program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from .._address import read_address, without_zone
from .._errors import InvalidURL
from .._message.url import parse_host
from .._public import public, resolvable
from .._values import dataclass, field
from .proxy import Proxy

__all__ = ["EnvironmentProxies", "proxies_from_environment"]

_BRACKETED = re.compile(r"\[([^\[\]]*:[^\[\]]*)\](?::([1-9][0-9]{0,4}))?")
_WITH_PORT = re.compile(r"([^:]*):([1-9][0-9]{0,4})")
_CAPITALS_ONLY = os.name == "nt"  # on Windows the case of a variable's name does not matter
_SCHEME_AND_SLASH = re.compile(r"(?:https?|socks(?:4a?|5h?)):/", re.IGNORECASE)  # a URL in which a slash is missing
_PREFIXED = re.compile(r"([^/]+)/([0-9]{1,3})")


class _Networks(NamedTuple):
    """Addresses in `NO_PROXY`: `address & mask == start`, of one IP version, in one zone, at one port or at all
    ports."""

    version: int
    start: int
    mask: int
    zone: str
    port: int | None

    def has(self, version: int, address: int, zone: str, port: int) -> bool:
        return (
            version == self.version
            and address & self.mask == self.start
            and (not self.zone or zone == self.zone)
            and self.port in (None, port)
        )


class _Names(NamedTuple):
    """A name in `NO_PROXY`, at one port or at all ports; `itself`: whether the entry includes the name, and not only
    the names under it."""

    name: str
    itself: bool
    port: int | None


@public
@resolvable
@dataclass(frozen=True, slots=True)
class EnvironmentProxies:
    """The proxy for each origin. Made by `proxies_from_environment`; hashable, compared by value.

    Attributes:
        http, https: the proxy for origins of that scheme, or None.
        no_proxy: the entries of `NO_PROXY`, without entries that match nothing.
    """

    http: Proxy | None = None
    https: Proxy | None = None
    no_proxy: tuple[str, ...] = ()
    _everything: bool = field(init=False, repr=False, compare=False)
    _networks: tuple[_Networks, ...] = field(init=False, repr=False, compare=False)
    _names: dict[str, tuple[_Names, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rules = [(entry, rule) for entry in self.no_proxy if (rule := _rule(entry)) is not None]
        names: dict[str, tuple[_Names, ...]] = {}
        for _, rule in rules:
            if isinstance(rule, _Names):
                names[rule.name] = (*names.get(rule.name, ()), rule)
        object.__setattr__(self, "no_proxy", tuple(entry for entry, _ in rules))
        object.__setattr__(self, "_everything", any(rule is True for _, rule in rules))
        object.__setattr__(self, "_networks", tuple(rule for _, rule in rules if isinstance(rule, _Networks)))
        object.__setattr__(self, "_names", names)

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for requests to an origin, or None to connect directly.

        Arguments:
            scheme: "http" or "https".
            host: a name in ASCII, or an address without brackets: as `URL.host` is.
            port: the origin's port, for entries of `NO_PROXY` that name a port.
        """
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or self._everything:
            return None
        host = host.lower().removesuffix(".")
        address = _address(host)
        if address is not None:
            return None if self._bypasses_address(address, port) else proxy
        return None if self._bypasses_name(host, port) else proxy

    def _bypasses_address(self, address: tuple[int, int, str], port: int) -> bool:
        version, number, zone = address
        # Loopback is never reached through a proxy, whatever the list says: it would be the proxy's own loopback.
        loopback = number >> 24 == 127 if version == 4 else number == 1
        return loopback or any(each.has(version, number, zone, port) for each in self._networks)

    def _bypasses_name(self, host: str, port: int) -> bool:
        for name in _with_parents(host):
            if name == "localhost":  # only the last label: "localhost.example" is under "example"
                return True
            for rule in self._names.get(name, ()):
                if rule.port in (None, port) and (rule.itself or name != host):
                    return True
        return False


@public
def proxies_from_environment(environ: Mapping[str, str] | None = None) -> EnvironmentProxies:
    """The proxies that environment variables name: `ConnectionPool(proxy=proxies_from_environment())`.

    The variables are `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`; their names in lower case come first.
    They are read once, now.

    Arguments:
        environ: the mapping that has the variables. Default `os.environ`.

    Raises:
        InvalidURL: a variable that is needed does not contain the URL of a proxy; the message names the variable.
    """
    where = os.environ if environ is None else environ
    _, excepted = _value(where, "no_proxy")
    return EnvironmentProxies(
        _proxy(where, "http_proxy"), _proxy(where, "https_proxy"), tuple(excepted.replace(",", " ").split())
    )


def _proxy(environ: Mapping[str, str], name: str) -> Proxy | None:
    variable, url = _value(environ, name)
    if not url:
        variable, url = _value(environ, "all_proxy")
    if not url:
        return None
    if url[:8].lower() == "socks://":
        url = f"socks5h://{url[8:]}"
    try:
        return Proxy(url if "://" in url or _SCHEME_AND_SLASH.match(url) else f"http://{url}")
    except ValueError as error:  # InvalidURL is a ValueError
        message = error.message if isinstance(error, InvalidURL) else str(error)
    raise InvalidURL(f"{variable} in the environment: {message}")


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The name of the variable that applies, as it is spelled, and its value; empty if there is none."""
    for spelled in (name, name.upper()):
        value = environ.get(spelled, "").strip()
        # httpoxy: a CGI client sets `HTTP_PROXY` by sending a header `Proxy`.
        if value and not (name == "http_proxy" and _is_from_a_client(environ, spelled)):
            return spelled, value
    return name, ""


def _is_from_a_client(environ: Mapping[str, str], spelled: str) -> bool:
    return "REQUEST_METHOD" in environ and (spelled.isupper() or _CAPITALS_ONLY)


# Entries of NO_PROXY, and the values with which they are compared.


def _rule(entry: str) -> Literal[True] | _Networks | _Names | None:
    """The rule of an entry: True matches everything, None nothing."""
    if entry == "*":
        return True
    prefixed = _PREFIXED.fullmatch(entry)
    if prefixed is not None:
        return _network(prefixed[1], int(prefixed[2]))
    host, port = _host_and_port(entry)
    address = _address(host)
    if address is not None:
        version, number, zone = address
        return _Networks(version, number, -1, zone, port)
    return _name(host, port)


def _host_and_port(entry: str) -> tuple[str, int | None]:
    found = _BRACKETED.fullmatch(entry) or _WITH_PORT.fullmatch(entry)
    if found is None:
        return entry, None
    return found[1], int(found[2]) if found[2] else None


def _network(start: str, bits: int) -> _Networks | None:
    address = _address(start)
    if address is None or address[2]:
        return None
    version, number, _ = address
    if version == 4 and ":" in start:
        bits -= 96  # the addresses of ::ffff:0:0/96 are IPv4 ones
    width = 32 if version == 4 else 128
    if not 0 <= bits <= width:
        return None
    mask = (1 << width) - (1 << width - bits)
    return _Networks(version, number & mask, mask, "", None)


def _name(host: str, port: int | None) -> _Names | None:
    under_it = host.startswith("*.")
    try:
        name = parse_host(host[2:] if under_it else host.removeprefix(".")).removesuffix(".")
    except InvalidURL:
        return None
    return None if _address(name) is not None else _Names(name, not under_it, port)


@lru_cache(maxsize=1024)
def _address(host: str) -> tuple[int, int, str] | None:
    """Version, number and zone of an address; None for a name."""
    if ":" not in host and not host[-1:].isdigit():
        return None
    parsed = read_address(host)
    if parsed is None:
        return None
    # An IPv4-mapped address is the IPv4 address, as in a policy.
    if parsed.version == 6 and int(parsed) >> 32 == 0xFFFF:
        return 4, int(parsed) & 0xFFFF_FFFF, ""
    return parsed.version, int(parsed), without_zone(host)[1]


def _with_parents(name: str) -> Iterator[str]:
    """A name and its parent names: "a.b.c", "b.c", "c"."""
    while name:
        yield name
        _, _, name = name.partition(".")
