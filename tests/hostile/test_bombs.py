"""A few bytes that decode to gigabytes, or cause hours of work: their cost, over a real socket, in each runtime."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import brotli
import pytest
import trio
from h2_frames import data, head
from runtimes import RUNTIMES, Runtime, each_runtime
from servers import Peer, ok
from test_h2_hostile import PRIOR, Hostile, HostileConnection
from trials import HostileServer, every_runtime_has_run, nothing_is_left_open, trial  # noqa: F401  # fixtures

import httpcore

OK = b"HTTP/1.1 200 OK\r\n"
MIB = 1024 * 1024
each_loop = pytest.mark.parametrize(
    "runtime", [runtime for runtime in RUNTIMES if runtime.name != "threads"], ids=lambda runtime: runtime.name
)
each_case = pytest.mark.parametrize("variant", ["read", "stream"])


@cache
def gigabytes(count: int = 8) -> bytes:
    """gzip in brotli: some hundred bytes that decode to gigabytes of zeros, with a wrong checksum."""
    coder, zeros = zlib.compressobj(9, wbits=31), bytes(16 * MIB)
    first, block = (coder.compress(zeros) + coder.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    body: bytes = brotli.compress(first + block * (64 * count - 1) + coder.flush(), quality=9, lgwin=24)
    assert len(body) < 2_000
    return ok(body, b"Content-Encoding: gzip, br")


async def used(pool: Any, url: str, variant: str, **more: Any) -> int:
    """The size of the content, read in the way that `variant` names."""
    if variant == "read":
        return len((await pool.request("GET", url, max_body=None, **more)).body)
    async with await pool.request("GET", url, stream=True, **more) as response:
        return sum([len(piece) async for piece in response.stream()])


# CPU time.

EMPTY_FRAME = b"\x28\xb5\x2f\xfd\x00\x68\x01\x00\x00"
STORED = b"\x00\x00\x00\xff\xff"
NOTHINGS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "padding in gzip in gzip": ("gzip, gzip", lambda: gzip.compress(gzip.compress(b"") + bytes(3 * MIB))),
    "padding in brotli in brotli": (
        "gzip, br, br",
        lambda: brotli.compress(brotli.compress(gzip.compress(b"") + bytes(256 * MIB), quality=5)),
    ),
    "members of one byte in brotli": ("gzip, br", lambda: brotli.compress(gzip.compress(b"x", mtime=0) * 100_000)),
    "empty frames in brotli": ("zstd, br", lambda: brotli.compress(EMPTY_FRAME * 100_000)),
    "empty blocks four times": (
        "deflate, gzip, br, gzip",
        lambda: gzip.compress(brotli.compress(gzip.compress(STORED * 3_000_000))),
    ),
}


@cache
def nothing(case: str) -> bytes:
    codings, make = NOTHINGS[case]
    coded = make()
    assert len(coded) <= 4096
    return ok(coded, b"Content-Encoding: " + codings.encode())


@pytest.mark.cpu_time
@each_runtime
@each_case
@pytest.mark.parametrize("case", NOTHINGS)
def test_a_body_of_4_kib_without_content_costs_50_ms(runtime: Runtime, case: str, variant: str) -> None:
    raw = nothing(case)

    async def body() -> float:
        with HostileServer(lambda peer: peer.send_and_stay(raw)) as server:
            async with trial(runtime, server) as pool:
                await pool.request("GET", server.url, stream=True)  # this loads the modules that are loaded only once
                costs = []
                for _ in range(3):
                    began = time.thread_time()
                    with pytest.raises(httpcore.DecodingError, match=r"is too large|too many"):
                        await used(pool, server.url, variant)
                    costs.append(time.thread_time() - began)
                return min(costs)

    assert runtime.run(body) < 0.05


# Turns.


async def within(runtime: Runtime, seconds: float, act: Callable[[], Awaitable[int]]) -> float:
    """The seconds until the caller's own timeout had ended `act`."""
    began = time.monotonic()
    if runtime.name == "trio":
        with trio.move_on_after(seconds) as scope:
            await act()
        assert scope.cancelled_caught
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await act()
    return time.monotonic() - began


@each_loop
@each_case
def test_a_callers_timeout_ends_the_decoding_of_gigabytes(runtime: Runtime, variant: str) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(gigabytes())) as server:
            async with trial(runtime, server) as pool:
                assert await within(runtime, 0.3, lambda: used(pool, server.url, variant)) < 1.0

    runtime.run(body)


