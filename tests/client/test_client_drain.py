"""`drain` of a client: which calls it waits for, which calls it refuses, and that other clients' calls continue."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from clients import client
from runtimes import Runtime, each_runtime
from servers import Noting, Peer, ScriptedServer, ok
from trials import PROMPT, eventually

import httpcore
from httpcore.testing import Simulation

Client = Any
REFUSED = "the client drains: expected requests before drain"
CHALLENGE = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\nContent-Length: 0\r\n\r\n'
LATER = b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 416 No\r\nContent-Range: bytes */9\r\nContent-Length: 0\r\n\r\n"

# Exact times: a simulated network.


async def get_with_digest(http: Client, path: Path) -> None:
    assert (await http.get("http://a.test/", auth=httpcore.DigestAuth("me", "secret"))).content == b"Hello, world"


async def downloaded(http: Client, path: Path) -> None:
    path.with_name("file.part").write_bytes(b"Hello")
    path.with_name("file.part.json").write_text('{"url": "http://a.test/", "validator": "\\"v\\""}')
    await http.download("http://a.test/", path, resume=True)


async def streamed(http: Client, path: Path) -> None:
    async with http.stream("GET", "http://a.test/") as response:
        async for _ in response.raw():
            await httpcore.current_backend().sleep(1.0)
            break
        await httpcore.current_backend().sleep(1.0)


async def hooked(http: Client, path: Path) -> None:
    async def wait(_: object) -> None:
        await httpcore.current_backend().sleep(3.0)

    http.event_hooks["response"].append(wait)
    await http.get("http://a.test/")


@pytest.mark.parametrize(
    ("what", "answers"),
    [
        (get_with_digest, [ok()]),
        (get_with_digest, [MOVED, MOVED.replace(b"there", b"then"), ok()]),
        (get_with_digest, [CHALLENGE, ok()]),
        (get_with_digest, [CHALLENGE, MOVED, ok()]),
        (get_with_digest, [LATER, MOVED, LATER, ok()]),
        (hooked, [MOVED, ok()]),
        (streamed, [HALF]),
        (streamed, [MOVED, HALF]),
        (downloaded, [MOVED, GONE, ok()]),
    ],
)
def test_drain_ends_with_the_call_to_the_instant(what: Any, answers: list[bytes], tmp_path: Path) -> None:
    """Whenever the drain begins, the call continues through its hops, even if none of its requests is in flight."""

    async def serve(peer: Any) -> None:
        while await peer.recv_until(b"\r\n\r\n"):
            await peer.send(left.pop(0))

    async def play(simulation: Simulation, start: float) -> bool:
        simulation.listen("a.test", 80, serve, connect_delay=0.25, delay_back=0.5)
        retries = httpcore.RetryPolicy(backoff=2.0, jitter=0.0)
        http = httpcore.AsyncClient(transport=httpcore.HTTPTransport(retries=retries), trust_env=False)
        ends: list[float] = []

        async def call() -> None:
            await what(http, tmp_path / "file")
            ends.append(simulation.now)

        task = simulation.spawn(call())
        await simulation.sleep(start)
        early = not ends
        assert await http.drain(0) is not early
        with pytest.raises(httpcore.PoolClosed, match=REFUSED) as caught:
            await http.get("http://a.test/")
        assert caught.value.safe_to_retry is True
        assert await http.drain() is True
        now = simulation.now
        await task.wait()
        task.result()
        assert not early or ends == [now]
        await http.close()
        return early

    start, waits = 0.1, True
    while waits:
        left = list(answers)
        simulation = Simulation()
        waits = simulation.run(play(simulation, start))
        start += 0.5
    assert start > 0.5 * len(answers)


def test_a_drain_that_takes_too_long_says_so_in_time() -> None:
    async def serve(peer: Any) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(ok())

    async def play(simulation: Simulation) -> None:
        simulation.listen("a.test", 80, serve, delay_back=4.0)
        http = httpcore.AsyncClient(trust_env=False, timeout=None)
        task = simulation.spawn(http.get("http://a.test/"))
        await simulation.sleep(1.0)
        began = simulation.now
        assert await http.drain(2.125) is False
        assert simulation.now - began == 2.125
        assert [one.url for one in http.requests()] == ["http://a.test/"]
        await http.close(abort=True)
        assert await http.drain(1.0) is True
        with pytest.raises(httpcore.PoolClosed):
            task.result()

    simulation = Simulation()
    simulation.run(play(simulation))


# Real sockets, in each runtime.


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    def script(peer: Peer) -> None:
        while head := peer.head():
            if b"/away" in head:
                peer.send(MOVED)
            elif b"/raw" in head:
                peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: silence\r\nConnection: upgrade\r\n\r\n")
                peer.rest()
            elif b"/half" in head:
                peer.send(HALF)
                peer.rest()
            else:
                peer.send(ok())

    with ScriptedServer(script) as server:
        yield server


@each_runtime
def test_a_call_between_two_hops_goes_on(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        hops: list[int] = []
        drains: list[bool] = []

        async def wait(response: httpcore.ClientResponse) -> None:
            hops.append(int(response.status_code))
            if len(hops) == 1:
                await eventually(runtime, lambda: bool(drains), "the drain has begun")

        async with client(runtime, event_hooks={"response": [wait]}) as http:

            async def call() -> None:
                assert (await http.get(f"{server.url}/away")).content == b"Hello, world"

            async def drain() -> None:
                await eventually(runtime, lambda: bool(hops), "the call is between two hops")
                assert http.requests() == []
                drains.append(await http.drain(0))
                drains.append(await http.drain(PROMPT))

            await runtime.gather(call, drain)
            assert (hops, drains) == ([302, 200], [False, True])
            assert "draining" in repr(getattr(http, "sync", http))
            assert http.is_closed is False
            stats = [stats for stats in http.transport.stats() if stats is not None][-1]
            assert stats.idle == 1, "drain closes no idle connection"

    runtime.run(main)


@each_runtime
def test_a_raw_stream_is_waited_for_until_it_is_closed(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        for first in ("the stream", "the response"):
            async with client(runtime) as http:
                fields = {"Upgrade": "silence", "Connection": "upgrade"}
                response = await http.get(f"{server.url}/raw", headers=fields)
                assert await http.drain(0) is False
                if first == "the stream":
                    response.extensions["connection"].close()
                else:
                    await response.close()
                assert await http.drain(0) is True

    runtime.run(main)


@each_runtime
def test_a_response_is_waited_for_until_it_is_released(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        for release in ("close", "read", "drop"):
            async with client(runtime) as http:
                path = "/near" if release == "read" else "/half"
                response = await http.request("GET", f"{server.url}{path}", stream=True, max_body=1000)
                assert await http.drain(0) is False
                with pytest.raises(httpcore.PoolClosed, match=REFUSED):
                    await http.get(server.url)
                if release == "drop":
                    with pytest.warns(ResourceWarning, match="dropped unread"):
                        del response
                else:
                    await getattr(response, release)()
                assert await http.drain(PROMPT) is True

    runtime.run(main)


@each_runtime
def test_next_after_a_drain_is_refused_as_a_new_call(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            response = await http.get(f"{server.url}/away", allow_redirects=False)
            assert await http.drain(0) is True
            with pytest.raises(httpcore.PoolClosed, match=REFUSED):
                await response.next()

    runtime.run(main)


@each_runtime
def test_other_clients_of_a_shared_pool_are_left_alone(runtime: Runtime, server: ScriptedServer) -> None:
    async def main() -> None:
        async with runtime.pool() as pool:
            shared = getattr(pool, "sync", pool)
            mine, other = client(runtime, dispatch=shared), client(runtime, dispatch=shared)
            kept = await other.request("GET", f"{server.url}/half", stream=True)
            assert (await mine.get(server.url)).content == b"Hello, world"
            assert len(mine.requests()) == 1, "only the request of the other client"
            assert await mine.drain(0) is True
            assert await other.drain(0) is False
            assert (await pool.request("GET", server.url)).body == b"Hello, world"
            await kept.close()
            await mine.close()
            await other.close()

    runtime.run(main)


# Transports that are not the network.


class Slow(httpcore.Transport):
    """Responds when the test allows it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.has_begun = self.may_end = False

    async def handle(self, request: httpcore.TransportRequest) -> httpcore.TransportResponse:
        self.has_begun = True
        await eventually(self.runtime, lambda: self.may_end, "the body may end")
        return httpcore.TransportResponse(200, [], b"slow")


