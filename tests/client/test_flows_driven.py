"""How a client drives authentication flows: bodies, errors, ends; and the settings that may be changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from clients import client
from origins import Answer, Origin, ReceivedRequest
from runtimes import Runtime, each_runtime

import httpcore


def answer(seen: ReceivedRequest) -> Answer:
    if seen.target == "/token":
        return Answer(200, [], b"t0k3n")
    if seen.target.startswith("/guarded") and not seen.has("authorization"):
        return Answer(401, [("X-Ask", "1")], b"who?" * 100)
    return Answer(200, [], seen.body or b"ok")


@pytest.fixture
def site() -> Iterator[tuple[str, list[ReceivedRequest]]]:
    log: list[ReceivedRequest] = []
    with Origin("site", log, answer) as origin:
        yield origin.url, log


Site = tuple[str, list[ReceivedRequest]]


class Token(httpcore.Auth):
    """Requests a token from another URL, and reads the response."""

    needs_response_body = True

    def __init__(self, url: str) -> None:
        self.url = url

    def flow(self, request: Any) -> Any:
        response = yield request
        if response.status_code == 401:
            assert response.content == b"who?" * 100
            token = yield httpcore.Request("GET", f"{self.url}/token")
            request.headers["Authorization"] = f"Bearer {token.text}"
            yield request


class Signed(httpcore.Auth):
    """A flow that needs the whole body."""

    needs_request_body = True

    def flow(self, request: Any) -> Any:
        request.headers["X-Signature"] = str(sum(request.content))
        yield request


@each_runtime
def test_a_flow_may_send_other_requests_and_read_responses(site: Site, runtime: Runtime) -> None:
    url, log = site

    async def main() -> None:
        async with client(runtime, auth=Token(url)) as http:
            response = await http.post(f"{url}/guarded", b"body")
            assert response.content == b"body"
            assert [each.status_code for each in response.history] == [401, 200]

    runtime.run(main)
    assert [each.target for each in log] == ["/guarded", "/token", "/guarded"]
    assert log[-1].get("authorization") == "Bearer t0k3n"


@each_runtime
def test_a_flow_that_needs_the_body_gets_it_whole(site: Site, runtime: Runtime) -> None:
    url, log = site

    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"c"

    async def main() -> None:
        async with client(runtime, auth=Signed()) as http:
            body: Any = iter([b"ab", b"c"]) if runtime.name == "threads" else pieces()
            assert (await http.post(url, body)).content == b"abc"

    runtime.run(main)
    assert (log[-1].get("x-signature"), log[-1].get("content-length")) == (str(sum(b"abc")), "3")


@each_runtime
def test_a_flow_that_fails_releases_its_response(site: Site, runtime: Runtime) -> None:
    url, _ = site

    def fails(request: Any) -> Any:
        yield request
        raise ZeroDivisionError

    def endless(request: Any) -> Any:
        while True:
            yield request

    async def main() -> None:
        transport = httpcore.HTTPTransport(limits=httpcore.PoolLimits(max_connections=1))
        async with client(runtime, transport=transport) as http:
            for stream in (False, True):
                with pytest.raises(ZeroDivisionError):
                    await http.get(url, auth=fails, stream=stream)
            with pytest.raises(httpcore.LocalProtocolError, match="auth yields too many requests"):
                await http.get(url, auth=endless)
            assert (await http.get(url)).content == b"ok"
            assert {stats.leased for stats in transport.stats() if stats is not None} == {0}

    runtime.run(main)


@each_runtime
def test_a_consumed_body_cannot_be_sent_after_a_refusal(site: Site, runtime: Runtime) -> None:
    url, log = site

    async def main() -> None:
        async with client(runtime) as http:
            with pytest.raises(httpcore.LocalProtocolError, match="cannot be sent again"):
                await http.post(f"{url}/guarded", iter([b"body"]), auth=Token(url))

    runtime.run(main)
    assert [each.target for each in log] == ["/guarded", "/token"]


@each_runtime
def test_a_hook_that_fails_releases_its_response(site: Site, runtime: Runtime) -> None:
    url, _ = site

    def fail(_: Any) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        transport = httpcore.HTTPTransport(limits=httpcore.PoolLimits(max_connections=1))
        async with client(runtime, transport=transport, event_hooks={"response": fail}) as http:
            with pytest.raises(ZeroDivisionError):
                await http.get(url, stream=True, max_body=10)
            http.event_hooks["response"].clear()
            assert (await http.get(url)).content == b"ok"

    runtime.run(main)


def test_some_settings_of_a_client_may_be_changed(site: Site) -> None:
    url, log = site
    with httpcore.Client(trust_env=False) as http:
        http.headers = {"X-A": "1"}
        http.cookies = {"a": "b"}
        http.auth = ("user", "pass")
        http.base_url = f"{url}/v1"
        http.query_params = {"k": "v"}
        assert http.base_url == f"{url}/v1"
        assert http.query_params["k"] == "v"
        assert isinstance(http.transport, httpcore.HTTPTransport)
        http.get("x")
        assert "pass" not in repr(http)
    seen = log[-1]
    assert seen.target == "/v1/x?k=v"
    assert [seen.get(name) for name in ("x-a", "cookie", "authorization")] == ["1", "a=b", "Basic dXNlcjpwYXNz"]
    assert not seen.has("user-agent")


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"transport": 1}, TypeError, "transport is of type int: expected a Transport"),
    ({"mounts": 1}, TypeError, "mounts is of type int"),
    ({"max_redirects": "3"}, TypeError, "max_redirects is '3'"),
    ({"max_redirects": True}, TypeError, "max_redirects is True"),
    ({"max_redirects": -1}, ValueError, "expected a number from 0 up"),
    ({"timeout": "5"}, TypeError, "timeout"),
    ({"max_body": -1}, ValueError, "max_body"),
    ({"auth": 1}, httpcore.LocalProtocolError, "auth is of type int"),
    ({"cookies": 1}, TypeError, "cookies is of type int"),
    ({"headers": 1}, httpcore.LocalProtocolError, "headers"),
    ({"base_url": "x"}, httpcore.InvalidURL, "expected an absolute URL"),
    ({"sensitive_headers": "x-a"}, TypeError, "expected a collection of names"),
    ({"sensitive_headers": ["a b"]}, httpcore.LocalProtocolError, "expected names of header fields"),
    ({"proxy": "x://"}, httpcore.InvalidURL, "proxy"),
]


@pytest.mark.parametrize(("given", "kind", "texts"), WRONG, ids=lambda value: str(value)[:24])
def test_each_argument_of_a_client_is_checked(given: dict[str, Any], kind: type[Exception], texts: str) -> None:
    with pytest.raises(kind, match=texts):
        httpcore.Client(**given)


def test_each_argument_of_a_request_is_checked(site: Site) -> None:
    url, log = site
    with httpcore.Client(trust_env=False) as http:
        with pytest.raises(httpcore.LocalProtocolError, match="method is of type int"):
            http.request(1, url)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="on_progress is of type int"):
            http.get(url, on_progress=1)  # type: ignore[arg-type]
        with pytest.raises(httpcore.LocalProtocolError, match="content and json are given"):
            http.post(url, b"x", json={})
        with pytest.raises(httpcore.LocalProtocolError, match="method"):
            http.request("G T", url)
    assert not log


def test_a_response_made_by_hand_has_text_and_lines() -> None:
    response = httpcore.ClientResponse(404, headers={"Content-Type": "text/plain"}, content="nö")
    assert (response.text, response.reason_phrase, response.protocol) == ("nö", "Not Found", "HTTP/1.1")
    assert list(response.iter_lines()) == ["nö"]
    with pytest.raises(httpcore.HTTPStatusError):
        response.raise_for_status()
    with pytest.raises(httpcore.LocalProtocolError, match="without a request"):
        _ = response.url
    assert response.info == httpcore.ResponseInfo()
    assert (response.informational, response.trailers) == ([], [])
    with pytest.raises(TypeError, match="cannot be pickled"):
        response.__reduce__()
    request = httpcore.Request("GET", "http://a.test/")
    made = httpcore.ClientResponse(200, request=request, headers=[("Set-Cookie", "a=b")])
    assert made.cookies["a"] == "b"
    assert made.request is request
    with pytest.raises(TypeError, match="expected `async with`"):
        httpcore.AsyncClientResponse(200).__enter__()
