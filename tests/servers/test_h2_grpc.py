"""gRPC on the pool, in every runtime, against grpcio: unary, streaming in each direction and in both; trailers;
deadlines; disconnects.

A message consists of a byte (0: not compressed), its length in four bytes, and its content. Only these messages and a
few headers are built here: `request` and `duplex=True` do the rest.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from real_servers import Ports, patterned
from runtimes import Runtime, each_runtime
from servers import free_port, process

import httpcore

HEADERS = [("content-type", "application/grpc"), ("te", "trailers")]
INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNIMPLEMENTED, DATA_LOSS = b"3", b"4", b"12", b"15"


class GrpcOrigin(NamedTuple):
    url: str
    settings: dict[str, Any]


@pytest.fixture(scope="module")
def ports(place: Path) -> Iterator[Ports]:
    ports = Ports(free_port(), free_port())
    command = [
        sys.executable,
        "-m",
        "tests.support.grpc_server",
        str(ports.plain),
        str(ports.secure),
        str(place / "server.pem"),
    ]
    with process(command, ports.plain):
        yield ports


@pytest.fixture(params=["TLS", "plain"])
def grpc_origin(request: pytest.FixtureRequest, ports: Ports, trusting_real: httpcore.SSLConfig) -> GrpcOrigin:
    if request.param == "TLS":
        return GrpcOrigin(f"https://localhost:{ports.secure}/test.Words/", {"ssl": trusting_real})
    return GrpcOrigin(f"http://127.0.0.1:{ports.plain}/test.Words/", {"http1": False})


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4) + message


class Messages:
    """The messages in a stream of bytes that `recv` returns."""

    def __init__(self, recv: Any) -> None:
        self.recv = recv
        self.held = bytearray()

    async def next(self) -> bytes | None:
        """The next message; None at the end."""
        prefix = await self.exactly(5)
        if not prefix:
            return None
        assert prefix[0] == 0
        return await self.exactly(int.from_bytes(prefix[1:]))

    async def all(self) -> list[bytes]:
        messages = []
        while (message := await self.next()) is not None:
            messages.append(message)
        return messages

    async def exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            data = await self.recv()
            if not data:
                assert not self.held, "the stream ends within a message"
                return b""
            self.held += data
        data = bytes(self.held[:size])
        del self.held[:size]
        return data


def of_body(response: Any) -> Messages:
    """The messages of a response that is streamed."""
    stream = response.stream()

    async def recv() -> bytes:
        return await anext(stream, b"")

    return Messages(recv)


def of_bytes(body: bytes) -> list[bytes]:
    messages = []
    while body:
        size = int.from_bytes(body[1:5])
        messages.append(body[5 : 5 + size])
        assert len(messages[-1]) == size
        body = body[5 + size :]
    return messages


def field(pairs: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return dict(pairs).get(name)


def run(runtime: Runtime, body: Any, **settings: Any) -> None:
    async def main() -> None:
        async with runtime.pool(**{"timeout": 30, **settings}) as http:
            await body(http)
            stats = http.stats()
            assert (stats.leased, stats.waiting, stats.busy, stats.dialing) == (0, 0, 0, 0)
            assert stats.connections == 1

    runtime.run(main)


async def unary(
    http: Any, grpc_origin: GrpcOrigin, message: bytes, method: str = "Unary", *more: tuple[str, str]
) -> Any:
    response = await http.request("POST", grpc_origin.url + method, [*HEADERS, *more], framed(message))
    assert (response.status_code, response.protocol) == (200, "HTTP/2")
    return response


@each_runtime
def test_a_unary_call_returns_its_message_and_trailers(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    async def body(http: Any) -> None:
        for message in (b"", b"Hello, world", patterned(10_000_000)):
            response = await unary(http, grpc_origin, message)
            assert of_bytes(response.body) == [message]
            assert field(response.headers, b"x-first") == b"begins"
            assert field(response.headers, b"grpc-status") is None
            assert field(response.trailers, b"grpc-status") == b"0"
            assert field(response.trailers, b"x-last") == b"ends"
            assert field(response.trailers, b"x-data-bin") in (b"AP8", b"AP8=")

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_the_server_streams_messages_for_one_request(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    async def body(http: Any) -> None:
        for number, size in ((0, 0), (1, 0), (1000, 10), (100, 100_000)):
            request = framed(b"%d %d" % (number, size))
            async with await http.request("POST", grpc_origin.url + "Count", HEADERS, request, stream=True) as response:
                messages = of_body(response)
                for at in range(number):
                    assert await messages.next() == b"%d " % at + b"x" * size
                assert await messages.next() is None
                assert field(response.trailers or response.headers, b"grpc-status") == b"0"

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_the_client_streams_messages_and_gets_one_answer(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    async def body(http: Any) -> None:
        pieces = [b"%d " % at + b"x" * (at * 100) for at in range(300)]
        response = await http.request("POST", grpc_origin.url + "Join", HEADERS, (framed(piece) for piece in pieces))
        assert of_bytes(response.body) == [b"".join(pieces)]
        assert field(response.trailers, b"grpc-status") == b"0"

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_the_client_streams_and_ends_by_hand(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    async def body(http: Any) -> None:
        response = await http.request("POST", grpc_origin.url + "Chat", HEADERS, framed(b"first"), duplex=True)
        raw = response.connection
        messages = Messages(raw.recv)
        assert await messages.next() == b"first"
        for at in range(100):
            await raw.send(framed(b"%d" % at))
        await raw.end()
        assert await messages.all() == [b"%d" % at for at in range(100)]
        assert field(response.trailers, b"grpc-status") == b"0"
        raw.close()

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_client_and_server_take_turns(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    """Each message waits for the answer to the one before."""

    async def body(http: Any) -> None:
        response = await http.request("POST", grpc_origin.url + "Chat", HEADERS, framed(b"0"), duplex=True)
        raw = response.connection
        messages = Messages(raw.recv)
        for at in range(100):
            assert await messages.next() == b"%d" % at
            await raw.send(framed(b"%d" % (at + 1)))
        await raw.end()
        assert await messages.all() == [b"100"]
        assert field(response.trailers, b"grpc-status") == b"0"
        raw.close()

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_client_and_server_stream_at_once(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    """Ten megabytes each way, from two tasks or threads: one sends, one receives, neither waits for the other."""
    pieces = [b"%d " % at + patterned(at * 1000) for at in range(142)]

    async def body(http: Any) -> None:
        response = await http.request("POST", grpc_origin.url + "Chat", HEADERS, framed(b"first"), duplex=True)
        raw = response.connection
        messages = Messages(raw.recv)

        async def send() -> list[bytes]:
            for piece in pieces:
                await raw.send(framed(piece))
            await raw.end()
            return pieces

        sent, received = await runtime.gather(send, messages.all)
        assert received == [b"first", *sent]
        assert field(response.trailers, b"grpc-status") == b"0"
        raw.close()

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_an_error_comes_without_a_body(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    """gRPC calls this a "Trailers-Only" response: it consists of one HEADERS frame."""

    async def body(http: Any) -> None:
        for method, status in (("Fail", INVALID_ARGUMENT), ("NotThere", UNIMPLEMENTED)):
            response = await unary(http, grpc_origin, b"x", method)
            assert (response.body, response.trailers) == (b"", [])
            assert field(response.headers, b"grpc-status") == status
            if method == "Fail":
                assert unquote((field(response.headers, b"grpc-message") or b"").decode()) == "100 % söß"
        early = await http.request("POST", grpc_origin.url + "NotThere", HEADERS, framed(b"x"), duplex=True)
        assert field(early.headers, b"grpc-status") == UNIMPLEMENTED
        assert await early.connection.recv() == b""
        early.connection.close()

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_an_error_comes_after_messages(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    async def body(http: Any) -> None:
        response = await unary(http, grpc_origin, b"x", "FailLate")
        assert of_bytes(response.body) == [b"one", b"two"]
        assert field(response.trailers, b"grpc-status") == DATA_LOSS
        assert field(response.trailers, b"grpc-message") == b"there is no three"

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_a_deadline_is_kept_by_the_server(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    async def body(http: Any) -> None:
        response = await unary(http, grpc_origin, b"x", "Hang", ("grpc-timeout", "100m"))
        assert response.body == b""
        assert field(response.trailers or response.headers, b"grpc-status") == DEADLINE_EXCEEDED
        assert of_bytes((await unary(http, grpc_origin, b"after")).body) == [b"after"]

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_the_server_sees_each_cancelled_call(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    """A call is cancelled by its timeout, by closing its response, or by closing its bidirectional stream."""

    async def cancelled(http: Any) -> int:
        return int(of_bytes((await unary(http, grpc_origin, b"", "Cancelled")).body)[0])

    async def body(http: Any) -> None:
        before = await cancelled(http)

        async def times_out() -> bool:
            with pytest.raises(httpcore.ReadTimeout):
                await http.request(
                    "POST",
                    grpc_origin.url + "Hang",
                    HEADERS,
                    framed(b""),
                    timeout=httpcore.TimeoutConfig(30, read_timeout=0.3),
                )
            return True

        async def closes() -> bool:
            async with await http.request(
                "POST", grpc_origin.url + "Hang", HEADERS, framed(b""), stream=True
            ) as response:
                assert response.status_code == 200
            return True

        async def closes_both_directions() -> bool:
            response = await http.request("POST", grpc_origin.url + "Hang", HEADERS, framed(b""), duplex=True)
            response.connection.close()
            return True

        async def stays() -> bool:
            return all(
                [of_bytes((await unary(http, grpc_origin, b"%d" % at)).body) == [b"%d" % at] for at in range(20)]
            )

        assert all(await runtime.gather(*[times_out, closes, closes_both_directions, stays] * 5))
        for _ in range(500):
            if await cancelled(http) == before + 15:
                break
            await runtime.sleep(0.01)
        else:
            pytest.fail(f"{await cancelled(http) - before} of 15 calls were cancelled at the server")

    run(runtime, body, **grpc_origin.settings)


@each_runtime
def test_hundreds_of_calls_of_all_kinds_share_one_connection(runtime: Runtime, grpc_origin: GrpcOrigin) -> None:
    async def body(http: Any) -> None:
        await unary(http, grpc_origin, b"warm")

        async def one(number: int) -> bool:
            kind = number % 4
            if kind == 0:
                message = patterned(number * 211)
                return of_bytes((await unary(http, grpc_origin, message)).body) == [message]
            if kind == 1:
                body = (await unary(http, grpc_origin, b"20 %d" % number, "Count")).body
                return of_bytes(body) == [b"%d " % at + b"x" * number for at in range(20)]
            if kind == 2:
                pieces = [b"%d" % number * at for at in range(20)]
                body = (await http.request("POST", grpc_origin.url + "Join", HEADERS, map(framed, pieces))).body
                return hashlib.sha256(of_bytes(body)[0]).digest() == hashlib.sha256(b"".join(pieces)).digest()
            response = await http.request("POST", grpc_origin.url + "Chat", HEADERS, framed(b"0"), duplex=True)
            raw, messages = response.connection, Messages(response.connection.recv)
            for at in range(10):
                assert await messages.next() == b"%d" % at
                await raw.send(framed(b"%d" % (at + 1)))
            await raw.end()
            rest = await messages.all()
            raw.close()
            return rest == [b"10"] and field(response.trailers, b"grpc-status") == b"0"

        assert await runtime.gather(*[lambda number=number: one(number) for number in range(200)]) == [True] * 200

    run(runtime, body, **grpc_origin.settings)
