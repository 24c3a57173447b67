"""Header fields of HTTP/2 (RFC 9113, section 8): the fields of a request, and the rules for those of a response. Pure.

Outbound: names are lower-cased, the request line becomes pseudo-header fields, and connection-specific fields are left
out. They are left out rather than refused because the same request is sent over HTTP/1.1 if the server does not offer
HTTP/2, and because a gateway passes on its client's fields; 8.2.2 requires a gateway to leave them out.

Inbound: every rule of 8.2 and 8.3 whose breach makes a message malformed is enforced, and the grammar of values is that
of HTTP/1.1, so that a head means the same over either protocol. White space around a value is refused, as 8.2.1
requires. Unless the pool is strict, the engine then checks the result of `trimmed`, and marks the head as lenient.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress
from typing import Final

from .._errors import LimitExceeded, LocalProtocolError, RemoteProtocolError, show
from .._message.fields import (
    FIELD_COUNT,
    Bounded,
    Headers,
    Remembered,
    forbidden_bytes,
    is_token,
    is_value,
    received_length,
)
from .._message.head import MARKED, Fields
from .._message.request import Request

__all__ = [
    "check_fields",
    "known_fields",
    "read_fields",
    "read_status",
    "request_fields",
    "trailer_fields",
    "trimmed",
]

# Outbound.

_CONNECTION_FIELDS: Final = frozenset(
    (b"connection", b"http2-settings", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade")
)
_PLAIN_BYTES: Final = 512  # the largest head that is remembered
_plain: Final[Bounded[bytes, Headers]] = Bounded()
_HOST: Final = frozenset((b"Host", b"host"))
_ABSOLUTE_FORM = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?]*)(.*)", re.DOTALL)


def request_fields(request: Request, protocol: bytes | None = None) -> Headers:
    """The whole field section of a request, pseudo-header fields first.

    `:authority` is the value of `Host`, as in HTTP/1.1; for a target in absolute-form it is the authority of the target
    (RFC 9112, 3.2.2). CONNECT has only `:method` and `:authority`, but with a `protocol` (extended CONNECT, RFC 8441)
    it is sent like any other request, to the URL's path.

    Arguments:
        request: as for HTTP/1.1.
        protocol: the value of `:protocol`, e.g. b"websocket". Default None: there is none.

    Raises:
        LocalProtocolError: there is a `protocol`, but the method is not CONNECT.
    """
    method = request.method
    if protocol is not None and method != b"CONNECT":
        raise LocalProtocolError(f"method is {show(method)}: expected CONNECT, since :protocol is given")
    host, fields = _regular_fields(request.headers)
    if method == b"CONNECT" and protocol is None:
        return [(b":method", method), (b":authority", request.target), *fields]
    scheme = request.url.scheme.encode()
    path = request.target
    if protocol is not None:
        path = request.url.target
        if host == request.target:  # the default Host of a plain CONNECT, which is its target
            host = b""
    authority = host or request.url.host_header
    # HTTP/2 has no absolute-form: its parts go into `:scheme`, `:authority` and `:path` (RFC 9113, section 8.3.1).
    if path[:1] != b"/" and (absolute := _ABSOLUTE_FORM.fullmatch(path)):
        scheme, authority, path = absolute[1].lower(), absolute[2], absolute[3]
        if path[:1] != b"/":
            path = b"*" if method == b"OPTIONS" and not path else b"/" + path
    pseudo = [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path)]
    if protocol is not None:
        pseudo.append((b":protocol", protocol))
    return pseudo + fields


def known_fields(request: Request) -> tuple[Headers, bytes]:
    """The field section of a request, and a key that identifies it. If the key is not empty, the fields are remembered,
    and their block may be remembered too.

    Only a request without credentials has a key: its only field is Host, and its URL has no user name.
    """
    key = request.head
    url = request.url
    if (
        len(request.headers) > 1
        or request.protocol is not None
        or len(key) > _PLAIN_BYTES
        or url.scheme != "https"
        or url.userinfo is not None
    ):
        return request_fields(request, request.protocol), b""
    fields = _plain.get(key)
    if fields is None:
        fields = request_fields(request)
        _plain.keep(key, fields)
    return fields, key


def _regular_fields(headers: Headers) -> tuple[bytes, Headers]:
    """The value of Host, and the fields after the pseudo-header fields."""
    names, values = zip(*headers, strict=True)
    lowers = [*map(_sent.__getitem__, names)]
    if names[0] in _HOST and lowers.count(b"") == 1:  # this is the usual case
        return values[0], list(zip(lowers[1:], values[1:], strict=True))
    fields = [(lower, value) for lower, value in zip(lowers, values, strict=True) if lower]
    hosts = [value for name, value in headers if name.lower() == b"host"]
    # Fields that `Connection` lists are left out, even if HTTP/2 would allow them. TE is added only after this, since
    # `Connection` may list it.
    if nominated := _connection_options(headers):
        fields = [pair for pair in fields if pair[0] not in nominated]
    if _takes_trailers(headers):
        fields.append((b"te", b"trailers"))
    return hosts[-1] if hosts else b"", fields


def trailer_fields(trailers: Headers) -> Headers:
    """Trailers, as returned by `Request.final_trailers`, for HTTP/2: names are lower-cased."""
    return [(name.lower(), value) for name, value in trailers]


def _sent_name(name: bytes) -> bytes:
    """The name in lower case; `b""` for a field that is left out, or that must be examined."""
    lower = name.lower()
    return b"" if lower in _CONNECTION_FIELDS or lower == b"host" else lower


_sent: Final = Remembered(_sent_name)


def _connection_options(headers: Headers) -> frozenset[bytes]:
    """The fields that `Connection` lists: they are for this connection only (RFC 9110, 7.6.1)."""
    return frozenset(
        option.strip(b" \t").lower()
        for name, value in headers
        if name.lower() == b"connection"
        for option in value.split(b",")
    )


def _takes_trailers(headers: Headers) -> bool:
    return any(
        coding.strip(b" \t").lower() == b"trailers"
        for name, value in headers
        if name.lower() == b"te"
        for coding in value.split(b",")
    )


# Inbound.

_STATUS = re.compile(rb"[1-9][0-9]{2}")


def read_status(fields: Sequence[tuple[bytes, bytes]]) -> int:
    """The status, from the only pseudo-header field of a response, which must be its first field (8.3.2).

    Raises:
        RemoteProtocolError: the status is missing, malformed, or 101, which HTTP/2 does not have (8.6).
    """
    if not fields or fields[0][0] != b":status":
        first = f"begins with {show(fields[0][0])}" if fields else "is empty"
        raise RemoteProtocolError(f"the response head {first}: expected :status first")
    status = fields[0][1]
    if not _STATUS.fullmatch(status) or status == b"101":
        raise RemoteProtocolError(f"the peer sent :status {show(status)}: expected 100 to 999, but not 101")
    return int(status)


def trimmed(fields: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """The fields, without the white space around their values."""
    return tuple([(name, value.strip(b" \t")) for name, value in fields])


def read_fields(fields: Sequence[tuple[bytes, bytes]], *, trailers: bool = False) -> tuple[Headers, int | None]:
    """Like `check_fields`, but returns the fields as a new list, and the value of Content-Length if it is present."""
    return [*fields], check_fields(fields, trailers=trailers)[1]


def check_fields(
    fields: Sequence[tuple[bytes, bytes]], *, trailers: bool = False, most: int = FIELD_COUNT
) -> tuple[Fields, int | None]:
    """Check the fields after `:status`, or those of a trailer section: all names and all values are checked at once.

    Returns:
        the fields that are in `head.MARKED`, and the value of Content-Length if it is present.

    Raises:
        RemoteProtocolError: a name or value breaks the grammar, is a pseudo-header field, or belongs to the
            connection; or there are two Content-Length, or one in trailers.
        LimitExceeded: there are more than `most` fields.
    """
    if len(fields) > most:
        where = "trailer section" if trailers else "head"
        raise LimitExceeded(
            f"the {where} of the response has {len(fields)} fields: expected at most {most}", limit=most
        )
    if not fields:
        return (), None
    names, values = zip(*fields, strict=True)
    marks = [*map(_received.__getitem__, names)]
    if not _is_surely_valid(b"\n".join((b"", *values, b"")), len(values) + 1):
        _check_values(fields)
    marked = tuple(compress(fields, marks))
    lengths = [value for name, value in marked if name == b"content-length"]
    if not lengths:
        return marked, None
    if trailers:
        raise RemoteProtocolError(
            "the peer sent 'content-length' as a trailer: expected it in the head only, since it describes the framing"
        )
    return marked, received_length(lengths)


def _is_surely_valid(lines: bytes, count: int) -> bool:
    """Whether no value has a control character, or white space at an end. May return False for valid values."""
    return (
        forbidden_bytes(lines) == b"\n" * count
        and b" \n" not in lines
        and b"\n " not in lines
        # One octet is found faster than two, and hardly any field has a tab.
        and (b"\t" not in lines or (b"\t\n" not in lines and b"\n\t" not in lines))
    )


def _check_values(fields: Sequence[tuple[bytes, bytes]]) -> None:
    for name, value in fields:
        if not is_value(value):
            raise RemoteProtocolError(
                f"the peer sent {show(name)} with the value {show(value)}: expected no control character, and no "
                "white space at its start or end"
            )


def _received_name(name: bytes) -> bool:
    """Check a name. Returns whether it is in `head.MARKED`."""
    if name[:1] == b":":
        raise RemoteProtocolError(f"the peer sent {show(name)}: expected :status, once, before all others")
    if not is_token(name) or name != name.lower():
        raise RemoteProtocolError(f"the peer sent a field named {show(name)}: expected a token in lower case")
    if name in _CONNECTION_FIELDS:
        raise RemoteProtocolError(
            f"the peer sent {show(name)}: expected no connection-specific field (RFC 9113, section 8.2.2)"
        )
    return name in MARKED


_received: Final = Remembered(_received_name)
