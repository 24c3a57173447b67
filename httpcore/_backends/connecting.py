"""Connecting a socket to one of several addresses, or to a unix domain socket, without any wait of its own."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence

from .._address import host_port
from .base import SocketOption
from .happy_eyeballs import Race, connect_error
from .lookup import numeric, show_address
from .sockets import _GOES_ON, Descriptor, _open, open_socket

# Seconds between two tries. A unix socket whose queue is full answers EAGAIN, and no system call waits for a place in
# the queue.
_UNIX_RETRY = 0.01


class Connecting:
    """The sockets that are connecting to the addresses of one host. The first that is connected is kept.

    This is all of a connect except the waiting, which each runtime implements and passes to `run`.
    """

    __slots__ = ("_local_address", "_options", "_port", "_race", "sockets")

    def __init__(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        now: Callable[[], float],
        target: str | None,
        local_address: str | None,
        options: Sequence[SocketOption],
    ) -> None:
        self._race = Race(target or show_address((addresses[0], port)), addresses, timeout, now)
        self._port = port
        self._local_address = local_address
        self._options = options
        # Each socket with its peer's address as text.
        self.sockets: dict[socket.socket, str] = {}

    async def run(
        self, wait: Callable[[Sequence[socket.socket], float | None], Awaitable[Sequence[socket.socket]]]
    ) -> Descriptor:
        """Connect. The caller owns the returned socket; all others are closed, also when this is cancelled.

        Arguments:
            wait: waits until one of the sockets is writable, or for a number of seconds (None: without a limit), and
                returns the sockets that are known to be writable, if any are.

        Raises:
            ConnectError: every address has failed.
            ConnectTimeout: the time has passed.
        """
        try:
            writable: Sequence[socket.socket] = ()
            while (descriptor := self._step(writable)) is None:
                writable = await wait(list(self.sockets), self._race.wait())
            # Removed from the table first: all sockets that are still in it are closed below.
            del self.sockets[descriptor.sock]
            return descriptor
        finally:
            while self.sockets:
                self.sockets.popitem()[0].close()

    def _step(self, writable: Sequence[socket.socket] = ()) -> Descriptor | None:
        """Check the running attempts, and begin those that are due. Returns the connection, once there is one.

        Arguments:
            writable: the sockets that are known to be writable; if there are none, all are checked.

        Raises:
            ConnectError, ConnectTimeout: no connection can be made any more.
        """
        for sock in writable or list(self.sockets):
            if (found := self._check_outcome(sock, is_sure=bool(writable))) is not None:
                return found
        while (address := self._race.next()) is not None:
            if (found := self._begin(address)) is not None:
                return found
        self._race.check(self.sockets.values())
        return None

    def _begin(self, address: str) -> Descriptor | None:
        peer = host_port(address, self._port)
        try:
            place = numeric(address, self._port)
            sock = open_socket(place.family, self._local_address, self._options)
        except OSError as error:
            self._race.failed(peer, error)
            return None
        # Recorded before the call: from here on `run` closes the socket, whatever interrupts the connect.
        self.sockets[sock] = peer
        code = _begin_to_connect(sock, place.sockaddr)
        if code == errno.EINPROGRESS:
            return None
        return self._outcome(sock, peer, code)

    def _check_outcome(self, sock: socket.socket, *, is_sure: bool) -> Descriptor | None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        # No error and not known to be writable: either connected or still under way, and only `getpeername` shows
        # which.
        if not (code or is_sure or _is_connected(sock)):
            return None
        return self._outcome(sock, self.sockets[sock], code)

    def _outcome(self, sock: socket.socket, peer: str, code: int) -> Descriptor | None:
        if not code:
            try:
                return Descriptor(sock, peer)
            # The peer reset the connection between the connect and this check: for the caller this is a failed attempt
            # like any other.
            except OSError as error:
                code = error.errno or errno.ECONNABORTED
        del self.sockets[sock]
        sock.close()
        self._race.failed(peer, OSError(code, os.strerror(code)))
        return None


async def connect_unix(
    path: str,
    timeout: float | None,
    now: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    options: Sequence[SocketOption] = (),
) -> Descriptor:
    """Connect to a unix domain socket. If its queue is full there is nothing to wait for, so the connect is tried
    again.

    Raises:
        ConnectError, ConnectTimeout: the socket does not exist, or its queue stays full.
    """
    peer = show_address(path)
    race = Race(peer, [path], timeout, now)
    race.next()
    while True:
        try:
            found = _connect_unix(path, peer, options)
        except OSError as error:
            raise connect_error(peer, [(peer, error)]) from error
        if found is not None:
            return found
        race.check([peer])
        left = race.wait()
        await sleep(_UNIX_RETRY if left is None else min(_UNIX_RETRY, left))


def _connect_unix(path: str, peer: str, options: Sequence[SocketOption]) -> Descriptor | None:
    """The connection, or None when the queue is full. Raises `OSError`, and closes the sockets that it opened."""
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this system, or its Python, has no unix domain sockets")
    sock = _open(socket.AF_UNIX)
    try:
        for option in options:
            sock.setsockopt(*option)
        code = _begin_to_connect(sock, path)
        if not code:
            return Descriptor(sock, peer)
        if code != errno.EAGAIN:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    sock.close()
    return None


def _begin_to_connect(sock: socket.socket, address: tuple[str | int | bytes, ...] | str) -> int:
    """0, or the code of the error; EINPROGRESS when the socket becomes writable once there is an outcome."""
    try:
        code = sock.connect_ex(address)
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, str(error)) from error
    return errno.EINPROGRESS if code in _GOES_ON else code


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
