"""The two-way stream of a response, over either protocol: after 101, after CONNECT and with `duplex=True`."""

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
    """A two-way stream of bytes.

    Over HTTP/1.1 it is the whole connection, after 101 (Switching Protocols) or a 2xx response to CONNECT. Over HTTP/2
    it is one stream of the connection, after a 2xx response to CONNECT. For a request made with `duplex=True` it
    carries the rest of both messages: sent bytes continue the request's body, and received bytes are the response's
    body.

    One task or thread may send while another receives. A second one in the same direction gets `ResponseBusy`, and the
    first continues. The timeouts are those of the request. The stream occupies its connection in the pool until it is
    closed; leaving the block of `async with response.connection as raw` closes it. Errors have the failed step
    (`phase`) and the request.
    """

    __slots__ = ()

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        """Wait for bytes and return at most `max_bytes` of them (default 512 KiB); `b""` when the peer has ended its
        direction.

        Raises:
            ReadTimeout, TotalTimeout, ReadError, RemoteProtocolError: as for a response's body.
            ReadError: also if the stream is closed already, or is closed while this call waits.
            ResponseBusy: another task or thread is receiving.
        """
        ...

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`.

        Raises:
            WriteTimeout, TotalTimeout, WriteError: as for a request's body.
            StreamReset, GoAway: the peer has ended the stream or the connection (HTTP/2).
            WriteError, ReadError: also if the stream is closed already, or is closed while this call waits.
            ResponseBusy: another task or thread is sending or ending.
        """
        ...

    async def end(self, trailers: TrailerTypes = None) -> None:
        """End the sending direction, with `trailers` if there are any. Bytes can still be received. Trailers can be
        sent over HTTP/2, and after the chunked body of a request with `duplex=True`.

        Raises:
            LocalProtocolError: the trailers are not valid, or this stream cannot carry trailers.
            ResponseBusy: another task or thread is sending or ending.
        """
        ...

    def close(self) -> Awaitable[None]:
        """Close both directions, now. Calls that wait in other tasks or threads end with an error. With `duplex=True`
        the connection stays open if both messages have ended.

        Closing is complete when the call returns, and cannot be interrupted: awaiting the result is optional.
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
    """A raw stream whose close is reported to its owner.

    Attributes:
        on_close: called by each `close`, once the stream is closed. A plain function, which must be quick.
    """

    on_close: Callable[[], object] | None = None

    def closed(self) -> None:
        """Report to the owner that the stream is closed."""
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
