"""TLS sessions: a connection resumes the session of an earlier one, once, and only of the same server under the same
name and settings.
"""

from __future__ import annotations

import dataclasses
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme
from runtimes import Runtime, each_runtime
from scripted_proxy import CONNECT, EXCHANGE, TLS_ORIGIN, TLS_PROXY, ScriptedProxy
from test_tls_stream import TLS12, TLS13, TLSPeer, client_context, joined, read_exactly, server_context
from tls_origins import Origin
from tls_origins import server_context as origin_context

import httpcore
from httpcore import testing
from httpcore._backends.base import StreamInfo
from httpcore._config import SSLConfig
from httpcore._connect.sessions import Sessions
from httpcore._connect.tls import Resumable, TLSStream, start_tls

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost", "a.test", "127.0.0.1")
PEM = CERTIFICATE.cert_chain_pems[0].bytes()
PIN = sha256(ssl.PEM_cert_to_DER_cert(PEM.decode())).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, its equal `too.pem`, and the client certificates `me.pem` and `you.pem`."""
    folder = tmp_path_factory.mktemp("sessions")
    for name in ("ca.pem", "too.pem"):
        AUTHORITY.cert_pem.write_to_path(str(folder / name))
    for name in ("me", "you"):
        AUTHORITY.issue_cert(f"{name}@example.test").private_key_and_cert_chain_pem.write_to_path(
            str(folder / f"{name}.pem")
        )
    return folder


@pytest.fixture
def trusting(folder: Path) -> SSLConfig:
    return SSLConfig(verify=str(folder / "ca.pem"))


def origin(context: ssl.SSLContext | None = None, *, close: bool = True, together: int = 1) -> Origin:
    return Origin(origin_context(CERTIFICATE) if context is None else context, close=close, together=together)


async def get(http: Any, url: str, **settings: Any) -> httpcore.ResponseInfo:
    response = await http.request("GET", url, **settings)
    assert response.status_code == 200
    info: httpcore.ResponseInfo = response.info
    return info


async def is_resumed(http: Any, url: str) -> bool | None:
    tls = (await get(http, url)).tls
    assert tls is not None
    return tls.session_reused


# Connections one after the other, and at once.


@each_runtime
@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_of_a_hundred_connections_in_a_row_all_but_first_resume(
    runtime: Runtime, version: ssl.TLSVersion, trusting: SSLConfig
) -> None:
    async def main(server: Origin) -> None:
        async with runtime.pool(trusting) as http:
            reused = [await is_resumed(http, server.url) for _ in range(100)]
        assert reused == [False] + [True] * 99

    with origin(origin_context(CERTIFICATE, newest=version)) as server:
        runtime.run(main, server)
        assert (server.connections, server.resumed) == (100, 99)


@each_runtime
def test_a_second_hundred_at_once_resumes_sessions_of_the_first(runtime: Runtime, trusting: SSLConfig) -> None:
    async def main(server: Origin) -> None:
        async with runtime.pool(trusting, timeout=60.0) as http:
            for resumed in (0, 100):
                await runtime.gather(*[lambda: get(http, server.url)] * 100)
                assert server.resumed == resumed

    with origin(together=100) as server:
        runtime.run(main, server)
        assert server.connections == 200


def test_resumed_handshake_has_no_certificate_and_the_same_facts(trusting: SSLConfig) -> None:
    with origin() as server, httpcore.SyncConnectionPool(trusting) as http:
        first, second = (http.request("GET", server.url).info.tls for _ in range(2))
    assert first is not None
    assert second == dataclasses.replace(first, session_reused=True)
    assert second.certificate == ssl.PEM_cert_to_DER_cert(PEM.decode())


# Sessions that are not resumed.


def differing(folder: Path) -> dict[str, SSLConfig]:
    """For each field of SSLConfig, a config that differs from `SSLConfig(ca.pem, me.pem)` only in this field."""
    base = SSLConfig(str(folder / "me.pem"), str(folder / "ca.pem"))
    others: dict[str, Any] = {
        "cert": str(folder / "you.pem"),
        "verify": str(folder / "too.pem"),
        "trust_env": False,
        "server_hostname": "a.test",
        "alpn": ("http/1.1", "http/1.0"),
        "fingerprints": (PIN,),
        "minimum_version": "TLSv1.3",
        "maximum_version": "TLSv1.3",
        "ciphers": "ECDHE+AESGCM",
    }
    return {name: dataclasses.replace(base, **{name: value}) for name, value in others.items()}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(SSLConfig)])
@pytest.mark.parametrize("close", [True, False], ids=["sessions", "connections"])
def test_any_difference_shares_no_connection_and_session(field: str, close: bool, folder: Path) -> None:
    other = differing(folder)[field]  # a KeyError means that `differing` lacks a new field
    base = SSLConfig(str(folder / "me.pem"), str(folder / "ca.pem"))
    context = origin_context(CERTIFICATE, clients=AUTHORITY)
    with origin(context, close=close) as server, httpcore.SyncConnectionPool(base) as http:
        for config in (base, other, base, other):
            assert http.request("GET", server.url, ssl=config).status_code == 200
        if not close:
            assert server.connections == 2
        assert [shown.resumed for shown in server.shown][:2] == [False, False]
        assert {shown.certificate for shown in server.shown} == certificates(folder, base, other)


def certificates(folder: Path, *configs: SSLConfig) -> set[bytes]:
    found = set()
    for config in configs:
        assert isinstance(config.cert, str)
        text = Path(config.cert).read_text()
        found.add(ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :]))
    return found


def test_an_origin_never_gets_the_session_of_another(trusting: SSLConfig) -> None:
    context = origin_context(CERTIFICATE)  # with one context, each origin would accept the other's tickets
    with origin(context) as one, origin(context) as two, httpcore.SyncConnectionPool(trusting) as http:
        for url in (one.url, two.url, one.url.replace("127.0.0.1", "localhost")):
            http.request("GET", url)
        assert (one.resumed, two.resumed) == (0, 0)
        http.request("GET", two.url)
        assert (one.resumed, two.resumed) == (0, 1)


def test_pools_share_no_sessions(trusting: SSLConfig) -> None:
    with origin() as server:
        for _ in range(2):
            with httpcore.SyncConnectionPool(trusting) as http:
                http.request("GET", server.url)
        assert server.resumed == 0


def test_an_unchecked_session_is_not_resumed_with_checks(trusting: SSLConfig) -> None:
    stranger = trustme.CA().issue_cert("127.0.0.1")
    with origin(origin_context(stranger)) as server, httpcore.SyncConnectionPool(trusting) as http:
        assert http.request("GET", server.url, ssl=SSLConfig(verify=False)).status_code == 200
        with pytest.raises(httpcore.TLSError, match="not trusted"):
            http.request("GET", server.url)
        assert server.resumed == 0


def test_other_authorities_in_the_environment_end_old_sessions(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with origin() as server, httpcore.SyncConnectionPool() as http:
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        for _ in range(2):
            http.request("GET", server.url)
        assert server.resumed == 1
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
        with pytest.raises(httpcore.TLSError, match="not trusted"):
            http.request("GET", server.url)


@each_runtime
def test_proxy_and_origin_resume_their_own_sessions_alone(runtime: Runtime, trusting: SSLConfig) -> None:
    """Both hops end at one server, under one name and with one context, so that either ticket would be accepted."""
    seen: list[tuple[bool, bool]] = []
    context = origin_context(CERTIFICATE)

    def note(visit: Any) -> bool:
        at_origin = visit.socket.tls.session_reused
        visit.receive(visit.head())
        seen.append((at_proxy.pop(), at_origin))
        visit.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        return False

    def tunnel(visit: Any) -> bool:
        at_proxy.append(visit.socket.tls.session_reused)
        visit.receive(visit.head())
        visit.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return True

    async def main(proxy: ScriptedProxy) -> None:
        case = httpcore.Proxy(f"https://localhost:{proxy.port}", ssl=trusting)
        async with runtime.pool(trusting, proxy=case) as http:
            for _ in range(3):
                await get(http, f"https://localhost:{proxy.port}/")

    at_proxy: list[bool] = []
    steps = (TLS_PROXY, CONNECT, TLS_ORIGIN, EXCHANGE)
    with ScriptedProxy(steps, {CONNECT: tunnel, EXCHANGE: note}, proxy=context, origin=context) as proxy:
        runtime.run(main, proxy)
    assert seen == [(False, False), (True, True), (True, True)]


def test_a_ticket_is_used_once(trusting: SSLConfig) -> None:
    context = origin_context(CERTIFICATE)
    with origin(context) as server, httpcore.SyncConnectionPool(trusting) as http:
        http.request("GET", server.url)
        context.num_tickets = 0  # the resumed connection gets no new one
        for _ in range(3):
            http.request("GET", server.url)
        assert [shown.resumed for shown in server.shown] == [False, True, False, False]


def test_server_that_forgot_all_sessions_costs_only_handshake(trusting: SSLConfig) -> None:
    contexts = [origin_context(CERTIFICATE), origin_context(CERTIFICATE)]
    with origin(contexts[0]) as server, httpcore.SyncConnectionPool(trusting) as http:
        http.request("GET", server.url)
        server.context = contexts[1]  # this context has other ticket keys
        for _ in range(2):
            assert http.request("GET", server.url).status_code == 200
        assert [shown.resumed for shown in server.shown] == [False, False, True]


def test_a_users_context_is_resumed_and_another_class_is_not(folder: Path) -> None:
    class StricterContext(ssl.SSLContext):
        """May check the certificates after the handshake, like truststore's context."""

    for kind, resumed in ((ssl.SSLContext, 1), (StricterContext, 0)):
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(folder / "ca.pem")
        with origin() as server, httpcore.SyncConnectionPool(context) as http:
            for _ in range(2):
                http.request("GET", server.url)
            assert server.resumed == resumed


