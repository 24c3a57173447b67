"""A download to a file, with a display of its progress: `python -m examples.download URL FILE`."""

from __future__ import annotations

import asyncio
import sys

import httpcore
from examples.progress import Progress


async def download(http: httpcore.ConnectionPool, url: str, path: str) -> int:
    """Stream the body of `url` into `path`; returns the bytes written. Memory use does not depend on the size."""
    async with http.stream("GET", url) as response:
        if response.status_code != 200:
            raise SystemExit(f"{url}: {response.status_code} {response.reason}")
        length = response.header("content-length")
        progress = Progress("download", int(length) if length is not None else None)
        done = 0
        with open(path, "wb") as file:  # noqa: ASYNC230 - a local file; a slow disk wants a thread
            async for piece in response.raw():
                file.write(piece)
                done += len(piece)
                progress.add(len(piece))
        progress.end()
    return done


async def main(url: str, path: str) -> None:
    async with httpcore.ConnectionPool() as http:
        print(f"{await download(http, url, path):,} bytes in {path}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:3]))
