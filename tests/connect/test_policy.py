"""The addresses that may be reached, under any name."""

from __future__ import annotations

import ipaddress
import pickle
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import httpcore
from httpcore import NetworkPolicy, PolicyError

PUBLIC = NetworkPolicy.public_only()


def permits(policy: NetworkPolicy, address: str, port: int = 443) -> bool:
    try:
        policy.check(address, port)
    except PolicyError:
        return False
    return True


def ends(network: str) -> list[str]:
    """The first and last address of a network, and one in between."""
    parsed = ipaddress.ip_network(network)
    return [str(parsed[place]) for place in sorted({0, parsed.num_addresses // 3, parsed.num_addresses - 1})]


# IANA's registries of special-purpose addresses, IPv4 and IPv6, as they were in 2025; the multicast blocks, which have
# registries of their own; and ranges that an RFC has withdrawn.

NOT_REACHABLE = [
    "0.0.0.0/8",
    "0.0.0.0/32",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.170/32",
    "192.0.0.171/32",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::1/128",
    "::/128",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]
NOT_REACHABLE.remove("::ffff:0:0/96")  # for mapped addresses the IPv4 address decides, which other tests check

REACHABLE_BUT_NO_SERVERS = [
    "192.0.0.9/32",
    "192.0.0.10/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2001:30::/28",
]

REACHABLE = ["192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48"]

OTHERS_ON_THE_INTERNET = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:800::200e",
    "3ffe::1",
]

METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.42.42",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
]


@pytest.mark.parametrize("network", NOT_REACHABLE + REACHABLE_BUT_NO_SERVERS)
def test_public_only_denies_blocks_that_iana_lists_as_not_global(network: str) -> None:
    for address in ends(network):
        assert not permits(PUBLIC, address), address


@pytest.mark.parametrize("address", METADATA)
def test_public_only_denies_the_metadata_services_of_clouds(address: str) -> None:
    assert not permits(PUBLIC, address, 80)


@pytest.mark.parametrize("network", REACHABLE)
def test_public_only_allows_blocks_that_iana_lists_as_global(network: str) -> None:
    for address in ends(network):
        PUBLIC.check(address, 443)


@pytest.mark.parametrize("address", OTHERS_ON_THE_INTERNET)
def test_public_only_allows_internet_up_to_edge_of_each_block(address: str) -> None:
    PUBLIC.check(address, 443)
    PUBLIC.check(address, 1)
    PUBLIC.check(address, 65535)


IPV4 = st.integers(0, 2**32 - 1).map(IPv4Address)
IPV6 = st.integers(0, 2**128 - 1).map(IPv6Address) | st.integers(1 << 125, (1 << 126) - 1).map(IPv6Address)


@given(IPV4 | IPV6)
@example(IPv4Address("192.88.99.1"))
@example(IPv6Address("64:ff9b::a00:1"))
def test_public_only_allows_nothing_python_calls_not_global(address: IPv4Address | IPv6Address) -> None:
    if permits(PUBLIC, str(address)):
        meant = getattr(address, "ipv4_mapped", None) or address
        assert meant.is_global
        assert not meant.is_multicast
        assert not meant.is_reserved


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_public_only_allows_global_ipv6_and_embedded_ipv4(address: IPv6Address) -> None:
    if permits(PUBLIC, str(address)):
        assert address in ipaddress.ip_network("2000::/3") or address in ipaddress.ip_network("64:ff9b::/96")


# IPv4 addresses inside IPv6 ones.


def embedded_at(prefix: str, shift: int = 0) -> Callable[[int], int]:
    start = int(IPv6Address(prefix))
    return lambda address: start | address << shift


def translated(prefix: int) -> Callable[[int], int]:
    """An IPv4 address after a prefix of this length in 64:ff9b:1::/48, around the octet that stays zero (RFC 6052)."""
    before = 64 - prefix

    def embed(address: int) -> int:
        head, tail = address >> 32 - before, address & (1 << 32 - before) - 1
        return int(IPv6Address("64:ff9b:1::")) | head << 64 | tail << 24 + before

    return embed


EMBEDDINGS = {
    "mapped": embedded_at("::ffff:0:0"),
    "compatible": embedded_at("::"),
    "SIIT": embedded_at("::ffff:0:0:0"),
    "NAT64": embedded_at("64:ff9b::"),
    "NAT64 of one's own": embedded_at("64:ff9b:1::"),
    "NAT64 of one's own, another": embedded_at("64:ff9b:1:2:3:4::"),
    "NAT64 of one's own, /48": translated(48),
    "NAT64 of one's own, /56": translated(56),
    "NAT64 of one's own, /64": translated(64),
    "6to4": embedded_at("2002::1", 80),
    "Teredo server": embedded_at("2001::", 64),
    "Teredo client": lambda address: embedded_at("2001::")(address ^ 0xFFFFFFFF),
    "ISATAP": embedded_at("fe80::5efe:0:0"),
    "ISATAP, public": embedded_at("2001:4860::200:5efe:0:0"),
}
"""Each function maps an IPv4 address to an IPv6 address, both as numbers."""

FEW = settings(max_examples=30)  # a few examples for each, since there are many embeddings
EACH_EMBEDDING = pytest.mark.parametrize("embedding", EMBEDDINGS)


def test_the_embeddings_are_those_of_the_rfcs() -> None:
    """Examples from RFC 6052 (section 2.4, with our prefix), RFC 3056 and RFC 4380; and Python's reading of them."""
    made = {name: IPv6Address(embed(int(IPv4Address("192.0.2.33")))) for name, embed in EMBEDDINGS.items()}
    assert made["NAT64"] == IPv6Address("64:ff9b::192.0.2.33")
    assert made["NAT64 of one's own, /48"] == IPv6Address("64:ff9b:1:c000:2:2100::")
    assert made["NAT64 of one's own, /56"] == IPv6Address("64:ff9b:1:c0:0:221::")
    assert made["NAT64 of one's own, /64"] == IPv6Address("64:ff9b:1:0:c0:2:2100::")
    assert str(made["mapped"].ipv4_mapped) == str(made["6to4"].sixtofour) == "192.0.2.33"
    assert made["Teredo client"].teredo is not None
    assert str(made["Teredo client"].teredo[1]) == "192.0.2.33"
    assert made["Teredo server"].teredo is not None
    assert str(made["Teredo server"].teredo[0]) == "192.0.2.33"


@st.composite
def networks_and_addresses(draw: st.DrawFn) -> tuple[IPv4Network, IPv4Address]:
    address = draw(IPV4)
    return IPv4Network((int(address), draw(st.integers(0, 32))), strict=False), address


@EACH_EMBEDDING
@FEW
@given(networks_and_addresses())
def test_each_address_of_denied_network_is_denied_when_embedded(
    embedding: str, case: tuple[IPv4Network, IPv4Address]
) -> None:
    network, address = case
    hidden = str(IPv6Address(EMBEDDINGS[embedding](int(address))))
    policy = NetworkPolicy(deny=(str(network),))
    assert not permits(policy, str(address))
    assert not permits(policy, hidden)
    assert not permits(policy, f"{hidden}%eth0")
    assert permits(NetworkPolicy(), hidden)


@EACH_EMBEDDING
@FEW
@given(st.sampled_from([each for each in NOT_REACHABLE if "." in each]), st.integers(0, 2**32 - 1))
def test_public_only_denies_private_addresses_when_embedded(embedding: str, network: str, offset: int) -> None:
    parsed = IPv4Network(network)
    address = int(parsed[offset % parsed.num_addresses])
    assert not permits(PUBLIC, str(IPv6Address(EMBEDDINGS[embedding](address))))


def test_public_only_allows_ipv4_in_nat64_and_mapped_form_alone() -> None:
    cases = {
        name
        for name, embed in EMBEDDINGS.items()
        if permits(PUBLIC, str(IPv6Address(embed(int(IPv4Address("8.8.8.8"))))))
    }
    assert cases == {"mapped", "NAT64", "ISATAP, public"}  # the last is a public IPv6 address in any case


def test_a_mapped_address_is_the_ipv4_address_to_allow() -> None:
    only = NetworkPolicy(allow=("10.0.0.0/8",))
    assert permits(only, "::ffff:10.1.2.3")
    assert permits(only, "::FFFF:a01:203")
    assert not permits(only, "::ffff:11.1.2.3")
    assert not permits(NetworkPolicy(allow=("::/0",)), "::ffff:10.1.2.3")
    assert not permits(NetworkPolicy(allow=("::/0",)), "10.1.2.3")
    assert permits(NetworkPolicy(allow=("::ffff:10.0.0.0/104",)), "10.1.2.3")
    assert not permits(NetworkPolicy(deny=("::ffff:10.0.0.0/104",)), "10.1.2.3")


def test_allowing_an_ipv4_address_allows_no_other_embedding() -> None:
    only = NetworkPolicy(allow=("8.8.8.8",))
    allowed = {name for name, embed in EMBEDDINGS.items() if permits(only, str(IPv6Address(embed(0x08080808))))}
    assert allowed == {"mapped"}


# The order of the rules.


@pytest.mark.parametrize(
    ("policy", "address", "allowed"),
    [
        (NetworkPolicy(), "127.0.0.1", True),
        (NetworkPolicy(), "::1", True),
        (NetworkPolicy(deny=("10.0.0.0/8",)), "10.0.0.1", False),
        (NetworkPolicy(deny=("10.0.0.0/8",)), "11.0.0.1", True),
        (NetworkPolicy(deny=("10.0.0.0/8",)), "::1", True),
        (NetworkPolicy(deny=("::/0",)), "10.0.0.1", True),
        (NetworkPolicy(deny=("::/0",)), "::ffff:10.0.0.1", False),
        (NetworkPolicy(allow=("10.0.0.0/8",)), "10.0.0.1", True),
        (NetworkPolicy(allow=("10.0.0.0/8",)), "11.0.0.1", False),
        (NetworkPolicy(allow=("10.0.0.0/8",)), "::1", False),
        (NetworkPolicy(allow=("10.0.0.0/8", "fd00::/8")), "fd00::1", True),
        (NetworkPolicy(allow=("10.0.0.0/8",), deny=("10.1.0.0/16",)), "10.2.0.1", True),
        (NetworkPolicy(allow=("10.0.0.0/8",), deny=("10.1.0.0/16",)), "10.1.0.1", False),
        (NetworkPolicy(allow=("10.0.0.0/8",), deny=("10.1.0.0/16",)), "11.0.0.1", False),
        (NetworkPolicy(allow=("10.1.2.3",), deny=("10.0.0.0/8",)), "10.1.2.3", False),
        (NetworkPolicy(allow=("10.0.0.0/8",), deny=("10.0.0.0/8",)), "10.0.0.1", False),
        (NetworkPolicy(deny=("10.0.0.1",)), "10.0.0.1", False),
        (NetworkPolicy(deny=("10.0.0.1",)), "10.0.0.2", True),
        (NetworkPolicy.public_only(allow=("10.1.2.3",)), "10.1.2.3", True),
        (NetworkPolicy.public_only(allow=("10.1.2.3",)), "::ffff:10.1.2.3", True),
        (NetworkPolicy.public_only(allow=("10.1.2.3",)), "10.1.2.4", False),
        (NetworkPolicy.public_only(allow=("10.1.2.3",)), "8.8.8.8", True),
        (NetworkPolicy.public_only(allow=("fd00::/8",)), "fd00::1", True),
        (NetworkPolicy.public_only(allow=("fd00::/8",)), "fc00::1", False),
        (NetworkPolicy.public_only(deny=("8.8.8.0/24",)), "8.8.8.8", False),
        (NetworkPolicy.public_only(deny=("8.8.8.0/24",)), "64:ff9b::8.8.8.8", False),
        (NetworkPolicy.public_only(deny=("8.8.8.0/24",)), "8.8.9.8", True),
        (NetworkPolicy.public_only(allow=("0.0.0.0/0", "::/0"), deny=("127.0.0.0/8",)), "10.0.0.1", True),
        (NetworkPolicy.public_only(allow=("0.0.0.0/0", "::/0"), deny=("127.0.0.0/8",)), "127.1.1.1", False),
    ],
)
def test_deny_outranks_allow_and_allow_outranks_the_rest(policy: NetworkPolicy, address: str, allowed: bool) -> None:
    assert permits(policy, address) is allowed


NETWORK = networks_and_addresses().map(lambda case: str(case[0]))
NETWORKS = st.lists(NETWORK, max_size=3).map(tuple)


@given(NETWORKS, NETWORKS, st.booleans(), NETWORK, IPV4 | IPV6)
def test_more_deny_never_allows_and_more_allow_never_denies(
    allow: tuple[str, ...], deny: tuple[str, ...], public: bool, network: str, address: IPv4Address | IPv6Address
) -> None:
    allowed = permits(NetworkPolicy(allow, deny, public=public), str(address))
    assert permits(NetworkPolicy(allow, (*deny, network), public=public), str(address)) <= allowed
    if allow or public:  # the first allowed network turns "all" into "only this"
        assert permits(NetworkPolicy((*allow, network), deny, public=public), str(address)) >= allowed


@given(NETWORKS, NETWORKS, IPV4)
def test_the_rules_agree_with_the_documentation(
    allow: tuple[str, ...], deny: tuple[str, ...], address: IPv4Address
) -> None:
    denied = any(address in IPv4Network(each) for each in deny)
    listed = any(address in IPv4Network(each) for each in allow)
    assert permits(NetworkPolicy(allow, deny), str(address)) is (not denied and (listed or not allow))
    assert permits(NetworkPolicy.public_only(allow, deny=deny), str(address)) is (
        not denied and (listed or permits(PUBLIC, str(address)))
    )


def test_only_named_ports_are_allowed_wherever_they_are() -> None:
    policy = NetworkPolicy(allow=("10.0.0.0/8",), ports=(443, 80))
    assert permits(policy, "10.0.0.1", 80)
    assert permits(policy, "10.0.0.1", 443)
    assert not permits(policy, "10.0.0.1", 8080)
    assert not permits(policy, "11.0.0.1", 80)
    assert not permits(NetworkPolicy(ports=()), "8.8.8.8", 80)
    assert permits(NetworkPolicy.public_only(ports=(443,)), "8.8.8.8", 443)
    assert not permits(NetworkPolicy.public_only(ports=(443,)), "8.8.8.8", 22)
    assert not permits(NetworkPolicy.public_only(allow=("10.0.0.1",), ports=(443,)), "10.0.0.1", 22)


# Forms of addresses.


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%1", "fe80::1%", "fe80::1%25eth0", "fe80::1%8.8.8.8"])
def test_a_zone_does_not_change_the_decision(address: str) -> None:
    assert not permits(PUBLIC, address)
    assert not permits(NetworkPolicy(deny=("fe80::/10",)), address)
    assert permits(NetworkPolicy(allow=("fe80::/10",)), address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost",
        "example.com",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1 ",
        " 127.0.0.1",
        "127.0.0.1\n",
        "127.0.0.1\0",
        "8.8.8.8/32",
        "8.8.8.8%eth0",
        "8.8.8.8:80",
        "[2606:4700::1]",
        "2606:4700::1/128",
        "::ffff:8.8.8.08",
        "\u0661.1.1.1",
        "1\u30021.1.1",
        "%",
        ":",
        "/run/socket",
    ],
)
def test_a_malformed_address_is_denied(address: str) -> None:
    for policy in (NetworkPolicy(), PUBLIC, NetworkPolicy(allow=("0.0.0.0/0", "::/0"))):
        with pytest.raises(PolicyError, match="it is not an IP address"):
            policy.check(address, 80)


