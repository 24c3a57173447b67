"""Every kind of request body, as one value with its rules for sending, and a reader that yields its pieces.

- Bytes are kept whole, in `data`. A bytearray or memoryview is copied, so that changing it later changes nothing; a
  str is sent as UTF-8. To send something large without holding it, give a file or an iterable.
- A binary file is sent from its position when the request is made, in pieces of 64 KiB. If it can seek, its length
  is known, it can be sent again, and bytes that are appended later are not sent.
- An iterable or async iterable gives bytes-like pieces. It can be sent again only until its first item has been read:
  a second pass over an iterator that has run would silently send an empty body.
- A callable without arguments gives such an (async) iterable: an async generator function, say. It is called once.
- A `ReplayableBody` has a factory that is called anew for each sending.

Closing. Clean-up in this library is plain calls, so `close` waits for nothing: it closes a generator that is under way
and drops all else. An async generator's own clean-up may wait, and left to the garbage collector it runs in
another task (PEP 789), under trio with a warning. So there is `aclose`: the task that sends awaits it last of all, in
the task that iterated, when the connection has been closed or released. A generator that was never asked for an item
has nothing to clean up and is left alone: the next attempt sends it.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from io import BytesIO, TextIOBase
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any, Final, Protocol, TypeVar
from warnings import warn

from .._errors import LocalProtocolError
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
"""The types of a body in threads. A callable is called each time that the body is sent."""

BodyTypes = SyncBodyTypes | AsyncIterable[bytes] | Callable[[], AsyncIterable[bytes]]
"""The types of a body in asyncio or trio: an async iterable too, or a callable that gives one."""

BodyContent = BodyTypes


class RunBlocking(Protocol):
    """`Backend.run_blocking`: runs a plain function where it blocks no other task."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]: ...


class BodyReader(Protocol):
    """One sending of a body."""

    async def next(self) -> bytes | None:
        """The next piece, empty only of an iterator that may be left; None at the end. It waits only in the user's own
        async iterator or a file read.

        Raises:
            LocalProtocolError: the piece is not bytes-like.
            Exception: whatever the user's iterator or file raises, unchanged.
        """
        ...

    def close(self) -> None:
        """End this sending, whatever its state. An error in the user's own clean-up becomes a `RuntimeWarning`."""
        ...

    async def aclose(self) -> None:
        """As `close`; an async generator that is under way is closed properly, which waits if its clean-up does."""
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
    """A body to be sent, and its rules for sending. Made by `of`, or of a source.

    Attributes:
        data: the whole body where it is in memory, else None.
        length: in bytes; None if it is not known before sending.
    """

    __slots__ = ("_source", "data", "length")

    def __init__(self, data: bytes | None, length: int | None, source: BodySource | None) -> None:
        self.data: bytes | None = data
        self.length: int | None = length
        self._source = source

    @staticmethod
    def of(value: BodyContent | Body) -> Body:
        """The body for `value`; None and b"" are the empty one.

        Raises:
            LocalProtocolError: `value` has another type, is a file opened in text mode or closed, or a generator that
                has already run to its end.
        """
        if type(value) is bytes:
            return Body(value, len(value), None) if value else _EMPTY
        if value is None:
            return _EMPTY
        return _shaped(value)

    @property
    def is_empty(self) -> bool:
        """There is nothing to send."""
        return self.length == 0

    @property
    def replayable(self) -> bool:
        """It can be sent from its beginning, now."""
        return self._source is None or self._source.replayable

    def may_be_left(self) -> bool:
        """Whether it is an iterator of the caller's, which can continue with unread items. From now on its
        reader also gives pieces that are empty."""
        return isinstance(self._source, _Pieces) and self._source.may_be_left()

    @property
    def is_async(self) -> bool:
        """Its iterator is an async one. Of a callable that is not an async generator function: known after `start`."""
        return self._source is not None and self._source.is_async

    def start(self, run_blocking: RunBlocking) -> BodyReader:
        """Begin one sending; files are read through `run_blocking`. To be called before anything is on the wire.

        Raises:
            LocalProtocolError: it cannot be sent again, or the callable returned something that cannot be iterated.
            Exception: whatever the user's callable raises, unchanged.
        """
        if self._source is None:
            return _WholeReader(self.data)
        return self._source.open(run_blocking)


_EMPTY: Final = Body(b"", 0, None)


def _shaped(value: Any) -> Body:
    """The body for all that is neither bytes nor None. Async comes before file: async files have both faces."""
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
    # A mapping is iterable, and would send its keys: a form was meant, which this layer does not know.
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
    """The generator, unless it has run: it would be an empty body by mistake."""
    if (isinstance(value, GeneratorType) and value.gi_frame is None) or (
        isinstance(value, AsyncGeneratorType) and value.ag_frame is None
    ):
        raise LocalProtocolError("body is a generator that has already run to its end: expected a fresh one")
    return value


