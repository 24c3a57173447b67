"""Requests in flight: `requests()` has the phase of each request, `close(abort=True)` ends it, `drain()` waits for it.

Each place where a request may hang is a row of PLACES, which runs on every runtime over real sockets.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from h2_conversation import Conversation
from places import black_hole
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, free_port, ok
from trials import PROMPT, eventually
from trials import every_runtime_has_run as every_runtime_has_run
from trials import nothing_is_left_open as nothing_is_left_open

import httpcore
from httpcore import RequestPhase
from httpcore._pool.in_flight import in_flight

GONE = threading.Event()
"""Set when a test ends, so that its servers that do not read continue."""


def silent(peer: Peer) -> None:
    peer.rest()


def half_an_answer(peer: Peer) -> None:
    peer.head()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    peer.rest()


def raw_stream(peer: Peer) -> None:
    peer.head()
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: silence\r\n\r\n")
    peer.rest()


def reads_nothing(peer: Peer) -> None:
    peer.head()
    GONE.wait(30)


def opens_no_window(peer: Peer) -> None:
    peer.send(b"\0\0\0\4\0\0\0\0\0")  # SETTINGS
    peer.rest()


def http2(peer: Peer) -> None:
    Conversation(peer).run()


class HangingStep(NamedTuple):
    """A step in which a request may hang.

    Attributes:
        phase: as `requests()` returns it.
        script: the script of the server.
        pool: further arguments of the pool.
        request: further arguments of the request.
        at_once: how many requests hang in this step.
    """

    phase: RequestPhase
    script: Callable[[Peer], object] | None = silent
    pool: Mapping[str, Any] = MappingProxyType({})
    request: Mapping[str, Any] = MappingProxyType({})
    path: str = "/"
    scheme: str = "http"
    at_once: int = 1


ONE = httpcore.PoolLimits(1)
UPGRADE = {"headers": {"Upgrade": "silence", "Connection": "upgrade"}}
LONG_PAUSE = httpcore.RetryPolicy(backoff=25.0, jitter=0.0)

SENDING = (RequestPhase.WRITE, RequestPhase.READ_HEAD, RequestPhase.READ_BODY, RequestPhase.RAW)
SENT = ("write the request", "read the response head", "read the response body", "receive on the raw stream")
"""Phases of errors after which the server may have received a part of the request."""

PLACES = {
    "a name is looked up": HangingStep(RequestPhase.RESOLVE, None),
    "connect": HangingStep(RequestPhase.CONNECT, None),
    "connect to a unix socket": HangingStep(RequestPhase.CONNECT, None),
    "TLS": HangingStep(RequestPhase.TLS, scheme="https"),
    "a tunnel": HangingStep(RequestPhase.TUNNEL, scheme="https", pool={"proxy": "http"}),
    "SOCKS": HangingStep(RequestPhase.TUNNEL, pool={"proxy": "socks5h"}),
    "write": HangingStep(RequestPhase.WRITE, reads_nothing, request={"body": bytes(30_000_000), "method": "POST"}),
    "read the head": HangingStep(RequestPhase.READ_HEAD),
    "read the body": HangingStep(RequestPhase.READ_BODY, half_an_answer),
    "read a raw stream": HangingStep(RequestPhase.RAW, raw_stream, request=UPGRADE),
    "wait for a connection": HangingStep(RequestPhase.QUEUED, pool={"limits": ONE}, at_once=2),
    "wait for another's dial": HangingStep(RequestPhase.QUEUED, scheme="https", at_once=2),
    "pause": HangingStep(RequestPhase.PAUSE, None, pool={"retries": LONG_PAUSE}),
    "HTTP/2": HangingStep(RequestPhase.READ_HEAD, http2, {"http1": False}, path="/never", at_once=3),
    "HTTP/2, the upload": HangingStep(
        RequestPhase.WRITE,
        opens_no_window,
        {"http1": False},
        {"body": bytes(10_000_000), "method": "POST"},
    ),
}


@pytest.fixture
def hanging_lookups(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The operating system resolves no name while the test runs."""
    answered = threading.Event()
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **named: Any) -> Any:
        if b"hangs" in (host.encode() if isinstance(host, str) else host or b""):
            answered.wait(30)
        return known("127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    answered.set()


def step_of(stack: ExitStack, name: str, place: HangingStep, tmp_path: Any) -> tuple[str, dict[str, Any]]:
    """The URL, and the arguments of the pool."""
    arguments = {"timeout": None, **place.pool}
    if place.script is not None:
        server = stack.enter_context(ScriptedServer(place.script))
        port = server.port
        if "proxy" in arguments:
            arguments["proxy"] = f"{arguments['proxy']}://127.0.0.1:{port}"
            return f"{place.scheme}://origin.test/", arguments
    elif name == "pause":
        port = free_port()
    elif name == "connect to a unix socket":
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(str(tmp_path / "s"))
        listening.listen(0)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(tmp_path / "s"))
        return "http://a.test/", {**arguments, "uds": str(tmp_path / "s")}
    elif name == "a name is looked up":
        return "http://hangs.test/", arguments
    else:
        port = stack.enter_context(black_hole())
    return f"{place.scheme}://127.0.0.1:{port}{place.path}", arguments


