"""What requests cost, beside our peers: interleaved rounds, medians, ratios. `scripts/bench [ROUNDS] [WORD]` runs it.

Absolute figures are this machine's; what counts is the ratio within one run. Every client runs in a process of its own,
pinned to one core, against nginx with one worker on another one. With a WORD, only the work whose name has it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

from server import nginx, url

HERE = Path(__file__).resolve().parent
OURS, PEERS = sys.argv[1], sys.argv[2]
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 5
WORD = sys.argv[4] if len(sys.argv) > 4 else ""


class Work(NamedTuple):
    """`clients`: ours first; the ratios are to it."""

    name: str
    clients: tuple[str, ...]
    way: str
    job: str
    operations: int
    concurrency: int = 1
    connections: int = 1
    loop: str = ""

    @property
    def url(self) -> str:
        return url(self.way, {"get": "/hello", "post": "/drain", "down": "/200m", "up": "/drain"}[self.job])


SYNC = ("httpcore", "bare socket", "pycurl", "httpcore2", "urllib3", "httpx2", "requests", "niquests")
ASYNC = ("httpcore async", "bare Protocol", "aiohttp", "pyreqwest", "httpcore2 async", "httpx2 async")
TRIO = ("httpcore trio", "httpcore2 trio")
H2 = ("httpcore async", "h2 alone", "pyreqwest", "httpcore2 async", "httpx2 async")

WORKS = [
    Work("sync GET", SYNC, "plain", "get", 3000),
    Work("sync GET, 16 threads", ("httpcore", "httpcore2", "urllib3"), "plain", "get", 8000, 16, 16),
    Work("asyncio GET", ASYNC, "plain", "get", 3000),
    Work("asyncio GET, 20 at once", ASYNC, "plain", "get", 6000, 20, 20),
    Work("asyncio GET, 100 at once", ASYNC, "plain", "get", 6000, 100, 100),
    Work("asyncio GET, 1,000 on 100", ("httpcore async", "aiohttp"), "plain", "get", 10000, 1000, 100),
    Work("asyncio GET, 10,000 on 100", ("httpcore async", "aiohttp"), "plain", "get", 20000, 10000, 100),
    Work("uvloop GET, 100 at once", ("httpcore async", "aiohttp"), "plain", "get", 6000, 100, 100, "uvloop"),
    Work("trio GET", TRIO, "plain", "get", 2000),
    Work("trio GET, 100 at once", TRIO, "plain", "get", 3000, 100, 100),
    Work("sync GET, TLS", ("httpcore", "pycurl", "httpcore2", "urllib3"), "tls", "get", 2000),
    Work(
        "asyncio GET, TLS, 100 at once", ("httpcore async", "aiohttp", "httpcore2 async"), "tls", "get", 4000, 100, 100
    ),
    Work("HTTP/2 GET, 100 at once", H2, "h2", "get", 4000, 100),
    Work("HTTP/2 GET, 3,000 at once", ("httpcore async",), "h2", "get", 12000, 3000),
    Work("HTTP/2 GET, sync", ("httpcore", "pycurl", "httpcore2"), "h2", "get", 2000),
    Work("HTTP/2 GET, trio, 100 at once", TRIO, "h2", "get", 3000, 100),
    Work("sync POST 10 KB", ("httpcore", "pycurl", "httpcore2", "urllib3"), "plain", "post", 3000),
    Work(
        "asyncio POST 10 KB, 100 at once",
        ("httpcore async", "aiohttp", "httpcore2 async"),
        "plain",
        "post",
        4000,
        100,
        100,
    ),
    Work("200 MB down, sync", ("httpcore", "bare socket", "pycurl", "httpcore2", "urllib3"), "plain", "down", 2),
    Work("200 MB down, asyncio", ("httpcore async", "aiohttp", "httpcore2 async"), "plain", "down", 2),
    Work("200 MB down, TLS, sync", ("httpcore", "pycurl", "httpcore2", "urllib3"), "tls", "down", 2),
    Work("200 MB down, TLS, asyncio", ("httpcore async", "aiohttp", "httpcore2 async"), "tls", "down", 2),
    Work("200 MB down, HTTP/2, sync", ("httpcore", "pycurl", "httpcore2"), "h2", "down", 2),
    Work("200 MB down, HTTP/2, asyncio", ("httpcore async", "httpcore2 async"), "h2", "down", 2),
    Work("200 MB up, sync", ("httpcore", "pycurl", "httpcore2", "urllib3"), "plain", "up", 2),
    Work("200 MB up, asyncio", ("httpcore async", "aiohttp", "httpcore2 async"), "plain", "up", 2),
    Work("200 MB up, TLS, sync", ("httpcore", "pycurl", "httpcore2", "urllib3"), "tls", "up", 2),
    Work("200 MB up, TLS, asyncio", ("httpcore async", "aiohttp", "httpcore2 async"), "tls", "up", 2),
    Work("200 MB up, HTTP/2, sync", ("httpcore", "pycurl", "httpcore2"), "h2", "up", 2),
    Work("200 MB up, HTTP/2, asyncio", ("httpcore async", "httpcore2 async"), "h2", "up", 2),
]


def cost(work: Work, client: str) -> dict[str, float] | None:
    """None when the client cannot do it."""
    python = OURS if client in ("httpcore", "httpcore async", "httpcore trio") else PEERS
    numbers = [str(number) for number in (work.operations, work.concurrency, work.connections)]
    command = [python, str(HERE / "client.py"), client, work.job, work.url, *numbers]
    environment = {**os.environ, "LOOP": work.loop}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE, env=environment, timeout=300)
    if done.returncode or not done.stdout.strip():
        print(f"{work.name}: {client} failed: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def measured(work: Work) -> dict[str, dict[str, float]]:
    """Of each client the medians of its rounds; `ratio` is the median of the rounds' ratios."""
    rounds = [{client: cost(work, client) for client in work.clients} for _ in range(ROUNDS)]
    medians: dict[str, dict[str, float]] = {}
    for client in work.clients:
        mine = [(found, base) for r in rounds if (found := r[client]) and (base := r[work.clients[0]])]
        if mine:
            medians[client] = {key: median(found[key] for found, _ in mine) for key in mine[0][0]}
            medians[client]["ratio"] = median(found["cpu_us"] / base["cpu_us"] for found, base in mine)
    return medians


def main() -> None:
    print(f"CPU per operation, medians of {ROUNDS} interleaved rounds; 'of ours' is the median of the rounds' ratios")
    print(f"\n{'':34}{'client':18}{'cpu us':>10}{'wall us':>10}{'peak MB':>9}{'of ours':>9}{'selects':>9}")
    ours: dict[str, float] = {}
    for work in WORKS:
        if WORD not in work.name:
            continue
        name = work.name
        for client, found in measured(work).items():
            selects = f"{found['selects']:9.2f}" if found.get("selects") else ""
            print(
                f"{name:34}{client:18}{found['cpu_us']:10.1f}{found['wall_us']:10.1f}{found['peak_mb']:9.0f}"
                f"{found['ratio']:9.2f}{selects}",
                flush=True,
            )
            name = ""
            if client == work.clients[0]:
                ours[work.name] = found["cpu_us"]
    for more, fewer in [
        ("asyncio GET, 10,000 on 100", "asyncio GET, 1,000 on 100"),
        ("HTTP/2 GET, 3,000 at once", "HTTP/2 GET, 100 at once"),
    ]:
        if more in ours and fewer in ours:
            print(f"{more}: {ours[more] / ours[fewer]:.2f} times the cost of {fewer}")


if __name__ == "__main__":
    with nginx():
        main()
