"""ASGI apps in this process. The apps are of Starlette and Django, or plain apps that check each message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import jinja2
import pytest
import trio
from runtimes import Runtime, each_runtime
from seam import entered, fetch, opened
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates

import httpcore

URL = "http://a.test"


async def hello(request: Request) -> Response:
    assert request.client is not None
    return JSONResponse(
        {
            "name": request.path_params["name"],
            "args": dict(request.query_params),
            "body": (await request.body()).decode(),
            "url": str(request.url),
            "client": [request.client.host, request.client.port],
            "state": getattr(request.state, "name", ""),
        },
        headers={"X-A": "1"},
    )


async def echo(request: Request) -> Response:
    return StreamingResponse(request.stream())


class EndRecordingResponse(StreamingResponse):
    """Records its end."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            events.append("ended")


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"piece"
            await anyio.lowlevel.checkpoint()

    return EndRecordingResponse(pieces())


async def silent(request: Request) -> Response:
    message = await request.receive()
    while message["type"] != "http.disconnect":
        message = await request.receive()
    events.append("disconnected")
    return Response()


async def stuck(request: Request) -> Response:
    try:
        await anyio.sleep(60)
    finally:
        events.append("cancelled")
    return Response()


async def failing(request: Request) -> Response:
    raise ZeroDivisionError("in the app")


async def later(request: Request) -> Response:
    async def work() -> None:
        await anyio.sleep(0.01)
        events.append("background")
        if "fail" in request.query_params:
            raise ZeroDivisionError("in the background")

    return PlainTextResponse("done", background=BackgroundTask(work))


templates = Jinja2Templates(env=jinja2.Environment(loader=jinja2.DictLoader({"index.html": "a is {{ a }}"})))


async def template(request: Request) -> Response:
    return templates.TemplateResponse(request, "index.html", {"a": 1})


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[Any]:
    events.append("startup")
    yield {"name": "from the lifespan"}
    events.append("shutdown")


events: list[str] = []
routes = [
    Route("/hello/{name}", hello, methods=["GET", "POST"]),
    Route("/echo", echo, methods=["POST"]),
    Route("/endless", endless),
    Route("/silent", silent),
    Route("/stuck", stuck),
    Route("/fail", failing),
    Route("/later", later),
    Route("/template", template),
]
app = Starlette(routes=[*routes, Mount("/api", routes=routes)], lifespan=lifespan)
rooted = Starlette(routes=routes)


@pytest.fixture(autouse=True)
def no_events() -> Iterator[None]:
    events.clear()
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "httpcore loop"], "a loop thread is left"


@each_runtime
@pytest.mark.parametrize("stream", [b"body", [b"bo", b"dy"], "body"], ids=["bytes", "pieces", "str"])
def test_starlette_sees_the_request_and_is_seen(runtime: Runtime, stream: Any) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.ASGITransport(app)) as transport:
            url = "https://a.test:8443/hello/J%C3%B6rg?x=%20y"
            fetched = await fetch(runtime, transport, "POST", url, None, stream, {"client_addr": ("10.0.0.9", 7)})
            assert fetched.status_code == 200
            assert (b"x-a", b"1") in fetched.headers
            import json

            assert json.loads(fetched.body) == {
                "name": "Jörg",
                "args": {"x": " y"},
                "body": "body",
                "url": url.replace("%C3%B6", "ö"),
                "client": ["10.0.0.9", 7],
                "state": "from the lifespan",
            }
            assert fetched.extensions["http_version"] == "HTTP/1.1"
        assert events == ["startup", "shutdown"]

    runtime.run(body)


@each_runtime
def test_a_mount_path_is_the_root_of_the_app(runtime: Runtime) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.ASGITransport(rooted, mount_path="/api")) as transport:
            fetched = await fetch(runtime, transport, "GET", f"{URL}/api/hello/x")
            assert b'"url":"http://a.test/api/hello/x"' in fetched.body

    runtime.run(body)


@each_runtime
def test_template_and_context_of_the_app_are_in_the_extensions(runtime: Runtime) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.ASGITransport(app)) as transport:
            fetched = await fetch(runtime, transport, "GET", f"{URL}/template")
            assert fetched.body == b"a is 1"
            assert fetched.extensions["template"].name == "index.html"
            assert fetched.extensions["context"]["a"] == 1
            assert fetched.extensions["debug"].keys() == {"template", "context"}

    runtime.run(body)


