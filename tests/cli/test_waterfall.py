"""The waterfall: records become spans, spans become lines of text and an SVG image."""

from __future__ import annotations

import itertools
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import trustme
from command_line import httpcore as command
from command_line import on_a_terminal
from servers import Peer, ScriptedServer, answering, ok

import httpcore
from httpcore._cli.chart import chart_lines, milliseconds
from httpcore._cli.paint import plain
from httpcore._cli.svg import svg_of, ticks
from httpcore._cli.timeline import PHASES, Exchange, Span, exchanges_of

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _plain(no_proxies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("COLUMNS", "60")


def the_records() -> list[httpcore.TraceEvent]:
    """The records of a request that waits, is tunnelled, retried, and answered."""
    refused = ConnectionRefusedError("no")
    return [
        httpcore.RequestStarted(100.0, 7, "GET", "https://a.test/"),
        httpcore.RequestQueued(100.0, 7, "https://a.test:443"),
        httpcore.DialStarted(101.0, 7, "https://a.test:443"),
        httpcore.LookupStarted(101.0, 7, "proxy.test"),
        httpcore.LookupDone(102.0, 7, "proxy.test", ("127.0.0.1",)),
        httpcore.ConnectStarted(102.0, 7, ("127.0.0.1",), 80),
        httpcore.DialFailed(103.0, 7, "https://a.test:443", "refused", exception=refused),
        httpcore.RequestRetried(103.0, 7, "refused", 2, 1.0),
        httpcore.DialStarted(104.0, 7, "https://a.test:443"),
        httpcore.ConnectStarted(104.0, 7, ("127.0.0.1",), 80),
        httpcore.Connected(105.0, 7, "127.0.0.1:80"),
        httpcore.TunnelStarted(105.0, 7, "http://proxy.test:80"),
        httpcore.TunnelOpened(106.0, 7, "http://proxy.test:80"),
        httpcore.TLSStarted(106.0, 7, "a.test"),
        httpcore.TLSDone(107.0, 7, "a.test", "TLSv1.3", "h2"),
        httpcore.ConnectionOpened(107.0, 7, "https://a.test:443", "127.0.0.1:80", "TLSv1.3", "h2", "httpcore"),
        httpcore.HeadSent(107.5, 7, "127.0.0.1:80", False),
        httpcore.RequestSent(108.0, 7, "127.0.0.1:80", False),
        httpcore.InterimResponse(108.5, 7, 103, ()),
        httpcore.ResponseStarted(109.0, 7, 200, ()),
        httpcore.ResponseComplete(110.0, 7, 5),
        httpcore.ConnectionClosed(111.0, 7, "127.0.0.1:80", "the pool was closed"),
    ]


def test_records_become_the_phases_between_them() -> None:
    (exchange,) = exchanges_of(the_records())
    assert [(span.phase, span.start, span.end) for span in exchange.spans] == [
        ("queue", 0.0, 1.0),
        ("DNS", 1.0, 2.0),
        ("connect", 2.0, 3.0),
        ("pause", 3.0, 4.0),
        ("connect", 4.0, 5.0),
        ("tunnel", 5.0, 6.0),
        ("TLS", 6.0, 7.0),
        ("send", 7.0, 8.0),
        ("wait", 8.0, 9.0),
        ("body", 9.0, 10.0),
    ]
    assert [span.phase for span in exchange.spans if span.failed] == ["connect"]
    assert (exchange.outcome, exchange.start, exchange.end) == ("200", 0.0, 10.0)
    assert {span.phase for span in exchange.spans} == set(PHASES)


def test_a_connection_that_was_there_needs_no_phase() -> None:
    records = [
        httpcore.RequestStarted(1.0, 3, "GET", "http://a.test/"),
        httpcore.HeadSent(1.5, 3, "127.0.0.1:80", True),
        httpcore.RequestSent(2.0, 3, "127.0.0.1:80", True),
        httpcore.RequestFailed(4.0, 3, "ReadError: broken"),
    ]
    (exchange,) = exchanges_of(records)
    assert exchange.spans == (Span("send", 0.0, 1.0), Span("wait", 1.0, 3.0, failed=True))
    assert exchange.outcome == "ReadError"


def test_without_records_there_is_no_waterfall() -> None:
    assert exchanges_of([]) == []
    assert chart_lines([], 80, is_unicode=True) == []
    ElementTree.fromstring(svg_of([]))


def test_the_text_has_one_bar_for_each_phase_on_one_axis() -> None:
    lines = [plain(line) for line in chart_lines(exchanges_of(the_records()), 60, is_unicode=False)]
    assert lines == [
        "GET https://a.test/  200",
        "  queue   |####                               |     1.00 s",
        "  DNS     |    ###                            |     1.00 s",
        "  connect |       ###                         |     1.00 s x",
        "  pause   |          ####                     |     1.00 s",
        "  connect |              ####                 |     1.00 s",
        "  tunnel  |                  ###              |     1.00 s",
        "  TLS     |                     ###           |     1.00 s",
        "  send    |                        ####       |     1.00 s",
        "  wait    |                            ####   |     1.00 s",
        "  body    |                                ###|     1.00 s",
        "total                                                 10.0 s",
    ]


def test_a_narrow_terminal_gets_narrow_lines() -> None:
    long = Exchange("GET", "http://a.test/" + "x" * 200, 0.0, 1.0, "200", (Span("body", 0.0, 1.0),))
    for width in (40, 60, 100):
        assert max(len(plain(line)) for line in chart_lines([long], width, is_unicode=True)) <= width


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0.0 ms"), (0.01234, "12.3 ms"), (1.5, "1.50 s"), (123.4, "123.4 s")]
)
def test_times_are_written_in_short_units(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text


@pytest.mark.parametrize("total", [0.0, 1e-5, 0.003, 0.06, 0.61, 1.0, 7.3, 4000.0])
def test_ticks_are_round_and_few(total: float) -> None:
    found = ticks(total)
    assert found[0] == 0.0
    assert found[-1] <= total
    assert 1 <= len(found) <= 7
    assert total == 0.0 or len(found) >= 3


def texts(image: ElementTree.Element) -> list[tuple[float, float, str]]:
    return [
        (float(text.get("x", "0")), float(text.get("y", "0")), "".join(text.itertext()))
        for text in image.iter(f"{SVG}text")
    ]


def test_the_image_is_xml_whose_rows_stand_apart_and_inside() -> None:
    image = ElementTree.fromstring(svg_of(exchanges_of(the_records())))
    width, height = float(image.get("width", "0")), float(image.get("height", "0"))
    assert image.get("viewBox") == f"0 0 {width:g} {height:g}"
    bars = list(image.iter(f"{SVG}rect"))[1:]
    assert len(bars) == 10
    tops = [float(bar.get("y", "0")) for bar in bars]
    assert all(below - above >= float(bars[0].get("height", "0")) for above, below in itertools.pairwise(tops))
    for bar in bars:
        assert 0 <= float(bar.get("x", "0")) < float(bar.get("x", "0")) + float(bar.get("width", "0")) < width - 100
    for x, y, text in texts(image):
        assert 0 < y < height
        assert 0 < x < width - (0 if "0." in text else 7 * len(text))
    assert "1.00 s failed" in [text for _, _, text in texts(image)]


def test_a_url_is_text_in_the_image() -> None:
    hostile = Exchange("GET", "http://a.test/<script>&\"'\x1b\0\ud800", 0.0, 0.0, "20]]>0", (Span("wait", 0.0, 0.0),))
    image = ElementTree.fromstring(svg_of([hostile]))
    assert not list(image.iter(f"{SVG}script"))
    assert "GET http://a.test/<script>&\"'\\x1b\\x00\\ud800 20]]>0" in [text for _, _, text in texts(image)]


# A real run.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, str]:
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("certificates") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return authority, str(path)


@pytest.fixture
def secure(authority: tuple[trustme.CA, str]) -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("localhost").configure_cert(context)

    def script(peer: Peer) -> None:
        while head := peer.head():
            moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
            peer.send(moved if b"/moved" in head else ok(b"Hello"))

    with ScriptedServer(script, context) as server:
        yield server


def test_a_run_with_a_redirect_is_drawn(
    secure: ScriptedServer, authority: tuple[trustme.CA, str], tmp_path: Path
) -> None:
    path = tmp_path / "run.svg"
    url = f"https://localhost:{secure.port}/moved"
    ran = command(url, "-L", "--cacert", authority[1], "--trace", "--trace-svg", str(path))
    assert (ran.status, ran.out) == (0, b"Hello")
    names = [line.split()[0] for line in ran.err.splitlines()]
    assert names == ["GET", "DNS", "connect", "TLS", "send", "wait", "body", "GET", "send", "wait", "body", "total"]
    image = ElementTree.parse(path).getroot()
    assert [text for x, _, text in texts(image) if x == 8] == [f"GET {url} 302", f"GET {url[:-5]}there 200"]


def test_a_run_that_failed_is_drawn_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "run.svg"
    with ScriptedServer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")) as server:
        ran = command(server.url, "--trace", "--trace-svg", str(path))
    assert ran.status == 18
    assert re.search(r"^GET .*  200 RemoteProtocolError$", ran.err, re.MULTILINE)
    assert re.search(r"^  body .* ms x$", ran.err, re.MULTILINE)
    assert "200 RemoteProtocolError" in path.read_text()


def test_an_image_that_cannot_be_written_is_an_error() -> None:
    with ScriptedServer(answering(ok(b"Hello"))) as server:
        ran = command(server.url, "--trace-svg", "/nowhere/run.svg")
    assert (ran.status, ran.out) == (23, b"Hello")
    assert ran.err == "httpcore: (23) /nowhere/run.svg cannot be written: No such file or directory\n"


@pytest.mark.parametrize("has_rich", [True, False])
def test_a_terminal_gets_colours_where_rich_is_installed(
    has_rich: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    if not has_rich:
        monkeypatch.setattr("httpcore._cli.paint.find_spec", lambda name: None)
    with ScriptedServer(answering(ok(b"Hello"))) as server:
        _, _, err = on_a_terminal(server.url, "--trace", "-o", str(tmp_path / "out"), out=False)
    assert ("\x1b[32m  wait" in err) == has_rich
    assert ("\x1b" in err) == has_rich
    assert re.search(r"wait.*█", err)
