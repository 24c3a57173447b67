"""A client certificate that the server requests after the handshake, when it has read the request (RFC 8446, 4.6.2).

Apache does this for single directories. The server waits for the answer before it answers the request, so the bytes
that OpenSSL makes while reading must be sent although nothing more is written.
"""

from __future__ import annotations

import ssl
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
import trustme
from runtimes import Runtime, each_runtime
from scripted_proxy import CONNECT, EXCHANGE, TLS_ORIGIN, TLS_PROXY, ScriptedProxy, TLSServerSide, Visit, connect
from servers import ok
from test_tls_faults import frame, read_frame
from test_tls_stream import TLSPeer, client_context, driven, joined
from trials import every_runtime_has_run, nothing_is_left_open  # noqa: F401  # fixtures

import httpcore
from httpcore import testing
from httpcore._backends.threads import BlockingBackend
from httpcore._connect.contexts import context_for
from httpcore._connect.tls import TLSStream, start_tls

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost", "127.0.0.1", "a.test")
LARGE = 8 * 1024 * 1024
CASES = [(TLS_ORIGIN, EXCHANGE), (TLS_PROXY, CONNECT, TLS_ORIGIN, EXCHANGE)]


class Files(NamedTuple):
    authority: str
    mine: str
    certificate: bytes

    def config(self, **settings: Any) -> httpcore.SSLConfig:
        return httpcore.SSLConfig(**{"verify": self.authority, "cert": self.mine, "trust_env": False, **settings})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder, mine = tmp_path_factory.mktemp("late"), AUTHORITY.issue_cert("me@example.test")
    AUTHORITY.cert_pem.write_to_path(str(folder / "ca.pem"))
    mine.private_key_and_cert_chain_pem.write_to_path(str(folder / "me.pem"))
    der = ssl.PEM_cert_to_DER_cert(mine.cert_chain_pems[0].bytes().decode())
    return Files(str(folder / "ca.pem"), str(folder / "me.pem"), der)


def late_context(*alpn: str) -> ssl.SSLContext:
    """A server's context, which requests a certificate only when the test calls for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.post_handshake_auth = True
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(list(alpn))
    return context


def demand(secured: TLSServerSide) -> bytes:
    """Request a certificate, and wait until the client has answered. Return the client's certificate."""
    secured.tls.verify_client_post_handshake()
    secured.tls.do_handshake()
    secured.flush()
    while not (found := secured.tls.getpeercert(binary_form=True)):
        data = secured.under.recv(65536)
        assert data, "the client has disconnected"
        secured.incoming.write(data)
        try:
            with suppress(ssl.SSLWantReadError):
                while True:
                    secured.held += secured.tls.read(65536)  # type: ignore[attr-defined]
        finally:
            secured.flush()
    return found


class LateServer(ScriptedProxy):
    """Answers /open at once, and other targets after the client has presented a certificate.

    Attributes:
        shown: the certificates that clients have presented.
        refused: OpenSSL's errors when the server could not request one.
    """

    def __init__(self, steps: tuple[str, ...] = CASES[0]) -> None:
        self.shown: list[bytes] = []
        self.refused: list[str] = []
        acts = {EXCHANGE: self._serve_requests, CONNECT: connect}
        super().__init__(steps, acts, proxy=late_context("http/1.1"), origin=late_context("http/1.1"))

    def _serve_requests(self, visit: Visit) -> None:
        secured: Any = visit.socket
        secured.held = b""
        while head := visit.head():
            if b" /open " not in head:
                try:
                    self.shown.append(demand(secured))
                except ssl.SSLError as error:
                    self.refused.append(error.reason or "")
                    if "EXTENSION" not in (error.reason or ""):
                        return
                    visit.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    continue
            visit.held, secured.held = visit.held + secured.held, b""
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or b"0")
            discard(visit, length)
            visit.send(ok(b"for you"))


def discard(visit: Visit, size: int) -> None:
    while size:
        size -= len(visit.exactly(min(size, 65536)))


@each_runtime
@pytest.mark.parametrize("steps", CASES, ids=["TLS", "TLS in TLS"])
@pytest.mark.parametrize("size", [0, 100, LARGE])
def test_a_certificate_requested_late_is_shown(
    runtime: Runtime, size: int, steps: tuple[str, ...], files: Files
) -> None:
    async def body(port: int) -> None:
        proxy = httpcore.Proxy(f"https://localhost:{port}", ssl=files.config()) if len(steps) > 2 else None
        async with runtime.pool(files.config(), proxy=proxy, timeout=20.0) as pool:
            for path in ("open", "private", "private", "open"):
                url = f"https://localhost:{port}/{path}"
                response = await pool.request("POST", url, body=bytes(size))
                assert (response.status_code, response.body) == (200, b"for you")
            assert pool.stats().connections == 1

    with LateServer(steps) as server:
        runtime.run(body, server.port)
        assert server.shown == [files.certificate] * 2


