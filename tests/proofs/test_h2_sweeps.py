"""The proof for HTTP/2: every scenario is struck at every await, by every kind of strike, and the state afterwards is
checked.

Like `test_sweeps`, it runs in the deterministic runtime. The peer uses the h2 library, which raises when we violate a
rule, and keeps a log of the requests that it acted on. The windows are made small, so that credit flows in every
scenario.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h2.events
import pytest
from h2_peer import H2Peer, Left
from strikes import ACTS, SEEDS, cancel, check

import httpcore
from httpcore._errors import Code
from httpcore._http2 import dispatch, pump, sender, streams
from httpcore._http2.connection import HTTP2Connection
from httpcore.testing import Cancelled, ServerEnd
from httpcore.testing import Simulation as Runtime
from httpcore.testing import at_every_await as at_every_point

HOSTS = ("a.test", "b.test")
STREAM_WINDOW = 16384
BIG = 3 * STREAM_WINDOW

runs = 0
sweeps = 0
Pool = httpcore.ConnectionPool


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "STREAM_WINDOW", STREAM_WINDOW)
    monkeypatch.setattr(streams, "STREAM_WINDOW", STREAM_WINDOW)
    monkeypatch.setattr(sender, "CONNECTION_WINDOW", 1 << 17)
    for module in (dispatch, pump):
        monkeypatch.setattr(module, "FRAMES", 4)  # turns end in these tests, too


# The server.


class Host:
    """One origin, over any number of connections. Its response to a request is its method and path, in parts, with
    trailers; some paths have responses of their own.

    Attributes:
        acted: how often it acted on a request, by method and path; refused requests do not count.
    """

    def __init__(self, settings: dict[str, int]) -> None:
        self.acted: Counter[str] = Counter()
        self.peers: list[H2Peer] = []
        self.settings = settings
        self._seen: set[str] = set()

    async def serve(self, end: ServerEnd) -> None:
        peer = H2Peer(end, len(self.peers) + 1)
        self.peers.append(peer)
        with suppress(Left):
            await Visit(self, peer).run()

    def first(self, path: str) -> bool:
        """Whether this path was not requested before."""
        new = path not in self._seen
        self._seen.add(path)
        return new


class Visit:
    """One connection of a host."""

    def __init__(self, host: Host, peer: H2Peer) -> None:
        self.host = host
        self.peer = peer
        self.left: dict[int, int] = {}  # the unsent bytes of the large answers, by stream
        self.last: int | None = None  # the last stream of the GOAWAY
        self.mirrored: set[int] = set()
        self.refused: set[int] = set()

    async def run(self) -> None:
        peer = self.peer
        await peer.begin(**{"MAX_CONCURRENT_STREAMS": 20, "INITIAL_WINDOW_SIZE": 3000, **self.host.settings})
        while True:
            event = await peer.next(h2.events.Event)
            stream = getattr(event, "stream_id", 0) or 0
            if stream and self.is_over(stream):
                self.left.pop(stream, None)
            elif isinstance(event, h2.events.RequestReceived):
                await self.begun(stream, peer.path(stream))
            elif isinstance(event, h2.events.DataReceived) and stream in self.mirrored:
                await peer.data(stream, event.data)
            elif isinstance(event, h2.events.StreamEnded):
                await self.ended(stream)
            for open_stream in list(self.left):
                if self.is_over(open_stream):
                    del self.left[open_stream]
                else:
                    await self.pump(open_stream)
            if self.last is not None and not peer.h2.open_inbound_streams:
                return

    def is_over(self, stream: int) -> bool:
        return stream in self.refused or stream in self.peer.resets() or (self.last is not None and stream > self.last)

    async def begun(self, stream: int, path: str) -> None:
        peer = self.peer
        if path == "/early":
            await peer.answer(stream, b"/early", 413)
        elif path == "/told":
            await peer.head(stream, [(":status", "100")])
        elif path == "/mirror":
            self.mirrored.add(stream)
            await peer.head(stream)
        elif path == "/window":
            await peer.settings(INITIAL_WINDOW_SIZE=2000)
        elif path == "/refused" and self.host.first(path):
            self.refused.add(stream)
            await peer.reset(stream, Code.REFUSED_STREAM)
        elif path == "/goaway" and self.host.first(path):
            await self.leave(stream - 2)
        elif path == "/last":
            await self.leave(stream)

    async def leave(self, last: int) -> None:
        self.last = max(0, last)
        await self.peer.goaway(self.last)

    async def ended(self, stream: int) -> None:
        peer = self.peer
        path = peer.path(stream)
        if path == "/early":
            return
        if stream in self.mirrored:
            if peer.fields(stream)[":method"] == "CONNECT":  # a tunnel carries nothing but DATA
                await peer.data(stream, b"", end=True)
            else:
                await peer.trailers(stream, ("x-path", path))
            return
        what = f"{peer.fields(stream)[':method']} {path}"
        self.host.acted[what] += 1
        if path == "/lower":
            await peer.settings(MAX_CONCURRENT_STREAMS=1)
        if path == "/hints":
            await peer.head(stream, [(":status", "103"), ("link", "</x>")])
        await peer.head(stream)
        if path == "/big":
            self.left[stream] = BIG
            return
        for part in (what[:3], what[3:]):
            if path == "/slow":
                await peer.end.scheduler.sleep(0.05)
            await peer.data(stream, part.encode())
        await peer.trailers(stream, ("x-path", path))

    async def pump(self, stream: int) -> None:
        left = self.left[stream]
        size = min(left, self.peer.h2.local_flow_control_window(stream))
        self.left[stream] -= size
        if size == left:
            del self.left[stream]
        if size:
            await self.peer.data(stream, bytes(size), end=size == left)


# The victim, and the other tasks.


def url(path: str, host: str = "a.test") -> str:
    return f"http://{host}{path}"


async def fetch(pool: Pool, path: str, host: str = "a.test", method: str = "GET") -> None:
    response = await pool.request(method, url(path, host))
    assert response.body == f"{method} {path}".encode()
    assert response.trailers == [(b"x-path", path.encode())]


async def get(pool: Pool) -> None:
    await fetch(pool, "/one")


async def post_small(pool: Pool) -> None:
    assert (await pool.request("POST", url("/small"), body=b"z" * 200)).body == b"POST /small"


async def get_slowly(pool: Pool) -> None:
    await fetch(pool, "/slow")


async def get_and_be_hinted(pool: Pool) -> None:
    response = await pool.request("GET", url("/hints"))
    assert response.body == b"GET /hints"
    assert [interim.status_code for interim in response.informational] == [103]


async def get_big(pool: Pool) -> None:
    assert (await pool.request("GET", url("/big"))).body == bytes(BIG)


async def read_in_pieces(pool: Pool) -> None:
    async with await pool.request("GET", url("/big"), stream=True) as response:
        assert b"".join([piece async for piece in response.stream()]) == bytes(BIG)


async def leave_half_read(pool: Pool) -> None:
    async with await pool.request("GET", url("/big"), stream=True) as response:
        async for piece in response.raw():
            assert not any(piece)
            break


async def chunks() -> AsyncIterator[bytes]:
    for size in (1, 2500, 7000):
        yield b"y" * size


async def post_through_a_small_window(pool: Pool) -> None:
    assert (await pool.request("POST", url("/chunks"), body=chunks)).body == b"POST /chunks"


async def post_through_a_closed_window(pool: Pool) -> None:
    assert (await pool.request("POST", url("/window"), body=b"z" * 5000)).body == b"POST /window"


async def post_more_than_is_read(pool: Pool) -> None:
    response = await pool.request("POST", url("/early"), body=b"z" * 100_000)
    assert (response.status_code, response.body) == (413, b"/early")


async def post_on_signal(pool: Pool) -> None:
    response = await pool.request("POST", url("/told"), {"Expect": "100-continue"}, b"z" * 200)
    assert response.body == b"POST /told"


async def talk(pool: Pool) -> None:
    await converse(await pool.request("POST", url("/mirror"), duplex=True))


async def open_a_tunnel(pool: Pool) -> None:
    await converse(await pool.request("CONNECT", url("/mirror"), headers=[(":protocol", "websocket")]))


async def converse(response: httpcore.Response) -> None:
    raw = response.connection
    assert raw is not None
    try:
        for seen in (b"there and back", b"x" * 3000):
            await raw.send(seen)
            received = b""
            while len(received) < len(seen):
                piece = await raw.recv(2000)
                assert piece
                received += piece
            assert received == seen
        await raw.end()
        assert await raw.recv() == b""
        assert response.trailers in ([(b"x-path", b"/mirror")], [])
    finally:
        raw.close()


async def post_and_be_refused(pool: Pool) -> None:
    assert (await pool.request("POST", url("/refused"), body=b"z" * 200)).body == b"POST /refused"


async def post_behind_the_last(pool: Pool) -> None:
    assert (await pool.request("POST", url("/goaway"), body=b"z" * 200)).body == b"POST /goaway"


async def lower_the_limit(pool: Pool) -> None:
    await fetch(pool, "/lower")


# Earlier requests.


async def nothing(pool: Pool) -> None:
    pass


async def warm_up(pool: Pool) -> None:
    await fetch(pool, "/warm")


async def leave_a_stale_connection(pool: Pool) -> None:
    await fetch(pool, "/last")


async def leave_a_quiet_connection(pool: Pool) -> None:
    await fetch(pool, "/warm")
    # The scenario sleeps by the private backend of the pool, since it is given nothing else.
    backend = pool._leases.backend
    assert backend is not None
    await backend.sleep(3.0)


async def read_the_unread(pool: Pool) -> None:
    """Hold an unread response beside the victim's, and read it after the victim has had a second."""
    # This scenario, too, is given nothing but the pool.
    backend = pool._leases.backend
    assert backend is not None
    async with await pool.request("GET", url("/big"), stream=True) as response:
        await backend.sleep(1.0)
        assert await response.read() == bytes(BIG)


