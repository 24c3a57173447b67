"""The results as a picture: a row for each work, a bar for each client, which begins at the line of ours.

An SVG that stands alone, for light and dark pages. The axis is logarithmic: twice as much is as far to the right as
half is to the left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log2

from results import Found, Results
from works import Work, is_floor, is_ours

WIDTH = 900
LEFT, RIGHT = 400, 800  # of the axis; names to the left of it, room for the last bar's text to the right
LOWEST, HIGHEST = -3, 4  # powers of two; a longer bar ends there, and its text has its ratio
BAR, GAP, TOP = 13, 12, 66

STYLE = """
svg { font: 11px system-ui, -apple-system, "Segoe UI", sans-serif; }
text { fill: #24292f; } .dim { fill: #6e7781; }
.title { font-size: 15px; font-weight: 600; } .work { font-weight: 600; }
line { stroke: #d0d7de; } .one { stroke: #0a7d6c; stroke-width: 2; }
.peer { fill: #8da3b8; } .floor { fill: #d3d9e0; } .ours { fill: #0a7d6c; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .dim { fill: #9198a1; }
  line { stroke: #3d444d; } .one { stroke: #2dbfa5; }
  .peer { fill: #5f7993; } .floor { fill: #3a424c; } .ours { fill: #2dbfa5; }
}
"""


def place(ratio: float) -> float:
    """The position on the axis."""
    power = min(max(log2(max(ratio, 1e-9)), LOWEST), HIGHEST)
    return LEFT + (power - LOWEST) / (HIGHEST - LOWEST) * (RIGHT - LEFT)


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(client: str, ratio: float, y: float) -> list[str]:
    """The bar, and its client and ratio beyond its end."""
    start, end = place(1), place(ratio)
    kind = "floor" if is_floor(client) else "ours" if is_ours(client) else "peer"
    left, width = min(start, end), max(abs(end - start), 2)
    times = f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"
    label = text(end + 5, y + 9, times) if ratio >= 1 else text(end - 5, y + 9, times, anchor="end")
    shape = f'<rect x="{left:.1f}" y="{y:.0f}" width="{width:.1f}" height="{BAR - 3}" rx="2" class="{kind}"/>'
    return [shape, label, text(LEFT - 50, y + 9, client, "dim", "end")]


def group(work: Work, found: Mapping[str, Found], y: float) -> tuple[list[str], float]:
    """The bars of one work, and the position of the next. Ours is the line, so it has no bar; its cost is written
    instead.
    """
    first = work.clients[0]
    lines = [text(8, y + 9, work.name, "work")]
    if first in found:
        lines.append(text(8, y + 9 + BAR, f"{first}: {found[first].figure(work.measure)}", "dim"))
    start = y
    for client, cell in found.items():
        if client != first and cell.of_ours is not None:
            lines += bar(client, cell.of_ours, y)
            y += BAR
    return lines, max(y, start + 2 * BAR) + GAP


def picture(works: Sequence[Work], results: Results) -> str:
    bars: list[str] = []
    y: float = TOP
    for work in works:
        if found := results.get(work.name):
            lines, y = group(work, found, y)
            bars += lines
    axis = []
    for power in range(LOWEST, HIGHEST + 1):
        x = place(2.0**power)
        kind = "one" if power == 0 else ""
        axis.append(f'<line x1="{x:.1f}" y1="{TOP - 10}" x2="{x:.1f}" y2="{y - GAP:.0f}" class="{kind}"/>')
        name = "httpcore" if power == 0 else f"{2**power}x" if power > 0 else f"1/{2**-power}"
        axis.append(text(x, TOP - 16, name, "work" if power == 0 else "dim", "middle"))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" width="{WIDTH}" height="{y:.0f}"'
            ' role="img" aria-label="Cost of the same work as a multiple of httpcore\'s">',
            f"<style>{STYLE}</style>",
            text(8, 22, "Cost of the same work, as a multiple of httpcore's (to the left is cheaper)", "title"),
            *axis,
            *bars,
            "</svg>\n",
        ]
    )
