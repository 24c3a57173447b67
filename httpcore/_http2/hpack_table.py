"""The constants of HPACK (RFC 7541): how a field begins, the static table, the Huffman code. Pure."""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "ADDED",
    "ENTRY_BYTES",
    "INDEXED",
    "NEVER",
    "PLAIN",
    "RESIZED",
    "STATIC_COUNT",
    "STATIC_PAIRS",
    "huffman_decode",
]

ENTRY_BYTES: Final = 32
"""Bytes that are added to the size of a field's name and value in a table or a list (4.1)."""

INDEXED: Final = 0x80  # the first bits of a field (6.1, 6.2), or of an update of the table's size (6.3)
ADDED: Final = 0x40
RESIZED: Final = 0x20
NEVER: Final = 0x10
PLAIN: Final = 0x00

# Appendix A: names in the order of their index, from 1; a value, if there is one, follows after a space.
_STATIC: Final = """:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200
:status 204|:status 206|:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate
accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control
content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|cookie
date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified
link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|server|set-cookie
strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"""
STATIC_PAIRS: Final = [entry.partition(b" ")[::2] for entry in _STATIC.replace("\n", "|").encode().split(b"|")]
STATIC_COUNT: Final = len(STATIC_PAIRS)

# Appendix B. The code is canonical: among equally long ones the codes of the octets increase by one, and the shorter
# ones are first. Thus their lengths define them: one digit of base 36 each; the last one is EOS.
_LENGTHS: Final = """dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca
d67777777777777777777777878djde6f56565666577666567655677777fbeds
kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn
qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq
u"""


def _codes() -> dict[int, bytes]:
    """The symbol of each code. A code is stored as a number with an additional leading 1."""
    lengths = [int(digit, 36) for digit in _LENGTHS.replace("\n", "")]
    known: dict[int, bytes] = {}
    code, length = 1, 0
    for octet in sorted(range(len(lengths)), key=lambda octet: (lengths[octet], octet)):
        code <<= lengths[octet] - length
        length = lengths[octet]
        known[code] = bytes((octet,)) if octet < 256 else b""
        code += 1
    return known


_CODES: Final = _codes()
# The valid paddings, stored in the same way: up to 7 of the first bits of EOS (5.2), all of which are 1.
_PADDINGS: Final = frozenset((1 << bits) - 1 for bits in range(1, 9))


_Step = tuple[list[bytes], list["_Step"], int]
"""The state of the decoder after an octet: for each possible next octet its meaning, and the step that follows; and the
bits of the code that is unfinished at this point.

The meaning of an octet is learned when the octet is first received at this step, since most octets never are. Until
then the second list has None. There are 256 steps. When everything is learned they take 2.6 MiB, for all connections
together: a peer that sends every octet at every step costs no more. (Tuples of meaning and step for each octet are a
sixth faster, and take 5 MiB.)
"""

_steps: dict[int, _Step] = {}


def _step(code: int) -> _Step:
    unknown: list[Any] = [None] * 256
    return _steps.get(code) or _steps.setdefault(code, (unknown, unknown.copy(), code))


def _add_step(step: _Step, octet: int) -> None:
    meanings, following, code = step
    meant = b""
    for bit in range(7, -1, -1):
        code = code << 1 | octet >> bit & 1
        if code in _CODES:
            if not _CODES[code]:
                raise ValueError("a Huffman-encoded string contains EOS")
            meant += _CODES[code]
            code = 1
    meanings[octet] = meant
    following[octet] = _step(code)


_FIRST: Final = _step(1)
_JOINED: Final = 4096  # pieces that are joined at once: `join` needs 80 bytes for each


def huffman_decode(data: bytes) -> bytes:
    """Decode `data`, which is Huffman-coded (5.2).

    Raises:
        ValueError: it contains EOS, or ends in bits that are not padding.
    """
    out: list[bytes] = []
    append = out.append
    meanings, following, code = _FIRST
    try:
        for octet in data:  # the most costly loop for a response with new fields: hence one call, and no attributes
            append(meanings[octet])
            meanings, following, code = following[octet]
    except TypeError:  # this octet is new at this step
        _add_steps(data)
        return huffman_decode(data)
    if code not in _PADDINGS:
        raise ValueError("a Huffman-encoded string is cut short, or padded with bits that are not those of EOS")
    if len(out) <= _JOINED:
        return b"".join(out)
    return b"".join([b"".join(out[at : at + _JOINED]) for at in range(0, len(out), _JOINED)])


def _add_steps(data: bytes) -> None:
    step = _FIRST
    for octet in data:
        if step[1][octet] is None:
            _add_step(step, octet)
        step = step[1][octet]
