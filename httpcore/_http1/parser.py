"""Responses of HTTP/1.x: bytes in any pieces in, heads and bodies out. No I/O.

`grammar` says what is accepted and how a body is framed; here is what comes when. No other library is behind it: a head
that the grammar has matched is a head that has been read, and a body ends by a count, by chunk lines that were all
checked, or with the stream, so that handing its bytes on is a slice.
"""

from __future__ import annotations

from enum import Enum

from .._errors import HTTPCoreError, LimitExceeded, LocalProtocolError, RemoteProtocolError
from .._message.fields import HEAD_BYTES, INTERIM_COUNT
from .._message.head import LIBRARY, End, Part
from .chunks import Chunks, head_section
from .grammar import CHUNKED, INTERIM, LENGTH, SWITCHED, UNTIL_CLOSE, Framing, read_head

__all__ = ["H1Parser"]


class _Phase(Enum):
    """Where we are when no head says it. See `Framing`."""

    IDLE = "between two exchanges"
    HEAD = "before a head"
    BROKEN = "after an error"


IDLE, HEAD, BROKEN = _Phase

# The end of most messages. Nobody may put trailers into it.
_END = End([])


class H1Parser:
    """Reads the responses of one connection, one exchange after another (RFC 9112). See `engines.ResponseParser`.

    Attributes:
        name: library and version, e.g. "httpcore 0.1.0".
        started: a byte of a response to the current request has come, an interim one counts.
        reusable: the connection may carry another exchange: True from the start until `begin`, and again after an `End`
            that leaves it clean. Bytes or the end of the stream between two exchanges make it False.
        surplus: bytes that came behind the message, or outside of any.
    """

    name = LIBRARY

    __slots__ = (
        "_chunks",
        "_close",
        "_interims",
        "_left",
        "_length",
        "_method",
        "_persistent",
        "_phase",
        "_section",
        "_upgrade",
        "reusable",
        "started",
        "surplus",
    )

    def __init__(self) -> None:
        self.started = False
        self.reusable = True
        self.surplus = b""
        self._phase: _Phase | Framing = IDLE
        self._section = head_section()
        self._chunks = Chunks()
        self._method = b""
        self._upgrade = False
        self._close = False
        self._persistent = False
        self._interims = 0
        self._length = 0
        self._left = 0

    def begin(self, method: bytes, *, upgrade: bool = False, close: bool = False) -> None:
        """A request with this method has been written.

        Arguments:
            method: as sent; HEAD and CONNECT change what a response may have.
            upgrade: the request had an Upgrade header, so 101 may come. Default False.
            close: the request had `Connection: close`. Default False.

        Raises:
            LocalProtocolError: the connection cannot carry another exchange: `reusable` is False.
        """
        if not self.reusable:
            raise LocalProtocolError(f"this connection cannot carry another request: it is {self._phase.value}")
        self.started = False
        self.reusable = False
        self._phase = HEAD
        self._section.room = HEAD_BYTES
        self._method = method
        self._upgrade = upgrade
        self._close = close
        self._interims = 0

    def receive(self, data: bytes) -> list[Part]:
        """Feed what was read, `b""` at the end of the stream; get the parts that are complete now, in order.

        Body bytes come as one `bytes` for each call. Data behind the message goes to `surplus`.

        Raises:
            RemoteProtocolError: the grammar is violated, or the stream ended in the middle of a message. Parts that the
                same `data` completed are lost with it: a message that is broken is not partly right.
            LimitExceeded: a limit of `fields` or `chunks` is, with `limit` set.
        """
        parts: list[Part] = []
        try:
            phase = self._phase
            if not data:
                self._take_end(parts)
            elif phase is HEAD:
                self._take_heads(data, parts)
            elif phase is IDLE or phase is SWITCHED:
                self._take_surplus(data)
            elif phase is BROKEN:
                raise RemoteProtocolError("nothing can be read from this connection after the error before")
            else:
                self._take_body(data, parts)
        except HTTPCoreError:
            self._phase = BROKEN
            raise
        return parts

    def _take_heads(self, data: bytes, parts: list[Part]) -> None:
        self.started = True
        while data:
            got = self._section.feed(data)
            if got is None:
                return
            raw, data = got
            head, framing, length, persistent = read_head(raw, self._method, self._upgrade)
            parts.append(head)
            if framing is INTERIM:
                self._count_interim()
                continue
            self._phase = framing
            self._persistent = persistent and not self._close
            if framing is LENGTH:
                self._length = self._left = length
            elif framing is CHUNKED:
                self._chunks = Chunks()
            elif framing is SWITCHED:
                self.surplus = data
                parts.append(_END)
                return
            try:
                self._take_body(data, parts)
            except HTTPCoreError as error:  # the same as if the body had come after its head
                error.add(phase="read the response body", status_code=head.status)
                raise
            return

    def _count_interim(self) -> None:
        self._interims += 1
        if self._interims > INTERIM_COUNT:
            raise LimitExceeded(f"the peer sent more than {INTERIM_COUNT} interim responses", limit=INTERIM_COUNT)

    def _take_body(self, data: bytes, parts: list[Part]) -> None:
        phase = self._phase
        if phase is LENGTH:
            body = data[: self._left]  # the same object when all of it belongs to the body
            self._left -= len(body)
            if body:
                parts.append(body)
            if not self._left:
                self._finish(_END, data[len(body) :], parts)
        elif phase is CHUNKED:
            body = self._chunks.feed(data)
            if body:
                parts.append(body)
            if self._chunks.trailers is not None:
                self._finish(End(self._chunks.trailers), self._chunks.surplus, parts)
        elif data:
            parts.append(data)

    def _finish(self, end: End, surplus: bytes, parts: list[Part]) -> None:
        self._phase = IDLE
        self.surplus = surplus
        self.reusable = self._persistent and not surplus
        parts.append(end)

    def _take_surplus(self, data: bytes) -> None:
        if len(self.surplus) < HEAD_BYTES:  # nobody reads it; an error shows its beginning
            self.surplus += data
        self.reusable = False

    def _take_end(self, parts: list[Part]) -> None:
        self.reusable = False
        phase = self._phase
        if phase is UNTIL_CLOSE:
            self._phase = IDLE
            parts.append(_END)
            return
        if phase is IDLE or phase is SWITCHED:
            return
        if phase is HEAD and not self.started:
            raise RemoteProtocolError("the peer ended the connection before any byte of a response")
        raise RemoteProtocolError(f"the peer ended the connection too early, missing: {self.unfinished}")

    @property
    def unfinished(self) -> str:
        """What is missing, for an error message: "the response head", "1,024 bytes of the body"..."""
        phase = self._phase
        if phase is HEAD:
            return self._unfinished_head()
        if phase is LENGTH:
            return f"{self._left:,} bytes of the body, {self._length - self._left:,} of {self._length:,} came"
        if phase is CHUNKED:
            return f"the end of a chunked body, {self._chunks.length:,} bytes of it came"
        if phase is UNTIL_CLOSE:
            return "the end of the connection, which ends the body"
        return "nothing" if phase is not BROKEN else "a response without errors"

    def _unfinished_head(self) -> str:
        if len(self._section):
            return f"the rest of the response head, {len(self._section):,} bytes of it came"
        return "the response head" if not self._interims else "the final response head, after an interim one"
