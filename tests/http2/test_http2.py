"""HTTP/2 through the pool, against a scripted peer in the memory runtime."""

from __future__ import annotations

import gc
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import h2.events
import pytest
from h2_peer import H2Peer, Server, echo, play, text_fields

import httpcore
from httpcore._errors import Code
from httpcore._http2.exchange import HTTP2Exchange
from httpcore.testing import Simulation as Runtime
from httpcore.testing import at_every_await as at_every_point

Pool = httpcore.ConnectionPool
URL = "http://a.test/"
WINDOW = 1 << 20  # our window for one stream
RUNTIMES: list[Callable[[], Runtime]] = [
    Runtime,
    lambda: Runtime(checkpoints=False),
    lambda: Runtime(watches=False, max_read=777),
]
each_kind = pytest.mark.parametrize("make", RUNTIMES, ids=["as trio, watched", "as asyncio", "unwatched, small reads"])


async def together(runtime: Runtime, *coros: Any) -> list[Any]:
    """Run all coroutines at once. Return their results in order, with errors as values."""
    tasks = [runtime.spawn(coro) for coro in coros]
    for task in tasks:
        await task.wait()
    return [task.error or task.result() for task in tasks]


async def let_peers_read(server: Server) -> None:
    """Let the peers read the sent bytes."""
    await server.peers[0].end.scheduler.sleep(0.001)


