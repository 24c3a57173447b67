"""The work of a client, once for all runtimes: coroutines that the classes in `client` await, or run in one step.

One call of `request` is a chain of hops. A hop is one exchange with a transport, or several if authentication needs
them; a redirect leads to the next hop. Decisions are made elsewhere (`redirects`, `auth`, `cookies`, `forms`), without
I/O. Credentials belong to the origin of the first request. Once a redirect has led to another origin
(`Chain.left_origin`), the call no longer sends credentials: no field that carries them, no authentication, no entry of
`.netrc`, no cookie without a domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from os.path import exists
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast
from warnings import warn

from .._backends import current_backend, threads_backend
from .._backends.base import Backend
from .._config import UNSET, TimeoutConfig, Unset, checked_seconds
from .._errors import HTTPCoreError, LocalProtocolError, TotalTimeout
from .._message.body import Body, BodyContent
from .._message.fields import Headers as Pairs
from .._message.request import SharedFields
from .._trace import earlier
from .._transports.base import Transport, TransportRequest, TransportResponse, blocking
from .._transports.extensions import RequestExtensions, has_connection
from .auth import Auth, NetrcAuth, auth_of_url
from .cookies import Cookies
from .delivery import Delivery
from .headers import Headers
from .in_flight import CallsInFlight, refused
from .netrc import netrc_path
from .options import OPTIONS, Call, Hook, check_options
from .progress import counted
from .query_params import QueryParams
from .redirects import STATUSES, Chain, Redirect, kept_fields, location_of, redirect_for
from .request import Request
from .response import Readable
from .urls import URL

if TYPE_CHECKING:
    import ssl as ssl_module

    from .._config import SSLConfig
    from .headers import HeaderTypes
    from .query_params import QueryParamTypes
    from .request import ContentTypes
    from .text import DefaultEncoding
    from .urls import URLTypes

__all__ = ["Session", "Settings"]

R = TypeVar("R", bound=Readable)

_DRAINED: Final = 65536  # bytes of the body of a redirect or a refusal; a longer body is not read to its end
_DRAIN_SECONDS: Final = 1.0
_AUTH_ROUNDS: Final = 20
_NOTED: Final = frozenset((b"set-cookie", b"content-encoding"))
_HARMLESS: Final = frozenset((b"user-agent", b"accept", b"accept-encoding", b"accept-language"))
_NO_BODY: Final = Body.of(None)


class Settings(NamedTuple):
    """The arguments of a client, checked."""

    transport: Transport
    timeout: TimeoutConfig | None
    max_redirects: int
    credentials: frozenset[bytes]
    auth: Auth | None
    cookies: Cookies
    headers: Headers
    base_url: URL | None
    query_params: QueryParams | None
    max_body: int | Unset | None
    trust_env: bool
    hooks: dict[str, list[Hook]]
    default_encoding: DefaultEncoding


class Session(Generic[R]):
    """The state of a client, and its calls.

    Attributes:
        is_sync: the coroutines are run in one step, and may block the thread.
        runtime: the name of the only runtime that the client may be used in; "" for any.
        in_flight: the calls and responses that have not ended.
        others: all other attributes are as in `Settings`; they may be changed between calls.
    """

    def __init__(self, settings: Settings, response: type[R], *, is_sync: bool, runtime: str = "") -> None:
        self._response = response
        self.is_sync = is_sync
        self.runtime = runtime
        self.is_closed = False
        self.was_used = False
        self.in_flight = CallsInFlight()
        self.netrc: NetrcAuth | None = NetrcAuth() if settings.trust_env else None
        self._netrc_is_read = False
        self._shared: tuple[Pairs | None, Pairs | SharedFields] = None, []
        (
            self.transport,
            self.timeout,
            self.max_redirects,
            self.credentials,
            self.auth,
            self.cookies,
            self.headers,
            self.base_url,
            self.query_params,
            self.max_body,
            self.trust_env,
            self.hooks,
            self.default_encoding,
        ) = settings

    # Requests from arguments.

    def request_of(
        self,
        method: str,
        url: URLTypes,
        content: ContentTypes,
        query_params: QueryParamTypes | None,
        headers: HeaderTypes,
        options: Mapping[str, Any],
    ) -> Request:
        """The request from these arguments, with the client's settings added."""
        if options:
            parts = {name: options[name] for name in ("data", "files", "json") if name in options}
            query_params = _value_of_alias("params", options.get("params"), "query_params", query_params)
            request = Request(method, url, query_params, content, headers, **parts)
        else:
            request = Request(method, url, query_params, content, headers)
        self.prepare(request)
        return request

    def prepare(self, request: Request) -> None:
        """Add the client's settings for each request: base URL, query parameters, header fields."""
        if self.base_url is not None:
            request.url = _joined_url(self.base_url, request.url)
        elif not request.url.scheme:
            URL(request.url)  # which raises the error
        if self.query_params:
            request.url = URL(request.url, query_params=self.query_params)
        request.add_missing(self._fields())

    def _fields(self) -> Pairs | SharedFields:
        """The fields of each request. If none of them may be a secret, the pool may remember the whole request."""
        raw = self.headers._raw  # a list that is replaced and never changed, see `Headers.received`
        source, fields = self._shared
        if raw is not source:
            fields = SharedFields(raw) if all(name.lower() in _HARMLESS for name, _ in raw) else raw
            self._shared = raw, fields  # one assignment: several threads may run this at once
        return fields

    def call_of(
        self,
        stream: bool,
        follow: bool,
        ssl: SSLConfig | ssl_module.SSLContext | None,
        timeout: TimeoutConfig | float | Unset | None,
        options: Mapping[str, Any],
        known: frozenset[str] = OPTIONS,
    ) -> Call:
        """The options of the call from these arguments."""
        config = self.timeout
        if timeout is not UNSET:
            # If the client has no timeouts, those of the transport apply to each field that the request leaves out.
            config = TimeoutConfig.of(timeout) if config is None else config.overlaid(timeout)
        call = Call(stream, follow, config, self.max_body)
        if options:
            check_options(options, known)
            call.set_options(**{name: value for name, value in options.items() if name not in _OF_THE_REQUEST})
        if ssl is not None:
            call.use(ssl)
        return call

    # One call.

    async def send(self, request: Request, call: Call) -> R:
        """Send the request, and the requests that follow from it, until the response for the caller is available."""
        in_flight = self.in_flight
        calls = in_flight.calls
        try:
            calls.add(call)  # before `refusal` is read: see `CallsInFlight.begin`
            if in_flight.refusal and (self.is_closed or not call.has_begun):
                raise refused(in_flight.refusal)
            if self.runtime and (running := current_backend().name) != self.runtime:
                raise LocalProtocolError(
                    f"this client belongs to {self.runtime}: expected a call in {self.runtime}, got one in {running}"
                )
            self.was_used = True
            if self.netrc is not None and not self._netrc_is_read:
                await self._read_netrc(self.netrc)
            response = await self._answer(request, call)
            if call.follow and response.status_code in STATUSES:
                response = await self._follow_all(response, call)
            if not call.stream and response._content is None:
                await self._read(response)
            return response
        except TotalTimeout as error:
            if call.timeout is not None and call.timeout.total_timeout is not None:
                error.limit = call.timeout.total_timeout  # the whole timeout, not the rest that this hop had
            raise
        finally:
            calls.discard(call)
            if in_flight.refusal:
                in_flight.end_call(call)

    async def _read(self, response: R) -> None:
        if not has_connection(response.extensions):  # else the body is a raw stream, which has its own owner
            await response._read()

    async def _answer(self, request: Request, call: Call) -> R:
        """The response to one request, with authentication if there is any."""
        chain = call.chain
        away = chain is not None and chain.left_origin
        self._add_cookies(request, call, unbound=not away)
        # After a redirect to another origin no hop gets credentials, not even a hop back to the first origin.
        auth = None if away else self._auth_for(request, call)
        return await (self._exchange(request, call) if auth is None else self._authenticated(request, call, auth))

    def _add_cookies(self, request: Request, call: Call, *, unbound: bool) -> None:
        """Add the cookies of the jar and of the call; a Cookie field that the caller set is not changed."""
        if not self.cookies._store and call.cookies is None:
            return
        if request.has(b"cookie"):
            return
        extra = call.cookies if unbound else None
        field = self.cookies.header(request.url, unbound=unbound, extra=extra)
        if field is not None:
            request.add_field(b"Cookie", field)
            request.has_jar_cookies = True

    def _auth_for(self, request: Request, call: Call) -> Auth | None:
        """The authentication of the call, else of the client, else of the URL or of `.netrc`. If the caller set an
        Authorization field, only the authentication of the call is used.
        """
        if call.auth is not UNSET:
            return call.auth
        if self.auth is None and self.netrc is None and request.url.userinfo is None:
            return None
        if request.has(b"authorization"):
            return None
        return self.auth or self._auth_of_place(request.url)

    def _auth_of_place(self, url: URL) -> Auth | None:
        """The authentication of the URL or of `.netrc`, in which a user name in the URL selects the entry."""
        if not url.password and self.netrc is not None and self.netrc.credentials(url.host, url.username or None):
            return self.netrc
        return auth_of_url(url)

    async def _read_netrc(self, netrc: NetrcAuth) -> None:
        """Read the file, once. Most machines have no such file."""
        if not exists(netrc_path()):  # noqa: ASYNC240 - one question of the file system, once for each client
            self.netrc = None
            return
        try:
            await self._backend().run_blocking(partial(netrc.credentials, ""))
        except HTTPCoreError as error:
            self.netrc = None
            warn(f"no entry of the netrc file is used: {error}", RuntimeWarning, stacklevel=2)
        self._netrc_is_read = True

    async def _authenticated(self, request: Request, call: Call, auth: Auth) -> R:
        """Send the requests that an authentication flow yields, until it ends."""
        if auth.needs_request_body and request.body.data is None:
            self._check_body(request.body)
            request.body = await _collect_body(request.body, self._backend())
        flow = auth.flow(cast("Any", request))
        refused: list[R] = []
        try:
            following = next(flow)
            while True:
                response = await self._exchange(following, call)
                if refused:
                    response.history = [*refused]
                try:
                    if auth.needs_response_body:
                        await self._read(response)
                    following = flow.send(cast("Any", response))
                except StopIteration:
                    return response
                except BaseException:
                    await response._close()
                    raise
                # Drained before the next request is sent, so that the next request can use the connection.
                await _drain(response)
                call.count_request(response.info)
                refused.append(response)
                if len(refused) > _AUTH_ROUNDS:
                    raise LocalProtocolError(
                        f"auth yields too many requests: expected at most {_AUTH_ROUNDS} requests for one call"
                    )
        finally:
            # The `finally` blocks of the caller's generator run now, and not when it is garbage-collected.
            flow.close()

    def _check_body(self, body: Body) -> None:
        if self.is_sync and body.is_async:
            raise LocalProtocolError(
                "content is asynchronous: expected a plain iterable of bytes; AsyncClient accepts async ones"
            )

    def _backend(self) -> Backend:
        return threads_backend() if self.is_sync else current_backend()

    # One exchange with the transport.

    async def _exchange(self, request: Request, call: Call) -> R:
        hooks = self.hooks
        if hooks["request"]:
            await _run(hooks["request"], request)
        response = await self._sent(request, call)
        if hooks["response"]:
            try:
                await _run(hooks["response"], response)
            except BaseException:
                # The caller never gets this response, so nothing else would close it.
                await response._close()
                raise
        return response

    async def _sent(self, request: Request, call: Call) -> R:
        body: Body = request.body
        if body.data is None or call.progress is not None:
            self._check_body(body)
            if call.progress is not None:
                body = counted(body, call.progress)
        given = cast("BodyContent", body) if body.data is None else body.data
        extensions = call.extensions if call.timeout is None else _timed(call, call.timeout, self._backend())
        wire = TransportRequest(
            request.method, request.url.request_url, request.fields(), given, extensions, is_sync=self.is_sync
        )
        # The time starts here: hooks and the creation of the body are not part of the server's time.
        began = perf_counter()
        try:
            handle = self.transport.handle if not call.earlier.requests else partial(_sent_again, self.transport, call)
            answer = await handle(wire)
        except BaseException:
            for response in wire.release():
                await response.aclose()
            raise
        call.earlier = answer._earlier or call.earlier
        return self._received(request, wire, answer, perf_counter() - began, call)

    def _received(
        self, request: Request, wire: TransportRequest, answer: TransportResponse, elapsed: float, call: Call
    ) -> R:
        """Make the response from the response of a transport, and store its cookies in the jar."""
        is_coded = sets_cookies = False
        for name, _ in answer.headers:
            if name in _NOTED:
                is_coded |= name == b"content-encoding"
                sets_cookies |= name == b"set-cookie"
        # The cookies of each hop are stored before its redirect is followed: the next request may need them.
        if sets_cookies:
            self.cookies.extract(request.url, Headers.received(answer.headers))
        stream = answer.stream
        if (
            type(stream) is bytes
            and not (is_coded or wire._opened)
            and answer._close is None
            and answer._aclose is None
            and call.max_body is UNSET
            and call.progress is None
        ):  # nothing is left to be read or released
            response = self._response.complete(request, answer, elapsed, self.default_encoding, stream)
        else:
            wire.opened(answer)
            delivery = Delivery(request, wire, answer, elapsed, call.progress)
            self.in_flight.hold(delivery)
            if self.is_sync and has_connection(answer.extensions):
                answer.extensions = blocking(answer.extensions)
            response = self._response.received(delivery, self.default_encoding, call.max_body)
        if answer.status_code in STATUSES:
            response._follows = cast("Any", _NextCall(self, call))
        return response

    # Redirects.

    async def _follow_all(self, response: R, call: Call) -> R:
        while True:
            following = await self._next(response, call)
            if following is None:
                return response
            response = following

    async def _next(self, response: R, call: Call) -> R | None:
        """The response to the request that this redirect leads to; None if the response is not a redirect."""
        request = response.request
        try:
            location = location_of(int(response.status_code), response._pairs)
            if location is None:
                return None
            redirect = redirect_for(request.method, request.url, int(response.status_code), location)
            chain = call.chain
            if chain is None:
                chain = call.chain = Chain(self.max_redirects)
                chain.sent(request.method, request.url, _cookie_of(request))
            # Counted and checked before the next request is made, so that nothing is sent for a redirect too many.
            chain.follow(redirect, replayable=request.body.replayable)
            following = self._redirected(request, redirect, call, chain)
        except BaseException as error:
            if isinstance(error, HTTPCoreError):
                error.add(method=request.method, url=request.url.redacted, status_code=int(response.status_code))
            await response._close()
            raise
        await _drain(response)
        call.count_request(response.info)
        answer = await self._answer(following, call)
        answer.history = [*response.history, response, *answer.history]
        return answer

    def _redirected(self, request: Request, redirect: Redirect, call: Call, chain: Chain) -> Request:
        """The request that a redirect leads to."""
        pairs = kept_fields(
            request.fields(),
            keeps_body=redirect.keeps_body,
            same_origin=not chain.left_origin,
            credentials=self.credentials,
            drops=_drops(request, call, self),
        )
        made = Request.made(redirect.method, redirect.url, pairs, request.body if redirect.keeps_body else _NO_BODY)
        self._add_cookies(made, call, unbound=not chain.left_origin)
        # Recorded after the cookies were added: it is a loop only if they are the same, too.
        chain.sent(made.method, made.url, _cookie_of(made))
        return made

    # The end.

    async def drain(self, timeout: float | None) -> bool:
        """Refuse new calls, and wait until none is in flight. Return False if `timeout` seconds passed first."""
        return await self.in_flight.drain(self._backend(), checked_seconds("timeout", timeout))

    async def close(self, abort: bool = False) -> None:
        """Close the transport of the client; with `abort`, also end its running exchanges."""
        self.is_closed = True
        self.in_flight.refusal = "the client is closed: expected requests before close()"
        if abort:
            self.transport.abort()
        if self.is_sync:
            self.transport.close()
        else:
            await self.transport.aclose()


