"""The client: its calls, defaults, models and lifetime, in each runtime, against real sockets."""

from __future__ import annotations

import gc
import gzip
import io
import pickle
import warnings
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from clients import client
from origins import Answer, Origin, ReceivedRequest
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer

import httpcore
from httpcore._message.decoders import supported_codings


class Site:
    """A server that answers 200 with "ok", or with the entry of `answers` for the path."""

    def __init__(self) -> None:
        self.log: list[ReceivedRequest] = []
        self.answers: dict[str, Answer] = {}
        self.origin = Origin("site", self.log, self.answer)
        self.url = self.origin.url

    def answer(self, seen: ReceivedRequest) -> Answer:
        return self.answers.get(seen.target.partition("?")[0], Answer(200, [("Content-Type", "text/plain")]))

    @property
    def last(self) -> ReceivedRequest:
        return self.log[-1]


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    with made.origin:
        yield made


# Requests.


@each_runtime
@pytest.mark.parametrize("method", ["get", "options", "head", "post", "put", "patch", "delete", "query"])
def test_each_method_sends_itself(site: Site, runtime: Runtime, method: str) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            response = await getattr(http, method)(f"{site.url}/p", query_params={"a": "b c"}, headers={"X-A": "1"})
            assert response.status_code is HTTPStatus.OK
            assert response.content == (b"" if method == "head" else b"ok")

    runtime.run(main)
    assert (site.last.method, site.last.target) == (method.upper(), "/p?a=b+c")
    assert site.last.get("x-a") == "1"


