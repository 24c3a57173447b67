"""The servers of the benchmarks, on one core of their own: nginx, and one that makes its clients hold connections."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent

CONFIGURATION = """
worker_processes 1; error_log {folder}/error.log; pid {folder}/nginx.pid; daemon off; {user}
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type text/plain; client_max_body_size 0;
  keepalive_requests 100000000; keepalive_timeout 1000s; http2_max_concurrent_streams 5000; http2_recv_buffer_size 1m;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; root {folder};
  ssl_certificate {folder}/pem; ssl_certificate_key {folder}/pem;
  upstream thanks {{ server 127.0.0.1:{plain}; keepalive 200; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; listen 127.0.0.1:{h2} ssl http2;
    location = /hello {{ return 200 "Hello, world!"; }}
    location /varied/ {{  # twelve fields, of which three are never the same
      add_header X-Request-Id $request_id; add_header X-Time $msec; add_header ETag "$request_id-$connection_requests";
      add_header Cache-Control "private, max-age=60"; add_header Vary "Accept-Encoding, Accept";
      add_header X-Frame-Options DENY; add_header Strict-Transport-Security "max-age=31536000";
      return 200 "Hello, world!";
    }}
    location = /drain {{  # answers when it has the whole body, which `return` by itself does not wait for
      client_body_buffer_size 256m; proxy_pass http://thanks/thanks; proxy_pass_request_body off;
      proxy_set_header Content-Length ""; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
    location = /thanks {{ return 200 "Thank you"; }}
    location / {{ }}
  }}
}}
"""


def program(name: str, package: str) -> str:
    """The path of a program; if it is not found, the run ends with an instruction to install it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(
            f"bench: {name} is not here. Debian: apt-get install {package}; scripts/install does it for root"
        )
    return found


def cores() -> list[int]:
    """The cores that we may use; empty if the system does not report them."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pinned(core: int) -> Callable[[], None]:
    """Runs in a new process: puts it on the first core (0) or on the last one (-1)."""

    def pin() -> None:
        if found := cores():
            os.sched_setaffinity(0, {found[core]})

    return pin


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in sockets]


def wait_for(port: int, process: subprocess.Popen[Any], complaint: Callable[[], str], seconds: float = 20) -> None:
    """Wait until a process listens on the port; `complaint` is the error output of a process that does not."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"bench: {process.args!r} does not listen: {complaint()}")


@contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """The URLs of the servers: "plain", "tls" and "h2" of nginx, "hold" and "hold tls" of `holding.py`."""
    import trustme

    nginx = program("nginx", "nginx-light")
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        pem = folder / "pem"
        trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
        for size in (50, 200):
            with (folder / f"{size}m").open("wb") as file:
                file.truncate(size * 1_000_000)
        plain, tls, h2, hold, hold_tls = free_ports(5)
        user = "user root;" if os.geteuid() == 0 else ""
        settings, log = folder / "nginx.conf", folder / "error.log"
        settings.write_text(CONFIGURATION.format(folder=folder, user=user, plain=plain, tls=tls, h2=h2))
        process = subprocess.Popen([nginx, "-c", str(settings), "-e", str(log)], preexec_fn=pinned(-1))
        stack.enter_context(ended(process))
        wait_for(plain, process, log.read_text)
        command = [sys.executable, str(HERE / "holding.py"), str(pem), str(hold), str(hold_tls)]
        process = subprocess.Popen(command, preexec_fn=pinned(-1))
        stack.enter_context(ended(process))
        wait_for(hold_tls, process, lambda: "its output is above")
        yield {
            "plain": f"http://127.0.0.1:{plain}",
            "tls": f"https://localhost:{tls}",
            "h2": f"https://localhost:{h2}",
            "hold": f"http://127.0.0.1:{hold}",
            "hold tls": f"https://localhost:{hold_tls}",
        }


def result_in(text: str) -> dict[str, Any] | None:
    """The output of a measuring process: JSON in its last line."""
    lines = text.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None
    return found
