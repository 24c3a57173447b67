"""Whether a request that failed may be sent again. Values in, values out."""

from __future__ import annotations

from typing import Protocol

from ._errors import NetworkError, RemoteProtocolError
from ._request import Request

__all__ = ["Attempt", "may_resend"]


class Attempt(Protocol):
    """How far a failed attempt got."""

    @property
    def started(self) -> bool: ...
    @property
    def sent(self) -> int: ...


def may_resend(request: Request, error: BaseException, attempt: Attempt) -> bool:
    """The rule for a *reused* connection that died before a byte of the response came (RFC 9112 9.3.1).

    The server may have closed it while it was idle, so the failure says nothing about this request. It is sent once
    more on a fresh connection if its body can be sent again and the peer cannot have acted on it, or may act twice:
    nothing was handed to the socket, or the method is idempotent.
    """
    if attempt.started or not isinstance(error, (NetworkError, RemoteProtocolError)):
        return False
    return request.body.replayable and (attempt.sent == 0 or request.idempotent)
