"""From a host name to the addresses that are tried: resolvers, allowed addresses, and their order."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Any

import pytest
from runtimes import Runtime, each_runtime
from servers import Peer, ScriptedServer, answering, ok

import httpcore
from httpcore import CachingResolver, ConnectError, ConnectTimeout, LocalProtocolError, NetworkPolicy, PolicyError
from httpcore._backends.base import Stream
from httpcore._connect.network import MOST_ADDRESSES, Network, addresses_of, reach
from httpcore.testing import ServerEnd
from httpcore.testing import Simulation as MemoryRuntime

System = Callable[[str], Awaitable[Sequence[str]]]
LONG = 10.0


async def hold(peer: ServerEnd) -> None:
    while await peer.recv():
        pass


class Answering:
    """A resolver that returns one answer after the other, the last one repeatedly, and records the names."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requested: list[str] = []

    async def resolve(self, host: str, system: System) -> Sequence[str]:
        self.requested.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]


def reaching(
    host: str, network: Network | None = None, *, runtime: MemoryRuntime | None = None, timeout: float | None = 5.0
) -> tuple[MemoryRuntime, list[Stream]]:
    """Reach port 80 of a host in memory, where 192.0.2.1 and 2001:db8::1 listen. Errors are raised."""
    runtime = runtime or MemoryRuntime()
    streams: list[Stream] = []
    ends = None if timeout is None else timeout
    runtime.listen("192.0.2.1", 80, hold)
    runtime.listen("2001:db8::1", 80, hold)

    def left() -> float | None:
        return None if ends is None else ends - runtime.now

    async def main() -> None:
        streams.append(await reach(runtime.backend(), network or Network(), host, 80, left))

    runtime.run(main())
    return runtime, streams


def tried(runtime: MemoryRuntime) -> list[str]:
    return [host for host, _ in runtime.attempts]


# The resolver that is called.


def test_a_name_is_resolved_by_the_system_and_connected_to() -> None:
    runtime = MemoryRuntime()
    runtime.resolve("a.test", ["192.0.2.1"])
    _, [stream] = reaching("a.test", runtime=runtime)
    assert stream.info().peer == "192.0.2.1:80"
    assert runtime.lookups == ["a.test"]


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_ip_address_is_connected_to_without_a_lookup(host: str) -> None:
    resolver = Answering(["203.0.113.1"])
    runtime, _ = reaching(host, Network(resolver))
    assert (tried(runtime), runtime.lookups, resolver.requested) == ([host], [], [])


def test_a_resolver_is_called_instead_of_the_system() -> None:
    resolver = Answering(["192.0.2.1"])
    runtime, _ = reaching("a.test", Network(resolver))
    assert (tried(runtime), runtime.lookups, resolver.requested) == (["192.0.2.1"], [], ["a.test"])


def test_a_resolver_may_look_up_any_name_in_the_system() -> None:
    class Renaming:
        async def resolve(self, host: str, system: System) -> Sequence[str]:
            return await system(host.replace("alias", "real"))

    runtime = MemoryRuntime()
    runtime.resolve("real.test", ["192.0.2.1"])
    reaching("alias.test", Network(Renaming()), runtime=runtime)
    assert (tried(runtime), runtime.lookups) == (["192.0.2.1"], ["real.test"])


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("a.test", "a.test"),
        ("A.Test", "a.test"),
        ("a.test.", "a.test"),
        ("a.test", "a.test."),
        ("bücher.test", "xn--bcher-kva.test"),
        ("203.0.113.1", "203.0.113.1"),
        ("[2001:DB8::9]", "2001:db8::9"),
        ("2001:db8:0::9", "2001:db8::9"),
    ],
)
def test_given_addresses_need_no_lookup_in_any_spelling_of_host(key: str, host: str) -> None:
    resolver = Answering(["203.0.113.1"])
    runtime, _ = reaching(host, Network(resolver, {key: "192.0.2.1"}))
    assert (tried(runtime), runtime.lookups, resolver.requested) == (["192.0.2.1"], [], [])


