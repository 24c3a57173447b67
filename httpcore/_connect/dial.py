"""Walks a route; gives a stream that leads to its origin.

To the proxy or the origin; TLS with the proxy; the tunnel; TLS with the origin: each if there is such a thing. Since
this is the one path, every option holds on every way. All waits for the network together take at most the connect
timeout. The reading of certificate files and what a resolver of the caller's waits for count, but nothing cuts them
short.
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
from .handshake import secure
from .network import Network, addresses_of, reach
from .proxy import Proxy
from .route import Route
from .sessions import Sessions
from .socks import Conversation, socks4, socks5
from .tunnel import open_tunnel

__all__ = ["dial"]

T = TypeVar("T")
Left = Callable[[], float | None]


async def dial(
    backend: Backend,
    network: Network,
    route: Route,
    deadline: Deadline,
    reached: Callable[[Stream], None],
    spent: float = 0.0,
    sessions: Sessions | None = None,
) -> Stream:
    """Connect to the route's origin, or to the proxy that forwards to it.

    Arguments:
        reached: hears of each stream as it comes to be, so that others can close it.
        spent: seconds of the connect timeout that are gone already.
        sessions: of TLS, to resume from and to keep. Default None: none.

    Raises:
        ConnectError, TLSError: no connection.
        ProxyError: the proxy refused to make one, or did not keep to the protocol.
        ConnectTimeout, TotalTimeout: not in time.
        PolicyError: it would lead to an address that may not be reached.
        LocalProtocolError: the TLS settings name files that cannot be used, or a name does not fit into SOCKS.
    """
    limit = deadline.config.connect_timeout
    ends = None if limit is None else backend.now() + limit - spent

    def left() -> float | None:
        if ends is None:
            return deadline.within(None)
        rest = ends - backend.now()
        if rest <= 0:
            raise ConnectTimeout("connecting took too long", phase="connect", limit=limit)
        return deadline.within(rest)

    proxy, stream = route.proxy, None
    of_origin, of_proxy = route.demands or ((), ())
    try:
        if route.uds is not None:
            stream = await backend.connect_unix(route.uds, left(), socket_options=network.socket_options)
        elif proxy is not None:
            stream = await _naming(proxy, reach(backend, network, proxy.host, proxy.port, left))
        else:
            stream = await reach(backend, network, route.host, route.port, left)
        reached(stream)
        if proxy is not None and proxy.scheme == "https":
            hop = ("proxy", proxy)
            step = secure(backend, stream, proxy.ssl, proxy.host, ("http/1.1",), left, sessions, hop, of_proxy)
            stream = await _naming(proxy, step)
            reached(stream)
        if proxy is not None and not route.forwards:
            await _tunnelled(backend, network, stream, route, proxy, left)
        if route.tls is not None:
            origin = ("origin", route)
            step = secure(backend, stream, route.tls, route.host, route.offers, left, sessions, origin, of_origin)
            stream = await _through(proxy, step)
            reached(stream)
    except BaseException as error:
        if stream is not None:
            stream.close()
        if isinstance(error, ConnectTimeout):
            error.limit = limit  # each step knew only what the others had left of it
        raise
    return stream


# Proxies.


async def _tunnelled(
    backend: Backend,
    network: Network,
    stream: Stream,
    route: Route,
    proxy: Proxy,
    left: Left,
) -> None:
    """Have the proxy connect `stream` to the origin."""
    host = await _destination(backend, network, route, proxy, left)
    try:
        if proxy.is_http:
            authority = host_port(host, route.port)
            deadline = Deadline(TimeoutConfig(None, total_timeout=left()), backend.now)
            await open_tunnel(stream, backend, authority, proxy.fields, deadline, network.rules)
        else:
            await _hold(_socks(proxy, host, route.port), stream, left)
    except Timeout as error:
        raise ConnectTimeout(f"the proxy {proxy} did not answer in time", phase="ask the proxy") from error
    except (NetworkError, RemoteProtocolError, LimitExceeded) as error:
        message = f"the proxy {proxy} made no tunnel: {error.message}"
        raise ProxyError(message, phase="ask the proxy", peer=error.peer, safe_to_retry=True) from error
    except ProxyError as error:
        error.message = f"{error.message}; the proxy is {proxy}"
        error.add(phase="ask the proxy", safe_to_retry=True)
        raise


async def _destination(backend: Backend, network: Network, route: Route, proxy: Proxy, left: Left) -> str:
    """What the proxy is told: the name, which it resolves; or an address, where it does not, or where a policy must see
    what is connected to. Of several an IPv4 one, since it has one try, and not every proxy has IPv6.
    """
    old = proxy.scheme.startswith("socks4")
    if network.policy is None and proxy.scheme not in ("socks4", "socks5") and not (old and ":" in route.host):
        return route.host
    addresses = await addresses_of(backend, network, route.host, route.port, left)
    for address in addresses:
        if ":" not in address:
            return address
    if old:
        raise ConnectError(f"{route.host} has no IPv4 address, and {proxy} can connect to no other", phase="resolve")
    return addresses[0]


def _socks(proxy: Proxy, host: str, port: int) -> Conversation:
    if proxy.scheme.startswith("socks5"):
        return socks5(host, port, proxy.auth)
    return socks4(host, port, proxy.auth[0] if proxy.auth is not None else b"")


async def _hold(conversation: Conversation, stream: Stream, left: Left) -> None:
    """Say and hear what the conversation wants."""
    step = next(conversation)
    try:
        while True:
            if isinstance(step, bytes):
                await _send(stream, step, left)
                step = next(conversation)
            else:
                step = conversation.send(await _exactly(stream, step, left))
    except StopIteration:
        return


async def _send(stream: Stream, data: bytes, left: Left) -> None:
    view = memoryview(data)
    while view:
        view = view[await stream.write_some(view, left(), duplex=True) :]
    while stream.owes:
        await stream.flush(left(), duplex=True)


async def _exactly(stream: Stream, size: int, left: Left) -> bytes:
    data = b""
    while len(data) < size:
        piece = await stream.read(size - len(data), left())
        if not piece:
            raise ProxyError("the proxy closed the connection in the middle of its answer")
        data += piece
    return data


async def _naming(proxy: Proxy, step: Awaitable[T]) -> T:
    """The step leads to the proxy: an error says so."""
    try:
        return await step
    except (NetworkError, Timeout, PolicyError) as error:
        error.message = f"the proxy {proxy}: {error.message}"
        raise


async def _through(proxy: Proxy | None, step: Awaitable[T]) -> T:
    """The step goes through the proxy, if there is one: an error says so."""
    try:
        return await step
    except (ConnectError, Timeout) as error:
        if proxy is not None:
            error.message = f"{error.message}, through the proxy {proxy}"
        raise
