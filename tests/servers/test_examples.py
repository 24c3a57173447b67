"""The examples work: the gateway in front of a real upstream, the demo as a whole."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from real_servers import Ports
from servers import Peer, ScriptedServer, answering, free_port, ok, process, uvicorn

import httpcore

PROJECT = Path(__file__).resolve().parents[2]


class Upstream(NamedTuple):
    """The upstream of the gateway."""

    url: str
    version: bytes
    app: str = "examples.gateway:app"
    environment: dict[str, str] = {}  # noqa: RUF012 - never changed

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def gateway(upstream: str, app: str = "examples.gateway:app", **environment: str) -> Iterator[str]:
    port = free_port()
    options = ["--log-level", "critical", "--no-proxy-headers"]
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), *options]
    with process(command, port, env={"UPSTREAM": upstream, **environment}):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module", params=["HTTP/1.1", "HTTP/2 by ALPN", "HTTP/2 by prior knowledge"])
def upstream(request: pytest.FixtureRequest, place: Path) -> Iterator[Upstream]:
    if request.param == "HTTP/1.1":
        with uvicorn("apps:app", "--app-dir", "tests/support") as port:
            yield Upstream(f"http://127.0.0.1:{port}", b"1.1")
        return
    ports: Ports = request.getfixturevalue("hypercorn")
    if request.param == "HTTP/2 by ALPN":
        trust = {"UPSTREAM_CA": str(place / "ca.pem")}
        yield Upstream(f"https://localhost:{ports.secure}", b"2", environment=trust)
    else:
        yield Upstream(f"http://127.0.0.1:{ports.plain}", b"2", "tests.support.h2_gateway:app")


@pytest.fixture(scope="module")
def url(upstream: Upstream) -> Iterator[str]:
    with gateway(upstream.url, upstream.app, **upstream.environment) as url:
        yield url


def gateway_process(url: str) -> psutil.Process:
    port = url.rpartition(":")[2]
    # A test that failed may have left a child that has ended, and has no command line any more.
    living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return next(child for child in living if ["--port", port] == child.cmdline()[4:6])


def connections(url: str, upstream: Upstream) -> set[int]:
    """The ports of the gateway's connections to its upstream, from the system."""
    return {
        found.laddr.port
        for found in gateway_process(url).net_connections("tcp")
        if found.raddr and found.raddr.port == upstream.port and found.status == psutil.CONN_ESTABLISHED
    }


@pytest.fixture
def http() -> Iterator[httpcore.SyncConnectionPool]:
    with httpcore.SyncConnectionPool(timeout=30) as pool:
        yield pool


def names(response: httpcore.SyncResponse) -> list[bytes]:
    return [name for name, _ in response.headers]


def test_the_gateway_uses_the_protocol_of_its_upstream(
    url: str, upstream: Upstream, http: httpcore.SyncConnectionPool
) -> None:
    response = http.request("GET", url + "/version")
    assert (response.body, response.protocol) == (upstream.version, "HTTP/1.1")


def test_the_gateway_passes_path_query_and_body_on(url: str, http: httpcore.SyncConnectionPool) -> None:
    assert http.request("GET", url + "/a%2Fb%20c?d=%26").body == b"Hello, GET /a%2Fb%20c"
    assert http.request("POST", url + "/echo", body=b"bytes").body == b"bytes"
    assert http.request("POST", url + "/echo", body=iter([b"in ", b"chunks"])).body == b"in chunks"
    assert http.request("PUT", url + "/digest", body=b"").body.startswith(b"0 ")


def test_the_gateway_doubles_no_header_and_decodes_nothing(url: str, http: httpcore.SyncConnectionPool) -> None:
    with http.request("GET", url + "/gzip", stream=True) as response:
        assert len(names(response)) == len(set(names(response)))
        raw = b"".join(response.raw())
    assert raw[:2] == b"\x1f\x8b"
    assert (b"content-length", str(len(raw)).encode()) in response.headers


@pytest.mark.parametrize("status", [204, 304, 404])
def test_the_gateway_passes_responses_without_a_body_on(
    url: str, http: httpcore.SyncConnectionPool, status: int
) -> None:
    response = http.request("GET", f"{url}/status?n={status}")
    assert (response.status_code, response.body) == (status, b"")
    head = http.request("HEAD", f"{url}/hello")
    assert (head.status_code, head.body) == (200, b"")
    assert http.stats().connections == 1


