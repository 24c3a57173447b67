"""ASGI apps for the tests, served by uvicorn and hypercorn in processes of their own."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import Any
from urllib.parse import parse_qs


async def app(scope: Any, receive: Any, send: Any) -> None:
    """/echo gives the body back; /digest its length and SHA-256; /bytes?n=N gives N bytes; /gzip compressed text;
    /status?n=N that status; /slow answers after a second; anything else says hello and names the request.
    """
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
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


async def send_bytes(send: Any, size: int) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(size).encode())]})
    piece = bytes(65536)
    while size > 0:
        await send({"type": "http.response.body", "body": piece[:size], "more_body": True})
        size -= len(piece)
    await send({"type": "http.response.body"})


async def echo(receive: Any, send: Any) -> None:
    """Streams while it receives."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    async for piece in pieces(receive):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})
