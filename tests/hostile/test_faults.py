"""Faults of the network and the system: connections that close, break, hang or refuse, bodies that fail, limits of the
system.

The rows are those of the catalogue of faults in docs/security.md. After each, the pool is healthy (see `trials`), and
the server's log shows that no request was wrongly sent twice.
"""

from __future__ import annotations

import asyncio
import datetime
import re
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from runtimes import AsyncioRuntime, Runtime, each_runtime
from servers import Peer, ScriptedServer, ok
from trials import (  # noqa: F401  # fixtures
    PROMPT,
    HostileServer,
    check_quiet,
    checked,
    client_sockets,
    eventually,
    every_runtime_has_run,
    nothing_is_left_open,
    trial,
)

import httpcore
from httpcore import testing
from httpcore._http1 import exchange as http11

MIB = 1024 * 1024
BUSY = 2.0
"""Seconds that a machine with other work to do may be late."""

LARGE = 16 * MIB
"""More bytes than the kernel's buffers hold."""


def pieces(runtime: Runtime, *given: Any, then: BaseException | None = None) -> Any:
    """A generator of a request's body in the form that `runtime` accepts; at its end it raises `then`."""

    def plain() -> Iterator[bytes]:
        yield from given
        if then is not None:
            raise then

    async def asynchronous() -> AsyncIterator[bytes]:
        for piece in given:
            yield piece
        if then is not None:
            raise then

    return plain() if runtime.name == "threads" else asynchronous()


# A connection that dies during a request: rows 2 and 3.


class DyingServer(HostileServer):
    """Answers /first on its first connection, and closes during the next request with FIN or RST, after reading all of
    it and sending only `before`. Later connections serve, unless `every` one dies, at its first request.
    """

    def __init__(self, leave: str, *, every: bool = False, before: bytes = b"") -> None:
        self._leave = leave
        self._every = every
        self._before = before
        super().__init__(self._close_during_request)

    def _close_during_request(self, peer: Peer) -> bool:
        line, head = self.lines[-1], self.heads[-1]
        if b"Content-Length: 4" in head:
            assert peer.exactly(4) == b"once"
        elif b"chunked" in head:
            assert peer.until(b"0\r\n\r\n") == b"4\r\nonce\r\n0\r\n\r\n"
        if line.endswith("/first") and not self._every:
            peer.send(ok(b"first"))
            return True
        if peer.number > 1 and not self._every:
            peer.send(ok(b"again" if not line.startswith("HEAD") else b""))
            return True
        peer.send(self._before)
        if self._leave == "RST":
            peer.reset()
        return False


GONE = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)
BODIES: dict[str, Callable[[Runtime], Any]] = {
    "none": lambda runtime: b"",
    "bytes": lambda runtime: b"once",
    "generator": lambda runtime: pieces(runtime, b"once"),
    "replayable": lambda runtime: httpcore.ReplayableBody(lambda: [b"once"]),
}
STALE = [  # method, body, headers, and whether it is sent again
    ("GET", "none", {}, True),
    ("HEAD", "none", {}, True),
    ("DELETE", "none", {}, True),
    ("OPTIONS", "none", {}, True),
    ("PUT", "bytes", {}, True),
    ("PUT", "replayable", {}, True),
    ("PUT", "generator", {}, False),
    ("POST", "none", {}, False),
    ("POST", "bytes", {}, False),
    ("POST", "replayable", {}, False),
    ("POST", "generator", {}, False),
    ("POST", "bytes", {"Idempotency-Key": "1"}, True),
    ("POST", "generator", {"Idempotency-Key": "1"}, False),
    ("PATCH", "bytes", {}, False),
    ("BREW", "none", {}, False),
]


@each_runtime
@pytest.mark.parametrize("leave", ["FIN", "RST"])
@pytest.mark.parametrize(("method", "shape", "headers", "again"), STALE)
def test_reused_connection_that_dies_is_replaced_once_where_safe(
    runtime: Runtime, leave: str, method: str, shape: str, headers: dict[str, str], again: bool
) -> None:
    async def body() -> None:
        with DyingServer(leave) as server:
            async with trial(runtime, server) as pool:
                await pool.request("GET", f"{server.url}/first")
                request = pool.request(method, server.url, headers, BODIES[shape](runtime))
                if again:
                    response = await request
                    assert (response.info.attempts, response.info.reused) == (2, False)
                    assert response.body == (b"again" if method != "HEAD" else b"")
                else:
                    with pytest.raises(
                        (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)
                    ) as caught:
                        await request
                    checked(caught.value, server, method)
            # A request is sent once, or twice where that is allowed, and never a third time.
            assert server.bad_lines == ["GET /first"] + [f"{method} /"] * (2 if again else 1)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("leave", ["FIN", "RST"])
