"""One POST to the first of several servers that can be reached, never to two: `python -m examples.failover URL URL
...`.
"""

from __future__ import annotations

import sys

import httpcore


def post_once(http: httpcore.SyncConnectionPool, urls: list[str], body: bytes) -> httpcore.SyncResponse:
    """The response of the first server that can be reached.

    Raises: the error of the last server, or of one that may have acted on the request.
    """
    for url in urls[:-1]:
        try:
            return http.request("POST", url, body=body)
        except httpcore.HTTPCoreError as error:
            if not error.safe_to_retry:
                raise
            print(f"{url}: {error}", file=sys.stderr)
    return http.request("POST", urls[-1], body=body)


def main(urls: list[str]) -> None:
    timeout = httpcore.TimeoutConfig(5, connect=1, total=20)
    with httpcore.SyncConnectionPool(timeout=timeout, max_body=1_000_000) as http:
        response = post_once(http, urls, sys.stdin.buffer.read())
        print(response.status_code, response.reason, f"from {response.info.peer}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
