"""The network behind the interface: both entries of one transport, its options, its extensions."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from real_servers import Ports
from runtimes import Runtime, each_runtime
from seam import entered, fetch, opened, raw
from servers import Peer, ScriptedServer, answering, free_port, ok, process

import httpcore
from httpcore._transports.extensions import LazyExtensions  # the test compares it with `dict`
from httpcore.testing import ServerEnd, Simulation


def echoing(peer: Peer) -> None:
    """Answers each request with its head, and the body of a fixed length."""
    while head := peer.head():
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length: "):
                length = int(line[16:])
        body = head + peer.exactly(length)
        if b"chunked" in head:
            body += peer.until(b"0\r\n\r\n")
        peer.send(ok(body, b"X-Name: Value"))


@pytest.fixture(scope="module")
def echo() -> Iterator[ScriptedServer]:
    with ScriptedServer(echoing) as server:
        yield server


@each_runtime
def test_a_real_exchange_gives_the_four_values(runtime: Runtime, echo: ScriptedServer) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.HTTPTransport()) as transport:
            async with opened(runtime, transport, "GET", f"{echo.url}/a?b") as (
                status_code,
                headers,
                stream,
                extensions,
            ):
                assert status_code == 200
                assert (b"x-name", b"Value") in headers
                received = b"".join([piece async for piece in stream])
                assert received == b"GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % echo.port
            assert extensions["http_version"] == "HTTP/1.1"
            assert extensions["reason_phrase"] == "OK"
            assert extensions["trailing_headers"] == []
            assert extensions["informational"] == []
            assert extensions["info"].peer == f"127.0.0.1:{echo.port}"
            assert "connection" not in extensions

    runtime.run(body)


def test_one_transport_serves_both_entries(echo: ScriptedServer) -> None:
    import asyncio

    async def from_a_loop() -> bytes:
        async with transport.arequest("GET", echo.url) as (_, _, stream, _):
            return b"".join([piece async for piece in stream])

    with httpcore.HTTPTransport() as transport:
        with transport.request("GET", echo.url) as (_, _, stream, _):
            assert b"".join(stream) == asyncio.run(from_a_loop())
        plain, other = transport.stats()
        assert plain is not None
        assert other is not None
        assert (plain.connections, plain.leased) == (1, 0)


@each_runtime
@pytest.mark.parametrize("closing", ["close", "aclose"])
def test_close_and_aclose_both_close_both_pools(runtime: Runtime, echo: ScriptedServer, closing: str) -> None:
    async def body() -> None:
        transport = httpcore.HTTPTransport()
        await fetch(runtime, transport, "GET", echo.url)
        with transport.request("GET", echo.url) as (_, _, stream, _):
            b"".join(stream)
        if closing == "close":
            transport.close()
        else:
            await transport.aclose()
        assert [stats.connections for stats in transport.stats() if stats is not None] in ([0], [0, 0])
        with pytest.raises(httpcore.PoolClosed):
            await fetch(runtime, transport, "GET", echo.url)

    runtime.run(body)


@each_runtime
def test_a_transport_closed_before_its_first_request_is_closed(runtime: Runtime, echo: ScriptedServer) -> None:
    async def body() -> None:
        transport = httpcore.HTTPTransport()
        transport.close()
        with pytest.raises(httpcore.PoolClosed):
            await fetch(runtime, transport, "GET", echo.url)

    runtime.run(body)


# Options.


def test_every_option_of_the_pool_is_one_of_the_transport() -> None:
    ours = inspect.signature(httpcore.HTTPTransport).parameters
    pools = inspect.signature(httpcore.ConnectionPool).parameters
    assert ours.keys() - pools.keys() == {"verify", "cert", "pool"}
    assert pools.keys() <= ours.keys()
    for name, parameter in pools.items():
        if name != "timeout":
            assert (name, ours[name].default) == (name, parameter.default)


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ({"limits": 7}, TypeError),
        ({"http1": False, "http2": False}, ValueError),
        ({"retries": -1}, ValueError),
        ({"verify": ""}, TypeError),
        ({"ssl": httpcore.SSLConfig(), "verify": False}, ValueError),
        ({"pool": httpcore.SyncConnectionPool(), "retries": 1}, ValueError),
        ({"pool": httpcore.SyncConnectionPool(), "timeout": 1}, ValueError),
        ({"pool": 1}, TypeError),
        ({"limit": 1}, TypeError),
    ],
)
def test_options_are_checked_when_the_transport_is_made(named: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        httpcore.HTTPTransport(**named)


@each_runtime
def test_options_reach_the_pool(runtime: Runtime, nginx: Ports) -> None:
    async def body() -> None:
        async with entered(
            runtime, httpcore.HTTPTransport(verify=False, retries=1, local_address="127.0.0.1")
        ) as transport:
            fetched = await fetch(runtime, transport, "GET", f"https://localhost:{nginx.secure}/hello")
            assert fetched.extensions["info"].local.startswith("127.0.0.1:")
            assert fetched.extensions["info"].tls is not None

    runtime.run(body)


@each_runtime
def test_a_given_pool_is_used_and_stays_open(runtime: Runtime, echo: ScriptedServer) -> None:
    async def body() -> None:
        kind: Any = httpcore.SyncConnectionPool if runtime.name == "threads" else httpcore.ConnectionPool
        pool = kind(timeout=3)
        async with entered(runtime, httpcore.HTTPTransport(pool=pool)) as transport:
            await fetch(runtime, transport, "GET", echo.url)
            assert pool.stats().connections == 1
        assert pool.stats().connections == 1
        await fetch(runtime, transport, "GET", echo.url)
        if runtime.name == "threads":
            pool.close()
        else:
            await pool.close()

    runtime.run(body)


@each_runtime
def test_the_entry_that_a_given_pool_lacks_is_refused(runtime: Runtime, echo: ScriptedServer) -> None:
    async def body() -> None:
        kind: Any = httpcore.ConnectionPool if runtime.name == "threads" else httpcore.SyncConnectionPool
        with pytest.raises(
            httpcore.LocalProtocolError, match=r"request\(\) expected a transport with a \w*ConnectionPo"
        ):
            await fetch(runtime, httpcore.HTTPTransport(pool=kind()), "GET", echo.url)

    runtime.run(body)


# Extensions.


@each_runtime
def test_extensions_of_the_request_reach_the_pool(runtime: Runtime, echo: ScriptedServer) -> None:
    async def body() -> None:
        events: list[Any] = []
        async with entered(runtime, httpcore.HTTPTransport()) as transport:
            extensions = {"target": "/other", "trace": events.append, "timeout": None, "mine": 1}
            fetched = await fetch(runtime, transport, "GET", echo.url, extensions=extensions)
            assert fetched.body.startswith(b"GET /other HTTP/1.1\r\n")
            assert events

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("where", ["transport", "request"])
def test_a_body_over_max_body_ends_with_an_error(runtime: Runtime, echo: ScriptedServer, where: str) -> None:
    async def body() -> None:
        options: Any = {"max_body": 20} if where == "transport" else {}
        extensions: Any = {"max_body": 20} if where == "request" else None
        async with entered(runtime, httpcore.HTTPTransport(**options)) as transport:
            with pytest.raises(httpcore.LimitExceeded, match="max_body, 20 bytes") as caught:
                await fetch(runtime, transport, "GET", echo.url, extensions=extensions)
            assert caught.value.url == f"{echo.url}/"
            fetched = await fetch(runtime, transport, "GET", echo.url, extensions={"max_body": 2000})
            assert len(fetched.body) > 20

    runtime.run(body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
HINTED = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok(b"a")


@each_runtime
def test_trailers_are_there_when_the_body_has_ended(runtime: Runtime) -> None:
    async def body() -> None:
        with ScriptedServer(answering(CHUNKED)) as server:
            async with (
                entered(runtime, httpcore.HTTPTransport()) as transport,
                opened(runtime, transport, "GET", server.url) as (_, _, stream, extensions),
            ):
                trailers = extensions["trailing_headers"]
                assert [piece async for piece in stream] == [b"abc"]
                assert trailers == [(b"x-sum", b"1")]

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(
    "look",
    [
        lambda extensions: extensions["http_version"],
        lambda extensions: extensions.get("http_version"),
        lambda extensions: {**extensions}["http_version"],
        lambda extensions: dict(extensions)["http_version"],
        lambda extensions: extensions.copy()["http_version"],
        lambda extensions: copy.copy(extensions)["http_version"],
        lambda extensions: copy.deepcopy(extensions)["http_version"],
        lambda extensions: (extensions | {"a": 1})["http_version"],
        lambda extensions: ({"a": 1} | extensions)["http_version"],
        lambda extensions: dict(extensions.items())["http_version"],
        lambda extensions: extensions.setdefault("http_version", "none"),
        lambda extensions: extensions.pop("http_version"),
        lambda extensions: "http_version" in extensions and "HTTP/1.1",
        lambda extensions: len(extensions) == 5 and "HTTP/1.1",
        lambda extensions: bool(extensions) and "HTTP/1.1",
        lambda extensions: "http_version" in [*extensions] and "HTTP/1.1",
        lambda extensions: "HTTP/1.1" in extensions.values() and "HTTP/1.1",
        lambda extensions: "'http_version': 'HTTP/1.1'" in repr(extensions) and "HTTP/1.1",
        lambda extensions: extensions == {**extensions} and "HTTP/1.1",
    ],
)
def test_extensions_are_the_same_however_they_are_read(runtime: Runtime, echo: ScriptedServer, look: Any) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.HTTPTransport()) as transport:
            fetched = await fetch(runtime, transport, "GET", echo.url)
            assert isinstance(fetched.extensions, dict)
            assert look(fetched.extensions) == "HTTP/1.1"

    runtime.run(body)


def test_each_method_of_a_dictionary_fills_the_extensions() -> None:
    ours = vars(LazyExtensions)
    inherited = {"__class_getitem__", "__getattribute__", "__init__", "__new__", "__sizeof__", "fromkeys"}
    unequal = {"__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__doc__"}
    assert {name for name in vars(dict) if name not in ours} <= inherited | unequal


@each_runtime
def test_informational_responses_are_in_the_extensions(runtime: Runtime) -> None:
    async def body() -> None:
        with ScriptedServer(answering(HINTED)) as server:
            async with entered(runtime, httpcore.HTTPTransport()) as transport:
                fetched = await fetch(runtime, transport, "GET", server.url)
                assert fetched.extensions["informational"] == [(103, [(b"link", b"</x>")])]

    runtime.run(body)


@each_runtime
def test_the_stream_id_is_the_one_that_the_server_sees(runtime: Runtime, echo: ScriptedServer) -> None:
    async def body() -> None:
        port = free_port()
        with process([sys.executable, "-m", "tests.support.h2_server", str(port)], port):
            async with entered(runtime, httpcore.HTTPTransport(http1=False)) as transport:
                for number in (1, 3, 5):
                    fetched = await fetch(runtime, transport, "GET", f"http://127.0.0.1:{port}/stream")
                    assert fetched.body == b"%d" % number
                    assert fetched.extensions["stream_id"] == fetched.extensions["info"].stream_id == number
        async with entered(runtime, httpcore.HTTPTransport()) as transport:
            fetched = await fetch(runtime, transport, "GET", echo.url)
            assert "stream_id" not in fetched.extensions
            assert fetched.extensions["info"].stream_id is None

    runtime.run(body)


@each_runtime
def test_the_connection_of_an_upgrade_sends_and_receives(runtime: Runtime) -> None:
    def script(peer: Peer) -> None:
        assert b"Upgrade: echo" in peer.head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        while data := peer.exactly(4):
            peer.send(data)

    async def body() -> None:
        headers = {"Connection": "upgrade", "Upgrade": "echo"}
        with ScriptedServer(script) as server:
            async with entered(runtime, httpcore.HTTPTransport()) as transport:
                async with opened(runtime, transport, "GET", server.url, headers) as (status_code, _, _, extensions):
                    assert status_code == 101
                    connection = raw(runtime, extensions["connection"])
                    await connection.send(b"ping")
                    assert await connection.recv() == b"ping"
                assert [stats.leased for stats in transport.stats() if stats is not None][-1] == 0
                assert not [stats for stats in transport.stats() if stats is not None and stats.connections]

    runtime.run(body)


@each_runtime
def test_a_coded_body_arrives_as_sent(runtime: Runtime) -> None:
    import gzip

    coded = gzip.compress(b"Hello", mtime=0)

    async def body() -> None:
        with ScriptedServer(answering(ok(coded, b"Content-Encoding: gzip"))) as server:
            async with entered(runtime, httpcore.HTTPTransport()) as transport:
                fetched = await fetch(runtime, transport, "GET", server.url)
                assert fetched.body == coded
                made = httpcore.Response(200, headers=fetched.headers, body=fetched.body)
                assert made.body == b"Hello"

    runtime.run(body)


@each_runtime
def test_sni_hostname_is_the_name_that_is_sent(
    runtime: Runtime, nginx: Ports, trusting_real: httpcore.SSLConfig
) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.HTTPTransport(trusting_real)) as transport:
            url = f"https://127.0.0.1:{nginx.secure}/hello"
            await fetch(runtime, transport, "GET", url, extensions={"sni_hostname": "localhost"})
            with pytest.raises(httpcore.TLSError, match=r"other\.test"):
                await fetch(runtime, transport, "GET", url, extensions={"sni_hostname": "other.test"})

    runtime.run(body)


@each_runtime
def test_a_response_that_is_left_half_read_frees_its_connection(runtime: Runtime, echo: ScriptedServer) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.HTTPTransport()) as transport:
            for _ in range(3):
                async with opened(runtime, transport, "POST", echo.url, stream=b"x" * 3_000_000) as (_, _, stream, _):
                    await anext(aiter(stream))
            assert [stats.leased for stats in transport.stats() if stats is not None][-1] == 0

    runtime.run(body)


def test_the_simulated_network_is_reached_through_both_entries() -> None:
    async def serve(peer: ServerEnd) -> None:
        while await peer.recv_until(b"\r\n\r\n"):
            await peer.send(ok(b"simulated"))

    async def main(simulation: Simulation) -> None:
        async with (
            httpcore.HTTPTransport(backend=simulation.backend()) as transport,
            transport.arequest("GET", "http://a.test/") as (_, _, stream, _),
        ):
            assert [piece async for piece in stream] == [b"simulated"]

    simulation = Simulation()
    simulation.listen("a.test", 80, serve)
    simulation.run(main(simulation))
    simulation = Simulation()
    simulation.listen("a.test", 80, serve)
    with (
        simulation.blocking() as backend,
        httpcore.HTTPTransport(backend=backend) as transport,
        transport.request("GET", "http://a.test/") as (_, _, stream, _),
    ):
        assert list(stream) == [b"simulated"]
