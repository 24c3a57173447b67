"""Metrics for Prometheus, with the names that OpenTelemetry's conventions have there. It needs prometheus_client."""

from __future__ import annotations

from threading import Lock
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from .._trace import ConnectionClosed, ConnectionOpened, TraceEvent
from ._sends import BUCKETS, Labels, Send, Sends

__all__ = ["Metrics"]

_OF_REQUEST: Final = ("http.request.method", "server.address", "server.port")
_OF_RESPONSE: Final = (*_OF_REQUEST, "http.response.status_code", "network.protocol.version", "error.type")


class _Collectors(NamedTuple):
    """The metrics of one registry."""

    duration: Histogram
    active: Gauge
    resends: Counter
    opened: Counter
    closed: Counter


_collectors_by_registry: WeakKeyDictionary[CollectorRegistry, _Collectors] = WeakKeyDictionary()
_making = Lock()


class Metrics:
    """A trace that counts: `httpcore.ConnectionPool(trace=Metrics())`. Other pools and clients take it as well.

    - `http_client_request_duration_seconds`: a histogram, from the beginning of each sending to the end of its
      response's body, by method, server, status, version and error.
    - `http_client_active_requests`: a gauge, by method and server.
    - `http_client_resends_total`: a counter of the sendings of a request that was sent before, for a retry or a
      redirect, by method and server.
    - `http_client_connections_opened_total`: a counter of the connections that were opened.
    - `http_client_connections_closed_total`: a counter of the connections that were closed, by `reason`, a
      `CloseReason`.

    Labels are the attributes of the conventions with `_` for `.`; a label without a value is "".

    Arguments:
        registry: where the metrics are registered. All `Metrics` of one registry count together. Default: that of the
            process.
        most_servers: how many servers have series of their own; all others are `_OTHER`. Default 100.

    Raises:
        TypeError: `most_servers` is not a whole number.
        ValueError: the registry has a metric with one of these names already, from another library; or `most_servers`
            is below 0.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY, *, most_servers: int = 100) -> None:
        self._labels = Labels(most_servers)
        with _making:
            if registry not in _collectors_by_registry:
                _collectors_by_registry[registry] = _collectors(registry)
        self._collectors = _collectors_by_registry[registry]
        self._sends = Sends(self)

    def __call__(self, record: TraceEvent) -> None:
        if isinstance(record, ConnectionOpened):
            self._collectors.opened.inc()
        elif isinstance(record, ConnectionClosed):
            self._collectors.closed.labels(_reason_name(record.reason)).inc()
            return
        self._sends(record)

    def begin(self, send: Send) -> None:
        """A sending begins."""
        send.context = values = [str(value) for value in self._labels.of_request(send).values()]
        self._collectors.active.labels(*values).inc()
        if send.resends:
            self._collectors.resends.labels(*values).inc()

    def end(self, send: Send, seconds: float, error: BaseException | None) -> None:
        """A sending ends."""
        context = send.context
        assert isinstance(context, list)  # from `begin`
        self._collectors.active.labels(*context).dec()
        found = self._labels.of_response(send, error)
        self._collectors.duration.labels(*[str(found.get(name, "")) for name in _OF_RESPONSE]).observe(seconds)


def _reason_name(reason: str) -> str:
    return str(getattr(reason, "name", "")).lower()


def _collectors(registry: CollectorRegistry) -> _Collectors:
    of_request = [name.replace(".", "_") for name in _OF_REQUEST]
    of_response = [name.replace(".", "_") for name in _OF_RESPONSE]
    return _Collectors(
        Histogram(
            "http_client_request_duration_seconds",
            "Duration of HTTP client requests.",
            of_response,
            registry=registry,
            buckets=BUCKETS,
        ),
        Gauge("http_client_active_requests", "Number of active HTTP requests.", of_request, registry=registry),
        Counter("http_client_resends", "Requests that were sent again.", of_request, registry=registry),
        Counter("http_client_connections_opened", "Connections that were opened.", registry=registry),
        Counter("http_client_connections_closed", "Connections that were closed.", ["reason"], registry=registry),
    )
