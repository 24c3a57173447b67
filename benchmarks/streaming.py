"""An upstream of event streams that sends nothing without a command: `streaming.py PORT [h2]`.

Each request is answered with a head and one event at once, and is never ended. Each line on standard input, `RATE
COUNT`, makes it send COUNT events, RATE in a second, on streams that are chosen at random; then it prints "done". An
event is the time at which it was written, by the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import os
import random
import select
import socket
import sys
import time
from collections.abc import Callable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Sending = Callable[[bytes], object]


def event() -> bytes:
    return b"data: %020d\n\n" % time.monotonic_ns()


class Plain:
    """A connection of HTTP/1.1, with one request. The request is small, and is received in one piece."""

    def __init__(self, sock: socket.socket, streams: list[Sending]) -> None:
        self.sock = sock
        self.streams = streams

    def received(self, data: bytes) -> None:
        self.sock.sendall(HEAD)
        self.send(event())
        self.streams.append(self.send)

    def send(self, data: bytes) -> None:
        self.sock.sendall(b"%x\r\n%b\r\n" % (len(data), data))


class Multiplexed:
    """A connection of HTTP/2, by prior knowledge, with 1,000 streams."""

    def __init__(self, sock: socket.socket, streams: list[Sending]) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.settings import SettingCodes

        self.sock = sock
        self.streams = streams
        self.http2 = H2Connection(H2Configuration(client_side=False))
        self.http2.local_settings.update({SettingCodes.MAX_CONCURRENT_STREAMS: 1000})
        self.http2.initiate_connection()
        sock.sendall(self.http2.data_to_send())

    def received(self, data: bytes) -> None:
        from h2.events import RequestReceived

        for happened in self.http2.receive_data(data):
            if isinstance(happened, RequestReceived):
                number = happened.stream_id
                self.http2.send_headers(number, [(":status", "200"), ("content-type", "text/event-stream")])
                self.send(number, event())
                self.streams.append(lambda data, number=number: self.send(number, data))  # type: ignore[misc]
        self.sock.sendall(self.http2.data_to_send())

    def send(self, number: int, data: bytes) -> None:
        self.http2.send_data(number, data)
        self.sock.sendall(self.http2.data_to_send())


def send(streams: list[Sending], rate: int, count: int) -> None:
    """Sends at a fixed rate, however long an event takes. Sleeping is exact to some 0.1 ms, which select is not."""
    began = time.monotonic()
    for number, stream in enumerate(random.choices(streams, k=count)):
        time.sleep(max(0, began + number / rate - time.monotonic()))
        stream(event())


def serve(port: int, kind: type[Plain] | type[Multiplexed]) -> None:
    """Serve until standard input ends."""
    streams: list[Sending] = []
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    connections: dict[int, Plain | Multiplexed] = {}
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    poll.register(sys.stdin, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == sys.stdin.fileno():
                line = os.read(sys.stdin.fileno(), 100).split()  # unbuffered, for the poll
                if not line:
                    return
                send(streams, *map(int, line))
                print("done", flush=True)
            elif number == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[sock.fileno()] = kind(sock, streams)
                poll.register(sock, select.EPOLLIN)
            elif data := connections[number].sock.recv(65536):
                connections[number].received(data)
            else:
                poll.unregister(number)
                connections.pop(number).sock.close()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Multiplexed if "h2" in sys.argv else Plain)