def other(path: str, host: str = "a.test", method: str = "GET") -> Callable[[Pool], Coroutine[Any, Any, None]]:
    return lambda pool: fetch(pool, path, host, method)


@dataclass(frozen=True)
class Scenario:
    """A pool, earlier requests, other tasks, the victim, and the first frames of the server."""

    victim: Callable[[Pool], Coroutine[Any, Any, None]]
    before: Callable[[Pool], Awaitable[None]] = nothing
    others: tuple[Callable[[Pool], Coroutine[Any, Any, None]], ...] = ()
    limits: httpcore.PoolLimits = field(default_factory=httpcore.PoolLimits)
    settings: dict[str, int] = field(default_factory=dict)
    ping_interval: float | None = None


ONE = httpcore.PoolLimits(max_connections=1)
TWO = httpcore.PoolLimits(max_connections_per_origin=2)
CROWD = (other("/other"), other("/third"), other("/post", method="POST"))
UNREAD = (read_the_unread, read_the_unread)
SCENARIOS = {
    "new connection": Scenario(get),
    "reused connection": Scenario(post_small, warm_up),
    "stale connection": Scenario(get, leave_a_stale_connection),
    "interim response": Scenario(get_and_be_hinted),
    "large response": Scenario(get_big, warm_up),
    "small response, siblings unread": Scenario(get, warm_up, UNREAD),
    "streamed": Scenario(read_in_pieces, nothing, CROWD),
    "left half-read": Scenario(leave_half_read, nothing, CROWD),
    "small window": Scenario(post_through_a_small_window, warm_up),
    "closed window": Scenario(post_through_a_closed_window, nothing, CROWD, settings={"INITIAL_WINDOW_SIZE": 0}),
    "early answer to a large body": Scenario(post_more_than_is_read, nothing, CROWD),
    "expect": Scenario(post_on_signal),
    "burst on a new origin": Scenario(get, nothing, (*CROWD, other("/far", "b.test"))),
    "duplex": Scenario(talk, nothing, CROWD),
    "tunnel": Scenario(open_a_tunnel, settings={"ENABLE_CONNECT_PROTOCOL": 1}),
    "refused": Scenario(post_and_be_refused, warm_up, CROWD),
    "behind the last of GOAWAY": Scenario(post_behind_the_last, warm_up, CROWD),
    "below the last of GOAWAY": Scenario(get_slowly, warm_up, (other("/last"), *CROWD)),
    "limit lowered": Scenario(lower_the_limit, nothing, CROWD, ONE),
    "one stream at a time": Scenario(post_small, warm_up, CROWD, ONE, {"MAX_CONCURRENT_STREAMS": 1}),
    "second connection": Scenario(get, warm_up, CROWD, TWO, {"MAX_CONCURRENT_STREAMS": 1}),
    "one connection for two origins": Scenario(get, warm_up, (*CROWD, other("/far", "b.test")), ONE),
    "asked whether it is there": Scenario(get, leave_a_quiet_connection, CROWD, ping_interval=1.0),
}


