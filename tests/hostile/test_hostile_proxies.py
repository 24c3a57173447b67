"""Proxies that are curious, careless or hostile: which peer receives which secret, which response opens a tunnel, and
which never does.
"""

from __future__ import annotations

import ssl
import time
import traceback
from base64 import b64encode
from functools import partial
from typing import Any, NamedTuple

import pytest
import trustme
from runtimes import Runtime, each_runtime
from scripted_proxy import (
    BODY,
    CERTIFICATE,
    CONNECT,
    ESTABLISHED,
    EXCHANGE,
    GREETING,
    PASSWORD,
    SOCKS4,
    SOCKS5,
    TLS_ORIGIN,
    TLS_PROXY,
    Act,
    ScriptedProxy,
    Visit,
    end,
    garbage,
    refusal,
    server_context,
)
from servers import ok

import httpcore

USER, SECRET, KEY = "proxy-user", "proxy-secret", "proxy-key"
"""Facts that the proxy may learn."""
TOKEN, NAME, WORD = "origin-token", "url-user", "url-word"
"""Facts that the origin may learn, and one that no peer may: the user info of a URL."""
BASIC = b64encode(f"{USER}:{SECRET}".encode())
OF_THE_PROXY = (USER.encode(), SECRET.encode(), BASIC, KEY.encode())
OF_NO_PROXY = (NAME.encode(), WORD.encode(), b64encode(f"{NAME}:{WORD}".encode()))
AT_THE_PROXY = (CONNECT, GREETING, PASSWORD, SOCKS5, SOCKS4)


class Keys(NamedTuple):
    """Certificates of the two hops and of the clients that each of them accepts; all by different authorities."""

    proxy: ssl.SSLContext
    origin: ssl.SSLContext
    trusting_proxy: str
    trusting_origin: str
    for_proxy: str
    for_origin: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    names = {"proxy": ("localhost", "127.0.0.1"), "origin": ("origin.test",)}
    contexts, trusted, shown = {}, {}, {}
    for hop, hosts in names.items():
        authority, clients = trustme.CA(), trustme.CA()
        trusted[hop], shown[hop] = str(folder / hop), str(folder / f"client-of-{hop}")
        authority.cert_pem.write_to_path(trusted[hop])
        clients.issue_cert(f"client-of-{hop}.test").private_key_and_cert_chain_pem.write_to_path(shown[hop])
        contexts[hop] = server_context(authority.issue_cert(*hosts), "http/1.1", clients=clients)
    return Keys(
        contexts["proxy"], contexts["origin"], trusted["proxy"], trusted["origin"], shown["proxy"], shown["origin"]
    )


def scripted(steps: list[str], keys: Keys, acts: dict[str, Act] | None = None, *, faulty: int = 1) -> ScriptedProxy:
    return ScriptedProxy(steps, acts, faulty=faulty, proxy=keys.proxy, origin=keys.origin)


# Credentials stay at their hop.

SECRETIVE = {
    "forward": ("http", "http", [EXCHANGE]),
    "forward under TLS": ("https", "http", [TLS_PROXY, EXCHANGE]),
    "tunnel": ("http", "https", [CONNECT, TLS_ORIGIN, EXCHANGE]),
    "plain tunnel": ("http+tunnel", "http", [CONNECT, EXCHANGE]),
    "TLS in TLS": ("https", "https", [TLS_PROXY, CONNECT, TLS_ORIGIN, EXCHANGE]),
    "SOCKS5": ("socks5h", "https", [GREETING, PASSWORD, SOCKS5, TLS_ORIGIN, EXCHANGE]),
    "plain SOCKS5": ("socks5h", "http", [GREETING, PASSWORD, SOCKS5, EXCHANGE]),
    "SOCKS4a": ("socks4a", "https", [SOCKS4, TLS_ORIGIN, EXCHANGE]),
}
each_secretive_case = pytest.mark.parametrize("variant", SECRETIVE)


def proxy_with_secrets(scheme: str, port: int, keys: Keys, *, in_url: bool = False) -> httpcore.Proxy:
    scheme, _, tunnel = scheme.partition("+")
    more: dict[str, Any] = {"tunnel": bool(tunnel)}
    if scheme.startswith("http"):
        more["headers"] = [("X-Proxy-Key", KEY)]
    if scheme == "https":
        more["ssl"] = httpcore.SSLConfig(verify=keys.trusting_proxy)
    secret = "" if scheme == "socks4a" else SECRET  # SOCKS4 has no passwords
    if in_url:
        return httpcore.Proxy(f"{scheme}://{USER}:{secret}@127.0.0.1:{port}", **more)
    return httpcore.Proxy(f"{scheme}://127.0.0.1:{port}", auth=(USER, secret), **more)


