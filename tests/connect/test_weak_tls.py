"""Servers with weak TLS: each serves a client with weaker settings, and none of them serves us."""

from __future__ import annotations

import ssl
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import DNSName
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, ok
from tls_origins import Authority

import httpcore


class Files(NamedTuple):
    folder: Path
    authority: Authority

    @property
    def trusting(self) -> httpcore.SSLConfig:
        return httpcore.SSLConfig(verify=str(self.folder / "ca.pem"), trust_env=False)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A trusted authority, certificates issued by it with one fault each, and a valid one."""
    folder = tmp_path_factory.mktemp("weak")
    authority, names = Authority(), [DNSName("localhost")]
    authority.write_itself(folder / "ca.pem")
    authority.write(folder / "good.pem", names, key=rsa.generate_private_key(65537, 2048))
    authority.write(folder / "expired.pem", names, days=(-30, -1))
    authority.write(folder / "not valid yet.pem", names, days=(1, 30))
    authority.write(folder / "of another host.pem", [DNSName("a.test")])
    authority.write(folder / "with a small key.pem", names, key=rsa.generate_private_key(65537, 1024))
    Authority().write(folder / "of a stranger.pem", names)
    middle = trustme.CA()
    chained = middle.create_child_ca().issue_cert("localhost")
    part = chained.private_key_pem.bytes() + chained.cert_chain_pems[0].bytes()  # without the intermediate certificate
    (folder / "without its chain.pem").write_bytes(part)
    with (folder / "ca.pem").open("ab") as trusted:
        trusted.write(middle.cert_pem.bytes())
    Authority("localhost").write_itself(folder / "signed by itself.pem", with_key=True)
    authority.write_itself(folder / "ca with key.pem", with_key=True)
    key, _, _ = (folder / "good.pem").read_bytes().partition(b"-----BEGIN CERT")
    openssl(folder, "req", "-new", "-key", "good.pem", "-subj", "/O=Tests", "-out", "request")
    (folder / "names").write_text("subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n")
    signing = ("-CA", "ca with key.pem", "-CAkey", "ca with key.pem", "-set_serial", "5", "-sha1")
    openssl(folder, "x509", "-req", "-in", "request", *signing, "-extfile", "names", "-out", "sha1")
    (folder / "signed with SHA-1.pem").write_bytes(key + (folder / "sha1").read_bytes())
    openssl(folder, "dhparam", "-dsaparam", "-out", "dh1024", "1024")
    return Files(folder, authority)


def openssl(folder: Path, *command: str) -> None:
    """Run the openssl tool, for certificates that `cryptography` refuses to make."""
    subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True, timeout=60)


def version(newest: ssl.TLSVersion) -> Callable[[ssl.SSLContext, Files], None]:
    def weaken(context: ssl.SSLContext, files: Files) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
        context.set_ciphers("ALL:@SECLEVEL=0")

    return weaken


def ciphers(only: str) -> Callable[[ssl.SSLContext, Files], None]:
    def weaken(context: ssl.SSLContext, files: Files) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{only}:@SECLEVEL=0")

    return weaken


def small_group(context: ssl.SSLContext, files: Files) -> None:
    ciphers("kDHE")(context, files)
    context.load_dh_params(str(files / "dh1024"))


WEAK = {
    # The weakness, and the text of the error.
    "TLS 1.0": (version(ssl.TLSVersion.TLSv1), "protocol version"),
    "TLS 1.1": (version(ssl.TLSVersion.TLSv1_1), "protocol version"),
    "no encryption": (ciphers("eNULL"), "handshake failure"),
    "no authentication": (ciphers("aNULL"), "handshake failure"),
    "a group of 1024 bits": (small_group, "dh key too small"),
}
CERTIFICATES = {
    "expired": "has expired",
    "not valid yet": "is not valid yet",
    "of another host": "is not for host 'localhost'",
    "of a stranger": "is not trusted: unable to get local issuer",
    "without its chain": "is not trusted: unable to get local issuer",
    "signed by itself": "is not trusted: self-signed",
    "with a small key": "key too weak",
    "signed with SHA-1": "digest algorithm too weak",
}


def server_of(kind: str, files: Files) -> ScriptedServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if kind in WEAK:
        context.load_cert_chain(files / "good.pem")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns that these are weak
            WEAK[kind][0](context, files)
    else:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(files / f"{kind}.pem")
    return ScriptedServer(hello, context)


def hello(peer: Peer) -> None:
    while peer.head():
        peer.send(ok(b"hello"))


def lenient() -> ssl.SSLContext:
    """The settings that a caller would have to choose to reach such a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:eNULL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    return context


@each_runtime
@pytest.mark.parametrize("kind", [*WEAK, *CERTIFICATES])
def test_a_weak_server_is_refused_unless_weakness_is_allowed(runtime: Runtime, kind: str, files: Files) -> None:
    words = WEAK[kind][1] if kind in WEAK else CERTIFICATES[kind]

    async def body(server: ScriptedServer) -> None:
        url = f"https://localhost:{server.port}/"
        async with runtime.pool(files.trusting, resolve={"localhost": "127.0.0.1"}) as pool:
            with pytest.raises(httpcore.TLSError) as caught:
                await pool.request("GET", url)
            assert words in str(caught.value)
            assert (server.connections, pool.stats().connections) == (1, 0)  # no retry with weaker settings
            assert (await pool.request("GET", url, ssl=lenient())).body == b"hello"

    with server_of(kind, files) as server:
        runtime.run(body, server)


@each_runtime
def test_without_verify_the_other_tls_settings_still_hold(runtime: Runtime, files: Files) -> None:
    """`verify=False` turns off the checks of certificates and nothing else."""

    async def status(kind: str) -> int | None:
        with server_of(kind, files) as server:
            async with runtime.pool(httpcore.SSLConfig(verify=False)) as pool:
                try:
                    code: int = (await pool.request("GET", server.url)).status_code
                    return code
                except httpcore.TLSError:
                    return None

    async def body() -> None:
        assert [await status(kind) for kind in ("expired", "of a stranger", "without its chain")] == [200] * 3
        assert [await status(kind) for kind in WEAK] == [None] * len(WEAK)

    runtime.run(body)


def test_a_good_server_of_the_same_authority_is_accepted(files: Files) -> None:
    """This shows that the refusals in the other tests are not about the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "good.pem")
    for newest in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = newest
        with ScriptedServer(hello, context) as server, httpcore.SyncConnectionPool(files.trusting) as pool:
            response = pool.request("GET", f"https://localhost:{server.port}/")
            assert response.info.tls is not None
            assert response.info.tls.version == newest.name.replace("v1_", "v1.")
