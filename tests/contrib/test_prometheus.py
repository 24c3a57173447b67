"""Metrics as prometheus_client's own registry keeps and writes them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, answering, ok

import httpcore
from httpcore.contrib.prometheus import Metrics

DURATION = "http_client_request_duration_seconds"


def samples(registry: CollectorRegistry, name: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series of that name, as a scraper reads them from the text."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return [(dict(sample.labels), sample.value) for sample in found]


MOVED = b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"


def several(peer: Peer) -> None:
    while head := peer.head():
        peer.send(MOVED if head.split()[1] == b"/moved" else ok(b"Hello"))


@each_runtime
def test_a_request_is_counted_by_the_labels_of_the_conventions(runtime: Runtime) -> None:
    registry = CollectorRegistry()
    with ScriptedServer(several) as server:

        async def main() -> None:
            async with runtime.pool(trace=Metrics(registry)) as http:
                for _ in range(3):
                    await http.request("GET", server.url)

        runtime.run(main)
    place = {"http_request_method": "GET", "server_address": "127.0.0.1", "server_port": str(server.port)}
    found = {"http_response_status_code": "200", "network_protocol_version": "1.1", "error_type": ""}
    assert samples(registry, f"{DURATION}_count") == [({**place, **found}, 3)]
    assert 0 < samples(registry, f"{DURATION}_sum")[0][1] < 10
    bounds = [float(labels["le"]) for labels, _ in samples(registry, f"{DURATION}_bucket")]
    assert bounds == [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, float("inf")]
    assert samples(registry, "http_client_active_requests") == [(place, 0)]
    assert samples(registry, "http_client_connections_opened_total") == [({}, 1)]
    assert samples(registry, "http_client_connections_closed_total") == [({"reason": "pool_closed"}, 1)]


def test_clients_count_each_hop_and_share_a_registry() -> None:
    registry = CollectorRegistry()
    with ScriptedServer(several) as server:
        with httpcore.Client(trace=Metrics(registry)) as client:
            client.get(f"{server.url}/moved")

        async def main() -> None:
            async with httpcore.AsyncClient(trace=Metrics(registry)) as client:
                await client.get(f"{server.url}/moved")

        asyncio.run(main())
    by_status = {labels["http_response_status_code"]: value for labels, value in samples(registry, f"{DURATION}_count")}
    assert by_status == {"302": 2, "200": 2}
    assert [value for _, value in samples(registry, "http_client_resends_total")] == [2]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "httpcore.RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "httpcore.RemoteProtocolError"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "404"),
    ],
)
def test_the_error_is_a_label(answer: bytes, kind: str) -> None:
    registry = CollectorRegistry()
    with ScriptedServer(answering(answer)) as server, httpcore.SyncConnectionPool(trace=Metrics(registry)) as http:
        try:
            http.request("GET", server.url)
        except httpcore.RemoteProtocolError:
            pass
    assert [labels["error_type"] for labels, _ in samples(registry, f"{DURATION}_count")] == [kind]
    assert [value for _, value in samples(registry, "http_client_active_requests")] == [0]


def test_labels_stay_few_for_any_peers_and_callers() -> None:
    registry = CollectorRegistry()
    statuses = list(range(600, 640))

    def script(peer: Peer) -> None:
        while peer.head():
            peer.send(ok(b"").replace(b"200", b"%d" % statuses.pop()))

    hosts = [f"host{n}.test" for n in range(40)]
    with ScriptedServer(script) as server:
        settings: dict[str, Any] = {"resolve": dict.fromkeys(hosts, "127.0.0.1")}
        with httpcore.SyncConnectionPool(trace=Metrics(registry, most_servers=3), **settings) as http:
            for number, host in enumerate(hosts):
                http.request(f"M{number}", f"http://{host}:{server.port}/")
    series = samples(registry, f"{DURATION}_count")
    assert len(series) == 4
    assert {labels["server_address"] for labels, _ in series} == {"host0.test", "host1.test", "host2.test", "_OTHER"}
    assert {labels["http_response_status_code"] for labels, _ in series} == {"_OTHER"}


def test_a_name_that_is_taken_is_an_error_at_once() -> None:
    registry = CollectorRegistry()
    Counter("http_client_resends", "Another library's.", registry=registry)
    with pytest.raises(ValueError, match="http_client_resends"):
        Metrics(registry)
