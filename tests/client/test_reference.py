"""The API reference that the client implements, as a table: name by name, argument by argument, in their order."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from clients import client
from origins import Answer, Origin
from runtimes import Runtime, each_runtime

import httpcore

ADDED = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD

# Class, method, positional arguments in their order. The reference's Response is ClientResponse here.
CALLS: dict[str, dict[str, list[str]]] = {
    "Client": {
        "__init__": ["ssl", "timeout", "pool_limits", "max_redirects", "dispatch"],
        "request": [
            "method",
            "url",
            "content",
            "query_params",
            "headers",
            "stream",
            "allow_redirects",
            "ssl",
            "timeout",
        ],
        **{
            name: ["url", "query_params", "headers", "stream", "allow_redirects", "ssl", "timeout"]
            for name in ("get", "options", "head")
        },
        **{
            name: ["url", "content", "query_params", "headers", "stream", "allow_redirects", "ssl", "timeout"]
            for name in ("post", "put", "patch", "delete", "query")
        },
        "prepare_request": ["request"],
        "send": ["request", "stream", "allow_redirects", "ssl", "timeout"],
        "close": [],
    },
    "Request": {"__init__": ["method", "url", "query_params", "content", "headers"]},
    "URL": {
        "__new__": ["url", "allow_relative", "query_params"],
        "resolve_with": ["url"],
        "copy_with": [],
    },
    "Origin": {"__init__": ["url"]},
    "Headers": {"__init__": ["headers"]},
    "ClientResponse": {
        "raise_for_status": [],
        "json": [],
        "read": [],
        "stream": [],
        "raw": [],
        "close": [],
        "next": [],
    },
}
CALLS["AsyncClient"] = CALLS["TrioClient"] = CALLS["Client"]
CALLS["AsyncClientResponse"] = CALLS["ClientResponse"]

ADDITIONS = {
    "Client.__init__": {
        "transport",
        "mounts",
        "proxy",
        "auth",
        "cookies",
        "headers",
        "base_url",
        "query_params",
        "max_body",
        "trust_env",
        "event_hooks",
        "default_encoding",
    },
    "URL.copy_with": {"scheme", "authority", "path", "query", "fragment"},
}
OPTIONS = {"data", "files", "json", "cookies", "auth", "max_body", "on_progress", "follow_redirects", "params"}


def signature(name: str, method: str) -> inspect.Signature:
    return inspect.signature(getattr(getattr(httpcore, name), method))


@pytest.mark.parametrize(("name", "method"), [(name, method) for name in CALLS for method in CALLS[name]])
def test_each_call_has_its_arguments_in_their_order(name: str, method: str) -> None:
    parameters = list(signature(name, method).parameters.values())[1:]
    positional = [each.name for each in parameters if each.kind not in ADDED]
    assert positional == CALLS[name][method]
    required = [each.name for each in parameters if each.kind not in ADDED and each.default is each.empty]
    assert required == [each for each in ("method", "url", "request") if each in positional]
    assert {each.name for each in parameters if each.kind is ADDED[0]} >= ADDITIONS.get(f"{name}.{method}", set())


@pytest.mark.parametrize("name", ["get", "options", "head", "post", "put", "patch", "delete", "query", "request"])
def test_the_functions_are_those_of_the_client(name: str) -> None:
    function = list(inspect.signature(getattr(httpcore, name)).parameters.values())
    method = list(signature("Client", name).parameters.values())[1:]
    assert [(each.name, each.default) for each in function if each.kind is not ADDED[1]] == [
        (each.name, each.default) for each in method if each.kind is not ADDED[1]
    ]
    assert function[-1].kind is method[-1].kind is ADDED[1]


def test_the_options_of_a_call_are_typed() -> None:
    assert httpcore.RequestOptions.__annotations__.keys() >= OPTIONS
    assert httpcore.RequestOptions.__annotations__.keys() - httpcore.SendOptions.__annotations__.keys() == {
        "data",
        "files",
        "json",
        "params",
    }


ATTRIBUTES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "response": {
        "status_code": int,
        "reason_phrase": str,
        "protocol": str,
        "url": httpcore.URL,
        "headers": httpcore.Headers,
        "content": bytes,
        "text": str,
        "encoding": str,
        "is_redirect": bool,
        "request": httpcore.Request,
        "cookies": httpcore.Cookies,
        "history": list,
        "links": dict,
        "ok": bool,
        "num_bytes_downloaded": int,
        "info": httpcore.ResponseInfo,
    },
    "request": {"method": str, "url": httpcore.URL, "content": bytes, "headers": httpcore.Headers},
    "url": {
        "scheme": str,
        "authority": str,
        "host": str,
        "port": int,
        "path": str,
        "query": str,
        "full_path": str,
        "fragment": str,
        "is_ssl": bool,
        "origin": httpcore.Origin,
        "is_absolute_url": bool,
        "is_relative_url": bool,
        "username": str,
        "password": str,
    },
    "origin": {"is_ssl": bool, "host": str, "port": int},
}


@pytest.fixture
def url() -> Iterator[str]:
    with Origin("site", [], lambda seen: Answer(200, [("Content-Type", "application/json")], b'{"a": 1}')) as origin:
        yield origin.url


@each_runtime
def test_each_attribute_is_there_and_of_its_type(url: str, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            response = await http.get(url)
            things: dict[str, Any] = {
                "response": response,
                "request": response.request,
                "url": response.url,
                "origin": response.url.origin,
            }
            for name, attributes in ATTRIBUTES.items():
                for attribute, kind in attributes.items():
                    assert isinstance(getattr(things[name], attribute), kind), f"{name}.{attribute}"
            assert response.json() == {"a": 1}
            assert response.raise_for_status() is None

    runtime.run(main)


def test_the_examples_of_the_reference_work(url: str) -> None:
    with httpcore.Client(trust_env=False) as http:
        response = http.get(url)
        assert repr(response.status_code) == "<HTTPStatus.OK: 200>"
        assert response.protocol == "HTTP/1.1"
        request = httpcore.Request("GET", url, headers={"host": "example.org"})
        response = http.send(request)
        assert response.request.headers["Host"] == "example.org"
    assert httpcore.URL("https://example.org/").host == "example.org"
    assert httpcore.Origin("https://example.org") == httpcore.Origin("HTTPS://EXAMPLE.ORG:443")
    assert httpcore.Headers({"Content-Type": "application/json"})["content-type"] == "application/json"
    assert httpcore.Request("get", url).method == "GET"
