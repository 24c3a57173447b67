"""Flows of authentication, driven by hand or over a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from httpcore import ClientResponse, Request
from httpcore._client.auth import Auth


def play(auth: Auth, request: Request, serve: Callable[[Request], ClientResponse]) -> ClientResponse:
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
    flow: Any = auth.flow(Request(method, url, content=content))
    request = next(flow)
    while True:
        raw = request.headers.raw
        response = await pool.request(method, request.url.request_url, headers=raw, body=content, **more)
        try:
            request = flow.send(ClientResponse(response.status_code, headers=response.headers))
        except StopIteration:
            return response


def answers(*responses: ClientResponse) -> Callable[[Request], ClientResponse]:
    """Serves these responses, one after the other."""
    left: Iterator[ClientResponse] = iter(responses)
    return lambda request: next(left)
