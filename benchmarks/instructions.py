"""Counts the instructions of one warm GET with cachegrind, for this checkout or for several, side by side.

    instructions.py [--only WORD] [--most RATIO] [--requests FEW MANY] [CHECKOUT ...]

A time depends on other work of the machine, an instruction count hardly does: the same code gives the same figure
within 0.5 %. Only instructions in user space are counted, not those of the kernel. The figure of one GET is the
difference of two runs, of 300 and of 1,300 requests, so that the start of the interpreter and the warming of caches
do not count. The server, nginx, runs outside.

With several checkouts the first one is the base: each other one is written as a ratio to it, and with `--most` the exit
code is 1 if a ratio is above it. Other versions of Python, and other builds of one version, need other numbers of
instructions: compare only figures of the same Python.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from server import program, servers

PROJECT = Path(__file__).resolve().parent.parent
FEW, MANY = 300, 1_300
"""Requests of the two runs whose difference is taken."""

PRELUDE = """
import os, sys
sys.path.insert(0, os.getcwd())
import httpcore
assert httpcore.__file__.startswith(os.getcwd() + os.sep), httpcore.__file__
url, count = sys.argv[1], int(sys.argv[2])
FIELDS = [(b"accept", b"*/*"), (b"accept-encoding", b"gzip"), (b"user-agent", b"benchmark/1"), (b"x-a", b"1")]
def repeated(number):
    return url, []
def varied(number):
    return f"{url}/varied/{number}?page={number}", [*FIELDS, (b"x-request-number", b"%d" % number)]
def check(response):
    assert response.status_code == 200 and response.body == b"Hello, world!"
    return len(response.headers)
ssl = httpcore.SSLConfig(verify=False)
"""

SYNC = """
http = httpcore.SyncConnectionPool()
for number in range(count):
    target, headers = WHICH(number)
    check(http.request("GET", target, headers))
os._exit(0)
"""

ASYNC = """
import asyncio
async def main():
    http = httpcore.ConnectionPool(ssl=ssl, limits=httpcore.PoolLimits(max_connections=CONNECTIONS))
    numbers = iter(range(count))
    async def worker():
        for number in numbers:
            target, headers = WHICH(number)
            check(await http.request("GET", target, headers))
    await asyncio.gather(*[worker() for _ in range(TASKS)])
    os._exit(0)
asyncio.run(main())
"""


TRANSPORT = """
transport = httpcore.HTTPTransport()
for number in range(count):
    with transport.request("GET", url) as (status_code, fields, stream, extensions):
        assert status_code == 200 and b"".join(stream) == b"Hello, world!" and len(fields)
os._exit(0)
"""

ASYNC_TRANSPORT = """
import asyncio
async def main():
    transport = httpcore.HTTPTransport()
    for number in range(count):
        async with transport.arequest("GET", url) as (status_code, fields, stream, extensions):
            body = b"".join([piece async for piece in stream])
            assert status_code == 200 and body == b"Hello, world!" and len(fields)
    os._exit(0)
asyncio.run(main())
"""

GATEWAY = """
import asyncio, logging, uvloop
from httpcore.gateway import Gateway, Limits, RequestIds, Timeouts, Upstream
from urllib.parse import urlsplit
place, path = "{0.scheme}://{0.netloc}".format(urlsplit(url)), urlsplit(url).path
def nothing_on():
    return Gateway([place])
def everything_on():
    log = logging.getLogger("everything-on")
    log.addHandler(logging.StreamHandler(open(os.devnull, "w")))
    log.setLevel(logging.INFO)
    log.propagate = False
    gateway = Gateway(
        [place, place.replace("127.0.0.1", "localhost")],
        limits=Limits(concurrent=1000, queue=1000, body=1_000_000_000), retries=2,
        trusted_proxies=["127.0.0.0/8"], forwarded=("x-forwarded", "forwarded", "x-real-ip"),
        timeouts=Timeouts(first_byte=30, idle=30, total=300), log=log,
    )
    return RequestIds(gateway, ["127.0.0.0/8"])
SCOPE = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "scheme": "http",
         "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 50000), "root_path": "", "method": "GET",
         "query_string": b"", "state": {}}
HEADERS = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"benchmark/1"), (b"accept", b"*/*")]
def repeated(number):
    return {**SCOPE, "path": path, "raw_path": path.encode(), "headers": HEADERS[:]}
def varied(number):
    target = f"/varied/{number}"
    headers = [*HEADERS, *FIELDS[1:], (b"x-request-number", b"%d" % number)]
    query = b"page=%d" % number
    return {**SCOPE, "path": target, "raw_path": target.encode(), "query_string": query, "headers": headers}
async def main():
    app = APP()
    loop = asyncio.get_running_loop()
    numbers = iter(range(count))
    async def receive():
        await loop.create_future()
    async def worker():
        for number in numbers:
            sent = []
            async def send(message):
                sent.append(message)
            await app(WHICH(number), receive, send)
            assert sent[0]["status"] == 200 and sent[-1]["body"] == b"Hello, world!", sent
    await asyncio.gather(*[worker() for _ in range(64)])
    os._exit(0)
