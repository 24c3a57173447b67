"""The command line as a `Plan`. The options have curl's names where curl has them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from .. import __version__
from .._errors import show_value
from .._message.decoders import supported_codings
from .plan import (
    AGENT,
    DEFAULT_TIMEOUT,
    FORM,
    JSON,
    Data,
    Pair,
    Plan,
    UsageError,
    cert_of,
    edited_headers,
    engines_of,
    method_of,
    resolve_of,
    url_of,
    user_of,
)

__all__ = ["parser", "plan_of"]


def parser() -> argparse.ArgumentParser:
    """The parser of the command line. It ends the process with status 2 if the command line is wrong."""
    made = argparse.ArgumentParser(
        "httpcore", description="Send one HTTP request and write the response.", allow_abbrev=False
    )
    made.add_argument("url", metavar="URL", help="http or https; without a scheme it is http")
    made.add_argument("-V", "--version", action="version", version=f"httpcore {__version__}")
    _add_request(made.add_argument_group("the request"))
    _add_output(made.add_argument_group("the output"))
    _add_route(made.add_argument_group("how it is sent"))
    _add_tls(made.add_argument_group("TLS"))
    return made


def _add_request(group: Any) -> None:
    group.add_argument("-X", "--request", metavar="METHOD", help="default: GET, or POST if there is a body")
    group.add_argument("-H", "--header", action="append", default=[], metavar="FIELD", help="'Name: value'; repeatable")
    group.add_argument("-A", "--user-agent", metavar="TEXT", help=f"default: {AGENT.decode()}")
    group.add_argument("-u", "--user", metavar="USER:PASSWORD", help="credentials for Basic authentication")
    data = {"action": "append", "default": [], "dest": "data"}
    group.add_argument("-d", "--data", **data, type=_data, metavar="TEXT", help="a form; @FILE is the file's text")
    group.add_argument("--data-raw", **data, type=_raw, metavar="TEXT", help="like -d, but @ is an ordinary character")
    group.add_argument("--json", **data, type=_json, metavar="TEXT", help="JSON; @FILE is the file's text")
    group.add_argument("--data-file", metavar="FILE", help="the body, byte for byte; - is the standard input")
    group.add_argument("-I", "--head", action="store_true", help="send HEAD and write the head")
    group.add_argument("-L", "--location", action="store_true", help="follow redirects")
    group.add_argument(
        "--max-redirs", type=_count, default=20, metavar="N", help="most redirects with -L (default: %(default)s)"
    )
    group.add_argument("--compressed", action="store_true", help="ask for content codings, and decode them")


def _add_output(group: Any) -> None:
    group.add_argument("-o", "--output", metavar="FILE", help="write the body to FILE; - is the standard output")
    group.add_argument("-i", "--include", action="store_true", help="write the heads of responses too")
    group.add_argument(
        "-f", "--fail", action="store_true", help="if the status is 400 or more: no body, exit status 22"
    )
    group.add_argument("-s", "--silent", action="store_true", help="show no progress bar and no errors")
    group.add_argument("-S", "--show-error", action="store_true", help="with -s: show errors")
    group.add_argument("-v", "--verbose", action="count", default=0, help="show each step; -vv: credentials too")
    group.add_argument("--trace", action="store_true", help="show how long each step took")
    group.add_argument("--trace-svg", metavar="FILE", help="draw the steps as an image")


def _add_route(group: Any) -> None:
    group.add_argument("--http1", "--http1.1", action="store_true", help="only HTTP/1.1")
    group.add_argument("--http2", "--http2-prior-knowledge", action="store_true", help="only HTTP/2, over http too")
    group.add_argument("--engines", metavar="NAME", help="native, reference or shadow; or http/1.1=NAME,http/2=NAME")
    group.add_argument("-x", "--proxy", metavar="URL", help="'' for none; default: the proxies of the environment")
    group.add_argument(
        "--resolve",
        action="append",
        default=[],
        metavar="HOST:PORT:ADDRESS",
        help="connect to ADDRESS for HOST and PORT",
    )
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="S",
        help="limit of each wait, in seconds (default: %(default)g)",
    )
    group.add_argument(
        "-m",
        "--max-time",
        type=_seconds,
        metavar="S",
        help="limit of the whole transfer, in seconds (default: no limit)",
    )
    group.add_argument(
        "--retries", "--retry", type=_count, default=0, metavar="N", help="how often the request is sent again"
    )


def _add_tls(group: Any) -> None:
    group.add_argument("--cacert", metavar="FILE", help="trust these certificates in place of the usual ones")
    group.add_argument("-E", "--cert", metavar="FILE[:PASSWORD]", help="the client's certificate")
    group.add_argument("--key", metavar="FILE", help="its key, if it is not in the same file")
    group.add_argument("-k", "--insecure", action="store_true", help="accept any certificate")


# The types of the arguments. argparse reports the errors that they raise.


def _data(text: str) -> Data:
    return Data(FORM, path=text[1:]) if text.startswith("@") else _raw(text)


def _raw(text: str) -> Data:
    return Data(FORM, os.fsencode(text))


def _json(text: str) -> Data:
    return Data(JSON, path=text[1:]) if text.startswith("@") else Data(JSON, os.fsencode(text))


def _count(text: str) -> int:
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()) or len(digits) > 6:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 999,999, got {show_value(text)}")
    return int(digits)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 (no limit) up, below 1e9, got {show_value(text)}")
    return seconds


def plan_of(arguments: Sequence[str]) -> Plan:
    """The plan of a command line.

    Raises:
        UsageError: options contradict each other, or an argument is malformed.
        InvalidURL, UnsupportedProtocol: the URL cannot be requested.
        SystemExit: argparse has written an error, or the help.
    """
    given = parser().parse_args(arguments)
    url = url_of(given.url)
    has_body = bool(given.data) or given.data_file is not None
    _check_pairs(given)
    return Plan(
        method_of(given.request, head=given.head, has_body=has_body),
        url,
        headers=edited_headers(given.header, _defaults(given)),
        data=tuple(given.data),
        data_file=given.data_file,
        user=user_of(given.user),
        output=given.output,
        show_head=given.include or given.head,
        fail=given.fail,
        follow=given.location,
        most_redirects=given.max_redirs,
        is_silent=given.silent,
        show_errors=given.show_error,
        verbosity=given.verbose,
        compressed=given.compressed,
        timeout=given.timeout or None,
        max_time=given.max_time or None,
        retries=given.retries,
        http1=given.http1 or not given.http2,
        http2=given.http2 or not given.http1,
        engines=engines_of(given.engines),
        proxy=given.proxy,
        resolve=resolve_of(given.resolve, url),
        cacert=given.cacert,
        cert=cert_of(given.cert, given.key),
        insecure=given.insecure,
        trace=given.trace,
        trace_svg=given.trace_svg,
    )


def _check_pairs(given: argparse.Namespace) -> None:
    if given.http1 and given.http2:
        raise UsageError("--http1 and --http2: expected one of them, got both")
    if given.data and given.data_file is not None:
        raise UsageError("-d and --data-file: expected one of them, got both")


def _defaults(given: argparse.Namespace) -> list[Pair]:
    agent = AGENT if given.user_agent is None else os.fsencode(given.user_agent)
    fields = [(b"User-Agent", agent)] if agent else []
    kinds = [each.content_type for each in given.data]
    fields.append((b"Accept", JSON if JSON in kinds else b"*/*"))
    if given.compressed:
        fields.append((b"Accept-Encoding", ", ".join(supported_codings()).encode()))
    if kinds:
        fields.append((b"Content-Type", kinds[-1]))
    return fields
