"""Spans and metrics by OpenTelemetry's conventions for HTTP clients. It needs opentelemetry-api."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, cast

from opentelemetry import context as contexts
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider

from .. import __version__
from .._trace import TraceEvent
from ._sends import BUCKETS, Labels, Send, Sends, error_type, known_method

__all__ = ["Telemetry"]

SCHEMA: Final = "https://opentelemetry.io/schemas/1.28.0"
_SECRET: Final = re.compile(r"(?<=[?&])(AWSAccessKeyId|Signature|sig|X-Goog-Signature)=[^&]*")


class _SendState(NamedTuple):
    """The state of a running sending.

    Attributes:
        parent: the context of the call, which all of its sendings share.
        span: the span of this sending.
        active: the attributes under which it is counted as active.
    """

    parent: Context
    span: Span
    active: dict[str, str | int]


class Telemetry:
    """A trace that makes a span for each sending of a request: `httpcore.ConnectionPool(trace=Telemetry())`. Other
    pools and clients take it as well.

    A span is a child of the span that is current when the request is made. It begins with the request, or with the
    retry or the redirect that sends it again (`http.request.resend_count`), and ends with the response's body. Its
    context is sent in the head of the request, by the propagator that is set (`traceparent`); a field of that name in
    the request is kept. `url.full` has no user name, no password, and no signature of a URL that is signed for AWS,
    Azure or Google storage.

    Metrics: `http.client.request.duration`, a histogram in seconds, and `http.client.active_requests`.

    Arguments:
        tracer_provider, meter_provider: the providers of OpenTelemetry. Default None: those that are set for the
            process.
        most_servers: how many servers have series of their own in the metrics; all others are `_OTHER`.
            Default 100.

    Raises:
        TypeError, ValueError: `most_servers` is not a whole number from 0 up.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        most_servers: int = 100,
    ) -> None:
        self._labels = Labels(most_servers)
        self._tracer = trace.get_tracer("httpcore", __version__, tracer_provider, schema_url=SCHEMA)
        meter = metrics.get_meter("httpcore", __version__, meter_provider, schema_url=SCHEMA)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._active = meter.create_up_down_counter(
            "http.client.active_requests", "{request}", "Number of active HTTP requests."
        )
        self._sends = Sends(self)

    def __call__(self, record: TraceEvent) -> None:
        self._sends(record)

    def request_fields(self, number: int) -> list[tuple[bytes, bytes]]:
        """The fields that make the server's spans children of the request's span."""
        send = self._sends.current(number)
        if send is None:
            return []
        kept = cast("_SendState", send.context)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(kept.span, kept.parent))
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in carrier.items()]

    def begin(self, send: Send) -> None:
        """A sending begins."""
        before = send.context  # of the sending before this one
        parent = before.parent if isinstance(before, _SendState) else contexts.get_current()
        method = known_method(send.method)
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "server.address": send.host,
            "server.port": send.port,
            "url.full": redacted(send.url),
        }
        if method != send.method:
            attributes["http.request.method_original"] = send.method
        if send.resends:
            attributes["http.request.resend_count"] = send.resends
        name = method if method == send.method else "HTTP"
        span = self._tracer.start_span(name, parent, SpanKind.CLIENT, attributes)
        active = self._labels.of_request(send)
        send.context = _SendState(parent, span, active)
        self._active.add(1, active, parent)

    def end(self, send: Send, seconds: float, error: BaseException | None) -> None:
        """A sending ends."""
        parent, span, active = cast("_SendState", send.context)
        if span.is_recording():
            self._finish(span, send, error)
        span.end()
        self._active.add(-1, active, parent)
        self._duration.record(seconds, self._labels.of_response(send, error), trace.set_span_in_context(span, parent))

    def _finish(self, span: Span, send: Send, error: BaseException | None) -> None:
        if send.peer:
            address, port = peer_of(send.peer)
            span.set_attribute("network.peer.address", address)
            if port is not None:
                span.set_attribute("network.peer.port", port)
        if send.status:
            span.set_attribute("http.response.status_code", send.status)
            span.set_attribute("network.protocol.version", send.version)
        kind = error_type(send, error)
        if kind:
            span.set_attribute("error.type", kind)
            span.set_status(Status(StatusCode.ERROR, None if error is None else str(error)))


def redacted(url: str) -> str:
    """The URL without the values of those parameters that sign it."""
    return _SECRET.sub(r"\1=REDACTED", url)


def peer_of(peer: str) -> tuple[str, int | None]:
    """Address and port; the path of a unix domain socket has no port."""
    address, colon, port = peer.rpartition(":")
    if not (colon and port.isdecimal()):
        return peer, None
    return address.strip("[]"), int(port)