_OF_THE_REQUEST: Final = frozenset(("data", "files", "json", "params"))


class _NextCall(Generic[R]):
    """Carries out `next()` of a response."""

    __slots__ = ("_call", "_session")

    def __init__(self, session: Session[R], call: Call) -> None:
        self._session = session
        self._call = call

    async def __call__(self, response: Readable) -> R:
        call, session = self._call.copy_for_next(), self._session
        mark = session.in_flight.begin(call)
        try:
            following = await session._next(cast("R", response), call)
            if following is None:
                raise LocalProtocolError(
                    "next(): expected a redirect (is_redirect is True), got a response without a Location"
                )
            if not call.stream and following._content is None:
                await session._read(following)
            return following
        finally:
            session.in_flight.end(mark)


async def _sent_again(transport: Transport, call: Call, wire: TransportRequest) -> TransportResponse:
    token = earlier.set(call.earlier)
    try:
        return await transport.handle(wire)
    finally:
        earlier.reset(token)


async def _run(hooks: list[Hook], what: object) -> None:
    for hook in list(hooks):
        result = hook(what)
        if hasattr(result, "__await__"):  # as `inspect.isawaitable`; to import `inspect` takes 10 ms
            await result


def _timed(call: Call, config: TimeoutConfig, backend: Backend) -> RequestExtensions:
    """The extensions with the timeout; a total timeout is reduced to the seconds that are left."""
    extensions: RequestExtensions = {**(call.extensions or {})}
    extensions["timeout"] = config
    if config.total_timeout is None:
        return extensions
    now = backend.now()
    if call.ends is None:
        call.ends = now + config.total_timeout
        return extensions
    left = call.ends - now
    if left <= 0:
        raise TotalTimeout("the exchange took longer than total_timeout allows", limit=config.total_timeout)
    extensions["timeout"] = config.replace(total=left)
    return extensions


