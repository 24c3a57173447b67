"""The gateway as an ASGI app in the test's own loop, between scripted upstreams and a client of ASGI messages.

The other files have real servers in front, in processes of their own. Here the test decides each step, so that every
phase of a request is tested, and coverage records it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from asgi_front import Client, Pairs, Peer, Script, Server, gateway, http, in_loop, until, websocket_scope
from servers import free_port

from httpcore.gateway import Forward, Gateway, Health, Limits, Refusal, Returned, Router, Timeouts, Upstream
from httpcore.gateway.messages import Message, Scope, answer
from httpcore.gateway.watch import Gate

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = LENGTH % 5 + b"hello"


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


def refusing_upstream() -> Upstream:
    """An upstream that refuses connections."""
    return Upstream(f"http://127.0.0.1:{free_port()}")


def answers(*pieces: bytes) -> Script:
    """Reads a head, sends these pieces, and closes."""

    async def script(peer: Peer) -> None:
        if await peer.head():
            for piece in pieces:
                await peer.send(piece)
                await asyncio.sleep(0.02)

    return script


async def silent(peer: Peer) -> None:
    """Reads the request, and never answers."""
    await peer.head()
    await peer.rest()


async def begins(peer: Peer) -> None:
    """Begins a response of 10 bytes, and then sends nothing."""
    await peer.head()
    await peer.send(LENGTH % 10 + b"first")
    await peer.rest()


def requested(app: Any, scope: Scope | None = None, *messages: Message) -> Client:
    """A request without a body, unless there are messages."""
    return Client(app, scope or http(), *messages)


# Responses.


@pytest.mark.parametrize(
    ("method", "pieces", "status", "expected", "length"),
    [
        ("GET", [OK], 200, b"hello", b"5"),
        ("GET", [LENGTH % 0], 200, b"", b"0"),
        ("GET", [LENGTH % 100_000, b"x" * 50_000, b"y" * 50_000], 200, b"x" * 50_000 + b"y" * 50_000, b"100000"),
        ("GET", [CHUNKED + b"2\r\nab\r\n0\r\n\r\n"], 200, b"ab", None),
        ("GET", [CHUNKED, b"2\r\nab\r\n", b"1\r\nc\r\n", b"0\r\n\r\n"], 200, b"abc", None),
        ("GET", [b"HTTP/1.1 404 No\r\n\r\n", b"until the end"], 404, b"until the end", None),
        ("HEAD", [LENGTH % 5], 200, b"", b"5"),
        ("GET", [b"HTTP/1.1 204 No\r\n\r\n"], 204, b"", None),
        ("GET", [b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"], 304, b"", None),
        ("GET", [b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK], 200, b"hello", b"5"),
    ],
)
@in_loop
async def test_a_response_is_handed_on(
    method: str, pieces: list[bytes], status: int, expected: bytes, length: bytes | None
) -> None:
    async with gateway(answers(*pieces)) as (app, _):
        client = requested(app, http(method))
        await client.end()
        assert (client.status, client.body, client.is_whole) == (status, expected, True)
        assert client.fields.get(b"content-length") == length
        assert client.fields[b"via"] == b"1.1 gw"
        assert app.stats().responses[status // 100 - 1] == sum(app.stats().responses) == 1


@in_loop
async def test_fields_of_one_hop_are_not_handed_on() -> None:
    given = b"Date: x\r\nServer: y\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n"
    response = b"HTTP/1.1 200 OK\r\n" + given + b"\r\n\x1f\x8b"
    async with gateway(answers(response), prefix="/base") as (app, servers):
        client = requested(app, http("GET", (b"connection", b"x-a"), (b"x-a", b"1"), (b"x-b", b"2"), path="/a%2Fb"))
        await client.end()
        assert client.body == b"\x1f\x8b"
        assert client.fields == {b"content-encoding": b"gzip", b"content-length": b"2", b"via": b"1.1 gw"}
        (head,) = servers[0].heads
        assert head.startswith(b"GET /base/a%2Fb HTTP/1.1\r\n")
        assert b"x-a: " not in head
        assert b"\r\nx-b: 2\r\n" in head
        assert b"\r\nx-forwarded-for: 192.0.2.1\r\n" in head


@in_loop
async def test_a_refused_request_reaches_no_upstream() -> None:
    async with gateway(answers(OK)) as (app, servers):
        for scope, status in [(http("TRACE"), 405), (http("GET", (b"host", b"twice")), 400)]:
            client = requested(app, scope)
            await client.end()
            assert client.status == status
        assert servers[0].heads == []
        assert app.stats().responses == (0, 0, 0, 2, 0, 0)


@pytest.mark.parametrize("is_duplex", [False, True])
@in_loop
async def test_trailers_end_a_response_where_they_may(is_duplex: bool) -> None:
    """Trailers also end a response whose client still sends."""
    pieces = answers(CHUNKED + b"2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n")
    async with gateway(pieces, pieces, balance="round_robin") as (app, servers):
        for extension, expected in [("http.response.trailers", [(b"x-sum", b"7")]), ("other", None)]:
            scope = http(
                "POST" if is_duplex else "GET",
                (b"te", b"trailers"),
                *([(b"transfer-encoding", b"chunked")] if is_duplex else []),
                extensions={extension: {}},
            )
            client = requested(app, scope, *([body(b"x", more=True)] if is_duplex else []))
            await client.end()
            assert (client.status, client.body, client.is_whole) == (200, b"ab", True)
            assert client.sent[-1].get("headers") == expected
        assert [b"te: trailers" in server.heads[0] for server in servers] == [True, False]


@pytest.mark.parametrize(
    ("pieces", "begun"),
    [
        ([LENGTH % 10 + b"first"], b"first"),
        ([CHUNKED + b"5\r\nfirst\r\n"], b"first"),
        ([CHUNKED + b"5\r\nfirst\r\n", b"Z\r\n"], b"first"),
    ],
)
@in_loop
async def test_a_response_that_breaks_off_is_left_without_its_end(pieces: list[bytes], begun: bytes) -> None:
    async with gateway(answers(*pieces)) as (app, _):
        client = requested(app)
        await client.end()
        assert (client.status, client.body, client.is_whole) == (200, begun, False)
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)
        assert app.stats().upstreams[0].failures == 1


@in_loop
async def test_an_unrequested_switch_is_a_502() -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    async with gateway(answers(switch + b"other bytes")) as (app, _):
        client = requested(app)
        await client.end()
        assert (client.status, client.is_whole) == (502, True)


# Requests.

SEND = [(b"content-length", b"5")]
STREAM = [(b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    ("scope", "messages", "framing", "expected"),
    [
        (http("POST", *SEND), [body(b"hello")], b"content-length: 5", b"hello"),
        (http("POST", *SEND), [body(b"hel", more=True), body(b"lo")], b"content-length: 5", b"hello"),
        (http("POST", (b"content-length", b"0")), [body()], b"content-length: 0", b""),
        (http("POST", *STREAM), [body(b"hel", more=True), body(b"", more=True), body(b"lo")], b"chunked", b"hello"),
        (http("POST", *STREAM), [body(b"hello", more=True), body()], b"chunked", b"hello"),
        (http("POST", (b"content-length", b"70000")), [body(b"x" * 70_000)], b"content-length: 70000", b"x" * 70_000),
        (http("POST", (b"expect", b"100-continue"), *SEND), [body(b"hello")], b"content-length: 5", b"hello"),
        (http("GET", http_version="2"), [body()], b"", b""),
        (http("GET", http_version="2"), [body(b"hello", more=True), body()], b"chunked", b"hello"),
        (http("POST", http_version="2"), [body(b"hello", more=True), body()], b"chunked", b"hello"),
    ],
)  # fmt: skip
@in_loop
async def test_the_body_of_a_request_reaches_the_upstream(
    scope: Scope, messages: list[Message], framing: bytes, expected: bytes
) -> None:
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        head = (await peer.head()).lower()
        if b"expect:" in head:
            await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"chunked" in head:
            data = await peer.reader.readuntil(b"0\r\n\r\n")
            received.append(b"".join(data.split(b"\r\n")[1::2]))
        else:
            received.append(await peer.exactly(len(expected)))
        await peer.send(OK)

    async with gateway(script) as (app, servers):
        client = requested(app, scope, *messages)
        await client.end()
        assert (client.status, client.body) == (200, b"hello")
        assert received == [expected]
        assert framing in servers[0].heads[0].lower()
        assert (b"content-length" in servers[0].heads[0].lower()) == framing.startswith(b"content-length")


@in_loop
async def test_a_response_passes_while_the_client_sends() -> None:
    """The upstream answers before the body's end, and receives the rest of it."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(CHUNKED)
        for _ in range(3):
            size = int(await peer.reader.readuntil(b"\r\n"), 16)
            echo = await peer.exactly(size + 2)
            if size:
                await peer.send(b"%x\r\n%b" % (size, echo))
        await peer.send(b"0\r\n\r\n")

    async with gateway(script) as (app, _):
        client = requested(app, http("POST", *STREAM))
        await client.until("http.response.start")  # noticed although the client sends nothing
        for data in (b"one", b"two"):
            client.give(body(data, more=True))
            assert (await client.until("http.response.body"))["body"] == data
        client.give(body())
        await client.end()
        assert (client.body, client.is_whole) == (b"onetwo", True)
        assert app.stats().responses == (0, 1, 0, 0, 0, 0)


