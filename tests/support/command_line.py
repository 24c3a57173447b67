"""The command of this project in this process, and curl beside it."""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple, cast

import pytest
from real_servers import program

from httpcore._cli.command import main
from httpcore._cli.output import Console


class Ran(NamedTuple):
    """What a run came to."""

    status: int
    out: bytes
    err: str


def console(stdin: bytes = b"") -> Console:
    return Console(io.BytesIO(stdin), io.BytesIO(), io.BytesIO())


def httpcore(*arguments: str, stdin: bytes = b"") -> Ran:
    streams = console(stdin)
    usage = io.StringIO()
    try:
        with redirect_stdout(usage), redirect_stderr(usage):
            status = main(arguments, streams)
    except SystemExit as end:  # argparse's
        status = int(cast("int", end.code))
    out, err = cast("io.BytesIO", streams.stdout), cast("io.BytesIO", streams.stderr)
    return Ran(status, out.getvalue(), err.getvalue().decode() + usage.getvalue())


def curl(*arguments: str, stdin: bytes = b"") -> Ran:
    if program("curl") is None:
        pytest.skip("curl is not installed")
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(["curl", "-q", "-sS", *arguments], input=stdin, capture_output=True, timeout=30, env=env)
    return Ran(done.returncode, done.stdout, done.stderr.decode())
