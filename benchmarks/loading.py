"""A gateway under wrk, as JSON: `loading.py CLIENT LOOP UPSTREAM SECONDS CONNECTIONS [JOB]`.

JOB is "get" (13 bytes), "down" or "up" (50 MB); CLIENT one of `fronts.py`, or what is in the app of `gateways.py`.

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

from fronts import FRONTS
from server import ended, free_ports, pinned, program, wait_for

HERE = Path(__file__).resolve().parent


SIZE = 50_000_000
PATHS = {"get": "/hello", "down": "/50m", "up": "/drain"}
UP = f'wrk.method = "POST"; wrk.body = string.rep("x", {SIZE})'


def cost(url: str) -> dict[str, float]:
    """What the app says that its process has used."""
    with urllib.request.urlopen(f"{url}/-/cost", timeout=10) as response:
        found: dict[str, float] = json.loads(response.read())
    return found


def cost_of(process: int) -> dict[str, float]:
    """The same of a process that cannot be asked, by Linux: all its threads."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    used = sum(int(task.read_text().split()[0]) for task in tasks)
    peak = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process}/status").read_text())
    return {"cpu": used / 1e9, "peak_kb": int(peak[1]) if peak else 0}


def wrk(url: str, seconds: str, connections: str, *options: str) -> dict[str, float]:
    """Loads `url`; what wrk says. Slow clients may answer nothing in a short time."""
    command = [program("wrk", "wrk"), "-t", "1", "-c", connections, "-d", f"{seconds}s", "--timeout", "30s", *options]
    done = subprocess.run(
        [*command, url], capture_output=True, text=True, check=False, timeout=60, preexec_fn=pinned(-1)
    )
    count = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if done.returncode or not count or not rate:
        raise SystemExit(f"wrk failed: {done.stderr}{done.stdout}")
    if fault := re.search(r"(Socket errors|Non-2xx).*", done.stdout):
        raise SystemExit(f"the gateway failed: {fault[0]}")
    return {"requests": int(count[1]), "per_second": float(rate[1])}


def command_of(client: str, loop: str, upstream: str, port: int, folder: Path) -> list[str]:
    if client in FRONTS:
        return FRONTS[client](port, upstream, loop, folder)
    options = ["--port", str(port), "--loop", loop, "--http", "httptools", "--lifespan", "off"]
    return [sys.executable, "-m", "uvicorn", "gateways:app", *options, "--log-level", "error", "--no-access-log"]


def main(client: str, loop: str, upstream: str, seconds: str, connections: str, job: str = "get") -> None:
    program("wrk", "wrk")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    paths = f"{HERE}:{HERE.parent}"
    environment = {**os.environ, "CLIENT": client, "UPSTREAM": upstream, "PYTHONPATH": paths, "GOMAXPROCS": "1"}
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as facts:
        folder = Path(name)
        folder.chmod(0o755)
        script = folder / "up.lua"
        script.write_text(UP)
        more = ["-s", str(script)] if job == "up" else []
        command = command_of(client, loop, upstream, port, folder)
        process = subprocess.Popen(command, env=environment, stderr=facts, preexec_fn=pinned(0))

        def complaint() -> str:
            facts.seek(0)
            return facts.read()[-1000:]

        def used() -> dict[str, float]:
            return cost_of(process.pid) if client in FRONTS else cost(url)

        with ended(process):
            wait_for(port, process, complaint)
            wrk(url + PATHS[job], "1", connections, *more)
            before = used()
            found: dict[str, Any] = wrk(url + PATHS[job], seconds, connections, *more)
            after = used()
    if not found["requests"]:
        raise SystemExit(f"not one answer in {seconds} seconds")
    each = (after["cpu"] - before["cpu"]) / found["requests"]
    events = {"cpu_us": each * 1e6, "per_second": found["per_second"]}
    print(json.dumps({**events, "peak_mb": after["peak_kb"] / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:7])
