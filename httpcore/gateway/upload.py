"""The body of a request, from the messages of an ASGI server to what a pool sends."""

from __future__ import annotations

from typing import Final, Self

from .._message.body import BodyContent
from .messages import Message, Receive
from .plan import Forward
from .watch import Messages, Watch

__all__ = ["BodyTooLarge", "ClientLeft", "Upload"]

_AT_ONCE: Final = 65536
"""A body that says to be no longer is looked at first: mostly it is whole, goes out together with the head, and can be
sent to another upstream."""


_LOOK: Final = 0.05
"""Seconds between two looks for a response that begins while the client sends nothing."""


class ClientLeft(Exception):
    """The client went away in the middle of its request's body."""


class BodyTooLarge(Exception):
    """The body is longer than `Limits.body`."""


class Upload:
    """Reads the body of one request. Where it is a stream, this iterates over its pieces.

    Attributes:
        size: bytes that were read.
        is_answered: the head of the response is here.
        is_stream: `content` has given it away as one.
    """

    __slots__ = ("_begun", "_first", "_is_over", "_limit", "_messages", "_watch", "is_answered", "is_stream", "size")

    def __init__(self, receive: Receive, watch: Watch, limit: int | None) -> None:
        self._messages = Messages(receive)
        self._watch = watch
        self.is_answered: bool = False
        self.is_stream: bool = False
        self._limit = limit
        self._first: Message | None = None
        self._begun = False
        self._is_over = False
        self.size: int = 0

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
            self._first = await self._messages.next()
        first = self._first
        if first is not None and not first.get("more_body"):
            return self._whole(first)
        self.is_stream = True
        return self

    async def look_ahead(self, request: Forward, seconds: float) -> None:
        """Take the first message while the request waits in the queue: mostly it is the whole body, and behind it a
        client's leaving can be noticed. Cancelled, it leaves the message to `content`.
        """
        if not self._looks(request):
            return
        self._first = await self._messages.next(seconds)
        if self._first is None:
            return
        if self._first["type"] == "http.disconnect":
            self._watch.left()
        elif not self._first.get("more_body"):
            self._watch.on_body_read()

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
        self.close()
        return data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece; an empty one where the client sends nothing, which has the pool look for the response.

        Raises:
            ClientLeft, BodyTooLarge: it is not whole.
        """
        if self._is_over:
            raise StopAsyncIteration
        # From here on pieces are given away and not kept: no other upstream can be asked.
        self._begun = True
        message, self._first = self._first, None
        if message is None:
            # Without a limit once the response is here: the pool need not look for it any more.
            message = await self._messages.next(None if self.is_answered else _LOOK)
        if message is None:
            return b""
        data = self._checked(message)
        if not message.get("more_body"):
            self.close()
        return data

    def close(self) -> None:
        """Nothing more is read: it is over, or no one wants it."""
        if not self._is_over:
            self._is_over = True
            self._messages.close()
            self._watch.body_is_over()

    def _checked(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise ClientLeft
        data: bytes = message.get("body", b"")
        # Counted before the piece is passed on, so that the upstream never gets more than the limit allows.
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            raise BodyTooLarge
        return data
