"""The progress of a transfer, on one line of a terminal. `bar_line` is pure; `Bar` writes the line again and again, by
the clock.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from time import monotonic
from typing import Final

from .._client.delivery import Progress
from .output import Console
from .paint import Line, Painter, plain

__all__ = ["Bar", "bar_line", "duration", "size"]

_AGAIN: Final = 0.1  # seconds between two updates of the bar
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Bytes, for people: "1.5 MiB"."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """Minutes and seconds: "1:05"."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def bar_line(progress: Progress, elapsed: float, width: int) -> Line:
    """The bar at one moment, in at most `width` characters."""
    done, total = progress.done, progress.total
    speed = done / elapsed if elapsed > 0 else 0.0
    facts = f"{size(done)}, {size(speed)}/s"
    left = f"{progress.direction:>8} "
    if not total:
        return [(f"{left}{facts}, {duration(elapsed)}"[:width], "")]
    share = min(1.0, done / total)
    remaining = duration((total - done) / speed) if speed else "-:--"
    right = f" {share:4.0%} of {size(total)}, {size(speed)}/s, {remaining} left"
    room = width - len(left) - len(right) - 2
    if room < 5:
        return [((left + right.strip())[:width], "")]
    filled = int(room * share)
    return [
        (left, ""),
        ("[", "dim"),
        ("#" * filled, "green"),
        ("." * (room - filled), "dim"),
        ("]", "dim"),
        (right, ""),
    ]


class Bar:
    """Shows the progress on the standard error output."""

    def __init__(self, console: Console, painter: Painter, now: Callable[[], float] = monotonic) -> None:
        self._console = console
        self._painter = painter
        self._now = now
        self._start_times: dict[str, float] = {}
        self._shown_at = float("-inf")
        self._last: Progress | None = None
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        now = self._now()
        last = self._last
        if last is None or last.direction != progress.direction or progress.done < last.done:
            self._start_times[progress.direction] = now
        self._last = progress
        if now - self._shown_at >= _AGAIN:
            self._show(progress, now)

    def _show(self, progress: Progress, now: float) -> None:
        self._shown_at = now
        line = bar_line(progress, now - self._start_times[progress.direction], shutil.get_terminal_size().columns - 1)
        width = len(plain(line))
        self._console.show("\r" + self._painter.text(line) + " " * (self._width - width))
        self._width = width

    def clear(self) -> None:
        """Remove the line, so that another can be written there."""
        if self._width:
            self._console.show("\r" + " " * self._width + "\r")
            self._width = 0

    def close(self) -> None:
        """Show the last state of the bar, which stays visible."""
        if self._last is not None and self._shown_at > float("-inf"):
            self._show(self._last, self._now())
            self._console.show("\n")
            self._last, self._width = None, 0
