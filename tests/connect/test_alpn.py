"""The protocol is the one that TLS agreed on, however a server chooses; and a caller's context is not modified."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, ok
from tls_origins import Origin, server_context

import httpcore

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("127.0.0.1", "a.test")
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
ALERT = b"\x15\x03\x03\x00\x02\x02\x78"  # fatal, no_application_protocol


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> httpcore.SSLConfig:
    path = tmp_path_factory.mktemp("alpn") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return httpcore.SSLConfig(verify=str(path), trust_env=False)


def server_that_sends(data: bytes) -> Callable[[Peer], None]:
    """Sends these bytes after any input."""

    def script(peer: Peer) -> None:
        if peer.socket.recv(65536):
            peer.send(data)
            peer.rest()

    return script


def serving(*alpn: str, says: bytes = BAD_REQUEST) -> ScriptedServer:
    return ScriptedServer(server_that_sends(says), server_context(CERTIFICATE, *alpn))


async def error_of(pool: Any, url: str, kind: type[httpcore.HTTPCoreError], **settings: Any) -> str:
    with pytest.raises(kind) as caught:
        await pool.request("GET", url, **settings)
    assert type(caught.value) is kind
    assert pool.stats().connections == 0
    return str(caught.value)


@each_runtime
def test_an_unknown_protocol_is_an_error_before_a_request(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    """This holds however the protocol was offered: by `SSLConfig.alpn`, or by a caller's own context."""
    own = ssl.create_default_context(cafile=str(trusting.verify))
    own.set_alpn_protocols(["h2"])  # a caller's context does not enable HTTP/2, unless `ssl_context` made it
    other = httpcore.SSLConfig(verify=trusting.verify, trust_env=False, alpn=("x-other", "http/1.1"))

    async def body() -> None:
        for chosen, settings in (("x-other", other), ("h2", own)):
            with Origin(server_context(CERTIFICATE, chosen)) as server:
                async with runtime.pool(settings) as pool:
                    message = await error_of(pool, server.url, httpcore.UnsupportedProtocol)
                assert f"the server chose {chosen!r} by ALPN: expected http/1.1" in message
                assert server.connections == 1
                assert {shown.first_bytes for shown in server.shown} <= {b""}

    runtime.run(body)


