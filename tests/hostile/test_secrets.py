"""No text made from a URL, a proxy or an environment variable shows a password: row C8 of docs/security.md.

These texts are an error's text and repr, those of its causes, the repr of a value, and a trace record.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from runtimes import Runtime, each_runtime

import httpcore
from httpcore._message.request import Request
from httpcore._message.url import URL

SECRET = "hunter2"
ADVICE = "percent-encode the password or pass Proxy(url, auth=(user, password))"

# Malformed URLs with a password. Each has SECRET in its intended password.
MISTAKES: dict[str, str | bytes] = {
    "an @ and a slash": "http://user:p@ss/hunter2@host",
    "an @ and a slash, with a path": "http://user:p@ss/hunter2@host/path",
    "a slash": "http://user:p/hunter2@host",
    "a slash behind digits": "http://user:1/hunter2@host",
    "a slash first": "http://user:/hunter2@host",
    "a question mark": "http://user:p?hunter2@host",
    "a number sign": "http://user:p#hunter2@host",
    "a space": "http://user:hunter2 @host",
    "a percent": "http://user:hunter2%@host",
    "a backslash": "http:\\\\user:hunter2@host",
    "one slash": "http:/user:hunter2@host",
    "no slash": "http:user:hunter2@host",
    "no scheme": "user:hunter2@host",
    "only slashes": "//user:hunter2@host",
    "two schemes": "http://http:/user:hunter2@host",
    "two whole schemes": "http://http://user:hunter2@host",
    "another scheme": "ftp://user:hunter2@host",
    "a bad port": "http://user:hunter2@host:port",
    "no host": "http://user:hunter2@",
    "an escaped @": "http://user:hunter2%40host",
    "an @ escaped twice": "http://user:hunter2%2540host",
    "a full-width @": "http://user:hunter2\uff20host",
    "a small @": "http://user:hunter2\ufe6bhost",
    "an @ of no alphabet": "http://user:hunter2\U000e0040host",
    "no @": "http://user:hunter2",
    "no @ and a path": "http://user:hunter2/path",
    "no @, scheme or host": "user:hunter2",
    "no @ and one slash": "http:/user:hunter2",
    "behind the port": "http://host:8080:user:hunter2",
    "behind an address": "http://[::1]:8080:user:hunter2",
    "a line end": "http://user:hunter2\n@host",
    "white space in front": " http://user:hunter2@host",
    "a lone surrogate": "http://user:hunter2\ud800@host",
    "a full-width @ in UTF-8": "http://user:hunter2\uff20host".encode(),
    "a full-width @ in Shift JIS": b"http://user:hunter2\x81\x97host",
    "an @ in UTF-16": "http://user:hunter2@host".encode("utf-16-le"),
    "an octet behind it": b"http://user:hunter2\xff@host",
    "a subclass": type("Text", (str,), {"__repr__": lambda self: SECRET})("http://user:p/hunter2@host"),
}
each_mistake = pytest.mark.parametrize("url", MISTAKES.values(), ids=MISTAKES)


def all_texts(error: BaseException) -> Iterator[str]:
    """All texts that a log may show of an error: the error and its causes, with their attributes."""
    yield "".join(traceback.format_exception_only(error))
    seen: set[int] = set()
    behind: list[BaseException | None] = [error]
    while behind:
        one = behind.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
            behind += [one.__cause__, one.__context__]


def texts_of(make: Callable[[], Any]) -> str:
    """Every text of the made object, or of the error instead."""
    try:
        made = make()
    except Exception as error:
        return "\n".join(all_texts(error))
    return f"{made!r}\n{made}"


def parse(url: str | bytes) -> tuple[URL | None, str]:
    """The texts of the URL, or of the error."""
    try:
        return URL.parse(url), ""
    except httpcore.HTTPCoreError as error:
        return None, "\n".join(all_texts(error))


def of_environment(url: str) -> object:
    return httpcore.proxies_from_environment({"http_proxy": url})


@each_mistake
def test_an_error_of_a_proxys_url_never_shows_the_password(url: str | bytes) -> None:
    with pytest.raises(httpcore.InvalidURL) as caught:
        httpcore.Proxy(url)
    text = "\n".join(all_texts(caught.value))
    assert not re.search("h.?u.?n.?t.?e.?r.?2", text)
    assert ADVICE in str(caught.value)


@each_mistake
def test_an_error_of_the_environment_never_shows_a_password(url: str | bytes) -> None:
    if isinstance(url, bytes):
        url = url.decode("utf-8", "surrogateescape")  # as os.environ has it
    text = texts_of(lambda: of_environment(url))
    assert not re.search("h.?u.?n.?t.?e.?r.?2", text)


def test_a_mistake_is_shown_as_scheme_and_host() -> None:
    with pytest.raises(httpcore.InvalidURL, match=r"url is 'http://\*\*\*@host':"):
        httpcore.Proxy("http://user:p@ss/w@host/path?query")
    with pytest.raises(httpcore.InvalidURL, match=r"^http_proxy in the environment: .* 'http:/\*\*\*@host:80':"):
        of_environment("http:/user:pass@host:80/")
    with pytest.raises(httpcore.InvalidURL, match=r"url is 'http://\*\*\*@host':"):
        URL.parse("http://user:pass\uff20host".encode())


@each_mistake
def test_a_requests_url_never_shows_its_credentials(url: str | bytes) -> None:
    parsed, text = parse(url)
    assert not re.search("h.?u.?n.?t.?e.?r.?2", text)
    if parsed is None:
        return
    # By RFC 3986 this URL is valid: the host has ended, and the intended password is in the path.
    if parsed.userinfo is not None:
        assert SECRET not in f"{parsed!r} {parsed.redacted} {Request.of('GET', parsed)!r}"


anything = st.text(max_size=8)
passwords = st.builds("{}hunter2{}".format, anything, anything)
ats = st.sampled_from(["@", "@", "%40", "%2540", "\uff20", "\ufe6b"])
starts = st.sampled_from(["http://", "https://", "socks5://", "HTTP:/", "http:", "http:\\\\", "//", "", " http://"])
ends = st.sampled_from(["", "/", ":80", ":port", "/path", "?query", "#fragment", " ", "\r\n"])


@given(starts, passwords, ats, ends)
@example("http://", "p@ss/hunter2", "@", "")
@example("http://", "1/hunter2", "@", "")
@example("", "/hunter2", "@", "")
def test_no_password_however_odd_is_shown_of_a_proxy(start: str, password: str, at: str, end: str) -> None:
    url = f"{start}user:{password}{at}host{end}"
    assert SECRET not in texts_of(lambda: httpcore.Proxy(url))
    assert SECRET not in texts_of(lambda: httpcore.ConnectionPool(proxy=url))
    if "\0" not in url:  # no environment variable contains a zero byte
        assert SECRET not in texts_of(lambda: of_environment(url))


@given(starts, passwords, ats, ends)
@example("http://", "p@ss/hunter2", "@", "")
def test_no_password_however_odd_is_shown_of_a_request(start: str, password: str, at: str, end: str) -> None:
    url = f"{start}user:{password}{at}host{end}"
    parsed, text = parse(url)
    assert SECRET not in text
    if parsed is None:
        return
    assume(parsed.userinfo is not None and SECRET not in parsed.host)  # otherwise the RFC has no password there
    assert SECRET not in f"{parsed!r} {parsed.redacted} {Request.of('GET', parsed)!r}"


@given(st.tuples(passwords, passwords), st.sampled_from(["http://h", "socks5://h", "socks4://h", "http://u:x@h", "h"]))
@example(("hunter2\ud800", "hunter2"), "http://h")
@example(("hunter2:", "hunter2"), "http://h")
def test_no_password_is_shown_when_it_is_given_apart(auth: tuple[str, str], url: str) -> None:
    assert SECRET not in texts_of(lambda: httpcore.Proxy(url, auth=auth))


def test_unencodable_text_is_an_error_without_the_text() -> None:
    with pytest.raises(ValueError, match="auth has a str with a lone surrogate") as caught:
        httpcore.Proxy("http://h", auth=("user", "hunter2\ud800"))
    assert type(caught.value) is ValueError, "a UnicodeEncodeError keeps the secret text"


@each_runtime
def test_no_trace_record_or_error_shows_a_requests_password(runtime: Runtime) -> None:
    records: list[httpcore.TraceEvent] = []
    urls = ("http://user:hunter2@127.0.0.1:1/a", "http://user:x@127.0.0.1:1/hunter2@host")

    async def body() -> None:
        for proxy in (None, "http://user:hunter2@127.0.0.1:1", "socks5://user:hunter2@127.0.0.1:1"):
            async with runtime.pool(proxy=proxy, trace=records.append, retries=0) as pool:
                for url in urls:
                    with pytest.raises(httpcore.ConnectError) as caught:
                        await pool.request("GET", url)
                    assert SECRET not in "\n".join(all_texts(caught.value))

    runtime.run(body)
    assert len(records) >= 12
    assert SECRET not in "\n".join(map(repr, records))
