"""One request, checked and complete: its bytes on the wire, and the facts for the exchange.

The caller's values are sent unchanged: names keep their case and order. Only `Host` is added, and `Content-Length` or
`Transfer-Encoding: chunked` if the body needs one and the caller set neither; no User-Agent, no Accept, no
credentials. The framing of the body is decided here, once. If the caller's framing contradicts itself or the body, that
is an error and is not corrected. Every field is checked before the first byte is written, and no error shows a header's
value.

Whitespace around a value is refused rather than stripped, so that the peer receives the value as given. A `str` must be
ASCII: ISO-8859-1 and UTF-8 are both in use, so the caller must choose one and encode. A value of a subclass of `str` or
`bytes` is converted first, then checked, then sent (see `_exact`).

The hot path goes through the fields in one loop (for five fields that takes 0.4 of the time that separate loops over
names and values take). It checks the bytes of all lines together, before it adds the line ends: this takes a tenth of
the time that a regular expression takes. Names are checked one by one, and remembered. If anything is unusual, `_exact`
goes through the fields one by one and the error names the faulty field. A request of only a method and a URL is
remembered as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import Any, Final

from .._errors import LocalProtocolError, show
from .._exact import exact_bytes, exact_str
from .body import Body, BodyContent
from .fields import TOKEN, Bounded, Headers, Remembered, has_forbidden, is_token, is_value
from .url import URL, shown

__all__ = [
    "HeaderTypes",
    "Headers",
    "Request",
    "SharedFields",
    "TrailerTypes",
    "checked_lines",
    "chunk",
    "header_pairs",
    "last_chunk",
    "line_start",
    "trailer_pairs",
]

HeaderTypes = (
    Mapping[str, str]
    | Mapping[bytes, bytes]
    | Mapping[str, str | bytes]
    | Mapping[bytes, str | bytes]
    | Mapping[str | bytes, str | bytes]
    | Iterable[tuple[str | bytes, str | bytes]]
    | None
)
"""Header fields: a mapping, or pairs of name and value where a name may be repeated; bytes, or ASCII str."""

TrailerTypes = HeaderTypes | Callable[[], HeaderTypes]
"""Trailer fields: as `HeaderTypes`, or a callable that gives them once the body has been sent."""

_METHODS: Final = {
    name: name.encode() for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")
}
_KNOWN_METHODS: Final = frozenset(_METHODS.values())
# RFC 9110, section 9.2.2; and QUERY, which is safe too (RFC 10008, section 2).
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"QUERY"))
_ALWAYS_LENGTH: Final = frozenset((b"POST", b"PUT", b"PATCH"))  # RFC 9110, section 8.6: 0 is sent, too

_MARKED: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"upgrade",
        b"expect",
        b"idempotency-key",
        b"x-idempotency-key",
    )
)
_SETTLED: Final = _MARKED | {b"trailer", b"te", b"proxy-authorization"}
# RFC 9110, section 6.5.1: fields that frame, route, authenticate or describe the message belong before it.
_NOT_IN_TRAILERS: Final = frozenset(
    b"authorization cache-control connection content-encoding content-length content-range content-type cookie expect "
    b"host keep-alive max-forwards proxy-authorization proxy-connection range set-cookie te trailer transfer-encoding "
    b"upgrade".split()
)

_DIGITS = re.compile(rb"[0-9]{1,18}")
_HOST = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=%:\[\]]*")
_ORIGIN_FORM = re.compile(rb'/[!"$-~]*')
_ABSOLUTE_FORM = re.compile(rb'[A-Za-z][A-Za-z0-9+.\-]*://[!"$-.0->A-~]+(?:[/?][!"$-~]*)?')
# Finds space that may be around a value, in joined lines. If it is found, the exact check decides.
_OUTER_SPACE = re.compile(rb"[ \t]\r|: [ \t]")
_AUTHORITY_FORM = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._]+):[1-9][0-9]{0,4}")

_WHOLE_CHUNK: Final = 65536  # bytes; a larger piece is not copied into one buffer with its chunk size and CRLF


class SharedFields(tuple[tuple[bytes, bytes], ...]):
    """Fields that many requests have in common, and that hold no secret. A request of a method, a URL and such fields
    is remembered as a whole.
    """

    __slots__ = ()


class Request:
    """A request as it will be sent. Made by `of`; not to be changed.

    Attributes:
        method: e.g. b"GET". Case matters and is kept.
        url: its destination.
        target: the target in the request line (RFC 9112, section 3.2).
        headers: all pairs of name and value, in wire order, with names as the caller spelled them.
        body: the bytes after the head.
        trailers: pairs, a callable that returns them when the body has been sent, or None. See `final_trailers`.
        chunked: whether the body is sent with the chunked coding.
        content_length: the number in Content-Length; None if there is no such header.
        close: whether there is a `Connection: close`.
        upgrade: whether there is an Upgrade header.
        expects_continue: whether there is an `Expect: 100-continue`, and a body that can wait for the 100.
        protocol: the value of `:protocol` in an extended CONNECT (RFC 8441), or None.
        idempotent: whether the method is idempotent (RFC 9110, section 9.2.2), or there is an Idempotency-Key.
        head: the HTTP/1.1 request line and header section, with the empty line.
    """

    __slots__ = (
        "body",
        "chunked",
        "close",
        "content_length",
        "expects_continue",
        "head",
        "headers",
        "idempotent",
        "method",
        "protocol",
        "target",
        "trailers",
        "upgrade",
        "url",
    )

    method: bytes
    url: URL
    target: bytes
    headers: Headers
    body: Body
    trailers: Headers | Callable[[], HeaderTypes] | None
    chunked: bool
    content_length: int | None
    close: bool
    upgrade: bool
    expects_continue: bool
    protocol: bytes | None
    idempotent: bool
    head: bytes

    @classmethod
    def of(
        cls,
        method: str | bytes,
        url: str | bytes | URL,
        headers: HeaderTypes = None,
        body: BodyContent | Body = b"",
        target: str | bytes | None = None,
        trailers: TrailerTypes = None,
        duplex: bool = False,
    ) -> Request:
        """Check the arguments and make the request complete for the wire.

        Arguments:
            method: a token (RFC 9110, section 5.6.2).
            url: absolute, http or https.
            headers: a mapping, or an iterable of pairs, of str (ASCII) or bytes. Default None: none. With CONNECT the
                first may be `:protocol` (RFC 8441): the target is then the URL's path, over HTTP/2 only.
            body: any type that `Body.of` accepts. Default b"": none. CONNECT and TRACE have none.
            target: the request target, instead of the URL's path and query: origin-form, absolute-form
                without user name, authority-form (CONNECT only) or `*` (OPTIONS only). It is sent as given, in visible
                ASCII without `#`. Default None: the URL's path and query; for CONNECT its host and port.
            trailers: as `headers`, or a callable that returns them and is called when the body has been sent. The body
                is then sent with the chunked coding. Default None: none.
            duplex: `body` is only the beginning. Default False.

        Raises:
            InvalidURL, UnsupportedProtocol: the URL is not valid, or has another scheme.
            LocalProtocolError: any other argument is not valid.
        """
        # Requests of method and URL only are remembered; never with a user name and a password.
        if headers and type(headers) is not SharedFields:
            return cls._made(method, url, headers, body, target, trailers, duplex)
        if target is not None or trailers is not None or not (type(method) is type(url) is str):
            return cls._made(method, url, headers, body, target, trailers, duplex)
        if type(body) is not bytes or body or duplex:
            return cls._made(method, url, headers, body, None, None, duplex)
        asked = (method, url, headers) if headers else (method, url)
        known = _plain.get(asked)
        if known is None:
            known = cls._made(method, url, headers, body, None, None)
            if len(asked[1]) <= _URL_IN_MEMORY and known.url.userinfo is None:
                _plain.keep(asked, known)
        return known

    @classmethod
    def _made(
        cls,
        method: str | bytes,
        url: str | bytes | URL,
        headers: HeaderTypes,
        body: BodyContent | Body,
        target: str | bytes | None,
        trailers: TrailerTypes,
        duplex: bool = False,
    ) -> Request:
        self = cls()
        self.url = url = url if isinstance(url, URL) else URL.parse(url)
        self.method = method = (_METHODS.get(method) if type(method) is str else None) or _method(method)
        self.target = url.target if target is None and method != b"CONNECT" else _target(method, url, target)
        self.protocol = None
        if method == b"CONNECT" and headers:
            self.protocol, headers = _protocol(_header_list(headers, "headers"))
            if self.protocol is not None and target is None:
                self.target = url.target
        self.body = body = Body.of(body)
        self.trailers = _trailers(trailers) if trailers is not None else None
        self.headers, lines, marked = _fields(headers, "headers") if headers else ([], b"", {})

        host = b""
        if b"host" not in marked:
            value = url.host_header if method != b"CONNECT" or self.protocol is not None else self.target
            # First, as RFC 9110, section 7.2, recommends.
            self.headers.insert(0, (b"Host", value))
            host = b"Host: %b\r\n" % value
        framing = b""
        if marked or body.length != 0 or self.trailers is not None or method in _ALWAYS_LENGTH or duplex:
            framing = self._set_framing(marked, duplex)
        else:
            self.chunked = self.close = self.upgrade = self.expects_continue = False
            self.content_length = None
            self.idempotent = method in _IDEMPOTENT
        self.head = b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method, self.target, host, lines, framing)
        return self

    @classmethod
    def of_lines(
        cls, method: str, url: URL, target: bytes, headers: Headers, lines: list[bytes], checked: bytes
    ) -> Request | None:
        """Return a request without a body, whose fields the gateway has already split into lines. Return None if
        something is unusual, so that `of` has to check it. This makes a head for a third of the cost of `of`.

        Arguments:
            headers: all fields, without Host.
            lines: the lines of the fields whose values are not checked yet. Each begins with the result of `line_start`
                and has no line end.
            checked: the lines of all further fields, made by `checked_lines`.
        """
        raw = _METHODS.get(method)
        text = b"\r\n".join(lines)
        if raw is None or raw in _ALWAYS_LENGTH or raw == b"CONNECT" or not _ORIGIN_FORM.fullmatch(target):
            return None
        if has_forbidden(b"".join(lines)) or _OUTER_SPACE.search(text + b"\r\n"):
            return None
        self = cls()
        self.method = raw
        self.url = url
        self.target = target
        self.protocol = self.trailers = self.content_length = None
        self.body = Body.of(b"")
        self.chunked = self.close = self.upgrade = self.expects_continue = False
        self.idempotent = raw in _IDEMPOTENT
        host = url.host_header
        self.headers = [(b"Host", host), *headers]
        end = b"\r\n" if lines else b""
        self.head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b%b\r\n" % (raw, target, host, text, end, checked)
        return self

    def _set_framing(self, marked: dict[bytes, list[bytes]], duplex: bool) -> bytes:
        """Set the attributes that depend on `marked` fields. Returns the framing line to add, which may be empty."""
        if b"host" in marked:
            _check_host(marked[b"host"])
        self.upgrade = b"upgrade" in marked
        goes_on = duplex and self.may_go_on
        lengths, codings = marked.get(b"content-length"), marked.get(b"transfer-encoding")
        # The rest of the body is not known yet, so its length is not known either.
        if goes_on and not (lengths or codings):
            self.content_length, self.chunked = None, True
        else:
            self.content_length, self.chunked = _framing(
                self.method, lengths, codings, self.body, self.trailers, goes_on
            )
        options = b",".join(marked.get(b"connection", ())).lower().split(b",")
        self.close = any(option.strip(b" \t") == b"close" for option in options)
        # RFC 9110, section 10.1.1: no expectation without a body.
        self.expects_continue = (self.chunked or bool(self.content_length)) and any(
            value.lower() == b"100-continue" for value in marked.get(b"expect", ())
        )
        self.idempotent = self.method in _IDEMPOTENT or b"idempotency-key" in marked or b"x-idempotency-key" in marked
        if self.chunked and b"transfer-encoding" not in marked:
            self.headers.append((b"Transfer-Encoding", b"chunked"))
            return b"Transfer-Encoding: chunked\r\n"
        if self.content_length is not None and b"content-length" not in marked:
            length = b"%d" % self.content_length
            self.headers.append((b"Content-Length", length))
            return b"Content-Length: %b\r\n" % length
        return b""

    def forward(self, fields: Headers) -> Request:
        """Return this request for a proxy: with the target in absolute-form (RFC 9112, section 3.2.2), and with
        `fields` added.

        If the caller set Proxy-Authorization, the one in `fields` is left out.
        """
        other = copy(self)
        if any(name.lower() == b"proxy-authorization" for name, _ in self.headers):
            fields = [field for field in fields if field[0].lower() != b"proxy-authorization"]
        target = self.target
        if target == b"*":  # of OPTIONS: then an empty path (3.2.4)
            other.target = b"http://" + self.url.host_header
        elif target.startswith(b"/"):
            other.target = b"http://%b%b" % (self.url.host_header, target)
        other.headers = [*self.headers, *fields]
        # The lines are cut from the checked head rather than made again from the fields: they are the checked ones.
        rest = self.head[len(self.method) + len(target) + 1 : -2]
        lines = b"".join([b"%b: %b\r\n" % field for field in fields])
        other.head = b"%b %b%b%b\r\n" % (self.method, other.target, rest, lines)
        return other

    def with_fields(self, fields: HeaderTypes) -> Request:
        """Return this request with `fields` added, except those with a name that the request already has.

        Raises:
            LocalProtocolError: a field cannot be sent; or it routes, frames or authenticates the request, which must
                not change any more.
        """
        names = {name.lower() for name, _ in self.headers}
        added = []
        for name, value in header_pairs(fields):
            lower = name.lower()
            # The route and the framing follow from these, and both are decided by now.
            if lower in _SETTLED:
                raise LocalProtocolError(
                    f"the trace adds the field {show(name)}: expected none that routes, frames or authenticates the "
                    "request"
                )
            if lower not in names:
                added.append((name, value))
        other = copy(self)
        other.headers = [*self.headers, *added]
        other.head = self.head[:-2] + b"".join([b"%b: %b\r\n" % field for field in added]) + b"\r\n"
        return other

    @property
    def may_go_on(self) -> bool:
        """Whether more of the body may follow with `duplex=True`: the method allows a body, and there is no Upgrade,
        after which the connection has another protocol.
        """
        return not (self.upgrade or self.method == b"CONNECT" or self.method == b"TRACE")

    def without_expect(self) -> Request:
        """Return this request without `Expect`, for a server that refuses it (RFC 9110, section 10.1.1)."""
        other = copy(self)
        other.expects_continue = False
        other.headers = [field for field in self.headers if field[0].lower() != b"expect"]
        # The request line stays: it may be in absolute-form, for a proxy.
        start = self.head.partition(b"\r\n")[0]
        other.head = b"%b\r\n%b\r\n" % (start, b"".join([b"%b: %b\r\n" % field for field in other.headers]))
        return other

    def refuse_proxy_authorization(self, reason: str) -> None:
        """Refuse Proxy-Authorization where no proxy reads it. It is for the next proxy (RFC 9110, section 11.7.2), and
        here the origin would receive it.

        Raises:
            LocalProtocolError: the headers have Proxy-Authorization.
        """
        if any(name.lower() == b"proxy-authorization" for name, _ in self.headers):
            raise LocalProtocolError(
                f"headers has Proxy-Authorization, which the origin would get, since {reason}: "
                "expected the credentials in Proxy(url, auth=(user, password)) or in Proxy(url, headers=...)"
            )

    def final_trailers(self) -> Headers:
        """Return the trailers. Called when the body has been sent; if they are a callable, it is called now.

        Raises:
            LocalProtocolError: the callable returned unsendable fields.
            Exception: whatever the callable raises, unchanged.
        """
        return trailer_pairs(self.trailers) if callable(self.trailers) else self.trailers or []

    def __repr__(self) -> str:
        return f"<Request {show(self.method)} {show(self.url.redacted)}>"


_URL_IN_MEMORY: Final = 512  # characters
_plain: Final[Bounded[tuple[str, str, *tuple[object, ...]], Request]] = Bounded()


def chunk(data: bytes) -> tuple[bytes, ...]:
    """Return `data` as one chunk (RFC 9112, section 7.1), in buffers to be sent in order; no buffer for empty data."""
    size = len(data)
    if not size:  # a chunk of size 0 would end the body
        return ()
    if size <= _WHOLE_CHUNK:
        return (b"%x\r\n%b\r\n" % (size, data),)
    return (b"%x\r\n" % size, data, b"\r\n")


def last_chunk(trailers: Headers) -> bytes:
    """The end of a chunked body, with trailers as `Request.final_trailers` gives them."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % pair for pair in trailers])


