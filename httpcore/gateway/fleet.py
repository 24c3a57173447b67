"""Which worker processes there are to be: steps on what has happened and when, which say what to do. Without I/O.

Workers belong to a generation: those of the start, those of the first reload, and so on. A new generation takes over
when all of its workers are ready; only then are the old ones drained, so that the port is always served. Where one of
the new ones ends first, the reload is given up, and the old ones go on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Action", "Done", "Drain", "Fleet", "Kill", "Note", "Start", "STARTING"]

STEADY: Final = 10.0
"""A worker that was there for so many seconds is replaced at once: the next one may expect to last as long."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
"""Seconds before one that ended earlier is replaced: at first the lesser, and twice as many each time that another ends
early, up to the longer.
"""
STARTING: Final = 60.0
"""Seconds for a worker to be ready."""


class Start(NamedTuple):
    """Start a worker, after a pause."""

    number: int
    generation: int
    pause: float


class Drain(NamedTuple):
    """Have a worker end its requests, and itself. `is_last`: no other worker accepts connections."""

    number: int
    is_last: bool


class Kill(NamedTuple):
    """End a worker at once."""

    number: int


class Note(NamedTuple):
    """Write a line to the log."""

    text: str


class Done(NamedTuple):
    """All is over: the exit status."""

    status: int


Action = Start | Drain | Kill | Note | Done


class _Worker:
    __slots__ = ("drains", "generation", "is_ready", "since")

    def __init__(self, generation: int, since: float) -> None:
        self.generation = generation
        self.since = since  # it was started, or is to be
        self.is_ready = False
        self.drains = False


class Fleet:
    """The workers of one supervisor.

    Attributes:
        is_stopping: it ends.
        latest: the generation that was begun last, by its number.
    """

    def __init__(self, wanted: int) -> None:
        self.is_stopping: bool = False
        self._wanted = {0: wanted}  # by generation
        self._current = 0
        self._next: int | None = None
        self.latest: int = 0
        self._workers: dict[int, _Worker] = {}
        self._numbers = 0
        self._early = 0  # in a row
        self._has_served = False
        self._status = 0

    @property
    def is_ready(self) -> bool:
        """Whether requests are served, and will be."""
        return not self.is_stopping and any(worker.is_ready and not worker.drains for worker in self._workers.values())

    @property
    def is_reloading(self) -> bool:
        return self._next is not None

    def start(self, now: float) -> list[Action]:
        """The first workers."""
        return self._fill(0, now, 0.0)

    def reload(self, wanted: int, now: float) -> list[Action]:
        """A new generation, of so many. Not while one is on its way."""
        assert self._next is None
        self.latest += 1
        self._next = self.latest
        self._wanted[self._next] = wanted
        return self._fill(self._next, now, 0.0)

    def ready(self, number: int) -> list[Action]:
        """A worker serves."""
        worker = self._workers[number]
        worker.is_ready = True
        self._has_served = True
        if worker.generation != self._next or len(self._serving(self._next)) < self._wanted[self._next]:
            return []
        self._current, self._next = self._next, None
        self._wanted = {self._current: self._wanted[self._current]}
        self._early = 0
        return [Note("the new workers serve, the old ones end"), *self._drain_others()]

    def ended(self, number: int, status: str, now: float) -> list[Action]:
        """The process of a worker is gone."""
        worker = self._workers.pop(number)
        if self.is_stopping:
            return [] if self._workers else [Done(self._status)]
        if worker.drains:
            return []
        if not self._has_served:  # what keeps the first from serving keeps the next ones from it
            self.is_stopping = True
            self._status = 1
            return [Note(f"a worker ended before it served: {status}"), *(self.kill() or [Done(1)])]
        if worker.generation == self._next:
            self._next = None
            return [
                Note(f"the reload is given up, a new worker ended: {status}"),
                *self._drain_others(),
                *self._fill(self._current, now, 0.0),
            ]
        self._early = self._early + 1 if now - worker.since < STEADY else 0
        pause = 0.0 if not self._early else min(FIRST_PAUSE * 2 ** (self._early - 1), LONGEST_PAUSE)
        if self._next is not None:
            return [Note(f"a worker ended: {status}; those of the reload take its place")]
        note = Note(f"a worker ended: {status}; it is replaced" + (f" in {pause:g} s" if pause else ""))
        return [note, *self._fill(self._current, now, pause)]

    def overdue(self, now: float) -> list[Action]:
        """Those that take too long to be ready."""
        late = [
            number for number, worker in self._workers.items() if not worker.is_ready and now - worker.since > STARTING
        ]
        return [Kill(number) for number in late]

    def stop(self) -> list[Action]:
        """End all: those that serve end their requests first."""
        self.is_stopping = True
        if not self._workers:
            return [Done(0)]
        actions: list[Action] = []
        for number, worker in self._workers.items():
            actions.append(Drain(number, True) if worker.is_ready else Kill(number))
            worker.drains = True
        return actions

    def kill(self) -> list[Action]:
        """End all at once."""
        return [Kill(number) for number in self._workers]

    def _serving(self, generation: int) -> list[int]:
        workers = self._workers.items()
        return [number for number, worker in workers if worker.generation == generation and worker.is_ready]

    def _fill(self, generation: int, now: float, pause: float) -> list[Action]:
        """Start what a generation lacks."""
        living = sum(worker.generation == generation and not worker.drains for worker in self._workers.values())
        actions: list[Action] = []
        for _ in range(self._wanted[generation] - living):
            self._numbers += 1
            # Noted before it is started: an end that comes at once finds it.
            self._workers[self._numbers] = _Worker(generation, now + pause)
            actions.append(Start(self._numbers, generation, pause))
        return actions

    def _drain_others(self) -> list[Action]:
        """All that are not of the current generation, and do not end yet."""
        actions: list[Action] = []
        for number, worker in self._workers.items():
            if worker.generation != self._current and not worker.drains:
                worker.drains = True
                actions.append(Drain(number, False) if worker.is_ready else Kill(number))
        return actions
