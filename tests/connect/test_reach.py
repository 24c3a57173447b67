"""A request reaches the host that its URL shows, by addresses that were checked, and nothing else."""

from __future__ import annotations

import inspect
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import can_ada
import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, free_port, ok

import httpcore
from httpcore import InvalidURL, NetworkPolicy, PolicyError, Proxy, UnsupportedProtocol
from httpcore._message.url import URL

System = Callable[[str], Awaitable[Sequence[str]]]


class RecordingResolver:
    """A resolver that returns the given answers, the last one again and again, and records the names."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.requested: list[str] = []

    async def resolve(self, host: str, system: System) -> Sequence[str]:
        self.requested.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class RecordingChooser:
    """Chooses no proxy, and records the origins that it was called for."""

    def __init__(self) -> None:
        self.requested: list[tuple[str, str, int]] = []

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        self.requested.append((scheme, host, port))
        return None


# Row E1 of docs/security.md: one and the same text is the host that is shown, looked up, named in `Host`, checked under
# TLS and passed to the chooser of a proxy. The server's port replaces port 81.

TRICKS: list[tuple[str, str | None]] = [
    ("http://example.com:81/", "example.com"),
    ("http://EXAMPLE.com:81/", "example.com"),
    ("HTTP://example.com:81", "example.com"),
    ("http://example.com.:81/", "example.com."),
    ("http://example.com:81?@evil.example/", "example.com"),
    ("http://example.com:81#@evil.example/", "example.com"),
    ("http://example.com:81/@evil.example/", "example.com"),
    ("http://example.com:81//evil.example/", "example.com"),
    ("http://example.com:81/../evil.example/", "example.com"),
    ("http://evil.example@example.com:81/", "example.com"),
    ("http://evil.example:80@example.com:81/", "example.com"),
    ("http://evil.example%2f@example.com:81/", "example.com"),
    ("http://%65vil.example%00@example.com:81/", "example.com"),
    ("http://a.com:@example.com:81/", "example.com"),
    ("http://b\xfccher.example:81/", "xn--bcher-kva.example"),
    ("http://B\xdcCHER.example:81/", "xn--bcher-kva.example"),
    ("http://xn--bcher-kva.example:81/", "xn--bcher-kva.example"),
    ("http://XN--BCHER-kva.example:81/", "xn--bcher-kva.example"),
    ("http://fa\xdf.example:81/", "xn--fa-hia.example"),
    ("http://under_score.example:81/", "under_score.example"),
    ("http://127.0.0.1:81/", "127.0.0.1"),
    ("http://evil.example@127.0.0.1:81/", "127.0.0.1"),
    ("http://[::ffff:127.0.0.1]:81/", "::ffff:7f00:1"),
    ("http://[0:0::0:FFFF:7F00:1]:81/", "::ffff:7f00:1"),
    # Two parsers would read different hosts from each of these.
    ("http://example.com\\@evil.example:81/", None),
    ("http://evil.example\\.example.com:81/", None),
    ("http:\\\\example.com:81/", None),
    ("http:/\\example.com:81/", None),
    ("http://a@b@example.com:81/", None),
    ("http://example.com:80:81/", None),
    ("http://exa\tmple.com:81/", None),
    ("http://exa\nmple.com:81/", None),
    ("http://exa\rmple.com:81/", None),
    ("http://example.com :81/", None),
    ("http:// example.com:81/", None),
    (" http://example.com:81/", None),
    ("http://example.com\x00:81/", None),
    ("http://example.com\x00.evil.example:81/", None),
    ("http://example%2ecom:81/", None),
    ("http://example.com%2fevil.example:81/", None),
    ("http://example.com%23@evil.example:81/", "evil.example"),
    ("http://example.com%40evil.example:81/", None),
    ("http:example.com:81/", None),
    ("http:/example.com:81/", None),
    ("http:///example.com:81/", None),
    ("http:////example.com:81/", None),
    ("//example.com:81/", None),
    ("example.com:81", None),
    ("http://:81/", None),
    ("http://@:81/", None),
    ("http://example.com:+81/", None),
    ("http://example.com:081/", None),
    ("http://example.com:8\u0661/", None),
    ("http://example.com:0/", None),
    ("http://example.com:65617/", None),
    ("http://example\u3002com:81/", None),
    ("http://example\uff0ecom:81/", None),
    ("http://\uff45xample.com:81/", None),
    ("http://\u24d4xample.com:81/", None),
    ("http://ex\u00adample.com:81/", None),
    ("http://example.com\uff0fevil.example:81/", None),
    ("http://example.com\u2100.evil.example:81/", None),
    ("http://xn--example-.com:81/", None),
    ("http://xn--:81/", None),
    ("http://127.1:81/", None),
    ("http://2130706433:81/", None),
    ("http://0x7f000001:81/", None),
    ("http://0177.0.0.1:81/", None),
    ("http://127.0.0.1.:81/", None),
    ("http://127.0.0.01:81/", None),
    ("http://\uff11\uff12\uff17.0.0.1:81/", None),
    ("http://[127.0.0.1]:81/", None),
    ("http://[::1%25lo]:81/", None),
    ("http://[::1%lo]:81/", None),
    ("http://[v1.x]:81/", None),
    ("http://::1:81/", None),
    ("http://[::1]evil.example:81/", None),
    ("http://[::1]@evil.example:81/", None),
    ("http://example.com[::1]:81/", None),
]


def noted(heads: list[bytes]) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        while head := peer.head():
            heads.append(head)
            peer.send(ok())

    return script


def both_families() -> socket.socket:
    """A listener that `127.0.0.1` and `::ffff:127.0.0.1` lead to."""
    return socket.create_server(("::", 0), family=socket.AF_INET6, backlog=64, dualstack_ipv6=True)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's certificate and key. The certificate is not checked here: only the requested address matters."""
    path = tmp_path_factory.mktemp("reach") / "server.pem"
    trustme.CA().issue_cert("example.com").private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def host_of(head: bytes) -> bytes:
    (value,) = [line[5:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"host:")]
    return value


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_host_shown_looked_up_named_and_checked_is_one(scheme: str, certificate: Path) -> None:
    heads: list[bytes] = []
    named: list[str | None] = []
    context = None
    if scheme == "https":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda connection, name, _: named.append(name)
    with both_families() as listener, ScriptedServer(noted(heads), context, listener) as server:
        port = listener.getsockname()[1]
        for trick, host in TRICKS:
            text = trick.replace("81", str(port)).replace("http:", f"{scheme}:").replace("HTTP:", f"{scheme}:")
            resolver, chooser = RecordingResolver(["127.0.0.1"]), RecordingChooser()
            before = server.connections
            with httpcore.SyncConnectionPool(
                httpcore.SSLConfig(verify=False), resolver=resolver, proxy=chooser, http2=False
            ) as http:
                if host is None:
                    with pytest.raises(InvalidURL):
                        http.request("GET", text)
                    assert (server.connections, resolver.requested, chooser.requested) == (before, [], []), trick
                    continue
                assert http.request("GET", text).status_code == 200
            url = URL.parse(text)
            assert (same(url.host), url.port) == (same(host), port), trick
            shown = f"[{url.host}]" if ":" in host else url.host
            is_name = isinstance(same(host), str)
            assert resolver.requested == ([url.host] if is_name else []), trick
            assert chooser.requested == [(scheme, url.host, port)], trick
            assert host_of(heads.pop()) == f"{shown}:{port}".encode(), trick
            assert server.connections == before + 1, trick
            assert named == ([] if scheme == "http" else [url.host.removesuffix(".") if is_name else None]), trick
            named.clear()


