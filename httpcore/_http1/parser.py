"""One response of HTTP/1.x: bytes in any pieces in, head and body out. No I/O.

`grammar` decides which messages are accepted and how a body is framed; this module keeps the state between two pieces
of input. It needs no other library: the grammar has matched the head, and a body ends by its length, by chunk lines
that were all checked, or with the stream. The bytes of a body are passed on as slices.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from .._errors import HTTPCoreError, LimitExceeded, RemoteProtocolError
from .._message.fields import INTERIM_BYTES, Headers
from .._message.head import Head
from .._message.rules import STRICT, Leniency, ReadRules, noted
from .chunks import Chunks
from .grammar import CHUNKED, INTERIM, LENGTH, SWITCHED, UNTIL_CLOSE, Framing, read_head
from .lenient import LenientHead, read_lenient_head
from .section import Section, head_section

__all__ = ["H1Response"]

SURPLUS_BYTES: Final = 65536
"""How many bytes after a message are kept: an error shows their beginning."""


class _Phase(Enum):
    """The state before a head is complete. See `Framing`."""

    HEAD = "before a head"
    DONE = "after the end"
    BROKEN = "after an error"


HEAD, DONE, BROKEN = _Phase


class H1Response:
    """Reads the response to one request (RFC 9112).

    Values that most responses share are on the class, and not on each response.

    Attributes:
        head: the head of the final response, or of a 101; None until it has been received.
        started: whether a byte of a response has been received, even of an interim one.
        ended: whether the response is complete; parts of its body may still wait in `parts`.
        switched: whether the response hands the connection over to another protocol: 101, or a 2xx to CONNECT (RFC
            9110, 9.3.6). The response has ended then, and the bytes after its head are collected in `surplus`.
        reusable: whether the response has ended and the connection may carry another exchange. This follows from the
            version, Connection and the framing, and no byte may have been received after the response.
        surplus: bytes received after the message.
        lenient: deviations of the framing or the interim heads; those of the final head are in `head`. If there are
            any, `reusable` stays False.
        received: the count of the body's received bytes.
        held: the count of the bytes that wait in `parts`.
    """

    head: Head | None = None
    started = False
    ended = False
    switched = False
    reusable = False
    surplus = b""
    lenient: tuple[Leniency, ...] = ()
    received = 0
    held = 0
    parts: deque[bytes] | None = None
    _phase: _Phase | Framing = HEAD
    _interims: list[Head] | None = None
    _trailers: Headers | None = None
    _section: Section | None = None
    _chunks: Chunks | None = None
    _rules: ReadRules = STRICT
    _interim_room = INTERIM_BYTES
    _persistent = False
    _length = 0
    _length_left = 0
    # The one function that an engine replaces (`engines`): it returns the meaning of a complete head.
    read_head = staticmethod(read_head)

    def __init__(self, method: bytes, *, upgrade: bool = False, close: bool = False, rules: ReadRules = STRICT) -> None:
        """Read the response to a request with this method, as sent: HEAD and CONNECT change the framing of a response.

        Arguments:
            upgrade: the request has an Upgrade header, so 101 is possible. Default False.
            close: the request has `Connection: close`. Default False.
            rules: the accepted deviations. Default: the strict ones, with the usual limits.
        """
        self._request_facts = method, upgrade, close
        self._rules = rules

    @property
    def interim(self) -> list[Head]:
        """The 1xx heads that were received so far."""
        return self._interims or []

    @property
    def trailers(self) -> Headers:
        """The trailers of the response, once it has ended; names are lower-cased."""
        return self._trailers or []

    def receive(self, data: bytes) -> None:
        """Feed the bytes that were read, `b""` at the end of the stream. Data after the message goes to `surplus`.

        Raises:
            RemoteProtocolError: the grammar is violated, or the stream ended in the middle of a message.
            LimitExceeded: a limit of `fields` or `chunks` is exceeded; the error has `limit`.
        """
        try:
            phase = self._phase
            if not data:
                self._take_end()
            elif phase is HEAD:
                self._take_heads(data)
            elif phase is DONE:
                self._take_surplus(data)
            elif phase is BROKEN:
                raise RemoteProtocolError("this connection cannot be read any more after an earlier error")
            else:
                self._take_body(data)
        except HTTPCoreError:
            # After an error in the framing the end of the message is unknown: nothing more may be read.
            self._phase = BROKEN
            self.reusable = False
            raise

    def _take_heads(self, data: bytes) -> None:
        # After the first byte the request must not be sent again: the server has begun to respond to it.
        self.started = True
        method, upgrade, close = self._request_facts
        rules = self._rules
        while data:
            raw = b""
            try:
                section = self._section
                end = data.find(b"\r\n\r\n") + 4 if section is None else 0
                if 4 <= end <= rules.head_bytes:  # most heads arrive complete, and alone
                    raw, data = data[:end], data[end:]
                else:
                    if section is None:
                        self._section = section = head_section(rules.head_bytes)
                    got = section.feed(data)
                    if got is None:
                        return
                    raw, data = got
                    if section.fault is not None:
                        raise RemoteProtocolError(section.fault)
                head, framing, length, persistent = self.read_head(raw, method, upgrade, rules.field_count)
            except RemoteProtocolError as error:
                second = self._look_again(raw + data if raw else None, error)
                if second is None:
                    return
                raw, data, (head, framing, length, persistent) = second
            if framing is INTERIM:
                self._take_interim(head, len(raw))
                continue
            self.head = head
            self._phase = framing
            # If we sent `Connection: close`, or an interim head was lenient, no further response is read.
            self._persistent = persistent and not (close or self.lenient)
            if framing is LENGTH:
                self._length = self._length_left = length
            elif framing is CHUNKED:
                self._chunks = Chunks(rules)
            elif framing is SWITCHED:
                self.switched = self.ended = True
                self.surplus = data
                self._phase = DONE
                return
            try:
                # This is also done without data: a length of 0 ends the message at once.
                self._take_body(data)
            except HTTPCoreError as error:  # add the facts that an error in a later piece would have
                error.add(phase="read the response body", status_code=head.status)
                raise
            return

    def _look_again(self, data: bytes | None, error: RemoteProtocolError) -> tuple[bytes, bytes, LenientHead] | None:
        """Pass a head that the strict reader refused to the second one, from the beginning of the head.

        Arguments:
            data: all received bytes of the head; None: the section has them.

        Returns:
            The bytes of the head, those after it, and the head; None when more bytes are needed: this is then called
            again.
        """
        section, rules = self._section, self._rules
        if rules.strict:
            raise error
        if data is None:
            assert section is not None
            data = section.release()
        try:
            self._section = section = head_section(rules.head_bytes, error.message)
            got = section.feed(data)
            if got is None:
                return None
            # The connection does not persist, whatever the fields are (the `False` below): two readers may disagree
            # where such a message ends.
            head = read_lenient_head(got[0], self._request_facts[0], self._request_facts[1], rules.field_count)
        except RemoteProtocolError:
            raise error from None  # the error of the strict rules is more helpful than that of the second reader
        self._section = None
        return *got, (*head[:3], False)

    def _take_interim(self, head: Head, size: int) -> None:
        # Bytes are counted, and not heads: many small heads and a few large ones cost the same.
        self._interim_room -= size
        if self._interim_room < 0:
            raise LimitExceeded(f"the interim responses are longer than {INTERIM_BYTES} bytes", limit=INTERIM_BYTES)
        if self._interims is None:
            self._interims = []
        self._interims.append(head)
        if head.lenient:
            self._note(head.lenient)

    def _note(self, names: tuple[Leniency, ...]) -> None:
        """Record deviations: no other message is read from this connection."""
        self.lenient = noted(self.lenient, *names)
        self._persistent = False

    def _take_body(self, data: bytes) -> None:
        phase = self._phase
        if phase is LENGTH:
            left = self._length_left
            # Bytes after the message belong to no request of ours: they are kept apart and never parsed.
            if len(data) > left:
                self._keep(data[:left])
                self._finish(data[left:])
                return
            if data:
                self._keep(data)
            self._length_left = left - len(data)
            if not self._length_left:
                self._finish(b"")
        elif phase is CHUNKED:
            chunks = self._chunks
            assert chunks is not None
            body = chunks.feed(data)
            if body:
                self._keep(body)
            if chunks.lenient and chunks.lenient != self.lenient:
                self._note(chunks.lenient)
            if chunks.trailers is not None:
                self._trailers = chunks.trailers
                self._finish(chunks.surplus)
        elif data:
            self._keep(data)

    def _keep(self, body: bytes) -> None:
        # Most bodies arrive in one piece: no deque exists yet then.
        if self.parts:
            self.parts.append(body)
        elif body:
            self.parts = deque((body,))
        self.held += len(body)
        self.received += len(body)

    def _finish(self, surplus: bytes) -> None:
        self._phase = DONE
        self.ended = True
        self.surplus = surplus
        # Bytes after the message were sent before any further request: they must not become its response.
        self.reusable = self._persistent and not surplus

    def _take_surplus(self, data: bytes) -> None:
        if len(self.surplus) < SURPLUS_BYTES:  # no task reads it; an error shows its beginning
            self.surplus += data
        self.reusable = False

    def _take_end(self) -> None:
        # This is set in any case: a connection that the peer has ended carries no further exchange.
        self.reusable = False
        phase = self._phase
        if phase is UNTIL_CLOSE:  # RFC 9112, 6.3, case 8: the only body that the end of the stream completes
            self._phase = DONE
            self.ended = True
            return
        if phase is DONE:
            return
        if phase is HEAD and not self.started:
            raise RemoteProtocolError("the peer ended the connection before any byte of a response")
        raise RemoteProtocolError(f"the peer ended the connection too early: expected {self.unfinished}")

    @property
    def is_until_close(self) -> bool:
        """Whether only the end of the stream ends the body."""
        return self._phase is UNTIL_CLOSE

    @property
    def unfinished(self) -> str:
        """The missing part, for an error message: "the response head", "1,024 bytes of the body"..."""
        phase = self._phase
        if phase is HEAD:
            return self._unfinished_head()
        if phase is LENGTH:
            received = self._length - self._length_left
            return f"{self._length_left:,} bytes of the body, {received:,} of {self._length:,} were received"
        if phase is CHUNKED and self._chunks is not None:
            return f"the end of a chunked body, {self._chunks.length:,} bytes of it were received"
        if phase is UNTIL_CLOSE:
            return "the end of the connection, which ends the body"
        return "nothing" if phase is not BROKEN else "a response without errors"

    def _unfinished_head(self) -> str:
        if self._section is not None and len(self._section):
            return f"the rest of the response head, {len(self._section):,} bytes of it were received"
        return "the response head" if not self._interims else "the final response head, after an interim one"
