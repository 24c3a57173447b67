"""What reads the responses of an HTTP/1.1 connection: the interface that each reader has."""

from __future__ import annotations

from typing import Protocol

from .._message.head import Part


class ResponseParser(Protocol):
    """Reads the responses of one connection, one exchange after another. Requests are written elsewhere.

    Raises:
        RemoteProtocolError: from `receive`, when the grammar of RFC 9112 is violated.
        LimitExceeded: from `receive`, when a limit on sizes or counts is.
    """

    @property
    def name(self) -> str:
        """Library and version, e.g. "httpcore 0.1.0"."""
        ...

    @property
    def reusable(self) -> bool:
        """After `End`: the connection may carry another exchange (version, Connection, framing, no surplus bytes)."""
        ...

    @property
    def surplus(self) -> bytes:
        """After `End`, a 101 or a 2xx to CONNECT: bytes that came behind the message."""
        ...

    @property
    def started(self) -> bool:
        """A byte of this exchange's response has come."""
        ...

    @property
    def unfinished(self) -> str:
        """What is missing, for an error message: "the response head", "1,024 bytes of the body"..."""
        ...

    def begin(self, method: bytes, *, upgrade: bool = False, close: bool = False) -> None:
        """A request with this method was written. `upgrade`: it had an Upgrade header; `close`: Connection: close."""
        ...

    def receive(self, data: bytes) -> list[Part]:
        """Feed what was read, `b""` at the end of the stream; get the parts that are complete now, in order."""
        ...
