"""The handshake of a WebSocket on both sides of a gateway (RFC 6455, section 4): values in, values out.

Each side has a handshake of its own. Keys and extensions apply to one hop. The upstream chooses one of the subprotocols
that the client offers, so its handshake is made before the client's is answered.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, NamedTuple

from .._errors import RemoteProtocolError, show
from .messages import Headers, Refusal, Scope
from .plan import Forward, Trust, plan, returned

__all__ = ["Agreed", "Offer", "agreed", "offer_for"]

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_OWN: Final = frozenset(
    b"sec-websocket-key sec-websocket-version sec-websocket-extensions sec-websocket-protocol "
    b"sec-websocket-accept".split()
)
_WITH_BODY: Final = Refusal(400, "expected no body in the handshake of a WebSocket")


class Offer(NamedTuple):
    """The handshake that is sent to the upstream.

    Attributes:
        request: the request, with the fields of the handshake.
        accept: the value of Sec-WebSocket-Accept that the upstream must send for the key.
        subprotocols: the subprotocols that the upstream may choose from.
    """

    request: Forward
    accept: bytes
    subprotocols: tuple[str, ...]


class Agreed(NamedTuple):
    """The result of the upstream's handshake.

    Attributes:
        subprotocol: the chosen one of those that were offered, or None.
        headers: further fields for the client, e.g. Set-Cookie.
    """

    subprotocol: str | None
    headers: Headers


def offer_for(scope: Scope, trust: Trust, nonce: bytes) -> Offer | Refusal:
    """The handshake for the upstream, made from the client's.

    Arguments:
        scope: the ASGI scope, of the type "websocket".
        trust: as for `plan`. The rules of `plan` apply, since a handshake is a GET.
        nonce: 16 random bytes.
    """
    request = plan({**scope, "method": "GET"}, trust)
    if isinstance(request, Refusal):
        return request
    if request.length or (request.has_body and request.length is None):
        return _WITH_BODY
    key = base64.b64encode(nonce)
    headers = [pair for pair in request.headers if pair[0] not in _OWN and pair[0] != b"content-length"]
    headers += [
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", key),
    ]
    subprotocols = tuple(scope.get("subprotocols", ()))
    if subprotocols:
        headers.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode("latin-1")))
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
    return Offer(request._replace(headers=headers, has_body=False, length=None), accept, subprotocols)


def agreed(given: Headers, offer: Offer, without: frozenset[bytes], name: bytes) -> Agreed:
    """Check the upstream's 101 response (RFC 6455, section 4.1).

    Arguments:
        given: the fields of the response, names in lower case.
        without, name: as for `returned`.

    Raises:
        RemoteProtocolError: the response does not match the offer.
    """
    fields: dict[bytes, list[bytes]] = {}
    for field, value in given:
        fields.setdefault(field, []).append(value)
    protocol = b",".join(fields.get(b"upgrade", ())).strip()
    if protocol.lower() != b"websocket":
        raise RemoteProtocolError(f"the upstream switched to the protocol {show(protocol)}: expected websocket")
    # RFC 6455, section 4.1: this field shows that the upstream supports WebSockets, and that no cache has repeated an
    # old 101.
    if fields.get(b"sec-websocket-accept") != [offer.accept]:
        raise RemoteProtocolError("the upstream's Sec-WebSocket-Accept does not match the key")
    if b"sec-websocket-extensions" in fields:
        raise RemoteProtocolError("the upstream chose a WebSocket extension: expected none, since none was offered")
    chosen = [value.decode("latin-1") for value in fields.get(b"sec-websocket-protocol", ())]
    if len(chosen) > 1 or (chosen and chosen[0] not in offer.subprotocols):
        raise RemoteProtocolError(
            f"the upstream chose the subprotocol {show(', '.join(chosen))}, which was not offered"
        )
    headers = [pair for pair in returned(given, without, "1.1", name) if pair[0] not in _OWN]
    return Agreed(chosen[0] if chosen else None, headers)
