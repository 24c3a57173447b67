"""The cookies of a client: received with responses, sent with requests (RFC 6265bis), and saved in a file.

The module `set_cookie` handles one cookie, `cookie_store` many. Where the draft leaves a choice:

- A client has no page that a request comes from, so each request counts as same-site. With `cross_site=True` only
  cookies with SameSite=None are sent.
- At most 16 KiB of cookies are sent with one request.
- A cookie that the caller sets may have no domain, a case that the draft does not have. Such a cookie is sent to every
  host that the caller sends a request to, is replaced by a cookie of the same name that a server sets, and is not sent
  after a redirect to another origin.

The lock is held only for plain calls of the store, never across an await.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Final, TypeAlias

from .._errors import HTTPCoreError, show
from .._public import public
from .._reentry import check_not_inside, step_lock
from . import cookie_file
from .cookie_store import CookieStore, Entry
from .headers import Headers
from .set_cookie import (
    Cookie,
    SameSite,
    canonical_domain,
    checked,
    host_of,
    is_trusted,
    path_matches,
    received,
)
from .urls import URL, URLTypes

__all__ = ["Cookie", "CookieConflict", "CookieTypes", "Cookies"]


_HEADER_OCTETS: Final = 16384


@public
class CookieConflict(HTTPCoreError, LookupError):
    """Several cookies have the requested name; domain and path distinguish them."""


@public
class Cookies(MutableMapping[str, str]):
    """The cookies of a client: a mapping of names to values, in which each cookie also has a domain and a path.

    `cookies["name"]` is the value of the one cookie of that name. If several cookies have the name, this raises
    `CookieConflict`; `find` and `select` also accept domain and path. A cookie that `cookies["name"] = "value"` sets
    has no domain and is sent to every host, until a response sets a cookie of that name. Any number of threads may
    share the object.

    Arguments:
        cookies: a mapping of names to values, pairs of name and value, an iterable of `Cookie`, or a `Cookies` object.
            Default None: none.

    Raises:
        LocalProtocolError: a name or a value cannot be sent.
        TypeError: an argument is of another type.
    """

    def __init__(self, cookies: CookieTypes = None) -> None:
        self._lock = step_lock()
        self._store = CookieStore()
        if cookies is not None:
            self.update(cookies)

    # One by one.

    def set(
        self,
        name: str,
        value: str,
        *,
        domain: str = "",
        path: str = "/",
        host_only: bool = False,
        secure: bool = False,
        http_only: bool = False,
        same_site: SameSite | None = None,
        expires: float | None = None,
    ) -> None:
        """Store a cookie, in place of one of that name, domain and path. The arguments are the attributes of `Cookie`.

        Raises:
            LocalProtocolError: the name or the value cannot be sent, or the path does not begin with "/".
            InvalidURL: the domain is not a host.
        """
        cookie = checked(Cookie(name, value, domain, path, host_only, secure, http_only, same_site, expires))
        self._put([cookie])

    def find(self, name: str, *, domain: str | None = None, path: str | None = None) -> Cookie | None:
        """The one cookie of that name, None if there is none.

        Raises:
            CookieConflict: there are several.
        """
        found = self.select(name, domain=domain, path=path)
        found = [cookie for cookie in found if cookie.domain] or found  # a cookie with a domain takes precedence
        if len(found) > 1:
            places = ", ".join([show((cookie.domain or "*") + cookie.path) for cookie in found[:5]])
            raise CookieConflict(
                f"{len(found)} cookies have the name {show(name)}, for {places}: "
                "expected one; find(name, domain=..., path=...) tells them apart"
            )
        return found[0] if found else None

    def select(self, name: str | None = None, *, domain: str | None = None, path: str | None = None) -> list[Cookie]:
        """The cookies of that name, domain and path, in the order in which they were set. Default: all."""
        moment = time.time()
        wanted = None if domain is None else canonical_domain(domain)
        # The entries are copied under the lock; sorting them and dropping expired ones need no lock.
        check_not_inside(self._lock, "Cookies")
        with self._lock:
            entries = [
                entry
                for entry in self._store.entries(wanted)
                if (name is None or entry.cookie.name == name) and (path is None or entry.cookie.path == path)
            ]
        entries.sort(key=_by_creation)
        return [entry.cookie for entry in entries if entry.expires > moment]

    def remove(self, name: str | None = None, *, domain: str | None = None, path: str | None = None) -> int:
        """Forget the cookies that `select` returns for these arguments. Return their number."""
        selected = self.select(name, domain=domain, path=path)
        check_not_inside(self._lock, "Cookies")
        with self._lock:
            for cookie in selected:
                self._store.drop(cookie)
        return len(selected)

    def domains(self) -> list[str]:
        """The domains of the cookies; "" stands for the cookies without a domain, which are for every host."""
        return list(dict.fromkeys([cookie.domain for cookie in self.select()]))

    # Of a client.

    def extract(self, url: URLTypes, headers: Headers, *, now: float | None = None) -> None:
        """Store the cookies that a response sets (RFC 6265bis, sections 5.6 and 5.7). Invalid cookies are ignored, as
        specified there.

        Arguments:
            url: of the request; the host of the cookies is that of the URL, never that of a Host header.
            headers: of the response.
            now: seconds since 1970. Default None: the current time.
        """
        fields = headers.get_raw(b"set-cookie")
        if not fields:
            return
        moment = time.time() if now is None else now
        asked = URL(url)
        new = [cookie for field in fields if (cookie := received(field, asked, moment)) is not None]
        domains = {cookie.domain for cookie in new}
        check_not_inside(self._lock, "Cookies")
        with self._lock:
            # For all fields together: `secure_paths` reads the whole store, once for each domain.
            secure = {} if is_trusted(asked) else {each: self._store.secure_paths(each) for each in domains}
            for cookie in new:
                if cookie.secure or not _shadows(cookie, secure):
                    self._store.put(cookie, moment)
            self._store.evict(domains, moment)

    def header(
        self,
        url: URLTypes,
        *,
        now: float | None = None,
        cross_site: bool = False,
        unbound: bool = True,
        extra: Cookies | None = None,
    ) -> bytes | None:
        """The value of the Cookie field of a request (RFC 6265bis, section 5.8.3); None for no field.

        Arguments:
            url: of the request.
            now: seconds since 1970. Default None: the current time.
            cross_site: the request is made on behalf of another site: only cookies with SameSite=None are sent. Default
                False.
            unbound: include cookies that have no domain. The client leaves them out after a redirect to another origin.
                Default True.
            extra: cookies of this request alone, which replace stored cookies of the same name. Default None: none.
        """
        # Checked without the lock: an empty jar has nothing to send, and nearly all requests return here.
        if not self._store and not (extra is not None and extra._store):
            return None
        asked = URL(url)
        moment = time.time() if now is None else now
        found = self._matching(asked, moment, cross_site, unbound)
        if extra is not None:
            more = extra._matching(asked, moment, cross_site, unbound)
            names = {entry.cookie.name for entry in more}
            found = [*[entry for entry in found if entry.cookie.name not in names], *more]
        return _field(found)

    def _matching(self, url: URL, moment: float, cross_site: bool, unbound: bool) -> list[Entry]:
        host, trusted = host_of(url), url.is_ssl or is_trusted(url)
        check_not_inside(self._lock, "Cookies")
        with self._lock:
            return self._store.matching(host, url.path, moment, trusted=trusted, cross_site=cross_site, unbound=unbound)

    # As a mapping.

    def __getitem__(self, name: str) -> str:
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found.value

    def __setitem__(self, name: str, value: str) -> None:
        """Change the value of the one cookie of that name, or set a new cookie without a domain."""
        old = self.find(name)
        cookie = checked(_with_value(old, value) if old is not None else Cookie(name, value))
        self._put([cookie])

    def __delitem__(self, name: str) -> None:
        """Forget all cookies of that name."""
        if not self.remove(name):
            raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.select(name))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([cookie.name for cookie in self.select()]))

    def __len__(self) -> int:
        """The number of different names; `len(cookies.select())` is the number of cookies."""
        return len({cookie.name for cookie in self.select()})

    def clear(self) -> None:
        """Forget all cookies."""
        check_not_inside(self._lock, "Cookies")
        with self._lock:
            self._store.clear()

    def update(self, cookies: CookieTypes = None, /, **named: str) -> None:  # type: ignore[override]
        """Store each of these cookies, with domain and path if they have any."""
        self._put(_cookie_list(cookies) + _cookie_list(named))

    def _put(self, cookies: list[Cookie]) -> None:
        moment = time.time()
        check_not_inside(self._lock, "Cookies")
        with self._lock:
            for cookie in cookies:
                self._store.put(cookie, moment)
            self._store.evict({cookie.domain for cookie in cookies}, moment)

    def copy(self) -> Cookies:
        """A new object with the same cookies."""
        return Cookies(self)

    def __eq__(self, other: object) -> bool:
        """Whether `other` has the same cookies; another mapping is compared by names and values."""
        mine = self.select()
        if isinstance(other, Cookies):
            return sorted(mine, key=_by_text) == sorted(other.select(), key=_by_text)
        if isinstance(other, Mapping):
            return len({cookie.name for cookie in mine}) == len(mine) and {c.name: c.value for c in mine} == dict(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # the object is mutable

    def __reduce__(self) -> tuple[type[Cookies], tuple[list[Cookie]]]:
        return type(self), (self.select(),)

    def __repr__(self) -> str:
        return f"<Cookies: {len(self.select())} for {len(self.domains())} domains>"

    # In a file.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all cookies to a file that only its owner can read. An existing file is replaced atomically."""
        cookie_file.write(path, self.select())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Cookies:
        """The cookies of a file that `save` wrote, without those that have expired.

        Raises:
            OSError: the file cannot be read.
            ValueError: `save` did not write the file, or it is damaged.
        """
        return cls(cookie_file.read(path))


