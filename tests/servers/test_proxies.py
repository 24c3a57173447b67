"""Real proxies in every runtime: squid, tinyproxy, dante and microsocks; in front of uvicorn, of nginx and hypercorn
for HTTP/2; and uvicorn on a unix socket. The scripted ones, hop by hop, are in test_routes.py.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import proxies
import pytest
import real_servers
from proxies import ODD, ORIGIN, PASSWORD, TAME_PASSWORD, USER
from real_servers import patterned
from runtimes import Runtime, each_runtime
from servers import free_port, uvicorn

import httpcore

AUTH = (USER, PASSWORD)
NAME = f"{USER}:{quote(PASSWORD, safe='')}"


@pytest.fixture(scope="module")
def origin() -> Iterator[int]:
    with uvicorn("apps:app", "--app-dir", "tests/support") as port:
        yield port


def fields(response: Any) -> dict[bytes, bytes]:
    return dict(response.headers)


async def exercise(runtime: Runtime, pool: Any, url: str) -> Any:
    """A body in both directions, larger than any buffer; ten requests at once; the last small response."""
    sent = patterned(300_000)
    echoed = await pool.request("POST", f"{url}/echo", body=sent)
    assert (echoed.status_code, echoed.body) == (200, sent)
    replies = await runtime.gather(*[partial(pool.request, "GET", f"{url}/bytes?n={size}") for size in range(10)])
    assert [reply.body for reply in replies] == [bytes(size) for size in range(10)]
    async with await pool.request("GET", f"{url}/bytes?n=1000000", stream=True) as streamed:
        assert sum([len(piece) async for piece in streamed.stream()]) == 1_000_000
    hello = await pool.request("GET", f"{url}/hello")
    assert hello.body == b"Hello, world"
    assert hello.info.reused
    stats = pool.stats()
    assert stats.leased == stats.waiting == stats.dialing == 0
    return hello


# HTTP proxies.


@each_runtime
def test_squid_forwards_http_for_all_origins(runtime: Runtime, squid: proxies.Ports, origin: int) -> None:
    async def body() -> None:
        async with runtime.pool(proxy=f"http://127.0.0.1:{squid.open}") as pool:
            for host in ("127.0.0.1", "localhost", "127.0.0.1"):
                response = await pool.request("GET", f"http://{host}:{origin}/hello")
                assert (response.body, fields(response)[b"via"][:10]) == (b"Hello, world", b"1.1 squid ")
            assert pool.stats().connections == 1
            hello = await exercise(runtime, pool, f"http://127.0.0.1:{origin}")
            assert b"via" in fields(hello)

    runtime.run(body)


@each_runtime
def test_squid_tunnels_http_where_tunnel_is_set(runtime: Runtime, squid: proxies.Ports, origin: int) -> None:
    async def body() -> None:
        async with runtime.pool(proxy=httpcore.Proxy(f"http://127.0.0.1:{squid.open}", tunnel=True)) as pool:
            hello = await exercise(runtime, pool, f"http://127.0.0.1:{origin}")
            assert b"via" not in fields(hello)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_squid_requires_authentication(
    runtime: Runtime, squid: proxies.Ports, origin: int, nginx: Any, scheme: str
) -> None:
    port = origin if scheme == "http" else nginx.secure
    url = f"{scheme}://127.0.0.1:{port}/hello"
    insecure = httpcore.SSLConfig(verify=False)

    async def body() -> None:
        for proxy in (f"http://{NAME}@127.0.0.1:{squid.guarded}", httpcore.Proxy(guarded, auth=AUTH)):
            async with runtime.pool(insecure, proxy=proxy) as pool:
                for _ in range(2):
                    response = await pool.request("GET", url)
                    assert (response.status_code, response.body) == (200, b"Hello, world")
        for auth in (None, (USER, "guess")):
            async with runtime.pool(insecure, proxy=httpcore.Proxy(guarded, auth=auth)) as pool:
                if (
                    scheme == "http"
                ):  # over http, a response of the proxy cannot be distinguished from one of the origin
                    response = await pool.request("GET", url)
                    assert (response.status_code, fields(response)[b"proxy-authenticate"]) == (407, challenge)
                    continue
                with pytest.raises(httpcore.ProxyError) as caught:
                    await pool.request("GET", url)
                error = caught.value
                assert (error.status_code, error.reason) == (407, "Proxy Authentication Required")
                assert dict(error.headers)[b"proxy-authenticate"] == challenge
                assert guarded in str(error)
                assert "guess" not in str(error) + repr(error)
                assert pool.stats().connections == 0

    challenge = b'Basic realm="cave"'
    guarded = f"http://127.0.0.1:{squid.guarded}"
    runtime.run(body)


@each_runtime
def test_squid_accepts_any_user_name_and_password_we_send(runtime: Runtime, squid: proxies.Ports, origin: int) -> None:
    """Spaces, colons, percent signs and other scripts, as arguments and percent-encoded in the URL."""
    where = f"127.0.0.1:{squid.guarded}"

    async def body() -> None:
        for user, password in ODD.items():
            for proxy in (
                httpcore.Proxy(f"http://{where}", auth=(user, password)),
                httpcore.Proxy(f"http://{quote(user, safe='')}:{quote(password, safe='')}@{where}", tunnel=True),
            ):
                async with runtime.pool(proxy=proxy) as pool:
                    response = await pool.request("GET", f"http://127.0.0.1:{origin}/hello")
                    assert (response.status_code, response.body) == (200, b"Hello, world")

    runtime.run(body)


@each_runtime
def test_squids_reason_for_no_tunnel_is_in_the_error(runtime: Runtime, squid: proxies.Ports) -> None:
    nowhere = free_port()

    async def body() -> None:
        async with runtime.pool(proxy=f"http://127.0.0.1:{squid.open}") as pool:
            for url, status in ((f"https://127.0.0.1:{nowhere}", 503), ("https://forbidden.test", 403)):
                with pytest.raises(httpcore.ProxyError) as caught:
                    await pool.request("GET", url)
                assert caught.value.status_code == status
                assert b"x-squid-error" in dict(caught.value.headers)
                assert f"http://127.0.0.1:{squid.open}" in str(caught.value)
                assert pool.stats().connections == 0

    runtime.run(body)


@each_runtime
def test_squids_own_answer_to_a_forwarded_request_is_a_response(runtime: Runtime, squid: proxies.Ports) -> None:
    nowhere = free_port()

    async def body() -> None:
        async with runtime.pool(proxy=f"http://127.0.0.1:{squid.open}") as pool:
            response = await pool.request("GET", f"http://127.0.0.1:{nowhere}/")
            assert (response.status_code, fields(response)[b"server"][:6]) == (503, b"squid/")
            assert pool.stats().leased == 0

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_squid_under_tls_forwards_and_tunnels(
    runtime: Runtime, squid: proxies.Ports, trusting_real: httpcore.SSLConfig, origin: int, nginx: Any, scheme: str
) -> None:
    url = f"http://127.0.0.1:{origin}" if scheme == "http" else f"https://localhost:{nginx.secure}"

    async def body() -> None:
        proxy = httpcore.Proxy(f"https://localhost:{squid.secure}", ssl=trusting_real)
        async with runtime.pool(trusting_real, proxy=proxy) as pool:
            hello = await exercise(runtime, pool, url)
            assert hello.protocol == ("HTTP/1.1" if scheme == "http" else "HTTP/2")
        async with runtime.pool(trusting_real, proxy=httpcore.Proxy(f"https://localhost:{squid.secure}")) as pool:
            with pytest.raises(httpcore.TLSError, match=f"the proxy https://localhost:{squid.secure}"):
                await pool.request("GET", url)

    runtime.run(body)


@each_runtime
def test_tinyproxy_forwards_and_tunnels_with_credentials(
    runtime: Runtime, tinyproxy: proxies.Ports, trusting_real: httpcore.SSLConfig, origin: int, nginx: Any
) -> None:
    async def body() -> None:
        for proxy in (
            httpcore.Proxy(f"http://127.0.0.1:{tinyproxy.open}"),
            httpcore.Proxy(f"http://127.0.0.1:{tinyproxy.guarded}", auth=(USER, TAME_PASSWORD)),
        ):
            async with runtime.pool(trusting_real, proxy=proxy) as pool:
                hello = await pool.request("GET", f"http://127.0.0.1:{origin}/hello")
                assert hello.body == b"Hello, world"
                assert b"tinyproxy" in fields(hello)[b"via"]
                hello = await pool.request("GET", f"https://localhost:{nginx.secure}/hello")
                assert hello.body == b"Hello, world"
                if proxy.auth is not None:
                    await exercise(runtime, pool, f"https://localhost:{nginx.secure}")
        async with runtime.pool(trusting_real, proxy=f"http://127.0.0.1:{tinyproxy.guarded}") as pool:
            with pytest.raises(httpcore.ProxyError) as caught:
                await pool.request("GET", f"https://localhost:{nginx.secure}/hello")
            assert caught.value.status_code == 407

    runtime.run(body)


# SOCKS.


@each_runtime
@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h"])
def test_dante_leads_to_http_and_http_2(
    runtime: Runtime, dante: proxies.Ports, trusting_real: httpcore.SSLConfig, origin: int, nginx: Any, scheme: str
) -> None:
    async def body() -> None:
        async with runtime.pool(trusting_real, proxy=f"{scheme}://127.0.0.1:{dante.open}") as pool:
            await exercise(runtime, pool, f"http://localhost:{origin}")
            hello = await exercise(runtime, pool, f"https://localhost:{nginx.secure}")
            assert hello.protocol == "HTTP/2"

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_microsocks_serves_a_client_with_the_password(
    runtime: Runtime, microsocks: proxies.Ports, trusting_real: httpcore.SSLConfig, nginx: Any, scheme: str
) -> None:
    url = f"https://localhost:{nginx.secure}"

    async def body() -> None:
        async with runtime.pool(trusting_real, proxy=f"{scheme}://{NAME}@127.0.0.1:{microsocks.guarded}") as pool:
            await exercise(runtime, pool, url)
        async with runtime.pool(trusting_real, proxy=f"{scheme}://127.0.0.1:{microsocks.open}") as pool:
            assert (await pool.request("GET", f"{url}/hello")).body == b"Hello, world"
        guarded = f"{scheme}://127.0.0.1:{microsocks.guarded}"
        for auth in (None, (USER, "guess")):
            async with runtime.pool(trusting_real, proxy=httpcore.Proxy(guarded, auth=auth)) as pool:
                with pytest.raises(httpcore.ProxyError) as caught:
                    await pool.request("GET", f"{url}/hello")
                assert guarded in str(caught.value)
                assert "password" in str(caught.value)
                assert "guess" not in str(caught.value)
                assert pool.stats().connections == 0

    runtime.run(body)


@each_runtime
def test_a_refusal_of_a_socks_proxy_has_its_reason_in_words(
    runtime: Runtime, dante: proxies.Ports, microsocks: proxies.Ports
) -> None:
    nowhere = free_port()

    async def body() -> None:
        for scheme, port, words in (
            ("socks5", microsocks.open, "the host refused the connection (reply 5)"),
            ("socks5h", dante.open, "the host refused the connection (reply 5)"),
            ("socks4", dante.open, "rejected or failed (reply 91)"),
        ):
            async with runtime.pool(proxy=f"{scheme}://127.0.0.1:{port}") as pool:
                with pytest.raises(httpcore.ProxyError) as caught:
                    await pool.request("GET", f"http://127.0.0.1:{nowhere}/")
                assert words in str(caught.value)
                assert f"{scheme}://127.0.0.1:{port}" in str(caught.value)

    runtime.run(body)


# Proxies of the environment, and policies.


@each_runtime
def test_the_environment_leads_each_scheme_through_its_own_proxy(
    runtime: Runtime,
    squid: proxies.Ports,
    microsocks: proxies.Ports,
    trusting_real: httpcore.SSLConfig,
    origin: int,
    nginx: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """http requests go through squid, which resolves the origin's name; all others through SOCKS; some through
    neither.
    """
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTP_PROXY", f"http://{NAME}@127.0.0.1:{squid.guarded}")
    monkeypatch.setenv("all_proxy", f"socks5://{NAME}@127.0.0.1:{microsocks.guarded}")
    monkeypatch.setenv("NO_PROXY", f"direct.test,{ORIGIN}:1")
    known_here = {"secure.test": "127.0.0.1", "direct.test": "127.0.0.1"}
    trust = replace(trusting_real, server_hostname="localhost")

    async def body() -> None:
        chooser = httpcore.proxies_from_environment()
        async with runtime.pool(trust, proxy=chooser, resolve=known_here) as pool:
            forwarded = await pool.request("GET", f"http://{ORIGIN}:{origin}/hello")
            assert (forwarded.body, fields(forwarded)[b"via"][:10]) == (b"Hello, world", b"1.1 squid ")
            secured = await pool.request("GET", f"https://secure.test:{nginx.secure}/hello")
            assert (secured.body, secured.protocol) == (b"Hello, world", "HTTP/2")
            assert secured.info.peer == f"127.0.0.1:{microsocks.guarded}"
            for url in (f"http://direct.test:{origin}/hello", f"http://127.0.0.1:{origin}/hello"):
                direct = await pool.request("GET", url)
                assert (direct.body, b"via" in fields(direct)) == (b"Hello, world", False)
                assert direct.info.peer == f"127.0.0.1:{origin}"
            with pytest.raises(httpcore.ConnectError):  # NO_PROXY has this host, and only squid resolves it
                await pool.request("GET", f"http://{ORIGIN}:1/")
            assert pool.stats().connections == 4

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("which", ["squid", "microsocks", "dante"])
def test_under_policy_real_proxy_leads_only_to_allowed_addresses(
    runtime: Runtime,
    which: str,
    squid: proxies.Ports,
    microsocks: proxies.Ports,
    dante: proxies.Ports,
    origin: int,
) -> None:
    """The proxy would connect to anything, and resolves names that are unknown here."""
    urls = {
        "squid": f"http://{NAME}@127.0.0.1:{squid.guarded}",
        "microsocks": f"socks5h://{NAME}@127.0.0.1:{microsocks.guarded}",
        "dante": f"socks4a://127.0.0.1:{dante.open}",
    }
    proxy = httpcore.Proxy(urls[which])
    policy = httpcore.NetworkPolicy(deny=("127.0.0.2",), ports=(origin, proxy.port))

    async def body() -> None:
        async with runtime.pool(proxy=proxy, network_policy=policy, resolve={"sly.test": "127.0.0.2"}) as pool:
            response = await pool.request("GET", f"http://localhost:{origin}/hello")
            assert (response.body, b"via" in fields(response)) == (b"Hello, world", False)
            for url in (f"http://127.0.0.2:{origin}/", f"http://sly.test:{origin}/", "http://localhost:1/"):
                with pytest.raises(httpcore.PolicyError):
                    await pool.request("GET", url)
            with pytest.raises(httpcore.ConnectError, match="does not resolve"):
                await pool.request("GET", f"http://{ORIGIN}:{origin}/")
            assert pool.stats().connections == 1
        async with runtime.pool(proxy=proxy, network_policy=httpcore.NetworkPolicy(ports=(origin,))) as pool:
            with pytest.raises(httpcore.PolicyError, match=re.escape(f"the proxy {proxy}")):
                await pool.request("GET", f"http://localhost:{origin}/hello")

    runtime.run(body)


# HTTP/2 behind each proxy.

EACH = ("squid", "squid under TLS", "tinyproxy", "dante", "microsocks")


@pytest.fixture
def each_proxy(
    squid: proxies.Ports,
    tinyproxy: proxies.Ports,
    dante: proxies.Ports,
    microsocks: proxies.Ports,
    trusting_real: httpcore.SSLConfig,
) -> dict[str, httpcore.Proxy]:
    here = "127.0.0.1"
    return {
        "squid": httpcore.Proxy(f"http://{here}:{squid.guarded}", auth=AUTH),
        "squid under TLS": httpcore.Proxy(f"https://{here}:{squid.secure}", ssl=trusting_real),
        "tinyproxy": httpcore.Proxy(f"http://{here}:{tinyproxy.guarded}", auth=(USER, TAME_PASSWORD)),
        "dante": httpcore.Proxy(f"socks5h://{here}:{dante.open}"),
        "microsocks": httpcore.Proxy(f"socks5://{here}:{microsocks.guarded}", auth=AUTH),
    }


@each_runtime
@pytest.mark.parametrize("which", EACH)
def test_hundred_requests_share_one_http2_connection_by_a_proxy(
    runtime: Runtime,
    which: str,
    each_proxy: dict[str, httpcore.Proxy],
    trusting_real: httpcore.SSLConfig,
    hypercorn: real_servers.Ports,
) -> None:
    """The origin is hypercorn. Over plain http a tunnel carries HTTP/2 by prior knowledge: ten requests are enough for
    that.
    """

    async def body() -> None:
        for url, http1, sizes in (
            (f"https://localhost:{hypercorn.secure}", True, range(100)),
            (f"http://localhost:{hypercorn.plain}", False, range(10)),
        ):
            async with runtime.pool(trusting_real, proxy=each_proxy[which], http1=http1) as pool:
                replies = await runtime.gather(*[partial(pool.request, "GET", f"{url}/size-{size}") for size in sizes])
                assert [reply.body for reply in replies] == [patterned(size) for size in sizes]
                assert {reply.protocol for reply in replies} == {"HTTP/2"}
                assert pool.stats().connections == 1

    runtime.run(body)


# A unix socket.


@each_runtime
def test_uvicorn_is_reached_on_a_unix_socket(runtime: Runtime, uvicorn_socket: str) -> None:
    async def body() -> None:
        async with runtime.pool(uds=uvicorn_socket) as pool:
            hello = await exercise(runtime, pool, "http://whatever.test")
            assert hello.info.peer == uvicorn_socket
        async with runtime.pool(uds=f"{uvicorn_socket}-not") as pool:
            with pytest.raises(httpcore.ConnectError, match=f"{uvicorn_socket}-not"):
                await pool.request("GET", "http://whatever.test")

    runtime.run(body)


@each_runtime
def test_socket_options_are_set_on_a_unix_socket_too(runtime: Runtime, uvicorn_socket: str) -> None:
    async def body() -> None:
        for option, works in (((socket.SOL_SOCKET, socket.SO_SNDBUF, 65536), True), ((9999, 1, 1), False)):
            async with runtime.pool(uds=uvicorn_socket, socket_options=[option]) as pool:
                if works:
                    assert (await pool.request("GET", "http://whatever.test/hello")).status_code == 200
                else:
                    with pytest.raises(httpcore.ConnectError, match=uvicorn_socket):
                        await pool.request("GET", "http://whatever.test/hello")

    runtime.run(body)


@pytest.mark.parametrize("other", [{"proxy": "http://127.0.0.1:1"}, {"local_address": "127.0.0.1"}])
def test_a_unix_socket_excludes_other_settings(other: dict[str, Any]) -> None:
    [name] = other
    for pool in (httpcore.ConnectionPool, httpcore.SyncConnectionPool):
        with pytest.raises(ValueError, match=f"uds and {name} are both given: expected one of them"):
            pool(uds="/run/a.sock", **other)
