"""One worker process: it runs the gateway under uvicorn, on a shared listening socket, until its supervisor ends it.

The command is `python -m httpcore.gateway.worker LISTENER CHANNEL`, with the file descriptors of two inherited sockets.
On the channel the supervisor sends lines of JSON: first the settings, then orders: "figures" (send the counts), "stop"
(end, as one of the last workers), "hand over" (end, while other workers serve). The worker sends `{"ready": true}` and
its counts.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from types import FrameType
from typing import Any, Final

import uvicorn

from .config import Service, Settings, apps_of, routed, settings_of
from .front import Front
from .gateway import Gateway
from .stats import packed
from .watch import now

__all__ = ["main"]

LINGER: Final = 1.0
"""Seconds at the end for which idle connections stay open, so that a client can use them once more. A request that is
sent while its connection is being closed is lost. A connection in use is closed after a response that announces it.
"""
CHECK_INTERVAL: Final = 0.02
"""Seconds between two checks whether all connections have ended."""

_log = logging.getLogger("httpcore.gateway")


class _Worker(uvicorn.Server):
    """A uvicorn server that receives orders from the supervisor.

    Arguments:
        settings: the settings of the service and of its gateways.
        name: the gateway's name in Via, the same in all workers.
        listener: the listening socket.
        channel: the socket to the supervisor.
    """

    def __init__(self, settings: Settings, name: str, listener: socket.socket, channel: socket.socket) -> None:
        self._service = settings.service
        gateways = apps_of(settings, name)
        self._gateways: Sequence[Gateway] = tuple(gateways.values())
        self._front = Front(routed(settings, gateways), self._service.ready)
        self._listener = listener
        self._channel = channel
        self._is_last = False
        super().__init__(config_of(self._front, self._service))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        reader, self._writer = await asyncio.open_connection(sock=self._channel)
        self._orders = asyncio.create_task(self._follow_orders(reader))
        self._send({"ready": True})

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the requests in progress and those that are still received, then end. Each response announces that its
        connection will be closed.

        The order matters: no connection may be refused or reset before its client was notified of the shutdown.
        """
        # 1. From now on each response closes its connection. If the head of a response is already sent, uvicorn closes
        # the connection after the response. Idle connections stay open, so that their next request is answered.
        self._front.is_ending = True
        for connection in [each for each in self.server_state.connections if _has_request(each)]:
            connection.shutdown()
        # 2. Balancers notice that `ready` fails, and send new connections elsewhere. This is not needed if other
        # workers serve.
        if self._is_last:
            await asyncio.sleep(self._service.notice)
        # 3. No new connections are accepted. 4. Requests end, or the grace does. 5. Connections are closed, and then
        # the gateways, by the shutdown of their lifespan. 6. The final counts are sent to the supervisor, which keeps
        # them.
        await self._stop_accepting()
        await self._wait_for_connections()
        self._cut_off()
        await super().shutdown(sockets=sockets)
        self._send({"figures": self._figures()})
        self._orders.cancel()
        self._writer.close()
        with suppress(OSError):  # the supervisor is gone
            await self._writer.wait_closed()  # now everything has been sent

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ignore SIGINT: Ctrl-C reaches all processes of a terminal, and the supervisor decides what follows."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True

    # Orders.

    async def _follow_orders(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            order = json.loads(line)
            if order == "figures":
                self._send({"figures": self._figures()})
            else:
                self._end(order == "stop")
        self._end(True)  # the supervisor is gone

    def _end(self, is_last: bool) -> None:
        self._is_last = self._is_last or is_last
        self._front.is_ending = True
        self.should_exit = True

    def _send(self, message: object) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    def _figures(self) -> list[list[Any]]:
        return [packed(gateway.stats()) for gateway in self._gateways]

    # The end.

    async def _stop_accepting(self) -> None:
        """Close the listening socket. If no other worker serves, first accept the connections that wait in its queue,
        which the system would otherwise reset. If other workers serve, they accept those connections.
        """
        queue = self._listener.dup()  # keeps the queue, which ends with the last copy of the socket
        for server in self.servers:
            server.close()
        accepted = []
        while self._is_last:
            try:
                accepted.append(queue.accept()[0])
            except OSError:  # no connection waits any more
                break
        queue.close()
        loop = asyncio.get_running_loop()
        for client in accepted:
            await loop.connect_accepted_socket(self._protocol, client)

    def _protocol(self) -> asyncio.Protocol:
        """A protocol for a connection, made as uvicorn makes it."""
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    async def _wait_for_connections(self) -> None:
        """Wait until all connections have ended, or the grace has. If other workers serve, idle connections are kept
        for the grace, too: a connection that is used once more ends with its response, so that none is closed while a
        request is being sent on it.
        """
        began = now()
        linger = LINGER if self._is_last else self._service.grace
        while self.server_state.connections and now() - began < self._service.grace:
            if now() - began > linger and not any(map(_is_busy, self.server_state.connections)):
                return
            await asyncio.sleep(CHECK_INTERVAL)

    def _cut_off(self) -> None:
        busy = [each for each in self.server_state.connections if _is_busy(each)]
        if busy:
            _log.warning("%d requests were cut off at the end of the grace", len(busy))
        for connection in busy:
            if _has_request(connection):
                connection.transport.abort()  # so that the client notices the cut, and the gateway the disconnect


def _has_request(connection: Any) -> bool:
    """Whether a connection of HTTP/1.1 has a request that is not answered completely."""
    cycle = getattr(connection, "cycle", None)
    return cycle is not None and not cycle.response_complete


def _is_busy(connection: Any) -> bool:
    """Whether a connection has a request, or has another protocol than HTTP/1.1 (a WebSocket)."""
    return _has_request(connection) or not hasattr(connection, "cycle")


def config_of(app: Front, service: Service) -> uvicorn.Config:
    """The server's configuration for a gateway, which handles the client's address, Date and Server itself."""
    return uvicorn.Config(
        app,
        http="httptools" if find_spec("httptools") else "h11",
        ws="wsproto" if find_spec("wsproto") else "auto",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        date_header=False,
        server_header=False,
        backlog=service.backlog,
        timeout_keep_alive=service.keep_alive,
        timeout_graceful_shutdown=1,  # after the grace
    )


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Drop uvicorn's line about an incomplete response: the upstream broke it off, and the gateway has logged that."""
    return record.msg != "ASGI callable returned without completing response."


def raise_descriptors() -> None:
    """Raise the limit of file descriptors to the system's hard limit. A request in flight uses two descriptors, or one
    with HTTP/2 to the upstream. Many systems begin with a limit of 1,024, for programs that use `select`. This program
    does not use it.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # macOS allows fewer than the hard limit that it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(listener: str, channel: str) -> int:
    """Run one worker, and return its exit status."""
    raise_descriptors()
    with socket.socket(fileno=int(listener)) as accepting, socket.socket(fileno=int(channel)) as connection:
        with connection.makefile("rb") as lines:
            given = json.loads(lines.readline())  # the supervisor sends nothing else before the worker is ready
        settings = settings_of(given["table"])
        server = _Worker(settings, given["name"], accepting, connection)
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
        _log.setLevel(logging.INFO if settings.service.access_log else logging.WARNING)
        logging.getLogger("uvicorn.error").addFilter(_is_worth_logging)
        server.run(sockets=[accepting])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
