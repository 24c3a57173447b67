"""One pool before and after forks: `python -m examples.forks URL [CHILDREN]`."""

from __future__ import annotations

import os
import sys

import httpcore


def child(http: httpcore.SyncConnectionPool, url: str) -> int:
    """Acts like a worker of a pre-forking server: uses the pool that was made before the fork. Returns an exit code."""
    statuses = [http.request("GET", url).status_code for _ in range(20)]
    return 0 if statuses == [200] * 20 and http.stats().connections == 1 else 1


def main(url: str, children: int = 4) -> int:
    """How many children failed, or 1 if the parent's own connection has changed."""
    with httpcore.SyncConnectionPool() as http:
        before = http.request("GET", url).info.local
        started = []
        for _ in range(children):
            process = os.fork()
            if process == 0:
                os._exit(child(http, url))
            started.append(process)
        failed = sum(os.waitpid(process, 0)[1] != 0 for process in started)
        after = http.request("GET", url).info.local
    kept = "kept" if before == after else "lost"
    print(f"{children - failed} of {children} children worked; the parent has {kept} its connection")
    return failed + (kept == "lost")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], *(int(text) for text in sys.argv[2:3])))
