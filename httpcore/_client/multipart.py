"""`multipart/form-data` (RFC 7578): fields and files as one body. Files and iterators are not read into memory.

The content of each part is a `Body`, so a part accepts any content that a request accepts, and the same rules apply: a
file is sent from its position, and rewound to it when the request is sent again; an iterator is read once; an async
iterator needs an async runtime. The length is known if the length of each part is known; otherwise the body is chunked.

Names and file names are written as browsers do (the multipart encoding of the HTML standard): UTF-8, with `"`, CR and
LF as `%22`, `%0D` and `%0A`, so no name can end the quoted string or the line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from .._errors import LocalProtocolError, show
from .._message.body import Body, BodyContent, BodyReader
from .._message.request import HeaderTypes, header_pairs
from .._public import public
from .pairs import FormTypes, form_pairs, octets

if TYPE_CHECKING:
    from .._message.body import RunBlocking

__all__ = ["FileTypes", "FilesTypes", "Multipart"]

FileTypes = (
    BodyContent
    | tuple[str | None, BodyContent]
    | tuple[str | None, BodyContent, str | None]
    | tuple[str | None, BodyContent, str | None, HeaderTypes]
)
FilesTypes = Mapping[str, object] | Iterable[tuple[str, FileTypes]]  # the values of a mapping: see `FormTypes`

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=?]{1,70}").fullmatch
_TOKEN_BOUNDARY: Final = re.compile(r"[-0-9A-Za-z'+_.]*").fullmatch


@public
class Multipart:
    """A form with files, to be given as `content` of a request.

    Arguments:
        data: the fields: a mapping or pairs. Default None: none.
        files: a mapping or pairs of field name and file. A file is bytes, str, a binary file, an (async) iterable of
            bytes, a `ReplayableBody`; or a tuple of the file name (None: no file name), a content of one of these
            types, and optionally the content type and further header fields of the part. Default None: none.
        boundary: 1 to 70 of the characters that RFC 2046 allows. Default: 128 random bits, new for each object.

    Attributes:
        boundary: as text.
        content_type: the value of the request's Content-Type.

    Raises:
        LocalProtocolError: an argument has another shape, or a header field cannot be sent.
    """

    __slots__ = ("_body", "boundary", "content_type")

    def __init__(
        self, data: FormTypes | None = None, files: FilesTypes | None = None, *, boundary: str | None = None
    ) -> None:
        self.boundary: str = os.urandom(16).hex() if boundary is None else _checked_boundary(boundary)
        quoted = self.boundary if _TOKEN_BOUNDARY(self.boundary) else f'"{self.boundary}"'
        self.content_type: str = f"multipart/form-data; boundary={quoted}"
        parts = [] if data is None else [_field(name, value) for name, value in form_pairs(data)]
        parts += [] if files is None else [_file(name, file, place) for name, file, place in _named(files)]
        # A random boundary of 128 bits is in no content unless it is guessed; a caller's boundary may be.
        if boundary is not None:
            _check_absent(self.boundary.encode(), parts)
        self._body = _body_of_parts(parts, self.boundary.encode())

    def body(self) -> Body:
        """All parts as one body."""
        return self._body

    def __repr__(self) -> str:
        length = "unknown" if self._body.length is None else self._body.length
        return f"<Multipart boundary={self.boundary} length={length}>"


def _checked_boundary(boundary: object) -> str:
    if not isinstance(boundary, str) or not _BOUNDARY(boundary):
        seen = show(boundary) if isinstance(boundary, (str, bytes)) else f"of type {type(boundary).__name__}"
        raise LocalProtocolError(f"boundary is {seen}: expected 1 to 70 of A-Z a-z 0-9 '()+_,-./:=? in a str")
    return boundary


# The parts: each a head and a content.

Part = tuple[bytes, Body]


def _field(name: bytes, value: bytes) -> Part:
    return _disposition(name, None), Body.of(value)


def _named(files: object) -> Iterable[tuple[bytes, object, str]]:
    pairs = list(files.items()) if isinstance(files, Mapping) else files
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise LocalProtocolError(f"files is of type {type(files).__name__}: expected a mapping or pairs")
    for index, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            size = f" of length {len(pair)}" if isinstance(pair, (tuple, list)) else ""
            raise LocalProtocolError(
                f"files[{index}] is of type {type(pair).__name__}{size}: expected a pair of name (str) and file"
            )
        if not isinstance(pair[0], (str, bytes)):
            raise LocalProtocolError(f"files[{index}] has a name of type {type(pair[0]).__name__}: expected str")
        name = octets(pair[0], f"files[{index}] has a name")
        yield name, pair[1], f"files[{index}] ({show(name)})"


def _file(name: bytes, file: object, place: str) -> Part:
    if isinstance(file, tuple):
        if not 2 <= len(file) <= 4:
            raise LocalProtocolError(
                f"{place} is a tuple of {len(file)}: expected (filename, content[, content_type[, headers]])"
            )
        filename, content, content_type, headers = (*file, None, None)[:4]
    else:
        filename, content, content_type, headers = _filename(file, name), file, None, None
    encoded = None if filename is None else octets(filename, f"{place} has a file name")
    fields = header_pairs(headers) if headers else []
    # Content-Disposition first, as browsers send it.
    lines = [_disposition(name, encoded), *_content_type(encoded, content_type, fields, place)]
    lines += [key + b": " + value for key, value in fields]
    return b"\r\n".join(lines), _content(content, place)


def _content(content: BodyContent, place: str) -> Body:
    if content is None:
        raise LocalProtocolError(f"{place} has no content: expected bytes, str, a file or an iterable of bytes")
    try:
        return Body.of(content)
    except LocalProtocolError as error:
        message = error.message
    raise LocalProtocolError(f"{place}: {message}")


def _filename(content: object, name: bytes) -> str | bytes:
    """The name of the file on disk, else of the field: servers treat a part without a file name as a field."""
    path = getattr(content, "name", None)
    if isinstance(path, str) and path and not path.startswith("<"):
        return os.path.basename(path) or name
    return name


_NOT_IN_PARTS: Final = {b"content-disposition", b"content-transfer-encoding", b"content-length", b"transfer-encoding"}


def _content_type(
    filename: bytes | None, content_type: object, fields: list[tuple[bytes, bytes]], place: str
) -> list[bytes]:
    names = {key.lower() for key, _ in fields}
    for key in names & _NOT_IN_PARTS:
        raise LocalProtocolError(
            f"{place} has a header {key.decode()}: expected other fields, since the library writes this one where it "
            "is needed"
        )
    if content_type is not None:
        if b"content-type" in names:
            raise LocalProtocolError(f"{place} has a content type, and one among its headers: expected one of them")
        [(key, value)] = header_pairs([("Content-Type", content_type)])  # type: ignore[list-item]  # checked there
        return [key + b": " + value]
    if b"content-type" in names or filename is None:
        return []
    return [b"Content-Type: " + _guessed(filename)]


def _guessed(filename: bytes) -> bytes:
    from mimetypes import guess_type  # imported only for files: it reads the system's tables

    kind, coding = guess_type(filename.decode("utf-8", "replace"))
    return b"application/octet-stream" if kind is None or coding else kind.encode("ascii", "replace")


_NEWLINE: Final = re.compile(rb"\r\n|\r|\n")
_ESCAPES: Final = {b'"': b"%22", b"\r": b"%0D", b"\n": b"%0A"}
_ESCAPED: Final = re.compile(rb'["\r\n]')


def _disposition(name: bytes, filename: bytes | None) -> bytes:
    # As the HTML standard specifies: line ends in a name become CRLF, and then only the three bytes that would end the
    # parameter are percent-encoded.
    line = b'Content-Disposition: form-data; name="' + _quoted(_NEWLINE.sub(b"\r\n", name)) + b'"'
    return line if filename is None else line + b'; filename="' + _quoted(filename) + b'"'


def _quoted(text: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)


# The body.


def _check_absent(boundary: bytes, parts: list[Part]) -> None:
    """Refuse a boundary that occurs in a part whose content is in memory. Called for a caller's boundary only."""
    for index, (_, content) in enumerate(parts):
        if content.data is not None and b"--" + boundary in content.data:
            raise LocalProtocolError(
                f"boundary is in the content of part {index}: expected one that no content contains"
            )


