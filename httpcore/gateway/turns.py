"""The state of one request or one WebSocket in a gateway, and how it is refused."""

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
    """The state of one request in the gateway.

    Attributes:
        request: the request as the upstream receives it.
        upload: the body that the client sends; None if the request has none.
        upstream: the upstream that the request was last sent to.
        error: why the response was cut off: the error of an upstream, or a `Watch.reason`.
        hints: forwards each 103 of the upstream; None if they are not forwarded.
        status: the status that was sent to the client; 0 before that.
        takes_trailers: the client accepts trailers, and the server can send them.
        trailers: the trailers that were in the head of the response (see `without_trailers`).
        is_whole: whether the response was sent to its end.
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

    def start_clock(self) -> None:
        """The request leaves the queue: the upstream's time begins."""
        self.watch.admitted()

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal in place of the upstream's response, unless a response has begun."""
        if not self.status:
            self.status = refusal.status
            await self.answer(refusal)
            self.is_whole = True

    async def answer(self, refusal: Refusal) -> None:
        await answer(self.send, refusal)

    def close(self) -> None:
        """The request has ended: stop watching it and reading its body."""
        self.watch.close()
        if self.upload is not None:
            self.upload.close()
        if self.hints is not None:
            self.hints.close()


class SocketTurn(Turn):
    """The state of one WebSocket in the gateway."""

    __slots__ = ("offer", "scope", "socket")

    def __init__(self, scope: Scope, send: Send, offer: Offer, watch: Watch, socket: Socket) -> None:
        super().__init__(send, offer.request, watch, None)
        self.scope: Scope = scope
        self.offer: Offer = offer
        self.socket: Socket = socket

    def start_clock(self) -> None:
        self.watch.restart_clock()  # for the upstream's answer to the handshake

    async def answer(self, refusal: Refusal) -> None:
        await deny(self.scope, self.send, refusal)

    def close(self) -> None:
        self.watch.close()
        self.socket.close()
