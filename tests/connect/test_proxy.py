"""A proxy as a value: allowed and kept values, its texts, and its routes."""

from __future__ import annotations

import pickle
import ssl
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

import httpcore
from httpcore._connect.proxy import KINDS, Kind, Proxy
from httpcore._connect.route import Route, route_to
from httpcore._connect.socks import Conversation
from httpcore._message.request import Request
from httpcore._message.url import URL
from httpcore.testing import ServerEnd, Simulation

CANARY = "hunter2"


def greet(host: str, port: int, auth: tuple[bytes, bytes] | None) -> Conversation:
    yield f"to {host}:{port}\n".encode()
    assert (yield 3) == b"ok\n"


def never(user: bytes, password: bytes) -> None:
    raise ValueError("it knows no users")


def test_another_kind_of_proxy_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "greeter", Kind(7000, never, greet))
    proxy = Proxy("greeter://proxy.test")
    assert (proxy.port, proxy.is_http) == (7000, False)
    for wrong in ({"auth": ("user", "")}, {"headers": [("a", "b")]}, {"ssl": httpcore.SSLConfig()}):
        with pytest.raises(ValueError):
            Proxy("greeter://proxy.test", **wrong)

    async def serve_proxy(peer: ServerEnd) -> None:
        assert await peer.recv_exactly(13) == b"to a.test:80\n"
        await peer.send(b"ok\n")
        assert (await peer.recv_until(b"\r\n\r\n")).startswith(b"GET / HTTP/1.1\r\nHost: a.test\r\n")
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    simulation = Simulation()
    simulation.listen("proxy.test", 7000, serve_proxy)

    async def main() -> None:
        async with httpcore.ConnectionPool(proxy=proxy, backend=simulation.backend()) as pool:
            assert (await pool.request("GET", "http://a.test/")).status_code == 204

    simulation.run(main())


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "auth"),
    [
        ("http://proxy", "http", "proxy", 80, None),
        (b"http://proxy:3128/", "http", "proxy", 3128, None),
        ("HTTPS://Proxy.Example", "https", "proxy.example", 443, None),
        ("socks5://[::1]", "socks5", "::1", 1080, None),
        ("socks5h://proxy:9050", "socks5h", "proxy", 9050, None),
        ("socks4://10.0.0.1", "socks4", "10.0.0.1", 1080, None),
        ("socks4a://user@proxy", "socks4a", "proxy", 1080, (b"user", b"")),
        ("http://user:p%40ss%3A@proxy", "http", "proxy", 80, (b"user", b"p@ss:")),
        ("http://user@proxy", "http", "proxy", 80, (b"user", b"")),
        ("http://:secret@proxy", "http", "proxy", 80, (b"", b"secret")),
        ("http://müller.example", "http", "xn--mller-kva.example", 80, None),
    ],
)
def test_urls_have_scheme_place_and_credentials(url: Any, scheme: str, host: str, port: int, auth: Any) -> None:
    proxy = Proxy(url)
    assert (proxy.scheme, proxy.host, proxy.port, proxy.auth) == (scheme, host, port, auth)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy",
        "proxy:3128",
        "//proxy",
        "http:/proxy",
        "ftp://proxy",
        "socks://proxy",
        "http://",
        "http://proxy:0",
        "http://proxy:65536",
        "http://proxy/path",
        "http://proxy?query",
        f"http://u:{CANARY}@proxy/path",
        f"http://u:{CANARY} @proxy",
        f"http://u:{CANARY}@pro xy",
        f"ftp://u:{CANARY}@proxy",
        f"http://u:{CANARY}@[::1%25eth0]",
        "http://0x7f.1",
    ],
)
def test_other_urls_are_refused_and_no_password_is_shown(url: str) -> None:
    with pytest.raises(httpcore.InvalidURL) as caught:
        Proxy(url)
    assert "proxy" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("url", ["proxy:3128", "proxy", "ftp://proxy", "socks://proxy"])
