"""A middleware of your own: it numbers requests, and reports the time until the head of each response."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import httpcore


class Numbered(httpcore.Middleware):
    """Sends `X-Request-Id` and calls `tell(number, status, seconds)`; works with `request` and `arequest` alike."""

    def __init__(self, tell: Callable[[int, int, float], object], transport: httpcore.Transport | None = None) -> None:
        super().__init__(transport)
        self._numbers = itertools.count(1)
        self._tell = tell

    async def handle(self, request: httpcore.TransportRequest) -> httpcore.TransportResponse:
        number, began = next(self._numbers), request.backend.now()
        request.fields().append((b"X-Request-Id", b"%d" % number))
        response = await self.send(request)
        self._tell(number, response.status_code, request.backend.now() - began)
        return response