class TwoEntries(Slow):
    """Like `Slow`, with its own `request` and `arequest`."""

    def request(self, *arguments: Any, **named: Any) -> Any:
        @contextmanager
        def exchange() -> Iterator[Any]:
            self.has_begun = True
            while not self.may_end:
                time.sleep(0.002)
            yield 200, [], [b"slow"], {}

        return exchange()

    def arequest(self, *arguments: Any, **named: Any) -> Any:
        @asynccontextmanager
        async def exchange() -> AsyncIterator[Any]:
            self.has_begun = True
            await eventually(self.runtime, lambda: self.may_end, "the body may end")

            async def pieces() -> AsyncIterator[bytes]:
                yield b"slow"

            yield 200, [], pieces(), {}

        return exchange()

    handle = httpcore.Transport.handle


async def slow_app(scope: Any, receive: Any, send: Any) -> None:
    state = scope["app"]
    state.has_begun = True
    while not state.may_end:
        await httpcore.current_backend().sleep(0.002)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"slow"})


class App(httpcore.ASGITransport):
    """An app that responds when the test allows it."""

    def __init__(self, runtime: Runtime) -> None:
        self.has_begun = self.may_end = False

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await slow_app({**scope, "app": self}, receive, send)

        super().__init__(app, lifespan="off")


def over(make: Callable[[Runtime], Slow], wrap: Callable[[Any], Any]) -> Callable[[Runtime], tuple[Slow, Any]]:
    def made(runtime: Runtime) -> tuple[Slow, Any]:
        slow = make(runtime)
        return slow, wrap(slow)

    return made


