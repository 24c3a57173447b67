"""An ASGI app in this process as a transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import ModuleType, TracebackType
from typing import Literal, Self, TypeVar
from urllib.parse import unquote_to_bytes

from .._backends import current_backend
from .._backends.base import PIECE, Backend
from .._errors import LocalProtocolError, PoolClosed, RemoteProtocolError, show_value
from .._message.body import BodyReader
from .._message.fields import Headers
from .._message.raw import CLOSED, HeldStream, RawStream
from .._message.request import Request, TrailerTypes
from .._message.response import Response
from .._public import public
from .._reentry import step_lock
from .asgi_cycle import ASGIApp, Cycle, Pieces, Scope, Timeouts
from .base import Transport, TransportRequest, TransportResponse, drive
from .extensions import RequestExtensions
from .lifespan import Lifespan
from .served import body_is_expected
from .tasks import LoopThread, spawn
from .websocket_handshake import Refusal, handshake_of

__all__ = ["ASGITransport"]

T = TypeVar("T")


@public
class ASGITransport(Transport):
    """An ASGI app in this process: Starlette, FastAPI, Django, Quart.

    Under `arequest` the app runs in the caller's loop (asyncio or trio), in a task that this transport owns. Under
    `request` it runs in a thread with an asyncio loop; the thread is started when it is first needed, and `close` ends
    it. Request and response bodies are streamed at the same time. If the caller closes an exchange before the response
    has ended, the app receives `http.disconnect`. Closing the transport cancels apps that still run.

    A request for a WebSocket, by Upgrade or by extended CONNECT, reaches the app as a `websocket` scope. Once the app
    has accepted it, `connection` of the response's extensions carries the frames. WebSockets need the package wsproto.

    Used as a context manager, the transport also runs the app's lifespan.

    Arguments:
        app: an ASGI 3 app.
        raise_app_errors: whether the app's exceptions are raised to the caller. False: an exception becomes a response
            with status 500, or `RemoteProtocolError` if the response has begun. True: an exception after the end of the
            response is raised by `aclose` or `close`, if the caller did not get it before. Default True.
        mount_path: the path of the app's root, for `root_path`. The request extension `mount_path` takes precedence.
            Default "".
        client_addr: host and port of the client. The request extension `client_addr` takes precedence. Default:
            127.0.0.1, port 123.
        lifespan: "auto" runs the lifespan and accepts an app without one; "on" raises an error for an app without one;
            "off" runs no lifespan. Default "auto".
        shutdown_timeout: seconds that `aclose` waits for apps to end before it cancels them; `close` waits as long for
            the apps of `request`. Default 5.0.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        raise_app_errors: bool = True,
        mount_path: str = "",
        client_addr: tuple[str, int] = ("127.0.0.1", 123),
        lifespan: Literal["auto", "on", "off"] = "auto",
        shutdown_timeout: float = 5.0,
    ) -> None:
        if not callable(app):
            raise TypeError(f"app is of type {type(app).__name__}: expected an ASGI app")
        if lifespan not in ("auto", "on", "off"):
            raise ValueError(f'lifespan is {show_value(lifespan)}: expected "auto", "on" or "off"')
        self._app = app
        self._raises = raise_app_errors
        self._defaults: RequestExtensions = {"mount_path": mount_path, "client_addr": client_addr}
        self._settings = (lifespan, shutdown_timeout)
        self._lock = step_lock()
        self._closed = False
        self._async_apps = _Apps(app, *self._settings)
        self._thread_apps: _Apps | None = None
        self._thread: LoopThread | None = None

    async def handle(self, request: TransportRequest) -> TransportResponse:
        wire = request.complete()
        if self._closed:
            raise PoolClosed("the transport is closed")
        scope = scope_of(wire, {**self._defaults, **request.extensions})
        if not request.is_sync:
            return await self._exchange(self._async_apps, wire, scope, request.extensions, _same)
        thread, apps = self._loop_thread()
        response = thread.call(self._exchange(apps, wire, scope, request.extensions, _in_a_thread))
        if "connection" in response.extensions:
            response.extensions["connection"] = _ThreadedConnection(thread, response.extensions["connection"])
        if not isinstance(response.stream, bytes):
            response.stream = _ThreadedBody(thread, response.stream)  # type: ignore[arg-type]
        # Closing the exchange sets events of the loop's thread, so it must be done in that thread.
        response._close = partial(thread.call_soon, response._close or _no_op)
        return response

    async def _exchange(
        self,
        apps: _Apps,
        wire: Request,
        scope: Scope,
        asked: RequestExtensions,
        made: Callable[[BodyReader, Backend], BodyReader],
    ) -> TransportResponse:
        backend = current_backend()
        handshake = handshake_of(wire)
        if isinstance(handshake, Refusal):
            return _plain_text(handshake.status_code, handshake.headers, handshake.reason)
        cycle: Cycle
        if handshake is not None:
            websocket = _websocket_module()
            cycle = websocket.WebSocketCycle(backend, handshake, raises=self._raises)
            scope = websocket.websocket_scope(scope, handshake)
        else:
            reader = made(wire.body.start(backend.run_blocking), backend)
            cycle = Cycle(backend, reader, raises=self._raises, keeps_body=partial(body_is_expected, wire.method))
        timeouts = Timeouts(backend, asked.get("timeout"))
        apps.start(cycle, scope)
        try:
            head = await cycle.response(timeouts)
        except BaseException as error:
            # The app is notified of the disconnect, as by a server. Only closing the transport cancels the app.
            cycle.leave()
            if self._raises or not isinstance(error, RemoteProtocolError):
                raise
            return _plain_text(500, [], "Internal Server Error")
        return _transport_response(head, cycle, timeouts)

    def _loop_thread(self) -> tuple[LoopThread, _Apps]:
        with self._lock:
            thread, apps = self._thread, self._thread_apps
            if thread is None or apps is None:
                thread, apps = LoopThread(), _Apps(self._app, *self._settings)
                self._thread, self._thread_apps = thread, apps
            return thread, apps

    def close(self) -> None:
        """Cancel the apps of `arequest`. End the apps of `request` and their lifespan as `aclose` does, then the loop
        thread.
        """
        self._closed = True
        self._async_apps.cancel()
        self._end_thread()

    async def aclose(self) -> None:
        """Wait for the apps, at most `shutdown_timeout` seconds, cancel those that still run, and end the lifespan."""
        self._closed = True
        try:
            await self._async_apps.stop()
        finally:
            self._async_apps.cancel()
            if self._thread is not None:
                self._end_thread()

    def _end_thread(self) -> None:
        with self._lock:
            # The thread is removed under the lock and ended outside of it: a request that arrives meanwhile starts
            # another thread, and does not wait for the apps of this one.
            thread, apps = self._thread, self._thread_apps
            self._thread = self._thread_apps = None
        if thread is not None and apps is not None:
            try:
                thread.call(apps.stop())
            finally:
                thread.close()

    def __enter__(self) -> Self:
        thread, apps = self._loop_thread()
        try:
            thread.call(apps.begin())
        except BaseException:
            self.close()
            raise
        return self

    async def __aenter__(self) -> Self:
        await self._async_apps.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class _Apps:
    """The app's tasks in one loop: one for each request, and one for the lifespan."""

    def __init__(self, app: ASGIApp, lifespan: str, shutdown_timeout: float) -> None:
        self._app = app
        self._kind = lifespan
        self._shutdown_timeout = shutdown_timeout
        self._cycles: set[Cycle] = set()
        self._failed_cycles: list[Cycle] = []
        self._lifespan: Lifespan | None = None

    async def begin(self) -> None:
        if self._kind != "off":
            lifespan = Lifespan(self._app, current_backend(), required=self._kind == "on")
            try:
                await lifespan.start()
            except BaseException:
                lifespan.cancel()
                raise
            self._lifespan = lifespan

    def start(self, cycle: Cycle, scope: Scope) -> None:
        if self._lifespan is not None:
            # Each request gets a shallow copy, as the ASGI specification of the lifespan state requires.
            scope["state"] = dict(self._lifespan.state)
        self._cycles.add(cycle)
        cycle.task = spawn(partial(self._run, cycle, scope))

    async def _run(self, cycle: Cycle, scope: Scope) -> None:
        try:
            await cycle.run(self._app, scope)
        finally:
            self._cycles.discard(cycle)
            # The app failed after its response, when no caller waits any more: `stop` raises the error.
            if cycle.error is not None and cycle.ended and cycle.raises:
                self._failed_cycles.append(cycle)

    def cancel(self) -> None:
        """Cancel all running apps and the lifespan. Never waits."""
        for cycle in list(self._cycles):
            cycle.leave()
            if cycle.task is not None:
                cycle.task.cancel()
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            lifespan.cancel()

    async def stop(self) -> None:
        """Wait for the apps, cancel those that still run, and end the lifespan. Then raise the first exception that an
        app raised after its response.
        """
        backend = current_backend()
        ends = backend.now() + self._shutdown_timeout
        # Each app is first notified of the disconnect, then gets time to end, and is then cancelled.
        for cycle in list(self._cycles):
            cycle.leave()
        await self._ended(lambda: ends - backend.now())
        for cycle in list(self._cycles):
            if cycle.task is not None:
                cycle.task.cancel()
        await self._ended(lambda: self._shutdown_timeout)
        lifespan, self._lifespan = self._lifespan, None
        if lifespan is not None:
            await lifespan.stop()
        late, self._failed_cycles = [cycle.error for cycle in self._failed_cycles if cycle.error is not None], []
        if late:
            raise late[0]

    async def _ended(self, left: Callable[[], float]) -> None:
        for cycle in list(self._cycles):
            while not cycle.done and left() > 0:
                if not await cycle.signal.wait(left()):
                    break


