"""Every kind of request body, as one value with its rules for sending, and a reader that yields its pieces.

- Bytes are kept whole, in `data`. A bytearray or memoryview is copied, so later changes to it have no effect; a str is
  sent as UTF-8. To send a large body without holding it in memory, pass a file or an iterable.
- A binary file is sent from its position when the request is made, in pieces of 64 KiB. If it can seek, its length
  is known, it can be sent again, and bytes that are appended later are not sent.
- An iterable or async iterable gives bytes-like pieces. It can be sent again only until its first item has been read:
  a second pass over an exhausted iterator would silently send an empty body.
- A callable without arguments returns such an (async) iterable, e.g. an async generator function. It is called once.
- A `ReplayableBody` has a factory that is called again for each sending.

Closing. Clean-up in this library consists of plain calls, so `close` never waits: it closes a plain generator that has
begun, and drops any other plain iterator. The clean-up code of an async generator may wait. Left to the garbage
collector, it runs in another task (PEP 789), and trio warns about it. So there is also `aclose`: the task that iterated
awaits it as its last step, after the connection was closed or released. A generator whose first item was never
requested has nothing to clean up and is not closed: the next attempt sends it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from io import BytesIO, TextIOBase
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any, Final, Protocol, TypeVar
from warnings import warn

from .._errors import LocalProtocolError, show_value
from .._exact import exact_bytes, exact_int, exact_str
from .._public import public

__all__ = [
    "Body",
    "BodyContent",
    "BodyReader",
    "BodySource",
    "BodyTypes",
    "ReplayableBody",
    "RunBlocking",
    "SyncBodyTypes",
]

T = TypeVar("T")

_PIECE: Final = 65536  # bytes per read of a file
_ALLOWED: Final = (
    "expected bytes, str, a binary file, an (async) iterable of bytes, a callable that returns one, or ReplayableBody"
)
# inspect.CO_COROUTINE and CO_ASYNC_GENERATOR; to import `inspect` takes 10 ms.
_COROUTINE: Final = 0x80
_ASYNC_GENERATOR: Final = 0x200


class BinaryFile(Protocol):
    """A file to be sent; `seekable`, `tell` and `seek` are used if they exist."""

    def read(self, size: int, /) -> bytes: ...


@public
class ReplayableBody:
    """A body that can be sent any number of times: each time `factory()` gives a fresh (async) iterable of bytes.

    Raises:
        LocalProtocolError: `factory` cannot be called.
    """

    __slots__ = ("factory",)

    def __init__(self, factory: Callable[[], Iterable[bytes] | AsyncIterable[bytes]]) -> None:
        if not callable(factory):
            raise LocalProtocolError(f"factory is of type {type(factory).__name__}: expected a callable")
        self.factory: Callable[[], Iterable[bytes] | AsyncIterable[bytes]] = factory


SyncBodyTypes = (
    bytes
    | bytearray
    | memoryview
    | str
    | BinaryFile
    | Iterable[bytes]
    | Callable[[], Iterable[bytes]]
    | ReplayableBody
    | None
)
"""The types of a body in threads. A callable returns an iterable, and is called once."""

BodyTypes = SyncBodyTypes | AsyncIterable[bytes] | Callable[[], AsyncIterable[bytes]]
"""The types of a body in asyncio or trio: as `SyncBodyTypes`, an async iterable, or a callable that returns one."""

BodyContent = BodyTypes


class RunBlocking(Protocol):
    """`Backend.run_blocking`: runs a plain function where it blocks no other task."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class BodyReader(Protocol):
    """One sending of a body."""

    async def next(self) -> bytes | None:
        """Return the next piece, or None at the end. Empty pieces are returned only after `Body.caller_keeps_rest` was
        True. It waits only in the user's async iterator or in a file read.

        Raises:
            LocalProtocolError: the piece is not bytes-like.
            Exception: whatever the user's iterator or file raises, unchanged.
        """
        ...

    def close(self) -> None:
        """End this sending, in any state. An error in the generator's own clean-up becomes a `RuntimeWarning`."""
        ...

    async def aclose(self) -> None:
        """As `close`, but also close an async generator that has begun; this waits if its clean-up code does."""
        ...


