"""The counts of a gateway, as values, and as text for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._values import dataclass

__all__ = ["GatewayStats", "UpstreamStats", "added", "ended", "packed", "prometheus", "unpacked"]


@dataclass(frozen=True, slots=True)
class UpstreamStats:
    """The counts and the state of one upstream, at one moment.

    Attributes:
        name: its URL without the path.
        requests: requests sent to it so far, including those that were sent again.
        failures: how many of these requests got no response.
        outstanding: how many of these requests have no complete response yet.
        is_up: False if the health checks exclude the upstream.
        is_ejected: whether failed requests exclude the upstream for now.
    """

    name: str
    requests: int
    failures: int
    outstanding: int
    is_up: bool
    is_ejected: bool


@dataclass(frozen=True, slots=True)
class GatewayStats:
    """The counts of a gateway in one process, at one moment.

    Attributes:
        under_way: requests that are being served.
        waiting: requests in the queue.
        responses: responses sent so far, by status class: index 0 is 1xx, 1 is 2xx, up to 4 for 5xx. Index 5 counts the
            requests whose response was cut off, or whose client disconnected.
        retries: requests that were sent to another upstream.
        upstreams: an `UpstreamStats` for each upstream.
    """

    under_way: int
    waiting: int
    responses: tuple[int, ...]
    retries: int
    upstreams: tuple[UpstreamStats, ...]


_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "none")


_NOTHING = GatewayStats(0, 0, (0,) * len(_CLASSES), 0, ())


def prometheus(stats: GatewayStats, *others: GatewayStats) -> str:
    """The counts in the text format of Prometheus, version 0.0.4. The counts of several gateways, e.g. of several
    processes, are added up.

    Labels are upstreams and status classes: never paths or clients.
    """
    every = (stats, *others)
    total = added(every)
    lines = []

    def metric(name: str, kind: str, text: str, rows: list[tuple[str, int]]) -> None:
        lines.append(f"# HELP httpcore_gateway_{name} {text}")
        lines.append(f"# TYPE httpcore_gateway_{name} {kind}")
        lines.extend(f"httpcore_gateway_{name}{labels} {value}" for labels, value in rows)

    def each(values: list[int]) -> list[tuple[str, int]]:
        names = [_label(upstream.name) for upstream in total.upstreams]
        return [(f'{{upstream="{name}"}}', value) for name, value in zip(names, values, strict=True)]

    metric("requests_under_way", "gauge", "Requests in progress.", [("", total.under_way)])
    metric("requests_waiting", "gauge", "Requests in the queue.", [("", total.waiting)])
    by_class = [(f'{{class="{name}"}}', count) for name, count in zip(_CLASSES, total.responses, strict=True)]
    metric("responses_total", "counter", "Responses by status class.", by_class)
    metric("retries_total", "counter", "Requests that were sent to another upstream.", [("", total.retries)])
    ups = total.upstreams
    metric("upstream_requests_total", "counter", "Requests sent to the upstream.", each([up.requests for up in ups]))
    metric(
        "upstream_failures_total",
        "counter",
        "Requests to the upstream that got no response.",
        each([up.failures for up in ups]),
    )
    metric(
        "upstream_outstanding",
        "gauge",
        "Requests to the upstream without a complete response yet.",
        each([up.outstanding for up in ups]),
    )
    taking_part = [sum(_is_available(each, up.name) for each in every) for up in ups]
    metric("upstream_available", "gauge", "Gateways that use the upstream.", each(taking_part))
    return "\n".join(lines) + "\n"


def _is_available(stats: GatewayStats, name: str) -> bool:
    return any(up.is_up and not up.is_ejected for up in stats.upstreams if up.name == name)


def added(every: Iterable[GatewayStats]) -> GatewayStats:
    """The sums of the counts. An upstream of several gateways is up if it is up for one of them, and ejected if it is
    for all.
    """
    total = _NOTHING
    for stats in every:
        upstreams = {up.name: up for up in total.upstreams}
        for up in stats.upstreams:
            upstreams[up.name] = _sum(upstreams[up.name], up) if up.name in upstreams else up
        total = GatewayStats(
            total.under_way + stats.under_way,
            total.waiting + stats.waiting,
            tuple([one + other for one, other in zip(total.responses, stats.responses, strict=True)]),
            total.retries + stats.retries,
            tuple(upstreams.values()),
        )
    return total


def _sum(one: UpstreamStats, other: UpstreamStats) -> UpstreamStats:
    return UpstreamStats(
        one.name,
        one.requests + other.requests,
        one.failures + other.failures,
        one.outstanding + other.outstanding,
        one.is_up or other.is_up,
        one.is_ejected and other.is_ejected,
    )


def ended(stats: GatewayStats) -> GatewayStats:
    """The counts of a process that has ended: its totals are kept, but it has no requests in progress and no upstreams
    in use.
    """
    upstreams = [UpstreamStats(up.name, up.requests, up.failures, 0, False, True) for up in stats.upstreams]
    return GatewayStats(0, 0, stats.responses, stats.retries, tuple(upstreams))


def packed(stats: GatewayStats) -> list[Any]:
    """The counts as values of JSON, to send them to another process of the same version."""
    upstreams = [[up.name, up.requests, up.failures, up.outstanding, up.is_up, up.is_ejected] for up in stats.upstreams]
    return [stats.under_way, stats.waiting, list(stats.responses), stats.retries, upstreams]


def unpacked(values: list[Any]) -> GatewayStats:
    """The opposite of `packed`."""
    under_way, waiting, responses, retries, upstreams = values
    return GatewayStats(
        under_way, waiting, tuple(responses), retries, tuple([UpstreamStats(*each) for each in upstreams])
    )


def _label(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
