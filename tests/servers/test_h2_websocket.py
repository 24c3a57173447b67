"""WebSockets on `response.connection`, in every runtime: over HTTP/2 by extended CONNECT (RFC 8441), many on one
connection and beside ordinary requests, and over HTTP/1.1 by Upgrade. The frames are wsproto's.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import trio
from real_servers import Ports, patterned
from runtimes import Runtime, each_runtime
from servers import uvicorn
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage

import httpcore

MEGABYTE = patterned(1_000_000)
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KNOWS = {"http1": False}
IMPATIENT = httpcore.TimeoutConfig(30, read_timeout=0.05)


class Case(NamedTuple):
    """The server of a WebSocket, and its transport."""

    url: str
    protocol: str
    settings: dict[str, Any]


@pytest.fixture(scope="module")
def uvicorn_port() -> Iterator[int]:
    with uvicorn("apps:app", "--app-dir", "tests/support", "--ws", "wsproto") as port:
        yield port


@pytest.fixture(params=["HTTP/2, TLS", "HTTP/2, plain", "HTTP/1.1, TLS", "HTTP/1.1, plain", "HTTP/1.1, uvicorn"])
def case(request: pytest.FixtureRequest, hypercorn: Ports, trusting_real: httpcore.SSLConfig) -> Case:
    protocol, _, how = request.param.partition(", ")
    if how == "uvicorn":
        return Case(f"http://127.0.0.1:{request.getfixturevalue('uvicorn_port')}", protocol, {})
    if how == "TLS":
        return Case(f"https://localhost:{hypercorn.secure}", protocol, {"ssl": trusting_real})
    return Case(f"http://127.0.0.1:{hypercorn.plain}", protocol, KNOWS if protocol == "HTTP/2" else {})


@pytest.fixture(params=["TLS", "plain"])
def second(request: pytest.FixtureRequest, hypercorn: Ports, trusting_real: httpcore.SSLConfig) -> Case:
    """A server over HTTP/2, with TLS or without."""
    if request.param == "TLS":
        return Case(f"https://localhost:{hypercorn.secure}", "HTTP/2", {"ssl": trusting_real})
    return Case(f"http://127.0.0.1:{hypercorn.plain}", "HTTP/2", KNOWS)


class WebSocket:
    """One WebSocket, after its handshake. One side may send while the other receives."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.frames = Connection(ConnectionType.CLIENT)
        self._events = self.frames.events()

    async def send(self, event: Event) -> None:
        await self.raw.send(self.frames.send(event))

    async def say(self, data: str | bytes) -> None:
        await self.send(TextMessage(data=data) if isinstance(data, str) else BytesMessage(data=data))

    async def event(self) -> Event | None:
        """The next event; None at the end of the stream."""
        while (event := next(self._events, None)) is None:
            data = await self.raw.recv()
            if not data:
                return None
            self.frames.receive_data(data)
            self._events = self.frames.events()
        return event

    async def receive(self) -> str | bytes:
        """The next whole message."""
        parts: list[Any] = []
        while True:
            event = await self.event()
            assert isinstance(event, Message), event
            parts.append(event.data)
            if event.message_finished:
                return parts[0][:0].join(parts)  # type: ignore[no-any-return]


async def opened(http: Any, case: Case, **options: Any) -> WebSocket:
    return WebSocket(
        (await handshake_done(http, case, "/talk", 200 if case.protocol == "HTTP/2" else 101, **options)).connection
    )


async def handshake_done(http: Any, case: Case, path: str, status: int, **options: Any) -> Any:
    """The response to a handshake."""
    version = ("sec-websocket-version", "13")
    if case.protocol == "HTTP/2":
        headers = [(":protocol", "websocket"), version]
        response = await http.request("CONNECT", case.url + path, headers, stream=True, **options)
        assert (response.status_code, response.protocol) == (status, "HTTP/2")
        return response
    key = base64.b64encode(os.urandom(16))
    headers = [("connection", "upgrade"), ("upgrade", "websocket"), version, ("sec-websocket-key", key.decode())]
    response = await http.request("GET", case.url + path, headers, stream=True, **options)
    assert (response.status_code, response.protocol) == (status, "HTTP/1.1")
    if status == 101:
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        assert (b"sec-websocket-accept", accept) in response.headers
    return response


def run(runtime: Runtime, body: Any, **settings: Any) -> None:
    async def main() -> None:
        async with runtime.pool(**{"timeout": 30, **settings}) as http:
            await body(http)
            stats = http.stats()
            assert (stats.leased, stats.waiting, stats.busy, stats.dialing) == (0, 0, 0, 0)

    runtime.run(main)


