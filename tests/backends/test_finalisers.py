"""Finalisers of partly constructed objects: Ctrl-C may happen at any line of a constructor, and the dropped object must
be finalised without an error, since no code could catch it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import pkgutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from types import FrameType
from typing import Any

import pytest
from strikes import traced

import httpcore
from httpcore._backends.asyncio import AsyncioBackend, AsyncioStream
from httpcore._backends.sockets import Descriptor
from httpcore._backends.threads import BlockingBackend, BlockingStream
from httpcore._client.client import _BaseClient  # `_BaseClient` has the finaliser of all clients
from httpcore._config import PoolLimits, TimeoutConfig
from httpcore._connect.network import Network
from httpcore._connect.route import Route
from httpcore._deadline import Deadline
from httpcore._http1.connection import HTTP11Connection
from httpcore._http1.exchange import HTTP11Exchange
from httpcore._http2.connection import HTTP2Connection
from httpcore._http2.engine import H2Engine
from httpcore._http2.exchange import HTTP2Exchange
from httpcore._message.request import Request
from httpcore._pool.call import Call
from httpcore._pool.connection import HTTPConnection
from httpcore._pool.delivery import Delivery
from httpcore._pool.leases import Leases

PACKAGE = os.path.dirname(httpcore.__file__)


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(httpcore.__path__, "httpcore."):
        yield importlib.import_module(found.name)


FINALISED = {
    value
    for module in modules()
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__.startswith("httpcore") and "__del__" in vars(value)
}


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The exceptions that finalisers raised."""
    found: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: found.append(f"{it.exc_value!r} in {it.object!r}"))
    return found


def interrupted(act: Callable[[], object], line: int) -> bool:
    """Run `act`, with KeyboardInterrupt at its n-th line of httpcore. Return False if it has fewer lines."""
    return interrupted_and_kept(act, line)[0]


def interrupted_and_kept(act: Callable[[], object], line: int) -> tuple[bool, object]:
    """Like `interrupted`; also return the result of `act`, or the KeyboardInterrupt, which keeps the stack's objects
    alive.
    """
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(PACKAGE) or frame.f_code.co_name == "__del__":
            return None
        if event == "line":
            count += 1
            if count == line:
                raise KeyboardInterrupt
        return trace

    try:
        with traced(trace):
            return False, act()
    except KeyboardInterrupt as struck:
        return True, struck


Make = Callable[[], object]


@contextmanager
def a_pool() -> Iterator[Make]:
    yield lambda: httpcore.ConnectionPool(retries=1)


@contextmanager
def a_stream() -> Iterator[Make]:
    loop = asyncio.new_event_loop()
    backend = AsyncioBackend(loop)
    peers = []

    def make() -> object:
        ours, theirs = socket.socketpair()
        peers.append(theirs)
        # Only the constructor is to be interrupted, so the socket is made outside of it.
        return backend._stream(Descriptor(ours, "peer"))

    yield make
    for sock in peers:
        sock.close()
    loop.close()


@contextmanager
def blocking_stream() -> Iterator[BlockingStream]:
    ours, theirs = socket.socketpair()
    stream = BlockingStream(Descriptor(ours, "peer"))
    with theirs:
        yield stream
        stream.close()


@contextmanager
def an_exchange() -> Iterator[Make]:
    with blocking_stream() as stream:
        connection = HTTP2Connection(stream, H2Engine(), BlockingBackend())
        deadline = Deadline(TimeoutConfig(), time.monotonic)
        request = Request.of(b"GET", "http://a.test/")
        yield lambda: HTTP2Exchange(connection, request, deadline, lambda head: None, False)


@contextmanager
def a_delivery() -> Iterator[Make]:
    """The exchange of a response without a body, which is complete when it is made."""
    with blocking_stream() as stream:
        backend = BlockingBackend()
        request = Request.of(b"GET", "http://a.test/")
        call = Call(request, Route("http", "a.test", 80, None), TimeoutConfig(), backend)
        leases = Leases(PoolLimits(), Network(), None, backend)

        def make() -> object:
            exchange = HTTP11Exchange(HTTP11Connection(stream, backend), request, call, call.interim)
            exchange.receive(b"HTTP/1.1 204 No Content\r\n\r\n")
            assert exchange.head is not None
            connection: Any = HTTPConnection.__new__(HTTPConnection)
            connection.uses = 0
            connection._begin = lambda *requested: exchange  # `open` would set this after a dial
            delivery = Delivery(call, leases)
            delivery.begin(connection)
            delivery.arrive(exchange.head)
            return delivery

        yield make


@contextmanager
def a_client() -> Iterator[Make]:
    yield httpcore.Client


MADE: dict[type, Callable[[], AbstractContextManager[Make]]] = {
    Leases: a_pool,
    AsyncioStream: a_stream,
    HTTP2Exchange: an_exchange,
    Delivery: a_delivery,
    _BaseClient: a_client,
}


def test_each_class_with_a_finaliser_is_interrupted_below() -> None:
    assert set(MADE) == FINALISED


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_a_finaliser_copes_with_an_object_that_has_nothing(kind: type, unraisable: list[str]) -> None:
    empty: Any = object.__new__(kind)
    empty.__del__()
    del empty
    assert unraisable == []


@pytest.mark.filterwarnings("ignore:a response was dropped unread:ResourceWarning")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_a_constructor_interrupted_at_any_line_leaves_no_error(kind: type, unraisable: list[str]) -> None:
    with MADE[kind]() as make:
        make()  # this creates the objects that are made only once
        line = 1
        while interrupted(make, line):
            gc.collect(0)
            assert unraisable == [], f"line {line}"
            line += 1
        assert line > 5


def test_an_interrupted_stream_never_touches_the_next_socket() -> None:
    loop = asyncio.new_event_loop()
    backend = AsyncioBackend(loop)
    line = 0
    struck = True
    while struck:
        line += 1
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        descriptor: Any = Descriptor(ours, "peer")
        # Only the constructor is interrupted, so the descriptor is made outside of it.
        struck, kept = interrupted_and_kept(partial(backend._stream, descriptor), line)
        if ours.fileno() != -1 and struck:
            ours.close()  # the interrupt came before a stream had the socket
        if struck:
            again = os.dup(theirs.fileno())
            if again != number:
                os.dup2(theirs.fileno(), number)
                os.close(again)
            loop.add_reader(number, print)
            del kept, descriptor, ours
            gc.collect(0)
            assert loop.remove_reader(number), f"line {line}"
            os.close(number)
        theirs.close()
    loop.close()
    assert line > 20
