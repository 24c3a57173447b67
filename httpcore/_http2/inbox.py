"""One HTTP/2 stream with its received head and content, until the owner of the exchange takes them. No I/O, no lock.

The engine's state of the stream and the received content are one object, so that a frame costs one lookup and one call.
The exchange is a separate object on purpose. The engine holds its streams until they end, but an exchange that the
caller has dropped must be collected before that, since its finaliser ends the stream.

All state is changed under the connection's lock, by the current reader and by the owner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy
from typing import Final

from .._errors import HTTPCoreError
from .._message.head import Head
from .election import Election, Waiter
from .liveness import Liveness
from .streams import Stream

__all__ = ["Inbox"]

JOINED: Final = 2048
"""Bytes. Smaller parts of a body are joined to earlier ones: many tiny parts would cost a hundred times as much."""


_NO_PARTS: Final[deque[bytes | bytearray | memoryview]] = deque(maxlen=0)


class Inbox(Stream):
    """One exchange as its connection sees it.

    Arguments:
        election: wakes the task that waits for a change.
        liveness: has the time of the last input.

    Attributes:
        two_way: whether the request may continue after the response has ended.
        awaits_tunnel: whether the request is a CONNECT: a response that is not 2xx then ends `two_way`.
        begins, ends: the byte offsets of the request's beginning and of its end in the connection's output.
        sent_at: when all of the request was handed to the system; None before that.
        interim_at, head_at: when the first 1xx head was read, and when the final head was; None before that.
        head, interim: the received heads: the final one (None before that), and the 1xx heads.
        parts, held: the received bytes of the body that no task has taken yet, and how many they are.
        received: the total of the received bytes of the body.
        started: whether a head was received, or the stream was reset or malformed: the rule for dead reused connections
            (`resend`) does not apply then.
        error: the reason why the exchange ended without a complete response.
        refused: whether the request was refused, so that the peer did not process it.
        crowded: whether it was refused because there were too many streams: the same connection may accept it later.
        stopped: whether nothing more of the request is to be queued: it has ended, or the peer needs no more of it.
        receiver, sender: the waits for a change of this exchange; None: no task waits.
    """

    two_way = False
    awaits_tunnel = False
    crowded = False
    begins = 0
    ends = 0
    sent_at: float | None = None
    interim_at: float | None = None
    head_at: float | None = None
    head: Head | None = None
    interim: Sequence[Head] = ()
    held = 0
    received = 0
    started = False
    error: HTTPCoreError | None = None
    refused = False
    stopped = False
    receiver: Waiter | None = None
    sender: Waiter | None = None
    # `_NO_PARTS` is shared by all inboxes without parts, and never changed: an empty deque takes 760 bytes, and the
    # next part of an event stream may be a minute away.
    parts: deque[bytes | bytearray | memoryview] = _NO_PARTS

    def __init__(self, election: Election, liveness: Liveness) -> None:
        self._election = election
        self._liveness = liveness
        self.bytes_received = 0  # needed soon in any case: a default on the class would cost more

    # Methods that the engine calls.

    def on_interim(self, head: Head) -> None:
        self.started = True
        if self.interim_at is None:
            self.interim_at = self._liveness.last_received
        # The list is new each time: the owner may iterate over the old one in another thread.
        self.interim = [*self.interim, head]
        self.wake()

    def on_head(self, head: Head) -> None:
        self.started = True
        self.head = head
        self.head_at = self._liveness.last_received
        if self.awaits_tunnel and not 200 <= head.status < 300:
            self.two_way = False
        if head.status >= 400 and not self.two_way:
            # After an error response a server may read no more of the upload (RFC 9112, 9.5, for HTTP/1.1).
            self.stopped = True
        self.wake()

    def on_body(self, data: bytes) -> None:
        self.add(data)
        if self.receiver is not None:
            self._election.wake(self.receiver)

    def on_end(self) -> bool:
        unwanted = not (self.sent_all or self.two_way)  # an early answer: the peer needs no more of the request (8.1)
        if unwanted:
            self.stopped = True
        self.wake()
        return unwanted

    def wake(self) -> None:
        """Wake the receiver and the sender: either may wait for this change."""
        if self.receiver is not None:
            self._election.wake(self.receiver)
        if self.sender is not None:
            self._election.wake(self.sender)

    # The body.

    def add(self, data: bytes | bytearray) -> None:
        parts = self.parts
        size = len(data)
        self.held += size
        self.received += size
        if not parts:
            self.parts = deque((data,))
        elif size < JOINED and len(parts[-1]) < JOINED:
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
            view = memoryview(first)  # reading single bytes must not copy the rest each time
            parts.appendleft(view[most:])
            first, size = view[:most], most
        if not parts:
            self.parts = _NO_PARTS
        self.held -= size
        return bytes(first)

    def take_all(self) -> bytes:
        parts = self.parts
        body = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        self.parts = _NO_PARTS
        self.held = 0
        return body

    # The end of the exchange.

    def fail(self, error: HTTPCoreError, *, refused: bool = False) -> None:
        """End the exchange with an error, unless it has ended; nothing more is sent in any case."""
        self.stopped = True
        if not self.ended and self.error is None:
            self.error = error
            self.refused = refused
        self.wake()

    def failure(self) -> HTTPCoreError:
        """Return a copy of the error, to be raised.

        A raised error refers to the stack frames that it has passed, and these refer to this inbox. If the inbox had
        that error as well, this would be a cycle, which only the garbage collector frees. The caller's later attempts
        would be part of the cycle, and the credit for the bytes that they hold would be delayed.
        """
        assert self.error is not None
        # `copy` does not copy the cause, which is not in the `__dict__` of the exception.
        same = copy(self.error)
        same.__cause__ = self.error.__cause__
        return same

    # Conditions of waits.

    def is_unwanted(self) -> bool:
        """Whether the queued part of the request need not be sent. `stopped` is also set when the end of the request is
        queued, and then it must be sent.
        """
        return self.stopped and not self.sent_all

    def has_head(self) -> bool:
        return self.head is not None or self.error is not None

    def may_send_body(self) -> bool:
        return self.has_head() or any(head.status == 100 for head in self.interim)

    def has_body(self) -> bool:
        return bool(self.parts) or self.ended or self.error is not None