@in_loop
async def test_an_upstream_that_wants_no_more_answers_early() -> None:
    """Further bytes of the client are not read: the response ends the request."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")

    async with gateway(script) as (app, _):
        client = requested(app, http("POST", (b"content-length", b"1000000")), body(b"x" * 1000, more=True))
        await client.until("http.response.start")
        client.give(body(b"x" * 300_000, more=True))
        await client.end()
        assert (client.status, client.body, client.is_whole) == (413, b"no", True)


# Limits.


@pytest.mark.parametrize(
    ("fields", "messages", "status"),
    [
        ([(b"content-length", b"11")], [], 413),
        (SEND, [body(b"hello")], 200),
        (STREAM, [body(b"hello world")], 413),
        (STREAM, [body(b"hello", more=True), body(b" world", more=True)], 413),
    ],
)
@in_loop
async def test_a_body_beyond_the_limit_is_a_413(fields: Pairs, messages: list[Message], status: int) -> None:
    async def script(peer: Peer) -> None:
        if b"chunked" not in await peer.head():
            await peer.exactly(5)
            await peer.send(OK)
        await peer.rest()

    async with gateway(script, limits=Limits(body=10)) as (app, _):
        client = requested(app, http("POST", *fields), *messages)
        await client.end()
        assert (client.status, client.is_whole) == (status, True)
        assert app.stats().responses[status // 100 - 1] == 1


@in_loop
async def test_a_body_beyond_the_limit_cuts_off_a_response() -> None:
    """The response has begun before the limit is exceeded."""
    async with gateway(begins, limits=Limits(body=10)) as (app, servers):
        client = requested(app, http("POST", *STREAM))
        await client.until("http.response.body")
        client.give(body(b"hello world", more=True))
        await client.end()
        assert (client.status, client.body, client.is_whole) == (200, b"first", False)
        await until(lambda: servers[0].ended)


@in_loop
async def test_requests_beyond_the_limits_wait_or_are_503() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.head():
            await go.wait()
            await peer.send(OK)

    async with gateway(script, limits=Limits(concurrent=1, queue=2, queue_wait=5)) as (app, servers):
        clients = [requested(app) for _ in range(4)]
        await clients[3].end()
        assert (clients[3].status, clients[3].fields[b"retry-after"]) == (503, b"1")
        assert (app.stats().under_way, app.stats().waiting) == (1, 2)
        clients[1].say("http.disconnect")  # leaves the queue
        await clients[1].end()
        assert (clients[1].sent, app.stats().waiting) == ([], 1)
        go.set()
        for client in (clients[0], clients[2]):
            await client.end()
            assert client.status == 200
        assert app.stats().responses == (0, 2, 0, 0, 1, 1)
        assert len(servers[0].heads) == 2


@pytest.mark.parametrize(
    ("scope", "messages"),
    [
        (http(), []),
        (http("POST", *SEND), [body(b"hello")]),
        (http("POST", *SEND), []),
        (http("GET", http_version="2"), [body()]),
        (http("GET", http_version="2"), []),
    ],
)
@in_loop
async def test_a_request_that_leaves_the_queue_frees_it_soon(scope: Scope, messages: list[Message]) -> None:
    """The body of the request may be in one message, or not have begun. The queue is free after 20 ms on a quiet
    machine, and not after 5 s.
    """
    async with gateway(silent, limits=Limits(concurrent=1, queue_wait=5)) as (app, servers):
        first = requested(app)
        await until(lambda: servers[0].heads)
        client = requested(app, scope, *messages)
        await until(lambda: app.stats().waiting)
        client.say("http.disconnect")
        began = asyncio.get_running_loop().time()
        await client.end()
        assert asyncio.get_running_loop().time() - began < 1
        assert (client.sent, app.stats().waiting, len(servers[0].heads)) == ([], 0, 1)
        first.say("http.disconnect")
        await first.end()


@pytest.mark.parametrize(
    ("fields", "before", "after", "framing"),
    [
        (SEND, [body(b"hello")], [], b"content-length: 5"),
        (SEND, [body(b"hel", more=True)], [body(b"lo")], b"content-length: 5"),
        (SEND, [], [body(b"hello")], b"content-length: 5"),
        ([*SEND, (b"expect", b"100-continue")], [body(b"hello")], [], b"content-length: 5"),
        (STREAM, [body(b"hello")], [], b"chunked"),
    ],
)
@in_loop
async def test_a_body_that_waited_in_the_queue_goes_on_whole(
    fields: Pairs, before: list[Message], after: list[Message], framing: bytes
) -> None:
    go = asyncio.Event()
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        while head := (await peer.head()).lower():
            await go.wait()
            if b"expect" in head:
                await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if b"post" in head:
                assert framing in head
                received.append(await (peer.exactly(5) if b"chunked" not in head else peer.exactly(15)))
            await peer.send(OK)

    async with gateway(script, limits=Limits(concurrent=1, queue_wait=5)) as (app, servers):
        first = requested(app)
        await until(lambda: servers[0].heads)
        client = requested(app, http("POST", *fields), *before)
        await until(lambda: app.stats().waiting)
        for _ in range(3):
            await asyncio.sleep(0)
        go.set()
        await first.end()
        for message in after:
            client.give(message)
        await client.end()
        assert (client.status, client.body) == (200, b"hello")
        assert received in ([b"hello"], [b"5\r\nhello\r\n0\r\n\r\n"])


@in_loop
async def test_a_websocket_that_leaves_the_queue_frees_it_at_once() -> None:
    """Leaving takes three turns of the loop: the disconnect is read, it ends the wait, and the request ends."""
    async with gateway(silent, limits=Limits(concurrent=1, queue=1, queue_wait=5)) as (app, servers):
        clients = [requested(app)]
        await until(lambda: servers[0].heads)
        clients.append(Client(app, websocket_scope()))
        await until(lambda: app.stats().waiting)
        for _ in range(3):
            refused = requested(app)
            await refused.end()
            assert refused.status == 503
            clients[1].say("websocket.disconnect", code=1006)
            for _ in range(4):
                await asyncio.sleep(0)
            assert (app.stats().waiting, clients[1].task.done()) == (0, True)
            clients[1] = Client(app, websocket_scope())
            await asyncio.sleep(0)
            assert app.stats().waiting == 1  # the next request has its place in the queue
        assert len(servers[0].heads) == 1
        clients[1].say("websocket.disconnect")
        await clients[1].end()
        clients[0].say("http.disconnect")
        await clients[0].end()


@pytest.mark.parametrize(
    ("timeouts", "status"),
    [(Timeouts(), 503), (Timeouts(total=0.03), 504), (Timeouts(first_byte=0.03), 503)],
)
@in_loop
async def test_a_wait_in_the_queue_ends_in_time(timeouts: Timeouts, status: int) -> None:
    """The wait ends by its own limit or by that of the whole exchange. The upstream's time does not run meanwhile."""
    async with gateway(begins, timeouts=timeouts, limits=Limits(concurrent=1, queue_wait=0.3)) as (app, _):
        app._gate.enter()  # takes the only place, without a request, which would have the same timeouts
        client = requested(app)
        await client.end()
        app._gate.leave()  # as above
        assert client.status == status
        assert app.stats().upstreams[0].failures == 0


