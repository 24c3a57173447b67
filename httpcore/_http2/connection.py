"""HTTP/2 over one stream: many exchanges at once, and no task of its own.

Each exchange has an inbox. Whoever waits for something and finds nobody reading reads for all: what comes goes into the
inboxes, and only those whose inbox got something are woken. Whoever has something to send and finds nobody writing
writes for all. A reader or writer that leaves, for whatever reason, passes its turn on (see `baton`); since nothing is
awaited after bytes were taken or handed over, it can leave at any await and harm nobody. Each waits with its own
patience, which no turn prolongs.

What is plain needs no turn to be waited for: a reset, an acknowledgement or a credit leaves at once if the system has
room for it (`Stream.give`), otherwise with the next write. So closing an exchange never waits.

Reading and writing are two turns, but a writer whose peer reads nothing until it is read from must read too. So it
takes the turn to read if that is free, and heeds input; where somebody else reads it writes only, but looks again every
`LOOK` seconds whether he still does. So does who reads while somebody else writes.

What comes is dealt with in turns of a bounded size (`_listen`, `FRAMES`), with a pause for the other tasks between two
of them: a peer that sends without end has the CPU time that is left over, and no deadline is late. What a turn leaves
is for the next reader, or, on a loop that watches its sockets, for the next turn of the loop.

Memory is bounded: an unread response by its stream's window, which is given back as its owner takes data; the outbox by
`OUTBOX`, beyond which uploads wait; and what answers the peer by the engine.

Everything about frames, streams and windows is the engine's. One plain lock is around it and the inboxes, never held
over an await. A step that Ctrl-C interrupts ends the connection, since nobody knows what the engine has done.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from copy import copy
from types import TracebackType
from typing import Any, Final

from .._backends.base import PIECE, Backend, Stream
from .._backends.base import Event as Waiting
from .._deadline import Deadline
from .._errors import (
    Code,
    GoAway,
    HTTPCoreError,
    LocalProtocolError,
    NetworkError,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    StreamReset,
    WriteTimeout,
)
from .._message.fields import Headers
from .._reentry import REENTERED, step_lock
from .events import (
    BodyReceived,
    Ended,
    Failed,
    HeadReceived,
    HTTP2Engine,
    Malformed,
    Ponged,
    SettingsChanged,
    WasReset,
    WentAway,
    WindowOpened,
)
from .inbox import Inbox
from .liveness import Liveness
from .turns import Baton, Seat

__all__ = ["HTTP2Connection"]

OUTBOX: Final = 131072
"""Bytes that wait to be sent before uploads have to wait; one more piece of at most as many may join them."""

FRAMES: Final = 512
"""Frames that are read in one turn, then the other tasks have theirs: about 3 ms. A full read of 512 KiB has 32 frames
of 16 KiB, so a download takes no pause for this."""

LOOK: Final = 0.1
"""Seconds after which a writer that must not read looks whether somebody else still does, and the other way round."""

PARTING: Final = 1.0
"""Seconds that a GOAWAY with the reason waits for room to leave, before the connection is closed."""

STALL: Final = 1.0
"""Seconds that an upload waited for a window in vain, after which the connection may be taken to be stuck. A
`write_timeout` that is shorter counts as well."""

GREETING: Final = 1.0
"""Seconds that a new connection waits for the peer's SETTINGS before its first exchange begins."""

LAST_STREAM: Final = 2**31 - 1


