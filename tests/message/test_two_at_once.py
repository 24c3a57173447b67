"""Two tasks or threads that use one body, or one direction of a raw stream: the second is refused with an error that
states this, the first is not disturbed, and `close()` ends waiting calls. The tests run on every runtime, over every
kind of connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import trustme
from runtimes import Runtime, each_runtime
from scripted_proxy import (
    CONNECT,
    EXCHANGE,
    GREETING,
    SOCKS5,
    TLS_ORIGIN,
    TLS_PROXY,
    ScriptedProxy,
    Visit,
    server_context,
)
from servers import ok
from trials import PROMPT, check_quiet

import httpcore

WAIT = 0.1
"""Seconds after which a call in another task or thread waits for the peer."""

MUCH = bytes(64 * 1024 * 1024)
"""More bytes than all buffers between us and a peer that does not read can hold."""

LARGEST_WINDOW = 2**31 - 1


class Case(NamedTuple):
    """A kind of connection.

    Attributes:
        version: the first digit of the HTTP version.
        steps: the steps before the exchange.
        proxy: the scheme of a proxy.
        wide: the peer's HTTP/2 windows are as large as can be, so that only the socket stops a writer.
    """

    version: int
    steps: tuple[str, ...] = ()
    proxy: str = ""
    wide: bool = False


CASES = {
    "HTTP/1.1": Case(1),
    "HTTP/1.1, TLS": Case(1, (TLS_ORIGIN,)),
    "HTTP/1.1, tunnel": Case(1, (CONNECT,), "http"),
    "HTTP/1.1, TLS in TLS": Case(1, (TLS_PROXY, CONNECT, TLS_ORIGIN), "https"),
    "HTTP/1.1, SOCKS": Case(1, (GREETING, SOCKS5), "socks5h"),
    "HTTP/2": Case(2),
    "HTTP/2, TLS": Case(2, (TLS_ORIGIN,)),
    "HTTP/2, TLS, wide": Case(2, (TLS_ORIGIN,), wide=True),
    "HTTP/2, SOCKS, wide": Case(2, (GREETING, SOCKS5), "socks5h", wide=True),
}

MAIN = ("HTTP/1.1", "HTTP/2, TLS")

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def over(*rows: dict[str, Any]) -> list[Any]:
    """The parameters of a test: every combination of the rows over the main routes, and the first over all routes."""
    names = [", ".join(names) for names in product(*rows)]
    values = list(product(*[row.values() for row in rows]))
    cases = [(case, name, value) for case in CASES for name, value in zip(names, values, strict=True)]
    return [
        pytest.param(CASES[case], *value, id=f"{case}: {name}")
        for case, name, value in cases
        if case in MAIN or name == names[0]
    ]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("two") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


class Origin:
    """Answers /slow with "hello", and /raw with a two-way stream; then it neither sends nor reads until `go` is set.

    Attributes:
        settings: the arguments of a pool that reaches this origin.
    """

    def __init__(self, case: Case, authority: trustme.CA, trusted: str) -> None:
        self.case = case
        self.go = threading.Event()
        certificate = authority.issue_cert("127.0.0.1")
        self.server = ScriptedProxy(
            [*case.steps, EXCHANGE],
            {EXCHANGE: self._exchange if case.version == 1 else self._exchange_2},
            proxy=server_context(certificate, "http/1.1"),
            origin=server_context(certificate, "h2" if case.version == 2 else "http/1.1"),
        )
        secure = TLS_ORIGIN in case.steps
        self.url = f"http{'s' * secure}://127.0.0.1:{self.server.port}"
        tls = httpcore.SSLConfig(verify=trusted)
        self.settings: dict[str, Any] = {"http1": case.version == 1, "http2": case.version == 2}
        if secure:
            self.settings["ssl"] = tls
        if case.proxy:
            more: dict[str, Any] = {"tunnel": True} if case.proxy.startswith("http") else {}
            if case.proxy == "https":
                more["ssl"] = tls
            self.settings["proxy"] = httpcore.Proxy(f"{case.proxy}://127.0.0.1:{self.server.port}", **more)

    def _exchange(self, visit: Visit) -> None:
        while head := visit.head():
            if b" /clean " in head:
                visit.send(ok(b"clean"))
            elif b" /slow " in head:
                visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello")
                self.go.wait(30)
                visit.send(b", world")
            else:
                visit.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello")
                self.go.wait(30)
                visit.send(b", world")
                visit.rest()

    def _exchange_2(self, visit: Visit) -> None:
        visit.wait_for_input()
        peer = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        if self.case.wide:
            peer.local_settings.initial_window_size = LARGEST_WINDOW
        peer.initiate_connection()
        if self.case.wide:
            peer.increment_flow_control_window(LARGEST_WINDOW - 65535)
        data, visit.held = visit.held, b""
        while data:
            for event in peer.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self._answer(visit, peer, event.stream_id, dict(event.headers)[b":path"])
            visit.send(peer.data_to_send())
            data = visit.socket.recv(65536)

    def _answer(self, visit: Visit, peer: h2.connection.H2Connection, stream: int, path: bytes) -> None:
        peer.send_headers(stream, [(b":status", b"200")])
        if path == b"/clean":
            peer.send_data(stream, b"clean", end_stream=True)
            return
        peer.send_data(stream, b"hello")
        visit.send(peer.data_to_send())
        self.go.wait(30)
        peer.send_data(stream, b", world", end_stream=path == b"/slow")


@pytest.fixture
def origin(case: Case, authority: trustme.CA, trusted: str) -> Iterator[Origin]:
    origin = Origin(case, authority, trusted)
    with origin.server:
        try:
            yield origin
        finally:
            origin.go.set()


async def outcome(call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The call's result or error, in a list, since `gather` raises the errors that it gets; the call must not take
    long.
    """
    began = time.monotonic()
    try:
        return [await call()]
    except httpcore.HTTPCoreError as error:
        return [error]
    finally:
        assert time.monotonic() - began < PROMPT


