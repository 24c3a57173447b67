"""Digest authentication with the servers Apache, lighttpd and squid; and curl with the same servers."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import digest_servers
import pytest
import trio
from digest_servers import HASHES, PEOPLE
from flows import over_pool
from real_servers import program
from runtimes import Runtime, each_runtime
from servers import uvicorn

from httpcore import AsyncClient, Client, Proxy, TrioClient
from httpcore._client.auth import DigestAuth

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def apache() -> Iterator[str]:
    with digest_servers.apache() as url:
        yield url


@pytest.fixture(scope="module")
def lighttpd() -> Iterator[str]:
    with digest_servers.lighttpd() as url:
        yield url


@pytest.fixture(scope="module")
def squid() -> Iterator[str]:
    with digest_servers.squid() as url:
        yield url


def by_curl(url: str, *options: str) -> int:
    command = [program("curl"), "-s", "-o", "/dev/null", "-w", "%{http_code}", *options, url]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def digest_of(user: str) -> tuple[str, ...]:
    return ("--digest", "-u", f"{user}:{PEOPLE[user]}")


@pytest.mark.parametrize("user", PEOPLE)
@each_runtime
def test_apache_lets_each_user_in_as_it_does_curl(runtime: Runtime, apache: str, user: str) -> None:
    async def body() -> None:
        auth = DigestAuth(user, PEOPLE[user])
        async with runtime.pool() as pool:
            for _ in range(3):
                response = await over_pool(auth, pool, "GET", f"{apache}/digest/hello?a=b%20c")
                assert (response.status_code, response.body) == (200, b"Hello, world")

    runtime.run(body)
    assert by_curl(f"{apache}/digest/hello?a=b%20c", *digest_of(user)) == 200


@each_runtime
def test_apache_refuses_a_wrong_password_after_one_try(runtime: Runtime, apache: str) -> None:
    requests = 0

    async def body() -> None:
        async with runtime.pool() as pool:
            auth = DigestAuth("Aladdin", "wrong")
            response = await over_pool(auth, pool, "GET", f"{apache}/digest/hello", trace=count)
            assert response.status_code == 401

    def count(event: Any) -> None:
        nonlocal requests
        requests += type(event).__name__ == "RequestStarted"

    runtime.run(body)
    assert requests == 2


@each_runtime
def test_a_hundred_requests_at_once_share_a_nonce_of_apache(runtime: Runtime, apache: str) -> None:
    async def body() -> None:
        auth = DigestAuth("Aladdin", PEOPLE["Aladdin"])
        async with runtime.pool() as pool:
            url = f"{apache}/digest/hello"
            await over_pool(auth, pool, "GET", url)
            replies = await runtime.gather(*[partial(over_pool, auth, pool, "GET", url) for _ in range(100)])
            assert [reply.status_code for reply in replies] == [200] * 100

    runtime.run(body)


@each_runtime
def test_a_stale_nonce_of_apache_is_replaced(runtime: Runtime, apache: str) -> None:
    async def body() -> None:
        auth = DigestAuth("Aladdin", PEOPLE["Aladdin"])
        async with runtime.pool() as pool:
            for _ in range(2):
                response = await over_pool(auth, pool, "GET", f"{apache}/short/hello")
                assert response.status_code == 200
                await runtime.sleep(1.3)

    runtime.run(body)


@each_runtime
def test_apache_sends_the_next_nonce_and_proves_itself(runtime: Runtime, apache: str) -> None:
    async def body() -> None:
        auth = DigestAuth("Aladdin", PEOPLE["Aladdin"])
        async with runtime.pool() as pool:
            response = await over_pool(auth, pool, "GET", f"{apache}/once/hello")
            assert response.status_code == 200
            info = dict(response.headers)[b"authentication-info"]
            assert b"rspauth=" in info
            assert b"nextnonce=" in info
            response = await over_pool(auth, pool, "GET", f"{apache}/once/hello")
            assert response.status_code == 200

    runtime.run(body)


@pytest.mark.parametrize("user", ["Aladdin", "müller"])
@pytest.mark.parametrize("place", [*HASHES, *[f"hashed-{algorithm}" for algorithm in HASHES]])
@each_runtime
def test_lighttpd_lets_each_user_in_by_each_algorithm(runtime: Runtime, lighttpd: str, place: str, user: str) -> None:
    async def body() -> None:
        auth = DigestAuth(user, PEOPLE[user])
        async with runtime.pool() as pool:
            for _ in range(2):
                response = await over_pool(auth, pool, "GET", f"{lighttpd}/{place}/hello")
                assert (response.status_code, response.body) == (200, b"Hello, world")

    runtime.run(body)
    if "512" not in place:  # before 8.10 curl used another hash
        assert by_curl(f"{lighttpd}/{place}/hello", *digest_of(user)) == 200


@each_runtime
def test_of_lighttpds_three_challenges_the_strongest_is_answered(runtime: Runtime, lighttpd: str) -> None:
    async def body() -> None:
        async with runtime.pool() as pool:
            first = await pool.request("GET", f"{lighttpd}/all/hello")
            assert sum(name == b"www-authenticate" for name, _ in first.headers) == 3
            url, password = f"{lighttpd}/all/hello", PEOPLE["Aladdin"]
            assert (await over_pool(DigestAuth("Aladdin", password), pool, "GET", url)).status_code == 200
            weak = DigestAuth("Aladdin", password, algorithms=["MD5"])  # lighttpd has no password for MD5
            assert (await over_pool(weak, pool, "GET", url)).status_code == 401

    runtime.run(body)


def test_each_kind_of_client_authenticates_to_apache(apache: str) -> None:
    auth, url = DigestAuth("Aladdin", PEOPLE["Aladdin"]), f"{apache}/digest/hello"
    with Client(auth=auth) as client:
        response = client.post(url, json={"a": 1})
        assert (response.status_code, [before.status_code for before in response.history]) == (200, [401])

    async def body(kind: type[AsyncClient]) -> None:
        async with kind(auth=auth) as client:
            response = await client.get(url)
            assert (response.status_code, response.text, response.history) == (200, "Hello, world", [])

    asyncio.run(body(AsyncClient))
    trio.run(body, TrioClient)


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with uvicorn("apps:app", "--app-dir", "tests/support") as port:
        yield f"http://127.0.0.1:{port}"


@each_runtime
def test_squid_forwards_for_each_user_as_it_does_for_curl(runtime: Runtime, squid: str, origin: str) -> None:
    user = "Aladdin"

    async def body() -> None:
        auth = DigestAuth(user, PEOPLE[user], proxy=True)
        async with runtime.pool(proxy=Proxy(squid)) as pool:
            for _ in range(12):  # one nonce is not valid for so many requests
                response = await over_pool(auth, pool, "POST", f"{origin}/echo?a=b", b"content")
                assert (response.status_code, response.body) == (200, b"content")
            refused = DigestAuth(user, "wrong", proxy=True)
            assert (await over_pool(refused, pool, "GET", origin)).status_code == 407

    runtime.run(body)
    assert by_curl(f"{origin}/hello", "-x", squid, "--proxy-digest", "-U", f"{user}:{PEOPLE[user]}") == 200