def test_after_a_fork_there_are_no_sessions(trusting: SSLConfig) -> None:
    with origin() as server, httpcore.SyncConnectionPool(trusting) as http:
        http.request("GET", server.url)
        # The test runs the code that a fork runs in the child, since a child's pool cannot be inspected.
        pool = http._pool
        assert len(pool._leases.connector.sessions._by_key) == 1  # no public name shows an unused session
        pool._leases.after_fork()  # as in the child
        assert len(pool._leases.connector.sessions._by_key) == 0


# The connections that provide sessions.


class SessionHolder:
    """A stand-in for the session of a connection."""

    def __init__(self, session: object) -> None:
        self._session = session

    def session(self) -> Any:
        return self._session


def test_the_newest_session_is_taken_first_and_each_once() -> None:
    sessions: Any = Sessions()  # numbers stand in for sessions, since the cache does not inspect them
    for number in range(3):
        sessions.keep("a", SessionHolder(number))
    sessions.keep("b", SessionHolder("b"))
    assert [sessions.take("a") for _ in range(4)] == [2, 1, 0, None]
    assert sessions.take("c") is None
    assert sessions.take("b") == "b"


def taken_of(sessions: Sessions, key: str) -> list[Any]:
    return list(iter(lambda: sessions.take(key), None))


