"""The library of the examples, tested as its author would: on a simulated network, for tasks and for threads."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import httpcore
from httpcore.testing import ServerEnd, Simulation

sys.path.append(str(Path(__file__).resolve().parents[2]))

from examples.library import AsyncNotes, NoteMissing, Notes, NotesError

BASE = "http://notes.test/v1"


def answering(*responses: bytes) -> tuple[Callable[[ServerEnd], Awaitable[None]], list[bytes]]:
    """A server that sends one response after the other, over all connections; and the request lines that it
    received.
    """
    left, lines = iter(responses), []

    async def serve(peer: ServerEnd) -> None:
        while head := await peer.recv_until(b"\r\n\r\n"):
            lines.append(head.split(b"\r\n")[0])
            await peer.send(next(left))

    return serve, lines


def response(status: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def test_tasks_and_threads_send_the_same() -> None:
    lines = []
    for blocking in (False, True):
        simulation = Simulation()
        serve, seen = answering(response(b"200 OK", "größe".encode()), response(b"204 No Content"))
        simulation.listen("notes.test", 80, serve)
        if blocking:
            with simulation.blocking() as backend, Notes(BASE, backend=backend) as notes:
                assert notes.read("a/b") == "größe"
                notes.write("c", "text")
        else:

            async def main() -> None:
                async with AsyncNotes(BASE) as notes:
                    assert await notes.read("a/b") == "größe"
                    await notes.write("c", "")

            simulation.run(main())
        lines.append(seen)
    assert lines == [[b"GET /v1/a%2Fb HTTP/1.1", b"PUT /v1/c HTTP/1.1"]] * 2


def test_a_request_to_a_busy_store_is_retried_after_a_pause() -> None:
    simulation = Simulation()
    serve, lines = answering(response(b"503 Busy"), response(b"404 Not Found"))
    simulation.listen("notes.test", 80, serve)
    with simulation.blocking() as backend, Notes(BASE, backend=backend) as notes, pytest.raises(NoteMissing):
        notes.read("a")
    assert len(lines) == 2
    assert 0.1 <= simulation.now <= 0.2


def test_a_store_that_is_silent_is_an_error_of_the_library() -> None:
    async def silent(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.scheduler.sleep(3600)

    simulation = Simulation()
    simulation.listen("notes.test", 80, silent)
    expected = pytest.raises(NotesError, match=r"^GET of note 'a': .* \[phase: read the response head; .*; limit: 5;")
    with simulation.blocking() as backend, Notes(BASE, backend=backend) as notes, expected as caught:
        notes.read("a")
    assert isinstance(caught.value.__cause__, httpcore.ReadTimeout)
    assert simulation.now == 5.0
