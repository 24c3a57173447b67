"""A gateway under wrk, as JSON: `loading.py CLIENT LOOP UPSTREAM SECONDS CONNECTIONS [JOB]`.

JOB is "get" (13 bytes), "down" or "up" (50 MB), or "echo": messages of 1 KB over WebSockets, which this process sends
itself, to an upstream of its own; CLIENT is one of `fronts.py`, or the client in the app of `gateways.py`.

The gateway runs on the first core, wrk and the upstream on the last one.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fronts import FRONTS
from server import ended, free_ports, pinned, program, wait_for

HERE = Path(__file__).resolve().parent


SIZE = 50_000_000
PATHS = {"get": "/hello", "down": "/50m", "up": "/drain"}
UP = f'wrk.method = "POST"; wrk.body = string.rep("x", {SIZE})'


def cost(url: str) -> dict[str, float]:
    """The resources that the process has used, as the app reports."""
    with urllib.request.urlopen(f"{url}/-/cost", timeout=10) as response:
        found: dict[str, float] = json.loads(response.read())
    return found


def cost_of(process: int) -> dict[str, float]:
    """The same for a process that cannot report it, from Linux, over all its threads."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    used = sum(int(task.read_text().split()[0]) for task in tasks)
    peak = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process}/status").read_text())
    return {"cpu": used / 1e9, "peak_kb": int(peak[1]) if peak else 0}


def wrk(url: str, seconds: str, connections: str, *options: str) -> dict[str, float]:
    """Loads `url`; returns the output of wrk. Slow gateways may answer no request in a short time."""
    command = [program("wrk", "wrk"), "-t", "1", "-c", connections, "-d", f"{seconds}s", "--timeout", "30s", *options]
    done = subprocess.run(
        [*command, url], capture_output=True, text=True, check=False, timeout=60, preexec_fn=pinned(-1)
    )
    count = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if done.returncode or not count or not rate:
        raise SystemExit(f"wrk failed: {done.stderr}{done.stdout}")
    if fault := re.search(r"(Socket errors|Non-2xx).*", done.stdout):
        raise SystemExit(f"the gateway failed: {fault[0]}")
    return {"requests": int(count[1]), "per_second": float(rate[1])}


def echo(port: int, seconds: float, connections: int) -> dict[str, float]:
    """Sends a message on each WebSocket, and the next one when a message was received back."""
    asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    asked += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    message = b"\x82\xfe" + struct.pack("!H", 1024) + b"mask" + b"x" * 1024  # masked, as those of clients are
    answer = 4 + 1024
    count = 0
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            sock.sendall(asked)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(1)
            if not head.startswith(b"HTTP/1.1 101 "):
                raise SystemExit(f"no WebSocket: {head!r}")
            selector.register(sock, selectors.EVENT_READ, [answer])
            sock.sendall(message)
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            for key, _ in selector.select(1):
                assert isinstance(key.fileobj, socket.socket)
                received = len(key.fileobj.recv(answer))
                if not received:
                    raise SystemExit("a WebSocket was closed")
                key.data[0] -= received
                if not key.data[0]:
                    key.data[0] = answer
                    count += 1
                    key.fileobj.sendall(message)
    return {"requests": count, "per_second": count / seconds}


def command_of(client: str, loop: str, upstream: str, port: int, folder: Path) -> list[str]:
    if client in FRONTS:
        return FRONTS[client](port, upstream, loop, folder)
    options = ["--port", str(port), "--loop", loop, "--http", "httptools", "--ws", "wsproto", "--lifespan", "off"]
    options += ["--ws-per-message-deflate", "false"]
    return [sys.executable, "-m", "uvicorn", "gateways:app", *options, "--log-level", "error", "--no-access-log"]


def load(job: str, port: int, seconds: str, connections: str, folder: Path) -> dict[str, float]:
    if job == "echo":
        return echo(port, float(seconds), int(connections))
    script = folder / "up.lua"
    script.write_text(UP)
    more = ["-s", str(script)] if job == "up" else []
    return wrk(f"http://127.0.0.1:{port}{PATHS[job]}", seconds, connections, *more)


@contextmanager
def served(
    client: str, loop: str, upstream: str, folder: Path, core: int
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A gateway, on that core: its port and its process."""
    paths = f"{HERE}:{HERE.parent}"
    environment = {**os.environ, "CLIENT": client, "UPSTREAM": upstream, "PYTHONPATH": paths, "GOMAXPROCS": "1"}
    (port,) = free_ports(1)
    with tempfile.TemporaryFile("w+") as facts:
        command = command_of(client, loop, upstream, port, folder)
        process = subprocess.Popen(command, env=environment, stderr=facts, preexec_fn=pinned(core))

        def complaint() -> str:
            facts.seek(0)
            return facts.read()[-1000:]

        with ended(process):
            wait_for(port, process, complaint)
            yield port, process


def main(client: str, loop: str, upstream: str, seconds: str, connections: str, job: str = "get") -> None:
    program("wrk", "wrk")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        if job == "echo":
            echoing, _ = stack.enter_context(served("bare uvicorn", loop, upstream, folder, -1))
            upstream = f"http://127.0.0.1:{echoing}"
            pinned(-1)()  # this process is the client
        port, process = stack.enter_context(served(client, loop, upstream, folder, 0))

        def used() -> dict[str, float]:
            return cost_of(process.pid) if client in FRONTS else cost(f"http://127.0.0.1:{port}")

        load(job, port, "1", connections, folder)
        before = used()
        found: dict[str, Any] = load(job, port, seconds, connections, folder)
        after = used()
    if not found["requests"]:
        raise SystemExit(f"not one answer in {seconds} seconds")
    each = (after["cpu"] - before["cpu"]) / found["requests"]
    events = {"cpu_us": each * 1e6, "per_second": found["per_second"]}
    print(json.dumps({**events, "peak_mb": after["peak_kb"] / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:7])
