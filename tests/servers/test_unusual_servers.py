"""Responses of servers in use that violate the RFCs: they are read as curl and urllib3 read them, and `info.lenient`
names the deviations; the connection is not used again afterwards. Bytes that two readers could interpret differently
are refused in any mode.

curl and urllib3 read the same bytes from the same kind of server, so that a row has the results of other clients.
"""

from __future__ import annotations

import gzip
import random
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from typing import Any, get_args

import pytest
import urllib3
from clients import client
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer
from trials import HostileServer, trial

import httpcore
from httpcore._http1.parser import H1Response
from httpcore._message.rules import DEFAULT_RULES, LENIENCIES

pytestmark = pytest.mark.servers

TEXT = b"all of it"
LENGTH = b"Content-Length: 9\r\n\r\n" + TEXT
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIPPED = gzip.compress(TEXT)


def coded(coding: bytes, body: bytes) -> bytes:
    return OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (coding, len(body), body)


@dataclass
class Row:
    """One response.

    Attributes:
        lenient: our names of its deviations.
        curl, urllib3: whether these read the same body.
        reused: whether our connection is used again.
        fields: fields that must be read in this form.
    """

    raw: bytes
    lenient: tuple[str, ...]
    status: int = 200
    body: bytes = TEXT
    curl: bool = True
    urllib3: bool = True
    reused: bool = False
    fields: tuple[tuple[bytes, bytes], ...] = ()