def same(host: str) -> object:
    """The value by which hosts are compared: an IPv6 address may be written in several ways."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return host


# The reference implementation is ada, the URL parser of Node.


def by_ada(text: str) -> tuple[object, int, str] | None:
    """Host, port and scheme as ada reads them, or None if it refuses the text."""
    try:
        url = can_ada.parse(text)
    except ValueError:
        return None
    scheme = str(url.protocol).removesuffix(":")
    return same(url.hostname), int(url.port or {"http": 80, "https": 443}.get(scheme, 0)), scheme


def by_httpcore(text: str) -> tuple[object, int, str] | None:
    try:
        url = URL.parse(text)
    except (InvalidURL, UnsupportedProtocol):
        return None
    return same(url.host), url.port, url.scheme


@pytest.mark.parametrize("text", [text for text, _ in TRICKS], ids=ascii)
def test_accepted_urls_lead_where_browsers_would_go(text: str) -> None:
    ours = by_httpcore(text)
    assert ours is None or ours == by_ada(text)


def test_browsers_accept_many_refused_urls() -> None:
    """This shows that the reference decides independently, and that browsers do accept these tricks."""
    assert sum(by_ada(text) is not None for text, host in TRICKS if host is None) > 20


HOSTILE = st.text(alphabet="aZ09.-_@:/\\?#[]%xn \t\n\u00fc\u00df\u3002\uff0e\uff41\u00ad\u212a\u0661", max_size=14)
TOKENS = [
    "http://",
    "https:",
    "//",
    "@",
    ":",
    "80",
    "127.0.0.1",
    "0x7f",
    "[::1]",
    "a.example",
    "%2f",
    "%40",
    "#",
    "?",
    "/",
    ".",
    "xn--",
    "bcher-kva",
    "..",
    "[",
    "]",
    "1",
    "%",
]
PIECES = st.lists(st.sampled_from([*TOKENS, "\\", "\u3002", "\uff20", "\t", "\x00", "\u00df"]), max_size=8).map("".join)


@given(st.sampled_from(["http://", "https://", "HTTP://"]), HOSTILE | PIECES | st.text(max_size=10))
@example("http://", "a.example\\@b.example/")
@example("http://", "xn--a-/")
@example("http://", "a\u0300.example/")
@example("http://", "a.example:00080/")
def test_a_url_accepted_by_us_and_browsers_is_one_host_and_port(scheme: str, rest: str) -> None:
    ours, theirs = by_httpcore(scheme + rest), by_ada(scheme + rest)
    assert ours is None or theirs is None or ours == theirs


# Row E4: the checked address is the one that the client connects to.

ONLY_HERE = NetworkPolicy(allow=("127.0.0.1",))
"""In these tests 127.0.0.2 is a forbidden address, though a server listens there."""


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Listens at every loopback address, such as 127.0.0.1 and 127.0.0.2; serves one request for each connection."""
    with ScriptedServer(answering_once, None, both_families()) as server:
        yield server


