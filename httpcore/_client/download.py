"""Downloads into a file that is complete or absent; resumed if the server confirms that the resource is unchanged.

The received part is in `PATH.part`. Beside it, `PATH.part.json` has the URL and the validator of the resource (RFC
9110, section 13.1.5: a strong entity tag, or a Last-Modified date that is not weak). The rest of the content is
requested with Range and If-Range, so a server whose resource has changed sends all of the content. A 206 response is
accepted only if its range begins where the file ends. No content coding is requested, since a range would count encoded
bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from json import dumps, loads
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from .._backends.base import Backend
from .._errors import RemoteProtocolError, show
from .._reentry import step_lock
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


class _SavedState(NamedTuple):
    """The state of an earlier download."""

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
    mark = session.in_flight.begin(target)
    call.has_begun = True  # so a client that drains still sends the requests of this download
    try:
        return await _download(session, request, call, target, resume, progress)
    finally:
        session.in_flight.end(mark)


async def _download(
    session: Session[R],
    request: Request,
    call: Call,
    target: _Target,
    resume: bool,
    progress: ProgressCallback | None,
) -> R:
    backend: Backend = session._backend()
    kept = await backend.run_blocking(target.kept) if resume else None
    if not request.has(b"accept-encoding") or session.headers.get("Accept-Encoding") in request.headers.get_list(
        "Accept-Encoding"
    ):
        request.headers["Accept-Encoding"] = "identity"
    ask = request.copy()
    if kept is not None:
        ask.add_field(b"Range", b"bytes=%d-" % kept.size)
        # RFC 9110, section 13.1.5: if the resource has changed, the server sends all of it, and not a part of another
        # version.
        ask.add_field(b"If-Range", kept.validator.encode("latin-1"))
    response = await session.send(ask, call)
    try:
        if int(response.status_code) == 416 and kept is not None:
            # The part was already complete, and only had to be renamed.
            if _is_whole(response, kept):
                await response._close()
                await backend.run_blocking(target.finish)
                return response
            await response._close()
            call.count_request(response.info)
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
    keep = _validator(response) if resume else None
    done, total = start, _total(response, start)
    try:
        await backend.run_blocking(partial(target.open, start, keep))
        stream = response._body_stream(decoded=True)
        while True:
            try:
                piece = await response._piece(stream)
            except StopAsyncIteration:
                break
            done += len(piece)
            if target.hold(piece):
                await backend.run_blocking(target.write)
            if progress is not None:
                progress(Progress("download", done, total))
        await backend.run_blocking(target.finish)
    except BaseException:
        target.abandon(keep=keep is not None)
        raise


class _Target:
    """The file, and the two files beside it.

    `open`, `write` and `finish` are steps that may run in another thread, and continue there when the task that waits
    for them is cancelled. So the files are closed and removed by `abandon` or by the running step, whichever ends last:
    the task does not wait for the thread, and no descriptor is closed during a write.
    """

    def __init__(self, path: str, url: str) -> None:
        self._path = path
        self._part = path + ".part"
        self._note = path + ".part.json"
        self._url = url
        self._lock = step_lock()
        self._is_busy = False
        self._keeps_part: bool | None = None  # set by `abandon`: whether the part is kept
        self._file: FileIO | None = None
        self._unwritten: list[bytes] = []
        self._size = 0

    def kept(self) -> _SavedState | None:
        """The state of an earlier download of this URL; None if there is none."""
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
        return _SavedState(size, validator)

    def hold(self, piece: bytes) -> bool:
        """Add a piece. Return True when enough bytes are collected for a write."""
        self._unwritten.append(piece)
        self._size += len(piece)
        return self._size >= _PIECE

    # Steps, which may run in another thread.

    def open(self, start: int, validator: str | None) -> None:
        """Open the partial file, to be written from `start` on. A link is never followed."""
        self._step(partial(self._open, start, validator))

    def write(self) -> None:
        """Write the collected bytes."""
        self._step(self._write)

    def finish(self) -> None:
        """Complete the download: write the collected bytes, and rename the file."""
        self._step(self._finish)

    def _step(self, act: Callable[[], None]) -> None:
        with self._lock:
            if self._keeps_part is not None:
                return
            self._is_busy = True
        try:
            act()
        finally:
            with self._lock:
                self._is_busy = False
                if self._keeps_part is not None:
                    self._end()

    def _open(self, start: int, validator: str | None) -> None:
        # A new file is created with O_EXCL: an old file, or a link that was put there, is never written to.
        if not start:
            self._remove()
        flags = os.O_CREAT | os.O_EXCL if not start else 0
        self._file = open(_opened(self._part, flags, 0o666), "wb", buffering=0)  # noqa: SIM115 - closed at the end
        self._file.truncate(start)
        self._file.seek(start)
        if validator is not None and not start:
            with open(_opened(self._note, os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(dumps({"url": self._url, "validator": validator}))

    def _write(self) -> None:
        assert self._file is not None  # opened before
        view = memoryview(b"".join(self._unwritten))
        self._unwritten, self._size = [], 0
        while view:
            view = view[self._file.write(view) :]

    def _finish(self) -> None:
        if self._file is not None:  # None if the part was already complete
            self._write()
            self._file.close()
        # The replacement is atomic: another program sees the old file or the complete new one. The note is removed
        # last: without it a part cannot be resumed.
        os.replace(self._part, self._path)
        self._unlink(self._note)

    # The end.

    def abandon(self, *, keep: bool) -> None:
        """End a failed download. A running step ends first, in its thread; this method does not wait for it."""
        with self._lock:
            self._keeps_part = keep
            if not self._is_busy:
                self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None and not file.closed:
            try:
                if self._keeps_part:
                    file.write(b"".join(self._unwritten))
            finally:
                file.close()
        if not self._keeps_part:
            self._remove()

    def _remove(self) -> None:
        self._unlink(self._note)
        self._unlink(self._part)

    def _unlink(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass


def _opened(path: str, flags: int, mode: int) -> int:
    """A descriptor for writing to the file at this path; a link there is not followed."""
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.open(path, os.O_WRONLY | flags, mode)


def _is_whole(response: Readable, kept: _SavedState) -> bool:
    """Whether a 416 means that the kept part is already complete."""
    found = _UNSATISFIED(response.headers.get("Content-Range", ""))
    return found is not None and int(found[1]) == kept.size and _validator(response) in (kept.validator, None)


def _start(response: Readable, kept: _SavedState | None) -> int:
    """The position of the body in the file.

    Raises:
        RemoteProtocolError: the response is a part that was not requested.
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
    """The validator by which the server can recognise an unchanged resource; None if there is none."""
    headers = response.headers
    if "Content-Encoding" in headers:
        return None
    tag = headers.get("ETag")
    if tag is not None:
        return tag if tag.startswith('"') and tag.isascii() else None
    modified, date = headers.get("Last-Modified"), headers.get("Date")
    return modified if modified is not None and modified != date else None
