"""The steps of a request as lines like those of curl's `-v`: `*` for steps, `>` for sent and `<` for received heads.
Pure.

Each line is safe on a terminal. Values that may be credentials are left out, unless the caller requests them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from .._address import host_port
from .._certificate import Certificate
from .._client.headers import CREDENTIALS
from .._errors import RemoteProtocolError
from .._message.request import Request
from .._message.response import ResponseInfo
from .._trace import (
    Connected,
    ConnectionClosed,
    ConnectionOpened,
    ConnectStarted,
    DialFailed,
    EngineDifference,
    LookupDone,
    LookupStarted,
    RequestQueued,
    RequestRetried,
    RequestSent,
    ResponseUnusual,
    TLSDone,
    TLSStarted,
    TraceEvent,
    TunnelOpened,
    TunnelStarted,
)
from .clean import line_text

__all__ = ["certificate_lines", "record_line", "request_lines", "response_lines", "trailer_lines"]

Fields = Iterable[tuple[bytes, bytes]]

_SECRET: Final = CREDENTIALS | {b"set-cookie", b"set-cookie2", b"proxy-authorization"}


def record_line(record: TraceEvent) -> str | None:
    """The line for a record, or None for a record that is not a step of its own."""
    tell = _STEPS.get(type(record))
    return None if tell is None else f"* {line_text(tell(record))}"


def _opened(record: ConnectionOpened) -> str:
    return f"Connection open to {record.peer}, read by {record.engine}" + (f"; {record.hint}" if record.hint else "")


def _queued(record: RequestQueued) -> str:
    return f"Waiting for a connection to {record.origin}"


def _connecting(record: ConnectStarted) -> str:
    port = record.port
    return f"Trying {', '.join(a if port is None else host_port(a, port) for a in record.addresses)}..."


def _secured(record: TLSDone) -> str:
    return f"TLS with {record.host}: {record.version}, ALPN {record.alpn or 'none'}"


def _retried(record: RequestRetried) -> str:
    return f"Sending the request again, attempt {record.attempt}, in {record.pause:.3f} s: {record.reason}"


def _request_sent(record: RequestSent) -> str:
    return "Request sent completely" if record.complete else "Request sent in part: the response was early"


def _steps() -> dict[type[TraceEvent], Callable[..., str]]:
    return {
        LookupStarted: lambda r: f"Looking up {r.host}",
        LookupDone: lambda r: f"{r.host} is {', '.join(r.addresses)}",
        ConnectStarted: _connecting,
        Connected: lambda r: f"Connected to {r.peer}",
        TunnelStarted: lambda r: f"Asking {r.proxy} to connect",
        TunnelOpened: lambda r: f"The proxy {r.proxy} has connected",
        TLSStarted: lambda r: f"TLS handshake with {r.host}",
        TLSDone: _secured,
        ConnectionOpened: _opened,
        DialFailed: lambda r: f"No connection: {r.error}",
        RequestQueued: _queued,
        RequestRetried: _retried,
        RequestSent: _request_sent,
        ResponseUnusual: lambda r: f"The response is unusual: {', '.join(r.lenient)}",
        EngineDifference: lambda r: f"{r.engine} reads the peer's bytes differently: {r.difference}",
        ConnectionClosed: lambda r: f"Connection to {r.peer} closed: {r.reason}",
    }


_STEPS: Final = _steps()


def request_lines(request: Request, protocol: str, *, secrets: bool) -> list[str]:
    """The head of a request."""
    start = b"%b %b %b" % (request.method, request.target, protocol.encode())
    return _head(">", start, request.headers, secrets)


def response_lines(protocol: str, status: int, reason: str, fields: Fields, *, secrets: bool) -> list[str]:
    """The head of a response, interim or final."""
    start = f"{protocol} {status} {reason}".rstrip()
    return _head("<", start.encode("latin-1", "replace"), fields, secrets)


def trailer_lines(fields: Fields, *, secrets: bool) -> list[str]:
    return [f"< {_field(name, value, secrets)}" for name, value in fields]


def _head(mark: str, start: bytes, fields: Fields, secrets: bool) -> list[str]:
    lines = [_field(name, value, secrets) for name, value in fields]
    return [f"{mark} {line_text(start)}", *[f"{mark} {line}" for line in lines], mark]


def _field(name: bytes, value: bytes, secrets: bool) -> str:
    lower = name.lower()
    if lower in _SECRET and not secrets:
        scheme, space, _ = value.partition(b" ")
        value = scheme + b" ***" if space and lower.endswith(b"authorization") else b"***"
    return f"{line_text(name)}: {line_text(value)}"


def certificate_lines(info: ResponseInfo) -> list[str]:
    """The subject of the server's certificate."""
    try:
        certificate = None if info.tls is None else info.tls.peer_certificate
    except RemoteProtocolError as error:
        return [f"* The certificate cannot be read: {line_text(error.message)}"]
    return [] if certificate is None else [f"* {line_text(line)}" for line in _certificate(certificate)]


def _certificate(certificate: Certificate) -> list[str]:
    return [
        f"Server certificate: {_name(certificate.subject) or 'no subject'}",
        f"  for {', '.join(value for _, value in certificate.names) or 'no name'}",
        f"  by {_name(certificate.issuer)}",
        f"  from {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}",
    ]


def _name(name: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{key}={value}" for key, value in name)