async def slow(pool: Any, origin: Origin, **options: Any) -> Any:
    return await pool.request("GET", origin.url + "/slow", stream=True, **options)


async def raw_stream(pool: Any, origin: Origin, **options: Any) -> Any:
    """The raw stream, of which "hello" is read."""
    if origin.case.version == 1:
        headers = [("connection", "upgrade"), ("upgrade", "x")]
        response = await pool.request("GET", origin.url + "/raw", headers, stream=True, **options)
    else:
        response = await pool.request("POST", origin.url + "/raw", stream=True, duplex=True, **options)
    raw = response.connection
    assert await raw.recv() == b"hello"
    return raw


def play(runtime: Runtime, origin: Origin, body: Callable[[Any], Awaitable[None]], **settings: Any) -> None:
    """Run `body(pool)`. In the end the pool must hold no connection, and a request must work."""

    async def main() -> None:
        async with runtime.pool(**origin.settings, **settings) as pool:
            await body(pool)
            origin.go.set()
            await check_quiet(runtime, pool, origin.server)
            assert (await pool.request("GET", origin.url + "/clean")).body == b"clean"

    runtime.run(main)


# How two tasks may read one body: the call of the first, and of the second; each with the response and one iterator.

Use = Callable[[Any, Any], Awaitable[Any]]


async def joined(response: Any, body: Any) -> bytes:
    pieces = []
    async for piece in body:
        pieces.append(piece)
    return b"".join(pieces)


async def one(response: Any, body: Any) -> Any:
    return await anext(body)


async def read(response: Any, body: Any) -> Any:
    return await response.read()


async def again(response: Any, body: Any) -> Any:
    return await joined(response, response.stream())


BUSY, CONSUMED = "another task or thread is reading", "it is being"
READERS: dict[str, tuple[str, Use, Use, str]] = {
    "one stream(), twice": ("stream", joined, one, BUSY),
    "one raw(), twice": ("raw", joined, one, BUSY),
    "read() and read()": ("", read, read, "being read by another task or thread"),
    "read() and stream()": ("", read, again, "being read by another task or thread"),
    "stream() and read()": ("stream", joined, read, "being streamed"),
    "raw() and stream()": ("raw", joined, again, "being streamed"),
}


@each_runtime
@pytest.mark.parametrize(("case", "readers"), over(READERS))
def test_second_reader_of_a_body_is_refused_and_first_reads_on(
    runtime: Runtime, origin: Origin, readers: tuple[str, Use, Use, str]
) -> None:
    kind, first, second, says = readers

    async def body(pool: Any) -> None:
        response = await slow(pool, origin)
        pieces = getattr(response, kind)() if kind else None

        async def late() -> None:
            await runtime.sleep(WAIT)
            for _ in range(2):
                [error] = await outcome(lambda: second(response, pieces))
                assert isinstance(error, httpcore.ResponseError), error
                assert says in str(error)
            origin.go.set()

        found, _ = await runtime.gather(lambda: first(response, pieces), late)
        assert found == b"hello, world"

    play(runtime, origin, body)


@each_runtime
@pytest.mark.parametrize(("case", "readers"), over(READERS))
def test_the_first_readers_timeout_fires_despite_a_second(
    runtime: Runtime, origin: Origin, readers: tuple[str, Use, Use, str]
) -> None:
    kind, first, second, _ = readers

    async def body(pool: Any) -> None:
        response = await slow(pool, origin, timeout=httpcore.TimeoutConfig(10, read_timeout=3 * WAIT))
        pieces = getattr(response, kind)() if kind else None

        async def late() -> None:
            await runtime.sleep(WAIT)
            await outcome(lambda: second(response, pieces))

        results: list[Any] = await runtime.gather(lambda: outcome(lambda: first(response, pieces)), late)
        [error], _ = results
        assert isinstance(error, httpcore.ReadTimeout)

    play(runtime, origin, body)


READS: dict[str, tuple[str, Use]] = {
    "stream": ("stream", joined),
    "raw": ("raw", joined),
    "read": ("", read),
}
CLOSERS = {how: how for how in ("response", "iterator", "pool and response")}


