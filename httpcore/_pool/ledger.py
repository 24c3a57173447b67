"""The assignment of connections to requests. No I/O, no clock, no lock, no await.

The pool holds its lock, reads its clock, calls one step, and then carries out `todo`. A request has one `Ticket`, which
waits for a connection, dials one or holds one; `release` ends each of these states. The cost of a step is the same with
ten connections, waiters and origins as with ten thousand.

Why the assignment is fair. Inside an origin the first waiter is served first. Between origins, a freed connection
serves its own origin first, since reuse costs nothing, unlike a new connection. But the origins whose first waiter
could use room for a connection form a ring. When the head of the ring has been passed over 2 x `max_connections` times,
the next freed connection is closed and the head dials in its place. Room that becomes free in another way goes to the
head too. An origin that had its turn moves to the end of the ring; so does the head when one of its own connections
serves it. So an origin with p origins ahead of it in the ring has its turn after at most (p + 1) x (2 x
`max_connections` + 1) connections have become free, whatever the others do. (A freed HTTP/2 connection that must close
accepts no more requests, and closes when its last stream ends.) An origin at its own limit
(`max_connections_per_origin`) is not in the ring: room would not help it, and it would block the others.

Ctrl-C may interrupt a step. The dict of claims, the dict of slots, and the state of each claim and slot are the truth;
everything else is derived from them. Each step changes the truth in an order that leaves it valid wherever the step
stops, and sets a mark while the step runs. The next step that finds the mark set derives everything else anew
(`rebuild`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from math import inf

from .._config import PoolLimits
from .._trace import CloseReason
from .counting import counted
from .expiry import IdleExpiry, Lifetimes
from .protocols import Protocols
from .recovery import derive, mend
from .ring import Ring
from .stats import PoolStats
from .tickets import (
    _DIALING,
    _DONE,
    _DRAINING,
    _GONE,
    _HOLDING,
    _NEW,
    _OPEN,
    _WAITING,
    SPENT,
    Claim,
    Origin,
    Slot,
    SlotState,
    Speaks,
    Ticket,
    TicketState,
)

__all__ = ["Ledger"]


class Ledger:
    """The tickets that wait, dial or hold. Every step is made under the pool's lock, with a time that was read under
    this lock.

    Arguments:
        limits: how many connections there may be.

    Attributes:
        todo: the pool's tasks after a step, in order: slots whose connections to close, and claims whose owners to
            wake; `perform` carries out one task. The pool removes a task only when it is done: Ctrl-C may cause it to
            be repeated, but not to be lost. Only one thread at a time may work on `todo`: otherwise it could remove a
            task that another thread has begun.
        dropped: claims whose tickets were garbage-collected. Every step releases the connections, dials and waits of
            these claims.
        claims: the claims of all tickets that wait, dial or hold; read only.
        closed: whether `close` was called.
        refuses_new: whether a ticket that acquires becomes DONE and `closed`, unless it `continues` an earlier request.
            A pool that drains sets this too, and then waits for `claims` to become empty.
    """

    def __init__(self, limits: PoolLimits) -> None:
        self.todo: deque[Slot | Claim] = deque()
        self.dropped: deque[Claim] = deque()
        self.refuses_new = False
        self._max_connections = inf if limits.max_connections is None else limits.max_connections
        self._max_per_origin = inf if limits.max_connections_per_origin is None else limits.max_connections_per_origin
        self._most_idle = inf if limits.max_keepalive is None else limits.max_keepalive
        self._keepalive = inf if limits.keepalive_expiry is None else limits.keepalive_expiry

        # The truth: these two dicts, and the states of the claims and slots in them.
        self.claims: dict[Claim, None] = {}
        self._slots: dict[Slot, None] = {}
        self.closed = self._aborted = False
        self._dirty = False  # a step is running, or was interrupted
        self._now = -inf

        # Derived state. `_idle` has the least recently used slot first, which is also the order in which slots expire,
        # except those whose server closes them earlier. Such a slot is in the heap `_idle_heap` too, and may stay
        # there when it is no longer idle.
        self._origins: dict[Hashable, Origin] = {}
        self._idle: OrderedDict[Slot, None] = OrderedDict()
        self._idle_heap = IdleExpiry()
        self._lifetimes = Lifetimes(inf if limits.max_connection_lifetime is None else limits.max_connection_lifetime)
        self._next_expiry = inf  # no slot expires or is too old before this time
        self._dialing = 0
        self._waiting = 0
        self._ring = Ring(2 * self._max_connections)

        self._protocols = Protocols()
        self._numbers = 0  # given to slots so far
        self._join_count = 0  # how often a claim has joined a queue
        self._front = 0  # the turn of the last claim that was put first in its queue; counts downwards

    # Steps: one method for each event.

    def ticket(self, key: Hashable, may_share: bool = False) -> Ticket:
        """Return a NEW ticket. The ledger has no record of it before `acquire`.

        Arguments:
            key: the key of its connection.
            may_share: whether the origin may speak HTTP/2. While its protocol is not known, the ticket then waits for a
                dial in progress, whose connection may serve it too. All tickets of a key should have the same value.
        """
        return Ticket(key, may_share, self.dropped.append)

    def acquire(self, ticket: Ticket, now: float) -> None:
        """Find a connection: afterwards the ticket is HOLDING, DIALING (the caller must dial for its slot), WAITING,
        or, when the ledger refuses it, DONE.

        Raises:
            ValueError: the ticket has acquired before.
        """
        claim = ticket.claim
        if claim.state is not _NEW:
            raise _state_error("acquire", claim, _NEW)
        # `_begin` is called only where it has something to do: these tests cost less than a call for each request.
        if self._dirty or self.dropped or self._ring or now >= self._next_expiry:
            self._begin(now)
        self._now = now
        self._dirty = True
        if self.refuses_new and (self.closed or not ticket.continues):
            self._refuse(claim)
        else:
            # The claim is put into the dict before it holds anything: after Ctrl-C a claim outside of the dict could
            # not be found again.
            self.claims[claim] = None
            origin = self._origins.get(claim.key) or self._origin_for(claim.key)
            if origin.ready:
                # The most recently used slot is chosen, so that connections which are not needed expire.
                self._hold(claim, next(reversed(origin.ready)))
            elif not origin.shared_by(claim) and self._make_room(origin):
                self._dial(claim, origin)
            else:
                self._wait(claim, origin)
        if self._ring:
            self._fill()
        self._dirty = False

    def opened(self, ticket: Ticket, now: float, *, capacity: int = 1, protocol: Speaks = "HTTP/1.1") -> None:
        """Record that the dial succeeded: the ticket is HOLDING afterwards. Nothing happens if the ticket is DONE
        because the ledger was closed.

        Arguments:
            capacity: how many tickets may hold the connection at once: 1 for HTTP/1.1, the stream limit for HTTP/2.
            protocol: the protocol of the connection; remembered for the key.

        Raises:
            ValueError: the ticket does not dial.
        """
        claim = ticket.claim
        _require_state("opened", claim, _DIALING)
        self._begin(now)
        if claim.state is _DIALING and (slot := claim.slot):
            had_followers = slot.origin.has_followers()  # read first, since the changes below end this wait
            slot.origin.protocol = protocol
            self._protocols.remember(slot.key, protocol)
            slot.protocol = protocol
            slot.capacity = capacity
            slot.since = now
            self._next_expiry = min(self._next_expiry, self._lifetimes.begin(slot, now))
            # The slot changes before the claim (see "Transitions of a claim" below): a claim that is HOLDING needs a
            # slot that has been opened.
            slot.state = _DRAINING if slot.retire_when_open else _OPEN
            claim.state = _HOLDING
            slot.used = 1
            slot.origin.dialing -= 1
            self._dialing -= 1
            self._offer(slot)
            if had_followers:
                self._wake_followers(slot.origin)
        self._end()

    def failed(self, ticket: Ticket, now: float) -> None:
        """Record that the dial failed: the ticket is DONE afterwards, and each ticket that waited for this dial now
        needs a dial of its own.

        Raises:
            ValueError: the ticket does not dial.
        """
        claim = ticket.claim
        _require_state("failed", claim, _DIALING)
        self._begin(now)
        if claim.state is _DIALING and (slot := claim.slot):
            had_followers = slot.origin.has_followers()
            # All current waiters joined before this failure: each dials for itself, so that one failure does not fail
            # them all.
            slot.origin.failed_before = self._join_count
            self._finish(claim)
            self._remove(slot)
            if had_followers:
                self._wake_followers(slot.origin)
        self._end()

    def release(self, ticket: Ticket, now: float, *, reusable: bool = False, expires: float | None = None) -> None:
        """End the ticket, from any state: afterwards it is DONE. A second call does nothing.

        Arguments:
            reusable: whether the connection is clean. If not, it serves no other ticket, and closes when its last user
                releases it.
            expires: the time, on the clock of `now`, at which the peer closes the connection if it stays idle. Default
                None: not known.
        """
        if self._dirty or self.dropped or self._ring or now >= self._next_expiry:
            self._begin(now)
        self._now = now
        self._dirty = True
        claim = ticket.claim
        holds = claim.state is _HOLDING
        self._release(claim, now, reusable, expires)
        if self._ring:
            self._fill()
        self._dirty = False
        if holds:
            ticket.claim = SPENT  # its own claim is freed here, so that collecting the ticket needs no step

    def redial(self, ticket: Ticket, now: float) -> None:
        """Record that the connection which this ticket holds was dead before anything was sent.

        The connection serves no other ticket. If there is room for a new one, as there is when this ticket was its only
        user, the ticket is DIALING again, ahead of all waiters. If there is no room, or if another ticket already dials
        a connection that may serve this ticket too, the ticket is HOLDING another connection of its origin, or WAITING
        as the first of its origin. If the ledger is closed, the ticket is DONE.

        Raises:
            ValueError: the ticket does not hold.
        """
        claim = ticket.claim
        _require_state("redial", claim, _HOLDING)
        self._begin(now)
        if claim.state is _HOLDING and (slot := claim.slot):
            self._replace_stale(claim, slot)
        self._end()

    def retire(self, slot: Slot, now: float) -> None:
        """Record that the connection is dead or accepts no more tickets. It closes now, or when its last user releases
        it."""
        self._begin(now)
        self._retire(slot, CloseReason.PEER)
        self._end()

    def resize(self, slot: Slot, capacity: int, now: float) -> None:
        """Set how many tickets may use the connection at once; 0 is allowed. Tickets that hold the connection keep
        it."""
        self._begin(now)
        slot.capacity = capacity
        self._offer(slot)
        self._end()

    def expire(self, now: float) -> None:
        """Close connections that were idle for too long, and stop using those that are too old. The other steps do this
        too.
        """
        self._begin(now)
        self._end()

    def close(self, now: float, *, abort: bool = False) -> None:
        """Make no more connections: tickets that wait or dial become DONE and `closed`, as does each ticket that
        acquires later. Idle connections close now; connections in use close when they are released.

        Arguments:
            abort: whether connections in use close now too; each ticket that holds one becomes DONE and `closed`.
        """
        self._begin(now)
        self.refuses_new = self.closed = True
        self._aborted |= abort
        self._close_all()
        self._end()

    def disband(self) -> None:
        """Mark every ticket DONE and every connection GONE: the connections belong to the parent of a fork, or to an
        ended event loop.

        The pool makes a new ledger and no longer uses this one. But earlier requests and responses may still hold
        tickets of this ledger, and release them to the new one, which has no record of them: it ignores a ticket that
        is DONE. Only marks are set here, so this may be called while a step is unfinished, in this thread or in one
        that no longer exists.
        """
        for claim in list(self.claims):
            claim.state = _DONE
            claim.slot = None
        for slot in list(self._slots):
            slot.state = _GONE

    def stats(self) -> PoolStats:
        """Return the counts after a step, which releases the tickets that were dropped."""
        self._begin(self._now)
        self._end()
        return self.snapshot()

    # How a step begins and ends. `acquire` and `release`, the hot path, have these lines inline.

    def _begin(self, now: float) -> None:
        self._now = now
        if self._dirty:
            self.rebuild()
        self._dirty = True
        while self.dropped:
            claim = self.dropped.popleft()
            if claim in self.claims:  # otherwise it was released before
                self._release(claim, now)
        if now >= self._next_expiry:
            self._expire(now)
        if self._ring:  # room that was just freed is for waiting tickets, not for the ticket of this step
            self._fill()

    def _end(self) -> None:
        if self._ring:
            self._fill()
        self._dirty = False

    # Transitions of a claim. The slot of a claim is set before its state, so that Ctrl-C leaves no claim HOLDING
    # without a slot. A claim that ends is DONE before it leaves the dict: `recovery` repairs a claim that is DONE and
    # still in the dict, but a claim that left the dict before it was DONE would be lost.

    def _hold(self, claim: Claim, slot: Slot) -> None:
        """Make the claim hold this slot, the last one in `ready`, where the slot stays until it is full."""
        claim.slot = slot
        claim.state = _HOLDING
        if not slot.used:
            del self._idle[slot]
        slot.used += 1
        if slot.used >= slot.capacity:
            del slot.origin.ready[slot]

    def _dial(self, claim: Claim, origin: Origin) -> None:
        """Begin a dial. The caller has made sure that there is room for it."""
        self._numbers += 1
        slot = Slot(origin, self._numbers)
        self._slots[slot] = None
        claim.slot = slot
        claim.state = _DIALING
        origin.count += 1
        origin.dialing += 1
        self._dialing += 1
        self._origins[origin.key] = origin  # absent if it is new, or if making room removed its last slot
        self._rank(origin)

    def _wait(self, claim: Claim, origin: Origin, *, first: bool = False) -> None:
        self._join_count += 1
        claim.turn = claim.joined = self._join_count
        if first:
            self._front -= 1
            claim.turn = self._front
            if origin.waiters:  # `joined` must not fall within a queue: `wants_room` relies on this
                claim.joined = next(iter(origin.waiters)).joined
        claim.slot = None
        claim.state = _WAITING
        origin.waiters[claim] = None
        if first:
            origin.waiters.move_to_end(claim, last=False)
        self._waiting += 1
        self._origins[origin.key] = origin
        self._rank(origin)

    def _refuse(self, claim: Claim) -> None:
        """Refuse a claim: the ledger is closed, or accepts no new requests."""
        claim.closed = True
        self._finish(claim)

    def _finish(self, claim: Claim) -> None:
        claim.state = _DONE
        claim.slot = None
        self.claims.pop(claim, None)

    def _release(self, claim: Claim, now: float, reusable: bool = False, expires: float | None = None) -> None:
        state = claim.state
        slot = claim.slot
        if state is _HOLDING and slot is not None:
            # The slot was retired while it was in use: its connection closes, whatever the exchange reports.
            if slot.state is not _OPEN:
                reusable = False
            elif not reusable or (expires is not None and expires <= now):
                slot.reason = slot.reason or (CloseReason.EXPIRED if reusable else CloseReason.DROPPED)
                reusable = False
                slot.state = _DRAINING  # set before the claim is DONE: after Ctrl-C the slot must not seem clean
            else:
                slot.since = now
                slot.expires = until = now + self._keepalive
                if expires is not None and expires < until:
                    slot.expires = expires
            claim.state = _DONE
            claim.slot = None
            del self.claims[claim]
            slot.used -= 1
            if reusable:
                self._reuse_or_close(slot, now)
            else:
                self._unoffer(slot)
        elif state is _WAITING:
            self._dequeue(claim)
        elif state is _DIALING and slot is not None:
            self._finish(claim)
            self._remove(slot)
            # A cancelled dial counts as a freed connection: a waiter of the same origin dials instead, unless it is the
            # turn of the ring's head.
            if slot.origin in self._ring and not self._ring.must_yield(slot.origin):
                self._dial_for_first(slot.origin)
        else:
            claim.state = _DONE

    def _dequeue(self, claim: Claim) -> None:
        origin = self._origins[claim.key]
        self._finish(claim)
        del origin.waiters[claim]
        self._waiting -= 1
        self._drop_if_unused(origin)

    def _replace_stale(self, claim: Claim, slot: Slot) -> None:
        origin = slot.origin
        slot.state = _DRAINING
        slot.reason = slot.reason or CloseReason.STALE
        slot.used -= 1
        # The dead connection is removed first, so that its room is available for the dial that replaces it.
        self._unoffer(slot)
        if self.closed:
            self._refuse(claim)
        elif not origin.shared_by(claim) and self._make_room(origin):
            self._dial(claim, origin)
        elif origin.ready:
            self._hold(claim, next(reversed(origin.ready)))
        else:
            self._wait(claim, origin, first=True)

    # Transitions of a slot.

    def _reuse_or_close(self, slot: Slot, now: float) -> None:
        """Use a released connection that is open and clean: close it for the ring's head, give it to a waiter, or keep
        it idle."""
        origin = slot.origin
        # Fairness between origins: see the head of this file.
        if self._ring and slot.used < slot.capacity and self._ring.must_yield(origin):
            self._ring.yields()
            self._retire(slot, CloseReason.EVICTED)
            return
        if slot.used < slot.capacity:
            origin.ready[slot] = None
        if not slot.used:
            self._idle[slot] = None
        if origin.waiters:
            self._serve(origin)
        if slot.used:
            return
        # The connection stays idle until it expires.
        if slot.expires < now + self._keepalive:
            self._idle_heap.note(slot, self._idle)
        if len(self._idle) > self._most_idle:
            self._remove(next(iter(self._idle)), CloseReason.EVICTED)
        if slot.expires < self._next_expiry:
            self._next_expiry = slot.expires
            if slot.expires <= now:
                self._expire(now)

    def _expire(self, now: float) -> None:
        idle = self._idle
        # The slots in `_idle_heap` come first: they expire before their turn in `_idle`, and the loop below stops at
        # the first slot that has not expired.
        while (slot := self._idle_heap.pop(now, idle)) is not None:
            self._remove(slot, CloseReason.EXPIRED)
        while (oldest := next(iter(idle), None)) is not None and oldest.expires <= now:
            self._remove(oldest, CloseReason.EXPIRED)
        while (slot := self._lifetimes.pop(now)) is not None:
            self._retire(slot, CloseReason.OLD)  # running exchanges are not interrupted
        self._next_expiry = min(oldest.expires if oldest else inf, self._idle_heap.next(inf), self._lifetimes.next(inf))

    def _offer(self, slot: Slot) -> None:
        """Update the readiness of a slot whose capacity or state has changed, and serve the waiters of its origin."""
        origin = slot.origin
        if slot.state is _OPEN and slot.used < slot.capacity:
            origin.ready.setdefault(slot, None)
        else:
            origin.ready.pop(slot, None)
        self._serve(origin)

    def _retire(self, slot: Slot, reason: CloseReason) -> None:
        slot.reason = slot.reason or reason
        if slot.state is SlotState.DIALING:
            slot.retire_when_open = True
        elif slot.state is _OPEN:
            slot.state = _DRAINING
            self._unoffer(slot)

    def _unoffer(self, slot: Slot) -> None:
        """Stop offering a slot that is DRAINING, and remove it if no ticket uses it."""
        slot.origin.ready.pop(slot, None)
        if not slot.used:
            self._remove(slot)

    def _remove(self, slot: Slot, reason: CloseReason | None = None) -> None:
        """Remove a slot that no ticket uses."""
        slot.reason = slot.reason or reason
        origin = slot.origin
        dialing = slot.state is SlotState.DIALING
        slot.state = _GONE
        # The slot is GONE, and in `todo`, before it leaves the dict: after Ctrl-C in between, `recovery` finds it GONE
        # in the dict and has it closed.
        self.todo.append(slot)
        del self._slots[slot]
        self._idle.pop(slot, None)
        self._lifetimes.forget(slot)
        origin.ready.pop(slot, None)
        origin.count -= 1
        origin.dialing -= dialing
        self._dialing -= dialing
        self._drop_if_unused(origin)

    # The order of turns.

    def _serve(self, origin: Origin) -> None:
        """Serve the waiters of an origin with its own connections."""
        while origin.ready and origin.waiters:
            claim = self._call_first(origin)
            self._hold(claim, next(reversed(origin.ready)))
            self.todo.append(claim)
        self._rank(origin)

    def _fill(self) -> None:
        """Use free room for the ring, if there is any."""
        while self._ring:
            origin = self._ring.head()
            # Without room the head continues to wait, and so do the origins behind it.
            if not self._make_room(origin):
                break
            self._ring.turn(origin)
            self._dial_for_first(origin)

    def _dial_for_first(self, origin: Origin) -> None:
        """Use free room for the first waiter of this origin."""
        claim = self._call_first(origin)
        self._dial(claim, origin)
        self.todo.append(claim)

    def _call_first(self, origin: Origin) -> Claim:
        claim, _ = origin.waiters.popitem(last=False)
        self._waiting -= 1
        return claim

    def _make_room(self, origin: Origin) -> bool:
        """Return whether this origin may dial. If that needs room, close the connection that was idle for longest."""
        if origin.count >= self._max_per_origin:
            return False
        if len(self._slots) < self._max_connections:
            return True
        if not self._idle:
            return False
        # The closed connection may be of any origin: an idle connection is worth less than a request that waits.
        self._remove(next(iter(self._idle)), CloseReason.EVICTED)
        return True

    def _rank(self, origin: Origin) -> None:
        self._ring.rank(origin, wants=origin.count < self._max_per_origin and origin.wants_room())

    def _drop_if_unused(self, origin: Origin) -> None:
        """Drop an origin that has no slots and no waiters any more: otherwise memory would grow with each new
        origin."""
        self._rank(origin)
        if not origin.count and not origin.waiters:
            self._origins.pop(origin.key, None)

    # The protocols of origins.

    def _origin_for(self, key: Hashable) -> Origin:
        return Origin(key, self._protocols.get(key))

    def _close_all(self) -> None:
        """End the waits first, so that no waiter takes over a dial that is cancelled here. Each claim is put into
        `todo` before it is released: after Ctrl-C, a claim that is DONE and out of the dict could no longer be
        woken."""
        for state in (_WAITING, _DIALING, _HOLDING) if self._aborted else (_WAITING, _DIALING):
            for claim in [claim for claim in self.claims if claim.state is state]:
                self.todo.append(claim)
                claim.closed = True
                if state is _HOLDING and claim.slot is not None:
                    claim.slot.reason = claim.slot.reason or CloseReason.POOL_CLOSED
                self._release(claim, self._now)
        for slot in list(self._slots):
            self._retire(slot, CloseReason.POOL_CLOSED)

    def _wake_followers(self, origin: Origin) -> None:
        """Wake the waiters of an origin: they no longer wait for a dial but for a connection, to which another timeout
        applies (see `follows`)."""
        if self._ring:
            self._fill()
        self.todo.extend(origin.waiters)

    # After Ctrl-C.

    def rebuild(self) -> None:
        """Derive all other state from claims and slots anew. If this is interrupted, the next step does it again."""
        self._dirty = True
        mend(self.claims, self._slots, self.todo, self._finish)
        derived = derive(self.claims, self._slots, self._origin_anew)
        origins = derived.origins
        # The order of turns is kept, and so is the count of times the head was passed over: Ctrl-C must not cost an
        # origin its turn.
        ring = [origins[origin.key] for origin in self._ring if origin.key in origins]
        self._origins, self._idle, self._dialing, self._waiting = derived
        self._idle_heap.begin_anew(self._idle)
        self._lifetimes.begin_anew(self._slots)
        self._ring = self._ring.of(ring)
        self._expire(self._now)
        while len(self._idle) > self._most_idle:
            self._remove(next(iter(self._idle)), CloseReason.EVICTED)
        if self.closed:
            self._close_all()
        for origin in list(self._origins.values()):
            self._serve(origin)
        self._fill()

    def _origin_anew(self, key: Hashable) -> Origin:
        """Return a new record of an origin, with the facts that are remembered about it."""
        origin = self._origin_for(key)
        if key in self._origins:
            origin.failed_before = self._origins[key].failed_before
        return origin

    # Queries.

    def follows(self, ticket: Ticket) -> bool:
        """Whether the ticket waits for the end of another ticket's dial, since its origin has no open connection yet.
        When this changes while the ticket waits, the ticket's `wake` is called."""
        claim = ticket.claim
        if claim.state is not _WAITING:
            return False
        origin = self._origins[claim.key]
        return origin.count == origin.dialing and claim.joined > origin.failed_before and origin.shared_by(claim)

    def has_room(self, ticket: Ticket) -> bool:
        """Whether a dial for the ticket's origin could begin now."""
        origin = self._origins.get(ticket.claim.key)
        if origin is not None and origin.count >= self._max_per_origin:
            return False
        return len(self._slots) < self._max_connections or bool(self._idle)

    def slots(self) -> list[Slot]:
        """Every connection that is not GONE."""
        return list(self._slots)

    def snapshot(self) -> PoolStats:
        """The current counts. This is not a step and changes nothing: it reads only the claims and slots, which are
        valid in the middle of a step too. So a signal handler that has interrupted a step can call it, and so can
        another thread. Each claim and slot is read once.
        """
        return counted(list(self.claims), self.slots())

    def crowd(self) -> tuple[int, int, int]:
        """The numbers of busy connections, of dials, and of waiting tickets, as in `snapshot`. They are not counted
        anew, since many tickets may wait, and each that times out reports these numbers. Call this under the pool's
        lock."""
        if self._dirty:  # Ctrl-C interrupted a step: the counts may be wrong until the next one
            stats = self.snapshot()
            return stats.busy, stats.dialing, stats.waiting
        return len(self._slots) - self._dialing - len(self._idle), self._dialing, self._waiting


def _require_state(step: str, claim: Claim, state: TicketState) -> None:
    """Raise ValueError unless the claim is in this state, or DONE because the ledger was closed in the meantime."""
    if claim.state is not state and claim.state is not _DONE:
        raise _state_error(step, claim, state)


def _state_error(step: str, claim: Claim, allowed: TicketState) -> ValueError:
    return ValueError(f"{step}: the ticket for {claim.key} is {claim.state.name}, expected {allowed.name}")
