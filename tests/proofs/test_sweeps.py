"""The proof: every scenario is struck at every await, by every kind of strike, and the state afterwards is checked each
time.

All tests run in the deterministic runtime: a scripted network, a virtual clock, no sockets. A strike is a cancellation,
a clock that jumps past every timeout, a reset or a cut of every connection, or the pool's close. It happens just after
the victim begins to wait, or just before the victim continues. In some runs a second strike follows in the clean-up.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from strikes import ACTS, SEEDS, cancel, check

import httpcore
from httpcore.testing import Cancelled, ServerEnd, Task
from httpcore.testing import Simulation as Runtime
from httpcore.testing import at_every_await as at_every_point

HOSTS = ("a.test", "b.test")
CONTENT = bytes(200_000)  # four decoded pieces
CODED = gzip.compress(CONTENT, mtime=0)

runs = 0
sweeps = 0
Pool = httpcore.ConnectionPool


async def serve(peer: ServerEnd) -> None:
    """A server whose every answer names the request that it belongs to."""
    while head := await peer.recv_until(b"\r\n\r\n"):
        method, path, _ = head.split(b"\r\n")[0].split(b" ")
        if path == b"/early":
            await peer.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 6\r\n\r\n/early")
            return
        if path == b"/mirror":
            await mirror(peer)
            continue
        if b"100-continue" in head:
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"Transfer-Encoding: chunked" in head:
            await peer.recv_until(b"0\r\n\r\n")
        elif b"Content-Length: " in head:
            await peer.recv_exactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        if path == b"/switch":
            await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
            while data := await peer.recv(100):
                await peer.send(data)
            return
        await answer(peer, method + b" " + path, path)
        if path == b"/last":
            return


async def mirror(peer: ServerEnd) -> None:
    """Answers at once, and sends each chunk back when it is received."""
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", delay=0.01)
    while line := await peer.recv_until(b"\r\n"):
        size = int(line, 16)
        data = await peer.recv_exactly(size + 2)
        await peer.send(line + data, piece=30, delay=0.01)
        if not size:
            return


async def answer(peer: ServerEnd, body: bytes, path: bytes) -> None:
    if path == b"/odd":
        await peer.send(b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nA: b\n c\n\n", piece=20, delay=0.01)
        await peer.send(b"%x \n%s\n0\n\n" % (len(body), body), piece=5, delay=0.01)
        return
    if path == b"/hints":
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", delay=0.1)
    if path == b"/chunked":
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for part in (body[:3], body[3:]):
            await peer.send(b"%x\r\n%s\r\n" % (len(part), part), delay=0.1)
        await peer.send(b"0\r\nX-Path: " + path + b"\r\n\r\n", delay=0.1)
        return
    if path == b"/coded":
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(CODED))
        await peer.send(CODED, piece=100, delay=0.01)
        return
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    await peer.send(head + body, piece=30, delay=0.01)


def url(path: str, host: str = "a.test") -> str:
    return f"http://{host}{path}"


async def fetch(pool: Pool, path: str, host: str = "a.test") -> None:
    response = await pool.request("GET", url(path, host))
    assert response.body == b"GET " + path.encode()


async def chunks() -> AsyncIterator[bytes]:
    yield b"x" * 100
    yield b"y" * 100


async def nothing(pool: Pool) -> None:
    pass


# The victims.


async def get(pool: Pool) -> None:
    await fetch(pool, "/one")


async def get_and_be_hinted(pool: Pool) -> None:
    response = await pool.request("GET", url("/hints"))
    assert response.body == b"GET /hints"
    assert [interim.status_code for interim in response.informational] == [103]


async def post_bytes(pool: Pool) -> None:
    assert (await pool.request("POST", url("/bytes"), body=b"z" * 200)).body == b"POST /bytes"


async def post_chunks(pool: Pool) -> None:
    assert (await pool.request("POST", url("/chunks"), body=chunks)).body == b"POST /chunks"


async def post_more_than_is_read(pool: Pool) -> None:
    response = await pool.request("POST", url("/early"), body=b"z" * 300_000)
    assert (response.status_code, response.body) == (413, b"/early")


async def post_on_signal(pool: Pool) -> None:
    response = await pool.request("POST", url("/told"), {"Expect": "100-continue"}, b"z" * 200)
    assert response.body == b"POST /told"


async def read_in_pieces(pool: Pool) -> None:
    async with await pool.request("GET", url("/chunked"), stream=True) as response:
        assert b"".join([piece async for piece in response.stream()]) == b"GET /chunked"
        assert response.trailers == [(b"x-path", b"/chunked")]


async def decode_in_pieces(pool: Pool) -> None:
    async with await pool.request("GET", url("/coded"), stream=True) as response:
        assert b"".join([piece async for piece in response.stream()]) == CONTENT


async def decode_as_a_whole(pool: Pool) -> None:
    assert (await pool.request("GET", url("/coded"), max_body=len(CONTENT))).body == CONTENT


async def leave_half_read(pool: Pool) -> None:
    async with await pool.request("GET", url("/chunked"), stream=True) as response:
        async for piece in response.raw():
            assert b"GET /chunked".startswith(piece)
            break


async def switch_protocols(pool: Pool) -> None:
    response = await pool.request("GET", url("/switch"), {"Upgrade": "echo", "Connection": "upgrade"})
    raw = response.connection
    assert raw is not None
    try:
        await raw.send(b"there and back")
        assert await raw.recv() == b"there and back"
    finally:
        raw.close()


async def connect_first(pool: Pool) -> None:
    info = await pool.connect(url("/"))
    assert info.peer
    await fetch(pool, "/one")


async def read_unusual_responses(pool: Pool) -> None:
    response = await pool.request("GET", url("/odd"))
    assert (response.body, len(response.info.lenient)) == (b"GET /odd", 3)


async def send_and_receive_at_once(pool: Pool) -> None:
    response = await pool.request("POST", url("/mirror"), body=b"first", duplex=True)
    raw = response.connection
    assert raw is not None
    try:
        received = b""
        for seen in (b"there and back", b"x" * 200):
            await raw.send(seen)
        await raw.end()
        while data := await raw.recv(1000):
            received += data
        assert received == b"first" + b"there and back" + b"x" * 200
    finally:
        raw.close()


async def wait_for_the_only_connection(pool: Pool) -> None:
    await fetch(pool, "/mine")


# Other activity in the pool.


async def warm_up(pool: Pool) -> None:
    await fetch(pool, "/warm")


async def leave_a_stale_connection(pool: Pool) -> None:
    await fetch(pool, "/last")


@dataclass(frozen=True)
class Scenario:
    """A pool, earlier requests, other tasks, and the victim."""

    victim: Callable[[Pool], Coroutine[Any, Any, None]]
    before: Callable[[Pool], Awaitable[None]] = nothing
    others: tuple[tuple[str, str], ...] = ()
    limits: httpcore.PoolLimits = field(default_factory=httpcore.PoolLimits)


ONE = httpcore.PoolLimits(max_connections=1)
PER_ORIGIN = httpcore.PoolLimits(max_connections_per_origin=1)
CROWD = (("/other", "a.test"), ("/third", "b.test"), ("/fourth", "a.test"))
SCENARIOS = {
    "new connection": Scenario(get),
    "reused connection": Scenario(get, warm_up),
    "stale connection": Scenario(get, leave_a_stale_connection),
    "interim response": Scenario(get_and_be_hinted),
    "body of bytes": Scenario(post_bytes),
    "body from a generator": Scenario(post_chunks, warm_up),
    "early answer to a large body": Scenario(post_more_than_is_read),
    "expect": Scenario(post_on_signal),
    "streamed with trailers": Scenario(read_in_pieces, warm_up),
    "decoded in pieces": Scenario(decode_in_pieces, warm_up),
    "decoded as a whole": Scenario(decode_as_a_whole),
    "left half-read": Scenario(leave_half_read),
    "switched": Scenario(switch_protocols),
    "connected first": Scenario(connect_first),
    "connected first, reused": Scenario(connect_first, warm_up),
    "connected first, three others": Scenario(connect_first, nothing, CROWD, ONE),
    "unusual": Scenario(read_unusual_responses, warm_up),
    "duplex": Scenario(send_and_receive_at_once, warm_up),
    "one connection, three others": Scenario(wait_for_the_only_connection, nothing, CROWD, ONE),
    "one per origin, three others": Scenario(wait_for_the_only_connection, warm_up, CROWD, PER_ORIGIN),
}


async def still_works(pool: Pool) -> None:
    """Both hosts answer correctly; a connection that was cut while it was idle may cost a timeout each."""
    for number, host in enumerate(HOSTS * 2):
        for _ in range(4):
            with suppress(httpcore.ReadTimeout):
                await fetch(pool, f"/after{number}", host)
                break
        else:
            raise AssertionError("four timeouts in a row")


def play(scenario: Scenario, act: Callable[[Runtime, Task[Any]], None], *, spares_others: bool) -> Any:
    global sweeps
    sweeps += 1

    async def scene(runtime: Runtime) -> None:
        global runs
        runs += 1
        for host in HOSTS:
            runtime.listen(host, 80, serve, connect_delay=0.05, delay_there=0.01, delay_back=0.01, window=65536)
        pool = Pool(limits=scenario.limits, timeout=httpcore.TimeoutConfig(5.0, pool_timeout=20.0))
        await scenario.before(pool)
        others = [runtime.spawn(fetch(pool, path, host), path) for path, host in scenario.others]
        victim = await runtime.victim(scenario.victim(pool))
        assert victim.error is None or isinstance(victim.error, (Cancelled, httpcore.HTTPCoreError)), victim.error
        assert victim.lingered == [], "a cancelled task awaits nothing"
        for other in others:
            await other.wait()
            assert other.error is None or (not spares_others and isinstance(other.error, httpcore.HTTPCoreError))
        check(runtime, pool)
        await still_works(pool)
        check(runtime, pool)
        await pool.close()
        assert all(connection.client_closed for connection in runtime.connections)

    return scene


@pytest.mark.parametrize("watches", [True, False], ids=["watched", "unwatched"])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_request_struck_at_any_await_leaves_nothing(name: str, act: str, watches: bool) -> None:
    scene = play(SCENARIOS[name], ACTS[act], spares_others=act == "cancelled")
    for times in (1, 2):
        points = at_every_point(scene, ACTS[act], times=times, make=lambda: Runtime(watches=watches))
        assert points >= 5


@pytest.mark.parametrize("name", SCENARIOS)
def test_cancellations_in_random_schedules_leave_nothing(name: str) -> None:
    scene = play(SCENARIOS[name], cancel, spares_others=True)
    for seed in range(SEEDS):
        at_every_point(scene, cancel, make=partial(Runtime, seed, shuffle=True, checkpoints=seed % 2 == 0))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_pool_closed_at_any_await_leaves_nothing_open(name: str) -> None:
    """A request that was sent continues; an unsent request ends with PoolClosed; no connection stays open."""
    scenario = SCENARIOS[name]

    async def scene(runtime: Runtime) -> None:
        global runs
        runs += 1
        for host in HOSTS:
            runtime.listen(host, 80, serve, connect_delay=0.05, delay_there=0.01, delay_back=0.01)
        pools.append(pool := Pool(limits=scenario.limits))
        await scenario.before(pool)
        others = [runtime.spawn(fetch(pool, path, host), path) for path, host in scenario.others]
        victim = await runtime.victim(scenario.victim(pool))
        assert victim.error is None or isinstance(victim.error, httpcore.PoolClosed), victim.error
        for other in others:
            await other.wait()
            assert other.error is None or isinstance(other.error, httpcore.PoolClosed), other.error
        await pool.close()
        assert pool.stats().connections == 0
        assert all(connection.client_closed for connection in runtime.connections)

    pools: list[Pool] = []
    # A strike must not wait, so it calls the plain function that `close()` calls.
    at_every_point(scene, lambda runtime, victim: pools[-1]._close())


def test_the_sweeps_made_enough_trials() -> None:
    """This is the last test in the file: it detects a sweep that silently stopped sweeping."""
    print(f"{runs:,} trials in {sweeps} sweeps")
    assert runs >= 20 * sweeps
