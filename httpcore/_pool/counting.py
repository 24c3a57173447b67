"""The counts of the ledger, from claims and slots alone: the counts are right in the middle of a step too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Final

from .stats import OriginStats, PoolStats
from .tickets import _GONE, _HOLDING, _WAITING, Claim, Slot, SlotState

__all__ = ["counted"]

_COUNTED: Final = OriginStats.__match_args__


def counted(claims: Iterable[Claim], slots: Iterable[Slot]) -> PoolStats:
    """One consistent snapshot. Each claim and slot is read once."""
    counts: dict[str, Counter[str]] = {}
    labels: dict[Hashable, str] = {}
    in_use: set[Slot | None] = set()

    def note(key: Hashable, *names: str) -> None:
        label = labels.get(key) or labels.setdefault(key, str(key))
        counts.setdefault(label, Counter()).update(names)

    for claim in claims:
        if claim.state is _HOLDING:
            in_use.add(claim.slot)
            note(claim.key, "leased")
        elif claim.state is _WAITING:
            note(claim.key, "waiting")
    for slot in slots:
        if slot.state is SlotState.DIALING:
            note(slot.key, "connections", "dialing")
        elif slot.state is not _GONE:
            note(slot.key, "connections", "busy" if slot in in_use else "idle")
    origins = {label: OriginStats(*(count[name] for name in _COUNTED)) for label, count in counts.items()}
    totals: Counter[str] = sum(counts.values(), Counter())
    return PoolStats(
        totals["connections"],
        totals["idle"],
        totals["busy"],
        totals["dialing"],
        totals["leased"],
        totals["waiting"],
        origins,
    )
