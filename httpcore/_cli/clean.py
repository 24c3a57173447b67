"""Text that is safe on a terminal: bytes of a server may move the cursor, rename the window, or send input in the
user's place.

A line of our own has every character escaped that is not printable. In a body, line ends and tabs are kept, and
so are characters that only join others (in emoji, in Persian); characters that change the direction of writing are
escaped too, since they make a text look like another one.
"""

from __future__ import annotations

import re
from typing import Final

from .._errors import printable

__all__ = ["body_text", "line_text"]

_UNSAFE: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def line_text(raw: bytes | str) -> str:
    """One line of text, of octets that are most likely UTF-8."""
    return printable(raw if isinstance(raw, str) else raw.decode("utf-8", "backslashreplace"))


def body_text(text: str) -> str:
    """A part of a body, with its line ends as LF."""
    return _UNSAFE.sub(lambda found: repr(found[0])[1:-1], text.replace("\r\n", "\n"))