def test_request_and_response_are_streamed_at_once_from_a_loop() -> None:
    async def body() -> None:
        sent = 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal sent
            for number in range(3):
                sent += 1
                yield b"%d" % number
                await event_of_piece[number].wait()

        event_of_piece = [anyio.Event() for _ in range(3)]
        async with (
            httpcore.ASGITransport(app) as transport,
            transport.arequest("POST", f"{URL}/echo", stream=pieces()) as (_, _, stream, _),
        ):
            number = 0
            async for piece in stream:
                assert (piece, sent) == (b"%d" % number, number + 1)
                event_of_piece[number].set()
                number += 1
            assert number == 3

    asyncio.run(body())
    trio.run(body)


def test_request_and_response_are_streamed_at_once_from_threads() -> None:
    released = [threading.Event() for _ in range(3)]

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            yield b"%d" % number
            assert released[number].wait(10)

    with (
        httpcore.ASGITransport(app) as transport,
        transport.request("POST", f"{URL}/echo", stream=pieces()) as (_, _, stream, _),
    ):
        for number, piece in enumerate(stream):
            assert piece == b"%d" % number
            released[number].set()


@each_runtime
def test_an_app_that_streams_waits_for_its_reader(runtime: Runtime) -> None:
    produced = 0

    async def large(scope: Any, receive: Any, send: Any) -> None:
        nonlocal produced
        await send({"type": "http.response.start", "status": 200})
        for number in range(100):
            produced += 1
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": number < 99})

    async def body() -> None:
        async with (
            entered(runtime, httpcore.ASGITransport(large, lifespan="off")) as transport,
            opened(runtime, transport, "GET", URL) as (_, _, stream, _),
        ):
            await runtime.sleep(0.01)
            assert produced <= 8
            assert sum([len(piece) async for piece in stream]) == 1_000_000

    runtime.run(body)


# Leaving early.


@each_runtime
def test_a_client_that_leaves_early_ends_the_stream_of_the_app(runtime: Runtime) -> None:
    async def body() -> None:
        async with (
            entered(runtime, httpcore.ASGITransport(app)) as transport,
            opened(runtime, transport, "GET", f"{URL}/endless") as (_, _, stream, _),
        ):
            assert await anext(aiter(stream)) == b"piece"
        assert events == ["startup", "ended", "shutdown"]

    runtime.run(body)


@each_runtime
def test_a_timeout_of_the_wait_notifies_the_app(runtime: Runtime) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.ASGITransport(app)) as transport:
            for timeout, error in (
                (0.02, httpcore.ReadTimeout),
                (httpcore.TimeoutConfig(None, total_timeout=0.02), httpcore.TotalTimeout),
            ):
                with pytest.raises(error, match="app") as caught:
                    await fetch(runtime, transport, "GET", f"{URL}/silent", extensions={"timeout": timeout})
                assert caught.value.limit == 0.02
        assert events == ["startup", "disconnected", "disconnected", "shutdown"]

    runtime.run(body)


@each_runtime
def test_an_app_that_does_not_end_is_cancelled_at_the_close(runtime: Runtime) -> None:
    async def body() -> None:
        transport = httpcore.ASGITransport(app, shutdown_timeout=0.01)
        async with entered(runtime, transport):
            with pytest.raises(httpcore.ReadTimeout):
                await fetch(runtime, transport, "GET", f"{URL}/stuck", extensions={"timeout": 0.01})
            assert events == ["startup"]
        assert events == ["startup", "cancelled", "shutdown"]
        with pytest.raises(httpcore.PoolClosed):
            await fetch(runtime, transport, "GET", f"{URL}/hello/x")

    runtime.run(body)


def test_a_response_is_closed_by_another_asyncio_task() -> None:
    async def main() -> None:
        async with httpcore.ASGITransport(app) as transport:
            exchange = transport.arequest("GET", f"{URL}/endless")
            response = await asyncio.create_task(exchange.__aenter__())
            assert await asyncio.create_task(anext(aiter(response[2]))) == b"piece"  # type: ignore[arg-type]
            await asyncio.create_task(exchange.__aexit__(None, None, None))

    asyncio.run(main())
    assert events == ["startup", "ended", "shutdown"]


def test_a_response_is_closed_by_another_trio_task() -> None:
    async def main() -> None:
        async with httpcore.ASGITransport(app) as transport:
            exchange = transport.arequest("GET", f"{URL}/endless")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(exchange.__aenter__)  # a nursery that ends before the response does
            async with trio.open_nursery() as nursery:
                nursery.start_soon(exchange.__aexit__, None, None, None)

    trio.run(main)
    assert events == ["startup", "ended", "shutdown"]


