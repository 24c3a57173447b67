"""One worker process: the gateway under uvicorn, on a socket that it shares, which ends when its supervisor says so.

`python -m httpcore.gateway.worker LISTENER CHANNEL`, with the numbers of two inherited sockets. On the channel there
are lines of JSON: first what to run, then orders ("figures"; "stop", as one of the last workers; "hand over", to
others). It sends `{"ready": true}` and its figures.
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
"""Seconds at the end of all for a client to use its idle connection once more, before it is closed. A request that
meets a connection just being closed is lost; what is in use is closed after a response that says so.
"""
LOOK: Final = 0.02
"""Seconds between two looks at whether all connections have ended."""

_log = logging.getLogger("httpcore.gateway")


class _Worker(uvicorn.Server):
    """A server that takes orders.

    Arguments:
        settings: what to run.
        name: the gateway's name in Via, the same in all workers.
        listener: where connections are accepted.
        channel: to the supervisor.
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
        """Answer what is under way and what still comes, then end. Each response says that it is the last.

        The order matters: no connection may be refused or reset before its client has learned that this end comes.
        """
        # 1. From now on each response closes its connection. A response whose head is already sent does not say so:
        # uvicorn closes these connections after it. Idle ones stay, for their next request to be answered.
        self._front.is_ending = True
        for connection in [each for each in self.server_state.connections if _has_request(each)]:
            connection.shutdown()
        # 2. Balancers see `ready` fail, and send new connections elsewhere. Where other workers serve there is no need.
        if self._is_last:
            await asyncio.sleep(self._service.notice)
        # 3. No new connections. 4. Requests end, or the grace does. 5. Connections are closed, then the gateways, at
        # the end of their lifespan. 6. The figures, which now are final; the supervisor keeps them.
        await self._accept_no_more()
        await self._wait_for_connections()
        self._cut_off()
        await super().shutdown(sockets=sockets)
        self._send({"figures": self._figures()})
        self._orders.cancel()
        self._writer.close()
        with suppress(OSError):  # the supervisor is gone
            await self._writer.wait_closed()  # all was sent

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ctrl-C reaches all processes of a terminal: what it means is the supervisor's to say."""
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

    async def _accept_no_more(self) -> None:
        """Close the listening socket. Where it is the last one, what waits in its queue is taken first: the system
        would reset it. Otherwise the other workers take it.
        """
        queue = self._listener.dup()  # keeps the queue, which ends with the last copy, while the server closes its own
        for server in self.servers:
            server.close()
        accepted = []
        while self._is_last:
            try:
                accepted.append(queue.accept()[0])
            except OSError:  # none waits any more
                break
        queue.close()
        loop = asyncio.get_running_loop()
        for client in accepted:
            await loop.connect_accepted_socket(self._protocol, client)

    def _protocol(self) -> asyncio.Protocol:
        """As uvicorn makes it for a connection."""
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    async def _wait_for_connections(self) -> None:
        """Until all have ended, or the grace has. Where other workers serve, idle ones are kept for the grace, too:
        each that is used once more ends with its response, and none has to be closed under a request.
        """
        began = now()
        linger = LINGER if self._is_last else self._service.grace
        while self.server_state.connections and now() - began < self._service.grace:
            if now() - began > linger and not any(map(_is_busy, self.server_state.connections)):
                return
            await asyncio.sleep(LOOK)

    def _cut_off(self) -> None:
        busy = [each for each in self.server_state.connections if _is_busy(each)]
        if busy:
            _log.warning("%d requests were cut off at the end of the grace", len(busy))
        for connection in busy:
            if _has_request(connection):
                connection.transport.abort()  # so that the client sees it cut, and the gateway its client gone


def _has_request(connection: Any) -> bool:
    """Of HTTP/1.1, that is not answered yet."""
    cycle = getattr(connection, "cycle", None)
    return cycle is not None and not cycle.response_complete


def _is_busy(connection: Any) -> bool:
    """It has a request, or is of another protocol than HTTP/1.1 (a WebSocket)."""
    return _has_request(connection) or not hasattr(connection, "cycle")


def config_of(app: Front, service: Service) -> uvicorn.Config:
    """What a gateway needs of its server: addresses are the gateway's to believe, Date and Server the upstream's."""
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


def _is_news(record: logging.LogRecord) -> bool:
    """A response that its upstream broke off is left without its end, of which the gateway has written a line."""
    return record.msg != "ASGI callable returned without completing response."


def raise_descriptors() -> None:
    """To as many as the system allows: a stream takes two of them, and many systems begin with 1,024, for the sake of
    programs that use `select`, which this one does not.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # macOS allows no more than a constant, and tells none
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(listener: str, channel: str) -> int:
    """Run one worker; its exit status."""
    raise_descriptors()
    with socket.socket(fileno=int(listener)) as accepting, socket.socket(fileno=int(channel)) as connection:
        with connection.makefile("rb") as lines:
            given = json.loads(lines.readline())  # nothing else is sent before the worker is ready
        settings = settings_of(given["table"])
        server = _Worker(settings, given["name"], accepting, connection)
        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
        _log.setLevel(logging.INFO if settings.service.access_log else logging.WARNING)
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        server.run(sockets=[accepting])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
