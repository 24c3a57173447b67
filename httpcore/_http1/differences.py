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
    "an HTTP/1.0 connection is not kept": Apart(
        "persistent",
        re.compile(r"1\.0"),
        "h11 closes it even with `Connection: keep-alive`; RFC 9112, 9.3 allows both",
    ),
    "white space before a chunk extension": Apart(
        "refused",
        re.compile(r"illegal chunk header"),
        "RFC 9112, 7.1.1: a recipient must accept and remove it; h11 refuses it",
    ),
}

# Responses that h11 accepts and we refuse: a pattern for our error, and the reason.
LAXER: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    what: (re.compile(pattern), why)
    for what, pattern, why in (
        (
            "an HTTP version other than 1.0 and 1.1",
            r"expected (a status line.*|the beginning of a response head), got 'HTTP/\d\.\d ",
            "RFC 9112, 2.3 does not define the format of 0.9, 1.2 and 2.0",
        ),
        (
            "control characters in the reason phrase",
            r"expected a status line.*\\(x[01]|x7f|t)",
            "RFC 9112, 4: only HTAB, SP, VCHAR and obs-text are allowed",
        ),
        (
            "a lone LF in a head",
            r"(expected a (status line|header field).*\\n|a line of the response head ends in LF)",
            "RFC 9112, 2.2 leaves it to the recipient",
        ),
        (
            "a lone LF in a trailer section",
            r"(expected a trailer field.*\\n|a line of the trailer section ends in LF)",
            "RFC 9112, 2.2 and 7.1.2 leave it to the recipient",
        ),
        (
            "a folded line",
            r"expected a (header|trailer) field, got .( |\\t)",
            "RFC 9112, 5.2: line folding is obsolete",
        ),
        (
            "control characters in a field value",
            r"expected a (header|trailer) field, got .*\\x",
            "RFC 9110, 5.5: only HTAB, SP, VCHAR and obs-text are allowed",
        ),
        (
            "one Content-Length field with a list of equal values",
            r"the peer sent Content-Length '(\d+)(, \1)+': expected 1 to 19 digits",
            "RFC 9112, 6.3 leaves it to the recipient",
        ),
        (
            "several Content-Length fields with equal values",
            r"the peer sent \d+ Content-Length headers",
            "RFC 9112, 6.3 leaves it to the recipient",
        ),
        (
            "a Content-Length of twenty digits",
            r"the peer sent Content-Length '\d{20}': expected 1 to 19 digits",
            "RFC 9110, 8.6: a recipient must expect numbers that are too large",
        ),
        (
            "both Content-Length and Transfer-Encoding",
            r"the peer sent Content-Length '.*' and Transfer-Encoding",
            "RFC 9112, 6.3: it may be an attack, and ought to be handled as an error",
        ),
        (
            "Transfer-Encoding in HTTP/1.0",
            r"the peer sent Transfer-Encoding '.*' in an HTTP/1.0 response: expected none",
            "RFC 9112, 6.1: the framing of the message is faulty",
        ),
        (
            "a malformed chunk size or chunk extension",
            r"expected a chunk's size and extensions",
            "RFC 9112, 7.1 and 7.1.1; h11 accepts any extension",
        ),
        (
            "Content-Length as a trailer",
            r"the peer sent 'content-length' as a trailer",
            "RFC 9110, 6.5.1: a field that is needed for framing must not be a trailer",
        ),
        (
            "Transfer-Encoding as a trailer",
            r"the peer sent 'transfer-encoding' as a trailer",
            "RFC 9110, 6.5.1: a field that is needed for framing must not be a trailer",
        ),
        (
            "input beyond a limit",
            r".*(longer than|expected at most|more than \d+ interim|more than the body has)",
            "fields, interim heads and chunk extensions have limits here, see docs/security.md",
        ),
    )
}


def explains(how: str, evidence: str) -> bool:
    """Whether a row explains why h11 refuses a response that we accept, or reads it differently."""
    return any(row.how == how and row.evidence.search(evidence) for row in APART.values())


def is_known_acceptance(error: str) -> bool:
    """Whether a row explains why h11 accepts a response that we refuse with this error."""
    return any(pattern.match(error) for pattern, _ in LAXER.values())
