"""Settings of `SSLConfig` for one server: another name, other protocols, one certificate and no other; in each
runtime.
"""

from __future__ import annotations

import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme
from runtimes import Runtime, each_runtime
from tls_origins import Origin, server_context

import httpcore

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("a.test")
PIN = sha256(ssl.PEM_cert_to_DER_cert(CERTIFICATE.cert_chain_pems[0].bytes().decode())).hexdigest()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("settings") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return str(path)


def config(authority: str, **settings: Any) -> httpcore.SSLConfig:
    return httpcore.SSLConfig(**{"verify": authority, "trust_env": False, **settings})


@each_runtime
def test_another_name_is_sent_and_checked_in_the_certificate(runtime: Runtime, authority: str) -> None:
    async def body() -> None:
        with Origin(server_context(CERTIFICATE)) as server:
            async with runtime.pool(config(authority, server_hostname="a.test")) as pool:
                response = await pool.request("GET", server.url)  # the certificate is not for this address
                assert response.info.tls.server_name == "a.test"
                for wrong in (None, "b.test", "127.0.0.1"):
                    with pytest.raises(httpcore.TLSError, match=r"is not for host .*; it is for 'a\.test'"):
                        await pool.request("GET", server.url, ssl=config(authority, server_hostname=wrong))
                url = f"https://a.test:{server.port}/"
            async with runtime.pool(resolve={"a.test": "127.0.0.1"}) as pool:
                with pytest.raises(httpcore.TLSError, match=r"is not for host 'b\.test'"):
                    await pool.request("GET", url, ssl=config(authority, server_hostname="b.test"))
            assert [(shown.sni, shown.first_bytes[:14]) for shown in server.shown] == [("a.test", b"GET / HTTP/1.1")]

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("verify", [True, False], ids=["verified", "unverified"])
def test_an_unpinned_certificate_is_refused_before_a_request(runtime: Runtime, verify: bool, authority: str) -> None:
    trust = {"server_hostname": "a.test"} if verify else {"verify": False}

    async def body() -> None:
        with Origin(server_context(CERTIFICATE), close=True) as server:
            async with runtime.pool(config(authority, **trust, fingerprints=("0" * 64,))) as pool:
                with pytest.raises(httpcore.TLSError) as caught:
                    await pool.request("GET", server.url)
                assert f"has the SHA-256 fingerprint {PIN}, which is not pinned: expected {'0' * 64}" in str(
                    caught.value
                )
                assert pool.stats().connections == 0
                assert {shown.first_bytes for shown in server.shown} <= {b""}
                right = config(authority, **trust, fingerprints=("0" * 64, PIN))
                reused = [(await pool.request("GET", server.url, ssl=right)).info.tls.session_reused for _ in range(2)]
                assert reused == [False, True]  # a session includes its certificate

    runtime.run(body)


@each_runtime
def test_a_pin_does_not_excuse_a_certificate_that_is_not_trusted(runtime: Runtime) -> None:
    async def body() -> None:
        with Origin(server_context(CERTIFICATE)) as server:
            pinned = httpcore.SSLConfig(fingerprints=(PIN,), server_hostname="a.test", trust_env=False)
            async with runtime.pool(pinned) as pool:
                with pytest.raises(httpcore.TLSError, match="is not trusted"):
                    await pool.request("GET", server.url)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(
    ("alpn", "options", "chosen"),
    [
        (None, {}, "h2"),
        (("http/1.1",), {}, "http/1.1"),
        ((), {}, None),
        (("h2", "http/1.1"), {"http2": False}, "http/1.1"),
        (("h2",), {"http1": False}, "h2"),
    ],
)
def test_the_offered_protocols_can_be_chosen(
    runtime: Runtime, alpn: tuple[str, ...] | None, options: dict[str, bool], chosen: str | None, authority: str
) -> None:
    async def body() -> None:
        settings = config(authority, server_hostname="a.test", alpn=alpn)
        with Origin(server_context(CERTIFICATE, "h2", "http/1.1"), close=True) as server:
            async with runtime.pool(settings, **options) as pool:
                if chosen == "h2":  # this server chooses h2, but does not support it
                    with pytest.raises(httpcore.RemoteProtocolError, match="does not speak HTTP/2"):
                        await pool.request("GET", server.url)
                else:
                    assert (await pool.request("GET", server.url)).protocol == "HTTP/1.1"
            assert [shown.alpn for shown in server.shown] == [chosen]

    runtime.run(body)


@each_runtime
def test_unsupported_protocols_are_an_error_before_a_handshake(runtime: Runtime, authority: str) -> None:
    async def body() -> None:
        with Origin(server_context(CERTIFICATE, "h2")) as server:
            async with runtime.pool(config(authority, alpn=("h2",)), http2=False) as pool:
                with pytest.raises(httpcore.LocalProtocolError, match=r"SSLConfig.alpn is .*'h2'"):
                    await pool.request("GET", server.url)
                assert pool.stats().connections == 0
            assert server.shown == []

    runtime.run(body)


@each_runtime
def test_session_keys_are_logged_if_the_environment_is_set(
    runtime: Runtime, authority: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))

    async def body() -> None:
        with Origin(server_context(CERTIFICATE)) as server:
            for trusted in (False, True):
                settings = config(authority, server_hostname="a.test", trust_env=trusted)
                async with runtime.pool(settings) as pool:
                    await pool.request("GET", server.url)
                assert log.exists() is trusted
        assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()

    runtime.run(body)
