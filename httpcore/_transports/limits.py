"""How many requests in a time, and how many at once."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from .._backends.base import Backend, Event
from .._config import TimeoutConfig, checked_seconds
from .._errors import PoolTimeout
from .._public import public
from .._reentry import check_not_inside, step_lock
from .base import Transport, TransportRequest, TransportResponse
from .middleware import Middleware

__all__ = ["ConcurrencyLimit", "RateLimit"]

_FORGET: Final = 1000  # origins after which those that are at rest are looked for
_REAL: Final = ("asyncio", "trio", "threads")


@public
class RateLimit(Middleware):
    """Lets so many requests per time go to each origin, and has the others wait for their turn, in order.

    The timeout for the wait is the `pool_timeout` of the extension `timeout`, if there is one: a turn that lies beyond
    it is `PoolTimeout` at once. A request whose wait is cancelled returns its turn when no request came after it.

    Arguments:
        requests: how many requests, above 0.
        seconds: in how many seconds. Default 1.0.
        burst: how many may go at once after a rest. Default 1.
        transport: the one below. Default None: an `HTTPTransport()`.

    Raises:
        TypeError, ValueError: a number is none, or too small.
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
        """By origin: when the next request may go that finds no burst left (its theoretical arrival time)."""

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
        """The pause before a request's turn, and the origin's time after it."""
        check_not_inside(self._lock, "RateLimit")
        with self._lock:
            # GCRA: one number for an origin is enough, and waiting in order needs no queue.
            begins = max(self._next.get(origin, now), now)
            pause = max(0.0, begins - self._allowance - now)
            if longest is not None and pause > longest:
                raise PoolTimeout(
                    f"the rate limit of {origin} lets this request begin in {pause:.3f} seconds, which is after the "
                    "limit of the wait",
                    phase="wait for a turn",
                    limit=longest,
                )
            mine = self._next[origin] = begins + self._interval
            if len(self._next) > _FORGET:
                self._next = {name: at for name, at in self._next.items() if at > now}
            return pause, mine

    def _return(self, origin: str, mine: float) -> None:
        with self._lock:
            # Only the last turn can be given up: later ones have been promised times that count on it.
            if self._next.get(origin) == mine:
                self._next[origin] = mine - self._interval


@public
class ConcurrencyLimit(Middleware):
    """Lets so many requests be under way at once, and has the others wait, first come, first served.

    A request is under way until its exchange is left. Each entry counts its own requests: tasks and threads do not wait
    for each other. The timeout for the wait is the `pool_timeout` of the extension `timeout`, if there is one.

    Arguments:
        limit: how many, from 1 up.
        transport: the one below. Default None: an `HTTPTransport()`.

    Raises:
        TypeError, ValueError: `limit` is no such number.
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
    """Counts the running requests, and keeps the waiting ones."""

    def __init__(self, limit: int) -> None:
        self.free = limit
        # Ordered: a waiting request that leaves is removed from the middle without a search.
        self.waiting: OrderedDict[_Place, Event] = OrderedDict()
        self.lock = step_lock()
        self._woken: deque[Event] = deque()

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
            self._woken.append(event)

    def wake(self) -> None:
        """Wake the requests that `grant` let in. Not under the lock: in threads a woken one may run at once, and take
        it."""
        while self._woken:
            try:
                event = self._woken.popleft()
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
        # If a place became free as the time ran out, this request has it already.
        if not await event.wait(longest) and not self.is_in:
            raise PoolTimeout(
                "no request ended in time to make room for this one", phase="wait for a place", limit=longest
            )

    def release(self) -> None:
        """Leave the gate, from inside or from the queue: the next one gets the place."""
        gate = self._gate
        with gate.lock:
            gate.waiting.pop(self, None)
            if self.is_in:
                self.is_in = False
                gate.free += 1
                gate.grant()
        gate.wake()


def _clock_of(backend: Backend) -> Callable[[], float]:
    """One clock for both entries; a simulation has its own."""
    return time.monotonic if backend.name in _REAL else backend.now


def _longest_wait(request: TransportRequest) -> float | None:
    timeout = request.extensions.get("timeout")
    return None if timeout is None else TimeoutConfig.of(timeout).pool_timeout


def _check_limit(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}: expected a whole number from 1 up")
    if value < 1:
        raise ValueError(f"{name} is {value!r}: expected a whole number from 1 up")
