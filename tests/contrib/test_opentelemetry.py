"""Spans and metrics as OpenTelemetry's own SDK stores them, by the names of its conventions; and the fields that a
server receives.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, InMemoryMetricReader, Sum
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.metrics import http_metrics
from opentelemetry.trace import SpanKind, StatusCode
from real_servers import Ports
from runtimes import Runtime, each_runtime
from servers import Noting, ScriptedServer, answering, ok

import httpcore
from httpcore.contrib.opentelemetry import Telemetry, peer_of, redacted

PROJECT = Path(__file__).resolve().parents[2]
CONVENTIONS = {
    value
    for module in (error_attributes, http_attributes, network_attributes, server_attributes, url_attributes)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"


class StoredTelemetry:
    """Telemetry with an SDK that stores all spans and metrics here."""

    def __init__(self, **settings: Any) -> None:
        self._exporter = InMemorySpanExporter()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = tracers.get_tracer("test")
        self.trace = Telemetry(tracers, meters, **settings)

    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order in which they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def attributes(self) -> list[dict[str, Any]]:
        return [dict(span.attributes or {}) for span in self.spans()]

    def points(self, name: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        metrics = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        return [
            point
            for metric in metrics
            if metric.name == name
            for point in cast("Histogram | Sum", metric.data).data_points
        ]


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def traceparents(heads: list[bytes]) -> list[tuple[int, int]]:
    """Trace and span of each request that a server saw."""
    found = []
    for head in heads:
        values = [line[13:] for line in head.split(b"\r\n") if line.lower().startswith(b"traceparent: ")]
        assert len(values) == 1
        version, of_trace, of_span, _ = values[0].split(b"-")
        assert version == b"00"
        found.append((int(of_trace, 16), int(of_span, 16)))
    return found


@each_runtime
def test_a_span_has_the_attributes_of_the_conventions(runtime: Runtime) -> None:
    kept, script = StoredTelemetry(), Noting(ok(b"Hello"), ok(b"again"))
    with ScriptedServer(script) as server:

        async def main() -> None:
            with kept.tracer.start_as_current_span("parent"):
                async with runtime.pool(trace=kept.trace) as http:
                    await http.request("GET", f"http://me:secret@127.0.0.1:{server.port}/a?b=c&sig=s3cr3t#d")
                    await http.request("BREW", server.url)

        runtime.run(main)
    parent, first, second = kept.spans()
    assert first.name == "GET"
    assert first.kind is SpanKind.CLIENT
    assert first.status.status_code is StatusCode.UNSET
    assert first.parent is not None
    assert (first.parent.trace_id, first.parent.span_id) == ids(parent)
    assert kept.attributes()[1:] == [
        {
            "http.request.method": "GET",
            "url.full": f"http://127.0.0.1:{server.port}/a?b=c&sig=REDACTED",
            "server.address": "127.0.0.1",
            "server.port": server.port,
            "network.peer.address": "127.0.0.1",
            "network.peer.port": server.port,
            "network.protocol.version": "1.1",
            "http.response.status_code": 200,
        },
        {
            "http.request.method": "_OTHER",
            "http.request.method_original": "BREW",
            "url.full": f"{server.url}/",
            "server.address": "127.0.0.1",
            "server.port": server.port,
            "network.peer.address": "127.0.0.1",
            "network.peer.port": server.port,
            "network.protocol.version": "1.1",
            "http.response.status_code": 200,
        },
    ]
    assert second.name == "HTTP"
    assert traceparents(script.heads) == [ids(first), ids(second)]
    assert {name for each in kept.attributes() for name in each} <= CONVENTIONS


def with_a_pool(url: str, kept: StoredTelemetry) -> None:
    with httpcore.SyncConnectionPool(trace=kept.trace, retries=httpcore.RetryPolicy(backoff=0)) as http:
        http.request("GET", url)


def with_a_client(url: str, kept: StoredTelemetry) -> None:
    with httpcore.Client(trace=kept.trace) as client:
        client.get(url)


def with_an_async_client(url: str, kept: StoredTelemetry) -> None:
    async def main() -> None:
        async with httpcore.AsyncClient(trace=kept.trace) as client:
            await client.get(url)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("send", "answer", "error"),
    [(with_a_pool, BUSY, "503"), (with_a_client, MOVED, None), (with_an_async_client, MOVED, None)],
)
def test_each_sending_is_a_span_of_its_own(
    send: Callable[[str, StoredTelemetry], None], answer: bytes, error: str | None
) -> None:
    kept, script = StoredTelemetry(), Noting(answer, answer.replace(b"/there", b"/three"), ok(b"fine"))
    with ScriptedServer(script) as server, kept.tracer.start_as_current_span("parent"):
        send(server.url, kept)
    parent, *spans = kept.spans()
    assert traceparents(script.heads) == [ids(span) for span in spans]
    assert {span.parent.span_id for span in spans if span.parent is not None} == {ids(parent)[1]}
    attributes = kept.attributes()[1:]
    assert [each.get("http.request.resend_count") for each in attributes] == [None, 1, 2]
    assert [each.get("error.type") for each in attributes] == [error, error, None]
    assert len({each["url.full"] for each in attributes}) == (1 if error else 3)
    points = kept.points("http.client.request.duration")
    counts = [(point.attributes.get("error.type"), point.count) for point in points]
    assert sum(count for _, count in counts) == 3
    assert dict(counts).get("503") == (2 if error else None)


def test_retries_of_a_hop_count_for_the_hops_after_it() -> None:
    kept, script = StoredTelemetry(), Noting(BUSY, MOVED, ok(b"fine"))
    transport = httpcore.HTTPTransport(trace=kept.trace, retries=httpcore.RetryPolicy(backoff=0))
    with ScriptedServer(script) as server, httpcore.Client(transport=transport) as client:
        client.get(server.url)
        client.close()
    assert [each.get("http.request.resend_count") for each in kept.attributes()] == [None, 1, 2]


def test_a_refusal_that_authentication_answers_counts() -> None:
    kept = StoredTelemetry()
    refusal = (
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="a", nonce="b", qop="auth"\r\nContent-Length: 0\r\n\r\n'
    )
    auth = httpcore.DigestAuth("me", "secret")
    script = Noting(refusal, ok(b"fine"))
    with ScriptedServer(script) as server, httpcore.Client(trace=kept.trace, auth=auth) as client:
        assert client.get(server.url).status_code == 200
    assert [each.get("http.request.resend_count") for each in kept.attributes()] == [None, 1]
    assert [each.get("error.type") for each in kept.attributes()] == ["401", None]


def refused(http: httpcore.SyncConnectionPool, url: str) -> None:
    http.request("GET", "http://127.0.0.1:9/")


def cut(http: httpcore.SyncConnectionPool, url: str) -> None:
    http.request("GET", url)


def closed(http: httpcore.SyncConnectionPool, url: str) -> None:
    http.request("GET", url, stream=True).close()


def dropped(http: httpcore.SyncConnectionPool, url: str) -> None:
    responses = [http.request("GET", url, stream=True)]
    with pytest.warns(ResourceWarning, match="dropped unread"):
        responses.clear()


@pytest.mark.parametrize(
    ("act", "answer", "kind"),
    [
        (refused, b"", "httpcore.ConnectError"),
        (cut, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "httpcore.RemoteProtocolError"),
        (cut, b"", "httpcore.RemoteProtocolError"),
        (cut, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "404"),
        (closed, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", None),
        (dropped, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", None),
    ],
)
def test_however_a_request_ends_its_span_ends_once(act: Any, answer: bytes, kind: str | None) -> None:
    kept = StoredTelemetry()
    raised: Exception | None = None
    with ScriptedServer(answering(answer)) as server, httpcore.SyncConnectionPool(trace=kept.trace) as http:
        try:
            act(http, server.url)
        except httpcore.HTTPCoreError as error:
            raised = error
    assert kept.spans()[0].status.description == (None if raised is None else str(raised))
    (span,), (attributes,) = kept.spans(), kept.attributes()
    assert attributes.get("error.type") == kind
    assert (span.status.status_code is StatusCode.ERROR) == (kind is not None)
    assert [point.value for point in kept.points("http.client.active_requests")] == [0]
    (point,) = kept.points("http.client.request.duration")
    assert point.count == 1
    assert point.attributes.get("error.type") == kind


def test_cancelling_a_request_ends_its_span() -> None:
    kept = StoredTelemetry()
    with ScriptedServer(lambda peer: peer.rest()) as server:

        async def main() -> None:
            async with httpcore.ConnectionPool(trace=kept.trace) as http:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(http.request("GET", server.url), 0.05)

        asyncio.run(main())
    assert [each["error.type"] for each in kept.attributes()] == ["asyncio.exceptions.CancelledError"]


def test_metrics_have_the_names_and_buckets_of_the_conventions() -> None:
    kept = StoredTelemetry()
    with ScriptedServer(answering(ok(b"Hello"))) as server, httpcore.SyncConnectionPool(trace=kept.trace) as http:
        http.request("GET", server.url)
    (point,) = kept.points(http_metrics.HTTP_CLIENT_REQUEST_DURATION)
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": server.port,
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    assert point.explicit_bounds == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
    assert 0 < point.sum < 10


def test_metrics_are_few_for_any_peers_and_callers() -> None:
    kept = StoredTelemetry(most_servers=2)
    with ScriptedServer(Noting(*[ok(b"").replace(b"200", b"%d" % status) for status in range(600, 650)])) as server:
        hosts = [f"host{n}.test" for n in range(50)]
        with httpcore.SyncConnectionPool(trace=kept.trace, resolve=dict.fromkeys(hosts, "127.0.0.1")) as http:
            for number, host in enumerate(hosts):
                http.request(f"M{number}", f"http://{host}:{server.port}/")
    points = kept.points("http.client.request.duration")
    assert {point.attributes["server.address"] for point in points} == {"host0.test", "host1.test", "_OTHER"}
    assert {point.attributes["http.request.method"] for point in points} == {"_OTHER"}
    assert {point.attributes["http.response.status_code"] for point in points} == {"_OTHER"}
    assert {point.attributes["error.type"] for point in points} == {"_OTHER"}


def test_a_traceparent_of_the_request_itself_stays() -> None:
    kept, script = StoredTelemetry(), Noting(ok(b""))
    own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with ScriptedServer(script) as server, httpcore.SyncConnectionPool(trace=kept.trace) as http:
        http.request("GET", server.url, {"TraceParent": own})
    assert script.heads[0].lower().count(b"traceparent") == 1
    assert own.encode() in script.heads[0]


@pytest.mark.parametrize("http2", [False, True])
def test_a_real_server_receives_the_context_over_both_protocols(hypercorn: Ports, http2: bool) -> None:
    kept = StoredTelemetry()
    server = f"http://127.0.0.1:{hypercorn.plain}"
    with httpcore.SyncConnectionPool(trace=kept.trace, http1=not http2, http2=http2) as http:
        bodies = [http.request("GET", f"{server}/field?name=traceparent").body for _ in range(2)]
    assert traceparents([b"traceparent: " + body for body in bodies]) == [ids(span) for span in kept.spans()]
    assert {each["network.protocol.version"] for each in kept.attributes()} == {"2" if http2 else "1.1"}


def test_a_span_that_is_not_sampled_is_propagated_as_such() -> None:
    script = Noting(ok(b""))
    telemetry = Telemetry(
        TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False)
    )
    with ScriptedServer(script) as server, httpcore.SyncConnectionPool(trace=telemetry) as http:
        http.request("GET", server.url)
    (flags,) = [line[-2:] for line in script.heads[0].split(b"\r\n") if line.startswith(b"traceparent")]
    assert not int(flags, 16) & 1


@pytest.mark.parametrize(
    ("peer", "found"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:443", ("::1", 443)), ("/run/a.sock", ("/run/a.sock", None))],
)
def test_a_peer_is_split_into_address_and_port(peer: str, found: tuple[str, int | None]) -> None:
    assert peer_of(peer) == found


def test_signatures_are_left_out_of_the_url() -> None:
    url = "https://a/?sig=1&x=2&Signature=3&AWSAccessKeyId=4&X-Goog-Signature=5&design=6"
    left = "https://a/?sig=REDACTED&x=2&Signature=REDACTED&AWSAccessKeyId=REDACTED&X-Goog-Signature=REDACTED&design=6"
    assert redacted(url) == left


@pytest.mark.parametrize(("most", "error"), [("x", TypeError), (True, TypeError), (-1, ValueError)])
def test_most_servers_is_checked(most: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="most_servers"):
        Telemetry(most_servers=most)


def test_importing_httpcore_loads_no_telemetry() -> None:
    program = "import sys, httpcore; httpcore.Client(); print({'opentelemetry', 'httpcore.contrib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout == "set()\n"
