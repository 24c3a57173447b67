"""The ledger after Ctrl-C: unfinished steps are repaired, and the derived state is computed anew.

Claims, slots and their states are the truth. Each step of the ledger changes them in an order that is valid wherever
the step stops, so nothing is guessed here. Where a claim and its slot do not agree, the owner of the claim was
interrupted and will release the claim. If the repair is itself interrupted, it is done again.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from .._trace import CloseReason
from .tickets import _DIALING, _DRAINING, _GONE, _HOLDING, _OPEN, _WAITING, Claim, Origin, Slot, SlotState

__all__ = ["Derived", "derive", "mend"]


def mend(
    claims: dict[Claim, None], slots: dict[Slot, None], todo: deque[Slot | Claim], finish: Callable[[Claim], None]
) -> None:
    """Make the states of claims and slots agree with each other, and wake the owners that need not wait, even if they
    were woken before.

    Arguments:
        finish: makes a claim DONE, and removes it from `claims`.
    """
    for claim in list(claims):
        _restore_claim(claim, todo, finish)
    holders = Counter(claim.slot for claim in claims if claim.state is _HOLDING)
    dialed = {claim.slot for claim in claims if claim.state is _DIALING}
    for slot in list(slots):
        # The users of a slot are counted from the claims, whose states are changed in a safe order; `used` is not.
        slot.used = holders[slot]
        ownerless = slot.state is SlotState.DIALING and slot not in dialed
        if ownerless or (slot.state is _DRAINING and not slot.used):
            slot.state = _GONE
        if slot.state is _GONE:
            slot.reason = slot.reason or CloseReason.INTERRUPTED
            # The slot is in `todo` before it leaves the dict, as in the ledger, since this may be interrupted too.
            todo.append(slot)
            del slots[slot]


def _restore_claim(claim: Claim, todo: deque[Slot | Claim], finish: Callable[[Claim], None]) -> None:
    slot = claim.slot
    if claim.state is _WAITING:
        claim.slot = None
    if claim() is None:  # its ticket was dropped
        # The exchange did not end: bytes on the connection belong to a request that was dropped.
        if claim.state is _HOLDING and slot is not None and slot.state is _OPEN:
            slot.state = _DRAINING
        finish(claim)
    elif not _is_consistent(claim):
        finish(claim)  # the owner was interrupted, and will release the claim
    if claim.state is not _WAITING and claim.wake is not None:
        todo.append(claim)


def _is_consistent(claim: Claim) -> bool:
    slot = claim.slot
    if claim.state is _WAITING:
        return True
    if claim.state is _DIALING:
        return slot is not None and slot.state is SlotState.DIALING
    return claim.state is _HOLDING and slot is not None and slot.state in (_OPEN, _DRAINING)


class Derived(NamedTuple):
    """Everything that is derived from claims and slots. See `Ledger`."""

    origins: dict[Hashable, Origin]
    idle: OrderedDict[Slot, None]
    dialing: int
    waiting: int


def derive(claims: Iterable[Claim], slots: Iterable[Slot], origin_of: Callable[[Hashable], Origin]) -> Derived:
    """Derive anew the state that depends on claims and slots.

    Arguments:
        origin_of: makes a new record for an origin, with the facts that are remembered about it.
    """
    origins: dict[Hashable, Origin] = {}
    idle: OrderedDict[Slot, None] = OrderedDict()

    def origin_at(key: Hashable) -> Origin:
        return origins.get(key) or origins.setdefault(key, origin_of(key))

    for slot in sorted(slots, key=_last_used):
        slot.origin = origin = origin_at(slot.key)
        origin.protocol = origin.protocol or slot.protocol
        origin.count += 1
        if slot.state is SlotState.DIALING:
            origin.dialing += 1
        elif slot.state is _OPEN:
            if slot.used < slot.capacity:
                origin.ready[slot] = None
            if not slot.used:
                idle[slot] = None
    waiting = sorted((claim for claim in claims if claim.state is _WAITING), key=_turn)
    for claim in waiting:
        origin_at(claim.key).waiters[claim] = None
    return Derived(origins, idle, sum(origin.dialing for origin in origins.values()), len(waiting))


def _turn(claim: Claim) -> int:
    return claim.turn


def _last_used(slot: Slot) -> float:
    return slot.since
