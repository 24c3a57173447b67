"""A middleware outside of this library: the one of examples/, under both entries and in a stack with the others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from runtimes import Runtime, each_runtime
from seam import entered, fetch
from servers import ScriptedServer, answering, ok

import httpcore

PROJECT = Path(__file__).resolve().parents[2]
sys.path.append(str(PROJECT))

from examples.middleware import Numbered  # noqa: E402


def test_the_example_is_short() -> None:
    assert len((PROJECT / "examples" / "middleware.py").read_text().splitlines()) < 30


@each_runtime
def test_a_third_partys_middleware_works_and_stacks(runtime: Runtime) -> None:
    async def body() -> None:
        seen: list[Any] = []
        sent: list[bytes] = []

        def handler(method: str, url: str, headers: Any, stream: Any, extensions: Any) -> httpcore.Response:
            sent.append(dict(headers)[b"X-Request-Id"])
            return httpcore.Response(503 if len(sent) == 1 else 200, body=b"x")

        below = Numbered(lambda *facts: seen.append(facts), httpcore.MockTransport(handler))
        policy = httpcore.RetryPolicy(backoff=0.001)
        stack = httpcore.HTTPSOnly(httpcore.Retries(policy, httpcore.ConcurrencyLimit(1, below)))
        fetched = await fetch(runtime, stack, "GET", "https://a.test/")
        assert (fetched.status_code, fetched.body) == (200, b"x")
        assert sent == [b"1", b"1, 2"] or sent == [b"1", b"2"]
        assert [status for _, status, _ in seen] == [503, 200]

    runtime.run(body)


@each_runtime
def test_a_third_partys_middleware_stands_over_the_network(runtime: Runtime) -> None:
    async def body() -> None:
        seen: list[Any] = []
        with ScriptedServer(answering(ok(b"one"), ok(b"two"))) as server:
            async with entered(runtime, Numbered(lambda *facts: seen.append(facts))) as transport:
                bodies = [(await fetch(runtime, transport, "GET", server.url)).body for _ in range(2)]
        assert bodies == [b"one", b"two"]
        assert [(number, status) for number, status, _ in seen] == [(1, 200), (2, 200)]

    runtime.run(body)
