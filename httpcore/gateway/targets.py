"""Request targets and hosts that a gateway accepts (RFC 9112, section 3.2; RFC 9110, section 7.2): values in, values
out.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from .._message.fields import Remembered
from .messages import Refusal, Scope

__all__ = ["Target", "hosts", "leaves", "target_of"]

_HOST: Final = rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?"
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://(" + _HOST + rb")(/.*)?", re.DOTALL)
_SLASHES: Final = re.compile(rb"/|\\|%2[Ff]|%5[Cc]")
_DOT: Final = re.compile(rb"%2[Ee]")

_is_host: Final = re.compile(_HOST).fullmatch
hosts: Final = Remembered(lambda value: _is_host(value) is not None)
"""`hosts[value]`: whether a value is a non-empty `uri-host [":" port]` (RFC 9110, section 7.2)."""


class Target(NamedTuple):
    """A request target in origin-form, or `*`.

    Attributes:
        path: the path without the query.
        authority: the authority of a target in absolute-form, which replaces Host; None for the other forms.
    """

    path: bytes
    authority: bytes | None


def target_of(scope: Scope) -> Target | Refusal:
    """The target as the client sent it. An ASGI server need not pass its bytes; they are then made from the decoded
    path.
    """
    path: bytes = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~").encode()
    if path[:1] == b"/" or (path == b"*" and scope["method"] == "OPTIONS"):
        return Target(path, None)
    absolute = _ABSOLUTE.fullmatch(path)
    if absolute is None:
        return Refusal(400, "the request target is neither a path nor an http URL")
    # RFC 9112, section 3.2.4: OPTIONS for the server as a whole has neither path nor query.
    whole = scope["method"] == "OPTIONS" and absolute[2] is None and not scope.get("query_string")
    return Target(b"*" if whole else absolute[2] or b"/", absolute[1])


def leaves(path: bytes) -> bool:
    """Whether dot segments lead out of the directory in which `path` begins. This is strict, for any server that might
    normalise the path: for a server that decodes `%2e` and `%2f`, or treats a backslash as a slash.
    """
    if b"." not in path and b"%" not in path:
        return False
    depth = 0
    for segment in _SLASHES.split(path)[1:]:
        plain = _DOT.sub(b".", segment).partition(b";")[0]  # some servers cut off the parameters of a segment
        if plain == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif plain not in (b"", b"."):  # some servers drop empty segments, so they do not count
            depth += 1
    return False
