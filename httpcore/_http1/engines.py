"""The engines of HTTP/1.1, by the names that users give them: the readers of a response.

An engine is an exchange with its own `read_head`. An engine that uses another library is imported at its first use.
`shadow` is the native engine with h11 in parallel, and reports where the two differ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from .._deadline import Deadline
from .._message.head import LIBRARY, Head
from .._message.request import Request
from .connection import HTTP11Connection
from .duplex import begin_exchange
from .exchange import HTTP11Exchange

__all__ = ["ENGINES", "NATIVE", "HTTP1Engine", "Report"]

Begin = Callable[[HTTP11Connection, Request, Deadline, Callable[[Head], None], bool], HTTP11Exchange]
HTTP1Engine = tuple[str, Begin]
"""Library and version, and the function that begins an exchange."""

Report = Callable[[str, str], None]
"""Called with the name of a library, and the difference between its reading and ours."""

NATIVE: Final[HTTP1Engine] = (LIBRARY, begin_exchange)


def _native(report: Report) -> HTTP1Engine:
    return NATIVE


def _reference(report: Report) -> HTTP1Engine:
    from .h11_reader import NAME, H11DuplexExchange, H11Exchange  # imports h11

    return NAME, partial(begin_exchange, kinds=(H11Exchange, H11DuplexExchange))


def _shadow(report: Report) -> HTTP1Engine:
    from .h11_reader import NAME  # imports h11
    from .shadow import ShadowDuplexExchange, ShadowExchange  # imports h11 too

    return f"{LIBRARY}, {NAME}", partial(
        begin_exchange, kinds=(partial(ShadowExchange, report), partial(ShadowDuplexExchange, report))
    )


ENGINES: Final[dict[str, Callable[[Report], HTTP1Engine]]] = {
    "native": _native,
    "reference": _reference,
    "shadow": _shadow,
}