def windows_are_whole(peer: H2Peer) -> bool:
    """The peer may send as much as at the beginning, except for credit that is returned half a window at a time."""
    return bool(peer.h2.outbound_flow_control_window >= (1 << 24) // 2)


# Requests and responses.


@each_kind
def test_a_request_is_answered_and_the_next_uses_the_connection(make: Callable[[], Runtime]) -> None:
    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("GET", URL + "hello", headers=[("X-One", "1"), ("Connection", "close")])
        assert (response.status_code, response.body, response.protocol) == (200, b"/hello", "HTTP/2")
        fields = server.peers[0].fields(1)
        assert fields == {":method": "GET", ":scheme": "http", ":authority": "a.test", ":path": "/hello", "x-one": "1"}
        again = await pool.request("GET", URL + "again")
        assert (again.body, again.info.reused, len(server.peers)) == (b"/again", True, 1)
        assert (pool.stats().idle, pool.stats().leased) == (1, 0)

    play(main, echo, runtime=make())


def test_the_preface_the_head_and_a_small_body_are_one_write() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        data = await peer.end.recv()
        assert data.startswith(b"PRI * HTTP/2.0")
        events = peer.h2.receive_data(data)
        assert [type(event).__name__ for event in events if getattr(event, "stream_id", 0)] == [
            "RequestReceived",
            "DataReceived",
            "StreamEnded",
        ]
        await peer.answer(1)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        assert (await pool.request("POST", URL, body=b"small")).body == b"ok"

    play(main, serve)


def test_a_hundred_requests_share_one_connection_and_few_writes() -> None:
    reads = []

    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        while True:
            before = len(peer.seen)
            await peer.more()
            fresh = [event for event in peer.seen[before:] if isinstance(event, h2.events.StreamEnded)]
            reads.append(len(fresh))
            for event in fresh:
                peer.h2.send_headers(event.stream_id, [(":status", "200")])
                peer.h2.send_data(event.stream_id, peer.path(event.stream_id).encode(), end_stream=True)
            await peer.flush()

    async def main(pool: Pool, server: Server) -> None:
        responses = await together(runtime, *[pool.request("GET", f"{URL}{n}") for n in range(100)])
        assert [response.body for response in responses] == [b"/%d" % n for n in range(100)]
        assert len(server.peers) == 1
        assert len([count for count in reads if count]) < 10

    runtime = Runtime(checkpoints=False)
    play(main, serve, runtime=runtime)


@each_kind
def test_trailers_go_in_both_directions(make: Callable[[], Runtime]) -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.whole()
        sent = next(event for event in peer.seen if isinstance(event, h2.events.TrailersReceived))
        assert text_fields(sent.headers) == {"x-sum": "5"}
        assert peer.body(stream) == b"hello"
        await peer.head(stream)
        await peer.data(stream, b"ok")
        await peer.trailers(stream, ("x-end", "yes"))
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("POST", URL, body=iter([b"hel", b"lo"]), trailers=[("X-Sum", "5")])
        assert (response.body, response.trailers) == (b"ok", [(b"x-end", b"yes")])

    play(main, serve, runtime=make())


def test_interim_responses_are_on_the_response_and_in_the_trace() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.whole()
        peer.h2.send_headers(stream, [(":status", "103"), ("link", "</style.css>")])
        await peer.flush()
        await peer.answer(stream)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        received: list[Any] = []
        response = await pool.request("GET", URL, trace=received.append)
        assert response.informational == [(103, [(b"link", b"</style.css>")])]
        assert [event.status_code for event in received if isinstance(event, httpcore.InterimResponse)] == [103]

    play(main, serve)


@pytest.mark.parametrize("go", [True, False], ids=["100", "401"])
def test_body_that_waits_for_100_continue_is_sent_only_after_it(go: bool) -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.request()
        assert peer.body(stream) == b""
        if go:
            await peer.head(stream, [(":status", "100")])
            await peer.whole()
            await peer.answer(stream, peer.body(stream))
        else:
            await peer.answer(stream, b"no", 401)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("POST", URL, headers=[("Expect", "100-continue")], body=b"hello")
        assert (response.status_code, response.body) == ((200, b"hello") if go else (401, b"no"))
        await let_peers_read(server)
        assert server.peers[0].resets() == ({} if go else {1: Code.NO_ERROR})

    play(main, serve)


# A response closed early sends RST_STREAM(CANCEL), and the connection gets its credit back.


@each_kind
def test_response_closed_early_resets_its_stream_and_is_credited(make: Callable[[], Runtime]) -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        for _ in range(40):  # without the credit, these would exceed the connection's window
            stream = await peer.whole()
            await peer.head(stream)
            while stream not in peer.resets():
                size = min(peer.h2.local_flow_control_window(stream), 16384)
                if not size:
                    await peer.more()
                    continue
                await peer.data(stream, bytes(size))
        stream = await peer.whole()
        await peer.answer(stream)
        await peer.linger()
        assert windows_are_whole(peer)

    async def main(pool: Pool, server: Server) -> None:
        for _ in range(40):
            response = await pool.request("GET", URL, stream=True)
            async for piece in response.raw():
                assert piece
                break
            await response.close()
        assert (await pool.request("GET", URL)).body == b"ok"
        assert len(server.peers) == 1
        assert set(server.peers[0].resets().values()) == {Code.CANCEL}

    play(main, serve, runtime=make(), place={"window": 1 << 22})


def test_late_data_of_a_closed_response_is_credited_too() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        for _ in range(30):
            stream = await peer.whole()
            await peer.head(stream)
            await peer.data(stream, bytes(900_000))
        stream = await peer.whole()
        await peer.answer(stream)
        await peer.linger()
        assert windows_are_whole(peer)

    async def main(pool: Pool, server: Server) -> None:
        for _ in range(30):
            response = await pool.request("GET", URL, stream=True)
            await response.close()
            await runtime.sleep(1)
        assert (await pool.request("GET", URL)).body == b"ok"

    runtime = Runtime()
    play(main, serve, runtime=runtime, place={"window": 1 << 22, "delay_back": 0.1, "delay_there": 0.1})


@pytest.mark.filterwarnings("ignore:a response was dropped unread:ResourceWarning")
def test_a_dropped_response_is_reset_by_the_next_step() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.head(await peer.whole())
        await peer.head(await peer.whole())
        await peer.data(1, b"x" * 1000)
        await peer.next(h2.events.StreamReset, 1)
        await peer.data(3, b"ok", end=True)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        dropped = await pool.request("GET", URL, stream=True)
        other = await pool.request("GET", URL, stream=True)
        del dropped
        gc.collect()
        assert await other.read() == b"ok"

    play(main, serve)


# One stream's end never harms its siblings.


async def slow_first(peer: H2Peer) -> None:
    """Stream 1 is never answered; the other streams are, one second after their requests were complete."""
    await peer.begin()
    while True:
        stream = await peer.whole()
        if stream != 1:
            await peer.end.scheduler.sleep(1)
            await peer.answer(stream, peer.path(stream).encode())


@each_kind
def test_the_timeout_of_the_reader_harms_no_other_request(make: Callable[[], Runtime]) -> None:
    async def main(pool: Pool, server: Server) -> None:
        first = runtime.spawn(pool.request("GET", URL + "slow", timeout=0.5))
        await runtime.sleep(0)
        rest = await together(runtime, *[pool.request("GET", f"{URL}{n}") for n in range(3)])
        assert [response.body for response in rest] == [b"/0", b"/1", b"/2"]
        assert isinstance(first.error, httpcore.ReadTimeout)
        assert first.error.limit == 0.5
        assert server.peers[0].resets() == {1: Code.CANCEL}
        assert len(server.peers) == 1
        assert (pool.stats().idle, pool.stats().leased) == (1, 0)

    runtime = make()
    play(main, slow_first, runtime=runtime)


@each_kind
def test_cancelling_the_reader_harms_no_other_request(make: Callable[[], Runtime]) -> None:
    async def main(pool: Pool, server: Server) -> None:
        first = runtime.spawn(pool.request("GET", URL + "slow"))
        await runtime.sleep(0)
        others = [runtime.spawn(pool.request("GET", f"{URL}{n}")) for n in range(3)]
        await runtime.sleep(0.5)
        first.cancel()
        for other in others:
            await other.wait()
        assert [other.result().body for other in others] == [b"/0", b"/1", b"/2"]
        assert not first.lingered
        assert server.peers[0].resets() == {1: Code.CANCEL}

    runtime = make()
    play(main, slow_first, runtime=runtime)


def test_each_wait_has_its_own_timeout_which_no_turn_prolongs() -> None:
    ended: dict[float, float] = {}

    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        first = await peer.whole()
        await peer.head(first)
        while True:  # input always arrives, but never for the other streams
            await peer.data(first, b"x")
            await runtime.sleep(0.25)

    async def send_request(pool: Pool, timeout: float) -> None:
        with pytest.raises(httpcore.ReadTimeout):
            await pool.request("GET", URL, timeout=timeout)
        ended[timeout] = runtime.now

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("GET", URL, stream=True)
        await together(runtime, *[send_request(pool, timeout) for timeout in (3.1, 1.1, 2.1)])
        await response.close()
        assert {timeout: round(when, 6) for timeout, when in ended.items()} == {1.1: 1.1, 2.1: 2.1, 3.1: 3.1}

    runtime = Runtime(checkpoints=False)
    play(main, serve, runtime=runtime)


def test_received_answer_is_not_held_up_by_another_streams_read() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.head(await peer.whole())
        await peer.head(await peer.whole())
        await peer.data(1, b"one", end=True)
        await runtime.sleep(10)
        await peer.data(3, b"three", end=True)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        one = await pool.request("GET", URL, stream=True)
        three = await pool.request("GET", URL, stream=True, timeout=60)
        reader = runtime.spawn(three.read())
        await runtime.sleep(1)
        assert await one.read() == b"one"
        assert runtime.now == 1
        await reader.wait()
        assert reader.result() == b"three"

    runtime = Runtime()
    play(main, serve, runtime=runtime)


@pytest.mark.proofs
def test_a_request_cancelled_at_any_await_harms_no_other() -> None:
    """The victim reads and writes for all when it is struck, or waits while another task does."""
    runs = 0

    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        while True:
            stream = await peer.request()
            if peer.path(stream) == "/victim":
                await peer.head(stream)
                continue
            await peer.next(h2.events.StreamEnded, stream)
            await peer.answer(stream, peer.path(stream).encode())

    def scenario(first: bool) -> Callable[[Runtime], Any]:
        async def upload() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield bytes(30_000)

        async def victim(pool: Pool) -> None:
            response = await pool.request("POST", URL + "victim", body=upload, stream=True, timeout=2)
            await response.read()

        async def run(runtime: Runtime) -> None:
            nonlocal runs
            runs += 1
            server = Server(runtime, serve, window=20_000)
            async with Pool(http1=False) as pool:
                siblings = [] if first else [runtime.spawn(pool.request("GET", f"{URL}{n}")) for n in range(3)]
                task = await runtime.victim(victim(pool))
                if first:
                    siblings = [runtime.spawn(pool.request("GET", f"{URL}{n}")) for n in range(3)]
                for sibling in siblings:
                    await sibling.wait()
                assert [sibling.result().body for sibling in siblings] == [b"/0", b"/1", b"/2"]
                assert not task.lingered
                assert (await pool.request("GET", URL + "after")).body == b"/after"
                stats = pool.stats()
                assert (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0)
                assert stats.connections == len(runtime.open_connections) == 1
                open_streams = [n for n, s in server.peers[-1].h2.streams.items() if not s.closed]
                assert open_streams == []

        return run

    for first in (True, False):
        for times in (1, 2):
            for make in RUNTIMES:
                at_every_point(scenario(first), lambda runtime, task: task.cancel(), times=times, make=make)
    assert runs > 250


# The limit of streams.


def limited(streams: int) -> Callable[[H2Peer], Any]:
    """Answers all received requests when there are `streams` of them and no more arrive for a second."""

    async def serve(peer: H2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=streams)
        while True:
            stream = await peer.whole()
            await peer.end.scheduler.sleep(1)
            await peer.answer(stream, peer.path(stream).encode())

    return serve


def test_the_peers_limit_of_streams_is_kept_and_the_rest_queue() -> None:
    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        answers = await together(runtime, *[pool.request("GET", f"{URL}{n}", timeout=60) for n in range(10)])
        assert [answer.body for answer in answers] == [b"/%d" % n for n in range(10)]
        assert len(server.peers) == 1

    runtime = Runtime()
    play(main, limited(2), runtime=runtime, limits=httpcore.PoolLimits(max_connections=1))


def test_a_second_connection_opens_when_the_first_is_full() -> None:
    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        await together(runtime, *[pool.request("GET", f"{URL}{n}", timeout=60) for n in range(4)])
        assert len(server.peers) == 2

    runtime = Runtime()
    play(main, limited(2), runtime=runtime)


def test_the_pool_timeout_applies_to_the_wait_for_a_stream() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=1)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        task = runtime.spawn(pool.request("GET", URL, timeout=30))
        await runtime.sleep(1)
        with pytest.raises(httpcore.PoolTimeout):
            await pool.request("GET", URL, timeout=httpcore.TimeoutConfig(30, pool_timeout=2))
        assert runtime.now == 3
        task.cancel()

    runtime = Runtime()
    play(main, serve, runtime=runtime, limits=httpcore.PoolLimits(max_connections=1))


def test_settings_change_the_limit_while_requests_wait() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=1)
        first = await peer.whole()
        await runtime.sleep(1)
        await peer.settings(MAX_CONCURRENT_STREAMS=10)
        streams = [await peer.whole() for _ in range(5)]  # these arrive while the first is still open
        for stream in [*streams, first]:
            await peer.answer(stream)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        first = runtime.spawn(pool.request("GET", URL, timeout=30))
        await runtime.sleep(0.5)
        rest = await together(runtime, *[pool.request("GET", URL, timeout=30) for _ in range(5)])
        assert [response.body for response in rest] == [b"ok"] * 5
        await first.wait()
        assert first.result().body == b"ok"
        assert len(server.peers) == 1

    runtime = Runtime()
    play(main, serve, runtime=runtime, limits=httpcore.PoolLimits(max_connections=1))


