"""The duties of a gateway on the wire, as checks with raw sockets on both sides (RFC 9110, 9112).

A check is a function that uses a `Wire` and asserts. It does not depend on the server in front.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from gateway_servers import exchange, get, status_of
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from servers import Peer, ScriptedServer, ok

Check = Callable[["Wire"], None]
CHECKS: dict[str, Check] = {}
H2_CHECKS: dict[str, Check] = {}
"""The checks over HTTP/2 without TLS."""


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


def check_h2(function: Check) -> Check:
    H2_CHECKS[function.__name__] = function
    return function


class Wire:
    """A gateway on `port`, and its upstream. The upstream's response depends on the path; each request is kept as
    received.

    Attributes:
        requests: the requests that the upstream received, as raw bytes, with their bodies.
        left: set when a client of the upstream has disconnected while it waited.
        hints: the fields of each 103 that was received over HTTP/2.
        hinted: set when the first 103 was received.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self.left = threading.Event()
        self.began = threading.Event()
        self.hints: list[Pairs] = []
        self.hinted = threading.Event()
        self.upstream = ScriptedServer(self._serve)

    def send_request(self, request: bytes) -> bytes:
        """Send a request; returns all received bytes. Afterwards `requests` has the requests that the upstream received
        for it.
        """
        self.requests.clear()
        return exchange(self.port, request)

    def request_h2(self, *fields: tuple[str, str], body: bytes | None = None) -> tuple[Pairs, bytes]:
        """One request over HTTP/2, by the package h2; returns the response's fields, or none if the stream was
        reset.
        """
        self.requests.clear()
        self.hints.clear()
        self.hinted.clear()
        pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "gw.test"), (":path", "/")]
        given = dict(fields)
        own = [(name, given.get(name, value)) for name, value in pseudo]
        rest = [(name, value) for name, value in fields if name[0] != ":"]
        config = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        connection = H2Connection(config)
        connection.initiate_connection()
        connection.send_headers(1, [*own, *rest], end_stream=body is None)
        if body is not None:
            connection.send_data(1, body, end_stream=True)
        with socket.create_connection(("127.0.0.1", self.port), 10) as client:
            client.sendall(connection.data_to_send())
            client.settimeout(1)
            try:
                return self._h2_response(client, connection)
            except TimeoutError:
                raise AssertionError("neither an answer nor a reset in a second") from None

    def _h2_response(self, client: socket.socket, connection: H2Connection) -> tuple[Pairs, bytes]:
        found: Pairs = []
        body = b""
        while data := client.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, InformationalResponseReceived):
                    self.hints.append(_decoded(event.headers))
                    self.hinted.set()
                elif isinstance(event, ResponseReceived):
                    found = _decoded(event.headers)
                elif isinstance(event, DataReceived):
                    body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, StreamEnded):
                    return found, body
                elif isinstance(event, StreamReset | ConnectionTerminated):
                    return [], b""
            client.sendall(connection.data_to_send())
        return [], b""

    def head(self) -> str:
        """The one request that the upstream received: its head, in lower case except for the request line."""
        assert len(self.requests) == 1, self.requests
        line, _, fields = self.requests[0].partition(b"\r\n\r\n")[0].decode("latin-1").partition("\r\n")
        return f"{line}\r\n{fields.lower()}"

    def body(self) -> bytes:
        return self.requests[0].partition(b"\r\n\r\n")[2]

    def fields(self, name: str) -> list[str]:
        """The values of a field at the upstream."""
        lines = [line.partition(": ") for line in self.head().split("\r\n")[1:]]
        return [value for field, _, value in lines if field == name]

    def refused(self, request: bytes, *statuses: int) -> None:
        """The client is refused or cut off, and the upstream receives nothing of the request."""
        status = status_of(self.send_request(request))
        assert status in statuses, status
        assert self.requests == [], self.requests

    def _serve(self, peer: Peer) -> None:
        while head := peer.head():
            path = head.split(b" ")[1].partition(b"?")[0].decode()
            lower = head.lower()
            body = b""
            if path == "/silent":
                self.began.set()
                peer.rest()
                self.left.set()
                return
            if path == "/early":
                peer.send(b"HTTP/1.1 401 No\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")
                peer.rest()
                return
            if path == "/hinted":  # the response begins when the client has received the hints, or after a timeout
                peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nX-A: 1\r\n\r\n")
                peer.send(ok(b"in time" if self.hinted.wait(0.5) else b"late"))
                continue
            if b"expect: 100-continue" in lower:
                peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if b"content-length: " in lower:
                body = peer.exactly(int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            elif b"transfer-encoding: chunked" in lower:
                while not body.endswith(b"0\r\n\r\n"):
                    piece = peer.exactly(1)
                    if not piece:
                        return  # the request was cut off
                    body += piece
            self.requests.append(head + body)
            if path == "/stream":
                self._stream(peer)
                return
            peer.send(ANSWERS.get(path, ok()))
            if path in CLOSES:
                return

    def _stream(self, peer: Peer) -> None:
        """Sends an event at once, and then one every 10 ms until the client disconnects."""
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.began.set()
        with suppress(OSError):
            while True:
                peer.send(b"8\r\ndata: 1\n\r\n")
                time.sleep(0.01)
        self.left.set()


LARGE = bytes(range(256)) * 4096
"""1 MB in which no sequence of 256 bytes occurs twice."""
Pairs = list[tuple[str, str]]


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> Pairs:
    return [(name.decode(), value.decode("latin-1")) for name, value in headers]


ANSWERS = {
    "/hop": ok(
        b"x", b"Connection: x-mine", b"X-Mine: 1", b"Keep-Alive: timeout=9", b"Proxy-Authenticate: Basic", b"X-Kept: 2"
    ),
    "/cookies": ok(b"", b"Set-Cookie: a=1, b", b"Set-Cookie: c=2"),
    "/gzip": ok(b"\x1f\x8bnot really", b"Content-Encoding: gzip"),
    "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/304": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
    "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n",
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "/until-close": b"HTTP/1.1 200 OK\r\n\r\nto the end",
    "/hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok(b"x"),
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    "/both": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nabc",
    "/garbage": b"garbage\r\n\r\n",
    "/nul": b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    "/101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "/head-chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "/cut-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "/500": b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
    "/via": ok(b"x", b"Via: 1.1 other"),
    "/close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    "/nothing": b"",
    "/redirect": b"HTTP/1.1 302 Found\r\nLocation: /a%2Fb?c=//d\r\nContent-Length: 0\r\n\r\n",
    "/part": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\nx",
    "/299": b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n",
    "/cached": ok(b"x", b"Cache-Control: no-transform", b"Age: 5", b'ETag: "a"', b"Vary: X-A"),
    "/upgrade-offer": ok(b"x", b"Connection: upgrade", b"Upgrade: h2c"),
    "/interim": b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok(b"x"),
    "/old": b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
    "/same-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "/minus": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
    "/colon": b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 1\r\n\r\nx",
    "/folded": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 1\r\n\r\nx",
    "/huge-head": b"HTTP/1.1 200 OK\r\nX-A: " + bytes(1_000_000).replace(b"\0", b"a") + b"\r\n\r\n",
    "/bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
    "/304-length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "/large": ok(LARGE),
    "/extra": ok(b"x") + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "/close-large": b"HTTP/1.1 200 OK\r\n\r\n" + LARGE,
}
CLOSES = {
    "/old",
    "/same-lengths",
    "/minus",
    "/colon",
    "/folded",
    "/huge-head",
    "/bad-chunk",
    "/extra",
    "/close-large",
    "/until-close",
    "/two-lengths",
    "/both",
    "/garbage",
    "/nul",
    "/101",
    "/cut",
    "/cut-chunk",
    "/close",
    "/nothing",
}


def fields_of(response: bytes) -> list[tuple[str, str]]:
    lines = response.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def names_of(response: bytes) -> list[str]:
    return [name for name, _ in fields_of(response)]


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


# The request line.


@check
def path_and_query_go_on_byte_for_byte(wire: Wire) -> None:
    for target in ("/a%2Fb%20c?d=%26&e", "//a//b", "/%7e;x=1", "/a/../b", "/x?a=b?c"):
        assert status_of(wire.send_request(get(target))) == 200
        assert wire.head().startswith(f"GET {target} HTTP/1.1\r\n")


@check
def unknown_methods_go_on(wire: Wire) -> None:
    assert status_of(wire.send_request(get(method="PROPFIND"))) == 200
    assert wire.head().startswith("PROPFIND / ")


@check
def connect_is_refused(wire: Wire) -> None:
    wire.refused(b"CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\nConnection: close\r\n\r\n", 405, 400, 501)


@check
def trace_is_refused(wire: Wire) -> None:
    wire.refused(get(method="TRACE"), 405)


@check
def an_absolute_target_reaches_no_other_host(wire: Wire) -> None:
    """The upstream receives its own name in Host, whatever the authority of the target is."""
    wire.send_request(get("http://other.test/abs?q=1"))
    assert wire.head().startswith("GET /abs?q=1 HTTP/1.1\r\n")
    assert wire.fields("host") == [wire.upstream.url.partition("://")[2]]


@check
def an_absolute_target_names_the_host(wire: Wire) -> None:
    wire.send_request(get("http://other.test/abs?q=1"))
    assert wire.fields("x-forwarded-host") == ["other.test"]


@check
def max_forwards_ends_at_zero(wire: Wire) -> None:
    wire.refused(get("/", "Max-Forwards: 0", method="OPTIONS"), 200)


@check
def max_forwards_is_counted_down(wire: Wire) -> None:
    wire.send_request(get("/", "Max-Forwards: 5", method="OPTIONS"))
    assert wire.fields("max-forwards") == ["4"]


@check
def an_asterisk_goes_on(wire: Wire) -> None:
    assert status_of(wire.send_request(get("*", method="OPTIONS"))) == 200
    assert wire.head().startswith("OPTIONS * HTTP/1.1\r\n")


@check
def a_target_that_is_an_authority_is_refused(wire: Wire) -> None:
    wire.refused(get("gw.test:80"), 400, 0)


@check
def an_unknown_version_is_refused(wire: Wire) -> None:
    wire.refused(get().replace(b"HTTP/1.1", b"HTTP/3.7"), 400, 505, 0)


@check
def a_method_keeps_its_case(wire: Wire) -> None:
    """The method keeps its case, or the request is refused."""
    wire.send_request(get(method="get"))
    assert [request[:4] for request in wire.requests] in ([b"get "], [])


@check
def max_forwards_of_a_get_is_not_heeded(wire: Wire) -> None:
    assert status_of(wire.send_request(get("/", "Max-Forwards: 0"))) == 200
    assert len(wire.requests) == 1


@check
def a_long_target_goes_on(wire: Wire) -> None:
    assert status_of(wire.send_request(get("/" + "a" * 7000))) == 200
    assert len(wire.head().split(" ")[1]) == 7001


# Host.


@check
def the_host_is_the_upstreams(wire: Wire) -> None:
    wire.send_request(get())
    assert wire.fields("host") == [wire.upstream.url.partition("://")[2]]


@check
def a_request_without_a_host_is_refused(wire: Wire) -> None:
    wire.refused(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400)


@check
def two_hosts_are_refused(wire: Wire) -> None:
    wire.refused(get("/", "Host: other.test"), 400)


@check
def a_malformed_host_is_refused(wire: Wire) -> None:
    wire.refused(get(host="a b/c"), 400)


@check
def a_request_of_http_1_0_is_answered(wire: Wire) -> None:
    assert status_of(wire.send_request(b"GET / HTTP/1.0\r\n\r\n")) == 200


# Framing of requests.


@check
def a_body_with_a_length_goes_on(wire: Wire) -> None:
    assert status_of(wire.send_request(get("/", "Content-Length: 5", method="POST", body=b"hello"))) == 200
    assert (wire.body(), wire.fields("content-length"), wire.fields("transfer-encoding")) == (b"hello", ["5"], [])


@check
def a_chunked_body_goes_on(wire: Wire) -> None:
    sent = get("/", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert status_of(wire.send_request(sent)) == 200
    assert wire.fields("content-length") == []
    assert wire.body().replace(b"\r\n", b"").strip(b"0") in (b"3hel2lo", b"5hello")


@check
def an_empty_body_goes_on(wire: Wire) -> None:
    assert status_of(wire.send_request(get("/", "Content-Length: 0", method="POST"))) == 200
    assert wire.fields("content-length") == ["0"]


@check
def a_get_stays_without_a_body(wire: Wire) -> None:
    wire.send_request(get())
    assert wire.fields("content-length") + wire.fields("transfer-encoding") == []


@check
def length_and_chunked_together_smuggle_nothing(wire: Wire) -> None:
    inner = b"5\r\nhello\r\n0\r\n\r\n"
    sent = get("/", "Content-Length: 6", "Transfer-Encoding: chunked", method="POST", body=inner)
    wire.send_request(sent + get("/smuggled"))
    assert len(wire.requests) <= 1
    time.sleep(0.2)  # the client may be refused before the upstream has received its request
    for request in wire.requests:
        assert not (b"content-length" in request.lower() and b"transfer-encoding" in request.lower())
        assert b"smuggled" not in request


@check
def two_lengths_are_refused(wire: Wire) -> None:
    wire.refused(get("/", "Content-Length: 5", "Content-Length: 6", method="POST", body=b"hello!"), 400, 0)


@check
def another_transfer_coding_is_refused(wire: Wire) -> None:
    sent = get("/", "Transfer-Encoding: gzip, chunked", method="POST", body=b"0\r\n\r\n")
    wire.refused(sent, 501, 400, 0)


@check
def a_malformed_chunk_is_not_passed_as_whole(wire: Wire) -> None:
    response = wire.send_request(
        get("/", "Transfer-Encoding: chunked", method="POST", body=b"zz\r\nhello\r\n0\r\n\r\n")
    )
    assert status_of(response) in (400, 0)
    assert wire.requests == []


@check
def a_client_that_expects_100_gets_it(wire: Wire) -> None:
    sent = get("/", "Content-Length: 5", "Expect: 100-continue", method="POST", body=b"hello")
    response = wire.send_request(sent)
    assert b" 200 " in response
    assert wire.body() == b"hello"


@check
def an_early_answer_reaches_an_upload(wire: Wire) -> None:
    received = b""
    with socket.create_connection(("127.0.0.1", wire.port), 10) as client:
        client.sendall(get("/early", "Content-Length: 100000000", method="POST", body=bytes(10_000)))
        while b"early" not in received and (data := client.recv(65536)):
            received += data
    assert status_of(received) == 401


@check
def a_space_before_a_colon_is_refused(wire: Wire) -> None:
    wire.refused(get("/", "X-A : 1"), 400, 0)


@check
def a_folded_field_is_refused_or_one_line(wire: Wire) -> None:
    if status_of(wire.send_request(get("/", "X-A: 1\r\n 2"))) == 200:
        assert wire.fields("x-a") == ["1 2"]
    else:
        assert wire.requests == []


@check
def control_bytes_in_a_field_do_not_go_on(wire: Wire) -> None:
    for value in ("a\0b", "a\rb", "a\rX-B: 1"):
        wire.send_request(get("/", f"X-A: {value}"))
        assert not any(b"\0" in request or b"\rb" in request or b"\rX-B" in request for request in wire.requests)


@check
def a_length_that_is_no_number_is_refused(wire: Wire) -> None:
    for value in ("-1", "+5", "0x5", "5,6", "five", "5.0"):
        wire.refused(get("/", f"Content-Length: {value}", method="POST", body=b"hello"), 400, 0)


@check
def the_same_length_twice_is_one_or_refused(wire: Wire) -> None:
    wire.send_request(get("/", "Content-Length: 5", "Content-Length: 5", method="POST", body=b"hello"))
    assert [(wire.body(), wire.fields("content-length")) for _ in wire.requests] in ([(b"hello", ["5"])], [])


@check
def the_size_of_a_chunk_does_not_overflow(wire: Wire) -> None:
    """The size is 2 to the power of 64, plus 5."""
    wire.requests.clear()
    body = b"10000000000000005\r\nhello\r\n0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", wire.port), 10) as client:
        client.sendall(get("/", "Transfer-Encoding: chunked", method="POST", body=body))
        time.sleep(0.05)
    assert not any(request.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n") for request in wire.requests)


@check
def chunk_extensions_end_here(wire: Wire) -> None:
    wire.send_request(get("/", "Transfer-Encoding: chunked", method="POST", body=b"5;a=b\r\nhello\r\n0\r\n\r\n"))
    assert all(b"a=b" not in request for request in wire.requests)


@check
def chunked_in_http_1_0_smuggles_nothing(wire: Wire) -> None:
    head = b"POST / HTTP/1.0\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.send_request(head + b"5\r\nhello\r\n0\r\n\r\n" + get("/smuggled"))
    time.sleep(0.05)
    assert not any(b"smuggled" in request.partition(b"\r\n")[0] for request in wire.requests)


@check
def trailers_of_a_request_do_not_become_fields(wire: Wire) -> None:
    body = b"5\r\nhello\r\n0\r\nX-Forwarded-For: 203.0.113.7\r\nX-T: 1\r\n\r\n"
    wire.send_request(get("/", "Transfer-Encoding: chunked", method="POST", body=body))
    for request in wire.requests:
        head = request.partition(b"\r\n\r\n")[0].lower()
        assert b"203.0.113.7" not in head
        assert b"x-t:" not in head


@check
def a_cut_upload_is_not_passed_as_whole(wire: Wire) -> None:
    wire.requests.clear()
    for fields, body in ((["Content-Length: 10"], b"hello"), (["Transfer-Encoding: chunked"], b"5\r\nhello\r\n")):
        with socket.create_connection(("127.0.0.1", wire.port), 10) as client:
            client.sendall(get("/", *fields, method="POST", body=body))
            time.sleep(0.03)
    time.sleep(0.05)
    assert all(request.endswith(b"\r\n\r\nhello") for request in wire.requests)


@check
def a_get_with_a_body_goes_on(wire: Wire) -> None:
    wire.send_request(get("/", "Content-Length: 5", body=b"hello"))
    assert wire.body() == b"hello"


@check
def a_delete_stays_without_a_body(wire: Wire) -> None:
    wire.send_request(get(method="DELETE"))
    assert wire.fields("content-length") + wire.fields("transfer-encoding") == []


@check
def a_large_body_goes_on_whole(wire: Wire) -> None:
    wire.send_request(get("/", f"Content-Length: {len(LARGE)}", method="PUT", body=LARGE))
    assert wire.body() == LARGE


@check
def an_early_answer_reaches_a_client_that_expects_100(wire: Wire) -> None:
    with socket.create_connection(("127.0.0.1", wire.port), 10) as client:
        client.sendall(get("/early", "Content-Length: 100000", "Expect: 100-continue", method="POST"))
        received = b""
        while b"early" not in received and (data := client.recv(65536)):
            received += data
    assert b"HTTP/1.1 401 " in received


# Fields of requests.


@check
def connection_cannot_remove_what_a_request_needs(wire: Wire) -> None:
    sent = get("/", "Content-Length: 5", method="POST", body=b"hello")
    wire.send_request(sent.replace(b"Connection: close", b"Connection: close, host, content-length"))
    assert wire.body() == b"hello"
    assert len(wire.fields("host")) == 1


@check
def the_version_of_the_client_is_in_via(wire: Wire) -> None:
    wire.send_request(b"GET / HTTP/1.0\r\nHost: gw.test\r\nVia: 1.1 a\r\nVia: 1.1 b\r\n\r\n")
    assert ", ".join(wire.fields("via")) == "1.1 a, 1.1 b, 1.0 gw"


@check
def fields_of_the_application_go_on(wire: Wire) -> None:
    lines = ["Authorization: Basic x", "Range: bytes=0-0", 'If-None-Match: "a"', "Cookie: a=1; b=2", "X-Empty: "]
    wire.send_request(get("/", *lines, "Origin: http://x.test"))
    for line in [*lines, "Origin: http://x.test"]:
        name, _, value = line.lower().partition(": ")
        assert wire.fields(name) == [value], name


@check
def a_field_of_8_kb_goes_on(wire: Wire) -> None:
    wire.send_request(get("/", "X-A: " + "a" * 8000))
    assert [len(value) for value in wire.fields("x-a")] == [8000]


@check
def a_field_of_1_mb_is_refused(wire: Wire) -> None:
    wire.requests.clear()
    with socket.create_connection(("127.0.0.1", wire.port), 10) as client, suppress(OSError):
        client.sendall(get("/", "X-A: " + "a" * 1_000_000))
        while client.recv(65536):
            pass
    assert wire.requests == []


# Trusted proxies (RFC 7239): below /trusted/ this client is one.


@check
def forwarded_of_a_trusted_proxy_is_continued(wire: Wire) -> None:
    wire.send_request(
        get("/trusted/", 'Forwarded: for="[2001:db8::1]";proto=https', "Forwarded: for=_hidden;by=unknown")
    )
    before = 'for="[2001:db8::1]";proto=https, for=_hidden;by=unknown'
    assert wire.fields("forwarded") == [f"{before}, for=127.0.0.1;host=gw.test;proto=http"]


@check
def x_forwarded_of_a_trusted_proxy_is_continued(wire: Wire) -> None:
    lines = ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.test"]
    wire.send_request(get("/trusted/", *lines, "X-Real-IP: 203.0.113.7", "X-Forwarded-Port: 443"))
    assert wire.fields("x-forwarded-for") == ["203.0.113.7, 127.0.0.1"]
    assert wire.fields("x-forwarded-proto") == ["https"]
    assert wire.fields("x-forwarded-host") == ["a.test"]
    assert wire.fields("x-forwarded-port") == ["443"]
    assert wire.fields("x-real-ip") == ["203.0.113.7"]


@check
def forwarded_is_begun_where_there_is_none(wire: Wire) -> None:
    wire.send_request(get("/trusted/", host="gw.test:8080"))
    assert wire.fields("forwarded") == ['for=127.0.0.1;host="gw.test:8080";proto=http']
    assert wire.fields("x-real-ip") == ["127.0.0.1"]


# Fields of requests that the upstream must not receive.


@check
def fields_for_one_hop_stay_here(wire: Wire) -> None:
    hop = ["Keep-Alive: timeout=5", "TE: gzip", "Trailer: x-t", "Proxy-Authorization: Basic x", "Proxy-Connection: a"]
    wire.send_request(get("/", *hop, "X-Kept: yes"))
    for line in hop:
        assert wire.fields(line.partition(":")[0].lower()) == []
    assert wire.fields("x-kept") == ["yes"]
    assert wire.fields("connection") == []


@check
def fields_named_by_connection_stay_here(wire: Wire) -> None:
    wire.send_request(get("/", "X-Secret: 1").replace(b"Connection: close", b"Connection: close, x-secret"))
    assert wire.fields("x-secret") == []


@check
def an_upgrade_is_not_passed(wire: Wire) -> None:
    wire.send_request(get("/", "Upgrade: foo").replace(b"Connection: close", b"Connection: upgrade, close"))
    assert wire.fields("upgrade") == []


@check
def via_and_client_address_are_sent(wire: Wire) -> None:
    wire.send_request(get("/", "Via: 1.0 fred"))
    assert wire.fields("via") == ["1.0 fred, 1.1 gw"]
    assert wire.fields("x-forwarded-for") == ["127.0.0.1"]
    assert wire.fields("x-forwarded-host") == ["gw.test"]
    assert wire.fields("x-forwarded-proto") == ["http"]


@check
def what_a_client_claims_is_not_believed(wire: Wire) -> None:
    claims = ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "Forwarded: for=203.0.113.7"]
    wire.send_request(get("/", *claims, "X-Real-IP: 203.0.113.7", "X_Forwarded_For: 203.0.113.7"))
    assert "203.0.113.7" not in wire.head()
    assert wire.fields("x-forwarded-proto") == ["http"]


