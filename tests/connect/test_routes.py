"""A table of every route to an origin, in every runtime, over both protocols; and of faults at each hop of each route.

The proxies and origins are `ScriptedProxy`, over real sockets. Their two certificates are by different authorities, and
where a proxy has to resolve the origin's name, the client cannot resolve it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trustme
from runtimes import Runtime, ThreadsRuntime, TrioRuntime, each_runtime
from scripted_proxy import (
    BODY,
    CONNECT,
    EXCHANGE,
    GREETING,
    PASSWORD,
    SOCKS4,
    SOCKS5,
    TLS_ORIGIN,
    TLS_PROXY,
    Act,
    ScriptedProxy,
    end,
    garbage,
    refusal,
    reset,
    server_context,
    silence,
)
from servers import free_port

import httpcore

AUTH = ("Aladdin", "open sesame")
KINDS = ("none", "http", "tunnel", "https", "socks4", "socks4a", "socks5", "socks5h", "uds")
"""`tunnel`: http origins, too, are reached through a tunnel of an HTTP proxy."""
PROTOCOLS = ("HTTP/1.1", "HTTP/2")


class Case(NamedTuple):
    kind: str
    scheme: str
    protocol: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.scheme}-{self.protocol[5:]}"

    @property
    def steps(self) -> list[str]:
        """The steps of the test's server, in their order."""
        forwards = self.scheme == "http" and self.protocol == "HTTP/1.1"  # HTTP/2 needs a tunnel
        steps = [TLS_PROXY] if self.kind == "https" else []
        if self.kind == "tunnel" or (self.kind in ("http", "https") and not forwards):
            steps.append(CONNECT)
        elif self.kind == "socks5":
            steps += [GREETING, SOCKS5]
        elif self.kind == "socks5h":
            steps += [GREETING, PASSWORD, SOCKS5]
        elif self.kind in ("socks4", "socks4a"):
            steps.append(SOCKS4)
        return [*steps, *([TLS_ORIGIN] if self.scheme == "https" else []), EXCHANGE]

    @property
    def host(self) -> str:
        """The name of the origin; the client can resolve it only if the proxy does not."""
        return "localhost" if self.kind in ("none", "socks4", "socks5") else "origin.test"


CASES = [Case(*case) for case in ((k, s, p) for k in KINDS for s in ("http", "https") for p in PROTOCOLS)]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


class Hops(NamedTuple):
    """The TLS contexts of the two hops (for the origin, one for each protocol), and two configs that each trust only
    one hop.
    """

    proxy: ssl.SSLContext
    origin: dict[str, ssl.SSLContext]
    trusting_proxy: httpcore.SSLConfig
    trusting_origin: httpcore.SSLConfig


@pytest.fixture(scope="module")
def hops(tmp_path_factory: pytest.TempPathFactory) -> Hops:
    folder = tmp_path_factory.mktemp("hops")
    proxy, origin = trustme.CA(), trustme.CA()
    for name, authority in (("proxy", proxy), ("origin", origin)):
        authority.cert_pem.write_to_path(str(folder / name))
    certificate = origin.issue_cert("localhost", "origin.test")
    return Hops(
        server_context(proxy.issue_cert("127.0.0.1"), "http/1.1"),
        {"HTTP/1.1": server_context(certificate, "http/1.1"), "HTTP/2": server_context(certificate, "h2")},
        httpcore.SSLConfig(verify=str(folder / "proxy")),
        httpcore.SSLConfig(verify=str(folder / "origin")),
    )


class Scene(NamedTuple):
    """The servers of a route, and the arguments of a pool and a request that use it. `label` is the text by which
    errors name the first hop.
    """

    server: ScriptedProxy
    settings: dict[str, Any]
    url: str
    label: str

    async def hello(self, pool: Any) -> Any:
        response = await pool.request("GET", f"{self.url}/hello")
        assert (response.status_code, response.body) == (200, BODY)
        return response


@contextmanager
def scene(case: Case, hops: Hops, acts: Mapping[str, Act] | None = None, *, faulty: int = 1) -> Iterator[Scene]:
    """Serve a route; the server applies `acts` to its first `faulty` connections."""
    with ExitStack() as stack:
        path = None
        if case.kind == "uds":
            path = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "socket")
        origin = hops.origin[case.protocol]
        server = ScriptedProxy(case.steps, acts, faulty=faulty, proxy=hops.proxy, origin=origin, path=path)
        stack.enter_context(server)
        yield scene_at(case, hops, server, server.port, path)


