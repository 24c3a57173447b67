"""The layout of HTTP/2's frames (RFC 9113, sections 4 and 6), and the checks before a frame is handled. Pure."""

from __future__ import annotations

from struct import Struct
from typing import Final

from .._errors import Code, HTTPCoreError, LimitExceeded, RemoteProtocolError, show

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "DEFAULT_WINDOW",
    "ENABLE_CONNECT_PROTOCOL",
    "ENABLE_PUSH",
    "END_HEADERS",
    "END_STREAM",
    "FRAME_NAMES",
    "Fault",
    "GOAWAY",
    "HEADERS",
    "HEADER_TABLE_SIZE",
    "INITIAL_WINDOW_SIZE",
    "LARGEST_WINDOW",
    "LAST_ID",
    "MAX_CONCURRENT_STREAMS",
    "MAX_FRAME",
    "MAX_FRAME_SIZE",
    "MAX_HEADER_LIST_SIZE",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PUSH",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "WITH_PRIORITY",
    "check_first",
    "check_setting",
    "check_size",
    "check_whole",
    "connect_protocol_fault",
    "fault",
    "frame_header",
    "read_settings",
    "setting_pair",
    "limit_fault",
    "two_uint32",
    "uint32",
    "unpad",
]

MAX_FRAME: Final = 16384
"""The largest payload of a frame that we accept, in bytes: the default of RFC 9113. Larger ones were not faster."""

LAST_ID: Final = 2**31 - 1
LARGEST_WINDOW: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65535

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

FRAME_NAMES: Final = (
    "DATA",
    "HEADERS",
    "PRIORITY",
    "RST_STREAM",
    "SETTINGS",
    "PUSH_PROMISE",
    "PING",
    "GOAWAY",
    "WINDOW_UPDATE",
    "CONTINUATION",
)
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6
ENABLE_CONNECT_PROTOCOL: Final = 8

frame_header = Struct(">HBBBL")  # length in two parts, type, flags, stream
setting_pair = Struct(">HL")
uint32 = Struct(">L")
two_uint32 = Struct(">LL")


class Fault(Exception):
    """An error that ends the connection. It is never raised outside of the engine."""

    def __init__(self, code: Code, error: HTTPCoreError) -> None:
        super().__init__(code, error)
        self.code = code
        self.error = error


def fault(code: Code, message: str) -> Fault:
    return Fault(code, RemoteProtocolError(f"{message} ({code.name})"))


def limit_fault(message: str, limit: int) -> Fault:
    code = Code.ENHANCE_YOUR_CALM
    return Fault(code, LimitExceeded(f"{message}: expected at most {limit:,} ({code.name})", limit=limit))


def unpad(kind: int, flags: int, payload: bytes) -> bytes:
    """The payload without padding (6.1)."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise fault(Code.FRAME_SIZE_ERROR, f"the peer sent a padded {FRAME_NAMES[kind]} frame of 0 bytes")
    if payload[0] >= len(payload):
        raise fault(
            Code.PROTOCOL_ERROR,
            f"the peer sent a {FRAME_NAMES[kind]} frame of {len(payload)} bytes with {payload[0]} bytes of padding",
        )
    return payload[1 : len(payload) - payload[0]]


def check_size(kind: int, payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise fault(
            Code.FRAME_SIZE_ERROR,
            f"the peer sent a {FRAME_NAMES[kind]} frame of {len(payload)} bytes: expected {size}",
        )


def check_whole(kind: int, stream: int) -> None:
    if stream:
        raise fault(
            Code.PROTOCOL_ERROR,
            f"the peer sent {FRAME_NAMES[kind]} on stream {stream}: it concerns the connection, which is stream 0",
        )


def check_first(header: bytes, kind: int, flags: int) -> None:
    """Check the peer's preface: a SETTINGS frame that is not an acknowledgement (3.4)."""
    if kind == SETTINGS and not flags & ACK:
        return
    seen = "HTTP/1.1" if header.startswith(b"HTTP/1") else f"something else, which begins with {show(header)}"
    raise fault(Code.PROTOCOL_ERROR, f"the peer does not speak HTTP/2 but {seen}")


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Identifier and value of each setting (6.5.1)."""
    if len(payload) % 6:
        raise fault(
            Code.FRAME_SIZE_ERROR, f"the peer sent a SETTINGS frame of {len(payload)} bytes: not a multiple of 6"
        )
    return [*setting_pair.iter_unpack(payload)]


def check_setting(setting: int, value: int) -> None:
    """Check that the setting may have this value (6.5.2)."""
    if setting == INITIAL_WINDOW_SIZE and value > LARGEST_WINDOW:
        raise fault(Code.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE {value:,} makes a window too large")
    if setting == MAX_FRAME_SIZE and not MAX_FRAME <= value < 1 << 24:
        raise fault(Code.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE {value:,}: expected 16,384 to 16,777,215")
    if setting == ENABLE_PUSH and value:
        raise fault(Code.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH {value} from a server: expected 0")
    if setting == ENABLE_CONNECT_PROTOCOL and value > 1:
        raise connect_protocol_fault(value)


def connect_protocol_fault(value: int) -> Fault:
    message = f"SETTINGS_ENABLE_CONNECT_PROTOCOL {value}: expected 1, or 0 until then"
    return fault(Code.PROTOCOL_ERROR, message)
