"""The exit status of the command: curl's numbers, so that scripts need not learn others. Values in, a value out."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from .._client.urls import URL
from .._errors import (
    ConnectError,
    DecodingError,
    GoAway,
    HTTPCoreError,
    InvalidURL,
    LimitExceeded,
    LocalProtocolError,
    ProxyError,
    ReadError,
    RedirectError,
    RemoteProtocolError,
    StreamReset,
    Timeout,
    TLSError,
    UnsupportedProtocol,
    WriteError,
)
from .._trace import (
    ConnectionClosed,
    ConnectionOpened,
    DialFailed,
    LookupStarted,
    RequestEnded,
    TraceEvent,
    TunnelStarted,
)

__all__ = ["MEANINGS", "Exit", "exit_of"]


class Exit(IntEnum):
    """The exit statuses."""

    OK = 0
    PROTOCOL = 1
    USAGE = 2
    URL = 3
    RESOLVE_PROXY = 5
    RESOLVE = 6
    CONNECT = 7
    ANSWER = 8
    HTTP2 = 16
    PARTIAL = 18
    STATUS = 22
    WRITE = 23
    READ_FILE = 26
    TIMEOUT = 28
    TLS = 35
    REDIRECTS = 47
    EMPTY = 52
    SEND = 55
    RECEIVE = 56
    CERT_FILE = 58
    CERTIFICATE = 60
    CODING = 61
    LIMIT = 63
    CA_FILE = 77
    STREAM = 92
    PROXY = 97
    INTERRUPTED = 130


MEANINGS: Final = {
    Exit.OK: "the response was received to its end",
    Exit.PROTOCOL: "the scheme, or the protocol of the server, is not supported",
    Exit.USAGE: "the command line is wrong",
    Exit.URL: "the URL cannot be requested",
    Exit.RESOLVE_PROXY: "the name of the proxy does not resolve",
    Exit.RESOLVE: "the name of the server does not resolve",
    Exit.CONNECT: "no connection: refused, not reachable, or not allowed",
    Exit.ANSWER: "the server's response is not HTTP",
    Exit.HTTP2: "the server violated the HTTP/2 protocol",
    Exit.PARTIAL: "the body is shorter than its length",
    Exit.STATUS: "`--fail`, and the status is 400 or more",
    Exit.WRITE: "the output cannot be written, or is binary and goes to a terminal",
    Exit.READ_FILE: "a file to be sent cannot be read",
    Exit.TIMEOUT: "a timeout expired",
    Exit.TLS: "the TLS handshake failed",
    Exit.REDIRECTS: "a redirect has no usable Location, there is a loop, or there are too many",
    Exit.EMPTY: "the server closed the connection without a response",
    Exit.SEND: "the connection broke while the request was sent",
    Exit.RECEIVE: "the connection broke, or the framing of the body was invalid, while the response was received",
    Exit.CERT_FILE: "the file of `--cert` cannot be used",
    Exit.CERTIFICATE: "the server's certificate is not accepted",
    Exit.CODING: "the body's content coding is damaged or unknown",
    Exit.LIMIT: "the server sent more than a limit allows",
    Exit.CA_FILE: "the file of `--cacert` cannot be used",
    Exit.STREAM: "the server reset the HTTP/2 stream",
    Exit.PROXY: "the proxy refused, or failed",
    Exit.INTERRUPTED: "Ctrl-C",
}
"""The meaning of each status, for the table of the guide."""


def exit_of(error: BaseException, records: Sequence[TraceEvent]) -> Exit:
    """The status of a run that ended with `error`, after these records."""
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, Timeout):
        return Exit.TIMEOUT
    if isinstance(error, ConnectError):
        return _exit_of_dial(error, records)
    if isinstance(error, RemoteProtocolError):
        return _exit_of_answer(error, records)
    if isinstance(error, LocalProtocolError):
        return next((status for start, status in _FILES if error.message.startswith(start)), Exit.USAGE)
    return next((status for kind, status in _KINDS if isinstance(error, kind)), Exit.USAGE)


_FILES: Final = (("verify ", Exit.CA_FILE), ("cert ", Exit.CERT_FILE))
"""How the errors about these files begin. The files are not read before a connection is made."""


_KINDS: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (InvalidURL, Exit.URL),
    (UnsupportedProtocol, Exit.PROTOCOL),
    (RedirectError, Exit.REDIRECTS),
    (ProxyError, Exit.PROXY),
    (DecodingError, Exit.CODING),
    (LimitExceeded, Exit.LIMIT),
    (ReadError, Exit.RECEIVE),
    (WriteError, Exit.SEND),
    (HTTPCoreError, Exit.CONNECT),
    (OSError, Exit.READ_FILE),  # of the body's file: an error of the network is one of the above
)


def _exit_of_dial(error: ConnectError, records: Sequence[TraceEvent]) -> Exit:
    if isinstance(error, TLSError):
        # The cause is OpenSSL's own error. Only an error about a certificate has a verification code.
        is_refused = hasattr(error.__cause__, "verify_code") or "fingerprint" in error.message
        return Exit.CERTIFICATE if is_refused else Exit.TLS
    step = next((record for record in reversed(records) if not isinstance(record, _AFTER_A_STEP)), None)
    if isinstance(step, TunnelStarted):
        return Exit.PROXY
    if isinstance(step, LookupStarted):
        of_origin = error.url is None or step.host == URL(error.url).host
        return Exit.RESOLVE if of_origin else Exit.RESOLVE_PROXY
    return Exit.RESOLVE if error.phase == "resolve" else Exit.CONNECT


_AFTER_A_STEP: Final = (DialFailed, RequestEnded, ConnectionClosed)


def _exit_of_answer(error: RemoteProtocolError, records: Sequence[TraceEvent]) -> Exit:
    if isinstance(error, StreamReset):
        return Exit.STREAM
    opened = [record for record in records if isinstance(record, ConnectionOpened)]
    if isinstance(error, GoAway) or (opened and opened[-1].alpn == "h2"):
        return Exit.HTTP2
    if "before any byte of a response" in error.message:
        return Exit.EMPTY
    if error.phase == "read the response body":
        return Exit.PARTIAL if "too early" in error.message else Exit.RECEIVE
    return Exit.ANSWER