def test_missing_or_unknown_scheme_is_named_with_the_known_ones(url: str) -> None:
    with pytest.raises(httpcore.InvalidURL, match=r"http.*, https.*, socks5.*, socks5h.*, socks4.* or socks4a"):
        Proxy(url)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"url": 5}, TypeError),
        ({"url": "http://p", "auth": "user:password"}, TypeError),
        ({"url": "http://p", "auth": ("a", "b", "c")}, TypeError),
        ({"url": "http://p", "auth": ("a", None)}, TypeError),
        ({"url": "http://u@p", "auth": ("a", "b")}, ValueError),
        ({"url": "http://p", "auth": ("a:b", "c")}, ValueError),
        ({"url": "http://p", "auth": ("a", "b\n")}, ValueError),
        ({"url": "socks5://u@p"}, ValueError),
        ({"url": "socks5://p", "auth": ("u" * 256, "p")}, ValueError),
        ({"url": "socks4://p", "auth": ("u", "p")}, ValueError),
        ({"url": "socks4://p", "auth": ("u\0", "")}, ValueError),
        ({"url": "http://p", "headers": {"Host": "other"}}, ValueError),
        ({"url": "http://p", "headers": {"Content-Length": "1"}}, ValueError),
        ({"url": "http://p", "headers": {"Transfer-Encoding": "chunked"}}, ValueError),
        ({"url": "http://u@p", "headers": {"proxy-authorization": "x"}}, ValueError),
        ({"url": "http://p", "headers": {"a": "b\r\nc: d"}}, httpcore.LocalProtocolError),
        ({"url": "socks5://p", "headers": {"a": "b"}}, ValueError),
        ({"url": "http://p", "ssl": httpcore.SSLConfig()}, ValueError),
        ({"url": "https://p", "ssl": True}, TypeError),
    ],
)
def test_other_arguments_are_refused_with_a_reason(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Proxy(**arguments)
    assert str(caught.value)


def test_proxies_are_values() -> None:
    def make() -> Proxy:
        return Proxy("https://proxy", ("u", "p"), {"X-A": "b"}, httpcore.SSLConfig(verify=False), True)

    assert make() == make()
    assert hash(make()) == hash(make())
    assert pickle.loads(pickle.dumps(make())) == make()
    context = ssl.create_default_context()
    others = [
        Proxy("http://proxy", ("u", "p"), {"X-A": "b"}, None, True),
        Proxy("https://proxy:444", ("u", "p"), {"X-A": "b"}, httpcore.SSLConfig(verify=False), True),
        Proxy("https://other", ("u", "p"), {"X-A": "b"}, httpcore.SSLConfig(verify=False), True),
        Proxy("https://proxy", ("u", "q"), {"X-A": "b"}, httpcore.SSLConfig(verify=False), True),
        Proxy("https://proxy", ("u", "p"), {"X-A": "c"}, httpcore.SSLConfig(verify=False), True),
        Proxy("https://proxy", ("u", "p"), {"X-A": "b"}, httpcore.SSLConfig(), True),
        Proxy("https://proxy", ("u", "p"), {"X-A": "b"}, context, True),
        Proxy("https://proxy", ("u", "p"), {"X-A": "b"}, httpcore.SSLConfig(verify=False), False),
    ]
    assert len({make(), *others}) == 1 + len(others)


@pytest.mark.parametrize("name", [field.name for field in fields(Proxy)])
def test_a_proxy_does_not_change(name: str) -> None:
    """A proxy is part of the key of connections: if its credentials changed, its connections would keep the old
    identity.
    """
    proxy = Proxy("http://proxy", auth=("user", CANARY))
    with pytest.raises(FrozenInstanceError):
        setattr(proxy, name, None)
    with pytest.raises((FrozenInstanceError, TypeError)):
        proxy.other = None  # type: ignore[attr-defined]
    assert proxy == Proxy("http://proxy", auth=("user", CANARY))


def test_neither_repr_nor_str_shows_secrets() -> None:
    proxy = Proxy("http://proxy", ("user", CANARY), {"X-Key": CANARY})
    assert CANARY not in repr(proxy) + str(proxy)
    assert "user" not in str(proxy)


def test_basic_credentials_are_encoded_by_rfc_7617() -> None:
    assert Proxy("http://proxy", ("Aladdin", "open sesame")).fields == [
        (b"Proxy-Authorization", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    ]
    assert Proxy("http://proxy", ("test", "123£")).fields == [(b"Proxy-Authorization", b"Basic dGVzdDoxMjPCow==")]


# Routes.

TLS = httpcore.SSLConfig()
BOTH = ("h2", "http/1.1")
HTTP = Proxy("http://proxy:3128")
SECURE = Proxy("https://proxy")
SOCKS = Proxy("socks5://proxy")


def test_proxy_forwards_http_to_all_origins_over_one_connection() -> None:
    for proxy in (HTTP, SECURE):
        routes = {route_to(URL.parse(url), TLS, ("http/1.1",), proxy) for url in ("http://a/", "http://b:81/x")}
        assert routes == {Route(proxy.scheme, "proxy", proxy.port, None, ("http/1.1",), proxy, True)}


@pytest.mark.parametrize(
    ("proxy", "url", "offers", "tunnel"),
    [
        (HTTP, "https://a", BOTH, False),
        (SECURE, "https://a", BOTH, False),
        (HTTP, "http://a", ("http/1.1",), True),
        (Proxy("http://proxy:3128", tunnel=True), "http://a", ("http/1.1",), False),
        (HTTP, "http://a", ("h2",), False),
        (SOCKS, "http://a", ("http/1.1",), False),
        (SOCKS, "https://a", BOTH, False),
    ],
)
def test_a_tunnelled_connection_is_for_one_origin(
    proxy: Proxy, url: str, offers: tuple[str, ...], tunnel: bool
) -> None:
    route = route_to(URL.parse(url), TLS, offers, proxy, tunnel=tunnel)
    assert (route.forwards, route.host, route.proxy, route.offers) == (False, "a", proxy, offers)
    assert route.tls == (TLS if url.startswith("https") else None)


# Bytes that a proxy receives.


@pytest.mark.parametrize(
    ("method", "url", "target", "line"),
    [
        ("GET", "http://example.com/a?b", None, b"GET http://example.com/a?b HTTP/1.1"),
        ("GET", "http://example.com:8080", None, b"GET http://example.com:8080/ HTTP/1.1"),
        ("GET", "http://[::1]/", None, b"GET http://[::1]/ HTTP/1.1"),
        ("GET", "http://user:password@example.com/", None, b"GET http://example.com/ HTTP/1.1"),
        ("OPTIONS", "http://example.com/a", "*", b"OPTIONS http://example.com HTTP/1.1"),
        ("GET", "http://example.com/a", "/raw%zz", b"GET http://example.com/raw%zz HTTP/1.1"),
        ("GET", "http://example.com/a", "http://other/", b"GET http://other/ HTTP/1.1"),
    ],
)
def test_a_forwarded_request_names_the_origin_in_its_target(
    method: str, url: str, target: str | None, line: bytes
) -> None:
    request = Request.of(method, url, [("X", "y")], target=target)
    before = request.head
    request = request.forward(Proxy("http://proxy", ("u", "p")).fields)
    first, rest = request.head.split(b"\r\n", 1)
    assert first == line
    assert rest == before.split(b"\r\n", 1)[1][:-2] + b"Proxy-Authorization: Basic dTpw\r\n\r\n"


def test_the_callers_own_proxy_authorization_wins() -> None:
    request = Request.of("GET", "http://a/", [("proxy-authorization", "mine")])
    request = request.forward(Proxy("http://proxy", ("u", "p")).fields)
    assert request.head.lower().count(b"proxy-authorization") == 1
    assert b"mine" in request.head
