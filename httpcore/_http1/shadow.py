"""The shadow of an HTTP/1.1 exchange: h11 reads the same bytes, and differences are reported.

The native reader decides; h11 decides nothing. In the reference engine h11 reads only the heads. Here h11 reads the
whole message, with its chunks and trailers.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable
from typing import Any

import h11

from .._errors import HTTPCoreError, LimitExceeded
from .._message.head import Head
from .differences import explains, is_known_acceptance
from .duplex import HTTP11DuplexExchange
from .exchange import HTTP11Exchange
from .h11_reader import NAME, begin, head_of
from .parser import H1Response

__all__ = ["Shadow", "ShadowDuplexExchange", "ShadowExchange", "ShadowResponse", "difference"]

Report = Callable[[str, str], None]
"""Called with the library and the difference, which never contains a value that a peer sent."""


class Shadow:
    """h11's results for the bytes so far.

    Attributes:
        heads: the interim heads and the final one.
        size, checksum, trailers: the size of the body in bytes, its checksum, and the trailers after it.
        ended: whether the message is complete; `surplus` bytes were received after it.
        persistent: whether the connection may carry another exchange.
        refusal: why h11 reads no further.
    """

    def __init__(self, method: bytes, upgrade: bool, close: bool) -> None:
        self._connection = begin(method, upgrade, close)
        self.heads: list[Head] = []
        self.size = 0
        self.checksum = 0
        self.trailers: list[tuple[bytes, bytes]] = []
        self.ended = False
        self.surplus = 0
        self.persistent = False
        self.refusal: str | None = None

    def receive(self, data: bytes) -> None:
        connection = self._connection
        try:
            connection.receive_data(data)
            while not self.ended and self._take(connection.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self.refusal = str(error)

    def _take(self, event: Any) -> bool:
        connection = self._connection
        if isinstance(event, (h11.InformationalResponse, h11.Response)):
            self.heads.append(head_of(event))
        elif isinstance(event, h11.Data):
            self.size += len(event.data)
            self.checksum = crc32(event.data, self.checksum)
        elif isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
            if isinstance(event, h11.EndOfMessage):
                self.trailers = list(event.headers)
                self.persistent = connection.their_state is h11.DONE
            self.ended = True
            self.surplus = len(connection.trailing_data[0])
        else:
            return False
        return True


class ShadowResponse(H1Response):
    """`H1Response` with a shadow. `report` is called with each difference that no table explains."""

    report: Report
    _shadow: Shadow | None = None
    _checksum = 0
    _compared = False
    _waiting = b""
    has_stream_ended = False

    def receive(self, data: bytes) -> None:
        try:
            super().receive(data)
        except HTTPCoreError as error:
            self._compare(data, error)
            raise
        self._compare(data, None)

    def _keep(self, body: bytes) -> None:
        super()._keep(body)
        self._checksum = crc32(body, self._checksum)

    def _compare(self, data: bytes, error: HTTPCoreError | None) -> None:
        if self._compared:
            return
        if self.lenient or any(head.lenient for head in _heads(self)):
            # This message is not compared: `lenient` has compared its head if h11 can read it, and no message follows.
            self._compared = True
            return
        if self._section is not None and self._section.fault is not None:
            self._waiting += data  # the head may still be accepted leniently
            return
        data, self._waiting = self._waiting + data, b""
        shadow = self._shadow
        if shadow is None:
            self._shadow = shadow = Shadow(*self._request_facts)
        self.has_stream_ended = not data
        shadow.receive(data)
        found = difference(self, self._checksum, shadow, error)
        self._compared = bool(found) or self.ended or error is not None or shadow.refusal is not None
        if found:
            self.report(NAME, found)


class ShadowExchange(ShadowResponse, HTTP11Exchange):
    """`HTTP11Exchange` with a shadow."""

    def __init__(self, report: Report, *args: Any) -> None:
        HTTP11Exchange.__init__(self, *args)
        self.report = report


class ShadowDuplexExchange(ShadowResponse, HTTP11DuplexExchange):
    """`HTTP11DuplexExchange` with a shadow."""

    def __init__(self, report: Report, *args: Any) -> None:
        HTTP11DuplexExchange.__init__(self, *args)
        self.report = report


def _heads(ours: H1Response) -> list[Head]:
    return [*ours.interim, *([ours.head] if ours.head is not None else [])]


def difference(ours: ShadowResponse, checksum: int, shadow: Shadow, error: HTTPCoreError | None) -> str:
    """The difference between the native reader and h11 for the same bytes, in words; "" if there is none, or if a table
    explains it."""
    heads = _heads(ours)
    if error is not None:
        further = shadow.ended or len(shadow.heads) > len(heads)
        is_known = isinstance(error, LimitExceeded) or is_known_acceptance(error.message)
        return "" if shadow.refusal is not None or not further or is_known else "it accepts input that is refused here"
    if shadow.refusal is not None:
        return "" if explains("refused", shadow.refusal) else "it refuses input that is accepted here"
    if list(map(_shadow_head, heads)) != list(map(_shadow_head, shadow.heads)):
        return "a head"
    if ours.ended != shadow.ended:
        return "where the message ends"
    if not ours.ended:
        return ""
    return _difference_at_end(ours, checksum, shadow)


def _difference_at_end(ours: ShadowResponse, checksum: int, shadow: Shadow) -> str:
    if (ours.received, checksum) != (shadow.size, shadow.checksum):
        return "the body"
    if ours.trailers != shadow.trailers:
        return "the trailers"
    if len(ours.surplus) != shadow.surplus:
        return "the number of bytes after the message"
    # h11 would treat the surplus as the next message, and does not check whether the stream has ended.
    persistent = shadow.persistent and not shadow.surplus and not ours.has_stream_ended
    assert ours.head is not None
    if not ours.switched and ours.reusable != persistent and not explains("persistent", ours.head.version.decode()):
        return "whether the connection is kept"
    return ""


def _shadow_head(head: Head) -> tuple[object, ...]:
    """The head in the form of h11, which lower-cases the value of Transfer-Encoding."""
    fields = [(name, v.lower() if name.lower() == b"transfer-encoding" else v) for name, v in head.raw_headers]
    return head.status, head.reason, head.version, fields
