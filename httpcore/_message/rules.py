"""How a pool reads responses: strictly or not, and up to which size; and the names of the accepted deviations.

The table of `Leniency` is complete: any other deviation is refused, even if many other programs accept it.
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
"""The deviations of a response that are accepted unless the pool is strict. `ResponseInfo.lenient` lists those found.

- "line-end": a line of a head, of a chunk or of the trailers ends in LF alone (RFC 9112, 2.2).
- "folded-field": a field continues in lines that begin with a blank; each such line end became a space (RFC 9112, 5.2).
- "repeated-length": Content-Length is repeated with the same value (RFC 9112, 6.3).
- "control-character": a field's value has a control character other than CR, LF and NUL (RFC 9110, 5.5).
- "chunked-in-http10": a chunked body in HTTP/1.0 (RFC 9112, 6.1).
- "connect-framing": a 2xx to CONNECT has fields about a body that contradict each other (RFC 9110, 9.3.6).
- "blank-after-chunk-size": blanks at the end of a chunk's line (RFC 9112, 7.1).
- "blank-around-value": over HTTP/2, a value begins or ends with a blank, which was removed (RFC 9113, 8.2.1).
- "unknown-coding": a content coding that is not registered; it was not decoded (RFC 9110, 8.4).
- "text-behind-gzip": bytes after a complete gzip body, which were ignored.
"""

LENIENCIES: Final[tuple[Leniency, ...]] = Leniency.__args__  # type: ignore[attr-defined]


class ReadRules(NamedTuple):
    """The rules by which a pool accepts responses.

    Attributes:
        strict: refuse every deviation that `Leniency` names.
        head_bytes: the most bytes of one head or trailer section on the wire; over HTTP/2 also decompressed.
        field_count: the most fields in one head or trailer section.
    """

    strict: bool = False
    head_bytes: int = HEAD_BYTES
    field_count: int = FIELD_COUNT


DEFAULT_RULES: Final = ReadRules()
STRICT: Final = ReadRules(strict=True)


def noted(names: tuple[Leniency, ...], *more: Leniency) -> tuple[Leniency, ...]:
    """Return `names` and `more` together, each name once."""
    return tuple(dict.fromkeys((*names, *more)))
