"""The ledger's promises: examples for each rule, random moves against a slow model, Ctrl-C anywhere, flat cost."""

from __future__ import annotations

import gc
import random
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from httpcore._config import PoolLimits
from httpcore._pool.expiry import IdleExpiry
from httpcore._pool.ledger import Ledger
from httpcore._pool.protocols import REMEMBERED, Protocols
from httpcore._pool.recovery import mend
from httpcore._pool.ring import Ring
from httpcore._pool.stats import OriginStats
from httpcore._pool.tickets import Slot, SlotState, Speaks, Ticket, TicketState

NEW, WAITING, DIALING, HOLDING, DONE = TicketState


class Connection:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def abandon(self) -> None:
        raise AssertionError("there was no fork")


class Pool:
    """Does the work of the pool around a ledger, with a clock that does not move."""

    def __init__(self, most: int | None = 100, per_origin: int | None = None, **limits: Any) -> None:
        self.ledger = Ledger(PoolLimits(most, per_origin, **limits))
        self.now = 100.0
        self.woken: list[Ticket] = []

    def acquire(self, key: object, *, may_share: bool = False) -> Ticket:
        ticket = self.ledger.ticket(key, may_share)
        self.ledger.acquire(ticket, self.now)
        self.set_wake(ticket)
        self.perform()
        return ticket

    def set_wake(self, ticket: Ticket) -> None:
        if ticket.state is WAITING:
            claim = ticket.claim
            ticket.wake = lambda: self.woken.extend(filter(None, [claim()]))
        elif ticket.state is DIALING:
            slot_of(ticket).connection = Connection()

    def opened(self, ticket: Ticket, **answer: Any) -> Ticket:
        self.ledger.opened(ticket, self.now, **answer)
        self.perform()
        return ticket

    def open(self, key: object, **answer: Any) -> Ticket:
        return self.opened(self.acquire(key), **answer)

    def release(self, *tickets: Ticket, reusable: bool = True, expires: float | None = None) -> None:
        for ticket in tickets:
            self.ledger.release(ticket, self.now, reusable=reusable, expires=expires)
            self.perform()

    def step(self, name: str, *arguments: Any) -> None:
        getattr(self.ledger, name)(*arguments, self.now)
        self.perform()

    def perform(self) -> None:
        todo = self.ledger.todo
        while todo:
            todo[0].perform()
            todo.popleft()

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        stats = self.ledger.stats()
        assert stats.connections == stats.idle + stats.busy + stats.dialing
        assert stats.open == stats.idle + stats.busy
        return stats.idle, stats.busy, stats.dialing, stats.leased, stats.waiting


def states(*tickets: Ticket) -> list[TicketState]:
    return [ticket.state for ticket in tickets]


def slot_of(ticket: Ticket) -> Slot:
    assert ticket.slot is not None
    return ticket.slot


def connection_of(holder: Ticket | Slot) -> Connection:
    slot = slot_of(holder) if isinstance(holder, Ticket) else holder
    assert isinstance(slot.connection, Connection)
    return slot.connection


# One connection.


def test_the_first_request_dials_and_then_holds() -> None:
    pool = Pool()
    ticket = pool.acquire("a")
    slot = slot_of(ticket)
    assert (ticket.state, slot.state, pool.counts) == (DIALING, SlotState.DIALING, (0, 0, 1, 0, 0))
    pool.opened(ticket)
    assert (ticket.state, slot.state, pool.counts) == (HOLDING, SlotState.OPEN, (0, 1, 0, 1, 0))
    pool.release(ticket)
    assert (ticket.state, ticket.slot, slot.used, pool.counts) == (DONE, None, 0, (1, 0, 0, 0, 0))


@pytest.mark.parametrize("reusable", [True, False])
def test_a_ticket_that_was_given_back_leaves_nothing_to_sweep(reusable: bool) -> None:
    pool = Pool()
    ticket = pool.open("a")
    pool.release(ticket, reusable=reusable)
    del ticket
    assert not pool.ledger.dropped


def test_a_clean_connection_is_reused_and_another_is_closed_once() -> None:
    pool = Pool()
    ticket = pool.open("a")
    connection = connection_of(ticket)
    pool.release(ticket)
    again = pool.acquire("a")
    assert again.state is HOLDING
    assert slot_of(again).connection is connection
    pool.release(again, reusable=False)
    assert connection.closed == 1
    assert pool.counts == (0, 0, 0, 0, 0)
    assert pool.acquire("a").state is DIALING


def test_the_most_recently_used_connection_goes_first() -> None:
    pool = Pool()
    first, second, third = pool.open("a"), pool.open("a"), pool.open("a")
    newest = slot_of(first)
    pool.release(second, third, first)
    assert slot_of(pool.acquire("a")) is newest


@pytest.mark.parametrize("state", list(TicketState))
def test_a_ticket_is_released_from_every_state_and_twice(state: TicketState) -> None:
    pool = Pool(1)
    ticket = pool.ledger.ticket("a")
    if state is WAITING:
        other = pool.acquire("b")
    if state is not NEW:
        pool.ledger.acquire(ticket, 0.0)
    if state in (HOLDING, DONE):
        pool.opened(ticket)
    if state is DONE:
        pool.release(ticket)
        pool.release(pool.acquire("a"), reusable=False)
    assert ticket.state is state
    pool.release(ticket, reusable=False)
    pool.release(ticket, reusable=False)
    if state is WAITING:
        pool.release(other)
    assert (ticket.state, ticket.slot, pool.counts) == (DONE, None, (0, 0, 0, 0, 0))


def test_a_failed_dial_frees_its_room() -> None:
    pool = Pool(1)
    ticket, other = pool.acquire("a"), pool.acquire("b")
    connection = connection_of(ticket)
    pool.step("failed", ticket)
    assert states(ticket, other) == [DONE, DIALING]
    assert connection.closed == 1
    assert pool.woken == [other]


@pytest.mark.parametrize(
    ("step", "state"),
    [("acquire", DIALING), ("opened", NEW), ("failed", NEW), ("redial", DIALING), ("opened", HOLDING), ("redial", NEW)],
)
def test_a_step_out_of_place_names_the_state_and_changes_nothing(step: str, state: TicketState) -> None:
    pool = Pool()
    ticket = pool.ledger.ticket("here") if state is NEW else pool.acquire("here")
    if state is HOLDING:
        pool.opened(ticket)
    before = pool.counts
    with pytest.raises(ValueError, match=f"^{step}: the ticket for here is {state.name}, expected [A-Z]+$"):
        pool.step(step, ticket)
    assert (ticket.state, pool.counts) == (state, before)


# Limits.


