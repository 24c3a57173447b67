"""Header fields as a case-insensitive multi-dict, checked by the grammar of the pool.

Names keep their spelling and fields their order. A name is looked up in lower case, in a separate list of names:
messages have few fields, and scanning a list in C is faster than a dictionary.

A value that is set must be one that can be sent (see `header_pairs`): a `str` must be ASCII, bytes may be non-ASCII. A
value that is read is decoded as UTF-8 if it is valid UTF-8, otherwise as ISO-8859-1; `raw` has the octets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from typing import Final, TypeAlias

from .._errors import LocalProtocolError
from .._exact import exact_bytes, exact_str
from .._message.fields import is_token, is_value
from .._message.request import header_pairs
from .._public import public

__all__ = ["CREDENTIALS", "HeaderTypes", "Headers"]

HeaderTypes: TypeAlias = (
    "Headers | Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str | bytes, str | bytes]] | None"
)

_PAIR_TYPES: Final = frozenset((tuple, list))
CREDENTIALS: Final = frozenset(
    (
        b"authorization",
        b"cookie",
        b"cookie2",
        b"proxy-authorization",
        b"x-api-key",
        b"api-key",
        b"x-auth-token",
        b"x-amz-security-token",
        b"x-csrf-token",
        b"x-goog-api-key",
        b"private-token",
    )
)
"""Fields that may identify the caller: `repr` hides their values, and a redirect to another origin drops them."""

_SECRET: Final = CREDENTIALS | {b"set-cookie"}


@public
class Headers(MutableMapping[str, str]):
    """Header fields in their order, with case-insensitive names. `repr` does not show credentials.

    `headers["name"]` is the value of the field; the values of several fields are joined with ", " (RFC 9110, section
    5.3). Set-Cookie fields cannot be joined: `headers["set-cookie"]` is the value of the first. `get_list("name")`
    returns the value of each field.

    Arguments:
        headers: a mapping, pairs, or Headers; names and values are str (ASCII) or bytes. Default None: none.

    Raises:
        LocalProtocolError: a name is not a token, or a value has a control character or white space around it.
    """

    __slots__ = ("_lower", "_raw")

    _raw: list[tuple[bytes, bytes]]
    _lower: list[bytes] | None

    def __init__(self, headers: HeaderTypes = None) -> None:
        self._lower = None
        if isinstance(headers, Headers):
            self._raw = headers._raw.copy()
            self._lower = headers._lower  # a list of names is never changed, so it can be shared
        else:
            self._raw = _pairs_fast(headers) or header_pairs(headers)

    @classmethod
    def received(cls, pairs: list[tuple[bytes, bytes]]) -> Headers:
        """Headers of pairs that were checked when they were received. The list is used without a copy, and is never
        changed: a change makes a new list.
        """
        made = cls.__new__(cls)
        made._raw = pairs
        made._lower = None
        return made

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """All fields as bytes, in a new list."""
        return self._raw.copy()

    def _names(self) -> list[bytes]:
        """The name of each field in lower case; made when it is first needed."""
        lower = self._lower
        if lower is None:
            lower = self._lower = [name.lower() for name, _ in self._raw]
        return lower

    def get_list(self, name: str | bytes) -> list[str]:
        """The value of each field of that name, in their order."""
        return [_decoded(value) for value in self.get_raw(name)]

    def get_raw(self, name: str | bytes) -> list[bytes]:
        """As `get_list`, in bytes."""
        key, names = _key(name), self._lower or self._names()
        if key not in names:
            return []
        return [value for other, (_, value) in zip(names, self._raw, strict=True) if other == key]

    def multi_items(self) -> list[tuple[str, str]]:
        """All fields, in their order, names as they are spelled."""
        return [(name.decode("latin-1"), _decoded(value)) for name, value in self._raw]

    def add(self, name: str | bytes, value: str | bytes) -> None:
        """Append a field. Other fields of the same name stay."""
        self._raw = [*self._raw, _pair(name, value)]  # a new list: see `received`
        self._lower = None

    def set(self, name: str | bytes, value: str | bytes) -> None:
        """Replace all fields of this name by one, at the place of the first, or at the end if there is none."""
        pair = _pair(name, value)
        key, names = pair[0].lower(), self._names()
        if key not in names:
            self._raw, self._lower = [*self._raw, pair], [*names, key]
            return
        at = names.index(key)
        self._raw = [*self._raw[:at], pair, *self._raw[at + 1 :]]
        if names.count(key) > 1:
            self._remove(key, at + 1)

    def delete(self, name: str | bytes) -> None:
        """Remove all fields of that name. It is no error if there is none."""
        self._remove(_key(name), 0)

    def _remove(self, key: bytes, start: int) -> None:
        names = self._names()
        kept = [at for at, name in enumerate(names) if at < start or name != key]
        self._raw = [self._raw[at] for at in kept]
        self._lower = [names[at] for at in kept]

    def copy(self) -> Headers:
        """A new object with the same fields."""
        return Headers(self)

    def __getitem__(self, name: str | bytes) -> str:
        key, names = _key(name), self._lower or self._names()
        if key not in names:
            raise KeyError(name)
        if names.count(key) == 1 or key == b"set-cookie":
            return _decoded(self._raw[names.index(key)][1])
        return ", ".join(self.get_list(key))

    def __setitem__(self, name: str | bytes, value: str | bytes) -> None:
        self.set(name, value)

    def __delitem__(self, name: str | bytes) -> None:
        key = _key(name)
        if key not in self._names():
            raise KeyError(name)
        self._remove(key, 0)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, (str, bytes)) and _key(name) in self._names()

    def __iter__(self) -> Iterator[str]:
        """The names as they are spelled, each once."""
        first = dict(zip(reversed(self._names()), reversed(self._raw), strict=True))
        return iter([first[key][0].decode("latin-1") for key in dict.fromkeys(self._names())])

    def __len__(self) -> int:
        """The number of different names; `len(headers.raw)` is the number of fields."""
        return len(set(self._names()))

    def __eq__(self, other: object) -> bool:
        """Whether the fields are the same, in the same order; the case of names is ignored."""
        if not isinstance(other, Headers):
            return NotImplemented
        values = [value for _, value in self._raw] == [value for _, value in other._raw]
        return values and self._names() == other._names()

    __hash__ = None  # type: ignore[assignment]  # the object is mutable

    def __repr__(self) -> str:
        shown = [
            (name.decode("latin-1"), "***" if name.lower() in _SECRET else _decoded(value)) for name, value in self._raw
        ]
        return f"Headers({shown!r})"


def _pairs_fast(headers: object) -> list[tuple[bytes, bytes]] | None:
    """The fields of a plain dictionary, list or tuple; None in any unusual case, which `header_pairs` handles."""
    if type(headers) is dict:
        headers = list(headers.items())
    if (type(headers) is not list and type(headers) is not tuple) or not _PAIR_TYPES.issuperset(map(type, headers)):
        return None
    try:
        return [_pair(name, value) for name, value in headers]
    except (TypeError, ValueError, LocalProtocolError):
        return None


def _pair(name: str | bytes, value: str | bytes) -> tuple[bytes, bytes]:
    """One field, checked as by `header_pairs`, but without the cost of finding a wrong field among many."""
    raw_name = name.encode("ascii", "replace") if type(name) is str else name
    raw_value = value.encode("ascii", "replace") if type(value) is str and value.isascii() else value
    if type(raw_name) is type(raw_value) is bytes and is_token(raw_name) and is_value(raw_value):
        return raw_name, raw_value
    [pair] = header_pairs([(name, value)])
    return pair


def _key(name: str | bytes) -> bytes:
    """The key by which a name is looked up. An invalid name has a key that no field has."""
    if type(name) is str and len(name) <= 64:
        return _key_of(name)
    if isinstance(name, str):
        return _key_of.__wrapped__(exact_str(name))
    if isinstance(name, bytes):
        return exact_bytes(name).lower()
    raise TypeError(f"a header's name is of type {type(name).__name__}: expected str or bytes")


@lru_cache(maxsize=512)
def _key_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass").lower()


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