def test_the_gateway_removes_fields_for_one_hop(http: httpcore.SyncConnectionPool) -> None:
    heads: list[bytes] = []

    def script(peer: Peer) -> None:
        while head := peer.head():
            heads.append(head)
            peer.send(
                ok(b"", b"Connection: x-mine", b"X-Mine: 1", b"Keep-Alive: timeout=9", b"X-Kept: 2", b"Date: now")
            )

    with ScriptedServer(script) as upstream, gateway(upstream.url) as url:
        sent = [("Connection", "x-secret"), ("X-Secret", "1"), ("TE", "trailers"), ("X-Forwarded-For", "1.2.3.4")]
        response = http.request("GET", url + "/", headers=[*sent, ("Proxy-Authorization", "b"), ("X-Kept", "yes")])
    lines = heads[0].decode().lower().split("\r\n")
    given = {line.partition(":")[0] for line in lines[1:] if line}
    assert given == {"host", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-kept"}
    # The address that the client claims is not forwarded: the client is no trusted proxy.
    assert "x-forwarded-for: 127.0.0.1" in lines
    assert names(response).count(b"date") == 1
    assert b"x-kept" in names(response)
    assert not {b"connection", b"x-mine", b"keep-alive"} & set(names(response))


def test_the_gateway_answers_502_and_504_in_the_upstreams_place(http: httpcore.SyncConnectionPool) -> None:
    with gateway(f"http://127.0.0.1:{free_port()}") as url:
        response = http.request("GET", url + "/")
        assert (response.status_code, response.body) == (502, b"ConnectError\n")
    with ScriptedServer(answering(b"garbage\r\n\r\n")) as upstream, gateway(upstream.url) as url:
        assert http.request("GET", url + "/").status_code == 502
    with ScriptedServer(lambda peer: peer.rest()) as silent, gateway(silent.url, UPSTREAM_TIMEOUT="0.2") as url:
        response = http.request("GET", url + "/")
        assert (response.status_code, response.body) == (504, b"ReadTimeout\n")


def test_the_gateway_cuts_a_response_that_the_upstream_cut(http: httpcore.SyncConnectionPool) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
    broken = pytest.raises((httpcore.RemoteProtocolError, httpcore.ReadError))
    with ScriptedServer(answering(cut)) as upstream, gateway(upstream.url) as url, broken:
        http.request("GET", url + "/")


@pytest.mark.parametrize("where", ["before the head", "in the body"])
def test_client_that_leaves_cancels_the_request_to_the_upstream(where: str) -> None:
    left = threading.Event()
    began = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        if where == "in the body":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nsome")
        began.set()
        assert not peer.rest()
        left.set()

    with ScriptedServer(script) as upstream, gateway(upstream.url) as url:
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert began.wait(10)
            if where == "in the body":
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
        assert left.wait(10), "the upstream still has its connection"


def test_a_hundred_megabytes_pass_the_gateway_in_flat_memory(
    url: str, upstream: Upstream, http: httpcore.SyncConnectionPool
) -> None:
    size, piece = 100_000_000, os.urandom(50_000)
    process = gateway_process(url)
    http.request("GET", url + "/bytes?n=1000000")
    before = process.memory_info().rss
    digest = hashlib.sha256(piece * (size // len(piece))).hexdigest()
    response = http.request("POST", url + "/digest", body=(piece for _ in range(size // len(piece))))
    assert response.body.decode() == f"{size} {digest}"
    with http.request("GET", f"{url}/bytes?n={size}", stream=True) as response:
        assert sum(len(part) for part in response.raw()) == size
    assert process.memory_info().rss - before < 30_000_000


def test_fifty_requests_at_once_pass_the_gateway(
    url: str, upstream: Upstream, http: httpcore.SyncConnectionPool
) -> None:
    """Over HTTP/2 the requests share one connection to the upstream."""

    def echo(number: int) -> bytes:
        return http.request("POST", url + "/echo", body=f"number {number}".encode()).body

    with ThreadPoolExecutor(50) as threads:
        assert list(threads.map(echo, range(50))) == [f"number {number}".encode() for number in range(50)]
    if upstream.version == b"2":
        assert len(connections(url, upstream)) == 1


def test_a_client_of_the_gateway_that_leaves_harms_no_other(
    url: str, upstream: Upstream, http: httpcore.SyncConnectionPool
) -> None:
    def slow(number: int) -> bytes:
        if number % 2:
            with pytest.raises(httpcore.ReadTimeout):
                http.request("GET", url + "/slow", timeout=httpcore.TimeoutConfig(30, read_timeout=0.1))
            return b"gone"
        return http.request("GET", url + "/slow").body

    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(slow, range(20))) == [b"at last", b"gone"] * 10
    assert http.request("GET", url + "/hello").body == b"Hello, world"
    if upstream.version == b"2":
        assert len(connections(url, upstream)) == 1


def test_response_with_trailers_passes_the_gateway_without_them(
    hypercorn: Ports, place: Path, http: httpcore.SyncConnectionPool
) -> None:
    """ASGI servers have no common way to send trailers; the body before them is complete."""
    with gateway(f"https://localhost:{hypercorn.secure}", UPSTREAM_CA=str(place / "ca.pem")) as url:
        response = http.request("GET", url + "/trailers")
        assert (response.body, response.trailers) == (b"Hello, world", [])
        assert http.request("GET", url + "/hints").body == b"Hello, world"


def test_the_demo_reports_success() -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"], cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "all 9 steps worked" in done.stdout
    assert time.monotonic() - began < 60


def test_response_that_begins_during_an_upload_passes_gateway(url: str, upstream: Upstream) -> None:
    """The client sends the next piece when it has received the last one back, and the connection stays open."""
    with httpcore.SyncConnectionPool(timeout=10) as http:
        http.request("GET", url + "/")
        before = connections(url, upstream)  # this includes those that other tests have left idle
        for _ in range(2):
            response = http.request("POST", url + "/echo", duplex=True)
            raw = response.connection
            assert raw is not None
            for word in (b"one", b"two", b"three" * 20_000):
                raw.send(word)
                back = b""
                while len(back) < len(word):
                    piece = raw.recv()
                    assert piece
                    back += piece
                assert back == word
            raw.end()
            assert raw.recv() == b""
            raw.close()
        assert http.stats().open == 1
        assert connections(url, upstream) == before


def test_the_progress_bar_of_rich_ends_with_the_whole_file(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    with ScriptedServer(answering(ok(b"x" * 1000))) as server:
        done = subprocess.run(
            [sys.executable, "-m", "examples.progress_bar", f"{server.url}/file", path],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env={**os.environ, "NO_PROXY": "*"},
        )
    assert done.returncode == 0, done.stderr
    assert "1,000 bytes" in done.stdout
    assert "1.0/1.0 kB" in done.stdout
    assert Path(path).read_bytes() == b"x" * 1000
