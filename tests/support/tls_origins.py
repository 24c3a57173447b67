"""TLS origins that record the certificate of each client; and certificates, including some that no authority would
issue.
"""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from servers import Peer, ScriptedServer, ok

CLOSE = b"Connection: close"


class ServerHandshake(NamedTuple):
    """One handshake as the server saw it. `first_bytes`: the first bytes received under TLS."""

    sni: str | None
    resumed: bool
    alpn: str | None
    version: str
    certificate: bytes | None
    first_bytes: bytes


def server_context(
    certificate: trustme.LeafCert | Path,
    *alpn: str,
    clients: trustme.CA | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    tickets: int = 2,
) -> ssl.SSLContext:
    """A server's context. With `clients`, a client must present a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if isinstance(certificate, Path):
        context.load_cert_chain(certificate)
    else:
        certificate.configure_cert(context)
    context.maximum_version = newest
    context.num_tickets = tickets
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    context.sni_callback = lambda tls, name, _: setattr(tls, "asked_for", name)
    return context


class Origin(ScriptedServer):
    """Responds hello to every request until the client disconnects. With `close` it responds only once, and with
    `together` only when that many connections have sent a request.

    Attributes:
        shown: one `Shown` for each connection that sent bytes.
    """

    def __init__(self, context: ssl.SSLContext, *, close: bool = False, together: int = 1) -> None:
        self.shown: list[ServerHandshake] = []
        self._handshakes_lock = threading.Lock()
        self._answer = ok(b"Hello, world", *([CLOSE] if close else []))
        self._close = close
        self._together = threading.Barrier(together)
        super().__init__(self._speak, context)

    def _speak(self, peer: Peer) -> None:
        tls = peer.socket
        assert isinstance(tls, ssl.SSLSocket)
        head = peer.head()
        shown = ServerHandshake(
            getattr(tls, "asked_for", None),
            bool(tls.session_reused),
            tls.selected_alpn_protocol(),
            tls.version() or "",
            tls.getpeercert(binary_form=True),
            head[:24],
        )
        with self._handshakes_lock:
            self.shown.append(shown)
        self._together.wait(60)
        while head:
            peer.send(self._answer)
            if self._close or head.startswith(b"PRI"):
                return
            head = peer.head()

    @property
    def resumed(self) -> int:
        with self._handshakes_lock:
            return sum(shown.resumed for shown in self.shown)


# Certificates.


class Authority:
    """Issues any certificate: trustme issues only correct ones."""

    def __init__(self, common_name: str = "An authority") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(common_name)
        self._mark = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        builder = _builder(self.name, self.name, self.key, (-1, 30))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_signing(), critical=True).add_extension(self._mark, critical=False)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    def write(
        self,
        path: Path,
        names: Sequence[x509.GeneralName] = (),
        *,
        common_name: str | None = None,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
        days: tuple[int, int] = (-1, 30),
        usage: Iterable[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
    ) -> Path:
        """One file with the certificate and its key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), self.name, key, days)
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usage)), critical=False)
        by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._mark)
        builder = builder.add_extension(by, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        path.write_bytes(_sealed(key) + certificate.public_bytes(Encoding.PEM))
        return path

    def write_itself(self, path: Path, *, with_key: bool = False) -> Path:
        path.write_bytes((_sealed(self.key) if with_key else b"") + self.certificate.public_bytes(Encoding.PEM))
        return path


def _sealed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(common_name: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests")]
    if common_name is not None:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(parts)


def _signing() -> x509.KeyUsage:
    no = dict.fromkeys(
        (
            "content_commitment",
            "data_encipherment",
            "decipher_only",
            "encipher_only",
            "key_agreement",
            "key_encipherment",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **no)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    days: tuple[int, int],
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
    )