@each_runtime
@pytest.mark.parametrize(
    "make",
    [
        over(Slow, lambda slow: slow),
        over(Slow, lambda slow: httpcore.Mounts({"all": httpcore.Middleware(slow)})),
        over(TwoEntries, lambda slow: slow),
        over(App, lambda slow: slow),  # type: ignore[arg-type]  # App has `has_begun` and `may_end` too
    ],
    ids=["handle", "wrapped", "two entries", "an app"],
)
def test_a_client_drains_over_a_transport_that_is_no_pool(
    make: Callable[[Runtime], tuple[Slow, Any]], runtime: Runtime
) -> None:
    slow, transport = make(runtime)

    async def main() -> None:
        async with client(runtime, transport=transport) as http:

            async def call() -> None:
                assert (await http.get("http://a.test/")).content == b"slow"

            async def drain() -> None:
                await eventually(runtime, lambda: slow.has_begun, "the request is in flight")
                assert await http.drain(0.01) is False
                slow.may_end = True
                assert await http.drain(PROMPT) is True

            await runtime.gather(call, drain)

    runtime.run(main)


# Threads, loops and processes.


def test_no_call_passes_a_drain_that_has_ended() -> None:
    """Threads make calls while another thread drains: when the drain ends, no call is in flight, and no further call is
    accepted.
    """

    async def answer(request: httpcore.TransportRequest) -> httpcore.TransportResponse:
        inside.append(True)
        assert not over, "a call is in flight after the drain"
        inside.pop()
        return httpcore.TransportResponse(200, [], b"x")

    class Answers(httpcore.Transport):
        async def handle(self, request: httpcore.TransportRequest) -> httpcore.TransportResponse:
            return await answer(request)

    def work(http: httpcore.Client) -> None:
        try:
            while True:
                http.get("http://a.test/")
        except httpcore.PoolClosed:
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    for _ in range(4):
        inside: list[bool] = []
        over: list[bool] = []
        ended: list[BaseException | None] = []
        http = httpcore.Client(transport=Answers(), trust_env=False)
        threads = [threading.Thread(target=work, args=(http,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert http.drain(PROMPT) is True
        over.append(True)
        for thread in threads:
            thread.join(PROMPT)
        assert (inside, ended) == ([], [None] * 3)
        http.close()


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)], ids=["asyncio", "trio"])
def test_a_drain_in_another_loop_disturbs_no_call(run: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    slow = Slow(Runtime())
    http = httpcore.AsyncClient(transport=slow, trust_env=False)
    drained: list[bool] = []

    class LoopRuntime(Runtime):
        async def sleep(self, seconds: float) -> None:
            await httpcore.current_backend().sleep(seconds)

    slow.runtime = LoopRuntime()

    async def drain() -> None:
        drained.append(await http.drain(PROMPT))

    async def main() -> None:
        assert (await http.get("http://a.test/")).content == b"slow"

    caller = threading.Thread(target=run, args=(main(),))
    caller.start()
    ends = time.monotonic() + PROMPT
    while not slow.has_begun:
        assert time.monotonic() < ends
        time.sleep(0.002)
    thread = threading.Thread(target=lambda: asyncio.run(drain(), debug=True))
    thread.start()
    time.sleep(0.02)
    slow.may_end = True
    thread.join(PROMPT)
    caller.join(PROMPT)
    assert drained == [True]
    asyncio.run(http.close())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_the_child_of_a_fork_waits_for_no_call_of_its_parent(server: ScriptedServer) -> None:
    with httpcore.Client(trust_env=False) as http, http.stream("GET", f"{server.url}/half"):
        child = os.fork()
        if not child:
            os._exit(0 if http.drain(0) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert http.drain(0) is False


@pytest.mark.parametrize("timeout", ["soon", True, -1.0, float("nan")])
def test_a_timeout_of_another_type_is_an_error(timeout: Any) -> None:
    http = httpcore.Client(trust_env=False)
    with pytest.raises((TypeError, ValueError), match="timeout is"):
        http.drain(timeout)
    assert "open" in repr(http)


def test_a_closed_client_has_nothing_in_flight() -> None:
    http = httpcore.Client(trust_env=False)
    http.close()
    assert http.drain() is True
    with pytest.raises(httpcore.PoolClosed, match="the client is closed") as caught:
        http.get("http://a.test/")
    assert caught.value.safe_to_retry is True


def test_noted_requests_of_a_drained_client_are_those_before(server: ScriptedServer) -> None:
    script = Noting(ok())
    with ScriptedServer(script) as noting, httpcore.Client(trust_env=False) as http:
        http.get(noting.url)
        assert http.drain(0) is True
        for call in (http.get, http.head, http.delete):
            with pytest.raises(httpcore.PoolClosed):
                call(noting.url)
        with pytest.raises(httpcore.PoolClosed):
            http.download(noting.url, os.devnull)
    assert len(script.heads) == 1
