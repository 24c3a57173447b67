"""The options of one call, apart from method, URL, headers and body: its keyword arguments, and the checked values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Final, TypedDict

from .._config import UNSET, TimeoutConfig, Unset, checked_size
from .._errors import show_value
from .._message.response import ResponseInfo
from .._public import public, resolvable
from .._trace import Earlier, Trace
from .._transports.extensions import RequestExtensions
from .auth import Auth, AuthTypes, auth_of
from .cookies import Cookies, CookieTypes
from .delivery import ProgressCallback
from .multipart import FilesTypes
from .pairs import FormTypes
from .query_params import QueryParamTypes
from .redirects import Chain

if TYPE_CHECKING:
    import ssl as ssl_module

    from .._config import SSLConfig

__all__ = [
    "OF_SEND",
    "OPTIONS",
    "Call",
    "Hook",
    "Hooks",
    "RequestOptions",
    "SendOptions",
    "check_options",
    "checked_hooks",
]


@public
@resolvable
class SendOptions(TypedDict, total=False):
    """The keyword arguments of `send`.

    Keys:
        auth: replaces the client's: an `Auth`, a pair of user name and password, or a function; None for none.
        cookies: for this call alone, in addition to the client's.
        max_body: the most bytes of a body that `request()` and `read()` keep. The limit holds both for the received and
            for the decoded bytes. None: no limit. Left out: the client's.
        on_progress: called with a `Progress` for each piece that is sent or received.
        follow_redirects: another name of `allow_redirects`.
        trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens to each request of
            this call, including redirects.
        tag: any value, which appears in the records of this call's requests, to identify them.
        extensions: for the transport, see `RequestExtensions`.
    """

    auth: AuthTypes | None
    cookies: CookieTypes
    max_body: int | None
    on_progress: ProgressCallback | None
    follow_redirects: bool
    trace: Trace | None
    tag: object
    extensions: RequestExtensions


@public
@resolvable
class RequestOptions(SendOptions, total=False):
    """The keyword arguments of `request`, `get`, `post` and the other methods, which include those of `send`.

    Keys:
        data: a form, as a mapping or pairs; with `files`, the fields of the same form.
        files: the files of a form: `{"name": file}`, see `Multipart`.
        json: a value to be sent as JSON.
        params: another name of `query_params`.
    """

    data: FormTypes | None
    files: FilesTypes | None
    json: object
    params: QueryParamTypes | None


OPTIONS: Final = frozenset(RequestOptions.__annotations__)
OF_SEND: Final = frozenset(SendOptions.__annotations__)


# Keywords of other clients and of our own pools, each with the argument that has the same meaning here.
_OTHER_NAMES: Final = {
    "body": "content=...",
    "cert": "ssl=SSLConfig(cert=...)",
    "proxies": "Client(proxy=...) or Client(mounts={...})",
    "proxy": "Client(proxy=...)",
    "retries": "Client(transport=HTTPTransport(retries=...))",
    "trust_env": "Client(trust_env=...)",
    "verify": "ssl=SSLConfig(verify=...)",
}


def check_options(options: Iterable[str], known: frozenset[str]) -> None:
    """Refuse an unknown keyword.

    Raises:
        TypeError: a keyword is unknown.
    """
    for name in options:
        if name not in known:
            if name in _OTHER_NAMES:
                raise TypeError(f"unexpected keyword argument {name!r} of a request: expected {_OTHER_NAMES[name]}")
            raise TypeError(f"unexpected keyword argument {name!r}: expected one of {', '.join(sorted(known))}")


Hook = Callable[..., object]
Hooks = Mapping[str, Iterable[Hook]]

_EVENTS: Final = ("request", "response")


def checked_hooks(hooks: Hooks | None) -> dict[str, list[Hook]]:
    """Event hooks by event, each a list that may be changed later.

    Raises:
        TypeError, ValueError: an unknown event, or a value that cannot be called.
    """
    given = {} if hooks is None else dict(hooks)
    for name in given:
        if name not in _EVENTS:
            raise ValueError(f'event_hooks has the event {show_value(name)}: expected "request" and "response"')
    found: dict[str, list[Hook]] = {}
    for name in _EVENTS:
        functions = given.get(name, ())
        found[name] = [functions] if callable(functions) else list(functions)
        for function in found[name]:
            if not callable(function):
                raise TypeError(
                    f"event_hooks[{name!r}] has an item of type {type(function).__name__}: expected functions"
                )
    return found


class Call:
    """How one call is carried out.

    Attributes:
        stream: return when the head of the response has been received.
        follow: follow redirects.
        auth: as given; UNSET for the client's.
        cookies: for this call alone.
        max_body: None for no limit; UNSET if none was given.
        progress: called for each piece of the body.
        extensions: for the transport, without the timeout.
        timeout: None for the timeout of the transport.
        ends: when the total timeout expires, on the clock of the backend; None before the first hop, or without a total
            timeout.
        chain: the redirects so far; None before the first.
        earlier: counts of the requests that were sent before, updated when a response leads to another request.
        has_begun: the call is already in flight, so a client that drains still sends its requests.
    """

    # Defaults are class attributes, since most calls set none of them.
    auth: Auth | Unset | None = UNSET
    cookies: Cookies | None = None
    ends: float | None = None
    extensions: RequestExtensions | None = None
    progress: ProgressCallback | None = None
    chain: Chain | None = None
    has_begun = False
    earlier = Earlier()

    def __init__(self, stream: bool, follow: bool, timeout: TimeoutConfig | None, max_body: int | Unset | None) -> None:
        self.stream = stream
        self.follow = follow
        self.timeout = timeout
        self.max_body = max_body

    def copy_for_next(self) -> Call:
        """A copy for a call of `next()`. Its total timeout begins anew: time between two steps does not count."""
        other = copy(self)
        other.chain = None if self.chain is None else self.chain.copy()
        other.ends = None
        other.has_begun = False
        return other

    def count_request(self, info: ResponseInfo) -> None:
        """Count a request whose response, with this `info`, leads to another request."""
        before = self.earlier
        first = info.request_number if before.first is None else before.first
        self.earlier = Earlier(before.sends + info.attempts, before.requests + 1, first)

    def set_options(
        self,
        *,
        auth: AuthTypes | Unset | None = UNSET,
        cookies: CookieTypes = None,
        max_body: int | Unset | None = UNSET,
        on_progress: ProgressCallback | None = None,
        follow_redirects: bool | None = None,
        trace: Trace | None = None,
        tag: object = None,
        extensions: RequestExtensions | None = None,
    ) -> None:
        """Store the options of the call."""
        if auth is not UNSET:
            self.auth = auth_of(auth)
        if cookies is not None:
            self.cookies = cookies if isinstance(cookies, Cookies) else Cookies(cookies)
        if max_body is not UNSET:
            self.max_body = checked_size("max_body", max_body)
        if on_progress is not None and not callable(on_progress):
            raise TypeError(f"on_progress is of type {type(on_progress).__name__}: expected a function")
        self.progress = on_progress
        if follow_redirects is not None:
            self.follow = follow_redirects
        if extensions or trace is not None or tag is not None:
            self.extensions = {**(extensions or {})}
            if trace is not None:
                self.extensions["trace"] = trace
            if tag is not None:
                self.extensions["tag"] = tag

    def use(self, ssl: SSLConfig | ssl_module.SSLContext) -> None:
        """Have the transport use these TLS settings."""
        self.extensions = {**(self.extensions or {}), "ssl": ssl}
