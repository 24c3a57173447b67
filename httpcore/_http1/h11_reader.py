"""The reference engine of HTTP/1.1: h11 reads each head, and its states decide how the message continues.

There are three parts, each with one task:

- Our grammar comes first, since h11 is laxer (lone LF, folded lines, control characters in values). A head that the
  grammar refuses never reaches h11, and the error names the wrong line.
- h11 reads the heads that passed: status, fields, whether a body follows and of which kind, and whether the connection
  persists.
- The bytes of a body are counted by the native code: through h11 a download costs six times as much.

One `h11.Connection` serves one exchange. We send the real request ourselves (h11 cannot send while it receives an early
response), so h11 gets a request that has the same meaning for the response: its method, and whether it offers an
upgrade or `Connection: close`. There are few different requests of this kind, so they are remembered.
"""

from __future__ import annotations

from typing import Final

import h11

from .._errors import RemoteProtocolError, show
from .._message.fields import FIELD_COUNT, Bounded
from .._message.head import Head
from .duplex import HTTP11DuplexExchange
from .exchange import HTTP11Exchange
from .grammar import CHUNKED, INTERIM, LENGTH, SWITCHED, UNTIL_CLOSE, Framing, read_head
from .parser import H1Response

__all__ = ["NAME", "H11DuplexExchange", "H11Exchange", "H11Reader", "H11Response", "begin", "head_of"]

NAME: Final = "h11 " + h11.PRODUCT_ID.rpartition("/")[2]

_MOST: Final = 1 << 30
"""Bytes that h11 may buffer. It gets whole heads only, whose length has been checked."""

_END: Final = h11.EndOfMessage()
REQUESTS: Final[Bounded[tuple[bytes, bool, bool], h11.Request]] = Bounded()


class H11Reader(H1Response):
    """Reads heads with h11, in place of `grammar.read_head` alone."""

    _h11: h11.Connection | None = None

    def read_head(
        self, raw: bytes, method: bytes, upgrade: bool, most: int = FIELD_COUNT
    ) -> tuple[Head, Framing, int, bool]:
        read_head(raw, method, upgrade, most)  # if this raises, its error has a better reason than that of h11
        connection = self._h11
        if connection is None:
            self._h11 = connection = begin(*self._request_facts)
        try:
            connection.receive_data(raw)
            event = connection.next_event()
            if isinstance(event, h11.InformationalResponse):
                switches = connection.their_state is h11.SWITCHED_PROTOCOL
                return head_of(event), SWITCHED if switches else INTERIM, 0, False
            if isinstance(event, h11.Response):
                framing, length = _framing(connection, event)
                # h11 changes our state to MUST_CLOSE at once, and the peer's state only after the body.
                return head_of(event), framing, length, connection.our_state is not h11.MUST_CLOSE
        except h11.RemoteProtocolError as error:
            raise RemoteProtocolError(f"h11 refuses the head that begins with {show(raw[:64])}: {error}") from None
        raise RemoteProtocolError(f"h11 finds no response in the head that begins with {show(raw[:64])}")


def begin(method: bytes, upgrade: bool, close: bool) -> h11.Connection:
    """A connection on which a request with these properties was sent."""
    asked = method, upgrade, close
    request = REQUESTS.get(asked)
    if request is None:
        headers = [("Host", "h")]
        if upgrade:
            headers += [("Upgrade", "u"), ("Connection", "upgrade")]
        if close:
            headers.append(("Connection", "close"))
        request = h11.Request(method=method, target="h:1" if method == b"CONNECT" else "/", headers=headers)
        REQUESTS.keep(asked, request)
    connection = h11.Connection(h11.CLIENT, _MOST)
    connection.send(request)
    connection.send(_END)
    return connection


def head_of(event: h11.Response | h11.InformationalResponse) -> Head:
    return Head(event.status_code, event.reason, event.http_version, event.headers, event.headers.raw_items())


def _framing(connection: h11.Connection, event: h11.Response) -> tuple[Framing, int]:
    """The part of the message that h11 waits for now (RFC 9112, 6.3)."""
    if connection.their_state is h11.SWITCHED_PROTOCOL:  # a 2xx to CONNECT
        return SWITCHED, 0
    if isinstance(connection.next_event(), h11.EndOfMessage):
        return LENGTH, 0
    fields = dict(event.headers)
    if b"transfer-encoding" in fields:  # h11 accepts only the value `chunked`
        return CHUNKED, 0
    if b"content-length" in fields:
        return LENGTH, int(fields[b"content-length"])
    return UNTIL_CLOSE, 0


class H11Response(H11Reader):
    """`H1Response` with heads that h11 reads."""


class H11Exchange(H11Reader, HTTP11Exchange):
    """`HTTP11Exchange` with heads that h11 reads."""


class H11DuplexExchange(H11Reader, HTTP11DuplexExchange):
    """`HTTP11DuplexExchange` with heads that h11 reads."""
