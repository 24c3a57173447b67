"""The functions of the user that a gateway calls with each request and each response: their types, and how they are
called.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, NamedTuple, TypeVar

from .messages import Headers, Refusal
from .plan import Forward

__all__ = ["RequestChange", "RequestHook", "ResponseChange", "ResponseHook", "Returned", "call_hook", "checked_hook"]


class Returned(NamedTuple):
    """The head of a response as the client receives it.

    Attributes:
        status: the status code.
        headers: the fields, with names in lower case.
    """

    status: int
    headers: Headers


RequestChange = Forward | Refusal | None
ResponseChange = Returned | Refusal | None
RequestHook = Callable[[Forward], RequestChange | Awaitable[RequestChange]]
ResponseHook = Callable[[Forward, Returned], ResponseChange | Awaitable[ResponseChange]]

Hook = TypeVar("Hook")


def checked_hook(name: str, given: Hook) -> Hook:
    """Return `given`, which must be a function or None.

    Raises:
        TypeError: `given` is neither.
    """
    if given is not None and not callable(given):
        raise TypeError(f"{name}: expected a function or None, got {type(given).__name__}")
    return given


T = TypeVar("T")


async def call_hook(
    name: str,
    hook: Callable[..., T | Awaitable[T]],
    given: tuple[Any, ...],
    otherwise: Refusal,
    log: logging.Logger,
) -> T | Refusal:
    """Call a function of the user, and return its result. If it raises an exception, log it and return `otherwise`."""
    try:
        found = hook(*given)
        return await found if isawaitable(found) else found
    except Exception as error:
        log.error("%s failed: %s", name, type(error).__name__, exc_info=error)
        return otherwise
