"""HTTP/2 through the pool, against a scripted peer in the memory world."""

from __future__ import annotations

from typing import Any

import h2.events
import pytest

import httpcore
from h2_peer import H2Peer, Server, echo, play
from httpcore._backends.memory import World

URL = "http://a.test/"


def test_a_request_is_answered() -> None:
    async def main(pool: httpcore.ConnectionPool, server: Server) -> None:
        response = await pool.request("GET", URL + "hello", headers=[("X-One", "1")])
        assert (response.status_code, response.body, response.protocol) == (200, b"/hello", "HTTP/2")
        fields = server.peers[0].fields(1)
        assert fields == {":method": "GET", ":scheme": "http", ":authority": "a.test", ":path": "/hello", "x-one": "1"}
        again = await pool.request("GET", URL + "again")
        assert (again.body, again.info.reused, len(server.peers)) == (b"/again", True, 1)

    play(main, echo)
