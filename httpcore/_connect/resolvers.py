"""Finding the addresses of a host: the interface of a resolver, and a resolver that remembers addresses."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from .._errors import show_value
from .._public import public

if TYPE_CHECKING:
    pass


System = Callable[[str], Awaitable[Sequence[str]]]


@public
class Resolver(Protocol):
    """Finds the addresses of a host. One resolver may serve any number of pools, tasks and threads at once."""

    async def resolve(self, host: str, system: System) -> Sequence[str]:
        """The IP addresses of `host`, as text, in the order in which to try them.

        Arguments:
            host: a name in lower-case ASCII, never an IP address.
            system: the lookup by the operating system, for the current runtime: `await system(host)`. The connect
                timeout applies to it; a resolver must bound its other waits itself. In threads (`SyncConnectionPool`)
                nothing may suspend: a resolver then blocks, or awaits only `system`.

        Raises:
            ConnectError: the name does not resolve. Other errors of this library are raised as well, and any other
                exception reaches the caller of the request unchanged.
        """
        ...


@public
class CachingResolver:
    """Remembers the addresses of names for a while. Errors are not remembered; the system reports no TTL, so all names
    have the same TTL.

    Two requests for one name at the same time may both query the system.

    Arguments:
        ttl: seconds for which an answer is valid. Default 60.0.
        most: how many names are remembered; the oldest is dropped first. Default 1000.
        resolver: the resolver below. Default None: the system.
        clock: seconds of a clock that only goes forward. Default `time.monotonic`.

    Raises:
        TypeError, ValueError: `ttl` is not a number of seconds from 0 up, or `most` not a whole number from 1 up.
    """

    def __init__(
        self,
        ttl: float = 60.0,
        most: int = 1000,
        resolver: Resolver | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float)):
            raise TypeError(f"ttl is {show_value(ttl)}: expected a number of seconds")
        if isinstance(most, bool) or not isinstance(most, int):
            raise TypeError(f"most is {show_value(most)}: expected a whole number of names")
        if not ttl >= 0:
            raise ValueError(f"ttl is {show_value(ttl)}: expected a number of seconds from 0 up")
        if not most >= 1:
            raise ValueError(f"most is {show_value(most)}: expected a number of names from 1 up")
        self._ttl = ttl
        self._max_entries = most
        self._resolver = resolver
        self._clock = clock
        # The expiry and the addresses of each name, the oldest name first. Threads share this dict without a lock,
        # which the child of a fork might find held. Each step is one call of the dict, and at worst a name is looked up
        # once more.
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def resolve(self, host: str, system: System) -> Sequence[str]:
        """The remembered addresses, or those of the resolver below. See `Resolver.resolve`.

        Raises:
            Exception: any error of the resolver below.
        """
        until, addresses = self._known.get(host, (0.0, ()))
        if addresses and self._clock() < until:
            return addresses
        asked = system(host) if self._resolver is None else self._resolver.resolve(host, system)
        addresses = tuple(await asked)
        self._keep(host, addresses)
        return addresses

    def _keep(self, host: str, addresses: tuple[str, ...]) -> None:
        # The name is removed and added again: a dict keeps the order of insertion, and the oldest name is dropped
        # first.
        self._known.pop(host, None)
        if not addresses or not self._ttl:
            return
        self._known[host] = (self._clock() + self._ttl, addresses)
        while len(self._known) > self._max_entries:
            try:
                self._known.pop(next(iter(self._known)), None)
            except (RuntimeError, StopIteration):
                pass  # another thread changed the dict between the two calls

    def __repr__(self) -> str:
        return f"<CachingResolver of {len(self._known)} names>"
