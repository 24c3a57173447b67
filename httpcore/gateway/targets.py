"""Request targets and hosts as a gateway takes them (RFC 9112, sections 3.2 and 7.2): values in, values out."""

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
"""Whether a value is `uri-host [":" port]` (RFC 9110, section 7.2), not empty: `hosts[value]`."""


class Target(NamedTuple):
    """A request target in origin-form, or `*`.

    Attributes:
        path: without the query.
        authority: that of a target in absolute-form, which replaces Host; None for the other forms.
    """

    path: bytes
    authority: bytes | None


def target_of(scope: Scope) -> Target | Refusal:
    """The path as the client sent it. ASGI need not tell its bytes: then they are made of the decoded path."""
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
    """Whether dot segments lead out of the folder in which `path` begins, for any server that might normalise it: one
    that decodes `%2e` and `%2f`, or takes a backslash for a slash.
    """
    if b"." not in path and b"%" not in path:
        return False
    depth = 0
    for segment in _SLASHES.split(path)[1:]:
        plain = _DOT.sub(b".", segment).partition(b";")[0]  # parameters of a segment are cut off by some servers
        if plain == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif plain not in (b"", b"."):  # an empty segment is dropped by some servers, so it counts for nothing
            depth += 1
    return False