@each_runtime
@each_case
def test_total_timeout_ends_the_decoding_of_gigabytes(runtime: Runtime, variant: str) -> None:
    limits = httpcore.TimeoutConfig(total_timeout=0.3)

    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(gigabytes())) as server:
            async with trial(runtime, server) as pool:
                began = time.monotonic()
                with pytest.raises(httpcore.TotalTimeout) as caught:
                    await used(pool, server.url, variant, timeout=limits)
                assert time.monotonic() - began < 1.0
                assert caught.value.phase == "read the response body"
                assert caught.value.url == f"{server.url}/"

    runtime.run(body)


@pytest.mark.cpu_time
@each_loop
@each_case
def test_other_tasks_run_while_gigabytes_are_decoded(runtime: Runtime, variant: str) -> None:
    """At most the CPU time of a few pieces passes between two turns of another task."""

    async def body() -> list[float]:
        turns: list[float] = []

        async def other() -> int:
            while time.monotonic() < ends:
                turns.append(time.thread_time())
                await runtime.sleep(0)
            return 0

        with HostileServer(lambda peer: peer.send_and_stay(gigabytes())) as server:
            async with trial(runtime, server) as pool:
                ends = time.monotonic() + 0.5
                await runtime.gather(
                    lambda: _ended(within(runtime, 0.5, lambda: used(pool, server.url, variant))), other
                )
        return turns

    turns = runtime.run(body)
    gaps = sorted(after - before for before, after in pairwise(turns))
    assert len(turns) > 100
    assert gaps[-3] < 0.03


async def _ended(act: Awaitable[float]) -> int:
    await act
    return 0


# Memory.


