"""Servers for tests, on loopback: one that follows a script byte for byte, and real ones in processes of their own."""

from __future__ import annotations

import os
import random
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Self

HERE = Path(__file__).resolve().parent


class Peer:
    """The server's end of one connection, for a script to use.

    Attributes:
        held: received bytes that were not read yet.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.socket = sock
        self.number = number
        self.held = b""

    def head(self) -> bytes:
        """The next request head, its empty line included; `b""` when the client has disconnected."""
        return self.until(b"\r\n\r\n")

    def until(self, mark: bytes) -> bytes:
        while mark not in self.held:
            data = self.socket.recv(65536)
            if not data:
                return b""
            self.held += data
        found, _, self.held = self.held.partition(mark)
        return found + mark

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes, or fewer if the client disconnects first."""
        while len(self.held) < size:
            data = self.socket.recv(65536)
            if not data:
                break
            self.held += data
        data, self.held = self.held[:size], self.held[size:]
        return data

    def rest(self) -> bytes:
        """All bytes until the client disconnects."""
        with suppress(OSError):
            while data := self.socket.recv(65536):
                self.held += data
        data, self.held = self.held, b""
        return data

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_and_stay(self, data: bytes) -> Literal[True]:
        """Send; its result makes a `HostileServer` keep the connection."""
        self.send(data)
        return True

    def reset(self) -> None:
        """Close the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


class ScriptedServer:
    """Runs `script(peer)` in a thread for each connection, which is closed when the script returns.

    Attributes:
        listener: the given one, or one on a free port of 127.0.0.1.
        context: the given one, or None; it may be replaced between connections.
        connections: how many connections were accepted so far.
        failures: unexpected errors of scripts; the end of a `with` block raises the first one.
    """

    def __init__(
        self,
        script: Callable[[Peer], object],
        context: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._script = script
        self.context = context
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self.connections = 0
        self.failures: list[BaseException] = []
        self.port: int = self.listener.getsockname()[1] if listener is None else 0
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                with self._lock:
                    if self._stopped:
                        sock.close()
                        return
                    self.connections += 1
                    self._open.add(sock)
                    number = self.connections
                threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        plain = sock
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            self._script(Peer(sock, number))
        except (OSError, ValueError):
            pass  # the client disconnected, or a certificate was refused: the test checks the client's side
        except BaseException as error:
            self.failures.append(error)
        finally:
            with self._lock:
                self._open.discard(plain)
            sock.close()

    def open_sockets(self) -> list[socket.socket]:
        """The sockets that are accepted and not closed yet, without their TLS."""
        with self._lock:
            return list(self._open)

    def close(self) -> None:
        with self._lock:
            self._stopped = True
            left = list(self._open)
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in left:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
        if self.failures:
            raise self.failures[0]


def answering(*answers: bytes, then: Callable[[Peer], object] | None = None) -> Callable[[Peer], None]:
    """A script that reads a request head and sends the next of `answers`; after the last one it calls `then`, or
    closes.
    """

    def script(peer: Peer) -> None:
        for answer in answers:
            if not peer.head():
                return
            peer.send(answer)
        if then is not None:
            then(peer)

    return script


class Noting:
    """A script that answers each request with the next of `answers`, and keeps the heads that it has read."""

    def __init__(self, *answers: bytes) -> None:
        self.heads: list[bytes] = []
        self._answers = list(answers)

    def __call__(self, peer: Peer) -> None:
        while head := peer.head():
            self.heads.append(head)
            length = re.search(rb"\r\ncontent-length: (\d+)", head.lower())
            peer.exactly(int(length[1]) if length else 0)
            peer.send(self._answers.pop(0))


def ok(body: bytes = b"Hello, world", *fields: bytes) -> bytes:
    """A plain 200 response with a Content-Length."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def free_port() -> int:
    """A port where nothing listens, below those that the system hands out itself: otherwise a connection of another
    test may use the port before its server does, and a connection that should be refused may be connected with itself.
    """
    while True:
        port = _ports.randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


_ports = random.SystemRandom()  # processes that were forked or have the same seed draw different numbers


def _connected(port: int | str) -> socket.socket:
    if isinstance(port, int):
        return socket.create_connection(("127.0.0.1", port), 1)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(port)
    except OSError:
        sock.close()
        raise
    return sock


@contextmanager
def process(
    command: list[str], port: int | str, *, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, yielded when it accepts connections on `port`, or on the unix socket of that
    path; killed at the end.
    """
    seen = tempfile.TemporaryFile()  # noqa: SIM115 - closed below; a pipe without a reader would stop a server
    server = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=seen, env={**os.environ, **(env or {})}, cwd=HERE.parents[1]
    )
    try:
        for _ in range(400):
            with suppress(OSError), _connected(port):
                break
            if server.poll() is not None:
                seen.seek(0)
                raise RuntimeError(f"{command[0]} ended: {seen.read().decode(errors='replace')[-2000:]}")
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{' '.join(command)} did not listen on {port} in 20 s")
        yield server
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        seen.close()


@contextmanager
def uvicorn(app: str, *options: str) -> Iterator[int]:
    """uvicorn serving `app` ("tests.support.apps:app"); yields its port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "error", *options]
    with process(command, port):
        yield port
