"""`SSLConfig(minimum_version=, maximum_version=, ciphers=)` with servers that support one version of TLS, or both."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_servers import nginx_of_one_version
from runtimes import Runtime, each_runtime
from servers import uvicorn

import httpcore

CIPHER = "ECDHE-ECDSA-AES128-GCM-SHA256"
OTHER = "ECDHE-ECDSA-AES256-GCM-SHA384"


@pytest.fixture(scope="module")
def only_12(place: Path) -> Iterator[str]:
    with nginx_of_one_version(place, place / "server.pem", "TLSv1.2", "ECDHE+AESGCM") as port:
        yield f"https://localhost:{port}/"


@pytest.fixture(scope="module")
def only_13(place: Path) -> Iterator[str]:
    with nginx_of_one_version(place, place / "server.pem", "TLSv1.3") as port:
        yield f"https://localhost:{port}/"


@pytest.fixture(scope="module")
def both(place: Path) -> Iterator[str]:
    pem = str(place / "server.pem")
    with uvicorn("apps:hello", "--app-dir", "tests/support", "--ssl-keyfile", pem, "--ssl-certfile", pem) as port:
        yield f"https://localhost:{port}/"


@each_runtime
@pytest.mark.parametrize(
    ("server", "settings", "version"),
    [
        ("only_12", {}, "TLSv1.2"),
        ("only_12", {"minimum_version": "TLSv1.2"}, "TLSv1.2"),
        ("only_12", {"maximum_version": "TLSv1.2"}, "TLSv1.2"),
        ("only_12", {"minimum_version": "TLSv1.3"}, None),
        ("only_13", {}, "TLSv1.3"),
        ("only_13", {"minimum_version": "TLSv1.3", "maximum_version": "TLSv1.3"}, "TLSv1.3"),
        ("only_13", {"maximum_version": "TLSv1.2"}, None),
        ("both", {}, "TLSv1.3"),
        ("both", {"maximum_version": ssl.TLSVersion.TLSv1_2}, "TLSv1.2"),
        ("both", {"minimum_version": ssl.TLSVersion.TLSv1_3}, "TLSv1.3"),
    ],
    ids=str,
)
def test_the_version_of_tls_is_the_requested_one(
    runtime: Runtime,
    server: str,
    settings: dict[str, Any],
    version: str | None,
    trusting_real: httpcore.SSLConfig,
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue(server)
    config = httpcore.SSLConfig(verify=trusting_real.verify, **settings)

    async def body() -> None:
        async with runtime.pool(config) as pool:
            if version is None:
                with pytest.raises(httpcore.TLSError, match="speaks no TLS version that we allow"):
                    await pool.request("GET", url)
                assert pool.stats().connections == 0
            else:
                response = await pool.request("GET", url)
                assert response.info.tls.version == version
                assert server == "both" or response.body.startswith(version.encode())

    runtime.run(body)


@each_runtime
def test_the_cipher_of_tls_1_2_is_the_requested_one(
    runtime: Runtime, only_12: str, trusting_real: httpcore.SSLConfig
) -> None:
    async def body() -> None:
        async with runtime.pool() as pool:
            for cipher in (CIPHER, OTHER):
                config = httpcore.SSLConfig(verify=trusting_real.verify, ciphers=[cipher])
                response = await pool.request("GET", only_12, ssl=config)
                assert response.info.tls.cipher == cipher
                assert response.body == f"TLSv1.2/{cipher}".encode()
            config = httpcore.SSLConfig(verify=trusting_real.verify, ciphers="ECDHE-ECDSA-CHACHA20-POLY1305")
            with pytest.raises(httpcore.TLSError, match="no version, cipher or certificate that both sides accept"):
                await pool.request("GET", only_12, ssl=config)

    runtime.run(body)


@each_runtime
def test_only_equal_tls_settings_share_a_connection(
    runtime: Runtime, only_12: str, trusting_real: httpcore.SSLConfig
) -> None:
    def config(**settings: Any) -> httpcore.SSLConfig:
        return httpcore.SSLConfig(verify=trusting_real.verify, **settings)

    same = [
        config(maximum_version="TLSv1.2", ciphers=f"{CIPHER}:{OTHER}"),
        config(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers=[CIPHER, OTHER]),
    ]
    others = [config(maximum_version="TLSv1.2", ciphers=CIPHER), config(ciphers=f"{CIPHER}:{OTHER}"), config()]

    async def body() -> None:
        async with runtime.pool() as pool:
            reused = [(await pool.request("GET", only_12, ssl=each)).info.reused for each in [*same, *others, *others]]
            assert reused == [False, True, False, False, False, True, True, True]
            assert pool.stats().connections == 4

    runtime.run(body)