@each_runtime
def test_the_defaults_are_few_and_each_can_be_replaced(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            await http.get(site.url)
            await http.get(site.url, headers={"user-agent": "mine", "ACCEPT": "text/html"})
        async with client(runtime, headers={"User-Agent": "theirs", "X-B": "2"}) as http:
            await http.get(site.url)
            del http.headers["accept"]
            http.headers["x-c"] = "3"
            await http.get(site.url, headers={"x-b": "4"})

    runtime.run(main)
    codings = ", ".join(supported_codings())
    host = site.url.removeprefix("http://")
    assert site.log[0].fields == [
        ("host", host),
        ("user-agent", f"python-httpcore/{httpcore.__version__}"),
        ("accept", "*/*"),
        ("accept-encoding", codings),
    ]
    assert (site.log[1].get("user-agent"), site.log[1].get("accept")) == ("mine", "text/html")
    assert (site.log[2].get("user-agent"), site.log[2].get("x-b")) == ("theirs", "2")
    assert (site.log[3].has("accept"), site.log[3].get("x-b"), site.log[3].get("x-c")) == (False, "4", "3")


BODIES: list[tuple[dict[str, Any], bytes, str | None]] = [
    ({"content": b"bytes"}, b"bytes", None),
    ({"content": "täxt"}, "täxt".encode(), None),
    ({"content": {"a": "1", "b": "c d"}}, b"a=1&b=c+d", "application/x-www-form-urlencoded"),
    ({"data": {"a": ["1", "2"]}}, b"a=1&a=2", "application/x-www-form-urlencoded"),
    ({"json": {"a": [1, None]}}, b'{"a":[1,null]}', "application/json"),
    ({"content": [b"a", b"b"]}, b"ab", None),
    ({"content": io.BytesIO}, b"file", None),
]


@each_runtime
@pytest.mark.parametrize(("given", "body", "kind"), BODIES, ids=lambda value: str(value)[:20])
def test_each_shape_of_body_is_sent_with_its_content_type(
    site: Site, runtime: Runtime, given: dict[str, Any], body: bytes, kind: str | None
) -> None:
    async def main() -> None:
        made = {"content": io.BytesIO(b"file")} if given.get("content") is io.BytesIO else given
        async with client(runtime) as http:
            response = await http.post(site.url, **made)
            assert response.request.headers.get("Content-Type") == kind

    runtime.run(main)
    assert (site.last.body, site.last.get("content-type")) == (body, kind)


@each_runtime
def test_a_tag_and_a_trace_are_in_the_records_of_each_hop(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        site.answers["/from"] = Answer(302, [("Location", "/to")])
        events: list[httpcore.TraceEvent] = []
        tag = object()
        async with client(runtime) as http:
            await http.get(f"{site.url}/from", trace=events.append, tag=tag)
            await http.get(f"{site.url}/to", tag=tag, extensions={"trace": events.append, "tag": "other"})
            await http.get(f"{site.url}/to")
            with pytest.raises(TypeError, match="trace is of type int"):
                await http.get(f"{site.url}/to", trace=5)
        begun = [event for event in events if isinstance(event, httpcore.RequestStarted)]
        assert [event.tag for event in begun] == [tag] * 3

    runtime.run(main)


@each_runtime
def test_a_client_adds_its_base_url_and_query_params(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime, base_url=f"{site.url}/v1/", query_params={"key": "k"}) as http:
            for url in ("users", "/users", "users?a=1", "", f"{site.url}/other"):
                await http.get(url)
            await http.get("x", params={"b": 2})
            with pytest.raises(TypeError, match="query_params and params are the same argument"):
                await http.get("x", {"a": 1}, params={"b": 2})

    runtime.run(main)
    targets = [each.target for each in site.log]
    assert targets[:3] == ["/v1/users?key=k", "/v1/users?key=k", "/v1/users?a=1&key=k"]
    assert targets[3:] == ["/v1/?key=k", "/other?key=k", "/v1/x?b=2&key=k"]


@each_runtime
def test_a_relative_url_without_a_base_is_an_error(runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            with pytest.raises(httpcore.InvalidURL, match="expected an absolute URL"):
                await http.get("/path")

    runtime.run(main)


@each_runtime
def test_an_unknown_keyword_is_an_error_before_anything_is_sent(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            with pytest.raises(TypeError, match="unexpected keyword argument 'jsn': expected one of auth, cookies"):
                await http.post(site.url, jsn={})
            with pytest.raises(TypeError, match="unexpected keyword argument 'json'"):
                await http.send(httpcore.Request("GET", site.url), json={})

    runtime.run(main)
    assert not site.log


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("body", "content="),
        ("cert", "ssl=SSLConfig(cert="),
        ("proxies", "Client(proxy="),
        ("proxy", "Client(proxy="),
        ("retries", "Client(transport=HTTPTransport(retries="),
        ("trust_env", "Client(trust_env="),
        ("verify", "ssl=SSLConfig(verify="),
    ],
)
def test_a_keyword_of_elsewhere_names_its_place(name: str, expected: str) -> None:
    with httpcore.Client(trust_env=False) as http:
        calls: list[Any] = [http.get, http.post, http.stream, httpcore.get]
        for call in calls:
            url = ("GET", "http://a.test/") if call == http.stream else ("http://a.test/",)
            with pytest.raises(TypeError) as caught:
                call(*url, **{name: False})
            assert str(caught.value).startswith(
                f"unexpected keyword argument {name!r} of a request: expected {expected}"
            )


@each_runtime
def test_send_adds_nothing_and_prepare_request_adds_clients_part(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime, headers={"X-A": "1"}) as http:
            request = httpcore.Request("get", f"{site.url}/x", headers={"host": "example.org"})
            response = await http.send(request)
            assert response.request.url == request.url
            assert http.prepare_request(request) is request
            await http.send(request)
            await http.send(request)

    runtime.run(main)
    assert site.log[0].fields == [("host", "example.org")]
    assert site.log[0].method == "GET"
    assert site.log[1].get("x-a") == "1"
    assert site.log[1] == site.log[2]


@each_runtime
def test_cookies_are_kept_and_those_of_a_call_are_not(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime, cookies={"own": "1"}) as http:
            response = await http.get(f"{site.url}/set")
            assert response.cookies["a"] == "b"
            assert http.cookies["a"] == "b"
            await http.get(site.url, cookies={"once": "2", "a": "c"})
            await http.get(site.url)
            await http.get(site.url, headers={"Cookie": "mine=3"})

    site.answers["/set"] = Answer(200, [("Set-Cookie", "a=b"), ("Set-Cookie", "c=d; Max-Age=0")])
    runtime.run(main)
    sent = [set((each.get("cookie") or "").split("; ")) for each in site.log]
    assert sent == [{"own=1"}, {"own=1", "once=2", "a=c"}, {"own=1", "a=b"}, {"mine=3"}]


# Responses.


@each_runtime
def test_each_property_of_a_response_has_its_value(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            response = await http.get(f"{site.url}/x#f")
            made = response.sync if runtime.name == "threads" else response
            assert repr(made).endswith("ClientResponse [200 X]>")
            assert isinstance(made, httpcore.ClientResponse)
            assert (response.status_code, response.reason_phrase, response.protocol) == (200, "X", "HTTP/1.1")
            assert response.headers["content-type"] == "text/plain"
            assert (response.text, response.encoding, response.ok) == ("ok", "utf-8", True)
            assert response.url == f"{site.url}/x#f"
            assert response.request.method == "GET"
            assert (response.history, response.is_redirect, response.links) == ([], False, {})
            assert response.elapsed.total_seconds() > 0
            assert response.num_bytes_downloaded == 2
            assert response.info.peer == site.url.removeprefix("http://")
            assert (await response.read(), response.is_closed) == (b"ok", True)
            assert [piece async for piece in response.stream()] == [b"ok"]
            await response.close()
            assert response.raise_for_status() is None

    runtime.run(main)


def test_a_status_without_a_phrase_is_shown_alone() -> None:
    response = httpcore.ClientResponse(599)
    assert repr(response) == "<ClientResponse [599]>"
    with pytest.raises(httpcore.HTTPStatusError, match=r"^status 599: a server error"):
        response.raise_for_status()


@each_runtime
@pytest.mark.parametrize("status", [400, 404, 500, 599])
def test_raise_for_status_names_the_request_and_no_secret(site: Site, runtime: Runtime, status: int) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            where = site.url.replace("://", "://user:secret@")
            response = await http.get(f"{where}/bad")
            assert not response.ok
            with pytest.raises(httpcore.HTTPStatusError) as caught:
                response.raise_for_status()
            error = caught.value
            assert error.response is (response if runtime.name != "threads" else response.sync)
            assert (error.status_code, error.method, error.url) == (
                status,
                "GET",
                f"{site.url}/bad".replace("//", "//***@"),
            )
            assert "secret" not in str(error) + repr(error) + repr(error.request) + repr(response.request.url)
            copy = pickle.loads(pickle.dumps(error))
            assert (str(copy), copy.response) == (str(error), None)

    site.answers["/bad"] = Answer(status)
    runtime.run(main)


@each_runtime
def test_a_response_gives_json_text_and_lines(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            assert (await http.get(f"{site.url}/json")).json() == {"ä": 1}
            response = await http.get(f"{site.url}/latin")
            assert (response.encoding, response.text) == ("iso8859-1", "ä")
            response.encoding = "cp1251"
            assert response.text == "\u0434"
            with pytest.raises(httpcore.LocalProtocolError, match="encoding is 'nothing'"):
                response.encoding = "nothing"
            async with http.stream("GET", f"{site.url}/lines") as response:
                assert [line async for line in response.iter_lines()] == ["{}", "", "[1]", "2"]
            async with http.stream("GET", f"{site.url}/lines") as response:
                assert [value async for value in response.iter_json()] == [{}, [1], 2]
            async with http.stream("GET", f"{site.url}/latin") as response:
                assert [text async for text in response.iter_text()] == ["ä"]

    site.answers["/json"] = Answer(200, [], '{"ä": 1}'.encode())
    site.answers["/latin"] = Answer(200, [("Content-Type", "text/plain; charset=latin-1")], b"\xe4")
    site.answers["/lines"] = Answer(200, [], b"{}\r\n\r\n[1]\n2")
    runtime.run(main)


@each_runtime
def test_links_are_found_by_their_relation_or_url(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            links = (await http.get(f"{site.url}/links")).links
            assert links["next"] == {"url": "/2", "rel": "next", "title": 'a "b", c'}
            assert links["/3"] == {"url": "/3"}

    site.answers["/links"] = Answer(200, [("Link", '</2>; rel=next; title="a \\"b\\", c", broken; x="<", </3>')])
    runtime.run(main)


@each_runtime
def test_content_codings_are_decoded_and_raw_leaves_them(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:
            response = await http.get(f"{site.url}/gz")
            assert (response.content, response.num_bytes_downloaded) == (b"x" * 1000, len(packed))
            async with http.stream("GET", f"{site.url}/gz") as response:
                assert b"".join([piece async for piece in response.raw()]) == packed
            async with http.stream("GET", f"{site.url}/gz") as response:
                with pytest.raises(httpcore.ResponseNotRead):
                    _ = response.content
                assert not hasattr(response, "content")
                assert await response.read() == b"x" * 1000
                assert response.text == "x" * 1000

    packed = gzip.compress(b"x" * 1000)
    site.answers["/gz"] = Answer(200, [("Content-Encoding", "gzip")], packed)
    runtime.run(main)


@each_runtime
def test_max_body_bounds_the_kept_body(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime, max_body=100) as http:
            for path in ("/gz", "/big"):
                with pytest.raises(httpcore.LimitExceeded) as caught:
                    await http.get(f"{site.url}{path}")
                assert caught.value.url == f"{site.url}{path}"
            assert len((await http.get(f"{site.url}/big", max_body=None)).content) == 101
            async with http.stream("GET", f"{site.url}/big") as response:
                assert len(b"".join([piece async for piece in response.stream()])) == 101
            assert (await http.get(site.url)).content == b"ok"

    site.answers["/gz"] = Answer(200, [("Content-Encoding", "gzip")], gzip.compress(b"x" * 1000))
    site.answers["/big"] = Answer(200, [], b"x" * 101)
    runtime.run(main)


@each_runtime
def test_a_stream_left_early_frees_its_connection(runtime: Runtime) -> None:
    def script(peer: Peer) -> None:
        while peer.head():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + bytes(1000))

    async def main() -> None:
        transport = httpcore.HTTPTransport(limits=httpcore.PoolLimits(max_connections=1))
        async with client(runtime, transport=transport) as http:
            for _ in range(3):
                async with http.stream("GET", server.url) as response:
                    async for _piece in response.stream():
                        break
                with pytest.raises(httpcore.ResponseClosed):
                    await response.read()
            assert [stats.leased for stats in transport.stats() if stats is not None][-1] == 0

    with ScriptedServer(script) as server:
        runtime.run(main)


@each_runtime
def test_a_raw_stream_of_a_client_is_used_as_its_calls_are(runtime: Runtime) -> None:
    """With a `Client` the call blocks; with an `AsyncClient` it is awaited. The entries of a transport do the same."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\n")
        peer.send(peer.exactly(4))

    async def main() -> None:
        async with client(runtime) as http:
            response = await http.get(server.url, headers={"Upgrade": "echo", "Connection": "upgrade"})
            raw = response.extensions["connection"]
            if runtime.name == "threads":
                with raw:
                    raw.send(b"ping")
                    assert raw.recv() == b"ping"
            else:
                async with raw:
                    await raw.send(b"ping")
                    assert await raw.recv() == b"ping"
            stats = [stats for stats in http.transport.stats() if stats is not None][-1]
            assert stats.leased == 0

    with ScriptedServer(script) as server:
        runtime.run(main)


# Progress.


@each_runtime
def test_progress_is_reported_for_both_directions(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        noted: list[httpcore.Progress] = []
        async with client(runtime) as http:
            await http.post(f"{site.url}/big", b"u" * 200_000, on_progress=noted.append)
            ups = [each for each in noted if each.direction == "upload"]
            downs = [each for each in noted if each.direction == "download"]
            assert [each.done for each in ups] == [65536, 131072, 196608, 200000]
            assert {each.total for each in ups} == {200_000}
            assert (downs[-1].done, downs[-1].total) == (300_000, 300_000)
            noted.clear()
            await http.post(site.url, iter([b"ab", b"c"]), on_progress=noted.append)
            assert noted[:2] == [("upload", 2, None), ("upload", 3, None)]

    site.answers["/big"] = Answer(200, [], bytes(300_000))
    runtime.run(main)
    assert site.last.body == b"abc"


# Hooks.


@each_runtime
def test_hooks_see_each_request_and_response(site: Site, runtime: Runtime) -> None:
    events: list[str] = []

    def before(request: httpcore.Request) -> None:
        events.append(f"{request.method} {request.url.path}")
        request.headers["X-Hook"] = "1"

    async def after(response: httpcore.ClientResponse) -> None:
        events.append(str(int(response.status_code)))

    def plain(response: httpcore.ClientResponse) -> None:
        events.append("plain")

    async def main() -> None:
        async with client(runtime, event_hooks={"request": [before], "response": [after, plain]}) as http:
            await http.get(f"{site.url}/away")
            http.event_hooks["response"].append(lambda response: response.raise_for_status())
            with pytest.raises(httpcore.HTTPStatusError):
                await http.get(f"{site.url}/bad")

    site.answers |= {"/away": Answer(302, [("Location", "/there")]), "/bad": Answer(500)}
    runtime.run(main)
    assert events[:6] == ["GET /away", "302", "plain", "GET /there", "200", "plain"]
    assert {each.get("x-hook") for each in site.log} == {"1"}


def test_hooks_of_unknown_events_or_types_are_refused() -> None:
    with pytest.raises(ValueError, match='expected "request" and "response"'):
        httpcore.Client(event_hooks={"before": [print]})
    with pytest.raises(TypeError, match="expected functions"):
        httpcore.Client(event_hooks={"request": [1]})  # type: ignore[list-item]


# Transports.


def test_dispatch_is_transports_older_name_and_accepts_a_pool(site: Site) -> None:
    with httpcore.SyncConnectionPool() as pool:
        with httpcore.Client(dispatch=pool) as http:
            assert http.get(site.url).content == b"ok"
            assert pool.stats().connections == 1
        assert pool.request("GET", site.url).body == b"ok"  # the pool stays open for its owner
    mock = httpcore.MockTransport({"/": httpcore.Response(204)})
    with httpcore.Client(dispatch=mock) as http:
        assert http.get("http://a.test/").status_code == 204
    with pytest.raises(TypeError, match="transport and dispatch are the same argument"):
        httpcore.Client(None, 5.0, None, 20, mock, transport=mock)
    with pytest.raises(ValueError, match="pool_limits cannot be combined"):
        httpcore.Client(None, 5.0, httpcore.PoolLimits(), 20, mock)
    with pytest.raises(TypeError, match="expected a Transport or a pool"):
        httpcore.Client(dispatch=1)  # type: ignore[arg-type]


@each_runtime
def test_a_total_timeout_covers_the_body(runtime: Runtime) -> None:
    def script(peer: Peer) -> None:
        import time

        while peer.head():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            for _ in range(1000):
                peer.send(b"x")
                time.sleep(0.05)

    async def main() -> None:
        async with client(runtime, timeout=httpcore.TimeoutConfig(5, total_timeout=0.3)) as http:
            with pytest.raises(httpcore.TotalTimeout):
                await http.get(server.url)
            with pytest.raises(httpcore.TotalTimeout):
                await http.get(server.url, timeout=httpcore.TimeoutConfig(5, total_timeout=0.1))

    with ScriptedServer(script) as server:
        runtime.run(main)


# Life.


@each_runtime
def test_many_requests_at_once_share_a_client(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        async with client(runtime) as http:

            async def one(number: int) -> bytes:
                response = await http.get(f"{site.url}/away", {"n": number})
                assert response.request.url.path == "/there"
                return bytes(response.content)

            answers = await runtime.gather(*[lambda n=n: one(n) for n in range(40)])
            assert answers == [b"ok"] * 40

    site.answers["/away"] = Answer(302, [("Location", "/there"), ("Set-Cookie", "a=b")])
    runtime.run(main)
    assert len(site.log) == 80


@each_runtime
def test_a_closed_client_refuses_requests(site: Site, runtime: Runtime) -> None:
    async def main() -> None:
        http = client(runtime)
        async with http:
            await http.get(site.url)
        assert http.is_closed
        with pytest.raises(httpcore.PoolClosed, match="the client is closed"):
            await http.get(site.url)
        await http.close()

    runtime.run(main)


def test_a_client_that_is_dropped_open_warns() -> None:
    def use() -> None:
        http = httpcore.Client(transport=httpcore.MockTransport({"/": httpcore.Response(204)}))
        http.get("http://a.test/")

        del http
        gc.collect()

    with pytest.warns(ResourceWarning, match="the Client was dropped open"):
        use()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        httpcore.Client()  # a new client holds no resource yet
        gc.collect()


def test_a_client_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(httpcore.Client())


def test_a_trio_client_runs_in_trio_alone(site: Site) -> None:
    import asyncio

    import trio

    async def main() -> None:
        async with httpcore.TrioClient(trust_env=False) as http:
            assert (await http.get(site.url)).content == b"ok"

    trio.run(main)
    with pytest.raises(
        httpcore.LocalProtocolError, match="belongs to trio: expected a call in trio, got one in asyncio"
    ):
        asyncio.run(main())


def test_the_sync_client_refuses_an_async_body(site: Site) -> None:
    async def pieces() -> Any:
        yield b"x"

    refused = pytest.raises(httpcore.LocalProtocolError, match="content is asynchronous")
    with httpcore.Client(trust_env=False) as http, refused:
        http.post(site.url, pieces())
    assert not site.log


@pytest.mark.parametrize("name", ["get", "options", "head", "post", "put", "patch", "delete", "query"])
def test_one_off_functions_send_their_method(site: Site, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response = getattr(httpcore, name)(site.url, headers={"X-A": "1"})
        assert response.status_code == 200
        with getattr(httpcore, name)(site.url, stream=True) as response:
            assert response.read() == (b"" if name == "head" else b"ok")
        gc.collect()
    assert [each.method for each in site.log] == [name.upper()] * 2


# The environment.


def test_proxies_of_the_environment_are_used_if_it_is_trusted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with httpcore.Client() as http:
        assert http.get("http://a.test/x").content == b"ok"
    assert site.last.target == "http://a.test/x"
    with httpcore.Client(trust_env=False) as http, pytest.raises(httpcore.ConnectError):
        http.get("http://a.invalid/x")


def test_a_client_uses_the_netrc_of_the_environment(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login u password p\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    with httpcore.Client() as http:
        http.get(site.url)
        assert site.last.get("authorization") == "Basic dTpw"
        http.get(site.url, auth=None)
        assert not site.last.has("authorization")
        http.get(site.url, headers={"Authorization": "mine"})
        assert site.last.get("authorization") == "mine"
        http.get(site.url.replace("//", "//other:pw@"))
        assert site.last.get("authorization") == "Basic b3RoZXI6cHc="
    with httpcore.Client(trust_env=False) as http:
        http.get(site.url)
        assert not site.last.has("authorization")
    path.write_text("machine 127.0.0.1 login u pass")
    with httpcore.Client() as http, pytest.warns(RuntimeWarning, match="no entry of the netrc file is used"):
        assert http.get(site.url).content == b"ok"


def test_ssl_cert_file_is_used_unless_trust_env_is_false(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ssl

    import trustme

    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Origin("tls", [], lambda seen: Answer(), context) as origin:
        with httpcore.Client() as http:
            assert http.get(origin.url).content == b"ok"
        with httpcore.Client(trust_env=False) as http, pytest.raises(httpcore.TLSError):
            http.get(origin.url)
