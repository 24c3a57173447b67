"""The bytes sent to a SOCKS proxy; nothing is connected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import httpcore
from httpcore._connect.socks import Conversation, socks4, socks5

AUTH = (b"user", b"secret")
BOUND_4 = b"\x01\x7f\0\0\1\x04\x38"
GRANTED_5 = b"\x05\0\0" + BOUND_4


def hold(conversation: Conversation, answers: bytes) -> tuple[bytes, bytes]:
    """The sent bytes, and the unread rest of the answers. If the proxy has no more answers, an AssertionError is
    raised.
    """
    sent = b""
    step = next(conversation)
    try:
        while True:
            if isinstance(step, bytes):
                sent += step
                step = next(conversation)
            else:
                assert len(answers) >= step, "the code reads more bytes than the proxy sends"
                piece, answers = answers[:step], answers[step:]
                step = conversation.send(piece)
    except StopIteration:
        return sent, answers


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("example.com", b"\x05\x01\0\x03\x0bexample.com\x01\xbb"),
        ("192.0.2.1", b"\x05\x01\0\x01\xc0\0\x02\x01\x01\xbb"),
        ("2001:db8::1", b"\x05\x01\0\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x01\xbb"),
        ("a" * 255, b"\x05\x01\0\x03\xff" + b"a" * 255 + b"\x01\xbb"),
    ],
)
def test_socks5_names_the_host_as_it_is(host: str, sent: bytes) -> None:
    assert hold(socks5(host, 443, None), b"\x05\0" + GRANTED_5) == (b"\x05\x01\0" + sent, b"")


def test_socks5_sends_the_password_on_request() -> None:
    sent, _ = hold(socks5("a", 80, AUTH), b"\x05\x02" + b"\x01\0" + GRANTED_5)
    assert sent == b"\x05\x02\0\x02" + b"\x01\x04user\x06secret" + b"\x05\x01\0\x03\x01a\0P"


def test_socks5_sends_no_password_without_a_request() -> None:
    sent, _ = hold(socks5("a", 80, AUTH), b"\x05\0" + GRANTED_5)
    assert b"secret" not in sent


@pytest.mark.parametrize(
    "bound", [BOUND_4, b"\x04" + bytes(18), b"\x03\x03abc\0P", b"\x03\xff" + bytes(257), b"\x03\0\0P"]
)
def test_bytes_after_the_answer_are_not_read(bound: bytes) -> None:
    assert hold(socks5("a", 80, None), b"\x05\0\x05\0\0" + bound + b"HTTP/1.1")[1] == b"HTTP/1.1"


@pytest.mark.parametrize(
    ("answers", "seen"),
    [
        (b"\x04\0", "version 4: expected 5"),
        (b"HT", "is it an HTTP proxy?"),
        (b"\x05\xff", "requires authentication: expected a user name and password"),
        (b"\x05\x02", "authentication method 2, which was not offered"),
        (b"\x05\x01", "authentication method 1, which was not offered"),
        (b"\x05\0\x04\0\0\1", "version 4"),
        (b"\x05\0\x05\x01\0\1", "general failure (reply 1)"),
        (b"\x05\0\x05\x02\0\1", "its rules do not allow"),
        (b"\x05\0\x05\x05\0\1", "the host refused the connection (reply 5)"),
        (b"\x05\0\x05\x63\0\1", "no reason given (reply 99)"),
        (b"\x05\0\x05\0\0\x02", "address of type 2"),
    ],
)
def test_socks5_refusals_have_words(answers: bytes, seen: str) -> None:
    with pytest.raises(httpcore.ProxyError) as caught:
        hold(socks5("a", 80, None), answers)
    assert seen in str(caught.value)


@pytest.mark.parametrize(
    ("answers", "seen"),
    [
        (b"\x05\x02\x01\x01", "refused the user name and password (status 1)"),
        (b"\x05\xff", "accepts neither a user name and password nor"),
    ],
)
def test_a_refused_socks5_password_is_not_shown(answers: bytes, seen: str) -> None:
    with pytest.raises(httpcore.ProxyError) as caught:
        hold(socks5("a", 80, AUTH), answers)
    assert seen in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "auth", [(b"", b"p"), (b"u", b""), (b"u" * 256, b"p"), (b"u", b"p" * 256)], ids=["no user", "no password", "u", "p"]
)
def test_values_too_long_for_socks5_are_refused(auth: tuple[bytes, bytes]) -> None:
    with pytest.raises(httpcore.LocalProtocolError):
        hold(socks5("a", 80, auth), b"\x05\x02\x01\0" + GRANTED_5)
    with pytest.raises(httpcore.LocalProtocolError):
        hold(socks5("a" * 256, 80, None), b"\x05\0" + GRANTED_5)


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("192.0.2.1", b"\x04\x01\0P\xc0\0\x02\x01user\0"),
        ("example.com", b"\x04\x01\0P\0\0\0\x01user\0example.com\0"),
    ],
)
def test_socks4_gives_an_address_and_4a_a_name(host: str, sent: bytes) -> None:
    assert hold(socks4(host, 80, b"user"), b"\0\x5a" + bytes(6) + b"more") == (sent, b"more")


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (b"\0\x5b" + bytes(6), "rejected or failed (reply 91)"),
        (b"\0\x5d" + bytes(6), "identd and the user name do not agree"),
        (b"\x05\x5a" + bytes(6), "version 5: expected 0"),
        (b"HTTP/1.1", "is it an HTTP proxy?"),
    ],
)
def test_socks4_refusals_have_words(answer: bytes, seen: str) -> None:
    with pytest.raises(httpcore.ProxyError) as caught:
        hold(socks4("192.0.2.1", 80, b""), answer)
    assert seen in str(caught.value)


def test_socks4_supports_neither_ipv6_nor_zero_bytes() -> None:
    for host, user in [("::1", b""), ("192.0.2.1", b"a\0b")]:
        with pytest.raises(httpcore.LocalProtocolError):
            hold(socks4(host, 80, user), b"\0\x5a" + bytes(6))


@given(st.binary(max_size=600), st.booleans(), st.booleans())
def test_any_bytes_of_a_proxy_end_in_a_connection_or_proxy_error(answers: bytes, five: bool, auth: bool) -> None:
    """The client reads no more than the longest answer: 2 bytes, 2 for the password, 5 and 257 for the address."""
    conversation = socks5("a", 80, AUTH if auth else None) if five else socks4("192.0.2.1", 80, b"")
    try:
        _, left = hold(conversation, answers + bytes(600))
    except httpcore.ProxyError:
        return
    assert len(left) >= len(answers) + 600 - 266