@each_runtime
def test_text_and_bytes_come_back(runtime: Runtime, case: Case) -> None:
    async def body(http: Any) -> None:
        web = await opened(http, case)
        for seen in (
            "Hello, world",
            "Zwölf Boxkämpfer",
            b"\x00\xff",
            "x" * 125,
            b"y" * 126,
            "z" * 65_535,
            b"w" * 65_536,
        ):
            await web.say(seen)
            assert await web.receive() == seen
        await web.send(Ping(payload=b"there?"))
        assert await web.event() == Pong(payload=b"there?")
        assert http.stats().leased == 1
        web.raw.close()

    run(runtime, body, **case.settings)


@each_runtime
def test_megabytes_go_in_both_directions_at_once(runtime: Runtime, case: Case) -> None:
    """Five megabytes are sent while the echoes are received: without receiving meanwhile, both sides would block."""

    async def body(http: Any) -> None:
        web = await opened(http, case)

        async def speak() -> bool:
            for number in range(5):
                await web.say(MEGABYTE[number:])
            return True

        async def listen() -> bool:
            return all([await web.receive() == MEGABYTE[number:] for number in range(5)])

        assert await runtime.gather(speak, listen) == [True, True]
        web.raw.close()

    run(runtime, body, **case.settings)


@each_runtime
def test_the_client_may_begin_the_closing_handshake(runtime: Runtime, case: Case) -> None:
    async def body(http: Any) -> None:
        web = await opened(http, case)
        await web.say("last words")
        assert await web.receive() == "last words"
        await web.send(CloseConnection(code=1000, reason="done"))
        answer = await web.event()
        assert isinstance(answer, CloseConnection)
        assert (answer.code, web.frames.state) == (1000, ConnectionState.CLOSED)
        if case.protocol == "HTTP/1.1":
            assert await web.raw.recv() == b""
        web.raw.close()
        await fresh_or_shared(http, case)

    run(runtime, body, **case.settings)


@each_runtime
def test_the_server_may_begin_the_closing_handshake(runtime: Runtime, case: Case) -> None:
    async def body(http: Any) -> None:
        web = await opened(http, case)
        await web.say("bye")
        event = await web.event()
        assert isinstance(event, CloseConnection)
        assert (event.code, event.reason) == (4001, "you said bye")
        await web.send(event.response())
        assert await web.raw.recv() == b""  # END_STREAM, or the connection's end
        web.raw.close()
        await fresh_or_shared(http, case)

    run(runtime, body, **case.settings)


async def fresh_or_shared(http: Any, case: Case) -> None:
    """After a WebSocket: over HTTP/2 the connection stays open; over HTTP/1.1 it is closed too."""
    assert http.stats().connections == (1 if case.protocol == "HTTP/2" else 0)
    response = await http.request("GET", case.url + "/hello")
    assert (response.body, response.info.reused) == (b"Hello, world", case.protocol == "HTTP/2")


@each_runtime
def test_a_refused_handshake_is_a_plain_response(runtime: Runtime, case: Case) -> None:
    async def body(http: Any) -> None:
        response = await handshake_done(http, case, "/refused", 403)
        assert response.connection is None
        assert await response.read() == b""
        assert (await http.request("GET", case.url + "/hello")).body == b"Hello, world"

    run(runtime, body, **case.settings)


@each_runtime
def test_a_message_that_comes_too_late_is_for_the_next_receiver(runtime: Runtime, case: Case) -> None:
    """A `recv` that timed out has consumed no bytes."""

    async def body(http: Any) -> None:
        web = await repeated_after_timeouts(lambda: opened(http, case, timeout=IMPATIENT))
        with pytest.raises(httpcore.ReadTimeout):
            await web.receive()
        await web.say("are you there?")
        assert await repeated_after_timeouts(web.receive) == "are you there?"
        web.raw.close()

    run(runtime, body, **case.settings)


@each_runtime
def test_a_receiver_interrupted_again_and_again_loses_nothing(runtime: Runtime, case: Case) -> None:
    """The read is ended by cancellation, in threads by a timeout. The bytes that it was about to read are returned by
    the next read.
    """
    messages = [f"{number} " * number for number in range(200)]
    config = httpcore.TimeoutConfig(30, read_timeout=0.002 if runtime.name == "threads" else 30)

    async def body(http: Any) -> None:
        web = await repeated_after_timeouts(lambda: opened(http, case, timeout=config))

        async def speak() -> int:
            for message in messages:
                await web.say(message)
            return 0

        async def listen() -> int:
            received: list[str] = []
            parts: list[str] = []
            interruptions = 0
            while len(received) < len(messages):
                event = await interrupted(runtime, web.event)
                interruptions += event is None
                if isinstance(event, TextMessage):
                    parts.append(event.data)
                    if event.message_finished:
                        received.append("".join(parts))
                        parts.clear()
            assert received == messages
            while not interruptions:
                interruptions += await interrupted(runtime, web.event) is None
            return interruptions

        assert (await runtime.gather(speak, listen))[1] > 0
        web.raw.close()

    run(runtime, body, **case.settings)


