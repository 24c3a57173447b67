"""`python -m httpcore.gateway`, as a process of its own."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import sys
import threading

import pytest
from gateway_servers import exchange, get, status_of
from servers import Peer, ScriptedServer, free_port, ok, process
from wire_checks import fields_of, names_of

from httpcore.gateway.worker import raise_descriptors

pytestmark = pytest.mark.servers

COMMAND = [sys.executable, "-m", "httpcore.gateway"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_command_forwards_with_the_flags_that_a_gateway_needs() -> None:
    heads: list[bytes] = []

    def script(peer: Peer) -> None:
        while head := peer.head():
            heads.append(head)
            peer.send(ok(b"x", b"Date: then", b"Server: mine"))

    port = free_port()
    with ScriptedServer(script) as upstream, process([*COMMAND, upstream.url, "--port", str(port)], port):
        response = exchange(port, get("/", "X-Forwarded-For: 203.0.113.7"))
    assert status_of(response) == 200
    assert [pair for pair in fields_of(response) if pair[0] in ("date", "server")] == [
        ("date", "then"),
        ("server", "mine"),
    ]
    assert "via" in names_of(response)
    assert b"x-forwarded-for: 127.0.0.1\r\n" in heads[0]


def test_a_worker_may_open_all_descriptors_that_it_can_get() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(256, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
    try:
        raise_descriptors()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_sigterm_lets_requests_end_and_accepts_no_more() -> None:
    go, began = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        began.set()
        go.wait(10)
        peer.send(ok(b"at last"))

    port = free_port()
    with ScriptedServer(script) as upstream, process([*COMMAND, upstream.url, "--port", str(port)], port) as running:
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(get())
            assert began.wait(10)
            running.send_signal(signal.SIGTERM)
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                except OSError:
                    break
                threading.Event().wait(0.02)
            else:
                pytest.fail("the gateway still accepts connections")
            go.set()
            received = b""
            while data := client.recv(1000):
                received += data
        assert received.endswith(b"at last")
        running.wait(10)


@pytest.mark.parametrize(
    ("arguments", "status", "seen"),
    [
        (["http://a", "http://b:9000", "--check"], 0, "http://a, http://b:9000"),
        (["ftp://a", "--check"], 1, "ftp"),
        (["http://a", "--balance", "best", "--check"], 1, "balance: expected one of"),
        (["http://a", "--trust", "10.0.0.0/99", "--check"], 1, "trusted_proxies: expected an address or a network"),
        (["http://a", "--idle", "-1", "--check"], 1, "idle"),
        (["--check"], 2, "URL"),
    ],
)
def test_check_reports_whether_the_arguments_are_right(arguments: list[str], status: int, seen: str) -> None:
    done = run(*arguments)
    assert done.returncode == status
    assert seen in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
