"""`request_fields` of a trace: further header fields of each sending; and how often the call was sent before."""

from __future__ import annotations

from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from servers import Noting, ScriptedServer, answering, ok

import httpcore
from httpcore._trace import Earlier, earlier

BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
REFUSED = b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="a", nonce="b", qop="auth"\r\nContent-Length: 0\r\n\r\n'
EAGER = httpcore.RetryPolicy(backoff=0)


class Adding:
    """A trace that adds fields, and records the requests it was called for, and how often they were sent before."""

    def __init__(self, *fields: tuple[bytes, bytes], name: str = "X-Sending") -> None:
        self._fields = fields
        self._name = name.encode()
        self.requested: list[int] = []
        self.earlier: list[int] = []
        self.records: list[httpcore.TraceEvent] = []

    def __call__(self, record: httpcore.TraceEvent) -> None:
        self.records.append(record)
        if isinstance(record, httpcore.RequestStarted):
            self.earlier.append(earlier.get().sends)

    def request_fields(self, number: int) -> list[tuple[bytes, bytes]]:
        self.requested.append(number)
        return [*self._fields, (self._name, b"%d" % len(self.requested))]


@each_runtime
def test_each_sending_has_the_fields_of_the_trace(runtime: Runtime) -> None:
    script, trace = Noting(BUSY, ok()), Adding()
    with ScriptedServer(script) as server:

        async def main() -> None:
            async with runtime.pool(trace=trace, retries=EAGER) as http:
                await http.request("POST", server.url, {"X-Own": "1", "Idempotency-Key": "a"}, b"body")

        runtime.run(main)
    lines = [head.split(b"\r\n") for head in script.heads]
    assert [b"X-Sending: 1" in lines[0], b"X-Sending: 2" in lines[1]] == [True, True]
    assert [line for line in lines[0] if line != b"X-Sending: 1"] == [
        line for line in lines[1] if b"Sending" not in line
    ]
    assert b"Content-Length: 4" in lines[0]
    assert trace.requested == [trace.records[0].request] * 2


def test_both_traces_add_fields_and_those_of_a_request_stay() -> None:
    script, first, second = Noting(ok()), Adding((b"X-OWN", b"2")), Adding((b"X-B", b"3"), name="X-Second")
    with ScriptedServer(script) as server, httpcore.SyncConnectionPool(trace=first) as http:
        http.request("GET", server.url, {"X-Own": "1"}, trace=second)
        http.close()
    assert script.heads[0].endswith(b"\r\nX-Own: 1\r\nX-Sending: 1\r\nX-B: 3\r\nX-Second: 1\r\n\r\n")


def test_one_of_two_traces_may_add_no_fields() -> None:
    script = Noting(ok())
    with ScriptedServer(script) as server, httpcore.SyncConnectionPool(trace=Adding()) as http:
        http.request("GET", server.url, trace=lambda record: None)
    assert b"\r\nX-Sending: 1\r\n" in script.heads[0]


@pytest.mark.parametrize(
    "field",
    [
        (b"Host", b"a"),
        (b"Content-Length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"Connection", b"close"),
        (b"Upgrade", b"x"),
        (b"Expect", b"100-continue"),
        (b"TE", b"trailers"),
        (b"Trailer", b"a"),
        (b"Proxy-Authorization", b"a"),
        (b"X-A", b"1\r\nX-B: 2"),
        (b"a b", b"1"),
    ],
)
def test_a_field_that_frames_or_breaks_the_head_is_refused(field: tuple[bytes, bytes]) -> None:
    script, trace = Noting(ok()), Adding(field)
    with ScriptedServer(script) as server, httpcore.SyncConnectionPool(trace=trace) as http:
        with pytest.raises(httpcore.LocalProtocolError):
            http.request("POST", server.url, {"X": "1"})
        assert http.stats().leased == 0
    assert isinstance(trace.records[-1], httpcore.RequestFailed)
    assert script.heads == []


@pytest.mark.parametrize(
    ("answers", "settings", "sends"),
    [
        ([ok()], {}, [0]),
        ([MOVED, MOVED.replace(b"there", b"again"), ok()], {}, [0, 1, 2]),
        ([REFUSED, MOVED, REFUSED, ok()], {"auth": httpcore.DigestAuth("me", "secret")}, [0, 1, 2, 3]),
        ([BUSY, MOVED, BUSY, BUSY, ok()], {"retries": EAGER}, [0, 2]),
    ],
)
def test_a_client_reports_how_often_a_call_was_sent(
    answers: list[bytes], settings: dict[str, Any], sends: list[int]
) -> None:
    script, trace = Noting(*answers), Adding()
    transport = httpcore.HTTPTransport(trace=trace, retries=settings.pop("retries", 0))
    with ScriptedServer(script) as server, httpcore.Client(transport=transport, **settings) as client:
        client.get(server.url)
    assert trace.earlier == sends
    assert earlier.get() == Earlier()


def test_following_by_hand_goes_on_counting() -> None:
    trace = Adding()
    with ScriptedServer(Noting(MOVED, ok(), ok())) as server, httpcore.Client(trace=trace) as client:
        assert client.get(server.url, allow_redirects=False).next().status_code == 200
        client.get(server.url)
    assert trace.earlier == [0, 1, 0]


def test_a_client_traces_all_its_requests() -> None:
    trace = Adding()
    with ScriptedServer(answering(ok())) as server, httpcore.Client(trace=trace) as client:
        client.get(server.url)
    assert isinstance(trace.records[-1], httpcore.ConnectionClosed)
    with pytest.raises(ValueError, match="trace cannot be combined with transport"):
        httpcore.Client(transport=httpcore.HTTPTransport(), trace=trace)
    with pytest.raises(TypeError, match="trace is of type str"):
        httpcore.Client(trace="x")  # type: ignore[arg-type]
