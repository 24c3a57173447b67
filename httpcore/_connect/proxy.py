"""A proxy: its address, its protocol and our credentials there. A value, checked when it is made.

Everything specific to one kind of proxy is a row of `KINDS`: a new kind needs a new row, and a conversation.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from .._address import bracketed
from .._config import SSLConfig, checked_ssl
from .._exact import exact_bytes, exact_str
from .._message.fields import Headers
from .._message.request import HeaderTypes, header_pairs
from .._message.url import URL, parse_proxy
from .._public import public
from .._values import dataclass
from .socks import Conversation, socks4, socks5

if TYPE_CHECKING:
    import ssl as ssl_module

__all__ = ["KINDS", "Kind", "Proxy", "ProxyChooser"]

Auth = tuple[str | bytes, str | bytes]

_OURS: Final = {
    b"host",
    b"connection",
    b"content-length",
    b"transfer-encoding",
    b"upgrade",
    b"trailer",
    b"te",
    b"expect",
}
"""Fields for the recipient and the framing of a message, which the library sets."""


class Kind(NamedTuple):
    """The properties of all proxies of one scheme.

    Attributes:
        port: the port if the URL names none.
        check_auth: raises ValueError for a user name and password that cannot be sent.
        converse: makes the conversation by which the proxy connects to a host and port; None: HTTP, which tunnels by
            CONNECT and can forward requests.
        over_tls: whether the connection to the proxy uses TLS.
        resolves: whether it accepts names; otherwise it gets addresses that were resolved here.
        ipv4_only: whether it accepts only IPv4 addresses.
    """

    port: int
    check_auth: Callable[[bytes, bytes], None]
    converse: Callable[[str, int, tuple[bytes, bytes] | None], Conversation] | None = None
    over_tls: bool = False
    resolves: bool = True
    ipv4_only: bool = False


def _check_basic(user: bytes, password: bytes) -> None:
    if b":" in user:
        raise ValueError(
            "the proxy's user name has a colon: expected none, since the Basic scheme cannot carry it (RFC 7617)"
        )
    if any(byte < 32 or byte == 127 for byte in user + password):
        raise ValueError("the proxy's user name or password has a control character: expected none (RFC 7617)")


def _check_socks4(user: bytes, password: bytes) -> None:
    if password:
        raise ValueError("SOCKS4 has no passwords: expected a user name alone")
    if b"\0" in user:
        raise ValueError("the proxy's user name has a zero byte: expected none with SOCKS4")


def _check_socks5(user: bytes, password: bytes) -> None:
    if not (0 < len(user) < 256 and 0 < len(password) < 256):
        raise ValueError(
            f"the proxy's user name and password have {len(user)} and {len(password)} bytes: "
            "expected 1 to 255 each (RFC 1929)"
        )


def _converse_socks4(host: str, port: int, auth: tuple[bytes, bytes] | None) -> Conversation:
    return socks4(host, port, auth[0] if auth is not None else b"")


KINDS: Final = {
    "http": Kind(80, _check_basic),
    "https": Kind(443, _check_basic, over_tls=True),
    "socks5": Kind(1080, _check_socks5, socks5, resolves=False),
    "socks5h": Kind(1080, _check_socks5, socks5),
    "socks4": Kind(1080, _check_socks4, _converse_socks4, resolves=False, ipv4_only=True),
    "socks4a": Kind(1080, _check_socks4, _converse_socks4, ipv4_only=True),
}
"""The kind of each scheme."""


@public
@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class Proxy:
    """A server through which origins are reached. Immutable, hashable, compared by value; `repr` shows no secrets.

    Arguments:
        url: scheme, host and, if it is not the default one, port. Nothing may follow them.
            `http://` (port 80) and `https://` (port 443, with TLS to the proxy) mean an HTTP proxy (RFC 9110, section
            3.7), which forwards requests for http origins, and tunnels (CONNECT) to https origins. A
            `socks5://` proxy (port 1080; RFC 1928) gets an address that is resolved here; a `socks5h://` proxy gets a
            name, which it resolves; `socks4://` and `socks4a://` likewise, for IPv4 only. SOCKS proxies tunnel all
            requests. A user name and password in the URL are like `auth`; percent-encode special characters.
        auth: user name and password, in bytes or str (sent as UTF-8): for the Basic scheme (RFC 7617), or for SOCKS5
            (RFC 1929). They are sent to the proxy, and never to an origin. SOCKS4 has only a user name. Default None.
        headers: further fields for an HTTP proxy, in any form that a request accepts: sent with each CONNECT and each
            forwarded request. Default none.
        ssl: how the certificate of an `https://` proxy is checked; it does not apply to origins. Default: as for a
            pool.
        tunnel: whether an HTTP proxy tunnels to http origins, too. Default False.

    Attributes:
        scheme, host, port: as in the URL; the host in lower-case ASCII, IPv6 without brackets.
        auth, headers, ssl, tunnel: as given, in bytes.

    Raises:
        InvalidURL: the URL has another form or scheme.
        TypeError, ValueError: another argument is wrong.
        LocalProtocolError: a header cannot be sent.
    """

    scheme: str
    host: str
    port: int
    auth: tuple[bytes, bytes] | None
    headers: tuple[tuple[bytes, bytes], ...]
    ssl: SSLConfig | ssl_module.SSLContext
    tunnel: bool
    _hash: int

    def __init__(
        self,
        url: str | bytes,
        auth: Auth | None = None,
        headers: HeaderTypes = (),
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        tunnel: bool = False,
    ) -> None:
        place = parse_proxy(url, {scheme: kind.port for scheme, kind in KINDS.items()})
        scheme = place.scheme
        kind = KINDS[scheme]
        credentials = _auth(kind, auth, place)
        facts = {
            "scheme": scheme,
            "host": place.host,
            "port": place.port,
            "auth": credentials,
            "headers": _fields(kind, headers, credentials),
            "ssl": SSLConfig() if ssl is None else checked_ssl(ssl),
            "tunnel": bool(tunnel),
        }
        if ssl is not None and not kind.over_tls:
            raise ValueError(f"ssl is given, but the proxy's URL begins with {scheme}:// and not with https://")
        for name, value in facts.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_hash", hash(self._facts()))

    @classmethod
    def of(cls, value: Proxy | str | bytes) -> Proxy:
        """The value itself, or the proxy at a URL."""
        if isinstance(value, (str, bytes)):
            return cls(value)
        if isinstance(value, Proxy):
            return value
        raise TypeError(f"proxy is of type {type(value).__name__}: expected a URL or a Proxy, or None")

    @property
    def kind(self) -> Kind:
        """The properties of all proxies of its scheme."""
        return KINDS[self.scheme]

    @property
    def is_http(self) -> bool:
        """Whether it is an HTTP proxy, which can forward requests."""
        return self.kind.converse is None

    @property
    def fields(self) -> Headers:
        """The fields that are sent to an HTTP proxy with each request."""
        if self.auth is None:
            return list(self.headers)
        return [*self.headers, (b"Proxy-Authorization", b"Basic " + b64encode(b":".join(self.auth)))]

    def _facts(self) -> tuple[object, ...]:
        return (self.scheme, self.host, self.port, self.auth, self.headers, self.ssl, self.tunnel)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Proxy) and self._facts() == other._facts())

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        host = bracketed(self.host)
        return f"{self.scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        auth = "" if self.auth is None else ", auth=***"
        headers = f", {len(self.headers)} headers" if self.headers else ""
        return f"<Proxy {self}{auth}{headers}>"

    def __reduce__(self) -> tuple[object, ...]:
        ssl = self.ssl if self.kind.over_tls else None
        return Proxy, (str(self), self.auth, self.headers, ssl, self.tunnel)


@public
class ProxyChooser(Protocol):
    """Chooses the proxy for an origin. `proxies_from_environment` returns one."""

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for requests to this origin (`scheme`: "http" or "https"), or None to connect directly. It is
        called for each request, so it must be plain and quick.
        """
        ...