def _body_of_parts(parts: list[Part], boundary: bytes) -> Body:
    mark, pieces = b"--" + boundary + b"\r\n", []
    for number, (head, content) in enumerate(parts):
        pieces += [Body.of((b"\r\n" if number else b"") + mark + head + b"\r\n\r\n"), content]
    pieces.append(Body.of((b"\r\n" if parts else b"") + b"--" + boundary + b"--\r\n"))
    whole = [piece.data for piece in pieces if piece.data is not None]
    if len(whole) == len(pieces):
        return Body.of(b"".join(whole))
    lengths = [piece.length for piece in pieces if piece.length is not None]
    return Body(None, sum(lengths) if len(lengths) == len(pieces) else None, _Chain(pieces))


class _Chain:
    """Several bodies, one after the other."""

    __slots__ = ("_bodies",)

    def __init__(self, bodies: list[Body]) -> None:
        self._bodies = bodies

    @property
    def replayable(self) -> bool:
        # If one part cannot be sent again, the whole form cannot.
        return all(body.replayable for body in self._bodies)

    @property
    def is_async(self) -> bool:
        return any(body.is_async for body in self._bodies)

    def open(self, run_blocking: RunBlocking) -> BodyReader:
        return _ChainReader([body.start(run_blocking) for body in self._bodies])


class _ChainReader:
    """Yields the pieces of each reader, in their order."""

    __slots__ = ("_at", "_readers")

    def __init__(self, readers: list[BodyReader]) -> None:
        self._readers = readers
        self._at = 0

    async def next(self) -> bytes | None:
        while self._at < len(self._readers):
            piece = await self._readers[self._at].next()
            if piece is not None:
                return piece
            self._at += 1
        return None

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    async def aclose(self) -> None:
        for reader in self._readers:
            await reader.aclose()
