"""A gateway under wrk, as JSON: `loading.py CLIENT LOOP UPSTREAM SECONDS CONNECTIONS`.

The gateway has the first core, wrk the last one, as the upstream has.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from server import ended, free_ports, pinned, program, wait_for

HERE = Path(__file__).resolve().parent


def cost(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/-/cost", timeout=10) as response:
        found: dict[str, float] = json.loads(response.read())
    return found


def wrk(url: str, seconds: str, connections: str) -> dict[str, float]:
    """Loads `url`; what wrk says. Slow clients may answer nothing in a short time."""
    command = [program("wrk", "wrk"), "-t", "1", "-c", connections, "-d", f"{seconds}s", "--timeout", "30s", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, preexec_fn=pinned(-1))
    count = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if done.returncode or not count or not rate:
        raise SystemExit(f"wrk failed: {done.stderr}{done.stdout}")
    if fault := re.search(r"(Socket errors|Non-2xx).*", done.stdout):
        raise SystemExit(f"the gateway failed: {fault[0]}")
    return {"requests": int(count[1]), "per_second": float(rate[1])}


def main(client: str, loop: str, upstream: str, seconds: str, connections: str) -> None:
    program("wrk", "wrk")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    options = ["--port", str(port), "--loop", loop, "--http", "httptools", "--lifespan", "off"]
    command = [sys.executable, "-m", "uvicorn", "gateways:app", *options, "--log-level", "error", "--no-access-log"]
    environment = {**os.environ, "CLIENT": client, "UPSTREAM": upstream, "PYTHONPATH": f"{HERE}:{HERE.parent}"}
    with tempfile.TemporaryFile("w+") as facts:
        process = subprocess.Popen(command, env=environment, stderr=facts, preexec_fn=pinned(0))

        def complaint() -> str:
            facts.seek(0)
            return facts.read()[-1000:]

        with ended(process):
            wait_for(port, process, complaint)
            wrk(f"{url}/hello", "1", connections)
            before = cost(url)
            found: dict[str, Any] = wrk(f"{url}/hello", seconds, connections)
            after = cost(url)
    if not found["requests"]:
        raise SystemExit(f"not one answer in {seconds} seconds")
    used = after["cpu"] - before["cpu"]
    events = {"cpu_us": used / found["requests"] * 1e6, "per_second": found["per_second"]}
    print(json.dumps({**events, "peak_mb": after["peak_kb"] / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:6])
