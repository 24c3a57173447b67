"""A library written for the original API runs unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio
from original_client import NetworkFailure, Session, TimedOut, canned
from servers import ScriptedServer, free_port, uvicorn

each_loop = pytest.mark.parametrize("run", [lambda body: asyncio.run(body()), trio.run], ids=["asyncio", "trio"])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with uvicorn("apps:app", "--app-dir", "tests/support") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.servers
@each_loop
def test_the_original_client_makes_requests_of_every_kind(run: Any, url: str) -> None:
    async def generated() -> AsyncIterator[bytes]:
        yield b"one, "
        yield b"two"

    async def body() -> None:
        session = Session()
        answer = await session.send("GET", url + "/a?b=c", [("accept", "*/*")])
        assert (answer.status_code, answer.reason, answer.text) == (200, "OK", "Hello, GET /a")
        assert answer.headers["content-type"] == "text/plain"
        assert answer.response.is_closed
        assert (await session.send("POST", url + "/echo", data=b"bytes")).text == "bytes"
        assert (await session.send("POST", url + "/echo", data=generated())).text == "one, two"
        assert (await session.send("GET", url + "/gzip")).text == "Hello, world" * 1000
        assert session.pool.stats().connections == 1, "equal settings share the connection"
        await session.close()

    run(body)


@pytest.mark.servers
@each_loop
def test_the_original_client_streams_and_closes_early(run: Any, url: str) -> None:
    async def body() -> None:
        session = Session()
        answer = await session.send("GET", url + "/bytes?n=1000000", stream=True)
        assert not answer.response.is_closed
        assert sum([len(piece) async for piece in answer.pieces()]) == 1_000_000
        assert answer.response.is_closed
        answer = await session.send("GET", url + "/bytes?n=100000000", stream=True)
        await answer.close()
        assert answer.response.is_closed
        assert session.pool.stats().leased == 0
        await session.close()

    run(body)


@pytest.mark.servers
@each_loop
def test_a_small_streamed_body_is_read_after_the_pool_was_closed(run: Any, url: str) -> None:
    async def body() -> None:
        session = Session()
        answer = await session.send("GET", url + "/hello", stream=True)
        await session.close()
        assert b"".join([piece async for piece in answer.pieces()]) == b"Hello, world"

    run(body)


@each_loop
def test_original_except_clauses_catch_the_errors_they_name(run: Any) -> None:
    async def body() -> None:
        session = Session()
        with pytest.raises(NetworkFailure, match="Connection refused"):
            await session.send("GET", f"http://127.0.0.1:{free_port()}/")
        with ScriptedServer(lambda peer: peer.rest()) as silent:
            with pytest.raises(TimedOut, match="read"):
                await session.send("GET", silent.url, read_timeout=0.05)
            with pytest.raises(TimedOut, match="connect"):
                await session.send("GET", silent.url.replace("http", "https"), verify=False, connect_timeout=0.05)
        await session.close()

    run(body)


@each_loop
def test_a_response_made_by_a_library_is_like_a_received_one(run: Any) -> None:
    async def generated() -> AsyncIterator[bytes]:
        yield b"can"
        yield b"ned"

    async def body() -> None:
        answer = canned(404, b"canned")
        assert (answer.status_code, answer.reason, answer.text) == (404, "Not Found", "canned")
        assert answer.headers == {"x-canned": "yes"}
        assert answer.response.is_closed
        streamed = canned(200, generated())
        assert not streamed.response.is_closed
        assert [piece async for piece in streamed.pieces()] == [b"can", b"ned"]
        assert streamed.response.is_closed

    run(body)