class HTTP2Connection:
    """A stream and the engine that speaks HTTP/2 over it, shared by any number of exchanges.

    Attributes:
        ping_interval: seconds of quiet after which the peer is asked whether it is there. It has as long to answer.
        on_change: called, with no lock held, when `capacity` or `is_open` may have changed. Default None.
        dropped: inboxes whose exchanges were dropped; dealt with by whoever comes next. Finalisers only append.
    """

    protocol: Final = "HTTP/2"
    is_shared = True

    __slots__ = (
        "_away",
        "_baton",
        "_behind",
        "_broken",
        "_changed",
        "_closed",
        "_due",
        "_engine",
        "_failure",
        "_for_room",
        "_for_window",
        "_inboxes",
        "_liveness",
        "_lock",
        "_lost",
        "_now",
        "_openings",
        "_parting",
        "_settling",
        "_spent",
        "_stalled",
        "_torn",
        "_tries",
        "_turn",
        "_unsent",
        "_writing",
        "_written",
        "backend",
        "dropped",
        "on_change",
        "stream",
    )

    def __init__(
        self, stream: Stream, engine: HTTP2Engine, backend: Backend, ping_interval: float | None = None
    ) -> None:
        self.stream = stream
        self.backend = backend
        self.on_change: Callable[[], None] | None = None
        self.dropped: deque[Inbox] = deque()
        self._engine = engine
        self._now = backend.now
        self._lock = step_lock()
        self._baton = Baton(backend.event)
        self._inboxes: dict[int, Inbox] = {}
        self._settling: dict[Inbox, None] = {}  # those who wait for the peer's SETTINGS, or its answer to PING
        self._unsent: bytes | memoryview = b""  # taken from the engine and not yet from us
        self._written = 0  # bytes, in all
        self._writing: Seat | None = None  # whose call of the stream has `_unsent`: no other may send
        self._parting = False  # only a GOAWAY is left to be sent, then the stream is closed
        self._for_room: OrderedDict[Seat, Inbox] = OrderedDict()  # who has a window, but the outbox is full
        self._for_window: OrderedDict[Seat, Inbox] = OrderedDict()
        self._tries = 0  # how many of the latter are to look again
        self._away: WentAway | None = None
        self._openings = 0  # how often the peer has opened a window
        self._turn = 0  # the engine's `frames_read` when other tasks had their turn last
        self._behind = False  # the last turn of `_listen` left something
        self._due = False  # the loop will call `_listen_on`
        self._spent = False  # no stream ids are left
        self._stalled = False  # the peer takes no uploads
        self._broken: HTTPCoreError | None = None  # nothing can be sent any more
        self._failure: HTTPCoreError | None = None  # nor received
        self._liveness = Liveness(self._now(), ping_interval)
        self._lost = False  # the peer did not say that it is there
        self._closed = False
        self._changed = False
        self._torn = False  # a step runs, or was interrupted
        engine.start()

    @property
    def engine(self) -> str:
        return self._engine.name

    @property
    def capacity(self) -> int:
        """How many exchanges there may be at once."""
        return self._engine.max_streams

    @property
    def is_open(self) -> bool:
        """It takes further exchanges."""
        return not (self._failure or self._broken or self._away or self._spent or self._lost or self._stalled)

    @property
    def is_doubtful(self) -> bool:
        """The peer is to show that it is there before another exchange begins: see `is_alive`."""
        liveness = self._liveness
        return liveness.asked is not None or (liveness.interval is not None and liveness.is_silent(self._now()))

    def is_quiet(self) -> bool:
        """It takes another exchange, after a look at what the peer has sent meanwhile: one turn of `_listen`."""
        self._take_turn()
        return self.is_open

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when `capacity` or `is_open` may have changed."""
        self.on_change = callback
        self.stream.watch(self.listen)

    def listen(self) -> None:
        """Input is here. Plain: a loop that watches its sockets calls this."""
        if not self._due:
            self._take_turn()

    def _listen_on(self) -> None:
        """The turn after one that has left something."""
        self._due = False
        self._take_turn()

    def _take_turn(self) -> None:
        """Read and answer what is here, for one turn, unless there is a reader."""
        if self._is_inside():
            return
        with self._lock, self:
            if self._baton.reader is None:
                self._listen()
                self._send_now()
                if self._parting and not self._writing:  # there is no room, and here is no way to wait for it
                    self._part()
                self._go_on_later()
        self._tell()

    def close(self) -> None:
        """Leave, now. Exchanges that are under way end with an error.

        While a step is made there is no goodbye. It may be this thread's own, which a signal handler or a finaliser has
        interrupted; or that of a thread whose finaliser waits for the pool's lock, which the caller holds.
        """
        if self._torn or self._is_inside():
            self._closed = True
            self.stream.close()
            return
        with self._lock, self:
            if not self._closed:
                self._closed = True
                if self._failure is None:
                    self._engine.goaway(Code.NO_ERROR)
                    self._give()
                self._fail(ReadError("the connection was closed on this side", peer=self.stream.info().peer))
        self.stream.close()

    def abandon(self) -> None:
        """As `close`, in the child of a fork, where the lock and the turns may be held by threads that do not exist."""
        self._lock = step_lock()
        self._baton = Baton(self.backend.event)
        self._torn = False
        self._closed = True
        self.stream.abandon()
        error = self._failure = ReadError("this connection was made before a fork", peer=self.stream.info().peer)
        for inbox in self._inboxes.values():
            inbox.fail(_again(error))
        self._inboxes.clear()

    def _is_inside(self) -> bool:
        """This thread is in the middle of a step, which a signal handler, finaliser or weakref callback interrupted."""
        return self._lock._is_owned()

    # What an exchange asks for. Plain, each one step under the lock.

    def open(self, inbox: Inbox, fields: Headers, data: bytes, *, end: bool) -> bool:
        """Open a stream. `data` goes with the head, and `end` after it, if the windows have room for all of it; False
        when they have not, and it is for the caller to send.

        Raises:
            RemoteProtocolError, ReadError, WriteError: this connection takes no more. `inbox.refused` is set.
            LocalProtocolError: the peer does not take such a request.
        """
        if self._is_inside():
            raise LocalProtocolError(REENTERED)
        with self._lock, self:
            engine = self._engine
            self._check_open(inbox)
            inbox.begins = self._written + self._pending()
            inbox.crowded = not engine.settings_seen  # it has not said yet how many streams it allows
            number = engine.request(fields, end=end and not data)
            inbox.number = number
            self._inboxes[number] = inbox
            if number >= LAST_STREAM:
                self._spent = self._changed = True
            whole = not data or len(data) <= engine.window(number)
            if data and whole:
                engine.data(number, data, end=end)
            inbox.sent_all = whole and end
            if len(self._inboxes) == 1:  # others may have something to send in a moment: then in one write
                self._send_now()
            return whole

    def put(self, inbox: Inbox, data: memoryview) -> int | None:
        """Queue as much of `data` as may be sent now; tell how many bytes. None: no more of it is wanted."""
        with self._lock, self:
            if inbox.stopped or self._broken is not None:
                return None
            size = 0
            if self._pending() < OUTBOX:
                size = min(len(data), self._engine.window(inbox.number), OUTBOX)
                if size:
                    self._engine.data(inbox.number, data[:size], end=False)
                    self._call_a_sender()
            return size

    def finish(self, inbox: Inbox, trailers: Headers) -> None:
        """The request is complete."""
        with self._lock, self:
            if not inbox.stopped:
                if trailers:
                    self._engine.trailers(inbox.number, trailers)
                else:
                    self._engine.data(inbox.number, b"", end=True)
                inbox.sent_all = inbox.stopped = True
                if inbox.ended:
                    self._inboxes.pop(inbox.number, None)

    def may_send(self, inbox: Inbox) -> bool:
        """`put` has something to say."""
        if inbox.stopped or self._broken is not None:
            return True
        return self._pending() < OUTBOX and self._engine.window(inbox.number) > 0

    def take(self, inbox: Inbox, most: int) -> bytes | None:
        """Bytes of the body, `b""` at its end, None when there are none yet; raises what ended it otherwise."""
        with self._lock:
            if not inbox.parts:
                if inbox.error is not None:
                    raise inbox.failure()
                return b"" if inbox.ended else None
            with self:
                data = inbox.take(most)
                self._credit(inbox.number, len(data))
                return data

    def take_all(self, inbox: Inbox) -> bytes:
        """The rest of a body that has ended."""
        if not inbox.held:
            return b""
        with self._lock, self:
            held = inbox.held
            data = inbox.take_all()
            self._credit(inbox.number, held)
            return data

    def drop(self, inbox: Inbox) -> bool:
        """Nobody wants this exchange any more: reset its stream, unless it is complete. Tells whether the connection is
        still open."""
        if self._is_inside():
            self.dropped.append(inbox)
            return self.is_open
        with self._lock, self:
            self._drop(inbox)
            self._send_now()
        self._tell()
        return self.is_open

    # What an exchange waits for.

    async def push(self, inbox: Inbox, deadline: Deadline) -> None:
        """See that what is queued leaves: write it, unless somebody else does, or no more of the request is wanted.

        Raises:
            WriteTimeout: there was no room for one byte for `write_timeout` seconds.
        """
        seat = Seat()
        limit = deadline.config.write_timeout
        try:
            with self._lock:
                if not self._unsent_is() or not self._baton.may_write(seat):
                    return
                inbox.sender = seat
            since, written = self._now(), self._written
            left = deadline.within(limit)
            while not (await self._write(seat, left, None, inbox.is_stopped) or inbox.stopped):
                if self._written != written:
                    since, written = self._now(), self._written
                left = deadline.within(limit)
                if limit is not None and left is not None:
                    left = min(left, limit - (self._now() - since))
                    if left <= 0:
                        self._stall()
                        raise WriteTimeout(
                            f"no room to write for {limit:g} seconds", peer=self.stream.info().peer, limit=limit
                        )
        finally:
            try:
                self._leave(seat, inbox)
            except BaseException:  # Ctrl-C: the turn must not be lost
                self._leave(seat, inbox)
                raise

    async def room(self, inbox: Inbox, patience: float | None, limit: float | None) -> bool:
        """Wait until `put` has something to say. False when `patience` seconds passed first; `limit` would be the most.

        A peer that has let the connection's window run out would stop each later upload as well, and so would one that
        opened no window at all until the time was up: after that, other connections are for new requests.
        """
        since, openings = self._now(), self._openings
        timed_out = False
        try:
            if await self.attend(inbox, lambda: self.may_send(inbox), patience, sends=True):
                return True
            timed_out = True
            return False
        finally:
            waited_long = self._now() - since >= STALL or (timed_out and patience == limit)
            is_stuck = not self._engine.connection_window or (timed_out and self._openings == openings)
            if waited_long and is_stuck and not self.may_send(inbox):
                self._stall()

    def _stall(self) -> None:
        if self.is_open:
            self._stalled = self._changed = True
            self._tell()

    async def greet(self, deadline: Deadline) -> None:
        """Wait a moment until the peer has said, in its SETTINGS, how many streams it allows.

        Servers send them at once, many together with the end of the TLS handshake. Whoever opens more streams than are
        allowed, because he did not wait, has them refused, and some servers end the connection.
        """
        await self._attend_all(Inbox(), lambda: self._engine.settings_seen, deadline.within(GREETING))

    async def settle(self, inbox: Inbox, deadline: Deadline) -> None:
        """Wait until the peer has sent its SETTINGS.

        Raises:
            ReadTimeout: it has not, for `read_timeout` seconds.
        """
        limit = deadline.config.read_timeout
        patience = deadline.within(limit)
        if not await self._attend_all(inbox, lambda: self._engine.settings_seen, patience):
            peer = self.stream.info().peer
            raise ReadTimeout(f"the server sent no SETTINGS for {patience:g} seconds", peer=peer, limit=limit)

    async def is_alive(self, deadline: Deadline) -> bool:
        """Whether the peer is there. When it has been quiet for the ping interval it is asked, and has as long to
        answer. When it was asked since an exchange was given up it has a moment."""
        liveness = self._liveness
        due = liveness.answer_due()
        if due is not None:
            left = max(0.0, due - self._now())
            heard = await self._attend_all(Inbox(), lambda: liveness.asked is None, deadline.within(left))
            if not heard and self._now() >= due:
                self._lost = self._changed = True
                self._tell()
                return False
        now = self._now()
        if not liveness.is_silent(now):
            return self.is_open
        with self._lock, self:
            self._probe(now)
        await self._attend_all(Inbox(), lambda: liveness.heard >= now, deadline.within(None))
        return self.is_open

    async def _attend_all(self, inbox: Inbox, ready: Callable[[], bool], patience: float | None) -> bool:
        """As `attend`, for what concerns the whole connection. True also when that has failed."""
        with self._lock:
            self._settling[inbox] = None
        try:
            return await self.attend(inbox, lambda: ready() or self._failure is not None, patience)
        finally:
            try:
                self._settled(inbox)
            except BaseException:  # Ctrl-C
                self._settled(inbox)
                raise

    def _settled(self, inbox: Inbox) -> None:
        with self._lock:
            self._settling.pop(inbox, None)

    async def attend(
        self, inbox: Inbox, ready: Callable[[], bool], patience: float | None, *, sends: bool = False
    ) -> bool:
        """Wait until `ready()` holds, reading and writing for all meanwhile where nobody else does. False when
        `patience` seconds passed first; what is here then wins.

        Arguments:
            sends: it is the sender of `inbox` who waits, not the receiver.
        """
        seat = Seat()
        baton = self._baton
        ends = None if patience is None else self._now() + patience
        left = patience
        tried = paused = False
        try:
            while True:
                event = None
                with self._lock:
                    if ready():
                        return True
                    if tried and left is not None and left <= 0:
                        return False
                    if sends:
                        inbox.sender = seat
                    else:
                        inbox.receiver = seat
                    writes = self._unsent_is() and baton.may_write(seat)
                    if not writes and not baton.may_read(seat):
                        event = self._wait(inbox, seat, sends)
                if writes and not paused and len(self._inboxes) > 1:
                    await self.backend.sleep(0)  # those who run after us add to the same write
                    paused = True
                    continue
                tried = True
                if event is not None:
                    await event.wait(left)
                elif writes:
                    await self._write(seat, left, ends, ready)
                else:
                    await self._read(left)
                if ends is not None:
                    left = max(0.0, ends - self._now())
        finally:
            try:
                self._leave(seat, inbox)
            except BaseException:  # Ctrl-C: the turn must not be lost
                self._leave(seat, inbox)
                raise

    def _until_look(self, left: float | None) -> float | None:
        """How long to read for, of `left` seconds: who writes now may leave before what we need has been sent. And what
        cannot be woken looks whether its exchange was closed."""
        looks = self._unsent_is() or not self.stream.can_wake
        return LOOK if looks and (left is None or left > LOOK) else left

    def _wait(self, inbox: Inbox, seat: Seat, sends: bool) -> Waiting:
        if sends:
            self._call_a_sender()
            queue = self._for_room if self._engine.window(inbox.number) else self._for_window
            queue[seat] = inbox
        return self._baton.wait(seat)

    def _leave(self, seat: Seat, inbox: Inbox | None = None) -> None:
        with self._lock:
            if inbox is not None:
                self._for_room.pop(seat, None)
                self._for_window.pop(seat, None)
                if inbox.receiver is seat:
                    inbox.receiver = None
                if inbox.sender is seat:
                    inbox.sender = None
                    self._call_a_sender()
            if self._writing is seat:  # cancelled
                self._writing = None
                if self._parting:
                    self._part()
            unsent = self._unsent_is()
            self._baton.leave(seat, unsent=unsent)
            if self._behind or self._engine.unread:
                self._go_on_later()
            if unsent and self._baton.writer is None:  # nobody waits who could go on with it
                with self:
                    self._send_now()

    async def _read(self, left: float | None) -> None:
        """Read once, for all."""
        if self._engine.unread or self._engine.frames_read - self._turn >= FRAMES:
            await self._give_turn()
        quiet = self._liveness.until_ping(self._now)
        limit = self._until_look(left)
        if quiet is not None and (limit is None or quiet < limit):
            limit = quiet
        try:
            data = None if self._engine.unread else await self.stream.read(PIECE, limit)
            with self._lock, self:
                self._hear(data)
                if self._engine.owed or self._unsent:
                    self._send_now()
            if self._parting:
                await self._part_in_time(left, reads=True)
        except ReadTimeout:  # whoever waits looks at the clock
            if quiet is None:
                return
            with self._lock, self:
                self._probe(self._now())
        except NetworkError as error:
            with self._lock:
                self._fail(error)
        except (KeyboardInterrupt, SystemExit):
            self._interrupted()
            raise
        self._tell()

    async def _give_turn(self) -> None:
        """A turn is over: let the others run, before anything is read or written."""
        self._turn = self._engine.frames_read
        await self.backend.sleep(0)

    async def _write(self, seat: Seat, left: float | None, ends: float | None, ready: Callable[[], bool]) -> bool:
        """Write all that is queued, for all. False when it was left before the end, for input or for time: the caller
        looks at the clock, and at what has come.

        Arguments:
            left: seconds to wait for room, again after each progress.
            ends: when that is over all the same; None: never.
            ready: what the caller really waits for.
        """
        if self._engine.unread or self._engine.frames_read - self._turn >= FRAMES:
            await self._give_turn()
        while True:
            with self._lock, self:
                data = self._unsent = self._unsent or self._engine.take()
                if not self._unsent_is():
                    self._baton.writer = None
                    return True
                reads = self._baton.may_read(seat)
                self._writing = seat
            if ends is not None:
                left = max(0.0, ends - self._now())
            goes_on = await self._write_once(data, left, reads)
            if self._parting:
                await self._part_in_time(left, reads=reads)
            self._tell()
            if not goes_on or ready() or left == 0.0:
                return False

    async def _write_once(self, data: bytes | memoryview, left: float | None, reads: bool) -> bool:
        """Write some of `data`, or what the stream still owes; False when time was up, or input came first.

        Arguments:
            reads: we have the turn to read, too, and heed input.
        """
        if not (reads and self.stream.can_wake) and (left is None or left > LOOK):
            left = LOOK
        try:
            count = 0
            if data:
                count = await self.stream.write_some(data, left, duplex=not reads)
                went_on = count > 0
            else:
                went_on = await self.stream.flush(left, duplex=not reads)
            with self._lock, self:
                self._writing = None
                self._wrote(data, count)
                if reads and not count:
                    self._listen()
                self._call_a_sender()
            return went_on
        except WriteTimeout:
            self._writing = None
            return False
        except NetworkError as error:
            with self._lock:
                self._writing = None
                self._break(error, listens=reads)
        except (KeyboardInterrupt, SystemExit):
            self._interrupted()
            raise
        return True

    async def _part_in_time(self, left: float | None, *, reads: bool) -> None:
        """Wait for room for the GOAWAY with the reason, up to `PARTING` of `left` seconds; then close. A call that
        writes at this moment does so when it returns.

        Arguments:
            reads: we have the turn to read, too.
        """
        with self._lock:
            if not self._parting or self._writing:
                return
            self._writing = Seat()
        ends = self._now() + (PARTING if left is None else min(PARTING, left))
        try:
            while (left := ends - self._now()) > 0:
                data = self._unsent = self._unsent or self._engine.take()
                if data:
                    self._wrote(data, await self.stream.write_some(data, left, duplex=True))
                elif self.stream.owes:
                    await self.stream.flush(left, duplex=True)
                else:
                    break
            if reads:  # closed with input unread, TCP would throw away what the peer has not received yet
                self._throw_away()
        except HTTPCoreError:
            pass  # why it ends is known
        finally:
            self._parting = False
            self._writing = None
            self.stream.close()

    def _throw_away(self) -> None:
        for _ in range(16):
            if not self.stream.take():
                break

    # Under the lock from here on, but for `_tell`.

    def __enter__(self) -> None:
        """Begin a step, inside the lock: what it does to the engine and the inboxes is done whole, or is the end."""
        if self._torn:
            self._fail(self._in_use())
        self._torn = True
        while self.dropped:
            self._drop(self.dropped.popleft())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None and not issubclass(kind, HTTPCoreError):  # Ctrl-C, or a fault of ours
            self._fail(self._in_use())
        self._torn = False

    def _in_use(self) -> ReadError:
        return ReadError("the connection was in use when Ctrl-C or a fault came", peer=self.stream.info().peer)

    def _interrupted(self) -> None:
        """Ctrl-C came while bytes were on their way: nobody knows whether they were taken."""
        with self._lock:
            self._writing = None
            self._parting = False
            self._fail(self._in_use())
        self._tell()

    def _tell(self) -> None:
        if self._changed:
            self._changed = False
            if self.on_change is not None:
                self.on_change()

    def _check_open(self, inbox: Inbox) -> None:
        engine = self._engine
        if self.is_open and engine.open_streams < engine.max_streams:
            return
        inbox.refused = True
        inbox.crowded = self.is_open
        cause = self._failure or self._broken
        if cause is not None:
            raise _again(cause)
        if self._away is not None:
            raise self._went_away()
        if self._stalled:
            why = "takes no more: its peer stopped an upload"
        else:
            why = "has no more stream ids" if self._spent else f"takes {engine.max_streams} requests at once"
        raise RemoteProtocolError(f"this HTTP/2 connection {why}", peer=self.stream.info().peer)

    def _pending(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._unsent) + self._engine.owed

    def _unsent_is(self) -> bool:
        """There is something to write."""
        if self._failure is not None or self._broken is not None:
            return False
        return bool(self._unsent) or self._engine.owed > 0 or self.stream.owes

    def _send_now(self) -> None:
        """Send what is queued as far as there is room, unless somebody is at it; leave the rest to one who waits."""
        if self._baton.writer is None and self._broken is None and self._failure is None:
            self._give()
            self._call_a_sender()
        self._baton.pass_on(unsent=self._unsent_is())

    def _give(self) -> None:
        """Hand over what is queued as far as there is room, unless a call of the stream has it."""
        while not self._writing and (data := self._unsent or self._engine.take()):
            count = self.stream.give(data)
            self._wrote(data, count)
            if not count:
                break

    def _wrote(self, data: bytes | memoryview, count: int) -> None:
        self._written += count
        self._unsent = b"" if count == len(data) else memoryview(data)[count:] if count else data

    def _call_a_sender(self) -> None:
        """One of those who wait to send looks again. He calls the next when he has sent, or when he cannot."""
        if self._for_room and self._pending() < OUTBOX:
            self._baton.call(self._for_room.popitem(last=False)[0])
            return
        while self._tries and self._for_window and self._engine.connection_window > 0:
            self._tries -= 1
            seat, inbox = self._for_window.popitem(last=False)
            if inbox.stopped or self._engine.window(inbox.number):
                self._baton.call(seat)
                return
            self._for_window[seat] = inbox  # its own window is closed: to wake it would be for nothing

    def _credit(self, number: int, size: int) -> None:
        engine = self._engine
        engine.consumed(number, size)
        if engine.owed and self._baton.writer is None:
            self._send_now()

    def _call(self, inbox: Inbox) -> None:
        """Wake whoever waits for news of this one."""
        if inbox.receiver is not None:
            self._baton.call(inbox.receiver)
        if inbox.sender is not None:
            self._baton.call(inbox.sender)

    def _drop(self, inbox: Inbox) -> None:
        number = inbox.number
        if number and self._inboxes.pop(number, None) is not None:
            self._engine.reset(number, Code.CANCEL)
            if self._liveness.doubt(self._now()):
                self._engine.ping(b"httpcore")
        if inbox.held:
            held, inbox.held = inbox.held, 0
            inbox.parts.clear()
            self._engine.consumed(number, held)
        inbox.fail(ReadError("this exchange was closed on this side", peer=self.stream.info().peer))
        self._call(inbox)
        for seat in (inbox.receiver, inbox.sender):
            # It reads or writes for all at this moment: it waits for the socket, and not for its event.
            if seat is not None and (seat is self._baton.reader or seat is self._baton.writer):
                self.stream.wake()

    # What comes in.

    def _listen(self) -> None:
        """Take what is here, for one turn; only while we have the turn to read, or there is no reader."""
        engine = self._engine
        last = engine.frames_read + FRAMES
        size = 0
        self._behind = False
        for _ in range(FRAMES):  # however little comes each time
            try:
                data = None if engine.unread else self.stream.take()
            except NetworkError as error:
                self._fail(error)
                return
            if data is None and not engine.unread:
                return
            self._hear(data)
            size += len(data or b"")
            if self._failure is not None:
                return
            if engine.frames_read >= last or size >= PIECE:
                break
        self._behind = True

    def _go_on_later(self) -> None:
        """See that the loop goes on with what a turn has left, if there is no reader and the loop watches sockets."""
        is_left = self._behind or self._engine.unread
        if is_left and not self._due and self._failure is None and self._baton.reader is None:
            self._due = self.backend.call_soon(self._listen_on)

    def _hear(self, data: bytes | None) -> None:
        """Deal with what came: with about `FRAMES` frames of it. None: with what the engine has left unread."""
        if self._failure is not None:
            return
        if data is None:
            data = b""
        elif not data:
            peer = self.stream.info().peer
            self._fail(RemoteProtocolError("the server closed the HTTP/2 connection", peer=peer))
            return
        now = self._now()
        self._liveness.hear(now)
        for event in self._engine.receive(data, now, FRAMES):
            _HEARD[type(event)](self, event)

    def _on_head(self, event: HeadReceived) -> None:
        inbox = self._inboxes.get(event.stream)
        if inbox is None:
            return
        inbox.started = True
        if event.head.status < 200:
            inbox.interims.append(event.head)
        else:
            inbox.head = event.head
            if inbox.tunnel and not 200 <= event.head.status < 300:
                inbox.two_way = False
            if event.head.status >= 400 and not inbox.two_way:
                inbox.stopped = True
        self._call(inbox)

    def _on_body(self, event: BodyReceived) -> None:
        inbox = self._inboxes.get(event.stream)
        if inbox is None:
            self._engine.consumed(event.stream, len(event.data))
            return
        inbox.add(event.data)
        if inbox.receiver is not None:
            self._baton.call(inbox.receiver)

    def _on_ended(self, event: Ended) -> None:
        inbox = self._inboxes.get(event.stream)
        if inbox is None:
            return
        inbox.trailers = event.trailers  # first: after Ctrl-C, what has ended is taken for whole
        inbox.ended = True
        if inbox.sent_all or not inbox.two_way:
            del self._inboxes[event.stream]
            if not inbox.sent_all:  # an early answer: what it needs of the request it has (RFC 9113, 8.1)
                inbox.stopped = True
                self._engine.reset(event.stream, Code.NO_ERROR)
        self._call(inbox)

    def _on_reset(self, event: WasReset) -> None:
        inbox = self._inboxes.pop(event.stream, None)
        if inbox is not None:
            inbox.started = True
            error = StreamReset(event.code, peer=self.stream.info().peer)
            inbox.fail(error, refused=event.code == Code.REFUSED_STREAM)
            self._call(inbox)

    def _on_malformed(self, event: Malformed) -> None:
        inbox = self._inboxes.pop(event.stream, None)
        if inbox is not None:
            inbox.started = True
            inbox.fail(event.error)
            self._call(inbox)

    def _on_away(self, event: WentAway) -> None:
        self._away = event
        self._changed = True
        for number in [number for number in self._inboxes if number > event.last_stream]:
            inbox = self._inboxes.pop(number)
            inbox.fail(self._went_away(), refused=True)
            self._call(inbox)

    def _on_settings(self, event: SettingsChanged) -> None:
        self._changed = True
        for inbox in self._settling:
            self._call(inbox)

    def _on_window(self, event: WindowOpened) -> None:
        self._openings += 1
        if event.stream:
            inbox = self._inboxes.get(event.stream)
            if inbox is not None and inbox.sender is not None:
                self._for_window.pop(inbox.sender, None)
                self._baton.call(inbox.sender)
        else:
            self._tries = len(self._for_window)
            self._call_a_sender()

    def _on_pong(self, event: Ponged) -> None:
        for inbox in self._settling:
            self._call(inbox)

    def _on_failed(self, event: Failed) -> None:
        self._parting = True  # until the GOAWAY that says why has left
        self._fail(event.error, fault=True)
        self._give()
        if not (self._writing or self._unsent or self._engine.owed or self.stream.owes):
            self._part()

    def _part(self) -> None:
        self._parting = False
        self.stream.close()

    # Whether the peer is there.

    def _probe(self, now: float) -> None:
        """Ask, or give up, if it is time to."""
        liveness = self._liveness
        if not liveness.is_ping_due(now):
            return
        if liveness.is_unanswered:
            peer = self.stream.info().peer
            self._fail(ReadError(f"the server did not answer a PING for {liveness.interval:g} seconds", peer=peer))
        else:
            liveness.pinged = now
            self._engine.ping(b"httpcore")
            self._send_now()

    # How it ends.

    def _fail(self, error: HTTPCoreError, *, fault: bool = False) -> None:
        """Nothing more comes: the connection is over, and so is every exchange without a complete response. If the peer
        had said that it would go, that is the reason, unless it has broken the rules since."""
        if self._failure is None:
            self._failure = error
            self._changed = True
        for inbox in [*self._inboxes.values(), *self._settling]:
            inbox.fail(_again(error) if fault or self._away is None else self._went_away())
            self._call(inbox)
        self._inboxes.clear()
        if not self._parting:
            self.stream.close()  # a call that reads or writes at this moment ends now

    def _break(self, error: HTTPCoreError, *, listens: bool) -> None:
        """A write failed. What the peer had sent before is here, for us or for the reader."""
        self._broken = error
        self._changed = True
        if listens:
            self._listen()
            if not self._behind:  # else it is read first, and then reading tells the end
                self._fail(error)

    def _went_away(self) -> GoAway:
        away = self._away
        assert away is not None
        return GoAway(away.code, away.last_stream, away.debug, peer=self.stream.info().peer)


def _again(error: HTTPCoreError) -> HTTPCoreError:
    """The same error for another exchange: each adds facts of its own."""
    same = copy(error)
    same.__cause__ = error
    return same


_HEARD: dict[type, Callable[[HTTP2Connection, Any], None]] = {
    HeadReceived: HTTP2Connection._on_head,
    BodyReceived: HTTP2Connection._on_body,
    Ended: HTTP2Connection._on_ended,
    WasReset: HTTP2Connection._on_reset,
    Malformed: HTTP2Connection._on_malformed,
    WentAway: HTTP2Connection._on_away,
    SettingsChanged: HTTP2Connection._on_settings,
    WindowOpened: HTTP2Connection._on_window,
    Ponged: HTTP2Connection._on_pong,
    Failed: HTTP2Connection._on_failed,
}
