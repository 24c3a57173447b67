"""Gateways for the tests, configured by environment variables: `uvicorn tests.support.gateway_apps:plain`."""

from __future__ import annotations

import json
import os
from typing import Any

from httpcore.gateway import Gateway, Health, Limits, Router, Timeouts, Upstream, WebSockets, prometheus
from httpcore.gateway.messages import App, Receive, Scope, Send

UPSTREAMS = os.environ["UPSTREAMS"].split()
HEALTH = Health(**json.loads(os.environ.get("HEALTH", "{}")))
LIMITS = Limits(**json.loads(os.environ.get("LIMITS", "{}")))
TIMEOUTS = Timeouts(**json.loads(os.environ.get("TIMEOUTS", "{}")))
UPSTREAM: dict[str, Any] = json.loads(os.environ.get("UPSTREAM", "{}"))
OPTIONS: dict[str, Any] = json.loads(os.environ.get("OPTIONS", "{}"))
if isinstance(OPTIONS.get("websocket"), dict):
    OPTIONS["websocket"] = WebSockets(**OPTIONS["websocket"])

gateway = Gateway(
    [Upstream(url, **UPSTREAM) for url in UPSTREAMS],
    health=HEALTH,
    limits=LIMITS,
    timeouts=TIMEOUTS,
    name="gw",
    **OPTIONS,
)


def with_stats(app: App) -> App:
    """The app, with its statistics at `/-/stats`."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/-/stats":
            await app(scope, receive, send)
            return
        text = prometheus(gateway.stats()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": text})

    return wrapped


plain = with_stats(gateway)
trusting = Gateway(
    UPSTREAMS, trusted_proxies=["127.0.0.1"], forwarded=("x-forwarded", "forwarded", "x-real-ip"), name="gw"
)
wired = Router({"/trusted/": trusting}, gateway)
routed = Router({"/api/": gateway})
