"""Measures the time until the upstream is notified that a client has disconnected: `leaving.py [TRIES [SERVER]]` prints
a table.

For each server and each phase of a request, from the client's close to the end of the upstream's connection, in ms: the
median, and the 99th percentile. The time until the server notifies the app (`http.disconnect`) is the server's part,
the rest is the gateway's; but if a client disconnects at once, the gateway does not query the server before its second
round.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

from server import ended, free_ports, wait_for

HERE = Path(__file__).resolve().parent
NAP = 0.05
"""Seconds in a phase before the client disconnects: each request is watched by then. Watching it earlier would be too
expensive, since most requests end before.
"""
AT_ONCE = "waiting, leaves at once"

SERVERS = {
    "uvicorn, httptools": ["uvicorn", "--http", "httptools", "--loop", "uvloop", "--log-level", "error"],
    "uvicorn, h11": ["uvicorn", "--http", "h11", "--loop", "asyncio", "--log-level", "error"],
    "hypercorn": ["hypercorn"],
    "granian": ["granian", "--interface", "asgi", "--log-level", "error"],
}
POST = b"POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: %d\r\n\r\nsome"
PHASES = {
    AT_ONCE: b"GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    "waiting for the head": b"GET / HTTP/1.1\r\nHost: gw.test\r\n\r\n",
    "in the upload": POST % 100_000,
    "after the upload": POST % 4,
    "in the response": b"GET /stream HTTP/1.1\r\nHost: gw.test\r\n\r\n",
}
BEGIN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata\n\r\n"


def noting() -> Any:
    """The gateway, in a wrapper that records when the server reports that the client has disconnected."""
    from httpcore.gateway import Gateway

    gateway = Gateway([os.environ["UPSTREAM"]])
    notes = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    place = "127.0.0.1", int(os.environ["NOTES"])

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        async def received() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                notes.sendto(b"%d" % time.monotonic_ns(), place)
            return message

        await gateway(scope, received, send)

    return noted


app = noting() if "NOTES" in os.environ else None


def first() -> None:
    """Run before all other processes, where we may (as root): see `streams.py`."""
    with suppress(PermissionError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


class Upstream:
    """The upstream of the gateway, in this process, and the times that the app records."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.listener.settimeout(10)
        self.notes = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.notes.bind(("127.0.0.1", 0))
        self.notes.settimeout(1)
        self.environment = {
            **os.environ,
            "UPSTREAM": f"http://127.0.0.1:{self.listener.getsockname()[1]}",
            "NOTES": str(self.notes.getsockname()[1]),
            "PYTHONPATH": f"{HERE}:{HERE.parent}",
        }

    @contextmanager
    def behind(self, server: str) -> Iterator[int]:
        """The port of a gateway under that server."""
        (port,) = free_ports(1)
        place = ["--bind", f"127.0.0.1:{port}"] if server == "hypercorn" else ["--port", str(port)]
        command = [sys.executable, "-m", *SERVERS[server], *place, "leaving:app"]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, env=self.environment, stdout=quiet, stderr=quiet, preexec_fn=first)
        with ended(process):
            wait_for(port, process, lambda: "it says nothing")
            yield port

    def left(self, port: int, request: bytes, nap: float) -> tuple[float, float]:
        """One client that disconnects: ms until the app was notified, and until the upstream noticed it."""
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(request)
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(10)
                connection.recv(65536)
                if request.startswith(b"GET /stream"):
                    connection.sendall(BEGIN)
                    client.recv(65536)
                time.sleep(nap)
                left = time.monotonic_ns()
                client.close()
                with suppress(ConnectionResetError):
                    while connection.recv(65536):
                        pass
                seen = time.monotonic_ns()
        return (int(self.notes.recv(100)) - left) / 1e6, (seen - left) / 1e6


def shown(values: list[float]) -> str:
    """The median, and the 99th percentile (of fewer than 100 values, the largest)."""
    values = sorted(values)
    return f"{median(values):.1f} / {values[min(len(values) - 1, int(len(values) * 0.99))]:.1f}"


def main(tries: str = "50", word: str = "") -> None:
    upstream = Upstream()
    first()
    print("| server | phase | until the app is notified | from there | together |\n|---|---|---:|---:|---:|")
    for server in [name for name in SERVERS if word in name]:
        with upstream.behind(server) as port:
            for phase, request in PHASES.items():
                nap = 0 if phase == AT_ONCE else NAP
                upstream.left(port, request, nap)
                took = [upstream.left(port, request, nap) for _ in range(int(tries))]
                parts = (
                    [notified for notified, _ in took],
                    [seen - notified for notified, seen in took],
                    [seen for _, seen in took],
                )
                print(f"| {server} | {phase} | {' | '.join(map(shown, parts))} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