def answering_once(peer: Peer) -> None:
    head = peer.head()
    if head:
        peer.send(ok(head, b"Connection: close"))


def port_of(server: ScriptedServer) -> int:
    return int(server.listener.getsockname()[1])


async def denied(http: Any, url: str) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        await http.request("GET", url)
    assert http.stats().connections == 0
    return caught.value


@each_runtime
def test_name_that_resolves_differently_second_time_is_denied(runtime: Runtime, server: ScriptedServer) -> None:
    resolver = RecordingResolver(["127.0.0.1"], ["127.0.0.2"])

    async def body() -> None:
        async with runtime.pool(resolver=resolver, network_policy=ONLY_HERE) as http:
            url = f"http://rebinding.test:{port_of(server)}/"
            response = await http.request("GET", url)
            assert response.info.peer.startswith("127.0.0.1")
            error = await denied(http, url)
            assert (error.address, error.port) == ("127.0.0.2", port_of(server))
            assert str(error).startswith("rebinding.test: the network policy denies '127.0.0.2' port ")

    runtime.run(body)
    assert server.connections == 1
    assert resolver.requested == ["rebinding.test"] * 2  # one lookup for each connection: none between check and use


@each_runtime
def test_of_several_addresses_only_those_allowed_are_tried(runtime: Runtime, server: ScriptedServer) -> None:
    resolver = RecordingResolver(["127.0.0.2", "::ffff:127.0.0.2", "127.0.0.1", "::1"])

    async def body() -> None:
        async with runtime.pool(resolver=resolver, network_policy=ONLY_HERE) as http:
            for _ in range(3):
                response = await http.request("GET", f"http://many.test:{port_of(server)}/")
                assert response.info.peer.startswith("127.0.0.1:")

    runtime.run(body)
    assert server.connections == 3