@check
def a_circle_is_broken(wire: Wire) -> None:
    wire.refused(get("/", "Via: 1.1 gw"), 508)


@check
def repeated_fields_and_odd_bytes_go_on(wire: Wire) -> None:
    wire.send_request(get("/", "X-A: 1", "X-A: 2", "Accept-Encoding: br", "X-B: \xe9"))
    assert wire.fields("x-a") == ["1", "2"]
    assert wire.fields("accept-encoding") == ["br"]
    assert wire.fields("x-b") == ["\xe9"]


@check
def nothing_is_added_of_the_clients_own(wire: Wire) -> None:
    wire.send_request(get())
    assert wire.fields("user-agent") + wire.fields("accept") + wire.fields("accept-encoding") == []


# Responses.


@check
def fields_for_one_hop_of_the_upstream_stay_here(wire: Wire) -> None:
    found = names_of(wire.send_request(get("/hop")))
    assert "x-kept" in found
    assert not {"x-mine", "keep-alive", "proxy-authenticate"} & set(found)


@check
def set_cookie_is_not_merged(wire: Wire) -> None:
    found = [value for name, value in fields_of(wire.send_request(get("/cookies"))) if name == "set-cookie"]
    assert found == ["a=1, b", "c=2"]


@check
def a_coding_is_left_alone(wire: Wire) -> None:
    response = wire.send_request(get("/gzip"))
    assert ("content-encoding", "gzip") in fields_of(response)
    assert body_of(response) == b"\x1f\x8bnot really"


