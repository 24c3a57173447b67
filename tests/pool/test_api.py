"""The public interface, in every runtime against scripted peers: sent and received bytes, and a pool's `repr`."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, answering, ok
from trials import eventually, every_runtime_has_run, nothing_is_left_open  # noqa: F401  # fixtures

import httpcore
from httpcore.testing import ServerEnd
from httpcore.testing import Simulation as MemoryRuntime


def run(runtime: Runtime, body: Callable[[Any], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        async with runtime.pool(**settings) as http:
            await body(http)
            stats = http.stats()
            assert (stats.leased, stats.waiting, stats.busy, stats.dialing) == (0, 0, 0, 0)

    runtime.run(main)


class Recorder(ScriptedServer):
    """Answers every request and keeps its head."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.heads: list[bytes] = []
        super().__init__(self._record, context)

    def _record(self, peer: Peer) -> None:
        while head := peer.head():
            self.heads.append(head)
            peer.send(ok(b"" if head.startswith(b"HEAD") else b"Hello, world"))

    def __enter__(self) -> Recorder:
        return self


# Sent bytes.


@each_runtime
def test_the_first_lines_of_the_readme_work(runtime: Runtime) -> None:
    async def body(http: Any) -> None:
        response = await http.request("GET", server.url)
        assert response.status_code == 200
        assert response.body == b"Hello, world"
        assert (response.reason_phrase, response.reason, response.protocol) == ("OK", "OK", "HTTP/1.1")
        assert response.headers == [(b"content-length", b"12")]
        assert response.raw_headers == [(b"Content-Length", b"12")]
        assert response.is_closed

    with Recorder() as server:
        run(runtime, body)


@each_runtime
def test_text_and_bytes_pairs_and_mappings_mean_the_same(runtime: Runtime) -> None:
    async def body(http: Any) -> None:
        await http.request("GET", server.url + "/a?b", [("X-A", "1")])
        await http.request(b"GET", server.url.encode() + b"/a?b", [(b"X-A", b"1")])
        await http.request(method="GET", url=server.url + "/a?b", headers={"X-A": "1"})
        assert len(server.heads) == 3
        assert len(set(server.heads)) == 1
        assert server.heads[0] == b"GET /a?b HTTP/1.1\r\nHost: %b\r\nX-A: 1\r\n\r\n" % server.url[7:].encode()

    with Recorder() as server:
        run(runtime, body)


@each_runtime
def test_parts_of_a_url_that_are_private_are_not_sent(runtime: Runtime) -> None:
    async def body(http: Any) -> None:
        await http.request("GET", f"http://user:sesame@127.0.0.1:{server.port}/a#fragment")
        assert server.heads == [b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port]

    with Recorder() as server:
        run(runtime, body)