def test_at_the_limit_the_longest_idle_connection_makes_room() -> None:
    pool = Pool(2)
    old, young = pool.open("a"), pool.open("b")
    slots = slot_of(old), slot_of(young)
    pool.release(old, young)
    assert pool.acquire("c").state is DIALING
    assert [slot.state for slot in slots] == [SlotState.GONE, SlotState.OPEN]
    assert connection_of(slots[0]).closed == 1
    assert "a" not in pool.ledger.stats().origins


def test_connection_that_turns_idle_is_closed_for_another_origin() -> None:
    pool = Pool(1)
    ticket, other = pool.open("a"), pool.acquire("b")
    assert other.state is WAITING
    pool.release(ticket)
    assert other.state is DIALING
    assert pool.woken == [other]


def test_an_origin_at_its_own_limit_holds_up_no_other() -> None:
    pool = Pool(3, 1)
    a, a_waits = pool.open("a"), pool.acquire("a")
    b, c = pool.open("b"), pool.open("c")
    b_waits, d_waits = pool.acquire("b"), pool.acquire("d")
    assert states(a_waits, b_waits, d_waits) == [WAITING] * 3
    pool.release(c)
    assert states(a_waits, b_waits, d_waits) == [WAITING, WAITING, DIALING]
    pool.release(a, b, reusable=False)
    assert states(a_waits, b_waits) == [DIALING, DIALING]


def test_max_keepalive_bounds_the_idle_and_the_oldest_goes() -> None:
    pool = Pool(max_keepalive=1)
    a, b = pool.open("a"), pool.open("b")
    oldest = slot_of(a)
    pool.release(a, b)
    assert oldest.state is SlotState.GONE
    assert pool.counts == (1, 0, 0, 0, 0)


@pytest.mark.parametrize("limits", [{"max_keepalive": 0}, {"keepalive_expiry": 0.0}])
def test_without_keep_alive_a_connection_still_goes_to_a_waiter(limits: dict[str, Any]) -> None:
    pool = Pool(1, **limits)
    ticket, waiter = pool.open("a"), pool.acquire("a")
    slot = slot_of(ticket)
    pool.release(ticket)
    assert waiter.slot is slot
    pool.release(waiter)
    assert (slot.state, pool.counts) == (SlotState.GONE, (0, 0, 0, 0, 0))


# Time.


@pytest.mark.parametrize(
    ("expires", "after", "kept"),
    [(None, 29.9, True), (None, 30.0, False), (105.0, 4.9, True), (105.0, 5.0, False), (1e9, 30.0, False)],
)
def test_an_idle_connection_lives_for_the_shorter_of_both_times(
    expires: float | None, after: float, kept: bool
) -> None:
    pool = Pool(keepalive_expiry=30.0)
    ticket = pool.open("a")
    connection = connection_of(ticket)
    pool.release(ticket, expires=expires)
    pool.now += after
    pool.step("expire")
    assert (connection.closed, pool.counts[0]) == ((0, 1) if kept else (1, 0))
    assert pool.acquire("a").state is (HOLDING if kept else DIALING)


def test_a_connection_that_expired_before_its_release_is_closed() -> None:
    pool = Pool(1)
    ticket, waiter = pool.open("a"), pool.acquire("a")
    pool.release(ticket, expires=pool.now)
    assert waiter.state is DIALING


def test_the_peers_time_is_for_one_idle_life_only() -> None:
    pool = Pool(keepalive_expiry=None)
    ticket = pool.open("a")
    pool.release(ticket, expires=pool.now + 5)
    ticket = pool.acquire("a")
    pool.release(ticket)
    pool.now += 1e6
    assert pool.acquire("a").state is HOLDING


def test_a_slot_that_expires_early_goes_while_older_ones_stay() -> None:
    pool = Pool()
    a, b = pool.open("a"), pool.open("b")
    pool.release(a)
    pool.release(b, expires=pool.now + 5)
    pool.now += 6
    pool.step("expire")
    assert set(pool.ledger.stats().origins) == {"a"}


def test_notes_of_early_ends_do_not_pile_up() -> None:
    pool = Pool(keepalive_expiry=None)
    pool.release(pool.open("a"))
    for _ in range(1000):
        pool.now += 1
        pool.release(pool.acquire("a"), expires=pool.now + 1e6)
    # The heap costs memory and time, and changes no decision.
    assert len(pool.ledger._idle_heap.notes) < 100
    pool.now += 1e6
    pool.step("expire")
    assert pool.counts == (0, 0, 0, 0, 0)


# Age.


@pytest.mark.parametrize(("capacity", "protocol"), [(1, "HTTP/1.1"), (3, "HTTP/2")])
def test_a_connection_that_is_too_old_serves_no_ticket(capacity: int, protocol: Speaks) -> None:
    pool = Pool(max_connection_lifetime=60.0)
    first = pool.open("a", capacity=capacity, protocol=protocol)
    slot = slot_of(first)
    for _ in range(6):  # the connection is in constant use, so it never expires
        pool.release(first)
        pool.now += 9.9
        first = pool.acquire("a")
        assert first.slot is slot
    pool.now += 1
    other = pool.acquire("a")
    assert (slot.state, other.state) == (SlotState.DRAINING, DIALING)
    assert connection_of(slot).closed == 0, "requests on a draining connection continue"
    pool.release(first)
    assert (connection_of(slot).closed, slot.state) == (1, SlotState.GONE)


def test_an_idle_connection_is_closed_when_it_is_too_old() -> None:
    pool = Pool(max_connection_lifetime=60.0, keepalive_expiry=None)
    ticket = pool.open("a")
    connection = connection_of(ticket)
    pool.release(ticket)
    for after, closed in ((59.9, 0), (0.1, 1)):
        pool.now += after
        pool.step("expire")
        assert connection.closed == closed
    assert pool.counts == (0, 0, 0, 0, 0)


def test_age_counts_from_the_end_of_the_dial() -> None:
    pool = Pool(max_connection_lifetime=60.0)
    ticket = pool.acquire("a")
    pool.now += 100
    pool.opened(ticket)
    pool.release(ticket)
    pool.now += 29
    assert pool.acquire("a").state is HOLDING


def test_waiters_on_a_connection_too_old_are_served_by_another() -> None:
    pool = Pool(1, max_connection_lifetime=60.0)
    holder, waiter = pool.open("a"), pool.acquire("a")
    pool.now += 60
    pool.release(holder)
    assert waiter.state is DIALING


def test_closed_connections_leave_no_note_of_their_age() -> None:
    pool = Pool(max_connection_lifetime=1e6)
    for _ in range(100):
        pool.release(pool.open("a"), reusable=False)
    # Kept objects cost memory, and change no decision.
    assert pool.ledger._lifetimes.next(-1.0) == -1.0