def _bytes(piece: object) -> bytes:
    """A piece that the user's iterator or file gave, checked."""
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return exact_bytes(piece)  # its length is sent in front of a chunk
    if isinstance(piece, CoroutineType):
        piece.close()  # else Python warns that it was never awaited, which would hide the message below
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
    """A file, where it began and how much of it is the body, if it can seek."""

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
    """Gives a file in pieces of 64 KiB. The file is the user's, so it is not closed."""

    __slots__ = ("_began", "_left", "_run_blocking", "_source")

    def __init__(self, source: _File, run_blocking: RunBlocking) -> None:
        self._source = source
        self._run_blocking = run_blocking
        self._began = source.began
        self._left = source.length

    async def next(self) -> bytes | None:
        if self._left == 0:
            return None
        self._source.was_begun = True
        if type(self._source.file) is BytesIO:  # in memory: another thread would cost more than the copy
            data = _bytes(self._read())
        else:
            data = _bytes(await self._run_blocking(self._read))
        if self._left is not None:
            self._left = max(0, self._left - len(data)) if data else 0
        return data or None

    def _read(self) -> object:
        # With the first read, not when the request was made: another sending may have moved the file since.
        if self._began is not None:
            self._source.file.seek(self._began)
            self._began = None
        return self._source.file.read(_PIECE if self._left is None else min(_PIECE, self._left))

    def close(self) -> None:
        self._left = 0

    async def aclose(self) -> None:
        self.close()


# Iterables.


class _Pieces:
    """An (async) iterable, or with `call` what gives one; with `again` it is called for each sending."""

    __slots__ = ("_again", "_call", "_given", "_was_begun", "gives_empty", "is_async")

    def __init__(self, given: Any, *, call: bool, again: bool = False) -> None:
        self._given = given
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
        made = self._given() if self._call else self._given
        # A callable is called once: what it made is kept, for a resend before its first item has been read.
        if self._call and not self._again:
            self._given, self._call = made, False
        self.is_async = hasattr(made, "__aiter__")
        if self.is_async:
            return _AsyncReader(self, made.__aiter__())
        if isinstance(made, (bytes, bytearray, memoryview, str)) or not hasattr(made, "__iter__"):
            _refuse_made(made)
        return _SyncReader(self, iter(made))

    def may_be_left(self) -> bool:
        self.gives_empty = hasattr(self._given, "__next__") or hasattr(self._given, "__anext__")
        return self.gives_empty

    def begin(self) -> None:
        """The first item is about to be asked for."""
        self._was_begun = True
        if not self._again:
            self._given = None  # the reader's from now on: a dropped one is gone


def _refuse_made(made: object) -> None:
    if isinstance(made, CoroutineType):
        made.close()
    raise LocalProtocolError(
        f"body is a callable that returned type {type(made).__name__}: expected an (async) iterable of bytes"
    )


class _SyncReader:
    """Yields the items of a plain iterator, in the thread or task that sends."""

    __slots__ = ("_begun", "_iterator", "_source")

    def __init__(self, source: _Pieces, iterator: Iterator[object]) -> None:
        self._source = source
        self._iterator = iterator
        self._begun = False

    async def next(self) -> bytes | None:
        if not self._begun:
            self._begun = True
            # Before the first item is asked for: from here on it cannot be sent again, whatever the iterator raises.
            self._source.begin()
        for piece in self._iterator:
            data = piece if type(piece) is bytes else _bytes(piece)
            if data or self._source.gives_empty:
                return data
        return None

    def close(self) -> None:
        iterator, self._iterator = self._iterator, iter(())
        if self._begun and isinstance(iterator, GeneratorType) and not iterator.gi_running:  # running: another thread's
            try:
                iterator.close()
            except Exception as error:  # clean-up: the current exception must not be replaced, nor this one be lost
                warn(f"the body's generator raised {error!r} while it was closed", RuntimeWarning, stacklevel=2)

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
        # One that was never asked for an item has nothing to clean up, and the next attempt may send it.
        if self._begun and isinstance(iterator, AsyncGeneratorType) and not iterator.ag_running:
            await iterator.aclose()


def makes_async_generators(function: object) -> bool:
    """As `inspect.isasyncgenfunction`."""
    return bool(_code_flags(function) & _ASYNC_GENERATOR)


def is_async_function(function: object) -> bool:
    """As `inspect.iscoroutinefunction` or `inspect.isasyncgenfunction`."""
    return bool(_code_flags(function) & (_COROUTINE | _ASYNC_GENERATOR))


def _code_flags(function: object) -> int:
    """Those of the function's code; of a method or a partial those of its function; 0 of anything else."""
    while isinstance(function, (MethodType, partial)):
        function = function.func if isinstance(function, partial) else function.__func__
    return function.__code__.co_flags if isinstance(function, FunctionType) else 0