@each_runtime
@pytest.mark.parametrize("in_url", [False, True], ids=["argument", "url"])
@each_secretive_case
def test_credentials_never_leave_their_hop(runtime: Runtime, variant: str, in_url: bool, keys: Keys) -> None:
    scheme, origin, steps = SECRETIVE[variant]

    async def body() -> None:
        noted: list[str] = []
        with scripted(steps, keys) as server:
            proxy = proxy_with_secrets(scheme, server.port, keys, in_url=in_url)
            trust = httpcore.SSLConfig(verify=keys.trusting_origin)
            async with runtime.pool(trust, proxy=proxy, trace=lambda event: noted.append(repr(event))) as pool:
                for _ in range(2):
                    response = await pool.request(
                        "GET", f"{origin}://{NAME}:{WORD}@origin.test/", [("Authorization", f"Bearer {TOKEN}")]
                    )
                    assert response.body == BODY
                noted += [repr(pool), repr(pool.stats()), repr(response.info), repr(proxy), str(proxy)]
        at_proxy = b"".join(data for step, data in server.received if step in AT_THE_PROXY)
        at_origin = b"".join(server.seen(EXCHANGE))
        tunnelled = len(steps) > len({TLS_PROXY, EXCHANGE} & set(steps))
        assert TOKEN.encode() in at_origin
        assert TOKEN.encode() not in at_proxy
        if tunnelled:
            known = {"socks5h": (USER.encode(), SECRET.encode()), "socks4a": (USER.encode(),)}
            assert all(at_proxy.count(secret) == 1 for secret in known.get(scheme, (BASIC, KEY.encode())))
            assert not any(secret in at_origin for secret in OF_THE_PROXY)
            assert b"proxy-" not in at_origin.lower()
        else:
            assert at_origin.count(BASIC) == at_origin.count(KEY.encode()) == 2
        everything = b"".join(data for _, data in server.received)
        assert not any(secret in everything for secret in OF_NO_PROXY)
        check_wire(server, origin, scheme)
        check_silent("\n".join(noted))

    runtime.run(body)


def check_wire(server: ScriptedProxy, origin: str, scheme: str) -> None:
    """Bytes that TLS protects are nowhere on the wire in plain text."""
    if origin == "https" or scheme == "https":
        assert TOKEN.encode() not in server.raw
    if scheme == "https":
        assert not any(secret in server.raw for secret in (*OF_THE_PROXY, b"origin.test"))


def check_silent(text: str) -> None:
    shown = [secret for secret in (USER, SECRET, KEY, TOKEN, NAME, WORD, BASIC.decode()) if secret in text]
    assert not shown, text


@each_runtime
@each_secretive_case
def test_no_error_of_any_step_shows_a_secret(runtime: Runtime, variant: str, keys: Keys) -> None:
    scheme, origin, steps = SECRETIVE[variant]
    noted: list[str] = []

    async def body(step: str, act: Act) -> None:
        with scripted(steps, keys, {step: act}) as server:
            proxy = proxy_with_secrets(scheme, server.port, keys)
            trust = httpcore.SSLConfig(verify=keys.trusting_origin)
            async with runtime.pool(trust, proxy=proxy, trace=lambda event: noted.append(repr(event))) as pool:
                with pytest.raises(httpcore.HTTPCoreError) as caught:
                    await pool.request(
                        "GET", f"{origin}://{NAME}:{WORD}@origin.test/", [("Authorization", f"Bearer {TOKEN}")]
                    )
                error = caught.value
                noted.extend([str(error), repr(error), repr(vars(error)), *traceback.format_exception_only(error)])
                cause = error.__cause__ or error.__context__
                while cause is not None:
                    noted.append(f"{cause!r} {cause}")
                    cause = cause.__cause__ or cause.__context__

    for step in steps:
        for act in (garbage, end, *([refusal] if step != EXCHANGE else [])):
            runtime.run(body, step, act)
    assert len(noted) > 10
    check_silent("\n".join(noted))


class Choosing:
    """A different route for each host."""

    def __init__(self, **proxies: httpcore.Proxy | None) -> None:
        self.proxies = proxies

    def proxy_for(self, scheme: str, host: str, port: int) -> httpcore.Proxy | None:
        return self.proxies[host.partition(".")[0]]


