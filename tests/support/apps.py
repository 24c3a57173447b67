"""ASGI apps for the tests, served by uvicorn and hypercorn in processes of their own."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import Any
from urllib.parse import parse_qs

PATTERN = bytes(range(251)) * 400
"""The text that `/size-N` repeats."""


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Responds to every request with hello; used by the pages of documentation."""
    while scope["type"] == "http" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"Hello, world"})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """/echo returns the body; /digest its length and SHA-256; /bytes?n=N returns N bytes; /gzip returns compressed
    text; /status?n=N returns that status; /slow answers after a second; /size-N as in `real_servers`; /trailers ends
    with a trailer, and /hints begins with a 103, if the server supports these; /version names the protocol,
    /field?name=N gives a field of the request; any other path returns hello and the request. A WebSocket to /refused is
    refused; any other receives its own messages, until it closes, or sends "bye".
    """
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await talk(scope["path"], receive, send)
        return
    path, query = scope["path"], parse_qs(scope["query_string"].decode())
    number = int(query.get("n", ["0"])[0])
    if path == "/bytes":
        await send_bytes(send, number)
    elif path == "/echo":
        await echo(receive, send)
    elif path == "/digest":
        digest, size = hashlib.sha256(), 0
        async for piece in pieces(receive):
            digest.update(piece)
            size += len(piece)
        await answer(send, f"{size} {digest.hexdigest()}".encode())
    elif path == "/gzip":
        await answer(send, gzip.compress(b"Hello, world" * 1000), (b"content-encoding", b"gzip"))
    elif path == "/status":
        await answer(send, b"", status=number)
    elif path == "/slow":
        await asyncio.sleep(1)
        await answer(send, b"at last")
    elif path.startswith("/size-"):
        await send_bytes(send, int(path[6:]), PATTERN)
    elif path == "/trailers":
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"Hello, world"})
        await send({"type": "http.response.trailers", "headers": [(b"x-word", b"fine")]})
    elif path == "/hints":
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
        await answer(send, b"Hello, world")
    elif path == "/version":
        await answer(send, scope["http_version"].encode())
    elif path == "/field":
        name = query["name"][0].encode()
        await answer(send, b", ".join([value for key, value in scope["headers"] if key == name]))
    elif path == "/hello":
        await answer(send, b"Hello, world")
    else:
        async for _ in pieces(receive):
            pass
        await answer(send, f"Hello, {scope['method']} {scope['raw_path'].decode()}".encode())


async def pieces(receive: Any) -> Any:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def answer(send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    fields = [(b"content-type", b"text/plain"), *headers]
    if status not in (204, 304):
        fields.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def send_bytes(send: Any, size: int, piece: bytes = bytes(65536)) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(size).encode())]})
    while size > 0:
        await send({"type": "http.response.body", "body": piece[:size], "more_body": True})
        size -= len(piece)
    await send({"type": "http.response.body"})


async def talk(path: str, receive: Any, send: Any) -> None:
    await receive()
    if path == "/refused":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "you said bye"})
            continue  # the loop ends when the client has closed too
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def echo(receive: Any, send: Any) -> None:
    """Streams the response while it receives the request."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    async for piece in pieces(receive):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})
