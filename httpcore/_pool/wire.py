"""The interface of a protocol for the pool: a connection, and one exchange on it.

HTTP/1.1 and HTTP/2 have the same methods here, so that the pool need not distinguish them; a third protocol would need
a third pair of classes. `_pool/resend` reads from an exchange how far it got.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .._deadline import Deadline
from .._message.fields import Headers
from .._message.head import Head
from .._message.raw import RawStream
from .._message.request import Request
from .._message.rules import Leniency
from .tickets import Speaks

__all__ = ["Begin", "Exchange", "OnInterim", "Wire"]

OnInterim = Callable[[Head], None]
"""Called with each 1xx head when it is received."""


class Wire(Protocol):
    """A connection once its protocol is known. All methods except `is_alive` are plain and quick."""

    @property
    def protocol(self) -> Speaks: ...
    @property
    def engine(self) -> str:
        """The reader of the protocol, with its version."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether it carries many exchanges at once. Only then are `is_open`, `needs_check` and `is_alive` used."""
        ...

    @property
    def capacity(self) -> int:
        """How many exchanges there may be at once."""
        ...

    @property
    def streams(self) -> int:
        """How many HTTP/2 streams were opened on it so far."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it accepts further exchanges."""
        ...

    @property
    def needs_check(self) -> bool:
        """Whether the peer must answer a PING before another exchange begins: see `is_alive`."""
        ...

    async def is_alive(self, deadline: Deadline) -> bool:
        """For a connection that `needs_check`: wait for the answer to a PING."""
        ...

    @property
    def is_quiet(self) -> Callable[[], bool]:
        """A function that returns whether the connection is fit for another exchange: the peer has neither closed it
        nor sent anything that forbids this."""
        ...

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` when input arrives without a reader, if the runtime supports it; for a shared
        connection, when `capacity` or `is_open` may have changed.
        """
        ...

    def close(self) -> None: ...
    def abandon(self) -> None:
        """Like `close`, in the child of a fork: it does not affect the parent's connection."""
        ...


class Exchange(Protocol):
    """One request and its response."""

    @property
    def sent(self) -> int:
        """0 while nothing of the request was handed to the stream."""
        ...

    @property
    def started(self) -> bool:
        """Whether a part of the response has been received."""
        ...

    @property
    def refused(self) -> bool:
        """Whether the peer has reported that it did not process the request."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether it was refused because there were too many exchanges: the same connection may accept it later."""
        ...

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this response, according to its head."""
        ...

    @property
    def lenient(self) -> tuple[Leniency, ...]:
        """The names of the deviations of the framing, the interim heads and the trailers; those of the response head
        are in `Head.lenient`."""
        ...

    @property
    def stream_id(self) -> int | None:
        """The identifier of its stream, where one connection carries many (RFC 9113, section 5.1.1)."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the response is complete; `next` may still return parts of its body."""
        ...

    @property
    def clean(self) -> bool:
        """Whether the connection may carry other exchanges."""
        ...

    @property
    def switched(self) -> bool:
        """Whether a two-way stream follows the head: see `raw`."""
        ...

    @property
    def received(self) -> int:
        """Bytes of the response's body that were received so far."""
        ...

    @property
    def bytes_sent(self) -> int:
        """All bytes sent for it so far: head, framing, body, and those of a raw stream after it."""
        ...

    @property
    def bytes_received(self) -> int:
        """All bytes received for it so far: head, framing, body, and those of a raw stream after it."""
        ...

    @property
    def sent_at(self) -> float | None:
        """When all of the request was handed to the system, on the clock of its deadline; None where it was not."""
        ...

    @property
    def first_at(self) -> float | None:
        """When the first bytes of a response were received; None if they were received together with its head, or not
        at all."""
        ...

    @property
    def phase(self) -> str:
        """The step that `run` is in, for an error message."""
        ...

    @property
    def interim(self) -> Sequence[Head]:
        """The 1xx heads that were received so far."""
        ...

    @property
    def trailers(self) -> Headers:
        """The trailers of the response, once it has ended."""
        ...

    async def run(self) -> Head:
        """Send the request and wait for the head of its final response."""
        ...

    async def next(self) -> bytes:
        """The next bytes of the body as the peer sent them, not decoded; `b""` at its end."""
        ...

    def buffered_body(self) -> bytes | None:
        """The rest of the body if all of it has been received, else None."""
        ...

    def drain(self) -> None:
        """Discard the received bytes, since the rest is not needed; never wait."""
        ...

    def give_up(self) -> bool:
        """End the exchange in any state. Returns whether the connection may still carry others."""
        ...

    def raw(self, release: Callable[[], None]) -> RawStream:
        """The two-way stream after a response that `switched`; `release` is called when it is closed."""
        ...


Begin = Callable[[Request, Deadline, OnInterim, bool], Exchange]
"""Begins an exchange; the last argument is `duplex`."""
