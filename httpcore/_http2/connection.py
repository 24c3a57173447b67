"""HTTP/2 over one stream: many exchanges at once, without a background task.

Each exchange has an inbox. `dispatch` holds the state that all exchanges share. `pump` has the waits of the exchanges:
during them, one of the waiting tasks reads and one writes for all. This module has the methods that the pool and the
exchanges call.

Plain functions need neither the reader's role nor the writer's (see `election`): a reset, an acknowledgement or a
credit is written at once if no task writes and the system has room (`Stream.give`), otherwise with the next write. Thus
closing an exchange never waits.

Memory is bounded. An unread response is bounded by its stream's window, since the peer is credited only when the owner
takes data. The bytes to be sent are bounded by `uploads.OUTBOX`, beyond which uploads wait. Answers to the peer (the
acknowledgements of PING and SETTINGS) are bounded by the engine.
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

    Arguments:
        ping_interval: seconds without input after which the peer is sent a PING; it has as many seconds to answer.
            Default None: silence causes no PING.

    Attributes:
        dropped: inboxes whose exchanges were dropped; the next step ends them. Finalisers only append to it.
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
        """How many exchanges may be open at once: the limit of the peer."""
        return self._engine.max_streams

    @property
    def streams(self) -> int:
        """How many streams were opened so far."""
        return self._engine.opened_streams

    @property
    def is_open(self) -> bool:
        """Whether the connection accepts further exchanges."""
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
        """The function to call, with no lock held, when `capacity` or `is_open` may have changed. Default None."""
        return self._core.on_change

    @on_change.setter
    def on_change(self, callback: Callable[[], None] | None) -> None:
        self._core.on_change = callback

    def is_quiet(self) -> bool:
        """Read the peer's frames for one turn, and return whether the connection then accepts another exchange."""
        self._core.take_turn()
        return self._core.is_open

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when `capacity` or `is_open` may have changed."""
        self.on_change = callback
        self.stream.watch(self.listen)

    def listen(self) -> None:
        """Handle input. This function is not async, since an event loop that watches its sockets calls it."""
        self._core.on_input()

    async def wait_for_settings(self, deadline: Deadline) -> None:
        """Wait at most `SETTINGS_TIMEOUT` seconds for the peer's SETTINGS, which have its limit of streams.

        Servers send their SETTINGS at once, many of them together with the end of the TLS handshake. If a client does
        not wait, and opens more streams than are allowed, the server refuses these; some servers end the connection.
        """
        await self._pump.wait_for_connection(
            self.inbox(), lambda: self._engine.settings_seen, deadline.within(SETTINGS_TIMEOUT)
        )

    async def is_alive(self, deadline: Deadline) -> bool:
        """Whether the peer is alive. If nothing was received for the ping interval, the peer is sent a PING, and has
        one more interval to answer. If a cancelled exchange has caused a PING, the peer has `LIVENESS_TIMEOUT` seconds
        from that PING."""
        core = self._core
        liveness = core.liveness
        due = liveness.answer_due()
        if due is not None:
            # A cancelled exchange has caused a PING: wait for the answer. Any other input counts as an answer, too.
            left = deadline.within(max(0.0, due - core.now()))
            answered = await self._pump.wait_for_connection(
                self.inbox(), lambda: liveness.unconfirmed_since is None, left
            )
            if not answered and core.now() >= due:  # not if the request's own timeout ended the wait first
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

        If a step is under way, no GOAWAY is sent. That step may be one of this thread, interrupted by the signal
        handler or finaliser that calls this; or one of another thread, in which a finaliser waits for the pool's lock,
        which our caller holds.
        """
        core = self._core
        # The lock is not taken, on purpose: while a step is under way, closing the socket is the only safe action.
        if core.dirty or core.is_inside():
            # The lock may be held by a thread that waits for a lock of our caller: waiting for it could deadlock.
            core.closed = True
            self.stream.close()
            return
        with core.lock, core:
            if not core.closed:
                core.closed = True
                if core.failure is None:
                    # The GOAWAY is sent only as far as the socket has room now: `close` never waits.
                    self._engine.goaway(Code.NO_ERROR)
                    self._outbox.write_nowait()
                core.fail(ReadError("the connection was closed on this side", peer=self.stream.info().peer))
        self.stream.close()

    def abandon(self) -> None:
        """Like `close`, for the child of a fork: there the lock and the roles may be held by threads that exist only in
        the parent."""
        core = self._core
        core.lock = step_lock()  # the old lock may be held for ever
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
            stream.receiver = stream.sender = None  # these waits belong to threads of the parent
            stream.fail(again(error))

    # Methods for an exchange. They never wait, and each change of the engine is one step under the lock.

    def inbox(self) -> Inbox:
        """A new inbox."""
        return Inbox(self._core.election, self._core.liveness)

    @property
    def written(self) -> int:
        """The total of the bytes that were handed to the stream."""
        return self._outbox.written

    def open(self, inbox: Inbox, fields: Headers, data: bytes, *, end: bool, key: bytes = b"") -> bool:
        """Open a stream. If the windows have room for all of `data`, it is queued after the head, with END_STREAM if
        `end`. Otherwise only the head is queued: this returns False, and the caller must send `data` and the end.
        `key` is that of `Sender.request`.

        Raises:
            RemoteProtocolError, ReadError, WriteError: this connection accepts no more requests. `inbox.refused` is
                set.
            LocalProtocolError: the peer does not accept such a request; or a signal handler or finaliser that has
                interrupted a step of this connection calls this.
        """
        core, engine = self._core, self._engine
        if core.is_inside():
            raise LocalProtocolError(REENTERED)
        with core.lock, core:
            self._check_open(inbox)
            # A request whose first byte was never written may be sent again, whatever its method. Queued bytes
            # are written in order, so the first byte of this request is written once `written` exceeds `begins`.
            outbox = self._outbox
            ahead = outbox.written + len(outbox.unsent)
            inbox.begins = ahead + engine.pending
            if not engine.settings_seen:
                inbox.crowded = True  # the limit is not known yet (RFC 9113, 6.5.2): it may be the reason of a refusal
            engine.request(inbox, fields, end=end and not data, key=key)
            if inbox.number >= LAST_STREAM:
                core.spent = core.changed = True
            # A small body is queued with its head, and its last DATA frame has END_STREAM: no empty frame is needed.
            whole = not data or len(data) <= engine.window(inbox)
            if data and whole:
                engine.data(inbox, data, end=end)
            if end and whole:
                inbox.ends = ahead + inbox.queued
                outbox.leaving.append(inbox)
            # With no other stream open, no other task is expected to add bytes to this write. Otherwise the first task
            # that waits writes: thus a hundred requests at once are one write.
            if engine.open_streams == 1:
                core.send_now()
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
        # If all these bytes are written already, `notify` is called now, without the lock: a trace is the user's code.
        outbox.call_marks()

    def put(self, inbox: Inbox, data: memoryview) -> int | None:
        """Queue as much of `data` as may be sent now; return how many bytes, or None if the peer needs no more."""
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
        """Return 1 to `most` bytes of the body, `b""` at its end, or None when none have been received yet. After the
        received bytes, raise the error that ended the body.
        """
        core = self._core
        with core.lock:
            # The received parts come before the error: bytes received before a reset still go to the caller.
            if not inbox.parts:
                if inbox.error is not None:
                    raise inbox.failure()
                return b"" if inbox.ended else None
            with core:  # one step: bytes that are taken but never credited would make the window smaller for ever
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
        """End this exchange on our side: reset its stream, unless both messages are complete. Returns whether the
        connection accepts further exchanges."""
        core = self._core
        if core.is_inside():  # a finaliser runs in the middle of a step: the engine must not be entered twice
            self.dropped.append(inbox)
            return core.is_open
        with core.lock, core:
            core.drop(inbox)
        core.notify()
        return core.is_open

    # Waits of an exchange.

    async def wait_until(self, inbox: Inbox, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until `ready()` holds. Returns False when `timeout` seconds passed first; an event at the very end of
        the timeout still counts.
        """
        return await self._pump.wait_until(inbox, ready, timeout)

    async def push(self, inbox: Inbox, deadline: Deadline, most: float | None = None) -> None:
        """Send the queued bytes, within `most` seconds. It raises the errors of `Pump.push`."""
        await self._pump.push(inbox, deadline, most)

    async def room(self, inbox: Inbox, timeout: float | None, limit: float | None) -> bool:
        """Wait until `put` would return another value than 0. Returns False when `timeout` seconds passed first.
        `limit` is the whole `write_timeout`; `timeout` may be shorter."""
        return await self._pump.room(inbox, lambda: self._has_room(inbox), timeout, limit)

    def _has_room(self, inbox: Inbox) -> bool:
        return inbox.stopped or self._core.broken is not None or self._uploads.may_send(inbox)

    async def settle(self, inbox: Inbox, deadline: Deadline) -> None:
        """Wait until the peer's SETTINGS have been received.

        Raises:
            ReadTimeout: the SETTINGS were not received within `read_timeout` seconds.
        """
        limit = deadline.config.read_timeout
        timeout = deadline.within(limit)
        if not await self._pump.wait_for_connection(inbox, lambda: self._engine.settings_seen, timeout):
            peer = self.stream.info().peer
            raise ReadTimeout(f"the server sent no SETTINGS for {timeout:g} seconds", peer=peer, limit=limit)