# Fairness.


def test_waiters_of_an_origin_are_served_in_order() -> None:
    pool = Pool(1)
    holder, *waiters = [pool.open("a")] + [pool.acquire("a") for _ in range(5)]
    for waiter in waiters:
        pool.release(holder)
        assert waiter.state is HOLDING
        holder = waiter
    assert pool.woken == waiters


def test_a_cancelled_waiter_gives_its_turn_to_the_next() -> None:
    pool = Pool(1)
    holder, first, second = pool.open("a"), pool.acquire("a"), pool.acquire("a")
    pool.release(first, holder)
    assert states(first, second) == [DONE, HOLDING]


def test_a_waiter_cancelled_after_its_grant_passes_it_on() -> None:
    pool = Pool(1)
    holder, first, second = pool.open("a"), pool.acquire("a"), pool.acquire("a")
    pool.ledger.release(holder, 0.0, reusable=True)
    assert first.state is HOLDING  # it has not been notified yet
    pool.release(first)
    assert second.state is HOLDING


@pytest.mark.parametrize("most", [1, 2, 5])
def test_origin_keeps_its_slots_until_the_head_was_passed_over(most: int) -> None:
    pool = Pool(most)
    holders = [pool.open("busy") for _ in range(most)]
    other = pool.acquire("other")
    waiters = [pool.acquire("busy") for _ in range(10 * most)]
    kept = 0
    while other.state is WAITING:
        pool.release(holders.pop(0))
        kept += other.state is WAITING
        holders += [waiters.pop(0)] if waiters[0].state is HOLDING else []
    assert kept == 2 * most
    assert other.state is DIALING


def test_origins_that_wait_for_room_take_turns() -> None:
    pool = Pool(1)
    holder = pool.open("z")
    waiters = [pool.acquire(key) for key in "aaabbc"]
    order = []
    while waiters:
        pool.release(holder, reusable=False)
        [holder] = [ticket for ticket in waiters if ticket.state is DIALING]
        waiters.remove(holder)
        order.append(holder.key)
        pool.opened(holder)
    assert order == ["a", "b", "c", "a", "b", "a"]


def test_an_origin_whose_own_connection_served_it_had_its_turn() -> None:
    pool = Pool(2)
    a, c = pool.open("a"), pool.open("c")
    a_waits, *others = [pool.acquire("a"), pool.acquire("b"), pool.acquire("a")]
    pool.release(a)
    assert a_waits.state is HOLDING
    pool.release(c)
    assert states(*others) == [DIALING, WAITING]


def test_passing_over_is_counted_anew_for_each_head_of_the_ring() -> None:
    pool = Pool(1)
    holder = pool.open("busy")
    head, second = pool.acquire("b"), pool.acquire("c")
    waiters = [pool.acquire("busy") for _ in range(10)]
    for kept, waiter in enumerate(waiters):
        if kept == 2:
            pool.release(head)
        pool.release(holder)
        holder = waiter
        if second.state is DIALING:
            break
    assert kept == 2 + 2


def test_a_slot_freed_during_an_acquire_goes_to_the_waiters() -> None:
    pool = Pool(1)
    holder, waiter = pool.open("a"), pool.acquire("b")
    del holder
    assert pool.acquire("c").state is WAITING
    assert waiter.state is DIALING


@pytest.mark.parametrize("capacity", [1, 3])
def test_two_busy_origins_starve_no_waiter(capacity: int) -> None:
    """A ring whose head is always served from its own connections would starve the origins after it."""
    pool = Pool(2)
    tickets = {
        key: [pool.open(key, capacity=capacity, protocol="HTTP/2" if capacity > 1 else "HTTP/1.1")] for key in "ab"
    }
    for key in "ab":
        tickets[key] += [pool.acquire(key) for _ in range(10)]
    other = pool.acquire("other")
    freed = 0
    while other.state is WAITING:
        for key in "ab":
            tickets[key].append(pool.acquire(key))
            for ticket in tickets[key]:
                if ticket.state is DIALING:
                    pool.opened(ticket, capacity=capacity, protocol="HTTP/2" if capacity > 1 else "HTTP/1.1")
            held = next(ticket for ticket in tickets[key] if ticket.state is HOLDING)
            tickets[key].remove(held)
            pool.release(held)
            freed += 1
        assert freed < 3 * (2 * 2 + 1) + 2 * capacity + 2
    assert other.state is DIALING


def test_a_shared_connection_in_constant_use_yields() -> None:
    pool = Pool(1)
    holders = [pool.open("busy", capacity=10, protocol="HTTP/2")]
    slot = slot_of(holders[0])
    other = pool.acquire("other")
    for _ in range(20):
        holders.append(pool.acquire("busy"))
        pool.release(holders.pop(0))
    assert slot.state is SlotState.GONE
    assert other.state is DIALING


def test_a_stream_released_above_a_lowered_limit_frees_nothing() -> None:
    pool = Pool(1)
    holders = [pool.open("a", capacity=3, protocol="HTTP/2"), pool.acquire("a"), pool.acquire("a")]
    waiters = [pool.acquire("a") for _ in range(10)]
    other = pool.acquire("other")
    pool.step("resize", slot_of(holders[0]), 1)
    pool.release(*holders)
    kept = 0
    while waiters[kept].state is HOLDING:
        pool.release(waiters[kept])
        kept += 1
    assert (kept, other.state) == (2 + 1, DIALING)


def test_one_shared_connection_at_a_time_yields() -> None:
    pool = Pool(2)
    first = pool.open("busy", capacity=1, protocol="HTTP/2")
    second = pool.open("busy", capacity=1, protocol="HTTP/2")
    slots = slot_of(first), slot_of(second)
    for slot in slots:
        pool.step("resize", slot, 3)
    holders = [first, second, *(pool.acquire("busy") for _ in range(4))]
    other = pool.acquire("other")
    for _ in range((2 * 2 + 1) + 2 * 2):
        held = [one for one in holders if one.state is HOLDING and slot_of(one).state is SlotState.OPEN]
        pool.release(held[0])
        holders.append(pool.acquire("busy"))
    assert sorted(slot.state.name for slot in slots) == ["DRAINING", "OPEN"]
    assert other.state is WAITING


# Sharing.


def test_a_burst_to_an_unknown_origin_waits_on_the_first_dial() -> None:
    pool = Pool()
    tickets = [pool.acquire("a", may_share=True) for _ in range(5)]
    assert states(*tickets) == [DIALING, *[WAITING] * 4]
    assert pool.acquire("a").state is DIALING  # this ticket may not share


