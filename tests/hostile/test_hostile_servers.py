"""Peers that send invalid, excessive or incomplete HTTP: each results in a clear error and a healthy pool."""

from __future__ import annotations

import gzip
import pickle
import socket
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Semaphore
from typing import Any

import brotli
import pytest
from backports import zstd
from runtimes import Runtime, each_runtime
from servers import Peer, ok
from trials import HostileServer, checked, every_runtime_has_run, nothing_is_left_open, trial  # noqa: F401  # fixtures

import httpcore

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MIB = 1024 * 1024


def sending(*pieces: bytes) -> Callable[[Peer], None]:
    def act(peer: Peer) -> None:
        for piece in pieces:
            peer.send(piece)

    return act


# Bytes that are not HTTP/1.1, or are ambiguous: rows B1 to B5, B8 and B16 of docs/security.md.

LENGTHS = {
    "plus": b"+2",
    "minus": b"-1",
    "underscore": b"1_0",
    "arabic digit": "٢".encode(),
    "hexadecimal": b"0x2",
    "a list": b"2, 2",
    "nothing": b"",
    "10 to the 30": b"1" + b"0" * 30,
}
CODINGS = {
    "xchunked": b"xchunked",
    "twice": b"chunked, chunked",
    "identity": b"identity",
    "a parameter": b"chunked;a=b",
    "a coding in front": b"gzip, chunked",
    "a coding behind": b"chunked, gzip",
    "quoted": b'"chunked"',
}
MALFORMED: dict[str, tuple[bytes, str]] = {
    **{
        f"B1 Content-Length: {name}": (OK + b"Content-Length: " + value + b"\r\n\r\nab", "Content-Length")
        for name, value in LENGTHS.items()
    },
    "B1 two Content-Lengths that differ": (
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "2 Content-Length headers, expected one: '2, 3'",
    ),
    "B1 two Content-Lengths that agree": (OK + b"Content-Length: 2\r\ncontent-length: 2\r\n\r\nab", "2 Content-Length"),
    "B1 Content-Length and Transfer-Encoding": (
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length '2' and Transfer-Encoding 'chunked'",
    ),
    "B1 Transfer-Encoding and Content-Length": (
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        "Content-Length '2' and Transfer-Encoding 'chunked'",
    ),
    **{
        f"B2 Transfer-Encoding: {name}": (
            OK + b"Transfer-Encoding: " + value + b"\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "expected 'chunked', once",
        )
        for name, value in CODINGS.items()
    },
    "B2 Transfer-Encoding padded with VT": (
        OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "expected a header field",
    ),
    "B2 Transfer-Encoding in HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "in an HTTP/1.0 response: expected none",
    ),
    "B3 a chunk line that ends in LF": (CHUNKED + b"2\nab\r\n0\r\n\r\n", "expected a chunk's size"),
    "B3 bytes behind a chunk's data": (CHUNKED + b"2\r\nabX\r\n0\r\n\r\n", "expected CRLF"),
    "B3 LF behind a chunk's data": (CHUNKED + b"2\r\nab\n0\r\n\r\n", "expected CRLF"),
    "B3 a negative chunk size": (CHUNKED + b"-2\r\nab\r\n0\r\n\r\n", "expected a chunk's size"),
    "B3 a chunk size with 0x": (CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n", "expected a chunk's size"),
    "B3 a chunk size of 2 to the 64": (CHUNKED + b"10000000000000000\r\nab\r\n0\r\n\r\n", "expected a chunk's size"),
    "B3 no chunk size": (CHUNKED + b"\r\nab\r\n0\r\n\r\n", "expected a chunk's size"),
    "B3 white space before a chunk size": (CHUNKED + b" 2\r\nab\r\n0\r\n\r\n", "expected a chunk's size"),
    "B3 LF in a chunk extension": (CHUNKED + b"2;a\nb\r\nab\r\n0\r\n\r\n", "expected a chunk's size"),
    "B3 a missing last chunk": (CHUNKED + b"2\r\nab\r\n", "the end of a chunked body, 2 bytes of it were received"),
    "B3 Content-Length as a trailer": (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", "as a trailer"),
    "B3 Transfer-Encoding as a trailer": (CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", "as a trailer"),
    "B3 a trailer that is no field": (CHUNKED + b"0\r\nno colon\r\n\r\n", "expected a trailer field"),
    "B4 a bare CR in a value": (OK + b"A: b\rc\r\n\r\n", "expected a header field"),
    "B4 NUL in a value": (OK + b"A: b\0c\r\n\r\n", "expected a header field"),
    "B4 a control character in a value": (OK + b"A: b\x07c\r\n\r\n", "expected a header field"),
    "B4 DEL in a value": (OK + b"A: b\x7fc\r\n\r\n", "expected a header field"),
    "B4 a space before the colon": (OK + b"Content-Length : 2\r\n\r\nab", "expected a header field"),
    "B4 no colon": (OK + b"Content-Length\r\n\r\n", "expected a header field"),
    "B4 no name": (OK + b": a\r\n\r\n", "expected a header field"),
    "B4 white space before the first header": (OK + b" A: b\r\n\r\n", "expected a header field"),
    "B4 a folded line": (OK + b"A: b\r\n c\r\n\r\n", "expected a header field"),
    "B4 lines that end in LF": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "ends in LF without CR"),
    "B5 HTTP/0.9": (b"<html>Hello</html>", "expected the beginning of a response head, got '<html>"),
    "B5 HTTP/2.0": (
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "expected a status line of HTTP/1.0 or HTTP/1.1, got 'HTTP/2.0",
    ),
    "B5 HTTP/1.2": (b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", "expected a status line"),
    "B5 HTTP/1.10": (b"HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n", "expected a status line"),
    "B5 status 99": (b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n", "expected a status line"),
    "B5 status 099": (b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "expected a status line"),
    "B5 status 2000": (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", "expected a status line"),
    "B5 status 20O": (b"HTTP/1.1 20O OK\r\nContent-Length: 0\r\n\r\n", "expected a status line"),
    "B5 no status": (b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n", "expected a status line"),
    "B5 an empty line first": (b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "expected a status line"),
    "B8 101 without our asking": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
        "switched protocols (101)",
    ),
    "B16 terminal escapes in the status line": (b"HTTP/1.1 200 \x1b[2J\x1b[1;31m\r\n\r\n", r"\x1b[2J"),
    "B16 terminal escapes in a header": (OK + b"A\x1b]0;title\x07: b\r\n\r\n", r"\x1b]0;title\x07"),
    "B16 a long line": (OK + b"A" * 5000 + b"\r\n\r\n", "... (5000 long)"),
    "garbage": (bytes(range(128, 256)) * 4, "expected the beginning of a response head"),
    "garbage after a beginning": (b"HTTP/1.1 200 \r\n" + bytes(range(256)) + b"\r\n\r\n", "expected a header field"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "SSH-2.0"),
    "an alert of TLS": (b"\x15\x03\x01\x00\x02\x02\x46", r"\x15\x03\x01"),
    "nothing": (b"", "before any byte of a response"),
    "only interim responses": (b"HTTP/1.1 103 Early Hints\r\n\r\n", "the final response head, after an interim one"),
}


@each_runtime
@pytest.mark.parametrize("case", MALFORMED)
def test_broken_grammar_is_a_remote_protocol_error_quoted_safely(runtime: Runtime, case: str) -> None:
    raw, words = MALFORMED[case]

    async def body() -> None:
        with HostileServer(sending(raw)) as server:
            async with trial(runtime, server, strict=True) as pool:
                with pytest.raises(httpcore.RemoteProtocolError) as caught:
                    await pool.request("GET", server.url)
                text = checked(caught.value, server)
                assert words in text
                assert caught.value.phase in ("read the response head", "read the response body")
                assert str(pickle.loads(pickle.dumps(caught.value))) == text
            assert server.bad_lines == ["GET /"]  # the server may have acted on the request, so it is not sent again

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
        OK + b"Content-Length:2 \t\r\n\r\nab",
        OK + b'transfer-encoding: CHUNKED\r\n\r\n2;a;b=c;d="e"\r\nab\r\n000\r\nx: y\r\n\r\n',
    ],
    ids=["no reason", "an empty reason", "HTTP/1.0", "padding", "chunks with extensions"],
)
def test_odd_but_valid_responses_are_accepted(runtime: Runtime, raw: bytes) -> None:
    async def body() -> None:
        with HostileServer(sending(raw)) as server:
            async with trial(runtime, server) as pool:
                assert (await pool.request("GET", server.url)).body == b"ab"

    runtime.run(body)


# Responses that are cut at every byte: rows B3, B11, 7 and 8.

BODY = b"The quick brown fox"
BROKEN = (httpcore.RemoteProtocolError, httpcore.ReadError)
DECODING = (httpcore.DecodingError, httpcore.ReadError)
CUT = {
    "a length": OK + b"Content-Length: %d\r\nA: b\r\n\r\n" % len(BODY) + BODY,
    "chunks and trailers": CHUNKED + b"3;x=y\r\nThe\r\n10\r\n quick brown fox\r\n0\r\nTrailer: t\r\n\r\n",
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ok(BODY),
    "a gzip body": OK
    + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(BODY, mtime=0))
    + gzip.compress(BODY, mtime=0),
    "a gzip body that the end delimits": OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(BODY, mtime=0),
}


@each_runtime
@pytest.mark.parametrize("leave", ["FIN", "RST"])
@pytest.mark.parametrize("case", CUT)
def test_response_cut_at_any_byte_is_error_and_no_shorter_body(runtime: Runtime, case: str, leave: str) -> None:
    whole = CUT[case]
    assert len(whole) <= 300
    bodiless = whole.index(b"\r\n\r\n") + 4 if "end delimits" in case else len(whole)
    cuts = iter(range(len(whole)))

    def act(peer: Peer) -> None:
        peer.send(whole[: next(cuts)])
        if leave == "RST":
            peer.reset()

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                for cut in range(len(whole)):
                    if leave == "FIN" and cut == bodiless:
                        assert (await pool.request("GET", server.url)).body == b""  # an empty body under any coding
                        continue
                    with pytest.raises(BROKEN if cut < bodiless else DECODING):
                        await pool.request("GET", server.url)
                    assert pool.stats().connections == 0, cut
                assert (await pool.request("GET", f"{server.url}/clean")).body == b"clean"
            assert len(server.bad_lines) == len(whole)  # nothing was sent twice

    runtime.run(body)


@each_runtime
def test_an_error_of_a_cut_body_has_the_received_bytes(runtime: Runtime) -> None:
    with HostileServer(sending(OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 400)) as server:

        async def body() -> None:
            async with trial(runtime, server) as pool:
                async with await pool.request("GET", server.url, stream=True) as response:
                    pieces = response.raw()
                    assert await pieces.__anext__() == b"x" * 400  # received bytes are passed on before the error
                    with pytest.raises(httpcore.RemoteProtocolError) as caught:
                        await pieces.__anext__()
                assert "600 bytes of the body, 400 of 1,000 were received" in checked(caught.value, server)

        runtime.run(body)


@each_runtime
def test_body_until_the_end_is_complete_when_peer_half_closes(runtime: Runtime) -> None:
    def act(peer: Peer) -> None:
        peer.send(OK + b"\r\n" + BODY)
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.rest() == b""  # the client closes its side

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                assert (await pool.request("GET", server.url)).body == BODY
                assert pool.stats().connections == 0

    runtime.run(body)


# Endless senders: rows B6 and B7.

ENDLESS: dict[str, tuple[bytes, bytes, int]] = {  # its first bytes, the repeated ones, the limit that is exceeded
    "the status line": (b"HTTP/1.1 200 ", b"a" * 4096, 262144),
    "a header's name": (OK, b"a" * 4096, 262144),
    "a header's value": (OK + b"A: ", b"a" * 4096, 262144),
    "headers": (OK, b"A: b\r\n" * 512, 262144),
    "interim responses": (b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 64, 65536),
    "interim responses with headers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: " + b"a" * 4096 + b"\r\n\r\n", 65536),
    "a chunk's size": (CHUNKED, b"0" * 4096, 16384),
    "a chunk's extension": (CHUNKED + b"1;a=", b"a" * 4096, 16384),
    "extensions of one chunk": (CHUNKED + b"1", b";a=b" * 1024, 16384),
    "extensions of many chunks": (CHUNKED, (b"1;a=" + b"a" * 1024 + b"\r\nx\r\n") * 4, 65536),
    "a trailer's value": (CHUNKED + b"0\r\nA: ", b"a" * 4096, 262144),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n" * 512, 262144),
}