@in_loop
async def test_the_upstreams_time_begins_after_the_queue() -> None:
    """The time that a request has waited for others does not count as a failure of an upstream."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await asyncio.sleep(0.15)
        await peer.send(OK)

    limits = Limits(concurrent=1, queue_wait=5)
    async with gateway(script, timeouts=Timeouts(first_byte=0.28), limits=limits) as (app, _):
        clients = [requested(app) for _ in range(3)]
        for client in clients:
            await client.end()
        assert [client.status for client in clients] == [200, 200, 200]


# Timeouts.


@pytest.mark.parametrize(
    ("timeouts", "script", "status", "cut", "failures"),
    [
        (Timeouts(first_byte=0.15), silent, 504, False, 1),
        (Timeouts(total=0.15), silent, 504, False, 0),
        (Timeouts(first_byte=5, idle=0.05), begins, 200, True, 1),
        (Timeouts(total=0.25), begins, 200, True, 0),
    ],
)
@pytest.mark.parametrize("has_body", [False, True])
@in_loop
async def test_a_time_that_runs_out_is_a_504_or_cuts_off(
    timeouts: Timeouts, script: Script, status: int, cut: bool, failures: int, has_body: bool
) -> None:
    async with gateway(script, timeouts=timeouts) as (app, servers):
        client = requested(app, http("POST", *SEND), body(b"hello")) if has_body else requested(app)
        await client.end()
        assert (client.status, client.is_whole) == (status, not cut)
        assert app.stats().responses[5 if cut else 4] == 1
        assert app.stats().upstreams[0].failures == failures
        await until(lambda: servers[0].ended)


@in_loop
async def test_a_client_that_reads_slowly_is_no_idle_upstream() -> None:
    script = answers(CHUNKED + b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n")
    async with gateway(script, timeouts=Timeouts(idle=0.2)) as (app, _):
        client = requested(app)
        client.reads.clear()
        await asyncio.sleep(0.3)
        client.reads.set()
        await client.end()
        assert (client.body, client.is_whole) == (b"ab", True)


# Upstreams that fail.


async def hangs_up(peer: Peer) -> None:
    await peer.head()


@pytest.mark.parametrize(
    ("method", "fields", "messages", "first", "status", "retries"),
    [
        ("GET", [], [], None, 200, 1),
        ("POST", SEND, [body(b"hello")], None, 200, 1),
        ("GET", [], [], hangs_up, 200, 1),
        ("PUT", SEND, [body(b"hello")], hangs_up, 200, 1),
        ("POST", SEND, [body(b"hello")], hangs_up, 502, 0),
        ("PUT", STREAM, [body(b"hello", more=True), body()], hangs_up, 502, 0),
        ("GET", [], [], answers(b"\0\0\0\0\r\n\r\n"), 200, 1),
    ],
)
@in_loop
async def test_a_failure_goes_to_another_upstream_where_it_may(
    method: str, fields: Pairs, messages: list[Message], first: Script | None, status: int, retries: int
) -> None:
    """If `first` is None, the first upstream refuses connections."""

    async def second(peer: Peer) -> None:
        await peer.head()
        assert await peer.exactly(0 if method == "GET" else 5) in (b"", b"hello")
        await peer.send(OK)

    scripts = [second] if first is None else [first, second]
    before = [refusing_upstream()] if first is None else []
    async with gateway(*scripts, before=before, balance="first") as (app, _):
        client = requested(app, http(method, *fields), *messages)
        await client.end()
        assert (client.status, client.is_whole) == (status, True)
        stats = app.stats()
        assert (stats.retries, stats.upstreams[0].failures, stats.upstreams[1].failures) == (retries, 1, 0)
        assert stats.upstreams[1].requests == retries


def raises(*_: object) -> int:
    raise KeyError("secret")


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ValueError("it cannot be compared")

    __hash__ = object.__hash__


@pytest.mark.parametrize("kind", ["http", "websocket", "another upstream"])
@pytest.mark.parametrize(
    ("choose", "error"),
    [
        (raises, "KeyError"),
        *[(lambda *_, found=found: found, "TypeError") for found in (None, "0", 0.0, [0], Incomparable())],
        *[(lambda *_, found=found: found, "ValueError") for found in (3, -1, 10**30)],
        (lambda *_: 0, "ValueError"),  # the upstream that has failed, again
    ],
)
@in_loop
async def test_a_balance_that_fails_is_a_500_and_loses_nothing(
    choose: Any, error: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The function fails at the first choice, or when another upstream is to be chosen. The next request is served."""
    is_good = False

    def balance(request: Forward, available: Sequence[int]) -> int:
        found: int = available[-1] if is_good else choose(request, available)
        return 0 if kind == "another upstream" and len(available) == 3 and not is_good else found

    async with gateway(*[answers(OK)] * 2, before=[refusing_upstream()], balance=balance) as (app, _):
        client = Client(app, websocket_scope()) if kind == "websocket" else requested(app)
        await client.end()
        assert (client.status, client.body, client.is_whole) == (500, b"the gateway failed\n", True)
        (line,) = [record.message for record in caplog.records if record.message.startswith("balance failed")]
        assert line == f"balance failed: {error}"
        is_good = True
        client = requested(app)
        await client.end()
        assert (client.status, app.stats().responses) == (200, (0, 1, 0, 0, 1, 0))


