"""The budget for the work of a peer's HTTP/2 frames, refilled by useful traffic and by time. Pure: no I/O, no clock.

Every frame is charged for the CPU time and the memory that it takes. A unit is about a microsecond of CPU time: the
figures below are microseconds per item of `H2Engine.receive`, best of five runs, CPython 3.11, on the machine that the
benchmarks run on; the code of the connection at most doubles them. The charge is rounded up where items differ.

Some frames are free, since something else bounds them: the final head and the trailers of a stream that we opened, and
the frame that ends it (one of each per request); DATA that fills the windows we granted in frames that are not tiny.

These refill the budget, and a hostile peer can use each of them:

- content that the caller read. A peer that delivers content may spend in proportion to it.
- a request of ours: 128 units, about the cost of our own side of the request.
- the sent bytes of a request's body: a sixty-fourth of a unit for each byte, and up to 64 units for each piece.
- time: 16 units a second. Keep-alives on a quiet connection need this: four PING frames a second, for ever, are
  no flood. A peer that spends all of them takes 0.002 % of one CPU, or 1.4 seconds in a day.

The budget never holds more than `BUDGET` units, so neither a pause nor a large download allows a longer flood. Thus
frames that deliver nothing end the connection after about 0.2 seconds of CPU time. The documented limit, which leaves
room for slower machines, is one second and 4 MiB. The cost of a frame does not depend on how the bytes were cut.
"""

from __future__ import annotations

from math import inf
from typing import Final

__all__ = [
    "ANSWERED",
    "BUDGET",
    "FRAME",
    "TINY",
    "FloodBudget",
    "abandoned_data_cost",
    "block_cost",
    "data_cost",
    "goaway_cost",
    "interim_cost",
    "other_cost",
    "padding_cost",
    "window_raise_cost",
    "settings_cost",
    "window_cost",
]

BUDGET: Final = 1 << 17
"""Units that a peer may spend before it delivers something: 65,536 small frames, or 32,768 PING that we answer."""

# The costs of frames.

FRAME: Final = 2
"""The cost of any frame, without its payload. Measured: unknown 0.6, PRIORITY 0.8, acknowledgement 0.8,
RST_STREAM 0.9, CONTINUATION 0.9, answer to PING 1.1, empty DATA 1.4, DATA of one byte 0.6 (equal frames) to 1.7."""

ANSWERED: Final = 4
"""The cost of a frame that makes us send a reply: PING 1.4, SETTINGS 2.0, and the cost of writing the reply."""

TINY: Final = 16
"""A DATA frame of an open stream with at least this many bytes of content is free."""

# The refills of the budget.

_REQUEST: Final = 128
_TAKEN: Final = 16  # each time that the caller reads content
_TAKEN_BYTE: Final = 2  # enough to pay for a body in frames of one byte
_SENT_MOST: Final = 64  # for a piece of a request's body, one per byte up to this: see `window_cost`
_SENT_BYTES: Final = 64  # bytes of such a piece for which one more unit is added
_SECOND: Final = 16

# Parts of the costs.

_SMALL_ABANDONED: Final = 128
_PADDING: Final = 8  # bytes of padding that cost one unit
_BYTES: Final = 64  # bytes of a discarded payload that cost one unit: 16 KiB take 5 µs to read and up to 20 to receive
_FIELD: Final = 2
_BLOCK_BYTES: Final = 8
_KEPT: Final = 4
_HINTS: Final = 512
_STREAMS: Final = 16
_WOKEN: Final = 32
_WAITING: Final = 4


def data_cost(size: int, frames: int) -> int:
    """The cost of DATA for an open stream: `frames` frames of equal size, with `size` bytes of content in total.

    Frames of 16 bytes or more are free: messages of gRPC are that small, and if the reader is slow a whole window may
    be full of them. A window in frames of 16 bytes takes 0.15 seconds, once per request; in frames of one byte it took
    1.9 seconds.
    """
    cost = FRAME - FRAME * size // (frames * TINY)
    return cost * frames if cost > 0 else 0


