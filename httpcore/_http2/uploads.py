"""The uploads of one HTTP/2 connection that wait for room among the queued bytes, or for the peer to open a window.

These uploads are woken one by one, in the order in which they began to wait: an upload that was woken wakes the next
when it has sent, or when it cannot send. To wake all of them at each WINDOW_UPDATE would cost the square of their
number, and most would find the window closed again. No I/O; the queues change only under the connection's lock.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from .election import Election, Waiter
from .engine import H2Engine
from .inbox import Inbox
from .outbox import Outbox

__all__ = ["OUTBOX", "Uploads"]

OUTBOX: Final = 131072
"""How many bytes may wait to be sent before uploads have to wait. One more piece of at most this size may be added."""


class Uploads:
    """The uploads that wait, in two queues.

    Attributes:
        for_room: uploads that have a window, but the outbox is full.
        for_window: uploads that have no window.
        openings: how often the peer has opened a window.
        stalled: whether the peer accepts no uploads.
    """

    __slots__ = ("_election", "_engine", "_outbox", "_tries", "for_room", "for_window", "openings", "stalled")

    def __init__(self, engine: H2Engine, outbox: Outbox, election: Election) -> None:
        self._engine = engine
        self._outbox = outbox
        self._election = election
        # How many uploads in `for_window` must check again. Each checks only once for a WINDOW_UPDATE: otherwise those
        # that cannot send would wake each other for ever.
        self._tries = 0
        self.for_room: OrderedDict[Waiter, Inbox] = OrderedDict()
        self.for_window: OrderedDict[Waiter, Inbox] = OrderedDict()
        self.openings = 0
        self.stalled = False

    def put(self, inbox: Inbox, data: memoryview) -> int:
        """Queue as much of `data` as may be sent now; returns how many bytes."""
        size = 0
        if self._outbox.size() < OUTBOX:
            # The engine counts these bytes against both windows (RFC 9113, section 6.9.1); bytes that are already
            # queued have been counted before.
            size = min(len(data), self._engine.window(inbox), OUTBOX)
            if size:
                self._engine.data(inbox, data[:size], end=False)
                self.wake_next()
        return size

    def may_send(self, inbox: Inbox) -> bool:
        """Whether `put` would accept something."""
        return self._outbox.size() < OUTBOX and self._engine.window(inbox) > 0

    def wait(self, waiter: Waiter, inbox: Inbox) -> None:
        """Put an upload that cannot send now into its queue. It has checked in vain, so the next upload may check."""
        self.wake_next()
        queue = self.for_room if self._engine.window(inbox) else self.for_window
        queue[waiter] = inbox

    def remove(self, waiter: Waiter) -> None:
        self.for_room.pop(waiter, None)
        self.for_window.pop(waiter, None)

    def wake_next(self) -> None:
        """Wake one waiting upload, which checks again. It wakes the next when it has sent, or when it cannot send."""
        if self.for_room and self._outbox.size() < OUTBOX:
            self._election.wake(self.for_room.popitem(last=False)[0])
            return
        while self._tries and self.for_window and self._engine.connection_window > 0:
            self._tries -= 1
            waiter, inbox = self.for_window.popitem(last=False)
            if inbox.stopped or self._engine.window(inbox):
                self._election.wake(waiter)
                return
            self.for_window[waiter] = inbox  # back in the queue: its own stream's window is closed (RFC 9113, 6.9.1)

    def on_window(self) -> None:
        """Let each upload that waits now check once more, one after the other."""
        self.openings += 1
        self._tries = len(self.for_window)
        self.wake_next()

    def on_stream_window(self, inbox: Inbox) -> None:
        self.openings += 1
        if inbox.sender is not None:
            self.for_window.pop(inbox.sender, None)
            # Only this upload is woken: the window of one stream does not matter to the others.
            self._election.wake(inbox.sender)

    def is_stuck(self, openings: int, *, timed_out: bool) -> bool:
        """Whether the connection's window is exhausted; or whether the wait `timed_out`, and the peer has opened no
        window since `openings` was read."""
        return not self._engine.connection_window or (timed_out and self.openings == openings)
