"""The public classes of the client: `Client` for threads, `AsyncClient` for asyncio and trio, `TrioClient` for trio.

Each of them holds a `Session`, whose coroutines do the work. `AsyncClient` awaits these coroutines. `Client` runs each
one to its end in a single step: there, every await in a lower layer blocks the thread.
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


class _BaseClient(Generic[R]):
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
        """The fields that are sent with each request, unless the request has a field of the same name."""
        return self._session.headers

    @headers.setter
    def headers(self, headers: HeaderTypes) -> None:
        self._session.headers = Headers(headers)

    @property
    def cookies(self) -> Cookies:
        """The cookies of this client: those that the caller gave, and those that responses have set."""
        return self._session.cookies

    @cookies.setter
    def cookies(self, cookies: CookieTypes) -> None:
        self._session.cookies = cookies if isinstance(cookies, Cookies) else Cookies(cookies)

    @property
    def auth(self) -> Auth | None:
        """How requests without an `auth` argument are authenticated."""
        return self._session.auth

    @auth.setter
    def auth(self, auth: AuthTypes | None) -> None:
        self._session.auth = auth_of(auth)

    @property
    def base_url(self) -> URL | None:
        """The URL that relative URLs are appended to; None if there is none."""
        return self._session.base_url

    @base_url.setter
    def base_url(self, base_url: URLTypes) -> None:
        self._session.base_url = URL(base_url) if base_url else None

    @property
    def query_params(self) -> QueryParams:
        """The parameters that are appended to the query of each request."""
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
        """Return the requests that this client's transport has in flight on the network; see
        `ConnectionPool.requests`. Each request of a series of redirects is listed separately. Any thread may call this
        method.
        """
        return self._session.transport.requests()

    def prepare_request(self, request: Request) -> Request:
        """Add the client's base URL, query parameters and header fields to a request, as `request()` does. Return the
        same object, for `send`.
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
        raise TypeError(f"{type(self).__name__} holds live connections and cannot be pickled: make one in each process")

    def __del__(self) -> None:
        session: Session[R] | None = self.__dict__.get("_session")
        if session is not None and session.was_used and not session.is_closed:
            close = "close()" if self._is_sync else "await close()"
            warn(
                f"the {type(self).__name__} was dropped open: expected a call of {close}, "
                "or its use as a context manager",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )


