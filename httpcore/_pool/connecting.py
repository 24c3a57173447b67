"""Makes a connection before a request needs it."""

from __future__ import annotations

from .._backends.base import StreamInfo
from .call import Call
from .connection import HTTPConnection
from .leases import Leases, as_closed
from .tickets import Ticket

__all__ = ["connect"]


async def connect(leases: Leases, call: Call) -> StreamInfo:
    """Make sure that a connection for the call's route is open, and release it at once for later requests.

    The connection is acquired as for a request: an idle one is used if there is one, and the pool's limits apply.
    """
    ticket = Ticket(call.route, "h2" in call.route.offers, leases.ledger.dropped.append)
    connection: HTTPConnection | None = None
    try:
        connection = leases.acquire(ticket, call, None) or await leases.obtain(ticket, call, None)
        info = connection.info
    except BaseException as error:
        leases.release(ticket, reusable=False)
        described = call.with_context(as_closed(ticket, error), connection, "connect")
        leases.totals.note(described)
        if described is error:
            raise
        raise described from error
    # From here on nothing waits. A peer that announced a keep-alive time counts it from its last response, so the slot
    # keeps its time of expiry.
    slot = ticket.slot
    until = slot.expires if slot is not None and connection.uses and not connection.is_shared else None
    # The connection is like one that has served a request: the next request checks whether the peer has closed it, and
    # a request that finds it dead is sent again.
    connection.uses = connection.uses or 1
    leases.release(ticket, reusable=True, expires=until)
    return info