def test_first_connection_that_dies_is_an_error_without_a_resend(runtime: Runtime, leave: str) -> None:
    async def body() -> None:
        with DyingServer(leave, every=True) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises((httpcore.RemoteProtocolError, httpcore.ReadError)) as caught:
                    await pool.request("GET", server.url)
                checked(caught.value, server)
            assert server.bad_lines == ["GET /"]

    runtime.run(body)


@each_runtime
def test_the_replacement_is_fresh_and_is_not_replaced_again(runtime: Runtime) -> None:
    """This holds also if more stale connections are idle: they must not be tried one by one."""
    together = threading.Barrier(3)
    dying = threading.Event()

    def act(peer: Peer) -> bool:
        if dying.is_set():
            return False
        together.wait(10)
        peer.send(ok(b"first"))
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                await runtime.gather(*[lambda: pool.request("GET", f"{server.url}/first")] * 3)
                assert pool.stats().idle == 3
                dying.set()
                with pytest.raises((httpcore.RemoteProtocolError, httpcore.ReadError)):
                    await pool.request("GET", server.url)
            assert server.bad_lines == ["GET /first"] * 3 + ["GET /"] * 2
            assert server.connections == 4

    runtime.run(body)


@each_runtime
def test_without_retry_stale_a_dead_reused_connection_is_error(runtime: Runtime) -> None:
    async def body() -> None:
        with DyingServer("FIN") as server:
            async with trial(runtime, server, retry_stale=False) as pool:
                await pool.request("GET", f"{server.url}/first")
                with pytest.raises(httpcore.RemoteProtocolError, match="before any byte of a response"):
                    await pool.request("GET", server.url)
            assert server.bad_lines == ["GET /first", "GET /"]

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(
    "before", [b"H", b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]
)
def test_after_a_byte_of_a_response_nothing_is_sent_again(runtime: Runtime, before: bytes) -> None:
    async def body() -> None:
        with DyingServer("FIN", before=before) as server:
            async with trial(runtime, server) as pool:
                await pool.request("GET", f"{server.url}/first")
                with pytest.raises(httpcore.RemoteProtocolError, match="too early"):
                    await pool.request("GET", server.url)
            assert server.bad_lines == ["GET /first", "GET /"]

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("phase", ["accept", "head", "body"])
def test_a_reset_in_any_phase_of_a_first_request_is_one_error(runtime: Runtime, phase: str) -> None:
    """The server closes at once, in the middle of the head, or in the middle of the body."""

    def script(peer: Peer) -> None:
        if phase == "head":
            peer.exactly(10)
        elif phase == "body":
            peer.exactly(100_000)
        if phase == "accept" or peer.number == 1:
            peer.reset()

    def serve(peer: Peer) -> None:
        if peer.number == 1:
            script(peer)
        else:
            assert peer.head()
            peer.send(ok(b"clean"))
            peer.rest()

    async def body() -> None:
        with ScriptedServer(serve) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises((httpcore.WriteError, httpcore.ReadError, httpcore.ConnectError)) as caught:
                    await pool.request("POST", server.url, body=pieces(runtime, *[bytes(65536)] * 256))
                assert caught.value.errno is not None
                assert isinstance(caught.value, OSError)
            assert server.connections == 2

    runtime.run(body)


# Responses that arrive while the request is still being sent: rows 4, 5 and 9.


@each_runtime
@pytest.mark.parametrize("shape", ["bytes", "generator"])
def test_an_early_413_before_a_reset_is_seen_20_times_of_20(runtime: Runtime, shape: str) -> None:
    def act(peer: Peer) -> None:
        peer.exactly(100_000)
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        peer.reset()

    async def body() -> None:
        data = bytes(LARGE)
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                for _ in range(20):
                    content = data if shape == "bytes" else pieces(runtime, *[data[:65536]] * 256)
                    response = await pool.request("POST", server.url, body=content)
                    assert (response.status_code, response.body) == (413, b"large")
                    assert pool.stats().connections == 0
            assert server.bad_lines == ["POST /"] * 20

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("status", [200, 204, 303, 401, 413, 500])
def test_an_early_complete_response_ends_upload_and_connection(runtime: Runtime, status: int) -> None:
    gone = threading.Event()

    def act(peer: Peer) -> None:
        length = b"" if status == 204 else b"Content-Length: 0\r\n"
        peer.send(b"HTTP/1.1 %d Early\r\n%b\r\n" % (status, length))
        assert not peer.rest().endswith(b"0\r\n\r\n")  # the upload does not look complete
        gone.set()

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                taken = 0

                def count() -> None:
                    nonlocal taken
                    taken += 1

                response = await pool.request("POST", server.url, body=endless(runtime, count))
                assert (response.status_code, response.body) == (status, b"")
                assert pool.stats().connections == 0
                assert taken < 1000  # pieces of 64 KiB: only the kernel's buffers accepted them
                await eventually(runtime, gone.is_set, "the server sees the end")

    runtime.run(body)