def _websocket_module() -> ModuleType:
    try:
        from . import asgi_websocket  # it needs wsproto, an optional package
    except ImportError as error:
        raise LocalProtocolError(
            "a WebSocket through ASGITransport: expected the package wsproto, which is not installed; "
            "httpcore[websocket] brings it"
        ) from error
    return asgi_websocket


def _plain_text(status_code: int, headers: Headers, text: str) -> TransportResponse:
    return TransportResponse(status_code, [(b"content-type", b"text/plain"), *headers], text.encode())


def _transport_response(head: Response, cycle: Cycle, timeouts: Timeouts) -> TransportResponse:
    extensions, connection = cycle.extensions(), cycle.connection(timeouts)
    stream: bytes | Pieces = Pieces(cycle, timeouts)
    if connection is not None:
        stream = b""
        extensions["connection"] = connection
    return TransportResponse(head.status_code, head.headers, stream, extensions, close=cycle.leave)


def scope_of(wire: Request, facts: RequestExtensions) -> Scope:
    """The scope of a request."""
    target = wire.target if wire.target.startswith(b"/") else wire.url.target
    raw_path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": facts.get("http_version", "1.1"),
        "method": wire.method.decode("ascii"),
        "scheme": wire.url.scheme,
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": facts.get("mount_path", "").rstrip("/"),
        "headers": [(name.lower(), value) for name, value in wire.headers],
        "client": facts.get("client_addr"),
        "server": (wire.url.host, wire.url.port),
        "extensions": {"http.response.debug": {}, "http.response.trailers": {}, "http.response.early_hint": {}},
    }


