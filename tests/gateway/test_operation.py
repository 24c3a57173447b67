"""The supervisor and its workers: reloads and shutdowns under load, workers that die, and counts over all workers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from gateway_servers import exchange, get, status_of
from servers import Peer, ScriptedServer, ok

from httpcore.gateway.supervisor import Supervisor, listening
from httpcore.gateway.worker import main

pytestmark = pytest.mark.servers


def answering(peer: Peer) -> None:
    while head := peer.head():
        if b"content-length: " in head.lower():
            peer.exactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        if b"/stream" in head:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nfirst")
            peer.rest()
            return
        peer.send(ok(b"x"))


class Load:
    """Requests on kept connections, one after the other, as a balancer sends them, in a thread of its own.

    Attributes:
        answered: how many requests were answered with status 200.
        lost: the responses to requests that were sent, but not answered with status 200.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.lost: list[bytes] = []
        self.stop = threading.Event()

    def run(self) -> None:
        """Send requests until `stop` is set, or until no process listens any more."""
        request = get().replace(b"Connection: close\r\n", b"")
        while not self.stop.is_set():
            try:
                client = socket.create_connection(("127.0.0.1", self.port), 10)
            except OSError:
                return
            with client:
                self._request_until_close(client, request)

    def _request_until_close(self, client: socket.socket, request: bytes) -> None:
        """Use one connection until the gateway announces that it will close it."""
        received = b""
        while not self.stop.is_set() and b"connection: close" not in received:
            received = b""
            with suppress(OSError):
                client.sendall(request)
                while not received.endswith(b"\r\n\r\nx"):
                    if not (data := client.recv(65536)):
                        break
                    received += data
            if not received.startswith(b"HTTP/1.1 200 "):
                self.lost.append(received)
                return
            self.answered += 1


class Running:
    """A gateway whose supervisor runs in this process."""

    def __init__(self, port: int, metrics: int, workers: Callable[[], set[int]]) -> None:
        self.port = port
        self.metrics = metrics
        self.workers = workers

    def rows(self) -> dict[str, int]:
        text = exchange(self.metrics, get("/metrics")).partition(b"\r\n\r\n")[2].decode()
        lines = [line.removeprefix("httpcore_gateway_") for line in text.splitlines() if not line.startswith("#")]
        return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def reload(self) -> None:
        """Reload the settings, and return when all workers are new ones."""
        old = self.workers()
        os.kill(os.getpid(), signal.SIGHUP)
        self.until(lambda: len(self.workers()) == len(old) and not self.workers() & old)

    def ready(self) -> bool:
        return status_of(exchange(self.metrics, get("/ready"))) == 200

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(1500):
            if condition():
                return
            time.sleep(0.02)
        pytest.fail("the condition was not met in 30 s")


def supervised(table: dict[str, Any], read: Callable[[], Any], scenario: Callable[[Running], None]) -> int:
    """Run a supervisor, here because it handles signals, and beside it the scenario; then SIGTERM. Its exit status."""
    listener, metrics = listening("127.0.0.1", 0, 100), listening("127.0.0.1", 0, 100)
    supervisor = Supervisor(table, read, listener, metrics)
    running = Running(listener.getsockname()[1], metrics.getsockname()[1], supervisor.pids)
    is_over = threading.Event()

    def act() -> None:
        try:
            running.until(running.ready)
            scenario(running)
        finally:
            if not is_over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    with ThreadPoolExecutor(1) as thread:
        acting = thread.submit(act)
        try:
            status = asyncio.run(supervisor.run())
        finally:
            is_over.set()
        acting.result()
    return status


def test_two_reloads_and_the_end_under_load_lose_no_request() -> None:
    """The counts of workers that have ended are still included."""
    with ScriptedServer(answering) as upstream, ThreadPoolExecutor(4) as threads:
        table: dict[str, Any] = {"upstreams": [upstream.url], "service": {"grace": 5}}
        loads: list[Load] = []

        def scenario(running: Running) -> None:
            loads.extend([Load(running.port) for _ in range(4)])
            tasks.extend([threads.submit(load.run) for load in loads])
            for _ in range(2):
                running.reload()
            before = sum(load.answered for load in loads)
            counted = running.rows()
            after = sum(load.answered for load in loads)
            # On each connection one response may have reached the client and not be counted yet, or the reverse.
            assert before - 4 <= counted['responses_total{class="2xx"}'] <= after + 4
            assert before - 4 <= counted[f'upstream_requests_total{{upstream="{upstream.url}"}}'] <= after + 4
            assert counted["workers"] == 1

        tasks: list[Any] = []
        assert supervised(table, lambda: table, scenario) == 0
        for task in tasks:
            task.result(10)
        assert [load.lost for load in loads] == [[]] * 4
        assert sum(load.answered for load in loads) > 100


