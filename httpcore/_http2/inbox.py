"""What has come for one HTTP/2 exchange and waits for its owner, and how far its stream is. No I/O, no lock.

It is changed under the lock of its connection, by whoever reads for all, and by its owner.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from typing import Final

from .._errors import HTTPCoreError
from .._message.fields import Headers
from .._message.head import Head
from .._message.rules import Leniency
from .turns import Seat

__all__ = ["Inbox"]

JOINED: Final = 2048
"""Parts of a body smaller than this are joined to those before: a drip of bytes would cost a hundred times as much."""


class Inbox:
    """One exchange, as its connection sees it.

    Attributes:
        number: of the stream; 0 before there is one.
        two_way: the request goes on when the response has ended.
        tunnel: it is two-way only if the answer is a 2xx.
        begins: where in all that the connection sends its request begins.
        head, interims, parts, held, trailers: of the response. `held` counts the bytes in `parts`.
        lenient: what was unusual about the interim heads and the trailers.
        received: bytes of the body that came, all in all.
        started: something of the response has come.
        ended: the response is complete.
        error: what ended it instead.
        refused: the peer has not processed the request, and says so.
        crowded: if it was refused, then because there were too many: the same connection may take it later.
        sent_all: the request is complete.
        stopped: nothing more of the request is wanted.
        receiver, sender: who waits for news of it.
    """

    __slots__ = (
        "begins",
        "crowded",
        "ended",
        "error",
        "head",
        "held",
        "interims",
        "lenient",
        "number",
        "parts",
        "received",
        "receiver",
        "refused",
        "sender",
        "sent_all",
        "started",
        "stopped",
        "trailers",
        "tunnel",
        "two_way",
    )

    def __init__(self, *, two_way: bool = False, tunnel: bool = False) -> None:
        self.number = 0
        self.two_way = two_way or tunnel
        self.tunnel = tunnel and not two_way
        self.crowded = False
        self.begins = 0
        self.head: Head | None = None
        self.interims: list[Head] = []
        self.parts: deque[bytes | bytearray | memoryview] = deque()
        self.held = 0
        self.received = 0
        self.lenient: tuple[Leniency, ...] = ()
        self.trailers: Headers = []
        self.started = False
        self.ended = False
        self.error: HTTPCoreError | None = None
        self.refused = False
        self.sent_all = False
        self.stopped = False
        self.receiver: Seat | None = None
        self.sender: Seat | None = None

    def add(self, data: bytes | bytearray) -> None:
        parts = self.parts
        size = len(data)
        self.held += size
        self.received += size
        if size < JOINED and parts and len(parts[-1]) < JOINED:
            last = parts[-1]
            if not isinstance(last, bytearray):
                last = parts[-1] = bytearray(last)
            last += data
        else:
            parts.append(data)

    def take(self, most: int) -> bytes:
        """The next bytes of the body, 1 to `most` of them; there must be some."""
        parts = self.parts
        first = parts.popleft()
        size = len(first)
        if size < most and parts:
            pieces = [first]
            while parts and size + len(parts[0]) <= most:
                pieces.append(parts.popleft())
                size += len(pieces[-1])
            first = b"".join(pieces)
        elif size > most:
            view = memoryview(first)  # a reader of single bytes must not copy the rest each time
            parts.appendleft(view[most:])
            first, size = view[:most], most
        self.held -= size
        return bytes(first)

    def take_all(self) -> bytes:
        parts = self.parts
        body = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.held = 0
        return body

    def fail(self, error: HTTPCoreError, *, refused: bool = False) -> None:
        """It ends here, unless it has ended; nothing more is to be sent in any case."""
        self.stopped = True
        if not self.ended and self.error is None:
            self.error = error
            self.refused = refused

    def failure(self) -> HTTPCoreError:
        """The error, to be raised. A copy: what was raised holds the frames that it passed, which hold this. In such a
        circle the caller's later attempts would wait for the collector as well, with the credit for what they hold."""
        assert self.error is not None
        same = copy(self.error)
        same.__cause__ = self.error.__cause__
        return same

    # What can be waited for.

    def is_unwanted(self) -> bool:
        """What is queued of the request need not leave. Its end must, though nothing more may be queued behind that."""
        return self.stopped and not self.sent_all

    def has_head(self) -> bool:
        return self.head is not None or self.error is not None

    def may_go_ahead(self) -> bool:
        return self.has_head() or any(head.status == 100 for head in self.interims)

    def has_body(self) -> bool:
        return bool(self.parts) or self.ended or self.error is not None
