"""Runs the command of this project in this process, and curl for comparison."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, BinaryIO, NamedTuple, cast

import pytest
from real_servers import program

from httpcore._cli.command import main
from httpcore._cli.output import Console


class CompletedRun(NamedTuple):
    """The result of a run."""

    status: int
    out: bytes
    err: str


def console(stdin: bytes = b"") -> Console:
    return Console(io.BytesIO(stdin), io.BytesIO(), io.BytesIO())


def httpcore(*arguments: str, stdin: bytes = b"") -> CompletedRun:
    streams = console(stdin)
    usage = io.StringIO()
    try:
        with redirect_stdout(usage), redirect_stderr(usage):
            status = main(arguments, streams)
    except SystemExit as end:  # argparse raises it
        status = int(cast("int", end.code))
    out, err = cast("io.BytesIO", streams.stdout), cast("io.BytesIO", streams.stderr)
    return CompletedRun(status, out.getvalue(), err.getvalue().decode() + usage.getvalue())


def curl(*arguments: str, stdin: bytes = b"") -> CompletedRun:
    if program("curl") is None:
        pytest.skip("curl is not installed")
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(["curl", "-q", "-sS", *arguments], input=stdin, capture_output=True, timeout=30, env=env)
    return CompletedRun(done.returncode, done.stdout, done.stderr.decode())


class Screen:
    """A pseudo-terminal, and all bytes that were written to it."""

    def __init__(self) -> None:
        self._pty_controller, theirs = os.openpty()
        self.terminal = cast("BinaryIO", open(theirs, "wb", buffering=0))  # noqa: SIM115 - see `text`
        self._received = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._pty_controller, 65536):
                self._received += data
        except OSError:  # Linux raises it when the other end is closed
            pass

    def text(self) -> str:
        """The output; the terminal has made CRLF of each LF."""
        self.terminal.close()
        self._reader.join(10)
        os.close(self._pty_controller)
        return self._received.decode(errors="surrogateescape").replace("\r\n", "\n")


def on_a_terminal(*arguments: str, out: bool = True, err: bool = True) -> tuple[int, str, str]:
    """Status, standard output and error output; an output whose argument is True is a terminal."""
    streams, screen = console(), Screen()
    shown = Console(
        streams.stdin, screen.terminal if out else streams.stdout, screen.terminal if err else streams.stderr
    )
    status = main(arguments, shown)
    text = screen.text()
    plain = [cast("Any", stream).getvalue().decode() for stream in (streams.stdout, streams.stderr)]
    return status, text if out else plain[0], text if err else plain[1]
