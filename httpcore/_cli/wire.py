"""The network as the command sees it: a transport that shows an observer each request sent and each response received.

It is a transport of its own, and not a middleware, since `-i` writes the names of fields as they were received, and
between transports they are in lower case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

from .._config import UNSET
from .._message.request import Request
from .._sync import SyncConnectionPool, SyncResponse
from .._trace import TraceEvent
from .._transports.base import Transport, TransportRequest, TransportResponse
from .._transports.extensions import ResponseExtensions

if TYPE_CHECKING:
    from .._message.body import SyncBodyTypes

__all__ = ["Observer", "Wire"]


class Observer(Protocol):
    """The interface of an observer of each exchange."""

    def sending(self, request: Request) -> None: ...
    def record(self, record: TraceEvent) -> None: ...
    def answered(self, response: SyncResponse) -> None: ...


class Wire(Transport):
    """Sends through a pool.

    Attributes:
        last: the response to the last request, if there was one.
    """

    def __init__(self, pool: SyncConnectionPool, observer: Observer) -> None:
        self._pool = pool
        self._observer = observer
        self.last: SyncResponse | None = None

    async def handle(self, request: TransportRequest) -> TransportResponse:
        self._observer.sending(request.complete())
        response = self._pool.request(
            request.method,
            request.url,
            request.fields(),
            cast("SyncBodyTypes", request.body()),
            True,
            timeout=request.extensions.get("timeout", UNSET),
            trace=self._observer.record,
        )
        self.last = response
        answer = TransportResponse(
            response.status_code, response.headers, _pieces(response), _facts(response), close=response.close
        )
        request.opened(answer)  # so that it is closed, whatever the observer raises
        self._observer.answered(response)
        return answer

    def close(self) -> None:
        self._pool.close()


def _facts(response: SyncResponse) -> ResponseExtensions:
    return {"http_version": response.protocol, "reason_phrase": response.reason_phrase, "info": response.info}


def _pieces(response: SyncResponse) -> Iterator[bytes]:
    connection = response.connection
    if connection is not None:  # after Upgrade: the command sends nothing on it
        connection.close()
        return iter(())
    return response.raw()