def scene_at(case: Case, hops: Hops, server: Any, port: int, path: str | None) -> Scene:
    settings: dict[str, Any] = {"ssl": hops.trusting_origin, "http1": case.protocol == "HTTP/1.1"}
    where = f"127.0.0.1:{port}"
    url = f"{case.scheme}://{case.host}:{port if case.kind == 'none' else 8000}"
    if path is not None:
        settings["uds"] = path
    elif case.kind == "https":
        settings["proxy"] = httpcore.Proxy(f"https://{where}", auth=AUTH, ssl=hops.trusting_proxy)
    elif case.kind in ("http", "tunnel"):
        settings["proxy"] = httpcore.Proxy(f"http://{where}", auth=AUTH, tunnel=case.kind == "tunnel")
    elif case.kind != "none":
        settings["proxy"] = httpcore.Proxy(f"{case.kind}://{where}", auth=AUTH if case.kind == "socks5h" else None)
    return Scene(server, settings, url, str(settings.get("proxy", path or where)))


async def gone(runtime: Runtime, server: ScriptedProxy) -> None:
    """Wait until the client has no open socket."""
    for _ in range(10_000):
        if not server.open:
            return
        await runtime.sleep(0.001)
    raise AssertionError(f"{server.open} connections are open")


# Routes that work.


@each_runtime
@each_case
def test_a_route_leads_to_its_origin_and_its_connection_is_kept(runtime: Runtime, case: Case, hops: Hops) -> None:
    async def body() -> None:
        with scene(case, hops) as here:
            async with runtime.pool(**here.settings) as pool:
                first, second = await here.hello(pool), await here.hello(pool)
                assert {first.protocol, second.protocol} == {case.protocol}
                assert (first.info.reused, second.info.reused) == (False, True)
                stats = pool.stats()
                assert (stats.connections, stats.idle, stats.leased) == (1, 1, 0)
            await gone(runtime, here.server)
            check_received(case, here)

    runtime.run(body)


def check_received(case: Case, here: Scene) -> None:
    server = here.server
    assert [step for step, _ in server.received] == [*case.steps, EXCHANGE]
    named = f"{case.host}:8000".encode()
    if CONNECT in case.steps:
        (head,) = server.seen(CONNECT)
        assert head.startswith(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (named, named))
        assert b"\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n" in head
    if case.kind == "socks5h":
        assert server.seen(PASSWORD) == [b"\x01\x07Aladdin\x0bopen sesame"]
        assert server.seen(SOCKS5) == [b"\x05\x01\x00\x03\x0borigin.test\x1f\x40"]
    if case.kind == "socks5":
        assert server.seen(GREETING) == [b"\x05\x01\x00"]
        assert server.seen(SOCKS5)[0] in (
            b"\x05\x01\x00\x01\x7f\x00\x00\x01\x1f\x40",
            b"\x05\x01\x00\x04" + bytes(15) + b"\x01\x1f\x40",
        )
    if case.kind == "socks4":
        assert server.seen(SOCKS4) == [b"\x04\x01\x1f\x40\x7f\x00\x00\x01\0"]
    if case.kind == "socks4a":
        assert server.seen(SOCKS4) == [b"\x04\x01\x1f\x40\0\0\0\1\0origin.test\0"]
    if case.scheme == "https":
        assert server.seen(TLS_ORIGIN) == [case.host.encode()]
    for head in server.seen(EXCHANGE):
        forwarded = here.settings.get("proxy") is not None and case.steps[-2:] in ([EXCHANGE], [TLS_PROXY, EXCHANGE])
        absolute = head.startswith(b"GET http://%b/hello HTTP/1.1\r\n" % named)
        assert absolute is forwarded
        assert (b"proxy-authorization" in head.lower()) is forwarded


# Routes that fail.


