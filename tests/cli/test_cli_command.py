"""The command: its output, the bytes of a hostile server that reach a terminal, and the exit status."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import CompletedRun, httpcore, on_a_terminal
from servers import Peer, ScriptedServer, answering, ok

from httpcore import Progress
from httpcore._cli.arguments import parser, plan_of
from httpcore._cli.exits import MEANINGS, Exit
from httpcore._cli.paint import plain
from httpcore._cli.progress import bar_line as progress_line
from httpcore._cli.progress import duration, size

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "httpcore"]


@pytest.fixture(autouse=True)
def _plain(no_proxies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


def answered(answer: bytes, *arguments: str, stdin: bytes = b"") -> CompletedRun:
    with ScriptedServer(answering(answer)) as server:
        return httpcore(server.url, *arguments, stdin=stdin)


# -v


def test_verbose_shows_the_steps_and_both_heads() -> None:
    ran = answered(ok(b"Hello, world", b"X-Some-Name: Value"), "-v")
    lines = [re.sub(r":\d+", ":PORT", line) for line in ran.err.splitlines()]
    assert ran.out == b"Hello, world"
    assert lines == [
        "* Trying 127.0.0.1:PORT...",
        "* Connected to 127.0.0.1:PORT",
        "* Connection open to 127.0.0.1:PORT, read by httpcore 2.0.0",
        "> GET / HTTP/1.1",
        "> Host: 127.0.0.1:PORT",
        "> User-Agent: httpcore/2.0.0",
        "> Accept: */*",
        ">",
        "* Request sent completely",
        "< HTTP/1.1 200 OK",
        "< Content-Length: 12",
        "< X-Some-Name: Value",
        "<",
    ]


def test_verbose_shows_each_attempt_and_each_redirect() -> None:
    unavailable = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    moved = b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    script = answering(unavailable, moved, hints + ok(b"fine", b"Connection: close"))
    with ScriptedServer(script) as server:
        ran = httpcore(server.url + "/a", "-v", "-L", "--retries", "1")
    assert ran.out == b"fine"
    marked = [line for line in ran.err.splitlines() if re.match(r"[<>] (GET|HTTP)|[*] (Sending|Conn.*closed)", line)]
    assert marked == [
        "> GET /a HTTP/1.1",
        "< HTTP 503 Service Unavailable",
        next(line for line in marked if line.startswith("* Sending the request again, attempt 2")),
        "> GET /a HTTP/1.1",
        "< HTTP/1.1 302 Found",
        "> GET /b HTTP/1.1",
        "< HTTP 103 Early Hints",
        "< HTTP/1.1 200 OK",
        next(line for line in marked if "closed: it cannot carry another exchange" in line),
    ]


def test_verbose_shows_credentials_only_on_request() -> None:
    answer = ok(b"", b"Set-Cookie: session=hush")
    given = ["-u", "me:hush", "-H", "Cookie: a=hush", "-H", "X-Api-Key: hush"]
    once, twice = answered(answer, "-v", *given), answered(answer, "-vv", *given)
    assert "hush" not in once.err
    assert "> Authorization: Basic ***" in once.err
    assert "< Set-Cookie: ***" in once.err
    assert "> Cookie: a=hush" in twice.err
    assert "> Authorization: Basic bWU6aHVzaA==" in twice.err


def test_verbose_shows_a_head_whose_connection_broke() -> None:
    ran = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "-v")
    assert ran.status == Exit.PARTIAL
    assert "< HTTP/1.1 200 OK" in ran.err
    assert ran.err.splitlines()[-1].startswith("httpcore: (18) ")


# Bytes from a hostile server.

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
FIELDS = b"HTTP/1.1 200 " + b"\xc2\x9b2J" + b"\r\nX-A: \xc2\x9b2J \xe2\x80\xae \xff\r\nContent-Length: 0\r\n\r\n"


def steering(text: str) -> str:
    """The characters of the output that control a terminal."""
    return re.sub("[^\0-\x09\x0b-\x1f\x7f-\x9f\u202e]", "", text)


def test_a_hostile_head_cannot_steer_the_terminal() -> None:
    with ScriptedServer(answering(FIELDS)) as server:
        status, out, _ = on_a_terminal(server.url, "-v", "-i", "--trace")
    assert status == 0
    assert steering(out) == ""
    assert "< X-A: \\x9b2J \\u202e \\xff" in out
    assert "\nX-A: \\x9b2J \\u202e \\xff" in out


def test_a_hostile_head_is_written_to_a_file_unchanged(tmp_path: Path) -> None:
    assert FIELDS in answered(FIELDS, "-i").out
    answered(FIELDS, "-i", "-o", str(tmp_path / "out"))
    assert FIELDS in (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 2\x1b[2J0 OK\r\n\r\n",
        b"\x1b]0;owned\x07\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: ht\xc2\x9btp://\x80\r\nContent-Length: 0\r\n\r\n",
        ok(b"\x1b[2J", b"Content-Encoding: \xc2\x9b2J"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[2J\r\n",
    ],
)
def test_an_error_that_quotes_input_cannot_steer_the_terminal(answer: bytes) -> None:
    ran = answered(answer, "-v", "-L", "--compressed")
    assert ran.status not in (Exit.OK, Exit.USAGE)
    assert steering(ran.err) == ""


def test_a_body_on_a_terminal_is_text_that_steers_nothing() -> None:
    with ScriptedServer(answering(ok(f"Grüße\r\n{HOSTILE}\r\n\tfine\r\r\nend\r".encode()))) as server:
        status, out, _ = on_a_terminal(server.url)
    assert status == 0
    assert out == "Grüße\n\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e\n\tfine\\r\nend\\r"


def test_a_body_on_a_terminal_is_decoded_by_its_charset() -> None:
    answer = ok("Grüße".encode("latin-1"), b"Content-Type: text/plain; charset=iso-8859-1")
    with ScriptedServer(answering(answer)) as server:
        assert on_a_terminal(server.url)[1] == "Grüße"
    with ScriptedServer(answering(ok("Grüße".encode("latin-1")))) as server:
        assert on_a_terminal(server.url)[1] == "Gr\ufffd\ufffde"


def test_a_binary_body_goes_to_a_terminal_only_on_request() -> None:
    body = b"\x89PNG\0\x1b[2J"
    with ScriptedServer(answering(ok(body))) as server:
        status, out, _ = on_a_terminal(server.url)
        assert status == Exit.WRITE
        assert "expected --output FILE, or --output -" in out
        assert "PNG" not in out
    with ScriptedServer(answering(ok(body))) as server:
        assert on_a_terminal(server.url, "-o", "-")[:2] == (0, body.decode(errors="surrogateescape"))
    assert answered(ok(body)).out == body


# Bodies to be sent, and files.


def test_a_file_and_the_standard_input_are_sent_byte_for_byte(tmp_path: Path) -> None:
    text = b"a\r\n\0b" * 1000
    path = tmp_path / "body"
    path.write_bytes(text)
    bodies: list[bytes] = []

    def script(peer: Peer) -> None:
        while head := peer.head():
            if b"chunked" in head:
                bodies.append(peer.until(b"\r\n0\r\n\r\n").split(b"\r\n", 1)[1][: len(text)])
            else:
                bodies.append(peer.exactly(len(text)))
            peer.send(ok())

    with ScriptedServer(script) as server:
        assert httpcore(server.url, "--data-file", str(path)).status == 0
        assert httpcore(server.url, "--data-file", "-", stdin=text).status == 0
    assert bodies == [text, text]


@pytest.mark.parametrize("option", ["-d@", "--json=@", "--data-file="])
def test_a_file_that_cannot_be_read_has_a_status_of_its_own(option: str) -> None:
    ran = answered(ok(), f"{option}/nowhere/file")
    assert ran.status == Exit.READ_FILE
    assert ran.err == "httpcore: (26) /nowhere/file cannot be read: No such file or directory\n"


def test_a_request_that_fails_leaves_an_output_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before")
    assert answered(b"", "-o", str(path)).status == Exit.EMPTY
    assert answered(b"HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx", "-f", "-o", str(path)).status == Exit.STATUS
    assert path.read_bytes() == b"before"
    assert answered(ok(b""), "-o", str(path)).status == 0
    assert path.read_bytes() == b""


def test_a_file_whose_reading_fails_has_the_same_status() -> None:
    """The file opens, but its first page cannot be read. If the body is streamed, the error is raised by the
    request.
    """
    for option in ("-d@", "--data-file="):
        ran = answered(ok(), f"{option}/proc/self/mem")
        assert ran.status == Exit.READ_FILE
        assert ran.err.endswith("Input/output error\n")


def test_silent_shows_errors_only_on_request() -> None:
    assert answered(b"", "-s").err == ""
    assert answered(b"", "-sS").err.startswith("httpcore: (52) ")


def test_the_program_prompts_for_a_missing_password(monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[str] = []

    def answer(prompt: str) -> str:
        requested.append(prompt)
        return "sesame"

    monkeypatch.setattr("httpcore._cli.command.getpass", answer)
    assert "> Authorization: Basic bWU6c2VzYW1l" in answered(ok(), "-vv", "-u", "me").err
    assert requested == ["Password of me: "]


def test_a_password_that_is_not_typed_is_an_error_of_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("httpcore._cli.command.getpass", answer)
    ran = answered(ok(), "-u", "me")
    assert ran.status == Exit.USAGE
    assert ran.err == "httpcore: (2) -u: expected USER:PASSWORD or a typed password, got the end of the input\n"


@pytest.mark.skipif(os.name != "posix", reason="a session without a terminal is one of POSIX")
@pytest.mark.parametrize("stdin", ["</dev/null", "<&-", "</dev/zero"])
def test_without_a_terminal_a_password_is_not_asked_for(stdin: str) -> None:
    command = f'exec "$0" -W error -m httpcore -u "me:" -u me http://127.0.0.1:9/ {stdin}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable], capture_output=True, cwd=PROJECT, start_new_session=True, timeout=30
    )
    assert done.returncode == Exit.USAGE
    expected = "-u: expected a password: give USER:PASSWORD, or run in a terminal"
    assert done.stderr.decode() == f"httpcore: (2) {expected}\n"
    assert done.stdout == b""


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are of POSIX")
def test_a_password_is_typed_on_the_terminal_beside_stdin(tmp_path: Path) -> None:
    """stdin is the body; the password is read from the terminal, which does not show the typed characters."""
    ours, theirs = os.openpty()
    take = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = 'exec "$0" -m httpcore -vv -u me -d @- "$1" </dev/null 2>"$2" >/dev/null'
    with ScriptedServer(answering(ok())) as server:
        words = ["/bin/sh", "-c", command, sys.executable, server.url, str(tmp_path / "err")]
        process = subprocess.Popen(
            [sys.executable, "-c", take, *words], stdin=theirs, cwd=PROJECT, start_new_session=True
        )
        shown = b""
        while b"Password of me: " not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, b"sesame\n")
        assert process.wait(30) == 0
    os.close(theirs)
    os.close(ours)
    assert b"sesame" not in shown
    assert "> Authorization: Basic bWU6c2VzYW1l" in (tmp_path / "err").read_text()


# The bar of progress.


def test_progress_is_shown_where_the_body_goes_elsewhere(tmp_path: Path) -> None:
    body = bytes(300_000)
    with ScriptedServer(answering(ok(body))) as server:
        status, _, err = on_a_terminal(server.url, "-o", str(tmp_path / "out"), out=False)
    assert status == 0
    assert (tmp_path / "out").read_bytes() == body
    assert re.search(r"\rdownload \[#+\] 100% of 293.0 KiB, \d+\.\d [KMG]iB/s, 0:00 left *\n$", err), err
    with ScriptedServer(answering(ok(body), ok(body))) as server:
        assert on_a_terminal(server.url, "-o", str(tmp_path / "out"), "-s", out=False)[2] == ""
        assert on_a_terminal(server.url, out=False, err=False)[2] == ""


def test_progress_makes_room_for_the_lines_of_verbose() -> None:
    moved = b"HTTP/1.1 307 Go\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"

    def script(peer: Peer) -> None:
        for answer in (moved, ok(b"done")):
            peer.head()
            peer.exactly(6)
            peer.send(answer)

    with ScriptedServer(script) as server:
        _, out, err = on_a_terminal(server.url, "-v", "-L", "-d", "x" * 6, out=False)
    assert out == "done"
    assert re.search(r"\r {20,}\r\* Request sent completely\n", err), err
    assert "upload [#" in err


def test_an_error_has_its_line_below_the_bar(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        peer.head()
        peer.exactly(6)
        peer.send(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")

    with ScriptedServer(script) as server:
        status, _, err = on_a_terminal(server.url, "-f", "-d", "x" * 6, "-o", str(tmp_path / "out"), out=False)
    assert status == Exit.STATUS
    assert re.search(r"left *\nhttpcore: \(22\) the server answered with status 404\n$", err), err


def test_progress_of_several_sizes_is_one_line() -> None:
    def bar_line(progress: Progress, elapsed: float, width: int) -> str:
        return plain(progress_line(progress, elapsed, width))

    quarter = "download [#####...............]  25% of 2.0 MiB, 256.0 KiB/s, 0:06 left"
    assert bar_line(Progress("download", 512 * 1024, 2 * 1024 * 1024), 2.0, len(quarter)) == quarter
    assert bar_line(Progress("upload", 2_000, None), 4.0, 80) == "  upload 2.0 KiB, 500 B/s, 0:04"
    assert bar_line(Progress("upload", 0, 10), 0.0, 80).endswith("   0% of 10 B, 0 B/s, -:-- left")
    assert bar_line(Progress("download", 5, 10), 1.0, 20) == "download 50% of 10 B"
    assert [size(n) for n in (0, 999, 1000, 1 << 20, 5 << 40)] == ["0 B", "999 B", "1.0 KiB", "1.0 MiB", "5.0 TiB"]
    assert [duration(n) for n in (0.9, 65, 3661)] == ["0:00", "1:05", "1:01:01"]


# How it ends.


@contextmanager
def silent() -> Iterator[ScriptedServer]:
    with ScriptedServer(lambda peer: peer.rest()) as server:
        yield server


def test_ctrl_c_ends_the_process_with_130() -> None:
    began = threading.Event()

    def script(peer: Peer) -> None:
        peer.head()
        began.set()
        peer.rest()

    with ScriptedServer(script) as server:
        process = subprocess.Popen([*COMMAND, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT)
        assert began.wait(20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_a_broken_pipe_ends_the_process_with_23() -> None:
    body = gzip.compress(os.urandom(3_000_000))
    with ScriptedServer(answering(ok(body))) as server:
        process = subprocess.Popen([*COMMAND, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PROJECT)
        assert process.stdout is not None
        process.stdout.read(1000)
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait(20) == Exit.WRITE
    assert err == "httpcore: (23) the output cannot be written: Broken pipe\n"


@pytest.mark.parametrize(
    ("closed", "status", "out", "err"),
    [
        (0, 0, b"Hello", b""),
        (1, Exit.WRITE, b"", b"httpcore: (23) the output cannot be written: Bad file descriptor\n"),
        (2, 0, b"Hello", b""),
    ],
)
def test_a_standard_stream_that_is_closed_is_no_socket(closed: int, status: int, out: bytes, err: bytes) -> None:
    """If the number of the closed descriptor were free, the socket of the request would get it, and the server would
    receive the output.
    """
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(ok(b"Hello"))
        seen.append(peer.rest())

    with ScriptedServer(script) as server:
        command = f'exec "$0" -m httpcore "$1" {closed}>&-'
        done = subprocess.run(["sh", "-c", command, sys.executable, server.url], capture_output=True, cwd=PROJECT)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)
    assert seen == [b""]


def test_each_status_has_its_sentence_in_the_guide() -> None:
    page = (PROJECT / "docs" / "guide" / "command-line.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", page, re.MULTILINE))
    assert rows == {str(int(status)): meaning for status, meaning in MEANINGS.items()}
    assert set(MEANINGS) == set(Exit)


def test_each_option_is_in_the_guide() -> None:
    page = (PROJECT / "docs" / "guide" / "command-line.md").read_text(encoding="utf-8")
    # `argparse` has no public list of the options of a parser.
    options = [name for action in parser()._actions for name in action.option_strings]
    assert [name for name in options if f"`{name}" not in page and name not in ("-h", "--help")] == []


def test_each_command_line_of_the_guide_can_be_read() -> None:
    page = (PROJECT / "docs" / "guide" / "command-line.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ httpcore (.+)$", page, re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        assert plan_of(shlex.split(line)).url.host in ("example.org", "localhost")


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (
            ["http://a", "-H", "nonsense"],
            2,
            "-H: expected 'Name: value', 'Name:' or 'Name;', got a text without a colon",
        ),
        (["http://a", "-H", "a b: c"], 2, "a token of ASCII letters"),
        (["http://a", "--resolve", "a:80"], 2, "--resolve: expected HOST:PORT:ADDRESS"),
        (["http://a", "--resolve", "a:80:name"], 2, "--resolve: expected HOST:PORT:ADDRESS"),
        (["http://a", "--http1", "--http2"], 2, "expected one of them, got both"),
        (["http://a", "-d", "x", "--data-file", "x"], 2, "expected one of them, got both"),
        (["http://a", "--key", "x"], 2, "--key: expected --cert beside it"),
        (["http://a", "--engines", "quux"], 2, "'quux'"),
        (["http://a", "--engines", "http/1.1=native,quux"], 2, "expected NAME or PROTOCOL=NAME"),
        (["http://a", "--timeout", "-1"], 2, "expected seconds from 0 (no limit) up, below 1e9, got '-1'"),
        (["http://a", "--timeout", "1e9"], 2, "below 1e9, got '1e9'"),
        (["http://a", "--timeout", "x"], 2, "expected seconds"),
        (["http://a", "--max-redirs", "-1"], 2, "expected a whole number from 0 to 999,999, got '-1'"),
        (["http://a", "--max-redirs", "1000000"], 2, "from 0 to 999,999, got '1000000'"),
        (["http://a", "--proxy", "quux://b"], 3, "quux"),
        (["http://a b"], 3, "url is"),
        (["quux://a"], 1, "the scheme must be http or https"),
    ],
)
def test_a_wrong_command_line_names_the_expected_arguments(arguments: list[str], status: int, text: str) -> None:
    ran = httpcore(*arguments)
    assert ran.status == status, ran.err
    assert text in ran.err
    assert "Traceback" not in ran.err


def test_importing_httpcore_loads_nothing_of_the_command() -> None:
    program = "import sys, httpcore; httpcore.Client; print([n for n in sys.modules if 'httpcore._cli.' in n + '.'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout == "[]\n"
