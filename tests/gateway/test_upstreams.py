"""Several upstreams, limits and timeouts, with real sockets: the effects of one upstream's failures on the clients."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from gateway_servers import SERVERS, exchange, get, serving, status_of
from servers import Peer, ScriptedServer, free_port, ok, process, uvicorn
from wire_checks import Wire

import httpcore

pytestmark = pytest.mark.servers

UVICORN = "uvicorn-httptools"


def server_that_says(word: bytes) -> ScriptedServer:
    def script(peer: Peer) -> None:
        while head := peer.head():
            lower = head.lower()
            if b"content-length: " in lower:
                peer.exactly(int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            if b"chunked" in lower:
                peer.until(b"0\r\n\r\n")
            peer.send(ok(word))

    return ScriptedServer(script)


def rows(port: int) -> dict[str, int]:
    """The gateway's counts."""
    text = exchange(port, get("/-/stats")).decode()
    lines = [line.strip() for line in text.splitlines() if line.startswith("httpcore_gateway_")]
    return {name.removeprefix("httpcore_gateway_"): int(value) for name, value in (row.rsplit(" ", 1) for row in lines)}


def is_settled(port: int) -> bool:
    """Whether no request holds a place of a limit any more."""
    for _ in range(100):
        counted = rows(port)
        if (
            counted["requests_under_way"]
            + sum(value for name, value in counted.items() if name.startswith("upstream_outstanding"))
            == 0
        ):
            return True
        time.sleep(0.02)
    return False


def test_requests_are_spread_over_the_upstreams() -> None:
    with server_that_says(b"one") as one, server_that_says(b"two") as two:
        options = json.dumps({"balance": "round_robin"})
        with serving(UVICORN, "plain", UPSTREAMS=f"{one.url} {two.url}", OPTIONS=options) as port:
            seen = Counter(exchange(port, get()).rpartition(b"\r\n\r\n")[2] for _ in range(10))
            assert seen == {b"one": 5, b"two": 5}
            counted = rows(port)
            assert counted[f'upstream_requests_total{{upstream="{one.url}"}}'] == 5
            assert counted['responses_total{class="2xx"}'] == 10
            assert is_settled(port)


def test_a_refused_connection_goes_to_another_upstream() -> None:
    """Requests of any method are sent to the other upstream, with their bodies."""
    with server_that_says(b"two") as two:
        dead = f"http://127.0.0.1:{free_port()}"
        with serving(UVICORN, "plain", UPSTREAMS=f"{dead} {two.url}", HEALTH='{"passive": null}') as port:
            for _ in range(6):
                response = exchange(port, get("/", "Content-Length: 5", method="POST", body=b"hello"))
                assert response.endswith(b"two")
            assert rows(port)["retries_total"] >= 3
            assert rows(port)[f'upstream_failures_total{{upstream="{dead}"}}'] >= 3


@pytest.mark.parametrize(("method", "status", "times"), [("GET", 200, 1), ("PUT", 200, 1), ("POST", 502, 1)])
def test_a_request_that_may_have_been_handled_is_not_repeated(method: str, status: int, times: int) -> None:
    """The first upstream reads the request and closes without an answer."""
    heads: list[bytes] = []

    def script(peer: Peer) -> None:
        heads.append(peer.head())

    with ScriptedServer(script) as broken, server_that_says(b"two") as two:
        options = json.dumps({"balance": "first"})
        with serving(UVICORN, "plain", UPSTREAMS=f"{broken.url} {two.url}", OPTIONS=options) as port:
            assert status_of(exchange(port, get("/", "Content-Length: 0", method=method))) == status
            assert len(heads) == times


def test_a_body_that_was_begun_is_not_sent_again() -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(3)

    with ScriptedServer(script) as broken, server_that_says(b"two") as two:
        options = json.dumps({"balance": "first"})
        with serving(UVICORN, "plain", UPSTREAMS=f"{broken.url} {two.url}", OPTIONS=options) as port:
            sent = get("/", "Transfer-Encoding: chunked", method="PUT", body=b"3\r\nabc\r\n0\r\n\r\n")
            assert status_of(exchange(port, sent)) == 502


