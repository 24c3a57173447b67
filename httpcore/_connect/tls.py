"""TLS over any stream: an `ssl.SSLObject` between two memory buffers, the same class in every runtime.

Two buffers hold ciphertext. Bytes from the peer go into `_incoming` and are decrypted at once, all of them. The
ciphertext that OpenSSL makes for the peer is read from `_outgoing`, in the order in which it was made, and `_outbox` is
the part that is being sent. These rules define which call may do which step, and why:

Encryption changes the state before the ciphertext is sent: a record that was made and then dropped or made again gives
the peer BAD_RECORD_MAC. So `write_some` first sends the rest, encrypts last, and awaits nothing after that; ciphertext
that a cancelled call leaves in the outbox is sent by the next one.

A read may make ciphertext too: an alert, and the answer to a CertificateRequest after the handshake (RFC 8446, section
4.6.2), for which the server waits before it answers the request. So it is sent after each read, as far as there is room
without waiting. It joins `_outgoing`, and while a writer is at work (`_writing`) the writer sends it, so bytes leave in
the order of the buffer although a reader and a writer work at once. A thread that writes cannot block one that reads.
OpenSSL's own state, which two threads must not enter together (`ssl` releases the GIL while it works), is behind a
plain lock around each step into it, never held over an await. The outbox is behind the same lock, unless `_writing` is
set.

An end, an end without close_notify and a fault are three things (RFC 8446, section 6): any host on the path can forge a
record that does not decrypt, or a FIN. `read` and `take` return `b""` for the first, set `truncated` for the second,
and raise for the third. When a write fails below, what had come before is decrypted at once, since an alert in it says
why.

The timeout of a `read` is for the whole call, not for each wait in it, since a peer that sends one record byte by byte
could prolong it for hours. Records have at most 16 KiB, so that much must arrive in time. For writing, as over TCP
alone, it is for each wait for room: on a slow connection the bytes that are encrypted at once may take longer than
that.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from threading import RLock
from typing import Final

from .._backends.base import PIECE, Stream, StreamInfo, TLSInfo
from .._errors import (
    ConnectTimeout,
    HTTPCoreError,
    LocalProtocolError,
    NetworkError,
    ReadError,
    ReadTimeout,
    Timeout,
    TLSError,
    WriteError,
    WriteTimeout,
    show,
)
from .._forking import OPENSSL
from .tls_errors import _reason, closed_early, explain

__all__ = ["Resumable", "TLSStream", "start_tls"]

_RECORD: Final = 16384
"""The most plaintext that one record holds (RFC 8446, section 5.1)."""

_ENCRYPTED: Final = 16 * _RECORD
"""Bytes that are encrypted, and then sent, at once. An upload by single records cost 1.8 times as much as one by 8
records, and that 1.15 times as much as one by 16. The price: a TLS connection that uploads keeps as much ciphertext."""

_CIPHERTEXT: Final = 131072 - _RECORD - 1024
"""Ciphertext that is read at once, in bytes. With the part of a record that OpenSSL may hold already it decrypts to at
most 128 KiB. Where malloc maps larger buffers anew (see `_backends/sockets`) these nearly doubled the cost of a
download; elsewhere they gain nothing."""

_STEP: Final = 2 * _RECORD
"""The ciphertext that OpenSSL gets at once where the peer may ask for a certificate. In steps of one record a download
took 1.5 times the CPU."""

_KEY_UPDATE: Final = 40
"""A record that answers a KeyUpdate is shorter, one that answers a CertificateRequest longer: 22 bytes and at least 57,
without their header. `ssl` tells of neither."""

_LOOK: Final = 0.05
"""Seconds after which a read looks whether there is room for an answer that it owes the peer."""

_UNPRODUCTIVE: Final = 256 * 1024
"""How much ciphertext may come without one byte of data in it: session tickets take some hundred bytes, so a peer that
goes beyond this only keeps us busy. Also how much one connection may have us answer while we read: some hundred
requests for a certificate, a signature each."""

_MOST_PENDING: Final = _ENCRYPTED + 128 * 1024
"""How much OpenSSL may owe the peer while nothing writes: one write's ciphertext, and answers to the peer."""