@each_runtime
@pytest.mark.parametrize("tunnel", [False, True], ids=["forward", "tunnel"])
def test_each_proxy_gets_its_own_credentials_and_the_origin_none(runtime: Runtime, tunnel: bool, keys: Keys) -> None:
    """The requests alternate between two proxies and no proxy, over connections that are kept."""
    steps = [CONNECT, EXCHANGE] if tunnel else [EXCHANGE]

    async def body() -> None:
        with scripted(steps, keys) as one, scripted(steps, keys) as two, scripted([EXCHANGE], keys) as direct:
            choosing = Choosing(
                one=httpcore.Proxy(f"http://127.0.0.1:{one.port}", auth=("one", "first"), tunnel=tunnel),
                two=httpcore.Proxy(f"http://127.0.0.1:{two.port}", auth=("two", "second"), tunnel=tunnel),
                localhost=None,
            )
            async with runtime.pool(proxy=choosing) as pool:
                for host in ("one.test", "two.test", "localhost", "two.test", "localhost", "one.test"):
                    assert (await pool.request("GET", f"http://{host}:{direct.port}/")).body == BODY
                assert pool.stats().connections == 3
        first, second = b64encode(b"one:first"), b64encode(b"two:second")
        each = 1 if tunnel else 2
        assert (one.raw.count(first), one.raw.count(second), one.raw.count(b"two.test")) == (each, 0, 0)
        assert (two.raw.count(second), two.raw.count(first), two.raw.count(b"one.test")) == (each, 0, 0)
        assert b"proxy" not in direct.raw.lower()

    runtime.run(body)


# Credentials for a proxy among the headers of a request.

HERE = httpcore.NetworkPolicy(allow=("127.0.0.0/8",))
NOT_FORWARDED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "a policy": ("http", {"network_policy": HERE, "resolve": {"origin.test": "127.0.0.1"}}, {}),
    "an upgrade": ("http", {}, {"headers": {"Connection": "upgrade", "Upgrade": "websocket"}}),
    "TLS": ("http", {}, {"url": "https://origin.test/"}),
    "CONNECT": ("http", {}, {"method": "CONNECT"}),
    "a proxy that tunnels": ("http+tunnel", {}, {}),
    "HTTP/2": ("http", {"http1": False}, {}),
    "SOCKS5": ("socks5h", {}, {}),
    "SOCKS4": ("socks4a", {}, {}),
    "no proxy for this host": ("", {}, {}),
}


@each_runtime
@pytest.mark.parametrize("case", NOT_FORWARDED)
@pytest.mark.parametrize("name", ["Proxy-Authorization", b"PROXY-authorization"])
def test_a_requests_own_proxy_credentials_never_reach_an_origin(
    runtime: Runtime, case: str, name: str | bytes, keys: Keys
) -> None:
    scheme, settings, given = NOT_FORWARDED[case]

    async def body() -> None:
        with scripted([EXCHANGE], keys) as server:
            proxy: Any = proxy_with_secrets(scheme, server.port, keys) if scheme else Choosing(origin=None)
            async with runtime.pool(proxy=proxy, **settings) as pool:
                request = {"method": "GET", "url": "http://origin.test/", **given}
                request["headers"] = [*given.get("headers", {}).items(), (name, f"Basic {TOKEN}")]
                with pytest.raises(httpcore.LocalProtocolError, match="which the origin would get, since") as caught:
                    await pool.request(**request)
                assert TOKEN not in str(caught.value)
                assert "Proxy(url, auth=(user, password))" in str(caught.value)
                assert pool.stats().connections == 0
        assert server.raw == b""

    runtime.run(body)


@each_runtime
def test_own_proxy_credentials_go_to_the_proxy_that_forwards(runtime: Runtime, keys: Keys) -> None:
    """The caller's own credentials replace those of the `Proxy`. Without any proxy they are sent to the server of the
    request, since that may be a proxy.
    """
    own = [("Proxy-Authorization", f"Basic {TOKEN}")]

    async def body() -> None:
        with scripted([EXCHANGE], keys) as server:
            async with runtime.pool(proxy=proxy_with_secrets("http", server.port, keys)) as pool:
                assert (await pool.request("GET", "http://origin.test/", own)).body == BODY
            async with runtime.pool() as pool:
                given = {"target": "http://origin.test/", "headers": own}
                assert (await pool.request("GET", f"http://127.0.0.1:{server.port}/", **given)).body == BODY
        for head in server.seen(EXCHANGE):
            assert head.startswith(b"GET http://origin.test/ HTTP/1.1\r\n")
            assert head.lower().count(b"proxy-authorization") == head.count(TOKEN.encode()) == 1
        assert len(server.seen(EXCHANGE)) == 2

    runtime.run(body)


