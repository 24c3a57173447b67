"""HSTS, by RFC 6797: the meaning of a header, its hosts, its lifetime, and the resulting URLs."""

from __future__ import annotations

from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from seam import fetch

import httpcore

# Values, by the grammar of section 6.1 and the examples of section 6.2: seconds and includeSubDomains, or None.
VALUES: list[tuple[str, tuple[int, bool] | None]] = [
    ("max-age=31536000", (31536000, False)),
    ("max-age=15768000 ; includeSubDomains", (15768000, True)),
    ('max-age="31536000"', (31536000, False)),
    ("max-age=0", (0, False)),
    ("max-age=0; includeSubDomains", (0, True)),
    ("MAX-AGE=1;INCLUDESUBDOMAINS", (1, True)),
    ("includeSubDomains; max-age=1", (1, True)),
    ("max-age=1; preload", (1, False)),
    ("max-age=1; future=thing", (1, False)),
    ('max-age=1; future="a; b"', (1, False)),
    ('max-age=1; future="a\\"; includeSubDomains"', (1, False)),
    ("; max-age=1 ;;", (1, False)),
    ("max-age = 1", (1, False)),
    ("max-age=1\t;\tincludeSubDomains", (1, True)),
    ("max-age=99999999999999999999", (316224000, False)),
    ("", None),
    ("max-age", None),
    ("max-age=", None),
    ("max-age=x", None),
    ("max-age=-1", None),
    ("max-age=1.5", None),
    ("max-age=1 2", None),
    ('max-age="1', None),
    ("max-age=1; max-age=2", None),
    ("max-age=1; includeSubDomains; includeSubDomains", None),
    ("max-age=1; includeSubDomains=yes", None),
    ("max-age=1, includeSubDomains", None),
    ("includeSubDomains", None),
    ("max-age=\u0661", None),
    ("max-age=1; =2", None),
]


class Site:
    """Answers every request, for https with the header that is set, and records the requests."""

    def __init__(self) -> None:
        self.header: Any = None
        self.urls: list[str] = []

    def __call__(self, method: str, url: str, headers: Any, stream: Any, extensions: Any) -> httpcore.Response:
        self.urls.append(url)
        fields = self.header if isinstance(self.header, list) else [self.header] if self.header is not None else []
        return httpcore.Response(200, headers=[("Strict-Transport-Security", value) for value in fields])


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


async def visit(runtime: Runtime, transport: Any, site: Site, url: str, header: Any = None) -> str:
    """The URL that reached the site."""
    site.header = header
    await fetch(runtime, transport, "GET", url)
    return site.urls[-1]


@each_runtime
@pytest.mark.parametrize(("value", "demand"), VALUES)
def test_each_hsts_header_has_its_effect(runtime: Runtime, value: str, demand: tuple[int, bool] | None) -> None:
    async def body() -> None:
        site, clock = Site(), Clock()
        transport = httpcore.HSTS(httpcore.MockTransport(site), clock=clock)
        await visit(runtime, transport, site, "https://a.test/", value.encode())
        age, below = demand or (0, False)
        is_known = age > 0
        assert await visit(runtime, transport, site, "http://a.test/x") == f"http{'s' * is_known}://a.test/x"
        assert (
            await visit(runtime, transport, site, "http://b.a.test/") == f"http{'s' * (is_known and below)}://b.a.test/"
        )
        clock.now += age - 1
        assert (await visit(runtime, transport, site, "http://a.test/")).startswith("https") is is_known
        clock.now += 1
        assert await visit(runtime, transport, site, "http://a.test/") == "http://a.test/"

    runtime.run(body)


# Section 8.3: the resulting URL for a known host.
@each_runtime
@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://a.test", "https://a.test/"),
        ("http://A.test./", "https://a.test./"),
        ("http://a.test:80/", "https://a.test/"),
        ("http://a.test:8080/x?y", "https://a.test:8080/x?y"),
        ("http://a.test:443/", "https://a.test/"),
        ("https://a.test/", "https://a.test/"),
        ("http://other.test/", "http://other.test/"),
        ("http://a.test.other/", "http://a.test.other/"),
        ("http://nota.test/", "http://nota.test/"),
    ],
)
def test_the_url_of_a_known_host_becomes_https(runtime: Runtime, url: str, sent: str) -> None:
    async def body() -> None:
        site = Site()
        transport = httpcore.HSTSTransport(httpcore.MockTransport(site), preload=["A.test"])
        assert await visit(runtime, transport, site, url) == sent

    runtime.run(body)


@each_runtime
def test_a_header_is_for_its_host_and_perhaps_its_subdomains(runtime: Runtime) -> None:
    async def body() -> None:
        site = Site()
        transport = httpcore.HSTS(httpcore.MockTransport(site))
        await visit(runtime, transport, site, "http://a.test/", b"max-age=9")  # section 8.1: ignored over http
        assert await visit(runtime, transport, site, "http://a.test/") == "http://a.test/"
        for host in ("127.0.0.1", "[::1]"):  # section 8.1.1: an IP address is no known host
            await visit(runtime, transport, site, f"https://{host}/", b"max-age=9; includeSubDomains")
            assert await visit(runtime, transport, site, f"http://{host}/") == f"http://{host}/"
        await visit(runtime, transport, site, "https://a.test/", [b"max-age=0", b"max-age=9"])  # the first counts
        assert await visit(runtime, transport, site, "http://a.test/") == "http://a.test/"
        await visit(runtime, transport, site, "https://a.test/", [b"max-age=9", b"max-age=0"])
        assert await visit(runtime, transport, site, "http://a.test/") == "https://a.test/"
        await visit(runtime, transport, site, "https://a.test/", b"max-age=oops")  # an invalid field changes nothing
        assert await visit(runtime, transport, site, "http://a.test/") == "https://a.test/"
        await visit(runtime, transport, site, "https://a.test/", b"max-age=0")
        assert await visit(runtime, transport, site, "http://a.test/") == "http://a.test/"

    runtime.run(body)


@each_runtime
def test_a_subdomain_does_not_forget_its_parent_domain(runtime: Runtime) -> None:
    async def body() -> None:
        site = Site()
        transport = httpcore.HSTS(httpcore.MockTransport(site))
        await visit(runtime, transport, site, "https://a.test/", b"max-age=9; includeSubDomains")
        await visit(runtime, transport, site, "https://b.a.test/", b"max-age=0")
        assert await visit(runtime, transport, site, "http://b.a.test/") == "https://b.a.test/"

    runtime.run(body)