@pytest.mark.parametrize("address", [2130706433, b"\x08\x08\x08\x08", b"8.8.8.8", None, IPv4Address("8.8.8.8")])
def test_an_address_is_text(address: object) -> None:
    with pytest.raises(TypeError):
        NetworkPolicy().check(address, 80)  # type: ignore[arg-type]


@given(st.text(max_size=30))
def test_any_text_is_allowed_or_a_policy_error(address: str) -> None:
    assert permits(PUBLIC, address) in (True, False)
    if permits(NetworkPolicy(), address):
        ipaddress.ip_address(address)


# The error, and the value.


def test_the_error_names_address_port_and_rule() -> None:
    with pytest.raises(PolicyError) as caught:
        PUBLIC.check("169.254.169.254", 80)
    error = caught.value
    assert (error.address, error.port) == ("169.254.169.254", 80)
    assert error.rule == "it is not public: 169.254.169.254/32 is cloud metadata"
    assert str(error) == f"the network policy denies '169.254.169.254' port 80: {error.rule}"
    assert not isinstance(error, OSError)


@pytest.mark.parametrize(
    ("policy", "address", "rule"),
    [
        (NetworkPolicy(ports=(443, 80)), "8.8.8.8", "only ports 80, 443 are allowed"),
        (NetworkPolicy(ports=()), "8.8.8.8", "only ports (none) are allowed"),
        (NetworkPolicy(deny=("10.0.0.0/8",)), "10.0.0.1", "deny 10.0.0.0/8"),
        (NetworkPolicy(deny=("10.0.0.0/8",)), "::ffff:10.0.0.1", "deny 10.0.0.0/8, and 10.0.0.1 is inside"),
        (NetworkPolicy(allow=("10.0.0.0/8",)), "11.0.0.1", "no network of allow has it"),
        (PUBLIC, "127.0.0.1", "it is not public: 127.0.0.0/8 is loopback"),
        (PUBLIC, "::ffff:127.0.0.1", "it is not public: 127.0.0.0/8 is loopback"),
        (PUBLIC, "64:ff9b::a00:1", "it is not public: 10.0.0.0/8 is private, and 10.0.0.1 is inside"),
        (PUBLIC, "4000::1", "it is not public: only 2000::/3 is, in IPv6"),
    ],
)
def test_the_denying_rule_is_named(policy: NetworkPolicy, address: str, rule: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy.check(address, 8080)
    assert caught.value.rule == rule


def test_the_error_survives_pickling() -> None:
    with pytest.raises(PolicyError) as caught:
        PUBLIC.check("10.0.0.1", 80)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.address, copy.port, copy.rule, str(copy)) == ("10.0.0.1", 80, caught.value.rule, str(caught.value))


