"""The engines of HTTP/2, by the names that users give them: the readers and writers of a connection's frames.

An engine that uses another library is imported at its first use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from .._message.rules import ReadRules
from .engine import H2Engine

__all__ = ["ENGINES", "NATIVE", "MakeEngine"]

MakeEngine = Callable[[ReadRules], H2Engine]
"""Makes the engine of one connection."""

Report = Callable[[str, str], None]
"""Called with the name of a library, and the difference between its reading and ours."""

NATIVE: Final[MakeEngine] = H2Engine


def _native(report: Report) -> MakeEngine:
    return NATIVE


def _reference(report: Report) -> MakeEngine:
    from .h2_engine import ReferenceEngine  # imports h2

    return ReferenceEngine


def _shadow(report: Report) -> MakeEngine:
    from .shadow import ShadowEngine  # imports h2 too

    return partial(ShadowEngine, report)


ENGINES: Final[dict[str, Callable[[Report], MakeEngine]]] = {
    "native": _native,
    "reference": _reference,
    "shadow": _shadow,
}
