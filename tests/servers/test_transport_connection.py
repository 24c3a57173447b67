"""Protocols that third parties build on `extensions["connection"]`, through the transport interface and with both
entries: a WebSocket with wsproto's frames, over HTTP/2 by extended CONNECT and over HTTP/1.1 by Upgrade; and gRPC
against grpcio's server.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from real_servers import Ports
from runtimes import Runtime, each_runtime
from seam import entered, fetch, opened, raw
from servers import free_port, process
from websocket_client import CONNECT, WebSocketClient, accept, upgrade
from wsproto.events import CloseConnection

import httpcore


def busy_count(transport: httpcore.HTTPTransport) -> int:
    return sum(stats.leased for stats in transport.stats() if stats is not None)


async def talk(connection: Any) -> None:
    web = WebSocketClient(connection)
    for seen in ("Hello, world", b"\x00\xff", "z" * 65_536):
        await web.send(seen)
        assert await web.message() == seen
    await web.send(CloseConnection(code=1000))
    closing = await web.message()
    assert (type(closing), closing.code) == (CloseConnection, 1000)


@each_runtime
@pytest.mark.parametrize("how", ["TLS", "plain"])
def test_a_websocket_over_http2_by_extended_connect(
    runtime: Runtime, how: str, hypercorn: Ports, trusting_real: httpcore.SSLConfig
) -> None:
    async def body() -> None:
        settings: Any = {"ssl": trusting_real} if how == "TLS" else {"http1": False}
        url = f"https://localhost:{hypercorn.secure}" if how == "TLS" else f"http://127.0.0.1:{hypercorn.plain}"
        async with entered(runtime, httpcore.HTTPTransport(**settings)) as transport:
            async with opened(runtime, transport, "CONNECT", f"{url}/talk", CONNECT) as (status_code, _, _, extensions):
                assert (status_code, extensions["http_version"]) == (200, "HTTP/2")
                await talk(raw(runtime, extensions["connection"]))
                assert busy_count(transport) == 1
            assert busy_count(transport) == 0
            assert (await fetch(runtime, transport, "GET", f"{url}/hello")).extensions["info"].reused

    runtime.run(body)


@each_runtime
def test_a_websocket_over_http11_by_upgrade(runtime: Runtime, hypercorn: Ports) -> None:
    async def body() -> None:
        key = base64.b64encode(os.urandom(16))
        url = f"http://127.0.0.1:{hypercorn.plain}/talk"
        async with entered(runtime, httpcore.Middleware(httpcore.HTTPTransport())) as transport:
            async with opened(runtime, transport, "GET", url, upgrade(key)) as (status_code, fields, _, extensions):
                assert status_code == 101
                assert (b"sec-websocket-accept", accept(key)) in fields
                await talk(raw(runtime, extensions["connection"]))
            assert busy_count(transport.transport) == 0

    runtime.run(body)


@each_runtime
def test_a_refused_websocket_has_no_connection(runtime: Runtime, hypercorn: Ports) -> None:
    async def body() -> None:
        url = f"http://127.0.0.1:{hypercorn.plain}/refused"
        async with entered(runtime, httpcore.HTTPTransport(http1=False)) as transport:
            fetched = await fetch(runtime, transport, "CONNECT", url, CONNECT)
            assert fetched.status_code == 403
            assert "connection" not in fetched.extensions

    runtime.run(body)


# gRPC.

HEADERS = [("content-type", "application/grpc"), ("te", "trailers")]


@pytest.fixture(scope="module")
def grpc(place: Any) -> Iterator[str]:
    plain, secure = free_port(), free_port()
    command = [sys.executable, "-m", "tests.support.grpc_server", str(plain), str(secure), str(place / "server.pem")]
    with process(command, plain):
        yield f"http://127.0.0.1:{plain}/test.Words/"


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4) + message


@each_runtime
def test_a_unary_grpc_call_returns_its_message(runtime: Runtime, grpc: str) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.HTTPTransport(http1=False)) as transport:
            for message in (b"", b"Hello, world", bytes(3_000_000)):
                fetched = await fetch(runtime, transport, "POST", f"{grpc}Unary", HEADERS, framed(message))
                assert fetched.body == framed(message)
                trailers = dict(fetched.extensions["trailing_headers"])
                assert (trailers[b"grpc-status"], trailers[b"x-last"]) == (b"0", b"ends")

    runtime.run(body)


@each_runtime
def test_a_grpc_call_streams_in_both_directions(runtime: Runtime, grpc: str) -> None:
    """Each message waits for the answer to the one before."""

    async def body() -> None:
        async with entered(runtime, httpcore.HTTPTransport(http1=False)) as transport:
            exchange = opened(
                runtime, transport, "POST", f"{grpc}Chat", HEADERS, framed(b"0"), extensions={"duplex": True}
            )
            async with exchange as (_, _, _, extensions):
                connection = raw(runtime, extensions["connection"])
                for number in range(1, 50):
                    received = b""
                    while len(received) < len(framed(b"%d" % (number - 1))):
                        received += await connection.recv()
                    assert received == framed(b"%d" % (number - 1))
                    await connection.send(framed(b"%d" % number))
                await connection.end()
                rest = b""
                while data := await connection.recv():
                    rest += data
                assert rest == framed(b"49")
                assert dict(extensions["trailing_headers"])[b"grpc-status"] == b"0"
            assert busy_count(transport) == 0

    runtime.run(body)