def test_a_host_may_be_given_several_addresses() -> None:
    runtime = MemoryRuntime()
    runtime.refuse("192.0.2.9", 80)
    reaching("a.test", Network(resolve={"a.test": ["192.0.2.9", "192.0.2.1"]}), runtime=runtime)
    assert tried(runtime) == ["192.0.2.9", "192.0.2.1"]


def test_other_names_are_resolved_as_usual() -> None:
    runtime = MemoryRuntime()
    runtime.resolve("b.test", ["192.0.2.1"])
    reaching("b.test", Network(resolve={"a.test": "192.0.2.9"}), runtime=runtime)
    assert runtime.lookups == ["b.test"]


# Return values of resolvers.


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (["a.test"], "'a.test'"),
        (["192.0.2.1", "192.0.2.1:80"], "'192.0.2.1:80'"),
        (["[2001:db8::1]"], r"'\[2001:db8::1\]'"),
        (["192.0.2.01"], "'192.0.2.01'"),
        (["0x7f000001"], "'0x7f000001'"),
        ([""], "''"),
        ([b"192.0.2.1"], r"b'192\.0\.2\.1'"),
        ([3221225985], "3221225985"),
        ("192.0.2.1", "'192.0.2.1'"),
        (None, "None"),
    ],
)
def test_an_invalid_address_is_an_error_that_names_the_resolver(answer: Any, seen: str) -> None:
    runtime = MemoryRuntime()
    with pytest.raises(LocalProtocolError, match=rf"the resolver Answering returned {seen} for a\.test"):
        reaching("a.test", Network(Answering(answer)), runtime=runtime)
    assert runtime.attempts == []


def test_an_empty_answer_names_the_resolver_and_the_host() -> None:
    with pytest.raises(ConnectError, match=r"the resolver Answering returned no address for 'a\.test'"):
        reaching("a.test", Network(Answering([])))


@pytest.mark.parametrize("error", [ConnectError("no such name", errno=-2), KeyError("a bug"), OSError(5, "disk")])
def test_a_resolvers_exception_is_raised_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        reaching("a.test", Network(Answering(error)))
    assert caught.value is error


def test_addresses_are_tried_in_their_one_spelling_each_once() -> None:
    runtime = MemoryRuntime()
    for address in ("2001:db8::9", "192.0.2.9"):
        runtime.refuse(address, 80)
    answer = ["2001:DB8:0::9", "2001:db8::9", "192.0.2.9", "2001:db8:0:0::9"]
    with pytest.raises(ConnectError):
        reaching("a.test", Network(Answering(answer)), runtime=runtime)
    assert tried(runtime) == ["2001:db8::9", "192.0.2.9"]


# Errors and time: row 11 of docs/security.md.


def test_a_name_that_does_not_resolve_is_a_connect_error() -> None:
    with pytest.raises(ConnectError, match=r"nowhere\.test: the name does not resolve") as caught:
        reaching("nowhere.test")
    assert caught.value.phase == "resolve"


def test_resolving_and_connecting_share_one_timeout() -> None:
    runtime = MemoryRuntime()
    runtime.resolve("a.test", ["192.0.2.9"], delay=3.0)
    runtime.blackhole("192.0.2.9", 80)
    with pytest.raises(ConnectTimeout, match=r"192\.0\.2\.9:80: no answer in time"):
        reaching("a.test", runtime=runtime, timeout=5.0)
    assert runtime.now == pytest.approx(5.0)


def test_a_slow_name_server_is_a_connect_timeout_that_names_it() -> None:
    runtime = MemoryRuntime()
    runtime.resolve("a.test", ["192.0.2.1"], delay=6.0)
    with pytest.raises(ConnectTimeout, match=r"resolving a\.test took too long") as caught:
        reaching("a.test", runtime=runtime, timeout=5.0)
    assert runtime.now == 5.0
    assert caught.value.phase == "resolve"
    assert runtime.attempts == []


