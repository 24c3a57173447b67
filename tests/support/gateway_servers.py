"""A gateway under the ASGI servers that are commonly used, and the upstreams behind it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from servers import free_port, process

SERVERS = {
    "uvicorn-httptools": ["uvicorn", "--http", "httptools", "--no-proxy-headers", "--log-level", "error"],
    "uvicorn-h11": ["uvicorn", "--http", "h11", "--no-proxy-headers", "--log-level", "error"],
    "hypercorn": ["hypercorn"],
    "granian": ["granian", "--interface", "asgi", "--log-level", "error"],
}


@contextmanager
def serving(server: str, app: str, *options: str, **environment: str) -> Iterator[int]:
    """`app`, an attribute of `gateway_apps`, under one of `SERVERS`; yields its port."""
    port = free_port()
    command = [sys.executable, "-m", *SERVERS[server], *options]
    if server == "hypercorn":
        command += ["--bind", f"127.0.0.1:{port}"]
    else:
        command += ["--host", "127.0.0.1", "--port", str(port)]
    with process([*command, f"tests.support.gateway_apps:{app}"], port, env=environment):
        yield port


def exchange(port: int, request: bytes, timeout: float = 10) -> bytes:
    """Send bytes; returns all received bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout) as client:
        client.sendall(request)
        received = b""
        while data := client.recv(65536):
            received += data
        return received


def get(path: str = "/", *fields: str, method: str = "GET", body: bytes = b"", host: str = "gw.test") -> bytes:
    """A request after which the server closes the connection."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def status_of(response: bytes) -> int:
    """The status of a response, or 0 if there is no response."""
    return int(response[9:12] or 0)
