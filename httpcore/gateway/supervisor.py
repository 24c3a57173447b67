"""Runs the workers of a gateway: starts, replaces and drains them, and adds up their counts.

`fleet` decides on the actions, and this module carries them out. The supervisor holds the listening socket, which all
workers inherit, so that no connection is refused while one generation of workers replaces another. The supervisor
serves no requests itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from .config import Service, Table, checked, settings_of
from .fleet import Action, Drain, Fleet, Kill, Note, Start
from .stats import GatewayStats, added, ended, prometheus, unpacked
from .watch import now

__all__ = ["Supervisor", "listening"]

SLACK: Final = 5.0
"""Seconds beyond the grace after which a worker that should have ended is killed."""
ASKED: Final = 2.0
"""Seconds within which a worker must send its counts; otherwise those that it sent last are used."""
_LINE: Final = 10_000_000

_log = logging.getLogger("httpcore.gateway")


def listening(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket for this address.

    Raises:
        OSError: the address is not one of this machine, or is in use.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=backlog)
    except OSError as error:
        raise OSError(error.errno, f"{host}:{port}: {error.strerror}") from None
    listener.setblocking(False)
    return listener


class _Process:
    """The process of one worker.

    Attributes:
        figures: the counts that it sent last.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.task: asyncio.Task[None] | None = None
        self.process: asyncio.subprocess.Process | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.is_ready = False
        self.figures: list[GatewayStats] = []
        self.answered = asyncio.Event()

    def send(self, order: object) -> None:
        if self.writer is not None:
            self.writer.write(json.dumps(order).encode() + b"\n")

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
        elif self.task is not None:
            self.task.cancel()


