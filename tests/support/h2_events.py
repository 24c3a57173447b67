"""The HTTP/2 engine as bytes in, events out: the calls to its streams and its listener become a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engines import chosen_engine

from httpcore import HTTPCoreError
from httpcore._http2.engine import H2Engine
from httpcore._http2.streams import Stream
from httpcore._message.fields import Headers
from httpcore._message.head import Head
from httpcore._message.rules import DEFAULT_RULES, ReadRules


@dataclass
class HeadReceived:
    """An interim or final head."""

    stream: int
    head: Head


@dataclass
class BodyReceived:
    stream: int
    data: bytes | bytearray


@dataclass
class EndReceived:
    stream: int
    trailers: Headers


@dataclass
class ResetReceived:
    stream: int
    code: int


@dataclass
class Malformed:
    stream: int
    error: HTTPCoreError


@dataclass
class GoawayReceived:
    last_stream: int
    code: int
    debug: bytes


@dataclass
class SettingsChanged:
    pass


@dataclass
class WindowOpened:
    """More bytes may be sent on `stream`; if it is 0, perhaps on any stream."""

    stream: int


@dataclass
class PingAckReceived:
    pass


@dataclass
class Failed:
    error: HTTPCoreError


Event = (
    HeadReceived
    | BodyReceived
    | EndReceived
    | ResetReceived
    | Malformed
    | GoawayReceived
    | SettingsChanged
    | WindowOpened
    | PingAckReceived
    | Failed
)


make_engine: Callable[[ReadRules], H2Engine] = chosen_engine
"""The function that makes the engines, so that a test can use another engine."""


class RecordingStream(Stream):
    """Adds events to the list of its engine."""

    def __init__(self, owner: EventEngine) -> None:
        self._owner = owner

    def on_interim(self, head: Head) -> None:
        self._owner.events.append(HeadReceived(self.number, head))

    def on_head(self, head: Head) -> None:
        self._owner.events.append(HeadReceived(self.number, head))

    def on_body(self, data: bytes) -> None:
        events = self._owner.events
        last = events[-1] if events else None
        if len(data) < 4096 and isinstance(last, BodyReceived) and last.stream == self.number:
            if isinstance(last.data, bytes):
                last.data = bytearray(last.data)
            last.data += data
        else:
            events.append(BodyReceived(self.number, data))

    def on_end(self) -> bool:
        self._owner.events.append(EndReceived(self.number, self.trailers))
        return False


class EventEngine:
    """An engine whose streams are known by their numbers, and its listener. All other attributes are those of the
    engine.
    """

    def __init__(self, rules: ReadRules = DEFAULT_RULES) -> None:
        self.inner = make_engine(rules)
        self.events: list[Event] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def _stream(self, number: int) -> Stream:
        # No other object holds the open streams; a stream that is kept here would count as memory of the engine.
        found = self.inner._streams.get(number)
        if found is None:
            found = RecordingStream(self)
            found.number = number
        return found

    def request(self, headers: Headers, *, end: bool) -> int:
        stream = RecordingStream(self)
        self.inner.request(stream, headers, end=end)
        return stream.number

    def data(self, stream: int, data: bytes | bytearray | memoryview, *, end: bool) -> None:
        self.inner.data(self._stream(stream), data, end=end)

    def trailers(self, stream: int, headers: Headers) -> None:
        self.inner.trailers(self._stream(stream), headers)

    def window(self, stream: int) -> int:
        return self.inner.window(self._stream(stream))

    def reset(self, stream: int, code: int) -> None:
        self.inner.reset(self._stream(stream), code)

    def consumed(self, stream: int, size: int) -> None:
        self.inner.consumed(self._stream(stream), size)

    def goaway(self, code: int) -> None:
        self.inner.goaway(code)
        self.inner.forget_streams()

    def receive(self, data: bytes, now: float | None = None, most: int = 2**31 - 1) -> list[Event]:
        self.events = []
        self.inner.receive(data, self, now, most)
        return self.events

    # The listener.

    def on_settings(self) -> None:
        self.events.append(SettingsChanged())

    def on_window(self) -> None:
        self.events.append(WindowOpened(0))

    def on_stream_window(self, stream: Stream) -> None:
        self.events.append(WindowOpened(stream.number))

    def on_pong(self) -> None:
        self.events.append(PingAckReceived())

    def on_reset(self, stream: Stream, code: int) -> None:
        self.events.append(ResetReceived(stream.number, code))

    def on_malformed(self, stream: Stream, error: HTTPCoreError) -> None:
        self.events.append(Malformed(stream.number, error))

    def on_goaway(self, last: int, code: int, debug: bytes, gone: Sequence[Stream]) -> None:
        self.events.append(GoawayReceived(last, code, debug))

    def on_failed(self, error: HTTPCoreError) -> None:
        self.inner.forget_streams()
        self.events.append(Failed(error))
