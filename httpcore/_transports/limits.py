"""Limits on the rate of requests and on the number of concurrent requests."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from .._backends.base import Backend, Event
from .._config import TimeoutConfig, checked_seconds
from .._errors import PoolTimeout, show_value
from .._public import public
from .._reentry import check_not_inside, step_lock
from .base import Transport, TransportRequest, TransportResponse
from .middleware import Middleware

__all__ = ["ConcurrencyLimit", "RateLimit"]

_FORGET: Final = 1000  # with more origins than this, those whose next turn has passed are removed
_REAL: Final = ("asyncio", "trio", "threads")


@public
class RateLimit(Middleware):
    """Limits the rate of requests to each origin. Requests above the rate wait for their turn, in order.

    The timeout for the wait is the `pool_timeout` of the extension `timeout`, if there is one: if the turn of a request
    would come later, `PoolTimeout` is raised at once. A request whose wait is cancelled returns its turn, unless a
    later request has taken the next one.

    Arguments:
        requests: the number of requests per period, above 0.
        seconds: the length of the period. Default 1.0.
        burst: how many requests may go at once after an idle time. Default 1.
        transport: the transport below. Default None: an `HTTPTransport()`.

    Raises:
        TypeError, ValueError: an argument is not a number, or too small.
    """

    def __init__(
        self, requests: float, seconds: float = 1.0, *, burst: int = 1, transport: Transport | None = None
    ) -> None:
        super().__init__(transport)
        count = checked_seconds("requests", requests, zero=False)
        period = checked_seconds("seconds", seconds, zero=False)
        if count is None or period is None:
            raise ValueError("requests and seconds: expected finite numbers, got None or infinity")
        _check_limit("burst", burst)
        self._interval = period / count
        self._allowance = self._interval * (burst - 1)
        self._lock = step_lock()
        self._next: dict[str, float] = {}
        """By origin: when the next request may go if no burst is left (GCRA's theoretical arrival time)."""

    async def handle(self, request: TransportRequest) -> TransportResponse:
        backend, origin = request.backend, request.parsed_url().origin
        # The sync and the async entry share the limit, so they must share the clock.
        clock = _clock_of(backend)
        pause, mine = self._reserve(origin, clock(), _longest_wait(request))
        if pause > 0:
            try:
                await backend.sleep(pause)
            except BaseException:
                self._return(origin, mine)
                raise
        return await self.send(request)

    def _reserve(self, origin: str, now: float, longest: float | None) -> tuple[float, float]:
        """The pause before a request's turn, and the origin's value in `_next` after it."""
        check_not_inside(self._lock, "RateLimit")
        with self._lock:
            # GCRA, the generic cell rate algorithm: one number per origin is enough, and waiting in order needs no
            # queue.
            begins = max(self._next.get(origin, now), now)
            pause = max(0.0, begins - self._allowance - now)
            if longest is not None and pause > longest:
                raise PoolTimeout(
                    f"the rate limit of {origin} lets this request begin in {pause:.3f} seconds, which is later than "
                    "pool_timeout allows",
                    phase="wait for a turn",
                    limit=longest,
                )
            mine = self._next[origin] = begins + self._interval
            if len(self._next) > _FORGET:
                self._next = {name: at for name, at in self._next.items() if at > now}
            return pause, mine

    def _return(self, origin: str, mine: float) -> None:
        with self._lock:
            # Only the last turn can be returned: the times of later turns were calculated from it.
            if self._next.get(origin) == mine:
                self._next[origin] = mine - self._interval


@public
class ConcurrencyLimit(Middleware):
    """Limits the number of requests under way at once. Further requests wait, first come, first served.

    A request is under way until its exchange is closed. `request` and `arequest` each count their own requests: threads
    and tasks do not wait for each other. The timeout for the wait is the `pool_timeout` of the extension `timeout`, if
    there is one.

    Arguments:
        limit: the most requests under way in each entry, from 1 up.
        transport: the transport below. Default None: an `HTTPTransport()`.

    Raises:
        TypeError, ValueError: `limit` is not a whole number from 1 up.
    """

    def __init__(self, limit: int, transport: Transport | None = None) -> None:
        super().__init__(transport)
        _check_limit("limit", limit)
        self._gates = {False: _Gate(limit), True: _Gate(limit)}

    async def handle(self, request: TransportRequest) -> TransportResponse:
        gate = self._gates[request.is_sync]
        place = _Place(gate)
        try:
            await place.wait(request.backend, _longest_wait(request))
            response = await self.send(request)
        except BaseException:
            place.release()
            raise
        response.on_close(place.release)
        return response


class _Gate:
    """The number of free places, and the waiting requests in order."""

    def __init__(self, limit: int) -> None:
        self.free = limit
        # Ordered: a waiting request that leaves is removed from the middle without a search.
        self.waiting: OrderedDict[_Place, Event] = OrderedDict()
        self.lock = step_lock()
        self._woken_waiters: deque[Event] = deque()

    def grant(self) -> None:
        """Give free places to the waiting requests, in order. To be called under the lock, at the end of each step.

        A finaliser may release a response in the middle of any step, this one too. So a place is counted as taken
        before a waiting request is looked for, and each step ends with a call of this: no place and no request can be
        forgotten.
        """
        while self.free > 0:
            self.free -= 1
            try:
                following, event = self.waiting.popitem(last=False)
            except KeyError:
                self.free += 1
                return
            following.is_in = True
            self._woken_waiters.append(event)

    def wake(self) -> None:
        """Wake the requests that `grant` let in. Not under the lock: in threads a woken one may run at once, and take
        it."""
        while self._woken_waiters:
            try:
                event = self._woken_waiters.popleft()
            except IndexError:  # another thread has woken the last one
                return
            event.set()


class _Place:
    """One request at the gate."""

    __slots__ = ("_gate", "is_in")

    def __init__(self, gate: _Gate) -> None:
        self._gate = gate
        self.is_in = False

    async def wait(self, backend: Backend, longest: float | None) -> None:
        gate = self._gate
        check_not_inside(gate.lock, "ConcurrencyLimit")
        with gate.lock:
            if gate.free > 0 and not gate.waiting:
                gate.free -= 1
                self.is_in = True
                return
            event = gate.waiting[self] = backend.event()
            gate.grant()
        gate.wake()
        # A place that is granted as the time runs out wins: this request has it already.
        if not await event.wait(longest) and not self.is_in:
            raise PoolTimeout(
                "no request ended in time to make room for this one", phase="wait for a place", limit=longest
            )

    def release(self) -> None:
        """Release the place, or leave the queue. A released place goes to the next waiting request."""
        gate = self._gate
        with gate.lock:
            gate.waiting.pop(self, None)
            if self.is_in:
                self.is_in = False
                gate.free += 1
                gate.grant()
        gate.wake()


def _clock_of(backend: Backend) -> Callable[[], float]:
    """The same clock for both entries; a simulation has its own clock."""
    return time.monotonic if backend.name in _REAL else backend.now


def _longest_wait(request: TransportRequest) -> float | None:
    timeout = request.extensions.get("timeout")
    return None if timeout is None else TimeoutConfig.of(timeout).pool_timeout


def _check_limit(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {show_value(value)}: expected a whole number from 1 up")
    if value < 1:
        raise ValueError(f"{name} is {show_value(value)}: expected a whole number from 1 up")