@check
def date_and_server_are_there_once(wire: Wire) -> None:
    found = names_of(wire.send_request(get("/")))
    assert (found.count("date"), found.count("server")) in ((1, 1), (1, 0))


@check
def via_is_sent_to_the_client(wire: Wire) -> None:
    assert ("via", "1.1 other, 1.1 gw") in fields_of(wire.send_request(get("/via")))


@check
def responses_without_a_body_stay_without(wire: Wire) -> None:
    for path, status in (("/204", 204), ("/304", 304)):
        response = wire.send_request(get(path))
        assert (status_of(response), body_of(response)) == (status, b"")


@check
def head_keeps_its_length(wire: Wire) -> None:
    response = wire.send_request(get("/head", method="HEAD"))
    assert (status_of(response), body_of(response)) == (200, b"")
    assert ("content-length", "12345") in fields_of(response)


@check
def a_chunked_response_is_whole(wire: Wire) -> None:
    body = body_of(wire.send_request(get("/chunked")))
    assert b"hello" in body
    assert body.endswith(b"0\r\n\r\n")


@check
def a_response_until_the_close_is_whole(wire: Wire) -> None:
    response = wire.send_request(get("/until-close"))
    assert b"to the end" in response
    assert body_of(response).endswith(b"0\r\n\r\n") or "transfer-encoding" not in names_of(response)


