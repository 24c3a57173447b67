"""The results as a page of Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from results import TITLES, Results
from works import Work, is_floor, is_ours

INTRODUCTION = """\
# Benchmarks

`scripts/bench` has measured this and written the page and the picture; it runs on any machine, and installs what it
needs. Absolute figures are those of this machine; compare the ratios.

![Cost of the same work beside ours, by client](benchmarks.svg)

- Each client runs in a process of its own on the first core, the server on the last one, in {rounds} interleaved
  rounds. The figures are medians; the ratios are the medians of the rounds' ratios.
- The cost of a request is the CPU time, user and system, that the client's process uses for it, after a warm-up; no
  figure includes the server. `per second` is what one process did, and depends on the server and the rest of the
  machine too.
- A floor (in italics) is the cost of the same bytes without an HTTP client: a socket, an `asyncio.Protocol`; `bare h2`
  is that library alone, without a network; `bare uvicorn` responds without an upstream.
- Small GETs receive 13 bytes over connections that are kept alive. They favour clients with caches: the request never
  changes, and the server repeats its head for a second. In the *varied* work nothing repeats: each URL is new, with
  five request fields and twelve response fields, of which three always differ, and the list of response fields is read.
- 200 MB are streamed, in the pieces that the client returns by default. "100 at once" are as many tasks on as many
  connections, or on one with HTTP/2; "10,000 on 100" are tasks that wait for one of 100 connections.
- The gateway is `httpcore.gateway` under uvicorn, loaded by wrk with 64 connections; the others are the same app with
  another client in it (`benchmarks/gateways.py`). nginx, Caddy and aiohttp (as server and client) are gateways of
  their own (`benchmarks/fronts.py`), each with one process and one thread.
- The memory of an idle event stream is the private memory of the process for one stream, without kernel buffers. Then
  events are timed from the upstream's write to the client's read; the figure is the best of several rounds. As root,
  these processes run ahead of all others (`benchmarks/streams.py`). `bare uvicorn` has half of each stream: a client,
  and no upstream.
- Import times do not include the start of the interpreter, and bytecode is compiled before. Memory is the
  process's memory for one idle connection or pool, measured with 1,000 connections or 100 pools, in one round.
"""


def machine() -> str:
    """The processor, as the system names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def page(
    works: Sequence[Work], results: Results, rounds: int, facts: Sequence[str], left_out: Sequence[str] = ()
) -> str:
    """The whole page; `facts` are lines of their own, `left_out` lists the failures."""
    lines = [INTRODUCTION.format(rounds=rounds)]
    lines += [f"- {fact}" for fact in (f"{date.today().isoformat()}, {machine()}", *facts)]
    for work in works:
        found = results.get(work.name, {})
        if not found:
            continue
        kept = [n for n in range(len(TITLES)) if any(cell.cells(work.measure)[n] for cell in found.values())]
        lines += ["", f"## {work.name}", "", row(["client", *(TITLES[n] for n in kept)])]
        lines.append(row(["---"] + ["---" if not TITLES[n] else "---:" for n in kept]))
        for client, cell in found.items():
            mark = "**" if is_ours(client) else "*" if is_floor(client) else ""
            cells = cell.cells(work.measure)
            lines.append(row([f"{mark}{client}{mark}", *(cells[n] for n in kept)]))
    if left_out:
        lines += ["", "## Left out", "", *(f"- {reason}" for reason in left_out)]
    return "\n".join(lines) + "\n"