def test_only_the_newest_128_sessions_of_a_hop_are_kept() -> None:
    sessions = Sessions()
    sessions.keep("quiet", SessionHolder("quiet"))  # type: ignore[arg-type]
    for number in range(1000):
        sessions.keep("busy", SessionHolder(number))  # type: ignore[arg-type]
    assert taken_of(sessions, "busy") == [*range(999, 871, -1)]
    assert taken_of(sessions, "quiet") == ["quiet"]


def test_session_cache_evicts_the_oldest_of_the_least_recent_hop() -> None:
    sessions = Sessions()
    for key in "abcd":
        for number in range(64):
            sessions.keep(key, SessionHolder(number))  # type: ignore[arg-type]
    sessions.keep("e", SessionHolder("e"))  # type: ignore[arg-type]
    assert taken_of(sessions, "a") == [*range(63, 0, -1)]
    assert [len(taken_of(sessions, key)) for key in "bcde"] == [64, 64, 64, 1]
    for number in range(1000):
        sessions.keep(f"hop {number}", SessionHolder(number))  # type: ignore[arg-type]
    # Counting the sessions with `take` would presuppose which of them remain.
    assert len(sessions._by_key) == 256


@pytest.mark.parametrize("tickets", [0, 1, 2])
def test_with_tls_1_3_there_is_no_session_before_a_ticket(tickets: int) -> None:
    kept: list[Resumable] = []

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        # The pool sets `_keep` when it makes a stream; the test makes this stream itself.
        stream._keep = kept.append
        # There is no session before a ticket. The stream passes its session on once, at its end.
        assert stream._resumable.session() is None
        await peer.send(b"data")
        assert await read_exactly(stream, 4) == b"data"
        stream.close()

    joined(body, server=server_context(tickets=tickets))
    assert len(kept) == 1
    assert (kept[0].session() is not None) is (tickets > 0)  # the stream is closed, but its session is not


