"""Fault injection, to test the code above: latency, errors, truncated bodies and statuses, by rules and a seed."""

from __future__ import annotations

import random
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, Final, Literal

from .._config import checked_seconds
from .._errors import (
    ConnectError,
    ConnectTimeout,
    HTTPCoreError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    show_value,
)
from .._message.response import Response
from .._public import public, resolvable
from .._reentry import step_lock
from .._values import dataclass
from .base import Transport, TransportRequest, TransportResponse, async_pieces
from .middleware import Middleware
from .mounts import Pattern

__all__ = ["Fault", "FaultInjection"]

Kind = Literal["refused", "connect timeout", "reset", "read timeout"]

_KINDS: Final[dict[str, tuple[type[HTTPCoreError], str]]] = {
    "refused": (ConnectError, "connect"),
    "connect timeout": (ConnectTimeout, "connect"),
    "reset": (ReadError, "read the response head"),
    "read timeout": (ReadTimeout, "read the response head"),
}


@public
@resolvable
@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One rule of `FaultInjection`: which requests, how often, and their effect.

    Attributes:
        pattern: a URL pattern, as in `Mounts`. Default "all".
        method: the method. Default None: every method.
        probability: the probability that the fault occurs in such a request, from 0 to 1. Default 1.0.
        times: the most requests with this fault. Default None: no limit.
        latency: seconds that the request waits before anything else. Default 0.
        error: "refused" or "connect timeout": the request is not sent; "reset" or "read timeout": the request is sent,
            and its response is dropped. Default None: no error.
        status: answer with this status; nothing is sent. Default None.
        truncate: cut the response's body after so many bytes. Default None.

    Raises:
        TypeError, ValueError: a value is invalid, or none of `latency`, `error`, `status` and `truncate` is given.
    """

    pattern: str = "all"
    method: str | None = None
    probability: float = 1.0
    times: int | None = None
    latency: float = 0.0
    error: Kind | None = None
    status: int | None = None
    truncate: int | None = None

    def __post_init__(self) -> None:
        Pattern.of(self.pattern)
        checked_seconds("latency", self.latency)
        if not isinstance(self.probability, (int, float)) or not 0 <= self.probability <= 1:
            raise ValueError(f"probability is {show_value(self.probability)}: expected a number from 0 to 1")
        if self.error is not None and self.error not in _KINDS:
            raise ValueError(
                f"error is {show_value(self.error)}: expected one of {', '.join(map(repr, _KINDS))}, or None"
            )
        if self.status is not None:
            Response(self.status)
        for name in ("truncate", "times"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ValueError(f"{name} is {show_value(value)}: expected a whole number from 0 up, or None")
        if not self.latency and self.error is None and self.status is None and self.truncate is None:
            raise ValueError("a Fault needs a latency, an error, a status or truncate: expected one of them, got none")

    def applies(self, request: TransportRequest) -> bool:
        """Whether the rule matches the method and the URL of a request, regardless of `probability` and `times`."""
        if self.method is not None and self.method != request.verb:
            return False
        return Pattern.of(self.pattern).matches(request.parsed_url())


@public
class FaultInjection(Middleware):
    """Injects into each request the fault of the first rule that applies, and passes other requests on.

    Random numbers are drawn from `seed` in the order of the requests, so a run with the same requests has the same
    faults.

    Arguments:
        faults: the rules, in order.
        transport: the transport below. Default None: an `HTTPTransport()`.
        seed: the seed of the random numbers. Default 0.
    """

    def __init__(self, faults: Iterable[Fault], transport: Transport | None = None, *, seed: int = 0) -> None:
        super().__init__(transport)
        self._faults = tuple(faults)
        for fault in self._faults:
            if not isinstance(fault, Fault):
                raise TypeError(f"faults has an item of type {type(fault).__name__}: expected each to be a Fault")
        self._failures_left: dict[int, float] = {
            at: float("inf") if fault.times is None else fault.times for at, fault in enumerate(self._faults)
        }
        self._random = random.Random(seed)  # noqa: S311 - no secret: the same each time is the point
        self._lock = step_lock()

    async def handle(self, request: TransportRequest) -> TransportResponse:
        fault = self._draw_fault(request)
        if fault is None:
            return await self.send(request)
        if fault.latency:
            await request.backend.sleep(fault.latency)
        if fault.error in ("refused", "connect timeout"):
            raise _error(fault.error, request)
        if fault.status is not None:
            return TransportResponse(fault.status, [(b"content-length", b"0")])
        response = await self.send(request)
        if fault.error is not None:
            response.close()
            raise _error(fault.error, request)
        if fault.truncate is not None:
            response.stream = _TruncatedBody(response, fault.truncate, request)
        return response

    def _draw_fault(self, request: TransportRequest) -> Fault | None:
        with self._lock:
            for at, fault in enumerate(self._faults):
                if self._failures_left[at] > 0 and fault.applies(request) and self._random.random() < fault.probability:
                    self._failures_left[at] -= 1
                    return fault
        return None


def _error(kind: str, request: TransportRequest) -> HTTPCoreError:
    made, phase = _KINDS[kind]
    facts: dict[str, Any] = {"phase": phase, "method": request.verb, "url": request.parsed_url().redacted}
    facts["safe_to_retry"] = phase == "connect"  # otherwise the server may have acted
    return made(f"injected fault: {kind}", **facts)


class _TruncatedBody:
    """A body that ends too early."""

    def __init__(self, response: TransportResponse, size: int, request: TransportRequest) -> None:
        self._response = response
        self._stream: AsyncIterable[bytes] = async_pieces(response.stream)
        self._iterator: AsyncIterator[bytes] | None = None
        self._bytes_left = size
        self._request = request

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._iterator is None:
            self._iterator = self._stream.__aiter__()
        if self._bytes_left <= 0:
            self._response.close()
            raise RemoteProtocolError(
                "injected fault: the body was cut short",
                phase="read the response body",
                method=self._request.verb,
                url=self._request.parsed_url().redacted,
                status_code=self._response.status_code,
                safe_to_retry=False,
            )
        piece = await self._iterator.__anext__()
        piece, self._bytes_left = piece[: self._bytes_left], self._bytes_left - len(piece)
        return piece
