"""The waits of one HTTP/2 connection: a task that waits anyway reads and writes for all, so there is no extra task.

A task that waits and finds no reader reads for all: received frames go into the inboxes, and only tasks whose inbox
has changed are woken. A task that has something to send and finds no writer writes for all. A reader or
writer that ends its wait, for any reason, passes its role on (see `election`); since nothing is awaited after bytes
were received or passed on, it can end at any await without harm. Each task waits with its own timeout, and no role
makes a wait longer.

Reader and writer are two roles, but if a peer reads nothing until we read from it, the writer must read too. So the
writer becomes the reader as well if there is none, and listens for input. If another task reads, the writer only
writes, and checks every `CHECK_INTERVAL` seconds whether that task still reads. A reader checks the writer in the same
way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .._backends.base import PIECE
from .._backends.base import Event as Waiting
from .._deadline import Deadline
from .._errors import HTTPCoreError, NetworkError, ReadTimeout, WriteTimeout
from .dispatch import FRAMES, Dispatch
from .election import Waiter
from .inbox import Inbox

__all__ = ["Pump"]

CHECK_INTERVAL: Final = 0.1
"""Seconds after which a writer that is not the reader checks whether there is still a reader, and vice versa."""

PARTING: Final = 1.0
"""Seconds that a GOAWAY with the reason waits for room, before the connection is closed."""

STALL: Final = 1.0
"""Seconds of an upload's wait for a window after which the connection may count as stuck. A `write_timeout` that ends
the wait earlier counts as well."""


class Pump:
    """The waits of one connection."""

    __slots__ = ("_core", "_election", "_engine", "_outbox", "_stream", "_uploads")

    def __init__(self, core: Dispatch) -> None:
        self._core = core
        self._election = core.election
        self._engine = core.engine
        self._outbox = core.outbox
        self._stream = core.stream
        self._uploads = core.uploads

    async def wait_until(
        self, inbox: Inbox, ready: Callable[[], bool], timeout: float | None, *, sends: bool = False
    ) -> bool:
        """Wait until `ready()` holds, and read and write for all in the meantime if no other task does. Returns False
        when `timeout` seconds passed first; an event at the very end of the timeout still counts.

        Arguments:
            sends: whether the sender of `inbox` waits, and not the receiver.
        """
        core, election = self._core, self._election
        waiter = Waiter()
        ends = None if timeout is None else core.now() + timeout
        left = timeout
        tried = paused = False
        try:
            while True:
                event = None
                # `ready` and the election are under one lock: a change between the two would find no waiter to wake.
                with core.lock:
                    if ready():
                        return True
                    # The timeout is tested after `ready`: an event at its very end still counts.
                    if tried and left is not None and left <= 0:
                        return False
                    if sends:
                        inbox.sender = waiter
                    else:
                        inbox.receiver = waiter
                    # Writing comes before reading: this task may wait for the answer to bytes that are still queued.
                    writes = self._outbox.is_unsent() and election.elect_writer(waiter)
                    if not writes and not election.elect_reader(waiter):
                        event = self._wait(inbox, waiter, sends)
                if writes and not paused and self._engine.open_streams > 1:
                    await core.backend.sleep(0)  # other tasks may now add to this write: one system call for all
                    paused = True
                    continue
                tried = True  # so that a wait of zero seconds reads the input once
                if event is not None:
                    await event.wait(left)
                elif writes:
                    await self._write(waiter, left, ends, ready)
                else:
                    await self._read(left)
                if ends is not None:
                    left = max(0.0, ends - core.now())
        finally:
            try:
                self._release(waiter, inbox)
            except BaseException:  # Ctrl-C: the role must not be lost
                self._release(waiter, inbox)
                raise

    async def wait_for_connection(self, inbox: Inbox, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Like `wait_until`, for events of the whole connection. Also True when the connection has failed."""
        core = self._core
        with core.lock:
            core.settling[inbox] = None  # to be woken: SETTINGS and PING belong to no stream (RFC 9113, 6.5)
        try:
            return await self.wait_until(inbox, lambda: ready() or core.failure is not None, timeout)
        finally:
            try:
                self._forget_settling(inbox)
            except BaseException:  # Ctrl-C
                self._forget_settling(inbox)
                raise

    def _forget_settling(self, inbox: Inbox) -> None:
        with self._core.lock:
            self._core.settling.pop(inbox, None)

    async def push(self, inbox: Inbox, deadline: Deadline, most: float | None = None) -> None:
        """Have the queued bytes sent: write them, unless another task does, or the peer needs no more of the request.

        Arguments:
            most: the limit for the whole wait in seconds. Default None: only the total timeout limits the whole wait.

        Raises:
            WriteTimeout: there was no room for one byte for `write_timeout` seconds, or `most` seconds have passed.
        """
        core, outbox = self._core, self._outbox
        waiter = Waiter()
        limit = deadline.config.write_timeout
        try:
            with core.lock:
                # Another task writes: it sends these bytes too, in order, so there is nothing to wait for.
                if not outbox.is_unsent() or not self._election.elect_writer(waiter):
                    return
                inbox.sender = waiter  # a reset of this stream, or its end, wakes us
            since, written = core.now(), outbox.written
            stop = None if most is None else since + most
            ends = min([end for end in (stop, deadline.ends) if end is not None], default=None)
            left = deadline.within(limit)
            while not (await self._write(waiter, left, ends, inbox.is_unwanted) or inbox.is_unwanted()):
                # `limit` is the time for one byte, of any exchange: a peer that reads slowly is no reason for an error.
                if outbox.written != written:
                    since, written = core.now(), outbox.written
                left = deadline.within(limit)
                if stop is not None and core.now() >= stop:
                    raise WriteTimeout(
                        f"writing took more than {most:g} seconds", peer=self._stream.info().peer, limit=most
                    )
                if limit is not None and left is not None:
                    left = min(left, limit - (core.now() - since))
                    if left <= 0:
                        core.stall()
                        raise WriteTimeout(
                            f"the peer accepted no bytes for {limit:g} seconds",
                            peer=self._stream.info().peer,
                            limit=limit,
                        )
        finally:
            try:
                self._release(waiter, inbox)
            except BaseException:  # Ctrl-C: the role must not be lost
                self._release(waiter, inbox)
                raise

    async def room(self, inbox: Inbox, ready: Callable[[], bool], timeout: float | None, limit: float | None) -> bool:
        """Wait until `ready()`: more of the body can be sent, or no more is needed. Returns False when `timeout`
        seconds passed first. `limit` is the whole `write_timeout`; `timeout` may be shorter.

        A peer that does not refill the connection's window would stop each later upload as well. So would a peer that
        opened no window at all before the timeout. In both cases new requests use other connections from then on.
        """
        core, uploads = self._core, self._uploads
        since, openings = core.now(), uploads.openings
        timed_out = False
        try:
            if await self.wait_until(inbox, ready, timeout, sends=True):
                return True
            timed_out = True
            return False
        finally:
            waited_long = core.now() - since >= STALL or (timed_out and timeout == limit)
            if waited_long and uploads.is_stuck(openings, timed_out=timed_out) and not ready():
                core.stall()

    # Waiting for an event without a role.

    def _wait(self, inbox: Inbox, waiter: Waiter, sends: bool) -> Waiting:
        if sends:
            self._uploads.wait(waiter, inbox)
        return self._election.wait(waiter)

    def _release(self, waiter: Waiter, inbox: Inbox) -> None:
        """Clean up after a wait, however it ended. It may be called again if Ctrl-C has interrupted it."""
        core, outbox, election = self._core, self._outbox, self._election
        with core.lock:
            if inbox.receiver is waiter:
                inbox.receiver = None
            if inbox.sender is waiter:
                inbox.sender = None
                self._uploads.remove(waiter)
                self._uploads.wake_next()
            if outbox.writing is waiter:  # cancelled
                outbox.writing = None
                if outbox.parting:
                    outbox.part()
            # The roles are released last: a task that gets one uses the stream at once, so our call must have ended.
            unsent = outbox.is_unsent()
            election.release(waiter, unsent=unsent)
            # This reader may have left input unread: if no other task reads, the event loop continues with it.
            if core.is_left:
                core.go_on_later()
            if unsent and election.writer is None:  # no task that waits can continue the write
                with core:
                    core.send_now()

    # Reading for all.

    async def _read(self, left: float | None) -> None:
        """Read once, for all."""
        core, engine = self._core, self._engine
        # The pause comes before the read, where a cancellation loses no bytes.
        if engine.unread or engine.frames_read - core.turn >= FRAMES:
            await self._yield_turn()
        quiet = core.liveness.until_ping(core.now)
        limit = self._until_check(left)
        if quiet is not None and (limit is None or quiet < limit):
            limit = quiet
        try:
            data = None if engine.unread else await self._stream.read(PIECE, limit)
            # There is no await from here on: a cancellation would lose received bytes, and with them the framing.
            with core.lock, core:
                core.receive(data)
                if engine.pending or self._outbox.unsent:
                    core.send_now()
            if self._outbox.parting:
                await self._part_in_time(left, reads=True)
        except ReadTimeout:  # `wait_until` checks the clock; here only the ping interval matters
            if quiet is None:
                return
            with core.lock, core:
                core.probe(core.now())
        except NetworkError as error:
            with core.lock:  # no step is needed: nothing can be sent any more, not even for dropped exchanges
                core.fail(error)
        except (KeyboardInterrupt, SystemExit):
            core.interrupted()
            raise
        core.notify()

    def _until_check(self, left: float | None) -> float | None:
        """How many seconds one read may take: `left`, but `CHECK_INTERVAL` at most in two cases. If bytes are unsent,
        the current writer may end before the bytes that we need have been sent. If the stream cannot be woken, it must
        be checked whether our exchange was closed."""
        checks = self._outbox.is_unsent() or not self._stream.can_wake
        return CHECK_INTERVAL if checks and (left is None or left > CHECK_INTERVAL) else left

    async def _yield_turn(self) -> None:
        """After a turn, let the other tasks run before anything is read or written."""
        self._core.turn = self._engine.frames_read
        await self._core.backend.sleep(0)

    # Writing for all.

    async def _write(self, waiter: Waiter, left: float | None, ends: float | None, ready: Callable[[], bool]) -> bool:
        """Write all queued bytes, for all. Returns False when it stopped early, because input was received or because
        time has passed: the caller checks the received frames and the clock.

        Arguments:
            left: seconds to wait for room, counted anew after each progress.
            ends: when to stop in any case, by the clock; None: never.
            ready: the condition for which the caller waits.
        """
        core, outbox, election = self._core, self._outbox, self._election
        if self._engine.unread or self._engine.frames_read - core.turn >= FRAMES:
            await self._yield_turn()
        while True:
            with core.lock, core:
                data = outbox.fill()
                # This is tested under the lock, and the role is released in the same step: another task may queue bytes
                # directly afterwards, and must then find that there is no writer.
                if not outbox.is_unsent():
                    election.writer = None
                    return True
                # The peer may read nothing until we read from it: without a reader the writer must listen for input.
                reads = election.elect_reader(waiter)
                outbox.writing = waiter  # no other task may write now: its bytes would overtake ours
            if ends is not None:  # a peer that accepts single bytes must not make the wait longer
                until_end = max(0.0, ends - core.now())
                left = until_end if left is None else min(left, until_end)
            goes_on = await self._write_once(data, left, reads)
            if outbox.parting:
                await self._part_in_time(left, reads=reads)
            core.notify()
            if not goes_on or ready() or left == 0.0:
                return False

    async def _write_once(self, data: bytes | memoryview, left: float | None, reads: bool) -> bool:
        """Write some of `data`, or the bytes that the stream still holds. Returns False when the time passed, or input
        was received first.

        Arguments:
            reads: whether this task is also the reader, and listens for input.
        """
        core, outbox, stream = self._core, self._outbox, self._stream
        # Without the reader's role this task does not notice that the reader has ended, and a stream that cannot be
        # woken does not end its wait when the exchange is closed. So the caller checks both again after
        # `CHECK_INTERVAL` seconds.
        if not (reads and stream.can_wake) and (left is None or left > CHECK_INTERVAL):
            left = CHECK_INTERVAL
        try:
            count = 0
            if data:
                count = await stream.write_some(data, left, duplex=not reads)
                went_on = count > 0
            else:
                went_on = await stream.flush(left, duplex=not reads)
            with core.lock, core:
                outbox.writing = None
                outbox.wrote(data, count)
                if reads and not count:  # input was received first: the peer may wait for us to read it
                    core.listen()
                self._uploads.wake_next()
            return went_on
        except WriteTimeout:  # nothing was accepted, so `unsent` is unchanged
            outbox.writing = None
            return False
        except NetworkError as error:
            with core.lock:
                outbox.writing = None
                core.break_off(error, listens=reads)
        except (KeyboardInterrupt, SystemExit):
            core.interrupted()
            raise
        return True

    async def _part_in_time(self, left: float | None, *, reads: bool) -> None:
        """Wait for room for the GOAWAY with the reason, at most `PARTING` seconds and at most `left`; then close the
        stream. If another call writes at this moment, that call does all this when it returns.

        Arguments:
            reads: whether this task is also the reader.
        """
        core, outbox, stream = self._core, self._outbox, self._stream
        with core.lock:
            if not outbox.parting or outbox.writing:
                return
            outbox.writing = Waiter()  # a mark that no `_release` removes: it keeps other tasks from writing
        ends = core.now() + (PARTING if left is None else min(PARTING, left))
        try:
            while (left := ends - core.now()) > 0:
                data = outbox.fill()  # the engine is closed: these are the queued bytes, and the GOAWAY after them
                if data:
                    outbox.wrote(data, await stream.write_some(data, left, duplex=True))
                elif stream.owes:
                    await stream.flush(left, duplex=True)
                else:
                    break
            # If a socket is closed with unread input, TCP may discard bytes that the peer has not received yet (RFC
            # 9112, section 9.6, says so for HTTP/1.1 servers).
            if reads:
                self._discard_input()
        except HTTPCoreError:
            pass  # the error that ended the connection is already known
        finally:
            outbox.parting = False
            outbox.writing = None
            stream.close()

    def _discard_input(self) -> None:
        for _ in range(16):
            if not self._stream.take():
                break
