"""The sendings of requests, by the semantic conventions of OpenTelemetry for HTTP clients.

If a request is sent again, for a retry or a redirect, that is another sending, with a count of the sendings before it.
The records of a trace describe requests; this module turns them into sendings, for a listener that makes spans or
metrics. No I/O.

The labels of a series of metrics have few values: unknown methods, statuses and versions are `_OTHER`, and so are all
servers beyond a given number. So redirects to ever new servers cannot make an unlimited number of series.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

from .._errors import show_value
from .._message.url import URL
from .._trace import (
    HeadSent,
    RequestEnded,
    RequestRetried,
    RequestStarted,
    ResponseStarted,
    TraceEvent,
    earlier,
)

__all__ = ["BUCKETS", "OTHER", "Labels", "Listener", "Send", "Sends", "error_type", "known_method"]

OTHER: Final = "_OTHER"

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The bounds of the buckets in seconds, as the conventions advise."""

_METHODS: Final = frozenset(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"])
_VERSIONS: Final = frozenset(("1.0", "1.1", "2"))
_STATUSES: Final = frozenset(status.value for status in HTTPStatus)


def known_method(method: str) -> str:
    return method if method in _METHODS else OTHER


class Send:
    """One sending of a request.

    Attributes:
        number: the number of the request; several sendings may have the same number.
        method, url: as in its records, so without user name and password.
        host, port: those of the origin.
        resends: how often the call was sent before.
        began: when it began, on the clock of the trace.
        peer: the address of the connection, once it is known; "" before.
        status, version: the status and the HTTP version of the response, once its head has been received; 0 and ""
            before.
        context: a place for data of the listener.
    """

    __slots__ = (
        "began",
        "context",
        "has_begun",
        "host",
        "method",
        "number",
        "peer",
        "port",
        "resends",
        "status",
        "url",
        "version",
    )

    def __init__(self, number: int, method: str, url: str, resends: int) -> None:
        self.number: int = number
        self.method: str = method
        self.url: str = url
        self.resends: int = resends
        self.began: float = 0.0
        self.has_begun: bool = False
        self.peer: str = ""
        self.version: str = ""
        self.status: int = 0
        self.context: object = None
        parsed = URL.parse(url)
        self.host: str = parsed.host
        self.port: int = parsed.port

    def again(self) -> Send:
        """The next sending of the same request."""
        other = Send(self.number, self.method, self.url, self.resends + 1)
        other.context = self.context
        return other


class Listener(Protocol):
    """Receives each sending at its beginning and end, in the task or thread that sends."""

    def begin(self, send: Send) -> None: ...
    def end(self, send: Send, seconds: float, error: BaseException | None) -> None: ...


class Sends:
    """A trace that notifies a listener of sendings. It holds the requests that are in flight."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._sends: dict[int, Send] = {}

    def __call__(self, record: TraceEvent) -> None:
        take = _TAKES.get(type(record))
        if take is not None:
            take(self, record)
        elif isinstance(record, RequestEnded):
            self._ended(record)
        else:
            self.current(record.request, record.at)

    def current(self, number: int, at: float | None = None) -> Send | None:
        """The current sending of the request with this number. It begins now if it has not begun yet."""
        send = self._sends.get(number)
        if send is not None and not send.has_begun:
            self._begin(send, send.began if at is None else at)
        return send

    def _begin(self, send: Send, at: float) -> None:
        send.has_begun = True
        send.began = at
        self._listener.begin(send)

    def _started(self, record: RequestStarted) -> None:
        send = Send(record.request, record.method, record.url, earlier.get().sends)
        self._begin(send, record.at)
        self._sends[record.request] = send

    def _sent(self, record: HeadSent) -> None:
        send = self.current(record.request, record.at)
        if send is not None:
            send.peer = record.peer

    def _answered(self, record: ResponseStarted) -> None:
        send = self._sends.get(record.request)
        if send is not None:
            send.status, send.version = record.status_code, record.version

    def _retried(self, record: RequestRetried) -> None:
        """The next sending begins after the pause: with the next record, or when its fields are requested."""
        send = self._sends.get(record.request)
        if send is not None:
            self._sends[record.request] = following = send.again()
            following.began = record.at + record.pause
            self._finish(send, record.at, record.exception)

    def _ended(self, record: RequestEnded) -> None:
        send = self._sends.pop(record.request, None)
        if send is not None:
            self._finish(send, record.at, record.exception)

    def _finish(self, send: Send, at: float, error: BaseException | None) -> None:
        if send.has_begun:
            self._listener.end(send, max(0.0, at - send.began), error)


_TAKES: Final[dict[type[TraceEvent], Callable[..., None]]] = {
    RequestStarted: Sends._started,
    HeadSent: Sends._sent,
    ResponseStarted: Sends._answered,
    RequestRetried: Sends._retried,
}


def error_type(send: Send, error: BaseException | None) -> str:
    """The value of error.type, by the conventions: the error's class, or a status of 400 or more; "" if there is
    neither.
    """
    if error is not None:
        kind = type(error)
        return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return str(send.status) if send.status >= 400 else ""


class Labels:
    """The attributes of the metrics, each of which has few values.

    Arguments:
        most_servers: how many servers have series of their own.
    """

    def __init__(self, most_servers: int) -> None:
        if isinstance(most_servers, bool) or not isinstance(most_servers, int):
            raise TypeError(f"most_servers is of type {type(most_servers).__name__}: expected a whole number")
        if most_servers < 0:
            raise ValueError(f"most_servers is {show_value(most_servers)}: expected a number from 0 up")
        self._max_servers = most_servers
        # There is no lock: threads that add a server at the same moment may exceed the number, by one for each thread.
        self._servers: dict[tuple[str, int], None] = {}

    def server(self, send: Send) -> tuple[str, int]:
        """Host and port; `_OTHER` and 0 for servers beyond the number."""
        place = send.host, send.port
        if place in self._servers:
            return place
        if len(self._servers) >= self._max_servers:
            return OTHER, 0
        self._servers[place] = None
        return place

    def of_request(self, send: Send) -> dict[str, str | int]:
        host, port = self.server(send)
        return {"http.request.method": known_method(send.method), "server.address": host, "server.port": port}

    def of_response(self, send: Send, error: BaseException | None) -> dict[str, str | int]:
        """All attributes; those that have no value are left out."""
        found = self.of_request(send)
        if send.status:
            known = send.status in _STATUSES
            found["http.response.status_code"] = send.status if known else OTHER
            found["network.protocol.version"] = send.version if send.version in _VERSIONS else OTHER
        kind = error_type(send, error)
        if kind:
            found["error.type"] = kind if not kind.isdecimal() or send.status in _STATUSES else OTHER
        return found