@in_loop
async def test_upstreams_that_are_all_dead_are_a_502() -> None:
    async with gateway(before=[refusing_upstream(), refusing_upstream()], retries=5, health=Health(passive=1)) as (
        app,
        _,
    ):
        client = requested(app)
        await client.end()
        assert (client.status, client.body) == (502, b"ConnectError\n")
        stats = app.stats()
        assert [each.failures for each in stats.upstreams] == [1, 1]
        assert [each.is_ejected for each in stats.upstreams] == [True, True]
        assert stats.responses == (0, 0, 0, 0, 1, 0)


@pytest.mark.parametrize("has_spare", [False, True])
@in_loop
async def test_checks_leave_an_upstream_out_and_take_it_back(has_spare: bool, caplog: pytest.LogCaptureFixture) -> None:
    is_well = False

    async def script(peer: Peer) -> None:
        while head := await peer.head():
            wrong = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
            await peer.send(wrong if b"/health" in head and not is_well else OK)

    health = Health("/health", interval=0.02, fall=1, rise=1)
    async with gateway(script, before=[refusing_upstream()] if has_spare else [], health=health) as (app, servers):
        server = Client(app, {"type": "lifespan"})
        server.say("lifespan.startup")
        await server.until("lifespan.startup.complete")
        await until(lambda: not any(each.is_up for each in app.stats().upstreams))
        client = requested(app)
        await client.end()
        assert (client.status, client.body) == (503, b"no upstream is available\n")
        is_well = True
        await until(lambda: app.stats().upstreams[-1].is_up)
        client = requested(app)
        await client.end()
        assert client.status == 200
        server.say("lifespan.shutdown")
        await server.until("lifespan.shutdown.complete")
        await server.end()
        await until(lambda: servers[0].ended)
    assert [message.rpartition(" is ")[2] for message in caplog.messages][-1] == "up again"


