"""The head of a response, whichever protocol brought it: status, reason phrase, version and header fields."""

from __future__ import annotations

from typing import Final

from .. import __version__
from .._values import dataclass
from .fields import Headers

LIBRARY: Final = f"httpcore {__version__}"
"""What reads both protocols, for `ResponseInfo.engine`."""


@dataclass(slots=True)
class Head:
    """Status line and header section of one response, interim (1xx) or final.

    `headers` has lower-cased names, `raw_headers` the names as sent; both in wire order. `version` is b"1.0", b"1.1" or
    b"2"; HTTP/2 has no reason phrase: `reason` is b"" there.
    """

    status: int
    reason: bytes
    version: bytes
    headers: Headers
    raw_headers: Headers


@dataclass(slots=True)
class End:
    """The message is complete. `trailers` have lower-cased names."""

    trailers: Headers


Part = Head | bytes | End
