"""Other implementations of cookies, for the same tests: http.cookiejar of the standard library, and tough-cookie."""

from __future__ import annotations

import email.message
import http.cookiejar
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import pytest
from real_servers import program

FOLDER = Path(__file__).with_name("tough_cookie")

Step = tuple[str, str | None]
"""A URL, and the Set-Cookie field of its response; or None, for a request to the URL whose cookies are compared."""


class ToughCookie:
    """tough-cookie in a process of Node."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._in, self._out = cast(IO[str], process.stdin), cast(IO[str], process.stdout)

    def play(self, steps: Sequence[Step], now: float) -> list[str | None]:
        requested = [{"get": [url]} if field is None else {"set": [url, field]} for url, field in steps]
        self._in.write(json.dumps({"steps": requested, "now": now}) + "\n")
        self._in.flush()
        return cast("list[str | None]", json.loads(self._out.readline()))


@contextmanager
def tough_cookie() -> Iterator[ToughCookie]:
    """Without Node or the package the test is skipped, except on CI, where that is a failure."""
    node = program("node")
    if not (FOLDER / "node_modules" / "tough-cookie").exists():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no tough-cookie here: run scripts/install")
    process = subprocess.Popen(
        [node, "reference.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    with process:
        try:
            yield ToughCookie(process)
        finally:
            process.kill()


class _Response:
    def __init__(self, field: str) -> None:
        self._message = email.message.Message()
        self._message["Set-Cookie"] = field

    def info(self) -> email.message.Message:
        return self._message


def cookiejar(steps: Sequence[Step]) -> list[str | None]:
    """The results of http.cookiejar, by its rules for Netscape cookies, which it applies to all servers."""
    jar = http.cookiejar.CookieJar()
    answers: list[str | None] = []
    for url, field in steps:
        request = urllib.request.Request(url)
        if field is None:
            jar.add_cookie_header(request)
            answers.append(request.get_header("Cookie"))
        else:
            jar.extract_cookies(_Response(field), request)  # type: ignore[arg-type]  # that is all it asks for
    return answers
