"""The records that a trace receives, in which order and when, on a virtual clock."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from runtimes import Runtime, each_runtime
from scripted_proxy import CONNECT, EXCHANGE, TLS_ORIGIN, ScriptedProxy, server_context

import httpcore
from httpcore import (
    CloseReason,
    Connected,
    ConnectionClosed,
    ConnectionOpened,
    ConnectStarted,
    DialFailed,
    DialStarted,
    HeadSent,
    InterimResponse,
    LookupDone,
    LookupStarted,
    RequestCancelled,
    RequestClosed,
    RequestDropped,
    RequestEnded,
    RequestFailed,
    RequestQueued,
    RequestRetried,
    RequestSent,
    RequestStarted,
    ResponseComplete,
    ResponseStarted,
    ResponseUnusual,
    TLSDone,
    TLSStarted,
    TraceEvent,
    TunnelOpened,
    TunnelStarted,
)
from httpcore.testing import ServerEnd, Simulation

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
        """The records since the last call; the number and the time of each are left out."""
        events, self.events = self.events, []
        return [dataclasses.replace(event, at=0.0, request=0) for event in events]


async def serve(peer: ServerEnd) -> None:
    """Answers by path: /slow after 2 s, /hint after a 103, /half and then nothing, /switch, /last and then
    disconnects.
    """
    while True:
        path = (await peer.recv_until(b"\r\n\r\n")).split()[1]
        if path == b"/slow":
            await peer.scheduler.sleep(2)
        if path == b"/hint":
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        if path == b"/loose":
            await peer.send(b"HTTP/1.1 200 OK\nContent-Encoding: none\nContent-Length: 2\n\nok")
            return
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


async def never_answer(peer: ServerEnd) -> None:
    """Reads no further bytes and sends no answer."""
    await peer.recv(10)
    await peer.scheduler.sleep(1000)


async def answer_early(peer: ServerEnd) -> None:
    await peer.recv_until(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n")
    await peer.scheduler.sleep(1000)


async def answer_coded(peer: ServerEnd) -> None:
    coding = (await peer.recv_until(b"\r\n\r\n")).split()[1][1:]
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 2\r\n\r\nno" % coding)


def play(body: Callable[[httpcore.ConnectionPool, Listener], Awaitable[None]], **settings: Any) -> Simulation:
    runtime = Simulation(watches=False)
    runtime.listen("a.test", 80, serve, connect_delay=0.5)
    runtime.listen("b.test", 80, serve)
    runtime.listen("stuck.test", 80, never_answer, window=1000)
    runtime.listen("early.test", 80, answer_early, window=1000)
    runtime.listen("coded.test", 80, answer_coded)
    runtime.refuse("refused.test", 80)

    async def main() -> None:
        listener = Listener()
        async with httpcore.ConnectionPool(trace=listener, **settings) as pool:
            await body(pool, listener)

    runtime.run(main())
    return runtime


def started(path: str, method: str = "GET") -> RequestStarted:
    return RequestStarted(0.0, 0, method, f"http://a.test{path}")


ADDRESSES = ("a.test",)
ENGINE = f"httpcore {httpcore.__version__}"
CONNECTING = [LookupStarted(0.0, 0, "a.test"), LookupDone(0.0, 0, "a.test", ADDRESSES)]
DIALED = [
    DialStarted(0.0, 0, ORIGIN),
    *CONNECTING,
    ConnectStarted(0.0, 0, ADDRESSES, 80),
    Connected(0.0, 0, PEER),
    ConnectionOpened(0.0, 0, ORIGIN, PEER, None, None, ENGINE),
]
FIRST = [HeadSent(0.0, 0, PEER, False), RequestSent(0.0, 0, PEER, False)]
AGAIN = [HeadSent(0.0, 0, PEER, True), RequestSent(0.0, 0, PEER, True)]
ANSWERED = [ResponseStarted(0.0, 0, 200, OK_FIELDS), ResponseComplete(0.0, 0, 2)]


def test_new_and_reused_connections_have_their_records() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/one")
        assert listener.taken() == [started("/one"), *DIALED, *FIRST, *ANSWERED]
        await pool.request("POST", "http://a.test/two", body=b"x")
        assert listener.taken() == [started("/two", "POST"), *AGAIN, *ANSWERED]

    play(body)


def test_times_are_those_of_clock_and_events_have_their_request() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/slow")
        assert [event.at for event in listener.events] == [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 2.5, 2.5]
        first = listener.events[0].request
        assert {event.request for event in listener.events} == {first}
        await pool.request("GET", "http://a.test/slow")
        assert {event.request for event in listener.events[11:]} == {first + 1}

    play(body)


def test_unusual_facts_are_recorded_when_they_are_noticed() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/loose", stream=True)
        unusual = [event for event in listener.taken() if isinstance(event, ResponseUnusual | ResponseStarted)]
        fields = ((b"content-encoding", b"none"), (b"content-length", b"2"))
        assert unusual == [ResponseStarted(0.0, 0, 200, fields), ResponseUnusual(0.0, 0, ("line-end",))]
        assert await response.read() == b"ok"
        assert ResponseUnusual(0.0, 0, ("unknown-coding",)) in listener.taken()
        await pool.request("GET", "http://a.test/one")
        assert not [event for event in listener.taken() if isinstance(event, ResponseUnusual)]

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
        assert closed == ConnectionClosed(0.0, 0, PEER, CloseReason.TIMED_OUT)

    play(body)


def test_a_response_closed_early_has_its_figures() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/half", stream=True)
        listener.taken()
        await response.close()
        await response.close()
        assert listener.taken() == [
            ConnectionClosed(0.0, 0, PEER, "the response was closed early"),
            RequestClosed(0.0, 0, 4),
        ]

    play(body)


def test_a_last_response_of_a_connection_is_recorded() -> None:
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
        assert listener.taken() == [started("/hint"), *DIALED, *FIRST, hint, *ANSWERED]

    play(body)


def test_a_request_that_waits_for_a_connection_records_it() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/half", stream=True)
        listener.taken()
        with pytest.raises(httpcore.PoolTimeout):
            await pool.request("GET", "http://a.test/two", timeout=1)
        queued, failed = listener.taken()[1:]
        assert queued == RequestQueued(0.0, 0, ORIGIN)
        assert isinstance(failed, RequestFailed)
        assert failed.error.startswith("PoolTimeout: no connection to http://a.test:80 became free")
        await response.close()

    play(body, limits=httpcore.PoolLimits(max_connections=1))


def test_a_request_that_is_sent_again_records_why() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/last")
        listener.taken()
        response = await pool.request("GET", "http://a.test/two")
        assert response.info.attempts == 2
        events = listener.taken()
        retried = events.pop(4)
        assert isinstance(retried, RequestRetried)
        assert "reset" in retried.reason
        assert isinstance(retried.exception, httpcore.ReadError)
        closed = ConnectionClosed(0.0, 0, PEER, CloseReason.FAILED)
        assert events == [started("/two"), *AGAIN, closed, *DIALED, *FIRST, *ANSWERED]

    play(body)


def test_a_failure_is_the_last_record_of_a_request() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        with pytest.raises(httpcore.ConnectError) as caught:
            await pool.request("GET", "http://refused.test/")
        start, dial, *_, reverted, failed = listener.taken()
        assert start == RequestStarted(0.0, 0, "GET", "http://refused.test/")
        assert dial == DialStarted(0.0, 0, "http://refused.test:80")
        assert isinstance(reverted, DialFailed)
        assert failed == RequestFailed(0.0, 0, f"ConnectError: {caught.value}")
        assert isinstance(failed, RequestFailed)
        assert failed.exception is reverted.exception is caught.value

    play(body)


def test_a_cancelled_request_is_recorded() -> None:
    runtime = Simulation()
    runtime.listen("a.test", 80, serve)
    listener = Listener()

    async def main() -> None:
        pool = httpcore.ConnectionPool(trace=listener)
        task = runtime.spawn(pool.request("GET", "http://a.test/slow"))
        await runtime.sleep(1)
        task.cancel()
        await task.wait()
        assert task.cancelled
        assert listener.taken()[-1] == RequestCancelled(0.0, 0, "Cancelled: ")
        await pool.close()

    runtime.run(main())


def test_a_raw_stream_is_recorded_when_it_is_closed() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/switch", {"Upgrade": "x", "Connection": "upgrade"})
        events = listener.taken()
        assert isinstance(events[-1], ResponseStarted)
        assert events[-1].status_code == 101
        assert response.connection is not None
        response.connection.close()
        response.connection.close()
        assert listener.taken() == [
            ConnectionClosed(0.0, 0, PEER, "the raw stream was closed"),
            RequestClosed(0.0, 0, 0),
        ]

    play(body)


def test_credentials_are_never_recorded() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://user:sesame@a.test/one", {"Authorization": "Basic sesame"})
        with pytest.raises(httpcore.ConnectError):
            await pool.request("GET", "http://user:sesame@refused.test/")
        assert "sesame" not in repr(listener.events)

    play(body)


def test_the_traces_of_pool_and_request_are_both_called() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        own = Listener()
        await pool.request("GET", "http://a.test/one", trace=own)
        assert listener.events == own.events
        assert own.taken() == [started("/one"), *DIALED, *FIRST, *ANSWERED]

    play(body)


def test_a_listener_may_use_the_pool_since_no_lock_is_held() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        seen: list[tuple[str, int, int]] = []

        def send_request(event: TraceEvent) -> None:
            stats = pool.stats()
            seen.append((type(event).__name__, stats.connections, stats.leased))

        await pool.request("GET", "http://a.test/one", trace=send_request)
        assert seen == [
            ("RequestStarted", 0, 0),
            *[(kind, 1, 0) for kind in ("DialStarted", "LookupStarted", "LookupDone", "ConnectStarted", "Connected")],
            ("ConnectionOpened", 1, 1),
            ("HeadSent", 1, 1),
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
        DIALED[0].at = 1.0  # type: ignore[misc]


def all_kinds(kind: type[TraceEvent]) -> set[type[TraceEvent]]:
    return {kind}.union(*map(all_kinds, kind.__subclasses__()))


def test_every_kind_of_record_is_public_and_tested_here() -> None:
    kinds = {kind.__name__ for kind in all_kinds(TraceEvent)}
    assert kinds <= set(httpcore.__all__)
    assert kinds - {"EngineDifference"} <= set(globals())  # EngineDifference has its own tests


def test_a_tag_is_in_all_records_of_its_request() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        tag = object()
        await pool.request("GET", "http://a.test/only", tag=tag)
        assert {event.tag for event in listener.events} == {tag}

    play(body)


def test_the_request_number_is_on_the_response_and_the_error() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/one")
        assert response.info.request_number == listener.events[0].request
        listener.taken()
        with pytest.raises(httpcore.ConnectError) as caught:
            await pool.request("GET", "http://refused.test/")
        assert caught.value.request_number == listener.events[0].request == response.info.request_number + 1

    play(body)


def test_a_dropped_response_has_a_last_record() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("GET", "http://a.test/half", stream=True)
        listener.taken()
        with pytest.warns(ResourceWarning, match="dropped unread"):
            del response
        gc.collect()
        assert listener.taken() == [RequestDropped(0.0, 0, 4)]
        pool.stats()
        assert listener.taken() == [ConnectionClosed(0.0, 0, PEER, CloseReason.DROPPED)]

    play(body)


def test_a_stuck_upload_and_a_silent_server_look_different() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        with pytest.raises(httpcore.WriteTimeout):
            await pool.request("POST", "http://stuck.test/", body=bytes(1_000_000), timeout=1)
        kinds = [type(event) for event in listener.taken()]
        assert HeadSent in kinds
        assert RequestSent not in kinds
        with pytest.raises(httpcore.ReadTimeout):
            await pool.request("POST", "http://stuck.test/", body=b"x", timeout=1)
        kinds = [type(event) for event in listener.taken()]
        assert kinds.index(HeadSent) < kinds.index(RequestSent)

    play(body)


def test_an_upload_cut_short_by_an_early_answer_is_marked() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        response = await pool.request("POST", "http://early.test/", body=bytes(1_000_000))
        assert response.status_code == 413
        sent = [event.complete for event in listener.events if isinstance(event, RequestSent)]
        assert sent == [False]

    play(body)


def test_unusual_facts_of_a_response_are_recorded() -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://coded.test/nothing")
        assert any(isinstance(event, ResponseUnusual) for event in listener.events)

    play(body)


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_a_body_that_fails_to_be_read_is_no_complete_one(coding: str) -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        with pytest.raises((httpcore.DecodingError, httpcore.LimitExceeded)) as caught:
            await pool.request("GET", f"http://coded.test/{coding}", max_body=1)
        ended = [event for event in listener.events if isinstance(event, RequestEnded)]
        assert [type(event) for event in ended] == [RequestFailed]
        assert ended[0].exception is caught.value

    play(body)


async def leave_to_another(pool: httpcore.ConnectionPool) -> None:
    await pool.request("GET", "http://a.test/one")
    await pool.request("GET", "http://b.test/one")


async def close_pool(pool: httpcore.ConnectionPool) -> None:
    await pool.request("GET", "http://a.test/one")
    await pool.close()


CLOSES = {
    CloseReason.EVICTED: leave_to_another,
    CloseReason.POOL_CLOSED: close_pool,
}


@pytest.mark.parametrize("reason", CLOSES)
def test_an_unused_connection_records_why_it_closed(reason: CloseReason) -> None:
    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await CLOSES[reason](pool)
        closes = [event for event in listener.taken() if isinstance(event, ConnectionClosed)]
        assert closes == [ConnectionClosed(0.0, 0, PEER, reason)]

    play(body, limits=httpcore.PoolLimits(max_connections=1))


def test_a_connection_idle_for_too_long_records_it() -> None:
    runtime = Simulation()
    runtime.listen("a.test", 80, serve)
    listener = Listener()

    async def main() -> None:
        async with httpcore.ConnectionPool(trace=listener) as pool:
            await pool.request("GET", "http://a.test/one")
            await runtime.sleep(31)
            pool.stats()
            close = listener.events[-1]
            assert isinstance(close, ConnectionClosed)
            assert (close.request, close.reason) == (0, CloseReason.EXPIRED)

    runtime.run(main())


def test_a_traces_exception_at_a_close_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    def trace(event: TraceEvent) -> None:
        if isinstance(event, ConnectionClosed):
            raise ValueError("no")

    async def body(pool: httpcore.ConnectionPool, listener: Listener) -> None:
        await pool.request("GET", "http://a.test/only", trace=trace)
        assert "ValueError: no" in capsys.readouterr().err

    play(body)


@each_runtime
def test_tunnel_and_tls_have_records_on_one_clock(runtime: Runtime, tmp_path: Path) -> None:
    """Over real sockets: a proxy, a tunnel through it, and TLS with the origin."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = server_context(authority.issue_cert("secure.test"), "http/1.1")
    listener = Listener()
    ssl = httpcore.SSLConfig(verify=str(tmp_path / "authority.pem"))

    async def body() -> None:
        before = time.monotonic()
        with ScriptedProxy((CONNECT, TLS_ORIGIN, EXCHANGE), origin=context) as proxy:
            async with runtime.pool(ssl, proxy=f"http://u:sesame@127.0.0.1:{proxy.port}", trace=listener) as pool:
                await pool.request("GET", "https://secure.test/")
        assert all(before <= event.at <= time.monotonic() for event in listener.events)
        by = f"http://127.0.0.1:{proxy.port}"
        events = [type(event) for event in listener.events]
        place = events.index(Connected)
        tunnel = [TunnelStarted(0.0, 0, by), TunnelOpened(0.0, 0, by)]
        secured = [TLSStarted(0.0, 0, "secure.test"), TLSDone(0.0, 0, "secure.test", "TLSv1.3", "http/1.1")]
        assert "sesame" not in repr(listener.events)
        assert listener.taken()[place + 1 : place + 5] == [*tunnel, *secured]

    runtime.run(body)