def header_pairs(headers: HeaderTypes) -> Headers:
    """Headers in any shape that a request takes, as a new list of checked pairs of bytes; names keep their case.

    Raises:
        LocalProtocolError: a name is not a token, a value has a control character or whitespace around it, a str is
            not ASCII, or `headers` has another type.
    """
    return _fields(headers, "headers")[0] if headers else []


def trailer_pairs(trailers: TrailerTypes) -> Headers:
    """Trailers in any shape that a request takes, as a new list of checked pairs of bytes; a callable is called now.

    Raises:
        LocalProtocolError: as `header_pairs`, or a field that is forbidden in trailers.
    """
    return _trailer_fields(trailers() if callable(trailers) else trailers)


# The parts of a request, each checked alone.


def _method(method: object) -> bytes:
    raw = _octets(method)
    if raw is None or not is_token(raw):
        seen = show(method) if isinstance(method, (str, bytes)) else f"of type {type(method).__name__}"
        raise LocalProtocolError(f"method is {seen}: expected a token of ASCII letters, digits and !#$%&'*+-.^_`|~")
    return raw


def _octets(text: object) -> bytes | None:
    """Return an ASCII str or bytes as exact bytes; None for any other value."""
    if isinstance(text, str):
        plain = exact_str(text)
        return plain.encode("ascii") if plain.isascii() else None
    return exact_bytes(text) if isinstance(text, bytes) else None


