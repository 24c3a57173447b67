"""The command itself: reads the plan, sends the request, writes the response, and returns the exit status."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from getpass import GetPassWarning, getpass
from pathlib import Path
from typing import BinaryIO

from .._client.auth import BasicAuth
from .._client.client import Client
from .._client.response import ClientResponse
from .._config import SSLConfig, TimeoutConfig
from .._connect.environment import proxies_from_environment
from .._connect.proxy import Proxy, ProxyChooser
from .._errors import HTTPCoreError
from .._message.decoders import decoder_for
from .._pool.retry_policy import RetryPolicy
from .._sync import SyncConnectionPool
from .arguments import plan_of
from .chart import chart_lines
from .clean import line_text
from .exits import Exit, exit_of
from .output import Console, File, Output, Stream, Terminal, WriteFailed
from .paint import Painter
from .plan import Data, Plan, UsageError
from .progress import Bar
from .svg import svg_of
from .timeline import exchanges_of
from .watch import Watch
from .wire import Wire

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Run the command, and return its exit status.

    Arguments:
        arguments: the command line without its first word. Default None: that of the process.
        console: its standard streams. Default None: those of the process.
    """
    console = Console.of_process() if console is None else console
    try:
        plan = plan_of(sys.argv[1:] if arguments is None else arguments)
    except UsageError as error:
        console.say(f"httpcore: {line_text(str(error))}")
        return Exit.USAGE
    except (HTTPCoreError, TypeError, ValueError) as error:
        status = exit_of(error, ())
        console.say(f"httpcore: ({status:d}) {line_text(str(error))}")
        return status
    return Run(plan, console).run()


class ReadFailed(Exception):
    """A file to be sent cannot be read."""


