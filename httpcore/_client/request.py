"""A request as the caller gives it: a value that may be changed until it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from .._errors import LocalProtocolError, show
from .._message.body import Body, BodyContent
from .._message.fields import Headers as Pairs
from .._message.request import SharedFields, header_pairs
from .._public import public
from .forms import encode_content
from .headers import Headers, HeaderTypes
from .urls import URL

if TYPE_CHECKING:
    from .multipart import FilesTypes, Multipart
    from .pairs import FormTypes
    from .query_params import QueryParamTypes
    from .urls import URLTypes

__all__ = ["ContentTypes", "Request", "pairs_of"]

ContentTypes: TypeAlias = "BodyContent | FormTypes | Multipart"

_METHODS: Final = {
    name: name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "TRACE")
}


_NO_BODY: Final = Body.of(None)


def upper(method: object) -> str:
    """A method as text in upper case.

    Raises:
        LocalProtocolError: it is not text.
    """
    if isinstance(method, bytes):
        method = method.decode("latin-1")
    if not isinstance(method, str):
        raise LocalProtocolError(f'method is of type {type(method).__name__}: expected text, such as "GET"')
    return method.upper()


def pairs_of(headers: HeaderTypes) -> Pairs:
    """Headers in any form, as a new list of pairs of bytes."""
    if isinstance(headers, Headers):
        return list(headers.raw)
    return header_pairs(headers)


@public
class Request:
    """One request, to be sent with `client.send(request)`. May be changed until it is sent.

    Arguments:
        method: in any case; it is sent in upper case.
        url: an absolute http or https URL; it may be relative for a client with a `base_url`.
        query_params: parameters that are appended to the query of `url`. Default None: none.
        content: the body: bytes, str (UTF-8), an (async) iterable of bytes, a binary file, a `ReplayableBody`, a
            `Multipart`; a mapping is sent as a form. Default None: no body.
        headers: a mapping, pairs, or `Headers`. Default None: none.
        data: a form as a mapping or pairs; with `files`, the fields of the same form.
        files: a form with files, see `Multipart`.
        json: a value to be sent as JSON.

    Attributes:
        method: in upper case, e.g. "GET".
        url: a `URL`.
        headers: `Headers`. They include the fields that describe the body.

    Raises:
        InvalidURL, UnsupportedProtocol, LocalProtocolError: an argument cannot be sent.
    """

    __slots__ = ("_given", "_headers", "_pairs", "body", "has_jar_cookies", "method", "url")

    def __init__(
        self,
        method: str,
        url: URLTypes,
        query_params: QueryParamTypes | None = None,
        content: ContentTypes = None,
        headers: HeaderTypes = None,
        *,
        data: FormTypes | None = None,
        files: FilesTypes | None = None,
        json: object = None,
    ) -> None:
        self.method: str = _METHODS.get(method) or upper(method)
        # `URL(url)` looks the text up in a cache.
        is_whole = type(url) is str and query_params is None and "://" in url[:8]
        self.url: URL = URL(url) if is_whole else URL(url, True, query_params)
        self._pairs: Pairs | SharedFields = pairs_of(headers) if headers else []
        self._headers: Headers | None = None
        self.has_jar_cookies: bool = False  # the Cookie field is from a jar, and is made again for the next hop
        self._given: object = content
        if content is data is files is json is None:
            self.body: Body = _NO_BODY
            return
        encoded = encode_content(content, data=data, files=files, json=json)
        self.body = encoded.body
        if encoded.headers:
            self.add_missing(encoded.headers)

    @classmethod
    def made(cls, method: str, url: URL, pairs: Pairs | SharedFields, body: Body) -> Request:
        """A request from parts that were checked before."""
        self = cls.__new__(cls)
        self.method = method
        self.url = url
        self._pairs = pairs
        self._headers = None
        self.has_jar_cookies = False
        self._given = None
        self.body = body
        return self

    def copy(self) -> Request:
        """A copy that may be changed: sending does not change a request."""
        other = Request.made(self.method, self.url, self.fields(), self.body)
        other._given = self._given
        return other

    @property
    def headers(self) -> Headers:
        headers = self._headers
        if headers is None:
            self._headers = headers = Headers.received(list(self._pairs))
        return headers

    @headers.setter
    def headers(self, headers: HeaderTypes) -> None:
        self._headers = Headers(headers)

    @property
    def content(self) -> bytes | AsyncIterator[bytes] | Iterator[bytes] | None:
        """The body: bytes, or the iterator or other source that it comes from."""
        return self.body.data if self.body.data is not None else cast("Iterator[bytes] | None", self._given)

    def fields(self) -> Pairs | SharedFields:
        """The header fields as pairs of bytes; not to be changed."""
        return self._pairs if self._headers is None else self._headers.raw

    def add_missing(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Add the fields whose names are not present."""
        if not self._pairs and self._headers is None:
            self._pairs = pairs if isinstance(pairs, SharedFields) else list(pairs)
            return
        names = {name.lower() for name, _ in self.fields()}
        for name, value in pairs:
            if name.lower() not in names:
                self.add_field(name, value)

    def add_field(self, name: bytes, value: bytes) -> None:
        """Append a field."""
        if self._headers is not None:
            self._headers.add(name, value)
        else:
            self._pairs = [*self._pairs, (name, value)]

    def has(self, name: bytes) -> bool:
        """Whether there is a field of that name (in lower case)."""
        return any(key.lower() == name for key, _ in self.fields())

    def __repr__(self) -> str:
        return f"<Request [{show(self.method)[1:-1]} {self.url.redacted}]>"