@pytest.mark.parametrize("run", [asyncio.run, lambda coroutine: trio.run(lambda: coroutine)], ids=["asyncio", "trio"])
def test_responses_are_closed_out_of_order(run: Any) -> None:
    async def main() -> None:
        async with httpcore.ASGITransport(app) as transport:
            exchanges = [transport.arequest("GET", f"{URL}/endless") for _ in range(3)]
            streams = [(await exchange.__aenter__())[2] for exchange in exchanges]
            for at in (1, 0, 2):
                assert await anext(aiter(streams[at])) == b"piece"
                await exchanges[at].__aexit__(None, None, None)

    run(main())
    assert events.count("ended") == 3


def test_a_cancelled_caller_leaves_the_transport_usable() -> None:
    async def main() -> None:
        async with httpcore.ASGITransport(app) as transport:
            with anyio.move_on_after(0.02) as scope:
                async with transport.arequest("GET", f"{URL}/silent"):
                    pass
            assert scope.cancelled_caught
            with anyio.move_on_after(0.02) as scope:
                async with transport.arequest("GET", f"{URL}/endless") as (_, _, stream, _):
                    async for _ in stream:
                        await anyio.lowlevel.checkpoint()
            assert scope.cancelled_caught
            async with transport.arequest("GET", f"{URL}/hello/x") as response:
                assert response[0] == 200

    for run in (asyncio.run, lambda coroutine: trio.run(lambda: coroutine)):
        run(main())
        assert sorted(events) == ["disconnected", "ended", "shutdown", "startup"]
        events.clear()


# Errors.


@each_runtime
def test_errors_are_raised_or_become_500_by_choice(runtime: Runtime) -> None:
    async def raw(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("in the app")

    async def body() -> None:
        for each in (raw, app):  # `app` is of Starlette, which sends a 500 before it raises the error
            async with entered(runtime, httpcore.ASGITransport(each, lifespan="off")) as transport:
                with pytest.raises(ZeroDivisionError, match="in the app"):
                    await fetch(runtime, transport, "GET", f"{URL}/fail")
        async with entered(runtime, httpcore.ASGITransport(raw, lifespan="off", raise_app_errors=False)) as transport:
            fetched = await fetch(runtime, transport, "GET", URL)
            assert (fetched.status_code, fetched.body) == (500, b"Internal Server Error")

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize("raises", [True, False])
def test_an_error_in_the_middle_of_a_response_reaches_the_reader(runtime: Runtime, raises: bool) -> None:
    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    async def body() -> None:
        async with (
            entered(runtime, httpcore.ASGITransport(half, lifespan="off", raise_app_errors=raises)) as transport,
            opened(runtime, transport, "GET", URL) as (_, _, stream, _),
        ):
            pieces = aiter(stream)
            assert await anext(pieces) == b"half"
            with pytest.raises(ZeroDivisionError if raises else httpcore.RemoteProtocolError):
                await anext(pieces)

    runtime.run(body)


@each_runtime
def test_background_work_ends_before_the_transport(runtime: Runtime) -> None:
    async def body() -> None:
        async with entered(runtime, httpcore.ASGITransport(app)) as transport:
            assert (await fetch(runtime, transport, "GET", f"{URL}/later")).body == b"done"
        assert events == ["startup", "background", "shutdown"]
        with pytest.raises(ZeroDivisionError, match="in the background"):
            async with entered(runtime, httpcore.ASGITransport(app)) as transport:
                await fetch(runtime, transport, "GET", f"{URL}/later?fail")

    runtime.run(body)


START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"x"}
BROKEN: list[tuple[list[dict[str, Any]], str]] = [
    ([], "the app ended without a response"),
    ([START], "the app ended in the middle of its response"),
    ([START, {**BODY, "more_body": True}], "the app ended in the middle of its response"),
    ([BODY], "http.response.body before http.response.start"),
    ([START, START], "http.response.start twice"),
    ([{"type": "http.response.zzz"}], "a message of type 'http.response.zzz'"),
    ([{**START, "status": 7}], "status_code is 7:"),
    ([{**START, "headers": [(b"a", b"b\r\nc: d")]}], r"headers\[0\]"),
    ([START, BODY, BODY], ""),
    ([{**START, "trailers": True}, BODY], "the app ended in the middle of its response"),
]


