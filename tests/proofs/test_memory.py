"""Memory stays flat: a gigabyte down or up costs less than 30 MB, in every runtime, with a slow reader too.

Each case runs in a process of its own, which warms up, records its peak, transfers the gigabyte, and prints the growth
of the peak.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from servers import free_port, process

GIGABYTE = 1_000_000_000
ALLOWED = 30.0

PROGRAM = """
import resource, sys
sys.path[:0] = ["tests/support"]
from runtimes import RUNTIMES
act, name, url = sys.argv[1:4]
runtime = next(runtime for runtime in RUNTIMES if runtime.name == name)
SIZE, PIECE = 1_000_000_000, bytes(50_000)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def pieces(size):
    for _ in range(size // len(PIECE)):
        yield PIECE

async def move(http, size):
    if act == "up":
        response = await http.request("POST", url, {"Content-Length": str(size)}, pieces(size), timeout=60)
        assert response.status_code == 200
        return
    async with await http.request("GET", f"{url}/{size}", stream=True, timeout=60) as response:
        got = 0
        async for piece in response.raw():
            got += len(piece)
            if act == "slow" and got < 3_000_000:
                await runtime.sleep(0.02)
            if act == "slow" and got > 100_000_000:
                return
        assert got == size

async def main():
    async with runtime.pool() as http:
        await move(http, 5_000_000)
        before = peak()
        await move(http, SIZE)
        print(peak() - before)

runtime.run(main)
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    with process([sys.executable, "-m", "tests.support.fast_server", str(port)], port):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("act", ["down", "up", "slow"])
@pytest.mark.parametrize("runtime", ["asyncio", "uvloop", "trio", "threads"])
def test_a_gigabyte_costs_less_than_thirty_megabytes(act: str, runtime: str, url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, act, runtime, url], capture_output=True, text=True, timeout=120, check=False
    )
    assert not done.stderr
    growth = float(done.stdout)
    assert growth < ALLOWED, f"the peak grew by {growth:.1f} MB"
