"""Redirects: the rules as values, the bytes on the wire, and curl -L and requests as references on the same server."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
from clients import client
from origins import Answer, Origin, ReceivedRequest
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer

import httpcore
from httpcore import URL, RedirectError
from httpcore._client.redirects import kept_fields, location_of, method_for, redirect_for

# The rules.

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
CHANGED = {
    **{(303, method): "GET" for method in METHODS if method not in ("GET", "HEAD")},
    (301, "POST"): "GET",
    (302, "POST"): "GET",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_each_status_gives_the_method_of_the_next_request(status: int, method: str) -> None:
    expected = CHANGED.get((status, method), method)
    assert method_for(method, status) == expected
    redirect = redirect_for(method, URL("http://a.test/"), status, b"/b")
    assert redirect.keeps_body is (expected == method and status != 303)


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 399, 400])
def test_another_status_is_no_redirect(status: int) -> None:
    assert location_of(status, [(b"location", b"/b")]) is None


def test_a_redirect_without_a_location_is_not_followed() -> None:
    assert location_of(302, [(b"content-length", b"0")]) is None


def test_different_locations_are_an_error_and_equal_ones_are_not() -> None:
    assert location_of(302, [(b"location", b"/b"), (b"location", b"/b")]) == b"/b"
    with pytest.raises(RedirectError, match="2 different Location"):
        location_of(302, [(b"location", b"/b"), (b"location", b"/c")])


LEADS = [
    (b"http://b.test/x", "http://b.test/x"),
    (b"//b.test/x", "http://b.test/x"),
    (b"/x", "http://a.test:8000/x"),
    (b"x", "http://a.test:8000/one/x"),
    (b"../x", "http://a.test:8000/x"),
    (b"./x", "http://a.test:8000/one/x"),
    (b"?q=2", "http://a.test:8000/one/two?q=2"),
    (b"", "http://a.test:8000/one/two?q=1"),
    (b"/a b", "http://a.test:8000/a%20b"),
    (b" /x ", "http://a.test:8000/x"),
    (b"/100%", "http://a.test:8000/100%25"),
    (b"/%zz", "http://a.test:8000/%25zz"),
    ("/ü".encode(), "http://a.test:8000/%C3%BC"),
    (b"/\xfc", "http://a.test:8000/%C3%BC"),
    (b"HTTP://B.TEST:80/x", "http://b.test/x"),
    (b"http://eve:evil@b.test/x", "http://b.test/x"),
    (b"http://eve@a.test:8000/x", "http://a.test:8000/x"),
    ("http://bücher.test/".encode(), "http://xn--bcher-kva.test/"),
    (b"/x?a=b&c=%26", "http://a.test:8000/x?a=b&c=%26"),
    (b"/../../x", "http://a.test:8000/x"),
]


@pytest.mark.parametrize(("location", "expected"), LEADS)
def test_each_location_leads_to_its_url(location: bytes, expected: str) -> None:
    assert str(redirect_for("GET", URL("http://a.test:8000/one/two?q=1"), 302, location).url) == expected


def test_the_fragment_stays_unless_the_location_has_one() -> None:
    url = URL("http://a.test/one#here")
    assert redirect_for("GET", url, 302, b"/two").url.fragment == "here"
    assert redirect_for("GET", url, 302, b"/two#there").url.fragment == "there"
    assert redirect_for("GET", url, 302, b"/two#").url.fragment == ""


REFUSED = [
    b"file:///etc/passwd",
    b"ftp://a.test/x",
    b"data:text/plain,x",
    b"javascript:alert(1)",
    b"unix:/run/docker.sock",
    b"http:///x",
    b"http://",
    b"http://b.test\\@a.test/",
    b"/a\x00b",
    b"/a\tb",
    b"http://a.test:0/",
    b"http://a.test:70000/",
    b"http://0x7f000001/",
    b"http://user:secret@/x",
]


@pytest.mark.parametrize("location", REFUSED)
def test_a_location_that_cannot_be_requested_is_an_error(location: bytes) -> None:
    with pytest.raises(RedirectError, match="expected an http or https URL") as caught:
        redirect_for("GET", URL("http://a.test/"), 302, location)
    assert "secret" not in str(caught.value)


def test_only_scheme_host_and_port_together_are_the_same_origin() -> None:
    def same(location: bytes) -> bool:
        return redirect_for("GET", URL("https://a.test/"), 302, location).same_origin

    assert same(b"/x")
    assert same(b"HTTPS://A.TEST:443/x")
    for other in (b"http://a.test/", b"https://a.test:444/", b"https://b.test/", b"https://a.test./", b"//x.a.test/"):
        assert not same(other)


FIELDS = [
    (b"Host", b"a.test"),
    (b"Content-Type", b"text/plain"),
    (b"Content-Length", b"2"),
    (b"CONTENT-encoding", b"gzip"),
    (b"Transfer-Encoding", b"chunked"),
    (b"Expect", b"100-continue"),
    (b"Trailer", b"X-A"),
    (b"authorization", b"1"),
    (b"AUTHORIZATION", b"2"),
    (b"Cookie", b"a=b"),
    (b"X-Api-Key", b"k"),
    (b"Accept", b"*/*"),
]


def names(**how: Any) -> list[bytes]:
    return [
        name
        for name, _ in kept_fields(FIELDS, credentials=frozenset((b"authorization", b"cookie", b"x-api-key")), **how)
    ]


def test_a_redirect_drops_the_fields_of_body_and_origin() -> None:
    assert names(keeps_body=True, same_origin=True) == [name for name, _ in FIELDS]
    without_body = [b"Host", b"authorization", b"AUTHORIZATION", b"Cookie", b"X-Api-Key", b"Accept"]
    assert names(keeps_body=False, same_origin=True) == without_body
    assert names(keeps_body=False, same_origin=False) == [b"Accept"]
    assert names(keeps_body=True, same_origin=True, drops=frozenset((b"cookie",))).count(b"Cookie") == 0


# Over the wire.


class Site:
    """One server with a redirect for each path."""

    def __init__(self) -> None:
        self.log: list[ReceivedRequest] = []
        self.moves: dict[str, tuple[int, str]] = {}
        self.origin = Origin("site", self.log, self.answer)
        self.url = self.origin.url

    def answer(self, seen: ReceivedRequest) -> Answer:
        if seen.target in self.moves:
            status, location = self.moves[seen.target]
            return Answer(status, [("Location", location)], b"moved")
        return Answer(200, [("Content-Type", "text/plain")], b"arrived")


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    with made.origin:
        yield made


BODIES = [None, b"content", {"a": "1"}, httpcore.ReplayableBody(lambda: [b"con", b"tent"])]


@each_runtime
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", BODIES, ids=["none", "bytes", "form", "chunks"])
def test_a_redirect_has_its_method_and_body_on_the_wire(
    site: Site, runtime: Runtime, status: int, method: str, body: Any
) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            response = await http.request(method, f"{site.url}/one", body)
            assert response.status_code == 200
            assert [each.status_code for each in response.history] == [status]
            assert str(response.url) == f"{site.url}/two"

    site.moves["/one"] = (status, "/two")
    runtime.run(main)
    first, second = site.log
    assert (first.method, second.method) == (method, method_for(method, status))
    if second.method == first.method and status != 303:
        assert second.body == first.body
        assert second.get("content-type") == first.get("content-type")
    else:
        assert second.body == b""
        assert not [name for name, _ in second.fields if name.startswith("content-") or name == "transfer-encoding"]


@each_runtime
def test_history_is_oldest_first_and_each_has_its_request(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            response = await http.get(f"{site.url}/one#part")
            assert [str(each.url) for each in response.history] == [f"{site.url}/{n}#part" for n in ("one", "two")]
            assert [each.status_code for each in response.history] == [302, 308]
            assert response.history[0].content == b"moved"
            assert response.history[1].history[0].url.path == "/one"
            assert (response.text, str(response.url)) == ("arrived", f"{site.url}/three#part")
            assert site.origin.connections == 1

    site.moves |= {"/one": (302, "two"), "/two": (308, "/three")}
    runtime.run(main)


@each_runtime
def test_without_following_next_goes_one_step(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            response = await http.head(f"{site.url}/one", allow_redirects=False)
            assert response.is_redirect
            response = await response.next()
            assert (response.is_redirect, response.url.path, response.request.method) == (True, "/two", "HEAD")
            response = await response.next()
            assert (response.is_redirect, response.url.path) == (False, "/three")
            assert [each.url.path for each in response.history] == ["/one", "/two"]
            with pytest.raises(httpcore.LocalProtocolError, match="got another response"):
                await response.next()

    site.moves |= {"/one": (302, "two"), "/two": (308, "/three")}
    runtime.run(main)


@each_runtime
def test_next_may_be_called_again(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime, max_redirects=1) as http:
            response = await http.get(f"{site.url}/one", allow_redirects=False)
            for _ in range(2):
                following = await response.next()
                assert (following.url.path, following.is_redirect) == ("/two", True)
                with pytest.raises(httpcore.TooManyRedirects):
                    await following.next()

    site.moves |= {"/one": (302, "two"), "/two": (302, "/three")}
    runtime.run(main)


@each_runtime
def test_loops_and_too_many_redirects_are_errors_of_their_own(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime, max_redirects=3) as http:
            with pytest.raises(httpcore.RedirectLoop, match=r"in a loop: GET .*/a was requested before") as loop:
                await http.get(f"{site.url}/a")
            assert (loop.value.method, loop.value.status_code) == ("GET", 302)
            with pytest.raises(httpcore.TooManyRedirects, match="more than 3 times") as many:
                await http.get(f"{site.url}/0")
            assert many.value.limit == 3
            assert (await http.get(f"{site.url}/1")).status_code == 200
        async with client(runtime, max_redirects=0) as http:
            with pytest.raises(httpcore.TooManyRedirects):
                await http.get(f"{site.url}/3")

    site.moves |= {"/a": (302, "/b"), "/b": (302, "/a"), **{f"/{n}": (302, f"/{n + 1}") for n in range(4)}}
    runtime.run(main)
    assert [each.target for each in site.log[:3]] == ["/a", "/b", "/0"]


@each_runtime
def test_a_redirect_to_itself_that_sets_a_cookie_is_no_loop(runtime: Runtime) -> None:
    def answer(seen: ReceivedRequest) -> Answer:
        if seen.has("cookie"):
            return Answer(200)
        return Answer(302, [("Location", "/"), ("Set-Cookie", "known=1")])

    async def main() -> None:
        async with client(runtime) as http:
            assert (await http.get(origin.url)).status_code == 200

    log: list[ReceivedRequest] = []
    with Origin("login", log, answer) as origin:
        runtime.run(main)
    assert len(log) == 2


@each_runtime
def test_a_body_that_cannot_be_sent_again_is_an_error_of_its_own(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            with pytest.raises(httpcore.RedirectBodyUnavailable, match="expected bytes, a file that can seek"):
                await http.post(f"{site.url}/keep", iter([b"content"]))
            response = await http.post(f"{site.url}/drop", iter([b"content"]))
            assert response.status_code == 200
            replayable = httpcore.ReplayableBody(lambda: [b"con", b"tent"])
            assert (await http.post(f"{site.url}/keep", replayable)).status_code == 200

    site.moves |= {"/keep": (307, "/two"), "/drop": (303, "/two")}
    runtime.run(main)
    assert site.log[-1].body == b"content"


@each_runtime
def test_a_location_with_another_scheme_ends_the_call(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            with pytest.raises(RedirectError, match="file:") as caught:
                await http.get(f"{site.url}/one")
            assert caught.value.url == f"{site.url}/one"
            assert (await http.get(f"{site.url}/two")).status_code == 200

    site.moves["/one"] = (302, "file:///etc/passwd")
    runtime.run(main)
    assert site.origin.connections == 1


@each_runtime
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_redirect_with_an_endless_body_is_followed_and_not_read(runtime: Runtime, coding: str) -> None:
    sent = 0

    def script(peer: Peer) -> None:
        nonlocal sent
        while head := peer.head():
            if head.startswith(b"GET /end "):
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                continue
            peer.send(b"HTTP/1.1 302 Found\r\nLocation: /end\r\nTransfer-Encoding: chunked\r\n")
            peer.send(b"Content-Encoding: gzip\r\n\r\n" if coding else b"\r\n")
            while sent < 50_000_000:
                peer.send(b"4000\r\n" + bytes(0x4000) + b"\r\n")
                sent += 0x4000

    async def main() -> None:
        async with client(runtime) as http:
            response = await http.get(f"{server.url}/start")
            assert response.content == b"ok"
            with pytest.raises(httpcore.ResponseClosed):
                _ = response.history[0].content

    with ScriptedServer(script) as server:
        runtime.run(main)
        assert server.connections == 2
    assert sent < 50_000_000


@each_runtime
def test_a_redirect_whose_body_stalls_is_followed(runtime: Runtime) -> None:
    def script(peer: Peer) -> None:
        while head := peer.head():
            if head.startswith(b"GET /end "):
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            else:
                peer.send(b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 10\r\n\r\nabc")

    async def main() -> None:
        async with client(runtime, timeout=0.3) as http:
            assert (await http.get(f"{server.url}/start")).content == b"ok"

    with ScriptedServer(script) as server:
        runtime.run(main)


@each_runtime
def test_the_network_policy_is_applied_to_each_hop(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        policy = httpcore.NetworkPolicy(allow=("127.0.0.1",))
        transport = httpcore.HTTPTransport(network_policy=policy, resolve={"inner.test": "127.0.0.2"})
        async with client(runtime, transport=transport) as http:
            for path in ("/address", "/name"):
                with pytest.raises(httpcore.PolicyError):
                    await http.get(f"{site.url}{path}")

    port = site.origin.port
    site.moves |= {"/address": (302, f"http://127.0.0.2:{port}/"), "/name": (302, f"http://inner.test:{port}/")}
    runtime.run(main)
    assert [each.target for each in site.log] == ["/address", "/name"]


@each_runtime
def test_one_total_timeout_bounds_all_hops(runtime: Runtime) -> None:
    count = 0

    def answer(seen: ReceivedRequest) -> Answer:
        nonlocal count
        count += 1
        time.sleep(0.1)
        return Answer(302, [("Location", f"/{count}")])

    async def main() -> None:
        timeout = httpcore.TimeoutConfig(5, total_timeout=0.35)
        async with client(runtime, timeout=timeout) as http:
            with pytest.raises(httpcore.TotalTimeout) as caught:
                await http.get(origin.url)
            assert caught.value.limit == 0.35

    with Origin("slow", [], answer) as origin:
        runtime.run(main)
    assert 3 <= count <= 4


# The reference implementations.


class Case(NamedTuple):
    method: str
    status: int
    location: str
    differs: dict[str, str] = {}  # noqa: RUF012 - never changed
    """For each reference that behaves differently: the reason."""


BODY = "requests drops the body of all but 307 and 308, and keeps the method; fetch keeps both"
PLUS = "curl writes a space in the query as +, which is the form's and not the URL's encoding"
SQUARE = "requests percent-encodes [ and ] in the query, which browsers and curl leave"
SINGLE = "curl keeps every method but POST on 303 too, as its manual says of --post303; RFC 9110 15.4.4 has GET"
RETRY = "requests turns every method into GET on 302; fetch and curl only POST (RFC 9110 15.4.3)"
CASES = [
    *(Case(method, status, "/two") for method in ("GET", "HEAD") for status in (301, 302, 303, 307, 308)),
    *(Case("POST", status, "/two") for status in (301, 302, 303, 307, 308)),
    *(Case("PUT", status, "/two", {"requests": why} if why else {}) for status, why in ((301, BODY), (302, RETRY))),
    Case("PUT", 307, "/two"),
    Case("PUT", 308, "/two"),
    Case("PUT", 303, "/two", {"curl": SINGLE}),
    Case("DELETE", 302, "/two", {"requests": RETRY}),
    Case("DELETE", 303, "/two", {"curl": SINGLE}),
    Case("QUERY", 301, "/two", {"requests": BODY}),
    Case("QUERY", 302, "/two", {"requests": RETRY}),
    Case("QUERY", 307, "/two"),
    Case("GET", 302, "two"),
    Case("GET", 302, "../two"),
    Case("GET", 302, "./a/../two"),
    Case("GET", 302, "?q=1"),
    Case("GET", 302, "//127.0.0.1:{port}/two"),
    Case("GET", 302, "http://127.0.0.1:{port}/two#there"),
    Case("GET", 302, "HTTP://127.0.0.1:{port}/two"),
    Case("GET", 302, "/a b"),
    Case("GET", 302, "/two?a=b c", {"curl": PLUS}),
    Case("GET", 302, "/%41"),
    Case("GET", 302, "/ü"),
    Case("GET", 302, "/a//b"),
    Case("GET", 302, "/two;p=1?x=[1]", {"requests": SQUARE}),
]
NORMALISED = {"/%41": "/A"}
"""RFC 3986, section 6.2.2.2: unreserved characters are decoded; curl does not."""


def content(case: Case, reference: str) -> bytes | None:
    """curl handles a method with -d internally as POST, so only POST has a body with curl."""
    has_none = ("GET", "HEAD") if reference == "requests" else tuple(set(METHODS) - {"POST"})
    return None if case.method in has_none else b"content"


def by_curl(url: str, case: Case) -> None:
    how = ["-I"] if case.method == "HEAD" else ["-d", "content"] if case.method == "POST" else ["-X", case.method]
    subprocess.run(["curl", "-sSL", "-o", "/dev/null", "--noproxy", "*", *how, url], check=True, timeout=20)


def by_requests(url: str, case: Case) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.request(case.method, url, data=content(case, "requests"), timeout=20)


def by_httpcore(url: str, case: Case, reference: str) -> None:
    with httpcore.Client(trust_env=False) as http:
        http.request(case.method, url, content(case, reference))


REFERENCES = {"curl": by_curl, "requests": by_requests}


def facts(seen: ReceivedRequest) -> tuple[str, str, bytes]:
    target = NORMALISED.get(seen.target, seen.target)
    return seen.method, re.sub("%..", lambda found: found[0].upper(), target), seen.body


@pytest.mark.servers
@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.status}-{case.location}")
def test_the_references_send_the_same_requests(site: Site, case: Case, reference: str) -> None:
    path = "/one/start" if "../" in case.location else "/start"
    location = case.location.format(port=site.origin.port).encode().decode("latin-1")
    site.moves[path] = (case.status, location)
    by_httpcore(site.url + path, case, reference)
    ours = [facts(each) for each in site.log]
    site.log.clear()
    REFERENCES[reference](site.url + path, case)
    theirs = [facts(each) for each in site.log]
    assert len(ours) == 2
    assert (ours == theirs) is (reference not in case.differs), (ours, theirs, case.differs.get(reference))