@each_runtime
@pytest.mark.parametrize(("messages", "words"), BROKEN)
def test_an_app_that_breaks_the_protocol_gets_the_reason(runtime: Runtime, messages: Any, words: str) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async def body() -> None:
        transport = httpcore.ASGITransport(broken, lifespan="off")
        try:
            with pytest.raises(httpcore.HTTPCoreError, match=words or "after its end"):  # noqa: PT012
                await fetch(runtime, transport, "GET", URL)
                await transport.aclose()  # an error after the end is raised here
        finally:
            transport.close()

    runtime.run(body)


# Other parts of the protocol.


@each_runtime
def test_the_app_sends_trailers_and_early_hints(runtime: Runtime) -> None:
    async def trailing(scope: Any, receive: Any, send: Any) -> None:
        assert scope["extensions"].keys() >= {"http.response.trailers", "http.response.early_hint"}
        await send({"type": "http.response.early_hint", "links": [b"</x>"]})
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"a"})
        await send({"type": "http.response.trailers", "headers": [(b"X-A", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"X-B", b"2")]})

    async def body() -> None:
        async with entered(runtime, httpcore.ASGITransport(trailing, lifespan="off")) as transport:
            fetched = await fetch(runtime, transport, "GET", URL)
            assert fetched.body == b"a"
            assert fetched.extensions["trailing_headers"] == [(b"x-a", b"1"), (b"x-b", b"2")]
            assert fetched.extensions["informational"] == [(103, [(b"link", b"</x>")])]

    runtime.run(body)


@each_runtime
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_body_where_none_is_expected_is_not_given(runtime: Runtime, method: str, status: int) -> None:
    async def bodied(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": b"body"})

    async def body() -> None:
        async with entered(runtime, httpcore.ASGITransport(bodied, lifespan="off")) as transport:
            assert (await fetch(runtime, transport, method, URL)).body == b""

    runtime.run(body)


async def none(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http", "expected no lifespan scope"
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


@each_runtime
def test_each_outcome_of_the_lifespan_has_its_effect(runtime: Runtime) -> None:
    async def body() -> None:
        for kind in ("auto", "off"):
            transport = httpcore.ASGITransport(none, lifespan=kind)
            async with entered(runtime, transport):
                assert (await fetch(runtime, transport, "GET", URL)).status_code == 204
        with pytest.raises(AssertionError, match="expected no lifespan scope"):
            async with entered(runtime, httpcore.ASGITransport(none, lifespan="on")):
                pass
        with pytest.raises(httpcore.LocalProtocolError, match="the app failed to start: no database"):
            async with entered(runtime, httpcore.ASGITransport(refusing)):
                pass

    runtime.run(body)


def test_one_transport_serves_both_entries() -> None:
    transport = httpcore.ASGITransport(app)

    async def from_a_loop() -> int:
        async with transport.arequest("GET", f"{URL}/hello/x") as response:
            return response[0]

    with transport, transport.request("GET", f"{URL}/hello/x") as response:
        assert (response[0], asyncio.run(from_a_loop())) == (200, 200)


def test_a_body_of_django_is_streamed(django_app: Any) -> None:
    async def main() -> None:
        async with httpcore.ASGITransport(django_app) as transport:
            async with transport.arequest("POST", f"{URL}/echo?a=b", stream=[b"o", b"ne"]) as (_, _, stream, _):
                assert b"".join([piece async for piece in stream]) == b"POST /echo b one"
            async with transport.arequest("GET", f"{URL}/numbers") as (_, _, stream, _):
                assert [piece async for piece in stream][:3] == [b"0", b"1", b"2"]

    asyncio.run(main())
    with (
        httpcore.ASGITransport(django_app) as transport,
        transport.request("POST", f"{URL}/echo?a=b", stream=b"one") as (status_code, _, stream, _),
    ):
        assert (status_code, b"".join(stream)) == (200, b"POST /echo b one")


@pytest.fixture
def django_app() -> Iterator[Any]:
    """A Django project without files."""
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.test.utils import override_settings
    from django.urls import path

    async def numbers(request: Any) -> Any:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3):
                yield b"%d" % number

        return StreamingHttpResponse(pieces())

    def echo(request: Any) -> Any:
        return HttpResponse(f"{request.method} {request.path} {request.GET['a']} {request.body.decode()}")

    if not settings.configured:
        settings.configure(SECRET_KEY="x", LOGGING_CONFIG=None)
    with override_settings(ALLOWED_HOSTS=["a.test"], ROOT_URLCONF=(path("echo", echo), path("numbers", numbers))):
        yield get_asgi_application()
