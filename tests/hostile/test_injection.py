"""For any arguments, exactly the intended request is sent, or an error is raised before any byte.

Every byte value is tried at the start, in the middle and at the end of each field that reaches the wire, and the
received bytes are read by a separate, strict parser: rows A1, A2, A3, A5 and A11 of docs/security.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, ok
from trials import every_runtime_has_run, nothing_is_left_open, trial  # noqa: F401  # fixtures

import httpcore
from httpcore._config import SSLConfig
from httpcore._connect.network import Network
from httpcore._errors import show
from httpcore._message.body import Body
from httpcore._message.request import Request, header_pairs, trailer_pairs
from httpcore._message.url import URL, parse_host

TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb') ([!"$-~]+) HTTP/1\.1')  # visible ASCII without a fragment
FIELD = re.compile(rb"(" + TOKEN + rb"): ((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)")


class Strict(ScriptedServer):
    """Reads requests exactly as RFC 9112 defines them, and accepts no deviation. Each request is kept: method, target,
    fields, body, trailers.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes, list[tuple[bytes, bytes]]]] = []
        super().__init__(self._read)

    def _read(self, peer: Peer) -> None:
        while head := peer.head():
            line, *lines = head[:-4].split(b"\r\n")
            match = REQUEST_LINE.fullmatch(line)
            assert match is not None, line
            fields = [self._field(line) for line in lines]
            assert [name.lower() for name, _ in fields].count(b"host") == 1
            body, trailers = self._body(peer, {name.lower(): value for name, value in fields})
            self.requests.append((match[1], match[2], fields, body, trailers))
            peer.send(ok(b"" if match[1] == b"HEAD" else b"clean") if match[1] != b"CONNECT" else ok(b"clean"))

    def _body(self, peer: Peer, fields: dict[bytes, bytes]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        if fields.get(b"transfer-encoding") != b"chunked":
            return peer.exactly(int(fields.get(b"content-length", b"0"))), []
        body = b""
        while size := int(peer.until(b"\r\n"), 16):
            body += peer.exactly(size)
            assert peer.exactly(2) == b"\r\n"
        trailers = []
        while (line := peer.until(b"\r\n")) != b"\r\n":
            trailers.append(self._field(line[:-2]))
        return body, trailers

    def _field(self, line: bytes) -> tuple[bytes, bytes]:
        match = FIELD.fullmatch(line)
        assert match is not None, line
        return match[1], match[2]

    def __enter__(self) -> Strict:
        return self


def with_each_byte(field: bytes) -> Iterator[bytes]:
    """`field` with each byte value at its start, in its middle and at its end."""
    middle = len(field) // 2
    for value in range(256):
        byte = bytes([value])
        yield byte + field
        yield field[:middle] + byte + field[middle:]
        yield field + byte


async def refused(pool: Any, given: dict[str, Any]) -> str | None:
    """Make the request. The text of the error if it was refused, None if it was sent."""
    try:
        await pool.request(**given)
    except REFUSED as error:
        return str(error)
    return None


REFUSED = (httpcore.LocalProtocolError, httpcore.InvalidURL, httpcore.UnsupportedProtocol)
FIELDS: dict[str, bytes] = {
    "method": b"GET",
    "target": b"/a?b",
    "path": b"/path",
    "query": b"/?query",
    "user info": b"user",
    "header name": b"X-Name",
    "header value": b"value",
    "host": b"a.test",
    "content length": b"4",
    "transfer encoding": b"chunked",
    "trailer name": b"X-Name",
    "trailer value": b"value",
}


def requested(url: str, field: str, value: bytes) -> dict[str, Any]:
    """The arguments of `request`, with `value` in one field."""
    given: dict[str, Any] = {"method": "POST", "url": f"{url}/", "headers": [], "body": b"body"}
    if field == "method":
        given["method"] = value
    elif field == "target":
        given["target"] = value
    elif field in ("path", "query"):
        given["url"] = url.encode() + value
    elif field == "user info":
        given["url"] = url.encode().replace(b"://", b"://" + value + b"@") + b"/"
    elif field.startswith("header"):
        given["headers"] = [(value, b"value") if field.endswith("name") else (b"X-Name", value)]
    elif field == "host":
        given["headers"] = [(b"Host", value)]
    elif field == "content length":
        given["headers"] = [(b"Content-Length", value)]
    elif field == "transfer encoding":
        given["headers"] = [(b"Transfer-Encoding", value)]
    else:
        given["trailers"] = [(value, b"value") if field.endswith("name") else (b"X-Name", value)]
    return given


@each_runtime
@pytest.mark.parametrize("field", FIELDS)
def test_each_byte_in_each_field_makes_one_request_or_an_error(runtime: Runtime, field: str) -> None:
    sent: list[tuple[bytes, dict[str, Any]]] = []

    async def body() -> None:
        async with trial(runtime, server) as pool:
            for value in with_each_byte(FIELDS[field]):
                if field == "user info" and re.search(b"[/?#]", value):
                    continue  # these end the authority, so they make another URL
                given = requested(server.url, field, value)
                before = len(server.requests)
                refusal = await refused(pool, given)
                if refusal is None:
                    sent.append((value, given))
                else:
                    assert refusal.isprintable()
                    assert len(server.requests) == before

    with Strict() as server:
        runtime.run(body)
    came = [request for request in server.requests if request[1] != b"/clean"]
    assert len(came) == len(sent)
    for (value, given), (method, target, fields, content, trailers) in zip(sent, came, strict=True):
        assert method == (value if field == "method" else b"POST")
        assert content == (b"body" if method != b"CONNECT" else b"")
        if field == "target":
            assert target == value
        elif field not in ("path", "query"):
            assert target == b"/"
        meant = [(name.lower(), text) for name, text in given["headers"]]
        meant += [(b"host", server.url[7:].encode())] if field != "host" else []
        added = (b"transfer-encoding", b"chunked") if "trailer" in field else (b"content-length", b"4")
        meant += [added] if field not in ("content length", "transfer encoding") else []
        assert sorted((name.lower(), text) for name, text in fields) == sorted(meant)
        assert trailers == given.get("trailers", [])
        assert b"user" not in b"".join(text for _, text in fields)
    assert len(sent) < 3 * 256
    assert sent or field == "transfer encoding"  # "chunked" is the only word allowed there, with no byte around it


SECRET = "hunter2"
SMUGGLED = [
    b"\r\nX-Evil: hunter2",
    b"\nX-Evil: hunter2",
    b"\rX-Evil: hunter2",
    b"\r\n\r\nGET /evil HTTP/1.1\r\nHost: hunter2\r\n\r\n",
    b"\0hunter2",
    b" hunter2\x7f",
]


@each_runtime
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("smuggled", SMUGGLED)
def test_a_smuggled_line_is_refused_and_its_value_not_repeated(runtime: Runtime, field: str, smuggled: bytes) -> None:
    async def body() -> None:
        async with trial(runtime, server) as pool:
            for value in (FIELDS[field] + smuggled, smuggled + FIELDS[field]):
                refusal = await refused(pool, requested(server.url, field, value))
                assert refusal is not None
                assert refusal.isprintable()
                assert SECRET not in refusal or not field.endswith("value")

    with Strict() as server:
        runtime.run(body)
    assert {request[1] for request in server.requests} == {b"/clean"}


URLS = {
    "no scheme": ("127.0.0.1/", httpcore.InvalidURL),
    "no host": ("http:///path", httpcore.InvalidURL),
    "no slashes": ("http:127.0.0.1/", httpcore.InvalidURL),
    "another scheme": ("ftp://127.0.0.1/", httpcore.UnsupportedProtocol),
    "a scheme of scripts": ("javascript:alert(1)", httpcore.UnsupportedProtocol),
    "port 0": ("http://127.0.0.1:0/", httpcore.InvalidURL),
    "port 65536": ("http://127.0.0.1:65536/", httpcore.InvalidURL),
    "a port with a sign": ("http://127.0.0.1:+80/", httpcore.InvalidURL),
    "a port of letters": ("http://127.0.0.1:http/", httpcore.InvalidURL),
    "a space in the host": ("http://127.0.0.1 .test/", httpcore.InvalidURL),
    "CR and LF in the host": ("http://127.0.0.1\r\nX: y/", httpcore.InvalidURL),
    "NUL in the host": ("http://127.0.0.1\0.test/", httpcore.InvalidURL),
    "a backslash": ("http://127.0.0.1\\@a.test/", httpcore.InvalidURL),
    "a slash escaped in the host": ("http://127.0.0.1%2fa.test/", httpcore.InvalidURL),
    "an open bracket": ("http://[::1/", httpcore.InvalidURL),
    "a number of another base": ("http://0x7f000001/", httpcore.InvalidURL),
    "a number as a host": ("http://2130706433/", httpcore.InvalidURL),
    "nothing": ("", httpcore.InvalidURL),
}


@each_runtime
@pytest.mark.parametrize("case", URLS)
def test_an_invalid_url_is_refused_before_anything_is_opened(runtime: Runtime, case: str) -> None:
    url, error = URLS[case]

    async def body() -> None:
        async with trial(runtime, server) as pool:
            with pytest.raises(error) as caught:
                await pool.request("GET", url)
            assert str(caught.value).isprintable()
            assert pool.stats().connections == 0

    with Strict() as server:
        runtime.run(body)


# Values of subclasses, which show one value to a check and another to the wire: row A11.

KEPT = {
    "__class__",
    "__del__",
    "__delattr__",
    "__dir__",
    "__getattribute__",
    "__init__",
    "__init_subclass__",
    "__new__",
    "__setattr__",
    "__subclasshook__",
}


def misreport(true: Any, claimed: Any) -> Any:
    """A value that is `true` in memory, but shows `claimed` through every method that a subclass can override.

    Both are str, bytes, bytearray or int, or a list or tuple of these.
    """
    base = type(true)
    if base in (list, tuple):
        true = base(misreport(one, other) for one, other in zip(true, claimed, strict=True))
        if base is list or len(true) != 2:
            return true

    def misreported(name: str) -> Any:
        return lambda self, *arguments, **named: getattr(claimed, name)(*arguments, **named)

    names = [name for name in dir(base) if callable(getattr(base, name)) and name not in KEPT]
    methods = {name: misreported(name) for name in names} if base is not tuple else {}
    return type(f"Lying{base.__name__}", (base,), methods)(true)


def test_misreport_makes_values_with_false_methods() -> None:
    for true, claimed in ((b"true", b"claimed"), ("true", "claimed")):
        lie = misreport(true, claimed)
        assert (len(lie), lie.lower(), lie[:3], str(lie), lie == claimed) == (
            7,
            claimed,
            claimed[:3],
            str(claimed),
            True,
        )
        assert bytes(misreport(b"true", b"claimed")) == b"claimed"
    assert int(misreport(4, 5)) == 5
    assert list(misreport((b"a", "b"), (b"c", "d"))) == [b"c", "d"]


def misreported(true: dict[str, Any], claimed: dict[str, Any]) -> dict[str, Any]:
    return {name: misreport(value, claimed[name]) if value else value for name, value in true.items()}


def texts(given: dict[str, Any]) -> dict[str, Any]:
    """The same arguments, in str instead of bytes, except the body."""
    return {
        name: value.decode("latin-1")
        if isinstance(value, bytes)
        else [tuple(part.decode("latin-1") for part in pair) for pair in value]
        if isinstance(value, list)
        else value
        for name, value in given.items()
    }


@each_runtime
@pytest.mark.parametrize("as_text", [False, True], ids=["bytes", "str"])
@pytest.mark.parametrize("field", FIELDS)
def test_the_checked_value_is_sent_whatever_methods_return(runtime: Runtime, field: str, as_text: bool) -> None:
    refusals: list[str | None] = []

    async def body() -> None:
        async with trial(runtime, server) as pool:
            good = requested(server.url, field, FIELDS[field])
            for smuggled in SMUGGLED:
                bad = requested(server.url, field, FIELDS[field] + smuggled)
                forms = (texts(good), texts(bad)) if as_text else (good, bad)
                assert (
                    await refused(pool, misreported(*forms)) is None
                )  # the value in memory is right, and is the one that is sent
                refusals.append(await refused(pool, misreported(*reversed(forms))))

    with Strict() as server:
        runtime.run(body)
    assert None not in refusals
    came = [request for request in server.requests if request[1] != b"/clean"]
    assert len(came) == len(SMUGGLED)
    assert all(request == came[0] for request in came)
    assert SECRET.encode() not in repr(came).encode()


@each_runtime
def test_a_body_has_its_length_even_if_its_pieces_report_others(runtime: Runtime) -> None:
    longer, shorter = b"0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n", b""
    bodies = [misreport(kind(b"body"), kind(lie)) for kind in (bytes, bytearray) for lie in (longer, shorter)]
    bodies += [misreport("body", "0\r\n\r\nGET /evil"), misreport("body", "")]

    async def body() -> None:
        async with trial(runtime, server) as pool:
            for each in bodies:
                await pool.request("POST", f"{server.url}/whole", body=each)
                if not isinstance(each, str):
                    await pool.request("POST", f"{server.url}/chunks", body=iter([each, each]))
                    await pool.request(
                        "POST", f"{server.url}/counted", headers={"Content-Length": "4"}, body=iter([each])
                    )

    with Strict() as server:
        runtime.run(body)
    contents = {b"/whole": b"body", b"/chunks": b"bodybody", b"/counted": b"body", b"/clean": b""}
    assert {request[1] for request in server.requests} == set(contents)
    assert all(request[3] == contents[request[1]] for request in server.requests)


def check_exact_types(value: Any) -> None:
    """Check that no part of the value is an instance of a subclass."""
    if isinstance(value, (list, tuple)):
        for one in value:
            check_exact_types(one)
    else:
        assert type(value) in (str, bytes, int, float, type(None))


@pytest.mark.parametrize("lie", ["", "a.test", "a\r\nb: c", "\0" * 300])
def test_a_kept_value_is_exact(lie: str) -> None:
    octets = lie.encode()
    name, text = misreport("a.example", lie), misreport(b"a.example", octets)
    request = Request.of(text, "http://h/", [(text, name), (name, text)], text, None, [(name, text)])
    extended = Request.of("CONNECT", "http://h/", [(misreport(":protocol", lie), text)])
    proxy = httpcore.Proxy("http://h", auth=(name, text), headers=[(name, text)])
    socks = httpcore.Proxy("socks5://h", auth=(name, text))
    config = SSLConfig(server_hostname=name, alpn=(name,), fingerprints=(misreport("ab" * 32, lie),))
    network = Network(resolve={name: misreport("127.0.0.1", lie)}, local_address=misreport("127.0.0.1", lie))
    assert (request.method, request.body.data, request.target) == (b"a.example", b"a.example", b"/")
    assert request.headers[1:3] == [(b"a.example", b"a.example")] * 2
    assert extended.protocol == b"a.example"
    assert proxy.auth == socks.auth == (b"a.example", b"a.example")
    assert config.server_hostname == parse_host(name) == "a.example"
    assert network.known == {"a.example": ("127.0.0.1",)}
    for value in (
        [request.method, request.target, request.headers, request.trailers, request.body.data, request.head],
        [extended.protocol, extended.headers, extended.target, proxy.auth, proxy.headers, socks.auth, proxy.fields],
        [config.server_hostname, config.alpn, config.fingerprints, network.local_address, *network.known.values()],
        [header_pairs([(name, text)]), trailer_pairs([(name, text)]), parse_host(name), show(name), show(text)],
        [URL.parse(misreport("http://a.example/", lie)).host, httpcore.Response(misreport(200, 5)).status_code],
        [Body.of(misreport("body", lie)).data, Body.of(misreport(bytearray(b"body"), bytearray(octets))).data],
        [
            httpcore.TimeoutConfig(misreport(1, 5)).read_timeout,
            httpcore.TimeoutConfig(misreport(1.0, 5.0)).read_timeout,
        ],
    ):
        check_exact_types(value)


def test_a_name_that_only_equals_a_known_one_is_refused() -> None:
    header_pairs([(b"X-Name", b"value")])  # the name is remembered
    with pytest.raises(httpcore.LocalProtocolError, match=r"headers\[0\] has a name"):
        header_pairs([(misreport(b"X-Name: a\r\nX-Evil", b"X-Name"), b"value")])


def test_a_status_and_a_files_length_are_exact() -> None:
    class File:
        def read(self, size: int) -> bytes:
            return b""

        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return int(misreport(0, 7)) and 0

        def seek(self, offset: int, whence: int = 0) -> Any:
            return misreport(4, 400)

    request = Request.of("POST", "http://h/", None, File())
    assert request.content_length == 4
    check_exact_types(request.content_length)
    with pytest.raises(httpcore.LocalProtocolError, match="status_code is 1000:"):
        httpcore.Response(misreport(1000, 200))


def test_requests_of_every_kind_compare_no_bytes_with_text() -> None:
    """`python -bb` makes a comparison of bytes with text an error. Otherwise such a comparison returns False, so a
    check that makes one would check nothing.
    """
    with Strict() as server:
        subprocess.run(
            [sys.executable, "-bb", str(Path(__file__).parent.parent / "support" / "strict_bytes.py"), server.url],
            check=True,
            timeout=120,
        )
        assert len(server.requests) > 100