class BodySource(Protocol):
    """The source of a body that is not in memory."""

    @property
    def replayable(self) -> bool:
        """As `Body.replayable`."""
        ...

    @property
    def is_async(self) -> bool:
        """As `Body.is_async`."""
        ...

    def open(self, run_blocking: RunBlocking) -> BodyReader:
        """As `Body.start`."""
        ...


class Body:
    """A body to be sent, and its rules for sending. Made by `of`, or from a `BodySource`.

    Attributes:
        data: the whole body if it is in memory, else None.
        length: the length in bytes; None if it is not known before sending.
    """

    __slots__ = ("_source", "data", "length")

    def __init__(self, data: bytes | None, length: int | None, source: BodySource | None) -> None:
        self.data: bytes | None = data
        self.length: int | None = length
        self._source = source

    @staticmethod
    def of(value: BodyContent | Body) -> Body:
        """Return the body for `value`; None and b"" are the empty body.

        Raises:
            LocalProtocolError: `value` has another type, is a closed file or one opened in text mode, or is a generator
                that has already run to its end.
        """
        if type(value) is bytes:
            return Body(value, len(value), None) if value else _EMPTY
        if value is None:
            return _EMPTY
        return _body_of_object(value)

    @property
    def is_empty(self) -> bool:
        """Whether the body is known to have no bytes."""
        return self.length == 0

    @property
    def replayable(self) -> bool:
        """Whether the body can be sent from its beginning, now."""
        return self._source is None or self._source.replayable

    def caller_keeps_rest(self) -> bool:
        """Whether the body is an iterator of the caller, so that the caller can continue with the items that were not
        read. If so, its reader also returns empty pieces from now on.
        """
        return isinstance(self._source, _Pieces) and self._source.caller_keeps_rest()

    @property
    def is_async(self) -> bool:
        """Whether the body's iterator is async. For a callable it is known after `start`, except for an async generator
        function.
        """
        return self._source is not None and self._source.is_async

    def start(self, run_blocking: RunBlocking) -> BodyReader:
        """Begin one sending; files are read through `run_blocking`. To be called before anything is on the wire.

        Raises:
            LocalProtocolError: the body cannot be sent again, or the callable's result cannot be iterated.
            Exception: whatever the user's callable raises, unchanged.
        """
        if self._source is None:
            return _WholeReader(self.data)
        return self._source.open(run_blocking)


_EMPTY: Final = Body(b"", 0, None)


def _body_of_object(value: Any) -> Body:
    """Return the body for any value except bytes and None. An async iterable is tested before a file: async files have
    both `__aiter__` and `read`.
    """
    if isinstance(value, Body):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Body.of(exact_bytes(value))
    if isinstance(value, str):
        return Body.of(_encoded(exact_str(value)))
    if isinstance(value, ReplayableBody):
        return Body(None, None, _Pieces(value.factory, call=True, again=True))
    if hasattr(value, "__aiter__"):
        return Body(None, None, _Pieces(_unused(value), call=False))
    if hasattr(value, "read"):
        return _file(value)
    # A mapping is iterable, so its keys would be sent. The caller meant a form, which this layer does not encode.
    if isinstance(value, Mapping):
        raise LocalProtocolError(f"body is of type {type(value).__name__}: {_ALLOWED}")
    if hasattr(value, "__iter__"):
        return Body(None, None, _Pieces(_unused(value), call=False))
    if callable(value):
        return Body(None, None, _Pieces(value, call=True))
    raise LocalProtocolError(f"body is of type {type(value).__name__}: {_ALLOWED}")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        at = error.start
    raise LocalProtocolError(f"body is a str with a lone surrogate at index {at}: expected text that UTF-8 can encode")


def _unused(value: Any) -> Any:
    """Return `value`, or raise if it is a generator that has ended: its body would be empty by mistake."""
    if (isinstance(value, GeneratorType) and value.gi_frame is None) or (
        isinstance(value, AsyncGeneratorType) and value.ag_frame is None
    ):
        raise LocalProtocolError("body is a generator that has already run to its end: expected a fresh one")
    return value


