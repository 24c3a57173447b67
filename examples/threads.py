"""Many requests from many threads through one pool: `python -m examples.threads URL [COUNT]`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import httpcore


def fetch_all(http: httpcore.SyncConnectionPool, urls: list[str], threads: int = 16) -> list[int]:
    """The status codes of all responses, in order. Any number of threads may share a pool; its limits apply to all of
    them together.
    """

    def fetch(url: str) -> int:
        return http.request("GET", url).status_code

    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(fetch, urls))


def main(url: str, count: int = 100) -> None:
    with httpcore.SyncConnectionPool() as http:
        codes = fetch_all(http, [url] * count)
        print(f"{codes.count(200)} of {count} were 200, over {http.stats().open} connections")


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(sys.argv[1], *(int(text) for text in sys.argv[2:3]))