# The checks afterwards.

ENDS: dict[str, tuple[type[BaseException], ...]] = {
    "cancelled": (Cancelled,),
    "timed out": (httpcore.Timeout,),
    "reset": (httpcore.NetworkError, httpcore.RemoteProtocolError),
    "cut": (httpcore.Timeout, httpcore.ReadError),  # a ReadError means an unanswered PING
}
"""The errors that a request may end with."""


def check_wires(pool: Pool) -> None:
    """No stream is open, and no task is recorded as reading, writing or waiting. Every byte of credit was returned,
    except for the bytes that Ctrl-C left unread: the next step will return theirs.
    """
    # A connection that continues with a wrong count fails hours later, so the counts themselves are checked.
    for slot in pool._leases.ledger.slots():
        connection: Any = slot.connection
        wire = connection._wire  # the counts have no public name
        assert isinstance(wire, HTTP2Connection)
        # A stream, a reader or a waiter that remains shows on the wire only when another request is never served.
        core = wire._core
        assert not core.settling
        assert not core.uploads.for_room
        assert not core.uploads.for_window
        assert (core.election.reader, core.election.writer) == (None, None)
        engine = core.engine
        assert engine.open_streams == 0
        unread = sum(inbox.held for inbox in wire.dropped)
        # A wrong sum would show only hours later, like a wrong count.
        assert engine._room + engine._uncredited + unread == engine._target_window


