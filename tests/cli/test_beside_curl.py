"""The command compared with curl: the server receives the same request, the output has the same bytes, the status is
the same number.
"""

from __future__ import annotations

import gzip
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from command_line import curl, httpcore
from servers import Peer, ScriptedServer, free_port, ok

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("no_proxies")]

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = {
    "/hello": ok(b"Hello, world", b"X-Some-Name: Value"),
    "/none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/hints": HINTS + ok(b"after hints"),
    "/binary": ok(bytes(range(256)) * 100),
    "/trailers": CHUNKED + b"5\r\nHello\r\n0\r\nX-Sum: 12\r\n\r\n",
    "/missing": b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nnothing",
    "/gzip": ok(gzip.compress(b"Hello" * 100), b"Content-Encoding: gzip"),
    "/damaged": ok(b"no gzip at all", b"Content-Encoding: gzip"),
    "/unknown": ok(b"abc", b"Content-Encoding: rot13"),
    "/loop": b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n",
    "/moved": b"HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 5\r\n\r\nmoved",
    "/moved-with-body": b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n",
    "/empty": b"",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "/cut-chunks": CHUNKED + b"5\r\nHello\r\n",
    "/broken-chunks": CHUNKED + b"5\r\nHello\r\nxyz\r\n",
    "/until-close": b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
}
CLOSING = {"/empty", "/cut", "/cut-chunks", "/broken-chunks", "/until-close"}


