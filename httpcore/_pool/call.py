"""One call of `request`: what was asked, in which runtime, by when, and which listener hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._backends.base import Backend
from .._config import TimeoutConfig
from .._connect.route import Route
from .._deadline import Deadline
from .._errors import HTTPCoreError, Timeout
from .._message.request import Request
from .tracer import Tracer

# Named in annotations alone: an import would only cost time.
if TYPE_CHECKING:
    from .._message.head import Head
    from .._trace import Trace
    from .connection import HTTPConnection

__all__ = ["Call"]


class Call(Deadline):
    """What was asked, and by when: it is the deadline of all its waits.

    Attributes:
        request, route, backend, duplex: as given.
        tracer: tells the listener, if there is one.
        followed: seconds of waiting for another's dial, which count as time to connect.
        is_connected: the attempt got as far as that.
        attempts, pauses: how often it was sent, and how often the retry policy paused it.
    """

    __slots__ = (
        "attempts",
        "backend",
        "duplex",
        "followed",
        "is_connected",
        "pauses",
        "request",
        "route",
        "tracer",
    )

    def __init__(
        self,
        request: Request,
        route: Route,
        config: TimeoutConfig,
        backend: Backend,
        trace: Trace | None,
        duplex: bool,
    ) -> None:
        Deadline.__init__(self, config, backend.now)
        self.request = request
        self.route = route
        self.backend = backend
        self.duplex = duplex
        self.followed = 0.0
        self.is_connected = False
        self.attempts = 1
        self.pauses = 0
        self.tracer = None if trace is None else Tracer(trace, self, request)

    def connect_limit(self) -> float | None:
        limit = self.config.connect_timeout
        return None if limit is None else max(0.0, limit - self.followed)

    def interim(self, head: Head) -> None:
        """A 1xx response has come."""
        if self.tracer is not None:
            self.tracer.interim(head)

    def retried(self, reason: BaseException | str, pause: float = 0.0) -> None:
        self.attempts += 1
        if self.tracer is not None:
            self.tracer.retried(reason, self.attempts, pause)

    def failed(self, error: BaseException) -> None:
        if self.tracer is not None:
            self.tracer.failed(error)

    def explained(
        self, error: BaseException, connection: HTTPConnection | None, phase: str, status: int | None = None
    ) -> BaseException:
        """The error with what this request knows of it; a timeout becomes the total one if that was it.

        Every error of a request passes here: of its attempts, of the response's body, of decoding it, of a raw stream.
        """
        if connection is not None and connection.engines.reports and self.tracer is not None:
            self.tracer.differed(connection)
        if isinstance(error, HTTPCoreError):
            if isinstance(error, Timeout):
                error = self.judged(error)
            error.add(
                phase=phase,
                method=self.request.method.decode("ascii"),
                url=self.request.url.redacted,
                elapsed=self.elapsed(),
                peer=connection.info.peer or None if connection is not None else None,
                status_code=status,
            )
        return error
