"""The records of the ledger: a connection's slot, a request's ticket and its claim, an origin's queue."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import Enum
from math import inf
from typing import Final, Literal, Protocol

from .._trace import CloseReason

Speaks = Literal["HTTP/1.1", "HTTP/2"]


class Connection(Protocol):
    """The methods of a connection that the pool calls. The ledger only decides, and calls none of them."""

    def close(self) -> None:
        """Close the connection now. A second call does nothing."""
        ...

    def abandon(self) -> None:
        """Like `close`, in the child of a fork: it does not affect the parent's connection."""
        ...


class TicketState(Enum):
    """The state of a ticket: it is new, waits in a queue, dials, holds a connection, or has ended."""

    NEW = "new"
    WAITING = "waiting"
    DIALING = "dialing"
    HOLDING = "holding"
    DONE = "done"


class SlotState(Enum):
    """The state of a connection. DRAINING: it is in use, accepts no more tickets, and closes when its last user
    releases it."""

    DIALING = "dialing"
    OPEN = "open"
    DRAINING = "draining"
    GONE = "gone"


# Each member has a name here, since looking it up in its Enum costs more than comparing it.
_NEW: Final = TicketState.NEW
_WAITING: Final = TicketState.WAITING
_DIALING: Final = TicketState.DIALING
_HOLDING: Final = TicketState.HOLDING
_DONE: Final = TicketState.DONE
_OPEN: Final = SlotState.OPEN
_DRAINING: Final = SlotState.DRAINING
_GONE: Final = SlotState.GONE


class Slot:
    """One connection as the ledger sees it: it counts against the limits from the start of its dial to its close.

    Attributes:
        key: the key of the connection.
        connection: the pool's object for it; the ledger never reads it.
        state: see `SlotState`.
        protocol: "HTTP/1.1" or "HTTP/2" once it is open.
        capacity: how many may hold it at once.
        reason: why it closes, once that is known.
        used: how many tickets hold it. It exceeds `capacity` only after `resize` has lowered the capacity.
    """

    __slots__ = (
        "capacity",
        "connection",
        "expires",
        "key",
        "number",
        "origin",
        "protocol",
        "reason",
        "retire_when_open",
        "retires_at",
        "since",
        "state",
        "used",
    )

    def __init__(self, origin: Origin, number: int) -> None:
        self.key = origin.key
        self.origin = origin
        self.number = number
        self.connection: Connection | None = None
        self.state = SlotState.DIALING
        self.protocol: Speaks | None = None
        self.capacity = 1
        self.used = 0
        self.reason: CloseReason | None = None
        self.retire_when_open = False  # retired before it was open
        self.retires_at = inf  # the time from which it accepts no more tickets; known once it is open
        self.since = 0.0  # when it was opened or last released
        self.expires = 0.0  # the time until which it may be idle; valid only while it is idle

    def perform(self) -> None:
        """Close the connection, as the pool's task for a slot in `todo`."""
        if self.connection is not None:
            self.connection.close()


class Claim(weakref.ref["Ticket"]):
    """The ledger's record of a ticket, which does not keep the ticket alive.

    When a ticket is garbage-collected, its claim is put into `Ledger.dropped`. The callback of a weak reference does
    this, not a `__del__`: the callback is the `append` of a deque, so no Python code runs that could be interrupted,
    wait for a lock or raise.
    """

    __slots__ = ("closed", "joined", "key", "may_share", "slot", "state", "turn", "wake")
    key: Hashable
    may_share: bool
    state: TicketState
    slot: Slot | None
    wake: Callable[[], None] | None
    closed: bool
    turn: int  # its place in its origin's queue; set when it begins to wait
    joined: int  # how many waits of the ledger had begun by then; set like `turn`

    # A weak reference is hashed and compared by its referent; a claim, by identity.
    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def perform(self) -> None:
        """Wake the owner, as the pool's task for a claim in `todo`."""
        if self.wake is not None:
            self.wake()


class Ticket:
    """One request's wait for a connection, its dial, or its share of a connection.

    A ticket that is garbage-collected without `release` is released at the next step, and its connection is not reused.
    A ticket that has released a connection has the claim `SPENT` in place of its own claim, which is then freed without
    its callback. So the usual ticket never gets into `Ledger.dropped`.
    """

    __slots__ = ("__weakref__", "claim")

    continues = False
    """Whether the ticket is for another attempt of a request that has begun: a ledger that `refuses_new` accepts it."""

    def __init__(self, key: Hashable, may_share: bool, dropped: Callable[[Claim], None]) -> None:
        self.claim = claim = Claim(self, dropped)
        claim.key = key
        claim.may_share = may_share
        claim.state = _NEW
        claim.slot = None
        claim.wake = None
        claim.closed = False

    @property
    def key(self) -> Hashable:
        """The key of its connection."""
        return self.claim.key

    @property
    def state(self) -> TicketState:
        """See `TicketState`."""
        return self.claim.state

    @property
    def slot(self) -> Slot | None:
        """The slot of its connection while the ticket is DIALING or HOLDING, else None."""
        return self.claim.slot

    @property
    def closed(self) -> bool:
        """Whether the ticket is DONE because the ledger was closed, or accepts no new requests."""
        return self.claim.closed

    @property
    def wake(self) -> Callable[[], None] | None:
        """A function that is called, possibly more than once, after the ticket stops WAITING, and when it begins to
        wait for something else (see `Ledger.follows`). The pool sets it in a step under its lock."""
        return self.claim.wake

    @wake.setter
    def wake(self, call: Callable[[], None] | None) -> None:
        self.claim.wake = call


def _spent() -> Claim:
    claim = Ticket(None, False, _ignore).claim
    claim.state = _DONE
    return claim


def _ignore(claim: Claim) -> None:
    """Do nothing: there is nothing to release."""


SPENT: Final = _spent()
"""The claim of every ticket that has released a connection."""


class Origin:
    """All derived state of one key. It is dropped when it has neither slots nor waiters."""

    __slots__ = ("count", "dialing", "failed_before", "key", "protocol", "ready", "waiters")

    def __init__(self, key: Hashable, protocol: Speaks | None) -> None:
        self.key = key
        self.protocol = protocol
        self.count = 0  # slots of any state except GONE
        self.dialing = 0
        self.ready: OrderedDict[Slot, None] = OrderedDict()  # open slots that are not full, the most recently used last
        self.waiters: OrderedDict[Claim, None] = OrderedDict()
        self.failed_before = 0  # the joins up to the last failed dial: these waiters dial for themselves

    def shared_by(self, claim: Claim) -> bool:
        """Whether the connection of a dial in progress may serve this claim too, which then should not dial."""
        if not self.dialing:
            return False
        return self.protocol == "HTTP/2" or (self.protocol is None and claim.may_share)

    def has_followers(self) -> bool:
        """Whether at least the last waiter waits for another ticket's dial, since the origin has no open connection
        yet."""
        if self.count > self.dialing or not self.waiters:
            return False
        last = next(reversed(self.waiters))
        return last.joined > self.failed_before and self.shared_by(last)

    def wants_room(self) -> bool:
        """Whether the first waiter would dial if there were room. Waiters that joined before a failed dial are first in
        the queue."""
        if not self.waiters:
            return False
        first = next(iter(self.waiters))
        return first.joined <= self.failed_before or not self.shared_by(first)
