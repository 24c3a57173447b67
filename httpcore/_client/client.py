"""The faces of the client: `Client` for threads, `AsyncClient` for asyncio and trio, `TrioClient` for trio alone.

All of them hold a `Session`, whose coroutines do the work. `AsyncClient` awaits them, `Client` drives each to its end
in one step: under it whatever is awaited below blocks the thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Never, NoReturn, Self, TypeVar, Unpack
from warnings import warn

from .._config import UNSET, PoolLimits, TimeoutConfig, Unset
from .._pool.pool import ConnectionPool
from .._pool.stats import RequestInFlight
from .._public import public
from .._sync import SyncConnectionPool
from .._transports.base import Transport, drive
from .auth import Auth, AuthTypes, auth_of
from .cookies import Cookies, CookieTypes
from .download import download
from .headers import Headers, HeaderTypes
from .options import OF_SEND, Call, Hook, Hooks, RequestOptions, SendOptions
from .query_params import QueryParams, QueryParamTypes
from .redirects import DEFAULT_MAX_REDIRECTS
from .request import Request
from .response import AsyncClientResponse, ClientResponse
from .session import Session
from .settings import check_unknown, settings_of
from .urls import URL, URLTypes

if TYPE_CHECKING:
    import ssl as ssl_module

    from .._config import SSLConfig
    from .._connect.proxy import Proxy, ProxyChooser
    from .._trace import Trace
    from .request import ContentTypes
    from .text import DefaultEncoding

__all__ = ["AsyncClient", "Client", "TrioClient"]

R = TypeVar("R", bound=ClientResponse)
TimeoutTypes = TimeoutConfig | float | Unset | None


class _Face(Generic[R]):
    """The part that all clients share: settings that may be changed between requests, and a session."""

    _response: type[R]
    _is_sync = False
    _runtime = ""

    def __init__(
        self,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        pool_limits: PoolLimits | None = None,
        max_redirects: int = DEFAULT_MAX_REDIRECTS,
        dispatch: Transport | ConnectionPool | SyncConnectionPool | None = None,
        *,
        transport: Transport | None = None,
        mounts: Mapping[str, Transport] | None = None,
        proxy: Proxy | ProxyChooser | str | bytes | None = None,
        auth: AuthTypes | None = None,
        cookies: CookieTypes = None,
        headers: HeaderTypes = None,
        base_url: URLTypes = "",
        query_params: QueryParamTypes | None = None,
        max_body: int | Unset | None = UNSET,
        trust_env: bool = True,
        event_hooks: Hooks | None = None,
        default_encoding: DefaultEncoding = None,
        sensitive_headers: Iterable[str] = (),
        trace: Trace | None = None,
        **unknown: Never,
    ) -> None:
        check_unknown(unknown)
        settings = settings_of(
            ssl,
            timeout,
            pool_limits,
            max_redirects,
            transport=transport,
            dispatch=dispatch,
            mounts=mounts,
            proxy=proxy,
            auth=auth,
            cookies=cookies,
            headers=headers,
            base_url=base_url,
            query_params=query_params,
            max_body=max_body,
            trust_env=trust_env,
            event_hooks=event_hooks,
            default_encoding=default_encoding,
            sensitive_headers=sensitive_headers,
            trace=trace,
        )
        self._session = Session(settings, self._response, is_sync=self._is_sync, runtime=self._runtime)

    # The settings that may be changed.

    @property
    def headers(self) -> Headers:
        """Sent with each request that has no field of the same name."""
        return self._session.headers

    @headers.setter
    def headers(self, headers: HeaderTypes) -> None:
        self._session.headers = Headers(headers)

    @property
    def cookies(self) -> Cookies:
        """The cookies of this client: those given, and those that responses have set."""
        return self._session.cookies

    @cookies.setter
    def cookies(self, cookies: CookieTypes) -> None:
        self._session.cookies = cookies if isinstance(cookies, Cookies) else Cookies(cookies)

    @property
    def auth(self) -> Auth | None:
        """How requests without `auth` are authenticated."""
        return self._session.auth

    @auth.setter
    def auth(self, auth: AuthTypes | None) -> None:
        self._session.auth = auth_of(auth)

    @property
    def base_url(self) -> URL | None:
        """The URL that relative URLs are appended to."""
        return self._session.base_url

    @base_url.setter
    def base_url(self, base_url: URLTypes) -> None:
        self._session.base_url = URL(base_url) if base_url else None

    @property
    def query_params(self) -> QueryParams:
        """Appended to the query of each request."""
        return self._session.query_params or QueryParams()

    @query_params.setter
    def query_params(self, query_params: QueryParamTypes) -> None:
        self._session.query_params = QueryParams(query_params)

    @property
    def event_hooks(self) -> dict[str, list[Hook]]:
        """The functions that are called with each request ("request") and each response ("response")."""
        return self._session.hooks

    @property
    def transport(self) -> Transport:
        """The transport that sends the requests."""
        return self._session.transport

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._session.is_closed

    def requests(self) -> list[RequestInFlight]:
        """The requests that this client's transport has in flight on the network; see `ConnectionPool.requests`. Each
        request of a series of redirects is listed separately. Any thread may call it.
        """
        return self._session.transport.requests()

    def prepare_request(self, request: Request) -> Request:
        """Add to a request what the client adds to each of its own: base URL, query parameters, header fields. Returns
        the same request, for `send`.
        """
        self._session.prepare(request)
        return request

    def _plan(
        self,
        method: str,
        url: URLTypes,
        content: ContentTypes,
        query_params: QueryParamTypes | None,
        headers: HeaderTypes,
        stream: bool,
        follow: bool,
        ssl: SSLConfig | ssl_module.SSLContext | None,
        timeout: TimeoutTypes,
        options: Mapping[str, Any],
    ) -> tuple[Request, Call]:
        session = self._session
        return (
            session.request_of(method, url, content, query_params, headers, options),
            session.call_of(stream, follow, ssl, timeout, options),
        )

    def __repr__(self) -> str:
        session = self._session
        state = "closed" if session.is_closed else "draining" if session.in_flight.refusal else "open"
        return f"<{type(self).__name__} {state}, over {type(self._session.transport).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} holds live connections and cannot be pickled: make one in each process"
        )

    def __del__(self) -> None:
        session: Session[R] | None = self.__dict__.get("_session")
        if session is not None and session.was_used and not session.is_closed:
            close = "close()" if self._is_sync else "await close()"
            warn(
                f"a {type(self).__name__} was dropped open: expected {close}, or it as a context manager",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )


@public
class Client(_Face[ClientResponse]):
    """An HTTP client for programs with threads, any number of which may share one: connections that are kept,
    redirects, cookies, authentication.

        with httpcore.Client() as client:
            response = client.get("https://example.org/")

    Arguments:
        ssl: how https origins are checked: an `SSLConfig`, or a ready `ssl.SSLContext`. Default: certifi's bundle.
        timeout: a `TimeoutConfig`, seconds for each kind of wait, or None for no limit. Default 5 s for each. A
            `total_timeout` bounds redirects, authentication, retries and the body together.
        pool_limits: a `PoolLimits`. Default: 100 connections in all, 30 s of keep-alive.
        max_redirects: how many are followed for one call. Default 20.
        dispatch: the older name of `transport`; also accepts a pool, which the client does not close.
        transport: sends the requests, and is closed with the client. Default None: an `HTTPTransport`.
        mounts: transports by URL pattern, see `Mounts`; a URL that matches none uses the transport.
        proxy: as for `ConnectionPool`. Default None: those of the environment, see `trust_env`.
        auth: an `Auth`, a pair of user name and password, or a function, see the guide. Default None: that of the URL,
            or of `.netrc`.
        cookies: a mapping, pairs, or `Cookies`, which is then kept and changed by responses. Default none.
        headers: sent with each request. Default `User-Agent`, `Accept` and `Accept-Encoding`; each can be replaced.
        base_url: the URL that relative URLs are appended to. Default "": none.
        query_params: appended to the query of each request. Default None: none.
        max_body: the most bytes of a body that is read as a whole, as sent and as decoded. Default: as for
            `ConnectionPool`.
        trust_env: whether proxies, `SSL_CERT_FILE` and `.netrc` are taken from the environment. Default True.
        event_hooks: functions by event, "request" and "response": called with each request before it is sent, and each
            response at its head. Default None: none.
        default_encoding: of text whose response names none: a name, or a function that is given the content and returns
            a name or None. Default None: UTF-8, or what is detected.
        sensitive_headers: names of fields that, beside Authorization, Cookie and the usual ones for API keys, are not
            sent on when a redirect leads to another origin. Default none.
        trace: called for all requests and connections, as that of a `ConnectionPool`. Default None.

    Raises:
        TypeError, ValueError, InvalidURL, LocalProtocolError: an argument cannot be used; `transport` beside
            `dispatch`, or one of them beside `ssl`, `pool_limits`, `proxy` or `trace`, which it would not use.
    """

    _response = ClientResponse
    _is_sync = True

    def request(
        self,
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
        """Send a request and return the response to it, or to the last one that it led to.

        Arguments:
            method: e.g. "GET"; sent in upper case.
            url: absolute, http or https; relative to `base_url` if the client has one. A user name and password in it
                are for authentication, and not sent in the URL.
            content: the body: bytes, str (UTF-8), an iterable of bytes, a binary file, a `ReplayableBody`, a
                `Multipart`; a mapping is a form. Default None: none.
            query_params: are appended to the query of the URL, behind those of the client. Default None: none.
            headers: in place of the client's of the same name. Default None: none.
            stream: return at the head; the response must be read to its end or closed. Default False: the body is read.
            allow_redirects: follow redirects. Default True, for HEAD too.
            ssl: as for the client, for this request. Default None: the client's.
            timeout: as for the client, for this request; a field that is left out has the client's value. None: no
                limit. options: by name, see `RequestOptions`: `json=`, `data=` and `files=` for a body; `auth=`,
                `cookies=`, `max_body=`, `on_progress=`, `trace=`, `tag=`, `extensions=`; `params=` is another name of
                `query_params`, and `follow_redirects=` of `allow_redirects`.

        Raises:
            TypeError, ValueError, InvalidURL, UnsupportedProtocol, LocalProtocolError: an argument cannot be used.
            RedirectError: a redirect cannot be followed; TooManyRedirects, RedirectLoop, RedirectBodyUnavailable.
            PoolClosed: the client is closed.
            HTTPCoreError: all that `ConnectionPool.request` raises. A status of 400 or more is no error, see
                `raise_for_status`.
            Exception: whatever a body's iterator, a hook, an authentication flow, or `on_progress` raises.
        """
        plan = self._plan(method, url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def get(
        self,
        url: URLTypes,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> ClientResponse:
        """GET: fetch what the URL names (RFC 9110, section 9.3.1).

        Arguments, result and errors: see `Client.request`.
        """
        plan = self._plan("GET", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def options(
        self,
        url: URLTypes,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> ClientResponse:
        """OPTIONS: request the communication options of the resource (section 9.3.7).

        Arguments, result and errors: see `Client.request`.
        """
        plan = self._plan("OPTIONS", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def head(
        self,
        url: URLTypes,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> ClientResponse:
        """HEAD: as GET, without the body (section 9.3.2).

        Arguments, result and errors: see `Client.request`.
        """
        plan = self._plan("HEAD", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def post(
        self,
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
        """POST: have the server process the content (section 9.3.3).

        Arguments, result and errors: see `Client.request`.
        """
        plan = self._plan("POST", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def put(
        self,
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
        """PUT: have the content stored under the URL (section 9.3.4).

        Arguments, result and errors: see `Client.request`.
        """
        plan = self._plan("PUT", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def patch(
        self,
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
        """PATCH: change the resource by the instructions in the content (RFC 5789).

        Arguments, result and errors: see `Client.request`.
        """
        plan = self._plan("PATCH", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def delete(
        self,
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
        """DELETE: remove the resource (section 9.3.5).

        Arguments, result and errors: see `Client.request`.
        """
        plan = self._plan("DELETE", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def query(
        self,
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
        """QUERY: a safe request with its query in the content.

        Arguments, result and errors: see `Client.request`.
        """
        plan = self._plan("QUERY", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return drive(self._session.send(*plan), self)

    def stream(
        self,
        method: str,
        url: URLTypes,
        content: ContentTypes = None,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AbstractContextManager[ClientResponse]:
        """As `request` with `stream=True`, as a context manager that closes the response:

        with client.stream("GET", url) as response:
            for piece in response.stream(): ...
        """
        plan = self._plan(method, url, content, query_params, headers, True, allow_redirects, ssl, timeout, options)
        return StreamContext(self, *plan)

    def send(
        self,
        request: Request,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[SendOptions],
    ) -> ClientResponse:
        """Send a `Request` as it is: nothing of the client's is added but cookies and authentication, see
        `prepare_request`. The arguments and errors are those of `request`. The request may be sent again.
        """
        call = self._session.call_of(stream, allow_redirects, ssl, timeout, options, OF_SEND)
        return drive(self._session.send(request.copy(), call), self)

    def download(
        self,
        url: URLTypes,
        path: str | os.PathLike[str],
        *,
        resume: bool = False,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> ClientResponse:
        """Fetch what a URL names into a file. It is written beside it, as `path` with ".part" behind it, and renamed
        when it is complete, so that under `path` there is never a part of it.

        Arguments:
            url, query_params, headers, ssl, timeout, options: as of `request`; `on_progress` counts from the beginning
                of the file.
            path: of the file. An existing file is replaced.
            resume: keep the received part when the download fails, and continue from there the next time, if the
                server confirms that the resource has not changed (Range and If-Range, RFC 9110, section 13.1.5).
                Default False: it is removed.

        Returns:
            The response, without its body.

        Raises:
            HTTPStatusError: the status is 400 or more.
            OSError: the file cannot be written. All that `request` raises.
        """
        progress = options.pop("on_progress", None)
        plan = self._plan("GET", url, None, query_params, headers, True, True, ssl, timeout, options)
        return drive(download(self._session, *plan, path, resume, progress), self)

    def close(self, *, abort: bool = False) -> None:
        """Close the client and its transport, but not a pool that the caller passed. Running exchanges continue,
        later requests raise PoolClosed.

        Arguments:
            abort: running exchanges end at once with PoolClosed; see `ConnectionPool.close`. Default False.
        """
        drive(self._session.close(abort), self)

    def drain(self, timeout: float | None = None) -> bool:
        """Refuse new calls with PoolClosed, and block until the calls of other threads have ended, with their
        redirects, authentication, retries and downloads: until their bodies were received, or their responses and raw
        streams closed. The client stays open: call `close()` after it, with `abort=True` to end the remaining calls.

        It waits for the calls of this client only: a pool or a transport that others use continues for them. A call
        that a hook or `response.next()` begins is a new one.

        Arguments:
            timeout: seconds to wait; 0 looks once. Default None: no limit.

        Returns:
            Whether all have ended. False: some are still in flight; `requests()` lists them.

        Raises:
            TypeError, ValueError: `timeout` is no number of seconds.
        """
        return drive(self._session.drain(timeout), self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@public
class AsyncClient(_Face[AsyncClientResponse]):
    """An HTTP client for asyncio and trio, whose tasks may share it: `Client` with `await`.

        async with httpcore.AsyncClient() as client:
            response = await client.get("https://example.org/")

    Its arguments are those of `Client`. It belongs to the event loop that runs its first request. Event hooks may be
    `async def`. Its responses are `AsyncClientResponse`.
    """

    _response = AsyncClientResponse

    async def request(
        self,
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
    ) -> AsyncClientResponse:
        """Send a request and return the response to it, or to the last one that it led to.

        Arguments:
            method: e.g. "GET"; sent in upper case.
            url: absolute, http or https; relative to `base_url` if the client has one. A user name and password in it
                are for authentication, and not sent in the URL.
            content: the body: bytes, str (UTF-8), an iterable of bytes, a binary file, a `ReplayableBody`, a
                `Multipart`; a mapping is a form. Default None: none.
            query_params: are appended to the query of the URL, behind those of the client. Default None: none.
            headers: in place of the client's of the same name. Default None: none.
            stream: return at the head; the response must be read to its end or closed. Default False: the body is read.
            allow_redirects: follow redirects. Default True, for HEAD too.
            ssl: as for the client, for this request. Default None: the client's.
            timeout: as for the client, for this request; a field that is left out has the client's value. None: no
                limit. options: by name, see `RequestOptions`: `json=`, `data=` and `files=` for a body; `auth=`,
                `cookies=`, `max_body=`, `on_progress=`, `trace=`, `tag=`, `extensions=`; `params=` is another name of
                `query_params`, and `follow_redirects=` of `allow_redirects`.

        Raises:
            TypeError, ValueError, InvalidURL, UnsupportedProtocol, LocalProtocolError: an argument cannot be used.
            RedirectError: a redirect cannot be followed; TooManyRedirects, RedirectLoop, RedirectBodyUnavailable.
            PoolClosed: the client is closed.
            HTTPCoreError: all that `ConnectionPool.request` raises. A status of 400 or more is no error, see
                `raise_for_status`.
            Exception: whatever a body's iterator, a hook, an authentication flow, or `on_progress` raises.
        """
        plan = self._plan(method, url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    async def get(
        self,
        url: URLTypes,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """GET: fetch what the URL names (RFC 9110, section 9.3.1).

        Arguments, result and errors: see `AsyncClient.request`.
        """
        plan = self._plan("GET", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    async def options(
        self,
        url: URLTypes,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """OPTIONS: request the communication options of the resource (section 9.3.7).

        Arguments, result and errors: see `AsyncClient.request`.
        """
        plan = self._plan("OPTIONS", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    async def head(
        self,
        url: URLTypes,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """HEAD: as GET, without the body (section 9.3.2).

        Arguments, result and errors: see `AsyncClient.request`.
        """
        plan = self._plan("HEAD", url, None, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    async def post(
        self,
        url: URLTypes,
        content: ContentTypes = None,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """POST: have the server process the content (section 9.3.3).

        Arguments, result and errors: see `AsyncClient.request`.
        """
        plan = self._plan("POST", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    async def put(
        self,
        url: URLTypes,
        content: ContentTypes = None,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """PUT: have the content stored under the URL (section 9.3.4).

        Arguments, result and errors: see `AsyncClient.request`.
        """
        plan = self._plan("PUT", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    async def patch(
        self,
        url: URLTypes,
        content: ContentTypes = None,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """PATCH: change the resource by the instructions in the content (RFC 5789).

        Arguments, result and errors: see `AsyncClient.request`.
        """
        plan = self._plan("PATCH", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    async def delete(
        self,
        url: URLTypes,
        content: ContentTypes = None,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """DELETE: remove the resource (section 9.3.5).

        Arguments, result and errors: see `AsyncClient.request`.
        """
        plan = self._plan("DELETE", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    async def query(
        self,
        url: URLTypes,
        content: ContentTypes = None,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """QUERY: a safe request with its query in the content.

        Arguments, result and errors: see `AsyncClient.request`.
        """
        plan = self._plan("QUERY", url, content, query_params, headers, stream, allow_redirects, ssl, timeout, options)
        return await self._session.send(*plan)

    def stream(
        self,
        method: str,
        url: URLTypes,
        content: ContentTypes = None,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AbstractAsyncContextManager[AsyncClientResponse]:
        """As `request` with `stream=True`, as a context manager that closes the response:

        async with client.stream("GET", url) as response:
            async for piece in response.stream(): ...
        """
        plan = self._plan(method, url, content, query_params, headers, True, allow_redirects, ssl, timeout, options)
        return AsyncStreamContext(self, *plan)

    async def send(
        self,
        request: Request,
        stream: bool = False,
        allow_redirects: bool = True,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[SendOptions],
    ) -> AsyncClientResponse:
        """Send a `Request` as it is: nothing of the client's is added but cookies and authentication, see
        `prepare_request`. The arguments and errors are those of `request`. The request may be sent again.
        """
        call = self._session.call_of(stream, allow_redirects, ssl, timeout, options, OF_SEND)
        return await self._session.send(request.copy(), call)

    async def download(
        self,
        url: URLTypes,
        path: str | os.PathLike[str],
        *,
        resume: bool = False,
        query_params: QueryParamTypes | None = None,
        headers: HeaderTypes = None,
        ssl: SSLConfig | ssl_module.SSLContext | None = None,
        timeout: TimeoutTypes = UNSET,
        **options: Unpack[RequestOptions],
    ) -> AsyncClientResponse:
        """Fetch what a URL names into a file. It is written beside it, as `path` with ".part" behind it, and renamed
        when it is complete, so that under `path` there is never a part of it.

        Arguments:
            url, query_params, headers, ssl, timeout, options: as of `request`; `on_progress` counts from the beginning
                of the file.
            path: of the file. An existing file is replaced.
            resume: keep the received part when the download fails, and continue from there the next time, if the
                server confirms that the resource has not changed (Range and If-Range, RFC 9110, section 13.1.5).
                Default False: it is removed.

        Returns:
            The response, without its body.

        Raises:
            HTTPStatusError: the status is 400 or more.
            OSError: the file cannot be written. All that `request` raises.
        """
        progress = options.pop("on_progress", None)
        plan = self._plan("GET", url, None, query_params, headers, True, True, ssl, timeout, options)
        return await download(self._session, *plan, path, resume, progress)

    async def close(self, *, abort: bool = False) -> None:
        """Close the client and its transport, but not a pool that the caller passed. Running exchanges continue,
        later requests raise PoolClosed.

        Arguments:
            abort: running exchanges end at once with PoolClosed; see `ConnectionPool.close`. Default False.
        """
        await self._session.close(abort)

    async def drain(self, timeout: float | None = None) -> bool:
        """Refuse new calls with PoolClosed, and wait until those in flight have ended, with their redirects,
        authentication, retries and downloads: until their bodies were received, or their responses and raw streams
        closed. The client stays open: call `close()` after it, with `abort=True` to end the remaining calls.

        It waits for the calls of this client only: a pool or a transport that others use continues for them. A call
        that a hook or `response.next()` begins is a new one.

        Arguments:
            timeout: seconds to wait; 0 looks once. Default None: no limit.

        Returns:
            Whether all have ended. False: some are still in flight; `requests()` lists them.

        Raises:
            TypeError, ValueError: `timeout` is no number of seconds.
        """
        return await self._session.drain(timeout)

    async def aclose(self) -> None:
        """The same as `close`."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()


@public
class TrioClient(AsyncClient):
    """`AsyncClient` for trio alone: in another runtime a request raises an error."""

    _runtime = "trio"


class StreamContext(AbstractContextManager[ClientResponse]):
    """A context manager: sends the request on entry, and closes the response on exit."""

    __slots__ = ("_client", "_plan", "_response")

    def __init__(self, client: Client, *plan: *tuple[Request, Call]) -> None:
        self._client = client
        self._plan = plan

    def __enter__(self) -> ClientResponse:
        self._response = drive(self._client._session.send(*self._plan), self._client)
        return self._response

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._response.close()


class AsyncStreamContext(AbstractAsyncContextManager[AsyncClientResponse]):
    """The same for `async with`."""

    __slots__ = ("_client", "_plan", "_response")

    def __init__(self, client: AsyncClient, *plan: *tuple[Request, Call]) -> None:
        self._client = client
        self._plan = plan

    async def __aenter__(self) -> AsyncClientResponse:
        self._response = await self._client._session.send(*self._plan)
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._response._close()