@each_runtime
@pytest.mark.parametrize(
    ("method", "target"), [("GET", "http://elsewhere.test/a?b"), ("OPTIONS", "*"), ("GET", "/other")]
)
def test_a_target_takes_the_place_of_path_and_query(runtime: Runtime, method: str, target: str) -> None:
    async def body(http: Any) -> None:
        await http.request(method, server.url + "/path", target=target)
        assert server.heads[0].startswith(f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:".encode())

    with Recorder() as server:
        run(runtime, body)


@each_runtime
def test_an_international_name_is_resolved_and_named_in_ascii(runtime: Runtime) -> None:
    requested: list[str] = []

    class LocalResolver:
        async def resolve(self, host: str, system: object) -> list[str]:
            requested.append(host)
            return ["127.0.0.1"]

    async def body(http: Any) -> None:
        response = await http.request("GET", f"http://B\u00fccher.example:{server.port}/")
        assert response.body == b"Hello, world"
        assert requested == ["xn--bcher-kva.example"]
        assert b"\r\nHost: xn--bcher-kva.example:%d\r\n" % server.port in server.heads[0]

    with Recorder() as server:
        run(runtime, body, resolver=LocalResolver())


@each_runtime
def test_an_address_of_ip_version_6_stands_in_brackets(runtime: Runtime) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no ::1")
    port = listener.getsockname()[1]
    heads: list[bytes] = []

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            peer = Peer(sock, 1)
            heads.append(peer.head())
            peer.send(ok())
            peer.rest()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    async def body(http: Any) -> None:
        response = await http.request("GET", f"http://[::1]:{port}/")
        assert response.info.peer == f"[::1]:{port}"
        assert heads == [b"GET / HTTP/1.1\r\nHost: [::1]:%d\r\n\r\n" % port]
        assert list(http.stats().origins) == [f"http://[::1]:{port}"]

    with listener:
        run(runtime, body)
        thread.join(10)
    assert not thread.is_alive()


@each_runtime
def test_trailers_go_up_and_come_down(runtime: Runtime) -> None:
    bodies: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.head()
        bodies.append(peer.until(b"0\r\nX-Up: 1\r\n\r\n"))
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Down: 2\r\n\r\n")
        peer.rest()

    async def body(http: Any) -> None:
        response = await http.request("POST", server.url, body=[b"x"], trailers={"X-Up": "1"})
        assert response.body == b"ok"
        assert response.trailers == [(b"x-down", b"2")]
        assert bodies == [b"1\r\nx\r\n0\r\nX-Up: 1\r\n\r\n"]

    with ScriptedServer(script) as server:
        run(runtime, body)


# Raw streams.


def echoing(answer: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        if peer.head():
            peer.send(answer)
            while data := peer.socket.recv(65536):
                peer.send(data.upper())
            peer.send(b"bye")

    return script


@each_runtime
@pytest.mark.parametrize(
    ("method", "headers", "answer"),
    [
        ("CONNECT", {}, b"HTTP/1.1 200 Connected\r\n\r\nhi"),
        (
            "GET",
            {"Upgrade": "echo", "Connection": "upgrade"},
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhi",
        ),
    ],
    ids=["CONNECT", "101"],
)
def test_a_raw_stream_is_duplex_and_holds_its_slot_until_closed(
    runtime: Runtime, method: str, headers: dict[str, str], answer: bytes
) -> None:
    async def body(http: Any) -> None:
        response = await http.request(method, server.url, headers)
        assert response.body == b""
        raw = response.connection
        assert await raw.recv() == b"hi"
        await raw.send(b"there")
        assert await raw.recv() == b"THERE"
        assert (http.stats().leased, http.stats().busy) == (1, 1)
        await response.close()
        assert http.stats().leased == 1, "closing the response does not close the raw stream"
        with pytest.raises(httpcore.PoolTimeout):
            await http.request("GET", server.url, timeout=httpcore.TimeoutConfig(pool_timeout=0.01))
        await raw.end()
        assert await raw.recv() == b"bye"
        assert await raw.recv() == b""
        raw.close()
        raw.close()
        assert (http.stats().leased, http.stats().connections) == (0, 0)

    with ScriptedServer(echoing(answer)) as server:
        run(runtime, body, limits=httpcore.PoolLimits(max_connections=1))


@each_runtime
def test_a_raw_stream_over_tls_is_the_same(runtime: Runtime, folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    async def body(http: Any) -> None:
        response = await http.request("CONNECT", server.url)
        raw = response.connection
        assert await raw.recv() == b"hi"
        await raw.send(bytes(range(97, 107)) * 10_000)
        received = b""
        while len(received) < 100_000:
            received += await raw.recv()
        assert received == b"ABCDEFGHIJ" * 10_000
        raw.close()

    with ScriptedServer(echoing(b"HTTP/1.1 200 Connected\r\n\r\nhi"), context) as server:
        run(runtime, body, ssl=httpcore.SSLConfig(verify=str(folder / "ca.pem")))


# TLS.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    client = authority.issue_cert("client@example.com")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    client.private_key_pem.write_to_path(folder / "client.key")
    client.cert_chain_pems[0].write_to_path(folder / "client.crt")
    return folder


@each_runtime
def test_client_certificate_is_shown_and_keeps_connections_apart(runtime: Runtime, folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL

    def script(peer: Peer) -> None:
        while peer.head():
            assert isinstance(peer.socket, ssl.SSLSocket)
            peer.send(ok(b"known" if peer.socket.getpeercert() else b"unknown"))

    async def body(http: Any) -> None:
        def config(cert: Any) -> httpcore.SSLConfig:
            return httpcore.SSLConfig(cert=cert, verify=str(folder / "ca.pem"))

        one, two = str(folder / "client.pem"), (str(folder / "client.crt"), str(folder / "client.key"))
        for cert, known, connections in ((one, b"known", 1), (None, b"unknown", 2), (two, b"known", 3)):
            for reused in (False, True):
                response = await http.request("GET", server.url, ssl=config(cert))
                assert (response.body, response.info.reused) == (known, reused)
            assert http.stats().connections == connections

    with ScriptedServer(script, context) as server:
        run(runtime, body)


# The `repr` of a pool.


@each_runtime
def test_stats_count_in_all_and_per_origin(runtime: Runtime) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"

    async def body(http: Any) -> None:
        await http.request("GET", one.url)
        held = await http.request("GET", two.url, stream=True)
        stats = http.stats()
        assert (stats.connections, stats.open, stats.idle, stats.busy, stats.leased) == (2, 2, 1, 1, 1)
        assert set(stats.origins) == {one.url, two.url}
        assert (stats.origins[one.url].idle, stats.origins[one.url].leased) == (1, 0)
        assert (stats.origins[two.url].idle, stats.origins[two.url].leased) == (0, 1)
        await held.close()
        assert set(http.stats().origins) == {one.url}, "an origin without connections is removed"

    with Recorder() as one, ScriptedServer(answering(half, then=lambda peer: peer.rest())) as two:
        run(runtime, body)


@each_runtime
def test_a_reused_connection_is_reported_by_both_sides(runtime: Runtime) -> None:
    async def body(http: Any) -> None:
        infos = [(await http.request("GET", server.url)).info for _ in range(3)]
        assert [info.reused for info in infos] == [False, True, True]
        assert {info.local for info in infos} == {infos[0].local}
        assert infos[0].peer == f"127.0.0.1:{server.port}"
        assert all(0 <= info.connected_after <= info.head_after for info in infos)
        assert server.connections == 1

    with Recorder() as server:
        run(runtime, body)


@each_runtime
def test_without_keep_alive_each_request_has_its_own_connection(runtime: Runtime) -> None:
    async def body(http: Any) -> None:
        for _ in range(3):
            assert not (await http.request("GET", server.url)).info.reused
            assert http.stats().connections == 0
        assert server.connections == 3

    with Recorder() as server:
        run(runtime, body, limits=httpcore.PoolLimits(max_keepalive=0))


@each_runtime
def test_a_host_at_its_limit_holds_up_no_other(runtime: Runtime) -> None:
    release = threading.Event()

    def slow(peer: Peer) -> None:
        while peer.head():
            release.wait(20)
            peer.send(ok(b"slow"))

    async def body(http: Any) -> None:
        order: list[str] = []

        async def to_slow() -> None:
            assert (await http.request("GET", busy.url, timeout=20)).body == b"slow"
            order.append("slow")

        async def to_quick() -> None:
            await eventually(runtime, lambda: http.stats().waiting == 3, "the other requests wait")
            assert (await http.request("GET", quick.url)).body == b"Hello, world"
            order.append("quick")
            release.set()

        await runtime.gather(to_slow, to_slow, to_slow, to_slow, to_quick)
        assert order == ["quick"] + ["slow"] * 4
        assert busy.connections == 1

    with ScriptedServer(slow) as busy, Recorder() as quick:
        run(runtime, body, limits=httpcore.PoolLimits(max_connections=10, max_connections_per_origin=1))


def test_requests_that_wait_for_one_origin_are_served_in_order() -> None:
    served: list[bytes] = []
    runtime = MemoryRuntime()

    async def serve(peer: ServerEnd) -> None:
        while True:
            head = await peer.recv_until(b"\r\n\r\n")
            served.append(head.split()[1])
            await runtime.sleep(0.01)
            await peer.send(ok())

    runtime.listen("a.test", 80, serve)

    async def main() -> None:
        async with httpcore.ConnectionPool(limits=httpcore.PoolLimits(max_connections=2)) as pool:
            tasks = [runtime.spawn(pool.request("GET", f"http://a.test/{number}")) for number in range(50)]
            for task in tasks:
                await task.wait()
                assert task.result().status_code == 200

    runtime.run(main())
    assert served == [b"/%d" % number for number in range(50)]
    assert len(runtime.connections) == 2


# Time.


@each_runtime
def test_a_pool_timeout_has_the_numbers_of_holders_and_waiters(runtime: Runtime) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"

    async def body(http: Any) -> None:
        async with await http.request("GET", server.url, stream=True):
            with pytest.raises(httpcore.PoolTimeout, match="1 of 1 connections are busy") as caught:
                await http.request("POST", server.url + "/b", timeout=httpcore.TimeoutConfig(pool_timeout=0.02))
        error = caught.value
        assert (error.phase, error.method, error.url) == ("wait for a connection", "POST", server.url + "/b")
        assert error.limit == 0.02
        assert error.elapsed is not None
        assert error.elapsed >= 0.02
        assert server.url in str(error)

    with ScriptedServer(answering(half, then=lambda peer: peer.rest())) as server:
        run(runtime, body, limits=httpcore.PoolLimits(max_connections=1))


@each_runtime
def test_a_read_timeout_in_the_body_has_phase_and_peer(runtime: Runtime) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"

    async def body(http: Any) -> None:
        with pytest.raises(httpcore.ReadTimeout) as caught:
            await http.request("GET", server.url, timeout=httpcore.TimeoutConfig(read_timeout=0.02))
        error = caught.value
        assert (error.phase, error.limit) == ("read the response body", 0.02)
        assert error.peer == f"127.0.0.1:{server.port}"
        assert f"peer: 127.0.0.1:{server.port}; limit: 0.02; elapsed: 0." in str(error)

    with ScriptedServer(answering(half, then=lambda peer: peer.rest())) as server:
        run(runtime, body)


@each_runtime
def test_the_total_timeout_bounds_the_body_too(runtime: Runtime) -> None:
    def drip(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            peer.send(b"x")
            time.sleep(0.01)

    async def body(http: Any) -> None:
        with pytest.raises(httpcore.TotalTimeout) as caught:
            await http.request("GET", server.url, timeout=httpcore.TimeoutConfig(total_timeout=0.3))
        assert (caught.value.limit, caught.value.phase) == (0.3, "read the response body")

    with ScriptedServer(drip) as server:
        run(runtime, body)


@each_runtime
def test_a_timeout_of_a_request_replaces_the_pools(runtime: Runtime) -> None:
    def slow(peer: Peer) -> None:
        while head := peer.head():
            if b"/never" in head:
                peer.rest()
            time.sleep(0.1)
            peer.send(ok())

    async def body(http: Any) -> None:
        with pytest.raises(httpcore.ReadTimeout):
            await http.request("GET", server.url + "/never")
        for timeout in (5, httpcore.TimeoutConfig(5), httpcore.TimeoutConfig(None)):
            assert (await http.request("GET", server.url, timeout=timeout)).status_code == 200

    with ScriptedServer(slow) as server:
        run(runtime, body, timeout=httpcore.TimeoutConfig(5, read_timeout=0.02))


# Misuse, in the runtime of threads.


def test_sync_pool_refuses_an_async_body_before_any_connection() -> None:
    async def generated() -> Any:
        yield b"x"

    with Recorder() as server, httpcore.SyncConnectionPool() as http:
        for shape in (generated, generated()):
            with pytest.raises(httpcore.LocalProtocolError, match="body is asynchronous"):
                http.request("POST", server.url, body=shape)
        assert server.connections == 0


def test_sync_classes_have_every_public_name_of_async_ones() -> None:
    def public(kind: type) -> Iterator[str]:
        return (name for name in dir(kind) if not name.startswith("_"))

    for plain, sync in (
        (httpcore.ConnectionPool, httpcore.SyncConnectionPool),
        (httpcore.Response, httpcore.SyncResponse),
    ):
        missing = set(public(plain)) - set(public(sync)) - {"received"}
        assert not missing, sync.__name__


def test_sync_response_and_pool_have_the_repr_of_the_async_ones() -> None:
    with Recorder() as server, httpcore.SyncConnectionPool() as http:
        with http.request("GET", server.url, stream=True) as response:
            assert list(response.raw()) == [b"Hello, world"]
            assert repr(response) == "<Response [200 OK] streamed>"
            assert (response.trailers, response.informational, response.connection) == ([], [], None)
        assert repr(http) == "<SyncConnectionPool 1 open, 0 leased, 0 waiting>"


def test_coroutine_that_suspends_in_threads_is_named_and_closed() -> None:
    from httpcore._sync import run as run_in_one_step

    class Suspending:
        def __await__(self) -> Generator[None, None, None]:
            yield

    ended: list[bool] = []

    async def suspends() -> None:
        try:
            await Suspending()
        finally:
            ended.append(True)

    with pytest.raises(
        RuntimeError,
        match=r"suspends.* suspended and yielded a value of type NoneType: SyncConnectionPool expected a backend",
    ):
        run_in_one_step(suspends())
    assert ended == [True]
