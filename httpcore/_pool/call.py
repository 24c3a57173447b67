"""One call of `request`: the request, its route, its runtime, its deadline, and the trace that records it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from .._backends.base import Backend
from .._config import TimeoutConfig
from .._connect.route import Route
from .._connect.steps import Steps
from .._deadline import Deadline
from .._errors import HTTPCoreError, Timeout
from .._message.request import Request
from .tracer import Tracer

# These names are used in annotations only: importing them at run time would only cost time.
if TYPE_CHECKING:
    from .._message.head import Head
    from .._timing import RequestTiming
    from .._trace import Trace
    from .connection import HTTPConnection

__all__ = ["Call"]


_numbers = count(1)


class Call(Deadline):
    """A request with its route and its timeouts; it is also the deadline of all waits of the request.

    Attributes:
        request, route, backend, duplex: as given.
        tracer: makes the records, if there is a trace.
        tag: the value of `request(..., tag=)`.
        continues: whether an attempt before this one has ended.
        may_have_acted: whether an attempt has reached a peer that did not refuse the request.
        followed: seconds spent waiting for another request's dial, which count as time to connect; set to 0 when a
            connection is requested.
        connected: when the attempt got its connection; valid only if `is_connected`.
        steps: the steps of the attempt before it had a connection, if it had to wait or dial.
        is_connected: whether the attempt has got a connection.
        attempts, pauses: how often the request was sent, and how often the retry policy paused it.
    """

    connected: float
    followed: float

    __slots__ = (
        "_number",
        "attempts",
        "backend",
        "connected",
        "continues",
        "duplex",
        "followed",
        "is_connected",
        "may_have_acted",
        "pauses",
        "request",
        "route",
        "steps",
        "tag",
        "tracer",
    )

    def __init__(
        self,
        request: Request,
        route: Route,
        config: TimeoutConfig,
        backend: Backend,
        duplex: bool = False,
    ) -> None:
        Deadline.__init__(self, config, backend.now)
        self.request = request
        self.route = route
        self.backend = backend
        self.duplex = duplex
        self.steps: Steps | None = None
        self.is_connected = self.may_have_acted = self.continues = False
        self.attempts = 1
        self.pauses = 0
        self._number = 0
        self.tag: object = None
        self.tracer: Tracer | None = None

    @property
    def number(self) -> int:
        """The number of the request in this process, from 1. It is assigned when it is first read, since most numbers
        are never read."""
        if not self._number:
            number = next(_numbers)
            # The number is tested again, since another thread that lists the requests in flight may have assigned one.
            # No call lies between this test and the assignment, so no thread can come in between.
            if not self._number:
                self._number = number
        return self._number

    def trace(self, trace: Trace) -> Tracer:
        """From here on the trace gets a record of each event of the request; the first one says that the request has
        begun."""
        self.tracer = tracer = Tracer(trace, self.number, self.tag, self.backend)
        tracer.started(self.request, self.began)
        return tracer

    def trace_connect(self, trace: Trace) -> None:
        """From here on the trace gets records of a connection that no request caused: the number of the request is
        0."""
        self.tracer = Tracer(trace, 0, None, self.backend)

    def connect_limit(self) -> float | None:
        limit = self.config.connect_timeout
        # A wait for another request's dial and a dial of this request share one timeout: time that the wait used is not
        # granted again.
        return None if limit is None else max(0.0, limit - self.followed)

    def interim(self, head: Head) -> None:
        """Record a 1xx response."""
        if self.tracer is not None:
            self.tracer.interim(head)

    def begin_steps(self) -> Steps:
        """Begin the steps of this attempt, and return them."""
        if self.steps is None:
            self.steps = Steps(self.now, self.tracer)
        return self.steps

    def retried(self, reason: BaseException | str, pause: float = 0.0) -> None:
        self.attempts += 1
        self.steps = None
        if self.tracer is not None:
            self.tracer.retried(reason, self.attempts, pause)

    def failed(self, error: BaseException) -> None:
        if self.tracer is not None:
            self.tracer.failed(error)

    def with_request_context(
        self,
        error: BaseException,
        connection: HTTPConnection | None,
        phase: str,
        status: int | None = None,
        timing: RequestTiming | None = None,
    ) -> BaseException:
        """The error with the facts of this request; a timeout becomes `TotalTimeout` if the total timeout has passed.

        Every error of a request passes here: of its attempts, of the response's body, of decoding it, of a raw stream.
        """
        if connection is not None and connection.engines.reports and self.tracer is not None:
            self.tracer.differed(connection.engines.reports)
        error = self.with_context(error, connection, phase)
        if isinstance(error, HTTPCoreError):
            method = self.request.method.decode("ascii")
            error.add(method=method, status_code=status, request_number=self.number, timing=timing)
            if status is not None:  # a peer that answered has acted
                error.safe_to_retry = False
        return error

    def with_context(self, error: BaseException, connection: HTTPConnection | None, phase: str) -> BaseException:
        """Add the facts that errors of `connect` have too: without a request there is no method and no number.

        This overwrites `safe_to_retry`, since an earlier value is about one attempt only.
        """
        if not isinstance(error, HTTPCoreError):
            return error
        # This comes before the facts are added, since it may replace the error by a `TotalTimeout`.
        if isinstance(error, Timeout):
            error = self.as_total_timeout(error)
        peer = connection.info.peer or None if connection is not None else None
        error.add(phase=phase, url=self.request.url.redacted, elapsed=self.elapsed(), peer=peer)
        error.safe_to_retry = not self.may_have_acted
        return error
