"""Injected faults: each raises the same error as a real server's fault, and the same run has the same faults."""

from __future__ import annotations

import time
from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from seam import entered, fetch
from servers import Peer, ScriptedServer, answering, free_port, ok

import httpcore
from httpcore import Fault

URL = "http://a.test/"


def below() -> httpcore.MockTransport:
    return httpcore.MockTransport(lambda *_: httpcore.Response(200, body=b"0123456789"))


def reset(peer: Peer) -> None:
    peer.head()
    peer.reset()


def silent(peer: Peer) -> None:
    peer.head()
    peer.rest()


def cut(peer: Peer) -> None:
    peer.head()
    peer.send(ok(b"0123456789")[:-6])


@each_runtime
@pytest.mark.parametrize(
    ("fault", "script"),
    [
        (Fault(error="refused"), None),
        (Fault(error="reset"), reset),
        (Fault(error="read timeout"), silent),
        (Fault(truncate=4), cut),
    ],
    ids=["refused", "reset", "read timeout", "cut"],
)
def test_a_fault_is_the_error_that_a_real_one_gives(runtime: Runtime, fault: Fault, script: Any) -> None:
    async def caught(transport: Any, url: str) -> httpcore.HTTPCoreError:
        with pytest.raises(httpcore.HTTPCoreError) as info:
            await fetch(runtime, transport, "GET", url, extensions={"timeout": 0.3})
        return info.value

    async def body() -> None:
        with ScriptedServer(script or answering()) as server:
            url = f"{server.url}/" if script else f"http://127.0.0.1:{free_port()}/"
            async with entered(runtime, httpcore.HTTPTransport()) as network:
                real = await caught(network, url)
            injected = await caught(httpcore.FaultInjection([fault], below()), url)
        for name in ("method", "url", "phase", "status_code", "safe_to_retry"):
            assert getattr(injected, name) == getattr(real, name), name
        assert type(injected) is type(real)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(
    ("fault", "url", "method", "status_code"),
    [
        (Fault(status=503), URL, "GET", 503),
        (Fault(status=503, pattern="https"), URL, "GET", 200),
        (Fault(status=503, pattern="all://a.test"), URL, "GET", 503),
        (Fault(status=503, pattern="all://b.test"), URL, "GET", 200),
        (Fault(status=503, method="POST"), URL, "GET", 200),
        (Fault(status=503, method="GET"), URL, "GET", 503),
        (Fault(status=503, probability=0), URL, "GET", 200),
        (Fault(status=503, times=0), URL, "GET", 200),
    ],
)
def test_a_fault_rule_applies_to_matching_requests(
    runtime: Runtime, fault: Fault, url: str, method: str, status_code: int
) -> None:
    async def body() -> None:
        assert (await fetch(runtime, httpcore.FaultInjection([fault], below()), method, url)).status_code == status_code

    runtime.run(body)


@each_runtime
def test_the_same_seed_gives_the_same_faults(runtime: Runtime) -> None:
    async def run(seed: int) -> list[int]:
        transport = httpcore.FaultInjection([Fault(status=503, probability=0.5)], below(), seed=seed)
        return [(await fetch(runtime, transport, "GET", URL)).status_code for _ in range(40)]

    async def body() -> None:
        first = await run(1)
        assert first == await run(1) != await run(2)
        assert 8 <= first.count(503) <= 32

    runtime.run(body)


@each_runtime
def test_a_fault_comes_after_its_latency(runtime: Runtime) -> None:
    async def body() -> None:
        began = time.monotonic()
        transport = httpcore.FaultInjection([Fault(latency=0.05, status=503, times=1)], below())
        assert [(await fetch(runtime, transport, "GET", URL)).status_code for _ in range(2)] == [503, 200]
        assert 0.045 <= time.monotonic() - began < 5

    runtime.run(body)


@each_runtime
def test_faults_test_the_retries_above_them(runtime: Runtime) -> None:
    async def body() -> None:
        faults = httpcore.FaultInjection([Fault(error="refused", times=2), Fault(status=503, times=1)], below())
        transport = httpcore.Retries(httpcore.RetryPolicy(backoff=0.001), faults)
        assert (await fetch(runtime, transport, "GET", URL)).body == b"0123456789"

    runtime.run(body)


@pytest.mark.parametrize(
    "named",
    [{}, {"error": "oops"}, {"status": 7}, {"latency": -1}, {"truncate": -1}, {"probability": 2, "status": 500},
     {"pattern": "x", "status": 500}, {"times": 1.5, "status": 500}],
)  # fmt: skip
def test_a_malformed_fault_rule_is_refused(named: Any) -> None:
    with pytest.raises((TypeError, ValueError, httpcore.LocalProtocolError), match=r"expected|allowed"):
        Fault(**named)