@each_runtime
@pytest.mark.parametrize("name", PLACES)
def test_abort_ends_a_request_that_hangs(runtime: Runtime, name: str, tmp_path: Any, hanging_lookups: None) -> None:
    place = PLACES[name]

    async def body(url: str, arguments: dict[str, Any]) -> None:
        records: list[httpcore.TraceEvent] = []
        pool = runtime.pool(**arguments, trace=records.append)
        errors: list[httpcore.PoolClosed] = []

        async def hang() -> None:
            requested = {"method": "GET", "url": url, "tag": name, **place.request}
            try:
                response = await pool.request(**requested)
                try:
                    await response.connection.recv()
                finally:
                    response.connection.close()
            except httpcore.PoolClosed as error:
                errors.append(error)

        async def abort() -> None:
            await eventually(
                runtime, lambda: place.phase in [one.phase for one in pool.requests()], "the request hangs"
            )
            await eventually(runtime, lambda: len(pool.requests()) == place.at_once, "all requests hang")
            if place.phase is RequestPhase.PAUSE:  # the record shows that an attempt has failed
                await eventually(
                    runtime,
                    lambda: httpcore.RequestRetried in map(type, records),
                    "the request pauses before it is sent again",
                )
            if place.phase in SENDING:  # the phase begins before the first bytes leave
                await eventually(runtime, lambda: pool.stats().totals.bytes_sent > 0, "a part of the request was sent")
            (one, *_) = [one for one in pool.requests() if one.phase is place.phase]
            assert (one.tag, one.url, one.method) == (name, url, place.request.get("method", "GET"))
            assert 0 < one.age < PROMPT
            began = time.monotonic()
            await pool.close(abort=True)
            await eventually(runtime, lambda: len(errors) == place.at_once, "all requests end")
            assert pool.requests() == []
            assert time.monotonic() - began < 1.0

        await runtime.gather(*[hang] * place.at_once, abort)
        ends = [record.request for record in records if isinstance(record, httpcore.RequestEnded)]
        assert len(ends) == len(set(ends)) == place.at_once
        stats = pool.stats()
        assert (stats.connections, stats.leased, stats.waiting) == (0, 0, 0)
        for error in errors:
            assert error.url == url
            assert error.safe_to_retry is (error.phase not in SENT), error.phase

    with ExitStack() as stack:
        GONE.clear()
        stack.callback(GONE.set)
        runtime.run(body, *step_of(stack, name, place, tmp_path))


# drain


def echo(peer: Peer) -> None:
    while head := peer.head():
        if b"/slow" in head:
            GONE.wait(30)
        peer.send(ok())


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(echo) as server:
        yield server


@each_runtime
def test_drain_waits_for_all_and_refuses_new_requests(runtime: Runtime, server: ScriptedServer) -> None:
    GONE.clear()
    ended: list[str] = []

    async def body() -> None:
        async with runtime.pool(limits=ONE) as pool:

            async def send_request(tag: str) -> None:
                assert (await pool.request("GET", f"{server.url}/slow", tag=tag)).body == b"Hello, world"
                ended.append(tag)

            async def drain() -> None:
                await eventually(runtime, lambda: len(pool.requests()) == 2, "one is sent and one waits")
                assert await pool.drain(0) is False
                with pytest.raises(httpcore.PoolClosed, match="expected requests before drain") as caught:
                    await pool.request("GET", server.url)
                assert caught.value.safe_to_retry is True
                with pytest.raises(httpcore.PoolClosed):
                    await pool.connect(server.url)
                threading.Timer(0.02, GONE.set).start()
                assert await pool.drain(PROMPT) is True
                assert pool.requests() == []

            await runtime.gather(lambda: send_request("first"), lambda: send_request("second"), drain)
            assert sorted(ended) == ["first", "second"]
            assert pool.stats().idle == 1, "drain closes no idle connection"

    runtime.run(body)