def test_connect_timeout_bounds_a_lookup_inside_a_resolver_too() -> None:
    class Delegating:
        async def resolve(self, host: str, system: System) -> Sequence[str]:
            return await system(host)

    runtime = MemoryRuntime()
    runtime.resolve("a.test", ["192.0.2.1"], delay=6.0)
    with pytest.raises(ConnectTimeout):
        reaching("a.test", Network(Delegating()), runtime=runtime, timeout=5.0)
    assert runtime.now == 5.0


@each_runtime
def test_dead_name_server_costs_the_connect_timeout_and_no_more(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: gate.wait(LONG) and [])

    async def body() -> None:
        async with runtime.pool(timeout=httpcore.TimeoutConfig(connect_timeout=0.05)) as http:
            with pytest.raises(ConnectTimeout, match=r"resolving 'a\.test' took too long") as caught:
                await http.request("GET", "http://a.test/")
            assert caught.value.limit == 0.05
            assert http.stats().leased == 0

    try:
        runtime.run(body)
    finally:
        gate.set()


# Allowed addresses.

PUBLIC = NetworkPolicy.public_only(allow=["192.0.2.1", "2001:db8::1"])


def test_a_denied_address_is_left_out_and_the_others_tried() -> None:
    runtime = MemoryRuntime()
    resolver = Answering(["10.0.0.1", "192.0.2.1", "::ffff:127.0.0.1"])
    reaching("a.test", Network(resolver, policy=PUBLIC), runtime=runtime)
    assert tried(runtime) == ["192.0.2.1"]


@pytest.mark.parametrize("answer", [["10.0.0.1"], ["127.0.0.1", "::1"], ["::ffff:169.254.169.254"], ["fe80::1%1"]])
@pytest.mark.parametrize("by", ["resolver", "resolve", "system"])
def test_a_name_with_denied_addresses_alone_is_a_policy_error(answer: list[str], by: str) -> None:
    runtime = MemoryRuntime()
    runtime.resolve("a.test", answer)
    cases = {
        "resolver": Network(Answering(answer), policy=PUBLIC),
        "resolve": Network(resolve={"a.test": answer}, policy=PUBLIC),
        "system": Network(policy=PUBLIC),
    }
    with pytest.raises(PolicyError, match=r"^a\.test: the network policy denies") as caught:
        reaching("a.test", cases[by], runtime=runtime)
    assert caught.value.address is not None
    assert ip_address(caught.value.address) == ip_address(answer[0])  # Python 3.13 writes mapped addresses differently
    assert caught.value.port == 80
    assert caught.value.rule
    assert runtime.attempts == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:10.0.0.1"])
def test_an_ip_address_in_the_url_is_checked_by_the_policy(host: str) -> None:
    runtime = MemoryRuntime()
    with pytest.raises(PolicyError, match=r"^the network policy denies"):
        reaching(host, Network(policy=PUBLIC), runtime=runtime)
    assert runtime.attempts == []


def test_a_name_that_rebinds_never_leads_to_a_denied_address() -> None:
    class Rebinding:
        """Returns public and private addresses, in another order and number each time."""

        def __init__(self) -> None:
            self.turn = 0

        async def resolve(self, host: str, system: System) -> Sequence[str]:
            self.turn += 1
            addresses = ["192.0.2.1", "127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254"]
            first = self.turn % 4
            return (addresses[first:] + addresses[:first])[: 1 + self.turn % 3]

    runtime = MemoryRuntime()
    for address in ("127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254"):
        runtime.listen(address, 80, hold)
    runtime.listen("192.0.2.1", 80, hold)
    network = Network(Rebinding(), policy=PUBLIC)
    outcomes = []

    async def main() -> None:
        for _ in range(24):
            try:
                stream = await reach(runtime.backend(), network, "a.test", 80, lambda: 5.0)
            except PolicyError:
                outcomes.append("denied")
            else:
                outcomes.append(stream.info().peer)

    runtime.run(main())
    assert set(outcomes) == {"denied", "192.0.2.1:80"}
    assert set(tried(runtime)) == {"192.0.2.1"}


