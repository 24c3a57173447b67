"""Requests of every kind, valid and invalid, on each runtime: `python -bb tests/support/strict_bytes.py URL`.

A comparison of bytes with text ends the program with a BytesWarning.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import sys
from typing import Any

import trio
from runtimes import ThreadsRuntime

import httpcore
from httpcore._sync import run

URL = sys.argv[1]

RIGHT: list[dict[str, Any]] = [
    {},
    {"method": b"PUT", "url": URL.encode(), "headers": {"a": "b"}, "body": "text"},
    {"headers": {b"A": b"b"}, "target": b"/x"},
    {"body": iter([b"a", bytearray(b"b"), memoryview(b"c")])},
    {"body": io.BytesIO(b"file")},
    {"body": b"x", "headers": [(b"Content-Length", "1"), ("Idempotency-Key", b"k")]},
    {"body": lambda: [b"x"], "trailers": lambda: {"x": "y"}},
    {"target": "*", "method": "OPTIONS"},
    {"headers": {"Connection": "close"}},
    {"stream": True, "body": b"x"},
    {"headers": [("Host", "a.test"), (b"Connection", "keep-alive"), ("TE", b"trailers")]},
]
WRONG: list[dict[str, Any]] = [
    {"url": "http://user:a@b/c@d:e"},
    {"url": b"http://\xff"},
    {"url": 5},
    {"url": "ftp://h"},
    {"method": b"a b"},
    {"method": 5},
    {"target": b"no"},
    {"headers": 5},
    {"headers": [("a", "b\n")]},
    {"headers": [(b"a b", b"c")]},
    {"headers": [("a", 5)]},
    {"headers": [(5, "a")]},
    {"headers": [5]},
    {"headers": {"Host": "a b"}},
    {"headers": {b"Content-Length": b"x"}},
    {"headers": [("Proxy-Authorization", "x")]},
    {"body": 5},
    {"body": [5]},
    {"trailers": [(b"Host", b"x")]},
    {"method": "CONNECT", "headers": [(b":protocol", b"websocket")]},
    {"method": "CONNECT", "headers": [(":protocol", "websocket")]},
    {"method": "CONNECT", "headers": [("a", "b")], "target": "a b"},
    {"ssl": 5},
    {"timeout": "5"},
    {"trace": 5},
]
POOLS: list[dict[str, Any]] = [
    {},
    {"proxy": URL},
    {"proxy": httpcore.Proxy(URL.encode(), auth=(b"u", "p"), headers=[("x", b"y")])},
    {"proxy": httpcore.proxies_from_environment({"http_proxy": URL, "no_proxy": "a.test,10.0.0.0/8"})},
    {"proxy": URL, "network_policy": httpcore.NetworkPolicy(allow=("127.0.0.0/8",))},
    {"resolver": httpcore.CachingResolver(), "resolve": {"a.test": "127.0.0.1"}, "trace": repr, "retries": 2},
]
refused: list[Exception] = []


async def send_request(pool: Any, given: dict[str, Any]) -> None:
    try:
        response = await pool.request(**{"method": "POST", "url": URL, **given})
        if given.get("stream"):
            assert [piece async for piece in response.stream()]
        assert f"{response!r} {pool!r} {response.is_closed} {response.info} {response.informational}"
    except (httpcore.HTTPCoreError, TypeError, ValueError) as error:
        refused.append(error)


async def visit(make: Any) -> None:
    for options in POOLS:
        async with make(**options) as pool:
            for given in [*RIGHT, *WRONG]:
                await send_request(pool, given)


async def read_by_hand() -> None:
    for coding in ("gzip", "deflate, gzip", "nothing"):
        response = httpcore.Response(200, headers={"Content-Encoding": coding}, body=gzip.compress(b"x"))
        try:
            await response.read()
        except httpcore.DecodingError as error:
            refused.append(error)


asyncio.run(visit(httpcore.ConnectionPool))
trio.run(visit, httpcore.ConnectionPool)
run(visit(ThreadsRuntime().pool))
run(read_by_hand())
assert all(f"{error} {error!r}" for error in refused)
assert len(refused) > 3 * len(POOLS) * 20
