"""The consequences of a failed request: the response to the client, and whether another upstream may be tried.

Values in, values out, except `Budget`, which counts.
"""

from __future__ import annotations

from typing import Final

from .._errors import (
    Code,
    ConnectError,
    ConnectTimeout,
    HTTPCoreError,
    LocalProtocolError,
    NetworkError,
    PolicyError,
    PoolClosed,
    PoolTimeout,
    ProxyError,
    RemoteProtocolError,
    StreamReset,
    Timeout,
)
from .messages import Refusal

__all__ = ["Budget", "is_upstream_fault", "is_unprocessed", "may_fail_over", "refusal_of"]

_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))

_STATUS: Final[tuple[tuple[type[HTTPCoreError], int], ...]] = (
    (LocalProtocolError, 400),  # the client's request cannot be forwarded
    (PoolTimeout, 503),
    (PoolClosed, 503),
    (Timeout, 504),
    (HTTPCoreError, 502),
)


def refusal_of(error: HTTPCoreError) -> Refusal:
    """The response in place of the upstream's. It names the kind of error, but no addresses of upstreams."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return Refusal(status, type(error).__name__)


def is_unprocessed(error: HTTPCoreError) -> bool:
    """Whether the upstream cannot have acted on the request: nothing was sent, or the upstream itself reported it."""
    if error.safe_to_retry:
        return True
    if isinstance(error, StreamReset):
        return error.code == Code.REFUSED_STREAM
    return isinstance(error, (ConnectError, ConnectTimeout, PoolTimeout, PoolClosed, PolicyError, ProxyError))


def is_upstream_fault(error: HTTPCoreError) -> bool:
    """Whether the failure is the upstream's fault, and not that of the request or of the gateway."""
    # A `ReadTimeout` does not count, since the request itself may cause a slow response; a full pool is due to the
    # gateway's limits.
    return isinstance(error, (NetworkError, RemoteProtocolError, ConnectTimeout, ProxyError))


def may_fail_over(error: HTTPCoreError, method: str, replayable: bool) -> bool:
    """Whether another upstream may be tried. This is asked only before a response has begun.

    If the upstream cannot have acted on the request, a request of any method may be sent to another; otherwise only a
    request with an idempotent method. After a timeout of the wait for the response the request is not sent again:
    another upstream would probably take as long.

    A forwarded 103 (Early Hints) does not count as the beginning of a response. It only announces fields that the final
    response may have (RFC 8297, section 2), so a client that has received it can accept the response of any upstream.
    """
    if not replayable:
        return False
    if is_unprocessed(error):
        return True
    return method in _IDEMPOTENT and isinstance(error, (NetworkError, RemoteProtocolError))


class Budget:
    """The budget of requests that are sent again: a fifth of all requests, and ten at the start. It bounds the
    additional load while every upstream fails.
    """

    SHARE: Final = 0.2
    MOST: Final = 10.0

    def __init__(self) -> None:
        self._tokens = self.MOST

    def sent(self) -> None:
        """A request was sent for the first time."""
        if self._tokens < self.MOST:
            self._tokens = min(self.MOST, self._tokens + self.SHARE)

    def spend(self) -> bool:
        """Take one retry from the budget; False if none is left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
