"""WebSockets to ASGI apps in this process. Peers: Starlette's WebSockets as the app, wsproto as the client."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from runtimes import Runtime, each_runtime
from seam import entered, fetch, opened, raw
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websocket_client import CONNECT, WebSocketClient, accept, upgrade, websocket
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

import httpcore

URL = "http://a.test"
each_handshake = pytest.mark.parametrize("how", ["upgrade", "extended CONNECT"])
events: list[Any] = []


@pytest.fixture(autouse=True)
def no_events() -> None:
    events.clear()


# An app for Starlette.


async def echo(socket: WebSocket) -> None:
    await socket.accept(
        subprotocol="chat" if "chat" in socket.scope["subprotocols"] else None, headers=[(b"x-app", b"1")]
    )
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"], message.get("reason"))
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect as error:
        events.append((error.code, error.reason))


async def facts(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json(
        {
            "url": str(socket.url),
            "type": socket.scope["type"],
            "version": socket.scope["http_version"],
            "client": list(socket.client or ()),
            "name": socket.path_params["name"],
            "offers": socket.scope["subprotocols"],
        }
    )
    await socket.close(4001, "that is all")


async def refuse(socket: WebSocket) -> None:
    await socket.close()


async def deny(socket: WebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse("not you", 401, {"www-authenticate": "x"}))


async def fail_later(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("first")
    raise ZeroDivisionError("in the app")


async def flood(socket: WebSocket) -> None:
    await socket.accept()
    for number in range(1000):
        await socket.send_bytes(bytes(10_000))
        events.append(number)


async def sleep(socket: WebSocket) -> None:
    await socket.accept()
    try:
        await anyio.sleep(60)
    finally:
        events.append("cancelled")


app = Starlette(
    routes=[
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/facts/{name}", facts),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/deny", deny),
        WebSocketRoute("/fail-later", fail_later),
        WebSocketRoute("/flood", flood),
        WebSocketRoute("/sleep", sleep),
    ]
)


def run(runtime: Runtime, body: Callable[[Any], Any], of: Any = app, **settings: Any) -> None:
    async def main() -> None:
        async with entered(runtime, httpcore.ASGITransport(of, **settings)) as transport:
            await body(transport)

    runtime.run(main)


# The handshake.


@each_runtime
def test_the_handshake_is_answered_as_the_rfc_has_it(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        key = b"dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455, section 1.3
        fields = upgrade(key, ("sec-websocket-protocol", "other, chat"))
        async with opened(runtime, transport, "GET", f"{URL}/echo", fields) as (
            status_code,
            headers,
            stream,
            extensions,
        ):
            assert (status_code, extensions["http_version"]) == (101, "HTTP/1.1")
            assert dict(headers) == {
                b"upgrade": b"websocket",
                b"connection": b"Upgrade",
                b"sec-websocket-accept": b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
                b"sec-websocket-protocol": b"chat",
                b"x-app": b"1",
            }
            assert [piece async for piece in stream] == []
        fields = [*CONNECT, ("sec-websocket-protocol", "chat")]
        async with opened(runtime, transport, "CONNECT", f"{URL}/echo", fields) as (
            status_code,
            headers,
            _,
            extensions,
        ):
            assert (status_code, extensions["http_version"]) == (200, "HTTP/2")
            assert headers == [(b"sec-websocket-protocol", b"chat"), (b"x-app", b"1")]

    run(runtime, body)


@each_runtime
@each_handshake
def test_the_app_sees_the_client_and_its_request(runtime: Runtime, how: str) -> None:
    async def body(transport: Any) -> None:
        offers = ("sec-websocket-protocol", "a,b , c")
        url = "https://a.test:8443/facts/J%C3%B6rg?x=1"
        async with websocket(
            runtime, transport, url, offers, how=how, extensions={"client_addr": ("10.0.0.9", 7)}
        ) as web:
            import json

            assert json.loads(await web.message()) == {
                "url": "wss://a.test:8443/facts/Jörg?x=1",
                "type": "websocket",
                "version": "1.1" if how == "upgrade" else "2",
                "client": ["10.0.0.9", 7],
                "name": "Jörg",
                "offers": ["a", "b", "c"],
            }
            closing = await web.message()
            assert (closing.code, closing.reason) == (4001, "that is all")
            assert await web.message() is None

    run(runtime, body)


SAME = upgrade(base64.b64encode(os.urandom(16)))
KEY = SAME[3]


@each_runtime
@pytest.mark.parametrize(
    ("method", "fields", "status", "header"),
    [
        ("GET", [*SAME[:2], ("sec-websocket-version", "8"), KEY], 426, (b"sec-websocket-version", b"13")),
        ("GET", [*SAME[:2], KEY], 426, (b"sec-websocket-version", b"13")),
        ("GET", SAME[:3], 400, None),
        ("GET", [*SAME, KEY], 400, None),
        ("GET", [*SAME[:3], ("sec-websocket-key", "c2hvcnQ=")], 400, None),
        ("GET", [*SAME[:3], ("sec-websocket-key", "*" * 24)], 400, None),
        ("CONNECT", [(":protocol", "connect-udp"), CONNECT[1]], 501, None),
        ("CONNECT", [CONNECT[0], ("sec-websocket-version", "12")], 426, None),
    ],
)
def test_a_wrong_handshake_does_not_reach_the_app(
    runtime: Runtime, method: str, fields: Any, status: int, header: Any
) -> None:
    async def must_not_be_called(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the app was called")

    async def body(transport: Any) -> None:
        fetched = await fetch(runtime, transport, method, f"{URL}/echo", fields)
        assert fetched.status_code == status
        assert "connection" not in fetched.extensions
        assert b"expected" in fetched.body
        assert header is None or header in fetched.headers

    run(runtime, body, must_not_be_called, lifespan="off")


@each_runtime
@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("POST", SAME),
        ("GET", SAME[1:]),
        ("GET", [("connection", "upgrade"), ("upgrade", "h2c"), *SAME[2:]]),
        ("GET", [("connection", "keep-alive"), *SAME[1:]]),
    ],
)
def test_an_upgrade_to_another_protocol_is_a_request(runtime: Runtime, method: str, fields: Any) -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["type"].encode()})

    async def body(transport: Any) -> None:
        assert (await fetch(runtime, transport, method, f"{URL}/", fields)).body == b"http"

    run(runtime, body, plain, lifespan="off")


@each_runtime
@each_handshake
def test_an_app_refuses_before_it_accepts(runtime: Runtime, how: str) -> None:
    async def body(transport: Any) -> None:
        method, fields = ("GET", upgrade()) if how == "upgrade" else ("CONNECT", CONNECT)
        fetched = await fetch(runtime, transport, method, f"{URL}/refuse", fields)
        assert (fetched.status_code, fetched.body) == (403, b"")
        assert "connection" not in fetched.extensions
        fetched = await fetch(runtime, transport, method, f"{URL}/deny", fields)
        assert (fetched.status_code, fetched.body) == (401, b"not you")
        assert (b"www-authenticate", b"x") in fetched.headers
        assert "connection" not in fetched.extensions

    run(runtime, body)


# Messages.


@each_runtime
@each_handshake
def test_messages_come_back_in_any_size(runtime: Runtime, how: str) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo", how=how) as web:
            for texts in ("", "Zwölf Boxkämpfer", b"\x00\xff", "x" * 125, b"y" * 126, "z" * 65_536, bytes(3_000_000)):
                await web.send(texts)
                assert await web.message() == texts

    run(runtime, body)


@each_runtime
def test_a_message_in_fragments_and_in_single_bytes_is_one(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo") as web:
            for part, is_last in (("Hel", False), ("", False), ("lo", True)):
                await web.send(TextMessage(data=part, message_finished=is_last))
                if not is_last:
                    await web.send(Ping(payload=b"between"))
                    assert await web.event() == Pong(payload=b"between")
            assert await web.message(1) == "Hello"
            for byte in web.frames.send(BytesMessage(data=b"bytes")):
                await web.connection.send(bytes([byte]))
            assert await web.message() == b"bytes"
            whole = web.frames.send(TextMessage(data="a")) + web.frames.send(TextMessage(data="b"))
            await web.connection.send(whole)
            assert [await web.message(), await web.message()] == ["a", "b"]

    run(runtime, body)


@each_runtime
def test_pings_that_nothing_reads_leave_one_pong(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo") as web:
            for number in range(10_000):
                await web.send(Ping(payload=b"%d" % number))
            assert await web.event() == Pong(payload=b"9999")
            await web.send("next")
            assert await web.message() == "next"

    run(runtime, body)


@each_runtime
def test_an_app_that_sends_waits_for_its_reader(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/flood") as web:
            await runtime.sleep(0.02)
            assert len(events) < 10
            for _ in range(1000):
                assert await web.message() == bytes(10_000)
            assert (await web.message()).code == 1000  # the app has returned without closing
            assert await web.message() is None

    run(runtime, body)


@each_runtime
def test_a_caller_that_sends_waits_for_the_app(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        config = httpcore.TimeoutConfig(None, write_timeout=0.02)
        async with websocket(runtime, transport, f"{URL}/sleep", extensions={"timeout": config}) as web:
            with pytest.raises(httpcore.WriteTimeout, match="the app received nothing") as caught:  # noqa: PT012
                for _ in range(10):
                    await web.send(bytes(30_000))
            assert caught.value.limit == 0.02

    run(runtime, body, shutdown_timeout=0.01)
    assert events == ["cancelled"]


@each_runtime
def test_a_message_beyond_the_limit_closes_with_1009(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("httpcore._transports.asgi_websocket.MESSAGE_LIMIT", 100_000)

    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo") as web:
            await web.send(bytes(100_000))
            assert await web.message() == bytes(100_000)
            for _ in range(3):
                await web.send(BytesMessage(data=bytes(50_000), message_finished=False))
            assert (await web.message()).code == 1009
            assert await web.message() is None

    run(runtime, body)
    assert events == [(1009, "expected at most 100000 bytes in a message")]


# Closing.


@each_runtime
@each_handshake
@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (4321, ""), (CloseReason.NO_STATUS_RCVD, "")])
def test_the_caller_may_begin_the_closing_handshake(runtime: Runtime, how: str, code: int, reason: str) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo", how=how) as web:
            await web.send(CloseConnection(code=code, reason=reason))
            closing = await web.message()
            assert (closing.code, closing.reason or "") == (code, reason)
            assert await web.message() is None
            await web.connection.send(b"lost")  # these bytes are lost, as on a connection that the peer has closed

    run(runtime, body)
    assert events == [(code, reason)]


@each_runtime
@pytest.mark.parametrize("answers", [True, False])
def test_the_app_may_begin_the_closing_handshake(runtime: Runtime, answers: bool) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/facts/x") as web:
            await web.message()
            closing = await web.message()
            assert (type(closing), closing.code) == (CloseConnection, 4001)
            if answers:
                await web.send(closing.response())
            assert await web.connection.recv() == b""

    run(runtime, body)


FAULTY = [
    (bytes([0x81, 0x01]) + b"x", 1002, "not masked"),
    (bytes([0xF1, 0x80]) + bytes(4), 1002, "reserved bits"),
    (bytes([0x83, 0x80]) + bytes(4), 1002, "an opcode that is none"),
    (bytes([0x80, 0x80]) + bytes(4), 1002, "a continuation of nothing"),
    (bytes([0x81, 0x82]) + bytes(4) + b"\xff\xff", 1007, "no UTF-8"),
    (bytes([0x88, 0x81]) + bytes(5), 1002, "half a close code"),
]


@each_runtime
@pytest.mark.parametrize(("data", "code", "what"), FAULTY, ids=[what for _, _, what in FAULTY])
def test_a_faulty_frame_closes_with_its_code(runtime: Runtime, data: bytes, code: int, what: str) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo") as web:
            await web.connection.send(data)
            closing = await web.message()
            assert (type(closing), closing.code) == (CloseConnection, code)
            assert await web.message() is None
            await web.connection.send(b"ignored")

    run(runtime, body)
    assert [seen for seen, _ in events] == [code]


@each_runtime
@pytest.mark.parametrize("how", ["leave", "close", "end", "error"])
def test_a_caller_that_vanishes_is_a_disconnect_with_1006(runtime: Runtime, how: str) -> None:
    async def body(transport: Any) -> None:
        try:
            async with websocket(runtime, transport, f"{URL}/echo") as web:
                await web.send("one")
                assert await web.message() == "one"
                if how == "error":
                    raise ZeroDivisionError
                if how == "end":
                    await web.connection.end()
                    assert await web.message() is None
                if how == "close":
                    web.connection.close()
                    web.connection.close()
                    await runtime.sleep(0.01)  # in threads it is another thread that closes
                    with pytest.raises(httpcore.ReadError, match="closed on this side"):
                        await web.message()
                    with pytest.raises(httpcore.WriteError, match="closed on this side"):
                        await web.send("two")
        except ZeroDivisionError:
            assert how == "error"

    run(runtime, body)
    assert events == [(1006, "")]


@each_runtime
def test_an_app_that_sends_to_one_that_left_gets_an_oserror(runtime: Runtime) -> None:
    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        events.append((await receive())["type"])
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError as error:
            events.append(type(error).__mro__[1])

    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, URL):
            pass
        async with websocket(runtime, transport, URL) as web:
            await web.send(CloseConnection(code=1000))
            assert (await web.message()).code == 1000

    run(runtime, body, stubborn, lifespan="off")
    assert events == ["websocket.disconnect", httpcore.WriteError] * 2


# Errors of the app.


@each_runtime
def test_an_apps_exception_reaches_the_receiver(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/fail-later") as web:
            assert await web.message() == "first"
            with pytest.raises(ZeroDivisionError, match="in the app"):
                await web.message()
            with pytest.raises(httpcore.RemoteProtocolError, match="the app ended"):
                await web.send("x")

    run(runtime, body)


@each_runtime
def test_an_apps_exception_closes_with_1011_by_choice(runtime: Runtime) -> None:
    async def early(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/fail-later") as web:
            assert await web.message() == "first"
            assert (await web.message()).code == 1011
            assert await web.message() is None

    run(runtime, body, raise_app_errors=False)

    async def without_accepting(transport: Any) -> None:
        assert (await fetch(runtime, transport, "GET", URL, upgrade())).status_code == 500

    run(runtime, without_accepting, early, lifespan="off", raise_app_errors=False)


ACCEPT = {"type": "websocket.accept"}
SEND = {"type": "websocket.send", "text": "x"}
CLOSE = {"type": "websocket.close"}
DENY = {"type": "websocket.http.response.start", "status": 401, "headers": []}
BROKEN: list[tuple[list[dict[str, Any]], str]] = [
    ([], "the app ended without a response"),
    ([SEND], "websocket.send before websocket.accept"),
    ([ACCEPT, ACCEPT], "websocket.accept after it had accepted"),
    ([DENY, ACCEPT], "websocket.accept after it had accepted or refused"),
    ([ACCEPT, DENY], "websocket.http.response.start after websocket.accept"),
    ([ACCEPT, CLOSE, SEND], "websocket.send after websocket.close"),
    ([ACCEPT, CLOSE, CLOSE], "websocket.close after websocket.close"),
    ([ACCEPT, {"type": "websocket.send"}], "expected text or bytes"),
    ([ACCEPT, {**SEND, "bytes": b"x"}], "expected text or bytes"),
    ([ACCEPT, {**SEND, "text": 5}], "expected text or bytes"),
    ([ACCEPT, {**CLOSE, "code": 70000}], "the code 70000: expected 1000 to 4999"),
    ([ACCEPT, {**CLOSE, "code": 1006}], "the code 1006: expected 1000 to 4999"),
    ([{**ACCEPT, "subprotocol": "zzz"}], "subprotocol 'zzz': expected one that was offered"),
    ([{**ACCEPT, "headers": [(b"Sec-WebSocket-Accept", b"x")]}], "expected no field of the handshake"),
    ([{**ACCEPT, "headers": [(b"a", b"b\r\nc: d")]}], r"headers\["),
    ([{"type": "http.response.start", "status": 200}], "a message of type 'http.response.start'"),
    ([DENY], "in the middle of its response"),
]


@each_runtime
@pytest.mark.parametrize(("messages", "words"), BROKEN)
def test_an_app_that_breaks_the_protocol_gets_the_reason(runtime: Runtime, messages: Any, words: str) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async def body() -> None:
        transport = httpcore.ASGITransport(broken, lifespan="off")
        try:
            with pytest.raises(httpcore.HTTPCoreError, match=words):  # noqa: PT012
                async with opened(runtime, transport, "GET", URL, upgrade()) as (status_code, _, stream, extensions):
                    if status_code == 101:
                        web = WebSocketClient(raw(runtime, extensions["connection"]))
                        while await web.message() is not None:
                            pass
                    async for _ in stream:
                        pass
                await transport.aclose()  # an error after the end is raised here
        finally:
            transport.close()

    runtime.run(body)


# The caller's runtime.


@each_runtime
def test_a_quiet_app_is_a_read_timeout_that_takes_nothing(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo", extensions={"timeout": 0.02}) as web:
            for texts in ("one", "two"):
                with pytest.raises(httpcore.ReadTimeout, match="the app sent nothing"):
                    await web.message()
                await web.send(texts)
                assert await web.message() == texts

    run(runtime, body)


@each_runtime
def test_two_tasks_use_both_directions_at_once(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo", extensions={"timeout": 30}) as web:

            async def speak() -> None:
                for number in range(200):
                    await web.send(b"%d" % number * 1000)

            async def listen() -> None:
                for number in range(200):
                    assert await web.message() == b"%d" % number * 1000

            await runtime.gather(speak, listen)

    run(runtime, body)


@each_runtime
def test_a_second_reader_is_refused(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo", extensions={"timeout": 5}) as web:

            async def first() -> Any:
                return await web.message()

            async def second() -> None:
                await runtime.sleep(0.02)
                with pytest.raises(httpcore.ResponseBusy, match="is receiving"):
                    await web.connection.recv()
                await web.send("for the first")

            assert (await runtime.gather(first, second))[0] == "for the first"

    run(runtime, body)


def test_a_receiver_that_is_cancelled_loses_nothing() -> None:
    async def main() -> None:
        async with (
            httpcore.ASGITransport(app) as transport,
            transport.arequest("GET", f"{URL}/echo", upgrade()) as (_, _, _, extensions),
        ):
            web = WebSocketClient(extensions["connection"])
            for number in range(50):
                with anyio.move_on_after(0):
                    await web.connection.recv()
                await web.send(f"{number}")
                assert await web.message() == f"{number}"

    anyio.run(main, backend="asyncio")
    anyio.run(main, backend="trio")


def test_close_of_the_transport_cancels_the_app_and_ends_stream() -> None:
    async def main() -> None:
        transport = httpcore.ASGITransport(app)
        async with transport.arequest("GET", f"{URL}/sleep", upgrade()) as (_, _, _, extensions):
            receiver = asyncio.create_task(extensions["connection"].recv())
            await asyncio.sleep(0)
            transport.close()
            with pytest.raises(httpcore.ReadError, match="closed on this side"):
                await receiver

    asyncio.run(main())
    assert events == ["cancelled"]


@each_runtime
def test_a_websocket_has_no_trailers(runtime: Runtime) -> None:
    async def body(transport: Any) -> None:
        async with websocket(runtime, transport, f"{URL}/echo") as web:
            with pytest.raises(httpcore.LocalProtocolError, match="trailers: expected none"):
                await web.connection.end({"a": "b"})

    run(runtime, body)


@each_runtime
def test_without_wsproto_the_error_names_the_extra(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("httpcore._transports.asgi_websocket", "wsproto", "wsproto.connection"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delattr("httpcore._transports.asgi_websocket", raising=False)
    monkeypatch.setitem(sys.modules, "wsproto", None)

    async def body(transport: Any) -> None:
        with pytest.raises(httpcore.LocalProtocolError, match=r"wsproto.*httpcore\[websocket\]"):
            await fetch(runtime, transport, "GET", f"{URL}/echo", upgrade())

    run(runtime, body)


def test_the_accept_of_the_support_is_that_of_the_rfc() -> None:
    assert accept(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