@each_runtime
@pytest.mark.parametrize(("case", "reads", "how"), over(READS, CLOSERS))
def test_close_ends_a_waiting_read_with_response_closed(
    runtime: Runtime, origin: Origin, reads: tuple[str, Use], how: str
) -> None:
    kind, use = reads
    if how == "iterator" and not kind:
        return  # read() has no iterator

    async def main() -> None:
        async with runtime.pool(**origin.settings) as pool:
            response = await slow(pool, origin)
            pieces = getattr(response, kind)() if kind else None

            async def close() -> None:
                await runtime.sleep(WAIT)
                if pieces is not None and how == "iterator":
                    pieces.close()
                    return
                if how == "pool and response":
                    await pool.close()
                await response.close()

            results: list[Any] = await runtime.gather(lambda: outcome(lambda: use(response, pieces)), close)
            [error], _ = results
            assert isinstance(error, httpcore.ResponseClosed), error
            assert error.phase == "read the response body"
            assert error.url == f"{origin.url}/slow"
            assert response.is_closed
            origin.go.set()
            await check_quiet(runtime, pool, origin.server)

    runtime.run(main)


@pytest.mark.parametrize("case", [CASES[name] for name in MAIN], ids=MAIN)
@pytest.mark.parametrize("closes", [False, True], ids=["read to the end", "closed"])
def test_threads_that_share_an_iterator_get_each_byte_once(origin: Origin, closes: bool) -> None:
    """This includes the case that one of the threads closes the response meanwhile; only our own errors are raised."""
    origin.go.set()
    raised: list[BaseException] = []

    def take(body: httpcore.SyncBodyStream, pieces: list[bytes]) -> None:
        while True:
            try:
                pieces.append(next(body))
            except httpcore.ResponseBusy:
                continue
            except (StopIteration, httpcore.ResponseClosed):
                return
            except BaseException as error:
                raised.append(error)
                return

    with httpcore.SyncConnectionPool(**origin.settings) as pool:
        for _ in range(40):
            pieces: list[bytes] = []
            response = pool.request("GET", origin.url + "/slow", stream=True)
            body = response.stream()
            threads = [threading.Thread(target=take, args=(body, pieces)) for _ in range(4)]
            for thread in threads:
                thread.start()
            if closes:
                response.close()
            for thread in threads:
                thread.join(PROMPT)
                assert not thread.is_alive()
            if not closes:
                assert sorted(b"".join(pieces)) == sorted(b"hello, world"), (
                    "the order of the pieces of two readers is undefined"
                )
        assert raised == []
        assert pool.stats().leased == 0


# Raw streams.


async def recv(raw: Any) -> Any:
    return await raw.recv()


async def send(raw: Any) -> Any:
    await raw.send(MUCH)


async def end(raw: Any) -> Any:
    await raw.end()


@each_runtime
@each_case
def test_a_second_receiver_of_a_raw_stream_is_refused(runtime: Runtime, origin: Origin) -> None:
    async def body(pool: Any) -> None:
        raw = await raw_stream(pool, origin)

        async def late() -> None:
            await runtime.sleep(WAIT)
            for _ in range(2):
                [error] = await outcome(raw.recv)
                assert isinstance(error, httpcore.ResponseError), error
                assert "another task or thread is receiving" in str(error)
            await raw.send(b"the other direction is free")
            origin.go.set()

        found, _ = await runtime.gather(raw.recv, late)
        assert found == b", world"
        raw.close()

    play(runtime, origin, body)


@each_runtime
@each_case
@pytest.mark.parametrize("second", [send, end])
def test_a_second_sender_on_a_raw_stream_is_refused(
    runtime: Runtime, origin: Origin, second: Callable[[Any], Awaitable[Any]]
) -> None:
    async def body(pool: Any) -> None:
        raw = await raw_stream(pool, origin)

        async def late() -> None:
            await runtime.sleep(WAIT)
            for _ in range(2):
                [error] = await outcome(lambda: second(raw))
                assert isinstance(error, httpcore.ResponseError), error
                assert "another task or thread is sending" in str(error)
            origin.go.set()
            assert await raw.recv() == b", world"  # the other direction is free
            raw.close()

        results: list[Any] = await runtime.gather(lambda: outcome(lambda: send(raw)), late)
        [error], _ = results
        assert isinstance(error, httpcore.NetworkError)

    play(runtime, origin, body)


@each_runtime
@each_case
@pytest.mark.parametrize("waits", [(recv,), (send,), (recv, send)], ids=["recv", "send", "both"])
def test_closing_a_raw_stream_ends_the_calls_that_wait_on_it(
    runtime: Runtime, origin: Origin, waits: tuple[Callable[[Any], Awaitable[Any]], ...]
) -> None:
    async def body(pool: Any) -> None:
        raw = await raw_stream(pool, origin, timeout=httpcore.TimeoutConfig(30))

        async def close() -> None:
            await runtime.sleep(WAIT)
            raw.close()

        errors: list[Any] = await runtime.gather(*[partial(outcome, partial(wait, raw)) for wait in waits], close)
        for [error] in errors[:-1]:
            assert isinstance(error, httpcore.NetworkError)
            assert "closed on this side" in str(error)

    play(runtime, origin, body)
