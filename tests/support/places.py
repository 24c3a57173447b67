"""Addresses to connect to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def at(listening: socket.socket) -> tuple[list[str], int]:
    """The address of a listener, as arguments of `connect_tcp`."""
    host, port = listening.getsockname()[:2]
    return [host], port


@contextmanager
def black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that does not respond: its queue is full, so that the system ignores further connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(0)
        with socket.socket(family) as first:
            first.connect(listening.getsockname())
            yield listening.getsockname()[1]
