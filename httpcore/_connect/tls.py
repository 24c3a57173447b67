"""TLS over any stream: an `ssl.SSLObject` between two memory buffers, the same class in every runtime.

Two buffers hold ciphertext. Bytes from the peer go into `_incoming`, and all of them are decrypted at once. The
ciphertext that OpenSSL makes for the peer is read from `_outgoing`, in the order in which it was made; `_outbox` is the
part of it that is being sent. These rules define which call may do which step, and why:

Encryption changes the state of the session before the ciphertext is sent: if a record is made and then dropped, or made
twice, the peer fails with BAD_RECORD_MAC. So `write_some` first sends the pending ciphertext, encrypts last, and awaits
nothing after that. The next call sends the ciphertext that a cancelled call has left in the outbox.

A read may make ciphertext too: an alert, or the answer to a CertificateRequest after the handshake (RFC 8446, section
4.6.2), for which the server waits before it answers the HTTP request. So this ciphertext is sent after each read, as
far as there is room without waiting. It is appended to `_outgoing`, and while a writer is at work (`_writing`) the
writer sends it: bytes are sent in the order of the buffer although a reader and a writer work at the same time. A
thread that writes cannot block a thread that reads. Two threads must not work in one OpenSSL session together (`ssl`
releases the GIL while it works), so a thread lock is held for each step in the session, and never over an await. The
same lock guards the outbox, unless `_writing` is set.

An end with close_notify, an end without it, and a fault are three different results (RFC 8446, section 6), since any
host on the path can forge a FIN, or a record that does not decrypt. `read` and `take` return `b""` for both ends, set
`truncated` for an end without close_notify, and raise for a fault. When a write to the stream below fails, the bytes
received before are decrypted at once, since an alert in them may give the reason.

The timeout of a `read` applies to the whole call, not to each wait in it: otherwise a peer that sends one record byte
by byte could prolong the call for hours. A record has at most 16 KiB, so at most that much must be received in time.
The timeout of a write applies to each wait for room, as over TCP alone: on a slow connection, to send the bytes that
are encrypted at once may take longer than the timeout.
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
"""The most bytes that are encrypted, and then sent, at once. An upload by single records cost 1.8 times as much as an
upload by 8 records, which cost 1.15 times as much as an upload by 16. The price is memory: a TLS connection that
uploads keeps as much ciphertext."""

_CIPHERTEXT: Final = 131072 - _RECORD - 1024
"""The most ciphertext that is read at once, in bytes. With the part of a record that OpenSSL may hold already, it
decrypts to at most 128 KiB. Larger buffers nearly doubled the cost of a download where malloc maps them anew (see
`_backends/sockets`); elsewhere they gain nothing."""

_STEP: Final = 2 * _RECORD
"""The most ciphertext that OpenSSL gets at once where the peer may request a certificate. In steps of one record a
download took 1.5 times the CPU time."""

_KEY_UPDATE: Final = 40
"""A size between those of two answers to the peer, in bytes without the record header: the answer to a KeyUpdate has
22, the answer to a CertificateRequest at least 57. Only their sizes tell them apart, since `ssl` reports neither."""

_CHECK_INTERVAL: Final = 0.05
"""Seconds after which a read checks whether there is room for an answer to the peer that could not be sent before."""

_UNPRODUCTIVE: Final = 256 * 1024
"""How many bytes of ciphertext may be received without one byte of data in them: session tickets take some hundred
bytes, so a peer that exceeds this limit only keeps us busy. This is also the limit for the answers that the reads of
one connection make: enough for some hundred requests for a certificate, which cost a signature each."""

_MOST_PENDING: Final = _ENCRYPTED + 128 * 1024
"""How many bytes may be pending in `_outgoing` after a read: the ciphertext of one write, and answers to the peer."""


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
        session: the session to resume, if the server agrees. It must come from a connection to the same server under
            the same name, made with the same context: OpenSSL does not check the name again.
        keep: called when the first data was received, with the source from which another connection may resume the
            session.

    Raises:
        TLSError: the certificate is not accepted; or the peer does not use TLS, refuses the handshake, or closes. The
            cause is chained.
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

    With TLS 1.3 there is no session before the server's tickets were received, which servers send between the handshake
    and their first data (RFC 8446, section 4.6.1).
    """

    __slots__ = ("_lock", "_resumed", "_session")

    def __init__(self, session: ssl.SSLObject, lock: RLock, resumed: ssl.SSLSession | None) -> None:
        self._session: ssl.SSLObject | None = session
        self._lock = lock  # the lock of the stream: a read may change the session
        self._resumed = resumed

    def forget(self) -> None:
        """Forget the session: the connection broke, so nothing is resumed from it (RFC 5246, section 7.2.2)."""
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
    """A TLS stream over another stream. One reader and one writer may use it at the same time, also in two threads;
    `take` counts as a reader.

    Attributes:
        truncated: True when the peer's side ended without close_notify, so that an attacker may have cut it short (RFC
            8446, section 6.1). This matters where only the end of the stream ends the message (RFC 9112, section 9.8).
    """

    __slots__ = (
        "_answer_size",
        "_closed",
        "_ended",
        "_fault",
        "_has_late_authentication",
        "_incoming",
        "_info",
        "_inner",
        "_is_ended",
        "_is_outbox_full",
        "_keep",
        "_listening",
        "_lock",
        "_no_requests",
        "_now",
        "_outbox",
        "_outgoing",
        "_plain",
        "_reading",
        "_reported",
        "_resumable",
        "_server_name",
        "_session",
        "_unproductive_bytes",
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
        # The lock guards the session, both buffers, and the outbox while `_writing` is not set. `_plain`, `_is_ended`
        # and `_fault` belong to the reader, or to a writer that listens: only one of these two is at work at a time.
        # `_listening` and `_writing` belong to the writer.
        self._lock = RLock()  # a finaliser or a signal handler may enter it again, between two calls of OpenSSL
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        if type(context) is not ssl.SSLContext:
            # A subclass may check certificates in its own way, and may not find the facts for this in a resumed
            # session.
            resumed = keep = None
        self._session = self._begin(context, resumed)
        self._resumable = Resumable(self._session, self._lock, resumed)
        self._keep = keep
        self._outbox: bytes | memoryview = b""  # ciphertext that is being sent
        self._plain = b""  # received data that was not read yet
        self._unproductive_bytes = 0  # bytes that were received since the last data
        self._fault: ssl.SSLError | None = None  # the error that broke the session while reading
        self._is_ended = False  # close_notify or a fault was received
        self._reported = False  # the caller has received the end or the fault
        self._ended = False  # close_notify was made
        self._closed = False
        self._reading = False  # a read waits on the stream below
        self._listening = False  # a write waits on the stream below, for input too
        self._writing = False  # a write is at work, and owns the outbox
        self._is_outbox_full = False  # a read made ciphertext for which there was no room
        self._no_requests = False
        self._has_late_authentication = bool(context.post_handshake_auth)
        self._answer_size = 0  # bytes of ciphertext that reads made for the peer

    def _begin(self, context: ssl.SSLContext, resumed: ssl.SSLSession | None) -> ssl.SSLObject:
        try:
            if self._server_name is None and context.check_hostname:
                # `wrap_socket` refuses this; `wrap_bio` does not, and accepts a certificate for any host.
                raise ValueError("the context checks host names: expected a server name, got none")
            with OPENSSL:  # at its first use `ssl` imports the codec by which it encodes host names
                session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=self._server_name)
            # The session is set before the handshake, whose ClientHello offers it (RFC 8446, section 4.6.1).
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
            ReadTimeout: no whole record with data was received in time.
            ReadError: the connection or the TLS session broke, or this stream was closed.
        """
        if self._closed:
            raise ReadError("this TLS stream is closed", peer=self._info.peer)
        if not self._plain:
            self._reading = True
            try:
                if not await self._fill(timeout):
                    return self._report_end() if self._is_ended else b""
            finally:
                self._reading = False
        return self._pop(max_bytes)

    async def _fill(self, timeout: float | None) -> bool:
        """Wait for data. False when there will be none."""
        deadline = None if timeout is None else self._now() + timeout
        left = timeout
        while not self._plain:
            if self._is_ended:
                return False
            checks = self._is_outbox_full and (left is None or left > _CHECK_INTERVAL)
            try:
                raw = await self._inner.read(_CIPHERTEXT, _CHECK_INTERVAL if checks else left)
            except ReadTimeout as error:
                # Only this check has timed out, not the caller's wait. The server may wait for our answer before it
                # sends data, so we try again to send the answer.
                if checks:
                    self._answer()
                    left = self._remaining_time(deadline)
                    continue
                if left == timeout:
                    raise
                message = "not one whole TLS record with data was received in time, only parts or session tickets"
                raise ReadTimeout(message, limit=timeout, peer=self._info.peer) from error
            if not raw:
                # All bytes before the end have been decrypted, so a close_notify would have been seen (RFC 8446,
                # section 6.1).
                self.truncated = True
                return False
            self._feed(raw)
            # Only a part of a record was received, or a record without data: the clock is read only for another wait.
            if not self._plain:
                left = self._remaining_time(deadline)
        return True

    def take(self) -> bytes | None:
        """The received data, `b""` at the end (see `truncated`); None when there is none. Raises as `read`.

        Session tickets are processed and not returned: an idle TLS 1.3 connection that has received only tickets has no
        data.
        """
        if self._closed:
            raise ReadError("this TLS stream is closed", peer=self._info.peer)
        while not self._plain:
            if self._is_ended:
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
        """See `Stream.is_quiet`. Bytes that the stream below has received are decrypted and kept; session tickets do
        not count."""
        try:
            while not (self._closed or self._plain or self._is_ended or self.truncated):
                raw = self._inner.take()
                if raw is None:
                    return True
                if raw:
                    self._feed(raw)
                else:
                    self.truncated = True
        except ReadError:
            pass  # each further call raises it again below
        return False

    def watch(self, callback: Callable[[], None] | None) -> bool:
        """Call `callback` when data or the end arrives while no call reads. Records that only TLS needs (tickets, key
        updates) do not count.

        While a task reads, or writes and listens, it waits for input on the stream below: the callback must not take
        the input first.
        """
        if callback is None:
            return self._inner.watch(None)

        def woken() -> None:
            if not (self._closed or self._reading or self._listening) and self._has_new_data():
                callback()

        return self._inner.watch(woken)

    @property
    def _input_waits(self) -> bool:
        """Whether there is data, the end, or a fault that the caller has not received yet."""
        return bool(self._plain) or (self._is_ended and not self._reported)

    def _report_end(self) -> bytes:
        """The result of a read when no more data comes."""
        self._reported = True
        if self._fault is not None:
            message = f"TLS failed while reading: {_reason(self._fault)}"
            raise ReadError(message, peer=self._info.peer) from self._fault
        return b""

    def _has_new_data(self) -> bool:
        """Decrypt the input that waits in the stream below, and return whether any of it is for the caller."""
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
        """Decrypt all of the received bytes. Never raises: an error is kept in `_fault`, and raised after the data
        before it was read."""
        if self._is_ended:
            return  # bytes after close_notify are ignored (RFC 8446, section 6.1)
        with self._lock:
            pending = self._outgoing.pending
            if self._has_late_authentication and len(raw) > _STEP:
                pieces = self._decrypt_in_steps(raw, pending)
            else:
                self._incoming.write(raw)
                pieces = self._decrypt()
            made = self._outgoing.pending - pending
            # The answers are checked before the lock is released: a writer in another thread must not send them first.
            if made and self._no_requests:
                self._check_answers(pending)
        if made:
            self._answer_size += made
            self._answer()
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            # The data is decrypted at once and kept here: a check of the socket below would not find records that
            # OpenSSL holds back.
            self._plain = self._plain + data if self._plain else data
            self._unproductive_bytes = 0
            if self._keep is not None:
                self._hand_over()
        else:
            self._unproductive_bytes += len(raw)
        if self._fault is None:
            if self._unproductive_bytes > _UNPRODUCTIVE or self._outgoing.pending > _MOST_PENDING:
                self._set_fault(ssl.SSLError(f"more than {_UNPRODUCTIVE} bytes of records that carry no data"))
            elif self._answer_size > _UNPRODUCTIVE:
                self._set_fault(
                    ssl.SSLError(f"answers to the peer's certificate requests took more than {_UNPRODUCTIVE} bytes")
                )

    def forbid_requests(self) -> None:
        """From now on a CertificateRequest is a fault, as HTTP/2 requires (RFC 9113, section 9.2.3)."""
        self._no_requests = self._session.version() == "TLSv1.3"  # TLS 1.2 has none after the handshake

    def _check_answers(self, pending: int) -> None:
        """If OpenSSL has answered a CertificateRequest, record a fault and drop the pending ciphertext. No later record
        can be sent then, since records are numbered: so there will be no GOAWAY, either. Call this under the lock.

        Arguments:
            pending: how many bytes of ciphertext were pending before this step.
        """
        data = self._outgoing.read()
        at = pending
        while self._fault is None and at < len(data):
            # The length of a record is in the two bytes after its type and version (RFC 8446, section 5.1).
            size = int.from_bytes(data[at + 3 : at + 5], "big")
            if size > _KEY_UPDATE:
                why = "it asked for a client certificate after the handshake, which HTTP/2 forbids (RFC 9113, 9.2.3)"
                self._set_fault(ssl.SSLError(why))
                return
            at += 5 + size
        self._outgoing.write(data)

    def _hand_over(self) -> None:
        """Pass on the source of the session: the first data was received, and with it the tickets."""
        keep, self._keep = self._keep, None
        if keep is not None:
            keep(self._resumable)

    def _decrypt(self) -> list[bytes]:
        """Decrypt every complete record. Each call of `read` asks for a full record, so OpenSSL keeps no plaintext
        back."""
        pieces: list[bytes] = []
        try:
            # An empty buffer ends the loop without SSLWantReadError, which costs as much as decrypting a short record.
            while self._incoming.pending and not self._is_ended:
                piece = self._session.read(_RECORD)
                if piece:
                    pieces.append(piece)
                else:
                    self._is_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._is_ended = True
        except ssl.SSLError as error:
            self._set_fault(error)
        return pieces

    def _decrypt_in_steps(self, raw: bytes, pending: int) -> list[bytes]:
        """Decrypt in steps, where the peer may request a certificate: each request costs a signature, and OpenSSL
        answers all requests in its input before it returns. It gets no more than `_STEP` bytes at once, so that one
        call is short.
        """
        pieces: list[bytes] = []
        for start in range(0, len(raw), _STEP):
            self._incoming.write(raw[start : start + _STEP])
            pieces += self._decrypt()
            if self._is_ended or self._answer_size + self._outgoing.pending - pending > _UNPRODUCTIVE:
                break
        return pieces

    def _set_fault(self, fault: ssl.SSLError) -> None:
        self._fault = fault
        self._is_ended = True
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
        """True while there is ciphertext that has not been sent."""
        # This needs no lock: if a reader in another thread is about to add ciphertext, the number before that is valid
        # too.
        return bool(self._outbox) or self._outgoing.pending > 0 or self._inner.owes

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        """Send pending ciphertext, then encrypt up to 256 KiB of `data`; return how many bytes. Their ciphertext is
        sent by the next call.

        Returns 0, having accepted nothing, when data, the end or a fault waits to be read (never with `duplex`).

        Raises:
            WriteTimeout: the pending ciphertext could not be sent in time.
            WriteError: the connection or the TLS session broke, or this side was ended or closed.
        """
        if self._closed or self._ended:
            what = "closed" if self._closed else "ended for writing"
            raise WriteError(f"this TLS stream is {what}", peer=self._info.peer)
        if not duplex and self._input_waits:
            return 0
        # The old ciphertext is sent first: if new data were encrypted before that, the caller would not know after a
        # cancellation here whether its data was accepted.
        if self.owes and not await self._send(timeout, duplex):
            return 0
        return self._encrypt(data)

    def give(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt up to 256 KiB and send what the stream below accepts now; the rest is pending. Returns 0 while older
        ciphertext is pending."""
        if self._closed or self._ended or not self._write_pending():
            return 0
        try:
            count = self._encrypt(data)
        except WriteError:
            return 0
        # The next call sends the ciphertext that is not accepted now: the data counts as accepted either way.
        self._write_pending()
        return count

    def _write_pending(self) -> bool:
        """Send the pending ciphertext, as far as there is room now. Returns whether all of it was sent."""
        with self._lock:
            return self._write_outbox()

    def _answer(self) -> None:
        """Like `_write_pending`, for a reader. A writer that is at work owns the pending ciphertext, and sends it."""
        with self._lock:
            if not (self._writing or self._closed):
                self._is_outbox_full = not self._write_outbox()

    def _write_outbox(self) -> bool:
        """Send the outbox, as far as there is room now. Call this under the lock."""
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
        """Tell the peer that no more data follows (close_notify; RFC 8446, section 6.1). Reading goes on.

        Raises as `write_some` does. After a cancellation, call it again.
        """
        if not self._ended:
            # The mark is set before close_notify is made: a record that is encrypted after it would be ignored (RFC
            # 8446, section 6.1).
            self._ended = True
            try:
                # All received bytes are decrypted already, so `unwrap` finds no data that would make it fail.
                with self._lock:
                    self._session.unwrap()
            except ssl.SSLError:
                pass  # normally because the peer's close_notify was not received yet; we do not wait for it
        await self.flush(timeout, duplex=True)

    def _encrypt(self, data: bytes | bytearray | memoryview) -> int:
        if len(data) > _ENCRYPTED:
            data = memoryview(data)[:_ENCRYPTED]
        elif not data:
            return 0
        try:
            with self._lock:
                # All data is encrypted in one step: OpenSSL cuts it into records itself, and a memory buffer always has
                # room.
                return self._session.write(data)
        except ssl.SSLWantReadError as error:
            message = "TLS failed while writing: the peer wants to negotiate again, which is not supported"
            raise WriteError(message, peer=self._info.peer) from error
        except ssl.SSLError as error:
            raise self._write_error(self._fault or error) from error

    async def _send(self, timeout: float | None, duplex: bool) -> bool:
        """Send the outbox, and the bytes that the stream below then holds; only the one writer calls this."""
        self._listening = not duplex
        try:
            self._writing = True  # set before `_fill_outbox` takes the lock, under which a reader checks it
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
                self._answer()  # a reader made this after our last check, and left it to us

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
            # Bytes were sent: the next wait for room has the whole timeout again, as over TCP alone.
            if sent:
                left, deadline = timeout, None if timeout is None else self._now() + timeout
                continue
            # Input waits in the stream below. If it is only a session ticket, `_has_new_data` processes it, and sending
            # goes on.
            if not duplex and self._has_new_data():
                return False
            left = self._remaining_time(deadline)
        while self._inner.owes:
            if not await self._inner.flush(self._remaining_time(deadline), duplex=duplex) and self._has_new_data():
                return False
        return True

    def _read_fault_after_write_error(self) -> ssl.SSLError | None:
        """After a write to the stream below has failed, decrypt the bytes received before. Returns the fault in them,
        e.g. an alert; None if there is none.

        Data in them is kept for `take` and `read`. At most about `PIECE` bytes are decrypted, which is enough to detect
        an early answer.
        """
        try:
            while not self._is_ended and len(self._plain) < PIECE and (raw := self._inner.take()):
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

    def _remaining_time(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(0.0, deadline - self._now())

    # Closing, and the peer.

    @property
    def can_wake(self) -> bool:
        """Whether `wake` works."""
        return self._inner.can_wake

    def wake(self) -> None:
        """End the calls that wait in other tasks, as if their timeout had passed."""
        self._inner.wake()

    def close(self) -> None:
        """Release the connection, now. No close_notify is sent: that might have to wait, and a message that is complete
        does not need it. A caller that may wait awaits `end` first, which sends close_notify."""
        self._closed = True  # set first: a call that the next line ends then sees the reason
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
                raw = await stream._inner.read(PIECE, stream._remaining_time(deadline))
                if not raw:
                    raise self._failure(closed_early(received))
                # The first bytes are kept for the error message, which says whether an answer that is not TLS looks
                # like plain text.
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
        self._record_result()

    async def _step(self, deadline: float | None, received: bytes) -> bool:
        """Make one step of the handshake with the received bytes, and send its answer. True when the handshake is
        done."""
        stream = self._stream
        done = True
        try:
            with OPENSSL, stream._lock:
                stream._session.do_handshake()
        except ssl.SSLWantReadError:
            done = False
        except ssl.SSLError as error:
            await self._send_alert(deadline)
            raise self._failure(explain(error, received, stream._session, stream._server_name)) from error
        # This is sent also when the handshake is done: the client's Finished is the last flight of a TLS 1.3 handshake.
        await stream._send(stream._remaining_time(deadline), True)
        return done

    async def _send_alert(self, deadline: float | None) -> None:
        """Send the alert that OpenSSL has prepared, so that the peer's log can show the reason too."""
        stream = self._stream
        try:
            await stream._send(stream._remaining_time(deadline), True)
        except HTTPCoreError:
            pass  # the handshake has already failed for a known reason

    def _record_result(self) -> None:
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
            # Data may have been received right after the handshake.
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