async def start_tls(
    stream: Stream,
    context: ssl.SSLContext,
    server_name: str | None,
    *,
    timeout: float | None,
    now: Callable[[], float],
    session: ssl.SSLSession | None = None,
    keep: Callable[[Resumable], None] | None = None,
) -> TLSStream:
    """Shake hands as the client over `stream`, which belongs to the new stream from now on: on failure it is closed.

    Arguments:
        server_name: the host as in the URL, a name in ASCII or an IP literal without brackets. The certificate must be
            for it. A name is also sent (SNI); an IP address is not (RFC 6066, section 3).
        timeout: seconds for the whole handshake, however slowly the peer answers; None is no limit.
        now: the clock of the stream's runtime, in seconds.
        session: to be resumed, if the server agrees. It must come from a connection to the same server under the same
            name, made with the same context: OpenSSL does not check the name again.
        keep: called when the first data was received, with the source from which another connection may resume.

    Raises:
        TLSError: the certificate is not accepted, the peer does not use TLS, refuses, or closes. `cause` is chained.
        ConnectTimeout: the handshake took longer than `timeout`.
        LocalProtocolError: `server_name` cannot be a host, or is None though the context checks it.
    """
    try:
        secured = TLSStream(stream, context, server_name, now, session, keep)
        await _Handshake(secured).run(timeout)
    except BaseException:
        stream.close()
        raise
    return secured


class Resumable:
    """The source of a session for one later connection, also when this connection is closed by then.

    With TLS 1.3 there is none before the server's tickets were received, which servers send between the handshake and
    their first data (RFC 8446, section 4.6.1).
    """

    __slots__ = ("_lock", "_resumed", "_session")

    def __init__(self, session: ssl.SSLObject, lock: RLock, resumed: ssl.SSLSession | None) -> None:
        self._session: ssl.SSLObject | None = session
        self._lock = lock  # the stream's own: a read may change the session
        self._resumed = resumed

    def forget(self) -> None:
        """The connection broke: nothing is resumed from it (RFC 5246, section 7.2.2)."""
        self._session = None

    def session(self) -> ssl.SSLSession | None:
        """A copy of the session; None when there is none, or only the ticket with which this connection itself was
        made."""
        inside = self._session
        if inside is None:
            return None
        with self._lock:
            session, is_tls13 = inside.session, inside.version() == "TLSv1.3"
        if session is None or not (session.has_ticket or (session.id and not is_tls13)):
            return None
        return None if is_tls13 and session == self._resumed else session