@each_runtime
def test_a_rebinding_resolver_never_reaches_a_denied_address(runtime: Runtime) -> None:
    async def body() -> None:
        resolver = Answering(["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.2"])
        async with runtime.pool(resolver=resolver, network_policy=NetworkPolicy(deny=("127.0.0.2",))) as http:
            url = f"http://a.test:{server.port}/"
            for allowed in (True, False, True, False, False):
                if allowed:
                    response = await http.request("GET", url)
                    assert response.body == b"Hello, world"
                else:
                    with pytest.raises(PolicyError) as caught:
                        await http.request("GET", url)
                    assert caught.value.address == "127.0.0.2"
                assert http.stats().leased == 0
            assert len(resolver.requested) == 5

    with (
        socket.create_server(("127.0.0.2", 0)) as denied,
        socket.create_server(("127.0.0.1", denied.getsockname()[1])) as allowed_socket,
        ScriptedServer(answering(ok(b"Hello, world", b"Connection: close")), listener=allowed_socket) as server,
    ):
        server.port = denied.getsockname()[1]
        denied.setblocking(False)
        runtime.run(body)
        assert server.connections == 2
        with pytest.raises(BlockingIOError):
            denied.accept()


# The order.

V4 = [f"192.0.2.{number}" for number in range(1, 30)]
V6 = [f"2001:db8::{number:x}" for number in range(1, 30)]


@pytest.mark.parametrize(
    ("found", "order"),
    [
        ([V6[0]], [V6[0]]),
        ([V4[0], V4[1]], [V4[0], V4[1]]),
        ([V6[0], V4[0]], [V6[0], V4[0]]),
        ([V4[0], V6[0]], [V4[0], V6[0]]),
        ([V6[0], V6[1], V4[0], V4[1]], [V6[0], V4[0], V6[1], V4[1]]),
        ([V4[0], V4[1], V6[0], V6[1]], [V4[0], V6[0], V4[1], V6[1]]),
        ([V6[0], V6[1], V6[2], V4[0]], [V6[0], V4[0], V6[1], V6[2]]),
        ([V6[0], V4[0], V4[1], V4[2]], [V6[0], V4[0], V4[1], V4[2]]),
        ([V4[0], V6[0], V4[1], V4[2], V6[1]], [V4[0], V6[0], V4[1], V6[1], V4[2]]),
        ([V6[0], V6[0], V4[0], V6[0]], [V6[0], V4[0]]),
    ],
)
def test_families_alternate_from_the_resolvers_first(found: list[str], order: list[str]) -> None:
    runtime = MemoryRuntime()
    runtime.resolve("a.test", found)
    answers: list[Sequence[str]] = []

    async def main() -> None:
        answers.append(await addresses_of(runtime.backend(), Network(), "a.test", 80, lambda: 5.0))

    runtime.run(main())
    assert [list(answer) for answer in answers] == [order]


@pytest.mark.parametrize("last", ["192.0.2.200", "2001:db8::c8"])
def test_sixteen_addresses_are_tried_and_rarer_family_is_second(last: str) -> None:
    form = "2001:db8:1::1:{:x}" if "." in last else "198.51.{0}.{1}"
    many = [form.format(number) if "." in last else form.format(*divmod(number, 250)) for number in range(1, 1001)]
    answer = [*many, last]
    runtime = MemoryRuntime()
    for address in answer:
        runtime.refuse(address, 80)
    with pytest.raises(ConnectError) as caught:
        reaching("a.test", Network(Answering(answer)), runtime=runtime)
    assert tried(runtime) == [many[0], last, *many[1 : MOST_ADDRESSES - 1]]
    assert caught.value.message.count("connection refused") == MOST_ADDRESSES == 16


