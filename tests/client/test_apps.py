"""Both kinds of client over apps in this process, mounts, and transports that redirect to https."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import trio
import trustme
from clients import client
from origins import Answer, Origin
from runtimes import Runtime, each_runtime
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

import httpcore

flask_app = flask.Flask(__name__)


@flask_app.route("/echo", methods=["GET", "POST", "PUT"])
def echo() -> Any:
    requested = flask.request
    return {"method": requested.method, "form": requested.form, "args": requested.args, "cookies": requested.cookies}


@flask_app.route("/login", methods=["POST"])
def login() -> Any:
    response = flask.redirect("/echo", code=303)
    response.set_cookie("session", "abc")
    return response


async def starlette_echo(request: Request) -> Response:
    form = await request.form() if request.method == "POST" else {}
    return JSONResponse(
        {"method": request.method, "form": dict(form), "args": dict(request.query_params), "cookies": request.cookies}
    )


async def starlette_login(request: Request) -> Response:
    response = RedirectResponse("/echo", 303)
    response.set_cookie("session", "abc")
    return response


starlette_app = Starlette(
    routes=[
        Route("/echo", starlette_echo, methods=["GET", "POST", "PUT"]),
        Route("/login", starlette_login, methods=["POST"]),
    ]
)


def wsgi() -> httpcore.Transport:
    return httpcore.WSGITransport(flask_app)


def asgi() -> httpcore.Transport:
    return httpcore.ASGITransport(starlette_app)


@each_runtime
@pytest.mark.parametrize("transport", [wsgi, asgi])
def test_a_client_sends_requests_to_an_app_in_this_process(runtime: Runtime, transport: Any) -> None:
    async def main() -> None:
        async with client(runtime, transport=transport(), base_url="http://app.test") as http:
            answer = (await http.post("/echo", {"a": "1"}, {"q": "2"})).json()
            assert answer == {"method": "POST", "form": {"a": "1"}, "args": {"q": "2"}, "cookies": {}}
            response = await http.post("/login")
            assert response.json() == {"method": "GET", "form": {}, "args": {}, "cookies": {"session": "abc"}}
            assert [each.status_code for each in response.history] == [303]
            async with http.stream("GET", "/echo") as response:
                assert b"".join([piece async for piece in response.stream()])

    runtime.run(main)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("www.example.com").configure_cert(context)
    with Origin("secure", [], lambda seen: Answer(200, [], seen.method.encode()), context) as origin:
        yield origin


@each_runtime
def test_mounts_choose_the_transport_by_the_url(runtime: Runtime, secure: Origin) -> None:
    async def main() -> None:
        unchecked = httpcore.HTTPTransport(verify=False, retries=1, resolve={"www.example.com": "127.0.0.1"})
        rest = httpcore.MockTransport({"/": httpcore.Response(200, body=b"rest")})
        async with client(runtime, transport=rest, mounts={"all://www.example.com": unchecked}) as http:
            assert (await http.get(f"https://www.example.com:{secure.port}/")).content == b"GET"
            assert (await http.get("http://www.example.org/")).content == b"rest"

    runtime.run(main)


@each_runtime
def test_mounted_https_redirect_keeps_method_and_body(runtime: Runtime, secure: Origin) -> None:
    async def main() -> None:
        async with client(runtime, mounts={"http": httpcore.HTTPSRedirect()}) as http:
            response = await http.get("http://www.example.com/x", allow_redirects=False)
            assert (response.status_code, response.headers["location"]) == (307, "https://www.example.com/x")
        tls = httpcore.HTTPTransport(verify=False, resolve={"www.example.com": "127.0.0.1"})
        mounts = {"http": httpcore.HTTPSRedirect(), "https": tls}
        async with client(runtime, mounts=mounts) as http:
            response = await http.post(f"http://www.example.com:{secure.port}/x", b"body")
            assert response.content == b"POST"
            assert response.url.scheme == "https"

    runtime.run(main)


def test_the_async_client_runs_an_async_app_in_both_runtimes() -> None:
    async def main() -> None:
        async with httpcore.AsyncClient(transport=httpcore.ASGITransport(starlette_app)) as http:
            assert (await http.get("http://app.test/echo")).json()["method"] == "GET"

    asyncio.run(main())
    trio.run(main)


def test_a_download_of_an_app_is_a_file(tmp_path: Path) -> None:
    with httpcore.Client(transport=wsgi()) as http:
        http.download("http://app.test/echo", tmp_path / "echo.json")
    assert b'"GET"' in (tmp_path / "echo.json").read_bytes()
