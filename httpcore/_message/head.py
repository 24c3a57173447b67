"""The head of a response, over either protocol: status, reason phrase, version and header fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .. import __version__
from .rules import Leniency

LIBRARY: Final = f"httpcore {__version__}"
"""The name of the native engines, for `ResponseInfo.engine`."""

MARKED: Final = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"content-encoding"))
"""The fields that say how long a body is, how it is coded, and whether its connection can be used again."""

Fields = tuple[tuple[bytes, bytes], ...]


class Head:
    """Status line and header section of one response, interim (1xx) or final. It is never changed, so many responses
    may share one.

    Attributes:
        status: the status code.
        reason: the reason phrase; b"" over HTTP/2, which has none.
        version: b"1.0", b"1.1" or b"2".
        headers: the fields in wire order, names lower-cased.
        raw_headers: the fields in wire order, names as they were sent.
        lenient: the deviations of this head from the strict rules.
        marked: the fields of `headers` whose names are in `MARKED`. They are looked up several times.
    """

    __slots__ = ("headers", "lenient", "marked", "raw_headers", "reason", "status", "version")

    def __init__(
        self,
        status: int,
        reason: bytes,
        version: bytes,
        headers: Iterable[tuple[bytes, bytes]],
        raw_headers: Iterable[tuple[bytes, bytes]],
        marked: Fields | None = None,
        lenient: tuple[Leniency, ...] = (),
    ) -> None:
        self.status: int = status
        self.reason: bytes = reason
        self.version: bytes = version
        self.headers: Fields = tuple(headers)  # `tuple` of a tuple is the same object
        self.raw_headers: Fields = tuple(raw_headers)
        if marked is None:
            marked = tuple([field for field in self.headers if field[0] in MARKED])
        self.marked: Fields = marked
        self.lenient: tuple[Leniency, ...] = lenient

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Head):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        return f"Head({self.status}, {self.reason!r}, {self.version!r}, {self.raw_headers!r})"

    def _parts(self) -> tuple[int, bytes, bytes, Fields, Fields]:
        return self.status, self.reason, self.version, self.headers, self.raw_headers