def _by_creation(entry: Entry) -> int:
    return entry.created


def _by_text(cookie: Cookie) -> tuple[str, str, str, bool]:
    return cookie.domain, cookie.path, cookie.name, cookie.host_only


def _with_value(cookie: Cookie, value: str) -> Cookie:
    old = cookie
    return Cookie(
        old.name, value, old.domain, old.path, old.host_only, old.secure, old.http_only, old.same_site, old.expires
    )


def _field(entries: list[Entry]) -> bytes | None:
    """The value of a Cookie field with these entries; the last ones are left out if the field would be too long."""
    field = b"; ".join([entry.part for entry in entries])
    while len(field) > _HEADER_OCTETS:
        entries = entries[:-1]
        field = b"; ".join([entry.part for entry in entries])
    return field or None


def _shadows(cookie: Cookie, secure: dict[str, dict[str, set[str]]]) -> bool:
    """Whether a cookie from an insecure connection would shadow a secure one (section 5.7)."""
    paths = secure.get(cookie.domain, {}).get(cookie.name, ())
    return any(path_matches(cookie.path, path) for path in paths)


CookieTypes: TypeAlias = Cookies | Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[Cookie] | None


def _cookie_list(cookies: CookieTypes) -> list[Cookie]:
    """The checked cookies of an argument in any form that `Cookies` accepts."""
    if cookies is None:
        return []
    if isinstance(cookies, Cookies):
        return cookies.select()
    if isinstance(cookies, (str, bytes)) or not isinstance(cookies, Iterable):
        raise TypeError(
            f"cookies is of type {type(cookies).__name__}: expected a mapping, pairs, an iterable of Cookie, Cookies, "
            "or None"
        )
    items = cookies.items() if isinstance(cookies, Mapping) else cookies
    return [checked(item if isinstance(item, Cookie) else _cookie_of_pair(item)) for item in items]


def _cookie_of_pair(item: object) -> Cookie:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise TypeError(f"cookies has an item of type {type(item).__name__}: expected pairs of name and value")
    return Cookie(*item)