@each_runtime
@pytest.mark.parametrize("case", ENDLESS)
def test_an_endless_sender_is_stopped_before_a_mebibyte(runtime: Runtime, case: str) -> None:
    start, piece, limit = ENDLESS[case]
    sent = 0

    def act(peer: Peer) -> None:
        nonlocal sent
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        peer.send(start)
        with suppress(OSError):
            while sent < 64 * MIB:
                peer.send(piece)
                sent += len(piece)

    async def body() -> None:
        with HostileServer(act) as server:
            began = time.monotonic()
            async with trial(runtime, server, timeout=30) as pool:
                with pytest.raises(httpcore.LimitExceeded) as caught:
                    await pool.request("GET", server.url)
                checked(caught.value, server)
                assert caught.value.limit == limit
            assert sent < MIB
            assert time.monotonic() - began < 10

    runtime.run(body)


# Bytes without a request for them: rows B9 and B10.

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
NO_BODY = {
    "HEAD": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    "204": b"HTTP/1.1 204 No Content\r\n\r\npoison",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison",
    "HEAD with chunks": CHUNKED + b"6\r\npoison\r\n0\r\n\r\n",
}
GLUED = {
    "a whole response": ok(b"good") + POISON,
    "half a response": ok(b"good") + POISON[:10],
    "one byte": ok(b"good") + b"\n",
    "an empty line": ok(b"good") + b"\r\n",
    "behind the last chunk": CHUNKED + b"4\r\ngood\r\n0\r\n\r\n" + POISON,
    "more than the length said": OK + b"Content-Length: 4\r\n\r\ngoodies",
}


