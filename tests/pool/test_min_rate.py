"""`min_rate`: a body that moves too slowly ends with an error, and waiting that the peer did not cause ends no body."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import h2.settings
import pytest
from h2_peer import H2Peer, play
from runtimes import Runtime, each_runtime
from servers import Peer
from trials import HostileServer

import httpcore
from httpcore import TimeoutConfig
from httpcore.testing import ServerEnd, Simulation

URL = "http://a.test/"
HEAD = 1.5
"""Seconds after which the servers send a head."""

LATE = TimeoutConfig(None, min_rate=100, min_rate_window=10)

Pieces = list[tuple[float, int]]  # pairs: after this many seconds, this many bytes


def steady_pieces(seconds: float, size: int, times: int) -> Pieces:
    return [(seconds, size)] * times


# The received bytes, the timeouts, and the outcome: which error, after how many seconds, with how many bytes; or,
# without an error, the number of bytes.
CASES: list[tuple[Pieces, TimeoutConfig, tuple[str, float, int] | int]] = [
    # Each piece takes a second and refills a hundredth of a second: after ten pieces a tenth of a second remains.
    (steady_pieces(1, 1, 99), LATE, ("ReadTooSlow", 10.1, 10)),
    (steady_pieces(1, 1, 99), LATE.replace(min_rate_window=3), ("ReadTooSlow", 3.03, 3)),
    (steady_pieces(1, 60, 60), LATE, ("ReadTooSlow", 23.8, 23 * 60)),
    (steady_pieces(1, 100, 60), LATE, 6000),
    (steady_pieces(1, 1, 99), LATE.replace(min_rate=None), 99),
    (steady_pieces(1, 1, 99), TimeoutConfig(None), 99),
    # Bursts refill the allowance, but never above the window.
    (steady_pieces(9.9, 5000, 5), LATE, 25000),
    ([(0, 500_000), (11, 1)], LATE, ("ReadTooSlow", 10.0, 500_000)),
    # If two limits apply, the error names the one that ends first.
    ([(99, 1)], LATE, ("ReadTooSlow", 10.0, 0)),
    ([(99, 1)], LATE.replace(read=4), ("ReadTimeout", 4.0, 0)),
    ([(99, 1)], LATE.replace(read=10), ("ReadTimeout", 10.0, 0)),
    ([(99, 1)], LATE.replace(read=11), ("ReadTooSlow", 10.0, 0)),
    (steady_pieces(1, 1, 99), LATE.replace(read=2), ("ReadTooSlow", 10.1, 10)),
    (steady_pieces(1, 1, 99), LATE.replace(total=7), ("TotalTimeout", 7.0, 0)),
]
each_case = pytest.mark.parametrize(("pieces", "timeout", "end"), CASES)


def server(pieces: Pieces, *, chunked: bool = False) -> Callable[[ServerEnd], Awaitable[None]]:
    size = sum(size for _, size in pieces)

    async def serve(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.scheduler.sleep(HEAD)  # before the head, the client does not wait for a body
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for seconds, count in pieces:
            await peer.scheduler.sleep(seconds)
            # Framing does not count as body: an extension of a hundred bytes refills nothing.
            await peer.send(b"%x;%s\r\n%s\r\n" % (count, b"e" * 100, bytes(count)) if chunked else bytes(count))
        await peer.send(b"0\r\n\r\n" if chunked else b"")

    return serve


async def serve_h2(peer: H2Peer, pieces: Pieces) -> None:
    await peer.begin()
    stream = await peer.request()
    await peer.end.scheduler.sleep(HEAD)
    await peer.head(stream)
    for seconds, count in pieces:
        await peer.end.scheduler.sleep(seconds)
        while count > (room := peer.h2.local_flow_control_window(stream)):
            await peer.data(stream, bytes(room))
            count -= room
            await peer.more()
        await peer.data(stream, bytes(count))
    await peer.data(stream, b"", end=True)
    await peer.linger()


def check(error: httpcore.HTTPCoreError, end: Any, elapsed: float) -> None:
    kind, seconds, size = end
    assert type(error).__name__ == kind
    assert elapsed == pytest.approx(HEAD + seconds)
    if isinstance(error, httpcore.ReadTooSlow):
        assert error.transferred == size
        assert error.waited == pytest.approx(seconds)
        assert (error.phase, error.status_code) == ("read the response body", 200)


def timed(timeout: TimeoutConfig) -> TimeoutConfig:
    """The total timeout of the cases begins with the body."""
    return timeout if timeout.total_timeout is None else timeout.replace(total=timeout.total_timeout + HEAD)


async def read_all(http: httpcore.ConnectionPool, simulation: Simulation, timeout: Any, end: Any) -> None:
    since = simulation.now
    try:
        response = await http.request("GET", URL, timeout=timed(timeout))
    except httpcore.Timeout as error:
        check(error, end, simulation.now - since)
    else:
        assert len(response.body) == end


@pytest.mark.parametrize("chunked", [False, True])
@each_case
def test_the_body_of_a_response_keeps_its_rate(pieces: Pieces, timeout: Any, end: Any, chunked: bool) -> None:
    async def main() -> None:
        simulation.listen("a.test", 80, server(pieces, chunked=chunked))
        async with httpcore.ConnectionPool() as http:
            await read_all(http, simulation, timeout, end)

    simulation = Simulation()
    simulation.run(main())


@each_case
def test_the_body_of_a_response_over_http2_keeps_its_rate(pieces: Pieces, timeout: Any, end: Any) -> None:
    runtime = Simulation()
    play(
        lambda http, _: read_all(http, runtime, timeout, end),
        lambda peer: serve_h2(peer, pieces),
        runtime=runtime,
    )


@each_case
def test_the_body_of_a_response_in_threads_keeps_its_rate(pieces: Pieces, timeout: Any, end: Any) -> None:
    simulation = Simulation()
    simulation.listen("a.test", 80, server(pieces))
    with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend, timeout=timed(timeout)) as http:
        try:
            response = http.request("GET", URL)
        except httpcore.Timeout as error:
            check(error, end, simulation.now)
        else:
            assert len(response.body) == end


def test_a_caller_that_reads_slowly_is_not_blamed() -> None:
    async def main(http: httpcore.ConnectionPool, _: Any) -> None:
        response = await http.request("GET", URL, stream=True, timeout=LATE)
        size = 0
        async for piece in response.stream():
            size += len(piece)
            await runtime.sleep(100)
        assert size == 600_000

    pieces = steady_pieces(1, 100_000, 6)
    runtime = Simulation()
    play(main, lambda peer: serve_h2(peer, pieces), runtime=runtime)
    runtime = Simulation()
    runtime.listen("a.test", 80, server(pieces))

    async def plain() -> None:
        async with httpcore.ConnectionPool() as http:
            await main(http, None)

    runtime.run(plain())


# Uploads. The buffers are small, so that only bytes that the peer reads are sent.


def taking(seconds: float, size: int) -> Callable[[ServerEnd], Awaitable[None]]:
    """A server that reads a number of bytes every few seconds."""

    async def serve(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        left = 40_000
        while left > 0:
            await peer.scheduler.sleep(seconds)
            data = await peer.recv(size)
            left -= len(data)
            if not data:
                return
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    return serve


def slowly(simulation: Simulation) -> Callable[[], AsyncIterator[bytes]]:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            await simulation.sleep(30)
            yield bytes(1000)

    return pieces


UPLOADS: list[tuple[float, int, bool]] = [(1, 100, False), (1, 900, False), (1, 1000, True), (0.5, 1000, True)]


@pytest.mark.parametrize(("seconds", "size", "is_fast_enough"), UPLOADS)
@pytest.mark.parametrize("body", [bytes(40_000), [bytes(500)] * 80], ids=["bytes", "pieces"])
def test_an_upload_keeps_its_rate(body: Any, seconds: float, size: int, is_fast_enough: bool) -> None:
    async def main() -> None:
        simulation.listen("a.test", 80, taking(seconds, size), window=1000)
        timeout = TimeoutConfig(None, min_rate=1000, min_rate_window=3)
        async with httpcore.ConnectionPool(timeout=timeout) as http:
            if is_fast_enough:
                headers = {"Content-Length": "40000"}
                assert (await http.request("POST", URL, headers, body)).status_code == 204
                return
            with pytest.raises(httpcore.WriteTooSlow) as caught:
                await http.request("POST", URL, {"Content-Length": "40000"}, body)
        error = caught.value
        assert (error.phase, error.window, error.min_rate) == ("write the request", 3.0, 1000.0)
        assert error.transferred is not None
        assert error.waited is not None
        assert error.waited == pytest.approx(simulation.now)
        assert error.waited <= error.transferred / 1000 + 3 + 1e-6, "the documented bound"
        assert error.waited >= 3

    simulation = Simulation()
    simulation.run(main())


def test_an_upload_whose_iterator_is_slow_is_not_blamed() -> None:
    async def main() -> None:
        simulation.listen("a.test", 80, taking(0.1, 1000))
        timeout = TimeoutConfig(None, min_rate=1000, min_rate_window=3)
        async with httpcore.ConnectionPool(timeout=timeout) as http:
            response = await http.request("POST", URL, {"Content-Length": "40000"}, slowly(simulation))
            assert response.status_code == 204

    simulation = Simulation()
    simulation.run(main())


def test_a_large_buffer_that_empties_in_time_is_not_blamed() -> None:
    """Bytes that were accepted at once may be sent at the rate, even if that takes longer than the window."""

    async def serve(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        for _ in range(2):
            await peer.scheduler.sleep(15)
            await peer.recv_exactly(20_000)
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def main() -> None:
        simulation.listen("a.test", 80, serve, window=20_000)
        timeout = TimeoutConfig(None, min_rate=1000, min_rate_window=1)
        async with httpcore.ConnectionPool(timeout=timeout) as http:
            assert (await http.request("POST", URL, body=bytes(40_000))).status_code == 204

    simulation = Simulation()
    simulation.run(main())


async def crediting(peer: H2Peer, seconds: float, size: int) -> None:
    """Opens the windows by a number of bytes every few seconds."""
    peer.auto = False
    await peer.begin(INITIAL_WINDOW_SIZE=size)
    stream = await peer.request()
    while not any(getattr(event, "stream_ended", None) for event in peer.seen):
        await peer.end.scheduler.sleep(seconds)
        for target in (stream, None):
            peer.h2.increment_flow_control_window(size, target)
        await peer.flush()
        await peer.more()
    await peer.answer(stream, b"", 204)
    await peer.linger()


@pytest.mark.parametrize(("seconds", "size", "is_fast_enough"), UPLOADS)
def test_an_upload_over_http2_keeps_its_rate(seconds: float, size: int, is_fast_enough: bool) -> None:
    async def main(http: httpcore.ConnectionPool, _: Any) -> None:
        timeout = TimeoutConfig(None, min_rate=1000, min_rate_window=3)
        request = http.request("POST", URL, body=[bytes(10_000)] * 4, timeout=timeout)
        if is_fast_enough:
            assert (await request).status_code == 204
            return
        with pytest.raises(httpcore.WriteTooSlow) as caught:
            await request
        error = caught.value
        assert error.transferred is not None
        assert error.waited == pytest.approx(error.transferred / 1000 + 3)

    play(main, lambda peer: crediting(peer, seconds, size))


def test_an_upload_over_http2_to_a_slow_peer_keeps_its_rate() -> None:
    """The windows are open, but the connection itself is full; a byte now and then does not prolong the wait."""

    async def script(peer: H2Peer) -> None:
        await peer.begin()
        await peer.request()
        while await peer.end.recv(10):
            await peer.end.scheduler.sleep(1)

    async def main(http: httpcore.ConnectionPool, _: Any) -> None:
        with pytest.raises(httpcore.WriteTooSlow) as caught:
            await http.request("POST", URL, body=bytes(70_000), timeout=LATE.replace(write=5, min_rate=50_000))
        assert caught.value.waited == pytest.approx(runtime.now, abs=1.0)
        assert 10 < runtime.now < 15

    runtime = Simulation()
    play(main, script, runtime=runtime, place={"window": 2000})


def test_a_total_timeout_bounds_an_upload_that_moves_slowly() -> None:
    """Over HTTP/2 the wait once continued as long as the peer accepted any bytes, whatever the total timeout."""

    async def script(peer: H2Peer) -> None:
        await peer.begin()
        await peer.request()
        while await peer.end.recv(10):
            await peer.end.scheduler.sleep(1)

    async def main(http: httpcore.ConnectionPool, _: Any) -> None:
        with pytest.raises(httpcore.TotalTimeout):
            await http.request("POST", URL, body=bytes(70_000), timeout=TimeoutConfig(5, total=20))
        assert runtime.now == pytest.approx(20, abs=0.2)

    runtime = Simulation()
    play(main, script, runtime=runtime, place={"window": 2000})


# Sending and receiving at the same time.


def test_both_bodies_of_a_duplex_request_keep_their_rate() -> None:
    async def drip(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(30):
            await peer.scheduler.sleep(1)
            await peer.send(b"1\r\nx\r\n")

    async def received(connection: httpcore.RawStream) -> None:
        while await connection.recv():
            pass

    async def receive(http: httpcore.ConnectionPool, runtime: Simulation) -> None:
        response = await http.request("POST", URL, duplex=True, timeout=LATE)
        since = runtime.now
        assert response.connection is not None
        with pytest.raises(httpcore.ReadTooSlow) as caught:
            await received(response.connection)
        assert runtime.now - since == pytest.approx(10.1)
        assert caught.value.transferred == 10
        response.connection.close()

    async def main() -> None:
        async with httpcore.ConnectionPool() as http:
            await receive(http, simulation)
            response = await http.request("POST", "http://b.test/", duplex=True, timeout=LATE.replace(min_rate=9e9))
            assert response.connection is not None
            with pytest.raises(httpcore.WriteTooSlow):
                await response.connection.send(bytes(100_000))
            response.connection.close()

    async def answer(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while await peer.recv(10):
            await peer.scheduler.sleep(1)

    simulation = Simulation()
    simulation.listen("a.test", 80, drip)
    simulation.listen("b.test", 80, answer, window=500)
    simulation.run(main())
    runtime = Simulation()
    play(lambda http, _: receive(http, runtime), lambda peer: serve_h2(peer, steady_pieces(1, 1, 30)), runtime=runtime)


def test_a_tunnel_and_an_upgraded_connection_are_held_to_no_rate() -> None:
    async def upgrade(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        await peer.scheduler.sleep(100)
        await peer.send(b"late")

    async def tunnel(peer: H2Peer) -> None:
        await peer.begin(**{h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL.name: 1})
        stream = await peer.request()
        await peer.head(stream)
        await peer.end.scheduler.sleep(100)
        await peer.data(stream, b"late")
        await peer.linger()

    async def receive(http: httpcore.ConnectionPool, method: str, headers: Any) -> None:
        response = await http.request(method, URL, headers, timeout=LATE)
        assert response.connection is not None
        assert await response.connection.recv() == b"late"
        response.connection.close()

    async def main() -> None:
        simulation.listen("a.test", 80, upgrade)
        async with httpcore.ConnectionPool() as http:
            await receive(http, "GET", {"Connection": "upgrade", "Upgrade": "x"})

    simulation = Simulation()
    simulation.run(main())
    play(lambda http, _: receive(http, "CONNECT", {":protocol": "websocket"}), tunnel)


# Over sockets.


def drip(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(200):
        peer.socket.settimeout(0.02)
        try:
            if not peer.socket.recv(1):
                return
        except TimeoutError:
            peer.send(b"x")


@each_runtime
def test_a_slow_server_ends_with_an_error_in_every_runtime(runtime: Runtime) -> None:
    async def body() -> None:
        with HostileServer(drip) as slow:
            timeout = TimeoutConfig(3, min_rate=10_000, min_rate_window=0.25)
            async with runtime.pool(timeout=timeout) as http:
                with pytest.raises(httpcore.ReadTooSlow, match=r"was received too slowly: [1-9]") as caught:
                    await http.request("GET", slow.url)
                error = caught.value
                assert error.elapsed is not None
                assert 0.2 < error.elapsed < 2
                assert error.safe_to_retry is False
                copied = pickle.loads(pickle.dumps(error))
                assert (copied.transferred, copied.window) == (error.transferred, 0.25)
                assert str(copied) == str(error)

    runtime.run(body)


# Settings.


def test_a_rate_and_its_window_are_fields_as_the_others_are() -> None:
    pool = TimeoutConfig(7, min_rate=100, min_rate_window=20)
    assert (pool.min_rate, pool.min_rate_window) == (100.0, 20.0)
    assert (TimeoutConfig().min_rate, TimeoutConfig().min_rate_window) == (None, 10.0)
    assert "min_rate" not in repr(TimeoutConfig(7))
    assert repr(pool).endswith("total_timeout=None, min_rate=100.0, min_rate_window=20.0)")
    assert pool != TimeoutConfig(7)
    assert {pool, TimeoutConfig(7, min_rate=100.0, min_rate_window=20.0)} == {pool}
    assert pool.replace(min_rate=5) == TimeoutConfig(7, min_rate=5, min_rate_window=20)


OVERLAYS: Iterable[tuple[Any, tuple[float | None, float]]] = [
    (TimeoutConfig(), (100, 20)),
    (3, (100, 20)),
    (TimeoutConfig(3), (100, 20)),
    (TimeoutConfig(min_rate=5), (5, 20)),
    (TimeoutConfig(min_rate_window=5), (100, 5)),
    (TimeoutConfig(min_rate=5, min_rate_window=6), (5, 6)),
    (TimeoutConfig(min_rate=None), (None, 10)),
    (TimeoutConfig(min_rate_window=None), (None, 10)),
    (TimeoutConfig(min_rate=5, min_rate_window=None), (None, 10)),
    (None, (None, 10)),
]


@pytest.mark.parametrize(("request_", "found"), OVERLAYS)
def test_a_rate_without_a_value_is_the_pools(request_: Any, found: Any) -> None:
    config = TimeoutConfig(7, min_rate=100, min_rate_window=20).overlaid(request_)
    assert (config.min_rate, config.min_rate_window) == found


def wrong() -> Iterator[tuple[dict[str, Any], type[Exception], str]]:
    for name, unit in (("min_rate", "bytes per second"), ("min_rate_window", "seconds")):
        text = f"^{name}: expected a number of {unit} above 0, or None for no limit, got "
        for value in ("5", True, object(), b"5"):
            yield {name: value}, TypeError, text
        for value in (0, -1, float("nan"), float("inf"), 10**400):
            yield {name: value}, ValueError, text


@pytest.mark.parametrize(("fields", "kind", "text"), list(wrong()))
def test_a_rate_that_is_no_number_above_zero_is_refused(fields: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        TimeoutConfig(**fields)
