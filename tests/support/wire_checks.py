"""What a gateway must do on the wire, as checks with raw sockets on both sides (RFC 9110, 9112).

A check is a function that asks a `Wire` and asserts. Which server is in front is not known to it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from gateway_servers import exchange, get, status_of
from servers import Peer, ScriptedServer, ok

Check = Callable[["Wire"], None]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


class Wire:
    """A gateway on `port`, and its upstream, which answers by the path and keeps each request as it came.

    Attributes:
        requests: as raw bytes, with their bodies.
        left: set when a client of the upstream has left while it waited.
    """

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self.left = threading.Event()
        self.began = threading.Event()
        self.upstream = ScriptedServer(self._serve)

    def ask(self, request: bytes) -> bytes:
        """Send it; everything that comes back. `requests` has what the upstream got for it."""
        self.requests.clear()
        return exchange(self.port, request)

    def head(self) -> str:
        """The one request that came to the upstream: its head, in lower case but for the request line."""
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
        """The client is refused or cut off, and the upstream sees nothing of it."""
        status = status_of(self.ask(request))
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
            if b"expect: 100-continue" in lower:
                peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if b"content-length: " in lower:
                body = peer.exactly(int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            elif b"transfer-encoding: chunked" in lower:
                while not body.endswith(b"0\r\n\r\n"):
                    piece = peer.exactly(1)
                    if not piece:
                        return  # cut off, so no request
                    body += piece
            self.requests.append(head + body)
            if path == "/stream":
                self._stream(peer)
                return
            peer.send(ANSWERS.get(path, ok()))
            if path in CLOSES:
                return

    def _stream(self, peer: Peer) -> None:
        """An event at once, and then one every 10 ms until the client leaves."""
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.began.set()
        with suppress(OSError):
            while True:
                peer.send(b"8\r\ndata: 1\n\r\n")
                time.sleep(0.01)
        self.left.set()


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
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "/cut-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "/500": b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
    "/via": ok(b"x", b"Via: 1.1 other"),
    "/close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
    "/nothing": b"",
}
CLOSES = {
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
        assert status_of(wire.ask(get(target))) == 200
        assert wire.head().startswith(f"GET {target} HTTP/1.1\r\n")


@check
def unknown_methods_go_on(wire: Wire) -> None:
    assert status_of(wire.ask(get(method="PROPFIND"))) == 200
    assert wire.head().startswith("PROPFIND / ")


@check
def connect_is_refused(wire: Wire) -> None:
    wire.refused(b"CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\nConnection: close\r\n\r\n", 405, 400, 501)


@check
def trace_is_refused(wire: Wire) -> None:
    wire.refused(get(method="TRACE"), 405)


@check
def an_absolute_target_reaches_no_other_host(wire: Wire) -> None:
    """Its authority is the host where the server tells it."""
    wire.ask(get("http://other.test/abs?q=1"))
    assert wire.head().startswith("GET /abs?q=1 HTTP/1.1\r\n")
    assert wire.fields("host") == [wire.upstream.url.partition("://")[2]]


@check
def an_absolute_target_names_the_host(wire: Wire) -> None:
    wire.ask(get("http://other.test/abs?q=1"))
    assert wire.fields("x-forwarded-host") == ["other.test"]


@check
def max_forwards_ends_at_zero(wire: Wire) -> None:
    wire.refused(get("/", "Max-Forwards: 0", method="OPTIONS"), 200)


@check
def max_forwards_is_counted_down(wire: Wire) -> None:
    wire.ask(get("/", "Max-Forwards: 5", method="OPTIONS"))
    assert wire.fields("max-forwards") == ["4"]


# Host.


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
    assert status_of(wire.ask(b"GET / HTTP/1.0\r\n\r\n")) == 200


# Framing of requests.


@check
def a_body_with_a_length_goes_on(wire: Wire) -> None:
    assert status_of(wire.ask(get("/", "Content-Length: 5", method="POST", body=b"hello"))) == 200
    assert (wire.body(), wire.fields("content-length"), wire.fields("transfer-encoding")) == (b"hello", ["5"], [])


@check
def a_chunked_body_goes_on(wire: Wire) -> None:
    sent = get("/", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
    assert status_of(wire.ask(sent)) == 200
    assert wire.fields("content-length") == []
    assert wire.body().replace(b"\r\n", b"").strip(b"0") in (b"3hel2lo", b"5hello")


@check
def an_empty_body_goes_on(wire: Wire) -> None:
    assert status_of(wire.ask(get("/", "Content-Length: 0", method="POST"))) == 200
    assert wire.fields("content-length") == ["0"]


@check
def a_get_stays_without_a_body(wire: Wire) -> None:
    wire.ask(get())
    assert wire.fields("content-length") + wire.fields("transfer-encoding") == []


@check
def length_and_chunked_together_smuggle_nothing(wire: Wire) -> None:
    inner = b"5\r\nhello\r\n0\r\n\r\n"
    sent = get("/", "Content-Length: 6", "Transfer-Encoding: chunked", method="POST", body=inner)
    wire.ask(sent + get("/smuggled"))
    assert len(wire.requests) <= 1
    time.sleep(0.2)  # the client may be refused before the upstream has got its request
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
    response = wire.ask(get("/", "Transfer-Encoding: chunked", method="POST", body=b"zz\r\nhello\r\n0\r\n\r\n"))
    assert status_of(response) in (400, 0)
    assert wire.requests == []


@check
def a_client_that_expects_100_gets_it(wire: Wire) -> None:
    sent = get("/", "Content-Length: 5", "Expect: 100-continue", method="POST", body=b"hello")
    response = wire.ask(sent)
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


# Fields of requests.


@check
def fields_for_one_hop_stay_here(wire: Wire) -> None:
    hop = ["Keep-Alive: timeout=5", "TE: gzip", "Trailer: x-t", "Proxy-Authorization: Basic x", "Proxy-Connection: a"]
    wire.ask(get("/", *hop, "X-Kept: yes"))
    for line in hop:
        assert wire.fields(line.partition(":")[0].lower()) == []
    assert wire.fields("x-kept") == ["yes"]
    assert wire.fields("connection") == []


@check
def fields_named_by_connection_stay_here(wire: Wire) -> None:
    wire.ask(get("/", "X-Secret: 1").replace(b"Connection: close", b"Connection: close, x-secret"))
    assert wire.fields("x-secret") == []


@check
def an_upgrade_is_not_passed(wire: Wire) -> None:
    wire.ask(get("/", "Upgrade: foo").replace(b"Connection: close", b"Connection: upgrade, close"))
    assert wire.fields("upgrade") == []


@check
def via_and_client_address_are_sent(wire: Wire) -> None:
    wire.ask(get("/", "Via: 1.0 fred"))
    assert wire.fields("via") == ["1.0 fred, 1.1 gw"]
    assert wire.fields("x-forwarded-for") == ["127.0.0.1"]
    assert wire.fields("x-forwarded-host") == ["gw.test"]
    assert wire.fields("x-forwarded-proto") == ["http"]


@check
def what_a_client_claims_is_not_believed(wire: Wire) -> None:
    claims = ["X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "Forwarded: for=203.0.113.7"]
    wire.ask(get("/", *claims, "X-Real-IP: 203.0.113.7", "X_Forwarded_For: 203.0.113.7"))
    assert "203.0.113.7" not in wire.head()
    assert wire.fields("x-forwarded-proto") == ["http"]


@check
def a_circle_is_broken(wire: Wire) -> None:
    wire.refused(get("/", "Via: 1.1 gw"), 508)


@check
def repeated_fields_and_odd_bytes_go_on(wire: Wire) -> None:
    wire.ask(get("/", "X-A: 1", "X-A: 2", "Accept-Encoding: br", "X-B: \xe9"))
    assert wire.fields("x-a") == ["1", "2"]
    assert wire.fields("accept-encoding") == ["br"]
    assert wire.fields("x-b") == ["\xe9"]


@check
def nothing_is_added_of_the_clients_own(wire: Wire) -> None:
    wire.ask(get())
    assert wire.fields("user-agent") + wire.fields("accept") + wire.fields("accept-encoding") == []


# Responses.


@check
def fields_for_one_hop_of_the_upstream_stay_here(wire: Wire) -> None:
    found = names_of(wire.ask(get("/hop")))
    assert "x-kept" in found
    assert not {"x-mine", "keep-alive", "proxy-authenticate"} & set(found)


@check
def set_cookie_is_not_merged(wire: Wire) -> None:
    found = [value for name, value in fields_of(wire.ask(get("/cookies"))) if name == "set-cookie"]
    assert found == ["a=1, b", "c=2"]


@check
def a_coding_is_left_alone(wire: Wire) -> None:
    response = wire.ask(get("/gzip"))
    assert ("content-encoding", "gzip") in fields_of(response)
    assert body_of(response) == b"\x1f\x8bnot really"


@check
def date_and_server_are_there_once(wire: Wire) -> None:
    found = names_of(wire.ask(get("/")))
    assert (found.count("date"), found.count("server")) in ((1, 1), (1, 0))


@check
def via_is_sent_to_the_client(wire: Wire) -> None:
    assert ("via", "1.1 other, 1.1 gw") in fields_of(wire.ask(get("/via")))


@check
def responses_without_a_body_stay_without(wire: Wire) -> None:
    for path, status in (("/204", 204), ("/304", 304)):
        response = wire.ask(get(path))
        assert (status_of(response), body_of(response)) == (status, b"")


@check
def head_keeps_its_length(wire: Wire) -> None:
    response = wire.ask(get("/head", method="HEAD"))
    assert (status_of(response), body_of(response)) == (200, b"")
    assert ("content-length", "12345") in fields_of(response)


@check
def a_chunked_response_is_whole(wire: Wire) -> None:
    body = body_of(wire.ask(get("/chunked")))
    assert b"hello" in body
    assert body.endswith(b"0\r\n\r\n")


@check
def a_response_until_the_close_is_whole(wire: Wire) -> None:
    response = wire.ask(get("/until-close"))
    assert b"to the end" in response
    assert body_of(response).endswith(b"0\r\n\r\n") or "transfer-encoding" not in names_of(response)


@check
def a_status_of_the_upstream_goes_on(wire: Wire) -> None:
    response = wire.ask(get("/500"))
    assert (status_of(response), body_of(response)) == (500, b"oops")


@check
def interim_responses_do_not_disturb(wire: Wire) -> None:
    assert b" 200 " in wire.ask(get("/hints"))


@check
def a_malformed_response_is_a_502(wire: Wire) -> None:
    for path in ("/two-lengths", "/both", "/garbage", "/nul", "/101", "/nothing"):
        assert status_of(wire.ask(get(path))) == 502, path


@check
def a_cut_body_is_visibly_cut(wire: Wire) -> None:
    response = wire.ask(get("/cut"))
    assert status_of(response) in (200, 502)
    assert len(body_of(response)) < 100 or status_of(response) == 502
    assert not wire.ask(get("/cut-chunk")).endswith(b"0\r\n\r\n")


@check
def the_first_event_comes_at_once(wire: Wire) -> None:
    with socket.create_connection(("127.0.0.1", wire.port), 10) as client:
        client.sendall(get("/stream"))
        received = b""
        while b"data: 1" not in received:
            received += client.recv(65536)


# Leaving.


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
    response = wire.ask(one + get("/204"))
    assert response.index(b" 500 ") < response.index(b" 204 ")


@check
def a_connection_that_the_upstream_closed_harms_no_get(wire: Wire) -> None:
    for _ in range(3):
        assert status_of(wire.ask(get("/close"))) == 200
        assert status_of(wire.ask(get("/"))) == 200
