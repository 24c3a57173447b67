"""Attempts by a retry policy: a failed one is followed by a pause and another attempt, as long as the policy allows it.

A paused request holds no connection. Only pools that have a policy import this module.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from .._backends.base import Event
from .._errors import PoolClosed
from .attempts import Attempts
from .call import Call
from .delivery import Delivery
from .leases import Leases
from .retry_policy import Budget, RetryPolicy, pause_after

if TYPE_CHECKING:
    from .._message.head import Head
    from .ledger import Ledger

__all__ = ["Retrying", "retrying"]


class Retrying:
    """Sends the requests of one pool, by the pool's retry policy.

    Arguments:
        retry_stale: as for the pool.
    """

    __slots__ = ("_attempts", "_budget", "_draw", "_leases", "_ledger", "_policy")

    def __init__(self, leases: Leases, retry_stale: bool, policy: RetryPolicy) -> None:
        self._leases = leases
        self._attempts = Attempts(leases, retry_stale, is_error_final=False)
        self._policy = policy
        self._budget = Budget(policy)
        self._ledger: Ledger = leases.ledger  # the ledger of this budget: after a fork the budget is full again
        self._draw = draw

    async def send(self, call: Call) -> Delivery:
        """Like `Attempts.send`, but the request is sent again, after a pause, for outcomes that the policy names."""
        try:
            return await self._send(call)
        finally:
            if call.continues:
                self._leases.draining.forget(call)

    async def _send(self, call: Call) -> Delivery:
        while True:
            reason: BaseException | str
            try:
                if call.tracer is not None:
                    # This is set for each attempt: an error ends the request only if the policy does not retry it.
                    call.tracer.awaits_policy = True
                delivery = await self._attempts.send(call)
            except BaseException as error:
                # The policy does not apply to a failure on a connection: how the server handled the request is not
                # known.
                pause = None if call.is_connected else self._pause(call, error)
                if pause is None:
                    call.failed(error)
                    raise
                reason = error
            else:
                pause = self._pause(call, delivery.head)
                if pause is None:
                    if call.tracer is not None:
                        call.tracer.accepted()
                    return delivery
                call.may_have_acted = True
                # The call is recorded in `draining` before the response is discarded: see `Attempts._give_up`.
                self._leases.draining.keep(call)
                delivery.discard()
                reason = f"status {delivery.head.status}"
            self._leases.totals.retries += 1
            call.retried(reason, pause)
            await self._sleep_before_retry(call, pause)

    def _pause(self, call: Call, outcome: BaseException | Head) -> float | None:
        """How long to wait before the request is sent again; None if it is not. A retry is charged to the budget."""
        if not isinstance(outcome, BaseException) and outcome.status not in self._policy.statuses:
            self._leases.step(self._earn)
            return None
        pause = pause_after(
            self._policy,
            call.request,
            outcome if isinstance(outcome, BaseException) else (outcome.status, list(outcome.headers)),
            retries=call.pauses,
            draw=self._draw(),
            left=None if call.ends is None else call.ends - call.now(),
            duplex=call.duplex,
        )
        # The budget is charged last: a retry that another rule refuses must not cost anything.
        if pause is None or not self._leases.step(self._spend):
            return None
        call.pauses += 1
        return pause

    # To be called under the pool's lock.

    def _earn(self) -> None:
        self._current_budget().earn()

    def _spend(self) -> bool:
        return not self._leases.ledger.closed and self._current_budget().spend()

    def _current_budget(self) -> Budget:
        # A new ledger means another process or another loop, whose budget is independent.
        if self._ledger is not self._leases.ledger:
            self._ledger = self._leases.ledger
            self._budget = Budget(self._policy)
        return self._budget

    async def _sleep_before_retry(self, call: Call, seconds: float) -> None:
        """Wait without a connection until it is time for another attempt. A close of the pool ends the wait."""
        event = call.backend.event()
        pausing = self._leases.pausing
        try:
            if self._leases.step(partial(self._begin_pause, event)) or await event.wait(seconds):
                raise PoolClosed("the pool is closed")
        except BaseException as error:
            self._leases.totals.note(error)
            call.failed(call.with_request_context(error, None, "pause before another attempt"))
            raise
        finally:
            pausing.discard(event)

    def _begin_pause(self, event: Event) -> bool:
        """Register the event. True when the pool is already closed, and so will not set the event."""
        self._leases.pausing.add(event)
        return self._leases.ledger.closed


def draw() -> float:
    """A random number from 0 up to 1, to spread the pauses of requests that failed together."""
    # The number comes from the operating system, like all random numbers of the library (docs/security.md, A8).
    return int.from_bytes(os.urandom(4)) / 2**32


def retrying(leases: Leases, retry_stale: bool, retries: int | RetryPolicy) -> Attempts | Retrying:
    """The object that sends the requests of a pool with these retries.

    Raises:
        TypeError, ValueError: `retries` is neither a count nor a policy.
    """
    policy = RetryPolicy.of(retries)
    return Attempts(leases, retry_stale) if policy is None else Retrying(leases, retry_stale, policy)
