"""The arguments of a pool: each is checked when the pool is made, so that a wrong one does not fail a request.

An error names the argument, the expected value and the type of the given one, since the value may be a secret.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from sys import modules
from typing import TYPE_CHECKING, Any

from .._config import PoolLimits
from .._connect.proxy import Proxy
from .._connect.resolvers import Resolver
from .._exact import exact_str
from .._message.body import is_async_function, makes_async_generators
from .._message.rules import ReadRules

# Used in annotations only: these modules are loaded where a pool needs them.
if TYPE_CHECKING:
    from .._connect.policy import NetworkPolicy
    from .._trace import Trace

__all__ = [
    "checked_flag",
    "checked_limits",
    "checked_policy",
    "checked_protocols",
    "checked_proxy",
    "checked_resolver",
    "checked_trace",
    "checked_uds",
    "rules_of",
]

Choose = Callable[[str, str, int], Proxy | None]


def checked_flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f"{name} is of type {type(value).__name__}: expected True or False")


def checked_protocols(http1: object, http2: object) -> tuple[str, ...]:
    one, two = checked_flag("http1", http1), checked_flag("http2", http2)
    if not (one or two):
        raise ValueError("http1 and http2 are both False: expected True for one of them, or both")
    return (("h2",) if two else ()) + (("http/1.1",) if one else ())


def checked_trace(trace: object) -> Trace | None:
    """Return the trace if it is a plain callable: plain functions call it too, and could not await a coroutine."""
    if trace is None:
        return None
    expected = "expected a plain callable that accepts a TraceEvent, or None"
    if not callable(trace):
        raise TypeError(f"trace is of type {type(trace).__name__}: {expected}")
    if _is_async(trace):
        raise TypeError(f"trace is an async function: {expected}")
    return trace


def checked_resolver(resolver: Any) -> Resolver | None:
    if resolver is None:
        return None
    expected = "expected an object with `async def resolve(self, host, system)`, or None"
    if isinstance(resolver, type):
        raise TypeError(f"resolver is the class {resolver.__name__}: {expected}, an instance")
    resolve = getattr(resolver, "resolve", None)
    if not callable(resolve):
        raise TypeError(f"resolver is of type {type(resolver).__name__}: {expected}")
    if makes_async_generators(resolve):
        raise TypeError(f"resolver has an async generator as resolve(): {expected}")
    return resolver  # type: ignore[no-any-return]


def checked_proxy(proxy: Any) -> tuple[Proxy | None, Choose | None]:
    """The proxy of all requests, or the object that chooses one for each request."""
    if proxy is None or isinstance(proxy, (Proxy, str, bytes)):
        return None if proxy is None else Proxy.of(proxy), None
    expected = "expected a URL, a Proxy, an object with a plain method proxy_for(scheme, host, port), or None"
    if isinstance(proxy, type):
        raise TypeError(f"proxy is the class {proxy.__name__}: {expected}")
    choose = getattr(proxy, "proxy_for", None)
    if not callable(choose):
        raise TypeError(f"proxy is of type {type(proxy).__name__}: {expected}")
    if _is_async(choose):
        raise TypeError(f"proxy has an async function as proxy_for(): {expected}")
    return None, choose


def checked_policy(policy: Any) -> NetworkPolicy | None:
    if policy is None:
        return None
    module = modules.get("httpcore._connect.policy")  # no policy can exist before its module is loaded
    if module is not None and isinstance(policy, module.NetworkPolicy):
        checked: NetworkPolicy = policy
        return checked
    raise TypeError(f"network_policy is of type {type(policy).__name__}: expected a NetworkPolicy, or None")


def checked_uds(uds: Any, proxy: object, local_address: object) -> str | None:
    if uds is None:
        return None
    path = os.fspath(uds) if isinstance(uds, (str, os.PathLike)) else None
    if not isinstance(path, str):
        raise TypeError(f"uds is of type {type(uds).__name__}: expected the path of a unix domain socket, or None")
    path = exact_str(path)
    if not path or "\0" in path:
        seen = "empty" if not path else "a text with a NUL in it"
        raise ValueError(f"uds is {seen}: expected the path of a unix domain socket, or None")
    if proxy is not None:
        raise ValueError("uds and proxy are both given: expected one of them")
    if local_address is not None:
        raise ValueError("uds and local_address are both given: expected one of them")
    return path


def checked_limits(limits: Any) -> PoolLimits:
    if isinstance(limits, PoolLimits):
        return limits
    raise TypeError(f"limits is of type {type(limits).__name__}: expected a PoolLimits, or None")


def rules_of(strict: object, limits: PoolLimits) -> ReadRules:
    return ReadRules(checked_flag("strict", strict), limits.max_head_bytes, limits.max_head_fields)


def _is_async(function: Any) -> bool:
    """Whether a call returns an awaitable: for a function, a partial of one, or an object with `__call__`."""
    called = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is inspected
    return any(map(is_async_function, (function, called)))