def _auth(kind: Kind, auth: object, place: URL) -> tuple[bytes, bytes] | None:
    if auth is None:
        pair = place.userinfo
        if pair is None:
            return None
    elif place.userinfo is not None:
        raise ValueError("the proxy's URL has a user name, and auth is given too: expected one of them")
    else:
        two = tuple(auth) if isinstance(auth, Sequence) and not isinstance(auth, (str, bytes)) else ()
        if len(two) != 2:
            size = f" of length {len(two)}" if two else ""
            raise TypeError(
                f"auth is of type {type(auth).__name__}{size}: expected a pair of user name and password, or None"
            )
        pair = (_octets(two[0]), _octets(two[1]))
    user, password = pair
    kind.check_auth(user, password)
    return pair


def _octets(text: object) -> bytes:
    if isinstance(text, bytes):
        return exact_bytes(text)
    if not isinstance(text, str):
        raise TypeError(f"auth has an item of type {type(text).__name__}: expected str or bytes")
    try:
        return exact_str(text).encode()
    except UnicodeEncodeError:
        pass  # the error would show the password, in its `object` and its repr
    raise ValueError("auth has a str with a lone surrogate: expected text that UTF-8 can encode")


def _fields(kind: Kind, headers: HeaderTypes, auth: object) -> tuple[tuple[bytes, bytes], ...]:
    pairs = tuple(header_pairs(headers))
    if pairs and kind.converse is not None:
        raise ValueError("headers are given: expected them only with an HTTP proxy")
    for name, _ in pairs:
        lower = name.lower()
        # A second Host or framing field would be ambiguous in each request (RFC 9112, sections 3.2 and 6.3).
        if lower in _OURS:
            raise ValueError(f"headers has {name.decode()}: expected other fields, since the library sets this one")
        if lower == b"proxy-authorization" and auth is not None:
            raise ValueError("headers has Proxy-Authorization, and there is a user name too: expected one of them")
    return pairs
