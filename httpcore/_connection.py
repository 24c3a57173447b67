"""One connection of a pool: dials its route when it is first used, then speaks HTTP over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._backends.base import Backend, Stream, StreamInfo
from ._deadline import Deadline
from ._dial import dial
from ._errors import PoolClosed, UnsupportedProtocol
from ._request import Request
from ._route import Route
from ._wire.http11 import HTTP11Connection, HTTP11Exchange

if TYPE_CHECKING:
    from ._wire.engines import Head, ResponseParser

__all__ = ["HTTPConnection"]

NOWHERE = StreamInfo(peer="", local="")


class HTTPConnection:
    """What a slot of the ledger stands for. `uses` counts the exchanges that it was given."""

    __slots__ = ("_closed", "_stream", "_wire", "route", "uses")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.uses = 0
        self._stream: Stream | None = None
        self._wire: HTTP11Connection | None = None
        self._closed = False

    async def open(self, backend: Backend, deadline: Deadline) -> None:
        """Dial. Raises as `dial` does, UnsupportedProtocol for an ALPN answer that we do not speak, and PoolClosed
        when `close` came first.
        """
        try:
            stream = await dial(backend, self.route, deadline, self._reached)
        except Exception as error:
            if self._closed and not isinstance(error, PoolClosed):
                raise PoolClosed("the pool was closed while connecting") from error
            raise
        self._wire = HTTP11Connection(stream, _parser(), backend)
        tls = stream.info().tls
        if tls is not None and tls.alpn not in (None, "http/1.1"):
            raise UnsupportedProtocol(f"the server chose {tls.alpn!r} by ALPN: http/1.1 is spoken here")

    def _reached(self, stream: Stream) -> None:
        self._stream = stream
        if self._closed:
            stream.close()
            raise PoolClosed("the pool was closed while connecting")

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when something arrives while nobody reads, where the world can tell."""
        if self._stream is not None:
            self._stream.watch(callback)

    @property
    def engine(self) -> str:
        return "" if self._wire is None else self._wire.engine

    @property
    def info(self) -> StreamInfo:
        return NOWHERE if self._stream is None else self._stream.info()

    def is_quiet(self) -> bool:
        """Fit for another exchange: the peer has neither left nor said anything. Plain and cheap."""
        return self._wire is not None and self._wire.is_quiet()

    def exchange(self, request: Request, deadline: Deadline, hear: Callable[[Head], None]) -> HTTP11Exchange:
        """Begin an exchange; `hear` is called with each 1xx head as it comes."""
        assert self._wire is not None
        self.uses += 1
        return self._wire.exchange(request, deadline, hear)

    def close(self) -> None:
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    def abandon(self) -> None:
        """As `close`, in the child of a fork: the parent's connection does not notice."""
        self._closed = True
        if self._stream is not None:
            self._stream.abandon()


def _parser() -> ResponseParser:
    from ._wire.h11_engine import H11Parser

    return H11Parser()
