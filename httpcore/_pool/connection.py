"""One connection of a pool, which dials its route and then carries HTTP."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .._backends.base import Backend, Interrupt, Stream, StreamInfo
from .._connect.dial import Connector
from .._connect.route import Route
from .._connect.steps import Steps
from .._deadline import Deadline
from .._errors import PoolClosed, UnsupportedProtocol, show_value
from .._http1.connection import HTTP11Connection
from .._http2.connection import HTTP2Connection
from .._http2.exchange import HTTP2Exchange
from .._message.request import Request
from .._totals import Totals
from .._trace import RequestPhase
from .engines import NATIVE, Engines

# These names are used in annotations only: creating the Protocol classes at run time takes time.
if TYPE_CHECKING:
    from .tickets import Speaks
    from .wire import Begin, Exchange, OnInterim, Wire

if TYPE_CHECKING:
    from .tracer import Tracer

__all__ = ["HTTPConnection"]

NOWHERE = StreamInfo(peer="", local="")


class HTTPConnection:
    """One connection, from its dial to its close, for a slot of the ledger.

    Attributes:
        engines: the readers and writers of each protocol that the server may choose.
        uses: the number of exchanges; at least 1 for a connection that was made before a request needed it. When the
            connection is closed, all exchanges except the first are added to the pool's totals, and so are its HTTP/2
            streams.
        is_shared: whether it carries many exchanges at once.
        is_strict: whether unusual content is an error.
        is_quiet: a function that returns, once the connection is open, whether it is fit for another exchange: the peer
            has neither closed it nor sent anything that forbids this. The function is plain and cheap.
        on_close: called once when the connection is closed, if a traced request has used it.
        tracer: the tracer of the request that uses the connection, if there is a trace and no other request can use the
            connection.
    """

    is_quiet: Callable[[], bool]

    __slots__ = (
        *("_begin", "_closed", "_interrupt", "_ping_interval", "_steps", "_stream", "_totals", "_wire"),
        *("engines", "is_quiet", "is_shared", "is_strict", "on_close", "route", "tracer", "uses"),
    )

    def __init__(
        self, route: Route, ping_interval: float | None = None, engines: Engines = NATIVE, totals: Totals | None = None
    ) -> None:
        self.route = route
        self._totals = Totals() if totals is None else totals
        self.engines = engines
        self._ping_interval = ping_interval
        self.uses = 0
        self.is_shared = False
        self.is_strict = False
        self._stream: Stream | None = None
        self._wire: Wire | None = None
        self._begin: Begin | None = None
        self._closed = False
        self.on_close: Callable[[], None] | None = None
        self.tracer: Tracer | None = None
        self._interrupt: Interrupt | None = None  # set while the connection is being opened, like `_steps`
        self._steps: Steps | None = None

    async def open(
        self,
        connector: Connector,
        backend: Backend,
        deadline: Deadline,
        spent: float = 0.0,
        steps: Steps | None = None,
    ) -> None:
        """Dial; `spent` seconds of the connect timeout have already passed. `steps` is called at each step.

        Raises as `Dial.run` does, UnsupportedProtocol for an ALPN answer that was not offered, and PoolClosed when
        `close` was called in the meantime.
        """
        # The interrupt is set before the dial: a `close` of the pool must be able to end the dial from its first moment
        # on.
        self._interrupt = interrupt = Interrupt()
        self._steps = steps = Steps(backend.now, deadline.tracer) if steps is None else steps
        interruptible = getattr(backend, "interruptible", None)
        dial = connector.dial(backend, self.route, deadline, self._reached, spent, steps)
        try:
            stream = await (dial.run() if interruptible is None else interruptible(interrupt, dial.run))
            await self._begin_protocol(stream, connector, backend, deadline)
        except Exception as error:
            # Closing the stream may raise any error in the dial: the caller closed the pool, and gets the error for
            # that.
            if self._closed and not isinstance(error, PoolClosed):
                raise interrupt.error() from error
            raise
        finally:
            self._interrupt = self._steps = None

    async def _begin_protocol(self, stream: Stream, connector: Connector, backend: Backend, deadline: Deadline) -> None:
        """Begin the protocol that the two sides agreed on."""
        rules = connector.network.rules
        self.is_strict = rules.strict
        if self._choose_protocol(stream) == "h2":
            http2 = HTTP2Connection(stream, self.engines.http2(rules), backend, self._ping_interval, self._totals)
            # The wire is stored before `wait_for_settings` waits: a `close` during that wait must find the wire, not
            # only the stream.
            self._set_wire(http2, partial(HTTP2Exchange, http2))
            await http2.wait_for_settings(deadline)
        else:
            name, begin = self.engines.http1
            http11 = HTTP11Connection(stream, backend, rules, name, self._totals)
            self._set_wire(http11, partial(begin, http11))

    def _set_wire(self, wire: Wire, begin: Begin) -> None:
        self._wire = wire
        self._begin = begin
        self.is_shared = wire.is_shared
        self.is_quiet = wire.is_quiet

    def _choose_protocol(self, stream: Stream) -> str:
        """The protocol that TLS agreed on. Without ALPN it is HTTP/1.1, or HTTP/2 if that alone is offered."""
        offers = self.route.offers
        tls = stream.info().tls if self.route.tls is not None else None  # otherwise any TLS is with the proxy
        alpn = None if tls is None else tls.alpn
        # RFC 9113, sections 3.2 and 3.3: HTTP/2 over TLS is agreed on by ALPN; without ALPN it needs prior knowledge.
        if alpn is None:
            return "http/1.1" if "http/1.1" in offers else "h2"
        if alpn not in offers:
            raise UnsupportedProtocol(f"the server chose {show_value(alpn)} by ALPN: expected {' or '.join(offers)}")
        return alpn

    def _reached(self, stream: Stream) -> None:
        self._stream = stream
        # The stream is stored before `_closed` is tested; `close` sets `_closed` before it reads the stream. So one of
        # the two closes the stream.
        if self._closed:
            stream.close()
            raise Interrupt().error()

    def watch(self, callback: Callable[[], None]) -> None:
        """See `Wire.watch`."""
        if self._wire is not None:
            self._wire.watch(callback)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def step(self) -> RequestPhase:
        """The last step of opening that has begun."""
        steps = self._steps
        return RequestPhase.CONNECT if steps is None else steps.phase

    @property
    def protocol(self) -> Speaks:
        return "HTTP/1.1" if self._wire is None else self._wire.protocol

    @property
    def capacity(self) -> int:
        """How many exchanges it carries at once."""
        return 1 if self._wire is None else self._wire.capacity

    @property
    def is_open(self) -> bool:
        """For a shared connection: whether it accepts further exchanges."""
        return self._wire is not None and self._wire.is_open

    @property
    def engine(self) -> str:
        return "" if self._wire is None else self._wire.engine

    @property
    def info(self) -> StreamInfo:
        return NOWHERE if self._stream is None else self._stream.info()

    @property
    def needs_check(self) -> bool:
        """For a shared connection: whether the peer must answer a PING before the next exchange."""
        return self._wire is not None and self._wire.needs_check

    async def is_alive(self, deadline: Deadline) -> bool:
        """For a shared connection that `needs_check`: wait for the answer to a PING."""
        return self._wire is not None and await self._wire.is_alive(deadline)

    def exchange(self, request: Request, deadline: Deadline, on_interim: OnInterim, duplex: bool = False) -> Exchange:
        """Begin an exchange.

        Raises:
            UnsupportedProtocol: an extended CONNECT over HTTP/1.1.
        """
        begin = self._begin
        assert begin is not None
        self.uses += 1
        return begin(request, deadline, on_interim, duplex)

    def counts(self) -> tuple[int, int]:
        """How many exchanges reused the connection, and how many HTTP/2 streams it had. Both are zero once it is
        closed, since the totals have them then."""
        if self._closed:
            return 0, 0
        return max(0, self.uses - 1), 0 if self._wire is None else self._wire.streams

    def close(self) -> None:
        reuses, streams = self.counts()
        self._closed = True  # no call lies between this and the next two lines, see `Totals`
        self._totals.reuses += reuses
        self._totals.streams += streams
        # The attribute is read once: the opening task sets it to None when it ends, perhaps in another thread.
        interrupt = self._interrupt
        if interrupt is not None:
            interrupt.set()
        # `on_close` is removed before its call: two threads may close the connection, whose close is recorded once.
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
        if self._wire is not None:
            self._wire.close()
        elif self._stream is not None:
            self._stream.close()

    def abandon(self) -> None:
        """Like `close`, in the child of a fork: it does not affect the parent's connection."""
        self._closed = True
        if self._wire is not None:
            self._wire.abandon()
        elif self._stream is not None:
            self._stream.abandon()