@each_runtime
def test_a_kept_connection_keeps_its_verdict_without_a_lookup(runtime: Runtime) -> None:
    resolver = RecordingResolver(["127.0.0.1"], ["127.0.0.2"])
    heads: list[bytes] = []

    async def body(server: ScriptedServer) -> None:
        async with runtime.pool(resolver=resolver, network_policy=ONLY_HERE) as http:
            for _ in range(3):
                response = await http.request("GET", f"http://rebinding.test:{server.port}/")
                assert response.info.peer == f"127.0.0.1:{server.port}"

    with ScriptedServer(noted(heads)) as server:
        runtime.run(body, server)
        assert server.connections == 1
    assert resolver.requested == ["rebinding.test"]


NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.9.10",
    "localhost",
    "0.0.0.0",
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0.0.0.0]",
    "10.0.0.1",
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "100.64.0.1",
    "255.255.255.255",
]


@each_runtime
def test_public_only_connects_to_no_spelling_of_this_host(runtime: Runtime, server: ScriptedServer) -> None:
    async def body() -> None:
        async with runtime.pool(network_policy=NetworkPolicy.public_only()) as http:
            for host in NOT_PUBLIC:
                await denied(http, f"http://{host}:{port_of(server)}/")

    runtime.run(body)
    assert server.connections == 0


@each_runtime
def test_addresses_that_need_no_asking_are_checked_too(runtime: Runtime, server: ScriptedServer) -> None:
    async def body() -> None:
        resolve = {"here.test": "127.0.0.1", "there.test": ["127.0.0.2", "::ffff:127.0.0.2"], "127.0.0.1": "127.0.0.3"}
        async with runtime.pool(resolve=resolve, network_policy=ONLY_HERE) as http:
            await http.request("GET", f"http://here.test:{port_of(server)}/")
            await denied(http, f"http://there.test:{port_of(server)}/")
            await denied(http, f"http://127.0.0.1:{port_of(server)}/")

    runtime.run(body)
    assert server.connections == 1


@each_runtime
def test_another_port_is_denied(runtime: Runtime, server: ScriptedServer) -> None:
    async def body() -> None:
        async with runtime.pool(network_policy=NetworkPolicy(ports=(80, 443))) as http:
            error = await denied(http, f"http://127.0.0.1:{port_of(server)}/")
            assert error.rule == "only ports 80, 443 are allowed"

    runtime.run(body)
    assert server.connections == 0


@each_runtime
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks4", "socks4a"])
def test_a_proxy_that_may_not_be_reached_is_not(runtime: Runtime, scheme: str, server: ScriptedServer) -> None:
    async def body() -> None:
        proxy = f"{scheme}://proxy.test:{port_of(server)}"
        async with runtime.pool(
            proxy=proxy, resolver=RecordingResolver(["127.0.0.2"]), network_policy=ONLY_HERE
        ) as http:
            error = await denied(http, "http://127.0.0.1/")
            assert error.address == "127.0.0.2"

    runtime.run(body)
    assert server.connections == 0


@each_runtime
@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks4", "socks4a"])
def test_no_proxy_is_chosen_for_a_denied_origin(runtime: Runtime, scheme: str) -> None:
    """The proxy does not receive the name either, which it would resolve itself."""
    received: list[bytes] = []

    def script(peer: Peer) -> None:
        received.append(peer.rest())

    async def body(server: ScriptedServer) -> None:
        resolver = RecordingResolver(["127.0.0.2"])
        async with runtime.pool(
            proxy=f"{scheme}://127.0.0.1:{server.port}", resolver=resolver, network_policy=ONLY_HERE
        ) as http:
            for host in ("origin.test", "127.0.0.2", "[::ffff:127.0.0.2]"):
                for target in ("http", "https"):
                    await denied(http, f"{target}://{host}/")
        assert resolver.requested == ["origin.test"] * 2

    with ScriptedServer(script) as server:
        runtime.run(body, server)
    assert b"".join(received) == b""


