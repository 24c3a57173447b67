"""The interface of a runtime: a clock, events, and streams of bytes. Public as `Backend`, `Stream` and `Event`.

A runtime is asyncio, trio, threads, a simulation, or one of your own: `ConnectionPool(backend=)` takes any object with
these methods. There is nothing to inherit from. In addition to each docstring, the library relies on these rules:

- **async means "may wait".** A function here is async exactly when it may wait. `take`, `give`, `close`, `abandon`,
  `set` and the like never wait, and never raise, except `take`: it raises where `read` would, since the peer's end and
  an error must not look alike. Otherwise a forged TLS record could end a body.
- **A cancelled call has either done nothing or returned.** In `read`, `write_some` and `flush` the system call that
  moves bytes comes last: nothing is awaited after bytes have been received from or passed to the connection.
- **Cancellation belongs to the runtime.** The library catches no cancellation and starts no task.
- **Errors are those of httpcore.** A stream raises `ReadError`, `ReadTimeout`, `WriteError`, `WriteTimeout`; a connect
  raises `ConnectError`, `ConnectTimeout`. They accept `peer=`, for timeouts `limit=` in seconds, and for network errors
  `errno=`. Any other exception passes through to the caller, and the connection is closed.
- **Timeouts are in seconds**, by the clock of `Backend.now`; `None` waits for ever.
- **TLS is not part of the runtime.** TLS uses the stream's methods, in the same way for every runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from .._errors import PoolClosed
from .._public import public, resolvable
from .._values import dataclass

if TYPE_CHECKING:
    from .._certificate import Certificate

T = TypeVar("T")

PIECE = 524288
"""The most that one `read` returns or one `write_some` accepts, in bytes. With pieces of 64 KiB a download over a bare
socket costs 1.5 times as much. Our download in threads cost 1.56 times the floor with 256 KiB, and 1.31 times with this
size (`scripts/bench 7 "200 MB"`).
"""

SocketOption = tuple[int, int, int] | tuple[int, int, bytes]
"""Level, name and value, as `socket.setsockopt` accepts them."""


@public
@dataclass(frozen=True, slots=True)
class TLSInfo:
    """The results of the TLS handshake. `certificate` is the peer's certificate, DER encoded; `peer_certificate` has
    its contents.
    """

    version: str
    cipher: str
    alpn: str | None
    server_name: str | None
    certificate: bytes | None
    session_reused: bool

    @property
    def peer_certificate(self) -> Certificate | None:
        """Subject, names, issuer and validity of the peer's certificate, read anew each time; None if there is none.

        With `verify=False` these are unverified claims of the peer.

        Raises:
            RemoteProtocolError: the certificate cannot be read.
        """
        if self.certificate is None:
            return None
        from .._certificate import Certificate  # only for programs that look at certificates

        return Certificate.read(self.certificate)

    def __repr__(self) -> str:
        seen = None if self.certificate is None else f"<{len(self.certificate)} bytes>"
        return (
            f"TLSInfo(version={self.version!r}, cipher={self.cipher!r}, alpn={self.alpn!r}, "
            f"server_name={self.server_name!r}, certificate={seen}, session_reused={self.session_reused!r})"
        )


@public
@resolvable
@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Both ends of a stream as text ("127.0.0.1:8080", "[::1]:8080", or a path), and the facts of TLS."""

    peer: str
    local: str
    tls: TLSInfo | None = None