def _target(method: bytes, url: URL, target: object) -> bytes:
    if target is None:
        return url.authority.encode("ascii")
    raw = _octets(target)
    if raw is not None:
        if method == b"CONNECT":
            if _AUTHORITY_FORM.fullmatch(raw):
                return raw
        elif _ORIGIN_FORM.fullmatch(raw) or _ABSOLUTE_FORM.fullmatch(raw) or (raw == b"*" and method == b"OPTIONS"):
            return raw
    if not isinstance(target, (str, bytes)):
        seen = f"of type {type(target).__name__}"
    else:
        seen = shown(exact_str(target) if isinstance(target, str) else exact_bytes(target).decode("latin-1"))
    forms = "host:port" if method == b"CONNECT" else "/path?query, scheme://host/path or, for OPTIONS, *"
    raise LocalProtocolError(f"target is {seen}: expected {forms} in visible ASCII without #")


def _protocol(headers: list[Any] | tuple[Any, ...]) -> tuple[bytes | None, list[Any] | tuple[Any, ...]]:
    """Return the value of `:protocol`, or None if it is not the first field, and the other fields."""
    first = headers[0]
    pair = tuple(first) if isinstance(first, (tuple, list)) else ()
    if len(pair) != 2 or _octets(pair[0]) != b":protocol":
        return None, headers
    value = _ascii(pair[1], "headers[0] (':protocol') has a value")
    if not is_token(value):
        raise LocalProtocolError(f"headers[0] is ':protocol' with {show(value)}: expected a token")
    return value, headers[1:]


