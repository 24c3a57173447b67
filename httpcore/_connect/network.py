"""From a host name to a connected TCP stream: the DNS resolver, the policy, and the order of the addresses.

The runtime connects, by `Backend.connect_tcp`. It gets addresses, never a name. They are exactly the addresses that
were checked, so a later change of the name's address has no effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from .._address import canonical, host_port, is_address
from .._backends.base import Backend, SocketOption, Stream
from .._errors import ConnectError, InvalidURL, LocalProtocolError, PolicyError, show, show_value
from .._message.rules import DEFAULT_RULES, ReadRules
from .._message.url import parse_host
from .._values import dataclass, field
from .resolvers import Resolver, System
from .steps import Steps

if TYPE_CHECKING:
    from .policy import NetworkPolicy

__all__ = ["MOST_ADDRESSES", "Network", "addresses_of", "reach"]

Left = Callable[[], float | None]

# A name may have a thousand addresses. 16 attempts begin within the default 5 seconds, a quarter of a second apart. And
# the error names each address that failed: a list of 16 is still readable.
MOST_ADDRESSES = 16


# The settings that all connections of a pool share.


@dataclass(frozen=True, slots=True)
class Network:
    """The settings by which a pool reaches hosts; a value.

    Arguments:
        resolver: the DNS resolver. Default None: the operating system.
        resolve: addresses that need no lookup, as with curl's `--resolve`: from a host (a name, or an IP address) to an
            IP address or a sequence of them. URL, `Host`, TLS and the pool still see the name.
        policy: which addresses may be connected to. Default None: all.
        local_address: an IP address of this machine to connect from. Hosts are then reached by that family only.
        socket_options: for `setsockopt`, set after TCP_NODELAY and SO_KEEPALIVE, which these options can turn off
            again.
        rules: the accepted deviations of peers, also of a proxy that opens a tunnel.

    Raises:
        TypeError, ValueError: a value has another type, or is not allowed.
    """

    resolver: Resolver | None = None
    resolve: Mapping[str, str | Sequence[str]] | None = field(default=None, hash=False)
    policy: NetworkPolicy | None = None
    local_address: str | None = None
    socket_options: Sequence[SocketOption] = ()
    rules: ReadRules = DEFAULT_RULES
    # The keys are canonical hosts, without a trailing dot.
    known: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # The arguments are checked and copied: this value is hashed and shared, and the caller's mapping may change.
        object.__setattr__(self, "known", MappingProxyType(_known(self.resolve)))
        object.__setattr__(self, "socket_options", _options(self.socket_options))
        if self.local_address is not None:
            address = canonical(self.local_address)
            if address is None:
                seen = show_value(self.local_address)
                raise ValueError(f"local_address is {seen}: expected an IP address of this machine, as text")
            object.__setattr__(self, "local_address", address)


def _known(resolve: object) -> dict[str, tuple[str, ...]]:
    if resolve is None:
        return {}
    if not isinstance(resolve, Mapping):
        raise TypeError(f"resolve is {show_value(resolve)}: expected a mapping from hosts to IP addresses")
    return {_host(host): _given(host, addresses) for host, addresses in resolve.items()}


def _host(host: object) -> str:
    if not isinstance(host, str):
        raise TypeError(f"resolve has the host {show_value(host)}: expected str")
    try:
        return parse_host(host).removesuffix(".")
    except InvalidURL as error:
        raise ValueError(f"resolve: {error.message}") from None


def _given(host: str, given: object) -> tuple[str, ...]:
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, Iterable) or isinstance(several, (bytes, Mapping)):
        raise TypeError(
            f"resolve has {show_value(given)} for {host}: expected an IP address as text, or a sequence of them"
        )
    addresses = tuple(several)
    checked = tuple([text for text in map(canonical, addresses) if text is not None])
    if not checked or len(checked) != len(addresses):
        raise ValueError(f"resolve has {show_value(given)} for {host}: expected IP addresses as text, at least one")
    return checked


def _options(options: object) -> tuple[SocketOption, ...]:
    allowed = "expected a sequence of (level, name, value), the value an int or bytes"
    if isinstance(options, (str, bytes)) or not isinstance(options, Iterable):
        raise TypeError(f"socket_options is {show_value(options)}: {allowed}")
    checked = tuple([tuple(option) if isinstance(option, list) else option for option in options])
    for option in checked:
        if not _is_option(option):
            raise TypeError(f"socket_options has {show_value(option)}: {allowed}")
        if any(isinstance(number, int) and not -(2**31) <= number < 2**31 for number in option):
            raise ValueError(f"socket_options has {show_value(option)}: expected numbers of 32 bits")
    return checked


def _is_option(option: object) -> bool:
    if not isinstance(option, tuple) or len(option) != 3:
        return False
    level, name, value = option
    return isinstance(level, int) and isinstance(name, int) and isinstance(value, (int, bytes))


# Connecting.


async def reach(
    backend: Backend, network: Network, host: str, port: int, left: Left, steps: Steps | None = None
) -> Stream:
    """Connect to `host` by one of its addresses.

    Arguments:
        host: as in a `URL`: in lower-case ASCII, an IPv6 address without brackets.
        left: returns the seconds that are left; called before each wait.

    Raises:
        ConnectError: the name does not resolve, or no address could be connected to; each that was tried is named.
        ConnectTimeout: it took too long.
        PolicyError: every address is denied. A denied address among others is skipped.
        LocalProtocolError: the resolver's answer is not a sequence of addresses.
    """
    addresses = _known_addresses(network, host) or await _recorded_answer(backend, network, host, left, steps)
    # The address is checked here, and the same text is used to connect below: the name is not resolved again in
    # between.
    if network.policy is not None:
        addresses = _allowed(network.policy, addresses, host, port)
    local = network.local_address
    if local is not None:
        addresses = _of_the_family_of(local, host, addresses)
    addresses = _interleaved(addresses)
    if steps is not None:
        steps.connecting(addresses, port)
    return await backend.connect_tcp(
        addresses,
        port,
        # `left` is called only now, since the lookup has used some of the time.
        left(),
        target=host_port(host, port),
        local_address=local,
        socket_options=network.socket_options,
    )


async def addresses_of(
    backend: Backend, network: Network, host: str, port: int, left: Left, steps: Steps | None = None
) -> Sequence[str]:
    """The addresses that `reach` would try. Raises as `reach` does, except errors of connecting."""
    addresses = _known_addresses(network, host) or await _recorded_answer(backend, network, host, left, steps)
    if network.policy is not None:
        addresses = _allowed(network.policy, addresses, host, port)
    return _interleaved(addresses)


def _known_addresses(network: Network, host: str) -> Sequence[str]:
    """The addresses that need no lookup."""
    if network.known:
        # This also applies to a host that is an address: as with `--resolve`, it may be redirected.
        known = network.known.get(host.removesuffix("."))
        if known is not None:
            return known
    return (host,) if is_address(host) else ()


async def _recorded_answer(
    backend: Backend, network: Network, host: str, left: Left, steps: Steps | None
) -> Sequence[str]:
    if steps is None:
        return await _answer(backend, network, host, left)
    steps.looking_up(host)
    addresses = await _answer(backend, network, host, left)
    steps.looked_up(host, addresses)
    return addresses


async def _answer(backend: Backend, network: Network, host: str, left: Left) -> Sequence[str]:
    if network.resolver is None:
        return await backend.look_up(host, left())
    answer = network.resolver.resolve(host, _system(backend, left))
    if not hasattr(answer, "__await__"):
        kind = type(answer).__name__
        raise LocalProtocolError(f"{_named(network.resolver)} returned type {kind} for {host}: expected an awaitable")
    return _checked(network.resolver, host, await answer)


def _system(backend: Backend, left: Left) -> System:
    def look_up(host: str) -> Awaitable[Sequence[str]]:
        return backend.look_up(host, left())

    return look_up


def _checked(resolver: Resolver, host: str, answer: object) -> list[str]:
    if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
        raise LocalProtocolError(
            f"{_named(resolver)} returned {show_value(answer)} for {host}: expected a sequence of IP addresses"
        )
    addresses = []
    for each in answer:
        address = canonical(each)
        if address is None:
            given = show_value(each)
            raise LocalProtocolError(
                f"{_named(resolver)} returned {given} for {host}: expected IP addresses as text", phase="resolve"
            )
        addresses.append(address)
    if not addresses:
        raise ConnectError(f"{_named(resolver)} returned no address for {show(host)}", phase="resolve")
    return addresses


def _named(resolver: Resolver) -> str:
    return f"the resolver {type(resolver).__qualname__}"


def _allowed(policy: NetworkPolicy, addresses: Sequence[str], host: str, port: int) -> list[str]:
    allowed = []
    denial: PolicyError | None = None
    for address in addresses:
        try:
            policy.check(address, port)
        except PolicyError as error:
            denial = denial or error
        else:
            allowed.append(address)
    # A denied address among others is skipped: the rest may still be reached. If all are denied, the first denial is
    # raised.
    if denial is not None and not allowed:
        if denial.address != host:
            denial.message = f"{host}: {denial.message}"
        denial.add(phase="connect")
        raise denial
    return allowed


def _of_the_family_of(local: str, host: str, addresses: Sequence[str]) -> list[str]:
    same = [address for address in addresses if (":" in address) == (":" in local)]
    if not same:
        others = ", ".join(addresses[:MOST_ADDRESSES])
        raise ConnectError(
            f"cannot connect to {host}: the local address {local} is of another address family than {others}",
            phase="connect",
        )
    return same


def _interleaved(addresses: Sequence[str]) -> Sequence[str]:
    """The addresses of both families in alternation, beginning with the family of the first address (RFC 8305, section
    4). Each address is kept once, and at most `MOST_ADDRESSES` of them."""
    if len(addresses) == 1:
        return addresses
    unique = list(dict.fromkeys(addresses))
    first = [address for address in unique if (":" in address) == (":" in unique[0])]
    second = [address for address in unique if (":" in address) != (":" in unique[0])]
    # In alternation, a family that does not work at all costs one delay, and not one for each of its addresses.
    both = min(len(first), len(second))
    turns = [address for pair in zip(first, second, strict=False) for address in pair]
    return [*turns, *first[both:], *second[both:]][:MOST_ADDRESSES]
