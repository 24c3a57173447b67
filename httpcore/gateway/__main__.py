"""The gateway as a command: `python -m httpcore.gateway http://a:9000 http://b:9000 --port 8000`.

A supervisor holds the listening socket, and worker processes accept from it under uvicorn, with the settings that a
gateway needs of its server. SIGTERM ends the command, SIGHUP reloads the settings; in both cases a worker finishes its
requests before it ends.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys
import tomllib
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from .config import Service, Table, checked, merged, summary
from .supervisor import Supervisor, listening

__all__ = ["FLAGS", "arguments", "main", "table_of"]


class Flag(NamedTuple):
    """A flag, and the setting that it overrides: the setting's table in the settings file ("" for the top level), and
    its name there.
    """

    name: str
    table: str
    setting: str
    kind: type
    metavar: str
    help: str


FLAGS = (
    Flag("--host", "service", "host", str, "HOST", "address to listen on"),
    Flag("--port", "service", "port", int, "PORT", "port to listen on"),
    Flag("--workers", "service", "workers", int, "NUMBER", "processes that share the port"),
    Flag("--metrics-port", "service", "metrics_port", int, "PORT", "port for /metrics and /ready"),
    Flag("--metrics-host", "service", "metrics_host", str, "HOST", "address for the metrics port"),
    Flag("--ready", "service", "ready", str, "PATH", "path that reports whether this gateway is ready"),
    Flag("--notice", "service", "notice", float, "SECONDS", "time to accept connections after SIGTERM"),
    Flag("--grace", "service", "grace", float, "SECONDS", "time for the remaining requests after SIGTERM"),
    Flag("--access-log", "service", "access_log", bool, "", "write a line for each request"),
    Flag("--request-id", "service", "request_id", bool, "", "give each request an id"),
    Flag("--balance", "", "balance", str, "HOW", "which upstream gets a request"),
    Flag("--keep-host", "", "host", bool, "", "send the client's Host, not the upstream's"),
    Flag("--trust", "", "trusted_proxies", list, "NETWORK", "a trusted proxy; may be repeated"),
    Flag("--retries", "", "retries", int, "NUMBER", "most further upstreams to try for one request"),
    Flag("--health", "health", "path", str, "PATH", "path for the health checks of the upstreams"),
    Flag("--connect", "timeouts", "connect", float, "SECONDS", "timeout to connect to an upstream"),
    Flag("--first-byte", "timeouts", "first_byte", float, "SECONDS", "timeout for the head of the response"),
    Flag("--idle", "timeouts", "idle", float, "SECONDS", "timeout between two pieces of the response"),
    Flag("--total", "timeouts", "total", float, "SECONDS", "timeout for the whole exchange"),
    Flag("--concurrent", "limits", "concurrent", int, "NUMBER", "most requests at once in all workers"),
    Flag("--max-body", "limits", "body", int, "BYTES", "greatest length of a request's body"),
)


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Parse the command line. If it is wrong, argparse writes an error and ends the process with status 2."""
    parser = argparse.ArgumentParser("python -m httpcore.gateway", description="Forward HTTP requests to upstreams.")
    parser.add_argument("upstreams", nargs="*", metavar="URL", help="an upstream that gets requests")
    parser.add_argument("--config", metavar="FILE", help="settings in TOML; flags override them")
    parser.add_argument("--check", action="store_true", help="print the configuration and exit")
    for flag in FLAGS:
        options: dict[str, Any] = {"dest": flag.name, "help": flag.help}
        if flag.kind is bool:
            options |= {"action": "store_true", "default": None}
        else:
            options["metavar"] = flag.metavar
            options |= {"action": "append"} if flag.kind is list else {"type": _optional(flag.kind)}
        parser.add_argument(flag.name, **options)
    found = parser.parse_args(given)
    if not found.upstreams and found.config is None:
        parser.error("expected at least one URL, or --config")
    return found


def _optional(kind: type) -> Any:
    """A converter for argparse: "none", which means no limit, stays text; other values are converted to `kind`."""

    def value(text: str) -> Any:
        return text if text == "none" else kind(text)

    value.__name__ = kind.__name__  # argparse names the type in its errors
    return value


def table_of(options: argparse.Namespace) -> Table:
    """The settings of the file, overridden by the flags, as one table.

    Raises:
        OSError, ValueError: the file cannot be read, or is not TOML.
    """
    given: Table = {}
    if options.config is not None:
        with open(options.config, "rb") as file:
            given = tomllib.load(file)
    flags: Table = {"upstreams": options.upstreams} if options.upstreams else {}
    for flag in FLAGS:
        value = getattr(options, flag.name)
        if value is not None:
            setting = {flag.setting: "keep" if flag.name == "--keep-host" else value}
            flags = merged(flags, {flag.table: setting} if flag.table else setting)
    return merged(given, flags)


def main(given: Sequence[str]) -> int:
    """Run the command, and return its exit status."""
    options = arguments(given)
    try:
        table = table_of(options)
        settings = checked(table)
    except (OSError, TypeError, ValueError) as error:
        _print_message(f"{options.config}: {error}" if options.config is not None else str(error))
        return 1
    missing = _is_uvicorn_missing()
    if options.check:
        print("\n".join(summary(settings)))
        return 1 if missing else 0
    if missing:
        return 1
    try:
        listener, metrics = _sockets(settings.service)
    except OSError as error:
        _print_message(str(error))
        return 1
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    _print_message(summary(settings)[0])
    return asyncio.run(Supervisor(table, lambda: table_of(options), listener, metrics).run())


def _sockets(service: Service) -> tuple[socket.socket, socket.socket | None]:
    """The listening socket for clients, and that for metrics (None without `metrics_port`).

    Raises:
        OSError: the process cannot listen on an address.
    """
    listener = listening(service.host, service.port, service.backlog)
    if service.metrics_port is None:
        return listener, None
    try:
        return listener, listening(service.metrics_host, service.metrics_port, 100)
    except OSError:
        listener.close()
        raise


def _is_uvicorn_missing() -> bool:
    """Whether uvicorn is not installed. Prints what to install, also if httptools is missing, which is optional."""
    if find_spec("uvicorn") is None:
        _print_message("expected uvicorn, got none: pip install '.[gateway]' in a clone of httpcore")
        return True
    if find_spec("httptools") is None:
        _print_message(
            "without httptools each request costs about twice as much: pip install '.[gateway]' in a clone of httpcore"
        )
    return False


def _print_message(text: str) -> None:
    print(f"httpcore.gateway: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
