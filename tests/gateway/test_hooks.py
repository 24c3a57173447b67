"""What `on_request` and `on_response` can do, with an upstream on a socket."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from servers import Peer, ScriptedServer, ok

import httpcore
from httpcore.gateway import Forward, Gateway, Refusal, Returned

heads: list[bytes] = []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    def script(peer: Peer) -> None:
        while head := peer.head():
            heads.append(head)
            peer.send(ok(b"hello", b"X-Secret: 1", b"X-A: b"))

    with ScriptedServer(script) as upstream:
        yield upstream.url


def call(url: str, **hooks: Any) -> tuple[int, dict[bytes, bytes], bytes]:
    heads.clear()
    with (
        httpcore.ASGITransport(Gateway(url, retries=0, **hooks)) as transport,
        transport.request("GET", "http://gw.test/a?b", [("x-user", "mine")]) as (status_code, headers, stream, _),
    ):
        return status_code, dict(headers), b"".join(stream)


def renamed(request: Forward) -> Forward:
    headers = [pair for pair in request.headers if pair[0] != b"x-user"]
    return request._replace(target=b"/new?c", headers=[*headers, (b"x-user", b"known")])


async def renamed_later(request: Forward) -> Forward:
    return renamed(request)


@pytest.mark.parametrize("hook", [renamed, renamed_later])
def test_a_hook_changes_the_request_before_it_goes_out(hook: Any, url: str) -> None:
    assert call(url, on_request=hook)[0] == 200
    (head,) = heads
    assert head.startswith(b"GET /new?c HTTP/1.1\r\n")
    assert head.count(b"x-user") == 1
    assert b"x-user: known\r\n" in head


def test_a_hook_answers_in_the_upstreams_place(url: str) -> None:
    status, headers, body = call(url, on_request=lambda _: Refusal(401, "who?", ((b"www-authenticate", b"Basic"),)))
    assert (status, headers[b"www-authenticate"], body) == (401, b"Basic", b"who?\n")
    assert heads == []


def without_secrets(request: Forward, head: Returned) -> Returned:
    assert request.target == b"/a?b"
    return Returned(203, [pair for pair in head.headers if pair[0] != b"x-secret"])


async def without_secrets_later(request: Forward, head: Returned) -> Returned:
    return without_secrets(request, head)


@pytest.mark.parametrize("hook", [without_secrets, without_secrets_later])
def test_a_hook_changes_the_head_of_the_response(hook: Any, url: str) -> None:
    status, headers, body = call(url, on_response=hook)
    assert (status, headers[b"x-a"], body) == (203, b"b", b"hello")
    assert b"x-secret" not in headers


def test_a_hook_refuses_a_response(url: str) -> None:
    status, headers, body = call(url, on_response=lambda request, head: Refusal(451, "not here"))
    assert (status, body) == (451, b"not here\n")
    assert b"x-a" not in headers


def test_hooks_that_return_none_change_nothing(url: str) -> None:
    status, headers, body = call(url, on_request=lambda _: None, on_response=lambda request, head: None)
    assert (status, headers[b"x-secret"], body) == (200, b"1", b"hello")


def fails(*_: object) -> None:
    raise KeyError("secret")


@pytest.mark.parametrize(("name", "status"), [("on_request", 500), ("on_response", 502)])
def test_a_hook_that_fails_is_answered_and_logged(
    name: str, status: int, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        got = call(url, **{name: fails})
    assert (got[0], got[2]) == (status, b"the gateway failed\n")
    assert caplog.messages == [f"{name} failed: KeyError"]
    assert len(heads) == (name == "on_response")


def test_a_request_that_a_hook_breaks_is_not_sent(url: str) -> None:
    status, _, body = call(url, on_request=lambda request: request._replace(target=b"/a b"))
    assert (status, body, heads) == (400, b"LocalProtocolError\n", [])


@pytest.mark.parametrize("name", ["on_request", "on_response"])
def test_a_hook_that_is_no_function_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}: expected a function or None, got int"):
        Gateway("http://127.0.0.1:1", **{name: 1})  # type: ignore[arg-type]
