"""A gateway: an ASGI app that forwards every request to one upstream, streaming both ways.

    UPSTREAM=http://127.0.0.1:9000 uvicorn examples.gateway:app

Path, query, body and its content coding go on byte for byte, and so does a response that begins during the upload.
What concerns one hop only is taken out (RFC 9110 section 7.6.1). An upstream that cannot be reached or breaks HTTP is
a 502, one that takes too long a 504, too many requests at once a 503. Once the response has begun all that is left is
to break it off. A client that leaves cancels its request.

An https upstream is checked against certifi's bundle, or the one that UPSTREAM_CA names. UPSTREAM_TIMEOUT is how many
seconds it may be silent, 60 when it is not set.

Host names the upstream; what the client asked for is in X-Forwarded-Host. uvicorn adds Date and Server by itself, so
the upstream's are left out; with `--no-date-header --no-server-header`, set FORWARD_DATE=1 to hand them on instead.
Trailers and 1xx responses end here, since ASGI has no common way to pass them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpcore

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

TIMEOUT = float(os.environ.get("UPSTREAM_TIMEOUT", "60"))
LOOK = 0.05  # seconds between two looks for a response that begins while the client sends nothing

ONE_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection".split()
    + b"te trailer transfer-encoding upgrade".split()
)
OURS = frozenset((b"host", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))
THE_SERVERS = frozenset() if os.environ.get("FORWARD_DATE") else frozenset((b"date", b"server"))


STATUS_OF: list[tuple[type[httpcore.HTTPCoreError], int]] = [
    (httpcore.LocalProtocolError, 400),  # the client's request cannot be sent on
    (httpcore.PoolTimeout, 503),
    (httpcore.PoolClosed, 503),
    (httpcore.Timeout, 504),
    (httpcore.HTTPCoreError, 502),
]


class ClientLeft(Exception):
    """The client went away in the middle of its request's body."""


def end_to_end(headers: Headers, without: frozenset[bytes]) -> Headers:
    """The headers that are not for this hop only, those that `Connection` names included."""
    named = [value for name, value in headers if name == b"connection"]
    dropped = ONE_HOP | without | {word.strip().lower() for word in b",".join(named).split(b",")}
    return [(name, value) for name, value in headers if name not in dropped]


def forwarded(scope: Scope) -> Headers:
    """The request's headers for the upstream, with what a gateway says of itself."""
    given: Headers = scope["headers"]

    def appended(name: bytes, mine: bytes) -> tuple[bytes, bytes]:
        return name, b", ".join([value for key, value in given if key == name] + [mine])

    headers = end_to_end(given, OURS)
    headers.append(appended(b"via", scope["http_version"].encode() + b" gateway"))
    if scope.get("client"):
        headers.append(appended(b"x-forwarded-for", scope["client"][0].encode()))
    headers += [(b"x-forwarded-host", value) for name, value in given if name == b"host"]
    headers.append((b"x-forwarded-proto", scope["scheme"].encode()))
    return headers


class Gateway:
    """The ASGI app. `upstream` is a URL; a path in it comes before every request's path."""

    def __init__(self, upstream: str, http: httpcore.ConnectionPool | None = None) -> None:
        self.upstream = upstream.rstrip("/")
        self.prefix = path_of(self.upstream)
        self.http = http or httpcore.ConnectionPool(
            ssl=httpcore.SSLConfig(verify=os.environ.get("UPSTREAM_CA") or True),
            timeout=httpcore.TimeoutConfig(TIMEOUT, connect_timeout=5, pool_timeout=5),
            limits=httpcore.PoolLimits(max_connections=1000),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["type"] == "http":
            await self.serve(scope, receive, send)
        else:  # a WebSocket, refused before it is accepted: the server answers 403
            await send({"type": "websocket.close", "code": 1008, "reason": "this gateway forwards HTTP only"})

    async def live(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                await self.http.close()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request, until the answer is out or the client has left."""
        body_is_over = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            coming = asyncio.ensure_future(receive())
            try:
                while True:
                    if not (await asyncio.wait({coming}, timeout=LOOK))[0]:
                        yield b""  # nothing to send: an occasion to look for the response
                        continue
                    message = coming.result()
                    if message["type"] == "http.disconnect":
                        raise ClientLeft
                    if message.get("more_body"):
                        coming = asyncio.ensure_future(receive())
                    yield message.get("body", b"")
                    if not message.get("more_body"):
                        return
            finally:
                coming.cancel()
                body_is_over.set()

        names = {name for name, _ in scope["headers"]}
        framed = not names.isdisjoint((b"content-length", b"transfer-encoding"))
        has_body = framed or scope["http_version"].startswith("2")  # HTTP/2 need not say
        if not has_body:
            body_is_over.set()
        exchange = asyncio.ensure_future(self.exchange(scope, body() if has_body else None, send))

        async def client_leaves() -> None:
            await body_is_over.wait()  # until then the body's reader is the one who notices
            while (await receive())["type"] != "http.disconnect":
                pass
            exchange.cancel()

        leaving = asyncio.ensure_future(client_leaves())
        try:
            await exchange
        except ClientLeft:
            pass
        except asyncio.CancelledError:
            if not leaving.done():
                raise  # the server cancels us
        finally:
            leaving.cancel()

    async def exchange(self, scope: Scope, body: AsyncIterator[bytes] | None, send: Send) -> None:
        target = self.prefix + scope["raw_path"]
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        try:
            response = await self.http.request(
                *(scope["method"], self.upstream + "/", forwarded(scope), body),
                stream=True,
                target=target,
                duplex=body is not None,
            )
        except httpcore.HTTPCoreError as error:
            await self.refuse(send, error)
            return
        async with response:
            headers = end_to_end(response.headers, THE_SERVERS)
            await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
            if response.connection is None or body is None:
                async for piece in response.raw():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            else:
                await self.both_ways(response.connection, body, send)
            await send({"type": "http.response.body"})

    async def both_ways(self, upstream: httpcore.RawStream, body: AsyncIterator[bytes], send: Send) -> None:
        """Hand on the response while the request goes on."""
        sending = asyncio.ensure_future(self.send_rest(upstream, body))
        try:
            while piece := await upstream.recv():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if sending.done():
                await sending  # the client may have left
        finally:
            sending.cancel()
            upstream.close()

    async def send_rest(self, upstream: httpcore.RawStream, body: AsyncIterator[bytes]) -> None:
        try:
            async for piece in body:
                if piece:
                    await upstream.send(piece)
            await upstream.end()
        except httpcore.HTTPCoreError:
            pass  # it wants no more of it: the response says why, or that too ends with an error
        except ClientLeft:
            upstream.close()
            raise

    async def refuse(self, send: Send, error: httpcore.HTTPCoreError) -> None:
        """Answer in the upstream's place. The client learns the kind of error, not our addresses."""
        status = next(status for kind, status in STATUS_OF if isinstance(error, kind))
        text = f"{type(error).__name__}\n".encode()
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})


def path_of(url: str) -> bytes:
    """The path of a URL, as bytes; nothing for the root."""
    _, _, rest = url.partition("://")
    _, slash, path = rest.partition("/")
    return (slash + path).encode("ascii")


app = Gateway(os.environ.get("UPSTREAM", "http://127.0.0.1:9000"))
