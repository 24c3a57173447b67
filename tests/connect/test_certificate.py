"""The peer's certificate in `info.tls`, compared with `cryptography`'s reading of the same bytes."""

from __future__ import annotations

import datetime
import ipaddress
import random
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from runtimes import Runtime, each_runtime
from tls_origins import Authority, Origin, server_context

import httpcore

KEY = ec.generate_private_key(ec.SECP256R1())


def issued(
    subject: x509.Name,
    names: list[x509.GeneralName] | None,
    begins: datetime.datetime = datetime.datetime(2020, 2, 29, 12, 0, 1, tzinfo=datetime.UTC),
    ends: datetime.datetime = datetime.datetime(2049, 12, 31, 23, 59, 59, tzinfo=datetime.UTC),
) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    builder = builder.serial_number(2**150 + 7).not_valid_before(begins).not_valid_after(ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(subject))
    return builder.sign(KEY, hashes.SHA256())


def name(**parts: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(getattr(NameOID, kind), value) for kind, value in parts.items()])


FAR = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
EARLY = datetime.datetime(1950, 1, 1, tzinfo=datetime.UTC)
CERTIFICATES = {
    "usual": issued(
        name(COUNTRY_NAME="SE", ORGANIZATION_NAME="Ärlig AB", COMMON_NAME="a.test"), [x509.DNSName("a.test")]
    ),
    "no names": issued(name(COMMON_NAME="a.test"), None),
    "no subject": issued(x509.Name([]), [x509.DNSName("*.a.test")]),
    "rare attributes": issued(
        name(USER_ID="7", DOMAIN_COMPONENT="test", EMAIL_ADDRESS="a@b", JURISDICTION_COUNTRY_NAME="SE"), None
    ),
    "other charset": issued(
        # The charset has no public name.
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ωmega", x509.name._ASN1Type.BMPString)]),
        None,
    ),
    "all kinds of names": issued(
        name(COMMON_NAME="x"),
        [
            x509.RFC822Name("me@a.test"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
            x509.UniformResourceIdentifier("spiffe://a.test/x"),
            x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
            x509.DirectoryName(name(COMMON_NAME="y")),
            x509.DNSName("last.test"),
        ],
    ),
    "far times": issued(name(COMMON_NAME="x"), None, EARLY, FAR),
    "many names": issued(name(COMMON_NAME="x"), [x509.DNSName(f"host{n}.test") for n in range(400)]),
}
KINDS: dict[type[Any], str] = {
    x509.DNSName: "DNS",
    x509.IPAddress: "IP",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "URI",
}


def pairs(of: x509.Name) -> tuple[tuple[str, str], ...]:
    short = {"1.2.840.113549.1.9.1": "emailAddress"}
    named = {NameOID.USER_ID: "UID"}
    return tuple(
        (
            short.get(part.oid.dotted_string)
            or named.get(part.oid)
            or x509.name._NAMEOID_TO_NAME.get(part.oid, part.oid.dotted_string),  # the table of `cryptography`
            str(part.value),
        )
        for part in of
    )


@pytest.mark.parametrize("which", CERTIFICATES)
def test_a_certificate_has_the_values_that_the_reference_reads(which: str) -> None:
    reference = CERTIFICATES[which]
    read = httpcore.Certificate.read(reference.public_bytes(Encoding.DER))
    assert (read.subject, read.issuer) == (pairs(reference.subject), pairs(reference.issuer))
    assert read.serial_number == reference.serial_number
    assert (read.not_before, read.not_after) == (reference.not_valid_before_utc, reference.not_valid_after_utc)
    names: list[tuple[str, str]] = []
    for extension in reference.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = [(KINDS[type(each)], str(each.value)) for each in extension.value if type(each) in KINDS]
    assert list(read.names) == names


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_authorities_of_certifi_are_read_as_the_reference_does() -> None:
    import certifi

    authorities = x509.load_pem_x509_certificates(Path(certifi.where()).read_bytes())
    assert len(authorities) > 50
    for reference in authorities:
        read = httpcore.Certificate.read(reference.public_bytes(Encoding.DER))
        assert [value for _, value in read.subject] == [str(part.value) for part in reference.subject]
        assert (read.not_before, read.not_after) == (reference.not_valid_before_utc, reference.not_valid_after_utc)
        assert read.serial_number == reference.serial_number


@pytest.mark.parametrize("which", CERTIFICATES)
def test_a_damaged_certificate_is_one_error_and_quickly(which: str) -> None:
    whole = CERTIFICATES[which].public_bytes(Encoding.DER)[:1500]
    chance = random.Random(which)
    texts = []
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 5])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        del data[chance.choice([len(data), chance.randrange(len(data))]) :]
        try:
            httpcore.Certificate.read(bytes(data))
        except httpcore.RemoteProtocolError as error:
            texts.append(str(error))
    assert len(texts) > 500
    assert all(text.startswith("the peer's certificate cannot be read: ") for text in texts)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends in the middle"),
        (b"\x30", "ends in the middle"),
        (b"\x30\x80\x00\x00", "a length is not that of DER"),
        (b"\x30\x85\x00\x00\x00\x00\x01", "a length is not that of DER"),
        (b"\x30\x84\xff\xff\xff\xff", "ends in the middle"),
        (b"\x31\x00", "expected the certificate"),
        (b"\x3f\x81\x00", "a tag of more than one byte"),
    ],
)
def test_a_malformed_certificate_is_an_error_with_reason(data: bytes, why: str) -> None:
    with pytest.raises(httpcore.RemoteProtocolError, match=why):
        httpcore.Certificate.read(data)


