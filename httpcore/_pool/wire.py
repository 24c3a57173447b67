"""The interface of a protocol for the pool: a connection, and one exchange on it.

HTTP/1.1 and HTTP/2 have the same face here, so that nothing in the pool asks which of them it is; a third protocol is a
third pair of classes. How far an exchange got, `_pool/resend` asks of the same object.
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
"""Called with each 1xx head as it comes."""


class Wire(Protocol):
    """A connection once its protocol is known. All but `is_alive` is plain and quick."""

    @property
    def protocol(self) -> Speaks: ...
    @property
    def engine(self) -> str:
        """The reader of the protocol, with its version."""
        ...

    @property
    def is_shared(self) -> bool:
        """It carries many exchanges at once. The three below are asked of such connections alone."""
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
        """It takes further exchanges."""
        ...

    @property
    def needs_check(self) -> bool:
        """The peer is to show that it is there before another exchange begins: see `is_alive`."""
        ...

    async def is_alive(self, deadline: Deadline) -> bool:
        """Of one that `needs_check`: wait for the answer to a PING."""
        ...

    @property
    def is_quiet(self) -> Callable[[], bool]:
        """Whether it is fit for another exchange: the peer has neither left nor sent anything against it."""
        ...

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` when input arrives without a reader, if the runtime supports it; of a shared
        connection, when `capacity` or `is_open` may have changed.
        """
        ...

    def close(self) -> None: ...
    def abandon(self) -> None:
        """As `close`, in the child of a fork: the parent's connection does not notice."""
        ...


class Exchange(Protocol):
    """One request and its response."""

    @property
    def sent(self) -> int:
        """0 while nothing of the request was handed to the stream."""
        ...

    @property
    def started(self) -> bool:
        """Something of the response has come."""
        ...

    @property
    def refused(self) -> bool:
        """Whether the peer has reported that it did not process the request."""
        ...

    @property
    def crowded(self) -> bool:
        """If it was refused: there were too many, so the same connection may take it later."""
        ...

    @property
    def closes(self) -> bool:
        """The head of the response says that the connection ends with it."""
        ...

    @property
    def lenient(self) -> tuple[Leniency, ...]:
        """The names of the deviations of the framing, the interim heads and the trailers; the head has its own."""
        ...

    @property
    def stream_id(self) -> int | None:
        """The identifier of its stream, where one connection carries many (RFC 9113, section 5.1.1)."""
        ...

    @property
    def ended(self) -> bool:
        """The response is complete; parts of its body may still wait in `next`."""
        ...

    @property
    def clean(self) -> bool:
        """The connection may carry other exchanges."""
        ...

    @property
    def switched(self) -> bool:
        """Whether a two-way stream follows the head: see `raw`."""
        ...

    @property
    def received(self) -> int:
        """Bytes of the response's body that came so far."""
        ...

    @property
    def bytes_sent(self) -> int:
        """All bytes sent for it so far: head, framing, body, and those of a raw stream after it."""
        ...

    @property
    def bytes_received(self) -> int:
        """All that came for it so far, likewise."""
        ...

    @property
    def sent_at(self) -> float | None:
        """When all of the request was handed to the system, on the clock of its deadline; None where it was not."""
        ...

    @property
    def first_at(self) -> float | None:
        """When the first bytes of a response came; None: together with its head, or not at all."""
        ...

    @property
    def phase(self) -> str:
        """The step that `run` is in, for an error message."""
        ...

    @property
    def interim(self) -> Sequence[Head]:
        """The 1xx heads that came so far."""
        ...

    @property
    def trailers(self) -> Headers:
        """Of the response, once its end has come."""
        ...

    async def run(self) -> Head:
        """Send the request and wait for the head of its final response."""
        ...

    async def next(self) -> bytes:
        """The next bytes of the body as sent, `b""` at its end."""
        ...

    def buffered_body(self) -> bytes | None:
        """The rest of the body if it has all arrived, else None."""
        ...

    def drain(self) -> None:
        """The rest is not wanted: throw away the received bytes; never wait."""
        ...

    def give_up(self) -> bool:
        """End it here, whatever its state. Tells whether the connection may carry others all the same."""
        ...

    def raw(self, release: Callable[[], None]) -> RawStream:
        """The two-way stream behind a response that `switched`; `release` is called when it is closed."""
        ...


Begin = Callable[[Request, Deadline, OnInterim, bool], Exchange]
"""Begins an exchange; the last argument is `duplex`."""