def _check_host(hosts: list[bytes]) -> None:
    if len(hosts) > 1:
        raise LocalProtocolError(f"headers has Host {len(hosts)} times: expected once")
    if not _HOST.fullmatch(hosts[0]):
        raise LocalProtocolError("headers has an invalid Host: expected a host, or a host and port")


def _framing(
    method: bytes,
    lengths: list[bytes] | None,
    codings: list[bytes] | None,
    body: Body,
    trailers: object,
    goes_on: bool,
) -> tuple[int | None, bool]:
    """Content-Length, if there is one, and whether the body is chunked (RFC 9112, section 6)."""
    if method in (b"CONNECT", b"TRACE"):
        if lengths or codings or not body.is_empty or trailers is not None:
            raise LocalProtocolError(f"method is {method.decode()}: expected no body, framing headers or trailers")
        return None, False
    # RFC 9112, section 6.1: a message with both may be an attempt at smuggling, so none is sent.
    if lengths and codings:
        raise LocalProtocolError("headers has both Content-Length and Transfer-Encoding: expected one of them")
    if codings:
        if codings != [b"chunked"]:
            raise LocalProtocolError("headers has an unsupported Transfer-Encoding: expected chunked, once")
        return None, True
    if lengths:
        return _declared_length(lengths, body, trailers, goes_on), False
    if trailers is not None or body.length is None:
        return None, True
    return (body.length if body.length or method in _ALWAYS_LENGTH else None), False


