"""The shadow of an HTTP/2 connection: h2 reads the same frames, and differences are reported.

The native engine decides; h2 decides nothing. h2 gets our frames, and gets each received frame before the native rules
do, so that both are in the same state. h2 reads until one of the two refuses a frame, or until the peer sends GOAWAY,
which would make h2 end the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from h2 import events as h2_events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from .._errors import HTTPCoreError, LimitExceeded
from .._message.fields import Headers
from .._message.head import LIBRARY
from .._message.rules import DEFAULT_RULES, ReadRules
from .differences import is_known_acceptance, is_known_refusal
from .engine import READERS, H2Engine
from .frame_reader import FrameReader
from .frames import CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PADDED, PUSH, Fault, frame_header, unpad
from .h2_engine import NAME
from .hpack_memory import FieldBlock
from .streams import Listener, Stream

__all__ = ["ShadowEngine"]

Fact = tuple[str, object]
"""One fact of a frame and its value: "head", "interim head", "trailers", "content", "end" or "reset", and for h2 also
"refusal", if it resets the stream."""

_CONFIG: Final = H2Configuration(
    client_side=True, header_encoding=False, validate_outbound_headers=False, normalize_inbound_headers=False
)
_KINDS: Final[dict[type, str]] = {
    h2_events.ResponseReceived: "head",
    h2_events.InformationalResponseReceived: "interim head",
    h2_events.TrailersReceived: "trailers",
}


def _facts(events: Sequence[object]) -> list[Fact]:
    """The facts that h2 has read, without those about the connection."""
    found: list[Fact] = []
    for event in events:
        kind = _KINDS.get(type(event))
        if kind is not None:
            found.append((kind, [*event.headers]))  # type: ignore[attr-defined]  # all of those have them
        elif isinstance(event, h2_events.DataReceived) and event.data:
            found.append(("content", event.data))
        elif isinstance(event, h2_events.StreamEnded):
            found.append(("end", None))
        elif isinstance(event, h2_events.StreamReset):
            found.append(("reset" if event.remote_reset else "refusal", None))
    return found


class ShadowEngine(H2Engine):
    """`H2Engine` with a shadow. `report` is called with each difference that no table explains."""

    name = f"{LIBRARY}, {NAME}"

    def __init__(self, report: Callable[[str, str], None], rules: ReadRules = DEFAULT_RULES) -> None:
        super().__init__(rules)
        self._report = report
        self._shadow: H2Connection | None = H2Connection(_CONFIG)
        self._reader = FrameReader([partial(_read_by_both, kind) for kind in range(len(READERS))])
        self._facts: list[Fact] = []
        self._seen_error: HTTPCoreError | None = None
        self._is_block_whole = True  # False: h2 reports the block with a later frame

    # Our frames, which h2 must track.

    def _apply_to_shadow(self, say: Callable[[H2Connection], None]) -> None:
        shadow = self._shadow
        if shadow is not None:
            try:
                say(shadow)
            except ProtocolError:
                pass  # h2 has forgotten this stream; what it reads later is still compared
            shadow.clear_outbound_data_buffer()

    def _write_start(self, settings: Sequence[tuple[int, int]]) -> None:
        super()._write_start(settings)
        assert self._shadow is not None
        ours = {SettingCodes(setting): value for setting, value in settings}
        self._shadow.local_settings = Settings(client=True, initial_values=ours)
        self._apply_to_shadow(lambda shadow: shadow.initiate_connection())

    def _write_head(self, stream: int, headers: Headers, end: bool, key: bytes = b"") -> None:
        super()._write_head(stream, headers, end, key)
        self._apply_to_shadow(lambda shadow: shadow.send_headers(stream, headers, end_stream=end))

    def _write_data(self, stream: int, data: bytes, end: bool) -> None:
        super()._write_data(stream, data, end)
        self._apply_to_shadow(lambda shadow: shadow.send_data(stream, data, end_stream=end))

    def _write_reset(self, stream: int, code: int) -> None:
        super()._write_reset(stream, code)
        self._apply_to_shadow(lambda shadow: shadow.reset_stream(stream, code))

    def _write_window_update(self, stream: int, increment: int) -> None:
        super()._write_window_update(stream, increment)
        self._apply_to_shadow(lambda shadow: shadow.increment_flow_control_window(increment, stream or None))

    # The result of the native rules for a frame.

    def _on_head(self, state: Stream, ends: int, block: FieldBlock, size: int, listener: Listener) -> None:
        is_interim = block.fields and block.fields[0][1][:1] == b"1"
        self._facts.append(("interim head" if is_interim else "head", [*block.fields]))
        super()._on_head(state, ends, block, size, listener)

    def _on_trailers(self, state: Stream, ends: int, fields: Any, listener: Listener) -> None:
        self._facts.append(("trailers", [*fields]))
        super()._on_trailers(state, ends, fields, listener)

    def _took_end(self, stream: Stream) -> None:
        self._facts.append(("end", None))
        super()._took_end(stream)

    def _took_reset(self, stream: Stream) -> None:
        self._facts.append(("reset", None))
        super()._took_reset(stream)

    def _malformed(self, state: Stream, code: Any, error: HTTPCoreError, listener: Listener) -> None:
        self._seen_error = error
        super()._malformed(state, code, error, listener)

    def on_data(self, flags: int, stream: int, payload: bytes, listener: Listener, frames: int = 1) -> None:
        size = len(payload) // frames
        raw = b"".join([_frame(DATA, flags, stream, payload[at * size :][:size]) for at in range(frames)])
        self._is_block_whole = True
        self.read_twice(raw, lambda: self._on_data(flags, stream, payload, listener, frames))

    def _on_data(self, flags: int, stream: int, payload: bytes, listener: Listener, frames: int) -> None:
        if stream in self._streams:
            content = unpad(DATA, flags, payload) if flags & PADDED else payload
            if content:
                self._facts.append(("content", content))
        super().on_data(flags, stream, payload, listener, frames)

    # Comparison.

    def note_block(self, is_cut: bool) -> None:
        """Record whether the next frame has only a part of a header block: h2 reports a block only when it is
        complete."""
        self._is_block_whole = not is_cut

    def read_twice(self, raw: bytes, read: Callable[[], None]) -> None:
        """Have h2 and then the native rules read these frames, and compare the results."""
        shadow = self._shadow
        if shadow is None:
            read()
            return
        self._facts, self._seen_error = [], None
        refusal = ""
        theirs: list[Fact] = []
        _ = shadow.open_outbound_streams  # makes h2 forget closed streams: it would change their windows too
        try:
            theirs = _join_content(_facts(shadow.receive_data(raw)))
        except ProtocolError as error:
            refusal = str(error) or type(error).__name__
        shadow.clear_outbound_data_buffer()
        if ("refusal", None) in theirs:
            refusal = "a reset"
        try:
            read()
        except Fault as fault:
            self._seen_error = fault.error
            raise
        finally:
            self._compare(theirs, refusal, raw)

    def _compare(self, theirs: list[Fact], refusal: str, raw: bytes) -> None:
        ours = self._seen_error
        if ours is not None or refusal or self._has_goaway:
            self._shadow = None
        if ours is not None:
            if (
                not refusal
                and self._is_block_whole
                and not isinstance(ours, LimitExceeded)
                and not is_known_acceptance(ours.message, raw[3], raw[9:])
            ):
                self._report(NAME, "it accepts input that is refused here")
        elif refusal:
            if not is_known_refusal(refusal, raw[3], raw[9:]):
                self._report(NAME, "it refuses input that is accepted here")
        elif self._facts != theirs:
            self._shadow = None
            self._report(NAME, " and ".join(sorted({kind for kind, _ in (*self._facts, *theirs)})))


def _join_content(facts: list[Fact]) -> list[Fact]:
    """The facts with all content in one piece, since the native engine reads equal DATA frames as one."""
    content = b"".join([value for kind, value in facts if kind == "content"])  # type: ignore[misc]  # bytes, then
    others = [fact for fact in facts if fact[0] != "content"]
    return [("content", content), *others] if content else others


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return frame_header.pack(size >> 8, size & 255, kind, flags, stream) + payload


def _read_by_both(kind: int, engine: ShadowEngine, flags: int, stream: int, payload: bytes, listener: Listener) -> None:
    read = partial(READERS[kind], engine, flags, stream, payload, listener)
    engine.note_block(kind in (HEADERS, PUSH, CONTINUATION) and not flags & END_HEADERS)
    if kind == GOAWAY:
        read()
    else:
        engine.read_twice(_frame(kind, flags, stream, payload), read)
