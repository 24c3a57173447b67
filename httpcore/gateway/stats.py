"""What a gateway counts, as values, and as text for Prometheus."""

from __future__ import annotations

from .._values import dataclass

__all__ = ["GatewayStats", "UpstreamStats", "prometheus"]


@dataclass(frozen=True, slots=True)
class UpstreamStats:
    """One upstream, at one moment.

    Attributes:
        name: its URL without the path.
        requests: sent to it so far, those that were sent again included.
        failures: of these, how many got no response.
        outstanding: not answered completely yet.
        is_up: as the checks say.
        is_ejected: requests that failed leave it out for now.
    """

    name: str
    requests: int
    failures: int
    outstanding: int
    is_up: bool
    is_ejected: bool


@dataclass(frozen=True, slots=True)
class GatewayStats:
    """A gateway in one process, at one moment.

    Attributes:
        under_way: requests that are being served.
        waiting: requests in the queue.
        responses: sent so far, by status class: 0 is 1xx, 1 is 2xx, up to 5, which is cut off or left by the client.
        retries: requests that were sent to another upstream.
        upstreams: one for each.
    """

    under_way: int
    waiting: int
    responses: tuple[int, ...]
    retries: int
    upstreams: tuple[UpstreamStats, ...]


_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "none")


def prometheus(stats: GatewayStats) -> str:
    """The text format of Prometheus, version 0.0.4. Labels are upstreams and status classes: never paths or clients."""
    lines = []

    def metric(name: str, kind: str, text: str, rows: list[tuple[str, int]]) -> None:
        lines.append(f"# HELP httpcore_gateway_{name} {text}")
        lines.append(f"# TYPE httpcore_gateway_{name} {kind}")
        lines.extend(f"httpcore_gateway_{name}{labels} {value}" for labels, value in rows)

    def each(values: list[int]) -> list[tuple[str, int]]:
        names = [_label(upstream.name) for upstream in stats.upstreams]
        return [(f'{{upstream="{name}"}}', value) for name, value in zip(names, values, strict=True)]

    metric("requests_under_way", "gauge", "Requests that are being served.", [("", stats.under_way)])
    metric("requests_waiting", "gauge", "Requests in the queue.", [("", stats.waiting)])
    by_class = [(f'{{class="{name}"}}', count) for name, count in zip(_CLASSES, stats.responses, strict=True)]
    metric("responses_total", "counter", "Responses by status class.", by_class)
    metric("retries_total", "counter", "Requests sent to another upstream.", [("", stats.retries)])
    ups = stats.upstreams
    metric("upstream_requests_total", "counter", "Requests sent to it.", each([up.requests for up in ups]))
    metric("upstream_failures_total", "counter", "Requests without a response.", each([up.failures for up in ups]))
    metric("upstream_outstanding", "gauge", "Requests not answered yet.", each([up.outstanding for up in ups]))
    taking_part = [int(up.is_up and not up.is_ejected) for up in ups]
    metric("upstream_available", "gauge", "1 where requests go to it.", each(taking_part))
    return "\n".join(lines) + "\n"


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