def _declared_length(lengths: list[bytes], body: Body, trailers: object, goes_on: bool) -> int:
    if trailers is not None:
        raise LocalProtocolError(
            "headers has Content-Length and there are trailers: expected one of them, since trailers need the "
            "chunked coding"
        )
    if len(lengths) > 1:
        raise LocalProtocolError(f"headers has Content-Length {len(lengths)} times: expected once")
    if not _DIGITS.fullmatch(lengths[0]):
        raise LocalProtocolError("headers has a Content-Length that is not a number: expected 1 to 18 digits")
    declared = int(lengths[0])
    if body.length is not None and (body.length > declared if goes_on else body.length != declared):
        raise LocalProtocolError(f"headers has Content-Length {declared}, but body is {body.length} bytes long")
    return declared


def _trailers(trailers: TrailerTypes) -> Headers | Callable[[], HeaderTypes] | None:
    if callable(trailers):
        return trailers
    return _trailer_fields(trailers) or None


def _trailer_fields(trailers: HeaderTypes) -> Headers:
    pairs = _fields(trailers, "trailers")[0] if trailers else []
    for index, (name, _) in enumerate(pairs):
        if name.lower() in _NOT_IN_TRAILERS:
            raise LocalProtocolError(f"trailers[{index}] is {show(name)}: expected it in headers only")
    return pairs


