"""The examples of the guide's jobs, against real servers; the older ones are in test_examples.py."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import proxies
import pytest
from real_servers import Ports
from servers import Peer, ScriptedServer, free_port, ok, uvicorn

PROJECT = Path(__file__).resolve().parents[2]


def run(example: str, *arguments: str, given: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Runs an example as a user starts it, from the clone."""
    command = [sys.executable, "-m", f"examples.{example}", *arguments]
    environment = {**os.environ, "NO_PROXY": "*", **variables}
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


def test_webhook_is_signed_and_sent_once() -> None:
    received: list[tuple[bytes, bytes]] = []

    def script(peer: Peer) -> None:
        received.append((peer.head().lower(), peer.exactly(9)))
        peer.send(ok())

    with ScriptedServer(script) as server:
        done = run("webhook", server.url, given=b'{"id": 1}', WEBHOOK_KEY="key", WEBHOOK_ALLOW="127.0.0.0/8")
    assert (done.returncode, done.stdout) == (0, b"delivered\n"), done.stderr
    [(head, body)] = received
    assert body == b'{"id": 1}'
    signature = hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert f"x-signature-256: sha256={signature}\r\n".encode() in head


def test_webhook_reaches_no_address_that_is_not_public(url: str) -> None:
    done = run("webhook", url, given=b"{}", WEBHOOK_KEY="key")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"not delivered: ")
    assert b"is not public" in done.stderr


def test_certificates_are_shown_through_a_proxy_too(nginx: Ports, squid: proxies.Ports, place: Path) -> None:
    secure, plain = f"https://localhost:{nginx.secure}/", f"http://127.0.0.1:{free_port()}/"
    direct = run("certificates", "--ca", str(place / "ca.pem"), secure, plain)
    assert direct.returncode == 1
    line, failed = direct.stdout.decode().splitlines()
    assert "days left; for localhost, 127.0.0.1; issued by " in line
    assert line.endswith(", h2")
    assert failed.startswith(f"{plain}: ")
    assert "Connection refused" in failed
    tunnelled = run("certificates", "--ca", str(place / "ca.pem"), "--proxy", f"http://127.0.0.1:{squid.open}", secure)
    assert tunnelled.stdout.decode().splitlines() == [line]


def test_forked_children_have_connections_of_their_own(url: str) -> None:
    done = run("forks", f"{url}/hello", "3")
    assert done.stdout == b"3 of 3 children worked; the parent has kept its connection\n", done.stderr
    assert done.returncode == 0


def test_crawl_gives_each_url_one_result(url: str) -> None:
    dead = f"http://127.0.0.1:{free_port()}/"
    urls = [f"{url}/page/{number}" for number in range(50)] + [f"{url}/status?n=404", dead, "http://[/"]
    done = run("crawl", "--workers", "8", "--rate", "1000", given="\n".join(urls).encode())
    assert done.returncode == 0, done.stderr
    results = {result.pop("url"): result for result in map(json.loads, done.stdout.splitlines())}
    assert sorted(results) == sorted(urls)
    assert [results[each].get("status") for each in urls] == [*[200] * 50, 404, None, None]
    assert results[dead] == {"error": "ConnectError", "phase": "connect"}
    assert results["http://[/"]["error"] == "InvalidURL"
