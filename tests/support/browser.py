"""Chromium without a window, for the tests that need a browser: it opens one page, whose script runs the test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from real_servers import program

_OPTIONS = (
    *("--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check"),
    *("--no-sandbox", "--no-proxy-server", "--mute-audio", "--password-store=basic"),
    # The browser must send requests only to the test's own servers.
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-sync"),
    *("--disable-extensions", "--disable-domain-reliability", "--no-pings"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
"""`--no-sandbox`: without this option root may not start the browser, and the page is our own."""


def _browser() -> str:
    """Debian's Chromium, or Chrome, which has the same options, if that is installed instead."""
    return shutil.which("google-chrome") or program("chromium")


@contextmanager
def browser(url: str, folder: Path) -> Iterator[None]:
    """Open the page, with a profile in `folder`; at the end the browser is killed with all its processes. Its output is
    shown if the test fails.
    """
    seen = (folder / "browser.log").open("w+b")
    running = subprocess.Popen(
        [_browser(), *_OPTIONS, f"--user-data-dir={folder / 'profile'}", url],
        stdin=subprocess.DEVNULL,
        stdout=seen,
        stderr=seen,
        env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
        start_new_session=True,  # a process group of its own, which is killed at the end
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        seen.seek(0)
        print(seen.read().decode(errors="replace")[-2000:])
        seen.close()
