"""Logging with the standard `logging`, by one logger: an INFO line for each request, and DEBUG lines for its steps.

Whether the logger is enabled is tested once for each request; this is the only cost while nothing is logged. `logging`
is imported by programs that use it, or for HTTPCORE_LOG, and not by this module. `_log_lines` makes the lines.
"""

from __future__ import annotations

import os
from sys import modules
from typing import TYPE_CHECKING, Final
from warnings import warn

from ._errors import show_value
from ._log_lines import DEBUG, INFO, RequestLines
from ._trace import Trace, TraceEvent, earlier

if TYPE_CHECKING:
    import logging

__all__ = ["HEADERS", "VARIABLE", "log_by_environment", "request_log"]

VARIABLE: Final = "HTTPCORE_LOG"
HEADERS: Final = "HTTPCORE_LOG_HEADERS"

_LEVELS: Final = {"info": INFO, "json": INFO, "debug": DEBUG}


def request_log() -> Trace | None:
    """The trace that logs the records of a request; None while nothing is logged."""
    global _logger
    logger = _logger
    if logger is None:
        module = modules.get("logging")
        if module is None:  # the program logs nothing
            return None
        logger = _logger = module.getLogger("httpcore")
    return _listener(logger) if logger.isEnabledFor(INFO) else None


_logger: logging.Logger | None = None


def _listener(logger: logging.Logger) -> Trace:
    names = frozenset(name.strip().lower() for name in os.environ.get(HEADERS, "").split(",") if name.strip())
    lines = RequestLines(names, debug=logger.isEnabledFor(DEBUG), earlier=earlier.get()).lines

    def listen(event: TraceEvent) -> None:
        for level, text, facts in lines(event):
            logger.log(level, "%s", text, extra={"httpcore": facts})

    return listen


_in_force = ""  # the value of HTTPCORE_LOG that was read last


def log_by_environment(value: str) -> None:
    """Log to stderr, as the value of HTTPCORE_LOG selects. A further call with the same value has no effect."""
    global _in_force
    if value == _in_force:
        return
    _in_force = value
    level = _LEVELS.get(value)
    if level is None:
        expected = "expected info, debug or json; nothing is logged"
        warn(f"the environment variable {VARIABLE} is {show_value(value)}: {expected}", RuntimeWarning, stacklevel=3)
        return
    from ._log_handler import enable_logging  # it imports `logging` and `json`: only programs that log pay for this

    enable_logging(level, as_json=value == "json")
