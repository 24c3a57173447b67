"""A server's side of one HTTP/2 connection, over the h2 library, for scripted servers."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2_peer import text_fields
from servers import Peer

HTTP_1_1_REQUIRED = 13


class Conversation:
    """One HTTP/2 connection from its server's side: answers each whole request with its path and its body's length.

    `/N/...` answers N bytes more, as far as the windows allow at any time. `/never` is not answered, `/old` is refused
    with HTTP_1_1_REQUIRED. The connection's window is credited as bodies are received.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self.paths: dict[int, str] = {}
        self.sizes: dict[int, int] = {}
        self.whole: dict[int, None] = {}  # requests that are complete
        self.left: dict[int, int] = {}

    def run(self) -> None:
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 500})
        self.peer.send(self.h2.data_to_send())
        while data := self.peer.socket.recv(65536):
            for event in self.h2.receive_data(data):
                self.handle(event)
            for stream in self.whole:
                self.answer(stream, self.paths[stream])
            self.whole.clear()
            for stream in list(self.left):
                self.pump(stream)
            self.peer.send(self.h2.data_to_send())

    def handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.paths[event.stream_id] = text_fields(event.headers)[":path"]
            self.sizes[event.stream_id] = 0
        elif isinstance(event, h2.events.DataReceived):
            self.sizes[event.stream_id] += len(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.whole[event.stream_id] = None
        elif isinstance(event, h2.events.StreamReset):
            self.left.pop(event.stream_id, None)
            self.whole.pop(event.stream_id, None)

    def answer(self, stream: int, path: str) -> None:
        if path == "/old":
            self.h2.reset_stream(stream, HTTP_1_1_REQUIRED)
        elif path != "/never":
            self.h2.send_headers(stream, [(":status", "200"), ("x-size", str(self.sizes[stream]))])
            self.h2.send_data(stream, path.encode())
            self.left[stream] = int(path.split("/")[1])

    def pump(self, stream: int) -> None:
        while True:
            size = min(self.left[stream], 16384, self.h2.local_flow_control_window(stream))
            self.left[stream] -= size
            if not self.left[stream]:
                del self.left[stream]
                self.h2.send_data(stream, b"x" * size, end_stream=True)
                return
            if not size:
                return
            self.h2.send_data(stream, b"x" * size)
