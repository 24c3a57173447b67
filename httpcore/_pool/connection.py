"""One connection of a pool: dials its route when it is first used, then speaks HTTP over it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from .._backends.base import Backend, Stream, StreamInfo
from .._connect.dial import dial
from .._connect.network import Network
from .._connect.route import Route
from .._connect.sessions import Sessions
from .._deadline import Deadline
from .._errors import PoolClosed, UnsupportedProtocol
from .._http1.connection import HTTP11Connection
from .._http1.duplex import HTTP11DuplexExchange
from .._http1.exchange import HTTP11Exchange
from .._http2.connection import HTTP2Connection
from .._http2.engine import H2Engine
from .._http2.exchange import HTTP2Exchange
from .._message.request import Request
from .._message.rules import ReadRules

if TYPE_CHECKING:
    from .._http2.events import HTTP2Engine
    from .._message.head import Head

__all__ = ["Exchange", "HTTPConnection"]

Exchange = HTTP11Exchange | HTTP2Exchange

NOWHERE = StreamInfo(peer="", local="")


class HTTPConnection:
    """What a slot of the ledger stands for.

    Attributes:
        uses: counts the exchanges that it was given.
        is_shared: it carries many exchanges at once.
        is_strict: unusual content is an error.
        is_quiet: tells, once it is open, whether it is fit for another exchange: the peer has neither left nor said
            anything against it. Plain and cheap.
    """

    is_quiet: Callable[[], bool]

    __slots__ = ("_closed", "_ping_interval", "_stream", "_wire", "is_quiet", "is_shared", "is_strict", "route", "uses")

    def __init__(self, route: Route, ping_interval: float | None = None) -> None:
        self.route = route
        self._ping_interval = ping_interval
        self.uses = 0
        self.is_shared = False
        self.is_strict = False
        self._stream: Stream | None = None
        self._wire: HTTP11Connection | HTTP2Connection | None = None
        self._closed = False

    async def open(
        self,
        backend: Backend,
        network: Network,
        deadline: Deadline,
        spent: float = 0.0,
        sessions: Sessions | None = None,
    ) -> None:
        """Dial; `spent` seconds of the connect timeout are gone already, and `sessions` of TLS may be resumed.

        Raises as `dial` does, UnsupportedProtocol for an ALPN answer that was not offered, and PoolClosed when `close`
        came first.
        """
        try:
            stream = await dial(backend, network, self.route, deadline, self._reached, spent, sessions)
        except Exception as error:
            if self._closed and not isinstance(error, PoolClosed):
                raise PoolClosed("the pool was closed while connecting") from error
            raise
        self.is_strict = network.rules.strict
        if self._chosen(stream) == "h2":
            self._wire = wire = HTTP2Connection(stream, _engine(network.rules), backend, self._ping_interval)
            self.is_shared = True
            self.is_quiet = wire.is_quiet
            await wire.greet(deadline)
        else:
            self._wire = HTTP11Connection(stream, backend, network.rules)
            self.is_quiet = self._wire.is_quiet

    def _chosen(self, stream: Stream) -> str:
        """What TLS agreed on. A server that has no ALPN speaks HTTP/1.1, or HTTP/2 where that alone is offered."""
        offers = self.route.offers
        tls = stream.info().tls if self.route.tls is not None else None  # else it is the proxy's
        alpn = None if tls is None else tls.alpn
        if alpn is None:
            return "http/1.1" if "http/1.1" in offers else "h2"
        if alpn not in offers:
            raise UnsupportedProtocol(f"the server chose {alpn!r} by ALPN: {' or '.join(offers)} is spoken here")
        return alpn

    def _reached(self, stream: Stream) -> None:
        self._stream = stream
        if self._closed:
            stream.close()
            raise PoolClosed("the pool was closed while connecting")

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when something arrives while nobody reads, where the world can tell; of a shared
        connection, when `capacity` or `is_open` may have changed.
        """
        wire = self._wire
        if isinstance(wire, HTTP2Connection):
            wire.on_change = callback
            wire.stream.watch(wire.listen)
        elif wire is not None:
            wire.stream.watch(callback)

    @property
    def protocol(self) -> Literal["HTTP/1.1", "HTTP/2"]:
        return "HTTP/2" if self.is_shared else "HTTP/1.1"

    @property
    def capacity(self) -> int:
        """How many exchanges it carries at once."""
        return self._wire.capacity if isinstance(self._wire, HTTP2Connection) else 1

    @property
    def is_open(self) -> bool:
        """Of a shared connection: it takes further exchanges."""
        return isinstance(self._wire, HTTP2Connection) and self._wire.is_open

    @property
    def engine(self) -> str:
        return "" if self._wire is None else self._wire.engine

    @property
    def info(self) -> StreamInfo:
        return NOWHERE if self._stream is None else self._stream.info()

    @property
    def is_doubtful(self) -> bool:
        """Of a shared connection: the peer is to show that it is there first."""
        return isinstance(self._wire, HTTP2Connection) and self._wire.is_doubtful

    async def is_alive(self, deadline: Deadline) -> bool:
        """Of a shared connection that is doubtful: the peer says that it is there. Else True."""
        return not isinstance(self._wire, HTTP2Connection) or await self._wire.is_alive(deadline)

    def exchange(
        self, request: Request, deadline: Deadline, hear: Callable[[Head], None], *, duplex: bool = False
    ) -> Exchange:
        """Begin an exchange; `hear` is called with each 1xx head as it comes. With `duplex` the request goes on when
        the response has begun; over HTTP/1.1 not if it can have no body, or has an Upgrade.

        Raises:
            UnsupportedProtocol: an extended CONNECT over HTTP/1.1.
        """
        wire = self._wire
        assert wire is not None
        self.uses += 1
        if isinstance(wire, HTTP2Connection):
            return HTTP2Exchange(wire, request, deadline, hear, duplex)
        if request.protocol is not None:
            raise UnsupportedProtocol("extended CONNECT needs HTTP/2, and the server speaks HTTP/1.1")
        kind = HTTP11DuplexExchange if duplex and request.may_go_on else HTTP11Exchange
        return kind(wire, request, deadline, hear)

    def close(self) -> None:
        self._closed = True
        if self._wire is not None:
            self._wire.close()
        elif self._stream is not None:
            self._stream.close()

    def abandon(self) -> None:
        """As `close`, in the child of a fork: the parent's connection does not notice."""
        self._closed = True
        if isinstance(self._wire, HTTP2Connection):
            self._wire.abandon()
        elif self._stream is not None:
            self._stream.abandon()


def _engine(rules: ReadRules) -> HTTP2Engine:
    return H2Engine(rules)
