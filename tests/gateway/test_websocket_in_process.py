"""WebSockets through the gateway in the test's own loop: ASGI messages on one side, frames by hand on the other."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgi_front import Client, Peer, Script, gateway, in_loop, until, websocket_scope
from servers import free_port
from websocket_client import accept, frame

from httpcore.gateway import Limits, Refusal, Returned, Timeouts, Upstream, WebSockets

TEXT, BYTES, CLOSE, PING, PONG = 1, 2, 8, 9, 10


async def accepting(peer: Peer, *fields: bytes, key: bytes | None = None) -> None:
    head = await peer.head()
    given = key or next(line[19:] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"]
    await peer.send(b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + accept(given), *fields]) + b"\r\n\r\n")


async def received(peer: Peer) -> tuple[int, bytes]:
    """A frame of the gateway: opcode and data."""
    start = await peer.exactly(2)
    size = start[1] & 127
    if size > 125:
        size = int.from_bytes(await peer.exactly(2 if size == 126 else 8))
    mask = await peer.exactly(4)
    data = await peer.exactly(size)
    return start[0] & 15, bytes([each ^ mask[index % 4] for index, each in enumerate(data)])


def sends(*frames: bytes, then: Callable[[Peer], Awaitable[object]] | None = None) -> Script:
    """Accepts, sends these frames, and waits for the gateway to disconnect."""

    async def script(peer: Peer) -> None:
        await accepting(peer)
        for each in frames:
            await peer.send(each)
        await (peer.rest() if then is None else then(peer))

    return script


async def disconnect_without_close(peer: Peer) -> None:
    """The upstream disconnects without a Close."""


class Frames:
    """An upstream that accepts, and keeps the received frames until a Close, which it may answer."""

    def __init__(self, *, answers_close: bool = True, at_close: bytes = b"") -> None:
        self.got: list[tuple[int, bytes]] = []
        self._answers_close = answers_close
        self._at_close = at_close

    async def __call__(self, peer: Peer) -> None:
        await accepting(peer)
        while not self.got or self.got[-1][0] != CLOSE:
            self.got.append(await received(peer))
        await peer.send(self._at_close)
        if self._answers_close:
            await peer.send(frame(CLOSE, self.got[-1][1]))
        await peer.rest()


def dial(app: Any, *fields: tuple[bytes, bytes], **more: Any) -> Client:
    return Client(app, websocket_scope(*fields, **more))


# Messages.


@in_loop
async def test_messages_pass_in_both_directions() -> None:
    async def script(peer: Peer) -> None:
        await accepting(peer, b"Sec-WebSocket-Protocol: two", b"Set-Cookie: a=1", b"Date: x")
        for _ in range(3):
            await peer.send(frame(*await received(peer)))
        await peer.send(frame(CLOSE, b"\x0f\xa1bye"))
        assert await received(peer) == (CLOSE, b"\x0f\xa1bye")

    async with gateway(script) as (app, servers):
        client = dial(app, (b"sec-websocket-extensions", b"permessage-deflate"), subprotocols=["one", "two"])
        accepted = await client.until("websocket.accept")
        assert accepted["subprotocol"] == "two"
        assert accepted["headers"] == [(b"set-cookie", b"a=1"), (b"via", b"1.1 gw")]
        client.say("websocket.receive", text="gr\xfc\xdfe")
        client.say("websocket.receive", bytes=b"\0\xff", text=None)
        client.say("websocket.receive", text="x" * 300)
        await client.end()
        assert client.texts == ["gr\xfc\xdfe", b"\0\xff", "x" * 300]
        assert client.close == (4001, "bye")
        head = servers[0].heads[0].lower()
        assert b"\r\nsec-websocket-protocol: one, two\r\n" in head
        assert b"sec-websocket-extensions" not in head
        assert app.stats().responses == (1, 0, 0, 0, 0, 0)


@in_loop
async def test_fragments_pings_and_pongs_are_for_one_hop() -> None:
    pieces = [frame(TEXT, b"a", last=False) + frame(PING, b"one") + frame(0, b"b", last=False)]
    digits = [frame(0, b"%d" % (number % 10), last=number == 1099) for number in range(1100)]
    pieces += [b"".join(digits)]  # enough frames that they are joined from time to time
    pieces += [frame(PONG) + frame(BYTES, b"x" * 40_000)]  # a long message: other tasks run meanwhile
    got: list[tuple[int, bytes]] = []

    async def then(peer: Peer) -> None:
        got.append(await received(peer))
        await peer.send(frame(CLOSE))
        await peer.rest()

    async with gateway(sends(*pieces, then=then)) as (app, _):
        client = dial(app)
        await client.end()
        assert client.texts == ["ab" + "0123456789" * 110, b"x" * 40_000]
        assert client.close == (1000, "")  # the upstream sent no code
        assert got == [(PONG, b"one")]


@in_loop
async def test_of_pings_in_a_row_the_last_is_answered() -> None:
    got: list[tuple[int, bytes]] = []

    async def then(peer: Peer) -> None:
        got.append(await received(peer))
        await peer.send(frame(CLOSE, b"\x03\xe8"))
        await peer.rest()

    async with gateway(sends(frame(PING, b"one") + frame(PING, b"two"), then=then)) as (app, _):
        await dial(app).end()
        assert got == [(PONG, b"two")]


# The end.

TOO_LONG = (1009, "expected at most 10 bytes in a message")


@pytest.mark.parametrize(
    ("frames", "leaves", "close", "is_whole"),
    [
        ([frame(CLOSE, b"\x03\xe8done")], False, (1000, "done"), True),
        ([frame(CLOSE, b"\x03\xf4restart")], False, (1012, "restart"), True),
        ([frame(CLOSE)], False, (1000, ""), True),
        ([], True, (1011, "the upstream broke off"), False),
        ([b"\x81\x7d12"], True, (1011, "the upstream broke off"), False),
        ([b"\x81\x81mask1"], False, (1011, "the upstream broke the protocol"), False),
        ([frame(TEXT, b"\xff")], False, (1011, "the upstream broke the protocol"), False),
        ([frame(BYTES, b"x" * 11)], False, TOO_LONG, True),
        ([frame(BYTES, b"x" * 6, last=False), frame(0, b"x" * 6)], False, TOO_LONG, True),
    ],
)  # fmt: skip
@in_loop
async def test_each_end_of_the_upstream_closes_the_client(
    frames: list[bytes], leaves: bool, close: tuple[int, str], is_whole: bool
) -> None:
    script = sends(*frames, then=disconnect_without_close if leaves else None)
    async with gateway(script, websocket=WebSockets(max_message=10)) as (app, servers):
        client = dial(app)
        await client.end()
        assert client.close == close
        assert app.stats().responses[0 if is_whole else 5] == 1
        await until(lambda: servers[0].ended)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ({"code": 1000, "reason": "bye"}, b"\x03\xe8bye"),
        ({"code": 4321, "reason": None}, b"\x10\xe1"),
        ({"code": 1005, "reason": ""}, b""),
        ({}, b""),
    ],
)
@pytest.mark.parametrize("answers_close", [True, False])
@in_loop
async def test_the_clients_close_reaches_the_upstream(
    left: dict[str, Any], expected: bytes, answers_close: bool
) -> None:
    frames = Frames(answers_close=answers_close)
    async with gateway(frames, websocket=WebSockets(close_timeout=5 if answers_close else 0.05)) as (app, servers):
        client = dial(app)
        await client.until("websocket.accept")
        client.say("websocket.disconnect", **left)
        await client.end()
        assert frames.got == [(CLOSE, expected)]
        assert len(client.sent) == 1  # the gateway sends nothing to a client that has disconnected
        await until(lambda: servers[0].ended)
        assert app.stats().responses == ((1, 0, 0, 0, 0, 0) if answers_close else (0, 0, 0, 0, 0, 1))


@pytest.mark.parametrize("at_close", [frame(TEXT, b"late"), frame(PING, b"late"), b"\x83\x00", frame(PONG)])
@in_loop
async def test_messages_that_cross_the_clients_close_do_no_harm(at_close: bytes) -> None:
    frames = Frames(at_close=at_close)
    async with gateway(frames) as (app, _):
        client = dial(app)
        await client.until("websocket.accept")
        client.say("websocket.disconnect", code=1000)
        await client.end()
        assert len(client.sent) == 1
        assert app.stats().responses == (1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("phase", ["in the handshake", "open"])
@in_loop
async def test_a_client_that_is_lost_is_a_lost_connection(phase: str) -> None:
    async def silent(peer: Peer) -> None:
        await peer.head()
        assert await peer.rest() == b""

    async with gateway(sends() if phase == "open" else silent) as (app, servers):
        client = dial(app)
        await (client.until("websocket.accept") if phase == "open" else until(lambda: servers[0].heads))
        client.say("websocket.disconnect", code=1006)
        await client.end()
        assert client.close is None
        await until(lambda: servers[0].ended)
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)


@in_loop
async def test_a_server_that_fails_to_send_has_lost_its_client() -> None:
    """Servers may raise an error before they notify the app that the client has disconnected."""

    async def floods(peer: Peer) -> None:
        while True:
            await peer.send(frame(BYTES, b"x" * 100))
            await asyncio.sleep(0.001)

    async with gateway(sends(then=floods), websocket=WebSockets(close_timeout=0.05)) as (app, servers):
        client = dial(app)
        await client.until("websocket.send")
        client.fails = True
        await client.end()
        await until(lambda: servers[0].ended)
        assert client.close is None
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)


@in_loop
async def test_a_cancellation_by_the_server_closes_the_upstream() -> None:
    async with gateway(sends()) as (app, servers):
        client = dial(app)
        await client.until("websocket.accept")
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.end()
        await until(lambda: servers[0].ended)


# Silence.


@in_loop
async def test_a_silent_upstream_is_pinged_and_given_up() -> None:
    got: list[tuple[int, bytes]] = []

    async def then(peer: Peer) -> None:
        got.append(await received(peer))
        await peer.rest()

    async with gateway(sends(then=then), websocket=WebSockets(ping_interval=0.15)) as (app, servers):
        client = dial(app)
        await client.end()
        assert client.close == (1011, "the upstream does not answer")
        assert got == [(PING, b"")]
        await until(lambda: servers[0].ended)
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)
        assert app.stats().upstreams[0].failures == 1


@in_loop
async def test_an_upstream_that_answers_pings_is_kept() -> None:
    async def then(peer: Peer) -> None:
        for _ in range(3):
            assert (await received(peer))[0] == PING
            await peer.send(frame(PONG))
        await peer.send(frame(CLOSE, b"\x03\xe8"))
        await peer.rest()

    async with gateway(sends(then=then), websocket=WebSockets(ping_interval=0.12)) as (app, _):
        client = dial(app)
        await client.end()
        assert client.close == (1000, "")


@pytest.mark.parametrize("speaks", [False, True])
@in_loop
async def test_an_upstream_that_reads_nothing_is_given_up(speaks: bool) -> None:
    """After `idle`, only a part of a frame has been sent, so no other frame may follow, not even the Close of the
    client.
    """

    async def then(peer: Peer) -> None:
        while speaks and not peer.writer.is_closing():
            await peer.send(frame(TEXT, b"x"))
            await asyncio.sleep(0.02)
        await asyncio.sleep(5)

    sockets = WebSockets(ping_interval=None)
    async with gateway(sends(then=then), websocket=sockets, timeouts=Timeouts(idle=0.25)) as (app, servers):
        client = dial(app)
        await client.until("websocket.accept")
        client.say("websocket.receive", bytes=bytes(16_000_000))
        await asyncio.wait_for(client.end(), 2)
        assert client.close == (1011, "the upstream broke off")
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)
        servers[0].cancel()


@in_loop
async def test_the_whole_exchange_has_a_limit_where_one_is_given() -> None:
    async with gateway(sends(), timeouts=Timeouts(total=0.25)) as (app, servers):
        client = dial(app)
        await client.end()
        assert client.status == 101
        await until(lambda: servers[0].ended)


# The handshake.


async def silent(peer: Peer) -> None:
    await peer.head()
    await peer.rest()


def accepts_with(*fields: bytes, key: bytes | None = None) -> Script:
    async def script(peer: Peer) -> None:
        await accepting(peer, *fields, key=key)

    return script


@pytest.mark.parametrize(
    "wrong",
    [
        accepts_with(key=b"another"),
        accepts_with(b"Sec-WebSocket-Protocol: other"),
        accepts_with(b"Sec-WebSocket-Extensions: permessage-deflate"),
    ],
)
@in_loop
async def test_an_upstream_that_accepts_wrongly_is_a_502(wrong: Script) -> None:
    async with gateway(wrong) as (app, _):
        client = dial(app)
        await client.end()
        assert (client.status, client.body, client.is_whole) == (502, b"RemoteProtocolError\n", True)
        assert app.stats().upstreams[0].failures == 1


@pytest.mark.parametrize("first", [None, accepts_with(key=b"another")])
@in_loop
async def test_another_upstream_is_used_where_one_fails(first: Script | None) -> None:
    """If `first` is None, the first upstream refuses connections."""
    before = [Upstream(f"http://127.0.0.1:{free_port()}")] if first is None else []
    scripts = [sends(frame(CLOSE))] if first is None else [first, sends(frame(CLOSE))]
    async with gateway(*scripts, before=before, balance="first") as (app, _):
        client = dial(app)
        await client.end()
        assert (client.status, client.close) == (101, (1000, ""))
        assert app.stats().retries == 1


@pytest.mark.parametrize("scripts", [[silent], [accepts_with(key=b"another"), silent]])
@in_loop
async def test_the_handshake_has_the_idle_timeout(scripts: list[Script]) -> None:
    """The timeout also applies to the handshake with a second upstream."""
    async with gateway(*scripts, balance="first", timeouts=Timeouts(idle=0.2)) as (app, servers):
        client = dial(app)
        await asyncio.wait_for(client.end(), 2)
        assert (client.status, client.is_whole) == (504, True)
        await until(lambda: servers[-1].ended)


DENIAL = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nX-Secret: 1\r\nContent-Length: 8\r\n\r\n"


def refuses(pause: float) -> Script:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(DENIAL + b"no ")
        for piece in (b"ent", b"ry"):
            await asyncio.sleep(pause)
            await peer.send(piece)

    return script


def without_secrets(_: object, head: Returned) -> Returned:
    return Returned(404, [pair for pair in head.headers if pair[0] != b"x-secret"])


def breaks(*_: object) -> None:
    raise KeyError("secret")


@pytest.mark.parametrize(("can_deny", "status", "expected"), [(True, 401, b"no entry"), (False, 403, b"")])
@in_loop
async def test_a_refusal_may_take_longer_than_its_pieces(can_deny: bool, status: int, expected: bytes) -> None:
    """`idle` is the time between two pieces."""
    async with gateway(refuses(0.18), timeouts=Timeouts(idle=0.3)) as (app, _):
        client = dial(app, can_deny=can_deny)
        await client.end()
        assert (client.status, client.body, client.is_whole) == (status, expected, True)
        if can_deny:
            assert client.fields[b"www-authenticate"] == b"Basic"
        assert app.stats().responses == (0, 0, 0, 1, 0, 0)


@pytest.mark.parametrize(
    ("can_deny", "hook", "status", "expected"),
    [
        (True, lambda *_: None, 401, b"no entry"),
        (True, without_secrets, 404, b"no entry"),
        (True, lambda *_: Refusal(451, "not here"), 451, b"not here\n"),
        (True, breaks, 502, b"the gateway failed\n"),
        (False, without_secrets, 403, b""),
    ],
)
@in_loop
async def test_a_hook_sees_the_refusal_of_a_websocket(can_deny: bool, hook: Any, status: int, expected: bytes) -> None:
    """A hook sees every response, and any client can request a WebSocket."""
    async with gateway(refuses(0.01), on_response=hook) as (app, _):
        client = dial(app, can_deny=can_deny)
        await client.end()
        assert (client.status, client.body, client.is_whole) == (status, expected, True)
        assert can_deny is False or (b"x-secret" in client.fields) == (status == 401)


@in_loop
async def test_a_refusal_that_breaks_off_has_no_end() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(DENIAL + b"no ")

    async with gateway(script) as (app, _):
        client = dial(app)
        await client.end()
        assert (client.status, client.body, client.is_whole) == (401, b"no ", False)
        assert app.stats().responses == (0, 0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("options", "fields", "status"),
    [
        ({}, [(b"host", b"twice")], 400),
        ({"on_request": lambda _: Refusal(401, "expected a token")}, [], 401),
        ({"limits": Limits(concurrent=1, queue=0)}, [], 503),
        ({"websocket": False}, [], 403),
    ],
)
@pytest.mark.parametrize("can_deny", [True, False])
@in_loop
async def test_a_refused_request_reaches_no_upstream(
    options: dict[str, Any], fields: list[tuple[bytes, bytes]], status: int, can_deny: bool
) -> None:
    async with gateway(sends(), **options) as (app, servers):
        other = dial(app) if status == 503 else None
        if other is not None:
            await other.until("websocket.accept")
        client = dial(app, *fields, can_deny=can_deny)
        await client.end()
        assert (client.status, client.is_whole) == (status if can_deny else 403, True)
        assert len(servers[0].heads) == (other is not None)
        if other is not None:
            other.say("websocket.disconnect", code=1006)
            await other.end()


@in_loop
async def test_a_hook_changes_the_handshake() -> None:
    def changed(request: Any) -> Any:
        return request._replace(target=b"/new")

    async with gateway(sends(frame(CLOSE)), on_request=changed) as (app, servers):
        await dial(app).end()
        assert servers[0].heads[0].startswith(b"GET /new HTTP/1.1\r\n")


@in_loop
async def test_a_websocket_without_its_package_is_a_501(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "httpcore.gateway.websocket", None)
    async with gateway(sends()) as (app, _):
        client = dial(app)
        with caplog.at_level(logging.ERROR, "httpcore.gateway"):
            await client.end()
        assert client.status == 501
        assert caplog.messages == ["WebSockets need the package wsproto: pip install httpcore[gateway]"]
