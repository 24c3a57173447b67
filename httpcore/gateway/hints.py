"""Forwards 103 (Early Hints, RFC 8297) from an upstream to the client, if the server in front can send it.

ASGI can send no other interim responses, and only the Link fields of a 103: everything else is dropped. A request has a
`Hints` only if the server offers the extension `http.response.early_hint`; otherwise this costs nothing.
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
    """The values of the Link fields of a 103, unless Connection names Link."""
    return [value for name, value in returned([*given], frozenset(), "1.1", b"") if name == b"link"]


class Hints:
    """Forwards each 103 of a request at once, before the response. The pool calls it as the request's trace.

    A trace cannot wait, and meanwhile the pool waits for the response. So a separate task sends each 103, and the
    request sends its own messages by `send`, which sends waiting 103s first. If a client does not read, the pool bounds
    how many 103s wait: an upstream may send 64 KiB of interim responses, in any number.
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
        """Send a message of the request, after the 103s that were received before it."""
        if self._waiting or self._lock.locked():
            await self._send_waiting()
        await self._send(message)

    def close(self) -> None:
        """The request has ended: drop the waiting 103s."""
        self._waiting.clear()
        if self._cancel is not None:
            self._cancel()

    async def _run(self) -> None:
        try:
            await self._send_waiting()
        except OSError:  # the client has disconnected, and the request itself notices that
            self._waiting.clear()
        finally:
            self._cancel = None

    async def _send_waiting(self) -> None:
        """Send the waiting 103s. The lock keeps their order: a server may accept a message before it has sent the
        previous one.
        """
        async with self._lock:
            while self._waiting:
                await self._send({"type": EARLY_HINT, "links": self._waiting.pop(0)})