@each_runtime
def test_a_callers_context_that_offers_it_is_supported(runtime: Runtime, files: Files) -> None:
    async def body(port: int) -> None:
        context = ssl.create_default_context(cafile=files.authority)
        context.load_cert_chain(files.mine)
        context.post_handshake_auth = True
        async with runtime.pool(context, timeout=20.0) as pool:
            assert (await pool.request("GET", f"https://localhost:{port}/private")).status_code == 200

    with LateServer() as server:
        runtime.run(body, server.port)
        assert server.shown == [files.certificate]


@each_runtime
def test_no_certificate_means_no_late_authentication(runtime: Runtime, files: Files) -> None:
    async def body(port: int) -> None:
        async with runtime.pool(files.config(cert=None), timeout=20.0) as pool:
            assert (await pool.request("GET", f"https://localhost:{port}/private")).status_code == 403

    with LateServer() as server:
        runtime.run(body, server.port)
        assert server.refused == ["EXTENSION_NOT_RECEIVED"]


@each_runtime
def test_an_empty_answer_to_a_late_request_is_named(runtime: Runtime, files: Files) -> None:
    async def body(port: int) -> None:
        context = ssl.create_default_context(cafile=files.authority)
        context.post_handshake_auth = True
        async with runtime.pool(context, timeout=20.0) as pool:
            with pytest.raises(httpcore.ReadError, match=r"the server requires a client certificate: SSLConfig\(cert"):
                await pool.request("GET", f"https://localhost:{port}/private")

    with LateServer() as server:
        runtime.run(body, server.port)


def test_late_authentication_is_offered_only_with_a_certificate(files: Files) -> None:
    for config, offered in ((files.config(), True), (files.config(cert=None), False)):
        assert context_for(config, ("http/1.1",)).post_handshake_auth is offered
        assert httpcore.ssl_context(config).post_handshake_auth is offered


# HTTP/2 forbids a late request for a certificate.


@each_runtime
@pytest.mark.parametrize("alpn", ["h2", None], ids=["ALPN", "prior knowledge"])
def test_over_http2_a_late_request_ends_the_connection(runtime: Runtime, alpn: str | None, files: Files) -> None:
    """The certificate is not sent."""
    came: list[bytes] = []

    def talk(visit: Visit) -> None:
        secured: Any = visit.socket
        visit.exactly(24)
        visit.send(frame(4, 0, 0, b""))
        while read_frame(visit)[0] != 1:  # HEADERS
            pass
        secured.tls.verify_client_post_handshake()
        secured.tls.do_handshake()
        secured.flush()
        came.append(visit.raw_socket.recv(65536))

    async def body(port: int) -> None:
        async with runtime.pool(files.config(), timeout=20.0, http1=alpn is not None) as pool:
            with pytest.raises(httpcore.ReadError, match=r"asked for a client certificate .*\(RFC 9113, 9\.2\.3\)"):
                await pool.request("GET", f"https://localhost:{port}/")
            assert pool.stats().connections == 0

    context = late_context(*([alpn] if alpn else []))
    with ScriptedProxy((TLS_ORIGIN, EXCHANGE), {EXCHANGE: talk}, origin=context) as server:
        runtime.run(body, server.port)
        assert sum(map(len, came)) < 100  # the client has sent at most an acknowledgement of SETTINGS


# One stream.


def certified(files: Files, *, offers: bool = True) -> ssl.SSLContext:
    context = client_context(trusted=AUTHORITY)
    context.load_cert_chain(files.mine)
    context.post_handshake_auth = offers
    return context


async def send_request(peer: TLSPeer) -> None:
    peer.session.verify_client_post_handshake()
    peer.session.do_handshake()
    await peer.below.send(peer.outgoing.read())


def test_an_answer_without_room_leaves_when_there_is_some(files: Files) -> None:
    """The reply is sent although nothing more is written, and the peer sends nothing until it has the answer."""
    runtime = testing.Simulation()

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        given = 0
        while count := stream.give(bytes(16384)):
            given += count
        reading = runtime.spawn(stream.read(10, 5.0))
        await send_request(peer)
        await runtime.sleep(1.0)
        assert peer.session.getpeercert(binary_form=True) is None
        await peer.recv_exactly(given)
        peer_reading = runtime.spawn(peer.recv(1))
        await runtime.sleep(0.2)
        assert peer.session.getpeercert(binary_form=True) == files.certificate
        await peer.send(b"yes")
        await reading.wait()
        assert reading.result() == b"yes"
        peer_reading.cancel()

    joined(body, runtime, client=certified(files), server=late_context(), window=30_000)


