"""Content decoding: gzip, deflate, br, zstd, and chains of them, in pieces of bounded size. No I/O.

A body of one megabyte may decode to a gigabyte, so the decoder makes only as much content as the caller requests: the
caller feeds the bytes that it has read, and takes pieces of at most 64 KiB until there are no more. Each coding is a
stage that pulls from the stage before it. So a chain holds one piece per stage, and no work is done while the caller
takes nothing. One `step` does a bounded amount of work, whether or not it makes content, so that the caller can let
other tasks run.

The following is decided here, because no RFC decides it:

- A registered coding that is not known here, or whose library is missing, is an error. The body is not returned
  undecoded: a caller that expects content must not silently get something else. `raw()` returns the bytes as sent. A
  name that is not registered (`UTF-8`, `none`, `aws-chunked`) says nothing about the body: it is ignored and noted, or
  is an error if the rules are strict.
- A body without any byte is an empty body in any coding (the response to HEAD has the Content-Encoding, too).
- A truncated body is an error, even if all of the content was received and only the checksum is missing.
- gzip may have several members (RFC 1952 section 2.2) and zstd several frames (RFC 8878 section 3). At most 1,000 are
  accepted, and one more for each KiB decoded: `bgzip` makes one every 64 KiB, and a flood of empty members would only
  waste CPU time.
- Zero bytes after gzip are padding (tapes and `tar` leave it; gzip itself skips it). Other bytes there that do not
  begin a member (RFC 1952 section 2.3.1) are ignored and noted, as gzip(1) does, or are an error if the rules are
  strict. Any bytes after the end of another coding are an error.
- deflate is zlib (RFC 9110 section 8.4.1.2), or raw deflate if the first two bytes are not a zlib header: servers send
  both.
- zstd windows above 8 MiB are refused (RFC 9659). In brotli's format the largest window is 16 MiB.
- A zstd frame whose content is not as long as its header declares is an error (RFC 8878 section 3.1.1.1.4). Whether the
  library notices this, or a window above 8 MiB, depends on how the input is split. So both are read from the frame
  header here.
- A brotli library that cannot limit its output (before 1.2; brotlipy) is used only if there is no better one, and is
  fed 16 bytes at a time: each such step makes about 32 MiB at the worst, where a whole piece could make gigabytes. A
  library that ignores input after the end of the stream is fed single bytes. Two such codings in one chain are refused.
- In a chain the factors multiply: five codings with a factor of a thousand each would keep one call busy for years, and
  the last may still make no content. So all stages of a chain share one budget, see `_Budget`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from .._errors import DecodingError, LimitExceeded, show
from .._forking import OPENSSL
from .._values import dataclass
from .rules import Leniency

if TYPE_CHECKING:
    import zlib

__all__ = ["Decoder", "decoder_for", "is_coded", "supported_codings"]

PIECE: Final = 65_536
MAX_CODINGS: Final = 5
MAX_MEMBERS: Final = 1_000
BYTES_PER_FURTHER_MEMBER: Final = 1_024

# The budget of a chain. The slowest input that was found (brotli or deflate blocks that consist of prefix codes only)
# takes 0.1 to 0.3 us for each byte passed between stages, so that 4 KiB received, without content, cost 10 to 30 ms.
# Ordinary codings pass on no more bytes than were received. The exception is very repetitive content: there the first
# coding compresses it to a thousandth, and the next to a few bytes.
PASSED_AT_LEAST: Final = 32_768
PASSED_PER_BYTE_RECEIVED: Final = 16
CONTENT_PER_BYTE_PASSED: Final = 256
PASSED_PER_MEMBER: Final = 64  # beginning a zstd frame takes 11 us
MAX_WINDOWS: Final = 33_554_432
# A chain counts its input in blocks that begin at multiples of this size, so the count does not depend on how the input
# is split.
_BLOCK: Final = 256
# The most bytes of input that one step of the decoder reads: at the worst this takes about 10 ms.
_TURN: Final = 32_768

# At each call zlib and brotli copy the input that is not consumed yet: with small slices the total cost stays linear.
_SLICE: Final = 16_384
# brotli's output grows by blocks of 32, 64, 256 KiB. The limit is tested between blocks: this stops after the first.
_BROTLI_PIECE: Final = 32_000
_ZSTD_WINDOW_LOG: Final = 23
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_DEFLATE_WINDOW: Final = 32_768
# About 10 bytes can begin a block that decodes to 16 MiB.
_OLD_BROTLI_STEP: Final = 16


Note = Callable[[Leniency], bool]
"""Called with the name of a deviation. Returns False if the deviation is an error."""


class _Source(Protocol):
    """The source of a stage: the fed bytes, or the stage before."""

    def take(self) -> bytes:
        """The next piece, b"" when there is none yet."""
        ...


class _Unpacker(Protocol):
    """Decodes one member of one coding. It has the interface of the zstd library; other libraries have adapters."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    """gzip or deflate as an `_Unpacker`. A `wbits` of 31 is gzip, 15 zlib, -15 raw deflate."""

    __slots__ = ("_object", "needs_input")

    def __init__(self, library: Any, wbits: int) -> None:
        self._object: zlib._Decompress = library.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        engine = self._object
        piece = engine.decompress(data or engine.unconsumed_tail, max_length)
        # After a full piece zlib may still hold output, although it has consumed all input.
        self.needs_input = len(piece) < max_length and not engine.unconsumed_tail
        return piece


class _Deflate:
    """deflate as an `_Unpacker`: zlib or raw, depending on the first two bytes."""

    needs_input = True
    eof = False
    unused_data = b""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._start = b""
        self._inner: _Zlib | None = None

    def decompress(self, data: bytes, max_length: int) -> bytes:
        inner = self._inner or self._choose_format(data)
        if inner is None:
            return b""
        piece = inner.decompress(self._start + data, max_length)
        self._start = b""
        self.needs_input, self.eof, self.unused_data = inner.needs_input, inner.eof, inner.unused_data
        return piece

    def _choose_format(self, data: bytes) -> _Zlib | None:
        start = self._start + data
        if len(start) < 2:
            self._start = start
            return None
        self._inner = _Zlib(self._library, 15 if _is_zlib_header(start) else -15)
        return self._inner


def _is_zlib_header(start: bytes) -> bool:
    # RFC 1950 section 2.2. A raw stream never begins so, unless unused bits of a stored block are not zero.
    return start[0] & 0x0F == 8 and start[0] >> 4 <= 7 and (start[0] << 8 | start[1]) % 31 == 0


class _Brotli:
    """br as an `_Unpacker`. For bytes after the end the library raises an error, or they stay in the source."""

    unused_data = b""

    def __init__(self, library: Any) -> None:
        self._object = library.Decompressor()
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._object.is_finished())

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = bytes(self._object.process(data, output_buffer_limit=min(max_length, _BROTLI_PIECE)))
        # `can_accept_more_data` is True even if the library holds output: only an empty piece shows that it has none.
        self.needs_input = not piece and bool(self._object.can_accept_more_data())
        return piece


class _OldBrotli:
    """br as an `_Unpacker`, by a library that cannot limit its output: it is fed small steps, its output is split."""

    def __init__(self, library: Any, size: int = _OLD_BROTLI_STEP) -> None:
        self._object = library.Decompressor()
        self._size = size
        self._step = getattr(self._object, "decompress", None) or self._object.process  # brotlipy's name, Brotli's name
        self._error = library.error
        self._input = memoryview(b"")
        self._output = memoryview(b"")
        self._is_at_end = False
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._is_at_end and not self._output

    @property
    def unused_data(self) -> bytes:
        return bytes(self._input)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if data:
            self._input = memoryview(bytes(self._input) + data)
        while self._input and not self._output and not self._is_at_end:
            step, self._input = self._input[: self._size], self._input[self._size :]
            self._output = memoryview(self._step(bytes(step)))
            self._is_at_end = self._is_over()
        piece, self._output = bytes(self._output[:max_length]), self._output[max_length:]
        self.needs_input = not self._output and not self._input
        return piece

    def _is_over(self) -> bool:
        if hasattr(self._object, "is_finished"):
            return bool(self._object.is_finished())
        try:
            self._object.finish()  # of brotlipy: has no effect at the end; raises, or asserts, before it
        except (self._error, AssertionError):
            return False
        return True


def _old_brotli_step(library: Any) -> int:
    """How many bytes a library that cannot limit its output is fed at once: 1 if it ignores input after the end."""
    engine = library.Decompressor()
    try:
        (getattr(engine, "decompress", None) or engine.process)(b"\x06\x00")  # an empty stream, and one byte more
    except library.error:
        return _OLD_BROTLI_STEP
    return 1


@dataclass(frozen=True, slots=True)
class _Frame:
    """The header of a zstd frame (RFC 8878 section 3.1.1.1): its window, and the length of its content if declared."""

    window: int
    size: int | None


_NO_FRAME: Final = _Frame(0, None)  # a skippable frame; or no frame, and the library raises


def _zstd_frame(start: bytes) -> _Frame | None:
    """Return the header of the frame that begins with `start`; None if more bytes are needed."""
    if not start.startswith(_ZSTD_MAGIC):
        return None if _ZSTD_MAGIC.startswith(start) else _NO_FRAME
    if len(start) < 5:
        return None
    descriptor = start[4]
    single = bool(descriptor & 0x20)
    at = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    width = (int(single), 2, 4, 8)[descriptor >> 6]
    if len(start) < at + width:
        return None
    size = int.from_bytes(start[at : at + width], "little") + (256 if width == 2 else 0) if width else None
    if single:
        return _Frame(size or 0, size)
    base = 1 << 10 + (start[5] >> 3)
    return _Frame(base + base // 8 * (start[5] & 7), size)


class _Zstd:
    """One zstd frame as an `_Unpacker`, which must conform to its header."""

    __slots__ = ("_count", "_error", "_frame", "_object", "_start")

    def __init__(self, library: Any) -> None:
        options = {library.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._object = library.ZstdDecompressor(options=options)
        self._error = library.ZstdError
        self._start = b""
        self._frame: _Frame | None = None
        self._count = 0

    @property
    def eof(self) -> bool:
        return bool(self._object.eof)

    @property
    def needs_input(self) -> bool:
        return bool(self._object.needs_input)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._object.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        frame = self._frame
        if frame is None:
            data = self._start = self._start + data
            frame = self._frame = _zstd_frame(data)
            if frame is None:
                return b""
            if frame.window > 1 << _ZSTD_WINDOW_LOG:
                raise self._error(f"its window of {frame.window} bytes is too much memory: RFC 9659 allows 8 MiB")
            self._start = b""
        piece: bytes = self._object.decompress(data, max_length)
        self._count += len(piece)
        if frame.size is not None and self._count != frame.size and (self._count > frame.size or self._object.eof):
            seen = f"{self._count}" if self._object.eof else f"{self._count} or more"
            raise self._error(f"the frame declares {frame.size} bytes of content, and has {seen}")
        return piece


def _brotli_window(start: bytes) -> int | None:
    """Return the window size that a brotli stream declares (RFC 7932 section 9.1); None if there is no byte yet."""
    if not start:
        return None
    first = start[0]
    if not first & 1:
        return 1 << 16
    if high := first >> 1 & 7:
        return 1 << 17 + high
    low = first >> 4 & 7
    return 1 << (8 + low if low else 17)


def _deflate_window(start: bytes) -> int | None:
    return _DEFLATE_WINDOW


def _zstd_window(start: bytes) -> int | None:
    frame = _zstd_frame(start)
    return None if frame is None else frame.window


@dataclass(frozen=True, slots=True)
class _Coding:
    """How one coding is decoded.

    Attributes:
        unpacker: makes a new `_Unpacker` for each member.
        error: the exception class of the library.
        many: whether several members may follow one another.
        padding: byte values that may follow a member.
        magic: the first bytes of each member, if other bytes may follow the last member.
        window: returns the memory in bytes that the member with this beginning needs; None if more bytes are needed.
        one_per_chain: whether a chain may have it only once, since one step may make very much output.
    """

    name: str
    unpacker: Callable[[], _Unpacker]
    error: type[Exception]
    many: bool = False
    padding: bytes = b""
    magic: bytes = b""
    window: Callable[[bytes], int | None] = _deflate_window
    one_per_chain: bool = False


def _gzip() -> _Coding:
    library = _library("zlib")
    return _Coding("gzip", partial(_Zlib, library, 31), library.error, many=True, padding=b"\0", magic=b"\x1f\x8b")


def _deflate() -> _Coding:
    library = _library("zlib")
    return _Coding("deflate", partial(_Deflate, library), library.error)


def _br() -> _Coding | None:
    libraries = [library for library in (_library("brotli"), _library("brotlicffi")) if library is not None]
    for library in libraries:
        # The name `brotli` may be brotlipy, or too old; this method came together with the limit on the output.
        if hasattr(library.Decompressor, "can_accept_more_data"):
            return _Coding("br", partial(_Brotli, library), library.error, window=_brotli_window)
    if not libraries:
        return None
    library = libraries[0]
    unpacker = partial(_OldBrotli, library, _old_brotli_step(library))
    return _Coding("br", unpacker, library.error, window=_brotli_window, one_per_chain=True)


def _zstd() -> _Coding | None:
    library = _library("compression.zstd") or _library("backports.zstd")
    if library is None:
        return None
    return _Coding("zstd", partial(_Zstd, library), library.ZstdError, many=True, window=_zstd_window)


def _library(name: str) -> Any:
    """Return a library, or None if it is not installed. The first body in its coding imports it, and a fork in another
    thread waits for the import.
    """
    try:
        with OPENSSL:
            return import_module(name)
    except ImportError:
        return None


_MAKERS: Final[dict[str, Callable[[], _Coding | None]]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    "br": _br,
    "zstd": _zstd,
}
_ALIASES: Final = {"x-gzip": "gzip"}
_EXTRAS: Final = {"br": "brotli", "zstd": "zstd"}
# The registry of RFC 9110 section 16.6.1. Any other name is not a coding, and its meaning for the body is unknown.
_REGISTERED: Final = frozenset(
    (
        *("aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "identity", "pack200-gzip"),
        *("x-compress", "x-gzip", "zstd"),
    )
)


@cache
def _coding(name: str) -> _Coding | None:
    """The coding of this name, None when its library is missing. A library is looked for once in a process."""
    return _MAKERS[name]()


def supported_codings() -> tuple[str, ...]:
    """The content codings that can be decoded in this process, for Accept-Encoding (RFC 9110 section 12.5.3).

    Always "gzip" and "deflate"; "br" and "zstd" if their libraries are installed. The first call imports the libraries,
    which takes some milliseconds.
    """
    return tuple(name for name in _MAKERS if _coding(name) is not None)


class _Turn:
    """How much input the stages may still read in one step of the decoder.

    Attributes:
        over: whether input was refused in this step.
    """

    __slots__ = ("_input_left", "over")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self._input_left = _TURN
        self.over = False

    def allows(self, size: int) -> bool:
        self.over = self._input_left <= 0
        self._input_left -= size
        return not self.over


class _Budget:
    """Limits the work of all stages of one chain together, by the bytes received and by the content made of them.

    Each stage can turn its input into a thousand times as much for the next stage, or into nothing, and its time
    depends on both. So there are two bounds: on the bytes that pass between the stages, and on the sum of their
    windows. Both depend on the bytes alone and not on how they are split. For this, input is counted in blocks of
    `_BLOCK` bytes, each when its first byte is read, and a stage reads only when all later stages have consumed their
    input.
    """

    __slots__ = ("_received", "_stage_bytes", "_windows", "content", "turn")

    def __init__(self, turn: _Turn) -> None:
        self.turn = turn
        self.content = 0
        self._received = 0
        self._stage_bytes = 0
        self._windows: dict[_Stage, int] = {}

    def receive(self) -> None:
        """Count a block of the received body, which is about to be read."""
        self._received += _BLOCK

    def pass_on(self, size: int = _BLOCK) -> None:
        """Count a block that one stage made, and that the next is about to read.

        Raises:
            DecodingError: the blocks are more than the chain may pass on.
        """
        self._stage_bytes += size
        allowed = PASSED_AT_LEAST + PASSED_PER_BYTE_RECEIVED * self._received + self.content // CONTENT_PER_BYTE_PASSED
        if self._stage_bytes > allowed:
            raise DecodingError(
                f"the data between the content codings is too large: {self._stage_bytes} bytes, expected at most "
                f"{allowed} for {self._received} bytes received and {self.content} bytes of content; raw() returns the "
                "body as sent"
            )

    def open_window(self, stage: _Stage, size: int) -> None:
        """Count the window of the member that a stage begins, in place of the window of its previous member.

        Raises:
            DecodingError: together the windows are too large.
        """
        self._windows[stage] = size
        total = sum(self._windows.values())
        if total > MAX_WINDOWS:
            raise DecodingError(
                f"the windows of the content codings take {total} bytes: expected at most {MAX_WINDOWS} together; "
                "raw() returns the body as sent"
            )


class _Stage:
    """One coding of a body, decoded in pieces of at most 64 KiB. It reads from `source` when its input is used up."""

    __slots__ = (
        "_budget",
        "_is_past_end",
        "_members",
        "_note",
        "_source",
        "_start",
        "_surplus",
        "_unpacker",
        "coding",
        "decoded",
    )

    def __init__(self, coding: _Coding, source: _Source, budget: _Budget | None, note: Note | None = None) -> None:
        self.coding = coding
        self.decoded = 0
        self._source = source
        self._budget = budget
        self._unpacker: _Unpacker | None = None
        self._members = 0
        self._start = b""  # the beginning of a member whose window is not known yet
        self._surplus = b""
        self._note = note
        self._is_past_end = False  # whether all further input is outside the coding

    @property
    def complete(self) -> bool:
        """Whether the input so far does not end inside a member. True before the first byte."""
        return self._unpacker is None and not self._start and not self._surplus

    def take(self) -> bytes:
        while True:
            unpacker = self._unpacker
            data = b""
            if unpacker is None or unpacker.needs_input:
                data = self._input()
                if not data:
                    return b""
            if unpacker is None:
                if self._budget is not None and not (data := self._charge_start(data, self._budget)):
                    continue
                unpacker = self._unpacker = self._next_member()
            piece = self._unpack(unpacker, data)
            # Before the piece is returned: the next call needs the surplus bytes after this member.
            if unpacker.eof:
                self._surplus = unpacker.unused_data
                self._unpacker = None
            elif not piece and not data and not unpacker.needs_input:
                raise DecodingError(self._damage_message("the library made no progress"))
            if piece:
                self.decoded += len(piece)
                return piece

    def _input(self) -> bytes:
        if self._unpacker is not None or not self._members:
            return self._source.take()
        data = self._surplus or self._source.take()
        self._surplus = b""
        padding = self.coding.padding
        while data and (self._is_past_end or (padding and not (data := data.lstrip(padding)))):
            data = self._source.take()
        return self._next_start(data) if data and self.coding.magic and self._note is not None else data

    def _next_start(self, data: bytes) -> bytes:
        """Return `data` if a member begins there; b"" if it is text after the last member, or too short to decide."""
        magic, note = self.coding.magic, self._note
        assert note is not None
        while len(data) < len(magic) and magic.startswith(data):
            more = self._source.take()
            if not more:
                self._surplus = data
                return b""
            data += more
        if data.startswith(magic) or not note("text-behind-gzip"):
            return data
        # Noted once: all further input is ignored, since a later part of it may look like the start of a member.
        self._is_past_end = True
        while self._source.take():
            pass
        return b""

    def end(self) -> None:
        """Note the end of the body: surplus bytes that were too short to decide are not a member."""
        if self._surplus and self._note is not None and self.coding.magic and self._note("text-behind-gzip"):
            self._surplus = b""

    def _charge_start(self, data: bytes, budget: _Budget) -> bytes:
        """Return the start of the next member after counting it in the budget; b"" if more of it is needed first."""
        start = self._start + data
        window = self.coding.window(start)
        if window is None:
            self._start = start
            return b""
        self._start = b""
        if self._members:
            budget.pass_on(PASSED_PER_MEMBER)
        budget.open_window(self, window)
        return start

    def _next_member(self) -> _Unpacker:
        if self._members and not self.coding.many:
            raise DecodingError(self._damage_message("bytes follow its end"))
        # The limit grows with the content: beginning a member of 20 bytes costs as much as beginning one of a megabyte.
        if self._members >= MAX_MEMBERS + self.decoded // BYTES_PER_FURTHER_MEMBER:
            raise DecodingError(
                self._damage_message(f"it has more than {self._members} members: too many for so little content")
            )
        self._members += 1
        return self.coding.unpacker()

    def _unpack(self, unpacker: _Unpacker, data: bytes) -> bytes:
        try:
            return unpacker.decompress(data, PIECE)
        except self.coding.error as error:
            raise DecodingError(self._damage_message(show(str(error)))) from error

    def _damage_message(self, what: str) -> str:
        where = f" in member {self._members}" if self._members > 1 else ""
        return f"the {self.coding.name} body is damaged after {self.decoded} decoded bytes{where}: {what}"


class _Inbox:
    """The bytes that were fed and not yet taken. It returns slices of at most 16 KiB, while the step may read input."""

    __slots__ = ("_rest", "_turn", "_waiting")

    def __init__(self, turn: _Turn) -> None:
        self._turn = turn
        self._waiting: deque[bytes] = deque()
        self._rest: memoryview | None = None

    def feed(self, data: bytes) -> None:
        if data:
            self._waiting.append(data)

    def take(self) -> bytes:
        if self._rest is None and not self._waiting:
            return b""
        if not self._turn.allows(_SLICE):
            return b""
        if self._rest is not None:
            return self._slice(self._rest)
        data = self._waiting.popleft()
        return data if len(data) <= _SLICE else self._slice(memoryview(data))

    def clear(self) -> None:
        self._waiting.clear()
        self._rest = None

    def _slice(self, view: memoryview) -> bytes:
        self._rest = view[_SLICE:] if len(view) > _SLICE else None
        return bytes(view[:_SLICE])


class _StageSource:
    """The source of a stage in a chain of codings: it passes blocks on, and counts each when its first byte is read."""

    __slots__ = ("_count", "_offset", "_rest", "_source", "_turn")

    def __init__(self, source: _Source, turn: _Turn, count: Callable[[], None]) -> None:
        self._source = source
        self._turn = turn
        self._count = count
        self._rest = memoryview(b"")
        self._offset = 0

    def take(self) -> bytes:
        if not self._rest:
            self._rest = memoryview(self._source.take())
            if not self._rest:
                return b""
        if not self._turn.allows(_BLOCK):
            return b""
        used = self._offset % _BLOCK
        if not used:
            self._count()
        block = bytes(self._rest[: _BLOCK - used])
        self._rest = self._rest[len(block) :]
        self._offset += len(block)
        return block


class Decoder:
    """Decodes the content codings of one body (RFC 9110 section 8.4). Made by `decoder_for`.

    `feed` the bytes that were read, then `take` until it returns b"", repeatedly; `finish` at the end of the body.
    Memory is bounded by the fed bytes, and one piece and one window per coding. After an error of any kind, including
    `MemoryError` and `KeyboardInterrupt`, the decoder is closed: an interrupted decompressor is never used again.

    Attributes:
        decoded: how many bytes `take` has given.
    """

    __slots__ = ("_budget", "_inbox", "_max_decoded", "_note", "_stages", "_turn", "decoded")

    def __init__(self, codings: Sequence[_Coding], max_decoded: int | None = None, note: Note | None = None) -> None:
        self.decoded = 0
        self._note = note
        self._max_decoded = max_decoded
        self._turn = turn = _Turn()
        self._inbox = _Inbox(turn)
        self._budget: _Budget | None = None
        self._stages: Sequence[_Stage] = (
            (_Stage(codings[0], self._inbox, None, note),) if len(codings) == 1 else self._chained(codings)
        )

    def _chained(self, codings: Sequence[_Coding]) -> list[_Stage]:
        self._budget = budget = _Budget(self._turn)
        stages: list[_Stage] = []
        source = _StageSource(self._inbox, self._turn, budget.receive)
        for coding in codings:
            stages.append(_Stage(coding, source, budget, self._note))
            source = _StageSource(stages[-1], self._turn, budget.pass_on)
        return stages

    def feed(self, data: bytes) -> None:
        """Add the next bytes of the body, of any size. They are kept until they are decoded.

        Raises:
            DecodingError: the decoder is closed.
        """
        self._check_open()
        self._inbox.feed(data)

    def take(self) -> bytes:
        """The next piece of content, 1 to 65,536 bytes; b"" means that more must be fed first.

        Raises:
            DecodingError: the body is damaged, continues after the end of its coding, or the decoder is closed.
            LimitExceeded: there is more content than `max_decoded`. The piece that exceeds it was not returned.
        """
        while (piece := self.step()) is None:
            pass
        return piece

    def step(self) -> bytes | None:
        """As `take`, but return None if a bounded amount of work, about 10 ms at most, has made no content yet."""
        if not self._stages:
            self._check_open()
        turn, budget = self._turn, self._budget
        # Each call has an allowance of its own: the unused rest must not add up.
        turn.begin()
        try:
            piece = self._stages[-1].take()
            self.decoded += len(piece)
            if budget is not None:
                budget.content = self.decoded
            if self._max_decoded is not None and self.decoded > self._max_decoded:
                raise _limit_error(self._max_decoded)
        except BaseException:
            # Also after Ctrl-C and MemoryError: the library's state is not known then.
            self.close()
            raise
        return piece or (None if turn.over else b"")

    def finish(self) -> None:
        """Check that the body is complete, after `take` has returned b"", and close the decoder.

        Raises:
            DecodingError: a coding was cut short, or the decoder is closed.
        """
        self._check_open()
        stages = self._stages
        # Before the checks, which raise: a finished decoder is closed either way.
        self.close()
        for stage in stages:
            stage.end()
            if not stage.complete:
                name = stage.coding.name
                raise DecodingError(f"the {name} body was cut short: it ended after {self.decoded} decoded bytes")

    def close(self) -> None:
        """Release all memory now. May be called at any time, also repeatedly."""
        self._stages = ()
        self._budget = None
        self._inbox.clear()

    def _check_open(self) -> None:
        if not self._stages:
            raise DecodingError("the decoder of this body is closed: it was finished, or an error ended it before")


def _limit_error(limit: int) -> LimitExceeded:
    return LimitExceeded(f"the decoded body is longer than max_decoded={limit} bytes", limit=limit)


def decoder_for(
    headers: Iterable[tuple[bytes, bytes]], *, max_decoded: int | None = None, note: Note | None = None
) -> Decoder | None:
    """Return the decoder for the Content-Encoding of a response (RFC 9110 section 8.4); None if no coding is applied.

    A response that can have no body (to HEAD, 204, 304, Content-Length: 0) needs no decoder: do not call this for it.

    Arguments:
        headers: name and value pairs with lower-cased names, as in `Head.headers`. Several fields are one list. Names
            of codings are case-insensitive. "identity" and empty members of the list are ignored.
        max_decoded: how many decoded bytes are allowed in total. Default None: no limit.
        note: called with the name of a deviation; if it returns False, the deviation is an error. Default None: each
            deviation is an error.

    Raises:
        DecodingError: a coding is not known, its library is missing, or there are more than 5 codings.
    """
    values = b""
    for name, value in headers:
        if name == b"content-encoding":
            values = values + b"," + value if values else value
    if not values:
        return None
    codings, unknown = _codings(values)
    if unknown and (note is None or not note("unknown-coding")):
        known = ", ".join(_MAKERS)
        raise DecodingError(
            f"the content coding {show(unknown[0])} is not known: {known} are; raw() returns the body as sent"
        )
    return Decoder(codings, max_decoded, note) if codings else None


def is_coded(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether there is a Content-Encoding field, even with only "identity"."""
    for name, _ in headers:  # noqa: SIM110 - any() would cost more than all the rest of it, for each response
        if name == b"content-encoding":
            return True
    return False


