"""The steps of one request on its way to a connection: when each began and ended. Its trace gets the same readings.

A request on a connection that was there has none. So what these cost is paid beside a lookup, a handshake or a wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from .._timing import TimeSpan
from .._trace import Progress, RequestPhase

__all__ = ["Step", "Steps"]

Step = Literal["queued", "dns", "connect", "proxy_tls", "tunnel", "tls"]
"""As the fields of `RequestTiming`."""


class Steps:
    """Each method is called when what it names has just happened.

    Arguments:
        now: the clock of the request.
        tracer: makes the records, if there is a trace.

    Attributes:
        phase: what a dial was about last, also between two steps.
    """

    __slots__ = ("_began", "_ended", "_now", "_tracer", "phase")

    def __init__(self, now: Callable[[], float], tracer: Progress | None = None) -> None:
        self._now = now
        self._tracer = tracer
        self._began: dict[Step, float] = {}
        self._ended: dict[Step, float] = {}
        self.phase = RequestPhase.CONNECT

    def span(self, step: Step, origin: float) -> TimeSpan | None:
        """When it was, in seconds since `origin`; None if it was not."""
        began, ended = self._began.get(step), self._ended.get(step)
        if began is None:
            return None
        return TimeSpan(began - origin, None if ended is None else ended - origin)

    def waiting(self, at: float) -> None:
        """The request waits for a connection. Of several waits in a row the first counts."""
        self._began.setdefault("queued", at)
        self._ended.pop("queued", None)

    def waited(self, at: float) -> None:
        """It waits no longer."""
        self._ended["queued"] = at

    def dialing(self) -> float:
        """A dial begins; what an earlier one of the request took does not count. Returns the time."""
        self.phase = RequestPhase.CONNECT
        for steps in (self._began, self._ended):
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
        # A second name is looked up where a proxy's name was, and the proxy gets an address: the first one counts.
        self._began.setdefault(step, at)
        return at

    def _end(self, step: Step) -> float:
        at = self._now()
        self._ended.setdefault(step, at)
        return at