LF = OK.replace(b"\r", b"")
ROWS: dict[str, Row] = {
    "status 999": Row(b"HTTP/1.1 999 Denied\r\nContent-Length: 6\r\n\r\ndenied", (), 999, b"denied", reused=True),
    "status 600": Row(b"HTTP/1.1 600 Busy\r\nContent-Length: 6\r\n\r\nbusy..", (), 600, b"busy..", reused=True),
    "status 799": Row(b"HTTP/1.1 799 x\r\nContent-Length: 6\r\n\r\nbusy..", (), 799, b"busy..", reused=True),
    "Content-Length twice": Row(
        OK + b"Content-Length: 9\r\n" + LENGTH, ("repeated-length",), fields=((b"content-length", b"9"),)
    ),
    "Content-Length as a list": Row(OK + b"Content-Length: 9, 9\r\n\r\n" + TEXT, ("repeated-length",), urllib3=False),
    "a folded field": Row(
        OK + b"Content-Security-Policy: default-src 'self';\r\n  img-src *;\r\n\tx y\r\nB: c\r\n" + LENGTH,
        ("folded-field",),
        fields=((b"content-security-policy", b"default-src 'self'; img-src *; x y"), (b"b", b"c")),
    ),
    "all lines end in LF": Row(LF + b"A: b\nContent-Length: 9\n\n" + TEXT, ("line-end",), fields=((b"a", b"b"),)),
    "LF before CRLF CRLF in the body": Row(
        LF + b"Content-Length: 9\n\na\r\n\r\n1234", ("line-end",), body=b"a\r\n\r\n1234"
    ),
    "only the empty line ends in LF": Row(OK + b"Content-Length: 9\r\n\n" + TEXT, ("line-end",)),
    "only the status line ends in LF": Row(LF + b"A: b\r\n" + LENGTH, ("line-end",), fields=((b"a", b"b"),)),
    "one field ends in LF": Row(OK + b"A: b\n" + LENGTH, ("line-end",), fields=((b"a", b"b"),)),
    "an interim head with LF": Row(b"HTTP/1.1 100 Continue\n\n" + OK + LENGTH, ("line-end",)),
    "a chunk line with blanks": Row(CHUNKED + b"9   \r\n" + TEXT + b"\r\n0\r\n\r\n", ("blank-after-chunk-size",)),
    "a last chunk line with a tab": Row(CHUNKED + b"9\r\n" + TEXT + b"\r\n0\t\r\n\r\n", ("blank-after-chunk-size",)),
    "all chunk lines end in LF": Row(
        CHUNKED.replace(b"\r", b"") + b"4\nall \n5\nof it\n0\n\n", ("line-end",), urllib3=False),
    "chunk lines end in LF": Row(CHUNKED + b"4\nall \n5\nof it\n0\n\n", ("line-end",), urllib3=False),
    "LF from the second chunk on": Row(CHUNKED + b"4\r\nall \r\n5\nof it\n0\n\n", ("line-end",), urllib3=False),
    "trailers that end in LF": Row(CHUNKED + b"9\r\n" + TEXT + b"\r\n0\r\nA: b\n\n", ("line-end",)),
    "a folded trailer": Row(CHUNKED + b"9\r\n" + TEXT + b"\r\n0\r\nA: b\r\n c\r\n\r\n", ("folded-field",)),
    "chunked in HTTP/1.0": Row(
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n" + TEXT + b"\r\n0\r\n\r\n", ("chunked-in-http10",)
    ),
    "chunked in HTTP/1.0 with keep-alive": Row(
        CHUNKED.replace(b"1.1", b"1.0", 1)[:-2] + b"Connection: keep-alive\r\n\r\n9\r\n" + TEXT + b"\r\n0\r\n\r\n",
        ("chunked-in-http10",),
    ),
    "a control character in a value": Row(
        OK + b"X-A: a\x01b\r\n" + LENGTH, ("control-character",), fields=((b"x-a", b"a\x01b"),)
    ),
    "DEL, VT and FF in a value": Row(
        OK + b"X-A: a\x7f\x0b\x0cb\r\n" + LENGTH, ("control-character",), fields=((b"x-a", b"a\x7f\x0b\x0cb"),)
    ),
    "several at once": Row(
        b"HTTP/1.0 200 OK\nX: a\x02\nY: 1\n 2\nTransfer-Encoding: chunked\n\n9 \n" + TEXT + b"\n0\n\n",
        ("line-end", "control-character", "folded-field", "chunked-in-http10", "blank-after-chunk-size"),
        fields=((b"y", b"1 2"),), urllib3=False),
    "60 interim heads": Row(
        b"HTTP/1.1 104 Upload Resumption Supported\r\nX: y\r\n\r\n" * 60 + OK + LENGTH, (), reused=True, urllib3=False),
    "a head of 80 KB": Row(
        OK + b"".join([b"Set-Cookie: c%d=%b\r\n" % (number, b"x" * 4000) for number in range(20)]) + LENGTH,
        (),
        reused=True,
    ),
    "300 fields": Row(OK + b"X-A: b\r\n" * 300 + LENGTH, (), urllib3=False, reused=True),
    "gzip and CRLF": Row(coded(b"gzip", GZIPPED + b"\r\n"), ("text-behind-gzip",), curl=False, reused=True),
    "gzip and a comment": Row(
        coded(b"gzip", GZIPPED + b"<!-- cached -->"), ("text-behind-gzip",), curl=False, reused=True
    ),
    "gzip and one byte of another member": Row(
        coded(b"gzip", GZIPPED + b"\x1f"), ("text-behind-gzip",), curl=False, reused=True
    ),
    "two members, padding and text": Row(
        coded(b"gzip", gzip.compress(b"all ") + gzip.compress(b"of it") + b"\0\0" + b"x"),
        ("text-behind-gzip",),
        curl=False,
        reused=True,
    ),
    "the coding UTF-8": Row(coded(b"UTF-8", TEXT), ("unknown-coding",), curl=False, reused=True),
    "the coding none": Row(coded(b"none", TEXT), ("unknown-coding",), reused=True),
    "the coding binary": Row(coded(b"binary", TEXT), ("unknown-coding",), curl=False, reused=True),
    "the coding aws-chunked": Row(coded(b"aws-chunked", TEXT), ("unknown-coding",), curl=False, reused=True),
    "aws-chunked and gzip": Row(
        coded(b"aws-chunked, gzip", GZIPPED), ("unknown-coding",), curl=False, urllib3=False, reused=True
    ),
}  # fmt: skip

