"""A server with minimal cost, for tests that count instructions or lines. `python -m tests.support.fast_server PORT`.

The path chooses the response: /N returns N bytes, any other path "Hello, world", and /later returns this text after 2
ms, so that even a slow client has to wait; a body of the request is read and discarded, whatever its length.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import cast

import uvloop

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello, world"
PIECE = bytes(262144)
LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class Server(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's class is not derived from it
        self.held = b""
        self.body_left = 0
        self.answer_left = 0
        self.path = b""
        self.paused = False

    def data_received(self, data: bytes) -> None:
        if self.body_left > len(data):  # a piece in the middle of an upload
            self.body_left -= len(data)
            return
        self.held += data
        while self.step():
            pass

    def step(self) -> bool:
        if self.body_left:
            if len(self.held) < self.body_left:
                self.body_left -= len(self.held)
                self.held = b""
                return False
            self.held, self.body_left = self.held[self.body_left :], 0
            self.respond()
        head, mark, rest = self.held.partition(b"\r\n\r\n")
        if not mark:
            return False
        self.path = head.split(b" ", 2)[1]
        self.held = rest
        length = LENGTH.search(head)
        self.body_left = int(length[1]) if length else 0
        if not self.body_left:
            self.respond()
        return True

    def respond(self) -> None:
        size = int(self.path[1:]) if self.path[1:].isdigit() else None
        if size is None:
            if self.path == b"/later":
                asyncio.get_running_loop().call_later(0.002, self.transport.write, HELLO)
            else:
                self.transport.write(HELLO)
            return
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        self.answer_left = size
        self.pump()

    def pump(self) -> None:
        while self.answer_left and not self.paused:
            piece = PIECE[: self.answer_left]
            self.answer_left -= len(piece)
            self.transport.write(piece)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.pump()


async def main(port: int, certificate: str = "") -> None:
    context = None
    if certificate:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, ssl=context, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), *sys.argv[2:3]))
