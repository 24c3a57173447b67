"""One connected socket and the calls on it that never wait, with httpcore's errors.

The streams of threads, trio and asyncio consist of a `Descriptor` and a way to wait. The socket is always non-blocking:
a timeout kept by the socket object is shared by the reader and the writer, costs 0.6 microseconds each time it changes,
and makes `send` wait before it tries.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import TypeVar

from .._errors import NetworkError, ReadError, ReadTimeout, ResponseBusy, WriteError, WriteTimeout
from .base import PIECE, SocketOption, StreamInfo
from .happy_eyeballs import reason
from .lookup import show_address

_MOST_KEPT = 8 * PIECE

# `recv` makes a buffer of the whole size before its system call. For 128 KiB or more, malloc gets the memory from the
# system and returns it afterwards: three calls and cleared pages each time, a third of the CPU time of a small request
# and four fifths of a download's. So no more than this is requested until a call has returned as much. And as glibc
# keeps buffers up to the size of the largest that was freed, one larger than all of ours is freed now.
_USUAL = 65536
bytes(PIECE + 4096)

_NEVER_WAITS = getattr(socket, "SOCK_NONBLOCK", 0)  # Linux and the BSDs
# The codes of a connect that continues. A connect that a signal interrupted continues too.
_GOES_ON = {errno.EINPROGRESS, errno.EALREADY, errno.EINTR}
if errno.EWOULDBLOCK != errno.EAGAIN:
    _GOES_ON.add(errno.EWOULDBLOCK)  # Windows
# A broken pipe must be returned as an error and not end the process, even if a script has restored SIGPIPE.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

Failure = TypeVar("Failure", bound=NetworkError)


def _open(family: int) -> socket.socket:
    """A stream socket that is non-blocking from the start, which saves a system call."""
    sock = socket.socket(family, socket.SOCK_STREAM | _NEVER_WAITS)
    if not _NEVER_WAITS:
        sock.setblocking(False)
    return sock


def open_socket(family: int, local_address: str | None, options: Sequence[SocketOption]) -> socket.socket:
    """A TCP socket that is not connected yet, its options set. Raises `OSError`, and closes the sockets that it
    opened.
    """
    sock = _open(family)
    try:
        # A head and a streamed body leave in two writes: Nagle's algorithm would hold the second one back until the
        # first is acknowledged, which a peer may delay (RFC 9293, section 3.7.4).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Without SO_KEEPALIVE the system never notices that the peer of an idle connection is gone.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option in options:
            sock.setsockopt(*option)
        if local_address is not None:
            sock.bind((local_address, 0))
    except BaseException:
        sock.close()
        raise
    return sock


class Descriptor:
    """A connected socket, and calls on it that return at once. The caller closes it by `sock.close`, when that is
    safe.
    """

    __slots__ = ("_failure", "_room", "has_ended", "info", "is_closed", "kept", "sock")

    def __init__(self, sock: socket.socket, peer: str) -> None:
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self.sock = sock
        self.info = StreamInfo(peer, show_address(sock.getsockname()))
        self.is_closed = False
        self.has_ended = False
        # Bytes that the peer had sent before a write failed. They are returned before the socket is read.
        self.kept = bytearray()
        # The error that broke the connection. The system reports it once, and a clean end after that: this is raised
        # instead.
        self._failure: OSError | None = None
        self._room = _USUAL  # the size of the next buffer for received bytes

    def receive(self, max_bytes: int) -> bytes | None:
        """The bytes that can be read now, `b""` at the end, None when there are none. Raises ReadError."""
        if self.kept:
            return self._receive_kept(max_bytes)
        room = self._room
        try:
            data = self.sock.recv(max_bytes if max_bytes < room else room)
        except BlockingIOError:
            return None
        except OSError as error:
            self._remember(error)
            raise self.error(ReadError, "reading", error) from error
        size = len(data)
        # A full buffer shows that more is waiting: a download enlarges the buffer, and a small answer reduces it again.
        if size == room:
            self._room = PIECE
        elif not size:
            self._check_end()
        elif size < _USUAL < room:
            self._room = _USUAL
        return data

    def take(self) -> bytes | None:
        """As `receive`, for up to PIECE bytes. Raises ReadError, also when the connection was closed on this side."""
        if self.is_closed:
            raise self.error(ReadError, "reading")
        return self.receive(PIECE)

    def send(self, data: bytes | bytearray | memoryview) -> int | None:
        """Send as much as there is room for, at most PIECE bytes; None when there is no room. Raises WriteError."""
        try:
            return self.sock.send(data if len(data) <= PIECE else memoryview(data)[:PIECE], _NO_SIGNAL)
        except BlockingIOError:
            return None
        except OSError as error:
            self._keep_input(error)
            raise self.error(WriteError, "writing", self._failure or error) from error

    def give(self, data: bytes | bytearray | memoryview) -> int:
        """As `send`, but returns 0 where there is no room, or the connection is broken or closed."""
        if self.is_closed:
            return 0
        try:
            return self.send(data) or 0
        except WriteError:
            return 0

    def has_input(self) -> bool:
        """Whether `receive` would return bytes or the end. False for a broken connection: `send` raises its error, and
        keeps the bytes from before.
        """
        # After the peer's end the socket stays readable for ever, without new input.
        if self.kept or self.has_ended:
            return bool(self.kept)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError as error:
            self._remember(error)
            return False
        return True

    def is_quiet(self) -> bool:
        """Whether the connection is open and `receive` would return neither bytes nor the end."""
        if self.is_closed or self.has_ended or self._failure is not None:
            return False
        return not self.has_input() and self._failure is None

    def end(self) -> None:
        """Tell the peer that no more bytes follow. Raises WriteError."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._keep_input(error)
            raise self.error(WriteError, "ending the request", error) from error

    def shut_down(self) -> None:
        """End both directions now: calls that wait for the socket end. The descriptor stays open. Never raises."""
        # Set first: a call that `shutdown` wakes checks this flag. Otherwise it would report that the peer has ended.
        self.is_closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer has closed the connection already

    def error(self, kind: type[Failure], doing: str, cause: OSError | None = None) -> Failure:
        """The error to raise. A close on this side takes precedence: later errors of the system are only its
        consequences.
        """
        if self.is_closed:
            return kind(f"{doing} on a connection that was closed on this side", peer=self.info.peer)
        if cause is None:
            return kind(f"the connection broke while {doing}", peer=self.info.peer)
        return kind(f"the connection broke while {doing}: {reason(cause)}", errno=cause.errno, peer=self.info.peer)

    def read_timeout(self, timeout: float | None) -> ReadTimeout:
        """The error of a read whose time has passed, or that `Stream.wake` ended."""
        message = (
            "the wait for input was ended" if timeout is None else f"no bytes were received for {timeout:g} seconds"
        )
        return ReadTimeout(message, peer=self.info.peer, limit=timeout)

    def write_timeout(self, timeout: float | None) -> WriteTimeout:
        message = "the wait for room was ended" if timeout is None else f"no room to write for {timeout:g} seconds"
        return WriteTimeout(message, peer=self.info.peer, limit=timeout)

    def busy(self, doing: str) -> ResponseBusy:
        """The error of a second reader, or writer. It is raised before the second call has any effect."""
        return ResponseBusy(f"another task or thread is {doing} this connection", peer=self.info.peer)

    def _receive_kept(self, max_bytes: int) -> bytes:
        piece = bytes(self.kept[: min(max_bytes, PIECE)])
        del self.kept[: len(piece)]
        return piece

    def _check_end(self) -> None:
        # An empty `recv` is the peer's end only if neither we nor an error have ended the connection before.
        if self.is_closed or self._failure is not None:
            raise self.error(ReadError, "reading", self._failure) from self._failure
        self.has_ended = True

    def _keep_input(self, failure: OSError) -> None:
        """Read and keep the bytes that arrived before a write failed: some systems drop them with the first call after
        a reset.

        Without this a client that is still sending loses a 413 response that a reset follows.
        """
        # A reset that arrives after the peer's FIN is reported as EPIPE: then the input is complete and its end is
        # clean.
        if failure.errno != errno.EPIPE:
            self._remember(failure)
        try:
            # Bounded: a peer that continues to send while our writes fail must not fill the memory.
            while len(self.kept) < _MOST_KEPT:
                piece = self.sock.recv(PIECE)
                if not piece:
                    return
                self.kept += piece
        except BlockingIOError:
            pass  # only our direction is closed
        except OSError as error:
            self._remember(error)

    def _remember(self, error: OSError) -> None:
        # A copy is kept: the error itself would keep everything on the stack alive, by its traceback.
        if self._failure is None:
            self._failure = OSError(error.errno, error.strerror)