REFUSED: dict[str, bytes] = {
    "Content-Lengths that differ": OK + b"Content-Length: 8\r\n" + LENGTH,
    "a list of Content-Lengths that differ": OK + b"Content-Length: 9, 8\r\n\r\n" + TEXT,
    "Content-Lengths that are spelled otherwise": OK + b"Content-Length: 09\r\n" + LENGTH,
    "a list with nothing in it": OK + b"Content-Length: 9,\r\n\r\n" + TEXT,
    "Content-Length with Transfer-Encoding": OK + b"Transfer-Encoding: chunked\r\n" + LENGTH,
    "the same with LF": LF + b"Transfer-Encoding: chunked\n" + LENGTH,
    "the same in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n" + LENGTH,
    "chunked twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n9\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "two Transfer-Encodings": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n9\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\n" + TEXT,
    "a size with a prefix": CHUNKED + b"0x9\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "a size with a sign": CHUNKED + b"+9\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "a size with a blank before it": CHUNKED + b" 9\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "a size in two parts": CHUNKED + b"0 9\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "no size": CHUNKED + b"\r\n" + TEXT,
    "an extension that ends in LF": CHUNKED + b"9;a=\nb\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "CR alone behind a size": CHUNKED + b"9\r" + TEXT + b"\r\n0\r\n\r\n",
    "data longer than their chunk": CHUNKED + b"8\r\n" + TEXT + b"\r\n0\r\n\r\n",
    "Content-Length in LF trailers": CHUNKED + b"9\r\n" + TEXT + b"\r\n0\nContent-Length: 9\n\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + LENGTH,
    "HTTP/2.0 with LF": b"HTTP/2.0 200 OK\n" + LENGTH,
    "HTTP/9.9": b"HTTP/9.9 200 OK\r\n" + LENGTH,
    "HTTP/1.2": b"HTTP/1.2 200 OK\n" + LENGTH,
    "a folded Content-Length": OK + b"Content-Length:\r\n 9\r\n\r\n" + TEXT,
    "a folded Transfer-Encoding": OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a fold with nothing to go on with": OK + b" A: b\r\n" + LENGTH,
    "NUL in a value": OK + b"A: a\0b\r\n" + LENGTH,
    "CR in a value": OK + b"A: a\rb\r\n" + LENGTH,
    "two CR at the end of a line": OK + b"A: a\r\r\n" + LENGTH,
    "a blank before the colon": OK + b"A : b\r\n" + LENGTH,
    "no colon": OK + b"A\r\n" + LENGTH,
    "a control character in a name": OK + b"A\x01: b\r\n" + LENGTH,
    "a control character in the reason": b"HTTP/1.1 200 O\x01K\r\n" + LENGTH,
    "an empty line first": b"\r\n" + OK + LENGTH,
    "an empty line of LF first": b"\n" + OK + LENGTH,
    "status 099": b"HTTP/1.1 099 x\r\n" + LENGTH,
    "no status": b"HTTP/1.1 OK\n" + LENGTH,
    "101 that was not asked for": b"HTTP/1.1 101 x\n\n",
    "HTTP/0.9": b"<html>Hello</html>",
}

UNDECODABLE: dict[str, tuple[bytes, bytes]] = {
    "a gzip body that is cut": (b"gzip", GZIPPED[:-1]),
    "a second member that is cut": (b"gzip", GZIPPED + GZIPPED[:-1]),
    "a second member that is damaged": (b"gzip", GZIPPED + b"\x1f\x8bxxxxxxxx"),
    "text behind deflate": (b"deflate", zlib.compress(TEXT) + b"x"),
    "a registered coding that is not known": (b"compress", TEXT),
    "six codings": (b"gzip, gzip, gzip, gzip, gzip, gzip", TEXT),
}


def answering(raw: bytes) -> HostileServer:
    return HostileServer(lambda peer: peer.send_and_stay(raw))


def in_pieces(raw: bytes) -> HostileServer:
    def act(peer: Peer) -> bool:
        for at in range(len(raw)):
            peer.send(raw[at : at + 1])
        return True

    return HostileServer(act)


@each_runtime
@pytest.mark.parametrize("name", ROWS)
def test_deviations_that_other_clients_read_are_named(runtime: Runtime, name: str) -> None:
    row = ROWS[name]

    async def body() -> None:
        with answering(row.raw) as server:
            async with trial(runtime, server) as pool:
                events: list[Any] = []
                response = await pool.request("GET", server.url, trace=events.append)
                assert (response.status_code, response.body) == (row.status, row.body)
                assert sorted(response.info.lenient) == sorted(row.lenient)
                assert set(row.fields) <= set(response.headers)
                noted = [each.lenient for each in events if isinstance(each, httpcore.ResponseUnusual)]
                assert {one for names in noted for one in names} == set(row.lenient)
            assert server.connections == (1 if row.reused else 2)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("name", [name for name in ROWS if len(ROWS[name].raw) < 4096])
def test_an_unusual_response_may_come_in_single_bytes(runtime: Runtime, name: str) -> None:
    row = ROWS[name]

    async def body() -> None:
        with in_pieces(row.raw) as server:
            async with trial(runtime, server) as pool:
                response = await pool.request("GET", server.url, stream=True)
                pieces = [piece async for piece in response.stream()]
                assert (response.status_code, b"".join(pieces)) == (row.status, row.body)
                assert sorted(response.info.lenient) == sorted(row.lenient)

    runtime.run(body)


