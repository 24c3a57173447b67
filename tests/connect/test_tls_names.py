"""The hosts that each certificate is valid for: 40 certificates, each checked for every host.

The tests use no sockets: the real stream runs between two memory buffers, with the real context and the host in the
form that a URL makes.
"""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import DNSName, IPAddress, UniformResourceIdentifier
from cryptography.x509.oid import ExtendedKeyUsageOID
from test_tls_stream import TLSPeer, hold
from tls_origins import Authority

import httpcore
from httpcore import testing
from httpcore._config import SSLConfig
from httpcore._connect.contexts import context_for
from httpcore._connect.tls import start_tls
from httpcore._message.url import URL

HOSTS = (
    "a.test",
    "A.Test",
    "a.test.",
    "b.test",
    "www.a.test",
    "x.www.a.test",
    "test",
    "localhost",
    "bücher.test",
    "xn--bcher-kva.test",
    "ü.bücher.test",
    "a_b.test",
    "127.0.0.1",
    "127.0.0.2",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::2]",
    "[::ffff:127.0.0.1]",
)
A = {"a.test", "A.Test", "a.test."}
BOOKS = {"bücher.test", "xn--bcher-kva.test"}
LOOPBACK = {"[::1]", "[0:0:0:0:0:0:0:1]"}


def ip(address: str) -> IPAddress:
    return IPAddress(ip_address(address))


