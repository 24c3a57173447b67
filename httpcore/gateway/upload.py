"""The body of a request, from the messages of an ASGI server to what a pool sends."""

from __future__ import annotations

from collections.abc import AsyncIterator

from .._message.body import BodyContent
from .messages import Message, Receive
from .plan import Forward
from .watch import Watch

__all__ = ["BodyTooLarge", "ClientLeft", "Upload"]

_AT_ONCE = 65536
"""A body that says to be no longer is looked at first: mostly it is whole, goes out together with the head, and can be
sent to another upstream."""


class ClientLeft(Exception):
    """The client went away in the middle of its request's body."""


class BodyTooLarge(Exception):
    """The body is longer than `Limits.body`."""


class Upload:
    """Reads the body of one request.

    Attributes:
        size: bytes that were read.
    """

    __slots__ = ("_begun", "_first", "_limit", "_receive", "_watch", "size")

    def __init__(self, receive: Receive, watch: Watch, limit: int | None) -> None:
        self._receive = receive
        self._watch = watch
        self._limit = limit
        self._first: Message | None = None
        self._begun = False
        self.size = 0

    @property
    def replayable(self) -> bool:
        """Nothing of it was given away that is not kept."""
        return not self._begun

    async def content(self, request: Forward) -> BodyContent:
        """What is given to the pool. Where nothing says whether there is a body, the first message does.

        Raises:
            ClientLeft, BodyTooLarge: before anything was sent.
        """
        if request.has_body is False:
            return b""
        if self._first is None and self._looks(request):
            self._first = await self._receive()
        first = self._first
        if first is not None and not first.get("more_body"):
            return self._whole(first)
        return self._pieces

    def _looks(self, request: Forward) -> bool:
        if request.expects:  # to receive is to ask the client for its body, which the upstream has not done yet
            return False
        if request.length is not None:
            return request.length <= _AT_ONCE
        # HTTP/2 without a length. A stream that waits for the response before it sends anything is left to itself.
        return request.has_body is None and request.method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE")

    def _whole(self, message: Message) -> bytes:
        """The body in one message, which is kept: each upstream that is asked gets it."""
        if self.size:
            return bytes(message["body"])
        data = self._checked(message)
        self._watch.body_is_over()
        return data

    async def _pieces(self) -> AsyncIterator[bytes]:
        self._begun = True
        try:
            while True:
                message, self._first = self._first or await self._receive(), None
                data = self._checked(message)
                if data:
                    yield data
                if not message.get("more_body"):
                    return
        finally:
            self._watch.body_is_over()

    def _checked(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise ClientLeft
        data: bytes = message.get("body", b"")
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            raise BodyTooLarge
        return data
