"""HTTP/2 over one stream: many exchanges at once, without a background task.

Each exchange has an inbox. `dispatch` holds the state that all exchanges share; `pump` has their waits, during which
one of them reads and writes for all; this module has the methods that the pool and the exchanges call.

Plain functions need neither the reader's role nor the writer's: a reset, an acknowledgement or a credit is written at
once if the system has room for it (`Stream.give`), otherwise with the next write. Thus closing an exchange never waits.

Memory is bounded: an unread response by its stream's window, which is credited as its owner takes data; the bytes to be
sent by `uploads.OUTBOX`, beyond which uploads wait; and answers to the peer (PONG, SETTINGS ACK) by the engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from .._backends.base import Backend, Stream
from .._deadline import Deadline
from .._errors import Code, LocalProtocolError, ReadError, ReadTimeout, RemoteProtocolError
from .._message.fields import Headers
from .._reentry import REENTERED, step_lock
from .._totals import Totals
from .dispatch import Dispatch, again
from .engine import H2Engine
from .inbox import Inbox
from .pump import Pump

__all__ = ["HTTP2Connection"]

SETTINGS_TIMEOUT: Final = 1.0
"""Seconds that a new connection waits for the peer's SETTINGS before its first exchange begins."""

LAST_STREAM: Final = 2**31 - 1


