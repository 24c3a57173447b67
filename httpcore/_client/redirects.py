"""Redirects (RFC 9110, section 15.4): the URL, method and fields of the next request. Pure functions, without I/O.

Where the RFC leaves a choice:

- 301 and 302 turn POST into GET, as browsers and curl do, and keep every other method, including QUERY. 303 turns every
  method except HEAD into GET. 307 and 308 keep the method and the body. If the method changes, the body and the fields
  that describe it are dropped.
- A Location that two parsers could interpret differently is an error: two different Location fields, a backslash, or a
  control character. A space, a non-ASCII character and a `%` without two hex digits are percent-encoded, as in curl and
  browsers.
- User name and password in a Location are dropped: a server must not choose the client's credentials for another
  server.
- Credentials are sent only to their origin: scheme, host and port. When one of the three changes, every field that may
  carry credentials is dropped for all further hops: a later hop back to the first origin does not receive them again.
- A request that was sent before in the same chain, with the same cookies, is a loop: its response would be the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from .._errors import (
    LocalProtocolError,
    RedirectBodyUnavailable,
    RedirectError,
    RedirectLoop,
    TooManyRedirects,
    UnsupportedProtocol,
    show,
)
from .._message.fields import Headers as Pairs
from .headers import CREDENTIALS
from .urls import URL

__all__ = [
    "CREDENTIALS",
    "DEFAULT_MAX_REDIRECTS",
    "STATUSES",
    "Chain",
    "Redirect",
    "kept_fields",
    "location_of",
    "redirect_for",
]

DEFAULT_MAX_REDIRECTS: Final = 20

STATUSES: Final = frozenset((301, 302, 303, 307, 308))

_OF_THE_BODY: Final = frozenset((b"transfer-encoding", b"trailer", b"expect"))  # and content-*

_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WITHOUT_SLASHES: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")


class Redirect(NamedTuple):
    """The next request of a redirect.

    Attributes:
        method: of the next request.
        url: absolute, with neither user name nor password.
        keeps_body: the body is sent again.
        same_origin: credentials may be sent.
    """

    method: str
    url: URL
    keeps_body: bool
    same_origin: bool


def location_of(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The Location of a response that is a redirect; None for any other response.

    Arguments:
        headers: pairs with lower-cased names.

    Raises:
        RedirectError: the response has several Location fields that differ.
    """
    if status not in STATUSES:
        return None
    found = {value for name, value in headers if name == b"location"}
    if len(found) > 1:
        seen = ", ".join(map(show, sorted(found)))
        raise RedirectError(f"the server sent {len(found)} different Location fields: expected one, got {seen}")
    return found.pop() if found else None


def redirect_for(method: str, url: URL, status: int, location: bytes) -> Redirect:
    """The target of a redirect.

    Raises:
        RedirectError: the Location is not a URL that can be requested.
    """
    target = _target(url, location)
    changed = method_for(method, status)
    return Redirect(changed, target, changed == method and status != 303, target.origin == url.origin)


def method_for(method: str, status: int) -> str:
    if status == 303:
        return "HEAD" if method == "HEAD" else "GET"
    # RFC 9110, sections 15.4.2 and 15.4.3: for these two statuses, clients have always changed POST to GET. PUT and
    # other methods are kept.
    return "GET" if method == "POST" and status in (301, 302) else method


def _target(url: URL, location: bytes) -> URL:
    text = _text(location)
    scheme = _WITHOUT_SLASHES.match(text)
    try:
        if scheme is not None and scheme[1].lower() not in ("http", "https"):
            raise UnsupportedProtocol("the scheme must be http or https")
        target = url.resolve_with(text)
        if target.username or target.password:
            target = target.copy_with(username=None, password=None)
        if not target.fragment and "#" not in text and url.fragment:  # RFC 9110, section 10.2.2
            target = target.copy_with(fragment=url.fragment)
    except (ValueError, LocalProtocolError, UnsupportedProtocol) as error:
        reason = getattr(error, "message", str(error)).rpartition("url is ")[2].partition(": ")[2] or str(error)
        raise RedirectError(
            f"the server sent a Location that cannot be followed: expected an http or https URL, got {shown(text)} "
            f"({reason})"
        ) from None
    return target


