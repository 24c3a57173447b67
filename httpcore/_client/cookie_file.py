"""Cookies in a JSON file that only its owner can read, and that is replaced atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Final

from .._errors import HTTPCoreError, show_value
from .set_cookie import Cookie, checked

__all__ = ["read", "write"]

_FORMAT: Final = "httpcore cookies"
_VERSION: Final = 1
_FIELDS: Final[dict[str, tuple[type, ...]]] = {
    "name": (str,),
    "value": (str,),
    "domain": (str,),
    "path": (str,),
    "host_only": (bool,),
    "secure": (bool,),
    "http_only": (bool,),
    "same_site": (str, type(None)),
    "expires": (int, float, type(None)),
}


def write(path: str | os.PathLike[str], cookies: Iterable[Cookie]) -> None:
    """Write the cookies to a new file beside `path`, which only its owner can read, and rename it to `path`."""
    listed = [{name: getattr(cookie, name) for name in _FIELDS} for cookie in cookies]
    text = json.dumps({"format": _FORMAT, "version": _VERSION, "cookies": listed}, indent=1)
    place = os.fspath(path)
    new = f"{place}.{os.urandom(8).hex()}.new"
    # O_EXCL: opening fails if another user has put a file or a link there.
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, place)
    except BaseException:
        os.unlink(new)
        raise


def read(path: str | os.PathLike[str]) -> list[Cookie]:
    """The cookies of a file that `write` made.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file was not written by `write`, or is damaged.
    """
    with open(path, encoding="ascii") as file:
        try:
            content = json.load(file)
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT or content.get("version") != _VERSION:
        raise _damaged(path, f"no file of cookies in version {_VERSION}")
    listed = content.get("cookies")
    if not isinstance(listed, list):
        raise _damaged(path, "no list of cookies")
    return [_cookie(path, index, fields) for index, fields in enumerate(listed)]


def _cookie(path: str | os.PathLike[str], index: int, fields: object) -> Cookie:
    if not isinstance(fields, dict) or fields.keys() != _FIELDS.keys():
        raise _damaged(path, f"cookie {index} without the fields of a cookie")
    for name, types in _FIELDS.items():
        if type(fields[name]) not in types:
            raise _damaged(path, f"cookie {index} with a {name} of type {type(fields[name]).__name__}")
    try:
        cookie = Cookie(**fields)
        if checked(cookie) == cookie:
            return cookie
    except HTTPCoreError:
        pass
    raise _damaged(path, f"cookie {index} with an invalid value")


def _damaged(path: str | os.PathLike[str], seen: str) -> ValueError:
    return ValueError(f"the file {show_value(os.fspath(path))} has {seen}: expected one that Cookies.save wrote")