@each_runtime
def test_other_credentials_are_another_connection(runtime: Runtime, keys: Keys) -> None:
    """A request without credentials is not served over a connection that was opened with them."""

    async def body() -> None:
        with scripted([CONNECT, EXCHANGE], keys) as server:
            where = f"http://127.0.0.1:{server.port}"
            choosing = Choosing()
            async with runtime.pool(proxy=choosing) as pool:
                for auth in (("u", "p"), ("u", "q"), None, ("u", "p")):
                    choosing.proxies["origin"] = httpcore.Proxy(where, auth=auth, tunnel=True)
                    await pool.request("GET", "http://origin.test/")
                assert pool.stats().connections == 3
            assert len(server.seen(CONNECT)) == 3

    runtime.run(body)


# TLS with the proxy and TLS with the origin are independent of each other (row D3 of docs/security.md).


def tls_to_proxy_and_origin(port: int, keys: Keys, proxy: dict[str, Any], origin: dict[str, Any]) -> dict[str, Any]:
    config = httpcore.SSLConfig(**{"verify": keys.trusting_proxy, **proxy})
    return {
        "ssl": httpcore.SSLConfig(**{"verify": keys.trusting_origin, **origin}),
        "proxy": httpcore.Proxy(f"https://localhost:{port}", ssl=config),
    }


TLS_IN_TLS = [TLS_PROXY, CONNECT, TLS_ORIGIN, EXCHANGE]


@each_runtime
def test_each_hop_gets_its_name_and_shows_its_certificate(runtime: Runtime, keys: Keys) -> None:
    async def body() -> None:
        for at_proxy, at_origin in ((True, False), (False, True), (True, True), (False, False)):
            with scripted(TLS_IN_TLS, keys) as server:
                proxy = {"cert": keys.for_proxy} if at_proxy else {}
                origin = {"cert": keys.for_origin} if at_origin else {}
                async with runtime.pool(**tls_to_proxy_and_origin(server.port, keys, proxy, origin)) as pool:
                    assert (await pool.request("GET", "https://origin.test/")).body == BODY
            assert server.seen(TLS_PROXY) == [b"localhost"]
            assert server.seen(TLS_ORIGIN) == [b"origin.test"]
            shown = [b"proxy" if b"client-of-proxy.test" in der else b"origin" for der in server.seen(CERTIFICATE)]
            assert shown == [b"proxy"] * at_proxy + [b"origin"] * at_origin
            assert all(b"client-of-" in der for der in server.seen(CERTIFICATE))

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("wrong", ["proxy", "origin"])
def test_wrong_certificate_at_one_hop_is_not_excused_by_other(runtime: Runtime, wrong: str, keys: Keys) -> None:
    """A hop is not accepted with the other hop's authorities, nor if the other hop's config trusts all certificates."""

    async def body() -> None:
        for other in ({}, {"verify": False}):
            mine = {"verify": keys.trusting_origin if wrong == "proxy" else keys.trusting_proxy}
            proxy, origin = (mine, other) if wrong == "proxy" else (other, mine)
            with scripted(TLS_IN_TLS, keys) as server:
                settings = tls_to_proxy_and_origin(server.port, keys, proxy, origin)
                async with runtime.pool(**settings) as pool:
                    with pytest.raises(httpcore.TLSError) as caught:
                        await pool.request("GET", "https://origin.test/")
                    assert str(settings["proxy"]) in str(caught.value)
                    assert pool.stats().connections == 0
            assert server.seen(EXCHANGE) == []
            assert (server.seen(CONNECT) == []) is (wrong == "proxy")

    runtime.run(body)


# Bytes after the response to CONNECT (row D4).


def saying(answer: bytes) -> Act:
    def act(visit: Visit) -> bool:
        visit.receive(visit.head())
        visit.send(answer)
        return True

    return act


@each_runtime
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("surplus", [ok(b"poison"), b"\x16\x03\x03\x00\x00", b"x"], ids=["response", "record", "byte"])
def test_bytes_after_the_response_to_connect_end_it(runtime: Runtime, scheme: str, surplus: bytes, keys: Keys) -> None:
    steps = [CONNECT, *([TLS_ORIGIN] if scheme == "https" else []), EXCHANGE]

    async def body() -> None:
        with scripted(steps, keys, {CONNECT: saying(ESTABLISHED + surplus)}) as server:
            proxy = httpcore.Proxy(f"http://127.0.0.1:{server.port}", tunnel=True)
            async with runtime.pool(httpcore.SSLConfig(verify=keys.trusting_origin), proxy=proxy) as pool:
                with pytest.raises(httpcore.ProxyError, match="after its response to CONNECT") as caught:
                    await pool.request("GET", f"{scheme}://origin.test/")
                assert str(proxy) in str(caught.value)
                assert pool.stats().connections == 0
                assert (await pool.request("GET", f"{scheme}://origin.test/")).body == BODY
            assert len(server.seen(EXCHANGE)) == 1

    runtime.run(body)


