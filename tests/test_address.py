"""One reader and one writer of addresses: each caller sees the same address, however it is spelled."""

from __future__ import annotations

import ipaddress

import pytest

from httpcore import InvalidURL, NetworkPolicy, PolicyError
from httpcore._address import bracketed, canonical, host_port, is_address, read_address, without_zone
from httpcore._connect.environment import proxies_from_environment
from httpcore._connect.socks import Conversation, socks5
from httpcore._message.url import URL

# The text, its canonical spelling (None: not an address), and its zone.
SPELLINGS: list[tuple[str, str | None, str]] = [
    ("127.0.0.1", "127.0.0.1", ""),
    ("::1", "::1", ""),
    ("0:0:0:0:0:0:0:1", "::1", ""),
    ("2001:DB8::00A", "2001:db8::a", ""),
    ("::ffff:10.0.0.1", "::ffff:10.0.0.1", ""),
    ("fe80::1%eth0", "fe80::1", "eth0"),
    ("fe80::1%25", "fe80::1", "25"),
    ("127.0.0.1%1", None, ""),
    ("127.1", None, ""),
    ("0177.0.0.1", None, ""),
    ("0x7f.0.0.1", None, ""),
    ("2130706433", None, ""),
    ("256.0.0.1", None, ""),
    ("1.2.3", None, ""),
    ("::1::", None, ""),
    ("[::1]", None, ""),
    ("example.com", None, ""),
    ("", None, ""),
]


@pytest.mark.parametrize(("text", "spelling", "zone"), SPELLINGS)
def test_an_address_has_one_canonical_spelling(text: str, spelling: str | None, zone: str) -> None:
    address = read_address(text)
    if spelling is None:
        assert address is None
        assert canonical(text) is None
        return
    assert address == ipaddress.ip_address(spelling)
    assert without_zone(text)[1] == zone
    assert canonical(text) == str(address) + (f"%{zone}" if zone else "")


def sent_by(conversation: Conversation) -> bytes:
    """The bytes of a conversation up to the proxy's response to CONNECT, with a proxy that needs no password."""
    sent = b""
    step = next(conversation)
    while True:
        if isinstance(step, bytes):
            sent += step
            step = next(conversation)
        elif len(sent) > 4:
            return sent
        else:
            step = conversation.send(b"\x05\x00"[:step])


@pytest.mark.parametrize(("text", "spelling", "zone"), SPELLINGS)
def test_policy_no_proxy_and_socks_see_the_same_address(text: str, spelling: str | None, zone: str) -> None:
    number = None if spelling is None else ipaddress.ip_address(spelling)
    policy = NetworkPolicy(allow=(spelling or "192.0.2.1",))
    if spelling is None or number is None:
        with pytest.raises(PolicyError, match="not an IP address"):
            policy.check(text, 80)
        return
    policy.check(text, 80)
    if not zone:
        proxies = proxies_from_environment({"http_proxy": "http://proxy.test", "no_proxy": spelling})
        assert proxies.proxy_for("http", text, 80) is None
        assert proxies.proxy_for("http", "192.0.2.9", 80) is not None
    assert number.packed in sent_by(socks5(text, 80, None))


@pytest.mark.parametrize("text", [text for text, spelling, zone in SPELLINGS if spelling is None and text])
def test_no_other_spelling_of_an_address_is_a_host_with_a_number(text: str) -> None:
    """A text that is not an address is not a valid host of a URL either, except a name or an address in brackets."""
    try:
        host = URL.parse(f"http://{text}/").host
    except InvalidURL:
        return
    assert text in ("example.com", "[::1]")
    assert is_address(host) == (text == "[::1]")


@pytest.mark.parametrize(
    ("host", "port", "written"),
    [("example.com", 80, "example.com:80"), ("127.0.0.1", 8080, "127.0.0.1:8080"), ("::1", 443, "[::1]:443")],
)
def test_host_port_puts_an_ipv6_address_in_brackets(host: str, port: int, written: str) -> None:
    assert host_port(host, port) == written
    assert f"{bracketed(host)}:{port}" == written


def test_only_text_is_an_address() -> None:
    assert canonical(b"127.0.0.1") is None
    assert canonical(2130706433) is None
    assert canonical(None) is None
