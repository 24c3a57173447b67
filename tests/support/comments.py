"""The lines of a source text that have a comment for readers."""

from __future__ import annotations

import io
import tokenize


def commented_lines(text: str) -> set[int]:
    """Comments that are for tools alone do not count."""
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and is_for_readers(token.string):
            found.add(token.start[0])
    return found


def is_for_readers(comment: str) -> bool:
    """Whether a comment is for readers, also after a part for tools: `# noqa: F401 - to be loaded`, or
    `# type: ignore[misc]  # that is the test`.
    """
    words = comment.removeprefix("#").strip()
    if words.startswith(("noqa", "type: ignore")):
        return " - " in words or " # " in words
    return bool(words)