def _no_op() -> None:
    pass


def _same(reader: BodyReader, backend: Backend) -> BodyReader:
    return reader


def _in_a_thread(reader: BodyReader, backend: Backend) -> BodyReader:
    return _ThreadedReader(reader, backend)


class _ThreadedReader:
    """Reads the caller's plain iterator in worker threads."""

    def __init__(self, reader: BodyReader, backend: Backend) -> None:
        self._reader = reader
        self._backend = backend

    async def next(self) -> bytes | None:
        # The caller's iterator may block, and must not stop the app's loop.
        return await self._backend.run_blocking(self._next)

    def _next(self) -> bytes | None:
        return drive(self._reader.next(), self)

    def close(self) -> None:
        self._reader.close()

    async def aclose(self) -> None:
        self._reader.close()


class _ThreadedBody:
    """A body that is read in the loop thread."""

    def __init__(self, thread: LoopThread, pieces: AsyncIterator[bytes]) -> None:
        self._thread = thread
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = self._thread.call(_next_of(self._pieces))
        if piece is None:
            raise StopAsyncIteration
        return piece


class _ThreadedConnection(HeldStream):
    """A raw stream that is used in the loop thread: its calls block, and never suspend."""

    def __init__(self, thread: LoopThread, raw: RawStream) -> None:
        self._thread = thread
        self._raw = raw

    async def recv(self, max_bytes: int = PIECE) -> bytes:
        return self._thread.call(self._raw.recv(max_bytes))

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        self._thread.call(self._raw.send(data))

    async def end(self, trailers: TrailerTypes = None) -> None:
        self._thread.call(self._raw.end(trailers))

    def close(self) -> Awaitable[None]:
        self._thread.call_soon(self._raw.close)
        self.closed()
        return CLOSED


async def _next_of(pieces: AsyncIterator[bytes]) -> bytes | None:
    """Return the next piece, or None at the end: a future cannot raise `StopAsyncIteration` on every Python version."""
    return await anext(pieces, None)
