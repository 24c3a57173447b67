"""The parts of a URL: scheme, host, port and target. Nothing is guessed, and nothing is sent that was not written.

The grammar is RFC 3986, strictly. Texts that two readers could interpret differently are refused, so that one and the
same host is connected to, shown, sent in `Host` and checked under TLS. Where the RFC leaves a choice:

- A control character or a backslash is refused anywhere, the fragment included; a space is refused before the path.
- In path and query, these characters are percent-encoded, as browsers do: spaces, non-ASCII characters (as UTF-8),
  printable characters that RFC 3986 does not allow (`"<>^{|}` and the backtick), and a `%` without two hex digits after
  it. `[` and `]` stay: `?a[]=1` is in wide use. Nothing is decoded and `..` stays. A URL in bytes must be ASCII.
- A host is a name of letters, digits, `-` and `_`, an IPv4 address in its canonical form, or an IPv6 address in
  brackets. `%` and `!$&'()*+,;=~` are refused: no name has them. Zone identifiers are refused, too: RFC 9844 removed
  them from URIs.
- A trailing dot stays in `host`, since it stops the resolver's search list; TLS drops it (RFC 6066, section 3).
- A non-ASCII label becomes an A-label (UTS 46). A label that would become plain ASCII, or that has another script's
  full stop, is refused, since it looks like one name and means another.
- An A-label is accepted, as by browsers, if it decodes to a label that UTS 46 does not change and that encodes to the
  same A-label. So `xn--a`, which decodes to U+0080, is refused, and so is the encoding of a capital letter. Characters
  that UTS 46 allows and IDNA 2008 forbids (emoji and other symbols) are accepted in either form: such names are
  registered, and browsers reach them.
- A host `http:` or `https:` is a scheme written twice, and is refused.
- Port 0 cannot be connected to, and leading zeros have no use: both are refused. An empty port is the default port.
- User name and password are kept in `userinfo` for the caller, and are never sent (RFC 9110, section 4.2.4).
"""

from __future__ import annotations

import re
from codecs import lookup
from collections.abc import Iterable
from functools import lru_cache
from types import ModuleType
from typing import Final, NoReturn

from .._address import bracketed, canonical
from .._errors import InvalidURL, UnsupportedProtocol, show
from .._exact import exact_bytes, exact_str
from .._forking import OPENSSL
from .._values import dataclass
from .fields import Bounded

__all__ = ["FORBIDDEN", "URL", "encoded", "parse_host", "parse_proxy", "refuse"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_CACHED_LENGTH: Final = 2048  # characters; a longer URL is seldom requested twice
_NAME_LENGTH: Final = 253  # RFC 1035, section 2.3.4: characters, without the trailing dot

FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^#]*)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?![0-9])")
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(0|[1-9][0-9]{0,4})?)?")
_USERINFO = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*")
_TARGET = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]]+|%[0-9A-Fa-f]{2})*+")
# Matches non-ASCII characters, space, "<>^`{|}, and % without two hex digits. Non-ASCII characters are matched by the
# complement of a class: as a range up to U+10FFFF they took thirty times as long to compile.
_ENCODED = re.compile(r"[^\x00-\x1f!#-;=?-\]_a-z~\x7f]+|%(?![0-9A-Fa-f]{2})")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")

_NAME = re.compile(r"(?:[a-z0-9_\-]{1,63}\.)*[a-z0-9_\-]{1,63}\.?")
_NUMBER_LAST = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")
_A_LABEL = re.compile(r"xn--[a-z0-9\-]{1,59}")

# Matches up to the last "@", or text that looks like it, after a user name and password; group 1 is the scheme.
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+:/++)?+.*(?:@|%(?:25)*40|\uff20|\ufe6b)", re.DOTALL)
# In a text without such an "@": matches up to the end of the host. Text after a colon may be a password, unless it is a
# port.
_BEFORE_PORT = re.compile(
    r"[\s/\\]*+(?:[A-Za-z][A-Za-z0-9+.\-]*:[/\\]++|https?:(?![0-9]))?+[/\\]*+(?:\[[^\]]*+\]?|[^/?#\\:]*+)"
)
_PORT = re.compile(r"(?::[0-9]{0,5})?+(?=[/?#\\]|\Z)")

_ADVICE: Final = "percent-encode the password or pass Proxy(url, auth=(user, password))"


