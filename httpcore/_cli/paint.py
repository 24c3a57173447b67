"""Colours on a terminal, where `rich` is installed (the extra `cli`): it detects the colours of the terminal."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .output import Console

if TYPE_CHECKING:
    from rich.console import Console as Rich

__all__ = ["Line", "Painter", "plain"]

Line = Sequence[tuple[str, str]]
"""Texts with styles, so that one description serves terminals with colours and without."""


def plain(line: Line) -> str:
    return "".join([text for text, _ in line])


class Painter:
    """Turns lines into text, for the standard error output."""

    def __init__(self, console: Console) -> None:
        is_plain = not console.stderr.isatty() or "NO_COLOR" in os.environ or find_spec("rich") is None
        self._rich = None if is_plain else _rich()

    def text(self, line: Line) -> str:
        """The line, without a line end."""
        rich = self._rich
        if rich is None:
            return plain(line)
        from rich.text import Text  # optional

        with rich.capture() as capture:
            rich.print(Text.assemble(*line), soft_wrap=True, end="")
        return capture.get()


def _rich() -> Rich:
    from rich.console import Console as Rich  # optional

    return Rich(file=io.StringIO(), force_terminal=True, highlight=False)
