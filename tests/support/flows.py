"""Flows of authentication, driven by hand or over a pool, with requests that have no more than a flow may know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from httpcore._client.auth import Auth
from httpcore._client.headers import Headers
from httpcore._client.urls import URL


class FlowRequest:
    """What a flow may know of a request."""

    def __init__(self, method: str, url: str, content: bytes | None = b"", headers: Any = None) -> None:
        self.method = method
        self.url = URL(url)
        self.headers = Headers(headers)
        self.content = content


class FlowResponse:
    """What a flow may know of a response."""

    def __init__(self, status_code: int, headers: Any = None) -> None:
        self.status_code = status_code
        self.headers = Headers(headers)


def play(auth: Auth, request: FlowRequest, serve: Callable[[FlowRequest], FlowResponse]) -> FlowResponse:
    """The last response of a flow whose requests `serve` answers."""
    flow: Any = auth.flow(request)
    sent = next(flow)
    while True:
        response = serve(sent)
        try:
            sent = flow.send(response)
        except StopIteration:
            return response


async def over_pool(auth: Auth, pool: Any, method: str, url: str, content: bytes = b"", **more: Any) -> Any:
    """The last response of a flow whose requests go through a pool."""
    flow: Any = auth.flow(FlowRequest(method, url, content))
    request = next(flow)
    while True:
        raw = request.headers.raw
        response = await pool.request(method, request.url.request_url, headers=raw, body=content, **more)
        try:
            request = flow.send(FlowResponse(response.status_code, response.headers))
        except StopIteration:
            return response


def answers(*responses: FlowResponse) -> Callable[[FlowRequest], FlowResponse]:
    """Serves these, one after the other."""
    left: Iterator[FlowResponse] = iter(responses)
    return lambda request: next(left)