def _bytes(piece: object) -> bytes:
    """A piece that the user's iterator or file gave, checked."""
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return exact_bytes(piece)  # no subclass: the length that it reports is sent as the chunk size
    if isinstance(piece, CoroutineType):
        piece.close()  # else Python warns that the coroutine was never awaited, which would hide the message below
    raise LocalProtocolError(
        f"body yielded a piece of type {type(piece).__name__}: expected bytes, bytearray or memoryview"
    )


class _WholeReader:
    """Gives bytes in one piece."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes | None) -> None:
        self._data = data

    async def next(self) -> bytes | None:
        data, self._data = self._data, None
        return data or None

    def close(self) -> None:
        self._data = None

    async def aclose(self) -> None:
        self._data = None


# Files.


def _file(value: Any) -> Body:
    if isinstance(value, TextIOBase) or getattr(value, "encoding", None) is not None:
        raise LocalProtocolError("body is a file opened in text mode: expected one opened in binary mode")
    if getattr(value, "closed", False) is True:
        raise LocalProtocolError("body is a file that is closed: expected an open one")
    began = length = None
    try:
        if value.seekable():
            began = exact_int(value.tell())
            length = max(0, exact_int(value.seek(0, 2)) - began)
            value.seek(began)
    except (AttributeError, OSError, TypeError, ValueError):  # the file has no such method, or the method fails
        began = length = None
    return Body(None, length, _File(value, began, length))


class _File:
    """A file. `began` is the position where the body begins, and `length` its length: both None if it cannot seek."""

    __slots__ = ("began", "file", "length", "was_begun")

    is_async = False

    def __init__(self, file: Any, began: int | None, length: int | None) -> None:
        self.file: Any = file
        self.began: int | None = began
        self.length: int | None = length
        self.was_begun: bool = False

    @property
    def replayable(self) -> bool:
        return self.began is not None or not self.was_begun

    def open(self, run_blocking: RunBlocking) -> BodyReader:
        if not self.replayable:
            raise LocalProtocolError(
                "body is a file that was read and cannot seek: it cannot be sent again; a ReplayableBody can"
            )
        return _FileReader(self, run_blocking)


class _FileReader:
    """Returns a file in pieces of at most 64 KiB. It does not close the file, which belongs to the user."""

    __slots__ = ("_bytes_left", "_run_blocking", "_source", "_start_offset")

    def __init__(self, source: _File, run_blocking: RunBlocking) -> None:
        self._source = source
        self._run_blocking = run_blocking
        self._start_offset = source.began
        self._bytes_left = source.length

    async def next(self) -> bytes | None:
        if self._bytes_left == 0:
            return None
        self._source.was_begun = True
        if type(self._source.file) is BytesIO:  # in memory: a switch to another thread costs more than the copy
            data = _bytes(self._read())
        else:
            data = _bytes(await self._run_blocking(self._read))
        if self._bytes_left is not None:
            self._bytes_left = max(0, self._bytes_left - len(data)) if data else 0
        return data or None

    def _read(self) -> object:
        # Before the first read, not when the request was made: another sending may have moved the position since.
        if self._start_offset is not None:
            self._source.file.seek(self._start_offset)
            self._start_offset = None
        return self._source.file.read(_PIECE if self._bytes_left is None else min(_PIECE, self._bytes_left))

    def close(self) -> None:
        self._bytes_left = 0

    async def aclose(self) -> None:
        self.close()


# Iterables.


class _Pieces:
    """An (async) iterable; with `call`, a callable that returns one; with `again`, it is called for each sending."""

    __slots__ = ("_again", "_argument", "_call", "_was_begun", "gives_empty", "is_async")

    def __init__(self, given: Any, *, call: bool, again: bool = False) -> None:
        self._argument = given
        self._call = call
        self._again = again
        self._was_begun = False
        self.gives_empty: bool = False
        self.is_async: bool = makes_async_generators(given) if call else hasattr(given, "__aiter__")

    @property
    def replayable(self) -> bool:
        return self._again or not self._was_begun

    def open(self, run_blocking: RunBlocking) -> BodyReader:
        if not self.replayable:
            raise LocalProtocolError(
                "body is an iterator that was already read from: it cannot be sent again; a ReplayableBody can"
            )
        made = self._argument() if self._call else self._argument
        # A callable is called once: its iterable is kept for a resend, which is possible until an item has been read.
        if self._call and not self._again:
            self._argument, self._call = made, False
        self.is_async = hasattr(made, "__aiter__")
        if self.is_async:
            return _AsyncReader(self, made.__aiter__())
        if isinstance(made, (bytes, bytearray, memoryview, str)) or not hasattr(made, "__iter__"):
            _refuse_made(made)
        return _SyncReader(self, iter(made))

    def caller_keeps_rest(self) -> bool:
        self.gives_empty = hasattr(self._argument, "__next__") or hasattr(self._argument, "__anext__")
        return self.gives_empty

    def begin(self) -> None:
        """Note that the reader is about to request the first item."""
        self._was_begun = True
        if not self._again:
            self._argument = None  # only the reader holds the iterator now, so it is freed with its reader


def _refuse_made(made: object) -> None:
    if isinstance(made, CoroutineType):
        made.close()
    raise LocalProtocolError(
        f"body is a callable that returned type {type(made).__name__}: expected an (async) iterable of bytes"
    )


class _SyncReader:
    """Yields the items of a plain iterator, in the thread or task that sends."""

    __slots__ = ("_has_begun", "_iterator", "_source")

    def __init__(self, source: _Pieces, iterator: Iterator[object]) -> None:
        self._source = source
        self._iterator = iterator
        self._has_begun = False

    async def next(self) -> bytes | None:
        if not self._has_begun:
            self._has_begun = True
            # Before the first item is requested: from here on the body cannot be sent again, even if `next` raises.
            self._source.begin()
        for piece in self._iterator:
            data = piece if type(piece) is bytes else _bytes(piece)
            if data or self._source.gives_empty:
                return data
        return None

    def close(self) -> None:
        iterator, self._iterator = self._iterator, iter(())
        if (
            self._has_begun and isinstance(iterator, GeneratorType) and not iterator.gi_running
        ):  # running in another thread
            try:
                iterator.close()
            except Exception as error:  # neither hide the exception that is being handled, nor lose this one
                warn(
                    f"the body's generator raised {show_value(error)} while it was closed", RuntimeWarning, stacklevel=2
                )

    async def aclose(self) -> None:
        self.close()


class _AsyncReader:
    """Yields the items of an async iterator."""

    __slots__ = ("_begun", "_closed", "_iterator", "_source")

    def __init__(self, source: _Pieces, iterator: AsyncIterator[object]) -> None:
        self._source = source
        self._iterator = iterator
        self._begun = False
        self._closed = False

    async def next(self) -> bytes | None:
        if self._closed:
            return None
        if not self._begun:
            self._begun = True
            self._source.begin()
        while True:
            try:
                piece = await self._iterator.__anext__()
            except StopAsyncIteration:
                return None
            data = piece if type(piece) is bytes else _bytes(piece)
            if data or self._source.gives_empty:
                return data

    def close(self) -> None:
        self._closed = True  # the iterator stays for `aclose`

    async def aclose(self) -> None:
        self._closed = True
        iterator = self._iterator
        # A generator whose first item was never requested has nothing to clean up, and the next attempt may send it.
        if self._begun and isinstance(iterator, AsyncGeneratorType) and not iterator.ag_running:
            await iterator.aclose()


def makes_async_generators(function: object) -> bool:
    """As `inspect.isasyncgenfunction`."""
    return bool(_code_flags(function) & _ASYNC_GENERATOR)


def is_async_function(function: object) -> bool:
    """As `inspect.iscoroutinefunction` or `inspect.isasyncgenfunction`."""
    return bool(_code_flags(function) & (_COROUTINE | _ASYNC_GENERATOR))


def _code_flags(function: object) -> int:
    """Return the code flags of a function, of a method's or a partial's function, or 0 for any other object."""
    while isinstance(function, (MethodType, partial)):
        function = function.func if isinstance(function, partial) else function.__func__
    return function.__code__.co_flags if isinstance(function, FunctionType) else 0
