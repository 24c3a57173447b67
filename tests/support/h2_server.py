"""An HTTP/2 server made of h2, in a process of its own, that can report the state of its connections.
`python -m tests.support.h2_server PORT`.

    /size/N/...     N bytes, the path over and over, so that each request can have another body
    /echo/...       the body of the request, once it has ended
    /never/...      no answer
    /stream         the number of the request's stream
    /open           how many streams h2 has open on this connection, without this one
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import uvloop

FRAME = 16384
WINDOW = 1 << 20


def content(path: bytes, size: int) -> bytes:
    """The body of `/size/N/...`."""
    return (path * (size // len(path) + 1))[:size]


class Server(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's class is not derived from it
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False)
        )
        self.paths: dict[int, bytes] = {}
        self.bodies: dict[int, bytearray] = {}
        self.left: dict[int, bytes] = {}  # the bytes that have not been sent yet
        self.h2.local_settings.max_concurrent_streams = 1000
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(WINDOW)
        self.flush()

    def data_received(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.paths[event.stream_id] = dict(event.headers)[b":path"]
                self.bodies[event.stream_id] = bytearray()
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                try:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                except h2.exceptions.StreamClosedError:
                    pass  # a frame that was received with it has reset the stream
            elif isinstance(event, h2.events.StreamEnded):
                self.answer(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.forget(event.stream_id)
            elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
                for stream in list(self.left):
                    self.pump(stream)
        self.flush()

    def answer(self, stream: int) -> None:
        path = self.paths.pop(stream, b"/never")
        body = bytes(self.bodies.pop(stream, b""))
        if path == b"/open":
            body = b"%d" % (self.h2.open_inbound_streams - 1)
        elif path == b"/stream":
            body = b"%d" % stream
        elif path.startswith(b"/size/"):
            body = content(path, int(path.split(b"/")[2]))
        if not path.startswith(b"/never"):
            try:
                self.h2.send_headers(stream, [(b":status", b"200")])
            except h2.exceptions.ProtocolError:
                return  # a frame that was received with it has reset the stream
            self.left[stream] = body
            self.pump(stream)

    def pump(self, stream: int) -> None:
        data = self.left[stream]
        while True:
            size = min(len(data), FRAME, self.h2.local_flow_control_window(stream))
            if not size and data:
                self.left[stream] = data
                return
            self.h2.send_data(stream, data[:size], end_stream=size == len(data))
            data = data[size:]
            if not data:
                self.left.pop(stream, None)
                return

    def forget(self, stream: int) -> None:
        for held in (self.paths, self.bodies, self.left):
            held.pop(stream, None)

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