def test_http2_burst_gets_streams_up_to_the_limit_and_rest_dials() -> None:
    pool = Pool()
    tickets = [pool.acquire("a", may_share=True) for _ in range(6)]
    pool.opened(tickets[0], capacity=3, protocol="HTTP/2")
    assert states(*tickets) == [HOLDING] * 3 + [DIALING, WAITING, WAITING]
    assert len({ticket.slot for ticket in tickets[:3]}) == 1
    assert pool.counts == (0, 1, 1, 3, 2)
    pool.opened(tickets[3], capacity=3, protocol="HTTP/2")
    assert states(*tickets) == [HOLDING] * 6


def test_when_the_server_is_http11_all_waiters_dial_at_once() -> None:
    pool = Pool(4)
    tickets = [pool.acquire("a", may_share=True) for _ in range(6)]
    pool.opened(tickets[0])
    assert states(*tickets) == [HOLDING, DIALING, DIALING, DIALING, WAITING, WAITING]
    assert pool.woken == tickets[1:6]  # the last two were woken to check that they wait for another event now


def test_a_follower_is_woken_when_anothers_dial_has_ended() -> None:
    pool = Pool(1)
    dialing, following = pool.acquire("a", may_share=True), pool.acquire("a", may_share=True)
    ledger = pool.ledger
    assert [ledger.follows(ticket) for ticket in (dialing, following)] == [False, True]
    pool.step("failed", dialing)
    assert following.state is DIALING
    late = pool.acquire("a", may_share=True)
    assert ledger.follows(late)
    pool.opened(following, capacity=1, protocol="HTTP/2")
    assert not ledger.follows(late)
    assert pool.woken == [following, late]


def test_there_is_room_within_both_limits_or_for_idle_connection() -> None:
    pool = Pool(2, 1)
    first = pool.open("a")
    assert not pool.ledger.has_room(first)
    other = pool.open("b")
    stranger = pool.ledger.ticket("c")
    assert not pool.ledger.has_room(stranger)
    pool.release(other)
    assert pool.ledger.has_room(stranger)


def test_when_the_first_dial_fails_each_follower_dials() -> None:
    pool = Pool()
    tickets = [pool.acquire("a", may_share=True) for _ in range(4)]
    pool.step("failed", tickets[0])
    assert states(*tickets) == [DONE, DIALING, DIALING, DIALING]
    late = pool.acquire("a", may_share=True)
    assert late.state is WAITING
    for ticket in tickets[1:]:
        pool.step("failed", ticket)
    assert late.state is DIALING


@pytest.mark.parametrize("interrupted", [False, True])
def test_followers_of_a_failed_dial_dial_as_room_comes(interrupted: bool) -> None:
    pool = Pool(2)
    busy = pool.open("busy")
    tickets = [pool.acquire("a", may_share=True) for _ in range(3)]
    pool.step("failed", tickets[0])
    assert states(*tickets) == [DONE, DIALING, WAITING]
    if interrupted:
        pool.ledger.rebuild()
    pool.release(busy)
    assert tickets[2].state is DIALING


def test_when_the_dialing_ticket_is_cancelled_one_follower_dials() -> None:
    pool = Pool()
    tickets = [pool.acquire("a", may_share=True) for _ in range(4)]
    connection = connection_of(tickets[0])
    pool.release(tickets[0], reusable=False)
    assert states(*tickets) == [DONE, DIALING, WAITING, WAITING]
    assert connection.closed == 1
    assert pool.woken == [tickets[1]]


def test_cancelled_dial_stays_with_its_origin_while_that_is_fair() -> None:
    pool = Pool(1)
    first, other = pool.acquire("a"), pool.acquire("b")
    mine = [first] + [pool.acquire("a") for _ in range(4)]
    for ticket in mine:
        if other.state is WAITING:
            assert ticket.state is DIALING
            pool.release(ticket)
    assert states(*mine, other) == [DONE, DONE, DONE, WAITING, WAITING, DIALING]


def test_the_protocol_of_a_forgotten_origin_is_remembered() -> None:
    pool = Pool()
    pool.release(pool.open("a", capacity=9, protocol="HTTP/2"), pool.open("b"), reusable=False)
    # No public name shows which origins the ledger keeps; it must not keep all origins that were ever used.
    assert pool.ledger._origins == {}
    tickets = [pool.acquire(key, may_share=True) for key in "aabb"]
    assert states(*tickets) == [DIALING, WAITING, DIALING, DIALING]


def test_of_the_thousand_origins_remembered_least_recent_goes() -> None:
    pool = Pool()
    for number in range(REMEMBERED):
        pool.release(pool.open(number), reusable=False)
    pool.release(pool.acquire(0))  # requested again
    pool.release(pool.open("one more"), reusable=False)
    # No public name shows the remembered protocols of origins: a request with a ticket would remember them again.
    assert len(pool.ledger._protocols) == REMEMBERED
    assert 0 in pool.ledger._protocols
    assert 1 not in pool.ledger._protocols


def test_a_full_http2_connection_makes_its_origin_dial_or_wait() -> None:
    pool = Pool(2)
    first = pool.open("a", capacity=1, protocol="HTTP/2")
    second, third = pool.acquire("a"), pool.acquire("a")
    assert states(second, third) == [DIALING, WAITING]
    pool.opened(second, capacity=1, protocol="HTTP/2")
    assert third.state is WAITING
    pool.release(first)
    assert third.state is HOLDING


def test_resize_admits_more_requests_and_ends_none() -> None:
    pool = Pool(1)
    tickets = [pool.open("a", capacity=2, protocol="HTTP/2")] + [pool.acquire("a") for _ in range(4)]
    slot = slot_of(tickets[0])
    pool.step("resize", slot, 4)
    assert states(*tickets) == [HOLDING] * 4 + [WAITING]
    pool.step("resize", slot, 1)
    assert (slot.used, pool.counts) == (4, (0, 1, 0, 4, 1))
    pool.release(*tickets[:3])
    assert tickets[4].state is WAITING
    pool.release(tickets[3])
    assert tickets[4].state is HOLDING


def test_a_connection_without_streams_serves_none() -> None:
    pool = Pool(1, 1)
    ticket = pool.open("a", capacity=2, protocol="HTTP/2")
    slot = slot_of(ticket)
    pool.step("resize", slot, 0)
    pool.release(ticket)
    waiter = pool.acquire("a")
    assert waiter.state is WAITING
    pool.step("resize", slot, 1)
    assert waiter.slot is slot


# Tickets and dials that end early.


