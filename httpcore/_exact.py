"""Conversion of the caller's values to exact built-in types, so that the checked value is the one that is sent.

A subclass of `str`, `bytes` or `int` can return one value to a check and another when it is sent: by its own `encode`,
`__bytes__`, `__str__`, `__len__`, `__iter__` or `__eq__`. So a value is first converted, once, by the methods of the
built-in class, which a subclass cannot replace. Then the converted object is checked, and the same object is sent.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["exact_bytes", "exact_float", "exact_int", "exact_str", "names_of"]


def exact_str(value: str) -> str:
    """The characters of `value` as a `str` and no subclass of it."""
    return value if type(value) is str else str.__str__(value)


def exact_bytes(value: bytes | bytearray | memoryview) -> bytes:
    """The octets of `value` as `bytes` and no subclass of it."""
    if type(value) is bytes:
        return value
    if isinstance(value, memoryview):  # it has no subclasses
        return bytes(value)
    return bytes(bytearray.__getitem__(value, slice(None))) if isinstance(value, bytearray) else bytes.__bytes__(value)


def exact_int(value: int) -> int:
    """The number as an `int` and no subclass of it: a bool becomes 0 or 1."""
    return value if type(value) is int else int.__int__(value)


def exact_float(value: float) -> float:
    """The number as a `float` and no subclass of it.

    Raises:
        OverflowError: `value` is an int that is too large for a float.
    """
    return float(exact_int(value)) if isinstance(value, int) else float.__float__(value)


def names_of(argument: str, names: object) -> tuple[str, ...]:
    """Return the names in a collection as exact `str`. A single str is refused: its characters would become names.

    Raises:
        TypeError: `names` is no collection of str.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f"{argument} is of type {type(names).__name__}: expected a collection of names, e.g. ['name']")
    found = tuple(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{argument} has an item of type {type(name).__name__}: expected names as str")
    return tuple(map(exact_str, found))
