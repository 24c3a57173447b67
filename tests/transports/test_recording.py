"""Exchanges in a file: a real one is replayed byte for byte, and no secret is written."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from seam import entered, fetch
from servers import Peer, ScriptedServer, ok

import httpcore

CODED = gzip.compress(bytes(range(256)) * 400, mtime=0)


def serve(peer: Peer) -> None:
    """Counts its answers, so that a replay can be distinguished from a new one."""
    number = 0
    while head := peer.head():
        number += 1
        path = head.split(b" ")[1].partition(b"?")[0]
        if path == b"/coded":
            peer.send(ok(CODED, b"Content-Encoding: gzip", b"X-Number: %d" % number))
        elif path == b"/chunked":
            peer.send(
                b"HTTP/1.1 203 As It Is\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=hidden\r\n"
                b"X-CSRF-Token: hidden\r\nWWW-Authenticate: Basic realm=shown-realm\r\n"
                b"Location: http://user:hidden@a.test/to?token=hidden&next=shown-next#x\r\n\r\n"
            )
            peer.send(b"3\r\nab\xff\r\n2\r\ncd\r\n0\r\nX-Sum: 7\r\n\r\n")
        else:
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or b"0")
            peer.send(ok(b"%d %b" % (number, peer.exactly(length))))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(serve) as server:
        yield server


def raw_body(server: ScriptedServer, path: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Body and header fields of a response with Content-Length, as a plain socket receives them."""
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        fields = [(line.partition(b": ")[0], line.partition(b": ")[2]) for line in head.split(b"\r\n")[1:]]
        length = int(dict(fields)[b"Content-Length"])
        while len(body) < length:
            body += sock.recv(65536)
    return body, [(name.lower(), value) for name, value in fields]


@each_runtime
def test_a_real_exchange_is_replayed_byte_for_byte(runtime: Runtime, server: ScriptedServer, tmp_path: Path) -> None:
    async def body() -> None:
        file = tmp_path / "exchanges"
        async with entered(runtime, httpcore.RecordReplay(file)) as transport:
            recorded = await fetch(runtime, transport, "GET", f"{server.url}/coded")
        offline = httpcore.MockTransport(lambda *_: httpcore.Response(500))
        async with entered(runtime, httpcore.RecordReplay(file, offline, mode="replay")) as transport:
            for _ in range(2):
                replayed = await fetch(runtime, transport, "GET", f"{server.url}/coded")
                assert (
                    replayed[:3] == recorded[:3] == (200, raw_body(server, "/coded")[1], raw_body(server, "/coded")[0])
                )
                assert replayed.body == CODED
                assert replayed.extensions["reason_phrase"] == "OK"

    runtime.run(body)


@each_runtime
def test_pieces_trailers_and_reason_are_replayed(runtime: Runtime, server: ScriptedServer, tmp_path: Path) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.RecordReplay(tmp_path / "file")) as transport:
            recorded = await fetch(runtime, transport, "GET", f"{server.url}/chunked")
        async with entered(runtime, httpcore.RecordReplay(tmp_path / "file", mode="replay")) as transport:
            replayed = await fetch(runtime, transport, "GET", f"{server.url}/chunked")
        assert replayed.body == recorded.body == b"ab\xffcd"
        assert replayed.status_code == 203
        for name in ("reason_phrase", "http_version", "trailing_headers"):
            assert replayed.extensions[name] == recorded.extensions[name]
        assert (b"set-cookie", b"***") in replayed.headers

    runtime.run(body)


@each_runtime
def test_a_request_is_found_by_method_url_and_body(runtime: Runtime, server: ScriptedServer, tmp_path: Path) -> None:
    async def body() -> None:
        requests: list[tuple[str, str, Any]] = [
            ("POST", "/a", b"one"),
            ("POST", "/a", b"two"),
            ("PUT", "/a", b"one"),
            ("POST", "/b", [b"o", b"ne"]),
            ("POST", "/a", b"one"),
        ]
        async with entered(runtime, httpcore.RecordReplay(tmp_path / "file", mode="record")) as transport:
            recorded = [
                (await fetch(runtime, transport, method, server.url + path, None, stream)).body
                for method, path, stream in requests
            ]
        assert recorded == [b"1 one", b"2 two", b"3 one", b"4 one", b"5 one"]
        async with entered(runtime, httpcore.RecordReplay(tmp_path / "file", mode="replay")) as transport:
            replayed = [
                (await fetch(runtime, transport, method, server.url + path, None, stream)).body
                for method, path, stream in requests
            ]
            assert replayed == recorded
            with pytest.raises(httpcore.LocalProtocolError, match=r"POST 'http://127.* is not in .*: expected a reco"):
                await fetch(runtime, transport, "POST", f"{server.url}/a", stream=b"three")

    runtime.run(body)


@each_runtime
def test_no_secret_is_written(runtime: Runtime, server: ScriptedServer, tmp_path: Path) -> None:
    async def body() -> None:
        file = tmp_path / "file"
        url = server.url.replace("//", "//user:hidden@") + "/chunked?token=hidden&page=1"
        hidden = (
            "Authorization",
            "Proxy-authorization",
            "COOKIE",
            "X-Mine",
            "X-Amz-Security-Token",
            "X-API-Key",
            "ApiKey",
        )
        headers = dict.fromkeys(hidden, "hidden") | {"X-Other": "shown", "Referer": "/a?Token=hidden"}
        for mode in ("auto", "replay"):
            recorder = httpcore.RecordReplay(file, mode=mode, secrets=["Token", "x-mine"])
            async with entered(runtime, recorder) as transport:
                assert (await fetch(runtime, transport, "GET", url, headers)).status_code == 203
        text = file.read_text()
        assert "hidden" not in text
        for shown in ('"shown"', "page=1", "shown-realm", "http://a.test/to?token=%2A%2A%2A&next=shown-next#x"):
            assert shown in text

    runtime.run(body)


@each_runtime
def test_an_unfinished_response_is_not_recorded(runtime: Runtime, server: ScriptedServer, tmp_path: Path) -> None:
    from seam import opened

    async def body() -> None:
        file = tmp_path / "file"
        async with entered(runtime, httpcore.RecordReplay(file)) as transport:
            async with opened(runtime, transport, "GET", f"{server.url}/coded"):
                pass
            assert not file.exists()

    runtime.run(body)


@pytest.mark.parametrize("text", ["x", "{}", "[]", '{"request": 1, "response": 2}'])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match=r"line 1 of .* is not a recorded exchange"):
        httpcore.RecordReplay(tmp_path / "file")
    with pytest.raises(ValueError, match="mode is 'x'"):
        httpcore.RecordReplay(tmp_path / "other", mode="x")  # type: ignore[arg-type]
