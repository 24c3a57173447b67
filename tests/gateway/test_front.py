"""The parts around the gateway: readiness, shutdown, dates, request ids. All are tested by ASGI messages in and out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from httpcore.gateway import RequestIds
from httpcore.gateway.front import Front
from httpcore.gateway.messages import App, Message, Receive, Scope, Send

Pairs = list[tuple[bytes, bytes]]


class Inner:
    """An app that answers with `headers`, and keeps the received scopes."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.headers = list(headers)
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": self.headers})
            await send({"type": "http.response.body", "body": b"x"})


def send_request(
    app: Any, path: str = "/", headers: Pairs | None = None, **scope: object
) -> tuple[int, dict[bytes, bytes]]:
    """The response's status and its fields; the status is 0 if there is no response."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def run() -> None:
        given = {"type": "http", "http_version": "1.1", "client": ("10.0.0.1", 1), "headers": headers or []}
        await app({**given, "path": path, **scope}, receive, send)

    asyncio.run(run())
    return (sent[0]["status"], dict(sent[0]["headers"])) if sent else (0, {})


def test_a_date_is_added_where_there_is_none() -> None:
    _, found = send_request(Front(Inner(), None))
    assert found[b"date"].endswith(b" GMT")
    assert send_request(Front(Inner((b"date", b"then")), None))[1] == {b"date": b"then"}


@pytest.mark.parametrize("ready", [None, "/-/ready"])
def test_at_the_end_each_response_is_the_last_of_its_connection(ready: str | None) -> None:
    app = Front(Inner(), ready)
    assert b"connection" not in send_request(app)[1]
    app.is_ending = True
    status, found = send_request(app)
    assert (status, found[b"connection"]) == (200, b"close")
    assert b"date" in found
    assert b"connection" not in send_request(app, http_version="2")[1]
    assert send_request(app, type="websocket") == (0, {})


def test_readiness_is_answered_by_the_gateway() -> None:
    inner = Inner()
    app = Front(inner, "/-/ready")
    assert send_request(app, "/-/ready")[0] == 200
    app.is_ending = True
    status, found = send_request(app, "/-/ready")
    assert (status, found[b"connection"]) == (503, b"close")
    assert inner.scopes == []


def ids(app: App, *given: bytes, client: str = "10.0.0.1") -> bytes:
    """The request id in the response."""
    headers = [(b"x-request-id", each) for each in given]
    return send_request(app, headers=[*headers, (b"x-a", b"1")], client=(client, 1))[1][b"x-request-id"]


def test_each_request_has_an_id_of_its_own() -> None:
    inner = Inner((b"x-request-id", b"the upstream's"), (b"x-b", b"2"))
    app = RequestIds(inner)
    found = [ids(app), ids(app), ids(app, b"mine")]
    assert len(set(found)) == 3
    assert [dict(scope["headers"]) for scope in inner.scopes] == [
        {b"x-a": b"1", b"x-request-id": each} for each in found
    ]
    assert b"mine" not in found
    assert send_request(app, type="lifespan") == (0, {})


@pytest.mark.parametrize(
    ("client", "given", "is_kept"),
    [
        ("10.0.0.1", (b"abc-1",), True),
        ("192.0.2.1", (b"abc-1",), False),
        ("10.0.0.1", (b"a b",), False),
        ("10.0.0.1", (b"a\xff",), False),
        ("10.0.0.1", (b"",), False),
        ("10.0.0.1", (b"a" * 201,), False),
        ("10.0.0.1", (b"a", b"b"), False),
    ],
)
def test_the_id_of_a_trusted_proxy_is_kept(client: str, given: tuple[bytes, ...], is_kept: bool) -> None:
    found = ids(RequestIds(Inner(), ["10.0.0.0/8"]), *given, client=client)
    assert (found == given[0]) is is_kept
