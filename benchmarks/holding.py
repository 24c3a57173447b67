"""A server whose clients must hold N connections at once: `GET /N` receives its last bytes when N requests have
arrived.

    holding.py PEM PORT TLS_PORT

The head and a first byte are sent at once, so that one thread can open all N, one after the other.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\nH"
REST = b"ello, world!"


class Holding(asyncio.Protocol):
    waiting: list[asyncio.Transport] = []  # noqa: RUF012 - of all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """A request is received in one piece, since it is small."""
        self.transport.write(HEAD)
        self.waiting.append(self.transport)
        if len(self.waiting) == int(data.split()[1].lstrip(b"/")):
            for transport in self.waiting:
                transport.write(REST)
            self.waiting.clear()

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport in self.waiting:
            self.waiting.remove(self.transport)


async def main(pem: str, port: int, tls_port: int) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    loop = asyncio.get_running_loop()
    await loop.create_server(Holding, "127.0.0.1", port, backlog=2000)
    server = await loop.create_server(Holding, "127.0.0.1", tls_port, ssl=context, backlog=2000)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