@each_runtime
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", GLUED)
def test_surplus_behind_a_response_never_reaches_the_next_one(runtime: Runtime, case: str, stream: bool) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(GLUED[case])) as server:
            async with trial(runtime, server) as pool:
                for _ in range(3):
                    response = await pool.request("GET", server.url, stream=stream)
                    assert await response.read() == b"good"
                    assert (response.info.reused, response.info.attempts) == (False, 1)
                    assert pool.stats().connections == 0
            assert server.bad_lines == ["GET /"] * 3

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("case", NO_BODY)
def test_bytes_behind_a_response_without_a_body_are_surplus(runtime: Runtime, case: str) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(NO_BODY[case])) as server:
            async with trial(runtime, server) as pool:
                for _ in range(2):
                    response = await pool.request("HEAD" if "HEAD" in case else "GET", server.url)
                    assert (response.body, response.info.reused) == (b"", False)

    runtime.run(body)


def time_out(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    peer.close()


IDLE: dict[str, Callable[[Peer], object]] = {
    "a whole response": lambda peer: peer.send(POISON),
    "half a response": lambda peer: peer.send(POISON[:10]),
    "a byte": lambda peer: peer.send(b"\n"),
    "a timeout's answer and the end": time_out,
    "the end": lambda peer: peer.close(),
    "a reset": lambda peer: peer.reset(),
}


@each_runtime
@pytest.mark.parametrize("pause", [False, True], ids=["the loop was busy", "the loop ran"])
@pytest.mark.parametrize("case", IDLE)
def test_input_while_idle_never_reaches_the_next_request(runtime: Runtime, case: str, pause: bool) -> None:
    """This includes the fault of row 1: the server closes an idle connection."""
    go, done = Semaphore(0), Semaphore(0)
    answered = 0

    def act(peer: Peer) -> bool:
        nonlocal answered
        assert peer.exactly(4) == b"once"
        peer.send(ok(b"good"))
        answered += 1
        if answered <= 3:
            assert go.acquire(timeout=10)
            IDLE[case](peer)
            done.release()
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                for _ in range(3):
                    response = await pool.request("POST", server.url, body=b"once")
                    assert response.body == b"good"
                    assert (response.info.reused, response.info.attempts) == (False, 1)
                    go.release()
                    assert done.acquire(timeout=10)
                    if pause:
                        await runtime.sleep(0.01)
                assert (await pool.request("POST", server.url, body=b"once")).body == b"good"
            assert server.bad_lines == ["POST /"] * 4  # each came once

    runtime.run(body)


# Content codings: rows B12, B13 and B14.

CONTENT = bytes(range(256)) * 64
CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": lambda data: zlib.compress(data, wbits=-15),
    "br": brotli.compress,
    "zstd": zstd.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
}


