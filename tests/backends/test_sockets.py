"""Calls of a connected socket that never wait."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from httpcore._backends.base import PIECE
from httpcore._backends.sockets import Descriptor, open_socket
from httpcore._errors import ReadError, WriteError


def test_a_new_socket_has_our_options_and_the_callers_last() -> None:
    options = [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)]
    with open_socket(socket.AF_INET, None, options[:1]) as sock, open_socket(socket.AF_INET, None, options) as other:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not other.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


Pair = tuple[Any, socket.socket]
"""A descriptor of ours, whose parts a test may replace, and the peer's end."""


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Descriptor(ours, "the peer"), theirs


def test_input_from_before_a_failed_write_is_kept_in_order(pair: Pair) -> None:
    descriptor, theirs = pair
    sent = os.urandom(100_000)
    theirs.setblocking(False)
    sent = sent[: theirs.send(sent)]
    theirs.close()
    with pytest.raises(WriteError):
        descriptor.send(b"x")
    assert bytes(descriptor.kept) == sent
    found = bytearray()
    while data := descriptor.receive(10 * PIECE):
        assert len(data) <= PIECE
        found += data
    assert bytes(found) == sent


def test_a_first_read_is_small_until_its_size_has_been_received(pair: Pair) -> None:
    descriptor, theirs = pair
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * PIECE)
    sock: socket.socket = descriptor.sock
    requested: list[int] = []

    class Spy:
        def recv(self, size: int) -> bytes:
            requested.append(size)
            return sock.recv(size)

    descriptor.sock = Spy()
    for size in (10, 65536, 100_000, 10, 65535):
        theirs.sendall(bytes(size))
        assert descriptor.receive(10 * PIECE) == bytes(size)
    assert requested == [65536, 65536, PIECE, PIECE, 65536]


def test_a_write_after_our_own_end_fails_and_the_input_goes_on(pair: Pair) -> None:
    descriptor, theirs = pair
    descriptor.end()
    with pytest.raises(WriteError):
        descriptor.send(b"x")
    assert descriptor.receive(100) is None
    theirs.sendall(b"answer")
    assert descriptor.receive(100) == b"answer"
    theirs.close()
    assert descriptor.receive(100) == b""


def test_input_is_news_until_the_end_was_read(pair: Pair) -> None:
    descriptor, theirs = pair
    assert not descriptor.has_input()
    theirs.sendall(b"x")
    assert descriptor.has_input()
    assert descriptor.receive(100) == b"x"
    assert not descriptor.has_input()
    theirs.close()
    assert descriptor.has_input()
    assert descriptor.receive(100) == b""
    assert not descriptor.has_input()


def test_errors_after_our_own_shutdown_are_a_close(pair: Pair) -> None:
    descriptor, theirs = pair
    descriptor.shut_down()
    assert theirs.recv(1) == b""
    with pytest.raises(ReadError, match="closed on this side"):
        descriptor.receive(100)
    with pytest.raises(WriteError, match="closed on this side"):
        descriptor.send(b"x")
    with pytest.raises(ReadError, match="closed on this side"):
        descriptor.take()


@pytest.fixture
def tcp_pair() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield Descriptor(ours, "the peer"), theirs


def send_until_it_fails(descriptor: Descriptor) -> None:
    while True:
        descriptor.send(b"x")


def test_input_that_a_reset_cut_off_is_kept_but_has_no_clean_end(tcp_pair: Pair) -> None:
    descriptor, theirs = tcp_pair
    theirs.sendall(b"half an ans")
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    for _ in range(2):  # the system reports the reset only once
        with pytest.raises(WriteError):
            send_until_it_fails(descriptor)
    assert descriptor.receive(100) == b"half an ans"
    with pytest.raises(ReadError, match="reset"):
        descriptor.receive(100)


def test_input_that_had_ended_before_reset_keeps_its_clean_end(tcp_pair: Pair) -> None:
    descriptor, theirs = tcp_pair
    theirs.sendall(b"answer")
    theirs.close()  # the peer has read all bytes, so this close sends no RST; our next bytes cause it
    with pytest.raises(WriteError):
        send_until_it_fails(descriptor)
    assert descriptor.receive(100) == b"answer"
    assert descriptor.receive(100) == b""
