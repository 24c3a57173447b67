"""Connects along a route; returns a stream that leads to its origin.

The steps are: a connection to the proxy or the origin; TLS with the proxy; the tunnel; TLS with the origin; each if the
route has it. Since there is only this one path, every option applies to every route. All waits for the network together
take at most the connect timeout. The reading of certificate files and the waits of the caller's resolver count too, but
nothing interrupts them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .._address import host_port
from .._backends.base import Backend, Stream
from .._config import TimeoutConfig
from .._deadline import Deadline
from .._errors import (
    ConnectError,
    ConnectTimeout,
    LimitExceeded,
    NetworkError,
    PolicyError,
    ProxyError,
    RemoteProtocolError,
    Timeout,
)
from .handshake import Hop, secure
from .network import Network, addresses_of, reach
from .proxy import Proxy
from .route import Route
from .sessions import Sessions
from .socks import Conversation
from .steps import Steps
from .tunnel import open_tunnel

__all__ = ["Connector", "Dial"]

T = TypeVar("T")


class Connector:
    """How one pool reaches servers: the common settings of all its dials.

    Attributes:
        network: resolver, policy, local address, options of sockets.
        sessions: the TLS sessions, to resume from and to keep.
    """

    __slots__ = ("network", "sessions")

    def __init__(self, network: Network) -> None:
        self.network = network
        self.sessions = Sessions()

    def dial(
        self,
        backend: Backend,
        route: Route,
        deadline: Deadline,
        reached: Callable[[Stream], None],
        spent: float = 0.0,
        steps: Steps | None = None,
    ) -> Dial:
        """One attempt to connect to the route's origin, or to the proxy that forwards to it; `run` carries it out.

        Arguments:
            reached: called with each stream when it is made, so that other tasks or threads can close the stream.
            spent: seconds of the connect timeout that have already passed.
            steps: called at each step. Default: a temporary one that calls the trace, if there is one.
        """
        return Dial(self, backend, route, deadline, reached, spent, steps)


class Dial:
    """One attempt to connect. See `Connector.dial`."""

    __slots__ = ("_backend", "_connector", "_deadline", "_ends", "_limit", "_reached", "_route", "_steps", "_stream")

    def __init__(
        self,
        connector: Connector,
        backend: Backend,
        route: Route,
        deadline: Deadline,
        reached: Callable[[Stream], None],
        spent: float,
        steps: Steps | None,
    ) -> None:
        self._connector = connector
        self._backend = backend
        self._route = route
        self._deadline = deadline
        self._reached = reached
        self._steps = Steps(backend.now, deadline.tracer) if steps is None else steps
        self._limit = limit = deadline.config.connect_timeout
        self._ends = None if limit is None else backend.now() + limit - spent
        self._stream: Stream | None = None

    async def run(self) -> Stream:
        """Connect.

        Raises:
            ConnectError, TLSError: there is no connection.
            ProxyError: the proxy refused to make one, or broke the protocol.
            ConnectTimeout, TotalTimeout: it took too long.
            PolicyError: the route leads to an address that may not be reached.
            LocalProtocolError: the TLS settings name files that cannot be used, or a name does not fit into SOCKS.
        """
        try:
            return await self._walk()
        except BaseException as error:
            # Closing the outermost layer closes the layers below it; each layer was stored before the next one was
            # awaited.
            if self._stream is not None:
                self._stream.close()
            if isinstance(error, ConnectTimeout):
                error.limit = self._limit  # the step's own limit was only the rest of this one
            raise

    async def _walk(self) -> Stream:
        route = self._route
        proxy = route.proxy
        of_origin, of_proxy = route.demands or ((), ())
        steps = self._steps
        # The stream is stored by the statement that awaits it: after Ctrl-C before the next line, it can still be
        # closed.
        stream = self._stream = await self._socket()
        # From now on `close(abort=True)` can end a wait on this stream.
        self._reached(stream)
        steps.connected(stream.info().peer)
        if proxy is not None and proxy.kind.over_tls:
            # Only HTTP/1.1 is spoken with a proxy: CONNECT and absolute-form are HTTP/1.1 messages here.
            hop = Hop(("proxy", proxy), proxy.ssl, proxy.host, ("http/1.1",), of_proxy)
            stream = self._stream = await _to_proxy(proxy, self._secured(stream, hop, is_proxy=True))
            self._reached(stream)
        if proxy is not None and not route.forwards:
            steps.tunneling(str(proxy))
            await self._tunnel(stream, proxy)
            steps.tunneled(str(proxy))
        if route.tls is not None:
            hop = Hop(("origin", route), route.tls, route.host, route.offers, of_origin)
            stream = self._stream = await _through_proxy(proxy, self._secured(stream, hop, is_proxy=False))
            self._reached(stream)
        return stream

    def _remaining_time(self) -> float | None:
        """How long the next wait may take. Raises ConnectTimeout when no time is left."""
        if self._ends is None:
            return self._deadline.within(None)
        # All steps share one timeout: each wait gets the remaining time.
        rest = self._ends - self._backend.now()
        if rest <= 0:
            raise ConnectTimeout("connecting took too long", phase="connect", limit=self._limit)
        return self._deadline.within(rest)

    async def _socket(self) -> Stream:
        """Return a stream that is connected to the origin or to the proxy."""
        backend, network, route = self._backend, self._connector.network, self._route
        proxy, steps = route.proxy, self._steps
        if route.uds is not None:
            steps.connecting((route.uds,), None)
            return await backend.connect_unix(route.uds, self._remaining_time(), socket_options=network.socket_options)
        if proxy is not None:
            return await _to_proxy(proxy, reach(backend, network, proxy.host, proxy.port, self._remaining_time, steps))
        return await reach(backend, network, route.host, route.port, self._remaining_time, steps)

    async def _secured(self, stream: Stream, hop: Hop, *, is_proxy: bool) -> Stream:
        self._steps.securing(hop.host, is_proxy=is_proxy)
        secured = await secure(self._backend, stream, hop, self._remaining_time, self._connector.sessions)
        tls = secured.info().tls
        version, alpn = (None, None) if tls is None else (tls.version, tls.alpn)
        self._steps.secured(hop.host, version, alpn, is_proxy=is_proxy)
        return secured

    # Proxies.

    async def _tunnel(self, stream: Stream, proxy: Proxy) -> None:
        """Have the proxy connect `stream` to the origin."""
        host, port, converse = await self._destination(proxy), self._route.port, proxy.kind.converse
        try:
            if converse is None:
                # There is no limit for each wait, only one for all waits together: a proxy that sends its answer byte
                # by byte must not outlast the connect timeout.
                deadline = Deadline(TimeoutConfig(None, total_timeout=self._remaining_time()), self._backend.now)
                rules = self._connector.network.rules
                await open_tunnel(stream, self._backend, host_port(host, port), proxy.fields, deadline, rules)
            else:
                await self._converse(converse(host, port, proxy.auth), stream)
        except Timeout as error:
            raise ConnectTimeout(f"the proxy {proxy} did not respond in time", phase="open the tunnel") from error
        except (NetworkError, RemoteProtocolError, LimitExceeded) as error:
            message = f"the proxy {proxy} failed to open a tunnel: {error.message}"
            raise ProxyError(message, phase="open the tunnel", peer=error.peer) from error
        except ProxyError as error:
            error.message = f"{error.message}; the proxy is {proxy}"
            error.add(phase="open the tunnel")
            raise

    async def _destination(self, proxy: Proxy) -> str:
        """The host that is sent to the proxy: the name, if the proxy resolves it; an address, if it does not, or if a
        policy must check the address. If there are several addresses, an IPv4 address is preferred: there is only one
        attempt, and not every proxy supports IPv6.
        """
        kind, network, host = proxy.kind, self._connector.network, self._route.host
        if network.policy is None and kind.resolves and not (kind.ipv4_only and ":" in host):
            return host
        port = self._route.port
        addresses = await addresses_of(self._backend, network, host, port, self._remaining_time, self._steps)
        for address in addresses:
            if ":" not in address:
                return address
        if kind.ipv4_only:
            raise ConnectError(
                f"{host} has no IPv4 address, and {proxy} connects to IPv4 addresses only", phase="resolve"
            )
        return addresses[0]

    async def _converse(self, conversation: Conversation, stream: Stream) -> None:
        """Send and receive the bytes of the conversation."""
        # The conversation decides, and this method only moves bytes, so that SOCKS can be tested without I/O.
        step = next(conversation)
        try:
            while True:
                if isinstance(step, bytes):
                    await self._send(stream, step)
                    step = next(conversation)
                else:
                    step = conversation.send(await self._read_exactly(stream, step))
        except StopIteration:
            return

    async def _send(self, stream: Stream, data: bytes) -> None:
        view = memoryview(data)
        while view:
            # `duplex=True`: SOCKS answers one message at a time, so input is no reason to stop writing.
            view = view[await stream.write_some(view, self._remaining_time(), duplex=True) :]
        while stream.owes:
            await stream.flush(self._remaining_time(), duplex=True)

    async def _read_exactly(self, stream: Stream, size: int) -> bytes:
        data = b""
        while len(data) < size:
            # Never read more than needed: bytes after the answer belong to the origin.
            piece = await stream.read(size - len(data), self._remaining_time())
            if not piece:
                raise ProxyError("the proxy closed the connection in the middle of its response")
            data += piece
        return data


async def _to_proxy(proxy: Proxy, step: Awaitable[T]) -> T:
    """Await a step to the proxy: an error names the proxy."""
    try:
        return await step
    except (NetworkError, Timeout, PolicyError) as error:
        error.message = f"the proxy {proxy}: {error.message}"
        raise


async def _through_proxy(proxy: Proxy | None, step: Awaitable[T]) -> T:
    """Await a step through the proxy, if there is one: an error names the proxy."""
    try:
        return await step
    except (ConnectError, Timeout) as error:
        if proxy is not None:
            error.message = f"{error.message}, through the proxy {proxy}"
        raise
