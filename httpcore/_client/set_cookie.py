"""One cookie by RFC 6265bis: how a Set-Cookie field is parsed, how the cookie is stored, and when it is sent.

The code follows the steps of the draft: sections 5.6 (Set-Cookie), 5.7 (storage), 5.1.1 (dates), 5.1.3 and 5.1.4
(domain and path match). Where the draft leaves a choice:

- A connection is secure over https, and over http to "localhost", 127.0.0.0/8 and ::1, as the note in 5.8.3 allows.
- Public suffixes are refused (`public_suffixes`). Without the list, only a single label counts as one, so a cookie may
  be set for "co.uk".
- A Domain that ends in a dot is refused, since the list of public suffixes has no names with such a dot.
- The path of a cookie is normalised like the path of a URL; otherwise "/%7Ea" would not match "/~a".

Names and values are octets. They are decoded as UTF-8, and other octets become surrogates (PEP 383), so that a cookie
is sent back with exactly the received octets.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from .._address import bracketed, is_address
from .._errors import LocalProtocolError, show, show_value
from .._exact import exact_float, exact_str
from .._message.url import parse_host
from .._public import public, resolvable
from .._values import dataclass
from .public_suffixes import is_public_suffix
from .urls import URL, normal_percents

__all__ = [
    "Cookie",
    "SameSite",
    "canonical_domain",
    "checked",
    "default_path",
    "domain_matches",
    "host_of",
    "is_trusted",
    "octets",
    "parse_date",
    "path_matches",
    "possible_domains",
    "received",
]

SameSite: TypeAlias = Literal["strict", "lax", "none"]

_PAIR_OCTETS: Final = 4096
_ATTRIBUTE_OCTETS: Final = 1024
_LONGEST: Final = 400 * 86400.0
_PAST: Final = 0.0  # 1970, as the draft's earliest time: the cookie has expired

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_WHITE: Final = b" \t"
_SAME_SITE: Final[dict[str, SameSite]] = {"strict": "strict", "lax": "lax", "none": "none"}

# Dates (section 5.1.1).
_DELIMITER = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9].*)?", re.DOTALL)
_DAY = re.compile(r"([0-9]{1,2})(?:[^0-9].*)?", re.DOTALL)
_YEAR = re.compile(r"([0-9]{2,4})(?:[^0-9].*)?", re.DOTALL)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@public
@resolvable
@dataclass(frozen=True, slots=True, repr=False)
class Cookie:
    """One cookie, as it is stored (RFC 6265bis, section 5.7). Immutable; `repr` does not show the value.

    Attributes:
        name, value: as text; octets that are not UTF-8 are surrogates.
        domain: the host in lower-case ASCII, IPv6 in brackets; "" for a cookie that the caller sets for every host.
        path: the cookie is sent with requests for this path and for paths below it.
        host_only: the cookie is sent to exactly that host, not to names below it.
        secure: the cookie is sent only over https, or to this machine.
        http_only: scripts in a browser may not read the cookie. Stored and saved; without effect in this client.
        same_site: "strict", "lax", "none", or None when the server did not set it.
        expires: seconds since 1970 in UTC; None to keep the cookie as long as the `Cookies` object lives.
    """

    name: str
    value: str
    domain: str = ""
    path: str = "/"
    host_only: bool = False
    secure: bool = False
    http_only: bool = False
    same_site: SameSite | None = None
    expires: float | None = None

    def __repr__(self) -> str:
        return f"<Cookie {show(self.name)} for {show((self.domain or '*') + self.path)}>"


# Hosts and paths.


def host_of(url: URL) -> str:
    return bracketed(url.host)


def canonical_domain(domain: str) -> str:
    """A domain from the caller, in the form in which it is stored."""
    if not isinstance(domain, str):
        raise TypeError(f"domain is of type {type(domain).__name__}: expected str")
    domain = exact_str(domain).removeprefix(".")
    return bracketed(parse_host(domain)) if domain else ""


def _is_name(host: str) -> bool:
    return not host.startswith("[") and not is_address(host)


@lru_cache(maxsize=512)
def possible_domains(host: str) -> tuple[str, ...]:
    """The possible domains of a cookie for that host: the host, the names above it, and ""."""
    found = [host]
    if _is_name(host):
        while "." in host[:-1]:  # a dot at the end is part of the last label here
            host = host.partition(".")[2]
            found.append(host)
    return (*found, "")


def domain_matches(host: str, domain: str) -> bool:
    """Whether a host matches the domain of a cookie (section 5.1.3)."""
    return host == domain or (host.endswith(f".{domain}") and _is_name(host))


def path_matches(path: str, cookie_path: str) -> bool:
    """Whether the path of a request matches the path of a cookie (section 5.1.4)."""
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"


def default_path(path: str) -> str:
    return path[: path.rfind("/")] or "/"


def is_trusted(url: URL) -> bool:
    """Whether the connection is secure (the note in section 5.8.3): it is TLS, or it does not leave this machine."""
    host = url.host
    return url.is_ssl or host in ("localhost", "::1") or (host.startswith("127.") and is_address(host))


def octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# Set-Cookie (sections 5.6 and 5.7).


def _parsed(field: bytes, moment: float) -> tuple[bytes, bytes, dict[str, str], float | None] | None:
    """Name, value, attributes (the last one of each name) and expiry time; None if the field must be ignored."""
    if _CONTROL.search(field):
        return None
    pair, _, rest = field.partition(b";")
    name, mark, value = pair.partition(b"=")
    if not mark:
        name, value = b"", name
    name, value = name.strip(_WHITE), value.strip(_WHITE)
    if len(name) + len(value) > _PAIR_OCTETS or not (name or value):
        return None
    attributes: dict[str, str] = {}
    times: dict[str, float] = {}
    for part in rest.split(b";"):
        key, _, octets = part.partition(b"=")
        octets = octets.strip(_WHITE)
        if len(octets) <= _ATTRIBUTE_OCTETS:
            kind, text = key.strip(_WHITE).decode("latin-1").lower(), octets.decode("latin-1")
            attributes[kind] = text
            expires = _expiry(kind, text, moment)
            if expires is not None:
                times[kind] = expires
    return name, value, attributes, times.get("max-age", times.get("expires"))


def _expiry(kind: str, text: str, moment: float) -> float | None:
    """The time at which a cookie expires by Max-Age or Expires; None for another attribute, or for a value that must
    be ignored.
    """
    if kind == "expires":
        expires = parse_date(text)
        return None if expires is None else min(expires, moment + _LONGEST)
    if kind != "max-age" or not _MAX_AGE.fullmatch(text):
        return None
    if text.startswith("-") or not text.strip("0"):
        return _PAST
    return moment + min(float(text[:400]), _LONGEST)  # 400 digits are enough to reach the limit


_MAX_AGE = re.compile(r"[0-9]+|-[0-9]*")


def received(field: bytes, url: URL, moment: float) -> Cookie | None:
    """The cookie of a Set-Cookie field in a response; None if the field must be ignored.

    The rules that depend on other cookies (section 5.7) are in `cookies` and `cookie_store`.
    """
    parsed = _parsed(field, moment)
    if parsed is None:
        return None
    name, value, attributes, expires = parsed
    scope = _scope(attributes.get("domain", ""), host_of(url))
    if scope is None:
        return None
    domain, host_only = scope
    path = attributes.get("path", "")
    secure = "secure" in attributes
    cookie = Cookie(
        name.decode("utf-8", "surrogateescape"),
        value.decode("utf-8", "surrogateescape"),
        domain,
        normal_percents(path) if path.startswith("/") else default_path(url.path),
        host_only,
        secure,
        "httponly" in attributes,
        _SAME_SITE.get(attributes.get("samesite", "").lower()),
        expires,
    )
    # RFC 6265bis, section 5.7: a secure cookie is set over a secure connection only.
    if secure and not is_trusted(url):
        return None
    # The same section: SameSite=None is valid only with Secure.
    if cookie.same_site == "none" and not secure:
        return None
    return cookie if _keeps_its_prefix(cookie, "path" in attributes) else None


def _scope(domain: str, host: str) -> tuple[str, bool] | None:
    """The domain of a cookie and whether the cookie is host-only (section 5.7); None if it must be ignored."""
    domain = domain.removeprefix(".").lower()
    if not domain:
        return host, True
    if not domain.isascii() or domain.endswith(".") or not domain_matches(host, domain):
        return None
    # Otherwise one site under a public suffix such as co.uk could set cookies for all other sites under it.
    if _is_name(domain) and is_public_suffix(domain):
        return (host, True) if domain == host else None
    return domain, False


def _keeps_its_prefix(cookie: Cookie, path_given: bool) -> bool:
    """Whether the cookie obeys the rules for names that begin with `__Secure-` or `__Host-` (section 5.7)."""
    name = cookie.name.lower()
    # A cookie without a name is sent as its value alone, which could look like a cookie with such a name.
    if not name:
        return not cookie.value.lower().startswith(("__secure-", "__host-"))
    if name.startswith("__secure-"):
        return cookie.secure
    if name.startswith("__host-"):
        return cookie.secure and cookie.host_only and path_given and cookie.path == "/"
    return True


def parse_date(text: str) -> float | None:
    """Seconds since 1970 of a date in any form that the algorithm reads (section 5.1.1); None for any other text."""
    time = day = month = year = None
    for token in _DELIMITER.split(text):
        if time is None and (found := _TIME.fullmatch(token)):
            time = int(found[1]), int(found[2]), int(found[3])
        elif day is None and (found := _DAY.fullmatch(token)):
            day = int(found[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := _YEAR.fullmatch(token)):
            year = int(found[1])
    if time is None or day is None or month is None or year is None:
        return None
    year += 1900 if 70 <= year <= 99 else 2000 if year <= 69 else 0
    hour, minute, second = time
    if year < 1601 or hour > 23 or minute > 59 or second > 59 or not 1 <= day <= _days_of(year, month):
        return None
    return float(((_days_until(year, month) + day - 1) * 24 + hour) * 3600 + minute * 60 + second)


def _days_of(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 28 + leap if month == 2 else 30 + (month + month // 8) % 2


def _days_until(year: int, month: int) -> int:
    """Days from 1970 to the first of that month, in the Gregorian calendar."""
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    return days + sum([_days_of(year, each) for each in range(1, month)])


# Cookies that a caller sets.


def checked(cookie: Cookie) -> Cookie:
    """A cookie from the caller, in the form in which it is stored.

    Raises:
        LocalProtocolError: the cookie cannot be sent as it is.
        InvalidURL: the domain is not a host.
        TypeError: an attribute is of another type.
    """
    name, value = _text(cookie.name, "name", "=;"), _text(cookie.value, "value", ";")
    if not name and not value:
        raise LocalProtocolError("a cookie has neither a name nor a value: expected one of them")
    size = len(octets(name)) + len(octets(value))
    if size > _PAIR_OCTETS:
        raise LocalProtocolError(f"a cookie of {size} octets: expected at most {_PAIR_OCTETS} of name and value")
    path = _text(cookie.path, "path", ";")
    if not path.startswith("/"):
        raise LocalProtocolError(f"a cookie's path is {show(path)}: expected one that begins with /")
    if cookie.same_site not in (None, "strict", "lax", "none"):
        raise LocalProtocolError(
            f"a cookie's same_site is {show_value(cookie.same_site)}: expected 'strict', 'lax', 'none' or None"
        )
    domain = canonical_domain(cookie.domain)
    if cookie.expires is not None and not isinstance(cookie.expires, (int, float)):
        raise TypeError(f"a cookie's expires is of type {type(cookie.expires).__name__}: expected seconds or None")
    expires = None if cookie.expires is None else exact_float(cookie.expires)
    return Cookie(
        name,
        value,
        domain,
        normal_percents(path),
        bool(cookie.host_only and domain),
        bool(cookie.secure),
        bool(cookie.http_only),
        cookie.same_site,
        expires,
    )


def _text(value: object, attribute: str, excluded: str) -> str:
    """The text of an attribute, checked; the error does not show it, since it may be a secret."""
    if not isinstance(value, str):
        raise TypeError(f"a cookie's {attribute} is of type {type(value).__name__}: expected str")
    text = exact_str(value)
    try:
        raw = octets(text)
    except UnicodeEncodeError:
        raw = b"\0"
    if _CONTROL.search(raw) or raw.strip(_WHITE) != raw or any(character in text for character in excluded):
        raise LocalProtocolError(
            f"a cookie's {attribute} has a control character, white space at its start or end, "
            f"or one of {show(excluded)}: expected none of these"
        )
    return text
