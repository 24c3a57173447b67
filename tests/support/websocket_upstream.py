"""An upstream with WebSockets, on Starlette: `uvicorn tests.support.websocket_upstream:app`."""

from __future__ import annotations

import asyncio
import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

closes: list[tuple[int, str]] = []


async def echo(socket: WebSocket) -> None:
    """Echoes. `close 4001 bye` closes; of the subprotocols that are offered the last is chosen."""
    offered = socket.scope["subprotocols"]
    await socket.accept(offered[-1] if offered else None, [(b"set-cookie", b"a=1"), (b"x-upstream", b"yes")])
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"], message.get("reason"))
            text = message.get("text")
            if text is None:
                await socket.send_bytes(message["bytes"])
            elif text.startswith("close "):
                _, code, reason = text.split(" ", 2)
                await socket.close(int(code), reason)
                return
            else:
                await socket.send_text(text)
    except WebSocketDisconnect as left:
        closes.append((left.code, left.reason or ""))


async def fields(socket: WebSocket) -> None:
    """Sends the request that opened it, and closes."""
    await socket.accept()
    path = socket.scope["raw_path"].decode() + "?" + socket.scope["query_string"].decode()
    pairs = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in socket.scope["headers"]]
    await socket.send_text(json.dumps({"path": path, "headers": pairs}))
    await socket.close()


async def many(socket: WebSocket) -> None:
    """Sends a megabyte in messages, as fast as it may, and closes."""
    await socket.accept()
    for number in range(64):
        await socket.send_bytes(bytes([number]) * 16384)
    await socket.close()


async def refuse(socket: WebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse("no entry", 401, {"WWW-Authenticate": "Basic"}))


async def refuse_at_once(socket: WebSocket) -> None:
    await socket.close()


async def seen(request: Request) -> Response:
    """How the sockets of `echo` were closed, when there are as many as `?count=` requires."""
    for _ in range(200):
        if len(closes) >= int(request.query_params["count"]):
            break
        await asyncio.sleep(0.01)
    found = [*closes]
    closes.clear()
    return JSONResponse(found)


app = Starlette(
    routes=[
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/fields", fields),
        WebSocketRoute("/many", many),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/shut", refuse_at_once),
        Route("/seen", seen),
    ]
)
