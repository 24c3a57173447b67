"""A pool used by a signal handler, a finaliser or a weakref callback, which interrupts its thread at any point.

The pool is called at lines of our code (tracing runs in the interrupted thread, as handlers and callbacks do), by real
signals, and by the collector.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from h2_conversation import Conversation
from reentry import Interruption, Trap, run_with_time_limit
from servers import Peer, ScriptedServer, ok

import httpcore

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000)
LIMITS = httpcore.PoolLimits(max_connections=10)


def speak_http11(peer: Peer) -> None:
    while head := peer.head():
        path = head.split(b" ")[1]
        peer.send(HALF if path.endswith(b"half") else ok(path))


def speak_http2(peer: Peer) -> None:
    Conversation(peer).run()


SPOKEN: dict[str, tuple[Callable[[Peer], None], dict[str, bool]]] = {
    "HTTP/1.1": (speak_http11, {}),
    "HTTP/2": (speak_http2, {"http1": False}),
}


@pytest.fixture(params=SPOKEN, scope="module")
def protocol_options(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, bool]]]:
    script, options = SPOKEN[request.param]
    with ScriptedServer(script) as server:
        yield server.url, options


def request_or_refusal(pool: httpcore.SyncConnectionPool, url: str) -> None:
    refusal = ""
    try:
        assert pool.request("GET", url + "/0/inner", timeout=0.2).body == b"/0/inner"
    except httpcore.LocalProtocolError as error:
        refusal = error.message
    except (httpcore.PoolClosed, httpcore.Timeout):
        pass  # over HTTP/2, the interrupted task is the one that reads for all
    assert not refusal or "interrupted a step" in refusal


def is_at_rest(pool: httpcore.SyncConnectionPool) -> bool:
    stats = pool.stats()
    return (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0)


ACTS: dict[str, tuple[Callable[[httpcore.SyncConnectionPool, str, httpcore.SyncResponse], object], int]] = {
    "repr": (lambda pool, url, held: repr(pool), 3),
    "stats": (lambda pool, url, held: pool.stats(), 3),
    "close": (lambda pool, url, held: pool.close(), 3),
    "close a response": (lambda pool, url, held: held.close(), 3),
    "request": (lambda pool, url, held: request_or_refusal(pool, url), 17),
}


@pytest.mark.proofs
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "new"])
def test_a_pool_can_be_used_in_the_middle_of_its_steps(protocol_options: Any, act: str, warm: bool) -> None:
    (url, options), (do, stride) = protocol_options, ACTS[act]

    def at(line: int) -> bool:
        with httpcore.SyncConnectionPool(limits=LIMITS, **options) as pool:
            held = pool.request("GET", f"{url}/200000/half", stream=True)
            if warm:
                pool.request("GET", f"{url}/0/warm")
            interruption = Interruption(lambda: do(pool, url, held), line)
            try:
                response = interruption.during(lambda: pool.request("GET", f"{url}/0/outer"))
                assert isinstance(response, httpcore.SyncResponse)
                assert response.body == b"/0/outer"
            except (httpcore.PoolClosed, httpcore.NetworkError):
                assert act == "close"
            held.close()
            assert is_at_rest(pool)
            if act != "close":
                assert pool.request("GET", f"{url}/0/after").body == b"/0/after"
            elif interruption.has_acted:
                with pytest.raises(httpcore.PoolClosed):
                    pool.request("GET", f"{url}/0/after")
                assert pool.stats().connections == 0
        return interruption.has_acted

    def body() -> None:
        line = 1 + list(ACTS).index(act)
        while at(line):
            line += 5 * stride if options else stride  # over HTTP/2 a request executes more lines
        assert line > 100

    run_with_time_limit(body)


def test_repr_changes_nothing_and_takes_no_lock(protocol_options: Any) -> None:
    url, options = protocol_options
    with httpcore.SyncConnectionPool(limits=httpcore.PoolLimits(keepalive_expiry=0.001), **options) as pool:
        pool.request("GET", f"{url}/0/a")
        # This thread holds the lock for as long as the test needs, which no public call does.
        with pool._pool._leases.lock:
            texts: list[str] = []
            thread = threading.Thread(target=lambda: texts.append(repr(pool)), daemon=True)
            thread.start()
            thread.join(10)
        assert texts == ["<SyncConnectionPool 1 open, 0 leased, 0 waiting>"]


@pytest.mark.proofs
@pytest.mark.parametrize("weak", [True, False], ids=["weakref callback", "finaliser"])
@pytest.mark.parametrize("act", ACTS)
def test_the_collector_may_use_a_pool_at_any_moment(protocol_options: Any, act: str, weak: bool) -> None:
    (url, options), (do, _) = protocol_options, ACTS[act]

    def body() -> None:
        for _ in range(5):
            with httpcore.SyncConnectionPool(limits=LIMITS, **options) as pool:
                try:
                    for number in range(20):
                        with pool.request("GET", f"{url}/200000/half", stream=True) as held:
                            for _ in range(10):
                                Trap(lambda held=held: do(pool, url, held), weak=weak)  # type: ignore[misc]
                            assert pool.request("GET", f"{url}/0/{number}").body == b"/0/%d" % number
                except (httpcore.PoolClosed, httpcore.NetworkError):
                    assert act == "close"
                assert is_at_rest(pool)

    thresholds = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        run_with_time_limit(body)
    finally:
        gc.set_threshold(*thresholds)
        gc.collect()


SIGNALS = """
import asyncio, random, signal, sys, threading, time
import httpcore