async def interrupted(runtime: Runtime, thunk: Any) -> Any:
    """The call's result, or None if it took more than a moment and was interrupted."""
    try:
        if runtime.name == "trio":
            with trio.move_on_after(0.002):
                return await thunk()
        elif runtime.name == "threads":
            return await thunk()
        else:
            async with asyncio.timeout(0.002):
                return await thunk()
    except (httpcore.ReadTimeout, TimeoutError):
        return None


async def repeated_after_timeouts(thunk: Any) -> Any:
    """The call's result; it is called again after a timeout, which may happen on a slow machine."""
    while True:
        try:
            return await thunk()
        except httpcore.ReadTimeout:
            pass


@each_runtime
def test_many_websockets_and_requests_share_one_connection(runtime: Runtime, second: Case) -> None:
    sockets, messages, requests = 20, 10, 50

    async def body(http: Any) -> None:
        await http.request("GET", second.url + "/hello")

        async def talk(number: int) -> bool:
            web = await opened(http, second)
            for at in range(messages):
                seen = f"{number}, {at}: " + "x" * (at * 499)
                await web.say(seen if at % 2 else seen.encode())
                assert await web.receive() == (seen if at % 2 else seen.encode())
            web.raw.close()
            return True

        async def send_request(number: int) -> bool:
            size = number * 1_009
            response = await http.request("GET", f"{second.url}/size-{size}")
            return bool(response.body == patterned(size))

        talks = [lambda number=number: talk(number) for number in range(sockets)]
        requested = [lambda number=number: send_request(number) for number in range(requests)]
        assert all(await runtime.gather(*talks, *requested))
        assert http.stats().connections == 1

    run(runtime, body, **second.settings)


@each_runtime
def test_an_open_websocket_holds_its_place_and_is_no_hindrance(runtime: Runtime, second: Case) -> None:
    async def body(http: Any) -> None:
        webs = [await opened(http, second) for _ in range(5)]
        assert (http.stats().leased, http.stats().connections) == (5, 1)
        for number, web in enumerate(webs):
            await web.say(f"{number}")
        assert (await http.request("POST", second.url + "/echo", body=MEGABYTE)).body == MEGABYTE
        for number, web in reversed([*enumerate(webs)]):
            assert await web.receive() == f"{number}"
            web.raw.close()
            assert http.stats().leased == number

    run(runtime, body, **second.settings)


@each_runtime
def test_a_side_that_has_ended_still_receives(runtime: Runtime, second: Case) -> None:
    async def body(http: Any) -> None:
        web = await opened(http, second)
        for number in range(100):
            await web.say(f"{number} " + "x" * 10_000)
        await web.raw.end()
        with pytest.raises(httpcore.WriteError):
            await web.say("one more")
        for number in range(100):
            assert await web.receive() == f"{number} " + "x" * 10_000
        web.raw.close()
        assert http.stats().connections == 1

    run(runtime, body, **second.settings)


@each_runtime
def test_a_websocket_that_ends_early_harms_no_other(runtime: Runtime, second: Case) -> None:
    """Some WebSockets stop reading their replies and close, some are closed while they wait, some time out."""

    async def body(http: Any) -> None:
        await http.request("GET", second.url + "/hello")

        async def stays(number: int) -> str:
            web = await opened(http, second)
            for at in range(10):
                await web.say(f"{number}, {at}" * 100)
                assert await web.receive() == f"{number}, {at}" * 100
            web.raw.close()
            return "stayed"

        async def leaves() -> str:
            web = await opened(http, second)
            await web.say(MEGABYTE)
            assert await web.raw.recv(1000)
            web.raw.close()
            return "left"

        async def times_out() -> str:
            web = await repeated_after_timeouts(lambda: opened(http, second, timeout=IMPATIENT))
            with pytest.raises(httpcore.ReadTimeout):
                await web.receive()
            web.raw.close()
            return "timed out"

        async def is_closed() -> str:
            web = await opened(http, second)

            async def listen() -> bool:
                with pytest.raises(httpcore.ReadError):
                    await web.receive()
                return True

            async def close() -> bool:
                await runtime.sleep(0.05)
                web.raw.close()
                return True

            assert all(await runtime.gather(listen, close))
            return "closed"

        stories: list[Any] = [leaves, times_out, is_closed] * 5
        steady = [lambda number=number: stays(number) for number in range(10)]
        seen = await runtime.gather(*stories, *steady)
        assert seen == ["left", "timed out", "closed"] * 5 + ["stayed"] * 10
        assert (await http.request("GET", second.url + "/hello")).info.reused
        assert http.stats().connections == 1

    run(runtime, body, **second.settings)
