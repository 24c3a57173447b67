"""Public suffixes: domains such as co.uk, under which anyone may register names. Cookies for them are refused.

The list is that of the package `publicsuffixlist`, if it is installed (the extra `cookies`); else only single labels
count as public suffixes. The package makes an index of the list at its first use, which takes a tenth of a second and
would block the event loop inside a request. Here the lines of the list become a set when this module is imported,
which takes a few milliseconds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

try:
    from publicsuffixlist import PSLFILE
except ImportError:  # the package is optional
    PSLFILE = ""

__all__ = ["is_public_suffix"]


def _rules() -> frozenset[bytes]:
    """The lines of the list: the rules, and comments, which match no domain."""
    if not PSLFILE:
        return frozenset()
    with open(PSLFILE, "rb") as file:
        return frozenset(file.read().split(b"\n"))


_RULES: Final = _rules()


@lru_cache(maxsize=512)
def is_public_suffix(domain: str) -> bool:
    """Whether a domain (in A-labels) is a public suffix, as the algorithm of publicsuffix.org decides.

    The longest matching rule must have as many labels as the domain: this is the domain itself, the domain with a
    wildcard as its first label, or "*" for a single label. An exception ("!www.ck") overrides every rule. As in the
    package, a rule "*.ck" makes "ck" a suffix too.
    """
    if "." not in domain:
        return True
    name = ".".join([_u_label(label) for label in domain.split(".")]).encode()
    if b"!" + name in _RULES:
        return False
    return not _RULES.isdisjoint((name, b"*." + name, b"*." + name.partition(b".")[2]))


def _u_label(label: str) -> str:
    """A label as the list writes it, in Unicode. An A-label that cannot be decoded was refused with the URL."""
    return label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