def at_each_step(kind: str | None = None, scheme: str | None = None) -> list[tuple[Case, str]]:
    """All routes and their steps, or those of one kind and scheme. For HTTP/2, only the steps that differ from
    HTTP/1.1: CONNECT and the exchange.
    """
    cases = [case for case in CASES if kind in (None, case.kind) and scheme in (None, case.scheme)]
    return [(w, step) for w in cases for step in w.steps if w.protocol == "HTTP/1.1" or step in (CONNECT, EXCHANGE)]


STRAYS = {
    "refusal": refusal,
    "reset": reset,
    "end": end,
    "garbage": garbage,
}


def expected_errors(case: Case, step: str, stray: str) -> type[Exception] | tuple[type[Exception], ...]:
    if step in (CONNECT, GREETING, PASSWORD, SOCKS5, SOCKS4):
        return httpcore.ProxyError
    if step in (TLS_PROXY, TLS_ORIGIN):
        return httpcore.TLSError if stray in ("refusal", "garbage") else httpcore.ConnectError
    if stray == "garbage":
        return httpcore.RemoteProtocolError
    return (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)


def mistake_in(error: BaseException, kinds: Any, here: Scene, step: str) -> str | None:
    """The mistake in the error, if it has one."""
    if not isinstance(error, kinds):
        return f"{type(error).__name__}: {error}"
    if here.label not in str(error) and step != EXCHANGE:
        return f"it does not name {here.label}: {error}"
    return None


@each_runtime
@pytest.mark.parametrize("stray", STRAYS)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_hop_is_one_error_that_names_it(
    runtime: Runtime, kind: str, scheme: str, stray: str, hops: Hops
) -> None:
    complaints: dict[str, str | None] = {}

    async def body(case: Case, step: str) -> None:
        with scene(case, hops, {step: STRAYS[stray]}) as here:
            async with runtime.pool(**here.settings) as pool:
                error: BaseException | None = None
                try:
                    await pool.request("GET", f"{here.url}/hello")
                except Exception as raised:
                    error = raised
                assert error is not None
                complaints[f"{case} at {step}"] = mistake_in(error, expected_errors(case, step, stray), here, step)
                stats = pool.stats()
                assert (stats.connections, stats.leased, stats.waiting) == (0, 0, 0)
                await here.hello(pool)
            await gone(runtime, here.server)

    for case, step in at_each_step(kind, scheme):
        if (step, stray) != (EXCHANGE, "refusal"):  # a refusal there would be a response
            runtime.run(body, case, step)
    assert {where: what for where, what in complaints.items() if what} == {}


@each_runtime
def test_silence_at_any_hop_is_a_timeout_that_names_it(runtime: Runtime, hops: Hops) -> None:
    """All cases run at once, to save time."""
    complaints: dict[str, str | None] = {}
    limits = httpcore.TimeoutConfig(5, connect_timeout=2.0, read_timeout=1.9)  # long enough for all to reach their step
    cells = at_each_step()

    async def one(case: Case, step: str, here: Scene) -> None:
        async with runtime.pool(timeout=limits, **here.settings) as pool:
            kind = httpcore.ReadTimeout if step == EXCHANGE else httpcore.ConnectTimeout
            with pytest.raises(httpcore.HTTPCoreError) as caught:
                await pool.request("GET", f"{here.url}/hello")
            what = mistake_in(caught.value, kind, here, step)
            if here.server.silent != 1 or caught.value.limit != (1.9 if step == EXCHANGE else 2.0):
                what = f"it is about something else: {caught.value}"
            complaints[f"{case} at {step}"] = what
            assert pool.stats().leased == 0
        await gone(runtime, here.server)

    async def body() -> None:
        with ExitStack() as stack:
            scenes = [(case, step, stack.enter_context(scene(case, hops, {step: silence}))) for case, step in cells]
            await runtime.gather(*[partial(one, *each) for each in scenes])
        assert len(complaints) == len(cells)

    runtime.run(body)
    assert {where: what for where, what in complaints.items() if what} == {}


