"""Widely used servers with HTTP/2, in processes of their own: nginx, nghttpd and hypercorn.

All of them serve `/hello`, and `/size-N` for each of `SIZES`.
"""

from __future__ import annotations

import getpass
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from apps import PATTERN
from servers import free_port, process


class Ports(NamedTuple):
    plain: int
    secure: int
    tired: int = 0


def patterned(size: int) -> bytes:
    """The body of `/size-N`, for small N."""
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


SIZES = (0, 1, 100, 16_384, 16_385, 65_536, 200_000, 100_000_000)
"""The sizes N of the served files."""


def program(name: str) -> str:
    """The path of a server of Debian; without it the test is skipped, except on CI, where that is a failure."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no {name} here: run scripts/install")
    return found


def documents(folder: Path) -> Path:
    """A folder of files, `size-N` for each of `SIZES` and `hello`."""
    place = folder / "documents"
    place.mkdir()
    (place / "hello").write_bytes(b"Hello, world")
    for size in SIZES:
        with (place / f"size-{size}").open("wb") as file:
            for _ in range(size // len(PATTERN)):
                file.write(PATTERN)
            file.write(PATTERN[: size % len(PATTERN)])
    folder.chmod(0o755)
    return place


NGINX = """
worker_processes 1; daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/octet-stream; keepalive_timeout 1000s; client_max_body_size 0;
  keepalive_requests 100000000; http2_max_concurrent_streams 4000; http2_recv_buffer_size 1m;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  ssl_certificate {pem}; ssl_certificate_key {pem}; ssl_protocols TLSv1.2 TLSv1.3;
  upstream app {{ server 127.0.0.1:{app}; keepalive 32; }}
  server {{
    listen 127.0.0.1:{plain} http2; listen 127.0.0.1:{secure} ssl http2;
    root {documents};
    location = /hello {{ }}
    location /size- {{ }}
    location /trailers {{ add_trailer x-sent $body_bytes_sent; add_trailer x-word fine; return 200 "Hello, world"; }}
    location /small {{ client_max_body_size 1m; proxy_pass http://app; }}
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
    }}
  }}
  server {{
    listen 127.0.0.1:{tired} http2; keepalive_requests 50; root {documents};
  }}
}}
"""


@contextmanager
def nginx(folder: Path, pem: Path, app: int) -> Iterator[Ports]:
    """nginx with HTTP/2 everywhere: files, `/trailers`, and all other paths are forwarded to the `app` on that port.
    Requests to `/small` may have a megabyte. On the third port a connection serves at most 50 requests.
    """
    place = folder / "nginx"
    place.mkdir()
    ports = Ports(*(free_port() for _ in range(3)))
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""  # nginx must read a folder of this user
    (place / "nginx.conf").write_text(
        NGINX.format(folder=place, documents=folder / "documents", pem=pem, app=app, user=user, **ports._asdict())
    )
    with process([program("nginx"), "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")], ports.plain):
        yield ports


NGINX_OF_ONE_VERSION = """
worker_processes 1; daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl http2; ssl_certificate {pem}; ssl_certificate_key {pem};
    ssl_protocols {protocols}; ssl_ciphers {ciphers}; return 200 $ssl_protocol/$ssl_cipher;
  }}
}}
"""


@contextmanager
def nginx_of_one_version(folder: Path, pem: Path, protocols: str, ciphers: str = "DEFAULT") -> Iterator[int]:
    """nginx that supports only these versions of TLS, and answers with the version and cipher that were agreed on."""
    place = folder / f"nginx-{protocols}"
    place.mkdir()
    port = free_port()
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    text = NGINX_OF_ONE_VERSION.format(
        folder=place, port=port, pem=pem, protocols=protocols, ciphers=ciphers, user=user
    )
    (place / "nginx.conf").write_text(text)
    with process([program("nginx"), "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")], port):
        yield port


NGINX_THAT_ASKS = """
worker_processes 1; daemon off; error_log {folder}/error.log; pid {folder}/nginx.pid; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  ssl_certificate {pem}; ssl_certificate_key {pem}; ssl_protocols TLSv1.2 TLSv1.3;
  ssl_client_certificate {authority};
  server {{ listen 127.0.0.1:{secure} ssl http2; ssl_verify_client optional; return 200 "$ssl_client_s_dn"; }}
}}
"""


@contextmanager
def nginx_that_asks(folder: Path, pem: Path, authority: Path) -> Iterator[int]:
    """nginx that requests a certificate of the authority, and answers with its subject, or with an empty body if the
    client sends no certificate. It answers 400 to a request under a certificate that it does not accept.
    """
    place = folder / "nginx-that-asks"
    place.mkdir()
    port = free_port()
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    files = {"folder": place, "pem": pem, "authority": authority}
    (place / "nginx.conf").write_text(NGINX_THAT_ASKS.format(secure=port, user=user, **files))
    with process([program("nginx"), "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")], port):
        yield port


@contextmanager
def nghttpd(folder: Path, pem: Path) -> Iterator[Ports]:
    """nghttpd, plain and over TLS: files with the trailer `x-word: fine`; posted bodies are returned."""
    plain, secure = free_port(), free_port()
    options = ["--address=127.0.0.1", f"--htdocs={folder / 'documents'}", "--max-concurrent-streams=1000"]
    command = [program("nghttpd"), *options, "--echo-upload", "--trailer=x-word: fine"]
    with (
        process([*command, "--no-tls", str(plain)], plain),
        process([*command, str(secure), str(pem), str(pem)], secure),
    ):
        yield Ports(plain, secure)


@contextmanager
def hypercorn(folder: Path, pem: Path) -> Iterator[Ports]:
    """hypercorn serving tests/support/apps.py, plain and over TLS, on uvloop."""
    plain, secure = free_port(), free_port()
    settings = folder / "hypercorn.toml"
    settings.write_text(
        f'bind = ["127.0.0.1:{secure}"]\ninsecure_bind = ["127.0.0.1:{plain}"]\nkeyfile = "{pem}"\ncertfile = "{pem}"\n'
        'h2_max_concurrent_streams = 1000\nkeep_alive_max_requests = 100000000\nworker_class = "uvloop"\n'
        "graceful_timeout = 0\n"
    )
    command = [sys.executable, "-m", "hypercorn", "--config", str(settings), "tests.support.apps:app"]
    with process(command, plain):
        yield Ports(plain, secure)
