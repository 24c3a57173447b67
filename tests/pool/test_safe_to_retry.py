"""`error.safe_to_retry`, case by case. The sweep in `test_trace_sweeps` compares it with what servers received."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

import httpcore
from httpcore.testing import ServerEnd, Simulation

Pool = httpcore.ConnectionPool
POLICY = httpcore.NetworkPolicy.public_only()
RETRIES = httpcore.RetryPolicy(attempts=2)


async def be_silent(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await peer.scheduler.sleep(1000)


async def answer_503_and_vanish(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


async def answer_half(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


async def request_url(pool: Pool) -> None:
    await pool.request("GET", "http://")


async def request_header(pool: Pool) -> None:
    await pool.request("GET", "http://silent.test/", {"a": "b\n"})


async def request_refused(pool: Pool) -> None:
    await pool.request("POST", "http://refused.test/", body=b"x")


async def request_unknown(pool: Pool) -> None:
    await pool.request("GET", "http://unknown.test/")


async def request_closed(pool: Pool) -> None:
    await pool.close()
    await pool.request("GET", "http://silent.test/")


async def connect_to_no_url(pool: Pool) -> None:
    await pool.connect("http://")


async def connect_refused(pool: Pool) -> None:
    await pool.connect("http://refused.test/")


async def connect_when_full(pool: Pool) -> None:
    async with await pool.request("GET", "http://half.test/", stream=True):
        await pool.connect("http://half.test/", timeout=1)


async def request_in_a_step(pool: Pool) -> None:
    with pool._leases.lock:  # like a signal handler in the middle of a step: no public call stays in a step
        await pool.request("GET", "http://silent.test/")


async def connect_in_a_step(pool: Pool) -> None:
    with pool._leases.lock:  # like a signal handler in the middle of a step: no public call stays in a step
        await pool.connect("http://silent.test/")


async def request_private(pool: Pool) -> None:
    async with Pool(network_policy=POLICY) as careful:
        await careful.request("GET", "http://127.0.0.1/")


async def request_when_full(pool: Pool) -> None:
    async with await pool.request("GET", "http://half.test/", stream=True):
        await pool.request("GET", "http://half.test/", timeout=1)


async def request_silent(pool: Pool) -> None:
    await pool.request("GET", "http://silent.test/", timeout=1)


async def request_half(pool: Pool) -> None:
    await pool.request("GET", "http://half.test/")


CASES: dict[str, tuple[Callable[[Pool], Awaitable[None]], type[Exception], bool]] = {
    "a URL that is none": (request_url, httpcore.InvalidURL, True),
    "a header that cannot be sent": (request_header, httpcore.LocalProtocolError, True),
    "refused": (request_refused, httpcore.ConnectError, True),
    "a name without an address": (request_unknown, httpcore.ConnectError, True),
    "a closed pool": (request_closed, httpcore.PoolClosed, True),
    "a full pool": (request_when_full, httpcore.PoolTimeout, True),
    "connect: a URL that is none": (connect_to_no_url, httpcore.InvalidURL, True),
    "connect: refused": (connect_refused, httpcore.ConnectError, True),
    "connect: a full pool": (connect_when_full, httpcore.PoolTimeout, True),
    "in a step of the pool": (request_in_a_step, httpcore.LocalProtocolError, True),
    "connect: in a step of the pool": (connect_in_a_step, httpcore.LocalProtocolError, True),
    "an address that is denied": (request_private, httpcore.PolicyError, True),
    "a server that is silent": (request_silent, httpcore.ReadTimeout, False),
    "a body that is cut": (request_half, httpcore.RemoteProtocolError, False),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_has_whether_a_peer_may_have_acted(case: str) -> None:
    send_request, kind, is_safe = CASES[case]
    simulation = Simulation()
    simulation.listen("silent.test", 80, be_silent)
    simulation.listen("half.test", 80, answer_half)
    simulation.refuse("refused.test", 80)

    async def main() -> None:
        async with Pool(limits=httpcore.PoolLimits(max_connections=1)) as pool:
            with pytest.raises(kind) as caught:
                await send_request(pool)
            assert isinstance(caught.value, httpcore.HTTPCoreError)
            assert caught.value.safe_to_retry is is_safe

    simulation.run(main())


def test_an_attempt_that_was_answered_before_makes_it_unsafe() -> None:
    """The last attempt reached no server; an earlier attempt did."""
    simulation = Simulation()

    async def answer_once(peer: ServerEnd) -> None:
        simulation.refuse("a.test", 80)
        await answer_503_and_vanish(peer)

    simulation.listen("a.test", 80, answer_once)

    async def main() -> None:
        async with Pool(retries=RETRIES) as pool:
            with pytest.raises(httpcore.ConnectError) as caught:
                await pool.request("GET", "http://a.test/")
            assert caught.value.safe_to_retry is False

    simulation.run(main())