@each_runtime
def test_drain_waits_for_a_response_that_is_read(runtime: Runtime, server: ScriptedServer) -> None:
    async def body() -> None:
        async with runtime.pool() as pool:
            assert await pool.drain() is True, "a new pool has nothing to drain"
        async with runtime.pool() as pool:
            response = await pool.request("GET", server.url, stream=True, tag="kept")
            if pool.requests():  # otherwise the whole response arrived at once
                assert await pool.drain(0.01) is False
            await response.close()
            assert await pool.drain(PROMPT) is True

    runtime.run(body)


@each_runtime
def test_drain_lets_a_retry_through(runtime: Runtime) -> None:
    """The pause between two attempts is part of a request."""
    answers = [b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", ok()]

    def later(peer: Peer) -> None:
        while peer.head():
            peer.send(answers.pop(0))

    async def body(url: str) -> None:
        policy = httpcore.RetryPolicy(backoff=0.05, jitter=0.0)
        async with runtime.pool(retries=policy) as pool:
            bodies: list[bytes] = []

            async def send_request() -> None:
                bodies.append((await pool.request("GET", url)).body)

            async def drain() -> None:
                await eventually(
                    runtime, lambda: pool.requests() and len(answers) == 1, "the request pauses before it is sent again"
                )
                assert await pool.drain(PROMPT) is True
                await eventually(runtime, lambda: bodies == [b"Hello, world"], "the request has its response")

            await runtime.gather(send_request, drain)

    with ScriptedServer(later) as server:
        runtime.run(body, server.url)


@pytest.mark.parametrize("call", ["close", "drain"])
def test_an_argument_of_another_type_is_an_error(call: str) -> None:
    pool: Any = httpcore.SyncConnectionPool()
    with pytest.raises(TypeError, match=r"abort is of type str|timeout is 'soon'"):
        pool.close(abort="yes") if call == "close" else pool.drain("soon")


# The same tests through a client.


class Plain(httpcore.Middleware):
    """Changes nothing."""


@pytest.mark.parametrize("wrap", [lambda one: one, Plain, lambda one: httpcore.Mounts({"all://": one})])
def test_abort_of_a_client_ends_a_thread_that_hangs(wrap: Callable[[Any], Any]) -> None:
    errors: list[httpcore.PoolClosed] = []
    client = httpcore.Client(transport=wrap(httpcore.HTTPTransport(timeout=None)))

    def hang(url: str) -> None:
        try:
            client.get(url, timeout=None)
        except httpcore.PoolClosed as error:
            errors.append(error)

    with ScriptedServer(silent) as server:
        thread = threading.Thread(target=hang, args=(server.url,))
        thread.start()
        ends = time.monotonic() + PROMPT
        while [one.phase for one in client.requests()] != [RequestPhase.READ_HEAD]:
            assert time.monotonic() < ends
            time.sleep(0.005)
        client.close(abort=True)
        thread.join(PROMPT)
    assert [error.phase for error in errors] == ["read the response head"]
    assert client.requests() == []


class MovingLeases:
    """Leases whose only call begins to pause, or ends its pause, while its pool is listed: threads may do so."""

    def __init__(self, *, begins: bool) -> None:
        self.draining = self.ledger = self
        self.between: set[object] = set() if begins else {self}
        self.begins = begins
        self.request = self.url = self
        self.method, self.redacted, self.number, self.tag = b"GET", "http://a.test/", 1, None

    @property
    def claims(self) -> list[Any]:
        self.between = {self} if self.begins else set()
        return []

    def elapsed(self) -> float:
        return 1.0


@pytest.mark.parametrize("begins", [True, False], ids=["begins to pause", "ends its pause"])
def test_a_call_that_moves_while_it_is_listed_is_not_missed(begins: bool) -> None:
    leases: Any = MovingLeases(begins=begins)
    assert [(one.number, one.phase) for one in in_flight(leases)] == [(1, RequestPhase.PAUSE)]