@check
def a_status_of_the_upstream_goes_on(wire: Wire) -> None:
    response = wire.send_request(get("/500"))
    assert (status_of(response), body_of(response)) == (500, b"oops")


@check
def interim_responses_do_not_disturb(wire: Wire) -> None:
    assert b" 200 " in wire.send_request(get("/hints"))


@check
def a_malformed_response_is_a_502(wire: Wire) -> None:
    for path in ("/two-lengths", "/both", "/garbage", "/nul", "/101", "/nothing"):
        assert status_of(wire.send_request(get(path))) == 502, path


@check
def a_cut_body_is_visibly_cut(wire: Wire) -> None:
    response = wire.send_request(get("/cut"))
    assert status_of(response) in (200, 502)
    assert len(body_of(response)) < 100 or status_of(response) == 502
    assert not wire.send_request(get("/cut-chunk")).endswith(b"0\r\n\r\n")


@check
def the_first_event_comes_at_once(wire: Wire) -> None:
    with socket.create_connection(("127.0.0.1", wire.port), 10) as client:
        client.sendall(get("/stream"))
        received = b""
        while b"data: 1" not in received:
            received += client.recv(65536)


@check
def several_interim_responses_do_not_disturb(wire: Wire) -> None:
    assert body_of(wire.send_request(get("/interim"))).endswith(b"x")


