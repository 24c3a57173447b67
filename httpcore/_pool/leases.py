"""The ledger in use: steps under a lock, the ledger's tasks, and a ticket's path to a connection.

A request owns one ticket. Whatever happens to the request (a response, an error, a timeout, a cancellation, Ctrl-C),
the ticket is released through `release`, a plain function; or, if even that is interrupted, by the next step of the
ledger after the ticket was freed (see `Claim`). The ledger decides under a lock, which is held only while plain code
runs.

A signal handler, a finaliser or a weakref callback may run in the middle of a locked step of its own thread. Its
call is then put into `_deferred`, and carried out when the step has ended. `_deferred` is checked after the release of
the lock, so that nothing in it is missed: later calls find the lock free.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from .._backends import current_backend
from .._backends.base import Backend, Event
from .._config import PoolLimits
from .._connect.dial import Connector
from .._connect.network import Network
from .._errors import ConnectError, ConnectTimeout, HTTPCoreError, LocalProtocolError, PoolClosed, PoolTimeout
from .._log import request_log
from .._reentry import step_lock
from .._totals import Totals
from .._trace import CloseReason, ConnectionClosed
from .call import Call
from .connection import HTTPConnection
from .draining import Draining
from .engines import NATIVE, Engines
from .ledger import Ledger
from .stats import PoolStats, totals_of
from .tickets import Slot, SlotState, Ticket, TicketState
from .tracer import both, clock_offset

if TYPE_CHECKING:
    from .._trace import Trace
    from .tracer import Tracer

__all__ = ["Leases", "as_closed", "follow"]

T = TypeVar("T")

# The member has a name here, since looking it up in its Enum costs more than comparing it.
_HOLDING: Final = TicketState.HOLDING

_every: weakref.WeakSet[Leases] = weakref.WeakSet()


class Leases:
    """The connections of one pool, and the requests that hold one or wait for one, in one event loop at a time.

    Requests and responses hold a reference to this object, not to the pool. When the pool and the last of these are
    gone, the connections are closed.

    Arguments:
        limits, network, ping_interval: as for the pool.
        backend: the runtime, if the user gave one; it never changes then. None: the runtime that runs the requests.
        trace: as for the pool.

    Attributes:
        backend: the runtime, once a request has been made.
        lock, ledger, connector: those of this process and event loop. They are replaced after a fork, and for another
            loop.
        trace: the pool's own, if there is one.
        totals: the pool's counts. They begin at zero in the child of a fork.
        unreported: calls of traces that are made when the step of the ledger has ended.
        pausing: events of requests that pause before another attempt, and hold nothing; `close` sets them.
        draining: the calls between two attempts, and the tasks that wait until no request is in flight.
    """

    def __init__(
        self,
        limits: PoolLimits,
        network: Network,
        ping_interval: float | None,
        backend: Backend | None,
        engines: Engines = NATIVE,
        trace: Trace | None = None,
    ) -> None:
        self.trace = trace
        self.limits = limits
        self._network = network
        self._ping_interval = ping_interval
        self.engines = engines
        self.backend = backend
        self._is_fixed = backend is not None
        self.totals = Totals()
        self._begin_afresh()
        _every.add(self)

    def _begin_afresh(self) -> None:
        self.lock = step_lock()
        self.is_inside = self.lock._is_owned
        self._deferred: deque[Callable[[], object]] = deque()
        self.ledger = Ledger(self.limits)
        self.connector = Connector(self._network)
        self.pausing: set[Event] = set()
        self.draining = Draining()
        self._drains = self.draining.events  # an attribute of its own, since each request reads it
        self.unreported: deque[Callable[[Leases], None]] = deque()

    def __del__(self) -> None:
        # The attributes are read from `__dict__`, since Ctrl-C may have interrupted `__init__` before they were set. No
        # request can be in flight, since each holds a reference to this object; so no other thread can use it, and no
        # lock is needed.
        ledger = self.__dict__.get("ledger")
        for slot in ledger.slots() if ledger is not None else ():
            if slot.connection is not None:
                slot.reason = slot.reason or CloseReason.POOL_CLOSED
                slot.connection.close()
        if self.__dict__.get("unreported"):  # the closes above, if a trace records them
            self.notify()

    # Acquire and release.

    def acquire(self, ticket: Ticket, call: Call, avoid: HTTPConnection | None) -> HTTPConnection | None:
        """Request a connection. One that is open and quiet is returned at once. After None, the caller must await
        `obtain`.

        Arguments:
            avoid: the connection of an attempt that failed, or None. Another connection is acquired, if there is room
                for one. Where connections are not shared, it is one that has served no request.
        """
        call.followed = 0.0
        ledger = self.ledger
        try:
            with self.lock:
                call.connected = now = call.now()
                ledger.acquire(ticket, now)
                if ledger.todo:
                    self._perform()
        # This runs after the lock is released, also after an error: a call that a finaliser has postponed must not wait
        # for the next request.
        finally:
            if self._deferred:
                self._run_deferred()
        claim = ticket.claim
        if claim.state is _HOLDING:
            connection: HTTPConnection = claim.slot.connection  # type: ignore[union-attr, assignment]
            # This is done outside of the lock, since `is_quiet` may make a system call. The ticket already holds the
            # connection.
            fits = avoid is None and (connection.uses == 0 or connection.is_quiet())
            if fits and not (connection.is_shared and connection.needs_check):
                return connection
        return None

    async def obtain(self, ticket: Ticket, call: Call, avoid: HTTPConnection | None) -> HTTPConnection:
        """Continue after `acquire`: wait until the ticket holds a suitable connection."""
        claim = ticket.claim
        while True:
            state = claim.state
            if state is _HOLDING:
                connection: HTTPConnection = claim.slot.connection  # type: ignore[union-attr, assignment]
                suits = avoid is None or self._may_serve(connection, ticket, avoid)
                fits = connection.uses == 0 or (suits and connection.is_quiet())
                if fits and not (
                    connection.is_shared and connection.needs_check and not await connection.is_alive(call)
                ):
                    call.connected = call.now()
                    return connection
                # The connection is dead or unsuitable, and nothing of this request was sent on it, so no attempt has
                # failed: the ticket keeps its place ahead of all waiters.
                self.step(partial(self._redial, ticket))
            elif state is TicketState.DIALING:
                await self._dial(ticket, call)
            elif state is TicketState.WAITING:
                await self._wait(ticket, call)
            else:
                raise _done(ticket, self.ledger.closed)

    def _redial(self, ticket: Ticket) -> None:
        self.ledger.redial(ticket, self.now())

    def _may_serve(self, connection: HTTPConnection, ticket: Ticket, avoid: HTTPConnection) -> bool:
        """Whether a reused connection may serve this ticket, whose request has failed on `avoid`."""
        if not connection.is_shared:
            return False
        return connection is not avoid or not self.ledger.has_room(ticket)  # better the same connection than none

    async def _wait(self, ticket: Ticket, call: Call) -> None:
        """Wait until the ticket is no longer WAITING. Waiting for another request's dial counts against
        `connect_timeout`, any other wait against `pool_timeout`."""
        steps = call.begin_steps()
        began = call.now()
        steps.waiting(began)
        if call.tracer is not None:
            call.tracer.queued(call.route, began)
        followed: bool | None = None
        since = 0.0
        while True:
            # Each wait has a new event, whose `set` is stored as `wake` under the lock: a grant before `event.wait`
            # begins is not lost.
            event = call.backend.event()
            follows = self.step(partial(self._begin_to_wait, ticket, event.set))
            now = call.now()
            # The wait may change between the two kinds: `since` is when its current kind began.
            if follows is not followed:
                if followed:
                    call.followed += now - since
                followed, since = follows, now
            if ticket.state is not TicketState.WAITING:
                steps.waited(now)
                return
            limit = call.connect_limit() if follows else call.config.pool_timeout
            left = None if limit is None else max(0.0, limit - (now - since))
            if not await event.wait(call.within(left)):
                self._check_granted(ticket, call, follows)

    def _begin_to_wait(self, ticket: Ticket, wake: Callable[[], None]) -> bool:
        ticket.wake = wake
        return self.ledger.follows(ticket)

    def _check_granted(self, ticket: Ticket, call: Call, follows: bool) -> None:
        """Raise after a timeout, unless the ticket stopped waiting at the same moment, or waits for something else
        now."""
        # The state is read under the lock: a grant and the timeout may coincide, and the grant wins.
        if self.step(lambda: ticket.state is not TicketState.WAITING or self.ledger.follows(ticket) is not follows):
            return
        if follows:
            raise ConnectTimeout(
                f"another request's connection to {call.route}, which this one would have shared, was not made in time",
                phase="connect",
                limit=call.config.connect_timeout,
            )
        busy, dialing, waiting = self.step(self.ledger.crowd)
        raise PoolTimeout(
            f"no connection to {call.route} became free: {busy} of {self.limits.max_connections} connections are "
            f"busy, {dialing} dialing, requests waiting: {waiting}; raise max_connections, bound the number of tasks, "
            "or set pool_timeout=None",
            phase="wait for a connection",
            limit=call.config.pool_timeout,
        )

    async def _dial(self, ticket: Ticket, call: Call) -> None:
        connection = HTTPConnection(call.route, self._ping_interval, self.engines, self.totals)
        slot = ticket.slot
        if slot is None:
            return  # the pool was closed since the ledger decided to dial
        # The connection is stored before the first wait, so that a `close` of the pool can end that wait. The slot's
        # state is read after that; `close` sets the state first and then reads the connection. So either this method
        # sees the close, or `close` sees the connection.
        slot.connection = connection
        if slot.state is SlotState.GONE:
            return  # the pool was closed, perhaps before it could see the connection
        steps = call.begin_steps()
        began = steps.dialing()
        self.totals.dials += 1
        if call.tracer is not None:
            call.tracer.dialing(call.route, began)
        try:
            await connection.open(self.connector, call.backend, call, call.followed, steps)
        except BaseException as error:
            self.totals.failed_dials += 1
            # After Ctrl-C or a cancellation, `release` lets the next waiter dial. A failure is recorded by `failed`
            # instead, after which each waiter dials for itself.
            if isinstance(error, Exception):
                connection.close()
                self.step(lambda: self.ledger.failed(ticket, self.now()))
            if call.tracer is not None:
                call.tracer.dial_failed(call.route, error)
            raise
        # The callback is set before the slot is OPEN: otherwise input in between would find no callback.
        connection.watch(_Watch(self, slot))
        self.step(
            lambda: self.ledger.opened(ticket, self.now(), capacity=connection.capacity, protocol=connection.protocol)
        )
        if call.tracer is None:
            return
        if ticket.state is not _HOLDING:  # the pool was closed in the meantime
            call.tracer.dial_failed(call.route, _done(ticket, self.ledger.closed))
            return
        call.tracer.opened(call.route, connection.info, connection.engine)
        follow(self, slot, connection, call.tracer)

    def release(
        self, ticket: Ticket, *, reusable: bool, expires: float | None = None, reason: CloseReason | None = None
    ) -> float | None:
        """End a ticket; every ticket ends here. Returns the time of the release; None if the release is postponed until
        the current step of this thread has ended.

        Arguments:
            reason: why the connection is not reusable.
        """
        if reason is not None and (slot := ticket.slot) is not None:
            slot.reason = slot.reason or reason
        # A finaliser or a signal handler has interrupted a step of this thread: the ledger is in the middle of
        # a change.
        if self.is_inside():
            # Neither `release` nor `acquire` has a lambda: the variables that it uses would be cells, which cost more
            # than all other lines of the function.
            self._deferred.append(partial(self._release_later, ticket, reusable, expires))
            return None
        ledger, backend = self.ledger, self.backend
        try:
            with self.lock:
                now = backend.now() if backend else 0.0
                ledger.release(ticket, now, reusable=reusable, expires=expires)
                if ledger.todo or self._drains:
                    self._perform()
        finally:
            if self._deferred:
                self._run_deferred()
        return now

    def _release_later(self, ticket: Ticket, reusable: bool, expires: float | None) -> None:
        self.ledger.release(ticket, self.now(), reusable=reusable, expires=expires)

    # Steps of the ledger.

    def now(self) -> float:
        return self.backend.now() if self.backend is not None else 0.0

    def step(self, act: Callable[[], T]) -> T:
        """Run one step under the lock. `acquire` and `release` have the same lines inline, which saves a call."""
        try:
            with self.lock:
                result = act()
                self._perform()
                return result
        finally:
            if self._deferred:
                self._run_deferred()

    def _run_deferred(self) -> None:
        """Carry out the postponed calls. A call is removed after it is done, so that Ctrl-C loses none; a repeated call
        is harmless.
        """
        deferred = self._deferred
        # `_deferred` is checked again after each release of the lock: a finaliser may have added a call just before the
        # release.
        while deferred and not self.is_inside():
            with self.lock:
                while deferred:
                    deferred[0]()
                    self._perform()
                    deferred.popleft()
        if self.unreported and not self.is_inside():
            self.notify()

    def _perform(self) -> None:
        """Carry out the ledger's tasks, under the lock. Each task is plain, quick, and harmless when it is repeated."""
        todo = self.ledger.todo
        while todo:
            # A task is carried out before it is removed: Ctrl-C in between repeats the task, which is harmless. The
            # other order would lose it.
            todo[0].perform()
            todo.popleft()
        if self._drains and self.is_idle():
            self.draining.notify()
        if self.unreported and not self._deferred:
            self._deferred.append(_no_op)  # makes `_run_deferred` run: no trace is called under the lock

    def notify(self) -> None:
        """Call traces with the records of a step. An exception of a trace cannot fail a request here, so it is passed
        to `sys.excepthook`."""
        unreported = self.unreported
        while unreported:
            try:
                unreported.popleft()(self)
            except Exception as error:
                sys.excepthook(type(error), error, error.__traceback__)

    def call_trace_later(self, record: Callable[[Leases], None]) -> None:
        """Call a trace: now, or, if a finaliser has interrupted a step of this thread, when that step has ended."""
        self.unreported.append(record)
        if self.is_inside():
            self._deferred.append(_no_op)
        else:
            self.notify()

    def _step_or_later(self, act: Callable[[], object]) -> None:
        """Run one step: now, or, if this thread is in the middle of another step, when that one has ended."""
        if self.is_inside():
            self._deferred.append(act)
        else:
            self.step(act)

    def notice(self, slot: Slot) -> None:
        """Handle a watched connection that received bytes, or was closed by the peer, while it was idle; or a shared
        one that has changed."""
        self._step_or_later(partial(self._check_slot, slot))

    def _check_slot(self, slot: Slot) -> None:
        connection: HTTPConnection | None = slot.connection  # type: ignore[assignment]  # `_dial` stored it
        if connection is None or slot.state is SlotState.GONE:
            return
        if not connection.is_shared:
            if not slot.used:
                self.ledger.retire(slot, self.now())
        elif not connection.is_open:
            self.ledger.retire(slot, self.now())
        elif connection.capacity != slot.capacity:
            self.ledger.resize(slot, connection.capacity, self.now())

    def stats(self) -> PoolStats:
        stats = self.ledger.snapshot() if self.is_inside() else self.step(self._expired_stats)
        return stats.of_pool(totals_of(self.totals, _open_counts(self.ledger)), self.limits)

    def _expired_stats(self) -> PoolStats:
        self.ledger.expire(self.now())
        self._perform()
        return self.ledger.snapshot()

    def close(self, *, abort: bool = False) -> None:
        self._step_or_later(partial(self._close_ledger, abort))

    def _close_ledger(self, abort: bool) -> None:
        self.ledger.close(self.now(), abort=abort)
        for event in list(self.pausing):
            event.set()

    # A graceful end, with time for running requests.

    def refuse_new(self) -> None:
        """Refuse requests that begin from now on; those in flight continue, with their retries."""

        def refuse() -> None:
            self.ledger.refuses_new = True

        self.step(refuse)

    def is_idle(self) -> bool:
        """Whether no request is in flight. Call this under the lock."""
        return not (self.ledger.claims or self.draining.between)

    # The runtime.

    def enter(self) -> Backend:
        """Return the runtime of a request that begins."""
        backend = self.backend
        # A backend that the user gave stays, and is never checked.
        if backend is not None and (self._is_fixed or backend.is_current()):
            return backend
        return self._set_runtime(current_backend())

    def _set_runtime(self, backend: Backend) -> Backend:
        """Set the runtime for the first request, or for a request in another loop; the pool's previous loop must have
        ended."""
        if self.backend is not None:
            if not self.backend.is_gone():
                raise LocalProtocolError(
                    f"this pool is in use in another {self.backend.name} event loop: a pool belongs to one loop, so "
                    "make one for each"
                )
            self._leave()
        self.backend = backend
        return backend

    def _leave(self) -> None:
        """Drop the connections of an event loop that has ended."""
        closed, refuses_new = self.ledger.closed, self.ledger.refuses_new
        for slot in self.ledger.slots():
            if slot.connection is not None:
                slot.reason = slot.reason or CloseReason.LOOP_CLOSED
                slot.connection.close()
        self.notify()
        # The connections are closed first, because the next ledger does not have them. Responses of the old loop may
        # still hold tickets of the old ledger, and release them here later, which does nothing.
        self.ledger.disband()
        self._begin_afresh()
        self.ledger.refuses_new = refuses_new
        if closed:
            self.ledger.close(0.0)

    def after_fork(self) -> None:
        """Begin anew in the child, with new locks and an empty pool: the connections belong to the parent."""
        for slot in self.ledger.slots():
            if slot.connection is not None:
                # `close` must not be called: it would shut down a socket that the parent shares, and over HTTP/2 send a
                # GOAWAY.
                slot.connection.abandon()
        self.ledger.disband()
        self._begin_afresh()
        self.totals = Totals()
        if not self._is_fixed:
            self.backend = None