# The client disconnects, or the server ends the request.


async def in_the_head(app: Gateway, servers: list[Server]) -> Client:
    client = requested(app)
    await until(lambda: servers[0].heads)
    return client


async def in_the_upload(app: Gateway, servers: list[Server]) -> Client:
    client = requested(app, http("POST", (b"content-length", b"100000")), body(b"some", more=True))
    await until(lambda: servers[0].heads)
    return client


async def in_the_download(app: Gateway, servers: list[Server]) -> Client:
    client = requested(app)
    await client.until("http.response.body")
    return client


async def in_both_directions(app: Gateway, servers: list[Server]) -> Client:
    client = requested(app, http("POST", *STREAM), body(b"some", more=True))
    await client.until("http.response.body")
    return client


PHASES: list[tuple[Callable[[Gateway, list[Server]], Awaitable[Client]], Script]] = [
    (in_the_head, silent),
    (in_the_upload, silent),
    (in_the_download, begins),
    (in_both_directions, begins),
]


@pytest.mark.parametrize("is_at_once", [True, False])
@pytest.mark.parametrize(("phase", "script"), PHASES)
@in_loop
async def test_a_client_that_leaves_ends_its_request(
    phase: Callable[[Gateway, list[Server]], Awaitable[Client]],
    script: Script,
    is_at_once: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "httpcore.gateway")
    async with gateway(script) as (app, servers):
        client = await phase(app, servers)
        if not is_at_once:
            await asyncio.sleep(0.03)  # the request is watched by now
        client.say("http.disconnect")
        await client.end()
        assert not client.is_whole
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)
        assert app.stats().upstreams[0].failures == 0
        await until(lambda: servers[0].ended)
        assert " cut off (left) " in caplog.messages[-1]