def test_one_of_two_upstreams_killed_under_load_fails_no_get() -> None:
    """The upstream is used again when the checks have succeeded, within `rise` intervals and a second."""
    port_of_two = free_port()
    command = [sys.executable, "-m", "uvicorn", "apps:hello", "--app-dir", "tests/support", "--log-level", "critical"]
    command += ["--port", str(port_of_two), "--lifespan", "off"]
    health = json.dumps({"path": "/", "interval": 0.2, "rise": 2, "fall": 1})
    with ExitStack() as stack:
        one = stack.enter_context(uvicorn("apps:hello", "--lifespan", "off", "--app-dir", "tests/support"))
        two = stack.enter_context(process(command, port_of_two))
        urls = [f"http://127.0.0.1:{one}", f"http://127.0.0.1:{port_of_two}"]
        port = stack.enter_context(serving(UVICORN, "plain", UPSTREAMS=" ".join(urls), HEALTH=health))
        http = stack.enter_context(httpcore.SyncConnectionPool(timeout=30))
        statuses = Counter[int]()
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                statuses[http.request("GET", f"http://127.0.0.1:{port}/").status_code] += 1

        with ThreadPoolExecutor(4) as threads:
            running = [threads.submit(load) for _ in range(4)]
            time.sleep(0.5)
            two.send_signal(signal.SIGKILL)
            two.wait()
            time.sleep(1)
            name = f'upstream_available{{upstream="{urls[1]}"}}'
            assert rows(port)[name] == 0
            stack.enter_context(process(command, port_of_two))
            began = time.monotonic()
            while not rows(port)[name]:
                assert time.monotonic() - began < 2 * 0.2 + 1
                time.sleep(0.02)
            before = rows(port)[f'upstream_requests_total{{upstream="{urls[1]}"}}']
            time.sleep(0.3)
            assert rows(port)[f'upstream_requests_total{{upstream="{urls[1]}"}}'] > before + 5
            stop.set()
            for each in running:
                each.result()
        assert set(statuses) == {200}
        assert statuses[200] > 100


def test_an_upstream_killed_under_load_gets_no_post_twice() -> None:
    """The other upstream gets no POST twice either. Requests that were not sent to the first go to the other, so that
    few fail.
    """
    done: list[str] = []

    def script(peer: Peer) -> None:
        while head := peer.head():
            done.append(head.decode().partition(" /")[2].partition(" ")[0])
            peer.exactly(5)
            peer.send(ok(b"x"))

    with ExitStack() as stack:
        one, two = (stack.enter_context(ScriptedServer(script)) for _ in range(2))
        health = '{"passive": 3}'
        port = stack.enter_context(serving(UVICORN, "plain", UPSTREAMS=f"{one.url} {two.url}", HEALTH=health))
        threads = stack.enter_context(ThreadPoolExecutor(8))
        numbers = itertools.count()
        statuses = Counter[int]()
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                sent = get(f"/{next(numbers)}", "Content-Length: 5", method="POST", body=b"hello")
                statuses[status_of(exchange(port, sent))] += 1

        running = [threads.submit(load) for _ in range(8)]
        time.sleep(0.4)
        two.close()  # stops listening, and ends its connections at any point of a response
        time.sleep(0.4)
        stop.set()
        for each in running:
            each.result()
    assert [name for name, times in Counter(done).items() if times > 1] == []
    assert set(statuses) <= {200, 502}
    assert statuses[502] <= 8  # one for each request in flight
    assert statuses[200] > 20


