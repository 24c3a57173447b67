"""`httpcore.gateway`, unchanged or with another client in it, which `CLIENT` names. Served by uvicorn.

The app is the same object of the same class: only the object that requests the upstream's response is replaced.
`/-/cost` returns the resources that this process has used so far, and a floor answers by itself, without any upstream.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from httpcore.gateway import Gateway, Limits, RequestIds, Timeouts, Upstream
from httpcore.gateway.messages import App, Headers, Receive, Scope, Send

CLIENT = os.environ["CLIENT"]
UPSTREAM = os.environ["UPSTREAM"]


class Answer:
    """The attributes of a response that the gateway uses, around a peer's response."""

    def __init__(self, status: int, headers: Headers, raw: AsyncIterator[bytes], close: Callable[[], Any]) -> None:
        self.status_code = status
        self.protocol = "HTTP/1.1"
        self.is_closed = False
        self.connection = None
        self.headers = [(name.lower(), value) for name, value in headers]
        self._raw = raw
        self.close = close

    def _buffered_body(self) -> None:
        """A peer returns its body piece by piece."""

    def raw(self) -> AsyncIterator[bytes]:
        return self._raw


def content_of(body: Any) -> Any:
    """A body in the form that these clients accept."""
    return body() if callable(body) else body or None


class OnHttpx2:
    """httpx2, without the headers that its client adds."""

    def __init__(self) -> None:
        import httpx2

        self.make = httpx2.Request
        limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=1000)
        self.client = httpx2.AsyncClient(limits=limits, timeout=60)

    async def request(
        self, method: str, url: str, headers: Headers, body: Any, stream: bool, *, target: bytes, **_: object
    ) -> Any:
        request = self.make(method, url[:-1] + target.decode(), headers=headers, content=content_of(body))
        response = await self.client.send(request, stream=stream)
        return Answer(response.status_code, response.headers.raw, response.aiter_raw(), response.aclose)

    async def close(self) -> None:
        await self.client.aclose()


class OnAiohttp:
    """aiohttp, without the headers that it adds, cookies and decoding."""

    session: Any = None

    def make(self) -> Any:
        """Called in a running loop."""
        import aiohttp

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1000),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
            auto_decompress=False,
        )

    async def request(
        self, method: str, url: str, headers: Headers, body: Any, stream: bool, *, target: bytes, **_: object
    ) -> Any:
        from yarl import URL

        if self.session is None:
            self.session = self.make()
        response = await self.session.request(
            method,
            URL(url[:-1] + target.decode(), encoded=True),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
            data=content_of(body),
            allow_redirects=False,
        )

        async def close() -> None:
            response.release()

        return Answer(response.status, response.raw_headers, response.content.iter_any(), close)

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()


async def alone(scope: Scope, receive: Receive, send: Send) -> None:
    """The floor: the cost of uvicorn and this process without an upstream. It is the upstream of the WebSockets."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, world!"})


def with_all_on() -> App:
    """Two upstreams, with every setting that has a cost: ids, fields of trusted proxies, limits, a retry, a line for
    each request, which is written and dropped.
    """
    log = logging.getLogger("all-on")
    log.addHandler(logging.StreamHandler(open(os.devnull, "w")))  # noqa: SIM115 - as long as the process
    log.setLevel(logging.INFO)
    log.propagate = False
    gateway = Gateway(
        [UPSTREAM, UPSTREAM.replace("127.0.0.1", "localhost")],
        limits=Limits(concurrent=1000, queue=1000, body=1_000_000_000),
        retries=2,
        trusted_proxies=["127.0.0.0/8"],
        forwarded=("x-forwarded", "forwarded", "x-real-ip"),
        timeouts=Timeouts(first_byte=30, idle=30, total=300),
        log=log,
    )
    return RequestIds(gateway, ["127.0.0.0/8"])


def inner() -> Any:
    if CLIENT == "bare uvicorn":
        return alone
    if CLIENT == "httpcore all on async":
        return with_all_on()
    clients: dict[str, Callable[[], Any]] = {"httpcore": lambda: None, "httpx2": OnHttpx2, "aiohttp": OnAiohttp}
    return Gateway(Upstream(UPSTREAM, pool=clients[CLIENT.removesuffix(" async")]()))


GATEWAY = inner()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http" or scope["path"] != "/-/cost":
        await GATEWAY(scope, receive, send)
        return
    used = {"cpu": time.process_time(), "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(used).encode()})
