"""The context of a config: its defaults and authorities, that it is made once, and its errors."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from httpcore._config import CertFile, SSLConfig
from httpcore._connect import contexts as _contexts
from httpcore._connect.contexts import alpn_of, context_at_hand, context_for, ssl_context
from httpcore._errors import LocalProtocolError

NAME = "a.test"
H1 = ("http/1.1",)
SECRET = "correct horse"
AUTHORITY = trustme.CA()
OTHER_AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert(NAME)
CERTIFICATE_PEM = CERTIFICATE.cert_chain_pems[0].bytes()
KEY_PEM = CERTIFICATE.private_key_pem.bytes()


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    # Contexts are cached for the whole process: each test begins with an empty cache.
    _contexts._places.clear()
    yield
    # The cache is emptied again for the tests that follow.
    _contexts._places.clear()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return path


def accepts(context: ssl.SSLContext, *, server: ssl.SSLContext | None = None) -> bool:
    """Whether the TLS handshake succeeds with a server that has a certificate of AUTHORITY."""
    if server is None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(server)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = context.wrap_bio(back, there, server_hostname=NAME)
    server_side = server.wrap_bio(there, back, server_side=True)
    waiting = [client_side, server_side]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            waiting.remove(side)
    return True


def refusal(config: SSLConfig) -> str:
    with pytest.raises(LocalProtocolError) as caught:
        ssl_context(config)
    return str(caught.value)


# The defaults.


def test_defaults_are_pythons_and_stricter_in_three_things() -> None:
    ours, pythons = ssl_context(), ssl.create_default_context()
    assert ours.verify_mode is ssl.CERT_REQUIRED
    assert ours.check_hostname
    assert ours.minimum_version is ssl.TLSVersion.TLSv1_2
    assert ours.maximum_version == pythons.maximum_version
    assert ours.verify_flags == pythons.verify_flags
    assert ours.options == pythons.options | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    assert ours.get_ciphers() == pythons.get_ciphers()
    assert getattr(ours, "security_level", None) == getattr(pythons, "security_level", None)
    assert not ours.post_handshake_auth
    assert not ours.hostname_checks_common_name
    assert ours.keylog_filename is None


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("least", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.MINIMUM_SUPPORTED])
def test_tls_1_2_is_the_least_though_python_may_allow_less(least: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = least
    # No context of this Python has such a minimum, so the rule itself is called.
    assert _contexts._set_defaults(context).minimum_version is ssl.TLSVersion.TLSv1_2
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    assert _contexts._set_defaults(context).minimum_version is ssl.TLSVersion.TLSv1_3  # the rule is called again


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python is strict from 3.13 on")
def test_certificates_are_checked_strictly_where_python_does() -> None:
    strict = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    assert ssl_context().verify_flags & strict == strict


def test_certifi_is_trusted_by_default_and_another_ca_is_not() -> None:
    reference = ssl.create_default_context(cafile=certifi.where())
    assert ssl_context().get_ca_certs(binary_form=True) == reference.get_ca_certs(binary_form=True)
    assert not accepts(ssl_context())


def test_without_verify_anything_is_accepted() -> None:
    context = ssl_context(SSLConfig(verify=False))
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
    assert context.get_ca_certs() == []
    assert accepts(context)


@pytest.mark.parametrize(("alpn", "agreed"), [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1")])
def test_the_protocols_are_offered(bundle: Path, alpn: tuple[str, ...], agreed: str) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.set_alpn_protocols(["h2", "http/1.1"])
    chosen: list[str | None] = []
    context = context_for(SSLConfig(verify=str(bundle)), alpn)
    CERTIFICATE.configure_cert(server)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = context.wrap_bio(back, there, server_hostname=NAME)
    server_side = server.wrap_bio(there, back, server_side=True)
    for side in (client_side, server_side):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    client_side.do_handshake()
    chosen.append(client_side.selected_alpn_protocol())
    assert chosen == [agreed]
    assert alpn_of(context) == alpn


def test_a_context_made_elsewhere_means_http_1_1() -> None:
    assert alpn_of(ssl.create_default_context()) == ("http/1.1",)
    assert alpn_of(ssl_context(alpn=["h2", "http/1.1"])) == ("h2", "http/1.1")


@pytest.mark.parametrize("alpn", ["h2", [], [""], ["x" * 256], ["é"], [b"h2"]])
def test_protocols_that_cannot_be_offered_are_refused(alpn: list[str]) -> None:
    with pytest.raises(
        LocalProtocolError, match=r"alpn is .*: expected at least one protocol name, each of 1 to 255 ASCII"
    ):
        ssl_context(alpn=alpn)


def versions(context: ssl.SSLContext) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    return context.minimum_version, context.maximum_version


def test_versions_and_ciphers_of_config_are_those_of_its_context() -> None:
    newest = ssl_context(SSLConfig(verify=False)).maximum_version
    least, most = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    assert versions(ssl_context(SSLConfig(verify=False, minimum_version="TLSv1.3"))) == (most, newest)
    assert versions(ssl_context(SSLConfig(verify=False, maximum_version="TLSv1.2"))) == (least, least)
    both = SSLConfig(verify=False, minimum_version="TLSv1.2", maximum_version="TLSv1.3")
    assert versions(ssl_context(both)) == (least, most)
    context = ssl_context(SSLConfig(verify=False, ciphers="ECDHE-RSA-AES128-GCM-SHA256"))
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert old == ["ECDHE-RSA-AES128-GCM-SHA256"]


def test_a_maximum_below_the_minimum_of_openssl_wins() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # OpenSSL's configuration file may set this
    # The function is called alone: no context of ours begins with this minimum here.
    _contexts._set_versions(context, SSLConfig(maximum_version="TLSv1.2"))
    assert versions(context) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)


@pytest.mark.parametrize("ciphers", ["NONSENSE", "TLS_AES_128_GCM_SHA256", ["NONSENSE", "MORE"], "\"'"])
def test_ciphers_that_openssl_does_not_have_are_refused_by_name(ciphers: str | list[str]) -> None:
    text = refusal(SSLConfig(verify=False, ciphers=ciphers))
    assert text.startswith("ciphers: expected names of TLS 1.2 ciphers that this OpenSSL has, got ")


# Made once.


def test_equal_configs_share_one_context_and_others_do_not(bundle: Path) -> None:
    config = SSLConfig(verify=str(bundle))
    context = context_for(config, H1)
    assert context_for(SSLConfig(verify=str(bundle)), H1) is context
    assert context_for(config, ("h2", "http/1.1")) is not context
    assert context_for(SSLConfig(verify=False), H1) is not context


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
def test_another_environment_is_another_context(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = context_for(SSLConfig(), H1)
    value = {"SSL_CERT_FILE": bundle, "SSL_CERT_DIR": bundle.parent, "SSLKEYLOGFILE": tmp_path / "keys"}[name]
    monkeypatch.setenv(name, str(value))
    assert context_for(SSLConfig(), H1) is not before
    assert context_for(SSLConfig(trust_env=False), H1) is context_for(SSLConfig(trust_env=False), H1)
    monkeypatch.delenv(name)
    assert context_for(SSLConfig(), H1) is before


def test_a_context_is_at_hand_once_it_was_made() -> None:
    config = SSLConfig(verify=False)
    assert context_at_hand(config, H1) is None
    made = context_for(config, H1)
    assert context_at_hand(config, H1) is made


def test_a_context_made_for_the_user_is_not_shared() -> None:
    config = SSLConfig(verify=False)
    shared = context_for(config, H1)
    assert ssl_context(config) is not shared
    assert ssl_context(config) is not ssl_context(config)


def test_threads_that_start_at_once_wait_for_one_context(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = threading.Barrier(8)
    made: list[ssl.SSLContext] = []
    # The test counts how often a context is made; no public name shows this.
    make = _contexts._make
    makes: list[int] = []

    def counted(*arguments: object) -> ssl.SSLContext:
        makes.append(1)
        return make(*arguments)  # type: ignore[arg-type]

    def send_request() -> None:
        requested.wait(10)
        made.append(context_for(SSLConfig(verify=str(bundle)), H1))

    # The private function is replaced by the counting one.
    monkeypatch.setattr(_contexts, "_make", counted)
    threads = [threading.Thread(target=send_request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(makes) == 1
    assert len(made) == 8
    assert len(set(made)) == 1


def test_a_context_that_could_not_be_made_is_tried_again(tmp_path: Path) -> None:
    config = SSLConfig(verify=str(tmp_path / "late.pem"))
    with pytest.raises(LocalProtocolError):
        context_for(config, H1)
    AUTHORITY.cert_pem.write_to_path(tmp_path / "late.pem")
    assert accepts(context_for(config, H1))


def test_only_the_recently_used_contexts_are_kept() -> None:
    config = SSLConfig(verify=False)
    used = context_for(config, H1)
    for number in range(100):
        context_for(config, (f"x-{number}",))
        assert context_for(config, H1) is used
    # The bound of the cache is visible only in the table.
    assert len(_contexts._places) <= 32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_child_of_a_fork_does_not_wait_for_a_lock_of_its_parent() -> None:
    code = (
        "import os, signal\n"
        "from httpcore._connect import contexts as _contexts\n"
        "from httpcore._config import SSLConfig\n"
        "config = SSLConfig(verify=False)\n"
        "_contexts.context_for(config, ('http/1.1',))\n"
        "with _contexts._lock:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        signal.alarm(10)\n"
        "        _contexts.context_for(config, ('http/1.1',))\n"
        "        os._exit(7)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


# Trusted authorities.


def test_a_file_replaces_certifi(bundle: Path) -> None:
    context = ssl_context(SSLConfig(verify=str(bundle)))
    assert len(context.get_ca_certs()) == 1
    assert accepts(context)


@pytest.mark.parametrize("name", ["a.pem", "a.crt", "A.CER"])
def test_a_directory_of_plain_files_is_read(tmp_path: Path, name: str) -> None:
    OTHER_AUTHORITY.cert_pem.write_to_path(tmp_path / "0.pem")
    AUTHORITY.cert_pem.write_to_path(tmp_path / name)
    (tmp_path / "README").write_text("not a certificate")
    assert accepts(ssl_context(SSLConfig(verify=str(tmp_path))))


def hashed_name(tmp_path: Path, pem: bytes) -> str:
    """The file name that OpenSSL looks for, computed by the tool that makes such names."""
    file = tmp_path.parent / f"{tmp_path.name}.pem"
    file.write_bytes(pem)
    done = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", file], capture_output=True, check=True)
    return done.stdout.decode().strip() + ".0"


@pytest.mark.skipif(not Path("/usr/bin/openssl").exists(), reason="needs the openssl tool")
def test_a_directory_of_hashed_names_is_left_to_openssl(tmp_path: Path) -> None:
    pem = AUTHORITY.cert_pem.bytes()
    (tmp_path / hashed_name(tmp_path, pem)).write_bytes(pem)
    context = ssl_context(SSLConfig(verify=str(tmp_path)))
    assert context.get_ca_certs() == []  # no certificate is read before it is needed
    assert accepts(context)


def test_the_environment_replaces_certifi_if_it_is_trusted(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert accepts(ssl_context())
    assert len(ssl_context().get_ca_certs()) == 1
    assert not accepts(ssl_context(SSLConfig(trust_env=False)))
    other = tmp_path / "other.pem"
    OTHER_AUTHORITY.cert_pem.write_to_path(other)
    assert not accepts(ssl_context(SSLConfig(verify=str(other))))  # a path overrides the variables
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert len(ssl_context().get_ca_certs()) > 10


def test_directories_of_the_environment_may_be_missing(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join([str(tmp_path / "none"), str(bundle.parent)]))
    assert accepts(ssl_context())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    expected = f"SSL_CERT_DIR is '{tmp_path}/none': expected a directory with certificate files, found none"
    assert expected in refusal(SSLConfig())


def test_the_systems_certificates_can_be_chosen(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ssl.get_default_verify_paths()
    here = paths._replace(openssl_cafile=str(bundle), openssl_capath="/nowhere")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: here)
    assert accepts(ssl_context(SSLConfig(verify="system")))
    here = paths._replace(openssl_cafile="/nowhere", openssl_capath=str(bundle.parent))
    assert accepts(ssl_context(SSLConfig(verify="system")))


@pytest.fixture(params=["nothing where OpenSSL looks", "darwin", "win32"])
def unknown_to_openssl(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system whose certificates OpenSSL does not find."""
    if request.param in ("darwin", "win32"):
        monkeypatch.setattr(sys, "platform", request.param)
        return
    (tmp_path / "empty").mkdir()
    here = ssl.get_default_verify_paths()._replace(openssl_cafile="/nowhere", openssl_capath=str(tmp_path / "empty"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: here)


@pytest.mark.usefixtures("unknown_to_openssl")
def test_truststore_is_used_where_openssl_has_no_system_store(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import truststore

    context = ssl_context(SSLConfig(verify="system"), alpn=("h2",))
    assert type(context) is truststore.SSLContext
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert not context.hostname_checks_common_name
    assert alpn_of(context) == ("h2",)
    assert type(ssl_context(SSLConfig(verify=str(bundle)))) is ssl.SSLContext
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))  # the file that the variable names is used instead
    assert type(ssl_context(SSLConfig(verify="system"))) is ssl.SSLContext


