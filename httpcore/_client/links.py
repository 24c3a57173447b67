"""Link fields (RFC 8288): the links of a response to other resources. Pure functions, without I/O.

The field is a list of `<target>; name=value; name="value"`. A member that breaks the grammar is dropped, and reading
continues after the next comma outside of quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["parse_links"]

_WORD = r"[-!#$%&'*+.^_`|~0-9A-Za-z]++"
_TARGET: Final = re.compile(r"[\t ,]*+<([^>]*+)>")
_PARAMETER: Final = re.compile(
    rf'[\t ]*+;[\t ;]*+(?:({_WORD})[\t ]*+(?:=[\t ]*+(?:({_WORD})|"((?:[^"\\]|\\.)*+)"))?+)?+'
)
_REST: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*+(?:"|$)|[^",])*+,?+')
_PAIR: Final = re.compile(r"\\(.)")


def parse_links(values: Iterable[bytes]) -> dict[str, dict[str, str]]:
    """Target ("url") and parameters of each link, by relation, or by target if the link has no relation.

    Of a repeated relation the first link is kept. URLs are as written: the caller resolves relative URLs.
    """
    links: dict[str, dict[str, str]] = {}
    for value in values:
        text = value.decode("latin-1")
        at = 0
        while at < len(text):
            found = _TARGET.match(text, at)
            if found is not None:
                link, at = _parameters(text, found.end(), found[1].strip())
                for relation in link.get("rel", "").split() or [link["url"]]:
                    links.setdefault(relation, link)
            rest = _REST.match(text, at)
            at = max(rest.end() if rest is not None else at, at + 1)
    return links


def _parameters(text: str, at: int, url: str) -> tuple[dict[str, str], int]:
    link = {"url": url}
    while (found := _PARAMETER.match(text, at)) is not None and found.end() > at:
        at = found.end()
        name, token, quoted = found.groups()
        if name is not None:
            given = token if quoted is None else _PAIR.sub(r"\1", quoted)
            link.setdefault(name.lower(), given or "")  # of a repeated parameter the first counts (section 3.3)
    return link, at
