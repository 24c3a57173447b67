"""Parsers of the challenges in WWW-Authenticate, and of the parameters in Authentication-Info.

RFC 9110, section 11: one field may hold several challenges, and several fields may be sent. Commas separate challenges,
and also the parameters of one challenge. A scheme is a token that is not followed by the "=" of a parameter. A
challenge that breaks the grammar is dropped, and parsing continues after the next comma: an unknown scheme must not
hide a known one. A challenge with a repeated parameter is dropped too, since two parsers could use different values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .._values import dataclass

__all__ = ["Challenge", "parse_challenges", "parse_parameters"]

_WORD = r"[-!#$%&'*+.^_`|~0-9A-Za-z]++"
_ITEM: Final = re.compile(
    rf"""[\t ,]*+
    (?:(?P<scheme>{_WORD})(?:[ ]++(?![\t =,])|[\t ]*+(?=,|\Z)))?+
    (?:
      (?P<name>{_WORD})[\t ]*+=[\t ]*+(?:(?P<value>{_WORD})|"(?P<quoted>(?:[^"\\]|\\.)*+)")[\t ]*+(?=,|\Z)
      |(?P<token68>[-0-9A-Za-z._~+/]++=*+)[\t ]*+(?=,|\Z)
    )?+""",
    re.VERBOSE | re.DOTALL,
)
_BROKEN: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[^",])++', re.DOTALL)
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True, repr=False)
class Challenge:
    """One way to authenticate.

    Attributes:
        scheme: in lower case.
        parameters: the values by lower-case name, without quotes and escapes; octets are decoded as latin-1.
        token68: the single value that some schemes have in place of parameters.
    """

    scheme: str
    parameters: dict[str, str]
    token68: str | None = None

    def __repr__(self) -> str:
        return f"<Challenge {self.scheme} {', '.join(self.parameters)}>"


class _PartialChallenge:
    """A challenge that is being read."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme.lower()
        self.parameters: dict[str, str] = {}
        self.token68: str | None = None
        self.broken = False

    def add(self, found: re.Match[str]) -> None:
        if found["name"] is not None:
            name = found["name"].lower()
            self.broken |= name in self.parameters or self.token68 is not None
            quoted = found["quoted"]
            self.parameters[name] = found["value"] if quoted is None else _PAIR.sub(r"\1", quoted)
        elif found["token68"] is not None:
            self.broken |= bool(self.parameters) or self.token68 is not None
            self.token68 = found["token68"]


def parse_challenges(values: Iterable[bytes | str]) -> list[Challenge]:
    """All challenges of these fields that follow the grammar, in their order."""
    return [
        Challenge(each.scheme, each.parameters, each.token68)
        for value in values
        for each in _read(_text(value))
        if each.scheme and not each.broken
    ]


def parse_parameters(values: Iterable[bytes | str]) -> dict[str, str]:
    """The parameters of Authentication-Info (RFC 7615): none if the fields break the grammar or repeat one of them."""
    read = list(_read(", ".join(map(_text, values))))
    return read[0].parameters if len(read) == 1 and not read[0].scheme and not read[0].broken else {}


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _read(text: str) -> Iterable[_PartialChallenge]:
    # Each round consumes text: a comma after a match of `_ITEM` is part of the next match, and `_BROKEN` matches any
    # other text there.
    challenge, at = _PartialChallenge(""), 0
    challenges = [challenge]
    while at < len(text):
        found = _ITEM.match(text, at)
        assert found is not None  # `_ITEM` also matches the empty text
        if found["scheme"] is not None:
            challenge = _PartialChallenge(found["scheme"])
            challenges.append(challenge)
        challenge.add(found)
        at = found.end()
        broken = _BROKEN.match(text, at)
        if broken is not None:
            challenge.broken, at = True, broken.end()
    return challenges if challenges[0].parameters or challenges[0].broken else challenges[1:]