def test_nothing_is_kept_of_a_connection_without_input() -> None:
    kept: list[Resumable] = []

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        # The test sets `_keep` in place of the pool.
        stream._keep = kept.append
        stream.take()
        stream.close()

    joined(body)
    assert kept == []


def test_a_connection_that_broke_leaves_nothing() -> None:
    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"data")
        await read_exactly(stream, 4)
        # The session is read before the stream is closed, to check that the fault ends it.
        assert stream._resumable.session() is not None
        await peer.below.send(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that was never encrypted
        with pytest.raises(httpcore.ReadError):
            await stream.read(1, 5.0)
        # The fault has ended the session.
        assert stream._resumable.session() is None

    joined(body)


def test_data_behind_the_handshake_hands_the_session_over_too() -> None:
    runtime = testing.Simulation()
    kept: list[Resumable] = []

    async def serve(end: testing.ServerEnd) -> None:
        peer = TLSPeer(end, server_context(tickets=2))
        while True:  # the handshake is done by hand, so that data is sent with its last flight
            try:
                peer.session.do_handshake()
                break
            except ssl.SSLWantReadError:
                await peer.exchange()
        await end.send(peer.outgoing.read() + peer.record(b"data"))
        await end.recv()

    async def main() -> None:
        stream = await runtime.backend().connect_tcp(["a.test"], 443, 5.0)
        secured = await start_tls(
            stream, client_context(), "a.test", timeout=5.0, now=runtime.backend().now, keep=kept.append
        )
        assert await secured.read(4, 5.0) == b"data"
        secured.close()

    runtime.listen("a.test", 443, serve)
    runtime.run(main())
    assert [left.session() is not None for left in kept] == [True]


def test_a_session_of_another_context_is_refused_before_any_byte() -> None:
    kept: list[Resumable] = []

    async def body(stream: TLSStream, peer: TLSPeer) -> None:
        await peer.send(b"data")
        await read_exactly(stream, 4)
        # The session is used after the stream was dropped.
        kept.append(stream._resumable)

    joined(body)
    with pytest.raises(httpcore.LocalProtocolError, match="Session refers to a different SSLContext"):
        TLSStream(_Unused(), client_context(), "a.test", lambda: 0.0, kept[0].session())  # type: ignore[arg-type]


class _Unused:
    def info(self) -> StreamInfo:
        return StreamInfo(peer="", local="")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
