"""Measures the cost of work in a new interpreter, without the interpreter's own start, as JSON: `fresh.py CLIENT WORK
URL`.

The works:

- `import`: the import of the library.
- `pool`: the import, and a pool or session made.
- `get`: a whole script of one request.

Bytecode is compiled before anything is measured. Costs are milliseconds of CPU, the median of three processes, minus
the median of as many processes that do nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

PROJECT = Path(__file__).resolve().parent.parent
TIMES = 3

CODES = {
    # client: (its module, how a pool is made, how a request)
    "httpcore": ("httpcore", "httpcore.SyncConnectionPool()", "pool.request('GET', url).body"),
    "httpcore async": ("httpcore", "httpcore.ConnectionPool()", "(await pool.request('GET', url)).body"),
    "httpcore client": ("httpcore", "httpcore.Client()", "pool.get(url).content"),
    "httpcore2": ("httpcore2", "httpcore2.ConnectionPool()", "pool.request('GET', url).content"),
    "httpx2": ("httpx2", "httpx2.Client()", "pool.get(url).content"),
    "urllib3": ("urllib3", "urllib3.PoolManager()", "pool.request('GET', url).data"),
    "requests": ("requests", "requests.Session()", "pool.get(url).content"),
    "niquests": ("niquests", "niquests.Session()", "pool.get(url).content"),
    "aiohttp": ("aiohttp", "aiohttp.ClientSession()", "await (await pool.get(url)).read()"),
    "pycurl": ("pycurl", "pycurl.Curl()", "pool.setopt(pycurl.URL, url) or pool.perform_rb()"),
    "pyreqwest async": (
        "pyreqwest.client",
        "pyreqwest.client.ClientBuilder().build()",
        "await (await pool.get(url).build().send()).bytes()",
    ),
}

HEAVY = (
    "ssl",
    "asyncio",
    "trio",
    "anyio",
    "h11",
    "h2",
    "hpack",
    "http.client",
    "email",
    "ipaddress",
    "idna",
    "certifi",
)
"""Modules that the table names if an import loads them."""


def code(client: str, work: str, url: str) -> str:
    module, make, request = CODES[client]
    lines = [f"pool = {make}"] if work != "import" else []
    if work == "get":
        lines.append(f"assert {request} == b'Hello, world!'")
    if lines and "await" in request:
        body = "".join(f"\n    {line}" for line in lines)
        lines = [f"async def main():{body}", "import asyncio", "asyncio.run(main())"]
    lines.append("os._exit(0)")  # code that runs at exit does not count
    return "\n".join(["import os", f"import {module}", f"url = {url!r}", *lines])


def cpu(text: str) -> float:
    """Milliseconds that a new interpreter needs for the program."""
    process = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if process.returncode is None:
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(complaint)
    return (usage.ru_utime + usage.ru_stime) * 1e3


def brought(module: str) -> list[str]:
    """The modules that an import loads."""
    text = f"import sys\nbefore = set(sys.modules)\nimport {module}\nprint(*sorted(set(sys.modules) - before))"
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()


def main(client: str, work: str, url: str) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.chdir(PROJECT if client in ("httpcore", "httpcore async") else "/")  # where `-c` looks first
    text = code(client, work, url)
    cpu(text)
    pairs = [(cpu(text), cpu("import os; os._exit(0)")) for _ in range(TIMES)]
    found: dict[str, object] = {"cpu_ms": median(one for one, _ in pairs) - median(nothing for _, nothing in pairs)}
    if work == "import":
        modules = brought(CODES[client][0])
        found["modules"] = len(modules)
        found["brings"] = " ".join(name for name in HEAVY if name in modules)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:4])