def test_without_an_upstream_that_works_the_answer_is_503() -> None:
    health = json.dumps({"path": "/", "interval": 0.05, "fall": 1})
    with serving(UVICORN, "plain", UPSTREAMS=f"http://127.0.0.1:{free_port()}", HEALTH=health) as port:
        time.sleep(0.3)
        assert status_of(exchange(port, get())) == 503


# Timeouts.


@pytest.mark.parametrize(
    ("timeouts", "path", "status"),
    [
        ({"first_byte": 0.2}, "/silent", 504),
        ({"first_byte": None, "idle": 0.1, "total": 0.5}, "/silent", 504),
        ({"first_byte": 0.2, "idle": 5}, "/slow-body", 200),
        ({"first_byte": 5, "idle": 0.2}, "/slow-head", 200),
        ({"first_byte": 5, "idle": 0.2}, "/stops", 0),
        ({"total": 0.4}, "/slow-body", 0),
    ],
)
def test_first_byte_idle_and_total_are_timeouts_of_their_own(
    timeouts: dict[str, float], path: str, status: int
) -> None:
    """Status 0 means that the response is cut off."""

    def script(peer: Peer) -> None:
        while head := peer.head():
            requested = head.split(b" ")[1]
            if requested == b"/silent":
                peer.rest()
                return
            if requested == b"/slow-head":
                time.sleep(0.6)
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            if requested == b"/slow-body":
                time.sleep(0.6)
            if requested == b"/stops":
                peer.rest()
                return
            peer.send(b"b")

    environment = {"TIMEOUTS": json.dumps(timeouts)}
    with ScriptedServer(script) as upstream, serving(UVICORN, "plain", UPSTREAMS=upstream.url, **environment) as port:
        response = exchange(port, get(path))
        assert status_of(response) == (status or 200)
        if status == 200:
            assert response.endswith(b"\r\n\r\nab")
        if status == 0:
            assert response.endswith(b"\r\n\r\na")
        assert is_settled(port)


def test_a_slow_client_is_no_slow_upstream() -> None:
    """While the client's buffers are full, the gateway does not wait for the upstream."""
    size = 20_000_000

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))

    environment = {"TIMEOUTS": '{"idle": 0.3}'}
    with ScriptedServer(script) as upstream, serving(UVICORN, "plain", UPSTREAMS=upstream.url, **environment) as port:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(get())
            received = len(client.recv(1000))
            time.sleep(1)
            while data := client.recv(1_000_000):
                received += len(data)
        assert received > size


# Limits.


def test_requests_beyond_the_limit_wait_and_then_are_503() -> None:
    limits = json.dumps({"concurrent": 2, "queue": 2, "queue_wait": 0.5})
    go = threading.Event()

    def script(peer: Peer) -> None:
        while peer.head():
            go.wait(10)
            peer.send(ok(b"x"))

    with ScriptedServer(script) as upstream, serving(UVICORN, "plain", UPSTREAMS=upstream.url, LIMITS=limits) as port:
        with ThreadPoolExecutor(6) as threads:
            requested = [threads.submit(exchange, port, get()) for _ in range(6)]
            time.sleep(0.25)
            counted = rows(port)
            assert (counted["requests_under_way"], counted["requests_waiting"]) == (2, 2)
            time.sleep(0.5)  # two were refused at once, and two have waited for too long
            go.set()
            statuses = Counter(status_of(each.result()) for each in requested)
        assert statuses == {200: 2, 503: 4}
        assert is_settled(port)
        assert status_of(exchange(port, get())) == 200


