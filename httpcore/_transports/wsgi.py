"""A WSGI app in this process as a transport (PEP 3333).

Under `request` the app runs in the caller's thread. Under `arequest` it runs in worker threads, one step at a time:
first the call, then each piece of the iterable. All steps of an exchange share one context (`contextvars`). If the
exchange is closed while a step runs in another thread, that step closes the iterable when it ends, since no other
thread may use it.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TextIO, TypeVar

from .._backends.base import Backend
from .._errors import LocalProtocolError, RemoteProtocolError, show
from .._message.body import Body, BodyReader
from .._message.fields import Headers
from .._message.request import Request
from .._message.response import Response
from .._public import public
from .._reentry import step_lock
from .base import Transport, TransportRequest, TransportResponse, drive
from .extensions import RequestExtensions, ResponseExtensions
from .served import body_is_expected, served_path

__all__ = ["WSGITransport"]

T = TypeVar("T")

StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_SERVER_ERROR: Final = b"Internal Server Error"


@public
class WSGITransport(Transport):
    """A WSGI app in this process: Flask, Django, Bottle, or a plain function.

    The request body is streamed to the app, and the response body to the caller. Under `arequest` the app runs in
    worker threads, and an async body is collected before the app is called. `environ["httpcore.extensions"]` has the
    request's extensions; entries that the app adds before its first byte become extensions of the response.

    Arguments:
        app: a WSGI app, as in PEP 3333.
        raise_app_errors: whether the app's exceptions are raised to the caller. False: an exception becomes a response
            with status 500, or `RemoteProtocolError` if the response has begun, and the traceback is written to
            `errors`. Default True.
        mount_path: the path of the app's root, for `SCRIPT_NAME`. The request extension `mount_path` takes precedence.
            Default "".
        client_addr: host and port of the client. The request extension `client_addr` takes precedence. Default:
            127.0.0.1, port 123.
        errors: a text stream, for `wsgi.errors`. Default None: `sys.stderr`.
    """

    def __init__(
        self,
        app: App,
        *,
        raise_app_errors: bool = True,
        mount_path: str = "",
        client_addr: tuple[str, int] = ("127.0.0.1", 123),
        errors: TextIO | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"app is of type {type(app).__name__}: expected the callable of a WSGI app")
        self._app = app
        self._raises = raise_app_errors
        self._defaults: RequestExtensions = {"mount_path": mount_path, "client_addr": client_addr}
        self._errors = errors

    async def handle(self, request: TransportRequest) -> TransportResponse:
        wire = request.complete()
        backend = request.backend
        reader = await _readable(wire.body, backend)
        extensions: dict[str, Any] = dict(request.extensions)
        environ = environ_of(wire, {**self._defaults, **request.extensions})
        errors = self._errors or sys.stderr
        environ |= {
            "wsgi.input": io.BufferedReader(_Input(reader)),
            "wsgi.errors": errors,
            "httpcore.extensions": extensions,
        }
        run = _Run(partial(self._app, environ), reader, backend)
        try:
            await run.step(run.begin)
        except Exception:
            run.close()
            if self._raises:
                raise
            traceback.print_exc(file=errors)
            return TransportResponse(500, [(b"content-type", b"text/plain")], _SERVER_ERROR)
        except BaseException:
            run.close()
            raise
        return self._response(run, wire, request.extensions, extensions)

    def _response(
        self, run: _Run, wire: Request, asked: RequestExtensions, extensions: dict[str, Any]
    ) -> TransportResponse:
        made, reason = _head(run.status, run.headers)
        facts: ResponseExtensions = {"http_version": "HTTP/1.1", "reason_phrase": reason}
        facts.update({name: value for name, value in extensions.items() if asked.get(name) is not value})  # type: ignore[typeddict-item]
        stream = _Pieces(run, None if self._raises else self._errors or sys.stderr)
        if not body_is_expected(wire.method, made.status_code):
            run.close()
        return TransportResponse(made.status_code, made.headers, stream, facts, close=run.close)


def environ_of(wire: Request, facts: RequestExtensions) -> dict[str, Any]:
    """The environ of a request, without `wsgi.input` and `wsgi.errors`."""
    path, query, root = served_path(wire, facts.get("mount_path", ""))
    host, port = facts.get("client_addr", ("", 0))
    environ: dict[str, Any] = {
        "REQUEST_METHOD": wire.method.decode("latin-1"),
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": wire.url.host,
        "SERVER_PORT": str(wire.url.port),
        "SERVER_PROTOCOL": "HTTP/" + facts.get("http_version", "1.1"),
        "REMOTE_ADDR": host,
        "REMOTE_PORT": str(port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": wire.url.scheme,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in wire.headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        # Repeated fields are joined by a comma, Cookie fields by a semicolon (RFC 9113, section 8.2.3).
        joint = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{joint}{text}" if key in environ else text
    return environ


async def _readable(body: Body, backend: Backend) -> BodyReader:
    """A reader that never suspends. An async body is collected first."""
    if not body.is_async:
        reader = body.start(_call_directly)
        if not body.is_async:  # for a callable this is known only after `start`
            return reader
    else:
        reader = body.start(backend.run_blocking)
    try:
        pieces = []
        while piece := await reader.next():
            pieces.append(piece)
    finally:
        await reader.aclose()
    return Body.of(b"".join(pieces)).start(_call_directly)


async def _call_directly(function: Callable[[], T]) -> T:
    return function()


class _Input(io.RawIOBase):
    """`wsgi.input` over a body."""

    def __init__(self, reader: BodyReader) -> None:
        self._reader = reader
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._rest:
            self._rest = memoryview(drive(self._reader.next(), self) or b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


class _Run:
    """One run of the app: its steps, its response head, and the clean-up."""

    def __init__(self, app: Callable[[StartResponse], Iterable[bytes]], reader: BodyReader, backend: Backend) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self._app = app
        self._reader = reader
        self._backend = backend
        self._context = copy_context()
        self._written: list[bytes] = []
        self._sent = False
        self._iterable: Iterable[bytes] | None = None
        self._iterator: Iterator[bytes] = iter(())
        self._lock = step_lock()
        self._running = self._closed = False

    async def step(self, act: Callable[[], T]) -> T:
        """Run `act` where it may block."""
        # All steps run in one context, as in one thread: the app's context variables keep their values between steps.
        return await self._backend.run_blocking(partial(self._context.run, self._run_step, act))

    def _run_step(self, act: Callable[[], T]) -> T:
        with self._lock:
            self._running = True  # first: a finaliser that closes the exchange from here on leaves the rest to us
        try:
            if self._closed:
                raise LocalProtocolError("the exchange was closed before the app was called")
            return act()
        finally:
            with self._lock:
                self._running = False
                closed = self._closed
            # `close` was called while the app ran. No thread can stop the app, so its resources are released after it
            # returns.
            if closed:
                self._release()

    def begin(self) -> None:
        """Call the app, and iterate until the first piece that is not empty, since the head may change until then."""
        self._iterable = self._app(self._start_response)
        self._iterator = iter(self._iterable)
        # PEP 3333: the head must not be sent before there is a body, since `start_response` may still be called again.
        while not any(self._written):
            piece = next(self._iterator, None)
            if piece is None:
                break
            self._written.append(_checked_piece(piece))
        if not self.status:
            raise LocalProtocolError("the app returned a body without calling start_response()")
        self._sent = True

    def next(self) -> bytes:
        """The next piece of the body; `b""` at its end."""
        while not self._written:
            piece = next(self._iterator, None)
            if piece is None:
                return b""
            if piece:
                self._written.append(_checked_piece(piece))
        whole = b"".join(self._written)
        self._written.clear()
        return whole or self.next()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        try:
            # PEP 3333: once the head was sent, the app's own error is raised again.
            if exc_info and self._sent:
                raise exc_info[1].with_traceback(exc_info[2])
            if self.status and not exc_info:
                raise LocalProtocolError("the app called start_response() twice without exc_info")
        finally:
            exc_info = None  # its traceback would keep this frame alive
        _head(status, headers)
        self.status, self.headers = status, list(headers)
        return lambda data: self._written.append(_checked_piece(data))

    def close(self) -> None:
        """Close the app's iterable. If a step is running, that step closes the iterable when it ends."""
        with self._lock:
            closed, self._closed = self._closed, True
            if closed or self._running:
                return
        self._context.run(self._release)

    def _release(self) -> None:
        self._written.clear()
        iterable, self._iterable, self._iterator = self._iterable, None, iter(())
        try:
            close = getattr(iterable, "close", None)
            if close is not None:
                close()
        finally:
            self._reader.close()

    @property
    def is_closed(self) -> bool:
        return self._closed


