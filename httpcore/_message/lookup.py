"""The look-up of a header field by its name, for every kind of response."""

from __future__ import annotations

from typing import Protocol, overload

from .fields import Headers

__all__ = ["HeaderLookup"]


class HasHeaders(Protocol):
    """Something with header fields, whose names are in lower case."""

    @property
    def headers(self) -> Headers:
        """Pairs of name and value, in wire order."""
        ...


class HeaderLookup:
    """`header` and `header_values` over `headers`. Asked with str they answer in str (Latin-1), with bytes in bytes."""

    __slots__ = ()

    @overload
    def header(self: HasHeaders, name: str) -> str | None: ...
    @overload
    def header(self: HasHeaders, name: bytes) -> bytes | None: ...

    def header(self: HasHeaders, name: str | bytes) -> str | bytes | None:
        """The value of a header field, or None: `response.header("content-type")`.

        Arguments:
            name: in any case.

        Returns:
            Of a field that is there several times, all values, joined by ", " (RFC 9110, section 5.2). The exception
            among fields is Set-Cookie, whose values cannot be joined: ask `header_values`.
        """
        values = _values(self.headers, name)
        if not values:
            return None
        joined = values[0] if len(values) == 1 else b", ".join(values)
        return joined if isinstance(name, bytes) else joined.decode("latin-1")

    @overload
    def header_values(self: HasHeaders, name: str) -> list[str]: ...
    @overload
    def header_values(self: HasHeaders, name: bytes) -> list[bytes]: ...

    def header_values(self: HasHeaders, name: str | bytes) -> list[str] | list[bytes]:
        """Each value of a header field, in wire order: `response.header_values("set-cookie")`. Empty if there is none.

        Arguments:
            name: in any case.
        """
        values = _values(self.headers, name)
        return values if isinstance(name, bytes) else [value.decode("latin-1") for value in values]


def _values(headers: Headers, name: object) -> list[bytes]:
    if isinstance(name, str):
        try:
            name = name.encode("ascii")
        except UnicodeEncodeError:
            return []  # there is no such field
    if not isinstance(name, bytes):
        raise TypeError(f"name is of type {type(name).__name__}: expected str or bytes")
    wanted = name.lower()
    return [value for field, value in headers if field == wanted]