def test_denied_addresses_do_not_count_against_the_sixteen() -> None:
    runtime = MemoryRuntime()
    reaching(
        "a.test",
        Network(Answering([*[f"10.0.0.{n}" for n in range(1, 101)], "192.0.2.1"]), policy=PUBLIC),
        runtime=runtime,
    )
    assert tried(runtime) == ["192.0.2.1"]


# The local address and the socket options.


@pytest.mark.parametrize(("local", "peer"), [("127.0.0.9", "192.0.2.1"), ("::9", "2001:db8::1")])
def test_with_a_local_address_only_its_family_is_tried(local: str, peer: str) -> None:
    runtime = MemoryRuntime()
    runtime.resolve("a.test", ["2001:db8::1", "192.0.2.1"])
    reaching("a.test", Network(local_address=local), runtime=runtime)
    [connection] = runtime.connections
    assert (tried(runtime), connection.local_address) == ([peer], local)


def test_a_local_address_that_fits_no_address_is_a_connect_error() -> None:
    runtime = MemoryRuntime()
    runtime.resolve("a.test", ["2001:db8::1"])
    with pytest.raises(
        ConnectError, match=r"a\.test: the local address 127\.0\.0\.9 is of another address family.*2001:db8::1"
    ):
        reaching("a.test", Network(local_address="127.0.0.9"), runtime=runtime)
    assert runtime.attempts == []


@each_runtime
def test_addresses_and_options_hold_for_connections_of_a_pool(runtime: Runtime) -> None:
    async def body() -> None:
        async with runtime.pool(
            resolve={"a.test": "127.0.0.1"},
            local_address="127.0.0.5",
            socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)],
        ) as http:
            response = await http.request("GET", f"http://a.test:{server.port}/")
            assert response.body == b"Hello, world"
            assert response.info.peer == f"127.0.0.1:{server.port}"
            assert response.info.local.startswith("127.0.0.5:")

    heads: list[bytes] = []

    def script(peer: Peer) -> None:
        heads.append(peer.head())
        peer.send(ok())

    with ScriptedServer(script) as server:
        runtime.run(body)
    assert f"\r\nhost: a.test:{server.port}\r\n".encode() in heads[0].lower()


@each_runtime
def test_a_resolver_that_fails_leaves_the_pool_as_it_was(runtime: Runtime) -> None:
    async def body() -> None:
        resolver = Answering(ZeroDivisionError("a bug of mine"), ["127.0.0.1"])
        limits = httpcore.PoolLimits(max_connections=1)
        async with runtime.pool(resolver=resolver, limits=limits) as http:
            url = f"http://a.test:{server.port}/"
            with pytest.raises(ZeroDivisionError, match="a bug of mine"):
                await http.request("GET", url)
            assert (http.stats().connections, http.stats().leased) == (0, 0)
            assert (await http.request("GET", url)).status_code == 200

    with ScriptedServer(answering(ok())) as server:
        runtime.run(body)


# A value whose arguments are checked when it is made.


def test_settings_are_a_value() -> None:
    ours = Network(resolve={"A.test": "2001:DB8::1"}, local_address="2001:DB8::2", socket_options=[(6, 1, 0)])
    assert ours.known == {"a.test": ("2001:db8::1",)}
    assert ours.local_address == "2001:db8::2"
    assert ours.socket_options == ((6, 1, 0),)
    assert Network() == Network()
    assert hash(Network(local_address="127.0.0.1")) == hash(Network(local_address="127.0.0.1"))
    assert Network(local_address="127.0.0.1") != Network()


