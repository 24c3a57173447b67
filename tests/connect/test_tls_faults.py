"""The ends of a TLS connection, and the response in each case: three kinds of ends are distinguished, and alerts are
named.

A clean end (close_notify) may complete a body that only the end delimits. An end without it may have been made by an
attacker, and so may a record that does not decrypt: after either no body is complete. An alert contains the reason why
the peer closes.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import struct
from contextlib import suppress
from typing import Any

import pytest
import trustme
from runtimes import Runtime, each_runtime
from scripted_proxy import CONNECT, EXCHANGE, TLS_ORIGIN, TLS_PROXY, ScriptedProxy, TLSServerSide, Visit, connect
from servers import ScriptedServer
from tls_origins import server_context
from trials import every_runtime_has_run, nothing_is_left_open  # noqa: F401  # fixtures

import httpcore

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost", "127.0.0.1")
SERVER = server_context(CERTIFICATE, "http/1.1")
SERVER_2 = server_context(CERTIFICATE, "h2")

FORGED = b"\x17\x03\x03\x00\x20" + bytes(32)  # 37 bytes, for which no key is needed
LARGE = 16 * 1024 * 1024
"""More bytes than the kernel's buffers hold."""

FAULTS = ["RST", "FIN", "forged record", "alert", "close_notify"]
PLACES = ["during the upload", "before the head", "in the body"]
FRAMINGS = ["length", "chunked", "until close"]
VARIANTS = ["TLS", "TLS in TLS", "TLS in TLS, the inner", "HTTP/2"]


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> httpcore.SSLConfig:
    path = tmp_path_factory.mktemp("faults") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return httpcore.SSLConfig(verify=str(path), trust_env=False)


# Acts of a server.


def commit(visit: Visit, fault: str, variant: str) -> None:
    """End the connection with this fault. Under TLS in TLS the outer session ends."""
    inner: Any = visit.socket
    secured = inner.under if variant == "TLS in TLS" else inner
    below = secured.under
    with suppress(OSError):
        if fault == "RST":
            visit.reset()
        elif fault == "FIN":
            visit.raw_socket.shutdown(socket.SHUT_WR)
        elif fault == "forged record":
            below.sendall(FORGED)
        elif fault == "alert":
            alert(secured)
        else:
            with suppress(ssl.SSLError):
                secured.tls.unwrap()
            secured.flush()


def alert(secured: TLSServerSide) -> None:
    """Make OpenSSL send an alert: "bad record mac", as if the client had sent such a record."""
    secured.incoming.write(FORGED + bytes(40_000))  # this may come within a record of the upload
    with suppress(ssl.SSLError):
        while True:
            secured.tls.read(65536)
    secured.flush()


HEADS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nfirst",
}


def serve_1(visit: Visit, fault: str, place: str, framing: str, variant: str) -> None:
    visit.head()
    if place == "during the upload":
        visit.exactly(50_000)
    if place != "before the head":
        visit.send(HEADS[framing])
    commit(visit, fault, variant)
    drain(visit)


def serve_2(visit: Visit, fault: str, place: str, framing: str, variant: str) -> None:
    """Frames made by hand: SETTINGS, their acknowledgement, a head and DATA, which are the same for any input."""
    visit.exactly(24)
    visit.send(frame(4, 0, 0, b"\x00\x04" + struct.pack(">I", 2**31 - 1)))
    visit.send(frame(8, 0, 0, struct.pack(">I", 2**30)))
    while (got := read_frame(visit))[0] != 1:  # HEADERS
        if got[:2] == (4, 0):
            visit.send(frame(4, 1, 0, b""))
    if place == "during the upload":
        visit.exactly(50_000)
    if place != "before the head":
        length = b"\x0f\x0d\x03100" if framing == "length" else b""
        visit.send(frame(1, 4, 1, b"\x88" + length) + frame(0, 0, 1, b"first"))
    commit(visit, fault, variant)
    drain(visit)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def read_frame(visit: Visit) -> tuple[int, int, bytes]:
    head = visit.exactly(9)
    return head[3], head[4], visit.exactly(int.from_bytes(head[:3], "big"))


def drain(visit: Visit) -> None:
    """Wait until the client disconnects."""
    with suppress(OSError):
        visit.raw_socket.settimeout(20)
        while visit.raw_socket.recv(1 << 20):
            pass


def server(fault: str, place: str, framing: str, variant: str) -> ScriptedProxy:
    def exchange(visit: Visit) -> None:
        (serve_2 if variant == "HTTP/2" else serve_1)(visit, fault, place, framing, variant)

    acts = {EXCHANGE: exchange, CONNECT: connect}
    steps = (TLS_PROXY, CONNECT, TLS_ORIGIN, EXCHANGE) if variant.startswith("TLS in") else (TLS_ORIGIN, EXCHANGE)
    return ScriptedProxy(steps, acts, proxy=SERVER, origin=SERVER_2 if variant == "HTTP/2" else SERVER)


