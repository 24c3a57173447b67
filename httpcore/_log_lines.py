"""Makes the lines of the log from the records of a trace, without a clock and without a logger.

No line has credentials. The URL has none. Of an error that is not this library's, only the class is shown. Header
values are shown only if they are selected by name, and bodies are never shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ._errors import HTTPCoreError
from ._trace import (
    ConnectStarted,
    DialStarted,
    Earlier,
    HeadSent,
    RequestCancelled,
    RequestClosed,
    RequestDropped,
    RequestEnded,
    RequestFailed,
    RequestRetried,
    RequestSent,
    RequestStarted,
    ResponseComplete,
    ResponseStarted,
    TraceEvent,
)

__all__ = ["DEBUG", "INFO", "Line", "RequestLines"]

DEBUG: Final = 10
INFO: Final = 20

_SECRET: Final = ("auth", "cookie", "token", "key", "secret", "password", "session", "signature")
_REFERENCES: Final = ("location", "content-location", "link", "refresh")
_OUTCOMES: Final[Mapping[type[RequestEnded], str]] = {
    ResponseComplete: "complete",
    RequestClosed: "closed",
    RequestDropped: "dropped",
    RequestFailed: "failed",
    RequestCancelled: "cancelled",
}
_FIRST: Final = Earlier()
_LEFT_OUT: Final = frozenset(("at", "request", "tag", "exception", "headers"))


class Line(NamedTuple):
    """One line: its level, its text, and its values, which are the attribute `httpcore` of the `LogRecord`."""

    level: int
    text: str
    facts: dict[str, object]


class RequestLines:
    """Makes the lines of one request from its records, in order.

    Arguments:
        headers: names of response fields, in lower case, whose values may be in a line.
        debug: whether there is a line for each record; else there is one for the last record only.
        earlier: the requests before this one in the same call of the client.
    """

    def __init__(
        self, headers: frozenset[str] = frozenset(), *, debug: bool = False, earlier: Earlier = _FIRST
    ) -> None:
        self._headers = headers
        self._debug = debug
        self._place = _place(earlier)
        self._at: dict[type[TraceEvent], float] = {}
        self._facts: dict[str, object] = {}

    def lines(self, event: TraceEvent) -> list[Line]:
        """The lines of this record: none, one or two."""
        self._note(event)
        made = [self._step(event)] if self._debug else []
        if isinstance(event, RequestEnded):
            made.append(self._end(event))
        return made

    def _note(self, event: TraceEvent) -> None:
        self._at[type(event)] = event.at
        facts = self._facts
        if isinstance(event, RequestStarted):
            facts |= {"method": event.method, "url": event.url, "attempts": 1}
        elif isinstance(event, HeadSent):
            facts |= {"protocol": event.protocol, "peer": event.peer, "reused": event.reused}
        elif isinstance(event, ResponseStarted):
            facts["status"] = event.status_code
            facts |= self._named(event.headers)
        elif isinstance(event, RequestRetried):
            facts["attempts"] = event.attempt
            facts.pop("status", None)

    def _named(self, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, object]:
        return {
            f"header.{name}": _shown_value(name, value.decode("latin-1"))
            for name, value in ((raw.decode("latin-1").lower(), value) for raw, value in headers)
            if name in self._headers
        }

    def _step(self, event: TraceEvent) -> Line:
        facts: dict[str, object] = {"event": type(event).__name__, "request": event.request}
        if isinstance(event, RequestStarted):
            facts |= self._place
        if event.tag is not None:
            facts["tag"] = _tag(event.tag)
        exception = getattr(event, "exception", None)
        for name in event.__match_args__:
            if name not in _LEFT_OUT:
                value = getattr(event, name)
                facts[name] = _error_text(exception) if name in ("error", "reason") and exception else _plain(value)
        headers = getattr(event, "headers", None)
        if headers is not None and self._headers:
            facts |= self._named(headers)
        return Line(DEBUG, f"{type(event).__name__} {_pairs(facts, skip=('event',))}", facts)

    def _end(self, event: RequestEnded) -> Line:
        facts = self._facts
        facts |= {"event": "request", "request": event.request, **self._place, "outcome": _OUTCOMES[type(event)]}
        if event.tag is not None:
            facts["tag"] = _tag(event.tag)
        if not isinstance(event, RequestFailed):
            facts["received"] = getattr(event, "received", 0)
        facts |= self._times(event.at)
        error = event.exception
        if error is not None:
            facts["error"] = type(error).__name__
            facts["phase"] = getattr(error, "phase", None)
            facts["message"] = _error_text(error)
        what = " ".join(str(facts.get(name) or "-") for name in ("method", "url", "status", "protocol"))
        rest = _pairs(facts, skip=("event", "method", "url", "status", "protocol", "message"))
        return Line(INFO, f"{what} {rest}" + (f": {facts['message']}" if error is not None else ""), facts)

    def _times(self, end: float) -> dict[str, object]:
        """Return the seconds to get a connection, send the request, wait for the head, read the body, and in total."""
        at = self._at
        marks = [
            ("connect", at.get(HeadSent), at.get(DialStarted, at.get(ConnectStarted))),
            ("send", at.get(RequestSent), at.get(HeadSent)),
            ("wait", at.get(ResponseStarted), at.get(RequestSent)),
            ("body", end, at.get(ResponseStarted)),
            ("total", end, at.get(RequestStarted)),
        ]
        return {
            name: round(max(0.0, to - since), 6) for name, to, since in marks if to is not None and since is not None
        }


def _place(earlier: Earlier) -> dict[str, object]:
    """Return the position of the request in its call and the number of the first one; nothing if it is the first."""
    if not earlier.requests:
        return {}
    first = {} if earlier.first is None else {"first": earlier.first}
    return {"hop": earlier.requests + 1, **first}


def _shown_value(name: str, value: str) -> str:
    if any(part in name for part in _SECRET):
        return "***"
    if name in _REFERENCES and "@" in value:
        value = "***@" + value.rpartition("@")[2]
    return _safe(value)


def _error_text(error: BaseException) -> str:
    """Describe an error. Ours have no secret in their text; others may have one, so only their class is shown."""
    return _safe(error.message) if isinstance(error, HTTPCoreError) else type(error).__name__


def _safe(text: str) -> str:
    """Return any text as printable text on one line."""
    return text if text.isprintable() else ascii(text)[1:-1]


def _tag(tag: object) -> object:
    return tag if isinstance(tag, (bool, int, float)) else _safe(str(tag))


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return ",".join(_safe(str(each)) for each in value)
    return value if value is None or isinstance(value, (bool, int, float)) else _safe(str(value))


def _pairs(facts: Mapping[str, object], skip: tuple[str, ...]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in facts.items() if name not in skip)


def _value(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else "-" if value is None else str(value)
    return repr(text) if not text or " " in text else text
