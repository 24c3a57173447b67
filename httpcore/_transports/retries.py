"""Retries over any transport, with the same policy as in a pool."""

from __future__ import annotations

import os
from collections.abc import Callable

from .._config import TimeoutConfig
from .._message.request import Request
from .._pool.retry_policy import Budget, RetryPolicy, pause_after
from .._public import public
from .._reentry import step_lock
from .._trace import Earlier, earlier
from .base import Transport, TransportRequest, TransportResponse
from .middleware import Middleware

__all__ = ["Retries"]


def _random_fraction() -> float:
    return int.from_bytes(os.urandom(4)) / 2**32


@public
class Retries(Middleware):
    """Sends a request again if no connection could be made, or for certain statuses; see `RetryPolicy`.

    `HTTPTransport(retries=)` does the same inside the pool; this one also covers the layers between, such as mounts,
    apps in this process and fault injection. A total timeout in the request's extensions bounds all attempts together.

    Arguments:
        policy: a `RetryPolicy`, or how many times a failed connect is retried. Default: `RetryPolicy()`.
        transport: the transport below. Default None: an `HTTPTransport()`.
        draw: returns a random number from 0 up to 1, for the jitter. Default: from the system.

    Raises:
        TypeError, ValueError: `policy` is neither a `RetryPolicy` nor a number of retries.
    """

    def __init__(
        self,
        policy: RetryPolicy | int = RetryPolicy(),  # noqa: B008 - a frozen value
        transport: Transport | None = None,
        *,
        draw: Callable[[], float] = _random_fraction,
    ) -> None:
        super().__init__(transport)
        self._policy = RetryPolicy.of(policy)
        self._budget = Budget(self._policy or RetryPolicy(attempts=1))
        self._lock = step_lock()
        self._draw = draw

    async def handle(self, request: TransportRequest) -> TransportResponse:
        policy = self._policy
        if policy is None:
            return await self.send(request)
        # The completed request only serves to decide whether the request is idempotent and replayable. The given
        # request is sent.
        wire, backend = request.complete(), request.backend
        total = _Total(request, backend.now())
        retries, before = 0, earlier.get()
        while True:
            total.bound(backend.now())
            try:
                response = await (self.send(request) if not retries else self._send_again(request, before))
            except Exception as error:
                number, sends = getattr(error, "request_number", None), 1
                pause = self._pause(policy, request, wire, error, retries, total.left(backend.now()))
                if pause is None:
                    raise
            else:
                info = response.extensions.get("info")
                number, sends = (None, 1) if info is None else (info.request_number, info.attempts)
                outcome = response.status_code, response.headers
                pause = self._pause(policy, request, wire, outcome, retries, total.left(backend.now()))
                if pause is None:
                    response._earlier = before if retries else response._earlier
                    return response
                # Closed before the pause: an unwanted response must not hold a connection for seconds.
                await response.aclose()
            retries += 1
            first = number if before.first is None else before.first
            before = Earlier(before.sends + sends, before.requests + 1, first)
            await backend.sleep(pause)

    async def _send_again(self, request: TransportRequest, before: Earlier) -> TransportResponse:
        """Send the request as one of the same call: its records and log lines refer to the first attempt."""
        token = earlier.set(before)
        try:
            return await self.send(request)
        finally:
            earlier.reset(token)

    def _pause(
        self,
        policy: RetryPolicy,
        request: TransportRequest,
        wire: Request,
        outcome: Exception | tuple[int, list[tuple[bytes, bytes]]],
        retries: int,
        left: float | None,
    ) -> float | None:
        if not isinstance(outcome, Exception) and outcome[0] not in policy.statuses:
            # All requests of this transport share the budget, in all threads.
            with self._lock:
                self._budget.earn()
            return None
        duplex = bool(request.extensions.get("duplex"))
        pause = pause_after(policy, wire, outcome, retries=retries, draw=self._draw(), left=left, duplex=duplex)
        with self._lock:
            return pause if pause is not None and self._budget.spend() else None


class _Total:
    """The total timeout of a request, over its attempts."""

    def __init__(self, request: TransportRequest, now: float) -> None:
        timeout = request.extensions.get("timeout")
        self._request = request
        self._config = timeout if isinstance(timeout, TimeoutConfig) and timeout.total_timeout is not None else None
        self._ends = 0.0 if self._config is None else now + (self._config.total_timeout or 0.0)

    def left(self, now: float) -> float | None:
        return None if self._config is None else self._ends - now

    def bound(self, now: float) -> None:
        """Limit the next attempt to the rest of the total timeout."""
        config = self._config
        if config is not None:
            self._request.extensions["timeout"] = config.replace(total=max(self._ends - now, 1e-9))