@each_kind
def test_a_lowered_limit_queues_new_requests_and_ends_none(make: Callable[[], Runtime]) -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        streams = [await peer.whole() for _ in range(3)]
        await peer.settings(MAX_CONCURRENT_STREAMS=1)
        await runtime.sleep(1)
        for stream in streams:
            await peer.answer(stream)
        stream = await peer.whole()
        await peer.answer(stream, b"later")
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        tasks = [runtime.spawn(pool.request("GET", URL)) for _ in range(3)]
        await runtime.sleep(0.5)
        assert (await pool.request("GET", URL)).body == b"later"
        assert [task.result().body for task in tasks] == [b"ok"] * 3

    runtime = make()
    play(main, serve, runtime=runtime, limits=httpcore.PoolLimits(max_connections=1))


def test_a_burst_beyond_an_unknown_limit_is_sent_again() -> None:
    async def serve(peer: H2Peer) -> None:
        await runtime.sleep(1.5)  # longer than a new connection waits for the SETTINGS
        await peer.begin(MAX_CONCURRENT_STREAMS=2)
        streams = [await peer.whole() for _ in range(5)]
        for stream in streams[2:]:
            await peer.reset(stream, Code.REFUSED_STREAM)
        for stream in streams[:2]:
            await peer.answer(stream)
        while True:
            await peer.answer(await peer.whole())

    async def main(pool: Pool, server: Server) -> None:
        answers = await together(runtime, *[pool.request("POST", URL, body=b"x") for _ in range(5)])
        assert [answer.body for answer in answers] == [b"ok"] * 5
        assert len(server.peers) == 1

    runtime = Runtime()
    play(main, serve, runtime=runtime, place={"delay_back": 0.5}, limits=httpcore.PoolLimits(max_connections=1))