def memory(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def forget_peak() -> int:
    """Reset VmHWM. Returns the memory in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


@each_runtime
def test_read_of_gigabytes_takes_little_more_than_64_mib(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(gigabytes())) as server:
            async with trial(runtime, server) as pool:
                before = forget_peak()
                with pytest.raises(httpcore.LimitExceeded, match=r"more than 67,108,864.* max_body") as caught:
                    await pool.request("GET", server.url)
                assert caught.value.limit == 64 * MIB
                assert memory("VmHWM") - before < 112 * MIB  # this includes a window of 16 MiB and a growing buffer

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(("windows", "fits"), [(2, True), (3, False), (5, False)])
def test_the_windows_of_a_chain_take_no_more_than_32_mib(runtime: Runtime, windows: int, fits: bool) -> None:
    coded = bytes(48 * MIB)
    for _ in range(windows):
        coder = brotli.Compressor(lgwin=24, quality=1)
        coded = coder.process(coded) + coder.flush() + coder.finish()
    raw = ok(coded, b"Content-Encoding: " + b", ".join([b"br"] * windows))

    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(raw)) as server:
            async with trial(runtime, server) as pool:
                before = forget_peak()
                if fits:
                    assert await used(pool, server.url, "stream") == 48 * MIB
                else:
                    with pytest.raises(httpcore.DecodingError, match="windows of the content codings"):
                        await used(pool, server.url, "stream")
                assert memory("VmHWM") - before < 44 * MIB

    runtime.run(body)


# `max_body`.


def stalling(raw: bytes, done: Event) -> Callable[[Peer], None]:
    """Sends exactly these bytes, then nothing until the end of the test."""

    def act(peer: Peer) -> None:
        peer.send(raw)
        done.wait(20)

    return act


GZIP = b"Content-Encoding: gzip\r\n"
TOO_LARGE: dict[str, bytes] = {
    "declared": OK + b"Content-Length: 1001\r\n\r\n",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + bytes(1001) + b"\r\n",
    "until the end": OK + b"Connection: close\r\n\r\n" + bytes(1001),
    "decoded": OK + GZIP + b"Transfer-Encoding: chunked\r\n\r\n1d\r\n" + gzip.compress(bytes(5000))[:29] + b"\r\n",
    "coded and declared": OK + GZIP + b"Content-Length: 1001\r\n\r\n",
}


@each_runtime
@pytest.mark.parametrize("case", TOO_LARGE)
@pytest.mark.parametrize("where", ["pool", "request", "read"])
def test_a_body_beyond_max_body_is_refused_without_reading_it(runtime: Runtime, case: str, where: str) -> None:
    done = Event()

    async def fetch(pool: Any, url: str) -> None:
        if where == "read":
            await (await pool.request("GET", url, stream=True)).read()
        else:
            await pool.request("GET", url, **({"max_body": 1000} if where == "request" else {}))

    async def body() -> None:
        with HostileServer(stalling(TOO_LARGE[case], done)) as server:
            more = {} if where == "request" else {"max_body": 1000}
            async with trial(runtime, server, timeout=10, **more) as pool:
                began = time.monotonic()
                with pytest.raises(httpcore.LimitExceeded, match="max_body=1000") as caught:
                    await fetch(pool, server.url)
                assert time.monotonic() - began < 5
                assert caught.value.limit == 1000
                done.set()

    try:
        runtime.run(body)
    finally:
        done.set()


@each_runtime
def test_request_without_max_body_has_pools_and_none_is_no_limit(runtime: Runtime) -> None:
    raw = ok(gzip.compress(bytes(5000)), b"Content-Encoding: gzip")

    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(raw)) as server:
            async with trial(runtime, server, max_body=1000) as pool:
                for more in ({}, {"max_body": 999}, {"max_body": 4999}):
                    with pytest.raises(httpcore.LimitExceeded, match=f"max_body={more.get('max_body', 1000)} "):
                        await pool.request("GET", server.url, **more)
                for limit in (None, 5000, 10**12):
                    assert (await pool.request("GET", server.url, max_body=limit)).body == bytes(5000)
                async with await pool.request("GET", server.url, stream=True) as response:
                    assert sum([len(piece) async for piece in response.stream()]) == 5000

    runtime.run(body)


@each_runtime
def test_max_body_is_about_bodies_that_come(runtime: Runtime) -> None:
    """Content-Length in the answer to HEAD, and in 304, describes another body."""
    heads = iter([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 304 Not Modified\r\n"])

    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(next(heads) + b"Content-Length: 5000\r\n\r\n")) as server:
            async with trial(runtime, server, max_body=5) as pool:
                assert (await pool.request("HEAD", server.url)).body == b""
                assert (await pool.request("GET", server.url)).body == b""

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("value", [-1, 1.5, True, "1000", b"1"])
def test_a_max_body_that_is_no_size_is_refused_before_a_request(runtime: Runtime, value: Any) -> None:
    async def body() -> None:
        with pytest.raises((TypeError, ValueError), match=r"max_body: expected .*, got "):
            runtime.pool(max_body=value)
        async with runtime.pool() as pool:
            with pytest.raises((TypeError, ValueError), match=r"max_body: expected .*, got "):
                await pool.request("GET", "http://127.0.0.1:9/", max_body=value)
            assert pool.stats().connections == 0

    runtime.run(body)


# Bombs over HTTP/2, where the connection outlives a body that was given up.


@each_runtime
def test_over_http2_bomb_that_is_given_up_costs_its_stream_alone(runtime: Runtime) -> None:
    limits = httpcore.TimeoutConfig(5.0, total_timeout=0.3)
    bomb = gigabytes().partition(b"\r\n\r\n")[2]

    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream, (b"content-encoding", b"gzip, br")) + data(stream, bomb))  # the stream never ends

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, **PRIOR) as pool:
                for variant in ("read", "stream"):
                    with pytest.raises(httpcore.TotalTimeout):
                        await used(pool, server.url, variant, timeout=limits)
                with pytest.raises(httpcore.LimitExceeded, match="max_body=1000"):
                    await pool.request("GET", server.url, max_body=1000)
                assert (await pool.request("GET", server.url + "/clean")).body == b"clean"
                assert len(server.talks) == 1

    runtime.run(body)


@each_runtime
def test_over_http2_a_length_beyond_max_body_is_refused_at_head(runtime: Runtime) -> None:
    def act(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream, (b"content-length", b"1001")))

    def empty(talk: HostileConnection, stream: int) -> None:
        talk.send(head(stream, (b"content-length", b"1001")) + data(stream, b"", end=True))

    async def body() -> None:
        with Hostile(act) as server:
            async with trial(runtime, server, max_body=1000, **PRIOR) as pool:
                with pytest.raises(httpcore.LimitExceeded, match="declared to be 1,001 bytes"):
                    await pool.request("GET", server.url)
        with Hostile(empty) as server:
            async with trial(runtime, server, max_body=1000, **PRIOR) as pool:
                assert (await pool.request("HEAD", server.url)).body == b""

    runtime.run(body)
