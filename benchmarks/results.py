"""The results of one client's work, and their text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from works import Measure


class Found(NamedTuple):
    """Medians of all results of its processes, and the medians of the ratios within a round: to ours, to the floor."""

    values: Mapping[str, Any]
    of_ours: float | None
    of_floor: float | None

    def figure(self, measure: Measure) -> str:
        if self.values[measure.key] < measure.least:
            return f"under {measure.least * measure.scale:g} {measure.unit}"
        return f"{self.values[measure.key] * measure.scale:,.{measure.digits}f} {measure.unit}"

    def cells(self, measure: Measure) -> list[str]:
        """The texts of the columns `TITLES`."""
        values = self.values
        per_second = values.get("per_second") or (1e6 / values["wall_us"] if values.get("wall_us") else None)
        more = []
        if values.get("selects"):
            more.append(f"{values['selects']:.2f} selects")
        if "modules" in values:
            more.append(f"{values['modules']:.0f} modules {values['brings'] and '(' + values['brings'] + ')'}".strip())
        for rate in ("100", "1000"):
            if f"p99_ms_{rate}" in values:
                times = f"{values[f'median_ms_{rate}']:.2f} / {values[f'p99_ms_{rate}']:.2f}"
                more.append(f"{times} ms at {int(rate):,} events/s (median / p99)")
        if "streams" in values:
            more.append(f"{values['streams']:,.0f} streams")
        return [
            self.figure(measure),
            "" if per_second is None else f"{per_second:,.{0 if per_second > 20 else 1}f}",
            f"{values['peak_mb']:,.0f}" if "peak_mb" in values else "",
            *("" if ratio is None else f"{ratio:.2f}" for ratio in (self.of_floor, self.of_ours)),
            ", ".join(more),
        ]

    def line(self, measure: Measure) -> str:
        *cells, more = self.cells(measure)
        return "".join(text.rjust(width) for text, width in zip(cells, WIDTHS, strict=True)) + "  " + more

    @staticmethod
    def titles() -> str:
        return "".join(text.rjust(width) for text, width in zip(TITLES, WIDTHS, strict=False))


TITLES = ("cost", "per second", "peak MB", "of floor", "of ours", "")
WIDTHS = (16, 12, 9, 10, 9)

Results = dict[str, dict[str, Found]]
"""By work and client."""
