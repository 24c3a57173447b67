"""How the responses of a pool are read: strictly or not, and up to which size; and the names of what is unusual.

The table of `Leniency` is closed: what is not in it is refused, however many other programs read it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from .fields import FIELD_COUNT, HEAD_BYTES

__all__ = ["DEFAULT_RULES", "LENIENCIES", "STRICT", "Leniency", "ReadRules", "noted"]

Leniency = Literal[
    "line-end",
    "folded-field",
    "repeated-length",
    "control-character",
    "chunked-in-http10",
    "connect-framing",
    "blank-after-chunk-size",
    "blank-around-value",
    "unknown-coding",
    "text-behind-gzip",
]
"""What may be unusual about a response that is handed on all the same. Public as the values of `ResponseInfo.lenient`.

- "line-end": a line of a head, of a chunk or of the trailers ends in LF alone (RFC 9112, 2.2).
- "folded-field": a field goes on in lines that begin with a blank; each such line end became a space (RFC 9112, 5.2).
- "repeated-length": Content-Length several times, each the same (RFC 9112, 6.3).
- "control-character": a field's value has one, which is neither CR nor LF nor NUL (RFC 9110, 5.5).
- "chunked-in-http10": a chunked body in HTTP/1.0 (RFC 9112, 6.1).
- "connect-framing": a 2xx to CONNECT has fields about a body that contradict each other (RFC 9110, 9.3.6).
- "blank-after-chunk-size": blanks at the end of a chunk's line (RFC 9112, 7.1).
- "blank-around-value": HTTP/2, a value begins or ends with a blank, which is left out (RFC 9113, 8.2.1).
- "unknown-coding": a content coding that is not registered; the body is as sent (RFC 9110, 8.4).
- "text-behind-gzip": bytes behind a complete gzip body, which are left out.
"""

LENIENCIES: Final[tuple[Leniency, ...]] = Leniency.__args__  # type: ignore[attr-defined]


class ReadRules(NamedTuple):
    """What a pool accepts from its peers.

    Attributes:
        strict: refuse whatever `Leniency` has a name for.
        head_bytes: of one head, or of a trailer section, on the wire; over HTTP/2 also decompressed.
        field_count: fields in one head, or in one trailer section.
    """

    strict: bool = False
    head_bytes: int = HEAD_BYTES
    field_count: int = FIELD_COUNT


DEFAULT_RULES: Final = ReadRules()
STRICT: Final = ReadRules(strict=True)


def noted(names: tuple[Leniency, ...], *more: Leniency) -> tuple[Leniency, ...]:
    """The names with more of them, each once."""
    return tuple(dict.fromkeys((*names, *more)))
