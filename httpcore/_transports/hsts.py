"""HTTP Strict Transport Security (RFC 6797): hosts that require https are requested over https, also for http URLs."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from .._address import is_address
from .._exact import names_of
from .._message.fields import Headers
from .._message.url import URL
from .._public import public
from .._reentry import step_lock
from .base import Transport, TransportRequest, TransportResponse
from .middleware import Middleware, secure_url

__all__ = ["HSTS", "HSTSTransport", "HSTSPolicy", "parse_policy"]

_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_DIRECTIVE: Final = re.compile(
    rf'[ \t]*(?:(?P<name>{_WORD})(?:[ \t]*=[ \t]*(?P<value>{_WORD}|"(?:[^"\\]|\\.)*"))?)?[ \t]*(?:;|\Z)'
)
_LONGEST: Final = 10 * 366 * 86400  # in seconds; a larger max-age is reduced to this
_MOST: Final = 100_000  # the most hosts that are remembered


class HSTSPolicy(NamedTuple):
    """The content of a valid header: the lifetime in seconds (0: forget the host), and whether subdomains are
    included.
    """

    max_age: int
    include_subdomains: bool


def parse_policy(value: bytes) -> HSTSPolicy | None:
    """Parse a Strict-Transport-Security value (section 6.1). Returns None for an invalid value, which is ignored."""
    text = value.decode("latin-1")
    directives: dict[str, str | None] = {}
    at = 0
    while at < len(text):
        found = _DIRECTIVE.match(text, at)
        if found is None or found.end() == at:
            return None
        at = found.end()
        name = (found["name"] or "").lower()
        if name in directives:  # each directive at most once
            return None
        if name:
            directives[name] = found["value"]
    age = directives.get("max-age")
    digits = re.sub(r"\\(.)", r"\1", age[1:-1]) if age is not None and age.startswith('"') else age or ""
    if not (digits.isascii() and digits.isdigit()):
        return None
    if directives.get("includesubdomains") is not None:
        return None  # the directive has no value (section 6.1.2)
    seconds = min(int(digits), _LONGEST) if len(digits) < 12 else _LONGEST
    return HSTSPolicy(seconds, "includesubdomains" in directives)


def _host_of(url: URL) -> str:
    """The host without the trailing dot: both forms name the same host (section 8.2)."""
    return url.host.removesuffix(".")


@public
class HSTS(Middleware):
    """Sends requests for http URLs as https to hosts that asked for it with `Strict-Transport-Security` (RFC 6797).

    A host is remembered when an https response has the header, for the `max-age` in it; IP addresses are never
    remembered. Port 80 becomes 443, any other port stays. Each `HSTS` object remembers its own hosts.

    Arguments:
        transport: the transport below. Default None: an `HTTPTransport()`.
        preload: hosts that always require https, with their subdomains. Default: none.
        clock: returns the seconds of a monotonic clock. Default: `time.monotonic`.
    """

    def __init__(
        self,
        transport: Transport | None = None,
        *,
        preload: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(transport)
        self._clock = clock
        self._lock = step_lock()
        self._known: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        self._preloaded = frozenset(_host_of(URL.parse(f"https://{name}/")) for name in names_of("preload", preload))

    async def handle(self, request: TransportRequest) -> TransportResponse:
        url = request.parsed_url()
        if url.scheme == "http" and self.is_known(url.host):
            request.url = secure_url(url)
            url = request.parsed_url()
        response = await self.send(request)
        # RFC 6797, section 8.1: over plain http anyone on the path could add or remove the header.
        if url.scheme == "https":
            self._update_policy(url, response.headers)
        return response

    def is_known(self, host: str) -> bool:
        """Whether requests for http URLs of that host are sent as https (section 8.2)."""
        whole = name = host.lower().removesuffix(".")
        # RFC 6797, section 8.1.1: an IP address is never a known host.
        if is_address(name):
            return False
        now = self._clock()
        with self._lock:
            while name:
                if name in self._preloaded or self._has_policy(name, now, exact=name == whole):
                    return True
                name = name.partition(".")[2]
        return False

    def _has_policy(self, name: str, now: float, *, exact: bool) -> bool:
        expires, include_subdomains = self._known.get(name, (0.0, False))
        if expires <= now:
            self._known.pop(name, None)
            return False
        return exact or include_subdomains

    def _update_policy(self, url: URL, headers: Headers) -> None:
        value = next((value for name, value in headers if name.lower() == b"strict-transport-security"), None)
        name = _host_of(url)
        if value is None or is_address(name):
            return
        policy = parse_policy(value)  # of several fields the first counts (section 8.1)
        if policy is None:
            return
        with self._lock:
            # The host is removed first: so the dict keeps the order of the last header, and `max-age=0` forgets the
            # host.
            self._known.pop(name, None)
            if policy.max_age:
                if len(self._known) >= _MOST:
                    self._known.popitem(last=False)
                self._known[name] = self._clock() + policy.max_age, policy.include_subdomains


HSTSTransport = HSTS
