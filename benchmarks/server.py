"""nginx for the benchmarks: one worker on one core, plain, TLS and HTTP/2, files and a drain for uploads."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

PORTS = {"plain": 18970, "tls": 18972, "h2": 18973}
"""The last digit tells the clients what to speak: 3 is HTTP/2."""

CONFIGURATION = """
worker_processes 1; worker_cpu_affinity 10; error_log {folder}/error.log; pid {folder}/nginx.pid; daemon off; {user}
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type text/plain; client_max_body_size 0;
  keepalive_requests 100000000; keepalive_timeout 1000s; http2_max_concurrent_streams 5000; http2_recv_buffer_size 1m;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; root {folder};
  ssl_certificate {folder}/pem; ssl_certificate_key {folder}/pem;
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; listen 127.0.0.1:{h2} ssl http2;
    location = /hello {{ return 200 "Hello, world!"; }}
    location = /drain {{ return 200 "Thank you"; }}
    location / {{ }}
  }}
}}
"""


def url(way: str, path: str) -> str:
    """`way`: "plain", "tls" or "h2"."""
    return f"http{'' if way == 'plain' else 's'}://{'127.0.0.1' if way == 'plain' else 'localhost'}:{PORTS[way]}{path}"


@contextmanager
def nginx() -> Iterator[None]:
    import os

    import trustme

    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise SystemExit("nginx is needed as the server: apt-get install nginx-light")
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "pem")
        with (folder / "200m").open("wb") as file:
            for _ in range(200):
                file.write(bytes(1_000_000))
        settings = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        settings.write_text(CONFIGURATION.format(folder=folder, user=user, **PORTS))
        server = subprocess.Popen([found, "-c", str(settings), "-e", str(folder / "error.log")])
        try:
            time.sleep(1)
            if server.poll() is not None:
                raise SystemExit(f"nginx did not start: {(folder / 'error.log').read_text()}")
            yield
        finally:
            server.terminate()
            server.wait()
