"""The interface of an HTTP/2 engine, and the events that it reports: bytes in, events out."""

from __future__ import annotations

from typing import Protocol

from .._errors import HTTPCoreError
from .._message.fields import Headers
from .._message.head import Head
from .._message.rules import Leniency
from .._values import dataclass


@dataclass(slots=True)
class HeadReceived:
    """A head, interim (1xx, any number of them) or final (one)."""

    stream: int
    head: Head


@dataclass(slots=True)
class BodyReceived:
    """Content of a body, at least one byte. `HTTP2Engine.consumed` is to be told when it was taken.

    What came in one `receive` for one stream comes as one event as far as nothing stands between. A peer may still send
    byte by byte: a keeper of these should join small ones, or each takes a hundred times its size.
    """

    stream: int
    data: bytes | bytearray


@dataclass(slots=True)
class Ended:
    """The response is complete. `trailers` have lower-cased names; `lenient` says what was unusual about them. The
    request may still be on its way."""

    stream: int
    trailers: Headers
    lenient: tuple[Leniency, ...] = ()


@dataclass(slots=True)
class WasReset:
    """The peer ended the stream, both ways. After `Ended` it only means that nothing more need be sent."""

    stream: int
    code: int


@dataclass(slots=True)
class Malformed:
    """The peer broke the rules on this stream, which has been reset; the others go on. It may follow `Ended`."""

    stream: int
    error: HTTPCoreError


@dataclass(slots=True)
class WentAway:
    """The peer takes no new streams. Those above `last_stream` are gone, unprocessed; the others run to their end.

    May come again, with the same or a lower `last_stream`: a higher one is not believed.
    """

    last_stream: int
    code: int
    debug: bytes


@dataclass(slots=True)
class SettingsChanged:
    """The peer's SETTINGS came, for the first time or again: the engine's `max_streams` and others may have changed."""


@dataclass(slots=True)
class WindowOpened:
    """More may be sent on `stream`, which had nothing left; 0 means perhaps on any."""

    stream: int


@dataclass(slots=True)
class Ponged:
    """The answer to `ping`, or at least one that looks like it."""

    payload: bytes


@dataclass(slots=True)
class Failed:
    """The connection is over: the peer broke the rules for all. Always the last event; `take` has the GOAWAY."""

    error: HTTPCoreError


Event = (
    HeadReceived
    | BodyReceived
    | Ended
    | WasReset
    | Malformed
    | WentAway
    | SettingsChanged
    | WindowOpened
    | Ponged
    | Failed
)


class HTTP2Engine(Protocol):
    """The client's side of one HTTP/2 connection (RFC 9113) without I/O: bytes in, events out, bytes to send.

    Not thread-safe: whoever shares it holds a lock around each call. A stream is known from `request` until both
    messages are complete or either side has reset it; afterwards `window` is 0 and `reset` does nothing.
    """

    @property
    def name(self) -> str:
        """Library and version."""
        ...

    @property
    def max_streams(self) -> int:
        """How many streams the peer allows at once: 100 until its SETTINGS came, at most 2**31 - 1."""
        ...

    @property
    def open_streams(self) -> int:
        """Streams that count against `max_streams`."""
        ...

    @property
    def connection_window(self) -> int:
        """How many bytes may be sent on all streams together; `window` is never more. It may be below 0."""
        ...

    @property
    def settings_seen(self) -> bool:
        """The peer's first SETTINGS came."""
        ...

    @property
    def extended_connect(self) -> bool:
        """The peer takes `:protocol` (RFC 8441)."""
        ...

    @property
    def max_frame(self) -> int:
        """The largest DATA frame that we send, in bytes."""
        ...

    @property
    def owed(self) -> int:
        """Bytes that `take` would return."""
        ...

    @property
    def closed(self) -> bool:
        """Over: nothing may be sent any more, but for what `take` still has. After `goaway`, or a `Failed` event."""
        ...

    def start(self) -> None:
        """Send the preface and our SETTINGS. Before all else, once."""
        ...

    def request(self, headers: Headers, *, end: bool) -> int:
        """Open a stream. Returns its id.

        Arguments:
            headers: as they go out: pseudo-headers first, names lower-cased, nothing connection-specific.
            end: there is no body and there are no trailers.

        Raises:
            LocalProtocolError: the ids are used up, the peer went away, it allows no more streams or no `:protocol`,
                or the connection is over.
        """
        ...

    def data(self, stream: int, data: bytes | bytearray | memoryview, *, end: bool) -> None:
        """Send bytes of the body, at most `window(stream)`, in as many frames as needed.

        Raises:
            LocalProtocolError: there are more bytes than the window has room for, or the stream takes none.
        """
        ...

    def trailers(self, stream: int, headers: Headers) -> None:
        """Send trailers, which end the request.

        Raises:
            LocalProtocolError: the stream takes none.
        """
        ...

    def window(self, stream: int) -> int:
        """How many bytes `data` takes now; 0 also when the stream is gone."""
        ...

    def reset(self, stream: int, code: int) -> None:
        """Give the stream up, both ways. What still comes for it is thrown away, and credited."""
        ...

    def consumed(self, stream: int, size: int) -> None:
        """The reader took so many bytes of content, so the peer may send as much again. Also for content that was
        thrown away, also when the stream is gone: the connection gets its credit back in any case."""
        ...

    def ping(self, payload: bytes) -> None:
        """Send a PING with these 8 bytes."""
        ...

    def goaway(self, code: int) -> None:
        """Say that we leave. What was queued still goes out; nothing more may be sent."""
        ...

    @property
    def unread(self) -> bool:
        """`receive` stopped before a frame that it has. It goes on when it is called again, with b"" if need be."""
        ...

    @property
    def frames_read(self) -> int:
        """So far. A frame with much to decode counts for more than one."""
        ...

    def receive(self, data: bytes, now: float | None = None, most: int = 2**31 - 1) -> list[Event]:
        """Feed what was read. Never raises: `Malformed` and `Failed` are events, in their place among the others.

        Arguments:
            data: any bytes, cut anywhere.
            now: seconds of any clock that does not go back. With it, a few frames a second that deliver nothing are
                allowed for ever (see `flood_budget`); without, a quiet connection kept up by the peer's PING alone
                ends after 32,768 of them.
            most: how many frames to read, about; the rest is kept, see `unread`. A caller that shares a loop, or has a
                deadline, asks for a few at a time.
        """
        ...

    def take(self) -> bytes:
        """All that is to be sent, b"" when nothing. Take it when it can be written, not before: what answers the peer
        is bounded only while it waits here."""
        ...