def read_by_itself(pieces: list[bytes]) -> object:
    response = H1Response(b"GET", rules=DEFAULT_RULES)
    try:
        for piece in pieces:
            response.receive(piece)
    except httpcore.HTTPCoreError as error:
        return type(error)
    assert response.head is not None
    names = response.head.lenient, response.lenient
    return response.head, *names, b"".join(response.parts or ()), response.trailers, response.reusable, response.surplus


@pytest.mark.parametrize("name", [*ROWS, *REFUSED])
def test_how_an_unusual_response_is_cut_changes_nothing(name: str) -> None:
    raw = ROWS[name].raw if name in ROWS else REFUSED[name]
    whole = read_by_itself([raw])
    draw = random.Random(7)  # the same cuts in each run
    cuts = [[at] for at in range(1, min(len(raw), 400))]
    cuts += [sorted(draw.sample(range(1, len(raw)), min(8, len(raw) - 1))) for _ in range(100)]
    for cut in cuts:
        pieces = [raw[start:end] for start, end in zip([0, *cut], [*cut, len(raw)], strict=True)]
        assert read_by_itself(pieces) == whole, pieces


@each_runtime
@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name].lenient])
def test_a_strict_pool_refuses_unusual_responses(runtime: Runtime, name: str) -> None:
    row = ROWS[name]

    async def body() -> None:
        with answering(row.raw) as server:
            async with trial(runtime, server, strict=True) as pool:
                with pytest.raises((httpcore.RemoteProtocolError, httpcore.DecodingError)):
                    await pool.request("GET", server.url)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
def test_ambiguous_responses_are_refused(runtime: Runtime, name: str, strict: bool) -> None:
    async def body() -> None:
        with HostileServer(lambda peer: peer.send(REFUSED[name])) as server:
            async with trial(runtime, server, strict=strict) as pool:
                with pytest.raises(httpcore.RemoteProtocolError):
                    await pool.request("GET", server.url)

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("name", UNDECODABLE)
def test_content_that_is_not_whole_stays_an_error(runtime: Runtime, name: str) -> None:
    async def body() -> None:
        with answering(coded(*UNDECODABLE[name])) as server:
            async with trial(runtime, server) as pool:
                with pytest.raises(httpcore.DecodingError):
                    await pool.request("GET", server.url)

    runtime.run(body)


@each_runtime
def test_a_transport_is_strict_where_it_is_configured(runtime: Runtime) -> None:
    async def send(transport: httpcore.HTTPTransport, url: str) -> int:
        if runtime.name == "threads":
            with transport.request("GET", url) as (status, _, _, _):
                return status
        async with transport.arequest("GET", url) as (status, _, _, _):
            return status

    async def body() -> None:
        with answering(ROWS["all lines end in LF"].raw) as server:
            with httpcore.HTTPTransport() as transport:
                assert await send(transport, server.url) == 200
            with httpcore.HTTPTransport(strict=True) as transport, pytest.raises(httpcore.RemoteProtocolError):
                await send(transport, server.url)

    runtime.run(body)


CODED = [name for name, row in ROWS.items() if set(row.lenient) & {"unknown-coding", "text-behind-gzip"}]


@each_runtime
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "in pieces"])
@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize("name", CODED)
def test_a_client_refuses_unusual_content_if_it_is_strict(
    runtime: Runtime, name: str, strict: bool, stream: bool
) -> None:
    row = ROWS[name]

    async def body() -> None:
        with answering(row.raw) as server:
            async with client(runtime, transport=httpcore.HTTPTransport(strict=strict)) as http:
                if strict:
                    with pytest.raises(httpcore.DecodingError):
                        await (await http.request("GET", server.url, stream=stream)).read()
                else:
                    response = await http.request("GET", server.url, stream=stream)
                    assert await response.read() == row.body
                    assert sorted(response.info.lenient) == sorted(row.lenient)

    runtime.run(body)


# The results of other clients and of each runtime.


@pytest.mark.parametrize("name", ROWS)
def test_curl_reads_the_rows_as_in_the_table(name: str) -> None:
    row = ROWS[name]
    curl = shutil.which("curl")
    assert curl is not None, "curl is not installed: the tests need the curl of the system"
    with answering(row.raw) as server:
        command = [curl, "--silent", "--noproxy", "*", "--compressed", "--max-time", "10", server.url]
        done = subprocess.run([*command, "-w", " %{http_code}"], capture_output=True, timeout=30, check=False)
    reads = done.returncode == 0 and done.stdout == row.body + b" %d" % row.status
    assert reads == row.curl, (done.returncode, done.stdout[:200])


