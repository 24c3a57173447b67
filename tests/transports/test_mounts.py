"""Mounts, and the two transports that keep requests on https; httpx2 is the reference for the patterns it supports."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from runtimes import Runtime, each_runtime
from seam import entered, fetch
from servers import ScriptedServer, answering, ok

import httpcore

PATTERNS = [
    "all",
    "http",
    "https",
    "all://*",
    "all://example.com",
    "https://example.com",
    "http://*.example.com",
    "all://*example.com",
    "all://*.sub.example.com",
    "all://example.com:1234",
    "https://www.example.com",
    "all://*:8080",
    "http://10.0.0.1",
]
URLS = [
    f"{scheme}://{host}{port}/"
    for scheme in ("http", "https")
    for host in ("example.com", "www.example.com", "a.sub.example.com", "notexample.com", "other.test", "10.0.0.1")
    for port in ("", ":80", ":443", ":1234", ":8080")
]


def answering_with(name: str) -> httpcore.MockTransport:
    return httpcore.MockTransport(lambda *_: httpcore.Response(200, body=name))


def in_httpx(pattern: str) -> str:
    return pattern if "://" in pattern else f"{pattern}://"


@each_runtime
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_as_in_the_reference(runtime: Runtime, pattern: str) -> None:
    def reference(url: str) -> bool:
        mounted = httpx2.MockTransport(lambda request: httpx2.Response(200))
        rest = httpx2.MockTransport(lambda request: httpx2.Response(404))
        with httpx2.Client(transport=rest, mounts={in_httpx(pattern): mounted}) as client:
            return bool(client.get(url).status_code == 200)

    async def body() -> None:
        transport = httpcore.Mounts({pattern: answering_with("mounted")}, answering_with("rest"))
        for url in URLS if runtime.name == "threads" else URLS[:7]:
            assert ((await fetch(runtime, transport, "GET", url)).body == b"mounted") is reference(url), url

    runtime.run(body)


def test_the_most_specific_pattern_is_first_as_in_the_reference() -> None:
    """Each pair of patterns, given in both orders. Pairs that the reference keeps in the given order are left out, and
    so are pairs of a wildcard with a name, since the reference counts the "*." as part of the name's length.
    """
    checked = 0
    for one in PATTERNS:
        for other in PATTERNS:
            if one != other and not ("*" in one[:8] + other[:8] and ("." in one and "." in other)):
                checked += compare(one, other)
    assert checked > 500


def compare(one: str, other: str) -> int:
    def httpx(first: str, second: str, url: str) -> str:
        def named(name: str) -> httpx2.MockTransport:
            return httpx2.MockTransport(lambda request: httpx2.Response(200, text=name))

        mounts: Any = {in_httpx(first): named(first), in_httpx(second): named(second)}
        with httpx2.Client(transport=named("rest"), mounts=mounts) as client:
            return str(client.get(url).text)

    mounts = {name: answering_with(name) for name in (one, other)}
    transports = {id(transport): name for name, transport in mounts.items()}
    rest = answering_with("rest")
    checked = 0
    for url in URLS[::4]:
        found = {httpx(one, other, url), httpx(other, one, url)}
        if len(found) == 1:
            mine = httpcore.Mounts(mounts, rest).transport_for(url)
            assert transports.get(id(mine), "rest") in found, (one, other, url)
            checked += 1
    return checked


ORDER = [
    # The patterns that match http://www.example.com:1234/ , beginning with the most specific.
    "http://www.example.com:1234",
    "all://www.example.com:1234",
    "all://*.example.com:1234",
    "all://*:1234",
    "http://www.example.com",
    "all://www.example.com",
    "all://*www.example.com",
    "all://*.example.com",
    "all://*example.com",
    "http",
    "all",
]


@pytest.mark.parametrize("at", range(len(ORDER) - 1))
def test_the_order_of_patterns_is_this(at: int) -> None:
    mounts = {name: answering_with(name) for name in reversed(ORDER[at:])}
    if at == 7:  # equally specific patterns ("*." and "*" before the same name) keep the given order
        del mounts["all://*example.com"]
    assert httpcore.Mounts(mounts).transport_for("http://www.example.com:1234/") is mounts[ORDER[at]]


@pytest.mark.parametrize(
    "pattern",
    ["", "ftp", "ftp://x", "example.com", "http:/x", "all://a b", "all://x/y", "all://x:y", "all://*.", "all://u@h", 7],
)
def test_a_malformed_pattern_is_refused(pattern: Any) -> None:
    with pytest.raises(ValueError, match="mounts has the pattern"):
        httpcore.Mounts({pattern: answering_with("")})


@each_runtime
def test_a_request_that_nothing_is_mounted_for_is_refused(runtime: Runtime) -> None:
    async def body() -> None:
        transport = httpcore.Mounts({"https": answering_with("")})
        with pytest.raises(httpcore.UnsupportedProtocol, match=r"no mount matches http://a.test:80"):
            await fetch(runtime, transport, "GET", "http://a.test")

    runtime.run(body)


@each_runtime
def test_closing_mounts_closes_each_transport_once(runtime: Runtime) -> None:
    closed = []

    class Closing(httpcore.Transport):
        def close(self) -> None:
            closed.append(self)

    async def body() -> None:
        shared, own, rest = Closing(), Closing(), Closing()
        async with entered(runtime, httpcore.Mounts({"http": shared, "all://x": shared, "https": own}, rest)):
            assert closed == []
        assert closed == [shared, own, rest]

    runtime.run(body)


# Only https. The URLs are those of RFC 6797, section 8.3, and of its rule for ports.

REDIRECTED = [
    ("http://example.com", b"https://example.com/"),
    ("http://example.com/", b"https://example.com/"),
    ("http://example.com:80/", b"https://example.com/"),
    ("http://example.com:8080/a", b"https://example.com:8080/a"),
    ("http://example.com:443/", b"https://example.com:443/"),
    ("http://EXAMPLE.com/a/b?c=d#e", b"https://example.com/a/b?c=d"),
    ("http://[::1]:80/", b"https://[::1]/"),
    ("http://user:password@example.com/", b"https://example.com/"),
]


@each_runtime
@pytest.mark.parametrize(("url", "location"), REDIRECTED)
def test_http_is_redirected_to_https(runtime: Runtime, url: str, location: bytes) -> None:
    async def body() -> None:
        transport = httpcore.HTTPSRedirect(answering_with("below"))
        fetched = await fetch(runtime, transport, "POST", url, stream=b"body")
        assert fetched.status_code == 307
        assert fetched.headers == [(b"location", location), (b"content-length", b"0")]
        assert (await fetch(runtime, transport, "GET", location)).body == b"below"

    runtime.run(body)


@each_runtime
def test_https_only_refuses_http(runtime: Runtime) -> None:
    async def body() -> None:
        transport = httpcore.HTTPSOnlyTransport(answering_with("below"))
        with pytest.raises(httpcore.UnsupportedProtocol, match=r"url is http://a.test/: expected https"):
            await fetch(runtime, transport, "GET", "http://user:secret@a.test/")
        assert (await fetch(runtime, transport, "GET", "https://a.test/")).body == b"below"

    runtime.run(body)


@each_runtime
def test_mounts_send_one_host_to_an_app_and_others_to_network(runtime: Runtime) -> None:
    async def body() -> None:
        with ScriptedServer(answering(ok(b"network"))) as server:
            mounts = {"all://www.example.com": answering_with("app"), "http": httpcore.HTTPSRedirect()}
            transport = httpcore.Mounts({**mounts, "all://127.0.0.1": httpcore.HTTPTransport()})
            async with entered(runtime, transport):
                assert (await fetch(runtime, transport, "GET", "https://www.example.com/")).body == b"app"
                assert (await fetch(runtime, transport, "GET", server.url)).body == b"network"
                assert (await fetch(runtime, transport, "GET", "http://other.test/")).status_code == 307

    runtime.run(body)
