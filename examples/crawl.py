"""Many URLs with bounded concurrency: `python -m examples.crawl [--workers N] [--per-origin N] [--rate N] < urls`.

Prints a line of JSON for each URL: its status and size, or the kind of error and the phase in which it occurred.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterable

import httpcore

Tell = Callable[[dict[str, object]], object]


def client(workers: int, per_origin: int, rate: float) -> httpcore.AsyncClient:
    """Redirects are followed; each URL has 30 seconds and 10 MB; `rate` limits the requests per second to one
    origin.
    """
    limits = httpcore.PoolLimits(max_connections=workers, max_connections_per_origin=per_origin, keepalive_expiry=10)
    network = httpcore.HTTPTransport(limits=limits, retries=httpcore.RetryPolicy(attempts=3))
    return httpcore.AsyncClient(
        transport=httpcore.RateLimit(rate, burst=per_origin, transport=network),
        timeout=httpcore.TimeoutConfig(10, pool=None, total=30),
        headers={"User-Agent": "httpcore-crawl-example/1.0"},
        max_body=10_000_000,
    )


async def fetch(http: httpcore.AsyncClient, url: str) -> dict[str, object]:
    try:
        response = await http.get(url)
    except httpcore.HTTPCoreError as error:
        return {"url": url, "error": type(error).__name__, "phase": error.phase}
    return {"url": url, "status": int(response.status_code), "bytes": len(response.content)}


async def crawl(http: httpcore.AsyncClient, urls: Iterable[str], workers: int, tell: Tell) -> None:
    """Each worker takes the next URL when it has finished one, so a long list needs no memory."""
    todo = iter(urls)

    async def work() -> None:
        for url in todo:
            tell(await fetch(http, url))

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--per-origin", type=int, default=6)
    parser.add_argument("--rate", type=float, default=20, help="requests a second to one origin")
    options = parser.parse_args()
    async with client(options.workers, options.per_origin, options.rate) as http:
        urls = (line.strip() for line in sys.stdin)
        await crawl(http, filter(None, urls), options.workers, lambda result: print(json.dumps(result), flush=True))


if __name__ == "__main__":
    asyncio.run(main())
