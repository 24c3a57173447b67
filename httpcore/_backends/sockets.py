"""One connected socket and the calls on it that never wait, with httpcore's errors.

The streams of threads, trio and asyncio are this and a way to wait. The socket is always non-blocking: a
timeout kept by the socket object is shared by the reader and the writer, costs 0.6 microseconds each time it changes,
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

# `recv` makes a buffer of the whole size before it asks. For one of 128 KiB or more malloc goes to the system, and
# gives it back: three calls and cleared pages each time, a third of the CPU of a small request and four fifths of a
# download's. So no more than this is asked for until a call brought as much; and as glibc keeps buffers up to the
# largest that was freed, one larger than all of ours is freed now.
_USUAL = 65536
bytes(PIECE + 4096)

_NEVER_WAITS = getattr(socket, "SOCK_NONBLOCK", 0)  # Linux and the BSDs
# The codes of a connect that goes on. One that a signal interrupted does, too.
_GOES_ON = {errno.EINPROGRESS, errno.EALREADY, errno.EINTR}
if errno.EWOULDBLOCK != errno.EAGAIN:
    _GOES_ON.add(errno.EWOULDBLOCK)  # Windows
# A broken pipe is an error to return, not a signal to die of, also where a script has restored SIGPIPE.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

Failure = TypeVar("Failure", bound=NetworkError)


def _open(family: int) -> socket.socket:
    """A stream socket that never waits, from the first: one system call less."""
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
        # Without it the system never finds out that the peer of an idle connection has gone.
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
    """Calls on a connected socket that return at once. `close` is `sock.close`: the caller knows when it is safe."""

    __slots__ = ("_failure", "_room", "has_ended", "info", "is_closed", "kept", "sock")

    def __init__(self, sock: socket.socket, peer: str) -> None:
        if sock.gettimeout() != 0.0:
            sock.setblocking(False)
        self.sock = sock
        self.info = StreamInfo(peer, show_address(sock.getsockname()))
        self.is_closed = False
        self.has_ended = False
        # Bytes that the peer had sent before a write failed. It is read before the socket is asked.
        self.kept = bytearray()
        # How the connection broke. The system reports that once, and then claims a clean end: this is raised instead.
        self._failure: OSError | None = None
        self._room = _USUAL  # for received bytes

    def receive(self, max_bytes: int) -> bytes | None:
        """The bytes that are here now, `b""` at the end, None when there are none. Raises ReadError."""
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
        # A full buffer says that more is waiting: a download grows its buffer, and a small answer lets it shrink again.
        if size == room:
            self._room = PIECE
        elif not size:
            self._check_end()
        elif size < _USUAL < room:
            self._room = _USUAL
        return data

    def take(self) -> bytes | None:
        """As `receive`, of a whole piece; also for a connection that was closed here. Raises ReadError."""
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
        """As `send`; a broken or closed connection has no room."""
        if self.is_closed:
            return 0
        try:
            return self.send(data) or 0
        except WriteError:
            return 0

    def has_input(self) -> bool:
        """Whether `receive` has news. One that broke has none: `send` raises that, and keeps the bytes from before."""
        # After the end the socket is readable for ever, which is no news.
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
        """Whether it is open and `receive` would have nothing: neither bytes nor the end."""
        if self.is_closed or self.has_ended or self._failure is not None:
            return False
        return not self.has_input() and self._failure is None

    def end(self) -> None:
        """Tell the peer that no more bytes come. Raises WriteError."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._keep_input(error)
            raise self.error(WriteError, "ending the request", error) from error

    def shut_down(self) -> None:
        """End both directions now: calls that wait for the socket end. The descriptor stays open. Never raises."""
        # First: a call that `shutdown` wakes must find out why, or it would report the end as the peer's.
        self.is_closed = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster

    def error(self, kind: type[Failure], doing: str, cause: OSError | None = None) -> Failure:
        """The error to raise. Closing wins: errors of the system afterwards are only its consequence."""
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
        """The error of a second reader, or writer. Raised before it has touched anything."""
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
        """Take in the bytes from before a write failed: some systems drop them with the first call after a reset.

        Without this a 413 followed by a reset is lost to the client that is still sending.
        """
        # A reset that comes after the peer's FIN is reported as EPIPE: then the input is whole and its end is clean.
        if failure.errno != errno.EPIPE:
            self._remember(failure)
        try:
            # Bounded: a peer that goes on sending while our writes fail must not fill the memory.
            while len(self.kept) < _MOST_KEPT:
                piece = self.sock.recv(PIECE)
                if not piece:
                    return
                self.kept += piece
        except BlockingIOError:
            pass  # only our direction is shut
        except OSError as error:
            self._remember(error)

    def _remember(self, error: OSError) -> None:
        # A copy: the error itself holds, by its traceback, everything that was on the stack.
        if self._failure is None:
            self._failure = OSError(error.errno, error.strerror)