@check
def an_upgrade_that_the_upstream_offers_stays_here(wire: Wire) -> None:
    assert "upgrade" not in names_of(wire.send_request(get("/upgrade-offer")))


@check
def a_redirect_goes_on_as_it_came(wire: Wire) -> None:
    response = wire.send_request(get("/redirect"))
    assert status_of(response) == 302
    assert ("location", "/a%2Fb?c=//d") in fields_of(response)


@check
def a_part_goes_on_as_it_came(wire: Wire) -> None:
    response = wire.send_request(get("/part", "Range: bytes=0-0"))
    assert (status_of(response), body_of(response)) == (206, b"x")
    assert ("content-range", "bytes 0-0/9") in fields_of(response)


@check
def an_unusual_status_goes_on(wire: Wire) -> None:
    assert status_of(wire.send_request(get("/299"))) == 299


@check
def fields_for_caches_go_on(wire: Wire) -> None:
    found = fields_of(wire.send_request(get("/cached")))
    for pair in (("cache-control", "no-transform"), ("age", "5"), ("etag", '"a"'), ("vary", "X-A")):
        assert pair in found


@check
def a_response_of_http_1_0_is_whole(wire: Wire) -> None:
    response = wire.send_request(get("/old"))
    assert body_of(response) == b"old"
    assert ("via", "1.0 gw") in fields_of(response)