def test_draining_connection_serves_none_and_closes_after_last() -> None:
    pool = Pool()
    first = pool.open("a", capacity=5, protocol="HTTP/2")
    second = pool.acquire("a")
    slot = slot_of(first)
    pool.step("retire", slot)
    assert (slot.state, slot.used) == (SlotState.DRAINING, 2)
    assert pool.acquire("a").state is DIALING
    pool.release(first)
    assert connection_of(slot).closed == 0
    pool.release(second)
    assert (slot.state, connection_of(slot).closed) == (SlotState.GONE, 1)
    pool.step("retire", slot)
    assert connection_of(slot).closed == 1


def test_a_retired_idle_connection_is_closed_at_once() -> None:
    pool = Pool()
    ticket = pool.open("a")
    slot = slot_of(ticket)
    pool.release(ticket)
    pool.step("retire", slot)
    assert (connection_of(slot).closed, pool.counts) == (1, (0, 0, 0, 0, 0))


def test_connection_lost_before_it_opened_is_for_its_dialer_only() -> None:
    pool = Pool()
    ticket = pool.acquire("a")
    pool.step("retire", slot_of(ticket))
    pool.opened(ticket, capacity=5, protocol="HTTP/2")
    assert ticket.state is HOLDING
    assert pool.acquire("a").state is DIALING


def test_redial_keeps_the_place_of_only_user_before_all_waiters() -> None:
    pool = Pool(1)
    ticket, same, other = pool.open("a"), pool.acquire("a"), pool.acquire("b")
    dead = slot_of(ticket)
    pool.step("redial", ticket)
    assert states(ticket, same, other) == [DIALING, WAITING, WAITING]
    assert (connection_of(dead).closed, ticket.slot is dead) == (1, False)
    assert pool.counts == (0, 0, 1, 0, 2)


def test_redial_without_room_is_first_in_the_queue() -> None:
    pool = Pool(1)
    first = pool.open("a", capacity=2, protocol="HTTP/2")
    second, waiter = pool.acquire("a"), pool.acquire("a")
    pool.step("redial", second)
    assert states(first, second, waiter) == [HOLDING, WAITING, WAITING]
    pool.release(first)
    assert states(second, waiter) == [DIALING, WAITING]


def test_when_a_shared_connection_is_dead_one_user_dials_for_all() -> None:
    pool = Pool()
    first = pool.open("a", capacity=4, protocol="HTTP/2")
    tickets = [first] + [pool.acquire("a") for _ in range(3)]
    for ticket in tickets:
        pool.step("redial", ticket)
    assert states(*tickets) == [DIALING, WAITING, WAITING, WAITING]
    pool.opened(first, capacity=4, protocol="HTTP/2")
    assert states(*tickets) == [HOLDING] * 4


def test_redial_behind_a_failed_dial_waits_on_no_other_dial() -> None:
    pool = Pool(3)
    blocker = pool.open("other")
    first = pool.open("a", capacity=2, protocol="HTTP/2")
    second = pool.acquire("a")
    failing, dialer, waiter = pool.acquire("a"), pool.acquire("a"), pool.acquire("a")
    pool.step("failed", failing)
    assert states(dialer, waiter) == [DIALING, WAITING]
    pool.step("redial", second)
    pool.release(blocker, reusable=False)
    assert states(first, second, dialer, waiter) == [HOLDING, DIALING, DIALING, WAITING]


def test_redial_without_room_takes_another_connection() -> None:
    pool = Pool(2, 2)
    first = pool.open("a", capacity=2, protocol="HTTP/2")
    second, third = pool.acquire("a"), pool.open("a", capacity=2, protocol="HTTP/2")
    pool.step("redial", second)
    assert second.slot is slot_of(third)
    assert first.state is HOLDING


def test_close_ends_waits_and_dials_and_lets_holders_finish() -> None:
    pool = Pool(3)
    idle, holder, dialer, waiter = pool.open("a"), pool.open("b"), pool.acquire("c"), pool.acquire("c", may_share=True)
    slots = [slot_of(ticket) for ticket in (idle, holder, dialer)]
    pool.release(idle)
    waiter = pool.acquire("b")
    extra = pool.acquire("b")
    pool.step("close")
    assert states(holder, dialer, waiter, extra) == [HOLDING, DONE, DONE, DONE]
    assert [ticket.closed for ticket in (holder, dialer, waiter, extra)] == [False, True, True, True]
    assert [connection_of(slot).closed for slot in slots] == [1, 0, 1]
    assert pool.ledger.closed
    late = pool.acquire("a")
    assert (late.state, late.closed) == (DONE, True)
    pool.opened(dialer)
    pool.step("failed", dialer)
    assert dialer.state is DONE
    pool.step("redial", holder)
    assert (holder.state, holder.closed, connection_of(slots[1]).closed) == (DONE, True, 1)
    pool.step("close")
    assert pool.counts == (0, 0, 0, 0, 0)
    assert pool.ledger.slots() == []


# Tickets without a holder.


@pytest.mark.parametrize("state", [WAITING, DIALING, HOLDING])
def test_a_dropped_ticket_is_released_as_not_reusable(state: TicketState) -> None:
    pool = Pool(1)
    other = pool.open("b") if state is WAITING else None
    ticket = pool.acquire("a")
    if state is HOLDING:
        pool.opened(ticket)
    assert ticket.state is state
    slot = ticket.slot
    assert slot is not None or other is not None
    del ticket
    gc.collect()
    assert len(pool.ledger.dropped) == 1
    pool.step("expire")
    if other is not None:
        pool.release(other)
        assert pool.counts == (1, 0, 0, 0, 0)
    elif slot is not None:
        assert connection_of(slot).closed == 1
        assert pool.counts == (0, 0, 0, 0, 0)


def test_a_dropped_ticket_in_a_reference_cycle_gives_back_too() -> None:
    pool = Pool(1)
    holder: list[object] = [pool.open("a")]
    holder.append(holder)
    del holder
    gc.collect()
    assert pool.counts == (0, 0, 0, 0, 0)
    pool.perform()


def test_a_dropped_stream_does_not_harm_its_siblings() -> None:
    pool = Pool(1)
    first = pool.open("a", capacity=2, protocol="HTTP/2")
    slot = slot_of(first)
    second = pool.acquire("a")
    del second
    pool.step("expire")
    assert (slot.state, slot.used, connection_of(slot).closed) == (SlotState.DRAINING, 1, 0)
    pool.release(first)
    assert connection_of(slot).closed == 1


# Statistics.


