"""URLs, origins and query parameters of the client: normalised, immutable values over the parser of the pool.

`_message/url` decides what is a URL, so client and pool never differ about a host. On top of it this module does the
normalisation of RFC 3986, sections 6.2.2 and 6.2.3: lower-case scheme and host, no default port, "/" for an empty path,
no dot segments, hex digits of `%` in upper case, and unreserved characters decoded. The pool itself sends a path as it
was written; a client compares URLs and resolves references, so it needs one text for each URL.

Parsed texts are cached up to a limit, but never a text with an "@", which may follow a password.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NoReturn, TypeAlias

from .._address import bracketed, canonical
from .._errors import InvalidURL, show
from .._exact import exact_bytes, exact_int, exact_str
from .._message.url import FORBIDDEN, encoded, refuse
from .._message.url import URL as Place
from .._public import public
from .query_params import QueryParams, QueryParamTypes

__all__ = ["URL", "Origin", "QueryParamTypes", "QueryParams", "URLTypes", "normal_percents"]

URLTypes: TypeAlias = "URL | str | bytes"

_CACHED_LENGTH: Final = 2048  # characters, as in the pool

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
# RFC 3986, appendix B, for a text without a scheme.
_REFERENCE = re.compile(r"(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NOT_IN_USERINFO = re.compile(rb"[^A-Za-z0-9\-._~!$&'()*+,;=]")


class _Unset:
    """The default of an argument for which None is a meaningful value."""


_UNSET: Final = _Unset()


@public
class URL:
    """An http or https URL, or with `allow_relative` a reference to one. Immutable, hashable, compared by its
    text.

    Arguments:
        url: str, ASCII bytes, or a URL.
        allow_relative: also accept a reference without a scheme, for `resolve_with`. Default False: it is an error.
        query_params: parameters that are appended to the query. Default None: none.

    Raises:
        InvalidURL: `url` is not a URL, or two parsers could interpret it differently: it has a backslash, or a space
            before the path.
        UnsupportedProtocol: the scheme is neither http nor https.

    `str(url)` is the whole text, user name and password included. `repr(url)` and `redacted` show neither.
    """

    __slots__ = ("_fragment", "_host", "_path", "_port", "_query", "_request_url", "_scheme", "_text", "_userinfo")

    _scheme: str
    _userinfo: tuple[bytes, bytes] | None
    _host: str
    _port: int
    _path: str
    _query: str | None
    _fragment: str | None
    _text: str
    _request_url: str

    def __new__(cls, url: URLTypes, allow_relative: bool = False, query_params: QueryParamTypes | None = None) -> URL:
        if type(url) is str and not allow_relative and query_params is None and len(url) <= _CACHED_LENGTH:
            return _remembered(url) if "@" not in url else _absolute(url)
        if query_params is not None:
            return _with_query_params(URL(url, allow_relative), QueryParams(query_params))
        if isinstance(url, URL):
            if not url._scheme and not allow_relative:
                _refuse_relative(url._text)
            return url
        text = _text(url)
        return _relative(text) if allow_relative and not _SCHEME.match(text) else _absolute(text)

    def __init_subclass__(cls) -> None:
        raise TypeError("URL cannot be subclassed: write a function that accepts a URL")

    @property
    def scheme(self) -> str:
        """ "http" or "https"; empty in a relative URL."""
        return self._scheme

    @property
    def authority(self) -> str:
        """User info, host and port as in the text (RFC 3986, section 3.2): "user:password@example.org:8080"."""
        start = self._text.find("//") if self._host else -1
        return self._text[start + 2 :].partition("/")[0].partition("?")[0].partition("#")[0] if start >= 0 else ""

    @property
    def username(self) -> str:
        """The user name, percent-decoded; empty if absent. Octets that are not UTF-8 become surrogates (PEP 383)."""
        return self._userinfo[0].decode("utf-8", "surrogateescape") if self._userinfo is not None else ""

    @property
    def password(self) -> str:
        """The password, decoded as `username`; empty if absent."""
        return self._userinfo[1].decode("utf-8", "surrogateescape") if self._userinfo is not None else ""

    @property
    def userinfo(self) -> tuple[bytes, bytes] | None:
        """User name and password as octets, percent-decoded; None when there are none."""
        return self._userinfo

    @property
    def host(self) -> str:
        """The host in lower-case ASCII: a name (with A-labels), or an IP address without brackets; empty if absent."""
        return self._host

    @property
    def port(self) -> int:
        """The port; if the URL has none, the default of the scheme, or 0 for a relative URL."""
        return self._port

    @property
    def path(self) -> str:
        """The path, percent-encoded: "/a%20b". In an absolute URL it begins with a slash."""
        return self._path

    @property
    def query(self) -> str:
        """The part after the "?", percent-encoded."""
        return self._query or ""

    @property
    def query_params(self) -> QueryParams:
        """The query as `application/x-www-form-urlencoded`."""
        return QueryParams(self._query)

    @property
    def full_path(self) -> str:
        """Path and query, as they are sent: "/search?q=1"."""
        path = self._path or "/"
        return path if self._query is None else f"{path}?{self._query}"

    @property
    def fragment(self) -> str:
        """The part after the "#", percent-encoded. It is never sent."""
        return self._fragment or ""

    @property
    def is_ssl(self) -> bool:
        """Whether the scheme is https."""
        return self._scheme == "https"

    @property
    def is_absolute_url(self) -> bool:
        """Whether there are a scheme and a host."""
        return bool(self._scheme)

    @property
    def is_relative_url(self) -> bool:
        """Whether the URL must be resolved against another one before use."""
        return not self._scheme

    @property
    def origin(self) -> Origin:
        """Scheme, host and port (RFC 6454).

        Raises:
            InvalidURL: the URL is relative.
        """
        made = object.__new__(Origin)
        if not self._scheme:
            _refuse_relative(self._text)
        made._scheme, made._host, made._port = self._scheme, self._host, self._port
        return made

    @property
    def request_url(self) -> str:
        """The text without user info and fragment, as a transport receives it."""
        return self._request_url

    @property
    def redacted(self) -> str:
        """The text for logs: without user name, password and fragment."""
        if not self._scheme:
            text = self._text.partition("#")[0]
            return f"//***@{text.rpartition('@')[2]}" if self._userinfo is not None else text
        if self._userinfo is None:
            return self._request_url
        start = len(self._scheme) + 3
        place, _, target = self._request_url[start:].partition("/")
        # An "@" here may mean that the password has a "/" in it, which ended the host.
        target = "***" if "@" in target or "%40" in target else target
        return f"{self._scheme}://***@{place}/{target}"

    def copy_with(
        self,
        *,
        scheme: str | _Unset = _UNSET,
        authority: str | _Unset = _UNSET,
        path: str | _Unset = _UNSET,
        query: str | _Unset | None = _UNSET,
        fragment: str | _Unset | None = _UNSET,
        username: str | bytes | _Unset | None = _UNSET,
        password: str | bytes | _Unset | None = _UNSET,
        host: str | _Unset = _UNSET,
        port: int | _Unset | None = _UNSET,
        query_params: QueryParamTypes | _Unset | None = _UNSET,
    ) -> URL:
        """The same URL with other parts, checked and normalised anew.

        Arguments:
            scheme: "http" or "https". A port that was the default of the old scheme becomes that of the new one.
            authority: user info, host and port at once; excludes `username`, `password`, `host` and `port`.
            path: percent-encoded, without "?" and "#".
            query: percent-encoded, without "#"; None for none. Excludes `query_params`.
            fragment: percent-encoded; None for none.
            username, password: unencoded; they are percent-encoded here. None for none.
            host: a name or an IP address; IPv6 with or without brackets.
            port: None for the scheme's default.
            query_params: parameters that replace the query; None for none.

        Raises:
            InvalidURL, UnsupportedProtocol: the result is not an http or https URL.
            TypeError: the arguments exclude each other.
        """
        if authority is _UNSET:
            authority = self._authority_with(username, password, host, port)
        elif not (username is password is host is port is _UNSET):
            raise TypeError(
                "copy_with: expected either authority, or any of username, password, host and port, got both"
            )
        if query_params is not _UNSET:
            if query is not _UNSET:
                raise TypeError("copy_with: expected either query or query_params, got both")
            query = str(QueryParams(query_params)) if query_params is not None else None  # type: ignore[arg-type]
        return _composed_url(
            self._scheme if scheme is _UNSET else scheme,
            authority,
            self._path if path is _UNSET else path,
            self._query if query is _UNSET else query,
            self._fragment if fragment is _UNSET else fragment,
        )

    def _authority_with(
        self,
        username: str | bytes | _Unset | None,
        password: str | bytes | _Unset | None,
        host: str | _Unset,
        port: int | _Unset | None,
    ) -> str:
        if username is password is host is port is _UNSET:
            return self.authority
        user, secret = self._userinfo or (b"", b"")
        user = user if isinstance(username, _Unset) else _octets(username, "username")
        secret = secret if isinstance(password, _Unset) else _octets(password, "password")
        name = self._host if isinstance(host, _Unset) else _part(host, "host", "/?#@")
        if not isinstance(host, _Unset) and ":" in name and canonical(name.strip("[]")) is None:
            raise InvalidURL(f"host is {show(name)}: expected a name or an IP address, and the port in port")
        place = bracketed(name) if not name.startswith("[") else name
        if isinstance(port, _Unset):
            # Keep only a port that was written: a default port changes with the scheme.
            _, _, digits = self.authority.rpartition("@")[2].rpartition(":")
            port = int(digits) if digits.isdigit() else None
        if port is not None:
            place = f"{place}:{exact_int(port)}"
        return _userinfo_text(user, secret) + place

    def resolve_with(self, url: URLTypes) -> URL:
        """Resolve a reference against this URL, and return the absolute URL (RFC 3986, section 5.2).

        Raises:
            InvalidURL, UnsupportedProtocol: the result is not an http or https URL, or this URL is relative.
        """
        reference = URL(url, allow_relative=True)
        if reference._scheme:
            return reference
        if not self._scheme:
            _refuse_relative(self._text)
        if reference._host:
            return URL(f"{self._scheme}:{reference._text}")
        path, query = reference._path, reference._query
        # RFC 3986, section 5.2.2: if the path is empty, path and query are the base's; the reference's query, if any,
        # replaces the base's.
        if not path:
            path = self._path
            query = self._query if query is None else query
        elif not path.startswith("/"):
            path = self._path[: self._path.rfind("/") + 1] + path
        return _composed_url(self._scheme, self.authority, path, query, reference._fragment)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        hidden = "#***" if self._fragment is not None else ""
        return f"URL({self.redacted + hidden!r})"

    def __eq__(self, other: object) -> bool:
        """Whether `other` is a URL with the same text, or a str that equals the text."""
        if isinstance(other, URL):
            return self._text == other._text
        return self._text == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[type[URL], tuple[str, bool]]:
        return URL, (self._text, not self._scheme)


def _text(url: object) -> str:
    if isinstance(url, str):
        return exact_str(url)
    if not isinstance(url, (bytes, bytearray)):
        raise InvalidURL(f"url is of type {type(url).__name__}: expected URL, str or bytes")
    octets = exact_bytes(url)
    if not octets.isascii():
        Place.parse(octets)  # which raises the error
    return octets.decode("ascii")


def _refuse_relative(text: str) -> NoReturn:
    refuse(text, "expected an absolute URL, one that begins with http:// or https://")


def _absolute(text: str) -> URL:
    place = Place.parse(text)
    path, mark, query = place.target.decode("ascii").partition("?")
    self = object.__new__(URL)
    self._scheme = place.scheme
    self._userinfo = userinfo = place.userinfo if place.userinfo != (b"", b"") else None
    self._host = place.host
    self._port = place.port
    self._path = _without_dot_segments(normal_percents(path))
    self._query = normal_percents(query) if mark else None
    self._fragment = fragment = _fragment(text.partition("#")[2]) if "#" in text else None
    host = place.host_header.decode("ascii")
    rest = self.full_path
    self._request_url = f"{place.scheme}://{host}{rest}"
    if userinfo is None and fragment is None:
        self._text = self._request_url
    else:
        user = _userinfo_text(*userinfo) if userinfo is not None else ""
        self._text = f"{place.scheme}://{user}{host}{rest}{'' if fragment is None else '#' + fragment}"
    return self


_remembered = lru_cache(maxsize=1024)(_absolute)


def _relative(text: str) -> URL:
    """A relative reference (RFC 3986, section 4.2). Dot segments stay, since they refer to the base URL."""
    if FORBIDDEN.search(text):
        refuse(text, "expected no control character and no backslash")
    parts = _REFERENCE.fullmatch(text)
    assert parts is not None  # each part may be empty, and the last one may be any text
    authority, path, query, fragment = parts.groups()
    if authority is None and ":" in path.partition("/")[0]:
        refuse(text, 'a colon in the first segment of a relative URL is read as a scheme; write "./" before it')
    self = object.__new__(URL)
    self._scheme = ""
    place = _set_authority(self, text, authority)
    self._path = normal_percents(encoded(text, path)) if path else ""
    self._query = None if query is None else normal_percents(encoded(text, query)) if query else ""
    self._fragment = None if fragment is None else _fragment(fragment)
    rest = self._path if self._query is None else f"{self._path}?{self._query}"
    self._request_url = place.rpartition("@")[2] + rest
    self._text = place + rest + ("" if fragment is None else f"#{self._fragment}")
    return self


def _set_authority(self: URL, text: str, authority: str | None) -> str:
    """Set user info, host and port of a network-path reference. Return its authority, normalised, with the slashes."""
    self._userinfo, self._host, self._port = None, "", 0
    if authority is None:
        return ""
    # Without a scheme there is no default port: if both schemes give the same port, it was written.
    insecure, secure = (Place.parse(f"{scheme}://{authority}") for scheme in ("http", "https"))
    self._host = insecure.host
    self._userinfo = insecure.userinfo if insecure.userinfo != (b"", b"") else None
    self._port = insecure.port if insecure.port == secure.port else 0
    user = _userinfo_text(*self._userinfo) if self._userinfo is not None else ""
    return f"//{user}{bracketed(self._host)}" + (f":{self._port}" if self._port else "")


def _fragment(text: str) -> str:
    """Any fragment is accepted, since it is never sent; characters outside RFC 3986, section 3.5, are encoded."""
    text = _STRAY_PERCENT.sub("%25", text).replace("#", "%23").replace("[", "%5B").replace("]", "%5D")
    return normal_percents(encoded(f"#{text}", text)) if text else ""


def normal_percents(text: str) -> str:
    """Hex digits in upper case, unreserved characters decoded (RFC 3986, sections 6.2.2.1 and 6.2.2.2)."""
    return _PERCENT.sub(_normal_percent, text) if "%" in text else text


def _normal_percent(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()


def _without_dot_segments(path: str) -> str:
    """Remove the dot segments of a path that begins with a slash (RFC 3986, section 5.2.4)."""
    if "/." not in path:
        return path
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments[1:]:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _userinfo_text(user: bytes, password: bytes) -> str:
    """User info as it is written before the host, with its "@"; empty when there is none."""
    if not user and not password:
        return ""
    name, secret = (_NOT_IN_USERINFO.sub(_percent_encoded, part).decode("ascii") for part in (user, password))
    return f"{name}:{secret}@" if secret else f"{name}@"


def _percent_encoded(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def _octets(value: object, name: str) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes):
        return exact_bytes(value)
    if not isinstance(value, str):
        raise InvalidURL(f"{name} is of type {type(value).__name__}: expected str, bytes or None")
    try:
        return exact_str(value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        pass
    raise InvalidURL(f"{name} has a lone surrogate: expected text that UTF-8 can encode")


def _part(value: object, name: str, excluded: str) -> str:
    """One part of a URL as text, without the delimiters that would end it."""
    if not isinstance(value, str):
        raise InvalidURL(f"{name} is of type {type(value).__name__}: expected str")
    text = exact_str(value)
    found = [character for character in excluded if character in text]
    if found:
        seen = "text" if name in ("authority", "fragment") else show(text)  # the text may hold a password, or a token
        raise InvalidURL(f"{name} is {seen} with {show(found[0])}: expected it percent-encoded, or not at all")
    return text


def _composed_url(scheme: object, authority: object, path: object, query: object, fragment: object) -> URL:
    """The URL of these parts (RFC 3986, section 5.3); no part may contain a delimiter that ends it."""
    scheme = _part(scheme, "scheme", ":/?#@")
    authority = _part(authority, "authority", "/?#\\")
    path = _part(path, "path", "?#")
    text = f"{scheme}:" if scheme else ""
    if authority or scheme:
        text += f"//{authority}"
        if path and not path.startswith("/"):
            raise InvalidURL(f"path is {show(path)}: behind a host, expected one that begins with /")
    elif path.startswith("//"):
        raise InvalidURL(f"path is {show(path)}: without a host, expected no // at its beginning")
    text += path
    if query is not None:
        text += "?" + _part(query, "query", "#")
    if fragment is not None:
        text += "#" + _part(fragment, "fragment", "")
    return URL(text, allow_relative=not scheme)


def _with_query_params(url: URL, params: QueryParams) -> URL:
    if not params:
        return url
    query = f"{url._query}&{params}" if url._query else str(params)
    return _composed_url(url._scheme, url.authority, url._path, query, url._fragment)


@public
class Origin:
    """Scheme, host and port: the origin of a request (RFC 6454). Immutable, hashable, compared by value.

    Arguments:
        url: an absolute URL; its other parts are ignored.

    Raises:
        InvalidURL, UnsupportedProtocol: `url` is not an absolute http or https URL.

    `str(origin)` is "https://example.org", with the port only if it is not the default.
    """

    __slots__ = ("_host", "_port", "_scheme")

    def __init__(self, url: URLTypes) -> None:
        parsed = URL(url)
        self._scheme = parsed.scheme
        self._host = parsed.host
        self._port = parsed.port

    @property
    def scheme(self) -> str:
        """ "http" or "https"."""
        return self._scheme

    @property
    def is_ssl(self) -> bool:
        """Whether the scheme is https."""
        return self._scheme == "https"

    @property
    def host(self) -> str:
        """As `URL.host`."""
        return self._host

    @property
    def port(self) -> int:
        """1 to 65535."""
        return self._port

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Origin):
            return NotImplemented
        return (self._host, self._port, self._scheme) == (other._host, other._port, other._scheme)

    def __hash__(self) -> int:
        return hash((self._scheme, self._host, self._port))

    def __str__(self) -> str:
        default = self._port == (443 if self._scheme == "https" else 80)
        return f"{self._scheme}://{bracketed(self._host)}" + ("" if default else f":{self._port}")

    def __repr__(self) -> str:
        return f"Origin({str(self)!r})"

    def __reduce__(self) -> tuple[type[Origin], tuple[str]]:
        return type(self), (str(self),)