@check
def trailers_of_the_upstream_do_not_become_fields(wire: Wire) -> None:
    assert "x-t" not in names_of(wire.send_request(get("/chunked")))


@check
def a_date_is_there_once_without_the_upstreams(wire: Wire) -> None:
    assert names_of(wire.send_request(get("/redirect"))).count("date") == 1


@check
def head_of_a_chunked_response_has_no_body(wire: Wire) -> None:
    assert body_of(wire.send_request(get("/head-chunked", method="HEAD"))) == b""


@check
def a_304_with_a_length_has_no_body(wire: Wire) -> None:
    one = get("/304-length").replace(b"Connection: close\r\n", b"")
    response = wire.send_request(one + get("/500"))
    assert response.index(b" 304 ") < response.index(b" 500 ")
    assert response.endswith(b"oops")


@check
def a_response_that_is_framed_twice_is_one_or_a_502(wire: Wire) -> None:
    response = wire.send_request(get("/same-lengths"))
    assert status_of(response) == 502 or fields_of(response).count(("content-length", "1")) == 1


@check
def a_malformed_head_of_the_upstream_is_clean_or_a_502(wire: Wire) -> None:
    for path in ("/minus", "/huge-head"):
        assert status_of(wire.send_request(get(path))) == 502, path
    response = wire.send_request(get("/colon"))
    assert status_of(response) == 502 or b"X-A :" not in response
    response = wire.send_request(get("/folded"))
    assert status_of(response) == 502 or ("x-a", "1 2") in fields_of(response)