@pytest.mark.parametrize("name", ROWS)
def test_urllib3_reads_the_rows_as_in_the_table(name: str) -> None:
    row = ROWS[name]
    with answering(row.raw) as server, urllib3.PoolManager(retries=False, timeout=10) as pool:
        try:
            response = pool.request("GET", server.url)
            seen: object = (response.status, response.data)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            seen = error
    assert (seen == (row.status, row.body)) == row.urllib3, seen


def test_the_rows_and_the_names_are_the_same_table() -> None:
    elsewhere = {"connect-framing", "blank-around-value"}  # these belong to proxies and to HTTP/2
    named = {name for row in ROWS.values() for name in row.lenient}
    assert named | elsewhere == set(LENIENCIES) == set(get_args(httpcore.Leniency))
    assert not named & elsewhere


# Limits.

LIMITS = httpcore.PoolLimits(max_head_bytes=2048, max_head_fields=20)


@each_runtime
@pytest.mark.parametrize(
    ("raw", "limit"),
    [
        (OK + b"A: " + b"a" * 2048 + b"\r\n" + LENGTH, 2048),
        (LF + b"A: " + b"a" * 2048 + b"\n" + LENGTH, 2048),
        (OK + b"A: b\r\n" * 20 + LENGTH, 20),
        (LF + b"A: b\n" * 20 + LENGTH, 20),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * 21 + b"\r\n", 20),
        (CHUNKED + b"0\n" + b"A: b\n" * 21 + b"\n", 20),
    ],
)
def test_a_pool_may_have_other_limits_for_heads(runtime: Runtime, raw: bytes, limit: int) -> None:
    async def body() -> None:
        with answering(raw) as server:
            async with trial(runtime, server, limits=LIMITS) as pool:
                with pytest.raises(httpcore.LimitExceeded) as caught:
                    await pool.request("GET", server.url)
                assert caught.value.limit == limit
            async with trial(runtime, server) as pool:
                await pool.request("GET", server.url)

    runtime.run(body)


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ({"max_head_bytes": 1023}, ValueError),
        ({"max_head_bytes": (1 << 24) + 1}, ValueError),
        ({"max_head_bytes": None}, TypeError),
        ({"max_head_fields": 0}, ValueError),
        ({"max_head_fields": 70000}, ValueError),
        ({"max_head_fields": True}, TypeError),
    ],
)
def test_a_limit_for_heads_is_a_number_that_means_something(named: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(named))):
        httpcore.PoolLimits(**named)


def test_the_default_limits_are_those_of_the_rules() -> None:
    limits = httpcore.PoolLimits()
    assert (limits.max_head_bytes, limits.max_head_fields) == (DEFAULT_RULES.head_bytes, DEFAULT_RULES.field_count)


# Proxies.

ORIGIN = "http://origin.test/"
CONNECT_ANSWERS: dict[str, tuple[bytes, bool]] = {  # the response, and whether strict rules accept it too
    "Content-Length twice": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", False),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", False),
    "both": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", False),
    "chunked in HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", False),
    "lone LF": (b"HTTP/1.1 200 OK\nA: b\n\n", False),
    "folded": (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", False),
    "as it should be": (b"HTTP/1.1 200 OK\r\n\r\n", True),
}


@each_runtime
@pytest.mark.parametrize("name", CONNECT_ANSWERS)
def test_a_proxys_unusual_answer_to_connect_opens_the_tunnel(runtime: Runtime, name: str) -> None:
    raw, is_strict = CONNECT_ANSWERS[name]

    def script(peer: Peer) -> None:
        assert peer.head().startswith(b"CONNECT ")
        peer.send(raw)
        while peer.head():
            peer.send(OK + LENGTH)

    async def body() -> None:
        policy = httpcore.NetworkPolicy(allow=("127.0.0.0/8",))  # under a policy each request is tunnelled
        named: dict[str, Any] = {"network_policy": policy, "resolve": {"origin.test": "127.0.0.1"}, "proxy": None}
        with ScriptedServer(script) as server:
            for strict in (False, True):
                pool = runtime.pool(**{**named, "proxy": server.url, "strict": strict})
                try:
                    if strict and not is_strict:
                        with pytest.raises(httpcore.ProxyError):
                            await pool.request("GET", ORIGIN)
                    else:
                        for _ in range(2):
                            assert (await pool.request("GET", ORIGIN)).body == TEXT
                finally:
                    await pool.close()

    runtime.run(body)


