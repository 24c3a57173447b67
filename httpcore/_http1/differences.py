"""The differences between h11 and our grammar for HTTP/1.1 responses, each with its reason: a closed table.

The shadow engine reports any difference that is not here. `docs/reference/engines.md` shows the table, and
`tests/http1/test_h11_engine.py` has an example for each row, so that a row which is no longer true fails a test.
"""

from __future__ import annotations

import re
from typing import Final

from .._values import dataclass

__all__ = ["APART", "LAXER", "Apart", "explains", "is_known_acceptance"]


@dataclass(frozen=True, slots=True)
class Apart:
    """A difference for a response that we read: h11 reads it with another result, or refuses it.

    Attributes:
        how: what differs: "persistent" or "refused".
        evidence: a pattern for the version and Connection fields, or for the message of h11.
        why: the reason, with the section of the RFC.
    """

    how: str
    evidence: re.Pattern[str]
    why: str


APART: Final[dict[str, Apart]] = {
    "no connection of HTTP/1.0 is kept": Apart(
        "persistent",
        re.compile(r"1\.0"),
        "h11 keeps none, whatever `Connection: keep-alive` says; RFC 9112, 9.3 allows it",
    ),
    "no white space before a chunk extension": Apart(
        "refused",
        re.compile(r"illegal chunk header"),
        "RFC 9112, 7.1.1: a recipient must parse bad white space",
    ),
}

# Responses that h11 accepts and we refuse: a pattern for our error, and the reason.
LAXER: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    what: (re.compile(pattern), why)
    for what, pattern, why in (
        (
            "another version",
            r"expected (a status line.*|the beginning of a response head), got 'HTTP/\d\.\d ",
            "RFC 9112, 2.3 does not say what 0.9, 1.2 and 2.0 look like",
        ),
        (
            "control characters in the reason phrase",
            r"expected a status line.*\\(x[01]|x7f|t)",
            "RFC 9112, 4: HTAB, SP, VCHAR and obs-text",
        ),
        (
            "a lone LF in a head",
            r"(expected a (status line|header field).*\\n|a line of the response head ends in LF)",
            "RFC 9112, 2.2 leaves it to the recipient",
        ),
        (
            "a lone LF in a trailer section",
            r"(expected a trailer field.*\\n|a line of the trailer section ends in LF)",
            "RFC 9112, 2.2 and 7.1.2",
        ),
        (
            "a folded line",
            r"expected a (header|trailer) field, got .( |\\t)",
            "RFC 9112, 5.2 leaves it to the recipient",
        ),
        (
            "control characters in a value",
            r"expected a (header|trailer) field, got .*\\x",
            "RFC 9110, 5.5: HTAB, SP, VCHAR and obs-text",
        ),
        (
            "a list of equal lengths",
            r"the peer sent Content-Length '(\d+)(, \1)+': expected 1 to 19 digits",
            "RFC 9112, 6.3 leaves it to the recipient",
        ),
        (
            "one length twice",
            r"the peer sent \d+ Content-Length headers",
            "RFC 9112, 6.3: the same",
        ),
        (
            "twenty digits of length",
            r"the peer sent Content-Length '\d{20}': expected 1 to 19 digits",
            "RFC 9110, 8.6: beware of numbers that are too large",
        ),
        (
            "length and coding",
            r"the peer sent Content-Length '.*' and Transfer-Encoding",
            "RFC 9112, 6.3: it ought to be taken for an attack",
        ),
        (
            "a coding in HTTP/1.0",
            r"the peer sent Transfer-Encoding '.*' in an HTTP/1.0 response: expected none",
            "RFC 9112, 6.1: its framing is faulty",
        ),
        (
            "a chunk's size and extensions",
            r"expected a chunk's size and extensions",
            "RFC 9112, 7.1 and 7.1.1: h11 takes any extension",
        ),
        (
            "Content-Length as a trailer",
            r"the peer sent 'content-length' as a trailer",
            "RFC 9110, 6.5.1: no field of framing may be one",
        ),
        (
            "Transfer-Encoding as a trailer",
            r"the peer sent 'transfer-encoding' as a trailer",
            "RFC 9110, 6.5.1: the same",
        ),
        (
            "input beyond a limit",
            r".*(longer than|expected at most|more than \d+ interim|more than the body has)",
            "fields, interim heads and chunk extensions are bounded here, see docs/security.md",
        ),
    )
}


def explains(how: str, evidence: str) -> bool:
    """Whether a row explains why h11 refuses a response that we accept, or reads it differently."""
    return any(row.how == how and row.evidence.search(evidence) for row in APART.values())


def is_known_acceptance(error: str) -> bool:
    """Whether a row explains why h11 accepts a response that we refuse with this error."""
    return any(pattern.match(error) for pattern, _ in LAXER.values())
