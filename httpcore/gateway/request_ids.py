"""Gives each request an id, X-Request-ID, which connects its lines in several logs. No RFC defines this field."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import count
from typing import Final

from .forwarding import networks_of
from .messages import App, Headers, Receive, Scope, Send, with_head

__all__ = ["RequestIds"]

_FIELD: Final = b"x-request-id"
_USABLE: Final = re.compile(rb"[!-~]{1,200}")


class RequestIds:
    """An ASGI app around another, which gives each HTTP request an id: in X-Request-ID to the upstream and to the
    client, and in the gateway's log.

    Arguments:
        app: a `Gateway`, a `Router` or any other ASGI app.
        trusted_proxies: networks and addresses of proxies whose ids are kept, if they are 1 to 200 visible ASCII
            characters. All other requests get a new id. Default (): none.

    Raises:
        TypeError, ValueError: one of them is neither a network nor an address.
    """

    def __init__(self, app: App, trusted_proxies: Sequence[str] = ()) -> None:
        self._app = app
        self._networks = networks_of(trusted_proxies)
        self._prefix = os.urandom(8).hex().encode()  # one for each process
        self._numbers = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: Headers = []
        given: Headers = []
        for pair in scope["headers"]:
            (given if pair[0] == _FIELD else headers).append(pair)
        mine = _FIELD, self._trusted_id(scope, given) or b"%b-%x" % (self._prefix, next(self._numbers))
        headers.append(mine)

        def marked(headers: Headers) -> Headers:
            return [*_others(headers), mine]

        await self._app({**scope, "headers": headers}, receive, with_head(send, marked))

    def _trusted_id(self, scope: Scope, given: Headers) -> bytes | None:
        """The id that a trusted proxy has given the request; None if there is none that can be used."""
        client = scope.get("client")
        if len(given) != 1 or self._networks is None or client is None or not self._networks[client[0]]:
            return None
        value = given[0][1]
        return value if _USABLE.fullmatch(value) else None


def _others(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name != _FIELD]
