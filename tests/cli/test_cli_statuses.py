"""The status of each error, and the line of each record; and the command over HTTP/2, a tunnel and an Upgrade."""

from __future__ import annotations

import pytest
from command_line import httpcore as command
from real_servers import Ports
from servers import Peer, ScriptedServer, answering, ok

import httpcore
from httpcore._cli.exits import Exit, exit_of
from httpcore._cli.narration import certificate_lines, record_line

pytestmark = pytest.mark.usefixtures("no_proxies")

OVER_H2 = [httpcore.ConnectionOpened(0.0, 1, "https://a.test:443", "a:443", "TLSv1.3", "h2", "httpcore")]
LOOKING_UP = [httpcore.LookupStarted(0.0, 1, "a.test"), httpcore.DialFailed(0.0, 1, "https://a.test:443", "no")]
TUNNELLING = [httpcore.TunnelStarted(0.0, 1, "http://proxy.test:80")]


@pytest.mark.parametrize(
    ("error", "records", "status"),
    [
        (KeyboardInterrupt(), [], Exit.INTERRUPTED),
        (httpcore.TotalTimeout("late"), [], Exit.TIMEOUT),
        (httpcore.StreamReset(8), OVER_H2, Exit.STREAM),
        (httpcore.GoAway(1, 0), OVER_H2, Exit.HTTP2),
        (httpcore.RemoteProtocolError("DATA on stream 0"), OVER_H2, Exit.HTTP2),
        (httpcore.RemoteProtocolError("nonsense"), [], Exit.ANSWER),
        (httpcore.LimitExceeded("too much"), [], Exit.LIMIT),
        (httpcore.WriteError("broken"), [], Exit.SEND),
        (httpcore.ReadError("broken"), [], Exit.RECEIVE),
        (httpcore.ProxyError("no"), TUNNELLING, Exit.PROXY),
        (httpcore.ConnectError("lost"), TUNNELLING, Exit.PROXY),
        (httpcore.ConnectError("unknown", url="https://a.test/"), LOOKING_UP, Exit.RESOLVE),
        (httpcore.ConnectError("unknown", url="https://b.test/"), LOOKING_UP, Exit.RESOLVE_PROXY),
        (httpcore.ConnectError("unknown", phase="resolve"), [], Exit.RESOLVE),
        (httpcore.ConnectError("refused"), [], Exit.CONNECT),
        (httpcore.PolicyError("denied"), [], Exit.CONNECT),
        (httpcore.TLSError("another fingerprint"), [], Exit.CERTIFICATE),
        (httpcore.RedirectLoop("again"), [], Exit.REDIRECTS),
        (ValueError("wrong"), [], Exit.USAGE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_error_has_a_status(error: BaseException, records: list[httpcore.TraceEvent], status: Exit) -> None:
    assert exit_of(error, records) is status


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (httpcore.RequestQueued(0.0, 1, "http://a.test:80"), "* Waiting for a connection to http://a.test:80"),
        (httpcore.ConnectStarted(0.0, 1, ("/run/a.sock",), None), "* Trying /run/a.sock..."),
        (httpcore.ConnectStarted(0.0, 1, ("::1", "127.0.0.1"), 80), "* Trying [::1]:80, 127.0.0.1:80..."),
        (httpcore.TLSDone(0.0, 1, "a.test", "TLSv1.3", None), "* TLS with a.test: TLSv1.3, ALPN none"),
        (
            httpcore.RequestSent(0.0, 1, "a:80", False, complete=False),
            "* An early answer has cut the request short",
        ),
        (
            httpcore.ConnectionOpened(0.0, 1, "o", "a:80", None, None, "httpcore", "HTTP/1.1 alone"),
            "* Connection open to a:80, read by httpcore; HTTP/1.1 alone",
        ),
        (httpcore.ResponseUnusual(0.0, 1, ("folded-lines",)), "* The response is unusual: folded-lines"),
        (
            httpcore.EngineDifference(0.0, 1, "h11 1.0", "a \x1b[2J"),
            "* h11 1.0 reads the received bytes differently: a \\x1b[2J",
        ),
        (httpcore.RequestStarted(0.0, 1, "GET", "http://a.test/"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, httpcore.TraceEvent) else "",
)
def test_each_step_is_a_line_of_its_own(record: httpcore.TraceEvent, line: str | None) -> None:
    assert record_line(record) == line


def test_an_unreadable_certificate_is_named() -> None:
    tls = httpcore.TLSInfo("TLSv1.3", "AES", None, None, b"no certificate", False)
    (line,) = certificate_lines(httpcore.ResponseInfo(tls=tls))
    assert line.startswith("* The certificate cannot be read: ")
    assert certificate_lines(httpcore.ResponseInfo()) == []


def test_http2_is_used_and_shown(hypercorn: Ports) -> None:
    ran = command(f"http://127.0.0.1:{hypercorn.plain}/trailers", "-i", "-v", "--http2", "-H", "TE: trailers")
    assert ran.status == 0
    assert ran.out.startswith(b"HTTP/2 200 \r\n")
    assert ran.out.endswith(b"\r\n\r\nHello, worldx-word: fine\r\n")
    lines = ran.err.splitlines()
    assert "> GET /trailers HTTP/2" in lines
    assert "< HTTP/2 200" in lines
    assert lines[-1] == "< x-word: fine"


def test_engines_are_those_that_are_named() -> None:
    with ScriptedServer(answering(ok(b"Hello"))) as server:
        ran = command(server.url, "-v", "--engines", "http/1.1=reference,http/2=native")
    assert ran.out == b"Hello"
    assert "read by h11" in ran.err


def test_a_tunnel_that_a_proxy_refuses_has_a_status_of_its_own() -> None:
    with ScriptedServer(answering(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")) as proxy:
        ran = command("https://a.test/", "-x", f"127.0.0.1:{proxy.port}", "-v")
    assert ran.status == Exit.PROXY
    assert f"* Asking http://127.0.0.1:{proxy.port} to connect" in ran.err.splitlines()


def test_an_upgrade_ends_with_its_head() -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello")
        peer.rest()

    with ScriptedServer(script) as server:
        ran = command(server.url, "-i", "-H", "Connection: upgrade", "-H", "Upgrade: chat")
    assert ran.status == 0
    assert ran.out == b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"
