"""HTTP/2 over real sockets in every runtime: the choice of ALPN, many requests at once, responses closed early, threads
that share a connection.
"""

from __future__ import annotations

import random
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from linecache import getline
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
import trustme
from h2_conversation import HTTP_1_1_REQUIRED, Conversation
from runtimes import Runtime, ThreadsRuntime, each_runtime
from servers import Peer, ScriptedServer, ok

import httpcore
from httpcore._http2 import connection, dispatch, election, exchange, inbox, liveness, outbox, pump, uploads

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1", "localhost")
SEED = 20_261_121


def server_context(*alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> httpcore.SSLConfig:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return httpcore.SSLConfig(verify=str(path))


def converse(peer: Peer) -> None:
    sock: Any = peer.socket
    if isinstance(sock, ssl.SSLSocket) and sock.selected_alpn_protocol() != "h2":
        while head := peer.head():
            peer.send(ok(head.split(b" ")[1]))
        return
    Conversation(peer).run()


@contextmanager
def serving(*alpn: str, plain: bool = False) -> Iterator[ScriptedServer]:
    with ScriptedServer(converse, None if plain else server_context(*alpn)) as server:
        yield server


@each_runtime
@pytest.mark.parametrize(
    ("offered", "options", "protocol"),
    [
        (("h2", "http/1.1"), {}, "HTTP/2"),
        (("h2", "http/1.1"), {"http2": False}, "HTTP/1.1"),
        (("http/1.1",), {}, "HTTP/1.1"),
        ((), {}, "HTTP/1.1"),
        (("h2",), {"http1": False}, "HTTP/2"),
    ],
)
def test_alpn_decides_between_the_offers_of_the_pool(
    runtime: Runtime, trusting: httpcore.SSLConfig, offered: tuple[str, ...], options: dict[str, bool], protocol: str
) -> None:
    async def body() -> None:
        async with runtime.pool(trusting, **options) as pool:
            for path in ("/0/a", "/0/b"):
                response = await pool.request("GET", server.url + path)
                assert (response.protocol, response.body) == (protocol, path.encode())
            assert pool.stats().connections == 1

    with serving(*offered) as server:
        runtime.run(body)


@each_runtime
def test_a_context_means_http11_unless_it_was_made_to_offer_more(
    runtime: Runtime, trusting: httpcore.SSLConfig
) -> None:
    own = ssl.create_default_context(cafile=str(trusting.verify))

    async def body() -> None:
        async with runtime.pool() as pool:
            for context, protocol in [
                (own, "HTTP/1.1"),
                (httpcore.ssl_context(trusting), "HTTP/1.1"),
                (httpcore.ssl_context(trusting, alpn=("h2", "http/1.1")), "HTTP/2"),
            ]:
                assert (await pool.request("GET", server.url + "/0/x", ssl=context)).protocol == protocol

    with serving("h2", "http/1.1") as server:
        runtime.run(body)


@each_runtime
def test_a_burst_to_a_new_origin_shares_one_connection(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    async def body() -> None:
        async with runtime.pool(trusting) as pool:
            requested = [lambda n=n: pool.request("GET", f"{server.url}/{n}/x") for n in range(60)]
            answers = await runtime.gather(*requested)
            for number, answer in enumerate(answers):
                assert answer.body == b"/%d/x" % number + b"x" * number
            assert pool.stats().connections == server.connections == 1

    with serving("h2", "http/1.1") as server:
        runtime.run(body)


@each_runtime
def test_a_burst_to_an_http11_origin_dials_as_needed(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    async def body() -> None:
        async with runtime.pool(trusting, limits=httpcore.PoolLimits(max_connections=5)) as pool:
            requested = [lambda n=n: pool.request("GET", f"{server.url}/{n}") for n in range(20)]
            assert [answer.body for answer in await runtime.gather(*requested)] == [b"/%d" % n for n in range(20)]
            assert 1 < server.connections <= 5

    with serving("http/1.1") as server:
        runtime.run(body)


@each_runtime
def test_a_request_that_needs_http11_is_sent_again_over_it(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    async def body() -> None:
        async with runtime.pool(trusting) as pool:
            response = await pool.request("POST", server.url + "/old", body=b"x")
            assert (response.protocol, response.info.attempts) == ("HTTP/1.1", 2)
            response = await pool.request("GET", server.url + "/0/ws", headers=[("Upgrade", "websocket")])
            assert response.protocol == "HTTP/1.1"  # HTTP/2 has no Upgrade
        async with runtime.pool(trusting, http1=False) as pool:
            with pytest.raises(httpcore.StreamReset) as caught:
                await pool.request("GET", server.url + "/old")
            assert caught.value.code == HTTP_1_1_REQUIRED

    with serving("h2", "http/1.1") as server:
        runtime.run(body)


class Faulty:
    """Violates the rules with a PUSH_PROMISE, and continues to read until the client disconnects.

    Attributes:
        reasons: the reasons in its clients' GOAWAY frames.
        gone: how many clients have disconnected.
    """

    def __init__(self, when: str) -> None:
        self.when = when
        self.reasons: list[int] = []
        self.gone = 0

    def __call__(self, peer: Peer) -> None:
        try:
            self.converse(peer)
        finally:
            self.gone += 1

    def converse(self, peer: Peer) -> None:
        fault = bytes([0, 0, 4, 5, 4, 0, 0, 0, 1, 0, 0, 0, 2])
        settings = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0])
        window = bytes([0, 0, 4, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0])
        peer.send(settings + window + (fault if self.when == "with SETTINGS" else b""))
        peer.exactly(24)
        body = 0
        while len(header := peer.exactly(9)) == 9:
            size, kind = int.from_bytes(header[:3], "big"), header[3]
            payload = peer.exactly(size)
            if kind == 7:
                self.reasons.append(int.from_bytes(payload[4:8], "big"))
            elif kind == 1 and self.when == "after the request":
                peer.send(fault)
            elif kind == 0 and self.when == "during an upload":
                if body <= 200_000 < body + size:
                    peer.send(fault)
                    time.sleep(0.02)  # meanwhile the buffers from the client to this server fill up
                body += size


@each_runtime
@pytest.mark.parametrize("secured", [False, True], ids=["TCP", "TLS"])
@pytest.mark.parametrize("when", ["with SETTINGS", "after the request", "during an upload"])
def test_a_peer_that_breaks_the_rules_is_always_sent_the_reason(
    runtime: Runtime, secured: bool, when: str, trusting: httpcore.SSLConfig
) -> None:
    times = 20

    async def body() -> None:
        faulty = Faulty(when)
        with ScriptedServer(faulty, server_context("h2") if secured else None) as server:
            for at in range(times):
                async with runtime.pool(ssl=trusting, http1=False) as pool:

                    async def post(pool: Any = pool) -> None:
                        body = bytes(1 << 22) if when == "during an upload" else b"x"
                        with pytest.raises(httpcore.RemoteProtocolError, match="PUSH_PROMISE"):
                            await pool.request("POST", server.url, body=body, timeout=20)

                    await runtime.gather(*[post] * (1 + at % 2))
            ends = time.monotonic() + 10
            while faulty.gone < server.connections and time.monotonic() < ends:
                await runtime.sleep(0.01)
            assert faulty.reasons == [1] * server.connections  # PROTOCOL_ERROR
            assert server.connections >= times

    runtime.run(body)


@each_runtime
def test_twenty_megabytes_go_in_both_directions_at_once(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    size = 20_000_000

    async def download(pool: Any) -> int:
        response = await pool.request("GET", f"{server.url}/{size}/x", stream=True)
        got = 0
        async for piece in response.raw():
            got += len(piece)
        return got - len(f"/{size}/x")

    async def upload(pool: Any) -> int:
        response = await pool.request("POST", server.url + "/0/x", body=iter([bytes(100_000)] * (size // 100_000)))
        return int(dict(response.headers)[b"x-size"])

    async def body() -> None:
        async with runtime.pool(trusting, timeout=30) as pool:
            assert await runtime.gather(lambda: download(pool), lambda: upload(pool)) == [size, size]
            assert server.connections == 1

    with serving("h2") as server:
        runtime.run(body)


@each_runtime
def test_requests_that_end_early_harm_no_other_request(runtime: Runtime) -> None:
    """Some requests time out, and some responses are closed early: every other body is correct, and no stream stays
    open.
    """

    async def one(pool: Any, number: int) -> None:
        kind = random.Random(SEED + number).randrange(4)
        if kind == 0:
            with pytest.raises(httpcore.ReadTimeout):
                await pool.request("GET", server.url + "/never", timeout=httpcore.TimeoutConfig(30, read_timeout=0.01))
            return
        size = random.Random(number).randrange(200_000)
        response = await pool.request("GET", f"{server.url}/{size}/x", stream=True, timeout=30)
        if kind == 1:
            await response.close()
        else:
            assert len(await response.read()) == size + len(f"/{size}/x")

    async def several(pool: Any, first: int) -> None:
        for number in range(first, first + 20):
            await one(pool, number)

    async def body() -> None:
        async with runtime.pool(http1=False, limits=httpcore.PoolLimits(max_connections=1)) as pool:
            await runtime.gather(*[lambda first=first: several(pool, first) for first in range(0, 500, 20)])
            assert (await pool.request("GET", server.url + "/0/end")).body == b"/0/end"
            stats = pool.stats()
            assert (stats.leased, stats.waiting, stats.idle) == (0, 0, 1)
            assert conversations[0].h2.open_inbound_streams == 0
            assert server.connections == 1

    conversations: list[Conversation] = []

    def script(peer: Peer) -> None:
        conversations.append(Conversation(peer))
        conversations[-1].run()

    with ScriptedServer(script) as server:
        runtime.run(body)


@each_runtime
def test_a_duplex_stream_is_used_from_two_sides_at_once(runtime: Runtime) -> None:
    def script(peer: Peer) -> None:
        conversation = Conversation(peer)

        def handle(event: h2.events.Event) -> None:
            if isinstance(event, h2.events.RequestReceived):
                conversation.h2.send_headers(event.stream_id, [(":status", "200")])
            elif isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                conversation.h2.send_data(event.stream_id, event.data)
                conversation.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                conversation.h2.send_headers(event.stream_id, [("x-end", "yes")], end_stream=True)

        conversation.handle = handle  # type: ignore[method-assign]
        conversation.run()

    async def body() -> None:
        async with runtime.pool(http1=False) as pool:
            response = await pool.request("POST", server.url + "/", duplex=True)
            raw = response.connection

            async def send() -> int:
                for _ in range(100):
                    await raw.send(bytes(5_000))
                await raw.end()
                return 500_000

            async def receive() -> int:
                got = 0
                while data := await raw.recv():
                    got += len(data)
                return got

            assert await runtime.gather(send, receive) == [500_000, 500_000]
            assert response.trailers == [(b"x-end", b"yes")]
            raw.close()
            assert pool.stats().idle == 1

    with ScriptedServer(script) as server:
        runtime.run(body)


def test_a_hundred_threads_share_one_connection() -> None:
    runtime = ThreadsRuntime()

    async def several(pool: Any, first: int) -> None:
        for number in range(first, first + 20):
            response = await pool.request("GET", f"{server.url}/{number}/x")
            assert len(response.body) == number + len(f"/{number}/x")

    async def body() -> None:
        async with runtime.pool(http1=False, timeout=60, limits=httpcore.PoolLimits(max_connections=1)) as pool:
            await runtime.gather(*[lambda first=first: several(pool, first) for first in range(0, 2000, 20)])
            assert (pool.stats().leased, pool.stats().idle) == (0, 1)

    with serving(plain=True) as server:
        runtime.run(body)


@pytest.mark.proofs
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside others"])
def test_ctrl_c_at_any_line_leaves_a_pool_that_works(alone: bool) -> None:
    """KeyboardInterrupt is raised at each line of the HTTP/2 modules in turn, in the thread that makes the request.

    Lines with `with` are left out: tracing reaches them a second time between the end of the block and the release of
    the lock, where CPython does not check for signals. Lines with `try`, where it does not check either, and
    finalisers, whose errors are only printed, are left out too.
    """
    places = (connection, dispatch, election, exchange, inbox, liveness, outbox, pump, uploads)
    modules = tuple(module.__file__ for module in places)
    options: dict[str, Any] = {"limits": httpcore.PoolLimits(max_connections=1), "timeout": 5}

    def interrupted_at(line: int, pool: httpcore.SyncConnectionPool) -> bool:
        seen = 0

        def trace(frame: Any, event: str, argument: Any) -> Any:
            nonlocal seen
            if frame.f_code.co_filename not in modules or frame.f_code.co_name == "__del__":
                return trace
            if event == "line" and not getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith(
                ("with ", "try:")
            ):
                seen += 1
                if seen == line:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            pool.request("POST", server.url + "/3000/x", body=iter([b"one", b"two"]))
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    def sibling(pool: httpcore.SyncConnectionPool, failures: list[BaseException]) -> None:
        try:
            response = pool.request("GET", server.url + "/100/x")
            assert len(response.body) == 106
        except httpcore.ReadError:
            pass  # the interrupted request used the connection
        except BaseException as error:
            failures.append(error)

    with serving(plain=True) as server:
        line, struck = 0, True
        while struck:
            line += 1 if alone else 5
            failures: list[BaseException] = []
            with httpcore.SyncConnectionPool(http1=False, **options) as pool:
                pool.request("GET", server.url + "/0/x")
                others = [] if alone else [threading.Thread(target=sibling, args=(pool, failures)) for _ in range(3)]
                for other in others:
                    other.start()
                struck = interrupted_at(line, pool)
                for other in others:
                    other.join(10)
                    assert not other.is_alive(), f"line {line}: a sibling hangs"
                assert not failures, f"line {line}"
                response = pool.request("GET", server.url + "/10/x")
                assert response.body == b"/10/x" + b"x" * 10, f"line {line}"
                stats = pool.stats()
                assert (stats.leased, stats.waiting, stats.dialing) == (0, 0, 0), f"line {line}"
        assert line > 200
