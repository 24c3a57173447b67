"""The server's side of a WebSocket handshake (RFC 6455, section 4.2; RFC 8441): values in, values out."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, NamedTuple

from .._errors import show
from .._message.fields import Headers
from .._message.request import Request

__all__ = ["Handshake", "Refusal", "handshake_of"]

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_VERSION: Final = (b"sec-websocket-version", b"13")


class Handshake(NamedTuple):
    """A valid handshake: status and header fields of the response that accepts it, and the offered subprotocols."""

    status_code: int
    headers: Headers
    subprotocols: list[str]
    protocol: str


class Refusal(NamedTuple):
    """The response to an invalid handshake, which the app never sees."""

    status_code: int
    headers: Headers
    reason: str


def handshake_of(wire: Request) -> Handshake | Refusal | None:
    """Check a request for a WebSocket, by Upgrade (RFC 6455) or extended CONNECT (RFC 8441). None for any other
    request.
    """
    if wire.protocol is not None:
        if wire.protocol != b"websocket":
            return Refusal(501, [], f":protocol is {show(wire.protocol)}: expected websocket")
    elif not (wire.upgrade and wire.method == b"GET" and _upgrades_to_websocket(wire)):
        return None
    versions = _values(wire, b"sec-websocket-version")
    if versions != [b"13"]:
        return Refusal(426, [_VERSION], f"Sec-WebSocket-Version is {show(b', '.join(versions))}: expected 13")
    offered = [part.strip() for part in b",".join(_values(wire, b"sec-websocket-protocol")).split(b",")]
    subprotocols = [part.decode("latin-1") for part in offered if part]
    if wire.protocol is not None:
        return Handshake(200, [], subprotocols, "HTTP/2")
    keys = _values(wire, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return Refusal(400, [], "Sec-WebSocket-Key: expected 16 bytes in base64, once")
    accept = base64.b64encode(hashlib.sha1(keys[0] + _MAGIC, usedforsecurity=False).digest())
    fields = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", accept)]
    return Handshake(101, fields, subprotocols, "HTTP/1.1")


def _upgrades_to_websocket(wire: Request) -> bool:
    return b"websocket" in _options(wire, b"upgrade") and b"upgrade" in _options(wire, b"connection")


def _values(wire: Request, name: bytes) -> list[bytes]:
    return [value for field, value in wire.headers if field.lower() == name]


def _options(wire: Request, name: bytes) -> list[bytes]:
    return [part.strip().lower() for part in b",".join(_values(wire, name)).split(b",")]


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False