# 417 and 408: answers that may not be about the request.


class ExpectationFailedServer:
    """Answers 417 to each request with Expect; records the received heads and bodies."""

    def __init__(self, *, sends_100_continue: bool = False) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._sends_100_continue = sends_100_continue

    def __call__(self, peer: Peer) -> None:
        while head := peer.head():
            self.heads.append(head)
            if b"Expect:" in head:
                if self._sends_100_continue:
                    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                    self.bodies.append(peer.exactly(4))
                peer.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
                continue
            self.bodies.append(peer.exactly(4) if b"Content-Length: 4" in head else b"")
            peer.send(OK + LENGTH)


@each_runtime
def test_a_request_is_sent_again_without_expect_after_417(runtime: Runtime) -> None:
    headers = [("X-A", "b"), ("Expect", "100-continue"), ("X-C", "d")]

    async def body() -> None:
        script = ExpectationFailedServer()
        with ScriptedServer(script) as server:
            pool = runtime.pool()
            try:
                response = await pool.request("POST", server.url, headers, b"body")
                assert (response.status_code, response.body, response.info.attempts) == (200, TEXT, 2)
                host = f"Host: 127.0.0.1:{server.port}\r\n".encode()
                lines = b"POST / HTTP/1.1\r\n" + host + b"X-A: b\r\nX-C: d\r\nContent-Length: 4\r\n\r\n"
                assert script.heads[1] == lines
                assert script.bodies == [b"body"]
            finally:
                await pool.close()

    runtime.run(body)


@each_runtime
def test_417_is_handed_on_where_the_body_cannot_be_sent_again(runtime: Runtime) -> None:
    async def body() -> None:
        headers = {"Expect": "100-continue", "Content-Length": "4"}
        held_back, taken = ExpectationFailedServer(), ExpectationFailedServer(sends_100_continue=True)
        with ScriptedServer(held_back) as server, ScriptedServer(taken) as other:
            pool = runtime.pool()
            try:
                response = await pool.request("POST", server.url, headers, iter([b"body"]))  # no item was read
                assert (response.status_code, held_back.bodies) == (200, [b"body"])
                response = await pool.request("POST", other.url, headers, iter([b"body"]))
                assert (response.status_code, len(taken.heads), taken.bodies) == (417, 1, [b"body"])
                # This request has no body that could wait.
                response = await pool.request("GET", server.url, {"Expect": "100-continue"})
                assert response.status_code == 417
            finally:
                await pool.close()

    runtime.run(body)


LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate"


@each_runtime
@pytest.mark.parametrize(
    ("method", "named", "again"),
    [("GET", {}, True), ("PUT", {}, True), ("POST", {}, False), ("GET", {"retry_stale": False}, False)],
)
def test_408_that_crosses_a_request_is_sent_again_where_safe(
    runtime: Runtime, method: str, named: dict[str, Any], again: bool
) -> None:
    def script(peer: Peer) -> None:
        for count in range(10):
            if not peer.head():
                return
            if count == 1 and peer.number == 1:
                peer.send(LATE)
                return
            peer.send(OK + LENGTH)

    async def body() -> None:
        with ScriptedServer(script) as server:
            pool = runtime.pool(**named)
            try:
                assert (await pool.request("GET", server.url)).status_code == 200
                response = await pool.request(method, server.url)
                assert response.status_code == (200 if again else 408)
                assert (response.info.attempts, server.connections) == ((2, 2) if again else (1, 1))
                assert (await pool.request("GET", server.url)).status_code == 200
            finally:
                await pool.close()

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(
    "raw", [LATE, LATE.replace(b"Connection: close", b"X-A: b")], ids=["on a first request", "that stays open"]
)
def test_408_about_the_request_is_the_callers(runtime: Runtime, raw: bytes) -> None:
    def script(peer: Peer) -> None:
        if b"close" not in raw:
            peer.head()
            peer.send(OK + LENGTH)
        peer.head()
        peer.send(raw)

    async def body() -> None:
        with ScriptedServer(script) as server:
            pool = runtime.pool()
            try:
                if b"close" not in raw:
                    await pool.request("GET", server.url)
                response = await pool.request("GET", server.url)
                assert (response.status_code, response.body, response.info.attempts) == (408, b"late", 1)
            finally:
                await pool.close()

    runtime.run(body)
