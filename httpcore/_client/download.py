"""Downloads into a file: complete or not there, and resumed where the server says that it is still the same.

What came is in `PATH.part`. Beside it, `PATH.part.json` says of which URL it is and by which validator the server
knows it (RFC 9110, section 13.1.5: a strong entity tag, or a date of last modification that is no weak one). The rest
is asked for with Range and If-Range, so a server that has something else by now sends all of it. A 206 counts only if
it begins where the file ends. No content coding is asked for, since a range is one of the coded bytes.
"""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from .._backends.base import Backend
from .._errors import RemoteProtocolError, show
from .delivery import Progress, ProgressCallback
from .options import Call
from .request import Request
from .response import Readable

if TYPE_CHECKING:
    from io import FileIO

    from .session import Session

__all__ = ["download"]

R = TypeVar("R", bound=Readable)

_PIECE: Final = 1_048_576  # bytes that are written at once
_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:([0-9]{1,18})|\*)").fullmatch
_UNSATISFIED: Final = re.compile(r"bytes \*/([0-9]{1,18})").fullmatch


class _Kept(NamedTuple):
    """What there is of an earlier download."""

    size: int
    validator: str


async def download(
    session: Session[R],
    request: Request,
    call: Call,
    path: str | os.PathLike[str],
    resume: bool,
    progress: ProgressCallback | None,
) -> R:
    """Send the request, and write the body of its response into a file. Returns the response."""
    target = _Target(os.fspath(path), str(request.url.request_url))
    backend: Backend = session._backend()
    kept = await backend.run_blocking(target.kept) if resume else None
    if not request.has(b"accept-encoding") or session.headers.get("Accept-Encoding") in request.headers.get_list(
        "Accept-Encoding"
    ):
        request.headers["Accept-Encoding"] = "identity"
    ask = request.copy()
    if kept is not None:
        ask.add_field(b"Range", b"bytes=%d-" % kept.size)
        ask.add_field(b"If-Range", kept.validator.encode("latin-1"))
    response = await session.send(ask, call)
    try:
        if int(response.status_code) == 416 and kept is not None:
            if _is_whole(response, kept):
                await response._close()
                await backend.run_blocking(target.finish)
                return response
            await response._close()
            response, kept = await session.send(request.copy(), call), None
        response.raise_for_status()
        start = _start(response, kept)
        await _write(response, target, backend, start, resume, progress)
    except BaseException:
        await response._close()
        raise
    return response


async def _write(
    response: R, target: _Target, backend: Backend, start: int, resume: bool, progress: ProgressCallback | None
) -> None:
    validator = _validator(response) if resume else None
    file = await backend.run_blocking(partial(target.open, start, validator))
    done, total = start, _total(response, start)
    held: list[bytes] = []
    try:
        stream = response._body_stream(decoded=True)
        size = 0
        while True:
            try:
                piece = await response._piece(stream)
            except StopAsyncIteration:
                break
            held.append(piece)
            size += len(piece)
            done += len(piece)
            if progress is not None:
                progress(Progress("download", done, total))
            if size >= _PIECE:
                await backend.run_blocking(partial(_flush, file, held))
                size = 0
        await backend.run_blocking(partial(_flush, file, held))
    except BaseException:
        target.abandon(file, held, keep=validator is not None)
        raise
    file.close()
    await backend.run_blocking(target.finish)


def _flush(file: FileIO, held: list[bytes]) -> None:
    view = memoryview(b"".join(held))
    held.clear()
    while view:
        view = view[file.write(view) :]


class _Target:
    """The file, and the two beside it."""

    def __init__(self, path: str, url: str) -> None:
        self._path = path
        self._part = path + ".part"
        self._note = path + ".part.json"
        self._url = url

    def kept(self) -> _Kept | None:
        """What there is of an earlier download of this URL."""
        from json import loads  # only for who resumes

        try:
            with open(self._note, encoding="utf-8") as file:
                note: Any = loads(file.read(65536))
            size = os.stat(self._part, follow_symlinks=False).st_size
        except (OSError, ValueError):
            return None
        if not isinstance(note, dict) or note.get("url") != self._url or not size:
            return None
        validator = note.get("validator")
        if not isinstance(validator, str) or not validator.isascii() or not validator.isprintable():
            return None
        return _Kept(size, validator)

    def open(self, start: int, validator: str | None) -> FileIO:
        """The partial file, to be written from `start` on. Never one that a link leads to."""
        if not start:
            self._remove()
        flags = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        flags |= 0 if start else os.O_CREAT | os.O_EXCL
        file = open(os.open(self._part, flags, 0o666), "wb", buffering=0)  # noqa: SIM115 - it is the caller's
        try:
            file.truncate(start)
            file.seek(start)
            if validator is not None and not start:
                self._write_note(validator)
        except BaseException:
            file.close()
            raise
        return file

    def _write_note(self, validator: str) -> None:
        from json import dumps  # only for who resumes

        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        with open(os.open(self._note, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(dumps({"url": self._url, "validator": validator}))

    def abandon(self, file: FileIO, held: list[bytes], *, keep: bool) -> None:
        """The download failed."""
        try:
            if keep:
                _flush(file, held)
        finally:
            file.close()
            if not keep:
                self._remove()

    def finish(self) -> None:
        """It is complete."""
        os.replace(self._part, self._path)
        self._unlink(self._note)

    def _remove(self) -> None:
        self._unlink(self._note)
        self._unlink(self._part)

    def _unlink(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _is_whole(response: Readable, kept: _Kept) -> bool:
    """Whether a 416 says that there is no more than what was kept."""
    found = _UNSATISFIED(response.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == kept.size and _validator(response) in (kept.validator, None)


def _start(response: Readable, kept: _Kept | None) -> int:
    """Where the body belongs in the file.

    Raises:
        RemoteProtocolError: it is a part that nobody asked for.
    """
    if int(response.status_code) != 206:
        return 0
    value = response.headers.get("Content-Range", "")
    found = _RANGE(value)
    if kept is None or found is None or int(found[1]) != kept.size:
        expected = "no part" if kept is None else f"one from byte {kept.size} on"
        raise RemoteProtocolError(
            f"the server sent a part of the content, Content-Range {show(value)}: expected {expected}",
            method=response.request.method,
            url=response.url.redacted,
            status_code=206,
        )
    return kept.size


def _total(response: Readable, start: int) -> int | None:
    if "Content-Encoding" in response.headers:
        return None
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None


def _validator(response: Readable) -> str | None:
    """By what the server can tell later whether it is still the same; None if it cannot."""
    headers = response.headers
    if "Content-Encoding" in headers:
        return None
    tag = headers.get("ETag")
    if tag is not None:
        return tag if tag.startswith('"') and tag.isascii() else None
    modified, date = headers.get("Last-Modified"), headers.get("Date")
    return modified if modified is not None and modified != date else None