class Run:
    """One run of the command."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._output = output_of(plan, console)
        self._painter = Painter(console)
        self._bar = Bar(console, self._painter) if self._has_bar(console) else None
        self._watch = Watch(plan, console, self._output, self._bar)

    def _has_bar(self, console: Console) -> bool:
        """Whether a progress bar is shown. If the body goes to a terminal, the body itself shows the progress."""
        elsewhere = isinstance(self._output, File) or not console.stdout.isatty()
        return elsewhere and console.stderr.isatty() and not self._plan.is_silent

    def run(self) -> int:
        try:
            status = self._transfer()
        except (Exception, KeyboardInterrupt) as error:
            status = self._show_failure(error)
        finally:
            self._end_bar()
            self._output.close()
        return self._report(status)

    def _report(self, status: Exit) -> Exit:
        """Show the waterfall, made from the records of the run; the exit status."""
        plan, console = self._plan, self._console
        if not (plan.trace or plan.trace_svg):
            return status
        exchanges = exchanges_of(self._watch.records)
        if plan.trace:
            width = shutil.get_terminal_size().columns
            for line in chart_lines(exchanges, width, is_unicode=console.is_unicode):
                console.say(self._painter.text(line))
        if plan.trace_svg is not None:
            try:
                Path(plan.trace_svg).write_text(svg_of(exchanges), encoding="utf-8")
            except OSError as error:
                status = status or Exit.WRITE
                self._show_error(Exit.WRITE, f"{plan.trace_svg} cannot be written: {error.strerror or error}")
        return status

    def _show_failure(self, error: BaseException) -> Exit:
        if isinstance(error, WriteFailed):
            status = Exit.WRITE
        elif isinstance(error, ReadFailed):
            status = Exit.READ_FILE
        else:
            status = exit_of(error, self._watch.records)
        if status is not Exit.INTERRUPTED:
            self._show_error(status, str(error))
        return status

    def _show_error(self, status: Exit, text: str) -> None:
        self._end_bar()  # otherwise the text would continue the line of the bar
        if self._plan.show_errors or not self._plan.is_silent:
            self._console.say(f"httpcore: ({status:d}) {line_text(text)}")

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _transfer(self) -> Exit:
        plan = self._plan
        with ExitStack() as stack:
            content = content_of(plan, self._console, stack)
            wire = Wire(pool_of(plan), self._watch)
            client = stack.enter_context(client_of(plan, wire))
            response = client.request(
                plan.method,
                plan.url,
                content,
                stream=True,
                allow_redirects=plan.follow,
                on_progress=self._bar,
            )
            with response:
                if plan.fail and response.status_code >= 400:
                    self._show_error(Exit.STATUS, f"the server answered with status {response.status_code:d}")
                    return Exit.STATUS
                self._write(response)
            if wire.last is not None:
                self._watch.ended(wire.last)
        return Exit.OK

    def _write(self, response: ClientResponse) -> None:
        output = self._output
        output.begin(response.headers.get("Content-Type"))
        for piece in decoded(response) if self._plan.compressed else response.raw():
            output.body(piece)
        output.end()
        self._end_bar()


def decoded(response: ClientResponse) -> Iterator[bytes]:
    """The body, decoded.

    Raises:
        DecodingError: the coding is damaged or unknown. (A response itself returns a body with an unknown coding as
            sent.)
    """
    for number, piece in enumerate(response.stream()):
        if not number:  # checked only if there is a body: a head without one may name any coding
            decoder_for([(b"content-encoding", value) for value in response.headers.get_raw("Content-Encoding")])
        yield piece


# The arguments of the request, from the plan.


def output_of(plan: Plan, console: Console) -> Output:
    if plan.output not in (None, "-"):
        return File(str(plan.output))
    if plan.output is None and console.stdout.isatty():
        return Terminal(console.stdout)
    return Stream(console.stdout)


def pool_of(plan: Plan) -> SyncConnectionPool:
    """The pool that the request goes through.

    Raises:
        TypeError, ValueError, HTTPCoreError: an option has an invalid value.
    """
    return SyncConnectionPool(
        SSLConfig(cert=plan.cert, verify=False if plan.insecure else plan.cacert or True),
        TimeoutConfig(plan.timeout),
        http1=plan.http1,
        http2=plan.http2,
        proxy=proxy_of(plan.proxy),
        resolve=dict(plan.resolve) or None,
        retries=RetryPolicy(attempts=plan.retries + 1),
        engines=plan.engines,  # type: ignore[arg-type]  # any text: the pool checks the name
    )


def proxy_of(text: str | None) -> Proxy | ProxyChooser | None:
    """The proxy of `--proxy`: a URL, by default an http one; "" means no proxy. Without `--proxy` the proxies of the
    environment are used.
    """
    if text is None:
        return proxies_from_environment()
    return Proxy(text if "://" in text else f"http://{text}") if text else None


def client_of(plan: Plan, wire: Wire) -> Client:
    timeout = TimeoutConfig(plan.timeout, total=plan.max_time)
    auth = None if plan.user is None else BasicAuth(plan.user[0], password_of(*plan.user))
    client = Client(
        transport=wire, timeout=timeout, max_redirects=plan.most_redirects, auth=auth, trust_env=False, max_body=None
    )
    client.headers = plan.headers  # in place of the defaults of a client
    return client


def password_of(user: str, password: str | None) -> str:
    """The password; the program prompts for a missing one on the terminal, also if stdin is a file.

    Raises:
        UsageError: there is no terminal, or the input ended before one was typed.
    """
    if password is not None:
        return password
    try:
        with warnings.catch_warnings():
            # Without a terminal `getpass` warns, and then reads from stdin, which may be meant for the body.
            warnings.simplefilter("error", GetPassWarning)
            return getpass(f"Password of {line_text(user)}: ")
    except GetPassWarning:
        raise UsageError("-u: expected a password: give USER:PASSWORD, or run in a terminal") from None
    except EOFError:
        raise UsageError("-u: expected USER:PASSWORD or a typed password, got the end of the input") from None


def content_of(plan: Plan, console: Console, stack: ExitStack) -> bytes | BinaryIO | None:
    """The body of the request.

    Raises:
        ReadFailed: a file cannot be read.
    """
    if plan.data:
        return b"&".join([_text_of(each, console) for each in plan.data])
    if plan.data_file is None:
        return None
    if plan.data_file == "-":
        return console.stdin
    return stack.enter_context(_opened(plan.data_file))


def _text_of(data: Data, console: Console) -> bytes:
    """The data of `-d`, without the line ends of a file, as curl does."""
    if data.path is None:
        return data.text
    with _reading(data.path):
        text = console.stdin.read() if data.path == "-" else Path(data.path).read_bytes()
    return text.translate(None, b"\r\n\0") if data.is_form else text


def _opened(path: str) -> BinaryIO:
    with _reading(path):
        return open(path, "rb")


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReadFailed(f"{line_text(path)} cannot be read: {error.strerror or error}") from error
