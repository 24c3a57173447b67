"""The state that all exchanges of one HTTP/2 connection share: every change is one step, and input is dispatched.

The engine, the inboxes, the roles of reader and writer, and the queues are shared by all tasks or threads of one
connection. One plain lock guards them, and is never held over an await. `with core.lock, core:` is a *step*: either it
is completed or the connection ends, since after Ctrl-C in the middle of a step the state of the engine is not known.
Each step first ends the exchanges that were dropped since the previous step: the finaliser of an exchange may run at
any point, so it only appends to `dropped`.

Input is processed in turns of a bounded size (`listen`, `FRAMES`), with a pause for the other tasks between two turns:
thus a peer that sends without end delays other tasks, and deadlines, by one turn at most. Input that a turn leaves
unread is read by the next reader or, if the event loop watches its sockets, in the next turn of the loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from types import TracebackType
from typing import Final

from .._backends.base import PIECE, Backend
from .._backends.base import Stream as Transport
from .._errors import (
    Code,
    GoAway,
    HTTPCoreError,
    NetworkError,
    ReadError,
    RemoteProtocolError,
    StreamReset,
)
from .._reentry import step_lock
from .._totals import Totals
from .election import Election
from .engine import H2Engine
from .inbox import Inbox
from .liveness import Liveness
from .outbox import Outbox
from .streams import Stream
from .uploads import Uploads

__all__ = ["FRAMES", "Dispatch", "again"]

FRAMES: Final = 512
"""Frames that are read in one turn, about 3 ms, before the other tasks have their turn. A full read of 512 KiB has 32
frames of 16 KiB, so a download is not slowed down by this."""


class Dispatch:
    """The shared state of one connection.

    Attributes:
        lock: guards the engine, the inboxes, the roles and the queues.
        settling: inboxes whose tasks wait for the peer's SETTINGS, or for its answer to PING.
        dropped: inboxes of exchanges that were dropped; each step ends them first.
        on_change: called, with no lock held, when `capacity` or `is_open` may have changed. Default None.
        failure: the reason why nothing more can be read or sent.
        broken: the reason why nothing more can be sent, though there may be input to read.
        away: the peer's GOAWAY, if it has sent one: last stream, code and debug data (RFC 9113, 6.8).
        spent: whether no stream ids are left.
        lost: whether the peer did not answer a PING in time.
        changed: whether `on_change` is to be called.
        dirty: whether a step runs, or was interrupted.
        totals: the counts of sent and received bytes.
    """

    __slots__ = (
        "_has_unread_input",
        "_is_turn_scheduled",
        "backend",
        "broken",
        "changed",
        "closed",
        "dirty",
        "dropped",
        "election",
        "engine",
        "failure",
        "goaway",
        "liveness",
        "lock",
        "lost",
        "now",
        "on_change",
        "outbox",
        "settling",
        "spent",
        "stream",
        "totals",
        "turn",
        "uploads",
    )

    def __init__(
        self, stream: Transport, engine: H2Engine, backend: Backend, ping_interval: float | None, totals: Totals
    ) -> None:
        self.stream = stream
        self.engine = engine
        self.backend = backend
        self.now = backend.now
        self.lock = step_lock()
        self.election = Election(backend.event)
        self.totals = totals
        self.outbox = Outbox(stream, engine, self.now, totals)
        self.uploads = Uploads(engine, self.outbox, self.election)
        self.liveness = Liveness(self.now(), ping_interval)
        self.settling: dict[Inbox, None] = {}
        self.dropped: deque[Inbox] = deque()
        self.on_change: Callable[[], None] | None = None
        self.failure: HTTPCoreError | None = None
        self.broken: HTTPCoreError | None = None
        self.goaway: tuple[int, int, bytes] | None = None
        self.spent = False
        self.lost = False
        self.closed = False
        self.changed = False
        self.dirty = False
        self.turn = 0  # the engine's `frames_read` at the last turn of other tasks
        self._has_unread_input = False  # the last turn of `listen` left input unread
        self._is_turn_scheduled = False  # the loop will call `_listen_on`

    @property
    def is_open(self) -> bool:
        """Whether the connection accepts further exchanges."""
        return not (self.failure or self.broken or self.goaway or self.spent or self.lost or self.uploads.stalled)

    @property
    def is_left(self) -> bool:
        """Whether a turn has left received input that was not processed."""
        return self._has_unread_input or self.engine.unread

    def is_inside(self) -> bool:
        """Whether this thread is in the middle of a step, which a signal handler, finaliser or weakref callback
        interrupted."""
        return self.lock._is_owned()

    # Steps.

    def __enter__(self) -> None:
        """Begin a step, with the lock held: either all its changes to the engine and the inboxes are made, or the
        connection ends.
        """
        # An earlier step was interrupted: the engine's counts may differ from the peer's now.
        if self.dirty:
            self.fail(self._in_use_error())
        self.dirty = True  # set before the first change and reset after the last: it stays set after Ctrl-C
        while self.dropped:
            self._drop(self.dropped.popleft())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None and not issubclass(kind, HTTPCoreError):  # Ctrl-C, or an error in our code
            self.fail(self._in_use_error())
        self.dirty = False

    def _in_use_error(self) -> ReadError:
        return ReadError(
            "Ctrl-C or an internal error interrupted a step of this connection", peer=self.stream.info().peer
        )

    def interrupted(self) -> None:
        """Handle Ctrl-C during a write: it is unknown whether the stream has accepted the bytes."""
        with self.lock:
            # The writer has ended. `writing` would keep all other tasks from writing, and `parting` would keep `fail`
            # from closing the stream.
            self.outbox.writing = None
            self.outbox.parting = False
            self.fail(self._in_use_error())
        self.notify()

    def notify(self) -> None:
        """Call `on_change` if needed, and the marks that are due. Never call this under the lock: the callback takes
        the pool's lock, and the pool takes our lock under its own when it closes a connection. Two threads that took
        the two locks in opposite orders would deadlock."""
        if self.changed:
            # Reset before the call: if something changes during the callback, the next `notify` calls it again.
            self.changed = False
            if self.on_change is not None:
                self.on_change()
        if self.outbox.marks:
            self.outbox.call_marks()

    def stall(self) -> None:
        """Handle a peer that stopped an upload for too long: new requests use other connections, current ones
        continue."""
        if self.is_open:
            self.uploads.stalled = self.changed = True
            self.notify()

    # Output. From here on each method is called under the lock, except `take_turn`, and the two that call it.

    def send_now(self) -> None:
        """Send the queued bytes as far as there is room, unless another task writes; a waiting task sends the rest."""
        election, outbox = self.election, self.outbox
        if election.writer is None and not outbox.over:
            outbox.write_nowait()
            self.uploads.wake_next()  # there may be room for the next upload now
        # The role is passed on even if nothing could be written: a waiting task gets it, and waits for room.
        election.pass_on(unsent=outbox.is_unsent())

    def credit(self, inbox: Inbox, size: int) -> None:
        """Credit the peer for `size` bytes of content, which the owner has read."""
        # The credit is sent at once, not with the next write: a peer whose window is exhausted waits for it, and we may
        # have nothing else to write.
        engine = self.engine
        engine.consumed(inbox, size)
        if engine.pending and self.election.writer is None:
            self.send_now()

    def drop(self, inbox: Inbox) -> None:
        """End this exchange on our side: reset its stream, unless it is complete."""
        self._drop(inbox)
        self.send_now()

    def _drop(self, inbox: Inbox) -> None:
        if inbox.is_open:  # the peer is sent a reset; its late frames are expected and credited (RFC 9113, 5.4.2)
            self.engine.reset(inbox, Code.CANCEL)
            if self.liveness.needs_ping(self.now()):
                self.engine.ping(b"httpcore")
        if inbox.held:  # no reader will read these bytes, but all streams share the connection's window
            held, inbox.held = inbox.held, 0
            inbox.parts.clear()
            self.engine.consumed(inbox, held)
        inbox.fail(ReadError("this exchange was closed on this side", peer=self.stream.info().peer))
        for waiter in (inbox.receiver, inbox.sender):
            # A task that reads or writes for all at this moment waits for the socket, and not for its event.
            if waiter is not None and (waiter is self.election.reader or waiter is self.election.writer):
                self.stream.wake()

    def probe(self, now: float) -> None:
        """If a PING is due, send it, or end the connection if the last one was not answered."""
        liveness = self.liveness
        if not liveness.is_ping_due(now):
            return
        if liveness.is_unanswered:
            peer = self.stream.info().peer
            # A PING was sent one interval ago, and since then neither its answer nor any other byte was received.
            self.fail(ReadError(f"the server did not answer a PING for {liveness.interval:g} seconds", peer=peer))
        else:
            liveness.pinged = now
            self.engine.ping(b"httpcore")
            self.send_now()

    # Input.

    def take_turn(self) -> None:
        """Read the received frames and reply to them, for one turn, unless there is a reader."""
        if self.is_inside():
            return
        with self.lock, self:
            if self.election.reader is None:  # otherwise two tasks would read, and the bytes lose their order
                self.listen()
                self.send_now()
                if self.outbox.parting and not self.outbox.writing:  # no room for the GOAWAY, and we cannot wait
                    self.outbox.part()
                self.go_on_later()
        self.notify()

    def on_input(self) -> None:
        """Handle input. This function is not async, since an event loop that watches its sockets calls it."""
        if not self._is_turn_scheduled:
            self.take_turn()

    def _listen_on(self) -> None:
        """Run the next turn, after one that has left input unread."""
        self._is_turn_scheduled = False
        self.take_turn()

    def go_on_later(self) -> None:
        """Have the event loop continue with the frames that a turn has left unread, if there is no reader and the loop
        watches its sockets.
        """
        if self.is_left and not self._is_turn_scheduled and self.failure is None and self.election.reader is None:
            self._is_turn_scheduled = self.backend.call_soon(self._listen_on)

    def listen(self) -> None:
        """Read the received frames, for one turn. If there is a reader, only the reader may call this."""
        # There are three bounds: frames, bytes, and calls of `take`; the last is for a peer that sends single bytes.
        engine = self.engine
        last = engine.frames_read + FRAMES
        size = 0
        self._has_unread_input = False
        for _ in range(FRAMES):
            try:
                data = None if engine.unread else self.stream.take()
            except NetworkError as error:
                self.fail(error)
                return
            if data is None and not engine.unread:
                return
            self.receive(data)
            size += len(data or b"")
            if self.failure is not None:
                return
            if engine.frames_read >= last or size >= PIECE:
                break
        self._has_unread_input = True

    def receive(self, data: bytes | None) -> None:
        """Process received bytes, about `FRAMES` frames of them. None: process the bytes that the engine has left
        unread."""
        if self.failure is not None:
            return
        if data is None:
            data = b""
        elif not data:
            peer = self.stream.info().peer
            self.fail(RemoteProtocolError("the server closed the HTTP/2 connection", peer=peer))
            return
        self.totals.bytes_received += len(data)
        now = self.now()
        self.liveness.on_received(now)
        self.engine.receive(data, self, now, FRAMES)

    # Methods that the engine calls: see `streams.Listener`. Its streams are our inboxes.

    def on_settings(self) -> None:
        # The limit of streams may have changed: the pool reads `capacity` again.
        self.changed = True
        for inbox in self.settling:
            inbox.wake()

    def on_pong(self) -> None:
        for inbox in self.settling:
            inbox.wake()

    def on_window(self) -> None:
        self.uploads.on_window()

    def on_stream_window(self, stream: Stream) -> None:
        assert isinstance(stream, Inbox)
        self.uploads.on_stream_window(stream)

    def on_reset(self, stream: Stream, code: int) -> None:
        assert isinstance(stream, Inbox)
        # The peer has seen the request: the rule for dead reused connections (`resend`) does not apply any more.
        stream.started = True
        # REFUSED_STREAM means that the request was not processed: it may be sent again, whatever its method (8.7).
        stream.fail(StreamReset(code, peer=self.stream.info().peer), refused=code == Code.REFUSED_STREAM)

    def on_malformed(self, stream: Stream, error: HTTPCoreError) -> None:
        assert isinstance(stream, Inbox)
        stream.started = True
        stream.fail(error)

    def on_goaway(self, last: int, code: int, debug: bytes, gone: Sequence[Stream]) -> None:
        self.goaway = last, code, debug  # no error object yet: it costs more than the frame, and the peer may send many
        self.changed = True
        for stream in gone:
            assert isinstance(stream, Inbox)
            stream.fail(self.goaway_error(), refused=True)  # the request may be sent again, with any method (8.7)

    def on_failed(self, error: HTTPCoreError) -> None:
        self.outbox.parting = True  # until the GOAWAY with the reason has been sent
        self.fail(error, fault=True)  # because of `parting` this leaves the stream open
        self.outbox.write_nowait()
        self.outbox.part_if_sent()

    # The end of the connection.

    def fail(self, error: HTTPCoreError, *, fault: bool = False) -> None:
        """End the connection with this error, and every exchange without a complete response. If the peer has sent
        GOAWAY, the exchanges get that as their error, unless `fault`: the peer has broken the rules."""
        if self.failure is None:  # the first error is the cause of later ones
            self.failure = error
            self.outbox.over = self.changed = True
        left = not fault and self.goaway is not None
        for stream in [*self.engine.forget_streams(), *self.settling]:
            assert isinstance(stream, Inbox)
            stream.fail(self.goaway_error() if left else again(error))
        if not self.outbox.parting:
            self.stream.close()  # a call that reads or writes at this moment ends now

    def goaway_error(self) -> GoAway:
        assert self.goaway is not None
        last, code, debug = self.goaway
        return GoAway(code, last, debug, peer=self.stream.info().peer)

    def break_off(self, error: HTTPCoreError, *, listens: bool) -> None:
        """Handle a failed write. Bytes that the peer has sent before are still received: by this task if it `listens`
        (it is also the reader), otherwise by the reader."""
        # A server may answer and close without reading on: its response has often arrived when a write fails.
        self.broken = error
        self.outbox.over = self.changed = True
        if listens:
            self.listen()
            if not self._has_unread_input:  # otherwise the unread input comes first, and a later read fails
                self.fail(error)


def again(error: HTTPCoreError) -> HTTPCoreError:
    """A copy of the error for another exchange, since each exchange adds its own facts to its error."""
    same = copy(error)
    same.__cause__ = error
    return same
