"""The engine that reads and writes each protocol: the argument `engines` of a pool, and `HTTPCORE_ENGINES`.

The tables themselves are beside the engines, one for each protocol: `_http1/engines` and `_http2/engines`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal
from warnings import warn

from .._errors import show_value
from .._http1 import engines as http1
from .._http2 import engines as http2
from .._values import dataclass

__all__ = ["NATIVE", "Engines", "EngineName", "EnginesType", "checked_engines"]

EngineName = Literal["native", "reference", "shadow"]
EnginesType = EngineName | Mapping[str, EngineName]

VARIABLE: Final = "HTTPCORE_ENGINES"
TABLES: Final[dict[str, Mapping[str, Callable[[http1.Report], Any]]]] = {
    "http/1.1": http1.ENGINES,
    "http/2": http2.ENGINES,
}
_EXPECTED: Final = "expected 'native', 'reference' or 'shadow'"
_FORM: Final = f"{_EXPECTED}, or one of them for each of 'http/1.1' and 'http/2'"


MOST_REPORTS: Final = 256
"""The most differences that wait for a request with a trace; when there are more, the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The engine of each protocol, with its library loaded.

    Attributes:
        reports: the differences that a shadow engine found and no trace has recorded yet, each with its library.
    """

    http1: http1.HTTP1Engine
    http2: http2.MakeEngine
    reports: deque[tuple[str, str]]


NATIVE: Final = Engines(http1.NATIVE, http2.NATIVE, deque())


def _report(reports: deque[tuple[str, str]], library: str, difference: str) -> None:
    """Report a difference of a shadow engine. Where warnings are errors, as in this project's tests, this raises."""
    reports.append((library, difference))
    warn(f"{library} reads a peer's bytes differently: {difference}", RuntimeWarning, stacklevel=2)


def checked_engines(engines: Any) -> Engines:
    """The engines that the argument names. None: those that the environment names, or else the native ones.

    Raises:
        TypeError, ValueError: the argument is neither the name of an engine nor a mapping from protocols to such names.
    """
    where = "engines"
    if engines is None:
        engines = os.environ.get(VARIABLE)
        if not engines:
            return NATIVE
        where = f"the environment variable {VARIABLE}"
        if "=" in engines:
            engines = _pairs(where, engines)
    if isinstance(engines, str):
        names = dict.fromkeys(TABLES, engines)
    elif isinstance(engines, Mapping):
        names = dict.fromkeys(TABLES, "native") | dict(engines)
    else:
        raise TypeError(f"{where} is of type {type(engines).__name__}: {_FORM}")
    # The deque is bounded, and any thread may append to it without a lock.
    reports: deque[tuple[str, str]] = deque(maxlen=MOST_REPORTS)
    loaded = {protocol: _find(where, protocol, name)(partial(_report, reports)) for protocol, name in names.items()}
    return Engines(loaded["http/1.1"], loaded["http/2"], reports)


def _pairs(where: str, text: str) -> dict[str, str]:
    """The pairs of a text such as `http/1.1=reference,http/2=native`."""
    pairs: dict[str, str] = {}
    for part in text.split(","):
        protocol, equals, name = part.partition("=")
        if not equals:
            raise ValueError(f"{where} has the part {show_value(part)}: expected protocol=engine")
        pairs[protocol.strip()] = name.strip()
    return pairs


def _find(where: str, protocol: object, name: object) -> Callable[[http1.Report], Any]:
    if not isinstance(protocol, str) or not isinstance(name, str):
        kind = type(name if isinstance(protocol, str) else protocol).__name__
        raise TypeError(f"{where} has an item of type {kind}: {_FORM}")
    table = TABLES.get(protocol)
    if table is None:
        raise ValueError(f"{where} names the protocol {show_value(protocol)}: expected 'http/1.1' or 'http/2'")
    if name not in table:
        raise ValueError(f"{where} names the engine {show_value(name)} for {protocol}: {_EXPECTED}")
    return table[name]
