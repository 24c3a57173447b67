"""Header lookup by name, for every kind of response."""

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
    """`header` and `header_values` over `headers`. For a str name they return str (Latin-1), for a bytes name bytes."""

    __slots__ = ()

    @overload
    def header(self: HasHeaders, name: str) -> str | None: ...
    @overload
    def header(self: HasHeaders, name: bytes) -> bytes | None: ...

    def header(self: HasHeaders, name: str | bytes) -> str | bytes | None:
        """The value of a header field, or None: `response.header("content-type")`.

        Arguments:
            name: the field name as str or bytes, in upper or lower case.

        Returns:
            The value, of the type of `name` (str is Latin-1). If the field is repeated, all its values joined by ", "
            (RFC 9110, section 5.2). Use `header_values` for Set-Cookie, whose values cannot be joined.
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
            name: the field name as str or bytes, in upper or lower case.
        """
        values = _values(self.headers, name)
        return values if isinstance(name, bytes) else [value.decode("latin-1") for value in values]


def _values(headers: Headers, name: object) -> list[bytes]:
    if isinstance(name, str):
        try:
            name = name.encode("ascii")
        except UnicodeEncodeError:
            return []  # field names are ASCII
    if not isinstance(name, bytes):
        raise TypeError(f"name is of type {type(name).__name__}: expected str or bytes")
    wanted = name.lower()
    return [value for field, value in headers if field == wanted]