def test_stats_name_each_origin_in_use_and_sum_those_of_one_name() -> None:
    class Key(str):
        __slots__ = ("tls",)

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = object.__hash__

    pool = Pool(4)
    one, other = Key("a"), Key("a")
    pool.release(pool.open(one))
    tickets = [pool.open(other, capacity=2, protocol="HTTP/2"), *(pool.acquire(key) for key in (other, "b", "c", "b"))]
    assert states(*tickets) == [HOLDING, HOLDING, DIALING, DIALING, DIALING]  # the idle connection was closed
    pool.opened(tickets[3])
    pool.release(tickets[3])
    tickets += [pool.acquire(one), pool.acquire("b")]
    stats = pool.ledger.stats()
    assert stats.origins == {
        "a": OriginStats(connections=2, busy=1, dialing=1, leased=2),
        "b": OriginStats(connections=2, dialing=2, waiting=1),
    }
    assert (stats.connections, stats.idle, stats.busy, stats.dialing) == (4, 0, 1, 3)
    assert (stats.open, stats.leased, stats.waiting, stats.origins["a"].open) == (1, 2, 1, 1)


def test_an_origin_with_nothing_is_forgotten() -> None:
    pool = Pool(1)
    ticket = pool.open("a")
    for key in range(50):
        pool.release(pool.acquire(key))
    pool.release(ticket, reusable=False)
    # No public name shows which origins the ledger keeps.
    assert pool.ledger._origins == {}


# Random moves. The class `Runtime` keeps its own records, in a slow and obvious way, and compares the ledger with them.


class Request:
    """A ticket, and the state that its owner knows."""

    def __init__(self, runtime: Runtime, key: str) -> None:
        self.key = key
        self.ticket = runtime.ledger.ticket(key, runtime.may_share[key])
        self.claim = self.ticket.claim  # equal to the ticket, but does not keep it alive
        self.seen = 0
        self.failed_before = False  # the dial that it waited for has failed

    @property
    def state(self) -> TicketState:
        return self.claim.state

    @property
    def slot(self) -> Slot:
        return slot_of(self.ticket)

    def wake(self) -> None:
        self.seen += 1