@dataclass(frozen=True, slots=True, repr=False)
class URL:
    """An http or https URL, checked. Made by `parse`, and only there; hashable, compared by value.

    Attributes:
        scheme: "http" or "https".
        host: in lower-case ASCII: a name, an IPv4 address, or an IPv6 address without brackets.
        port: 1 to 65535; the scheme's default, 80 or 443, when the URL has none.
        target: path and query as they are sent (origin-form, RFC 9112, section 3.2.1). Never the fragment.
        host_header: the value of `Host`: the port only if it is not the default, brackets around IPv6.
        origin: scheme, host and port as text for messages, always with the port: "http://example.com:80".
        userinfo: user name and password, percent-decoded, or None. They are not sent unless the caller sends them.
    """

    scheme: str
    host: str
    port: int
    target: bytes
    host_header: bytes
    origin: str
    userinfo: tuple[bytes, bytes] | None = None

    @staticmethod
    def parse(url: str | bytes) -> URL:
        """Check and take apart an absolute URL (RFC 3986; the module says where it is stricter).

        The same text returns the same object while it is among the last 1,024 in use, unless it is longer than 2,048
        characters or has an "@", which may follow a password.

        Raises:
            InvalidURL: `url` is not an absolute URL with a host, or has a part that is not allowed.
            UnsupportedProtocol: the scheme is neither http nor https.
        """
        if type(url) is str:
            text = url
        elif isinstance(url, (str, bytes)):
            text = _text(url)
        else:
            raise InvalidURL(f"url is of type {type(url).__name__}: expected str or bytes")
        return _remembered(text) if len(text) <= _CACHED_LENGTH and "@" not in text else _parse(text)

    @property
    def authority(self) -> str:
        """Host and port, always both, brackets around IPv6: "example.com:80", "[::1]:8080". The target of CONNECT."""
        return self.origin[len(self.scheme) + 3 :]

    @property
    def redacted(self) -> str:
        """The URL as text for messages, with neither user name nor password nor fragment.

        If there is an "@" also in the target, the password may have contained a "/", which ended the host: then the
        target is left out.
        """
        target = self.target.decode("ascii")
        if self.userinfo is not None and ("@" in target or "%40" in target):
            target = "/***"
        return f"{self.scheme}://{self.host_header.decode('ascii')}{target}"

    def __repr__(self) -> str:
        return f"<URL {show(self.redacted)}>"


def _text(url: str | bytes) -> str:
    if isinstance(url, str):
        return exact_str(url)
    octets = exact_bytes(url)
    if not octets.isascii():
        text = octets.decode("utf-8", "backslashreplace")  # only for the message: `shown` must recognise a full-width @
        refuse(text, "bytes must be ASCII; non-ASCII characters are percent-encoded or given in a str")
    return octets.decode("ascii")


def refuse(url: str, expected: str) -> NoReturn:
    """Raise InvalidURL for `url`, which may be any text, with a message that says what was expected."""
    raise InvalidURL(f"url is {shown(url)}: {expected}")


def shown(url: str) -> str:
    """Return `url`, which may be any text, for a message: without anything that may be credentials.

    If there are credentials, only scheme, host and port are shown: it is not certain where the credentials end.
    """
    credentials = _CREDENTIALS.match(url)
    if credentials is not None:
        return show(f"{credentials[1] or ''}***@{_place(url[credentials.end() :])}")
    place = _place(url)
    return show(place if place.endswith(":***") else url)


def _place(url: str) -> str:
    """Return the beginning of a URL up to the end of host and port; with `***` in place of an invalid port."""
    host = _BEFORE_PORT.match(url)
    assert host is not None  # the pattern matches even the empty text
    port = _PORT.match(url, host.end())
    if port is None:
        return f"{host[0]}:***"
    return host[0] + port[0]


def parse_proxy(url: str | bytes, ports: dict[str, int]) -> URL:
    """Return the URL of a proxy, parsed by the same rules. It must have no path and no query. `ports` has the default
    port of each scheme.

    Raises:
        InvalidURL: as `URL.parse`, and also for a scheme that is not in `ports`.
        TypeError: `url` is neither str nor bytes.
    """
    if not isinstance(url, (str, bytes)):
        raise TypeError(f"a proxy's url is of type {type(url).__name__}: expected str or bytes")
    try:
        text = _text(url)
        place = _parse(text, ports)
        if place.target != b"/":
            refuse(text, "expected nothing behind host and port")
    except (InvalidURL, UnsupportedProtocol) as error:
        message = error.message.replace("must be http or https", f"must be {_join_names(ports)}")
        starts = _join_names(f"{scheme}://" for scheme in ports)
        message = message.replace("begins with http:// or https://", f"begins with {starts}")
    else:
        return place
    if "***" in message:  # some part may be credentials
        message = f"{message}; {_ADVICE}"
    raise InvalidURL(f"the proxy's {message}")


