"""The choice of a request's upstream: a step on the members and one random number, without I/O."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from hashlib import blake2b
from inspect import iscoroutinefunction
from math import inf
from math import log as _log
from typing import Final

from .health import Member
from .plan import Forward

__all__ = ["Balance", "Choice", "balance_of", "is_random"]

Choice = Callable[[Sequence[Member], Sequence[int], Forward, float], int]
"""From the members, the indexes that are available (at least one), the request and a number from 0 up to 1: an index.
"""
Balance = str | Callable[[Forward, Sequence[int]], int]


def round_robin(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """In turn, by weight, without runs of the same: each gains its weight, and the foremost pays the sum."""
    total = 0
    best = open_[0]
    for index in open_:
        member = members[index]
        member.current += member.weight
        total += member.weight
        if member.current > members[best].current:
            best = index
    # Smooth weighted round robin: weights 5, 1, 1 give A A B A C A A and not five in a row.
    members[best].current -= total
    return best


def least_outstanding(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """The one with the fewest requests for its weight; among equals in turn."""
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
    """Two at random, of which the one with fewer requests for its weight."""
    count = len(open_)
    if count == 1:
        return open_[0]
    pair = int(draw * count * (count - 1))  # one number for both: the first, and the distance to the second
    first, distance = divmod(pair, count - 1)
    one, other = open_[first], open_[(first + 1 + distance) % count]
    loads = members[one].outstanding / members[one].weight, members[other].outstanding / members[other].weight
    return one if loads[0] <= loads[1] else other


def first(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """The first that is available: the others are spares."""
    return open_[0]


def _highest(members: Sequence[Member], open_: Sequence[int], key: bytes) -> int:
    """Rendezvous hashing: where one is left out, only the keys that it had go elsewhere."""

    def score(index: int) -> float:
        digest = blake2b(key, digest_size=8, salt=b"%d" % index).digest()
        # Weighted rendezvous hashing: -weight / ln(u) with u in (0, 1); the constants keep u off both ends.
        return members[index].weight / -_log((int.from_bytes(digest) + 1) / (2**64 + 2))

    return max(open_, key=score)


def by_client(members: Sequence[Member], open_: Sequence[int], request: Forward, draw: float) -> int:
    """The same for each address of a client."""
    return _highest(members, open_, request.client.encode())


def by_header(name: bytes) -> Choice:
    """The same for each value of a header; without it at random."""

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
    """Whether that choice looks at the random number, which is not made for the others."""
    return isinstance(given, str) and given.startswith(("random", "hash:header"))


def balance_of(given: Balance) -> Choice:
    """The choice of that name, or a callable's.

    Raises:
        TypeError, ValueError: there is no such choice.
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
        raise ValueError(f"balance: expected one of {names} or a callable, got {given!r}")
    return _NAMED[given]
