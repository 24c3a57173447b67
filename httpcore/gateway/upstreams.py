"""One upstream of a gateway: its pool, its state, its counts and its health checks."""

from __future__ import annotations

import logging

from .._errors import HTTPCoreError
from .._message.url import URL
from .._pool.pool import ConnectionPool
from .health import Member
from .settings import Health, Sender, Timeouts, Upstream
from .watch import pause

__all__ = ["UpstreamState", "check"]


class UpstreamState:
    """An upstream with its pool, its state and its counts.

    Attributes:
        sender: its pool, or the object that the caller passed in place of one.
        pool: the `sender` if it is a `ConnectionPool`; None if it is another object with the methods of one.
        place: its URL without the path, as a value.
        member: its state for balance and health.
        requests, failures: as in `UpstreamStats`.
    """

    __slots__ = ("failures", "member", "name", "place", "pool", "prefix", "requests", "sender", "upstream", "url")

    def __init__(self, upstream: Upstream, health: Health) -> None:
        self.upstream: Upstream = upstream
        self.name: str = upstream.name
        self.url: str = upstream.name + "/"
        self.prefix: bytes = upstream.prefix
        self.place: URL = URL.parse(self.url)
        self.sender: Sender = upstream.sender()
        self.pool: ConnectionPool | None = self.sender if type(self.sender) is ConnectionPool else None
        self.member: Member = Member(upstream.weight, health)
        self.requests: int = 0
        self.failures: int = 0


async def check(upstream: UpstreamState, health: Health, log: logging.Logger) -> None:
    """Check again and again whether an upstream works."""
    assert health.path is not None
    target = health.path.encode("ascii")
    config = Timeouts(health.timeout, health.timeout, health.timeout, health.timeout)
    while True:
        was_up = upstream.member.is_up
        upstream.member.checked(await _is_healthy(upstream, target, config))
        if upstream.member.is_up is not was_up:
            log.warning("%s is %s", upstream.name, "up again" if upstream.member.is_up else "down")
        await pause(health.interval)


async def _is_healthy(upstream: UpstreamState, target: bytes, timeouts: Timeouts) -> bool:
    try:
        response = await upstream.sender.request(
            *("GET", upstream.url, [(b"user-agent", b"httpcore.gateway")], b"", True),
            target=target,
            timeout=timeouts.whole(),
        )
        await response.close()
    except HTTPCoreError:
        return False
    return response.status_code < 400
