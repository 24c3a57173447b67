"""Whether a request that failed may be sent again. The functions decide from their arguments alone."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from .._errors import Code, GoAway, NetworkError, RemoteProtocolError, StreamReset
from .._message.head import Head
from .._message.request import Request

__all__ = ["Resend", "Attempt", "again", "resend_after_response", "may_have_acted", "may_resend"]

RESENDS: Final = 3
"""How often one request is sent again at most, for all reasons together."""

RETURNS: Final = 100
"""How often a request may find, before anything was sent, that its connection has become full."""


class Attempt(Protocol):
    """How far a failed attempt got."""

    @property
    def started(self) -> bool: ...
    @property
    def sent(self) -> int: ...


def may_have_acted(attempt: MultiplexedAttempt | None) -> bool:
    """Whether the peer may have acted on the request in an attempt that failed before its response. `attempt` is None
    if there was no connection: the request waited for one, or none could be made.

    `error.safe_to_retry` depends on this. The peer may have acted if a part of the request was handed to the stream,
    and the peer has not refused the request (REFUSED_STREAM, or a stream above the last one of GOAWAY; RFC 9113,
    section 8.7).
    """
    return attempt is not None and attempt.sent > 0 and not attempt.refused


def may_resend(request: Request, error: BaseException, attempt: Attempt) -> bool:
    """Whether to send a request again whose *reused* connection died before a byte of the response was received (RFC
    9112 9.3.1).

    The server may have closed the connection while it was idle, so this request need not be the cause of the failure.
    The request is sent once more, on a fresh connection, if its body can be sent again and one of two things holds:
    nothing was handed to the socket, so that the peer cannot have acted; or the method is idempotent, so that the peer
    may act twice.
    """
    if attempt.started or not isinstance(error, (NetworkError, RemoteProtocolError)):
        return False
    return request.body.replayable and (attempt.sent == 0 or request.idempotent)


class Resend(Enum):
    """Where or how a request is sent again."""

    FRESH = "on another connection"
    ANYWHERE = "on any connection"
    HTTP11 = "over HTTP/1.1"
    PLAIN = "on any connection, without Expect"
    BACK = "wherever there is room: it had found none, and nothing was sent"


class MultiplexedAttempt(Attempt, Protocol):
    """An attempt of a protocol in which a peer may refuse one request of many."""

    @property
    def refused(self) -> bool: ...
    @property
    def crowded(self) -> bool: ...


def again(
    request: Request, error: BaseException, attempt: MultiplexedAttempt, *, reused: bool, resends: int, returns: int
) -> Resend | None:
    """Where or how a request whose attempt failed is sent again; None if it is not sent again.

    The peer has not acted on a request that it refused (REFUSED_STREAM, or a stream above the last one of GOAWAY;
    RFC 9113, 8.7), so that any method may be sent again. HTTP_1_1_REQUIRED means that HTTP/1.1 must be used. For all
    other errors see `may_resend`.

    Arguments:
        reused: whether the connection had served other requests; False also where `retry_stale` is off.
        resends: how often the request was sent again before.
        returns: how often the request has found its connection full before.
    """
    if not request.body.replayable or not isinstance(error, (NetworkError, RemoteProtocolError)):
        return None
    if attempt.crowded and attempt.refused and not attempt.sent:
        return Resend.BACK if returns < RETURNS else None
    if resends >= RESENDS:
        return None
    if isinstance(error, (StreamReset, GoAway)) and error.code == Code.HTTP_1_1_REQUIRED:
        return Resend.HTTP11
    if attempt.refused:
        return Resend.ANYWHERE if attempt.crowded else Resend.FRESH
    if reused and not resends and may_resend(request, error, attempt):
        return Resend.FRESH
    return None


def resend_after_response(request: Request, head: Head, *, stale: bool, resends: int, duplex: bool) -> Resend | None:
    """Where or how to send a request again after this response; None: the response is for the caller.

    After 417, a request with an expectation is repeated without it (RFC 9110, 10.1.1: SHOULD). A server may send 408 on
    an idle connection before our request arrives: if the connection was reused and closes with the 408, a request with
    an idempotent method is repeated (15.5.9: MAY).

    Arguments:
        stale: whether the connection had served other requests, and ends with this response; False also where
            `retry_stale` is off.
        resends: as for `again`.
        duplex: whether the caller sends more of the request later, which cannot be sent again.
    """
    if not request.body.replayable or duplex or resends >= RESENDS:
        return None
    if head.status == 417 and request.expects_continue:
        return Resend.PLAIN
    if head.status == 408 and stale and not resends and request.idempotent:
        return Resend.FRESH
    return None