# Header fields.


def _fields(headers: Any, argument: str) -> tuple[Headers, bytes, dict[bytes, list[bytes]]]:
    """Return the pairs, their lines for the wire, and the values of the fields in `_MARKED` by lower-case name."""
    given = _header_list(headers, argument)
    fields = _fields_fast(given)
    if fields is None:
        fields = _fields_fast(_exact(given, argument))
        assert fields is not None, "the two checks of header fields disagree"
    return fields


def _header_list(headers: Any, argument: str) -> list[Any] | tuple[Any, ...]:
    if type(headers) is list or type(headers) is tuple:
        return headers
    if isinstance(headers, Mapping):
        return list(headers.items())
    if isinstance(headers, (str, bytes, bytearray, memoryview)) or not hasattr(headers, "__iter__"):
        raise LocalProtocolError(
            f"{argument} is of type {type(headers).__name__}: expected a mapping or an iterable of pairs"
        )
    return list(headers)


def _fields_fast(given: list[Any] | tuple[Any, ...]) -> tuple[Headers, bytes, dict[bytes, list[bytes]]] | None:
    """As `_fields`; None when anything is unusual. The bytes of all values are checked at once."""
    pairs: Headers = []
    lines: list[bytes] = []
    marked: dict[bytes, list[bytes]] = {}
    try:
        for pair in given:
            if type(pair) is not tuple:
                pair = _as_bytes(pair)
            name, value = pair
            # Subclasses are excluded: an object that only compares equal to a known name must not pass for it.
            if type(name) is not bytes or type(value) is not bytes:
                pair = name, value = _as_bytes(pair)
            start, mark = _names[name]
            if value.strip() != value:
                return None
            if mark:
                marked.setdefault(mark, []).append(value)
            pairs.append(pair)
            lines.append(start + value)
    except (TypeError, ValueError):
        return None
    # All lines in one pass, without a separator: each byte is tested alone, so joining cannot hide a forbidden one.
    if has_forbidden(b"".join(lines)):
        return None
    lines.append(b"")
    return pairs, b"\r\n".join(lines), marked


