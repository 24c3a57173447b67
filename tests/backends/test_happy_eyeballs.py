"""Happy Eyeballs (RFC 8305): the pace as a table, the race in memory at every await, and over real sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import pickle
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from typing import Any

import pytest
import trio
from places import black_hole
from runtimes import Runtime, each_runtime
from servers import ScriptedServer, answering, free_port, ok

import httpcore
from httpcore import ConnectError, ConnectTimeout, TimeoutConfig
from httpcore._backends.base import Backend, Stream
from httpcore._backends.happy_eyeballs import Race
from httpcore._connect.network import Network, reach
from httpcore.testing import Connection, ServerEnd, Task
from httpcore.testing import Simulation as MemoryRuntime
from httpcore.testing import at_every_await as at_every_point

LONG = 10.0
DUAL = ["2001:db8::1", "192.0.2.1"]


# The pace.


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def paced(addresses: str, timeout: float | None, events: str = "") -> tuple[str, Clock]:
    """Play a race of addresses named a, b, ...: returns which attempt begins when, in milliseconds. Events: "b400" is a
    failure of b at 400.
    """
    clock = Clock()
    race = Race("host:80", list(addresses), timeout, clock)
    failures = [(100.0 + int(event[1:]) / 1000, event[0]) for event in events.split()]
    begun, under_way = [], set()
    while True:
        while failures and failures[0][0] <= clock.now:
            name = failures.pop(0)[1]
            under_way.discard(name)
            race.failed(name, ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
        while (address := race.next()) is not None:
            begun.append(f"{address}{round((clock.now - 100.0) * 1000)}")
            under_way.add(address)
        race.check(sorted(under_way))
        if len(begun) == len(addresses) and not failures:
            return " ".join(begun), clock
        wait = race.wait()
        until = inf if wait is None else clock.now + wait
        clock.now = min([until, *[at for at, _ in failures[:1]]])


@pytest.mark.parametrize(
    ("addresses", "timeout", "events", "begun"),
    [
        ("a", None, "", "a0"),
        ("ab", None, "", "a0 b250"),
        ("abcd", None, "", "a0 b250 c500 d750"),
        ("abcd", 5.0, "", "a0 b250 c500 d750"),
        ("abc", None, "a100", "a0 b100 c350"),
        ("abc", None, "a1", "a0 b1 c251"),
        ("abc", None, "a100 b100", "a0 b100 c350"),  # both failures are reported together: one attempt begins, not two
        ("abc", None, "a300", "a0 b250 c300"),
        ("abcd", None, "a300 b310", "a0 b250 c300 d310"),
        ("abc", None, "b260 a270", "a0 b250 c260"),
        ("abcd", 0.4, "", "a0 b100 c200 d300"),  # each attempt has less than 250 ms, but all are tried
    ],
)
def test_the_next_address_begins_after_250_ms_or_a_failure(
    addresses: str, timeout: float | None, events: str, begun: str
) -> None:
    assert paced(addresses, timeout, events)[0] == begun


def test_sixteen_addresses_are_tried_within_the_default_timeout() -> None:
    begun, clock = paced("abcdefghijklmnop", 5.0)
    assert len(begun.split()) == 16
    assert clock.now < 105.0


def test_the_error_names_every_failure_and_has_the_last_errno() -> None:
    race = Race("example.com:80", ["a", "b"], 5.0, Clock())
    for name, number in (("a", errno.ECONNREFUSED), ("b", errno.ENETUNREACH)):
        assert race.next() == name
        race.failed(f"{name}:80", OSError(number, os.strerror(number)))
    with pytest.raises(ConnectError) as caught:
        race.check([])
    assert caught.value.message == (
        "cannot connect to example.com:80: a:80: Connection refused (ECONNREFUSED); "
        "b:80: Network is unreachable (ENETUNREACH)"
    )
    assert caught.value.errno == errno.ENETUNREACH
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_timeout_counts_silent_failed_and_untried_addresses() -> None:
    clock = Clock()
    race = Race("example.com:80", list("abcde"), 0.05, clock)
    assert race.next() == "a"
    race.failed("a:80", ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert (race.next(), race.next()) == ("b", None)
    clock.now += 0.0101
    assert (race.next(), race.next()) == ("c", None)
    race.check(["b:80", "c:80"])
    clock.now += 1.0
    with pytest.raises(ConnectTimeout) as caught:
        race.check(["b:80", "c:80"])
    assert caught.value.message == (
        "cannot connect to example.com:80: a:80: Connection refused (ECONNREFUSED); "
        "b:80: no answer in time; c:80: no answer in time; "
        "there was no time to try 2 more"
    )
    assert caught.value.limit == 0.05


def test_a_refusal_by_all_as_the_time_ends_is_a_refusal() -> None:
    clock = Clock()
    race = Race("a:80", ["a"], 1.0, clock)
    assert race.next() == "a"
    clock.now += 2.0
    race.failed("a:80", ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    with pytest.raises(ConnectError, match="cannot connect to a:80: Connection refused"):
        race.check([])


# The race, on a clock that the test owns: rows 10 and 41 of docs/security.md.


async def greet(peer: ServerEnd) -> None:
    await peer.send(b"hello")
    while await peer.recv():
        pass


def race_to(runtime: MemoryRuntime, addresses: list[str] = DUAL, timeout: float | None = 5.0) -> Stream:
    streams: list[Stream] = []

    async def main() -> None:
        stream = await runtime.backend().connect_tcp(addresses, 80, timeout, target="a.test:80")
        assert await stream.read(5, timeout) == b"hello"
        streams.append(stream)
        stream.close()

    runtime.run(main())
    return streams[0]


@pytest.mark.parametrize("addresses", [DUAL, DUAL[::-1]])
def test_a_dead_first_address_costs_a_quarter_of_a_second(addresses: list[str]) -> None:
    runtime = MemoryRuntime()
    runtime.blackhole(addresses[0], 80)
    runtime.listen(addresses[1], 80, greet, connect_delay=0.04)
    race_to(runtime, addresses)
    assert runtime.attempts == [(addresses[0], 80), (addresses[1], 80)]
    assert runtime.now == pytest.approx(0.29)


@pytest.mark.parametrize("addresses", [DUAL, DUAL[::-1]])
def test_a_first_address_that_refuses_costs_no_wait(addresses: list[str]) -> None:
    runtime = MemoryRuntime()
    runtime.refuse(addresses[0], 80, connect_delay=0.03)
    runtime.listen(addresses[1], 80, greet, connect_delay=0.04)
    race_to(runtime, addresses)
    assert runtime.now == pytest.approx(0.07)


def test_first_address_that_answers_in_time_is_only_one_tried() -> None:
    runtime = MemoryRuntime()
    runtime.listen(DUAL[0], 80, greet, connect_delay=0.249)
    runtime.listen(DUAL[1], 80, greet)
    race_to(runtime)
    assert runtime.attempts == [(DUAL[0], 80)]


def test_slow_first_address_may_still_win_and_loser_is_closed() -> None:
    runtime = MemoryRuntime()
    runtime.listen(DUAL[0], 80, greet, connect_delay=0.3)
    runtime.listen(DUAL[1], 80, greet, connect_delay=1.0)
    assert race_to(runtime).info().peer == "[2001:db8::1]:80"
    assert runtime.now == pytest.approx(0.3)
    assert [connection.host for connection in runtime.connections] == [DUAL[0]]


def test_of_two_that_answer_at_once_the_first_of_the_order_wins() -> None:
    runtime = MemoryRuntime()
    runtime.listen(DUAL[0], 80, greet, connect_delay=0.75)
    runtime.listen(DUAL[1], 80, greet, connect_delay=0.5)
    assert race_to(runtime).info().peer == "[2001:db8::1]:80"


def test_an_address_that_answers_as_the_time_ends_wins() -> None:
    runtime = MemoryRuntime()
    runtime.blackhole(DUAL[0], 80)
    runtime.listen(DUAL[1], 80, greet, connect_delay=0.75)
    race_to(runtime, timeout=1.0)
    assert runtime.now == pytest.approx(1.0)


def test_silent_addresses_and_refusing_ones_are_distinguished() -> None:
    runtime = MemoryRuntime()
    addresses = ["2001:db8::1", "192.0.2.1", "2001:db8::2"]
    runtime.blackhole(addresses[0], 80)
    runtime.refuse(addresses[1], 80)
    runtime.blackhole(addresses[2], 80)
    with pytest.raises(ConnectTimeout) as caught:
        race_to(runtime, addresses, timeout=3.0)
    assert runtime.now == pytest.approx(3.0)
    assert caught.value.message == (
        "cannot connect to a.test:80: 192.0.2.1:80: connection refused; "
        "[2001:db8::1]:80: no answer in time; [2001:db8::2]:80: no answer in time"
    )
    assert caught.value.limit == 3.0


@pytest.mark.parametrize("broken", range(4))
def test_one_living_address_of_four_is_found_wherever_it_stands(broken: int) -> None:
    addresses = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]
    runtime = MemoryRuntime()
    for number, address in enumerate(addresses):
        if number == broken:
            runtime.listen(address, 80, greet)
        elif number % 2:
            runtime.refuse(address, 80)
        else:
            runtime.blackhole(address, 80)
    assert addresses[broken] in race_to(runtime, addresses).info().peer


def test_order_of_the_addresses_may_change_between_two_connects() -> None:
    runtime = MemoryRuntime()
    runtime.blackhole(DUAL[0], 80)
    runtime.listen(DUAL[1], 80, greet)
    begun: list[float] = []

    async def main() -> None:
        for order in (DUAL, DUAL[::-1], DUAL):
            runtime.resolve("a.test", order)
            before = runtime.now
            stream = await reach(runtime.backend(), Network(), "a.test", 80, lambda: 5.0)
            assert stream.info().peer == "192.0.2.1:80"
            begun.append(runtime.now - before)

    runtime.run(main())
    assert begun == pytest.approx([0.25, 0.0, 0.25])


def strike_at_every_await(act: Callable[[MemoryRuntime, Task[Any]], object]) -> int:
    """Strike, at each await, a connect that races three addresses; and count the remaining sockets."""

    async def scenario(runtime: MemoryRuntime) -> None:
        runtime.blackhole("2001:db8::1", 80)
        runtime.refuse("192.0.2.1", 80, connect_delay=0.1)
        runtime.listen("2001:db8::2", 80, greet, connect_delay=0.3)
        runtime.resolve("a.test", ["2001:db8::1", "2001:db8::2", "192.0.2.1"], delay=0.1)
        task = await runtime.victim(reach(runtime.backend(), Network(), "a.test", 80, lambda: 2.0))
        if task.error is None:
            task.result().close()
        assert not task.lingered
        assert runtime.open_connections == []
        await runtime.sleep(10.0)
        assert len(runtime.connections) <= 1  # no attempt continues after the connect has ended
        if runtime.connections:
            assert runtime.connections[0].client_closed

    return at_every_point(scenario, act)


def test_a_connect_cancelled_at_any_await_leaves_nothing() -> None:
    assert strike_at_every_await(lambda runtime, victim: victim.cancel()) > 8


def test_a_network_that_is_cut_at_any_await_ends_in_time() -> None:
    assert strike_at_every_await(lambda runtime, victim: runtime.cut()) > 8


# Real sockets.


def open_sockets() -> set[str]:
    """The sockets of this process, by inode: a server of an earlier test may close one meanwhile, but inodes are
    unique.
    """
    return {link for link in map(link_of, os.listdir("/proc/self/fd")) if link.startswith("socket:")}


def link_of(descriptor: object) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""  # the descriptor has been closed meanwhile


@contextmanager
def black_holes(port: int, *hosts: str) -> Iterator[None]:
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(black_hole(host, port))
        yield


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(answering(ok())) as scripted:
        yield scripted


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")


def backend_of(runtime: Runtime) -> Backend:
    """The backend of a runtime; to be called inside that runtime."""
    if runtime.name == "threads":
        from httpcore._backends.threads import BlockingBackend

        return BlockingBackend()
    from httpcore._backends import current_backend

    return current_backend()


@each_runtime
@pytest.mark.parametrize("before", [["127.0.0.2"], pytest.param(["::1", "127.0.0.2"], marks=needs_ipv6)])
def test_blackholed_first_addresses_cost_about_250_ms_each(
    runtime: Runtime, server: ScriptedServer, before: list[str]
) -> None:
    async def body() -> float:
        async with runtime.pool(resolve={"a.test": [*before, "127.0.0.1"]}, timeout=LONG) as http:
            begun = time.monotonic()
            response = await http.request("GET", f"http://a.test:{server.port}/")
            taken = time.monotonic() - begun
            assert response.body == b"Hello, world"
            assert response.info.peer == f"127.0.0.1:{server.port}"
        return taken

    with black_holes(server.port, *before):
        # One attempt takes 251 to 255 ms on an idle machine.
        assert 0.25 * len(before) <= runtime.run(body) < 0.25 * len(before) + 2.0


@each_runtime
def test_a_refused_first_address_costs_no_quarter(runtime: Runtime, server: ScriptedServer) -> None:
    refusing = ["127.0.0.2", "::1", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.7", "127.0.0.8"]

    async def body() -> float:
        async with runtime.pool(resolve={"a.test": [*refusing, "127.0.0.1"]}, timeout=LONG) as http:
            begun = time.monotonic()
            response = await http.request("GET", f"http://a.test:{server.port}/")
            assert response.info.peer == f"127.0.0.1:{server.port}"
        return time.monotonic() - begun

    assert runtime.run(body) < 0.25 * len(refusing)  # the race takes a few milliseconds


@each_runtime
def test_the_losers_are_closed_when_one_has_won(runtime: Runtime, server: ScriptedServer) -> None:
    async def body() -> None:
        backend = backend_of(runtime)
        before = open_sockets()
        stream = await backend.connect_tcp(["127.0.0.2", "127.0.0.3", "127.0.0.1"], server.port, LONG)
        opened = open_sockets() - before
        await until_accepted()
        assert len(opened - accepted()) == 1
        stream.close()

    async def until_accepted() -> None:
        ends = time.monotonic() + LONG
        while not accepted():
            assert time.monotonic() < ends
            await runtime.sleep(0.01)

    def accepted() -> set[str]:
        return {link_of(sock.fileno()) for sock in server.open_sockets()}

    with black_holes(server.port, "127.0.0.2", "127.0.0.3"):
        runtime.run(body)


@each_runtime
def test_every_address_is_named_with_its_reason(runtime: Runtime) -> None:
    port = free_port()

    async def body() -> None:
        async with runtime.pool(resolve={"a.test": ["127.0.0.1", "::1", "127.0.0.2", "224.0.0.1"]}) as http:
            with pytest.raises(ConnectError) as caught:
                await http.request("GET", f"http://a.test:{port}/")
        message = caught.value.message
        assert message.startswith(f"cannot connect to a.test:{port}: ")
        for place in (f"127.0.0.1:{port}", f"[::1]:{port}", f"127.0.0.2:{port}", f"224.0.0.1:{port}"):
            assert f"{place}: " in message
        assert message.count("Connection refused") >= 2
        assert caught.value.errno in (errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)

    runtime.run(body)


@each_runtime
def test_silent_addresses_are_connect_timeout_and_leave_nothing(runtime: Runtime) -> None:
    async def body(port: int) -> None:
        before = open_sockets()
        timeout = TimeoutConfig(LONG, connect_timeout=0.2)
        async with runtime.pool(resolve={"a.test": ["127.0.0.2", "127.0.0.3", "127.0.0.4"]}, timeout=timeout) as http:
            with pytest.raises(ConnectTimeout) as caught:
                await http.request("GET", f"http://a.test:{port}/")
            for host in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
                assert f"{host}:{port}: no answer in time" in caught.value.message
            assert caught.value.limit == 0.2
            assert open_sockets() <= before
            assert http.stats().connections == 0

    with black_hole("127.0.0.2") as port, black_holes(port, "127.0.0.3", "127.0.0.4"):
        runtime.run(body, port)


HOLES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]


async def until_all_are_tried(before: set[str], sleep: Callable[[float], Any]) -> None:
    ends = time.monotonic() + LONG
    while len(open_sockets() - before) < len(HOLES):
        assert time.monotonic() < ends
        await sleep(0.01)


@pytest.mark.parametrize("runner", ["asyncio", "uvloop"])
def test_a_cancelled_connect_closes_every_socket_on_asyncio(runner: str) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def body(port: int) -> None:
        before = open_sockets()
        backend = backend_of(Runtime())
        task = asyncio.ensure_future(backend.connect_tcp(HOLES, port, LONG))
        await until_all_are_tried(before, asyncio.sleep)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert open_sockets() <= before

    factory = uvloop.new_event_loop if runner == "uvloop" else asyncio.new_event_loop
    with black_hole(HOLES[0]) as port, black_holes(port, *HOLES[1:]), asyncio.Runner(loop_factory=factory) as loop:
        loop.run(body(port))


def test_a_connect_that_is_cancelled_closes_every_socket_on_trio() -> None:
    async def body(port: int) -> None:
        before = open_sockets()
        backend = backend_of(Runtime())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(backend.connect_tcp, HOLES, port, LONG)
            await until_all_are_tried(before, trio.sleep)
            nursery.cancel_scope.cancel()
        assert open_sockets() <= before

    with black_hole(HOLES[0]) as port, black_holes(port, *HOLES[1:]):
        trio.run(body, port)


def test_ctrl_c_closes_every_socket_in_threads() -> None:
    from httpcore._backends.threads import BlockingBackend

    def interrupt() -> None:
        ends = time.monotonic() + LONG
        while len(open_sockets() - before) < len(HOLES) and time.monotonic() < ends:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    with black_hole(HOLES[0]) as port, black_holes(port, *HOLES[1:]):
        before = open_sockets()
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            BlockingBackend().connect_tcp(HOLES, port, LONG).send(None)
        thread.join(LONG)
        assert open_sockets() <= before


@each_runtime
def test_many_races_at_once_do_not_disturb_each_other(runtime: Runtime, server: ScriptedServer) -> None:
    async def body() -> None:
        async with runtime.pool(resolve={"a.test": ["127.0.0.2", "127.0.0.1"]}, timeout=LONG) as http:

            async def one() -> int:
                return int((await http.request("GET", f"http://a.test:{server.port}/")).status_code)

            assert await runtime.gather(*[one] * 20) == [200] * 20
            assert http.stats().leased == 0

    with black_holes(server.port, "127.0.0.2"):
        begun = time.monotonic()
        runtime.run(body)
        assert time.monotonic() - begun < LONG


@each_runtime
def test_a_connected_socket_has_nodelay_and_keepalive_by_default(runtime: Runtime, server: ScriptedServer) -> None:
    async def options(*given: tuple[int, int, int]) -> tuple[bool, bool, int]:
        stream: Any = await backend_of(runtime).connect_tcp(["127.0.0.1"], server.port, LONG, socket_options=given)
        # The winning socket is recognised by its own address; no public name has the socket.
        sock = stream._descriptor.sock
        found = (
            bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
            bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)),
            sock.gettimeout(),
        )
        stream.close()
        return found

    async def body() -> None:
        assert await options() == (True, True, 0.0)
        off = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 0), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        assert await options(*off) == (False, False, 0.0)

    runtime.run(body)


def test_the_peer_of_a_connection_in_memory_is_its_address() -> None:
    runtime = MemoryRuntime()
    seen: list[Connection] = []

    async def serve(peer: ServerEnd) -> None:
        seen.append(peer.connection)
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(ok())

    async def main() -> None:
        async with httpcore.ConnectionPool() as http:
            response = await http.request("GET", "http://a.test/")
            assert response.info.peer == "192.0.2.1:80"

    runtime.resolve("a.test", DUAL)
    runtime.refuse(DUAL[0], 80)
    runtime.listen(DUAL[1], 80, serve)
    runtime.run(main())
    assert [connection.host for connection in seen] == ["192.0.2.1"]
    assert seen[0].sent.startswith(b"GET / HTTP/1.1\r\nHost: a.test\r\n")
