"""Marks public names: a public class or function has `httpcore` as its `__module__`, wherever it is defined.

So tracebacks, error trackers and pickles have the public name, and moving code inside the package does not break them.
"""

from __future__ import annotations

from typing import ForwardRef, TypeVar

__all__ = ["public", "resolvable"]

T = TypeVar("T")


def public(thing: T) -> T:
    """Return the class or function itself, with the package as its module. It must be the outermost decorator."""
    thing.__module__ = "httpcore"
    return thing


def resolvable(cls: type[T]) -> type[T]:
    """Let `typing.get_type_hints` find the names in a class's annotations. It would look in `httpcore`, the
    `__module__` of a public class, which lacks some of these names; so each annotation refers to the defining module.
    This decorator must stand below `public`.
    """
    texts = {name: str(getattr(note, "__forward_arg__", note)) for name, note in cls.__annotations__.items()}
    cls.__annotations__ = {name: ForwardRef(text, module=cls.__module__) for name, text in texts.items()}
    return cls
