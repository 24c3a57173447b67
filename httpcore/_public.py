"""Marks public names: a public class or function has `httpcore` as its module, wherever it is defined.

Tracebacks, error trackers and pickles then show the public name, and a move inside the package breaks none of them.
"""

from __future__ import annotations

from typing import ForwardRef, TypeVar

__all__ = ["public", "resolvable"]

T = TypeVar("T")


def public(thing: T) -> T:
    """The same class or function, under the package's name. The outermost decorator."""
    thing.__module__ = "httpcore"
    return thing


def resolvable(cls: type[T]) -> type[T]:
    """Have the annotations of a class looked up in the module that defines it, and not in `httpcore`, which lacks their
    names: `typing.get_type_hints`, and what stands on it, asks the module that a class names. Below `public`.
    """
    texts = {name: str(getattr(note, "__forward_arg__", note)) for name, note in cls.__annotations__.items()}
    cls.__annotations__ = {name: ForwardRef(text, module=cls.__module__) for name, text in texts.items()}
    return cls
