"""The body of a request: from the messages of an ASGI server to the content that a pool sends."""

from __future__ import annotations

from typing import Final, Self

from .._message.body import BodyContent
from .messages import Message, Receive
from .plan import Forward
from .watch import Messages, Watch

__all__ = ["BodyTooLarge", "ClientDisconnected", "Upload"]

_AT_ONCE: Final = 65536
"""The first message of a body that is declared to be no longer than this is read before the request is sent. Mostly it
is the whole body, which is then sent together with the head, and can be sent to another upstream.
"""


_CHECK_INTERVAL: Final = 0.05
"""Seconds between two checks whether a response begins while the client sends nothing."""


class ClientDisconnected(Exception):
    """The client has disconnected in the middle of its request's body."""


class BodyTooLarge(Exception):
    """The body is longer than `Limits.body`."""


class Upload:
    """Reads the body of one request. If the body is a stream, iteration yields its pieces.

    Attributes:
        size: number of bytes that were read.
        is_answered: whether the head of the response has been received.
        is_stream: whether `content` has returned the body as a stream.
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
        """Whether the body can be sent again: no piece was returned without being kept."""
        return not self._begun

    async def content(self, request: Forward) -> BodyContent:
        """The content for the pool. If the head does not show whether there is a body, the first message decides.

        Raises:
            ClientDisconnected, BodyTooLarge: the first message shows this, before anything was sent.
        """
        if request.has_body is False:
            return b""
        if self._first is None and self._may_look_ahead(request):
            self._first = await self._messages.next()
        first = self._first
        if first is not None and not first.get("more_body"):
            return self._buffer_body(first)
        self.is_stream = True
        return self

    async def look_ahead(self, request: Forward, seconds: float) -> None:
        """Read the first message while the request waits in the queue: mostly it is the whole body, and after it the
        client's disconnect can be noticed. If this is cancelled, the message is left for `content`.
        """
        if not self._may_look_ahead(request):
            return
        self._first = await self._messages.next(seconds)
        if self._first is None:
            return
        if self._first["type"] == "http.disconnect":
            self._watch.left()
        elif not self._first.get("more_body"):
            self._watch.on_body_read()

    def _may_look_ahead(self, request: Forward) -> bool:
        if request.expects:  # `receive` would send 100 (Continue) to the client, before the upstream has sent it
            return False
        if request.length is not None:
            return request.length <= _AT_ONCE
        # HTTP/2 without a length. A request with another method may be a stream that waits for the response before it
        # sends anything.
        return request.has_body is None and request.method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE")

    def _buffer_body(self, message: Message) -> bytes:
        """The body, from its only message. It is kept, so that it can be sent to further upstreams."""
        if self.size:
            return bytes(message["body"])
        data = self._checked(message)
        self.close()
        return data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece; an empty one if the client sends nothing for a while, so that the pool checks for the
        response.

        Raises:
            ClientDisconnected, BodyTooLarge: the body is incomplete, or too long.
        """
        if self._is_over:
            raise StopAsyncIteration
        # From here on pieces are returned and not kept, so no other upstream can be tried.
        self._begun = True
        message, self._first = self._first, None
        if message is None:
            # Once the response has begun the wait has no limit: the pool need not check for the response any more.
            message = await self._messages.next(None if self.is_answered else _CHECK_INTERVAL)
        if message is None:
            return b""
        data = self._checked(message)
        if not message.get("more_body"):
            self.close()
        return data

    def close(self) -> None:
        """Read no more of the body: it has ended, or is not needed any more."""
        if not self._is_over:
            self._is_over = True
            self._messages.close()
            self._watch.body_is_over()

    def _checked(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        data: bytes = message.get("body", b"")
        # Counted before the piece is passed on, so that the upstream never gets more than the limit allows.
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            raise BodyTooLarge
        return data