@each_runtime
def test_a_server_without_alpn_uses_http_1_1(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    async def body() -> None:
        with Origin(server_context(CERTIFICATE)) as server:
            async with runtime.pool(trusting) as pool:
                response = await pool.request("GET", server.url)
            assert (response.status_code, response.protocol, response.info.tls.alpn) == (200, "HTTP/1.1", None)
            assert server.shown[0].first_bytes.startswith(b"GET / HTTP/1.1\r\n")

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("alpn", [(), ("http/1.1",)], ids=["none", "http/1.1"])
def test_without_http_1_1_a_server_without_alpn_gets_http_2(
    runtime: Runtime, alpn: tuple[str, ...], trusting: httpcore.SSLConfig
) -> None:
    async def body() -> None:
        with Origin(server_context(CERTIFICATE, *alpn)) as server:
            async with runtime.pool(trusting, http1=False) as pool:
                message = await error_of(pool, server.url, httpcore.RemoteProtocolError)
            assert "does not speak HTTP/2 but HTTP/1.1" in message
            assert [shown.first_bytes for shown in server.shown] == [b"PRI * HTTP/2.0\r\n\r\n"]

    runtime.run(body)


@each_runtime
def test_server_without_a_common_protocol_is_error_with_reason(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    async def body() -> None:
        with ScriptedServer(server_that_sends(ALERT)) as server:
            async with runtime.pool(trusting, http1=False) as pool:
                url = server.url.replace("http:", "https:")
                message = await error_of(pool, url, httpcore.TLSError)
            assert "it speaks none of the protocols that we offer" in message
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_http_1_1_where_http_2_was_agreed_on_is_an_error(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    async def body() -> None:
        with serving("h2") as server:
            async with runtime.pool(trusting) as pool:
                message = await error_of(pool, server.url, httpcore.RemoteProtocolError)
            assert "does not speak HTTP/2 but HTTP/1.1" in message
            assert server.connections == 1

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("secure", [True, False], ids=["http/1.1 by ALPN", "plain"])
def test_http_2_to_a_server_of_http_1_1_is_an_error(
    runtime: Runtime, secure: bool, trusting: httpcore.SSLConfig
) -> None:
    async def body() -> None:
        context = server_context(CERTIFICATE, "http/1.1") if secure else None
        with ScriptedServer(server_that_sends(SETTINGS), context) as server:
            async with runtime.pool(trusting) as pool:
                message = await error_of(pool, server.url, httpcore.RemoteProtocolError)
            assert "expected the beginning of a response head, got " in message
            assert server.connections == 1

    runtime.run(body)


# Contexts of the caller.


def facts(context: ssl.SSLContext) -> dict[str, Any]:
    """All settings of a context that Python can read."""
    names = {name for name in dir(type(context)) if isinstance(getattr(type(context), name), property)}
    names |= {"check_hostname", "options", "verify_flags", "verify_mode", "keylog_filename", "post_handshake_auth"}
    names |= {"minimum_version", "maximum_version", "hostname_checks_common_name", "sni_callback", "num_tickets"}
    seen = {name: getattr(context, name) for name in sorted(names) if hasattr(context, name)}
    return seen | {"ciphers": context.get_ciphers(), "trusted": context.get_ca_certs(binary_form=True)}


class Watched(ssl.SSLContext):
    """Records each call and assignment that could change the context, also those that cannot be read back."""

    done: list[str]

    def __setattr__(self, name: str, value: object) -> None:
        self.__dict__.setdefault("done", []).append(name)
        super().__setattr__(name, value)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith(("set_", "load_")):
            self.__dict__.setdefault("done", []).append(name)
        return super().__getattribute__(name)


@each_runtime
def test_context_of_caller_is_used_as_it_is_and_never_changed(
    runtime: Runtime, trusting: httpcore.SSLConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    own = Watched(ssl.PROTOCOL_TLS_CLIENT)
    own.load_verify_locations(str(trusting.verify))
    own.minimum_version = ssl.TLSVersion.TLSv1_3
    own.check_hostname = False
    own.__dict__["done"].clear()
    before = facts(own)
    own.__dict__["done"].clear()

    async def body() -> None:
        for version, error in ((ssl.TLSVersion.TLSv1_3, None), (ssl.TLSVersion.TLSv1_2, httpcore.TLSError)):
            with Origin(server_context(CERTIFICATE, "h2", "http/1.1", newest=version), close=True) as server:
                async with runtime.pool(own) as pool:
                    url = server.url.replace("127.0.0.1", "localhost")  # the certificate is not for this name
                    if error is not None:
                        await error_of(pool, url, error)
                        continue
                    for _ in range(2):
                        assert (await pool.request("GET", url)).status_code == 200
                assert {shown.alpn for shown in server.shown} == {None}  # nothing is offered on the caller's behalf

    runtime.run(body)
    assert own.__dict__["done"] == []
    assert facts(own) == before
    assert not (tmp_path / "keys").exists()
    assert own.__dict__["done"] == []


@each_runtime
def test_a_response_has_the_facts_of_tls_and_the_peer(runtime: Runtime, trusting: httpcore.SSLConfig) -> None:
    """This holds also when the connection is reused, and for each version; without TLS there is no value."""
    der = ssl.PEM_cert_to_DER_cert(CERTIFICATE.cert_chain_pems[0].bytes().decode())

    async def body() -> None:
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            with Origin(server_context(CERTIFICATE, "http/1.1", newest=version)) as server:
                async with runtime.pool(trusting, resolve={"a.test": "127.0.0.1"}) as pool:
                    seen = [(await pool.request("GET", f"https://a.test:{server.port}/")).info.tls for _ in range(2)]
            assert seen[0] == seen[1]
            tls = seen[0]
            assert (tls.version, tls.alpn, tls.server_name, tls.certificate) == (name, "http/1.1", "a.test", der)
            assert tls.session_reused is False
            assert tls.cipher
            assert [(shown.sni, shown.version) for shown in server.shown] == [("a.test", name)]
        with ScriptedServer(server_that_sends(ok(b""))) as plain:
            async with runtime.pool() as pool:
                assert (await pool.request("GET", plain.url)).info.tls is None

    runtime.run(body)