def _text(location: bytes) -> str:
    """The Location as text for the URL parser: spaces, and a "%" without two hex digits, are percent-encoded."""
    try:
        text = location.decode("utf-8")
    except UnicodeDecodeError:
        text = location.decode("latin-1")
    return _STRAY_PERCENT.sub("%25", text.strip(" \t").replace(" ", "%20"))


def shown(text: str) -> str:
    """A Location for error messages, without the part that may be a password."""
    scheme, mark, rest = text.partition("//")
    authority, slash, path = rest.partition("/")
    if mark and "@" in authority:
        text = f"{scheme}//***@{authority.rpartition('@')[2]}{slash}{path}"
    elif "@" in text:
        text = "***@" + text.rpartition("@")[2]
    return show(text)


def kept_fields(
    headers: Iterable[tuple[bytes, bytes]],
    *,
    keeps_body: bool,
    same_origin: bool,
    credentials: frozenset[bytes],
    drops: frozenset[bytes] = frozenset(),
) -> Pairs:
    """The fields that the next request keeps.

    Arguments:
        credentials: names of the fields that are sent only to their origin.
        drops: names of the fields that are made again for each request.
    """
    kept = []
    for name, value in headers:
        # Content-Type and the like describe a body that is no longer sent (RFC 9110, section 15.4).
        lower = name.lower()
        if not keeps_body and (lower in _OF_THE_BODY or lower.startswith(b"content-")):
            continue
        if lower in drops or (not same_origin and (lower == b"host" or lower in credentials)):
            continue
        kept.append((name, value))
    return kept


class Chain:
    """The redirects of one call.

    Attributes:
        left_origin: a hop led to another origin than the first, so no credentials are sent any more.
    """

    __slots__ = ("_followed", "_max_redirects", "_seen", "left_origin")

    def __init__(self, most: int) -> None:
        self._max_redirects = most
        self._followed = 0
        self._seen: set[tuple[str, str, bytes]] = set()
        self.left_origin = False

    def copy(self) -> Chain:
        """A copy, to continue from here a second time."""
        # `next()` may be called on a response again: each run has its own count, from the redirects before it.
        other = Chain(self._max_redirects)
        other._followed, other._seen, other.left_origin = self._followed, set(self._seen), self.left_origin
        return other

    def sent(self, method: str, url: URL, cookie: bytes) -> None:
        """Record that a request is sent.

        Raises:
            RedirectLoop: the same request was sent before.
        """
        # Cookies are compared, too: a login that sets a cookie and leads back to the same URL is no loop.
        asked = (method, url.request_url, cookie)
        if asked in self._seen:
            raise RedirectLoop(f"the server redirects in a loop: {method} {url.redacted} was requested before")
        self._seen.add(asked)

    def follow(self, redirect: Redirect, *, replayable: bool) -> None:
        """Count a redirect that is about to be followed.

        Raises:
            TooManyRedirects: this is one redirect more than the limit.
            RedirectBodyUnavailable: the body would have to be sent again and cannot be.
        """
        self._followed += 1
        if self._followed > self._max_redirects:
            raise TooManyRedirects(
                f"the server redirects more than {self._max_redirects} times: expected at most "
                f"max_redirects={self._max_redirects}",
                limit=self._max_redirects,
            )
        if redirect.keeps_body and not replayable:
            raise RedirectBodyUnavailable(
                f"a redirect to {redirect.url.redacted} has the body sent again, which is an iterator whose items are "
                "gone: expected bytes, a file that can seek, or a ReplayableBody"
            )
        # Never reset, even if a later hop leads back to the first origin: the origin between may have chosen that hop.
        if not redirect.same_origin:
            self.left_origin = True
