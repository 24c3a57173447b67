"""What a request that failed means: the answer to the client, and whether another upstream may be asked.

Values in, values out, but for `Budget`, which counts.
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

__all__ = ["Budget", "is_the_upstreams", "is_unprocessed", "may_go_elsewhere", "refusal_of"]

_IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))

_STATUS: Final[tuple[tuple[type[HTTPCoreError], int], ...]] = (
    (LocalProtocolError, 400),  # the client's request cannot be sent on
    (PoolTimeout, 503),
    (PoolClosed, 503),
    (Timeout, 504),
    (HTTPCoreError, 502),
)


def refusal_of(error: HTTPCoreError) -> Refusal:
    """The answer in the upstream's place. The client learns the kind of error, not our addresses."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return Refusal(status, type(error).__name__)


def is_unprocessed(error: HTTPCoreError) -> bool:
    """Whether the upstream cannot have acted on the request: nothing was sent, or it has said so itself."""
    if error.safe_to_retry:
        return True
    if isinstance(error, StreamReset):
        return error.code == Code.REFUSED_STREAM
    return isinstance(error, (ConnectError, ConnectTimeout, PoolTimeout, PoolClosed, PolicyError, ProxyError))


def is_the_upstreams(error: HTTPCoreError) -> bool:
    """Whether the failure speaks against the upstream, and not against the request or against us."""
    # Not a `ReadTimeout` nor a full pool: a slow answer may be the request's own fault, and a full pool is ours.
    return isinstance(error, (NetworkError, RemoteProtocolError, ConnectTimeout, ProxyError))


def may_go_elsewhere(error: HTTPCoreError, method: str, replayable: bool) -> bool:
    """Whether another upstream may be asked, where no response has begun.

    Any method may go elsewhere where the upstream cannot have acted on the request; where it may have, only what may be
    done twice. A time that ran out while it was thinking is not tried elsewhere: that would take as long again.

    A 103 (Early Hints) that was passed on does not count as a beginning. It only foretells, on its own, what a response
    may hold (RFC 8297, section 2), so that a client that has it can take the response of any upstream.
    """
    if not replayable:
        return False
    if is_unprocessed(error):
        return True
    return method in _IDEMPOTENT and isinstance(error, (NetworkError, RemoteProtocolError))


class Budget:
    """How many requests may be sent again: a fifth of all, and ten to begin with. While every upstream fails, each
    request is then sent once and no more.
    """

    SHARE: Final = 0.2
    MOST: Final = 10.0

    def __init__(self) -> None:
        self._left = self.MOST

    def sent(self) -> None:
        """A request was sent for the first time."""
        if self._left < self.MOST:
            self._left = min(self.MOST, self._left + self.SHARE)

    def spend(self) -> bool:
        """Take one; False where there is none left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