@each_runtime
@pytest.mark.parametrize("verify", [True, False], ids=["verified", "unverified"])
def test_a_response_has_its_peers_certificate(runtime: Runtime, verify: bool, tmp_path: Path) -> None:
    authority = Authority("The authority")
    path = authority.write(tmp_path / "server.pem", [x509.DNSName("a.test")], common_name="a.test", days=(-2, 5))
    trust: Any = str(authority.write_itself(tmp_path / "ca.pem")) if verify else False
    reference = x509.load_pem_x509_certificate(path.read_bytes())

    async def body() -> None:
        with Origin(server_context(path)) as server:
            config = httpcore.SSLConfig(verify=trust, trust_env=False, server_hostname="a.test")
            async with runtime.pool(config) as pool:
                tls = (await pool.request("GET", server.url)).info.tls
        seen = tls.peer_certificate
        assert seen.subject == (("O", "Tests"), ("CN", "a.test"))
        assert seen.issuer == (("O", "Tests"), ("CN", "The authority"))
        assert seen.names == (("DNS", "a.test"),)
        assert (seen.not_before, seen.not_after) == (reference.not_valid_before_utc, reference.not_valid_after_utc)
        assert tls.certificate == ssl.PEM_cert_to_DER_cert(reference.public_bytes(Encoding.PEM).decode())

    runtime.run(body)


def test_the_repr_of_tls_facts_is_one_line() -> None:
    certificate = trustme.CA().issue_cert("a.test").cert_chain_pems[0].bytes().decode()
    data = ssl.PEM_cert_to_DER_cert(certificate)
    tls = httpcore.TLSInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384", "h2", "a.test", data, False)
    assert repr(tls) == (
        "TLSInfo(version='TLSv1.3', cipher='TLS_AES_256_GCM_SHA384', alpn='h2', server_name='a.test', "
        f"certificate=<{len(data)} bytes>, session_reused=False)"
    )
    assert len(repr(tls)) < 200
    none = httpcore.TLSInfo("TLSv1.2", "x", None, None, None, True)
    assert "certificate=None" in repr(none)
    assert none.peer_certificate is None
