"""Which requests are in flight: what the ledger holds anyway, and those that pause between two attempts."""

from __future__ import annotations

from .._trace import RequestPhase
from .call import Call
from .delivery import Delivery
from .leases import Leases
from .stats import RequestInFlight

__all__ = ["in_flight"]


def in_flight(leases: Leases) -> list[RequestInFlight]:
    """One value for each request, the oldest first. It takes no lock, and changes nothing."""
    between = list(leases.between)  # first: a call that is found nowhere has ended
    # Without the pool's lock: of a ticket that is dropped meanwhile this has the last reference.
    tickets = [claim() for claim in list(leases.ledger.claims)]
    found = {
        ticket.call: _shown(ticket.call, ticket.phase, ticket.peer)
        for ticket in tickets
        if isinstance(ticket, Delivery)  # else it is one of `connect`, or gone
    }
    for call in between:
        if call not in found:
            found[call] = _shown(call, RequestPhase.PAUSE, None)
    return sorted(found.values(), key=_age, reverse=True)


def _shown(call: Call, phase: RequestPhase, peer: str | None) -> RequestInFlight:
    method, url = call.request.method.decode("ascii"), call.request.url.redacted
    return RequestInFlight(call.number, call.tag, method, url, phase, peer, call.elapsed())


def _age(request: RequestInFlight) -> float:
    return request.age
