"""Origins for tests of redirects and credentials: HTTP/1.1 and HTTP/2 (by h2) in one server, which records all received
requests.

The first bytes of a connection show its protocol. The test defines the response.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple

import h2.config
import h2.connection
import h2.events
from servers import Peer, ScriptedServer

Fields = list[tuple[str, str]]


class ReceivedRequest(NamedTuple):
    """One request as a server received it; names are in lower case, `:authority` is "host"."""

    server: str
    protocol: str
    method: str
    target: str
    fields: Fields
    body: bytes

    def get(self, name: str) -> str | None:
        return ", ".join(value for key, value in self.fields if key == name) if self.has(name) else None

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.fields)


class Answer(NamedTuple):
    status: int = 200
    fields: Fields = []  # noqa: RUF012 - never changed
    body: bytes = b"ok"


class Origin(ScriptedServer):
    """A server that answers each request with the result of `answer`, and records it in `log`."""

    def __init__(
        self,
        name: str,
        log: list[ReceivedRequest],
        answer: Callable[[ReceivedRequest], Answer],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self._log = log
        self._answer = answer
        super().__init__(self._serve_peer, context)

    def _serve_peer(self, peer: Peer) -> None:
        while head := peer.head():
            if head.startswith(b"PRI * HTTP/2.0"):
                _Http2(self, peer).serve(head)
                return
            seen = self._read(head.decode("latin-1"), peer)
            answer = self.answer(seen)
            lines = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(answer.body)}"]
            lines += [f"{key}: {value}" for key, value in answer.fields]
            body = b"" if seen.method == "HEAD" else answer.body
            peer.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def _read(self, head: str, peer: Peer) -> ReceivedRequest:
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [line.split(": ", 1) for line in lines]
        fields = [(key.lower(), value) for key, value in pairs]
        body = peer.exactly(int(dict(fields).get("content-length", "0")))
        if dict(fields).get("transfer-encoding") == "chunked":
            body = self._chunks(peer)
        return ReceivedRequest(self.name, "HTTP/1.1", method, target, fields, body)

    def _chunks(self, peer: Peer) -> bytes:
        body = b""
        while size := int(peer.until(b"\r\n"), 16):
            body += peer.exactly(size)
            peer.until(b"\r\n")
        peer.until(b"\r\n")
        return body

    def answer(self, seen: ReceivedRequest) -> Answer:
        self._log.append(seen)
        return self._answer(seen)


class _Http2:
    def __init__(self, origin: Origin, peer: Peer) -> None:
        self.origin = origin
        self.peer = peer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self.heads: dict[int, Fields] = {}
        self.bodies: dict[int, bytes] = {}

    def serve(self, first: bytes) -> None:
        self.h2.initiate_connection()
        data = first + self.peer.held
        while data:
            for event in self.h2.receive_data(data):
                self.take(event)
            self.peer.send(self.h2.data_to_send())
            data = self.peer.socket.recv(65536)

    def take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.heads[event.stream_id] = [(str(key), str(value)) for key, value in event.headers]
            self.bodies[event.stream_id] = b""
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.end(event.stream_id)

    def end(self, stream: int) -> None:
        head = dict(self.heads[stream])
        fields = [(key, value) for key, value in self.heads[stream] if not key.startswith(":")]
        fields.append(("host", head[":authority"]))
        seen = ReceivedRequest(self.origin.name, "HTTP/2", head[":method"], head[":path"], fields, self.bodies[stream])
        answer = self.origin.answer(seen)
        body = b"" if seen.method == "HEAD" else answer.body
        pairs = [(":status", str(answer.status)), ("content-length", str(len(answer.body)))]
        self.h2.send_headers(stream, [*pairs, *[(key.lower(), value) for key, value in answer.fields]], not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