def endless(runtime: Runtime, taken: Callable[[], None]) -> Any:
    """An endless body; `taken` is called for each piece."""

    def plain() -> Iterator[bytes]:
        while True:
            taken()
            yield bytes(65536)

    async def asynchronous() -> AsyncIterator[bytes]:
        for piece in plain():
            yield piece

    return plain() if runtime.name == "threads" else asynchronous()


@each_runtime
def test_an_early_200_that_goes_on_does_not_stop_the_upload(runtime: Runtime) -> None:
    size = 200_000  # less than the pool holds while the upload continues

    def act(peer: Peer) -> bool:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size - 1))
        assert len(peer.exactly(LARGE)) == LARGE
        peer.send(b"!")
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, body=bytes(LARGE))
                assert response.body == bytes(size - 1) + b"!"
                assert pool.stats().idle == 1  # both messages are complete

    runtime.run(body)


@each_runtime
def test_early_endless_200_is_held_so_far_and_upload_times_out(runtime: Runtime) -> None:
    """The bytes that a peer makes us keep are bounded, and a peer that waits until we read causes no hang."""
    sent = 0

    def act(peer: Peer) -> None:
        nonlocal sent
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.send(bytes(16384))
            sent += 16384

    async def body() -> None:
        timeout = httpcore.TimeoutConfig(write_timeout=0.3)
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(httpcore.WriteTimeout):
                    await pool.request("POST", server.url, body=bytes(LARGE), timeout=timeout)
            assert sent < 8 * MIB  # the held bytes and those in the kernel's buffers

    runtime.run(body)


EXPECT = {"Expect": "100-continue"}


@each_runtime
def test_a_missing_100_continue_is_not_waited_for_long(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "CONTINUE_TIMEOUT", 0.1)
    waited = 0.0

    def act(peer: Peer) -> bool:
        nonlocal waited
        began = time.monotonic()
        assert peer.exactly(4) == b"body"
        waited = time.monotonic() - began
        peer.send(ok(b"good"))
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                assert (await pool.request("POST", server.url, EXPECT, b"body")).body == b"good"
            assert 0.05 < waited < PROMPT

    runtime.run(body)


def test_the_wait_for_100_continue_is_one_second() -> None:
    assert http11.CONTINUE_TIMEOUT == 1.0


