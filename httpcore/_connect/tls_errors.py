"""The errors of OpenSSL in words that a user can act on."""

from __future__ import annotations

import ssl
from typing import Any, Final

from .._errors import (
    show,
)

# OpenSSL's X509_V_ERR_... codes; `ssl` has no names for them.
_NOT_TRUSTED: Final = {2, 18, 19, 20, 21}  # no issuer found, or it is self-signed


_NOT_YET_VALID: Final = 9


_EXPIRED: Final = 10


_WRONG_HOST: Final = {62, 64}  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH


_HINTS: Final = {
    "certificate required": "the server requires a client certificate: SSLConfig(cert=...)",
    "handshake failure": "no version, cipher or certificate that both sides accept",
    "protocol version": "it speaks no TLS version that we allow",
    "no application protocol": "it speaks none of the protocols that we offer",
    "unrecognized name": "it does not know this host name",
    "unsupported protocol": "the peer speaks no TLS version that we allow",
}


def explain(error: ssl.SSLError, received: bytes, session: ssl.SSLObject, server_name: str | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _rejected(error, session, server_name)
    # OpenSSL says "wrong version number" to plain text, which misleads the reader.
    if received and not _is_tls(received):
        return _plain_text(received)
    return _reason(error)


def _rejected(error: ssl.SSLCertVerificationError, session: ssl.SSLObject, server_name: str | None) -> str:
    code, message = error.verify_code, error.verify_message
    if code in _WRONG_HOST:
        return f"the certificate is not for host {show(server_name or '')}{_names(session)}"
    if code == _EXPIRED:
        return "the certificate, or one that it depends on, has expired"
    if code == _NOT_YET_VALID:
        return "the certificate, or one that it depends on, is not valid yet"
    if code in _NOT_TRUSTED:
        return f"the certificate is not trusted: {message}"
    return f"the certificate is not accepted: {message}"


def _names(session: ssl.SSLObject) -> str:
    """The hosts that the certificate names. `ssl` shows them only after a good handshake, except through this private
    call."""
    try:
        inside: Any = session
        found = inside._sslobj.get_unverified_chain()[0].get_info()["subjectAltName"]
        names = [show(str(name)) for _, name in found]
    except Exception:  # another version of Python: the message then has no names
        return ""
    return f"; it is for {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}"


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's reason in words: "TLSV1_ALERT_PROTOCOL_VERSION" is an alert that the peer sent."""
    message = str(error.args[-1]) if error.args else ""
    code: str = getattr(error, "reason", None) or _nameless(message)
    if not code:
        return message or type(error).__name__
    sent, is_alert, alert = code.partition("_ALERT_")
    words = (alert if is_alert else sent).replace("_", " ").lower()
    text = f'the peer sent the alert "{words}"' if is_alert else words
    return f"{text} ({_HINTS[words]})" if words in _HINTS else text


def _nameless(message: str) -> str:
    """The reason in OpenSSL's message, if Python has no name for it: "[SSL] tlsv1 alert ... (_ssl.c:1006)"."""
    return message.partition("[SSL] ")[2].rpartition(" (_ssl.c")[0].replace(" ", "_").upper()


def _is_tls(received: bytes) -> bool:
    """Whether these bytes begin a TLS record: handshake or alert, and a version 3.x (RFC 8446, section 5.1)."""
    return received[0] in (21, 22) and received[1:2] in (b"", b"\x03")


def _plain_text(received: bytes) -> str:
    return f"the peer does not speak TLS, it looks like a plain-text server: it sent {show(received)}"


def closed_early(received: bytes) -> str:
    if received and not _is_tls(received):
        return _plain_text(received)
    return "the peer closed the connection " + ("before the handshake was done" if received else "without an answer")