@check
def a_malformed_chunk_of_the_upstream_is_visibly_cut(wire: Wire) -> None:
    response = wire.send_request(get("/bad-chunk"))
    assert status_of(response) == 502 or not response.endswith(b"0\r\n\r\n")


@check
def bytes_after_a_response_are_no_response(wire: Wire) -> None:
    for _ in range(3):
        response = wire.send_request(get("/extra")) + wire.send_request(get("/500"))
        assert b"evil" not in response
        assert response.endswith(b"oops")


@check
def a_large_response_is_whole(wire: Wire) -> None:
    assert body_of(wire.send_request(get("/large"))) == LARGE
    assert len(body_of(wire.send_request(get("/close-large")))) >= len(LARGE)


@check
def the_upstreams_close_does_not_close_the_client(wire: Wire) -> None:
    one = get("/close").replace(b"Connection: close\r\n", b"")
    response = wire.send_request(one + get("/500"))
    assert response.endswith(b"oops")


@check
def a_post_without_an_answer_is_not_repeated(wire: Wire) -> None:
    assert status_of(wire.send_request(get("/nothing", "Content-Length: 5", method="POST", body=b"hello"))) == 502
    assert len(wire.requests) == 1


# Clients that disconnect.


def leaves(wire: Wire, request: bytes) -> None:
    wire.left.clear()
    wire.began.clear()
    with socket.create_connection(("127.0.0.1", wire.port), 10) as client:
        client.sendall(request)
        assert wire.began.wait(10)
    began = time.monotonic()
    assert wire.left.wait(10), "the upstream still has its connection"
    assert time.monotonic() - began < 1


@check
def leaving_before_the_head_reaches_the_upstream(wire: Wire) -> None:
    leaves(wire, get("/silent"))


@check
def leaving_after_an_upload_reaches_the_upstream(wire: Wire) -> None:
    leaves(wire, get("/silent", "Content-Length: 5", method="POST", body=b"hello"))


@check
def leaving_in_an_upload_reaches_the_upstream(wire: Wire) -> None:
    leaves(wire, get("/silent", "Content-Length: 100000000", method="POST", body=bytes(10_000)))


@check
def leaving_in_a_stream_reaches_the_upstream(wire: Wire) -> None:
    leaves(wire, get("/stream"))


# Connections.


@check
def two_requests_share_a_connection_in_order(wire: Wire) -> None:
    one = get("/500").replace(b"Connection: close\r\n", b"")
    response = wire.send_request(one + get("/204"))
    assert response.index(b" 500 ") < response.index(b" 204 ")


