"""What a trace callable is told, in which order and when, in the deterministic world."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import httpcore
from httpcore import (
    ConnectionClosed,
    ConnectionOpened,
    DialStarted,
    InterimResponse,
    RequestFailed,
    RequestQueued,
    RequestRetried,
    RequestSent,
    RequestStarted,
    ResponseComplete,
    ResponseStarted,
    TraceEvent,
)
from httpcore.testing import ServerEnd
from httpcore.testing import Simulation as World

ORIGIN = "http://a.test:80"
PEER = "a.test:80"
OK = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok"
OK_FIELDS = ((b"x-a", b"1"), (b"content-length", b"2"))


class Listener:
    def __init__(self) -> None:
        self.events: list[TraceEvent] = []

    def __call__(self, event: TraceEvent) -> None:
        self.events.append(event)

    def taken(self) -> list[TraceEvent]:
        """What was heard since the last time; the number and the time of each are left out."""
        events, self.events = self.events, []
        return [dataclasses.replace(event, at=0.0, request=0) for event in events]


async def serve(peer: ServerEnd) -> None:
    """Answers by path: /slow after 2 s, /hint behind a 103, /half and then nothing, /switch, /last and then leaves."""
    while True:
        path = (await peer.recv_until(b"\r\n\r\n")).split()[1]
        if path == b"/slow":
            await peer.scheduler.sleep(2)
        if path == b"/hint":
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        if path == b"/half":
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        elif path == b"/switch":
            await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        elif path == b"/only":
            await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        else:
            await peer.send(OK)
        if path == b"/last":
            await peer.recv_until(b"\r\n\r\n")
            peer.reset()
            return


def play(body: Callable[[httpcore.ConnectionPool, Listener], Awaitable[None]], **settings: Any) -> World:
    world = World(watches=False)
    world.listen("a.test", 80, serve, connect_delay=0.5)
    world.refuse("refused.test", 80)

    async def main() -> None:
        listener = Listener()
        async with httpcore.ConnectionPool(trace=listener, **settings) as pool:
            await body(pool, listener)

    world.run(main())
    return world


def started(path: str, method: str = "GET") -> RequestStarted:
    return RequestStarted(0.0, 0, method, f"http://a.test{path}")


ENGINE = f"httpcore {httpcore.__version__}"
DIALED = [DialStarted(0.0, 0, ORIGIN), ConnectionOpened(0.0, 0, ORIGIN, PEER, None, None, ENGINE)]
FIRST = RequestSent(0.0, 0, PEER, False)
AGAIN = RequestSent(0.0, 0, PEER, True)
ANSWERED = [ResponseStarted(0.0, 0, 200, OK_FIELDS), ResponseComplete(0.0, 0, 2)]


def test_a_request_on_a_new_connection_and_one_on_the_same() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/one")
        assert listener.taken() == [started("/one"), *DIALED, FIRST, *ANSWERED]
        await pool.request("POST", "http://a.test/two", body=b"x")
        assert listener.taken() == [started("/two", "POST"), AGAIN, *ANSWERED]

    play(body)


def test_times_are_those_of_the_clock_and_all_events_of_a_request_have_its_number() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/slow")
        assert [event.at for event in listener.events] == [0.0, 0.0, 0.5, 2.5, 2.5, 2.5]
        first = listener.events[0].request
        assert {event.request for event in listener.events} == {first}
        await pool.request("GET", "http://a.test/slow")
        assert {event.request for event in listener.events[6:]} == {first + 1}

    play(body)


def test_a_response_in_pieces_is_complete_at_its_end() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/half", stream=True)
        assert type(listener.taken()[-1]) is ResponseStarted
        with pytest.raises(httpcore.ReadTimeout):
            await response.read()
        closed, failed = listener.taken()
        assert isinstance(failed, RequestFailed)
        assert failed.error.startswith("ReadTimeout: ")
        assert closed == ConnectionClosed(0.0, 0, PEER, "reading the body ended with ReadTimeout")

    play(body)


def test_a_response_closed_early_says_what_it_cost() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/half", stream=True)
        listener.taken()
        await response.close()
        await response.close()
        assert listener.taken() == [ConnectionClosed(0.0, 0, PEER, "the response was closed early")]

    play(body)


def test_a_connection_that_the_server_calls_its_last_is_told_of() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/only")
        assert listener.taken()[-2:] == [
            ConnectionClosed(0.0, 0, PEER, "it cannot carry another exchange"),
            ResponseComplete(0.0, 0, 0),
        ]

    play(body)


def test_an_interim_response_comes_before_the_final_one() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/hint")
        hint = InterimResponse(0.0, 0, 103, ((b"link", b"</a>"),))
        assert listener.taken() == [started("/hint"), *DIALED, hint, FIRST, *ANSWERED]

    play(body)


def test_a_request_that_waits_for_a_connection_says_so() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/half", stream=True)
        listener.taken()
        with pytest.raises(httpcore.PoolTimeout):
            await pool.request("GET", "http://a.test/two", timeout=1)
        queued, failed = listener.taken()[1:]
        assert queued == RequestQueued(0.0, 0, ORIGIN)
        assert isinstance(failed, RequestFailed)
        assert failed.error.startswith("PoolTimeout: no connection to http://a.test:80 came free")
        await response.close()

    play(body, limits=httpcore.PoolLimits(max_connections=1))


def test_a_request_that_is_sent_again_tells_why() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/last")
        listener.taken()
        response = await pool.request("GET", "http://a.test/two")
        assert response.info.attempts == 2
        events = listener.taken()
        assert isinstance(events[1], RequestRetried)
        assert "reset" in events[1].reason
        assert events[:1] + events[2:] == [started("/two"), *DIALED, FIRST, *ANSWERED]

    play(body)


def test_a_failure_is_the_last_that_is_heard_of_a_request() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        with pytest.raises(httpcore.ConnectError) as caught:
            await pool.request("GET", "http://refused.test/")
        start, dial, failed = listener.taken()
        assert start == RequestStarted(0.0, 0, "GET", "http://refused.test/")
        assert dial == DialStarted(0.0, 0, "http://refused.test:80")
        assert failed == RequestFailed(0.0, 0, f"ConnectError: {caught.value}")

    play(body)


def test_a_request_that_is_cancelled_is_told_of() -> None:
    world = World()
    world.listen("a.test", 80, serve)
    listener = Listener()

    async def main() -> None:
        pool = httpcore.ConnectionPool(trace=listener)
        task = world.spawn(pool.request("GET", "http://a.test/slow"))
        await world.sleep(1)
        task.cancel()
        await task.wait()
        assert task.cancelled
        assert listener.taken()[-1] == RequestFailed(0.0, 0, "Cancelled: ")
        await pool.close()

    world.run(main())


def test_a_raw_stream_is_told_of_when_it_is_closed() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/switch", {"Upgrade": "x", "Connection": "upgrade"})
        events = listener.taken()
        assert isinstance(events[-1], ResponseStarted)
        assert events[-1].status_code == 101
        assert response.connection is not None
        response.connection.close()
        response.connection.close()
        assert listener.taken() == [ConnectionClosed(0.0, 0, PEER, "the raw stream was closed")]

    play(body)


def test_credentials_are_never_told() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://user:sesame@a.test/one", {"Authorization": "Basic sesame"})
        with pytest.raises(httpcore.ConnectError):
            await pool.request("GET", "http://user:sesame@refused.test/")
        assert "sesame" not in repr(listener.events)

    play(body)


def test_a_request_has_its_own_listener_instead_of_the_pools() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        own = Listener()
        await pool.request("GET", "http://a.test/one", trace=own)
        assert listener.taken() == []
        assert own.taken() == [started("/one"), *DIALED, FIRST, *ANSWERED]

    play(body)


def test_a_listener_may_ask_the_pool_since_it_is_called_under_no_lock() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        seen: list[tuple[str, int, int]] = []

        def ask(event: TraceEvent) -> None:
            stats = pool.stats()
            seen.append((type(event).__name__, stats.connections, stats.leased))

        await pool.request("GET", "http://a.test/one", trace=ask)
        assert seen == [
            ("RequestStarted", 0, 0),
            ("DialStarted", 1, 0),
            ("ConnectionOpened", 1, 1),
            ("RequestSent", 1, 1),
            ("ResponseStarted", 1, 1),
            ("ResponseComplete", 1, 0),
        ]

    play(body)


def test_arguments_that_cannot_be_sent_are_no_request() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        with pytest.raises(httpcore.InvalidURL):
            await pool.request("GET", "http://")
        assert listener.taken() == []

    play(body)


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FIRST.peer = "elsewhere"  # type: ignore[misc]


def test_every_kind_of_record_is_public_and_told_of_here() -> None:
    kinds = {kind.__name__ for kind in TraceEvent.__subclasses__()}
    assert kinds <= set(httpcore.__all__)
    assert kinds <= set(globals())