@each_runtime
@pytest.mark.parametrize("kind", KINDS)
def test_cancelled_at_any_hop_leaves_no_socket_and_working_pool(runtime: Runtime, kind: str, hops: Hops) -> None:
    """Threads cannot be cancelled: another thread closes the pool instead, and a request that was sent continues."""
    threads = isinstance(runtime, ThreadsRuntime)

    async def body(case: Case, step: str) -> None:
        with scene(case, hops, {step: silence}) as here:
            pool = runtime.pool(timeout=httpcore.TimeoutConfig(20), **here.settings)
            try:
                await struck(runtime, pool, lambda: here.hello(pool), lambda: here.server.silent == 1)
                stats = pool.stats()  # also over HTTP/2, a connection is not kept before its peer has sent a byte
                assert (stats.connections, stats.leased, stats.waiting) == (0, 0, 0)
                await gone(runtime, here.server)
                if not threads:
                    await here.hello(pool)
            finally:
                await pool.close()
            await gone(runtime, here.server)

    for case, step in at_each_step(kind):
        if not (threads and step == EXCHANGE):
            runtime.run(body, case, step)


async def struck(runtime: Runtime, pool: Any, request: Callable[[], Awaitable[Any]], ready: Callable[[], bool]) -> None:
    """Run a request until `ready`, then cancel it; in threads, close its pool. The request must not end in any other
    way.
    """

    async def strike() -> None:
        while not ready():
            await runtime.sleep(0.002)

    if isinstance(runtime, ThreadsRuntime):

        async def close() -> None:
            await strike()
            await pool.close()

        with pytest.raises(httpcore.PoolClosed):
            await runtime.gather(request, close)
    elif isinstance(runtime, TrioRuntime):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def cancelled() -> None:
                with scope:
                    await request()

            nursery.start_soon(cancelled)
            await strike()
            scope.cancel()
        assert scope.cancelled_caught
    else:
        task = asyncio.ensure_future(request())
        await strike()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Routes without a listener at the first hop.


def never_called(case: Case, hops: Hops, folder: Path) -> Scene:
    """A port that refuses, or a path without a socket."""
    return scene_at(case, hops, None, free_port(), str(folder / "nothing") if case.kind == "uds" else None)


@each_runtime
@each_case
def test_first_hop_that_refuses_is_a_connect_error_that_names_it(
    runtime: Runtime, case: Case, hops: Hops, tmp_path: Path
) -> None:
    async def body() -> None:
        here = never_called(case, hops, tmp_path)
        async with runtime.pool(**here.settings) as pool:
            with pytest.raises(httpcore.ConnectError) as caught:
                await pool.request("GET", here.url)
            assert here.label in str(caught.value)
            assert caught.value.errno is not None
            assert not isinstance(caught.value, httpcore.TLSError)
            assert pool.stats().connections == 0

    runtime.run(body)


@contextmanager
def full() -> Iterator[int]:
    """A port whose queue is full: a connect receives no reply."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@each_runtime
def test_a_first_hop_that_never_answers_is_a_connect_timeout(runtime: Runtime, hops: Hops) -> None:
    cases = [case for case in CASES if case.kind != "uds" and case.protocol == "HTTP/1.1"]
    limits = httpcore.TimeoutConfig(5, connect_timeout=0.3)

    async def one(case: Case) -> None:
        with full() as port:
            here = scene_at(case, hops, None, port, None)
            async with runtime.pool(timeout=limits, **here.settings) as pool:
                with pytest.raises(httpcore.ConnectTimeout) as caught:
                    await pool.request("GET", here.url)
                assert here.label in str(caught.value)
                assert caught.value.limit == 0.3
                assert pool.stats().connections == 0

    async def body() -> None:
        await runtime.gather(*[partial(one, case) for case in cases])

    runtime.run(body)


@each_runtime
def test_a_request_cancelled_before_the_first_answer_ends(runtime: Runtime, hops: Hops) -> None:
    async def one(case: Case) -> None:
        with full() as port:
            here = scene_at(case, hops, None, port, None)
            # Closing a pool does not interrupt the system's connect.
            limits = httpcore.TimeoutConfig(20, connect_timeout=0.3 if isinstance(runtime, ThreadsRuntime) else 20)
            pool = runtime.pool(timeout=limits, **here.settings)
            try:
                await struck(runtime, pool, lambda: here.hello(pool), lambda: pool.stats().dialing == 1)
                assert pool.stats().connections == 0
            finally:
                await pool.close()

    async def body() -> None:
        kinds = ("none", "http", "https", "socks5h")
        await runtime.gather(*[partial(one, Case(kind, "https", "HTTP/2")) for kind in kinds])

    runtime.run(body)