@public
class Stream(Protocol):
    """A two-way stream of bytes. One reader and one writer may use it at the same time. While a reader (or writer)
    waits, a second one gets `ResponseBusy`. If the first does not wait at that moment, the second is not noticed, so
    the layer above must prevent this.

    `close` may be called while other tasks read and write; under a backend for threads, from any thread.

    A stream may also have `is_quiet() -> bool`: whether the stream is open and neither unread bytes nor the end have
    been received. The method checks the connection itself, as `take` does, and reads nothing, so that a second call
    returns the same. For a stream without `is_quiet` the pool calls `take`, and remembers the result.
    """

    @property
    def owes(self) -> bool:
        """True while bytes that `write_some` accepted have not been sent and `flush` has work to do.

        Always False for a stream that buffers no output: every stream except TLS.
        """
        ...

    @property
    def truncated(self) -> bool:
        """True when TLS ended without close_notify: the last bytes may be missing. False elsewhere."""
        ...

    @property
    def can_wake(self) -> bool:
        """Whether `wake` works: it does not in threads, whose waits are system calls that only the socket ends."""
        ...

    async def read(self, max_bytes: int, timeout: float | None) -> bytes:
        """Wait for bytes: 1 to `max_bytes` of them, never more than 512 KiB, or `b""` when the peer has ended its side.

        Raises:
            ReadTimeout: nothing was received in time. Data that is available when the timer fires wins.
            ReadError: the connection broke, or this stream was closed.
        """
        ...

    async def write_some(
        self, data: bytes | bytearray | memoryview, timeout: float | None, *, duplex: bool = False
    ) -> int:
        """Wait for room *or input*, then accept up to 512 KiB of `data` and return how many bytes.

        Returns 0, having accepted nothing, when input waits to be read: the caller reads it and resumes, since a writer
        that never reads deadlocks against a peer that answers early. With `duplex` another task reads: this call waits
        for room only and never returns 0 for data that is not empty. A stream that cannot tell whether input waits may
        always act as with `duplex`, although an early answer is then noticed late.

        Raises:
            WriteTimeout: there was no room (and no input) in time.
            WriteError: the connection broke, or this stream was closed. Bytes that the peer had sent before are not
                lost: `take` and `read` still return them.
        """
        ...

    async def flush(self, timeout: float | None, *, duplex: bool = False) -> bool:
        """Send the bytes that `write_some` accepted and still holds. False when input waits first (never with
        `duplex`).

        Raises as `write_some` does. Bytes that a cancelled flush has not sent are sent by the next one. Where `owes` is
        always False it returns True.
        """
        ...

    async def end(self, timeout: float | None) -> None:
        """Half-close: tell the peer that no more bytes follow (FIN; close_notify under TLS). Reading goes on."""
        ...

    def take(self) -> bytes | None:
        """The bytes that can be read without waiting, at most 512 KiB.

        `b""` when the peer has ended its side (see `truncated`); None when there are none. Bytes that are not for the
        caller (TLS session tickets) are processed and not counted. It must check the connection itself, not only
        a buffer: the pool uses this to check whether an idle connection is still open.

        Raises:
            ReadError: the connection broke, or this stream was closed; each further call raises it again.
        """
        ...

    def give(self, data: bytes | bytearray | memoryview) -> int:
        """Send as much of `data` as there is room for without waiting, and return how many bytes, perhaps 0.

        It also returns 0 when the stream is broken or closed; the next `write_some` raises that error. It must not be
        called while another call writes.
        """
        ...

    def wake(self) -> None:
        """End the calls that wait in other tasks as if their timeout had passed, if `can_wake`. Any thread may call
        it."""
        ...

    def close(self) -> None:
        """Release the connection, now. A call that waits in another task or thread ends with an error at once.

        It may be called again, on a loop that has ended, and by finalisers.
        """
        ...

    def abandon(self) -> None:
        """Like `close`, in the child of a fork: the descriptor is closed, and the parent's connection is not
        affected."""
        ...

    def watch(self, callback: Callable[[], None] | None) -> bool:
        """Have `callback` called when input or the end arrives while no call reads. None removes the callback.

        Returns False, and never calls `callback`, in a runtime that watches no sockets between calls. There a dead idle
        connection is noticed at its next use.
        """
        ...

    def info(self) -> StreamInfo:
        """Both ends of the stream. They are stored, so this works after `close` too."""
        ...


@public
class Event(Protocol):
    """A flag that is raised once."""

    def set(self) -> None:
        """Raise the flag: every task that waits continues. Under a backend for threads, callable from any thread."""
        ...

    async def wait(self, timeout: float | None) -> bool:
        """True when it is set; False when `timeout` seconds passed first. A flag set as the timer fires wins."""
        ...