uvloop.run(main())
"""
"""The app of a gateway alone, called as a server calls it, on uvloop: the cost of a server in front is not counted."""


def asynchronous(which: str, tasks: int, connections: int) -> str:
    text = ASYNC.replace("WHICH", which).replace("TASKS", str(tasks))
    return PRELUDE + text.replace("CONNECTIONS", str(connections))


def gateway(app: str, which: str) -> str:
    return PRELUDE + GATEWAY.replace("APP", app).replace("WHICH", which)


# Each work: the server's name in `servers()`, its path, and the program.
WORKS: dict[str, tuple[str, str, str]] = {
    "GET, threads": ("plain", "/hello", PRELUDE + SYNC.replace("WHICH", "repeated")),
    "GET, asyncio": ("plain", "/hello", asynchronous("repeated", 1, 1)),
    "GET, asyncio, 100 at once": ("plain", "/hello", asynchronous("repeated", 100, 100)),
    "GET, HTTP/2, 100 at once": ("h2", "/hello", asynchronous("repeated", 100, 1)),
    "transport, threads": ("plain", "/hello", PRELUDE + TRANSPORT),
    "transport, asyncio": ("plain", "/hello", PRELUDE + ASYNC_TRANSPORT),
    "varied, threads": ("plain", "", PRELUDE + SYNC.replace("WHICH", "varied")),
    "varied, asyncio, 100 at once": ("plain", "", asynchronous("varied", 100, 100)),
    "varied, HTTP/2, 100 at once": ("h2", "", asynchronous("varied", 100, 1)),
    "gateway, nothing on": ("plain", "/hello", gateway("nothing_on", "repeated")),
    "gateway, everything on": ("plain", "/hello", gateway("everything_on", "repeated")),
    "gateway, everything on, varied": ("plain", "", gateway("everything_on", "varied")),
}


TRANSPORTS = "httpcore/_transports"
WITHOUT_TRANSPORTS = {code for name, (_, _, code) in WORKS.items() if not name.startswith("transport")}
"""Work that older checkouts support too."""


def python_build() -> str:
    """Version and kind of build: profile-guided builds need fewer instructions than others for the same code."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    kind = "with PGO" if "--enable-optimizations" in options else "without PGO"
    return f"{sys.implementation.name} {sys.version.split()[0]} ({kind})"


def run(checkout: Path, *command: str) -> str:
    """What the command wrote to stderr; a failure ends this program."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    if done.returncode:
        raise SystemExit(f"instructions: the run failed in {checkout}:\n{done.stderr}")
    return done.stderr


def instructions(checkout: Path, code: str, url: str, count: int) -> int:
    """The instructions of a whole process that makes `count` requests."""
    with tempfile.NamedTemporaryFile() as out:
        counter = (
            program("valgrind", "valgrind"),
            "--tool=cachegrind",
            "--cache-sim=no",
            f"--cachegrind-out-file={out.name}",
        )
        text = run(checkout, *counter, sys.executable, "-c", code, url, str(count))
    found = re.search(r"I\s+refs:\s+([\d,]+)", text)
    assert found, text
    return int(found[1].replace(",", ""))


def of_one_get(checkout: Path, code: str, url: str, few: int, many: int) -> float:
    run(checkout, sys.executable, "-c", code, url, "10")  # compiles the modules, which must not be counted
    less, more = (instructions(checkout, code, url, count) for count in (few, many))
    return (more - less) / (many - few)


def main() -> int:
    parser = argparse.ArgumentParser(description="Instructions of one warm GET, counted by cachegrind.")
    parser.add_argument("checkouts", nargs="*", type=Path, default=[PROJECT], metavar="CHECKOUT")
    parser.add_argument("--only", default="", metavar="WORD", help="only the works whose name has this in it")
    parser.add_argument("--most", type=float, metavar="RATIO", help="fail if a ratio to the first checkout is above")
    parser.add_argument("--requests", nargs=2, type=int, default=[FEW, MANY], metavar=("FEW", "MANY"))
    asked = parser.parse_args()
    base, *others = [path.resolve() for path in asked.checkouts]
    works = {name: work for name, work in WORKS.items() if asked.only in name}
    if not works:
        raise SystemExit(f"instructions: no work has {asked.only!r} in its name; there are: {', '.join(WORKS)}")
    print(f"Instructions of one GET in user space, {python_build()}")
    failed = False
    with servers() as urls:
        for name, (server, path, code) in works.items():
            if not all(code in WITHOUT_TRANSPORTS or (checkout / TRANSPORTS).is_dir() for checkout in (base, *others)):
                print(f"{name:32} not counted: a checkout has no transports", flush=True)
                continue
            url = urls[server] + path
            first = of_one_get(base, code, url, *asked.requests)
            line = f"{name:32} {first:10,.0f}"
            for other in others:
                figure = of_one_get(other, code, url, *asked.requests)
                failed |= asked.most is not None and figure / first > asked.most
                line += f" {figure:10,.0f} ({figure / first:.3f})"
            print(line, flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
