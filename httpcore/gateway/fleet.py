"""Decides which worker processes must exist. Its methods take events and their times, and return actions. No I/O.

Each worker belongs to a generation: the first generation is made at the start, and each reload makes another. A new
generation takes over when all of its workers are ready. Only then are the old workers drained, so that the port is
always served. If a new worker ends before that, the reload is given up, and the old workers continue.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Action", "Done", "Drain", "Fleet", "Kill", "Note", "Start", "STARTING"]

STEADY: Final = 10.0
"""A worker that ended after at least this many seconds is replaced at once, since the next one will probably run as
long.
"""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
"""Seconds before a worker that ended earlier is replaced: `FIRST_PAUSE` at first, and twice as many each time that
another worker ends early, up to `LONGEST_PAUSE`.
"""
STARTING: Final = 60.0
"""Seconds within which a worker must be ready."""


class Start(NamedTuple):
    """Start a worker, after a pause."""

    number: int
    generation: int
    pause: float


class Drain(NamedTuple):
    """Let a worker finish its requests, and then end. `is_last`: no other worker accepts connections."""

    number: int
    is_last: bool


class Kill(NamedTuple):
    """End a worker at once."""

    number: int


class Note(NamedTuple):
    """Write a line to the log."""

    text: str


class Done(NamedTuple):
    """All workers have ended; `status` is the supervisor's exit status."""

    status: int


Action = Start | Drain | Kill | Note | Done


class _Worker:
    __slots__ = ("drains", "generation", "is_ready", "since")

    def __init__(self, generation: int, since: float) -> None:
        self.generation = generation
        self.since = since  # when it was started, or will be
        self.is_ready = False
        self.drains = False


class Fleet:
    """The workers of one supervisor.

    Attributes:
        is_stopping: whether the supervisor is shutting down.
        latest: the number of the newest generation.
    """

    def __init__(self, wanted: int) -> None:
        self.is_stopping: bool = False
        self._worker_counts = {0: wanted}  # by generation
        self._current = 0
        self._next: int | None = None
        self.latest: int = 0
        self._workers: dict[int, _Worker] = {}
        self._numbers = 0
        self._early_ends = 0  # workers in a row that ended early
        self._has_served = False
        self._status = 0

    @property
    def is_ready(self) -> bool:
        """Whether a worker serves requests and is not being drained."""
        return not self.is_stopping and any(worker.is_ready and not worker.drains for worker in self._workers.values())

    @property
    def is_reloading(self) -> bool:
        return self._next is not None

    def start(self, now: float) -> list[Action]:
        """Start the first workers."""
        return self._fill(0, now, 0.0)

    def reload(self, wanted: int, now: float) -> list[Action]:
        """Start a new generation of `wanted` workers. Not to be called while another reload is in progress."""
        assert self._next is None
        self.latest += 1
        self._next = self.latest
        self._worker_counts[self._next] = wanted
        return self._fill(self._next, now, 0.0)

    def ready(self, number: int) -> list[Action]:
        """A worker has become ready."""
        worker = self._workers[number]
        worker.is_ready = True
        self._has_served = True
        if worker.generation != self._next or len(self._serving(self._next)) < self._worker_counts[self._next]:
            return []
        self._current, self._next = self._next, None
        self._worker_counts = {self._current: self._worker_counts[self._current]}
        self._early_ends = 0
        return [Note("the new workers are ready; the old ones are drained"), *self._drain_others()]

    def ended(self, number: int, status: str, now: float) -> list[Action]:
        """A worker's process has ended."""
        worker = self._workers.pop(number)
        if self.is_stopping:
            return [] if self._workers else [Done(self._status)]
        if worker.drains:
            return []
        if not self._has_served:  # the next workers would fail for the same reason
            self.is_stopping = True
            self._status = 1
            return [Note(f"a worker ended before it was ready: {status}"), *(self.kill() or [Done(1)])]
        if worker.generation == self._next:
            self._next = None
            return [
                Note(f"the reload is given up, a new worker ended: {status}"),
                *self._drain_others(),
                *self._fill(self._current, now, 0.0),
            ]
        self._early_ends = self._early_ends + 1 if now - worker.since < STEADY else 0
        pause = 0.0 if not self._early_ends else min(FIRST_PAUSE * 2 ** (self._early_ends - 1), LONGEST_PAUSE)
        if self._next is not None:
            return [Note(f"a worker ended: {status}; the workers of the reload replace it")]
        note = Note(f"a worker ended: {status}; it is replaced" + (f" in {pause:g} s" if pause else ""))
        return [note, *self._fill(self._current, now, pause)]

    def overdue(self, now: float) -> list[Action]:
        """Kill the workers that take too long to become ready."""
        late = [
            number for number, worker in self._workers.items() if not worker.is_ready and now - worker.since > STARTING
        ]
        return [Kill(number) for number in late]

    def stop(self) -> list[Action]:
        """End all workers. Those that serve finish their requests first."""
        self.is_stopping = True
        if not self._workers:
            return [Done(0)]
        actions: list[Action] = []
        for number, worker in self._workers.items():
            actions.append(Drain(number, True) if worker.is_ready else Kill(number))
            worker.drains = True
        return actions

    def kill(self) -> list[Action]:
        """End all workers at once."""
        return [Kill(number) for number in self._workers]

    def _serving(self, generation: int) -> list[int]:
        workers = self._workers.items()
        return [number for number, worker in workers if worker.generation == generation and worker.is_ready]

    def _fill(self, generation: int, now: float, pause: float) -> list[Action]:
        """Start the workers that a generation lacks."""
        living = sum(worker.generation == generation and not worker.drains for worker in self._workers.values())
        actions: list[Action] = []
        for _ in range(self._worker_counts[generation] - living):
            self._numbers += 1
            # Recorded before the start, so that `ended` finds the worker even if it ends at once.
            self._workers[self._numbers] = _Worker(generation, now + pause)
            actions.append(Start(self._numbers, generation, pause))
        return actions

    def _drain_others(self) -> list[Action]:
        """Drain the workers of other generations that are not being drained yet."""
        actions: list[Action] = []
        for number, worker in self._workers.items():
            if worker.generation != self._current and not worker.drains:
                worker.drains = True
                actions.append(Drain(number, False) if worker.is_ready else Kill(number))
        return actions
