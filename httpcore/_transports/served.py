"""Facts of a request for apps in this process: its path, query and root, and whether its response has a body."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from .._message.request import Request

__all__ = ["body_is_expected", "served_path"]


def served_path(wire: Request, root: str) -> tuple[bytes, bytes, str]:
    """The path below the root, percent-decoded; the query; and the root without a trailing slash."""
    target = wire.target
    if not target.startswith(b"/"):
        target = wire.url.target if target != b"*" else b"*"
    path, _, query = target.partition(b"?")
    decoded = unquote_to_bytes(path)
    root = root.rstrip("/")
    if root and (decoded + b"/").startswith(root.encode() + b"/"):
        decoded = decoded[len(root.encode()) :]
    return decoded, query, root


def body_is_expected(method: bytes, status_code: int) -> bool:
    """Whether a response has a body (RFC 9110, section 6.4.1). If not, a body that the app sends is dropped."""
    return method != b"HEAD" and status_code >= 200 and status_code not in (204, 304)
