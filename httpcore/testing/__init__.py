r"""Tools to test code that uses httpcore: scripted peers, a virtual clock, faults at every await. No sockets.

    from httpcore.testing import ServerEnd, Simulation

    async def serve(peer: ServerEnd) -> None:
        await peer.recv_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def main() -> None:
        await httpcore.ConnectionPool().request("GET", "http://example.com/")

    simulation = Simulation()
    simulation.listen("example.com", 80, serve)
    simulation.run(main())

The guide is docs/guide/testing.md. Begin with `Simulation`; `at_every_await` injects a fault at every await.
"""

from __future__ import annotations

from types import FunctionType

from .backend import BlockingSimulatedBackend, SimulatedBackend, SimulatedEvent, SimulatedStream
from .network import Connection, Handler, Network, PeerGone, ServerEnd
from .scheduler import Cancelled, Condition, Deadlock, Scheduler, Task, Timer
from .simulation import Simulation
from .sweep import Scenario, Strike, at_every_await, cancel, cut_connections, reset_connections, skip_time

__all__ = [
    "BlockingSimulatedBackend",
    "Cancelled",
    "Condition",
    "Connection",
    "Deadlock",
    "Handler",
    "Network",
    "PeerGone",
    "Scenario",
    "Scheduler",
    "ServerEnd",
    "SimulatedBackend",
    "SimulatedEvent",
    "SimulatedStream",
    "Simulation",
    "Strike",
    "Task",
    "Timer",
    "at_every_await",
    "cancel",
    "cut_connections",
    "reset_connections",
    "skip_time",
]

for _name in __all__:
    if isinstance(globals()[_name], (type, FunctionType)):  # so tracebacks and documentation show the public name
        globals()[_name].__module__ = __name__