def coded(name: str, body: bytes) -> bytes:
    return ok(body, b"Content-Encoding: " + name.removeprefix("raw ").encode())


@each_runtime
@pytest.mark.parametrize("variant", ["read", "stream"])
@pytest.mark.parametrize("coding", CODERS)
def test_a_coded_body_cut_short_is_a_decoding_error(runtime: Runtime, coding: str, variant: str) -> None:
    whole = CODERS[coding](CONTENT)
    answers = iter([whole[:-1], whole[:-5], whole[: len(whole) // 2], whole[:1], whole])

    async def fetch(pool: Any, url: str) -> bytes:
        response = await pool.request("GET", url, stream=variant == "stream")
        if variant == "read":
            return bytes(response.body)
        return b"".join([piece async for piece in response.stream()])

    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(coded(coding, next(answers)))) as server:
            async with trial(runtime, server) as pool:
                for _ in range(4):
                    with pytest.raises(httpcore.DecodingError) as caught:
                        await fetch(pool, server.url)
                    assert str(caught.value).isprintable()
                assert await fetch(pool, server.url) == CONTENT

    runtime.run(body)


DAMAGED = {
    "B12 garbage behind gzip": ("gzip", gzip.compress(CONTENT) + b"garbage"),
    "B12 garbage behind zlib": ("deflate", zlib.compress(CONTENT) + b"garbage"),
    "B12 a wrong checksum": ("gzip", gzip.compress(CONTENT)[:-8] + b"\0" * 8),
    "B12 a million empty members": ("gzip", gzip.compress(b"") * 50_000),
    "B12 an unknown coding": ("rot13", b"uryyb"),
    "B12 not what it says": ("gzip", b"plain"),
    "B13 five hundred codings": (", ".join(["gzip"] * 500), b"plain"),
    "B13 six codings": (", ".join(["gzip"] * 6), b"plain"),
}


@each_runtime
@pytest.mark.parametrize("case", DAMAGED)
def test_a_bad_coding_is_a_decoding_error_and_raw_still_works(runtime: Runtime, case: str) -> None:
    name, raw = DAMAGED[case]

    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(coded(name, raw))) as server:
            async with trial(runtime, server, strict=True) as pool:
                with pytest.raises(httpcore.DecodingError) as caught:
                    await pool.request("GET", server.url)
                assert str(caught.value).isprintable()
                response = await pool.request("GET", server.url, stream=True)
                assert b"".join([piece async for piece in response.raw()]) == raw

    runtime.run(body)


# Large results of small input: rows B14 and B15.

BOMB = 1024 * MIB
BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: deflated(31),
    "deflate": lambda: deflated(15),
    "br": lambda: coded_zeros(brotli.Compressor(quality=5), "process", "finish"),
    "zstd": lambda: coded_zeros(zstd.ZstdCompressor(3), "compress", "flush"),
}