@public
class Client(_BaseClient[ClientResponse]):
    """An HTTP client for threads, with connection reuse, redirects, cookies and authentication. Any number of threads
    may share one client.

        with httpcore.Client() as client:
            response = client.get("https://example.org/")

    Arguments:
        ssl: the TLS settings for https origins: an `SSLConfig`, or a ready `ssl.SSLContext`, which is never modified.
            Default: an `SSLConfig()`, i.e. certifi's bundle and TLS 1.2 or later.
        timeout: a `TimeoutConfig`, seconds for each kind of wait, or None for no limit. Default: 5 s for each kind. A
            `total_timeout` bounds redirects, authentication, retries and the body together.
        pool_limits: a `PoolLimits`. Default: 100 connections in all, 30 s of keep-alive. A request for which no
            connection is free waits for one, up to the `pool_timeout`.
        max_redirects: how many redirects one call may follow. Default 20.
        dispatch: the older name of `transport`; also accepts a pool, which the client does not close.
        transport: sends the requests, and is closed with the client. Default None: an `HTTPTransport`.
        mounts: transports by URL pattern, see `Mounts`; a URL that matches no pattern uses `transport`.
        proxy: as for `ConnectionPool`. Default None: the proxies of the environment, see `trust_env`.
        auth: an `Auth`, a pair of user name and password, or a function, see the guide. Default None: the user name and
            password of the URL, or an entry of `.netrc`.
        cookies: a mapping, pairs of name and value, or a `Cookies` object, which the client keeps, and which
            responses change. Default None: none.
        headers: the header fields that are sent with each request. `User-Agent`, `Accept` and `Accept-Encoding` have
            defaults; each can be replaced.
        base_url: the URL that relative URLs are appended to. Default "": none.
        query_params: the parameters that are appended to the query of each request. Default None: none.
        max_body: the most bytes of a body that `request()` and `read()` keep. The limit holds both for the received and
            for the decoded bytes. None: no limit. Left out: as for `ConnectionPool`.
        trust_env: whether proxies, `SSL_CERT_FILE`, `SSL_CERT_DIR`, `SSLKEYLOGFILE` and `.netrc` are taken from the
            environment. Default True.
        event_hooks: functions by event, "request" and "response". They are called with each request before it is sent,
            and with each response when its head has been received. Default None: none.
        default_encoding: the encoding of a text when the response does not name one: its name, or a function that is
            called with the content and returns a name or None. Default None: UTF-8, or the detected encoding.
        sensitive_headers: names of further header fields that are not sent on when a redirect leads to another origin.
            Authorization, Cookie and the usual fields for API keys are never sent on. Default: no further fields.
        trace: called with a frozen record (see `httpcore.TraceEvent`) for everything that happens to each request and
            connection. Default None.

    Raises:
        TypeError, ValueError, InvalidURL, LocalProtocolError: an argument cannot be used; or `transport` is combined
            with `dispatch`, or one of them with `ssl`, `pool_limits`, `proxy` or `trace`, which only configure the
            client's own transport.
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
        """Send a request and return its response: after redirects or authentication, the last response.

        Arguments:
            method: e.g. "GET"; sent in upper case.
            url: an absolute http or https URL; with a `base_url` it may be relative. A user name and password in it are
                used for authentication, and are not sent in the URL.
            content: the body: bytes, str (UTF-8), an iterable of bytes, a binary file, a `ReplayableBody`, a
                `Multipart`; a mapping is sent as a form. Default None: no body.
            query_params: parameters that are appended to the query of the URL, before those of the client. Default
                None: none.
            headers: header fields, which replace the client's fields of the same name. Default None: none.
            stream: return when the head of the response has been received; the response must then be read to its end or
                closed. Default False: the body is read before `request` returns.
            allow_redirects: follow redirects. Default True, for HEAD too.
            ssl: an `SSLConfig` or an `ssl.SSLContext` in place of the client's. Default None: the client's.
            timeout: a `TimeoutConfig`, whose missing fields have the client's values; or seconds for each kind of wait,
                which does not change the client's `total_timeout` and `min_rate`; or None, no limit of any kind. Left
                out: the client's.
            options: further keyword arguments, see `RequestOptions`: `json=`, `data=` and `files=` for a body; `auth=`,
                `cookies=`, `max_body=`, `on_progress=`, `trace=`, `tag=`, `extensions=`; `params=` is another name of
                `query_params`, and `follow_redirects=` of `allow_redirects`.

        Raises:
            TypeError, ValueError, InvalidURL, UnsupportedProtocol, LocalProtocolError: an argument cannot be used.
            RedirectError: a redirect cannot be followed. Its subclasses are TooManyRedirects, RedirectLoop and
                RedirectBodyUnavailable.
            PoolClosed: the client is closed, or refuses new calls after `drain`.
            HTTPCoreError: any error of `ConnectionPool.request`. A status of 400 or more raises no error, see
                `raise_for_status`.
            Exception: any error that a body's iterator, a hook, an authentication flow or `on_progress` raises.
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
        """GET: fetch the resource that the URL names (RFC 9110, section 9.3.1).

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
        """OPTIONS: request the communication options of the resource (RFC 9110, section 9.3.7).

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
        """HEAD: as GET, without the body (RFC 9110, section 9.3.2).

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
        """POST: have the server process the content (RFC 9110, section 9.3.3).

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
        """PUT: have the server store the content under the URL (RFC 9110, section 9.3.4).

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
        """DELETE: remove the resource (RFC 9110, section 9.3.5).

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
        """QUERY: a safe request with its query in the content (RFC 10008).

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
        """A context manager that sends a request with `stream=True` on entry, and closes the response on exit:

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
        """Send a `Request` as it is: the client adds only cookies and authentication, see `prepare_request`. The other
        arguments and the errors are those of `request`. The `Request` is not changed, and may be sent again unless its
        body is an iterator, which can be read only once.
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
        """Download a resource into a file. The content is first written to a file whose name is `path` with ".part"
        appended. This file is renamed to `path` when it is complete, so a file at `path` is never incomplete.

        Arguments:
            url, query_params, headers, ssl, timeout, options: as for `request`; `on_progress` counts the bytes of
                the file, from its beginning.
            path: of the file. An existing file is replaced.
            resume: keep the received part when the download fails, and continue from there the next time, if the
                server confirms that the resource has not changed (Range and If-Range, RFC 9110, section 13.1.5).
                Default False: the received part is removed.

        Returns:
            The response, without its body.

        Raises:
            HTTPStatusError: the status is 400 or more.
            OSError: the file cannot be written.
            Exception: any error that `request` raises.
        """
        progress = options.pop("on_progress", None)
        plan = self._plan("GET", url, None, query_params, headers, True, True, ssl, timeout, options)
        return drive(download(self._session, *plan, path, resume, progress), self)

    def close(self, *, abort: bool = False) -> None:
        """Close the client and its transport, but not a pool that the caller passed. Requests that have a connection
        continue; later requests end with PoolClosed.

        Arguments:
            abort: whether requests that have a connection end with PoolClosed too, at once; see `ConnectionPool.close`.
                Default False.
        """
        drive(self._session.close(abort), self)

    def drain(self, timeout: float | None = None) -> bool:
        """Refuse new calls with PoolClosed, and block until the calls of other threads have ended, including their
        redirects, authentication, retries and downloads. A call ends when its body has been received, or when its
        response or raw stream is closed. The client stays open: call `close()` afterwards, with `abort=True` to end the
        remaining calls.

        Only the calls of this client are waited for: a shared pool or transport continues to serve its other users. A
        call that a hook or `response.next()` begins is a new call.

        Arguments:
            timeout: seconds to wait; 0 checks once. Default None: no limit.

        Returns:
            True if all calls have ended. False if some are still in flight; `requests()` lists their requests.

        Raises:
            TypeError, ValueError: `timeout` is not a number of seconds from 0 up.
        """
        return drive(self._session.drain(timeout), self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@public
class AsyncClient(_BaseClient[AsyncClientResponse]):
    """An HTTP client for asyncio and trio: `Client` with `await`. Any number of tasks may share one client.

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
        """Send a request and return its response: after redirects or authentication, the last response.

        Arguments:
            method: e.g. "GET"; sent in upper case.
            url: an absolute http or https URL; with a `base_url` it may be relative. A user name and password in it are
                used for authentication, and are not sent in the URL.
            content: the body: bytes, str (UTF-8), an (async) iterable of bytes, a binary file, a `ReplayableBody`, a
                `Multipart`; a mapping is sent as a form. Default None: no body.
            query_params: parameters that are appended to the query of the URL, before those of the client. Default
                None: none.
            headers: header fields, which replace the client's fields of the same name. Default None: none.
            stream: return when the head of the response has been received; the response must then be read to its end or
                closed. Default False: the body is read before `request` returns.
            allow_redirects: follow redirects. Default True, for HEAD too.
            ssl: an `SSLConfig` or an `ssl.SSLContext` in place of the client's. Default None: the client's.
            timeout: a `TimeoutConfig`, whose missing fields have the client's values; or seconds for each kind of wait,
                which does not change the client's `total_timeout` and `min_rate`; or None, no limit of any kind. Left
                out: the client's.
            options: further keyword arguments, see `RequestOptions`: `json=`, `data=` and `files=` for a body; `auth=`,
                `cookies=`, `max_body=`, `on_progress=`, `trace=`, `tag=`, `extensions=`; `params=` is another name of
                `query_params`, and `follow_redirects=` of `allow_redirects`.

        Raises:
            TypeError, ValueError, InvalidURL, UnsupportedProtocol, LocalProtocolError: an argument cannot be used.
            RedirectError: a redirect cannot be followed. Its subclasses are TooManyRedirects, RedirectLoop and
                RedirectBodyUnavailable.
            PoolClosed: the client is closed, or refuses new calls after `drain`.
            HTTPCoreError: any error of `ConnectionPool.request`. A status of 400 or more raises no error, see
                `raise_for_status`.
            Exception: any error that a body's iterator, a hook, an authentication flow or `on_progress` raises.
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
        """GET: fetch the resource that the URL names (RFC 9110, section 9.3.1).

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
        """OPTIONS: request the communication options of the resource (RFC 9110, section 9.3.7).

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
        """HEAD: as GET, without the body (RFC 9110, section 9.3.2).

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
        """POST: have the server process the content (RFC 9110, section 9.3.3).

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
        """PUT: have the server store the content under the URL (RFC 9110, section 9.3.4).

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
        """DELETE: remove the resource (RFC 9110, section 9.3.5).

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
        """QUERY: a safe request with its query in the content (RFC 10008).

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
        """A context manager that sends a request with `stream=True` on entry, and closes the response on exit:

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
        """Send a `Request` as it is: the client adds only cookies and authentication, see `prepare_request`. The other
        arguments and the errors are those of `request`. The `Request` is not changed, and may be sent again unless its
        body is an iterator, which can be read only once.
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
        """Download a resource into a file. The content is first written to a file whose name is `path` with ".part"
        appended. This file is renamed to `path` when it is complete, so a file at `path` is never incomplete.

        Arguments:
            url, query_params, headers, ssl, timeout, options: as for `request`; `on_progress` counts the bytes of
                the file, from its beginning.
            path: of the file. An existing file is replaced.
            resume: keep the received part when the download fails, and continue from there the next time, if the
                server confirms that the resource has not changed (Range and If-Range, RFC 9110, section 13.1.5).
                Default False: the received part is removed.

        Returns:
            The response, without its body.

        Raises:
            HTTPStatusError: the status is 400 or more.
            OSError: the file cannot be written.
            Exception: any error that `request` raises.
        """
        progress = options.pop("on_progress", None)
        plan = self._plan("GET", url, None, query_params, headers, True, True, ssl, timeout, options)
        return await download(self._session, *plan, path, resume, progress)

    async def close(self, *, abort: bool = False) -> None:
        """Close the client and its transport, but not a pool that the caller passed. Requests that have a connection
        continue; later requests end with PoolClosed.

        Arguments:
            abort: whether requests that have a connection end with PoolClosed too, at once; see `ConnectionPool.close`.
                Default False.
        """
        await self._session.close(abort)

    async def drain(self, timeout: float | None = None) -> bool:
        """Refuse new calls with PoolClosed, and wait until the calls in flight have ended, including their redirects,
        authentication, retries and downloads. A call ends when its body has been received, or when its response or raw
        stream is closed. The client stays open: call `close()` afterwards, with `abort=True` to end the remaining
        calls.

        Only the calls of this client are waited for: a shared pool or transport continues to serve its other users. A
        call that a hook or `response.next()` begins is a new call.

        Arguments:
            timeout: seconds to wait; 0 checks once. Default None: no limit.

        Returns:
            True if all calls have ended. False if some are still in flight; `requests()` lists their requests.

        Raises:
            TypeError, ValueError: `timeout` is not a number of seconds from 0 up.
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
    """`AsyncClient` for trio only: in another runtime each request raises LocalProtocolError."""

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
    """As `StreamContext`, for `async with`."""

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