def test_settings_do_not_change_with_their_arguments() -> None:
    mapping = {"a.test": ["192.0.2.1"]}
    network = Network(resolve=mapping)
    mapping["a.test"].append("10.0.0.1")
    mapping["b.test"] = ["10.0.0.1"]
    assert network.known == {"a.test": ("192.0.2.1",)}


@pytest.mark.parametrize(
    ("named", "kind", "seen"),
    [
        ({"resolve": "a.test"}, TypeError, "resolve is 'a.test'"),
        ({"resolve": {1: "127.0.0.1"}}, TypeError, "resolve has the host 1"),
        ({"resolve": {"a test": "127.0.0.1"}}, ValueError, "the host is 'a test'"),
        ({"resolve": {"a.test:80": "127.0.0.1"}}, ValueError, "the host is"),
        ({"resolve": {"http://a.test": "127.0.0.1"}}, ValueError, "the host is"),
        ({"resolve": {"0x7f000001": "127.0.0.1"}}, ValueError, "the host is '0x7f000001'"),
        ({"resolve": {"": "127.0.0.1"}}, ValueError, "the host is ''"),
        ({"resolve": {"a.test": "b.test"}}, ValueError, "'b.test' for a.test: expected IP addresses as text"),
        ({"resolve": {"a.test": "127.1"}}, ValueError, "'127.1' for a.test"),
        ({"resolve": {"a.test": []}}, ValueError, "at least one"),
        ({"resolve": {"a.test": ["127.0.0.1", "x"]}}, ValueError, "'x'"),
        ({"resolve": {"a.test": 2130706433}}, TypeError, "2130706433 for a.test"),
        ({"resolve": {"a.test": b"127.0.0.1"}}, TypeError, "for a.test"),
        ({"local_address": "localhost"}, ValueError, "local_address is 'localhost'"),
        ({"local_address": "127.0.0.1:80"}, ValueError, "local_address is '127.0.0.1:80'"),
        ({"local_address": 7}, ValueError, "local_address is 7"),
        ({"socket_options": 6}, TypeError, "socket_options is 6"),
        ({"socket_options": [(6, 1)]}, TypeError, r"socket_options has \(6, 1\)"),
        ({"socket_options": [(6, 1, "on")]}, TypeError, "socket_options has"),
        ({"socket_options": "abc"}, TypeError, "socket_options is 'abc'"),
    ],
)
def test_bad_settings_are_refused_when_they_are_made(named: dict[str, Any], kind: type[Exception], seen: str) -> None:
    with pytest.raises(kind, match=seen):
        Network(**named)


# The cache of addresses.


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def answers_of(resolver: CachingResolver, host: str, system: Any = None) -> Sequence[str]:
    """The resolver's answer; the resolver must not suspend."""

    async def never_called(host: str) -> Sequence[str]:
        raise AssertionError(f"the system was asked for {host}")

    coro = resolver.resolve(host, system or never_called)
    with pytest.raises(StopIteration) as end:
        coro.send(None)
    value: Sequence[str] = end.value.value
    return value


def test_an_answer_is_remembered_for_its_time_and_no_longer() -> None:
    clock, inner = Clock(), Answering(["192.0.2.1"], ["192.0.2.2"])
    resolver = CachingResolver(60.0, resolver=inner, clock=clock)
    for passed, answer in ((0.0, "192.0.2.1"), (59.9, "192.0.2.1"), (0.2, "192.0.2.2"), (59.0, "192.0.2.2")):
        clock.now += passed
        assert answers_of(resolver, "a.test") == (answer,)
    assert inner.requested == ["a.test", "a.test"]


def test_the_system_resolves_without_another_resolver() -> None:
    requested = []

    async def system(host: str) -> list[str]:
        requested.append(host)
        return ["192.0.2.1"]

    resolver = CachingResolver()
    assert [answers_of(resolver, "a.test", system) for _ in range(3)] == [("192.0.2.1",)] * 3
    assert requested == ["a.test"]