def deflated(wbits: int) -> bytes:
    """A gibibyte of zeros, with a wrong checksum: a block between two full flushes may be repeated."""
    coder = zlib.compressobj(9, wbits=wbits)
    zeros = bytes(16 * MIB)
    first, block = (coder.compress(zeros) + coder.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + block * (BOMB // len(zeros) - 1) + coder.flush()


def coded_zeros(coder: Any, feed: str, end: str) -> bytes:
    """A gibibyte of zeros, coded."""
    zeros = bytes(16 * MIB)
    pieces = [getattr(coder, feed)(zeros) for _ in range(BOMB // len(zeros))]
    return b"".join(pieces) + bytes(getattr(coder, end)())


def memory(what: str) -> int:
    """A figure of this process, in bytes: VmRSS is the memory in use, VmHWM its maximum so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def forget_peak() -> int:
    """Reset VmHWM. Returns the memory in use."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


@pytest.fixture(scope="module", params=BOMBS)
def bomb(request: pytest.FixtureRequest) -> bytes:
    body = BOMBS[request.param]()
    assert len(body) < 1.1 * MIB
    return coded(request.param, body)


@each_runtime
def test_a_gigabyte_behind_a_megabyte_is_refused_by_read(runtime: Runtime, bomb: bytes) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(bomb)) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(httpcore.LimitExceeded) as caught:
                    await pool.request("GET", server.url)
                assert "in pieces with stream()" in str(caught.value)
                received = int(bomb.split(b"\r\n")[1].split()[1])
                assert caught.value.limit == max(64 * MIB, 32 * received)

    runtime.run(body)


@each_runtime
def test_a_gigabyte_bomb_is_streamed_in_flat_memory(runtime: Runtime, bomb: bytes) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send_and_stay(bomb)) as server:
            async with trial(runtime, server) as pool:
                before = forget_peak()
                size = 0
                async with await pool.request("GET", server.url, stream=True) as response:
                    async for piece in response.stream():
                        assert len(piece) <= 65536
                        size += len(piece)
                        if size > 100 * MIB:  # the whole gigabyte would show no more, and take seconds
                            break
                assert memory("VmHWM") - before < 16 * MIB

    runtime.run(body)


@each_runtime
def test_an_unwanted_endless_body_is_neither_decoded_nor_drained(runtime: Runtime) -> None:
    sent = 0

    def act(peer: Peer) -> None:
        nonlocal sent
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        peer.send(OK + b"Content-Encoding: gzip\r\nContent-Length: 1000000000000\r\n\r\n")
        while True:
            peer.send(b"not gzip" * 8192)
            sent += 65536

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("GET", server.url, stream=True)
                await response.close()
                assert pool.stats().connections == 0
            assert sent < 8 * MIB  # the size of the kernel's buffers

    runtime.run(body)


def seconds_for_chunks(runtime: Runtime, count: int) -> float:
    """CPU time of this thread for a body of `count` chunks of one byte."""
    raw = CHUNKED + b"1\r\nx\r\n" * count + b"0\r\n\r\n"

    async def body() -> float:
        with HostileServer(lambda peer: peer.send_and_stay(raw)) as server:
            async with trial(runtime, server, timeout=60) as pool:
                began = time.thread_time()
                assert (await pool.request("GET", server.url)).body == b"x" * count
                return time.thread_time() - began

    return runtime.run(body)


@pytest.mark.cpu_time
@each_runtime
def test_chunks_of_one_byte_take_linear_time(runtime: Runtime) -> None:
    few, many = (65_536, MIB) if runtime.name == "threads" else (32_768, 262_144)  # a mebibyte takes seconds
    short, long = seconds_for_chunks(runtime, few), seconds_for_chunks(runtime, many)
    assert long < 2.5 * many / few * short + 0.1, f"{long:.3f} s for {many} chunks, {short:.3f} s for {few}"


@each_runtime
def test_a_response_that_arrives_byte_by_byte_is_the_same(runtime: Runtime) -> None:
    """Each byte of the head and of the body arrives alone."""
    raw = ok(b"x" * 400, b"A: " + b"b" * 400)

    def act(peer: Peer) -> bool:
        for at in range(len(raw)):
            peer.send(raw[at : at + 1])
        return True

    async def body() -> None:
        with HostileServer(act) as server:
            async with trial(runtime, server) as pool:
                assert (await pool.request("GET", server.url)).body == b"x" * 400

    runtime.run(body)