def _join_names(names: Iterable[str]) -> str:
    *names, last = names
    return f"{', '.join(names)} or {last}"


def parse_host(host: str) -> str:
    """Check a host by the same rules and return it as in `URL.host`: a name or an IP address. Brackets are optional.

    Raises:
        InvalidURL: as `URL.parse`.
    """
    host = exact_str(host)
    try:
        if host.startswith("["):
            return _ipv6(host, host)
        return _ipv6(host, f"[{host}]") if ":" in host else _name(host, host)
    except InvalidURL as error:
        message = error.message.replace("url is", "the host is", 1)
    raise InvalidURL(message)


def _parse(url: str, ports: dict[str, int] = _DEFAULT_PORTS) -> URL:
    if FORBIDDEN.search(url):
        refuse(url, "expected no control character and no backslash")
    parts = _PARTS.match(url)
    if parts is None:
        _refuse_start(url)
    scheme, authority, target = parts.groups()
    scheme = scheme.lower()
    default = ports.get(scheme)
    if default is None:
        raise UnsupportedProtocol(f"url is {shown(url)}: the scheme must be http or https")
    userinfo, at, place = authority.rpartition("@")
    host, port = _host_and_port(url, place, default)
    shown_host = bracketed(host)
    return URL(
        scheme,
        host,
        port,
        _target(url, target),
        (shown_host if port == default else f"{shown_host}:{port}").encode("ascii"),
        f"{scheme}://{shown_host}:{port}",
        _userinfo(url, userinfo) if at else None,
    )


_places: Final[Bounded[str, URL]] = Bounded()
"""Parsed URLs by the text of their scheme, host and port."""


def _parse_at_place(url: str) -> URL:
    """As `_parse`, for a text without an "@": if its scheme, host and port are known, only its target is parsed."""
    end = url.find("/", 8)  # after "https://"
    if end < 0:
        return _parse(url)
    start = url[:end]
    place = _places.get(start)
    target = url[end:]
    if place is not None and _TARGET.fullmatch(target):  # so it has no fragment and no character of `FORBIDDEN`
        return URL(place.scheme, place.host, place.port, target.encode(), place.host_header, place.origin)
    made = _parse(url)
    # If the target is as parsed, the text before it is scheme, host and port, since none of these contains a slash.
    if made.target == target.encode("utf-8", "replace") and end <= _NAME_LENGTH:
        _places.keep(start, made)
    return made


_remembered = lru_cache(maxsize=1024)(_parse_at_place)


def _refuse_start(url: str) -> NoReturn:
    scheme = _SCHEME.match(url)  # a digit behind the colon is a port, as in "localhost:8080/"
    if scheme is None:
        refuse(url, "expected an absolute URL that begins with http:// or https://")
    if scheme[0].lower() in ("http:", "https:"):
        refuse(url, "expected // and a host after the scheme")
    raise UnsupportedProtocol(f"url is {shown(url)}: the scheme must be http or https")


def _target(url: str, target: str) -> bytes:
    target = encoded(url, target) if target else ""
    return (target if target.startswith("/") else "/" + target).encode("ascii")


def encoded(url: str, text: str) -> str:
    """Return `text`, a part of the path or the query of `url`, as it is sent: with other characters percent-encoded.

    Raises:
        InvalidURL: half of a surrogate pair, or a control character.
    """
    if _TARGET.fullmatch(text):
        return text
    try:
        text = _ENCODED.sub(_percent_encoded, text)
    except UnicodeEncodeError:
        text = ""
    if not text:
        refuse(url, "expected text that UTF-8 can encode, not a lone surrogate")
    if not _TARGET.fullmatch(text):
        refuse(url, "expected two hex digits after every %; % itself is written %25")
    return text


def _percent_encoded(found: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in found[0].encode()])