def abandoned_data_cost(size: int, frames: int) -> int:
    """The cost of DATA within the window of a stream that we reset (measured: 2.3). The DATA was under way at the
    reset, so frames of 256 bytes or more are free: a window of 1 MiB then takes 0.01 seconds."""
    cost = FRAME - size // (frames * _SMALL_ABANDONED)
    return cost * frames if cost > 0 else 0


def padding_cost(size: int) -> int:
    """The cost of padding. It uses windows and delivers nothing: more than about 16 times the content is a flood."""
    return size // _PADDING


def other_cost(size: int) -> int:
    """The cost of a frame whose payload is discarded."""
    return FRAME + size // _BYTES


def block_cost(size: int, fields: int) -> int:
    """The cost of a header block of `size` bytes with `fields` fields.

    Measured: an indexed field 0.15 to 0.6; a literal that was not seen before 1.6, or 3.7 with a long index; a byte of
    a Huffman code 0.1.
    """
    return FRAME + fields * _FIELD + size // _BLOCK_BYTES


def interim_cost(size: int, fields: int, *, first: bool) -> int:
    """The cost of an interim head's block. The head stays in memory until its exchange ends: a field takes about 150
    bytes. The first interim head of a stream is free up to an ordinary size, since each of thousands of streams may
    have one."""
    cost = _KEPT * (block_cost(size, fields) + FRAME)
    return max(0, cost - _HINTS) if first else cost


def settings_cost(settings: int, windows: int, streams: int) -> int:
    """The cost of SETTINGS with `settings` settings (0.2 to 0.6 each). `windows` of these settings change the initial
    window: for each of them all `streams` may be looked at (0.035 a stream)."""
    return ANSWERED + settings + windows * (1 + streams // _STREAMS)


def window_raise_cost(sending: int) -> int:
    """The cost of SETTINGS that raise the initial window of `sending` streams which still send: each stream may wake a
    task, see `window_cost`. It is at most a quarter of the budget, so that a peer may do this three times with any
    number of streams."""
    return min(sending * _WOKEN, BUDGET // 4)


def goaway_cost(size: int, streams: int) -> int:
    """The cost of GOAWAY: all streams are checked (0.015 a stream in the engine)."""
    return other_cost(size) + streams // _STREAMS


def window_cost(waiting: int) -> int:
    """The cost of WINDOW_UPDATE (1.4 to 1.7). If it opens an exhausted window, it may wake a task, which sends a few
    bytes (50 to 100): a peer that opens its window byte by byte pays for that. `waiting` is the number of streams that
    may have waited for it, and that are searched for one that can send (0.3 each); 0 if the window was open."""
    return FRAME + _WOKEN + waiting // _WAITING if waiting else FRAME


class FloodBudget:
    """The budget of one connection.

    Attributes:
        left: units. Below 0 the connection must end.
        due: when `earn_time` is to be called next.
    """

    __slots__ = ("due", "left")

    def __init__(self) -> None:
        self.left = BUDGET
        self.due = -inf

    def spend(self, cost: int) -> bool:
        """Charge the peer. False when it has spent too much."""
        self.left -= cost
        return self.left >= 0

    def earn_request(self) -> None:
        """Refill the budget for a stream that we opened."""
        left = self.left + _REQUEST
        self.left = left if left < BUDGET else BUDGET

    def earn_taken(self, size: int) -> None:
        """Refill the budget for `size` bytes of content that the caller read."""
        left = self.left + _TAKEN + size * _TAKEN_BYTE
        self.left = left if left < BUDGET else BUDGET

    def earn_sent(self, size: int) -> None:
        """Refill the budget for `size` bytes of a request's body, sent in one piece: the peer may answer with
        WINDOW_UPDATE frames."""
        left = self.left + min(size, _SENT_MOST) + size // _SENT_BYTES
        self.left = left if left < BUDGET else BUDGET

    def earn_time(self, now: float) -> None:
        """Refill the budget for the time until `now`, in seconds of any clock that does not go back."""
        passed = int(min(now - self.due + 1, BUDGET))
        self.left = min(self.left + passed * _SECOND, BUDGET)
        self.due = now + 1