class TLSStream:
    """The encrypted side of a stream. One reader and one writer, in two threads if need be; `take` is a reader too.

    Attributes:
        truncated: True when the peer's side ended without close_notify, so that an attacker may have cut it short
            (RFC 8446, section 6.1). Matters where only the end of the stream ends the message (RFC 9112, section 9.8).
    """

    __slots__ = (
        "_answered",
        "_closed",
        "_ended",
        "_fault",
        "_has_late_authentication",
        "_incoming",
        "_info",
        "_inner",
        "_is_stuck",
        "_keep",
        "_listening",
        "_lock",
        "_no_requests",
        "_now",
        "_outbox",
        "_outgoing",
        "_over",
        "_plain",
        "_reading",
        "_reported",
        "_resumable",
        "_server_name",
        "_session",
        "_unproductive",
        "_writing",
        "truncated",
    )

    def __init__(
        self,
        inner: Stream,
        context: ssl.SSLContext,
        server_name: str | None,
        now: Callable[[], float],
        resumed: ssl.SSLSession | None = None,
        keep: Callable[[Resumable], None] | None = None,
    ) -> None:
        self.truncated = False
        self._inner = inner
        self._info = inner.info()
        self._server_name = None if server_name is None else _checked_name(server_name)
        self._now = now
        # Guards the session, both buffers, and the outbox while `_writing` is not set. `_plain`, `_over` and `_fault`
        # belong to the reader, or to a writer that listens: of these there is one at a time. `_listening` and
        # `_writing` belong to the writer.
        self._lock = RLock()  # entered twice by a finaliser or a signal handler, between two calls of OpenSSL
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        if type(context) is not ssl.SSLContext:
            # Another class may check certificates in its own way, and miss in a resumed session what it looks for.
            resumed = keep = None
        self._session = self._begin(context, resumed)
        self._resumable = Resumable(self._session, self._lock, resumed)
        self._keep = keep
        self._outbox: bytes | memoryview = b""  # ciphertext on its way
        self._plain = b""  # received data that was not read yet
        self._unproductive = 0  # bytes that were received since the last data
        self._fault: ssl.SSLError | None = None  # what broke the session while reading
        self._over = False  # close_notify or a fault was received
        self._reported = False  # the caller has received the end or the fault
        self._ended = False  # close_notify was made
        self._closed = False
        self._reading = False  # a read waits below
        self._listening = False  # a write waits below, for input too
        self._writing = False  # a write is at work: the outbox is its own
        self._is_stuck = False  # a read made ciphertext for which there was no room
        self._no_requests = False
        self._has_late_authentication = bool(context.post_handshake_auth)
        self._answered = 0  # bytes that reads made for the peer

    def _begin(self, context: ssl.SSLContext, resumed: ssl.SSLSession | None) -> ssl.SSLObject:
        try:
            if self._server_name is None and context.check_hostname:
                # `wrap_socket` refuses this; `wrap_bio` does not, and accepts a certificate for any host.
                raise ValueError("the context checks host names: expected a server name, got none")
            with OPENSSL:  # the first time `ssl` imports the codec by which it encodes host names
                session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=self._server_name)
            # Before the handshake: the ClientHello offers the session (RFC 8446, section 4.6.1).
            if resumed is not None:
                session.session = resumed
            return session
        except (ValueError, TypeError, ssl.SSLError) as error:
            seen = "None" if self._server_name is None else show(self._server_name)
            message = f"TLS cannot begin with server_name {seen} and this context: {error}"
            raise LocalProtocolError(message, peer=self._info.peer) from error

    # Reading.

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Wait for data: 1 to min(max_bytes, PIECE) bytes, or `b""` when the peer has ended its side; see `truncated`.

        Raises:
            ReadTimeout: no whole record with data came in time.
            ReadError: the connection or the TLS session broke, or this stream was closed.
        """
        if self._closed:
            raise ReadError("this TLS stream is closed", peer=self._info.peer)
        if not self._plain:
            self._reading = True
            try:
                if not await self._fill(timeout):
                    return self._report_end() if self._over else b""
            finally:
                self._reading = False
        return self._pop(max_bytes)

    async def _fill(self, timeout: float | None) -> bool:
        """Wait for data. False when there will be none."""
        deadline = None if timeout is None else self._now() + timeout
        left = timeout
        while not self._plain:
            if self._over:
                return False
            looks = self._is_stuck and (left is None or left > _LOOK)
            try:
                raw = await self._inner.read(_CIPHERTEXT, _LOOK if looks else left)
            except ReadTimeout as error:
                # Only this check has timed out, not the caller's wait: the server may wait for that answer before it
                # sends data.
                if looks:
                    self._answer()
                    left = self._left(deadline)
                    continue
                if left == timeout:
                    raise
                message = "not one whole TLS record with data was received in time, only parts or session tickets"
                raise ReadTimeout(message, limit=timeout, peer=self._info.peer) from error
            if not raw:
                # Data has been decrypted before this, so close_notify would have been seen (RFC 8446, section 6.1).
                self.truncated = True
                return False
            self._feed(raw)
            # Part of a record, or one without data: the clock is read only for another wait.
            if not self._plain:
                left = self._left(deadline)
        return True

    def take(self) -> bytes | None:
        """The received data, `b""` at the end (see `truncated`); None when there is none. Raises as `read`.

        Session tickets are swallowed: an idle TLS 1.3 connection with only those behind it has nothing.
        """
        if self._closed:
            raise ReadError("this TLS stream is closed", peer=self._info.peer)
        while not self._plain:
            if self._over:
                return self._report_end()
            raw = self._inner.take()
            if raw is None:
                return None
            if not raw:
                self.truncated = True
                return b""
            self._feed(raw)
        return self._pop(PIECE)

    def is_quiet(self) -> bool:
        """See `Stream.is_quiet`. Bytes received below are decrypted and kept; session tickets alone are nothing."""
        try:
            while not (self._closed or self._plain or self._over or self.truncated):
                raw = self._inner.take()
                if raw is None:
                    return True
                if raw:
                    self._feed(raw)
                else:
                    self.truncated = True
        except ReadError:
            pass  # which each further call finds again
        return False

    def watch(self, callback: Callable[[], None] | None) -> bool:
        """Ask for a call when data or the end arrives without a reader. Records that only TLS needs (tickets, key
        updates) do not count.

        A task that reads, or that writes and listens, waits for input below: another must not take the input first.
        """
        if callback is None:
            return self._inner.watch(None)

        def woken() -> None:
            if not (self._closed or self._reading or self._listening) and self._has_news():
                callback()

        return self._inner.watch(woken)

    @property
    def _input_waits(self) -> bool:
        """Whether there is data, the end, or a fault that the caller has not received yet."""
        return bool(self._plain) or (self._over and not self._reported)

    def _report_end(self) -> bytes:
        """The result of a read when no more data comes."""
        self._reported = True
        if self._fault is not None:
            message = f"TLS failed while reading: {_reason(self._fault)}"
            raise ReadError(message, peer=self._info.peer) from self._fault
        return b""

    def _has_news(self) -> bool:
        """Decrypt the input that waits below, and return whether any of it is for the caller."""
        if self._input_waits:
            return True
        try:
            raw = self._inner.take()
        except ReadError:
            return True  # the stream below raises it again for the caller
        if raw:
            self._feed(raw)
        return raw == b"" or self._input_waits

    def _feed(self, raw: bytes) -> None:
        """Decrypt received bytes, all of them. Never raises: an error is kept in `_fault` behind the data before it."""
        if self._over:
            return  # bytes after close_notify are ignored (RFC 8446, section 6.1)
        with self._lock:
            pending = self._outgoing.pending
            if self._has_late_authentication and len(raw) > _STEP:
                pieces = self._decrypt_in_steps(raw, pending)
            else:
                self._incoming.write(raw)
                pieces = self._decrypt()
            made = self._outgoing.pending - pending
            # Under the same lock as the step that made it: a writer in another thread must not send it first.
            if made and self._no_requests:
                self._check_answers(pending)
        if made:
            self._answered += made
            self._answer()
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            # Decrypted at once and kept: OpenSSL holds records back, which a look at the socket below would not find.
            self._plain = self._plain + data if self._plain else data
            self._unproductive = 0
            if self._keep is not None:
                self._hand_over()
        else:
            self._unproductive += len(raw)
        if self._fault is None:
            if self._unproductive > _UNPRODUCTIVE or self._outgoing.pending > _MOST_PENDING:
                self._break(ssl.SSLError(f"more than {_UNPRODUCTIVE} bytes of records that carry no data"))
            elif self._answered > _UNPRODUCTIVE:
                self._break(
                    ssl.SSLError(f"answers to the peer's certificate requests took more than {_UNPRODUCTIVE} bytes")
                )

    def forbid_requests(self) -> None:
        """From now on a CertificateRequest is a fault, as HTTP/2 has it (RFC 9113, section 9.2.3)."""
        self._no_requests = self._session.version() == "TLSv1.3"  # TLS 1.2 has none after the handshake

    def _check_answers(self, pending: int) -> None:
        """Under the lock. If OpenSSL has answered a CertificateRequest, the ciphertext that it made does not leave.
        Nothing can after it, since records are numbered: so there will be no GOAWAY, either.

        Arguments:
            pending: bytes of ciphertext that were there before.
        """
        data = self._outgoing.read()
        at = pending
        while self._fault is None and at < len(data):
            # The length of a record: two bytes behind its type and version (RFC 8446, section 5.1).
            size = int.from_bytes(data[at + 3 : at + 5], "big")
            if size > _KEY_UPDATE:
                why = "it asked for a client certificate after the handshake, which HTTP/2 forbids (RFC 9113, 9.2.3)"
                self._break(ssl.SSLError(why))
                return
            at += 5 + size
        self._outgoing.write(data)

    def _hand_over(self) -> None:
        """Pass on the source of the session: the first data was received, and with it the tickets."""
        keep, self._keep = self._keep, None
        if keep is not None:
            keep(self._resumable)

    def _decrypt(self) -> list[bytes]:
        """Decrypt every complete record. If each call reads a full record, OpenSSL keeps no plaintext back."""
        pieces: list[bytes] = []
        try:
            # An empty buffer ends the loop without the exception, which costs as much as decrypting a short record.
            while self._incoming.pending and not self._over:
                piece = self._session.read(_RECORD)
                if piece:
                    pieces.append(piece)
                else:
                    self._over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._over = True
        except ssl.SSLError as error:
            self._break(error)
        return pieces

    def _decrypt_in_steps(self, raw: bytes, pending: int) -> list[bytes]:
        """Decrypt if the peer may request a certificate: each request costs a signature, and OpenSSL answers all that
        are received before it returns. So that one call is short, it gets no more than `_STEP` bytes at once.
        """
        pieces: list[bytes] = []
        for start in range(0, len(raw), _STEP):
            self._incoming.write(raw[start : start + _STEP])
            pieces += self._decrypt()
            if self._over or self._answered + self._outgoing.pending - pending > _UNPRODUCTIVE:
                break
        return pieces

    def _break(self, fault: ssl.SSLError) -> None:
        self._fault = fault
        self._over = True
        # RFC 5246, section 7.2.2: after a fatal alert the session is not resumed.
        self._resumable.forget()

    def _pop(self, max_bytes: int) -> bytes:
        plain = self._plain
        size = min(max_bytes, PIECE)
        if len(plain) <= size:
            self._plain = b""
            return plain
        self._plain = plain[size:]
        return plain[:size]

    # Writing.

    @property
    def owes(self) -> bool:
        """True while ciphertext is here that has not left."""
        # Without the lock: a number that a reader in another thread is about to raise is as good as the new one.
        return bool(self._outbox) or self._outgoing.pending > 0 or self._inner.owes

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        """Send pending ciphertext, then encrypt up to 256 KiB of `data`; return how many. They leave at the next call.

        Returns 0, having taken nothing, when data, the end or a fault waits to be read (never with `duplex`).

        Raises:
            WriteTimeout: the pending ciphertext did not leave in time.
            WriteError: the connection or the TLS session broke, or this side was ended or closed.
        """
        if self._closed or self._ended:
            what = "closed" if self._closed else "ended for writing"
            raise WriteError(f"this TLS stream is {what}", peer=self._info.peer)
        if not duplex and self._input_waits:
            return 0
        # First the old ciphertext: were new data encrypted before it has left, a cancellation here would leave the
        # caller not knowing whether its data was taken.
        if self.owes and not await self._send(timeout, duplex):
            return 0
        return self._encrypt(data)

    def give(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt what there is room for, up to 256 KiB, and hand it over; the bytes that do not leave are pending."""
        if self._closed or self._ended or not self._write_pending():
            return 0
        try:
            count = self._encrypt(data)
        except WriteError:
            return 0
        # What does not leave now is sent by the next call: its data counts as taken either way.
        self._write_pending()
        return count

    def _write_pending(self) -> bool:
        """Hand over the pending ciphertext, as far as there is room now."""
        with self._lock:
            return self._write_outbox()

    def _answer(self) -> None:
        """Like `_write_pending`, for a reader. A writer that is at work owns the pending ciphertext, and sends it."""
        with self._lock:
            if not (self._writing or self._closed):
                self._is_stuck = not self._write_outbox()

    def _write_outbox(self) -> bool:
        """Send the outbox, under the lock."""
        while self._refill():
            sent = self._inner.give(self._outbox)
            if sent < len(self._outbox):
                self._outbox = memoryview(self._outbox)[sent:]
                return False
            self._outbox = b""
        return not self._inner.owes

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        """Send pending ciphertext. False when data, the end or a fault waits to be read first (never with `duplex`).

        Raises as `write_some` does. Bytes that a cancelled flush leaves are sent by the next one.
        """
        if self._closed:
            raise WriteError("this TLS stream is closed", peer=self._info.peer)
        return await self._send(timeout, duplex)

    async def end(self, timeout: float | None) -> None:
        """Tell the peer that no more data comes (close_notify; RFC 8446, section 6.1). Reading goes on.

        Raises as `write_some` does. When it was cancelled, call it again.
        """
        if not self._ended:
            # Before the record is made: one that is encrypted after close_notify would be ignored (RFC 8446, section
            # 6.1).
            self._ended = True
            try:
                # Everything that came is decrypted already, so this finds no data that it could stumble over.
                with self._lock:
                    self._session.unwrap()
            except ssl.SSLError:
                pass  # normally "the peer's close_notify is not here yet", which we do not wait for
        await self.flush(timeout, duplex=True)

    def _encrypt(self, data: bytes | bytearray | memoryview) -> int:
        if len(data) > _ENCRYPTED:
            data = memoryview(data)[:_ENCRYPTED]
        elif not data:
            return 0
        try:
            with self._lock:
                # All of it in one step: OpenSSL cuts it into records itself, and a memory buffer always has room.
                return self._session.write(data)
        except ssl.SSLWantReadError as error:
            message = "TLS failed while writing: the peer wants to negotiate again, which is not supported"
            raise WriteError(message, peer=self._info.peer) from error
        except ssl.SSLError as error:
            raise self._write_error(self._fault or error) from error

    async def _send(self, timeout: float | None, duplex: bool) -> bool:
        """Send the outbox and what the stream below then owes; only the one writer calls this."""
        self._listening = not duplex
        try:
            self._writing = True  # `_fill_outbox` takes the lock, behind which a reader looks at this
            return await self._send_outbox(timeout, duplex)
        except WriteTimeout as error:
            error.limit = timeout
            raise
        except WriteError as error:
            cause = None if duplex else self._read_fault_after_write_error()
            if cause is None:
                raise
            raise self._write_error(cause, error.errno) from cause
        finally:
            self._listening = self._writing = False
            if self._outgoing.pending and not self._outbox:
                self._answer()  # a reader made it when it was too late for us, and left it to us

    async def _send_outbox(self, timeout: float | None, duplex: bool) -> bool:
        deadline = None if timeout is None else self._now() + timeout
        left = timeout
        while self._fill_outbox():
            if not duplex and self._input_waits:
                return False
            sent = await self._inner.write_some(self._outbox, left, duplex=duplex)
            if sent == len(self._outbox):
                self._outbox = b""
                if not self._outgoing.pending:
                    break  # the usual case, in which the clock is not read
            else:
                self._outbox = memoryview(self._outbox)[sent:]
            # Bytes have moved: the next wait for room has the whole timeout again, as over TCP alone.
            if sent:
                left, deadline = timeout, None if timeout is None else self._now() + timeout
                continue
            # Input waits below: if it was but a session ticket it is out of the way now, and sending goes on.
            if not duplex and self._has_news():
                return False
            left = self._left(deadline)
        while self._inner.owes:
            if not await self._inner.flush(self._left(deadline), duplex=duplex) and self._has_news():
                return False
        return True

    def _read_fault_after_write_error(self) -> ssl.SSLError | None:
        """A write failed below: decrypt the bytes received before. Returns the alert in it, or another description of
        the fault.

        Data in it is kept for `take` and `read`; more than a piece is not needed to detect an early answer.
        """
        try:
            while not self._over and len(self._plain) < PIECE and (raw := self._inner.take()):
                self._feed(raw)
        except ReadError:
            pass  # how the connection broke is known already
        return self._fault

    def _write_error(self, cause: ssl.SSLError, errno: int | None = None) -> WriteError:
        return WriteError(f"TLS failed while writing: {_reason(cause)}", errno=errno, peer=self._info.peer)

    def _fill_outbox(self) -> bool:
        with self._lock:
            return self._refill()

    def _refill(self) -> bool:
        """Refill the outbox, under the lock. True when there is something to send."""
        if not self._outbox and self._outgoing.pending:
            self._outbox = self._outgoing.read()
        return len(self._outbox) > 0

    def _left(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self._now())

    # Closing, and the peer.

    @property
    def can_wake(self) -> bool:
        """Whether `wake` works."""
        return self._inner.can_wake

    def wake(self) -> None:
        """End the calls that wait in other tasks, as if their time were over."""
        self._inner.wake()

    def close(self) -> None:
        """Release the connection, now. No close_notify: it could not be sent without waiting, and a message that
        is complete does not need it. A caller that may wait awaits `end` first, which sends close_notify."""
        self._closed = True  # first: a call that the next line ends finds out why
        self._inner.close()

    def abandon(self) -> None:
        """Like `close`, in the child of a fork: nothing is sent, and the parent's connection is not affected."""
        self._closed = True
        self._inner.abandon()

    def info(self) -> StreamInfo:
        """Both ends and the results of the handshake."""
        return self._info