# The client's results.


async def send_request(runtime: Runtime, port: int, place: str, variant: str, trusting: httpcore.SSLConfig) -> Any:
    proxy = httpcore.Proxy(f"https://localhost:{port}", ssl=trusting) if variant.startswith("TLS in") else None
    timeout = httpcore.TimeoutConfig(total_timeout=20)
    method, data = ("POST", bytes(LARGE)) if place == "during the upload" else ("GET", b"")
    async with runtime.pool(trusting, proxy=proxy, timeout=timeout) as pool:
        try:
            return await pool.request(method, f"https://localhost:{port}/", body=data)
        finally:
            assert pool.stats().leased == 0


def expected(fault: str, place: str, framing: str, variant: str) -> tuple[tuple[type[Exception], ...], str]:
    broken = (httpcore.ReadError, httpcore.WriteError)
    if fault == "RST":
        return broken, "the connection broke|reset"
    if fault == "forged record":
        return broken, "TLS failed while (reading|writing): .*(bad record|decryption)"
    if fault == "alert":
        return broken, 'TLS failed while (reading|writing): the peer sent the alert "bad record mac"'
    return (httpcore.RemoteProtocolError,), "ended the connection|was cut|closed the HTTP/2 connection"


CASES = [
    case
    for case in itertools.product(FAULTS, PLACES, FRAMINGS, VARIANTS)
    if not (case[1] == "before the head" and case[2] != "length")  # before the head there is no framing
    and not (case[3] == "HTTP/2" and case[2] == "chunked")  # HTTP/2 has no chunked framing
]


@each_runtime
@pytest.mark.parametrize(("fault", "place", "framing", "variant"), CASES, ids=lambda part: str(part))
def test_only_a_clean_end_completes_a_body(
    runtime: Runtime, fault: str, place: str, framing: str, variant: str, trusting: httpcore.SSLConfig
) -> None:
    async def body(port: int) -> None:
        clean = fault == "close_notify" and framing == "until close" and place != "before the head"
        if clean and variant in ("TLS", "TLS in TLS, the inner"):
            response = await send_request(runtime, port, place, variant, trusting)
            assert (response.status_code, response.body) == (200, b"first")
            return
        kinds, text = expected(fault, place, framing, variant)
        with pytest.raises(kinds, match=text) as caught:
            await send_request(runtime, port, place, variant, trusting)
        assert isinstance(caught.value, httpcore.HTTPCoreError)
        assert caught.value.method == ("POST" if place == "during the upload" else "GET")
        assert caught.value.phase in ("write the request", "read the response head", "read the response body")

    with server(fault, place, framing, variant) as peer:
        runtime.run(body, peer.port)


# A client certificate that is missing.


class CertificateDemandingServer(ScriptedServer):
    """A TLS 1.3 server that requires a client certificate. When the client has sent none, Python's `ssl` sends an alert
    and the server closes: further bytes of the client are answered with RST.
    """

    def __init__(self, *alpn: str) -> None:
        super().__init__(lambda peer: None, server_context(CERTIFICATE, *alpn, clients=AUTHORITY))


@each_runtime
@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("size", [0, 100, 1_000_000, LARGE])
def test_a_missing_client_certificate_is_named_with_a_hint(
    runtime: Runtime, size: int, http2: bool, trusting: httpcore.SSLConfig
) -> None:
    async def body() -> None:
        async with runtime.pool(trusting, http2=http2, retry_stale=False) as pool:
            for _ in range(10):
                with pytest.raises((httpcore.ReadError, httpcore.WriteError)) as caught:
                    await pool.request("POST", peer.url, body=bytes(size))
                text = str(caught.value)
                assert 'the alert "certificate required"' in text
                assert "the server requires a client certificate: SSLConfig(cert=...)" in text

    with CertificateDemandingServer("h2" if http2 else "http/1.1") as peer:
        runtime.run(body)


# Without TLS a reset is a fault, too.


@each_runtime
@pytest.mark.parametrize("place", PLACES)
def test_over_tcp_a_reset_completes_no_body(runtime: Runtime, place: str) -> None:
    def talk(visit: Visit) -> None:
        visit.head()
        if place == "during the upload":
            visit.exactly(50_000)
        if place != "before the head":
            visit.send(HEADS["until close"])
        visit.reset()

    async def body(port: int) -> None:
        method, data = ("POST", bytes(LARGE)) if place == "during the upload" else ("GET", b"")
        async with runtime.pool() as pool:
            for _ in range(20):
                with pytest.raises((httpcore.ReadError, httpcore.WriteError)):
                    await pool.request(method, f"http://localhost:{port}/", body=data)

    with ScriptedProxy((EXCHANGE,), {EXCHANGE: talk}) as server:
        runtime.run(body, server.port)
