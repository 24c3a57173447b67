"""Measures the cost of requests, compared with other clients: interleaved rounds, medians, ratios. `scripts/bench` runs
it.

    run.py PYTHON PEERS_PYTHON [ROUNDS [WORD]]

Absolute figures depend on the machine; the ratio within one run is the result. Every client runs in a process of its
own, pinned to the first core, against servers on the last one. A client that fails is reported and left out. A run of
everything writes `docs/benchmarks.md` and `docs/benchmarks.svg`; `PAGES=folder` has any run write them there. With
`CLIENTS="a, b"` only those are run, with `SHARE=0.1` a tenth of the requests, to see whether all runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from page import page
from picture import picture
from results import Found, Results
from server import pinned, result_in, servers
from works import MEMORY, PAIRS, WORKS, Work, chosen, is_floor, is_ours

HERE = Path(__file__).resolve().parent
LONGEST = 120
"""Seconds that one client may take for one cell."""

STRANGE = ("_proxy", "_ca_bundle", "ssl_cert_file", "ssl_cert_dir", "pythondontwritebytecode")
"""Endings of environment variables that would change the measurement."""


class Bench:
    """Runs cells, with each client's Python; `left_out` lists those that could not run, and the reasons."""

    def __init__(self, ours: str, peers: str, urls: Mapping[str, str]) -> None:
        self.ours = ours
        self.peers = peers
        self.urls = urls
        self.left_out: dict[tuple[str, str], str] = {}
        only = os.environ.get("CLIENTS")
        self.only = only and {name.strip() for name in only.split(",")}
        self.environment = {name: value for name, value in os.environ.items() if not name.lower().endswith(STRANGE)}

    def command(self, work: Work, client: str) -> list[str]:
        python = self.ours if is_ours(client) or (is_floor(client) and not Path(self.peers).exists()) else self.peers
        arguments = [argument.format_map(self.urls) for argument in work.arguments]
        return [python, str(HERE / work.script), client, *arguments]

    def cell(self, work: Work, client: str) -> dict[str, Any] | None:
        """The result of one client's process in one round; None if it cannot do the work, now and later."""
        if (work.name, client) in self.left_out:
            return None
        environment = {**self.environment, "LOOP": work.loop}
        try:
            done = subprocess.run(
                self.command(work, client),
                capture_output=True,
                text=True,
                check=False,
                cwd=HERE,
                env=environment,
                timeout=LONGEST,
                preexec_fn=pinned(0),
            )
        except subprocess.TimeoutExpired:
            reason = f"took longer than {LONGEST} seconds"
        except OSError as error:
            reason = str(error)
        else:
            if done.returncode == 0 and (found := result_in(done.stdout)):
                return found
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode} and without a word"]
            reason = lines[-1][-300:]
        self.left_out[work.name, client] = reason
        print(f"bench: {work.name}: {client}: {reason}", file=sys.stderr, flush=True)
        return None

    def measured(self, work: Work, rounds: int) -> dict[str, Found]:
        """For each client the medians of its rounds. The ratio is the median of the rounds' ratios."""
        clients = [client for client in work.clients if not self.only or client in self.only]
        key = work.measure.key
        all_rounds = []
        once = work.measure is MEMORY  # it hardly varies, and a thousand handshakes take their time
        for number in range(1 if once else rounds):  # every other one backwards: being first is no gain
            order = clients if number % 2 == 0 else clients[::-1]
            all_rounds.append({client: self.cell(work, client) for client in order})
        floor = next((client for client in clients if is_floor(client)), None)

        def ratio(client: str, to: str | None) -> float | None:
            cells = [(r[client], r[to]) for r in all_rounds if to is not None]
            pairs = [(mine[key], base[key]) for mine, base in cells if mine and base]
            if not pairs or median(base for _, base in pairs) <= work.measure.least:
                return None
            return float(median(mine / max(base, 0.001) for mine, base in pairs))

        found = {}
        for client in clients:
            if mine := [cell for r in all_rounds if (cell := r[client])]:
                middle = {name: of_all([cell[name] for cell in mine if name in cell]) for name in mine[0]}
                found[client] = Found(middle, ratio(client, work.clients[0]), ratio(client, floor))
        return found


def of_all(values: list[Any]) -> Any:
    return median(values) if not isinstance(values[0], str) else values[0]


def show(work: Work, found: Mapping[str, Found]) -> None:
    name = work.name
    for client, cell in found.items():
        print(f"{name:34}{client:21}{cell.line(work.measure)}", flush=True)
        name = ""


def growth(results: Results) -> list[str]:
    """How our cost grows with the number of waiting requests."""
    lines = []
    for more, fewer in PAIRS:
        for client in results.get(more, {}):
            if is_ours(client) and client in results.get(fewer, {}):
                times = results[more][client].values["cpu_us"] / results[fewer][client].values["cpu_us"]
                lines.append(f"{client}: {more} costs {times:.2f} times what {fewer} does")
    return lines


VERSIONS = """
import sys, sysconfig
from importlib.metadata import distributions
pgo = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
print("CPython", sys.version.split()[0], "(profile-guided build)" if pgo else "(build without profile guidance)")
for d in distributions():
    print(d.name.lower(), d.version)
"""
OURS = "cpython uvloop trio uvicorn"
PEERS = f"{OURS} h11 hpack httptools ngh2 aiohttp httpcore2 httpx2 h2 urllib3 requests niquests pycurl pyreqwest"


def versions(python: str, names: str) -> str:
    """The versions of the named packages that this Python has."""
    done = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=False)
    found = {line.split()[0].lower(): line for line in done.stdout.splitlines()}
    return ", ".join(found[name] for name in names.split() if name in found)


def main(ours: str, peers: str, rounds_text: str = "5", word: str = "") -> None:
    if not rounds_text.isdigit() or not int(rounds_text):
        raise SystemExit(f"bench: expected a number of rounds, got {rounds_text!r}")
    rounds = int(rounds_text)
    try:
        works = chosen(word)
    except ValueError as error:
        raise SystemExit(f"bench: {error}") from None
    began = time.monotonic()
    results: Results = {}
    with servers() as urls:
        bench = Bench(ours, peers, urls)
        print(f"medians of {rounds} interleaved rounds; 'of ours' and 'of floor' are medians of the rounds' ratios\n")
        print(f"{'':34}{'client':21}{Found.titles()}")
        for work in works:
            if found := bench.measured(work, rounds):
                results[work.name] = found
                show(work, found)
    notes = growth(results)
    print("", *notes, f"{time.monotonic() - began:.0f} seconds", sep="\n")
    folder = os.environ.get("PAGES") or (str(HERE.parent / "docs") if works == WORKS and not bench.only else "")
    if folder:
        left_out = [f"{name}: {client}: {reason}" for (name, client), reason in bench.left_out.items()]
        facts = [f"Ours on {versions(ours, OURS)}"]
        if Path(peers).exists():
            facts.append(f"Peers on {versions(peers, PEERS)}")
        text = page(works, results, rounds, [*facts, *notes], left_out)
        Path(folder, "benchmarks.md").write_text(text, encoding="utf-8")
        pictured = [work for work in works if work.pictured or works != WORKS]
        Path(folder, "benchmarks.svg").write_text(picture(pictured, results), encoding="utf-8")
        print(f"bench: wrote benchmarks.md and benchmarks.svg into {folder}", file=sys.stderr)
    if not results:
        raise SystemExit("bench: nothing could be measured")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))  # so that the servers end too
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit("bench: interrupted") from None