class HTTP2Connection:
    """A stream and the HTTP/2 engine over it, shared by any number of exchanges.

    Attributes:
        ping_interval: seconds of silence after which the peer is sent a PING. It has as many seconds to answer.
        dropped: inboxes whose exchanges were dropped; the next step ends them. Finalisers only append to this.
    """

    protocol: Final = "HTTP/2"
    is_shared = True

    __slots__ = ("_core", "_engine", "_outbox", "_pump", "_uploads", "backend", "dropped", "stream")

    def __init__(
        self,
        stream: Stream,
        engine: H2Engine,
        backend: Backend,
        ping_interval: float | None = None,
        totals: Totals | None = None,
    ) -> None:
        self.stream = stream
        self.backend = backend
        self._engine = engine
        self._core = Dispatch(stream, engine, backend, ping_interval, Totals() if totals is None else totals)
        self._outbox = self._core.outbox
        self._uploads = self._core.uploads
        self._pump = Pump(self._core)
        self.dropped: deque[Inbox] = self._core.dropped
        # The preface and our SETTINGS are queued before any request can be (RFC 9113, section 3.4).
        engine.start()

    # Methods that the pool calls.

    @property
    def engine(self) -> str:
        return self._engine.name

    @property
    def capacity(self) -> int:
        """How many exchanges there may be at once."""
        return self._engine.max_streams

    @property
    def streams(self) -> int:
        """Streams that were opened so far."""
        return self._engine.opened_streams

    @property
    def is_open(self) -> bool:
        """Whether it accepts further exchanges."""
        return self._core.is_open

    @property
    def needs_check(self) -> bool:
        """Whether the peer must answer a PING before another exchange begins: see `is_alive`."""
        liveness = self._core.liveness
        return liveness.unconfirmed_since is not None or (
            liveness.interval is not None and liveness.is_silent(self._core.now())
        )

    @property
    def on_change(self) -> Callable[[], None] | None:
        """Called, with no lock held, when `capacity` or `is_open` may have changed. Default None."""
        return self._core.on_change

    @on_change.setter
    def on_change(self, callback: Callable[[], None] | None) -> None:
        self._core.on_change = callback

    def is_quiet(self) -> bool:
        """Whether it accepts another exchange, after reading the peer's frames for one turn."""
        self._core.take_turn()
        return self._core.is_open

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when `capacity` or `is_open` may have changed."""
        self.on_change = callback
        self.stream.watch(self.listen)

    def listen(self) -> None:
        """Handle input. This is plain: a loop that watches its sockets calls it."""
        self._core.on_input()

    async def wait_for_settings(self, deadline: Deadline) -> None:
        """Wait a moment for the peer's SETTINGS, which contain the number of streams that it allows.

        Servers send them at once, many together with the end of the TLS handshake. A client that opens more streams
        than are allowed, because it did not wait, has them refused, and some servers end the connection.
        """
        await self._pump.wait_for_connection(
            self.inbox(), lambda: self._engine.settings_seen, deadline.within(SETTINGS_TIMEOUT)
        )

    async def is_alive(self, deadline: Deadline) -> bool:
        """Whether the peer is alive. If it was silent for the ping interval it is sent a PING, and has as long to
        answer. If a cancelled exchange has sent a PING, it has `LIVENESS_TIMEOUT` seconds from then."""
        core = self._core
        liveness = core.liveness
        due = liveness.answer_due()
        if due is not None:
            # A cancelled exchange has sent a PING: wait for its answer; any input counts as one.
            left = deadline.within(max(0.0, due - core.now()))
            answered = await self._pump.wait_for_connection(
                self.inbox(), lambda: liveness.unconfirmed_since is None, left
            )
            if not answered and core.now() >= due:  # not where the request's own timeout ended the wait
                core.lost = core.changed = True
                core.notify()
                return False
        now = core.now()
        if not liveness.is_silent(now):
            return core.is_open
        with core.lock, core:
            core.probe(now)
        await self._pump.wait_for_connection(self.inbox(), lambda: liveness.last_received >= now, deadline.within(None))
        return core.is_open

    def close(self) -> None:
        """Close the connection now. Exchanges that are under way end with an error.

        During a step no GOAWAY is sent. The step may be this thread's own, which a signal handler or a finaliser has
        interrupted; or one of a thread whose finaliser waits for the pool's lock, which the caller holds.
        """
        core = self._core
        # Without the lock, on purpose: a step is under way, and to close the socket is the only safe action.
        if core.dirty or core.is_inside():
            # The lock may be held by a thread that waits for a lock of our caller: waiting for it could deadlock.
            core.closed = True
            self.stream.close()
            return
        with core.lock, core:
            if not core.closed:
                core.closed = True
                if core.failure is None:
                    # Offered to the socket once: `close` never waits for room.
                    self._engine.goaway(Code.NO_ERROR)
                    self._outbox.write_nowait()
                core.fail(ReadError("the connection was closed on this side", peer=self.stream.info().peer))
        self.stream.close()

    def abandon(self) -> None:
        """Like `close`, in the child of a fork, where the lock and the roles may be held by threads that do not
        exist."""
        core = self._core
        core.lock = step_lock()  # the old one may be held for ever
        core.election.forget()
        core.dirty = False
        core.closed = True
        self.stream.abandon()
        core.failure = error = ReadError(
            "this connection was made before a fork: it belongs to the parent process", peer=self.stream.info().peer
        )
        self._outbox.over = True
        for stream in self._engine.forget_streams():
            assert isinstance(stream, Inbox)
            stream.receiver = stream.sender = None  # the waits of threads that the child does not have
            stream.fail(again(error))

    # Methods for an exchange. They are plain, and each is one step under the lock.

    def inbox(self) -> Inbox:
        """A new inbox."""
        return Inbox(self._core.election, self._core.liveness)

    @property
    def written(self) -> int:
        """The total of the bytes that were handed to the stream."""
        return self._outbox.written

    def open(self, inbox: Inbox, fields: Headers, data: bytes, *, end: bool, key: bytes = b"") -> bool:
        """Open a stream. `data` goes with the head, and `end` after it, if the windows have room for all of it; False
        when they have not, and the caller must send the rest. `key` as for `Sender.request`.

        Raises:
            RemoteProtocolError, ReadError, WriteError: this connection accepts no more requests. `inbox.refused` is
                set.
            LocalProtocolError: the peer does not accept such a request.
        """
        core, engine = self._core, self._engine
        if core.is_inside():
            raise LocalProtocolError(REENTERED)
        with core.lock, core:
            self._check_open(inbox)
            # A request whose first byte was never written may be sent again, whatever its method. Queued bytes leave in
            # order, so this one has begun to leave once more than `begins` bytes were written.
            outbox = self._outbox
            ahead = outbox.written + len(outbox.unsent)
            inbox.begins = ahead + engine.pending
            if not engine.settings_seen:
                inbox.crowded = True  # the limit is not known yet (RFC 9113, 6.5.2): a refusal may have this reason
            engine.request(inbox, fields, end=end and not data, key=key)
            if inbox.number >= LAST_STREAM:
                core.spent = core.changed = True
            # A small body is sent with its head, and END_STREAM with its last byte, without a frame of its own.
            whole = not data or len(data) <= engine.window(inbox)
            if data and whole:
                engine.data(inbox, data, end=end)
            if end and whole:
                inbox.ends = ahead + inbox.queued
                outbox.leaving.append(inbox)
            if engine.open_streams == 1:  # other tasks may have more to send in a moment: then all goes in one write
                core.send_now()
            # Otherwise the first task that waits writes it: a hundred requests at once are one write.
            return whole

    def _check_open(self, inbox: Inbox) -> None:
        core, engine = self._core, self._engine
        if core.is_open and engine.open_streams < engine.max_streams:
            return
        inbox.refused = True
        inbox.crowded = core.is_open
        cause = core.failure or core.broken
        if cause is not None:
            raise again(cause)
        if core.goaway is not None:
            raise core.goaway_error()
        if self._uploads.stalled:
            why = "accepts no more requests: its peer stopped an upload"
        else:
            why = "has no more stream ids" if core.spent else f"takes {engine.max_streams} requests at once"
        raise RemoteProtocolError(f"this HTTP/2 connection {why}", peer=self.stream.info().peer)

    def mark(self, call: Callable[[], None]) -> None:
        """Call `call` when all bytes that are queued now have been handed to the system; no lock is held then."""
        outbox = self._outbox
        with self._core.lock:
            outbox.marks.append((outbox.written + outbox.size(), call))
        # If all of it has been written already, call it now, and not under the lock: a trace is code of the caller.
        outbox.call_marks()

    def put(self, inbox: Inbox, data: memoryview) -> int | None:
        """Queue as much of `data` as may be sent now; return how many bytes. None: the peer needs no more of it."""
        with self._core.lock, self._core:
            if inbox.stopped or self._core.broken is not None:
                return None
            return self._uploads.put(inbox, data)

    def finish(self, inbox: Inbox, trailers: Headers) -> None:
        """Queue the end of the request."""
        with self._core.lock, self._core:
            if not inbox.stopped:
                if trailers:
                    self._engine.trailers(inbox, trailers)
                else:
                    self._engine.data(inbox, b"", end=True)
                inbox.ends = self._outbox.written + len(self._outbox.unsent) + inbox.queued
                self._outbox.leaving.append(inbox)
                inbox.stopped = True

    def take(self, inbox: Inbox, most: int) -> bytes | None:
        """Bytes of the body, `b""` at its end, None when there are none yet; otherwise raises the error that ended
        the body.
        """
        core = self._core
        with core.lock:
            # The received parts come before the error: bytes received before a reset still go to the caller.
            if not inbox.parts:
                if inbox.error is not None:
                    raise inbox.failure()
                return b"" if inbox.ended else None
            with core:  # one step: without their credit these bytes would reduce the window for good
                data = inbox.take(most)
                core.credit(inbox, len(data))
                return data

    def take_all(self, inbox: Inbox) -> bytes:
        """The rest of a body that has ended."""
        if not inbox.held:
            return b""
        core = self._core
        with core.lock, core:
            held = inbox.held
            data = inbox.take_all()
            core.credit(inbox, held)
            return data

    def drop(self, inbox: Inbox) -> bool:
        """End this exchange on our side: reset its stream, unless it is complete. Returns whether the connection is
        still open."""
        core = self._core
        if core.is_inside():  # a finaliser in the middle of a step: the engine must not be entered twice
            self.dropped.append(inbox)
            return core.is_open
        with core.lock, core:
            core.drop(inbox)
        core.notify()
        return core.is_open

    # Waits of an exchange.

    async def wait_until(self, inbox: Inbox, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until `ready()` holds. False when `timeout` seconds passed first; an event that happens at that moment
        wins.
        """
        return await self._pump.wait_until(inbox, ready, timeout)

    async def push(self, inbox: Inbox, deadline: Deadline, most: float | None = None) -> None:
        """Send the queued bytes, within `most` seconds. Raises as `Pump.push`."""
        await self._pump.push(inbox, deadline, most)

    async def room(self, inbox: Inbox, timeout: float | None, limit: float | None) -> bool:
        """Wait until `put` returns something but 0. False when `timeout` seconds passed first; `limit` is the longest
        possible timeout."""
        return await self._pump.room(inbox, lambda: self._has_room(inbox), timeout, limit)

    def _has_room(self, inbox: Inbox) -> bool:
        return inbox.stopped or self._core.broken is not None or self._uploads.may_send(inbox)

    async def settle(self, inbox: Inbox, deadline: Deadline) -> None:
        """Wait until the peer's SETTINGS have been received.

        Raises:
            ReadTimeout: they were not received for `read_timeout` seconds.
        """
        limit = deadline.config.read_timeout
        timeout = deadline.within(limit)
        if not await self._pump.wait_for_connection(inbox, lambda: self._engine.settings_seen, timeout):
            peer = self.stream.info().peer
            raise ReadTimeout(f"the server sent no SETTINGS for {timeout:g} seconds", peer=peer, limit=limit)
