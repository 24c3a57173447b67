"""The examples of the guide's jobs, against real servers; the older ones are in test_examples.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import ScriptedServer, free_port, ok, uvicorn

PROJECT = Path(__file__).resolve().parents[2]


def run(example: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """As a user starts it, from the clone."""
    command = [sys.executable, "-m", f"examples.{example}", *arguments]
    environment = {**os.environ, "NO_PROXY": "*"}
    return subprocess.run(command, cwd=PROJECT, input=given, capture_output=True, timeout=60, env=environment)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with uvicorn("apps:app", "--app-dir", "tests/support") as port:
        yield f"http://127.0.0.1:{port}"


def test_failover_reaches_the_server_that_is_there(url: str) -> None:
    done = run("failover", f"http://127.0.0.1:{free_port()}/echo", f"{url}/echo", given=b"an order")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"200 OK from 127.0.0.1:")
    assert b"Connection refused" in done.stderr


def test_failover_sends_to_no_second_server_after_a_break() -> None:
    received: list[bytes] = []
    with (
        ScriptedServer(lambda peer: received.append(peer.head())) as broken,
        ScriptedServer(lambda peer: peer.send(ok())) as other,
    ):
        done = run("failover", broken.url, other.url, given=b"an order")
    assert done.returncode == 1
    assert len(received) == 1
    assert other.connections == 0
    assert b"RemoteProtocolError" in done.stderr
