"""Decides how a request is forwarded, or how the gateway answers it itself: `plan`, values in, values out, without I/O.

The rules are those of RFC 9110 section 7.6 (fields for one hop, Via, Max-Forwards), RFC 9112 (targets, Host, framing),
RFC 9113 section 8 (cookies, bodies without a length) and RFC 7239 (`forwarding`). The server in front may have applied
some of these rules already. The gateway does not rely on that, since servers differ.

The fields are read in one pass: most are forwarded as the same pair, and the fields that a rule applies to are
collected by name. `returned` converts the fields of a response in a similar way.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from .._message.fields import Bounded, Remembered
from .._message.request import Request, checked_lines, line_start
from .._message.url import URL
from .._values import dataclass
from .forwarding import CLAIMS, SCHEMES, Networks, client_of, is_claim, written
from .messages import Headers, Refusal, Scope
from .targets import hosts, leaves, target_of

__all__ = ["ALLOW", "Forward", "Trust", "plan", "planned", "returned", "without_trailers"]

Noted = dict[bytes, list[bytes]]

_ONE_HOP: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade http2-settings".split()
)
_NOTED: Final = _ONE_HOP | CLAIMS | frozenset((b"host", b"content-length", b"cookie", b"via", b"max-forwards"))
_NO_OPTION: Final = frozenset((b"close", b"keep-alive", b""))
# These are kept even if Connection names them: without them the message would be read differently, or lack its Host or
# Via.
_NEVER_NAMED: Final = frozenset((b"content-length", b"host", b"via"))
_NUMBER: Final = re.compile(rb"[0-9]{1,18}")
_NO_TRAILER: Final = frozenset(b"content-encoding content-length content-type date server set-cookie via".split())

ALLOW: Final = (b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")

_NOT_ALLOWED: Final = Refusal(405, "this gateway forwards neither CONNECT nor TRACE", (ALLOW,))
_LOOP: Final = Refusal(508, "the request has passed this gateway before")
_BAD_HOST: Final = Refusal(400, "expected one Host field with a host name")
_BAD_CODING: Final = Refusal(501, "expected no transfer coding but chunked")
_BAD_FRAMING: Final = Refusal(400, "the length of the body is ambiguous")
_BAD_FORWARDS: Final = Refusal(400, "expected a number in Max-Forwards")
_OUTSIDE: Final = Refusal(400, "the path leads outside the paths that this gateway forwards")
_OPTIONS: Final = Refusal(200, "", (ALLOW,))


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """The settings of a gateway that `plan` depends on. It is compared by identity, since it is part of the keys of a
    cache.

    Attributes:
        proxies: the proxies whose X-Forwarded-* and Forwarded fields are trusted.
        written: the kinds of fields that the upstream receives about the client: "x-forwarded", "forwarded",
            "x-real-ip".
        keeps_host: the upstream receives the client's Host, and not its own.
        traces: TRACE is forwarded.
        is_confined: an upstream has a path of its own, which dot segments must not leave.
        name: the name of this gateway in Via, by which it detects loops.
    """

    proxies: Networks | None = None
    written: frozenset[str] = frozenset(("x-forwarded",))
    keeps_host: bool = False
    traces: bool = False
    is_confined: bool = False
    name: bytes = b"gateway"


class Planned(Headers):
    """Fields together with their lines, so that the pool need not check and format them again.

    Attributes:
        lines, checked: as `Request.of_lines` expects them. One of them is None if a field is unusual.
    """

    __slots__ = ("checked", "lines")

    checked: bytes | None
    lines: list[bytes] | None


class Forward(NamedTuple):
    """A request as the upstream receives it.

    Attributes:
        method: as the client sent it.
        target: path and query, or `*`. The path of the upstream's URL is put before it later.
        headers: all fields, names in lower case, except Host if it names the upstream, and the framing field of a body
            without a length.
        host: the host that the client requested; None if it named none.
        client: the client's address as text, also behind trusted proxies; "" if it is not known.
        has_body: whether there is a body; None if only its first message shows this (HTTP/2 without Content-Length).
        length: the length of the body in bytes; None if it was not declared.
        expects: the client waits for 100 (Continue) before it sends the body.
        takes_trailers: `TE: trailers` was among the fields.
    """

    method: str
    target: bytes
    headers: Headers
    host: bytes | None
    client: str
    has_body: bool | None
    length: int | None
    expects: bool
    takes_trailers: bool


def plan(scope: Scope, trust: Trust) -> Forward | Refusal:
    """The request to forward for an ASGI scope, or the refusal that answers it."""
    method: str = scope["method"]
    if method == "CONNECT" or (method == "TRACE" and not trust.traces):
        return _NOT_ALLOWED
    version: str = scope["http_version"]
    # One pass over the fields: those that no rule applies to are forwarded unchanged.
    headers, noted = _sorted(scope["headers"])
    # This comes first, since a field that Connection names is for this hop, even if another rule applies to it (RFC
    # 9110, section 7.6.1).
    if b"connection" in noted:
        _remove_named(headers, noted)
    path: bytes | None = scope.get("raw_path")
    authority: bytes | None = None
    if not path or path[:1] != b"/":  # most targets are in origin-form
        target = target_of(scope)
        if isinstance(target, Refusal):
            return target
        path, authority = target
    host = _host(version, noted, authority)
    if isinstance(host, Refusal):
        return host
    has_body: bool | None = False if version[:1] == "1" else None
    length: int | None = None
    if b"content-length" in noted or b"transfer-encoding" in noted:
        framing = _framing(version, noted)
        if isinstance(framing, Refusal):
            return framing
        has_body, length = framing
    if trust.is_confined and leaves(path):
        return _OUTSIDE
    if len(noted) > 1 or b"host" not in noted:
        refusal = _by_rules(method, version, headers, noted, trust, length)
        if refusal is not None:
            return refusal
    if trust.keeps_host and host:
        headers.append((b"host", host))
        headers.lines = None
    peer: str = scope["client"][0] if scope.get("client") else ""
    added, headers.checked = _added(peer, scope["scheme"], version, host, noted, trust)
    headers += added
    query = scope["query_string"]
    facts = (
        method,
        path + b"?" + query if query else path,
        headers,
        host,
        client_of(peer, noted, trust.proxies) if b"x-forwarded-for" in noted else peer,
        has_body,
        length,
        bool(has_body) and any(name == b"expect" for name, _ in headers),
        b"te" in noted and b"trailers" in _members(noted[b"te"]),
    )
    return tuple.__new__(Forward, facts)  # `Forward(...)` would be one more call


def planned(request: Forward, place: URL, target: bytes) -> Request | None:
    """A request without a body in the form that a pool sends; None if one of its fields is unusual. The fields are
    those that `plan` made, so they are not checked again.
    """
    headers = request.headers
    if type(headers) is not Planned or headers.lines is None or headers.checked is None:
        return None
    return Request.of_lines(request.method, place, target, headers, headers.lines, headers.checked)


def _by_rules(
    method: str, version: str, headers: Planned, noted: Noted, trust: Trust, length: int | None
) -> Refusal | None:
    """Add the fields that a rule lets pass, or refuse the request for one of them."""
    added: Headers = []
    if b"max-forwards" in noted:
        counted = _decrement_max_forwards(method, noted[b"max-forwards"])
        if isinstance(counted, Refusal):
            return counted
        added = counted
    if b"via" in noted and _has_passed(noted[b"via"], trust.name):
        return _LOOP
    if length is not None:
        added.append((b"content-length", b"%d" % length))
        headers.lines = None
    if b"cookie" in noted:
        added += _cookies(version, noted[b"cookie"])
    headers += added
    if headers.lines is not None:
        headers.lines += [b"%b: %b" % pair for pair in added]
    return None


# The cache keeps the client's address, its Host, the scheme, the version and the gateway's name, but no credentials.
_usual: Final[Bounded[tuple[Trust, str, str, str, bytes | None], tuple[Headers, bytes | None]]] = Bounded()
_LONGEST: Final = 64


def _added(
    peer: str, scheme: str, version: str, host: bytes | None, noted: Noted, trust: Trust
) -> tuple[Headers, bytes | None]:
    """The fields that the gateway adds: Via, and the client's address, host and scheme. Mostly they are cached, with
    their lines.
    """
    proxies = trust.proxies
    claims = None
    if len(noted) > 1 and proxies is not None and proxies[peer] and any(map(is_claim, noted)):
        claims = noted
    if claims is not None or b"via" in noted:
        return _made(peer, scheme, version, host, noted.get(b"via", ()), trust, claims), None
    key = trust, peer, scheme, version, host
    known = _usual.get(key)
    if known is None:
        made = _made(peer, scheme, version, host, (), trust, None)
        known = made, checked_lines(made)
        if len(peer) + len(host or b"") <= _LONGEST:
            _usual.keep(key, known)
    return known


def _made(
    peer: str,
    scheme: str,
    version: str,
    host: bytes | None,
    before: list[bytes] | tuple[()],
    trust: Trust,
    claims: Noted | None,
) -> Headers:
    # RFC 9110, section 7.6.3: a gateway must add itself to Via, and detects a loop by that.
    via = b"via", _via(before, version, trust.name)
    return [via, *written(peer.encode("latin-1", "replace"), host, SCHEMES.get(scheme, b"http"), trust.written, claims)]


def _rule(name: bytes) -> tuple[int, bytes]:
    """The rule for fields of this name, and the beginning of their lines, which is b"" unless the rule is `_PLAIN`."""
    if name in _NOTED:
        return _BY_RULE, b""
    if is_claim(name):
        # A claim that is spelled with `_` is removed, whatever peer has sent it; other claims are collected.
        return (_KEPT_OUT if b"_" in name else _BY_RULE), b""
    start = line_start(name)
    return (_UNUSUAL, b"") if start is None else (_PLAIN, start)


_PLAIN: Final = 0
_BY_RULE: Final = 1
_KEPT_OUT: Final = 2
_UNUSUAL: Final = 3
_rules: Final = Remembered(_rule)


def _sorted(given: Headers) -> tuple[Planned, Noted]:
    """The fields that are forwarded unchanged, and, by name, the values of the fields that a rule applies to."""
    headers = Planned()
    lines: list[bytes] = []
    is_usual = True
    noted: Noted = {}
    for pair in given:
        name, value = pair
        rule, start = _rules[name]
        if rule == _PLAIN:
            headers.append(pair)
            lines.append(start + value)
        elif rule == _BY_RULE:
            if name in noted:
                noted[name].append(value)
            else:
                noted[name] = [value]
        elif rule == _UNUSUAL:
            headers.append(pair)
            is_usual = False
    headers.lines = lines if is_usual else None
    return headers, noted


def _members(values: list[bytes]) -> set[bytes]:
    """The members of a list field in lower case, each without its parameters."""
    return {member.partition(b";")[0].strip(b" \t").lower() for member in b",".join(values).split(b",")}


def _remove_named(headers: Planned, noted: Noted) -> None:
    """Remove the fields that Connection names (RFC 9110, section 7.6.1)."""
    named = _members(noted[b"connection"]) - _NO_OPTION
    if not named:
        return
    for name in named - _NEVER_NAMED:
        if name not in _ONE_HOP:
            noted.pop(name, None)
    headers[:] = [pair for pair in headers if pair[0] not in named]
    headers.lines = None


def _host(version: str, noted: Noted, authority: bytes | None) -> bytes | Refusal | None:
    """The host of a request (RFC 9112, section 3.2): from one well-formed Host, or from an absolute target, which
    replaces Host. Requests of HTTP/1.0 and HTTP/2 need not have one; the server passes the `:authority` of HTTP/2 as
    Host.
    """
    values = noted.get(b"host", ())
    if version != "1.1" and not any(values):  # granian passes an empty one
        return authority
    # RFC 9112, section 3.2: 400 for no Host, several, or a malformed one.
    if len(values) != 1 or not hosts[values[0]]:
        return _BAD_HOST
    return values[0] if authority is None else authority


def _framing(version: str, noted: Noted) -> tuple[bool, int | None] | Refusal:
    """Whether there is a body, and its length if it is declared (RFC 9112, section 6)."""
    if b"transfer-encoding" in noted:
        if b",".join(noted[b"transfer-encoding"]).strip(b" \t").lower() != b"chunked":
            return _BAD_CODING
        # HTTP/1.0 has no transfer codings, HTTP/2 forbids the field (RFC 9112, section 6.1; RFC 9113, section 8.2.2).
        return (True, None) if version == "1.1" else _BAD_FRAMING
    # Equal values count as one (RFC 9110, section 8.6); different values may be an attempt at request smuggling.
    values = {value.strip(b" \t") for value in b",".join(noted[b"content-length"]).split(b",")}
    value = values.pop()
    if values or not _NUMBER.fullmatch(value):
        return _BAD_FRAMING
    return True, int(value)


def _decrement_max_forwards(method: str, values: list[bytes]) -> Headers | Refusal:
    """Max-Forwards, decremented for TRACE and OPTIONS; at 0 the gateway itself responds (RFC 9110, section 7.6.2)."""
    if method not in ("OPTIONS", "TRACE"):
        return [(b"max-forwards", value) for value in values]
    if len(values) != 1 or not _NUMBER.fullmatch(values[0]):
        return _BAD_FORWARDS
    left = int(values[0])
    if left == 0:
        return _OPTIONS if method == "OPTIONS" else _NOT_ALLOWED
    return [(b"max-forwards", b"%d" % (left - 1))]


def _has_passed(values: list[bytes], name: bytes) -> bool:
    return any(name in member.split()[1:2] for member in b",".join(values).split(b","))


def _via(before: list[bytes] | tuple[()], version: str, name: bytes) -> bytes:
    mine = b"%b %b" % (b"1.0" if version == "1" else version.encode("ascii"), name)  # granian passes "1"
    return b", ".join([*before, mine]) if before else mine


def _cookies(version: str, values: list[bytes]) -> Headers:
    """The Cookie fields. HTTP/2 may send each cookie in a field of its own; for HTTP/1.1 they are joined (RFC 9113,
    section 8.2.3).
    """
    if version.startswith("1"):
        return [(b"cookie", value) for value in values]
    return [(b"cookie", b"; ".join(values))]


def returned(given: Headers, without: frozenset[bytes], version: str, name: bytes) -> Headers:
    """The fields of a response for the client, without the fields for one hop and those named in `without`.

    Arguments:
        version: the HTTP version of the upstream's response, e.g. "1.1".
        name: as in `Trust`.
    """
    headers: Headers = []
    named: list[bytes] = []
    before: list[bytes] = []
    for pair in given:
        field = pair[0]
        if field == b"connection":
            named.append(pair[1])
        elif field == b"via":
            before.append(pair[1])
        elif field not in _ONE_HOP and field not in without:
            headers.append(pair)
    if named:
        options = _members(named) - _NO_OPTION - _NEVER_NAMED
        if options:
            headers = [pair for pair in headers if pair[0] not in options]
    headers.append((b"via", b", ".join([*before, b"%b %b" % (version.encode("ascii"), name)])))
    return headers


def without_trailers(headers: Headers) -> tuple[Headers, Headers]:
    """The fields of a response's head, and the trailers in them, if it is the head of a gRPC response.

    If a gRPC call fails at once, the head of the response is also its end, and has the trailers ("Trailers-Only" in
    gRPC's specification). ASGI has no such response, and clients read `grpc-status` from the trailers at the end. So
    these fields are sent as trailers.
    """
    if not any(name == b"grpc-status" for name, _ in headers):
        return headers, []
    return (
        [pair for pair in headers if pair[0] in _NO_TRAILER],
        [pair for pair in headers if pair[0] not in _NO_TRAILER],
    )
