"""The waterfall as lines of text: a bar for each phase, all on one axis of time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .clean import line_text
from .paint import Line
from .timeline import Exchange, Span

__all__ = ["chart_lines", "milliseconds"]

STYLES: Final = {
    "queue": "bright_black",
    "DNS": "cyan",
    "connect": "yellow",
    "tunnel": "blue",
    "TLS": "magenta",
    "send": "bright_blue",
    "wait": "green",
    "body": "bright_cyan",
    "pause": "bright_black",
}
_FAILED: Final = "red"
_TIME: Final = 13  # the width of a time, with the space before it
_NAME: Final = 10


def milliseconds(seconds: float) -> str:
    """A time as text for people, in milliseconds or seconds."""
    if seconds >= 10:
        return f"{seconds:.1f} s"
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms"


def chart_lines(exchanges: Sequence[Exchange], width: int, *, is_unicode: bool) -> list[Line]:
    """The waterfall, in lines of at most `width` characters."""
    if not exchanges:
        return []
    total = max(exchange.end for exchange in exchanges)
    room = max(10, width - _NAME - _TIME - 2)
    lines: list[Line] = []
    for exchange in exchanges:
        lines.append(_title(exchange, _NAME + room + _TIME + 2, is_unicode=is_unicode))
        lines += [_row(span, total, room, is_unicode=is_unicode) for span in exchange.spans]
    lines.append([(f"{'total':<{_NAME}}{'':{room + 2}}{milliseconds(total):>{_TIME}}", "bold")])
    return lines


def _title(exchange: Exchange, width: int, *, is_unicode: bool) -> Line:
    outcome = f"  {line_text(exchange.outcome)}"
    request = f"{exchange.method} {line_text(exchange.url)}"
    room = width - len(outcome)
    if len(request) > room:
        request = request[: room - 3] + "..."
    failed = not exchange.outcome.isdecimal()
    return [(request, "bold"), (outcome, _FAILED if failed else "bold")]


def _row(span: Span, total: float, room: int, *, is_unicode: bool) -> Line:
    first, last = cells(span, total, room)
    mark, edge = ("█", "│") if is_unicode else ("#", "|")
    style = _FAILED if span.failed else STYLES[span.phase]
    time = milliseconds(span.end - span.start)
    return [
        (f"  {span.phase:<{_NAME - 2}}", style),
        (edge, "dim"),
        (" " * first, ""),
        (mark * (last - first), style),
        (" " * (room - last), ""),
        (edge, "dim"),
        (f"{time:>{_TIME - 2}}", ""),
        (" x" if span.failed else "", _FAILED),
    ]


def cells(span: Span, total: float, room: int) -> tuple[int, int]:
    """The cells of a span, at least one: its first cell, and the cell after its last."""
    if total <= 0:
        return 0, 1
    first = min(room - 1, round(span.start / total * room))
    return first, max(first + 1, min(room, round(span.end / total * room)))
