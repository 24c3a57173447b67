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
    """Settings of a request beside method, URL, headers and body. A transport ignores unknown ones.

    Keys:
        timeout: as `ConnectionPool.request`. An app in this process is held to the read and the total timeout,
            and to no `min_rate`.
        ssl: as `ConnectionPool.request`: an `SSLConfig` or an `ssl.SSLContext`.
        max_body: the most bytes of the response's body; more is `LimitExceeded`.
        duplex: leave the request open: `connection` in the response sends the rest.
        trailers: pairs, or a callable that gives them when the body has been sent.
        trace: called with a `TraceEvent` for each step. tag: any
        value, which appears in the records of the request.
        sni_hostname: the name for SNI and the certificate, in place of the URL's host. Not beside an `SSLContext`.
        target: the request target, in place of the URL's path and query.
        http_version: the version that a server which drives a transport received: "1.0", "1.1" or "2". For apps in this
        process. client_addr: host and port of the client that such a server talks to. For apps in this process.
        mount_path: the part of the path that is the app's root, e.g. "/api". For apps in this process.
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
    """Facts of a response beside its status, headers and body. This is that of `arequest`.

    Keys:
        http_version: "HTTP/1.1", "HTTP/1.0" or "HTTP/2".
        reason_phrase: the reason phrase as text; HTTP/2 has none.
        connection: the raw two-way stream after CONNECT and Upgrade, and with `duplex` or extended CONNECT:
            `send(bytes)`, `recv() -> bytes`, `close()`. It is closed with the exchange.
        trailing_headers: the trailer fields; complete when the body has been read to its end.
        informational: the 1xx responses that came before.
        info: how the response came about, see `ResponseInfo`.
        stream_id: the identifier of the HTTP/2 stream; absent over HTTP/1.1.
        strict: True where the transport reads strictly: unusual content is an error for its decoder. Else absent.
        template, context: the template that an app in this process rendered, and its values; a list of them if there
        was more than one template. debug: the whole content of such an app's `http.response.debug`.
    """

    connection: RawStream


@public
@resolvable
class SyncResponseExtensions(_ResponseFacts, total=False):
    """As `ResponseExtensions`, of `request`: `connection` blocks the thread where the other one is awaited."""

    connection: SyncRawStream


class LazyExtensions(dict[str, Any]):
    """`ResponseExtensions` that are made when something first looks into them, which most callers never do.

    To make them costs a tenth of a small GET. Every method of a dictionary fills it first; `{**extensions}` and
    `dict(extensions)` go through these methods too, since `__iter__` is not the dictionary's own.

    Attributes:
        make: makes them; None when it was called.
    """

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], ResponseExtensions]) -> None:
        self.make: Callable[[], ResponseExtensions] | None = make

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        return dict, (dict(self),)


def _filling(name: str) -> Callable[..., object]:
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
    setattr(LazyExtensions, _name, _filling(_name))


def has_connection(extensions: ResponseExtensions) -> bool:
    """Whether they have one. Those that nothing has looked into have none."""
    untouched = type(extensions) is LazyExtensions and extensions.make is not None
    return not untouched and "connection" in extensions
