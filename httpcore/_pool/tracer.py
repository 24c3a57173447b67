"""Tells a listener what happens to one request. Made only where `trace=` is set, so that nobody else pays for it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from .._config import SSLConfig
from .._connect.contexts import alpn_of
from .._trace import (
    ConnectionClosed,
    ConnectionOpened,
    DialStarted,
    EngineDifference,
    InterimResponse,
    RequestFailed,
    RequestQueued,
    RequestRetried,
    RequestSent,
    RequestStarted,
    ResponseComplete,
    ResponseStarted,
    ResponseUnusual,
    Trace,
)

if TYPE_CHECKING:
    from .._connect.route import Route
    from .._deadline import Deadline
    from .._message.head import Head
    from .._message.request import Request
    from .._message.rules import Leniency
    from .connection import HTTPConnection

__all__ = ["Tracer"]

_numbers = count(1)

_HTTP11_ALONE: Final = (
    'HTTP/1.1 alone is spoken with this SSLContext: httpcore.ssl_context(alpn=("h2", "http/1.1")) makes one that '
    "offers HTTP/2 where the pool speaks it"
)


class Tracer:
    """The records of one request, by its number and on its clock. Making it tells that the request has begun."""

    __slots__ = ("_now", "_number", "_trace")

    def __init__(self, trace: Trace, deadline: Deadline, request: Request) -> None:
        self._trace = trace
        self._now = deadline.now
        self._number = next(_numbers)
        method = request.method.decode("ascii")
        trace(RequestStarted(deadline.began, self._number, method, request.url.redacted))

    @classmethod
    def of_connect(cls, trace: Trace, deadline: Deadline) -> Tracer:
        """For a connection that is made before a request wants it: no request begins or ends."""
        self = cls.__new__(cls)
        self._trace = trace
        self._now = deadline.now
        self._number = next(_numbers)
        return self

    def queued(self, route: Route) -> None:
        self._trace(RequestQueued(self._now(), self._number, str(route)))

    def dialing(self, route: Route) -> None:
        self._trace(DialStarted(self._now(), self._number, str(route)))

    def opened(self, route: Route, connection: HTTPConnection) -> None:
        info = connection.info
        tls, alpn = (info.tls.version, info.tls.alpn) if info.tls is not None else (None, None)
        opened = ConnectionOpened(
            self._now(), self._number, str(route), info.peer, tls, alpn, connection.engine, _hint(route)
        )
        self._trace(opened)

    def interim(self, head: Head) -> None:
        self._trace(InterimResponse(self._now(), self._number, head.status, head.headers))

    def answered(self, connection: HTTPConnection, reused: bool, head: Head) -> None:
        now, peer = self._now(), connection.info.peer
        self._trace(RequestSent(now, self._number, peer, reused))
        self._trace(ResponseStarted(now, self._number, head.status, head.headers))
        if head.lenient:
            self.unusual(head.lenient)
        if connection.engines.reports:
            self.differed(connection)

    def unusual(self, names: tuple[Leniency, ...]) -> None:
        self._trace(ResponseUnusual(self._now(), self._number, names))

    def differed(self, connection: HTTPConnection) -> None:
        """What the shadow of an engine read otherwise."""
        reports = connection.engines.reports
        while reports:
            self._trace(EngineDifference(self._now(), self._number, *reports.popleft()))

    def complete(self, received: int) -> None:
        self._trace(ResponseComplete(self._now(), self._number, received))

    def closed(self, connection: HTTPConnection, reason: str) -> None:
        self._trace(ConnectionClosed(self._now(), self._number, connection.info.peer, reason))

    def retried(self, reason: BaseException | str, attempt: int, pause: float) -> None:
        self._trace(RequestRetried(self._now(), self._number, str(reason), attempt, pause))

    def failed(self, error: BaseException) -> None:
        self._trace(RequestFailed(self._now(), self._number, f"{type(error).__name__}: {error}"))


def _hint(route: Route) -> str | None:
    tls = route.tls
    if tls is None or isinstance(tls, SSLConfig) or "h2" in route.offers or "h2" in alpn_of(tls):
        return None
    return _HTTP11_ALONE
