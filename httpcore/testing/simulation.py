"""A simulation: one scheduler and one network, and the backends through which the library runs on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .._backends import register
from .._backends.base import PIECE, Backend
from .._errors import show_value
from .backend import BlockingSimulatedBackend, SimulatedBackend, SimulatedEvent
from .network import Network
from .scheduler import Scheduler, running_scheduler

__all__ = ["Simulation", "running_backend"]


class Simulation(Scheduler, Network):
    """Tasks by a virtual clock, hosts served by scripts, and a backend for a pool. One simulation runs once.

    Inside `run` a `ConnectionPool` detects the simulation, as it detects asyncio. Outside of `run`, pass `backend=`.

    Arguments:
        seed: the seed of the random choices of `shuffle`. Default 0.
        shuffle: True: the next task is chosen at random among those that can run. Default False: first come, first
            served.
        checkpoints: True: each call of the backend suspends once before it acts, as in trio. False: it suspends only
            when it must wait, as in asyncio. Default True.
        watches: True: `Stream.watch` works, as in asyncio. False: it returns False, as in trio and threads. Default
            True.
        max_read, max_write: the most bytes one read or write of the client moves. Default None: 512 KiB.

    Attributes:
        seed, watches: as given.
        now: seconds of the virtual clock since the beginning.
        attempts: host or address, and port, of each connect that was begun, in order.
        lookups: each name that was looked up in the system, in order.
        connections: every connection that was opened, in order.

    Raises:
        ValueError: `max_read` or `max_write` is less than 1.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        shuffle: bool = False,
        checkpoints: bool = True,
        watches: bool = True,
        max_read: int | None = None,
        max_write: int | None = None,
    ) -> None:
        for name, value in (("max_read", max_read), ("max_write", max_write)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {show_value(value)}: expected a number of bytes from 1 up, or None")
        Scheduler.__init__(self, seed, shuffle=shuffle, checkpoints=checkpoints)
        Network.__init__(self, self)
        self.watches = watches
        self._backend = SimulatedBackend(
            self,
            self,
            watches=watches,
            max_read=min(max_read or PIECE, PIECE),
            max_write=min(max_write or PIECE, PIECE),
        )

    def backend(self) -> Backend:
        """The backend for `ConnectionPool(backend=)`; always the same object."""
        return self._backend

    @contextmanager
    def blocking(self) -> Iterator[Backend]:
        """Run plain code in this block, instead of `run`. Returns the backend for `SyncConnectionPool(backend=)`.

            with simulation.blocking() as backend, httpcore.SyncConnectionPool(backend=backend) as http:
                http.request("GET", "http://example.com/")

        The scripted peers run while a call of the pool waits. One thread at a time may use it. Raises as `run` does.
        """
        with self.session():
            yield BlockingSimulatedBackend(self._backend)

    def event(self) -> SimulatedEvent:
        """A flag to wait for, in scripts and tests."""
        return SimulatedEvent(self)


def running_backend() -> Backend | None:
    """The backend of the simulation that runs in this thread, if one does."""
    running = running_scheduler()
    return running.backend() if isinstance(running, Simulation) else None


register(running_backend)
