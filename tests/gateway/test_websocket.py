"""WebSockets through the gateway: with servers in front, another library's client, and upstreams on Starlette and
scripted.
"""

from __future__ import annotations

import base64
import hashlib
import json
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import browser
from gateway_servers import exchange, get, serving
from servers import Peer, ScriptedServer, uvicorn
from websocket_client import MAGIC, frame
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from httpcore._errors import RemoteProtocolError
from httpcore.gateway import Forward, Gateway, Refusal, Trust, WebSockets
from httpcore.gateway.handshakes import Offer, agreed, offer_for

pytestmark = pytest.mark.servers

FRONTS = {
    "uvicorn-httptools": ("--ws", "wsproto"),
    "uvicorn-h11": ("--ws", "websockets-sansio"),
    "hypercorn": (),
    "granian": ("--ws",),
}
NOTED: dict[str, list[Any]] = {"hypercorn": [1005, ""], "granian": [4321, ""]}
"""The code and reason that these servers pass to the app when a client closes with 4321; the others pass both."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    with uvicorn("tests.support.websocket_upstream:app", "--ws", "wsproto") as port:
        yield port


@pytest.fixture(scope="module")
def front(upstream: int) -> Iterator[int]:
    with serving("uvicorn-httptools", "plain", "--ws", "wsproto", UPSTREAMS=f"http://127.0.0.1:{upstream}") as port:
        yield port


def dial(port: int, path: str = "/echo", **named: Any) -> ClientConnection:
    client: ClientConnection = connect(
        f"ws://127.0.0.1:{port}{path}", proxy=None, open_timeout=15, close_timeout=5, **named
    )
    return client


def seen(upstream: int, count: int = 1) -> list[list[Any]]:
    body = exchange(upstream, get(f"/seen?count={count}")).rpartition(b"\r\n\r\n")[2]
    found: list[list[Any]] = json.loads(body)
    return found


# Messages.


@pytest.mark.parametrize("server", FRONTS)
def test_messages_pass_in_both_directions_on_every_server(server: str, upstream: int) -> None:
    with (
        serving(server, "plain", *FRONTS[server], UPSTREAMS=f"http://127.0.0.1:{upstream}") as port,
        dial(port, subprotocols=["one", "two"]) as client,
    ):
        assert client.subprotocol == "two"  # the upstream's choice
        for message in ("", "grüße", "x" * 70_000, b"\0\xff", b"y" * 300_000):
            client.send(message)
            assert client.recv(10) == message
        client.send(["in ", "parts"])
        assert client.recv(10) == "in parts"
        assert client.ping().wait(10)  # by the server in front
        client.close(4321, "enough")
        assert seen(upstream) == [NOTED.get(server, [4321, "enough"])]
        assert is_settled(port)


def test_many_messages_arrive_in_order_before_the_close(front: int) -> None:
    with dial(front, "/many") as client:
        assert [message[0] for message in client if isinstance(message, bytes)] == list(range(64))
        assert client.close_code == 1000


def test_the_clients_request_reaches_the_upstream(front: int) -> None:
    more = [("Cookie", "a=1"), ("X-A", "b"), ("X-Forwarded-For", "9.9.9.9")]
    with dial(front, "/fields?a=%2F", origin="https://app.test", additional_headers=more) as client:
        shown = json.loads(client.recv(10))
    assert shown["path"] == "/fields?a=%2F"
    fields: dict[str, list[str]] = {}
    for name, value in shown["headers"]:
        fields.setdefault(name, []).append(value)
    assert fields["origin"] == ["https://app.test"]
    assert fields["cookie"] == ["a=1"]
    assert fields["x-a"] == ["b"]
    assert fields["x-forwarded-for"] == ["127.0.0.1"]
    assert fields["x-forwarded-proto"] == ["http"]
    assert fields["via"] == ["1.1 gw"]
    assert "sec-websocket-extensions" not in fields  # each hop negotiates its own extensions
    assert len(fields["sec-websocket-key"]) == 1
    assert fields["sec-websocket-version"] == ["13"]


def test_the_client_gets_the_fields_of_the_acceptance(front: int) -> None:
    with dial(front) as client:
        assert client.response is not None
        assert client.response.headers["x-upstream"] == "yes"
        assert client.response.headers["set-cookie"] == "a=1"
        assert client.response.headers["via"] == "1.1 gw"


def test_a_browsers_websocket_passes(front: int, upstream: int, tmp_path: Path) -> None:
    """The page, the sockets and the report pass through the gateway; the test requests the report from the upstream."""
    seen(upstream, 0)  # discards the events of other tests
    with browser(f"http://127.0.0.1:{front}/page", tmp_path):
        response = exchange(upstream, get("/report"), timeout=30)
    assert json.loads(response.rpartition(b"\r\n\r\n")[2]) == {
        "protocol": "two",  # the upstream's choice
        "messages": ["grüße", [100_000, True]],
        "closed": [4001, "bye", True],
        "shut": [4321, "enough", True],
        "refused": [1006, "", False],
    }
    assert seen(upstream) == [[4321, "enough"]]
    assert is_settled(front)


# The end.


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1001, ""), (1012, "restart"), (4001, "bye")])
def test_the_upstreams_close_reaches_the_client(code: int, reason: str, front: int) -> None:
    with dial(front) as client:
        client.send(f"close {code} {reason}")
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert (client.close_code, client.close_reason) == (code, reason)


@pytest.mark.parametrize(("server", "path", "status"), [
    ("uvicorn-httptools", "/refuse", 401),
    ("uvicorn-httptools", "/shut", 403),
    ("uvicorn-httptools", "/none", 403),
    ("hypercorn", "/refuse", 401),
    ("granian", "/refuse", 403),  # its only status
])  # fmt: skip
def test_a_refusal_of_the_upstream_reaches_the_client(
    server: str, path: str, status: int, front: int, upstream: int
) -> None:
    @contextmanager
    def serves() -> Iterator[int]:
        if server == "uvicorn-httptools":
            yield front
        else:
            with serving(server, "plain", *FRONTS[server], UPSTREAMS=f"http://127.0.0.1:{upstream}") as port:
                yield port

    with serves() as port, pytest.raises(InvalidStatus) as refused:
        dial(port, path)
    assert refused.value.response.status_code == status
    if status == 401:
        assert refused.value.response.headers["www-authenticate"] == "Basic"
        assert refused.value.response.body == b"no entry"


def test_a_gateway_without_websockets_refuses_with_403(upstream: int) -> None:
    options = json.dumps({"websocket": False})
    with (
        serving("uvicorn-httptools", "plain", UPSTREAMS=f"http://127.0.0.1:{upstream}", OPTIONS=options) as port,
        pytest.raises(InvalidStatus) as refused,
    ):
        dial(port)
    assert refused.value.response.status_code == 403


# Upstreams that follow a script.


def accepting(peer: Peer, *fields: bytes, key: bytes | None = None) -> None:
    head = peer.head()
    asked_key = head.lower().partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
    given = head[head.lower().index(asked_key) :][: len(asked_key)] if key is None else key
    answer = base64.b64encode(hashlib.sha1(given + MAGIC).digest())
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: websocket"]
    peer.send(b"\r\n".join([*lines, b"Sec-WebSocket-Accept: " + answer, *fields]) + b"\r\n\r\n")


def received(peer: Peer) -> tuple[int, bytes]:
    """A frame of the gateway: opcode and data. (-1, b"") at the end."""
    start = peer.exactly(2)
    if len(start) < 2:
        return -1, b""
    size = start[1] & 127
    if size == 126:
        size = struct.unpack("!H", peer.exactly(2))[0]
    elif size == 127:
        size = struct.unpack("!Q", peer.exactly(8))[0]
    mask = peer.exactly(4)
    return start[0] & 15, bytes([each ^ mask[index % 4] for index, each in enumerate(peer.exactly(size))])


class ScriptedUpstream:
    """An upstream whose behaviour is set by each test.

    Attributes:
        run: the script of a connection.
        left: the `time.monotonic` at which the client's disconnect reached the upstream, as Close or as the end.
        frames: the received frames, as opcode and data.
        is_over: whether the connection of the upstream has ended.
    """

    def __init__(self) -> None:
        self.run: Callable[[Peer], object] = accepting
        self.left = 0.0
        self.frames: list[tuple[int, bytes]] = []
        self.is_over = False

    def __call__(self, peer: Peer) -> None:
        self.left = 0.0
        self.frames = []
        self.is_over = False
        try:
            self.run(peer)
            while (found := received(peer))[0] >= 0:
                self.frames.append(found)
                if found[0] == 8:
                    self.left = time.monotonic()
        finally:
            self.left = self.left or time.monotonic()
            self.is_over = True

    def end(self) -> float:
        for _ in range(1000):
            if self.is_over:
                return self.left
            time.sleep(0.005)
        raise AssertionError("the upstream's connection was not closed")


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[ScriptedUpstream, int]]:
    script = ScriptedUpstream()
    options = json.dumps({"websocket": {"max_message": 1000, "ping_interval": 0.3, "close_timeout": 0.2}})
    with (
        ScriptedServer(script) as upstream,
        serving("uvicorn-httptools", "plain", "--ws", "wsproto", UPSTREAMS=upstream.url, OPTIONS=options) as port,
    ):
        yield script, port


def is_settled(port: int) -> bool:
    """Whether no WebSocket holds a place of a limit any more."""
    for _ in range(200):
        if b"requests_under_way 0\n" in exchange(port, get("/-/stats")):
            return True
        time.sleep(0.01)
    return False


WRONG: dict[str, Callable[[Peer], object]] = {
    "another key": lambda peer: accepting(peer, key=b"x"),
    "a subprotocol of its own": lambda peer: accepting(peer, b"Sec-WebSocket-Protocol: other"),
    "an extension": lambda peer: accepting(peer, b"Sec-WebSocket-Extensions: permessage-deflate"),
    "no HTTP": lambda peer: peer.send(b"\0" * 100),
    "nothing": lambda peer: None,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_upstream_that_accepts_wrongly_is_a_502(wrong: str, scripted: tuple[ScriptedUpstream, int]) -> None:
    script, port = scripted

    def run(peer: Peer) -> None:
        WRONG[wrong](peer)
        peer.close()

    script.run = run
    with pytest.raises(InvalidStatus) as refused:
        dial(port)
    assert refused.value.response.status_code == 502
    assert is_settled(port)


BROKEN: dict[str, tuple[list[bytes], int]] = {
    "cut off": ([b""], 1011),
    "cut off in a frame": ([b"\x81\x7d12"], 1011),
    "a masked frame": ([b"\x81\x81mask1"], 1011),
    "a reserved opcode": ([frame(3)], 1011),
    "text that is none": ([frame(1, b"\xff")], 1011),
    "a message too long": ([frame(2, b"x" * 1001)], 1009),
    "a message too long in parts": ([frame(2, b"x" * 400, last=False)] + [frame(0, b"x" * 400, last=False)] * 2, 1009),
    "no code": ([frame(8)], 1000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_upstream_that_breaks_off_closes_the_client(name: str, scripted: tuple[ScriptedUpstream, int]) -> None:
    script, port = scripted
    frames, code = BROKEN[name]

    def run(peer: Peer) -> None:
        accepting(peer)
        for each in frames:
            peer.send(each)
        if name.startswith("cut"):
            peer.close()

    script.run = run
    with dial(port) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert client.close_code == code
    assert is_settled(port)


def test_fragments_and_pings_of_the_upstream_are_put_together(scripted: tuple[ScriptedUpstream, int]) -> None:
    script, port = scripted

    def run(peer: Peer) -> None:
        accepting(peer)
        peer.send(frame(1, b"a", last=False) + frame(9, b"one") + frame(9, b"two") + frame(0, b"b", last=False))
        for number in range(900):  # the pieces are joined from time to time
            peer.send(frame(0, b"%d" % (number % 10), last=number == 899))

    script.run = run
    with dial(port) as client:
        assert client.recv(10) == "ab" + "0123456789" * 90
        client.send(b"bytes")
    script.end()
    # Several pings may be answered by one pong, for the last ping.
    assert (10, b"two") in script.frames
    assert (2, b"bytes") in script.frames
    assert script.frames[-1][0] == 8


def test_an_upstream_that_falls_silent_is_given_up(scripted: tuple[ScriptedUpstream, int]) -> None:
    script, port = scripted
    script.run = accepting
    with dial(port) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        assert client.close_code == 1011
    script.end()
    assert script.frames[0][0] == 9  # the gateway sent a ping before
    assert is_settled(port)


def test_an_upstream_that_answers_pings_is_kept(scripted: tuple[ScriptedUpstream, int]) -> None:
    script, port = scripted

    def run(peer: Peer) -> None:
        accepting(peer)
        for _ in range(3):
            assert received(peer)[0] == 9
            peer.send(frame(10))
        peer.send(frame(1, b"still here"))

    script.run = run
    with dial(port) as client:
        assert client.recv(10) == "still here"


def test_a_client_that_is_lost_closes_without_a_code(scripted: tuple[ScriptedUpstream, int]) -> None:
    script, port = scripted
    script.run = accepting
    with plain(port) as client:
        assert client.recv(1024).startswith(b"HTTP/1.1 101")
    script.end()
    assert script.frames == [(8, b"")]


def test_an_upstream_that_does_not_answer_close_is_left(scripted: tuple[ScriptedUpstream, int]) -> None:
    script, port = scripted
    script.run = accepting
    with dial(port) as client:
        client.close(1000, "bye")
    script.end()
    assert script.frames == [(8, b"\x03\xe8bye")]
    assert is_settled(port)


# Leaving.


def plain(port: int) -> socket.socket:
    """The handshake of a client that sends arbitrary bytes afterwards."""
    client = socket.create_connection(("127.0.0.1", port), 10)
    client.sendall(
        b"GET / HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    return client


def asleep(peer: Peer) -> None:
    peer.head()


def flooding(peer: Peer) -> None:
    accepting(peer)
    data = b""
    peer.socket.setblocking(False)
    while peer.socket not in select.select([peer.socket], [peer.socket], [])[0]:
        data = data or frame(2, b"x" * 1000)
        data = data[peer.socket.send(data) :]
    peer.socket.setblocking(True)


@pytest.mark.parametrize("phase", ["in the handshake", "idle", "in a message", "while the upstream sends"])
def test_the_best_of_three_disconnects_takes_less_than_20_ms(
    phase: str, scripted: tuple[ScriptedUpstream, int]
) -> None:
    """The time until the disconnect has reached the upstream is measured; each of the three is less than 5 s."""
    script, port = scripted
    script.run = {"in the handshake": asleep, "while the upstream sends": flooding}.get(phase, accepting)
    took = []
    for _ in range(3):  # another process may have the CPU
        script.is_over = False
        with plain(port) as client:
            if phase == "in the handshake":
                time.sleep(0.05)
            else:
                assert client.recv(1024).startswith(b"HTTP/1.1 101")
            if phase == "in a message":
                client.sendall(b"\x02\x80mask" + b"\x82\xfe\xff\xffmask1234")
                time.sleep(0.02)
            left = time.monotonic()
        took.append(script.end() - left)
        assert is_settled(port)
    assert min(took) < 0.02


def test_a_disconnect_at_any_moment_leaves_nothing_behind(upstream: int, front: int) -> None:
    for number in range(60):
        with plain(front) as client:
            client.settimeout(0.0)
            if number % 3:
                time.sleep(0.001 * (number % 17))
            if number % 4 == 1:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert is_settled(front)
    with dial(front) as client:
        client.send("still works")
        assert client.recv(10) == "still works"


# The handshake, as values.


def scope(*headers: tuple[bytes, bytes], **more: object) -> dict[str, Any]:
    fields = [(b"host", b"gw.test"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket"), *headers]
    return {
        "type": "websocket", "http_version": "1.1", "scheme": "ws", "path": "/a", "raw_path": b"/a",
        "query_string": b"", "headers": fields, "client": ("127.0.0.1", 1), "subprotocols": [], **more,
    }  # fmt: skip


NONCE = base64.b64decode(b"dGhlIHNhbXBsZSBub25jZQ==")


def offer(**more: object) -> Offer:
    found = offer_for(scope(**more), Trust(), NONCE)
    assert isinstance(found, Offer)
    return found


def test_the_accept_value_is_that_of_the_rfc() -> None:
    assert offer().accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3


@pytest.mark.parametrize(("headers", "more", "status"), [
    ([(b"content-length", b"5")], {}, 400),
    ([(b"transfer-encoding", b"chunked")], {}, 400),
    ([(b"host", b"twice")], {}, 400),
    ([], {"raw_path": b"no path"}, 400),
    ([(b"via", b"1.1 gateway")], {}, 508),
])  # fmt: skip
def test_a_handshake_that_may_not_go_on_is_refused(
    headers: list[tuple[bytes, bytes]], more: dict[str, object], status: int
) -> None:
    refused = offer_for(scope(*headers, **more), Trust(), NONCE)
    assert isinstance(refused, Refusal)
    assert refused.status == status


def test_a_handshake_is_a_get_without_a_body() -> None:
    request = offer_for(scope((b"content-length", b"0"), (b"connection", b"x-hop"), (b"x-hop", b"1")), Trust(), NONCE)
    assert isinstance(request, Offer)
    assert isinstance(request.request, Forward)
    assert request.request.method == "GET"
    assert request.request.has_body is False
    assert not {b"content-length", b"x-hop"} & {name for name, _ in request.request.headers}


@pytest.mark.parametrize(("fields", "subprotocol"), [
    ([], None),
    ([(b"sec-websocket-protocol", b"a")], "a"),
    ([(b"sec-websocket-protocol", b"c")], RemoteProtocolError),
    ([(b"sec-websocket-protocol", b"a"), (b"sec-websocket-protocol", b"b")], RemoteProtocolError),
    ([(b"sec-websocket-extensions", b"x")], RemoteProtocolError),
    ([(b"sec-websocket-accept", b"x")], RemoteProtocolError),
    ([(b"upgrade", b"h2c")], RemoteProtocolError),
])  # fmt: skip
def test_the_acceptance_is_checked(fields: list[tuple[bytes, bytes]], subprotocol: Any) -> None:
    asked_for = offer(subprotocols=["a", "b"])
    assert (b"sec-websocket-protocol", b"a, b") in asked_for.request.headers
    given = [(b"upgrade", b"websocket"), (b"sec-websocket-accept", asked_for.accept), (b"date", b"x"), *fields]
    if isinstance(subprotocol, type):
        with pytest.raises(RemoteProtocolError):
            agreed(given, asked_for, frozenset((b"date",)), b"gw")
    else:
        found = agreed(given, asked_for, frozenset((b"date",)), b"gw")
        assert found.subprotocol == subprotocol
        assert found.headers == [(b"via", b"1.1 gw")]


# The setting.


@pytest.mark.parametrize("given", [None, "yes", 1, {}])
def test_an_unknown_setting_of_websockets_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="websocket: expected True, False or a WebSockets"):
        Gateway("http://127.0.0.1:1", websocket=given)


@pytest.mark.parametrize("given", [
    {"max_message": 0}, {"max_message": None}, {"max_message": 1.5},
    {"ping_interval": 0}, {"close_timeout": -1}, {"close_timeout": None},
])  # fmt: skip
def test_the_values_of_websockets_are_checked(given: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(given))):
        WebSockets(**given)
