"""`.netrc`: login and password by host, as ftp, curl and the standard library read it.

The standard library's `netrc` keeps only the last entry for each host; but with a user name in the URL, the entry of
that user must be found. So this module has its own parser. It reads words between white space, double quotes with
backslash escapes, `#` comments where a keyword may stand (a password may begin with `#`), `macdef` up to an empty line,
and `default`.

The host of the URL is compared in lower case and as a whole, so that no text around it (a port, a user name, an `@`)
can select the entry of another host. The `default` entry is for every host that has no matching entry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Final
from warnings import warn

from .._errors import HTTPCoreError, show
from .._values import dataclass

__all__ = ["Netrc", "NetrcEntry", "netrc_path"]

_WORD: Final = re.compile(r'[ \t\r\f\v]*+(?:(\n)|"((?:[^"\\]|\\.)*+)"|([^ \t\r\n\f\v]++))?+', re.DOTALL)
_OTHERS: Final = 0o044  # read permission for the group and for others
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True, repr=False)
class NetrcEntry:
    """One entry; `host` is None for the `default` entry."""

    host: str | None
    login: str
    password: str

    def __repr__(self) -> str:
        return f"<NetrcEntry host={self.host!r} login=*** password=***>"


def netrc_path() -> str:
    """The path in the variable `NETRC`, else of `.netrc` in the home folder; on Windows `_netrc` if that is absent."""
    named = os.environ.get("NETRC")
    if named:
        return named
    home = os.path.expanduser("~")
    usual, windows = os.path.join(home, ".netrc"), os.path.join(home, "_netrc")
    return windows if os.name == "nt" and not os.path.exists(usual) else usual


class Netrc:
    """The entries of a file. `repr` shows none."""

    __slots__ = ("_entries",)

    def __init__(self, entries: list[NetrcEntry]) -> None:
        self._entries = entries

    @classmethod
    def parse(cls, text: str, name: str = ".netrc") -> Netrc:
        """Parse the file's text; errors show `name` and the line number, but no content of the file.

        Raises:
            HTTPCoreError: the text breaks the grammar.
        """
        return cls(list(_entries(_Reader(text, name))))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Netrc:
        """Read a file. If it has passwords and other users may read it, a `RuntimeWarning` is issued.

        Raises:
            OSError: the file cannot be read.
            HTTPCoreError: the file breaks the grammar, or is not UTF-8.
        """
        name = os.fspath(path)
        with open(name, "rb") as file:
            raw = file.read()
            mode = os.fstat(file.fileno()).st_mode
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:  # this error would show the content of the file
            text = None
        if text is None:
            raise HTTPCoreError(f"the netrc file {show(name)} is not UTF-8: expected text in UTF-8")
        found = cls.parse(text, name)
        if os.name == "posix" and mode & _OTHERS and any(entry.password for entry in found._entries):
            warn(
                f"{show(name)} has passwords, and others may read it: expected mode 600, got {mode & 0o777:o}",
                RuntimeWarning,
                stacklevel=2,
            )
        return found

    def lookup(self, host: str, login: str | None = None) -> tuple[str, str] | None:
        """Login and password of the first entry for a host, else of the `default` entry; None if there is neither.

        With `login`, only entries with that login, or without a login, count.
        """
        host = host.lower()
        for wanted in (host, None):
            for entry in self._entries:
                if entry.host == wanted and (login is None or entry.login in (login, "")):
                    return login or entry.login, entry.password
        return None

    def __repr__(self) -> str:
        return f"<Netrc entries={len(self._entries)}>"


class _Reader:
    """The tokens of a text, and errors that name the line of the last token."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._name = name
        self._at = 0

    def token(self) -> str | None:
        """The next token outside of an entry's values; comments are left out. None at the end."""
        while True:
            found = self._match()
            if found is None:
                return None
            if found[2] is None and found[3].startswith("#"):
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
                continue
            return self._value(found)

    def value(self, of: str) -> str:
        """The token after a keyword; there, a "#" does not begin a comment."""
        found = self._match()
        if found is None:
            raise self.error(f"{of} has no value")
        return self._value(found)

    def skip_macro(self) -> None:
        """Skip the text of a macro, up to an empty line."""
        end = self._text.find("\n\n", self._at)
        self._at = len(self._text) if end < 0 else end

    def error(self, why: str) -> HTTPCoreError:
        line = self._text.count("\n", 0, self._at) + 1
        return HTTPCoreError(f"{show(self._name)}, line {line}: {why}")

    def _match(self) -> re.Match[str] | None:
        while True:
            found = _WORD.match(self._text, self._at)
            assert found is not None  # `_WORD` also matches the empty text
            self._at = found.end()
            if found[1] is None:
                return None if found[2] is None and found[3] is None else found

    def _value(self, found: re.Match[str]) -> str:
        return str(found[3]) if found[2] is None else _ESCAPE.sub(r"\1", found[2])


def _entries(reader: _Reader) -> Iterator[NetrcEntry]:
    keyword = reader.token()
    while keyword is not None:
        if keyword == "macdef":
            reader.value(keyword)
            reader.skip_macro()
            keyword = reader.token()
        elif keyword in ("machine", "default"):
            host = reader.value(keyword).lower() if keyword == "machine" else None
            values, keyword = _values(reader)
            yield NetrcEntry(host, values.get("login", ""), values.get("password", ""))
        else:
            raise reader.error("expected machine, default or macdef")


def _values(reader: _Reader) -> tuple[dict[str, str], str | None]:
    """The values of a machine's entry, and the keyword after it."""
    values: dict[str, str] = {}
    while (keyword := reader.token()) in ("login", "user", "account", "password"):
        values["login" if keyword == "user" else keyword] = reader.value(keyword)
    return values, keyword
