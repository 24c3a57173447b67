"""One request: `python -m examples.get URL`."""

from __future__ import annotations

import asyncio
import sys

import httpcore


async def main(url: str) -> None:
    async with httpcore.ConnectionPool() as http:
        response = await http.request("GET", url)
        print(response.protocol, response.status_code, response.reason)
        for name, value in response.raw_headers:
            print(f"{name.decode()}: {value.decode('latin-1')}")
        print(f"\n{len(response.body):,} bytes from {response.info.peer} with {response.info.engine}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
