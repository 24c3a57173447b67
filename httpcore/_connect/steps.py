"""The steps of one request before it has a connection: when each began and ended. The request's trace gets the same
times.

A request on an existing connection has no steps. So recording them adds a cost only to a lookup, a handshake or a wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from .._timing import TimeSpan
from .._trace import Progress, RequestPhase

__all__ = ["Step", "Steps"]

Step = Literal["queued", "dns", "connect", "proxy_tls", "tunnel", "tls"]
"""The names are those of the fields of `RequestTiming`."""


class Steps:
    """Each method is called right after the event in its name.

    Arguments:
        now: the clock of the request.
        tracer: makes the records, if there is a trace.

    Attributes:
        phase: the phase of the last step of a dial that has begun; it stays set between two steps.
    """

    __slots__ = ("_ended", "_now", "_start_times", "_tracer", "phase")

    def __init__(self, now: Callable[[], float], tracer: Progress | None = None) -> None:
        self._now = now
        self._tracer = tracer
        self._start_times: dict[Step, float] = {}
        self._ended: dict[Step, float] = {}
        self.phase = RequestPhase.CONNECT

    def span(self, step: Step, origin: float) -> TimeSpan | None:
        """The time of a step, in seconds since `origin`; None if there was no such step."""
        began, ended = self._start_times.get(step), self._ended.get(step)
        if began is None:
            return None
        return TimeSpan(began - origin, None if ended is None else ended - origin)

    def waiting(self, at: float) -> None:
        """The request waits for a connection. Of several waits in a row the start of the first is kept."""
        self._start_times.setdefault("queued", at)
        self._ended.pop("queued", None)

    def waited(self, at: float) -> None:
        """The wait has ended."""
        self._ended["queued"] = at

    def dialing(self) -> float:
        """A dial begins; the times of an earlier dial of the request are dropped. Returns the time."""
        self.phase = RequestPhase.CONNECT
        for steps in (self._start_times, self._ended):
            for step in [step for step in steps if step != "queued"]:
                del steps[step]
        return self._now()

    # The steps of a dial.

    def looking_up(self, host: str) -> None:
        at = self._begin("dns")
        self.phase = RequestPhase.RESOLVE
        if self._tracer is not None:
            self._tracer.looking_up(host, at)

    def looked_up(self, host: str, addresses: Sequence[str]) -> None:
        at = self._end("dns")
        self.phase = RequestPhase.CONNECT
        if self._tracer is not None:
            self._tracer.looked_up(host, addresses, at)

    def connecting(self, addresses: Sequence[str], port: int | None) -> None:
        at = self._begin("connect")
        if self._tracer is not None:
            self._tracer.connecting(addresses, port, at)

    def connected(self, peer: str) -> None:
        at = self._end("connect")
        if self._tracer is not None:
            self._tracer.connected(peer, at)

    def tunneling(self, proxy: str) -> None:
        at = self._begin("tunnel")
        self.phase = RequestPhase.TUNNEL
        if self._tracer is not None:
            self._tracer.tunneling(proxy, at)

    def tunneled(self, proxy: str) -> None:
        at = self._end("tunnel")
        if self._tracer is not None:
            self._tracer.tunneled(proxy, at)

    def securing(self, host: str, *, is_proxy: bool) -> None:
        at = self._begin("proxy_tls" if is_proxy else "tls")
        self.phase = RequestPhase.TLS
        if self._tracer is not None:
            self._tracer.securing(host, at)

    def secured(self, host: str, version: str | None, alpn: str | None, *, is_proxy: bool) -> None:
        at = self._end("proxy_tls" if is_proxy else "tls")
        if self._tracer is not None:
            self._tracer.secured(host, version, alpn, at)

    def _begin(self, step: Step) -> float:
        at = self._now()
        # After the proxy's name, the origin's name may be looked up too, to send the origin's address to the proxy:
        # only the times of the first lookup are kept.
        self._start_times.setdefault(step, at)
        return at

    def _end(self, step: Step) -> float:
        at = self._now()
        self._ended.setdefault(step, at)
        return at