class Origin:
    """Answers by path, and records each request: head and body."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []
        self.server = ScriptedServer(self._serve_requests)
        self.url = self.server.url

    def _serve_requests(self, peer: Peer) -> None:
        while head := peer.head():
            length = [int(line.partition(b":")[2]) for line in head.lower().split(b"\r\n") if b"content-length" in line]
            self.seen.append((head, peer.exactly(length[0] if length else 0)))
            path = "/" + head.split()[1].decode().rpartition("/")[2]
            if path == "/silent":
                peer.rest()
                return
            if path == "/reset":
                peer.reset()
                return
            answer = ANSWERS.get(path, b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
            peer.send(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head.startswith(b"HEAD") else answer)
            if path in CLOSING:
                return

    def taken(self) -> list[tuple[bytes, list[bytes], bytes]]:
        """For each request since the last call: the start line, the sorted fields, and the body."""
        seen, self.seen = self.seen, []
        found = []
        for head, body in seen:
            start, *fields = head.split(b"\r\n")[:-2]
            listed = sorted(field.rstrip() for field in fields if not field.startswith(b"Proxy-Connection"))
            found.append((start, listed, body))
        return found


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    origin = Origin()
    with origin.server:
        yield origin


SAME_REQUESTS = {
    "plain": ["/hello"],
    "query": ["/hello?a=%20b&c=d"],
    "method": ["/hello", "-X", "PURGE"],
    "fields": ["/hello", "-H", "X-One: 1", "-H", "X-Two: a b", "-H", "X-One: 2"],
    "a field in place of a default": ["/hello", "-H", "accept: text/html"],
    "a default taken away": ["/hello", "-H", "Accept:"],
    "a field without a value": ["/hello", "-H", "X-Empty;"],
    "host": ["/hello", "-H", "Host: other.test"],
    "no agent": ["/hello", "-A", ""],
    "octets in a value": ["/hello", "-H", "X-Name: Zoë"],
    "form": ["/hello", "-d", "a=b", "-d", "c=ü"],
    "form from a file": ["/hello", "-d", "@FILE"],
    "form from the standard input": ["/hello", "-d", "@-"],
    "raw form": ["/hello", "--data-raw", "@FILE"],
    "put a form": ["/hello", "-X", "PUT", "-d", "a=b"],
    "another type": ["/hello", "-d", "<a/>", "-H", "Content-Type: text/xml"],
    "json": ["/hello", "--json", '{"a": 1}'],
    "user": ["/hello", "-u", "Aladdin:open sesame:"],
    "head": ["/hello", "-I"],
    "redirect": ["/moved", "-L"],
    "redirect of a form": ["/moved", "-L", "-d", "a=b"],
    "redirect with the body": ["/moved-with-body", "-L", "-d", "a=b"],
    "redirect not followed": ["/moved"],
    "redirect with a user": ["/moved", "-L", "-u", "me:secret"],
}


@pytest.mark.parametrize("arguments", SAME_REQUESTS.values(), ids=SAME_REQUESTS)
def test_the_server_receives_the_same_request(arguments: list[str], origin: Origin, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"from\r\na=file\n")
    given = [origin.url + arguments[0], *[part.replace("FILE", str(path)) for part in arguments[1:]]]
    if "-A" not in given:
        given += ["-A", "me"]
    theirs = curl(*given, stdin=b"typed\n")
    expected = origin.taken()
    ours = httpcore(*given, stdin=b"typed\n")
    assert expected
    assert origin.taken() == expected
    assert (ours.status, ours.out) == (theirs.status, theirs.out)


def test_a_proxy_receives_the_same_request(origin: Origin) -> None:
    given = ["http://elsewhere.test/hello", "-x", origin.url.replace("//", "//me:secret@"), "-A", "me"]
    theirs = curl(*given)
    expected = origin.taken()
    ours = httpcore(*given)
    assert origin.taken() == expected
    assert expected[0][0] == b"GET http://elsewhere.test/hello HTTP/1.1"
    assert ours[:2] == theirs[:2]


SAME_OUTCOMES = {
    "ok": ["/hello"],
    "binary": ["/binary"],
    "head and body": ["/hello", "-i"],
    "no body": ["/none", "-i"],
    "interim heads": ["/hints", "-i"],
    "heads of redirects": ["/moved", "-i", "-L"],
    "the head of HEAD": ["/hello", "-I"],
    "trailers": ["/trailers", "-i"],
    "404": ["/missing"],
    "404 with --fail": ["/missing", "-f"],
    "coding as sent": ["/gzip"],
    "decoded": ["/gzip", "--compressed"],
    "until close": ["/until-close"],
    "unknown coding of no body": ["/unknown", "-I", "--compressed"],
    "damaged coding": ["/damaged", "--compressed"],
    "unknown coding": ["/unknown", "--compressed"],
    "redirects without end": ["/loop", "-L"],
    "too many redirects": ["/moved", "-L", "--max-redirs", "0"],
    "closed without an answer": ["/empty"],
    "cut body": ["/cut"],
    "cut chunks": ["/cut-chunks"],
    "broken chunks": ["/broken-chunks"],
    "reset": ["/reset"],
    "silent": ["/silent", "-m", "0.3"],
    "cannot write": ["/hello", "-o", "/nowhere/file"],
    "another address": ["http://name.test:PORT/hello", "--resolve", "name.test:PORT:127.0.0.1"],
    "an address for another port": ["http://name.invalid:PORT/hello", "--resolve", "name.invalid:1:127.0.0.1"],
    "no such name": ["http://name.invalid/"],
    "no such proxy": ["http://name.test/", "-x", "http://proxy.invalid:80"],
    "refused": ["http://127.0.0.1:UNUSED/"],
    "no such scheme": ["quux://name.test/"],
    "no host": ["http://"],
    "broken address": ["http://[::1/"],
    "no URL": [],
    "no such option": ["/hello", "--quux"],
}
STATUS_ALONE = {"broken chunks"}
"""curl writes the bytes before the fault. The command does not, if it receives the bytes and the fault at once."""


@pytest.mark.parametrize("name", SAME_OUTCOMES)
def test_output_and_status_are_those_of_curl(name: str, origin: Origin) -> None:
    port, unused = str(origin.server.port), str(free_port())
    given = [part.replace("PORT", port).replace("UNUSED", unused) for part in SAME_OUTCOMES[name]]
    given = [origin.url + part if part.startswith("/") and at == 0 else part for at, part in enumerate(given)]
    theirs, ours = curl(*given), httpcore(*given)
    assert ours.status == theirs.status, ours.err + theirs.err
    assert (ours.err == "") == (ours.status == 0)
    if name in ("interim heads", "trailers"):  # the field names of these are not kept as sent
        assert ours.out.lower() == theirs.out.lower()
    elif name not in STATUS_ALONE:
        assert ours.out == theirs.out


def test_a_server_without_tls_ends_with_the_status_of_curl() -> None:
    def script(peer: Peer) -> None:
        peer.send(b"220 quux.test SMTP\r\n")
        peer.rest()

    with ScriptedServer(script) as server:
        given = f"https://127.0.0.1:{server.port}/"
        assert httpcore(given).status == curl(given).status == 35


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA) -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    def script(peer: Peer) -> None:
        while peer.head():
            peer.send(ANSWERS["/hello"])

    with ScriptedServer(script, context) as server:
        yield server


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["https://localhost:PORT/", "--cacert", "CA"], 0),
        (["https://localhost:PORT/", "-k"], 0),
        (["https://localhost:PORT/"], 60),
        (["https://127.0.0.1:PORT/", "--cacert", "CA"], 60),
        (["https://localhost:PORT/", "--cacert", "/nowhere"], 77),
        (["https://localhost:PORT/", "-k", "--cert", "/nowhere"], 58),
    ],
)
def test_certificates_are_checked_as_by_curl(
    arguments: list[str], status: int, authority: trustme.CA, secure: ScriptedServer, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    given = [part.replace("PORT", str(secure.port)).replace("CA", str(tmp_path / "ca.pem")) for part in arguments]
    theirs, ours = curl(*given), httpcore(*given)
    assert (ours.status, ours.out) == (theirs.status, theirs.out), ours.err + theirs.err
    assert ours.status == status