@check
def a_connection_that_the_upstream_closed_harms_no_get(wire: Wire) -> None:
    for _ in range(3):
        assert status_of(wire.send_request(get("/close"))) == 200
        assert status_of(wire.send_request(get("/"))) == 200


# HTTP/2 in front (RFC 9113).


def cut(wire: Wire, *fields: tuple[str, str], body: bytes | None = None) -> None:
    """The request is refused by a status or a reset, and the upstream receives nothing of it."""
    found, _ = wire.request_h2(*fields, body=body)
    assert dict(found).get(":status") in (None, "400", "404", "405", "413", "501"), found
    assert wire.requests == []


@check_h2
def a_get_over_http_2_stays_without_a_body(wire: Wire) -> None:
    found, body = wire.request_h2()
    assert (found[0], body) == ((":status", "200"), b"Hello, world")
    assert wire.head().startswith("GET / HTTP/1.1\r\n")
    assert wire.fields("content-length") + wire.fields("transfer-encoding") == []


@check_h2
def a_body_over_http_2_goes_on(wire: Wire) -> None:
    wire.request_h2((":method", "POST"), ("content-length", "5"), body=b"hello")
    assert (wire.body(), wire.fields("content-length")) == (b"hello", ["5"])
    wire.request_h2((":method", "POST"), body=b"hello")
    assert b"hello" in wire.body()
    assert len(wire.fields("content-length") + wire.fields("transfer-encoding")) == 1


@check_h2
def cookies_of_http_2_are_one_field(wire: Wire) -> None:
    wire.request_h2(("cookie", "a=1"), ("cookie", "b=2"))
    assert wire.fields("cookie") == ["a=1; b=2"]


@check_h2
def the_authority_of_http_2_is_the_host(wire: Wire) -> None:
    wire.request_h2((":path", "/a%2Fb?c"))
    assert wire.head().startswith("GET /a%2Fb?c HTTP/1.1\r\n")
    assert wire.fields("x-forwarded-host") == ["gw.test"]
    assert wire.fields("host") == [wire.upstream.url.partition("://")[2]]


@check_h2
def via_says_that_the_client_spoke_http_2(wire: Wire) -> None:
    wire.request_h2()
    assert wire.fields("via") in (["2 gw"], ["2.0 gw"])


@check_h2
def fields_for_one_hop_are_no_fields_of_http_2(wire: Wire) -> None:
    found, _ = wire.request_h2((":path", "/hop"))
    names = {name for name, _ in found}
    assert "x-kept" in names
    assert not names & {"connection", "keep-alive", "transfer-encoding", "x-mine"}


@check_h2
def a_length_over_http_2_that_is_wrong_smuggles_nothing(wire: Wire) -> None:
    """If the server accepts the request, the upstream receives as many bytes as the head declares, or a body that is
    cut off.
    """
    wire.request_h2((":method", "POST"), ("content-length", "2"), body=b"hello")
    time.sleep(0.05)
    assert all(request.endswith((b"\r\n\r\n", b"\r\n\r\nhe")) for request in wire.requests)


@check_h2
def early_hints_come_before_the_response(wire: Wire) -> None:
    found, body = wire.request_h2((":path", "/hinted"))
    assert (found[0], body) == ((":status", "200"), b"in time")
    (fields,) = wire.hints
    mine = [pair for pair in fields if pair[0] not in ("date", "server")]  # hypercorn adds these two
    assert mine == [(":status", "103"), ("link", "</a>"), ("link", "</b>")]


@check_h2
def fields_for_one_hop_over_http_2_do_not_go_on(wire: Wire) -> None:
    wire.request_h2(("connection", "x-a"), ("x-a", "1"), ("transfer-encoding", "chunked"))
    for request in wire.requests:
        assert b"\r\nx-a:" not in request.lower()
        assert b"transfer-encoding" not in request.lower()


@check_h2
def line_ends_over_http_2_do_not_go_on(wire: Wire) -> None:
    cut(wire, ("x-a", "1\r\nx-evil: 2"))
    cut(wire, (":path", "/ HTTP/1.1\r\nx-evil: 2"))


@check_h2
def connect_over_http_2_is_refused(wire: Wire) -> None:
    cut(wire, (":method", "CONNECT"))


@check_h2
def a_broken_response_resets_the_stream(wire: Wire) -> None:
    assert wire.request_h2((":path", "/cut-chunk"))[0] == []


@check_h2
def a_malformed_response_is_a_502_over_http_2(wire: Wire) -> None:
    assert wire.request_h2((":path", "/garbage"))[0][0] == (":status", "502")


@check_h2
def a_large_response_is_whole_over_http_2(wire: Wire) -> None:
    assert wire.request_h2((":path", "/large"))[1] == LARGE


@check_h2
def a_client_that_takes_trailers_needs_none(wire: Wire) -> None:
    for _ in range(2):
        found, body = wire.request_h2(("te", "trailers"))
        assert (found[0], body) == ((":status", "200"), b"Hello, world")
