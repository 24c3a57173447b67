"""Text from received bytes: its character encoding, and how it is read in pieces, by lines and as JSON lines.

The encoding of a whole text is the first of these that is present: the charset of Content-Type, a byte order mark,
strict UTF-8, the guess of charset-normalizer or chardet (if one is installed: the extra `charset`), UTF-8 with
replacement characters. A default encoding of the caller replaces all steps after the byte order mark. A charset that
Python does not know, or that is not an encoding of text on the web (`unicode_escape`, `idna`, `utf-7`, `base64` ...),
counts as absent.

The encoding of a text that is read in pieces is not detected, since the result would depend on the size of the pieces.
Without a charset and a byte order mark it is the caller's default, else UTF-8 with replacement characters.

Lines end with LF, CRLF or CR and nothing else: `str.splitlines` cuts at form feeds and U+2028 too, which are content in
JSON and in logs. A line is yielded as soon as its end is received: a CR ends it at once, even if an LF may follow.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from json import JSONDecodeError, loads
from typing import Final

from .._errors import DecodingError, LocalProtocolError, show_value

__all__ = ["DefaultEncoding", "JSONLines", "LineSplitter", "TextDecoder", "charset_of", "decode_text", "known_encoding"]

DefaultEncoding = str | Callable[[bytes], str | None] | None

_PARAMETER: Final = re.compile(
    r""";[\t ]*+([^\t =;"]*+)[\t ]*+=[\t ]*+(?:"((?:[^"\\]|\\.)*+)"|'?([^\t ;,']*+)[^;]*+)""", re.DOTALL
)

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Encodings that only Python has, or that turn plain text into something else.
_NOT_FOR_THE_WEB: Final = {
    "idna",
    "punycode",
    "unicode_escape",
    "raw_unicode_escape",
    "undefined",
    "utf-7",
    "mbcs",
    "oem",
}


def known_encoding(label: str) -> str | None:
    """Python's name for an encoding of text; None if no encoding has that label."""
    try:
        info = codecs.lookup(label.strip())
    except (LookupError, ValueError, UnicodeError):
        return None
    is_text = getattr(info, "_is_text_encoding", True)
    return info.name if is_text and info.name.replace("_", "-") not in _BARRED else None


_BARRED: Final = {name.replace("_", "-") for name in _NOT_FOR_THE_WEB}


def charset_of(content_type: str | None) -> str | None:
    """Python's name for the charset parameter of a Content-Type; None if it is absent or unknown."""
    for found in _PARAMETER.finditer(content_type or ""):
        if found[1].lower() == "charset":
            return known_encoding(found[3] if found[2] is None else _ESCAPED.sub(r"\1", found[2]))
    return None


_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def _bom_encoding(content: bytes, family: str = "utf-") -> str | None:
    """The encoding, one of a family, that a byte order mark indicates."""
    return next((name for mark, name in _MARKS if content.startswith(mark) and name.startswith(family)), None)


_FAMILIES: Final = ("utf-16", "utf-32")
"""Names of encodings whose byte order a mark decides. Without a mark they are little-endian, as in browsers."""


def decode_text(
    content: bytes, content_type: str | None = None, default_encoding: DefaultEncoding = None
) -> tuple[str, str]:
    """A whole text, and the name of its encoding. Octets that cannot be decoded become U+FFFD.

    Arguments:
        default_encoding: the encoding if neither Content-Type nor a byte order mark gives one: its name, or a function
            that is called with the content and returns a name, or None to detect the encoding as usual.

    Raises:
        LocalProtocolError: `default_encoding` is not a known encoding.
    """
    named = charset_of(content_type)
    if named in _FAMILIES:
        named = _bom_encoding(content, named) or f"{named}-le"
    chosen = named or _bom_encoding(content)
    if chosen is None:
        chosen = _default(default_encoding(content) if callable(default_encoding) else default_encoding)
        chosen = f"{chosen}-le" if chosen in _FAMILIES else chosen
    if chosen is None:
        try:
            return content.decode(), "utf-8"
        except UnicodeDecodeError:
            chosen = _detected(content) or "utf-8"
    return content.decode(chosen, "replace").removeprefix("\ufeff"), chosen


def _default(label: str | None) -> str | None:
    if label is None:
        return None
    encoding = known_encoding(label)
    if encoding is None:
        raise LocalProtocolError(f"default_encoding is {show_value(label)}: expected the name of an encoding of text")
    return encoding


def _detected(content: bytes) -> str | None:
    """The guess of a library, if one is installed."""
    for module, detect in (("charset_normalizer", "detect"), ("chardet", "detect")):
        try:
            library = __import__(module)  # optional, and only for text that is not UTF-8
        except ImportError:
            continue
        found = getattr(library, detect)(content)["encoding"]
        return None if found is None else known_encoding(found)
    return None


class TextDecoder:
    """Decodes text piece by piece. The text does not depend on where the bytes are cut.

    Attributes:
        encoding: the name of the encoding; None while the first bytes may still be a byte order mark.
    """

    __slots__ = ("_decoder", "_default", "_family", "_held", "_started", "encoding")

    def __init__(self, content_type: str | None = None, default_encoding: DefaultEncoding = None) -> None:
        named = charset_of(content_type)
        fallback = named or _default(None if callable(default_encoding) else default_encoding) or "utf-8"
        self._default = f"{fallback}-le" if fallback in _FAMILIES else fallback
        self._family = named if named in _FAMILIES else "utf-"
        self.encoding = None if named in _FAMILIES else named
        self._decoder = None if self.encoding is None else _incremental(self.encoding)
        self._held = b""
        self._started = False  # a character has been decoded, so no mark is removed any more

    def feed(self, data: bytes) -> str:
        """The characters that are complete."""
        return self._text(data, final=False)

    def flush(self) -> str:
        """The rest of the text; an incomplete character becomes U+FFFD."""
        return self._text(b"", final=True)

    def _text(self, data: bytes, *, final: bool) -> str:
        if self._decoder is None:
            data = self._held = self._held + data
            # The first bytes may be the beginning of a mark: nothing is decoded before that is known.
            if not final and any(mark.startswith(data) and mark != data for mark, _ in _MARKS):
                return ""
            self._held = b""
            self.encoding = _bom_encoding(data, self._family) or self._default
            self._decoder = _incremental(self.encoding)
        text = self._decoder.decode(data, final)
        if self._started or not text:
            return text
        self._started = True
        return text.removeprefix("\ufeff")


def _incremental(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)("replace")


class LineSplitter:
    """Splits text into lines, without their ends. The lines do not depend on where the text is cut into pieces."""

    __slots__ = ("_after_cr", "_parts")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._after_cr = False

    def feed(self, text: str) -> list[str]:
        """The lines whose end has been received."""
        if self._after_cr and text:
            # A CR at the end of a piece ends its line now; an LF at the start of the next piece belongs to that CR.
            text, self._after_cr = text.removeprefix("\n"), False
        if not text:
            return []
        self._after_cr = text.endswith("\r")
        *lines, rest = _LINE_END.split(text)
        if lines:
            lines[0] = "".join([*self._parts, lines[0]])
            self._parts = []
        if rest:
            self._parts.append(rest)
        return lines

    def flush(self) -> list[str]:
        """The last line, if it has no line end."""
        rest, self._parts = "".join(self._parts), []
        return [rest] if rest else []


_LINE_END: Final = re.compile(r"\r\n|\r|\n")


class JSONLines:
    """Decodes newline-delimited JSON piece by piece; lines that have only white space are skipped."""

    __slots__ = ("_decoder", "_lines", "_number")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._lines = LineSplitter()
        self._number = 0

    def feed(self, data: bytes) -> list[object]:
        """The values whose lines are complete.

        Raises:
            DecodingError: a line is not a JSON text, or not UTF-8.
        """
        return self._values(self._lines.feed(self._text(data)))

    def flush(self) -> list[object]:
        """The value of the last line, if it has no line end."""
        last = self._text(b"", final=True)
        return self._values(self._lines.feed(last) + self._lines.flush())

    def _text(self, data: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(data, final)
        except UnicodeDecodeError:
            number = self._number + 1
        raise DecodingError(f"line {number} or a later one is not UTF-8: expected JSON lines in UTF-8")

    def _values(self, lines: list[str]) -> list[object]:
        values: list[object] = []
        for line in lines:
            self._number += 1
            if not line.strip(" \t"):
                continue
            try:
                values.append(loads(line))
                continue
            except JSONDecodeError as error:
                why = f"{error.msg} at column {error.colno}"
            except RecursionError:
                why = "nested too deeply"
            except ValueError:  # Python limits the length of numbers, since it converts them in quadratic time
                why = "a number has too many digits"
            raise DecodingError(f"line {self._number} is not JSON: {why}")
        return values