def test_a_dead_worker_is_replaced_and_a_bad_reload_not_done(caplog: pytest.LogCaptureFixture) -> None:
    def scenario(running: Running) -> None:
        first = running.workers()
        assert len(first) == 2
        for _ in range(4):
            assert status_of(exchange(running.port, get())) == 200
        assert running.rows()['responses_total{class="2xx"}'] == 4
        os.kill(min(first), signal.SIGKILL)
        running.until(lambda: running.rows()["workers"] == 2 and running.workers() != first)
        assert running.rows()['responses_total{class="2xx"}'] == 4
        read.append({"upstreams": ["http://a"], "retrys": 1})
        second = running.workers()
        os.kill(os.getpid(), signal.SIGHUP)
        running.until(lambda: "the nearest is" in caplog.text)
        assert running.workers() == second
        assert status_of(exchange(running.metrics, get("/other"))) == 404

    with ScriptedServer(answering) as upstream:
        read: list[dict[str, Any]] = []
        table: dict[str, Any] = {"upstreams": [upstream.url], "service": {"workers": 2}}
        assert supervised(table, lambda: read[-1], scenario) == 0
    assert "a worker ended: SIGKILL; it is replaced in 0.1 s" in caplog.text
    assert "the reload is given up: retrys: expected one of" in caplog.text


def test_a_failed_start_is_an_exit_status(capfd: pytest.CaptureFixture[str]) -> None:
    """The check cannot find this fault: the worker is configured to run an object that is no gateway."""
    listener = listening("127.0.0.1", 0, 100)
    supervisor = Supervisor({"upstreams": ["http://a"]}, dict, listener, None)
    supervisor.tables[0] = {}
    assert asyncio.run(supervisor.run()) == 1
    assert "upstreams: expected at least one URL" in capfd.readouterr().err


# A worker alone.


class SupervisorChannel:
    """The supervisor's end of the channel."""

    def __init__(self, port: int, channel: socket.socket) -> None:
        self.port = port
        self.channel = channel
        self.lines = channel.makefile("rb")

    def send(self, order: object) -> None:
        self.channel.sendall(json.dumps(order).encode() + b"\n")

    def receive(self) -> Any:
        return json.loads(self.lines.readline())


@contextmanager
def worker(scenario: Callable[[SupervisorChannel], None], **service: Any) -> Iterator[ScriptedServer]:
    """Runs a worker in this process, together with a scenario."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with ScriptedServer(answering) as upstream, ThreadPoolExecutor(1) as thread:
        listener = listening("127.0.0.1", 0, 100)
        ours, theirs = socket.socketpair()
        orders = SupervisorChannel(listener.getsockname()[1], ours)
        orders.send({"table": {"upstreams": [upstream.url], "service": service}, "name": "gw"})

        def act() -> None:
            try:
                assert orders.receive() == {"ready": True}
                scenario(orders)
            finally:
                orders.lines.close()
                ours.close()

        acting = thread.submit(act)
        try:
            assert main(str(listener.detach()), str(theirs.detach())) == 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        acting.result()
        yield upstream


def test_the_end_is_announced_and_cuts_slow_requests(caplog: pytest.LogCaptureFixture) -> None:
    kept = get("/a").replace(b"Connection: close\r\n", b"")

    def scenario(orders: SupervisorChannel) -> None:
        assert status_of(exchange(orders.port, get("/ready"))) == 200
        orders.send("figures")
        (counted,) = orders.receive()["figures"]
        assert counted[0] == 0
        with (
            socket.create_connection(("127.0.0.1", orders.port), 10) as idle,
            socket.create_connection(("127.0.0.1", orders.port), 10) as stream,
        ):
            stream.sendall(get("/stream").replace(b"Connection: close\r\n", b""))
            received = b""
            while not received.endswith(b"first"):
                received += stream.recv(1000)
            idle.sendall(kept)
            received = idle.recv(1000)
            assert b"connection" not in received
            orders.send("stop")
            while status_of(exchange(orders.port, get("/ready"))) != 503:
                time.sleep(0.01)
            idle.sendall(kept)
            received = b""
            while data := idle.recv(1000):
                received += data
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nconnection: close\r\n" in received
            began = time.monotonic()
            with suppress(OSError):
                assert stream.recv(1000) == b""
            assert 0.2 < time.monotonic() - began < 5
        (counted,) = orders.receive()["figures"]
        assert counted[2] == [0, 2, 0, 0, 0, 1]

    with worker(scenario, ready="/ready", notice=0.3, grace=0.5) as upstream:
        ends = time.monotonic() + 5  # the upstream notices in a thread of its own that the worker has ended
        while upstream.open_sockets() and time.monotonic() < ends:
            time.sleep(0.01)
        assert upstream.open_sockets() == []
    assert "1 requests were cut off at the end of the grace" in caplog.text
    assert "Traceback" not in caplog.text


def test_connections_in_the_queue_at_the_end_are_served() -> None:
    """The end of the supervisor ends the worker, too. An idle connection is kept for a second, and no longer."""

    def scenario(orders: SupervisorChannel) -> None:
        orders.channel.shutdown(socket.SHUT_WR)
        clients = []
        with suppress(OSError):
            for _ in range(200):
                clients.append(socket.create_connection(("127.0.0.1", orders.port), 10))
                time.sleep(0.002)
        assert len(clients) > 5
        for client in clients[1:]:
            client.sendall(get())
            assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
            client.close()
        with clients[0] as idle:
            assert idle.recv(1000) == b""

    with worker(scenario):
        pass
