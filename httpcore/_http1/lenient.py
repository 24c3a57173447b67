"""The second reader of HTTP/1.x heads and trailers: for input that the strict one refuses although real servers send
it. No I/O.

The accepted deviations are a closed table, the names of `Leniency`. A head is accepted if our table has a name for
everything unusual in it *and* h11 reads the same status and fields in the same bytes; thus a head that the two
understand differently is refused. h11 is not used for heads that it cannot read and our grammar can: a 2xx to CONNECT,
whose framing fields have no meaning, and the control characters VT and FF in a value.

No second message may be read after such a head: the connection closes after the response. Messages that two readers
could split differently are refused here as well: a Content-Length that differs from another one, one beside a
Transfer-Encoding, any Transfer-Encoding but one `chunked`, either of them in a folded line, CR inside a line, and any
version but 1.0 and 1.1.

h11 is imported when the first such head is received, and under a gate that a fork waits for: see `_forking`.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Final

from .._errors import RemoteProtocolError, show
from .._forking import OPENSSL
from .._message.fields import Headers, forbidden_bytes, is_token, received_length
from .._message.head import Head
from .._message.rules import Leniency
from .grammar import Framing, Status, check_count, framing_of, is_chunked, is_persistent, statuses

if TYPE_CHECKING:
    import h11

__all__ = ["LenientHead", "read_lenient_head", "read_lenient_trailers"]

LenientHead = tuple[Head, Framing, int, bool]

_FRAMING: Final = (b"content-length", b"transfer-encoding")


def read_lenient_head(raw: bytes, method: bytes, upgrade: bool, most: int) -> LenientHead:
    """Read a head that `grammar.read_head` has refused; `Head.lenient` names the deviations.

    Raises:
        RemoteProtocolError, LimitExceeded: the head breaks the grammar in a way that the table does not allow.
    """
    unusual: dict[Leniency, None] = {}  # used as a set that keeps its order
    lines = _lines(raw, unusual)
    status = statuses[lines[0]]
    fields = _fields("header", lines[1:], unusual, most)
    tunnel = method == b"CONNECT" and 200 <= status[0] < 300
    if not tunnel:
        fields = _with_one_length(fields, unusual)
        # h11 refuses VT and FF in a value, so it cannot confirm such a head.
        if not _IN_H11_NO_VALUES.intersection(raw):
            _ask_h11(raw, method, status, fields)
    framing, length = _framing(status, fields, method, upgrade, unusual)
    # If this reader finds no deviation, the strict one refused the head for a reason that has no name here.
    if not unusual:
        raise RemoteProtocolError("the head has no deviation that is accepted")
    lowered = [(name.lower(), value) for name, value in fields]
    options = [value for name, value in lowered if name == b"connection"]
    head = Head(*status, lowered, fields, None, tuple(unusual))
    return head, framing, length, is_persistent(options, status[2] == b"1.0")


def read_lenient_trailers(raw: bytes, most: int) -> tuple[Headers, tuple[Leniency, ...]]:
    """The trailer section in `raw`, which begins with the end of a line; names are lower-cased.

    Raises:
        RemoteProtocolError, LimitExceeded: as `read_lenient_head`.
    """
    unusual: dict[Leniency, None] = {}
    fields = _fields("trailer", _lines(raw, unusual)[1:], unusual, most)
    return [(name.lower(), value) for name, value in fields], tuple(unusual)


# Lines and fields.


def _lines(raw: bytes, unusual: dict[Leniency, None]) -> list[bytes]:
    """The lines of a section without their ends, up to the empty line and without it."""
    lines = raw.split(b"\n")[:-1]  # the section ends in LF
    plain = [line.removesuffix(b"\r") for line in lines]
    # Some readers treat a CR that is not before LF as a line end, others as a blank.
    if b"\r" in b"".join(plain):
        raise RemoteProtocolError("the peer sent a CR inside of a line: expected it only before LF")
    if not all(line.endswith(b"\r") for line in lines):
        unusual["line-end"] = None
    return plain[:-1]


def _fields(what: str, lines: list[bytes], unusual: dict[Leniency, None], most: int) -> Headers:
    check_count(what, len(lines), most)
    fields: Headers = []
    for parts in _unfolded(lines):
        name, colon, value = b" ".join(parts).partition(b":")
        if not colon or not is_token(name) or b"\0" in value:
            raise RemoteProtocolError(f"expected a {what} field, got {show(parts[0])}")
        if len(parts) > 1:
            if name.lower() in _FRAMING:
                raise RemoteProtocolError(
                    f"the peer sent {show(name)} folded: expected it on one line, since it describes the framing"
                )
            unusual["folded-field"] = None
        if forbidden_bytes(value):
            unusual["control-character"] = None
        fields.append((name, value.strip(b" \t")))
    return fields


def _unfolded(lines: list[bytes]) -> list[list[bytes]]:
    """The lines of each field: the first, and those that continue it, without their leading blanks."""
    found: list[list[bytes]] = []
    for line in lines:
        if line[:1] not in (b" ", b"\t"):
            found.append([line])
        elif found:
            found[-1].append(line.lstrip(b" \t"))
        else:
            raise RemoteProtocolError(f"the peer sent the continuation line {show(line)}: expected a field before it")
    return found


# Framing.


def _with_one_length(fields: Headers, unusual: dict[Leniency, None]) -> Headers:
    """Replace several equal Content-Length fields by one (RFC 9112, 6.3)."""
    given = [value for name, value in fields if name.lower() == b"content-length"]
    values = [part.strip(b" \t") for part in b",".join(given).split(b",")] if given else []
    if len(values) < 2:
        return fields
    if len(set(values)) > 1:
        seen = show(b", ".join(given))
        raise RemoteProtocolError(f"the peer sent Content-Length {seen}: expected the same in each")
    unusual["repeated-length"] = None
    others: Headers = []
    for name, value in fields:
        if name.lower() != b"content-length":
            others.append((name, value))
        elif values:
            others.append((name, values[0]))
            values = []
    return others


def _framing(
    status: Status, fields: Headers, method: bytes, upgrade: bool, unusual: dict[Leniency, None]
) -> tuple[Framing, int]:
    """The framing after the head, as in `grammar`; here a body may be chunked in HTTP/1.0 too."""
    code, _, version = status
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    if method == b"CONNECT" and 200 <= code < 300:
        try:
            _ = codings and is_chunked(codings, lengths, version == b"1.0")
            _ = lengths and received_length(lengths)
        except RemoteProtocolError:
            unusual["connect-framing"] = None
        return framing_of(code, method, upgrade, None, False)
    # Content-Length together with Transfer-Encoding is refused as in HTTP/1.1: in HTTP/1.0 it is no safer.
    chunked = is_chunked(codings, lengths, False) if codings else False
    if chunked and version == b"1.0":
        unusual["chunked-in-http10"] = None
    return framing_of(code, method, upgrade, received_length(lengths) if lengths else None, chunked)


# The second reader.

_IN_H11_NO_VALUES: Final = frozenset(b"\x0b\x0c")


def _ask_h11(raw: bytes, method: bytes, status: Status, fields: Headers) -> None:
    """Raise RemoteProtocolError unless h11 reads the same status and fields."""
    event = _read_by_h11(raw, method, status[0])
    theirs = (event.status_code, bytes(event.reason), bytes(event.http_version))
    if theirs != status or list(map(_compared, event.headers.raw_items())) != list(map(_compared, fields)):
        raise RemoteProtocolError("h11 reads a different head from these bytes")


def _read_by_h11(raw: bytes, method: bytes, code: int) -> h11.Response | h11.InformationalResponse:
    h11 = _h11()
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=len(raw) + 1)
    # h11 needs the method and whether an upgrade was requested; no other part of the request matters to it.
    asked = [("Host", "a"), *([("Upgrade", "a")] if code == 101 else [])]
    try:
        connection.send(h11.Request(method=method, target="/", headers=asked))
        connection.receive_data(raw)
        event = connection.next_event()
    except h11.ProtocolError as error:
        raise RemoteProtocolError(f"h11: {error}") from error
    if isinstance(event, (h11.Response, h11.InformationalResponse)):
        return event  # type: ignore[no-any-return]  # of a module that is known by its name alone
    raise RemoteProtocolError("h11 reads no complete head from these bytes")


def _compared(field: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A field in the form in which it is compared: h11 writes `chunked` in lower case."""
    name, value = field
    return name, value.lower() if name.lower() == b"transfer-encoding" else value


@cache
def _h11() -> ModuleType:
    """The h11 library, imported at its first use."""
    with OPENSSL:
        import h11  # rarely needed, and imported under the gate: see the docstring of the module

        return h11
