"""What a gateway calls with each request and each response: the types of the functions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, NamedTuple, TypeVar

from .messages import Headers, Refusal
from .plan import Forward

__all__ = ["RequestChange", "RequestHook", "ResponseChange", "ResponseHook", "Returned", "called", "checked_hook"]


class Returned(NamedTuple):
    """The head of a response as the client gets it.

    Attributes:
        status: of the response.
        headers: names in lower case.
    """

    status: int
    headers: Headers


RequestChange = Forward | Refusal | None
ResponseChange = Returned | Refusal | None
RequestHook = Callable[[Forward], RequestChange | Awaitable[RequestChange]]
ResponseHook = Callable[[Forward, Returned], ResponseChange | Awaitable[ResponseChange]]

Hook = TypeVar("Hook")


def checked_hook(name: str, given: Hook) -> Hook:
    """The function itself, or None.

    Raises:
        TypeError: it is neither.
    """
    if given is not None and not callable(given):
        raise TypeError(f"{name}: expected a function or None, got {type(given).__name__}")
    return given


T = TypeVar("T")


async def called(
    name: str,
    hook: Callable[..., T | Awaitable[T]],
    given: tuple[Any, ...],
    otherwise: Refusal,
    log: logging.Logger,
) -> T | Refusal:
    """What a function returns that the user gave; where it fails, that is logged and `otherwise` stands for it."""
    try:
        found = hook(*given)
        return await found if isawaitable(found) else found
    except Exception as error:
        log.error("%s failed: %s", name, type(error).__name__, exc_info=error)
        return otherwise
