"""The differences between h2 and our rules for the frames of a server, each with its reason: a closed table.

The shadow engine reports any difference that is not here. `docs/reference/engines.md` shows the table, and
`tests/http2/test_h2_reference.py` has an example for each row, so that a row which is no longer true fails a test.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .frames import (
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST_WINDOW,
    MAX_FRAME_SIZE,
    SETTINGS,
    WINDOW_UPDATE,
    read_settings,
    uint32,
)

__all__ = ["LAXER", "STRICTER", "is_known_acceptance", "is_known_refusal"]

# Frames that we accept and h2 refuses: a pattern for h2's message, and why we are right to accept them.
STRICTER: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    what: (re.compile(pattern), why)
    for what, pattern, why in (
        (
            "empty DATA after the end of a stream",
            r"^a reset$",
            "it is harmless while we still send, and nginx sends it",
        ),
        (
            "WINDOW_UPDATE on a stream that was reset",
            r"non-compliant data",
            "it concerns a closed stream, also with an increment of 0",
        ),
        (
            "WINDOW_UPDATE with the reserved bit set",
            r"non-compliant data",
            "RFC 9113, 6.9: the bit is ignored",
        ),
        (
            "a stream that depends on itself",
            r"may not depend on itself",
            "RFC 9113, 5.3.2: priority signals are deprecated",
        ),
        (
            "white space around a field value",
            r"surrounded by whitespace",
            "it is removed, and `info.lenient` reports it",
        ),
        (
            "Content-Length in the response to CONNECT",
            r"^InvalidBodyLengthError",
            "RFC 9110, 9.3.6: a client must ignore it",
        ),
        (
            "64 CONTINUATION frames",
            r"^Too many continuation frames",
            "h2 counts the HEADERS frame as one of them",
        ),
        (
            "HEADERS with nothing but padding",
            r"invalid padding",
            "RFC 9113, 6.2: a fragment may be empty; h2 does not count the Pad Length byte",
        ),
    )
}

_SETTINGS: Final = {
    "ENABLE_PUSH": ENABLE_PUSH,
    "INITIAL_WINDOW_SIZE": INITIAL_WINDOW_SIZE,
    "MAX_FRAME_SIZE": MAX_FRAME_SIZE,
    "ENABLE_CONNECT_PROTOCOL": ENABLE_CONNECT_PROTOCOL,
}
# Frames that h2 accepts and we refuse: a pattern for our error, and the reason.
LAXER: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    what: (re.compile(pattern), why)
    for what, pattern, why in (
        (
            "three table size updates in one header block",
            r"the table is resized more than 2 times",
            "RFC 7541, 4.2: at most two are needed",
        ),
        (
            "RST_STREAM on a stream that was never opened",
            r"sent RST_STREAM on stream \d+, which has not been opened",
            "RFC 9113, 6.4: a connection error",
        ),
        (
            "DATA or HEADERS after the end of a stream",
            r"sent (DATA|HEADERS) on stream \d+, which it had ended before",
            "RFC 9113, 5.1: a connection error, since the peer's state is wrong",
        ),
        (
            "CONTINUATION without HEADERS on a closed stream",
            r"sent CONTINUATION outside of a header block",
            "RFC 9113, 6.10: a connection error",
        ),
        (
            "SETTINGS_ENABLE_CONNECT_PROTOCOL changed from 1 to 0",
            r"^SETTINGS_ENABLE_CONNECT_PROTOCOL 0:",
            "RFC 8441, 3: a sender must not do this",
        ),
        (
            "an invalid setting, followed by another value of it",
            rf"^SETTINGS_(?P<name>{'|'.join(_SETTINGS)}) (?P<value>[\d,]+)",
            "RFC 9113, 6.5.3: values are processed in order; h2 reads only the last one",
        ),
        (
            "a Content-Length that is not the length of the body",
            r"the body is shorter than its Content-Length|the response has no body, but its Content-Length",
            "RFC 9113, 8.1.1: malformed, also with trailers or without DATA",
        ),
        (
            "an invalid Content-Length",
            r"Content-Length headers|sent Content-Length .*digits|'content-length' as a trailer",
            "RFC 9110, 8.6 and 6.5.1: expected one field of 1 to 19 digits, and none in trailers",
        ),
        (
            "a body in a response that has none",
            r"a body with a response that has none",
            "RFC 9110, 15.3.5: 204 has no content",
        ),
        (
            "a field name that is not a token",
            r"sent a field named ",
            "RFC 9110, 5.1; h2 accepts any visible characters but upper case",
        ),
        (
            "TE or HTTP2-Settings in a response",
            r"^the peer sent '(te|http2-settings)': expected no connection-specific field",
            "RFC 9113, 8.2.2 and RFC 7540, 3.2.1: only a request may have them",
        ),
        (
            "control characters in a field value",
            r"with the value ",
            "RFC 9110, 5.5: only HTAB, SP, VCHAR and obs-text are allowed",
        ),
        (
            "a status outside 100 to 999, or 101",
            r"sent :status ",
            "RFC 9110, 15 and RFC 9113, 8.6",
        ),
        (
            "HEADERS in a tunnel",
            r"HEADERS in a tunnel",
            "RFC 9113, 8.5: only DATA may follow",
        ),
    )
}


def _is_replaced(seen: re.Match[str], payload: bytes) -> bool:
    """Whether the frame sets, at its end, another value of the setting that the error names."""
    last = dict(read_settings(payload))[_SETTINGS[seen["name"]]]
    return last != int(seen["value"].replace(",", ""))


# For the rows whose message is not specific enough: the kind of the frame, and a condition for its payload.
_FRAMES: Final[dict[str, tuple[int, Callable[[re.Match[str], bytes], bool]]]] = {
    "empty DATA after the end of a stream": (DATA, lambda seen, payload: not payload),
    "WINDOW_UPDATE on a stream that was reset": (WINDOW_UPDATE, lambda seen, payload: payload == bytes(4)),
    "WINDOW_UPDATE with the reserved bit set": (
        WINDOW_UPDATE,
        lambda seen, payload: uint32.unpack(payload)[0] > LARGEST_WINDOW,
    ),
    "HEADERS with nothing but padding": (HEADERS, lambda seen, payload: payload[0] == len(payload) - 1),
    "an invalid setting, followed by another value of it": (SETTINGS, _is_replaced),
}


def is_known_refusal(refusal: str, kind: int, payload: bytes) -> bool:
    """Whether a row explains why h2 refuses, with this message, a frame that we accept."""
    return _explains(STRICTER, refusal, kind, payload)


def is_known_acceptance(error: str, kind: int, payload: bytes) -> bool:
    """Whether a row explains why h2 accepts a frame that we refuse with this error."""
    return _explains(LAXER, error, kind, payload)


def _explains(table: dict[str, tuple[re.Pattern[str], str]], message: str, kind: int, payload: bytes) -> bool:
    for row, (pattern, _) in table.items():
        seen = pattern.search(message)
        if seen is None:
            continue
        if row not in _FRAMES:
            return True
        its_kind, is_so = _FRAMES[row]
        if kind == its_kind and is_so(seen, payload):
            return True
    return False