class _Handshake:
    """The handshake of a stream: it runs before the stream carries data, and sets the facts that are known then."""

    __slots__ = ("_stream",)

    def __init__(self, stream: TLSStream) -> None:
        self._stream = stream

    async def run(self, timeout: float | None) -> None:
        stream = self._stream
        deadline = None if timeout is None else stream._now() + timeout
        received = b""
        try:
            while not await self._step(deadline, received):
                raw = await stream._inner.read(PIECE, stream._left(deadline))
                if not raw:
                    raise self._failure(closed_early(received))
                # For the message alone: whether an answer that is not TLS looks like plain text.
                received += raw[: max(0, 200 - len(received))]
                with stream._lock:
                    stream._incoming.write(raw)
        except Timeout as error:
            message = f"the TLS handshake with {self._target()} was not finished in time"
            raise ConnectTimeout(message, limit=timeout, peer=stream._info.peer) from error
        except TLSError:
            raise
        except NetworkError as error:
            # A peer that refuses may have sent the reason before a write to it failed.
            cause = stream._read_fault_after_write_error()
            failure = self._failure(f"the connection broke: {error.message}" if cause is None else _reason(cause))
            failure.errno = error.errno
            raise failure from error
        self._agreed()

    async def _step(self, deadline: float | None, received: bytes) -> bool:
        """One step of the handshake with the received bytes, and the sending of its answer; True when it is done."""
        stream = self._stream
        done = True
        try:
            with OPENSSL, stream._lock:
                stream._session.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError as error:
            await self._say_why(deadline)
            raise self._failure(explain(error, received, stream._session, stream._server_name)) from error
        # Also when it is done: the client's Finished is the last flight of a TLS 1.3 handshake.
        await stream._send(stream._left(deadline), True)
        return done

    async def _say_why(self, deadline: float | None) -> None:
        """Send the alert that OpenSSL has prepared, so that the peer's log tells the reason too."""
        stream = self._stream
        try:
            await stream._send(stream._left(deadline), True)
        except HTTPCoreError:
            pass  # the handshake has already failed for a known reason

    def _agreed(self) -> None:
        stream = self._stream
        session = stream._session
        cipher = session.cipher()
        below = stream._info
        tls = TLSInfo(
            version=session.version() or "",
            cipher=cipher[0] if cipher else "",
            alpn=session.selected_alpn_protocol(),
            server_name=stream._server_name,
            certificate=session.getpeercert(binary_form=True),
            session_reused=bool(session.session_reused),
        )
        stream._info = StreamInfo(below.peer, below.local, tls)
        with stream._lock:
            # Data may have come right behind the handshake.
            stream._plain = b"".join(stream._decrypt())
        if stream._plain:
            stream._hand_over()

    def _failure(self, why: str) -> TLSError:
        stream = self._stream
        return TLSError(f"the TLS handshake with {self._target()} failed: {why}", peer=stream._info.peer)

    def _target(self) -> str:
        stream = self._stream
        return show(stream._server_name or stream._info.peer)


def _checked_name(server_name: str) -> str:
    """The name as OpenSSL compares it: without the root's dot (RFC 6066, section 3) and without the zone of an IPv6
    address."""
    if ":" in server_name:
        server_name = server_name.partition("%")[0]
    elif server_name.endswith("."):
        server_name = server_name[:-1]
    return server_name
