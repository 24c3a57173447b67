"""A signed webhook to an untrusted URL: `WEBHOOK_KEY=... python -m examples.webhook URL < payload`.

It reaches only public addresses and the networks that WEBHOOK_ALLOW names, whatever the URL's host resolves to. It
waits ten seconds at most, keeps at most 64 KiB of the response, and follows no redirect.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys

import httpcore


def pool(allowed: list[str]) -> httpcore.SyncConnectionPool:
    """One pool for all webhooks of a program; `allowed` are the program's own networks that they may reach."""
    return httpcore.SyncConnectionPool(
        timeout=httpcore.TimeoutConfig(5, total=10),
        limits=httpcore.PoolLimits(max_connections=20, max_connections_per_origin=2),
        network_policy=httpcore.NetworkPolicy.public_only(allowed),
        retries=2,  # retries only connections that could not be made
        max_body=65536,
    )


def deliver(http: httpcore.SyncConnectionPool, url: str, payload: bytes, key: bytes) -> bool:
    """Whether the receiver has accepted the webhook (2xx). Raises: `HTTPCoreError`, if there was no response."""
    signature = hmac.new(key, payload, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Signature-256": f"sha256={signature}"}
    return http.request("POST", url, headers, payload).status_code // 100 == 2


def main(url: str) -> int:
    with pool(os.environ.get("WEBHOOK_ALLOW", "").split()) as http:
        try:
            taken = deliver(http, url, sys.stdin.buffer.read(), os.environ["WEBHOOK_KEY"].encode())
        except httpcore.HTTPCoreError as error:
            print(f"not delivered: {error}", file=sys.stderr)
            return 1
    print("delivered" if taken else "refused by the receiver")
    return 0 if taken else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
