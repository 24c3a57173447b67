"""The gateway as a command: `python -m httpcore.gateway http://a:9000 http://b:9000 --port 8000`.

It runs one process under uvicorn, with the settings that a gateway needs of its server: addresses are the gateway's to
believe, Date and Server are the upstream's, and connections are kept for longer than balancers keep theirs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from .gateway import Gateway
from .settings import Health, Limits, Timeouts

__all__ = ["arguments", "gateway_of", "main"]

KEEP_ALIVE = 75
"""Seconds: nginx and most balancers keep their connections for 60."""


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line. Ends the process where it is wrong."""
    parser = argparse.ArgumentParser("python -m httpcore.gateway", description="Forward HTTP requests to upstreams.")
    parser.add_argument("upstreams", nargs="+", metavar="URL", help="where requests go")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    parser.add_argument("--balance", default="least_outstanding", help="which upstream gets a request")
    parser.add_argument("--keep-host", action="store_true", help="send the client's Host, not the upstream's")
    parser.add_argument("--trust", action="append", default=[], metavar="NETWORK", help="a proxy that is believed")
    parser.add_argument("--health", metavar="PATH", help="ask upstreams for this path to see whether they work")
    parser.add_argument("--retries", type=int, default=1, help="further upstreams to try (default: %(default)s)")
    parser.add_argument(
        "--connect", type=float, default=5.0, metavar="SECONDS", help="to connect (default: %(default)s)"
    )
    parser.add_argument(
        "--first-byte", type=float, metavar="SECONDS", help="to the response's head (default: no limit)"
    )
    parser.add_argument(
        "--idle", type=float, default=60.0, metavar="SECONDS", help="between pieces (default: %(default)s)"
    )
    parser.add_argument("--concurrent", type=int, default=10_000, help="requests at once (default: %(default)s)")
    parser.add_argument("--max-body", type=int, metavar="BYTES", help="of a request (default: no limit)")
    parser.add_argument(
        "--grace", type=int, default=30, metavar="SECONDS", help="for requests at the end, after SIGTERM"
    )
    parser.add_argument("--check", action="store_true", help="say whether the arguments are right, and end")
    return parser.parse_args(given)


def gateway_of(options: argparse.Namespace) -> Gateway:
    """The gateway that a command line asks for.

    Raises:
        TypeError, ValueError, HTTPCoreError: an argument is not allowed.
    """
    return Gateway(
        options.upstreams,
        balance=options.balance,
        health=Health(path=options.health),
        retries=options.retries,
        timeouts=Timeouts(connect=options.connect, first_byte=options.first_byte, idle=options.idle),
        limits=Limits(concurrent=options.concurrent, body=options.max_body),
        host="keep" if options.keep_host else "rewrite",
        trusted_proxies=options.trust,
        forward_date=True,
    )


def main(given: Sequence[str]) -> int:
    """Run the command; its exit status."""
    options = arguments(given)
    try:
        app = gateway_of(options)
    except Exception as error:
        print(f"httpcore.gateway: {error}", file=sys.stderr)
        return 2
    if options.check:
        print("httpcore.gateway: the arguments are right")
        return 0
    if find_spec("uvicorn") is None:
        print("httpcore.gateway: expected uvicorn, got none: pip install httpcore[gateway]", file=sys.stderr)
        return 2
    if find_spec("httptools") is None:
        print("httpcore.gateway: without httptools each request costs about twice as much", file=sys.stderr)
    import uvicorn  # an optional server, which `--check` does without

    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        date_header=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=options.grace,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
