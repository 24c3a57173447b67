"""The store of cookies, without lock and clock: which cookies are kept, removed and sent (RFC 6265bis).

At most 50 cookies of one domain and 3,000 in all are kept (section 5.7). Above a limit, expired cookies are removed
first; above the limit of a domain, the domain's cookies without Secure are removed next; then the least recently used
cookies. The limit of a domain does not apply to cookies without a domain, which only the caller sets. The cookies for a
host are remembered in the order of sending (section 5.8.3) until the store changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Final, TypeAlias

from .set_cookie import Cookie, domain_matches, octets, path_matches, possible_domains

__all__ = ["CookieStore", "Entry"]

_PER_DOMAIN: Final = 50
_IN_ALL: Final = 3000
_HOSTS: Final = 256  # the most hosts whose cookies are remembered


class Entry:
    """A stored cookie, its text as sent, and the times of creation and last use: only their order matters, so each is
    a number from a counter."""

    __slots__ = ("cookie", "created", "expires", "part", "used")

    def __init__(self, cookie: Cookie, created: int, used: int) -> None:
        self.cookie = cookie
        self.part = octets(f"{cookie.name}={cookie.value}" if cookie.name else cookie.value)
        self.expires = inf if cookie.expires is None else cookie.expires
        self.created = created
        self.used = used


_Key: TypeAlias = tuple[str, str, bool]  # path, name, host-only
_EMPTY: Final[dict[_Key, Entry]] = {}


class CookieStore:
    """Cookies by domain, then by path, name and host-only flag. The owner holds a lock around each method call."""

    def __init__(self) -> None:
        self._domains: dict[str, dict[_Key, Entry]] = {}
        self._by_host: dict[str, list[Entry]] = {}
        self._count = 0
        self._clock = 0

    def __bool__(self) -> bool:
        return bool(self._domains)

    def entries(self, domain: str | None) -> Iterator[Entry]:
        """All entries, or the entries of one domain."""
        stores = self._domains.values() if domain is None else [self._domains.get(domain, _EMPTY)]
        return (entry for store in stores for entry in store.values())

    def put(self, cookie: Cookie, moment: float) -> None:
        """Store a cookie, in place of the cookie with the same domain, path, name and host-only flag. An expired cookie
        only removes that one.
        """
        # The lists that are remembered by host contain entries, so any change of the store clears them.
        self._by_host.clear()
        self._clock += 1
        store = self._domains.setdefault(cookie.domain, {})
        key = _key(cookie)
        old = store.get(key)
        self._count += old is None
        new = store[key] = Entry(cookie, self._clock if old is None else old.created, self._clock)
        if new.expires <= moment:
            self.drop(cookie)

    def drop(self, cookie: Cookie) -> None:
        """Forget a cookie, if it is there."""
        self._by_host.clear()
        store = self._domains.get(cookie.domain, _EMPTY)
        if store.pop(_key(cookie), None) is not None:
            self._count -= 1
            if not store:
                del self._domains[cookie.domain]

    def clear(self) -> None:
        """Forget all cookies."""
        self._domains.clear()
        self._by_host.clear()
        self._count = 0

    def secure_paths(self, domain: str) -> dict[str, set[str]]:
        """Name and paths of each secure cookie that a cookie of this domain could shadow (section 5.7).

        This method reads all domains, so the caller calls it once for each domain, and not for each cookie.
        """
        found: dict[str, set[str]] = {}
        for each, store in self._domains.items():
            if each and (domain_matches(each, domain) or domain_matches(domain, each)):
                for (path, name, _), entry in store.items():
                    if entry.cookie.secure:
                        found.setdefault(name, set()).add(path)
        return found

    def evict(self, domains: Iterable[str], moment: float) -> None:
        """Remove the cookies beyond the limits, after cookies were stored for these domains."""
        for domain in domains:
            if domain and len(self._domains.get(domain, _EMPTY)) > _PER_DOMAIN:
                self._forget_expired(domain, moment)
                left = sorted(self.entries(domain), key=_by_worth)
                for entry in left[: max(len(left) - _PER_DOMAIN, 0)]:
                    self.drop(entry.cookie)
        if self._count > _IN_ALL:
            for domain in list(self._domains):
                self._forget_expired(domain, moment)
            left = sorted(self.entries(None), key=_by_use)
            for entry in left[: max(len(left) - _IN_ALL, 0)]:
                self.drop(entry.cookie)

    def _forget_expired(self, domain: str, moment: float) -> None:
        for entry in [entry for entry in self.entries(domain) if entry.expires <= moment]:
            self.drop(entry.cookie)

    def matching(
        self, host: str, path: str, moment: float, *, trusted: bool, cross_site: bool, unbound: bool
    ) -> list[Entry]:
        """The cookies to send with a request, in the order of section 5.8.3. `Cookies` documents which cookies without
        a domain are included.
        """
        known = self._by_host.get(host)
        found: list[Entry] = []
        for entry in self._candidates(host) if known is None else known:
            cookie = entry.cookie
            if (
                entry.expires > moment
                and (trusted or not cookie.secure)
                and (cookie.path == "/" or path_matches(path, cookie.path))
                and not (cross_site and cookie.same_site != "none")
            ):
                found.append(entry)
        if "" in self._domains:
            bound = {entry.cookie.name for entry in found if entry.cookie.domain}
            found = [e for e in found if e.cookie.domain or (unbound and e.cookie.name not in bound)]
        self._clock = clock = self._clock + 1
        for entry in found:
            entry.used = clock
        return found

    def _candidates(self, host: str) -> list[Entry]:
        """The cookies that may be sent to a host, in the order of sending."""
        found = [
            entry
            for domain in possible_domains(host)
            for entry in self._domains.get(domain, _EMPTY).values()
            if domain == host or not entry.cookie.host_only
        ]
        found.sort(key=_by_path)
        if len(self._by_host) >= _HOSTS:
            self._by_host.clear()
        self._by_host[host] = found
        return found


def _key(cookie: Cookie) -> _Key:
    return cookie.path, cookie.name, cookie.host_only


def _by_path(entry: Entry) -> tuple[int, int]:
    return -len(entry.cookie.path), entry.created


def _by_worth(entry: Entry) -> tuple[bool, int]:
    return entry.cookie.secure, entry.used


def _by_use(entry: Entry) -> int:
    return entry.used