class Runtime:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        choose = self.random.choice
        keys = "abcdefgh"[: choose([1, 2, 3, 8])]
        self.keys = keys
        self.limits = PoolLimits(
            choose([1, 2, 3, 5, None]),
            choose([1, 2, None, None]),
            choose([0, 1, 2, None, None]),
            choose([5.0, 50.0, None]),
            max_connection_lifetime=choose([3.0, 30.0, None, None]),
        )
        self.ledger = Ledger(self.limits)
        self.now = 0.0
        self.streams = {key: choose([1, 1, 2, 5]) for key in keys}
        self.may_share = {key: self.streams[key] > 1 or choose([True, False]) for key in keys}
        self.crowd = choose([4, 12, 25])
        self.requests: list[Request] = []
        self.acting: Request | None = None  # the ticket of the current step
        self.queues: dict[str, list[Request]] = {key: [] for key in keys}
        self.alive: dict[Slot, None] = {}
        self.closes: Counter[Slot] = Counter()
        self.dirty: set[Slot] = set()
        self.resized: set[Slot] = set()
        self.deadline: dict[Slot, float] = {}
        self.dialed_at: dict[Slot, float] = {}
        self.protocol: dict[str, str] = {}

    # One move.

    def move(self) -> None:
        self.now += self.random.choice([0, 0, 0.01, 1])
        moves = [move for move, wanted in self.moves() if wanted]
        self.random.choice(moves)()
        self.settle()

    def moves(self) -> list[tuple[Callable[[], None], bool]]:
        states = [request.claim.state for request in self.requests]
        sometimes, seldom = self.random.random() < 0.3, self.random.random() < 0.2
        dialing, holding, anyone = DIALING in states, HOLDING in states, bool(states)
        return [
            *[(self.acquire, len(states) < self.crowd)] * 2,
            *[(self.opened, dialing)] * 2,
            (self.failed, dialing and sometimes),
            *[(self.release, holding)] * 2,
            (self.cancel, anyone and sometimes),
            (self.drop, anyone and seldom),
            (self.redial, holding and sometimes),
            (self.leave, bool(self.alive) and seldom),
            (self.resize, bool(self.alive) and sometimes),
            (self.expire, True),
            (self.rebuild, seldom),
        ]

    def pick(self, *states: TicketState) -> Request:
        self.acting = self.random.choice([one for one in self.requests if not states or one.state in states])
        return self.acting

    def acquire(self) -> None:
        self.acting = request = Request(self, self.random.choice(self.keys))
        ahead = list(self.queues[request.key])
        self.requests.append(request)
        self.ledger.acquire(request.ticket, self.now)
        self.set_wake(request)
        assert request.state is WAITING or all(other.state is not WAITING for other in ahead), (
            "a later request overtook a waiting one"
        )

    def set_wake(self, request: Request, *, first: bool = False) -> None:
        """Set `wake` and the connection, as the pool does in the same locked step as `acquire` and `redial`."""
        if request.state is WAITING:
            request.ticket.wake = request.wake
            queue = self.queues[request.key]
            request.failed_before = first and bool(queue) and queue[0].failed_before
            queue.insert(0 if first else len(queue), request)
        elif request.state is DIALING:
            request.slot.connection = Connection()

    def opened(self) -> None:
        request = self.pick(DIALING)
        request.slot.connection = request.slot.connection or Connection()
        self.dialed_at.setdefault(request.slot, self.now)
        protocol: Speaks = "HTTP/2" if self.streams[request.key] > 1 else "HTTP/1.1"
        self.ledger.opened(request.ticket, self.now, capacity=self.streams[request.key], protocol=protocol)
        self.protocol[request.key] = protocol

    def failed(self) -> None:
        request = self.pick(DIALING)
        self.ledger.failed(request.ticket, self.now)
        for other in self.queues[request.key]:
            other.failed_before = True

    def release(self) -> None:
        self.end(self.pick(HOLDING), reusable=self.random.random() < 0.8)

    def cancel(self) -> None:
        self.end(self.pick(), reusable=False)

    def end(self, request: Request, *, reusable: bool) -> None:
        """A dirty connection is marked first: whatever the step does, the connection must serve no other request."""
        expires = self.now + self.random.choice([0, 1, 100]) if self.random.random() < 0.3 else None
        slot = request.ticket.slot
        if request.state is HOLDING and slot is not None:
            if not reusable:
                self.dirty.add(slot)
            kept = [expires] if expires is not None else []
            kept += [self.now + self.limits.keepalive_expiry] if self.limits.keepalive_expiry is not None else []
            self.deadline[slot] = min(kept, default=float("inf"))
        self.ledger.release(request.ticket, self.now, reusable=reusable, expires=expires)

    def drop(self) -> None:
        self.forget(self.pick())
        self.expire()

    def forget(self, request: Request) -> None:
        if request.state is HOLDING and request.ticket.slot is not None:
            self.dirty.add(request.ticket.slot)
        request.ticket.wake = None  # `wake` refers to the request
        self.requests.remove(request)
        if request in self.queues[request.key]:
            self.queues[request.key].remove(request)
        del request.ticket

    def redial(self) -> None:
        request = self.pick(HOLDING)
        self.dirty.add(request.slot)
        self.ledger.redial(request.ticket, self.now)
        self.set_wake(request, first=True)

    def leave(self) -> None:
        slot = self.random.choice(list(self.alive))
        self.ledger.retire(slot, self.now)
        self.dirty.add(slot)

    def resize(self) -> None:
        slot = self.random.choice(list(self.alive))
        self.resized.add(slot)
        capacity = self.random.choice([0, 1, 2, 5]) if self.streams[str(slot.key)] > 1 else 1
        self.ledger.resize(slot, capacity, self.now)

    def expire(self) -> None:
        self.ledger.expire(self.now)

    def rebuild(self) -> None:
        """A recovery changes nothing in a correct ledger."""
        self.ledger.rebuild()
        self.expire()

    # The records, and their comparison with the ledger.

    def settle(self) -> None:
        """Carry out the ledger's decision, and check which ticket was served: it is always the first of a queue, and is
        notified.
        """
        while self.ledger.todo:
            item = self.ledger.todo[0]
            item.perform()
            self.ledger.todo.popleft()
            if isinstance(item, Slot):
                self.closes[item] += 1
        for queue in self.queues.values():
            self.settle_queue(queue)
        self.requests = [request for request in self.requests if request.claim.state is not DONE]
        for request in self.requests:
            slot = request.claim.slot
            if slot is not None and slot.connection is None:
                slot.connection = Connection()
        alive = dict.fromkeys(self.ledger.slots())
        assert all(slot in alive or self.closes[slot] for slot in self.alive), "a slot was removed without a close"
        self.alive = alive

    def settle_queue(self, queue: list[Request]) -> None:
        left = [request for request in queue if request.claim.state is WAITING]
        if len(left) == len(queue):
            return
        served = [request for request in queue if request.state in (DIALING, HOLDING)]
        alive = [request for request in queue if request.state is not DONE]
        assert alive == served + left, "a request was served before an older one"
        for request in served + [request for request in queue if request.claim.closed]:
            assert request.seen, "a request was served or refused without a notification"
            request.seen = 0
        queue[:] = left

    def check(self) -> None:
        limits, slots = self.limits, list(self.alive)
        users = Counter(request.slot for request in self.requests if request.state is HOLDING)
        dialed = Counter(request.slot for request in self.requests if request.state is DIALING)
        idle = [slot for slot in slots if slot.state is SlotState.OPEN and not users[slot]]
        assert limits.max_connections is None or len(slots) <= limits.max_connections
        assert limits.max_keepalive is None or len(idle) <= limits.max_keepalive
        for slot in slots:
            self.check_slot(slot, users[slot], dialed[slot])
        assert set(users) | set(dialed) <= set(slots), "a request holds a removed slot"
        for key in self.keys:
            self.check_origin(key, [slot for slot in slots if slot.key == key], bool(idle))
        # No public name shows which origins the ledger keeps.
        assert set(self.ledger._origins) == {slot.key for slot in slots} | {
            key for key in self.keys if self.queues[key]
        }
        self.check_stats(users, dialed, idle)
        assert self.ledger.todo == type(self.ledger.todo)()

    def check_slot(self, slot: Slot, users: int, dialers: int) -> None:
        assert self.closes[slot] == 0
        assert slot.used == users
        assert users <= slot.capacity or slot in self.resized
        if slot.state is SlotState.DIALING:
            assert (dialers, users) == (1, 0)
        elif slot.state is SlotState.DRAINING:
            assert users
        else:
            assert (slot.state, dialers) == (SlotState.OPEN, 0)
            assert slot not in self.dirty
            assert users or self.deadline[slot] > self.now
            lifetime = self.limits.max_connection_lifetime
            assert lifetime is None or self.now < self.dialed_at[slot] + lifetime

    def check_origin(self, key: str, slots: list[Slot], anyone_idle: bool) -> None:
        """No request waits that could be served."""
        limits, queue = self.limits, self.queues[key]
        assert limits.max_connections_per_origin is None or len(slots) <= limits.max_connections_per_origin
        if not queue:
            return
        assert not [slot for slot in slots if slot.state is SlotState.OPEN and slot.used < slot.capacity]
        dials = any(slot.state is SlotState.DIALING for slot in slots)
        protocol = self.protocol.get(key)
        shares = protocol == "HTTP/2" or (protocol is None and self.may_share[key])
        if dials and shares and not queue[0].failed_before:
            return
        at_own_limit = len(slots) == limits.max_connections_per_origin
        at_limit = len(self.alive) == limits.max_connections and not anyone_idle
        assert at_own_limit or at_limit, "a request waits though no limit is reached"

    def check_stats(self, users: Counter[Slot], dialed: Counter[Slot], idle: list[Slot]) -> None:
        stats = self.ledger.stats()
        waiting = sum(map(len, self.queues.values()))
        busy = len([slot for slot in self.alive if users[slot]])
        assert (stats.connections, stats.dialing, stats.idle) == (len(self.alive), len(dialed), len(idle))
        assert (stats.busy, stats.leased, stats.waiting) == (busy, users.total(), waiting)
        for field in ("connections", "idle", "busy", "dialing", "leased", "waiting"):
            assert getattr(stats, field) == sum(getattr(origin, field) for origin in stats.origins.values())
        # Both must have the same origins.
        assert set(stats.origins) == {str(key) for key in self.ledger._origins}
        assert self.ledger.crowd() == (busy, len(dialed), waiting)

    def release_all(self) -> None:
        """All tickets are released, one after another, and nothing remains."""
        while self.requests:
            self.end(self.requests[0], reusable=True)
            self.settle()
            self.check()
        self.now += 1e6
        if self.limits.keepalive_expiry is None:
            self.ledger.close(self.now)
        self.expire()
        self.settle()
        # No public name shows that the ledger keeps no origin.
        assert (self.ledger.slots(), self.ledger._origins) == ([], {})
        assert not self.ledger.claims


@pytest.mark.parametrize("seed", range(50))
def test_random_moves_break_no_invariant(seed: int) -> None:
    runtime = Runtime(seed)
    for number in range(4000):
        runtime.move()
        if number % 10 == 0 or number < 200:
            runtime.check()
    if seed % 3 == 0:
        held = [request for request in runtime.requests if request.state is HOLDING]
        runtime.dirty.update(request.slot for request in held)
        runtime.ledger.close(runtime.now)
        runtime.settle()
        runtime.check()
        assert runtime.requests == held
    runtime.release_all()
    assert set(runtime.closes.values()) <= {1}


# Ctrl-C.