@pytest.mark.parametrize("seed", range(5))
def test_an_answer_follows_a_writers_bytes_in_order(seed: int, files: Files) -> None:
    data = bytes(range(256)) * 4_000  # 256 KiB are encrypted at once: the answer is sent between two of these blocks

    async def write_all(stream: TLSStream) -> None:
        taken = 0
        while taken < len(data):
            taken += await stream.write_some(data[taken:], 5.0, duplex=True)
        assert await stream.flush(5.0, duplex=True)

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        writing = runtime.spawn(write_all(stream))
        reading = runtime.spawn(stream.read(10, 5.0))
        await runtime.sleep(0.1)
        await send_request(peer)
        assert await peer.recv_exactly(len(data)) == data
        await writing.wait()
        await peer.send(b"yes")
        await reading.wait()
        assert peer.session.getpeercert(binary_form=True) == files.certificate

    runtime = testing.Simulation(seed, shuffle=True, max_read=7000, max_write=5000)
    joined(body, runtime, client=certified(files), server=late_context(), window=10_000)


def test_a_thread_that_reads_answers_while_another_writes(files: Files) -> None:
    """The client writes at least 60 pieces, and continues until the server's fourth request for a certificate: the
    reply is sent after all bytes in flight, so the number of pieces depends on the machine.
    """
    piece, last = bytes(100_000), b"."
    sent: list[int] = []
    received: list[int] = []
    requested: list[None] = []
    enough = threading.Event()

    def talk(visit: Visit) -> None:
        secured: Any = visit.socket
        count, data = 0, b""
        while not data.endswith(last):
            with suppress(ssl.SSLError):  # one request is in progress until it is answered
                secured.tls.verify_client_post_handshake()
                secured.tls.do_handshake()
                secured.flush()
                requested.append(None)
                if len(requested) > 3:
                    enough.set()
            data = secured.recv(65536)
            assert data, "the client has disconnected"
            count += len(data)
        received.append(count)
        visit.send(b"!")

    async def read(stream: TLSStream) -> None:
        found = b""
        while b"!" not in found:
            found += await stream.read(10, 20.0)

    async def write(stream: TLSStream) -> None:
        ends = time.monotonic() + 20.0
        while len(sent) < 60 or not (enough.is_set() or time.monotonic() > ends):
            await write_all(stream, piece)
        await write_all(stream, last)

    async def write_all(stream: TLSStream, data: bytes) -> None:
        taken = 0
        while taken < len(data):
            taken += await stream.write_some(data[taken:], 20.0, duplex=True)
        assert await stream.flush(20.0, duplex=True)
        sent.append(len(data))

    steps = (TLS_ORIGIN, EXCHANGE)
    with ScriptedProxy(steps, {EXCHANGE: talk}, origin=late_context()) as server:
        backend = BlockingBackend()
        below = driven(backend.connect_tcp(["127.0.0.1"], server.port, 5.0))
        stream = driven(start_tls(below, certified(files), "localhost", timeout=5.0, now=backend.now))
        writer = threading.Thread(target=lambda: driven(write(stream)))
        writer.start()
        driven(read(stream))
        writer.join(30)
        stream.close()
    assert received == [sum(sent)]
    assert len(requested) > 3, "the server requests another certificate after each answer"


def test_late_certificate_requests_of_a_connection_are_bounded(files: Files) -> None:
    """Each answer costs a signature, also if data is received in between."""
    requested: list[None] = []

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        end = peer.below
        assert isinstance(end, testing.ServerEnd)
        with pytest.raises(httpcore.ReadError, match="answers to the peer's certificate requests took more than"):  # noqa: PT012
            for _ in range(1000):
                await send_request(peer)
                requested.append(None)
                assert stream.take() is None
                peer.incoming.write(await end.recv())
                with suppress(ssl.SSLWantReadError):
                    peer.session.read(1)
                await peer.send(b"x")
                assert stream.take() == b"x"

    joined(body, client=certified(files), server=late_context())
    assert 20 < len(requested) < 500


def test_a_download_is_whole_where_a_server_might_ask(files: Files) -> None:
    data = bytes(range(256)) * 2000

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        sending = runtime.spawn(peer.send(data))
        found = b""
        while len(found) < len(data):
            found += await stream.read(1 << 20, 5.0)
        await sending.wait()
        assert found == data

    runtime = testing.Simulation()
    joined(body, runtime, client=certified(files), server=late_context(), window=200_000)
