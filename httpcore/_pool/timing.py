"""The times of one request, computed from the clock readings that its call, its steps and its exchange have kept."""

from __future__ import annotations

from .._connect.steps import Step
from .._timing import RequestTiming, TimeSpan
from .call import Call
from .tracer import clock_offset
from .wire import Exchange

__all__ = ["timing_of"]


def timing_of(
    call: Call, exchange: Exchange | None, head: float | None = None, complete: float | None = None
) -> RequestTiming:
    """The times of the call's last attempt that are known so far.

    Arguments:
        exchange: the exchange of that attempt, if one has begun.
        head, complete: when the head of the response was received, and when the response was complete.
    """
    began, steps = call.began, call.steps
    sent = first = None
    if exchange is not None:
        sent, first = exchange.sent_at, exchange.first_at
    if first is None:
        first = head  # the head was received with the first bytes

    def since(at: float | None) -> float | None:
        return None if at is None else at - began

    def span(step: Step) -> TimeSpan | None:
        return None if steps is None else steps.span(step, began)

    return RequestTiming(
        began + clock_offset(call.backend),
        queued=span("queued"),
        dns=span("dns"),
        connect=span("connect"),
        proxy_tls=span("proxy_tls"),
        tunnel=span("tunnel"),
        tls=span("tls"),
        connected=since(call.connected) if call.is_connected else None,
        request_sent=since(sent),
        first_byte=since(first),
        head=since(head),
        complete=since(complete),
    )
