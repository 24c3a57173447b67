"""An upstream with WebSockets, on Starlette: `uvicorn tests.support.websocket_upstream:app`."""

from __future__ import annotations

import asyncio
import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

closes: list[tuple[int, str]] = []


async def echo(socket: WebSocket) -> None:
    """Echoes each message, and closes after `close 4001 bye`; chooses the last of the offered subprotocols."""
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
    """Sends the path and the fields of the request that opened the WebSocket, and closes."""
    await socket.accept()
    path = socket.scope["raw_path"].decode() + "?" + socket.scope["query_string"].decode()
    pairs = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in socket.scope["headers"]]
    await socket.send_text(json.dumps({"path": path, "headers": pairs}))
    await socket.close()


async def many(socket: WebSocket) -> None:
    """Sends a megabyte in messages, as fast as possible, and closes."""
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


PAGE = """<!doctype html><title>WebSocket</title><script>
const report = {messages: []};
const place = path => `ws://${location.host}${path}`;
const told = event => [event.code, event.reason, event.wasClean];
const data = new Uint8Array(100_000).map((_, index) => index * 7 % 251);

function shut() {  // the browser closes
    const socket = new WebSocket(place("/echo"));
    socket.onopen = () => socket.close(4321, "enough");
    socket.onclose = event => {
        report.shut = told(event);
        refused();
    };
}

function refused() {  // what the upstream denies is no WebSocket, and a browser tells no more
    const socket = new WebSocket(place("/refuse"));
    socket.onclose = event => {
        report.refused = told(event);
        fetch("/report", {method: "POST", body: JSON.stringify(report)});
    };
}

const socket = new WebSocket(place("/echo"), ["one", "two"]);
socket.binaryType = "arraybuffer";
socket.onopen = () => {
    report.protocol = socket.protocol;
    socket.send("grüße");
    socket.send(data);
    socket.send("close 4001 bye");
};
socket.onmessage = event => {
    const bytes = new Uint8Array(event.data);
    const isText = typeof event.data === "string";
    report.messages.push(isText ? event.data : [bytes.length, bytes.every((byte, index) => byte === data[index])]);
};
socket.onclose = event => {
    report.closed = told(event);
    shut();
};
</script>"""
"""A page that opens WebSockets, one after the other, and reports their events."""

reports: asyncio.Queue[object] = asyncio.Queue()


async def page(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def report(request: Request) -> Response:
    """The events that the page has reported; the page itself sends POST."""
    if request.method == "GET":
        return JSONResponse(await reports.get())
    reports.put_nowait(await request.json())
    return Response(status_code=204)


app = Starlette(
    routes=[
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/fields", fields),
        WebSocketRoute("/many", many),
        WebSocketRoute("/refuse", refuse),
        WebSocketRoute("/shut", refuse_at_once),
        Route("/seen", seen),
        Route("/page", page),
        Route("/report", report, methods=["GET", "POST"]),
    ]
)
