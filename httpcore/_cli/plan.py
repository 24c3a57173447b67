"""The meaning of a command line, as one value. No I/O: files are named here, and read when the request is made."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from .. import __version__
from .._address import canonical
from .._client.urls import URL
from .._errors import show_value

__all__ = [
    "AGENT",
    "DEFAULT_TIMEOUT",
    "FORM",
    "JSON",
    "Data",
    "Pair",
    "Plan",
    "UsageError",
    "cert_of",
    "edited_headers",
    "engines_of",
    "method_of",
    "resolve_of",
    "url_of",
    "user_of",
]

Pair = tuple[bytes, bytes]

AGENT: Final = b"httpcore/" + __version__.encode()
DEFAULT_TIMEOUT: Final = 30.0
FORM: Final = b"application/x-www-form-urlencoded"
JSON: Final = b"application/json"


class UsageError(Exception):
    """The command line is wrong; its text states the expected and the given value."""


class Data(NamedTuple):
    """The value of one `-d`, `--data-raw` or `--json`: a text, or the path of a file ("-" is the standard input); and
    the Content-Type that the option sets.
    """

    content_type: bytes
    text: bytes = b""
    path: str | None = None

    @property
    def is_form(self) -> bool:
        return self.content_type == FORM


class Plan(NamedTuple):
    """The request, how it is sent, and which parts of it are shown.

    Attributes:
        method, url, headers: of the request, complete except for `Host` and the framing fields.
        data: pieces of the body, with "&" between them.
        data_file: the path of a file with the body; "-" is the standard input. None: there is no such file.
        user: user name and password of the origin; the password is None if the program must prompt for it.
        output: the path of a file; None for the standard output; "-" for the standard output, even if it is a terminal
            and the body is binary.
        show_head: the heads of responses go to the output, before the body.
        fail: a status of 400 or more is an error.
        follow, most_redirects: whether redirects are followed, and how many.
        is_silent: neither a progress bar nor errors are shown; with `show_errors` the errors are shown.
        verbosity: 0, 1 for the steps and both heads, 2 to show the secrets in them too.
        compressed: any content coding is requested, and decoded.
        timeout, max_time: seconds of each wait, and in all; None for no limit.
        trace: whether the waterfall is shown as text.
        trace_svg: the path of a file for an image of the waterfall; None: there is no such file.
        The other attributes: as the arguments of `ConnectionPool`.
    """

    method: str
    url: URL
    headers: tuple[Pair, ...] = ()
    data: tuple[Data, ...] = ()
    data_file: str | None = None
    user: tuple[str, str | None] | None = None
    output: str | None = None
    show_head: bool = False
    fail: bool = False
    follow: bool = False
    most_redirects: int = 20
    is_silent: bool = False
    show_errors: bool = False
    verbosity: int = 0
    compressed: bool = False
    timeout: float | None = DEFAULT_TIMEOUT
    max_time: float | None = None
    retries: int = 0
    http1: bool = True
    http2: bool = True
    engines: str | dict[str, str] | None = None
    proxy: str | None = None
    resolve: tuple[tuple[str, tuple[str, ...]], ...] = ()
    cacert: str | None = None
    cert: tuple[str, str | None, str | None] | None = None
    insecure: bool = False
    trace: bool = False
    trace_svg: str | None = None


def url_of(text: str) -> URL:
    """The URL; http if it has no scheme, as with curl.

    Raises:
        InvalidURL, UnsupportedProtocol: it cannot be requested.
    """
    return URL(text if "://" in text else f"http://{text}")


def method_of(asked: str | None, *, head: bool, has_body: bool) -> str:
    if asked is not None:
        return asked
    return "HEAD" if head else "POST" if has_body else "GET"


def edited_headers(given: list[str], defaults: list[Pair]) -> tuple[Pair, ...]:
    """The fields of the request: those of `-H`, and the defaults for names that are not among them.

    "Name: value" adds a field, "Name:" removes the default, "Name;" adds a field without a value.

    Raises:
        UsageError: a text is malformed.
    """
    fields: list[Pair] = []
    named = set()
    for text in given:
        name, mark, value = text.partition(":")
        is_empty = not mark and text.endswith(";")
        name = text[:-1] if is_empty else name
        if not (mark or is_empty) or not name.strip():
            seen = "an empty name" if mark or is_empty else "a text without a colon"  # never the text: it may be secret
            raise UsageError(f"-H: expected 'Name: value', 'Name:' or 'Name;', got {seen}")
        named.add(os.fsencode(name).lower())
        if is_empty or value.strip(" \t"):
            fields.append((os.fsencode(name), os.fsencode(value.strip(" \t"))))
    return (*[pair for pair in defaults if pair[0].lower() not in named], *fields)


def resolve_of(given: list[str], url: URL) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Addresses by host, of `--resolve HOST:PORT:ADDRESS[,ADDRESS]`; those for other ports are left out.

    Raises:
        UsageError: a text is malformed.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        host, _, rest = text.partition(":")
        port, mark, addresses = rest.partition(":")
        listed = tuple(each.strip("[]") for each in addresses.split(","))
        if not (host and mark and (port == "*" or port.isdecimal())) or None in map(canonical, listed):
            raise UsageError(f"--resolve: expected HOST:PORT:ADDRESS[,ADDRESS...], got {show_value(text)}")
        if port == "*" or int(port) == url.origin.port:
            found[host] = listed
    return tuple(found.items())


def engines_of(text: str | None) -> str | dict[str, str] | None:
    """`native`, `reference` or `shadow`; or `http/1.1=reference,http/2=shadow`.

    Raises:
        UsageError: a part has no "=".
    """
    if text is None or "=" not in text:
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(mark for _, mark, _ in pairs):
        raise UsageError(f"--engines: expected NAME or PROTOCOL=NAME,..., got {show_value(text)}")
    return {protocol.strip(): name.strip() for protocol, _, name in pairs}


def cert_of(cert: str | None, key: str | None) -> tuple[str, str | None, str | None] | None:
    """Certificate, key and password of `--cert FILE[:PASSWORD]` and `--key FILE`."""
    if cert is None:
        if key is not None:
            raise UsageError("--key: expected --cert beside it, got none")
        return None
    path, _, password = cert.partition(":")
    return path, key, password or None


def user_of(text: str | None) -> tuple[str, str | None] | None:
    """User name and password of `-u USER[:PASSWORD]`."""
    if text is None:
        return None
    user, mark, password = text.partition(":")
    return user, password if mark else None
