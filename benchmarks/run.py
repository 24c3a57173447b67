"""What a small GET costs, beside our peers: interleaved rounds, medians, ratios. Run it with `scripts/bench [ROUNDS]`.

Absolute figures are this machine's; what counts is the ratio within one run. Every client runs in a process of its own,
pinned to one core, against nginx with one worker on another one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
OURS, PEERS = sys.argv[1], sys.argv[2]
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 5

# Scenario, operations, concurrency, connections, who takes part (ours first).
SCENARIOS = [
    ("sync, 1 at a time", 3000, 1, 1, ["httpcore", "httpcore2", "urllib3", "bare socket"]),
    ("asyncio, 1 at a time", 3000, 1, 1, ["httpcore async", "httpcore2 async", "aiohttp"]),
    ("asyncio, 100 at once", 4000, 100, 100, ["httpcore async", "httpcore2 async", "aiohttp"]),
    ("asyncio, 1,000 on 100 connections", 10000, 1000, 100, ["httpcore async"]),
    ("asyncio, 10,000 on 100 connections", 20000, 10000, 100, ["httpcore async"]),
]

CONFIGURATION = """
worker_processes 1; worker_cpu_affinity 10; error_log {folder}/error.log; pid {folder}/nginx.pid; daemon off;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type text/plain; keepalive_requests 100000000; keepalive_timeout 1000s;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "Hello, world!"; }} }}
}}
"""
PORT = 18973


def cost(client: str, operations: int, concurrency: int, connections: int) -> dict[str, float]:
    python = OURS if client.startswith("httpcore") and not client.startswith("httpcore2") else PEERS
    numbers = [str(operations), str(concurrency), str(connections)]
    command = [python, str(HERE / "client.py"), client, f"http://127.0.0.1:{PORT}/hello", *numbers]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    if done.returncode or not done.stdout.strip():
        raise SystemExit(f"{client} failed: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    print(
        f"CPU per small GET, medians of {ROUNDS} interleaved rounds; 'times ours' is the median of the rounds' ratios"
    )
    print(f"\n{'':36}{'client':18}{'cpu us':>9}{'wall us':>9}{'peak MB':>9}{'times ours':>12}")
    flat: dict[str, float] = {}
    for scenario, operations, concurrency, connections, clients in SCENARIOS:
        rounds = [
            {client: cost(client, operations, concurrency, connections) for client in clients} for _ in range(ROUNDS)
        ]
        for client in clients:
            cpu, wall, peak = (median(r[client][key] for r in rounds) for key in ("cpu_us", "wall_us", "peak_mb"))
            ratio = median(r[client]["cpu_us"] / r[clients[0]]["cpu_us"] for r in rounds)
            print(f"{scenario:36}{client:18}{cpu:9.1f}{wall:9.1f}{peak:9.0f}{ratio:12.2f}", flush=True)
            scenario = ""
            if client == "httpcore async":
                flat[f"{concurrency}"] = cpu
    print(f"\n10,000 waiting cost {flat['10000'] / flat['1000']:.2f} times what 1,000 do")


if __name__ == "__main__":
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(nginx).exists():
        raise SystemExit("nginx is needed as the server: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=PORT))
        server = subprocess.Popen([nginx, "-c", str(configuration)])
        try:
            time.sleep(1)
            if server.poll() is not None:
                raise SystemExit(f"nginx did not start: {(Path(folder) / 'error.log').read_text()}")
            main()
        finally:
            server.terminate()
            server.wait()