@pytest.mark.usefixtures("unknown_to_openssl")
def test_without_truststore_an_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "truststore", None)  # as if truststore were not installed
    assert "the package truststore, which does, is not installed" in refusal(SSLConfig(verify="system"))


def test_a_context_depends_on_trust_and_not_on_the_peer(bundle: Path) -> None:
    config = SSLConfig(verify=str(bundle))
    context = context_for(config, H1)
    other = SSLConfig(verify=str(bundle), server_hostname="b.test", alpn=("h2",), fingerprints=("0" * 64,))
    assert context_for(other, H1) is context
    assert context_at_hand(other, H1) is context
    assert context_for(other, ()) is not context


# Client certificates.


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a certificate, its key, the key encrypted, and both in one file."""
    key = load_pem_private_key(KEY_PEM, None)
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(SECRET.encode()))
    (tmp_path / "cert.pem").write_bytes(CERTIFICATE_PEM)
    (tmp_path / "key.pem").write_bytes(KEY_PEM)
    (tmp_path / "sealed.pem").write_bytes(sealed)
    (tmp_path / "both.pem").write_bytes(KEY_PEM + CERTIFICATE_PEM)
    (tmp_path / "both-sealed.pem").write_bytes(sealed + CERTIFICATE_PEM)
    (tmp_path / "other-key.pem").write_bytes(AUTHORITY.issue_cert(NAME).private_key_pem.bytes())
    (tmp_path / "junk.pem").write_text("junk")
    (tmp_path / "empty").mkdir()
    return tmp_path


def within(directory: Path, *cert: str | None) -> CertFile:
    """The same `cert`, with paths instead of names; other texts (a password) stay."""
    paths = [str(directory / part) if part is not None and part.endswith(".pem") else part for part in cert]
    return paths[0] if len(paths) == 1 else tuple(paths)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "cert",
    [
        ("both.pem",),
        ("cert.pem", "key.pem"),
        ("cert.pem", "sealed.pem", SECRET),
        ("both-sealed.pem", None, SECRET),
        ("cert.pem", "key.pem", None),
    ],
)
def test_a_client_certificate_is_sent_on_request(files: Path, cert: tuple[str, ...]) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.maximum_version = ssl.TLSVersion.TLSv1_2  # in TLS 1.2 the client receives a refusal within the handshake
    AUTHORITY.configure_trust(server)
    assert accepts(ssl_context(SSLConfig(cert=within(files, *cert), verify=False)), server=server)
    assert not accepts(ssl_context(SSLConfig(verify=False)), server=server)


@pytest.mark.parametrize(
    ("cert", "words"),
    [
        (("none.pem",), "none.pem': it cannot be read (No such file"),
        (("cert.pem", "none.pem"), "none.pem': it cannot be read (No such file"),
        (("cert.pem",), "cert.pem': expected a certificate and the key that belongs to it"),
        (("junk.pem",), "junk.pem': expected a certificate and the key"),
        (("cert.pem", "junk.pem"), "junk.pem': expected a certificate and the key"),
        (("cert.pem", "other-key.pem"), "(key values mismatch)"),
        (("cert.pem", "sealed.pem"), "the key is encrypted"),
        (("cert.pem", "sealed.pem", "wrong horse"), "not the right password"),
        (("cert.pem", "sealed.pem", SECRET * 100), "password cannot be longer"),
        (("cert\0.pem",), "embedded null byte"),
    ],
)
def test_an_unusable_certificate_is_named_without_its_password(files: Path, cert: tuple[str, ...], words: str) -> None:
    message = refusal(SSLConfig(cert=within(files, *cert)))
    assert message.startswith("cert ")
    assert words in message
    assert "horse" not in message


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none.pem", "none.pem': expected a file of certificates in PEM form (No such file"),
        ("junk.pem", "junk.pem': expected a file of certificates in PEM form (no certificate"),
        ("empty", "empty': expected a directory that has *.pem, *.crt or *.cer files, or hashed names"),
        (".", "junk.pem': expected a file of certificates in PEM form"),
    ],
)
def test_a_bundle_that_cannot_be_used_is_named(files: Path, path: str, words: str) -> None:
    message = refusal(SSLConfig(verify=str(files / path)))
    assert message.startswith("verify is '")
    assert words in message


def test_a_file_of_the_environment_that_cannot_be_used_is_named(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files / "none.pem"))
    assert refusal(SSLConfig()).startswith("SSL_CERT_FILE is ")
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSLKEYLOGFILE", str(files / "none" / "keys"))
    assert refusal(SSLConfig()).startswith("SSLKEYLOGFILE is ")


def test_session_keys_are_logged_only_if_environment_is_trusted(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "keys.txt"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    assert accepts(ssl_context(SSLConfig(verify=str(bundle), trust_env=False)))
    assert not log.exists()
    assert accepts(ssl_context(SSLConfig(verify=str(bundle))))
    assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()