@pytest.mark.parametrize("most", [1, 5, 32])
@pytest.mark.parametrize("connections", [1, 4, 100])
def test_burst_to_a_new_origin_keeps_to_limit_of_its_settings(most: int, connections: int) -> None:
    """This includes bodies that can be sent only once, so no stream may be refused. If the client exceeded the limit,
    h2 would end the connection.
    """
    open_at_once: list[int] = []

    async def serve(peer: H2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=most)
        while True:
            held = [await peer.whole()]
            await runtime.sleep(0.1)
            while peer.h2.open_inbound_streams > len(held):
                held.append(await peer.whole())
            open_at_once.append(len(held))
            for stream in held:
                await peer.answer(stream)

    async def once() -> AsyncIterator[bytes]:
        yield b"x"

    async def main(pool: Pool, server: Server) -> None:
        answers = await together(runtime, *[pool.request("POST", URL, body=once()) for _ in range(60)])
        assert [answer.body for answer in answers] == [b"ok"] * 60
        assert {answer.info.attempts for answer in answers} == {1}
        assert max(open_at_once) == most
        assert 1 <= len(server.peers) <= min(connections, -(-60 // most))

    runtime = Runtime()
    limits = httpcore.PoolLimits(max_connections=connections)
    play(main, serve, runtime=runtime, place={"delay_back": 0.05, "delay_there": 0.05}, limits=limits, timeout=60)


@pytest.mark.proofs
def test_thousands_of_streams_may_each_have_an_interim_response() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=5000)
        streams = [await peer.whole() for _ in range(1500)]
        for stream in streams:
            peer.h2.send_headers(stream, [(b":status", b"103")])
        await peer.flush()
        for stream in streams:
            await peer.answer(stream)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        answers = await together(runtime, *[pool.request("GET", URL) for _ in range(1500)])
        assert [len(answer.informational) for answer in answers] == [1] * 1500
        assert len(server.peers) == 1

    runtime = Runtime()
    play(main, serve, runtime=runtime)


# GOAWAY and refused streams.


def test_requests_that_goaway_did_not_process_are_sent_elsewhere() -> None:
    async def leave(peer: H2Peer) -> None:
        await peer.begin()
        streams = [await peer.whole() for _ in range(3)]
        await peer.goaway(last=streams[0])
        await runtime.sleep(1)
        await peer.answer(streams[0], b"old")
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        answers = await together(runtime, *[pool.request("POST", f"{URL}{n}", body=b"x") for n in range(3)])
        assert [answer.body for answer in answers] == [b"old", b"/1", b"/2"]
        assert len(server.peers) == 2
        assert [answer.info.attempts for answer in answers] == [1, 2, 2]
        stats = pool.stats()
        assert (stats.idle, stats.busy) == (1, 0)
        assert runtime.connections[0].client_closed

    runtime = Runtime()
    play(main, leave, echo, runtime=runtime)


def test_after_goaway_a_connection_is_read_and_not_reused() -> None:
    async def leave(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.whole()
        await peer.head(stream)
        await peer.goaway(last=stream)
        await runtime.sleep(2)
        await peer.data(stream, b"body", end=True)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("GET", URL, stream=True)
        await runtime.sleep(1)
        assert (await pool.request("GET", URL + "new")).body == b"/new"
        assert await response.read() == b"body"
        assert (len(server.peers), pool.stats().connections) == (2, 1)

    runtime = Runtime()
    play(main, leave, echo, runtime=runtime)


def test_a_refused_stream_is_sent_again_with_any_method() -> None:
    async def refuse(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        await peer.reset(await peer.whole(), Code.REFUSED_STREAM)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        assert (await pool.request("POST", URL + "again", body=b"x")).body == b"/again"
        assert len(server.peers) == 2

    play(main, refuse, echo)


def test_a_failed_attempt_keeps_nothing_of_the_next_alive() -> None:
    """The error of the attempt could keep objects alive until garbage is collected: here an unread response, and its
    flow-control credit.
    """

    async def refuse(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        await peer.reset(await peer.whole(), Code.REFUSED_STREAM)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        response = await pool.request("POST", URL + "again", body=b"x", stream=True)
        await response.close()
        del response
        assert exchanges() == before

    def exchanges() -> int:
        return sum(type(one) is HTTP2Exchange for one in gc.get_objects())

    gc.collect()
    before = exchanges()  # the exchanges that other tests still hold
    gc.disable()
    try:
        play(main, refuse, echo)
    finally:
        gc.enable()


def test_storm_of_refusals_ends_after_three_resends_with_code() -> None:
    async def refuse(peer: H2Peer) -> None:
        await peer.begin()
        while True:
            await peer.reset(await peer.whole(), Code.REFUSED_STREAM)

    async def main(pool: Pool, server: Server) -> None:
        with pytest.raises(httpcore.StreamReset) as caught:
            await pool.request("GET", URL)
        assert caught.value.code == Code.REFUSED_STREAM
        assert "REFUSED_STREAM" in str(caught.value)
        assert (
            sum(len([e for e in peer.seen if isinstance(e, h2.events.RequestReceived)]) for peer in server.peers) == 4
        )

    play(main, refuse)


def test_loop_of_goaways_ends_after_three_resends_with_the_code() -> None:
    async def leave(peer: H2Peer) -> None:
        await peer.begin()
        await peer.whole()
        await peer.goaway(last=0, code=Code.ENHANCE_YOUR_CALM, debug=b"too many")

    async def main(pool: Pool, server: Server) -> None:
        with pytest.raises(httpcore.GoAway) as caught:
            await pool.request("GET", URL)
        error = caught.value
        assert (error.code, error.last_stream_id, error.debug_data) == (Code.ENHANCE_YOUR_CALM, 0, b"too many")
        assert "ENHANCE_YOUR_CALM" in str(error)
        assert "too many" in str(error)
        assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__
        assert len(server.peers) == 4

    play(main, leave)


def test_a_body_that_cannot_be_repeated_is_not_sent_again() -> None:
    async def refuse(peer: H2Peer) -> None:
        await peer.begin()
        await peer.reset(await peer.whole(), Code.REFUSED_STREAM)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        with pytest.raises(httpcore.StreamReset):
            await pool.request("POST", URL, body=iter([b"once"]))
        assert len(server.peers) == 1

    play(main, refuse, echo)


@pytest.mark.parametrize("code", [Code.CANCEL, Code.INTERNAL_ERROR, Code.NO_ERROR, 77])
def test_any_other_reset_is_an_error_of_its_stream_with_the_code(code: int) -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        first, second = await peer.whole(), await peer.whole()
        await peer.frame(3, 0, first, code.to_bytes(4, "big"))
        await peer.answer(second)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        reset, fine = await together(runtime, pool.request("GET", URL), pool.request("GET", URL))
        assert isinstance(reset, httpcore.StreamReset)
        assert reset.code == code
        assert (Code(code).name if code != 77 else "77") in str(reset)
        assert fine.body == b"ok"
        assert len(server.peers) == 1

    runtime = Runtime()
    play(main, serve, runtime=runtime)


def test_body_reset_early_gives_the_received_bytes_and_the_error() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.whole()
        await peer.head(stream)
        await peer.data(stream, b"half")
        await peer.reset(stream, Code.INTERNAL_ERROR)
        await peer.answer(await peer.whole())
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("GET", URL, stream=True)
        stream = response.raw()
        assert await stream.__anext__() == b"half"
        with pytest.raises(httpcore.StreamReset) as caught:
            await stream.__anext__()
        assert caught.value.phase == "read the response body"
        assert (await pool.request("GET", URL)).info.reused

    play(main, serve)


@pytest.mark.parametrize("code", [Code.NO_ERROR, Code.CANCEL])
def test_a_reset_behind_a_complete_response_is_no_error(code: int) -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.request()
        await peer.answer(stream, b"enough")
        await peer.reset(stream, code)
        await peer.linger()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("POST", URL, body=body)
        assert response.body == b"enough"

    play(main, serve)


# Lost connections.


@each_kind
def test_a_connection_that_was_closed_while_idle_is_not_used(make: Callable[[], Runtime]) -> None:
    async def close(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        await peer.goaway(last=1)

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        await runtime.sleep(1)
        if runtime.watches:
            assert pool.stats().connections == 0
        response = await pool.request("POST", URL + "new", body=b"x")
        assert (response.body, response.info.attempts) == (b"/new", 1)

    runtime = make()
    play(main, close, echo, runtime=runtime)


def test_when_used_connection_dies_safe_requests_are_sent_again() -> None:
    async def die(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        for _ in range(100):
            await peer.whole()
        peer.end.reset()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        requested = [pool.request("POST" if n % 10 == 0 else "GET", f"{URL}{n}", body=b"") for n in range(100)]
        answers = await together(runtime, *requested)
        for number, answer in enumerate(answers):
            if number % 10 == 0:
                assert isinstance(answer, httpcore.ReadError)
            else:
                assert answer.body == b"/%d" % number
        assert len(server.peers) == 2

    runtime = Runtime()
    play(main, die, echo, runtime=runtime)


def test_first_connection_that_dies_is_an_error_for_each_stream() -> None:
    async def die(peer: H2Peer) -> None:
        await peer.begin()
        await peer.whole()

    async def main(pool: Pool, server: Server) -> None:
        with pytest.raises(httpcore.RemoteProtocolError, match="closed the HTTP/2 connection") as caught:
            await pool.request("GET", URL)
        assert caught.value.url == URL
        assert caught.value.peer == "a.test:80"
        assert pool.stats().connections == 0

    play(main, die)


def test_peer_and_caller_get_the_reason_of_a_broken_rule() -> None:
    async def push(peer: H2Peer) -> None:
        await peer.begin()
        await peer.whole()
        await peer.frame(5, 4, 1, (2).to_bytes(4, "big"))
        gone = await peer.next(h2.events.ConnectionTerminated)
        assert gone.error_code == Code.PROTOCOL_ERROR

    async def main(pool: Pool, server: Server) -> None:
        with pytest.raises(httpcore.RemoteProtocolError, match="PUSH_PROMISE"):
            await pool.request("GET", URL)

    play(main, push)


@pytest.mark.parametrize("uploads", [1, 3])
@pytest.mark.parametrize("reads_on", [True, False])
def test_the_reason_waits_for_room_a_second_at_most(uploads: int, reads_on: bool) -> None:
    """The fault happens while the buffers to the peer are full: the GOAWAY is sent when the peer reads on, or never."""
    reasons: list[object] = []

    async def serve(peer: H2Peer) -> None:
        await peer.begin(INITIAL_WINDOW_SIZE=1 << 20)
        for _ in range(uploads):
            await peer.request()
        await runtime.sleep(0.5)
        await peer.frame(5, 4, 1, (2).to_bytes(4, "big"))
        await runtime.sleep(0.2 if reads_on else 60)
        reasons.append((await peer.next(h2.events.ConnectionTerminated)).error_code)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", "http://b.test/")
        began = runtime.now
        posts = [pool.request("POST", URL, body=bytes(300_000), timeout=20) for _ in range(uploads)]
        for error in await together(runtime, *posts):
            assert isinstance(error, httpcore.RemoteProtocolError)
            assert "PUSH_PROMISE" in str(error)
        assert runtime.now - began < 0.5 + (0.3 if reads_on else 1.2)
        assert pool.stats().connections == 1
        await runtime.sleep(1)
        assert runtime.connections[1].client_closed

    runtime = Runtime()
    Server(runtime, echo, host="b.test")
    play(main, serve, runtime=runtime, place={"window": 5000})
    assert reasons == ([Code.PROTOCOL_ERROR] if reads_on else [])


SINGLE_BYTES = b"".join(
    (1).to_bytes(3, "big") + b"\0\0" + stream.to_bytes(4, "big") + b"x" for _ in range(1000) for stream in (1, 3)
)


@each_kind
def test_frames_left_by_a_turn_are_read_in_the_next(make: Callable[[], Runtime]) -> None:
    """Thousands of frames arrive at once while there is no reader. On a loop that watches its sockets, the PING after
    them is answered nevertheless; elsewhere it is answered when a task reads.
    """
    answered: list[float] = []

    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.head(await peer.whole())
        await peer.head(await peer.whole())
        await runtime.sleep(1)
        await peer.end.send(SINGLE_BYTES)
        peer.h2.ping(b"12345678")
        await peer.flush()
        await peer.next(h2.events.PingAckReceived)
        answered.append(runtime.now)
        for stream in (1, 3):
            await peer.data(stream, b"end", end=True)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        responses = [await pool.request("GET", URL, stream=True) for _ in range(2)]
        await runtime.sleep(5)
        assert bool(answered) == runtime.watches
        for response in responses:
            assert await response.read() == b"x" * 1000 + b"end"

    runtime = make()
    play(main, serve, runtime=runtime)


@each_kind
@pytest.mark.parametrize("turns", [0, 1, 2, 4, 6])
def test_a_reader_that_leaves_between_two_turns_loses_nothing(make: Callable[[], Runtime], turns: int) -> None:
    """The reader is cancelled between two turns, and the next reader continues."""

    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.head(await peer.whole())
        await peer.head(await peer.whole())
        await peer.end.send(SINGLE_BYTES)
        await peer.data(1, b"end", end=True)
        await peer.data(3, b"end", end=True)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        first = await pool.request("GET", URL, stream=True)
        second = await pool.request("GET", URL, stream=True)
        reader = runtime.spawn(first.read())
        for _ in range(turns):
            await runtime.sleep(0)
        reader.cancel()
        await reader.wait()
        assert await second.read() == b"x" * 1000 + b"end"
        await first.close()
        assert pool.stats().idle == 1

    runtime = make()
    play(main, serve, runtime=runtime)


def test_a_malformed_response_ends_its_stream_only() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        bad, good = await peer.whole(), await peer.whole()
        await peer.head(bad, [(":status", "200"), ("content-length", "5")])
        await peer.data(bad, b"toolong")
        await peer.answer(good)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        bad, good = await together(runtime, pool.request("GET", URL), pool.request("GET", URL))
        assert isinstance(bad, httpcore.RemoteProtocolError)
        assert "Content-Length" in str(bad)
        assert good.body == b"ok"
        assert server.peers[0].resets() == {1: Code.PROTOCOL_ERROR}

    runtime = Runtime()
    play(main, serve, runtime=runtime)


# Windows.


@each_kind
def test_unread_response_stops_at_its_window_and_slows_no_other(make: Callable[[], Runtime]) -> None:
    sent = 0

    async def serve(peer: H2Peer) -> None:
        nonlocal sent
        await peer.begin()
        await peer.head(await peer.whole())
        while size := min(peer.h2.local_flow_control_window(1), 16384):
            await peer.data(1, bytes(size))
            sent += size
        while True:
            await peer.answer(await peer.whole(), bytes(100_000))

    async def main(pool: Pool, server: Server) -> None:
        unread = await pool.request("GET", URL, stream=True)
        for _ in range(30):  # 3 MB; the connection would carry more
            assert len((await pool.request("GET", URL)).body) == 100_000
        assert sent == WINDOW
        await unread.close()

    play(main, serve, runtime=make(), place={"window": 1 << 22})


def test_a_streams_window_is_refilled_as_it_is_read() -> None:
    size = 5 * WINDOW

    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.whole()
        await peer.head(stream)
        left = size
        while left:
            count = min(left, 16384, peer.h2.local_flow_control_window(stream))
            if count:
                await peer.data(stream, bytes(count), end=count == left)
                left -= count
            else:
                await peer.more()
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("GET", URL, stream=True)
        got = 0
        async for piece in response.raw():
            assert 0 < len(piece) <= 65536
            got += len(piece)
        assert got == size

    play(main, serve)


@each_kind
def test_upload_goes_through_a_small_window_without_read_ahead(make: Callable[[], Runtime]) -> None:
    taken = 0

    async def serve(peer: H2Peer) -> None:
        peer.auto = False
        await peer.begin(INITIAL_WINDOW_SIZE=1000)
        await peer.answer(await peer.whole())
        stream = await peer.request()
        got = 0
        while got < 300_000:
            event = await peer.next(h2.events.DataReceived)
            got += len(event.data)
            assert taken - got <= 64 * 1024 + 3 * 10_000
            peer.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            await peer.flush()
        await peer.answer(stream, b"%d" % got)
        await peer.linger()

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(30):
            taken += 10_000
            yield bytes(10_000)

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)  # after this response the small window is known
        assert (await pool.request("POST", URL, body=body)).body == b"300000"

    play(main, serve, runtime=make())


def test_the_write_timeout_bounds_the_wait_for_a_window() -> None:
    async def serve(peer: H2Peer) -> None:
        peer.auto = False
        await peer.begin(INITIAL_WINDOW_SIZE=1000)
        await peer.answer(await peer.whole())
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)  # after this response the small window is known
        with pytest.raises(httpcore.WriteTimeout) as caught:
            await pool.request("POST", URL, body=bytes(100_000), timeout=httpcore.TimeoutConfig(50, write_timeout=2))
        assert runtime.now == pytest.approx(2)
        assert caught.value.limit == 2
        assert caught.value.phase == "write the request"
        await let_peers_read(server)
        assert server.peers[0].resets() == {3: Code.CANCEL}
        assert pool.stats().connections == 0

    runtime = Runtime()
    play(main, serve, runtime=runtime)


def never_opened(peer: H2Peer) -> Any:
    return peer.begin(INITIAL_WINDOW_SIZE=1000)


def used_up(peer: H2Peer) -> Any:
    return peer.begin(INITIAL_WINDOW_SIZE=1 << 20)


async def no_room_at_all(peer: H2Peer) -> None:
    """The peer reads the head, and then reads nothing more."""
    await peer.begin(INITIAL_WINDOW_SIZE=1 << 20)
    await peer.answer(await peer.whole())
    await peer.request()
    await peer.end.scheduler.sleep(1000)


@pytest.mark.parametrize(
    ("begin", "limits"),
    [
        (never_opened, httpcore.TimeoutConfig(50, write_timeout=2)),
        (never_opened, httpcore.TimeoutConfig(50, write_timeout=0.5)),
        (never_opened, httpcore.TimeoutConfig(50, total_timeout=2)),
        (used_up, httpcore.TimeoutConfig(50, write_timeout=2)),
        (used_up, httpcore.TimeoutConfig(50, write_timeout=0.5)),
        (used_up, httpcore.TimeoutConfig(50, total_timeout=2)),
        (used_up, None),
        (no_room_at_all, httpcore.TimeoutConfig(50, write_timeout=2)),
    ],
)
def test_after_an_upload_that_is_stuck_no_request_begins_there(begin: Any, limits: Any) -> None:
    """If `limits` is None, the upload is cancelled after two seconds."""

    async def serve(peer: H2Peer) -> None:
        peer.auto = False
        await begin(peer)
        while True:
            await peer.answer(await peer.whole())

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)  # after this response the window is known
        upload = runtime.spawn(pool.request("POST", URL, body=bytes(1_000_000), timeout=limits or 50))
        if limits is None:
            await runtime.sleep(2)
            upload.cancel()
        await upload.wait()
        assert limits is None or isinstance(upload.error, (httpcore.WriteTimeout, httpcore.TotalTimeout))
        assert (await pool.request("POST", URL, body=b"short")).body == b"ok"
        assert (len(server.peers), pool.stats().connections) == (2, 1)

    runtime = Runtime()
    play(main, serve, runtime=runtime, place={"window": 100_000})


@pytest.mark.parametrize(
    ("begin", "waits"), [(never_opened, 0.5), (never_opened, 2), (used_up, 0.5)], ids=["soon", "one stream", "all"]
)
def test_an_upload_cancelled_soon_keeps_its_connection(begin: Any, waits: float) -> None:
    """A peer may need a second; and if the connection has a window, other streams may send."""

    async def serve(peer: H2Peer) -> None:
        peer.auto = False
        await begin(peer)
        while True:
            await peer.answer(await peer.whole())

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        upload = runtime.spawn(pool.request("POST", URL, body=bytes(1_000_000), timeout=50))
        await runtime.sleep(waits)
        upload.cancel()
        await upload.wait()
        assert (await pool.request("GET", URL)).body == b"ok"
        assert len(server.peers) == 1

    runtime = Runtime()
    play(main, serve, runtime=runtime)


@each_kind
@pytest.mark.parametrize("status", [413, 200])
def test_an_upload_that_waits_for_a_window_sees_an_early_answer(make: Callable[[], Runtime], status: int) -> None:
    async def serve(peer: H2Peer) -> None:
        peer.auto = False
        await peer.begin(INITIAL_WINDOW_SIZE=1000)
        await peer.answer(await peer.whole())
        stream = await peer.request()
        await peer.next(h2.events.DataReceived)
        await peer.answer(stream, b"early", status)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)  # after this response the small window is known
        response = await pool.request("POST", URL, body=bytes(100_000))
        assert (response.status_code, response.body) == (status, b"early")
        await let_peers_read(server)
        assert server.peers[0].resets() == {3: Code.NO_ERROR}
        assert pool.stats().idle == 1

    play(main, serve, runtime=make())


def test_head_with_an_error_stops_upload_and_its_body_is_read() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.request()
        await peer.head(stream, [(":status", "413")])
        await runtime.sleep(1)
        before = len(peer.body(stream))
        await runtime.sleep(1)
        assert len(peer.body(stream)) == before
        await peer.data(stream, b"too large", end=True)
        await peer.linger()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)
            await runtime.sleep(0.1)

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("POST", URL, body=body)
        assert (response.status_code, response.body) == (413, b"too large")
        await let_peers_read(server)
        assert server.peers[0].resets() == {1: Code.NO_ERROR}

    runtime = Runtime()
    play(main, serve, runtime=runtime)


def test_an_early_head_that_is_no_error_lets_the_upload_go_on() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.request()
        await peer.head(stream)
        await peer.whole()
        await peer.data(stream, b"%d" % len(peer.body(stream)), end=True)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        assert (await pool.request("POST", URL, body=iter([bytes(50_000)] * 8))).body == b"400000"

    play(main, serve)


@each_kind
def test_uploads_share_the_connections_window_and_all_complete(make: Callable[[], Runtime]) -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin(INITIAL_WINDOW_SIZE=1 << 20)
        for _ in range(10):
            stream = await peer.whole()
            await peer.answer(stream, b"%d" % len(peer.body(stream)))
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        answers = await together(runtime, *[pool.request("POST", URL, body=bytes(200_000)) for _ in range(10)])
        assert [answer.body for answer in answers] == [b"200000"] * 10

    runtime = make()
    play(main, serve, runtime=runtime, place={"window": 30_000})


@each_kind
def test_no_deadlock_with_a_peer_that_first_wants_to_be_read(make: Callable[[], Runtime]) -> None:
    """The peer answers while it reads, and its answers fill the buffers to us."""

    async def serve(peer: H2Peer) -> None:
        await peer.begin(INITIAL_WINDOW_SIZE=1 << 20)
        stream = await peer.request()
        await peer.head(stream)
        done = 0
        while done < 500_000:
            event = await peer.next(h2.events.DataReceived)
            done += len(event.data)
            await peer.data(stream, event.data)
        await peer.data(stream, b"", end=True)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("POST", URL, body=iter([bytes(50_000)] * 10), timeout=20)
        assert len(response.body) == 500_000

    play(main, serve, runtime=make(), place={"window": 5000})


@each_kind
def test_a_reader_takes_over_when_the_writer_has_ended(make: Callable[[], Runtime]) -> None:
    """Found by the sweeps, with seed 2: the reader's own request waits behind an upload that no task continues."""

    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        first = await peer.whole()
        upload = await peer.request()
        await runtime.sleep(1)
        await peer.answer(first, b"first")  # the reader ends: the task of the last request is next
        await runtime.sleep(1)
        await peer.answer(upload, b"enough", 413)  # now the writer ends
        await peer.answer(await peer.whole(), b"last")
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        first = runtime.spawn(pool.request("GET", URL))
        await runtime.sleep(0.1)
        upload = runtime.spawn(pool.request("POST", URL, body=bytes(100_000)))
        await runtime.sleep(0.1)
        last = runtime.spawn(pool.request("GET", URL))
        for task, body in ((first, b"first"), (upload, b"enough"), (last, b"last")):
            await task.wait()
            assert task.result().body == body
        assert runtime.now < 3

    runtime = make()
    play(main, serve, runtime=runtime, place={"window": 8192})


def test_a_writer_takes_over_when_the_reader_has_ended() -> None:
    """The upload is blocked on the socket while another task reads. That task ends, and the peer sends data before it
    reads any.
    """

    async def serve(peer: H2Peer) -> None:
        peer.auto = False
        await peer.begin(INITIAL_WINDOW_SIZE=1 << 20)
        await peer.request()
        stream = await peer.request()
        await runtime.sleep(2)
        peer.h2.increment_flow_control_window(1 << 20)
        await peer.flush()
        await peer.head(stream)
        await peer.data(stream, bytes(60_000))  # only the writer can read these
        while len(peer.body(stream)) < 300_000:
            await peer.more()
        await peer.data(stream, b"", end=True)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        other = runtime.spawn(pool.request("GET", URL + "other", timeout=1))
        await runtime.sleep(0.5)
        response = await pool.request("POST", URL, body=bytes(300_000), timeout=20)
        assert len(response.body) == 60_000
        assert isinstance(other.error, httpcore.ReadTimeout)
        assert runtime.now < 5

    runtime = Runtime()
    play(main, serve, runtime=runtime, place={"window": 10_000})


# Exceptions of the request's body.


def test_body_that_raises_resets_its_stream_before_its_clean_up() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.request()
        await peer.next(h2.events.StreamReset)
        await peer.answer(await peer.whole())
        await peer.linger()

    async def body() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("mine")

    async def main(pool: Pool, server: Server) -> None:
        with pytest.raises(KeyError, match="mine"):
            await pool.request("POST", URL, body=body)
        assert (await pool.request("GET", URL)).info.reused
        assert server.peers[0].resets() == {1: Code.CANCEL}

    play(main, serve)


@pytest.mark.parametrize(("pieces", "words"), [([b"abc"], "shorter"), ([b"abc", b"def"], "longer")])
def test_a_body_of_undeclared_length_is_refused_and_reset(pieces: list[bytes], words: str) -> None:
    async def main(pool: Pool, server: Server) -> None:
        with pytest.raises(httpcore.LocalProtocolError, match=words):
            await pool.request("POST", URL, headers=[("Content-Length", "5")], body=iter(pieces))
        assert (await pool.request("GET", URL + "x")).body == b"/x"
        assert server.peers[0].resets() == {1: Code.CANCEL}

    play(main, echo)


# Idle connections.


def test_a_ping_is_answered_while_no_task_waits() -> None:
    answered: list[bytes] = []

    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        await runtime.sleep(1)
        peer.h2.ping(b"12345678")
        await peer.flush()
        answered.append((await peer.next(h2.events.PingAckReceived)).ping_data)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        await runtime.sleep(3)
        assert answered == [b"12345678"]
        assert pool.stats().idle == 1

    runtime = Runtime()
    play(main, serve, runtime=runtime)


@each_kind
def test_an_idle_connection_with_harmless_input_stays(make: Callable[[], Runtime]) -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        await peer.settings(MAX_CONCURRENT_STREAMS=7)
        await peer.answer(await peer.whole(), b"second")
        assert any(isinstance(event, h2.events.SettingsAcknowledged) for event in peer.seen)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        await runtime.sleep(1)
        assert (await pool.request("GET", URL)).body == b"second"
        assert len(server.peers) == 1

    runtime = make()
    play(main, serve, runtime=runtime)


def test_a_closed_pool_lets_its_streams_end_and_sends_goaway() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.whole()
        await peer.head(stream)
        await runtime.sleep(1)
        await peer.data(stream, b"late", end=True)
        gone = await peer.next(h2.events.ConnectionTerminated)
        assert gone.error_code == Code.NO_ERROR

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("GET", URL, stream=True)
        await pool.close()
        assert await response.read() == b"late"
        assert runtime.open_connections == []
        with pytest.raises(httpcore.PoolClosed):
            await pool.request("GET", URL)

    runtime = Runtime()
    play(main, serve, runtime=runtime)


# Two-way streams.


async def mirror(peer: H2Peer) -> None:
    """Answers at once and sends the received bytes back; ends with a trailer when the client ends."""
    await peer.begin(INITIAL_WINDOW_SIZE=5000, ENABLE_CONNECT_PROTOCOL=1)
    stream = await peer.request()
    await peer.head(stream)
    noted = 0
    while not any(isinstance(event, h2.events.StreamEnded) for event in peer.seen):
        body = peer.body(stream)
        if len(body) > noted:
            await peer.data(stream, body[noted:])
            noted = len(body)
        else:
            await peer.more()
    await peer.data(stream, peer.body(stream)[noted:], end=peer.fields(stream)[":method"] == "CONNECT")
    if peer.fields(stream)[":method"] != "CONNECT":
        await peer.trailers(stream, ("x-total", str(len(peer.body(stream)))))
    await peer.linger()


@each_kind
def test_a_duplex_request_sends_receives_and_has_trailers(make: Callable[[], Runtime]) -> None:
    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("POST", URL, body=b"first", duplex=True)
        assert "content-length" not in server.peers[0].fields(1)
        assert response.body == b""
        raw = response.connection
        assert raw is not None

        async def send() -> None:
            for _ in range(20):
                await raw.send(bytes(10_000))
            await raw.end([("X-Sent", "20")])

        sender = runtime.spawn(send())
        got = b""
        while data := await raw.recv(3000):
            assert len(data) <= 3000
            got += data
        await sender.wait()
        sender.result()
        assert len(got) == 200_005
        assert got == b"first" + bytes(200_000)
        assert response.trailers == [(b"x-total", b"200005")]
        assert pool.stats().leased == 1
        raw.close()
        stats = pool.stats()
        assert (stats.leased, stats.idle) == (0, 1)
        assert server.peers[0].resets() == {}

    runtime = make()
    play(main, mirror, runtime=runtime)


def test_duplex_stream_closed_in_use_is_reset_and_ends_its_waits() -> None:
    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("POST", URL, duplex=True)
        raw = response.connection
        assert raw is not None
        receiver = runtime.spawn(raw.recv())
        await runtime.sleep(1)
        raw.close()
        await receiver.wait()
        assert isinstance(receiver.error, httpcore.ReadError)
        with pytest.raises(httpcore.ReadError):
            await raw.send(b"x")
        await runtime.sleep(1)
        assert server.peers[0].resets() == {1: Code.CANCEL}
        assert pool.stats().idle == 1

    runtime = Runtime()
    play(main, mirror, runtime=runtime)


def test_either_side_of_a_duplex_stream_may_be_cancelled_alone() -> None:
    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("POST", URL, duplex=True)
        raw = response.connection
        assert raw is not None
        receiver = runtime.spawn(raw.recv())
        await runtime.sleep(1)
        receiver.cancel()
        await receiver.wait()
        await raw.send(b"still here")
        assert await raw.recv() == b"still here"
        raw.close()

    runtime = Runtime()
    play(main, mirror, runtime=runtime)


def test_connect_gives_a_stream_and_a_refusal_gives_a_response() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.request()
        fields = peer.fields(stream)
        assert fields == {":method": "CONNECT", ":authority": "b.test:443"}
        await peer.head(stream)
        event = await peer.next(h2.events.DataReceived)
        await peer.data(stream, event.data.upper(), end=True)
        stream = await peer.request()
        await peer.answer(stream, b"not you", 403)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("CONNECT", URL, target="b.test:443")
        raw = response.connection
        assert raw is not None
        await raw.send(b"hello")
        assert await raw.recv() == b"HELLO"
        assert await raw.recv() == b""
        raw.close()
        response = await pool.request("CONNECT", URL, target="b.test:443")
        assert (response.status_code, response.body, response.connection) == (403, b"not you", None)
        assert pool.stats().idle == 1

    play(main, serve)


@each_kind
def test_extended_connect_waits_for_the_settings_that_allow_it(make: Callable[[], Runtime]) -> None:
    async def serve(peer: H2Peer) -> None:
        await runtime.sleep(1)
        await mirror(peer)

    async def main(pool: Pool, server: Server) -> None:
        response = await pool.request("CONNECT", URL + "chat", headers=[(":protocol", "websocket"), ("x-a", "b")])
        fields = server.peers[0].fields(1)
        assert fields == {
            ":method": "CONNECT",
            ":scheme": "http",
            ":authority": "a.test",
            ":path": "/chat",
            ":protocol": "websocket",
            "x-a": "b",
        }
        raw = response.connection
        assert raw is not None
        await raw.send(b"frame")
        assert await raw.recv() == b"frame"
        await raw.end()
        assert await raw.recv() == b""
        raw.close()

    runtime = make()
    play(main, serve, runtime=runtime)


def test_unsupported_extended_connect_is_refused_before_any_byte() -> None:
    async def main(pool: Pool, server: Server) -> None:
        with pytest.raises(httpcore.LocalProtocolError, match=":protocol"):
            await pool.request("CONNECT", URL, headers=[(":protocol", "websocket")])
        assert (await pool.request("GET", URL + "x")).info.reused

    play(main, echo)


def test_a_frozen_peer_costs_a_read_timeout_and_not_a_hang() -> None:
    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        runtime.cut()
        results = await together(runtime, *[pool.request("GET", URL) for _ in range(5)])
        assert all(isinstance(result, httpcore.ReadTimeout) for result in results)
        assert runtime.now == 5

    runtime = Runtime()
    play(main, echo, runtime=runtime)


def test_settings_without_any_protocol_are_refused() -> None:
    with pytest.raises(ValueError, match="http1 and http2"):
        httpcore.ConnectionPool(http1=False, http2=False)


# Waiting for the dial of another request, and checking that the peer responds.


def test_a_burst_to_a_new_origin_waits_for_one_dial() -> None:
    async def main(pool: Pool, server: Server) -> None:
        limits = httpcore.TimeoutConfig(30, connect_timeout=2, pool_timeout=0.1)
        errors = await together(runtime, *[pool.request("GET", URL, timeout=limits) for _ in range(5)])
        assert [type(error) for error in errors] == [httpcore.ConnectTimeout] * 5
        assert runtime.now == 2
        assert len(runtime.attempts) == 1
        assert pool.stats().connections == 0

    runtime = Runtime()
    play(main, echo, runtime=runtime, place={"connect_delay": 10.0})


def test_after_the_dial_the_wait_for_a_stream_is_the_pool_s() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin(MAX_CONCURRENT_STREAMS=1)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        limits = httpcore.TimeoutConfig(30, connect_timeout=None, pool_timeout=3)
        results = [runtime.spawn(pool.request("GET", URL, timeout=limits)) for _ in range(101)]
        await runtime.sleep(10)
        assert isinstance(results[-1].error, httpcore.PoolTimeout)  # the dial took one second, then three
        assert pool.stats().waiting == 0
        for result in results:
            result.cancel()

    runtime = Runtime()
    limits = httpcore.PoolLimits(max_connections=1)
    play(main, serve, runtime=runtime, place={"connect_delay": 1.0, "delay_back": 20.0}, limits=limits)


@pytest.mark.parametrize("cut", [False, True])
def test_connection_that_was_quiet_for_long_is_pinged_before_use(cut: bool) -> None:
    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        await runtime.sleep(20)
        if cut:
            runtime.connections[0].cut()
        response = await pool.request("POST", URL + "x", body=b"not twice")
        assert response.body == b"/x"
        assert len(server.peers) == (2 if cut else 1)
        assert runtime.now == (24 if cut else 20)
        requested = [event for event in server.peers[0].seen if isinstance(event, h2.events.PingReceived)]
        assert len(requested) == (0 if cut else 1)

    runtime = Runtime()
    play(main, echo, runtime=runtime, ping_interval=4)


def test_a_wait_on_a_quiet_connection_sends_a_ping() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        stream = await peer.whole()
        for _ in range(3):
            await peer.next(h2.events.PingReceived)
        await peer.answer(stream)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        assert (await pool.request("GET", URL)).body == b"ok"
        assert runtime.now == 12
        runtime.cut()
        with pytest.raises(httpcore.ReadError, match="PING"):
            await pool.request("GET", URL)
        assert runtime.now == 20
        assert pool.stats().connections == 0

    runtime = Runtime()
    play(main, serve, runtime=runtime, ping_interval=4, timeout=60, retry_stale=False)


def test_a_slow_peer_keeps_its_connection_when_requests_time_out() -> None:
    async def main(pool: Pool, server: Server) -> None:
        for _ in range(5):
            with pytest.raises(httpcore.ReadTimeout):
                await pool.request("GET", URL)
        assert len(server.peers) == 1
        await runtime.sleep(1)
        assert sum(isinstance(event, h2.events.PingReceived) for event in server.peers[0].seen) == 5

    async def silent(peer: H2Peer) -> None:
        await peer.begin()
        await peer.linger()

    runtime = Runtime(watches=False)
    play(main, silent, runtime=runtime, place={"delay_there": 0.1, "delay_back": 0.1})


@each_kind
def test_a_dead_peer_costs_one_timeout_and_is_used_no_more(make: Callable[[], Runtime]) -> None:
    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        reader = runtime.spawn(pool.request("GET", URL, timeout=30))
        await runtime.sleep(1)
        runtime.connections[0].cut()
        with pytest.raises(httpcore.ReadTimeout):
            await pool.request("GET", URL)
        assert runtime.now == 6
        assert (await pool.request("GET", URL + "again")).body == b"/again"
        assert (await pool.request("POST", URL + "thrice")).body == b"/thrice"
        assert (runtime.now, len(server.peers)) == (7, 2)
        await reader.wait()
        assert isinstance(reader.error, httpcore.ReadTimeout)
        assert runtime.now == 30
        assert pool.stats().connections == 1

    async def silent_at_first(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        await peer.linger()

    runtime = make()
    play(main, silent_at_first, echo, runtime=runtime)


def test_a_short_wait_that_is_cancelled_sends_no_ping() -> None:
    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        with pytest.raises(httpcore.ReadTimeout):
            await pool.request("GET", URL, timeout=0.5)
        await let_peers_read(server)
        assert not any(isinstance(event, h2.events.PingReceived) for event in server.peers[0].seen)

    async def once(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        await peer.linger()

    play(main, once)


def test_total_timeout_holds_while_a_ping_is_answered() -> None:
    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        runtime.connections[0].cut()
        with pytest.raises(httpcore.ReadTimeout):
            await pool.request("GET", URL)
        began = runtime.now
        with pytest.raises(httpcore.TotalTimeout):
            await pool.request("GET", URL, timeout=httpcore.TimeoutConfig(5, total_timeout=0.3))
        assert runtime.now == pytest.approx(began + 0.3)

    runtime = Runtime()
    play(main, echo, runtime=runtime)


def test_in_a_full_pool_refused_stream_is_sent_on_its_connection() -> None:
    async def serve(peer: H2Peer) -> None:
        await peer.begin()
        await peer.answer(await peer.whole())
        held = await peer.whole()
        await peer.reset(await peer.whole(), Code.REFUSED_STREAM)
        await peer.answer(await peer.whole(), b"after all")
        await peer.answer(held)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        await pool.request("GET", URL)
        held = runtime.spawn(pool.request("GET", URL))
        await runtime.sleep(1)
        assert (await pool.request("POST", URL, body=b"x")).body == b"after all"
        await held.wait()
        assert held.result().body == b"ok"

    runtime = Runtime()
    play(main, serve, runtime=runtime, limits=httpcore.PoolLimits(max_connections=1))


def test_total_timeout_ends_a_wait_that_has_no_other_limit() -> None:
    async def serve(peer: H2Peer) -> None:
        peer.auto = False
        await peer.begin(INITIAL_WINDOW_SIZE=0)
        await peer.linger()

    async def main(pool: Pool, server: Server) -> None:
        limits = httpcore.TimeoutConfig(None, total_timeout=3)
        for body in (b"", bytes(100_000)):
            began = runtime.now
            with pytest.raises(httpcore.TotalTimeout):
                await pool.request("POST", URL, body=body, timeout=limits)
            assert runtime.now == pytest.approx(began + 3)
            assert pool.stats().idle == (0 if body else 1)

    runtime = Runtime()
    play(main, serve, runtime=runtime)


# All kinds of requests, with faults at every point.


async def generous(peer: H2Peer) -> None:
    """Answers each request with its path, in parts: as soon as its head is received, or when it is complete."""
    await peer.begin(MAX_CONCURRENT_STREAMS=4, INITIAL_WINDOW_SIZE=3000)
    while True:
        event = await peer.next(h2.events.Event)
        stream = getattr(event, "stream_id", 0)
        whole = isinstance(event, h2.events.StreamEnded)
        early = stream and "early" in peer.path(stream)
        if isinstance(event, h2.events.RequestReceived if early else h2.events.StreamEnded):
            await unless_reset(peer, stream, peer.head, stream)
        if whole:
            path = peer.path(stream)
            await unless_reset(peer, stream, peer.data, stream, path.encode())
            await unless_reset(peer, stream, peer.data, stream, b"!")
            await unless_reset(peer, stream, peer.trailers, stream, ("x-path", path))


async def unless_reset(peer: H2Peer, stream: int, act: Any, *arguments: Any) -> None:
    if stream not in peer.resets():
        await act(*arguments)


async def mixed(runtime: Runtime, pool: Pool, number: int) -> None:
    """Sends one of several kinds of request; each receives only its own answer, or raises one of our errors."""
    path = f"{number}-early" if number % 2 else str(number)
    kind = number % 5

    async def body() -> AsyncIterator[bytes]:
        for size in (1, 9000, 70_000):
            yield bytes(size)

    try:
        content: Any = (b"", b"small", body, bytes(50_000), body)[kind]
        response = await pool.request("POST", URL + path, body=content, stream=True)
        if kind == 1:
            await response.close()
            return
        assert await response.read() == f"/{path}!".encode()
        assert response.trailers == [(b"x-path", f"/{path}".encode())]
    except httpcore.HTTPCoreError:
        await runtime.sleep(0)


def check_is_clean(runtime: Runtime, pool: Pool, server: Server) -> None:
    stats = pool.stats()
    assert (stats.leased, stats.waiting, stats.dialing, stats.busy) == (0, 0, 0, 0)
    assert stats.connections == len(runtime.open_connections)
    for peer in server.peers:
        connection = peer.end.connection
        # Neither end is notified when a connection is cut, so no public name shows it.
        if not connection.client_closed and not connection._there.cut:
            assert [number for number, stream in peer.h2.streams.items() if not stream.closed] == []


@pytest.mark.proofs
@pytest.mark.parametrize("act", ["cancel", "reset", "cut", "close"])
def test_every_request_ends_and_the_pool_is_clean(act: str) -> None:
    def strike(runtime: Runtime, task: Any) -> None:
        if act == "cancel":
            task.cancel()
        elif act == "close":
            # A strike must not wait, so it calls the plain function that `close()` calls.
            pools[-1]._close()
        elif act == "cut":
            for connection in runtime.connections:
                connection.cut()
        else:
            for connection in runtime.connections:
                connection.reset()

    pools: list[Pool] = []

    def scenario(victim: int) -> Callable[[Runtime], Any]:
        async def run(runtime: Runtime) -> None:
            server = Server(runtime, generous, window=8000)
            async with Pool(http1=False, limits=httpcore.PoolLimits(max_connections=1)) as pool:
                pools.append(pool)
                others = [runtime.spawn(mixed(runtime, pool, number)) for number in (5, 6, 7) if number != victim]
                await runtime.victim(mixed(runtime, pool, victim))
                for other in others:
                    await other.wait()
                    other.result()
                await mixed(runtime, pool, 0)  # bytes that could not be sent before are sent now
                await runtime.sleep(1)
                check_is_clean(runtime, pool, server)

        return run

    moments = 0
    for victim in (6, 7, 8):
        for make in (Runtime, lambda: Runtime(checkpoints=False)):
            moments += at_every_point(scenario(victim), strike, make=make)
    assert moments > 200


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_in_any_order_of_turns_every_request_gets_its_own_answer(first: int) -> None:
    def run(seed: int) -> None:
        runtime = Runtime(
            seed, shuffle=True, max_read=100 + 37 * seed, watches=seed % 2 == 0, checkpoints=seed % 3 != 0
        )

        async def main(pool: Pool, server: Server) -> None:
            tasks = [runtime.spawn(mixed(runtime, pool, number)) for number in range(15)]
            await runtime.sleep(0.001 * (seed % 7))
            for task in tasks[::4]:
                task.cancel()
            for task in tasks:
                await task.wait()
                if not task.cancelled:
                    task.result()
            await runtime.sleep(1)
            check_is_clean(runtime, pool, server)
            assert len(server.peers) <= 2, f"seed {seed}"  # the task that dialed first may have been cancelled

        place = {"window": 5000 + 300 * seed, "delay_back": 0.001 * (seed % 3), "delay_there": 0.001 * (seed % 2)}
        play(main, generous, runtime=runtime, place=place, limits=httpcore.PoolLimits(max_connections=1))

    for seed in range(first, first + 20):
        run(seed)
