"""Query parameters as `application/x-www-form-urlencoded` (WHATWG URL, section 5), read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from .._errors import LocalProtocolError, show
from .._exact import exact_bytes, exact_float, exact_int, exact_str
from .._public import public

__all__ = ["PrimitiveTypes", "QueryParamTypes", "QueryParams"]

PrimitiveTypes: TypeAlias = str | int | float | bool | None

_PLAIN = re.compile(r"[A-Za-z0-9*\-._]*").fullmatch
_QUOTED: Final = [
    chr(octet) if _PLAIN(chr(octet)) and octet < 128 else "+" if octet == 0x20 else f"%{octet:02X}"
    for octet in range(256)
]


def _quoted(text: str) -> str:
    return text if _PLAIN(text) else "".join([_QUOTED[octet] for octet in text.encode()])


def _unquoted(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text.encode("utf-8", "replace").decode() if not text.isascii() else text
    octets = text.replace("+", " ").encode("utf-8", "replace")
    first, *rest = octets.split(b"%")
    parts = [first]
    for part in rest:
        try:
            parts.append(_OCTETS[part[:2]] + part[2:])
        except KeyError:  # no two hex digits follow: the % stays
            parts.append(b"%" + part)
    return b"".join(parts).decode("utf-8", "replace")


_HEX: Final = "0123456789ABCDEFabcdef"
_OCTETS: Final = {(a + b).encode(): bytes.fromhex(a + b) for a in _HEX for b in _HEX}


@public
class QueryParams(Mapping[str, str]):
    """Names and values of a query, in their order; a name may occur several times. Immutable and hashable.

    `params["name"]` is the first value, `get_list("name")` returns all values, `multi_items()` returns all pairs.
    `str(params)` is `application/x-www-form-urlencoded`, as the URL standard of the WHATWG serializes it. `set`, `add`,
    `remove` and `merge` return a changed copy.

    Arguments:
        params: a query as text, with or without its "?"; a mapping, whose values may be lists; or pairs. Values are
            str, int, float, bool ("true" and "false") or None (""). Default None: none.

    Raises:
        TypeError: a name or a value is of another type.
        LocalProtocolError: a name or a value has a lone surrogate.
    """

    __slots__ = ("_pairs",)

    _pairs: tuple[tuple[str, str], ...]

    def __init__(self, params: QueryParamTypes | None = None) -> None:
        if params is None:
            self._pairs = ()
        elif isinstance(params, QueryParams):
            self._pairs = params._pairs
        elif isinstance(params, (str, bytes)):
            self._pairs = _read(params)
        elif isinstance(params, (dict, Mapping)):  # the check for dict is faster
            self._pairs = tuple([pair for name, value in params.items() for pair in _pairs_of(name, value)])
        elif isinstance(params, Iterable):
            self._pairs = tuple([_pair(pair) for pair in params])
        else:
            raise TypeError(
                f"query_params is of type {type(params).__name__}: expected str, a mapping, pairs, or QueryParams"
            )

    def get_list(self, name: str) -> list[str]:
        """All values of a name, in their order."""
        return [value for other, value in self._pairs if other == name]

    def multi_items(self) -> list[tuple[str, str]]:
        """All pairs, in their order."""
        return list(self._pairs)

    def set(self, name: str, value: PrimitiveTypes) -> QueryParams:
        """A copy in which the name has only this value, at the place of its first value, or else at the end."""
        new = _pair((name, value))
        place = next((at for at, (other, _) in enumerate(self._pairs) if other == new[0]), len(self._pairs))
        kept = [pair for pair in self._pairs if pair[0] != new[0]]
        kept.insert(place, new)
        return _params_of_pairs(kept)

    def add(self, name: str, value: PrimitiveTypes) -> QueryParams:
        """A copy with this pair at the end."""
        return _params_of_pairs([*self._pairs, _pair((name, value))])

    def remove(self, name: str) -> QueryParams:
        """A copy without any value of the name."""
        return _params_of_pairs([pair for pair in self._pairs if pair[0] != name])

    def merge(self, params: QueryParamTypes | None) -> QueryParams:
        """A copy in which the names in `params` have only their values from `params`, which stand at the end."""
        other = QueryParams(params)
        return _params_of_pairs([*[pair for pair in self._pairs if pair[0] not in other], *other._pairs])

    def __getitem__(self, name: str) -> str:
        for other, value in self._pairs:
            if other == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(dict(self._pairs))

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def __str__(self) -> str:
        return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in self._pairs])

    def __repr__(self) -> str:
        return f"QueryParams({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        """Whether the pairs are the same, in the same order."""
        return self._pairs == other._pairs if isinstance(other, QueryParams) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __reduce__(self) -> tuple[type[QueryParams], tuple[list[tuple[str, str]]]]:
        return type(self), (list(self._pairs),)


def _params_of_pairs(pairs: Iterable[tuple[str, str]]) -> QueryParams:
    made = QueryParams()
    made._pairs = tuple(pairs)
    return made


def _read(query: str | bytes) -> tuple[tuple[str, str], ...]:
    text = exact_str(query) if isinstance(query, str) else exact_bytes(query).decode("utf-8", "replace")
    pairs = [part.partition("=") for part in text.removeprefix("?").split("&") if part]
    return tuple([(_unquoted(name), _unquoted(value)) for name, _, value in pairs])


def _pairs_of(name: object, value: object) -> list[tuple[str, str]]:
    if isinstance(value, (list, tuple)):
        return [_pair((name, each)) for each in value]
    return [_pair((name, value))]


def _pair(pair: object) -> tuple[str, str]:
    if type(pair) is not tuple and (isinstance(pair, (str, bytes)) or not isinstance(pair, Iterable)):
        raise TypeError(f"query_params has an item of type {type(pair).__name__}: expected pairs of name and value")
    parts = tuple(pair)
    if len(parts) != 2:
        raise TypeError(f"query_params has an item of {len(parts)} parts: expected pairs of name and value")
    name, value = parts
    if not isinstance(name, str):
        raise TypeError(f"query_params has a name of type {type(name).__name__}: expected str")
    return _characters(exact_str(name)), _characters(_primitive(value, name))


def _primitive(value: object, name: str) -> str:
    if isinstance(value, str):
        return exact_str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        try:
            return str(exact_int(value))
        except ValueError:  # Python's limit, see sys.set_int_max_str_digits
            raise LocalProtocolError(
                f"query_params[{show(name)}] is an int of too many digits: give it as a str"
            ) from None
    if isinstance(value, float):
        return str(exact_float(value))
    raise TypeError(
        f"query_params[{show(name)}] is of type {type(value).__name__}: expected str, int, float, bool, None, or a list"
    )


def _characters(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        pass
    else:
        return text
    raise LocalProtocolError("query_params has a lone surrogate: expected text that UTF-8 can encode")


QueryParamTypes: TypeAlias = (
    QueryParams
    | str
    | bytes
    | Mapping[str, PrimitiveTypes | Sequence[PrimitiveTypes]]
    | Sequence[tuple[str, PrimitiveTypes]]  # with Iterable, mypy would refuse mixed dictionaries
)
"""Parameters of a query: a mapping, whose values may be lists; pairs; or a whole query as text."""