def _checked_piece(piece: object) -> bytes:
    if isinstance(piece, (bytes, bytearray)):
        return bytes(piece)
    raise LocalProtocolError(f"the app yielded a piece of type {type(piece).__name__}: expected bytes")


def _head(status: str, headers: list[tuple[str, str]]) -> tuple[Response, str]:
    code, _, reason = status.partition(" ") if isinstance(status, str) else ("", "", "")
    if not (len(code) == 3 and code.isascii() and code.isdigit()):
        seen = show(status) if isinstance(status, str) else f"of type {type(status).__name__}"
        raise LocalProtocolError(f'status is {seen}: expected a text such as "200 OK"')
    pairs: Headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return Response(int(code), headers=pairs), reason


class _Pieces:
    """The response body that the app yields."""

    def __init__(self, run: _Run, errors: TextIO | None) -> None:
        self._run = run
        self._errors = errors

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        run = self._run
        if run.is_closed:
            raise StopAsyncIteration
        try:
            piece = await run.step(run.next)
        except Exception as error:
            run.close()
            if self._errors is None:
                raise
            traceback.print_exc(file=self._errors)
            raise RemoteProtocolError("the app failed in the middle of its response") from error
        except BaseException:
            run.close()
            raise
        if piece:
            return piece
        run.close()
        raise StopAsyncIteration