class Interrupt:
    """Ends a dial from outside: it ends waits that closing a stream cannot end, since there is no stream yet.

    It is set once, by any task or thread. Each wait registers a plain function that ends it.

    Attributes:
        is_set: True once it was set. Then no further wait of the dial begins.
    """

    __slots__ = ("_calls", "is_set")

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []
        self.is_set: bool = False

    def on_set(self, call: Callable[[], object]) -> None:
        """Have `call` called when the interrupt is set; at once, if it is set already. `call` may be called twice and
        must not raise.
        """
        # Added before `is_set` is tested, in the reverse order of `set`, so that no call is missed.
        self._calls.append(call)
        if self.is_set:
            call()

    def forget(self, call: Callable[[], object]) -> None:
        """Remove the call: its wait has ended."""
        self._calls.remove(call)

    def set(self) -> None:
        """End all waits. Plain and quick."""
        self.is_set = True
        for call in list(self._calls):
            call()

    def check(self) -> None:
        """Raise the error that ends the dial, if it is set."""
        if self.is_set:
            raise self.error()

    def error(self) -> PoolClosed:
        return PoolClosed("the pool was closed while connecting")


@public
class Backend(Protocol):
    """A runtime as the library sees it. For an event loop, one instance belongs to one running loop.

    A backend that is not for asyncio or trio may also have `spawn(run) -> task`, which starts the coroutine function
    `run` concurrently with the caller and returns at once an object with `cancel()`: `ASGITransport` runs its apps in
    this way.

    Any backend may also have `async def interruptible(interrupt, run)`. It passes a plain function to
    `interrupt.on_set`, and awaits `run()`, which connects by the other methods. As soon as that function is called,
    from any task or thread, it ends `run()` with `PoolClosed`. Without this method, a dial is not interrupted when its
    pool is closed.

    `ConnectionPool(backend=)` always uses that backend. With `SyncConnectionPool(backend=)` no coroutine of the
    backend, of its streams or of its events may ever suspend: each blocks the calling thread until it is done.
    """

    @property
    def name(self) -> str:
        """For messages: "asyncio", "trio", "threads", "simulation", or your own."""
        ...

    def is_current(self) -> bool:
        """True when the calling code runs in this very runtime: the same running loop.

        This must be cheap: it is called for every request of a pool without `backend=`, and never for a pool with
        `backend=`.
        """
        ...

    def is_gone(self) -> bool:
        """True when this runtime cannot run any more: its loop is closed."""
        ...

    def now(self) -> float:
        """Seconds of a monotonic clock, by which all timeouts are counted."""
        ...

    def event(self) -> Event:
        """A new flag. Made without waiting, from any task."""
        ...

    def call_soon(self, function: Callable[[], None]) -> bool:
        """Have a plain function called in the next turn of the loop. Returns False, without calling it, where
        `Stream.watch` returns False: there nothing runs between the user's calls.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` seconds; 0 lets the other tasks run."""
        ...

    async def run_blocking(self, function: Callable[[], T]) -> T:
        """Run a plain function that may block (a file, a TLS context) where it blocks no other task."""
        ...

    async def look_up(self, host: str, timeout: float | None) -> list[str]:
        """Return the IP addresses of an ASCII name from the operating system: as text, each once, in the system's
        order.

        The zone of a link-local address follows a "%".

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
        """Connect to the first of the IP addresses that answers, with TCP_NODELAY and SO_KEEPALIVE set.

        A quarter of a second after an address was tried, or as soon as one has failed, the next is tried in parallel
        (RFC 8305, "Happy Eyeballs"). The sockets of the other attempts are closed.

        Arguments:
            target: the peer's name for messages. Default: the first address with its port.
            local_address: an IP address of this machine, of the same family as the others.
            socket_options: set after TCP_NODELAY and SO_KEEPALIVE.

        Raises:
            ConnectTimeout: none answered within `timeout`.
            ConnectError: every address failed. In both cases the message names each address that was tried and its
                error, and `errno` is that of the last one.
        """
        ...

    async def connect_unix(
        self, path: str, timeout: float | None, *, socket_options: Sequence[SocketOption] = ()
    ) -> Stream:
        """Connect to a unix domain socket. Arguments and errors are those of `connect_tcp`."""
        ...


_METHODS = ("now", "event", "call_soon", "sleep", "run_blocking", "look_up", "connect_tcp", "connect_unix")


def checked_backend(backend: Backend) -> Backend:
    """The argument `backend=`, if it looks like a `Backend`; otherwise `TypeError`."""
    if not isinstance(backend, type):
        missing = [name for name in _METHODS if not hasattr(backend, name)]
        if not missing:
            return backend
        raise TypeError(
            f"backend is of type {type(backend).__name__}: expected a Backend, or None, "
            f"got one without {', '.join(missing)}"
        )
    raise TypeError(f"backend is the class {backend.__name__}: expected an instance of a Backend, or None")
