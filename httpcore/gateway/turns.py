"""One request on its way through a gateway, or one WebSocket: what is known of it, and how it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .handshakes import Offer
from .hints import Hints
from .messages import Refusal, Scope, Send, answer, deny
from .plan import Forward
from .upload import Upload
from .upstreams import UpstreamState
from .watch import Watch

if TYPE_CHECKING:
    from .websocket import Socket

__all__ = ["SocketTurn", "Turn"]


class Turn:
    """One request on its way through the gateway.

    Attributes:
        request: as the upstream gets it.
        upload: the body that the client sends; None where the request has none.
        upstream: that was asked last.
        error: why it was cut off: the failure of an upstream, or as `Watch.reason` has it.
        hints: what passes on each 103 of the upstream; None where that cannot be.
        status: that the client was answered with; 0 before that.
        takes_trailers: the client wants them, and the server can send them.
        trailers: those that were in the head of the response.
        is_whole: the response was sent to its end.
    """

    __slots__ = (
        "error",
        "hints",
        "is_whole",
        "request",
        "send",
        "status",
        "takes_trailers",
        "trailers",
        "upload",
        "upstream",
        "watch",
    )

    def __init__(self, send: Send, request: Forward, watch: Watch, upload: Upload | None) -> None:
        self.send: Send = send
        self.request: Forward = request
        self.watch: Watch = watch
        self.upload: Upload | None = upload
        self.status: int = 0
        self.takes_trailers: bool = False
        self.trailers: Sequence[tuple[bytes, bytes]] = ()
        self.is_whole: bool = False
        self.upstream: UpstreamState | None = None
        self.error: object = None
        self.hints: Hints | None = None

    def begins(self) -> None:
        """It leaves the queue: the upstream's time begins."""
        self.watch.admitted()

    async def refuse(self, refusal: Refusal) -> None:
        """Answer in the upstream's place, where nothing was answered yet."""
        if not self.status:
            self.status = refusal.status
            await self.answer(refusal)
            self.is_whole = True

    async def answer(self, refusal: Refusal) -> None:
        await answer(self.send, refusal)

    def close(self) -> None:
        """It is over: nothing is watched or read any more."""
        self.watch.close()
        if self.upload is not None:
            self.upload.close()
        if self.hints is not None:
            self.hints.close()


class SocketTurn(Turn):
    """The same for a WebSocket."""

    __slots__ = ("offer", "scope", "socket")

    def __init__(self, scope: Scope, send: Send, offer: Offer, watch: Watch, socket: Socket) -> None:
        super().__init__(send, offer.request, watch, None)
        self.scope: Scope = scope
        self.offer: Offer = offer
        self.socket: Socket = socket

    def begins(self) -> None:
        self.watch.waits()  # for the answer to the handshake

    async def answer(self, refusal: Refusal) -> None:
        await deny(self.scope, self.send, refusal)

    def close(self) -> None:
        self.watch.close()
        self.socket.close()
