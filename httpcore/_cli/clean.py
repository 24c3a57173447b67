"""Text that is safe on a terminal: what a server sent may move the cursor, rename the window, or answer for the user.

A line of our own has every character escaped that is not printable. Of a body line ends and tabs stay, and so do
characters that only join others (in emoji, in Persian); what turns the direction of writing is escaped too, since it
shows another text than there is.
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
