"""An upload from a file, with a display of its progress: `python -m examples.upload URL FILE`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

import httpcore
from examples.progress import Progress


def pieces(path: str) -> Iterator[bytes]:
    """The file in pieces, with a report of the transferred bytes. The file is read no faster than it is sent."""
    progress = Progress("upload", os.path.getsize(path))
    with open(path, "rb") as file:
        while piece := file.read(65536):
            yield piece
            progress.add(len(piece))
    progress.end()


async def upload(http: httpcore.ConnectionPool, url: str, path: str) -> httpcore.Response:
    """POST the file at `path`. Its pieces come from a factory, so the request can be sent again."""
    headers = {"Content-Length": str(os.path.getsize(path))}  # noqa: ASYNC240 - a local file
    return await http.request("POST", url, headers, httpcore.ReplayableBody(lambda: pieces(path)))


async def main(url: str, path: str) -> None:
    async with httpcore.ConnectionPool() as http:
        response = await upload(http, url, path)
        print(response.status_code, response.reason)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:3]))
