"""`httpcore.testing` and `backend=` through their public names, as a library that builds on httpcore uses them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from runtimes import Runtime, each_runtime
from servers import ScriptedServer, ok

import httpcore
from httpcore import testing
from httpcore.testing import (
    Cancelled,
    Deadlock,
    ServerEnd,
    Simulation,
    Strike,
    Task,
    at_every_await,
    cancel,
    cut_connections,
    reset_connections,
    skip_time,
)

ROOT = Path(__file__).resolve().parents[2]
URL = "http://example.com/"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def serve(peer: ServerEnd) -> None:
    while not peer.eof:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(OK)


async def silent(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await peer.scheduler.sleep(3600)


def serving(handler: testing.Handler = serve, **place: Any) -> Simulation:
    simulation = Simulation()
    simulation.listen("example.com", 80, handler, **place)
    return simulation


# The public names.


def test_every_name_of_the_package_is_marked_public() -> None:
    assert testing.__all__ == sorted(testing.__all__)
    for name in testing.__all__:
        if name not in ("Handler", "Scenario", "Strike"):
            assert getattr(testing, name).__module__ == "httpcore.testing"
            assert getattr(testing, name).__doc__


def test_every_public_method_of_testing_has_a_docstring() -> None:
    protocols = (testing.SimulatedBackend, testing.BlockingSimulatedBackend, testing.SimulatedStream)
    for name in testing.__all__:
        value = getattr(testing, name)
        if isinstance(value, type) and value not in protocols:  # their docstrings are at `Backend` and `Stream`
            bare = [key for key, item in vars(value).items() if key[0] != "_" and callable(item) and not item.__doc__]
            assert not bare, f"{name}: {bare}"


def test_every_method_of_a_public_protocol_has_a_docstring() -> None:
    for protocol in (httpcore.Backend, httpcore.Stream, httpcore.Event):
        bare = [key for key, item in vars(protocol).items() if key[0] != "_" and not item.__doc__]
        assert not bare, f"{protocol.__name__}: {bare}"


PROGRAM = """
import httpcore
from httpcore import testing

def backends(simulation: testing.Simulation) -> list[httpcore.Backend]:
    with simulation.blocking() as blocking:
        found = [simulation.backend(), blocking, httpcore.current_backend(), httpcore.threads_backend()]
    return [*found, testing.SimulatedBackend(simulation, simulation)]

def event(simulation: testing.Simulation) -> httpcore.Event:
    return simulation.event()

def stream(backend: testing.SimulatedBackend, connection: testing.Connection) -> httpcore.Stream:
    return testing.SimulatedStream(backend, connection)

httpcore.ConnectionPool(backend=testing.Simulation().backend())
httpcore.SyncConnectionPool(backend=httpcore.threads_backend())
"""
WRONG = """
import httpcore
from httpcore import testing