url, act, runtime, options = sys.argv[1], sys.argv[2], sys.argv[3], eval(sys.argv[4])
pool = httpcore.SyncConnectionPool(**options) if runtime == "threads" else httpcore.ConnectionPool(**options)
counts = dict.fromkeys(("done", "refused", "closed", "calls"), 0)


def close():
    global pool
    old = pool
    pool = type(old)(**options)
    if runtime == "threads":
        old.close()
    else:
        try:
            old.close().send(None)
        except StopIteration:
            pass


def request():
    if runtime == "threads":
        try:
            pool.request("GET", url + "/0/inner", timeout=0.2)
        except httpcore.LocalProtocolError as error:
            assert "interrupted a step" in str(error), error
            counts["refused"] += 1
        except (httpcore.Timeout, httpcore.NetworkError):
            pass


ACTS = {"repr": lambda: repr(pool), "stats": lambda: pool.stats(), "close": close, "request": request}


def handler(number, frame):
    counts["calls"] += 1
    ACTS[act]()
    if time.monotonic() < ends:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.05 if act == "close" else 0.004))


def again(call):
    try:
        call()
        counts["done"] += 1
    except (httpcore.PoolClosed, httpcore.NetworkError):
        counts["closed"] += 1


async def main():
    async def one():
        while time.monotonic() < ends:
            try:
                await pool.request("GET", url + "/0/x")
                counts["done"] += 1
            except (httpcore.PoolClosed, httpcore.NetworkError):
                counts["closed"] += 1

    await asyncio.gather(*[one() for _ in range(3)])


def busy():
    while time.monotonic() < ends:
        again(lambda: pool.request("GET", url + "/0/x"))


ends = time.monotonic() + 1.0
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
if runtime == "asyncio":
    asyncio.run(main())
else:
    others = [threading.Thread(target=busy) for _ in range(2)]
    for other in others:
        other.start()
    busy()
    for other in others:
        other.join()
signal.setitimer(signal.ITIMER_REAL, 0)
print(counts)
assert counts["done"] and counts["calls"] > 5, counts
"""


@pytest.mark.proofs
@pytest.mark.parametrize("runtime", ["threads", "asyncio"])
@pytest.mark.parametrize("act", ["repr", "stats", "close", "request"])
def test_a_signal_handler_may_use_a_pool_at_any_moment(protocol_options: Any, act: str, runtime: str) -> None:
    url, options = protocol_options
    if (act, runtime) == ("request", "asyncio"):
        pytest.skip("a handler cannot await")
    program = [sys.executable, "-c", SIGNALS, url, act, runtime, repr(options)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