def _as_bytes(pair: Any) -> tuple[bytes, bytes]:
    """Return a pair as bytes.

    Raises:
        ValueError: a str is not ASCII, or the tuple or list has not two items.
        TypeError: another type; also a subclass of an accepted type.
    """
    if type(pair) is not tuple and type(pair) is not list:
        raise TypeError
    name, value = pair
    if type(name) is str:
        name = name.encode("ascii")
    if type(value) is str:
        value = value.encode("ascii")
    if not type(name) is type(value) is bytes:
        raise TypeError
    return name, value


def _checked_name(name: bytes) -> tuple[bytes, bytes]:
    """Return the beginning of the field's line, and the name in lower case if it is in `_MARKED`, else b"". On a
    `ValueError` the caller takes the slow path, which reports the fault.
    """
    if not is_token(name):
        raise ValueError
    lower = name.lower()
    return name + b": ", lower if lower in _MARKED else b""


_names: Final = Remembered(_checked_name)


def line_start(name: bytes) -> bytes | None:
    """Return the beginning of a field's line; None if the name is in `_MARKED`, or is no token."""
    return None if name.lower() in _MARKED or not is_token(name) else name + b": "


def checked_lines(headers: Headers) -> bytes | None:
    """Return the lines of fields with their line ends; None if a name is in `_MARKED`, or anything is unusual."""
    found = _fields_fast(headers)
    return None if found is None or found[2] else found[1]


def _exact(given: list[Any] | tuple[Any, ...], argument: str) -> Headers:
    """Check the fields one by one. The error names the first faulty field by index and name, never by value."""
    pairs: Headers = []
    for index, pair in enumerate(given):
        place = f"{argument}[{index}]"
        two = tuple(pair) if isinstance(pair, (tuple, list)) else None
        if two is None or len(two) != 2:
            size = f" of length {len(two)}" if two is not None else ""
            raise LocalProtocolError(
                f"{place} is of type {type(pair).__name__}{size}: expected a pair of name and value"
            )
        name = _ascii(two[0], f"{place} has a name")
        if not name:
            raise LocalProtocolError(f"{place} has an empty name: expected a token")
        if not is_token(name):
            good = re.match(TOKEN, name)
            seen = name[: good.end() + 1 if good else 1]  # no more: a whole line given as a name has the value in it
            raise LocalProtocolError(
                f"{place} has a name that begins with {show(seen)}: "
                "expected a token of ASCII letters, digits and !#$%&'*+-.^_`|~"
            )
        value = _ascii(two[1], f"{place} ({show(name)}) has a value")
        if not is_value(value):
            raise LocalProtocolError(
                f"{place} ({show(name)}) has a value with a control character, or with whitespace at its start or end: "
                "expected neither, except tabs inside"
            )
        pairs.append((name, value))
    return pairs


def _ascii(text: object, place: str) -> bytes:
    if not isinstance(text, (str, bytes)):
        raise LocalProtocolError(f"{place} of type {type(text).__name__}: expected str or bytes")
    octets = _octets(text)
    if octets is None:
        raise LocalProtocolError(f"{place} with a non-ASCII character: expected ASCII, or a value as bytes")
    return octets
