"""The reasons of `ConnectionClosed` that `tests/test_trace.py` does not name; each is produced here."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from servers import ScriptedServer, ok
from strikes import traced

import httpcore
from httpcore import CloseReason, ConnectionClosed, PoolLimits, TraceEvent
from httpcore._pool.ledger import Ledger
from httpcore.testing import ServerEnd, Simulation

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
URL = "http://a.test"


async def serve(peer: ServerEnd) -> None:
    """Answers one request, and disconnects a second later; to /never it sends nothing."""
    head = await peer.recv_until(b"\r\n\r\n")
    if b"/never" in head:
        await peer.scheduler.sleep(1000)
    await peer.send(OK)
    await peer.scheduler.sleep(1)


async def answer_requests(peer: ServerEnd) -> None:
    while await peer.recv_until(b"\r\n\r\n"):
        await peer.send(OK)


def closes(events: list[TraceEvent]) -> list[str]:
    return [event.reason for event in events if isinstance(event, ConnectionClosed)]


def simulated(act: Callable[[httpcore.ConnectionPool, Simulation], Any], watches: bool, **settings: Any) -> list[str]:
    runtime = Simulation(watches=watches)
    runtime.listen("a.test", 80, serve)
    runtime.listen("b.test", 80, answer_requests)
    events: list[TraceEvent] = []

    async def main() -> list[str]:
        async with httpcore.ConnectionPool(trace=events.append, **settings) as pool:
            await act(pool, runtime)
            return closes(events)

    return runtime.run(main())


async def stay_idle(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
    await pool.request("GET", URL)
    await runtime.sleep(2)


async def find_connection_dead(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
    await stay_idle(pool, runtime)
    await pool.request("GET", URL)


async def be_cancelled(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
    task = runtime.spawn(pool.request("GET", f"{URL}/never"))
    await runtime.sleep(1)
    task.cancel()
    await task.wait()


async def grow_old(pool: httpcore.ConnectionPool, runtime: Simulation) -> None:
    await pool.request("GET", "http://b.test")
    await runtime.sleep(6)
    await pool.request("GET", "http://b.test")


def test_a_peer_that_leaves_is_the_reason() -> None:
    assert simulated(stay_idle, watches=True) == [CloseReason.PEER]


def test_a_connection_found_dead_is_stale() -> None:
    assert simulated(find_connection_dead, watches=False) == [CloseReason.STALE]


def test_a_cancelled_request_is_the_reason() -> None:
    assert simulated(be_cancelled, watches=True) == [CloseReason.CANCELLED]


def test_a_connection_at_the_end_of_its_lifetime_is_old() -> None:
    limits = PoolLimits(max_connection_lifetime=5)
    assert simulated(grow_old, watches=True, limits=limits) == [CloseReason.OLD]


def test_a_closed_event_loop_is_the_reason() -> None:
    events: list[TraceEvent] = []

    def script(peer: Any) -> None:
        while peer.head():
            peer.send(ok(b"x"))

    async def get() -> None:
        await pool.request("GET", server.url)

    with ScriptedServer(script) as server:
        pool = httpcore.ConnectionPool(trace=events.append)
        asyncio.run(get())
        assert closes(events) == []
        asyncio.run(get())
        assert closes(events) == [CloseReason.LOOP_CLOSED]
        asyncio.run(pool.close())


def interrupt_release(act: Callable[[], object], line: int) -> bool:
    """Run `act` with KeyboardInterrupt at the n-th line of `Ledger.release`. Returns False if it has fewer lines."""

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal line
        if frame.f_code is not Ledger.release.__code__:
            return None
        line -= event == "line"
        if not line:
            raise KeyboardInterrupt
        return trace

    try:
        with traced(trace):
            act()
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:a response was dropped unread:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine object:pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_step_is_the_reason() -> None:
    """Ctrl-C leaves a step incomplete, and then a response is dropped. The step that repairs the ledger detects the
    dropped response.
    """

    def script(peer: Any) -> None:
        while peer.head():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nx")

    with ScriptedServer(script) as server:
        for line in range(1, 30):
            events: list[TraceEvent] = []
            with httpcore.SyncConnectionPool(trace=events.append) as pool:
                dropped, closed = [pool.request("GET", server.url, stream=True) for _ in range(2)]
                struck = interrupt_release(closed.close, line)
                del dropped
                gc.collect()
                pool.stats()
                if CloseReason.INTERRUPTED in closes(events):
                    return
            assert struck, "no interrupted line gave the reason INTERRUPTED"
