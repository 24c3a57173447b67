"""From the first request to the end of the process: closing, dropping, other loops, forks, exits, sharing."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from h2_conversation import Conversation
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, ok

import httpcore


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    """Responds with the path as body; /slow sends half of it, and the rest when the next byte is received."""

    def script(peer: Peer) -> None:
        while head := peer.head():
            path = head.split(b" ")[1]
            if path == b"/stuck":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000))
            elif path == b"/half":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000))
                peer.send(bytes(100_000))
            else:
                peer.send(ok(path))

    with ScriptedServer(script) as server:
        yield server


def open_to(server: ScriptedServer) -> int:
    """How many sockets of this process are connected to the server; the server's own ends are not counted."""
    sockets = psutil.Process().net_connections("tcp")
    return sum(1 for sock in sockets if sock.raddr and sock.raddr.port == server.port)


@each_runtime
def test_a_pool_may_be_closed_twice_and_then_refuses_requests(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        http = runtime.pool()
        assert (await http.request("GET", server.url + "/a")).body == b"/a"
        await http.close()
        await http.close()
        assert http.stats().connections == 0
        with pytest.raises(httpcore.PoolClosed):
            await http.request("GET", server.url + "/b")

    runtime.run(main)


@each_runtime
def test_response_that_is_open_stays_readable_when_pool_closes(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        http = runtime.pool()
        response = await http.request("GET", server.url + "/half", stream=True)
        await http.close()
        assert sum([len(piece) async for piece in response.raw()]) == 200_000
        assert http.stats().connections == 0

    runtime.run(main)


@each_runtime
def test_a_pool_that_is_dropped_closes_its_connections(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        http = runtime.pool()
        await http.request("GET", server.url + "/a")
        assert open_to(server) == 1
        del http
        gc.collect()
        await runtime.sleep(0.01)  # uvloop releases a descriptor at its next turn
        assert open_to(server) == 0

    runtime.run(main)


@each_runtime
def test_response_dropped_unread_is_reported_and_frees_its_slot(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        async with runtime.pool(limits=httpcore.PoolLimits(max_connections=1)) as http:
            response = await http.request("GET", server.url + "/half", stream=True)
            with pytest.warns(ResourceWarning, match="dropped unread: http://127.0.0.1"):  # noqa: PT031
                del response
                gc.collect()
            assert (await http.request("GET", server.url + "/next")).body == b"/next"
            assert http.stats().leased == 0

    runtime.run(main)


@each_runtime
def test_a_response_outlives_the_last_name_of_its_pool(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        http = runtime.pool()
        response = await http.request("GET", server.url + "/half", stream=True)
        del http
        gc.collect()
        assert sum([len(piece) async for piece in response.raw()]) == 200_000

    runtime.run(main)


def test_a_pool_moves_to_a_new_loop_when_its_old_one_is_gone(server: ScriptedServer) -> None:
    pool = httpcore.ConnectionPool()

    async def fetch() -> bytes:
        return (await pool.request("GET", server.url + "/a")).body

    assert asyncio.run(fetch()) == b"/a"
    assert asyncio.run(fetch()) == b"/a"
    asyncio.run(pool.close())


def test_a_pool_refuses_a_second_loop_while_its_first_one_lives(server: ScriptedServer) -> None:
    pool = httpcore.ConnectionPool()
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    first.run_until_complete(pool.request("GET", server.url + "/a"))
    with pytest.raises(httpcore.LocalProtocolError, match="another asyncio event loop"):
        second.run_until_complete(pool.request("GET", server.url + "/a"))
    first.run_until_complete(pool.close())
    first.close()
    second.close()


def test_without_a_loop_the_async_pool_names_the_other_pool() -> None:
    coroutine = httpcore.ConnectionPool().request("GET", "http://h/")
    with pytest.raises(httpcore.LocalProtocolError, match="SyncConnectionPool"):
        coroutine.send(None)


def test_the_sync_pool_works_inside_a_running_loop(server: ScriptedServer) -> None:
    async def notebook() -> bytes:
        with httpcore.SyncConnectionPool() as http:
            return http.request("GET", server.url + "/cell").body

    assert asyncio.run(notebook()) == b"/cell"


def test_a_hundred_threads_share_a_pool(server: ScriptedServer) -> None:
    bodies: list[bytes] = []
    with httpcore.SyncConnectionPool(limits=httpcore.PoolLimits(max_connections=10)) as http:

        def work(number: int) -> None:
            for turn in range(5):
                bodies.append(http.request("GET", f"{server.url}/{number}/{turn}", timeout=30).body)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert http.stats().open <= 10
    assert sorted(bodies) == sorted(f"/{number}/{turn}".encode() for number in range(100) for turn in range(5))


def test_collecting_garbage_at_any_moment_does_not_deadlock(server: ScriptedServer) -> None:
    thresholds = gc.get_threshold()
    with httpcore.SyncConnectionPool() as http, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.set_threshold(1)
        try:
            for number in range(50):
                cycle: list[Any] = [http.request("GET", server.url + "/half", stream=True)]
                cycle.append(cycle)
                del cycle
                assert http.request("GET", f"{server.url}/{number}").body == f"/{number}".encode()
        finally:
            gc.set_threshold(*thresholds)
        gc.collect()
        http.request("GET", server.url + "/last")
        assert http.stats().leased == 0


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_child_has_an_empty_pool_and_parents_connection_lives_on(server: ScriptedServer) -> None:
    with httpcore.SyncConnectionPool() as http:
        assert http.request("GET", server.url + "/parent").body == b"/parent"
        child = os.fork()
        if child == 0:
            try:
                empty = http.stats().connections == 0
                right = http.request("GET", server.url + "/child").body == b"/child"
                os._exit(0 if empty and right else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        response = http.request("GET", server.url + "/parent")
        assert response.body == b"/parent"
        assert response.info.reused


USES: dict[str, Callable[[httpcore.SyncResponse, httpcore.SyncBodyStream], object]] = {
    "read": lambda response, body: response.read(),
    "iterate": lambda response, body: list(body),
    "close": lambda response, body: response.close(),
    "close the stream": lambda response, body: body.close(),
}


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_a_response_from_before_a_fork_names_the_fork(use: str, http2: bool) -> None:
    def in_child(response: httpcore.SyncResponse, body: httpcore.SyncBodyStream) -> str:
        try:
            USES[use](response, body)
        except httpcore.ReadError as error:
            return "an error" if "before a fork" in str(error) else str(error)
        return "nothing"

    def script(peer: Peer) -> None:
        if http2:
            Conversation(peer).run()
        while peer.head():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(100_000))

    with ScriptedServer(script) as server, httpcore.SyncConnectionPool(http1=not http2, timeout=5.0) as pool:
        response = pool.request("GET", f"{server.url}/200000/half", stream=True)
        body = response.raw() if use != "read" else None
        if body is not None:
            next(body)
        child = os.fork()
        if child == 0:
            try:
                right = in_child(response, body) == ("an error" if use in ("read", "iterate") else "nothing")  # type: ignore[arg-type]
                os._exit(0 if right and pool.stats().leased == 0 else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        response.close()
        assert pool.stats().leased == 0


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "alive"])
@pytest.mark.parametrize("use", ["read", "iterate", "close"])
@pytest.mark.parametrize("moved", [True, False], ids=["moved", "not moved"])
def test_a_response_of_another_loop_is_refused(server: ScriptedServer, use: str, closed: bool, moved: bool) -> None:
    async def send_request() -> httpcore.Response:
        return await pool.request("GET", server.url + "/stuck", stream=True)

    async def elsewhere() -> str:
        if moved and closed:
            assert (await pool.request("GET", server.url + "/a")).body == b"/a"
        try:
            if use == "close":
                await response.close()
            elif use == "read":
                await response.read()
            else:
                async for _ in response.raw():
                    pass
        except (httpcore.ReadError, httpcore.LocalProtocolError) as error:
            return str(error)
        finally:
            assert pool.stats().leased == 0
        return "closed"

    pool = httpcore.ConnectionPool()
    first = asyncio.new_event_loop()
    response = first.run_until_complete(send_request())
    if closed:
        first.close()
    seen = asyncio.run(elsewhere())
    assert seen == "closed" if use == "close" else "event loop" in seen
    if not closed:
        first.run_until_complete(pool.close())
        first.close()


EXITS = {
    "open sync pool": "pool = httpcore.SyncConnectionPool(); pool.request('GET', url)",
    "open asyncio pool": (
        "pool = httpcore.ConnectionPool()\nasync def main(): await pool.request('GET', url)\nasyncio.run(main())"
    ),
    "half-read response": (
        "pool = httpcore.SyncConnectionPool(); response = pool.request('GET', url + 'half', stream=True)\n"
        "part = next(iter(response.raw()))"
    ),
    "from a thread": (
        "pool = httpcore.SyncConnectionPool()\nthreading.Thread(target=lambda: pool.request('GET', url)).start()"
    ),
    "from atexit": "pool = httpcore.SyncConnectionPool(); atexit.register(lambda: pool.request('GET', url))",
    "a resolver that hangs": (
        "import socket, time\n"
        "socket.getaddrinfo = lambda *a, **k: time.sleep(60)\n"
        "pool = httpcore.SyncConnectionPool(timeout=0.05)\n"
        "try: pool.request('GET', 'http://name.test/')\n"
        "except httpcore.ConnectTimeout: pass"
    ),
}


@pytest.mark.parametrize("program", EXITS.values(), ids=EXITS)
def test_a_process_ends_without_output(program: str, server: ScriptedServer) -> None:
    text = f"import asyncio, atexit, threading, httpcore\nurl = {server.url + '/'!r}\n{program}\n"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_pools_cannot_be_pickled_and_errors_can() -> None:
    for pool in (httpcore.ConnectionPool(), httpcore.SyncConnectionPool()):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(pool)
    classes = [value for name in httpcore.__all__ if isinstance(value := getattr(httpcore, name), type)]
    errors = [kind for kind in classes if issubclass(kind, httpcore.HTTPCoreError)]
    assert len(errors) > 20
    for kind in errors:
        if kind in (httpcore.StreamReset, httpcore.GoAway):
            continue  # these require an error code, and belong to the tests of HTTP/2
        error = kind("it broke", peer="127.0.0.1:80", url="http://h/", method="GET", limit=5.0)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.peer) == (kind, str(error), "127.0.0.1:80")


def test_requests_leave_no_task_and_no_thread_behind(server: ScriptedServer) -> None:
    async def main() -> None:
        before = threading.active_count()
        async with httpcore.ConnectionPool() as http:
            for _ in range(5):
                await http.request("GET", server.url + "/a")
            assert len(asyncio.all_tasks()) == 1
            assert threading.active_count() <= before + 1  # the server may have started a thread for our connection

    asyncio.run(main())


@each_runtime
def test_connection_that_was_idle_for_too_long_is_not_used_again(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        async with runtime.pool(limits=httpcore.PoolLimits(keepalive_expiry=0.05)) as http:
            await http.request("GET", server.url + "/a")
            await runtime.sleep(0.1)
            assert http.stats().connections == 0
            assert not (await http.request("GET", server.url + "/a")).info.reused

    runtime.run(main)
