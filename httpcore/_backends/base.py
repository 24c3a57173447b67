"""What a world must offer: a clock, events, and streams of bytes.

A function here is async exactly when it may wait. In `read`, `write_some` and `flush` the act that counts comes last:
nothing is awaited after bytes have been taken from or given to the stream, so a cancelled call has either done nothing
or returned. `take`, `give` and `close` never wait. `give` and `close` never raise. `take` raises where `read` would: an
end and a fault must not look alike, or a forged record could end a body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")

PIECE = 524288
"""The most that one `read` returns or one `write_some` takes, in bytes. A download by 64 KiB costs a bare socket half
as much again; ours in threads cost 1.56 times the floor by 256 KiB, and 1.31 by these (`scripts/bench 7 "200 MB"`)."""

SocketOption = tuple[int, int, int] | tuple[int, int, bytes]


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """What the handshake agreed on. `certificate` is the peer's, DER encoded."""

    version: str
    cipher: str
    alpn: str | None
    server_name: str | None
    certificate: bytes | None
    session_reused: bool


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Who is at both ends, as text ("127.0.0.1:8080", "[::1]:8080", or a path), and what TLS agreed on."""

    peer: str
    local: str
    tls: TLSInfo | None = None


class Stream(Protocol):
    """A two-way stream of bytes. One reader and one writer may use it at the same time; two readers may not.

    Timeouts are in seconds; `None` waits for ever. A stream raises only errors of `httpcore._errors`, with `peer` and,
    for timeouts, `limit` set.
    """

    @property
    def owes(self) -> bool:
        """True while bytes that `write_some` took have not left and `flush` has work to do (only under TLS)."""
        ...

    @property
    def truncated(self) -> bool:
        """True when the end came under TLS without close_notify: the last bytes may be missing. False elsewhere."""
        ...

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Wait for bytes: 1 to min(max_bytes, PIECE) of them, or `b""` when the peer has ended its side.

        Raises:
            ReadTimeout: nothing came in time. Data that is there when the timer fires wins.
            ReadError: the connection broke, or this stream was closed.
        """
        ...

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        """Wait for room *or input*, then take up to PIECE bytes of `data` and return how many.

        Returns 0, having taken nothing, when input waits to be read: the caller reads it and resumes, since a writer
        that never reads deadlocks against a peer that answers early. With `duplex` input is somebody else's business:
        it waits for room only and never returns 0 for data that is not empty.

        Raises:
            WriteTimeout: there was no room (and no input) in time.
            WriteError: the connection broke, or this stream was closed. What the peer had sent before is not lost: it
                is there for `take` and `read`.
        """
        ...

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        """Send what `write_some` took and still holds. False when input waits first (never with `duplex`).

        Raises as `write_some` does. What a cancelled flush leaves is sent by the next one.
        """
        ...

    async def end(self, timeout: float | None) -> None:
        """Half-close: tell the peer that no more bytes come (FIN; close_notify under TLS). Reading goes on."""
        ...

    def take(self) -> bytes | None:
        """What is here now, at most PIECE bytes; `b""` when the peer has ended its side (see `truncated`); None when
        there is nothing. Bytes that are not for the caller (TLS session tickets) are dealt with and not counted.

        Raises:
            ReadError: the connection broke, or this stream was closed; each further call raises it again.
        """
        ...

    def give(self, data: bytes | bytearray | memoryview) -> int:
        """Hand over what there is room for now, and return how many bytes: the counterpart of `take`. 0 also when the
        stream is broken or closed, which the next `write_some` tells. Not while another call writes.
        """
        ...

    def close(self) -> None:
        """Let go of the connection, now. A call that waits in another task or thread ends with an error at once."""
        ...

    def abandon(self) -> None:
        """As `close`, in the child of a fork: the descriptor goes, and the parent's connection does not notice."""
        ...

    def watch(self, callback: Callable[[], None] | None) -> bool:
        """Ask for a plain call when input or the end arrives while nobody reads; None ends it.

        Returns False in a world that does not look at its sockets by itself.
        """
        ...

    def info(self) -> StreamInfo:
        """Both ends. Answered from memory; works after `close` too."""
        ...


class Event(Protocol):
    """A flag that is raised once. `set` is plain and, in the world of threads, may be called from any thread."""

    def set(self) -> None: ...

    async def wait(self, timeout: float | None) -> bool:
        """True when it is set; False when `timeout` seconds passed first. A flag set as the timer fires wins."""
        ...


class Backend(Protocol):
    """One world. For an event loop, one instance belongs to one running loop."""

    @property
    def name(self) -> str:
        """ "asyncio", "trio", "threads" or "memory"."""
        ...

    def is_current(self) -> bool:
        """True when the calling code runs in this very world: the same running loop. Cheap: asked for every request."""
        ...

    def is_gone(self) -> bool:
        """True when this world cannot run any more: its loop is closed."""
        ...

    def now(self) -> float:
        """Seconds of a monotonic clock."""
        ...

    def event(self) -> Event: ...

    async def sleep(self, seconds: float) -> None: ...

    async def run_blocking(self, function: Callable[[], T]) -> T:
        """Run a plain function that may block (a file, a TLS context) where it stops nobody else."""
        ...

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        """Ask the operating system for the IP addresses of a name in ASCII: as text, each once, in its order.

        The zone of a link-local address stands behind a "%".

        Raises:
            ConnectTimeout: there was no answer within `timeout`.
            ConnectError: the name does not resolve.
        """
        ...

    async def connect_tcp(
        self,
        addresses: Sequence[str],
        port: int,
        timeout: float | None,
        *,
        target: str | None = None,
        local_address: str | None = None,
        socket_options: Sequence[SocketOption] = (),
    ) -> Stream:
        """Connect to one of the IP addresses, TCP_NODELAY and SO_KEEPALIVE set: to the first that answers.

        A quarter of a second after an address was tried, or as soon as one has failed, the next is tried beside it
        (RFC 8305, "Happy Eyeballs"). The losers are closed.

        Arguments:
            target: what is connected to, for messages. Default: the first address with its port.
            local_address: an IP address of this machine, of the same family as the others.
            socket_options: set after those two.

        Raises:
            ConnectTimeout: none answered within `timeout`.
            ConnectError: every address failed.
            In both cases the message names each that was tried with its error, and `errno` is the last one's.
        """
        ...

    async def connect_unix(
        self, path: str, timeout: float | None, *, socket_options: Sequence[SocketOption] = ()
    ) -> Stream:
        """Connect to a unix domain socket. Arguments and errors as of `connect_tcp`."""
        ...