def as_closed(ticket: Ticket, error: BaseException) -> BaseException:
    """Return the error of an exchange or a dial, or a `PoolClosed` in its place if the pool has closed the
    connection."""
    if not ticket.closed or not isinstance(error, HTTPCoreError) or isinstance(error, PoolClosed):
        return error
    closed = PoolClosed("the pool was closed by close(abort=True)", phase=error.phase, peer=error.peer)
    closed.__cause__ = error
    return closed


def _done(ticket: Ticket, closed: bool) -> HTTPCoreError:
    """The error of a request whose ticket is DONE, although the request has not released it."""
    if ticket.closed:
        why = "the pool is closed" if closed else "the pool drains: expected requests before drain()"
        return PoolClosed(why, phase="wait for a connection")
    return ConnectError(
        "the request began before a fork, or in an event loop that is closed, and has no connection any more",
        phase="wait for a connection",
    )


def _after_fork() -> None:
    for leases in list(_every):
        leases.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _no_op() -> None:
    """See `Leases._perform`."""


def follow(leases: Leases, slot: Slot, connection: HTTPConnection, tracer: Tracer) -> None:
    """Have the close of a connection recorded, since a traced request uses the connection."""
    if connection.on_close is None:
        # The callback is not a method of `leases`, since the connection must not keep the pool alive.
        connection.on_close = partial(leases.unreported.append, partial(_record_close, slot, connection))
    connection.tracer = None if connection.is_shared else tracer
    if connection.is_closed:  # another thread has closed it just before
        connection.close()
        leases.notify()