async def _collect_body(body: Body, backend: Backend) -> Body:
    """The whole body in memory."""
    reader = body.start(backend.run_blocking)
    pieces = []
    try:
        while piece := await reader.next():
            pieces.append(piece)
    finally:
        await reader.aclose()
    return Body.of(b"".join(pieces))


async def _drain(response: Readable) -> None:
    """Read the rest of an unwanted body, within bounds, so that its connection can be used again."""
    delivery = response._delivery
    if response._content is not None or delivery is None:
        return
    try:
        raw = await _drain_body(delivery)
    except HTTPCoreError:
        raw = None  # the redirect is followed, even if its body cannot be read
    except BaseException:
        delivery.close()
        raise
    if raw is None:
        await response._close()
    else:
        response._keep(raw)
        await delivery.aclose()


async def _drain_body(delivery: Delivery) -> bytes | None:
    whole = delivery.buffered_body()
    if whole is not None:
        return whole if len(whole) <= _DRAINED else None
    # A longer body costs more to read than a new connection.
    if has_connection(delivery.answer.extensions) or (delivery.length or 0) > _DRAINED:
        return None
    pieces: list[bytes] = []
    began = perf_counter()
    while piece := await delivery.next():
        pieces.append(piece)
        if delivery.received > _DRAINED or perf_counter() - began > _DRAIN_SECONDS:
            return None
    return b"".join(pieces)


def _value_of_alias(alias: str, other: Any, name: str, value: Any) -> Any:
    """The value of an argument that has two names."""
    if other is None:
        return value
    if value is not None:
        raise TypeError(f"{name} and {alias} are the same argument: expected one of them")
    return other


def _joined_url(base: URL, url: URL) -> URL:
    """A relative URL appended to the base URL; "users" and "/users" give the same result."""
    if url.scheme:
        return url
    if url.host:
        return base.resolve_with(url)
    path = base.path.rstrip("/") + "/" + url.path.lstrip("/") if url.path else base.path
    return base.copy_with(path=path, query=str(url.query) or None, fragment=url.fragment or None)


def _cookie_of(request: Request) -> bytes:
    return b"; ".join([value for name, value in request.fields() if name.lower() == b"cookie"])


def _drops(request: Request, call: Call, session: Session[Any]) -> frozenset[bytes]:
    """Names of the fields that are made again for each hop."""
    names = {b"cookie"} if request.has_jar_cookies else set()
    if call.auth not in (UNSET, None) or (call.auth is UNSET and session.auth is not None):
        names.add(b"authorization")
    return frozenset(names)