def _userinfo(url: str, userinfo: str) -> tuple[bytes, bytes]:
    if not _USERINFO.fullmatch(userinfo):
        refuse(url, "before the @, expected ASCII letters, digits and -._~!$&'()*+,;=:, all else percent-encoded")
    user, _, password = userinfo.encode("ascii").partition(b":")
    return _percent_decoded(user), _percent_decoded(password)


def _percent_decoded(text: bytes) -> bytes:
    return _PERCENT.sub(lambda found: bytes.fromhex(found[1].decode()), text)


def _host_and_port(url: str, place: str, default: int) -> tuple[str, int]:
    found = _HOST_PORT.fullmatch(place)
    if found is None:
        refuse(url, "after //, expected a host, optionally with : and a port from 1 to 65535 in digits 0-9")
    if place.lower() in ("http:", "https:"):
        refuse(url, "after //, expected a host, not a scheme again")
    host, digits = found.groups()
    port = int(digits) if digits else default
    if not 1 <= port <= 65535:
        refuse(url, "expected a port from 1 to 65535")
    return (_ipv6(url, host) if host.startswith("[") else _name(url, host)), port


def _ipv6(url: str, host: str) -> str:
    address = canonical(host[1:-1]) if ":" in host and _IPV6.fullmatch(host, 1, len(host) - 1) else None
    if address is not None:
        return address
    refuse(url, "in brackets, expected an IPv6 address without a zone identifier")


def _name(url: str, host: str) -> str:
    """Check a DNS name or IPv4 address. The length is checked first, so that the other steps are cheap for any text."""
    if not host:
        refuse(url, "expected a host")
    name = host.lower() if host.isascii() else host
    if len(name) <= _NAME_LENGTH + 1 and not name.isascii():
        name = ".".join([label if label.isascii() else _a_label(url, label) for label in name.split(".")]).lower()
    if len(name.removesuffix(".")) > _NAME_LENGTH or not _NAME.fullmatch(name):
        refuse(
            url,
            "expected a host of letters, digits, - and _, in labels of 1 to 63 characters and at most 253 in all",
        )
    if _NUMBER_LAST.fullmatch(name) and not _IPV4.fullmatch(name):
        refuse(
            url, "a host that ends in a number must be an IPv4 address: four numbers from 0 to 255, no leading zeros"
        )
    if "xn--" in name:
        _check_a_labels(url, name)
    return name


def _idna() -> ModuleType:
    # The tables of idna are large, and most hosts are ASCII: so the first request that needs idna imports it. A fork in
    # another thread waits for the import; else the child would inherit a held import lock.
    with OPENSSL:
        import idna.uts46data  # also the module that idna would import at its first use

        lookup("punycode")  # also imported at its first use

    return idna


def _a_label(url: str, label: str) -> str:
    idna = _idna()
    try:
        # Not `idna.encode`: it refuses, by IDNA 2008, characters that UTS 46 allows. `_name` checks the result.
        encoded: str = "xn--" + idna.uts46_remap(label).encode("punycode").decode("ascii")
    except UnicodeError:  # the class of idna's own errors is a subclass
        encoded = ""
    if not _A_LABEL.fullmatch(encoded):
        refuse(
            url,
            "a non-ASCII label of the host must be one that IDNA (UTS 46) allows and does not map to plain ASCII",
        )
    return encoded


def _check_a_labels(url: str, name: str) -> None:
    """Refuse labels such as "xn--example-", which others decode to ASCII, and labels that UTS 46 does not allow."""
    for label in name.split("."):
        if label.startswith("xn--") and not _is_a_label(label):
            refuse(
                url,
                "the host has a label that begins with xn-- and does not decode to a non-ASCII one that UTS 46 allows",
            )


def _is_a_label(label: str) -> bool:
    idna = _idna()
    try:
        decoded = label[4:].encode("ascii").decode("punycode")
        idna.check_initial_combiner(decoded)
        idna.check_bidi(decoded)
        return (
            not decoded.isascii()
            and decoded.encode("punycode").decode("ascii") == label[4:]
            and idna.uts46_remap(decoded) == decoded
            and all(idna.valid_contextj(decoded, at) for at, joiner in enumerate(decoded) if joiner in "\u200c\u200d")
        )
    except (UnicodeError, ValueError, OverflowError):  # the class of idna's own errors is a subclass of the first
        return False