@each_runtime
def test_bytes_after_the_socks_answer_are_no_part_of_tls(runtime: Runtime, keys: Keys) -> None:
    def act(visit: Visit) -> bool:
        visit.exactly(4 + 1 + len("origin.test") + 2)
        visit.send(b"\x05\x00\x00\x01" + bytes(6) + b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00")
        return True

    async def body() -> None:
        with scripted([GREETING, SOCKS5, TLS_ORIGIN, EXCHANGE], keys, {SOCKS5: act}) as server:
            async with runtime.pool(
                httpcore.SSLConfig(verify=keys.trusting_origin), proxy=f"socks5h://127.0.0.1:{server.port}"
            ) as pool:
                with pytest.raises(httpcore.TLSError):
                    await pool.request("GET", "https://origin.test/")
                assert pool.stats().connections == 0
            assert server.seen(EXCHANGE) == []

    runtime.run(body)


# Responses to CONNECT (row D5).

REFUSED = {
    "302": (b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n", 302),
    "401": (b"HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nbody", 401),
    "407": (b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nbody", 407),
    "404 without end": (b"HTTP/1.1 404 Not here\r\n\r\nand so on", 404),
    "502 in chunks": (b"HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 502),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
    "an interim response, then 403": (b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 403 No\r\n\r\n", 403),
    "101": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", None),
    "100 without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 40, None),
    "a head without end": (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000, None),
    "two lengths": (b"HTTP/1.1 403 No\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", None),
    "no HTTP": (b"220 mail.test ESMTP\r\n", None),
    "HTTP/2": (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", None),
    "half a head": (b"HTTP/1.1 200 OK\r\n", None),
}


@each_runtime
@pytest.mark.parametrize("which", REFUSED)
def test_a_proxys_answer_instead_of_a_tunnel_is_a_proxy_error(runtime: Runtime, which: str, keys: Keys) -> None:
    answer, status = REFUSED[which]

    def act(visit: Visit) -> None:
        saying(answer)(visit)

    async def body() -> None:
        with scripted([CONNECT, TLS_ORIGIN, EXCHANGE], keys, {CONNECT: act}) as server:
            proxy = f"http://127.0.0.1:{server.port}"
            trust = httpcore.SSLConfig(verify=keys.trusting_origin)
            async with runtime.pool(trust, proxy=proxy, retries=3) as pool:
                with pytest.raises(httpcore.ProxyError) as caught:
                    await pool.request("POST", "https://origin.test/", body=b"x")
                error = caught.value
                assert (error.status_code, error.safe_to_retry) == (status, True)
                if status is not None:
                    assert error.headers or which == "404 without end" or status in (304, 403)
                assert proxy in str(error)
                assert "https://origin.test" in str(error)
                stats = pool.stats()
                assert (stats.connections, stats.leased) == (0, 0)
                assert server.connections == 1  # one request: after a 407 the same credentials are not sent again
                assert (await pool.request("GET", "https://origin.test/")).body == BODY

    runtime.run(body)


OPENED = {
    "204": b"HTTP/1.1 204 Fine\r\n\r\n",
    "299": b"HTTP/1.1 299 \r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n",
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    "cookies": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Encoding: gzip\r\n\r\n",
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
}


@each_runtime
@pytest.mark.parametrize("which", OPENED)
def test_any_2xx_opens_the_tunnel_and_its_fields_mean_nothing(runtime: Runtime, which: str, keys: Keys) -> None:
    async def body() -> None:
        with scripted([CONNECT, TLS_ORIGIN, EXCHANGE], keys, {CONNECT: saying(OPENED[which])}) as server:
            async with runtime.pool(
                httpcore.SSLConfig(verify=keys.trusting_origin), proxy=f"http://127.0.0.1:{server.port}"
            ) as pool:
                for _ in range(2):
                    response = await pool.request("GET", "https://origin.test/")
                    assert (response.body, response.headers) == (BODY, [(b"content-length", b"12")])
                    assert response.informational == []
            assert server.connections == 1

    runtime.run(body)


# Slow proxies: the connect timeout holds for all hops together, and so does the total timeout (rows D5, D8, 36).


def dripping(answer: bytes) -> Act:
    def act(visit: Visit) -> None:
        visit.wait_for_input()
        for at in range(len(answer)):
            visit.send(answer[at : at + 1])
            time.sleep(0.1)

    return act


DRIPS: dict[str, tuple[str, str, list[str], bytes]] = {
    "CONNECT": ("http", CONNECT, [CONNECT, TLS_ORIGIN], ESTABLISHED),
    "SOCKS5 reply": ("socks5h", SOCKS5, [GREETING, SOCKS5], b"\x05\x00\x00\x03\x3f" + b"x" * 65),
    "TLS": ("https", TLS_PROXY, [TLS_PROXY], b"\x16\x03\x03\x40\x00" + bytes(100)),
}


@each_runtime
def test_a_hop_that_drips_ends_in_time(runtime: Runtime, keys: Keys) -> None:
    """All cases run at once, to save time."""

    async def one(which: str, total: bool) -> None:
        scheme, step, steps, answer = DRIPS[which]
        limits = httpcore.TimeoutConfig(9, connect_timeout=0.4)
        if total:
            limits = httpcore.TimeoutConfig(None, total_timeout=0.4)
        with scripted(steps, keys, {step: dripping(answer)}) as server:
            proxy = httpcore.Proxy(f"{scheme}://127.0.0.1:{server.port}")
            async with runtime.pool(proxy=proxy, timeout=limits) as pool:
                with pytest.raises(httpcore.TotalTimeout if total else httpcore.ConnectTimeout) as caught:
                    await pool.request("GET", "https://origin.test/")
                error = caught.value
                assert error.limit == 0.4
                assert str(proxy) in (f"{error} {error.__cause__}" if total else str(error))
                assert error.elapsed is not None
                assert error.elapsed < 3  # the whole answer takes longer
                assert pool.stats().connections == 0

    async def body() -> None:
        await runtime.gather(*[partial(one, which, total) for which in DRIPS for total in (False, True)])

    runtime.run(body)


# Responses of SOCKS proxies (row D8); test_socks.py tests their bytes one by one.


@each_runtime
@pytest.mark.parametrize(
    "bound",
    [b"\x01" + bytes(4), b"\x04" + bytes(16), b"\x03\x00", b"\x03\xff" + b"x" * 255],
    ids=["IPv4", "IPv6", "no name", "long name"],
)
def test_the_tunnel_begins_after_any_address_of_socks(runtime: Runtime, bound: bytes, keys: Keys) -> None:
    def act(visit: Visit) -> bool:
        visit.exactly(4 + 1 + len("origin.test") + 2)
        visit.send(b"\x05\x00\x00" + bound + b"\x00\x50")
        return True

    async def body() -> None:
        with scripted([GREETING, SOCKS5, TLS_ORIGIN, EXCHANGE], keys, {SOCKS5: act}) as server:
            async with runtime.pool(
                httpcore.SSLConfig(verify=keys.trusting_origin), proxy=f"socks5h://127.0.0.1:{server.port}"
            ) as pool:
                assert (await pool.request("GET", "https://origin.test/")).body == BODY
            assert server.connections == 1

    runtime.run(body)


@each_runtime
def test_a_name_too_long_for_socks_is_refused_before_any_byte(runtime: Runtime, keys: Keys) -> None:
    name = ".".join(["a" * 60] * 5)

    async def body() -> None:
        with scripted([GREETING, SOCKS5, EXCHANGE], keys) as server:
            async with runtime.pool(proxy=f"socks5h://127.0.0.1:{server.port}") as pool:
                with pytest.raises((httpcore.LocalProtocolError, httpcore.InvalidURL)):
                    await pool.request("GET", f"http://{name}/")
                assert pool.stats().connections == 0
            assert server.seen(SOCKS5) == []

    runtime.run(body)


# The address that a proxy receives if the client resolves the name: the client tries one address.

NOTED = {
    "socks5": ("socks5", ["::1", "127.0.0.1", "127.0.0.2"], b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"),
    "socks5, IPv6 only": ("socks5", ["::2", "::1"], b"\x05\x01\x00\x04" + bytes(15) + b"\x02\x00\x50"),
    "socks4": ("socks4", ["::1", "127.0.0.1"], b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00"),
    "CONNECT": ("http", ["::1", "127.0.0.1"], b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n"),
    "CONNECT, IPv6 only": ("http", ["::1"], b"CONNECT [::1]:80 HTTP/1.1\r\n"),
}


@each_runtime
@pytest.mark.parametrize("which", NOTED)
def test_of_several_addresses_a_proxy_gets_the_first_of_ipv4(runtime: Runtime, which: str, keys: Keys) -> None:
    scheme, addresses, noted = NOTED[which]
    steps = {"http": [CONNECT], "socks5": [GREETING, SOCKS5], "socks4": [SOCKS4]}[scheme]
    policy = httpcore.NetworkPolicy() if scheme == "http" else None  # an HTTP proxy gets addresses only under a policy

    async def body() -> None:
        with scripted([*steps, EXCHANGE], keys) as server:
            async with runtime.pool(
                proxy=f"{scheme}://127.0.0.1:{server.port}", resolve={"two.test": addresses}, network_policy=policy
            ) as pool:
                assert (await pool.request("GET", "http://two.test/")).body == BODY
            assert server.seen(steps[-1])[0].startswith(noted)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
def test_a_host_without_ipv4_is_an_error_with_socks4(runtime: Runtime, scheme: str, keys: Keys) -> None:
    async def body() -> None:
        with scripted([SOCKS4, EXCHANGE], keys) as server:
            proxy = f"{scheme}://127.0.0.1:{server.port}"
            async with runtime.pool(proxy=proxy) as pool:
                with pytest.raises(httpcore.ConnectError, match="::1 has no IPv4 address") as caught:
                    await pool.request("GET", "http://[::1]/")
                assert proxy in str(caught.value)
                assert pool.stats().connections == 0
            assert server.seen(SOCKS4) == []

    runtime.run(body)


# A proxy has addresses like an origin (rows 10, 11, 12, 41 at its hop).


@each_runtime
@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks4a"])
def test_of_a_proxys_addresses_one_that_answers_will_do(runtime: Runtime, scheme: str, keys: Keys) -> None:
    steps = {"http": [EXCHANGE], "socks5h": [GREETING, SOCKS5, EXCHANGE], "socks4a": [SOCKS4, EXCHANGE]}[scheme]

    async def body() -> None:
        with scripted(steps, keys) as server:
            proxy = f"{scheme}://proxy.test:{server.port}"
            for living in (["::1", "127.0.0.1"], ["127.0.0.1", "::1"], ["127.0.0.2", "::1", "127.0.0.1"]):
                async with runtime.pool(proxy=proxy, resolve={"proxy.test": living}) as pool:
                    assert (await pool.request("GET", "http://origin.test/")).body == BODY
            async with runtime.pool(proxy=proxy, resolve={"proxy.test": ["::1", "127.0.0.2"]}) as pool:
                with pytest.raises(httpcore.ConnectError) as caught:
                    await pool.request("GET", "http://origin.test/")
                text = str(caught.value)
                assert all(part in text for part in (f"the proxy {proxy}", "::1", "127.0.0.2"))

    runtime.run(body)


class FailingResolver:
    async def resolve(self, host: str, system: Any) -> list[str]:
        raise httpcore.ConnectError(f"the name {host} does not resolve")


@each_runtime
@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h", "socks4", "socks4a"])
def test_an_unresolved_proxy_name_is_an_error_that_names_it(runtime: Runtime, scheme: str) -> None:
    async def body() -> None:
        async with runtime.pool(proxy=f"{scheme}://proxy.test", resolver=FailingResolver()) as pool:
            with pytest.raises(httpcore.ConnectError, match=f"the proxy {scheme}://proxy.test:.* does not resolve"):
                await pool.request("GET", "https://127.0.0.1/")
            assert pool.stats().connections == 0

    runtime.run(body)


# Tunnels that die (row 40).


def one_answer(visit: Visit) -> None:
    visit.receive(visit.head())
    visit.send(ok(BODY))


@each_runtime
def test_a_kept_tunnel_that_has_died_is_replaced_by_another(runtime: Runtime, keys: Keys) -> None:
    async def body() -> None:
        with scripted([CONNECT, TLS_ORIGIN, EXCHANGE], keys, {EXCHANGE: one_answer}, faulty=2) as server:
            async with runtime.pool(
                httpcore.SSLConfig(verify=keys.trusting_origin), proxy=f"http://127.0.0.1:{server.port}"
            ) as pool:
                for _ in range(3):
                    assert (await pool.request("GET", "https://origin.test/")).body == BODY
                assert pool.stats().connections == 1
            assert len(server.seen(CONNECT)) == 3

    runtime.run(body)


def dying(visit: Visit) -> None:
    visit.receive(visit.head())
    visit.send(ESTABLISHED)


@each_runtime
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tunnel_that_dies_after_200_is_error_and_not_tried_again(runtime: Runtime, scheme: str, keys: Keys) -> None:
    async def body() -> None:
        with scripted([CONNECT, EXCHANGE], keys, {CONNECT: dying}) as server:
            proxy = httpcore.Proxy(f"http://127.0.0.1:{server.port}", tunnel=True)
            async with runtime.pool(proxy=proxy) as pool:
                with pytest.raises(httpcore.HTTPCoreError) as caught:
                    await pool.request("GET", f"{scheme}://origin.test/")
                if scheme == "https":
                    assert isinstance(caught.value, httpcore.ConnectError)
                    assert str(proxy) in str(caught.value)
                stats = pool.stats()
                assert (stats.connections, stats.leased) == (0, 0)
            assert server.connections == 1

    runtime.run(body)


# Faults of rows 1 to 9 through proxies (row 40): the results are the same as without a proxy.


def answers_head(answer: bytes, *, reset: bool = False, after: int = 0) -> Act:
    """Read a head and `after` bytes of a body, send these bytes, and close."""

    def act(visit: Visit) -> None:
        visit.receive(visit.head())
        visit.exactly(after)
        visit.send(answer)
        if reset:
            visit.reset()

    return act


def second(act: Act) -> Act:
    """The fault happens at the second request of a connection."""

    def acts(visit: Visit) -> object:
        visit.receive(visit.head())
        visit.send(ok(BODY))
        return act(visit)

    return acts


TOO_LARGE = b"HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!"
FAULTS: dict[str, tuple[str, bytes, Act]] = {
    "an end": ("GET", b"", answers_head(b"")),
    "an end, not idempotent": ("POST", b"x", answers_head(b"", after=1)),
    "a reset": ("GET", b"", answers_head(b"", reset=True)),
    "a reset, not idempotent": ("POST", b"x", answers_head(b"", reset=True, after=1)),
    "half a head": ("GET", b"", answers_head(b"HTTP/1.1 200 OK\r\nContent-")),
    "half a body": ("GET", b"", answers_head(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")),
    "half a body, reset": ("GET", b"", answers_head(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", reset=True)),
    "half a chunk": ("GET", b"", answers_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf")),
    "until the end": ("GET", b"", answers_head(b"HTTP/1.1 200 OK\r\n\r\nall of it")),
    "an early answer": ("POST", bytes(4_000_000), answers_head(TOO_LARGE, reset=True, after=100_000)),
    "surplus": ("GET", b"", answers_head(ok(BODY) + b"HTTP/1.1 200 OK\r\n\r\n")),
    "two lengths": ("GET", b"", answers_head(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nno")),
}
THROUGH = {
    "http": ("forward", "plain tunnel", "plain SOCKS5"),
    "https": ("forward under TLS", "tunnel", "TLS in TLS", "SOCKS5"),
}
"""Routes that are equivalent to a direct one, over http or https: the end of a body depends on TLS at the nearest
hop.
"""


async def seen(
    runtime: Runtime, keys: Keys, variant: str | None, scheme: str, fault: str, later: bool
) -> tuple[Any, ...]:
    """The outcome of the request, the number of connections, and the connections that the pool has kept."""
    proxied, origin, steps = "", scheme, [TLS_ORIGIN, EXCHANGE] if scheme == "https" else [EXCHANGE]
    if variant is not None:
        proxied, origin, steps = SECRETIVE[variant]
    method, body, act = FAULTS[fault]
    with scripted(steps, keys, {EXCHANGE: second(act) if later else act}) as server:
        proxy = proxy_with_secrets(proxied, server.port, keys) if variant is not None else None
        url = f"{origin}://origin.test:{server.port}/"
        trust = httpcore.SSLConfig(verify=keys.trusting_origin)
        async with runtime.pool(trust, proxy=proxy, resolve={"origin.test": "127.0.0.1"}) as pool:
            if later:
                assert (await pool.request("GET", url)).body == BODY
            try:
                response = await pool.request(method, url, body=body)
                became: object = (response.status_code, response.body)
            except httpcore.HTTPCoreError as error:
                became = (type(error), error.safe_to_retry)
            stats = pool.stats()
        return became, server.connections, stats.connections, stats.leased


@each_runtime
@pytest.mark.parametrize("later", [False, True], ids=["first", "reused"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_an_origin_are_the_same_through_each_proxy(
    runtime: Runtime, fault: str, later: bool, keys: Keys
) -> None:
    async def body() -> None:
        for scheme, cases in THROUGH.items():
            direct = await seen(runtime, keys, None, scheme, fault, later)
            assert direct[-1] == 0
            through = {variant: await seen(runtime, keys, variant, scheme, fault, later) for variant in cases}
            assert through == dict.fromkeys(cases, direct)

    runtime.run(body)
