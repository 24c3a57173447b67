"""The requests in flight, and the wait for their end. Requests in flight are found by the tickets of the ledger, and by
the calls that pause between two attempts.
"""

from __future__ import annotations

from functools import partial

from .._trace import RequestPhase
from .call import Call
from .delivery import Delivery
from .leases import Leases
from .stats import RequestInFlight

__all__ = ["drain", "in_flight"]


def in_flight(leases: Leases) -> list[RequestInFlight]:
    """One value for each request, the oldest first. This takes no lock, and changes nothing."""
    # In threads a call may move meanwhile: out of `between` when it has a response, which has a ticket, or into it when
    # an attempt fails. So `between` is read before and after the tickets.
    between = list(leases.draining.between)
    # The pool's lock is not held here, since this list may have the last reference to a ticket that is dropped in the
    # meantime.
    tickets = [claim() for claim in list(leases.ledger.claims)]
    found = {
        ticket.call: _info_of(ticket.call, ticket.phase, ticket.peer)
        for ticket in tickets
        if isinstance(ticket, Delivery)  # else it is a ticket of `connect`, or was dropped
    }
    for call in [*between, *leases.draining.between]:
        if call not in found:
            found[call] = _info_of(call, RequestPhase.PAUSE, None)
    return sorted(found.values(), key=_age, reverse=True)


async def drain(leases: Leases, timeout: float | None) -> bool:
    """Accept no new request, and wait until none is in flight. Returns False when `timeout` seconds passed first."""
    leases.refuse_new()
    if leases.backend is None:  # no request has begun yet
        return True
    return await leases.draining.wait(leases.enter(), timeout, partial(leases.step, leases.is_idle))


def _info_of(call: Call, phase: RequestPhase, peer: str | None) -> RequestInFlight:
    method, url = call.request.method.decode("ascii"), call.request.url.redacted
    return RequestInFlight(call.number, call.tag, method, url, phase, peer, call.elapsed())


def _age(request: RequestInFlight) -> float:
    return request.age
