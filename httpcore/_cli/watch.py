"""The output during a run, the lines of `-v` and the heads of `-i`; and its records."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from .._message.request import Request
from .._sync import SyncResponse
from .._trace import (
    ConnectionOpened,
    HeadSent,
    InterimResponse,
    RequestFailed,
    RequestRetried,
    ResponseStarted,
    TraceEvent,
)
from .narration import certificate_lines, record_line, request_lines, response_lines, trailer_lines
from .output import Console, Output
from .plan import Plan
from .progress import Bar

__all__ = ["Watch"]


class Watch:
    """Observes the exchanges of a run.

    Attributes:
        records: all records so far, in their order.
    """

    def __init__(self, plan: Plan, console: Console, output: Output, bar: Bar | None) -> None:
        self.records: list[TraceEvent] = []
        self._plan = plan
        self._console = console
        self._output = output
        self._bar = bar
        self._request: Request | None = None
        self._protocols: dict[str, str] = {}
        self._begun: ResponseStarted | None = None
        self._held_lines: list[str] = []

    def sending(self, request: Request) -> None:
        """Show a request that is about to be sent."""
        self._request = request

    def record(self, record: TraceEvent) -> None:
        """Keep and show a record of the pool."""
        self.records.append(record)
        if not self._plan.verbosity:
            return
        if isinstance(record, ConnectionOpened):
            self._protocols[record.peer] = "HTTP/2" if record.alpn == "h2" or not self._plan.http1 else "HTTP/1.1"
        if isinstance(record, (RequestRetried, RequestFailed)):
            self._show_begun()
        line = record_line(record)
        if line is not None:
            self._show_lines([line])
        if isinstance(record, ResponseStarted):
            self._begun = record
        elif isinstance(record, HeadSent) and self._request is not None:
            protocol = self._protocols.get(record.peer, "HTTP/1.1")
            self._show_lines(request_lines(self._request, protocol, secrets=self._secrets))
        elif isinstance(record, InterimResponse):
            self._show_lines(
                response_lines(
                    "HTTP", record.status_code, usual_reason(record.status_code), record.headers, secrets=self._secrets
                )
            )

    @property
    def _secrets(self) -> bool:
        return self._plan.verbosity > 1

    def _show_lines(self, lines: list[str]) -> None:
        if self._begun is not None:  # a head has been received, which is shown first
            self._held_lines += lines
            return
        if self._bar is not None:
            self._bar.clear()
        for line in lines:
            self._console.say(line)

    def _show_begun(self) -> None:
        """Show the head of a response that is not delivered, since the request is sent again or has failed."""
        begun = self._begun
        if begun is not None:
            self._show_response(
                response_lines(
                    "HTTP", begun.status_code, usual_reason(begun.status_code), begun.headers, secrets=self._secrets
                )
            )

    def _show_response(self, lines: list[str]) -> None:
        """Show the head of a response, and then the steps since it was received."""
        self._begun = None
        held, self._held_lines = self._held_lines, []
        self._show_lines([*lines, *held])

    def answered(self, response: SyncResponse) -> None:
        """Show the head of a response."""
        if self._plan.verbosity:
            self._show_received(response)
        if self._plan.show_head:
            for interim in response.informational:
                self._output.head(
                    head_of(response.protocol, interim.status_code, usual_reason(interim.status_code), interim.headers)
                )
            self._output.head(
                head_of(response.protocol, response.status_code, response.reason_phrase, response.raw_headers)
            )

    def _show_received(self, response: SyncResponse) -> None:
        lines = response_lines(
            response.protocol,
            response.status_code,
            response.reason_phrase,
            response.raw_headers,
            secrets=self._secrets,
        )
        self._show_response([*([] if response.info.reused else certificate_lines(response.info)), *lines])

    def ended(self, response: SyncResponse) -> None:
        """Show the end of the body, and the trailers."""
        if self._plan.verbosity:
            self._show_lines(trailer_lines(response.trailers, secrets=self._secrets))
        if self._plan.show_head and response.trailers:
            self._output.head(b"".join([b"%b: %b\r\n" % field for field in response.trailers]))


def usual_reason(status: int) -> str:
    """The usual reason phrase of a status, for responses whose own is not kept; "" for an unknown status."""
    return HTTPStatus(status).phrase if status in _KNOWN else ""


_KNOWN: Final = frozenset(HTTPStatus)


def head_of(protocol: str, status: int, reason: str, fields: list[tuple[bytes, bytes]]) -> bytes:
    """A head as `-i` writes it, with the empty line."""
    start = f"{protocol} {status} {reason}".encode("latin-1", "replace")
    return b"".join([start, b"\r\n", *[b"%b: %b\r\n" % field for field in fields], b"\r\n"])
