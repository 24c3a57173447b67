"""The proof for the client: a call with redirects, Digest or a body is struck at every await; the transport stays
intact.

The client runs over a simulated network; a strike is a cancellation, a clock that jumps past every timeout, a reset or
a cut of every connection, or the beginning of a drain. The client of threads is struck by errors at each wait, since a
thread cannot be cancelled.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from strikes import ACTS, SEEDS, check

import httpcore
from httpcore.testing import Cancelled, ServerEnd, Simulation, Task, at_every_await

URL = "http://a.test"
CHALLENGE = b'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256\r\n'


async def serve(peer: ServerEnd) -> None:
    """Redirects from /away (with a body in pieces), requires Digest under /digest, answers any other path with 60
    bytes.
    """
    while head := await peer.recv_until(b"\r\n\r\n"):
        path = head.split(b" ")[1]
        if b"chunked" in head:
            await peer.recv_until(b"0\r\n\r\n")
        if path.startswith(b"/away"):
            where = b"/near" if path == b"/away" else b"http://b.test/far"
            await peer.send(b"HTTP/1.1 307 Moved\r\nLocation: " + where + b"\r\nSet-Cookie: a=b\r\n")
            await peer.send(b"Content-Length: 30\r\n\r\n" + b"m" * 30, piece=20, delay=0.01)
        elif path.startswith(b"/digest") and b"Authorization: Digest" not in head:
            await peer.send(b"HTTP/1.1 401 No\r\n" + CHALLENGE + b"Content-Length: 30\r\n\r\n" + b"n" * 30, piece=40)
        else:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n" + b"x" * 60, piece=30, delay=0.01)


# The victims.

Client = httpcore.AsyncClient


async def redirected(client: Client) -> None:
    response = await client.get(f"{URL}/away")
    assert response.content == b"x" * 60


async def redirected_elsewhere(client: Client) -> None:
    response = await client.post(f"{URL}/away/far", b"body", auth=("user", "secret"))
    assert response.content == b"x" * 60


async def authenticated(client: Client) -> None:
    response = await client.post(f"{URL}/digest", b"body", auth=httpcore.DigestAuth("user", "secret"))
    assert response.content == b"x" * 60


async def streamed(client: Client) -> None:
    async with client.stream("GET", f"{URL}/away") as response:
        async for _ in response.stream():
            break


async def stepped(client: Client) -> None:
    first = await client.get(f"{URL}/away", allow_redirects=False, stream=True)
    async with first, await first.next() as following:
        async for _ in following.stream():
            pass


async def pieces() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


async def uploaded(client: Client) -> None:
    def seen(progress: httpcore.Progress) -> None: ...

    await client.post(f"{URL}/up", pieces(), on_progress=seen)


async def hooked(client: Client) -> None:
    async def wait(_: object) -> None:
        await httpcore.current_backend().sleep(0.01)

    client.event_hooks["request"].append(wait)
    client.event_hooks["response"].append(wait)
    try:
        await client.get(f"{URL}/away")
    finally:
        client.event_hooks["request"].clear()
        client.event_hooks["response"].clear()


WHAT = [redirected, redirected_elsewhere, authenticated, streamed, stepped, uploaded, hooked]


@pytest.mark.parametrize("strike", ACTS)
@pytest.mark.parametrize("what", WHAT, ids=lambda what: what.__name__)
def test_the_pool_is_whole_wherever_a_call_is_struck(
    what: Callable[[Client], Coroutine[Any, Any, None]], strike: str
) -> None:
    async def scenario(runtime: Simulation) -> None:
        runtime.listen("a.test", 80, serve)
        runtime.listen("b.test", 80, serve)
        timeout = httpcore.TimeoutConfig(5, total_timeout=8)
        async with httpcore.ConnectionPool(limits=httpcore.PoolLimits(max_connections=1)) as pool:
            client = Client(timeout=timeout, dispatch=pool, trust_env=False)
            with suppress(httpcore.HTTPCoreError, Cancelled):
                await runtime.victim(what(client))
            check(runtime, pool)
            if strike != "cut":  # a body that is cut off stays incomplete
                await what(client)
                check(runtime, pool)
            await client.close()

    act = ACTS[strike]
    for count in (1, 2) if strike == "cancelled" else (1,):
        assert at_every_await(scenario, act, times=count) > 3
    for seed in range(min(SEEDS, 3)):
        at_every_await(scenario, act, make=partial(Simulation, seed, shuffle=True))


@pytest.mark.parametrize("strike", ACTS)
def test_a_download_that_is_struck_leaves_no_part(strike: str, tmp_path: Path) -> None:
    async def scenario(runtime: Simulation) -> None:
        runtime.listen("a.test", 80, serve)
        async with httpcore.ConnectionPool(limits=httpcore.PoolLimits(max_connections=1)) as pool:
            client = Client(timeout=5, dispatch=pool, trust_env=False)
            with suppress(httpcore.HTTPCoreError, Cancelled):
                await runtime.victim(client.download(f"{URL}/file", tmp_path / "file"))
            check(runtime, pool)
            assert not [name for name in os.listdir(tmp_path) if name != "file"]
            if (tmp_path / "file").exists():
                assert (tmp_path / "file").read_bytes() == b"x" * 60
                (tmp_path / "file").unlink()
            await client.close()

    assert at_every_await(scenario, ACTS[strike]) > 3


# Drains.

REFUSED = "the client drains"


@pytest.mark.parametrize(
    ("what", "strike"),
    [(what, None) for what in WHAT] + [(what, strike) for what in (redirected_elsewhere, streamed) for strike in ACTS],
)
def test_a_drain_that_begins_at_any_await_ends_with_the_call(
    what: Callable[[Client], Coroutine[Any, Any, None]], strike: str | None
) -> None:
    """A call that has begun ends as it would without the drain, even if it is struck at the same moment."""
    drains: list[Task[bool]] = []
    clients: list[Client] = []

    def act(runtime: Simulation, victim: Task[Any]) -> None:
        drains.append(runtime.spawn(clients[-1].drain(100)))
        if strike is not None:
            ACTS[strike](runtime, victim)

    async def scenario(runtime: Simulation) -> None:
        runtime.listen("a.test", 80, serve)
        runtime.listen("b.test", 80, serve)
        drains.clear()
        async with httpcore.ConnectionPool(limits=httpcore.PoolLimits(max_connections=1)) as pool:
            clients.append(client := Client(timeout=httpcore.TimeoutConfig(5), dispatch=pool, trust_env=False))
            victim = await runtime.victim(what(client))
            if what is stepped and isinstance(victim.error, httpcore.PoolClosed):
                assert REFUSED in str(victim.error)  # `next()` begins a new call
            elif strike is None:
                victim.result()
            ended = runtime.now
            for drain in drains:
                await drain.wait()
                assert drain.result() is True
                assert runtime.now == ended
                with pytest.raises(httpcore.PoolClosed, match=REFUSED):
                    await client.get(URL)
            check(runtime, pool)
            if strike != "cut":
                assert (await pool.request("GET", f"{URL}/others")).status_code == 200
            await client.close()

    assert at_every_await(scenario, act) > 3


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_client_drain_that_is_cancelled_leaves_nothing(shuffle: bool) -> None:
    async def scenario(runtime: Simulation) -> None:
        runtime.listen("a.test", 80, serve, delay_back=0.3)
        client = Client(trust_env=False)
        other = runtime.spawn(redirected(client))
        await runtime.sleep(0.1)
        victim = await runtime.victim(client.drain(0.7))
        assert victim.error is None or isinstance(victim.error, Cancelled)
        assert victim.lingered == []
        await other.wait()
        other.result()
        assert await client.drain(0) is True
        await client.close()

    at_every_await(scenario, ACTS["cancelled"], make=lambda: Simulation(shuffle=shuffle))
