"""The protocols that origins were found to speak, for the most recently used origins."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from .tickets import Speaks

__all__ = ["REMEMBERED", "Protocols"]

REMEMBERED: Final = 1000
"""The number of keys whose protocol the ledger remembers."""


class Protocols:
    """The protocol of each key; the key that was unused for longest is forgotten first."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, Speaks] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Hashable) -> Speaks | None:
        protocol = self._known.get(key)
        if protocol is not None:
            self._known.move_to_end(key)
        return protocol

    def remember(self, key: Hashable, protocol: Speaks) -> None:
        self._known[key] = protocol
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