@in_loop
async def test_a_client_that_leaves_before_its_body_uses_no_upstream() -> None:
    async with gateway(silent) as (app, servers):
        client = requested(app, http("POST", *SEND), {"type": "http.disconnect"})
        await client.end()
        assert (client.sent, servers[0].heads) == ([], [])
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)


@pytest.mark.parametrize(("phase", "script"), PHASES)
@in_loop
async def test_a_cancellation_by_the_server_is_passed_on(
    phase: Callable[[Gateway, list[Server]], Awaitable[Client]], script: Script
) -> None:
    async with gateway(script) as (app, servers):
        client = await phase(app, servers)
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.end()
        assert not client.is_whole
        await until(lambda: servers[0].ended)


@in_loop
async def test_a_cancellation_in_the_queue_is_passed_on() -> None:
    async with gateway(silent, limits=Limits(concurrent=1)) as (app, _):
        clients = [requested(app), requested(app)]
        await until(lambda: app.stats().waiting)
        for client in reversed(clients):
            client.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client.end()


@in_loop
async def test_a_place_given_to_a_cancelled_request_is_passed_on() -> None:
    gate = Gate(1, 2)
    assert gate.enter()
    cancelled, other = [asyncio.ensure_future(gate.wait(5)) for _ in range(2)]
    await asyncio.sleep(0)
    gate.leave()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert await other
    assert (gate.under_way, gate.waiting) == (1, 0)
    gate.leave()
    assert gate.under_way == 0


