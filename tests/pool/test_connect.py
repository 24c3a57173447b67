"""`connect(url)`: a connection that waits for the first request, its properties, and that failures leave nothing
behind.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, ok
from tls_origins import Origin, server_context
from trials import HostileServer, eventually, nothing_is_left_open, trial  # noqa: F401 - the second runs by itself
from trials import every_runtime_has_run as every_runtime_has_run

import httpcore

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("a.test")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> httpcore.SSLConfig:
    path = tmp_path_factory.mktemp("connect") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return httpcore.SSLConfig(verify=str(path), trust_env=False, server_hostname="a.test")


@pytest.fixture
def server() -> Iterator[HostileServer]:
    def stay(peer: Peer) -> bool:
        peer.send(ok(b"fine"))
        return True

    with HostileServer(stay) as server:
        yield server


@each_runtime
def test_a_connection_waits_for_the_next_request(runtime: Runtime, server: HostileServer) -> None:
    async def body() -> None:
        async with trial(runtime, server) as pool:
            info = await pool.connect(server.url)
            assert info.peer == f"127.0.0.1:{server.port}"
            assert info.tls is None
            stats = pool.stats()
            assert (stats.idle, stats.busy, stats.leased) == (1, 0, 0)
            assert server.lines == []
            assert await pool.connect(server.url + "/elsewhere") == info  # the connection exists already
            response = await pool.request("GET", server.url)
            assert (response.body, response.info.local, response.info.reused) == (b"fine", info.local, True)
            assert pool.stats().connections == 1

    runtime.run(body)


@each_runtime
def test_connect_shows_the_tls_version_and_the_certificate(runtime: Runtime, config: httpcore.SSLConfig) -> None:
    async def body() -> None:
        with Origin(server_context(CERTIFICATE, "http/1.1")) as server:
            async with runtime.pool(config) as pool:
                tls = (await pool.connect(server.url)).tls
                assert (tls.version, tls.alpn, tls.server_name) == ("TLSv1.3", "http/1.1", "a.test")
                assert tls.peer_certificate.names == (("DNS", "a.test"),)
                response = await pool.request("GET", server.url)
                assert (response.info.tls, pool.stats().connections) == (tls, 1)
                with pytest.raises(httpcore.TLSError) as caught:
                    await pool.connect(server.url, ssl=httpcore.SSLConfig(trust_env=False))
                assert (caught.value.phase, caught.value.method) == ("connect", None)
                assert caught.value.url == f"{server.url}/"
                assert pool.stats().connections == 1

    runtime.run(body)


@each_runtime
def test_over_http2_connect_makes_one_connection_for_all(runtime: Runtime, nghttpd: Any, trusting_real: Any) -> None:
    async def body() -> None:
        async with runtime.pool(trusting_real) as pool:
            url = f"https://localhost:{nghttpd.secure}/hello"
            info = await pool.connect(url)
            assert info.tls.alpn == "h2"
            responses = await runtime.gather(*[lambda: pool.request("GET", url)] * 5)
            assert {response.protocol for response in responses} == {"HTTP/2"}
            assert {response.info.local for response in responses} == {info.local}

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_dead_before_its_first_use_is_replaced(runtime: Runtime, method: str) -> None:
    """This holds whether the peer disconnected long before the request, or when the request arrived."""

    def script(peer: Peer) -> None:
        if peer.number == 1:
            return  # the first connection is closed when it is accepted
        while peer.head():
            peer.send(ok(b"fine"))

    async def body() -> None:
        with ScriptedServer(script) as server:
            async with runtime.pool() as pool:
                await pool.connect(server.url)
                await runtime.sleep(0.05)
                assert (await pool.request(method, server.url)).body == b"fine"
                assert pool.stats().connections == 1

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(
    ("url", "error", "phase"),
    [
        ("http://127.0.0.1:1/", httpcore.ConnectError, "connect"),
        ("ftp://127.0.0.1/", httpcore.UnsupportedProtocol, ""),
        ("nonsense", httpcore.InvalidURL, ""),
        ("http://no.such.name.invalid/", httpcore.ConnectError, "resolve"),
    ],
)
def test_an_unreachable_server_is_the_error_of_a_request(
    runtime: Runtime, url: str, error: type[httpcore.HTTPCoreError], phase: str
) -> None:
    async def body() -> None:
        async with runtime.pool() as pool:
            with pytest.raises(error) as caught:
                await pool.connect(url)
            if phase:  # otherwise no connection was tried
                assert (caught.value.phase, caught.value.url) == (phase, url)
            stats = pool.stats()
            assert (stats.connections, stats.leased, stats.waiting, stats.dialing) == (0, 0, 0, 0)
            await pool.close()
            with pytest.raises((httpcore.PoolClosed, error)):
                await pool.connect(url)

    runtime.run(body)


@each_runtime
def test_connect_waits_for_room_in_the_pool_as_a_request_does(runtime: Runtime, server: HostileServer) -> None:
    limits = httpcore.PoolLimits(max_connections=1)

    async def body() -> None:
        async with trial(runtime, server, limits=limits) as pool:
            held = await pool.request("GET", server.url, stream=True)
            await held.read()
            other = f"http://localhost:{server.port}"
            assert (await pool.connect(other)).peer  # this connection replaces the idle one
            assert pool.stats().connections == 1

    runtime.run(body)


@each_runtime
def test_time_that_a_server_keeps_a_connection_is_not_prolonged(runtime: Runtime) -> None:
    def script(peer: Peer) -> None:
        while peer.head():
            peer.send(ok(b"fine", b"Keep-Alive: timeout=1000"))

    async def body() -> None:
        with ScriptedServer(script) as server:
            async with runtime.pool(limits=httpcore.PoolLimits(keepalive_expiry=None)) as pool:
                await pool.request("GET", server.url)
                plain = getattr(pool, "sync", pool)
                # No public name shows the time when a connection expires.
                slot = getattr(plain, "_pool", plain)._leases.ledger.slots()[0]
                before = slot.expires
                await runtime.sleep(0.01)
                await pool.connect(server.url)
                assert slot.expires == before

    runtime.run(body)


@each_runtime
def test_the_trace_records_the_connection_and_no_request(runtime: Runtime, server: HostileServer) -> None:
    events: list[httpcore.TraceEvent] = []

    async def body() -> None:
        async with runtime.pool() as pool:
            await pool.connect(server.url, trace=events.append)
            await pool.connect(server.url, trace=events.append)

    runtime.run(body)
    assert [type(event) for event in events] == [
        httpcore.DialStarted,
        httpcore.ConnectStarted,
        httpcore.Connected,
        httpcore.ConnectionOpened,
        httpcore.ConnectionClosed,
    ]
    assert {event.request for event in events} == {0}


# A caller's context that leads to HTTP/1.1.


def plain_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(context)
    return context


def made_here(*alpn: str) -> ssl.SSLContext:
    context = httpcore.ssl_context(httpcore.SSLConfig(trust_env=False), alpn=alpn)
    AUTHORITY.configure_trust(context)
    return context


@each_runtime
@pytest.mark.parametrize(
    ("context", "hinted"),
    [
        (plain_context, True),
        (lambda: made_here("http/1.1"), True),
        (lambda: made_here("h2", "http/1.1"), False),
        (None, False),
    ],
    ids=["plain", "made here without h2", "made here with h2", "config"],
)
def test_the_trace_reports_that_a_context_leads_to_http_1_1(
    runtime: Runtime, context: Any, hinted: bool, config: httpcore.SSLConfig
) -> None:
    events: list[Any] = []

    async def body() -> None:
        tls = config if context is None else context()
        with Origin(server_context(CERTIFICATE, "http/1.1")) as server:
            async with runtime.pool(tls, resolve={"a.test": "127.0.0.1"}, trace=events.append) as pool:
                await pool.request("GET", f"https://a.test:{server.port}/")

    runtime.run(body)
    (opened,) = [event for event in events if isinstance(event, httpcore.ConnectionOpened)]
    if hinted:
        assert opened.hint is not None
        assert opened.hint.startswith("only HTTP/1.1 is used with this SSLContext: httpcore.ssl_context(alpn=")
    else:
        assert opened.hint is None


def test_plain_http_needs_no_hint(server: HostileServer, tmp_path: Path) -> None:
    events: list[Any] = []
    with httpcore.SyncConnectionPool(plain_context(), trace=events.append) as pool:
        pool.request("GET", server.url)
    assert [event.hint for event in events if isinstance(event, httpcore.ConnectionOpened)] == [None]
