"""CONNECT: asking an HTTP proxy for a tunnel to an origin (RFC 9110, section 9.3.6)."""

from __future__ import annotations

from .._backends.base import Backend, Stream
from .._deadline import Deadline
from .._errors import ProxyError, show
from .._http1.connection import HTTP11Connection
from .._http1.exchange import HTTP11Exchange
from .._message.fields import Headers
from .._message.head import Head
from .._message.request import Request
from .._message.rules import DEFAULT_RULES, ReadRules

__all__ = ["open_tunnel"]


async def open_tunnel(
    stream: Stream,
    backend: Backend,
    authority: str,
    fields: Headers,
    deadline: Deadline,
    rules: ReadRules = DEFAULT_RULES,
) -> None:
    """Make `stream` lead to the origin at `authority`, host and port.

    Raises:
        ProxyError: the proxy refused, or sent bytes after its answer that cannot be from the origin (RFC 9112, 9.5).
        RemoteProtocolError, LimitExceeded, NetworkError, Timeout: as in any exchange.
    """
    request = Request.of(b"CONNECT", f"http://{authority}", fields, target=authority)
    exchange = HTTP11Exchange(HTTP11Connection(stream, backend, rules), request, deadline, _ignore)
    head = await exchange.run()
    if not exchange.switched:
        raise _refusal(head)
    # The origin has not been sent anything yet, and neither a TLS nor an HTTP server speaks first. To treat these bytes
    # as the origin's would let a proxy answer in its place.
    if exchange.surplus:
        raise ProxyError(
            f"the proxy sent {show(exchange.surplus)} after its response to CONNECT, before the first request to the "
            "origin"
        )


def _ignore(interim: Head) -> None:
    """Drop an interim response of a proxy: it is not about the request."""


def _refusal(head: Head) -> ProxyError:
    # The body is not read: it is the proxy's own page, and may have no end.
    return ProxyError(
        f"the proxy refused the tunnel: {head.status} {show(head.reason)}",
        status_code=head.status,
        reason=head.reason.decode("latin-1"),
        headers=head.headers,
    )
