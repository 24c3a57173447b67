"""103 (Early Hints, RFC 8297) on its way from an upstream to a client whose server can send it.

ASGI has no other interim responses, and of a 103 the Link fields alone: all else ends here. It is for servers that
offer `http.response.early_hint`; with any other a request has no `Hints`, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .._trace import InterimResponse, TraceEvent
from .messages import Message, Send
from .plan import returned
from .watch import Lock, start

__all__ = ["EARLY_HINT", "Hints", "links_of"]

EARLY_HINT: Final = "http.response.early_hint"


def links_of(given: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """The Link fields of a 103 that are not for one hop."""
    return [value for name, value in returned([*given], frozenset(), "1.1", b"") if name == b"link"]


class Hints:
    """Passes on each 103 of a request at once, before its response. It is the trace of the request.

    A trace cannot wait, and the pool waits for the response meanwhile. So a task of its own sends the 103, and all that
    the request sends itself goes through `send`, which lets it by first. What waits for a client that does not read is
    bounded by the pool: an upstream may send 64 KiB of interim responses, of any number.
    """

    __slots__ = ("_cancel", "_lock", "_send", "_waiting")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[list[bytes]] = []
        self._lock = Lock()
        self._cancel: Callable[[], object] | None = None

    def __call__(self, record: TraceEvent) -> None:
        if isinstance(record, InterimResponse) and record.status_code == 103:
            links = links_of(record.headers)
            if links:
                self._waiting.append(links)
                if self._cancel is None:
                    self._cancel = start(self._run())

    async def send(self, message: Message) -> None:
        """As the server's, behind the 103s that came before."""
        if self._waiting or self._lock.locked():
            await self._send_waiting()
        await self._send(message)

    def close(self) -> None:
        """The request is over."""
        self._waiting.clear()
        if self._cancel is not None:
            self._cancel()

    async def _run(self) -> None:
        try:
            await self._send_waiting()
        except OSError:  # the client has left, which the request itself learns
            self._waiting.clear()
        finally:
            self._cancel = None

    async def _send_waiting(self) -> None:
        """The lock keeps the order: a server may take the next message before it has sent the last."""
        async with self._lock:
            while self._waiting:
                await self._send({"type": EARLY_HINT, "links": self._waiting.pop(0)})