def _open_counts(ledger: Ledger) -> list[tuple[int, int]]:
    """The counts of connections that are not in the totals yet. A connection that is still to be closed is only in
    `todo`."""
    slots = {*ledger.slots(), *[item for item in list(ledger.todo) if isinstance(item, Slot)]}
    connections: list[HTTPConnection | None] = [slot.connection for slot in slots]  # type: ignore[misc]
    return [connection.counts() for connection in connections if connection is not None]


def _record_close(slot: Slot, connection: HTTPConnection, leases: Leases) -> None:
    reason, peer, tracer = slot.reason or CloseReason.FAILED, connection.info.peer, connection.tracer
    if tracer is not None:
        tracer.closed(peer, reason)
    elif (trace := both(leases.trace, request_log())) is not None:
        backend = leases.backend
        at = 0.0 if backend is None else backend.now() + clock_offset(backend)
        trace(ConnectionClosed(at, 0, peer, reason))


class _Watch:
    """Notifies the leases that a connection has changed or received input, without keeping them alive."""

    __slots__ = ("_leases", "_slot")

    def __init__(self, leases: Leases, slot: Slot) -> None:
        self._leases = weakref.ref(leases)
        self._slot = slot

    def __call__(self) -> None:
        leases = self._leases()
        if leases is not None:
            leases.notice(self._slot)
