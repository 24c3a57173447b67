"""Lookup of host names in a few threads of our own, and addresses as text in messages.

A blocking `getaddrinfo` has no timeout and cannot be cancelled, so it runs in a thread that the caller need not wait
for: when the caller stops waiting, the answer is dropped. The threads are daemons and end when there is nothing to do.
`loop.getaddrinfo` of asyncio is not used, because its default executor is joined at exit: a dead name server would hold
up the whole program.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from .._address import host_port
from .._errors import ConnectError, ConnectTimeout, show
from .._values import dataclass
from .base import Interrupt
from .workers import Answer, Call, Threads

__all__ = ["Address", "accept", "literal", "look_up", "no_answer", "numeric", "resolve", "show_address"]

# The most lookups that run at the same time. A dead name server can occupy this many threads, and no more.
_MOST_LOOKUPS = 8

SockAddr = tuple[str | int | bytes, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """An address to connect to: its family, `socket.AF_INET` or `AF_INET6`, and the tuple that `connect` takes."""

    family: int
    sockaddr: SockAddr

    def __str__(self) -> str:
        return show_address(self.sockaddr)


# Threads.


_lookups = Threads(_MOST_LOOKUPS, "httpcore: host names")


# Names.


def literal(host: str, port: int) -> Address | None:
    """The address of an IP literal: "127.0.0.1", "::1", "fe80::1%eth0". None for a name.

    Raises:
        ConnectError: the zone after "%" is no network interface of this machine.
    """
    try:
        socket.inet_pton(socket.AF_INET, host)
        return Address(socket.AF_INET, (host, port))
    except (OSError, ValueError):
        pass
    number, _, zone = host.partition("%")
    try:
        socket.inet_pton(socket.AF_INET6, number)
    except (OSError, ValueError):
        return None
    return Address(socket.AF_INET6, (number, port, 0, _zone_index(host, zone)))


def _zone_index(host: str, zone: str) -> int:
    if zone.isascii() and zone.isdigit():
        return int(zone)
    if not zone and not host.endswith("%"):
        return 0
    try:
        return socket.if_nametoindex(zone)
    except (OSError, ValueError) as error:
        raise ConnectError(f"{show(host)}: there is no network interface {show(zone)}") from error


def numeric(address: str, port: int) -> Address:
    """As `literal`, but a name is an error.

    Raises:
        OSError: `address` is not an IP address, or its zone is not a network interface.
    """
    found = literal(address, port)
    if found is None:
        raise OSError(errno.EINVAL, f"{show(address)} is not an IP address")
    return found


def look_up(host: str, done: Callable[[Answer], None]) -> Call:
    """Resolve a name in a thread, and call `done` there with the addresses or the error. Call `leave` on the result to
    stop waiting.

    Raises:
        ConnectError: no thread can be started.
    """
    return _lookups.start(lambda: done(_answer(host)))


def resolve(host: str, timeout: float | None, interrupt: Interrupt | None = None) -> list[str]:
    """The IP addresses of `host`, in the order of the system. Blocks the calling thread.

    Raises:
        PoolClosed: `interrupt` was set.
        ConnectTimeout: there was no answer in `timeout` seconds.
        ConnectError: the name does not resolve.
    """
    answers: deque[Answer] = deque()
    is_done = threading.Lock()
    is_done.acquire()

    def wake() -> None:
        with suppress(RuntimeError):  # the lock is released already: the answer and the interrupt have both arrived
            is_done.release()

    def done(answer: Answer) -> None:
        answers.append(answer)
        wake()

    call = look_up(host, done)
    try:
        if interrupt is not None:
            interrupt.on_set(wake)
        is_done.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX))
    finally:
        # A thread that has not begun skips the lookup; the answer of one that has is dropped.
        call.leave()
        if interrupt is not None:
            interrupt.forget(wake)
    if interrupt is not None:
        interrupt.check()
    if not answers:
        raise no_answer(host, timeout)
    return accept(answers.popleft())


def accept(answer: Answer) -> list[str]:
    """Return the addresses, or raise the error."""
    if isinstance(answer, ConnectError):
        raise answer
    return answer


def no_answer(host: str, timeout: float | None) -> ConnectTimeout:
    """The error to raise when `timeout` seconds passed before a name was resolved."""
    return ConnectTimeout(f"resolving {show(host)} took too long", limit=timeout, phase="resolve")


def _answer(host: str) -> Answer:
    try:
        # The name is passed as bytes, since for a str Python loads its IDNA codec. It is ASCII already.
        found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    except Exception as error:  # also UnicodeError, ValueError (a NUL), MemoryError: in a thread no caller would see it
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        failure = ConnectError(
            f"the name {show(host)} does not resolve: {reason}", errno=getattr(error, "errno", None), phase="resolve"
        )
        failure.__cause__ = error
        return failure
    # A dict keeps the order, and an address that the system returns once per protocol counts once.
    addresses = {_text(sockaddr): None for family, _, _, _, sockaddr in found if _is_internet(family)}
    if not addresses:
        return ConnectError(f"the name {show(host)} has no address", phase="resolve")
    return list(addresses)


def _is_internet(family: int) -> bool:
    return family in (socket.AF_INET, socket.AF_INET6)


def _text(sockaddr: SockAddr) -> str:
    """The address without its port; a zone as the number of its interface."""
    address = str(sockaddr[0])
    zone = int(sockaddr[3]) if len(sockaddr) == 4 else 0
    return f"{address}%{zone}" if zone and "%" not in address else address


# Messages.


def show_address(sockaddr: object) -> str:
    """A socket's address as text: "127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80", a path, "@name" (abstract), or ""."""
    if isinstance(sockaddr, tuple):
        host, port = sockaddr[:2]
        zone = sockaddr[3] if len(sockaddr) == 4 else 0
        if zone and "%" not in host:
            host = f"{host}%{zone}"
        return host_port(host, port)
    path = os.fsdecode(sockaddr) if isinstance(sockaddr, (bytes, str)) else ""
    return f"@{path[1:]}" if path.startswith("\0") else path