def test_a_place_in_the_queue_is_taken_when_one_comes_free() -> None:
    limits = json.dumps({"concurrent": 1, "queue": 50, "queue_wait": 10})
    with server_that_says(b"x") as upstream, serving(UVICORN, "plain", UPSTREAMS=upstream.url, LIMITS=limits) as port:
        with ThreadPoolExecutor(20) as threads:
            requested = [threads.submit(exchange, port, get()) for _ in range(20)]
            assert {status_of(each.result()) for each in requested} == {200}
        assert upstream.connections == 1
        assert is_settled(port)


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_a_body_beyond_the_limit_is_a_413(framing: str) -> None:
    with (
        server_that_says(b"x") as upstream,
        serving(UVICORN, "plain", UPSTREAMS=upstream.url, LIMITS='{"body": 10}') as port,
    ):
        if framing == "content-length":
            sent = get("/", "Content-Length: 11", method="POST", body=b"hello world")
        else:
            sent = get("/", "Transfer-Encoding: chunked", method="POST", body=b"b\r\nhello world\r\n0\r\n\r\n")
        assert status_of(exchange(port, sent)) == 413
        assert status_of(exchange(port, get("/", "Content-Length: 10", method="POST", body=b"hello worl"))) == 200


# Routes.


def test_a_router_gives_the_path_to_the_app_of_its_prefix() -> None:
    with server_that_says(b"api") as upstream, serving(UVICORN, "routed", UPSTREAMS=upstream.url) as port:
        found = {path: status_of(exchange(port, get(path))) for path in
                 ("/api/", "/api/x", "/api", "/apix", "/", "/api/../x", "/api/%2e%2e/x", "/api/a/../b")}  # fmt: skip
    assert found == {
        "/api/": 200,
        "/api/x": 200,
        "/api": 200,
        "/apix": 404,
        "/": 404,
        "/api/../x": 400,
        "/api/%2e%2e/x": 400,
        "/api/a/../b": 200,
    }


@pytest.fixture
def prefixed() -> Iterator[tuple[int, list[bytes]]]:
    heads: list[bytes] = []

    def script(peer: Peer) -> None:
        while head := peer.head():
            heads.append(head)
            peer.send(ok(b"x"))

    with ScriptedServer(script) as upstream, serving(UVICORN, "plain", UPSTREAMS=f"{upstream.url}/base/") as port:
        yield port, heads


def test_the_path_of_an_upstream_comes_first_and_is_not_left(prefixed: tuple[int, list[bytes]]) -> None:
    port, heads = prefixed
    assert status_of(exchange(port, get("/a%2Fb?c"))) == 200
    assert heads[-1].startswith(b"GET /base/a%2Fb?c HTTP/1.1\r\n")
    for path in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/a/../../secret"):
        assert status_of(exchange(port, get(path))) == 400
    assert len(heads) == 1


def test_a_gateway_that_is_its_own_upstream_is_reported() -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.support.gateway_apps:plain", "--port", str(port)]
    with process([*command, "--log-level", "critical"], port, env={"UPSTREAMS": f"http://127.0.0.1:{port}"}):
        assert status_of(exchange(port, get())) == 508


# Leaving.


@pytest.mark.parametrize("server", SERVERS)
def test_a_disconnect_at_any_moment_leaves_nothing_behind(server: str) -> None:
    requests = [
        get("/"),
        get("/silent"),
        get("/stream"),
        get("/silent", "Content-Length: 5", method="POST", body=b"hello"),
        get("/", "Content-Length: 100000", method="POST", body=b"some"),
        get("/", "Transfer-Encoding: chunked", method="POST", body=b"4\r\nsome\r\n"),
        get("/early", "Content-Length: 100000", method="POST", body=b"some"),
        get("/cut"),
    ]

    def leave(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(requests[number % len(requests)])
            time.sleep(0.001 * (number * 7 % 31))

    wire = Wire()
    with wire.upstream, serving(server, "plain", UPSTREAMS=wire.upstream.url) as port:
        with ThreadPoolExecutor(16) as threads:
            for each in [threads.submit(leave, number) for number in range(240)]:
                each.result()
        assert is_settled(port)
        assert status_of(exchange(port, get())) == 200


# Without a server.


def test_import_httpcore_loads_nothing_of_the_gateway() -> None:
    program = "import sys, httpcore; httpcore.ConnectionPool(); print([n for n in sys.modules if 'gateway' in n])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