class Interrupt:
    """Raises KeyboardInterrupt before the n-th bytecode that the ledger's code runs inside the block."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.before = sys.gettrace()  # the trace function of coverage, perhaps

    def __enter__(self) -> Interrupt:
        sys.settrace(self.trace)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self.before)

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in LEDGER:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.trace


LEDGER = {step.__code__.co_filename for step in (Ledger.acquire, mend, IdleExpiry.note, Ring.rank, Protocols.remember)}


class InterruptedRuntime(Runtime):
    """Any step may be interrupted; its request then ends as in the pool, by `release` in a `finally`; if `release` is
    interrupted too, the ticket is dropped.
    """

    def interrupted_move(self) -> bool:
        """Make a random move, and return whether it was interrupted."""
        self.acting = None
        moves = [
            *(move for move, wanted in self.moves() if wanted),
            *([self.close] if self.random.random() < 0.1 else []),
        ]
        try:
            with Interrupt(self.random.randrange(1, 400)):
                self.random.choice(moves)()
        except KeyboardInterrupt:
            if self.acting is not None and self.acting in self.requests:
                self.clean_up(self.acting)
            return True
        finally:
            self.look_again()
        return False

    def close(self) -> None:
        self.ledger.close(self.now)

    def clean_up(self, request: Request) -> None:
        try:
            with Interrupt(self.random.randrange(1, 600)):
                self.end(request, reusable=False)
        except KeyboardInterrupt:
            self.forget(request)

    def look_again(self) -> None:
        stats = self.ledger.snapshot()
        assert self.ledger.crowd() == (stats.busy, stats.dialing, stats.waiting)
        try:
            with Interrupt(self.random.randrange(1, 4000)):
                self.ledger.expire(self.now)
        except KeyboardInterrupt:
            self.ledger.expire(self.now)
        if self.ledger.closed:
            self.dirty.update(self.alive)
        self.settle()
        self.check()


@pytest.mark.parametrize("seed", range(10))
def test_ctrl_c_at_any_bytecode_loses_and_doubles_nothing(seed: int) -> None:
    hits = 0
    for number in range(60):
        runtime = InterruptedRuntime(1000 * seed + number)
        for _ in range(runtime.random.randrange(30)):
            runtime.move()
        for _ in range(5):
            hits += runtime.interrupted_move()
            runtime.move()
            runtime.check()
        runtime.release_all()
    assert hits > 100


@pytest.mark.parametrize("seed", [1, 4, 8])
def test_ctrl_c_at_each_bytecode_of_close_leaves_no_waiter(seed: int) -> None:
    after, interrupted = 0, True
    while interrupted:
        after, interrupted = after + 1, False
        runtime = InterruptedRuntime(seed)
        for _ in range(15):
            runtime.move()
        try:
            with Interrupt(after):
                runtime.close()
        except KeyboardInterrupt:
            interrupted = True
        runtime.look_again()
        assert not runtime.ledger.closed or not runtime.ledger.stats().waiting
    assert after > 100


# Cost.


def bytecodes(step: Callable[[], object]) -> int:
    """How many bytecodes of the ledger a call executes."""
    never = Interrupt(10**9)
    with never:
        step()
    return 10**9 - never.left


def idle_runtime(size: int) -> Pool:
    pool = Pool(size)
    pool.release(*[pool.open(f"origin {number}") for number in range(size)])
    pool.step("expire")  # this step checks all tickets that have just been dropped
    return pool


def queue_runtime(size: int, key: str | None = None) -> tuple[Pool, Ticket, list[Ticket]]:
    """One connection, and `size` waiters: for `key`, or each for an origin of its own."""
    pool = Pool(1)
    holder = pool.open("a")
    return pool, holder, [pool.acquire(key or f"origin {number}") for number in range(size)]


def use_again(size: int) -> int:
    pool = idle_runtime(size)
    return bytecodes(lambda: pool.release(pool.acquire(f"origin {size // 2}")))


def dial_at_the_limit(size: int) -> int:
    pool = idle_runtime(size)
    return bytecodes(lambda: pool.acquire("another"))


def lose_one_of_many(size: int) -> int:
    pool = idle_runtime(size)
    slot = pool.ledger.slots()[size // 2]
    return bytecodes(lambda: pool.step("retire", slot))


def expire_nothing(size: int) -> int:
    pool = idle_runtime(size)
    return bytecodes(lambda: pool.step("expire"))


def join_a_queue(size: int) -> int:
    pool, _, waiters = queue_runtime(size, "a")
    return bytecodes(lambda: waiters.append(pool.acquire("a")))


def join_the_ring(size: int) -> int:
    pool, _, waiters = queue_runtime(size)
    return bytecodes(lambda: waiters.append(pool.acquire("another")))


def leave_the_middle_of_a_queue(size: int) -> int:
    pool, _, waiters = queue_runtime(size, "a")
    return bytecodes(lambda: pool.release(waiters[size // 2]))


def leave_the_middle_of_the_ring(size: int) -> int:
    pool, _, waiters = queue_runtime(size)
    return bytecodes(lambda: pool.release(waiters[size // 2]))


def serve_a_queue(size: int) -> int:
    pool, holder, waiters = queue_runtime(size, "a")
    cost = bytecodes(lambda: pool.release(holder))
    assert waiters[0].state is HOLDING
    return cost


def serve_the_ring(size: int) -> int:
    pool, holder, waiters = queue_runtime(size)
    cost = bytecodes(lambda: pool.release(holder))
    assert waiters[0].state is DIALING
    return cost


def redial_before_a_queue(size: int) -> int:
    pool, holder, waiters = queue_runtime(size, "a")
    cost = bytecodes(lambda: pool.step("redial", holder))
    assert waiters[0].state is WAITING
    return cost


def pass_over_origins_at_their_own_limit(size: int) -> int:
    pool = Pool(None, 1)
    holders = [pool.open(f"origin {number}") for number in range(size)]
    waiters = [pool.acquire(f"origin {number}") for number in range(size)]
    cost = bytecodes(lambda: pool.release(holders[size // 2], reusable=False))
    assert waiters[size // 2].state is DIALING
    return cost


@pytest.mark.parametrize(
    "step",
    [
        use_again,
        dial_at_the_limit,
        lose_one_of_many,
        expire_nothing,
        join_a_queue,
        join_the_ring,
        leave_the_middle_of_a_queue,
        leave_the_middle_of_the_ring,
        serve_a_queue,
        serve_the_ring,
        redial_before_a_queue,
        pass_over_origins_at_their_own_limit,
    ],
)
def test_a_step_costs_the_same_among_ten_and_ten_thousand(step: Callable[[int], int]) -> None:
    few, many = step(10), step(10_000)
    assert 5 < many < 1.2 * few