def test_names_are_remembered_apart_and_the_oldest_is_dropped() -> None:
    inner = Answering(["192.0.2.1"])
    resolver = CachingResolver(most=2, resolver=inner, clock=Clock())
    for host in ("a.test", "b.test", "a.test", "c.test", "b.test", "a.test"):
        answers_of(resolver, host)
    assert inner.requested == ["a.test", "b.test", "c.test", "a.test"]


def test_ten_thousand_names_leave_a_thousand() -> None:
    resolver = CachingResolver(resolver=Answering(["192.0.2.1"]))
    for number in range(10_000):
        answers_of(resolver, f"{number}.test")
    assert repr(resolver) == "<CachingResolver of 1000 names>"


@pytest.mark.parametrize("bad", [ConnectError("no such name"), [], ConnectTimeout("slow")])
def test_failed_lookups_are_not_remembered(bad: Any) -> None:
    inner = Answering(bad, ["192.0.2.1"])
    resolver = CachingResolver(resolver=inner)
    if isinstance(bad, Exception):
        with pytest.raises(type(bad)):
            resolver.resolve("a.test", None).send(None)  # type: ignore[arg-type]  # never asked
    else:
        assert answers_of(resolver, "a.test") == ()
    assert answers_of(resolver, "a.test") == ("192.0.2.1",)


def test_a_ttl_of_zero_remembers_nothing() -> None:
    inner = Answering(["192.0.2.1"])
    resolver = CachingResolver(0, resolver=inner)
    for _ in range(3):
        answers_of(resolver, "a.test")
    assert len(inner.requested) == 3


@pytest.mark.parametrize("named", [{"ttl": -1}, {"ttl": float("nan")}, {"most": 0}])
def test_a_cache_of_no_size_or_time_is_refused(named: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(named))):
        CachingResolver(**named)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"ttl": "x"}, "ttl is 'x': expected a number of seconds"),
        ({"ttl": True}, "ttl is True"),
        ({"ttl": None}, "ttl is None"),
        ({"most": "x"}, "most is 'x': expected a whole number"),
        ({"most": 1.5}, "most is 1.5"),
    ],
)
def test_wrong_arguments_of_a_cache_are_named(named: Any, words: str) -> None:
    with pytest.raises(TypeError, match=f"^{words}"):
        CachingResolver(**named)


def test_threads_share_a_cache() -> None:
    resolver = CachingResolver(most=10, resolver=Answering(["192.0.2.1"]))
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(2000):
                assert answers_of(resolver, f"{(turn * 7 + number) % 40}.test") == ("192.0.2.1",)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert failures == []
    # `repr` shows a number of names too, but counts only those that have not expired.
    assert len(resolver._known) <= 10


@each_runtime
def test_a_pool_with_a_cache_looks_up_once_for_many_connections(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested = []

    def getaddrinfo(host: Any, port: Any, *_: Any, **__: Any) -> Any:
        requested.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def body() -> None:
        async with runtime.pool(resolver=CachingResolver()) as http:
            for _ in range(3):
                response = await http.request("GET", f"http://a.test:{server.port}/")
                assert response.status_code == 200

    with ScriptedServer(answering(ok(b"", b"Connection: close"))) as server:
        runtime.run(body)
        assert server.connections == 3
    assert requested == [b"a.test"]


def test_errno_of_a_refusal_is_that_of_the_last_address() -> None:
    runtime = MemoryRuntime()
    runtime.refuse("192.0.2.9", 80)
    with pytest.raises(ConnectError) as caught:
        reaching("a.test", Network(resolve={"a.test": ["198.51.100.1", "192.0.2.9"]}), runtime=runtime)
    assert caught.value.errno == errno.ECONNREFUSED
    assert caught.value.message == (
        "cannot connect to a.test:80: 198.51.100.1:80: no route to host; 192.0.2.9:80: connection refused"
    )
