"""`response.info.timing`, `error.timing` and the sizes: on a virtual clock, and record by record in every runtime."""

from __future__ import annotations

import gzip
import pickle
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import trustme
from records import check_timing
from runtimes import Runtime, each_runtime
from scripted_proxy import CONNECT, EXCHANGE, TLS_ORIGIN, TLS_PROXY, ScriptedProxy, server_context
from servers import Peer, ScriptedServer

import httpcore
from httpcore import RequestTiming, TimeSpan
from httpcore.testing import ServerEnd, Simulation

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TEXT = b"two hundred bytes " * 12
CODED = gzip.compress(TEXT, mtime=0)


async def serve(peer: ServerEnd) -> None:
    """Answers by path: /hint after a 103, /parts in pieces, /coded, /slow after 2 s, /switch, /never."""
    while head := await peer.recv_until(b"\r\n\r\n"):
        path = head.split()[1]
        if b"chunked" in head:
            await peer.recv_until(b"0\r\n\r\n")
        if path == b"/never":
            await peer.scheduler.sleep(1000)
        if path == b"/slow":
            await peer.scheduler.sleep(2)
        if path == b"/hint":
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            await peer.scheduler.sleep(1)
        if path == b"/parts":
            for part in (OK[:5], OK[5:-1], OK[-1:]):
                await peer.send(part)
                await peer.scheduler.sleep(1)
        elif path == b"/coded":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(CODED))
            await peer.send(CODED)
        elif path == b"/switch":
            await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
            await peer.send(await peer.recv(100))
            return
        else:
            await peer.send(OK)


async def never_answer(peer: ServerEnd) -> None:
    await peer.recv(10)
    await peer.scheduler.sleep(1000)


