"""Walks a route: connects, then TLS; gives a stream. All of it together takes at most the connect timeout."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ._backends.base import Backend, Stream
from ._config import SSLConfig
from ._deadline import Deadline
from ._errors import ConnectTimeout
from ._route import Route

if TYPE_CHECKING:
    import ssl

__all__ = ["dial"]


async def dial(
    backend: Backend, route: Route, deadline: Deadline, reached: Callable[[Stream], None], spent: float = 0.0
) -> Stream:
    """Connect to the route's origin. `reached` hears of each stream as it comes to be, so that others can close it.
    `spent` seconds of the connect timeout are gone already.

    Raises:
        ConnectError, TLSError: no connection.
        ConnectTimeout, TotalTimeout: not in time.
        LocalProtocolError: the TLS settings name files that cannot be used.
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

    try:
        stream = await backend.connect_tcp(route.host, route.port, left())
        try:
            reached(stream)
            if route.tls is not None:
                stream = await _secured(backend, stream, route, route.tls, left)
                reached(stream)
        except BaseException:
            stream.close()
            raise
    except ConnectTimeout as error:
        error.limit = limit  # each step knew only what the others had left of it
        raise
    return stream


async def _secured(
    backend: Backend,
    stream: Stream,
    route: Route,
    tls: SSLConfig | ssl.SSLContext,
    left: Callable[[], float | None],
) -> Stream:
    from ._backends.tls import start_tls
    from ._contexts import context_for

    context = await backend.run_blocking(lambda: context_for(tls, route.offers)) if isinstance(tls, SSLConfig) else tls
    return await start_tls(stream, context, route.host, timeout=left(), now=backend.now)