def test_a_hostile_address_is_shown_escaped_and_cut() -> None:
    with pytest.raises(PolicyError) as caught:
        PUBLIC.check("\x1b[2J" * 1000, 80)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_policies_with_the_same_rules_are_one_value() -> None:
    one = NetworkPolicy(allow=("10.0.0.0/8", "fd00::/8"), deny=("10.0.0.1",), ports=(443, 80))
    other = NetworkPolicy(allow=("FD00:0::/8", "10.0.0.0/8", "10.0.0.0/8"), deny=("10.0.0.1/32",), ports=(80, 443, 80))
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other, PUBLIC, NetworkPolicy.public_only()}) == 2
    assert one != NetworkPolicy(allow=("10.0.0.0/8", "fd00::/8"), deny=("10.0.0.1",), ports=(443,))
    many = tuple(f"{number}.0.0.0/8" for number in range(50))
    assert NetworkPolicy(many, many) == NetworkPolicy(many[::-1], many[::-1])
    assert NetworkPolicy() != PUBLIC
    copy = pickle.loads(pickle.dumps(one))
    assert copy == one
    assert not permits(copy, "10.0.0.1", 80)


def test_a_policy_shows_its_rules_and_cannot_be_changed() -> None:
    policy = NetworkPolicy.public_only(allow=["10.0.0.1"], ports=[443])
    assert repr(policy) == "NetworkPolicy(allow=('10.0.0.1/32',), deny=(), ports=(443,), public=True)"
    with pytest.raises(AttributeError):
        policy.public = False  # type: ignore[misc]


