"""The extensions of a request and of a response, as typed dictionaries; every key may be absent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, cast

from .._config import SSLConfig, TimeoutConfig
from .._message.raw import RawStream
from .._message.request import TrailerTypes
from .._message.response import Informational, ResponseInfo
from .._public import public, resolvable
from .._sync import SyncRawStream
from .._trace import Trace

if TYPE_CHECKING:
    import ssl as ssl_module

__all__ = ["LazyExtensions", "RequestExtensions", "ResponseExtensions", "SyncResponseExtensions", "has_connection"]


@public
@resolvable
class RequestExtensions(TypedDict, total=False):
    """Settings of a request besides its method, URL, headers and body. A transport ignores unknown keys.

    Keys:
        timeout: as for `ConnectionPool.request`. An ASGI app in this process is bound by the read and the total
            timeout, a WebSocket also by the write timeout; `min_rate` does not apply.
        ssl: as for `ConnectionPool.request`: an `SSLConfig` or an `ssl.SSLContext`.
        max_body: the largest response body in bytes; a longer one raises `LimitExceeded`. None: no limit.
        duplex: whether to leave the request open, as for `ConnectionPool.request`: `connection` of the response's
            extensions sends the rest of the request's body.
        trailers: pairs, or a callable that returns them when the body has been sent. The body is then chunked, and
            there may be no Content-Length.
        trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens to this request.
        tag: any value, which appears in the records of the request.
        sni_hostname: the name for SNI and the certificate, in place of the URL's host. Not beside an `SSLContext`.
        target: the request target in place of the URL's path and query.
        http_version: for apps in this process: the version of the request, "1.0", "1.1" or "2". A server that passes
            its requests to an app sets this.
        client_addr: for apps in this process: host and port of the client. Such a server sets this too.
        mount_path: for apps in this process: the part of the path that is the app's root, e.g. "/api".
    """

    timeout: TimeoutConfig | float | None
    ssl: SSLConfig | ssl_module.SSLContext
    max_body: int | None
    duplex: bool
    trailers: TrailerTypes
    trace: Trace
    tag: object
    sni_hostname: str
    target: str | bytes
    http_version: str
    client_addr: tuple[str, int]
    mount_path: str


class _ResponseFacts(TypedDict, total=False):
    http_version: str
    reason_phrase: str
    trailing_headers: list[tuple[bytes, bytes]]
    informational: list[Informational]
    info: ResponseInfo
    stream_id: int
    strict: bool
    template: str | list[str]
    context: Mapping[str, object] | list[Mapping[str, object]]
    debug: Mapping[str, object]


@public
@resolvable
class ResponseExtensions(_ResponseFacts, total=False):
    """Facts of a response besides its status, headers and body, as `arequest` returns them.

    Keys:
        http_version: "HTTP/1.1", "HTTP/1.0" or "HTTP/2".
        reason_phrase: the reason phrase as text; HTTP/2 has none.
        connection: the raw two-way stream after CONNECT and Upgrade, and with `duplex` or extended CONNECT:
            `send(bytes)`, `recv() -> bytes`, `close()`. It is closed with the exchange.
        trailing_headers: the trailer fields; complete when the body has been read to its end.
        informational: the 1xx responses that were received before the final one.
        info: facts about how the request was made, see `ResponseInfo`.
        stream_id: the identifier of the HTTP/2 stream; absent over HTTP/1.1.
        strict: True if the transport has `strict=True`: then unusual content is an error for the decoder. Otherwise
            absent.
        template, context: the template that an app in this process rendered, and its values; a list of them if there
            was more than one template.
        debug: the whole content of such an app's message `http.response.debug`.
    """

    connection: RawStream


@public
@resolvable
class SyncResponseExtensions(_ResponseFacts, total=False):
    """The `ResponseExtensions` of `request`: the calls of `connection` block the thread instead of being awaited."""

    connection: SyncRawStream


class LazyExtensions(dict[str, Any]):
    """`ResponseExtensions` that are made at their first use. Most callers never use them.

    Making them costs a tenth of a small GET. Every dictionary method fills the dictionary first. `{**extensions}` and
    `dict(extensions)` call these methods too, since `__iter__` is overridden.

    Attributes:
        make: makes the extensions; None after it was called.
    """

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], ResponseExtensions]) -> None:
        self.make: Callable[[], ResponseExtensions] | None = make

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)


def _fill_first(name: str) -> Callable[..., object]:
    method = getattr(dict, name)

    def filled(self: LazyExtensions, *arguments: object, **named: object) -> object:
        make, self.make = self.make, None
        if make is not None:
            dict.update(self, cast("dict[str, Any]", make()))
        return method(self, *arguments, **named)

    return filled


for _name in (
    *("__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__", "__ne__", "__or__"),
    *("__repr__", "__reversed__", "__ror__", "__setitem__", "clear", "copy", "get", "items", "keys", "pop", "popitem"),
    *("setdefault", "update", "values"),
):
    setattr(LazyExtensions, _name, _fill_first(_name))


def has_connection(extensions: ResponseExtensions) -> bool:
    """Whether the extensions have a `connection`. Lazy extensions that are not filled yet have none."""
    untouched = type(extensions) is LazyExtensions and extensions.make is not None
    return not untouched and "connection" in extensions
