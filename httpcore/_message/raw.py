"""The two-way stream behind a response, whatever the protocol: after 101, CONNECT and with `duplex=True`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Final, Protocol, Self

from .._backends.base import PIECE, Stream
from .._errors import ResponseBusy
from .._public import public
from .request import TrailerTypes

__all__ = ["CLOSED", "HeldStream", "RawStream", "busy"]


@public
class RawStream(Protocol):
    """A two-way stream of bytes: over HTTP/1.1 the whole connection, after 101 (Switching Protocols) or a 2xx to
    CONNECT; over HTTP/2 one stream of it, after a 2xx to CONNECT. Of a request made with `duplex=True` it is the rest
    of both messages: sent bytes continue the request's body, and received bytes are the response's.

    One task or thread may send while another receives. A second one in the same direction gets `ResponseBusy`, and the
    first is not disturbed. Timeouts are those of the request. It holds its place in the pool until it is closed, which
    leaving its block does: `async with response.connection as raw`. Errors have the failed step, and the request.
    """

    __slots__ = ()

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        """Wait for bytes, at most `max_bytes`; `b""` when the peer has ended its side.

        Raises:
            ReadTimeout, TotalTimeout, ReadError, RemoteProtocolError: as for a response's body.
            ReadError: also when `close` is called meanwhile, or was before.
            ResponseBusy: another task or thread is receiving.
        """
        ...

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`.

        Raises:
            WriteTimeout, TotalTimeout, WriteError: as for a request's body.
            StreamReset, GoAway: the peer wants no more of it (HTTP/2).
            WriteError, ReadError: also when `close` is called meanwhile, or was before.
            ResponseBusy: another task or thread is sending or ending.
        """
        ...

    async def end(self, trailers: TrailerTypes = None) -> None:
        """Tell the peer that no more bytes come, with `trailers` if there are any. Receiving goes on. Trailers are for
        HTTP/2, and for the chunked body of a request with `duplex=True`.

        Raises:
            LocalProtocolError: the trailers cannot be sent as given, or here.
            ResponseBusy: another task or thread is sending or ending.
        """
        ...

    def close(self) -> Awaitable[None]:
        """Close both ways, now. Calls that wait in other tasks or threads end with an error. With `duplex=True` the
        connection stays if both messages have ended.

        It is complete when the call returns, and cannot be interrupted: its result may be awaited or not.
        """
        ...

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`."""
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class HeldStream(RawStream):
    """One whose close is told to what has handed it on.

    Attributes:
        on_close: called by `close`, each time, when it is closed. Plain and quick.
    """

    on_close: Callable[[], object] | None = None

    def closed(self) -> None:
        """It is closed now."""
        if self.on_close is not None:
            self.on_close()


class _Closed:
    """The result of `close`: awaiting it does nothing."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


CLOSED: Final[Awaitable[None]] = _Closed()


def busy(doing: str, stream: Stream) -> ResponseBusy:
    """The error of a second task or thread in the same direction."""
    return ResponseBusy(f"another task or thread is {doing} this raw stream", peer=stream.info().peer)
