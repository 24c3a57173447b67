"""The destination of the response: a file, a descriptor, or a terminal, which receives only text and no control
characters.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import BinaryIO, Final, Protocol, cast

from .._client.text import TextDecoder
from .clean import body_text, line_text

__all__ = ["BinaryToTerminal", "Console", "File", "Output", "Stream", "Terminal", "WriteFailed"]

_LOOKED_AT: Final = 2000
"""A body with a zero byte among this many first bytes is binary, as for curl."""


class WriteFailed(Exception):
    """The output cannot be written."""


class BinaryToTerminal(WriteFailed):
    """The body is not text, and would go to a terminal."""


class Console:
    """The three standard streams, unbuffered, as bytes."""

    def __init__(self, stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr

    @classmethod
    def of_process(cls) -> Console:
        """The streams of this process. They are opened again, since the objects of `sys` would write unflushed text
        again at the end of the process, when a broken pipe can no longer be reported.
        """
        return cls(_opened(0, "rb"), _opened(1, "wb"), _opened(2, "wb"))

    def say(self, text: str) -> None:
        """A line for people, on the standard error output. If nothing reads it any more, it is lost."""
        self.show(text + "\n")

    def show(self, text: str) -> None:
        with suppress(OSError, ValueError):
            write_all(self.stderr, text.encode("utf-8" if self.is_unicode else "ascii", "backslashreplace"))

    @property
    def is_unicode(self) -> bool:
        """Whether lines may have characters beyond ASCII, by the locale of the environment."""
        names = [os.environ.get(name, "") for name in ("PYTHONIOENCODING", "LC_ALL", "LC_CTYPE", "LANG")]
        chosen = next((name for name in names if name), "")
        return os.name == "nt" or "utf" in chosen.lower()


def _opened(fd: int, mode: str) -> BinaryIO:
    try:
        return cast("BinaryIO", open(fd, mode, buffering=0, closefd=False))
    except OSError:
        # The process was started without this descriptor (`>&-`). A socket would get its number, and receive the
        # output. So the null device is opened, which gets that number (the lowest free one). It is opened only for
        # reading: writing fails, as it does for curl.
        return cast("BinaryIO", open(os.open(os.devnull, os.O_RDONLY), mode, buffering=0, closefd=False))


def write_all(stream: BinaryIO, data: bytes) -> None:
    """Write all: an unbuffered stream may write only a part at once."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) or 0 :]


class Output(Protocol):
    """The interface for writing heads and bodies."""

    def head(self, data: bytes) -> None: ...
    def begin(self, content_type: str | None) -> None: ...
    def body(self, piece: bytes) -> None: ...
    def end(self) -> None: ...
    def close(self) -> None: ...


class Stream:
    """A descriptor that accepts any bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def head(self, data: bytes) -> None:
        self.body(data)

    def begin(self, content_type: str | None) -> None:
        """A body follows."""

    def body(self, piece: bytes) -> None:
        try:
            write_all(self._stream, piece)
        except OSError as error:
            raise WriteFailed(f"the output cannot be written: {error.strerror or error}") from error

    def end(self) -> None:
        """The body was complete."""

    def close(self) -> None:
        """The stream belongs to the process, and stays open."""


class File(Stream):
    """A file, made when there is something to write or the body is complete: a request that fails leaves none."""

    _stream: BinaryIO | None  # type: ignore[assignment]  # None before that

    def __init__(self, path: str) -> None:
        self._path = path
        self._stream = None

    def body(self, piece: bytes) -> None:
        self._opened()
        super().body(piece)

    def end(self) -> None:
        self._opened()

    def _opened(self) -> None:
        if self._stream is not None:
            return
        try:
            self._stream = cast("BinaryIO", open(self._path, "wb", buffering=0))  # noqa: SIM115 - see `close`
        except OSError as error:
            raise WriteFailed(f"{line_text(self._path)} cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class Terminal(Stream):
    """A terminal. Bodies are decoded by their charset; control characters are escaped; binary bodies are refused."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._seen = 0
        self._held_text = ""
        self._decoder = TextDecoder()

    def head(self, data: bytes) -> None:
        self._write("".join([line_text(line) + "\n" for line in data.split(b"\r\n")[:-1]]))

    def begin(self, content_type: str | None) -> None:
        self._seen, self._held_text, self._decoder = 0, "", TextDecoder(content_type)

    def body(self, piece: bytes) -> None:
        text = self._decoder.feed(piece)
        if self._seen < _LOOKED_AT and "\0" in text:
            raise BinaryToTerminal(
                "the body is binary, which would garble the terminal: expected --output FILE, or --output - to write "
                "it all the same"
            )
        self._seen += len(piece)
        self._text(text)

    def end(self) -> None:
        self._text(self._decoder.flush())
        held, self._held_text = self._held_text, ""
        self._write(body_text(held))

    def _text(self, text: str) -> None:
        """Write all but a CR at the end of the text, since an LF may follow it."""
        text = self._held_text + text
        self._held_text = "\r" if text.endswith("\r") else ""
        self._write(body_text(text.removesuffix(self._held_text)))

    def _write(self, text: str) -> None:
        super().body(text.encode("utf-8", "backslashreplace"))