httpcore.ConnectionPool(backend="asyncio")
httpcore.ConnectionPool(backend=testing.Simulation())
testing.Simulation().run(len)
testing.at_every_await(testing.cancel, testing.cancel)
"""


def checked_by_mypy(tmp_path: Path, program: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", str(path)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.splitlines()


def test_backends_streams_and_events_match_the_protocols(tmp_path: Path) -> None:
    assert checked_by_mypy(tmp_path, PROGRAM) == []


def test_a_type_checker_refuses_wrong_arguments(tmp_path: Path) -> None:
    errors = [line for line in checked_by_mypy(tmp_path, WRONG) if ": error:" in line]
    assert [int(line.split(":")[1]) for line in errors] == [5, 6, 7, 8]


# A pool that is given a backend.


@pytest.mark.parametrize("value", ["asyncio", object(), Simulation(), Simulation])
@pytest.mark.parametrize("kind", [httpcore.ConnectionPool, httpcore.SyncConnectionPool])
def test_backend_of_another_type_is_refused(kind: Callable[..., object], value: object) -> None:
    with pytest.raises(TypeError, match=r"^backend is .*: expected .*Backend, or None"):
        kind(backend=value)


def test_a_pool_with_a_backend_looks_for_no_other() -> None:
    class Unrequested(testing.SimulatedBackend):
        def is_current(self) -> bool:
            raise AssertionError("asked whether it is current")

        def is_gone(self) -> bool:
            raise AssertionError("asked whether it is gone")

    simulation = serving()
    other = Simulation()

    async def main() -> None:
        async with httpcore.ConnectionPool(backend=Unrequested(simulation, simulation)) as http:
            for _ in range(2):
                assert (await http.request("GET", URL)).body == b"ok"

    simulation.run(main())
    assert len(simulation.connections) == 1
    assert not other.connections


def test_a_pool_finds_the_simulation_that_runs_it() -> None:
    simulation = serving()

    async def main() -> httpcore.Backend:
        async with httpcore.ConnectionPool() as http:
            await http.request("GET", URL)
        return httpcore.current_backend()

    assert simulation.run(main()) is simulation.backend()
    with pytest.raises(httpcore.LocalProtocolError, match="no event loop is running here"):
        httpcore.current_backend()


def test_another_thread_does_not_find_the_simulation() -> None:
    simulation = Simulation()
    seen: list[object] = []

    def look() -> None:
        try:
            seen.append(httpcore.current_backend())
        except httpcore.LocalProtocolError as error:
            seen.append(error)

    async def main() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    simulation.run(main())
    assert isinstance(seen[0], httpcore.LocalProtocolError)


class CountingBackend:
    """Counts connects, and passes all other calls to the backend that it wraps."""

    def __init__(self, backend: httpcore.Backend) -> None:
        self.wrapped = backend
        self.connects = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)

    async def connect_tcp(self, addresses: Sequence[str], port: int, timeout: float | None, **named: Any) -> Any:
        self.connects += 1
        return await self.wrapped.connect_tcp(addresses, port, timeout, **named)


@each_runtime
def test_a_wrapped_backend_works_on_every_runtime(runtime: Runtime) -> None:
    def follow(peer: Any) -> None:
        while peer.head():
            peer.send(ok(b"yes"))

    async def body() -> None:
        inner = httpcore.threads_backend() if runtime.name == "threads" else httpcore.current_backend()
        backend = CountingBackend(inner)
        async with runtime.pool(backend=backend) as http:
            for _ in range(3):
                assert (await http.request("GET", server.url)).body == b"yes"
        assert backend.connects == 1

    with ScriptedServer(follow) as server:
        runtime.run(body)


# A blocking pool.


def test_a_backend_that_suspends_is_named_by_the_blocking_pool() -> None:
    async def main() -> None:
        with (
            httpcore.SyncConnectionPool(backend=httpcore.current_backend()) as http,
            pytest.raises(RuntimeError, match=r"ConnectionPool\.request.*: SyncConnectionPool expected a backend"),
        ):
            http.request("GET", "http://localhost:1/")
        assert (http.stats().leased, http.stats().dialing) == (0, 0)

    trio.run(main)
    asyncio.run(main())
    serving().run(main())
    with pytest.raises(RuntimeError, match=r"outside of Simulation\.run: .* \(plain code uses Simulation\.blocking\)"):
        httpcore.SyncConnectionPool(backend=serving().backend()).request("GET", URL)


def test_blocking_code_runs_against_scripted_peers() -> None:
    simulation = serving(delay_back=2.0)
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend, timeout=5) as http:
        assert http.request("GET", URL).body == b"ok"
        with http.request("GET", URL, stream=True) as response:
            assert b"".join(response.stream()) == b"ok"
        assert http.stats().idle == 1
    assert simulation.connections[0].closed_by == "client"
    assert simulation.now == 4.0
    assert backend.is_gone()


def test_a_timeout_of_blocking_code_takes_virtual_time() -> None:
    simulation = serving(silent)
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend, timeout=30) as http:
        with pytest.raises(httpcore.ReadTimeout):
            http.request("GET", URL)
        with pytest.raises(httpcore.ConnectError, match="does not resolve"):
            http.request("GET", "http://unknown.example/")
        simulation.blackhole("example.com", 80)
        with pytest.raises(httpcore.ConnectTimeout):
            http.request("GET", URL)
    assert simulation.now == 60.0


def test_blocking_retries_pause_by_the_virtual_clock() -> None:
    simulation = Simulation()
    simulation.refuse("example.com", 80)
    with (
        simulation.blocking() as backend,
        httpcore.SyncConnectionPool(backend=backend, retries=3) as http,
        pytest.raises(httpcore.ConnectError),
    ):
        http.request("GET", URL)
    assert len(simulation.attempts) == 4
    assert simulation.now > 0


def test_blocking_request_waits_for_a_connection_in_virtual_time() -> None:
    simulation = serving()
    limits = httpcore.PoolLimits(max_connections=1)
    with (
        simulation.blocking() as backend,
        httpcore.SyncConnectionPool(backend=backend, limits=limits, timeout=7) as http,
        http.request("GET", URL + "a", stream=True) as response,
    ):
        response.close()
        assert http.request("GET", URL).body == b"ok"
        simulation.listen("example.com", 81, half)
        with http.request("GET", "http://example.com:81/", stream=True), pytest.raises(httpcore.PoolTimeout):
            http.request("GET", URL)
    assert simulation.now == 7.0


async def half(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await peer.send(OK[:-1])
    await peer.scheduler.sleep(3600)


def test_blocking_upgrades_send_and_receive_in_both_directions() -> None:
    async def upgrade(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        while data := await peer.recv():
            await peer.send(data.upper())
        await peer.send(b"bye")

    simulation = serving(upgrade)
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend) as http:
        fields = {"Connection": "upgrade", "Upgrade": "echo"}
        raw = http.request("GET", URL, fields, stream=True).connection
        assert raw is not None
        raw.send(b"hello")
        assert raw.recv() == b"HELLO"
        raw.end()
        assert raw.recv() == b"bye"
        raw.close()


def test_blocking_code_uploads_a_file_to_a_unix_socket(tmp_path: Path) -> None:
    async def receive(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        received.append(await peer.recv_exactly(1_000_000))
        await peer.send(OK)

    received: list[bytes] = []
    path = tmp_path / "body"
    path.write_bytes(b"x" * 1_000_000)
    simulation = Simulation()
    simulation.listen("/run/app.sock", None, receive, window=1000)
    with (
        simulation.blocking() as backend,
        httpcore.SyncConnectionPool(backend=backend, uds="/run/app.sock") as http,
        path.open("rb") as file,
    ):
        assert http.request("PUT", URL, body=file).body == b"ok"
    assert received == [b"x" * 1_000_000]


def test_a_blocking_backend_waits_by_the_virtual_clock() -> None:
    simulation = Simulation()
    with simulation.blocking() as backend:
        event = backend.event()
        simulation.call_at(5.0, event.set)

        async def wait() -> tuple[bool, bool]:
            await backend.sleep(1.0)
            return await event.wait(1.0), await event.wait(None)

        with pytest.raises(StopIteration) as end:  # it never suspends
            wait().send(None)
    assert end.value.value == (False, True)
    assert simulation.now == 5.0
    assert backend.is_current()


def test_a_failed_script_fails_the_blocking_run() -> None:
    async def broken(peer: ServerEnd) -> None:
        raise ValueError("bad script")

    simulation = serving(broken)
    with (
        pytest.raises(ValueError, match="bad script"),
        simulation.blocking() as backend,
        httpcore.SyncConnectionPool(backend=backend) as http,
        pytest.raises(httpcore.HTTPCoreError),
    ):
        http.request("GET", URL)


def test_a_blocking_call_that_cannot_end_is_a_deadlock() -> None:
    simulation = serving(silent_for_ever)
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend, timeout=None) as http:
        with pytest.raises(Deadlock, match=r"read waits for bytes from example\.com:80"):
            http.request("GET", URL)
        assert http.stats().leased == 0


async def silent_for_ever(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await testing.SimulatedEvent(peer.scheduler).wait(None)


def test_a_simulation_runs_once_with_either_method() -> None:
    simulation = serving()
    with simulation.blocking():
        pass
    with pytest.raises(RuntimeError, match="this Simulation has already run"), simulation.blocking():
        pass

    async def main() -> None: ...

    with pytest.raises(RuntimeError, match="this Simulation has already run"):
        simulation.run(main())


def test_a_blocking_call_inside_a_task_is_refused() -> None:
    simulation = serving()
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend) as http:

        async def task() -> None:
            http.request("GET", URL)

        with pytest.raises(RuntimeError, match=r"inside the task task [0-9]+: expected it from plain code"):
            simulation.drive(task())


def test_blocking_code_speaks_http2_by_prior_knowledge() -> None:
    h2 = pytest.importorskip("h2.connection")

    async def speak(peer: ServerEnd) -> None:
        server = h2.H2Connection(h2.H2Configuration(client_side=False))
        server.initiate_connection()
        await peer.send(server.data_to_send())
        while data := await peer.recv():
            for event in server.receive_data(data):
                if type(event).__name__ == "RequestReceived":
                    server.send_headers(event.stream_id, [(":status", "200")])
                    server.send_data(event.stream_id, b"two", end_stream=True)
            await peer.send(server.data_to_send())

    simulation = serving(speak)
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend, http1=False) as http:
        response = http.request("GET", URL)
        assert (response.protocol, response.body) == ("HTTP/2", b"two")


# The sweep.


class Gate:
    def __init__(self) -> None:
        self.free = 1


async def with_leak(http: httpcore.ConnectionPool, gate: Gate) -> None:
    gate.free -= 1
    await http.request("GET", URL)
    gate.free += 1


async def without_leak(http: httpcore.ConnectionPool, gate: Gate) -> None:
    gate.free -= 1
    try:
        await http.request("GET", URL)
    finally:
        gate.free += 1


Code = Callable[[httpcore.ConnectionPool, Gate], Coroutine[object, None, None]]


def scenario_of(code: Code, ends: list[BaseException | None]) -> testing.Scenario:
    async def scenario(simulation: Simulation) -> None:
        simulation.listen("example.com", 80, serve)
        gate = Gate()
        async with httpcore.ConnectionPool(timeout=5) as http:
            victim = await simulation.victim(code(http, gate))
            ends.append(victim.error)
            assert gate.free == 1, "the gate has lost a place"
            assert http.stats().leased == 0

    return scenario


STRIKES: dict[str, tuple[Strike, tuple[type[BaseException], ...]]] = {
    "cancel": (cancel, (Cancelled,)),
    "reset": (reset_connections, (httpcore.ReadError, httpcore.WriteError)),
    "cut": (cut_connections, (httpcore.ReadTimeout,)),
    "time": (skip_time(60), (httpcore.ConnectTimeout, httpcore.ReadTimeout, httpcore.WriteTimeout)),
}
each_strike = pytest.mark.parametrize("name", STRIKES)


@each_strike
def test_a_sweep_finds_a_leak_and_names_the_moment(name: str) -> None:
    with pytest.raises(AssertionError, match="the gate has lost a place") as caught:
        at_every_await(scenario_of(with_leak, []), STRIKES[name][0])
    assert any(note.startswith("moment ") and "its wait for " in note for note in caught.value.__notes__)


@each_strike
@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_sweep_passes_code_that_cleans_up(name: str, checkpoints: bool) -> None:
    strike, errors = STRIKES[name]
    ends: list[BaseException | None] = []
    moments = at_every_await(scenario_of(without_leak, ends), strike, make=lambda: Simulation(checkpoints=checkpoints))
    assert len(ends) == moments + 1
    assert {type(end) for end in ends if end is not None} <= set(errors)
    if name != "time" or checkpoints:  # otherwise the data arrives in time
        assert any(end is not None for end in ends)


def test_a_strike_gets_the_simulation_and_the_victim() -> None:
    seen: list[str] = []

    def strike(simulation: Simulation, victim: Task[object]) -> None:
        seen.append(f"{victim.name} at {simulation.now:g}: {victim.waiting_for}")

    at_every_await(scenario_of(without_leak, []), strike)
    assert seen[0] == "victim at 0: its first turn"
    assert "bytes from example.com:80" in " ".join(seen)


# The cost of a pool, and the memory that it keeps.


@pytest.fixture
def simulation() -> Simulation:
    return serving()


def test_a_task_of_any_result_is_a_task_of_object(simulation: Simulation) -> None:
    async def number() -> int:
        return 7

    async def main() -> int:
        task = simulation.spawn(number())
        wide: Task[object] = task
        await wide.wait()
        return task.result()

    assert simulation.run(main()) == 7


def test_awaiting_another_runtime_is_named(simulation: Simulation) -> None:
    async def main() -> None:
        future: asyncio.Future[None] = asyncio.Future(loop=loop)
        await future

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(RuntimeError, match=r"main awaits <Future .*which does not belong to this simulation"):
            simulation.run(main())
    finally:
        loop.close()


def test_wake_ends_the_waits_of_a_stream_as_a_timeout_does() -> None:
    async def never_read(peer: ServerEnd) -> None:
        await testing.SimulatedEvent(peer.scheduler).wait(None)

    simulation = serving(never_read, window=1)
    backend = testing.SimulatedBackend(simulation, simulation)

    async def main() -> None:
        stream = testing.SimulatedStream(backend, await simulation.connect(["example.com"], 80, None, None, None, ()))
        assert await stream.write_some(b"x", None) == 1
        reading = simulation.spawn(stream.read(10, None))
        writing = simulation.spawn(stream.write_some(b"y", None, duplex=True))
        await simulation.sleep(1)
        assert not reading.done
        assert not writing.done
        stream.wake()
        await reading.wait()
        await writing.wait()
        assert isinstance(reading.error, httpcore.ReadTimeout)
        assert isinstance(writing.error, httpcore.WriteTimeout)

    simulation.run(main())
    assert simulation.now == 1.0


@pytest.mark.parametrize("watches", [True, False])
def test_call_soon_calls_from_the_scheduler_where_streams_watch(watches: bool) -> None:
    simulation = Simulation(watches=watches)
    backend = testing.SimulatedBackend(simulation, simulation, watches=watches)
    calls: list[float] = []

    async def main() -> None:
        assert backend.call_soon(lambda: calls.append(simulation.now)) is watches
        assert not calls
        await simulation.sleep(0)

    simulation.run(main())
    assert calls == ([0.0] if watches else [])
    with Simulation().blocking() as blocking:
        assert isinstance(blocking, testing.BlockingSimulatedBackend)
        assert not blocking.call_soon(calls.clear)
