"""Public suffixes: the names below which the public may register names, so that no cookie may be for all of them.

The list is that of `publicsuffixlist`, if it is installed (the extra `cookies`); else each single label counts as one.
The library makes an index of the list at its first use, which takes a tenth of a second and would stop the event loop
inside a request. Here the lines of the list become a set when the module is loaded: a few milliseconds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

try:
    from publicsuffixlist import PSLFILE
except ImportError:  # it is optional
    PSLFILE = ""

__all__ = ["is_public_suffix"]


def _rules() -> frozenset[bytes]:
    """The lines of the list: rules, and comments, which are the same as no rule."""
    if not PSLFILE:
        return frozenset()
    with open(PSLFILE, "rb") as file:
        return frozenset(file.read().split(b"\n"))


_RULES: Final = _rules()


@lru_cache(maxsize=512)
def is_public_suffix(domain: str) -> bool:
    """Whether a domain (in A-labels) is a public suffix, as the algorithm of publicsuffix.org decides.

    The rule that prevails must have as many labels as the domain: the domain itself, one with a wildcard in the place
    of its first label, or "*", if it is a single label. An exception ("!www.ck") prevails over each. As in the library,
    a rule "*.ck" makes "ck" a suffix too.
    """
    if "." not in domain:
        return True
    name = ".".join([_u_label(label) for label in domain.split(".")]).encode()
    if b"!" + name in _RULES:
        return False
    return not _RULES.isdisjoint((name, b"*." + name, b"*." + name.partition(b".")[2]))


def _u_label(label: str) -> str:
    """The domain as it is written in the list. Names without an A-label were refused with the URL."""
    return label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
