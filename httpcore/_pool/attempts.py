"""How a call gets its response: in one attempt, or in several where the server cannot tell the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import HTTPCoreError
from .._trace import CloseReason
from .call import Call
from .connection import HTTPConnection
from .delivery import Delivery
from .leases import Leases, as_closed
from .resend import Resend, again, may_have_acted, resend_after_response
from .tickets import Slot
from .tracer import close_reason

if TYPE_CHECKING:
    from .._message.head import Head
    from .wire import Exchange

__all__ = ["Attempts"]

_HTTP11 = ("http/1.1",)


class Attempts:
    """Sends the requests of one pool.

    Arguments:
        retry_stale: as for the pool.
        is_error_final: whether a failure ends the request and is recorded as its end. Otherwise a retry policy decides
            first.
    """

    __slots__ = ("_is_error_final", "_leases", "_retry_stale")

    def __init__(self, leases: Leases, retry_stale: bool, *, is_error_final: bool = True) -> None:
        self._leases = leases
        self._retry_stale = retry_stale
        self._is_error_final = is_error_final

    async def send(self, call: Call) -> Delivery:
        """Send the request until a response's head has been received: once, or again where the server cannot tell the
        difference."""
        leases = self._leases
        avoid: HTTPConnection | None = None
        resends = returns = 0
        try:
            while True:
                # The delivery is made before anything is acquired: it is the ticket. Wherever Ctrl-C interrupts, the
                # delivery is freed, and the next step of the ledger releases its connection (see `Claim`).
                delivery = Delivery(call, leases)
                connection: HTTPConnection | None = None
                exchange: Exchange | None = None
                # `is_connected` is False until `begin`: a retry policy repeats a request with any method while it has
                # got no connection.
                call.is_connected = False
                try:
                    connection = leases.acquire(delivery, call, avoid) or await leases.obtain(delivery, call, avoid)
                    exchange = delivery.begin(connection)
                    head = await exchange.run()
                    if head.status == 417 or head.status == 408:
                        where = self._resend_for(call, delivery, exchange, head, resends)
                        if where is not None:
                            resends += 1
                            avoid = connection if where is Resend.FRESH else None
                            continue
                    delivery.arrive(head)
                    return delivery
                except BaseException as error:
                    slot = delivery.slot
                    self._give_up(call, delivery, exchange, error)
                    # This is decided after the connection is released: another attempt may need its place.
                    where = None
                    if exchange is not None and not delivery.closed:
                        stale = delivery.was_reused and self._retry_stale
                        where = again(call.request, error, exchange, reused=stale, resends=resends, returns=returns)
                    if where is None or (where is Resend.HTTP11 and "http/1.1" not in call.route.offers):
                        described = self._with_facts(as_closed(delivery, error), call, delivery, connection, exchange)
                        if self._is_error_final:
                            call.failed(described)
                        if described is error:
                            raise
                        raise described from error
                    avoid = connection if where is Resend.FRESH else None
                    self._prepare(call, where, slot)
                    # The connection was full and nothing was sent: this is no resend, so the count of resends is not
                    # touched.
                    if where is Resend.BACK:
                        returns += 1
                        call.steps = None
                    else:
                        resends += 1
                        leases.totals.resends += 1
                        call.retried(error)
        finally:
            if call.continues and self._is_error_final:
                leases.draining.forget(call)

    def _give_up(self, call: Call, delivery: Delivery, exchange: Exchange | None, error: BaseException) -> None:
        """End an attempt that failed and release its connection."""
        # The call is recorded in `draining` before the release, which removes the ticket from the ledger: a pool that
        # drains must find the call in one of these.
        self._leases.draining.keep(call)
        if may_have_acted(exchange):  # read before `give_up`, which may send queued bytes of the request
            call.may_have_acted = True
        reusable = exchange is not None and exchange.give_up()
        self._leases.release(delivery, reusable=reusable, reason=None if reusable else close_reason(error))

    def _with_facts(
        self,
        error: BaseException,
        call: Call,
        delivery: Delivery,
        connection: HTTPConnection | None,
        exchange: Exchange | None,
    ) -> BaseException:
        """The error of an attempt that is not repeated here, with the facts that are known about it."""
        timing = delivery.timing(exchange) if isinstance(error, HTTPCoreError) else None
        phase = "connect" if exchange is None else exchange.phase
        described = call.with_request_context(error, connection, phase, timing=timing)
        self._leases.totals.note(described)
        return described

    def _resend_for(
        self, call: Call, delivery: Delivery, exchange: Exchange, head: Head, resends: int
    ) -> Resend | None:
        """Whether the request is sent again because the response may not be about it: this response is then
        discarded."""
        stale = delivery.was_reused and self._retry_stale and exchange.closes
        where = resend_after_response(call.request, head, stale=stale, resends=resends, duplex=call.duplex)
        if where is not None:
            call.may_have_acted = call.may_have_acted or may_have_acted(exchange)
            self._leases.draining.keep(call)
            exchange.drain()
            clean = exchange.clean
            self._leases.release(delivery, reusable=clean, reason=None if clean else CloseReason.NOT_REUSABLE)
            # RFC 9110, section 10.1.1: after 417 the same request is sent without the expectation.
            if where is Resend.PLAIN:
                call.request = call.request.without_expect()
            self._leases.totals.resends += 1
            call.retried(f"status {head.status}")
        return where

    def _prepare(self, call: Call, where: Resend, slot: Slot | None) -> None:
        """Prepare the call for another attempt, after an attempt on this slot."""
        # Another route is another key: connections that offer only HTTP/1.1 are kept apart from the others.
        if where is Resend.HTTP11:
            call.route = call.route._replace(offers=_HTTP11)
        elif slot is not None:
            self._leases.notice(slot)
