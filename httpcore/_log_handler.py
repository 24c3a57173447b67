"""The handler that HTTPCORE_LOG asks for: to stderr, as text or as one JSON object a line."""

from __future__ import annotations

import json
import logging

__all__ = ["enable_logging"]


def enable_logging(level: int, *, as_json: bool) -> None:
    """Set the level of the logger `httpcore`, and add a handler unless it has one."""
    logger = logging.getLogger("httpcore")
    logger.setLevel(level)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(
            (_JSON if as_json else logging.Formatter)("%(asctime)s %(levelname)s %(name)s %(message)s")
        )
        logger.addHandler(handler)


class _JSON(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "httpcore", None) or {"message": record.getMessage()}
        return json.dumps({"time": self.formatTime(record), "level": record.levelname.lower(), **facts})
