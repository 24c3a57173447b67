"""103 (Early Hints) through the gateway, in the test's own loop. The tests with a real server are the checks of HTTP/2
in tests/support/wire_checks.py, under hypercorn.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from asgi_front import Client, Peer, Script, gateway, http, in_loop, until
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

import httpcore
from httpcore.gateway import Gateway, Returned, Timeouts, Upstream
from httpcore.gateway.hints import EARLY_HINT

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def hint(*fields: bytes, status: bytes = b"103 Early Hints") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *fields]) + b"\r\n\r\n"


A, B = hint(b"Link: </a>; rel=preload"), hint(b"Link: </b>")
LINKS_A, LINKS_B = [b"</a>; rel=preload"], [b"</b>"]


def answers(data: bytes, then: asyncio.Event | None = None, last: bytes = OK) -> Script:
    """Sends `data` at once, and `last` when `then` is set."""

    async def script(peer: Peer) -> None:
        if await peer.head():
            await peer.send(data)
            await (then or _SET).wait()
            await peer.send(last)

    return script


_SET = asyncio.Event()
_SET.set()


def requested(app: Any, method: str = "GET", *fields: tuple[bytes, bytes], offers: str = EARLY_HINT) -> Client:
    return Client(app, http(method, *fields, http_version="2", extensions={offers: {}}), *([] if fields else [EMPTY]))


EMPTY = {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (A, [LINKS_A]),
        (A + B, [LINKS_A, LINKS_B]),
        (hint(b"Link: </a>", b"Link: </b>"), [[b"</a>", b"</b>"]]),
        (hint(b"X-A: 1", b"Set-Cookie: a=1", b"link: </b>", b"Connection: x-a"), [LINKS_B]),
        (hint(b"Link: </b>", b"Connection: link"), []),
        (hint(b"X-A: 1"), []),
        (hint(), []),
        (hint(b"Link: </b>", status=b"102 Processing"), []),
        (hint(b"Link: </b>", status=b"100 Continue") + B, [LINKS_B]),
    ],
)
@in_loop
async def test_the_links_of_a_103_are_passed_on(sent: bytes, expected: list[list[bytes]]) -> None:
    async with gateway(answers(sent)) as (app, _):
        client = requested(app)
        await client.end()
        assert client.hints == expected
        assert (client.status, client.body, client.is_whole) == (200, b"hello", True)
        assert app.stats().responses == (0, 1, 0, 0, 0, 0)


def over_http_2(go: asyncio.Event) -> Script:
    async def script(peer: Peer) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        while data := await peer.reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    connection.send_headers(1, [(":status", "103"), ("link", "</b>")])
                    await peer.send(connection.data_to_send())
                    await go.wait()
                    connection.send_headers(1, [(":status", "200")])
                    connection.send_data(1, b"hello", end_stream=True)
            await peer.send(connection.data_to_send())

    return script


@pytest.mark.parametrize("kind", ["HTTP/1.1", "HTTP/2", "while the client sends"])
@in_loop
async def test_a_103_is_passed_on_before_the_response_is_there(kind: str) -> None:
    go = asyncio.Event()
    script = over_http_2(go) if kind == "HTTP/2" else answers(B, go)
    async with gateway(script, http2=kind == "HTTP/2" or None) as (app, _):
        sends = kind.startswith("while")
        client = requested(app, "POST", (b"content-length", b"9")) if sends else requested(app)
        if sends:
            client.say("http.request", body=b"be", more_body=True)
        assert (await client.until(EARLY_HINT))["links"] == LINKS_B
        assert client.status == 0
        go.set()
        await client.end()
        assert (client.hints, client.status, client.body) == ([LINKS_B], 200, b"hello")


@pytest.mark.parametrize(
    ("offers", "options"),
    [("http.response.trailers", {}), (EARLY_HINT, {"on_response": lambda _, head: Returned(200, head.headers)})],
)
@in_loop
async def test_a_103_ends_where_it_cannot_be_passed_on(offers: str, options: Any) -> None:
    """The server does not offer the extension, or a hook has to see the response first."""
    async with gateway(answers(A), **options) as (app, _):
        client = requested(app, offers=offers)
        await client.end()
        assert (client.hints, client.status, client.body) == ([], 200, b"hello")


@pytest.mark.parametrize(("method", "hints", "status"), [("GET", [LINKS_A, LINKS_B], 200), ("POST", [LINKS_A], 502)])
@in_loop
async def test_a_103_is_no_beginning_of_a_response(method: str, hints: list[list[bytes]], status: int) -> None:
    """After a 103 the request may still be sent to another upstream, if its method is idempotent."""
    async with gateway(answers(A, last=b""), answers(B), balance="first") as (app, servers):
        client = requested(app, method)
        await client.end()
        assert (client.hints, client.status, client.is_whole) == (hints, status, True)
        assert [len(server.heads) for server in servers] == [1, len(hints) - 1]


@in_loop
async def test_a_103_does_not_put_the_timeouts_off() -> None:
    async with gateway(answers(B, asyncio.Event()), timeouts=Timeouts(first_byte=0.05)) as (app, servers):
        client = requested(app)
        await client.end()
        assert (client.hints, client.status) == ([LINKS_B], 504)
        servers[0].cancel()


@pytest.mark.parametrize(("sent", "expected"), [(A, [LINKS_A]), (A + B, [LINKS_A, LINKS_B])], ids=["one", "two"])
@in_loop
async def test_a_client_that_does_not_read_gets_all_in_order(sent: bytes, expected: list[list[bytes]]) -> None:
    go = asyncio.Event()
    async with gateway(answers(sent, go)) as (app, servers):
        client = requested(app)
        client.reads.clear()
        await until(lambda: servers[0].heads)
        await asyncio.sleep(0.02)  # the 103 is being sent
        go.set()
        await until(lambda: servers[0].ended)
        await asyncio.sleep(0.02)  # the response waits for the 103
        assert (client.hints, client.sent) == ([], [])
        client.reads.set()
        await client.end()
        assert (client.hints, client.status, client.is_whole) == (expected, 200, True)


@pytest.mark.parametrize("fails", [False, True])
@in_loop
async def test_a_client_that_leaves_during_a_103_ends_the_request(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The request ends whether or not the client's server raises an error when it receives a message."""
    async with gateway(answers(A + B, asyncio.Event())) as (app, servers):
        client = requested(app)
        client.fails = fails
        if not fails:
            client.reads.clear()
        await until(lambda: servers[0].heads)
        await asyncio.sleep(0.03)
        client.say("http.disconnect")
        await client.end()
        assert (client.hints, client.sent) == ([], [])
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)
        servers[0].cancel()
    gc.collect()
    assert "never retrieved" not in caplog.text  # asyncio's message about a lost error of a task


@in_loop
async def test_a_flood_of_103_is_a_502() -> None:
    async with gateway(answers(B * 5000)) as (app, _):
        client = requested(app)
        await client.end()
        assert (client.status, client.is_whole) == (502, True)
        assert len(client.hints) * len(B) <= 65_536


class Plain:
    """A minimal replacement for a pool, without most of a pool's methods."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    async def request(self, *arguments: Any, target: bytes, timeout: Any, duplex: bool = False) -> httpcore.Response:
        return httpcore.Response(200, body=b"hello")

    async def close(self) -> None:
        pass


@in_loop
async def test_a_replacement_of_a_pool_needs_no_trace() -> None:
    client = requested(Gateway(Upstream("http://a.test", pool=Plain())))
    await client.end()
    assert (client.hints, client.status, client.body) == ([], 200, b"hello")