# Hooks and the log.


def breaks(*_: object) -> None:
    raise KeyError("secret")


@pytest.mark.parametrize(
    ("hooks", "status", "expected", "reaches"),
    [
        ({"on_request": lambda request: request._replace(target=b"/new")}, 200, b"hello", b"GET /new "),
        ({"on_request": lambda _: Refusal(401, "expected a token")}, 401, b"expected a token\n", b""),
        ({"on_request": breaks}, 500, b"the gateway failed\n", b""),
        ({"on_response": lambda _, head: Returned(203, head.headers)}, 203, b"hello", b"GET / "),
        ({"on_response": lambda *_: Refusal(451, "not here")}, 451, b"not here\n", b"GET / "),
        ({"on_response": breaks}, 502, b"the gateway failed\n", b"GET / "),
        ({"on_request": lambda _: None, "on_response": lambda *_: None}, 200, b"hello", b"GET / "),
    ],
)
@in_loop
async def test_hooks_change_answer_or_fail(hooks: dict[str, Any], status: int, expected: bytes, reaches: bytes) -> None:
    async with gateway(answers(OK), **hooks) as (app, servers):
        client = requested(app)
        await client.end()
        assert (client.status, client.body, client.is_whole) == (status, expected, True)
        assert b"".join(servers[0].heads).startswith(reaches)
        assert bool(servers[0].heads) == bool(reaches)
        assert app.stats().responses[status // 100 - 1] == 1


@in_loop
async def test_each_request_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "httpcore.gateway")
    async with gateway(answers(OK)) as (app, _):
        await requested(app, http("GET", (b"x-request-id", b"7"), path="/a", query_string=b"secret")).end()
        name = app.stats().upstreams[0].name
    assert caplog.messages == [f"192.0.2.1 GET /a 200 {name} 7"]


