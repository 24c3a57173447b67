"""Chooses the upstream of a request, from the state of the upstreams and one random number. No I/O."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from hashlib import blake2b
from inspect import iscoroutinefunction
from math import inf
from math import log as _log
from typing import Final

from .._errors import show_value
from .health import Member
from .plan import Forward

__all__ = ["Balance", "Choice", "balance_of", "is_random"]

Choice = Callable[[Sequence[Member], Sequence[int], Forward, float], int]
"""Takes the members, the indexes of those that are available (at least one), the request, and a random number from 0
(included) to 1 (excluded). Returns one of the indexes.
"""
Balance = str | Callable[[Forward, Sequence[int]], int]


def round_robin(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """Smooth weighted round robin. The counter `current` of each available member grows by its weight; the member with
    the highest counter is chosen, and the sum of the weights is subtracted from its counter.
    """
    total = 0
    best = open_[0]
    for index in open_:
        member = members[index]
        member.current += member.weight
        total += member.weight
        if member.current > members[best].current:
            best = index
    # Smooth means: weights 5, 1, 1 give A A B A C A A, and not A five times in a row.
    members[best].current -= total
    return best


def least_outstanding(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """The upstream with the fewest outstanding requests for its weight; among equals, by round robin."""
    idle: list[int] = []
    least = inf
    for index in open_:
        member = members[index]
        load = member.outstanding / member.weight
        if load < least:
            least = load
            idle = [index]
        elif load == least:
            idle.append(index)
    return idle[0] if len(idle) == 1 else round_robin(members, idle, request, draw)


def random_two(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """Of two random upstreams, the one with fewer outstanding requests for its weight."""
    count = len(open_)
    if count == 1:
        return open_[0]
    pair = int(draw * count * (count - 1))  # one random number for the first and for the distance to the second
    first, distance = divmod(pair, count - 1)
    one, other = open_[first], open_[(first + 1 + distance) % count]
    loads = members[one].outstanding / members[one].weight, members[other].outstanding / members[other].weight
    return one if loads[0] <= loads[1] else other


def first(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """The first available upstream: the others are spares."""
    return open_[0]


def _highest(members: Sequence[Member], open_: Sequence[int], key: bytes) -> int:
    """Rendezvous hashing: if an upstream is left out, only the keys of that upstream move to others."""

    def score(index: int) -> float:
        digest = blake2b(key, digest_size=8, salt=b"%d" % index).digest()
        # Weighted rendezvous hashing: -weight / ln(u) with u in (0, 1); the constants keep u away from 0 and 1.
        return members[index].weight / -_log((int.from_bytes(digest) + 1) / (2**64 + 2))

    return max(open_, key=score)


def by_client(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """The same upstream for all requests from one client address."""
    return _highest(members, open_, request.client.encode())


def by_header(name: bytes) -> Choice:
    """The same upstream for all requests with one value of the header; a random one for requests without it."""

    def choice(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
        for field, value in request.headers:
            if field == name:
                return _highest(members, open_, value)
        return open_[int(draw * len(open_))]

    return choice


def _called(chosen: Callable[[Forward, Sequence[int]], int]) -> Choice:
    def choice(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
        found = chosen(request, open_)
        try:
            number = operator.index(found)
        except TypeError:
            raise TypeError(f"balance: expected an index, got {type(found).__name__}") from None
        if number not in open_:
            raise ValueError(f"balance: expected one of the indexes {list(open_)}, got {number}")
        return number

    return choice


_NAMED: Final[dict[str, Choice]] = {
    "round_robin": round_robin,
    "least_outstanding": least_outstanding,
    "random_two": random_two,
    "first": first,
    "hash:client": by_client,
}


def is_random(given: Balance) -> bool:
    """Whether the choice uses the random number; for other choices none is drawn."""
    return isinstance(given, str) and given.startswith(("random", "hash:header"))


def balance_of(given: Balance) -> Choice:
    """The choice for a name, or for a callable.

    Raises:
        TypeError, ValueError: `given` is neither a known name nor a plain function.
    """
    if iscoroutinefunction(given):
        raise TypeError("balance: expected a name or a plain function, got an async one")
    if callable(given):
        return _called(given)
    if not isinstance(given, str):
        raise TypeError(f"balance: expected a name or a callable, got {type(given).__name__}")
    if given.startswith("hash:header=") and given[12:]:
        return by_header(given[12:].lower().encode("ascii"))
    if given not in _NAMED:
        names = ", ".join([*_NAMED, "hash:header=NAME"])
        raise ValueError(f"balance: expected one of {names} or a callable, got {show_value(given)}")
    return _NAMED[given]
