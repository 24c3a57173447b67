"""SOCKS as bytes: the messages by which a proxy connects to a host for us. No I/O.

A conversation is a generator. It yields bytes to send, or the number of bytes of the answer to receive exactly; it
returns when the proxy has connected. Nothing is read beyond the answer, so later bytes belong to the next protocol.
SOCKS5 is RFC 1928, its passwords RFC 1929; SOCKS4 and 4a have no RFC, only their authors' notes.

The only library that implements this without I/O, socksio, had its last release in 2020.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from .._address import read_address
from .._errors import LocalProtocolError, ProxyError, show

__all__ = ["Conversation", "socks4", "socks5"]

Conversation = Generator[bytes | int, bytes, None]

_NO_PASSWORD: Final = 0
_PASSWORD: Final = 2
_NOTHING: Final = 0xFF

_REPLIES_5: Final = {
    1: "general failure",
    2: "its rules do not allow the connection",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the host refused the connection",
    6: "the TTL has expired",
    7: "it does not support CONNECT",
    8: "it does not support this type of address",
}
_REPLIES_4: Final = {
    91: "rejected or failed",
    92: "it cannot identify us (identd)",
    93: "identd and the user name do not agree",
}


def socks5(host: str, port: int, auth: tuple[bytes, bytes] | None) -> Conversation:
    """Connect to `host`: an IP address as text, or a name in ASCII, which the proxy then resolves.

    Raises:
        ProxyError: the proxy refused, or sent an answer that the protocol does not have.
        LocalProtocolError: the name, the user name or the password does not fit into the message.
    """
    # The host is checked before the first byte is sent: a host that does not fit is an error of the caller.
    destination = _address_5(host) + port.to_bytes(2, "big")
    methods = bytes([_NO_PASSWORD, _PASSWORD]) if auth is not None else bytes([_NO_PASSWORD])
    yield b"\x05%c%b" % (len(methods), methods)
    version, method = yield 2
    _check("version", version, 5)
    # The method counts only if it was offered: otherwise a proxy that chooses it breaks the protocol, see below.
    if method == _PASSWORD and auth is not None:
        yield _password(auth)
        _, status = yield 2  # the version of this part is 1, but some proxies send 5
        if status:
            raise ProxyError(f"the proxy refused the user name and password (status {status})")
    elif method == _NOTHING:
        if auth is None:
            raise ProxyError("the proxy requires authentication: expected a user name and password for it")
        raise ProxyError("the proxy accepts neither a user name and password nor a connection without authentication")
    elif method != _NO_PASSWORD:
        raise ProxyError(f"the proxy chose the authentication method {method}, which was not offered")
    yield b"\x05\x01\x00" + destination
    version, reply, _, kind = yield 4
    _check("version", version, 5)
    if reply:
        raise ProxyError(f"the proxy did not connect: {_REPLIES_5.get(reply, 'no reason given')} (reply {reply})")
    # The address in the reply is read although it is not needed, and read exactly: the bytes after it belong to the
    # origin.
    yield from _skip_bound(kind)


def _skip_bound(kind: int) -> Conversation:
    """Read the address from which the proxy connects, which is not needed."""
    if kind == 3:
        (size,) = yield 1
    elif kind in (1, 4):
        # 4 bytes for IPv4 (1), 16 for IPv6 (4): RFC 1928, section 5. The port after them has 2 more.
        size = 4 * kind
    else:
        raise ProxyError(f"the proxy sent an address of type {kind}: expected 1, 3 or 4")
    yield size + 2


def _address_5(host: str) -> bytes:
    # An IP address is sent as an address and not as a name, so that the proxy resolves nothing: under a policy the
    # address was checked here.
    address = read_address(host)
    if address is not None:
        return bytes([1 if address.version == 4 else 4]) + address.packed
    name = host.encode("ascii")
    if not 0 < len(name) < 256:
        raise LocalProtocolError(f"the host {show(host)} has {len(name)} characters: expected 1 to 255 for SOCKS5")
    return b"\x03%c%b" % (len(name), name)


def _password(auth: tuple[bytes, bytes]) -> bytes:
    for part, name in zip(auth, ("user name", "password"), strict=True):
        if not 0 < len(part) < 256:
            raise LocalProtocolError(f"the proxy's {name} has {len(part)} bytes: expected 1 to 255 for SOCKS5")
    user, password = auth
    return b"\x01%c%b%c%b" % (len(user), user, len(password), password)


def socks4(host: str, port: int, user: bytes) -> Conversation:
    """Connect to `host`: an IPv4 address as text, or, with SOCKS4a, a name, which the proxy then resolves.

    Raises:
        ProxyError: the proxy refused, or sent an answer that the protocol does not have.
        LocalProtocolError: an IPv6 address, or a zero byte in a part that a zero byte ends.
    """
    address = read_address(host)
    if address is not None and address.version == 6:
        raise LocalProtocolError(f"the host is {host}: expected an IPv4 address or a name for SOCKS4")
    if b"\0" in user:
        raise LocalProtocolError("the proxy's user name has a zero byte: expected none with SOCKS4")
    # SOCKS4a: an invalid address 0.0.0.x means that a name follows.
    packed, name = (b"\0\0\0\1", host.encode("ascii") + b"\0") if address is None else (address.packed, b"")
    yield b"\x04\x01%b%b%b\0%b" % (port.to_bytes(2, "big"), packed, user, name)
    version, reply, *_ = yield 8
    _check("version", version, 0)
    if reply != 90:
        raise ProxyError(f"the proxy did not connect: {_REPLIES_4.get(reply, 'no reason given')} (reply {reply})")


def _check(what: str, seen: int, right: int) -> None:
    if seen != right:
        text = " (is it an HTTP proxy?)" if seen == ord("H") else ""
        raise ProxyError(f"the proxy sent {what} {seen}: expected {right}{text}")
