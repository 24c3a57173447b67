"""TLS sessions that a later handshake with the same hop may resume (RFC 8446, section 2.2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from .._reentry import step_lock

if TYPE_CHECKING:
    import ssl

    from .tls import Resumable


# The most sessions of one pool, and of one hop. A used ticket is not kept, so each connection of a burst needs its own.
_KEPT: Final = 256
_KEPT_OF_ONE: Final = 128


class Sessions:
    """The sources of TLS sessions that later connections may resume, by hop. Any thread may call the methods.

    It keeps the newest 128 of each hop, and 256 in all: beyond 256 it drops the oldest session of the hop that got no
    new one for longest.
    """

    __slots__ = ("_by_key", "_lock")

    def __init__(self) -> None:
        self._lock = step_lock()
        self._by_key: OrderedDict[Hashable, list[Resumable]] = OrderedDict()

    def keep(self, key: Hashable, resumable: Resumable) -> None:
        """Keep a source for the next connection with an equal `key`."""
        # A lost session costs only a full handshake; a wait here would never end.
        if self._lock._is_owned():  # a finaliser or a signal handler has interrupted a step of this thread
            return
        with self._lock:
            mine = self._by_key.setdefault(key, [])
            self._by_key.move_to_end(key)
            mine.append(resumable)
            if len(mine) > _KEPT_OF_ONE:
                del mine[0]
            elif sum(map(len, self._by_key.values())) > _KEPT:
                first = next(iter(self._by_key))
                del self._by_key[first][:1]
                if not self._by_key[first]:
                    del self._by_key[first]

    def take(self, key: Hashable) -> ssl.SSLSession | None:
        """The newest session, for one connection: tickets are not used twice (RFC 8446, appendix C.4)."""
        resumable = self._pop(key)
        return None if resumable is None else resumable.session()

    def _pop(self, key: Hashable) -> Resumable | None:
        if self._lock._is_owned():  # as in `keep`
            return None
        with self._lock:
            mine = self._by_key.get(key)
            if not mine:
                return None
            resumable = mine.pop()
            if not mine:
                del self._by_key[key]
        return resumable