@pytest.mark.parametrize(("name", "value"), [("host", "other"), ("name", ""), ("name", "a b")])
def test_an_argument_that_is_not_allowed_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected"):
        Gateway("http://127.0.0.1:1", **{name: value})  # type: ignore[arg-type]


# Several apps.


@in_loop
async def test_a_router_serves_the_app_of_the_longest_prefix() -> None:
    def answers_as(word: str) -> Any:
        async def app(scope: Scope, receive: Any, send: Any) -> None:
            assert scope["type"] == "http"  # it does not support lifespan, and shows this by failing
            await answer(send, Refusal(200, word))

        return app

    router = Router({"/api/": answers_as("api"), "/api/new/": answers_as("new")}, answers_as("all else"))
    expected = {
        "/api": (200, b"api\n"),
        "/api/x": (200, b"api\n"),
        "/api/new/x": (200, b"new\n"),
        "/apix": (200, b"all else\n"),
        "/api/../x": (400, b"the path leads outside its route\n"),
    }
    for path, (status, found) in expected.items():
        client = requested(router, http(path=path))
        await client.end()
        assert (client.status, client.body) == (status, found)
    for app, scope in [(Router({}), http()), (Router({}), websocket_scope()), (router, http(path="no path"))]:
        client = requested(app, scope)
        await client.end()
        assert client.status == (400 if app is router else 404)


@pytest.mark.parametrize("fails", [False, True])
@in_loop
async def test_a_router_starts_and_ends_all_its_apps(fails: bool) -> None:
    """The first app that fails to start decides the result. An app without lifespan support is left out."""
    seen: list[str] = []

    async def runs_until_shutdown(scope: Scope, receive: Any, send: Any) -> None:
        while not seen or seen[-1] != "lifespan.shutdown":
            seen.append((await receive())["type"])
            await send({"type": f"{seen[-1]}.{'failed' if fails else 'complete'}"})

    async def refuses_lifespan(scope: Scope, receive: Any, send: Any) -> None:
        raise KeyError(scope["type"])

    before = asyncio.all_tasks()
    server = Client(Router({"/a/": refuses_lifespan, "/b/": runs_until_shutdown}), {"type": "lifespan"})
    server.say("lifespan.startup")
    await server.until(f"lifespan.startup.{'failed' if fails else 'complete'}")
    server.say("lifespan.shutdown")
    await server.end()
    assert seen == (["lifespan.startup"] if fails else ["lifespan.startup", "lifespan.shutdown"])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
