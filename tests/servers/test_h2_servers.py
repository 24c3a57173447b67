"""HTTP/2 against widely used servers, in every runtime: nginx, nghttpd and hypercorn, over TLS and by prior
knowledge.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import psutil
import pytest
from real_servers import Ports, patterned
from runtimes import Runtime, each_runtime

import httpcore

SEED = 20_261_122
HUNDRED_MEGABYTES = 100_000_000
MIXED = (0, 1, 100, 16_384, 16_385, 65_536, 200_000)
KNOWS = {"http1": False}


class Real(NamedTuple):
    """A server, and the settings to connect to it."""

    name: str
    url: str
    port: int
    settings: dict[str, Any]


@pytest.fixture(
    scope="module",
    params=[f"{name}, {how}" for name in ("nginx", "nghttpd", "hypercorn") for how in ("TLS", "plain")],
)
def real(request: pytest.FixtureRequest, trusting_real: httpcore.SSLConfig) -> Real:
    name, _, how = request.param.partition(", ")
    ports: Ports = request.getfixturevalue(name)
    if how == "TLS":
        return Real(name, f"https://localhost:{ports.secure}", ports.secure, {"ssl": trusting_real})
    return Real(name, f"http://127.0.0.1:{ports.plain}", ports.plain, KNOWS)


@pytest.fixture(scope="module", params=["nginx", "nghttpd", "hypercorn"])
def secure(request: pytest.FixtureRequest, trusting_real: httpcore.SSLConfig) -> Real:
    """A server over TLS, for slow tests, which leave out plain connections."""
    ports: Ports = request.getfixturevalue(request.param)
    return Real(request.param, f"https://localhost:{ports.secure}", ports.secure, {"ssl": trusting_real})


def run(runtime: Runtime, body: Any, **settings: Any) -> None:
    async def main() -> None:
        async with runtime.pool(**{"timeout": 60, **settings}) as http:
            await body(http)
            stats = http.stats()
            assert (stats.leased, stats.waiting, stats.busy, stats.dialing) == (0, 0, 0, 0)

    runtime.run(main)


def sockets_to(port: int) -> int:
    """Connections of this process to that port, as the system counts them."""
    return sum(
        bool(found.raddr) and found.raddr.port == port and found.status == psutil.CONN_ESTABLISHED
        for found in psutil.Process().net_connections("tcp")
    )


@cache
def expected(size: int) -> bytes:
    return patterned(size)


@each_runtime
def test_small_requests_share_one_connection(runtime: Runtime, real: Real) -> None:
    async def body(http: Any) -> None:
        first = await http.request("GET", real.url + "/hello")
        assert (first.status_code, first.protocol, first.body) == (200, "HTTP/2", b"Hello, world")
        assert (b"content-length", b"12") in first.headers
        posted = await http.request("POST", real.url + "/echo", body=b"some bytes")
        assert (posted.status_code, posted.body) == (200, b"some bytes")
        head = await http.request("HEAD", real.url + "/hello")
        assert (head.status_code, head.body) == (200, b"")
        missing = await http.request("GET", real.url + ("/status?n=404" if real.name == "hypercorn" else "/size-none"))
        assert missing.status_code == 404
        for size in (0, 1, 65_536, 200_000):
            assert (await http.request("GET", f"{real.url}/size-{size}")).body == expected(size)
        assert head.info.reused
        assert (http.stats().connections, sockets_to(real.port)) == (1, 1)

    run(runtime, body, **real.settings)


@each_runtime
def test_bodies_of_every_kind_come_back(runtime: Runtime, real: Real) -> None:
    async def body(http: Any) -> None:
        text = expected(300_000)
        for given in (
            text,
            [text[:100_000], b"", text[100_000:]],
            (text[at : at + 7_000] for at in range(0, 300_000, 7_000)),
        ):
            assert (await http.request("POST", real.url + "/echo", body=given)).body == text
        assert (await http.request("POST", real.url + "/echo", body=b"")).body == b""

    run(runtime, body, **real.settings)


@each_runtime
def test_a_hundred_megabytes_go_up_and_come_down_in_flat_memory(runtime: Runtime, secure: Real) -> None:
    process = psutil.Process()

    def pieces() -> Iterator[bytes]:
        piece = expected(100_000)
        for _ in range(HUNDRED_MEGABYTES // len(piece)):
            yield piece

    async def received(response: Any) -> tuple[int, str, int]:
        digest, size, peak = hashlib.sha256(), 0, 0
        async for part in response.stream():
            digest.update(part)
            size += len(part)
            if size // 5_000_000 != (size - len(part)) // 5_000_000:
                peak = max(peak, process.memory_info().rss)
        return size, digest.hexdigest(), peak

    async def body(http: Any) -> None:
        await http.request("GET", secure.url + "/size-200000")
        before = process.memory_info().rss
        async with await http.request("GET", f"{secure.url}/size-{HUNDRED_MEGABYTES}", stream=True) as response:
            size, digest, peak = await received(response)
        assert (size, digest) == (HUNDRED_MEGABYTES, digest_of_the_file())
        assert peak - before < 30_000_000
        sent = digest_of(pieces())
        if secure.name == "nghttpd":
            async with await http.request("POST", secure.url + "/echo", body=pieces(), stream=True) as response:
                size, digest, peak = await received(response)
            assert (size, digest) == (HUNDRED_MEGABYTES, sent)
        else:
            response = await http.request("POST", secure.url + "/digest", body=pieces())
            assert response.body.decode() == f"{HUNDRED_MEGABYTES} {sent}"
            peak = process.memory_info().rss
        assert peak - before < 30_000_000
        assert (http.stats().connections, sockets_to(secure.port)) == (1, 1)

    run(runtime, body, **secure.settings)


def digest_of(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


@cache
def digest_of_the_file() -> str:
    piece = expected(251 * 400 * 10)
    whole, rest = divmod(HUNDRED_MEGABYTES, len(piece))
    return digest_of(iter([*[piece] * whole, piece[:rest]]))


@each_runtime
def test_a_thousand_requests_at_once_share_one_connection(runtime: Runtime, real: Real) -> None:
    """Responses of mixed sizes, in a random order."""
    sizes = random.Random(SEED).choices(MIXED, weights=(1, 4, 8, 2, 2, 1, 0.3), k=1000)

    async def body(http: Any) -> None:
        await http.request("GET", real.url + "/hello")

        async def one(size: int) -> bool:
            response = await http.request("GET", f"{real.url}/size-{size}")
            return bool(response.status_code == 200 and response.body == expected(size))

        results = await runtime.gather(*[lambda size=size: one(size) for size in sizes])
        assert results == [True] * 1000
        assert (http.stats().connections, sockets_to(real.port)) == (1, 1)

    run(runtime, body, **real.settings)


@each_runtime
def test_a_burst_to_a_new_origin_shares_one_connection(runtime: Runtime, real: Real) -> None:
    dialed: list[httpcore.TraceEvent] = []

    def trace(event: httpcore.TraceEvent) -> None:
        if isinstance(event, httpcore.DialStarted):
            dialed.append(event)

    async def body(http: Any) -> None:
        async def one(number: int) -> bytes:
            return bytes((await http.request("POST", real.url + "/echo", body=b"%d" % number)).body)

        results = await runtime.gather(*[lambda number=number: one(number) for number in range(80)])
        assert results == [b"%d" % number for number in range(80)]
        assert (http.stats().connections, sockets_to(real.port), len(dialed)) == (1, 1, 1)

    run(runtime, body, trace=trace, **real.settings)


@each_runtime
def test_trailers_come_after_the_body(runtime: Runtime, real: Real) -> None:
    async def body(http: Any) -> None:
        path = "/hello" if real.name == "nghttpd" else "/trailers"
        async with await http.request("GET", real.url + path, {"TE": "trailers"}, stream=True) as response:
            assert b"".join([part async for part in response.stream()]) == b"Hello, world"
            assert (b"x-word", b"fine") in response.trailers
        assert (b"x-word", b"fine") in (await http.request("GET", real.url + path, {"TE": "trailers"})).trailers

    run(runtime, body, **real.settings)


@each_runtime
def test_early_hints_come_before_the_response(
    runtime: Runtime, hypercorn: Ports, trusting_real: httpcore.SSLConfig
) -> None:
    seen: list[int] = []

    def trace(event: httpcore.TraceEvent) -> None:
        if isinstance(event, httpcore.InterimResponse):
            seen.append(event.status_code)

    async def body(http: Any) -> None:
        response = await http.request("GET", f"https://localhost:{hypercorn.secure}/hints")
        assert (response.status_code, response.body) == (200, b"Hello, world")
        (hints,) = response.informational
        assert hints.status_code == 103
        assert (b"link", b"</style.css>; rel=preload") in hints.headers
        assert seen == [103]

    run(runtime, body, ssl=trusting_real, trace=trace)


@each_runtime
def test_a_request_that_times_out_harms_no_other(runtime: Runtime, hypercorn: Ports) -> None:
    url = f"http://127.0.0.1:{hypercorn.plain}"

    async def body(http: Any) -> None:
        await http.request("GET", url + "/hello")

        async def long_wait() -> bytes:
            return bytes((await http.request("GET", url + "/slow")).body)

        async def short_wait() -> bytes:
            with pytest.raises(httpcore.ReadTimeout):
                await http.request("GET", url + "/slow", timeout=0.05)
            return b"gone"

        results = await runtime.gather(*[long_wait, short_wait] * 10)
        assert results == [b"at last", b"gone"] * 10
        assert (await http.request("GET", url + "/hello")).info.reused
        assert http.stats().connections == 1

    run(runtime, body, **KNOWS)


@each_runtime
def test_a_refused_upload_stops_and_has_its_reason(runtime: Runtime, nginx: Ports) -> None:
    """nginx sends 413 immediately after the head, or after the first megabyte."""
    url = f"http://127.0.0.1:{nginx.plain}"
    given = 0

    def pieces() -> Iterator[bytes]:
        nonlocal given
        for _ in range(1000):
            given += 100_000
            yield bytes(100_000)

    async def body(http: Any) -> None:
        nonlocal given
        for headers in ({"Content-Length": "100000000"}, None):
            given = 0
            response = await http.request("POST", url + "/small", headers, pieces())
            assert response.status_code == 413
            assert given < HUNDRED_MEGABYTES
        assert (await http.request("GET", url + "/hello")).body == b"Hello, world"
        assert http.stats().connections == 1

    run(runtime, body, **KNOWS)


@each_runtime
def test_server_that_takes_few_requests_a_connection_fails_none(runtime: Runtime, nginx: Ports) -> None:
    """nginx sends GOAWAY after `keepalive_requests`, 50 here, and closes when those are answered."""
    url = f"http://127.0.0.1:{nginx.tired}"
    opened: list[httpcore.TraceEvent] = []

    def trace(event: httpcore.TraceEvent) -> None:
        if isinstance(event, httpcore.ConnectionOpened):
            opened.append(event)

    async def body(http: Any) -> None:
        async def several(number: int) -> bool:
            return all(
                [
                    (await http.request("GET", f"{url}/size-{number * 100 % 200}")).body == expected(number * 100 % 200)
                    for _ in range(25)
                ]
            )

        assert await runtime.gather(*[lambda number=number: several(number) for number in range(20)]) == [True] * 20
        assert len(opened) >= 500 // 50

    run(runtime, body, trace=trace, **KNOWS)