@each_runtime
def test_of_a_thousand_addresses_sixteen_are_tried(runtime: Runtime) -> None:
    addresses = [f"127.0.{high}.{low}" for high in range(1, 5) for low in range(250)]

    async def body() -> None:
        async with runtime.pool(resolver=RecordingResolver(addresses)) as http:
            with pytest.raises(httpcore.ConnectError) as caught:
                await http.request("GET", f"http://thousand.test:{free_port()}/")
        assert [address for address in addresses if f"{address}:" in str(caught.value)] == addresses[:16]

    runtime.run(body)


# Row E5: the cache of names is bounded.


@each_runtime
def test_the_oldest_of_too_many_names_is_forgotten(runtime: Runtime, server: ScriptedServer) -> None:
    source = RecordingResolver(["127.0.0.1"])
    cache = httpcore.CachingResolver(most=3, resolver=source)

    async def body() -> None:
        async with runtime.pool(resolver=cache) as http:
            for name in ("a", "b", "c", "b", "d", "c", "b", "a"):
                await http.request("GET", f"http://{name}.test:{port_of(server)}/")

    runtime.run(body)
    assert source.requested == ["a.test", "b.test", "c.test", "d.test", "a.test"]
    assert repr(cache) == "<CachingResolver of 3 names>"
    assert inspect.signature(httpcore.CachingResolver).parameters["most"].default == 1000


@each_runtime
def test_remembered_addresses_are_checked_each_time(runtime: Runtime, server: ScriptedServer) -> None:
    cache = httpcore.CachingResolver(resolver=RecordingResolver(["127.0.0.2"]))

    async def body() -> None:
        async with (
            runtime.pool(resolver=cache) as careless,
            runtime.pool(resolver=cache, network_policy=ONLY_HERE) as http,
        ):
            await careless.request("GET", f"http://cached.test:{port_of(server)}/")
            await denied(http, f"http://cached.test:{port_of(server)}/")

    runtime.run(body)
    assert server.connections == 1


@each_runtime
def test_remembered_addresses_are_forgotten_in_time(runtime: Runtime, server: ScriptedServer) -> None:
    clock = [0.0]
    source = RecordingResolver(["127.0.0.1"], ["127.0.0.2"])
    peers = []

    async def body() -> None:
        cache = httpcore.CachingResolver(ttl=10, resolver=source, clock=lambda: clock[0])
        async with runtime.pool(resolver=cache) as http:
            for now in (0.0, 9.9, 10.0, 19.9, 20.0):
                clock[0] = now
                response = await http.request("GET", f"http://moving.test:{port_of(server)}/")
                peers.append(response.info.peer.rpartition(":")[0])
            forgetful = httpcore.CachingResolver(ttl=0, resolver=source)
        async with runtime.pool(resolver=forgetful) as http:
            for _ in range(2):
                await http.request("GET", f"http://moving.test:{port_of(server)}/")

    runtime.run(body)
    assert peers == ["127.0.0.1"] * 2 + ["127.0.0.2"] * 3
    assert len(source.requested) == 3 + 2


class Plain:
    def resolve(self, host: str, system: object) -> list[str]:
        return ["127.0.0.1"]


@each_runtime
def test_a_resolver_that_returns_no_awaitable_is_an_error(runtime: Runtime) -> None:
    async def body() -> None:
        async with runtime.pool(resolver=Plain()) as http:
            with pytest.raises(httpcore.LocalProtocolError, match=r"returned type list for a\.test: expected an await"):
                await http.request("GET", "http://a.test:1/")

    runtime.run(body)
