"""A scheduler of coroutines with a virtual clock: no thread, no event loop, no real time.

One task runs at a time, until it waits. When no task can run, the clock jumps to the next timer; when there is no timer
either, `Deadlock` is raised, and its message names the wait of each task. A run is a function of its seed, so a
schedule that fails can be repeated.

`Scheduler.wait_until` is the only place where a task suspends. All code on the scheduler (the network, events) waits
through it, with a `Condition` that is notified when something has changed.
"""

from __future__ import annotations

import heapq
import random
import threading
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import coroutine
from typing import Generic, TypeVar, cast

from .._backends.base import Interrupt

__all__ = ["Cancelled", "Condition", "Deadlock", "Scheduler", "Task", "Timer", "running_scheduler"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_TURNS = 1_000_000
_here = threading.local()  # code in another thread must not find this thread's scheduler


def running_scheduler() -> Scheduler | None:
    """The scheduler that runs in this thread, if one does."""
    return getattr(_here, "scheduler", None)


class Cancelled(BaseException):
    """Thrown into a task by `Task.cancel`, at its current await."""


class Deadlock(AssertionError):
    """No task can run and no timer is left, or the run has not ended after a million turns. The message names the wait
    of each task.
    """


@coroutine
def _pause(what: str) -> Generator[str, None, None]:
    yield what


class Task(Generic[T_co]):
    """One coroutine that the scheduler runs. `Scheduler.spawn` makes it.

    Attributes:
        name: as given to `spawn`.
        done: it returned or raised.
        cancelled: it ended with the `Cancelled` that `cancel` threw.
        suspensions: how many times it has waited so far.
        waiting_for: a text that names its current or last wait.
        lingered: its waits after it was cancelled. Clean-up that never awaits leaves this empty.
    """

    def __init__(self, scheduler: Scheduler, coro: Coroutine[object, None, T_co], name: str) -> None:
        self.name = name
        self.done: bool = False
        self.cancelled: bool = False
        self.suspensions = 0
        self.waiting_for = "its first turn"
        self.lingered: list[str] = []
        self._scheduler = scheduler
        self._coro = coro
        self._queued = False  # it is in the queue of the tasks that can run
        self._cancel = False  # its next turn begins with Cancelled
        self._struck = False  # Cancelled was thrown into it
        self._seen = False  # the test looked at how it ended, so its failure is not reported a second time
        self._interrupt: tuple[Interrupt, Condition] | None = None  # ends its waits, see `Scheduler.interruptible`
        self._value: object = None
        self._error: BaseException | None = None
        self._ended = Condition(scheduler)

    def cancel(self) -> bool:
        """Throw `Cancelled` at the current await of the task, at its next turn. Returns False when the task is done
        already.

        The event that the task waits for may happen before that turn; the task is cancelled nevertheless. A task that
        then ends in any other way than with `Cancelled` has swallowed the cancellation, and `Scheduler.run` raises
        `AssertionError`.
        """
        if self.done:
            return False
        self._cancel = True
        # A task that cancels itself gets `Cancelled` at its next await, as in asyncio and trio.
        if self is not self._scheduler._running:
            self._scheduler._wake(self)
        return True

    @property
    def error(self) -> BaseException | None:
        """The exception that ended it, or None."""
        self._seen = True
        return self._error

    def result(self) -> T_co:
        """Its return value; raises the exception that ended it, and `RuntimeError` while it runs."""
        if not self.done:
            raise RuntimeError(f"{self.name} is not done: it waits for {self.waiting_for}")
        if self.error is not None:
            raise self.error
        return cast(T_co, self._value)

    async def wait(self) -> None:
        """Wait until it is done, however it ends."""
        await self._scheduler.wait_until(lambda: self.done, f"the end of {self.name}", None, self._ended)

    def _finish(self, value: object, error: BaseException | None) -> None:
        self.done, self._value, self._error = True, value, error
        self.cancelled = self._struck and isinstance(error, Cancelled)
        self._ended.notify()


class Condition:
    """The tasks that wait for one thing to change. See `Scheduler.wait_until`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: dict[Task[object], Callable[[], bool]] = {}

    def notify(self) -> None:
        """Notify of a change: each waiting task whose condition holds now gets a turn. Never waits."""
        for task, ready in self._waiting.items():
            # The running task may still be registered here, if a strike before its turn calls this. It continues
            # anyway.
            if task is not self._scheduler._running and ready():
                self._scheduler._wake(task)


class Timer:
    """A call that `Scheduler.call_at` has planned."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Cancel the call. Has no effect after the call."""
        self._call = None


class Scheduler:
    """Runs tasks one at a time, by a virtual clock. One scheduler runs once.

    Arguments:
        seed: the seed of the random choices of `shuffle`. Default 0.
        shuffle: True: the next task is chosen at random among those that can run. Default False: first come, first
            served.
        checkpoints: True: each wait suspends once before it checks its condition, as in trio. False: it suspends only
            when it must wait, as in asyncio. Default True.

    Attributes:
        seed: as given.
        now: seconds of the virtual clock since the beginning.
    """

    def __init__(self, seed: int = 0, *, shuffle: bool = False, checkpoints: bool = True) -> None:
        self.seed = seed
        self.now: float = 0.0
        self._random = random.Random(seed) if shuffle else None  # noqa: S311  # schedules, not secrets
        self._checkpoints = checkpoints
        self._tasks: list[Task[object]] = []
        self._spawned = 0
        self._ready: deque[Task[object]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._timed = 0
        self._running: Task[object] | None = None
        self._begun = False
        self._is_over = False
        self._victim: Task[object] | None = None
        self._moments = 0
        self._strike: Callable[[int], object] | None = None

    @property
    def is_over(self) -> bool:
        """The run has ended, or is ending."""
        return self._is_over

    # Running.

    def run(self, main: Coroutine[object, None, T]) -> T:
        """Run `main` to its end, then cancel the tasks that still run. Returns what `main` returned.

        Raises:
            Deadlock: `main` cannot end.
            AssertionError: a task swallowed its cancellation.
            Exception: the exception of `main`, or else of the first task that failed without the test reading its
                result. The other failures are in its notes.
            RuntimeError: this scheduler has run already.
        """
        if self._begun:
            main.close()
        with self._session():
            task = self.spawn(main, "main")
            with self._as_running():
                stuck = self._turns(task)
        errors = [error for error in (stuck, task._error) if error is not None]
        self._report(errors, main=task)
        return task.result()

    def drive(self, coro: Coroutine[object, None, T], name: str = "") -> T:
        """From plain code: run all tasks until `coro` has ended, and return its result. Only inside `session`.

        Raises:
            Deadlock: `coro` cannot end.
            Exception: the exception of `coro`.
            RuntimeError: a task of this scheduler calls it.
        """
        if self._running is not None:
            coro.close()
            raise RuntimeError(
                f"a blocking call was made inside the task {self._running.name}: expected it from plain code"
            )
        task = self.spawn(coro, name)
        # Its error is raised here, and must not be reported again at the end of the session.
        task._seen = True
        with self._as_running():
            stuck = self._turns(task)
        if stuck is not None:
            raise stuck
        return task.result()

    @contextmanager
    def session(self) -> Iterator[None]:
        """Plain code runs the tasks in this block, through `drive`. At its end tasks that still run are cancelled.

        Raises as `run` does, unless the block itself raises.
        """
        with self._session():
            yield
        self._report([], main=None)

    def spawn(self, coro: Coroutine[object, None, T], name: str = "") -> Task[T]:
        """Run `coro` concurrently with the other tasks. Its first turn comes later."""
        self._spawned += 1
        task = Task(self, coro, name or f"task {self._spawned}")
        self._tasks.append(task)
        self._wake(task)
        return task

    async def victim(self, coro: Coroutine[object, None, T]) -> Task[T]:
        """Run `coro` to its end, however it ends, as the task at whose awaits `at_every_await` acts."""
        task = self.spawn(coro, "victim")
        self._victim = task
        task._seen = True
        await task.wait()
        return task

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of the virtual clock."""
        await self.wait_until(lambda: False, f"{seconds:g} s to pass", max(seconds, 0.0))

    def skip(self, seconds: float) -> None:
        """Let the clock jump, as if the machine had slept: every timer on the way is due at once."""
        # The timers fire in the next turn, after the task that skips: as on a machine that wakes up.
        self.now += seconds

    # Waiting: the only place where a task suspends.

    async def wait_until(
        self, ready: Callable[[], bool], what: str, timeout: float | None, *conditions: Condition
    ) -> bool:
        """Wait until `ready()` holds. False when `timeout` seconds passed first.

        Arguments:
            ready: called at once, and again when one of `conditions` is notified.
            what: names the wait, as a noun, for messages.
            timeout: in seconds of the virtual clock; None waits for ever.
        """
        task = self._running
        if task is None:
            raise RuntimeError(f"awaited outside of Simulation.run: {what} (plain code uses Simulation.blocking)")
        deadline = None if timeout is None else self.now + timeout
        interrupt = None
        if task._interrupt is not None:
            interrupt, interrupted = task._interrupt
            ready, conditions = _ready_or_interrupted(interrupt, ready), (*conditions, interrupted)
        if self._checkpoints or timeout == 0:
            self._wake(task)
            await _pause(f"a turn, before {what}")
        while not ready():
            if deadline is not None and self.now >= deadline:
                return False
            await self._wait(task, ready, what, deadline, conditions)
        if interrupt is not None:
            interrupt.check()
        return True

    @contextmanager
    def interruptible(self, interrupt: Interrupt) -> Iterator[None]:
        """For the block, `interrupt` ends the waits of the running task."""
        task = self._running
        if task is None:  # the first wait reports this
            yield
            return
        interrupted = Condition(self)
        task._interrupt = interrupt, interrupted
        interrupt.on_set(interrupted.notify)
        try:
            yield
        finally:
            task._interrupt = None

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        """Call `call` when the clock reaches `when`, from the scheduler and not from inside a task."""
        timer = Timer(call)
        self._timed += 1
        heapq.heappush(self._timers, (when, self._timed, timer))
        return timer

    async def _wait(
        self,
        task: Task[object],
        ready: Callable[[], bool],
        what: str,
        deadline: float | None,
        conditions: tuple[Condition, ...],
    ) -> None:
        timer = None if deadline is None else self.call_at(deadline, lambda: self._wake(task))
        for condition in conditions:
            condition._waiting[task] = ready
        try:
            await _pause(what if deadline is None else f"{what} (until {deadline:g} s)")
        finally:
            for condition in conditions:
                condition._waiting.pop(task, None)
            if timer is not None:
                timer.cancel()

    # Taking turns.

    @contextmanager
    def _session(self) -> Iterator[None]:
        if self._begun:
            raise RuntimeError(f"this {type(self).__name__} has already run: make a new one for each run")
        self._begun = True
        try:
            yield
        finally:
            with self._as_running():
                self._cancel_the_rest()

    @contextmanager
    def _as_running(self) -> Iterator[None]:
        before = running_scheduler()
        _here.scheduler = self
        try:
            yield
        finally:
            _here.scheduler = before

    def _turns(self, main: Task[object]) -> Deadlock | None:
        for _ in range(_TURNS):
            self._fire_due_timers()
            if main.done:
                return None
            if self._ready:
                self._step(self._next())
            elif self._timers:
                # No task can run, so nothing happens before the next timer: the clock jumps there.
                self.now = self._timers[0][0]
            else:
                return Deadlock(f"no task can run and no timer is left; {self._waits()}")
        return Deadlock(f"no end after {_TURNS:,} turns, at {self.now:g} s; {self._waits()}")

    def _waits(self) -> str:
        waiting = [f"{task.name} waits for {task.waiting_for}" for task in self._tasks if not task.done]
        return f"seed {self.seed}:\n  " + "\n  ".join(waiting)

    def _fire_due_timers(self) -> None:
        # All due timers fire before any task runs: a task whose timeout passes at the instant when its data arrives
        # sees both.
        while self._timers and (self._timers[0][0] <= self.now or self._timers[0][2]._call is None):
            call = heapq.heappop(self._timers)[2]._call
            if call is not None:
                call()

    def _next(self) -> Task[object]:
        chosen = self._random.randrange(len(self._ready)) if self._random else 0
        task = self._ready[chosen]
        del self._ready[chosen]
        task._queued = False
        return task

    def _step(self, task: Task[object]) -> None:
        self._running = task
        self._moment(task)
        try:
            if task._cancel:
                task._cancel, task._struck = False, True
                what: object = task._coro.throw(Cancelled())
            else:
                what = task._coro.send(None)
        except StopIteration as stop:
            task._finish(stop.value, None)
        except (KeyboardInterrupt, SystemExit) as error:
            task._finish(None, error)
            raise
        except BaseException as error:
            task._finish(None, error)
        else:
            self._suspended(task, what)
        finally:
            self._running = None

    def _suspended(self, task: Task[object], what: object) -> None:
        self._running = None
        if not isinstance(what, str):
            # Another library's awaitable would wait for a loop that does not run here.
            task._coro.close()
            return task._finish(
                None, RuntimeError(f"{task.name} awaits {what!r}, which does not belong to this simulation")
            )
        task.suspensions += 1
        task.waiting_for = what
        if task._struck:
            task.lingered.append(what)
        if task._cancel:  # it has cancelled itself
            self._wake(task)
        return self._moment(task)

    def _moment(self, task: Task[object]) -> None:
        # A victim has two moments for each await: just after it begins to wait, and just before it goes on.
        if task is self._victim and not self._is_over:
            self._moments += 1
            if self._strike is not None:
                self._strike(self._moments)

    def _wake(self, task: Task[object]) -> None:
        if not task._queued and not task.done:
            task._queued = True
            self._ready.append(task)

    # The end of a run.

    def _cancel_the_rest(self) -> None:
        self._is_over = True
        for _ in range(100):
            left = [task for task in self._tasks if not task.done]
            if not left:
                return
            for task in left:
                task.cancel()
                self._step(task)
        raise AssertionError(f"tasks do not end when they are cancelled; {self._waits()}")

    def _report(self, errors: list[BaseException], main: Task[object] | None) -> None:
        notes = []
        for task in self._tasks:
            if task._struck and not task.cancelled:
                end = "returned" if task._error is None else f"raised {task._error!r}"
                errors.append(AssertionError(f"{task.name} was cancelled and {end}: Cancelled must not be swallowed"))
            if task is not main and task._error is not None and not task.cancelled and not task._seen:
                errors.append(task._error)
                notes.append(f"{task.name} failed: " + "".join(traceback.format_exception(task._error)))
        if errors:
            for note in notes:
                errors[0].add_note(note)
            raise errors[0]


def _ready_or_interrupted(interrupt: Interrupt, ready: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: interrupt.is_set or ready()