@pytest.mark.parametrize("name", ["allow", "deny"])
@pytest.mark.parametrize(
    ("networks", "error", "match"),
    [
        ("10.0.0.0/8", TypeError, "expected a sequence of networks"),
        (None, TypeError, "expected a sequence of networks"),
        (5, TypeError, "expected a sequence of networks"),
        ((5,), TypeError, "expected networks as text"),
        ((b"\x0a\0\0\0",), TypeError, "expected networks as text"),
        ((None,), TypeError, "expected networks as text"),
        (("",), TypeError, "expected networks as text"),
        (("10.0.0.1/8",), ValueError, "is '10.0.0.0/8' meant"),
        (("fd00::1/8",), ValueError, "is 'fd00::/8' meant"),
        (("10.0.0.0/33",), ValueError, "expected an IP address without a zone, or a network"),
        (("10.0.0.0/8%eth0",), ValueError, "without a zone"),
        (("fe80::%eth0/10",), ValueError, "without a zone"),
        (("fe80::1%eth0",), ValueError, "without a zone"),
        (("10.0.0",), ValueError, "an IP address"),
        (("10.*",), ValueError, "an IP address"),
        (("example.com",), ValueError, "an IP address"),
    ],
)
def test_a_malformed_network_is_refused_with_the_expected_form(
    name: str, networks: object, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match) as caught:
        NetworkPolicy(**{name: networks})  # type: ignore[arg-type]
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize(
    ("ports", "error"),
    [
        ("80", TypeError),
        (80, TypeError),
        (("80",), TypeError),
        ((True,), TypeError),
        ((0,), ValueError),
        ((65536,), ValueError),
    ],
)
def test_a_malformed_port_is_refused(ports: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="ports"):
        NetworkPolicy(ports=ports)  # type: ignore[arg-type]


def test_networks_may_be_values_of_ipaddress() -> None:
    policy = NetworkPolicy(allow=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_address("::1")))  # type: ignore[arg-type]
    assert policy.allow == ("10.0.0.0/8", "::1/128")


def test_importing_httpcore_does_not_load_ipaddress() -> None:
    program = "import sys, httpcore; assert 'ipaddress' not in sys.modules"
    subprocess.run([sys.executable, "-S", "-c", program], check=True, cwd=httpcore.__path__[0] + "/..")