# The names in the certificate, its common name, and the hosts that it is for.
CERTIFICATES: dict[str, tuple[list[x509.GeneralName], str | None, set[str]]] = {
    "one name": ([DNSName("a.test")], None, A),
    "upper case": ([DNSName("A.TEST")], None, A),
    "two names": ([DNSName("b.test"), DNSName("a.test")], None, A | {"b.test"}),
    "no name at all": ([], None, set()),
    "only a common name": ([], "a.test", set()),
    "a common name that is an address": ([], "127.0.0.1", set()),
    "a common name beside another name": ([DNSName("b.test")], "a.test", {"b.test"}),
    "a common name beside an address": ([ip("127.0.0.1")], "a.test", {"127.0.0.1"}),
    "a wildcard": ([DNSName("*.a.test")], None, {"www.a.test"}),
    "a wildcard and its parent": ([DNSName("*.a.test"), DNSName("a.test")], None, A | {"www.a.test"}),
    "a wildcard above": ([DNSName("*.www.a.test")], None, {"x.www.a.test"}),
    "a wildcard for a public name": ([DNSName("*.test")], None, set()),
    "a wildcard alone": ([DNSName("*")], None, set()),
    "a wildcard over two labels": ([DNSName("*.*.a.test")], None, set()),
    "a wildcard in the middle": ([DNSName("x.*.a.test")], None, set()),
    "a wildcard at the end": ([DNSName("a.*")], None, set()),
    "a wildcard behind letters": ([DNSName("ww*.a.test")], None, set()),
    "a wildcard before letters": ([DNSName("*w.a.test")], None, set()),
    "a wildcard in letters": ([DNSName("w*w.a.test")], None, set()),
    "a wildcard in an A-label": ([DNSName("xn--*.test")], None, set()),
    "a wildcard over A-labels": ([DNSName("*.xn--bcher-kva.test")], None, {"ü.bücher.test"}),
    "a wildcard over an address": ([DNSName("*.0.0.1")], None, set()),
    "a name that begins with a dot": ([DNSName(".a.test")], None, set()),
    "a name that ends with a dot": ([DNSName("a.test.")], None, set()),
    "an empty name": ([DNSName("")], None, set()),
    "a NUL behind the name": ([DNSName("a.test\0")], None, set()),
    "a NUL inside a name": ([DNSName("a.test\0.b.test")], None, set()),
    "a space behind the name": ([DNSName("a.test ")], None, set()),
    "a host's parent": ([DNSName("test")], None, {"test"}),
    "an A-label": ([DNSName("xn--bcher-kva.test")], None, BOOKS),
    "an A-label in upper case": ([DNSName("XN--BCHER-KVA.TEST")], None, BOOKS),
    "an underscore": ([DNSName("a_b.test")], None, {"a_b.test"}),
    "localhost": ([DNSName("localhost")], None, {"localhost"}),
    "an IPv4 address": ([ip("127.0.0.1")], None, {"127.0.0.1"}),
    "an IPv6 address": ([ip("::1")], None, LOOPBACK),
    "an IPv4 address mapped into IPv6": ([ip("::ffff:127.0.0.1")], None, {"[::ffff:127.0.0.1]"}),
    "two addresses": ([ip("127.0.0.2"), ip("::1")], None, {"127.0.0.2"} | LOOPBACK),
    "an address as a name": ([DNSName("127.0.0.1")], None, set()),
    "an IPv6 address as a name": ([DNSName("::1"), DNSName("[::1]")], None, set()),
    "a name and an address": ([DNSName("a.test"), ip("127.0.0.1")], None, A | {"127.0.0.1"}),
    "a URL": ([UniformResourceIdentifier("https://a.test/")], None, set()),
    "a name of a thousand": ([*(DNSName(f"{n}.test") for n in range(999)), DNSName("a.test")], None, A),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    authority = Authority()
    authority.write_itself(folder / "ca.pem")
    return authority


def trusting(folder: Path) -> ssl.SSLContext:
    return context_for(SSLConfig(verify=str(folder / "ca.pem"), trust_env=False), ("http/1.1",))


def accepted(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> bool:
    """Whether the TLS handshake succeeds for the host of a URL with `host`."""
    runtime = testing.Simulation()
    name = URL.parse(f"https://{host}/").host

    async def serve(end: testing.ServerEnd) -> None:
        try:
            await TLSPeer(end, server).shake_hands()
        except ssl.SSLError:
            return
        await hold(runtime)

    async def main() -> bool:
        stream = await runtime.backend().connect_tcp(["server"], 443, 5.0)
        try:
            secured = await start_tls(stream, client, name, timeout=5.0, now=runtime.backend().now)
        except httpcore.TLSError as error:
            if "is not for host" not in str(error):
                raise
            return False
        secured.close()
        return True

    runtime.listen("server", 443, serve)
    return runtime.run(main())


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_certificate_is_for_the_hosts_it_names_and_for_no_other(kind: str, folder: Path, authority: Authority) -> None:
    names, common_name, hosts = CERTIFICATES[kind]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.write(folder / "server.pem", names, common_name=common_name))
    client = trusting(folder)
    assert {host for host in HOSTS if accepted(client, server, host)} == hosts


def test_the_matrix_has_its_documented_size() -> None:
    assert len(CERTIFICATES) >= 40
    accepted_somewhere = set().union(*(hosts for _, _, hosts in CERTIFICATES.values()))
    assert set(HOSTS) - accepted_somewhere == {"[::2]"}


def test_a_certificate_for_clients_is_none_for_a_server(folder: Path, authority: Authority) -> None:
    path = authority.write(folder / "client.pem", [DNSName("a.test")], usage=[ExtendedKeyUsageOID.CLIENT_AUTH])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    with pytest.raises(httpcore.TLSError, match="purpose"):  # the error is not about the name
        accepted(trusting(folder), server, "a.test")


@pytest.mark.parametrize(
    "host",
    ["0x7f000001", "2130706433", "0177.0.0.1", "127.1", "127.0.0.1.", "127.0.0.01", "1.2.3.256", "[::1%lo]", "a..test"],
)
def test_odd_forms_of_addresses_are_refused_early(host: str) -> None:
    """No certificate is ever compared with such a form."""
    seen: list[httpcore.TraceEvent] = []
    with httpcore.SyncConnectionPool(trace=seen.append) as http, pytest.raises(httpcore.InvalidURL):
        http.request("GET", f"https://{host}/")
    assert seen == []
