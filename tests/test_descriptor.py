"""What a connected socket does without waiting, and how the addresses of one connect share its time."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from httpcore._backends.base import PIECE
from httpcore._backends.descriptor import Descriptor, Tries, open_socket
from httpcore._errors import ConnectError, ConnectTimeout, ReadError, WriteError


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_each_address_gets_a_fair_share_of_what_the_earlier_ones_left() -> None:
    clock = Clock()
    tries = Tries("example.com:80", 6.0, clock)
    assert tries.share(3) == 2.0
    clock.time += 0.5  # it refused early: the others get what it did not use
    assert tries.share(2) == 2.75
    clock.time += 2.75
    assert tries.share(1) == 2.75


def test_an_address_is_tried_even_when_no_time_is_left() -> None:
    clock = Clock()
    tries = Tries("example.com:80", 1.0, clock)
    clock.time += 5
    assert 0 < (tries.share(1) or 0) < 0.01


def test_without_a_timeout_no_share_is_limited() -> None:
    assert Tries("example.com:80", None, Clock()).share(2) is None


def test_failures_in_time_are_one_connect_error_and_the_last_that_ran_out_of_time_makes_it_a_timeout() -> None:
    clock = Clock()
    tries = Tries("example.com:80", 1.0, clock)
    tries.failed("10.0.0.1:80", ConnectionRefusedError(111, "Connection refused"))
    tries.failed("10.0.0.2:80", TimeoutError("timed out"))
    assert type(tries.error()) is ConnectError
    clock.time += 1
    late = tries.error()
    assert type(late) is ConnectTimeout
    assert late.limit == 1.0
    assert "10.0.0.1:80: Connection refused" in str(late)
    assert "10.0.0.2:80: timed out" in str(late)


def test_a_new_socket_sends_at_once_keeps_alive_and_has_the_callers_options_last() -> None:
    options = [(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)]
    with open_socket(socket.AF_INET, None, options[:1]) as sock, open_socket(socket.AF_INET, None, options) as other:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not other.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.fixture
def pair() -> object:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Descriptor(ours, "the peer"), theirs


def test_input_from_before_a_failed_write_is_kept_in_order(pair: tuple) -> None:
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


def test_a_write_after_our_own_end_fails_and_the_input_goes_on(pair: tuple) -> None:
    descriptor, theirs = pair
    descriptor.end()
    with pytest.raises(WriteError):
        descriptor.send(b"x")
    assert descriptor.receive(100) is None
    theirs.sendall(b"answer")
    assert descriptor.receive(100) == b"answer"
    theirs.close()
    assert descriptor.receive(100) == b""


def test_input_is_news_until_the_end_was_read(pair: tuple) -> None:
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


def test_after_shut_what_the_system_says_is_told_as_our_own_closing(pair: tuple) -> None:
    descriptor, theirs = pair
    descriptor.shut()
    assert theirs.recv(1) == b""
    with pytest.raises(ReadError, match="closed on this side"):
        descriptor.receive(100)
    with pytest.raises(WriteError, match="closed on this side"):
        descriptor.send(b"x")
    assert descriptor.take() == b""


@pytest.fixture
def tcp_pair() -> object:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield Descriptor(ours, "the peer"), theirs


def send_until_it_fails(descriptor: Descriptor) -> None:
    while True:
        descriptor.send(b"x")


def test_input_that_a_reset_cut_off_is_kept_but_has_no_clean_end(tcp_pair: tuple) -> None:
    descriptor, theirs = tcp_pair
    theirs.sendall(b"half an ans")
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    for _ in range(2):  # the system tells of the reset only once
        with pytest.raises(WriteError):
            send_until_it_fails(descriptor)
    assert descriptor.receive(100) == b"half an ans"
    with pytest.raises(ReadError, match="reset"):
        descriptor.receive(100)


def test_input_that_had_ended_before_the_reset_keeps_its_clean_end(tcp_pair: tuple) -> None:
    descriptor, theirs = tcp_pair
    theirs.sendall(b"answer")
    theirs.close()  # all was read there, so this is no reset: our next bytes cause it
    with pytest.raises(WriteError):
        send_until_it_fails(descriptor)
    assert descriptor.receive(100) == b"answer"
    assert descriptor.receive(100) == b""