@lru_cache(maxsize=32)  # nearly every response has one of the same few values
def _codings(value: bytes) -> tuple[tuple[_Coding, ...], tuple[bytes, ...]]:
    """Return the codings of a Content-Encoding in the order of decoding, and the names that are not registered."""
    members = [member.strip(b" \t").lower() for member in value.split(b",")]
    names = [member for member in members if member not in (b"", b"identity")]
    if len(names) > MAX_CODINGS:
        raise DecodingError(f"the body has {len(names)} content codings: at most {MAX_CODINGS} are decoded")
    # The list is in the order of applying (RFC 9110 section 8.4), so the last is decoded first.
    unknown = tuple([name for name in names if name.decode("latin-1") not in _REGISTERED])
    # Unknown names are left out here and reported by `decoder_for`, which knows whether that is an error.
    codings = tuple([_known(name) for name in reversed(names) if name not in unknown])
    for coding in codings:
        if coding.one_per_chain and codings.count(coding) > 1:
            raise DecodingError(
                f"the body has the content coding {coding.name!r} {codings.count(coding)} times: expected it once, "
                "since the installed library cannot limit its output (brotli 1.2 can)"
            )
    return codings, unknown


def _known(token: bytes) -> _Coding:
    name = token.decode("latin-1")
    name = _ALIASES.get(name, name)
    if name not in _MAKERS:
        known = ", ".join(_MAKERS)
        raise DecodingError(
            f"the content coding {show(token)} is not known: {known} are; raw() returns the body as sent"
        )
    coding = _coding(name)
    if coding is None:
        extra = _EXTRAS[name]
        raise DecodingError(
            f"the content coding {name!r} needs a library that is missing: "
            f"install the extra [{extra}], as in pip install '.[{extra}]'; raw() returns the body as sent"
        )
    return coding