@each_runtime
@pytest.mark.parametrize("status", [200, 303, 401])  # after a 417 the request is sent again
def test_a_final_answer_instead_of_100_keeps_the_body_back(runtime: Runtime, status: int) -> None:
    rest: list[bytes] = []

    def act(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 %d Final\r\nContent-Length: 5\r\n\r\nfinal" % status)
        rest.append(peer.rest())

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("POST", server.url, EXPECT, b"body")
                assert (response.status_code, response.body) == (status, b"final")
                assert pool.stats().connections == 0  # the server may still read the next bytes as the body
                await eventually(runtime, lambda: rest == [b""], "the server received no byte of the body")

    runtime.run(body)


@each_runtime
def test_a_100_continue_starts_the_body_and_keeps_the_connection(runtime: Runtime) -> None:
    def act(peer: Peer) -> bool:
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.exactly(4) == b"body"
        peer.send(ok(b"good"))
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                for number in range(2):
                    response = await pool.request("POST", server.url, EXPECT, b"body")
                    assert (response.body, response.info.reused) == (b"good", number > 0)
                    assert [status for status, _ in response.informational] == [100]

    runtime.run(body)


# Keep-alive as the server wants it: rows 42 and 43.


@each_runtime
@pytest.mark.parametrize(
    "answer",
    [
        ok(b"last", b"Connection: close"),
        ok(b"last", b"Connection: keep-alive, CLOSE"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nlast",
    ],
    ids=["close", "close among others", "HTTP/1.0"],
)
def test_we_close_after_connection_close_though_server_does_not(runtime: Runtime, answer: bytes) -> None:
    left: list[bytes] = []

    def act(peer: Peer) -> None:
        peer.send(answer)
        left.append(peer.rest())  # the server waits until the client disconnects

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                assert (await pool.request("GET", server.url)).body == b"last"
                assert pool.stats().connections == 0
                await eventually(runtime, lambda: left == [b""], "the server sees the end")

    runtime.run(body)


@each_runtime
def test_we_close_after_a_request_with_connection_close(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(ok(b"good"))) as server:
            async with trial(runtime, server) as pool:
                assert (await pool.request("GET", server.url, {"Connection": "close"})).body == b"good"
                assert pool.stats().connections == 0

    runtime.run(body)


@pytest.mark.parametrize(("pause", "reused"), [(0.9, True), (1.1, False)])
def test_keep_alive_timeout_2_ends_idle_life_a_second_earlier(pause: float, reused: bool) -> None:
    runtime = testing.Simulation()

    async def serve(end: testing.ServerEnd) -> None:
        while True:
            await end.recv_until(b"\r\n\r\n")
            await end.send(ok(b"good", b"Keep-Alive: timeout=2, max=100"))

    async def main() -> None:
        pool = httpcore.ConnectionPool()
        await pool.request("GET", "http://a.test/")
        await runtime.sleep(pause)
        assert pool.stats().idle == int(reused)
        assert (await pool.request("GET", "http://a.test/")).info.reused is reused
        await pool.close()

    runtime.listen("a.test", 80, serve)
    runtime.run(main())


# No connection, or none with correct TLS: rows 10, 12, 13 and 33.

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> httpcore.SSLConfig:
    path: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return httpcore.SSLConfig(verify=str(path))


def issue(**named: Any) -> trustme.LeafCert:
    return AUTHORITY.issue_cert("127.0.0.1", **named)


CERTIFICATES: dict[str, tuple[Callable[[], trustme.LeafCert], str]] = {
    "a stranger's certificate": (lambda: STRANGER.issue_cert("127.0.0.1"), "certificate"),
    "an expired certificate": (
        lambda: issue(not_before=YESTERDAY - datetime.timedelta(days=1), not_after=YESTERDAY),
        "expired",
    ),
    "a certificate that is not valid yet": (
        lambda: issue(not_before=YESTERDAY + datetime.timedelta(days=2), not_after=YESTERDAY + datetime.timedelta(9)),
        "not valid yet",
    ),
    "another host's certificate": (lambda: AUTHORITY.issue_cert("other.test", "127.0.0.2"), "127.0.0.1"),
}


@each_runtime
@pytest.mark.parametrize("case", CERTIFICATES)
def test_a_wrong_certificate_is_a_tls_error_before_any_request(
    runtime: Runtime, trusting: httpcore.SSLConfig, case: str
) -> None:
    make, words = CERTIFICATES[case]

    async def body() -> None:
        bad = HostileServer(lambda peer: peer.send(ok(b"secret")), server_context(make()))
        good = HostileServer(lambda peer: peer.send(ok(b"good")), server_context(issue()))
        with bad, good:
            async with trial(runtime, good, trusting) as pool:
                for _ in range(2):
                    with pytest.raises(httpcore.TLSError) as caught:
                        await pool.request("GET", bad.url)
                    assert words in checked(caught.value, bad)
                    assert isinstance(caught.value, httpcore.ConnectError)
                await check_quiet(runtime, pool, good)
                await eventually(
                    runtime, lambda: client_sockets(bad.port) == 0, "all sockets to the bad server are closed"
                )
            assert (bad.lines, bad.connections) == ([], 2)  # nothing was sent, and nothing was retried

    runtime.run(body)


@each_runtime
def test_tls_to_a_plain_port_is_a_tls_error_that_quotes_bytes(runtime: Runtime) -> None:
    def script(peer: Peer) -> None:
        if peer.number == 1:
            peer.exactly(5)
            peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif peer.head():
            peer.send(ok(b"clean"))
            peer.rest()

    async def body() -> None:
        with ScriptedServer(script) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(httpcore.TLSError) as caught:
                    await pool.request("GET", server.url.replace("http:", "https:"))
                assert "HTTP/1.1 400" in str(caught.value)
                assert caught.value.peer == f"127.0.0.1:{server.port}"

    runtime.run(body)


@each_runtime
def test_plain_http_to_a_tls_port_is_one_error(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send(ok()), server_context(issue())) as server:
            async with trial(runtime, server, trusting) as pool:
                with pytest.raises((httpcore.RemoteProtocolError, httpcore.ReadError)):
                    await pool.request("GET", server.url.replace("https:", "http:"))

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("silent", [False, True], ids=["the end", "silence"])
def test_a_handshake_that_ends_or_hangs_closes_its_socket(runtime: Runtime, silent: bool) -> None:
    def script(peer: Peer) -> None:
        peer.exactly(5)
        if silent:
            peer.rest()

    async def body() -> None:
        with ScriptedServer(script) as server:
            pool = runtime.pool(timeout=httpcore.TimeoutConfig(connect_timeout=0.2))
            with pytest.raises(httpcore.ConnectTimeout if silent else httpcore.TLSError):
                await pool.request("GET", server.url.replace("http:", "https:"))
            await check_quiet(runtime, pool, server)
            assert pool.stats().connections == 0
            await pool.close()

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("framing", ["length", "chunks", "the end"])
@pytest.mark.parametrize("polite", [False, True], ids=["cut", "with close_notify"])
def test_missing_close_notify_is_a_fault_only_where_end_counts(
    runtime: Runtime, trusting: httpcore.SSLConfig, framing: str, polite: bool
) -> None:
    answer = {
        "length": ok(b"good"),
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n",
        "the end": b"HTTP/1.1 200 OK\r\n\r\ngood",
    }[framing]

    def act(peer: Peer) -> None:
        peer.send(answer)
        if polite:
            with suppress(OSError):
                peer.socket.unwrap()  # type: ignore[attr-defined]

    async def body() -> None:
        with HostileServer(act, server_context(issue())) as server:
            async with trial(runtime, server, trusting) as pool:
                if framing == "the end" and not polite:
                    with pytest.raises(httpcore.RemoteProtocolError, match=r"no close_notify.* after 4 bytes"):
                        await pool.request("GET", server.url)
                else:
                    assert (await pool.request("GET", server.url)).body == b"good"

    runtime.run(body)


@each_runtime
def test_port_that_refuses_is_a_connect_error_that_names_address(runtime: Runtime) -> None:
    with socket.socket() as bound:  # the socket is bound but does not listen: no other process gets the port
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]

        async def body() -> None:
            with HostileServer(lambda peer: None) as server:
                async with trial(runtime, server) as pool:
                    with pytest.raises(httpcore.ConnectError) as caught:
                        await pool.request("GET", f"http://127.0.0.1:{port}/")
                    assert f"127.0.0.1:{port}" in str(caught.value)
                    assert "refused" in str(caught.value)
                    assert caught.value.errno == 111
                    assert caught.value.phase == "connect"

        runtime.run(body)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose listener's queue is full, so that the kernel answers no connection."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield listener.getsockname()[1]


@each_runtime
def test_a_black_hole_is_a_connect_timeout_within_its_limit(runtime: Runtime) -> None:
    async def body() -> None:
        with black_hole() as port, HostileServer(lambda peer: None) as server:
            async with trial(runtime, server) as pool:
                began = time.monotonic()
                with pytest.raises(httpcore.ConnectTimeout) as caught:
                    await pool.request(
                        "GET", f"http://127.0.0.1:{port}/", timeout=httpcore.TimeoutConfig(connect_timeout=0.2)
                    )
                assert 0.19 < time.monotonic() - began < PROMPT
                assert (caught.value.limit, caught.value.phase) == (0.2, "connect")
                assert f"127.0.0.1:{port}" in str(caught.value)

    runtime.run(body)


EMFILE = """
import os, resource, sys, threading
sys.path[:0] = [{root!r}, {tests!r}]
import httpcore
from servers import ScriptedServer, ok
from runtimes import RUNTIMES

finish = threading.Event()

def script(peer):
    assert peer.head()
    peer.send(ok(b"good")[:-2])
    assert finish.wait(10)
    peer.send(b"od")
    while peer.head():
        peer.send(ok(b"good"))

async def body(runtime):
    pool = runtime.pool(timeout=httpcore.TimeoutConfig(connect_timeout=1))
    hogs = []
    under_way = await pool.request("GET", server.url, stream=True)
    try:
        while True:
            hogs.append(os.dup(0))
    except OSError:
        pass
    try:
        try:
            await pool.request("GET", server.url)
        except httpcore.ConnectError as error:
            assert error.errno == 24, error.errno
            assert "Too many open files" in str(error), str(error)
            assert error.phase == "connect", error.phase
        else:
            raise AssertionError("no error")
        assert pool.stats().connections == 1
        finish.set()
        assert await under_way.read() == b"good"  # a request that has a connection continues
        assert (await pool.request("GET", server.url)).info.reused
    finally:
        for hog in hogs:
            os.close(hog)
    stats = pool.stats()
    assert (stats.leased, stats.busy, stats.dialing, stats.waiting, stats.idle) == (0, 0, 0, 0, 1), stats
    await pool.close()

runtime = next(runtime for runtime in RUNTIMES if runtime.name == sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with ScriptedServer(script) as server:
    runtime.run(body, runtime)
print("done")
"""


@each_runtime
def test_no_free_descriptor_is_an_error_of_the_new_request_only(runtime: Runtime) -> None:
    root = Path(__file__).resolve().parents[2]
    program = textwrap.dedent(EMFILE).format(root=str(root), tests=str(root / "tests" / "support"))
    done = subprocess.run([sys.executable, "-W", "error", "-c", program, runtime.name], capture_output=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (b"done\n", b"", 0)


@each_runtime
def test_no_thread_left_for_a_name_is_an_error_and_frees_slot(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def body() -> None:
        with HostileServer(lambda peer: None) as server:
            async with trial(runtime, server) as pool:
                with monkeypatch.context() as patch:
                    patch.setattr(threading.Thread, "start", no_thread)
                    with pytest.raises(httpcore.ConnectError, match="thread"):
                        await pool.request("GET", "http://no-such-name.invalid/")

    runtime.run(body)


# Time: rows 36, 38 and 45.


@each_runtime
@pytest.mark.parametrize("where", ["head", "chunk line", "body", "interim responses"])
def test_a_drip_ends_at_the_total_timeout(runtime: Runtime, where: str) -> None:
    """Each byte restarts the read timeout, so only the total timeout ends the request."""
    start, drip = {
        "head": (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
        "chunk line": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=", b"b"),
        "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"b"),
        "interim responses": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    }[where]

    def act(peer: Peer) -> None:
        peer.send(start)
        while True:
            time.sleep(0.02)
            peer.send(drip)

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                began = time.monotonic()
                with pytest.raises(httpcore.TotalTimeout) as caught:
                    await pool.request("GET", server.url, timeout=httpcore.TimeoutConfig(1, total_timeout=0.2))
                assert 0.19 <= time.monotonic() - began < 0.4 + BUSY
                assert "limit: 0.2" in checked(caught.value, server)

    runtime.run(body)


@each_runtime
def test_a_request_body_that_drips_ends_at_the_total_timeout_too(runtime: Runtime) -> None:
    """The peer reads a little now and then, so that there is room again within each write timeout."""

    def act(peer: Peer) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while peer.socket.recv(4096):
            time.sleep(0.02)

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                began = time.monotonic()
                with pytest.raises(httpcore.TotalTimeout) as caught:
                    await pool.request(
                        "POST", server.url, body=bytes(LARGE), timeout=httpcore.TimeoutConfig(1, total_timeout=0.2)
                    )
                assert 0.19 <= time.monotonic() - began < 0.4 + BUSY
                assert caught.value.phase == "write the request"

    runtime.run(body)


@each_runtime
def test_silence_is_a_read_timeout_that_names_its_limit(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.rest()) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(httpcore.ReadTimeout) as caught:
                    await pool.request("GET", server.url, timeout=httpcore.TimeoutConfig(read_timeout=0.1))
                assert "limit: 0.1" in checked(caught.value, server)
                assert caught.value.phase == "read the response head"
            assert server.bad_lines == ["GET /"]

    runtime.run(body)


@each_runtime
def test_a_peer_that_never_reads_is_a_write_timeout(runtime: Runtime) -> None:
    stop = threading.Event()
    taken = 0

    def count() -> None:
        nonlocal taken
        taken += 1

    async def body() -> None:
        timeout = httpcore.TimeoutConfig(write_timeout=0.2)
        with HostileServer(lambda peer: stop.wait(10) and None) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(httpcore.WriteTimeout) as caught:
                    await pool.request(
                        "POST",
                        server.url,
                        body=endless(runtime, count),
                        timeout=timeout,
                    )
                checked(caught.value, server, "POST")
                assert taken * 65536 < 32 * MIB  # the size of the kernel's buffers, and one piece
                stop.set()

    runtime.run(body)


@each_runtime
def test_data_that_came_beside_a_busy_loop_is_no_timeout(runtime: Runtime) -> None:
    requested = threading.Event()

    def act(peer: Peer) -> bool:
        requested.set()
        time.sleep(0.05)
        peer.send(ok(b"good"))
        return True

    async def block() -> None:
        while not requested.is_set():
            await runtime.sleep(0.001)
        time.sleep(0.4)  # noqa: ASYNC251  # on purpose

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:

                async def fetch() -> None:
                    timeout = httpcore.TimeoutConfig(read_timeout=0.2)
                    assert (await pool.request("GET", server.url, timeout=timeout)).body == b"good"

                await runtime.gather(fetch, block)

    runtime.run(body)


# Faults in the user's code: rows 39, 46 and 47.


class Recording(ScriptedServer):
    """Records the bytes of its first connection until the client disconnects; later connections are served."""

    def __init__(self) -> None:
        self.bytes_after_head: list[bytes] = []
        super().__init__(self._record)

    def _record(self, peer: Peer) -> None:
        if peer.number == 1:
            self.bytes_after_head.append(peer.rest())
        else:
            while peer.head():
                peer.send(ok(b"clean"))


class UserError(Exception):
    """An error of the user's code."""


FAILING: dict[str, tuple[Callable[[Runtime], Any], dict[str, str], type[Exception], str]] = {
    "raises": (lambda runtime: pieces(runtime, b"half", then=UserError("half way")), {}, UserError, "half way"),
    "gives a str": (lambda runtime: pieces(runtime, b"half", "text"), {}, httpcore.LocalProtocolError, "type str"),
    "gives None": (lambda runtime: pieces(runtime, b"half", None), {}, httpcore.LocalProtocolError, "type NoneType"),
    "gives a str from a list": (lambda runtime: [b"half", "text"], {}, httpcore.LocalProtocolError, "type str"),
    "is too short": (
        lambda runtime: pieces(runtime, b"half"),
        {"Content-Length": "8"},
        httpcore.LocalProtocolError,
        "shorter than its Content-Length: expected 8 bytes, got 4",
    ),
    "is too long": (
        lambda runtime: pieces(runtime, b"half", b"more!"),
        {"Content-Length": "8"},
        httpcore.LocalProtocolError,
        "longer than its Content-Length: expected 8 bytes, got 9 or more",
    ),
}


@each_runtime
@pytest.mark.parametrize("case", FAILING)
def test_body_that_fails_is_cut_on_the_wire_and_its_error_raised(runtime: Runtime, case: str) -> None:
    make, headers, error, words = FAILING[case]

    async def body() -> None:
        with Recording() as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(error, match=re.escape(words)):
                    await pool.request("POST", server.url, headers, make(runtime))
                assert pool.stats().connections == 0
                await eventually(runtime, lambda: len(server.bytes_after_head) == 1, "the server sees the end")
            head, _, rest = server.bytes_after_head[0].partition(b"\r\n\r\n")
            assert head.startswith(b"POST / HTTP/1.1\r\n")
            assert rest == (b"half" if headers else b"4\r\nhalf\r\n")  # never the last chunk, nor a byte too many

    runtime.run(body)


@each_runtime
def test_the_server_sees_the_end_before_the_users_own_clean_up(runtime: Runtime) -> None:
    """The clean-up may take long, and may even raise an error: meanwhile the request must not look like one that
    continues.
    """
    order: list[str] = []

    async def body() -> None:
        with Recording() as server:
            async with trial(runtime, server) as pool:

                def plain() -> Iterator[Any]:
                    try:
                        yield from (b"half", "text")
                    finally:
                        ends = time.monotonic() + PROMPT
                        while not server.bytes_after_head and time.monotonic() < ends:
                            time.sleep(0.001)
                        order.append("clean-up" if server.bytes_after_head else "too early")

                async def waiting() -> AsyncIterator[Any]:
                    try:
                        yield b"half"
                        yield "text"
                    finally:
                        await eventually(runtime, lambda: bool(server.bytes_after_head), "the server sees the end")
                        order.append("clean-up")

                with pytest.raises(httpcore.LocalProtocolError, match="type str"):
                    await pool.request("POST", server.url, body=plain() if runtime.name == "threads" else waiting())
            assert order == ["clean-up"]

    runtime.run(body)


KNOWN_BEFORE = {
    "a length too short": (b"body", {"Content-Length": "3"}),
    "a length too long": (b"body", {"Content-Length": "5"}),
    "two lengths": (b"body", [("Content-Length", "4"), ("content-length", "4")]),
    "a length and chunks": (b"body", {"Content-Length": "4", "Transfer-Encoding": "chunked"}),
    "a length that is none": (b"body", {"Content-Length": "+4"}),
    "another coding": (b"body", {"Transfer-Encoding": "gzip, chunked"}),
    "two hosts": (b"", [("Host", "a"), ("host", "b")]),
    "a number as a body": (5, {}),
    "a mapping as a body": ({"a": "b"}, {}),
    "a callable that gives text": (lambda: "text", {}),
    "headers that are text": (b"", "a: b"),
    "headers that are bytes": (b"", b"a: b"),
    "headers that are a number": (b"", 5),
    "headers that are three": (b"", [("a", "b", "c")]),
    "headers that are single": (b"", [("a",)]),
    "headers that are text in a list": (b"", ["ab", "cd"]),
    "headers that are no text": (b"", [("a", 5)]),
    "headers that are None": (b"", [("a", None)]),
}


@each_runtime
@pytest.mark.parametrize("case", KNOWN_BEFORE)
def test_known_mistakes_are_refused_before_a_byte_is_sent(runtime: Runtime, case: str) -> None:
    content, headers = KNOWN_BEFORE[case]

    opened: list[httpcore.TraceEvent] = []

    def trace(event: httpcore.TraceEvent) -> None:
        if isinstance(event, httpcore.ConnectionOpened):
            opened.append(event)

    async def body() -> None:
        with Recording() as server:
            pool = runtime.pool(trace=trace)
            with pytest.raises(httpcore.LocalProtocolError) as caught:
                await pool.request("POST", server.url, headers, content)
            assert "expected" in str(caught.value) or "Content-Length" in str(caught.value)
            await check_quiet(runtime, pool, server)
            await pool.close()
            assert len(opened) == (case == "a callable that gives text")  # a callable is called when needed
            await eventually(runtime, lambda: server.bytes_after_head == [b""] * len(opened), "nothing received")

    runtime.run(body)


@each_runtime
def test_a_request_inside_the_only_connection_is_a_pool_timeout(runtime: Runtime) -> None:
    async def body() -> None:
        limits = httpcore.PoolLimits(max_connections=1)
        timeout = httpcore.TimeoutConfig(pool_timeout=0.1)
        with HostileServer(lambda peer: peer.rest()) as server:
            async with trial(runtime, server, timeout=timeout, limits=limits) as pool:

                async def asynchronous() -> AsyncIterator[bytes]:
                    yield b"half"
                    await pool.request("GET", f"{server.url}/clean")
                    yield b"more"

                def plain() -> Iterator[bytes]:
                    yield b"half"
                    pool.sync.request("GET", f"{server.url}/clean")
                    yield b"more"

                content = plain() if runtime.name == "threads" else asynchronous()
                with pytest.raises(httpcore.PoolTimeout) as caught:
                    await pool.request("POST", server.url, body=content)
                assert "1 of 1 connections are busy" in str(caught.value)
            assert server.bad_lines == ["POST /"]

    runtime.run(body)


EVENTS = [
    httpcore.RequestStarted,
    httpcore.DialStarted,
    httpcore.ConnectStarted,
    httpcore.Connected,
    httpcore.ConnectionOpened,
    httpcore.HeadSent,
    httpcore.RequestSent,
    httpcore.InterimResponse,
    httpcore.ResponseStarted,
    httpcore.ResponseComplete,
]


@each_runtime
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("stream", [False, True])
def test_exception_in_a_trace_ends_request_and_frees_its_slot(
    runtime: Runtime, event: type[httpcore.TraceEvent], stream: bool
) -> None:
    raised: list[httpcore.TraceEvent] = []

    def trace(record: httpcore.TraceEvent) -> None:
        if isinstance(record, event):
            raised.append(record)
            raise UserError("in the trace")

    answer = b"HTTP/1.1 102 Processing\r\n\r\n" + ok(b"good")

    async def fetch(pool: Any, url: str) -> None:
        async with await pool.request("GET", url, stream=stream, trace=trace) as response:
            await response.read()

    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(answer)) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(UserError, match="in the trace"):
                    await fetch(pool, server.url)
                assert len(raised) == 1

    runtime.run(body)


# The loop is closed.


@each_runtime
def test_a_pool_can_be_read_and_closed_when_its_loop_is_over(runtime: Runtime) -> None:
    kept: list[Any] = []

    async def body() -> None:
        pool = runtime.pool()
        response = await pool.request("GET", server.url, stream=True)
        pieces = response.raw()
        assert await pieces.__anext__() == b"half"
        kept.extend([pool, pieces])

    def half(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        peer.rest()

    with HostileServer(half) as server:
        runtime.run(body)
        pool, pieces = kept
        assert pool.stats().leased == 1
        pieces.close()
        assert pool.stats().leased == 0
        assert pool.stats().connections == 0


# A body that is not read to its end: row 27.


@each_runtime
@pytest.mark.parametrize("variant", ["break", "exception", "never begun"])
@pytest.mark.parametrize(("size", "kept"), [(30_000, True), (8 * MIB, False)], ids=["small and here", "large"])
def test_unread_body_is_drained_if_small_or_costs_its_connection(
    runtime: Runtime, variant: str, size: int, kept: bool
) -> None:
    sent = threading.Event()

    def act(peer: Peer) -> bool:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nfirst" % size)
        if kept:
            peer.send(bytes(size - 5))
            sent.set()
        else:
            sent.set()
            peer.send(bytes(size - 5))
        return True

    async def leave(pool: Any, url: str) -> None:
        async with await pool.request("GET", url, stream=True) as response:
            assert sent.wait(10)
            if variant == "never begun":
                return
            async for piece in response.stream():
                assert piece.startswith(b"first")
                if variant == "break":
                    break
                raise UserError("the user's")

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                if variant == "exception":
                    with pytest.raises(UserError):
                        await leave(pool, server.url)
                else:
                    await leave(pool, server.url)
                assert pool.stats().connections == int(kept)
                response = await pool.request("GET", f"{server.url}/clean")
                assert (response.body, response.info.reused) == (b"clean", kept)

    runtime.run(body)


def test_asyncio_in_debug_mode_finds_nothing_to_complain_about(caplog: pytest.LogCaptureFixture) -> None:
    runtime = AsyncioRuntime()

    async def body() -> None:
        with HostileServer(lambda peer: peer.reset()) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(GONE):
                    await pool.request("POST", server.url, body=pieces(runtime, b"a", b"b"))

    asyncio.run(body(), debug=True)
    assert [record for record in caplog.records if record.name == "asyncio" and record.levelname != "DEBUG"] == []
