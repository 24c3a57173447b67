"""Event streams that are open through a gateway and idle, as JSON: `streams.py CLIENT LOOP COUNT [h2]`.

The memory of one stream is computed from the private memory of the gateway's process with COUNT streams, minus that
with a few. Then events are sent on streams that are chosen at random, and each is timed from the upstream's write to
the client's read. All connections are on loopback.

The gateway has the first core; the upstream and the client share the last one, of which they need little.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from fronts import FRONTS
from loading import cost_of
from server import ended, free_ports, wait_for

HERE = Path(__file__).resolve().parent

FEW = 10
"""Streams that are opened before the memory is measured, so that all modules and caches are loaded."""
SPARE = 60
"""File descriptors that a gateway needs for other purposes than streams."""
RATES = ((100, 200), (1000, 1000))
"""Events in a second, and how many of them are one round."""
ROUNDS = 4
QUERY = b"GET /events HTTP/1.1\r\nHost: gw.test\r\nAccept: text/event-stream\r\n\r\n"


async def alone(scope: Any, receive: Any, send: Any) -> None:
    """The floor: a stream of the server's own app, which never writes to it again."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: %020d\n\n" % time.monotonic_ns(), "more_body": True})
    await receive()  # the request
    await receive()  # its end


def spread() -> None:
    """Use all cores, even if this process was restricted to one, and as many file descriptors as allowed."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def at_most(count: int, upstream_too: bool) -> int:
    """How many streams there are file descriptors for; prints a message if there are too few."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE
    found = min(count, descriptors // 2 if upstream_too else descriptors)
    if found < count:
        print(f"bench: {found} streams and not {count}, since `ulimit -Hn` is so low", file=sys.stderr)
    return found


def pinned(core: int) -> Any:
    last = max(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {0 if core == 0 else last})


def command_of(client: str, loop: str, url: str, port: int, folder: Path, http2: bool) -> list[str]:
    if client in FRONTS:
        return FRONTS[client](port, url, loop, folder)
    if client == "bare uvicorn":
        options = ["--port", str(port), "--loop", loop, "--http", "httptools", "--lifespan", "off"]
        return [sys.executable, "-m", "uvicorn", "streams:alone", *options, "--log-level", "error", "--no-access-log"]
    settings = folder / "gateway.toml"
    spoken = ", http2 = true" if http2 else ""
    settings.write_text(f'upstreams = [{{url = "{url}"{spoken}}}]\n[timeouts]\nidle = 600\n')
    return [sys.executable, "-m", "httpcore.gateway", "--config", str(settings), "--port", str(port)]


def worker_of(process: int) -> int:
    """The process that serves: a child of the gateway's command, or itself."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(children[0]) if children else process


def private(process: int) -> int:
    """Bytes of memory that no other process shares."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    return sum(int(number) for number in re.findall(r"^Private_\w+:\s*(\d+) kB", text, re.MULTILINE)) * 1024


class Clients:
    """The clients of all streams: sockets, and the times of the events received on them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sockets: dict[int, socket.socket] = {}
        self.poll = select.epoll()

    def open(self, count: int) -> None:
        """Open streams until `count` are open, each with its first event."""
        while len(self.sockets) < count:
            many = min(50, count - len(self.sockets))
            for _ in range(many):
                sock = socket.create_connection(("127.0.0.1", self.port), 10)
                sock.sendall(QUERY)
                self.sockets[sock.fileno()] = sock
                self.poll.register(sock, select.EPOLLIN)
            self.events(many)

    def events(self, count: int) -> list[float]:
        """The milliseconds that each of the events took."""
        took: list[float] = []
        end = time.monotonic() + 30
        while len(took) < count:
            for number, _ in self.poll.poll(1):
                data = self.sockets[number].recv(65536)
                present = time.monotonic_ns()
                if not data:
                    raise SystemExit("the gateway has closed a stream")
                took += [(present - int(time)) / 1e6 for time in re.findall(rb"data: (\d{20})", data)]
            if time.monotonic() > end:
                raise SystemExit(f"{len(took)} of {count} events came")
        return took


@contextmanager
def upstream(port: int, http2: bool) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(HERE / "streaming.py"), str(port), *(["h2"] if http2 else [])]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, preexec_fn=pinned(-1))
    with ended(process):
        wait_for(port, process, lambda: "its output is above")
        yield process


@contextmanager
def first(*processes: int) -> Iterator[None]:
    """If we may set it (as root), these processes get the CPU before all others, so that the gateway is timed, and not
    the scheduler's choice between it and other processes. Without this, only an idle machine gives usable figures.
    """
    with suppress(PermissionError):
        for process in processes:
            os.sched_setscheduler(process, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(PermissionError):
            for process in processes:
                os.sched_setscheduler(process, os.SCHED_OTHER, os.sched_param(0))


def part(sorted_values: list[float], share: float) -> float:
    return sorted_values[int(len(sorted_values) * share)]


def timed(clients: Clients, source: subprocess.Popen[str], worker: int) -> dict[str, float]:
    """The best of the rounds of each rate, since other processes use the machine too."""
    assert source.stdin is not None
    assert source.stdout is not None
    found: dict[str, float] = {}
    for rate, count in RATES:
        rounds, costs = [], []
        for _ in range(ROUNDS):
            before = cost_of(worker)["cpu"]
            source.stdin.write(f"{rate} {count}\n")
            rounds.append(sorted(clients.events(count)))
            source.stdout.readline()
            costs.append(cost_of(worker)["cpu"] - before)
        found[f"median_ms_{rate}"] = min(part(took, 0.5) for took in rounds)
        found[f"p99_ms_{rate}"] = min(part(took, 0.99) for took in rounds)
        found[f"middle_p99_ms_{rate}"] = part(sorted(part(took, 0.99) for took in rounds), 0.5)
        found["cpu_us"] = min(costs) / count * 1e6
    return found


def main(client: str, loop: str, count_text: str, protocol: str = "") -> None:
    spread()
    floor, http2 = client == "bare uvicorn", protocol == "h2"
    count = at_most(int(count_text), not floor and not http2)
    port, behind = free_ports(2)
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}", "GOMAXPROCS": "1"}
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryFile("w+") as facts, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        source = stack.enter_context(upstream(behind, http2))
        command = command_of(client, loop, f"http://127.0.0.1:{behind}", port, folder, http2)
        process = subprocess.Popen(command, env=environment, stderr=facts, preexec_fn=pinned(0))
        stack.enter_context(ended(process))
        wait_for(port, process, lambda: "it says nothing" if facts.seek(0) else facts.read()[-1000:])
        pinned(-1)()
        clients = Clients(port)
        clients.open(FEW)
        worker = worker_of(process.pid)
        time.sleep(1)
        before = private(worker)
        with first(os.getpid(), source.pid, worker):
            clients.open(count)
            time.sleep(2)
            each = (private(worker) - before) / (count - FEW)
            found = {"memory_kb": each / 1024, "streams": count}
            if not floor:
                found |= timed(clients, source, worker)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:5])