async def _message(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message of a worker; None at the end of the stream, also in the middle of a line, after the worker was
    killed.
    """
    try:
        line = await reader.readline()
        message: dict[str, Any] | None = json.loads(line) if line else None
    except (OSError, ValueError):
        return None
    return message


class Supervisor:
    """Runs the workers of one gateway, from the start to the end.

    Arguments:
        table: the settings, as in a settings file, already checked.
        read: reads the settings again, for a reload.
        listener: the listening socket for clients; closed at the end.
        metrics: the listening socket for metrics; closed at the end, too. None: metrics are not served.

    Attributes:
        tables: the settings of each generation of workers, by its number.
    """

    def __init__(
        self, table: Table, read: Callable[[], Table], listener: socket.socket, metrics: socket.socket | None
    ) -> None:
        self._read = read
        self._listener = listener
        self._metrics = metrics
        self._service: Service = settings_of(table).service  # of the start: its sockets are kept to the end
        self._name = f"gateway-{os.urandom(4).hex()}"
        self._fleet = Fleet(self._service.workers)
        self.tables: dict[int, Table] = {0: table}
        self._processes: dict[int, _Process] = {}
        # The sums of the ended workers. `_supervise` adds the last counts of a worker before it handles its end.
        self._retired = added(())
        self._again = False  # another reload was requested during one
        self._done: asyncio.Future[int]

    async def run(self) -> int:
        """Run until a signal ends the supervisor; its exit status."""
        loop = asyncio.get_running_loop()
        self._done = loop.create_future()
        for number, act in ((signal.SIGTERM, self._stop), (signal.SIGINT, self._stop), (signal.SIGHUP, self._reload)):
            loop.add_signal_handler(number, act)
        metrics = self._metrics and await asyncio.start_server(self._answer, sock=self._metrics, limit=8192)
        late = asyncio.create_task(self._watch())
        self._perform(self._fleet.start(now()))
        try:
            return await self._done
        finally:
            late.cancel()
            self._listener.close()
            if metrics is not None:
                metrics.close()

    def pids(self) -> set[int]:
        """The process ids of the workers."""
        return {each.process.pid for each in self._processes.values() if each.process is not None}

    # Signals.

    def _stop(self) -> None:
        """SIGTERM and SIGINT: let the workers finish their requests; a second signal kills the workers."""
        if self._fleet.is_stopping:
            self._perform(self._fleet.kill())
            return
        # The supervisor closes its own copy of the listening socket before it sends "stop" to the workers. The system
        # refuses connections once the last copy is closed. The last copy must be a worker's, since a worker first
        # accepts the connections that wait in the queue.
        self._listener.close()
        self._perform(self._fleet.stop())

    def _reload(self) -> None:
        """SIGHUP: read the settings again, and start workers with them. The old workers are drained when all new ones
        are ready (see `fleet`), so that at each moment some worker accepts from the shared socket. Errors in the
        settings are found here, before any process is started or ended.
        """
        if self._fleet.is_stopping:
            return
        if self._fleet.is_reloading:
            self._again = True
            return
        try:
            table = self._read()
            new = checked(table).service
        except (OSError, TypeError, ValueError) as error:  # the same errors as at the start
            _log.error("the reload is given up: %s", error)
            return
        old = self._service
        if (old.host, old.port, old.metrics_host, old.metrics_port) != (
            *(new.host, new.port, new.metrics_host, new.metrics_port),
        ):
            _log.warning("addresses and ports stay as they are until the next start")
        actions = self._fleet.reload(new.workers, now())
        self.tables[self._fleet.latest] = table  # set before the workers that use it are started
        self._perform(actions)

    # Workers.

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Start):
                process = self._processes[action.number] = _Process(self.tables[action.generation])
                process.task = asyncio.create_task(self._supervise(action.number, process, action.pause))
            elif isinstance(action, Drain):
                self._drain(action)
            elif isinstance(action, Kill):
                self._processes[action.number].kill()
            elif isinstance(action, Note):
                _log.warning("%s", action.text)
            elif not self._done.done():
                self._done.set_result(action.status)

    def _drain(self, action: Drain) -> None:
        process = self._processes[action.number]
        process.send("stop" if action.is_last else "hand over")
        # The worker's own settings apply; a later reload may have others.
        service = settings_of(process.table).service
        asyncio.get_running_loop().call_later(service.notice + service.grace + SLACK, process.kill)

    async def _supervise(self, number: int, process: _Process, pause: float) -> None:
        """Run one worker, from its start to its end."""
        try:
            await asyncio.sleep(pause)
            status = await self._follow(number, process)
        except asyncio.CancelledError:  # cancelled by `_Process.kill`, in the pause or before there was a process
            status = "it was not started"
        except OSError as error:
            status = str(error)
        # First the worker's last counts are added to those of the ended workers, then its end is handled: so its counts
        # are included exactly once at each moment, also after the end of the last worker, which ends the supervisor.
        self._retired = added([self._retired, *map(ended, process.figures)])
        del self._processes[number]
        self._perform(self._fleet.ended(number, status, now()))
        self._reload_again()

    async def _follow(self, number: int, process: _Process) -> str:
        """Start the process and receive its messages; a text about how it ended."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                numbers = (self._listener.fileno(), theirs.fileno())
                process.process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "httpcore.gateway.worker", *map(str, numbers)), pass_fds=numbers
                )
        except BaseException:
            ours.close()
            raise
        reader, process.writer = await asyncio.open_connection(sock=ours, limit=_LINE)
        process.send({"table": process.table, "name": self._name})
        while (message := await _message(reader)) is not None:
            self._receive(number, process, message)
        process.writer.close()  # a process that still runs treats this as the end of its supervisor, and ends
        status = await process.process.wait()
        return f"exit status {status}" if status >= 0 else signal.Signals(-status).name

    def _receive(self, number: int, process: _Process, message: dict[str, Any]) -> None:
        if "figures" in message:
            process.figures = [unpacked(each) for each in message["figures"]]
            process.answered.set()
        else:
            process.is_ready = True
            self._perform(self._fleet.ready(number))
            self._reload_again()

    def _reload_again(self) -> None:
        """Reload again, if that was requested during the last reload."""
        if self._again and not self._fleet.is_reloading:
            self._again = False
            self._reload()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._perform(self._fleet.overdue(now()))

    # Figures.

    async def figures(self) -> str:
        """The counts of all workers, including those that have ended, as text for Prometheus."""
        asked = [process for process in self._processes.values() if process.is_ready]
        for process in asked:
            process.answered.clear()
            process.send("figures")
        with suppress(TimeoutError):
            async with asyncio.timeout(ASKED):
                for process in asked:
                    await process.answered.wait()
        latest = [stats for process in self._processes.values() for stats in process.figures]
        head = "# HELP httpcore_gateway_workers Workers that serve requests.\n# TYPE httpcore_gateway_workers gauge\n"
        return f"{head}httpcore_gateway_workers {len(asked)}\n{prometheus(self._retired, *latest)}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request on the port for metrics."""
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(ASKED):
                head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1] if head.startswith(b"GET ") else b""
            if path == b"/metrics":
                status, text = "200 OK", await self.figures()
            elif path == b"/ready":
                status, text = (
                    ("200 OK", "ready\n") if self._fleet.is_ready else ("503 Service Unavailable", "not ready\n")
                )
            else:
                status, text = "404 Not Found", ""
            fields = f"Content-Type: text/plain; version=0.0.4\r\nContent-Length: {len(text.encode())}"
            writer.write(f"HTTP/1.1 {status}\r\n{fields}\r\nConnection: close\r\n\r\n{text}".encode())
            await writer.drain()
        writer.close()
