"""One-off calls: `httpcore.get(url)` and the other functions make a client, send one request, and close the client.

A program that sends more than one request should keep a `Client`, which reuses its connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from .._config import UNSET
from .._public import public
from .client import Client, TimeoutTypes
from .headers import HeaderTypes
from .options import RequestOptions
from .query_params import QueryParamTypes
from .response import ClientResponse
from .urls import URLTypes

if TYPE_CHECKING:
    import ssl as ssl_module

    from .._config import SSLConfig
    from .request import ContentTypes

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "query", "request"]


@public
def request(
    method: str,
    url: URLTypes,
    content: ContentTypes = None,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **options: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.request`, with a new client for this call."""
    with Client() as client:
        return client.request(
            method, url, content, query_params, headers, stream, allow_redirects, ssl, timeout, **options
        )


@public
def get(
    url: URLTypes,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **options: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.get`, with a new client for this call."""
    return request("GET", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, **options)


@public
def options(
    url: URLTypes,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **more: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.options`, with a new client for this call."""
    return request("OPTIONS", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, **more)


@public
def head(
    url: URLTypes,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **options: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.head`, with a new client for this call."""
    return request("HEAD", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, **options)


@public
def post(
    url: URLTypes,
    content: ContentTypes = None,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **options: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.post`, with a new client for this call."""
    return request("POST", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, **options)


@public
def put(
    url: URLTypes,
    content: ContentTypes = None,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **options: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.put`, with a new client for this call."""
    return request("PUT", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, **options)


@public
def patch(
    url: URLTypes,
    content: ContentTypes = None,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **options: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.patch`, with a new client for this call."""
    return request("PATCH", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, **options)


@public
def delete(
    url: URLTypes,
    content: ContentTypes = None,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **options: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.delete`, with a new client for this call."""
    return request("DELETE", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, **options)


@public
def query(
    url: URLTypes,
    content: ContentTypes = None,
    query_params: QueryParamTypes | None = None,
    headers: HeaderTypes = None,
    stream: bool = False,
    allow_redirects: bool = True,
    ssl: SSLConfig | ssl_module.SSLContext | None = None,
    timeout: TimeoutTypes = UNSET,
    **options: Unpack[RequestOptions],
) -> ClientResponse:
    """As `Client.query`, with a new client for this call."""
    return request("QUERY", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, **options)
