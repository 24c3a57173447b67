"""The reference engine of HTTP/2: h2 writes what we send, and keeps the windows and the states of the streams.

The native engine checks received frames, since h2 ends the whole connection for one malformed response or for a GOAWAY,
though the streams below its last id continue. Each accepted change is passed to h2 as the shortest frame with the same
meaning; h2's replies are discarded, since we write our own:

- A response is passed as its status and its end. h2 gets neither its fields nor its DATA: h2 would credit the peer for
  content that no reader has taken, and its speed is a sixth of ours.
- SETTINGS and WINDOW_UPDATE are passed with their values, and RST_STREAM without its code, so that h2 sends no more
  than the peer accepts.
- GOAWAY is not passed: h2 would end the connection.

So h2 writes the preface, SETTINGS, heads, DATA, trailers and resets. WINDOW_UPDATE, PING, GOAWAY and acknowledgements
are written by the native engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import h2
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from .._errors import Code, LocalProtocolError
from .._message.fields import Headers
from .._message.rules import DEFAULT_RULES, ReadRules
from .engine import H2Engine
from .frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADER_TABLE_SIZE,
    HEADERS,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    fault,
    frame_header,
    setting_pair,
    uint32,
)
from .hpack_memory import FieldBlock
from .streams import Listener, Stream

__all__ = ["NAME", "ReferenceEngine"]

NAME: Final = f"h2 {h2.__version__}"

# Our rules check fields in both directions, so h2 does not. Its normalisation of outbound fields stays on: it encodes
# Authorization, Proxy-Authorization and short cookies as never-indexed literals, so that HPACK's dynamic table never
# holds them (RFC 7541, section 7.1.3).
_CONFIG: Final = H2Configuration(
    client_side=True,
    header_encoding=False,
    validate_outbound_headers=False,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)


SHOWN: Final = 16
"""The cost of SETTINGS and WINDOW_UPDATE in this engine, in addition to the charges of `flood_budget`: h2 needs 40 to
100 µs for one of these frames, the native engine 2."""

_KNOWN_SETTINGS: Final = frozenset(SettingCodes)


class ReferenceEngine(H2Engine):
    """`H2Engine` with frames that h2 writes."""

    name = NAME

    def __init__(self, rules: ReadRules = DEFAULT_RULES) -> None:
        super().__init__(rules)
        self._h2 = H2Connection(_CONFIG)
        self._streams_with_head: set[int] = set()  # open streams whose head was passed to h2
        self._new_settings: dict[int, int] = {}  # settings of the peer that were not passed to h2 yet

    def window(self, stream: Stream) -> int:
        if stream.sent_all or not stream.is_open or self.closed:
            return 0
        return max(0, self._h2.local_flow_control_window(stream.number))

    # Output.

    def _write_start(self, settings: Sequence[tuple[int, int]]) -> None:
        ours = {SettingCodes(setting): value for setting, value in settings}
        self._h2.local_settings = Settings(client=True, initial_values=ours)
        self._write(self._h2.initiate_connection)

    def _write_head(self, stream: int, headers: Headers, end: bool, key: bytes = b"") -> None:
        self._write(lambda: self._h2.send_headers(stream, headers, end_stream=end))

    def _write_data(self, stream: int, data: bytes, end: bool) -> None:
        self._write(lambda: self._h2.send_data(stream, data, end_stream=end))

    def _write_reset(self, stream: int, code: int) -> None:
        self._write(lambda: self._h2.reset_stream(stream, code))

    def _write(self, say: Callable[[], None]) -> None:
        try:
            say()
        except ProtocolError as error:
            raise LocalProtocolError(f"h2 refuses to send this frame: {error}") from None
        self._out.put(self._h2.data_to_send())

    # Changes that are passed to h2.

    def _show(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        try:
            self._h2.receive_data(frame_header.pack(size >> 8, size & 255, kind, flags, stream) + payload)
        except ProtocolError as error:
            raise fault(Code.INTERNAL_ERROR, f"h2 refuses what the rules allow: {error}") from None
        self._h2.clear_outbound_data_buffer()

    def _show_head(self, stream: int, status: int) -> None:
        # The block is one `:status`, a literal that is not added to HPACK's dynamic table (RFC 7541, 6.2.2).
        self._show(HEADERS, END_HEADERS, stream, b"\x08\x03%d" % status)

    def _on_head(self, state: Stream, ends: int, block: FieldBlock, size: int, listener: Listener) -> None:
        super()._on_head(state, ends, block, size, listener)
        if state.is_open and not state.ended and block.head is not None:
            self._show_head(state.number, block.head[0].status)
            if state.head_seen:
                self._streams_with_head.add(state.number)

    def _took_end(self, stream: Stream) -> None:
        if stream.number not in self._streams_with_head:  # head and end were received in one frame
            self._show_head(stream.number, 200)
        self._show(DATA, END_STREAM, stream.number, b"")
        super()._took_end(stream)

    def _took_reset(self, stream: Stream) -> None:
        self._show(RST_STREAM, 0, stream.number, uint32.pack(0))
        super()._took_reset(stream)

    def _took_setting(self, setting: int, value: int) -> None:
        super()._took_setting(setting, value)
        if setting == HEADER_TABLE_SIZE and value > self._new_settings.get(setting, value):
            self._show_settings()  # the smaller size before this one matters too (RFC 7541, 4.2)
        if setting in _KNOWN_SETTINGS:
            self._new_settings[setting] = value

    def _show_settings(self) -> None:
        taken, self._new_settings = self._new_settings, {}
        if taken:
            self._charge(SHOWN)
            # This count makes h2 forget closed streams: otherwise it would change their windows as well.
            _ = self._h2.open_outbound_streams
            self._show(SETTINGS, 0, 0, b"".join([setting_pair.pack(*pair) for pair in taken.items()]))

    def _write_settings_answer(self) -> None:
        self._show_settings()
        super()._write_settings_answer()

    def _took_window_update(self, stream: Stream | None, increment: int) -> None:
        super()._took_window_update(stream, increment)
        self._charge(SHOWN)
        self._show(WINDOW_UPDATE, 0, 0 if stream is None else stream.number, uint32.pack(increment))

    def _remove(self, stream: Stream) -> None:
        super()._remove(stream)
        self._streams_with_head.discard(stream.number)
