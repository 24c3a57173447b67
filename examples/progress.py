"""A progress display: on a terminal one line that is rewritten, elsewhere a line for each tenth."""

from __future__ import annotations

import sys


class Progress:
    """Shows how many of `size` bytes were transferred; None means that the size is not known."""

    def __init__(self, what: str, size: int | None) -> None:
        self._what = what
        self._size = size
        self._done = 0
        self._shown = -1
        self._terminal = sys.stderr.isatty()

    def add(self, count: int) -> None:
        self._done += count
        steps = 100 if self._terminal else 10
        step = self._done * steps // self._size if self._size else self._done // 10_000_000
        if step != self._shown:
            self._shown = step
            self._show()

    def _show(self) -> None:
        text = f"{self._what}: {self._done / 1e6:.1f} MB"
        if self._size:
            part = self._done / self._size
            text = f"{text} of {self._size / 1e6:.1f} [{'#' * round(part * 20):20}] {part:4.0%}"
        print(f"\r{text}" if self._terminal else f"   {text}", end="" if self._terminal else "\n", file=sys.stderr)

    def end(self) -> None:
        if self._terminal:
            print(file=sys.stderr)