async def refuse_once(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 2\r\n\r\n")
    await peer.recv_until(b"\r\n\r\n")
    await peer.send(OK)


Body = Callable[[httpcore.ConnectionPool], Awaitable[None]]


def play(body: Body, **settings: Any) -> Simulation:
    runtime = Simulation(watches=False)
    runtime.resolve("a.test", ["1.2.3.4"], delay=0.25)
    runtime.listen("1.2.3.4", 80, serve, connect_delay=0.5, delay_there=0.125, delay_back=0.125)
    runtime.listen("stuck.test", 80, never_answer, window=1000)
    runtime.listen("busy.test", 80, refuse_once)
    runtime.blackhole("hole.test", 80)

    async def main() -> None:
        async with httpcore.ConnectionPool(**settings) as pool:
            await runtime.sleep(1)  # no real clock is at 0, so this one is not either
            await body(pool)

    runtime.run(main())
    return runtime


def timing_of(thing: httpcore.Response | httpcore.HTTPCoreError) -> RequestTiming:
    timing = thing.info.timing if isinstance(thing, httpcore.Response) else thing.timing
    assert timing is not None
    return timing


async def get(pool: httpcore.ConnectionPool, path: str, **named: Any) -> httpcore.Response:
    return await pool.request("GET", f"http://a.test{path}", **named)


def test_each_step_on_a_new_connection_has_its_time() -> None:
    async def body(pool: httpcore.ConnectionPool) -> None:
        assert timing_of(await get(pool, "/")) == RequestTiming(
            started=1.0,
            dns=TimeSpan(0.0, 0.25),
            connect=TimeSpan(0.25, 0.75),
            connected=0.75,
            request_sent=0.75,
            first_byte=1.0,
            head=1.0,
            complete=1.0,
        )

    play(body)


def test_a_reused_connection_has_no_steps_before_it() -> None:
    async def body(pool: httpcore.ConnectionPool) -> None:
        await get(pool, "/")
        assert timing_of(await get(pool, "/")) == RequestTiming(
            2.0, connected=0.0, request_sent=0.0, first_byte=0.25, head=0.25, complete=0.25
        )

    play(body)


def test_a_queued_request_shows_how_long_it_waits() -> None:
    runtime = Simulation()
    runtime.listen("a.test", 80, serve)

    async def main() -> None:
        async with httpcore.ConnectionPool(limits=httpcore.PoolLimits(max_connections=1)) as pool:
            first = runtime.spawn(get(pool, "/slow"))
            await runtime.sleep(0.5)
            timing = timing_of(await get(pool, "/"))
            assert timing.queued == TimeSpan(0.0, 1.5)
            assert (timing.dns, timing.connect, timing.connected) == (None, None, 1.5)
            await first.wait()
            assert timing_of(first.result()).queued is None

    runtime.run(main())


def test_interim_responses_and_cut_heads_have_a_first_byte() -> None:
    async def body(pool: httpcore.ConnectionPool) -> None:
        hinted, in_parts = timing_of(await get(pool, "/hint")), timing_of(await get(pool, "/parts"))
        assert (hinted.first_byte, hinted.head, hinted.complete) == (1.0, 2.0, 2.0)
        assert (in_parts.first_byte, in_parts.head, in_parts.complete) == (0.25, 1.25, 2.25)

    play(body)


def test_complete_is_set_when_the_body_has_been_read() -> None:
    async def body(pool: httpcore.ConnectionPool) -> None:
        async with await get(pool, "/parts", stream=True) as response:
            before = response.info
            assert (timing_of(response).complete, before.body_received) == (None, 1)
            assert await response.read() == b"ok"
            after = response.info
            assert (timing_of(response).complete, after.body_received) == (3.0, 2)
            assert (before.timing, after.bytes_received) != (after.timing, before.bytes_received)
        async with await get(pool, "/parts", stream=True) as response:
            await response.close()
            assert timing_of(response).complete is None

    play(body)


async def upload(pool: httpcore.ConnectionPool) -> None:
    await pool.request("POST", "http://stuck.test", body=b"x" * 50_000)


async def time_out_on_read(pool: httpcore.ConnectionPool) -> None:
    await get(pool, "/never")


async def time_out_on_connect(pool: httpcore.ConnectionPool) -> None:
    await pool.request("GET", "http://hole.test")


async def time_out_in_queue(pool: httpcore.ConnectionPool) -> None:
    async with await get(pool, "/parts", stream=True):
        await get(pool, "/")


FAILURES = {
    "a stuck upload": (upload, RequestTiming(1.0, dns=TimeSpan(0, 0), connect=TimeSpan(0, 0), connected=0.0)),
    "a silent server": (
        time_out_on_read,
        RequestTiming(1.0, dns=TimeSpan(0.0, 0.25), connect=TimeSpan(0.25, 0.75), connected=0.75, request_sent=0.75),
    ),
    "no connection": (time_out_on_connect, RequestTiming(1.0, dns=TimeSpan(0, 0), connect=TimeSpan(0, None))),
    "no turn": (time_out_in_queue, RequestTiming(3.0, queued=TimeSpan(0.0, None))),
}


@pytest.mark.parametrize("what", FAILURES)
def test_an_error_has_the_times_of_its_request(what: str) -> None:
    act, expected = FAILURES[what]

    async def body(pool: httpcore.ConnectionPool) -> None:
        with pytest.raises(httpcore.Timeout) as caught:
            await act(pool)
        assert timing_of(caught.value) == expected
        assert pickle.loads(pickle.dumps(caught.value)).timing == expected

    play(body, limits=httpcore.PoolLimits(max_connections=1))


def test_a_request_sent_again_has_the_times_of_its_last_attempt() -> None:
    policy = httpcore.RetryPolicy(attempts=2, statuses=(503,))

    async def body(pool: httpcore.ConnectionPool) -> None:
        timing = timing_of(await pool.request("GET", "http://busy.test"))
        assert timing == RequestTiming(1.0, connected=2.0, request_sent=2.0, first_byte=2.0, head=2.0, complete=2.0)

    play(body, retries=policy)


def test_a_raw_stream_has_no_end_and_its_bytes_count() -> None:
    async def body(pool: httpcore.ConnectionPool) -> None:
        response = await get(pool, "/switch", headers={"Upgrade": "x", "Connection": "upgrade"})
        raw = response.connection
        assert raw is not None
        before = response.info
        await raw.send(b"there")
        assert await raw.recv() == b"there"
        raw.close()
        timing, after = timing_of(response), response.info
        assert (timing.request_sent, timing.head, timing.complete) == (0.75, 1.0, None)
        assert (after.bytes_sent or 0) - (before.bytes_sent or 0) == 5
        assert (after.bytes_received or 0) - (before.bytes_received or 0) == 5
        totals = pool.stats().totals
        assert (totals.bytes_sent, totals.bytes_received) == (after.bytes_sent, after.bytes_received)

    play(body)


async def chunks() -> Any:
    yield b"abc"
    yield b"defg"


def test_sizes_are_those_on_the_wire_and_behind_the_decoder() -> None:
    infos: list[httpcore.ResponseInfo] = []

    async def body(pool: httpcore.ConnectionPool) -> None:
        infos.append((await get(pool, "/coded")).info)
        infos.append((await pool.request("POST", "http://a.test/", body=chunks)).info)
        infos.append((await get(pool, "/hint")).info)
        async with await get(pool, "/coded", stream=True) as response:
            assert b"".join([piece async for piece in response.stream()]) == TEXT
        infos.append(response.info)

    (wire,) = play(body).connections
    assert sum(info.bytes_sent or 0 for info in infos) == len(wire.sent)
    assert sum(info.bytes_received or 0 for info in infos) == len(wire.replied)
    bodies = [(info.body_received, info.body_decoded) for info in infos]
    assert bodies == [(len(CODED), len(TEXT)), (2, 2), (2, 2), (len(CODED), len(TEXT))]


def test_a_timing_is_immutable_and_has_the_time_of_each_step() -> None:
    timing = RequestTiming(1.0, dns=TimeSpan(0.25, 0.75), connect=TimeSpan(0.75, None))
    with pytest.raises(FrozenInstanceError):
        timing.head = 1.0  # type: ignore[misc]
    assert timing.dns is not None
    assert timing.connect is not None
    assert (timing.dns.seconds, timing.connect.seconds) == (0.5, None)
    assert pickle.loads(pickle.dumps(timing)) == timing


def test_a_response_made_by_hand_has_no_timing() -> None:
    assert httpcore.Response(200).info.timing is None


# In every runtime, over sockets.


class Case:
    """A route to an origin: the arguments of a pool, and whether there is TLS with origin and proxy."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "authority.pem"))
        self.ssl = httpcore.SSLConfig(verify=str(folder / "authority.pem"))
        certificate = authority.issue_cert("secure.test", "127.0.0.1")
        self.http1: ssl.SSLContext = server_context(certificate, "http/1.1")
        self.http2: ssl.SSLContext = server_context(certificate, "h2")
        self.plain: ssl.SSLContext = server_context(certificate)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("timing"))


async def two_gets(pool: Any, events: list[httpcore.TraceEvent], **named: Any) -> list[RequestTiming]:
    """One GET on a new connection and one on the same connection; the timing of each is compared with its records."""
    timings = []
    for _ in range(2):
        response = await pool.request("GET", **named)
        info = response.info
        own = [event for event in events if event.request == info.request_number]
        check_timing(info.timing, own, has_tls=not info.reused)
        timings.append(info.timing)
        assert info.timing.complete is not None
        assert info.timing.request_sent <= info.timing.first_byte
    return timings


@each_runtime
@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_each_time_is_that_of_its_record(runtime: Runtime, case: Case, protocol: str) -> None:
    """The cases are a proxy with TLS, a tunnel through it, and TLS with the origin."""
    events: list[httpcore.TraceEvent] = []

    async def body() -> None:
        steps = (TLS_PROXY, CONNECT, TLS_ORIGIN, EXCHANGE)
        with ScriptedProxy(steps, origin=getattr(case, protocol), proxy=case.plain) as server:
            proxy = httpcore.Proxy(f"https://127.0.0.1:{server.port}", ssl=case.ssl)
            async with runtime.pool(case.ssl, proxy=proxy, trace=events.append) as pool:
                first, second = await two_gets(pool, events, url="https://secure.test/")
                assert first.proxy_tls is not None
                assert first.tunnel is not None
                assert second.connect is second.proxy_tls is second.tunnel is second.tls is None
                totals = pool.stats().totals
                assert (totals.requests, totals.dials, totals.reuses) == (2, 1, 1)
                assert totals.streams == (2 if protocol == "http2" else 0)

    runtime.run(body)


# In the client.


def redirect_and_code(peer: Peer) -> None:
    """/first redirects to /second, whose body is coded and received in two pieces."""
    while head := peer.head():
        if b" /first " in head:
            peer.send(b"HTTP/1.1 302 Found\r\nLocation: /second\r\nContent-Length: 0\r\n\r\n")
            continue
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(CODED))
        time.sleep(0.01)
        peer.send(CODED)


@pytest.fixture
def client() -> Iterator[httpcore.Client]:
    with ScriptedServer(redirect_and_code) as server, httpcore.Client(base_url=server.url) as made:
        yield made


def test_each_hop_of_a_client_has_figures_of_its_own(client: httpcore.Client) -> None:
    response = client.get("/first", follow_redirects=True)
    first, second = response.history[0].info, response.info
    assert first.timing is not None
    assert second.timing is not None
    assert first.timing.connect is not None
    assert second.timing.connect is None
    assert second.timing.started >= first.timing.started + (first.timing.complete or 0)
    assert (second.timing.complete, second.bytes_received) > (second.timing.head, second.body_received)
    assert (first.body_received, second.body_received, second.body_decoded) == (0, len(CODED), len(TEXT))


def test_a_streamed_body_has_its_end_at_once(client: httpcore.Client) -> None:
    with client.stream("GET", "/second") as response:
        assert response.info.timing is not None
        assert response.info.timing.complete is None
        assert b"".join(response.stream()) == TEXT
    assert response.info.timing is not None
    assert response.info.timing.complete is not None
    assert (response.info.body_received, response.info.body_decoded) == (len(CODED), len(TEXT))


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def answer_by_wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


@pytest.mark.parametrize(
    "transport", [httpcore.ASGITransport(hello), httpcore.WSGITransport(answer_by_wsgi)], ids=["ASGI", "WSGI"]
)
def test_an_app_in_this_process_has_no_timing_and_no_sizes(transport: httpcore.Transport) -> None:
    with httpcore.Client(transport=transport) as client:
        info = client.get("http://app.test/").info
    assert (info.timing, info.bytes_sent, info.bytes_received, info.body_received) == (None, None, None, None)