def check_hosts(hosts: dict[str, Host]) -> None:
    """No server acted twice on a request that may not be sent twice, and no stream is open at a peer."""
    for host in hosts.values():
        for what, count in host.acted.items():
            if what.startswith("POST"):
                assert count == 1, what
        for peer in host.peers:
            connection = peer.end.connection
            # Neither end is notified when a connection is cut, so no public name shows it.
            if not connection.client_closed and not connection._there.cut:
                assert [number for number, stream in peer.h2.streams.items() if not stream.closed] == []


async def still_works(pool: Pool) -> None:
    """Both hosts answer correctly; a connection that was cut while it was idle may cost a timeout each."""
    for number, host in enumerate(HOSTS):
        for _ in range(4):
            with suppress(httpcore.ReadTimeout):
                await fetch(pool, f"/after{number}", host)
                break
        else:
            raise AssertionError("four timeouts in a row")


def listen(runtime: Runtime, scenario: Scenario) -> dict[str, Host]:
    hosts = {name: Host(scenario.settings) for name in HOSTS}
    for name, host in hosts.items():
        runtime.listen(name, 80, host.serve, connect_delay=0.05, delay_there=0.01, delay_back=0.01, window=8192)
    return hosts


def make_pool(scenario: Scenario, kind: type[Pool] = Pool, **more: Any) -> Pool:
    return kind(http1=False, limits=scenario.limits, ping_interval=scenario.ping_interval, **more)


def play(scenario: Scenario, act: str) -> Any:
    global sweeps
    sweeps += 1

    async def scene(runtime: Runtime) -> None:
        global runs
        runs += 1
        hosts = listen(runtime, scenario)
        pool = make_pool(scenario, timeout=httpcore.TimeoutConfig(5.0, pool_timeout=20.0))
        await scenario.before(pool)
        others = [runtime.spawn(one(pool)) for one in scenario.others]
        victim = await runtime.victim(scenario.victim(pool))
        # Only the run that counts the moments has no strike.
        if runtime._strike is None:
            victim.result()
        assert victim.error is None or isinstance(victim.error, ENDS[act]), victim.error
        assert victim.lingered == [], "a cancelled task awaits nothing"
        for one in others:
            await one.wait()
            assert one.error is None or (act != "cancelled" and isinstance(one.error, ENDS[act])), one.error
        check(runtime, pool)
        check_wires(pool)
        await still_works(pool)
        await runtime.sleep(1.0)
        check(runtime, pool)
        check_wires(pool)
        check_hosts(hosts)
        await pool.close()
        assert all(connection.client_closed for connection in runtime.connections)

    return scene


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_request_struck_at_any_await_leaves_nothing_over_http2(name: str, act: str) -> None:
    """Cancellation also happens twice. A reset and a jump of the clock have the same effect whether or not idle sockets
    are watched.
    """
    scene = play(SCENARIOS[name], act)
    for watches in (True, False) if act in ("cancelled", "cut") else (True,):
        for times in (1, 2) if act == "cancelled" else (1,):
            points = at_every_point(scene, ACTS[act], times=times, make=partial(Runtime, watches=watches))
            assert points >= 5


@pytest.mark.parametrize("name", SCENARIOS)
def test_random_cancellations_over_http2_leave_nothing(name: str) -> None:
    scene = play(SCENARIOS[name], "cancelled")
    for seed in range(SEEDS // 15):
        at_every_point(scene, cancel, make=partial(Runtime, seed, shuffle=True, checkpoints=seed % 2 == 0))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_pool_closed_at_any_await_over_http2_leaves_nothing(name: str) -> None:
    """A request that was sent continues; an unsent request ends with PoolClosed; no connection stays open."""
    scenario = SCENARIOS[name]

    async def scene(runtime: Runtime) -> None:
        global runs
        runs += 1
        listen(runtime, scenario)
        pools.append(pool := make_pool(scenario))
        await scenario.before(pool)
        others = [runtime.spawn(one(pool)) for one in scenario.others]
        victim = await runtime.victim(scenario.victim(pool))
        # Only the run that counts the moments has no strike.
        if runtime._strike is None:
            victim.result()
        assert victim.error is None or isinstance(victim.error, httpcore.PoolClosed), victim.error
        for one in others:
            await one.wait()
            assert one.error is None or isinstance(one.error, httpcore.PoolClosed), one.error
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
