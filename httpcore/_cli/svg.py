"""The waterfall as an SVG image. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, log10
from typing import Final
from xml.sax.saxutils import escape

from .chart import milliseconds
from .clean import line_text
from .timeline import Exchange, Span

__all__ = ["svg_of"]

WIDTH: Final = 960
_LEFT: Final = 96  # where the axis begins; names of phases stand before it
_RIGHT: Final = 120  # the room beside the axis, for times
_ROW: Final = 24
_TOP: Final = 16
_AXIS: Final = 32
_LETTERS: Final = 112  # the most letters of a title, so that it fits

# Readable on white beside black text, and distinguishable without colour vision (Okabe and Ito).
COLOURS: Final = {
    "queue": "#999999",
    "DNS": "#56b4e9",
    "connect": "#e69f00",
    "tunnel": "#0072b2",
    "TLS": "#cc79a7",
    "send": "#f0e442",
    "wait": "#009e73",
    "body": "#4d7fff",
    "pause": "#cccccc",
}
_FAILED: Final = "#d00000"
_HEAD: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" '
    'font-family="sans-serif" font-size="13">'
)


def svg_of(exchanges: Sequence[Exchange]) -> str:
    """The image, as text of XML."""
    total = max([exchange.end for exchange in exchanges], default=0.0)
    rows = sum(1 + len(exchange.spans) for exchange in exchanges)
    height = _TOP + rows * _ROW + _AXIS
    parts = [
        _HEAD.format(WIDTH, height),
        f"<title>{_text('; '.join(f'{e.method} {e.url} {e.outcome}' for e in exchanges))}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_axis(total, height - _AXIS),
        *_rows(exchanges, total),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(text: str) -> str:
    return escape(line_text(text))


def _x(seconds: float, total: float) -> float:
    share = seconds / total if total > 0 else 0.0
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _axis(total: float, bottom: float) -> Iterator[str]:
    for tick in ticks(total):
        x = _x(tick, total)
        yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#555555">{milliseconds(tick)}</text>'


def ticks(total: float) -> list[float]:
    """Round times from 0 up to the total, at most seven."""
    if total <= 0:
        return [0.0]
    power = 10.0 ** floor(log10(total / 6))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if total / (power * factor) <= 6)
    return [number * step for number in range(int(total / step) + 1)]


def _rows(exchanges: Sequence[Exchange], total: float) -> Iterator[str]:
    y = _TOP
    for exchange in exchanges:
        yield _title(exchange, y)
        y += _ROW
        for span in exchange.spans:
            yield from _row(span, total, y)
            y += _ROW


def _title(exchange: Exchange, y: int) -> str:
    request = f"{exchange.method} {exchange.url}"
    if len(request) > _LETTERS:
        request = request[:_LETTERS] + "…"
    colour = "#000000" if exchange.outcome.isdecimal() else _FAILED
    return (
        f'<text x="8" y="{y + 17}" font-weight="bold">{_text(request)} '
        f'<tspan fill="{colour}">{_text(exchange.outcome)}</tspan></text>'
    )


def _row(span: Span, total: float, y: int) -> Iterator[str]:
    start, end = _x(span.start, total), _x(span.end, total)
    width = max(1.5, end - start)
    colour = _FAILED if span.failed else COLOURS[span.phase]
    yield f'<text x="24" y="{y + 17}">{span.phase}</text>'
    yield f'<rect x="{start:.1f}" y="{y + 4}" width="{width:.1f}" height="{_ROW - 8}" rx="2" fill="{colour}"/>'
    mark = " failed" if span.failed else ""
    x = start + width + 6
    yield f'<text x="{x:.1f}" y="{y + 17}">{milliseconds(span.end - span.start)}{mark}</text>'
