"""WSGI apps in this process. References: Flask, and the validator of the standard library, which checks both sides."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any
from wsgiref.validate import validator

import flask
import pytest
from runtimes import Runtime, each_runtime
from seam import entered, fetch, opened

import httpcore

app = flask.Flask("wsgi")


@app.route("/hello/<name>", methods=["GET", "POST"])
def hello(name: str) -> Any:
    return {
        "name": name,
        "args": flask.request.args.to_dict(),
        "body": flask.request.get_data(as_text=True),
        "host": flask.request.host,
        "root": flask.request.script_root,
        "remote": flask.request.remote_addr,
        "secure": flask.request.is_secure,
    }


@app.route("/count")
def count() -> Any:
    def numbers() -> Iterator[str]:
        for number in range(3):
            yield f"{number} {flask.request.path}\n"

    return flask.Response(flask.stream_with_context(numbers()), headers={"X-A": "1"})


@app.route("/fail")
def fail() -> Any:
    raise ZeroDivisionError


@app.route("/template")
def template() -> Any:
    context = {"name": "World"}
    flask.request.environ["httpcore.extensions"].update(template="hello.html", context=context)
    return flask.render_template_string("Hello, {{ name }}!", **context)


@app.route("/form", methods=["POST"])
def form() -> Any:
    return flask.request.form["a"] + flask.request.headers["Content-Type"]


@each_runtime
@pytest.mark.parametrize("stream", [b"body", [b"bo", b"dy"], "body"], ids=["bytes", "pieces", "str"])
def test_flask_sees_the_request_and_is_seen(runtime: Runtime, stream: Any) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.WSGITransport(app)) as transport:
            extensions: Any = {"client_addr": ("10.0.0.9", 7), "mount_path": "/api"}
            fetched = await fetch(
                runtime, transport, "POST", "https://a.test:8443/api/hello/J%C3%B6rg?x=%20y", None, stream, extensions
            )
            assert fetched.status_code == 200
            assert dict(fetched.headers)[b"content-type"] == b"application/json"
            assert flask.json.loads(fetched.body) == {
                "name": "Jörg",
                "args": {"x": " y"},
                "body": "body",
                "host": "a.test:8443",
                "root": "/api",
                "remote": "10.0.0.9",
                "secure": True,
            }
            assert fetched.extensions["reason_phrase"] == "OK"

    runtime.run(body)


@each_runtime
def test_the_body_of_flask_is_streamed_in_its_context(runtime: Runtime) -> None:
    async def body() -> None:
        async with opened(runtime, httpcore.WSGITransport(app), "GET", "http://a.test/count") as (
            _,
            headers,
            stream,
            _,
        ):
            assert (b"x-a", b"1") in headers
            assert [piece async for piece in stream] == [b"0 /count\n", b"1 /count\n", b"2 /count\n"]

    runtime.run(body)


@each_runtime
def test_a_form_reaches_flask(runtime: Runtime) -> None:
    async def body() -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        fetched = await fetch(runtime, httpcore.WSGITransport(app), "POST", "http://a.test/form", headers, b"a=b+c")
        assert fetched.body == b"b capplication/x-www-form-urlencoded"

    runtime.run(body)


@each_runtime
def test_extensions_of_flask_reach_the_caller(runtime: Runtime) -> None:
    async def body() -> None:
        fetched = await fetch(runtime, httpcore.WSGITransport(app), "GET", "http://a.test/template")
        assert fetched.body == b"Hello, World!"
        assert fetched.extensions["template"] == "hello.html"
        assert fetched.extensions["context"] == {"name": "World"}

    runtime.run(body)


@each_runtime
def test_errors_are_raised_or_become_500_by_choice(runtime: Runtime) -> None:
    def failing(environ: Any, start_response: Any) -> Any:
        raise ZeroDivisionError("in the app")

    async def body() -> None:
        with pytest.raises(ZeroDivisionError, match="in the app"):
            await fetch(runtime, httpcore.WSGITransport(failing), "GET", "http://a.test/")
        errors = io.StringIO()
        transport = httpcore.WSGITransport(failing, raise_app_errors=False, errors=errors)
        fetched = await fetch(runtime, transport, "GET", "http://a.test/")
        assert (fetched.status_code, fetched.body) == (500, b"Internal Server Error")
        assert "ZeroDivisionError: in the app" in errors.getvalue()

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("raises", [True, False])
def test_an_error_in_the_middle_of_a_response_reaches_the_reader(runtime: Runtime, raises: bool) -> None:
    def half(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"half"
        raise ZeroDivisionError

    async def body() -> None:
        transport = httpcore.WSGITransport(half, raise_app_errors=raises, errors=io.StringIO())
        async with opened(runtime, transport, "GET", "http://a.test/") as (status_code, _, stream, _):
            assert status_code == 200
            pieces = aiter(stream)
            assert await anext(pieces) == b"half"
            with pytest.raises(ZeroDivisionError if raises else httpcore.RemoteProtocolError):
                await anext(pieces)

    runtime.run(body)


class Closing:
    """An iterable that records its close."""

    def __init__(self, pieces: Any) -> None:
        self.closed = 0
        self._pieces = iter(pieces)

    def __iter__(self) -> Closing:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)  # type: ignore[no-any-return]

    def close(self) -> None:
        self.closed += 1


@each_runtime
@pytest.mark.parametrize("read", [0, 1, 9])
def test_the_iterable_is_closed_once_however_far_it_was_read(runtime: Runtime, read: int) -> None:
    async def body() -> None:
        iterable = Closing([b"a", b"b"])

        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            return iterable

        async with opened(runtime, httpcore.WSGITransport(app), "GET", "http://a.test/") as (_, _, stream, _):
            pieces = aiter(stream)
            for _ in range(read):
                await anext(pieces, None)
        assert iterable.closed == 1

    runtime.run(body)


# The exact rules of PEP 3333, with the validator between the transport and the app.


def plain(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"plain"]


def late(environ: Any, start_response: Any) -> Any:
    yield b""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"late"


def written(environ: Any, start_response: Any) -> Any:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"wri")
    return [b"tten"]


def replaced(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        import sys

        start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"replaced"]


def reading(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("Content-Type", "text/plain")])
    source = environ["wsgi.input"]
    return [source.read(2), source.readline(), b"|", *source]


@each_runtime
@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (late, (200, b"late")),  # without the validator, which wants start_response before the first item
        (validator(plain), (200, b"plain")),
        (validator(written), (200, b"written")),
        (validator(replaced), (500, b"replaced")),
        (validator(reading), (200, b"one\n|two\nthree")),
    ],
    ids=["late", "plain", "written", "replaced", "reading"],
)
def test_apps_that_pep_3333_allows_work(runtime: Runtime, app: Any, expected: Any) -> None:
    async def body() -> None:
        transport = httpcore.WSGITransport(app)
        fetched = await fetch(runtime, transport, "POST", "http://a.test/?q", stream=[b"one", b"\ntwo\nth", b"ree"])
        assert (fetched.status_code, fetched.body) == expected

    runtime.run(body)


def test_an_async_body_is_collected_for_the_app() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"o"
        await asyncio.sleep(0)
        yield b"ne\ntwo"

    async def main() -> None:
        transport = httpcore.WSGITransport(validator(reading))
        for given in (stream(), stream):
            async with transport.arequest("POST", "http://a.test/", stream=given) as (_, _, parts, _):
                assert b"".join([piece async for piece in parts]) == b"one\n|two"

    asyncio.run(main())


@each_runtime
@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No"), ("GET", "304 Not")])
def test_a_body_where_none_is_expected_is_not_given(runtime: Runtime, method: str, status: str) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, [])
        return [b"body"]

    async def body() -> None:
        assert (await fetch(runtime, httpcore.WSGITransport(app), method, "http://a.test/")).body == b""

    runtime.run(body)


def silent(environ: Any, start_response: Any) -> Any:
    return [b"x"]


def start_twice(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"x"]


def numbered(environ: Any, start_response: Any) -> Any:
    start_response("fine", [])
    return [b"x"]


def textual(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return ["x"]


def injecting(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [("A", "b\r\nC: d")])
    return [b"x"]


@each_runtime
@pytest.mark.parametrize(
    ("app", "words"),
    [
        (silent, r"without calling start_response"),
        (start_twice, r"called start_response\(\) twice"),
        (numbered, "status is 'fine': expected"),
        (textual, "a piece of type str: expected bytes"),
        (injecting, r"headers\[0\]"),
    ],
)
def test_an_app_that_breaks_the_pep_gets_the_reason(runtime: Runtime, app: Any, words: str) -> None:
    async def body() -> None:
        with pytest.raises(httpcore.LocalProtocolError, match=words):
            await fetch(runtime, httpcore.WSGITransport(app), "GET", "http://a.test/")

    runtime.run(body)


def test_a_step_that_is_cancelled_closes_the_app_when_it_ends() -> None:
    import threading

    go, closed = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            yield b"first"
            go.wait(10)
            yield b"second"
        finally:
            closed.set()

    async def main() -> None:
        async def victim() -> None:
            async with httpcore.WSGITransport(app).arequest("GET", "http://a.test/") as (_, _, stream, _):
                async for _ in stream:
                    pass

        task = asyncio.create_task(victim())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not closed.is_set()
        go.set()
        assert await asyncio.to_thread(closed.wait, 10)

    asyncio.run(main())
